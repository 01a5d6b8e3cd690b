from fastnn._core.kernels cimport Kernels
from fastnn._core.structs cimport Layer

cdef void *address(array) except? NULL


cdef class Binding:
    cdef readonly object plan
    cdef readonly object dtype
    cdef readonly bint packed, is_f32
    cdef Kernels kernels
    cdef Layer *layers
    cdef Py_ssize_t n_layers
    cdef object memory       # every array that a pointer in `layers` points into
    cdef object parameters   # views of the network's, per layer
    cdef readonly object outputs  # (rows, n_out) of each layer: what its last forward pass gave
    cdef readonly object deltas   # the same of the backward pass; none in prediction
    cdef object slots, slot_panels  # what the optimizer keeps: views like `parameters`, and packed
    cdef object panels       # packed copies of the weights, per layer, or None

    cdef bint is_finite(self, Py_ssize_t i) noexcept nogil
    cdef bint has_denormals(self, Py_ssize_t i) noexcept nogil
    cdef Py_ssize_t count_weights(self, Py_ssize_t i) noexcept nogil
    cdef bint finds_zeros(self, const char *x, Py_ssize_t row_bytes,
                          Py_ssize_t n_rows) noexcept nogil
