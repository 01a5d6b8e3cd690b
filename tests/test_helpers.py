"""Helpers: they share calls that follow each other quickly, and only those."""

import copy
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from common import same_bits

import fastnn
from fastnn import _predictors
from fastnn._core import kernels
from fastnn._core.engine import has_openmp
from fastnn._core.helpers import get_helpers

pytestmark = pytest.mark.skipif(not has_openmp(), reason="this build runs one thread")

N_IN = 300
ROWS = [17, 32, 101]


@pytest.fixture(autouse=True)
def share_alike(monkeypatch):
    """From 16 to 230 rows, whatever the instruction set and dtype."""

    def set_up(dtype):
        width = kernels.get_vector_width(dtype)
        monkeypatch.setattr(_predictors, "_SMALL_SHARED_CALL", (1 << 23) // width)

    set_up("float32")
    return set_up


def make_network(n_threads):
    layers = [fastnn.Dense(120, "relu"), fastnn.Dense(3)]
    return fastnn.Network(layers, n_features=N_IN, n_threads=n_threads)


def freeze(n_threads):
    return make_network(n_threads).freeze()


def list_shares():
    """Of each helper, so far."""
    return [helper.n_shares for helper in get_helpers(256)]


def call_in_a_burst(net, X, expected, n_shares=1):
    """Until the helpers have done so many shares more."""
    wanted, deadline = sum(list_shares()) + n_shares, time.monotonic() + 60
    while sum(list_shares()) < wanted:
        assert time.monotonic() < deadline, "no helper ever helped"
        for _ in range(100):
            assert same_bits(net.forward(X), expected)


def run_alone(code):
    """In a process where no helper has started yet."""
    begin = """
import time, _thread
import numpy as np, fastnn, fastnn.frozen
from fastnn._core import kernels
from fastnn._core.helpers import get_helpers
fastnn._predictors._SMALL_SHARED_CALL = (1 << 23) // kernels.get_vector_width("float32")
layers = [fastnn.Dense(120, "relu"), fastnn.Dense(3)]
net = fastnn.Network(layers, n_features=300, n_threads=2)
X = np.ones((32, 300), "float32")
expected = net.forward(X)
(helper,) = get_helpers(2)
"""
    subprocess.run([sys.executable, "-c", begin + code], check=True, timeout=120)


@pytest.mark.parametrize("n_threads", [2, 4])
@pytest.mark.parametrize("make", [make_network, freeze])
def test_shared_calls_have_the_same_bits(rng, make, n_threads):
    net, alone, before = make(n_threads), make(1), list_shares()
    for n_rows in ROWS:
        X = rng.standard_normal((n_rows, N_IN)).astype("float32")
        call_in_a_burst(net, X, alone.forward(X), 20)
    assert list_shares()[n_threads - 1 :] == before[n_threads - 1 :]
    assert all(helper.started for helper in get_helpers(n_threads))


def test_weights_that_change_between_two_shared_calls_are_seen(rng):
    net, X = make_network(2), rng.standard_normal((32, N_IN)).astype("float32")
    for scale in (2, -1, 3):
        net.layers[0].weight[...] *= scale
        expected = np.concatenate([net.forward(X[:7]), net.forward(X[7:])])
        call_in_a_burst(net, X, expected, 5)


def test_networks_that_take_turns_have_the_same_helpers(rng):
    nets = [make_network(2) for _ in range(20)]
    X = rng.standard_normal((32, N_IN)).astype("float32")
    expected = nets[0].forward(X)
    wanted, deadline = sum(list_shares()) + 20, time.monotonic() + 60
    while sum(list_shares()) < wanted:
        assert time.monotonic() < deadline
        assert all(same_bits(net.forward(X), expected) for net in nets)
    assert len(get_helpers(256)) == 3


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
    frozen, alone, before = freeze_wide(name, 4, dtype), freeze_wide(name, 1, dtype), list_shares()
    X = rng.standard_normal((n_rows, N_IN)).astype(dtype)
    call_in_a_burst(frozen, X, alone.forward(X))
    if n_rows == 1:  # more may be enough for shares of rows
        assert list_shares()[1:] == before[1:]


def test_columns_are_shared_with_one_helper():
    """The others sleep on."""
    run_alone("""
wide = fastnn.Network([fastnn.Dense(400), fastnn.Dense(3)], n_features=300, n_threads=4)
X = np.ones((1, 300), "float32")
for _ in range(1000):
    wide.forward(X)
assert [helper.started for helper in get_helpers(4)] == [True, False, False]
""")


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
    frozen, alone, before = freeze_wide("all", 2), freeze_wide("all", 1), list_shares()
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
    assert list_shares() > before


def test_calls_far_apart_start_no_thread():
    run_alone("""
for _ in range(5):
    time.sleep(0.01)
    net.forward(X)
assert not helper.started
""")


@pytest.mark.parametrize("n_rows", [1, 2, 15, 400])
def test_calls_too_short_or_too_long_are_not_shared(n_rows):
    run_alone(f"""
time.sleep(0.01)
X = np.ones(({n_rows}, 300), "float32")
for _ in range(100):
    net.forward(X)
assert not helper.started
for _ in range(100):
    net.forward(np.ones((32, 300), "float32"))
assert helper.started
""")


def test_one_thread_has_no_helpers():
    run_alone("""
net.n_threads = 1
frozen = net.freeze()
for _ in range(100):
    net.forward(X)
    frozen.forward(X)
assert not helper.started
""")


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


def test_callers_do_without_where_no_thread_can_start():
    run_alone("""
def refuse(*_):
    raise RuntimeError("can't start new thread")
_thread.start_new_thread = refuse
for _ in range(300):
    assert (net.forward(X) == expected).all()
assert helper.started and helper.n_shares == 0
""")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_F12_a_child_has_helpers_of_its_own():
    """And does not wait for those of its parent, whatever they were at when it was forked."""
    run_alone("""
import os
def burst():
    wanted = helper.n_shares + 1
    while helper.n_shares < wanted:
        assert (net.forward(X) == expected).all()
for _ in range(20):
    burst()
    child = os.fork()
    if child == 0:
        assert not helper.started
        burst()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
""")
