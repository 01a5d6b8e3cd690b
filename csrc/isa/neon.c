/* neon.c: AArch64's Advanced SIMD, 32 registers of 4 floats; every AArch64 CPU has it. */
#define FNN_ISA neon
#define FNN_ISA_NAME "neon"
#define FNN_VOCABULARY "../simd/neon.h"
#include "../kernels/both_dtypes.inc"
