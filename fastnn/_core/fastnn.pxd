# The only declaration of the C core to Cython; mirrors csrc/fastnn.h and csrc/kernel_table.inc.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

cdef extern from "fastnn.h" nogil:
    enum fnn_shape:
        FNN_ELEMENTWISE
        FNN_ROWWISE
    ctypedef enum fnn_source:
        FNN_OUTPUT
        FNN_INPUT
    ctypedef enum fnn_coefficient:
        FNN_NONE
        FNN_FIXED
        FNN_LEARNT
    # The lists are numbered by csrc/lists/*.def; only the members that code names stand here.
    enum:
        FNN_ACTIVATION_IDENTITY
        FNN_ACTIVATION_RELU
        FNN_OPTIMIZER_SGD
        FNN_BATCH_NORM_FORWARD
        FNN_BATCH_NORM_TRACK
        FNN_BATCH_NORM_APPLY
        FNN_BATCH_NORM_BACKWARD
        FNN_LAYER_NORM_FORWARD
        FNN_LAYER_NORM_BACKWARD
        FNN_MAX_SLOTS
        FNN_N_COEFFICIENTS
        FNN_N_ACTIVATIONS
        FNN_N_LOSSES
        FNN_N_OPTIMIZERS
        FNN_N_FUNCTIONS
        FNN_N_ISAS
    ctypedef struct fnn_activation_info:
        const char *name
        fnn_shape shape
        fnn_source source
        fnn_coefficient coefficient
    ctypedef struct fnn_loss_info:
        const char *name
        int merged_activation
        const char *targets
    ctypedef struct fnn_loss_settings:
        double label_smoothing
        double delta
        double sum_outputs
    ctypedef struct fnn_optimizer_info:
        const char *name
        int n_slots
    ctypedef struct fnn_coefficients:
        double rate, keep, limit, norm
    const fnn_activation_info fnn_activations[]
    const fnn_loss_info fnn_losses[]
    const fnn_optimizer_info fnn_optimizers[]
    const char *const fnn_functions[]
    const char *const fnn_isas[]

    ctypedef struct fnn_mask:
        uint64_t seed
        uint32_t step, layer
        uint32_t threshold
        double factor

    ctypedef struct fnn_loss_args_f32:
        const float *output
        float *delta
        Py_ssize_t stride, rows, cols
        const int32_t *labels
        const float *const *targets
        const double *weights
        const fnn_loss_settings *settings
        double scale
        double *row_loss

    ctypedef struct fnn_norm_args_f32:
        const float *const *x_rows
        Py_ssize_t first, rows, cols
        const float *gain
        const float *shift
        double epsilon, momentum
        float *mean
        float *variance
        float *running_mean
        float *running_variance
        float *normalized
        float *scale
        float *out
        Py_ssize_t normalized_stride, stride

    ctypedef struct fnn_update_args_f32:
        float *w
        const float *g
        float **slots
        Py_ssize_t n
        const fnn_coefficients *coefficients
        double l1, l2, scale

    ctypedef struct fnn_kernels_f32:
        const char *isa
        int vector_width
        int panel_width
        int tile_rows
        void (*multiply_rows)(const float *const *a_rows, Py_ssize_t offset, Py_ssize_t depth,
                              const float *b, Py_ssize_t b_stride, Py_ssize_t rows,
                              Py_ssize_t cols, float *c, Py_ssize_t c_stride, int accumulate,
                              const float *bias, int relu, const float *gate,
                              const uint64_t *terms) noexcept nogil
        void (*multiply_row)(const float *a, Py_ssize_t depth, Py_ssize_t chunk, const float *b,
                             Py_ssize_t b_stride, Py_ssize_t cols, float *c, const float *bias,
                             int relu, int skip_zeros) noexcept nogil
        void (*multiply_batch)(const float *const *a_rows, Py_ssize_t offset, Py_ssize_t depth,
                               const float *b, Py_ssize_t b_stride, Py_ssize_t rows,
                               Py_ssize_t cols, float *c, Py_ssize_t c_stride, float alpha,
                               float beta, const uint64_t *terms) noexcept nogil
        Py_ssize_t (*find_row_terms)(const float *const *a_rows, Py_ssize_t offset,
                                     Py_ssize_t depth, Py_ssize_t rows,
                                     uint64_t *terms) noexcept nogil
        void (*find_batch_terms)(const float *const *a_rows, Py_ssize_t offset,
                                 Py_ssize_t depth, Py_ssize_t rows,
                                 uint64_t *terms) noexcept nogil
        void (*sum_chunks)(const float *partial, Py_ssize_t chunk_stride, Py_ssize_t n_chunks,
                           Py_ssize_t stride, Py_ssize_t rows, Py_ssize_t cols,
                           const float *bias, int relu, float *z) noexcept nogil
        void (*transpose)(const float *w, Py_ssize_t w_stride, Py_ssize_t rows, Py_ssize_t cols,
                          float *out, Py_ssize_t out_stride) noexcept nogil
        void (*column_sums)(const float *d, Py_ssize_t stride, Py_ssize_t rows, Py_ssize_t cols,
                            float *out, float alpha, float beta) noexcept nogil
        void (**activation_forward)(const float *z, float *a, Py_ssize_t stride,
                                    Py_ssize_t rows, Py_ssize_t cols,
                                    const float *coefficients) noexcept nogil
        void (**activation_backward)(float *delta, const float *source, Py_ssize_t stride,
                                     Py_ssize_t rows, Py_ssize_t cols,
                                     const float *coefficients,
                                     float *coefficient_delta) noexcept nogil
        void (**loss)(const fnn_loss_args_f32 *args) noexcept nogil
        void (*product_sums)(const float *d, const float *e, Py_ssize_t stride, Py_ssize_t rows,
                             Py_ssize_t cols, float *out, float alpha,
                             float beta) noexcept nogil
        void (**norm)(const fnn_norm_args_f32 *args) noexcept nogil
        void (*dropout)(const fnn_mask *mask, const float *const *x_rows, Py_ssize_t first_row,
                        Py_ssize_t first, Py_ssize_t rows, Py_ssize_t cols, float *out,
                        Py_ssize_t stride) noexcept nogil
        void (*dropout_relu_backward)(const float *const *delta_rows, const float *a,
                                      Py_ssize_t a_stride, Py_ssize_t first, Py_ssize_t rows,
                                      Py_ssize_t cols, float factor, float *out,
                                      Py_ssize_t stride) noexcept nogil
        void (**optimizer_update)(const fnn_update_args_f32 *args) noexcept nogil
        void (*add_penalty)(const float *w, float *g, Py_ssize_t n, double l1,
                            double l2) noexcept nogil
        void (*limit_columns)(float *w, Py_ssize_t stride, Py_ssize_t rows, Py_ssize_t cols,
                              const float *squares, double limit) noexcept nogil
        double (*sum_squares)(const float *x, Py_ssize_t n) noexcept nogil
        Py_ssize_t (*find_nonfinite)(const float *x, Py_ssize_t n) noexcept nogil
        void (**function)(const float *x, float *y, Py_ssize_t n) noexcept nogil

    ctypedef struct fnn_loss_args_f64:
        const double *output
        double *delta
        Py_ssize_t stride, rows, cols
        const int32_t *labels
        const double *const *targets
        const double *weights
        const fnn_loss_settings *settings
        double scale
        double *row_loss

    ctypedef struct fnn_norm_args_f64:
        const double *const *x_rows
        Py_ssize_t first, rows, cols
        const double *gain
        const double *shift
        double epsilon, momentum
        double *mean
        double *variance
        double *running_mean
        double *running_variance
        double *normalized
        double *scale
        double *out
        Py_ssize_t normalized_stride, stride

    ctypedef struct fnn_update_args_f64:
        double *w
        const double *g
        double **slots
        Py_ssize_t n
        const fnn_coefficients *coefficients
        double l1, l2, scale

    ctypedef struct fnn_kernels_f64:
        const char *isa
        int vector_width
        int panel_width
        int tile_rows
        void (*multiply_rows)(const double *const *a_rows, Py_ssize_t offset, Py_ssize_t depth,
                              const double *b, Py_ssize_t b_stride, Py_ssize_t rows,
                              Py_ssize_t cols, double *c, Py_ssize_t c_stride, int accumulate,
                              const double *bias, int relu, const double *gate,
                              const uint64_t *terms) noexcept nogil
        void (*multiply_row)(const double *a, Py_ssize_t depth, Py_ssize_t chunk, const double *b,
                             Py_ssize_t b_stride, Py_ssize_t cols, double *c, const double *bias,
                             int relu, int skip_zeros) noexcept nogil
        void (*multiply_batch)(const double *const *a_rows, Py_ssize_t offset, Py_ssize_t depth,
                               const double *b, Py_ssize_t b_stride, Py_ssize_t rows,
                               Py_ssize_t cols, double *c, Py_ssize_t c_stride, double alpha,
                               double beta, const uint64_t *terms) noexcept nogil
        Py_ssize_t (*find_row_terms)(const double *const *a_rows, Py_ssize_t offset,
                                     Py_ssize_t depth, Py_ssize_t rows,
                                     uint64_t *terms) noexcept nogil
        void (*find_batch_terms)(const double *const *a_rows, Py_ssize_t offset,
                                 Py_ssize_t depth, Py_ssize_t rows,
                                 uint64_t *terms) noexcept nogil
        void (*sum_chunks)(const double *partial, Py_ssize_t chunk_stride, Py_ssize_t n_chunks,
                           Py_ssize_t stride, Py_ssize_t rows, Py_ssize_t cols,
                           const double *bias, int relu, double *z) noexcept nogil
        void (*transpose)(const double *w, Py_ssize_t w_stride, Py_ssize_t rows, Py_ssize_t cols,
                          double *out, Py_ssize_t out_stride) noexcept nogil
        void (*column_sums)(const double *d, Py_ssize_t stride, Py_ssize_t rows, Py_ssize_t cols,
                            double *out, double alpha, double beta) noexcept nogil
        void (**activation_forward)(const double *z, double *a, Py_ssize_t stride,
                                    Py_ssize_t rows, Py_ssize_t cols,
                                    const double *coefficients) noexcept nogil
        void (**activation_backward)(double *delta, const double *source, Py_ssize_t stride,
                                     Py_ssize_t rows, Py_ssize_t cols,
                                     const double *coefficients,
                                     double *coefficient_delta) noexcept nogil
        void (**loss)(const fnn_loss_args_f64 *args) noexcept nogil
        void (*product_sums)(const double *d, const double *e, Py_ssize_t stride, Py_ssize_t rows,
                             Py_ssize_t cols, double *out, double alpha,
                             double beta) noexcept nogil
        void (**norm)(const fnn_norm_args_f64 *args) noexcept nogil
        void (*dropout)(const fnn_mask *mask, const double *const *x_rows, Py_ssize_t first_row,
                        Py_ssize_t first, Py_ssize_t rows, Py_ssize_t cols, double *out,
                        Py_ssize_t stride) noexcept nogil
        void (*dropout_relu_backward)(const double *const *delta_rows, const double *a,
                                      Py_ssize_t a_stride, Py_ssize_t first, Py_ssize_t rows,
                                      Py_ssize_t cols, double factor, double *out,
                                      Py_ssize_t stride) noexcept nogil
        void (**optimizer_update)(const fnn_update_args_f64 *args) noexcept nogil
        void (*add_penalty)(const double *w, double *g, Py_ssize_t n, double l1,
                            double l2) noexcept nogil
        void (*limit_columns)(double *w, Py_ssize_t stride, Py_ssize_t rows, Py_ssize_t cols,
                              const double *squares, double limit) noexcept nogil
        double (*sum_squares)(const double *x, Py_ssize_t n) noexcept nogil
        Py_ssize_t (*find_nonfinite)(const double *x, Py_ssize_t n) noexcept nogil
        void (**function)(const double *x, double *y, Py_ssize_t n) noexcept nogil

    const fnn_kernels_f32 *fnn_find_kernels_f32(int isa)
    const fnn_kernels_f64 *fnn_find_kernels_f64(int isa)

    ctypedef void (*fnn_sgemm)(char *, char *, int *, int *, int *, float *, float *, int *,
                               float *, int *, float *, float *, int *) noexcept nogil
    ctypedef void (*fnn_dgemm)(char *, char *, int *, int *, int *, double *, double *, int *,
                               double *, int *, double *, double *, int *) noexcept nogil
    void fnn_set_blas(fnn_sgemm sgemm, fnn_dgemm dgemm)
    void fnn_multiply_matrices_f32(int transpose_a, int transpose_b, int m, int n, int k,
                                   float alpha, const float *a, int lda, const float *b,
                                   int ldb, float beta, float *c, int ldc)
    void fnn_multiply_matrices_f64(int transpose_a, int transpose_b, int m, int n, int k,
                                   double alpha, const double *a, int lda, const double *b,
                                   int ldb, double beta, double *c, int ldc)

    void fnn_generate_philox(const uint32_t *key, const uint32_t *counter, uint32_t *words)
    void fnn_fill_uniform(uint64_t seed, uint32_t stream, double low, double high, Py_ssize_t n,
                          double *out)
    void fnn_fill_normal(uint64_t seed, uint32_t stream, double mean, double std, Py_ssize_t n,
                         double *out)
    double fnn_find_normal_quantile(double q)
    void fnn_orthonormalize_rows(Py_ssize_t n_rows, Py_ssize_t n_cols, double *a)
    void fnn_shuffle_indices(uint64_t seed, uint32_t epoch, Py_ssize_t n, int64_t *out)
    uint64_t fnn_flush_denormals()
    void fnn_restore_float_state(uint64_t state)
