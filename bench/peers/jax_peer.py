"""JAX on the CPU: a whole epoch under one jit, with lax.scan over the batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ..data import Problem, Weights
from .base import Peer

Params = list[tuple[jax.Array, jax.Array]]


def _forward(params: Params, x: jax.Array) -> jax.Array:
    for W, b in params[:-1]:
        x = jax.nn.relu(x @ W + b)
    W, b = params[-1]
    return x @ W + b


def _loss(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
    log_p = jax.nn.log_softmax(_forward(params, x))
    return -jnp.mean(jnp.take_along_axis(log_p, y[:, None], axis=1))


@partial(jax.jit, static_argnames=("batch_size", "learning_rate"), donate_argnames="params")
def _epoch(
    params: Params,
    order: jax.Array,
    X: jax.Array,
    y: jax.Array,
    batch_size: int,
    learning_rate: float,
) -> Params:
    def step(params: Params, rows: jax.Array) -> tuple[Params, None]:
        gradients = jax.grad(_loss)(params, X[rows], y[rows])
        return jax.tree.map(lambda p, g: p - learning_rate * g, params, gradients), None

    whole = len(order) // batch_size * batch_size
    params, _ = jax.lax.scan(step, params, order[:whole].reshape(-1, batch_size))
    if whole < len(order):
        params, _ = step(params, order[whole:])
    return params


class JaxPeer(Peer):
    distributions = ("jax", "jaxlib")

    def setup(self, problem: Problem, threads: int) -> None:
        self.problem = problem
        self.params: Params = [(jnp.array(W), jnp.array(b)) for W, b in problem.weights]
        self.X = jnp.asarray(problem.X)
        self.y = jnp.asarray(problem.y.astype(np.int32))

    def run_epoch(self, order: NDArray[np.int64]) -> None:
        p = self.problem
        rows = jnp.asarray(order.astype(np.int32))
        new = _epoch(self.params, rows, self.X, self.y, p.batch_size, p.learning_rate)
        self.params = jax.block_until_ready(new)

    def weights(self) -> Weights:
        return [(np.asarray(W), np.asarray(b)) for W, b in self.params]

    def calls(self, X: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
        x = jnp.asarray(X)
        forward = jax.jit(_forward)
        return {"": lambda: forward(self.params, x).block_until_ready()}
