"""From a network's settings to plans: shapes, batches, threads, and where the update is made."""

from __future__ import annotations

import functools
from dataclasses import replace

from fastnn import _threads
from fastnn._core import kernels, plan
from fastnn._core.plan_structs import LayerShape, Plan
from fastnn._parameters import count_elements, list_widths

# Many short fits are alike, and a plan takes as long to make as a hundred small steps.
make_plan = functools.lru_cache(maxsize=64)(plan.make_plan)
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
    fused = optimizer.is_plain() and batch_size <= plan.BATCH_CHUNK and not penalised
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
        "n_threads": n_threads or plan.choose_n_threads(shapes, batch_size, available),
        "update": choose_update(optimizer, batch_size, shapes),
        "plan_batch_size": batch_size,
        **describe_target(dtype),
    }
    full = make_plan(shapes, batch_size, **options)
    rest = n_rows % batch_size
    return full, make_plan(shapes, rest, **options) if rest else None


def choose_explicit_threads(shapes, batch_size: int) -> int:
    """Threads for one pass over a batch, in a region of its own."""
    return plan.choose_n_threads(shapes, batch_size, _threads.count_available(), EXPLICIT_PRICE)


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
