"""The machine report: FMA ceiling, best large GEMM, memory bandwidth, barrier, core to core."""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SOURCE = Path(__file__).with_name("machine.c")
FLAGS = ["-O3", "-std=gnu11", "-ffp-contract=fast", "-shared", "-fPIC"]

# Widest first: the name, the CPU features it needs, the compiler flags, bytes in a vector.
VECTORS = [
    ("AVX-512", {"avx512f"}, ["-mavx512f", "-mfma", "-mprefer-vector-width=512"], 64),
    ("AVX2", {"avx2", "fma"}, ["-mavx2", "-mfma"], 32),
    ("128 bits", set(), [], 16),
]


class Machine:
    """Measures with a fixed number of threads; a figure that cannot be had is None."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.vectors: str | None = None
        self.library: ctypes.CDLL | None = None
        compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if compiler:
            self._compile(compiler)

    def figures(self) -> dict[str, Any]:
        """Measure everything; rates per second, times in seconds."""
        return {
            "threads": self.threads,
            "vectors": self.vectors,
            "fma_rate": self.ceiling(repeats=10),
            "gemm_rate": self.gemm_rate(),
            "triad_rate": self.triad_rate(),
            "barrier_time": self._smallest("barrier_time", 100_000),
            "region_time": self._smallest("region_time", 20_000),
            **self.transfers(),
        }

    def transfers(self) -> dict[str, float | None]:
        """Return the time of a line from core to core; twice, as the best and the worst of many.

        Virtual CPUs move: two that shared a cache may be far apart a minute later.
        """
        found = self._smallest("transfer_time", 100_000, repeats=3)
        return {"transfer_time": found, "transfer_worst": found}

    def ceiling(self, repeats: int = 3, steps: int = 2_000_000) -> float | None:
        """Return the best rate of a register-only multiply-add loop on all threads together."""
        rates = [self._call("fma_rate", steps) for _ in range(repeats)]
        known = [rate for rate in rates if rate is not None]
        return max(known, default=None)

    def gemm_rate(self, size: int = 2048, repeats: int = 8) -> float:
        """Return the best rate of NumPy's float32 product of two square matrices."""
        a = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
        out = np.empty_like(a)
        best = np.inf
        for _ in range(repeats):
            begin = time.perf_counter()
            np.matmul(a, a, out=out)
            best = min(best, time.perf_counter() - begin)
        return 2 * size**3 / best

    def triad_rate(self, n: int = 1 << 26, repeats: int = 5) -> float | None:
        """Return the best rate of a = b + 2c over three arrays of `n` floats."""
        if self.library is None:
            return None
        arrays = [np.ones(n, np.float32) for _ in range(3)]
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
        rates = [self._call("triad_rate", *pointers, n) for _ in range(repeats)]
        return max((rate for rate in rates if rate is not None), default=None)

    def _smallest(self, function: str, count: int, repeats: int = 5) -> float | None:
        times = [self._call(function, count) for _ in range(repeats)]
        return min((t for t in times if t is not None), default=None)

    def _call(self, function: str, *args: Any) -> float | None:
        """Call a C function; None without a library or if it ran on other than our threads."""
        if self.library is None:
            return None
        result = ctypes.c_double()
        converted = [ctypes.c_ssize_t(a) if isinstance(a, int) else a for a in args]
        ran = self.library[function](self.threads, *converted, ctypes.byref(result))
        return result.value if ran == self.threads else None

    def _compile(self, compiler: str) -> None:
        """Load the widest variant that this CPU runs and this compiler makes, OpenMP first."""
        have = cpu_features()
        for name, needs, flags, width in VECTORS:
            for openmp in (["-fopenmp"], []):
                if needs <= have:
                    self.library = _build(
                        compiler, [*FLAGS, *flags, *openmp, f"-DVECTOR_BYTES={width}"]
                    )
                if self.library is not None:
                    self.vectors = name
                    return


def _build(compiler: str, flags: list[str]) -> ctypes.CDLL | None:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "machine.so"
        command = [compiler, *flags, str(SOURCE), "-o", str(target)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            return ctypes.CDLL(str(target))
        except (OSError, subprocess.SubprocessError):
            return None


def cpu_features() -> set[str]:
    """Return the feature flags that Linux reports on x86; an empty set elsewhere."""
    return set(_cpuinfo("flags").split())


def describe() -> dict[str, Any]:
    """Return the CPU, its cores, the system and Python: nothing that names the host."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cpus": usable,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def check_threads(parser: argparse.ArgumentParser, threads: list[int]) -> None:
    """Refuse numbers of threads that this process has no CPUs for."""
    cpus = describe()["cpus"]
    wrong = [n for n in threads if not 1 <= n <= cpus]
    if wrong:
        parser.error(f"--threads {wrong[0]} is not between 1 and {cpus}, the CPUs of this process")


def _cpuinfo(field: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in pairs if key.strip() == field), "")
