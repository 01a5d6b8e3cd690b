"""Same seed, same bits: from run to run, for any number of threads, rows in any company."""

import hashlib
import os
import subprocess
import sys

import common
import numpy as np
import pytest
from common import THREADS
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import _planning
from fastnn._core import kernels, plan

# widths, activation of the hidden layers, rows of data, batch size
OWN_KERNELS = {
    "small": ((20, 33, 3), "tanh", 100, 32),
    "columns owned": ((300, 256, 10), "relu", 150, 64),
    "inputs owned": ((600, 300, 300, 10), "sigmoid", 90, 40),
    "halves owned": ((150, 192, 160, 10), "sigmoid", 90, 40),
    "softmax hidden": ((300, 200, 200, 7), "softmax", 70, 33),
    "many rows a step": ((30, 40, 5), "relu", 1300, 600),
    "one row a step": ((17, 9, 2), "tanh", 20, 1),
    "one step": ((17, 9, 2), "relu", 31, 31),
    "one layer": ((784, 10), "relu", 77, 20),
    "owned by none": ((300, 512, 512, 10), "relu", 260, 100),
}
BLAS = {
    "wide": ((1024, 1100, 10), "relu", 150, 64),
    "wide, gathered and not": ((40, 1024, 1030, 1024, 10), "tanh", 130, 65),
    "wide, softmax hidden": ((1024, 1024, 1024, 10), "softmax", 130, 65),
}


def make_network(name, dtype="float32", n_threads=1, loss="softmax_cross_entropy", seed=3):
    widths, hidden, _, _ = {**OWN_KERNELS, **BLAS}[name]
    layers = [fastnn.Dense(width, hidden) for width in widths[1:-1]]
    layers.append(fastnn.Dense(widths[-1]))
    options = {"n_features": widths[0], "dtype": dtype, "seed": seed, "n_threads": n_threads}
    return fastnn.Network(layers, loss, **options)


def make_data(name):
    widths, _, n_rows, batch_size = {**OWN_KERNELS, **BLAS}[name]
    X, y = common.make_classes(np.random.default_rng(1), n_rows, widths[0], widths[-1])
    return X, y, batch_size


def train(name, dtype="float32", n_threads=1, epochs=2):
    """A network after some epochs, and its losses."""
    net = make_network(name, dtype, n_threads)
    X, y, batch_size = make_data(name)
    options = {"batch_size": batch_size, "optimizer": fastnn.SGD(0.1)}
    return net, net.fit(X, y, epochs=epochs, **options).loss


def check_same_for_any_threads(name, dtype):
    first, losses = train(name, dtype)
    assert np.isfinite(losses).all()
    for n_threads in [*THREADS, *THREADS[1:]]:  # more than once: a race need not show each time
        net, again = train(name, dtype, n_threads)
        assert common.same_bits(net.parameter_vector, first.parameter_vector), n_threads
        assert again == losses, n_threads


@pytest.mark.parametrize("name", OWN_KERNELS)
def test_fit_gives_the_same_bits_for_any_number_of_threads(isa, dtype, name):
    check_same_for_any_threads(name, dtype)


@pytest.mark.parametrize("n_threads", THREADS)
@pytest.mark.parametrize("optimizer", ["SGD(0.1)", "Adam(0.01)", "SGD(0.1, clip_norm=0.1)"])
def test_panels_of_delta_do_not_change_the_bits(dtype, optimizer, n_threads, monkeypatch):
    """Whether the update is fused with dW, follows each block of it, or waits for all of it."""
    found = []
    for least in (plan.MIN_PANEL_ROWS, 10**9):
        monkeypatch.setattr(plan, "MIN_PANEL_ROWS", least)
        _planning.make_plan.cache_clear()
        net = make_network("owned by none", dtype, n_threads)
        assert ("delta in panels" in net.explain(100)) == (least < 100)
        X, y, batch_size = make_data("owned by none")
        net.fit(X, y, epochs=2, batch_size=batch_size, optimizer=eval(f"fastnn.{optimizer}"))
        found.append(net.parameter_vector)
    assert np.isfinite(found[0]).all()
    assert common.same_bits(*found)


@pytest.mark.parametrize("name", BLAS)
def test_fit_by_blas_gives_the_same_bits_for_any_number_of_threads(dtype, name):
    check_same_for_any_threads(name, dtype)


@pytest.mark.parametrize("name", OWN_KERNELS)
def test_gradients_are_the_same_for_any_number_of_threads(isa, dtype, name):
    X, y, batch_size = make_data(name)
    found = []
    for n_threads in THREADS:
        net = make_network(name, dtype, n_threads)
        loss = net.forward(X[:batch_size], y[:batch_size])
        net.backward()
        found.append((loss, net.gradient_vector.tobytes()))
    assert found.count(found[0]) == len(THREADS)


def digest(n_threads):
    """A name for all bits of a trained network and its predictions."""
    net, losses = train("columns owned", n_threads=n_threads)
    X, _, _ = make_data("columns owned")
    bits = net.parameter_vector.tobytes() + net.predict_proba(X).tobytes() + repr(losses).encode()
    return hashlib.sha256(bits).hexdigest()


def test_another_process_gives_the_same_bits():
    code = "import test_determinism as t; print(t.digest(t.THREADS[-1]))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=120, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["tests", *sys.path]),
             "PYTHONHASHSEED": "7", "FASTNN_ISA": kernels.get_isa()},
        cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
    )  # fmt: skip
    assert run.stdout.strip() == digest(1)


@pytest.mark.parametrize("name", OWN_KERNELS)
def test_fit_equals_the_explicit_loop(isa, dtype, name):
    """On own kernels, to the bit: the same sums, the same roundings, the same order of the rows."""
    fitted, losses = train(name, dtype, n_threads=THREADS[-1])
    net = make_network(name, dtype)
    X, y, batch_size = make_data(name)
    optimizer = fastnn.SGD(0.1)
    for epoch in range(2):
        total = 0
        for xb, yb in fastnn.batches(X, y, batch_size, seed=3, epoch=epoch):
            total += net.forward(xb, yb) * len(xb)
            net.backward()
            optimizer.step(net)
        assert total / len(X) == pytest.approx(losses[epoch], rel=1e-12)
    assert common.same_bits(net.parameter_vector, fitted.parameter_vector)


def test_fit_equals_the_explicit_loop_for_values(isa, dtype, rng):
    X, Y = rng.standard_normal((50, 6)), rng.standard_normal((50, 4))

    def make():
        layers = [fastnn.Dense(9, "sigmoid", use_bias=False), fastnn.Dense(4, "softmax")]
        return fastnn.Network(layers, "mse", n_features=6, dtype=dtype)

    fitted, net, optimizer = make(), make(), fastnn.SGD(0.3)
    fitted.fit(X, Y, epochs=2, batch_size=16, optimizer=optimizer, shuffle=False)
    for _ in range(2):
        for xb, yb in fastnn.batches(X, Y, 16, shuffle=False):
            net.forward(xb, yb)
            net.backward()
            optimizer.step(net)
    assert common.same_bits(net.parameter_vector, fitted.parameter_vector)


@pytest.mark.parametrize("name", ["columns owned", "many rows a step"])
def test_fit_goes_on_where_it_stopped(isa, dtype, name, tmp_path):
    """Two and three epochs are five, also through a file."""
    whole, losses = train(name, dtype, epochs=5)
    parts, first = train(name, dtype, epochs=2)
    X, y, batch_size = make_data(name)
    options = {"epochs": 3, "batch_size": batch_size, "optimizer": fastnn.SGD(0.1)}
    parts.save(tmp_path / "net.safetensors")
    loaded = fastnn.load(tmp_path / "net.safetensors", n_threads=1)
    for net in [parts, loaded]:
        history = net.fit(X, y, **options)
        assert first + history.loss == losses
        assert history.epoch == [2, 3, 4]
        assert common.same_bits(net.parameter_vector, whole.parameter_vector)


def test_fit_with_validation_trains_the_same(rng):
    """One call of the engine for all epochs, or one for each: the same bits."""
    plain, losses = train("small", epochs=3)
    X, y, batch_size = make_data("small")
    net = make_network("small")
    history = net.fit(X, y, epochs=3, batch_size=batch_size, optimizer=fastnn.SGD(0.1),
                      validation=(X[:20], y[:20]))  # fmt: skip
    assert history.loss == losses
    assert common.same_bits(net.parameter_vector, plain.parameter_vector)


def test_seeds_differ():
    assert not common.same_bits(
        make_network("small", seed=0).parameter_vector,
        make_network("small", seed=1).parameter_vector,
    )


# --- predictions ---------------------------------------------------------------------------------


def make_predictor(name, dtype):
    net = make_network(name, dtype, n_threads=1)
    rng = np.random.default_rng(5)
    for layer in net.layers:
        layer.bias[...] = rng.standard_normal(layer.bias.shape)
    return net


@pytest.mark.parametrize("name", OWN_KERNELS)
def test_a_prediction_does_not_depend_on_the_rows_beside_it(isa, dtype, name):
    """Alone, in batches of any size, and in the packed path of many rows."""
    net = make_predictor(name, dtype)
    X = np.random.default_rng(2).standard_normal((300, net.n_features))
    whole = net.predict_proba(X)
    alone = np.concatenate([net.predict_proba(row[None]) for row in X[:40]])
    assert common.same_bits(alone, whole[:40])
    for size in [2, 3, 5, 6, 7, 12, 119, 120, 121, 255, 256, 299]:
        parts = np.concatenate([net.predict_proba(X[i : i + size]) for i in range(0, 300, size)])
        assert common.same_bits(parts, whole), size


@given(
    cuts=st.lists(st.integers(1, 599), max_size=6, unique=True),
    dtype=st.sampled_from(common.DTYPES),
)
@settings(max_examples=30)
def test_every_split_predicts_the_same(cuts, dtype):
    net = make_predictor("inputs owned", dtype)
    X = np.random.default_rng(2).standard_normal((600, net.n_features))
    parts = np.split(X, sorted(cuts))
    found = np.concatenate([net.predict_proba(part) for part in parts])
    assert common.same_bits(found, net.predict_proba(X))


@pytest.mark.parametrize("n_rows", [1, 5, 64, 255, 256, 400])
def test_wide_networks_predict_the_same_for_any_batch(dtype, n_rows):
    net = make_predictor("wide", dtype)
    X = np.random.default_rng(2).standard_normal((400, net.n_features))
    assert common.same_bits(net.predict_proba(X[:n_rows]), net.predict_proba(X)[:n_rows])


@pytest.mark.parametrize("name", ["small", "inputs owned", "wide"])
def test_predictions_are_the_same_for_any_number_of_threads(dtype, name):
    net = make_predictor(name, dtype)
    X = np.random.default_rng(2).standard_normal((700, net.n_features))
    alone = net.predict_proba(X)
    for n_threads in [*THREADS, None]:
        net.n_threads = n_threads
        assert common.same_bits(net.predict_proba(X), alone), n_threads
        assert common.same_bits(net.predict_proba(X[:130]), alone[:130]), n_threads


@pytest.mark.parametrize("name", OWN_KERNELS)
def test_training_and_prediction_sum_alike(isa, dtype, name):
    """The loss that a training step sees is the loss that `evaluate` finds, to the bit."""
    X, y, batch_size = make_data(name)
    for n_threads in THREADS:
        net = make_network(name, dtype, n_threads)
        rows = slice(0, batch_size)
        assert net.forward(X[rows], y[rows]) == net.evaluate(X[rows], y[rows])["loss"]
