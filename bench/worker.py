"""The process of one peer: commands come as JSON lines on stdin, answers go to stdout.

Started by `driver.Worker` as `python -m bench.worker TARGET THREADS`, TARGET being "module:Class"
of a peer, or "machine". A command is {"do": method, argument: value, ...}.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parents[1]


def pin(threads: int) -> None:
    """Confine this process to as many CPUs as it may use threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def prefer_installed() -> None:
    """Look for libraries in the repository last: an installed fastnn is the one measured."""
    inside = [p for p in sys.path if Path(p or ".").resolve() == ROOT]
    sys.path[:] = [p for p in sys.path if p not in inside] + [str(ROOT)]


class Session:
    """A peer and the workload that it was set up for."""

    def __init__(self, target: str, threads: int) -> None:
        module, _, name = target.partition(":")
        self.peer = getattr(importlib.import_module(module), name)()
        self.threads = threads

    def versions(self) -> dict[str, str]:
        return {d: importlib.metadata.version(d) for d in self.peer.distributions}

    def setup(self, workload: dict[str, Any], folder: str, seed: int = 0) -> dict[str, Any]:
        from .data import make_problem
        from .workloads import Workload

        self.workload = Workload.from_dict(workload)
        if self.workload.trains and not self.peer.can_train(self.workload):
            return {"calls": None}
        self.problem = make_problem(self.workload, Path(folder), seed)
        self.peer.setup(self.problem, self.threads)
        self.calls: dict[str, Callable[[], Any]] = {}
        if self.workload.kind == "activations":
            self.calls = self.peer.trainings()
        elif not self.workload.trains:
            self.calls = self.peer.calls(self.problem.X)
        return {"calls": list(self.calls)}

    def epoch(self, number: int) -> float:
        """Train epoch `number`; return the seconds from the call to the new weights."""
        from .data import batch_order

        order = batch_order(len(self.problem.X), number, self.problem.seed)
        begin = time.perf_counter()
        self.peer.run_epoch(order)
        return time.perf_counter() - begin

    def judge(self) -> tuple[float, float]:
        """Return the loss and the accuracy of the present weights."""
        from .data import judge

        return judge(self.peer.weights(), self.problem)

    def time(self, call: str, warm_up: int, repeats: int) -> list[float]:
        """Return the seconds of each of `repeats` calls."""
        function, clock = self.calls[call], time.perf_counter_ns
        for _ in range(warm_up):
            function()
        times = []
        for _ in range(repeats):
            begin = clock()
            function()
            times.append((clock() - begin) * 1e-9)
        return times

    def loss(self, call: str) -> float:
        """Return the loss of one more epoch of a training."""
        return float(self.calls[call]())

    def agreement(self, call: str) -> float:
        """Return the fraction of rows whose class is that of a float64 computation."""
        import numpy as np

        from .data import scores

        expected = scores(self.problem.weights, self.problem.X, np.float64).argmax(axis=1)
        found = np.asarray(self.calls[call]())
        if found.ndim == 2:
            found = found.argmax(axis=1)
        return float(np.mean(found == expected))


def serve(target: str, threads: int, commands: TextIO, answers: TextIO) -> None:
    """Answer commands until stdin ends; an exception is an answer too."""

    def answer(**fields: Any) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    session: Any
    try:
        if target == "machine":
            from .machine import Machine

            session = Machine(threads)
            answer(value={})
        else:
            session = Session(target, threads)
            answer(value=session.versions())
    except ModuleNotFoundError as error:
        answer(missing=str(error))
        return
    except Exception as error:
        answer(error=brief(error))
        return
    for line in commands:
        command = json.loads(line)
        try:
            answer(value=getattr(session, command.pop("do"))(**command))
        except Exception as error:
            answer(error=brief(error))


def brief(error: Exception) -> str:
    """Return the type and the first line of the message, without paths of this machine."""
    first_line = (str(error).splitlines() or [""])[0]
    return re.sub(r"\S*/\S*", "<path>", f"{type(error).__name__}: {first_line}")[:200]


def main() -> None:
    target, threads = sys.argv[1], int(sys.argv[2])
    pin(threads)
    prefer_installed()
    # Libraries print to the standard output; the answers have a descriptor of their own.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(target, threads, sys.stdin, answers)


if __name__ == "__main__":
    main()
