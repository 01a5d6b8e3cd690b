"""Runs workloads: one process per peer, all alive at once, taking turns A B A B."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .peers import Entry
from .worker import ROOT
from .workloads import Workload

# Idle threads of OpenMP and OpenBLAS spin for some milliseconds before they sleep.
SETTLE_SECONDS = 0.05
TIMEOUT_SECONDS = 900.0

# Calls per turn, untimed and timed.
TURNS = {"latency": (50, 1000), "predict": (2, 5), "activations": (0, 3)}


class WorkerError(Exception):
    """The worker could not do what it was asked."""


class NotInstalledError(WorkerError):
    """The library of the peer cannot be imported."""


def environment(threads: int) -> dict[str, str]:
    """Return the environment that keeps every library to `threads` threads."""
    limits = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"), str(threads)
    )
    xla = os.environ.get("XLA_FLAGS", "")
    if threads == 1:
        xla += " --xla_cpu_multi_thread_eigen=false"
    return {**os.environ, **limits, "XLA_FLAGS": xla.strip(), "JAX_PLATFORMS": "cpu"}


class Worker:
    """A process that answers commands; see `worker`. It is ready once `connect` has returned."""

    def __init__(self, target: str, threads: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", target, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=environment(threads),
        )
        self.versions: dict[str, str] = {}

    def connect(self) -> Worker:
        """Wait until the library of the peer is imported."""
        try:
            self.versions = self._read()
        except WorkerError:
            self.close()
            raise
        return self

    def ask(self, do: str, **arguments: Any) -> Any:
        """Send a command and return its value."""
        assert self.process.stdin is not None
        try:
            print(json.dumps({"do": do, **arguments}), file=self.process.stdin, flush=True)
        except OSError as error:
            raise WorkerError("the process died") from error
        return self._read()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        limit = threading.Timer(TIMEOUT_SECONDS, self.process.kill)
        limit.start()
        line = self.process.stdout.readline()
        limit.cancel()
        if not line:
            raise WorkerError("the process died")
        answer = json.loads(line)
        if "missing" in answer:
            raise NotInstalledError(answer["missing"])
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer["value"]

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


@dataclass
class Result:
    """What one peer did on one workload, by one of its calls."""

    workload: str
    threads: int
    peer: str
    call: str = ""
    status: str = "ok"
    times: list[float] = field(default_factory=list)
    loss: float | None = None
    accuracy: float | None = None  # predictions: agreement with float64


class Turn:
    """A peer's worker on one workload, with the results it fills in."""

    def __init__(self, entry: Entry, workload: Workload, threads: int) -> None:
        self.workload = workload
        self.base = Result(workload.id, threads, entry.key)
        self.results: list[Result] = []
        self.worker: Worker | None = Worker(entry.target, threads)
        self.versions: dict[str, str] = {}

    def prepare(self, folder: Path) -> None:
        """Set the workload up, and train the epoch that is not timed."""
        assert self.worker is not None
        self.versions = self.worker.connect().versions
        arguments = {"workload": self.workload.as_dict(), "folder": str(folder)}
        calls = self.worker.ask("setup", **arguments)["calls"]
        if calls is None:
            self._stop("does not do this")
            return
        where = (self.workload.id, self.base.threads, self.base.peer)
        self.results = [Result(*where, call) for call in calls or [""]]
        if self.workload.kind == "train":
            self.worker.ask("epoch", number=0)

    def attempt(self, action: Any) -> None:
        """Do something with the worker; on an error the peer leaves the workload."""
        try:
            action()
        except NotInstalledError:
            self._stop("not installed")
        except WorkerError as error:
            self._stop(f"failed: {error}")

    def _stop(self, status: str) -> None:
        self.base.status = status
        self.results = [self.base]
        self.close()

    def play(self, number: int, epochs: int) -> None:
        """One turn: `epochs` epochs from number `number` on, or some calls of each kind."""
        if self.worker is None:
            return
        for result in self.results:
            time.sleep(SETTLE_SECONDS)
            if self.workload.kind == "train":
                for n in range(number, number + epochs):
                    result.times.append(self.worker.ask("epoch", number=n))
            else:
                warm_up, repeats = TURNS[self.workload.kind]
                arguments = {"call": result.call, "warm_up": warm_up, "repeats": repeats}
                result.times += self.worker.ask("time", **arguments)

    def finish(self) -> None:
        """Have the results judged."""
        if self.worker is None:
            return
        for result in self.results:
            if self.workload.kind == "train":
                result.loss, result.accuracy = self.worker.ask("judge")
            elif self.workload.kind == "activations":
                result.loss = self.worker.ask("loss", call=result.call)
            else:
                result.accuracy = self.worker.ask("agreement", call=result.call)

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()
            self.worker = None


def run(
    workload: Workload,
    entries: list[Entry],
    threads: int,
    folder: Path,
    rounds: int,
    epochs: int,
    between: Any = None,
) -> tuple[list[Result], dict[str, str]]:
    """Run `workload` on every peer; return the results and the versions of the libraries.

    A turn is `epochs` times as many as the workload's own; `between` is called once a round, before
    the peers' turns.
    """
    epochs *= workload.epochs
    turns: list[Turn] = []
    try:
        for entry in entries:  # they import their libraries all at once
            turns.append(Turn(entry, workload, threads))
        for turn in turns:
            turn.attempt(lambda t=turn: t.prepare(folder))
        for r in range(rounds):
            if between is not None:
                between()
            for turn in turns:
                turn.attempt(lambda t=turn, r=r: t.play(1 + r * epochs, epochs))
        for turn in turns:
            turn.attempt(turn.finish)
    finally:
        for turn in turns:
            turn.close()
    results = [result for turn in turns for result in turn.results]
    versions = {k: v for turn in turns for k, v in turn.versions.items()}
    return results, versions
