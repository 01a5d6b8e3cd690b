"""Helpers: threads that take a share of a short call, and spin for the next one for a while.

A call of some ten microseconds is too short to wake a sleeping thread for, which takes some fifty.
So a helper spins after each share; after SPINS looks it falls asleep. Who finds it asleep does all
of the work alone, and calls it for the next time where calls come in quick succession.

Results do not depend on who helps: the rows of a prediction are independent of each other.

Rejected: an OpenMP region in the calling thread. After it, a fork of the process hangs in the first
region of the child, and GCC's threads spin for some milliseconds after each region.
"""

import os
import threading
import weakref

from fastnn._core.inference cimport Request, predict_share

cdef extern from "helpers.h" nogil:
    enum:
        FNN_ASLEEP
        FNN_CALLED
        FNN_WAITING
        FNN_POSTED
        FNN_BUSY
    void fnn_set_state(fnn_desk *desk, int state)
    bint fnn_change_state(fnn_desk *desk, int old, int new)
    bint fnn_await_change(fnn_desk *desk, int state, long n_looks)

cdef enum:
    SPINS = 10000  # some 200 µs


_helpers = weakref.WeakSet()


def _forget_threads():
    """In a forked child, which has none of its parent's threads."""
    for helper in list(_helpers):
        helper.forget_thread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


cdef class Helper:
    """A thread that takes shares of one caller at a time, who holds the GIL meanwhile.

    It starts with the first call that could have used it, and ends after `leave`.

    Attributes
    ----------
    n_shares : int
        Done so far by the thread.
    """

    def __init__(self):
        self.forget_thread()
        _helpers.add(self)

    def forget_thread(self):
        """As if there had never been one."""
        fnn_set_state(&self.desk, FNN_ASLEEP)
        self.started = False
        self.bell = threading.Lock()  # released to wake the thread
        self.bell.acquire()

    def leave(self):
        """End the thread, now or when it wakes up."""
        self.leaving = True
        if fnn_change_state(&self.desk, FNN_ASLEEP, FNN_CALLED):
            self.bell.release()

    def serve(self):
        """What the thread does: share after share, asleep between two bursts of calls."""
        while not self.leaving:
            self.bell.acquire()
            with nogil:
                fnn_set_state(&self.desk, FNN_WAITING)
                while self.await_share():
                    predict_share(self.request, self.share)
                    self.n_shares += 1
                    fnn_set_state(&self.desk, FNN_WAITING)

    cdef bint await_share(self) noexcept nogil:
        while True:
            if fnn_await_change(&self.desk, FNN_WAITING, SPINS):
                if fnn_change_state(&self.desk, FNN_POSTED, FNN_BUSY):
                    return True  # else the caller has done it alone
            elif fnn_change_state(&self.desk, FNN_WAITING, FNN_ASLEEP):
                return False

    cdef bint post(self, Request *request, int share) noexcept:
        """Hand over a share; False where the helper is not awake."""
        self.request = request
        self.share = share
        return fnn_change_state(&self.desk, FNN_WAITING, FNN_POSTED)

    cdef call(self):
        """Have the helper awake for the next call."""
        if not fnn_change_state(&self.desk, FNN_ASLEEP, FNN_CALLED):
            return
        self.bell.release()
        if not self.started:
            self.started = True
            try:
                threading.Thread(target=self.serve, name="fastnn-helper", daemon=True).start()
            except RuntimeError:  # no more threads to be had: callers do without
                self.forget_thread()

    cdef void finish(self) noexcept nogil:
        """Wait until the share is done; do it, where the helper has not begun."""
        if fnn_change_state(&self.desk, FNN_POSTED, FNN_WAITING):
            predict_share(self.request, self.share)
        else:
            fnn_await_change(&self.desk, FNN_BUSY, 0)
