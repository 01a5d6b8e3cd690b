"""What an epoch knows of its rows, in arrays that a network keeps from fit to fit.

Rejected: new arrays for each fit. For small networks the system takes as long to hand out and clear
the memory as a third of an epoch.
"""

from __future__ import annotations

import numpy as np


class EpochRows:
    """Scratch for the rows of an epoch; all arrays are in its order.

    What a `Training` hands out of it is good until the network's next fit.

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
