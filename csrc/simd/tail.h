/* tail.h: whole vectors and the last, shorter one through the same call. Re-includable,
 * ISA-neutral; every vocabulary ends by including it. A loop over n elements is then one loop:
 *
 *     for (ptrdiff_t i = 0; i < n; i += V_WIDTH)
 *         vstore_upto(y + i, f(vload_upto(x + i, n - i)), n - i);
 *
 * and the test below, the only tail logic there is, is a branch that goes the other way once a row.
 */

FNN_INLINE vec vload_upto_or(const real *p, ptrdiff_t n, vec fill) {
    return n >= V_WIDTH ? vload(p) : vload_part_or(p, n, fill);
}

FNN_INLINE vec vload_upto(const real *p, ptrdiff_t n) {
    return n >= V_WIDTH ? vload(p) : vload_part(p, n);
}

FNN_INLINE void vstore_upto(real *p, vec v, ptrdiff_t n) {
    if (n >= V_WIDTH)
        vstore(p, v);
    else
        vstore_part(p, v, n);
}

/* Half a vector, where that costs half of it (V_HALVES): the lower lanes, at least. */
#undef V_STEP
#define V_STEP (V_WIDTH / (1 + V_HALVES))
#if !V_HALVES
FNN_INLINE vec vload_low(const real *p) { return vload(p); }
FNN_INLINE vec vfma_low(vec a, vec b, vec c) { return vfma(a, b, c); }
#endif
