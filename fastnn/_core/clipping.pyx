"""Updates that wait for the norm of all gradients (`UPDATE_SEPARATE`).

The squares of the gradients are summed in chunks of their arena, each in double by one thread. The
sums are added in the order of the chunks, by every thread for itself: that takes no barrier, and
gives the same bits for any number of threads.
"""

from libc.math cimport INFINITY, sqrt

from fastnn._core.gradients cimport update_block, update_vector
from fastnn._core.kernels cimport sum_squares
from fastnn._core.structs cimport DENSE, INPUTS, weight_offset, weight_stride

cdef double EPSILON = 1e-6
# Added to the norm that gradients are divided by, as in PyTorch's clip_grad_norm_.
NORM_EPSILON = EPSILON


cdef double square_chunk(const Kernels *kernels, const real *gradients, Py_ssize_t n_parameters,
                         Py_ssize_t chunk_size, Py_ssize_t chunk) noexcept nogil:
    """The sum of the squares of one chunk of all gradients."""
    cdef Py_ssize_t start = chunk * chunk_size
    return sum_squares(kernels, gradients + start, min(chunk_size, n_parameters - start))


cdef double find_scale(double squares, const fnn_coefficients *coefficients) noexcept nogil:
    """Factor of gradients, the sum of whose squares is given: min(1, limit / (norm + epsilon)).

    NaN where that sum is: the weights then tell.
    """
    cdef double scale = coefficients.norm / (sqrt(squares) + EPSILON)
    return 1 if scale > 1 or coefficients.norm == INFINITY else scale


cdef void square_chunks(const Step *step, Py_ssize_t start, Py_ssize_t stop,
                        const real *tag) noexcept nogil:
    """This thread's chunks of the gradients' arena."""
    cdef Py_ssize_t chunk
    for chunk in range(start, stop):
        step.squares[chunk] = square_chunk(step.kernels, <const real *>step.gradients,
                                           step.n_parameters, step.norm_chunk, chunk)


cdef Step scale_step(const Step *step) noexcept nogil:
    """The step with the factor of its gradients."""
    cdef Step scaled = step[0]
    cdef double total = 0
    cdef Py_ssize_t chunk
    for chunk in range(step.n_chunks):
        total += step.squares[chunk]
    scaled.gradient_scale = find_scale(total, step.coefficients)
    return scaled


cdef void update_weight(const Step *step, const Layer *layer, int axis, Py_ssize_t start,
                        Py_ssize_t stop, const real *tag) noexcept nogil:
    """W[start:stop] or W[:, start:stop], or the gain of a norm, from gradients that lie ready.

    They hold the gradient of the penalty already.
    """
    cdef Step scaled = scale_step(step)
    cdef Py_ssize_t row = start if axis == INPUTS else 0
    cdef Py_ssize_t rows = (stop if axis == INPUTS else layer.n_in) - row
    cdef Py_ssize_t first = 0 if axis == INPUTS else start
    cdef Py_ssize_t last = layer.n_out if axis == INPUTS else stop
    cdef Py_ssize_t panel, column, width, stride
    if layer.kind != DENSE:
        update_vector(&scaled, <real *>layer.weight + start, stop - start)
        return
    if not layer.packed:
        update_block(&scaled, layer, row * layer.n_out + first, layer.n_out,
                     <const real *>layer.weight_grad + row * layer.n_out + first, layer.n_out,
                     rows, last - first, 0, 0)
        return
    for panel in range(layer.n_panels):
        column = layer.panels[panel]
        if first <= column < last:
            width = layer.panels[panel + 1] - column
            stride = weight_stride(layer, width)
            update_block(&scaled, layer, weight_offset(layer, column) + row * stride, stride,
                         <const real *>layer.weight_grad + row * layer.n_out + column,
                         layer.n_out, rows, width, 0, 0)


cdef void update_bias(const Step *step, const Layer *layer, Py_ssize_t start, Py_ssize_t stop,
                      const real *tag) noexcept nogil:
    """b[start:stop] and the learnt coefficients there, or the shift of a norm."""
    cdef Step scaled = scale_step(step)
    if layer.bias != NULL:
        update_vector(&scaled, <real *>layer.bias + start, stop - start)
    if layer.coefficient_delta != NULL:
        update_vector(&scaled, <real *>layer.coefficients + start, stop - start)
