"""Updates of all parameters at once, where they lie: what the explicit loop's `step` does."""

import numpy as np

from libc.math cimport INFINITY
from libc.stdint cimport uint64_t

from fastnn._core import kernels as kernel_lists
from fastnn._core import phase_order

from fastnn._core.clipping cimport find_scale, square_chunk
from fastnn._core.fastnn cimport FNN_MAX_SLOTS, fnn_coefficients
from fastnn._core.kernels cimport (
    active_kernels,
    flush_denormals,
    limit_columns,
    product_sums,
    real,
    restore_float_state,
    sum_chunks,
    update_parameters,
)


def update_arena(optimizer, real[::1] values, const real[::1] gradients, real[:, ::1] state,
                 const double[::1] coefficients):
    """One optimizer step over a whole arena of parameters.

    Parameters
    ----------
    optimizer : str
        Name from optimizers.def.
    values, gradients : ndarray (n_parameters,)
    state : ndarray (n_slots, n_parameters)
    coefficients : float64 ndarray (n_coefficients,)
        Of this step.
    """
    cdef int number = kernel_lists.list_optimizers().index(optimizer)
    cdef const fnn_coefficients *now = <const fnn_coefficients *>&coefficients[0]
    cdef real *slots[FNN_MAX_SLOTS]
    cdef uint64_t float_state
    cdef Py_ssize_t k, chunk
    cdef Py_ssize_t n = values.shape[0], chunk_size = phase_order.NORM_CHUNK
    cdef double squares = 0, scale = 1
    for k in range(FNN_MAX_SLOTS):
        slots[k] = &state[k, 0] if k < state.shape[0] else NULL
    with nogil:
        float_state = flush_denormals()
        if now.norm != INFINITY:
            for chunk in range((n + chunk_size - 1) // chunk_size):
                squares += square_chunk(active_kernels(), &gradients[0], n, chunk_size, chunk)
            scale = find_scale(squares, now)
        update_parameters(active_kernels(), number, &values[0], &gradients[0], slots,
                          n, now, 0, 0, scale)
        restore_float_state(float_state)


def limit_column_norms(real[:, ::1] weight, Py_ssize_t chunk, double max_norm):
    """Scale back the columns of `weight` that are longer than `max_norm`.

    With the bits of the engine's phases, for layers that sum chunks of so many inputs.
    """
    cdef Py_ssize_t n_in = weight.shape[0], n_out = weight.shape[1]
    cdef Py_ssize_t i, row, n_chunks = (n_in + chunk - 1) // chunk
    partial = np.empty((n_chunks + 1, n_out), dtype=np.asarray(weight).dtype)
    cdef real[:, ::1] squares = partial
    cdef uint64_t float_state
    with nogil:
        float_state = flush_denormals()
        for i in range(n_chunks):
            row = i * chunk
            product_sums(active_kernels(), &weight[row, 0], &weight[row, 0], n_out,
                         min(chunk, n_in - row), n_out, &squares[i, 0], <real>1, <real>0)
        sum_chunks(active_kernels(), &squares[0, 0], n_out, n_chunks, n_out, 1, n_out,
                   <const real *>NULL, False, &squares[n_chunks, 0])
        limit_columns(active_kernels(), &weight[0, 0], n_out, n_in, n_out, &squares[n_chunks, 0],
                      max_norm)
        restore_float_state(float_state)
