"""Threads: how many, who limits BLAS, and how a long call stays interruptible.

OpenMP regions are started from a thread of our own while the caller waits. Ctrl-C is then seen at
once, and a process forked later inherits no OpenMP thread pool in its main thread (libgomp hangs in
a child whose parent ran a region in the forking thread). These threads are kept for the next call,
and with them OpenMP's own. Rejected: a fresh thread for each call. It has OpenMP start its threads
anew, and the system takes some milliseconds to find that another CPU is free for them.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import os
import queue
import threading

import numpy as np

from fastnn._core import kernels
from fastnn._core.engine import has_openmp
from fastnn._validate import check_int

_POLL_SECONDS = 0.05
_MOST_IDLE = 8  # threads that are kept for the next call
_PARALLEL_SCAN = 1 << 21  # numbers, from which on reading them takes longer than waking a thread


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


def find_nonfinite(array, n_threads: int | None) -> int:
    """Index of the first NaN or infinity of a vector, or -1; memory is read by several threads."""
    n_parts = 1 if array.size < _PARALLEL_SCAN else n_threads or count_available()
    n_parts = min(n_parts, _MOST_IDLE)  # no more are needed to use all of memory's speed
    if n_parts == 1:
        return kernels.find_nonfinite(array)
    parts = np.array_split(array, n_parts)
    scans = [functools.partial(kernels.find_nonfinite, part) for part in parts[1:]]
    others = [_Call(scan).start(_idle_for_scans) for scan in scans]
    found = [kernels.find_nonfinite(parts[0]), *(call.finish() for call in others)]
    starts = np.cumsum([0, *map(len, parts[:-1])])
    return min(
        (int(start) + i for start, i in zip(starts, found, strict=True) if i >= 0), default=-1
    )


class _BlasLimit:
    """One thread for BLAS while anybody needs it so; overlapping limits would undo each other.

    The first user sets the limit and the last one lifts it, whichever threads they are. Rejected:
    ``threadpoolctl.threadpool_limits``, which ignores a thread while another one holds a limit.
    """

    def __init__(self) -> None:
        self._before: list = []  # (library, its number of threads), while there is a limit
        self._libraries: list | None = None
        self._own = threading.local()  # users that this thread is
        self.forget_users()

    def forget_users(self) -> None:
        """But for the calling thread: in a forked child there are no others."""
        self._lock = threading.Lock()
        self._users = self._count_own(0)

    def _count_own(self, more: int) -> int:
        self._own.n = getattr(self._own, "n", 0) + more
        return self._own.n

    def __enter__(self) -> None:
        with self._lock:
            if self._libraries is None:  # finding them takes milliseconds, so it is done once
                import threadpoolctl  # here, and not at the head: `import fastnn` is to be quick

                controller = threadpoolctl.ThreadpoolController().select(user_api="blas")
                self._libraries = controller.lib_controllers
            if not self._before:  # in a child, another thread of its parent may have set it
                self._before = [(lib, lib.get_num_threads()) for lib in self._libraries]
            if self._users == 0:
                for lib in self._libraries:
                    _set_num_threads(lib, 1)
            self._users += 1
            self._count_own(1)

    def __exit__(self, *exception) -> None:
        with self._lock:
            self._users -= 1
            self._count_own(-1)
            if self._users == 0:
                for lib, n_threads in self._before:
                    _set_num_threads(lib, n_threads)
                self._before = []


def _set_num_threads(library, n_threads: int) -> None:
    """Set it from any thread: OpenBLAS's controller listens to the first that ever set it."""
    release = getattr(library, "clear_controlling_thread", None)
    if release is not None:
        release(force=True)
    library.set_num_threads(n_threads)
    if release is not None:
        release(force=True)


_blas_limit = _BlasLimit()


def limit_blas(plan) -> contextlib.AbstractContextManager:
    """One thread for BLAS while `plan` runs, if it uses BLAS."""
    return _blas_limit if plan.uses_blas else contextlib.nullcontext()


def hold_blas() -> contextlib.AbstractContextManager:
    """One thread for BLAS, whoever calls it."""
    return _blas_limit


_worker = threading.local()  # in threads of run_many: the event that tells them to give up


class _Runner:
    """A thread that makes one call after the other, and is one of `idle` between two."""

    def __init__(self, idle: list, call: _Call) -> None:
        self._idle = idle
        self.calls: queue.SimpleQueue = queue.SimpleQueue()
        self.calls.put(call)
        threading.Thread(target=self._work, name="fastnn", daemon=True).start()

    def _work(self) -> None:
        while self.calls.get().run(self):
            pass

    def rest(self) -> bool:
        """Whether there is any use in waiting for another call."""
        if len(self._idle) >= _MOST_IDLE:
            return False
        self._idle.append(self)
        return True


# Apart, since OpenMP keeps threads for each thread that has started a region.
_idle_for_regions: list[_Runner] = []
_idle_for_scans: list[_Runner] = []
if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_idle_for_regions.clear)
    os.register_at_fork(after_in_child=_idle_for_scans.clear)
    os.register_at_fork(after_in_child=_blas_limit.forget_users)


class _Call:
    """A function that another thread is to call.

    Locks and not threading.Event, whose Python code Ctrl-C may leave with a lock held.
    """

    def __init__(self, function) -> None:
        self._function, self._result = function, None
        self._error: BaseException | None = None
        self._ticket = [None]  # whoever takes it says whether the function is called
        self._done = threading.Lock()
        self._done.acquire()
        self.finished = False

    def start(self, idle: list) -> _Call:
        try:
            runner = idle.pop()
        except IndexError:
            _Runner(idle, self)
        else:
            runner.calls.put(self)
        return self

    def take_ticket(self) -> bool:
        try:
            self._ticket.pop()
        except IndexError:
            return False
        return True

    def run(self, runner: _Runner) -> bool:
        """Make the call, in the thread of `runner`; whether that is to go on."""
        if self.take_ticket():
            try:
                self._result = self._function()
            except BaseException as error:
                self._error = error
        self._function = None
        goes_on = runner.rest()  # first, so that the next call finds it
        self.finished = True
        self._done.release()
        return goes_on

    def wait(self, timeout: float = -1) -> bool:
        self._done.acquire(timeout=timeout)
        return self.finished

    def finish(self):
        """Wait for the function, and return what it returned or raise what it raised."""
        while not self.finished:
            self.wait()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return self._result


def run_interruptibly(function, request_stop):
    """Call `function` in a thread of our own and return what it returns.

    On Ctrl-C, `request_stop` is called, the function is waited for, and KeyboardInterrupt goes on.
    Ctrl-C is seen by the main thread alone; a thread of `run_many` hears of it from there.
    """
    cancelled = getattr(_worker, "cancelled", None)
    call = _Call(function)
    try:
        call.start(_idle_for_regions)
        while not call.wait(_POLL_SECONDS):
            if cancelled is not None and cancelled.is_set():
                raise KeyboardInterrupt
    except BaseException:
        if not call.take_ticket():  # it has begun
            request_stop()
            while not call.finished:
                with contextlib.suppress(KeyboardInterrupt):  # one more: the stop is under way
                    call.wait()
        raise
    return call.finish()


def run_detached(function, n_threads: int):
    """Call `function`, from a thread of our own where it starts an OpenMP region."""
    if n_threads == 1:
        return function()
    return run_interruptibly(function, lambda: None)


def run_plan(plan, function):
    """Call `function`, which runs `plan` once."""
    with limit_blas(plan):
        return run_detached(function, plan.n_threads)


@contextlib.contextmanager
def use_one_thread(net):
    """Let a network be trained by one thread meanwhile, as one of many."""
    n_threads, net.n_threads = net.n_threads, 1
    try:
        yield
    finally:
        net.n_threads = n_threads


def run_many(functions, n_workers: int) -> list:
    """Call all functions, `n_workers` at once, and return their results or errors in order.

    On Ctrl-C those that run are stopped, the others are not begun, and KeyboardInterrupt goes on.
    A single worker is the calling thread.
    """
    if n_workers == 1:
        return [_try(function) for function in functions]
    cancelled = threading.Event()

    def call(function):
        _worker.cancelled = cancelled
        try:
            if cancelled.is_set():
                raise KeyboardInterrupt
            return function()
        except BaseException as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(n_workers, "fastnn-many") as pool:
        futures = [pool.submit(call, function) for function in functions]
        try:
            while concurrent.futures.wait(futures, _POLL_SECONDS).not_done:
                pass
        except BaseException:
            cancelled.set()
            raise
    return [future.result() for future in futures]


def _try(function):
    try:
        return function()
    except Exception as error:
        return error


def raise_first(results: list) -> list:
    """Return what `run_many` returned, or raise the first error in it."""
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
