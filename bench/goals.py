"""The goals of the workloads, and what was found beside each."""

from __future__ import annotations

import math
from typing import NamedTuple

from . import footprint, many
from .report import Group, percent, seconds


class Goal(NamedTuple):
    """`found` and `goal` in words; `what` says of which quantity."""

    where: str
    what: str
    found: str
    goal: str
    reached: bool

    def __str__(self) -> str:
        missed = "" if self.reached else ", missed"
        return f"{self.where}: {self.found} {self.what} (goal {self.goal}{missed})"


def list_goals(groups: list[Group]) -> list[Goal]:
    """Return the goals of all workloads on the most threads, and those between workloads."""
    most = max((found.threads for found in groups), default=1)
    goals = [goal for found in groups if found.threads == most for goal in judge(found)]
    return [*goals, *_judge_scaling(groups), *_judge_costs(groups)]


def judge(found: Group) -> list[Goal]:
    """Return the goals of one workload, of those that can be judged."""
    work, own, other = found.workload, found.best(True), found.best(False)
    goals = []
    if found.ratio is not None and other is not None and work.goal_ratio:
        goals.append(
            _at_least(found, f"times as fast as {other.name}", found.ratio, work.goal_ratio)
        )
    if own is not None and own.of_ceiling is not None and work.goal_ceiling:
        share, goal = own.of_ceiling, work.goal_ceiling
        reached = share >= goal
        goals.append(Goal(work.id, "of the FMA ceiling", percent(share), percent(goal), reached))
    if own is not None and own.figure is not None and work.goal_step is not None:
        step, limit = own.figure / work.n_steps, work.goal_step
        goals.append(Goal(work.id, "a step", seconds(step), seconds(limit), step <= limit))
    if work.goal_activation is not None and found.dearest is not None:
        ratio, limit = found.dearest.to_fastnn or math.inf, work.goal_activation
        what = f"times the time of ReLU for the dearest activation, {found.dearest.result.call}"
        goals.append(Goal(work.id, what, f"{ratio:.2f}", f"{limit:g}", ratio <= limit))
    for call, peer, times in work.duels:
        ours = [r for r in found.rows if (r.result.peer, r.result.call) == ("fastnn", call)]
        theirs = [r for r in found.rows if r.result.peer == peer and r.figure]
        if ours and ours[0].figure and theirs:
            best = min(theirs, key=lambda r: r.figure or 0.0)
            ratio = (best.figure or 0.0) / ours[0].figure
            goals.append(_at_least(found, f"times as fast as {best.name}, by {call}", ratio, times))
    return goals


def judge_footprint() -> list[Goal]:
    """Return S1 to S3; none where fastnn cannot be imported."""
    goals = []
    for where, what, unit, scale, found, limit in footprint.measure():
        value, goal = (f"{x * scale:.3g} {unit}" for x in (found, limit))
        goals.append(Goal(where, what, value, goal, found <= limit))
    return goals


def judge_many(cpus: int) -> list[Goal]:
    """Return M1; none where it cannot be measured."""
    figures = many.measure(cpus)
    if figures is None:
        return []
    where, what, found, limit = figures
    return [Goal(where, what, f"{found:.2f}", f"{limit:g}", found <= limit)]


def _judge_scaling(groups: list[Group]) -> list[Goal]:
    own = {(g.workload.id, g.threads): g.best(True) for g in groups}
    goals = []
    for found in groups:
        one, two = own.get((found.workload.id, 1)), found.best(True)
        goal = found.workload.goal_scaling
        if found.threads == 2 and goal and one and two and one.figure and two.figure:
            ratio = one.figure / two.figure
            what = f"times as fast as on 1 thread, {found.workload.id}"
            goals.append(Goal("W8", what, f"{ratio:.2f}", f"{goal:g}", ratio >= goal))
    return goals


def _judge_costs(groups: list[Group]) -> list[Goal]:
    """What an optimizer or a layer costs over the plain training."""
    most = max((found.threads for found in groups), default=1)
    own = {g.workload.id: g.best(True) for g in groups if g.threads == most}
    goals = []
    for found in groups:
        if found.workload.goal_over is None or found.threads != most:
            continue
        base_id, goal = found.workload.goal_over
        row, base = found.best(True), own.get(base_id)
        if row and base and row.figure and base.figure:
            ratio, what = row.figure / base.figure, f"times the time of {base_id}"
            where = found.workload.id
            goals.append(Goal(where, what, f"{ratio:.2f}", f"{goal:g}", ratio <= goal))
    return goals


def _at_least(found: Group, what: str, ratio: float, goal: float) -> Goal:
    return Goal(found.workload.id, what, f"{ratio:.2f}", f"{goal:g}", ratio >= goal)
