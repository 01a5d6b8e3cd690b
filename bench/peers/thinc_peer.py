"""thinc by NumPy and BLIS: its documentation's loop of begin_update and finish_update."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from thinc.api import SGD, Relu, Softmax, chain

from ..data import Problem, Weights
from .base import Trainer


class ThincPeer(Trainer):
    """Plain SGD alone: its Adam corrects the bias in another way."""

    distributions = ("thinc",)

    def setup(self, problem: Problem, threads: int) -> None:
        self.problem = problem
        sizes = problem.sizes
        hidden = [Relu(n_out, n_in) for n_in, n_out in pairwise(sizes[:-1])]
        # The gradient that Softmax is given is that of its input, as behind a cross-entropy.
        model = chain(*hidden, Softmax(sizes[-1], sizes[-2])).initialize()
        self.model = cast(Any, model)  # its types are of arrays of one dimension to four
        for layer, (W, b) in zip(self.model.layers, problem.weights, strict=True):
            layer.set_param("W", np.ascontiguousarray(W.T))
            layer.set_param("b", b.copy())
        self.targets = np.eye(sizes[-1], dtype=np.float32)[problem.y]
        self.optimizer = SGD(problem.learning_rate, L2=0, grad_clip=0, use_averages=False)

    def run_epoch(self, order: NDArray[np.int64]) -> None:
        size = self.problem.batch_size
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            output, backprop = self.model.begin_update(self.problem.X[rows])
            backprop((output - self.targets[rows]) / np.float32(len(rows)))
            self.model.finish_update(self.optimizer)

    def weights(self) -> Weights:
        layers = self.model.layers
        return [(layer.get_param("W").T, layer.get_param("b")) for layer in layers]

    def calls(self, X: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
        return {"": lambda: self.model.predict(X)}
