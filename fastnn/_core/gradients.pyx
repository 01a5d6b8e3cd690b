"""Gradients of parameters and what becomes of them: dW = x^T delta, db, and the update.

Shapes: x (batch, n_in), delta (batch, n_out), dW (n_in, n_out), db (n_out).
"""

from fastnn._core.kernels cimport (
    column_sums,
    multiply_batch,
    multiply_matrices,
    product_sums,
    update_parameters,
)
from fastnn._core.structs cimport UPDATE_FUSED, UPDATE_NONE, UPDATE_SEPARATE, panel_stride


cdef void weight_block(const Step *step, const DenseLayer *layer, const real *const *x_rows,
                       Py_ssize_t input_start, Py_ssize_t input_stop, Py_ssize_t column_start,
                       Py_ssize_t column_stop) noexcept nogil:
    """W[inputs, columns] -= learning_rate * dW, or dW alone where the caller updates."""
    cdef bint fused = step.update == UPDATE_FUSED
    cdef real alpha = <real>-step.learning_rate if fused else <real>1
    cdef Py_ssize_t panel, first, width, stride, offset, start
    cdef real *target
    for panel in range(layer.n_panels):
        first = layer.panels[panel]
        if first < column_start or first >= column_stop:
            continue
        width = layer.panels[panel + 1] - first
        stride = panel_stride(layer, width) if layer.packed else layer.n_out
        offset = (first * layer.n_in if layer.packed else first) + input_start * stride
        target = <real *>(layer.weight if fused else layer.weight_grad) + offset
        for start from 0 <= start < step.batch by layer.batch_chunk:
            multiply_batch(step.kernels, x_rows + start, input_start,
                           min(layer.batch_chunk, step.batch - start),
                           <const real *>layer.delta + start * layer.stride + first,
                           layer.stride, input_stop - input_start, width, target, stride, alpha,
                           <real>(1 if fused or start > 0 else 0))
        if step.update == UPDATE_SEPARATE:
            update_block(step, <real *>layer.weight + offset, <real *>layer.weight_grad + offset,
                         stride, input_stop - input_start,
                         stride if layer.packed else width)


cdef void update_block(const Step *step, real *weight, const real *gradient, Py_ssize_t stride,
                       Py_ssize_t rows, Py_ssize_t width) noexcept nogil:
    """One optimizer step over a block of parameters; one call where its rows adjoin."""
    cdef Py_ssize_t row
    if stride == width:
        width = rows * stride
        rows = 1
    for row in range(rows):
        update_parameters(step.kernels, step.optimizer, weight + row * stride,
                          gradient + row * stride, width, <real>-step.learning_rate, <real>1)


cdef void weight_blas(const Step *step, const DenseLayer *layer, const real *x,
                      Py_ssize_t x_stride, Py_ssize_t column_start,
                      Py_ssize_t column_stop) noexcept nogil:
    """The same for all inputs by BLAS, whose beta makes the update part of the product."""
    cdef bint update = step.update != UPDATE_NONE
    cdef real *target = <real *>(layer.weight if update else layer.weight_grad)
    cdef Py_ssize_t first
    for first from column_start <= first < column_stop by layer.blas_block:
        multiply_matrices(True, False, layer.n_in, min(layer.blas_block, column_stop - first),
                          step.batch, <real>(-step.learning_rate if update else 1), x, x_stride,
                          <const real *>layer.delta + first, layer.stride,
                          <real>(1 if update else 0), target + first, layer.n_out)


cdef void bias_block(const Step *step, const DenseLayer *layer, Py_ssize_t start, Py_ssize_t stop,
                     const real *tag) noexcept nogil:
    """b[columns] -= learning_rate * db, or db alone; b is the shift of norms."""
    cdef bint update = step.update != UPDATE_NONE
    cdef real *target = <real *>(layer.bias if update else layer.bias_grad)
    if layer.bias != NULL:
        column_sums(step.kernels, <const real *>layer.delta + start, layer.stride, step.batch,
                    stop - start, target + start, <real>(-step.learning_rate if update else 1),
                    <real>(1 if update else 0))


cdef void gain_block(const Step *step, const DenseLayer *layer, Py_ssize_t start, Py_ssize_t stop,
                     const real *tag) noexcept nogil:
    """The same for the gain of a norm: the sum over the rows of delta * normalized."""
    cdef bint update = step.update != UPDATE_NONE
    cdef real *target = <real *>(layer.weight if update else layer.weight_grad)
    product_sums(step.kernels, <const real *>layer.delta + start,
                 <const real *>layer.normalized + start, layer.stride, step.batch, stop - start,
                 target + start, <real>(-step.learning_rate if update else 1),
                 <real>(1 if update else 0))
