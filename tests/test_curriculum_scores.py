"""Courses A, C and D by their printed numbers: softmax, cross-entropy, linear classifiers."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import fastnn

SCORES = np.array([2, 8, 5, 3, 1, 1, 4, 2, 6, 3])


def make_passthrough(n, dtype="float64"):
    """A network whose scores are its inputs."""
    net = fastnn.Network([fastnn.Dense(n, use_bias=False)], n_features=n, dtype=dtype)
    net.layers[0].weight[...] = np.eye(n)
    return net


def test_C01_softmax_of_ten_scores(dtype):
    p = make_passthrough(10, dtype).predict_proba([SCORES])[0]
    exponentials = np.exp(SCORES)
    assert round(exponentials.sum(), 2) == 3647.78
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(exponentials / p, exponentials.sum(), rtol=8 * eps)
    assert round(float(p[1]), 4) == 0.8172
    assert round(float(p[3]), 4) == 0.0055
    assert p.sum() == pytest.approx(1, abs=4 * eps)


def test_C01_softmax_as_the_activation_of_a_layer():
    net = fastnn.Network([fastnn.Dense(10, "softmax")], n_features=10, dtype="float64")
    net.layers[0].weight[...] = np.eye(10)
    same = make_passthrough(10).predict_proba([SCORES])
    np.testing.assert_allclose(net.forward([SCORES]), same, rtol=1e-14)


def test_C02_cross_entropy_of_that_row(dtype):
    net = make_passthrough(10, dtype)
    assert round(net.forward([SCORES], [3]), 4) == 5.2019
    assert round(net.forward([SCORES], [1]), 4) == 0.2019
    average = net.forward([SCORES, SCORES], [3, 1])
    assert average == pytest.approx((5.2019 + 0.2019) / 2, abs=1e-4)
    assert net.evaluate([SCORES, SCORES], [3, 1])["loss"] == pytest.approx(average, rel=1e-6)


def test_C14_softmax_of_four_scores(dtype):
    p = make_passthrough(4, dtype).predict_proba([[-3.44, 1.16, -0.81, 3.01]])[0]
    assert [round(float(value), 4) for value in p] == [0.0013, 0.1332, 0.0186, 0.8469]


def test_C19_one_dense_layer_is_logistic_regression(rng):
    """Both minimise the mean cross-entropy; classes that overlap keep the weights finite.

    Adding the same vector to all classes' weights changes no probability; both start from zero,
    where the gradients of the classes cancel, and so both sum to zero over the classes.
    """
    X = rng.standard_normal((400, 5))
    y = (X @ rng.standard_normal((5, 3)) + rng.gumbel(size=(400, 3))).argmax(axis=1)
    net = fastnn.Network([fastnn.Dense(3)], n_features=5, dtype="float64")
    net.layers[0].weight[...] = 0
    net.fit(X, y, epochs=2000, batch_size=400, optimizer=fastnn.SGD(1.0))
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(X, y)
    np.testing.assert_allclose(net.layers[0].weight.T, theirs.coef_, rtol=0, atol=1e-4)
    np.testing.assert_allclose(net.layers[0].bias, theirs.intercept_, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(net.predict(X), theirs.predict(X))


def test_C22_two_layers_of_weights_in_the_summary():
    net = fastnn.Network([fastnn.Dense(100, "relu"), fastnn.Dense(10)], n_features=784)
    assert net.layers[0].weight.T.shape == (100, 784)
    assert net.layers[1].weight.T.shape == (10, 100)
    summary = net.summary()
    for words in ["784 -> 100", "relu", "78,500", "100 -> 10", "1,010", "79,510 parameters"]:
        assert words in summary


def test_C22_h_is_the_positive_part_of_w1_x(rng):
    layers = [fastnn.Dense(100, "relu", use_bias=False), fastnn.Dense(10, use_bias=False)]
    net = fastnn.Network(layers, n_features=784, dtype="float64")
    W1, W2 = (layer.weight.T for layer in net.layers)
    x = rng.standard_normal(784)
    np.testing.assert_allclose(net.forward([x])[0], W2 @ np.maximum(0, W1 @ x), rtol=1e-12)
