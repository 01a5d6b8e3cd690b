/* test_core.c: the C core alone, without Python: every kernel of every instruction set of this CPU.
 *
 * Buffers come from malloc and have exactly the size that the contract asks for, so that
 * AddressSanitizer sees the first element too many. BLAS is the plain loop that stands in before
 * fnn_set_blas. Prints what fails and returns 1, or prints what was done and returns 0.
 *
 *     cc -std=c11 -Icsrc tests/c/test_core.c csrc/x.c ... csrc/isa/x.c ... -lm
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastnn.h"

static int n_checks, n_failures;

static void check(int passed, const char *what, const char *isa, const char *dtype) {
    n_checks++;
    if (passed) return;
    n_failures++;
    printf("FAILED: %s (%s, %s)\n", what, isa, dtype);
}

static void *allocate(size_t size) {
    void *memory = malloc(size);
    if (!memory) exit(2);
    return memory;
}

/* A number in -1..1 that depends on i alone. */
static double make_number(ptrdiff_t i) {
    double number;
    fnn_fill_uniform(1, (uint32_t)i, -1, 1, 1, &number);
    return number;
}

#define FNN_DTYPE f32
#define FNN_REAL float
#define DTYPE_NAME "float"
#define EPSILON ((double)FLT_EPSILON)
#include "core_checks.inc"
#undef FNN_DTYPE
#undef FNN_REAL
#undef DTYPE_NAME
#undef EPSILON
#define FNN_DTYPE f64
#define FNN_REAL double
#define DTYPE_NAME "double"
#define EPSILON DBL_EPSILON
#include "core_checks.inc"

static void check_lists(void) {
    for (int i = 0; i < FNN_N_ACTIVATIONS; i++)
        check(strlen(fnn_activations[i].name) > 0, "activations have names", "", "");
    for (int i = 0; i < FNN_N_LOSSES; i++)
        check(strlen(fnn_losses[i].name) > 0, "losses have names", "", "");
    for (int i = 0; i < FNN_N_OPTIMIZERS; i++)
        check(fnn_optimizers[i].n_slots >= 0 && fnn_optimizers[i].n_slots <= FNN_MAX_SLOTS,
              "optimizers have slots", "", "");
    check(sizeof(fnn_coefficients) == FNN_N_COEFFICIENTS * sizeof(double), "coefficients", "", "");
    check(strcmp(fnn_activations[FNN_ACTIVATION_TANH].name, "tanh") == 0, "numbering", "", "");
    check(fnn_activations[FNN_ACTIVATION_SOFTMAX].shape == FNN_ROWWISE, "softmax rows", "", "");
    check(fnn_losses[FNN_LOSS_SOFTMAX_CROSS_ENTROPY].merged_activation == FNN_ACTIVATION_SOFTMAX,
          "softmax is merged", "", "");
    check(fnn_find_kernels_f32(FNN_ISA_SCALAR) != NULL, "scalar is there", "", "float");
    check(fnn_find_kernels_f64(FNN_ISA_SCALAR) != NULL, "scalar is there", "", "double");
}

/* The known answers of Random123, kat_vectors, philox4x32 with 10 rounds. */
static void check_philox(void) {
    static const uint32_t keys[3][2] = {{0, 0}, {~0u, ~0u}, {0xA4093822, 0x299F31D0}};
    static const uint32_t counters[3][4] = {
        {0, 0, 0, 0},
        {~0u, ~0u, ~0u, ~0u},
        {0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344},
    };
    static const uint32_t answers[3][4] = {
        {0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8},
        {0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD},
        {0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t words[4];
        fnn_generate_philox(keys[i], counters[i], words);
        check(memcmp(words, answers[i], sizeof words) == 0, "philox known answer", "", "");
    }
}

static void check_random(void) {
    enum { n = 1001 };
    double *numbers = allocate(n * sizeof *numbers), sum = 0;
    int64_t *order = allocate(n * sizeof *order);
    int *seen = allocate(n * sizeof *seen);
    int inside = 1, permutation = 1, moved = 0;
    fnn_fill_uniform(7, 3, -2, 5, n, numbers);
    for (int i = 0; i < n; i++) {
        inside &= numbers[i] >= -2 && numbers[i] < 5;
        sum += numbers[i];
        seen[i] = 0;
    }
    check(inside, "uniform numbers lie in their range", "", "");
    check(fabs(sum / n - 1.5) < 0.3, "mean of uniform numbers", "", "");
    fnn_shuffle_indices(7, 0, n, order);
    for (int i = 0; i < n; i++) {
        permutation &= order[i] >= 0 && order[i] < n && !seen[order[i]]++;
        moved += order[i] != i;
    }
    check(permutation, "a shuffle is a permutation", "", "");
    check(moved > n - 20, "a shuffle moves almost everything", "", "");
    free(numbers);
    free(order);
    free(seen);
}

static void check_float_state(void) {
    volatile double least = DBL_MIN;
    const uint64_t state = fnn_flush_denormals();
#if defined(__x86_64__) || defined(__aarch64__)
    check(least * 0.5 == 0, "denormals are flushed", "", "");
#endif
    fnn_restore_float_state(state);
    check(least * 0.5 > 0, "denormals are back", "", "");
}

int main(void) {
    check_lists();
    check_philox();
    check_random();
    check_float_state();
    check_plain_blas_f32();
    check_plain_blas_f64();
    for (int isa = 0; isa < FNN_N_ISAS; isa++) {
        if (!fnn_find_kernels_f32((fnn_isa)isa)) continue;
        check_kernels_f32(fnn_find_kernels_f32((fnn_isa)isa));
        check_kernels_f64(fnn_find_kernels_f64((fnn_isa)isa));
        printf("%s\n", fnn_isas[isa]);
    }
    printf("%d checks, %d failures\n", n_checks, n_failures);
    return n_failures > 0;
}
