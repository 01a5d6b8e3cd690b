"""The one extension that links csrc/: chooses the kernels, hands BLAS over, tells the lists.

Everything else in ``fastnn._core`` cimports the tables from here, so that there is one choice of
instruction set in a process and one BLAS.
"""

import os

import numpy as np
import scipy.linalg.cython_blas
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastnn._core.fastnn cimport *


# --- instruction set -------------------------------------------------------------------------

cdef Kernels chosen_kernels


cdef Kernels *active_kernels() noexcept nogil:
    return &chosen_kernels


def list_isas():
    """Names of the instruction sets of this build that this CPU has, plainest first."""
    return [
        fnn_isas[isa].decode() for isa in range(FNN_N_ISAS) if fnn_find_kernels_f32(isa) != NULL
    ]


def get_isa():
    """Name of the instruction set in use."""
    return chosen_kernels.f32.isa.decode()


def select_isa(name):
    """Use the kernels of instruction set `name` from here on, for networks not yet built.

    The package calls this once, when it is imported; tests call it to go through every path.
    """
    available = list_isas()
    if name not in available:
        raise ValueError(
            f"FASTNN_ISA is {name!r}, but this CPU and build have {', '.join(available)}; "
            "unset it to choose the fastest"
        )
    for isa in range(FNN_N_ISAS):
        if fnn_isas[isa].decode() == name:
            chosen_kernels.f32 = fnn_find_kernels_f32(isa)
            chosen_kernels.f64 = fnn_find_kernels_f64(isa)


def get_vector_width(dtype):
    """Elements of `dtype` in one vector register."""
    if np.dtype(dtype) == np.float32:
        return chosen_kernels.f32.vector_width
    return chosen_kernels.f64.vector_width


def get_panel_width(dtype):
    """Columns of the widest weight panel that the register tile takes."""
    if np.dtype(dtype) == np.float32:
        return chosen_kernels.f32.panel_width
    return chosen_kernels.f64.panel_width


# --- lists -----------------------------------------------------------------------------------

def list_activations():
    """Activation names in the order of csrc/lists/activations.def."""
    return [fnn_activations[i].name.decode() for i in range(FNN_N_ACTIVATIONS)]


def list_functions():
    """Names of the functions that kernels are made of, as in csrc/lists/functions.def."""
    return [fnn_functions[i].decode() for i in range(FNN_N_FUNCTIONS)]


def list_losses():
    """Loss names in the order of csrc/lists/losses.def."""
    return [fnn_losses[i].name.decode() for i in range(FNN_N_LOSSES)]


def list_optimizers():
    """Optimizer names in the order of csrc/lists/optimizers.def."""
    return [fnn_optimizers[i].name.decode() for i in range(FNN_N_OPTIMIZERS)]


def get_n_slots(optimizer):
    """Numbers that `optimizer` keeps per parameter from step to step."""
    return fnn_optimizers[<int>list_optimizers().index(optimizer)].n_slots


def is_rowwise(activation):
    """Whether `activation` needs whole rows, as softmax does."""
    return fnn_activations[<int>list_activations().index(activation)].shape == FNN_ROWWISE


def needs_input(activation):
    """Whether the derivative of `activation` is computed from its input rather than its output."""
    return fnn_activations[<int>list_activations().index(activation)].source == FNN_INPUT


def get_coefficient_kind(activation):
    """"none", "fixed" (a setting) or "learnt" (a parameter per unit)."""
    cdef int kind = fnn_activations[<int>list_activations().index(activation)].coefficient
    return "none" if kind == FNN_NONE else "fixed" if kind == FNN_FIXED else "learnt"


def get_merged_activation(loss):
    """Name of the activation that `loss` contains when it is given raw scores."""
    cdef int merged = fnn_losses[<int>list_losses().index(loss)].merged_activation
    return fnn_activations[merged].name.decode()


def get_targets(loss):
    """What `loss` compares the output with: "values", "counts", "classes", "labels", "binary"."""
    return fnn_losses[<int>list_losses().index(loss)].targets.decode().lower()


def list_loss_settings():
    """Names of the settings of losses: the fields of fnn_loss_settings."""
    cdef fnn_loss_settings settings = fnn_loss_settings(0, 0, 0)
    return list(settings)


# --- BLAS ------------------------------------------------------------------------------------

cdef void *find_blas_function(name) except NULL:
    """A pointer from ``scipy.linalg.cython_blas``, whose capsule's name is its C signature."""
    capsule = scipy.linalg.cython_blas.__pyx_capi__[name]
    cdef const char *signature = PyCapsule_GetName(capsule)
    if not signature.startswith(b"void (char *, char *, int *, int *, int *, "):
        raise ImportError(
            f"scipy.linalg.cython_blas.{name} has the signature {signature.decode()}; fastnn needs "
            "a BLAS with 32-bit integers: install a standard build of SciPy"
        )
    return PyCapsule_GetPointer(capsule, signature)


cdef void gemm_f32(int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                   const float *a, int lda, const float *b, int ldb, float beta, float *c,
                   int ldc) noexcept nogil:
    fnn_multiply_matrices_f32(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c,
                              ldc)


cdef void gemm_f64(int transpose_a, int transpose_b, int m, int n, int k, double alpha,
                   const double *a, int lda, const double *b, int ldb, double beta, double *c,
                   int ldc) noexcept nogil:
    fnn_multiply_matrices_f64(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c,
                              ldc)


# --- functions of the core for the other extensions -------------------------------------------

cdef uint64_t flush_denormals() noexcept nogil:
    return fnn_flush_denormals()


cdef void restore_float_state(uint64_t state) noexcept nogil:
    fnn_restore_float_state(state)


cdef void shuffle_rows(uint64_t seed, uint32_t epoch, Py_ssize_t n, int64_t *order) noexcept nogil:
    fnn_shuffle_indices(seed, epoch, n, order)


# --- helpers of the Python layer -------------------------------------------------------------

def find_nonfinite(const real[::1] x):
    """Index of the first NaN or infinity in `x`, or -1."""
    cdef Py_ssize_t found = -1
    if x.shape[0]:
        with nogil:
            if real is float:
                found = chosen_kernels.f32.find_nonfinite(&x[0], x.shape[0])
            else:
                found = chosen_kernels.f64.find_nonfinite(&x[0], x.shape[0])
    return found


def fill_uniform(uint64_t seed, uint32_t stream, double low, double high, Py_ssize_t n):
    """`n` float64 numbers uniform in [low, high): a function of (seed, stream, index) alone."""
    numbers = np.empty(n)
    cdef double[::1] out = numbers
    if n:
        fnn_fill_uniform(seed, stream, low, high, n, &out[0])
    return numbers


def fill_normal(uint64_t seed, uint32_t stream, double mean, double std, Py_ssize_t n):
    """`n` normal float64 numbers: a function of (seed, stream, index), on every platform."""
    numbers = np.empty(n)
    cdef double[::1] out = numbers
    if n:
        fnn_fill_normal(seed, stream, mean, std, n, &out[0])
    return numbers


def find_normal_quantile(double q):
    """Where the standard normal distribution function is 1/2 + `q`."""
    return fnn_find_normal_quantile(q)


def orthonormalize_rows(double[:, ::1] a):
    """Make the rows of a matrix, no more than its columns, orthonormal in place."""
    with nogil:
        fnn_orthonormalize_rows(a.shape[0], a.shape[1], &a[0, 0])


def shuffle_indices(uint64_t seed, uint32_t epoch, Py_ssize_t n):
    """A permutation of range(n): a function of (seed, epoch, n) alone."""
    indices = np.empty(n, dtype=np.int64)
    cdef int64_t[::1] out = indices
    if n:
        fnn_shuffle_indices(seed, epoch, n, &out[0])
    return indices


select_isa(os.environ.get("FASTNN_ISA") or list_isas().pop())
fnn_set_blas(<fnn_sgemm>find_blas_function("sgemm"), <fnn_dgemm>find_blas_function("dgemm"))
