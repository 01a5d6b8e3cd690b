"""Turns results into rows with ratios, and rows into the tables."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, TypeGuard

from .driver import Result
from .peers import PEERS
from .workloads import Workload

# A run whose accuracy is this far below the median of all runs does not count.
ACCURACY_MARGIN = 0.005

# With which the other activations are compared.
PLAIN_ACTIVATION = "relu"

LABELS = {entry.key: entry.label for entry in PEERS}


@dataclass
class Row:
    """A result and what follows from it; times in seconds, None where there are none."""

    result: Result
    minimum: float | None = None
    median: float | None = None
    p99: float | None = None
    figure: float | None = (
        None  # what is compared: the median of latencies and races, else the minimum
    )
    counts: bool = False
    to_fastnn: float | None = None  # figure over that of fastnn; of an activation, over ReLU's
    of_ceiling: float | None = None

    @property
    def name(self) -> str:
        label = LABELS.get(self.result.peer, self.result.peer)
        return f"{label} {self.result.call}".strip()


@dataclass
class Group:
    """The rows of one workload with one number of threads."""

    workload: Workload
    threads: int
    rows: list[Row]

    def best(self, of_fastnn: bool) -> Row | None:
        """Return the fastest row that counts, of fastnn or of the others."""
        rows = [
            r
            for r in self.rows
            if r.counts and r.figure is not None and (r.result.peer == "fastnn") == of_fastnn
        ]
        return min(rows, key=lambda r: r.figure or 0.0, default=None)

    @property
    def base(self) -> Row | None:
        """The row that the others are compared with."""
        if self.workload.has_peers:
            return self.best(True)
        return next((r for r in self.rows if r.result.call == PLAIN_ACTIVATION), None)

    @property
    def dearest(self) -> Row | None:
        """The activation that takes longest, of those that count."""
        timed = [r for r in self.rows if r.counts and r is not self.base and r.to_fastnn]
        return max(timed, key=lambda r: r.to_fastnn or 0.0, default=None)

    @property
    def ratio(self) -> float | None:
        """How many times faster fastnn is than the best peer."""
        own, other = self.best(True), self.best(False)
        if own is None or other is None or not own.figure or not other.figure:
            return None
        return other.figure / own.figure


def group(
    workload: Workload, threads: int, results: Iterable[Result], ceiling: float | None
) -> Group:
    """Compute minima, medians, fractions and ratios of the results of one workload."""
    rows = [_row(workload, result, ceiling) for result in results]
    accuracies = [r.result.accuracy for r in rows if _finite(r.result.accuracy)]
    if not workload.has_peers:  # each is a network of its own, in its first epochs
        for row in rows:
            row.counts = _finite(row.result.loss)
    elif accuracies:
        least = statistics.median(accuracies) - ACCURACY_MARGIN
        for row in rows:
            accuracy, loss = row.result.accuracy, row.result.loss
            enough = _finite(accuracy) and accuracy >= least
            row.counts = enough and (loss is None or math.isfinite(loss))
    found = Group(workload, threads, rows)
    base = found.base
    if base is not None and base.figure:
        for row in rows:
            row.to_fastnn = None if row.figure is None else row.figure / base.figure
    return found


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _row(workload: Workload, result: Result, ceiling: float | None) -> Row:
    row = Row(result)
    if result.status != "ok" or not result.times:
        return row
    times = sorted(result.times)
    row.minimum, row.median = times[0], statistics.median(times)
    row.figure = row.median if workload.kind == "race" else row.minimum
    if workload.kind == "race":
        return row
    if workload.kind == "latency":
        row.figure, row.p99 = row.median, times[int(0.99 * (len(times) - 1))]
    elif ceiling:
        row.of_ceiling = workload.flops / row.minimum / ceiling
    return row


def as_dict(found: Group, row: Row) -> dict[str, Any]:
    """Return a row for JSON, with its single times unless they are thousands of latencies."""
    fields = asdict(row)
    result = fields.pop("result")
    if found.workload.kind == "latency":
        del result["times"]
    return {**result, **fields}


def to_json(info: dict[str, Any], groups: list[Group], **more: Any) -> str:
    """Return everything that was measured."""
    rows = [as_dict(found, row) for found in groups for row in found.rows]
    goals = [goal._asdict() for goal in info["goals"]]
    return json.dumps({**info, "goals": goals, "rows": rows, **more}, indent=1) + "\n"


def caption(info: dict[str, Any], groups: list[Group]) -> str:
    """Return what stands above a picture."""
    return f"{info['cpu']}, {max(g.threads for g in groups)} threads, {info['date']}"


def seconds(value: float | None) -> str:
    if value is None:
        return ""
    for factor, unit in ((1, "s"), (1e3, "ms")):
        if value * factor >= 0.0995:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"


def percent(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{100 * value:.{digits}f}%"


def _number(value: float | None, spec: str) -> str:
    return "" if value is None else format(value, spec)


def text_table(found: Group) -> str:
    """Return the table of one workload: every peer and call, with the verdict below."""
    accuracy = "accuracy" if found.workload.trains else "agreement"
    over = "/ fastnn" if found.workload.has_peers else f"/ {PLAIN_ACTIVATION}"
    lines = [["peer", "minimum", "median", "p99", over, "of ceiling", "loss", accuracy, ""]]
    for row in found.rows:
        result = row.result
        if result.status != "ok":
            lines.append([row.name, *[""] * 7, result.status])
            continue
        lines.append(
            [
                row.name,
                seconds(row.minimum),
                seconds(row.median),
                seconds(row.p99),
                _number(row.to_fastnn, ".2f"),
                percent(row.of_ceiling),
                _number(result.loss, ".4f"),
                percent(result.accuracy, 2),
                "" if row.counts else "does not count",
            ]
        )
    plural = "thread" if found.threads == 1 else "threads"
    head = f"{found.workload.title}, {found.threads} {plural}"
    return "\n".join([head, _columns(lines), verdict(found)]) + "\n"


def _columns(lines: list[list[str]]) -> str:
    """Align cells; a column that is empty but for its head is left out."""
    columns = [c for c in zip(*lines, strict=True) if any(c[1:])]
    widths = [max(map(len, c)) for c in columns]
    out = []
    for line in zip(*columns, strict=True):
        first, *rest = line
        cells = [f"  {first:<{widths[0]}}"]
        cells += [f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True)]
        out.append("  ".join(cells).rstrip())
    return "\n".join(out)


def verdict(found: Group) -> str:
    """Say how fastnn compares with the best peer, or the dearest activation with ReLU."""
    if not found.workload.has_peers:
        dearest = found.dearest
        if dearest is None:
            return "  nothing to compare"
        return f"  {dearest.result.call} is the dearest: {dearest.to_fastnn:.2f} times ReLU"
    own, other = found.best(True), found.best(False)
    if other is None:
        return "  no peer to compare with"
    if own is None or found.ratio is None:
        return f"  best peer: {other.name}, {seconds(other.figure)}"
    return f"  fastnn is {found.ratio:.2f} times as fast as {other.name}"


def markdown(groups: list[Group], keys: list[str]) -> str:
    """Return one table, a line per workload and number of threads, a column per peer."""
    others = [key for key in keys if key != "fastnn"]
    head = ["workload", "threads", "fastnn", "of ceiling", "best peer / fastnn"]
    head += [*(LABELS[key] for key in others), "accuracy: fastnn (others)"]
    lines = [head, ["---", *["--:"] * (len(head) - 1)]]
    for found in groups:
        own = found.best(True)
        line = [found.workload.title, str(found.threads), _cell(found, "fastnn")]
        line += [percent(own.of_ceiling if own else None), _number(found.ratio, ".2f")]
        line += [_cell(found, key) for key in others]
        lines.append([*line, _accuracies(found)])
    return _join(lines)


def short_markdown(groups: list[Group]) -> str:
    """Return one table of fastnn beside the fastest peer alone."""
    lines = [["workload", "fastnn", "of ceiling", "best peer", "best peer / fastnn"]]
    lines.append(["---", *["--:"] * 4])
    for found in groups:
        own, other = found.best(True), found.best(False)
        best = f"{other.name}, {seconds(other.figure)}" if other else ""
        share = percent(own.of_ceiling if own else None)
        ratio = _number(found.ratio, ".2f")
        lines.append([found.workload.title, _cell(found, "fastnn"), share, best, ratio])
    return _join(lines)


def activations_markdown(found: Group) -> str:
    """Return the table of the activations, the dearest first."""
    goal = found.workload.goal_activation
    lines = [["activation", "minimum", "of ceiling", "times ReLU", "goal", "reached"]]
    lines.append(["---", *["--:"] * 4, "---"])
    for row in sorted(found.rows, key=lambda r: -(r.to_fastnn or math.inf)):
        cells = [row.result.call, seconds(row.minimum), percent(row.of_ceiling)]
        cells += [_number(row.to_fastnn, ".2f"), _number(goal, "g")]
        if not row.counts:
            cells.append(f"does not count: {row.result.status}")
        elif goal and row.to_fastnn:
            cells.append("yes" if row.to_fastnn <= goal else "no")
        lines.append(cells)
    return _join(lines)


def _join(lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _cell(found: Group, key: str) -> str:
    """The fastest call of a peer, or why there is none."""
    rows = [r for r in found.rows if r.result.peer == key]
    timed = [r for r in rows if r.figure is not None]
    if not timed:
        return rows[0].result.status.split(":")[0] if rows else ""
    row = min(timed, key=lambda r: r.figure or 0.0)
    note = "" if row.counts else " (does not count)"
    call = f" ({row.result.call})" if len(timed) > 1 else ""
    return seconds(row.figure) + call + note


def _accuracies(found: Group) -> str:
    own = [r.result.accuracy for r in found.rows if r.result.peer == "fastnn" and r.figure]
    others = [r.result.accuracy for r in found.rows if r.result.peer != "fastnn" and r.figure]
    known = [a for a in others if a is not None]
    first = percent(own[0], 2) if own else ""
    if not known:
        return first
    low, high = percent(min(known), 2), percent(max(known), 2)
    return f"{first} ({low})" if low == high else f"{first} ({low} to {high})"


def head(info: dict[str, Any]) -> str:
    """Return date, machine and versions in lines, and how much was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(info["versions"].items()))
    times = "" if info["epochs"] == 1 else f" of {info['epochs']} times the usual epochs"
    turns = f"{info['rounds']} turns each{times}"
    return f"{info['date']}, {turns}\n{machine_text(info)}\n{versions}"


def machine_text(info: dict[str, Any]) -> str:
    """Return the machine report in lines."""
    lines = [f"{info['cpu']}, {info['cpus']} CPUs, {info['system']}, Python {info['python']}"]
    for figures in info["figures"]:
        units = [
            ("FMA ceiling", "fma_rate", 1e-9, "GFLOP/s"),
            ("2048-cubed GEMM", "gemm_rate", 1e-9, "GFLOP/s"),
            ("triad", "triad_rate", 1e-9, "GB/s"),
            ("barrier", "barrier_time", 1e6, "µs"),
            ("empty region", "region_time", 1e6, "µs"),
        ]
        parts = [f"{name} {_scaled(figures[key], by, unit)}" for name, key, by, unit in units]
        if figures["threads"] > 1:
            near, far = (
                _scaled(figures[f"transfer_{key}"], 1e9, "ns") for key in ("time", "worst")
            )
            parts.append(f"a line from core to core {near}" + (f" to {far}" if far != near else ""))
        vectors = f" ({figures['vectors']})" if figures["vectors"] else ""
        lines.append(f"threads {figures['threads']}{vectors}: " + ", ".join(parts))
    return "\n".join(lines)


def _scaled(value: float | None, by: float, unit: str) -> str:
    if value is None:
        return "not measured"
    scaled = value * by
    return f"{scaled:.0f} {unit}" if scaled >= 1000 else f"{scaled:.3g} {unit}"
