from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray
from typing_extensions import Self, disjoint_base

from fastnn._core.plan_structs import Plan

_Array = NDArray[np.floating[Any]]
_Pairs = Sequence[tuple[_Array, _Array | None]]
_T = TypeVar("_T")

CACHE_LINE: int

def allocate(n: int, dtype: DTypeLike) -> _Array: ...
def make_blocks(n_threads: int, dtype: DTypeLike) -> _Array: ...
def list_rows(array: NDArray[Any]) -> NDArray[np.uintp]: ...
def point_to_rows(start: int, row_bytes: int, n_rows: int) -> NDArray[np.uintp]: ...

@disjoint_base
class Binding:
    plan: Plan
    dtype: np.dtype[np.floating[Any]]
    packed: bool
    is_f32: bool
    outputs: list[_Array]
    deltas: list[_Array]
    def __new__(
        cls,
        plan: Plan,
        parameters: _Pairs,
        gradients: _Pairs | None,
        rows: int,
        packed: bool,
        training: bool,
        slots: Sequence[_Pairs] = (),
    ) -> Self: ...
    def share_weights(self, other: Binding) -> None: ...
    def keep(self, array: _T) -> _T: ...
    def bind_shape(self, i: int, rows: int) -> None: ...
    def bind_weight(self, i: int, gradients: _Pairs | None, training: bool) -> None: ...
    def bind_norm(self, i: int, gradients: _Pairs | None, rows: int, training: bool) -> None: ...
    def bind_scratch(self, i: int, rows: int, training: bool) -> None: ...
    def list_copies(self) -> Iterator[tuple[_Array, _Array]]: ...
    def list_panels(
        self, i: int, panels: _Array, weight: _Array
    ) -> Iterator[tuple[_Array, _Array]]: ...
    def pack(self) -> None: ...
    def unpack(self) -> None: ...
