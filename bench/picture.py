"""The bar chart: time per epoch or call, per peer and workload, on a logarithmic scale."""

from __future__ import annotations

from pathlib import Path

from .report import LABELS, Group


def draw(groups: list[Group], keys: list[str], caption: str, path: Path) -> None:
    """Write the chart for the most threads; raises ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    threads = max(g.threads for g in groups)
    shown = [g for g in groups if g.threads == threads]
    width = 0.84 / len(keys)
    figure, axes = plt.subplots(figsize=(2 + 1.5 * len(shown), 4.5), layout="constrained")
    for k, key in enumerate(keys):
        heights = [_fastest(g, key) for g in shown]
        places = [i + (k - (len(keys) - 1) / 2) * width for i in range(len(shown))]
        known = [(p, h) for p, h in zip(places, heights, strict=True) if h is not None]
        if known:
            x, y = zip(*known, strict=True)
            axes.bar(x, y, width, label=LABELS[key])
    axes.set_yscale("log")
    axes.set_ylabel("seconds per epoch (W) or call (I), lower is better")
    axes.set_xticks(range(len(shown)), [_ticks(g) for g in shown], fontsize="small")
    axes.set_title(caption, fontsize="small")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", fontsize="small", ncols=4)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _fastest(group: Group, key: str) -> float | None:
    figures = [r.figure for r in group.rows if r.result.peer == key and r.figure and r.counts]
    return min(figures, default=None)


def _ticks(group: Group) -> str:
    name, _, rest = group.workload.title.partition(": ")
    return "\n".join([name, *rest.split(", ")])
