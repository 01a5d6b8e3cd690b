/* names.h: one spelling for two precisions.
 *
 * Kernels (kernels/NAME.inc) and vector vocabularies (simd/ISA.h) are written once and included
 * twice in one translation unit. Before each round the includer says which precision it is:
 *
 *     #define FNN_DTYPE  f32       or f64
 *     #define FNN_REAL   float     or double
 *     #define FNN_IS_F32 1         or 0
 *
 * The macros below expand lazily, at their point of use, so this header is included only once.
 * Include system headers before it: `real` and `vec` are short names.
 */
#ifndef FNN_NAMES_H
#define FNN_NAMES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "paste.h"

#define FNN_TABLE(isa) FNN_NAME(FNN_PASTE(fnn_table, isa)) /* avx2 -> fnn_table_avx2_f32 */
#define real FNN_REAL

/* x + FNN_SNAP is x rounded to an integer (ties to even), which sits in the low bits of the sum;
 * subtracting FNN_SNAP again leaves it as a real. For |x| < 2^22 (f32), 2^51 (f64). */
#define FNN_SNAP ((real)(FNN_IS_F32 ? 0x1.8p23 : 0x1.8p52))

/* Inlined at any optimisation level: a kernel hands its formula to a loop as a function pointer,
 * which costs nothing only if the compiler sees through it. */
#if defined(_MSC_VER) && !defined(__clang__)
#define FNN_INLINE static __forceinline
#define FNN_PREFETCH(p) ((void)(p))
#else
#define FNN_INLINE static inline __attribute__((always_inline))
#define FNN_PREFETCH(p) __builtin_prefetch(p, 1) /* to be written */
#endif

/* Bits that are set, and which is the lowest of a word that is not 0. */
#if defined(_MSC_VER) && !defined(__clang__)
FNN_INLINE ptrdiff_t fnn_count_bits(uint64_t word) {
    ptrdiff_t n = 0;
    for (; word; word &= word - 1) n++;
    return n;
}
FNN_INLINE ptrdiff_t fnn_find_lowest_bit(uint64_t word) {
    return fnn_count_bits((word & (~word + 1)) - 1);
}
#else
FNN_INLINE ptrdiff_t fnn_count_bits(uint64_t word) { return __builtin_popcountll(word); }
FNN_INLINE ptrdiff_t fnn_find_lowest_bit(uint64_t word) { return __builtin_ctzll(word); }
#endif

/* The vector vocabulary, one inline function each per ISA and dtype. A vec holds V_WIDTH reals.
 *
 *   vload(p)  vstore(p, v)                any alignment
 *   vload_part(p, n)  vstore_part(p, v, n)
 *                                         first n lanes, 1 <= n <= V_WIDTH; the load makes the
 *                                         others 0; nothing past the nth is touched
 *   vload_part_or(p, n, fill)             the same, the others taken from the vec `fill`
 *   vset1(x)  vzero()
 *   vadd vsub vmul vdiv vsqrt vabs
 *   vfma(a, b, c)   a*b + c               rounded once where the ISA has FMA, twice on scalar
 *   vfnma(a, b, c)  c - a*b
 *   vload_low(p)  vfma_low(a, b, c)       the lower half of the lanes, the others undefined, where
 *                                         V_HALVES is 1; else tail.h makes them whole
 *   vmax(a, b)  vmin(a, b)                b when unordered: vmax(vzero(), z) keeps a NaN z
 *   vless(a, b)                           vmask of a < b; false when unordered
 *   vnonzero(v)                           bit k of an unsigned: lane k is not 0, or NaN
 *   vselect(mask, yes, no)
 *   vexponent(v)                          n of v = m 2^n with 1 <= m < 2, for normal v > 0
 *   vscale2(v, n)                         v * 2^n for integral n with |n| <= 252 (f32), 2044 (f64)
 *   vzip_low(a, b)  vzip_high(a, b)       a0 b0 a1 b1 ... of the lower and of the upper lanes; only
 *                                         where V_WIDTH_LOG2 > 0
 *   vsum(v)  vhmax(v)                     over the lanes, as real; one fixed tree per ISA
 *   vsum_double(v)                        lanes widened to double first
 *
 * simd/tail.h adds, on top of any ISA:
 *   vload_upto(p, n)  vstore_upto(p, v, n)  vload_upto_or(p, n, fill)
 *                                         min(n, V_WIDTH) lanes, n >= 1: whole vectors and the tail
 *
 * The functions behind these names begin with fnn_: vadd_f32 and so on are taken on AArch64.
 */
#define vec FNN_NAME(vec)
#define vmask FNN_NAME(vmask)
#define vload FNN_NAME(fnn_vload)
#define vstore FNN_NAME(fnn_vstore)
#define vload_part FNN_NAME(fnn_vload_part)
#define vload_part_or FNN_NAME(fnn_vload_part_or)
#define vstore_part FNN_NAME(fnn_vstore_part)
#define vload_upto FNN_NAME(fnn_vload_upto)
#define vload_upto_or FNN_NAME(fnn_vload_upto_or)
#define vstore_upto FNN_NAME(fnn_vstore_upto)
#define vset1 FNN_NAME(fnn_vset1)
#define vzero FNN_NAME(fnn_vzero)
#define vadd FNN_NAME(fnn_vadd)
#define vsub FNN_NAME(fnn_vsub)
#define vmul FNN_NAME(fnn_vmul)
#define vdiv FNN_NAME(fnn_vdiv)
#define vsqrt FNN_NAME(fnn_vsqrt)
#define vabs FNN_NAME(fnn_vabs)
#define vfma FNN_NAME(fnn_vfma)
#define vload_low FNN_NAME(fnn_vload_low)
#define vfma_low FNN_NAME(fnn_vfma_low)
#define vfnma FNN_NAME(fnn_vfnma)
#define vmax FNN_NAME(fnn_vmax)
#define vmin FNN_NAME(fnn_vmin)
#define vless FNN_NAME(fnn_vless)
#define vnonzero FNN_NAME(fnn_vnonzero)
#define vselect FNN_NAME(fnn_vselect)
#define vexponent FNN_NAME(fnn_vexponent)
#define vscale2 FNN_NAME(fnn_vscale2)
#define vzip_low FNN_NAME(fnn_vzip_low)
#define vzip_high FNN_NAME(fnn_vzip_high)
#define vsum FNN_NAME(fnn_vsum)
#define vhmax FNN_NAME(fnn_vhmax)
#define vsum_double FNN_NAME(fnn_vsum_double)

/* Built from the vocabulary in kernels/exp.inc. */
#define vexp FNN_NAME(fnn_vexp)
#define vexpm1 FNN_NAME(fnn_vexpm1)
/* And in kernels/log.inc, erf.inc and atan.inc. */
#define vlog FNN_NAME(fnn_vlog)
#define vlog1p FNN_NAME(fnn_vlog1p)
#define verf FNN_NAME(fnn_verf)
#define vatan FNN_NAME(fnn_vatan)

#endif
