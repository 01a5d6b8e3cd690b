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

from fastnn._core.helpers cimport MAX_HELPERS, Helper
from fastnn._core.inference cimport Predictor, Request, predict_half, predict_share

cdef extern from "threads.h" nogil:
    double fnn_read_clock()

cdef double BURST_SECONDS = 2e-4  # between two calls: as long as a helper spins
cdef double last_call = 0  # that helpers could have taken a share of, whose ever it was

cdef object ndarray = np.ndarray
cdef object empty = np.empty


cpdef check_out(out, wanted, dtype):
    """Refuse what is no array that results of the shape `wanted` can be written to."""
    if (type(out) is not ndarray or out.shape != wanted or out.dtype != dtype
            or not out.flags.carray):
        found = repr(out)
        if type(out) is ndarray:
            how = "" if out.flags.c_contiguous else "strided "
            how += "" if out.flags.writeable else "read-only "
            found = f"{how}{out.dtype} array of shape {out.shape}"
        raise ValueError(
            f"out is {found[:100]}; expected a writable, C-contiguous {dtype} array of shape "
            f"{wanted}"
        )


cdef class QuickPredictor:
    """Scores of few rows by a thread that keeps the GIL; more rows are handed on.

    Parameters
    ----------
    predictor : Predictor or None
        Of one thread more than there are helpers, or where no call is shared by rows, of one; None
        where no call is made here.
    helpers : list of Helper
        Who share the work where calls follow each other within BURST_SECONDS.
    shapes : tuple of LayerShape
        Of the layers, the last as it is applied.
    dtype : numpy.dtype
    max_rows, max_shared_rows : int
        Up to which a call is made here, alone and where its rows can be shared.
    rows_per_share : int
        At least. Of calls with fewer rows than two shares have, up to `max_rows`, the wide layers
        are shared: to read their weights takes the time, which more rows would share.
    """

    cdef Predictor predictor
    cdef list helpers
    cdef Py_ssize_t n_in, n_out, max_rows, max_shared_rows, rows_per_share, itemsize
    cdef char format
    cdef object dtype, shapes

    def __init__(self, Predictor predictor, helpers, shapes, dtype, max_rows, max_shared_rows,
                 rows_per_share):
        self.predictor = predictor
        self.helpers = helpers
        self.shapes = shapes
        self.n_in = shapes[0].n_in
        self.n_out = shapes[len(shapes) - 1].n_out
        self.dtype = np.dtype(dtype)
        self.itemsize = self.dtype.itemsize
        self.format = ord(self.dtype.char)
        self.max_rows = max_rows
        self.max_shared_rows = max_shared_rows
        self.rows_per_share = rows_per_share

    def run(self, owner, X, out=None):
        """Scores (n_rows, n_out) of X, in `out` if given.

        The owner is the network: ``owner._check_input(X)`` turns any X into a finite matrix that
        can be used as it lies, or raises, and ``owner._predictors``, a PredictorPool, fills `out`
        by ``owner._n_threads`` where there are many rows.
        """
        cdef Py_buffer x, z
        global last_call
        cdef bint finite, shareable, in_burst
        if not self.accepts(X):
            X = owner._check_input(X)
        PyObject_GetBuffer(X, &x, PyBUF_STRIDES)
        try:
            if out is None:
                out = empty((x.shape[0], self.n_out), self.dtype)
            else:
                check_out(out, (x.shape[0], self.n_out), self.dtype)
            shareable = self.is_shareable(x.shape[0])
            in_burst = shareable and fnn_read_clock() - last_call < BURST_SECONDS
            if x.shape[0] > (self.max_shared_rows if in_burst else self.max_rows):
                finite = owner._predictors.fill(X, self.shapes, owner._n_threads, out)
            else:
                if x.shape[0] > 1:
                    self.predictor.skip_zeros(<const char *>x.buf, x.strides[0], x.shape[0])
                PyObject_GetBuffer(out, &z, PyBUF_STRIDES | PyBUF_WRITABLE)
                if in_burst and x.shape[0] < 2 * self.rows_per_share:
                    finite = self.run_halves(&x, &z)
                else:
                    finite = self.run_here(&x, &z, in_burst)
                PyBuffer_Release(&z)
            if shareable:
                last_call = fnn_read_clock()
            if in_burst:
                self.call_helpers(x.shape[0])
        finally:
            PyBuffer_Release(&x)
        if not finite:
            owner._check_input(X)  # which says where
            return self.run(owner, X, out)  # unless another thread has written to it meanwhile
        return out

    cpdef bint accepts(self, X):
        """Whether X is an array that can be used as it lies, if it is finite."""
        return type(X) is ndarray and self.is_usable(X)

    cdef bint is_shareable(self, Py_ssize_t n_rows) noexcept:
        if len(self.helpers) == 0:
            return False
        if n_rows >= 2 * self.rows_per_share:
            return n_rows <= self.max_shared_rows
        return n_rows <= self.max_rows and self.predictor.request.n_halved > 0

    cdef bint run_here(self, const Py_buffer *x, const Py_buffer *z, bint in_burst) noexcept:
        """Fill z, in a burst with the helpers that are awake; False where x is not finite.

        This thread keeps the GIL, so nobody else has work for them meanwhile.
        """
        cdef Request *request = &self.predictor.request
        cdef bint posted[MAX_HELPERS]
        cdef Py_ssize_t i, n_shares = 1, n_posted = 0, n_helpers = len(self.helpers)
        if in_burst:
            for i in range(n_helpers):
                n_shares += self.get_helper(i).is_awake()
        n_shares = max(1, min(n_shares, x.shape[0] // self.rows_per_share))
        self.predictor.aim(<const char *>x.buf, x.strides[0], x.shape[0], <char *>z.buf,
                           self.n_out, n_shares)
        for i in range(n_helpers):
            posted[i] = n_posted + 1 < request.n_threads and self.get_helper(i).post(
                request, n_posted + 1
            )
            n_posted += posted[i]
        predict_share(request, 0)
        for i in range(n_posted + 1, request.n_threads):  # of helpers that have fallen asleep
            predict_share(request, i)
        for i in range(n_helpers):
            if posted[i] and self.get_helper(i).take_back():
                predict_share(request, self.get_helper(i).share)
        for i in range(n_helpers):
            if posted[i]:
                self.get_helper(i).finish()
        return not request.nonfinite

    cdef bint run_halves(self, const Py_buffer *x, const Py_buffer *z) noexcept:
        """The same by two threads, each half of the columns of every wide layer."""
        cdef Request *request = &self.predictor.request
        cdef Helper helper = self.get_helper(0)
        self.predictor.aim(<const char *>x.buf, x.strides[0], x.shape[0], <char *>z.buf,
                           self.n_out, 1)
        if helper.is_awake():
            if not self.predictor.begin_halves():
                return False
            if helper.post(request, 1):
                predict_half(request, 0, 0, 1)
                if not helper.take_back():
                    predict_half(request, 0, 1, request.n_layers)
                    helper.finish()
                    return True
            request.in_halves = False
        predict_share(request, 0)
        return not request.nonfinite

    cdef inline Helper get_helper(self, Py_ssize_t i):
        return <Helper>self.helpers[i]

    cdef call_helpers(self, Py_ssize_t n_rows):
        """Have those awake for the next such call that sleep. Last of all: a thread may start."""
        cdef Py_ssize_t i
        for i in range(1 if n_rows < 2 * self.rows_per_share else len(self.helpers)):
            self.get_helper(i).call()

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
