"""`python -m bench.instructions`: a guard of speed that does not depend on the machine's.

Counts instructions under callgrind, on the AVX2 path (valgrind cannot run AVX-512) and one thread:
an epoch of W5, where everything around the arithmetic shows, one tile of a weight gradient, and
steps and predictions on rows of which most numbers are zeros, whose terms are to be left out.
Fails where a count is more than TOLERANCE from the one recorded in instructions.json, or where an
epoch allocates memory. Counts are those of one compiler: `--record` writes them anew.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

RECORD = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.05

# What is counted: a pattern of the function whose instructions, with those of all that it calls,
# are collected, and the program that calls it once.
CASES = {
    "W5 epoch": (
        "*worker_work_in_parallel",
        """
import numpy as np
import fastnn

rng = np.random.default_rng(0)
X, y = rng.random((20_000, 4), dtype=np.float32), np.arange(20_000) % 3
layers = [fastnn.Dense(32, "relu"), fastnn.Dense(16, "relu"), fastnn.Dense(3)]
net = fastnn.Network(layers, n_features=4, n_threads=1)
net.fit(X, y, epochs=1, batch_size=32, optimizer=fastnn.SGD(0.1))
""",
    ),
    "steps of Adam": (
        "*worker_work_in_parallel",
        """
import numpy as np
import fastnn

rng = np.random.default_rng(0)
X, y = rng.random((640, 100), dtype=np.float32), np.arange(640) % 10
net = fastnn.Network([fastnn.Dense(100, "relu"), fastnn.Dense(10)], n_features=100, n_threads=1)
net.fit(X, y, epochs=1, batch_size=32, optimizer=fastnn.Adam(0.001))
""",
    ),
    "steps on zeros": (
        "*worker_work_in_parallel",
        """
import numpy as np
import fastnn

rng = np.random.default_rng(0)
X, y = rng.random((640, 784), dtype=np.float32), np.arange(640) % 10
X[:, rng.random(784) < 0.5] = 0
X[rng.random(X.shape) < 0.8] = 0
net = fastnn.Network([fastnn.Dense(100, "relu"), fastnn.Dense(10)], n_features=784, n_threads=1)
net.fit(X, y, epochs=1, batch_size=32, optimizer=fastnn.SGD(0.1))
""",
    ),
    "predictions of zeros": (
        "*inference_predict_share",
        """
import numpy as np
import fastnn

rng = np.random.default_rng(0)
X = rng.random((12, 784), dtype=np.float32)
X[:, rng.random(784) < 0.9] = 0
net = fastnn.Network([fastnn.Dense(100, "relu"), fastnn.Dense(10)], n_features=784, n_threads=1)
frozen = net.freeze()
for call in (net, frozen):
    call.forward(X)
frozen.forward(X[:1])
""",
    ),
    "dW tile": (
        "tile_batch_6x2_f32",
        """
import numpy as np
from fastnn._core import probes

x, delta = np.ones((32, 6), np.float32), np.ones((32, 16), np.float32)
probes.multiply_batch(x, np.arange(32), 0, delta, np.ones((6, 16), np.float32), -0.1, 1.0)
""",
    ),
}
ALLOCATORS = re.compile(
    r"^c?fn=\(\d+\) ((?:_?Py(?:Object_|Mem_|Mem_Raw)|default_)?(?:[Mm]alloc|[Cc]alloc|[Rr]ealloc)"
    r"|aligned_alloc|posix_memalign|mmap)\b",
    re.MULTILINE,
)


def main() -> int:
    if shutil.which("valgrind") is None:
        print("instructions: valgrind is not installed", file=sys.stderr)
        return 2
    counts = {name: count(*case) for name, case in CASES.items()}
    if sys.argv[1:] == ["--record"]:
        RECORD.write_text(json.dumps(counts, indent=1) + "\n")
        return 0
    recorded = json.loads(RECORD.read_text())
    wrong = 0
    for name, found in counts.items():
        change = found / recorded[name] - 1
        verdict = "ok" if abs(change) <= TOLERANCE else "WRONG"
        print(f"{name}: {found:,} instructions, {change:+.1%} of what is recorded: {verdict}")
        wrong += verdict != "ok"
    return int(wrong > 0)


def count(function: str, program: str) -> int:
    """Instructions of `function` in a run of `program`; raises where it allocates."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind.out")
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        command += [f"--toggle-collect={function}", sys.executable, "-c", program]
        environment = {**os.environ, "FASTNN_ISA": "avx2", "OPENBLAS_NUM_THREADS": "1"}
        ran = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise RuntimeError(f"{' '.join(command[:2])} failed:\n{ran.stderr[-2000:]}")
        report = out.read_text()
    allocators = ALLOCATORS.findall(report)
    if allocators:
        raise RuntimeError(f"{function} allocates: {', '.join(allocators)}")
    totals = re.search(r"^(?:summary|totals): (\d+)", report, re.MULTILINE)
    if totals is None or int(totals.group(1)) == 0:
        raise RuntimeError(f"no function {function} was called")
    return int(totals.group(1))


if __name__ == "__main__":
    sys.exit(main())
