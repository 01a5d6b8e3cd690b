"""The oracle: what fastnn computes, in plain NumPy and the precision of its input.

One function for every entry of ``csrc/lists``; the tests enumerate the lists, so that an entry
without an oracle fails. Nothing here is taken from the package: formulas are written down anew.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.special
from reference_losses import LOSSES, MERGED, one_hot, softmax, softmax_cross_entropy
from reference_optimizers import OPTIMIZERS, penalty

__all__ = ["LOSSES", "MERGED", "OPTIMIZERS", "one_hot", "softmax", "softmax_cross_entropy"]

# --- activations: f(z), and dL/dz from dL/da and the source: the output a, or the input z ---------


def identity(z):
    return z + 0


def identity_gradient(delta, a):
    return delta + 0


def relu(z):
    return np.maximum(z, 0)


def relu_gradient(delta, a):
    return np.where(a > 0, delta, 0 * a)


def leaky_relu(z, slope):
    return np.where(z > 0, z, slope * z)


def leaky_relu_gradient(delta, a, slope):
    return np.where(a > 0, delta, slope * delta + 0 * a)


def prelu_gradient(delta, z, slope):
    return leaky_relu_gradient(delta, z, slope)


def prelu_slope(delta, z):
    return delta * np.minimum(z, 0)


def elu(z, alpha):
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


def elu_gradient(delta, a, alpha):
    return delta * np.where(a > 0, 1, a + alpha)


SELU_ALPHA = np.longdouble("1.6732632423543772848170429916717")
SELU_LAMBDA = np.longdouble("1.0507009873554804934193349852946")


def selu(z):
    return (SELU_LAMBDA * elu(z, SELU_ALPHA)).astype(z.dtype)


def selu_gradient(delta, a):
    return delta * np.where(a > 0, SELU_LAMBDA, a + SELU_LAMBDA * SELU_ALPHA).astype(a.dtype)


def normal_below(z):
    """P(Z <= z) of a normal Z, in double at best."""
    return scipy.special.ndtr(np.asarray(z, dtype=float)).astype(z.dtype)


def gelu(z):
    return z * normal_below(z)


def gelu_gradient(delta, z):
    return delta * (normal_below(z) + z * np.exp(-z * z / 2) / np.sqrt(2 * z.dtype.type(np.pi)))


def gelu_tanh(z):
    return z * sigmoid(2 * np.sqrt(2 / z.dtype.type(np.pi)) * (z + z.dtype.type(0.044715) * z**3))


def gelu_tanh_gradient(delta, z):
    k, cubic = 2 * np.sqrt(2 / z.dtype.type(np.pi)), z.dtype.type(0.044715)
    inner, slope = k * (z + cubic * z**3), k * (1 + 3 * cubic * z**2)
    return delta * sigmoid(inner) * (1 + z * slope * sigmoid(-inner))


def softplus(z):
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def softplus_gradient(delta, a):
    return delta * -np.expm1(-a)


def hard_sigmoid(z):
    return np.clip((z + 3) / 6, 0, 1)


def hard_sigmoid_gradient(delta, a):
    return delta * np.where((a > 0) & (a < 1), a.dtype.type(1) / 6, 0 * a)


def softsign(z):
    return z / (1 + np.abs(z))


def softsign_gradient(delta, a):
    return delta * (1 - np.abs(a)) ** 2


def arctan(z):
    return np.arctan(z)


def arctan_gradient(delta, z):
    return delta / (1 + z * z)


def sign(z):
    return np.sign(z)


def sign_gradient(delta, z):
    return np.where(np.abs(z) <= 1, delta, 0 * z)


def silu(z):
    return z * sigmoid(z)


def silu_gradient(delta, z):
    return delta * sigmoid(z) * (1 + z * sigmoid(-z))


def sigmoid(z):
    # e^-|z| never overflows; which side of the fraction it goes to depends on the sign
    small = np.exp(-np.abs(z))
    return np.where(z < 0, small, 1) / (1 + small)


def sigmoid_gradient(delta, a):
    return delta * a * (1 - a)


def tanh(z):
    return np.tanh(z)


def tanh_gradient(delta, a):
    return delta * (1 - a) * (1 + a)


def softmax_gradient(delta, a):
    return a * (delta - (delta * a).sum(axis=1, keepdims=True))


def log_softmax(z):
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def log_softmax_gradient(delta, a):
    return delta - np.exp(a) * delta.sum(axis=1, keepdims=True)


def exponential(z):
    return np.exp(z)


def exponential_gradient(delta, a):
    return delta * a


class Activation(NamedTuple):
    """value(z), gradient(delta, source); both take the coefficient last, where there is one."""

    value: object
    gradient: object
    needs_input: bool = False
    coefficient: float | None = None  # that of the layer's settings, by default


ACTIVATIONS = {
    "identity": Activation(identity, identity_gradient),
    "relu": Activation(relu, relu_gradient),
    "leaky_relu": Activation(leaky_relu, leaky_relu_gradient, coefficient=0.01),
    "prelu": Activation(leaky_relu, prelu_gradient, needs_input=True, coefficient=0.25),
    "elu": Activation(elu, elu_gradient, coefficient=1.0),
    "selu": Activation(selu, selu_gradient),
    "gelu": Activation(gelu, gelu_gradient, needs_input=True),
    "gelu_tanh": Activation(gelu_tanh, gelu_tanh_gradient, needs_input=True),
    "silu": Activation(silu, silu_gradient, needs_input=True),
    "softplus": Activation(softplus, softplus_gradient),
    "sigmoid": Activation(sigmoid, sigmoid_gradient),
    "hard_sigmoid": Activation(hard_sigmoid, hard_sigmoid_gradient),
    "tanh": Activation(tanh, tanh_gradient),
    "softsign": Activation(softsign, softsign_gradient),
    "arctan": Activation(arctan, arctan_gradient, needs_input=True),
    "sign": Activation(sign, sign_gradient, needs_input=True),
    "softmax": Activation(softmax, softmax_gradient),
    "log_softmax": Activation(log_softmax, log_softmax_gradient),
    "exponential": Activation(exponential, exponential_gradient),
}


def activate(name, z):
    """a = f(z), with the default coefficient."""
    entry = ACTIVATIONS[name]
    return entry.value(z, *([] if entry.coefficient is None else [entry.coefficient]))


def differentiate(name, delta, z, a):
    """dL/dz from dL/da, with the default coefficient."""
    entry = ACTIVATIONS[name]
    source = z if entry.needs_input else a
    return entry.gradient(
        delta, source, *([] if entry.coefficient is None else [entry.coefficient])
    )


# --- dense layers, a network, a training loop ----------------------------------------------------


def add_weights(pair, x):
    """z = x W + b."""
    weight, bias = pair[:2]
    return x @ weight + (0 if bias is None else bias)


def forward(parameters, activations, x):
    """Outputs of all layers, the input first. `parameters` is a list of (W, b or None)."""
    outputs = [x]
    for pair, activation in zip(parameters, activations, strict=True):
        outputs.append(activate(activation, add_weights(pair, outputs[-1])))
    return outputs


def backward(parameters, activations, loss, x, targets):
    """Mean loss over the batch, and its gradient as a list of (dW, db or None)."""
    if activations[-1] == MERGED[loss]:
        activations = [*activations[:-1], "identity"]
    outputs = forward(parameters, activations, x)
    row_losses, delta = LOSSES[loss](outputs[-1], targets)
    delta = delta / len(x)
    gradients = []
    for i in reversed(range(len(parameters))):
        weight, bias = parameters[i]
        z = add_weights(parameters[i], outputs[i])
        slopes = [prelu_slope(delta, z).sum(axis=0)] if activations[i] == "prelu" else []
        delta = differentiate(activations[i], delta, z, outputs[i + 1])
        found = [outputs[i].T @ delta, None if bias is None else delta.sum(axis=0)]
        gradients.insert(0, (*found, *slopes))
        delta = delta @ weight.T
    return row_losses.mean(), gradients


def train_step(parameters, activations, loss, x, targets, optimizer, learning_rate,
               memory=None, fill=(0, 0), decay=0.0, limit=np.inf, norm=np.inf, l1=0.0,
               l2=0.0, **settings):  # fmt: skip
    """Mean loss (with the penalty) before the step, and the parameters after it.

    `memory` is a dict that keeps the optimizer's slots from step to step, `fill` what they begin
    with, `decay` a coupled weight decay, `limit` what gradients are clipped to, `norm` what all of
    them are scaled to before.
    """
    memory = {} if memory is None else memory
    memory["t"] = memory.get("t", 0) + 1
    mean_loss, gradients = backward(parameters, activations, loss, x, targets)
    for i, (pair, found) in enumerate(zip(parameters, gradients, strict=True)):
        extra, slope = penalty(pair[0], l1, l2)
        mean_loss, gradients[i] = mean_loss + extra, (found[0] + slope, *found[1:])
    scale = min(1, norm / (np.linalg.norm(flatten(gradients)) + 1e-6))
    after = []
    for i, pair in enumerate(zip(parameters, gradients, strict=True)):
        news = []
        for j, (w, g) in enumerate(zip(*pair, strict=True)):
            if w is None:
                news.append(None)
                continue
            g = np.clip(scale * g, -limit, limit) + decay * w
            slots = memory.get((i, j)) or [np.full_like(w, value) for value in fill]
            new, memory[i, j] = OPTIMIZERS[optimizer](
                w, g, slots, memory["t"], learning_rate, **settings
            )
            news.append(new)
        after.append(tuple(news))
    return mean_loss, after


def limit_norms(weight, most):
    """Columns of `weight` that are longer than `most`, scaled back to that."""
    norms = np.linalg.norm(weight, axis=0)
    return weight * np.where(norms > most, most / norms, 1)


def copy_parameters(net, dtype=np.float64):
    """Parameters of a fastnn.Network as the functions above take them."""
    return [
        (layer.weight.astype(dtype), None if layer.bias is None else layer.bias.astype(dtype))
        for layer in net.layers
    ]


def flatten(pairs):
    """One vector of all parameters (or gradients), in the order of Network.parameter_vector."""
    return np.concatenate([part.ravel() for pair in pairs for part in pair if part is not None])


# --- random numbers ------------------------------------------------------------------------------

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox(key, counter):
    """Philox4x32-10; key (2, ...) and counter (4, ...) of 32-bit words, vectorised."""
    k0, k1 = np.array(key, dtype=np.uint64)
    x0, x1, x2, x3 = np.array(counter, dtype=np.uint64)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * x0, np.uint64(0xCD9E8D57) * x2
        x0, x1 = (p1 >> _HALF) ^ x1 ^ k0, p1 & _LOW
        x2, x3 = (p0 >> _HALF) ^ x3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & _LOW, (k1 + np.uint64(0xBB67AE85)) & _LOW
    return np.stack([x0, x1, x2, x3])


def random_words(seed, purpose, stream, n):
    """n 64-bit words: two for each counter (index, index >> 32, stream, purpose)."""
    index = np.arange(-(-n // 2), dtype=np.uint64)
    key = np.array([seed & 0xFFFFFFFF, seed >> 32], dtype=np.uint64)[:, None]
    fixed = [np.full_like(index, stream), np.full_like(index, purpose)]
    words = philox(key, np.stack([index & _LOW, index >> _HALF, *fixed]))
    pairs = np.stack([words[0] | words[1] << _HALF, words[2] | words[3] << _HALF])
    return pairs.T.ravel()[:n]


def uniform(seed, stream, low, high, n):
    words = random_words(seed, 0, stream, n)
    return low + (high - low) * ((words >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def shuffle(seed, epoch, n):
    """Fisher-Yates from the last place down; place i swaps with floor(word * (i + 1) / 2^64)."""
    order = list(range(n))
    words = random_words(seed, 1, epoch, max(n - 1, 0)).tolist()
    for i, word in zip(range(n - 1, 0, -1), words, strict=True):
        j = (word * (i + 1)) >> 64
        order[i], order[j] = order[j], order[i]
    return np.array(order)
