"""Training: step by step beside a plain NumPy trainer, and what ends a fit early."""

import _thread
import contextlib
import threading
import time
import tracemalloc

import common
import numpy as np
import pytest
import reference
from common import THREADS

import fastnn
from fastnn import _threads

# widths, hidden activation, loss, rows, batch size, learning rate
CASES = {
    "classes": ((10, 33, 17, 4), "tanh", "softmax_cross_entropy", 100, 32, 0.3),
    "values": ((10, 31, 3), "sigmoid", "mse", 100, 33, 0.5),
    "relu": ((300, 257, 10), "relu", "softmax_cross_entropy", 100, 64, 0.1),
    "softmax inside": ((12, 16, 15, 5), "softmax", "mse", 63, 63, 0.5),
    "one row a step": ((7, 5, 3), "tanh", "softmax_cross_entropy", 10, 1, 0.1),
    "all rows a step": ((7, 15, 3), "tanh", "softmax_cross_entropy", 100, 1000, 0.5),
    "many rows a step": ((100, 15, 3), "tanh", "mse", 1500, 1000, 0.5),  # in blocks
    "owned by none": ((64, 512, 257, 7), "tanh", "mse", 150, 70, 0.5),
    "one layer": ((63, 7), "tanh", "softmax_cross_entropy", 50, 16, 0.2),
}
WIDE = ((1030, 1100, 1024, 10), "tanh", "softmax_cross_entropy", 200, 96, 0.01)
N_STEPS = 100


def make_network(case, dtype, n_threads):
    widths, hidden, loss, *_ = case
    layers = [fastnn.Dense(width, hidden) for width in widths[1:-1]]
    layers.append(fastnn.Dense(widths[-1]))
    options = {"n_features": widths[0], "dtype": dtype, "seed": 4, "n_threads": n_threads}
    return fastnn.Network(layers, loss, **options)


def make_data(case, dtype):
    """Numbers that both precisions hold, labels or values, and the targets of the oracle."""
    widths, _, loss, n_rows, *_ = case
    X, y = common.make_classes(np.random.default_rng(8), n_rows, widths[0], widths[-1])
    X = X.astype("float32").astype(dtype)
    if loss == "mse":
        y = np.tanh(X[:, : widths[-1]]).astype(dtype)
        return X, y, y.astype(float)
    return X, y, reference.one_hot(y, widths[-1])


def list_steps(case, n_steps):
    """Row numbers of each step, epoch by epoch, in the order of the oracle's shuffle."""
    *_, n_rows, batch_size, _ = case
    steps, epoch = [], 0
    while len(steps) < n_steps:
        order = reference.shuffle(4, epoch, n_rows)
        steps += [order[i : i + batch_size] for i in range(0, n_rows, batch_size)]
        epoch += 1
    return steps, epoch


def distance(net, parameters):
    exact = reference.flatten(parameters)
    return np.linalg.norm(net.parameter_vector - exact) / np.linalg.norm(exact)


def check_steps(case, dtype, n_threads, n_steps, room):
    """The explicit loop after every step, and `fit` at the end, beside the oracle."""
    _, hidden, loss, n_rows, batch_size, rate = case
    X, y, targets = make_data(case, dtype)
    net, fitted = make_network(case, dtype, n_threads), make_network(case, dtype, n_threads)
    parameters = reference.copy_parameters(net)
    activations = [hidden] * (len(parameters) - 1) + ["identity"]
    steps, epochs = list_steps(case, n_steps)
    optimizer, sums = fastnn.SGD(rate), np.zeros(epochs)
    n_batches = -(-n_rows // batch_size)
    for i, rows in enumerate(steps):
        exact, parameters = reference.train_step(
            parameters, activations, loss, X[rows].astype(float), targets[rows], "sgd", rate
        )
        found = net.forward(X[rows], y[rows])
        net.backward()
        optimizer.step(net)
        assert found == pytest.approx(exact, rel=room), i
        assert distance(net, parameters) <= room, i
        sums[i // n_batches] += exact * len(rows) / n_rows
    history = fitted.fit(X, y, epochs=epochs, batch_size=batch_size, optimizer=optimizer)
    assert distance(fitted, parameters) <= room
    np.testing.assert_allclose(history.loss, sums, rtol=room)
    assert history.loss[-1] < history.loss[0]


@pytest.mark.parametrize("n_threads", THREADS)
@pytest.mark.parametrize("name", CASES)
def test_steps_agree_with_the_oracle(isa, dtype, name, n_threads):
    check_steps(CASES[name], dtype, n_threads, N_STEPS, 1e-10 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("n_threads", THREADS)
def test_steps_by_blas_agree_with_the_oracle(dtype, n_threads):
    """Layers of more than one block of BLAS on each side, with both ways to apply an activation."""
    case = (WIDE[0], "tanh" if n_threads == 2 else "relu", *WIDE[2:])
    check_steps(case, dtype, n_threads, 6, 1e-10 if dtype == "float64" else 1e-4)


def test_training_learns(isa, dtype, rng):
    X, y = common.make_classes(rng, 1200, 5, 3)
    net = fastnn.Network([fastnn.Dense(32, "relu"), fastnn.Dense(3)], dtype=dtype)
    net.fit(X[:1000], y[:1000], epochs=20, optimizer=fastnn.SGD(0.1))
    assert net.evaluate(X[1000:], y[1000:])["accuracy"] > 0.9


# --- denormals -----------------------------------------------------------------------------------


def make_tiny():
    """A network whose output would be a denormal number."""
    net = fastnn.Network([fastnn.Dense(1, use_bias=False)], "mse", n_features=1, n_threads=1)
    net.layers[0].weight[...] = 1e-30
    return net, np.array([[1e-9]], dtype="float32")


def test_denormals_are_flushed_inside_and_kept_outside():
    net, x = make_tiny()
    tiny = np.float32(1e-30)

    def keeps_denormals():
        return tiny * np.float32(1e-9) > 0

    assert keeps_denormals()
    calls = [
        lambda: net.predict(x),
        lambda: net.forward(x),
        lambda: net.forward(x, [[0.0]]),
        net.backward,
        lambda: net.fit(x, [[0.0]], epochs=1),
        lambda: net.evaluate(x, [[0.0]]),
    ]
    assert net.predict(x)[0] == 0
    for call in calls:
        call()
        assert keeps_denormals()
    net.layers[0].weight[...] = 1e-39  # and one that comes in counts as zero
    assert net.predict(np.array([[1e9]], dtype="float32"))[0] == 0


@pytest.mark.parametrize("n_threads", THREADS)
def test_denormal_weights_train_alike_in_fit_and_in_the_explicit_loop(n_threads):
    """Also where a weight has become a denormal number."""
    X = np.ones((4, 2), dtype="float32")
    nets = []
    for _ in range(2):
        net = fastnn.Network([fastnn.Dense(2, use_bias=False)], "mse", n_features=2,
                             n_threads=n_threads)  # fmt: skip
        net.layers[0].weight[...] = np.array([[1e-39, 1], [1e-39, 1]])
        nets.append(net)
    y, optimizer = np.array([[0, 2.0]] * 4), fastnn.SGD(0.1)
    nets[0].fit(X, y, epochs=1, batch_size=4, optimizer=optimizer)
    nets[1].forward(X, y)
    nets[1].backward()
    optimizer.step(nets[1])
    assert common.same_bits(nets[0].parameter_vector, nets[1].parameter_vector)


# --- interruption --------------------------------------------------------------------------------


def interrupt_in(seconds):
    timer = threading.Timer(seconds, _thread.interrupt_main)
    timer.start()
    return timer


@pytest.mark.parametrize("n_threads", THREADS[:2])
def test_ctrl_c_keeps_the_weights_of_the_last_whole_step(n_threads, rng):
    X, y = common.make_classes(rng, 512, 300, 10)

    def make():
        layers = [fastnn.Dense(256, "relu", use_bias=False), fastnn.Dense(10, use_bias=False)]
        return fastnn.Network(layers, n_features=300, n_threads=n_threads)

    options = {"batch_size": 128, "optimizer": fastnn.SGD(0.01)}
    net, twin = make(), make()
    first = net.parameter_vector.copy()
    timer = interrupt_in(0.1)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y, epochs=100_000, **options)
    timer.join()
    assert not common.same_bits(net.parameter_vector, first)
    for epoch in range(2000):  # far more than fit into the time until the interruption
        for xb, yb in fastnn.batches(X, y, 128, epoch=epoch):
            twin.forward(xb, yb)
            twin.backward()
            options["optimizer"].step(twin)
            if common.same_bits(twin.parameter_vector, net.parameter_vector):
                break
        else:
            continue
        break
    else:
        pytest.fail("the weights are not those after any whole step")
    net.fit(X, y, epochs=1, **options)
    assert net.evaluate(X, y)["loss"] < 3


def test_a_stop_that_comes_before_the_first_step_is_not_lost(monkeypatch, rng):
    """Ctrl-C while the engine is being set up."""
    X, y = common.make_classes(rng, 64, 10, 3)
    net, twin = (fastnn.Network([fastnn.Dense(3)], n_features=10) for _ in range(2))

    def interrupt_at_once(function, request_stop):
        request_stop()
        function()
        raise KeyboardInterrupt

    monkeypatch.setattr(_threads, "run_interruptibly", interrupt_at_once)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y, epochs=50, batch_size=16)
    xb, yb = next(fastnn.batches(X, y, 16))
    allowed = [twin.parameter_vector.copy()]
    twin.forward(xb, yb)
    twin.backward()
    fastnn.SGD().step(twin)
    allowed.append(twin.parameter_vector)
    assert any(common.same_bits(net.parameter_vector, vector) for vector in allowed)


def test_a_call_that_never_began_counts_no_steps(monkeypatch, rng):
    """Ctrl-C before the engine's second call: its counts are still those of the first."""
    X, y = common.make_classes(rng, 64, 10, 3)
    net, n_calls, run = fastnn.Network([fastnn.Dense(3)]), [], _threads.run_interruptibly

    def interrupt_the_second(function, request_stop):
        n_calls.append(1)
        if len(n_calls) == 2:
            raise KeyboardInterrupt
        return run(function, request_stop)

    monkeypatch.setattr(_threads, "run_interruptibly", interrupt_the_second)
    optimizer = fastnn.Adam()
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y, epochs=5, batch_size=16, optimizer=optimizer, callbacks=[lambda fit: None])
    assert len(net.history) == 1
    assert optimizer.steps == 4


@pytest.mark.parametrize("delays", [[0.1], [0.1, 0.3]], ids=["once", "twice"])
def test_ctrl_c_waits_for_the_worker(delays):
    """Weights come back from the engine after its last step, however impatient the user."""
    stop, ended = threading.Event(), threading.Event()

    def work():
        if stop.wait(10):
            time.sleep(0.5)
            ended.set()

    timers = [interrupt_in(delay) for delay in delays]
    with pytest.raises(KeyboardInterrupt):
        _threads.run_interruptibly(work, stop.set)
    try:
        assert ended.is_set()
    finally:
        with contextlib.suppress(KeyboardInterrupt):  # one that came too late for the above
            for timer in timers:
                timer.join()
            time.sleep(0.01)


# --- memory --------------------------------------------------------------------------------------


def measure_peak(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_nothing_is_allocated_per_step(rng):
    """Ten times the steps, and the epochs, without more memory than their rows of history."""
    X, y = common.make_classes(rng, 4000, 8, 3)
    X = X.astype("float32")

    def peak(epochs, rows):
        net = fastnn.Network([fastnn.Dense(16, "relu"), fastnn.Dense(3)], n_features=8)
        net.fit(X[:50], y[:50], epochs=1, batch_size=4)
        data = X[:rows], y[:rows]
        return measure_peak(lambda: net.fit(*data, epochs=epochs, batch_size=4))

    per_row = (peak(1, 4000) - peak(1, 400)) / 3600
    assert per_row < 100  # labels, pointers, losses and the order of the rows; no step's garbage
    assert peak(40, 400) - peak(4, 400) < 36 * 1500
