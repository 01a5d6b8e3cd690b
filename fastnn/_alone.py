"""One layer by itself: its plans, bound to its parameters, and run forwards and backwards."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import _planning, _predictors, _threads
from fastnn._core.binding import Binding
from fastnn._core.explicit import LayerEngine
from fastnn._core.layer_plan import make_layer_plan
from fastnn._parameters import list_widths


class LayerProgram:
    """What `Layer.forward` and `Layer.backward` run.

    Parameters
    ----------
    owner : Stack
        Of the layer, with its parameters.
    i : int
        The layer's place in it.

    Attributes
    ----------
    dtype : str
    n_in : int
    """

    def __init__(self, owner, i: int) -> None:
        self._owner = owner
        self.dtype = owner.dtype
        self.n_in = list_widths(owner.layers, owner.n_features)[i]
        layer, penalty = owner.layers[i], owner._penalties.factors.get(i, {})
        self._shape = _planning.make_shape(layer, i, self.n_in, layer.activation, penalty)
        self._pool = _predictors.PredictorPool(owner._parameters, self.dtype)
        self._n_forwards = 0
        self._engine: Any = None
        self._plan: Any = None  # that it runs
        self._n_rows: int | None = None  # of the last forward pass in training

    def rewind(self, number: int = 0) -> None:
        """Go on with the masks of this step."""
        self._n_forwards = number

    def describe(self) -> tuple[dict, int, int]:
        """Settings of a stack of this layer alone, inputs, and the step whose masks come next."""
        names = ("dtype", "seed", "n_threads", "l1", "l2")
        settings = {name: getattr(self._owner, name) for name in names}
        return settings, self.n_in, self._n_forwards

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Output for a batch in training."""
        n_rows = len(x)
        _planning.check_batch([self._shape], n_rows, "this one has 1")
        self._bind(n_rows)
        self._n_rows = None  # until it is done
        seed, number = self._owner.seed, self._n_forwards
        output = _threads.run_plan(self._plan, lambda: self._engine.forward(x, seed, number))
        self._n_forwards = (number + 1) % 2**32
        self._n_rows = n_rows
        return output

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Output as in predictions."""
        return self._pool.run(x, (self._shape,), self._owner.n_threads)

    def require_forward(self) -> tuple[int, int]:
        """Shape of the last output in training."""
        if self._n_rows is None:
            raise RuntimeError("backward needs a forward pass in training before it")
        return self._n_rows, self._shape.n_out

    def backward(self, dh: np.ndarray) -> np.ndarray:
        """dL/dx of the last `forward`; gradients by parameters go into their arrays."""
        return _threads.run_plan(self._plan, lambda: self._engine.backward(dh))

    def _bind(self, n_rows: int) -> None:
        """Make engine and plan for so many rows, where there are none yet."""
        shape, made = self._shape, self._owner._parameters
        n_threads = self._owner.n_threads or _planning.choose_explicit_threads([shape], n_rows)
        now = self._plan
        if now is not None and (now.batch_size, now.n_threads) == (n_rows, n_threads):
            return
        target = _planning.describe_target(self.dtype)
        plan = make_layer_plan(shape, n_rows, n_threads=n_threads, **target)
        weights, gradients = made.arrays, made.weight_grads
        binding = Binding(plan, weights, gradients, n_rows, packed=False, training=True)
        self._engine, self._plan = LayerEngine(binding), plan
