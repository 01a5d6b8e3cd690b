"""Rules of the plan: what goes to BLAS, how a layer is cut, what is copied."""

import importlib.util
from pathlib import Path

import pytest
from test_plan import make, make_shapes

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
    assert "own tile (side 1024 >= 1024, 60 rows x side < 65536)" in str(make(shapes, 60))


def test_the_rules_that_users_have():
    """From the source, as the tests have lowered the limits of the module."""
    spec = importlib.util.spec_from_file_location("fresh_plan", plan.__file__)
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
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
