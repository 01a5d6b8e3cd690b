"""Networks through files: everything comes back to the bit, and nothing else is let in."""

import common
import numpy as np
import pytest

import fastnn
from fastnn import model_file

X = np.random.default_rng(4).standard_normal((40, 6))
LABELS = np.arange(40) % 3


def make_trained(dtype="float32", names=("ape", "bee", "cat"), use_bias=True):
    layers = [fastnn.Dense(9, "tanh", use_bias=use_bias), fastnn.Dense(3, "softmax")]
    net = fastnn.Network(layers, n_features=6, dtype=dtype, seed=2**64 - 1)
    net.fit(X, np.array(names)[LABELS], epochs=2)
    return net


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(
    "names", [("ape", "bee", "cat"), ("ä", "β", "日本"), (-5, 0, 2**40), (1, 2, 3)], ids=str
)
def test_round_trip(dtype, names, use_bias, tmp_path):
    net = make_trained(dtype, names, use_bias)
    path = tmp_path / "net.safetensors"
    net.save(path)
    loaded = fastnn.load(path)
    assert common.same_bits(loaded.parameter_vector, net.parameter_vector)
    assert common.same_bits(loaded.predict_proba(X), net.predict_proba(X))
    assert loaded.predict(X).tolist() == net.predict(X).tolist()
    assert loaded.classes.tolist() == list(names)
    assert loaded.classes.dtype == net.classes.dtype
    assert repr(loaded) == repr(net)
    assert (loaded.seed, loaded.dtype) == (net.seed, net.dtype)
    assert loaded.evaluate(X, np.array(names)[LABELS]) == net.evaluate(X, np.array(names)[LABELS])
    loaded.save(tmp_path / "again.safetensors")
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_round_trip_of_booleans_and_values(tmp_path):
    path = tmp_path / "net.safetensors"
    net = fastnn.Network([fastnn.Dense(2)], n_features=6)
    net.fit(X, LABELS > 0, epochs=1)
    net.save(path)
    assert fastnn.load(path).classes.tolist() == [False, True]
    net = fastnn.Network([fastnn.Dense(2)], "mse", n_features=6)
    net.save(path)
    loaded = fastnn.load(path, n_threads=1)
    assert loaded.classes is None
    assert loaded.n_threads == 1
    assert common.same_bits(loaded.predict(X), net.predict(X))


def change_header(**changes):
    return lambda header, tensors: header.update(changes)


def change_layer(**changes):
    return lambda header, tensors: header["layers"][0].update(changes)


def drop_field(header, tensors):
    del header["seed"]


def drop_tensor(header, tensors):
    del tensors["layers.1.bias"]


def add_tensor(header, tensors):
    tensors["layers.7.weight"] = np.ones((2, 2), "float32")


def turn_weight(header, tensors):
    tensors["layers.0.weight"] = tensors["layers.0.weight"].T.copy()


def widen_tensor(header, tensors):
    tensors["layers.0.bias"] = tensors["layers.0.bias"].astype("float64")


def rename_tensor(header, tensors):
    tensors["layers.0.biases"] = tensors.pop("layers.0.bias")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_header(optimizer="adam"), "optimizer"),
        (drop_field, "fields"),
        (change_header(loss={"name": "mea"}), "loss must be one of"),
        (change_header(loss="mse"), "loss is 'mse'; expected"),
        (change_header(dtype="float16"), "dtype must be one of"),
        (change_header(dtype="float64"), "tensors"),
        (change_header(n_features=7), "parameters in the file"),
        (change_header(n_features=2**60), "parameters in the file"),
        (change_header(n_features=None), "n_features must be an integer"),
        (change_header(seed=-1), "seed must be in"),
        (change_header(epoch=-1), "epoch must be in"),
        (change_header(epoch=2**32), "epoch must be in"),
        (change_header(classes=["a", "b"]), "classes has 2 entries"),
        (change_header(classes=["a", "b", "b"]), "classes has 'b' 2 times"),
        (change_header(layers=[]), "layers is empty"),
        (change_header(layers=[3]), "mapping"),
        (change_header(layers=3), "not iterable"),
        (change_layer(units=10), "parameters in the file"),
        (change_layer(units=-1), "units must be at least 1"),
        (change_layer(activation="swish"), "activation must be one of"),
        (change_layer(rate=0.5), "rate"),
        (change_layer(use_bias=False), "parameters in the file"),
        (drop_tensor, "parameters in the file"),
        (add_tensor, "parameters in the file"),
        (turn_weight, "tensors"),
        (widen_tensor, "tensors"),
        (rename_tensor, "tensors"),
    ],
)
def test_load_refuses_what_it_does_not_understand(change, message, tmp_path):
    """A whole and valid file, with a header or tensors that are no network of this version."""
    path = tmp_path / "net.safetensors"
    make_trained().save(path)
    header, tensors = model_file.read_model(path)
    change(header, tensors)
    model_file.write_model(path, header, tensors)
    with pytest.raises(fastnn.CorruptModelError, match=message) as caught:
        fastnn.load(path)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_load_of_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        fastnn.load(tmp_path / "absent.safetensors")


def test_a_network_that_is_not_finite_is_not_saved(tmp_path):
    path = tmp_path / "net.safetensors"
    net = make_trained()
    net.save(path)
    before = path.read_bytes()
    net.layers[0].weight[2, 3] = np.nan
    with pytest.raises(ValueError, match=r"layers.0.weight.*nan"):
        net.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
