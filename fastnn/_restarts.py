"""Several trainings from different weights, side by side, of which the best is kept."""

from __future__ import annotations

import contextlib
import copy
import math
import threading

from fastnn import _threads
from fastnn._core.kernels import fill_uniform
from fastnn._core.plan import choose_n_threads
from fastnn.divergence import DivergenceError
from fastnn.history import History

_STREAM = 2**32 - 1  # of random numbers: that of no layer


def fit_best(net, optimizer, callbacks, n_restarts: int, n_workers: int, train) -> History:
    """Train from the present weights, and from fresh ones in twins; keep the best network.

    Whatever `n_workers`, the result has the same bits: each training has a network, an optimizer
    and callbacks of its own, and a tie goes to the first.

    Parameters
    ----------
    net : Network
        The first training is its own: after an interruption it has the weights of that.
    optimizer : Optimizer
        Each training begins with the state that it has now; it keeps that of the best.
    callbacks : list of Callback
        Each training gets copies.
    n_restarts : int
    n_workers : int
        Trainings at once, each by one thread; 1: one after the other, by the network's threads.
    train : callable
        ``train(net, optimizer, callbacks)`` returns the history, or raises DivergenceError.

    Returns
    -------
    History
        Of the best, with all of them in ``restarts``.

    Raises
    ------
    DivergenceError
        Where all have diverged; the network is as it was.
    """
    before, seed, best = _Kept(net, optimizer), net.seed, _Best()
    fresh = copy.deepcopy(optimizer)
    copies = [copy.deepcopy(callbacks) for _ in range(n_restarts)]

    def run(i: int):
        trainee, own = net, optimizer
        if i > 0:
            trainee, own = net._make_twin(derive_seed(seed, i)), copy.deepcopy(fresh)
        limit = contextlib.nullcontext() if n_workers == 1 else _threads.use_one_thread(trainee)
        try:
            with limit:
                history = train(trainee, own, copies[i])
        except DivergenceError as error:
            return {"seed": trainee.seed, "loss": None, "stop_reason": str(error)}, error
        finally:
            if i > 0:
                trainee._access.end_writing()
        row = history.epochs[-1] if history.epochs else {}  # stopped within the first
        best.offer(row.get("val_loss", row.get("loss", math.inf)), i, trainee, own)
        return _describe(trainee.seed, row, history), None

    jobs = [lambda i=i: run(i) for i in range(n_restarts)]
    results = _threads.raise_first(_threads.run_many(jobs, n_workers))
    if best.kept is None:
        before.restore(net, optimizer)
        raise results[-1][1]
    best.kept.restore(net, optimizer)
    net.history.restarts = [record for record, _ in results]
    return net.history


def choose_n_workers(net, batch_size: int, n_restarts: int) -> int:
    """Trainings at once: as many as threads, where one network would leave all but one idle."""
    available = net.n_threads or _threads.count_available()
    is_small = choose_n_threads(net._shapes["training"], batch_size, available) == 1
    return min(available, n_restarts) if is_small else 1


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
        self._optimizer_state = optimizer.state_dict()
        self._state = net._copy_state()
        self._rest = (net.seed, net._epoch, net._step, net.history)

    def restore(self, net, optimizer) -> None:
        """Put them into a network of the same settings."""
        optimizer.load_state_dict(self._optimizer_state)
        net._restore_state(self._state)
        net.seed, net._epoch, net._step, net.history = self._rest


class _Best:
    """The training with the lowest score, the first of them where several have it."""

    def __init__(self) -> None:
        self.kept: _Kept | None = None
        self._rank = (math.inf, math.inf)
        self._lock = threading.Lock()

    def offer(self, score: float, i: int, net, optimizer) -> None:
        """Keep the network of training `i` as it is now, if none was better; NaN is the worst."""
        score = math.inf if math.isnan(score) else score
        with self._lock:
            if (score, i) < self._rank:
                self.kept, self._rank = _Kept(net, optimizer), (score, i)


def _describe(seed: int, row: dict, history: History) -> dict:
    losses = {name: row[name] for name in ("loss", "val_loss") if name in row}
    return {"seed": seed, **losses, "stop_reason": history.stop_reason}


def derive_seed(seed: int, i: int) -> int:
    """The seed of the i-th restart: 53 random bits, a function of its arguments."""
    return int(fill_uniform(seed, _STREAM, 0.0, 1.0, i)[-1] * 2**53)
