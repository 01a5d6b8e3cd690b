"""Predictions by plans bound to memory: which way a call goes, and who shares its work."""

from __future__ import annotations

import numpy as np

from fastnn import _threads
from fastnn._core import kernels
from fastnn._core.binding import Binding
from fastnn._core.helpers import get_helpers
from fastnn._core.inference import Predictor
from fastnn._core.plan import PREDICTED_ROWS
from fastnn._core.quick import QuickPredictor
from fastnn._planning import describe_target, make_plan

# Rows and weights from which on a prediction copies the weights into panels first: rows of wide
# weights lie a page of memory apart.
PACK_MIN_ROWS = 1024
PACK_MIN_WEIGHTS = 1 << 21
# Most multiply-adds of a call that keeps the GIL: some 20 µs of work.
_SMALL_CALL = 1 << 20
# What a row costs beside its products, and each layer for a row, in multiply-adds.
_ROW_COST = 1 << 10
# Most multiply-adds of a call that helpers share, per element of a vector: at most 150 µs of work.
_SMALL_SHARED_CALL = 1 << 19
# Least multiply-adds worth handing to a thread that spins, some 5 µs, or that must be woken, 70.
_SMALLEST_SHARE = 1 << 18
_SMALLEST_WOKEN_SHARE = 1 << 22


class PredictorPool:
    """Predictors of one network; each call of `run` has one to itself, scratch and all.

    Parameters
    ----------
    parameters : Parameters
    dtype : str
    frozen : bool
        The parameters will not change: weights are packed once, and stay so.
    """

    def __init__(self, parameters, dtype: str, frozen: bool = False) -> None:
        self._parameters = parameters
        self._dtype = dtype
        self._frozen = frozen
        self._idle: dict[tuple, list] = {}
        self._quick: dict[tuple, QuickPredictor] = {}

    def run(self, X, shapes, n_threads: int | None) -> np.ndarray:
        """Output (n_rows, n_out) of the last layer for the rows of X."""
        out = np.empty((len(X), shapes[-1].n_out), dtype=self._dtype)
        if not self.fill(X, shapes, n_threads, out):
            raise ValueError("rows that had been checked hold NaN or infinity: were they changed?")
        return out

    def fill(self, X, shapes, n_threads: int | None, out) -> bool:
        """Put that into `out`; False where there is NaN or infinity in X."""
        n_rows = len(X)
        n_threads = self._choose_n_threads(shapes, n_rows, n_threads)
        packed = self._frozen or (
            n_rows >= PACK_MIN_ROWS and _count_weights(shapes) >= PACK_MIN_WEIGHTS
        )
        idle = self._idle.setdefault((shapes[-1].activation, packed), [])
        try:
            binding, predictor = idle.pop()
        except IndexError:
            predictor = None
        if predictor is None or predictor.n_bindings < n_threads:  # a smaller one is let go
            binding, predictor = self.make(shapes, n_threads, packed)
        if packed and not self._frozen:
            binding.pack()
        finite = _threads.run_detached(lambda: predictor.run(X, out, n_threads), n_threads)
        if self._frozen or not packed:  # no call leaves a copy of weights that may change
            idle.append((binding, predictor))
        return finite

    def _choose_n_threads(self, shapes, n_rows: int, n_threads: int | None) -> int:
        if n_threads is not None and n_rows > PREDICTED_ROWS:
            return min(n_threads, -(-n_rows // PREDICTED_ROWS))
        n_shares = min(n_rows, n_rows * _count_work(shapes) // _SMALLEST_WOKEN_SHARE)
        if n_shares < 2:  # before the system is asked for its CPUs, which takes a while
            return 1
        return min(n_threads or _threads.count_available(), n_shares)

    def make(self, shapes, n_threads: int, packed: bool) -> tuple[Binding, Predictor]:
        """A predictor for up to `n_threads` threads, and the binding that holds its weights."""
        target = describe_target(self._dtype)
        plan = make_plan(shapes, 1, n_threads=1, update="none", **target)

        def bind(packed):
            weights = self._parameters.arrays
            return Binding(plan, weights, None, PREDICTED_ROWS, packed=packed, training=False)

        bindings = [bind(packed)]
        if self._frozen:  # before others share what is noted
            bindings[0].pack()
            bindings[0].note_finite()
        for _ in range(n_threads - 1):
            bindings.append(bind(False))
            bindings[-1].share_weights(bindings[0])
        return bindings[0], Predictor(bindings, PREDICTED_ROWS)

    def get_quick(self, shapes, n_threads: int | None) -> QuickPredictor:
        """The short way through these layers, for calls of few rows."""
        key = shapes[-1].activation, n_threads
        try:
            return self._quick[key]
        except KeyError:
            made = self._quick[key] = self._make_quick(shapes, n_threads)
            return made

    def _make_quick(self, shapes, n_threads: int | None) -> QuickPredictor:
        per_row = _count_weights(shapes)
        rows_per_share = -(-_SMALLEST_SHARE // per_row)
        max_shared_rows = kernels.get_vector_width(self._dtype) * _SMALL_SHARED_CALL // per_row
        max_rows = _SMALL_CALL // _count_work(shapes)
        shares_rows = 2 * rows_per_share <= max_shared_rows
        helpers, predictor = [], None
        if shares_rows or max_rows > 0:
            helpers = get_helpers(n_threads or _threads.count_available())
            n_shares = 1 + len(helpers) * shares_rows
            _, predictor = self.make(shapes, n_shares, packed=self._frozen)
        return QuickPredictor(
            predictor,
            helpers,
            shapes,
            self._dtype,
            max_rows=max_rows,
            max_shared_rows=max_shared_rows,
            rows_per_share=rows_per_share,
        )


def _count_weights(shapes) -> int:
    """Of dense layers: each is a multiply-add of a row."""
    return sum(shape.multiply_adds for shape in shapes)


def _count_work(shapes) -> int:
    """Of a row, in multiply-adds."""
    return _count_weights(shapes) + _ROW_COST * (1 + len(shapes))
