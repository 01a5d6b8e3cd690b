"""What the user calls y, as the loss needs it: class indices, or numbers row by row."""

from __future__ import annotations

import numpy as np

from fastnn import _labels


def encode_targets(y, loss, classes, n_rows: int, n_outputs: int, dtype: str, name: str = "y"):
    """Check and encode targets.

    Parameters
    ----------
    y : array-like
        For a loss that takes classes: labels (n_rows,) or probabilities (n_rows, n_outputs), of
        which one-hot rows are a case. Otherwise values (n_rows, n_outputs).
    loss : Loss
    classes : ndarray or None
        The order of the classes; None finds it in `y`.

    Returns
    -------
    labels : int32 ndarray (n_rows,) or None
    targets : ndarray (n_rows, n_outputs) or None
        One of the two.
    classes : ndarray or None
        None for a loss that takes values.
    """
    if loss.takes_classes and _labels.is_label_vector(y):
        if classes is None:
            classes = _find_classes(y, n_outputs, name)
        labels, classes = _labels.encode_labels(y, classes, n_rows, name)
        return labels, None, classes
    targets = _labels.as_targets(y, n_rows, n_outputs, dtype, name)
    if loss.takes_classes:
        _labels.check_probability_rows(targets, name)
        if classes is None:
            classes = _labels.as_classes(range(n_outputs))
    return None, targets, classes


def _find_classes(y, n_outputs: int, name: str) -> np.ndarray:
    """The classes of a first fit: the sorted labels, or all integers up to the outputs."""
    classes = _labels.encode_labels(y, None, None, name)[1]
    if len(classes) == n_outputs:
        return classes
    if classes.dtype.kind == "i":  # some may be absent; one out of range is told by its row
        return _labels.as_classes(range(n_outputs))
    raise ValueError(
        f"{name} has {len(classes)} classes, but the last layer has {n_outputs} units: end the "
        f"network with Dense({len(classes)}), or pass classes="
    )


def check_classes(classes, loss, n_outputs: int) -> np.ndarray | None:
    """The order of the classes that a user gave to a new network, or None."""
    if classes is None:
        return None
    classes = _labels.as_classes(classes)
    if not loss.takes_classes:
        raise ValueError(f"classes were given, but the loss {loss.name!r} takes values")
    if len(classes) != n_outputs:
        raise ValueError(
            f"classes has {len(classes)} entries, but the last layer has {n_outputs} "
            f"units: end the network with Dense({len(classes)})"
        )
    return classes


def decide(scores: np.ndarray, classes) -> np.ndarray:
    """The class of the highest score of each row; its number where no classes are known."""
    winners = scores.argmax(axis=1)
    return winners if classes is None else classes[winners]
