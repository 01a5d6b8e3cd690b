"""Forward passes for prediction: rows in blocks, each block through all layers while in cache.

Every row is summed as in training's forward pass by the own kernels (the same chunks in the same
order), whatever the number of rows, threads or panels: a row's result does not depend on the batch
it came in. For the same reason BLAS, whose sums depend on the shape of the call, is not used here.
"""

import numpy as np

from cython.parallel cimport parallel, threadid
from libc.stdint cimport int32_t, uint64_t

from fastnn._core import kernels as kernel_lists
from fastnn._core.binding import list_rows

from fastnn._core.binding cimport Binding, address
from fastnn._core.fastnn cimport fnn_loss_settings
from fastnn._core.forward cimport forward_block
from fastnn._core.kernels cimport (
    active_kernels,
    evaluate_loss,
    find_nonfinite_in,
    flush_denormals,
    real,
    restore_float_state,
)
from fastnn._core.structs cimport DENSE
from fastnn._core.transforms cimport infer_block

cdef extern from "threads.h" nogil:
    int fnn_count_team()

cdef extern from "helpers.h" nogil:
    void fnn_tell(fnn_pair *pair, int half, int n_layers)
    void fnn_await_half(fnn_pair *pair, int half, int n_layers)

# Weights of a layer from which on half of them take longer to read than another core to be told.
MIN_HALVED_WEIGHTS = 1 << 16


cdef bint are_finite(Request *request, const real *const *rows, Py_ssize_t n_rows) noexcept nogil:
    """Here, just before they are used, rows come from memory once and not twice."""
    cdef Py_ssize_t row
    for row in range(n_rows):
        if find_nonfinite_in(request.kernels, rows[row], request.layers[0].n_in) >= 0:
            return False
    return True


cdef bint enter_block(Request *request, int thread, Py_ssize_t start, Py_ssize_t n_rows,
                      const real *tag) noexcept nogil:
    """Point to the rows of a block and to its results; False where x is not finite there."""
    cdef Layer *last = request.layers[thread] + request.n_layers - 1
    cdef void **rows = request.x_rows[thread]
    cdef Py_ssize_t row
    for row in range(n_rows):
        rows[row] = <void *>(request.x + (start + row) * request.x_row_bytes)
    last.output = request.out + start * request.out_row_bytes
    last.source = last.output
    last.stride = request.out_stride
    if not are_finite(request, <const real *const *>rows, n_rows):
        request.nonfinite = True
        return False
    return True


cdef void predict_layer(Request *request, int thread, Py_ssize_t i, Py_ssize_t n_rows,
                        Py_ssize_t first, Py_ssize_t stop, const real *tag) noexcept nogil:
    """Columns first..stop of layer i for the block entered; all of them if it is not dense."""
    cdef Layer *layers = request.layers[thread]
    cdef const real *const *x = <const real *const *>request.x_rows[thread]
    if i:
        x = <const real *const *>layers[i - 1].output_rows
    if layers[i].kind == DENSE:
        forward_block(request.kernels, layers + i, x, 0, n_rows, first, stop)
    else:
        infer_block(request.kernels, layers + i, x, n_rows)


cdef void predict_rows(Request *request, int thread, const real *tag) noexcept nogil:
    """This thread's share of the rows, block by block."""
    cdef Py_ssize_t n_blocks = (request.n_rows + request.block - 1) // request.block
    cdef Py_ssize_t i, start, n_rows, layer
    for i in range(n_blocks * thread // request.n_threads,
                   n_blocks * (thread + 1) // request.n_threads):
        start = i * request.block
        n_rows = min(request.block, request.n_rows - start)
        if not enter_block(request, thread, start, n_rows, tag):
            break
        for layer in range(request.n_layers):
            predict_layer(request, thread, layer, n_rows, 0, request.layers[thread][layer].n_out,
                          tag)


cdef void predict_columns(Request *request, int half, Py_ssize_t start, Py_ssize_t stop,
                          const real *tag) noexcept nogil:
    """Layers start..stop of the first thread's block.

    Half 0 computes the first columns of each layer that is shared, and all of every other; half 1
    the remaining columns of shared layers. A layer needs both halves of the one before.
    """
    cdef Py_ssize_t i, middle, n_out
    for i in range(start, stop):
        middle, n_out = request.halves[i], request.layers[0][i].n_out
        if half == 1 and middle < n_out:
            fnn_await_half(&request.pair, 0, <int>i)
            predict_layer(request, 0, i, request.n_rows, middle, n_out, tag)
        elif half == 0:
            if i and request.halves[i - 1] < request.layers[0][i - 1].n_out:
                fnn_await_half(&request.pair, 1, <int>i)
            predict_layer(request, 0, i, request.n_rows, 0, middle, tag)
        fnn_tell(&request.pair, half, <int>(i + 1))


cdef void predict_half(Request *request, int half, Py_ssize_t start,
                       Py_ssize_t stop) noexcept nogil:
    cdef uint64_t float_state = flush_denormals()
    if request.is_f32:
        predict_columns(request, half, start, stop, <const float *>NULL)
    else:
        predict_columns(request, half, start, stop, <const double *>NULL)
    restore_float_state(float_state)


cdef void predict_share(Request *request, int thread) noexcept nogil:
    cdef uint64_t float_state
    if request.in_halves:
        predict_half(request, thread, 0, request.n_halved)
        return
    float_state = flush_denormals()
    if request.is_f32:
        predict_rows(request, thread, <const float *>NULL)
    else:
        predict_rows(request, thread, <const double *>NULL)
    restore_float_state(float_state)


cdef void predict_in_parallel(Request *request) noexcept nogil:
    if request.n_threads == 1:
        predict_share(request, 0)
        return
    with parallel(num_threads=request.n_threads):
        if fnn_count_team() == request.n_threads:
            predict_share(request, threadid())
        else:
            request.wrong_team = True


def choose_half(planned):
    """First column of the second of two threads that share a layer; n_out where they do not."""
    shape, n_panels = planned.shape, len(planned.panels) - 1
    is_wide = n_panels > 1 and shape.n_in * shape.n_out >= MIN_HALVED_WEIGHTS
    if shape.kind != "dense" or shape.rowwise or not is_wide:
        return shape.n_out
    return planned.panels[(n_panels + 1) // 2]


cdef class Predictor:
    """Layers bound for prediction by up to `len(bindings)` threads.

    Parameters
    ----------
    bindings : list of Binding
        One per thread, each with scratch for `block` rows; the first holds the panels.
    block : int
        Most rows that pass through all layers together.
    """

    def __init__(self, bindings, block):
        cdef Binding binding
        if len(bindings) > MAX_THREADS:
            raise ValueError(f"n_threads is {len(bindings)}, at most {MAX_THREADS} can predict")
        self.first = bindings[0]
        self.request.is_f32 = self.first.is_f32
        self.bindings = bindings
        self.n_bindings = len(bindings)
        self.block = block
        self.x_rows = [np.empty(block, dtype=np.uintp) for _ in bindings]
        for i, binding in enumerate(bindings):
            self.request.kernels = &binding.kernels
            self.request.layers[i] = binding.layers
            self.request.n_layers = binding.n_layers
            self.request.x_rows[i] = <void **>address(self.x_rows[i])
        layers = self.first.plan.layers
        self.halves = np.array([choose_half(planned) for planned in layers], dtype=np.intp)
        cut = np.flatnonzero(self.halves < [planned.shape.n_out for planned in layers])
        self.request.halves = <const Py_ssize_t *>address(self.halves)
        self.request.n_halved = cut.max(initial=-1) + 1

    cdef void aim(self, const char *x, Py_ssize_t x_row_bytes, Py_ssize_t n_rows, char *out,
                  Py_ssize_t out_stride, int n_threads) noexcept nogil:
        """Make `request` one of filling `out` (n_rows, n_out), rows `out_stride` elements apart.

        By no more threads than there are blocks of rows.

        `out` is not filled, or in part, where the request then says `nonfinite`, or `wrong_team`:
        OpenMP gave another number of threads than asked for.
        """
        cdef Request *request = &self.request
        request.x = x
        request.x_row_bytes = x_row_bytes
        request.n_rows = n_rows
        request.block = min(self.block, (n_rows + n_threads - 1) // n_threads)
        request.n_threads = min(n_threads, (n_rows + request.block - 1) // request.block)
        request.out = out
        request.out_stride = out_stride
        request.out_row_bytes = out_stride * (sizeof(float) if request.is_f32 else sizeof(double))
        request.wrong_team = False
        request.nonfinite = False
        request.in_halves = False

    cdef bint begin_halves(self) noexcept nogil:
        """Make the request that was aimed, by one thread, one for two; False where x is not finite.

        `predict_half` of both then fills `out`.
        """
        cdef Request *request = &self.request
        cdef bint finite
        if request.is_f32:
            finite = enter_block(request, 0, 0, request.n_rows, <const float *>NULL)
        else:
            finite = enter_block(request, 0, 0, request.n_rows, <const double *>NULL)
        if finite:
            fnn_tell(&request.pair, 0, 0)
            fnn_tell(&request.pair, 1, 0)
            request.in_halves = True
        return finite

    cdef void skip_zeros(self, const char *x, Py_ssize_t row_bytes,
                         Py_ssize_t n_rows) noexcept nogil:
        """Have tiles of the first layer leave out the zeros of x where that is worth it."""
        cdef int i
        cdef bint skips = (self.first.finds_zeros(x, row_bytes, n_rows)
                           and (self.first.layers[0].row_skips_zeros or self.first.is_finite(0)))
        for i in range(self.n_bindings):
            self.request.layers[i][0].tile_skips_zeros = skips

    def run(self, x, out, int n_threads):
        """Fill `out` (n_rows, n_out), contiguous, with the last layer's output for x.

        By up to `n_threads` threads, each with a binding to itself. False, with `out` not filled or
        in part, where x has a NaN or infinity.
        """
        cdef const char *source = <const char *>address(x)
        cdef char *target = <char *>address(out)
        cdef Py_ssize_t row_bytes = x.strides[0], n_rows = len(x), n_out = out.shape[1]
        if not 1 <= n_threads <= self.n_bindings:
            raise ValueError(f"n_threads is {n_threads}, but {self.n_bindings} are bound")
        with nogil:
            self.skip_zeros(source, row_bytes, n_rows)
            self.aim(source, row_bytes, n_rows, target, n_out, n_threads)
            predict_in_parallel(&self.request)
        if self.request.wrong_team:
            raise RuntimeError(
                f"OpenMP did not start {n_threads} threads; a limit such as "
                "OMP_THREAD_LIMIT is in force: pass a smaller n_threads"
            )
        return not self.request.nonfinite


def compute_row_losses(const real[:, ::1] output, loss, settings, const int32_t[::1] labels,
                       const real[:, ::1] targets, const double[::1] weights=None):
    """Loss of each row, from the output that the loss expects (raw scores where it merges).

    Parameters
    ----------
    output : ndarray (n_rows, n_out)
    loss : str
    settings : dict
        All that `kernels.list_loss_settings` names.
    labels : int32 ndarray (n_rows,) or None
    targets : ndarray (n_rows, n_out) or None
    weights : float64 ndarray (n_rows,), optional
        What the rows' losses are multiplied by.
    """
    cdef int number = kernel_lists.list_losses().index(loss)
    cdef const int32_t *label = NULL
    cdef const double *weight = NULL
    cdef const real *const *target_rows = NULL
    cdef fnn_loss_settings values = settings
    cdef double[::1] losses = np.empty(output.shape[0])
    if weights is not None:
        weight = &weights[0]
    if labels is not None:
        label = &labels[0]
    else:
        rows = list_rows(np.asarray(targets))
        target_rows = <const real *const *>address(rows)
    cdef uint64_t float_state
    with nogil:
        float_state = flush_denormals()
        evaluate_loss(active_kernels(), number, &output[0, 0], <real *>NULL, output.shape[1],
                      output.shape[0], output.shape[1], label, target_rows, weight,
                      &values, 1.0, &losses[0])
        restore_float_state(float_state)
    return np.asarray(losses)
