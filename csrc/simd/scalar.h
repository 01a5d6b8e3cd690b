/* scalar.h: the vector vocabulary in plain C, one lane wide. Re-includable; see names.h for the
 * contract. It needs no instruction set, so it is where the port to another ISA starts from.
 * Compiled with -ffp-contract=off it rounds a*b + c twice: an ISA of its own, with its own bits.
 */
#undef V_WIDTH
#undef V_WIDTH_LOG2
#undef V_HALVES
#undef FNN_TILE_ROWS
#undef FNN_TILE_VECTORS
#define V_WIDTH 1
#define V_WIDTH_LOG2 0
#define FNN_TILE_ROWS 6
#define FNN_TILE_VECTORS 2
#define V_HALVES 0

#if FNN_IS_F32
#define FNN_BITS uint32_t
#define FNN_MANTISSA 23
#define FNN_BIAS 127
#else
#define FNN_BITS uint64_t
#define FNN_MANTISSA 52
#define FNN_BIAS 1023
#endif

typedef real vec;
typedef int vmask;

FNN_INLINE vec vload(const real *p) { return *p; }
FNN_INLINE void vstore(real *p, vec v) { *p = v; }
FNN_INLINE vec vload_part(const real *p, ptrdiff_t n) {
    (void)n;
    return *p;
}
FNN_INLINE vec vload_part_or(const real *p, ptrdiff_t n, vec fill) {
    (void)n;
    (void)fill;
    return *p;
}
FNN_INLINE void vstore_part(real *p, vec v, ptrdiff_t n) {
    (void)n;
    *p = v;
}
FNN_INLINE vec vset1(real x) { return x; }
FNN_INLINE vec vzero(void) { return 0; }

FNN_INLINE vec vadd(vec a, vec b) { return a + b; }
FNN_INLINE vec vsub(vec a, vec b) { return a - b; }
FNN_INLINE vec vmul(vec a, vec b) { return a * b; }
FNN_INLINE vec vdiv(vec a, vec b) { return a / b; }
FNN_INLINE vec vsqrt(vec v) { return (real)sqrt((double)v); } /* rounds as sqrtf does */
FNN_INLINE vec vabs(vec v) { return (real)fabs((double)v); }
FNN_INLINE vec vfma(vec a, vec b, vec c) { return a * b + c; }
FNN_INLINE vec vfnma(vec a, vec b, vec c) { return c - a * b; }
FNN_INLINE vec vmax(vec a, vec b) { return a > b ? a : b; }
FNN_INLINE vec vmin(vec a, vec b) { return a < b ? a : b; }
FNN_INLINE vmask vless(vec a, vec b) { return a < b; }
FNN_INLINE unsigned vnonzero(vec v) { return v != 0; }
FNN_INLINE vec vselect(vmask mask, vec yes, vec no) { return mask ? yes : no; }

/* 2^n: n + bias, in the low bits of the sum, is shifted into the exponent field. */
FNN_INLINE vec FNN_NAME(power_of_two)(vec n) {
    const vec sum = n + (FNN_SNAP + FNN_BIAS);
    FNN_BITS bits;
    vec power;
    memcpy(&bits, &sum, sizeof bits);
    bits <<= FNN_MANTISSA;
    memcpy(&power, &bits, sizeof power);
    return power;
}

/* The exponent field of v becomes the low bits of 2^23 (2^52), from which it is subtracted. */
FNN_INLINE vec vexponent(vec v) {
    const vec snap = FNN_IS_F32 ? (real)0x1p23 : (real)0x1p52;
    FNN_BITS bits, snap_bits;
    vec sum;
    memcpy(&bits, &v, sizeof bits);
    memcpy(&snap_bits, &snap, sizeof snap_bits);
    bits = bits >> FNN_MANTISSA | snap_bits;
    memcpy(&sum, &bits, sizeof sum);
    return sum - (snap + FNN_BIAS);
}

/* In two halves, since 2^128 (2^1024) is no number by itself. */
FNN_INLINE vec vscale2(vec v, vec n) {
    const vec half = (n * (real)0.5 + FNN_SNAP) - FNN_SNAP;
    return v * FNN_NAME(power_of_two)(half) * FNN_NAME(power_of_two)(n - half);
}

FNN_INLINE real vsum(vec v) { return v; }
FNN_INLINE real vhmax(vec v) { return v; }
FNN_INLINE double vsum_double(vec v) { return (double)v; }

#undef FNN_BITS
#undef FNN_MANTISSA
#undef FNN_BIAS

#include "tail.h"
