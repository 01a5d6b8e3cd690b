"""The one place that checks shape, dtype, labels and finiteness of what users hand in.

Every function returns what the rest of the package may rely on without looking again, or raises.
A message names the argument, what was found, what was expected and, where there is one, the fix.
The caller's arrays are never written to.
"""

from __future__ import annotations

import difflib
import math
import numbers
import operator
import sys
from collections.abc import Collection
from typing import Any

import numpy as np

from fastnn._core.kernels import find_nonfinite

_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)
_DTYPES = {"float32": _FLOAT32, "float64": _FLOAT64, _FLOAT32: _FLOAT32, _FLOAT64: _FLOAT64}
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


def as_matrix(
    X, name="X", dtype="float32", n_features=None, min_rows=1, find=find_nonfinite
) -> np.ndarray:
    """Return `X` as a finite 2-D matrix of the network's dtype.

    The result is C-contiguous, aligned and native-endian. An array that is all of this already is
    returned itself, read-only or not; anything else is copied once, so that strided, reversed,
    Fortran-order, unaligned, big-endian or broadcast input gives the bits of a contiguous copy.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
        Floats, integers or bools; lists, memmaps and pandas DataFrames included.
    name : str
        What messages call the argument.
    dtype : {"float32", "float64"} or the equal numpy.dtype
    n_features : int or None
        The width that the model expects; None accepts any width of at least 1.
    min_rows : int
    find : callable
        What looks for the first NaN or infinity; `_threads.find_nonfinite` uses several threads.

    Returns
    -------
    ndarray of shape (n_rows, n_features)

    Raises
    ------
    TypeError
        For object, string, complex, datetime and sparse input.
    ValueError
        For a wrong shape, NaN, infinity, or a value that does not fit `dtype`.
    """
    wanted = _DTYPES[dtype]
    # The first branch is all that a row to be scored in microseconds pays for.
    if type(X) is np.ndarray and X.dtype == wanted and X.ndim == 2:
        source = X
    else:
        source = _real_array(X, name)
        if source.ndim != 2:
            raise ValueError(_not_two_dimensional(source, name))
    rows, columns = source.shape
    if rows < min_rows or columns == 0 or (n_features is not None and columns != n_features):
        raise ValueError(_wrong_shape(source, name, n_features, min_rows))
    matrix = _contiguous(source, wanted)
    if find(matrix.reshape(-1)) >= 0:
        raise ValueError(_not_finite(source, matrix, name))
    return matrix


def nonfinite_position(array: np.ndarray) -> tuple[int, ...] | None:
    """Return the index of the first NaN or infinity of a contiguous float array, or None."""
    first = find_nonfinite(array.reshape(-1))
    if first < 0:
        return None
    return tuple(int(i) for i in np.unravel_index(first, array.shape))


def _contiguous(source, wanted):
    flags = source.flags
    if source.dtype == wanted and flags.c_contiguous and flags.aligned:
        return source
    with np.errstate(over="ignore"):  # an overflow becomes inf, reported by row and column
        return np.array(source, dtype=wanted, order="C")


def _as_array(X, name):
    sparse = sys.modules.get("scipy.sparse")
    if sparse is not None and sparse.issparse(X):
        kind = f"a scipy.sparse {type(X).__name__}"
        raise TypeError(f"{name} is {kind}; expected a dense array: use .toarray()")
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        raise TypeError(f"{name} has masked entries; expected a plain array: use .filled(value)")
    try:
        return np.asarray(X)
    except ValueError as error:  # NumPy's "inhomogeneous shape" for nested lists
        raise ValueError(
            f"{name} is not rectangular: its rows differ in length ({error})"
        ) from None


def _real_array(X, name):
    source = _as_array(X, name)
    if source.dtype.kind in "fiub":
        return source
    expected = "expected real numbers (float32, float64, integers or bools)"
    raise TypeError(f"{name} has dtype {source.dtype}; {expected}{_first_non_number(source)}")


def _first_non_number(source):
    if source.dtype.kind != "O":
        return ""
    for index in np.ndindex(source.shape):
        if not isinstance(source[index], numbers.Real):
            return f"; the first entry that is none is {source[index]!r} at {_place(index)}"
    return "; convert it with np.asarray(..., dtype='float64')"


def _place(index):
    if len(index) == 1:
        return f"row {index[0]}"
    if len(index) == 2:
        return f"row {index[0]}, column {index[1]}"
    return f"index {index}"


def _not_two_dimensional(source, name):
    message = f"{name} has shape {source.shape}; expected two dimensions (rows, features)"
    if source.ndim == 1:
        message += ": use reshape(1, -1) for one row, reshape(-1, 1) for one feature"
    return message


def _wrong_shape(source, name, n_features, min_rows):
    rows, columns = source.shape
    if rows < min_rows:
        return f"{name} has shape {source.shape}, {rows} rows; expected at least {min_rows}"
    if columns == 0:
        return f"{name} has shape {source.shape}, 0 features; expected at least 1"
    return f"{name} has {columns} feature{'s' * (columns != 1)}, model expects {n_features}"


def _not_finite(source, converted, name):
    index = nonfinite_position(converted)
    value = source[index]
    if not np.isfinite(value):
        return f"{name} contains {_special(value)} at {_place(index)}; expected finite numbers"
    fix = "scale it, or use dtype='float64'" if converted.dtype == _FLOAT32 else "scale it"
    limit = f"{converted.dtype} (largest {np.finfo(converted.dtype).max:.2g})"
    return f"{name} contains {value!s} at {_place(index)}, which does not fit {limit}: {fix}"


def _special(value):
    return "NaN" if value != value else ("inf" if value > 0 else "-inf")


def as_targets(y, n_rows: int, n_outputs: int, dtype="float32", name="y") -> np.ndarray:
    """Return real-valued targets as a finite matrix of shape (n_rows, n_outputs).

    A vector of shape (n_rows,) is accepted when `n_outputs` is 1. Errors are those of `as_matrix`,
    and ValueError when rows or outputs do not agree with X and the model.
    """
    array = _real_array(y, name)
    if array.ndim == 1 and n_outputs == 1:
        array = array.reshape(-1, 1)
    if array.ndim != 2 or array.shape[1] != n_outputs:
        expected = f"({n_rows}, {n_outputs}), one column for each output of the model"
        raise ValueError(f"{name} has shape {array.shape}; expected {expected}")
    _check_length(array, n_rows, name)
    return as_matrix(array, name, dtype)


def check_probability_rows(targets: np.ndarray, name: str = "y") -> None:
    """Raise ValueError unless the rows of a finite matrix are probabilities that sum to 1.

    One-hot rows and soft targets pass; a sum may be off by 1e-3.
    """
    outside = (targets < 0) | (targets > 1 + _PROBABILITY_TOLERANCE)
    if outside.any():
        index = np.unravel_index(outside.argmax(), targets.shape)
        fix = f"class labels go in as a vector of shape ({len(targets)},)"
        found = f"{name} contains {targets[index]!s} at {_place(index)}"
        raise ValueError(f"{found}; expected probabilities in 0..1 ({fix})")
    sums = targets.sum(axis=1, dtype=np.float64)
    off = np.abs(sums - 1) > _PROBABILITY_TOLERANCE
    if off.any():
        row = off.argmax()
        found = f"{name} sums to {sums[row]:.6g} in row {row}"
        raise ValueError(f"{found}; expected class probabilities, which sum to 1")


def is_label_vector(y) -> bool:
    """Tell class labels, of shape (n,) or (n, 1) or unusable, from target rows, (n, k > 1)."""
    shape = y.shape if isinstance(y, np.ndarray) else _as_array(y, "y").shape
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


def encode_labels(y, classes=None, n_rows=None, name="y") -> tuple[np.ndarray, np.ndarray]:
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
        raise ValueError(_unknown_label(array, 0, classes, name))
    if array.dtype.kind == "i" and np.array_equal(classes, np.arange(len(classes))):
        labels, wrong = array, (array < 0) | (array >= len(classes))  # no search needed
    else:
        order = np.argsort(classes)
        places = np.searchsorted(classes, array, sorter=order)
        # what is greater than all classes has no place; any valid one shows that it is unseen
        labels = order[places.clip(max=len(classes) - 1)]
        wrong = classes[labels] != array
    if wrong.any():
        raise ValueError(_unknown_label(array, int(wrong.argmax()), classes, name))
    return labels.astype(np.int32), classes


def _label_array(y, name):
    """`y` as a 1-D array of int64, bool or str with at least one entry."""
    array = _as_array(y, name)
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
        return array.astype(np.int64)
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
        found, expected = _special(value), "a class label in every row"
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


def check_int(name: str, value, minimum: int, maximum: int | None = None) -> int:
    """Return `value` as an int within [minimum, maximum]; bools and floats are no integers."""
    try:
        number = None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})")
    if number < minimum or (maximum is not None and number > maximum):
        bounds = f"at least {minimum}" if maximum is None else f"in {minimum}..{maximum}"
        raise ValueError(f"{name} must be {bounds}, got {number}")
    return number


def check_number(name, value, low=None, high=None, low_open=False, high_open=False) -> float:
    """Return `value` as a finite float within the bounds; bools and strings are no numbers."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r} ({type(value).__name__})")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, got {number}")
    too_low = low is not None and (number < low or (low_open and number == low))
    too_high = high is not None and (number > high or (high_open and number == high))
    if too_low or too_high:
        bounds = [f"{'greater than' if low_open else 'at least'} {low}"] if low is not None else []
        bounds += [f"{'less than' if high_open else 'at most'} {high}"] if high is not None else []
        raise ValueError(f"{name} must be {' and '.join(bounds)}, got {number}")
    return number


def check_choice(name: str, value, known: Collection[str]) -> str:
    """Return `value` if it is one of `known`, else raise ValueError listing them, nearest first."""
    if isinstance(value, str) and value in known:
        return value
    near = difflib.get_close_matches(str(value).lower(), known, n=len(known))
    listed = near + [choice for choice in known if choice not in near]
    raise ValueError(f"{name} must be one of {', '.join(map(repr, listed))}; got {value!r}")
