"""The delta chain: dL/dz of the layer before, (delta W^T) f'(a), and the copy of W^T it reads.

Shapes: delta (batch, n_out), W (n_in, n_out), before.delta (batch, n_in).
"""

from fastnn._core.fastnn cimport FNN_ACTIVATION_RELU
from fastnn._core.kernels cimport activation_backward, multiply_matrices, multiply_rows, transpose
from fastnn._core.structs cimport is_inlined, panel_stride, weight_offset, weight_stride


cdef void transpose_block(const Kernels *kernels, const Layer *layer, Py_ssize_t start,
                          Py_ssize_t stop, const real *tag) noexcept nogil:
    """Copy W[inputs] into the panels of W^T."""
    cdef Py_ssize_t t_panel, panel, t_first, first, rows, t_stride, column, w_stride
    cdef const real *w
    for t_panel in range(layer.n_transposed_panels):
        t_first = layer.transposed_panels[t_panel]
        first = max(start, t_first)
        rows = min(stop, layer.transposed_panels[t_panel + 1]) - first
        if rows <= 0:
            continue
        t_stride = panel_stride(layer, layer.transposed_panels[t_panel + 1] - t_first)
        for panel in range(layer.n_panels):
            column = layer.panels[panel]
            w_stride = weight_stride(layer, layer.panels[panel + 1] - column)
            w = <const real *>layer.weight + weight_offset(layer, column)
            transpose(kernels, w + first * w_stride, w_stride, rows,
                      layer.panels[panel + 1] - column,
                      <real *>layer.weight_transposed + t_first * layer.n_out + column * t_stride
                      + first - t_first, t_stride)


cdef void differentiate(const Kernels *kernels, const Layer *layer, Py_ssize_t row,
                        Py_ssize_t rows, Py_ssize_t column, Py_ssize_t columns,
                        const real *tag) noexcept nogil:
    """delta: dL/da to dL/dz, in a block that begins at `row` and `column`."""
    cdef Py_ssize_t offset = row * layer.stride + column
    cdef const real *coefficients = <const real *>layer.coefficients
    cdef real *coefficient_delta = <real *>layer.coefficient_delta
    if coefficients != NULL:
        coefficients += column
    if coefficient_delta != NULL:
        coefficient_delta += offset
    activation_backward(kernels, layer.activation, <real *>layer.delta + offset,
                        <const real *>layer.source + offset, layer.stride, rows, columns,
                        coefficients, coefficient_delta)


cdef void backward_input_block(const Kernels *kernels, const Layer *layer,
                               const Layer *before, Py_ssize_t row_start,
                               Py_ssize_t row_stop, Py_ssize_t input_start,
                               Py_ssize_t input_stop, const real *tag) noexcept nogil:
    """before.delta[rows, inputs] = (delta[rows] W[inputs]^T) * f'(before.source)."""
    cdef const real *const *delta_rows = <const real *const *>layer.delta_rows
    cdef const real *wt
    cdef const real *gate
    cdef real *dx
    cdef bint last
    cdef Py_ssize_t block, rows, panel, first, width, stride, start
    for block from row_start <= block < row_stop by layer.row_block:
        rows = min(layer.row_block, row_stop - block)
        for start from 0 <= start < layer.n_out by layer.transposed_chunk:
            last = start + layer.transposed_chunk >= layer.n_out
            for panel in range(layer.n_transposed_panels):
                first = layer.transposed_panels[panel]
                if first < input_start or first >= input_stop:
                    continue
                width = layer.transposed_panels[panel + 1] - first
                stride = panel_stride(layer, width)
                wt = <const real *>layer.weight_transposed + first * layer.n_out
                dx = <real *>before.delta + block * before.stride + first
                gate = <const real *>before.source + block * before.stride + first
                multiply_rows(kernels, delta_rows + block, start,
                              min(layer.transposed_chunk, layer.n_out - start),
                              wt + start * stride, stride, rows, width, dx, before.stride,
                              start > 0, <const real *>NULL, False,
                              gate if last and before.activation == FNN_ACTIVATION_RELU
                              else <const real *>NULL, NULL)
                if last and not (is_inlined(before.activation) or before.rowwise):
                    differentiate(kernels, before, block, rows, first, width, dx)
        if before.rowwise:
            differentiate(kernels, before, block, rows, 0, before.n_out, dx)


cdef void backward_input_blas(const Kernels *kernels, const Layer *layer,
                              const Layer *before, Py_ssize_t row_start,
                              Py_ssize_t row_stop, Py_ssize_t input_start,
                              Py_ssize_t input_stop, const real *tag) noexcept nogil:
    """The same by BLAS, in blocks of inputs that do not depend on the threads."""
    cdef Py_ssize_t first, width, rows = row_stop - row_start
    cdef real *dx = <real *>before.delta + row_start * before.stride
    for first from input_start <= first < input_stop by layer.blas_block:
        width = min(layer.blas_block, input_stop - first)
        multiply_matrices(False, True, rows, width, layer.n_out, <real>1,
                          <const real *>layer.delta + row_start * layer.stride, layer.stride,
                          <const real *>layer.weight + first * layer.n_out, layer.n_out, <real>0,
                          dx + first, before.stride)
        if not before.rowwise:
            differentiate(kernels, before, row_start, rows, first, width, tag)
    if before.rowwise:
        differentiate(kernels, before, row_start, rows, 0, before.n_out, tag)


cdef void backward_input(const Kernels *kernels, const Layer *layer,
                         const Layer *before, Py_ssize_t row_start, Py_ssize_t row_stop,
                         Py_ssize_t input_start, Py_ssize_t input_stop,
                         const real *tag) noexcept nogil:
    if layer.blas:
        backward_input_blas(kernels, layer, before, row_start, row_stop, input_start, input_stop,
                            tag)
    else:
        backward_input_block(kernels, layer, before, row_start, row_stop, input_start,
                             input_stop, tag)
