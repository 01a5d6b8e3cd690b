"""F14: one thread trains a network, or many read it; settings that change under a fit."""

import contextlib
import os
import threading
import time

import common
import numpy as np
import pytest

import fastnn
from fastnn._access import Access


def make_network():
    return fastnn.Network([fastnn.Dense(256, "relu"), fastnn.Dense(3)], n_features=5)


@pytest.fixture
def data(rng):
    return common.make_classes(rng, 64, 5, 3)


def test_F14_a_fit_waits_for_readers_and_refuses_new_ones():
    access, order = Access(), []

    def write():
        access.begin_writing()
        order.append("written")
        access.end_writing()

    with access:
        writer = threading.Thread(target=write)
        writer.start()
        while access._writer is None:
            time.sleep(0.001)
        with pytest.raises(RuntimeError, match="fitted in another thread"), access:
            pass
        order.append("read")
    writer.join(10)
    assert order == ["read", "written"]
    with access:
        pass


class Willing:
    """Rows that come from calling the network once more."""

    def __init__(self, call, X):
        self.call, self.X = call, X

    def __array__(self, dtype=None, copy=None):
        self.call()
        return self.X.astype(dtype or float)


@pytest.mark.parametrize("call", ["predict", "forward"])
@pytest.mark.parametrize("what", ["predict", "fit", "reset"])
def test_rows_may_use_the_network_while_they_are_converted(what, call, data):
    net, (X, y) = make_network(), data
    calls = {
        "predict": lambda: net.predict(X),
        "fit": lambda: net.fit(X, y, epochs=1),
        "reset": net.reset,
    }
    net.fit(X, y, epochs=1)
    found = []
    thread = threading.Thread(
        target=lambda: found.append(getattr(net, call)(Willing(calls[what], X))), daemon=True
    )
    thread.start()
    thread.join(20)
    np.testing.assert_array_equal(found, [getattr(net, call)(X)])


@pytest.mark.parametrize("call", ["forward", "fit", "partial_fit"])
def test_F03_rows_may_build_the_network_for_another_width_meanwhile(call, data):
    """What was checked when there was no width yet is checked once more."""
    X, y = data
    net = fastnn.Network([fastnn.Dense(8, "relu"), fastnn.Dense(3)])
    narrow = Willing(lambda: net.fit(X, y, epochs=1), X[:, :3])
    with pytest.raises(ValueError, match="X has 3 features, model expects 5"):
        getattr(net, call)(narrow, y)
    assert net.n_features == 5
    net.fit(X, y, epochs=1)


def test_F14_a_network_is_built_once(data, monkeypatch):
    """Though two threads call it at once for the first time."""
    X, y = data
    net, built = fastnn.Network([fastnn.Dense(3)]), []
    build = net._build

    def build_slowly(n_features):
        built.append(n_features)
        time.sleep(0.2)
        build(n_features)

    monkeypatch.setattr(net, "_build", build_slowly)
    threads = [threading.Thread(target=net.forward, args=(X, y)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == [5]


@contextlib.contextmanager
def writing(access):
    access.begin_writing()
    yield
    access.end_writing()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_F12_a_child_does_not_wait_for_threads_of_its_parent(data):
    """Neither for their predictions nor for their fit: it has none of these threads."""
    X, y = data
    net = make_network()
    net.fit(X, y, epochs=1)

    def use():
        net.fit(X, y, epochs=1)
        net.predict(X)

    access = net._access
    for holder in (access, writing(access), access._lock, access.building):
        with common.held_elsewhere(holder):
            assert common.run_in_child(use)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_F12_a_child_goes_on_with_what_its_thread_was_at(data):
    """A prediction comes to its end there, and a fit is still one."""
    X, y = data
    net = make_network()

    def leave_and_fit():
        net._access.__exit__()
        net.fit(X, y, epochs=1)

    def use():
        net.predict(X)
        with pytest.raises(RuntimeError, match="a callback cannot fit it as well"):
            net.fit(X, y, epochs=1)

    with net._access:
        assert common.run_in_child(leave_and_fit)
    forked = []
    net.fit(X, y, epochs=1, callbacks=[lambda fit: forked.append(common.run_in_child(use))])
    assert forked == [True]


def test_F14_predictions_are_never_of_two_states(data):
    X, y = data
    net, results = make_network(), []
    rows = np.tile(X, (2000, 1))
    for _ in range(3):
        allowed = [net.predict_proba(rows)]
        reader = threading.Thread(target=lambda: results.append(net.predict_proba(rows)))
        reader.start()
        while not net._access._n_readers and reader.is_alive():
            time.sleep(0.0005)
        net.fit(X, y, epochs=1, optimizer=fastnn.SGD(1.0))
        reader.join()
        allowed.append(net.predict_proba(rows))
        assert any(common.same_bits(results.pop(), each) for each in allowed)


@pytest.mark.parametrize(
    "call",
    [
        lambda net: net.reset(1),
        lambda net: net.save("never"),
        lambda net: fastnn.SGD().step(net),
        lambda net: net.freeze(),
    ],
)
def test_F14_nothing_else_touches_a_network_in_a_fit(call, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net, errors = make_network(), []

    def try_elsewhere(fit):
        def run():
            try:
                call(net)
            except RuntimeError as error:
                errors.append(str(error))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()

    net.fit(*data, epochs=1, callbacks=[try_elsewhere])
    assert errors == ["model is being fitted in another thread; wait for it to end"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "value"), [("momentum", 0.9), ("clip_norm", 1.0)])
def test_an_optimizer_that_changes_its_state_in_a_fit_is_refused(name, value, data):
    net, optimizer = make_network(), fastnn.SGD(0.1)

    def change(fit):
        setattr(fit.optimizer, name, value)

    with pytest.raises(ValueError, match=f"optimizer is now SGD.*{name}={value}.* write it before"):
        net.fit(*data, epochs=2, optimizer=optimizer, callbacks=[change])
    assert len(net.history) == 1
    assert np.isfinite(net.parameter_vector).all()


def test_F05_classes_that_are_written_are_checked(data):
    X, y = data
    net = make_network()
    with pytest.raises(ValueError, match="classes has 1000000 entries, but"):
        net.classes = np.arange(10**6)
    assert net.classes is None
    net.classes = ["a", "b", "c"]
    net.fit(X, np.array(["c", "b", "a"])[y], epochs=1)
    for classes in (["b", "a", "c"], None):
        with pytest.raises(AttributeError, match=r"of the network is \['a', 'b', 'c'\].*build"):
            net.classes = classes
    assert net.classes.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("n_threads", "error"), [(0, ValueError), (1.5, TypeError), ("2", TypeError)]
)
def test_threads_that_are_written_are_checked(n_threads, error, data):
    net = make_network()
    with pytest.raises(error, match=r"^n_threads must be"):
        net.n_threads = n_threads
    assert net.n_threads is None
    net.fit(*data, epochs=1)


@pytest.mark.parametrize("watcher", [fastnn.EarlyStopping(), fastnn.ReduceOnPlateau()])
def test_a_monitor_without_validation_is_refused_before_training(watcher, data):
    net = make_network()
    before = net.parameter_vector.copy()
    with pytest.raises(ValueError, match=r"monitors 'val_loss', .* pass validation to fit"):
        net.fit(*data, callbacks=[watcher])
    assert common.same_bits(net.parameter_vector, before)


def test_a_last_batch_of_one_row_changes_nothing(data):
    X, y = data
    net = fastnn.Network([fastnn.Dense(8), fastnn.BatchNorm(), fastnn.Dense(3)])
    with pytest.raises(ValueError, match="the last batch of an epoch has 1"):
        net.fit(X[:33], y[:33] + 5)
    assert net.n_features is None
    assert net.classes is None


def test_validation_rows_stay_apart_after_restarts(data):
    X, y = data
    net = make_network()
    net.fit(X, y, epochs=5, validation=0.3, n_restarts=4, optimizer=fastnn.SGD(0.1))
    accuracy = net.history.val_accuracy[-1]
    again = net.fit(X, y, epochs=1, validation=0.3, optimizer=fastnn.SGD(1e-12))
    assert again.val_accuracy[-1] == accuracy


def test_restarts_whose_losses_are_no_numbers_end_in_the_first(data):
    X, y = data
    net = make_network()
    validation = (np.full((4, 5), 3e38, "float32"), [0, 1, 2, 0])
    history = net.fit(X, y, epochs=1, n_restarts=2, validation=validation)
    assert len(history.restarts) == 2


def test_fit_many_refuses_what_trainings_cannot_share(data, tmp_path):
    nets, optimizer = [make_network(), make_network()], fastnn.SGD()
    with pytest.raises(ValueError, match="optimizer holds the same one twice"):
        fastnn.fit_many(nets, *data, optimizer=[optimizer, optimizer])
    with pytest.raises(ValueError, match="holds a Checkpoint"):
        fastnn.fit_many(nets, *data, callbacks=[fastnn.Checkpoint(tmp_path / "c")])
