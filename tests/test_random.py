"""Random numbers: Philox against its known answers, and what is made of it against the oracle."""

import common
import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

import fastnn
from fastnn._core.kernels import fill_uniform, shuffle_indices

# Known answers of Random123 (kat_vectors, philox4x32 with 10 rounds): counter, key, result. The
# compiled function is held against the same numbers by tests/c/test_core.c.
KNOWN_ANSWERS = [
    ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]
SEEDS = [0, 1, 12345, 2**32 - 1, 2**32, 2**64 - 1]
seeds = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_of_the_oracle(counter, key, answer):
    assert " ".join(f"{word:08x}" for word in reference.philox(key, counter).tolist()) == answer


@pytest.mark.parametrize("seed", SEEDS)
def test_fill_uniform(seed):
    for stream, n in [(0, 1), (0, 2), (1, 5), (7, 1000), (2**32 - 1, 33)]:
        expected = reference.uniform(seed, stream, -0.5, 2.0, n)
        assert common.same_bits(fill_uniform(seed, stream, -0.5, 2.0, n), expected)
    assert fill_uniform(seed, 0, 0, 1, 0).shape == (0,)


def test_uniform_numbers_are_uniform():
    numbers = fill_uniform(3, 0, -1.0, 1.0, 200_000)
    assert numbers.min() >= -1
    assert numbers.max() < 1
    assert abs(numbers.mean()) < 4 / np.sqrt(3 * 200_000)  # four standard errors
    counts = np.histogram(numbers, bins=64, range=(-1, 1))[0]
    chi_square = ((counts - 3125) ** 2 / 3125).sum()
    assert 25 < chi_square < 115  # 63 degrees of freedom: one in 100,000 on either side
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 4 / np.sqrt(200_000)


@pytest.mark.parametrize("seed", SEEDS)
def test_shuffle_indices(seed):
    for epoch, n in [(0, 1), (0, 2), (1, 3), (2**32 - 1, 100), (5, 1001)]:
        expected = reference.shuffle(seed, epoch, n)
        assert shuffle_indices(seed, epoch, n).tolist() == expected.tolist()
    assert shuffle_indices(seed, 0, 0).shape == (0,)


@given(seed=seeds, epoch=st.integers(0, 2**32 - 1), n=st.integers(1, 500))
def test_a_shuffle_is_a_permutation(seed, epoch, n):
    order = shuffle_indices(seed, epoch, n)
    assert sorted(order.tolist()) == list(range(n))
    assert order.tolist() == shuffle_indices(seed, epoch, n).tolist()


def test_shuffles_are_uniform():
    """Each of the 24 orders of four rows, equally often; each place for the first of 50."""
    orders = [tuple(shuffle_indices(9, epoch, 4).tolist()) for epoch in range(24_000)]
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert ((counts - 1000) ** 2 / 1000).sum() < 62  # 23 degrees of freedom: one in 50,000
    places = [shuffle_indices(9, epoch, 50).tolist().index(0) for epoch in range(10_000)]
    counts = np.bincount(places, minlength=50)
    assert ((counts - 200) ** 2 / 200).sum() < 100  # 49 degrees of freedom


@given(seed=seeds)
def test_epochs_and_seeds_give_other_orders(seed):
    one = shuffle_indices(seed, 0, 100).tolist()
    assert shuffle_indices(seed, 1, 100).tolist() != one
    assert shuffle_indices((seed + 1) % 2**64, 0, 100).tolist() != one


@pytest.mark.parametrize("activation", ["relu", "tanh", "identity"])
def test_initial_weights(dtype, activation):
    """He's bound for ReLU, Glorot's for the rest; a stream of numbers for each layer; no bias."""
    layers = [fastnn.Dense(30, activation), fastnn.Dense(5)]
    net = fastnn.Network(layers, n_features=20, dtype=dtype, seed=17)
    first = np.sqrt(6 / 20) if activation == "relu" else np.sqrt(6 / (20 + 30))
    for i, (layer, limit) in enumerate(zip(layers, [first, np.sqrt(6 / 35)], strict=True)):
        expected = reference.uniform(17, i, -limit, limit, layer.weight.size)
        assert common.same_bits(layer.weight.ravel(), expected.astype(dtype))
        assert not layer.bias.any()
    assert net.seed == 17


def test_batches_take_the_rows_in_the_order_of_the_shuffle(rng):
    X, y = rng.standard_normal((23, 3)), np.arange(23)
    for epoch in range(3):
        order = reference.shuffle(5, epoch, 23)
        batches = list(fastnn.batches(X, y, 7, seed=5, epoch=epoch))
        assert [len(xb) for xb, _ in batches] == [7, 7, 7, 2]
        assert np.concatenate([yb for _, yb in batches]).tolist() == order.tolist()
        assert common.same_bits(np.concatenate([xb for xb, _ in batches]), X[order])
    straight = list(fastnn.batches(X, y, 7, shuffle=False))
    assert np.concatenate([yb for _, yb in straight]).tolist() == y.tolist()
