"""Checks and encodes targets: class labels, probabilities, values.

The rules are those of `_validate`: every function returns what the rest of the package may rely on,
or raises a message that names argument, finding, expectation and fix.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from fastnn._validate import as_array, as_matrix, describe_place, describe_special, real_array

_PROBABILITY_TOLERANCE = 1e-3
_SHOWN_CLASSES = 10
_LABELS = "expected class labels: integers, bools or strings"
# The order matters: a Python bool is an Integral, and an Integral is a Real.
_LABEL_TYPES: dict[type, Any] = {
    np.bool_: (bool, np.bool_),
    np.int64: numbers.Integral,
    np.float64: numbers.Real,
    np.str_: str,
}


def as_targets(y, n_rows: int, n_outputs: int, dtype="float32", name="y") -> np.ndarray:
    """Return real-valued targets as a finite matrix of shape (n_rows, n_outputs).

    A vector of shape (n_rows,) is accepted when `n_outputs` is 1. Errors are those of `as_matrix`,
    and ValueError when rows or outputs do not agree with X and the model.
    """
    array = real_array(y, name)
    if array.ndim == 1 and n_outputs == 1:
        array = array.reshape(-1, 1)
    check_columns(array, n_rows, n_outputs, name)
    return as_matrix(array, name, dtype)


def check_columns(array: np.ndarray, n_rows: int, n_outputs: int, name: str = "y") -> None:
    """Raise ValueError unless there is a column for each output and a row for each of X."""
    if array.ndim != 2 or array.shape[1] != n_outputs:
        expected = f"({n_rows}, {n_outputs}), one column for each output of the model"
        raise ValueError(f"{name} has shape {array.shape}; expected {expected}")
    _check_length(array, n_rows, name)


def check_probability_rows(targets: np.ndarray, name: str = "y") -> None:
    """Raise ValueError unless the rows of a finite matrix are probabilities that sum to 1.

    One-hot rows and soft targets pass; a sum may be off by 1e-3.
    """
    outside = (targets < 0) | (targets > 1 + _PROBABILITY_TOLERANCE)
    if outside.any():
        index = np.unravel_index(outside.argmax(), targets.shape)
        fix = f"class labels go in as a vector of shape ({len(targets)},)"
        if (np.abs(targets) == 1).all():
            fix = "columns of -1 and 1 need a multilabel loss: fastnn.Hinge(multilabel=True)"
        found = f"{name} contains {targets[index]!s} at {describe_place(index)}"
        raise ValueError(f"{found}; expected probabilities in 0..1 ({fix})")
    sums = targets.sum(axis=1, dtype=np.float64)
    off = np.abs(sums - 1) > _PROBABILITY_TOLERANCE
    if off.any():
        row = off.argmax()
        found = f"{name} sums to {sums[row]:.6g} in row {row}"
        raise ValueError(f"{found}; expected class probabilities, which sum to 1")


def check_shares(targets: np.ndarray, name: str = "y") -> None:
    """Raise ValueError unless all entries of a finite matrix are in 0..1."""
    _check_entries((targets >= 0) & (targets <= 1), targets, name, "numbers in 0..1")


def check_signs(targets: np.ndarray, name: str = "y") -> None:
    """Raise ValueError unless all entries of a finite matrix are -1 or 1."""
    _check_entries(np.abs(targets) == 1, targets, name, "-1 or 1")


def check_bits(targets: np.ndarray, name: str = "y") -> None:
    """Raise ValueError unless all entries of a finite matrix are 0 or 1."""
    _check_entries((targets == 0) | (targets == 1), targets, name, "0 or 1")


def check_counts(targets: np.ndarray, name: str = "y") -> None:
    """Raise ValueError where an entry of a finite matrix is negative."""
    _check_entries(targets >= 0, targets, name, "counts, which are at least 0")


def _check_entries(fits, targets, name, expected):
    if not fits.all():
        index = np.unravel_index(fits.argmin(), targets.shape)
        found = f"{name} contains {targets[index]!s} at {describe_place(index)}"
        raise ValueError(f"{found}; expected {expected}")


def find_ones(targets: np.ndarray) -> np.ndarray | None:
    """Column of the 1 in each row of a one-hot matrix, as int32; None if it is not one-hot."""
    is_one = targets == 1
    if not (is_one.sum(axis=1) == 1).all() or np.count_nonzero(targets) != len(targets):
        return None
    return is_one.argmax(axis=1).astype(np.int32)


def has_fractions(y) -> bool:
    """Whether a vector holds finite numbers that are not whole, which no labels are."""
    array = as_array(y, "y")
    if array.dtype.kind != "f" or not is_label_vector(array):
        return False
    return bool((np.isfinite(array) & (array != np.floor(array))).any())


def is_label_vector(y) -> bool:
    """Tell class labels, of shape (n,) or (n, 1) or unusable, from target rows, (n, k > 1)."""
    shape = y.shape if isinstance(y, np.ndarray) else as_array(y, "y").shape
    return len(shape) != 2 or shape[1] == 1


def as_classes(classes, name: str = "classes") -> np.ndarray:
    """Return an order of classes as a read-only 1-D array of int64, bool or str.

    Raises
    ------
    ValueError
        If it is empty, not one-dimensional, or names a class twice.
    TypeError
        If its entries cannot be labels, or mix types.
    """
    array = _label_array(classes, name)
    values, counts = np.unique(array, return_counts=True)
    if counts.max() > 1:
        twice = _shown(values[counts.argmax()])
        raise ValueError(f"{name} has {twice} {counts.max()} times; expected each class once")
    array = array.copy()
    array.flags.writeable = False
    return array


def encode_labels(y, classes=None, n_rows=None, name="y", fix="") -> tuple[np.ndarray, np.ndarray]:
    """Return class labels as indices into `classes`.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, 1)
        Integers, bools, strings, or floats that are whole numbers.
    classes : array-like or None
        The classes in the order of the network's outputs. None takes the sorted distinct labels of
        `y`. A result of `as_classes` (a read-only array) is taken as it is, so that the order is
        checked once for a network and not once for a batch.
    n_rows : int or None
        The number of rows of X, which `y` must have.
    fix : str
        What the message about a label that is none of `classes` ends with.

    Returns
    -------
    labels : ndarray of int32, shape (n,)
        ``classes[labels]`` equals `y`.
    classes : ndarray

    Raises
    ------
    ValueError
        For a label that is not one of `classes`, NaN, fractional, or a wrong shape or length.
    TypeError
        For entries that cannot be labels, or of mixed types.
    """
    array = _label_array(y, name)
    _check_length(array, n_rows, name)
    if classes is None:
        values, labels = np.unique(array, return_inverse=True)
        return labels.astype(np.int32), as_classes(values)
    if not isinstance(classes, np.ndarray) or classes.flags.writeable:
        classes = as_classes(classes)
    if (array.dtype.kind == "U") != (classes.dtype.kind == "U"):
        raise ValueError(_unknown_label(array, 0, classes, name) + fix)
    if array.dtype.kind == "i" and np.array_equal(classes, np.arange(len(classes))):
        labels = array  # no search needed
        if array.min() >= 0 and array.max() < len(classes):
            return labels.astype(np.int32), classes
        wrong = (array < 0) | (array >= len(classes))
    else:
        order = np.argsort(classes)
        places = np.searchsorted(classes, array, sorter=order)
        # what is greater than all classes has no place; any valid one shows that it is unseen
        labels = order[places.clip(max=len(classes) - 1)]
        wrong = classes[labels] != array
    if wrong.any():
        raise ValueError(_unknown_label(array, int(wrong.argmax()), classes, name) + fix)
    return labels.astype(np.int32), classes


def _label_array(y, name):
    """`y` as a 1-D array of int64, bool or str with at least one entry."""
    array = as_array(y, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; expected class labels of shape (n,)")
    if len(array) == 0:
        raise ValueError(f"{name} has shape {array.shape}; expected at least 1 label")
    if array.dtype.kind in "US" and not isinstance(y, np.ndarray):
        # NumPy turns the list ["a", 1] into two strings: look at what the list held
        array = np.asarray(y, dtype=object).reshape(-1)
    if array.dtype.kind in "OT":
        array = _same_typed(array, name)
    if array.dtype.kind == "f":
        array = _whole_numbers(array, name)
    if array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
        row = int(array.argmax())
        raise ValueError(f"{name} contains {array[row]} at row {row}; expected int64 labels")
    if array.dtype.kind in "iu":
        return array.astype(np.int64, copy=False)
    if array.dtype.kind in "bU":
        return array
    raise TypeError(f"{name} has dtype {array.dtype}; {_LABELS}")


def _same_typed(array, name):
    """Labels held as Python objects: all of one type, and then as an array of that type."""
    items = array.tolist()
    found = [next((t for t, py in _LABEL_TYPES.items() if isinstance(i, py)), None) for i in items]
    for row, item in enumerate(items):
        shown = f"{item!r} ({type(item).__name__}) at row {row}"
        if item is None or (found[row] is np.float64 and item != item):
            missing = "None" if item is None else "NaN"
            expected = "expected a class label in every row"
            raise ValueError(f"{name} contains {missing} at row {row}; {expected}")
        if found[row] is None:
            raise TypeError(f"{name} has dtype {array.dtype} and {shown}; {_LABELS}")
        if found[row] is not found[0]:
            first = f"{items[0]!r} ({type(items[0]).__name__}) at row 0"
            raise TypeError(f"{name} mixes types: {first}, {shown}; convert all labels to one type")
    try:
        return np.array(items, dtype=found[0])
    except OverflowError:
        raise ValueError(f"{name} contains a label over 64 bits; expected int64 labels") from None


def _whole_numbers(array, name):
    whole = np.isfinite(array) & (array == np.floor(array)) & (np.abs(array) < 2.0**63)
    if whole.all():
        return array.astype(np.int64)
    row = int(whole.argmin())
    value = array[row]
    if not np.isfinite(value):
        found, expected = describe_special(value), "a class label in every row"
    else:
        found = f"{value!s}"
        expected = "whole numbers as class labels (real targets need a loss such as 'mse')"
    raise ValueError(f"{name} contains {found} at row {row}; expected {expected}")


def _check_length(array, n_rows, name):
    if n_rows is not None and len(array) != n_rows:
        raise ValueError(f"{name} has {len(array)} rows, X has {n_rows}")


def _shown(label):
    return repr(label.item())


def _unknown_label(array, row, classes, name):
    if classes.dtype.kind == "i" and np.array_equal(classes, np.arange(len(classes))):
        allowed = f"integers 0..{len(classes) - 1}"
    else:
        allowed = "one of " + ", ".join(_shown(label) for label in classes[:_SHOWN_CLASSES])
        if len(classes) > _SHOWN_CLASSES:
            allowed += f", … ({len(classes)} in all)"
    return f"{name} contains {_shown(array[row])} at row {row}; expected {allowed}"
