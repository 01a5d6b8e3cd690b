"""The parameters of a network: one contiguous arena each for values and gradients."""

from __future__ import annotations

import copy

from fastnn._core.binding import allocate

# Kernels load whole vectors: the last weight's last row must be readable this far beyond its end.
_SLACK = 16


class Parameters:
    """Values and gradients of all layers, each one array with views into it.

    Parameters
    ----------
    n_features : int
    layers : list of Dense
    dtype : str

    Attributes
    ----------
    values, gradients : ndarray (n_parameters,)
    weights : list of (weight, bias)
        Views of `values`: (n_in, n_out) and (n_out,) or None.
    weight_grads : list of (weight_grad, bias_grad)
        The same views of `gradients`.
    """

    def __init__(self, n_features: int, layers, dtype: str) -> None:
        widths = [n_features, *(layer.units for layer in layers)]
        shapes = [
            ((n_in, n_out), n_out if layer.use_bias else 0)
            for n_in, n_out, layer in zip(widths, widths[1:], layers, strict=False)
        ]
        self._shapes, self._dtype = shapes, dtype
        self._size = sum(n_in * n_out + n_bias for (n_in, n_out), n_bias in shapes)
        self.values, self.weights = self._make_arena()
        self.gradients, self.weight_grads = self._make_arena()

    def _make_arena(self):
        arena = allocate(self._size + _SLACK, self._dtype)[: self._size]
        return arena, _make_views(arena, self._shapes)

    def copy(self) -> Parameters:
        """The same values in memory of their own, without gradients."""
        other = copy.copy(self)
        other.values, other.weights = self._make_arena()
        other.values[...] = self.values
        del other.gradients, other.weight_grads
        return other


def _make_views(arena, shapes):
    views, start = [], 0
    for (n_in, n_out), n_bias in shapes:
        weight = arena[start : start + n_in * n_out].reshape(n_in, n_out)
        start += n_in * n_out
        bias = arena[start : start + n_bias] if n_bias else None
        start += n_bias
        views.append((weight, bias))
    return views
