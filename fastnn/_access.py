"""Who may use a network at a moment: one that trains it, or many that read it."""

from __future__ import annotations

import os
import threading
import weakref

_all: weakref.WeakSet[Access] = weakref.WeakSet()


class Access:
    """One writer or many readers; ``with access:`` is a reader.

    A fit waits for the readers in flight. Readers do not wait for a fit, which may take hours: they
    are refused, but for the thread that fits, whose callbacks may predict.
    """

    def __init__(self) -> None:
        self._writer: int | None = None  # the thread that fits
        self.forget_threads()
        _all.add(self)

    def forget_threads(self) -> None:
        """Begin without any but the calling one: in a forked child there are no others."""
        self._lock = threading.Lock()  # entered by itself: a Condition is slow, being Python
        self._changed = threading.Condition(self._lock)
        self.building = threading.RLock()  # again: an initializer may use the network
        self._n_readers = 0
        if self._writer != threading.get_ident():
            self._writer = None

    def __enter__(self) -> None:
        with self._lock:
            if self._writer is not None and self._writer != threading.get_ident():
                self._refuse()
            self._n_readers += 1

    def __exit__(self, *exception) -> None:
        with self._lock:
            self._n_readers = max(0, self._n_readers - 1)  # 0 in a child that was forked in here
            if self._writer is not None:  # it may wait for the readers
                self._changed.notify_all()

    def begin_writing(self) -> None:
        """Refuse a second writer, and wait until nobody reads."""
        with self._changed:
            if self._writer is not None:
                self._refuse()
            self._writer = threading.get_ident()
            try:
                while self._n_readers:
                    self._changed.wait()
            except BaseException:  # Ctrl-C
                self._writer = None
                raise

    def move_to_this_thread(self) -> None:
        """Let the calling thread go on as the writer: that of a restart."""
        self._writer = threading.get_ident()

    def end_writing(self) -> None:
        self._writer = None

    def _refuse(self) -> None:
        if self._writer == threading.get_ident():
            raise RuntimeError("model is being fitted: a callback cannot fit it as well")
        raise RuntimeError("model is being fitted in another thread; wait for it to end")


def _forget_threads() -> None:
    for access in list(_all):
        access.forget_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
