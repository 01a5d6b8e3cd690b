"""One fit: epochs through the engine, validation between them, a history of both."""

from __future__ import annotations

import math

import numpy as np
from tqdm import tqdm

from fastnn import _programs, _threads
from fastnn.history import History


class Training:
    """A network and its data, bound to the engine for the length of one `fit`."""

    def __init__(self, net, X, labels, targets, batch_size: int, optimizer, shuffle: bool) -> None:
        self.net = net
        self.data = (X, labels, targets)
        self.history = History()
        self._options = {
            "batch_size": min(batch_size, len(X)),
            "seed": net.seed,
            "shuffle": bool(shuffle),
            "learning_rate": optimizer.learning_rate,
        }
        plans = _programs.plan_training(
            net._shapes["scores"], batch_size, len(X), net.dtype, net.n_threads
        )
        self._plan = plans[0]
        self._binding, self._engine = _programs.make_trainer(
            net._parameters, plans, net.loss.name, net._merged
        )

    def run(self, epochs: int, validation, progress: bool) -> None:
        """Train; one call of the engine for all epochs where nobody looks in between."""
        epochs_per_call = 1 if validation is not None or progress else epochs
        bar = tqdm(total=epochs, unit="epoch", disable=not progress, dynamic_ncols=True)
        with bar, _threads.limit_blas(self._plan):
            for _ in range(0, epochs, epochs_per_call):
                for row in self._run_epochs(epochs_per_call):
                    if validation is not None:
                        row.update(self._validate(*validation))
                    self.history.epochs.append(row)
                    bar.set_postfix(_describe(row), refresh=False)
                    bar.update()

    def _run_epochs(self, n_epochs: int) -> list[dict]:
        """Train in packed weights and bring them back, whatever happens in between."""
        net = self.net
        before = net.parameter_vector.copy()
        self._binding.pack()
        try:
            losses, seconds = _threads.run_interruptibly(
                lambda: self._engine.run_epochs(
                    *self.data, first_epoch=net._epoch, n_epochs=n_epochs, **self._options
                ),
                self._engine.request_stop,
            )
        finally:
            self._binding.unpack()
        if not all(map(math.isfinite, losses)) or not np.isfinite(net.parameter_vector).all():
            net.parameter_vector[...] = before
            raise self._diverged(losses)
        first = net._epoch
        net._epoch += len(losses)
        rate = self._options["learning_rate"]
        return [
            {"epoch": first + i, "loss": loss, "seconds": time, "learning_rate": rate}
            for i, (loss, time) in enumerate(zip(losses, seconds, strict=True))
        ]

    def _diverged(self, losses) -> FloatingPointError:
        finite = [math.isfinite(loss) for loss in losses]
        epoch = self.net._epoch + (finite.index(False) if False in finite else len(finite) - 1)
        rate = self._options["learning_rate"]
        return FloatingPointError(
            f"training diverged in epoch {epoch} at learning rate {rate:g}: the loss or a weight "
            f"became NaN or infinite. The weights are those of epoch {self.net._epoch}'s start; "
            f"try a learning rate of {rate / 10:g}"
        )

    def _validate(self, X, labels, targets) -> dict[str, float]:
        net = self.net
        scores = net._predictors.run(X, net._shapes["scores"], net.n_threads)
        result = _programs.score(scores, net.loss, labels, targets)
        return {f"val_{name}": value for name, value in result.items()}


def _describe(row: dict) -> dict[str, str]:
    return {
        name.replace("_", " "): f"{row[name]:.4f}"
        for name in ("loss", "val_loss", "val_accuracy")
        if name in row
    }
