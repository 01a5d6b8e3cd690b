"""What one fit trains on: checked, encoded, split and scaled, before a network changes."""

from __future__ import annotations

import numbers

import numpy as np

from fastnn import _scaling, _validate, _weights
from fastnn._core.kernels import shuffle_indices
from fastnn._scaling import Scaling

DEFAULT_BATCH_SIZE = 32
_SPLIT = 2**32 - 1  # the epoch whose shuffle draws the validation rows: none that is trained


class FitData:
    """Training and validation rows in the network's dtype.

    Parameters
    ----------
    net : Network
        Nothing of it is changed.
    X, y, validation, sample_weight, class_weight
        As users hand them to `fit`.
    classes : ndarray or None
    unread : bool
        Nobody looks for NaN and infinity in X, before `look` is called.

    Attributes
    ----------
    X, labels, targets : ndarray
        One of the last two is None.
    weights : float64 ndarray (n_rows,) or None
    validation : (X, labels, targets) or None
    classes : ndarray or None
    input_scaling, target_scaling : Scaling or None
        The network's, or fitted to the training rows where it has none yet.
    """

    def __init__(
        self, net, X, y, classes, validation, sample_weight=None, class_weight=None, unread=False
    ) -> None:
        self._net, self._unread = net, unread
        X, own = net._check_unscaled(X, look=not unread)
        labels, targets, self.classes = net._check_y(y, len(X), classes)
        weights = _weights.as_weights(sample_weight, len(X))
        held_out = None
        if isinstance(validation, numbers.Real) and not isinstance(validation, bool):
            rows, held_rows = split_rows(validation, len(X))
            held_out = tuple(_take(array, held_rows) for array in (X, labels, targets))
            X, labels, targets = (_take(array, rows) for array in (X, labels, targets))
            weights = _take(weights, rows)
            own = True
        elif validation is not None:
            held_out = self._check_validation(validation, X.shape[1])
        self.weights = _weights.combine(weights, class_weight, labels, self.classes)
        self._scale(X, own, labels, targets, held_out)

    def look(self) -> None:
        """Raise the ValueError that X deserves, where nobody has looked at it."""
        if self._unread:
            self._net._check_unscaled(self.X)

    def _check_validation(self, validation, n_features: int):
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise ValueError(
                f"validation must be a pair (X, y), got {type(validation).__name__}; or a share of "
                "the rows such as 0.1"
            )
        X, y = validation
        X, _ = self._net._check_unscaled(X, "validation X", n_features)
        labels, targets, _ = self._net._check_y(y, len(X), self.classes, "validation y")
        return X, labels, targets

    def _scale(self, X, own: bool, labels, targets, held_out) -> None:
        net = self._net
        self.input_scaling: Scaling | None = net.input_scaling
        self.target_scaling: Scaling | None = net.target_scaling
        if net.scale_inputs and self.input_scaling is None:
            self.input_scaling = _scaling.fit_scaling(net.scale_inputs, X, "X")
        if net.scale_targets and self.target_scaling is None:
            self.target_scaling = _scaling.fit_scaling(net.scale_targets, targets, "y")
        self.X = scale(X, self.input_scaling, net.dtype, "X", own)
        self.labels, self.targets = labels, scale(targets, self.target_scaling, net.dtype, "y")
        self.validation = held_out
        if held_out is not None:
            X, labels, targets = held_out
            X = scale(X, self.input_scaling, net.dtype, "validation X")
            targets = scale(targets, self.target_scaling, net.dtype, "validation y")
            self.validation = (X, labels, targets)


def scale(X, scaling: Scaling | None, dtype: str, name: str, own: bool = False):
    """Checked numbers as the layers see them; in place where X is a copy of one's own."""
    if scaling is None or X is None:
        return X
    out = X if own and X.dtype == dtype else None
    return _validate.as_matrix(scaling.apply(X, dtype, out), f"{name}, scaled,", dtype)


def split_rows(share, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train and rows to validate on, each in their order: a function of its arguments.

    Of no seed: that of a network changes with restarts, and rows once held out would be trained on.
    """
    share = _validate.check_number("validation", share, 0, 1, low_open=True, high_open=True)
    n_held = max(round(share * n_rows), 1)
    if n_held >= n_rows:
        raise ValueError(
            f"validation={share:g} of {n_rows} rows leaves none to train on; use more rows or a "
            "smaller share"
        )
    order = shuffle_indices(0, _SPLIT, n_rows)
    return np.sort(order[n_held:]), np.sort(order[:n_held])


def _take(array, rows):
    return None if array is None else array[rows]


def check_batch_size(batch_size, optimizer) -> int | None:
    """Return a batch size; None, which is handed in where the optimizer decides, is all rows."""
    if batch_size is None:
        return None if optimizer.whole_data else DEFAULT_BATCH_SIZE
    if isinstance(batch_size, str) and batch_size == "all":
        return None
    return _validate.check_int("batch_size", batch_size, 1)
