/* avx2.h: the vector vocabulary for AVX2 with FMA: 8 floats or 4 doubles.
 * Re-includable; names.h holds the contract.
 */
#include <immintrin.h>

#undef V_WIDTH
#undef V_WIDTH_LOG2
#undef V_HALVES
#undef FNN_TILE_ROWS
#undef FNN_TILE_VECTORS
#define FNN_TILE_ROWS 6
#define FNN_TILE_VECTORS 2
#define V_HALVES 0

#if FNN_IS_F32
#define V_WIDTH 8
#define V_WIDTH_LOG2 3
#define FNN_MM(op) _mm256_##op##_ps
#define FNN_MM_HALVES _mm256_permute2f128_ps
typedef __m256 vec;
typedef __m256 vmask;
#else
#define V_WIDTH 4
#define V_WIDTH_LOG2 2
#define FNN_MM(op) _mm256_##op##_pd
#define FNN_MM_HALVES _mm256_permute2f128_pd
typedef __m256d vec;
typedef __m256d vmask;
#endif

FNN_INLINE vec vload(const real *p) { return FNN_MM(loadu)(p); }
FNN_INLINE void vstore(real *p, vec v) { FNN_MM(storeu)(p, v); }
FNN_INLINE vec vset1(real x) { return FNN_MM(set1)(x); }
FNN_INLINE vec vzero(void) { return FNN_MM(setzero)(); }

FNN_INLINE vec vadd(vec a, vec b) { return FNN_MM(add)(a, b); }
FNN_INLINE vec vsub(vec a, vec b) { return FNN_MM(sub)(a, b); }
FNN_INLINE vec vmul(vec a, vec b) { return FNN_MM(mul)(a, b); }
FNN_INLINE vec vdiv(vec a, vec b) { return FNN_MM(div)(a, b); }
FNN_INLINE vec vsqrt(vec v) { return FNN_MM(sqrt)(v); }
FNN_INLINE vec vabs(vec v) { return FNN_MM(andnot)(vset1((real)-0.0), v); }
FNN_INLINE vec vfma(vec a, vec b, vec c) { return FNN_MM(fmadd)(a, b, c); }
FNN_INLINE vec vfnma(vec a, vec b, vec c) { return FNN_MM(fnmadd)(a, b, c); }
FNN_INLINE vec vmax(vec a, vec b) { return FNN_MM(max)(a, b); }
FNN_INLINE vec vmin(vec a, vec b) { return FNN_MM(min)(a, b); }
FNN_INLINE vmask vless(vec a, vec b) { return FNN_MM(cmp)(a, b, _CMP_LT_OQ); }
FNN_INLINE unsigned vnonzero(vec v) {
    return (unsigned)FNN_MM(movemask)(FNN_MM(cmp)(v, vzero(), _CMP_NEQ_UQ));
}
FNN_INLINE vec vselect(vmask mask, vec yes, vec no) { return FNN_MM(blendv)(no, yes, mask); }

#if FNN_IS_F32

FNN_INLINE __m256i FNN_NAME(first_lanes)(ptrdiff_t n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
}

FNN_INLINE vec FNN_NAME(as_vec)(__m256i bits) { return _mm256_castsi256_ps(bits); }

/* 2^n: n + bias, in the low bits of the sum, is shifted into the exponent field. */
FNN_INLINE vec FNN_NAME(power_of_two)(vec n) {
    const __m256i bits = _mm256_castps_si256(vadd(n, vset1(FNN_SNAP + 127)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
}

/* The exponent field of v becomes the low bits of 2^23 (2^52), from which it is subtracted. */
FNN_INLINE vec vexponent(vec v) {
    const __m256i field = _mm256_srli_epi32(_mm256_castps_si256(v), 23);
    const __m256i sum = _mm256_or_si256(field, _mm256_castps_si256(vset1(0x1p23f)));
    return vsub(_mm256_castsi256_ps(sum), vset1(0x1p23f + 127));
}

FNN_INLINE real vsum(vec v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

FNN_INLINE real vhmax(vec v) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

FNN_INLINE double vsum_double(vec v) {
    const __m256d s = _mm256_add_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(v)),
                                    _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1)));
    const __m128d t = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
    return _mm_cvtsd_f64(_mm_add_sd(t, _mm_unpackhi_pd(t, t)));
}

#else

FNN_INLINE __m256i FNN_NAME(first_lanes)(ptrdiff_t n) {
    const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), lane);
}

FNN_INLINE vec FNN_NAME(as_vec)(__m256i bits) { return _mm256_castsi256_pd(bits); }

FNN_INLINE vec FNN_NAME(power_of_two)(vec n) {
    const __m256i bits = _mm256_castpd_si256(vadd(n, vset1(FNN_SNAP + 1023)));
    return _mm256_castsi256_pd(_mm256_slli_epi64(bits, 52));
}

FNN_INLINE vec vexponent(vec v) {
    const __m256i field = _mm256_srli_epi64(_mm256_castpd_si256(v), 52);
    const __m256i sum = _mm256_or_si256(field, _mm256_castpd_si256(vset1(0x1p52)));
    return vsub(_mm256_castsi256_pd(sum), vset1(0x1p52 + 1023));
}

FNN_INLINE real vsum(vec v) {
    const __m128d s = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}

FNN_INLINE real vhmax(vec v) {
    const __m128d s = _mm_max_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_max_sd(s, _mm_unpackhi_pd(s, s)));
}

FNN_INLINE double vsum_double(vec v) { return vsum(v); }

#endif

FNN_INLINE vec vload_part(const real *p, ptrdiff_t n) {
    return FNN_MM(maskload)(p, FNN_NAME(first_lanes)(n));
}

FNN_INLINE vec vload_part_or(const real *p, ptrdiff_t n, vec fill) {
    const __m256i lanes = FNN_NAME(first_lanes)(n);
    return vselect(FNN_NAME(as_vec)(lanes), FNN_MM(maskload)(p, lanes), fill);
}

FNN_INLINE void vstore_part(real *p, vec v, ptrdiff_t n) {
    FNN_MM(maskstore)(p, FNN_NAME(first_lanes)(n), v);
}

FNN_INLINE vec vzip_low(vec a, vec b) {
    return FNN_MM_HALVES(FNN_MM(unpacklo)(a, b), FNN_MM(unpackhi)(a, b), 0x20);
}

FNN_INLINE vec vzip_high(vec a, vec b) {
    return FNN_MM_HALVES(FNN_MM(unpacklo)(a, b), FNN_MM(unpackhi)(a, b), 0x31);
}

/* In two halves, since 2^128 (2^1024) is no number by itself. */
FNN_INLINE vec vscale2(vec v, vec n) {
    const vec snap = vset1(FNN_SNAP), half = vsub(vfma(n, vset1((real)0.5), snap), snap);
    const vec rest = vsub(n, half);
    return vmul(vmul(v, FNN_NAME(power_of_two)(half)), FNN_NAME(power_of_two)(rest));
}

#undef FNN_MM
#undef FNN_MM_HALVES

#include "tail.h"
