"""Penalties on the weights: their gradient, their steps, and how they are reported and saved."""

import json

import common
import numpy as np
import pytest
import reference
from common import THREADS
from optimizers import describe_to_oracle, make_optimizer

import fastnn
from fastnn import model_file
from fastnn._core.phase_order import BLAS_BLOCK
from fastnn._core.plan import BLAS_MIN_SIZE

FACTORS = {"l1": 0.02, "l2": 0.03}
OF_FIRST = {"l1": 0.1, "l2": 0.0}  # the other layer has the network's


def make(hidden=6, dtype="float64", n_features=5, **options):
    layers = [fastnn.Dense(hidden, "tanh", **OF_FIRST), fastnn.Dense(3)]
    return fastnn.Network(layers, n_features=n_features, dtype=dtype, **FACTORS, **options)


def make_data(n_rows=40, n_features=5):
    return common.make_classes(np.random.default_rng(2), n_rows, n_features, 3)


def measure(net):
    """By the formula, in float64."""
    terms = zip(net.layers, (OF_FIRST, FACTORS), strict=True)
    return sum(reference.penalty(layer.weight.astype(float), **f)[0] for layer, f in terms)


def differentiate(net, X, y, step=2e-5):
    slopes = np.empty_like(net.parameter_vector)
    for i, middle in enumerate(net.parameter_vector.copy()):
        losses = []
        for moved in (middle + step, middle - step):
            net.parameter_vector[i] = moved
            losses.append(net.forward(X, y))
        net.parameter_vector[i] = middle
        slopes[i] = (losses[0] - losses[1]) / (2 * step)
    return slopes


def test_C20_the_loss_includes_the_penalty_and_splits_it():
    """Mean data loss + λ R(W): in `forward`, in its gradient, and in the history of a fit."""
    X, y = make_data()
    net = make()
    net.layers[0].bias[...] = 0.3  # no part of it
    # No weight may be within a step of 0, where |W| has a kink.
    net.parameter_vector[...] += 1e-3 * np.sign(net.parameter_vector)
    data_loss, penalty = net.evaluate(X, y)["loss"], measure(net)
    assert penalty > 0.1
    assert net.forward(X, y) == pytest.approx(data_loss + penalty, rel=1e-12)
    net.backward()
    gradient = net.gradient_vector.copy()
    error = np.linalg.norm(gradient - differentiate(net, X, y))
    assert error <= 1e-7 * np.linalg.norm(gradient)
    for n_epochs in (1, 2, 3):
        net = make()
        history = net.fit(X, y, epochs=n_epochs)
        assert list(history.epochs[0])[:4] == ["epoch", "loss", "data_loss", "penalty"]
        assert history.penalty[-1] == pytest.approx(measure(net), rel=1e-12)
        for row in history.epochs:
            assert row["loss"] == row["data_loss"] + row["penalty"]


def test_every_block_of_a_blas_layer_is_penalised(rng):
    """What the penalty adds to the gradient, in both of the blocks that BLAS computes dW in."""
    X = 1e-3 * rng.standard_normal((BLAS_MIN_SIZE // BLAS_BLOCK, BLAS_BLOCK))
    Y = rng.standard_normal((len(X), BLAS_BLOCK + 6))

    def find_gradient(**factors):
        net = fastnn.Network([fastnn.Dense(BLAS_BLOCK + 6)], "mse", dtype="float64", **factors)
        net.forward(X, Y)
        net.backward()
        return net.layers[0]

    plain, layer = find_gradient(), find_gradient(**FACTORS)
    expected = reference.penalty(layer.weight, **FACTORS)[1]
    added = layer.weight_grad - plain.weight_grad
    np.testing.assert_allclose(added, expected, rtol=1e-9, atol=1e-12)


def test_without_a_penalty_nothing_is_split():
    X, y = make_data()
    net = fastnn.Network([fastnn.Dense(3)], n_features=5)
    history = net.fit(X, y, epochs=2, validation=0.2)
    assert list(history.epochs[0])[:3] == ["epoch", "loss", "seconds"]
    assert net.forward(X, y) == net.evaluate(X, y)["loss"]


@pytest.mark.parametrize("kernel", ["sgd", "adam"])
@pytest.mark.parametrize("explicit", [False, True])
def test_twenty_steps_agree_with_the_oracle(isa, kernel, explicit):
    """With the same factors in both layers, as the oracle has them."""
    X, y = make_data()
    layers = [fastnn.Dense(33, "tanh"), fastnn.Dense(3)]
    net = fastnn.Network(layers, n_features=5, dtype="float64", **FACTORS)
    parameters, memory = reference.copy_parameters(net), {}
    settings = describe_to_oracle(kernel)
    exact = []
    for _ in range(20):
        loss, parameters = reference.train_step(
            parameters, ["tanh", "identity"], net.loss.name, X, np.eye(3)[y],
            memory=memory, **FACTORS, **settings,
        )  # fmt: skip
        exact.append(loss)
    optimizer = make_optimizer(kernel)
    if explicit:
        losses = []
        for _ in range(20):
            losses.append(net.forward(X, y))
            net.backward()
            optimizer.step(net)
        np.testing.assert_allclose(losses, exact, rtol=1e-10)
    else:
        net.fit(X, y, epochs=20, batch_size="all", shuffle=False, optimizer=optimizer)
    expected = reference.flatten(parameters)
    np.testing.assert_allclose(net.parameter_vector, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("optimizer", [fastnn.SGD, fastnn.Adam])
@pytest.mark.parametrize("sizes", [(300, 256), (1024, 1030)])
def test_any_number_of_threads_gives_the_same_bits(sizes, optimizer):
    n_features, hidden = sizes
    X, y = make_data(130, n_features)
    results = []
    for n_threads in THREADS:
        net = make(hidden, "float32", n_features, n_threads=n_threads)
        history = net.fit(X, y, batch_size=65, epochs=2, optimizer=optimizer(0.01))
        results.append((net.parameter_vector, history.loss, history.penalty))
        assert history.penalty[-1] == pytest.approx(measure(net), rel=1e-12)
    for vector, *columns in results[1:]:
        assert common.same_bits(vector, results[0][0])
        assert columns == list(results[0][1:])


def test_a_penalty_keeps_weights_small_and_biases_alone():
    X, y = make_data()
    free, bound = (
        fastnn.Network([fastnn.Dense(3)], n_features=5, l2=factor) for factor in (0.0, 0.5)
    )
    for net in (free, bound):
        net.fit(np.zeros_like(X), y, epochs=5)  # no gradient but that of the penalty
    assert common.same_bits(free.layers[0].bias, bound.layers[0].bias)
    shrunk = np.linalg.norm(bound.layers[0].weight) / np.linalg.norm(free.layers[0].weight)
    assert shrunk == pytest.approx((1 - 2 * 0.5 * 0.01) ** 10, rel=1e-5)


def test_penalties_are_saved_and_loaded(tmp_path):
    X, y = make_data()
    net = make()
    path = tmp_path / "net.safetensors"
    net.save(path)
    same = fastnn.load(path)
    assert (same.l1, same.l2) == (net.l1, net.l2) == (0.02, 0.03)
    assert [(layer.l1, layer.l2) for layer in same.layers] == [(0.1, 0.0), (None, None)]
    assert repr(same.layers[0]) == "Dense(6, 'tanh', l1=0.1, l2=0.0)"
    assert same.fit(X, y, epochs=3).loss == net.fit(X, y, epochs=3).loss
    assert common.same_bits(same.parameter_vector, net.parameter_vector)


def test_files_of_before_penalties_are_read(tmp_path):
    net = fastnn.Network([fastnn.Dense(3)], n_features=5)
    path = tmp_path / "net.safetensors"
    net.save(path)
    header, tensors = model_file.read_model(path)
    for settings in (header, *header["layers"]):
        del settings["l1"], settings["l2"]
    model_file.write_model(path, json.loads(json.dumps(header)), tensors)
    same = fastnn.load(path)
    assert (same.l1, same.l2, same.layers[0].l1) == (0.0, 0.0, None)
    assert common.same_bits(same.parameter_vector, net.parameter_vector)


@pytest.mark.parametrize("name", FACTORS)
@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf"), "0.1", True])
def test_factors_are_checked(name, bad):
    with pytest.raises((ValueError, TypeError), match=f"^{name} must be "):
        fastnn.Dense(3, **{name: bad})
    with pytest.raises((ValueError, TypeError), match=f"^{name} must be "):
        fastnn.Network([fastnn.Dense(3)], **{name: bad})
