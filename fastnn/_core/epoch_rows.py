"""What an epoch knows of its rows, in arrays that a thread keeps from fit to fit.

Rejected: new arrays for each fit. For small networks the system takes as long to hand out and clear
the memory as a third of an epoch. Arrays that each network keeps: of many networks that are trained
side by side, each would begin with new ones.
"""

from __future__ import annotations

import threading

import numpy as np

# Rows, up to which scratch for them is kept for the next fit: some 4 MB.
MAX_ROWS_KEPT = 1 << 17

_kept = threading.local()  # .rows: of the last fit that ended in this thread, and nobody's now


class EpochRows:
    """Scratch for the rows of an epoch; all arrays are in its order.

    What a `Training` hands out of it is good until the next fit.

    Attributes
    ----------
    order : int64 ndarray (n_rows,)
        Which row comes when.
    pointers, target_pointers : uintp ndarray (n_rows,)
        Where rows of the data and of the targets begin; None without targets.
    labels : int32 ndarray (n_rows,)
    losses : float64 ndarray (n_rows,)
    weights : float64 ndarray (n_rows,) or None
    """

    def __init__(self, n_rows: int, has_targets: bool, has_weights: bool) -> None:
        self.settings = (n_rows, has_targets, has_weights)
        self.order = np.empty(n_rows, dtype=np.int64)
        self.pointers = np.empty(n_rows, dtype=np.uintp)
        self.target_pointers = np.empty(n_rows, dtype=np.uintp) if has_targets else None
        self.labels = np.empty(n_rows, dtype=np.int32)
        self.losses = np.empty(n_rows)
        self.weights = np.empty(n_rows) if has_weights else None

    @classmethod
    def take(cls, n_rows: int, has_targets: bool, has_weights: bool) -> EpochRows:
        """Those that this thread keeps, where they are such as are asked for, or new ones."""
        rows, _kept.rows = getattr(_kept, "rows", None), None  # callbacks may fit another network
        settings = (n_rows, has_targets, has_weights)
        return rows if rows is not None and rows.settings == settings else cls(*settings)

    def keep(self) -> None:
        """Let the next fit of this thread have them: nobody uses them any more."""
        if len(self.order) <= MAX_ROWS_KEPT:
            _kept.rows = self
