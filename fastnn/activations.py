"""Activations: what a layer does to z = x W + b. Settings; the arithmetic is in
``csrc/kernels/activations.inc``.

Each class is one entry of ``csrc/lists/activations.def``. A layer takes an object or its name:
``Dense(100, "relu")`` is ``Dense(100, fastnn.ReLU())``. In the docstrings a = f(z), and f' is the
derivative that `backward` uses.
"""

from __future__ import annotations

from fastnn._core.kernels import list_activations
from fastnn._fixed import Fixed
from fastnn._validate import check_choice, check_number


class Activation(Fixed):
    """What all activations share.

    Attributes
    ----------
    name : str
        Of the entry in activations.def.
    coefficient : float or None
        The one number that the activation takes, where it takes one.
    """

    name: str
    _setting: str | None = None  # what the coefficient is called

    @property
    def _settings(self) -> tuple[str, ...]:  # type: ignore[override]
        return () if self._setting is None else (self._setting,)

    @property
    def coefficient(self) -> float | None:
        return None if self._setting is None else getattr(self, self._setting)

    def describe(self) -> str | dict:
        """The activation as plain state: its name, or its name and its setting."""
        if self._setting is None:
            return self.name
        return {"name": self.name, self._setting: self.coefficient}

    def __repr__(self) -> str:
        setting = "" if self._setting is None else f"{self._setting}={self.coefficient}"
        return f"{type(self).__name__}({setting})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Activation) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash((self.name, self.coefficient))


class Identity(Activation):
    """a = z, f' = 1: no activation."""

    name = "identity"


class ReLU(Activation):
    """a = max(0, z), f' = 1 where z > 0, else 0.

    X. Glorot, A. Bordes and Y. Bengio, "Deep sparse rectifier neural networks" (2011), section 3.
    """

    name = "relu"


class LeakyReLU(Activation):
    """a = z where z > 0, else slope * z; f' = 1 or slope.

    A. Maas, A. Hannun and A. Ng, "Rectifier nonlinearities improve neural network acoustic models"
    (2013), equation 2.

    Parameters
    ----------
    slope : float, default 0.01
        At least 0: f' is told from the sign of a.
    """

    name = "leaky_relu"
    _setting = "slope"

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = check_number("slope", slope, low=0)


class PReLU(Activation):
    """a = z where z > 0, else slope * z, with one slope per unit, which is learnt; f' = 1 or slope.

    The slopes are ``layer.slope``, with the gradient ``layer.slope_grad``: the sum over the batch
    of dL/da min(z, 0). No penalty falls on them. K. He et al., "Delving deep into rectifiers"
    (2015), equations 1 to 3 and section 2.1.

    Parameters
    ----------
    slope : float, default 0.25
        What all slopes begin with.
    """

    name = "prelu"
    _setting = "slope"

    def __init__(self, slope: float = 0.25) -> None:
        self.slope = check_number("slope", slope)


class ELU(Activation):
    """a = z where z > 0, else alpha (e^z - 1); f' = 1 or a + alpha.

    D.-A. Clevert, T. Unterthiner and S. Hochreiter, "Fast and accurate deep network learning by
    exponential linear units" (2016), equation 15.

    Parameters
    ----------
    alpha : float, default 1.0
        At least 0: f' is told from the sign of a.
    """

    name = "elu"
    _setting = "alpha"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = check_number("alpha", alpha, low=0)


class SELU(Activation):
    """a = lambda z where z > 0, else lambda alpha (e^z - 1); f' = lambda or a + lambda alpha.

    With alpha = 1.6733 and lambda = 1.0507, which keep mean 0 and variance 1 from layer to layer:
    G. Klambauer et al., "Self-normalizing neural networks" (2017), equations 2 and 14.
    """

    name = "selu"


class GELU(Activation):
    """a = z P(z) = z / 2 (1 + erf(z / sqrt 2)), f' = P(z) + z p(z), of the normal distribution.

    D. Hendrycks and K. Gimpel, "Gaussian error linear units" (2016), section 2. For large negative
    z the error is that of 1 + erf: of the order of rounding relative to z, not to a.
    """

    name = "gelu"


class GELUTanh(Activation):
    """a = z / 2 (1 + tanh u) with u = sqrt(2 / pi) (z + 0.044715 z^3), near GELU.

    f' = s + z s (1 - s) (2 u)', where s is the sigmoid of 2 u. D. Hendrycks and K. Gimpel,
    "Gaussian error linear units" (2016), section 2.
    """

    name = "gelu_tanh"


class SiLU(Activation):
    """a = z s(z), where s is the sigmoid; f' = s(z) + z s(z) (1 - s(z)). Also called swish.

    S. Elfwing, E. Uchibe and K. Doya, "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning" (2018), equations 5 and 7.
    """

    name = "silu"


class Softplus(Activation):
    """a = log(1 + e^z), f' = 1 - e^-a, which is the sigmoid of z.

    C. Dugas et al., "Incorporating second-order functional knowledge for better option pricing"
    (2001), equation 3.
    """

    name = "softplus"


class Sigmoid(Activation):
    """a = 1 / (1 + e^-z), f' = a (1 - a): the logistic function."""

    name = "sigmoid"


class HardSigmoid(Activation):
    """a = (z + 3) / 6 between 0 and 1; f' = 1/6 there, 0 outside.

    A. Howard et al., "Searching for MobileNetV3" (2019), section 5.2: ReLU6(z + 3) / 6.
    """

    name = "hard_sigmoid"


class Tanh(Activation):
    """a = tanh(z), f' = (1 - a) (1 + a)."""

    name = "tanh"


class Softsign(Activation):
    """a = z / (1 + |z|), f' = (1 - |a|)^2.

    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks" (2010), section 3.
    """

    name = "softsign"


class Arctan(Activation):
    """a = arctan(z), f' = 1 / (1 + z^2)."""

    name = "arctan"


class Sign(Activation):
    """a = -1, 0 or 1, the sign of z.

    Its derivative is 0 wherever it is defined, so `backward` uses a surrogate, that of z cut off at
    -1 and 1: f' = 1 where |z| <= 1, else 0. M. Courbariaux et al., "Binarized neural networks"
    (2016), equation 4.
    """

    name = "sign"


class Softmax(Activation):
    """a_j = e^z_j / (sum over the row of e^z_k); dL/dz_j = a_j (dL/da_j - sum of a_k dL/da_k).

    J. Bridle, "Probabilistic interpretation of feedforward classification network outputs" (1990),
    equation 2.
    """

    name = "softmax"


class LogSoftmax(Activation):
    """a_j = z_j - log(sum over the row of e^z_k); dL/dz_j = dL/da_j - e^a_j (sum of dL/da_k).

    The logarithm of `Softmax`, finite where that rounds to 0.
    """

    name = "log_softmax"


class Exponential(Activation):
    """a = e^z, f' = a: the mean of a Poisson loss, which contains it."""

    name = "exponential"


_CLASSES = {kind.name: kind for kind in Activation.__subclasses__()}


def get_activation(activation) -> Activation:
    """The settings for a name, or the settings themselves.

    Raises
    ------
    ValueError
        For an unknown name, with the known ones, the nearest first.
    TypeError
        For anything else than a name or an activation.
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, type) and issubclass(activation, Activation):
        raise TypeError(
            f"activation is the class {activation.__name__}; expected an object of it: "
            f"{activation.__name__}()"
        )
    return _CLASSES[check_choice("activation", activation, list_activations())]()


def restore_activation(description: str | dict) -> Activation:
    """The activation that `Activation.describe` described."""
    if isinstance(description, dict):
        settings = dict(description)
        name = check_choice("activation", settings.pop("name", None), list_activations())
        return _CLASSES[name](**settings)
    return get_activation(description)
