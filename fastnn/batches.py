"""Mini-batches for the explicit training loop."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastnn._core.kernels import shuffle_indices
from fastnn._validate import check_int
from fastnn._weights import as_weights


def batches(
    X,
    y,
    batch_size: int,
    *,
    seed: int = 0,
    epoch: int = 0,
    shuffle: bool = True,
    sample_weight=None,
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the rows of one epoch in mini-batches, in the order that ``fit`` takes them.

    Parameters
    ----------
    X : array-like (n_rows, n_features)
    y : array-like (n_rows, ...)
    batch_size : int
        Rows of a batch; the last one may be shorter.
    seed, epoch : int
        The order is a function of these and of the number of rows. `fit` on a new network with
        this seed goes through epochs 0, 1, 2, ...
    shuffle : bool
        False: the rows as they come.
    sample_weight : array-like (n_rows,), optional
        For ``net.forward(xb, yb, sample_weight=wb)``.

    Returns
    -------
    iterator of (X_batch, y_batch), or (X_batch, y_batch, weights)
        Copies.
    """
    X, y = np.asarray(X), np.asarray(y)
    weights = as_weights(sample_weight, len(X))
    arrays = (X, y) if weights is None else (X, y, weights)
    batch_size = check_int("batch_size", batch_size, 1)
    if len(X) != len(y):
        raise ValueError(f"y has {len(y)} rows, X has {len(X)}")
    seed = check_int("seed", seed, 0, 2**64 - 1)
    epoch = check_int("epoch", epoch, 0, 2**32 - 1)
    order = shuffle_indices(seed, epoch, len(X)) if shuffle else np.arange(len(X))
    return _take(arrays, order, batch_size)


def _take(arrays, order, batch_size):
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        yield tuple(array[rows] for array in arrays)
