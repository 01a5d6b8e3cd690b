/* dispatch.c: which kernels this CPU can run, and its floating-point state.
 *
 * All of it is pure: nothing is remembered, the package asks once at import and keeps the answer.
 * Rejected: a mutable table filled by overlaying (BLIS). Every ISA here is generated from the same
 * sources, so each table is complete and there is nothing to overlay.
 */
#include "dispatch.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#elif defined(_M_ARM64)
#include <intrin.h>
#endif

static int cpu_has(fnn_isa isa) {
#if defined(__x86_64__) || defined(_M_X64)
    /* The compiler's run-time asks CPUID, and XGETBV whether the system saves the registers. */
    __builtin_cpu_init();
    if (isa == FNN_ISA_AVX2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (isa == FNN_ISA_AVX512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#elif defined(__aarch64__) || defined(_M_ARM64)
    if (isa == FNN_ISA_NEON) return 1; /* part of every CPU of the family */
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

#if defined(__x86_64__) || defined(_M_X64)
#define FLUSH_BITS 0x8040 /* FTZ and DAZ of MXCSR */
static uint64_t read_float_state(void) { return _mm_getcsr(); }
static void write_float_state(uint64_t state) { _mm_setcsr((unsigned)state); }
#elif defined(__aarch64__) || defined(_M_ARM64)
#define FLUSH_BITS 0x1000000 /* FZ of FPCR: what goes in, and what comes out */
#if defined(__GNUC__) || defined(__clang__)
static uint64_t read_float_state(void) {
    uint64_t state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state));
    return state;
}
static void write_float_state(uint64_t state) { __asm__ volatile("msr fpcr, %0" : : "r"(state)); }
#else
static uint64_t read_float_state(void) { return (uint64_t)_ReadStatusReg(ARM64_FPCR); }
static void write_float_state(uint64_t state) { _WriteStatusReg(ARM64_FPCR, (__int64)state); }
#endif
#else
#define FLUSH_BITS 0 /* not known: denormals are kept */
static uint64_t read_float_state(void) { return 0; }
static void write_float_state(uint64_t state) { (void)state; }
#endif

uint64_t fnn_flush_denormals(void) {
    const uint64_t state = read_float_state();
    write_float_state(state | FLUSH_BITS);
    return state;
}

void fnn_restore_float_state(uint64_t state) { write_float_state(state); }
