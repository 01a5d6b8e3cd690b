"""Learning-rate schedules: the rate as a function of the time since `fit` began.

In the formulas r is the optimizer's learning rate (or what callbacks have made of it) and t the
time in epochs: whole ones by default, so that the rate changes from epoch to epoch; with
``per="step"`` fractions too (step / steps per epoch), so that it changes at each step. Lengths are
numbers of epochs either way, and so do not depend on the size of a batch.

A schedule keeps nothing from step to step: each fit begins at t = 0, and one that goes on from a
checkpoint has the rates of one that was never stopped. The formulas are computed in float64, number
by number: NumPy's vectorised functions need not give a step the same bits in a run of ten as alone.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np

from fastnn._validate import check_choice, check_int, check_number

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "InverseTime",
    "OneCycle",
    "Polynomial",
    "Schedule",
    "Step",
    "Warmup",
]


class Schedule(ABC):
    """Base class: a subclass has its formula in `compute_rate`, and its settings as attributes.

    Parameters
    ----------
    per : {"epoch", "step"}
        How often the rate changes.
    """

    def __init__(self, per: str = "epoch") -> None:
        self.per = check_choice("per", per, ["epoch", "step"])

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"

    @abstractmethod
    def compute_rate(self, t: float, base_rate: float) -> float:
        """Learning rate at time `t`, in epochs: a function of its arguments alone."""

    def rates(
        self, first_step: int, n_steps: int, steps_per_epoch: int, base_rate: float
    ) -> np.ndarray:
        """Learning rates of a run of steps.

        Parameters
        ----------
        first_step : int
            Number of the first one, counted from 0 where the fit began.
        n_steps, steps_per_epoch : int
        base_rate : float
            r of the formulas.

        Returns
        -------
        float64 ndarray (n_steps,)
        """
        return self._tabulate(
            lambda t: self.compute_rate(t, base_rate), first_step, n_steps, steps_per_epoch
        )

    def momenta(self, first_step: int, n_steps: int, steps_per_epoch: int) -> np.ndarray | None:
        """Momenta of a run of steps, as `rates`; None: the optimizer's own."""
        return None

    def _tabulate(self, compute, first_step: int, n_steps: int, steps_per_epoch: int) -> np.ndarray:
        """A function of the time, for each step of a run."""
        steps = np.arange(first_step, first_step + n_steps)
        if self.per == "step":
            times, counts = steps / steps_per_epoch, np.ones(n_steps, dtype=np.int64)
        else:
            times, counts = np.unique(steps // steps_per_epoch, return_counts=True)
        values = [compute(t) for t in times.tolist()]
        return np.repeat(np.array(values, dtype=np.float64), counts)


class Constant(Schedule):
    """r, at all times: what `fit` does without a schedule."""

    def compute_rate(self, t: float, base_rate: float) -> float:
        return base_rate


class Step(Schedule):
    """r drop^floor(t / every): a fall after so many epochs, as PyTorch's StepLR.

    Parameters
    ----------
    drop : float, default 0.1
        Factor of each fall, in (0, 1].
    every : int, default 10
        Epochs between two.
    """

    def __init__(self, drop: float = 0.1, every: int = 10, *, per: str = "epoch") -> None:
        self.drop = _check_factor("drop", drop)
        self.every = check_int("every", every, 1)
        super().__init__(per)

    def compute_rate(self, t: float, base_rate: float) -> float:
        return base_rate * self.drop ** math.floor(t / self.every)


class Exponential(Schedule):
    """r decay^t, as PyTorch's ExponentialLR.

    Parameters
    ----------
    decay : float
        Factor of each epoch, in (0, 1].
    """

    def __init__(self, decay: float, *, per: str = "epoch") -> None:
        self.decay = _check_factor("decay", decay)
        super().__init__(per)

    def compute_rate(self, t: float, base_rate: float) -> float:
        return base_rate * self.decay**t


class InverseTime(Schedule):
    """r / (1 + decay t): "1/t", under which SGD converges.

    H. Robbins and S. Monro, "A stochastic approximation method" (1951), section 4: the sum of the
    rates diverges, that of their squares does not.

    Parameters
    ----------
    decay : float
        At least 0.
    """

    def __init__(self, decay: float, *, per: str = "epoch") -> None:
        self.decay = check_number("decay", decay, low=0)
        super().__init__(per)

    def compute_rate(self, t: float, base_rate: float) -> float:
        return base_rate / (1 + self.decay * t)


class Polynomial(Schedule):
    """end + (r - end) (1 - t / n_epochs)^power; after n_epochs, `end`.

    As PyTorch's PolynomialLR, where end = 0.

    Parameters
    ----------
    n_epochs : int
    power : float, default 1.0
        1: a straight line. Greater than 0.
    end : float, default 0.0
        A learning rate, at least 0.
    """

    def __init__(
        self, n_epochs: int, power: float = 1.0, end: float = 0.0, *, per: str = "epoch"
    ) -> None:
        self.n_epochs = check_int("n_epochs", n_epochs, 1)
        self.power = check_number("power", power, low=0, low_open=True)
        self.end = check_number("end", end, low=0)
        super().__init__(per)

    def compute_rate(self, t: float, base_rate: float) -> float:
        left = 1 - min(t / self.n_epochs, 1)
        return self.end + (base_rate - self.end) * left**self.power


class Cosine(Schedule):
    """end + (r - end) (1 + cos(pi t / n_epochs)) / 2; after n_epochs `end`, or again from r.

    I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017),
    equation 5. As PyTorch's CosineAnnealingLR, which rises again after n_epochs, and with restarts
    CosineAnnealingWarmRestarts.

    Parameters
    ----------
    n_epochs : int
        Until the end, or the first restart.
    end : float, default 0.0
        A learning rate, at least 0.
    restarts : bool, default False
    growth : int, default 1
        Each restart's length is so many times that of the one before (T_mult of the paper).
    """

    def __init__(
        self,
        n_epochs: int,
        end: float = 0.0,
        *,
        restarts: bool = False,
        growth: int = 1,
        per: str = "epoch",
    ) -> None:
        self.n_epochs = check_int("n_epochs", n_epochs, 1)
        self.end = check_number("end", end, low=0)
        self.restarts = bool(restarts)
        self.growth = check_int("growth", growth, 1)
        super().__init__(per)

    def compute_rate(self, t: float, base_rate: float) -> float:
        done = self._restart(t) if self.restarts else min(t / self.n_epochs, 1)
        return _follow_cosine(base_rate, self.end, done)

    def _restart(self, t: float) -> float:
        """Which share of its cycle is over."""
        if self.growth == 1:
            return t % self.n_epochs / self.n_epochs
        length = self.n_epochs
        while t >= length:
            t -= length
            length *= self.growth
        return t / length


class OneCycle(Schedule):
    """Up from r / rise_factor to r, then down to r / fall_factor, both along a cosine.

    L. Smith and N. Topin, "Super-convergence: very fast training of neural networks using large
    learning rates" (2018), with the cosines of PyTorch's OneCycleLR. There r is called max_lr, and
    the last step is at the end; here the end is at t = n_epochs, as in all schedules.

    With `momentum_range` the momentum takes the way back: down from the greatest to the least while
    the rate rises, then up again (L. Smith, "A disciplined approach to neural network
    hyper-parameters: part 1", 2018, section 4.3). Of Adam and AdamW it is beta1.

    Parameters
    ----------
    n_epochs : int
    rise : float, default 0.3
        Share of the time that the rise takes, in (0, 1).
    rise_factor, fall_factor : float, default 25 and 250000
        At least 1.
    momentum_range : (float, float), optional
        Least and greatest momentum, in [0, 1): PyTorch's are (0.85, 0.95). By default the
        optimizer's own momentum stays. For `SGD` and `RMSProp` with a momentum, `Adam` and `AdamW`.
    per : {"epoch", "step"}, default "step"
    """

    def __init__(
        self,
        n_epochs: int,
        *,
        rise: float = 0.3,
        rise_factor: float = 25.0,
        fall_factor: float = 250000.0,
        momentum_range: tuple[float, float] | None = None,
        per: str = "step",
    ) -> None:
        self.n_epochs = check_int("n_epochs", n_epochs, 1)
        self.rise = check_number("rise", rise, 0, 1, low_open=True, high_open=True)
        self.rise_factor = check_number("rise_factor", rise_factor, low=1)
        self.fall_factor = check_number("fall_factor", fall_factor, low=1)
        self.momentum_range = _check_range(momentum_range)
        super().__init__(per)

    def compute_rate(self, t: float, base_rate: float) -> float:
        return self._cycle(t, base_rate / self.rise_factor, base_rate, base_rate / self.fall_factor)

    def momenta(self, first_step: int, n_steps: int, steps_per_epoch: int) -> np.ndarray | None:
        if self.momentum_range is None:
            return None
        least, greatest = self.momentum_range
        return self._tabulate(
            lambda t: self._cycle(t, greatest, least, greatest),
            first_step,
            n_steps,
            steps_per_epoch,
        )

    def _cycle(self, t: float, start: float, peak: float, end: float) -> float:
        """From `start` to `peak`, and on to `end`."""
        turn = self.rise * self.n_epochs
        if t < turn:
            return _follow_cosine(start, peak, t / turn)
        return _follow_cosine(peak, end, min((t - turn) / (self.n_epochs - turn), 1))


class Warmup(Schedule):
    """The rate of another schedule times start + (1 - start) t / n_epochs, until n_epochs are over.

    P. Goyal et al., "Accurate, large minibatch SGD" (2017), section 2.2 ("gradual warmup"). As
    PyTorch's LinearLR, chained with the other schedule. The other one is not delayed.

    Parameters
    ----------
    schedule : Schedule, optional
        By default a constant rate.
    n_epochs : float, default 1
        Greater than 0; less than 1 is a part of the first epoch.
    start : float, default 0.1
        The first factor, in (0, 1].
    per : {"epoch", "step"}, default "step"
        Of the factor; `schedule` has its own.
    """

    def __init__(
        self,
        schedule: Schedule | None = None,
        n_epochs: float = 1.0,
        start: float = 0.1,
        *,
        per: str = "step",
    ) -> None:
        self.schedule = check_schedule(schedule) or Constant()
        self.n_epochs = check_number("n_epochs", n_epochs, low=0, low_open=True)
        self.start = _check_factor("start", start)
        super().__init__(per)

    def compute_rate(self, t: float, base_rate: float) -> float:
        return base_rate * (self.start + (1 - self.start) * min(t / self.n_epochs, 1))

    def rates(
        self, first_step: int, n_steps: int, steps_per_epoch: int, base_rate: float
    ) -> np.ndarray:
        factors = super().rates(first_step, n_steps, steps_per_epoch, 1.0)
        return factors * self.schedule.rates(first_step, n_steps, steps_per_epoch, base_rate)

    def momenta(self, first_step: int, n_steps: int, steps_per_epoch: int) -> np.ndarray | None:
        return self.schedule.momenta(first_step, n_steps, steps_per_epoch)


def check_schedule(schedule) -> Schedule | None:
    """Return `schedule`, or raise TypeError if it is none."""
    if schedule is not None and not isinstance(schedule, Schedule):
        raise TypeError(
            f"schedule is {schedule!r}; expected one such as fastnn.schedules.Step(0.1, every=10)"
        )
    return schedule


def check_momentum(schedule: Schedule | None, optimizer) -> None:
    """Refuse a schedule that cycles the momentum of an optimizer that has none to be cycled."""
    if schedule is None or schedule.momenta(0, 1, 1) is None:
        return
    if optimizer.momentum_name is None:
        raise ValueError(
            f"schedule is {schedule!r}, which changes the momentum, but {optimizer!r} has none "
            "that can be changed: leave out momentum_range, or use an optimizer such as "
            "fastnn.SGD(0.1, momentum=0.95) or fastnn.Adam()"
        )


def _check_range(momentum_range) -> tuple[float, float] | None:
    if momentum_range is None:
        return None
    if not isinstance(momentum_range, (tuple, list)) or len(momentum_range) != 2:
        raise ValueError(
            f"momentum_range must be a pair such as (0.85, 0.95), got {momentum_range!r}"
        )
    least, greatest = momentum_range
    least = check_number("momentum_range[0]", least, low=0, high=1, high_open=True)
    return least, check_number("momentum_range[1]", greatest, low=least, high=1, high_open=True)


def _check_factor(name: str, value) -> float:
    return check_number(name, value, low=0, high=1, low_open=True)


def _follow_cosine(start: float, end: float, done: float) -> float:
    """From `start` to `end` along half a cosine, of which the share `done` is over."""
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
