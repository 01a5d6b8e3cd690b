"""The plan: who touches what, when all wait, and that no sum depends on the number of threads.

`list_touched` says which numbers a thread reads and writes in a phase, from what the kernels do
and not from what barriers.py declares. A set of numbers is a box: a mask for each axis.
"""

import contextlib
import itertools

import numpy as np
import pytest
from common import SIDES
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastnn._core import kernels, phase_order, plan
from fastnn._core.plan import make_plan
from fastnn._core.plan_structs import LayerShape, Plan

WIDTHS = [(1, 2), (4, 8), (8, 16), (16, 64)]
UPDATES = ["fused", "blocked", "none"]
REAL_NETS = [
    (784, 100, 10), (784, 512, 512, 10), (4, 32, 16, 3), (1024, 1024, 10), (30, 2048, 1536, 5),
    (1024, 4096, 4096, 10), (257, 129, 65, 33, 2), (1, 1), (600, 1), (1, 600), (513, 300, 7),
]  # fmt: skip


@contextlib.contextmanager
def small_limits():
    """The rules of large layers at sizes that can be tried by the hundred."""
    limits = {"HALVED": 5, "CHUNK": 8, "BLAS_MIN_WIDTH": 24, "BLAS_MIN_SIZE": 96,
              "MIN_OWNED_WEIGHTS": 60, "MIN_SMALL_OWNED_WEIGHTS": 20, "MAX_OWNED_WEIGHTS": 300,
              "MIN_PANEL_ROWS": 8}  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in limits.items():
            patch.setattr(plan, name, value)
        patch.setattr(phase_order, "BLAS_BLOCK", 10)
        yield


def make_shapes(widths, activations=()):
    names = [*activations, *["relu"] * len(widths)]
    return [
        LayerShape(n_in, n_out, name, kernels.is_rowwise(name), n_parameters=(n_in + 1) * n_out)
        for n_in, n_out, name in zip(widths, widths[1:], names, strict=False)
    ]


def make(shapes, batch_size=32, n_threads=2, widths=(16, 64), update="fused", **options):
    return make_plan(
        shapes, batch_size, dtype="float32", isa="any", widths=widths, n_threads=n_threads,
        update=update, **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("n_out", "n_threads", "cut"),
    [(128, 2, "outputs"), (100, 2, "outputs"), (80, 2, "inputs"), (240, 2, "outputs"),
     (192, 3, "outputs"), (192, 2, "outputs"), (112, 4, "inputs")],
)  # fmt: skip
def test_columns_are_shared_out_where_no_thread_has_much_more(n_out, n_threads, cut):
    """In vectors of 16 columns: 3 + 2, and four panels of seven vectors, are too uneven."""
    first, _ = make(make_shapes([784, n_out, 10]), n_threads=n_threads).layers
    assert first.cut == cut


# --- what a phase touches ------------------------------------------------------------------------


def mask(n, *ranges):
    found = np.zeros(n, dtype=bool)
    for start, stop in ranges:
        found[start:stop] = True
    return found


def whole_panels(bounds, start, stop):
    """Columns of the panels that begin in start..stop, which is how the kernels choose theirs."""
    ranges = itertools.pairwise(bounds)
    return mask(bounds[-1], *((a, b) for a, b in ranges if start <= a < stop))


def own_outputs(layer, start, stop):
    if layer.blas:
        return mask(layer.shape.n_out, (start, stop))
    return whole_panels(layer.panels, start, stop)


def own_inputs(layer, start, stop):
    if layer.blas:
        return mask(layer.shape.n_in, (start, stop))
    return whole_panels(layer.transposed_panels, start, stop)


def list_touched(made, phase, start, stop):
    """(buffer, box, written) for a thread that has start..stop of `phase`."""
    i, layer = phase.layer, made.layers[phase.layer]
    n_in, n_out, batch = layer.shape.n_in, layer.shape.n_out, made.batch_size
    n_chunks = -(-n_in // layer.chunk)
    rows, every_row = mask(batch, (start, stop)), mask(batch, (0, batch))
    inputs, outputs = mask(n_in, (0, n_in)), mask(n_out, (0, n_out))
    x, a, delta = f"a{i - 1}", f"a{i}", f"delta{i}"
    w, b, wt, partial = f"w{i}", f"b{i}", f"wt{i}", f"partial{i}"
    if phase.kind == "gather":
        return [(x, (rows, inputs), True)]
    if phase.kind == "forward":
        if phase.axis == "outputs":
            rows, outputs = every_row, own_outputs(layer, start, stop)
        reads = [(x, (rows, inputs), False), (w, (inputs, outputs), False), (b, (outputs,), False)]
        return [*reads, (a, (rows, outputs), True)]
    if phase.kind == "partial":
        touched = []
        for first in range(start, stop, layer.chunk):
            inputs = mask(n_in, (first, first + layer.chunk))
            chunk = mask(n_chunks, (first // layer.chunk, first // layer.chunk + 1))
            touched += [(x, (every_row, inputs), False), (w, (inputs, outputs), False)]
            touched += [(partial, (chunk, every_row, outputs), True)]
        return touched
    if phase.kind == "reduce":
        chunks = mask(n_chunks, (0, n_chunks))
        reads = [(partial, (chunks, rows, outputs), False), (b, (outputs,), False)]
        return [*reads, (a, (rows, outputs), True)]
    if phase.kind == "loss":
        return [(a, (rows, outputs), False), (delta, (rows, outputs), True)]
    if phase.kind == "backward_input":
        if phase.axis == "inputs":
            rows, inputs = every_row, own_inputs(layer, start, stop)
        weight = w if layer.blas else wt
        reads = [(delta, (rows, outputs), False), (weight, (inputs, outputs), False)]
        return [*reads, (x, (rows, inputs), False), (f"delta{i - 1}", (rows, inputs), True)]
    if phase.kind == "weight":
        if phase.axis == "outputs":
            outputs = own_outputs(layer, start, stop)
        else:
            inputs = mask(n_in, (start, stop))
        reads = [(x, (every_row, inputs), False), (delta, (every_row, outputs), False)]
        return [*reads, (w, (inputs, outputs), True)]
    if phase.kind == "bias":
        outputs = mask(n_out, (start, stop))
        return [(delta, (every_row, outputs), False), (b, (outputs,), True)]
    assert phase.kind == "transpose"
    inputs = mask(n_in, (start, stop))
    return [(w, (inputs, outputs), False), (wt, (inputs, outputs), True)]


def list_by_thread(made, phase):
    """(thread, buffer, box, written) for all threads that have something to do."""
    assert len(phase.bounds) == made.n_threads + 1
    assert phase.bounds[0] == 0
    return [
        (thread, *touched)
        for thread, own in enumerate(zip(phase.bounds, phase.bounds[1:], strict=False))
        if own[0] < own[1]
        for touched in list_touched(made, phase, *own)
    ]


def overlap(box, other):
    return all((one & two).any() for one, two in zip(box, other, strict=True))


def check_barriers(made):
    """No number is written by one thread and touched by another without a barrier between."""
    phases = made.forward + made.backward
    earlier = []  # since the last barrier
    for phase in phases + phases:  # a step begins where the last one ended, with no barrier
        if phase.barrier:
            earlier = []
        entries = list_by_thread(made, phase)
        for thread, buffer, box, written in entries:
            for other, other_buffer, other_box, other_written in earlier + entries:
                both = buffer == other_buffer and (written or other_written)
                if both and thread != other:
                    assert not overlap(box, other_box), (buffer, thread, other, phase)
        earlier += entries


def check_coverage(made):
    """What each phase writes it writes whole, and every number once."""
    for phase in made.forward + made.backward:
        written = [entry[1:3] for entry in list_by_thread(made, phase) if entry[3]]
        buffers, boxes = {buffer for buffer, _ in written}, [box for _, box in written]
        assert len(buffers) == 1
        size = np.prod([len(axis) for axis in boxes[0]])
        assert sum(np.prod([axis.sum() for axis in box]) for box in boxes) == size, phase
        for i, box in enumerate(boxes):
            assert not any(overlap(box, other) for other in boxes[:i]), phase


def check_order(made):
    """What is read was written in this step, and no weight changes before its last use."""
    phases = made.forward + made.backward
    present = {f"{kind}{i}" for kind in "wb" for i in range(len(made.layers))}
    if phases[0].kind != "gather":
        present.add("a-1")  # the rows are read in place
    if made.update != "none":
        present |= {f"wt{i}" for i in range(len(made.layers))}
    for phase in phases:
        entries = list_by_thread(made, phase)
        reads = {entry[1] for entry in entries if not entry[3]}
        assert reads <= present, (phase, reads - present)
        present |= {entry[1] for entry in entries if entry[3]}
        if phase.kind == "weight" and made.update != "none":
            present.discard(f"wt{phase.layer}")  # out of date
            used = {entry[1] for later in phases[phases.index(phase) + 1 :]
                    for entry in list_by_thread(made, later)
                    if later.kind in ("forward", "partial", "backward_input")}  # fmt: skip
            assert f"w{phase.layer}" not in used
    for i, layer in enumerate(made.layers):
        kinds = [phase.kind for phase in phases if phase.layer == i]
        assert kinds.count("forward") + kinds.count("reduce") == 1
        assert kinds.count("partial") == kinds.count("reduce")
        assert kinds.count("weight") == kinds.count("bias") == 1
        assert kinds.count("backward_input") == (i > 0)
        if layer.cut == "outputs" and not layer.blas:
            size = layer.shape.n_in * layer.shape.n_out
            assert i == 0 or size > plan.MAX_OWNED_WEIGHTS  # dx needs the columns of all threads
            assert layer.delta_panels == (
                size > plan.MAX_OWNED_WEIGHTS and made.batch_size >= plan.MIN_PANEL_ROWS
            )
        else:  # threads would copy the same panels
            assert not layer.delta_panels or made.n_threads == 1
        if layer.shape.rowwise:  # its rows and their derivatives are computed whole
            whole = [("forward", i), ("reduce", i), ("backward_input", i + 1)]
            axes = {phase.axis for phase in phases if (phase.kind, phase.layer) in whole}
            assert axes == {"rows"}
        if i > 0 and not layer.blas:
            assert f"wt{i}" in present or made.update == "none"  # for the next step


def list_blas_calls(made):
    """(kind, layer, m, n, first column) of every call of BLAS in a step."""
    calls = set()
    for phase in made.forward + made.backward:
        layer = made.layers[phase.layer]
        if not layer.blas or phase.kind not in ("forward", "backward_input", "weight"):
            continue
        for start, stop in zip(phase.bounds, phase.bounds[1:], strict=False):
            if phase.axis == "rows":  # each thread calls with its rows and all columns
                m, last, bounds = stop - start, layer.shape.n_in, (0, layer.shape.n_in)
            else:
                m, last, bounds = made.batch_size, phase.bounds[-1], (start, stop)
            for first in range(*bounds, phase_order.BLAS_BLOCK):
                n = min(phase_order.BLAS_BLOCK, last - first, bounds[1] - first)
                calls.add((phase.kind, phase.layer, m, n, first))
    return calls


def describe_sums(made):
    """All that decides in which order numbers are added up, which panels do not."""
    layers = [(layer.blas, layer.chunk, layer.transposed_chunk) for layer in made.layers]
    return layers, list_blas_calls(made)


# --- tests ---------------------------------------------------------------------------------------


def check(make_one):
    """All checks for one network; `make_one` takes the number of threads."""
    alone = describe_sums(make_one(1))
    for n_threads in range(1, 6):
        made = make_one(n_threads)
        assert made == make_one(n_threads)
        check_barriers(made)
        check_coverage(made)
        check_order(made)
        assert describe_sums(made) == alone


@pytest.mark.parametrize("widths", REAL_NETS, ids=str)
def test_plans_of_real_networks(widths):
    for batch_size, update in [(1, "fused"), (7, "none"), (128, "fused"), (600, "blocked")]:
        check(lambda n: make(make_shapes(widths), batch_size, n, update=update))  # noqa: B023


any_side = st.sampled_from([*SIDES[:-1], 24, 40, 64])
any_name = st.sampled_from(["relu", "tanh", "softmax"])


@given(
    widths=st.lists(any_side, min_size=2, max_size=5),
    names=st.lists(any_name, min_size=4, max_size=4),
    batch_size=st.integers(1, 20),
    vectors=st.sampled_from(WIDTHS),
    update=st.sampled_from(UPDATES),
)
@settings(max_examples=150)
def test_plans_of_any_network(widths, names, batch_size, vectors, update):
    with small_limits():
        shapes = make_shapes(widths, names)
        check(lambda n: make(shapes, batch_size, n, vectors, update))


def test_barriers_are_needed():
    """The check above sees a barrier that is missing: without any one of them it fails."""
    with small_limits():
        made = make(make_shapes([40, 33, 40, 3]), 8, 3)
    phases = made.forward + made.backward
    n_needed = 0
    for i, phase in enumerate(phases):
        if not phase.barrier:
            continue
        fewer = [*phases[:i], phase_order.Phase(phase.kind, phase.layer, phase.axis, phase.bounds)]
        fewer = (*fewer, *phases[i + 1 :])
        other = Plan(made.dtype, made.isa, made.n_threads, made.batch_size, made.update,
                     made.layers, fewer, (), made.guarded)  # fmt: skip
        with pytest.raises(AssertionError):
            check_barriers(other)
        n_needed += 1
    assert n_needed >= 4


def test_one_thread_needs_no_barrier():
    for widths in REAL_NETS:
        made = make(make_shapes(widths), n_threads=1)
        assert not any(phase.barrier for phase in made.forward + made.backward)


@given(n=st.integers(1, 5000), vectors=st.sampled_from(WIDTHS), n_parts=st.integers(1, 5))
def test_panels(n, vectors, n_parts):
    vector_width, panel_width = vectors
    panels = plan.choose_panels(n, vector_width, panel_width, n_parts)
    widths = np.diff(panels)
    assert panels[0] == 0
    assert panels[-1] == n
    assert (widths > 0).all()
    assert widths.max() <= panel_width
    assert all(first % vector_width == 0 for first in panels[:-1])
    least = -(-n // panel_width)  # a panel holds a whole number of vectors
    if len(widths) > least:  # for the sake of equal shares
        assert len(widths) % n_parts == 0
        assert len(widths) < least + n_parts
        assert widths[:-1].min(initial=panel_width) >= plan.MIN_PANEL_VECTORS * vector_width
    else:
        assert len(widths) == least


def test_panels_are_shared_out_evenly():
    """192 columns would be 64 for one of two threads, and 128 for the other."""
    assert plan.choose_panels(192, 16, 64, 2) == (0, 48, 96, 144, 192)
    hidden = make(make_shapes([192, 192, 192, 10])).layers[1]
    assert hidden.cut == "inputs"
    assert hidden.panels == (0, 64, 128, 192)  # which are not shared out
    assert hidden.transposed_panels == (0, 48, 96, 144, 192)


@given(n=st.integers(1, 100_000))
@example(n=plan.HALVED)
@example(n=plan.CHUNK)
@example(n=plan.CHUNK + 1)
def test_chunks(n):
    chunk = plan.choose_chunk(n)
    assert 1 <= chunk <= plan.CHUNK
    n_chunks = plan.count_chunks(n, chunk)
    assert (n_chunks - 1) * chunk < n <= n_chunks * chunk
    wanted = 1 + (n >= plan.HALVED) + 2 * (n >= plan.CHUNK)  # so many threads can share them out
    assert n_chunks == wanted if n <= 4 * plan.CHUNK else n_chunks > wanted


@given(n=st.integers(1, 5000), itemsize=st.sampled_from([4, 8]))
def test_strides(n, itemsize):
    """Whole cache lines, an odd number of them, and not more than needed."""
    lines, rest = divmod(plan.choose_stride(n, itemsize) * itemsize, 64)
    assert rest == 0
    assert lines % 2 == 1
    assert n * itemsize <= lines * 64 < n * itemsize + 128


@given(n=st.integers(0, 5000), n_parts=st.integers(1, 9), unit=st.integers(1, 64))
def test_even_cuts(n, n_parts, unit):
    bounds = phase_order.cut_evenly(n, n_parts, unit)
    sizes = np.diff(bounds)
    assert len(sizes) == n_parts
    assert (bounds[0], bounds[-1]) == (0, n)
    assert all(bound % unit == 0 or bound == n for bound in bounds)
    assert sizes.max() - sizes.min() < 2 * unit


def test_every_thread_has_a_share_of_small_weight_gradients():
    made = make(make_shapes([16, 64, 64, 26]), 64, n_threads=2)
    shares = {phase.layer: phase.bounds for phase in made.backward if phase.kind == "weight"}
    assert shares == {0: (0, 8, 16), 1: (0, 32, 64), 2: (0, 32, 64)}


def test_words_of_a_plan():
    made = make(make_shapes([784, 100, 10]), 128)
    text = str(made)
    n_barriers = sum(phase.barrier for phase in made.forward + made.backward)
    assert text.count("--- barrier") == n_barriers
    assert f"{n_barriers} barriers per step" in text
    assert "784 -> 100 relu" in text
