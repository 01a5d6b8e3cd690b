"""Layers and their parameters: what a network and a layer by itself have in common."""

from __future__ import annotations

import numpy as np

from fastnn import _validate
from fastnn._fixed import Fixed
from fastnn._parameters import Parameters
from fastnn._penalties import Penalties
from fastnn._threads import check_n_threads
from fastnn.initializers import choose_initializer


class Stack(Fixed):
    """Layers, one behind the other, and the arrays of their parameters.

    Parameters
    ----------
    layers : list of Layer
        None of which belongs to another stack.
    dtype, seed, n_threads, l1, l2
        As users hand them to `Network`.
    """

    _settings: tuple[str, ...] = ("layers", "dtype", "l1", "l2", "n_features")
    n_features: int | None = None

    def __init__(
        self, layers, dtype, seed, n_threads: int | None, l1: float = 0.0, l2: float = 0.0
    ) -> None:
        self.layers = tuple(layers)
        self.dtype = _validate.check_choice("dtype", str(np.dtype(dtype)), ["float32", "float64"])
        self.seed = _validate.check_int("seed", seed, 0, 2**64 - 1)
        self.n_threads = n_threads
        self.l1 = _validate.check_number("l1", l1, low=0)
        self.l2 = _validate.check_number("l2", l2, low=0)
        self._penalties = Penalties(self.layers, self.l1, self.l2)
        self._parameters: Parameters | None = None

    @property
    def n_threads(self) -> int | None:
        """Threads of each call, or None: as many as pay. May be written."""
        return self._n_threads

    @n_threads.setter
    def n_threads(self, n_threads: int | None) -> None:
        self._n_threads = check_n_threads(n_threads)

    def _allocate(self, n_features: int, initialize: bool = True) -> None:
        """Make the parameters and show them to the layers; undone where an initializer fails."""
        made = self._parameters = Parameters(n_features, self.layers, self.dtype)
        self.n_features = n_features
        views = zip(made.weights, made.weight_grads, made.states, strict=True)
        for i, (layer, each) in enumerate(zip(self.layers, views, strict=True)):
            layer._attach(self, i, *each)
        try:
            if initialize:
                self._fill(self.seed)
        except BaseException:  # an initializer that is the user's
            self._parameters = None
            del self.n_features
            for layer in self.layers:
                layer._detach()
            raise

    def _fill(self, seed: int) -> None:
        """Weights drawn by the seed; all other parameters where they begin."""
        initial = {}
        for i, layer in enumerate(self.layers):
            if layer.kind == "dense":
                rule = layer.initializer or choose_initializer(find_activation(self.layers, i))
                initial[i] = rule.fill(layer.weight.shape, seed, i)
        for layer in self.layers:
            layer._reset()
            layer._program.rewind()
        for i, weight in initial.items():
            self.layers[i].weight[...] = weight

    def _check_readable(self) -> None:
        """Nobody else trains a layer by itself; a network may be in a fit."""


def find_activation(layers, i: int) -> str:
    """The activation that the product of layer `i` goes through: its own, or that of a layer
    behind it with no other product between."""
    for layer in [layers[i], *layers[i + 1 :]]:
        if layer is not layers[i] and layer.kind == "dense":
            break
        if layer.activation.name != "identity":
            return layer.activation.name
    return "identity"
