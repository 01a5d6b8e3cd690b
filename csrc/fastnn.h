/* fastnn.h: the C API of the fastnn core.
 *
 * Everything here is single-threaded, allocates nothing and cannot fail: the caller owns every
 * buffer, checks every argument and decides which thread works on which slice. Matrices are
 * row-major; a stride is the distance between two rows, in elements.
 *
 * docs/KERNELS.md is the contract that every kernel keeps.
 */
#ifndef FASTNN_H
#define FASTNN_H

#include <stddef.h>
#include <stdint.h>

#include "paste.h"

/* ---- the lists: their order is the numbering that the engine and the tests use ---- */

#define X(name, NAME, shape, source, coefficient) FNN_ACTIVATION_##NAME,
typedef enum {
#include "lists/activations.def"
    FNN_N_ACTIVATIONS
} fnn_activation;
#undef X

#define X(name, NAME, shape, merged_activation, targets) FNN_LOSS_##NAME,
typedef enum {
#include "lists/losses.def"
    FNN_N_LOSSES
} fnn_loss;
#undef X

#define X(name, NAME, n_slots) FNN_OPTIMIZER_##NAME,
typedef enum {
#include "lists/optimizers.def"
    FNN_N_OPTIMIZERS
} fnn_optimizer;
#undef X

#define X(name, NAME) FNN_FUNCTION_##NAME,
typedef enum {
#include "lists/functions.def"
    FNN_N_FUNCTIONS
} fnn_function;
#undef X

#define X(name, NAME) FNN_ISA_##NAME,
typedef enum {
#include "lists/isas.def"
    FNN_N_ISAS
} fnn_isa;
#undef X

/* Whether an activation needs whole rows (softmax) or works on any block of them. */
typedef enum { FNN_ELEMENTWISE, FNN_ROWWISE } fnn_shape;

/* What an activation's derivative is computed from: its output a, or its input z. */
typedef enum { FNN_OUTPUT, FNN_INPUT } fnn_source;

/* The number per unit that an activation may have: a setting, or a parameter that is learnt. */
typedef enum { FNN_NONE, FNN_FIXED, FNN_LEARNT } fnn_coefficient;

typedef struct {
    const char *name;
    fnn_shape shape;
    fnn_source source;
    fnn_coefficient coefficient;
} fnn_activation_info;

typedef struct {
    const char *name;
    fnn_activation merged_activation; /* contained in the loss, which takes raw scores */
    const char *targets;              /* what it compares the output with: see losses.def */
} fnn_loss_info;

/* What a loss object is set to; each loss reads what concerns it. */
typedef struct {
    double label_smoothing; /* cross-entropies: the share that is spread over all classes */
    double delta;           /* huber: the error from which on it is linear */
    double sum_outputs;     /* not 0: add a row's outputs up, where the mean is usual */
} fnn_loss_settings;

typedef struct {
    const char *name;
    int n_slots; /* numbers kept per parameter from step to step */
} fnn_optimizer_info;

extern const fnn_activation_info fnn_activations[FNN_N_ACTIVATIONS];
extern const fnn_loss_info fnn_losses[FNN_N_LOSSES];
extern const fnn_optimizer_info fnn_optimizers[FNN_N_OPTIMIZERS];
extern const char *const fnn_functions[FNN_N_FUNCTIONS];
extern const char *const fnn_isas[FNN_N_ISAS];

/* ---- random numbers: what they are for is part of the generator's counter (random.c) ---- */

enum { FNN_PURPOSE_UNIFORM, FNN_PURPOSE_SHUFFLE, FNN_PURPOSE_NORMAL, FNN_PURPOSE_DROPOUT };

/* Which elements of a layer's rows are dropped in one step: those whose word is below threshold. */
typedef struct {
    uint64_t seed;
    uint32_t step, layer; /* layer < 2^24 */
    uint32_t threshold;   /* rate * 2^32 */
    double factor;        /* of those that are kept: 1 / (1 - rate) */
} fnn_mask;

/* What batch norm and layer norm do: in a training step (and what batch norm remembers of it), in
 * predictions, to the gradient. */
typedef enum {
    FNN_BATCH_NORM_FORWARD,
    FNN_BATCH_NORM_TRACK,
    FNN_BATCH_NORM_APPLY,
    FNN_BATCH_NORM_BACKWARD,
    FNN_LAYER_NORM_FORWARD,
    FNN_LAYER_NORM_BACKWARD,
    FNN_N_NORMS
} fnn_norm;

/* Numbers kept per parameter, by any optimizer. */
#define FNN_MAX_SLOTS 2
/* Coefficients that mean something else in each formula. */
#define FNN_N_OWN 6

/* What an optimizer's formula needs at one step, the same for all parameters. */
typedef struct {
    double rate;           /* learning rate, with bias corrections where the formula has them */
    double keep;           /* factor of the parameter: 1 - learning rate * decoupled weight decay */
    double decay;          /* coupled weight decay: decay * w is added to the gradient */
    double limit;          /* gradients are clipped to +-limit; INFINITY: they are not */
    double norm;           /* gradients are scaled to this norm of them all at most; INFINITY: not.
                              The caller does that: args->scale of optimizer_update */
    double own[FNN_N_OWN]; /* what each formula calls its own, kernels/optimizers.inc */
} fnn_coefficients;
#define FNN_N_COEFFICIENTS (5 + FNN_N_OWN)

/* ---- kernels: one table per instruction set and dtype ---- */

#define FNN_DTYPE f32
#define FNN_REAL float
#include "kernel_table.inc"
#undef FNN_DTYPE
#undef FNN_REAL
#define FNN_DTYPE f64
#define FNN_REAL double
#include "kernel_table.inc"
#undef FNN_DTYPE
#undef FNN_REAL

/* NULL where this build or this CPU lacks the instruction set; scalar is always there. */
const fnn_kernels_f32 *fnn_find_kernels_f32(fnn_isa isa);
const fnn_kernels_f64 *fnn_find_kernels_f64(fnn_isa isa);

/* ---- BLAS: C (m, n) = alpha * op(A) op(B) + beta * C, all row-major ---- */

typedef void (*fnn_sgemm)(char *, char *, int *, int *, int *, float *, float *, int *, float *,
                          int *, float *, float *, int *);
typedef void (*fnn_dgemm)(char *, char *, int *, int *, int *, double *, double *, int *, double *,
                          int *, double *, double *, int *);

/* Hand over a Fortran-style BLAS once at start-up; before that a plain C loop stands in. */
void fnn_set_blas(fnn_sgemm sgemm, fnn_dgemm dgemm);
void fnn_multiply_matrices_f32(int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                               const float *a, int lda, const float *b, int ldb, float beta,
                               float *c, int ldc);
void fnn_multiply_matrices_f64(int transpose_a, int transpose_b, int m, int n, int k, double alpha,
                               const double *a, int lda, const double *b, int ldb, double beta,
                               double *c, int ldc);

/* ---- counter-based random numbers (random.c): pure functions of their arguments ---- */

/* Four 32-bit words for one (key, counter): Philox4x32-10. */
void fnn_generate_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t words[4]);
/* out[i] uniform in [low, high), a function of (seed, stream, i) alone. */
void fnn_fill_uniform(uint64_t seed, uint32_t stream, double low, double high, ptrdiff_t n,
                      double *out);
/* out[i] normal, likewise. */
void fnn_fill_normal(uint64_t seed, uint32_t stream, double mean, double std, ptrdiff_t n,
                     double *out);
/* out = a uniformly drawn permutation of 0..n-1, n <= 2^32, a function of (seed, epoch, n). */
void fnn_shuffle_indices(uint64_t seed, uint32_t epoch, ptrdiff_t n, int64_t *out);

/* ---- for initial weights: operations that IEEE 754 rounds alike everywhere (initial.c) ---- */

/* The number that a standard normal variable falls below with probability 1/2 + q, |q| < 1/2. */
double fnn_find_normal_quantile(double q);
/* Make the rows of a (n_rows, n_cols), n_rows <= n_cols, orthonormal, from the first to the last.
 */
void fnn_orthonormalize_rows(ptrdiff_t n_rows, ptrdiff_t n_cols, double *a);

/* ---- floating-point state of the calling thread ---- */

/* Flush denormals to zero from here on; returns the state to restore. */
uint64_t fnn_flush_denormals(void);
void fnn_restore_float_state(uint64_t state);

#endif
