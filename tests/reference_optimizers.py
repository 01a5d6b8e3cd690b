"""The optimizers of the oracle: new parameters and slots from old ones, gradient and step."""

import numpy as np


def sgd(w, g, slots, t, rate):
    return w - rate * g, []


def momentum(w, g, slots, t, rate, momentum):
    velocity = momentum * slots[0] + g
    return w - rate * velocity, [velocity]


def nesterov(w, g, slots, t, rate, momentum):
    velocity = momentum * slots[0] + g
    return w - rate * (g + momentum * velocity), [velocity]


def adam(w, g, slots, t, rate, beta1, beta2, epsilon):
    mean = beta1 * slots[0] + (1 - beta1) * g
    square = beta2 * slots[1] + (1 - beta2) * g**2
    size = np.sqrt(square / (1 - beta2**t)) + epsilon
    return w - rate * mean / (1 - beta1**t) / size, [mean, square]


def nadam(w, g, slots, t, rate, beta1, beta2, epsilon, momentum_decay):
    def mu(i):
        return beta1 * (1 - 0.96 ** (i * momentum_decay) / 2)

    _, [mean, square] = adam(w, g, slots, t, rate, beta1, beta2, epsilon)
    product = np.prod([mu(i) for i in range(1, t + 1)])
    step = (1 - mu(t)) / (1 - product) * g + mu(t + 1) / (1 - product * mu(t + 1)) * mean
    return w - rate * step / (np.sqrt(square / (1 - beta2**t)) + epsilon), [mean, square]


def rmsprop(w, g, slots, t, rate, rho, epsilon):
    square = rho * slots[0] + (1 - rho) * g**2
    return w - rate * g / (np.sqrt(square) + epsilon), [square]


def rmsprop_momentum(w, g, slots, t, rate, rho, epsilon, momentum):
    square = rho * slots[0] + (1 - rho) * g**2
    velocity = momentum * slots[1] + g / (np.sqrt(square) + epsilon)
    return w - rate * velocity, [square, velocity]


def adagrad(w, g, slots, t, rate, rate_decay, epsilon):
    total = slots[0] + g**2
    return w - rate / (1 + (t - 1) * rate_decay) * g / (np.sqrt(total) + epsilon), [total]


def adadelta(w, g, slots, t, rate, rho, epsilon):
    square = rho * slots[0] + (1 - rho) * g**2
    step = np.sqrt(slots[1] + epsilon) / np.sqrt(square + epsilon) * g
    return w - rate * step, [square, rho * slots[1] + (1 - rho) * step**2]


def rprop(w, g, slots, t, rate, shrink, grow, min_step, max_step):
    turned, stayed = g * slots[0] < 0, g * slots[0] > 0
    size = np.clip(slots[1] * np.where(turned, shrink, np.where(stayed, grow, 1)), min_step,
                   max_step)  # fmt: skip
    g = np.where(turned, 0, g)
    return w - size * np.sign(g), [g, size]


OPTIMIZERS = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "adam": adam,
    "nadam": nadam,
    "rmsprop": rmsprop,
    "rmsprop_momentum": rmsprop_momentum,
    "adagrad": adagrad,
    "adadelta": adadelta,
    "rprop": rprop,
}


def penalty(w, l1, l2):
    """The penalty and its gradient."""
    return l1 * np.abs(w).sum() + l2 * (w**2).sum(), l1 * np.sign(w) + 2 * l2 * w
