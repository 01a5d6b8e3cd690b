"""Copies of a network: pickled, deep, and in another process."""

import concurrent.futures
import copy
import gc
import multiprocessing
import pickle
import weakref

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


DUPLICATES = [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))]


@pytest.mark.parametrize("duplicate", DUPLICATES)
def test_a_frozen_network_is_copied_with_its_bits(duplicate, dtype, data):
    net = make_network(dtype=dtype)
    net.fit(*data, epochs=2, batch_size=20)
    twin = duplicate(net.freeze())
    expected = [method(data[0]) for method in (net.forward, net.predict_proba, net.predict)]
    net.parameter_vector[...] = 0
    many = np.tile(data[0], (3000, 1))  # released from the GIL, by predictors of the pool
    found = [method(data[0]) for method in (twin.forward, twin.predict_proba, twin.predict)]
    assert all(common.same_bits(one, same) for one, same in zip(expected[:2], found, strict=False))
    assert list(found[2]) == list(expected[2])
    assert common.same_bits(twin.forward(many)[:60], expected[0])
    with pytest.raises(ValueError, match="X has 4 features, model expects 5"):
        twin.predict(data[0][:, :4])


def test_a_frozen_network_undoes_the_scaling_of_targets_after_the_network_is_gone(data):
    X = data[0]
    net = fastnn.Network([fastnn.Dense(1)], "mse", scale_inputs="minmax", scale_targets="standard")
    net.fit(X, 1e3 + X[:, 0], epochs=1)
    frozen, expected, watch = net.freeze(), net.predict(X), weakref.ref(net)
    del net
    gc.collect()
    assert watch() is None
    assert common.same_bits(frozen.predict(X), expected)
    assert common.same_bits(pickle.loads(pickle.dumps(frozen)).predict(X), expected)


def test_a_network_of_unfitted_scaling_is_not_frozen():
    net = fastnn.Network([fastnn.Dense(1)], "mse", n_features=2, scale_inputs="minmax")
    with pytest.raises(ValueError, match="scaling is not fitted yet: call fit first"):
        net.freeze()


@pytest.mark.parametrize("duplicate", DUPLICATES)
@pytest.mark.parametrize(
    "make",
    [
        lambda: fastnn.Dense(4, "prelu"),
        lambda: fastnn.Dense(4, use_bias=False, l2=0.1),
        lambda: fastnn.BatchNorm(0.8),
        fastnn.LayerNorm,
        lambda: fastnn.Dropout(0.4),
        lambda: fastnn.Activation("arctan"),
    ],
)
def test_a_layer_by_itself_is_copied_with_its_bits(duplicate, make, dtype, rng):
    assert repr(duplicate(make())) == repr(make())  # not built
    layer = make().build(4, dtype=dtype, seed=7, n_threads=1)
    x, dh = rng.standard_normal((2, 9, 4)).astype(dtype)
    layer.forward(x)
    twin = duplicate(layer)
    with pytest.raises(RuntimeError, match="backward needs a forward pass in training"):
        twin.backward(dh)
    for value in layer.parameters():
        value += 1  # nothing is shared
    for value in twin.parameters():
        value += 1
    assert common.same_bits(twin.forward(x), layer.forward(x))
    assert common.same_bits(twin.backward(dh), layer.backward(dh))
    assert common.same_bits(twin.forward(x, training=False), layer.forward(x, training=False))
    for name in layer.parameter_names:
        own, other = (getattr(each, f"{name}_grad") for each in (layer, twin))
        assert (own is None and other is None) or common.same_bits(own, other)


@pytest.mark.parametrize("duplicate", DUPLICATES)
def test_a_copied_layer_of_a_network_is_a_layer_by_itself(duplicate, data):
    net = make_network(l2=0.5)
    net.fit(*data, epochs=1, batch_size=20)
    layer = net.layers[1]
    twin, X = duplicate(layer), data[0].astype("float32")
    dh = np.ones((60, 9), "float32")
    assert common.same_bits(twin.forward(X), layer.forward(X))
    assert common.same_bits(twin.backward(dh), layer.backward(dh))
    assert common.same_bits(twin.weight_grad, layer.weight_grad)  # the network's penalty included
    twin.weight = 0
    assert layer.weight.all()
    norm, moved = duplicate(net.layers[2]), net.layers[2].running_mean.copy()
    assert common.same_bits(norm.running_mean, moved)
    watch = weakref.ref(net)
    del net, layer
    gc.collect()
    assert watch() is None


def test_a_layer_is_not_copied_amid_a_fit_of_its_network(data):
    class Copy(fastnn.Callback):
        def on_epoch_end(self, state):
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                raised.append(pool.submit(copy.copy, net.layers[1]).exception())

    net, raised = make_network(), []
    net.fit(*data, epochs=1, batch_size=20, callbacks=[Copy()])
    assert "model is being fitted in another thread" in str(raised[0])


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
