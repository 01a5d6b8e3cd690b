"""What the documents show: tables, pictures and the numbers behind them, from one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import grid, picture, report
from .goals import Goal
from .report import Group
from .worker import ROOT

NUMBERS = ROOT / "docs" / "benchmarks.json"
PICTURE = ROOT / "docs" / "pictures" / "benchmark.png"
GRID_PICTURE = ROOT / "docs" / "pictures" / "benchmark_grid.png"
PAGE = ROOT / "docs" / "BENCHMARKS.md"
README = ROOT / "README.md"


def publish(info: dict[str, Any], groups: list[Group], keys: list[str], cells: grid.Cells) -> None:
    """Write the numbers and the pictures, and the tables into the page and the README."""
    NUMBERS.write_text(report.to_json(info, groups, grid=grid.as_rows(cells)), encoding="utf-8")
    groups = [found for found in groups if found.workload.has_peers]
    most = max(found.threads for found in groups)
    picture.draw(groups, keys, report.caption(info, groups), PICTURE)
    grid.draw(cells, info["cpus"], GRID_PICTURE)
    machine = "  \n".join(report.head(info).splitlines())
    shown = f"![Time per epoch or call of fastnn and its peers](pictures/{PICTURE.name})"
    fill(PAGE, "table", f"{shown}\n\n{machine}\n\n{report.markdown(groups, keys)}")
    fill(PAGE, "goals", goals_table(info["goals"]))
    fill(PAGE, "grid", describe_grid(cells))
    short = report.short_markdown([found for found in groups if found.threads == most])
    fill(README, "benchmark", f"{machine}\n\n{short}\n{list_lost(groups, most)}\n")


def publish_activations(info: dict[str, Any], groups: list[Group]) -> None:
    """Write the table of the activations, if they were measured, into the page."""
    tables = [
        f"{found.workload.title}, threads: {found.threads}\n\n" + report.activations_markdown(found)
        for found in groups
        if not found.workload.has_peers
    ]
    if tables:
        machine = "  \n".join(report.head(info).splitlines())
        fill(PAGE, "activations", "\n".join([f"{machine}\n", *tables]))


def fill(path: Path, name: str, text: str) -> None:
    """Replace what stands between the two marks `name` of a document."""
    start, end = f"<!-- {name}:start -->\n", f"<!-- {name}:end -->"
    before, _, rest = path.read_text(encoding="utf-8").partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{path.name} has no marks {name!r}")
    path.write_text(f"{before}{start}{text}{end}{after}", encoding="utf-8")


def goals_table(goals: list[Goal]) -> str:
    lines = ["| workload | measured | goal | reached |", "| --- | --- | --- | --- |"]
    for goal in goals:
        found = f"{goal.found} {goal.what}"
        lines.append(
            f"| {goal.where} | {found} | {goal.goal} | {'yes' if goal.reached else 'no'} |"
        )
    return "\n".join(lines) + "\n"


def list_lost(groups: list[Group], threads: int) -> str:
    """Say where another library was faster."""
    lost = [g.workload.id for g in groups if g.threads == threads and (g.ratio or 1) < 1]
    if not lost:
        return "No peer was faster in any of them."
    return f"A peer was faster in {', '.join(lost)}."


def describe_grid(cells: grid.Cells) -> str:
    """The picture, and the cliffs in it."""
    shown = f"![Fraction of the ceiling by width and batch size](pictures/{GRID_PICTURE.name})"
    said = (
        f"Neighbours among the multiples of {grid.STEP}, or n and n + 1, of which one takes over "
        f"{grid.CLIFF:g} times as long per operation:"
    )
    lines = grid.list_cliffs(cells) or ["none"]
    return "\n".join([shown, "", said, "", *(f"- {line}" for line in lines), ""])
