"""Divergence in words: where training went wrong, and what to try."""

from __future__ import annotations

import numpy as np

_RISE = 0.1  # of the first epoch's loss
_MIN_EPOCHS = 3


class DivergenceError(FloatingPointError):
    """The loss, a gradient or a weight became NaN or infinite, in the step that is named.

    The parameters, and what the optimizer keeps, are those before that step.

    Attributes
    ----------
    epoch, step : int
        Where it was found, both counted from 0; the step within its epoch.
    layer : int
        The first layer, counted from 0, with such a weight or output.
    learning_rate, suggested_rate : float
        The rate of that step, and a tenth of it.
    """

    def __init__(self, epoch: int, step: int, layer: int, found: str, learning_rate: float) -> None:
        super().__init__(epoch, step, layer, found, learning_rate)  # so it can be pickled
        self.epoch, self.step, self.layer = epoch, step, layer
        self.learning_rate = learning_rate
        self.suggested_rate = learning_rate / 10
        self._found = found

    def __str__(self) -> str:
        return (
            f"training diverged in epoch {self.epoch}, step {self.step}, at learning rate "
            f"{self.learning_rate:g}: {self._found} of layer {self.layer} became NaN or infinite. "
            f"The weights are those before this step; try a learning rate of "
            f"{self.suggested_rate:g}"
        )


class DivergenceWarning(RuntimeWarning):
    """The loss rose while it should have fallen."""


def describe_rise(losses: list[float], learning_rate: float) -> str | None:
    """Words for a loss that ends more than a tenth above where it began, or None.

    Less than that, and less than three epochs, say nothing: the loss of a mini-batch wanders.
    """
    if len(losses) < _MIN_EPOCHS or losses[-1] - losses[0] <= _RISE * abs(losses[0]):
        return None
    return (
        f"the loss rose from {losses[0]:.4g} to {losses[-1]:.4g} at learning rate "
        f"{learning_rate:g}, which is too large: try {learning_rate / 10:g}"
    )


def find_culprit(parameters, slots, outputs) -> tuple[int, str]:
    """The first layer whose weights, outputs or gradients in the last step are not finite.

    Parameters
    ----------
    parameters : Parameters
    slots : list of ndarray (n_parameters,)
        What the optimizer keeps: a witness of the gradients, as is what batch norm keeps.
    outputs : list of ndarray (batch, n_out)
    """
    kept = [parameters.make_views(slot) for slot in slots]
    for i, output in enumerate(outputs):
        places = {
            "the weights": parameters.weights[i],
            "the outputs": [output],
            "the gradients": [*parameters.states[i], *(a for slot in kept for a in slot[i])],
        }
        for found, arrays in places.items():
            if not are_finite(arrays):
                return i, found
    return len(outputs) - 1, "the loss"


def are_finite(arrays) -> bool:
    return all(np.isfinite(array).all() for array in arrays if array is not None)
