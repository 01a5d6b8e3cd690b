from fastnn._core.kernels cimport Kernels, real
from fastnn._core.structs cimport Layer, Step

cdef void transform_block(const Step *step, const Layer *layer, const real *const *x_rows,
                          Py_ssize_t row_start, Py_ssize_t row_stop, Py_ssize_t column_start,
                          Py_ssize_t column_stop) noexcept nogil
cdef void transform_backward(const Step *step, const Layer *layer, const Layer *before,
                             Py_ssize_t row_start, Py_ssize_t row_stop, Py_ssize_t column_start,
                             Py_ssize_t column_stop, const real *tag) noexcept nogil
cdef void track_statistics(const Step *step, const Layer *layer, Py_ssize_t start, Py_ssize_t stop,
                           const real *tag) noexcept nogil
cdef void infer_block(const Kernels *kernels, const Layer *layer, const real *const *x_rows,
                      Py_ssize_t rows) noexcept nogil
