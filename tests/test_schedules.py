"""Learning-rate schedules: their numbers, and that fit takes each step at its rate."""

import math

import common
import numpy as np
import pytest
from common import THREADS

import fastnn
from fastnn import schedules

ROOT = math.sqrt(0.5)
# With a rate of 1: of epochs 0, 1, ... and of steps, two to an epoch.
NUMBERS = [
    (schedules.Constant(), [1, 1, 1]),
    (schedules.Step(0.5, every=2), [1, 1, 0.5, 0.5, 0.25]),
    (schedules.Step(0.5, every=1, per="step"), [1, 1, 0.5, 0.5, 0.25]),
    (schedules.Exponential(0.25), [1, 0.25, 0.0625]),
    (schedules.Exponential(0.25, per="step"), [1, 0.5, 0.25, 0.125]),
    (schedules.InverseTime(0.5), [1, 2 / 3, 0.5, 0.4]),
    (schedules.InverseTime(2, per="step"), [1, 0.5, 1 / 3, 0.25]),
    (schedules.Polynomial(4), [1, 0.75, 0.5, 0.25, 0, 0]),
    (schedules.Polynomial(2, power=2, end=0.2), [1, 0.4, 0.2, 0.2]),
    (schedules.Polynomial(1, 3, per="step"), [1, 0.125, 0, 0]),
    (schedules.Cosine(4), [1, 0.5 + ROOT / 2, 0.5, 0.5 - ROOT / 2, 0, 0, 0]),
    (schedules.Cosine(1, end=0.5, per="step"), [1, 0.75, 0.5, 0.5]),
    (schedules.Cosine(2, restarts=True), [1, 0.5, 1, 0.5, 1]),
    (schedules.Cosine(1, restarts=True, per="step"), [1, 0.5, 1, 0.5, 1]),
    (
        schedules.Cosine(1, 0.2, restarts=True, growth=2),
        [1, 1, 0.6, 1, 0.6 + 0.4 * ROOT, 0.6, 0.6 - 0.4 * ROOT, 1],
    ),
    (
        schedules.OneCycle(4, rise=0.5, rise_factor=5, fall_factor=10, per="epoch"),
        [0.2, 0.6, 1, 0.55, 0.1, 0.1],
    ),
    (schedules.OneCycle(2, rise=0.5, rise_factor=5, fall_factor=10), [0.2, 0.6, 1, 0.55, 0.1]),
    (schedules.Warmup(n_epochs=2, start=0.5, per="epoch"), [0.5, 0.75, 1, 1]),
    (schedules.Warmup(n_epochs=2, start=0.2), [0.2, 0.4, 0.6, 0.8, 1, 1]),
    (schedules.Warmup(schedules.Exponential(0.5), 1.5, 0.4), [0.4, 0.6, 0.4, 0.5, 0.25, 0.25]),
]


@pytest.mark.parametrize(("schedule", "numbers"), NUMBERS, ids=lambda value: repr(value)[:60])
def test_the_numbers_of_each_schedule(schedule, numbers):
    steps_per_epoch = 1 if schedule.per == "epoch" else 2
    end = schedule.end if hasattr(schedule, "end") else 0
    found = schedule.rates(0, len(numbers), steps_per_epoch, 1.0)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, numbers, rtol=1e-14, atol=1e-15)
    # Of another rate; what ends at a rate of its own keeps that.
    scaled = schedule.rates(0, len(numbers), steps_per_epoch, 0.5 + end / 2)
    np.testing.assert_allclose(scaled - end, (found - end) / 2, rtol=1e-14, atol=1e-15)


def test_no_schedule_is_left_out():
    tested = {type(schedule).__name__ for schedule, _ in NUMBERS}
    assert tested == set(schedules.__all__) - {"Schedule"}


@pytest.mark.parametrize("per", ["epoch", "step"])
def test_rates_depend_on_the_step_alone(per):
    """Runs of any length, from any step on, have the bits of one run."""
    for schedule, _ in NUMBERS:
        schedule.per = per
        whole = schedule.rates(0, 40, 7, 0.3)
        parts = [schedule.rates(a, b - a, 7, 0.3) for a, b in [(0, 1), (1, 13), (13, 14), (14, 40)]]
        assert common.same_bits(np.concatenate(parts), whole)
        if per == "epoch" and not isinstance(schedule, schedules.Warmup):
            assert all(len(set(whole[i : i + 7])) == 1 for i in range(0, 35, 7))


@pytest.fixture(autouse=True)
def keep_schedules():
    before = [schedule.per for schedule, _ in NUMBERS]
    yield
    for (schedule, _), per in zip(NUMBERS, before, strict=True):
        schedule.per = per


# PyTorch's schedulers, by the formulas of its documentation: t counts calls of scheduler.step().


def one_cycle_of_torch(t, rate, total_steps, pct_start):
    rise, low = pct_start * total_steps - 1, rate / 25
    start, end, done = low, rate, t / rise
    if t > rise:
        start, end, done = rate, low / 1e4, (t - rise) / (total_steps - 1 - rise)
    return end + (start - end) / 2 * (math.cos(math.pi * done) + 1)


TORCH = [  # 20 steps, 4 to an epoch where a schedule counts steps
    (schedules.Step(0.1, every=3), lambda t: 0.3 * 0.1 ** (t // 3)),
    (schedules.Exponential(0.9), lambda t: 0.3 * 0.9**t),
    (schedules.Polynomial(6, power=2), lambda t: 0.3 * (1 - min(t, 6) / 6) ** 2),
    (
        schedules.Cosine(20, end=0.01),
        lambda t: 0.01 + (0.3 - 0.01) * (1 + math.cos(math.pi * t / 20)) / 2,
    ),
    (
        schedules.Cosine(2, restarts=True, per="step"),
        lambda t: 0.3 * (1 + math.cos(math.pi * (t % 8) / 8)) / 2,
    ),
    (schedules.OneCycle(5), lambda t: one_cycle_of_torch(t, 0.3, 21, 7 / 21)),
    (schedules.Warmup(n_epochs=2, start=1 / 3), lambda t: 0.3 * (1 / 3 + 2 / 3 * min(t, 8) / 8)),
]


@pytest.mark.parametrize(("schedule", "formula"), TORCH, ids=lambda value: type(value).__name__)
def test_rates_are_those_of_torch(schedule, formula):
    found = schedule.rates(0, 20, 4 if schedule.per == "step" else 1, 0.3)
    np.testing.assert_allclose(found, [formula(t) for t in range(20)], rtol=1e-12, atol=1e-15)


# --- momenta -------------------------------------------------------------------------------------

CYCLE = {"momentum_range": (0.8, 0.9), "rise": 0.5}


def test_the_momentum_goes_the_other_way():
    schedule = schedules.OneCycle(4, per="epoch", **CYCLE)
    found = schedule.momenta(0, 6, 1)
    np.testing.assert_allclose(found, [0.9, 0.85, 0.8, 0.85, 0.9, 0.9], rtol=1e-14)
    per_step = schedules.OneCycle(2, **CYCLE)
    np.testing.assert_allclose(per_step.momenta(0, 5, 2), found[:5], rtol=1e-14)
    assert common.same_bits(per_step.momenta(1, 3, 2), per_step.momenta(0, 5, 2)[1:4])
    warm = schedules.Warmup(per_step, n_epochs=1)
    assert common.same_bits(warm.momenta(0, 5, 2), per_step.momenta(0, 5, 2))
    assert all(schedule.momenta(0, 3, 1) is None for schedule, _ in NUMBERS)


MOMENTA = [
    (fastnn.SGD, {"momentum": 0.5}, "momentum"),
    (fastnn.SGD, {"momentum": 0.5, "nesterov": True}, "momentum"),
    (fastnn.RMSProp, {"momentum": 0.5}, "momentum"),
    (fastnn.Adam, {}, "beta1"),
    (fastnn.AdamW, {}, "beta1"),
]


@pytest.mark.parametrize(("cls", "settings", "name"), MOMENTA, ids=str)
def test_fit_takes_each_step_with_its_momentum(cls, settings, name):
    """An explicit loop that writes the setting before each step has the same bits."""
    schedule = schedules.OneCycle(EPOCHS, **CYCLE)
    net = fit(schedule, optimizer=cls(0.05, **settings))
    rates = schedule.rates(0, EPOCHS * STEPS, STEPS, 0.05)
    momenta = schedule.momenta(0, EPOCHS * STEPS, STEPS)
    X, y = common.make_classes(np.random.default_rng(1), 70, 6, 3)
    twin = fastnn.Network([fastnn.Dense(17, "tanh"), fastnn.Dense(3)], n_features=6)
    optimizer = cls(0.05, **settings)
    pairs = zip(rates.tolist(), momenta.tolist(), strict=True)
    for epoch in range(EPOCHS):
        for xb, yb in fastnn.batches(X, y, 16, epoch=epoch):
            optimizer.learning_rate, momentum = next(pairs)
            setattr(optimizer, name, momentum)
            twin.forward(xb, yb)
            twin.backward()
            optimizer.step(twin)
    assert common.same_bits(net.parameter_vector, twin.parameter_vector)
    assert net.history.momentum == momenta[::STEPS].tolist()
    one_by_one = fit(schedule, optimizer=cls(0.05, **settings), callbacks=[Watcher()])
    assert common.same_bits(net.parameter_vector, one_by_one.parameter_vector)


def test_bias_correction_has_the_beta1_of_its_step():
    """As PyTorch's: 1 - beta1^t, whatever beta1 was in the steps before."""
    momenta = np.array([0.95, 0.9, 0.8])
    rate, first = fastnn.Adam().list_coefficients(3, 0.1, momenta)[:, [0, 5]].T
    np.testing.assert_allclose(rate, 0.1 / (1 - momenta ** np.arange(1, 4)), rtol=1e-14)
    np.testing.assert_allclose(first, 1 - momenta, rtol=1e-14)


@pytest.mark.parametrize(
    "optimizer", [fastnn.SGD(0.1), fastnn.RMSProp(), fastnn.NAdam(), fastnn.RProp()], ids=repr
)
def test_a_momentum_that_is_not_there_cannot_be_changed(optimizer):
    for schedule in (
        schedules.OneCycle(3, **CYCLE),
        schedules.Warmup(schedules.OneCycle(3, **CYCLE)),
    ):
        with pytest.raises(ValueError, match=r"changes the momentum, but \w+\(.*\) has none"):
            fit(schedule, optimizer=optimizer)


# --- in fit --------------------------------------------------------------------------------------

EPOCHS, STEPS = 4, 5  # 70 rows in batches of 16


def fit(schedule, *, callbacks=(), n_threads=None, optimizer=None, epochs=EPOCHS):
    X, y = common.make_classes(np.random.default_rng(1), 70, 6, 3)
    net = fastnn.Network([fastnn.Dense(17, "tanh"), fastnn.Dense(3)], n_threads=n_threads)
    optimizer = optimizer or fastnn.SGD(0.5)
    options = {"batch_size": 16, "schedule": schedule, "callbacks": callbacks}
    net.fit(X, y, epochs=epochs, optimizer=optimizer, **options)
    return net


class Watcher(fastnn.Callback):
    def on_step_end(self, fit):
        pass


ALL = schedules.Warmup(schedules.Cosine(3, restarts=True, per="step"), n_epochs=1.5)


@pytest.mark.parametrize(
    "make", [fastnn.SGD, fastnn.Adam, fastnn.Adagrad, fastnn.NAdam], ids=lambda make: make.__name__
)
def test_fit_takes_each_step_at_its_rate(make):
    """As the explicit loop, in which the optimizer's rate is written before each step."""
    net = fit(ALL, optimizer=make(0.1))
    X, y = common.make_classes(np.random.default_rng(1), 70, 6, 3)
    twin = fastnn.Network([fastnn.Dense(17, "tanh"), fastnn.Dense(3)], n_features=6)
    optimizer = make(0.1)
    rates = iter(ALL.rates(0, EPOCHS * STEPS, STEPS, 0.1))
    for epoch in range(EPOCHS):
        for xb, yb in fastnn.batches(X, y, 16, epoch=epoch):
            twin.forward(xb, yb)
            twin.backward()
            optimizer.learning_rate = next(rates)
            optimizer.step(twin)
    np.testing.assert_allclose(net.parameter_vector, twin.parameter_vector, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("schedule", [ALL, schedules.Exponential(0.7)], ids=["step", "epoch"])
def test_looking_on_and_threads_change_no_bit(schedule):
    nets = [fit(schedule, n_threads=n) for n in THREADS]
    nets += [fit(schedule, callbacks=[Watcher()]), fit(schedule, callbacks=[lambda fit: None])]
    for net in nets:
        assert common.same_bits(net.parameter_vector, nets[0].parameter_vector)
        assert net.history.learning_rate == nets[0].history.learning_rate
    assert not common.same_bits(fit(None).parameter_vector, nets[0].parameter_vector)


def test_the_constant_schedule_is_none():
    one, other = fit(None), fit(schedules.Constant())
    assert common.same_bits(one.parameter_vector, other.parameter_vector)
    assert one.history.learning_rate == other.history.learning_rate == [0.5] * EPOCHS


def test_the_history_has_the_rate_of_each_first_step():
    rates = ALL.rates(0, EPOCHS * STEPS, STEPS, 0.5)
    assert fit(ALL).history.learning_rate == rates[::STEPS].tolist()


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (schedules.Step(0.5, every=2), [0.5, 0.5, 0.25, 0.25]),
        (schedules.Exponential(0.5), [0.5, 0.25, 0.125, 0.0625]),
        (schedules.InverseTime(1.0), [0.5, 0.25, 0.5 / 3, 0.125]),
    ],
    ids=["step", "exponential", "1/t"],
)
def test_C04_the_history_holds_the_rate_of_each_epoch(schedule, expected):
    history = fit(schedule).history
    np.testing.assert_allclose(history.learning_rate, expected, rtol=1e-15)
    assert history.loss[-1] < history.loss[0]


def test_a_second_fit_begins_the_schedule_anew():
    optimizer, schedule = fastnn.SGD(0.5), schedules.Exponential(0.5)
    net = fit(schedule, optimizer=optimizer)
    X, y = common.make_classes(np.random.default_rng(1), 70, 6, 3)
    history = net.fit(X, y, epochs=2, batch_size=16, optimizer=optimizer, schedule=schedule)
    assert history.learning_rate == [0.5, 0.25]
    assert optimizer.learning_rate == 0.5


def test_divergence_names_the_rate_of_its_step():
    X, y = np.eye(4), np.arange(4.0)
    net = fastnn.Network([fastnn.Dense(1)], loss="mse")
    schedule = schedules.InverseTime(1.0)
    with pytest.raises(fastnn.DivergenceError) as caught:
        net.fit(X, y, epochs=60, optimizer=fastnn.SGD(1e30), schedule=schedule)
    assert caught.value.epoch > 0
    assert caught.value.learning_rate == 1e30 / (1 + caught.value.epoch)


def test_a_checkpoint_goes_on_in_the_schedule(tmp_path):
    path = tmp_path / "run.safetensors"

    class Kill(fastnn.Callback):
        comes_last = True

        def on_step_end(self, fit):
            if fit.position == 2 * STEPS + 3:
                raise RuntimeError("killed")

    def checkpoint():
        return fastnn.Checkpoint(path, every_steps=1, resume=True)

    with pytest.raises(RuntimeError, match="killed"):
        fit(ALL, callbacks=[checkpoint(), Kill()])
    with pytest.raises(ValueError, match=r"was written by a fit with schedule=.Warmup"):
        fit(schedules.Warmup(n_epochs=1.5), callbacks=[checkpoint()])
    resumed, whole = fit(ALL, callbacks=[checkpoint()]), fit(ALL)
    assert common.same_bits(resumed.parameter_vector, whole.parameter_vector)
    assert resumed.history.learning_rate == whole.history.learning_rate


# --- on a plateau --------------------------------------------------------------------------------


def plateau(**options):
    """No epoch but the first is an improvement by a million."""
    return fastnn.ReduceOnPlateau(0.5, 2, "loss", min_delta=1e6, **options)


def test_a_plateau_lowers_the_rate():
    optimizer = fastnn.SGD(0.5)
    net = fit(None, callbacks=[plateau(min_rate=0.2)], optimizer=optimizer, epochs=9)
    assert net.history.learning_rate == [0.5] * 3 + [0.25] * 2 + [0.2] * 4
    assert optimizer.learning_rate == 0.5
    net = fit(schedules.Exponential(0.5), callbacks=[plateau()], epochs=5)
    assert net.history.learning_rate == [0.5, 0.25, 0.125, 0.03125, 0.015625]
    improving = fastnn.ReduceOnPlateau(0.5, 2, "loss")
    assert fit(None, callbacks=[improving]).history.learning_rate == [0.5] * 4
    assert improving.best < 1


def test_a_checkpoint_goes_on_with_the_lower_rate(tmp_path):
    path = tmp_path / "run.safetensors"

    def kill(fit):
        if fit.epoch == 3:
            raise RuntimeError("killed")

    def fit_on(*others):
        checkpoint = fastnn.Checkpoint(path, resume=True)
        return fit(None, callbacks=[plateau(), checkpoint, *others], epochs=8)

    with pytest.raises(RuntimeError, match="killed"):
        fit_on(kill)
    resumed, whole = fit_on(), fit(None, callbacks=[plateau()], epochs=8)
    assert common.same_bits(resumed.parameter_vector, whole.parameter_vector)
    assert resumed.history.learning_rate == [0.5] * 3 + [0.25] * 2 + [0.125] * 2 + [0.0625]


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.Step(0), "drop must be greater than 0 and at most 1"),
        (lambda: schedules.Step(1.5), "drop must be"),
        (lambda: schedules.Step(every=0), "every must be at least 1"),
        (lambda: schedules.Exponential(1.01), "decay must be greater than 0 and at most 1"),
        (lambda: schedules.Exponential(0.9, per="batch"), "per"),
        (lambda: schedules.InverseTime(-0.1), "decay must be at least 0"),
        (lambda: schedules.Polynomial(0), "n_epochs must be at least 1"),
        (lambda: schedules.Polynomial(3, power=0), "power must be greater than 0"),
        (lambda: schedules.Polynomial(3, end=-1), "end must be at least 0"),
        (lambda: schedules.Cosine(0), "n_epochs must be at least 1"),
        (lambda: schedules.Cosine(3, math.nan), "end must be a finite number"),
        (lambda: schedules.Cosine(3, growth=0), "growth must be at least 1"),
        (lambda: schedules.OneCycle(0), "n_epochs must be at least 1"),
        (lambda: schedules.OneCycle(3, rise=1), "rise must be greater than 0 and less than 1"),
        (lambda: schedules.OneCycle(3, rise_factor=0.5), "rise_factor must be at least 1"),
        (lambda: schedules.OneCycle(3, fall_factor=0.5), "fall_factor must be at least 1"),
        (lambda: schedules.OneCycle(3, momentum_range=0.9), "momentum_range must be a pair"),
        (lambda: schedules.OneCycle(3, momentum_range=(0.9, 1)), "momentum_range.1. must be"),
        (lambda: schedules.OneCycle(3, momentum_range=(0.9, 0.8)), "momentum_range.1. must be"),
        (lambda: schedules.Warmup(n_epochs=0), "n_epochs must be greater than 0"),
        (lambda: schedules.Warmup(start=0), "start must be greater than 0"),
        (lambda: fastnn.ReduceOnPlateau(1), "factor must be greater than 0 and less than 1"),
        (lambda: fastnn.ReduceOnPlateau(patience=0), "patience must be at least 1"),
        (lambda: fastnn.ReduceOnPlateau(min_rate=-1), "min_rate must be at least 0"),
    ],
)
def test_settings_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_is_no_schedule():
    for make in [lambda: fit(lambda epoch: 0.1), lambda: schedules.Warmup(0.1)]:
        with pytest.raises(TypeError, match=r"schedule is .*; expected one such as fastnn"):
            make()
    with pytest.raises(ValueError, match="ReduceOnPlateau monitors 'val_loss', but"):
        fit(None, callbacks=[fastnn.ReduceOnPlateau()])


def test_a_schedule_shows_its_settings():
    assert repr(schedules.Step(0.5, 3)) == "Step(drop=0.5, every=3, per='epoch')"
    assert "schedule=Cosine(n_epochs=3, " in repr(ALL)
