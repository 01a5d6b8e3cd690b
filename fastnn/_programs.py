"""Plans bound to memory: for training, for the explicit loop, and what both leave to be done."""

from __future__ import annotations

import numpy as np

from fastnn import _threads
from fastnn._core.binding import Binding
from fastnn._core.engine import Engine
from fastnn._core.inference import compute_row_losses
from fastnn._core.plan import choose_chunk
from fastnn._core.updates import limit_column_norms, update_arena
from fastnn._planning import check_batch, choose_explicit_threads, describe_target, make_plan
from fastnn._targets import check_right


def make_trainer(
    parameters, plans, loss, merged: bool, optimizer, packed: bool = True
) -> tuple[Binding, Engine]:
    """An engine that updates the weights, in copies that `Binding.pack` and `unpack` if packed.

    The bits are the same; copies cost time in each call of the engine, and save it in each step.
    """
    plan, last_plan = plans
    state = optimizer.bind(len(parameters.values), plan.dtype)
    # Of this arena, only what is kept is ever touched, and takes memory: not the weights' part.
    gradients, gradient_views = parameters.make_arena()
    binding = Binding(
        plan,
        parameters.arrays,
        gradient_views,
        plan.batch_size,
        packed=packed,
        training=True,
        slots=[parameters.make_views(slot) for slot in state],
    )
    arenas = (parameters.values, gradients, state)
    return binding, make_engine(binding, loss, merged, arenas, last_plan)


def make_engine(binding, loss, merged: bool, arenas, last_plan=None) -> Engine:
    options = {"settings": loss.settings, "sum_rows": loss.reduction == "sum"}
    return Engine(binding, loss.name, merged, arenas, last_plan, **options)


class Stepper:
    """One forward and backward at a time, on the weights where they lie."""

    def __init__(
        self, parameters, shapes, batch_size: int, dtype: str, n_threads: int | None, loss, merged
    ) -> None:
        check_batch(shapes, batch_size, "this one has 1")
        self.batch_size = batch_size
        self._plan = make_plan(
            shapes,
            batch_size,
            n_threads=n_threads or choose_explicit_threads(shapes, batch_size),
            update="none",
            **describe_target(dtype),
        )
        weights, gradients = parameters.arrays, parameters.weight_grads
        binding = Binding(self._plan, weights, gradients, batch_size, packed=False, training=True)
        arenas = (parameters.values, parameters.gradients, ())
        self._engine = make_engine(binding, loss, merged, arenas)

    def forward(self, X, labels, targets, seed: int, number: int, weights=None) -> float:
        """Loss of a batch, in step `number` of the network."""
        return _threads.run_plan(
            self._plan,
            lambda: self._engine.forward(X, labels, targets, seed, number, weights),
        )

    def backward(self) -> None:
        """Gradients of the last `forward`."""
        _threads.run_plan(self._plan, self._engine.backward)


def score(scores: np.ndarray, loss, labels, targets, weights=None) -> dict[str, float]:
    """Loss of the scores and, for classifiers, the accuracy; rows count by their weights."""
    losses = compute_row_losses(scores, loss.name, loss.settings, labels, targets, weights)
    total = len(losses) if weights is None else np.add.accumulate(weights)[-1]
    # Summed one after the other: the order that a training epoch uses.
    summed = np.add.accumulate(losses)[-1]
    result = {"loss": float(summed if loss.reduction == "sum" else summed / total)}
    if loss.is_classifier:
        right = check_right(scores, loss, labels, targets)
        result["accuracy"] = float(np.average(right, weights=weights))
    return result


def apply_update(parameters, shapes, optimizer) -> None:
    """One optimizer step over the whole arena; then columns of weights that are too long."""
    state = optimizer.bind(len(parameters.values), str(parameters.values.dtype))
    (now,) = optimizer.list_coefficients(1, optimizer.learning_rate)
    update_arena(optimizer.kernel, parameters.values, parameters.gradients, state, now)
    for shape in shapes:
        if shape.max_norm:
            weight = parameters.weights[shape.index][0]
            limit_column_norms(weight, choose_chunk(shape.n_in), shape.max_norm)
    optimizer.steps += 1
