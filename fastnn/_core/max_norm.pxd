from fastnn._core.kernels cimport real
from fastnn._core.structs cimport Layer, Step

cdef void square_columns(const Step *step, const Layer *layer, int axis, Py_ssize_t start,
                         Py_ssize_t stop, const real *tag) noexcept nogil
cdef void limit_norms(const Step *step, const Layer *layer, int axis, Py_ssize_t start,
                      Py_ssize_t stop, const real *tag) noexcept nogil
