/* threads.h: what the engine needs of threads beyond cython.parallel, with a serial stand-in. */
#ifndef FASTNN_THREADS_H
#define FASTNN_THREADS_H

#ifdef _OPENMP
#include <omp.h>
#endif

#ifdef _WIN32
#include <windows.h>
#else
#include <time.h>
#endif

/* What a thread does while it spins. */
static inline void fnn_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb"); /* some ten cycles; most CPUs take `yield` for no operation */
#endif
}

/* The barrier of a parallel region: every thread of it calls fnn_wait_for_all.
 *
 * On Linux a waiting thread spins for some hundred microseconds, and then sleeps in the kernel. To
 * wake it takes some fifty, in which the others reach the next barrier: were that longer than they
 * spin, they would fall asleep there, and so on from barrier to barrier. Every few microseconds it
 * lets others have its core, as the thread that all wait for may be one of them. Rejected: the
 * barrier of OpenMP. GCC's spins for tens of milliseconds; as soon as another program wants a core,
 * the thread that everyone waits for is kept off it by the ones that wait, and a step takes a
 * hundred times as long.
 */
#if defined(_OPENMP) && defined(__linux__)

#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FNN_SPINS = 10000, FNN_SPINS_TO_YIELD = 100 };

/* Padded, not aligned: it lies in objects that Python allocates, at multiples of 16 bytes. */
typedef struct {
    char before[64];
    atomic_int generation; /* counts the times that all have met; alone in its cache line */
    char between[64];
    atomic_int n_arrived;
    atomic_int n_asleep;
    char behind[64];
} fnn_barrier;

static inline void fnn_wait_for_all(fnn_barrier *barrier, int n_threads) {
    const int generation = atomic_load_explicit(&barrier->generation, memory_order_relaxed);
    if (n_threads == 1) return;
    if (atomic_fetch_add(&barrier->n_arrived, 1) == n_threads - 1) {
        atomic_store_explicit(&barrier->n_arrived, 0, memory_order_relaxed);
        atomic_store(&barrier->generation, generation + 1);
        if (atomic_load(&barrier->n_asleep) > 0)
            syscall(SYS_futex, &barrier->generation, FUTEX_WAKE_PRIVATE, n_threads, NULL, NULL, 0);
        return;
    }
    for (int i = 1; i <= FNN_SPINS; i++) {
        if (atomic_load_explicit(&barrier->generation, memory_order_acquire) != generation) return;
        fnn_relax();
        if (i % FNN_SPINS_TO_YIELD == 0) sched_yield();
    }
    atomic_fetch_add(&barrier->n_asleep, 1);
    while (atomic_load(&barrier->generation) == generation)
        syscall(SYS_futex, &barrier->generation, FUTEX_WAIT_PRIVATE, generation, NULL, NULL, 0);
    atomic_fetch_sub(&barrier->n_asleep, 1);
}

#else

typedef struct {
    int unused;
} fnn_barrier;

static inline void fnn_wait_for_all(fnn_barrier *barrier, int n_threads) {
    (void)barrier;
    (void)n_threads;
#ifdef _OPENMP
#pragma omp barrier
#endif
}

#endif

/* Threads in the region that the caller is in. */
static inline int fnn_count_team(void) {
#ifdef _OPENMP
    return omp_get_num_threads();
#else
    return 1;
#endif
}

static inline int fnn_has_openmp(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

/* Seconds on a clock that never goes back. */
static inline double fnn_read_clock(void) {
#ifdef _WIN32
    LARGE_INTEGER now, frequency;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&frequency);
    return (double)now.QuadPart / (double)frequency.QuadPart;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
#endif
}

#endif
