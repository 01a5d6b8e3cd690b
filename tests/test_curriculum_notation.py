"""Course E: neurons and the three equations of back-propagation, by hand and by fastnn."""

import inspect
import math

import numpy as np
import pytest

import fastnn


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


# f(z) and f'(z), as a course writes them
FUNCTIONS = {
    "identity": (lambda z: z, lambda z: 1.0),
    "relu": (lambda z: max(0.0, z), lambda z: float(z > 0)),
    "sigmoid": (sigmoid, lambda z: sigmoid(z) * (1 - sigmoid(z))),
    "tanh": (math.tanh, lambda z: 1 - math.tanh(z) ** 2),
}


def make_network(widths, activation="sigmoid", dtype="float64"):
    layers = [fastnn.Dense(n, activation) for n in widths[1:]]
    return fastnn.Network(layers, "mse", n_features=widths[0], dtype=dtype)


# --- one neuron ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [0.0, 0.5])
@pytest.mark.parametrize("activation", ["identity", "sigmoid"])
def test_C26_one_neuron_within_one_ulp_of_float32(activation, bias):
    net = make_network([2, 1], activation, "float32")
    net.layers[0].weight[:, 0] = [0.3, 1.0]
    net.layers[0].bias[0] = bias
    (output,) = net.predict([[1.1, 2.6]])
    expected = np.float32(FUNCTIONS[activation][0](1.1 * 0.3 + 2.6 * 1.0 + bias))
    if activation == "identity" and bias == 0:
        assert expected == np.float32(2.93)
    assert abs(float(output) - float(expected)) <= np.spacing(expected)


# --- from, to ------------------------------------------------------------------------------------


def test_C27_weights_are_stored_from_to_and_the_transpose_is_the_course_s(rng):
    assert "W[to, from]" in inspect.getdoc(fastnn.Dense)
    net = make_network([3, 4])
    layer = net.layers[0]
    assert layer.weight.shape == (3, 4)
    layer.bias[...] = rng.standard_normal(4)
    W, b, a = layer.weight.T, layer.bias, rng.standard_normal(3)
    assert W[2, 1] == layer.weight[1, 2]  # to the third unit from the second input
    expected = [sigmoid(z) for z in W @ a + b]
    np.testing.assert_allclose(net.forward([a])[0], expected, rtol=1e-14)
    W[2, 1] = 5  # a view: writing to it is writing to the network
    assert layer.weight[1, 2] == 5


# --- the mean squared error ----------------------------------------------------------------------


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_C28_gradient_of_the_mean_squared_error_for_one_output(activation, rng):
    f, slope = FUNCTIONS[activation]
    net = make_network([3, 4, 1], activation)
    X, y = rng.standard_normal((7, 3)), rng.standard_normal(7)
    cost = net.forward(X, y)
    net.backward()
    hidden = np.vectorize(f)(X @ net.layers[0].weight + net.layers[0].bias)
    z = (hidden @ net.layers[1].weight + net.layers[1].bias)[:, 0]
    a = np.vectorize(f)(z)
    factor = 2 / len(X) * (a - y) * np.vectorize(slope)(z)
    assert cost == pytest.approx(np.mean((a - y) ** 2), rel=1e-12)
    np.testing.assert_allclose(net.layers[1].weight_grad[:, 0], factor @ hidden, rtol=0, atol=1e-7)
    np.testing.assert_allclose(net.layers[1].bias_grad, factor.sum(), rtol=0, atol=1e-7)


# --- the three equations -------------------------------------------------------------------------


def propagate_by_hand(net, x, y):
    """Cost, and (dC/dW, dC/db) of each layer, element by element; W is the course's W[to, from].

    dC/dw[j, k] = a[k] f'(z[j]) dC/da[j],  dC/db[j] = f'(z[j]) dC/da[j],
    dC/da[k] of the layer before = sum over j of w[j, k] f'(z[j]) dC/da[j].
    """
    a, zs = [list(x)], []
    for layer in net.layers:
        W, b, before = layer.weight.T, layer.bias, a[-1]
        zs.append([sum(w * v for w, v in zip(row, before, strict=True)) for row in W])
        zs[-1] = [z + shift for z, shift in zip(zs[-1], b, strict=True)]
        a.append([sigmoid(z) for z in zs[-1]])
    n = len(y)  # the cost is the mean over the outputs
    cost = sum((out - target) ** 2 for out, target in zip(a[-1], y, strict=True)) / n
    dC_da = [2 / n * (out - target) for out, target in zip(a[-1], y, strict=True)]
    gradients = []
    for i in reversed(range(len(net.layers))):
        W = net.layers[i].weight.T
        dC_db = [FUNCTIONS["sigmoid"][1](z) * d for z, d in zip(zs[i], dC_da, strict=True)]
        dC_dW = [[d * before for before in a[i]] for d in dC_db]
        dC_da = [sum(W[j, k] * d for j, d in enumerate(dC_db)) for k in range(len(a[i]))]
        gradients.insert(0, (dC_dW, dC_db))
    return cost, gradients


@pytest.mark.parametrize("widths", [(2, 1), (2, 2, 1), (3, 2, 2, 2), (2, 3, 4, 2, 1)], ids=str)
def test_C29_the_three_equations_reused_backwards(widths, rng):
    net = make_network(widths)
    net.parameter_vector[...] = rng.standard_normal(len(net.parameter_vector))
    x, y = rng.standard_normal(widths[0]), rng.standard_normal(widths[-1])
    cost, gradients = propagate_by_hand(net, x, y)
    assert net.forward([x], [y]) == pytest.approx(cost, rel=1e-13)
    net.backward()
    for layer, (dC_dW, dC_db) in zip(net.layers, gradients, strict=True):
        np.testing.assert_allclose(layer.weight_grad.T, dC_dW, rtol=1e-12)
        np.testing.assert_allclose(layer.bias_grad, dC_db, rtol=1e-12)


def test_C29_explicit_numbers_of_a_2_2_2_1_net():
    """Worked out once with 30 digits, given to 10: outputs, the cost, dC/db and dC/dW."""
    net = make_network([2, 2, 2, 1])
    net.layers[0].weight.T[...], net.layers[0].bias[...] = [[0.5, -0.4], [0.3, 0.8]], [0.1, -0.2]
    net.layers[1].weight.T[...], net.layers[1].bias[...] = [[-0.6, 0.9], [0.7, 0.2]], [0.0, 0.3]
    net.layers[2].weight.T[...], net.layers[2].bias[...] = [[1.2, -0.5]], [-0.1]
    x, y = [1.0, 0.5], [1.0]

    a1 = [0.5986876601, 0.6224593312]  # s(0.5 x1 - 0.4 x2 + 0.1), s(0.3 x1 + 0.8 x2 - 0.2)
    a2 = [0.5500817, 0.6992172451]  # s(-0.6 a11 + 0.9 a12), s(0.7 a11 + 0.2 a12 + 0.3)
    a3 = [0.5524289217]  # s(1.2 a21 - 0.5 a22 - 0.1)
    d3 = [-0.2213249797]  # 2 (a3 - y) a3 (1 - a3)
    d2 = [-0.06573134732, 0.02327370371]  # 1.2 d3 a21 (1 - a21), -0.5 d3 a22 (1 - a22)
    d1 = [0.0133898277, -0.01280851821]  # (-0.6 d21 + 0.7 d22) a11 (1 - a11), (0.9 d21 + 0.2 d22) …

    np.testing.assert_allclose(net.forward([x])[0], a3, rtol=1e-9)
    assert net.forward([x], [y]) == pytest.approx((0.5524289217 - 1.0) ** 2, rel=1e-9)
    net.backward()
    for layer, before, dC_db in zip(net.layers, [x, a1, a2], [d1, d2, d3], strict=True):
        np.testing.assert_allclose(layer.bias_grad, dC_db, rtol=1e-9)
        np.testing.assert_allclose(layer.weight_grad.T, np.outer(dC_db, before), rtol=1e-9)
