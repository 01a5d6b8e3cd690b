"""Scaling of inputs and targets inside a model: fitted once, saved with it, undone in predictions.

Computed in float64 from the numbers as they came, a block of rows at a time, so that a large offset
(a year, a time stamp) costs no digits, and no second copy of the data is made.
"""

from __future__ import annotations

import numpy as np

from fastnn._threads import find_nonfinite
from fastnn._validate import as_array, as_matrix, check_choice

_KINDS = ["minmax", "standard"]
_REAL_LOSSES = ("mse", "mae", "huber", "log_cosh")
_BLOCK = 1024  # rows; a buffer that stays in cache


class Scaling:
    """Columns as (x - shift) / scale.

    Attributes
    ----------
    shift, scale : float64 ndarray (n_columns,)
        "minmax": minimum and range, so that the data fill 0..1. "standard": mean and standard
        deviation. A constant column has scale 1, and becomes 0.
    """

    def __init__(self, shift: np.ndarray, scale: np.ndarray) -> None:
        self.shift, self.scale = shift, scale

    def apply(self, X: np.ndarray, dtype: str, out: np.ndarray | None = None) -> np.ndarray:
        """Scaled rows in `dtype`; `out` may be X itself."""
        if out is None:
            out = np.empty(X.shape, dtype)
        with np.errstate(over="ignore"):  # an infinity is found by whoever checks the result
            for rows in _list_blocks(X):
                out[rows] = (X[rows] - self.shift) / self.scale
        return out

    def undo(self, Y: np.ndarray) -> np.ndarray:
        """Values of which `apply` made Y, in Y's dtype."""
        return (Y * self.scale + self.shift).astype(Y.dtype)


def fit_scaling(kind: str, X: np.ndarray, name: str) -> Scaling:
    """The scaling that `kind` means for these rows."""
    low = X.min(axis=0).astype(np.float64)
    high = X.max(axis=0).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        spread = high - low
        if kind == "minmax":
            shift, scale = low, spread
        else:
            # Sums of deviations from the minimum: exact enough whatever the offset.
            shift = low + sum((X[rows] - low).sum(axis=0) for rows in _list_blocks(X)) / len(X)
            squares = sum(np.square(X[rows] - shift).sum(axis=0) for rows in _list_blocks(X))
            scale = np.sqrt(squares / len(X))
        is_constant = (spread == 0) | (scale == 0)
        shift = np.where(is_constant, low, shift)
        scale = np.where(is_constant, 1.0, scale)
    if not (np.isfinite(shift) & np.isfinite(scale)).all():
        column = int((~(np.isfinite(shift) & np.isfinite(scale))).argmax())
        raise ValueError(
            f"{name} spans {low[column]:g} to {high[column]:g} in column {column}, too much to "
            "scale: divide it first"
        )
    return Scaling(shift, scale)


def _list_blocks(X: np.ndarray) -> list[slice]:
    return [slice(start, start + _BLOCK) for start in range(0, len(X), _BLOCK)]


def check_kind(name: str, kind) -> str | None:
    """Return a kind of scaling, or None."""
    return None if kind is None else check_choice(name, kind, _KINDS)


def check_target_kind(kind, loss) -> str | None:
    """Return a kind of scaling of targets, or None, for a loss of real numbers."""
    kind = check_kind("scale_targets", kind)
    if kind is not None and loss.name not in _REAL_LOSSES:
        raise ValueError(
            f"scale_targets is {kind!r}, but the loss {loss.name!r} takes no real numbers of any "
            f"size; it goes with {', '.join(_REAL_LOSSES)}"
        )
    return kind


def require_scaling(kind: str | None, scaling: Scaling | None) -> None:
    """Refuse to go on before the first fit has fitted a scaling."""
    if kind is not None and scaling is None:
        raise ValueError("the network's scaling is not fitted yet: call fit first")


def check_unscaled(
    X, name: str, dtype: str | None, n_features: int | None, n_threads: int | None, look=True
):
    """X as a checked matrix, and whether that is a copy; `dtype` None chooses one for scaling.

    Without `look`, nobody looks for NaN and infinity.
    """

    def find(array):
        return find_nonfinite(array, n_threads) if look else -1

    matrix = as_matrix(X, name, dtype or choose_dtype(X, name), n_features, find=find)
    return matrix, is_own(matrix, X)


def choose_dtype(X, name: str) -> str:
    """The smaller of float32 and float64 that holds the numbers as they came."""
    source = as_array(X, name)
    if source.dtype.kind in "fiub" and np.result_type(source.dtype, np.float32) == np.float32:
        return "float32"
    return "float64"


def is_own(matrix: np.ndarray, source) -> bool:
    """Whether a checked matrix is a copy that nobody else sees, so that it may be overwritten."""
    if isinstance(source, np.ndarray):
        return not np.may_share_memory(matrix, source)
    return isinstance(source, (list, tuple))
