"""The oracle of whole networks with layers of every kind, in plain NumPy.

A layer is a dict of its kind and settings, its parameters a list of arrays; `forward` keeps what
`backward` needs. Formulas are written down anew from the papers that the layers' docstrings name.
"""

from __future__ import annotations

import numpy as np
import reference


def draw_mask(seed, step, layer, rows, cols, rate):
    """Factors (rows, cols) of dropout, 0 or 1 / (1 - rate).

    Column c takes word (c % 64) // 16 of Philox at counter (c // 64 * 16 + c % 16, row, step,
    layer * 256 + 3), and is dropped where the word is below rate * 2^32.
    """
    column, row = np.meshgrid(np.arange(cols), np.arange(rows))
    counter = [column // 64 * 16 + column % 16, row]
    counter += [np.full_like(row, step), np.full_like(row, layer * 256 + 3)]
    key = np.array([seed & 0xFFFFFFFF, seed >> 32], dtype=np.uint64)[:, None, None]
    words = reference.philox(key, np.array(counter, dtype=np.uint64))
    word = np.take_along_axis(words, (column % 64 // 16)[None], axis=0)[0]
    return np.where(word < np.uint64(rate * 2**32), 0, 1 / (1 - rate))


def normalize(layer, values, x):
    """Output of a norm in training, with what its backward pass needs."""
    axis = 0 if layer["kind"] == "batch_norm" else 1
    scale = 1 / np.sqrt(x.var(axis=axis, keepdims=True) + layer["epsilon"])
    normalized = (x - x.mean(axis=axis, keepdims=True)) * scale
    return normalized * values[0] + values[1], (normalized, scale)


def forward(layers, parameters, x, seed, step):
    """Outputs of all layers, the input first, and what each layer's backward pass needs."""
    outputs, caches = [x], []
    for i, (layer, values) in enumerate(zip(layers, parameters, strict=True)):
        a, cache = outputs[-1], None
        if layer["kind"] == "dense":
            weight, bias = values[:2]
            a = a @ weight + (0 if bias is None else bias)
        elif layer["kind"] == "dropout":
            cache = draw_mask(seed, step, i, *a.shape, layer["rate"])
            a = a * cache
        elif layer["kind"].endswith("norm"):
            a, cache = normalize(layer, values, a)
        outputs.append(reference.activate(layer["activation"], a))
        caches.append((a, cache))
    return outputs, caches


def backward(layers, parameters, loss, x, targets, seed=0, step=0):
    """Mean loss over the batch, and its gradient by the parameters of each layer."""
    outputs, caches = forward(layers, parameters, x, seed, step)
    row_losses, delta = reference.LOSSES[loss](outputs[-1], targets)
    delta = delta / len(x)
    gradients = []
    for i in reversed(range(len(layers))):
        layer, values, x = layers[i], parameters[i], outputs[i]
        z, cache = caches[i]
        delta = reference.differentiate(layer["activation"], delta, z, outputs[i + 1])
        found = []
        if layer["kind"] == "dense":
            found = [x.T @ delta, None if values[1] is None else delta.sum(axis=0), None]
            delta = delta @ values[0].T
        elif layer["kind"] == "dropout":
            delta = delta * cache
        elif layer["kind"].endswith("norm"):
            axis = 0 if layer["kind"] == "batch_norm" else 1
            normalized, scale = cache
            found = [(delta * normalized).sum(axis=0), delta.sum(axis=0)]
            slope = delta * values[0]
            both = (slope * normalized).mean(axis=axis, keepdims=True)
            delta = scale * (slope - slope.mean(axis=axis, keepdims=True) - normalized * both)
        gradients.insert(0, found)
    return row_losses.mean(), gradients


def describe(net):
    """The layers of a fastnn.Network as the functions above take them."""
    return [
        {"kind": layer.kind, **layer.settings(), "activation": layer.activation.name}
        for layer in net.layers
    ]


def copy_parameters(net):
    """Its parameters in float64, a list for each layer."""
    return [
        [None if value is None else value.astype(float) for value in values]
        for values in ([getattr(layer, name) for name in layer.parameter_names]
                       for layer in net.layers)
    ]  # fmt: skip


def update(parameters, gradients, rate):
    """Parameters after one step of plain SGD."""
    return [
        [None if value is None else value - rate * slope
         for value, slope in zip(values, slopes, strict=True)]
        for values, slopes in zip(parameters, gradients, strict=True)
    ]  # fmt: skip
