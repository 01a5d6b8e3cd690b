"""Helpers of a frozen network: they share calls that follow each other quickly, and only those."""

import gc
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from common import same_bits

import fastnn

N_IN = 300
ROWS = [17, 32, 101]  # from _SHARED_CALL on, up to _SMALL_CALL


def freeze(n_threads):
    layers = [fastnn.Dense(120, "relu"), fastnn.Dense(3)]
    return fastnn.Network(layers, n_features=N_IN, n_threads=n_threads).freeze()


def count_helpers():
    return sum(thread.name == "fastnn-helper" for thread in threading.enumerate())


def wait_for_helpers(n):
    """Threads end on their own time."""
    for _ in range(500):
        gc.collect()
        if count_helpers() == n:
            return
        time.sleep(0.01)
    raise AssertionError(f"{count_helpers()} helpers, not {n}")


def call_in_a_burst(frozen, X, expected, n_calls=300):
    for _ in range(n_calls):
        assert same_bits(frozen.forward(X), expected)


@pytest.mark.parametrize("n_threads", [2, 4])
def test_shared_calls_have_the_same_bits(rng, n_threads):
    frozen, alone = freeze(n_threads), freeze(1)
    for n_rows in ROWS:
        X = rng.standard_normal((n_rows, N_IN)).astype("float32")
        call_in_a_burst(frozen, X, alone.forward(X))
    assert count_helpers() >= n_threads - 1


def test_a_helper_does_shares(rng):
    frozen = freeze(2)
    X = rng.standard_normal((32, N_IN)).astype("float32")
    call_in_a_burst(frozen, X, freeze(1).forward(X), 2000)
    assert sum(helper.n_shares for helper in frozen._helpers) > 100


def test_calls_far_apart_start_no_thread(rng):
    wait_for_helpers(0)
    frozen = freeze(4)
    X = rng.standard_normal((32, N_IN)).astype("float32")
    for _ in range(5):
        frozen.forward(X)
        time.sleep(0.01)
    assert count_helpers() == 0


@pytest.mark.parametrize("n_rows", [1, 2])
def test_short_calls_are_not_shared(rng, n_rows):
    wait_for_helpers(0)
    frozen = freeze(4)
    X = rng.standard_normal((n_rows, N_IN)).astype("float32")
    call_in_a_burst(frozen, X, frozen.forward(X))
    assert count_helpers() == 0


def test_helpers_leave_with_their_network(rng):
    wait_for_helpers(0)
    frozen = freeze(3)
    X = rng.standard_normal((32, N_IN)).astype("float32")
    call_in_a_burst(frozen, X, frozen.forward(X))
    assert count_helpers() == 2
    del frozen
    wait_for_helpers(0)


def test_F01_NaN_in_the_share_of_a_helper_is_found(rng):
    frozen = freeze(2)
    X = rng.standard_normal((32, N_IN)).astype("float32")
    call_in_a_burst(frozen, X, frozen.forward(X))
    X[31, 7] = np.nan
    for _ in range(100):
        with pytest.raises(ValueError, match="NaN at row 31, column 7"):
            frozen.forward(X)


def test_several_threads_call_at_once(rng):
    frozen, alone = freeze(3), freeze(1)
    blocks = [rng.standard_normal((20 + i, N_IN)).astype("float32") for i in range(4)]
    wrong = []

    def work(X):
        expected = alone.forward(X)
        wrong.extend(1 for _ in range(400) if not same_bits(frozen.forward(X), expected))

    threads = [threading.Thread(target=work, args=(X,)) for X in blocks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_F12_a_child_has_helpers_of_its_own():
    """And does not wait for those of its parent, whatever they were at when it was forked."""
    code = """
import os, threading
import numpy as np, fastnn
layers = [fastnn.Dense(120, "relu"), fastnn.Dense(3)]
frozen = fastnn.Network(layers, n_features=300, n_threads=2).freeze()
X = np.ones((32, 300), "float32")
expected = frozen.forward(X)
def count():
    return sum(thread.name == "fastnn-helper" for thread in threading.enumerate())
for _ in range(20):
    for _ in range(50):
        assert (frozen.forward(X) == expected).all()
    assert count() == 1
    child = os.fork()
    if child == 0:
        assert count() == 0
        for _ in range(300):
            assert (frozen.forward(X) == expected).all()
        assert count() == 1
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
