from fastnn._core.kernels cimport real
from fastnn._core.structs cimport Layer, Step

cdef void limit_block(const Step *step, const Layer *layer, int kind, int axis, Py_ssize_t start,
                      Py_ssize_t stop, const real *tag) noexcept nogil
