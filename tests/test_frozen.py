"""freeze: the bits of the network, whatever the array, and nothing shared with it."""

import threading

import numpy as np
import pytest
from common import THREADS, same_bits

import fastnn


def make_net(loss="softmax_cross_entropy", n_out=3, dtype="float32", **options):
    layers = [fastnn.Dense(17, "tanh"), fastnn.Dense(n_out)]
    return fastnn.Network(layers, loss, n_features=300, dtype=dtype, seed=5, **options)


@pytest.mark.parametrize("n_rows", [1, 2, 7, 120, 121, 1000])
def test_frozen_network_has_the_bits_of_the_network(isa, dtype, rng, n_rows):
    net = make_net(dtype=dtype, classes=["a", "b", "c"])
    X = rng.standard_normal((n_rows, 300)).astype(dtype)
    frozen = net.freeze()
    assert same_bits(frozen.forward(X), net.forward(X))
    assert same_bits(frozen.predict_proba(X), net.predict_proba(X))
    assert (frozen.predict(X) == net.predict(X)).all()


def test_row_by_row_and_many_rows_agree(rng):
    frozen = make_net(n_threads=THREADS[-1]).freeze()
    X = rng.standard_normal((5000, 300)).astype("float32")
    whole = frozen.forward(X)
    assert same_bits(np.concatenate([frozen.forward(X[i : i + 1]) for i in range(50)]), whole[:50])


def test_values_of_one_output_are_a_vector(rng):
    net = make_net("mse", 1)
    X = rng.standard_normal((4, 300))
    assert net.freeze().predict(X).shape == (4,)
    assert same_bits(net.freeze().predict(X), net.predict(X))
    with pytest.raises(ValueError, match="predict_proba needs a classifier"):
        net.freeze().predict_proba(X)


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X.tolist(),
        lambda X: X.astype("float64"),
        lambda X: X.astype(">f4"),
        np.asfortranarray,
        lambda X: np.repeat(X, 2, axis=0)[::2],
        lambda X: X[::-1].copy()[::-1],
        lambda X: np.frombuffer(b"x" + X.tobytes(), "u1")[1:].view("f4").reshape(X.shape),
    ],
    ids=["list", "float64", "big endian", "Fortran", "strided", "reversed", "unaligned"],
)
def test_any_array_gives_the_bits_of_a_contiguous_one(rng, change):
    net = make_net()
    X = rng.standard_normal((6, 300)).astype("float32")
    assert same_bits(net.freeze().forward(change(X)), net.forward(X))


def test_out_is_filled_and_returned(rng):
    net = make_net()
    X = rng.standard_normal((3, 300)).astype("float32")
    out = np.full((3, 3), np.nan, "float32")
    assert net.freeze().forward(X, out) is out
    assert same_bits(out, net.forward(X))


@pytest.mark.parametrize(
    "out",
    [np.empty((3, 2), "f4"), np.empty((3, 3)), np.empty((3, 3), "f4").T, [[0.0] * 3] * 3],
    ids=["shape", "dtype", "order", "list"],
)
def test_unusable_out_is_refused(out):
    X = np.zeros((3, 300), "float32")
    with pytest.raises(ValueError, match=r"out is .*expected .* float32 array of shape \(3, 3\)"):
        make_net().freeze().forward(X, out)


def test_F01_to_F04_errors_are_those_of_predict(rng):
    frozen = make_net().freeze()
    X = np.zeros((2, 300), "float32")
    X[1, 5] = np.nan
    with pytest.raises(ValueError, match="X contains NaN at row 1, column 5"):
        frozen.predict(X)
    with pytest.raises(ValueError, match="X has 3 features"):
        frozen.predict(np.zeros((2, 3), "float32"))
    with pytest.raises(ValueError, match="0"):
        frozen.predict(np.zeros((0, 300), "float32"))
    with pytest.raises(TypeError, match="datetime64"):
        frozen.predict(np.zeros((2, 300), "M8[s]"))


def test_training_goes_on_without_it(rng):
    net = make_net()
    X, y = rng.standard_normal((64, 300)), np.arange(64) % 3
    frozen, before = net.freeze(), net.forward(X)
    net.fit(X, y, epochs=1)
    assert same_bits(frozen.forward(X), before)
    assert not same_bits(net.forward(X), before)


@pytest.mark.parametrize("kind", ["network", "frozen"])
def test_F13_threads_share_one_network(kind, rng):
    net = make_net(n_threads=THREADS[-1])
    frozen = net.freeze() if kind == "frozen" else net
    blocks = [rng.standard_normal((n, 300)).astype("float32") for n in (1, 3, 800, 3000)] * 2
    expected = [frozen.forward(X) for X in blocks]
    found = [None] * len(blocks)

    def work(i):
        for _ in range(20):
            found[i] = frozen.forward(blocks[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(blocks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same_bits(a, b) for a, b in zip(found, expected, strict=True))


def test_probabilities_of_two_classes_check_out(rng):
    net = fastnn.Network([fastnn.Dense(1)], "binary_cross_entropy", n_features=3)
    frozen = net.freeze()
    X = rng.standard_normal((4, 3)).astype("float32")
    out = np.empty((4, 2), "float32")
    assert frozen.predict_proba(X, out) is out
    for wrong in (np.empty((4, 2), int), np.empty((3, 4, 2), "float32")):
        with pytest.raises(
            ValueError, match=r"out is .*, C-contiguous float32 array of shape \(4, 2\)"
        ):
            frozen.predict_proba(X, wrong)
