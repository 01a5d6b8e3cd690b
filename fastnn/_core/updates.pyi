from typing import Any

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.floating[Any]]

def update_arena(
    optimizer: str,
    values: _Array,
    gradients: _Array,
    state: _Array,
    coefficients: NDArray[np.float64],
) -> None: ...
def limit_column_norms(weight: _Array, chunk: int, max_norm: float) -> None: ...
