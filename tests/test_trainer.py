"""What a thread keeps of the last network that it has fitted never shows in the next fit."""

import copy
import gc
import threading
import weakref

import numpy as np
import pytest
from common import THREADS, make_classes, same_bits

import fastnn
from fastnn import _trainer

# Fits of one network that follow each other: what differs from the one before.
FITS = [
    {},
    {},
    {"batch_size": 7},
    {"batch_size": 7},
    {"optimizer": fastnn.SGD(0.1)},
    {"optimizer": fastnn.SGD(0.2)},
    {"optimizer": fastnn.SGD(0.1, clip_norm=0.1)},
    {"optimizer": fastnn.Adam(0.01)},
    {"optimizer": fastnn.Adam(0.01)},  # another one, which has made no steps
    {"rows": 50},
    {},
]


@pytest.fixture(autouse=True)
def slot():
    """What holds the trainer that this thread keeps, which is none at first."""
    _trainer._kept.slot.trainer = None
    return _trainer._kept.slot


@pytest.fixture
def data(rng):
    return make_classes(rng, 90, 12, 3)


def make_network(**options):
    layers = [fastnn.Dense(20, "tanh"), fastnn.BatchNorm(), fastnn.Dropout(0.2), fastnn.Dense(3)]
    return fastnn.Network(layers, n_features=12, classes=range(3), **options)


@pytest.mark.parametrize("n_threads", THREADS[:2])
def test_a_fit_has_the_bits_of_one_that_was_bound_anew(data, slot, n_threads):
    nets = [make_network(n_threads=n_threads) for _ in range(2)]
    adams = [fastnn.Adam(0.02) for _ in nets]
    kept = None  # of the first network; the other one always begins with nothing
    used_again = []
    for i, fit in enumerate(FITS):
        for net, adam in zip(nets, adams, strict=True):
            settings = {"optimizer": adam, "batch_size": 32, "rows": None, **fit}
            X, y = (part[: settings["rows"]] for part in data)
            optimizer = copy.deepcopy(settings["optimizer"]) if "optimizer" in fit else adam
            slot.trainer = kept if net is nets[0] else None
            net.fit(X, y, epochs=2, optimizer=optimizer, batch_size=settings["batch_size"])
            net.layers[0].weight[0] += 0.5  # so what is kept of weights is not what they are
            if net is nets[0]:
                if slot.trainer is kept:
                    used_again.append(i)
                kept = slot.trainer
        assert same_bits(nets[0].parameter_vector, nets[1].parameter_vector)
        assert nets[0].history.loss == nets[1].history.loss
    assert used_again == [1, 3, 5]


def test_what_is_kept_serves_the_next_fit_of_the_same_network_alone(data, slot, monkeypatch):
    first, second = make_network(), make_network()
    first.fit(*data, epochs=1)
    of_first = weakref.ref(slot.trainer)
    alive = []
    make = _trainer._programs.make_trainer

    def make_trainer(*arguments):
        alive.append(of_first() is not None)
        return make(*arguments)

    monkeypatch.setattr(_trainer._programs, "make_trainer", make_trainer)
    second.fit(*data, epochs=1)
    assert alive == [False]  # or large networks would need twice the memory
    of_second = slot.trainer
    second.fit(*data, epochs=1)
    assert slot.trainer is of_second


def test_nothing_is_kept_of_networks_that_are_gone(data, slot):
    net = make_network()
    X = data[0].astype("float32")  # used as it lies
    net.fit(X, data[1], epochs=1)
    trainer, rows = weakref.ref(slot.trainer), weakref.ref(X)
    gc.disable()
    try:
        del X  # what is kept does not hold on to the data
        assert rows() is None
    finally:
        gc.enable()
    del net
    gc.collect()
    assert slot.trainer is None
    assert trainer() is None


def test_the_end_of_one_network_leaves_what_is_kept_of_another(data, slot):
    net, other = make_network(), make_network()
    net.fit(*data, epochs=1)
    of_net = slot.trainer  # as a traceback may hold it
    other.fit(*data, epochs=1)
    of_other = slot.trainer
    del net
    gc.collect()
    assert of_net is not of_other
    assert slot.trainer is of_other


def test_nothing_is_kept_by_threads_that_are_gone(data):
    net, found = make_network(), []

    def fit():
        net.fit(*data, epochs=1)
        found.append(weakref.ref(_trainer._kept.slot.trainer))

    gc.collect()
    gc.disable()
    try:
        thread = threading.Thread(target=fit)
        thread.start()
        thread.join()
        assert [trainer() for trainer in found] == [None]
    finally:
        gc.enable()


def test_a_callback_may_fit_another_network(data):
    """While what this thread had kept is in use."""
    net, other = make_network(), make_network()
    alone = make_network()
    alone.fit(*data, epochs=3, callbacks=[lambda fit: None])
    net.fit(*data, epochs=1, callbacks=[lambda fit: None])
    net.fit(*data, epochs=2, callbacks=[lambda fit: other.fit(*data, epochs=1)])
    assert same_bits(net.parameter_vector, alone.parameter_vector)


def test_a_fit_that_has_ended_does_not_tell_the_loss_of_another(data):
    net, fits = make_network(), []
    net.fit(*data, epochs=1, callbacks=[fits.append])
    with pytest.raises(RuntimeError, match="the fit has ended"):
        _ = fits[0].loss
    net.fit(*data, epochs=1, callbacks=[lambda fit: fits.append(fit.loss)])
    assert np.isfinite(fits[1])


def test_a_fit_that_failed_keeps_nothing(data, slot):
    net = make_network()
    net.fit(*data, epochs=1)
    assert slot.trainer is not None
    with pytest.raises(fastnn.DivergenceError):
        net.fit(*data, epochs=5, optimizer=fastnn.SGD(1e38))
    assert slot.trainer is None
    assert np.isfinite(net.parameter_vector).all()


def test_each_thread_keeps_its_own(data, slot):
    net = make_network()
    net.fit(*data, epochs=1)
    found = []

    def fit():
        found.append(_trainer._kept.slot.trainer)
        net.fit(*data, epochs=1)
        found.append(_trainer._kept.slot.trainer)

    thread = threading.Thread(target=fit)
    thread.start()
    thread.join()
    assert found[0] is None
    assert found[1] is not None
    assert found[1] is not slot.trainer
