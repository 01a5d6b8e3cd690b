"""A fit by L-BFGS: SciPy chooses the weights, the engine computes their loss and its gradient."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import numpy as np

from fastnn import _planning, _programs, _threads
from fastnn._training import Training
from fastnn.callbacks import ReduceOnPlateau


class _StoppedError(Exception):
    """Ends the minimisation from within, after the last whole iteration."""


class _RewrittenError(Exception):
    """Ends it as well: a callback has written weights, from which the next one begins."""


class Minimizing(Training):
    """What `Training` is to the other optimizers; an epoch is an iteration of one step.

    Parameters
    ----------
    As those of `Training`; `check_minimizing` has passed them.
    """

    def _bind(self, data, shuffle: bool) -> None:
        net = self.net
        self._data = data
        self._stepper = _programs.Stepper(
            net._parameters,
            net._shapes["training"],
            len(data.X),
            net.dtype,
            net.n_threads,
            net.loss,
            net._merged,
        )
        self._data_loss: float | None = None  # of the weights that were tried last

    @property
    def loss(self) -> Any:
        return self._data_loss

    def _limit_blas(self):
        """Sums over all parameters, which SciPy leaves to BLAS, are to have one order."""
        return _threads.hold_blas()

    def _train(self, bar) -> None:
        while self.n_epochs_done < self.epochs and self.history.stop_reason is None:
            self._kept = self.net._copy_state()  # of the last whole iteration
            self._clock, self._data_loss = time.perf_counter(), None
            with contextlib.suppress(_StoppedError, _RewrittenError):
                self._minimize(bar)

    def _minimize(self, bar) -> None:
        """Iterate from the present weights, without memory of steps before."""
        from scipy.optimize import minimize  # takes longer to import than fastnn

        settings = self.optimizer
        options = {
            "maxcor": settings.history_size,
            "gtol": settings.tolerance_gradient,
            "ftol": settings.tolerance_change,
            "maxls": settings.max_line_search,
            "maxiter": self.epochs - self.n_epochs_done,
            "maxfun": np.inf,  # SciPy's own limits would end long fits
        }
        try:
            found = minimize(
                self._evaluate,
                self.net.parameter_vector.astype(np.float64),
                jac=True,
                method="L-BFGS-B",
                callback=lambda vector: self._end_iteration(vector, bar),
                options=options,
            )
        finally:
            self.net._restore_state(self._kept)  # and not those of a step that was only tried
        self._explain(found)

    def _evaluate(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Loss and gradient at these parameters."""
        net = self.net
        net._restore_state(self._kept)  # running statistics move once in an iteration
        with np.errstate(over="ignore"):
            net.parameter_vector[...] = vector
        data_loss = _threads.run_interruptibly(self._run_passes, lambda: None)
        loss = data_loss + net._penalties.measure()
        gradient = net.gradient_vector.astype(np.float64)
        if not (np.isfinite(loss) and np.isfinite(gradient).all()):
            self._refuse_nonfinite()
        self._data_loss = data_loss
        return loss, gradient

    def _run_passes(self) -> float:
        data = self._data
        loss = self._stepper.forward(
            data.X, data.labels, data.targets, self.net.seed, 0, data.weights
        )
        self._stepper.backward()
        return loss

    def _refuse_nonfinite(self) -> None:
        if self._data_loss is None:  # the first pass of all
            self.history.stop_reason = "the loss or its gradient is NaN or infinite at the start"
            raise FloatingPointError(
                "the loss or its gradient is NaN or infinite at the weights that LBFGS begins "
                "with; scale X and y, or reset the network"
            )
        self.stop("the line search met a loss or gradient that is NaN or infinite")
        raise _StoppedError

    def _end_iteration(self, vector: np.ndarray, bar) -> None:
        """A row of the history for weights that SciPy has taken; they were the last to be tried."""
        net, now = self.net, time.perf_counter()
        net.parameter_vector[...] = vector
        self._kept = net._copy_state()
        epoch = self.position
        self.position += 1
        self.optimizer.steps += 1
        net._epoch = self.position
        net._step = self.position % 2**32
        row = {"epoch": epoch, **net._penalties.split(self._data_loss)}
        self._finish_epochs([{**row, "seconds": now - self._clock}], bar)
        written, kept = net._copy_state(), self._kept
        self._kept = written  # by the callbacks, or as it was
        if self.history.stop_reason is not None:
            raise _StoppedError
        if not all(np.array_equal(written[name], kept[name]) for name in kept):
            raise _RewrittenError
        self._clock = time.perf_counter()

    def _explain(self, found) -> None:
        """Say in words why SciPy came back."""
        history, settings = self.history, self.optimizer
        history.converged = found.status == 0
        if found.status == 0 and np.abs(found.jac).max() <= settings.tolerance_gradient:
            history.stop_reason = (
                "converged: no element of the gradient is above tolerance_gradient="
                f"{settings.tolerance_gradient:g}"
            )
        elif found.status == 0:
            history.stop_reason = (
                "converged: the loss fell by no more than tolerance_change="
                f"{settings.tolerance_change:g} of itself"
            )
        elif found.status != 1:
            history.stop_reason = (
                "the line search finds no lower loss in max_line_search="
                f"{settings.max_line_search} passes, to the precision of {self.net.dtype}"
            )


def check_minimizing(net, n_rows: int, options) -> None:
    """Refuse what L-BFGS cannot do, before anything has changed.

    Raises
    ------
    ValueError
        Naming the argument or layer, and what to do instead.
    """
    _planning.check_batch(net.layers, n_rows, "the data set has 1")
    batch_size = options["batch_size"]
    if batch_size is not None and batch_size < n_rows:
        raise ValueError(
            f"batch_size is {batch_size}, but LBFGS takes all {n_rows} rows in each step: leave "
            'batch_size out, or pass "all"'
        )
    if options["schedule"] is not None:
        raise ValueError(
            f"schedule is {options['schedule']!r}, but LBFGS has no learning rate: leave it out"
        )
    for callback in options["callbacks"]:
        if callback.comes_last or isinstance(callback, ReduceOnPlateau):
            name = type(callback).__name__
            lacks = "state that a file could keep" if callback.comes_last else "learning rate"
            raise ValueError(f"{name} does not go with LBFGS, which has no {lacks}")
    for i, layer in enumerate(net.layers):
        why = _find_obstacle(net, i, layer)
        if why is not None:
            raise ValueError(
                f"layers[{i}] is {layer!r}, but LBFGS needs a loss that {why}: take it away, or "
                "another optimizer"
            )


def _find_obstacle(net, i: int, layer) -> str | None:
    if layer.kind == "dropout":
        return "is the same in every pass"
    if net._penalties.factors.get(i, {}).get("l1"):
        return f"is smooth, without l1={net._penalties.factors[i]['l1']:g}"
    if getattr(layer, "max_norm", None) is not None:
        return "is minimised freely, without max_norm"
    return None
