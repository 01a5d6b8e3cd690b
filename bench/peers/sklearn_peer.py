"""scikit-learn's MLPClassifier: `partial_fit` is one epoch of mini-batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from ..data import Problem, Weights
from .base import Trainer


class SklearnPeer(Trainer):
    distributions = ("scikit-learn",)
    optimizers = ("sgd", "momentum", "adam")

    def setup(self, problem: Problem, threads: int) -> None:
        self.problem = problem
        n_classes = problem.sizes[-1]
        self.model = MLPClassifier(
            hidden_layer_sizes=problem.sizes[1:-1],
            activation="relu",
            solver="adam" if problem.optimizer == "adam" else "sgd",
            alpha=0.0,
            batch_size=problem.batch_size or 1,
            learning_rate="constant",
            learning_rate_init=problem.learning_rate or 0.1,
            momentum=0.9 if problem.optimizer == "momentum" else 0.0,
            nesterovs_momentum=False,
            # The rows come in the order of all peers, gathered once for the whole epoch; shuffling
            # again would gather every batch a second time.
            shuffle=False,
        )
        # The first call allocates; what it learnt is overwritten.
        row = np.zeros((max(problem.batch_size, 1), problem.sizes[0]), np.float32)
        self.model.partial_fit(row, np.zeros(len(row), np.int64), classes=np.arange(n_classes))
        for i, (W, b) in enumerate(problem.weights):
            self.model.coefs_[i][...] = W
            self.model.intercepts_[i][...] = b

    def run_epoch(self, order: NDArray[np.int64]) -> None:
        self.model.partial_fit(self.problem.X[order], self.problem.y[order])

    def weights(self) -> Weights:
        return list(zip(self.model.coefs_, self.model.intercepts_, strict=True))

    def calls(self, X: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
        return {"predict": lambda: self.model.predict(X)}
