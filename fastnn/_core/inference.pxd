# What a prediction shares between its threads, and the class that runs one.
from fastnn._core.binding cimport Binding
from fastnn._core.kernels cimport Kernels
from fastnn._core.structs cimport Layer

cdef enum:
    MAX_THREADS = 256

cdef extern from "helpers.h" nogil:
    ctypedef struct fnn_pair:
        pass

ctypedef struct Request:
    # One call, shared by its threads; rows are x_row_bytes (out_row_bytes) apart.
    const Kernels *kernels
    const char *x
    char *out
    Py_ssize_t x_row_bytes, out_row_bytes, out_stride
    Py_ssize_t n_rows, block, n_layers, n_threads  # a block of rows passes through all layers
    Layer *layers[MAX_THREADS]   # with scratch of their own
    void **x_rows[MAX_THREADS]        # (block) pointers
    bint is_f32
    bint wrong_team
    bint nonfinite                    # x has a NaN or infinity: a block with any is not filled
    # Of a call that two threads make, each the half of every wide layer's columns:
    const Py_ssize_t *halves          # (n_layers) where the second begins; n_out: nowhere
    Py_ssize_t n_halved               # layers up to the last that has two
    bint in_halves
    fnn_pair pair

cdef class Predictor:
    cdef Request request
    cdef Binding first                # of the bindings: the one with panels
    cdef object bindings, x_rows, halves
    cdef Py_ssize_t block
    cdef readonly int n_bindings

    cdef void aim(self, const char *x, Py_ssize_t x_row_bytes, Py_ssize_t n_rows, char *out,
                  Py_ssize_t out_stride, int n_threads) noexcept nogil
    cdef bint begin_halves(self) noexcept nogil
    cdef void skip_zeros(self, const char *x, Py_ssize_t row_bytes,
                         Py_ssize_t n_rows) noexcept nogil


cdef void predict_share(Request *request, int thread) noexcept nogil
cdef void predict_half(Request *request, int half, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
