"""Initial weights: what a layer starts from. Biases start at 0.

Every initializer but a function of your own gives the same float64 numbers on every platform: they
come from a counter-based generator by operations that IEEE 754 rounds alike everywhere. float32
weights are these numbers rounded.

A layer without one (``initializer=None``) takes what suits its activation:

- `He` (uniform) behind ReLU and its relatives: those in `HE_ACTIVATIONS`;
- `LeCun` (normal) behind SELU;
- `Glorot` (uniform) behind all others.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn._core.kernels import fill_normal, fill_uniform, orthonormalize_rows
from fastnn._validate import as_matrix, check_choice, check_number

HE_ACTIVATIONS = frozenset(
    ["relu", "leaky_relu", "prelu", "elu", "gelu", "gelu_tanh", "silu", "softplus"]
)


class Initializer(ABC):
    """Base class. A subclass has a `name` and makes weights in `fill`.

    The attributes of an initializer are its settings, by which it is saved.
    """

    name: str

    @abstractmethod
    def fill(self, shape: tuple[int, int], seed: int, layer: int) -> np.ndarray:
        """Weights of `shape` (n_in, n_out) in float64: a function of its arguments alone."""

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"

    def __eq__(self, other) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


class Uniform(Initializer):
    """Uniform in [low, high)."""

    name = "uniform"

    def __init__(self, low: float = -0.05, high: float = 0.05) -> None:
        self.low = check_number("low", low)
        self.high = check_number("high", high, low=self.low)

    def fill(self, shape, seed, layer):
        return fill_uniform(seed, layer, self.low, self.high, math.prod(shape)).reshape(shape)


class Normal(Initializer):
    """Normal with this mean and standard deviation."""

    name = "normal"

    def __init__(self, mean: float = 0.0, std: float = 0.05) -> None:
        self.mean = check_number("mean", mean)
        self.std = check_number("std", std, low=0)

    def fill(self, shape, seed, layer):
        return fill_normal(seed, layer, self.mean, self.std, math.prod(shape)).reshape(shape)


class _VarianceScaling(Initializer):
    """Mean 0 and a variance that depends on the layer's widths.

    Parameters
    ----------
    distribution : {"uniform", "normal"}
        Normal numbers are not truncated.
    """

    default = "uniform"

    def __init__(self, distribution: str | None = None) -> None:
        self.distribution = check_choice(
            "distribution", distribution or self.default, ["uniform", "normal"]
        )

    @staticmethod
    @abstractmethod
    def find_variance(n_in: int, n_out: int) -> tuple[int, int]:
        """Numerator and denominator of the variance."""

    def fill(self, shape, seed, layer):
        numerator, denominator = self.find_variance(*shape)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * numerator / denominator)
            return Uniform(-limit, limit).fill(shape, seed, layer)
        return Normal(0.0, math.sqrt(numerator / denominator)).fill(shape, seed, layer)


class He(_VarianceScaling):
    """Variance 2 / n_in, uniform by default.

    K. He et al., "Delving deep into rectifiers" (2015), equation 10.
    """

    name = "he"

    @staticmethod
    def find_variance(n_in, n_out):
        return 2, n_in


class Glorot(_VarianceScaling):
    """Variance 2 / (n_in + n_out), uniform by default.

    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks" (2010), equations 12 and 16.
    """

    name = "glorot"

    @staticmethod
    def find_variance(n_in, n_out):
        return 2, n_in + n_out


class LeCun(_VarianceScaling):
    """Variance 1 / n_in, normal by default.

    Y. LeCun et al., "Efficient backprop" (1998), equation 16; for SELU: G. Klambauer et al.,
    "Self-normalizing neural networks" (2017), section 3.
    """

    name = "lecun"
    default = "normal"

    @staticmethod
    def find_variance(n_in, n_out):
        return 1, n_in


class Orthogonal(Initializer):
    """`gain` times orthonormal columns, or rows where these are fewer; uniform among all such.

    A. M. Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks" (2013), section 3. The time grows with the cube of the width: a quarter of a second
    for 1,000 units, 16 seconds for 4,000.
    """

    name = "orthogonal"

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = check_number("gain", gain)

    def fill(self, shape, seed, layer):
        n_in, n_out = shape
        rows = Normal(0.0, 1.0).fill((min(shape), max(shape)), seed, layer)
        orthonormalize_rows(rows)
        return self.gain * (rows if n_in <= n_out else rows.T)


class Constant(Initializer):
    """All weights the same. Units that start alike stay alike: for tests and single units."""

    name = "constant"

    def __init__(self, value: float) -> None:
        self.value = check_number("value", value)

    def fill(self, shape, seed, layer):
        return np.full(shape, self.value)


class Zeros(Initializer):
    """All weights 0: for a network of one layer, where the starting point does not matter."""

    name = "zeros"

    def fill(self, shape, seed, layer):
        return np.zeros(shape)


class Custom(Initializer):
    """A function of your own, ``f(shape, rng) -> array``.

    `rng` is a ``numpy.random.Generator``, seeded by the network's seed and the layer's number.
    Model files hold the weights that came of the function, not the function.
    """

    name = "custom"

    def __init__(self, function: Callable | None = None) -> None:
        self.function = function

    def fill(self, shape, seed, layer):
        if self.function is None:
            raise ValueError(
                f"layer {layer} was initialized by a function, which the model file does not hold; "
                "set layers[i].initializer before you start over"
            )
        rng = np.random.Generator(np.random.Philox(key=[seed, layer]))
        array = np.asarray(self.function(shape, rng))
        if array.shape != shape:
            raise ValueError(
                f"the initializer of layer {layer} returned shape {array.shape}; expected {shape}"
            )
        return as_matrix(array, f"the result of layer {layer}'s initializer", "float64")


_CLASSES: dict[str, type[Initializer]] = {
    cls.name: cls
    for cls in (He, Glorot, LeCun, Uniform, Normal, Orthogonal, Zeros, Constant, Custom)
}
_NAMED: dict[str, Callable[[], Initializer]] = {
    **{cls.name: cls for cls in (He, Glorot, LeCun, Uniform, Normal, Orthogonal, Zeros)},
    "he_uniform": lambda: He("uniform"),
    "he_normal": lambda: He("normal"),
    "glorot_uniform": lambda: Glorot("uniform"),
    "glorot_normal": lambda: Glorot("normal"),
    "lecun_uniform": lambda: LeCun("uniform"),
    "lecun_normal": lambda: LeCun("normal"),
}


def list_initializers() -> list[str]:
    """The names that `Dense` takes."""
    return list(_NAMED)


def check_initializer(initializer) -> Initializer | None:
    """Return an initializer by name, as an object or as a function; None is the default."""
    if initializer is None or isinstance(initializer, Initializer):
        return initializer
    if callable(initializer) and not isinstance(initializer, type):
        return Custom(initializer)
    if not isinstance(initializer, str):
        raise TypeError(
            f"initializer is {initializer!r}; expected a name, an object such as "
            "fastnn.initializers.Uniform(-1, 1), or a function f(shape, rng)"
        )
    return _NAMED[check_choice("initializer", initializer, list_initializers())]()


def choose_initializer(activation: str) -> Initializer:
    """The default behind an activation."""
    if activation in HE_ACTIVATIONS:
        return He()
    return LeCun() if activation == "selu" else Glorot()


def describe_initializer(initializer: Initializer | None) -> dict[str, Any] | None:
    """What a model file says of it: name and settings."""
    if initializer is None:
        return None
    settings = {} if isinstance(initializer, Custom) else vars(initializer)
    return {"name": initializer.name, **settings}


def parse_initializer(description) -> Initializer | None:
    """The initializer that `describe_initializer` wrote down."""
    if description is None:
        return None
    settings = dict(description)
    name = check_choice("initializer", settings.pop("name", None), _CLASSES)
    if name == "custom" and settings:
        raise ValueError(f"a custom initializer has no settings; got {settings}")
    return _CLASSES[name](**settings)
