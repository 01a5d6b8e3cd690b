"""The engine: a network's plan bound to its parameters, its data and its loss, ready to run.

`worker.pyx` holds what its threads do.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from fastnn._core import kernels as kernel_lists
from fastnn._core import phases as phase_names
from fastnn._core import phase_order
from fastnn._core.binding import allocate, list_rows, make_blocks
from fastnn._core.explicit import check_team
from fastnn._core.phase_lists import join_phases
from fastnn._core.plan import choose_stride
from fastnn._core.plan_structs import count_chunks

from fastnn._core.binding cimport Binding, address
from fastnn._core.explicit cimport run_once
from fastnn._core.fastnn cimport FNN_N_COEFFICIENTS, fnn_coefficients
from fastnn._core.phase_lists cimport Phases, fnn_barrier
from fastnn._core.structs cimport Step, set_scale, sum_weights
from fastnn._core.worker cimport Run, work_in_parallel

cdef extern from "threads.h" nogil:
    double fnn_read_clock()
    int fnn_has_openmp()


def has_openmp():
    """Whether this build can run more than one thread."""
    return bool(fnn_has_openmp())


cdef class Engine:
    """A network's plan, bound to its parameters and ready to run.

    Parameters
    ----------
    binding : Binding
    loss : str
        Name from losses.def.
    merged : bool
        Whether the loss gives the derivative for the last layer's raw scores.
    arenas : (values, gradients, state)
        All parameters, their gradients (n_parameters,), and what the optimizer keeps (n_slots,
        n_parameters), all laid out alike.
    last_plan : Plan, optional
        The plan of the shorter batch that ends an epoch, if there is one.
    settings : dict
        Of the loss: all that `kernels.list_loss_settings` names.
    sum_rows : bool
        The loss of a batch is the sum over its rows, not the mean.

    Attributes
    ----------
    n_steps_done : int
        Steps of the last call of `run_steps`.
    epochs_done : list of (loss, seconds)
        Of each epoch that ended in that call.
    """

    cdef Binding binding
    cdef Step step
    cdef Phases full, last, forward_phases, backward_phases
    cdef Run run
    cdef object gathered, stop_flag, last_plan
    cdef object data  # arrays that `run` points into
    cdef readonly object epoch_losses  # (n_rows) losses of this epoch's rows so far, in its order
    cdef object batch, x_rows, target_rows, row_loss, blocks
    cdef readonly Py_ssize_t n_steps_done
    cdef bint has_zeros  # many of them, in the data
    cdef readonly list epochs_done

    def __init__(self, Binding binding, loss, merged, arenas, last_plan=None, *, settings,
                 sum_rows=False):
        plan = binding.plan
        self.binding = binding
        self.step.kernels = &binding.kernels
        self.step.layers = binding.layers
        self.step.loss = kernel_lists.list_losses().index(loss)
        self.step.settings = settings
        self.step.sum_rows = sum_rows
        self.step.merged = merged
        values, gradients, state = arenas
        self.step.values = address(values)
        self.step.gradients = address(gradients)
        self.step.state = address(state if len(state) else None)
        self.step.n_parameters = len(values)
        self.step.gradient_scale = 1
        squares = binding.keep(np.zeros(count_chunks(len(values), phase_order.NORM_CHUNK)))
        self.step.squares = <double *>address(squares)
        self.step.n_chunks = len(squares)
        self.step.norm_chunk = phase_order.NORM_CHUNK
        binding.keep(arenas)
        self.blocks = make_blocks(plan.n_threads, binding.dtype)
        self.step.update = phase_names.UPDATE_MODES.index(plan.update)
        self.stop_flag = np.zeros(1, dtype=np.intp)
        self.epochs_done = []
        self.last_plan = last_plan
        if plan.layers[0].blas:
            self.step.gathered_stride = choose_stride(binding.layers[0].n_in,
                                                      binding.dtype.itemsize)
            self.gathered = allocate(plan.batch_size * self.step.gathered_stride, binding.dtype)
            self.step.gathered = address(self.gathered)

    def request_stop(self):
        """End a run in another thread after its current step."""
        self.stop_flag[0] = 1

    def load_data(self, x, labels, targets, weights=None, *, rows, batch_size, seed, shuffle):
        """Take the data that `run_steps` trains on.

        Parameters
        ----------
        x : ndarray (n_rows, n_in)
            Of the engine's dtype, rows contiguous.
        labels : int32 ndarray (n_rows,) or None
        targets : ndarray (n_rows, n_out) or None
            One of the two.
        weights : float64 ndarray (n_rows,), optional, at least one of them more than 0
        rows : EpochRows
            Of as many rows, with targets and weights as given here; nobody else's meanwhile.
        """
        cdef Run *run = &self.run
        plan = self.binding.plan
        n_rows = len(x)
        if self.full is None:
            self.full = join_phases(plan)
            self.last = self.full if self.last_plan is None else join_phases(self.last_plan)
        self.epoch_losses = rows.losses
        if not shuffle:  # else each epoch begins by drawing an order
            rows.order[...] = np.arange(n_rows)
        self.data = (x, labels, targets, weights, rows)
        self.step.seed = seed
        run.full = self.full.todo
        run.last = self.last.todo
        run.n_threads = plan.n_threads
        run.n_rows = n_rows
        run.batch_size = batch_size
        run.n_steps = -(-n_rows // batch_size)
        run.seed = seed
        run.shuffle = shuffle
        run.x = <const char *>address(x)
        run.x_row_bytes = x.strides[0]
        self.has_zeros = self.binding.finds_zeros(run.x, run.x_row_bytes, n_rows)
        run.targets = <const char *>address(targets)
        run.target_row_bytes = 0 if targets is None else targets.strides[0]
        run.labels = <const int32_t *>address(labels)
        run.weights = <const double *>address(weights)
        run.order = <int64_t *>address(rows.order)
        run.x_rows = <void **>address(rows.pointers)
        run.target_rows = <void **>address(rows.target_pointers)
        run.epoch_labels = <int32_t *>address(rows.labels)
        run.epoch_weights = <double *>address(rows.weights)
        run.step = self.step
        run.step.batch = n_rows
        run.step.weights = run.weights
        run.total_weight = sum_weights(&run.step)
        run.row_loss = <double *>address(self.epoch_losses)
        run.stop = <Py_ssize_t *>address(self.stop_flag)
        run.laid_out = -1
        run.elapsed = 0

    def drop_data(self):
        """Let go of what `load_data` has taken; nothing runs until it is called anew."""
        self.data = self.epoch_losses = None

    def time_phases(self):
        """From now on, count the seconds that phases of full batches take.

        Returns
        -------
        ndarray (n_threads, n_phases, 2)
            Of each thread, in front of each phase, at a barrier, and in it; further steps add to
            them.
        """
        seconds = np.zeros((self.run.n_threads, self.run.full.n_phases, 2))
        self.run.full.seconds = <double *>address(self.binding.keep(seconds))
        return seconds

    def run_steps(self, Py_ssize_t first, Py_ssize_t n_steps, optimizer,
                  const double[:, ::1] coefficients):
        """Train for some steps, without the GIL; whole epochs and parts of epochs alike.

        However many calls a run is cut into, it gives the same bits.

        Parameters
        ----------
        first : int
            The step to begin with, counted over all epochs of the network: epoch times the steps
            of an epoch, plus the step within it.
        n_steps : int
        optimizer : str
            Name from optimizers.def.
        coefficients : float64 ndarray (n_steps or 1, n_coefficients)
            Of the optimizer, for each of these steps; one row serves all.

        Returns
        -------
        bool
            False where the step after the `n_steps_done` that were done gave a row a loss that is
            NaN or infinite: it ended the run before it changed anything. True where none did; then
            all steps were done, unless `request_stop` came between.
        """
        cdef Run *run = &self.run
        if self.data is None:
            raise RuntimeError("the engine has no data: call load_data first")
        self.n_steps_done, self.epochs_done = 0, []  # until the end: it may not get there
        per_epoch = np.zeros((2, n_steps // run.n_steps + 2))
        if (coefficients.shape[0] not in (1, n_steps)
                or coefficients.shape[1] != FNN_N_COEFFICIENTS):
            raise ValueError("coefficients must have one row, or one for each step")
        self.step.optimizer = kernel_lists.list_optimizers().index(optimizer)
        run.step = self.step
        run.coefficients = <const fnn_coefficients *>&coefficients[0, 0]
        self.skip_zeros()
        run.coefficients_step = coefficients.shape[0] > 1
        run.blocks = <char *>address(self.blocks)
        run.block_bytes = self.blocks.strides[0]
        run.n_steps_done = 0
        run.first = first
        run.end = first + n_steps
        run.epoch_loss = <double *>address(per_epoch[0])
        run.epoch_seconds = <double *>address(per_epoch[1])
        run.n_epochs_done = 0
        memset(&run.barrier, 0, sizeof(fnn_barrier))
        run.last_step = -1
        run.diverged = False
        run.wrong_team = False
        run.clock = fnn_read_clock()
        with nogil:
            if self.binding.is_f32:
                work_in_parallel(run, <const float *>NULL)
            else:
                work_in_parallel(run, <const double *>NULL)
        run.elapsed += fnn_read_clock() - run.clock
        self.stop_flag[0] = 0  # here and not before: a stop may come before the first step
        check_team(run.wrong_team, run.n_threads)
        self.n_steps_done = run.n_steps_done
        self.epochs_done = per_epoch[:, : run.n_epochs_done].T.tolist()
        return not run.diverged

    cdef skip_zeros(self):
        """Have the first layer leave out zeros of the data where that does not show.

        It could in NaN that come of infinite weights, and in denormal weights, which are flushed to
        zero by tiles that have any terms.
        """
        cdef bint skips
        with nogil:  # a large matrix takes a while to look through
            skips = (self.has_zeros and self.binding.is_finite(0)
                     and not self.binding.has_denormals(0))
        self.binding.layers[0].row_skips_zeros = self.binding.layers[0].tile_skips_zeros = skips

    def compute_loss(self, Py_ssize_t start, Py_ssize_t stop):
        """Loss of the rows start..stop of this epoch, as they were when they were trained on."""
        cdef Step step = self.step
        step.batch = stop - start
        step.weights = NULL if self.run.weights == NULL else self.run.epoch_weights + start
        losses = np.add.accumulate(self.epoch_losses[start:stop])
        return float(losses[stop - start - 1] / (sum_weights(&step) or 1))

    def forward(self, x, labels, targets, seed, number, weights=None):
        """One forward pass over a batch of the plan's size; its loss, 0 where it has no weight.

        `seed` and the `number` of the step say which elements are dropped, here and in `backward`.
        """
        cdef Py_ssize_t n_rows = len(x)
        plan = self.binding.plan
        if self.forward_phases is None:
            self.forward_phases = Phases(plan.forward, plan.n_threads)
            self.backward_phases = Phases(plan.backward, plan.n_threads)
        self.batch = (x, labels, targets, weights)  # alive until `backward` has run
        self.x_rows = list_rows(x)
        self.target_rows = None if targets is None else list_rows(targets)
        self.row_loss = np.empty(n_rows)
        self.step.seed = seed
        self.step.number = number
        self.step.batch = n_rows
        self.step.weights = <const double *>address(weights)
        set_scale(&self.step)
        self.step.labels = <const int32_t *>address(labels)
        self.step.target_rows = <void **>address(self.target_rows)
        self.step.row_loss = <double *>address(self.row_loss)
        run_once(self.binding, self.forward_phases, &self.step, self.x_rows)
        return float(np.add.accumulate(self.row_loss)[n_rows - 1] / (sum_weights(&self.step) or 1))

    def backward(self):
        """Gradients of the last forward pass, into the network's gradient arrays."""
        run_once(self.binding, self.backward_phases, &self.step, self.x_rows)
