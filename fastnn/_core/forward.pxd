from fastnn._core.kernels cimport Kernels, real
from fastnn._core.structs cimport Layer

cdef bint has_many_zeros(const Kernels *kernels, const Layer *layer, const char *x,
                         Py_ssize_t row_bytes, Py_ssize_t n_rows, const real *tag) noexcept nogil
cdef void activate(const Kernels *kernels, const Layer *layer, Py_ssize_t row,
                   Py_ssize_t rows, Py_ssize_t column, Py_ssize_t columns,
                   const real *tag) noexcept nogil
cdef void forward_block(const Kernels *kernels, const Layer *layer,
                        const real *const *x_rows, Py_ssize_t row_start, Py_ssize_t row_stop,
                        Py_ssize_t column_start, Py_ssize_t column_stop) noexcept nogil
cdef void forward_blas(const Kernels *kernels, const Layer *layer, const real *x,
                       Py_ssize_t x_stride, Py_ssize_t batch, Py_ssize_t column_start,
                       Py_ssize_t column_stop) noexcept nogil
cdef void partial_sums(const Kernels *kernels, const Layer *layer, const real *const *x_rows,
                       Py_ssize_t batch, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
cdef void reduce_rows(const Kernels *kernels, const Layer *layer, Py_ssize_t start,
                      Py_ssize_t stop, const real *tag) noexcept nogil
