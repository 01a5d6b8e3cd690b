from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from fastnn._core.helpers import Helper
from fastnn._core.inference import Predictor

_Array = NDArray[np.floating[Any]]

N_HELPERS: int

def check_out(out: Any, wanted: tuple[int, int], dtype: Any) -> None: ...

@disjoint_base
class FrozenPredictor:
    def __init__(
        self,
        predictor: Predictor,
        helpers: list[Helper],
        n_in: int,
        n_out: int,
        dtype: str,
        check: Callable[[Any], _Array],
        run_many: Callable[[_Array, _Array], Any],
        max_rows: int,
        max_shared_rows: int,
        rows_per_share: int,
    ) -> None: ...
    def run(self, X: Any, out: _Array | None = None) -> _Array: ...
