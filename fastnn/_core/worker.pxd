# One set of data under training, and the function that trains on it.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from fastnn._core.fastnn cimport fnn_coefficients
from fastnn._core.kernels cimport real
from fastnn._core.phase_lists cimport PhaseList, fnn_barrier
from fastnn._core.structs cimport Step

ctypedef struct Run:
    # One set of data under training: shared by the threads, kept from call to call of `run_steps`.
    Step step                  # template of a step with a full batch
    PhaseList full, last       # phases of a full step, and of the shorter one that ends an epoch
    fnn_barrier barrier
    int n_threads
    Py_ssize_t n_rows, batch_size
    Py_ssize_t n_steps         # of an epoch
    Py_ssize_t first, end      # steps to run, counted over all epochs of the network
    uint64_t seed
    bint shuffle
    const char *x              # (n_rows) rows, x_row_bytes apart
    Py_ssize_t x_row_bytes
    const char *targets        # the same, or NULL
    Py_ssize_t target_row_bytes
    const int32_t *labels      # (n_rows) or NULL
    const double *weights      # (n_rows) what each row counts, or NULL
    Py_ssize_t laid_out        # the epoch that the next six arrays belong to, or -1
    int64_t *order             # (n_rows) which row comes when in this epoch
    void **x_rows              # (n_rows) pointers in that order
    void **target_rows
    int32_t *epoch_labels      # (n_rows) in that order
    double *epoch_weights      # (n_rows) in that order
    double total_weight        # what the sum of all rows' losses is divided by
    double *row_loss           # (n_rows) in that order
    double clock               # when this epoch began, or this call of `run_steps`
    double elapsed             # seconds of this epoch in earlier calls
    double *epoch_loss         # mean, or sum, over the rows of each epoch that ended in this call
    double *epoch_seconds
    Py_ssize_t n_epochs_done
    Py_ssize_t *stop           # set from outside to end the run after the current step
    Py_ssize_t last_step       # the step that ends the run early, or -1
    const fnn_coefficients *coefficients  # of the optimizer, at each step from `first` on
    Py_ssize_t coefficients_step          # 0: all steps share one row; 1: each has its own
    char *blocks               # scratch of the threads, for blocks of gradients
    Py_ssize_t block_bytes
    Py_ssize_t n_steps_done
    bint diverged              # a row's loss was NaN or infinite in the step after those
    bint wrong_team  # OpenMP gave another number of threads than asked for


cdef void work_in_parallel(Run *run, const real *tag) noexcept nogil
