"""Activations of layers: learnt slopes, names and objects, what is saved."""

import common
import numpy as np
import pytest

import fastnn
from fastnn import activations
from fastnn._core import kernels

ACTIVATIONS = kernels.list_activations()


def fit_slopes(n_threads, explicit=False):
    """A network with PReLU, wide enough for a second thread, after two epochs."""
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((150, 40)), rng.standard_normal((150, 3))
    layers = [fastnn.Dense(300, "prelu"), fastnn.Dense(130, fastnn.PReLU(-0.5)), fastnn.Dense(3)]
    net = fastnn.Network(layers, "mse", n_features=40, n_threads=n_threads)
    optimizer = fastnn.SGD(0.003)
    if not explicit:
        net.fit(X, y, epochs=2, batch_size=32, optimizer=optimizer, shuffle=False)
        return net
    for start in [*range(0, 150, 32)] * 2:
        net.forward(X[start : start + 32], y[start : start + 32])
        net.backward()
        optimizer.step(net)
    return net


def test_C08_the_slope_of_prelu_is_learnt(isa, tmp_path):
    """The same bits for any number of threads and in the explicit loop; saved and counted."""
    net = fit_slopes(1)
    assert np.ptp(net.layers[0].slope) > 0
    assert (net.layers[1].slope != -0.5).any()
    for other in [*map(fit_slopes, common.THREADS), fit_slopes(1, explicit=True)]:
        assert common.same_bits(other.parameter_vector, net.parameter_vector)
    assert len(net.parameter_vector) == 41 * 300 + 300 + 301 * 130 + 130 + 131 * 3
    net.save(tmp_path / "net")
    again = fastnn.load(tmp_path / "net")
    assert common.same_bits(again.layers[1].slope, net.layers[1].slope)
    net.reset()
    assert (net.layers[1].slope == -0.5).all()


def test_prelu_needs_a_dense_layer():
    with pytest.raises(ValueError, match="which learns: it needs a Dense"):
        fastnn.Activation("prelu")


# --- settings ------------------------------------------------------------------------------------


def test_names_and_objects_are_the_same():
    for name in ACTIVATIONS:
        by_name = fastnn.Dense(3, name).activation
        assert by_name == fastnn.Dense(3, by_name).activation
        assert activations.restore_activation(by_name.describe()) == by_name
        assert eval(repr(by_name), vars(activations)) == by_name
    assert activations.LeakyReLU(0.2) != activations.LeakyReLU()
    assert len({activations.LeakyReLU(0.2), activations.LeakyReLU(0.2)}) == 1


def test_settings_out_of_range_say_the_range():
    with pytest.raises(ValueError, match="slope must be at least 0, got -1"):
        activations.LeakyReLU(-1)
    with pytest.raises(TypeError, match=r"activation is the class ReLU; .*: ReLU\(\)"):
        fastnn.Dense(3, activations.ReLU)


def test_settings_are_saved(tmp_path, rng):
    """A model file brings back settings and, to the bit, predictions."""
    X = rng.standard_normal((9, 4))
    for name in ACTIVATIONS:
        activation = activations.get_activation(name)
        if activation.coefficient is not None:
            activation = type(activation)(0.75)
        net = fastnn.Network([fastnn.Dense(5, activation), fastnn.Dense(2)], "mse", n_features=4)
        net.save(tmp_path / "net")
        again = fastnn.load(tmp_path / "net")
        assert again.layers[0].activation == activation
        assert common.same_bits(again.predict(X), net.predict(X))
