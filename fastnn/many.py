"""fit_many: whole networks side by side, one on each core.

A small network leaves a second core idle: its steps are over before another thread has begun. So
each network of many is trained by one thread, which keeps its weights in the cache of one core, and
as many networks as there are threads are trained at once. All of them read the same rows.

Rejected: one engine that takes a mini-batch through all networks in turn. The rows would be read
once for all, but the weights of each network would leave the cache at every step.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from fastnn import _threads
from fastnn._validate import as_matrix, check_int
from fastnn._weights import as_weights
from fastnn.callbacks import check_callbacks
from fastnn.history import History
from fastnn.network import Network


def fit_many(
    networks: Sequence[Network],
    X,
    y,
    *,
    rows=None,
    sample_weight=None,
    optimizer=None,
    callbacks=(),
    n_threads: int | None = None,
    **options,
) -> list[History]:
    """Train many networks over the same data, as `Network.fit` would one after the other.

    Parameters
    ----------
    networks : sequence of Network
        Different objects. Each is trained by one thread, whatever its own ``n_threads``; its
        weights have the same bits for any number of threads.
    X : array-like (n_rows, n_features)
    y : array-like
    rows : sequence of array-like, optional
        The rows that each network is trained on: integers or booleans, one array per network, as
        for the folds of a cross-validation.
    sample_weight : array-like (n_rows,), optional
        As in `Network.fit`, of all rows of X.
    optimizer : optimizer or sequence of optimizers, optional
        One per network, or one for all, of which each gets a copy.
    callbacks : list of Callback or function
        Each network gets copies of its own.
    n_threads : int, optional
        Networks that are trained at once. By default the CPUs of this process.
    **options
        Of `Network.fit`, the same for all.

    Returns
    -------
    list of History
        In the order of the networks.

    Raises
    ------
    ValueError, TypeError
        As from `Network.fit`, for the first network that refuses.
    DivergenceError
        Of the first network that diverged, once all others have been trained.
    KeyboardInterrupt
        On Ctrl-C; every network keeps the weights of its last whole step.
    """
    networks = list(networks)
    if len({id(net) for net in networks}) != len(networks):
        raise ValueError("networks holds the same network twice; make one for each training")
    optimizers = _one_for_each("optimizer", optimizer, len(networks))
    if optimizer is not None and len({id(each) for each in optimizers}) != len(networks):
        raise ValueError(
            "optimizer holds the same one twice; pass one for each network, or a single one to copy"
        )
    if any(callback.comes_last for callback in check_callbacks(callbacks)):
        raise ValueError(
            "callbacks holds a Checkpoint, which is the file of one training: fit each network by "
            "itself, or without it"
        )
    parts = _select_rows(rows, networks, X, y, sample_weight)
    if n_threads is not None:  # threads of Python: a build without OpenMP has them too
        n_threads = check_int("n_threads", n_threads, 1, 256)
    n_workers = n_threads or _threads.count_available()

    def make_fit(net, optimizer, part):
        def fit():
            with _threads.use_one_thread(net):
                return net.fit(
                    **part, optimizer=optimizer, callbacks=copy.deepcopy(callbacks), **options
                )

        return fit

    fits = [make_fit(*each) for each in zip(networks, optimizers, parts, strict=True)]
    return _threads.raise_first(_threads.run_many(fits, n_workers))


def _one_for_each(name: str, value, n: int) -> list:
    """A list of `n`: the given ones, or copies of the only one."""
    if not isinstance(value, (list, tuple)):
        return [copy.deepcopy(value) for _ in range(n)]
    if len(value) != n:
        raise ValueError(f"{name} has {len(value)} entries for {n} networks; expected {n}")
    return list(value)


def _select_rows(rows, networks, X, y, sample_weight) -> list[dict]:
    """Data of each network; X is converted once where all networks want the same of it."""
    dtypes = {net.dtype for net in networks}
    if len(dtypes) == 1 and not any(net.scale_inputs for net in networks):
        X = as_matrix(X, "X", dtypes.pop())
    if rows is None:
        return [{"X": X, "y": y, "sample_weight": sample_weight}] * len(networks)
    arrays = {"X": np.asarray(X), "y": np.asarray(y)}
    weights = as_weights(sample_weight, len(arrays["X"]))
    if weights is not None:
        arrays["sample_weight"] = weights
    parts = _one_for_each("rows", list(rows), len(networks))
    return [{name: array[part] for name, array in arrays.items()} for part in parts]
