"""Races: how long from the call to a test accuracy, each seed in a process of its own."""

from __future__ import annotations

import time
from pathlib import Path

from .driver import SETTLE_SECONDS, NotInstalledError, Result, Worker, WorkerError
from .peers import Entry
from .workloads import Workload

SEEDS = range(5)
MAX_EPOCHS = 40


def run(
    workload: Workload, entries: list[Entry], threads: int, folder: Path
) -> tuple[list[Result], dict[str, str]]:
    """Let every peer run once per seed, in turns; return the results and the libraries' versions.

    The time of a run is that of its epochs, compiling included; setting up and judging are not
    timed. A peer that misses the accuracy in MAX_EPOCHS epochs has failed.
    """
    results = {entry.key: Result(workload.id, threads, entry.key) for entry in entries}
    versions: dict[str, str] = {}
    for seed in SEEDS:
        for entry in entries:
            result = results[entry.key]
            if result.status != "ok":
                continue
            try:
                versions |= _run_once(workload, entry, threads, folder, seed, result)
            except NotInstalledError:
                result.status = "not installed"
            except WorkerError as error:
                result.status = f"failed: {error}"
    return list(results.values()), versions


def _run_once(
    workload: Workload, entry: Entry, threads: int, folder: Path, seed: int, result: Result
) -> dict[str, str]:
    """Train with one seed; appends the time to `result`."""
    worker = Worker(entry.target, threads).connect()
    try:
        arguments = {"workload": workload.as_dict(), "folder": str(folder), "seed": seed}
        if worker.ask("setup", **arguments)["calls"] is None:
            result.status = "does not do this"
            return worker.versions
        time.sleep(SETTLE_SECONDS)
        seconds = 0.0
        for number in range(MAX_EPOCHS):
            seconds += worker.ask("epoch", number=number)
            result.loss, result.accuracy = worker.ask("judge")
            if result.accuracy is not None and result.accuracy >= workload.accuracy:
                result.times.append(seconds)
                return worker.versions
        raise WorkerError(f"{result.accuracy:.2%} after {MAX_EPOCHS} epochs")
    finally:
        worker.close()
