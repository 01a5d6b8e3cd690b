"""The parameters of a network: one contiguous arena each for values and gradients."""

from __future__ import annotations

import math

from fastnn._core.binding import allocate

# Kernels load whole vectors: the last weight's last row must be readable this far beyond its end.
_SLACK = 16


class Parameters:
    """Values and gradients of all layers, each one array with views into it.

    Parameters
    ----------
    n_features : int
    layers : list of Layer
    dtype : str

    Attributes
    ----------
    values, gradients : ndarray (n_parameters,)
    weights : list of (weight, bias, slope)
        Views of `values`, three for each layer: (n_in, n_out), (n_out,) or None, and (n_out,) or
        None for a dense one, None alone for one without parameters.
    weight_grads : list of (weight_grad, bias_grad, slope_grad)
        The same views of `gradients`.
    running : ndarray
        What training changes without a gradient: the running statistics of batch norm.
    states : list of tuple
        Views of `running`, (mean, variance) for a batch norm, () for any other layer.
    """

    def __init__(self, n_features: int, layers, dtype: str) -> None:
        self._shapes, self._dtype = list_shapes(layers, n_features), dtype
        self._size = count_elements(self._shapes)
        self.values, self.weights = self.make_arena()
        self.gradients, self.weight_grads = self.make_arena()
        self._state_shapes = list_state_shapes(layers, n_features)
        self.running, self.states = self._make_running()

    @property
    def arrays(self) -> list[tuple]:
        """What the engine works on: for each layer its parameters, then its state."""
        pairs = zip(self.weights, self.states, strict=True)
        return [(*parameters, *state) for parameters, state in pairs]

    def _make_running(self):
        running = allocate(count_elements(self._state_shapes), self._dtype)
        return running, _make_views(running, self._state_shapes)

    def make_arena(self):
        """An array of zeros laid out like `values`, and a list of (weight, bias) views of it."""
        arena = allocate(self._size + _SLACK, self._dtype)[: self._size]
        return arena, self.make_views(arena)

    def make_views(self, arena):
        """A list of (weight, bias) views of any array laid out like `values`."""
        return _make_views(arena, self._shapes)

    def copy(self) -> Parameters:
        """The same values in memory of their own, without gradients."""
        restore, state = self.__reduce__()
        return restore(*state)

    def __reduce__(self):
        """Pickled as plain arrays, without gradients: views and slack are made anew."""
        state = (self._shapes, self._state_shapes, self._dtype, self.values, self.running)
        return _restore, state


def _restore(shapes, state_shapes, dtype: str, values, running) -> Parameters:
    """Parameters without gradients, in memory of their own."""
    made = Parameters.__new__(Parameters)
    made._shapes, made._state_shapes, made._dtype = shapes, state_shapes, dtype
    made._size = count_elements(shapes)
    made.values, made.weights = made.make_arena()
    made.values[...] = values
    made.running, made.states = made._make_running()
    made.running[...] = running
    return made


def list_widths(layers, n_features: int) -> list[int]:
    """Inputs of the first layer, and outputs of each."""
    widths = [n_features]
    for layer in layers:
        widths.append(layer.units or widths[-1])
    return widths


def list_shapes(layers, n_features: int):
    """Three shapes for each layer, of its first parameters, or None."""
    widths = list_widths(layers, n_features)
    return [
        tuple([*layer.parameter_shapes(n_in), None, None, None][:3])
        for layer, n_in in zip(layers, widths, strict=False)
    ]


def list_state_shapes(layers, n_features: int):
    """Shapes of each layer's state."""
    widths = list_widths(layers, n_features)
    return [
        tuple((n_in,) for _ in layer.state_names)
        for layer, n_in in zip(layers, widths, strict=False)
    ]


def count_elements(shapes) -> int:
    return sum(math.prod(shape) for group in shapes for shape in group if shape is not None)


def _make_views(arena, shapes):
    """Views of `arena`, one behind the other."""
    start, views = 0, []
    for group in shapes:
        made: list = []
        for shape in group:
            if shape is None:
                made.append(None)
                continue
            size = math.prod(shape)
            made.append(arena[start : start + size].reshape(shape))
            start += size
        views.append(tuple(made))
    return views
