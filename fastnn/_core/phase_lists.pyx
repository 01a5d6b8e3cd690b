"""The phases of a plan as C structs, and the two ways of running them: in a region, or as one."""

import numpy as np

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cython.parallel cimport parallel, threadid
from libc.stdint cimport uint64_t
from libc.string cimport memset

from fastnn._core import phases as phase_names

from fastnn._core.kernels cimport flush_denormals, real, restore_float_state
from fastnn._core.phases cimport run_phase
from fastnn._core.structs cimport Step


cdef class Phases:
    """Phases of a plan as C structs.

    Parameters
    ----------
    phases : sequence of Phase
    n_threads : int
    guarded : int
        The phase that is not begun when a loss is not finite; -1 for none.
    """

    def __cinit__(self, phases, n_threads, guarded=-1):
        self.phases = <Phase *>PyMem_Calloc(max(len(phases), 1), sizeof(Phase))
        if self.phases == NULL:
            raise MemoryError()
        cdef Py_ssize_t[:, ::1] bounds = np.array(
            [phase.bounds for phase in phases], dtype=np.intp
        ).reshape(len(phases), n_threads + 1)
        self.bounds = bounds.base
        for i, phase in enumerate(phases):
            self.phases[i].kind = phase_names.PHASE_KINDS.index(phase.kind)
            self.phases[i].axis = phase_names.AXES.index(phase.axis)
            self.phases[i].layer = phase.layer
            self.phases[i].barrier = phase.barrier
            self.phases[i].bounds = &bounds[i, 0]
        self.todo.phases = self.phases
        self.todo.n_phases = len(phases)
        self.todo.n_threads = n_threads
        self.todo.guarded = guarded

    def __dealloc__(self):
        PyMem_Free(self.phases)


def join_phases(plan):
    """The phases of a step, no parameter of which is touched after a loss that is not finite."""
    return Phases(plan.forward + plan.backward, plan.n_threads, plan.guarded)


cdef bint are_finite(const double *losses, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, n_bad = 0
    for i in range(n):
        n_bad += losses[i] - losses[i] != 0  # it is NaN for NaN and infinity
    return n_bad == 0


cdef inline void count_seconds(const PhaseList *todo, int thread, Py_ssize_t place,
                               double *clock) noexcept nogil:
    """Time since `clock`, where somebody asks for it."""
    cdef double before = clock[0]
    if todo.seconds != NULL:
        clock[0] = fnn_read_clock()
        todo.seconds[2 * thread * todo.n_phases + place] += clock[0] - before


cdef bint run_phases(const PhaseList *todo, fnn_barrier *barrier, const Step *step,
                     const real *const *x_rows, int thread) noexcept nogil:
    """All phases of `todo`, this thread's slice of each.

    False where a row's loss is not finite: then the phases from `todo.guarded` on are left out, so
    that no parameter is touched. The plan has a barrier there, behind which all threads see all
    losses, and decide alike.
    """
    cdef const Phase *phase
    cdef Py_ssize_t i
    cdef double clock = 0 if todo.seconds == NULL else fnn_read_clock()
    for i in range(todo.n_phases):
        phase = todo.phases + i
        if phase.barrier:
            fnn_wait_for_all(barrier, todo.n_threads)
            count_seconds(todo, thread, 2 * i, &clock)
        if i == todo.guarded and not are_finite(step.row_loss, step.batch):
            return False
        if phase.bounds[thread] < phase.bounds[thread + 1]:
            run_phase(phase.kind, phase.axis, phase.layer, phase.bounds[thread],
                      phase.bounds[thread + 1], step, x_rows)
        count_seconds(todo, thread, 2 * i + 1, &clock)
    return True


cdef void run_list_on(const PhaseList *todo, fnn_barrier *barrier, const Step *step,
                      const real *const *x_rows, int thread) noexcept nogil:
    cdef uint64_t float_state = flush_denormals()
    run_phases(todo, barrier, step, x_rows, thread)
    restore_float_state(float_state)


cdef bint run_list(const PhaseList *todo, const Step *step,
                   const real *const *x_rows) noexcept nogil:
    """Run phases once; True where OpenMP gave another number of threads than asked for."""
    cdef fnn_barrier barrier
    cdef bint wrong_team = False
    cdef bint *flag = &wrong_team
    memset(&barrier, 0, sizeof(barrier))
    if todo.n_threads == 1:
        run_list_on(todo, &barrier, step, x_rows, 0)
        return False
    with parallel(num_threads=todo.n_threads):
        if fnn_count_team() == todo.n_threads:
            run_list_on(todo, &barrier, step, x_rows, threadid())
        else:
            flag[0] = True
    return wrong_team
