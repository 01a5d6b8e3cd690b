from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from fastnn._core.binding import Binding
from fastnn._core.plan_structs import LayerPlan

_Array = NDArray[np.floating[Any]]

MIN_HALVED_WEIGHTS: int

def choose_half(planned: LayerPlan) -> int: ...

@disjoint_base
class Predictor:
    n_bindings: int
    def __init__(self, bindings: Sequence[Binding], block: int) -> None: ...
    def run(self, x: _Array, out: _Array, n_threads: int) -> bool: ...

def compute_row_losses(
    output: _Array,
    loss: str,
    settings: dict[str, float],
    labels: NDArray[np.int32] | None,
    targets: _Array | None,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]: ...
