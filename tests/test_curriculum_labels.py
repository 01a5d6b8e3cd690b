"""Labels of the courses: strings, numbers, signs and one-hot rows are the same classes."""

import numpy as np
import pytest

import fastnn

CITIES = ["Madrid", "Barcelona", "Milan"]


def make_passthrough(classes=None):
    """A network of three scores, which are its inputs."""
    net = fastnn.Network([fastnn.Dense(3)], n_features=3, dtype="float64", classes=classes)
    net.layers[0].weight[...] = np.eye(3)
    return net


def test_C03_one_hot_rows_of_strings_and_back():
    rows = fastnn.one_hot(CITIES, classes=CITIES)
    np.testing.assert_array_equal(rows, [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
    np.testing.assert_array_equal(fastnn.from_one_hot(rows, classes=CITIES), CITIES)
    shuffled = ["Milan", "Madrid", "Milan"]
    rows = fastnn.one_hot(shuffled, classes=CITIES)
    np.testing.assert_array_equal(rows, [(0, 0, 1), (1, 0, 0), (0, 0, 1)])
    np.testing.assert_array_equal(fastnn.from_one_hot(rows, classes=CITIES), shuffled)


def test_C03_one_hot_rows_without_an_order():
    np.testing.assert_array_equal(fastnn.one_hot(CITIES), [(0, 1, 0), (1, 0, 0), (0, 0, 1)])
    np.testing.assert_array_equal(fastnn.from_one_hot([[0, 1], [1, 0], [0, 1]]), [1, 0, 1])


@pytest.mark.parametrize("row", [[0, 0, 0], [0, 2, 0], [1, 1, 0], [1, 0, 0.5]])
def test_C03_what_one_hot_refuses(row):
    with pytest.raises(ValueError, match="labels contains 'Rome' at row 1; expected one of 'Mad"):
        fastnn.one_hot(["Milan", "Rome"], classes=CITIES)
    with pytest.raises(ValueError, match="at row 1; expected one-hot rows"):
        fastnn.from_one_hot([[0, 1, 0], row])
    with pytest.raises(ValueError, match="3 columns, but classes has 2 entries"):
        fastnn.from_one_hot(np.eye(3), classes=["a", "b"])


def test_C03_labels_in_a_given_order_and_back_again():
    """Large scores on the diagonal: each row's one-hot code is what is predicted."""
    net = make_passthrough(classes=CITIES)
    np.testing.assert_array_equal(net.predict(np.eye(3)), CITIES)
    np.testing.assert_allclose(net.predict_proba(1000 * np.eye(3)), np.eye(3))
    assert net.forward(1000 * np.eye(3), CITIES) == 0


def test_C03_strings_numbers_and_one_hot_rows_give_the_same_bits(rng):
    scores, numbers = rng.standard_normal((20, 3)), rng.integers(3, size=20)
    by_strings = make_passthrough(classes=CITIES)
    by_numbers = make_passthrough(classes=[0, 1, 2])
    loss = by_strings.forward(scores, np.array(CITIES)[numbers])
    assert loss == by_numbers.forward(scores, numbers)
    assert loss == by_strings.forward(scores, np.eye(3)[numbers])


def test_C03_soft_targets():
    net = make_passthrough()
    scores, soft = np.array([[0.3, -0.2, 0.9]]), np.array([[0.7, 0.2, 0.1]])
    each = [net.forward(scores, np.eye(3)[[k]]) for k in range(3)]
    assert net.forward(scores, soft) == pytest.approx(soft[0] @ each, rel=1e-13)


def test_C13_two_classes_as_signs_bits_and_columns(rng):
    """Three codes of the same labels train networks that predict the same rows."""
    X = rng.standard_normal((60, 2))
    bits = (X @ [1.0, -2.0] + 0.3 > 0).astype(int)
    predicted = []
    for y in (2 * bits - 1, bits, np.eye(2)[bits]):
        net = fastnn.Network([fastnn.Dense(4, "tanh"), fastnn.Dense(2)], seed=2)
        net.fit(X, y, epochs=20, batch_size=8, optimizer=fastnn.SGD(0.2))
        outputs = net.predict_proba(X)
        predicted.append(outputs.argmax(axis=1))
        assert set(np.unique(net.predict(X))) <= {-1, 0, 1}
    np.testing.assert_array_equal(predicted[0], predicted[1])
    np.testing.assert_array_equal(predicted[0], predicted[2])
    assert (predicted[0] == bits).mean() > 0.95
