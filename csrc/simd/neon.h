/* neon.h: the vector vocabulary for AArch64 (Advanced SIMD): 4 floats or 2 doubles.
 * Re-includable; names.h holds the contract.
 */
#include <arm_neon.h>

#undef V_WIDTH
#undef V_WIDTH_LOG2
#undef V_HALVES
#undef FNN_TILE_ROWS
#undef FNN_TILE_VECTORS
/* 24 of the 32 registers accumulate, 4 hold the panel, and there are some left to broadcast. */
#define FNN_TILE_ROWS 6
#define FNN_TILE_VECTORS 4
#define V_HALVES 0

#if FNN_IS_F32
#define V_WIDTH 4
#define V_WIDTH_LOG2 2
#define FNN_REALS(op) op##_f32
#define FNN_INTEGERS(op) op##_s32
#define FNN_MANTISSA 23
#define FNN_BIAS 127
typedef float32x4_t vec;
typedef uint32x4_t vmask;
typedef int32x4_t FNN_NAME(integers);
#else
#define V_WIDTH 2
#define V_WIDTH_LOG2 1
#define FNN_REALS(op) op##_f64
#define FNN_INTEGERS(op) op##_s64
#define FNN_MANTISSA 52
#define FNN_BIAS 1023
typedef float64x2_t vec;
typedef uint64x2_t vmask;
typedef int64x2_t FNN_NAME(integers);
#endif

FNN_INLINE vec vload(const real *p) { return FNN_REALS(vld1q)(p); }
FNN_INLINE void vstore(real *p, vec v) { FNN_REALS(vst1q)(p, v); }
FNN_INLINE vec vset1(real x) { return FNN_REALS(vdupq_n)(x); }
FNN_INLINE vec vzero(void) { return vset1(0); }

FNN_INLINE vec vadd(vec a, vec b) { return FNN_REALS(vaddq)(a, b); }
FNN_INLINE vec vsub(vec a, vec b) { return FNN_REALS(vsubq)(a, b); }
FNN_INLINE vec vmul(vec a, vec b) { return FNN_REALS(vmulq)(a, b); }
FNN_INLINE vec vdiv(vec a, vec b) { return FNN_REALS(vdivq)(a, b); }
FNN_INLINE vec vsqrt(vec v) { return FNN_REALS(vsqrtq)(v); }
FNN_INLINE vec vabs(vec v) { return FNN_REALS(vabsq)(v); }
FNN_INLINE vec vfma(vec a, vec b, vec c) { return FNN_REALS(vfmaq)(c, a, b); }
FNN_INLINE vec vfnma(vec a, vec b, vec c) { return FNN_REALS(vfmsq)(c, a, b); }
FNN_INLINE vmask vless(vec a, vec b) { return FNN_REALS(vcltq)(a, b); }
FNN_INLINE vec vselect(vmask mask, vec yes, vec no) { return FNN_REALS(vbslq)(mask, yes, no); }

/* Not by FMAX and FMIN, which give NaN where either operand is. */
FNN_INLINE vec vmax(vec a, vec b) { return vselect(vless(b, a), a, b); }
FNN_INLINE vec vmin(vec a, vec b) { return vselect(vless(a, b), a, b); }

#if FNN_IS_F32

/* Lane by lane: there are no loads and stores under a mask. */
FNN_INLINE vec vload_part_or(const real *p, ptrdiff_t n, vec fill) {
    vec v = vld1q_lane_f32(p, fill, 0);
    if (n > 1) v = vld1q_lane_f32(p + 1, v, 1);
    if (n > 2) v = vld1q_lane_f32(p + 2, v, 2);
    if (n > 3) v = vld1q_lane_f32(p + 3, v, 3);
    return v;
}

FNN_INLINE void vstore_part(real *p, vec v, ptrdiff_t n) {
    vst1q_lane_f32(p, v, 0);
    if (n > 1) vst1q_lane_f32(p + 1, v, 1);
    if (n > 2) vst1q_lane_f32(p + 2, v, 2);
    if (n > 3) vst1q_lane_f32(p + 3, v, 3);
}

FNN_INLINE vec FNN_NAME(as_reals)(int32x4_t bits) { return vreinterpretq_f32_s32(bits); }
FNN_INLINE int32x4_t FNN_NAME(as_bits)(vec v) { return vreinterpretq_s32_f32(v); }
FNN_INLINE vec FNN_NAME(to_reals)(int32x4_t n) { return vcvtq_f32_s32(n); }
FNN_INLINE int32x4_t FNN_NAME(to_integers)(vec n) { return vcvtq_s32_f32(n); }

FNN_INLINE real vsum(vec v) { return vpadds_f32(vadd_f32(vget_low_f32(v), vget_high_f32(v))); }

FNN_INLINE unsigned vnonzero(vec v) {
    const uint32x4_t bits = {1, 2, 4, 8};
    return vaddvq_u32(vbicq_u32(bits, vceqzq_f32(v)));
}

FNN_INLINE double vsum_double(vec v) {
    return vpaddd_f64(vaddq_f64(vcvt_f64_f32(vget_low_f32(v)), vcvt_high_f64_f32(v)));
}

#else

FNN_INLINE vec vload_part_or(const real *p, ptrdiff_t n, vec fill) {
    const vec v = vld1q_lane_f64(p, fill, 0);
    return n > 1 ? vld1q_lane_f64(p + 1, v, 1) : v;
}

FNN_INLINE void vstore_part(real *p, vec v, ptrdiff_t n) {
    vst1q_lane_f64(p, v, 0);
    if (n > 1) vst1q_lane_f64(p + 1, v, 1);
}

FNN_INLINE vec FNN_NAME(as_reals)(int64x2_t bits) { return vreinterpretq_f64_s64(bits); }
FNN_INLINE int64x2_t FNN_NAME(as_bits)(vec v) { return vreinterpretq_s64_f64(v); }
FNN_INLINE vec FNN_NAME(to_reals)(int64x2_t n) { return vcvtq_f64_s64(n); }
FNN_INLINE int64x2_t FNN_NAME(to_integers)(vec n) { return vcvtq_s64_f64(n); }

FNN_INLINE unsigned vnonzero(vec v) {
    const uint64x2_t bits = {1, 2};
    return (unsigned)vaddvq_u64(vbicq_u64(bits, vceqzq_f64(v)));
}

FNN_INLINE real vsum(vec v) { return vpaddd_f64(v); }
FNN_INLINE double vsum_double(vec v) { return vsum(v); }

#endif

FNN_INLINE vec vload_part(const real *p, ptrdiff_t n) { return vload_part_or(p, n, vzero()); }
FNN_INLINE real vhmax(vec v) { return FNN_REALS(vmaxvq)(v); }
FNN_INLINE vec vzip_low(vec a, vec b) { return FNN_REALS(vzip1q)(a, b); }
FNN_INLINE vec vzip_high(vec a, vec b) { return FNN_REALS(vzip2q)(a, b); }

FNN_INLINE vec vexponent(vec v) {
    const FNN_NAME(integers) bias = FNN_INTEGERS(vdupq_n)(FNN_BIAS);
    const FNN_NAME(integers) field = FNN_INTEGERS(vshrq_n)(FNN_NAME(as_bits)(v), FNN_MANTISSA);
    return FNN_NAME(to_reals)(FNN_INTEGERS(vsubq)(field, bias));
}

FNN_INLINE vec FNN_NAME(power_of_two)(FNN_NAME(integers) n) {
    const FNN_NAME(integers) field = FNN_INTEGERS(vaddq)(n, FNN_INTEGERS(vdupq_n)(FNN_BIAS));
    return FNN_NAME(as_reals)(FNN_INTEGERS(vshlq_n)(field, FNN_MANTISSA));
}

/* In two halves, since 2^128 (2^1024) is no number by itself. */
FNN_INLINE vec vscale2(vec v, vec n) {
    const FNN_NAME(integers) whole = FNN_NAME(to_integers)(n);
    const FNN_NAME(integers) half = FNN_INTEGERS(vshrq_n)(whole, 1);
    const FNN_NAME(integers) rest = FNN_INTEGERS(vsubq)(whole, half);
    return vmul(vmul(v, FNN_NAME(power_of_two)(half)), FNN_NAME(power_of_two)(rest));
}

#undef FNN_REALS
#undef FNN_INTEGERS
#undef FNN_MANTISSA
#undef FNN_BIAS

#include "tail.h"
