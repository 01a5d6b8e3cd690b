"""Weights of rows and of classes: what they are worth, and what is refused."""

import common
import numpy as np
import pytest

import fastnn
from fastnn._weights import as_weights

CITIES = np.array(["Madrid", "Barcelona", "Milan"])
SOFTMAX, BINARY, VALUES = "softmax_cross_entropy", "binary_cross_entropy", "huber"


def make(loss=SOFTMAX, units=3, **options):
    layers = [fastnn.Dense(6, "tanh"), fastnn.Dense(units)]
    return fastnn.Network(layers, loss, n_features=5, **{"dtype": "float64", **options})


def make_data(rng, loss=SOFTMAX, n_rows=30):
    X, labels = common.make_classes(rng, n_rows, 5, 3)
    return X, {SOFTMAX: labels, BINARY: labels % 2, VALUES: rng.standard_normal(n_rows)}[loss]


def fit_once(net, X, y, **options):
    """The gradient of all rows, as the change that one step of size 1 makes, and the loss."""
    before = net.parameter_vector.copy()
    optimizer = fastnn.SGD(1.0)
    history = net.fit(X, y, epochs=1, batch_size="all", optimizer=optimizer, **options)
    return before - net.parameter_vector, history.loss[0]


def check_same(mine, other):
    np.testing.assert_allclose(mine[0], other[0], rtol=1e-12, atol=1e-14)
    assert mine[1] == pytest.approx(other[1], rel=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("name", "units"), [(SOFTMAX, 3), (BINARY, 1), (VALUES, 1)])
def test_whole_weights_are_rows_repeated_and_zero_is_none(name, units, reduction, rng):
    loss = {
        SOFTMAX: fastnn.SoftmaxCrossEntropy,
        BINARY: fastnn.BinaryCrossEntropy,
        VALUES: fastnn.Huber,
    }[name](reduction=reduction)
    X, y = make_data(rng, name)
    weights = np.arange(len(X)) % 4
    repeated = np.repeat(X, weights, axis=0), np.repeat(y, weights)
    assert len(repeated[0]) > len(X) > np.count_nonzero(weights)
    classes = None if name == VALUES else np.unique(y)
    mine = make(loss, units, classes=classes), make(loss, units, classes=classes)
    evaluated = mine[0].evaluate(X, y, sample_weight=weights)
    assert evaluated == pytest.approx(mine[1].evaluate(*repeated), rel=1e-12)
    assert evaluated != pytest.approx(mine[0].evaluate(X, y), rel=1e-3)
    check_same(fit_once(mine[0], X, y, sample_weight=weights), fit_once(mine[1], *repeated))


def test_only_the_ratio_of_weights_matters_to_a_mean(rng):
    X, y = make_data(rng)
    check_same(fit_once(make(), X, y, sample_weight=[0.3] * 30), fit_once(make(), X, y))


def test_weights_next_to_nothing_are_none(rng):
    """Their products with losses are subnormal: 0 for the engine, and not for NumPy."""
    X, y = make_data(rng)
    nets = []
    for low, high in [(0.0, 1.0), (3e-308, 1.0), (1e-310, 1.0), (0.0, 2.0**900)]:
        net = make()
        weights = np.repeat([high, low], 15)
        loss = net.fit(X, y, batch_size=5, shuffle=False, sample_weight=weights).loss
        assert loss == (nets or [net])[0].history.loss
        for weight in (3e-308, 1e-310):
            assert net.forward(X[15:], y[15:], np.full(15, weight)) == 0
            net.backward()
            assert not net.gradient_vector.any()
        nets.append(net)
    assert all(common.same_bits(net.parameter_vector, nets[0].parameter_vector) for net in nets)
    assert net.evaluate(X, y, np.full(30, 1e-289))["loss"] == pytest.approx(
        net.evaluate(X, y)["loss"]
    )


def test_a_batch_of_no_weight_changes_nothing(rng):
    X, y = make_data(rng)
    weights = np.repeat([1.0, 0.0], [10, 20])
    options = {"batch_size": 10, "shuffle": False, "epochs": 3, "optimizer": fastnn.SGD(0.1)}
    net, other = make(), make()
    losses = net.fit(X, y, sample_weight=weights, **options).loss
    assert losses == pytest.approx(other.fit(X[:10], y[:10], **options).loss, rel=1e-14)
    np.testing.assert_allclose(net.parameter_vector, other.parameter_vector, rtol=1e-12)


def test_weights_of_classes(rng):
    X, numbers = make_data(rng)
    y = CITIES[numbers]
    by_class = {"Madrid": 2.5, "Milan": 0.5}
    by_row = np.array([by_class.get(label, 1.0) for label in y])
    mine = fit_once(make(), X, y, class_weight=by_class)
    assert common.same_bits(mine[0], fit_once(make(), X, y, sample_weight=by_row)[0])
    one_hot = np.eye(3)[np.searchsorted(np.unique(CITIES), y)]
    net = make(classes=np.unique(CITIES))
    assert common.same_bits(mine[0], fit_once(net, X, one_hot, class_weight=by_class)[0])
    own = rng.random(30)
    both = fit_once(make(), X, y, class_weight=by_class, sample_weight=own)
    assert common.same_bits(both[0], fit_once(make(), X, y, sample_weight=own * by_row)[0])


def test_balanced_classes_count_alike(rng):
    X, y = rng.standard_normal((10, 5)), np.repeat([0, 2], [7, 3])  # 1 is absent
    weights = np.where(y == 0, 10 / (2 * 7), 10 / (2 * 3))
    mine = fit_once(make(), X, y, class_weight="balanced")
    assert common.same_bits(mine[0], fit_once(make(), X, y, sample_weight=weights)[0])
    signs = np.where(y == 0, -1, 1)
    net, other = make("hinge", 1), make("hinge", 1)
    mine = fit_once(net, X, signs, class_weight="balanced")
    check_same(mine, fit_once(other, X, signs, sample_weight=weights))


def test_weights_go_with_their_rows(rng):
    """Held out, shuffled, chosen for one of many networks."""
    X, y = make_data(rng)
    weights = rng.random(30)
    held_out = {"validation": 0.2, "epochs": 2, "batch_size": 7}
    net, other = make(), make()
    net.fit(X, y, sample_weight=weights, **held_out)
    order = fastnn._data.split_rows(0.2, 30)
    (train, held), y_held = order, y[order[1]]
    other.fit(
        X[train],
        y[train],
        sample_weight=weights[train],
        **{**held_out, "validation": (X[held], y_held)},
    )
    assert common.same_bits(net.parameter_vector, other.parameter_vector)
    assert net.history.val_loss == other.history.val_loss
    nets, rows = [make(), make(seed=1)], [np.arange(0, 30, 2), np.arange(30) > 9]
    fastnn.fit_many(nets, X, y, rows=rows, sample_weight=weights, epochs=2)
    for i, net in enumerate(nets):
        other = make(seed=i)
        other.fit(X[rows[i]], y[rows[i]], sample_weight=weights[rows[i]], epochs=2)
        assert common.same_bits(net.parameter_vector, other.parameter_vector)


def test_same_bits_for_any_number_of_threads(dtype, rng):
    X, y = make_data(rng)
    vectors, losses = [], []
    for n_threads in common.THREADS:
        net = make(dtype=dtype, n_threads=n_threads)
        options = {"sample_weight": np.arange(30) % 5, "class_weight": "balanced"}
        losses.append(net.fit(X, y, epochs=3, batch_size=8, **options).loss)
        vectors.append(net.parameter_vector)
    assert all(common.same_bits(vectors[0], vector) for vector in vectors)
    assert all(loss == losses[0] for loss in losses)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_explicit_loop_weighs_rows_as_fit_does(reduction, dtype, rng):
    """To the bit, with a batch of no weight among the others."""
    X, y = make_data(rng)
    weights = np.where(np.arange(30) < 8, 0, rng.random(30))
    loss = fastnn.SoftmaxCrossEntropy(reduction=reduction)
    net, by_hand = make(loss, dtype=dtype), make(loss, dtype=dtype)
    optimizer, total, seen = fastnn.SGD(0.1), 0.0, []
    history = net.fit(X, y, epochs=1, batch_size=8, optimizer=fastnn.SGD(0.1), shuffle=False,
                      sample_weight=weights)  # fmt: skip
    for xb, yb, wb in fastnn.batches(X, y, 8, shuffle=False, sample_weight=weights):
        found = by_hand.forward(xb, yb, sample_weight=wb)
        by_hand.backward()
        optimizer.step(by_hand)
        total += found * (wb.sum() if reduction == "mean" else 1)
        seen.append(found)
    assert common.same_bits(by_hand.parameter_vector, net.parameter_vector)
    assert seen[0] == 0
    whole = total / weights.sum() if reduction == "mean" else total
    assert history.loss[0] == pytest.approx(whole, rel=1e-6)


def test_portions_are_weighed_as_in_fit(rng):
    X, y = make_data(rng)
    options = {"sample_weight": rng.random(30), "class_weight": "balanced", "batch_size": 8}
    net, other = make(), make()
    net.partial_fit(X, y, **options)
    other.fit(X, y, epochs=1, **options)
    assert common.same_bits(net.parameter_vector, other.parameter_vector)
    assert net.history.loss == other.history.loss


ONES = np.ones(30)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sample_weight": ONES[:29]}, ValueError, r"shape \(29,\); expected \(30,\)"),
        ({"sample_weight": ONES[:, None]}, ValueError, r"shape \(30, 1\)"),
        ({"sample_weight": np.where(np.arange(30) == 4, -0.5, 1)}, ValueError, "-0.5 at row 4"),
        ({"sample_weight": np.where(np.arange(30) == 5, np.nan, 1)}, ValueError, "NaN at row 5"),
        ({"sample_weight": np.where(np.arange(30) == 6, np.inf, 1)}, ValueError, "inf at row 6"),
        ({"sample_weight": 0 * ONES}, ValueError, "all weights are 0"),
        ({"sample_weight": 1e308 * ONES}, ValueError, "add up to infinity"),
        ({"sample_weight": 1e300 * ONES}, ValueError, r"add up to .*, more than 1e\+290; scale"),
        ({"sample_weight": 1e-308 * ONES}, ValueError, "all weights are 0, or less than 1e-290"),
        ({"sample_weight": ["a"] * 30}, TypeError, "sample_weight has dtype"),
        ({"class_weight": {0: 0, 1: 0, 2: 0}}, ValueError, "all weights are 0"),
        ({"class_weight": {1: 2, 7: 1}}, ValueError, r"label 7; the classes are \[0, 1, 2\]"),
        ({"class_weight": {1: -1}}, ValueError, r"class_weight\[1\] must be at least 0"),
        ({"class_weight": {1: np.nan}}, ValueError, r"class_weight\[1\]"),
        ({"class_weight": {1: "2"}}, TypeError, r"class_weight\[1\]"),
        ({"class_weight": "even"}, TypeError, "'balanced'; got 'even'"),
    ],
)
def test_what_is_refused_changes_nothing(options, error, message, rng):
    X, y = make_data(rng)
    net = make(classes=[0, 1, 2])
    before = net.parameter_vector.copy()
    with pytest.raises(error, match=message):
        net.fit(X, y, **options)
    with pytest.raises(error, match=message):
        net.partial_fit(X, y, **options)
    if "sample_weight" in options:
        with pytest.raises(error, match=message):
            net.evaluate(X, y, **options)
    if "sample_weight" in options and "all weights" not in message:
        with pytest.raises(error, match=message):
            net.forward(X, y, **options)
    assert common.same_bits(net.parameter_vector, before)
    assert net.history is None


def test_weights_without_targets_are_refused(rng):
    with pytest.raises(ValueError, match="sample_weight was given without y"):
        make().forward(rng.standard_normal((30, 5)), sample_weight=ONES)


@pytest.mark.parametrize("case", ["values", "soft", "multilabel"])
def test_weights_of_classes_need_labels(case, rng):
    X = rng.standard_normal((30, 5))
    net, y = {
        "values": (make(VALUES, 1), X[:, 0]),
        "soft": (make(), rng.dirichlet(ONES[:3], 30)),
        "multilabel": (make(BINARY, 3), X[:, :3] > 0),
    }[case]
    with pytest.raises(ValueError, match="class_weight needs class labels"):
        net.fit(X, y, class_weight="balanced")
    net.fit(X, y, sample_weight=rng.random(30), epochs=1)


def test_weights_are_a_copy():
    """What a callback does to the caller's array does not reach a fit that is under way."""
    mine = np.ones(3)
    assert not np.shares_memory(as_weights(mine, 3), mine)
