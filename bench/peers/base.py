"""The interface of a peer.

A peer lives in a process of its own, which is pinned to as many CPUs as it may use threads and
whose environment limits OpenMP, OpenBLAS, MKL and XLA to that number before anything is imported.
The module of a peer imports its library at the top: a ModuleNotFoundError means
"not installed".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Problem, Weights
from ..workloads import Workload


class Peer(ABC):
    """One library, written as its own documentation recommends for speed."""

    distributions: tuple[str, ...] = ()  # whose versions the report prints

    def can_train(self, workload: Workload) -> bool:
        return False

    @abstractmethod
    def setup(self, problem: Problem, threads: int) -> None:
        """Build the network of `problem.weights` and move the data where the library wants it."""

    @abstractmethod
    def calls(self, X: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
        """Return the ways to predict `X`, by name; each returns scores or classes when called.

        `X` may be converted beforehand to the library's own array type.
        """


class Trainer(Peer):
    """A library that trains, too."""

    optimizers: tuple[str, ...] = ("sgd",)
    has_dropout = False

    def can_train(self, workload: Workload) -> bool:
        return workload.optimizer in self.optimizers and (self.has_dropout or not workload.dropout)

    @abstractmethod
    def run_epoch(self, order: NDArray[np.int64]) -> None:
        """Train one epoch on the rows in `order`; return when the new weights are ready."""

    @abstractmethod
    def weights(self) -> Weights:
        """Return the present weights (n_in, n_out) and biases."""
