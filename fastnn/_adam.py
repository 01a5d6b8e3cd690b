"""Adam and its kin: settings, in the notation of `fastnn.optimizers`."""

from __future__ import annotations

from fastnn._optimizer import Optimizer, check_decay, check_fraction, check_positive
from fastnn._validate import check_number


class Adam(Optimizer):
    """Steps along the running mean of g, divided by the root of that of g squared.

    m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2,
    w <- w - r (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)

    D. Kingma and J. Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1, as
    PyTorch: epsilon is added after the correction of v.

    Parameters
    ----------
    learning_rate : float, default 0.001
        Greater than 0.
    beta1, beta2 : float, default 0.9 and 0.999
        How slowly m and v forget; in [0, 1).
    epsilon : float, default 1e-8
        Greater than 0.
    weight_decay : float, default 0.0
        Coupled: g <- g + weight_decay w, of weights and biases alike. `AdamW` decouples it.
    clip_value : float, optional
        Elements of the gradient are clipped to [-clip_value, clip_value].
    """

    kernel = "adam"
    slot_names = ("first_moment", "second_moment")

    def __init__(
        self,
        learning_rate: float = 0.001,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        clip_value: float | None = None,
    ) -> None:
        self.beta1 = check_fraction("beta1", beta1)
        self.beta2 = check_fraction("beta2", beta2)
        self.epsilon = check_positive("epsilon", epsilon)
        self.weight_decay = check_decay(weight_decay)
        super().__init__(learning_rate, clip_value)

    @property
    def coupled_decay(self) -> float:
        return self.weight_decay


class AdamW(Adam):
    """Adam with decoupled weight decay: first w <- (1 - r weight_decay) w, then Adam's step.

    I. Loshchilov and F. Hutter, "Decoupled weight decay regularization" (2019), algorithm 2, as
    PyTorch: the decay is multiplied by the learning rate.

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon, clip_value
        As in `Adam`.
    weight_decay : float, default 0.01
        Of weights and biases alike.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(
            learning_rate,
            beta1=beta1,
            beta2=beta2,
            epsilon=epsilon,
            weight_decay=weight_decay,
            clip_value=clip_value,
        )

    coupled_decay = 0.0

    @property
    def decoupled_decay(self) -> float:
        return self.weight_decay


class NAdam(Adam):
    """Adam with Nesterov's momentum.

    m and v as in `Adam`; mu_t = b1 (1 - 0.96^(t momentum_decay) / 2), P_t = mu_1 ... mu_t,
    w <- w - r ((1 - mu_t) / (1 - P_t) g + mu_(t+1) / (1 - P_(t+1)) m)
    / (sqrt(v / (1 - b2^t)) + epsilon)

    T. Dozat, "Incorporating Nesterov momentum into Adam" (2016), algorithm 2 with the schedule of
    mu of its section 3, as PyTorch: m follows b1 and not mu_t.

    Parameters
    ----------
    learning_rate : float, default 0.002
    beta1, beta2, epsilon, weight_decay, clip_value
        As in `Adam`.
    momentum_decay : float, default 0.004
        At least 0.
    """

    kernel = "nadam"

    def __init__(
        self,
        learning_rate: float = 0.002,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        momentum_decay: float = 0.004,
        weight_decay: float = 0.0,
        clip_value: float | None = None,
    ) -> None:
        self.momentum_decay = check_number("momentum_decay", momentum_decay, low=0)
        super().__init__(
            learning_rate,
            beta1=beta1,
            beta2=beta2,
            epsilon=epsilon,
            weight_decay=weight_decay,
            clip_value=clip_value,
        )
