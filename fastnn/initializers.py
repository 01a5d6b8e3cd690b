"""How weights begin: a function of (seed, layer, position) alone, the same on every platform.

Uniform rather than normal: a uniform number is one multiplication from the generator's integer,
where a normal one would take the bits of the platform's logarithm and cosine.
"""

from __future__ import annotations

import math

import numpy as np

from fastnn._core.kernels import fill_uniform


def initialize_weight(weight: np.ndarray, activation: str, seed: int, layer: int) -> None:
    """Fill `weight` (n_in, n_out) with small random numbers.

    Layers with ReLU: uniform within sqrt(6 / n_in), so that the variance is 2 / n_in (K. He et
    al., "Delving deep into rectifiers", 2015, equation 10). All others: uniform within
    sqrt(6 / (n_in + n_out)) (X. Glorot and Y. Bengio, "Understanding the difficulty of training
    deep feedforward neural networks", 2010, equation 16).
    """
    n_in, n_out = weight.shape
    limit = math.sqrt(6 / n_in) if activation == "relu" else math.sqrt(6 / (n_in + n_out))
    weight[...] = fill_uniform(seed, layer, -limit, limit, n_in * n_out).reshape(n_in, n_out)
