"""What several test files need: sizes worth testing, guarded memory, small data sets."""

import contextlib
import os
import signal
import threading
import warnings

import numpy as np

from fastnn import _predictors
from fastnn._core import plan
from fastnn._core.engine import has_openmp

DTYPES = ["float32", "float64"]
THREADS = [1, 2, 4] if has_openmp() else [1]
# Sides of matrices: around the vector widths (1, 4, 8, 16), the tile heights, and the panels.
SIDES = [1, 2, 3, 7, 15, 16, 17, 31, 33, 63, 100, 257]


def lower_limits():
    """Let rules of large layers hold from some hundred columns on: larger ones take too long."""
    plan.BLAS_MIN_WIDTH, plan.BLAS_MIN_SIZE = 1024, 64 * 1024
    plan.OTHER_BLAS_MIN_WIDTHS = {}
    plan.MAX_OWNED_WEIGHTS, plan.MIN_PANEL_ROWS = 1 << 17, 64
    _predictors.PACK_MIN_ROWS, _predictors.PACK_MIN_WEIGHTS = 256, 1000


@contextlib.contextmanager
def held_elsewhere(manager):
    """Another thread is within `manager` meanwhile."""
    held, leave = threading.Event(), threading.Event()

    def hold():
        with manager:
            held.set()
            leave.wait(60)

    other = threading.Thread(target=hold)
    other.start()
    try:
        assert held.wait(60)
        yield
    finally:
        leave.set()
        other.join()


def run_in_child(work):
    """Whether a forked child calls `work` and ends, without an error, within a minute."""
    with warnings.catch_warnings():  # Python 3.12 and later warn that threads are running
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.alarm(60)  # its default action ends a child that hangs
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


class Guarded:
    """A matrix inside a larger buffer full of NaNs, which a kernel must neither use nor change.

    Attributes
    ----------
    view : ndarray (rows, cols)
        Rows lie `gap` elements further apart than they are long, and begin at an address that is
        no multiple of a vector.
    """

    def __init__(self, values, gap=5):
        rows, cols = values.shape
        inside = slice(3, 3 + rows * (cols + gap))
        self.buffer = np.full(inside.stop + 64, np.nan, dtype=values.dtype)
        self.view = self.buffer[inside].reshape(rows, cols + gap)[:, :cols]
        self.view[...] = values
        self._outside = np.ones(len(self.buffer), dtype=bool)
        self._outside[inside].reshape(rows, cols + gap)[:, :cols] = False

    def check(self):
        assert np.isnan(self.buffer[self._outside]).all(), "written outside of the matrix"


def make_classes(rng, n_rows, n_features, n_classes):
    """Rows of numbers, and labels that a network can learn to tell from them."""
    X = rng.standard_normal((n_rows, n_features))
    directions = rng.standard_normal((n_features, n_classes))
    return X, (X @ directions).argmax(axis=1)


def same_bits(one, other):
    """Whether two arrays are equal to the bit, NaNs and signs of zero included."""
    one, other = np.ascontiguousarray(one), np.ascontiguousarray(other)
    return (
        one.shape == other.shape and one.dtype == other.dtype and (one.tobytes() == other.tobytes())
    )
