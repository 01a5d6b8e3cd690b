"""How long the phases of a training step take."""

from __future__ import annotations

import time

import numpy as np

from fastnn import _planning, _programs, _threads
from fastnn._core.epoch_rows import EpochRows
from fastnn._parameters import Parameters

_SECONDS = 0.2  # of steps that are timed, and of steps before
_MAX_NUMBERS = 1 << 22  # in the rows that are trained on: more than caches hold
_MAX_BATCHES = 64


def time_phases(net, batch_size: int, optimizer) -> np.ndarray:
    """Mean seconds of a step, (n_threads, n_phases, 2): in front of each phase, and in it.

    Of a network of the same layers whose weights are small: no step diverges, and what the weights
    are does not show in the time.
    """
    if optimizer.whole_data:
        raise ValueError(f"timed is True, but steps of {optimizer!r} are made by SciPy")
    n_batches = _MAX_NUMBERS // (batch_size * max(net.n_features, net.n_outputs))
    n_rows = batch_size * min(max(n_batches, 1), _MAX_BATCHES)
    _planning.check_batches(net.layers, batch_size, n_rows)
    twin = type(optimizer)(**optimizer.settings)  # without what this one keeps
    plans = _planning.plan_training(
        net._shapes["training"], batch_size, n_rows, net.dtype, net.n_threads, twin
    )
    parameters = Parameters(net.n_features, net.layers, net.dtype)
    parameters.values[...] = 1e-3
    binding, engine = _programs.make_trainer(parameters, plans, net.loss, net._merged, twin)
    X, labels, targets = _draw_data(net, n_rows)
    rows = EpochRows(n_rows, targets is not None, False)
    engine.load_data(
        X, labels, targets, rows=rows, batch_size=batch_size, seed=net.seed, shuffle=True
    )
    with _threads.limit_blas(plans[0]):
        return _Steps(engine, twin).time(binding.pack)


class _Steps:
    """Steps of an engine, one call after the other."""

    def __init__(self, engine, optimizer) -> None:
        self._engine, self._kernel = engine, optimizer.kernel
        self._table = optimizer.list_coefficients(1, 1e-30)  # at a rate of 0, BLAS does nothing
        self._position, self._stopped = 0, False

    def time(self, pack) -> np.ndarray:
        def run_twice() -> np.ndarray:
            pack()
            self._run()  # first, so that caches are filled and CPUs at their speed
            seconds = self._engine.time_phases()
            return seconds / self._run()

        return _threads.run_interruptibly(run_twice, self._stop)

    def _stop(self) -> None:
        self._stopped = True
        self._engine.request_stop()

    def _run(self) -> int:
        """Steps until the time is over, in calls of twice as many each; how many those were."""
        end, first, n_steps = time.perf_counter() + _SECONDS, self._position, 1
        while not self._stopped:
            self._engine.run_steps(self._position, n_steps, self._kernel, self._table)
            self._position += n_steps
            if time.perf_counter() >= end:
                break
            n_steps *= 2
        return max(self._position - first, 1)


def _draw_data(net, n_rows: int):
    """Random rows, and labels or targets as the engine takes them."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, net.n_features), dtype=net.dtype)
    if net.loss.targets in ("classes", "labels"):
        return X, rng.integers(net.n_outputs, size=n_rows, dtype=np.int32), None
    return X, None, np.zeros((n_rows, net.n_outputs), dtype=net.dtype)
