"""Threads: how many, who limits BLAS, and how a long call stays interruptible.

OpenMP regions are started from a fresh thread while the caller waits. Ctrl-C is then seen at once,
and a process forked later inherits no OpenMP thread pool in its main thread (libgomp hangs in a
child whose parent ran a region in the forking thread). The cost is some 50 µs per call.
"""

from __future__ import annotations

import contextlib
import os
import threading

import threadpoolctl

from fastnn._core.engine import has_openmp
from fastnn._validate import check_int

_POLL_SECONDS = 0.05


def count_available() -> int:
    """Threads that ``n_threads=None`` may use: the CPUs this process may run on.

    ``OMP_NUM_THREADS`` lowers it. 1 in a build without OpenMP.
    """
    if not has_openmp():
        return 1
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wish = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(cpus, int(wish)) if wish.isdigit() and int(wish) > 0 else cpus


def check_n_threads(n_threads: int | None) -> int | None:
    """Return `n_threads` if this build can run that many."""
    if n_threads is None:
        return None
    n_threads = check_int("n_threads", n_threads, 1, 256)
    if n_threads > 1 and not has_openmp():
        raise ValueError(
            f"n_threads is {n_threads}, but this build of fastnn has no OpenMP: "
            "use n_threads=1, or rebuild with a compiler that supports OpenMP"
        )
    return n_threads


class _BlasLimit:
    """One thread for BLAS while anybody needs it so; overlapping limits would undo each other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limit: contextlib.AbstractContextManager | None = None
        self._controller: threadpoolctl.ThreadpoolController | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                # Finding the libraries takes milliseconds, so it is done once.
                if self._controller is None:
                    self._controller = threadpoolctl.ThreadpoolController()
                self._limit = self._controller.limit(limits=1, user_api="blas")
                self._limit.__enter__()
            self._users += 1

    def __exit__(self, *exception) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._limit is not None:
                self._limit.__exit__(*exception)
                self._limit = None


blas_limit = _BlasLimit()


def run_interruptibly(function, request_stop):
    """Call `function` in a fresh thread and return what it returns.

    On Ctrl-C, `request_stop` is called, the thread is waited for, and KeyboardInterrupt goes on.
    """
    outcome: dict = {}

    def target():
        try:
            outcome["result"] = function()
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=target, name="fastnn", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_POLL_SECONDS)
    except BaseException:
        request_stop()
        thread.join()
        raise
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


def run_detached(function, n_threads: int):
    """Call `function`, from a fresh thread where it starts an OpenMP region."""
    if n_threads == 1:
        return function()
    return run_interruptibly(function, lambda: None)
