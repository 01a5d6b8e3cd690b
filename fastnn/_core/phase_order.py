"""Which phases a step has, in which order, and which slice of each a thread takes.

Barriers are not placed here: `fastnn._core.barriers` puts one wherever two phases would touch the
same numbers from two threads.
"""

from __future__ import annotations

from dataclasses import replace

from fastnn._core.barriers import Phase
from fastnn._core.plan_structs import count_chunks

# Columns of one BLAS call: fixed, so that threads do not change what BLAS sums.
BLAS_BLOCK = 1024
# Gradients whose squares are summed apart, for the norm of them all.
NORM_CHUNK = 8192
# Columns of vectors and of W^T that threads share out begin on multiples of this: on cache lines.
COLUMN_UNIT = 16


def cut_evenly(n: int, n_parts: int, unit: int = 1) -> tuple[int, ...]:
    """Bounds of `n_parts` nearly equal parts of range(n), on multiples of `unit`."""
    n_units = -(-n // unit)
    return tuple(min(n, n_units * i // n_parts * unit) for i in range(n_parts + 1))


def cut_panels(panels: tuple[int, ...], n_threads: int) -> tuple[int, ...]:
    """Bounds, in columns, of nearly equal runs of whole panels."""
    return tuple(panels[i] for i in cut_evenly(len(panels) - 1, n_threads))


def cut_inputs(layer, n_threads: int) -> tuple[int, ...]:
    """Rows of W that each thread owns: whole chunks where they are summed apart."""
    if layer.cut == "inputs":
        return cut_evenly(layer.shape.n_in, n_threads, layer.chunk)
    return cut_evenly(layer.shape.n_in, n_threads, COLUMN_UNIT if layer.input_gradient else 1)


def cut_outputs(layer, n_threads: int) -> tuple[int, ...]:
    """Columns of W that each thread owns."""
    if layer.blas:
        return cut_evenly(layer.shape.n_out, n_threads, BLAS_BLOCK)
    return cut_panels(layer.panels, n_threads)


def list_forward(layers, batch_size: int, n_threads: int, update: str) -> list[Phase]:
    """Phases from the batch to the loss."""
    rows = cut_evenly(batch_size, n_threads)
    phases = [Phase("gather", 0, "rows", rows)] if layers[0].blas else []
    written = ("rows", rows)  # how the last phase shared out its output
    for i, layer in enumerate(layers):
        if layer.shape.kind != "dense":
            written = cut_transform(layer.shape, written, rows, n_threads)
            phases.append(Phase("transform", i, *written))
            if update == "none":
                phases += list_tracking(i, layer, n_threads)
        elif layer.cut == "inputs":
            written = ("rows", rows)
            phases.append(Phase("partial", i, "inputs", cut_inputs(layer, n_threads)))
            phases.append(Phase("reduce", i, *written))
        elif layer.cut == "outputs":
            written = ("outputs", cut_outputs(layer, n_threads))
            phases.append(Phase("forward", i, *written))
        else:
            written = ("rows", rows)
            phases.append(Phase("forward", i, *written))
    phases.append(Phase("loss", len(layers) - 1, "rows", rows))
    return phases


def list_tracking(i: int, layer, n_threads: int) -> list[Phase]:
    """The phase that updates the running statistics of batch norm."""
    if layer.shape.kind != "batch_norm":
        return []
    return [Phase("track", i, "outputs", cut_evenly(layer.shape.n_out, n_threads, COLUMN_UNIT))]


def cut_transform(shape, written, rows, n_threads: int):
    """(axis, bounds) of a layer without a weight matrix: as `written` where its work allows it."""
    if shape.rowwise or shape.kind == "layer_norm":
        return "rows", rows
    if shape.kind == "batch_norm" and written[0] == "rows":
        return "outputs", cut_evenly(shape.n_out, n_threads, COLUMN_UNIT)
    return written


def list_backward(layers, batch_size: int, n_threads: int, update: str):
    """Phases from the loss to all deltas, and phases from there to new weights.

    The chain of deltas comes whole before the first weight changes, behind one barrier that serves
    both the deltas and the losses, which are looked at there.
    """
    rows = cut_evenly(batch_size, n_threads)
    written = ("rows", rows)  # how the last phase shared out the delta that it left
    deltas, gradients, transposes = [], [], []
    for i in reversed(range(len(layers))):
        layer = layers[i]
        if layer.shape.kind == "dense":
            gradients += list_dense_gradients(i, layer, n_threads)
        elif layer.shape.is_norm:
            gradients += list_norm_gradients(i, layer, n_threads)
            gradients += list_tracking(i, layer, n_threads) if update != "none" else []
        if not layer.input_gradient:
            continue
        phases, written = list_deltas(i, layer, layers[i - 1], written, rows, n_threads)
        deltas += phases
        if layer.shape.kind == "dense" and not layer.blas:
            transposes.append(Phase("transpose", i, "inputs", cut_inputs(layer, n_threads)))
    if update == "none":  # the caller may have written to the weights: transpose them afresh
        return transposes + deltas, gradients
    updates = list_updates(layers, gradients, n_threads) if update == "separate" else []
    return deltas, gradients + updates + list_limits(layers, n_threads) + transposes


def list_limits(layers, n_threads: int) -> list[Phase]:
    """Columns of W are measured and scaled back, by the threads that own them or parts of them."""
    cuts = [
        (i, "inputs", cut_inputs(layer, n_threads))
        if layer.cut == "inputs"
        else (i, "outputs", cut_panels(layer.panels, n_threads))
        for i, layer in enumerate(layers)
        if layer.shape.max_norm
    ]
    return [Phase(kind, *cut) for kind in ("column_squares", "max_norm") for cut in cuts]


def list_updates(layers, gradients: list[Phase], n_threads: int) -> list[Phase]:
    """The norm of all gradients, then the updates, cut as the gradients are."""
    n_parameters = sum(layer.shape.n_parameters for layer in layers)
    chunks = cut_evenly(count_chunks(n_parameters, NORM_CHUNK), n_threads)
    kinds = {"weight": "update_weight", "gain": "update_weight", "bias": "update_bias"}
    updates = [replace(phase, kind=kinds[phase.kind]) for phase in gradients if phase.kind in kinds]
    return [Phase("gradient_norm", 0, "chunks", chunks), *updates]


def list_dense_gradients(i: int, layer, n_threads: int) -> list[Phase]:
    if layer.cut == "outputs":
        outputs = cut_outputs(layer, n_threads)
        return [Phase("weight", i, "outputs", outputs), Phase("bias", i, "outputs", outputs)]
    outputs = cut_evenly(layer.shape.n_out, n_threads, COLUMN_UNIT)
    weight = Phase("weight", i, "inputs", cut_inputs(layer, n_threads))
    return [weight, Phase("bias", i, "outputs", outputs)]


def list_norm_gradients(i: int, layer, n_threads: int) -> list[Phase]:
    columns = cut_evenly(layer.shape.n_out, n_threads, COLUMN_UNIT)
    return [Phase("gain", i, "outputs", columns), Phase("bias", i, "outputs", columns)]


def list_deltas(i: int, layer, before, written, rows, n_threads: int):
    """Phases that give the delta of the layer `before`, and how they share it out.

    `written` is how that of `layer` was shared out.
    """
    if layer.shape.kind != "dense":
        if before.shape.rowwise:
            written = ("rows", rows)
        axis, bounds = cut_transform(layer.shape, written, rows, n_threads)
        phases = [Phase("transform_backward", i, axis, bounds)]
        if before.shape.rowwise and axis != "rows":
            phases.append(Phase("differentiate", i - 1, "rows", rows))
            return phases, ("rows", rows)
        return phases, (axis, bounds)
    if layer.cut == "rows" or before.shape.rowwise:
        return [Phase("backward_input", i, "rows", rows)], ("rows", rows)
    if layer.blas:
        inputs = cut_evenly(layer.shape.n_in, n_threads, BLAS_BLOCK)
    else:
        inputs = cut_panels(layer.transposed_panels, n_threads)
    return [Phase("backward_input", i, "inputs", inputs)], ("outputs", inputs)
