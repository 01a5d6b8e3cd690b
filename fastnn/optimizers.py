"""Optimizers: settings; the arithmetic is in ``csrc/kernels/optimizers.inc``.

In the formulas w is a parameter, g its gradient (of the mean loss of a batch, penalties included,
clipped where asked for, with ``weight_decay`` * w added where that is coupled), r the learning
rate, t the number of the step from 1 on. All operations are elementwise. Where papers and PyTorch
differ, PyTorch is followed, and the difference is told.
"""

from __future__ import annotations

from fastnn._adam import Adam, AdamW, NAdam
from fastnn._optimizer import Optimizer, check_decay, check_fraction, check_positive
from fastnn._validate import check_number

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "NAdam", "RMSProp", "RProp"]


class SGD(Optimizer):
    """Stochastic gradient descent, also with momentum.

    Plain: w <- w - r g (H. Robbins and S. Monro, "A stochastic approximation method", 1951,
    equation 6). With momentum m: v <- m v + g, w <- w - r v (B. Polyak, "Some methods of speeding
    up the convergence of iteration methods", 1964, equation 9; I. Sutskever et al., "On the
    importance of initialization and momentum in deep learning", 2013, equations 1-2, where r is
    inside v). With Nesterov's: v <- m v + g, w <- w - r (g + m v) (equations 3-4 there, written for
    the point looked ahead to). As PyTorch: r outside of v, v = g at the first step.

    Parameters
    ----------
    learning_rate : float, default 0.01
        Greater than 0.
    momentum : float, default 0.0
        In [0, 1).
    nesterov : bool, default False
        Needs a momentum.
    weight_decay : float, default 0.0
        Coupled: g <- g + weight_decay w, of weights and biases alike, as PyTorch does.
    clip_value : float, optional
        Elements of the gradient are clipped to [-clip_value, clip_value].
    """

    def __init__(
        self,
        learning_rate: float = 0.01,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        clip_value: float | None = None,
    ) -> None:
        self.momentum = check_fraction("momentum", momentum)
        self.nesterov = bool(nesterov)
        self.weight_decay = check_decay(weight_decay)
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum greater than 0, got momentum=0.0")
        super().__init__(learning_rate, clip_value)

    @property
    def kernel(self) -> str:
        if not self.momentum:
            return "sgd"
        return "nesterov" if self.nesterov else "momentum"

    @property
    def slot_names(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    # Without momentum, coupled and decoupled are the same: w <- (1 - r weight_decay) w - r g. The
    # tile that computes dW can do that.
    @property
    def coupled_decay(self) -> float:
        return self.weight_decay if self.momentum else 0.0

    @property
    def decoupled_decay(self) -> float:
        return 0.0 if self.momentum else self.weight_decay


class RMSProp(Optimizer):
    """Divides g by the root of the running mean of its square.

    v <- rho v + (1 - rho) g^2, w <- w - r g / (sqrt(v) + epsilon); with momentum m:
    b <- m b + g / (sqrt(v) + epsilon), w <- w - r b

    T. Tieleman and G. Hinton, "Lecture 6.5: rmsprop" (2012), as PyTorch: epsilon is added outside
    of the root; rho is called alpha there.

    Parameters
    ----------
    learning_rate : float, default 0.01
        Greater than 0.
    rho : float, default 0.99
        How slowly v forgets; in [0, 1).
    momentum : float, default 0.0
        In [0, 1).
    epsilon : float, default 1e-8
        Greater than 0.
    weight_decay : float, default 0.0
        Coupled: g <- g + weight_decay w, of weights and biases alike.
    clip_value : float, optional
        Elements of the gradient are clipped to [-clip_value, clip_value].
    """

    def __init__(
        self,
        learning_rate: float = 0.01,
        *,
        rho: float = 0.99,
        momentum: float = 0.0,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        clip_value: float | None = None,
    ) -> None:
        self.rho = check_fraction("rho", rho)
        self.momentum = check_fraction("momentum", momentum)
        self.epsilon = check_positive("epsilon", epsilon)
        self.weight_decay = self.coupled_decay = check_decay(weight_decay)
        super().__init__(learning_rate, clip_value)

    @property
    def kernel(self) -> str:
        return "rmsprop_momentum" if self.momentum else "rmsprop"

    @property
    def slot_names(self) -> tuple[str, ...]:
        return ("mean_square", "velocity") if self.momentum else ("mean_square",)


class Adagrad(Optimizer):
    """Divides g by the root of the sum of all its squares.

    v <- v + g^2, w <- w - r / (1 + (t - 1) rate_decay) g / (sqrt(v) + epsilon)

    J. Duchi et al., "Adaptive subgradient methods for online learning and stochastic optimization"
    (2011), figure 1 with diagonal matrices, as PyTorch, from where rate_decay comes.

    Parameters
    ----------
    learning_rate : float, default 0.01
        Greater than 0.
    rate_decay : float, default 0.0
    initial : float, default 0.0
        What v begins with.
    epsilon : float, default 1e-10
        Greater than 0.
    weight_decay : float, default 0.0
        Coupled: g <- g + weight_decay w, of weights and biases alike.
    clip_value : float, optional
        Elements of the gradient are clipped to [-clip_value, clip_value].
    """

    kernel = "adagrad"
    slot_names = ("sum_of_squares",)

    def __init__(
        self,
        learning_rate: float = 0.01,
        *,
        rate_decay: float = 0.0,
        initial: float = 0.0,
        epsilon: float = 1e-10,
        weight_decay: float = 0.0,
        clip_value: float | None = None,
    ) -> None:
        self.rate_decay = check_number("rate_decay", rate_decay, low=0)
        self.initial = check_number("initial", initial, low=0)
        self.epsilon = check_positive("epsilon", epsilon)
        self.weight_decay = self.coupled_decay = check_decay(weight_decay)
        super().__init__(learning_rate, clip_value)

    def fill_slot(self, name: str) -> float:
        return self.initial


class Adadelta(Optimizer):
    """Steps of the size of the steps so far.

    v <- rho v + (1 - rho) g^2, d = sqrt(u + epsilon) / sqrt(v + epsilon) g,
    u <- rho u + (1 - rho) d^2, w <- w - r d

    M. Zeiler, "ADADELTA: an adaptive learning rate method" (2012), algorithm 1; r is PyTorch's.

    Parameters
    ----------
    learning_rate : float, default 1.0
        The paper's algorithm is that of 1.
    rho : float, default 0.9
        How slowly u and v forget; in [0, 1).
    epsilon : float, default 1e-6
        Greater than 0.
    weight_decay : float, default 0.0
        Coupled: g <- g + weight_decay w, of weights and biases alike.
    clip_value : float, optional
        Elements of the gradient are clipped to [-clip_value, clip_value].
    """

    kernel = "adadelta"
    slot_names = ("mean_square", "mean_square_step")

    def __init__(
        self,
        learning_rate: float = 1.0,
        *,
        rho: float = 0.9,
        epsilon: float = 1e-6,
        weight_decay: float = 0.0,
        clip_value: float | None = None,
    ) -> None:
        self.rho = check_fraction("rho", rho)
        self.epsilon = check_positive("epsilon", epsilon)
        self.weight_decay = self.coupled_decay = check_decay(weight_decay)
        super().__init__(learning_rate, clip_value)


class RProp(Optimizer):
    """Steps of a size of their own for each parameter, by the sign of g; for full batches.

    The size grows where the sign of g stays and shrinks where it turns; there, the step is left
    out once. w <- w - size sign(g)

    M. Riedmiller and H. Braun, "A direct adaptive method for faster backpropagation learning: the
    RPROP algorithm" (1993), as PyTorch: without the way back of the paper's weight-backtracking
    (called iRprop- by C. Igel and M. Huesken, 2000).

    Parameters
    ----------
    learning_rate : float, default 0.01
        The first size of all steps. A schedule has no effect after that.
    shrink, grow : float, default 0.5 and 1.2
        Factors of the size, below and above 1.
    min_step, max_step : float, default 1e-6 and 50
        Bounds of the size.
    clip_value : float, optional
        Has no effect, since only signs count; taken as all optimizers take it.
    """

    kernel = "rprop"
    slot_names = ("last_gradient", "step_size")

    def __init__(
        self,
        learning_rate: float = 0.01,
        *,
        shrink: float = 0.5,
        grow: float = 1.2,
        min_step: float = 1e-6,
        max_step: float = 50.0,
        clip_value: float | None = None,
    ) -> None:
        self.shrink = check_number("shrink", shrink, 0, 1, low_open=True, high_open=True)
        self.grow = check_number("grow", grow, low=1, low_open=True)
        self.min_step = check_positive("min_step", min_step)
        self.max_step = check_number("max_step", max_step, low=self.min_step)
        super().__init__(learning_rate, clip_value)

    def fill_slot(self, name: str) -> float:
        return self.learning_rate if name == "step_size" else 0.0


def check_optimizer(optimizer) -> Optimizer:
    """Return `optimizer`, or the default one for None."""
    if optimizer is None:
        return SGD()
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer is {optimizer!r}; expected one such as fastnn.SGD(0.1)")
    return optimizer
