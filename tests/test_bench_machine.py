"""The report of the machine that the benchmarks print."""

import pytest

from bench import __main__ as bench_main
from bench import grid, instructions, machine, report


def test_machine_without_a_compiler_is_not_measured(monkeypatch):
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    found = machine.Machine(1)
    assert found.ceiling() is None
    assert found.triad_rate() is None
    info = {**machine.describe(), "figures": [{**dict.fromkeys(FIGURES), "threads": 1}]}
    assert "FMA ceiling not measured" in report.machine_text(info)


FIGURES = [
    "vectors",
    "fma_rate",
    "gemm_rate",
    "triad_rate",
    "barrier_time",
    "region_time",
    "transfer_time",
    "transfer_worst",
]


def test_machine_measures_something_or_says_none():
    found = machine.Machine(1)
    rates = [found.ceiling(repeats=1, steps=1000), found.triad_rate(n=1000, repeats=1)]
    if found.library is None:
        assert rates == [None, None]
    else:
        assert all(rate is not None and rate > 0 for rate in rates)
    assert found.gemm_rate(size=16, repeats=1) > 0
    assert set(found.transfers().values()) == {None}  # one thread has nobody to tell


def test_lines_go_from_core_to_core():
    found = machine.Machine(2)
    near = found.transfers()["transfer_time"]
    assert (near is None) == (found.library is None)
    figures = {**dict.fromkeys(FIGURES), "threads": 2, "transfer_time": near, "transfer_worst": 1}
    text = report.machine_text({**machine.describe(), "figures": [figures]})
    assert " to 1000000000 ns" in text


def test_the_best_figures_count_and_the_worst_transfer():
    known = bench_main.Ceilings.__new__(bench_main.Ceilings)
    known.figures = {2: {}}
    for rate, time in [(2.0, 3.0), (None, None), (4.0, 9.0), (1.0, 1.0)]:
        names = {"fma_rate": rate, "transfer_time": time, "transfer_worst": time, "vectors": "x"}
        known._keep(2, names)
    assert known.figures[2] == {
        "fma_rate": 4.0,
        "transfer_time": 1.0,
        "transfer_worst": 9.0,
        "vectors": "x",
    }


def test_allocations_are_seen_in_what_callgrind_writes():
    names = ["malloc", "calloc", "realloc", "PyObject_Malloc", "_PyObject_Calloc", "PyMem_Realloc"]
    names += ["_PyMem_RawMalloc", "PyMem_RawCalloc", "default_calloc", "aligned_alloc", "mmap"]
    for name in names:
        assert instructions.ALLOCATORS.findall(f"fl=(3)\ncfn=(12) {name}\ncalls=1 0") == [name]
        assert instructions.ALLOCATORS.findall(f"fn=(12) {name}'2\n") == [name]
    assert not instructions.ALLOCATORS.findall("fn=(12) work\nfn=(13) reallocate_nothing\n")


@pytest.mark.parametrize("parse", [bench_main.parse, grid.parse])
@pytest.mark.parametrize("n_threads", ["0", "100000"])
def test_threads_without_a_cpu_are_refused(parse, n_threads, capsys):
    with pytest.raises(SystemExit):
        parse(["--threads", n_threads])
    assert f"--threads {n_threads} is not between 1 and" in capsys.readouterr().err
