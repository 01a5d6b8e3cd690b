"""fit_many: the bits of fits one after the other, whatever the number of threads."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from common import THREADS, make_classes, same_bits

import fastnn


def make_nets(n, **options):
    return [
        fastnn.Network([fastnn.Dense(9, "relu"), fastnn.Dense(3)], n_features=5, seed=i, **options)
        for i in range(n)
    ]


@pytest.fixture
def data(rng):
    return make_classes(rng, 150, 5, 3)


@pytest.mark.parametrize("n_threads", THREADS)
def test_many_fits_have_the_bits_of_single_ones(data, n_threads):
    alone, together = make_nets(5), make_nets(5)
    for net in alone:
        net.fit(*data, epochs=3, optimizer=fastnn.SGD(0.1))
    histories = fastnn.fit_many(
        together, *data, n_threads=n_threads, epochs=3, optimizer=fastnn.SGD(0.1)
    )
    for one, other, history in zip(alone, together, histories, strict=True):
        assert same_bits(one.parameter_vector, other.parameter_vector)
        assert history is other.history
        assert history.loss == one.history.loss


def test_each_network_may_have_its_own_rate_and_rows(data):
    X, y = data
    rates, folds = [0.01, 0.1, 0.5], [np.arange(150) % 3 != k for k in range(3)]
    alone, together = make_nets(3), make_nets(3)
    for net, rate, fold in zip(alone, rates, folds, strict=True):
        net.fit(X[fold], y[fold], epochs=2, optimizer=fastnn.SGD(rate))
    optimizers = [fastnn.SGD(rate) for rate in rates]
    fastnn.fit_many(together, X, y, rows=folds, optimizer=optimizers, epochs=2)
    for one, other in zip(alone, together, strict=True):
        assert same_bits(one.parameter_vector, other.parameter_vector)


def test_each_network_is_watched_and_scaled_for_itself(data):
    X, y = data
    alone, together = (make_nets(3, scale_inputs="standard") for _ in range(2))
    watch = fastnn.EarlyStopping("loss", patience=1, min_delta=0.02)
    for net in alone:
        net.fit(X, y, epochs=20, callbacks=[fastnn.EarlyStopping("loss", 1, min_delta=0.02)])
    fastnn.fit_many(together, X, y, epochs=20, callbacks=[watch])
    for one, other in zip(alone, together, strict=True):
        assert same_bits(one.parameter_vector, other.parameter_vector)
    assert len({len(net.history) for net in together}) > 1


def test_number_of_threads_is_given_back(data):
    nets = make_nets(2, n_threads=None)
    fastnn.fit_many(nets, *data, epochs=1)
    assert [net.n_threads for net in nets] == [None, None]


def test_unusable_arguments_are_refused(data):
    (net,) = make_nets(1)
    with pytest.raises(ValueError, match="the same network twice"):
        fastnn.fit_many([net, net], *data)
    with pytest.raises(ValueError, match="optimizer has 2 entries for 1 networks; expected 1"):
        fastnn.fit_many([net], *data, optimizer=[fastnn.SGD(), fastnn.SGD()])
    with pytest.raises(ValueError, match="X contains NaN at row 1, column 2"):
        fastnn.fit_many([net], np.where(np.arange(10) == 7, np.nan, 1).reshape(2, 5), [0, 1])


def test_one_that_diverges_does_not_hold_up_the_others(data):
    X, y = data
    nets = make_nets(3)
    rates = [fastnn.SGD(0.1), fastnn.SGD(1e30), fastnn.SGD(0.1)]
    with pytest.raises(fastnn.DivergenceError):
        fastnn.fit_many(nets, X, y, optimizer=rates, epochs=2)
    assert [len(net.history) for net in nets] == [2, 0, 2]


MANY = "fastnn.fit_many(nets, X, y, epochs=10_000, n_threads=2)"
RESTARTS = "nets[0].fit(X, y, epochs=10_000, n_restarts=8)"


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to a process of its own")
@pytest.mark.parametrize(("call", "n_trained"), [(MANY, 2), (RESTARTS, 1)])
def test_F11_interrupt_ends_all_after_their_steps(call, n_trained):
    code = """
        import numpy as np, fastnn
        X, y = np.random.default_rng(0).random((20_000, 50)), np.arange(20_000) % 3
        nets = [
            fastnn.Network([fastnn.Dense(50, "tanh"), fastnn.Dense(3)], n_features=50, seed=i)
            for i in range(8)
        ]
        print("ready", flush=True)
        try:
            CALL
        except KeyboardInterrupt:
            assert all(np.isfinite(net.parameter_vector).all() for net in nets)
            print([net.history is not None for net in nets].count(True), flush=True)
    """
    code = textwrap.dedent(code).replace("CALL", call)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.0)
        process.send_signal(signal.SIGINT)
        found, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert found == f"{n_trained}\n"
