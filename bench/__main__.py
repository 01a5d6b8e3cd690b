"""`python -m bench`: see README.md."""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from . import driver, goals, grid, race, report
from .data import mnist_folder, mnist_missing
from .machine import check_threads, describe
from .peers import PEERS, Entry, choose
from .workloads import WORKLOADS, Workload, select


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    cpus = describe()["cpus"]
    ids = ", ".join(w.id for w in WORKLOADS)
    keys = ", ".join(entry.key for entry in PEERS)
    p = argparse.ArgumentParser("python -m bench", description="fastnn beside its peers")
    p.add_argument("workloads", nargs="*", help=f"ids or their beginnings: {ids} (default: all)")
    p.add_argument("--threads", nargs="+", type=int, metavar="N", help="default: all CPUs")
    p.add_argument("--peers", default="", help=f"comma-separated: {keys} (default: all)")
    p.add_argument("--rounds", type=int, default=5, help="turns of each peer (default: 5)")
    p.add_argument("--epochs", type=int, default=1, help="times the epochs of a turn (default: 1)")
    p.add_argument("--quick", action="store_true", help="two rounds: a look, not a measurement")
    p.add_argument("--data", help="folder of MNIST's four IDX files, gzipped or not")
    p.add_argument("--json", type=Path, metavar="PATH", help="write everything that was measured")
    p.add_argument("--picture", type=Path, metavar="PATH", help="write the bar chart")
    p.add_argument("--publish", action="store_true", help="measure the grid too; fill in docs/")
    options = p.parse_args(argv)
    try:
        options.workloads = select(options.workloads)
        options.peers = choose([key for key in options.peers.split(",") if key])
    except ValueError as error:
        p.error(str(error))
    options.runs = list_runs(options, cpus)
    check_threads(p, options.threads or [])
    if options.quick:
        options.rounds, options.epochs = 2, 1
    if options.rounds < 1 or options.epochs < 1:
        p.error("--rounds and --epochs must be at least 1")
    return options


def list_runs(options: argparse.Namespace, cpus: int) -> list[Run]:
    """What is run: every workload on all CPUs, or on the numbers of threads that were asked for.

    By default also fastnn on one thread, where its gain from the others is a goal.
    """
    runs = []
    own = [entry for entry in options.peers if entry.key == "fastnn"]
    for workload in options.workloads:
        if options.threads is None and workload.goal_scaling and cpus > 1:
            runs.append(Run(workload, 1, own))
        for threads in options.threads or [cpus]:
            runs.append(Run(workload, threads, options.peers if workload.has_peers else own))
    return runs


class Run(NamedTuple):
    """A workload on some threads."""

    workload: Workload
    threads: int
    peers: list[Entry]


class Ceilings:
    """A machine worker per number of threads.

    Everything is measured before and after the workloads, the FMA ceiling and transfers in every
    round too; the best figures count, as whatever else runs on the machine only makes them worse.
    """

    BEST = (("_rate", max), ("_time", min), ("_worst", max))  # by the ends of their names

    def __init__(self, threads: list[int]) -> None:
        self.workers = {n: driver.Worker("machine", n).connect() for n in threads}
        self.figures: dict[int, dict[str, Any]] = {n: {} for n in threads}
        self.measure()

    def measure(self) -> None:
        for n, worker in self.workers.items():
            self._keep(n, worker.ask("figures"))

    def again(self, threads: int) -> None:
        worker = self.workers[threads]
        self._keep(threads, {"fma_rate": worker.ask("ceiling"), **worker.ask("transfers")})

    def _keep(self, threads: int, figures: dict[str, Any]) -> None:
        known = self.figures[threads]
        for name, value in figures.items():
            both = [v for v in (known.get(name), value) if v is not None]
            best = next((best for end, best in self.BEST if name.endswith(end)), None)
            known[name] = best(both, default=None) if best else value

    def __getitem__(self, threads: int) -> float | None:
        return self.figures[threads]["fma_rate"]

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()


Measured = list[tuple[Workload, int, list[driver.Result]]]


def measure(options: argparse.Namespace, ceilings: Ceilings) -> tuple[Measured, dict[str, str]]:
    """Run every workload with every number of threads; print each table as it is done."""
    folder = mnist_folder(options.data)
    missing = mnist_missing(folder)
    measured: Measured = []
    versions: dict[str, str] = {}
    for workload, threads, peers in options.runs:
        if workload.needs_mnist and missing:
            print(f"{workload.title}: skipped, {missing} is not in {folder}\n", flush=True)
            continue
        if workload.kind == "race":
            results, used = race.run(workload, peers, threads, folder)
        else:
            results, used = driver.run(
                workload,
                peers,
                threads,
                folder,
                options.rounds,
                options.epochs,
                between=lambda n=threads: ceilings.again(n),
            )
        versions |= used
        measured.append((workload, threads, results))
        found = report.group(workload, threads, results, ceilings[threads])
        print(report.text_table(found), *map(str, goals.judge(found)), "", sep="\n", flush=True)
    return measured, versions


def write(
    options: argparse.Namespace, info: dict[str, Any], groups: list[report.Group], keys: list[str]
) -> None:
    """Write the files that were asked for, with the ceilings of the whole run."""
    if options.json:
        options.json.write_text(report.to_json(info, groups), encoding="utf-8")
    compared = [found for found in groups if found.workload.has_peers]
    try:
        if options.picture and compared:
            from .picture import draw

            draw(compared, keys, report.caption(info, compared), options.picture)
        if options.publish:
            from .publish import publish, publish_activations

            publish_activations(info, groups)
            if compared:
                cells = grid.measure_fractions(grid.WIDTHS, grid.BATCHES, info["cpus"])
                publish(info, groups, keys, cells)
    except ImportError:
        print("matplotlib is not installed: no picture", file=sys.stderr)


def _installed(entries: list[Entry], measured: Measured) -> list[str]:
    there = {r.peer for _, _, results in measured for r in results if r.status != "not installed"}
    return [entry.key for entry in entries if entry.key in there]


def main() -> int:
    begin = time.perf_counter()
    options = parse()
    ceilings = Ceilings(sorted({run.threads for run in options.runs}))
    try:
        info: dict[str, Any] = {
            "date": datetime.date.today().isoformat(),
            **describe(),
            "figures": list(ceilings.figures.values()),
            "rounds": options.rounds,
            "epochs": options.epochs,
        }
        print("Before:", report.machine_text(info), sep="\n", end="\n\n", flush=True)
        if hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5:
            print("warning: other processes are running; times will be too long\n", flush=True)
        measured, info["versions"] = measure(options, ceilings)
        ceilings.measure()
    finally:
        ceilings.close()
    groups = [report.group(w, n, results, ceilings[n]) for w, n, results in measured]
    info["goals"] = [
        *goals.list_goals(groups),
        *goals.judge_many(info["cpus"]),
        *goals.judge_footprint(),
    ]
    print("Goals:", *info["goals"], "", "Best of all measurements:", report.head(info), sep="\n")
    if options.quick:
        print("quick run: for a look only")
    if groups:
        write(options, info, groups, _installed(options.peers, measured))
    print(f"{(time.perf_counter() - begin) / 60:.1f} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
