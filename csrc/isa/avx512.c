/* avx512.c: AVX-512 F/DQ/BW/VL, 32 registers of 16 floats. Built with its own flags by setup.py. */
#define FNN_ISA avx512
#define FNN_ISA_NAME "avx512"
#define FNN_VOCABULARY "../simd/avx512.h"
#include "../kernels/both_dtypes.inc"
