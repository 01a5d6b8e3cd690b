"""Data that are trained on before anybody looks at them: refused as if somebody had."""

import copy

import numpy as np
import pytest
from common import THREADS, make_classes, same_bits
from optimizers import make_optimizer

import fastnn
from fastnn import _unread
from fastnn._core.kernels import list_activations, list_optimizers
from fastnn._data import FitData

BAD = {"NaN": np.nan, "inf": np.inf, "-inf": -np.inf}
N_ROWS, N_FEATURES, N_CLASSES = 203, 20, 3


@pytest.fixture(autouse=True)
def never_look_first(monkeypatch):
    monkeypatch.setattr(_unread, "MIN_SIZE", 1)


def make_data(rng, dtype="float32"):
    X, y = make_classes(rng, N_ROWS, N_FEATURES, N_CLASSES)
    return X.astype(dtype), y


def make_network(**options):
    layers = options.pop("layers", [fastnn.Dense(16, "relu"), fastnn.Dense(N_CLASSES)])
    return fastnn.Network(copy.deepcopy(layers), n_features=N_FEATURES, **options)


def list_state(net, optimizer):
    """All that a refused fit must leave as it was."""
    state = optimizer.state_dict()
    slots = [slot.tobytes() for slot in state["slots"].values()]
    running = net._parameters.running.tobytes()
    history = None if net.history is None else (id(net.history), list(net.history.epochs))
    own = (net._epoch, net._step, net._optimizer, history, net.history and net.history.stop_reason)
    classes = None if net.classes is None else net.classes.tolist()
    return net.parameter_vector.tobytes(), running, slots, state["steps"], own, classes


@pytest.mark.parametrize("row", [0, 101, N_ROWS - 1])
@pytest.mark.parametrize("found", BAD)
@pytest.mark.parametrize("kernel", list_optimizers())
def test_every_optimizer_shows_what_is_not_finite(rng, kernel, found, row):
    X, y = make_data(rng)
    net, optimizer = make_network(), make_optimizer(kernel)
    for n_fits in range(2):  # the first finds everything new, the second what the first has left
        before, bad = list_state(net, optimizer), X.copy()
        bad[row, 7] = BAD[found]
        with pytest.raises(ValueError, match=f"^X contains {found} at row {row}, column 7; "):
            net.fit(bad, y, epochs=3, optimizer=optimizer)
        assert list_state(net, optimizer) == before, n_fits
        net.fit(X, y, epochs=2, optimizer=optimizer)


HIDING = {
    "relu": [fastnn.Dense(16, "relu"), fastnn.Dense(N_CLASSES)],
    "hard_sigmoid": [fastnn.Dense(16, "hard_sigmoid"), fastnn.Dense(N_CLASSES)],
    "sign": [fastnn.Dense(16, "sign"), fastnn.Dense(N_CLASSES)],
    "dropout": [fastnn.Dense(16, "relu"), fastnn.Dropout(0.9), fastnn.Dense(N_CLASSES)],
    "norm": [fastnn.Dense(16), fastnn.BatchNorm(), fastnn.Dense(N_CLASSES)],
    "max_norm": [fastnn.Dense(16, "relu", max_norm=0.5), fastnn.Dense(N_CLASSES)],
}


# The update is fused with dW, follows each block of it, or waits for all of it.
UPDATES = {"fused": {}, "blocked": {"momentum": 0.9}, "separate": {"clip_norm": 1.0}}


@pytest.mark.parametrize("n_threads", THREADS[:2])
@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("found", BAD)
@pytest.mark.parametrize("name", HIDING)
def test_no_layer_hides_it(isa, dtype, rng, name, found, update, n_threads):
    X, y = make_data(rng, dtype)
    net = make_network(layers=HIDING[name], dtype=dtype, n_threads=n_threads)
    optimizer = fastnn.SGD(1e-3, **UPDATES[update])
    assert f"update {update}" in net.explain(32, optimizer)
    before, weights = list_state(net, optimizer), np.where(np.arange(N_ROWS) == 50, 0.0, 1.0)
    X[50, 3] = BAD[found]
    with pytest.raises(ValueError, match=f"^X contains {found} at row 50, column 3; "):
        net.fit(X, y, epochs=1, optimizer=optimizer, sample_weight=weights)
    assert list_state(net, optimizer) == before


@pytest.mark.parametrize("found", BAD)
@pytest.mark.parametrize("name", list_activations())
def test_no_activation_hides_it_from_rprop(isa, dtype, rng, name, found):
    """The one optimizer that makes a finite step of an infinite gradient."""
    X, y = make_data(rng, dtype)
    net = make_network(layers=[fastnn.Dense(1, name), fastnn.Dense(N_CLASSES)], dtype=dtype)
    X[N_ROWS - 1, 3] = BAD[found]
    with pytest.raises(ValueError, match=f"^X contains {found} at row {N_ROWS - 1}, column 3; "):
        net.fit(X, y, epochs=1, optimizer=fastnn.RProp(1e-3), batch_size="all")


def test_layers_that_go_to_blas_show_it(rng, monkeypatch):
    monkeypatch.setattr(_unread, "MAX_WORK", 2048)
    X = rng.standard_normal((64, 1024), dtype="float32")
    net = fastnn.Network([fastnn.Dense(1024, "relu"), fastnn.Dense(2)], n_features=1024)
    before = net.parameter_vector.copy()
    assert "BLAS (" in net.explain(64)
    X[63, 1023] = np.inf
    with pytest.raises(ValueError, match=r"^X contains inf at row 63, column 1023; "):
        net.fit(X, np.arange(64) % 2, epochs=1, batch_size=64, optimizer=fastnn.SGD(1e-3))
    assert same_bits(net.parameter_vector, before)


@pytest.mark.parametrize("kernel", list_optimizers())
def test_a_fit_has_the_bits_of_one_that_looks_first(rng, kernel, monkeypatch):
    X, y = make_data(rng)
    nets = [make_network(), make_network()]
    first = nets[0].fit(X, y, epochs=3, optimizer=make_optimizer(kernel))
    monkeypatch.setattr(_unread, "MIN_SIZE", X.size + 1)
    second = nets[1].fit(X, y, epochs=3, optimizer=make_optimizer(kernel))
    assert same_bits(nets[0].parameter_vector, nets[1].parameter_vector)
    assert first.loss == second.loss


def test_divergence_on_finite_data_is_still_told(rng):
    X, y = make_data(rng)
    net = make_network()
    with pytest.raises(fastnn.DivergenceError, match="epoch 0, step 2"):
        net.fit(np.where(np.arange(N_ROWS)[:, None] == 90, np.float32(3e38), X), y, shuffle=False,
                optimizer=fastnn.SGD(0.1))  # fmt: skip
    assert np.isfinite(net.parameter_vector).all()
    assert net.history.stop_reason.startswith("training diverged")


# What somebody could see before the error, or what could hide it: (arguments of the network, of
# the fit).
LOOKED_AT_FIRST = {
    "callback": ({}, {"callbacks": [lambda fit: None]}),
    "tol": ({}, {"tol": 1e-3}),
    "progress": ({}, {"progress": True}),
    "validation": ({}, {"validation": 0.1}),
    "penalty": ({"l2": 1e-3}, {}),
    "restarts": ({}, {"n_restarts": 2}),
    "clip_value": ({}, {"optimizer": fastnn.SGD(0.1, clip_value=1.0)}),
    "whole data": ({}, {"optimizer": fastnn.LBFGS()}),
    "scaling": ({"scale_inputs": "standard"}, {}),
    "dropout": ({"layers": [fastnn.Dropout(0.9), fastnn.Dense(N_CLASSES)]}, {}),
    "activation": ({"layers": [fastnn.Activation("sign"), fastnn.Dense(N_CLASSES)]}, {}),
    "much work": ({"layers": [fastnn.Dense(600), fastnn.Dense(N_CLASSES)]}, {}),
    "many steps": ({}, {"epochs": 40_000}),
    "other dtype": ({"dtype": "float64"}, {}),
}


@pytest.mark.parametrize("name", LOOKED_AT_FIRST)
def test_where_it_would_be_seen_or_hidden_the_data_are_looked_at_first(rng, name, monkeypatch):
    X, y = make_data(rng)
    X[150, 0] = np.nan
    in_network, in_fit = LOOKED_AT_FIRST[name]
    monkeypatch.setattr(FitData, "look", lambda self: pytest.fail("trained before it was looked"))
    with pytest.raises(ValueError, match=r"^X contains NaN at row 150, column 0"):
        make_network(**in_network).fit(X, y, **in_fit)


def test_a_network_that_is_not_built_looks_first(rng):
    X, y = make_data(rng)
    X[150, 0] = np.nan
    net = fastnn.Network([fastnn.Dense(N_CLASSES)])
    with pytest.raises(ValueError, match=r"^X contains NaN at row 150, column 0"):
        net.fit(X, y)
    assert net.n_features is None


def test_small_data_are_looked_at_first(rng, monkeypatch):
    X, y = make_data(rng)
    monkeypatch.setattr(_unread, "MIN_SIZE", X.size + 1)
    seen = []
    monkeypatch.setattr(_unread, "undone_by_error", lambda *pair: seen.append(pair))
    make_network().fit(X, y, epochs=1)
    assert not seen
