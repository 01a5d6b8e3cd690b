"""Helpers: threads that take a share of a short call, and spin for the next one for a while.

A call of some microseconds is too short to wake a sleeping thread for, which takes some fifty.
So a helper spins after each share; after SPINS looks it falls asleep. Who finds it asleep does
without, and calls it for the next time where calls come in quick succession.

All predictors of the process have the same helpers: a caller has the GIL, and so all of them.

Results do not depend on who helps: the rows of a prediction are independent of each other, as are
the columns of a layer, and each sum is one thread's.

Rejected: an OpenMP region in the calling thread. After it, a fork of the process hangs in the first
region of the child, and GCC's threads spin for some milliseconds after each region. Helpers of each
predictor: where many networks take turns, their helpers would spin side by side.
"""

import _thread
import os

from cpython.pythread cimport (
    WAIT_LOCK,
    PyThread_acquire_lock,
    PyThread_allocate_lock,
    PyThread_free_lock,
    PyThread_release_lock,
)

from fastnn._core.inference cimport Request, predict_share

cdef extern from "helpers.h" nogil:
    enum:
        FNN_ASLEEP
        FNN_CALLED
        FNN_WAITING
        FNN_POSTED
        FNN_BUSY
    void fnn_set_state(fnn_desk *desk, int state)
    bint fnn_has_state(fnn_desk *desk, int state)
    bint fnn_change_state(fnn_desk *desk, int old, int new)
    bint fnn_await_change(fnn_desk *desk, int state, long n_looks)

cdef enum:
    SPINS = 10000  # some 200 µs


cdef class Helper:
    """A thread that takes shares of one caller at a time, who holds the GIL meanwhile.

    It starts with the first call that could have used it, and ends with the process.

    Attributes
    ----------
    started : bool
        Whether there has been any need for the thread.
    n_shares : int
        Done by it so far.
    """

    def __cinit__(self):
        self.forget_thread()

    def __dealloc__(self):
        PyThread_free_lock(self.bell)

    def forget_thread(self):
        """As if there had never been one. Before a fork, one may have waited for the old bell."""
        fnn_set_state(&self.desk, FNN_ASLEEP)
        self.started = False
        self.bell = PyThread_allocate_lock()
        if self.bell == NULL:
            raise MemoryError()
        PyThread_acquire_lock(self.bell, WAIT_LOCK)

    def serve(self):
        """What the thread does: share after share, asleep between two bursts of calls.

        Without the GIL, which a caller who is in a burst hands over after 5 ms.
        """
        with nogil:
            while True:
                PyThread_acquire_lock(self.bell, WAIT_LOCK)
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

    cdef bint is_awake(self) noexcept:
        return fnn_has_state(&self.desk, FNN_WAITING)

    cdef bint post(self, Request *request, int share) noexcept:
        """Hand over a share; False where the helper has just fallen asleep."""
        self.request = request
        self.share = share
        return fnn_change_state(&self.desk, FNN_WAITING, FNN_POSTED)

    cdef bint take_back(self) noexcept:
        """Whether the helper had not begun its share, and will not."""
        return fnn_change_state(&self.desk, FNN_POSTED, FNN_WAITING)

    cdef void finish(self) noexcept:
        """Wait until the share that it has begun is done."""
        fnn_await_change(&self.desk, FNN_BUSY, 0)

    cdef call(self):
        """Have the helper awake for the next call. Does not wait for a thread that starts."""
        if not fnn_change_state(&self.desk, FNN_ASLEEP, FNN_CALLED):
            return
        if not self.started:
            self.started = True
            try:
                _thread.start_new_thread(self.serve, ())
            except RuntimeError:  # no more threads to be had: callers do without, from now on
                return
        PyThread_release_lock(self.bell)


_helpers = [Helper() for _ in range(MAX_HELPERS)]


def get_helpers(Py_ssize_t n_threads):
    """Those of a caller who may use so many threads, itself included."""
    return _helpers[: n_threads - 1]


def _forget_threads():
    """In a forked child, which has none of its parent's threads."""
    for helper in _helpers:
        helper.forget_thread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
