"""What a network keeps of the rows of a fit never shows in the next one."""

import numpy as np
import pytest
from common import THREADS, make_classes, same_bits

import fastnn
from fastnn import _fitting

# Arguments of fits that follow each other, each with its number of rows.
FITS = [
    {"rows": 200, "shuffle": False},
    {"rows": 200},
    {"rows": 200, "weighted": True},
    {"rows": 200, "weighted": True},
    {"rows": 200, "targets": True},
    {"rows": 130},
    {"rows": 200, "shuffle": False},
    {"rows": 200, "targets": True},
]


def make_fit(rng, rows, weighted=False, targets=False, **options):
    X, y = make_classes(rng, rows, 12, 3)
    if targets:
        y = np.eye(3, dtype="float32")[y]
    if weighted:
        options["sample_weight"] = rng.uniform(0.1, 2, rows)
    return {"X": X, "y": y, "epochs": 2, "batch_size": 32, **options}


@pytest.mark.parametrize("n_threads", THREADS[:2])
def test_a_fit_has_the_bits_of_one_with_new_scratch(rng, n_threads):
    nets = [fastnn.Network([fastnn.Dense(5, "tanh"), fastnn.Dense(3)], n_features=12,
                           classes=range(3), n_threads=n_threads) for _ in range(2)]  # fmt: skip
    for arguments in FITS:
        fit = make_fit(rng, **arguments)
        nets[1]._epoch_rows = None
        histories = [net.fit(**fit, optimizer=fastnn.SGD(0.1)) for net in nets]
        assert same_bits(nets[0].parameter_vector, nets[1].parameter_vector)
        assert histories[0].loss == histories[1].loss


def test_scratch_of_as_many_rows_is_used_again(rng, monkeypatch):
    monkeypatch.setattr(_fitting, "MAX_ROWS_KEPT", 150)
    net = fastnn.Network([fastnn.Dense(3)], n_features=12, classes=range(3))
    net.fit(**make_fit(rng, 130))
    kept = net._epoch_rows
    net.fit(**make_fit(rng, 130))
    assert net._epoch_rows is kept
    net.fit(**make_fit(rng, 140))
    assert net._epoch_rows is not kept
    net.fit(**make_fit(rng, 151))
    assert net._epoch_rows is None


def test_networks_trained_side_by_side_have_scratch_of_their_own(rng):
    net = fastnn.Network([fastnn.Dense(3)], n_features=12, classes=range(3))
    net.fit(**make_fit(rng, 130))
    twin = net._make_twin(1)
    assert twin._epoch_rows is None
