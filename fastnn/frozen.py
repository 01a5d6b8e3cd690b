"""FrozenNetwork: a network as it is now, made ready to answer in microseconds."""

from __future__ import annotations

import numpy as np

from fastnn import _predictors
from fastnn._core.quick import check_out
from fastnn._data import scale
from fastnn._scaling import check_unscaled, require_scaling
from fastnn._targets import decide, spread_probabilities


class FrozenNetwork:
    """What `Network.freeze` returns: the network's predictions from weights that never change.

    The weights are copied and laid out in panels once, and scratch is allocated once. Results have
    the bits of the network's own. Any number of threads may call at once: a call with few rows
    keeps the GIL, one with many releases it and has scratch to itself. Calls of some microseconds
    that follow each other quickly are shared with other threads, up to three and one less than
    ``n_threads``, which sleep 0.2 ms after the last of them: by rows, or, where there are few, with
    one such thread by the columns of wide layers. It can be pickled and copied; nothing of the
    network itself is kept.
    """

    def __init__(self, net) -> None:
        self._parameters = net._require_built().copy()
        self._shapes = {what: net._shapes[what] for what in ("scores", "output", "means")}
        self._n_features = net.n_features
        self._classes = net.classes
        self._loss = net.loss
        self._n_threads = net.n_threads
        self._dtype = net.dtype
        require_scaling(net.scale_inputs, net.input_scaling)
        self._scalings = net.input_scaling, net.target_scaling
        self._prepare()

    def _prepare(self) -> None:
        """Lay the weights out in panels, and allocate scratch."""
        self._predictors = _predictors.PredictorPool(self._parameters, self._dtype, frozen=True)
        self._scores, self._output, self._means = (
            self._predictors.get_quick(self._shapes[what], self._n_threads)
            for what in ("scores", "output", "means")
        )

    def __getstate__(self) -> dict:
        made = ("_predictors", "_scores", "_output", "_means")
        return {name: value for name, value in self.__dict__.items() if name not in made}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._prepare()

    def forward(self, X, out: np.ndarray | None = None) -> np.ndarray:
        """What the last layer's activation gives, (n_rows, n_outputs).

        Parameters
        ----------
        X : array-like (n_rows, n_features)
            Used as it lies where it is a finite array of the network's dtype with contiguous rows.
        out : ndarray (n_rows, n_outputs), optional
            Of the network's dtype, C-contiguous; filled and returned. Must not overlap X. Where X
            is refused for a NaN or infinity, some rows may have been filled before.
        """
        return self._output.run(self, self._scale(X), out)

    def predict(self, X) -> np.ndarray:
        """Predicted classes or values, as `Network.predict` gives them."""
        predictor = self._scores if self._loss.decides_by == "scores" else self._means
        output = predictor.run(self, self._scale(X))
        return decide(output, self._loss, self._classes, self._scalings[1])

    def predict_proba(self, X, out: np.ndarray | None = None) -> np.ndarray:
        """Probabilities, as `Network.predict_proba` gives them, in `out` if given."""
        self._loss.require_probabilities()
        X = self._scale(X)
        if self._loss.targets != "binary":
            return self._means.run(self, X, out)
        probabilities = spread_probabilities(self._means.run(self, X), self._loss)
        if out is None:
            return probabilities
        check_out(out, probabilities.shape, probabilities.dtype)
        out[...] = probabilities
        return out

    def _check_input(self, X) -> np.ndarray:
        """X as a matrix that can be used."""
        return check_unscaled(X, "X", self._dtype, self._n_features, self._n_threads)[0]

    def _scale(self, X):
        if self._scalings[0] is None:
            return X
        X, own = check_unscaled(X, "X", None, self._n_features, self._n_threads)
        return scale(X, self._scalings[0], self._dtype, "X", own)
