"""How many threads, the limit on BLAS, and calls that run in a thread of their own."""

import multiprocessing
import os
import sys
import threading
import time
import warnings
import weakref

import common
import numpy as np
import pytest
import threadpoolctl
from common import THREADS

import fastnn
from fastnn import _threads
from fastnn._core.engine import has_openmp


def count_blas_threads():
    libraries = threadpoolctl.threadpool_info()
    return [lib["num_threads"] for lib in libraries if lib["user_api"] == "blas"]


def set_blas_threads(n):
    """In a thread that ends: threadpoolctl listens to one living thread only."""
    setter = threading.Thread(target=threadpoolctl.threadpool_limits, args=(n, "blas"))
    setter.start()
    setter.join()


@pytest.fixture
def blas_threads():
    """BLAS with two threads, whatever this machine has."""
    before = count_blas_threads()
    set_blas_threads(2)
    assert set(count_blas_threads()) == {2}
    yield 2
    set_blas_threads(before[0])


def test_the_limit_on_blas_ends_with_its_last_user(blas_threads):
    with _threads._blas_limit:
        with _threads._blas_limit:
            assert set(count_blas_threads()) == {1}
        assert set(count_blas_threads()) == {1}
    assert set(count_blas_threads()) == {blas_threads}


def test_the_limit_on_blas_ends_with_an_error(blas_threads):
    with pytest.raises(ZeroDivisionError), _threads._blas_limit:
        raise ZeroDivisionError
    assert set(count_blas_threads()) == {blas_threads}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_F12_the_limit_on_blas_ends_with_its_first_user_in_a_child(blas_threads):
    """Whoever held it in the parent is not there to lift it."""

    def check():
        with _threads._blas_limit:
            assert set(count_blas_threads()) == {1}
        assert set(count_blas_threads()) == {blas_threads}

    with common.held_elsewhere(_threads._blas_limit):
        assert common.run_in_child(check)
    assert set(count_blas_threads()) == {blas_threads}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_F12_a_child_that_is_forked_under_the_limit_on_blas_stays_under_it(blas_threads):
    limit = _threads._blas_limit

    def check():
        with limit:
            pass
        assert set(count_blas_threads()) == {1}
        limit.__exit__()
        assert set(count_blas_threads()) == {blas_threads}
        with limit:
            assert set(count_blas_threads()) == {1}
        assert set(count_blas_threads()) == {blas_threads}

    with limit:
        assert common.run_in_child(check)
    assert set(count_blas_threads()) == {blas_threads}


def test_F12_a_limit_on_blas_that_was_half_set_at_the_fork_is_set(blas_threads):
    limit = _threads._blas_limit
    with limit:
        pass
    limit._before = [(library, blas_threads) for library in limit._libraries]
    with limit:
        assert set(count_blas_threads()) == {1}
    assert set(count_blas_threads()) == {blas_threads}


def test_overlapping_limits_on_blas(blas_threads):
    """The first to come may be the first to go: what was before comes back all the same."""
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with _threads._blas_limit:
            entered.set()
            leave.wait(10)

    other = threading.Thread(target=hold)
    with _threads._blas_limit:
        other.start()
        entered.wait(10)
    assert set(count_blas_threads()) == {1}
    leave.set()
    other.join()
    assert set(count_blas_threads()) == {blas_threads}


def test_others_may_set_the_threads_of_blas_after_a_limit(blas_threads):
    """Though the thread that set the limit lives on."""
    left, leave = threading.Event(), threading.Event()

    def limit():
        with _threads._blas_limit:
            pass
        left.set()
        leave.wait(10)

    other = threading.Thread(target=limit)
    other.start()
    left.wait(10)
    set_blas_threads(1)
    found = count_blas_threads()
    leave.set()
    other.join()
    assert set(found) == {1}


def test_threads_available(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    available = _threads.count_available()
    assert available >= 1
    for text, expected in [("1", 1), ("1,4", 1), ("100000", available), ("nonsense", available)]:
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert _threads.count_available() == expected
    monkeypatch.setattr(_threads, "has_openmp", lambda: False)
    assert _threads.count_available() == 1
    with pytest.raises(ValueError, match=r"n_threads is 2, but this build .* no OpenMP"):
        fastnn.Network([fastnn.Dense(2)], n_threads=2)


@pytest.mark.skipif(not has_openmp(), reason="this build has no OpenMP")
def test_a_number_of_threads_is_exact():
    layers = [fastnn.Dense(3)]
    net = fastnn.Network(layers, n_features=2, n_threads=3)
    assert "3 threads" in net.explain()
    assert "1 thread," in fastnn.Network([fastnn.Dense(3)], n_features=2).explain()


def test_run_interruptibly_passes_results_and_errors_on():
    assert _threads.run_interruptibly(lambda: 42, None) == 42
    main = threading.get_ident()
    assert _threads.run_interruptibly(threading.get_ident, None) != main
    with pytest.raises(ZeroDivisionError):
        _threads.run_interruptibly(lambda: 1 / 0, None)


def test_a_thread_is_kept_for_the_next_call():
    first = _threads.run_interruptibly(threading.get_ident, None)
    assert _threads.run_interruptibly(threading.get_ident, None) == first
    with pytest.raises(ZeroDivisionError):
        _threads.run_interruptibly(lambda: 1 / 0, None)
    assert _threads.run_interruptibly(threading.get_ident, None) == first


def test_calls_at_once_have_threads_of_their_own():
    meeting = threading.Barrier(2, timeout=60)
    found = []

    def meet():
        meeting.wait()
        return threading.get_ident()

    def call():
        found.append(_threads.run_interruptibly(meet, None))

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 2


def test_an_interrupted_start_neither_runs_on_nor_is_waited_for(monkeypatch):
    """Ctrl-C right after the call was handed over, or before."""
    start, stopped, calls = _threads._Call.start, threading.Event(), []

    def work():
        calls.append("begun")
        stopped.wait(60)
        calls.append("ended")

    for hands_over in (True, False):

        def interrupt(self, idle, hands_over=hands_over):
            if hands_over:
                start(self, idle)
            raise KeyboardInterrupt

        monkeypatch.setattr(_threads._Call, "start", interrupt)
        with pytest.raises(KeyboardInterrupt):
            _threads.run_interruptibly(work, stopped.set)
        assert calls in ([], ["begun", "ended"])
        calls.clear()
    monkeypatch.undo()
    assert _threads.run_interruptibly(lambda: 42, None) == 42
    assert not calls


def test_few_threads_are_kept():
    meeting = threading.Barrier(2 * _threads._MOST_IDLE, timeout=60)

    def call():
        _threads.run_interruptibly(meeting.wait, None)

    threads = [threading.Thread(target=call) for _ in range(meeting.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(_threads._idle_for_regions) <= _threads._MOST_IDLE + 1


@pytest.mark.skipif(not has_openmp(), reason="this build has no OpenMP")
def test_scans_leave_the_threads_of_regions_alone():
    array = np.zeros(_threads._PARALLEL_SCAN, np.float32)
    regions = {_threads.run_interruptibly(threading.get_ident, None)}
    for _ in range(5):
        assert _threads.find_nonfinite(array, 4) == -1
        regions.add(_threads.run_interruptibly(threading.get_ident, None))
    assert len(regions) == 1


def test_what_a_call_held_is_let_go():
    data = np.ones(3)
    gone = weakref.ref(data)
    _threads.run_interruptibly(lambda data=data: data.sum(), None)
    del data
    for _ in range(500):  # the thread has yet to take its hands off
        if gone() is None:
            break
        time.sleep(0.01)
    assert gone() is None


def test_predict_and_fit_during_a_fit_are_refused():
    """F14: a second writer, or a reader of weights that are being written."""
    net = fastnn.Network([fastnn.Dense(3)], n_features=2)
    X, y = np.eye(2), [0, 1]
    net.fit(X, y, epochs=1)
    before = net.parameter_vector.copy()
    calls = [lambda: net.fit(X, y), lambda: net.predict(X), lambda: net.predict_proba(X),
             lambda: net.evaluate(X, y)]  # fmt: skip
    writer = threading.Thread(target=net._access.begin_writing)  # what a running fit does
    writer.start()
    writer.join()
    for call in calls:
        with pytest.raises(RuntimeError, match="model is being fitted in another thread"):
            call()
    net._access.end_writing()
    assert common.same_bits(net.parameter_vector, before)
    for call in calls:
        call()


def test_threads_may_predict_at_once(rng):
    """F13: scratch is not shared between calls."""
    layers = [fastnn.Dense(64, "tanh"), fastnn.Dense(5)]
    net = fastnn.Network(layers, n_features=30, n_threads=THREADS[min(1, len(THREADS) - 1)])
    inputs = [rng.standard_normal((n, 30)) for n in (1, 50, 255, 300)]
    expected = [net.predict_proba(X) for X in inputs]
    wrong = []

    def work(i):
        for _ in range(30):
            if not common.same_bits(net.predict_proba(inputs[i]), expected[i]):
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(i % 4,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_F12_forked_children_train_and_predict_the_same(rng):
    """Also after the parent ran threads of its own, and in a child of the child."""
    X, y = common.make_classes(rng, 300, 200, 5)

    def work():
        layers = [fastnn.Dense(200, "relu"), fastnn.Dense(5)]
        net = fastnn.Network(layers, n_features=200, n_threads=THREADS[-1])
        net.fit(X, y, epochs=1, batch_size=64)
        net.forward(X, y)
        net.backward()
        return net.predict_proba(X).tobytes() + net.gradient_vector.tobytes()

    expected = work()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def send(levels):
        sender.send_bytes(work())
        if levels > 1:
            child = context.Process(target=send, args=(levels - 1,))
            child.start()
            child.join(60)
            sys.exit(child.exitcode)

    child = context.Process(target=send, args=(2,))
    with warnings.catch_warnings():  # Python 3.12 and later warn that threads were running
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    try:
        for _ in range(2):
            assert receiver.poll(60), "a child hangs"
            assert receiver.recv_bytes() == expected
        child.join(10)
        assert child.exitcode == 0
    finally:
        child.kill()


@pytest.mark.parametrize(
    ("n_rows", "units", "n_threads", "expected"),
    [(16, 512, 4, 1), (16, 2048, 8, 4), (120, 512, 4, 4), (120, 512, 1, 1), (1, 9000, 4, 1),
     (400, 3, 8, 4), (400, 3, None, 1)],
)  # fmt: skip
def test_predictions_take_threads_where_each_has_work_for(n_rows, units, n_threads, expected):
    """An integer is obeyed as far as there are blocks of rows, or work, for each."""
    net = fastnn.Network([fastnn.Dense(units)], "mse", n_features=512)
    choose = net._predictors._choose_n_threads
    assert choose(net._shapes["scores"], n_rows, n_threads) == expected


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_several_threads_find_the_first_nonfinite_number(monkeypatch, n_threads):
    monkeypatch.setattr(_threads, "_PARALLEL_SCAN", 10)
    numbers = np.ones(50, "float32")
    assert _threads.find_nonfinite(numbers, n_threads) == -1
    for place in [49, 33, 20, 17, 16, 0]:  # the first of all that are there by then
        numbers[place] = np.nan
        assert _threads.find_nonfinite(numbers, n_threads) == place
