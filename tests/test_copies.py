"""Copies of a network: pickled, deep, and in another process."""

import copy
import multiprocessing
import pickle

import common
import numpy as np
import pytest

import fastnn


def make_network(**options):
    layers = [fastnn.Dropout(0.2), fastnn.Dense(9, "prelu"), fastnn.BatchNorm(), fastnn.Dense(3)]
    return fastnn.Network(layers, seed=4, n_threads=1, scale_inputs="standard", **options)


@pytest.fixture
def data(rng):
    X, y = common.make_classes(rng, 60, 5, 3)
    return X, np.array(["a", "b", "c"])[y]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_goes_on_as_the_network_would(duplicate, dtype, data):
    net = make_network(dtype=dtype)
    net.fit(*data, epochs=2, batch_size=20)
    twin = duplicate(net)
    assert repr(twin) == repr(net)
    assert twin.n_threads == 1
    assert twin.history.loss == net.history.loss
    assert common.same_bits(twin.predict_proba(data[0]), net.predict_proba(data[0]))
    before = net.parameter_vector.copy()
    twin.fit(*data, epochs=2, batch_size=20)
    assert common.same_bits(net.parameter_vector, before)  # nothing is shared
    net.fit(*data, epochs=2, batch_size=20)
    assert common.same_bits(net.parameter_vector, twin.parameter_vector)
    assert list(twin.classes) == ["a", "b", "c"]
    assert twin.layers[1].weight.base is not None  # views of one vector
    twin.parameter_vector[...] = 0
    assert not twin.layers[1].weight.any()


def test_a_network_that_is_not_built_is_copied_too(data):
    net = make_network()
    twin = copy.deepcopy(net)
    for each in (net, twin):
        each.fit(*data, epochs=1, batch_size=20)
    assert common.same_bits(net.parameter_vector, twin.parameter_vector)


def predict(net, X):
    return net.predict(X)


def test_another_process_predicts(data):
    net = make_network()
    net.fit(*data, epochs=1, batch_size=20)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert list(pool.apply(predict, (net, data[0]))) == list(net.predict(data[0]))


def test_callbacks_that_hold_their_network_are_copied_with_it(data):
    class Holder(fastnn.Callback):
        def __init__(self, net):
            self.net = net

    net = make_network()
    history = net.fit(*data, epochs=1, batch_size=20, n_restarts=2, callbacks=[Holder(net)])
    assert len(history.restarts) == 2


def test_a_layer_of_the_users_own_is_refused_before_anything_is_written(tmp_path):
    class Own(fastnn.Dense):
        pass

    net = fastnn.Network([Own(3)], n_features=4)
    with pytest.raises(TypeError, match=r"layers\[0\] is a Own, which a file cannot describe"):
        net.save(tmp_path / "net")
    assert not list(tmp_path.iterdir())
