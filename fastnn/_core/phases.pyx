"""The phases of a plan: the loss, and which function does one thread's slice of each phase.

forward.pyx, deltas.pyx and gradients.pyx hold the others. Shapes: x (batch, n_in), W (n_in, n_out),
z = x W + b and a = f(z) (batch, n_out), delta = dL/dz (batch, n_out).

No function allocates, fails or knows about threads.
"""

from libc.stdint cimport int32_t
from libc.string cimport memcpy

from fastnn._core.clipping cimport square_chunks, update_bias, update_weight
from fastnn._core.deltas cimport backward_input, differentiate, transpose_block
from fastnn._core.forward cimport forward_blas, forward_block, partial_sums, reduce_rows
from fastnn._core.gradients cimport bias_block, gain_block, weight_blas, weight_block
from fastnn._core.kernels cimport evaluate_loss
from fastnn._core.max_norm cimport limit_block
from fastnn._core.structs cimport (
    BACKWARD_INPUT,
    BIAS,
    COLUMN_SQUARES,
    DIFFERENTIATE,
    FORWARD,
    GAIN,
    GATHER,
    GRADIENT_NORM,
    INPUTS,
    LOSS,
    MAX_NORM,
    PARTIAL,
    REDUCE,
    ROWS,
    TRACK,
    TRANSFORM,
    TRANSFORM_BACKWARD,
    TRANSPOSE,
    UPDATE_BIAS,
    UPDATE_WEIGHT,
    WEIGHT,
)
from fastnn._core.transforms cimport track_statistics, transform_backward, transform_block

PHASE_KINDS = ("gather", "forward", "partial", "reduce", "loss", "backward_input", "weight",
               "bias", "transpose", "transform", "transform_backward",
               "differentiate", "gain", "track", "gradient_norm", "update_weight",
               "update_bias", "column_squares", "max_norm")
UPDATE_MODES = ("none", "fused", "blocked", "separate")
AXES = ("rows", "inputs", "outputs", "chunks")


cdef void loss_rows(const Step *step, const Layer *layer, Py_ssize_t start, Py_ssize_t stop,
                    const real *const *x_rows) noexcept nogil:
    """The loss of each row, and delta = dL/dz of the last layer."""
    cdef Py_ssize_t offset = start * layer.stride
    cdef real *delta = <real *>layer.delta + offset
    cdef const real *output = <const real *>layer.output + offset
    cdef const int32_t *labels = NULL if step.labels == NULL else step.labels + start
    cdef const double *weights = NULL if step.weights == NULL else step.weights + start
    cdef const real *const *targets = NULL
    if step.target_rows != NULL:
        targets = <const real *const *>step.target_rows + start
    evaluate_loss(step.kernels, step.loss, output, delta, layer.stride, stop - start, layer.n_out,
                  labels, targets, weights, &step.settings, step.scale, step.row_loss + start)
    if not step.merged:
        differentiate(step.kernels, layer, start, stop - start, 0, layer.n_out, delta)


# --- dispatch --------------------------------------------------------------------------------

cdef void gather_rows(const Step *step, const real *const *x_rows, Py_ssize_t n_in,
                      Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Copy these rows of the batch together, for BLAS."""
    cdef Py_ssize_t row
    for row in range(start, stop):
        memcpy(<real *>step.gathered + row * step.gathered_stride, x_rows[row],
               n_in * sizeof(real))


cdef bint run_forward(int kind, int axis, const Step *step, const Layer *layer,
                      const real *const *rows, const real *x, Py_ssize_t x_stride,
                      Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """One thread's slice of a phase that makes the layer's output; False: it is none of these."""
    cdef const Kernels *kernels = step.kernels
    if kind == FORWARD and layer.blas:
        forward_blas(kernels, layer, x, x_stride, step.batch, start, stop)
    elif kind == FORWARD and axis == ROWS:
        forward_block(kernels, layer, rows, start, stop, 0, layer.n_out)
    elif kind == FORWARD:
        forward_block(kernels, layer, rows, 0, step.batch, start, stop)
    elif kind == PARTIAL:
        partial_sums(kernels, layer, rows, step.batch, start, stop)
    elif kind == REDUCE:
        reduce_rows(kernels, layer, start, stop, x)
    elif kind == TRANSFORM and axis == ROWS:
        transform_block(step, layer, rows, start, stop, 0, layer.n_out)
    elif kind == TRANSFORM:
        transform_block(step, layer, rows, 0, step.batch, start, stop)
    elif kind == LOSS:
        loss_rows(step, layer, start, stop, rows)
    else:
        return False
    return True


cdef bint run_deltas(int kind, int axis, const Step *step, const Layer *layer,
                     const Layer *before, Py_ssize_t start, Py_ssize_t stop,
                     const real *tag) noexcept nogil:
    """The same of the chain of deltas."""
    if kind == BACKWARD_INPUT and axis == ROWS:
        backward_input(step.kernels, layer, before, start, stop, 0, layer.n_in, tag)
    elif kind == BACKWARD_INPUT:
        backward_input(step.kernels, layer, before, 0, step.batch, start, stop, tag)
    elif kind == TRANSFORM_BACKWARD and axis == ROWS:
        transform_backward(step, layer, before, start, stop, 0, layer.n_out, tag)
    elif kind == TRANSFORM_BACKWARD:
        transform_backward(step, layer, before, 0, step.batch, start, stop, tag)
    elif kind == DIFFERENTIATE:
        differentiate(step.kernels, layer, start, stop - start, 0, layer.n_out, tag)
    else:
        return False
    return True


cdef void run_change(int kind, int axis, const Step *step, const Layer *layer,
                     const real *const *rows, const real *x, Py_ssize_t x_stride,
                     Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """The same of all others: gradients, and what changes parameters or what is kept of them."""
    if kind == WEIGHT and layer.blas:
        weight_blas(step, layer, x, x_stride, start, stop)
    elif kind == WEIGHT and axis == INPUTS:
        weight_block(step, layer, rows, start, stop, 0, layer.n_out)
    elif kind == WEIGHT:
        weight_block(step, layer, rows, 0, layer.n_in, start, stop)
    elif kind == BIAS:
        bias_block(step, layer, start, stop, x)
    elif kind == TRANSPOSE:
        transpose_block(step.kernels, layer, start, stop, x)
    elif kind == GAIN:
        gain_block(step, layer, start, stop, x)
    elif kind == GRADIENT_NORM:
        square_chunks(step, start, stop, x)
    elif kind == UPDATE_WEIGHT:
        update_weight(step, layer, axis, start, stop, x)
    elif kind == UPDATE_BIAS:
        update_bias(step, layer, start, stop, x)
    elif kind == COLUMN_SQUARES or kind == MAX_NORM:
        limit_block(step, layer, kind, axis, start, stop, x)
    elif kind == TRACK:
        track_statistics(step, layer, start, stop, x)


cdef void run_phase(int kind, int axis, int layer_index, Py_ssize_t start, Py_ssize_t stop,
                    const Step *step, const real *const *x_rows) noexcept nogil:
    """Do one thread's slice, start..stop of `axis`, of one phase."""
    cdef const Layer *layer = step.layers + layer_index
    cdef const Layer *before = layer - 1 if layer_index else NULL
    cdef const real *x = <const real *>step.gathered
    cdef Py_ssize_t x_stride = step.gathered_stride
    cdef const real *const *rows = x_rows
    if layer_index:
        rows = <const real *const *>before.output_rows
        x = <const real *>before.output
        x_stride = before.stride
    if kind == GATHER:
        gather_rows(step, x_rows, layer.n_in, start, stop)
    elif not (run_forward(kind, axis, step, layer, rows, x, x_stride, start, stop)
              or run_deltas(kind, axis, step, layer, before, start, stop, x)):
        run_change(kind, axis, step, layer, rows, x, x_stride, start, stop)
