"""Layers: settings, and views of a network's parameters. No arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import activations
from fastnn._core.kernels import get_coefficient_kind
from fastnn._validate import check_int, check_number
from fastnn.activations import get_activation
from fastnn.initializers import check_initializer, describe_initializer


class Layer:
    """What all layers have in common.

    Attributes
    ----------
    kind : str
        What the plan calls it.
    parameter_names : tuple of str
        Attributes that hold parameters; each has a twin whose name ends in ``_grad``.
    state_names : tuple of str
        Attributes that training changes without a gradient.
    units : int or None
        Outputs of the layer; None: as many as it has inputs.
    activation : fastnn.activations.Activation
    """

    kind = ""
    parameter_names: tuple[str, ...] = ()
    state_names: tuple[str, ...] = ()
    units: Any = None
    activation: activations.Activation = activations.Identity()
    _settings: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._views: dict[str, np.ndarray | None] = {}
        self._attached = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.settings().values()))})"

    def settings(self) -> dict:
        """The arguments that make an equal layer."""
        return {name: getattr(self, name) for name in self._settings}

    def parameter_shapes(self, n_in: int) -> list[tuple[int, ...] | None]:
        """Shapes of the parameters, in the order of their names; None: it has none of that name."""
        return [None] * len(self.parameter_names)

    def parameters(self) -> list[np.ndarray]:
        """Those that it has, as views of the network's."""
        values = [self._view(name) for name in self.parameter_names]
        return [value for value in values if value is not None]

    def _attach(self, values, gradients, state) -> None:
        """Show these arrays, in the order of the names, as parameters, gradients and state."""
        self._views.update(zip(self.state_names, state, strict=True))
        for name, value, gradient in zip(self.parameter_names, values, gradients, strict=False):
            self._views[name] = value
            self._views[f"{name}_grad"] = gradient
        self._attached = True

    def _reset(self) -> None:
        """Put parameters and state where training begins; but the weights of Dense."""

    def _view(self, name: str):
        if not self._views:
            raise AttributeError(
                f"this {type(self).__name__} layer has no {name} yet: its input width is unknown. "
                "Pass n_features to Network, or call fit or forward first"
            )
        return self._views[name]


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
        by the activation. A function ``f(shape, rng)`` returns an array of that shape.
    l1, l2 : float, optional
        The layer adds l1 sum |W| + l2 sum W^2 to the loss. By default the network's.

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
    parameter_names = ("weight", "bias", "slope")

    def __init__(
        self,
        units: int,
        activation: str | activations.Activation = "identity",
        *,
        use_bias: bool = True,
        initializer=None,
        l1: float | None = None,
        l2: float | None = None,
    ) -> None:
        super().__init__()
        self.units = check_int("units", units, 1)
        self.activation = get_activation(activation)
        self.use_bias = bool(use_bias)
        self.initializer = check_initializer(initializer)
        self.l1 = None if l1 is None else check_number("l1", l1, low=0)
        self.l2 = None if l2 is None else check_number("l2", l2, low=0)

    def __repr__(self) -> str:
        bias = "" if self.use_bias else ", use_bias=False"
        described = self.activation.describe()
        activation = described if isinstance(described, str) else self.activation
        initial = "" if self.initializer is None else f", initializer={self.initializer!r}"
        own = {"l1": self.l1, "l2": self.l2}
        penalty = "".join(f", {name}={value}" for name, value in own.items() if value is not None)
        return f"Dense({self.units}, {activation!r}{bias}{initial}{penalty})"

    def settings(self) -> dict:
        return {
            "units": self.units,
            "activation": self.activation.describe(),
            "use_bias": self.use_bias,
            "initializer": describe_initializer(self.initializer),
            "l1": self.l1,
            "l2": self.l2,
        }

    def parameter_shapes(self, n_in: int) -> list[tuple[int, ...] | None]:
        learnt = get_coefficient_kind(self.activation.name) == "learnt"
        return [
            (n_in, self.units),
            (self.units,) if self.use_bias else None,
            (self.units,) if learnt else None,
        ]

    def _reset(self) -> None:
        if self.bias is not None:
            self.bias[...] = 0
        if self.slope is not None:
            self.slope[...] = self.activation.coefficient

    @property
    def weight(self) -> np.ndarray:
        return self._view("weight")

    @property
    def bias(self) -> np.ndarray | None:
        return self._view("bias")

    @property
    def weight_grad(self) -> np.ndarray:
        return self._view("weight_grad")

    @property
    def slope(self) -> np.ndarray | None:
        return self._view("slope")

    @property
    def slope_grad(self) -> np.ndarray | None:
        return self._view("slope_grad")

    @property
    def bias_grad(self) -> np.ndarray | None:
        return self._view("bias_grad")


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


class _Norm(Layer):
    """A norm's gain and shift."""

    parameter_names = ("gain", "shift")

    def parameter_shapes(self, n_in: int) -> list[tuple[int, ...] | None]:
        return [(n_in,), (n_in,)]

    def _reset(self) -> None:
        self.gain[...] = 1
        self.shift[...] = 0

    @property
    def gain(self) -> np.ndarray:
        return self._view("gain")

    @property
    def shift(self) -> np.ndarray:
        return self._view("shift")

    @property
    def gain_grad(self) -> np.ndarray:
        return self._view("gain_grad")

    @property
    def shift_grad(self) -> np.ndarray:
        return self._view("shift_grad")


class BatchNorm(_Norm):
    """Normalizes each column over the rows of the mini-batch.

    a = gain * (x - mean) / sqrt(variance + epsilon) + shift, with the mean and the (biased)
    variance of the mini-batch in training; a batch of one row has no variance and is refused. In
    predictions mean and variance are the running ones: after each training step running =
    momentum * running + (1 - momentum) * batch, as the paper and Keras count (PyTorch's momentum is
    1 - momentum), with the unbiased variance, as in the paper and PyTorch. As the first layer it
    normalizes the inputs. Put it between a product and its activation:
    ``Dense(100, use_bias=False), BatchNorm(), Activation("relu")``.

    S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training by reducing
    internal covariate shift" (2015), algorithms 1 and 2.

    Parameters
    ----------
    momentum : float, default 0.9
        From 0 to less than 1.
    epsilon : float, default 1e-5
        Greater than 0.

    Attributes
    ----------
    gain, shift : ndarray (n_in,)
        Writable views of the network's parameters, at first 1 and 0.
    gain_grad, shift_grad : ndarray (n_in,)
    running_mean, running_variance : ndarray (n_in,)
        At first 0 and 1.
    """

    kind = "batch_norm"
    state_names = ("running_mean", "running_variance")
    _settings = ("momentum", "epsilon")

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum = check_number("momentum", momentum, low=0, high=1, high_open=True)
        self.epsilon = check_number("epsilon", epsilon, low=0, low_open=True)

    def _reset(self) -> None:
        super()._reset()
        self.running_mean[...] = 0
        self.running_variance[...] = 1

    @property
    def running_mean(self) -> np.ndarray:
        return self._view("running_mean")

    @property
    def running_variance(self) -> np.ndarray:
        return self._view("running_variance")


class LayerNorm(_Norm):
    """Normalizes each row over its columns, in training and in predictions alike.

    a = gain * (x - mean) / sqrt(variance + epsilon) + shift, with the mean and the (biased)
    variance of the row.

    J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization" (2016), equation 4; epsilon as in
    PyTorch.

    Parameters
    ----------
    epsilon : float, default 1e-5
        Greater than 0.

    Attributes
    ----------
    gain, shift : ndarray (n_in,)
        Writable views of the network's parameters, at first 1 and 0.
    gain_grad, shift_grad : ndarray (n_in,)
    """

    kind = "layer_norm"
    _settings = ("epsilon",)

    def __init__(self, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = check_number("epsilon", epsilon, low=0, low_open=True)


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
        if layer._attached or any(layer is other for other in layers[:i]):
            name = type(layer).__name__
            raise ValueError(
                f"layers[{i}] is already part of a network; make a new {name} for each"
            )
    if not any(isinstance(layer, Dense) for layer in layers):
        raise ValueError(f"layers is {layers}; expected at least one Dense")
    if isinstance(layers[-1], Dropout):
        raise ValueError(
            f"layers[{len(layers) - 1}] is {layers[-1]!r}, but the last layer gives the output of "
            "the network: drop elements in front of a Dense"
        )
    return layers


def list_widths(layers, n_features: int) -> list[int]:
    """Inputs of the first layer, and outputs of each."""
    widths = [n_features]
    for layer in layers:
        widths.append(layer.units or widths[-1])
    return widths


def find_activation(layers, i: int) -> str:
    """The activation that the product of layer `i` goes through: its own, or that of a layer
    behind it with no other product between."""
    for layer in [layers[i], *layers[i + 1 :]]:
        if layer is not layers[i] and isinstance(layer, Dense):
            break
        if layer.activation.name != "identity":
            return layer.activation.name
    return "identity"
