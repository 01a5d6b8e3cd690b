from fastnn._core.kernels cimport Kernels, real
from fastnn._core.structs cimport Layer, Step

cdef void run_phase(int kind, int axis, int layer_index, Py_ssize_t start, Py_ssize_t stop,
                    const Step *step, const real *const *x_rows) noexcept nogil
