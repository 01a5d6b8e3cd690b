"""Layers without a weight matrix: dropout, batch norm, layer norm, and activations on their own.

Shapes: x, a and both deltas (batch, n). A phase takes a block of rows and columns; its backward
phase gives the delta of the layer before, with the derivative of that layer's activation in it,
as `backward_input` does for dense layers.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from fastnn._core.deltas cimport differentiate
from fastnn._core.fastnn cimport (
    FNN_ACTIVATION_RELU,
    FNN_BATCH_NORM_APPLY,
    FNN_BATCH_NORM_BACKWARD,
    FNN_BATCH_NORM_FORWARD,
    FNN_BATCH_NORM_TRACK,
    FNN_LAYER_NORM_BACKWARD,
    FNN_LAYER_NORM_FORWARD,
    fnn_mask,
)
from fastnn._core.forward cimport activate
from fastnn._core.kernels cimport dropout, dropout_relu_backward, normalize
from fastnn._core.structs cimport BATCH_NORM, DROPOUT, LAYER_NORM


cdef void copy_block(const real *const *x_rows, Py_ssize_t column, Py_ssize_t rows,
                     Py_ssize_t cols, real *out, Py_ssize_t stride) noexcept nogil:
    cdef Py_ssize_t row
    for row in range(rows):
        memcpy(out + row * stride, x_rows[row] + column, cols * sizeof(real))


cdef inline double keep_factor(const Layer *layer) noexcept nogil:
    """What dropout multiplies by that which it keeps."""
    return 1 / (1 - layer.rate)


cdef void drop_block(const Step *step, const Layer *layer, const real *const *x_rows,
                     Py_ssize_t row, Py_ssize_t column, Py_ssize_t rows, Py_ssize_t cols,
                     real *out, Py_ssize_t stride) noexcept nogil:
    """out = the block at (row, column) of x, times the mask of this step."""
    cdef fnn_mask mask
    mask.seed = step.seed
    mask.step = step.number
    mask.layer = layer.index
    mask.threshold = <uint32_t>(layer.rate * 4294967296.0)
    mask.factor = keep_factor(layer)
    dropout(step.kernels, &mask, x_rows, row, column, rows, cols, out, stride)


cdef void activate_block(const Kernels *kernels, const Layer *layer,
                         const real *const *x_rows, Py_ssize_t row, Py_ssize_t rows,
                         Py_ssize_t column, Py_ssize_t cols) noexcept nogil:
    """a = f(x) for the block at (row, column)."""
    cdef real *z = <real *>layer.source + row * layer.stride + column
    copy_block(x_rows + row, column, rows, cols, z, layer.stride)
    activate(kernels, layer, row, rows, column, cols, z)


cdef void norm_block(const Kernels *kernels, int norm, const Layer *layer,
                     const real *const *x_rows, Py_ssize_t row, Py_ssize_t rows,
                     Py_ssize_t column, Py_ssize_t cols, real *out,
                     Py_ssize_t stride) noexcept nogil:
    """One of the norm kernels on the block at (row, column) of x, or of delta; `out` begins there.
    """
    cdef real *normalized = <real *>layer.normalized
    cdef real *scale = <real *>layer.norm_scale
    cdef real *mean = <real *>layer.batch_mean
    cdef real *variance = <real *>layer.batch_variance
    cdef real *running_mean = <real *>layer.running_mean
    cdef real *running_variance = <real *>layer.running_variance
    if normalized != NULL:
        normalized += row * layer.stride + column
    if scale != NULL:
        scale += column if layer.kind == BATCH_NORM else row
    if mean != NULL:
        mean += column
        variance += column
    if running_mean != NULL:
        running_mean += column
        running_variance += column
    normalize(kernels, norm, x_rows + row, column, rows, cols, <const real *>layer.weight + column,
              <const real *>layer.bias + column, layer.epsilon, layer.momentum, mean, variance,
              running_mean, running_variance, normalized, scale, out, layer.stride, stride)


cdef void transform_block(const Step *step, const Layer *layer, const real *const *x_rows,
                          Py_ssize_t row_start, Py_ssize_t row_stop, Py_ssize_t column_start,
                          Py_ssize_t column_stop) noexcept nogil:
    """a[rows, columns] of a training step."""
    cdef Py_ssize_t rows = row_stop - row_start, cols = column_stop - column_start
    cdef real *out = <real *>layer.output + row_start * layer.stride + column_start
    if layer.kind == DROPOUT:
        drop_block(step, layer, x_rows + row_start, row_start, column_start, rows, cols, out,
                   layer.stride)
    elif layer.kind == BATCH_NORM:
        norm_block(step.kernels, FNN_BATCH_NORM_FORWARD, layer, x_rows, row_start, rows,
                   column_start, cols, out, layer.stride)
    elif layer.kind == LAYER_NORM:
        norm_block(step.kernels, FNN_LAYER_NORM_FORWARD, layer, x_rows, row_start, rows,
                   column_start, cols, out, layer.stride)
    else:
        activate_block(step.kernels, layer, x_rows, row_start, rows, column_start, cols)


cdef void transform_backward(const Step *step, const Layer *layer, const Layer *before,
                             Py_ssize_t row_start, Py_ssize_t row_stop, Py_ssize_t column_start,
                             Py_ssize_t column_stop, const real *tag) noexcept nogil:
    """before.delta[rows, columns], from this layer's delta and before's activation.

    Columns alone leave the derivative of a row-wise activation to a phase of its own.
    """
    cdef Py_ssize_t rows = row_stop - row_start, cols = column_stop - column_start
    cdef const real *const *delta_rows = <const real *const *>layer.delta_rows
    cdef real *dx = <real *>before.delta + row_start * before.stride + column_start
    if layer.kind == DROPOUT and before.activation == FNN_ACTIVATION_RELU:
        dropout_relu_backward(step.kernels, delta_rows + row_start, <const real *>layer.output
                              + row_start * layer.stride + column_start, layer.stride,
                              column_start, rows, cols, keep_factor(layer), dx, before.stride)
        return
    if layer.kind == DROPOUT:
        drop_block(step, layer, delta_rows + row_start, row_start, column_start, rows, cols, dx,
                   before.stride)
    elif layer.kind == BATCH_NORM:
        norm_block(step.kernels, FNN_BATCH_NORM_BACKWARD, layer, delta_rows, row_start, rows,
                   column_start, cols, dx, before.stride)
    elif layer.kind == LAYER_NORM:
        norm_block(step.kernels, FNN_LAYER_NORM_BACKWARD, layer, delta_rows, row_start, rows,
                   column_start, cols, dx, before.stride)
    else:
        copy_block(delta_rows + row_start, column_start, rows, cols, dx, before.stride)
    if not (before.rowwise and layer.kind == BATCH_NORM):
        differentiate(step.kernels, before, row_start, rows, column_start, cols, dx)


cdef void track_statistics(const Step *step, const Layer *layer, Py_ssize_t start, Py_ssize_t stop,
                           const real *tag) noexcept nogil:
    """Let batch norm's running statistics of columns follow those of the batch."""
    norm_block(step.kernels, FNN_BATCH_NORM_TRACK, layer, <const real *const *>NULL, 0, step.batch,
               start, stop - start, <real *>NULL, 0)


cdef void infer_block(const Kernels *kernels, const Layer *layer, const real *const *x_rows,
                      Py_ssize_t rows) noexcept nogil:
    """a[:rows] as predictions have it."""
    cdef real *out = <real *>layer.output
    if layer.kind == BATCH_NORM:
        norm_block(kernels, FNN_BATCH_NORM_APPLY, layer, x_rows, 0, rows, 0, layer.n_out, out,
                   layer.stride)
    elif layer.kind == LAYER_NORM:
        norm_block(kernels, FNN_LAYER_NORM_FORWARD, layer, x_rows, 0, rows, 0, layer.n_out, out,
                   layer.stride)
    else:
        activate_block(kernels, layer, x_rows, 0, rows, 0, layer.n_out)
        return
    activate(kernels, layer, 0, rows, 0, layer.n_out, out)  # of the loss, behind a last norm
