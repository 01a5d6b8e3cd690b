"""Losses of the courses by their numbers."""

import numpy as np
import pytest

import fastnn


def make_passthrough(n, loss):
    """A network whose output is its input."""
    layers = [fastnn.Dense(n, use_bias=False)]
    net = fastnn.Network(layers, loss, n_features=n, dtype="float64")
    net.layers[0].weight[...] = np.eye(n)
    return net


def measure(loss, outputs, targets):
    outputs, targets = np.array(outputs, dtype=float), np.array(targets, dtype=float)
    return make_passthrough(outputs.shape[1], loss).forward(outputs, targets)


OUTPUTS, TARGETS = [[0.3, 2.0], [-1.0, 0.5]], [[1.0, 1.5], [-1.0, 2.0]]  # errors -.7 .5 0 -1.5


def test_C09_absolute_and_squared_errors_and_their_means():
    assert measure("mae", OUTPUTS, TARGETS) == pytest.approx((0.7 + 0.5 + 0 + 1.5) / 4)
    assert measure("mse", OUTPUTS, TARGETS) == pytest.approx((0.49 + 0.25 + 0 + 2.25) / 4)
    summed = fastnn.MSE(sum_outputs=True)  # over the outputs of a row; then the mean over the rows
    assert measure(summed, OUTPUTS, TARGETS) == pytest.approx((0.49 + 0.25 + 0 + 2.25) / 2)


def test_C09_cross_entropy_and_hinge():
    assert measure("softmax_cross_entropy", [[0.0, np.log(3)]], [[0, 1]]) == pytest.approx(
        np.log(4 / 3)
    )
    net = make_passthrough(1, "hinge")
    scores, labels = [[0.3], [2.0], [-0.5], [-3.0]], [1, 1, 1, -1]
    margins = [0.7, 0.0, 1.5, 0.0]  # max(0, 1 - label * score)
    assert net.forward(scores, labels) == pytest.approx(np.mean(margins))


@pytest.mark.parametrize("loss", ["mae", "mse", "hinge", "softmax_cross_entropy"])
def test_C09_gradients_are_slopes(loss, rng):
    n = 1 if loss == "hinge" else 3
    net = fastnn.Network([fastnn.Dense(n)], loss, n_features=2, dtype="float64")
    X = rng.standard_normal((8, 2))
    y = {
        "hinge": np.array([-1, 1] * 4),
        "softmax_cross_entropy": np.array([0, 1, 2, 0, 1, 2, 0, 1]),
    }.get(loss, rng.standard_normal((8, 3)))
    net.forward(X, y)
    net.backward()
    slopes = net.gradient_vector.copy()
    for i in range(len(slopes)):
        middle = net.parameter_vector[i]
        net.parameter_vector[i] = middle + 1e-6
        above = net.forward(X, y)
        net.parameter_vector[i] = middle - 1e-6
        below = net.forward(X, y)
        net.parameter_vector[i] = middle
        assert slopes[i] == pytest.approx((above - below) / 2e-6, rel=1e-6, abs=1e-8)


def test_C35_errors_by_number():
    assert measure("mae", [[0.3]], [[1.0]]) == 0.7
    assert measure("mse", [[0.01]], [[0.0]]) == 0.01**2 == pytest.approx(0.0001, rel=1e-15)
    assert measure("mse", [[100.0]], [[0.0]]) == 10_000
    opposite = [[100.0], [-100.0]]
    assert np.mean(opposite) == 0  # signed errors cancel; absolute and squared ones do not
    assert measure("mae", opposite, [[0.0], [0.0]]) == 100
    assert measure("mse", opposite, [[0.0], [0.0]]) == 10_000
