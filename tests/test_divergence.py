"""F09: the step that would leave a number that is not finite is named, and not made."""

import common
import numpy as np
import pytest
from common import THREADS

import fastnn
from fastnn import _threads
from fastnn._training import Training

N_ROWS, BATCH_SIZE = 40, 8
OPTIMIZERS = {
    "sgd": lambda rate: fastnn.SGD(rate),
    "decay": lambda rate: fastnn.SGD(rate, weight_decay=3 / rate),
    "momentum": lambda rate: fastnn.SGD(rate, momentum=0.9),
    "adam": lambda rate: fastnn.Adam(rate),
    "adagrad": lambda rate: fastnn.Adagrad(rate),
}


def make_network(dtype, n_threads=1, layers=None):
    layers = layers or [fastnn.Dense(17, "relu"), fastnn.BatchNorm(), fastnn.Dense(2)]
    return fastnn.Network(layers, "mse", n_features=4, dtype=dtype, n_threads=n_threads)


def make_data(rng, scale=1.0):
    X = scale * (np.abs(rng.standard_normal((N_ROWS, 4))) + 0.1)
    return X, rng.standard_normal((N_ROWS, 2))


def copy_state(net, optimizer):
    running = [layer.running_mean for layer in net.layers if isinstance(layer, fastnn.BatchNorm)]
    slots = optimizer.state_dict()["slots"].values()
    return [array.copy() for array in (net.parameter_vector, *running, *slots)]


def train_until_it_diverges(net, optimizer, X, Y, epochs=400):
    """The explicit loop: (epoch, step) of the first bad step, and the state before it."""
    for epoch in range(epochs):
        for step, (xb, yb) in enumerate(fastnn.batches(X, Y, BATCH_SIZE, epoch=epoch)):
            before = copy_state(net, optimizer)
            with np.errstate(all="ignore"):
                is_finite = np.isfinite(net.forward(xb, yb))
                net.backward()
                try:
                    optimizer.step(net)
                except fastnn.DivergenceError:  # of a gradient: nothing has changed
                    is_finite = False
                after = copy_state(net, optimizer)
            if not is_finite or not all(np.isfinite(array).all() for array in after):
                return (epoch, step), before
    raise AssertionError("it does not diverge")


def check_against_explicit_loop(net, twin, make_optimizer, X, Y, **options):
    optimizer = make_optimizer()
    with pytest.raises(fastnn.DivergenceError) as caught:
        net.fit(X, Y, epochs=400, batch_size=BATCH_SIZE, optimizer=optimizer, **options)
    error, place = caught.value, (caught.value.epoch, caught.value.step)
    expected, before = train_until_it_diverges(twin, make_optimizer(), X, Y)
    assert place == expected
    for array, kept in zip(copy_state(net, optimizer), before, strict=True):
        assert np.isfinite(array).all()
        assert common.same_bits(array, kept)
    n_steps = N_ROWS // BATCH_SIZE
    assert optimizer.steps == error.epoch * n_steps + error.step
    assert len(net.history) == error.epoch
    assert net.history.stop_reason == str(error)
    return error


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("scale", [1.0, 1e12])
def test_F09_the_bad_step_is_named_and_not_made(dtype, name, scale, rng):
    """The same step as in the explicit loop, and the bits from before it."""
    X, Y = make_data(rng, scale)
    Y = Y * (1e15 if dtype == "float32" else 1e150)
    rate = 1e6 if dtype == "float32" else 1e60
    net, twin = make_network(dtype), make_network(dtype)
    check_against_explicit_loop(net, twin, lambda: OPTIMIZERS[name](rate), X, Y)


@pytest.mark.parametrize("n_threads", THREADS)
@pytest.mark.parametrize("watched", [False, True])
def test_C32_F09_divergence_names_epoch_step_layer_and_rate(dtype, n_threads, watched, isa, rng):
    X, Y = make_data(rng)
    layers = [fastnn.Dense(5), fastnn.Dense(2)]
    net = make_network(dtype, n_threads, layers)
    twin = make_network(dtype, n_threads, [fastnn.Dense(5), fastnn.Dense(2)])
    options = {"callbacks": [fastnn.Callback()]} if watched else {}
    error = check_against_explicit_loop(net, twin, lambda: fastnn.SGD(20.0), X, Y, **options)
    assert (error.learning_rate, error.suggested_rate) == (20.0, 2.0)
    for word in [f"epoch {error.epoch}, step {error.step}", f"layer {error.layer}", "20",
                 "those before this step", "rate of 2"]:  # fmt: skip
        assert word in str(error)
    net.reset(1)
    net.fit(X, Y, epochs=1)  # it can go on
    assert len(net.history) == 1


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        (1e20, 1e25, "the outputs of layer 1"),
        (1e18, 1e-5, "the weights of layer 1"),
    ],
)
def test_F09_what_overflowed_is_named(first, second, found):
    """The second of three layers, by a weight that a callback makes too large."""
    X, Y = np.full((8, 2), 1e10), np.zeros((8, 2))
    layers = [fastnn.Dense(2, "softplus"), fastnn.Dense(2), fastnn.Dense(2)]
    net = fastnn.Network(layers, "mse", n_features=2)

    def enlarge(fit):
        if fit.epoch == 1:
            net.layers[0].weight[...] = first
            net.layers[1].weight[...] = second

    with pytest.raises(fastnn.DivergenceError, match=found) as caught:
        net.fit(X, Y, epochs=5, callbacks=[enlarge], optimizer=fastnn.SGD(1e-25))
    assert (caught.value.epoch, caught.value.step) == (2, 0)


def test_F09_a_fit_that_does_not_diverge_is_one_call_of_the_engine(dtype, monkeypatch, rng):
    calls, original = [], Training._call_engine

    def call(training, n_steps, rows):
        calls.append(n_steps)
        return original(training, n_steps, rows)

    monkeypatch.setattr(Training, "_call_engine", call)
    X, Y = make_data(rng, 1e3)
    net = make_network(dtype)
    net.fit(X, Y, epochs=200, batch_size=BATCH_SIZE, optimizer=fastnn.Adam(0.1))
    assert calls == [1000]


def test_F09_an_interrupt_leaves_finite_weights(monkeypatch, rng):
    """Ctrl-C in a call of the engine whose weights have overflowed already."""
    X, Y = make_data(rng)
    net = make_network("float32")
    net.fit(X, Y, epochs=1, batch_size=BATCH_SIZE)
    before = net.parameter_vector.copy()

    def interrupt(function, request_stop):
        function()
        raise KeyboardInterrupt

    monkeypatch.setattr(_threads, "run_interruptibly", interrupt)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, 1e3 * Y, epochs=50, batch_size=BATCH_SIZE, optimizer=fastnn.SGD(1e38))
    assert common.same_bits(net.parameter_vector, before)


def test_F09_the_explicit_loop_refuses_a_gradient_that_is_not_finite(dtype, rng):
    X, Y = make_data(rng)
    net, optimizer = make_network(dtype), fastnn.SGD(0.1, momentum=0.9)
    net.forward(X, Y)
    net.backward()
    optimizer.step(net)
    before = copy_state(net, optimizer)
    net.layers[2].weight_grad[3, 1] = np.nan
    with pytest.raises(fastnn.DivergenceError, match=r"step 1, .* the gradients of layer 2"):
        optimizer.step(net)
    for array, kept in zip(copy_state(net, optimizer), before, strict=True):
        assert common.same_bits(array, kept)
    assert optimizer.steps == 1
