# Lists of phases as C structs, and how a thread goes through one.
from fastnn._core.kernels cimport real
from fastnn._core.structs cimport Step

cdef extern from "threads.h" nogil:
    ctypedef struct fnn_barrier:
        pass
    void fnn_wait_for_all(fnn_barrier *barrier, int n_threads)
    int fnn_count_team()

ctypedef struct Phase:
    int kind, axis, layer
    bint barrier
    Py_ssize_t *bounds  # (n_threads + 1)

ctypedef struct PhaseList:
    Phase *phases
    Py_ssize_t n_phases
    Py_ssize_t guarded  # the phase that is not begun unless the step is known to be finite, or -1
    int n_threads

cdef enum Verdict:
    # on a step, before it changes a parameter; numbered as in VERDICTS of engine.pyx
    FINITE    # all parameters will be finite after it
    DOUBTFUL  # they may not
    DIVERGED  # a row's loss is NaN or infinite

ctypedef struct Guard:
    # What a thread must know to tell whether a step will leave all parameters finite.
    bint active         # whether to look at bounds at all
    double data         # sum of |x| over all rows of the data
    double penalty      # 2 l2 + l1, the largest of all layers
    double start        # no parameter, and nothing that the optimizer keeps, was larger at first
    double bound        # none is larger by now
    double limit        # that none may reach
    double *magnitudes  # (2, n_threads, SUMS_PER_THREAD): of this step and of the one before

cdef enum:
    SUMS_PER_THREAD = 8  # two are used; the rest keeps threads on cache lines of their own

cdef class Phases:
    cdef Phase *phases
    cdef PhaseList todo
    cdef object bounds

cdef int run_phases(const PhaseList *todo, fnn_barrier *barrier, Guard *guard, Step *step,
                    const real *const *x_rows, int thread) noexcept nogil
cdef bint run_list(const PhaseList *todo, const Step *step,
                   const real *const *x_rows) noexcept nogil
