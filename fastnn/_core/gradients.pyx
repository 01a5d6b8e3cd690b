"""Gradients of parameters and what becomes of them: dW = x^T delta, db, and the update.

Shapes: x (batch, n_in), delta (batch, n_out), dW (n_in, n_out), db (n_out).

Plain SGD is part of the tile that computes dW (`UPDATE_FUSED`). Every other optimizer is handed dW
in blocks of some rows of a panel, each while it is in the first-level cache (`UPDATE_BLOCKED`), so
that no gradient of the size of W is ever written to memory. Layers that use BLAS are the exception:
BLAS is at its best with large products. Where all gradients must be there before the first update
(`UPDATE_SEPARATE`), they are kept, and updates are phases of their own (`clipping.pyx`).

Rejected: the optimizers inside the tile. There would be a tile for each of them, and no registers
left for its state.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from fastnn._core.fastnn cimport FNN_MAX_SLOTS
from fastnn._core.kernels cimport (
    add_penalty,
    column_sums,
    find_batch_terms,
    find_nonfinite_in,
    multiply_batch,
    multiply_matrices,
    product_sums,
    update_parameters,
)
from fastnn._core.structs cimport (
    TERM_WORDS,
    UPDATE_BLOCKED,
    UPDATE_FUSED,
    panel_stride,
    weight_offset,
    weight_stride,
)


cdef void weight_block(const Step *step, const Layer *layer, const real *const *x_rows,
                       Py_ssize_t input_start, Py_ssize_t input_stop, Py_ssize_t column_start,
                       Py_ssize_t column_stop) noexcept nogil:
    """The gradient of W[inputs, columns] and the update, or the gradient alone.

    The columns of x that a block of inputs needs stay in cache while the panels pass by. Zeros of x
    are not left out beside a delta that is not finite: times 0 it is NaN, in its column alone.
    """
    cdef Py_ssize_t panel, first, block, rows, size = layer.input_block
    cdef uint64_t scratch[TERM_WORDS]
    cdef uint64_t *terms = NULL
    if (layer.tile_skips_zeros and count_term_words(layer, step.batch) <= TERM_WORDS
            and is_delta_finite(step, layer, column_start, column_stop - column_start,
                                <const real *>layer.delta)):
        terms = scratch
        size = layer.update_block
    if layer.delta_panels != NULL:
        for panel in range(layer.n_panels):
            if column_start <= layer.panels[panel] < column_stop:
                copy_delta(step, layer, panel, <const real *>layer.delta)
    for block from input_start <= block < input_stop by size:
        rows = min(size, input_stop - block)
        if terms != NULL:
            find_batch_rows(step, layer, x_rows, block, rows, terms)
        for panel in range(layer.n_panels):
            first = layer.panels[panel]
            if column_start <= first < column_stop:
                weight_panel(step, layer, x_rows, block, rows, first,
                             layer.panels[panel + 1] - first, terms)


cdef bint is_delta_finite(const Step *step, const Layer *layer, Py_ssize_t first,
                          Py_ssize_t width, const real *delta) noexcept nogil:
    """Whether there is no NaN or infinity in these columns of delta."""
    cdef Py_ssize_t row
    for row in range(step.batch):
        if find_nonfinite_in(step.kernels, delta + row * layer.stride + first, width) >= 0:
            return False
    return True


cdef Py_ssize_t count_term_words(const Layer *layer, Py_ssize_t batch) noexcept nogil:
    """Words for which rows of a batch count in the tiles of one block of updates."""
    return (batch + layer.batch_chunk - 1) // layer.batch_chunk * layer.term_words


cdef void find_batch_rows(const Step *step, const Layer *layer, const real *const *x_rows,
                          Py_ssize_t input_start, Py_ssize_t rows,
                          uint64_t *terms) noexcept nogil:
    """Those words, for each chunk of the batch."""
    cdef Py_ssize_t start
    for start from 0 <= start < step.batch by layer.batch_chunk:
        find_batch_terms(step.kernels, x_rows + start, input_start,
                         min(layer.batch_chunk, step.batch - start), rows,
                         terms + start // layer.batch_chunk * layer.term_words)


cdef void copy_delta(const Step *step, const Layer *layer, Py_ssize_t panel,
                     const real *delta) noexcept nogil:
    """A panel of delta, for rows that otherwise lie a page of memory apart."""
    cdef Py_ssize_t first = layer.panels[panel], width = layer.panels[panel + 1] - first, row
    cdef Py_ssize_t stride = panel_stride(layer, width)
    cdef real *copied = <real *>layer.delta_panels + first * step.batch
    for row in range(step.batch):
        memcpy(copied + row * stride, delta + row * layer.stride + first, width * sizeof(real))


cdef void weight_panel(const Step *step, const Layer *layer, const real *const *x_rows,
                       Py_ssize_t input_start, Py_ssize_t rows, Py_ssize_t first,
                       Py_ssize_t width, const uint64_t *terms) noexcept nogil:
    """The same for some rows of one panel: of no more than one block of updates, given terms."""
    cdef Py_ssize_t stride = weight_stride(layer, width)
    cdef Py_ssize_t offset = weight_offset(layer, first) + input_start * stride
    cdef real *gradient
    if step.update == UPDATE_FUSED:
        multiply_panel(step, layer, x_rows, input_start, rows, first, width,
                       <real *>layer.weight + offset, stride,
                       <real>-step.coefficients.rate, <real>step.coefficients.keep, terms)
    elif step.update == UPDATE_BLOCKED:
        update_panel(step, layer, x_rows, input_start, rows, first, width, offset, stride,
                     terms)
    else:
        gradient = <real *>layer.weight_grad + input_start * layer.n_out + first
        multiply_panel(step, layer, x_rows, input_start, rows, first, width, gradient,
                       layer.n_out, <real>1, <real>0, terms)
        penalise_block(step, layer, <const real *>layer.weight + offset, stride, gradient,
                       rows, width)


cdef void multiply_panel(const Step *step, const Layer *layer, const real *const *x_rows,
                         Py_ssize_t input_start, Py_ssize_t rows, Py_ssize_t first,
                         Py_ssize_t width, real *out, Py_ssize_t stride, real alpha,
                         real beta, const uint64_t *terms) noexcept nogil:
    """out = alpha * dW + beta * out for some rows of one panel, summed in chunks of the batch."""
    cdef Py_ssize_t start, delta_stride = layer.stride
    cdef const real *delta = <const real *>layer.delta + first
    if layer.delta_panels != NULL:
        delta = <const real *>layer.delta_panels + first * step.batch
        delta_stride = panel_stride(layer, width)
    for start from 0 <= start < step.batch by layer.batch_chunk:
        multiply_batch(step.kernels, x_rows + start, input_start,
                       min(layer.batch_chunk, step.batch - start),
                       delta + start * delta_stride, delta_stride, rows, width, out, stride,
                       alpha, beta if start == 0 else <real>1,
                       NULL if terms == NULL
                       else terms + start // layer.batch_chunk * layer.term_words)


cdef void update_panel(const Step *step, const Layer *layer, const real *const *x_rows,
                       Py_ssize_t input_start, Py_ssize_t rows, Py_ssize_t first,
                       Py_ssize_t width, Py_ssize_t offset, Py_ssize_t stride,
                       const uint64_t *terms) noexcept nogil:
    """Some rows of one panel, block by block: dW into scratch, then the optimizer.

    What fills up the panel's last vector has a gradient of zero, and so stays zero.
    """
    cdef real *gradient = <real *>step.block
    cdef Py_ssize_t row, n, gradient_stride = panel_stride(layer, width)
    if width < gradient_stride:
        memset(gradient, 0, layer.update_block * gradient_stride * sizeof(real))
    for row from 0 <= row < rows by layer.update_block:
        n = min(layer.update_block, rows - row)
        multiply_panel(step, layer, x_rows, input_start + row, n, first, width, gradient,
                       gradient_stride, <real>1, <real>0, terms)
        update_block(step, layer, offset + row * stride, stride, gradient, gradient_stride, n,
                     gradient_stride if layer.packed else width, layer.l1, layer.l2)


cdef void update_block(const Step *step, const Layer *layer, Py_ssize_t offset,
                       Py_ssize_t stride, const real *gradient, Py_ssize_t gradient_stride,
                       Py_ssize_t rows, Py_ssize_t width, double l1, double l2) noexcept nogil:
    """One optimizer step over a block of W; one call of the kernel where its rows adjoin."""
    cdef real *slots[FNN_MAX_SLOTS]
    cdef Py_ssize_t row
    cdef int k
    if stride == width and gradient_stride == width:
        width = rows * width
        rows = 1
    for row in range(rows):
        for k in range(FNN_MAX_SLOTS):
            slots[k] = <real *>layer.weight_slots[k] + offset + row * stride
        update_parameters(step.kernels, step.optimizer,
                          <real *>layer.weight + offset + row * stride,
                          gradient + row * gradient_stride, slots, width, step.coefficients, l1,
                          l2, step.gradient_scale)


cdef void penalise_block(const Step *step, const Layer *layer, const real *weight,
                         Py_ssize_t stride, real *gradient, Py_ssize_t rows,
                         Py_ssize_t width) noexcept nogil:
    """Add the gradient of the penalty to a block of dW that is kept."""
    cdef Py_ssize_t row
    if layer.l1 != 0 or layer.l2 != 0:
        for row in range(rows):
            add_penalty(step.kernels, weight + row * stride, gradient + row * layer.n_out, width,
                        layer.l1, layer.l2)


cdef void weight_blas(const Step *step, const Layer *layer, const real *x,
                      Py_ssize_t x_stride, Py_ssize_t column_start,
                      Py_ssize_t column_stop) noexcept nogil:
    """The same for all inputs by BLAS, whose beta makes plain SGD part of the product."""
    cdef bint fused = step.update == UPDATE_FUSED
    cdef real *out
    cdef Py_ssize_t first, width
    for first from column_start <= first < column_stop by layer.blas_block:
        width = min(layer.blas_block, column_stop - first)
        out = <real *>(layer.weight if fused else layer.weight_grad) + first
        multiply_matrices(True, False, layer.n_in, width, step.batch,
                          <real>(-step.coefficients.rate if fused else 1), x, x_stride,
                          <const real *>layer.delta + first, layer.stride,
                          <real>(step.coefficients.keep if fused else 0), out, layer.n_out)
        if step.update == UPDATE_BLOCKED:
            update_block(step, layer, first, layer.n_out, out, layer.n_out, layer.n_in, width,
                         layer.l1, layer.l2)
        elif not fused:
            penalise_block(step, layer, <const real *>layer.weight + first, layer.n_out, out,
                           layer.n_in, width)


cdef void update_vector(const Step *step, real *value, Py_ssize_t n) noexcept nogil:
    """One optimizer step over n neighbouring parameters.

    For parameters that stay where they lie in the network's arena (biases, slopes, gains): their
    gradients and state lie at the same place of the other arenas.
    """
    cdef real *slots[FNN_MAX_SLOTS]
    cdef Py_ssize_t offset
    cdef int k
    offset = value - <real *>step.values
    for k in range(FNN_MAX_SLOTS):
        slots[k] = <real *>step.state + k * step.n_parameters + offset
    update_parameters(step.kernels, step.optimizer, value, <const real *>step.gradients + offset,
                      slots, n, step.coefficients, 0, 0, step.gradient_scale)


cdef inline bint is_updated_here(const Step *step) noexcept nogil:
    """Whether the phase that computes a gradient also updates its parameters."""
    return step.update == UPDATE_FUSED or step.update == UPDATE_BLOCKED


cdef void bias_block(const Step *step, const Layer *layer, Py_ssize_t start, Py_ssize_t stop,
                     const real *tag) noexcept nogil:
    """The gradients of b[columns] and of learnt coefficients there, and the updates."""
    if layer.bias != NULL:
        column_sums(step.kernels, <const real *>layer.delta + start, layer.stride, step.batch,
                    stop - start, <real *>layer.bias_grad + start, <real>1, <real>0)
        if is_updated_here(step):
            update_vector(step, <real *>layer.bias + start, stop - start)
    if layer.coefficient_delta != NULL:
        column_sums(step.kernels, <const real *>layer.coefficient_delta + start, layer.stride,
                    step.batch, stop - start, <real *>layer.coefficients_grad + start, <real>1,
                    <real>0)
        if is_updated_here(step):
            update_vector(step, <real *>layer.coefficients + start, stop - start)


cdef void gain_block(const Step *step, const Layer *layer, Py_ssize_t start, Py_ssize_t stop,
                     const real *tag) noexcept nogil:
    """The same for the gain of a norm: the sum over the rows of delta * normalized."""
    product_sums(step.kernels, <const real *>layer.delta + start,
                 <const real *>layer.normalized + start, layer.stride, step.batch, stop - start,
                 <real *>layer.weight_grad + start, <real>1, <real>0)
    if is_updated_here(step):
        update_vector(step, <real *>layer.weight + start, stop - start)
