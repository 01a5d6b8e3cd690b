"""Neurons by hand, gradients by hand, and all gradients as one arrow."""

import numpy as np
import pytest

import fastnn

SMOOTH = {  # f and f'
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
    "tanh": (np.tanh, lambda z: np.cosh(z) ** -2.0),
}


@pytest.mark.parametrize("activation", ["identity", "sigmoid"])
def test_C07_one_neuron_is_the_sum_of_inputs_times_weights_plus_bias(activation, dtype):
    layers = [fastnn.Dense(1, activation)]
    net = fastnn.Network(layers, "mse", n_features=3, dtype=dtype)
    net.layers[0].weight[:, 0], net.layers[0].bias[0] = [0.5, -1.5, 2.0], 0.25
    z = 0.6 * 0.5 - 0.4 * 1.5 + 0.2 * 2.0 + 0.25
    expected = z if activation == "identity" else 1 / (1 + np.exp(-z))
    (output,) = net.predict([[0.6, 0.4, 0.2]])
    assert output == pytest.approx(expected, rel=4 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("n_classes", [2, 3, 17])
def test_C15_the_softmax_loss_takes_scores_and_its_gradient_is_p_minus_y(n_classes, rng):
    net = fastnn.Network([fastnn.Dense(n_classes)], n_features=n_classes, dtype="float64")
    net.layers[0].weight[...] = np.eye(n_classes)
    scores = rng.standard_normal(n_classes)
    p = np.exp(scores) / np.exp(scores).sum()
    assert net.forward([scores], [1]) == pytest.approx(-np.log(p[1]), rel=1e-13)
    net.backward()
    p_minus_y = p - np.eye(n_classes)[1]
    np.testing.assert_allclose(net.layers[0].bias_grad, p_minus_y, rtol=1e-12)


def test_C15_scores_of_ten_thousand_are_finite(dtype):
    net = fastnn.Network([fastnn.Dense(3)], n_features=3, dtype=dtype)
    net.layers[0].weight[...] = np.eye(3)
    assert net.forward([[1e4, -1e4, 0]], [1]) == 2e4
    net.backward()
    np.testing.assert_array_equal(net.layers[0].bias_grad, [1, -1, 0])
    assert net.forward([[1e4, -1e4, 0]], [0]) == 0


@pytest.mark.parametrize("outer", SMOOTH)
@pytest.mark.parametrize("inner", SMOOTH)
def test_C18_nested_functions(outer, inner):
    """The slopes of L = f(w g(v x)) by the chain rule, and by finite differences."""
    (f, f_slope), (g, g_slope) = SMOOTH[outer], SMOOTH[inner]
    v, w, x = 0.7, -1.3, 0.9
    layers = [fastnn.Dense(1, name, use_bias=False) for name in (inner, outer)]
    net = fastnn.Network(layers, "mse", n_features=1, dtype="float64")
    net.parameter_vector[...] = [v, w]
    a, y = f(w * g(v * x)), 0.2
    net.forward([[x]], [y])
    net.backward()
    outer_slope = 2 * (a - y) * f_slope(w * g(v * x))
    by_hand = [outer_slope * w * g_slope(v * x) * x, outer_slope * g(v * x)]
    np.testing.assert_allclose(net.gradient_vector, by_hand, rtol=1e-12)

    def loss_at(*parameters):
        net.parameter_vector[...] = parameters
        return net.forward([[x]], [y])

    step = 1e-5
    by_differences = [
        (loss_at(v + step, w) - loss_at(v - step, w)) / (2 * step),
        (loss_at(v, w + step) - loss_at(v, w - step)) / (2 * step),
    ]
    np.testing.assert_allclose(by_hand, by_differences, rtol=1e-7)


def test_C33_all_gradients_are_one_arrow(rng):
    net = fastnn.Network([fastnn.Dense(4, "tanh"), fastnn.Dense(3)], n_features=5)
    X, y = rng.standard_normal((20, 5)), rng.integers(3, size=20)
    before = net.forward(X, y)
    net.backward()
    parts = [part for layer in net.layers for part in (layer.weight_grad, layer.bias_grad)]
    arrow = net.gradient_vector
    np.testing.assert_array_equal(arrow, np.concatenate([part.ravel() for part in parts]))
    assert all(np.shares_memory(arrow, part) for part in parts)  # a view, not a copy
    step = 0.01 / np.linalg.norm(arrow)
    net.parameter_vector[...] -= step * arrow  # downhill, against the arrow
    assert net.forward(X, y) - before == pytest.approx(-step * arrow @ arrow, rel=0.05)


def test_C34_layers_without_bias(rng, tmp_path):
    """f(X) = W2 max(0, W1 X): its gradient by hand, and saved and loaded."""
    layers = [fastnn.Dense(6, "relu", use_bias=False), fastnn.Dense(3, use_bias=False)]
    net = fastnn.Network(layers, "mse", n_features=4, dtype="float64")
    assert [layer.bias for layer in net.layers] == [None, None]
    assert len(net.parameter_vector) == 4 * 6 + 6 * 3
    X, y = rng.standard_normal((9, 4)), rng.standard_normal((9, 3))
    W1, W2 = (layer.weight.T for layer in net.layers)
    hidden = np.maximum(0, W1 @ X.T)
    np.testing.assert_allclose(net.forward(X), (W2 @ hidden).T, rtol=1e-12)
    net.forward(X, y)
    net.backward()
    delta = 2 / y.size * (W2 @ hidden - y.T)
    np.testing.assert_allclose(net.layers[1].weight_grad.T, delta @ hidden.T, rtol=1e-11)
    delta = (W2.T @ delta) * (hidden > 0)
    np.testing.assert_allclose(net.layers[0].weight_grad.T, delta @ X, rtol=1e-11)
    net.save(tmp_path / "net.safetensors")
    same = fastnn.load(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(same.predict(X), net.predict(X))
    assert [layer.bias for layer in same.layers] == [None, None]
