"""Max-norm: columns of W, the weights that lead to one unit, are no longer than a limit.

Squares are summed over chunks of the inputs, row after row, and the sums added in ascending order,
as z = x W sums: the bits are the same whoever owns which rows or columns.
"""

from fastnn._core.kernels cimport limit_columns, product_sums, sum_chunks
from fastnn._core.structs cimport INPUTS, panel_stride

ctypedef struct Block:
    # One thread's part of W: rows of all panels, or all rows of some.
    Py_ssize_t row, last_row, column, last_column


cdef Block find_block(const Layer *layer, int axis, Py_ssize_t start,
                      Py_ssize_t stop) noexcept nogil:
    if axis == INPUTS:
        return Block(start, stop, 0, layer.n_out)
    return Block(0, layer.n_in, start, stop)


cdef real *find_panel(const Layer *layer, Py_ssize_t first, const real *tag) noexcept nogil:
    """Where the panel begins whose first column is `first`."""
    return <real *>layer.weight + (first * layer.n_in if layer.packed else first)


cdef void square_columns(const Step *step, const Layer *layer, int axis, Py_ssize_t start,
                         Py_ssize_t stop, const real *tag) noexcept nogil:
    """Sums of squares over this thread's chunks of each column, or all chunks of its columns."""
    cdef Block block = find_block(layer, axis, start, stop)
    cdef Py_ssize_t panel, first, width, stride, row, rows
    cdef const real *weight
    for panel in range(layer.n_panels):
        first = layer.panels[panel]
        if not block.column <= first < block.last_column:
            continue
        width = layer.panels[panel + 1] - first
        stride = panel_stride(layer, width) if layer.packed else layer.n_out
        for row from block.row <= row < block.last_row by layer.chunk:
            rows = min(layer.chunk, layer.n_in - row)
            weight = find_panel(layer, first, tag) + row * stride
            product_sums(step.kernels, weight, weight, stride, rows, width,
                         <real *>layer.squares + row // layer.chunk * layer.stride + first,
                         <real>1, <real>0)


cdef void limit_norms(const Step *step, const Layer *layer, int axis, Py_ssize_t start,
                      Py_ssize_t stop, const real *tag) noexcept nogil:
    """Scale back this thread's part of each column that is too long."""
    cdef Block block = find_block(layer, axis, start, stop)
    cdef Py_ssize_t n_chunks = (layer.n_in + layer.chunk - 1) // layer.chunk
    cdef Py_ssize_t panel, first, width, stride
    cdef real *squares = <real *>step.block
    for panel in range(layer.n_panels):
        first = layer.panels[panel]
        if not block.column <= first < block.last_column:
            continue
        width = layer.panels[panel + 1] - first
        stride = panel_stride(layer, width) if layer.packed else layer.n_out
        sum_chunks(step.kernels, <const real *>layer.squares + first, layer.stride, n_chunks,
                   layer.stride, 1, width, <const real *>NULL, False, squares)
        limit_columns(step.kernels, find_panel(layer, first, tag) + block.row * stride, stride,
                      block.last_row - block.row, width, squares, layer.max_norm)
