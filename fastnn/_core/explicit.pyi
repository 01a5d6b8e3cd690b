from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from fastnn._core.binding import Binding

_Array = NDArray[np.floating[Any]]

def check_team(wrong_team: bool, n_threads: int) -> None: ...

@disjoint_base
class LayerEngine:
    def __init__(self, binding: Binding) -> None: ...
    def forward(self, x: _Array, seed: int, number: int) -> _Array: ...
    def backward(self, dh: _Array) -> _Array: ...
