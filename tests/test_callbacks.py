"""Callbacks: what they see, what they may do, and that looking on changes no bit."""

import sys
import warnings

import common
import numpy as np
import pytest
from common import THREADS

import fastnn
from fastnn import _training

RATE = fastnn.SGD(0.1)


def make(rng, n_rows=70, n_threads=None, **options):
    X, y = common.make_classes(rng, n_rows, 6, 3)
    layers = [fastnn.Dense(17, "tanh"), fastnn.Dense(3)]
    return fastnn.Network(layers, n_features=6, n_threads=n_threads, **options), X, y


class Recorder(fastnn.Callback):
    """Writes down what it is told, and where."""

    def __init__(self):
        self.events = []

    def on_fit_begin(self, fit):
        self.events.append("begin")

    def on_epoch_end(self, fit):
        self.events.append(("epoch", fit.epoch, fit.step, len(fit.history)))

    def on_fit_end(self, fit):
        self.events.append("end")


class StepRecorder(Recorder):
    def __init__(self, step_interval=1):
        super().__init__()
        self.step_interval = step_interval

    def on_step_end(self, fit):
        self.events.append((fit.epoch, fit.step, fit.loss))


def test_what_a_callback_is_told(rng):
    net, X, y = make(rng)
    recorder = StepRecorder(2)
    net.fit(X, y, epochs=1, batch_size=16)
    net.fit(X, y, epochs=2, batch_size=16, callbacks=[recorder])  # 5 steps an epoch
    places = [event[:2] if isinstance(event[0], int) else event for event in recorder.events]
    assert places == [
        "begin", (1, 2), (1, 4), ("epoch", 1, 5, 1), (2, 2), (2, 4), ("epoch", 2, 5, 2), "end",
    ]  # fmt: skip


@pytest.mark.parametrize("n_threads", THREADS)
@pytest.mark.parametrize("shuffle", [True, False])
def test_looking_on_changes_no_bit(dtype, n_threads, shuffle, rng):
    losses, vectors = [], []
    for callbacks in [[], [Recorder()], [StepRecorder()], [StepRecorder(2), StepRecorder(3)]]:
        net, X, y = make(np.random.default_rng(1), n_threads=n_threads, dtype=dtype)
        options = {"batch_size": 16, "optimizer": RATE, "shuffle": shuffle, "callbacks": callbacks}
        losses.append(net.fit(X, y, epochs=3, **options).loss)
        vectors.append(net.parameter_vector)
    assert losses.count(losses[0]) == len(losses)
    assert all(common.same_bits(vector, vectors[0]) for vector in vectors)


def test_the_loss_of_a_step_is_that_of_the_explicit_loop(rng):
    net, X, y = make(rng)
    twin = make(rng)[0]
    recorder = StepRecorder()
    net.fit(X, y, epochs=2, batch_size=16, optimizer=RATE, callbacks=[recorder])
    found = [event[2] for event in recorder.events if isinstance(event[0], int)]
    expected = []
    for epoch in range(2):
        for xb, yb in fastnn.batches(X, y, 16, epoch=epoch):
            expected.append(twin.forward(xb, yb))
            twin.backward()
            RATE.step(twin)
    assert found == expected


def test_a_fit_without_callbacks_calls_the_engine_once(monkeypatch, rng):
    """And no Python function runs between its first step and its last."""
    net, X, y = make(rng, n_threads=1)
    calls, inside = [], []

    def run_in_place(function, request_stop):
        calls.append(function)
        sys.setprofile(lambda frame, event, argument: inside.append((event, frame.f_code.co_name)))
        try:
            return function()
        finally:
            sys.setprofile(None)

    monkeypatch.setattr(_training._threads, "run_interruptibly", run_in_place)
    net.fit(X, y, epochs=2, batch_size=16)
    few = list(inside)
    inside.clear()
    net.fit(X, y, epochs=50, batch_size=4)
    assert len(calls) == 2
    assert few
    assert [event for event in inside if event in few] == inside
    assert len(inside) == len(few)  # 900 steps in 50 epochs: no more calls than 10 steps in 2
    net.fit(X, y, epochs=3, batch_size=16, callbacks=[Recorder()])
    assert len(calls) == 5


def test_a_function_is_called_after_each_epoch(rng):
    net, X, y = make(rng)
    seen = []
    net.fit(X, y, epochs=3, callbacks=lambda fit: seen.append(fit.history.loss[-1]))
    assert seen == net.history.loss


def test_a_callback_may_predict_and_write_weights(rng):
    net, X, y = make(rng)
    twin = make(rng)[0]

    def clip(fit):
        assert fit.net.predict(X).shape == (70,)
        assert fit.net.evaluate(X, y)["loss"] > 0
        np.clip(fit.net.parameter_vector, -0.2, 0.2, out=fit.net.parameter_vector)

    net.fit(X, y, epochs=3, optimizer=RATE, callbacks=[clip])
    for _ in range(3):
        twin.fit(X, y, epochs=1, optimizer=RATE)
        np.clip(twin.parameter_vector, -0.2, 0.2, out=twin.parameter_vector)
    assert common.same_bits(net.parameter_vector, twin.parameter_vector)
    assert np.abs(net.parameter_vector).max() <= np.float32(0.2)


def test_a_callback_may_not_fit(rng):
    net, X, y = make(rng)
    with pytest.raises(RuntimeError, match="a callback cannot fit it"):
        net.fit(X, y, callbacks=[lambda fit: fit.net.fit(X, y)])
    net.fit(X, y, epochs=1)


@pytest.mark.parametrize("stop_at", [1, 3, 5, 7])
def test_a_callback_may_stop_at_any_step(stop_at, rng):
    net, X, y = make(rng)
    twin = make(rng)[0]

    class Stopper(fastnn.Callback):
        n_steps = 0

        def on_step_end(self, fit):
            self.n_steps += 1
            if self.n_steps == stop_at:
                fit.stop("enough")

    history = net.fit(X, y, epochs=3, batch_size=16, optimizer=RATE, callbacks=[Stopper()])
    assert history.stop_reason == "enough"
    assert len(history) == stop_at // 5
    steps = [batch for epoch in range(2) for batch in fastnn.batches(X, y, 16, epoch=epoch)]
    for xb, yb in steps[:stop_at]:
        twin.forward(xb, yb)
        twin.backward()
        RATE.step(twin)
    assert common.same_bits(net.parameter_vector, twin.parameter_vector)


def test_an_error_in_a_callback_ends_the_fit_and_comes_out(rng):
    net, X, y = make(rng)
    with pytest.raises(ZeroDivisionError):
        net.fit(X, y, callbacks=[lambda fit: 1 / 0])
    assert len(net.history) == 1
    net.fit(X, y, epochs=1)


@pytest.mark.parametrize("callbacks", [[3], [fastnn.Callback], ["early"]])
def test_what_is_no_callback_is_refused(callbacks, rng):
    net, X, y = make(rng)
    with pytest.raises(TypeError, match=r"callbacks\[0\] is .* expected a fastnn.Callback"):
        net.fit(X, y, callbacks=callbacks)


# --- early stopping ------------------------------------------------------------------------------


class Scripted(fastnn.Callback):
    """Writes a made-up metric into the history."""

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, fit):
        fit.history.epochs[-1]["score"] = self.values[fit.epoch]


VALUES = [5.0, 4.0, 4.5, 3.9, 3.95, 4.0, 3.0]


@pytest.mark.parametrize(
    ("values", "options", "n_epochs", "best_epoch"),
    [
        (VALUES, {"patience": 2}, 6, 3),
        (VALUES, {"patience": 3}, 7, 6),
        (VALUES, {"patience": 2, "min_delta": 0.5}, 4, 1),
        ([-value for value in VALUES], {"patience": 2, "mode": "max"}, 6, 3),
        (VALUES, {"patience": 1, "mode": "max"}, 2, 0),
        ([np.nan, 5, np.nan, np.nan, 0, 0, 0], {"patience": 2}, 4, 1),
    ],
)
def test_early_stopping(values, options, n_epochs, best_epoch, rng):
    net, X, y = make(rng)
    twin = make(rng)[0]
    stopping = fastnn.EarlyStopping("score", **options)
    history = net.fit(X, y, epochs=7, optimizer=RATE, callbacks=[Scripted(values), stopping])
    assert len(history) == n_epochs
    assert (stopping.best_epoch, stopping.best) == (best_epoch, values[best_epoch])
    if n_epochs < 7:
        assert f"epoch {best_epoch}); its weights are restored" in history.stop_reason
    else:
        assert history.stop_reason == "all 7 epochs are done"
    twin.fit(X, y, epochs=best_epoch + 1, optimizer=RATE)
    assert common.same_bits(net.parameter_vector, twin.parameter_vector)


def test_early_stopping_may_keep_the_last_weights(rng):
    net, X, y = make(rng)
    twin = make(rng)[0]
    stopping = fastnn.EarlyStopping("score", patience=2, restore_best=False)
    history = net.fit(X, y, epochs=7, optimizer=RATE, callbacks=[Scripted(VALUES), stopping])
    assert "restored" not in history.stop_reason
    twin.fit(X, y, epochs=6, optimizer=RATE)
    assert common.same_bits(net.parameter_vector, twin.parameter_vector)


def test_early_stopping_on_accuracy_looks_for_the_maximum(rng):
    net, X, y = make(rng)
    stopping = fastnn.EarlyStopping("val_accuracy", patience=3)
    history = net.fit(X, y, epochs=50, validation=(X, y), optimizer=RATE, callbacks=[stopping])
    assert stopping.mode == "max"
    assert stopping.best == max(history.val_accuracy) == net.evaluate(X, y)["accuracy"]


def test_early_stopping_on_an_absent_metric_says_which_there_are(rng):
    net, X, y = make(rng)
    with pytest.raises(ValueError, match="monitors 'accuracy', but the history has epoch, loss"):
        net.fit(X, y, callbacks=[fastnn.EarlyStopping("accuracy")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "patience must be at least 1"),
        ({"min_delta": -1}, "min_delta must be at least 0"),
        ({"mode": "up"}, "mode must be one of"),
    ],
)
def test_settings_of_early_stopping(options, message):
    with pytest.raises(ValueError, match=message):
        fastnn.EarlyStopping(**options)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "error", "message"),
    [
        (np.nan, ValueError, "learning_rate must be a finite number, got nan"),
        (-0.1, ValueError, "learning_rate must be at least 0, got -0.1"),
        ("fast", TypeError, "learning_rate must be a number, got 'fast'"),
        (None, TypeError, "learning_rate must be a number, got None"),
    ],
)
def test_a_rate_that_is_none_is_refused_where_it_is_written(rate, error, message, rng):
    net, X, y = make(rng)

    def change(fit):
        fit.learning_rate = rate

    with pytest.raises(error, match=message):
        net.fit(X, y, epochs=3, callbacks=[change])
    assert len(net.history) == 1
    assert np.isfinite(net.parameter_vector).all()


def test_an_optimizer_without_a_rate_takes_none(rng):
    net, X, y = make(rng)

    def change(fit):
        fit.learning_rate = 0.1

    with pytest.raises(ValueError, match=r"learning_rate was set to 0\.1, but LBFGS\(\) has none"):
        net.fit(X, y, optimizer=fastnn.LBFGS(), callbacks=[change])


@pytest.mark.parametrize("interval", [0, -1])
def test_a_step_interval_is_at_least_1(interval, rng):
    net, X, y = make(rng)
    message = f"step_interval of callbacks\\[1\\] must be at least 1, got {interval}"
    with pytest.raises(ValueError, match=message):
        net.fit(X, y, callbacks=[Recorder(), StepRecorder(interval)])
    assert net.history is None


def test_patience_without_tol_is_refused(rng):
    net, X, y = make(rng)
    with pytest.raises(ValueError, match=r"patience is 3, but it belongs to tol, .* pass tol too"):
        net.fit(X, y, patience=3)
    with pytest.raises(ValueError, match="patience must be at least 1, got 0"):
        net.fit(X, y, patience=0, tol=1e-3)


# --- convergence and divergence in words ---------------------------------------------------------


def test_C16_training_until_convergence(rng):
    """It stops by itself, where the loss no longer falls, and the history says why."""
    X = rng.standard_normal((50, 3))
    y = X @ [[1.0], [2.0], [-1.0]]
    net = fastnn.Network([fastnn.Dense(1)], "mse", n_features=3, dtype="float64")
    options = {"batch_size": 50, "optimizer": fastnn.SGD(0.1), "tol": 1e-6, "patience": 3}
    history = net.fit(X, y, epochs=10_000, **options)
    assert history.converged
    assert history.stop_reason.startswith("converged: in 3 epochs the loss has not fallen")
    assert len(history) < 1000
    assert history.loss[-4] - min(history.loss[-3:]) <= 1e-6
    assert max(history.loss[-7:-4]) - history.loss[-4] > 1e-6
    np.testing.assert_allclose(net.layers[0].weight[:, 0], [1, 2, -1], atol=0.01)


def test_a_fit_that_runs_out_of_epochs_has_not_converged(rng):
    net, X, y = make(rng)
    history = net.fit(X, y, epochs=3, tol=0, optimizer=RATE)
    assert not history.converged
    assert history.stop_reason == "all 3 epochs are done"
    assert net.fit(X, y, epochs=1).stop_reason == "the only epoch is done"


def test_a_rising_loss_is_told_in_words(rng):
    X = rng.standard_normal((40, 4))
    net = fastnn.Network([fastnn.Dense(2)], "mse", n_features=4)
    with pytest.warns(fastnn.DivergenceWarning, match=r"rose from .* at learning rate 3.*try 0\.3"):
        history = net.fit(X, X[:, :2], epochs=5, batch_size=40, optimizer=fastnn.SGD(3.0))
    assert history.stop_reason.startswith("all 5 epochs are done; the loss rose from")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.reset()
        net.fit(X, X[:, :2], epochs=5, batch_size=40, optimizer=fastnn.SGD(0.3))


def test_the_engine_takes_up_a_run_at_any_step(dtype, rng):
    """The loss of an epoch is summed over its rows, in whatever calls they were trained."""
    net, X, y = make(rng, dtype=dtype)
    recorder = StepRecorder(4)
    history = net.fit(X, y, epochs=2, batch_size=7, callbacks=[recorder], optimizer=RATE)
    twin = make(rng, dtype=dtype)[0]
    assert twin.fit(X, y, epochs=2, batch_size=7, optimizer=RATE).loss == history.loss
    assert all(seconds > 0 for seconds in history.seconds)
