/* threads.h: what the engine needs of OpenMP beyond cython.parallel, with a serial stand-in. */
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

/* Must be called by every thread of the region. */
static inline void fnn_wait_for_all(void) {
#ifdef _OPENMP
#pragma omp barrier
#endif
}

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
