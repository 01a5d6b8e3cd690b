"""The oracle of the losses: the loss of each row, and its gradient by the output, in plain NumPy.

Each takes the output (rows, n) and the targets (rows, n): numbers, rows of probabilities, or, where
there is one output for two classes, a column of 0 and 1. Settings are those of ``fastnn.losses``.
"""

import numpy as np


def one_hot(labels, n_classes):
    """Rows of probabilities; for one output its column of 0 and 1."""
    if n_classes == 1:
        return np.asarray(labels, dtype=float)[:, None]
    return np.eye(n_classes)[np.asarray(labels)]


def softmax(z):
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def softmax_cross_entropy(z, targets, label_smoothing=0):
    if label_smoothing:
        targets = (1 - label_smoothing) * targets + label_smoothing / z.shape[1]
    shifted = z - z.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    terms = np.where(targets == 0, 0, targets * (log_sum - shifted))
    return terms.sum(axis=1), softmax(z) * targets.sum(axis=1, keepdims=True) - targets


def combine(terms, slopes, sum_outputs):
    """Rows from the terms of single outputs."""
    share = 1 if sum_outputs else terms.dtype.type(1) / terms.shape[1]
    return terms.sum(axis=1) * share, slopes * share


def mse(a, targets, sum_outputs=False):
    error = a - targets
    return combine(error**2, 2 * error, sum_outputs)


def mae(a, targets, sum_outputs=False):
    error = a - targets
    return combine(np.abs(error), np.sign(error), sum_outputs)


def huber(a, targets, delta=1.0, sum_outputs=False):
    error = a - targets
    size = np.abs(error)
    terms = np.where(size <= delta, error**2 / 2, delta * (size - delta / 2))
    return combine(terms, np.clip(error, -delta, delta), sum_outputs)


def log_cosh(a, targets, sum_outputs=False):
    error = a - targets
    size = np.abs(error)
    small = np.log1p(2 * np.sinh(np.minimum(size, 30) / 2) ** 2)  # cosh e - 1 = 2 sinh^2(e / 2)
    terms = np.where(size < 30, small, size - np.log(size.dtype.type(2)))
    return combine(terms, np.tanh(error), sum_outputs)


def poisson(z, targets, sum_outputs=False):
    return combine(np.exp(z) - targets * z, np.exp(z) - targets, sum_outputs)


def binary_cross_entropy(z, targets, label_smoothing=0, sum_outputs=False):
    if label_smoothing:
        targets = (1 - label_smoothing) * targets + label_smoothing / 2
    # log(1 + e^z) and log(1 + e^-z), whichever is small, without overflow
    log_no, log_yes = np.logaddexp(0, z), np.logaddexp(0, -z)
    no, yes = np.exp(-log_no), np.exp(-log_yes)
    terms = targets * log_yes + (1 - targets) * log_no
    return combine(terms, (1 - targets) * yes - targets * no, sum_outputs)


def hinge_of_power(z, targets, power, sum_outputs):
    if z.shape[1] == 1:
        sign = 2 * targets - 1
        excess = np.maximum(0, 1 - sign * z)
        return (excess**power)[:, 0], -sign * power * excess ** (power - 1) * (excess > 0)
    right = (z * targets).sum(axis=1, keepdims=True)
    excess = np.where(targets == 1, 0, np.maximum(0, 1 - right + z))
    slopes = power * excess ** (power - 1) * (excess > 0)
    slopes = slopes - targets * slopes.sum(axis=1, keepdims=True)
    return combine(excess**power, slopes, sum_outputs)


def hinge(z, targets, sum_outputs=False):
    return hinge_of_power(z, targets, 1, sum_outputs)


def squared_hinge(z, targets, sum_outputs=False):
    return hinge_of_power(z, targets, 2, sum_outputs)


LOSSES = {
    "softmax_cross_entropy": softmax_cross_entropy,
    "mse": mse,
    "mae": mae,
    "huber": huber,
    "log_cosh": log_cosh,
    "poisson": poisson,
    "binary_cross_entropy": binary_cross_entropy,
    "hinge": hinge,
    "squared_hinge": squared_hinge,
}
# The activation that a loss contains.
MERGED = {
    **dict.fromkeys(LOSSES),
    "softmax_cross_entropy": "softmax",
    "poisson": "exponential",
    "binary_cross_entropy": "sigmoid",
}
# The settings of each, with values that are not the defaults.
SETTINGS = {
    **{name: {"sum_outputs": True} for name in LOSSES},
    "softmax_cross_entropy": {"label_smoothing": 0.1},
    "huber": {"delta": 0.3, "sum_outputs": True},
    "binary_cross_entropy": {"label_smoothing": 0.1, "sum_outputs": True},
}
