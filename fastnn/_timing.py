"""How long the phases of a training step take."""

from __future__ import annotations

import copy
import time

import numpy as np

from fastnn import _programs, _threads
from fastnn._core.epoch_rows import EpochRows

_SECONDS = 0.2  # of steps that are timed, and of steps before
_MAX_NUMBERS = 1 << 22  # in the rows that are trained on: more than caches hold
_MAX_BATCHES = 64


def time_phases(net, batch_size: int, optimizer) -> np.ndarray:
    """Mean seconds of a step, (n_threads, n_phases, 2): in front of each phase, and in it.

    The steps have a learning rate that is lost in rounding, and not 0, at which BLAS does nothing.
    """
    if optimizer.whole_data:
        raise ValueError(f"timed is True, but steps of {optimizer!r} are made by SciPy")
    n_batches = min(max(_MAX_NUMBERS // (batch_size * net.n_features), 1), _MAX_BATCHES)
    _programs.check_batches(net.layers, batch_size, n_batches * batch_size)
    X, labels, targets = _draw_data(net, n_batches * batch_size)
    optimizer = copy.deepcopy(optimizer)
    optimizer.reset()
    shapes = net._shapes["training"]
    plans = _programs.plan_training(shapes, batch_size, len(X), net.dtype, net.n_threads, optimizer)
    with net._access:
        parameters = net._parameters.copy()
    binding, engine = _programs.make_trainer(parameters, plans, net.loss, net._merged, optimizer)
    rows = EpochRows(len(X), targets is not None, False)
    engine.load_data(
        X, labels, targets, rows=rows, batch_size=batch_size, seed=net.seed, shuffle=True
    )
    table = optimizer.list_coefficients(1, 1e-30)

    def run() -> int:
        """Whole epochs, until the time is over; how many steps that were."""
        end, n_steps = time.perf_counter() + _SECONDS, 0
        while n_steps == 0 or time.perf_counter() < end:
            engine.run_steps(n_steps, n_batches, optimizer.kernel, table)
            n_steps += n_batches
        return n_steps

    def run_twice() -> np.ndarray:
        binding.pack()
        run()  # first, so that caches are filled and CPUs at their speed
        seconds = engine.time_phases()
        return seconds / run()

    with _threads.limit_blas(plans[0]):
        return _threads.run_interruptibly(run_twice, engine.request_stop)


def _draw_data(net, n_rows: int):
    """Random rows, and labels or targets as the engine takes them."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, net.n_features), dtype=net.dtype)
    if net.loss.targets in ("classes", "labels"):
        return X, rng.integers(net.n_outputs, size=n_rows, dtype=np.int32), None
    return X, None, np.zeros((n_rows, net.n_outputs), dtype=net.dtype)
