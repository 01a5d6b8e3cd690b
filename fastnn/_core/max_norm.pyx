"""Max-norm: columns of W, the weights that lead to one unit, are no longer than a limit.

Squares are summed over chunks of the inputs, row after row, and the sums added in ascending order,
as z = x W sums: the bits are the same whoever owns which rows or columns.
"""

from fastnn._core.kernels cimport limit_columns, product_sums, sum_chunks
from fastnn._core.structs cimport COLUMN_SQUARES, INPUTS, weight_offset, weight_stride


cdef void limit_block(const Step *step, const Layer *layer, int kind, int axis, Py_ssize_t start,
                      Py_ssize_t stop, const real *tag) noexcept nogil:
    """COLUMN_SQUARES or MAX_NORM of one thread: of rows of all panels, or of all rows of some."""
    cdef bint by_rows = axis == INPUTS
    cdef Py_ssize_t row = start if by_rows else 0, last_row = stop if by_rows else layer.n_in
    cdef Py_ssize_t panel, first, width, stride
    cdef real *weight
    for panel in range(layer.n_panels):
        first = layer.panels[panel]
        if not by_rows and not start <= first < stop:
            continue
        width = layer.panels[panel + 1] - first
        stride = weight_stride(layer, width)
        weight = <real *>layer.weight + weight_offset(layer, first)
        if kind == COLUMN_SQUARES:
            square_panel(step, layer, weight, stride, row, last_row, first, width)
        else:
            limit_panel(step, layer, weight, stride, row, last_row, first, width)


cdef void square_panel(const Step *step, const Layer *layer, const real *weight,
                       Py_ssize_t stride, Py_ssize_t row, Py_ssize_t last_row, Py_ssize_t first,
                       Py_ssize_t width) noexcept nogil:
    """Sums of squares over the chunks of these rows, for each column of one panel."""
    cdef const real *chunk
    cdef Py_ssize_t start
    for start from row <= start < last_row by layer.chunk:
        chunk = weight + start * stride
        product_sums(step.kernels, chunk, chunk, stride, min(layer.chunk, layer.n_in - start),
                     width, <real *>layer.squares + start // layer.chunk * layer.stride + first,
                     <real>1, <real>0)


cdef void limit_panel(const Step *step, const Layer *layer, real *weight, Py_ssize_t stride,
                      Py_ssize_t row, Py_ssize_t last_row, Py_ssize_t first,
                      Py_ssize_t width) noexcept nogil:
    """Scale back these rows of each column of one panel that is too long."""
    cdef Py_ssize_t n_chunks = (layer.n_in + layer.chunk - 1) // layer.chunk
    cdef real *squares = <real *>step.block
    sum_chunks(step.kernels, <const real *>layer.squares + first, layer.stride, n_chunks,
               layer.stride, 1, width, <const real *>NULL, False, squares)
    limit_columns(step.kernels, weight + row * stride, stride, last_row - row, width, squares,
                  layer.max_norm)
