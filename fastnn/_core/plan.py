"""The execution plan: which thread does what, in which order, and where all threads wait.

A plan is a pure function of shapes, dtype, instruction set and number of threads. The *sums* that
it leads to depend on shapes and instruction set alone: whoever owns a slice, each output element
is summed over the same chunks in the same order (docs/DETERMINISM.md).

Three ways of sharing out a dense layer, named after the axis of W (n_in, n_out) that is cut:

``outputs``
    Each thread owns columns of W: forward and dW work on those columns alone. For the first
    layer only, which has no dX.
``inputs``
    Each thread owns rows of W: forward gives partial sums over its chunks of the inputs, added up
    row by row after a barrier; dX and dW work on those rows alone. Where the layer before is cut
    by outputs at the same places, a thread feeds on its own activations and needs no barrier.
``rows``
    W is small enough to be read by all: threads take rows of the mini-batch in forward and dX,
    and rows of W in dW.

Layers without a weight matrix take the cut of the phase that made what they read, rows of the
batch or columns, so that a thread goes on with its own numbers.

Barriers are not placed by hand: `fastnn._core.barriers` puts one wherever two phases would touch
the same numbers from two threads.

Rejected: cutting the mini-batch in every layer. It needs no partial sums, but half of each W
crosses between the caches of two cores at every step, and dW must be reduced over threads.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

from fastnn._core.barriers import Phase, insert_barriers
from fastnn._core.plan_structs import LayerPlan, LayerShape, Plan, count_chunks

# A sum of up to CHUNK terms is one chain; longer ones are cut in four, so that four threads can
# share them out, and beyond 4 * CHUNK in chunks of CHUNK. Fixed by the length of the sum alone.
CHUNK = 256
# A weight gradient is one sum over up to this many rows of the batch; more rows, more sums.
BATCH_CHUNK = 512
# Layers whose smaller side reaches this go to BLAS when the batch reaches BLAS_MIN_BATCH.
BLAS_MIN_WIDTH = 1024
BLAS_MIN_BATCH = 64
# Columns (or rows of W) of one BLAS call: fixed, so that threads do not change what BLAS sums.
BLAS_BLOCK = 1024
# Rows that pass by the panels of W together, and through all layers in prediction: 20 tiles.
ROW_BLOCK = 120
# Rows of W whose gradient is computed, then handed to the optimizer: with the widest panel 12 KiB.
UPDATE_BLOCK = 48
# Below this many weights all threads read the whole matrix rather than exchange partial sums.
MIN_OWNED_WEIGHTS = 1 << 15
# Gradients whose squares are summed apart, for the norm of them all.
NORM_CHUNK = 8192
# Columns of norms that threads share out begin on multiples of this: on cache lines.
COLUMN_UNIT = 16
# Floating-point operations of a step below which a second thread costs more than it brings.
MIN_FLOPS_PER_STEP = 4_000_000


def cut_evenly(n: int, n_parts: int, unit: int = 1) -> tuple[int, ...]:
    """Bounds of `n_parts` nearly equal parts of range(n), on multiples of `unit`."""
    n_units = -(-n // unit)
    return tuple(min(n, n_units * i // n_parts * unit) for i in range(n_parts + 1))


def choose_panels(n: int, vector_width: int, panel_width: int) -> tuple[int, ...]:
    """First columns of panels of nearly equal width (7 vectors make 3 + 4), and n."""
    n_vectors = -(-n // vector_width)
    n_panels = -(-n_vectors * vector_width // panel_width)
    return tuple(min(n, n_vectors * i // n_panels * vector_width) for i in range(n_panels + 1))


def choose_chunk(n: int) -> int:
    """Length of the partial sums over `n` terms."""
    return n if n <= CHUNK else min(CHUNK, -(-n // 4))


def choose_stride(n: int, itemsize: int) -> int:
    """Elements between rows of scratch: whole cache lines, an odd number of them.

    Rows a multiple of 4 KiB apart would all fall into the same few sets of L1.
    """
    lines = -(-n * itemsize // 64)
    return (lines | 1) * 64 // itemsize


def choose_n_threads(shapes, batch_size: int, available: int) -> int:
    """One thread for small steps, all of them for the rest."""
    flops = 6 * batch_size * sum(shape.multiply_adds for shape in shapes)
    return available if flops >= MIN_FLOPS_PER_STEP else 1


def is_balanced(bounds: tuple[int, ...], vector_width: int) -> bool:
    """Whether no thread has over 6% more vectors to work on than the mean."""
    vectors = [-(-(stop - start) // vector_width) for start, stop in itertools.pairwise(bounds)]
    return max(vectors) * len(vectors) <= 1.06 * sum(vectors)


def plan_layer(before, shape, input_gradient, batch_size, widths, n_threads) -> LayerPlan:
    """Decide how one layer is stored and which axis of its weight the threads own.

    `before` is the shape of the layer before it, or None. Neighbours of a row-wise activation stay
    off BLAS: they are cut by rows, and what BLAS sums depends on the number of rows in its call.
    """
    if shape.kind != "dense":
        one = (0, shape.n_out)
        return LayerPlan(shape, "", input_gradient, False, one, one, shape.n_in, shape.n_out)
    panels = choose_panels(shape.n_out, *widths)
    chunk = choose_chunk(shape.n_in)
    blas = (
        not (shape.rowwise or (before and before.rowwise))
        and min(shape.n_in, shape.n_out) >= BLAS_MIN_WIDTH
        and batch_size >= BLAS_MIN_BATCH
    )
    if blas:
        cut = "outputs"
    elif n_threads == 1 or shape.n_in * shape.n_out < MIN_OWNED_WEIGHTS:
        cut = "rows"
    elif (
        not input_gradient
        and not shape.rowwise
        and is_balanced(cut_panels(panels, n_threads), widths[0])
    ):
        cut = "outputs"
    elif count_chunks(shape.n_in, chunk) >= n_threads:
        cut = "inputs"
    else:
        cut = "rows"
    return LayerPlan(
        shape=shape,
        cut=cut,
        input_gradient=input_gradient,
        blas=blas,
        panels=panels,
        transposed_panels=choose_panels(shape.n_in, *widths),
        chunk=chunk,
        transposed_chunk=choose_chunk(shape.n_out),
    )


def cut_panels(panels: tuple[int, ...], n_threads: int) -> tuple[int, ...]:
    """Bounds, in columns, of nearly equal runs of whole panels."""
    return tuple(panels[i] for i in cut_evenly(len(panels) - 1, n_threads))


def cut_inputs(layer: LayerPlan, n_threads: int) -> tuple[int, ...]:
    """Rows of W that each thread owns: whole chunks where they are summed apart, else panels."""
    if layer.cut == "inputs":
        return cut_evenly(layer.shape.n_in, n_threads, layer.chunk)
    return cut_panels(layer.transposed_panels, n_threads)


def cut_outputs(layer: LayerPlan, n_threads: int) -> tuple[int, ...]:
    """Columns of W that each thread owns."""
    if layer.blas:
        return cut_evenly(layer.shape.n_out, n_threads, BLAS_BLOCK)
    return cut_panels(layer.panels, n_threads)


def list_forward(layers, batch_size: int, n_threads: int) -> list[Phase]:
    """Phases from the batch to the loss."""
    rows = cut_evenly(batch_size, n_threads)
    phases = [Phase("gather", 0, "rows", rows)] if layers[0].blas else []
    written = ("rows", rows)  # how the last phase shared out its output
    for i, layer in enumerate(layers):
        if layer.shape.kind != "dense":
            written = cut_transform(layer.shape, written, rows, n_threads)
            phases.append(Phase("transform", i, *written))
            continue
        written = ("rows", rows)
        if layer.cut == "inputs":
            phases.append(Phase("partial", i, "inputs", cut_inputs(layer, n_threads)))
            phases.append(Phase("reduce", i, "rows", rows))
        elif layer.cut == "outputs":
            written = ("outputs", cut_outputs(layer, n_threads))
            phases.append(Phase("forward", i, *written))
        else:
            phases.append(Phase("forward", i, "rows", rows))
    phases.append(Phase("loss", len(layers) - 1, "rows", rows))
    return phases


def cut_transform(shape: LayerShape, written, rows, n_threads: int):
    """(axis, bounds) of a layer without a weight matrix: as `written` where its work allows it."""
    if shape.rowwise or shape.kind == "layer_norm":
        return "rows", rows
    if shape.kind == "batch_norm" and written[0] == "rows":
        return "outputs", cut_evenly(shape.n_out, n_threads, COLUMN_UNIT)
    return written


def list_backward(layers, batch_size: int, n_threads: int, update: str) -> list[Phase]:
    """Phases from the loss to the gradients (and the updated weights).

    The chain of deltas comes whole before the first weight changes: whether the step is finite
    can then be known before anything is written.
    """
    rows = cut_evenly(batch_size, n_threads)
    deltas, gradients, transposes = [], [], []
    written = ("rows", rows)  # how the last phase shared out the delta that it left
    for i in reversed(range(len(layers))):
        layer = layers[i]
        if i and layers[i - 1].shape.rowwise:
            written = ("rows", rows)
        if layer.shape.kind != "dense":
            written = cut_transform(layer.shape, written, rows, n_threads)
            if layer.shape.is_norm:
                columns = cut_evenly(layer.shape.n_out, n_threads, COLUMN_UNIT)
                gradients.append(Phase("gain", i, "outputs", columns))
                gradients.append(Phase("bias", i, "outputs", columns))
            if layer.input_gradient:
                deltas.append(Phase("transform_backward", i, *written))
                if layers[i - 1].shape.rowwise and written[0] != "rows":
                    deltas.append(Phase("differentiate", i - 1, "rows", rows))
            continue
        axis = "outputs" if layer.cut == "outputs" else "inputs"
        cut = cut_outputs if layer.cut == "outputs" else cut_inputs
        gradients.append(Phase("weight", i, axis, cut(layer, n_threads)))
        gradients.append(Phase("bias", i, "outputs", cut_outputs(layer, n_threads)))
        if not layer.input_gradient:
            continue
        if layer.blas:
            inputs = cut_evenly(layer.shape.n_in, n_threads, BLAS_BLOCK)
        else:
            inputs = cut_panels(layer.transposed_panels, n_threads)
            transposes.append(Phase("transpose", i, "inputs", inputs))
        if layer.cut == "rows" or layers[i - 1].shape.rowwise:
            written = ("rows", rows)
            deltas.append(Phase("backward_input", i, *written))
        else:
            written = ("outputs", inputs)  # of the layer before
            deltas.append(Phase("backward_input", i, "inputs", inputs))
    if update == "none":  # the caller may have written to the weights: transpose them afresh
        return transposes + deltas + gradients
    updates = list_updates(layers, gradients, n_threads) if update == "separate" else []
    return deltas + gradients + updates + list_limits(layers, n_threads) + transposes


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
    updates = [replace(phase, kind=kinds[phase.kind]) for phase in gradients]
    return [Phase("gradient_norm", 0, "chunks", chunks), *updates]


def make_plan(
    shapes, batch_size, *, dtype, isa, widths, n_threads, update, plan_batch_size=None
) -> Plan:
    """Plan the steps of a network.

    Parameters
    ----------
    shapes : sequence of LayerShape
    batch_size : int
        Rows of one step.
    dtype, isa : str
    widths : (int, int)
        Elements in a vector, and columns in the widest panel, of this dtype and ISA.
    n_threads : int
    update : {"fused", "blocked", "separate", "none"}
    plan_batch_size : int, optional
        The batch size that decides how weights are stored, where it is not `batch_size`: the
        last, shorter batch of an epoch uses the layout of the others.
    """
    layers = tuple(
        plan_layer(
            shapes[i - 1] if i else None,
            shape,
            any(before.has_parameters for before in shapes[:i]),
            plan_batch_size or batch_size,
            widths,
            n_threads,
        )
        for i, shape in enumerate(shapes)
    )
    forward = list_forward(layers, batch_size, n_threads)
    backward = list_backward(layers, batch_size, n_threads, update)
    phases = insert_barriers(forward + backward, layers, n_threads, always={len(forward)})
    return Plan(
        dtype=dtype,
        isa=isa,
        n_threads=n_threads,
        batch_size=batch_size,
        update=update,
        layers=layers,
        forward=tuple(phases[: len(forward)]),
        backward=tuple(phases[len(forward) :]),
    )
