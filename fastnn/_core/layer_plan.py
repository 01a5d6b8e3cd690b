"""The plan of one layer by itself: from x to its output, and from dL/da to dL/dx."""

from __future__ import annotations

from fastnn._core.barriers import Phase, insert_barriers
from fastnn._core.phase_order import cut_evenly, list_backward, list_forward
from fastnn._core.plan import plan_layer
from fastnn._core.plan_structs import LayerShape, Plan


def make_layer_plan(shape: LayerShape, batch_size, *, dtype, isa, widths, n_threads) -> Plan:
    """Plan the passes of one layer, with no loss behind it.

    It stands behind a layer that hands x on as it is, and whose delta therefore is dL/dx. The
    backward pass begins with dL/da where the delta of the layer is to be: its first phase turns
    that into dL/dz. Arguments are those of `make_plan`.
    """
    source = LayerShape(shape.n_in, shape.n_in, "identity", False, kind="activation")
    layers = (
        plan_layer(None, source, False, batch_size, isa, widths, n_threads),
        plan_layer(source, shape, True, batch_size, isa, widths, n_threads),
    )
    rows = cut_evenly(batch_size, n_threads)
    forward = [p for p in list_forward(layers, batch_size, n_threads, "none") if p.kind != "loss"]
    deltas, gradients = list_backward(layers, batch_size, n_threads, "none")
    backward = [Phase("differentiate", 1, "rows", rows), *deltas, *gradients]
    phases = insert_barriers(forward + backward, layers, n_threads)
    return Plan(
        dtype=dtype,
        isa=isa,
        n_threads=n_threads,
        batch_size=batch_size,
        update="none",
        layers=layers,
        forward=tuple(phases[: len(forward)]),
        backward=tuple(phases[len(forward) :]),
        guarded=len(phases),
    )
