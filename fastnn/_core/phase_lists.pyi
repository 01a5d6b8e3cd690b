from collections.abc import Sequence

from typing_extensions import Self, disjoint_base

from fastnn._core.barriers import Phase
from fastnn._core.plan_structs import Plan

@disjoint_base
class Phases:
    def __new__(cls, phases: Sequence[Phase], n_threads: int, guarded: int = -1) -> Self: ...

def join_phases(plan: Plan) -> Phases: ...
