# The kinds of work in a plan, the plain structs that they work on, and what all phases ask of them.
from libc.stdint cimport int32_t, uint32_t, uint64_t
from fastnn._core.fastnn cimport (
    FNN_ACTIVATION_IDENTITY,
    FNN_ACTIVATION_RELU,
    FNN_MAX_SLOTS,
    fnn_coefficients,
    fnn_loss_settings,
)
from fastnn._core.kernels cimport Kernels

cdef enum LayerKind:
    # numbered as in LAYER_KINDS of plan_structs.py
    DENSE
    DROPOUT
    ACTIVATION
    BATCH_NORM
    LAYER_NORM

cdef enum PhaseKind:
    # numbered as in PHASE_KINDS of phases.pyx
    GATHER
    FORWARD
    PARTIAL
    REDUCE
    LOSS
    BACKWARD_INPUT
    WEIGHT
    BIAS
    TRANSPOSE
    TRANSFORM
    TRANSFORM_BACKWARD
    DIFFERENTIATE
    GAIN
    TRACK
    GRADIENT_NORM
    UPDATE_WEIGHT
    UPDATE_BIAS
    COLUMN_SQUARES
    MAX_NORM

cdef enum:
    # Words of scratch for the terms of a block, a bit for each term of each tile: 8 KiB of stack.
    TERM_WORDS = 1024

cdef enum UpdateMode:
    # numbered as in UPDATE_MODES of phases.pyx
    UPDATE_NONE
    UPDATE_FUSED
    UPDATE_BLOCKED
    UPDATE_SEPARATE

cdef enum Axis:
    ROWS
    INPUTS
    OUTPUTS
    CHUNKS

ctypedef struct Layer:
    # One layer as bound to memory. Pointers are to the engine's dtype. Layers of other kinds than
    # DENSE have n_in == n_out and no weight.
    int kind
    uint32_t index  # in the network's list of layers: part of what a mask depends on
    double rate     # of dropout
    Py_ssize_t n_in, n_out
    int activation
    bint rowwise, blas, packed
    Py_ssize_t vector_width
    Py_ssize_t chunk, transposed_chunk, batch_chunk  # terms of one chain: over n_in, n_out, rows
    Py_ssize_t row_block   # rows that stay in cache while the panels of W pass by
    Py_ssize_t input_block  # rows of W whose gradient is computed while their columns of x stay
    Py_ssize_t blas_block  # columns of one call of BLAS
    Py_ssize_t update_block  # rows of dW that are computed, then handed to the optimizer
    Py_ssize_t term_words  # for which of `batch_chunk` rows count in the tiles of such a block
    Py_ssize_t n_panels, n_transposed_panels
    const Py_ssize_t *panels             # (n_panels + 1) first columns
    const Py_ssize_t *transposed_panels  # (n_transposed_panels + 1)
    # (n_in, n_out), or panels [first column * n_in + row * width]; the gain (n_out) of norms
    void *weight
    void *bias             # (n_out) or NULL; the shift of norms
    void *weight_grad      # (n_in, n_out), or (n_out)
    void *bias_grad        # (n_out)
    void *weight_slots[FNN_MAX_SLOTS]  # what the optimizer keeps, stored as weight
    # Terms in which x is 0 are left out, which takes weights without NaN and infinity:
    bint row_skips_zeros   # of a single row
    bint tile_skips_zeros  # of all rows of a tile, in a first layer whose x has many
    double l1, l2          # penalty l1 sum |W| + l2 sum W^2
    double max_norm        # of a column of W; 0: any
    void *squares          # (chunks, n_out) of the columns of W, rows `stride` apart, or NULL
    void *weight_transposed  # panels of (n_out, n_in), or NULL
    void *output           # a: (batch, n_out), rows `stride` apart
    void *source           # z, which f' is computed from; `output` itself where that will do
    void *delta            # the same shape: dL/dz
    void *delta_panels     # its copy in panels of `batch` rows, as those of W, or NULL
    void *coefficients     # (n_out) of the activation, or NULL
    void *coefficients_grad  # (n_out) where they are learnt, or NULL
    void *coefficient_delta  # (batch, n_out): each row's part of dL/d coefficients, or NULL
    void **output_rows     # (batch) pointers to the rows of output
    void **delta_rows
    void *partial          # (chunks, batch, n_out) partial sums, or NULL
    double epsilon, momentum     # of norms
    void *batch_mean             # (n_out) of batch norm, or NULL: of the present batch
    void *batch_variance
    void *running_mean
    void *running_variance
    void *normalized             # (batch, n_out) of norms: (x - mean) / deviation, or NULL
    void *norm_scale             # 1 / deviation: (n_out) of batch norm, (batch) of layer norm
    Py_ssize_t stride
    Py_ssize_t partial_size  # elements between two chunks of partial

ctypedef struct Step:
    # What changes from step to step, and what all phases need.
    const Kernels *kernels
    Layer *layers
    Py_ssize_t batch
    const int32_t *labels        # (batch) or NULL
    void **target_rows           # (batch) or NULL
    void *gathered               # (batch, n_in) contiguous copy of the batch, or NULL
    Py_ssize_t gathered_stride
    const double *weights        # (batch) or NULL
    int loss
    fnn_loss_settings settings   # of the loss
    bint sum_rows                # the loss of a batch is the sum over its rows, not the mean
    bint merged                  # the loss contains the last activation's derivative
    double scale                 # of delta: 1 / batch, or 1 / the sum of its weights, or 1
    double *row_loss             # (batch)
    int update
    int optimizer
    uint64_t seed                # of the masks
    uint32_t number              # of the step, for the masks
    const fnn_coefficients *coefficients  # of the optimizer at this step
    double gradient_scale        # factor of all gradients; 1: none
    void *block                  # scratch of this thread: dW of `update_block` rows of a panel
    void *values                 # all parameters, their gradients, and the optimizer's state:
    void *gradients              # arenas of `n_parameters` each, all laid out alike
    void *state
    Py_ssize_t n_parameters
    double *squares              # (n_chunks) of `norm_chunk` gradients each: the sum of squares
    Py_ssize_t n_chunks, norm_chunk

cdef inline Py_ssize_t panel_stride(const Layer *layer, Py_ssize_t width) noexcept nogil:
    """Elements between two rows of a packed panel: its width in whole vectors."""
    return (width + layer.vector_width - 1) // layer.vector_width * layer.vector_width


cdef inline Py_ssize_t weight_stride(const Layer *layer, Py_ssize_t width) noexcept nogil:
    """Elements between two rows of W in a panel of `width` columns."""
    return panel_stride(layer, width) if layer.packed else layer.n_out


cdef inline Py_ssize_t weight_offset(const Layer *layer, Py_ssize_t first) noexcept nogil:
    """Elements of W in front of the panel whose first column that is."""
    return first * layer.n_in if layer.packed else first


cdef inline bint is_inlined(int activation) noexcept nogil:
    """Whether the register tile applies the activation itself."""
    return activation == FNN_ACTIVATION_IDENTITY or activation == FNN_ACTIVATION_RELU


cdef inline double sum_weights(const Step *step) noexcept nogil:
    """What the summed losses of a batch are divided by: its weight, its rows, or 1."""
    cdef double total = 0
    cdef Py_ssize_t i
    if step.sum_rows:
        return 1
    if step.weights == NULL:
        return step.batch
    for i in range(step.batch):
        total += step.weights[i]
    return total


cdef inline void set_scale(Step *step) noexcept nogil:
    """A batch of no weight has no gradient."""
    cdef double weight = sum_weights(step)
    step.scale = 1.0 / weight if weight > 0 else 0
