"""Which learning rate, and which momentum, each step of a fit has."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn._validate import check_number


class Rates:
    """What a schedule makes of an optimizer's settings; steps are counted from the fit's first.

    Parameters
    ----------
    optimizer : Optimizer
    schedule : Schedule or None
        None: the learning rate is the same for all steps, unless a callback writes it.
    steps_per_epoch : int

    Attributes
    ----------
    learning_rate : float or None
        What the schedule starts from, or else the rate itself. None where there is none.
    """

    def __init__(self, optimizer, schedule, steps_per_epoch: int) -> None:
        self._optimizer, self._schedule = optimizer, schedule
        self._steps_per_epoch = steps_per_epoch
        self.learning_rate: Any = getattr(optimizer, "learning_rate", None)

    def write(self, learning_rate: float) -> None:
        if self.learning_rate is None:
            raise ValueError(
                f"learning_rate was set to {learning_rate!r}, but {self._optimizer!r} has none"
            )
        self.learning_rate = check_number("learning_rate", learning_rate, low=0)

    def list_rates(self, first: int, n_steps: int):
        """Learning rates of steps: an array, or one number for all."""
        if self._schedule is None:
            return self.learning_rate
        return self._schedule.rates(first, n_steps, self._steps_per_epoch, self.learning_rate)

    def list_momenta(self, first: int, n_steps: int):
        """Momenta of steps where the schedule says, or None."""
        if self._schedule is None:
            return None
        return self._schedule.momenta(first, n_steps, self._steps_per_epoch)

    def find_rate(self, step: int) -> float:
        return float(np.ravel(self.list_rates(step, 1))[0])

    def describe(self, step: int) -> dict[str, float]:
        """What a row of history says of the epoch that begins with this step."""
        momenta = self.list_momenta(step, 1)
        cycled = {} if momenta is None else {"momentum": float(momenta[0])}
        return {"learning_rate": self.find_rate(step), **cycled}
