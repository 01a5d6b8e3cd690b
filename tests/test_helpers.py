"""Helpers of a frozen network: they share calls that follow each other quickly, and only those."""

import _thread
import copy
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
from fastnn import _programs
from fastnn._core import kernels
from fastnn._core.engine import has_openmp

pytestmark = pytest.mark.skipif(not has_openmp(), reason="this build runs one thread")

N_IN = 300
ROWS = [17, 32, 101]


@pytest.fixture(autouse=True)
def share_alike(monkeypatch):
    """From 16 to 230 rows, whatever the instruction set and dtype."""

    def set_up(dtype):
        width = kernels.get_vector_width(dtype)
        monkeypatch.setattr(_programs, "_SMALL_SHARED_CALL", (1 << 23) // width)

    set_up("float32")
    return set_up


def freeze(n_threads):
    layers = [fastnn.Dense(120, "relu"), fastnn.Dense(3)]
    return fastnn.Network(layers, n_features=N_IN, n_threads=n_threads).freeze()


def count_started(frozen):
    return sum(helper.started for helper in frozen._predictors.helpers)


def count_shares(frozen):
    return sum(helper.n_shares for helper in frozen._predictors.helpers)


def call_in_a_burst(frozen, X, expected, n_shares=1):
    """Until the helpers have done so many shares more."""
    wanted, deadline = count_shares(frozen) + n_shares, time.monotonic() + 60
    while count_shares(frozen) < wanted:
        assert time.monotonic() < deadline, "no helper ever helped"
        for _ in range(100):
            assert same_bits(frozen.forward(X), expected)


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        gc.collect()
        time.sleep(0.01)


@pytest.mark.parametrize("n_threads", [2, 4])
def test_shared_calls_have_the_same_bits(rng, n_threads):
    frozen, alone = freeze(n_threads), freeze(1)
    for n_rows in ROWS:
        X = rng.standard_normal((n_rows, N_IN)).astype("float32")
        call_in_a_burst(frozen, X, alone.forward(X), 20)
    assert count_started(frozen) == n_threads - 1


# Wide layers in front, behind, between narrow ones, of three panels, and beside others.
WIDE = {
    "first": [fastnn.Dense(400, "relu"), fastnn.Dense(3)],
    "last": [fastnn.Dense(7, "tanh"), fastnn.Dense(300, "tanh"), fastnn.Dense(500)],
    "all": [fastnn.Dense(300, "gelu"), fastnn.Dense(290, "relu"), fastnn.Dense(310)],
    "between": [fastnn.Dense(9), fastnn.Dense(8000, "relu"), fastnn.Dense(9), fastnn.Dense(8)],
    "rowwise": [fastnn.Dense(300, "softmax"), fastnn.Dense(301, "prelu"), fastnn.Dense(2)],
    "norms": [
        fastnn.Dense(300),
        fastnn.BatchNorm(),
        fastnn.Activation("relu"),
        fastnn.Dense(301),
        fastnn.LayerNorm(),
        fastnn.Dropout(0.5),
        fastnn.Dense(230),
    ],
}


def freeze_wide(name, n_threads, dtype="float32"):
    options = {"loss": "mse", "n_features": N_IN, "dtype": dtype, "n_threads": n_threads}
    return fastnn.Network([copy.deepcopy(layer) for layer in WIDE[name]], **options).freeze()


@pytest.mark.parametrize("n_rows", [1, 2, 3])
@pytest.mark.parametrize("name", WIDE)
def test_wide_layers_of_few_rows_are_shared(isa, dtype, rng, share_alike, name, n_rows):
    share_alike(dtype)
    frozen, alone = freeze_wide(name, 4, dtype), freeze_wide(name, 1, dtype)
    X = rng.standard_normal((n_rows, N_IN)).astype(dtype)
    call_in_a_burst(frozen, X, alone.forward(X))
    if n_rows == 1:  # more may be enough for shares of rows
        assert count_started(frozen) == 1


def test_F01_NaN_in_a_row_that_is_shared_by_columns_is_found(rng):
    frozen = freeze_wide("all", 2)
    X = rng.standard_normal((1, N_IN)).astype("float32")
    expected = frozen.forward(X)
    call_in_a_burst(frozen, X, expected)
    bad = X.copy()
    bad[0, 299] = np.inf
    for _ in range(50):
        with pytest.raises(ValueError, match="X contains inf at row 0, column 299"):
            frozen.forward(bad)
        assert same_bits(frozen.forward(X), expected)


def test_rows_from_several_threads_are_shared_by_columns(rng):
    frozen, alone = freeze_wide("all", 2), freeze_wide("all", 1)
    rows = [rng.standard_normal((1, N_IN)).astype("float32") for _ in range(3)]
    wrong = []

    def work(X, expected):
        for _ in range(2000):
            if not same_bits(frozen.forward(X), expected):
                wrong.append(X)

    threads = [threading.Thread(target=work, args=(X, alone.forward(X))) for X in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert count_shares(frozen) > 0


def test_calls_far_apart_start_no_thread(rng):
    frozen = freeze(4)
    X = rng.standard_normal((32, N_IN)).astype("float32")
    for _ in range(5):
        frozen.forward(X)
        time.sleep(0.01)
    assert count_started(frozen) == 0


@pytest.mark.parametrize("n_rows", [1, 2, 15, 400])
def test_calls_too_short_or_too_long_are_not_shared(rng, n_rows):
    frozen = freeze(4)
    X = rng.standard_normal((n_rows, N_IN)).astype("float32")
    for _ in range(100):
        frozen.forward(X)
    assert count_started(frozen) == 0


def test_one_thread_has_no_helpers():
    assert freeze(1)._predictors.helpers == []


def test_helpers_leave_with_their_network(rng):
    before = _thread._count()
    frozen = freeze(3)
    X = rng.standard_normal((32, N_IN)).astype("float32")
    call_in_a_burst(frozen, X, frozen.forward(X))
    assert _thread._count() > before
    del frozen
    wait_until(lambda: _thread._count() <= before)


def test_F01_NaN_in_the_share_of_a_helper_is_found(rng):
    frozen = freeze(2)
    X = rng.standard_normal((32, N_IN)).astype("float32")
    call_in_a_burst(frozen, X, frozen.forward(X))
    X[31, 7] = np.nan
    for _ in range(100):
        with pytest.raises(ValueError, match="NaN at row 31, column 7"):
            frozen.forward(X)


def test_several_threads_call_at_once(rng):
    """One of them with a NaN, which no clean call of another hides."""
    frozen, alone = freeze(3), freeze(1)
    blocks = [rng.standard_normal((20 + i, N_IN)).astype("float32") for i in range(4)]
    expected = [alone.forward(X) for X in blocks]
    blocks[3][22, 299] = np.nan
    wrong = []

    def work(i):
        for _ in range(400):
            try:
                found = frozen.forward(blocks[i])
            except ValueError:
                found = None
            if (found is None) != (i == 3) or (i < 3 and not same_bits(found, expected[i])):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_callers_do_without_where_no_thread_can_start(rng, monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    frozen, alone = freeze(2), freeze(1)
    X = rng.standard_normal((32, N_IN)).astype("float32")
    expected = alone.forward(X)
    for _ in range(300):
        assert same_bits(frozen.forward(X), expected)
    assert count_shares(frozen) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_F12_a_child_has_helpers_of_its_own():
    """And does not wait for those of its parent, whatever they were at when it was forked."""
    code = """
import os
import numpy as np, fastnn, fastnn.frozen
fastnn._programs._SMALL_SHARED_CALL = 1 << 23
layers = [fastnn.Dense(120, "relu"), fastnn.Dense(3)]
frozen = fastnn.Network(layers, n_features=300, n_threads=2).freeze()
(helper,) = frozen._predictors.helpers
X = np.ones((32, 300), "float32")
expected = frozen.forward(X)
def burst():
    wanted = helper.n_shares + 1
    while helper.n_shares < wanted:
        assert (frozen.forward(X) == expected).all()
for _ in range(20):
    burst()
    child = os.fork()
    if child == 0:
        assert not helper.started
        burst()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
