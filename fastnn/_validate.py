"""The one place that checks shape, dtype and finiteness of what users hand in (labels: `_labels`).

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

import numpy as np

from fastnn._core.kernels import find_nonfinite

_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)
_DTYPES = {"float32": _FLOAT32, "float64": _FLOAT64, _FLOAT32: _FLOAT32, _FLOAT64: _FLOAT64}


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
        source = real_array(X, name)
        if source.ndim != 2:
            raise ValueError(_not_two_dimensional(source, name))
    rows, columns = source.shape
    if rows < min_rows or columns == 0 or (n_features is not None and columns != n_features):
        raise ValueError(_wrong_shape(source, name, n_features, min_rows))
    matrix = _contiguous(source, wanted)
    if find(matrix.reshape(-1)) >= 0:
        raise ValueError(_not_finite(source, matrix, name))
    return matrix


def is_matrix(X, dtype: str) -> bool:
    """Whether `as_matrix` would return X itself, if it is finite and of the right shape."""
    return type(X) is np.ndarray and X.ndim == 2 and _contiguous_already(X, _DTYPES[dtype])


def nonfinite_position(array: np.ndarray) -> tuple[int, ...] | None:
    """Return the index of the first NaN or infinity of a contiguous float array, or None."""
    first = find_nonfinite(array.reshape(-1))
    if first < 0:
        return None
    return tuple(int(i) for i in np.unravel_index(first, array.shape))


def _contiguous_already(source, wanted) -> bool:
    flags = source.flags
    return source.dtype == wanted and flags.c_contiguous and flags.aligned


def _contiguous(source, wanted):
    if _contiguous_already(source, wanted):
        return source
    with np.errstate(over="ignore"):  # an overflow becomes inf, reported by row and column
        return np.array(source, dtype=wanted, order="C")


def as_array(X, name):
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


def real_array(X, name):
    source = as_array(X, name)
    if source.dtype.kind in "fiub":
        return source
    expected = "expected real numbers (float32, float64, integers or bools)"
    raise TypeError(f"{name} has dtype {source.dtype}; {expected}{_first_non_number(source)}")


def check_n_features(X, name, n_features):
    """Refuse a matrix that has another number of features than the network."""
    if X.shape[1] != n_features:
        raise ValueError(_wrong_shape(X, name, n_features, 0))


def _first_non_number(source):
    if source.dtype.kind != "O":
        return ""
    for index in np.ndindex(source.shape):
        if not isinstance(source[index], numbers.Real):
            return f"; the first entry that is none is {source[index]!r} at {describe_place(index)}"
    return "; convert it with np.asarray(..., dtype='float64')"


def describe_place(index):
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
        found = f"{name} contains {describe_special(value)} at {describe_place(index)}"
        return f"{found}; expected finite numbers"
    fix = "scale it, or use dtype='float64'" if converted.dtype == _FLOAT32 else "scale it"
    limit = f"{converted.dtype} (largest {np.finfo(converted.dtype).max:.2g})"
    return (
        f"{name} contains {value!s} at {describe_place(index)}, which does not fit {limit}: {fix}"
    )


def describe_special(value):
    return "NaN" if value != value else ("inf" if value > 0 else "-inf")


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
