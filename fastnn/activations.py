"""Activations: what a layer does to z = x W + b. Settings; the arithmetic is in
``csrc/kernels/activations.inc``.

Each class is one entry of ``csrc/lists/activations.def``. A layer takes an object or its name:
``Dense(100, "relu")`` is ``Dense(100, fastnn.ReLU())``. In the docstrings a = f(z), and f' is the
derivative that `backward` uses.
"""

from __future__ import annotations

from fastnn._core.kernels import list_activations
from fastnn._validate import check_choice, check_number


class Activation:
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


class SiLU(Activation):
    """a = z s(z), where s is the sigmoid; f' = s(z) + z s(z) (1 - s(z)). Also called swish.

    S. Elfwing, E. Uchibe and K. Doya, "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning" (2018), equations 5 and 7.
    """

    name = "silu"


class Sigmoid(Activation):
    """a = 1 / (1 + e^-z), f' = a (1 - a): the logistic function."""

    name = "sigmoid"


class Tanh(Activation):
    """a = tanh(z), f' = (1 - a) (1 + a)."""

    name = "tanh"


class Softmax(Activation):
    """a_j = e^z_j / (sum over the row of e^z_k); dL/dz_j = a_j (dL/da_j - sum of a_k dL/da_k).

    J. Bridle, "Probabilistic interpretation of feedforward classification network outputs" (1990),
    equation 2.
    """

    name = "softmax"


_CLASSES = {kind.name: kind for kind in [Identity, ReLU, LeakyReLU, SiLU, Sigmoid, Tanh, Softmax]}


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
