"""Rules of the plan: what goes to BLAS, how a layer is cut, what is copied."""

import importlib.util
from pathlib import Path

import pytest
from test_plan import make, make_shapes

from fastnn import _planning
from fastnn._core import plan

ROOT = Path(__file__).resolve().parents[1]


def test_weights_that_no_cache_holds_are_cut_by_outputs():
    side = 1024
    assert side * side > plan.MAX_OWNED_WEIGHTS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "BLAS_MIN_WIDTH", 2 * side)
        for rows in (plan.MIN_PANEL_ROWS - 1, plan.MIN_PANEL_ROWS):
            for n_threads in (1, 2):
                made = make(make_shapes([300, side, side, 10]), rows, n_threads)
                cuts = [layer.cut for layer in made.layers]
                assert cuts == ["outputs", "outputs", "rows"] if n_threads == 2 else ["rows"] * 3
                panels = [layer.delta_panels for layer in made.layers]
                assert panels == [rows == plan.MIN_PANEL_ROWS] * 2 + [False]
                assert not any(phase.kind == "partial" for phase in made.forward)


def test_the_rule_of_blas_may_differ_by_instruction_set():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "OTHER_BLAS_MIN_WIDTHS", {"any": 2048})
        shapes = make_shapes([1024, 1024, 10])
        assert not make(shapes, 128).uses_blas
        assert "side 1024 < 2048" in str(make(shapes, 128))
    assert "BLAS (side 1024 >= 1024, 128 rows x side >= 65536)" in str(make(shapes, 128))
    assert "own tile of 6 x 64 (side 1024 >= 1024, 60 rows x side < 65536)" in str(make(shapes, 60))


def load_rules():
    """From the source, as the tests have lowered the limits of the module."""
    spec = importlib.util.spec_from_file_location("fresh_plan", plan.__file__)
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    return fresh


def make_as_users(shapes, batch_size):
    options = {"dtype": "float32", "isa": "avx512", "widths": (16, 64), "n_threads": 2}
    return load_rules().make_plan(shapes, batch_size, update="fused", **options)


def test_the_rules_that_users_have():
    fresh = load_rules()
    listed = (ROOT / "csrc/lists/isas.def").read_text(encoding="utf-8")
    assert all(f"X({isa}, " in listed for isa in fresh.OTHER_BLAS_MIN_WIDTHS)
    for isa, side, expected in [
        ("avx512", 4096, False), ("avx512", 8192, True), ("avx2", 2047, False), ("avx2", 2048, True)
    ]:  # fmt: skip
        shape = make_shapes([side, side, 10])[0]
        assert fresh.choose_blas(None, shape, 1024, isa)[0] == expected, (isa, side)
        assert not fresh.choose_blas(None, shape, 32, isa)[0]


@pytest.mark.parametrize(
    ("n_out", "n_threads", "cut"),
    [(1031, 2, "outputs"), (4096, 12, "outputs"), (100, 4, "inputs")],
)
def test_columns_of_large_weights_may_be_less_even(n_out, n_threads, cut):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "BLAS_MIN_WIDTH", 10**6)
        made = make(make_shapes([5000, n_out, 10]), 256, n_threads)
    assert made.layers[0].cut == cut


@pytest.mark.parametrize(
    ("widths", "batch_size", "n_barriers"),
    [
        ([784, 100, 10], 32, 2),
        ([784, 512, 512, 10], 128, 3),
        ([1024, 4096, 4096, 10], 1024, 6),
        ([16, 64, 64, 26], 64, 2),
        ([784, 256, 128, 10], 128, 3),
        ([192, 192, 192, 10], 8, 3),
    ],
)
def test_no_step_has_more_barriers_than_it_needs(widths, batch_size, n_barriers):
    """W1, W3, W4, W6, W9 and a layer whose sums are cut in two."""
    made = make_as_users(make_shapes(widths), batch_size)
    assert sum(phase.barrier for phase in made.forward + made.backward) == n_barriers


def test_the_shorter_last_batch_keeps_the_layout():
    full = make(make_shapes([1024, 1024, 10]), 128, 2)
    last = make(make_shapes([1024, 1024, 10]), 5, 2, plan_batch_size=128)
    assert full.layers == last.layers
    assert full.layers[0].blas
    assert not make(make_shapes([1024, 1024, 10]), 5, 2).layers[0].blas


def test_blas_takes_wide_layers_in_large_batches():
    made = make(make_shapes([784, 1024, 1500, 1100, 10]), 128)
    assert [layer.blas for layer in made.layers] == [False, True, True, False]
    assert made.uses_blas
    assert not make(make_shapes([784, 512, 512, 10]), 128).uses_blas
    least = plan.BLAS_MIN_SIZE // 1024
    uses = [make(make_shapes([1024, 1024, 10]), rows).uses_blas for rows in (least - 1, least)]
    assert uses == [False, True]


def test_small_steps_take_one_thread():
    assert plan.choose_n_threads(make_shapes([4, 32, 16, 3]), 32, 8) == 1
    assert plan.choose_n_threads(make_shapes([784, 512, 512, 10]), 128, 8) == 8
    assert plan.choose_n_threads(make_shapes([512, 512, 10]), 1, 8) == 8  # 1 MB to load and store
    assert plan.choose_n_threads(make_shapes([512, 512, 10]), 1, 8, price=36) == 1


def test_threads_own_weights_that_are_more_than_what_passes_through_them():
    """For want of partial sums all of four threads read what two would own."""
    shapes = make_shapes([128, 128, 128, 10])
    assert plan.choose_n_threads(shapes, 1, 2) == 2
    assert plan.choose_n_threads(shapes, 1, 4) == 1
    cuts = [make(shapes, batch_size).layers[1].cut for batch_size in (32, 33)]
    assert cuts == ["inputs", "rows"]
    assert make(shapes, 8, n_threads=4).layers[1].cut == "rows"


@pytest.mark.parametrize(
    ("n", "chunk"),
    [(95, 95), (96, 48), (97, 49), (127, 64), (255, 128), (256, 64), (257, 65), (1024, 256),
     (5000, 256)],
)  # fmt: skip
def test_sums_are_cut_where_users_know_the_bits_of(n, chunk):
    assert load_rules().choose_chunk(n) == chunk


@pytest.mark.parametrize(
    ("n_in", "n_out", "batch_size", "owned"),
    [
        (94, 94, 1, False), (95, 95, 1, True),  # 9,000 weights
        (95, 95, 23, True), (95, 95, 24, False),  # a side of four times the rows
        (181, 181, 1000, False), (182, 182, 1000, True),  # 32,768 weights
        (2000, 12, 10, False), (2000, 12, 5, True),  # a mean side of 23
    ],
)  # fmt: skip
def test_weights_that_are_worth_owning(n_in, n_out, batch_size, owned):
    shape = make_shapes([n_in, n_out])[0]
    assert load_rules().is_worth_owning(shape, batch_size) == owned


@pytest.mark.parametrize(
    ("widths", "batch_size", "price", "n_threads"),
    [
        ([64, 64, 64, 10], 22, 1, 1), ([64, 64, 64, 10], 23, 1, 2),  # shared: six rows lost
        ([120, 120, 120, 10], 1, 1, 1), ([128, 128, 128, 10], 1, 1, 2),  # owned: four rows won
        ([784, 100, 10], 64, 36, 1), ([784, 100, 10], 65, 36, 2),
    ],
)  # fmt: skip
def test_a_second_thread_where_it_pays(widths, batch_size, price, n_threads):
    shapes = make_shapes(widths)
    assert load_rules().choose_n_threads(shapes, batch_size, 2, price) == n_threads


def test_the_explicit_loop_asks_for_more_work(monkeypatch):
    """It wakes the threads at every call."""
    monkeypatch.setattr(_planning._threads, "count_available", lambda: 2)
    shapes = make_shapes([784, 100, 10])
    chosen = [_planning.choose_explicit_threads(shapes, n) for n in (64, 65)]
    assert chosen == [1, 2]
