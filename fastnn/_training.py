"""One fit: steps through the engine; between them validation, callbacks and a history."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any, NamedTuple

import numpy as np

from fastnn import _planning, _programs, _threads
from fastnn._core.epoch_rows import EpochRows
from fastnn._progress import describe_row, make_bar
from fastnn._rates import Rates
from fastnn._trainer import PACK_MIN_TRAINED, Trainer
from fastnn.divergence import (
    DivergenceError,
    DivergenceWarning,
    describe_rise,
    find_culprit,
)

# A row of coefficients for each step: in one call of the engine no more than 20 MB of them.
MAX_STEPS_PER_CALL = 1 << 18


class _State(NamedTuple):
    """All that steps change."""

    position: int
    arrays: list[np.ndarray]  # copies of `Trainer.state`
    n_rows: int  # of history, since the call began


def is_watched(net, callbacks, validation, progress: bool) -> bool:
    """Whether somebody looks at a fit from epoch to epoch.

    With penalties, each row of the history shows the weights at its epoch's end.
    """
    penalised = bool(net._penalties.factors)
    return bool(callbacks) or validation is not None or progress or penalised


class Training:
    """A network and its data, bound to the engine for the length of one `fit`.

    It is what callbacks are handed: `fastnn.callbacks.Callback` lists what they may use.

    Parameters
    ----------
    net : Network
    data : FitData
    history : History
        Rows are appended to it.
    batch_size : int or None
        None: all rows.
    optimizer : Optimizer
    shuffle : bool
    epochs : int
    callbacks : list of Callback
    schedule : Schedule, optional

    Attributes
    ----------
    learning_rate : float
        What the schedule starts from, or else the rate itself. Callbacks may write it.
    start, position : int
        Steps of the network before this fit, and by now; counted over all its epochs.
    settings : dict
        What decides which step does what.
    """

    _epoch_rows: EpochRows | None = None  # until a fit has been bound to some
    _trainer: Trainer

    def __init__(
        self,
        net,
        data,
        history,
        *,
        batch_size,
        optimizer,
        shuffle,
        epochs,
        callbacks,
        schedule=None,
    ) -> None:
        n_rows = len(data.X)
        batch_size = min(batch_size or n_rows, n_rows)
        self.net = net
        self.epochs = epochs
        self.steps_per_epoch = -(-n_rows // batch_size)
        self.optimizer = optimizer
        self._rates = Rates(optimizer, schedule, self.steps_per_epoch)
        self.settings = {
            "batch_size": batch_size,
            "rows": n_rows,
            "shuffle": shuffle,
            "optimizer": [type(optimizer).__name__, optimizer.settings],
            "schedule": None if schedule is None else repr(schedule),
        }
        self.history = history
        self._n_rows_before = len(history)
        history.stop_reason, history.converged = None, False
        self._n_rows, self._batch_size = n_rows, batch_size
        self._validation, self._look_at_data = data.validation, data.look
        self.callbacks = sorted(callbacks, key=lambda callback: callback.comes_last)
        self.start = self.position = net._epoch * self.steps_per_epoch
        self._bind(data, shuffle)

    def _bind(self, data, shuffle: bool) -> None:
        """Make the engine that `_train` runs."""
        net = self.net
        plans = _planning.plan_training(
            net._shapes["training"],
            self._batch_size,
            self._n_rows,
            net.dtype,
            net.n_threads,
            self.optimizer,
        )
        self._plan, self._mode = plans[0], self._find_mode()
        n_rows = self._choose_n_steps(bool(self.callbacks)) * self._batch_size  # of the first call
        packed = n_rows >= min(PACK_MIN_TRAINED, self._n_rows)
        self._trainer = Trainer.take(
            net._parameters, plans, net.loss, net._merged, self.optimizer, packed
        )
        self._binding, self._engine = self._trainer.binding, self._trainer.engine
        arrays = (data.X, data.labels, data.targets, data.weights)
        shape = (len(data.X), data.targets is not None, data.weights is not None)
        self._epoch_rows = EpochRows.take(*shape)
        self._engine.load_data(
            *arrays,
            rows=self._epoch_rows,
            batch_size=self._batch_size,
            seed=net.seed,
            shuffle=shuffle,
        )

    def _find_mode(self):
        """What of the optimizer the engine is bound to."""
        shapes = self.net._shapes["training"]
        update = _planning.choose_update(self.optimizer, self._batch_size, shapes)
        return self.optimizer.kernel, tuple(self.optimizer.slot_names), update

    # --- what callbacks may use ----------------------------------------------------------------

    @property
    def learning_rate(self) -> Any:
        return self._rates.learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self._rates.write(rate)

    @property
    def n_epochs_done(self) -> int:
        """Whole epochs since this fit began."""
        return (self.position - self.start) // self.steps_per_epoch

    @property
    def epoch(self) -> int:
        """Number of the present epoch; between two, of the one that has ended."""
        return max(self.position - 1, 0) // self.steps_per_epoch

    @property
    def step(self) -> int:
        """Steps of the present epoch that are done."""
        return self.position - self.epoch * self.steps_per_epoch

    @property
    def loss(self) -> float:
        """Loss of the last step, without penalties; to be asked for during the fit."""
        if not hasattr(self, "_engine"):
            raise RuntimeError("the fit has ended: ask for the loss of its steps while it runs")
        start = (self.step - 1) * self._batch_size
        return self._engine.compute_loss(start, min(start + self._batch_size, self._n_rows))

    @property
    def losses_so_far(self) -> np.ndarray:
        """Losses of the rows of an epoch that has begun, in its order; none between two epochs."""
        return self._engine.epoch_losses[: self.position % self.steps_per_epoch * self._batch_size]

    def take_position(self, start: int, position: int, losses) -> None:
        """Go on where another fit was that began at step `start`."""
        self.start, self.position = start, position
        self.losses_so_far[...] = losses

    def stop(self, reason: str = "stopped by a callback") -> None:
        """End the fit after this step or epoch."""
        self.history.stop_reason = str(reason)

    # --- the run -------------------------------------------------------------------------------

    def run(self, progress: bool) -> None:
        """Train until the last epoch is done, or something ends it before."""
        bar = make_bar(self.epochs) if progress else None
        try:
            with bar or contextlib.nullcontext(), self._limit_blas():
                self._notify("on_fit_begin")
                self._notify("take_up")
                if bar is not None:
                    bar.update(self.n_epochs_done)
                self._train(bar)
                self._notify("on_fit_end")
        except KeyboardInterrupt:
            self.history.stop_reason = "interrupted"
            raise
        except DivergenceError as error:
            self.history.stop_reason = str(error)
            raise
        if self._epoch_rows is not None:
            self._epoch_rows.keep()
            self._trainer.keep(self.net._parameters)
            del self._trainer, self._binding, self._engine  # which are the next fit's
        self._conclude()

    def _limit_blas(self):
        return _threads.limit_blas(self._plan)

    def _train(self, bar) -> None:
        watched = is_watched(self.net, self.callbacks, self._validation, bar is not None)
        while self.n_epochs_done < self.epochs and self.history.stop_reason is None:
            rows = self._run_steps(self._choose_n_steps(watched))
            self._finish_epochs(rows, bar)

    def _notify(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)

    def _choose_n_steps(self, watched: bool) -> int:
        """Steps until somebody looks: a callback, a validation, a progress bar, a penalty."""
        if not watched:
            end = self.start + self.epochs * self.steps_per_epoch
            return min(end - self.position, MAX_STEPS_PER_CALL)
        step = self.position % self.steps_per_epoch
        ends = [self.steps_per_epoch, step + MAX_STEPS_PER_CALL]
        for callback in self.callbacks:
            if callback.watches_steps():
                ends.append((step // callback.step_interval + 1) * callback.step_interval)
        return min(ends) - step

    def _finish_epochs(self, rows: list[dict[str, Any]], bar) -> None:
        """Let all who look at this point see what came of the last steps."""
        for callback in self.callbacks:
            if callback.watches_steps() and self.step % callback.step_interval == 0:
                callback.on_step_end(self)
        for row in rows:
            if self._validation is not None:
                row.update(self._validate(*self._validation))
            self.history.epochs.append(row)
            self._notify("on_epoch_end")
            if bar is not None:
                bar.set_postfix(describe_row(row), refresh=False)
                bar.update()

    def _run_steps(self, n_steps: int) -> list[dict[str, Any]]:
        """Train, and describe the epochs that ended."""
        rows: list[dict[str, Any]] = []
        before = self._copy_state(rows, self._trainer.copies)
        try:
            if not self._call_engine(n_steps, rows):
                raise self._find_divergence(before, rows)
        except (DivergenceError, KeyboardInterrupt):
            if not self._is_finite():  # interrupted before the divergence was found
                self._restore_state(before, rows)
            if self._validation is None:  # else a row would lack its columns
                self.history.epochs += rows
            raise
        return rows

    def _call_engine(self, n_steps: int, rows: list) -> bool:
        """Train, and bring packed weights back, whatever happens in between.

        False where a loss, a parameter, or what the optimizer keeps is no longer finite.
        """
        engine, optimizer, first = self._engine, self.optimizer, self.position
        if self._find_mode() != self._mode:
            raise ValueError(
                f"optimizer is now {optimizer!r}: a setting that decides what it keeps, or where "
                "updates are made, was written during a fit; write it before"
            )
        steps = (first - self.start, n_steps)
        rates, momenta = self._rates.list_rates(*steps), self._rates.list_momenta(*steps)
        table = optimizer.list_coefficients(n_steps, rates, momenta)

        def make_steps() -> bool:  # where Ctrl-C does not come in between
            self._binding.pack()
            try:
                return engine.run_steps(first, n_steps, optimizer.kernel, table)
            finally:
                self._binding.unpack()
                self._count_steps(engine.n_steps_done)

        try:
            has_loss = _threads.run_interruptibly(make_steps, engine.request_stop)
        finally:
            if self.position > first:  # else the engine's rows may be those of an earlier call
                rows += self._describe_epochs(first // self.steps_per_epoch)
        return has_loss and self._is_finite()

    def _find_divergence(self, before, rows: list) -> DivergenceError:
        """Stand in front of the first step that leaves something not finite, and describe it.

        What is not finite once stays so, and a run has the same bits wherever it is cut: so the
        steps are made anew, and the last good one found by halving. Fits that do not diverge pay
        for a copy of the weights and a look at them in each call of the engine.
        """
        try:
            self._look_at_data()
        except ValueError:
            self._restore_state(before, rows)
            raise
        n_good, n_bad = 0, self.position - before.position
        if self._is_finite():  # the next step was not made, as its loss was none
            return self._describe_divergence(self.position)
        self._restore_state(before, rows)
        while n_bad - n_good > 1:
            middle, good = (n_good + n_bad) // 2, self._copy_state(rows)
            if self._call_engine(middle - n_good, rows):
                n_good = middle
            else:
                self._restore_state(good, rows)
                n_bad = middle
        good = self._copy_state(rows)
        self._call_engine(1, rows)
        error = self._describe_divergence(good.position)
        self._restore_state(good, rows)
        return error

    def _copy_state(self, rows: list, copies: list[np.ndarray] | None = None) -> _State:
        """The present state, in the memory of `copies` if given."""
        arrays = self._trainer.state
        copies = copies or [np.empty_like(array) for array in arrays]
        for copy, array in zip(copies, arrays, strict=True):
            copy[...] = array
        return _State(self.position, copies, len(rows))

    def _restore_state(self, state: _State, rows: list) -> None:
        self._count_steps(state.position - self.position)
        for array, copy in zip(self._trainer.state, state.arrays, strict=True):
            array[...] = copy
        del rows[state.n_rows :]

    def _count_steps(self, n_steps: int) -> None:
        """Steps that were made, or, if negative, taken back."""
        self.optimizer.steps += n_steps
        self.position += n_steps
        self.net._epoch = self.position // self.steps_per_epoch
        self.net._step = self.position % 2**32

    def _is_finite(self) -> bool:
        """Whether all that a step changes is finite."""
        arrays = self._trainer.state
        return all(_threads.find_nonfinite(a, self.net.n_threads) < 0 for a in arrays)

    def _describe_epochs(self, first: int) -> list[dict[str, Any]]:
        """A row of history for each epoch that ended in the last call of the engine."""
        return [
            {
                "epoch": i,
                **self.net._penalties.split(loss),
                "seconds": seconds,
                **self._rates.describe(i * self.steps_per_epoch - self.start),
            }
            for i, (loss, seconds) in enumerate(self._engine.epochs_done, first)
        ]

    def _describe_divergence(self, number: int) -> DivergenceError:
        """Of step `number`, counted over all epochs: which layer went wrong, and at what rate."""
        epoch, step = divmod(number, self.steps_per_epoch)
        n_rows = min(self._batch_size, self._n_rows - step * self._batch_size)
        outputs = [output[:n_rows] for output in self._binding.outputs]
        slots = self._trainer.state[2:]
        layer, found = find_culprit(self.net._parameters, slots, outputs)
        return DivergenceError(
            epoch, step, layer, found, self._rates.find_rate(number - self.start)
        )

    def _validate(self, X, labels, targets) -> dict[str, float]:
        net = self.net
        scores = net._predictors.run(X, net._shapes["scores"], net.n_threads)
        result = _programs.score(scores, net.loss, labels, targets)
        return {f"val_{name}": value for name, value in result.items()}

    def _conclude(self) -> None:
        """Say why training ended, and whether it went the wrong way."""
        history = self.history
        if history.stop_reason is None:
            all_of_them = (
                f"all {self.epochs} epochs are" if self.epochs > 1 else "the only epoch is"
            )
            history.stop_reason = f"{all_of_them} done"
        losses = [row["loss"] for row in history.epochs[self._n_rows_before :]]
        rise = describe_rise(losses, self.learning_rate)
        if rise is not None:
            history.stop_reason += f"; {rise}"
            warnings.warn(rise, DivergenceWarning, stacklevel=5)
