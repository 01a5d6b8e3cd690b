/* What this machine can do: the measurements that fractions in the tables refer to.
 *
 * Compiled when the bench runs, with VECTOR_BYTES set to the widest vector that the CPU has, and
 * called through ctypes. GCC's vector extension and contraction of a*b+c stand for the intrinsics
 * of every instruction set.
 */
#include <stddef.h>
#include <time.h>
#ifdef _OPENMP
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#endif

typedef float vec __attribute__((vector_size(VECTOR_BYTES)));

enum {
    LANES = VECTOR_BYTES / sizeof(float),
    /* Two units of latency 4 or 5 need 8 to 10 sums in flight; two registers hold the factors. */
    CHAINS = 12
};

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* `steps` rounds of CHAINS independent multiply-adds, all in registers. */
static float multiply_add(long steps, float start) {
    vec sum[CHAINS];
    vec factor, term, total;
    for (int lane = 0; lane < LANES; lane++) {
        factor[lane] = 0.999f;
        term[lane] = start;
        total[lane] = 0.0f;
    }
    for (int c = 0; c < CHAINS; c++) sum[c] = term * (float)(c + 1);
    for (long i = 0; i < steps; i++) {
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++) sum[c] = sum[c] * factor + term;
    }
    for (int c = 0; c < CHAINS; c++) total += sum[c];
    return total[0] + total[LANES - 1];
}

/* Each function below returns the number of threads that really ran, and its figure in *result. */

/* Operations per second of all threads together; a multiply-add counts as two. */
int fma_rate(int threads, long steps, double *result) {
    volatile float sink = 1.0f;
    double begin = 0.0, end = 0.0;
    int ran = 1;
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
#endif
    {
        float value = sink;
#ifdef _OPENMP
#pragma omp single
        ran = omp_get_num_threads();
#pragma omp master
        begin = seconds();
#pragma omp barrier
#else
        begin = seconds();
#endif
        value = multiply_add(steps, value);
#ifdef _OPENMP
#pragma omp critical
#endif
        sink = value;
#ifdef _OPENMP
#pragma omp barrier
#pragma omp master
#endif
        end = seconds();
    }
    (void)threads;
    *result = 2.0 * LANES * CHAINS * (double)steps * ran / (end - begin);
    return ran;
}

/* Bytes per second of a = b + 2c over arrays of n floats: 12 bytes counted for each element. */
int triad_rate(int threads, float *a, const float *b, const float *c, ptrdiff_t n, double *result) {
    int ran = 1;
    double begin = seconds();
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
    {
#pragma omp single
        ran = omp_get_num_threads();
#pragma omp for simd schedule(static)
        for (ptrdiff_t i = 0; i < n; i++) a[i] = b[i] + 2.0f * c[i];
    }
#else
    for (ptrdiff_t i = 0; i < n; i++) a[i] = b[i] + 2.0f * c[i];
#endif
    (void)threads;
    *result = 12.0 * (double)n / (seconds() - begin);
    return ran;
}

/* Seconds of one OpenMP barrier inside a region; 0 threads where there is no OpenMP. */
int barrier_time(int threads, long repeats, double *result) {
    int ran = 0;
#ifdef _OPENMP
    double begin = 0.0, end = 0.0;
#pragma omp parallel num_threads(threads)
    {
#pragma omp single
        ran = omp_get_num_threads();
#pragma omp master
        begin = seconds();
        for (long i = 0; i < repeats; i++) {
#pragma omp barrier
        }
#pragma omp master
        end = seconds();
    }
    *result = (end - begin) / (double)repeats;
#else
    (void)threads, (void)repeats, (void)result;
#endif
    return ran;
}

/* Seconds of one empty parallel region; 0 threads where there is no OpenMP. */
int region_time(int threads, long repeats, double *result) {
    int ran = 0;
#ifdef _OPENMP
    double begin = seconds();
    for (long i = 0; i < repeats; i++) {
#pragma omp parallel num_threads(threads)
        {
#pragma omp master
            ran = omp_get_num_threads();
        }
    }
    *result = (seconds() - begin) / (double)repeats;
#else
    (void)threads, (void)repeats, (void)result;
#endif
    return ran;
}

/* Seconds in which a line of the cache goes from one core to another and is written there, as what
 * threads tell each other does; of two threads, the first two of more. 0 threads where there are
 * not two. */
int transfer_time(int threads, long repeats, double *result) {
    int ran = 0;
#ifdef _OPENMP
    enum { LOOKS_TO_YIELD = 1 << 16 }; /* for where both threads share a core */
    _Alignas(64) atomic_long turn = 0;
    double begin = 0.0, end = 0.0;
    if (threads < 2) return 0;
#pragma omp parallel num_threads(threads)
    {
        const int own = omp_get_thread_num();
#pragma omp single
        ran = omp_get_num_threads();
#pragma omp master
        begin = seconds();
        for (long i = own; own < 2 && ran > 1 && i < 2 * repeats; i += 2) {
            for (long look = 1; atomic_load_explicit(&turn, memory_order_acquire) != i; look++)
                if (look % LOOKS_TO_YIELD == 0) sched_yield();
            atomic_store_explicit(&turn, i + 1, memory_order_release);
        }
#pragma omp barrier
#pragma omp master
        end = seconds();
    }
    *result = (end - begin) / (2.0 * (double)repeats);
#else
    (void)threads, (void)repeats, (void)result;
#endif
    return ran;
}
