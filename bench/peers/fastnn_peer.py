"""fastnn through its public interface: one `fit` call per epoch, its own shuffle included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastnn

from ..data import Problem, Weights
from .base import Trainer


class FastnnPeer(Trainer):
    distributions = ("fastnn",)
    optimizers = ("sgd", "momentum", "adam")
    has_dropout = True

    def setup(self, problem: Problem, threads: int) -> None:
        self.problem = problem
        *hidden, n_outputs = problem.sizes[1:]
        self.net = fastnn.Network(
            [*self._make_hidden(hidden, problem.dropout), fastnn.Dense(n_outputs)],
            loss="softmax_cross_entropy",
            n_features=problem.sizes[0],
            dtype="float32",
            n_threads=threads,
            seed=problem.seed,
            classes=np.arange(n_outputs),
        )
        for (own_W, own_b), (W, b) in zip(self.weights(), problem.weights, strict=True):
            own_W[...] = W
            own_b[...] = b
        self.optimizer = self._make_optimizer(problem)

    @staticmethod
    def _make_hidden(widths: list[int], dropout: float) -> list[fastnn.layers.Layer]:
        layers: list[fastnn.layers.Layer] = []
        for n in widths:
            layers.append(fastnn.Dense(n, "relu"))
            if dropout:
                layers.append(fastnn.Dropout(dropout))
        return layers

    @staticmethod
    def _make_optimizer(problem: Problem) -> fastnn.optimizers.Optimizer:
        rate = problem.learning_rate or 0.1
        if problem.optimizer == "adam":
            return fastnn.Adam(rate)
        return fastnn.SGD(rate, momentum=0.9 if problem.optimizer == "momentum" else 0.0)

    def run_epoch(self, order: NDArray[np.int64]) -> None:
        # `order` is not used: fastnn draws its own, and the time to do so is its own too.
        self.fit(shuffle=True)

    def fit(self, shuffle: bool) -> None:
        """Train one epoch, in random order or row after row."""
        self.net.fit(
            self.problem.X,
            self.problem.y,
            epochs=1,
            batch_size=self.problem.batch_size,
            optimizer=self.optimizer,
            shuffle=shuffle,
        )

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
