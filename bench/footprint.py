"""What fastnn costs besides time to train: S1 to S3.

S1 is the time of `import fastnn` over that of what it stands on, S2 the size of the installed
package, S3 the memory of a training over that of the data.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

IMPORT_GOAL = 0.050  # seconds
SIZE_GOAL = 5e6  # bytes
MEMORY_GOAL = 30e6  # bytes

BASE = "import numpy, scipy.linalg"
TRAIN = """
import resource
import numpy as np
import scipy.linalg
import fastnn

X = np.random.default_rng(0).random((60_000, 784), dtype=np.float32)
y = np.arange(60_000) % 10
net = fastnn.Network([fastnn.Dense(512, "relu"), fastnn.Dense(512, "relu"), fastnn.Dense(10)])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
net.fit(X, y, epochs=1, batch_size=128)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def measure() -> list[tuple[str, str, str, float, float, float]]:
    """Return S1 to S3: id, what, unit, units of one, found, goal; none without fastnn."""
    try:
        run_installed("import fastnn")
    except subprocess.CalledProcessError:
        return []
    figures = [
        ("S1", f"more for import fastnn than for {BASE!r}", "ms", 1e3, import_time(), IMPORT_GOAL),
        ("S2", "for the installed package", "MB", 1e-6, installed_size(), SIZE_GOAL),
    ]
    memory = training_memory()
    if memory is not None:
        what = "for an epoch of W3 over imports and data"
        figures.append(("S3", what, "MB", 1e-6, memory, MEMORY_GOAL))
    return figures


def import_time(repeats: int = 15) -> float:
    """Seconds that importing fastnn adds, as the difference of minima of fresh processes.

    Of minima, as for other times: that of medians came out anywhere from 28 to 70 ms within an
    hour. A first import is not timed: it may have to compile the sources to byte code.
    """

    def measure(statement: str) -> float:
        code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
        return float(run_installed(code))

    measure(f"{BASE}, fastnn")
    both = [(measure(BASE), measure(f"{BASE}, fastnn")) for _ in range(repeats)]
    base, whole = zip(*both, strict=True)
    return min(whole) - min(base)


def installed_size() -> int:
    """Bytes of the package's files, without byte code."""
    files = Path(run_installed("import fastnn; print(fastnn.__file__)").strip()).parent.rglob("*")
    return sum(p.stat().st_size for p in files if p.is_file() and p.suffix != ".pyc")


def training_memory() -> float | None:
    """Bytes by which the peak of the resident memory grows in a training; None on Windows."""
    if os.name == "nt":
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return float(run_installed(TRAIN)) * unit


def run_installed(code: str) -> str:
    """Return what a new process prints that uses the installed fastnn."""
    # An editable installation has byte code of its own only if it may write it.
    settings = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    # Not in the repository, where Python would find the sources before what is installed.
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            cwd=folder,
            env=settings,
        ).stdout
