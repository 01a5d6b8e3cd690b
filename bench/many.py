"""What many networks at once cost over one alone: M1."""

from __future__ import annotations

import subprocess

from .footprint import run_installed

N_NETWORKS = 16
# Of the time that perfect sharing would take.
GOAL_OVER_PERFECT = 1.125

# W6: one network alone on one thread, and many on all CPUs, in turns.
TRAIN = f"""
import time
import numpy as np
import fastnn

rng = np.random.default_rng(0)
X = rng.standard_normal((20_000, 16), dtype=np.float32)
y = rng.integers(0, 26, 20_000)

def make(n, n_threads=None):
    return [
        fastnn.Network(
            [fastnn.Dense(64, "relu"), fastnn.Dense(64, "relu"), fastnn.Dense(26)],
            n_features=16, seed=i, n_threads=n_threads, classes=range(26),
        )
        for i in range(n)
    ]

def measure(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin

options = dict(epochs=5, batch_size=64, optimizer=fastnn.SGD(0.01))
one, many = make(1, 1)[0], make({N_NETWORKS})

def take_turns():
    alone = measure(lambda: one.fit(X, y, **options))
    return alone, measure(lambda: fastnn.fit_many(many, X, y, **options))

alone, together = map(min, zip(*(take_turns() for _ in range(10))))
print(together / alone)
"""


def measure(cpus: int) -> tuple[str, str, float, float] | None:
    """Return id, what, found and goal; None without fastnn or a second CPU."""
    if cpus == 1:
        return None
    try:
        ratio = float(run_installed(TRAIN))
    except subprocess.CalledProcessError:
        return None
    what = f"times the time of one network of W6 on one core, for {N_NETWORKS} by fit_many"
    return "M1", what, ratio, GOAL_OVER_PERFECT * N_NETWORKS / cpus
