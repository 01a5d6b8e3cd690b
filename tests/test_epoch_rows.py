"""What a thread keeps of the rows of a fit never shows in the next one."""

import threading

import numpy as np
import pytest
from common import THREADS, make_classes, same_bits

import fastnn
from fastnn._core import epoch_rows

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


def make_network(**options):
    layers = [fastnn.Dense(5, "tanh"), fastnn.Dense(3)]
    return fastnn.Network(layers, n_features=12, classes=range(3), **options)


def make_fit(rng, rows, weighted=False, targets=False, **options):
    X, y = make_classes(rng, rows, 12, 3)
    if targets:
        y = np.eye(3, dtype="float32")[y]
    if weighted:
        options["sample_weight"] = rng.uniform(0.1, 2, rows)
    return {"X": X, "y": y, "epochs": 2, "batch_size": 32, **options}


@pytest.fixture(autouse=True)
def keep_nothing():
    epoch_rows._kept.rows = None


@pytest.mark.parametrize("n_threads", THREADS[:2])
def test_a_fit_has_the_bits_of_one_with_new_scratch(rng, n_threads):
    nets = [make_network(n_threads=n_threads) for _ in range(2)]
    kept = None
    for arguments in FITS:
        fit = make_fit(rng, **arguments)
        histories = []
        for net, epoch_rows._kept.rows in zip(nets, [kept, None], strict=True):
            histories.append(net.fit(**fit, optimizer=fastnn.SGD(0.1)))
            kept = kept if net is nets[1] else epoch_rows._kept.rows
        assert same_bits(nets[0].parameter_vector, nets[1].parameter_vector)
        assert histories[0].loss == histories[1].loss


def test_scratch_of_as_many_rows_is_used_again(rng, monkeypatch):
    monkeypatch.setattr(epoch_rows, "MAX_ROWS_KEPT", 150)
    make_network().fit(**make_fit(rng, 130))
    kept = epoch_rows._kept.rows
    make_network().fit(**make_fit(rng, 130))
    assert epoch_rows._kept.rows is kept
    make_network().fit(**make_fit(rng, 140))
    assert epoch_rows._kept.rows.settings == (140, False, False)
    make_network().fit(**make_fit(rng, 151))
    assert epoch_rows._kept.rows is None


def test_a_fit_within_a_fit_has_scratch_of_its_own(rng):
    """A callback may train another network, on as many rows, and losses of its own go on."""
    fit, other = make_fit(rng, 130), make_fit(rng, 130)
    alone, outer, seen = make_network(), make_network(), []

    def train_another(training):
        seen.append(training.losses_so_far.copy())
        make_network().fit(**other)
        assert same_bits(training.losses_so_far, seen[-1])

    watcher = fastnn.callbacks.Callback()
    watcher.on_step_end = train_another
    watcher.watches_steps = lambda: True
    outer.fit(**fit, callbacks=[watcher])
    alone.fit(**fit)
    assert len(seen) == 10
    assert same_bits(outer.parameter_vector, alone.parameter_vector)
    assert outer.history.loss == alone.history.loss


def test_a_fit_at_the_end_of_a_fit_has_scratch_of_its_own(rng):
    """Callbacks behind the one that trains another network still see the loss of this fit."""
    fit, other = make_fit(rng, 130), make_fit(rng, 130)
    losses = []

    def make_callback(function):
        callback = fastnn.callbacks.Callback()
        callback.on_fit_end = function
        return callback

    callbacks = [
        make_callback(lambda training: losses.append(training.loss)),
        make_callback(lambda training: make_network().fit(**other)),
        make_callback(lambda training: losses.append(training.loss)),
    ]
    make_network().fit(**fit, callbacks=callbacks)
    assert losses[0] == losses[1]


def test_threads_have_scratch_of_their_own(rng):
    fit = make_fit(rng, 130)
    make_network().fit(**fit)
    seen = [epoch_rows._kept.rows]

    def train():
        make_network().fit(**fit)
        seen.append(epoch_rows._kept.rows)

    threads = [threading.Thread(target=train) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(rows) for rows in seen}) == 3
