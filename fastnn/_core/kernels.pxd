# What the other extensions see of the kernels: the chosen tables, and one fused spelling of each
# kernel, so that an engine function is written once for float and double.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from fastnn._core.fastnn cimport (
    FNN_MAX_SLOTS,
    fnn_coefficients,
    fnn_kernels_f32,
    fnn_kernels_f64,
    fnn_loss_args_f32,
    fnn_loss_args_f64,
    fnn_loss_settings,
    fnn_mask,
    fnn_norm_args_f32,
    fnn_norm_args_f64,
    fnn_update_args_f32,
    fnn_update_args_f64,
)

ctypedef fused real:
    float
    double

ctypedef struct Kernels:
    # The two tables of one instruction set.
    const fnn_kernels_f32 *f32
    const fnn_kernels_f64 *f64

cdef Kernels *active_kernels() noexcept nogil
cdef uint64_t flush_denormals() noexcept nogil
cdef void restore_float_state(uint64_t state) noexcept nogil
cdef void shuffle_rows(uint64_t seed, uint32_t epoch, Py_ssize_t n, int64_t *order) noexcept nogil
cdef void gemm_f32(int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                   const float *a, int lda, const float *b, int ldb, float beta, float *c,
                   int ldc) noexcept nogil
cdef void gemm_f64(int transpose_a, int transpose_b, int m, int n, int k, double alpha,
                   const double *a, int lda, const double *b, int ldb, double beta, double *c,
                   int ldc) noexcept nogil


cdef inline void multiply_rows(
    const Kernels *kernels, const real *const *a_rows, Py_ssize_t offset, Py_ssize_t depth,
    const real *b, Py_ssize_t b_stride, Py_ssize_t rows, Py_ssize_t cols, real *c,
    Py_ssize_t c_stride, bint accumulate, const real *bias, bint relu, const real *gate,
    const uint64_t *terms,
) noexcept nogil:
    if real is float:
        kernels.f32.multiply_rows(a_rows, offset, depth, b, b_stride, rows, cols, c, c_stride,
                                  accumulate, bias, relu, gate, terms)
    else:
        kernels.f64.multiply_rows(a_rows, offset, depth, b, b_stride, rows, cols, c, c_stride,
                                  accumulate, bias, relu, gate, terms)


cdef inline Py_ssize_t find_nonfinite_in(
    const Kernels *kernels, const real *x, Py_ssize_t n
) noexcept nogil:
    if real is float:
        return kernels.f32.find_nonfinite(x, n)
    else:
        return kernels.f64.find_nonfinite(x, n)


cdef inline void multiply_row(
    const Kernels *kernels, const real *a, Py_ssize_t depth, Py_ssize_t chunk, const real *b,
    Py_ssize_t b_stride, Py_ssize_t cols, real *c, const real *bias, bint relu,
    bint skip_zeros,
) noexcept nogil:
    if real is float:
        kernels.f32.multiply_row(a, depth, chunk, b, b_stride, cols, c, bias, relu, skip_zeros)
    else:
        kernels.f64.multiply_row(a, depth, chunk, b, b_stride, cols, c, bias, relu, skip_zeros)


cdef inline void multiply_batch(
    const Kernels *kernels, const real *const *a_rows, Py_ssize_t offset, Py_ssize_t depth,
    const real *b, Py_ssize_t b_stride, Py_ssize_t rows, Py_ssize_t cols, real *c,
    Py_ssize_t c_stride, real alpha, real beta,
    const uint64_t *terms,
) noexcept nogil:
    if real is float:
        kernels.f32.multiply_batch(a_rows, offset, depth, b, b_stride, rows, cols, c, c_stride,
                                   alpha, beta, terms)
    else:
        kernels.f64.multiply_batch(a_rows, offset, depth, b, b_stride, rows, cols, c, c_stride,
                                   alpha, beta, terms)


cdef inline Py_ssize_t find_row_terms(
    const Kernels *kernels, const real *const *a_rows, Py_ssize_t offset, Py_ssize_t depth,
    Py_ssize_t rows, uint64_t *terms,
) noexcept nogil:
    if real is float:
        return kernels.f32.find_row_terms(a_rows, offset, depth, rows, terms)
    else:
        return kernels.f64.find_row_terms(a_rows, offset, depth, rows, terms)


cdef inline void find_batch_terms(
    const Kernels *kernels, const real *const *a_rows, Py_ssize_t offset, Py_ssize_t depth,
    Py_ssize_t rows, uint64_t *terms,
) noexcept nogil:
    if real is float:
        kernels.f32.find_batch_terms(a_rows, offset, depth, rows, terms)
    else:
        kernels.f64.find_batch_terms(a_rows, offset, depth, rows, terms)


cdef inline void multiply_matrices(
    bint transpose_a, bint transpose_b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, real alpha,
    const real *a, Py_ssize_t lda, const real *b, Py_ssize_t ldb, real beta, real *c,
    Py_ssize_t ldc,
) noexcept nogil:
    if real is float:
        gemm_f32(transpose_a, transpose_b, <int>m, <int>n, <int>k, alpha, a, <int>lda, b,
                 <int>ldb, beta, c, <int>ldc)
    else:
        gemm_f64(transpose_a, transpose_b, <int>m, <int>n, <int>k, alpha, a, <int>lda, b,
                 <int>ldb, beta, c, <int>ldc)


cdef inline void sum_chunks(
    const Kernels *kernels, const real *partial, Py_ssize_t chunk_stride, Py_ssize_t n_chunks,
    Py_ssize_t stride, Py_ssize_t rows, Py_ssize_t cols, const real *bias, bint relu, real *z,
) noexcept nogil:
    if real is float:
        kernels.f32.sum_chunks(partial, chunk_stride, n_chunks, stride, rows, cols, bias, relu, z)
    else:
        kernels.f64.sum_chunks(partial, chunk_stride, n_chunks, stride, rows, cols, bias, relu, z)


cdef inline void transpose(
    const Kernels *kernels, const real *w, Py_ssize_t w_stride, Py_ssize_t rows, Py_ssize_t cols,
    real *out, Py_ssize_t out_stride,
) noexcept nogil:
    if real is float:
        kernels.f32.transpose(w, w_stride, rows, cols, out, out_stride)
    else:
        kernels.f64.transpose(w, w_stride, rows, cols, out, out_stride)


cdef inline void column_sums(
    const Kernels *kernels, const real *d, Py_ssize_t stride, Py_ssize_t rows, Py_ssize_t cols,
    real *out, real alpha, real beta,
) noexcept nogil:
    if real is float:
        kernels.f32.column_sums(d, stride, rows, cols, out, alpha, beta)
    else:
        kernels.f64.column_sums(d, stride, rows, cols, out, alpha, beta)


cdef inline void activation_forward(
    const Kernels *kernels, int activation, const real *z, real *a, Py_ssize_t stride,
    Py_ssize_t rows, Py_ssize_t cols, const real *coefficients,
) noexcept nogil:
    if real is float:
        kernels.f32.activation_forward[activation](z, a, stride, rows, cols, coefficients)
    else:
        kernels.f64.activation_forward[activation](z, a, stride, rows, cols, coefficients)


cdef inline void activation_backward(
    const Kernels *kernels, int activation, real *delta, const real *source, Py_ssize_t stride,
    Py_ssize_t rows, Py_ssize_t cols, const real *coefficients, real *coefficient_delta,
) noexcept nogil:
    if real is float:
        kernels.f32.activation_backward[activation](delta, source, stride, rows, cols,
                                                    coefficients, coefficient_delta)
    else:
        kernels.f64.activation_backward[activation](delta, source, stride, rows, cols,
                                                    coefficients, coefficient_delta)


cdef inline void product_sums(
    const Kernels *kernels, const real *d, const real *e, Py_ssize_t stride, Py_ssize_t rows,
    Py_ssize_t cols, real *out, real alpha, real beta,
) noexcept nogil:
    if real is float:
        kernels.f32.product_sums(d, e, stride, rows, cols, out, alpha, beta)
    else:
        kernels.f64.product_sums(d, e, stride, rows, cols, out, alpha, beta)


cdef inline void normalize(
    const Kernels *kernels, int norm, const real *const *x_rows, Py_ssize_t first, Py_ssize_t rows,
    Py_ssize_t cols, const real *gain, const real *shift, double epsilon, double momentum,
    real *mean, real *variance, real *running_mean, real *running_variance, real *normalized,
    real *scale, real *out, Py_ssize_t normalized_stride, Py_ssize_t stride,
) noexcept nogil:
    cdef fnn_norm_args_f32 args_f32
    cdef fnn_norm_args_f64 args_f64
    if real is float:
        args_f32 = fnn_norm_args_f32(
            x_rows, first, rows, cols, gain, shift, epsilon, momentum, mean,
            variance, running_mean, running_variance, normalized, scale, out, normalized_stride,
            stride)
        kernels.f32.norm[norm](&args_f32)
    else:
        args_f64 = fnn_norm_args_f64(
            x_rows, first, rows, cols, gain, shift, epsilon, momentum, mean,
            variance, running_mean, running_variance, normalized, scale, out, normalized_stride,
            stride)
        kernels.f64.norm[norm](&args_f64)


cdef inline void dropout(
    const Kernels *kernels, const fnn_mask *mask, const real *const *x_rows, Py_ssize_t first_row,
    Py_ssize_t first, Py_ssize_t rows, Py_ssize_t cols, real *out, Py_ssize_t stride,
) noexcept nogil:
    if real is float:
        kernels.f32.dropout(mask, x_rows, first_row, first, rows, cols, out, stride)
    else:
        kernels.f64.dropout(mask, x_rows, first_row, first, rows, cols, out, stride)


cdef inline void dropout_relu_backward(
    const Kernels *kernels, const real *const *delta_rows, const real *a, Py_ssize_t a_stride,
    Py_ssize_t first, Py_ssize_t rows, Py_ssize_t cols, double factor, real *out,
    Py_ssize_t stride,
) noexcept nogil:
    if real is float:
        kernels.f32.dropout_relu_backward(delta_rows, a, a_stride, first, rows, cols, <real>factor,
                                          out, stride)
    else:
        kernels.f64.dropout_relu_backward(delta_rows, a, a_stride, first, rows, cols, <real>factor,
                                          out, stride)


cdef inline void evaluate_loss(
    const Kernels *kernels, int loss, const real *output, real *delta, Py_ssize_t stride,
    Py_ssize_t rows, Py_ssize_t cols, const int32_t *labels, const real *const *targets,
    const double *weights, const fnn_loss_settings *settings, double scale, double *row_loss,
) noexcept nogil:
    cdef fnn_loss_args_f32 args_f32
    cdef fnn_loss_args_f64 args_f64
    if real is float:
        args_f32 = fnn_loss_args_f32(output, delta, stride, rows, cols, labels, targets, weights,
                                     settings, scale, row_loss)
        kernels.f32.loss[loss](&args_f32)
    else:
        args_f64 = fnn_loss_args_f64(output, delta, stride, rows, cols, labels, targets, weights,
                                     settings, scale, row_loss)
        kernels.f64.loss[loss](&args_f64)


cdef inline void update_parameters(
    const Kernels *kernels, int optimizer, real *w, const real *g, real *const *slots,
    Py_ssize_t n, const fnn_coefficients *coefficients, double l1, double l2, double scale,
) noexcept nogil:
    cdef fnn_update_args_f32 args_f32
    cdef fnn_update_args_f64 args_f64
    cdef int k
    if real is float:
        args_f32.w, args_f32.g, args_f32.n = w, g, n
        args_f32.coefficients = coefficients
        args_f32.l1, args_f32.l2, args_f32.scale = l1, l2, scale
        for k in range(FNN_MAX_SLOTS):
            args_f32.slots[k] = slots[k]
        kernels.f32.optimizer_update[optimizer](&args_f32)
    else:
        args_f64.w, args_f64.g, args_f64.n = w, g, n
        args_f64.coefficients = coefficients
        args_f64.l1, args_f64.l2, args_f64.scale = l1, l2, scale
        for k in range(FNN_MAX_SLOTS):
            args_f64.slots[k] = slots[k]
        kernels.f64.optimizer_update[optimizer](&args_f64)


cdef inline void add_penalty(
    const Kernels *kernels, const real *w, real *g, Py_ssize_t n, double l1, double l2,
) noexcept nogil:
    if real is float:
        kernels.f32.add_penalty(w, g, n, l1, l2)
    else:
        kernels.f64.add_penalty(w, g, n, l1, l2)


cdef inline double sum_squares(const Kernels *kernels, const real *x, Py_ssize_t n) noexcept nogil:
    if real is float:
        return kernels.f32.sum_squares(x, n)
    else:
        return kernels.f64.sum_squares(x, n)


cdef inline void limit_columns(
    const Kernels *kernels, real *w, Py_ssize_t stride, Py_ssize_t rows, Py_ssize_t cols,
    const real *squares, double limit,
) noexcept nogil:
    if real is float:
        kernels.f32.limit_columns(w, stride, rows, cols, squares, limit)
    else:
        kernels.f64.limit_columns(w, stride, rows, cols, squares, limit)
