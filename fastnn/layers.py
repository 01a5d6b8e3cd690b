"""Layers: settings, and views of a network's parameters. No arithmetic."""

from __future__ import annotations

import numpy as np

from fastnn._validate import check_int
from fastnn.activations import Activation, get_activation
from fastnn.initializers import check_initializer


class Dense:
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

    Attributes
    ----------
    weight : ndarray (n_in, units)
        A writable view of the network's parameters. Courses that write W[to, from] mean
        ``weight.T``.
    bias : ndarray (units,) or None
    weight_grad, bias_grad : ndarray
        What `Network.backward` computed last; the same shapes.
    """

    def __init__(
        self,
        units: int,
        activation: str | Activation = "identity",
        *,
        use_bias: bool = True,
        initializer=None,
    ) -> None:
        self.units = check_int("units", units, 1)
        self.activation = get_activation(activation)
        self.use_bias = bool(use_bias)
        self.initializer = check_initializer(initializer)
        self._views: dict[str, np.ndarray | None] = {}

    def __repr__(self) -> str:
        bias = "" if self.use_bias else ", use_bias=False"
        described = self.activation.describe()
        activation = described if isinstance(described, str) else self.activation
        initial = "" if self.initializer is None else f", initializer={self.initializer!r}"
        return f"Dense({self.units}, {activation!r}{bias}{initial})"

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
    def bias_grad(self) -> np.ndarray | None:
        return self._view("bias_grad")

    def _view(self, name: str):
        if not self._views:
            raise AttributeError(
                f"this Dense layer has no {name} yet: its input width is unknown. Pass "
                "n_features to Network, or call fit or forward first"
            )
        return self._views[name]


def check_layers(layers) -> list[Dense]:
    """Return `layers` as a list that a new network may own."""
    layers = list(layers)
    if not layers:
        raise ValueError("layers is empty; expected at least one Dense")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Dense):
            raise TypeError(f"layers[{i}] is {layer!r}; expected a fastnn.Dense")
        if layer._views or any(layer is other for other in layers[:i]):
            raise ValueError(f"layers[{i}] is already part of a network; make a new Dense for each")
    return layers
