from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from fastnn._core.helpers import Helper
from fastnn._core.inference import Predictor
from fastnn._core.plan_structs import LayerShape

_Array = NDArray[np.floating[Any]]

def check_out(out: Any, wanted: tuple[int, int], dtype: Any) -> None: ...

@disjoint_base
class QuickPredictor:
    def __init__(
        self,
        predictor: Predictor | None,
        helpers: list[Helper],
        shapes: tuple[LayerShape, ...],
        dtype: str,
        max_rows: int,
        max_shared_rows: int,
        rows_per_share: int,
    ) -> None: ...
    def accepts(self, X: Any) -> bool: ...
    def run(self, owner: Any, X: Any, out: _Array | None = None) -> _Array: ...
