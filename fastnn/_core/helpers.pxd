# Threads that take a share of a short call, and those who have work for them.
from cpython.pythread cimport PyThread_type_lock

from fastnn._core.inference cimport Request

cdef extern from "helpers.h" nogil:
    ctypedef struct fnn_desk:
        pass

cdef enum:
    MAX_HELPERS = 3  # more would wait for each other longer than they save

cdef class Helper:
    cdef fnn_desk desk
    cdef Request *request
    cdef int share
    cdef readonly bint started
    cdef readonly Py_ssize_t n_shares
    cdef PyThread_type_lock bell  # released to wake the thread

    cdef bint await_share(self) noexcept nogil
    cdef bint is_awake(self) noexcept
    cdef bint post(self, Request *request, int share) noexcept
    cdef bint take_back(self) noexcept
    cdef void finish(self) noexcept
    cdef call(self)
