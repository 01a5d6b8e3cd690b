"""What a fit's threads do beside the arithmetic: clocks, limits on threads, where a run ends."""

import os
import subprocess
import sys
import time
from pathlib import Path

import common
import numpy as np
import pytest
from common import THREADS

import fastnn
from fastnn._core.engine import has_openmp

ROOT = Path(__file__).resolve().parents[1]


class Stopwatch(fastnn.Callback):
    """Measures the calls of the engine from outside, and sleeps between the two of an epoch.

    Attributes
    ----------
    epochs : list of float
        Seconds of all calls of each epoch.
    """

    step_interval = 19

    def __init__(self):
        self.epochs = []

    def on_fit_begin(self, fit):
        self._begin = time.perf_counter()

    def on_step_end(self, fit):
        pause = time.perf_counter()
        time.sleep(0.01)
        self._begin += time.perf_counter() - pause

    def on_epoch_end(self, fit):
        self.epochs.append(time.perf_counter() - self._begin)
        self._begin = time.perf_counter()


@pytest.mark.parametrize("n_threads", THREADS[:2])
def test_the_seconds_of_an_epoch_are_those_of_its_own_calls(n_threads, rng):
    X, y = common.make_classes(rng, 20 * 64, 600, 10)  # 19 steps in one call, 1 in the next
    layers = [fastnn.Dense(600, "relu"), fastnn.Dense(10)]
    net = fastnn.Network(layers, n_threads=n_threads)
    watch = Stopwatch()
    history = net.fit(X, y, epochs=4, batch_size=64, callbacks=[watch])
    assert len(watch.epochs) == 4
    # Of all epochs: the next one has what is left of a call after the end of an epoch.
    assert 0.15 * sum(watch.epochs) < sum(history.seconds) < sum(watch.epochs)


def test_the_seconds_of_epochs_in_one_call_add_up(rng):
    X, y = common.make_classes(rng, 1000, 300, 10)
    net = fastnn.Network([fastnn.Dense(300, "relu"), fastnn.Dense(10)])
    begin = time.perf_counter()
    history = net.fit(X, y, epochs=8, batch_size=50)
    outside = time.perf_counter() - begin
    assert 0.1 * outside < sum(history.seconds) < outside


LIMITED = """
import numpy as np
import fastnn

X, y = np.random.default_rng(0).random((40_000, 5)), np.arange(40_000) % 3
net = fastnn.Network([fastnn.Dense(8, "relu"), fastnn.Dense(3)], n_features=5, n_threads=2)
before = net.parameter_vector.copy()
for call in (
    lambda: net.fit(X, y, epochs=2),
    lambda: net.forward(X, y),
    lambda: net.predict(X),
    lambda: fastnn.Dense(40).build(5, n_threads=2).forward(X),
):
    try:
        call()
        print("went on")
    except RuntimeError as error:
        print(error)
assert (net.parameter_vector == before).all()
"""


@pytest.mark.skipif(not has_openmp(), reason="this build has no OpenMP")
def test_fewer_threads_than_asked_for_are_an_error():
    """Half of the work would be left undone."""
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1", "PYTHONPATH": path}
    command = [sys.executable, "-c", LIMITED]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    for line in lines:
        assert line.startswith("OpenMP did not start")
        assert line.endswith("OMP_THREAD_LIMIT is in force: pass a smaller n_threads")


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("n_rows", [60, 61])
def test_many_threads_and_tiny_steps_keep_in_step(n_rows, shuffle, rng):
    """Epoch after epoch of next to no work, where every missing barrier would be a race."""
    X, y = common.make_classes(rng, n_rows, 40, 3)
    found = []
    for n_threads in (1, THREADS[-1]):
        layers = [fastnn.Dense(70, "tanh"), fastnn.Dense(3)]
        net = fastnn.Network(layers, n_features=40, n_threads=n_threads)
        history = net.fit(X, y, epochs=300, batch_size=20, shuffle=shuffle)
        found.append((net.parameter_vector.copy(), np.array(history.loss)))
    assert common.same_bits(found[0][0], found[1][0])
    assert common.same_bits(found[0][1], found[1][1])


@pytest.mark.skipif(not has_openmp(), reason="this build has no OpenMP")
def test_many_rows_are_shuffled_by_one_thread(rng):
    """Two that shuffle one array at once lose rows, and repeat others."""
    X, y = common.make_classes(rng, 200_000, 2, 3)
    found = []
    for n_threads in (1, 2):
        net = fastnn.Network([fastnn.Dense(3)], n_features=2, n_threads=n_threads)
        found.append(net.fit(X, y, epochs=4, batch_size=20_000).loss)
    assert found[0] == found[1]
