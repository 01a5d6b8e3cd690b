/* avx2.c: AVX2 and FMA, 16 registers of 8 floats. Built with its own flags by setup.py. */
#define FNN_ISA avx2
#define FNN_ISA_NAME "avx2"
#define FNN_VOCABULARY "../simd/avx2.h"
#include "../kernels/both_dtypes.inc"
