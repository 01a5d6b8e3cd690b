# Lists of phases as C structs, and how a thread goes through one.
from fastnn._core.kernels cimport real
from fastnn._core.structs cimport Step

cdef extern from "threads.h" nogil:
    ctypedef struct fnn_barrier:
        pass
    void fnn_wait_for_all(fnn_barrier *barrier, int n_threads)
    double fnn_read_clock()
    int fnn_count_team()

ctypedef struct Phase:
    int kind, axis, layer
    bint barrier
    Py_ssize_t *bounds  # (n_threads + 1)

ctypedef struct PhaseList:
    Phase *phases
    Py_ssize_t n_phases
    Py_ssize_t guarded  # the phase that is not begun when a loss is not finite, or -1
    int n_threads
    double *seconds  # (n_threads, n_phases, 2) in front of each phase and in it, or NULL

cdef class Phases:
    cdef Phase *phases
    cdef PhaseList todo
    cdef object bounds

cdef bint run_phases(const PhaseList *todo, fnn_barrier *barrier, const Step *step,
                     const real *const *x_rows, int thread) noexcept nogil
cdef bint run_list(const PhaseList *todo, const Step *step,
                   const real *const *x_rows) noexcept nogil
