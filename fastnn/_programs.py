"""From a network's settings to bound plans: what `Network` runs, without any of its bookkeeping."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from fastnn import _threads
from fastnn._core import kernels
from fastnn._core.binding import Binding
from fastnn._core.engine import Engine
from fastnn._core.helpers import get_helpers
from fastnn._core.inference import Predictor, compute_row_losses
from fastnn._core.plan import BATCH_CHUNK, PREDICTED_ROWS, choose_chunk, choose_n_threads, make_plan
from fastnn._core.plan_structs import LayerShape, Plan
from fastnn._core.quick import QuickPredictor
from fastnn._core.updates import limit_column_norms, update_arena
from fastnn._parameters import count_elements, list_widths
from fastnn._targets import check_right

# From so many rows on, and weights, a prediction is worth copying the weights into panels first:
# rows of wide weights lie a page of memory apart.
PACK_MIN_ROWS = 1024
PACK_MIN_WEIGHTS = 1 << 21
# In training, where they are copied back for each callback too: from this many rows between two.
PACK_MIN_TRAINED = 1024
# Multiply-adds up to which a call keeps the GIL: some 20 µs of work.
_SMALL_CALL = 1 << 20
# As many as what a layer does for a row beside its product, and to begin with a row.
_ROW_COST = 1 << 10
# The same for calls that others help with, by elements of a vector: at most 150 µs of work.
_SMALL_SHARED_CALL = 1 << 19
# From which on a share is worth handing over, some 5 µs, and waking a thread for, some 70.
_SMALLEST_SHARE = 1 << 18
_SMALLEST_WOKEN_SHARE = 1 << 22
# Many short fits are alike, and a plan takes as long to make as a hundred small steps.
_make_plan = functools.lru_cache(maxsize=64)(make_plan)
# The explicit loop starts a region at every call, so it takes so much more work to pay for threads.
EXPLICIT_PRICE = 36


def make_shapes(
    n_features: int, layers, output_activation, training: bool, penalties=None
) -> tuple[LayerShape, ...]:
    """What the plan must know of the layers, the last with the activation that is applied.

    `penalties` are l1 and l2 by index of the layer, where training adds any to the loss.
    """
    widths = list_widths(layers, n_features)
    shapes = []
    for i, layer in enumerate(layers):
        if layer.kind == "dropout" and not training:
            continue
        activation = output_activation if layer is layers[-1] else layer.activation
        penalty = (penalties or {}).get(i, {})
        shapes.append(make_shape(layer, i, widths[i], activation, penalty))
    return tuple(shapes)


def make_shape(layer, i: int, n_in: int, activation, penalty) -> LayerShape:
    """What the plan must know of layer `i`, with the activation that is applied."""
    names = ("rate", "momentum", "epsilon", "max_norm")
    found = {name: getattr(layer, name, None) for name in names}
    known = {name: value for name, value in found.items() if value is not None}
    known["n_parameters"] = count_elements([layer.parameter_shapes(n_in)])
    shape = describe_shape(n_in, layer.units or n_in, activation)
    return replace(shape, kind=layer.kind, index=i, **known, **penalty)


def describe_shape(n_in: int, n_out: int, activation) -> LayerShape:
    """What the plan must know of one layer with this Activation."""
    fixed = kernels.get_coefficient_kind(activation.name) == "fixed"
    return LayerShape(
        n_in,
        n_out,
        activation.name,
        kernels.is_rowwise(activation.name),
        activation.coefficient if fixed else None,
    )


def describe_target(dtype: str) -> dict:
    """What a plan must know of the kernels in use."""
    return {
        "dtype": dtype,
        "isa": kernels.get_isa(),
        "widths": (kernels.get_vector_width(dtype), kernels.get_panel_width(dtype)),
    }


def choose_update(optimizer, batch_size: int, shapes) -> str:
    """Where the update is made: in the tile that computes dW, or after each block of dW.

    The tile has no registers left for penalties. The norm of all gradients is known only when all
    of them are there.
    """
    if optimizer.whole_data:
        return "none"
    if optimizer.clip_norm is not None:
        return "separate"
    penalised = any(shape.l1 or shape.l2 for shape in shapes)
    fused = optimizer.is_plain() and batch_size <= BATCH_CHUNK and not penalised
    return "fused" if fused else "blocked"


def plan_training(
    shapes, batch_size: int, n_rows: int, dtype: str, n_threads: int | None, optimizer
) -> tuple[Plan, Plan | None]:
    """The plan of a full batch, and of the shorter one that ends an epoch."""
    batch_size = min(batch_size, n_rows)
    if n_threads is None and optimizer.whole_data:  # as `Stepper`, which runs it
        n_threads = choose_explicit_threads(shapes, batch_size)
    available = n_threads or _threads.count_available()
    options = {
        "n_threads": n_threads or choose_n_threads(shapes, batch_size, available),
        "update": choose_update(optimizer, batch_size, shapes),
        "plan_batch_size": batch_size,
        **describe_target(dtype),
    }
    plan = _make_plan(shapes, batch_size, **options)
    rest = n_rows % batch_size
    return plan, _make_plan(shapes, rest, **options) if rest else None


def choose_explicit_threads(shapes, batch_size: int) -> int:
    """Threads for one pass over a batch, in a region of its own."""
    return choose_n_threads(shapes, batch_size, _threads.count_available(), EXPLICIT_PRICE)


def check_batches(layers, batch_size: int, n_rows: int) -> None:
    """Refuse what `check_batch` refuses among the batches of an epoch."""
    check_batch(layers, batch_size, f"batch_size is {batch_size} for {n_rows} row(s)")
    check_batch(
        layers,
        n_rows % batch_size,
        f"the last batch of an epoch has 1: {n_rows} rows in batches of "
        f"{batch_size}; choose another batch_size",
    )


def check_batch(shapes, n_rows: int, fix: str) -> None:
    """Refuse a training batch of one row where a batch norm would divide by its variance."""
    if n_rows == 1 and any(shape.kind == "batch_norm" for shape in shapes):
        raise ValueError(f"BatchNorm needs at least 2 rows in a training batch, but {fix}")


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
        self._plan = _make_plan(
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


class PredictorPool:
    """Predictors of one network; each call of `run` has one to itself, scratch and all.

    Parameters
    ----------
    parameters : Parameters
    dtype : str
    frozen : bool
        The parameters will not change: weights are packed once, and stay so.
    """

    def __init__(self, parameters, dtype: str, frozen: bool = False) -> None:
        self._parameters = parameters
        self._dtype = dtype
        self._frozen = frozen
        self._idle: dict[tuple, list] = {}
        self._quick: dict[tuple, QuickPredictor] = {}

    def run(self, X, shapes, n_threads: int | None) -> np.ndarray:
        """Output (n_rows, n_out) of the last layer for the rows of X."""
        out = np.empty((len(X), shapes[-1].n_out), dtype=self._dtype)
        if not self.fill(X, shapes, n_threads, out):
            raise ValueError("rows that had been checked hold NaN or infinity: were they changed?")
        return out

    def fill(self, X, shapes, n_threads: int | None, out) -> bool:
        """Put that into `out`; False where there is NaN or infinity in X."""
        n_rows = len(X)
        n_threads = self._choose_n_threads(shapes, n_rows, n_threads)
        packed = self._frozen or (
            n_rows >= PACK_MIN_ROWS and _count_weights(shapes) >= PACK_MIN_WEIGHTS
        )
        idle = self._idle.setdefault((shapes[-1].activation, n_threads, packed), [])
        try:
            binding, predictor = idle.pop()
        except IndexError:
            binding, predictor = self.make(shapes, n_threads, packed)
        if packed and not self._frozen:
            binding.pack()
        finite = _threads.run_detached(lambda: predictor.run(X, out), n_threads)
        if self._frozen or not packed:  # no call leaves a copy of weights that may change
            idle.append((binding, predictor))
        return finite

    def _choose_n_threads(self, shapes, n_rows: int, n_threads: int | None) -> int:
        if n_threads is not None and n_rows > PREDICTED_ROWS:
            return min(n_threads, -(-n_rows // PREDICTED_ROWS))
        n_shares = min(n_rows, n_rows * _count_work(shapes) // _SMALLEST_WOKEN_SHARE)
        if n_shares < 2:  # before the system is asked for its CPUs, which takes a while
            return 1
        return min(n_threads or _threads.count_available(), n_shares)

    def make(self, shapes, n_threads: int, packed: bool) -> tuple[Binding, Predictor]:
        """A predictor for up to `n_threads` threads, and the binding that holds its weights."""
        target = describe_target(self._dtype)
        plan = _make_plan(shapes, 1, n_threads=1, update="none", **target)

        def bind(packed):
            weights = self._parameters.arrays
            return Binding(plan, weights, None, PREDICTED_ROWS, packed=packed, training=False)

        bindings = [bind(packed)]
        if self._frozen:  # before others share what is noted
            bindings[0].pack()
            bindings[0].note_finite()
        for _ in range(n_threads - 1):
            bindings.append(bind(False))
            bindings[-1].share_weights(bindings[0])
        return bindings[0], Predictor(bindings, PREDICTED_ROWS)

    def get_quick(self, shapes, n_threads: int | None) -> QuickPredictor:
        """The short way through these layers, for calls of few rows."""
        key = shapes[-1].activation, n_threads
        try:
            return self._quick[key]
        except KeyError:
            made = self._quick[key] = self._make_quick(shapes, n_threads)
            return made

    def _make_quick(self, shapes, n_threads: int | None) -> QuickPredictor:
        per_row = _count_weights(shapes)
        rows_per_share = -(-_SMALLEST_SHARE // per_row)
        max_shared_rows = kernels.get_vector_width(self._dtype) * _SMALL_SHARED_CALL // per_row
        max_rows = _SMALL_CALL // _count_work(shapes)
        shares_rows = 2 * rows_per_share <= max_shared_rows
        helpers, predictor = [], None
        if shares_rows or max_rows > 0:
            helpers = get_helpers(n_threads or _threads.count_available())
            n_shares = 1 + len(helpers) * shares_rows
            _, predictor = self.make(shapes, n_shares, packed=self._frozen)
        return QuickPredictor(
            predictor,
            helpers,
            shapes,
            self._dtype,
            max_rows=max_rows,
            max_shared_rows=max_shared_rows,
            rows_per_share=rows_per_share,
        )


def _count_weights(shapes) -> int:
    """Of dense layers: each is a multiply-add of a row."""
    return sum(shape.multiply_adds for shape in shapes)


def _count_work(shapes) -> int:
    """Of a row, in multiply-adds."""
    return _count_weights(shapes) + _ROW_COST * (1 + len(shapes))


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
