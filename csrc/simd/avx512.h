/* avx512.h: the vector vocabulary for AVX-512 (F, DQ, BW, VL): 16 floats or 8 doubles.
 * Re-includable; names.h holds the contract.
 */
#include <immintrin.h>

#undef V_WIDTH
#undef V_WIDTH_LOG2
#undef V_HALVES
#undef FNN_TILE_ROWS
#undef FNN_TILE_VECTORS
#define FNN_TILE_ROWS 6
#define FNN_TILE_VECTORS 4
#define V_HALVES 1

#if FNN_IS_F32
#define V_WIDTH 16
#define V_WIDTH_LOG2 4
#define FNN_MM(op) _mm512_##op##_ps
#define FNN_MM_MASK(op) _mm512_##op##_ps_mask
#define FNN_MM_HALF(op) _mm256_##op##_ps
#define FNN_MM_LOW _mm512_castps512_ps256
#define FNN_MM_WIDEN _mm512_castps256_ps512
typedef __m512 vec;
typedef __mmask16 vmask;
#else
#define V_WIDTH 8
#define V_WIDTH_LOG2 3
#define FNN_MM(op) _mm512_##op##_pd
#define FNN_MM_MASK(op) _mm512_##op##_pd_mask
#define FNN_MM_HALF(op) _mm256_##op##_pd
#define FNN_MM_LOW _mm512_castpd512_pd256
#define FNN_MM_WIDEN _mm512_castpd256_pd512
typedef __m512d vec;
typedef __mmask8 vmask;
#endif

FNN_INLINE vec vset1(real x) { return FNN_MM(set1)(x); }
FNN_INLINE vec vzero(void) { return FNN_MM(setzero)(); }

FNN_INLINE vmask FNN_NAME(first_lanes)(ptrdiff_t n) { return (vmask)((1u << n) - 1u); }
FNN_INLINE vec vload(const real *p) { return FNN_MM(loadu)(p); }
FNN_INLINE void vstore(real *p, vec v) { FNN_MM(storeu)(p, v); }
FNN_INLINE vec vload_part_or(const real *p, ptrdiff_t n, vec fill) {
    return FNN_MM(mask_loadu)(fill, FNN_NAME(first_lanes)(n), p);
}
FNN_INLINE vec vload_part(const real *p, ptrdiff_t n) { return vload_part_or(p, n, vzero()); }
FNN_INLINE void vstore_part(real *p, vec v, ptrdiff_t n) {
    FNN_MM(mask_storeu)(p, FNN_NAME(first_lanes)(n), v);
}

/* The casts between a register and its lower half cost nothing. */
FNN_INLINE vec vload_low(const real *p) { return FNN_MM_WIDEN(FNN_MM_HALF(loadu)(p)); }
FNN_INLINE vec vfma_low(vec a, vec b, vec c) {
    return FNN_MM_WIDEN(FNN_MM_HALF(fmadd)(FNN_MM_LOW(a), FNN_MM_LOW(b), FNN_MM_LOW(c)));
}

FNN_INLINE vec vadd(vec a, vec b) { return FNN_MM(add)(a, b); }
FNN_INLINE vec vsub(vec a, vec b) { return FNN_MM(sub)(a, b); }
FNN_INLINE vec vmul(vec a, vec b) { return FNN_MM(mul)(a, b); }
FNN_INLINE vec vdiv(vec a, vec b) { return FNN_MM(div)(a, b); }
FNN_INLINE vec vsqrt(vec v) { return FNN_MM(sqrt)(v); }
FNN_INLINE vec vabs(vec v) { return FNN_MM(abs)(v); }
FNN_INLINE vec vfma(vec a, vec b, vec c) { return FNN_MM(fmadd)(a, b, c); }
FNN_INLINE vec vfnma(vec a, vec b, vec c) { return FNN_MM(fnmadd)(a, b, c); }
FNN_INLINE vec vmax(vec a, vec b) { return FNN_MM(max)(a, b); }
FNN_INLINE vec vmin(vec a, vec b) { return FNN_MM(min)(a, b); }
FNN_INLINE vmask vless(vec a, vec b) { return FNN_MM_MASK(cmp)(a, b, _CMP_LT_OQ); }
FNN_INLINE unsigned vnonzero(vec v) { return FNN_MM_MASK(cmp)(v, vzero(), _CMP_NEQ_UQ); }
FNN_INLINE vec vselect(vmask mask, vec yes, vec no) { return FNN_MM(mask_blend)(mask, no, yes); }
FNN_INLINE vec vexponent(vec v) { return FNN_MM(getexp)(v); }
FNN_INLINE vec vscale2(vec v, vec n) { return FNN_MM(scalef)(v, n); }

#if FNN_IS_F32

FNN_INLINE real vsum(vec v) {
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

FNN_INLINE real vhmax(vec v) {
    const __m256 half = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

FNN_INLINE double vsum_double(vec v) {
    const __m512d s = _mm512_add_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(v)),
                                    _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1)));
    const __m256d half = _mm256_add_pd(_mm512_castpd512_pd256(s), _mm512_extractf64x4_pd(s, 1));
    const __m128d t = _mm_add_pd(_mm256_castpd256_pd128(half), _mm256_extractf128_pd(half, 1));
    return _mm_cvtsd_f64(_mm_add_sd(t, _mm_unpackhi_pd(t, t)));
}

FNN_INLINE vec vzip_low(vec a, vec b) {
    const __m512i lanes = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    return _mm512_permutex2var_ps(a, lanes, b);
}

FNN_INLINE vec vzip_high(vec a, vec b) {
    const __m512i lanes =
        _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    return _mm512_permutex2var_ps(a, lanes, b);
}

#else

FNN_INLINE real vsum(vec v) {
    const __m256d half = _mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1));
    const __m128d s = _mm_add_pd(_mm256_castpd256_pd128(half), _mm256_extractf128_pd(half, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}

FNN_INLINE real vhmax(vec v) {
    const __m256d half = _mm256_max_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1));
    const __m128d s = _mm_max_pd(_mm256_castpd256_pd128(half), _mm256_extractf128_pd(half, 1));
    return _mm_cvtsd_f64(_mm_max_sd(s, _mm_unpackhi_pd(s, s)));
}

FNN_INLINE double vsum_double(vec v) { return vsum(v); }

FNN_INLINE vec vzip_low(vec a, vec b) {
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), b);
}

FNN_INLINE vec vzip_high(vec a, vec b) {
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), b);
}

#endif

#undef FNN_MM
#undef FNN_MM_MASK
#undef FNN_MM_HALF
#undef FNN_MM_LOW
#undef FNN_MM_WIDEN

#include "tail.h"
