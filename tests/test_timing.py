"""`explain(timed=True)`: the plan, with the microseconds of each thread beside its phases."""

import _thread
import re
import threading

import numpy as np
import pytest
from common import DTYPES, THREADS, same_bits

import fastnn
from fastnn import _timing
from fastnn._core.kernels import list_losses
from fastnn._timing import time_phases

NUMBERS = re.compile(r"(?: +[0-9]+\.[0-9]+)+ µs$")


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(_timing, "_SECONDS", 1e-3)


def make_network(**options):
    layers = [fastnn.Dense(64, "relu"), fastnn.BatchNorm(), fastnn.Dropout(0.5), fastnn.Dense(3)]
    return fastnn.Network(layers, n_features=600, **options)


@pytest.mark.parametrize("n_threads", THREADS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_it_is_the_plan_with_times(dtype, n_threads):
    net = make_network(dtype=dtype, n_threads=n_threads)
    plain, timed = net.explain(64).splitlines(), net.explain(64, timed=True).splitlines()
    assert all(line.startswith(begin) for line, begin in zip(timed, plain, strict=True))
    numbered = [line for line in timed if NUMBERS.search(line)]
    is_phase = re.compile("--- barrier| rows | inputs | outputs | chunks ")
    assert numbered[:-1] == [line for line in timed if is_phase.search(line)]
    for line in numbered[:-1]:
        assert len(NUMBERS.search(line)[0].split()) == n_threads + 1, line


@pytest.mark.parametrize("optimizer", [fastnn.SGD(0.1), fastnn.Adam(0.1, clip_norm=1.0)])
def test_every_phase_with_work_takes_time_and_none_takes_all(optimizer):
    net = make_network(n_threads=THREADS[-1])
    seconds = time_phases(net, 64, optimizer)
    assert seconds.shape[0] == THREADS[-1]
    assert (seconds >= 0).all()
    works = seconds[:, :, 1].max(axis=0)
    assert (works > 0).all()
    assert works.max() < works.sum()


def test_nothing_changes():
    net, optimizer = make_network(), fastnn.Adam(0.1)
    rng = np.random.default_rng(0)
    net.fit(rng.standard_normal((40, 600)), rng.integers(3, size=40), epochs=1, optimizer=optimizer)
    running = net._parameters.running.copy()
    before, slots = net.parameter_vector.copy(), optimizer.state_dict()["slots"]
    net.explain(16, optimizer, timed=True)
    assert same_bits(net.parameter_vector, before)
    assert same_bits(net._parameters.running, running)
    assert optimizer.steps == 2
    for name, slot in optimizer.state_dict()["slots"].items():
        assert same_bits(slot, slots[name])
    assert len(net.history) == 1
    assert net._step == 2


@pytest.mark.parametrize("loss", list_losses())
def test_every_loss_can_be_timed(loss):
    net = fastnn.Network([fastnn.Dense(4, "relu"), fastnn.Dense(3)], loss, n_features=7)
    assert "loss 1" in net.explain(8, timed=True)


def test_what_cannot_be_timed_is_refused():
    with pytest.raises(ValueError, match=r"timed is True, but steps of LBFGS\(.*SciPy"):
        make_network().explain(optimizer=fastnn.LBFGS(), timed=True)
    with pytest.raises(ValueError, match="BatchNorm needs at least 2 rows"):
        make_network().explain(1, timed=True)
    assert "batch 1" in make_network().explain(1)


def test_weights_of_the_network_do_not_matter():
    net = fastnn.Network([fastnn.Dense(8, "exponential"), fastnn.Dense(3)], n_features=5)
    net.parameter_vector[...] = np.nan
    seconds = time_phases(net, 32, fastnn.SGD(0.1))
    assert (seconds[:, :, 1] > 0).all()


def test_large_steps_are_few(monkeypatch):
    net = fastnn.Network([fastnn.Dense(300), fastnn.Dense(1)], "mse", n_features=2)
    counts = []
    run_steps = _timing._Steps._run
    monkeypatch.setattr(
        _timing._Steps, "_run", lambda self: counts.append(run_steps(self)) or counts[-1]
    )
    monkeypatch.setattr(_timing, "_SECONDS", 0.0)
    net.explain(4096, timed=True)
    assert counts == [1, 1]


def test_an_interrupt_ends_it(monkeypatch):
    net = make_network()
    monkeypatch.setattr(_timing, "_SECONDS", 3600)
    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        net.explain(64, timed=True)
    timer.join()


@pytest.mark.parametrize("rows", [1, 31, 5000])
def test_any_batch_size_can_be_timed(rows):
    net = fastnn.Network([fastnn.Dense(1)], "mse", n_features=1)
    assert f"batch {rows}" in net.explain(rows, timed=True)


def test_a_layer_says_how_it_is_stored():
    net = fastnn.Network(
        [fastnn.Dense(512, "relu"), fastnn.Dense(512, "softmax"), fastnn.Dense(1024),
         fastnn.Dense(1024)], n_features=784, n_threads=1,
    )  # fmt: skip
    text = net.explain(64).splitlines()
    assert re.search(r"own tile of 6 x \d+ \(side 512 < 1024\), batch read in place, W in", text[1])
    assert "transposed" not in text[1]
    assert text[1].endswith("delta in panels, cut by rows, 4 partial sums")
    assert re.search(r"own tile of 6 x \d+ \(beside a row-wise activation\), W in", text[2])
    assert "and transposed" in text[2]
    assert "BLAS (side 1024 >= 1024, 64 rows x side >= 65536), cut by outputs" in text[4]
