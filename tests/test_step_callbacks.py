"""Callbacks after each step: the weights lie in place, and the bits are those of packed copies."""

import common
import numpy as np
import optimizers
import pytest
from common import THREADS

import fastnn
from fastnn import _programs


class Watcher(fastnn.Callback):
    """Does something after each step; by default nothing."""

    def __init__(self, act=lambda: None, step_interval=1):
        self.act, self.step_interval = act, step_interval

    def on_step_end(self, fit):
        self.act()


def make(n_threads=None, dtype="float32", **options):
    """A network with sides that fill no vector, several panels, and every kind of layer."""
    layers = [
        fastnn.Dense(67, "prelu", max_norm=1.0), fastnn.BatchNorm(), fastnn.Dropout(0.2),
        fastnn.Dense(131, "tanh"), fastnn.LayerNorm(), fastnn.Dense(3),
    ]  # fmt: skip
    return fastnn.Network(layers, n_features=6, n_threads=n_threads, dtype=dtype, **options)


def make_data():
    return common.make_classes(np.random.default_rng(5), 70, 6, 3)


def train(net, kernel, callbacks=(), **settings):
    optimizer = optimizers.make_optimizer(kernel, **settings)
    X, y = make_data()
    net.fit(X, y, epochs=2, batch_size=16, optimizer=optimizer, callbacks=callbacks)
    parts = [
        net.parameter_vector,
        net._parameters.running,
        *optimizer.state_dict()["slots"].values(),
    ]
    return np.concatenate(parts)


@pytest.fixture
def bindings(monkeypatch):
    """Whether each binding that is made packs its weights."""
    packed, make_binding = [], _programs.Binding

    def bind(*args, **options):
        packed.append(options["packed"])
        return make_binding(*args, **options)

    monkeypatch.setattr(_programs, "Binding", bind)
    return packed


@pytest.mark.parametrize("n_threads", THREADS)
@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.1}], ids=["", "clip_norm"])
@pytest.mark.parametrize("kernel", optimizers.CASES)
def test_an_empty_on_step_end_changes_no_bit(kernel, settings, n_threads, dtype):
    options = {"n_threads": n_threads, "dtype": dtype, "l1": 1e-4, "l2": 1e-3}
    alone = train(make(**options), kernel, **settings)
    watched = train(make(**options), kernel, [Watcher()], **settings)
    assert common.same_bits(watched, alone)


def test_plain_sgd_in_the_tile_changes_no_bit(isa, dtype):
    nets = [make(dtype=dtype), make(dtype=dtype)]
    assert common.same_bits(train(nets[0], "sgd", [Watcher()]), train(nets[1], "sgd"))


@pytest.mark.parametrize(
    ("callbacks", "packed"),
    [([], True), ([lambda fit: None], True), ([Watcher()], False),
     ([Watcher(step_interval=5)], True), ([Watcher(step_interval=5), Watcher()], False)],
)  # fmt: skip
def test_weights_are_not_copied_for_each_step(callbacks, packed, bindings):
    train(make(), "adam", callbacks)
    assert bindings == [packed]


def test_a_view_from_before_the_fit_sees_each_step_and_may_be_written():
    net, twin = make(), make()
    weight, seen = net.layers[3].weight, []

    def shrink():
        seen.append(weight.copy())
        weight[...] *= np.float32(0.9)

    X, y = make_data()
    options = {"batch_size": 16, "epochs": 1, "shuffle": False}
    net.fit(X, y, optimizer=fastnn.SGD(0.1), callbacks=[Watcher(shrink)], **options)
    expected = []
    for xb, yb in fastnn.batches(X, y, 16, shuffle=False):
        twin.forward(xb, yb)
        twin.backward()
        fastnn.SGD(0.1).step(twin)
        expected.append(twin.layers[3].weight.copy())
        twin.layers[3].weight *= np.float32(0.9)
    assert all(map(common.same_bits, seen, expected))
    assert common.same_bits(net.parameter_vector, twin.parameter_vector)
