"""Layers without a weight matrix beside the NumPy oracle: kernels, steps, gradients, threads."""

import functools

import common
import numpy as np
import pytest
import reference
import reference_layers as oracle
from common import THREADS

import fastnn
from fastnn import Activation, BatchNorm, Dense, Dropout, LayerNorm
from fastnn._core import probes

# name: layers, loss, features, rows, batch size
CASES = {
    "dropout": (
        lambda: [Dense(33, "relu"), Dropout(0.5), Dense(17, "tanh"), Dropout(0.2), Dense(4)],
        "softmax_cross_entropy", 10, 100, 32,
    ),
    "dropped inputs": (lambda: [Dropout(0.3), Dense(70, "sigmoid"), Dense(3)], "mse", 65, 60, 20),
    "activations": (
        lambda: [Activation("tanh"), Dense(20), Activation("softmax"), Dropout(0.1), Dense(5),
                 Activation("sigmoid")],
        "mse", 7, 50, 50,
    ),
    "batch norm": (
        lambda: [BatchNorm(), Dense(33, use_bias=False), BatchNorm(0.8, 1e-3), Activation("relu"),
                 Dense(9, "softmax"), BatchNorm(), Dropout(0.3), Dense(4), BatchNorm()],
        "softmax_cross_entropy", 10, 100, 33 - 2,
    ),
    "layer norm": (
        lambda: [LayerNorm(), Dense(33), LayerNorm(1e-3), Activation("tanh"), Dense(17, "softmax"),
                 LayerNorm(), Dense(3), LayerNorm()],
        "mse", 10, 100, 32,
    ),
    "norms of columns": (
        lambda: [Dense(256, "relu"), BatchNorm(), Dense(192, "tanh"), LayerNorm(), Dense(5)],
        "softmax_cross_entropy", 300, 70, 32,
    ),
    "cut by columns": (  # within one of dropout's groups of 64
        lambda: [Dense(96, "relu"), Dropout(0.5), Dense(192), Activation("silu"), Dense(5)],
        "softmax_cross_entropy", 350, 80, 32,
    ),
}  # fmt: skip


def make_network(name, dtype="float64", n_threads=None):
    make, loss, n_features, *_ = CASES[name]
    return fastnn.Network(make(), loss, n_features=n_features, dtype=dtype, seed=3 + 2**40,
                          n_threads=n_threads)  # fmt: skip


def make_data(name, dtype="float64"):
    """Numbers that both precisions hold, labels or values, and the targets of the oracle."""
    _, loss, n_features, n_rows, _ = CASES[name]
    n_outputs = make_network(name).n_outputs
    X, y = common.make_classes(np.random.default_rng(8), n_rows, n_features, n_outputs)
    X = X.astype("float32").astype(dtype)
    if loss == "mse":
        y = np.tanh(X[:, :n_outputs])
        return X, y, y.astype(float)
    return X, y, reference.one_hot(y, n_outputs)


def test_dropout_behind_relu_has_the_bits_of_both_in_turn(isa, dtype, rng):
    """Mask drawn anew, then the ReLU's derivative; blocks of any size and place."""
    for rows, cols, first in [(1, 1, 0), (3, 16, 2), (5, 17, 0), (2, 63, 7), (4, 100, 1)]:
        delta = common.Guarded(rng.standard_normal((rows, first + cols)).astype(dtype))
        z = np.maximum(rng.standard_normal((rows, cols)), 0).astype(dtype)
        kept = rng.random((rows, cols)) < 0.6
        factor = np.dtype(dtype).type(1 / 0.6)
        a = common.Guarded(np.where(kept, z * factor, 0).astype(dtype))
        out = common.Guarded(np.full((rows, cols), np.nan, dtype))
        probes.dropout_relu_backward(delta.view, a.view, first, 1 / 0.6, out.view)
        expected = np.where(kept & (z > 0), delta.view[:, first:] * factor, 0).astype(dtype)
        assert common.same_bits(out.view, expected)
        for matrix in (delta, a, out):
            matrix.check()


N_STEPS, RATE = 100, 0.05


@functools.cache
def run_oracle(name, dtype):
    """Losses of the steps, and parameters at the end; `dtype` is that of the initial weights."""
    net, (X, _, targets) = make_network(name, dtype), make_data(name)
    layers, parameters, losses = oracle.describe(net), oracle.copy_parameters(net), []
    for rows in list_steps(name):
        loss, gradients = oracle.backward(
            layers, parameters, CASES[name][1], X[rows], targets[rows], net.seed, len(losses)
        )
        parameters = oracle.update(parameters, gradients, RATE)
        losses.append(loss)
    return losses, reference.flatten(parameters)


def list_steps(name):
    """Row numbers of each step of whole epochs, in the order of the oracle's shuffle."""
    *_, n_rows, batch_size = CASES[name]
    steps, epoch = [], 0
    while len(steps) < N_STEPS:
        order = reference.shuffle(3 + 2**40, epoch, n_rows)
        steps += [order[i : i + batch_size] for i in range(0, n_rows, batch_size)]
        epoch += 1
    return steps


def check_end(net, exact, dtype):
    error = np.linalg.norm(net.parameter_vector - exact) / np.linalg.norm(exact)
    assert error <= (1e-10 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("name", CASES)
def test_explicit_steps_agree_with_the_oracle(isa, dtype, name):
    losses, exact = run_oracle(name, dtype)
    net, (X, y, _), optimizer = make_network(name, dtype), make_data(name, dtype), fastnn.SGD(RATE)
    for rows, loss in zip(list_steps(name), losses, strict=True):
        found = net.forward(X[rows], y[rows])
        assert found == pytest.approx(loss, rel=1e-10 if dtype == "float64" else 1e-4)
        net.backward()
        optimizer.step(net)
    check_end(net, exact, dtype)


@pytest.mark.parametrize("name", CASES)
def test_fit_agrees_with_the_oracle_for_any_number_of_threads(isa, dtype, name):
    *_, n_rows, batch_size = CASES[name]
    X, y, _ = make_data(name, dtype)
    epochs = -(-N_STEPS // -(-n_rows // batch_size))
    nets = [make_network(name, dtype, n_threads) for n_threads in THREADS]
    for net in nets:
        net.fit(X, y, epochs=epochs, batch_size=batch_size, optimizer=fastnn.SGD(RATE))
        assert common.same_bits(net.parameter_vector, nets[0].parameter_vector)
    check_end(nets[0], run_oracle(name, dtype)[1], dtype)
    for layers in zip(*(net.layers for net in nets), strict=True):
        if isinstance(layers[0], BatchNorm):
            for name in ("running_mean", "running_variance"):
                first, *others = (getattr(layer, name) for layer in layers)
                assert all(common.same_bits(other, first) for other in others)


def test_batch_norm_beside_layers_that_go_to_blas(dtype):
    """Each of some steps against the oracle, from synchronised numbers; the same bits of a fit."""
    rng, n = np.random.default_rng(4), 1024
    X = rng.standard_normal((160, n)).astype("float32").astype(dtype)
    y = rng.integers(0, 3, 160)

    def make(n_threads):
        layers = [BatchNorm(), Dense(n, use_bias=False), BatchNorm(0.8), Activation("relu"),
                  Dense(n, "tanh"), BatchNorm(), Dense(3)]  # fmt: skip
        return fastnn.Network(layers, n_features=n, dtype=dtype, n_threads=n_threads, seed=5)

    net = make(THREADS[-1])
    assert net.explain(64).count("BLAS") == 2
    room = 1e-10 if dtype == "float64" else 1e-4
    for rows in (slice(0, 64), slice(64, 160)):
        loss = net.forward(X[rows], y[rows])
        net.backward()
        exact, gradients = oracle.backward(
            oracle.describe(net), oracle.copy_parameters(net), "softmax_cross_entropy",
            X[rows].astype(float), reference.one_hot(y[rows], 3),
        )  # fmt: skip
        assert loss == pytest.approx(exact, rel=room)
        size = np.linalg.norm(reference.flatten(gradients))
        for found, wanted in zip(list_gradients(net), filter_out_none(gradients), strict=True):
            # a shift in front of another batch norm has no gradient: rounding is all there is
            assert np.linalg.norm(found - wanted) <= room * max(np.linalg.norm(wanted), size / 100)
        net.apply_update(fastnn.SGD(0.1))
    nets = [make(n_threads) for n_threads in THREADS]
    for each in nets:
        each.fit(X, y, epochs=2, batch_size=64, optimizer=fastnn.SGD(0.05, momentum=0.5))
        assert common.same_bits(each.parameter_vector, nets[0].parameter_vector)
        for i in (0, 2, 5):
            mine, first = each.layers[i].running_variance, nets[0].layers[i].running_variance
            assert common.same_bits(mine, first)


def list_gradients(net):
    names = [(layer, f"{name}_grad") for layer in net.layers for name in layer.parameter_names]
    return filter_out_none([[getattr(layer, name) for layer, name in names]])


def filter_out_none(groups):
    return [value for group in groups for value in group if value is not None]
