"""Optimizers: settings; the arithmetic is in ``csrc/kernels/optimizers.inc``."""

from __future__ import annotations

from fastnn._validate import check_number


class SGD:
    """Stochastic gradient descent, w <- w - learning_rate * dL/dw.

    H. Robbins and S. Monro, "A stochastic approximation method" (1951), equation 6, on the mean
    gradient of a mini-batch.

    Parameters
    ----------
    learning_rate : float, default 0.01
        Greater than 0.
    """

    name = "sgd"

    def __init__(self, learning_rate: float = 0.01) -> None:
        self.learning_rate = check_number("learning_rate", learning_rate, low=0, low_open=True)

    def __repr__(self) -> str:
        return f"SGD({self.learning_rate})"

    @property
    def settings(self) -> dict:
        """What the optimizer was made with."""
        return {"learning_rate": self.learning_rate}

    def state_dict(self) -> dict:
        """A copy of what `step` keeps from step to step: nothing."""
        return {"optimizer": type(self).__name__, "steps": 0, "slots": {}}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a `state_dict`."""

    def step(self, net) -> None:
        """Update the parameters of `net` with the gradients of its last `backward`."""
        net.apply_update(self)


def check_optimizer(optimizer) -> SGD:
    """Return `optimizer`, or the default one for None."""
    if optimizer is None:
        return SGD()
    if not isinstance(optimizer, SGD):
        raise TypeError(f"optimizer is {optimizer!r}; expected a fastnn.SGD")
    return optimizer
