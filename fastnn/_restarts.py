"""Several trainings from different weights, of which the best is kept."""

from __future__ import annotations

import math

from fastnn._core.kernels import fill_uniform
from fastnn.divergence import DivergenceError
from fastnn.history import History

_STREAM = 2**32 - 1  # of random numbers: that of no layer


def fit_best(net, optimizer, n_restarts: int, train) -> History:
    """Call `train` from the present weights, then from fresh ones; keep the best network.

    Parameters
    ----------
    net : Network
    optimizer : Optimizer
        Begins each training with the state that it has now, and keeps that of the best.
    n_restarts : int
    train : callable
        Trains `net` and returns its history, or raises DivergenceError.

    Returns
    -------
    History
        Of the best, with all of them in ``restarts``.

    Raises
    ------
    DivergenceError
        Where all have diverged; the network is as it was.
    """
    before, seed = _Kept(net, optimizer), net.seed
    best, lowest, records = None, math.inf, []
    for i in range(n_restarts):
        if i > 0:
            before.restore()
            net._start_over(derive_seed(seed, i))
        try:
            history = train()
        except DivergenceError as error:
            records.append({"seed": net.seed, "loss": None, "stop_reason": str(error)})
            last_error = error
            continue
        row = history.epochs[-1] if history.epochs else {}  # stopped within the first
        records.append(_describe(net.seed, row, history))
        score = row.get("val_loss", row.get("loss", math.inf))
        if best is None or score < lowest:
            best, lowest = _Kept(net, optimizer), score
    if best is None:
        before.restore()
        raise last_error
    best.restore()
    net.history.restarts = records
    return net.history


def check_callbacks(n_restarts: int, callbacks) -> None:
    """Refuse checkpoints, which know of one training only."""
    if n_restarts > 1 and any(callback.comes_last for callback in callbacks):
        raise ValueError(
            f"n_restarts is {n_restarts}, but a Checkpoint holds one training: fit with "
            "n_restarts=1, or without it"
        )


class _Kept:
    """A network's weights, and all that belongs to them, as they are now."""

    def __init__(self, net, optimizer) -> None:
        self._net, self._optimizer = net, optimizer
        self._optimizer_state = optimizer.state_dict()
        self._state = net._copy_state()
        self._rest = (net.seed, net._epoch, net._step, net.history)

    def restore(self) -> None:
        net = self._net
        self._optimizer.load_state_dict(self._optimizer_state)
        net._restore_state(self._state)
        net.seed, net._epoch, net._step, net.history = self._rest


def _describe(seed: int, row: dict, history: History) -> dict:
    losses = {name: row[name] for name in ("loss", "val_loss") if name in row}
    return {"seed": seed, **losses, "stop_reason": history.stop_reason}


def derive_seed(seed: int, i: int) -> int:
    """The seed of the i-th restart: 53 random bits, a function of its arguments."""
    return int(fill_uniform(seed, _STREAM, 0.0, 1.0, i)[-1] * 2**53)
