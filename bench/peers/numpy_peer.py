"""NumPy by hand: every buffer allocated once, every product a BLAS call into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Problem, Weights
from .base import Trainer


class NumpyPeer(Trainer):
    distributions = ("numpy",)

    def setup(self, problem: Problem, threads: int) -> None:
        self.problem = problem
        self.params = [(W.copy(), b.copy()) for W, b in problem.weights]
        self.gradients = [np.empty_like(W) for W, _ in self.params]
        batch = problem.batch_size
        self.inputs = np.empty((batch, problem.sizes[0]), np.float32)
        self.activations = [np.empty((batch, n), np.float32) for n in problem.sizes[1:]]
        self.deltas = [np.empty((batch, n), np.float32) for n in problem.sizes[1:-1]]

    def run_epoch(self, order: NDArray[np.int64]) -> None:
        for start in range(0, len(order), self.problem.batch_size):
            self._step(order[start : start + self.problem.batch_size])

    def _step(self, rows: NDArray[np.int64]) -> None:
        m = len(rows)
        # mode="clip" spares the copy that the default mode makes to undo a failed take.
        x = np.take(self.problem.X, rows, axis=0, out=self.inputs[:m], mode="clip")
        a = [x] + [z[:m] for z in self.activations]
        last = len(self.params) - 1
        for i, (W, b) in enumerate(self.params):
            np.matmul(a[i], W, out=a[i + 1])
            a[i + 1] += b
            if i < last:
                np.maximum(a[i + 1], 0, out=a[i + 1])
        delta = a[-1]
        self._softmax_gradient(delta, self.problem.y[rows])
        for i in range(last, -1, -1):
            W, b = self.params[i]
            np.matmul(a[i].T, delta, out=self.gradients[i])
            previous = delta
            if i:
                delta = np.matmul(delta, W.T, out=self.deltas[i - 1][:m])
                delta *= a[i] > 0
            W -= self.gradients[i]
            b -= previous.sum(axis=0)

    def _softmax_gradient(self, z: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        """Turn scores into learning_rate / m * (softmax(z) - onehot(labels)), in place."""
        z -= z.max(axis=1, keepdims=True)
        np.exp(z, out=z)
        z /= z.sum(axis=1, keepdims=True)
        z[np.arange(len(z)), labels] -= 1
        z *= np.float32(self.problem.learning_rate / len(z))

    def weights(self) -> Weights:
        return self.params

    def calls(self, X: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
        def forward() -> NDArray[np.float32]:
            a = X
            for W, b in self.params[:-1]:
                a = a @ W
                a += b
                np.maximum(a, 0, out=a)
            W, b = self.params[-1]
            return a @ W + b

        return {"": forward}
