"""What fastnn costs besides time to train: S1 to S3.

S1 is the time of `import fastnn` over that of what it stands on, S2 the size of the installed
package, S3 the memory of a training over that of the data.
"""

from __future__ import annotations

import os
import statistics
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


def describe() -> list[str]:
    """Return a line for each of S1 to S3; none where fastnn cannot be imported."""
    try:
        _run("import fastnn")
    except subprocess.CalledProcessError:
        return []
    lines = [
        f"S1: import fastnn takes {1e3 * import_time():.0f} ms more than {BASE!r} "
        f"(goal {1e3 * IMPORT_GOAL:.0f} ms)",
        f"S2: fastnn alone is {installed_size() / 1e6:.1f} MB (goal {SIZE_GOAL / 1e6:.0f} MB)",
    ]
    memory = training_memory()
    if memory is not None:
        lines.append(
            f"S3: an epoch of W3 takes {memory / 1e6:.0f} MB over imports and data "
            f"(goal {MEMORY_GOAL / 1e6:.0f} MB)"
        )
    return lines


def import_time(repeats: int = 7) -> float:
    """Seconds that importing fastnn adds, as the difference of medians of fresh processes."""

    def measure(statement: str) -> float:
        code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
        return float(_run(code))

    both = [(measure(BASE), measure(f"{BASE}, fastnn")) for _ in range(repeats)]
    base, whole = zip(*both, strict=True)
    return statistics.median(whole) - statistics.median(base)


def installed_size() -> int:
    """Bytes of the package's files, without byte code."""
    files = Path(_run("import fastnn; print(fastnn.__file__)").strip()).parent.rglob("*")
    return sum(p.stat().st_size for p in files if p.is_file() and p.suffix != ".pyc")


def training_memory() -> float | None:
    """Bytes by which the peak of the resident memory grows in a training; None on Windows."""
    if os.name == "nt":
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return float(_run(TRAIN)) * unit


def _run(code: str) -> str:
    # Not in the repository, where Python would find the sources before what is installed.
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=folder
        ).stdout
