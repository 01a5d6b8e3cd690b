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


cdef bint are_finite(Request *request, const real *const *rows, Py_ssize_t n_rows) noexcept nogil:
    """Here, just before they are used, rows come from memory once and not twice."""
    cdef Py_ssize_t row
    for row in range(n_rows):
        if find_nonfinite_in(request.kernels, rows[row], request.layers[0].n_in) >= 0:
            return False
    return True


cdef void predict_rows(Request *request, int thread, const real *tag) noexcept nogil:
    """This thread's share of the rows, block by block."""
    cdef Py_ssize_t n_blocks = (request.n_rows + request.block - 1) // request.block
    cdef Layer *layers = request.layers[thread]
    cdef Layer *last = layers + request.n_layers - 1
    cdef void **rows = request.x_rows[thread]
    cdef const real *const *x
    cdef Py_ssize_t i, row, start, n_rows, layer
    cdef uint64_t float_state = flush_denormals()
    for i in range(n_blocks * thread // request.n_threads,
                   n_blocks * (thread + 1) // request.n_threads):
        start = i * request.block
        n_rows = min(request.block, request.n_rows - start)
        for row in range(n_rows):
            rows[row] = <void *>(request.x + (start + row) * request.x_row_bytes)
        if request.looks_for_nan and not are_finite(request, <const real *const *>rows, n_rows):
            request.nonfinite = True
            break
        last.output = request.out + start * request.out_row_bytes
        last.source = last.output
        last.stride = request.out_stride
        for layer in range(request.n_layers):
            if layer:
                x = <const real *const *>layers[layer - 1].output_rows
            else:
                x = <const real *const *>rows
            if layers[layer].kind == DENSE:
                forward_block(request.kernels, layers + layer, x, 0, n_rows, 0,
                              layers[layer].n_out)
            else:
                infer_block(request.kernels, layers + layer, x, n_rows)
    restore_float_state(float_state)


cdef void predict_share(Request *request, int thread) noexcept nogil:
    if request.is_f32:
        predict_rows(request, thread, <const float *>NULL)
    else:
        predict_rows(request, thread, <const double *>NULL)


cdef void predict_in_parallel(Request *request) noexcept nogil:
    if request.n_threads == 1:
        predict_share(request, 0)
        return
    with parallel(num_threads=request.n_threads):
        if fnn_count_team() == request.n_threads:
            predict_share(request, threadid())
        else:
            request.wrong_team = True


cdef class Predictor:
    """Layers bound for prediction by up to `len(bindings)` threads.

    Parameters
    ----------
    bindings : list of Binding
        One per thread, each with scratch for `block` rows; the first holds the panels.
    block : int
        Most rows that pass through all layers together.
    looks_for_nan : bool
        Whether `run` refuses NaN and infinity; else x is known to be finite.
    """

    def __init__(self, bindings, block, looks_for_nan):
        cdef Binding binding
        if len(bindings) > MAX_THREADS:
            raise ValueError(f"n_threads is {len(bindings)}, at most {MAX_THREADS} can predict")
        binding = bindings[0]
        self.request.is_f32 = binding.is_f32
        self.bindings = bindings
        self.block = block
        self.x_rows = [np.empty(block, dtype=np.uintp) for _ in bindings]
        self.request.looks_for_nan = looks_for_nan
        for i, binding in enumerate(bindings):
            self.request.kernels = &binding.kernels
            self.request.layers[i] = binding.layers
            self.request.n_layers = binding.n_layers
            self.request.x_rows[i] = <void **>address(self.x_rows[i])

    cdef void aim(self, const char *x, Py_ssize_t x_row_bytes, Py_ssize_t n_rows, char *out,
                  Py_ssize_t out_stride, int n_threads) noexcept nogil:
        """Make `request` one of filling `out` (n_rows, n_out), rows `out_stride` elements apart.

        By no more threads than there are blocks of rows.

        What is not filled, or not whole, afterwards where it then says `nonfinite`, or
        `wrong_team`: OpenMP gave another number of threads than asked for.
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

    def run(self, x, out):
        """Fill `out` (n_rows, n_out), contiguous, with the last layer's output for x.

        False, with `out` not filled or in part, where x has a NaN or infinity that is looked for.
        """
        cdef const char *source = <const char *>address(x)
        cdef char *target = <char *>address(out)
        cdef Py_ssize_t row_bytes = x.strides[0], n_rows = len(x), n_out = out.shape[1]
        cdef int n_threads = len(self.bindings)
        with nogil:
            self.aim(source, row_bytes, n_rows, target, n_out, n_threads)
            predict_in_parallel(&self.request)
        if self.request.wrong_team:
            raise RuntimeError(
                f"OpenMP did not start {len(self.bindings)} threads; a limit such as "
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
