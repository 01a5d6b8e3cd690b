"""For each loss of the list: what it is compared with, drawn at random, and where it has kinks."""

import numpy as np
import reference

from fastnn._core import kernels


def make_targets(rng, loss, rows, cols, dtype):
    """(labels, targets) pairs of every kind that the loss takes; one of the two is None."""
    kind = kernels.get_targets(loss)
    labels = rng.integers(max(cols, 2), size=rows).astype(np.int32)
    if kind == "values":
        return [(None, rng.standard_normal((rows, cols)).astype(dtype))]
    if kind == "counts":
        return [(None, rng.poisson(2, (rows, cols)).astype(dtype))]
    if kind == "labels":
        return [(labels, None)]
    soft = rng.uniform(size=(rows, cols)) * (rng.uniform(size=(rows, cols)) < 0.7)
    if kind == "binary":
        hard = (soft > 0.5).astype(dtype)
        return [(None, hard), (None, soft.astype(dtype))] + [(labels, None)] * (cols == 1)
    soft[:, 0] += 0.1
    labels = labels % cols
    hard = np.eye(cols)[labels].astype(dtype)
    soft = soft / soft.sum(axis=1, keepdims=True)
    return [(labels, None), (None, hard), (None, soft.astype(dtype))]


def as_rows(labels, targets, cols):
    """The pair as the oracle takes it."""
    return reference.one_hot(labels, cols) if targets is None else targets


def draw_y(rng, loss, rows, n_outputs):
    """Targets as a user gives them, of the first kind above; and as the oracle takes them."""
    labels, targets = make_targets(rng, loss, rows, n_outputs, "float64")[0]
    return (labels if targets is None else targets), as_rows(labels, targets, n_outputs)


def measure_distance_to_kinks(loss, output, targets, **settings):
    """How far the nearest output is from where the loss, or its slope, has a kink."""
    gaps = {
        "mae": lambda: output - targets,
        "huber": lambda: np.abs(output - targets) - settings.get("delta", 1),
        "hinge": lambda: measure_margins(output, targets),
        "squared_hinge": lambda: measure_margins(output, targets),
    }
    return np.abs(gaps[loss]()).min() if loss in gaps else np.inf


def measure_margins(output, targets):
    if output.shape[1] == 1:
        return 1 - (2 * targets - 1) * output
    return 1 - (output * targets).sum(axis=1, keepdims=True) + output - 2 * targets
