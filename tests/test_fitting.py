"""What `fit` may be asked for: restarts, portions of data, validation by a share, batch sizes."""

import json

import common
import numpy as np
import pytest

import fastnn
from fastnn._restarts import derive_seed

RATE = fastnn.SGD(0.1)


def make(units=3, **options):
    return fastnn.Network([fastnn.Dense(6, "tanh"), fastnn.Dense(units)], n_features=5, **options)


def make_data(rng, n_rows=60):
    return common.make_classes(rng, n_rows, 5, 3)


# --- several random initialisations --------------------------------------------------------------


def test_C17_the_best_of_several_restarts_is_kept(dtype, rng):
    X, y = make_data(rng)
    net, twin = make(dtype=dtype, seed=4), make(dtype=dtype, seed=4)
    history = net.fit(X, y, epochs=4, optimizer=RATE, n_restarts=5)
    seeds = [4, *(derive_seed(4, i) for i in range(1, 5))]
    losses = []
    for seed in seeds:
        twin.reset(seed)
        losses.append(twin.fit(X, y, epochs=4, optimizer=RATE).loss[-1])
    assert [restart["seed"] for restart in history.restarts] == seeds
    assert [restart["loss"] for restart in history.restarts] == losses
    assert len(set(losses)) == 5
    best = int(np.argmin(losses))
    assert best != 4  # so that the last is not kept by chance
    twin.reset(seeds[best])
    assert twin.fit(X, y, epochs=4, optimizer=RATE).loss == history.loss == net.history.loss
    assert common.same_bits(net.parameter_vector, twin.parameter_vector)
    assert net.seed == seeds[best]
    again = make(dtype=dtype, seed=4)
    again.fit(X, y, epochs=4, optimizer=RATE, n_restarts=5)
    assert common.same_bits(net.parameter_vector, again.parameter_vector)
    assert again.fit(X, y, epochs=1).loss == net.fit(X, y, epochs=1).loss


def test_restarts_are_judged_by_validation_where_there_is_one(rng):
    X, y = make_data(rng)
    net = make()
    history = net.fit(X, y, epochs=3, optimizer=RATE, n_restarts=4, validation=0.25)
    losses = [restart["val_loss"] for restart in history.restarts]
    assert history.val_loss[-1] == min(losses)


def test_the_first_restart_goes_on_from_the_present_weights(rng):
    X, y = make_data(rng)
    net, twin = make(), make()
    for each in (net, twin):
        each.fit(X, y, epochs=200, optimizer=RATE)
    history = net.fit(X, y, epochs=1, optimizer=RATE, n_restarts=3)
    assert twin.fit(X, y, epochs=1, optimizer=RATE).loss == history.loss
    assert history.epoch == [200]
    assert common.same_bits(net.parameter_vector, twin.parameter_vector)


def test_restarts_that_diverge_are_left_out(rng):
    X, y = make_data(rng)
    net = make()
    before = net.parameter_vector.copy()

    def spoil(fit):
        if fit.net.seed == 0:
            fit.net.parameter_vector[...] = np.float32(1e38)

    history = net.fit(X, y, epochs=2, optimizer=RATE, n_restarts=2, callbacks=[spoil])
    assert history.restarts[0]["loss"] is None
    assert "diverged" in history.restarts[0]["stop_reason"]
    assert net.seed == derive_seed(0, 1)

    def spoil_all(fit):
        fit.net.parameter_vector[...] = np.float32(1e38)

    net.reset(0)
    with pytest.raises(fastnn.DivergenceError):
        net.fit(X, y, epochs=2, optimizer=RATE, n_restarts=3, callbacks=[spoil_all])
    assert common.same_bits(net.parameter_vector, before)
    assert net.seed == 0


@pytest.mark.parametrize("n_restarts", [2, 5])
def test_restarts_side_by_side_have_the_bits_of_one_after_the_other(n_restarts, rng):
    """Whatever belongs to a training: statistics, masks, optimizer, schedule, stopping."""
    X, y = make_data(rng)

    def train(n_threads):
        layers = [fastnn.Dense(6), fastnn.BatchNorm(), fastnn.Activation("tanh"),
                  fastnn.Dropout(0.2), fastnn.Dense(3)]  # fmt: skip
        net = fastnn.Network(layers, n_threads=n_threads, seed=2, l2=1e-3, scale_inputs="standard")
        optimizer = fastnn.Adam(0.02)
        stopping = fastnn.EarlyStopping(patience=2)
        history = net.fit(X, y, epochs=12, batch_size=15, optimizer=optimizer, validation=0.25,
                          n_restarts=n_restarts, schedule=fastnn.schedules.Exponential(0.9),
                          callbacks=[stopping])  # fmt: skip
        assert net.n_threads == n_threads
        state = optimizer.state_dict()["slots"]
        net.partial_fit(X, y, batch_size=15)  # goes on with the state of the best
        return net, history, state

    one, history, state = train(1)
    for n_threads in [*common.THREADS[1:], None]:
        net, other, other_state = train(n_threads)
        assert net.seed == one.seed
        assert common.same_bits(net.parameter_vector, one.parameter_vector)
        assert common.same_bits(net.forward(X), one.forward(X))
        assert other.restarts == history.restarts
        assert other.loss == history.loss
        assert all(common.same_bits(state[name], other_state[name]) for name in state)


def test_threads_of_restarts_are_shared_out_by_the_rule_of_the_plan(monkeypatch, rng):
    """Small networks get one each, of large ones each gets all."""
    workers, threads = [], set()
    run_many = fastnn._threads.run_many
    monkeypatch.setattr(
        fastnn._threads, "run_many", lambda f, n: workers.append(n) or run_many(f, n)
    )
    n = common.THREADS[-1]
    for units, rows in [(6, 30), (500, 120)]:
        X = rng.standard_normal((rows, 500))
        net = fastnn.Network([fastnn.Dense(units), fastnn.Dense(3)], n_threads=n)
        net.fit(X, np.arange(rows) % 3, epochs=1, batch_size="all", n_restarts=3,
                callbacks=[lambda fit: threads.add(fit.net.n_threads)])  # fmt: skip
    assert workers == [min(n, 3), 1]
    assert threads == {1, n}


def test_callbacks_of_restarts_are_copies_that_may_predict(rng):
    X, y = make_data(rng)
    seen = []

    class Watcher(fastnn.Callback):
        n_epochs = 0

        def on_epoch_end(self, fit):
            self.n_epochs += 1
            seen.append((fit.net.seed, self.n_epochs, fit.net.predict(X).shape))
            with pytest.raises(RuntimeError, match="a callback cannot fit it"):
                fit.net.fit(X, y)

    watcher, net = Watcher(), make()
    net.fit(X, y, epochs=2, n_restarts=3, callbacks=[watcher])
    seeds = [0, derive_seed(0, 1), derive_seed(0, 2)]
    assert sorted(seen) == sorted((seed, n, (60,)) for seed in seeds for n in (1, 2))
    assert watcher.n_epochs == 0
    net.predict(X)


def test_an_error_of_a_callback_ends_all_restarts(rng):
    X, y = make_data(rng)

    def fail(fit):
        raise KeyError(fit.net.seed)

    net = make()
    with pytest.raises(KeyError, match="0"):
        net.fit(X, y, epochs=2, n_restarts=3, callbacks=[fail])
    net.fit(X, y, epochs=1)


def test_restarts_that_are_stopped_within_their_first_epoch(rng):
    X, y = make_data(rng)

    class Stopper(fastnn.Callback):
        def on_step_end(self, fit):
            fit.stop("enough")

    net = make()
    history = net.fit(X, y, n_restarts=3, callbacks=[Stopper()])
    assert net.seed == 0
    assert [restart["stop_reason"] for restart in history.restarts] == ["enough"] * 3


# --- portions ------------------------------------------------------------------------------------


def test_partial_fit_is_one_epoch_that_goes_on(dtype, rng):
    X, y = make_data(rng)
    net, twin = make(dtype=dtype), make(dtype=dtype)
    for rows in (slice(0, 20), slice(20, 60), slice(0, 20)):
        history = net.partial_fit(X[rows], y[rows], batch_size=8, optimizer=RATE)
        twin.fit(X[rows], y[rows], epochs=1, batch_size=8, optimizer=RATE)
    assert common.same_bits(net.parameter_vector, twin.parameter_vector)
    assert history.epoch == [0, 1, 2]
    assert history is net.history


def test_partial_fit_keeps_the_optimizer_of_the_last_call(rng):
    X, y = make_data(rng)
    net = make()
    net.fit(X, y, epochs=1, optimizer=fastnn.SGD(0.25))
    assert net.partial_fit(X, y).learning_rate == [0.25, 0.25]
    assert net.partial_fit(X, y, optimizer=fastnn.SGD(0.5)).learning_rate[-1] == 0.5
    assert net.partial_fit(X, y).learning_rate[-1] == 0.5
    assert make().partial_fit(X, y).learning_rate == [fastnn.SGD().learning_rate]


def test_partial_fit_is_told_the_classes_that_will_come(rng):
    X, y = make_data(rng)
    names = np.array(["Madrid", "Barcelona", "Milan"])
    net = make()
    with pytest.raises(ValueError, match="pass classes="):
        net.partial_fit(X[:1], names[:1])
    net.partial_fit(X[:1], names[:1], classes=names)
    net.partial_fit(X, names[y])
    net.partial_fit(X, names[y], classes=names)
    assert net.classes.tolist() == names.tolist()
    with pytest.raises(ValueError, match=r"classes is .* but the network has"):
        net.partial_fit(X, names[y], classes=names[::-1])
    assert len(net.history) == 3


# --- validation by a share -----------------------------------------------------------------------


@pytest.mark.parametrize(("share", "n_held"), [(0.25, 15), (0.001, 1), (0.9, 54)])
def test_a_share_of_the_rows_validates(share, n_held, rng):
    """Drawn by the seed, apart from the rows that are trained."""
    X = np.arange(60, dtype=float)[:, None] / 60
    net = fastnn.Network([fastnn.Dense(1)], "mse", n_features=1, seed=3)
    seen = []
    net.fit(X, X, epochs=2, validation=share, callbacks=[lambda fit: seen.append(fit._validation)])
    held, labels, targets = seen[0]
    assert labels is None
    assert len(held) == len(targets) == n_held
    order = np.sort(fastnn._core.kernels.shuffle_indices(0, 2**32 - 1, 60)[:n_held])
    np.testing.assert_allclose(held[:, 0] * 60, order, rtol=1e-6)
    rest = np.delete(X, order, axis=0)
    twin = fastnn.Network([fastnn.Dense(1)], "mse", n_features=1, seed=3)
    assert twin.fit(rest, rest, epochs=2, validation=(held, held)).loss == net.history.loss
    assert twin.history.val_loss == net.history.val_loss


@pytest.mark.parametrize(
    ("validation", "error", "message"),
    [
        (0.0, ValueError, "validation must be greater than 0 and less than 1"),
        (1.0, ValueError, "less than 1"),
        (0.999, ValueError, "leaves none to train on"),
        (True, ValueError, "must be a pair"),
        ("0.1", ValueError, "a pair .*; or a share"),
    ],
)
def test_shares_out_of_range(validation, error, message, rng):
    with pytest.raises(error, match=message):
        make().fit(*make_data(rng), validation=validation)


# --- batch sizes ---------------------------------------------------------------------------------


def test_C11_from_single_examples_to_the_whole_data_set(dtype, rng):
    """Steps by hand, for batches of 1, 32 and all rows."""
    X, y = make_data(rng)
    for batch_size, rows in [(1, 1), (32, 32), ("all", 60), (60, 60), (10**9, 60)]:
        net, twin = make(dtype=dtype), make(dtype=dtype)
        net.fit(X, y, epochs=2, batch_size=batch_size, optimizer=RATE)
        for epoch in range(2):
            for xb, yb in fastnn.batches(X, y, rows, epoch=epoch):
                twin.forward(xb, yb)
                twin.backward()
                RATE.step(twin)
        assert common.same_bits(net.parameter_vector, twin.parameter_vector), batch_size


@pytest.mark.parametrize(
    ("batch_size", "error"), [(0, ValueError), (-1, ValueError), ("half", TypeError)]
)
def test_batch_sizes_that_cannot_be(batch_size, error, rng):
    with pytest.raises(error, match="batch_size must be"):
        make().fit(*make_data(rng), batch_size=batch_size)


# --- the history ---------------------------------------------------------------------------------


def test_a_history_goes_through_json(rng):
    X, y = make_data(rng)
    history = make().fit(X, y, epochs=3, validation=0.2, n_restarts=2, tol=0.0)
    history.epochs[0]["score"] = np.float32(0.5)
    history.epochs[1]["score"] = np.nan
    text = json.dumps(history.to_dict(), allow_nan=False)
    again = fastnn.History.from_dict(json.loads(text))
    assert again.loss == history.loss
    assert again.score == [0.5, None, None]
    assert again.restarts == history.restarts
    assert (again.stop_reason, again.converged) == (history.stop_reason, history.converged)
    assert again.to_dict() == history.to_dict()
