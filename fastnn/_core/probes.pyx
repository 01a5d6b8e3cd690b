"""Each kernel of the chosen table, callable alone: for tests and benchmarks.

Matrices are memoryviews of one dtype, float32 or float64, whose rows are contiguous and may lie
further apart than they are long. Shapes are checked, values are not: what a kernel does with a NaN
is what a test wants to see. Every function runs on the instruction set that
``kernels.select_isa`` chose last, in the calling thread.

It links nothing: the tables come from ``kernels``, as for the rest of ``fastnn._core``.
"""

import numpy as np

from libc.stdint cimport int32_t, uint64_t, uintptr_t

from fastnn._core import kernels as kernel_lists

from fastnn._core cimport kernels as wrapped
from fastnn._core.binding cimport Binding, address
from fastnn._core.fastnn cimport (
    FNN_MAX_SLOTS,
    FNN_N_COEFFICIENTS,
    fnn_coefficients,
    fnn_loss_settings,
)
from fastnn._core.kernels cimport active_kernels, flush_denormals, real, restore_float_state


cdef Py_ssize_t stride_of(const real[:, :] matrix) except -1:
    """Elements between two rows of a matrix whose rows are contiguous."""
    if matrix.shape[1] > 1 and matrix.strides[1] != sizeof(real):
        raise ValueError("rows must be contiguous")
    return matrix.strides[0] // <Py_ssize_t>sizeof(real)


cdef int check(bint agree, what) except -1:
    if not agree:
        raise ValueError(f"the shapes or strides of {what} do not agree")
    return 0


cdef const real *start_of(const real[:, :] matrix) noexcept:
    return NULL if matrix is None else &matrix[0, 0]


cdef object list_rows(const real[:, :] matrix, order):
    """Addresses of rows `order` of a matrix, as a kernel takes them."""
    stride_of(matrix)
    rows = np.asarray(order, dtype=np.uintp)
    check(rows.ndim == 1 and (rows < matrix.shape[0]).all(), "a and order")
    return <uintptr_t>&matrix[0, 0] + rows * <uintptr_t>matrix.strides[0]


def sees_zeros(Binding binding, x):
    """Whether x has so many that the first layer's tiles look for them."""
    return binding.finds_zeros(<const char *>address(x), x.strides[0], len(x))


def sees_denormals(Binding binding, bint flushed):
    """Whether one of the first layer's weights is, seen from a thread that may flush them."""
    cdef uint64_t state = flush_denormals() if flushed else 0
    cdef bint found = binding.has_denormals(0)
    if flushed:
        restore_float_state(state)
    return found


def apply_function(name, const real[::1] x, real[::1] y):
    """y = f(x) for an entry of functions.def."""
    cdef int number = kernel_lists.list_functions().index(name)
    check(x.shape[0] == y.shape[0] > 0, "x and y")
    if real is float:
        active_kernels().f32.function[number](&x[0], &y[0], x.shape[0])
    else:
        active_kernels().f64.function[number](&x[0], &y[0], x.shape[0])


cdef const real *check_coefficients(name, const real[::1] coefficients,
                                    Py_ssize_t cols) except? NULL:
    """Where the coefficients of an activation begin; NULL where it has none."""
    needed = kernel_lists.get_coefficient_kind(name) != "none"
    check(needed == (coefficients is not None), "coefficients")
    if coefficients is None:
        return NULL
    check(coefficients.shape[0] == cols, "coefficients")
    return &coefficients[0]


def activation_forward(name, const real[:, :] z, real[:, :] a,
                       const real[::1] coefficients=None):
    """a = f(z); `a` may be `z`.

    Parameters
    ----------
    name : str
        An entry of activations.def.
    z, a : (rows, cols), of the same stride
    coefficients : (cols,), where the entry has any
    """
    cdef int number = kernel_lists.list_activations().index(name)
    check(z.shape[0] == a.shape[0] and z.shape[1] == a.shape[1] and stride_of(z) == stride_of(a),
          "z and a")
    wrapped.activation_forward(active_kernels(), number, &z[0, 0], &a[0, 0], stride_of(z),
                               z.shape[0], z.shape[1],
                               check_coefficients(name, coefficients, z.shape[1]))


def activation_backward(name, real[:, :] delta, const real[:, :] source,
                        const real[::1] coefficients=None, real[:, :] coefficient_delta=None):
    """delta = dL/da on entry, dL/dz on return.

    Parameters
    ----------
    name : str
        An entry of activations.def.
    delta, source : (rows, cols), of the same stride
        `source` is the output or the input, as the entry says.
    coefficients : (cols,), where the entry has any
    coefficient_delta : (rows, cols), of the same stride, where they are learnt
        Receives what each element adds to dL/d coefficients.
    """
    cdef int number = kernel_lists.list_activations().index(name)
    check(delta.shape[0] == source.shape[0] and delta.shape[1] == source.shape[1]
          and stride_of(source) == stride_of[real](delta), "delta and source")
    learnt = kernel_lists.get_coefficient_kind(name) == "learnt"
    check(learnt == (coefficient_delta is not None), "coefficient_delta")
    if learnt:
        check(coefficient_delta.shape[0] == delta.shape[0]
              and coefficient_delta.shape[1] == delta.shape[1]
              and stride_of[real](coefficient_delta) == stride_of(source), "coefficient_delta")
    wrapped.activation_backward(active_kernels(), number, &delta[0, 0], &source[0, 0],
                                stride_of(source), delta.shape[0], delta.shape[1],
                                check_coefficients(name, coefficients, delta.shape[1]),
                                <real *>start_of[real](coefficient_delta))


def evaluate_loss(name, const real[:, :] output, real[:, :] delta, const int32_t[::1] labels,
                  const real[:, :] targets, double scale, const double[::1] weights=None,
                  settings=None):
    """The loss of each row, and its gradient times `scale`.

    Parameters
    ----------
    name : str
        An entry of losses.def.
    output : (rows, cols)
        Raw scores where the loss contains an activation.
    delta : (rows, cols) of the same stride, or None
        May be `output`.
    labels : int32 (rows,) or None
        In 0..cols-1, or 0 and 1 where there is one column.
    targets : (rows, cols) or None
        One of the two.
    weights : (rows,) or None
    settings : dict
        Of the loss, 0 where not given; delta is 1.

    Returns
    -------
    ndarray of float64 (rows,)
    """
    cdef int number = kernel_lists.list_losses().index(name)
    cdef Py_ssize_t rows = output.shape[0], cols = output.shape[1], row
    cdef const int32_t *label = NULL
    cdef const real *const *target_rows = NULL
    cdef uintptr_t[::1] addresses
    cdef double[::1] row_loss = np.empty(rows)
    cdef fnn_loss_settings values = {
        **dict.fromkeys(kernel_lists.list_loss_settings(), 0.0), "delta": 1.0, **(settings or {})
    }
    check((labels is None) != (targets is None), "labels and targets")
    if delta is not None:
        check(delta.shape[0] == rows and delta.shape[1] == cols
              and stride_of(output) == stride_of[real](delta), "output and delta")
    if labels is not None:
        check(labels.shape[0] == rows, "output and labels")
        for row in range(rows):
            check(0 <= labels[row] < max(cols, 2), "output and labels")
        label = &labels[0]
    else:
        check(targets.shape[0] == rows and targets.shape[1] == cols, "output and targets")
        addresses = list_rows[real](targets, np.arange(rows))
        target_rows = <const real *const *>&addresses[0]
    wrapped.evaluate_loss(active_kernels(), number, &output[0, 0],
                          <real *>start_of[real](delta), stride_of(output), rows, cols, label,
                          target_rows, NULL if weights is None else &weights[0], &values, scale,
                          &row_loss[0])
    return np.asarray(row_loss)


def update_parameters(name, real[::1] w, const real[::1] g, real[:, :] state,
                      const double[::1] coefficients, double l1=0, double l2=0, double scale=1):
    """One step of an entry of optimizers.def over the parameters `w` with gradient `g`.

    Parameters
    ----------
    name : str
        An entry of optimizers.def.
    w, g : (n,)
    state : (n_slots, n), rows contiguous
    coefficients : float64 (n_coefficients,)
        As `fnn_coefficients` of fastnn.h.
    l1, l2, scale : float
    """
    cdef int number = kernel_lists.list_optimizers().index(name)
    cdef Py_ssize_t n_slots = kernel_lists.get_n_slots(name), k
    cdef real *slots[FNN_MAX_SLOTS]
    check(w.shape[0] == g.shape[0] > 0, "w and g")
    check(state.shape[0] == n_slots, "state and the slots of the optimizer")
    check(coefficients.shape[0] == FNN_N_COEFFICIENTS, "coefficients")
    for k in range(FNN_MAX_SLOTS):
        slots[k] = &state[k, 0] if k < n_slots else NULL
    check(n_slots == 0 or state.shape[1] == w.shape[0] and state.strides[1] == sizeof(real),
          "w and state")
    wrapped.update_parameters(active_kernels(), number, &w[0], &g[0], slots, w.shape[0],
                              <const fnn_coefficients *>&coefficients[0], l1, l2, scale)


def add_penalty(const real[::1] w, real[::1] g, double l1, double l2):
    """g += l1 sign(w) + 2 l2 w"""
    check(w.shape[0] == g.shape[0] > 0, "w and g")
    wrapped.add_penalty(active_kernels(), &w[0], &g[0], w.shape[0], l1, l2)


def limit_columns(real[:, :] w, const real[::1] squares, double limit):
    """w[:, j] *= limit / root of squares[j], where that root is above limit."""
    check(w.shape[1] == squares.shape[0] and w.strides[1] == sizeof(real), "w and squares")
    wrapped.limit_columns(active_kernels(), &w[0, 0], w.strides[0] // <Py_ssize_t>sizeof(real),
                          w.shape[0], w.shape[1], &squares[0], limit)


def sum_squares(const real[::1] x):
    """The sum of squares, in double."""
    check(x.shape[0] > 0, "x")
    return wrapped.sum_squares(active_kernels(), &x[0], x.shape[0])


def dropout_relu_backward(const real[:, :] delta, const real[:, :] a, Py_ssize_t first,
                          double factor, real[:, :] out):
    """out = delta[:, first:] * factor where a > 0, else 0; a and out (rows, cols)."""
    rows = list_rows[real](delta, np.arange(delta.shape[0]))
    cdef uintptr_t[::1] addresses = rows
    check(delta.shape[0] == a.shape[0] == out.shape[0] and a.shape[1] == out.shape[1]
          and 0 <= first and first + out.shape[1] <= delta.shape[1], "delta, a and out")
    wrapped.dropout_relu_backward(active_kernels(), <const real *const *>&addresses[0], &a[0, 0],
                                  stride_of(a), first, out.shape[0], out.shape[1], factor,
                                  &out[0, 0], stride_of[real](out))


cdef int check_panel(const real[:, :] b, Py_ssize_t depth, Py_ssize_t cols) except -1:
    """Whether the register tile may load whole vectors of `b` and has accumulators enough."""
    dtype = np.float32 if real is float else np.float64
    cdef Py_ssize_t width = kernel_lists.get_vector_width(dtype)
    return check(b.shape[0] >= depth and b.shape[1] >= -(-cols // width) * width
                 and cols <= kernel_lists.get_panel_width(dtype), "b and c")


def multiply_rows(const real[:, :] a, order, Py_ssize_t offset, Py_ssize_t depth,
                  const real[:, :] b, real[:, :] c, bint accumulate=False,
                  const real[::1] bias=None, bint relu=False, const real[:, :] gate=None,
                  const uint64_t[:, ::1] terms=None):
    """c[i] = finish(a[order[i], offset:offset + depth] @ b (+ c[i])), as fastnn.h says.

    Parameters
    ----------
    a : (m, k)
    order : integers (rows,)
    b : (depth, at least cols in whole vectors)
    c : (rows, cols), cols no more than a panel holds
    bias : (cols,), optional
    gate : (rows, cols), of the stride of `c`, optional
    terms : as `find_row_terms` gives them, optional
    """
    cdef uintptr_t[::1] addresses = list_rows[real](a, order)
    check(addresses.shape[0] == c.shape[0] and 0 <= offset and offset + depth <= a.shape[1],
          "a and c")
    check(bias is None or bias.shape[0] == c.shape[1], "bias and c")
    if gate is not None:
        check(gate.shape[0] == c.shape[0] and gate.shape[1] == c.shape[1]
              and stride_of(gate) == stride_of[real](c), "gate and c")
    check_panel(b, depth, c.shape[1])
    wrapped.multiply_rows(active_kernels(), <const real *const *>&addresses[0], offset, depth,
                          &b[0, 0], stride_of(b), c.shape[0], c.shape[1], &c[0, 0],
                          stride_of[real](c), accumulate,
                          <const real *>NULL if bias is None else &bias[0], relu,
                          start_of(gate), NULL if terms is None else &terms[0, 0])


cdef make_terms(Py_ssize_t rows, Py_ssize_t depth):
    cdef Py_ssize_t tile_rows = active_kernels().f32.tile_rows
    n_tiles, n_words = (rows + tile_rows - 1) // tile_rows, (depth + 63) // 64
    return np.zeros((n_tiles, n_words), dtype=np.uint64)


def find_row_terms(const real[:, :] a, order, Py_ssize_t offset, Py_ssize_t depth):
    """For each tile of rows a[order], a bit for each column that is not 0 in all of them.

    Returns
    -------
    terms : uint64 ndarray (tiles, words of 64 columns from `offset` on)
    n_terms : int
        Bits set.
    """
    cdef uintptr_t[::1] addresses = list_rows[real](a, order)
    cdef uint64_t[:, ::1] terms = make_terms(addresses.shape[0], depth)
    check(0 <= offset and offset + depth <= a.shape[1], "a")
    n_terms = wrapped.find_row_terms(active_kernels(), <const real *const *>&addresses[0], offset,
                                     depth, addresses.shape[0], &terms[0, 0])
    return np.asarray(terms), n_terms


def find_batch_terms(const real[:, :] a, order, Py_ssize_t offset, Py_ssize_t rows):
    """For each tile of columns of a, from `offset` on, a bit for each row that is not 0 in all.

    Returns
    -------
    uint64 ndarray (tiles, words of 64 rows)
    """
    cdef uintptr_t[::1] addresses = list_rows[real](a, order)
    cdef uint64_t[:, ::1] terms = make_terms(rows, addresses.shape[0])
    check(0 <= offset and offset + rows <= a.shape[1], "a")
    wrapped.find_batch_terms(active_kernels(), <const real *const *>&addresses[0], offset,
                             addresses.shape[0], rows, &terms[0, 0])
    return np.asarray(terms)


def multiply_row(const real[::1] a, Py_ssize_t chunk, const real[:, :] b, real[::1] c,
                 const real[::1] bias=None, bint relu=False, bint skip_zeros=False):
    """c = finish(a @ b), the sum cut in chunks of `chunk`; a (depth,), c (cols,)."""
    check(a.shape[0] > 0 and chunk > 0, "a and chunk")
    check(bias is None or bias.shape[0] == c.shape[0], "bias and c")
    check_panel(b, a.shape[0], c.shape[0])
    wrapped.multiply_row(active_kernels(), &a[0], a.shape[0], chunk, &b[0, 0], stride_of(b),
                         c.shape[0], &c[0], <const real *>NULL if bias is None else &bias[0],
                         relu, skip_zeros)


def multiply_batch(const real[:, :] a, order, Py_ssize_t offset, const real[:, :] b,
                   real[:, :] c, double alpha, double beta,
                   const uint64_t[:, ::1] terms=None):
    """c = alpha * a[order, offset:offset + rows].T @ b[:len(order)] + beta * c."""
    cdef uintptr_t[::1] addresses = list_rows[real](a, order)
    check(0 <= offset and offset + c.shape[0] <= a.shape[1], "a and c")
    check_panel(b, addresses.shape[0], c.shape[1])
    wrapped.multiply_batch(active_kernels(), <const real *const *>&addresses[0], offset,
                           addresses.shape[0], &b[0, 0], stride_of(b), c.shape[0], c.shape[1],
                           &c[0, 0], stride_of[real](c), <real>alpha, <real>beta,
                           NULL if terms is None else &terms[0, 0])


def multiply_matrices(bint transpose_a, bint transpose_b, double alpha, const real[:, :] a,
                      const real[:, :] b, double beta, real[:, :] c):
    """c = alpha * op(a) @ op(b) + beta * c by BLAS, where op may transpose."""
    cdef Py_ssize_t m = c.shape[0], n = c.shape[1], k = a.shape[0] if transpose_a else a.shape[1]
    check(a.shape[1 if transpose_a else 0] == m and b.shape[0 if transpose_b else 1] == n
          and b.shape[1 if transpose_b else 0] == k, "a, b and c")
    wrapped.multiply_matrices(transpose_a, transpose_b, m, n, k, <real>alpha, &a[0, 0],
                              stride_of(a), &b[0, 0], stride_of(b), <real>beta, &c[0, 0],
                              stride_of[real](c))


def sum_chunks(const real[:, :, ::1] partial, Py_ssize_t cols, const real[::1] bias, bint relu,
               real[:, :] z):
    """z = relu?(partial[0] + partial[1] + ... + bias) in the first `cols` columns.

    `partial` is (chunks, rows, stride of z).
    """
    check(z.shape[0] == partial.shape[1] and z.shape[1] == cols
          and stride_of[real](z) == partial.shape[2] >= cols, "partial and z")
    check(bias is None or bias.shape[0] == cols, "bias and z")
    wrapped.sum_chunks(active_kernels(), &partial[0, 0, 0], partial.shape[1] * partial.shape[2],
                       partial.shape[0], partial.shape[2], z.shape[0], cols,
                       <const real *>NULL if bias is None else &bias[0], relu, &z[0, 0])


def transpose(const real[:, :] w, real[:, :] out):
    """out = w.T"""
    check(w.shape[0] == out.shape[1] and w.shape[1] == out.shape[0], "w and out")
    wrapped.transpose(active_kernels(), &w[0, 0], stride_of(w), w.shape[0], w.shape[1],
                      &out[0, 0], stride_of[real](out))


def column_sums(const real[:, :] d, real[::1] out, double alpha, double beta):
    """out = alpha * (sum over the rows of d) + beta * out"""
    check(d.shape[1] == out.shape[0], "d and out")
    wrapped.column_sums(active_kernels(), &d[0, 0], stride_of(d), d.shape[0], d.shape[1],
                        &out[0], <real>alpha, <real>beta)
