from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from fastnn._core.binding import Binding
from fastnn._core.plan import Plan

_Array = NDArray[np.floating[Any]]
_Labels = NDArray[np.int32]

def has_openmp() -> bool: ...
def list_rows(array: NDArray[Any]) -> NDArray[np.uintp]: ...
def update_arena(
    optimizer: str, values: _Array, gradients: _Array, learning_rate: float
) -> None: ...

@disjoint_base
class Engine:
    def __init__(
        self, binding: Binding, loss: str, merged: bool, last_plan: Plan | None = None
    ) -> None: ...
    def request_stop(self) -> None: ...
    def run_epochs(
        self,
        x: _Array,
        labels: _Labels | None,
        targets: _Array | None,
        *,
        batch_size: int,
        first_epoch: int,
        n_epochs: int,
        seed: int,
        shuffle: bool,
        learning_rate: float,
    ) -> tuple[list[float], list[float]]: ...
    def check_team(self, wrong_team: bool) -> None: ...
    def forward(self, x: _Array, labels: _Labels | None, targets: _Array | None) -> float: ...
    def backward(self) -> None: ...
