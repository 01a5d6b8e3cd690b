"""Losses: settings, and which output layers each stands behind. No arithmetic.

The formulas are computed by ``csrc/kernels/losses.inc``, ``cross_entropy.inc`` and ``hinge.inc``
from raw scores z, or from the output a of the last layer; t is the target, n the number of outputs.
"""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from fastnn._core.kernels import get_merged_activation, get_targets, list_loss_settings
from fastnn._validate import check_choice, check_number

# Activations whose outputs all have one sign: no threshold at 0 tells classes apart behind them.
ONE_SIGNED = frozenset(
    {"relu", "sigmoid", "softmax", "exponential", "softplus", "hard_sigmoid", "log_softmax"}
)

_get_targets = functools.cache(get_targets)  # asked several times in each prediction


@dataclass(frozen=True)
class Loss:
    """What all losses have in common; `Network` takes one of the classes below, or its name.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Of the losses of the rows, over the batch that is trained on and over the rows that are
        evaluated. Rows with weights: the weighted mean, or the weighted sum.

    Attributes
    ----------
    name : str
        Its entry in ``csrc/lists/losses.def``.
    """

    reduction: str = field(default="mean", kw_only=True)
    name: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if not self.name:
            raise TypeError(f"Loss is the base of the losses; take one of {_list_classes()}")
        check_choice("reduction", self.reduction, ["mean", "sum"])

    @property
    def targets(self) -> str:
        """What it compares the output with.

        "values", "counts", "classes", "labels", "binary" (see losses.def), or "signs": a yes or no
        for each output, and no probabilities.
        """
        return _get_targets(self.name)

    @property
    def is_classifier(self) -> bool:
        """Whether targets are classes, or a yes or no for each output, rather than numbers."""
        return self.targets in ("classes", "labels", "binary", "signs")

    @property
    def merged_activation(self) -> str:
        """The activation that the loss contains: it takes raw scores. "identity": none."""
        return get_merged_activation(self.name)

    @property
    def settings(self) -> dict[str, float]:
        """All settings that kernels know, 0 for those that this loss has not."""
        return {name: float(getattr(self, name, 0)) for name in list_loss_settings()}

    def to_state(self) -> dict[str, Any]:
        """What a model file keeps; `restore_loss` takes it."""
        return {"name": self.name, **asdict(self)}

    @property
    def decides_by(self) -> str:
        """What predictions are taken from: "scores", or "means" behind a merged activation."""
        return "scores" if self.is_classifier else "means"

    def require_probabilities(self) -> None:
        """Raise unless probabilities of classes can be told."""
        if self.targets not in ("classes", "binary"):
            what = "knows no probabilities" if self.is_classifier else "takes values"
            raise ValueError(
                f"predict_proba needs a classifier trained by cross-entropy, but the loss "
                f"{self.name!r} {what}: use predict"
            )

    def check_output_activation(self, activation: str) -> bool:
        """Whether the loss merges with an output layer of this activation; raises if it cannot.

        A loss with an activation of its own takes raw scores, from a layer with no activation or
        with the one that it contains, which is then applied once.
        """
        merged = self.merged_activation
        if merged == "identity":
            return False
        # log-softmax differs from raw scores by a constant of the row, which softmax takes out
        fitting = ["identity", merged] + ["log_softmax"] * (merged == "softmax")
        if activation not in fitting:
            raise ValueError(
                f"the last layer's activation is {activation!r}, but the loss {self.name!r} needs "
                f"raw scores: use {' or '.join(map(repr, fitting))} in the last layer"
            )
        return True

    def _check_share(self, name: str) -> None:
        object.__setattr__(self, name, check_number(name, getattr(self, name), low=0, high=1))


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Loss):
    """-sum_j t_j log p_j with p = softmax(z): one class of several, from raw scores.

    J. S. Bridle, "Training stochastic model recognition algorithms as networks can lead to maximum
    mutual information estimation of parameters" (1990), equations 8 and 12. Label smoothing:
    C. Szegedy et al., "Rethinking the Inception architecture for computer vision" (2016), part 7.

    Targets are labels, one-hot rows or rows of probabilities; a 0/1 matrix is one-hot. The last
    layer has no activation, or softmax, which is then applied once.

    Parameters
    ----------
    label_smoothing : float in 0..1, default 0
        The share s of each target that is spread evenly over all classes: (1 - s) t_j + s / n.
    reduction : {"mean", "sum"}
    """

    label_smoothing: float = 0.0
    name: ClassVar[str] = "softmax_cross_entropy"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_share("label_smoothing")


@dataclass(frozen=True)
class _Elementwise(Loss):
    """A loss with a term for each output.

    `sum_outputs` adds a row's terms up, instead of taking their mean as Keras and PyTorch do.
    """

    sum_outputs: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "sum_outputs", bool(self.sum_outputs))


@dataclass(frozen=True)
class MSE(_Elementwise):
    """Mean squared error, (a - t)^2 averaged over the outputs.

    A.-M. Legendre, "Nouvelles méthodes pour la détermination des orbites des comètes" (1805),
    appendix.

    Parameters
    ----------
    sum_outputs : bool, default False
        Add up the squared errors of a row, as courses do, instead of averaging them.
    reduction : {"mean", "sum"}
    """

    name: ClassVar[str] = "mse"


@dataclass(frozen=True)
class MAE(_Elementwise):
    """Mean absolute error, |a - t| averaged over the outputs; its slope is 0 where a = t.

    R. J. Boscovich (1757); see S. M. Stigler, "The History of Statistics" (1986), chapter 1.

    Parameters
    ----------
    sum_outputs : bool, default False
        Add up the errors of a row instead of averaging them.
    reduction : {"mean", "sum"}
    """

    name: ClassVar[str] = "mae"


@dataclass(frozen=True)
class Huber(_Elementwise):
    """e^2 / 2 for errors e = a - t up to delta, delta (|e| - delta / 2) beyond; averaged.

    P. J. Huber, "Robust estimation of a location parameter" (1964), section 3.

    Parameters
    ----------
    delta : float, default 1
        Greater than 0.
    sum_outputs : bool, default False
    reduction : {"mean", "sum"}
    """

    delta: float = 1.0
    name: ClassVar[str] = "huber"

    def __post_init__(self) -> None:
        super().__post_init__()
        delta = check_number("delta", self.delta, low=0, low_open=True)
        object.__setattr__(self, "delta", delta)


@dataclass(frozen=True)
class LogCosh(_Elementwise):
    """log(cosh(a - t)) averaged over the outputs: a parabola near 0, far off |a - t| - log 2.

    P. J. Green, "Bayesian reconstructions from emission tomography data using a modified EM
    algorithm" (1990), section II.

    Parameters
    ----------
    sum_outputs : bool, default False
    reduction : {"mean", "sum"}
    """

    name: ClassVar[str] = "log_cosh"


@dataclass(frozen=True)
class Poisson(_Elementwise):
    """e^z - t z averaged over the outputs: counts t of mean e^z, up to a term in t alone.

    P. McCullagh and J. A. Nelder, "Generalized Linear Models" (1989), section 6.2. As PyTorch's
    ``PoissonNLLLoss(log_input=True)``.

    Targets are numbers of at least 0. The last layer has no activation, or "exponential", which is
    then applied once; `predict` gives the means e^z.

    Parameters
    ----------
    sum_outputs : bool, default False
    reduction : {"mean", "sum"}
    """

    name: ClassVar[str] = "poisson"


@dataclass(frozen=True)
class BinaryCrossEntropy(_Elementwise):
    """-t log p - (1 - t) log(1 - p) with p = sigmoid(z), averaged over the outputs.

    D. R. Cox, "The regression analysis of binary sequences" (1958), equations 2 and 3.

    With one output, targets are labels of two classes of any kind, or probabilities of the second.
    With several, a matrix of 0/1, False/True, -1/+1 or two strings, which mean no and yes in all
    columns: each output is a question of its own (multilabel); 0..1 are probabilities of yes. The
    last layer has no activation, or sigmoid, which is then applied once.

    Parameters
    ----------
    label_smoothing : float in 0..1, default 0
        The share s of each target that is spread evenly over yes and no: (1 - s) t + s / 2.
    sum_outputs : bool, default False
    reduction : {"mean", "sum"}
    """

    label_smoothing: float = 0.0
    name: ClassVar[str] = "binary_cross_entropy"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_share("label_smoothing")


@dataclass(frozen=True)
class Hinge(_Elementwise):
    """max(0, m) of the margins m by which the right class is not ahead by 1.

    With one output and classes s = -1 and +1, m = 1 - s a. With n outputs and the class y,
    m_j = 1 - a_y + a_j, summed over all j other than y and divided by n. The first is that of
    C. Cortes and V. Vapnik, "Support-vector networks" (1995), and of scikit-learn; the second that
    of J. Weston and C. Watkins, "Support vector machines for multi-class pattern recognition"
    (1999), as PyTorch's ``MultiMarginLoss`` computes it. (For three or more classes scikit-learn's
    metric ``hinge_loss`` takes the largest m_j instead.)

    Targets are labels or one-hot rows. There are no probabilities.

    Parameters
    ----------
    multilabel : bool, default False
        Each output is a question of its own: m_j = 1 - s_j a_j, averaged over the n outputs.
        Targets are matrices of two entries for no and yes, as of `BinaryCrossEntropy`.
    sum_outputs : bool, default False
        Do not divide by n.
    reduction : {"mean", "sum"}
    """

    multilabel: bool = field(default=False, kw_only=True)
    name: ClassVar[str] = "hinge"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "multilabel", bool(self.multilabel))

    @property
    def targets(self) -> str:
        return "signs" if self.multilabel else super().targets

    def check_output_activation(self, activation: str) -> bool:
        if activation in ONE_SIGNED:
            raise ValueError(
                f"the last layer's activation is {activation!r}, whose outputs have one sign, but "
                f"the loss {self.name!r} tells classes apart at 0: use 'identity' or 'tanh' in the "
                "last layer, or another loss"
            )
        return False


@dataclass(frozen=True)
class SquaredHinge(Hinge):
    """max(0, m)^2 of the margins of `Hinge`, which is PyTorch's ``MultiMarginLoss(p=2)``.

    Parameters
    ----------
    multilabel : bool, default False
        As of `Hinge`.
    sum_outputs : bool, default False
        Do not divide by the number of outputs.
    reduction : {"mean", "sum"}
    """

    name: ClassVar[str] = "squared_hinge"


LOSSES: dict[str, type[Loss]] = {
    loss.name: loss
    for loss in (
        SoftmaxCrossEntropy,
        MSE,
        MAE,
        Huber,
        LogCosh,
        Poisson,
        BinaryCrossEntropy,
        Hinge,
        SquaredHinge,
    )
}


def _list_classes() -> str:
    return ", ".join(f"fastnn.{loss.__name__}" for loss in LOSSES.values())


def check_loss(loss) -> Loss:
    """Return a loss given by name or as an object."""
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str):
        return LOSSES[check_choice("loss", loss, list(LOSSES))]()
    raise TypeError(f"loss is {loss!r}; expected a name or an object of {_list_classes()}")


def restore_loss(state: dict[str, Any]) -> Loss:
    """The loss that `Loss.to_state` described."""
    if not isinstance(state, dict):
        raise TypeError(f"loss is {state!r}; expected its name and settings")
    settings = dict(state)
    return LOSSES[check_choice("loss", settings.pop("name"), list(LOSSES))](**settings)
