/* helpers.h: handing a share of a short call to a thread that spins for it. */
#ifndef FASTNN_HELPERS_H
#define FASTNN_HELPERS_H

#include "threads.h"

/* What a helper is at. The helper itself goes from WAITING to ASLEEP, from POSTED to BUSY and from
 * there to WAITING; whoever has work for it from ASLEEP to CALLED, and from WAITING to POSTED, and
 * back where it has not begun. */
enum { FNN_ASLEEP, FNN_CALLED, FNN_WAITING, FNN_POSTED, FNN_BUSY };

#if defined(__GNUC__) && !defined(_WIN32) && !defined(__STDC_NO_ATOMICS__)

#include <sched.h>
#include <stdatomic.h>

enum { FNN_LOOKS_TO_YIELD = 1000 };

typedef struct {
    char before[64]; /* nothing else shares the cache line of the state */
    atomic_int state;
    char behind[64];
} fnn_desk;

static inline void fnn_set_state(fnn_desk *desk, int state) { atomic_store(&desk->state, state); }

static inline int fnn_has_state(fnn_desk *desk, int state) {
    return atomic_load_explicit(&desk->state, memory_order_relaxed) == state;
}

/* Whether the state was `from`, and is `to` now. */
static inline int fnn_change_state(fnn_desk *desk, int from, int to) {
    return atomic_compare_exchange_strong(&desk->state, &from, to);
}

/* Whether the state is another within so many looks at it; 0: however long it takes. */
static inline int fnn_await_change(fnn_desk *desk, int state, long n_looks) {
    for (long i = 1; atomic_load_explicit(&desk->state, memory_order_acquire) == state; i++) {
        if (i == n_looks) return 0;
        fnn_relax();
        if (i % FNN_LOOKS_TO_YIELD == 0) sched_yield();
    }
    return 1;
}

/* How many layers each of two threads has done its half of. */
typedef struct {
    struct {
        char before[64];
        atomic_int n_layers;
    } done[2];
    char behind[64];
} fnn_pair;

static inline void fnn_tell(fnn_pair *pair, int half, int n_layers) {
    atomic_store_explicit(&pair->done[half].n_layers, n_layers, memory_order_release);
}

/* Wait for the other half of so many layers. */
static inline void fnn_await_half(fnn_pair *pair, int half, int n_layers) {
    atomic_int *done = &pair->done[half].n_layers;
    for (long i = 1; atomic_load_explicit(done, memory_order_acquire) < n_layers; i++) {
        fnn_relax();
        if (i % FNN_LOOKS_TO_YIELD == 0) sched_yield();
    }
}

#else /* nobody ever helps */

typedef struct {
    int state;
} fnn_desk;

static inline void fnn_set_state(fnn_desk *desk, int state) { desk->state = state; }

static inline int fnn_has_state(fnn_desk *desk, int state) {
    (void)desk, (void)state;
    return 0;
}

static inline int fnn_change_state(fnn_desk *desk, int from, int to) {
    (void)desk, (void)from, (void)to;
    return 0;
}

static inline int fnn_await_change(fnn_desk *desk, int state, long n_looks) {
    (void)desk, (void)state, (void)n_looks;
    return 0;
}

typedef struct {
    int unused;
} fnn_pair;

static inline void fnn_tell(fnn_pair *pair, int half, int n_layers) {
    (void)pair, (void)half, (void)n_layers;
}

static inline void fnn_await_half(fnn_pair *pair, int half, int n_layers) {
    (void)pair, (void)half, (void)n_layers;
}

#endif

#endif
