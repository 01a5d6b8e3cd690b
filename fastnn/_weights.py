"""How much each row counts: weights of rows and of classes, checked and multiplied."""

from __future__ import annotations

import numpy as np

from fastnn._validate import check_number, describe_special, real_array

# Beyond these, a weight times a loss, or 1 / weight, would be rounded to 0 or infinity.
_LEAST, _MOST = 1e-290, 1e290


def as_weights(sample_weight, n_rows: int, all_zero: bool = False) -> np.ndarray | None:
    """Return weights of rows as float64 (n_rows,), a copy; None stays None.

    Weights of less than 1e-290 become 0.

    Parameters
    ----------
    sample_weight : array-like (n_rows,) or None
    n_rows : int
    all_zero : bool, default False
        Whether none of the rows need count: in one batch of many.

    Raises
    ------
    TypeError
        For entries that are no real numbers.
    ValueError
        For another shape, a negative or non-finite weight, a sum of more than 1e290, or where all
        are 0 and must not be.
    """
    if sample_weight is None:
        return None
    array = real_array(sample_weight, "sample_weight")
    if array.shape != (n_rows,):
        raise ValueError(
            f"sample_weight has shape {array.shape}; expected ({n_rows},), one for each row of X"
        )
    weights = np.array(array, dtype=np.float64)
    fits = np.isfinite(weights) & (weights >= 0)
    if not fits.all():
        row = int(fits.argmin())
        value = weights[row]
        found = f"{value:g}" if np.isfinite(value) else describe_special(value)
        raise ValueError(
            f"sample_weight contains {found} at row {row}; expected finite numbers of at least 0"
        )
    return _settle(weights, "sample_weight", all_zero)


def combine(weights, class_weight, labels, classes) -> np.ndarray | None:
    """Multiply checked weights of rows by those of their classes.

    Parameters
    ----------
    weights : float64 ndarray (n_rows,) or None
    class_weight : dict, "balanced" or None
        As users hand it to `fit`.
    labels : int32 ndarray (n_rows,) or None
        Indices into `classes`; None where targets are no labels.
    classes : ndarray or None

    Returns
    -------
    ndarray (n_rows,) or None
        None: all rows count alike.
    """
    if class_weight is not None:
        if labels is None:
            raise ValueError(
                "class_weight needs class labels as y, one in each row; use sample_weight"
            )
        by_class = _weigh_classes(class_weight, labels, classes)[labels]
        with np.errstate(over="ignore"):  # told below
            weights = by_class if weights is None else weights * by_class
    return None if weights is None else _settle(weights, "rows to train on")


def _weigh_classes(class_weight, labels, classes) -> np.ndarray:
    """A weight for each class."""
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(labels, minlength=len(classes))
        return len(labels) / (np.count_nonzero(counts) * counts.clip(min=1))
    if not isinstance(class_weight, dict):
        raise TypeError(
            f"class_weight must be a dict of label: weight, or 'balanced'; got {class_weight!r}"
        )
    known = classes.tolist()
    weights = np.ones(len(known))
    for label, weight in class_weight.items():
        if label not in known:
            raise ValueError(f"class_weight has the label {label!r}; the classes are {known}")
        weights[known.index(label)] = check_number(f"class_weight[{label!r}]", weight, low=0)
    return weights


def _settle(weights: np.ndarray, name: str, all_zero: bool = False) -> np.ndarray:
    """Weights without those that are next to nothing, if a loss can be divided by what is left."""
    weights = np.where(weights < _LEAST, 0.0, weights)
    with np.errstate(over="ignore"):
        total = weights.sum()
    if total == 0 and not all_zero:
        raise ValueError(
            f"{name}: all weights are 0, or less than {_LEAST:g}; expected at least one row that "
            "counts"
        )
    if total > _MOST:
        found = f"{total:g}" if np.isfinite(total) else "infinity"
        raise ValueError(
            f"{name}: the weights add up to {found}, more than {_MOST:g}; scale them down"
        )
    return weights
