"""Layers without a weight matrix: what they refuse, keep, predict and print."""

import common
import numpy as np
import pytest
import reference
import reference_layers as oracle

import fastnn
from fastnn import Activation, BatchNorm, Dense, Dropout, LayerNorm

X = np.random.default_rng(5).standard_normal((90, 12)) * 3 + 1
LABELS = (X[:, 0] > 1).astype(int) + (X[:, 1] > 2)


def make_network(dtype="float64", **options):
    layers = [
        Dropout(0.1), BatchNorm(), Dense(20, use_bias=False), BatchNorm(0.7), Activation("relu"),
        Dropout(0.5), Dense(9, "tanh"), LayerNorm(), Dense(3),
    ]  # fmt: skip
    return fastnn.Network(layers, n_features=12, dtype=dtype, seed=1, **options)


def test_gradients_agree_with_differences():
    """Of all parameters, gains and shifts included, with the masks of one step held."""
    net = make_network()
    y = LABELS[:30]
    net.parameter_vector[...] += np.random.default_rng(2).normal(0, 0.1, len(net.parameter_vector))
    net.forward(X[:30], y)
    net.backward()
    found = net.gradient_vector.copy()

    def loss_at(i, step):
        old = net.parameter_vector[i]
        net.parameter_vector[i] = old + step
        net._step = 0
        value = net.forward(X[:30], y)
        net.parameter_vector[i] = old
        return value

    for i in range(0, len(found), 3):
        slope = (loss_at(i, 1e-6) - loss_at(i, -1e-6)) / 2e-6
        assert found[i] == pytest.approx(slope, rel=1e-5, abs=1e-8), i


def test_masks_are_what_the_rate_says(isa, dtype):
    """Of `Dropout(rate)` in front of a layer that adds up: shares, independence, scale."""
    rate, n = 0.3, 1000
    layers = [Dropout(rate), Dense(n, use_bias=False)]
    net = fastnn.Network(layers, "mse", n_features=n, dtype=dtype, seed=9)
    layers[1].weight[...] = np.eye(n)
    ones, masks = np.ones((40, n)), []
    for step in range(3):
        net.forward(ones, np.zeros((40, n)))
        net.backward()
        exact = oracle.draw_mask(9, step, 0, 40, n, rate)
        # the gradient of the weight's diagonal is 2 / n times the mean of mask squared
        np.testing.assert_allclose(
            layers[1].weight_grad.diagonal(), (exact**2).mean(axis=0) * 2 / n, rtol=1e-5
        )
        masks.append(exact)
    kept = np.array(masks) > 0
    room = 4 * np.sqrt(rate * (1 - rate) / kept.size)  # four standard errors
    assert abs(kept.mean() - (1 - rate)) < room
    assert np.allclose(np.array(masks)[kept], 1 / (1 - rate))
    for one, other in [
        (kept[0], kept[1]),
        (kept[:, :20], kept[:, 20:]),
        (kept[..., :500], kept[..., 500:]),
    ]:
        assert abs((one == other).mean() - (rate**2 + (1 - rate) ** 2)) < 5 * room


def test_predictions_take_running_statistics_and_no_masks(isa, dtype):
    net = make_network(dtype)
    net.fit(X, LABELS, epochs=3, batch_size=30, optimizer=fastnn.SGD(0.1))
    a = X.astype(dtype)
    for layer in net.layers:
        if isinstance(layer, BatchNorm):
            scale = np.sqrt(layer.running_variance + layer.epsilon)
            a = (a - layer.running_mean) / scale * layer.gain + layer.shift
        elif isinstance(layer, LayerNorm):
            scale = np.sqrt(a.var(axis=1, keepdims=True) + layer.epsilon)
            a = (a - a.mean(axis=1, keepdims=True)) / scale * layer.gain + layer.shift
        elif isinstance(layer, Dense):
            a = a @ layer.weight + (0 if layer.bias is None else layer.bias)
        a = reference.activate(layer.activation.name, a)
    found = net.forward(X)
    np.testing.assert_allclose(found, a, atol=2e-5 if dtype == "float32" else 1e-12)
    rows = [net.forward(X[i : i + 1]) for i in range(5)]
    assert common.same_bits(np.concatenate(rows), found[:5])
    assert common.same_bits(net.freeze().forward(X), found)
    many = np.tile(X, (6, 1))
    assert common.same_bits(net.forward(many)[-90:], found)


def test_running_statistics(dtype):
    """momentum of the old, and of the batch the mean and the unbiased variance."""
    layers = [BatchNorm(0.8), Dense(3)]
    net = fastnn.Network(layers, n_features=12, dtype=dtype)
    net.forward(X[:40], LABELS[:40])
    x = X[:40].astype(dtype).astype(float)
    room = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(layers[0].running_mean, 0.2 * x.mean(axis=0), rtol=room, atol=room)
    variance = 0.8 + 0.2 * x.var(axis=0, ddof=1)
    np.testing.assert_allclose(layers[0].running_variance, variance, rtol=room)
    net.reset()
    assert not layers[0].running_mean.any()
    assert (layers[0].running_variance == 1).all()
    assert (layers[0].gain == 1).all()


def test_a_large_mean_cancels_nothing():
    """Two passes: the variance of numbers near 1000 in float32."""
    x = (1000 + np.arange(8) / 64).astype("float32")[:, None] * np.ones((1, 5), "float32")
    layer = BatchNorm(0.0)
    net = fastnn.Network([layer, Dense(2)], n_features=5)
    net.forward(x, [0, 1] * 4)
    np.testing.assert_allclose(
        layer.running_variance, x.astype(float).var(axis=0, ddof=1)[0], rtol=1e-6
    )


def test_means_of_many_rows_lose_nothing(isa, rng):
    """In float32: what each addition rounds away is kept apart."""
    x = (1000 + rng.random((5000, 3))).astype("float32")
    layer = BatchNorm(0.0)
    net = fastnn.Network([layer, Dense(2)], n_features=3)
    net.forward(x, np.arange(5000) % 2)
    np.testing.assert_allclose(layer.running_mean, x.mean(axis=0, dtype=float), rtol=1e-7)
    variance = x.astype(float).var(axis=0, ddof=1)
    np.testing.assert_allclose(layer.running_variance, variance, rtol=1e-6)


def test_round_trip(dtype, tmp_path):
    net = make_network(dtype)
    net.fit(X, LABELS, epochs=2, batch_size=30)
    net.save(tmp_path / "net.safetensors")
    loaded = fastnn.load(tmp_path / "net.safetensors")
    assert repr(loaded) == repr(net)
    assert common.same_bits(loaded.forward(X), net.forward(X))
    for each in (net, loaded):  # masks and statistics go on from where they were
        each.fit(X, LABELS, epochs=2, batch_size=30)
    assert common.same_bits(loaded.parameter_vector, net.parameter_vector)
    assert common.same_bits(loaded.layers[3].running_mean, net.layers[3].running_mean)


def test_a_fit_in_two_parts_is_one_fit():
    whole, parts = make_network(), make_network()
    whole.fit(X, LABELS, epochs=5, batch_size=32)
    parts.fit(X, LABELS, epochs=2, batch_size=32)
    parts.fit(X, LABELS, epochs=3, batch_size=32)
    assert common.same_bits(whole.parameter_vector, parts.parameter_vector)
    assert common.same_bits(whole.forward(X), parts.forward(X))


def test_summary_and_explain_name_the_layers():
    net = make_network(n_threads=common.THREADS[-1])
    text = net.summary()
    for name in ["Dropout(0.1)", "BatchNorm(0.7, 1e-05)", "LayerNorm(1e-05)", "relu"]:
        assert name in text
    assert f"{12 * 2 + 12 * 20 + 20 * 2 + 20 * 9 + 9 + 9 * 2 + 9 * 3 + 3:,} parameters" in text
    text = net.explain(30)
    for name in ["12 dropout 0.1", "20 batch_norm", "9 layer_norm", "20 activation relu",
                 "transform", "transform_backward", "gain"]:  # fmt: skip
        assert name in text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dropout(1.0), "rate must be at least 0 and less than 1"),
        (lambda: Dropout(-0.1), "rate must be at least 0"),
        (lambda: BatchNorm(momentum=1), "momentum must be at least 0 and less than 1"),
        (lambda: BatchNorm(epsilon=0), "epsilon must be greater than 0"),
        (lambda: LayerNorm(0), "epsilon must be greater than 0"),
        (lambda: Activation("rely"), "activation must be one of 'relu'"),
        (lambda: fastnn.Network([Dense(3), Dropout(0.5)]), "last layer gives the output"),
        (lambda: fastnn.Network([BatchNorm()]), "at least one Dense"),
    ],
)
def test_settings_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_layer_belongs_to_one_network():
    layer = Dropout(0.5)
    fastnn.Network([layer, Dense(3)], n_features=2)
    with pytest.raises(ValueError, match=r"layers\[0\] is already part of a network"):
        fastnn.Network([layer, Dense(3)])
    with pytest.raises(AttributeError, match="BatchNorm layer has no gain yet"):
        _ = BatchNorm().gain


def test_a_batch_of_one_row_has_no_variance():
    net = make_network()
    before = net.parameter_vector.copy()
    with pytest.raises(ValueError, match="at least 2 rows in a training batch, but this one has 1"):
        net.forward(X[:1], LABELS[:1])
    with pytest.raises(ValueError, match="last batch of an epoch has 1: 90 rows in batches of 89"):
        net.fit(X, LABELS, batch_size=89)
    with pytest.raises(ValueError, match="batch_size is 1"):
        net.fit(X, LABELS, batch_size=1)
    assert common.same_bits(net.parameter_vector, before)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_C12_dropout_leaves_out_other_units_each_iteration_and_none_at_prediction(seed):
    """Over-fitting on few rows with wrong labels among them shown, and cured by dropout."""
    rng = np.random.default_rng(seed)

    def make_rows(n, noise):
        labels = rng.integers(0, 2, n)
        rows = rng.standard_normal((n, 40)) + (2 * labels[:, None] - 1) * 0.35
        return rows, np.where(rng.random(n) < noise, 1 - labels, labels)

    def train(rate):
        layers = [Dropout(rate / 2), Dense(100, "relu"), Dropout(rate), Dense(2)]
        net = fastnn.Network(layers, n_features=40, seed=seed)
        net.fit(*few, epochs=60, batch_size=20, optimizer=fastnn.SGD(0.1))
        return net, net.evaluate(*few)["loss"], net.evaluate(*many)["loss"]

    few, many = make_rows(100, 0.15), make_rows(2000, 0)
    _, known, unseen = train(0.0)
    net, known_dropped, unseen_dropped = train(0.5)
    assert unseen > 10 * known  # learnt by heart
    assert unseen_dropped < 0.8 * unseen
    assert unseen_dropped - known_dropped < 0.8 * (unseen - known)
    assert len({net.forward(*few) for _ in range(3)}) == 3  # other units each iteration
    assert common.same_bits(net.predict_proba(many[0]), net.predict_proba(many[0]))
