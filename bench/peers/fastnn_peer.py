"""fastnn through its public interface: one `fit` call per epoch, its own shuffle included."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastnn
from fastnn._core.kernels import is_rowwise, list_activations

from ..data import Problem, Weights
from .base import Trainer


class FastnnPeer(Trainer):
    distributions = ("fastnn",)
    optimizers = ("sgd", "momentum", "adam")
    has_dropout = True

    def setup(self, problem: Problem, threads: int) -> None:
        self.problem = problem  # threads: fastnn takes all CPUs of this process where they pay
        self.net = self._make_network("relu")
        for (own_W, own_b), (W, b) in zip(self.weights(), problem.weights, strict=True):
            own_W[...] = W
            own_b[...] = b
        self.optimizer = self._make_optimizer(problem)

    def _make_network(self, activation: str) -> fastnn.Network:
        *hidden, n_outputs = self.problem.sizes[1:]
        layers: list[fastnn.layers.Layer] = []
        for n in hidden:
            layers.append(fastnn.Dense(n, activation))
            if self.problem.dropout:
                layers.append(fastnn.Dropout(self.problem.dropout))
        return fastnn.Network(
            [*layers, fastnn.Dense(n_outputs)],
            loss="softmax_cross_entropy",
            n_features=self.problem.sizes[0],
            dtype="float32",
            seed=self.problem.seed,
            classes=np.arange(n_outputs),
        )

    @staticmethod
    def _make_optimizer(problem: Problem) -> fastnn.optimizers.Optimizer:
        rate = problem.learning_rate or 0.1
        if problem.optimizer == "adam":
            return fastnn.Adam(rate)
        return fastnn.SGD(rate, momentum=0.9 if problem.optimizer == "momentum" else 0.0)

    def run_epoch(self, order: NDArray[np.int64]) -> None:
        # `order` is not used: fastnn draws its own, and the time to do so is its own too.
        self.fit(self.net, self.optimizer, shuffle=True)

    def fit(
        self, net: fastnn.Network, optimizer: fastnn.optimizers.Optimizer, shuffle: bool
    ) -> float:
        """Train one epoch, in random order or row after row; return its loss."""
        history = net.fit(
            self.problem.X,
            self.problem.y,
            epochs=1,
            batch_size=self.problem.batch_size,
            optimizer=optimizer,
            shuffle=shuffle,
        )
        return history.loss[-1]

    def trainings(self) -> dict[str, Callable[[], float]]:
        """Return an epoch with each elementwise activation in the hidden layers, by its name."""
        names = [name for name in list_activations() if not is_rowwise(name)]
        nets = {name: self._make_network(name) for name in names}
        optimizers = {name: self._make_optimizer(self.problem) for name in names}
        return {name: partial(self.fit, nets[name], optimizers[name], True) for name in names}

    def weights(self) -> Weights:
        views: Weights = []
        for layer in self.net.layers:
            if isinstance(layer, fastnn.Dense):
                assert layer.bias is not None
                views.append((layer.weight, layer.bias))
        return views

    def calls(self, X: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
        calls: dict[str, Callable[[], Any]] = {"predict": lambda: self.net.predict(X)}
        frozen = self.net.freeze()
        calls["freeze"] = lambda: frozen.forward(X)
        return calls
