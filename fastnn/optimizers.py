"""Optimizers: settings; the arithmetic is in ``csrc/kernels/optimizers.inc``.

In the formulas w is a parameter, g its gradient (of the mean loss of a batch, penalties included,
clipped where asked for, with ``weight_decay`` * w added where that is coupled), r the learning
rate, t the number of the step from 1 on. All operations are elementwise. Where papers and PyTorch
differ, PyTorch is followed, and the difference is told.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from fastnn._adam import Adam, AdamW, NAdam
from fastnn._lbfgs import LBFGS
from fastnn._optimizer import Decayed, Descent, Optimizer
from fastnn._settings import document
from fastnn._validate import check_number

__all__ = ["LBFGS", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "NAdam", "RMSProp", "RProp"]


@document
@dataclass(eq=False, repr=False)
class SGD(Decayed):
    """Stochastic gradient descent, also with momentum.

    Plain: w <- w - r g (H. Robbins and S. Monro, "A stochastic approximation method", 1951,
    equation 6). With momentum m: v <- m v + g, w <- w - r v (B. Polyak, "Some methods of speeding
    up the convergence of iteration methods", 1964, equation 9; I. Sutskever et al., "On the
    importance of initialization and momentum in deep learning", 2013, equations 1-2, where r is
    inside v). With Nesterov's: v <- m v + g, w <- w - r (g + m v) (equations 3-4 there, written for
    the point looked ahead to). As PyTorch: r outside of v, v = g at the first step.
    """

    learning_rate: float = 0.01
    _: KW_ONLY
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum greater than 0, got momentum=0.0")
        super().__post_init__()

    @property
    def kernel(self) -> str:
        if not self.momentum:
            return "sgd"
        return "nesterov" if self.nesterov else "momentum"

    @property
    def slot_names(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    @property
    def momentum_name(self) -> str | None:
        return "momentum" if self.momentum else None

    # Without momentum, coupled and decoupled are the same: w <- (1 - r weight_decay) w - r g. The
    # tile that computes dW can do that.
    @property
    def coupled_decay(self) -> float:
        return self.weight_decay if self.momentum else 0.0

    @property
    def decoupled_decay(self) -> float:
        return 0.0 if self.momentum else self.weight_decay


@document
@dataclass(eq=False, repr=False)
class RMSProp(Decayed):
    """Divides g by the root of the running mean of its square.

    v <- rho v + (1 - rho) g^2, w <- w - r g / (sqrt(v) + epsilon); with momentum m:
    b <- m b + g / (sqrt(v) + epsilon), w <- w - r b

    T. Tieleman and G. Hinton, "Lecture 6.5: rmsprop" (2012), as PyTorch: epsilon is added outside
    of the root; rho is called alpha there.
    """

    learning_rate: float = 0.01
    _: KW_ONLY
    rho: float = 0.99
    momentum: float = 0.0
    epsilon: float = 1e-8

    @property
    def kernel(self) -> str:
        return "rmsprop_momentum" if self.momentum else "rmsprop"

    @property
    def slot_names(self) -> tuple[str, ...]:
        return ("mean_square", "velocity") if self.momentum else ("mean_square",)

    @property
    def momentum_name(self) -> str | None:
        return "momentum" if self.momentum else None


@document
@dataclass(eq=False, repr=False)
class Adagrad(Decayed):
    """Divides g by the root of the sum of all its squares.

    v <- v + g^2, w <- w - r / (1 + (t - 1) rate_decay) g / (sqrt(v) + epsilon)

    J. Duchi et al., "Adaptive subgradient methods for online learning and stochastic optimization"
    (2011), figure 1 with diagonal matrices, as PyTorch, from where rate_decay comes.
    """

    kernel = "adagrad"
    slot_names = ("sum_of_squares",)

    learning_rate: float = 0.01
    _: KW_ONLY
    rate_decay: float = 0.0
    initial: float = 0.0
    epsilon: float = 1e-10

    def fill_slot(self, name: str) -> float:
        return self.initial


@document
@dataclass(eq=False, repr=False)
class Adadelta(Decayed):
    """Steps of the size of the steps so far.

    v <- rho v + (1 - rho) g^2, d = sqrt(u + epsilon) / sqrt(v + epsilon) g,
    u <- rho u + (1 - rho) d^2, w <- w - r d

    M. Zeiler, "ADADELTA: an adaptive learning rate method" (2012), algorithm 1, is that of
    r = 1; r is PyTorch's.
    """

    kernel = "adadelta"
    slot_names = ("mean_square", "mean_square_step")

    learning_rate: float = 1.0
    _: KW_ONLY
    rho: float = 0.9
    epsilon: float = 1e-6


@document
@dataclass(eq=False, repr=False)
class RProp(Descent):
    """Steps of a size of their own for each parameter, by the sign of g; for full batches.

    The size grows where the sign of g stays and shrinks where it turns; there, the step is left
    out once. w <- w - size sign(g)

    M. Riedmiller and H. Braun, "A direct adaptive method for faster backpropagation learning: the
    RPROP algorithm" (1993), as PyTorch: without the way back of the paper's weight-backtracking
    (called iRprop- by C. Igel and M. Huesken, 2000). The first size of all steps is learning_rate;
    a schedule has no effect after that. Clipping has none either, since only signs count.
    """

    kernel = "rprop"
    slot_names = ("last_gradient", "step_size")

    learning_rate: float = 0.01
    _: KW_ONLY
    shrink: float = 0.5
    grow: float = 1.2
    min_step: float = 1e-6
    max_step: float = 50.0

    def __post_init__(self) -> None:
        check_number("max_step", self.max_step, low=self.min_step)
        super().__post_init__()

    def fill_slot(self, name: str) -> float:
        return self.learning_rate if name == "step_size" else 0.0


def check_optimizer(optimizer) -> Optimizer:
    """Return `optimizer`, or the default one for None."""
    if optimizer is None:
        return SGD()
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer is {optimizer!r}; expected one such as fastnn.SGD(0.1)")
    return optimizer
