"""Run a plan: one short worker that loops over epochs, steps, phases and its slices.

The worker is called once by each thread of one parallel region, and does whole epochs without the
GIL. Nothing is allocated per step: the order of the rows and the pointers to them are laid out
once per epoch, so that the rows of a mini-batch are read where they lie.

Rejected: one parallel region per phase. A fork and join costs more than two barriers, and the
threads would have to find their slice of each weight matrix in their caches anew.
"""

from cython.parallel cimport parallel, threadid
from libc.stdint cimport uint32_t, uint64_t

from fastnn._core.kernels cimport flush_denormals, real, restore_float_state, shuffle_rows
from fastnn._core.phase_lists cimport PhaseList, fnn_count_team, fnn_wait_for_all, run_phases
from fastnn._core.structs cimport Step, set_scale

cdef extern from "threads.h" nogil:
    double fnn_read_clock()


cdef void lay_out_rows(Run *run, int thread) noexcept nogil:
    """Pointers to this thread's share of the rows, in the order of this epoch."""
    cdef Py_ssize_t i, row
    for i in range(run.n_rows * thread // run.n_threads,
                   run.n_rows * (thread + 1) // run.n_threads):
        row = run.order[i]
        run.x_rows[i] = <void *>(run.x + row * run.x_row_bytes)
        if run.labels != NULL:
            run.epoch_labels[i] = run.labels[row]
        if run.weights != NULL:
            run.epoch_weights[i] = run.weights[row]
        if run.targets != NULL:
            run.target_rows[i] = <void *>(run.targets + row * run.target_row_bytes)


cdef void begin_epoch(Run *run, Py_ssize_t epoch, int thread) noexcept nogil:
    """Lay out an epoch's rows, unless an earlier call ended in the middle of it."""
    cdef bint is_new = run.laid_out != epoch
    if thread == 0 and is_new and run.shuffle:
        shuffle_rows(run.seed, <uint32_t>epoch, run.n_rows, run.order)
    fnn_wait_for_all(&run.barrier, run.n_threads)
    if is_new and (run.shuffle or run.laid_out < 0):
        lay_out_rows(run, thread)
    fnn_wait_for_all(&run.barrier, run.n_threads)
    if thread == 0:
        run.laid_out = epoch


cdef void end_epoch(Run *run, int thread) noexcept nogil:
    """Sum the losses of the rows, in one order whatever the number of threads."""
    cdef double total = 0, now
    cdef Py_ssize_t i
    fnn_wait_for_all(&run.barrier, run.n_threads)
    if thread == 0:
        for i in range(run.n_rows):
            total += run.row_loss[i]
        now = fnn_read_clock()
        run.epoch_loss[run.n_epochs_done] = total / run.total_weight
        run.epoch_seconds[run.n_epochs_done] = run.elapsed + now - run.clock
        run.clock, run.elapsed = now, 0
        run.n_epochs_done += 1


cdef bint run_step(Run *run, Step *step, Py_ssize_t number, int thread,
                   const real *tag) noexcept nogil:
    """Step `number`, counted over all epochs; False where the run is to end after it.

    One thread decides to stop and writes down after which step; a barrier within that step lets
    the others read it, so that all of them leave after the same step. A step whose losses are not
    finite ends the run before it changes a parameter.
    """
    cdef Py_ssize_t start = number % run.n_steps * run.batch_size
    cdef bint is_last = run.n_rows - start < run.batch_size
    cdef const PhaseList *todo = &run.last if is_last else &run.full
    if thread == 0 and run.last_step < 0 and run.stop[0]:
        run.last_step = number
    step.number = <uint32_t>number
    step.batch = run.n_rows - start if is_last else run.batch_size
    step.row_loss = run.row_loss + start
    step.weights = NULL if run.weights == NULL else run.epoch_weights + start
    set_scale(step)
    step.labels = NULL if run.labels == NULL else run.epoch_labels + start
    step.target_rows = NULL if run.targets == NULL else run.target_rows + start
    step.coefficients = run.coefficients + (number - run.first) * run.coefficients_step
    if is_last:
        fnn_wait_for_all(&run.barrier, run.n_threads)  # the slices of two lists of phases differ
    if not run_phases(todo, &run.barrier, step, <const real *const *>run.x_rows + start, thread):
        run.diverged = True  # by each thread: all have seen the same losses
        return False
    if thread == 0:
        run.n_steps_done = number + 1 - run.first
    return run.last_step < 0 or number < run.last_step


cdef void work(Run *run, int thread, const real *tag) noexcept nogil:
    """What each thread does for the whole run."""
    cdef uint64_t float_state = flush_denormals()
    cdef Step step = run.step
    cdef Py_ssize_t number
    step.block = run.blocks + thread * run.block_bytes
    for number in range(run.first, run.end):
        if number == run.first or number % run.n_steps == 0:
            begin_epoch(run, number // run.n_steps, thread)
        if not run_step(run, &step, number, thread, tag):
            break
        if (number + 1) % run.n_steps == 0:
            end_epoch(run, thread)
    restore_float_state(float_state)


cdef void work_in_parallel(Run *run, const real *tag) noexcept nogil:
    if run.n_threads == 1:
        work(run, 0, tag)
        return
    with parallel(num_threads=run.n_threads):
        if fnn_count_team() == run.n_threads:
            work(run, threadid(), tag)
        else:
            run.wrong_team = True
