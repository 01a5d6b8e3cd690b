"""Layers: settings, and views of a network's parameters. No arithmetic."""

from __future__ import annotations

from fastnn import activations
from fastnn._core.kernels import get_coefficient_kind
from fastnn._layer import Layer, View
from fastnn._validate import check_int, check_number
from fastnn.activations import get_activation
from fastnn.initializers import Initializer, check_initializer, describe_initializer
from fastnn.norms import BatchNorm, LayerNorm


class Dense(Layer):
    """A fully connected layer, a = f(x W + b).

    Parameters
    ----------
    units : int
        Outputs of the layer.
    activation : str or Activation, default "identity"
        A name such as "relu", or an object such as ``fastnn.LeakyReLU(0.2)``; `fastnn.activations`
        has them all.
    use_bias : bool, default True
    initializer : str, Initializer or function, optional
        Where the weights start: see `fastnn.initializers`. By default He's, LeCun's or Glorot's,
        by the activation. A function ``f(shape, rng)`` returns an array of that shape. The one
        setting that may be written later: for `Network.reset`.
    l1, l2 : float, optional
        The layer adds l1 sum |W| + l2 sum W^2 to the loss. By default the network's.
    max_norm : float, optional
        Greater than 0. After each update, the weights that lead to one unit (a column of W, without
        its bias) are scaled back to this norm where theirs is greater: w <- w max_norm / |w|.
        N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
        JMLR 15 (2014), section 5.1; Keras' MaxNorm(axis=0).

    Attributes
    ----------
    weight : ndarray (n_in, units)
        A writable view of the network's parameters. Courses that write W[to, from] mean
        ``weight.T``.
    bias : ndarray (units,) or None
    slope : ndarray (units,) or None
        Of the activation, where it is learnt (`fastnn.PReLU`).
    weight_grad, bias_grad, slope_grad : ndarray
        What `Network.backward` computed last; the same shapes.
    """

    kind = "dense"
    _settings = ("units", "activation", "use_bias", "l1", "l2", "max_norm")
    parameter_names = ("weight", "bias", "slope")
    weight, bias, slope = View(), View(), View()
    weight_grad, bias_grad, slope_grad = View(), View(), View()

    def __init__(
        self,
        units: int,
        activation: str | activations.Activation = "identity",
        *,
        use_bias: bool = True,
        initializer=None,
        l1: float | None = None,
        l2: float | None = None,
        max_norm: float | None = None,
    ) -> None:
        super().__init__()
        self.units = check_int("units", units, 1)
        self.activation = get_activation(activation)
        self.use_bias = bool(use_bias)
        self.initializer = initializer
        self.l1 = None if l1 is None else check_number("l1", l1, low=0)
        self.l2 = None if l2 is None else check_number("l2", l2, low=0)
        self.max_norm = (
            None if max_norm is None else check_number("max_norm", max_norm, low=0, low_open=True)
        )

    def __repr__(self) -> str:
        bias = "" if self.use_bias else ", use_bias=False"
        described = self.activation.describe()
        activation = described if isinstance(described, str) else self.activation
        initial = "" if self.initializer is None else f", initializer={self.initializer!r}"
        own = {"l1": self.l1, "l2": self.l2, "max_norm": self.max_norm}
        limits = "".join(f", {name}={value}" for name, value in own.items() if value is not None)
        return f"Dense({self.units}, {activation!r}{bias}{initial}{limits})"

    def settings(self) -> dict:
        return {
            "units": self.units,
            "activation": self.activation.describe(),
            "use_bias": self.use_bias,
            "initializer": describe_initializer(self.initializer),
            "l1": self.l1,
            "l2": self.l2,
            "max_norm": self.max_norm,
        }

    @property
    def initializer(self) -> Initializer | None:
        return self._initializer

    @initializer.setter
    def initializer(self, initializer) -> None:
        self._initializer = check_initializer(initializer)

    def parameter_shapes(self, n_in: int) -> list[tuple[int, ...] | None]:
        learnt = get_coefficient_kind(self.activation.name) == "learnt"
        return [
            (n_in, self.units),
            (self.units,) if self.use_bias else None,
            (self.units,) if learnt else None,
        ]

    def _reset(self) -> None:
        if self.bias is not None:
            self.bias = 0
        if self.slope is not None:
            self.slope = self.activation.coefficient


class Dropout(Layer):
    """Leaves out random elements of what passes through in training; does nothing in predictions.

    Each training step draws a new mask for each row; what is kept is divided by 1 - rate, so that
    the mean stays as it is and predictions need no scaling. As the first layer it drops inputs.

    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
    JMLR 15 (2014), section 4; scaled in training as its section 10 has it.

    Parameters
    ----------
    rate : float
        Share of the elements that are left out, from 0 to less than 1.
    """

    kind = "dropout"
    _settings = ("rate",)

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = check_number("rate", rate, low=0, high=1, high_open=True)


class Activation(Layer):
    """An activation on its own, for layers that come between a product and its activation.

    ``Dense(100), BatchNorm(), Activation("relu")``; for ``Dense(100), Activation("relu")`` the
    shorter ``Dense(100, "relu")`` gives the same bits and is faster.

    Parameters
    ----------
    activation : str or object
        As for `Dense`.
    """

    kind = "activation"
    _settings = ("activation",)

    def __init__(self, activation: str | activations.Activation) -> None:
        super().__init__()
        self.activation = get_activation(activation)
        if get_coefficient_kind(self.activation.name) == "learnt":
            raise ValueError(
                f"activation is {self.activation!r}, which learns: it needs a Dense to belong to, "
                "such as Dense(units, 'prelu')"
            )

    def settings(self) -> dict:
        return {"activation": self.activation.describe()}

    def __repr__(self) -> str:
        described = self.activation.describe()
        return f"Activation({described if isinstance(described, str) else self.activation!r})"


LAYERS = {layer.__name__: layer for layer in (Dense, Dropout, BatchNorm, LayerNorm, Activation)}


def check_layers(layers) -> list[Layer]:
    """Return `layers` as a list that a new network may own."""
    layers = list(layers)
    if not layers:
        raise ValueError("layers is empty; expected at least one Dense")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            known = ", ".join(f"fastnn.{name}" for name in LAYERS)
            raise TypeError(f"layers[{i}] is {layer!r}; expected one of {known}")
        if layer._owner is not None or any(layer is other for other in layers[:i]):
            name = type(layer).__name__
            raise ValueError(
                f"layers[{i}] is already part of a network, or built by itself; make a new "
                f"{name} for each"
            )
    if not any(isinstance(layer, Dense) for layer in layers):
        raise ValueError(f"layers is {layers}; expected at least one Dense")
    if isinstance(layers[-1], Dropout):
        raise ValueError(
            f"layers[{len(layers) - 1}] is {layers[-1]!r}, but the last layer gives the output of "
            "the network: drop elements in front of a Dense"
        )
    return layers
