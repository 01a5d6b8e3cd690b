"""Settings stay what they were when a layer or a network was made."""

import copy
import inspect
import pickle

import pytest
from common import same_bits

import fastnn
from fastnn import _stack, activations
from fastnn.layers import LAYERS

ACTIVATIONS = activations.Activation.__subclasses__()
# Arguments of constructors that are needed, and those that may be written later or are not kept.
NEEDED = {"units": 4, "rate": 0.5, "activation": "tanh", "layers": [fastnn.Dense(2)]}
WRITABLE = {"initializer", "seed", "n_threads", "classes"}


def make(kind):
    names = inspect.signature(kind).parameters
    return kind(**{name: NEEDED[name] for name in names if name in NEEDED})


def list_settings():
    for kind in [*LAYERS.values(), *ACTIVATIONS]:
        for name in inspect.signature(kind).parameters:
            if name not in WRITABLE | {"args", "kwargs"}:
                yield kind, name


def make_network():
    layers = [fastnn.Dropout(0.5), fastnn.Dense(5, "elu"), fastnn.BatchNorm(), fastnn.Dense(3)]
    return fastnn.Network(layers, n_features=4)


@pytest.mark.parametrize(("kind", "name"), list(list_settings()))
def test_a_setting_of_a_layer_or_an_activation_cannot_be_written(kind, name):
    made = make(kind)
    before = getattr(made, name)
    message = f"{name} of a {kind.__name__} is .*build a new network, with {name}=1"
    with pytest.raises(AttributeError, match=message):
        setattr(made, name, 1)
    assert getattr(made, name) == before


@pytest.mark.parametrize(
    "name", sorted({*inspect.signature(fastnn.Network).parameters, "n_outputs"} - WRITABLE)
)
def test_a_setting_of_a_network_cannot_be_written(name):
    net = make_network()
    with pytest.raises(AttributeError, match=f"{name} of a Network is .*build a new network"):
        setattr(net, name, None)


def test_layers_cannot_be_exchanged_or_added():
    net = make_network()
    with pytest.raises(TypeError):
        net.layers[1] = fastnn.Dense(5)
    assert not hasattr(net.layers, "append")


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_are_fixed_as_well(twin):
    net = make_network()
    other = twin(net)
    assert same_bits(other.parameter_vector, net.parameter_vector)
    with pytest.raises(AttributeError, match="cannot be changed"):
        other.layers[0].rate = 0.1
    alone = twin(fastnn.Dense(3, "tanh"))
    with pytest.raises(AttributeError, match="cannot be changed"):
        alone.activation = "relu"


def test_n_features_is_fixed_once_the_data_have_told_it():
    net = fastnn.Network([fastnn.Dense(2)])
    net.forward([[1.0, 2.0, 3.0]])
    with pytest.raises(AttributeError, match="n_features of a Network is 3"):
        net.n_features = 4


def test_a_network_that_found_no_memory_is_not_built(monkeypatch):
    net = fastnn.Network([fastnn.Dense(2)])

    def refuse(*args):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(_stack, "Parameters", refuse)
        with pytest.raises(MemoryError):
            net.forward([[1.0, 2.0, 3.0]])
    assert net.n_features is None
    assert net.forward([[1.0, 2.0]]).shape == (1, 2)


def test_an_initializer_that_is_written_later_is_checked_and_used():
    net = make_network()
    with pytest.raises(ValueError, match="initializer must be one of 'zeros'"):
        net.layers[1].initializer = "zero"
    net.layers[1].initializer = "zeros"
    net.reset()
    assert not net.layers[1].weight.any()
