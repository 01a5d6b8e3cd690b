"""The short way from one array to its scores: no locks, nothing allocated but the result.

For a single row the arithmetic takes a few microseconds, as long as a handful of Python calls. So
an array that can be used as it lies is recognised by its buffer, in C; all others go through the
checks of the Python layer.
"""

import numpy as np

from cpython.buffer cimport (
    PyBUF_FORMAT,
    PyBUF_STRIDES,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from libc.stdint cimport uintptr_t

from fastnn._core.helpers cimport Helper
from fastnn._core.inference cimport Predictor, Request, predict_share

cdef extern from "threads.h" nogil:
    double fnn_read_clock()

cdef enum:
    MAX_HELPERS = 7
cdef double BURST_SECONDS = 2e-4  # between two calls: as long as a helper spins

N_HELPERS = MAX_HELPERS  # at most

cdef object ndarray = np.ndarray
cdef object empty = np.empty


cdef class FrozenPredictor:
    """Scores of few rows by a thread that keeps the GIL; more rows are handed on.

    Parameters
    ----------
    predictor : Predictor
        With packed weights; of one thread more than there are helpers.
    helpers : list of Helper
        Who share the work where calls follow each other within BURST_SECONDS.
    n_in, n_out : int
    dtype : numpy.dtype
    check : callable
        Turns any X into a finite matrix that can be used as it lies, or raises.
    run_many : callable
        ``run_many(X, out)`` for more than `max_rows` rows; False where X is not finite.
    max_rows, min_shared_rows : int
        From the latter on, it is worth sharing a call.
    """

    cdef Predictor predictor
    cdef list helpers
    cdef double last_call
    cdef Py_ssize_t n_in, n_out, max_rows, min_shared_rows, itemsize
    cdef char format
    cdef object dtype, check, run_many

    def __init__(self, Predictor predictor, helpers, n_in, n_out, dtype, check, run_many, max_rows,
                 min_shared_rows):
        self.predictor = predictor
        self.helpers = helpers
        self.min_shared_rows = min_shared_rows
        self.n_in = n_in
        self.n_out = n_out
        self.dtype = np.dtype(dtype)
        self.itemsize = self.dtype.itemsize
        self.format = ord(self.dtype.char)
        self.check = check
        self.run_many = run_many
        self.max_rows = max_rows

    def run(self, X, out=None):
        """Scores (n_rows, n_out) of X, in `out` if given."""
        cdef Py_buffer x, z
        cdef bint finite
        if type(X) is not ndarray or not self.is_usable(X):
            X = self.check(X)
        PyObject_GetBuffer(X, &x, PyBUF_STRIDES)
        try:
            if out is None:
                out = empty((x.shape[0], self.n_out), self.dtype)
            else:
                self.check_out(out, x.shape[0])
            if x.shape[0] > self.max_rows:
                finite = self.run_many(X, out)
            else:
                PyObject_GetBuffer(out, &z, PyBUF_STRIDES | PyBUF_WRITABLE)
                if x.shape[0] < self.min_shared_rows:
                    self.aim(&x, &z, 1)
                    predict_share(&self.predictor.request, 0)
                else:
                    self.share(&x, &z)
                finite = not self.predictor.request.nonfinite
                PyBuffer_Release(&z)
        finally:
            PyBuffer_Release(&x)
        if not finite:
            self.check(X)  # which says where
        return out

    cdef void aim(self, const Py_buffer *x, const Py_buffer *z, int n_threads):
        self.predictor.aim(<const char *>x.buf, x.strides[0], x.shape[0], <char *>z.buf,
                           self.n_out, n_threads)

    cdef share(self, const Py_buffer *x, const Py_buffer *z):
        """A share for each helper, where calls follow each other quickly; this thread's are those
        of the ones asleep. It keeps the GIL: nobody else has work for them meanwhile."""
        cdef Request *request = &self.predictor.request
        cdef bint in_burst = fnn_read_clock() - self.last_call < BURST_SECONDS
        cdef bint posted[MAX_HELPERS]
        cdef int i, n = len(self.helpers)
        self.aim(x, z, 1 + n)
        for i in range(n):
            posted[i] = in_burst and (<Helper>self.helpers[i]).post(request, i + 1)
        predict_share(request, 0)
        for i in range(n):
            if posted[i]:
                (<Helper>self.helpers[i]).finish()
            else:
                predict_share(request, i + 1)
        for i in range(n):
            if in_burst and not posted[i]:
                (<Helper>self.helpers[i]).call()
        self.last_call = fnn_read_clock()

    cdef bint is_usable(self, X) except -1:
        """Whether X is a matrix of the network's width and dtype, rows contiguous."""
        cdef Py_buffer x
        cdef bint usable
        try:
            PyObject_GetBuffer(X, &x, PyBUF_STRIDES | PyBUF_FORMAT)
        except (BufferError, ValueError):  # a dtype that no buffer describes, such as datetime64
            return False
        usable = (
            x.ndim == 2 and x.shape[0] > 0 and x.shape[1] == self.n_in
            and x.format[0] == self.format and x.format[1] == 0
            and x.strides[1] == self.itemsize
            and x.strides[0] % self.itemsize == 0 and <uintptr_t>x.buf % self.itemsize == 0
        )
        PyBuffer_Release(&x)
        return usable

    cdef check_out(self, out, Py_ssize_t n_rows):
        wanted = (n_rows, self.n_out)
        if (type(out) is not ndarray or out.shape != wanted or out.dtype != self.dtype
                or not out.flags.carray):
            found = f"{out.dtype} array of shape {out.shape}" if type(out) is ndarray else repr(out)
            raise ValueError(
                f"out is {found[:100]}; expected a writable, C-contiguous {self.dtype} array of "
                f"shape {wanted}"
            )
