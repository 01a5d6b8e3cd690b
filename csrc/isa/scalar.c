/* scalar.c: the reference path, for any CPU: plain C, one element at a time. */
#define FNN_ISA scalar
#define FNN_ISA_NAME "scalar"
#define FNN_VOCABULARY "../simd/scalar.h"
#include "../kernels/both_dtypes.inc"
