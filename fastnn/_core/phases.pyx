"""The phases of a plan: what one thread does with its slice of one layer.

Each function loops over the panels and chunks of its slice and calls the kernels, which loop over
elements. Shapes: x (batch, n_in), W (n_in, n_out), z = x W + b and a = f(z) (batch, n_out),
delta = dL/dz (batch, n_out).

    forward          a = f(x W + b)                       delta chain   dx = delta W^T
    weight gradient  dW = x^T delta                       bias gradient db = sum of delta's rows

No function allocates, fails or knows about threads.
"""

from libc.string cimport memcpy

from fastnn._core.fastnn cimport FNN_ACTIVATION_IDENTITY, FNN_ACTIVATION_RELU
from fastnn._core.kernels cimport (
    activation_backward,
    activation_forward,
    column_sums,
    evaluate_loss,
    multiply_batch,
    multiply_matrices,
    multiply_rows,
    sum_chunks,
    transpose,
    update_parameters,
)

PHASE_KINDS = ("gather", "forward", "partial", "reduce", "loss", "backward_input", "weight",
               "bias", "transpose")
UPDATE_MODES = ("none", "fused", "separate")
AXES = ("rows", "inputs", "outputs")

cdef inline Py_ssize_t panel_stride(const DenseLayer *layer, Py_ssize_t width) noexcept nogil:
    """Elements between two rows of a packed panel: its width in whole vectors."""
    return (width + layer.vector_width - 1) // layer.vector_width * layer.vector_width


cdef inline bint is_inlined(int activation) noexcept nogil:
    """Whether the register tile applies the activation itself."""
    return activation == FNN_ACTIVATION_IDENTITY or activation == FNN_ACTIVATION_RELU


# --- forward ---------------------------------------------------------------------------------

cdef void multiply_chunk(const Kernels *kernels, const DenseLayer *layer,
                         const real *const *x_rows, Py_ssize_t rows, Py_ssize_t panel,
                         Py_ssize_t start, real *z, bint accumulate, bint last) noexcept nogil:
    """z (+)= x[:, chunk] W[chunk, panel] for the chunk of inputs that begins at `start`."""
    cdef Py_ssize_t first = layer.panels[panel], width = layer.panels[panel + 1] - first
    cdef Py_ssize_t depth = min(layer.chunk, layer.n_in - start)
    cdef Py_ssize_t w_stride = panel_stride(layer, width) if layer.packed else layer.n_out
    cdef const real *w = <const real *>layer.weight
    cdef const real *bias = NULL
    w += (first * layer.n_in if layer.packed else first) + start * w_stride
    if last and layer.bias != NULL:
        bias = <const real *>layer.bias + first
    multiply_rows(kernels, x_rows, start, depth, w, w_stride, rows, width, z, layer.stride,
                  accumulate, bias, last and layer.activation == FNN_ACTIVATION_RELU,
                  <const real *>NULL)


cdef void forward_block(const Kernels *kernels, const DenseLayer *layer,
                        const real *const *x_rows, Py_ssize_t row_start, Py_ssize_t row_stop,
                        Py_ssize_t column_start, Py_ssize_t column_stop) noexcept nogil:
    """a[rows, columns] = f(x[rows] W[:, columns] + b[columns])."""
    cdef Py_ssize_t block, rows, panel, first, start
    cdef real *z
    for block from row_start <= block < row_stop by layer.row_block:
        rows = min(layer.row_block, row_stop - block)
        for panel in range(layer.n_panels):
            first = layer.panels[panel]
            if first < column_start or first >= column_stop:
                continue
            z = <real *>layer.output + block * layer.stride + first
            for start from 0 <= start < layer.n_in by layer.chunk:
                multiply_chunk(kernels, layer, x_rows + block, rows, panel, start, z, start > 0,
                               start + layer.chunk >= layer.n_in)
            if not (is_inlined(layer.activation) or layer.rowwise):
                activation_forward(kernels, layer.activation, z, z, layer.stride, rows,
                                   layer.panels[panel + 1] - first)
        if layer.rowwise:
            z = <real *>layer.output + block * layer.stride
            activation_forward(kernels, layer.activation, z, z, layer.stride, rows, layer.n_out)


cdef void forward_blas(const Kernels *kernels, const DenseLayer *layer, const real *x,
                       Py_ssize_t x_stride, Py_ssize_t batch, Py_ssize_t column_start,
                       Py_ssize_t column_stop) noexcept nogil:
    """The same for all rows by BLAS, in column blocks that do not depend on the threads."""
    cdef Py_ssize_t first, width
    cdef real *z
    cdef const real *bias
    for first from column_start <= first < column_stop by layer.blas_block:
        width = min(layer.blas_block, column_stop - first)
        z = <real *>layer.output + first
        bias = NULL if layer.bias == NULL else <const real *>layer.bias + first
        multiply_matrices(False, False, batch, width, layer.n_in, <real>1, x, x_stride,
                          <const real *>layer.weight + first, layer.n_out, <real>0, z,
                          layer.stride)
        sum_chunks(kernels, z, 0, 1, layer.stride, batch, width, bias,
                   layer.activation == FNN_ACTIVATION_RELU, z)
        if not is_inlined(layer.activation):
            activation_forward(kernels, layer.activation, z, z, layer.stride, batch, width)


cdef void partial_sums(const Kernels *kernels, const DenseLayer *layer, const real *const *x_rows,
                       Py_ssize_t batch, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """partial[c] = x[:, chunk c] W[chunk c] for the chunks of inputs in start..stop."""
    cdef Py_ssize_t chunk_start, panel, block
    cdef real *partial
    for chunk_start from start <= chunk_start < stop by layer.chunk:
        partial = <real *>layer.partial + chunk_start // layer.chunk * layer.partial_size
        for block from 0 <= block < batch by layer.row_block:
            for panel in range(layer.n_panels):
                multiply_chunk(kernels, layer, x_rows + block, min(layer.row_block, batch - block),
                               panel, chunk_start,
                               partial + block * layer.stride + layer.panels[panel], False, False)


cdef void reduce_rows(const Kernels *kernels, const DenseLayer *layer, Py_ssize_t start,
                      Py_ssize_t stop, const real *tag) noexcept nogil:
    """a[rows] = f(sum of the partial sums + b)."""
    cdef Py_ssize_t n_chunks = (layer.n_in + layer.chunk - 1) // layer.chunk
    cdef real *z = <real *>layer.output + start * layer.stride
    sum_chunks(kernels, <const real *>layer.partial + start * layer.stride, layer.partial_size,
               n_chunks, layer.stride, stop - start, layer.n_out, <const real *>layer.bias,
               layer.activation == FNN_ACTIVATION_RELU, z)
    if not is_inlined(layer.activation):
        activation_forward(kernels, layer.activation, z, z, layer.stride, stop - start,
                           layer.n_out)


cdef void loss_rows(const Step *step, const DenseLayer *layer, Py_ssize_t start, Py_ssize_t stop,
                    const real *const *x_rows) noexcept nogil:
    """The loss of each row, and delta = dL/dz of the last layer."""
    cdef Py_ssize_t offset = start * layer.stride
    cdef real *delta = <real *>layer.delta + offset
    cdef const real *output = <const real *>layer.output + offset
    cdef const int32_t *labels = NULL if step.labels == NULL else step.labels + start
    cdef const real *const *targets = NULL
    if step.target_rows != NULL:
        targets = <const real *const *>step.target_rows + start
    evaluate_loss(step.kernels, step.loss, output, delta, layer.stride, stop - start, layer.n_out,
                  labels, targets, step.scale, step.row_loss + start)
    if not step.merged:
        activation_backward(step.kernels, layer.activation, delta, output, layer.stride,
                            stop - start, layer.n_out)


# --- backward --------------------------------------------------------------------------------

cdef void backward_input_block(const Kernels *kernels, const DenseLayer *layer,
                               const DenseLayer *before, Py_ssize_t row_start,
                               Py_ssize_t row_stop, Py_ssize_t input_start,
                               Py_ssize_t input_stop, const real *tag) noexcept nogil:
    """before.delta[rows, inputs] = (delta[rows] W[inputs]^T) * f'(before.output)."""
    cdef const real *const *delta_rows = <const real *const *>layer.delta_rows
    cdef const real *wt
    cdef const real *output
    cdef real *dx
    cdef bint last
    cdef Py_ssize_t block, rows, panel, first, width, stride, start
    for block from row_start <= block < row_stop by layer.row_block:
        rows = min(layer.row_block, row_stop - block)
        for panel in range(layer.n_transposed_panels):
            first = layer.transposed_panels[panel]
            if first < input_start or first >= input_stop:
                continue
            width = layer.transposed_panels[panel + 1] - first
            stride = panel_stride(layer, width)
            wt = <const real *>layer.weight_transposed + first * layer.n_out
            dx = <real *>before.delta + block * before.stride + first
            output = <const real *>before.output + block * before.stride + first
            for start from 0 <= start < layer.n_out by layer.transposed_chunk:
                last = start + layer.transposed_chunk >= layer.n_out
                multiply_rows(kernels, delta_rows + block, start,
                              min(layer.transposed_chunk, layer.n_out - start),
                              wt + start * stride, stride, rows, width, dx, before.stride,
                              start > 0, <const real *>NULL, False,
                              output if last and before.activation == FNN_ACTIVATION_RELU
                              else <const real *>NULL)
            if not (is_inlined(before.activation) or before.rowwise):
                activation_backward(kernels, before.activation, dx, output, before.stride, rows,
                                    width)
        if before.rowwise:
            activation_backward(kernels, before.activation,
                                <real *>before.delta + block * before.stride,
                                <const real *>before.output + block * before.stride,
                                before.stride, rows, before.n_out)


cdef void backward_input_blas(const Kernels *kernels, const DenseLayer *layer,
                              const DenseLayer *before, Py_ssize_t row_start,
                              Py_ssize_t row_stop, Py_ssize_t input_start,
                              Py_ssize_t input_stop, const real *tag) noexcept nogil:
    """The same by BLAS, in blocks of inputs that do not depend on the threads."""
    cdef Py_ssize_t first, width, rows = row_stop - row_start
    cdef real *dx = <real *>before.delta + row_start * before.stride
    cdef const real *output = <const real *>before.output + row_start * before.stride
    for first from input_start <= first < input_stop by layer.blas_block:
        width = min(layer.blas_block, input_stop - first)
        multiply_matrices(False, True, rows, width, layer.n_out, <real>1,
                          <const real *>layer.delta + row_start * layer.stride, layer.stride,
                          <const real *>layer.weight + first * layer.n_out, layer.n_out, <real>0,
                          dx + first, before.stride)
        if not before.rowwise:
            activation_backward(kernels, before.activation, dx + first, output + first,
                                before.stride, rows, width)
    if before.rowwise:
        activation_backward(kernels, before.activation, dx, output, before.stride, rows,
                            before.n_out)


cdef void backward_input(const Kernels *kernels, const DenseLayer *layer,
                         const DenseLayer *before, Py_ssize_t row_start, Py_ssize_t row_stop,
                         Py_ssize_t input_start, Py_ssize_t input_stop,
                         const real *tag) noexcept nogil:
    if layer.blas:
        backward_input_blas(kernels, layer, before, row_start, row_stop, input_start, input_stop,
                            tag)
    else:
        backward_input_block(kernels, layer, before, row_start, row_stop, input_start,
                             input_stop, tag)


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
    """b[columns] -= learning_rate * db, or db alone."""
    cdef bint update = step.update != UPDATE_NONE
    cdef real *target = <real *>(layer.bias if update else layer.bias_grad)
    if layer.bias != NULL:
        column_sums(step.kernels, <const real *>layer.delta + start, layer.stride, step.batch,
                    stop - start, target + start, <real>(-step.learning_rate if update else 1),
                    <real>(1 if update else 0))


cdef void transpose_block(const Kernels *kernels, const DenseLayer *layer, Py_ssize_t start,
                          Py_ssize_t stop, const real *tag) noexcept nogil:
    """Copy W[inputs] into the panels of W^T."""
    cdef Py_ssize_t t_panel, panel, first, width, t_stride, column, w_stride
    cdef const real *w
    for t_panel in range(layer.n_transposed_panels):
        first = layer.transposed_panels[t_panel]
        if first < start or first >= stop:
            continue
        width = layer.transposed_panels[t_panel + 1] - first
        t_stride = panel_stride(layer, width)
        for panel in range(layer.n_panels):
            column = layer.panels[panel]
            w_stride = layer.n_out
            w = <const real *>layer.weight + column
            if layer.packed:
                w_stride = panel_stride(layer, layer.panels[panel + 1] - column)
                w = <const real *>layer.weight + column * layer.n_in
            transpose(kernels, w + first * w_stride, w_stride, width,
                      layer.panels[panel + 1] - column,
                      <real *>layer.weight_transposed + first * layer.n_out + column * t_stride,
                      t_stride)


# --- dispatch --------------------------------------------------------------------------------

cdef void run_phase(int kind, int axis, int layer_index, Py_ssize_t start, Py_ssize_t stop,
                    const Step *step, const real *const *x_rows) noexcept nogil:
    """Do one thread's slice, start..stop of `axis`, of one phase."""
    cdef const Kernels *kernels = step.kernels
    cdef const DenseLayer *layer = step.layers + layer_index
    cdef const DenseLayer *before = layer - 1 if layer_index else NULL
    cdef const real *x = <const real *>step.gathered
    cdef Py_ssize_t x_stride = step.gathered_stride, row
    cdef const real *const *rows = x_rows
    if layer_index:
        rows = <const real *const *>before.output_rows
        x = <const real *>before.output
        x_stride = before.stride
    if kind == GATHER:
        for row in range(start, stop):
            memcpy(<real *>step.gathered + row * step.gathered_stride, x_rows[row],
                   layer.n_in * sizeof(real))
    elif kind == FORWARD and layer.blas:
        forward_blas(kernels, layer, x, x_stride, step.batch, start, stop)
    elif kind == FORWARD and axis == ROWS:
        forward_block(kernels, layer, rows, start, stop, 0, layer.n_out)
    elif kind == FORWARD:
        forward_block(kernels, layer, rows, 0, step.batch, start, stop)
    elif kind == PARTIAL:
        partial_sums(kernels, layer, rows, step.batch, start, stop)
    elif kind == REDUCE:
        reduce_rows(kernels, layer, start, stop, x)
    elif kind == LOSS:
        loss_rows(step, layer, start, stop, x_rows)
    elif kind == BACKWARD_INPUT:
        if axis == ROWS:
            backward_input(kernels, layer, before, start, stop, 0, layer.n_in, x)
        else:
            backward_input(kernels, layer, before, 0, step.batch, start, stop, x)
    elif kind == WEIGHT and layer.blas:
        weight_blas(step, layer, x, x_stride, start, stop)
    elif kind == WEIGHT and axis == INPUTS:
        weight_block(step, layer, rows, start, stop, 0, layer.n_out)
    elif kind == WEIGHT:
        weight_block(step, layer, rows, 0, layer.n_in, start, stop)
    elif kind == BIAS:
        bias_block(step, layer, start, stop, x)
    elif kind == TRANSPOSE:
        transpose_block(kernels, layer, start, stop, x)
