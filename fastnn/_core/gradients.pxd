from fastnn._core.kernels cimport real
from fastnn._core.structs cimport Layer, Step

cdef void weight_block(const Step *step, const Layer *layer, const real *const *x_rows,
                       Py_ssize_t input_start, Py_ssize_t input_stop, Py_ssize_t column_start,
                       Py_ssize_t column_stop) noexcept nogil
cdef void weight_blas(const Step *step, const Layer *layer, const real *x,
                      Py_ssize_t x_stride, Py_ssize_t column_start,
                      Py_ssize_t column_stop) noexcept nogil
cdef void update_block(const Step *step, const Layer *layer, Py_ssize_t offset,
                       Py_ssize_t stride, const real *gradient, Py_ssize_t gradient_stride,
                       Py_ssize_t rows, Py_ssize_t width, double l1, double l2) noexcept nogil
cdef void update_vector(const Step *step, real *value, Py_ssize_t n) noexcept nogil
cdef void bias_block(const Step *step, const Layer *layer, Py_ssize_t start, Py_ssize_t stop,
                     const real *tag) noexcept nogil
cdef void gain_block(const Step *step, const Layer *layer, Py_ssize_t start, Py_ssize_t stop,
                     const real *tag) noexcept nogil
