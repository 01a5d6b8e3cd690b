"""BLAS is called where the plan says so, in the blocks that it says, and nowhere else."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from common import THREADS

from fastnn._core.phase_order import BLAS_BLOCK

WIDE = (1024, 1100, 1030, 10)
SMALL = (784, 512, 512, 10)


def make_case(widths, what="fit", dtype="float32", n_threads=1, n_rows=200, batch_size=96):
    return {
        "widths": widths, "what": what, "dtype": dtype, "n_threads": n_threads,
        "n_rows": n_rows, "batch_size": batch_size,
    }  # fmt: skip


def list_blocks(n):
    return [min(BLAS_BLOCK, n - first) for first in range(0, n, BLAS_BLOCK)]


def expect_calls(case, plan):
    """(routine, m, n, k) for each layer of which the plan's words say BLAS, in every step."""
    routine = "sgemm" if case["dtype"] == "float32" else "dgemm"
    n_rows, batch_size = case["n_rows"], case["batch_size"]
    if case["what"] != "fit":
        batch_size = n_rows
    kinds = re.findall(r"^layer (\d+): .*, (BLAS|own tile)", plan, re.MULTILINE)
    assert len(kinds) == len(case["widths"]) - 1
    expected = []
    for start in range(0, n_rows, batch_size):
        batch = min(batch_size, n_rows - start)
        for i, (n_in, n_out) in enumerate(zip(case["widths"], case["widths"][1:], strict=False)):
            if kinds[i][1] != "BLAS":
                continue
            for width in list_blocks(n_out):
                expected += [(routine, batch, width, n_in), (routine, n_in, width, batch)]
            if i > 0:
                expected += [(routine, batch, width, n_out) for width in list_blocks(n_in)]
    return sorted(expected)


CASES = {
    f"{name} {dtype} {n_threads}": make_case(dtype=dtype, n_threads=n_threads, **options)
    for n_threads in THREADS[:2]
    for dtype in ["float32", "float64"]
    for name, options in {
        "wide": {"widths": WIDE},
        "wide, loop": {"widths": WIDE, "what": "loop", "n_rows": 96},
        "wide, first layer not": {"widths": (30, 1024, 1024, 10)},
    }.items()
}
NO_BLAS = {
    "small": make_case(SMALL),
    "small, many threads": make_case(SMALL, n_threads=THREADS[-1]),
    "small, loop": make_case(SMALL, "loop"),
    "wide, few rows": make_case(WIDE, batch_size=32),
    "wide, few rows, loop": make_case(WIDE, "loop", n_rows=32, batch_size=32),
    "wide, predict": make_case(WIDE, "predict", n_rows=400),
    "one side wide": make_case((2000, 512, 2000, 10)),
}


@pytest.fixture(scope="module")
def recorded():
    """What blas_recorder.py prints for each case."""
    cases = {**CASES, **NO_BLAS}
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("blas_recorder.py"))],
        input=json.dumps(list(cases.values())), capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return dict(zip(cases, json.loads(run.stdout), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_wide_layers_go_through_blas(recorded, name):
    found = [tuple(call[:4]) for call in recorded[name]["calls"]]
    assert "BLAS" in recorded[name]["plan"]
    assert found == expect_calls(CASES[name], recorded[name]["plan"])


@pytest.mark.parametrize("name", NO_BLAS)
def test_other_layers_do_not_call_blas(recorded, name):
    assert recorded[name]["calls"] == []
    if NO_BLAS[name]["what"] != "predict":
        assert "BLAS" not in recorded[name]["plan"]


@pytest.mark.parametrize("name", CASES)
def test_blas_has_one_thread_while_ours_call_it(recorded, name):
    assert recorded[name]["calls"]
    assert {tuple(call[4:]) for call in recorded[name]["calls"]} == {(1,)}
