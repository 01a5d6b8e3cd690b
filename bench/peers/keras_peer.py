"""Keras 3 on JAX: `fit` by compiled steps, several of them in one call."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Problem, Weights
from .base import Trainer

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras

STEPS_PER_CALL = 64  # 512 steps of W1 take 115 ms; with 1, 16 and 256 in a call 153, 121 and 113


class KerasPeer(Trainer):
    distributions = ("keras",)
    optimizers = ("sgd", "momentum", "adam")
    has_dropout = True

    def setup(self, problem: Problem, threads: int) -> None:
        self.problem = problem
        keras.utils.set_random_seed(problem.seed)
        n_features, *hidden, n_outputs = problem.sizes
        layers: list[Any] = [keras.Input((n_features,))]
        for n in hidden:
            layers.append(keras.layers.Dense(n, activation="relu"))
            if problem.dropout:
                layers.append(keras.layers.Dropout(problem.dropout))
        self.model = keras.Sequential([*layers, keras.layers.Dense(n_outputs)])
        self.model.set_weights([array for pair in problem.weights for array in pair])
        self.model.compile(
            self._make_optimizer(problem),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            steps_per_execution=STEPS_PER_CALL,
        )

    def _make_optimizer(self, problem: Problem) -> Any:
        if problem.optimizer == "adam":
            return keras.optimizers.Adam(problem.learning_rate, epsilon=1e-8)
        momentum = 0.9 if problem.optimizer == "momentum" else 0.0
        return keras.optimizers.SGD(problem.learning_rate, momentum)

    def run_epoch(self, order: NDArray[np.int64]) -> None:
        X, y = self.problem.X[order], self.problem.y[order]
        self.model.fit(X, y, batch_size=self.problem.batch_size, shuffle=False, verbose=0)

    def weights(self) -> Weights:
        arrays = self.model.get_weights()
        return list(zip(arrays[::2], arrays[1::2], strict=True))

    def calls(self, X: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
        return {"predict_on_batch": lambda: self.model.predict_on_batch(X)}
