"""The execution plan: which thread does what, in which order, and where all threads wait.

A plan is a pure function of shapes (the batch's too), dtype, instruction set, number of threads and
where the update is made. The *sums* that it leads to depend on shapes and instruction set alone:
whoever owns a slice, each output element is summed over the same chunks in the same order
(docs/DETERMINISM.md).

Three ways of sharing out a dense layer, named after the axis of W (n_in, n_out) that is cut:

``outputs``
    Each thread owns columns of W: forward and dW work on those columns alone. For the first
    layer, which has no dX, and for weights too large for second-level caches, where their columns
    balance: nothing is gained by owning rows of those, and partial sums would fill memory. For
    layers that use BLAS.
``inputs``
    Each thread owns rows of W: forward gives partial sums over its chunks of the inputs, added up
    row by row after a barrier; dX and dW work on those rows alone. Where the layer before is cut
    by outputs at the same places, a thread feeds on its own activations and needs no barrier.
``rows``
    W is read by all: threads take rows of the mini-batch in forward and dX, and rows of W in dW.
    For weights that are small beside what passes through them, and where there are fewer partial
    sums than threads.

Layers without a weight matrix take the cut of the phase that made what they read, rows of the
batch or columns, so that a thread goes on with its own numbers.

`fastnn._core.phase_order` lists the phases, `fastnn._core.barriers` puts a barrier wherever two of
them would touch the same numbers from two threads.

Rejected: cutting the mini-batch in every layer. It needs no partial sums, but half of each W
crosses between the caches of two cores at every step, and dW must be reduced over threads.
"""

from __future__ import annotations

import itertools

from fastnn._core.barriers import insert_barriers
from fastnn._core.phase_order import cut_panels, list_backward, list_forward
from fastnn._core.plan_structs import LayerPlan, Plan, count_chunks

# A sum of fewer than HALVED terms is one chain; others are cut in two, from CHUNK terms on in four,
# so that so many threads can share them out, and beyond 4 * CHUNK in chunks of CHUNK. Fixed by the
# length of the sum alone. Shorter parts cost more to add up than threads gain by owning weights.
HALVED = 96
CHUNK = 256
# A weight gradient is one sum over up to this many rows of the batch; more rows, more sums.
BATCH_CHUNK = 512
# Layers go to BLAS where their smaller side reaches BLAS_MIN_WIDTH, and the rows of a step times it
# BLAS_MIN_SIZE: from there on it was faster.
BLAS_MIN_WIDTH = 2048
BLAS_MIN_SIZE = 1 << 21
# Instruction sets whose own tile stays ahead for longer.
OTHER_BLAS_MIN_WIDTHS = {"avx512": 8192}
# Parts of larger weights leave the second-level caches between two uses, whoever owns them.
MAX_OWNED_WEIGHTS = 1 << 20
# Rows of a step from which on delta is copied into panels for dW of such layers.
MIN_PANEL_ROWS = 256
# Most rows that pass by the panels of W together, a chunk of them in half the second-level cache.
ROW_BLOCK = 480
# Rows that pass through all layers together in prediction: 20 tiles.
PREDICTED_ROWS = 120
# Bytes of the batch that stay in cache, most of the second level, while the panels of dW pass.
INPUT_BLOCK_BYTES = 3 << 18
# Rows of W whose gradient is computed, then handed to the optimizer: with the widest panel 12 KiB.
UPDATE_BLOCK = 48
# From this many weights on each thread owns its part of them, and partial sums are exchanged;
MIN_OWNED_WEIGHTS = 1 << 15
# of fewer, down to here, where a step has so few rows that less passes between the threads like
# that: this many times the rows are no more than the mean of a layer's sides.
MIN_SMALL_OWNED_WEIGHTS = 9000
OWNED_SIDE_PER_ROW = 4
# A thread may own that many times the mean of the columns; with rows, partial sums are exchanged.
MAX_IMBALANCE = 1.15
# The same of weights that caches do not keep, whose partial sums would fill memory.
MAX_STREAMED_IMBALANCE = 1.3
# Narrower panels than that are not worth it for the sake of equal shares.
MIN_PANEL_VECTORS = 2
# Floating-point operations of a step below which a second thread costs more than it brings. To load
# and store weights takes as long as some rows do, which threads share where each owns a part; lines
# of weights that all threads read must be claimed back from the others, which takes longer.
MIN_FLOPS_PER_STEP = 900_000
OWNED_WEIGHT_ROWS = 4
SHARED_WEIGHT_ROWS = -6


def choose_panels(n: int, vector_width: int, panel_width: int, n_parts: int = 1) -> tuple[int, ...]:
    """First columns of panels of nearly equal width (7 vectors make 3 + 4), and n.

    So many of them, where they are to be shared out, that `n_parts` threads have as many each.
    """
    n_vectors = -(-n // vector_width)
    n_panels = -(-n_vectors * vector_width // panel_width)
    n_alike = -(-n_panels // n_parts) * n_parts
    if n_vectors >= MIN_PANEL_VECTORS * n_alike:
        n_panels = n_alike
    return tuple(min(n, n_vectors * i // n_panels * vector_width) for i in range(n_panels + 1))


def choose_chunk(n: int) -> int:
    """Length of the partial sums over `n` terms."""
    if n < HALVED:
        return n
    return -(-n // 2) if n < CHUNK else min(CHUNK, -(-n // 4))


def choose_row_block(n_rows: int) -> int:
    """Rows of a block, all nearly alike: 500 are 250 + 250, as 20 are hardly worth reading W."""
    return -(-n_rows // -(-n_rows // ROW_BLOCK))


def choose_input_block(n_rows: int, itemsize: int) -> int:
    """Columns of a batch that dW is computed from together: whole blocks of updates."""
    return max(1, INPUT_BLOCK_BYTES // (n_rows * itemsize) // UPDATE_BLOCK) * UPDATE_BLOCK


def choose_stride(n: int, itemsize: int) -> int:
    """Elements between rows of scratch: whole cache lines, an odd number of them.

    Rows a multiple of 4 KiB apart would all fall into the same few sets of L1.
    """
    lines = -(-n * itemsize // 64)
    return (lines | 1) * 64 // itemsize


def is_worth_owning(shape, batch_size: int) -> bool:
    """Whether more would pass between the threads if all of them read a layer's weights."""
    n_weights = shape.n_in * shape.n_out
    if n_weights >= MIN_OWNED_WEIGHTS:
        return True
    side = 2 * n_weights // (shape.n_in + shape.n_out)  # the harmonic mean
    return n_weights >= MIN_SMALL_OWNED_WEIGHTS and side >= OWNED_SIDE_PER_ROW * batch_size


def choose_n_threads(shapes, batch_size: int, available: int, price: int = 1) -> int:
    """One thread for small steps, all of them for the rest.

    A step must have `price` times as much work where threads are woken for it alone.
    """
    work = 0
    for i, shape in enumerate(shape for shape in shapes if shape.kind == "dense"):
        n_chunks = count_chunks(shape.n_in, choose_chunk(shape.n_in))
        can_be_owned = i == 0 or n_chunks >= available  # by columns or by rows
        is_owned = can_be_owned and is_worth_owning(shape, batch_size)
        rows = batch_size + (OWNED_WEIGHT_ROWS if is_owned else SHARED_WEIGHT_ROWS)
        work += 6 * rows * shape.multiply_adds
    return available if work >= price * MIN_FLOPS_PER_STEP else 1


def is_balanced(bounds: tuple[int, ...], vector_width: int, tolerance: float) -> bool:
    """Whether no thread has more vectors to work on than `tolerance` times the mean."""
    vectors = [-(-(stop - start) // vector_width) for start, stop in itertools.pairwise(bounds)]
    return max(vectors) * len(vectors) <= tolerance * sum(vectors)


def choose_blas(before, shape, batch_size: int, isa: str) -> tuple[bool, str]:
    """Whether a layer goes to BLAS, and by which rule.

    Neighbours of a row-wise activation do not: they are cut by rows, and what BLAS sums depends on
    the number of rows in its call.
    """
    side = min(shape.n_in, shape.n_out)
    least = OTHER_BLAS_MIN_WIDTHS.get(isa, BLAS_MIN_WIDTH)
    if shape.rowwise or (before and before.rowwise):
        return False, "beside a row-wise activation"
    if side < least:
        return False, f"side {side} < {least}"
    sign = "<" if batch_size * side < BLAS_MIN_SIZE else ">="
    rule = f"side {side} >= {least}, {batch_size} rows x side {sign} {BLAS_MIN_SIZE}"
    return sign == ">=", rule


def plan_layer(
    before, shape, input_gradient, batch_size, isa, widths: tuple[int, int], n_threads
) -> LayerPlan:
    """Decide how one layer is stored and which axis of its weight the threads own.

    `before` is the shape of the layer before it, or None.
    """
    if shape.kind != "dense":
        one = (0, shape.n_out)
        return LayerPlan(
            shape, "", input_gradient, False, "", False, one, one, shape.n_in, shape.n_out
        )
    panels = choose_panels(shape.n_out, *widths, n_parts=n_threads)
    chunk = choose_chunk(shape.n_in)
    blas, rule = choose_blas(before, shape, batch_size, isa)
    is_streamed = shape.n_in * shape.n_out > MAX_OWNED_WEIGHTS
    if blas:
        cut = "outputs"
    elif n_threads == 1 or not is_worth_owning(shape, batch_size):
        cut = "rows"
    elif (
        (is_streamed or not input_gradient)
        and not shape.rowwise
        and is_balanced(
            cut_panels(panels, n_threads),
            widths[0],
            MAX_STREAMED_IMBALANCE if is_streamed else MAX_IMBALANCE,
        )
    ):
        cut = "outputs"
    elif count_chunks(shape.n_in, chunk) >= n_threads:
        cut = "inputs"
    else:
        cut = "rows"
    if cut != "outputs":
        panels = choose_panels(shape.n_out, *widths)
    return LayerPlan(
        shape=shape,
        cut=cut,
        input_gradient=input_gradient,
        blas=blas,
        rule=rule,
        delta_panels=(
            is_streamed
            and not blas
            and batch_size >= MIN_PANEL_ROWS
            and (n_threads == 1 or cut == "outputs")
        ),
        panels=panels,
        transposed_panels=choose_panels(
            shape.n_in, *widths, n_parts=1 if cut == "rows" else n_threads
        ),
        chunk=chunk,
        transposed_chunk=choose_chunk(shape.n_out),
    )


def make_plan(
    shapes, batch_size, *, dtype, isa, widths, n_threads, update, plan_batch_size=None
) -> Plan:
    """Plan the steps of a network.

    Parameters
    ----------
    shapes : tuple of LayerShape
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
            isa,
            widths,
            n_threads,
        )
        for i, shape in enumerate(shapes)
    )
    forward = list_forward(layers, batch_size, n_threads, update)
    deltas, changes = list_backward(layers, batch_size, n_threads, update)
    guarded = len(forward) + len(deltas)
    phases = insert_barriers(forward + deltas + changes, layers, n_threads, always={guarded})
    return Plan(
        dtype=dtype,
        isa=isa,
        n_threads=n_threads,
        batch_size=batch_size,
        update=update,
        layers=layers,
        forward=tuple(phases[: len(forward)]),
        backward=tuple(phases[len(forward) :]),
        guarded=guarded,
    )
