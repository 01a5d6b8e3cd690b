"""Adam and its kin: settings, in the notation of `fastnn.optimizers`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from fastnn._optimizer import Decayed
from fastnn._settings import document


@document
@dataclass(eq=False, repr=False)
class Adam(Decayed):
    """Steps along the running mean of g, divided by the root of that of g squared.

    m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2,
    w <- w - r (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)

    D. Kingma and J. Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1, as
    PyTorch: epsilon is added after the correction of v.
    """

    kernel = "adam"
    slot_names = ("first_moment", "second_moment")
    momentum_name: ClassVar[Any] = "beta1"

    learning_rate: float = 0.001
    _: KW_ONLY
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8


@document
@dataclass(eq=False, repr=False)
class AdamW(Adam):
    """Adam with decoupled weight decay: first w <- (1 - r weight_decay) w, then Adam's step.

    I. Loshchilov and F. Hutter, "Decoupled weight decay regularization" (2019), algorithm 2, as
    PyTorch: the decay is multiplied by the learning rate.
    """

    learning_rate: float = 0.001
    _: KW_ONLY
    weight_decay: float = 0.01

    coupled_decay = 0.0

    @property
    def decoupled_decay(self) -> float:
        return self.weight_decay


@document
@dataclass(eq=False, repr=False)
class NAdam(Adam):
    """Adam with Nesterov's momentum.

    m and v as in `Adam`; mu_t = b1 (1 - 0.96^(t momentum_decay) / 2), P_t = mu_1 ... mu_t,
    w <- w - r ((1 - mu_t) / (1 - P_t) g + mu_(t+1) / (1 - P_(t+1)) m)
    / (sqrt(v / (1 - b2^t)) + epsilon)

    T. Dozat, "Incorporating Nesterov momentum into Adam" (2016), algorithm 2 with the schedule of
    mu of its section 3, as PyTorch: m follows b1 and not mu_t.
    """

    kernel = "nadam"
    momentum_name = None  # it has a schedule of momenta of its own

    learning_rate: float = 0.002
    _: KW_ONLY
    momentum_decay: float = 0.004
