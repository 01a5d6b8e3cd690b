/* blas.c: the only file that knows BLAS. Row-major in, row-major out.
 *
 * A row-major C = A B is the column-major C^T = B^T A^T: the operands swap places and nothing is
 * copied. The pointers are set once, when the package is imported, to the BLAS that SciPy brings
 * (scipy.linalg.cython_blas), so there is no link step and threadpoolctl sees the library; a C
 * program without Python gets the plain loops below.
 */
#include "fastnn.h"

static fnn_sgemm blas_sgemm;
static fnn_dgemm blas_dgemm;

void fnn_set_blas(fnn_sgemm sgemm, fnn_dgemm dgemm) {
    blas_sgemm = sgemm;
    blas_dgemm = dgemm;
}

#define FNN_DTYPE f32
#define FNN_REAL float
#define blas_gemm blas_sgemm
#include "blas_gemm.inc"
#undef FNN_DTYPE
#undef FNN_REAL
#undef blas_gemm
#define FNN_DTYPE f64
#define FNN_REAL double
#define blas_gemm blas_dgemm
#include "blas_gemm.inc"
