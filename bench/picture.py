"""The picture of the table: time per epoch or call, by peer and workload, on a log scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .report import LABELS, Group

# M. Okabe and K. Ito, "Color universal design" (2008); the shapes tell them apart without colours.
STYLES = {
    "fastnn": ("#0072B2", "o"),
    "numpy": ("#999999", "s"),
    "sklearn": ("#E69F00", "^"),
    "torch": ("#D55E00", "D"),
    "torch-compile": ("#56B4E9", "X"),
    "jax": ("#009E73", "v"),
    "keras": ("#F0E442", "<"),
    "thinc": ("#000000", "*"),
    "onnxruntime": ("#CC79A7", "P"),
}


def draw(groups: list[Group], keys: list[str], caption: str, path: Path) -> None:
    """Write the picture for the most threads; raises ImportError without matplotlib."""
    from matplotlib.figure import Figure

    threads = max(g.threads for g in groups)
    shown = [g for g in groups if g.threads == threads]
    training = [g for g in shown if g.workload.trains]
    panels = [
        (training, "seconds per epoch; W9: to 98% test accuracy"),
        ([g for g in shown if g not in training], "seconds per call"),
    ]
    panels = [panel for panel in panels if panel[0]]
    sizes = [len(panel[0]) for panel in panels]
    figure = Figure(figsize=(9, 1.2 + 0.6 * len(panels) + 0.55 * len(shown)))
    figure.set_layout_engine("constrained")
    all_axes = figure.subplots(len(panels), height_ratios=sizes, squeeze=False)[:, 0]
    for axes, (rows, label) in zip(all_axes, panels, strict=True):
        _draw_panel(axes, rows, keys)
        axes.set_xlabel(label)
    all_axes[0].set_title(caption, fontsize="small")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", fontsize="small", ncols=4)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _draw_panel(axes: Any, rows: list[Group], keys: list[str]) -> None:
    """A band for each workload, from the top down, and in it a line for each peer."""
    for k, key in enumerate(keys):
        colour, marker = STYLES[key]
        times = [_fastest(found, key) for found in rows]
        places = [i + 0.8 * ((k + 0.5) / len(keys) - 0.5) for i in range(len(rows))]
        known = [(t, p) for t, p in zip(times, places, strict=True) if t is not None]
        size = 80 if key == "fastnn" else 35
        axes.scatter([t for t, _ in known], [p for _, p in known], s=size, c=colour,
                     marker=marker, label=LABELS[key])  # fmt: skip
    for i in range(1, len(rows)):
        axes.axhline(i - 0.5, color="#cccccc", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [g.workload.title for g in rows], fontsize="small")
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", which="both", alpha=0.25)
    axes.set_axisbelow(True)


def _fastest(group: Group, key: str) -> float | None:
    figures = [r.figure for r in group.rows if r.result.peer == key and r.figure and r.counts]
    return min(figures, default=None)
