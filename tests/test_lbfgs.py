"""L-BFGS on whole data sets: where it ends, what it says, and what it refuses."""

import common
import numpy as np
import pytest
from common import THREADS
from sklearn.linear_model import LogisticRegression

import fastnn

TIGHT = {"tolerance_gradient": 1e-9, "tolerance_change": 0.0}


def make_data(n_rows=300, n_features=5, n_classes=3):
    """Classes that overlap, so that weights stay finite."""
    rng = np.random.default_rng(8)
    X = rng.standard_normal((n_rows, n_features))
    scores = X @ rng.standard_normal((n_features, n_classes)) + rng.gumbel(size=(n_rows, n_classes))
    return X, scores.argmax(axis=1)


def make_network(hidden=12, **options):
    layers = [fastnn.Dense(hidden, "tanh")] if hidden else []
    options = {"n_features": 5, "dtype": "float64", "n_threads": 1, **options}
    return fastnn.Network([*layers, fastnn.Dense(3)], **options)


@pytest.mark.parametrize("weighted", [False, True])
def test_C19_logistic_regression_by_lbfgs_has_the_coefficients_of_scikit_learn(weighted):
    """Theirs is |W|^2 / 2 + C sum of losses, without the biases; ours the mean plus l2 |W|^2."""
    X, y = make_data()
    weights = np.random.default_rng(1).integers(0, 4, len(X)).astype(float) if weighted else None
    total = len(X) if weights is None else weights.sum()
    net = make_network(hidden=0, l2=1 / (2 * 0.7 * total))
    history = net.fit(X, y, epochs=200, optimizer=fastnn.LBFGS(**TIGHT), sample_weight=weights)
    theirs = LogisticRegression(C=0.7, tol=1e-10, max_iter=1000)
    theirs.fit(X, y, sample_weight=weights)
    assert history.converged
    assert len(history) < 100
    np.testing.assert_allclose(net.layers[0].weight.T, theirs.coef_, rtol=0, atol=1e-6)
    biases = net.layers[0].bias - net.layers[0].bias.mean()  # only differences count
    np.testing.assert_allclose(biases, theirs.intercept_, rtol=0, atol=1e-6)


def test_linear_regression_is_least_squares(rng):
    X, Y = rng.standard_normal((50, 5)), rng.standard_normal((50, 3))
    net = make_network(hidden=0, loss="mse")
    net.fit(X, Y, epochs=100, optimizer=fastnn.LBFGS(**TIGHT))
    exact, *_ = np.linalg.lstsq(np.c_[X, np.ones(50)], Y)
    found = np.r_[net.layers[0].weight, net.layers[0].bias[None]]
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-7)


def test_each_iteration_has_a_row(tmp_path):
    X, y = make_data()
    seen = []
    net = make_network(l2=1e-3, dtype="float32")

    def look(fit):
        loss = net.evaluate(X, y)["loss"]  # of the weights that the row is about
        seen.append((fit.epoch, fit.loss, loss))

    optimizer = fastnn.LBFGS(history_size=5)
    history = net.fit(X, y, epochs=15, optimizer=optimizer, callbacks=[look], validation=(X, y))
    assert history.epoch == list(range(15)) == [epoch for epoch, *_ in seen]
    assert list(history.epochs[0]) == [
        "epoch", "loss", "data_loss", "penalty", "seconds", "val_loss", "val_accuracy"
    ]  # fmt: skip
    assert (np.diff(history.loss) < 0).all()
    np.testing.assert_allclose(history.data_loss, [loss for *_, loss in seen], rtol=1e-6)
    assert history.data_loss == [loss for _, loss, _ in seen]
    assert history.penalty[-1] == net._penalties.measure()
    assert history.val_loss[-1] == net.evaluate(X, y)["loss"]
    assert history.stop_reason == "all 15 epochs are done"
    assert not history.converged
    assert optimizer.steps == 15
    more = net.fit(X, y, epochs=2, optimizer=optimizer)  # goes on, without memory
    assert more.epoch == [15, 16]
    assert more.loss[0] < history.loss[-1]
    history.plot(tmp_path / "curves.png")


def test_it_says_why_it_ended():
    X, y = make_data()
    by_gradient = make_network(0).fit(X, y, epochs=99, optimizer=fastnn.LBFGS(tolerance_change=0.0))
    assert "no element of the gradient is above tolerance_gradient=1e-05" in by_gradient.stop_reason
    slow = fastnn.LBFGS(tolerance_gradient=0.0, tolerance_change=1e-3)
    by_change = make_network(0).fit(X, y, epochs=99, optimizer=slow)
    assert "fell by no more than tolerance_change=0.001 of itself" in by_change.stop_reason
    assert by_gradient.converged
    assert by_change.converged
    short = fastnn.LBFGS(tolerance_gradient=0.0, tolerance_change=0.0, max_line_search=1)
    stuck = make_network(0, dtype="float32").fit(X, y, epochs=500, optimizer=short)
    assert stuck.stop_reason == (
        "the line search finds no lower loss in max_line_search=1 passes, to the precision of "
        "float32"
    )
    assert not stuck.converged
    stopped = make_network().fit(X, y, epochs=99, optimizer=fastnn.LBFGS(),
                                 callbacks=[lambda fit: fit.stop("enough")])  # fmt: skip
    assert (stopped.stop_reason, len(stopped)) == ("enough", 1)
    early = make_network(30).fit(
        X, y, epochs=500, optimizer=fastnn.LBFGS(), validation=0.3,
        callbacks=[fastnn.EarlyStopping(patience=3)],
    )  # fmt: skip
    assert early.stop_reason.startswith("early stopping: val_loss")


def test_weights_of_rows_count_rows():
    X, y = make_data(60)
    weights = np.random.default_rng(2).integers(0, 3, 60).astype(float)
    rows = np.repeat(np.arange(60), weights.astype(int))
    weighed, repeated = make_network(), make_network()
    optimizer = fastnn.LBFGS()
    found = weighed.fit(X, y, epochs=20, optimizer=optimizer, sample_weight=weights)
    exact = repeated.fit(X[rows], y[rows], epochs=20, optimizer=optimizer)
    np.testing.assert_allclose(found.loss, exact.loss, rtol=1e-7)


@pytest.mark.parametrize("dtype", common.DTYPES)
def test_any_number_of_threads_gives_the_same_bits(dtype):
    X, y = make_data(400)
    found = []
    for n_threads in THREADS:
        net = make_network(2000, dtype=dtype, n_threads=n_threads)  # 16,000 parameters
        history = net.fit(X, y, epochs=8, optimizer=fastnn.LBFGS())
        found.append((net.parameter_vector, history.loss))
    for vector, losses in found:
        assert common.same_bits(vector, found[0][0])
        assert losses == found[0][1]


def test_batch_norm_is_trained():
    X, y = make_data()
    layers = [fastnn.Dense(8), fastnn.BatchNorm(), fastnn.Activation("tanh"), fastnn.Dense(3)]
    net = fastnn.Network(layers, n_features=5)
    history = net.fit(X, y, epochs=30, optimizer=fastnn.LBFGS())
    assert history.loss[-1] < 0.75 * history.loss[0]
    assert (layers[1].running_variance != 1).all()


def test_running_statistics_move_once_in_an_iteration():
    """And not with each pass of a line search: as first layer they know the means of X."""
    X, y = make_data()
    X = X + np.arange(1, 6)
    layers = [fastnn.BatchNorm(momentum=0.5), fastnn.Dense(8, "tanh"), fastnn.Dense(3)]
    net = fastnn.Network(layers, dtype="float64")
    net.fit(X, y, epochs=3, optimizer=fastnn.LBFGS())
    expected = (1 - 0.5**3) * X.mean(axis=0)
    np.testing.assert_allclose(net.layers[0].running_mean, expected, rtol=1e-12)


@pytest.mark.parametrize("last", [False, True], ids=["on the way", "at the end"])
def test_weights_that_a_callback_writes_count(last):
    X, y = make_data()
    net, twin = make_network(), make_network()

    def shrink(fit):
        if fit.n_epochs_done == 4:
            net.parameter_vector[...] *= 0.5

    n_epochs = 4 if last else 10
    history = net.fit(X, y, epochs=n_epochs, optimizer=fastnn.LBFGS(), callbacks=[shrink])
    twin.fit(X, y, epochs=4, optimizer=fastnn.LBFGS())
    twin.parameter_vector[...] *= 0.5
    if not last:
        twin.fit(X, y, epochs=6, optimizer=fastnn.LBFGS())
    assert history.epoch == list(range(n_epochs))
    assert common.same_bits(net.parameter_vector, twin.parameter_vector)


def test_restarts_keep_the_best():
    X, y = make_data()
    history = make_network().fit(X, y, epochs=10, optimizer=fastnn.LBFGS(), n_restarts=3)
    assert history.loss[-1] == min(restart["loss"] for restart in history.restarts)


def test_interrupted_between_two_passes_the_weights_are_those_of_the_last_iteration(monkeypatch):
    X, y = make_data()
    net = make_network()
    kept = []
    original = fastnn._minimizing.Minimizing._evaluate

    def evaluate(fit, vector):
        result = original(fit, vector)
        if len(kept) == 4:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(fastnn._minimizing.Minimizing, "_evaluate", evaluate)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y, epochs=50, optimizer=fastnn.LBFGS(),
                callbacks=[lambda fit: kept.append(net.parameter_vector.copy())])  # fmt: skip
    assert common.same_bits(net.parameter_vector, kept[-1])
    assert net.history.stop_reason == "interrupted"
    assert net.fit(X, y, epochs=1).epoch == [4]  # and it may be fitted again


def test_numbers_that_are_not_finite():
    X, y = make_data()
    net = make_network(loss="mse", dtype="float32")
    targets = np.eye(3)[y]
    net.layers[-1].weight[0, 0] = np.inf
    with pytest.raises(FloatingPointError, match="infinite at the weights that LBFGS begins"):
        net.fit(X, targets, optimizer=fastnn.LBFGS())
    net = make_network(hidden=0, loss="poisson")  # e^z: a long first step is beyond all numbers
    net.layers[0].weight[...] = 0
    history = net.fit(1e4 * X, targets, epochs=50, optimizer=fastnn.LBFGS())
    assert history.stop_reason == "the line search met a loss or gradient that is NaN or infinite"
    assert np.isfinite(net.parameter_vector).all()


REFUSED = [
    ({}, {"batch_size": 32}, "batch_size is 32, but LBFGS takes all 300 rows"),
    ({}, {"schedule": fastnn.schedules.Step()}, "schedule is Step.*LBFGS has no learning rate"),
    (
        {},
        {"callbacks": [fastnn.ReduceOnPlateau(monitor="loss")]},
        "ReduceOnPlateau does not go with LBFGS",
    ),
    ({}, {"callbacks": [fastnn.Checkpoint("x")]}, "Checkpoint does not go with LBFGS"),
    ({"l1": 0.1}, {}, r"layers\[0\] is Dense.* smooth, without l1=0.1"),
]


@pytest.mark.parametrize(("options", "fit_options", "message"), REFUSED)
def test_what_it_cannot_do_is_refused(options, fit_options, message):
    X, y = make_data()
    net = make_network(**options)
    before = net.parameter_vector.copy()
    with pytest.raises(ValueError, match=message):
        net.fit(X, y, optimizer=fastnn.LBFGS(), **fit_options)
    assert common.same_bits(net.parameter_vector, before)
    assert net.history is None


@pytest.mark.parametrize(
    ("layer", "message"),
    [(fastnn.Dropout(0.5), "the same in every pass"),
     (fastnn.Dense(4, max_norm=1.0), "without max_norm")],
)  # fmt: skip
def test_layers_that_do_not_go_with_it(layer, message):
    X, y = make_data()
    net = fastnn.Network([layer, fastnn.Dense(3)])
    with pytest.raises(ValueError, match=rf"layers\[0\] is {type(layer).__name__}.*{message}"):
        net.fit(X, y, optimizer=fastnn.LBFGS())
    with pytest.raises(ValueError, match="not built"):
        net.parameter_vector  # noqa: B018


def test_one_row_has_no_variance():
    net = fastnn.Network([fastnn.BatchNorm(), fastnn.Dense(3)])
    with pytest.raises(ValueError, match=r"BatchNorm needs at least 2 rows .* data set has 1"):
        net.fit(np.ones((1, 5)), [0], optimizer=fastnn.LBFGS())
    assert net.history is None


def test_neither_portions_nor_the_explicit_loop():
    X, y = make_data()
    net = make_network()
    with pytest.raises(ValueError, match=r"LBFGS\(\).* whole data set.*another to partial_fit"):
        net.partial_fit(X, y, optimizer=fastnn.LBFGS())
    net.forward(X, y)
    net.backward()
    with pytest.raises(TypeError, match="no step for the explicit loop"):
        fastnn.LBFGS().step(net)
    for batch_size in ("all", 300, 1000):
        assert len(net.fit(X, y, epochs=1, batch_size=batch_size, optimizer=fastnn.LBFGS())) == 1
    assert "update none" in net.explain(optimizer=fastnn.LBFGS())


def test_settings():
    assert repr(fastnn.LBFGS(history_size=4)) == "LBFGS(history_size=4)"
    for name, value in fastnn.LBFGS().settings.items():
        for bad in (-1, "1", True, float("nan")):
            with pytest.raises((ValueError, TypeError), match=rf"^{name} must be "):
                fastnn.LBFGS(**{name: bad})
        assert f"{name} : {type(value).__name__}, default" in fastnn.LBFGS.__doc__
