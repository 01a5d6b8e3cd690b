from fastnn._core.kernels cimport Kernels, real
from fastnn._core.structs cimport Layer

cdef void backward_input(const Kernels *kernels, const Layer *layer,
                         const Layer *before, Py_ssize_t row_start, Py_ssize_t row_stop,
                         Py_ssize_t input_start, Py_ssize_t input_stop,
                         const real *tag) noexcept nogil
cdef void transpose_block(const Kernels *kernels, const Layer *layer, Py_ssize_t start,
                          Py_ssize_t stop, const real *tag) noexcept nogil
cdef void differentiate(const Kernels *kernels, const Layer *layer, Py_ssize_t row,
                        Py_ssize_t rows, Py_ssize_t column, Py_ssize_t columns,
                        const real *tag) noexcept nogil
