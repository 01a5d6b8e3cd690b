"""`python -m bench.grid`: the fraction of the FMA ceiling over layer widths and batch sizes.

Trains width-width-width-10 networks of fastnn alone, with as many threads as it chooses of those
it may use, and looks for cliffs: neighbours among the multiples of 64, or n and n + 1, of which one
takes far more time per floating-point operation. Where multiples of the grid that are further apart
look like that, those between are measured too.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import pairwise
from pathlib import Path

from . import driver
from .machine import check_threads, describe
from .worker import pin, prefer_installed

WIDTHS = [16, 32, 64, 65, 95, 96, 127, 128, 129, 192, 255, 256, 257, 320, 384, 448, 512, 513, 640]
WIDTHS += [768, 896, 1024, 1025, 1536, 2048, 4096]
BATCHES = [1, 8, 16, 32, 64, 128, 256, 512, 1024]
CLIFF = 1.5  # times slower per operation than a neighbour
STEP = 64  # between neighbours that are not n and n + 1
N_CLASSES = 10
_SECONDS = 0.05  # of a measurement, about
_SUSPECT = 1.2  # times slower than a neighbour, from which on a cell is measured again
_REPEATS = 3

# By width and batch size: FLOP/s, or the fraction of the ceiling.
Cells = dict[tuple[int, int], float]


def main() -> int:
    options = parse()
    found = measure_fractions(options.widths, options.batches, options.threads)
    print(table(found))
    print(*list_cliffs(found) or ["no cliffs"], sep="\n")
    if options.json:
        options.json.write_text(json.dumps({**describe(), "grid": as_rows(found)}, indent=1) + "\n")
    if options.picture:
        draw(found, options.threads, options.picture)
    return 0


def measure_fractions(widths: list[int], batches: list[int], threads: int) -> Cells:
    """Measure every cell, in this process, which is confined to `threads` CPUs from now on."""
    worker = driver.Worker("machine", threads).connect()
    ceilings = [worker.ask("ceiling")]
    pin(threads)
    prefer_installed()
    rates = measure(widths, batches)
    ceilings.append(worker.ask("ceiling"))  # again: one that something disturbed is too low
    worker.close()
    ceiling = max(filter(None, ceilings), default=None)
    if ceiling is None:
        print("the FMA ceiling cannot be measured here: fractions of the best", file=sys.stderr)
        ceiling = max(rates.values())
    return {key: rate / ceiling for key, rate in rates.items()}


def as_rows(found: Cells) -> list[dict[str, float]]:
    """Return the cells for JSON."""
    return [{"width": w, "batch": b, "of_ceiling": share} for (w, b), share in found.items()]


def _axes(found: Cells) -> tuple[list[int], list[int]]:
    """Widths and batch sizes, ascending."""
    return sorted({w for w, _ in found}), sorted({b for _, b in found})


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    cpus = describe()["cpus"]
    p = argparse.ArgumentParser("python -m bench.grid", description=__doc__)
    p.add_argument("--widths", nargs="+", type=int, default=WIDTHS, metavar="N")
    p.add_argument("--batches", nargs="+", type=int, default=BATCHES, metavar="N")
    p.add_argument("--threads", type=int, default=cpus, metavar="N")
    p.add_argument("--json", type=Path, metavar="PATH")
    p.add_argument("--picture", type=Path, metavar="PATH")
    options = p.parse_args(argv)
    check_threads(p, [options.threads])
    return options


def measure(widths: list[int], batches: list[int], seconds: float = _SECONDS) -> Cells:
    """Return the best rate in FLOP/s of each (width, batch size).

    What is slow beside its neighbours is measured again: another program may have had the CPU.
    """
    found: Cells = {}
    for width in widths:
        rates = [_measure_one(width, batch, seconds) for batch in batches]
        found.update(((width, batch), rate) for batch, rate in zip(batches, rates, strict=True))
        shown = ", ".join(f"{rate / 1e9:.3g}" for rate in rates)
        print(f"width {width}: {shown} GFLOP/s", file=sys.stderr, flush=True)
    for _ in range(_REPEATS):
        for _, slow in find_cliffs(found, _SUSPECT):
            found[slow] = max(found[slow], _measure_one(*slow, seconds))
    return found


def _measure_one(width: int, batch: int, seconds: float) -> float:
    import numpy as np

    import fastnn

    flops_per_row = 2 * (2 * width * width + 3 * width * width + 3 * width * N_CLASSES)
    rows = _choose_rows(flops_per_row, batch, seconds)
    rng = np.random.default_rng(0)
    X = rng.random((rows, width), dtype=np.float32)
    y = np.arange(rows) % N_CLASSES
    layers = [fastnn.Dense(width, "relu"), fastnn.Dense(width, "relu"), fastnn.Dense(N_CLASSES)]
    net = fastnn.Network(layers, n_features=width, classes=range(N_CLASSES))
    history = net.fit(X, y, epochs=5, batch_size=batch, optimizer=fastnn.SGD(1e-3))
    return rows * flops_per_row / min(history.seconds[1:])


def _choose_rows(flops_per_row: int, batch: int, seconds: float, rate: float = 1e11) -> int:
    """Whole batches that take about `seconds` at `rate`; no more than 64 MB of rows."""
    wanted = min(seconds * rate / flops_per_row, 64e6 / 4 / (flops_per_row / 10) ** 0.5)
    return max(1, round(wanted / batch)) * batch


def table(found: Cells) -> str:
    widths, batches = _axes(found)
    lines = ["width \\ batch" + "".join(f"{b:>7}" for b in batches)]
    for w in widths:
        lines.append(f"{w:>13}" + "".join(f"{found[w, b]:>7.0%}" for b in batches))
    return "\n".join(lines)


def list_neighbours(widths: list[int]) -> list[tuple[int, int]]:
    """Return pairs of widths: n and n + 1, and those that follow each other on multiples of 64."""
    multiples = [w for w in widths if w % STEP == 0]
    return [*((w, w + 1) for w in widths if w + 1 in widths), *pairwise(multiples)]


def find_cliffs(found: Cells, ratio: float) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return neighbours that differ so much per operation, the faster of the two first."""
    widths, batches = _axes(found)
    pairs = [((w, b), (v, b)) for b in batches for w, v in list_neighbours(widths)]
    ordered = [sorted(pair, key=found.__getitem__, reverse=True) for pair in pairs]
    return [(fast, slow) for fast, slow in ordered if found[fast] > ratio * found[slow]]


def list_cliffs(found: Cells) -> list[str]:
    """Say in words where neighbours differ so much, those between widths far apart included."""
    lines = []
    for (one, batch), (other, _) in find_cliffs(found, CLIFF):
        first, last = sorted([one, other])
        between = {(width, batch): found[width, batch] for width in (first, last)}
        if last - first > STEP:
            between = measure([*range(first, last, STEP), last], [batch])
        for fast, slow in find_cliffs(between, CLIFF):
            ratio = between[fast] / between[slow]
            lines.append(f"batch {batch}: {slow[0]} takes {ratio:.2f} times as long as {fast[0]}")
    return lines


def draw(found: Cells, threads: int, path: Path) -> None:
    """Write the grid as a picture of shaded cells."""
    from matplotlib.figure import Figure

    widths, batches = _axes(found)
    figure = Figure(figsize=(max(5, 1.6 + 0.6 * len(batches)), 1.4 + 0.32 * len(widths)))
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    values = [[found[w, b] for b in batches] for w in widths]
    shades = axes.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            colour = "white" if value < 0.6 else "black"
            axes.text(j, i, f"{value:.0%}", ha="center", va="center", color=colour, fontsize=7)
    axes.set_xticks(range(len(batches)), map(str, batches))
    axes.set_yticks(range(len(widths)), map(str, widths))
    axes.set_xlabel("batch size")
    axes.set_ylabel("layer width")
    plural = "thread" if threads == 1 else "threads"
    axes.set_title(
        f"Training, fraction of the FMA ceiling of {threads} {plural}", fontsize="medium"
    )
    figure.colorbar(shades, ax=axes, format="{x:.0%}")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    begin = time.perf_counter()
    status = main()
    print(f"{time.perf_counter() - begin:.0f} s")
    sys.exit(status)
