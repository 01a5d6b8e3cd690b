"""Which way a prediction of many rows goes, and what is kept of it."""

import numpy as np
import pytest
from common import THREADS, same_bits

import fastnn
from fastnn import _predictors

N_IN = 50


def make_network(width):
    return fastnn.Network([fastnn.Dense(width, "relu"), fastnn.Dense(3)], n_features=N_IN)


def fill(net, X, n_threads):
    out = np.empty((len(X), 3), "float32")
    assert net._predictors.fill(X, net._shapes["scores"], n_threads, out)
    return out


def list_kept(net):
    return [made for idle in net._predictors._idle.values() for made in idle]


@pytest.mark.parametrize(
    ("n_rows", "width", "packed"), [(256, 100, True), (255, 100, False), (256, 9, False)]
)
def test_many_rows_meet_wide_weights_in_panels(rng, monkeypatch, n_rows, width, packed):
    """And no copy of them outlives the call: they may change before the next."""
    assert (_predictors.PACK_MIN_ROWS, _predictors.PACK_MIN_WEIGHTS) == (256, 1000)
    net, X = make_network(width), rng.standard_normal((n_rows, N_IN)).astype("float32")
    net.forward(X[:1])
    pool, made = net._predictors, []
    make = pool.make

    def note(shapes, n_threads, packed):
        made.append(packed)
        return make(shapes, n_threads, packed)

    monkeypatch.setattr(pool, "make", note)
    for scale in (1, -2):
        net.layers[0].weight[...] *= scale
        expected = np.concatenate([net.forward(row[None]) for row in X])
        assert same_bits(fill(net, X, 1), expected)
    assert made == ([True, True] if packed else [False])
    assert len(list_kept(net)) == (0 if packed else 1)


def test_one_predictor_is_kept_whatever_the_number_of_threads(rng):
    """Each has scratch for all of its threads."""
    net, X = make_network(9), rng.standard_normal((481, N_IN)).astype("float32")
    expected = fill(net, X, 1)
    most = max(THREADS)
    for n_rows in (1, 121, 241, 481, 130, 1):
        assert same_bits(fill(net, X[:n_rows], most), expected[:n_rows])
    ((_, predictor),) = list_kept(net)
    assert predictor.n_bindings == most
    with pytest.raises(ValueError, match=f"n_threads is {most + 1}, but {most} are bound"):
        predictor.run(X, expected, most + 1)
