from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from fastnn._core.binding import Binding
from fastnn._core.phase_lists import Phases
from fastnn._core.plan import Plan

_Array = NDArray[np.floating[Any]]
_Labels = NDArray[np.int32]

def has_openmp() -> bool: ...
def join_phases(plan: Plan) -> Phases: ...
def list_rows(array: NDArray[Any]) -> NDArray[np.uintp]: ...
def update_arena(
    optimizer: str, values: _Array, gradients: _Array, learning_rate: float
) -> None: ...

@disjoint_base
class Engine:
    @property
    def epoch_losses(self) -> NDArray[np.float64]: ...
    def __init__(
        self, binding: Binding, loss: str, merged: bool, last_plan: Plan | None = None
    ) -> None: ...
    def request_stop(self) -> None: ...
    def load_data(
        self,
        x: _Array,
        labels: _Labels | None,
        targets: _Array | None,
        *,
        batch_size: int,
        seed: int,
        shuffle: bool,
    ) -> None: ...
    def run_steps(
        self, first: int, n_steps: int, *, learning_rate: float
    ) -> tuple[list[float], list[float], int]: ...
    def check_team(self, wrong_team: bool) -> None: ...
    def forward(
        self, x: _Array, labels: _Labels | None, targets: _Array | None, seed: int, number: int
    ) -> float: ...
    def backward(self) -> None: ...
