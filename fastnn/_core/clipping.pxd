from fastnn._core.fastnn cimport fnn_coefficients
from fastnn._core.kernels cimport Kernels, real
from fastnn._core.structs cimport Layer, Step

cdef double square_chunk(const Kernels *kernels, const real *gradients, Py_ssize_t n_parameters,
                         Py_ssize_t chunk_size, Py_ssize_t chunk) noexcept nogil
cdef double find_scale(double squares, const fnn_coefficients *coefficients) noexcept nogil
cdef void square_chunks(const Step *step, Py_ssize_t start, Py_ssize_t stop,
                        const real *tag) noexcept nogil
cdef void update_weight(const Step *step, const Layer *layer, int axis, Py_ssize_t start,
                        Py_ssize_t stop, const real *tag) noexcept nogil
cdef void update_bias(const Step *step, const Layer *layer, Py_ssize_t start, Py_ssize_t stop,
                      const real *tag) noexcept nogil
