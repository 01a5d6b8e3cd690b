"""Zeros in the data are left out of sums, and nothing but the time shows it.

The explicit loop and layers by themselves never leave them out: they are what fits and predictions
are held to. That fits and predictions do leave them out is seen by `bench.instructions`.
"""

import common
import numpy as np
import pytest
from common import THREADS

import fastnn
from fastnn import _predictors
from fastnn._core import binding, plan, probes

# widths, rows of data, batch size
NETS = {
    "columns owned": ((300, 256, 10), 150, 64),
    "inputs owned": ((600, 300, 300, 10), 90, 40),
    "rows": ((70, 40, 5), 130, 32),
    "many rows a step": ((70, 40, 5), 1300, 600),
    "more rows than there is scratch for": ((20, 9, 3), 8300, 8250),
    "one row a step": ((130, 40, 5), 20, 1),
    "one layer": ((784, 10), 77, 20),
}


def make_sparse(n_rows, n_features, seed=1):
    """Most numbers are zeros of either sign, half of the columns nothing else, as images are."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, n_features))
    X[rng.random(X.shape) < 0.9] = 0
    X[rng.random(X.shape) < 0.2] *= -1
    X[:, rng.permutation(n_features)[: n_features // 2]] = 0
    return X


def make_network(name, dtype, n_threads):
    widths = NETS[name][0]
    layers = [fastnn.Dense(width, "relu") for width in widths[1:-1]]
    layers.append(fastnn.Dense(widths[-1]))
    return fastnn.Network(layers, n_features=widths[0], dtype=dtype, seed=3, n_threads=n_threads)


def chain(net, X):
    """The output of a network, layer by layer."""
    for layer in net.layers:
        X = layer.forward(X)
    return X


def sees_zeros(X):
    net = fastnn.Network([fastnn.Dense(3)], n_features=X.shape[1], dtype=str(X.dtype))
    pool = _predictors.PredictorPool(net._require_built(), net.dtype)
    return probes.sees_zeros(pool.make(net._shapes["scores"], 1, packed=True)[0], X)


@pytest.mark.parametrize("n_rows", [1, 5, 30, 1000])
def test_data_is_looked_at(isa, dtype, n_rows):
    X = make_sparse(n_rows, 90).astype(dtype)
    assert sees_zeros(X)
    assert sees_zeros(np.zeros_like(X))
    assert not sees_zeros(np.ones_like(X))
    X[:, : 90 * 4 // 5] = 1  # a fifth of each row is not worth it
    assert not sees_zeros(X)


def test_all_rows_are_sampled(dtype):
    X = np.zeros((1000, 40), dtype)
    X[200:] = 1
    assert not sees_zeros(X)
    assert not sees_zeros(X[::-1].copy())


def train_by_hand(net, X, y, batch_size, optimizer):
    """Two epochs of the explicit loop."""
    for epoch in range(2):
        for xb, yb in fastnn.batches(X, y, batch_size, seed=3, epoch=epoch):
            net.forward(xb, yb)
            net.backward()
            optimizer.step(net)
    return net.parameter_vector


@pytest.mark.parametrize("optimizer", ["SGD(0.1)", "Adam(0.01)", "SGD(0.1, clip_norm=0.5)"])
@pytest.mark.parametrize("name", NETS)
def test_fit_gives_the_bits_of_the_explicit_loop(isa, dtype, name, optimizer):
    """Whether the update is fused with dW, follows each block of it, or waits for all of it."""
    widths, n_rows, batch_size = NETS[name]
    X = make_sparse(n_rows, widths[0]).astype(dtype)
    y = np.random.default_rng(2).integers(widths[-1], size=n_rows)
    assert sees_zeros(X)
    expected = train_by_hand(
        make_network(name, dtype, 1), X, y, batch_size, eval(f"fastnn.{optimizer}")
    )
    for n_threads in THREADS:
        fitted = make_network(name, dtype, n_threads)
        options = {"batch_size": batch_size, "optimizer": eval(f"fastnn.{optimizer}")}
        fitted.fit(X, y, epochs=2, **options)
        assert common.same_bits(fitted.parameter_vector, expected), n_threads


@pytest.mark.parametrize("n_threads", THREADS)
def test_denormal_weights_are_flushed_all_the_same(dtype, n_threads):
    """Also those of inputs that are always 0, which other frameworks may leave denormal."""
    X = make_sparse(150, 300).astype(dtype)
    X[:, 100:200] = 0  # whole tiles of dW without any terms
    y = np.random.default_rng(2).integers(10, size=150)
    nets = [make_network("columns owned", dtype, n) for n in (1, n_threads)]
    for net in nets:
        net.layers[0].weight[::3] = np.finfo(dtype).smallest_subnormal * 100
    expected = train_by_hand(nets[0], X, y, 64, fastnn.SGD(0.1))
    nets[1].fit(X, y, epochs=2, batch_size=64, optimizer=fastnn.SGD(0.1))
    assert common.same_bits(nets[1].parameter_vector, expected)


@pytest.mark.parametrize("flushed", [False, True])
def test_denormal_weights_are_seen(dtype, flushed):
    """Also in a thread that takes denormals for 0, as some libraries leave it."""
    net = make_network("rows", dtype, 1)
    pool = _predictors.PredictorPool(net._require_built(), net.dtype)
    made = pool.make(net._shapes["scores"], 1, packed=False)[0]
    smallest, weight = np.finfo(dtype), net.layers[0].weight
    for value, seen in [
        (0.0, False), (-0.0, False), (smallest.tiny, False), (-smallest.tiny, False),
        (np.inf, False), (smallest.smallest_subnormal, True), (-smallest.tiny / 2, True),
    ]:  # fmt: skip
        weight[-1, -1] = value
        assert probes.sees_denormals(made, flushed) == seen, value


@pytest.mark.parametrize("n_in", [90, 130, 300])
def test_sums_that_underflow_have_the_sign_of_those_without_zeros(isa, n_in):
    """What is flushed to -0 in one part of a sum is +0 in company of other rows."""
    X = make_sparse(24, n_in).astype("float32") * np.float32(1e-37)
    for seed in range(20):
        layer = fastnn.Dense(16, use_bias=False)
        net = fastnn.Network([layer], "mse", n_features=n_in, seed=seed)
        expected = layer.forward(X)
        rows = [row[None] for row in X]
        frozen = net.freeze()
        for found in (
            net.forward(X),
            frozen.forward(X),
            np.concatenate([net.forward(row) for row in rows]),
            np.concatenate([frozen.forward(row) for row in rows]),
        ):
            assert common.same_bits(found, expected), seed


@pytest.mark.parametrize("n_threads", THREADS)
def test_gradients_that_underflow_have_one_sign_in_all_tiles(isa, n_threads):
    """The third part of a long batch has no terms in some tiles, and its first two cancel."""
    n_rows = 1200
    X, y = np.zeros((n_rows, 12), "float32"), np.zeros((n_rows, 1), "float32")
    X[[0, 600], 0] = X[1100, 5] = 1
    y[0], y[600] = -1.5e-38 * n_rows, 1.55e-38 * n_rows
    layer = fastnn.Dense(1, use_bias=False)
    loss = fastnn.losses.MSE(sum_outputs=True)
    net = fastnn.Network([layer], loss, n_features=12, n_threads=n_threads)
    layer.weight[...] = 0
    layer.weight[0] = -0.0
    options = {"epochs": 1, "batch_size": n_rows, "optimizer": fastnn.RProp(1e-3)}
    net.fit(X, y, shuffle=False, **options)
    assert not np.signbit(layer.weight[0, 0])


@pytest.mark.parametrize("optimizer", ["SGD(1e-38)", "RProp(1e-3)", "SGD(1e-38, clip_value=1.0)"])
@pytest.mark.parametrize("start", [1e-38, 2e-38, 1e-3])
@pytest.mark.parametrize("n_threads", THREADS)
def test_a_delta_that_is_infinite_is_found_beside_zeros(n_threads, start, optimizer):
    """0 times it is NaN, whichever rows and columns are looked at together."""
    X = np.zeros((2, 12), "float32")
    X[0, :6] = 1  # the other row is nothing but zeros
    y = np.array([[1e20], [-1e30]], "float32")
    layers = [fastnn.Dense(8, use_bias=False), fastnn.Dense(1, use_bias=False)]
    net = fastnn.Network(layers, "mse", n_features=12, n_threads=n_threads)
    layers[0].weight[...] = start
    layers[1].weight[...] = 1e10
    options = {"batch_size": 1, "shuffle": False, "optimizer": eval(f"fastnn.{optimizer}")}
    with pytest.raises(fastnn.DivergenceError, match="step 1") as caught:
        net.fit(X, y, epochs=1, **options)
    assert "the loss" not in str(caught.value)


@pytest.mark.parametrize("optimizer", ["SGD(1e-38)", "RProp(1e-3)", "SGD(1e-38, clip_value=1.0)"])
@pytest.mark.parametrize("column", [0, 100, 255])
@pytest.mark.parametrize("n_threads", THREADS)
def test_a_delta_that_is_infinite_is_found_in_whichever_column(n_threads, column, optimizer):
    """By the thread that owns the column, to which it is not the first."""
    X = np.zeros((2, 300), "float32")
    X[0, :6] = 1
    y = np.array([[1e20], [-1e30]], "float32")
    layers = [fastnn.Dense(256, use_bias=False), fastnn.Dense(1, use_bias=False)]
    net = fastnn.Network(layers, "mse", n_features=300, n_threads=n_threads)
    layers[0].weight[...] = 1e-3
    layers[1].weight[...] = 0
    layers[1].weight[column] = 1e10
    options = {"batch_size": 1, "shuffle": False, "optimizer": eval(f"fastnn.{optimizer}")}
    with pytest.raises(fastnn.DivergenceError, match="step 1"):
        net.fit(X, y, epochs=1, **options)


def test_data_is_looked_at_anew_in_each_fit(dtype):
    """By the same network in the same memory: zeros, none, and weights that became infinite."""
    X = make_sparse(150, 300).astype(dtype)
    dense = np.random.default_rng(5).standard_normal(X.shape).astype(dtype)
    y = np.random.default_rng(2).integers(10, size=150)
    net, twin = (make_network("columns owned", dtype, 1) for _ in range(2))
    for rows in (X, dense, X):
        twin.reset()
        expected = train_by_hand(twin, rows, y, 64, fastnn.SGD(0.1))
        net.reset()
        net.fit(rows, y, epochs=2, batch_size=64, optimizer=fastnn.SGD(0.1))
        assert common.same_bits(net.parameter_vector, expected)
    X[:, 17] = 0
    net.layers[0].weight[17] = np.inf
    with pytest.raises(fastnn.DivergenceError, match="step 0"):
        net.fit(X, y, optimizer=fastnn.SGD(0.1))


@pytest.mark.parametrize("name", NETS)
def test_predictions_have_the_bits_of_layer_after_layer(isa, dtype, name):
    """Of a few rows and of many, by `predict` and `freeze`, one row by itself included."""
    net = make_network(name, dtype, 1)
    X = make_sparse(400, net.n_features).astype(dtype)
    expected = chain(net, X)
    for n_threads in [*THREADS, None]:
        net.n_threads = n_threads
        frozen = net.freeze()
        for n_rows in [1, 2, 7, 120, 121, 256, 400]:
            for call in (net, frozen, frozen, frozen):  # a frozen network's helpers wake up
                assert common.same_bits(call.forward(X[:n_rows]), expected[:n_rows]), n_rows
                chosen = call.predict(X[:n_rows])
                np.testing.assert_array_equal(chosen, expected[:n_rows].argmax(axis=1))
        found = np.concatenate([frozen.forward(row[None]) for row in X])
        assert common.same_bits(found, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_show_in_every_row(isa, dtype, value):
    """0 times such a weight is NaN, and stays in the sums."""
    net = make_network("columns owned", dtype, 1)
    X = make_sparse(300, net.n_features).astype(dtype)
    X[:, 17] = 0
    net.layers[0].weight[17] = value
    for rows in (X, X[:1], X[:9]):
        assert np.isnan(net.forward(rows)).all()
        assert np.isnan(net.predict_proba(rows)).all()
        assert np.isnan(net.freeze().forward(rows)).all()
    with pytest.raises(fastnn.DivergenceError, match="step 0"):
        net.fit(X, np.zeros(300, dtype=int), optimizer=fastnn.SGD(0.1))


@pytest.mark.parametrize("column", [0, -1])
@pytest.mark.parametrize("width", [5, 16, 64, 120, 130])
def test_one_weight_that_is_not_finite_shows_in_every_row(isa, dtype, width, column):
    """In the first or last column, of one panel or of several, of whole vectors or not."""
    layers = [fastnn.Dense(width, "relu"), fastnn.Dense(3)]
    net = fastnn.Network(layers, n_features=300, dtype=dtype)
    X = make_sparse(30, 300).astype(dtype)
    X[:, 17] = 0
    layers[0].weight[17, column] = np.inf
    for rows in (X, X[:1]):
        for call in (net, net.freeze()):
            assert np.isnan(call.forward(rows)).all()


def test_scratch_holds_the_terms_of_a_block():
    n_words = binding.TERM_WORDS
    assert n_words >= -(-plan.ROW_BLOCK // 6) * -(-plan.CHUNK // 64)
    assert n_words >= -(-plan.UPDATE_BLOCK // 6) * -(-plan.BATCH_CHUNK // 64)
