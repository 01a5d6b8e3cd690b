"""Callbacks: what looks on while a network trains, and may end it."""

from __future__ import annotations

import math
from collections.abc import Callable

from fastnn._validate import check_choice, check_int, check_number


class Callback:
    """Base class; override what you need. A plain function serves as an `on_epoch_end`.

    Every method is handed the running fit, which has

    - ``net``: the network. Callbacks may predict, and read and write its weights;
    - ``history``: its rows so far, the present epoch's in `on_epoch_end` included;
    - ``epochs``: how many were asked for; ``epoch``: the number of the present one, counted by the
      network from 0; ``step``: how many of its ``steps_per_epoch`` steps are done;
    - ``loss``: mean loss of the last step, without penalties;
    - ``learning_rate``: what a schedule starts from, or else the rate itself; may be written, with
      a number of at least 0; None with `LBFGS`, which begins anew, without memory, from weights
      that are written;
    - ``stop(reason)``: ends the fit; the reason goes to ``history.stop_reason``.

    Without callbacks all epochs are one call of the engine. With `on_epoch_end` (and with penalties
    on weights) there is a call for each epoch, with `on_step_end` one for each `step_interval`
    steps. The bits are the same.

    Attributes
    ----------
    step_interval : int
        `on_step_end` is called after so many steps, counted within each epoch; at least 1.
    """

    step_interval = 1
    comes_last = False  # called after the others, so that it sees what they have done

    def on_fit_begin(self, fit) -> None:
        """Before the first step."""

    def on_step_end(self, fit) -> None:
        """After each `step_interval`-th step."""

    def on_epoch_end(self, fit) -> None:
        """After each epoch and its validation."""

    def on_fit_end(self, fit) -> None:
        """After the last step, unless an error ended the fit."""

    def take_up(self, fit) -> None:
        """After all callbacks' `on_fit_begin`: for a checkpoint to put the fit where it was."""

    def state_dict(self) -> dict:
        """What a checkpoint must keep: values that JSON holds, and arrays."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a `state_dict`."""

    def watches_steps(self) -> bool:
        """Whether `on_step_end` does anything."""
        return type(self).on_step_end is not Callback.on_step_end


class FunctionCallback(Callback):
    """A function that is called after each epoch."""

    def __init__(self, function: Callable) -> None:
        self._function = function

    def on_epoch_end(self, fit) -> None:
        self._function(fit)


class MetricWatcher(Callback):
    """Base of what acts when a metric no longer improves."""

    def __init__(self, monitor: str, patience: int, min_delta: float, mode: str | None) -> None:
        self.monitor = monitor
        self.patience = check_int("patience", patience, 1)
        self.min_delta = check_number("min_delta", min_delta, low=0)
        default = "max" if monitor.endswith("accuracy") else "min"
        self.mode = default if mode is None else check_choice("mode", mode, ["min", "max"])
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self._n_waited = 0

    def on_fit_begin(self, fit) -> None:
        self._forget()

    def _improves(self, value: float) -> bool:
        if math.isnan(value):
            return False
        if self.best is None:
            return True
        gain = self.best - value if self.mode == "min" else value - self.best
        return gain > self.min_delta

    def check_validation(self, is_validated: bool) -> None:
        """Refuse a fit whose history will lack the column, before it begins."""
        if self.monitor.startswith("val_") and not is_validated:
            raise ValueError(
                f"{type(self).__name__} monitors {self.monitor!r}, but there is no validation set: "
                "pass validation to fit, or another monitor"
            )

    def _read(self, row: dict) -> float:
        if row.get(self.monitor) is None:
            known = ", ".join(row)
            name = type(self).__name__
            raise ValueError(f"{name} monitors {self.monitor!r}, but the history has {known}")
        return float(row[self.monitor])


class EarlyStopping(MetricWatcher):
    """End the fit when a metric no longer improves.

    L. Prechelt, "Early stopping - but when?" (1998), with the simplest of its criteria.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A column of the history.
    patience : int, default 5
        Epochs without improvement after which the fit ends.
    min_delta : float, default 0
        An improvement is more than this.
    restore_best : bool, default True
        Give the network the weights of the best epoch when the fit ends, but for an error or
        Ctrl-C, which leave those of the last step.
    mode : {"min", "max"}, optional
        By default "max" for a column whose name ends in "accuracy", else "min".

    Attributes
    ----------
    best, best_epoch
        The best value so far, and its epoch.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        restore_best: bool = True,
        mode: str | None = None,
    ) -> None:
        self.restore_best = bool(restore_best)
        super().__init__(monitor, patience, min_delta, mode)

    def _forget(self) -> None:
        super()._forget()
        self.best_epoch: int | None = None
        self._best_state: dict | None = None

    def on_epoch_end(self, fit) -> None:
        value = self._read(fit.history.epochs[-1])
        if self._improves(value):
            self.best, self.best_epoch, self._n_waited = value, fit.epoch, 0
            if self.restore_best:
                self._best_state = fit.net._copy_state()
            return
        self._n_waited += 1
        if self._n_waited >= self.patience:
            best = "" if self.best is None else f" (best {self.best:.6g}, epoch {self.best_epoch})"
            restored = "; its weights are restored" if self._best_state is not None else ""
            fit.stop(
                f"early stopping: {self.monitor} has not improved for {self.patience} "
                f"epochs{best}{restored}"
            )

    def on_fit_end(self, fit) -> None:
        if self._best_state is not None:
            fit.net._restore_state(self._best_state)

    def state_dict(self) -> dict:
        kept = {f"kept.{name}": array for name, array in (self._best_state or {}).items()}
        return {
            "best": self.best, "best_epoch": self.best_epoch, "n_waited": self._n_waited, **kept
        }  # fmt: skip

    def load_state_dict(self, state: dict) -> None:
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self._n_waited = state["n_waited"]
        kept = {name[5:]: array for name, array in state.items() if name.startswith("kept.")}
        self._best_state = kept or None


class ReduceOnPlateau(MetricWatcher):
    """Lower the learning rate when a metric no longer improves.

    r <- max(factor r, min_rate) after `patience` epochs without improvement, then the count begins
    anew. As PyTorch's ReduceLROnPlateau, whose patience is less by one, with an absolute threshold.
    A schedule goes on from the lower rate. The optimizer's own rate stays.

    Parameters
    ----------
    factor : float, default 0.1
        In (0, 1).
    patience : int, default 5
    monitor : str, default "val_loss"
        A column of the history.
    min_delta : float, default 0
        An improvement is more than this.
    min_rate : float, default 0
        Where a rate is as low, it stays.
    mode : {"min", "max"}, optional
        By default "max" for a column whose name ends in "accuracy", else "min".

    Attributes
    ----------
    best
        The best value so far.
    """

    def __init__(
        self,
        factor: float = 0.1,
        patience: int = 5,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        min_rate: float = 0.0,
        mode: str | None = None,
    ) -> None:
        self.factor = check_number("factor", factor, 0, 1, low_open=True, high_open=True)
        self.min_rate = check_number("min_rate", min_rate, low=0)
        super().__init__(monitor, patience, min_delta, mode)

    def on_epoch_end(self, fit) -> None:
        value = self._read(fit.history.epochs[-1])
        if self._improves(value):
            self.best, self._n_waited = value, 0
            return
        self._n_waited += 1
        if self._n_waited >= self.patience:
            lower = max(self.factor * fit.learning_rate, self.min_rate)
            fit.learning_rate = min(fit.learning_rate, lower)
            self._n_waited = 0

    def state_dict(self) -> dict:
        return {"best": self.best, "n_waited": self._n_waited}

    def load_state_dict(self, state: dict) -> None:
        self.best, self._n_waited = state["best"], state["n_waited"]


class Convergence(Callback):
    """End the fit when the loss has fallen by less than `tol` in `patience` epochs: `fit(tol=)`."""

    def __init__(self, tol: float, patience: int) -> None:
        self.tol, self.patience = tol, patience

    def on_fit_begin(self, fit) -> None:
        self._reference, self._n_waited = math.inf, 0

    def on_epoch_end(self, fit) -> None:
        loss = fit.history.epochs[-1]["loss"]
        if loss < self._reference - self.tol:
            self._reference, self._n_waited = loss, 0
            return
        self._n_waited += 1
        if self._n_waited >= self.patience:
            fit.history.converged = True
            fit.stop(
                f"converged: in {self.patience} epochs the loss has not fallen by more than "
                f"tol={self.tol:g} below {self._reference:.6g}"
            )

    def state_dict(self) -> dict:
        reference = None if self._reference == math.inf else self._reference
        return {"reference": reference, "n_waited": self._n_waited}

    def load_state_dict(self, state: dict) -> None:
        self._reference = math.inf if state["reference"] is None else state["reference"]
        self._n_waited = state["n_waited"]


def check_callbacks(callbacks) -> list[Callback]:
    """Return callbacks as a list of `Callback` objects."""
    if isinstance(callbacks, Callback) or callable(callbacks):
        callbacks = [callbacks]
    checked = []
    for i, callback in enumerate(callbacks):
        if isinstance(callback, Callback):
            checked.append(callback)
        elif callable(callback) and not isinstance(callback, type):
            checked.append(FunctionCallback(callback))
        else:
            raise TypeError(
                f"callbacks[{i}] is {callback!r}; expected a fastnn.Callback or a function"
            )
        check_int(f"step_interval of callbacks[{i}]", checked[i].step_interval, 1)
    return checked
