from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from fastnn._core.binding import Binding
from fastnn._core.epoch_rows import EpochRows
from fastnn._core.plan_structs import Plan

_Array = NDArray[np.floating[Any]]
_Labels = NDArray[np.int32]

def has_openmp() -> bool: ...

@disjoint_base
class Engine:
    @property
    def epoch_losses(self) -> NDArray[np.float64]: ...
    @property
    def epochs_done(self) -> list[list[float]]: ...
    @property
    def n_steps_done(self) -> int: ...
    def __init__(
        self,
        binding: Binding,
        loss: str,
        merged: bool,
        arenas: tuple[_Array, _Array, _Array],
        last_plan: Plan | None = None,
        *,
        settings: dict[str, float],
        sum_rows: bool = False,
    ) -> None: ...
    def request_stop(self) -> None: ...
    def load_data(
        self,
        x: _Array,
        labels: _Labels | None,
        targets: _Array | None,
        weights: NDArray[np.float64] | None = None,
        *,
        rows: EpochRows,
        batch_size: int,
        seed: int,
        shuffle: bool,
    ) -> None: ...
    def drop_data(self) -> None: ...
    def time_phases(self) -> NDArray[np.float64]: ...
    def run_steps(
        self,
        first: int,
        n_steps: int,
        optimizer: str,
        coefficients: NDArray[np.float64],
    ) -> bool: ...
    def compute_loss(self, start: int, stop: int) -> float: ...
    def forward(
        self,
        x: _Array,
        labels: _Labels | None,
        targets: _Array | None,
        seed: int,
        number: int,
        weights: NDArray[np.float64] | None = None,
    ) -> float: ...
    def backward(self) -> None: ...
