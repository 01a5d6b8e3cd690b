"""JAX on the CPU: a whole epoch under one jit, with lax.scan over the batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ..data import Problem, Weights
from .base import Trainer

Params = list[tuple[jax.Array, jax.Array]]
Slots = tuple[jax.Array, jax.Array]  # what an optimizer keeps of a parameter; empty where unused
State = tuple[Params, list[Slots], jax.Array, jax.Array]


class Recipe(NamedTuple):
    """What the compiled epoch is specialised for."""

    batch_size: int
    learning_rate: float
    optimizer: str
    dropout: float


def _forward(
    params: Params, x: jax.Array, dropout: float = 0.0, key: jax.Array | None = None
) -> jax.Array:
    for i, (W, b) in enumerate(params[:-1]):
        x = jax.nn.relu(x @ W + b)
        if dropout and key is not None:
            kept = jax.random.bernoulli(jax.random.fold_in(key, i), 1 - dropout, x.shape)
            x = jnp.where(kept, x / (1 - dropout), 0)
    W, b = params[-1]
    return x @ W + b


def _loss(params: Params, x: jax.Array, y: jax.Array, dropout: float, key: jax.Array) -> jax.Array:
    log_p = jax.nn.log_softmax(_forward(params, x, dropout, key))
    return -jnp.mean(jnp.take_along_axis(log_p, y[:, None], axis=1))


def _update(recipe: Recipe, p: jax.Array, g: jax.Array, slots: Slots, t: jax.Array) -> Any:
    """A parameter and its optimizer's state after one step; t counts from 1."""
    if recipe.optimizer == "sgd":
        return p - recipe.learning_rate * g, slots
    if recipe.optimizer == "momentum":
        velocity = 0.9 * slots[0] + g
        return p - recipe.learning_rate * velocity, (velocity, slots[1])
    m, v = 0.9 * slots[0] + 0.1 * g, 0.999 * slots[1] + 0.001 * g * g
    m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
    return p - recipe.learning_rate * m_hat / (jnp.sqrt(v_hat) + 1e-8), (m, v)


@partial(jax.jit, static_argnames=("recipe",), donate_argnames="state")
def _epoch(state: State, order: jax.Array, X: jax.Array, y: jax.Array, recipe: Recipe) -> State:
    def step(state: State, rows: jax.Array) -> tuple[State, None]:
        params, slots, t, key = state
        mask_key = jax.random.fold_in(key, t)
        gradients = jax.grad(_loss)(params, X[rows], y[rows], recipe.dropout, mask_key)
        t = t + 1
        flat, shape = jax.tree.flatten(params)
        updated = [
            _update(recipe, p, g, s, t)
            for p, g, s in zip(flat, jax.tree.leaves(gradients), slots, strict=True)
        ]
        params = jax.tree.unflatten(shape, [p for p, _ in updated])
        return (params, [s for _, s in updated], t, key), None

    whole = len(order) // recipe.batch_size * recipe.batch_size
    state, _ = jax.lax.scan(step, state, order[:whole].reshape(-1, recipe.batch_size))
    if whole < len(order):
        state, _ = step(state, order[whole:])
    return state


class JaxPeer(Trainer):
    distributions = ("jax", "jaxlib")
    optimizers = ("sgd", "momentum", "adam")
    has_dropout = True

    def setup(self, problem: Problem, threads: int) -> None:
        self.recipe = Recipe(
            problem.batch_size, problem.learning_rate, problem.optimizer, problem.dropout
        )
        params: Params = [(jnp.array(W), jnp.array(b)) for W, b in problem.weights]
        n_slots = {"sgd": 0, "momentum": 1, "adam": 2}[problem.optimizer]
        slots = [
            (jnp.zeros(p.shape if n_slots > 0 else 0), jnp.zeros(p.shape if n_slots > 1 else 0))
            for p in jax.tree.leaves(params)
        ]
        # "rbg" is the generator that JAX's documentation calls the fastest.
        key = jax.random.key(problem.seed, impl="rbg")
        self.state: State = (params, slots, jnp.zeros((), jnp.int32), key)
        self.X = jnp.asarray(problem.X)
        self.y = jnp.asarray(problem.y.astype(np.int32))

    def run_epoch(self, order: NDArray[np.int64]) -> None:
        rows = jnp.asarray(order.astype(np.int32))
        new = _epoch(self.state, rows, self.X, self.y, self.recipe)
        self.state = jax.block_until_ready(new)

    def weights(self) -> Weights:
        return [(np.asarray(W), np.asarray(b)) for W, b in self.state[0]]

    def calls(self, X: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
        x = jnp.asarray(X)
        forward = jax.jit(_forward)
        return {"": lambda: forward(self.state[0], x).block_until_ready()}
