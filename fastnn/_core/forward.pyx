"""Forward phases: a = f(x W + b), whole or as partial sums over chunks of the inputs.

Shapes: x (batch, n_in), W (n_in, n_out), a (batch, n_out). Each function loops over the panels and
chunks of one thread's slice and calls the kernels, which loop over elements.
"""

from libc.stdint cimport uint64_t

from fastnn._core.fastnn cimport FNN_ACTIVATION_RELU
from fastnn._core.kernels cimport (
    activation_forward,
    find_row_terms,
    multiply_matrices,
    multiply_row,
    multiply_rows,
    sum_chunks,
)
from fastnn._core.structs cimport TERM_WORDS, is_inlined, weight_offset, weight_stride

cdef enum:
    MIN_SAMPLED_ROWS = 12
    SAMPLED_ROWS = 96


cdef bint has_many_zeros(const Kernels *kernels, const Layer *layer, const char *x,
                         Py_ssize_t row_bytes, Py_ssize_t n_rows,
                         const real *tag) noexcept nogil:
    """Whether tiles leave out a quarter of their terms or more, by a sample of the rows of x."""
    cdef const real *rows[SAMPLED_ROWS]
    cdef uint64_t scratch[TERM_WORDS]
    cdef Py_ssize_t n = min(n_rows, max(MIN_SAMPLED_ROWS, min(SAMPLED_ROWS, n_rows // 8)))
    cdef Py_ssize_t n_tiles = (n + kernels.f32.tile_rows - 1) // kernels.f32.tile_rows
    cdef Py_ssize_t i, start, n_terms = 0
    for i in range(n):
        rows[i] = <const real *>(x + n_rows * i // n * row_bytes)
    for start from 0 <= start < layer.n_in by layer.chunk:
        n_terms += find_row_terms(kernels, rows, start, min(layer.chunk, layer.n_in - start), n,
                                  scratch)
    return 4 * n_terms <= 3 * n_tiles * layer.n_in


cdef const uint64_t *find_inputs(const Kernels *kernels, const Layer *layer,
                                 const real *const *x_rows, Py_ssize_t rows, Py_ssize_t start,
                                 uint64_t *scratch) noexcept nogil:
    """Which inputs of the chunk that begins at `start` count; NULL: all of them."""
    if not layer.tile_skips_zeros:
        return NULL
    find_row_terms(kernels, x_rows, start, min(layer.chunk, layer.n_in - start), rows, scratch)
    return scratch


cdef void multiply_chunk(const Kernels *kernels, const Layer *layer,
                         const real *const *x_rows, Py_ssize_t rows, Py_ssize_t panel,
                         Py_ssize_t start, real *z, bint accumulate, bint last,
                         const uint64_t *terms) noexcept nogil:
    """z (+)= x[:, chunk] W[chunk, panel] for the chunk of inputs that begins at `start`."""
    cdef Py_ssize_t first = layer.panels[panel], width = layer.panels[panel + 1] - first
    cdef Py_ssize_t depth = min(layer.chunk, layer.n_in - start)
    cdef Py_ssize_t w_stride = weight_stride(layer, width)
    cdef const real *w = <const real *>layer.weight + weight_offset(layer, first)
    cdef const real *bias = NULL
    if last and layer.bias != NULL:
        bias = <const real *>layer.bias + first
    multiply_rows(kernels, x_rows, start, depth, w + start * w_stride, w_stride, rows, width, z,
                  layer.stride, accumulate, bias, last and layer.activation == FNN_ACTIVATION_RELU,
                  <const real *>NULL, terms)


cdef void activate(const Kernels *kernels, const Layer *layer, Py_ssize_t row,
                   Py_ssize_t rows, Py_ssize_t column, Py_ssize_t columns,
                   const real *tag) noexcept nogil:
    """a = f(z) for a block that begins at `row` and `column`; in place where source is output."""
    cdef Py_ssize_t offset = row * layer.stride + column
    cdef const real *coefficients = <const real *>layer.coefficients
    if coefficients != NULL:
        coefficients += column
    activation_forward(kernels, layer.activation, <const real *>layer.source + offset,
                       <real *>layer.output + offset, layer.stride, rows, columns, coefficients)


cdef void activate_panel(const Kernels *kernels, const Layer *layer, Py_ssize_t row,
                         Py_ssize_t rows, Py_ssize_t panel, const real *tag) noexcept nogil:
    """The same for one panel, where neither the tile has done it nor it takes whole rows."""
    cdef Py_ssize_t first = layer.panels[panel]
    if not (is_inlined(layer.activation) or layer.rowwise):
        activate(kernels, layer, row, rows, first, layer.panels[panel + 1] - first, tag)


cdef void forward_row(const Kernels *kernels, const Layer *layer, const real *x, Py_ssize_t row,
                      Py_ssize_t column_start, Py_ssize_t column_stop) noexcept nogil:
    """a[row, columns] = f(x W[:, columns] + b[columns])."""
    cdef Py_ssize_t panel, first, width
    for panel in range(layer.n_panels):
        first = layer.panels[panel]
        if first < column_start or first >= column_stop:
            continue
        width = layer.panels[panel + 1] - first
        multiply_row(kernels, x, layer.n_in, layer.chunk,
                     <const real *>layer.weight + weight_offset(layer, first),
                     weight_stride(layer, width), width,
                     <real *>layer.source + row * layer.stride + first,
                     <const real *>NULL if layer.bias == NULL
                     else <const real *>layer.bias + first,
                     layer.activation == FNN_ACTIVATION_RELU, layer.row_skips_zeros)
        activate_panel(kernels, layer, row, 1, panel, x)


cdef void forward_rows(const Kernels *kernels, const Layer *layer, const real *const *x_rows,
                       Py_ssize_t block, Py_ssize_t rows, Py_ssize_t column_start,
                       Py_ssize_t column_stop) noexcept nogil:
    """The same for some rows, chunk by chunk: one of all rows stays in cache while panels pass."""
    cdef Py_ssize_t start, panel, first
    cdef bint last
    cdef real *z = <real *>layer.source + block * layer.stride
    cdef uint64_t scratch[TERM_WORDS]
    cdef const uint64_t *terms
    for start from 0 <= start < layer.n_in by layer.chunk:
        last = start + layer.chunk >= layer.n_in
        terms = find_inputs(kernels, layer, x_rows + block, rows, start, scratch)
        for panel in range(layer.n_panels):
            first = layer.panels[panel]
            if first < column_start or first >= column_stop:
                continue
            multiply_chunk(kernels, layer, x_rows + block, rows, panel, start, z + first,
                           start > 0, last, terms)
            if last:
                activate_panel(kernels, layer, block, rows, panel, z)


cdef void forward_block(const Kernels *kernels, const Layer *layer,
                        const real *const *x_rows, Py_ssize_t row_start, Py_ssize_t row_stop,
                        Py_ssize_t column_start, Py_ssize_t column_stop) noexcept nogil:
    """a[rows, columns] = f(x[rows] W[:, columns] + b[columns])."""
    cdef Py_ssize_t block, rows
    for block from row_start <= block < row_stop by layer.row_block:
        rows = min(layer.row_block, row_stop - block)
        if rows == 1:
            forward_row(kernels, layer, x_rows[block], block, column_start, column_stop)
        else:
            forward_rows(kernels, layer, x_rows, block, rows, column_start, column_stop)
        if layer.rowwise:
            activate(kernels, layer, block, rows, 0, layer.n_out, x_rows[block])


cdef void forward_blas(const Kernels *kernels, const Layer *layer, const real *x,
                       Py_ssize_t x_stride, Py_ssize_t batch, Py_ssize_t column_start,
                       Py_ssize_t column_stop) noexcept nogil:
    """The same for all rows by BLAS, in column blocks that do not depend on the threads."""
    cdef Py_ssize_t first, width
    cdef real *z
    cdef const real *bias
    for first from column_start <= first < column_stop by layer.blas_block:
        width = min(layer.blas_block, column_stop - first)
        z = <real *>layer.source + first
        bias = NULL if layer.bias == NULL else <const real *>layer.bias + first
        multiply_matrices(False, False, batch, width, layer.n_in, <real>1, x, x_stride,
                          <const real *>layer.weight + first, layer.n_out, <real>0, z,
                          layer.stride)
        sum_chunks(kernels, z, 0, 1, layer.stride, batch, width, bias,
                   layer.activation == FNN_ACTIVATION_RELU, z)
        if not is_inlined(layer.activation):
            activate(kernels, layer, 0, batch, first, width, z)


cdef void partial_sums(const Kernels *kernels, const Layer *layer, const real *const *x_rows,
                       Py_ssize_t batch, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """partial[c] = x[:, chunk c] W[chunk c] for the chunks of inputs in start..stop."""
    cdef Py_ssize_t chunk_start, panel, block, rows
    cdef real *partial
    cdef uint64_t scratch[TERM_WORDS]
    cdef const uint64_t *terms
    for chunk_start from start <= chunk_start < stop by layer.chunk:
        partial = <real *>layer.partial + chunk_start // layer.chunk * layer.partial_size
        for block from 0 <= block < batch by layer.row_block:
            rows = min(layer.row_block, batch - block)
            terms = find_inputs(kernels, layer, x_rows + block, rows, chunk_start, scratch)
            for panel in range(layer.n_panels):
                multiply_chunk(kernels, layer, x_rows + block, rows, panel, chunk_start,
                               partial + block * layer.stride + layer.panels[panel], False, False,
                               terms)


cdef void reduce_rows(const Kernels *kernels, const Layer *layer, Py_ssize_t start,
                      Py_ssize_t stop, const real *tag) noexcept nogil:
    """a[rows] = f(sum of the partial sums + b)."""
    cdef Py_ssize_t n_chunks = (layer.n_in + layer.chunk - 1) // layer.chunk
    cdef real *z = <real *>layer.source + start * layer.stride
    sum_chunks(kernels, <const real *>layer.partial + start * layer.stride, layer.partial_size,
               n_chunks, layer.stride, stop - start, layer.n_out, <const real *>layer.bias,
               layer.activation == FNN_ACTIVATION_RELU, z)
    if not is_inlined(layer.activation):
        activate(kernels, layer, start, stop - start, 0, layer.n_out, z)
