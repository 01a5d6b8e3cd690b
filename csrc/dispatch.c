/* dispatch.c: which kernels this CPU can run, and its floating-point state.
 *
 * All of it is pure: nothing is remembered, the package asks once at import and keeps the answer.
 * Rejected: a mutable table filled by overlaying (BLIS). Every ISA here is generated from the same
 * sources, so each table is complete and there is nothing to overlay.
 */
#include "dispatch.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

static int cpu_has(fnn_isa isa) {
#if defined(__x86_64__) || defined(_M_X64)
    /* The compiler's run-time asks CPUID, and XGETBV whether the system saves the registers. */
    __builtin_cpu_init();
    if (isa == FNN_ISA_AVX2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (isa == FNN_ISA_AVX512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#endif
    return isa == FNN_ISA_SCALAR;
}

const fnn_kernels_f32 *fnn_find_kernels_f32(fnn_isa isa) {
    static const fnn_kernels_f32 *const tables[FNN_N_ISAS] = {
#define X(name, NAME) &fnn_table_##name##_f32,
#include "lists/isas.def"
#undef X
    };
    return cpu_has(isa) ? tables[isa] : NULL;
}

const fnn_kernels_f64 *fnn_find_kernels_f64(fnn_isa isa) {
    static const fnn_kernels_f64 *const tables[FNN_N_ISAS] = {
#define X(name, NAME) &fnn_table_##name##_f64,
#include "lists/isas.def"
#undef X
    };
    return cpu_has(isa) ? tables[isa] : NULL;
}

unsigned fnn_flush_denormals(void) {
#if defined(__x86_64__) || defined(_M_X64)
    const unsigned state = _mm_getcsr();
    _mm_setcsr(state | 0x8040); /* FTZ | DAZ */
    return state;
#else
    return 0;
#endif
}

void fnn_restore_float_state(unsigned state) {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_setcsr(state);
#else
    (void)state;
#endif
}
