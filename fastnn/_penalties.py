"""Penalties on weights, which keep them small: l1 sum |W| + l2 sum W^2 of each Dense."""

from __future__ import annotations

import numpy as np


class Penalties:
    """What each Dense of a network adds to its loss.

    I. Goodfellow, Y. Bengio and A. Courville, "Deep Learning" (2016), section 7.1, without its
    factor 1/2 for l2: the gradient is l1 sign(W) + 2 l2 W.

    Parameters
    ----------
    layers : list of Layer
    l1, l2 : float
        Of the layers that do not say.

    Attributes
    ----------
    factors : dict
        {"l1": float, "l2": float} by index of the layer, of those that have a penalty.
    """

    def __init__(self, layers, l1: float, l2: float) -> None:
        self._layers = layers
        self.factors: dict[int, dict[str, float]] = {}
        for i, layer in enumerate(layers):
            if layer.kind == "dense":
                own = {
                    "l1": l1 if layer.l1 is None else layer.l1,
                    "l2": l2 if layer.l2 is None else layer.l2,
                }
                if any(own.values()):
                    self.factors[i] = own

    def measure(self) -> float:
        """The penalty of the present weights, summed in float64; 0 where there is none."""
        return sum(
            (_measure(self._layers[i].weight, **factors) for i, factors in self.factors.items()),
            0.0,
        )

    def split(self, data_loss: float) -> dict[str, float]:
        """Columns of the history for this mean loss of the rows and the present weights."""
        if not self.factors:
            return {"loss": data_loss}
        penalty = self.measure()
        return {"loss": data_loss + penalty, "data_loss": data_loss, "penalty": penalty}


def _measure(weight: np.ndarray, l1: float, l2: float) -> float:
    exact = weight.astype(np.float64)
    return float(l1 * np.abs(exact).sum() + l2 * np.square(exact).sum())
