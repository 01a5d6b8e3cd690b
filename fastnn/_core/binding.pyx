"""A plan bound to memory: NumPy arrays allocated once, and the structs that point into them."""

import numpy as np

from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport uint32_t, uint64_t, uintptr_t

from fastnn._core import kernels
from fastnn._core import phase_order
from fastnn._core import plan as planning
from fastnn._core import plan_structs
from fastnn._core.plan import choose_stride
from fastnn._core.plan_structs import count_chunks

from fastnn._core.deltas cimport transpose_block
from fastnn._core.forward cimport has_many_zeros
from fastnn._core.kernels cimport active_kernels, find_nonfinite_in, real
from fastnn._core.structs cimport DENSE, panel_stride
from fastnn._core.structs cimport TERM_WORDS as N_TERM_WORDS

CACHE_LINE = 64
TERM_WORDS = N_TERM_WORDS


def allocate(n, dtype):
    """`n` zeros of `dtype` that begin on a cache line.

    Zeros, because the lanes beyond a row's end are computed on (never stored) and must not be
    denormals or signalling NaNs that slow a vector down.
    """
    itemsize = np.dtype(dtype).itemsize
    raw = np.zeros(n * itemsize + CACHE_LINE, dtype=np.uint8)
    start = -<Py_ssize_t>address(raw) % CACHE_LINE
    return raw[start : start + n * itemsize].view(dtype)


def make_blocks(n_threads, dtype):
    """Scratch for each thread's blocks of weight gradients, a row of it for each thread."""
    size = planning.UPDATE_BLOCK * kernels.get_panel_width(dtype)
    return allocate(n_threads * size, dtype).reshape(n_threads, size)


def list_rows(array):
    """Pointers to the rows of a matrix."""
    return point_to_rows(<uintptr_t>address(array), array.strides[0], len(array))


def point_to_rows(start, row_bytes, n_rows):
    """Pointers (n_rows) to the rows of what begins at `start`, `row_bytes` apart."""
    return start + row_bytes * np.arange(n_rows, dtype=np.uintp)


cdef void *address(array) except? NULL:
    """Where an array begins; NULL for None. By the buffer protocol, `array.ctypes` takes 1 µs."""
    cdef Py_buffer view
    if array is None:
        return NULL
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    PyBuffer_Release(&view)  # the caller keeps the array alive
    return view.buf


cdef Py_ssize_t count_denormals(const real *w, Py_ssize_t n) noexcept nogil:
    """Numbers that are not 0 and smaller than the smallest normal one.

    By their bits, without the sign: no exponent, but a mantissa. Floating-point instructions would
    take them for 0 in a thread that flushes denormals.
    """
    cdef Py_ssize_t i, found = 0
    cdef const uint32_t *singles = <const uint32_t *>w
    cdef const uint64_t *doubles = <const uint64_t *>w
    for i in range(n):
        if real is float:
            found += <uint32_t>((singles[i] << 1) - 1) < <uint32_t>((1 << 24) - 1)
        else:
            found += <uint64_t>((doubles[i] << 1) - 1) < (<uint64_t>1 << 53) - 1
    return found


cdef class Binding:
    """The layers of a plan with their weights and scratch.

    Parameters
    ----------
    plan : Plan
    parameters : list of (weight, bias, slope)
        Views of the network's parameters, weight (n_in, n_out), bias (n_out,) or None. One
        vector behind the end of each weight must be readable. (gain, shift, None) of norms, with
        the running mean and variance behind them in batch norm.
    gradients : list of (weight_grad, bias_grad, slope_grad) or None
        Where gradients go that are kept: those of biases and slopes, and those of weights when the
        caller updates or BLAS computes them. None: there are none, in prediction.
    rows : int
        Rows that scratch is made for.
    packed : bool
        Whether weights are copied into panels (`pack`, `unpack`) or used where they lie.
    training : bool
        Whether the backward pass needs scratch.
    slots : sequence of lists of (weight, bias)
        What the optimizer keeps from step to step: views like `parameters`, a list for each slot.
    """

    def __cinit__(self, plan, parameters, gradients, rows, packed, training, slots=()):
        self.plan = plan
        self.dtype = np.dtype(plan.dtype)
        self.is_f32 = self.dtype == np.float32
        self.packed = packed
        self.kernels = active_kernels()[0]
        self.n_layers = len(plan.layers)
        self.parameters = parameters
        self.memory = []
        self.panels = [None] * self.n_layers
        self.outputs = []
        self.deltas = []
        self.slots = slots
        self.slot_panels = [[] for _ in range(self.n_layers)]
        self.layers = <Layer *>PyMem_Calloc(self.n_layers, sizeof(Layer))
        if self.layers == NULL:
            raise MemoryError()
        for i in range(self.n_layers):
            self.bind_shape(i, rows)
            if plan.layers[i].shape.kind == "dense":
                self.bind_weight(i, gradients, training)
            self.bind_scratch(i, rows, training)
            if plan.layers[i].shape.is_norm:
                self.bind_norm(i, gradients, rows, training)

    def __dealloc__(self):
        PyMem_Free(self.layers)

    def share_weights(self, Binding other):
        """Use the weights that `other` holds, panels included, with scratch of one's own."""
        cdef Py_ssize_t i
        for i in range(self.n_layers):
            self.layers[i].packed = other.layers[i].packed
            self.layers[i].weight = other.layers[i].weight
            self.layers[i].row_skips_zeros = other.layers[i].row_skips_zeros
        self.keep(other)

    def keep(self, array):
        """Hold on to an array for as long as the pointers live."""
        self.memory.append(array)
        return array

    def bind_shape(self, Py_ssize_t i, rows):
        cdef Layer *layer = self.layers + i
        planned = self.plan.layers[i]
        shape = planned.shape
        layer.kind = plan_structs.LAYER_KINDS.index(shape.kind)
        layer.index = shape.index
        layer.rate = shape.rate
        layer.epsilon = shape.epsilon
        layer.momentum = shape.momentum
        layer.l1 = shape.l1
        layer.l2 = shape.l2
        layer.max_norm = shape.max_norm
        layer.n_in = shape.n_in
        layer.n_out = shape.n_out
        layer.activation = kernels.list_activations().index(shape.activation)
        layer.rowwise = shape.rowwise
        if shape.coefficient is not None:
            layer.coefficients = address(
                self.keep(np.full(shape.n_out, shape.coefficient, dtype=self.dtype))
            )
        layer.blas = planned.blas
        layer.vector_width = kernels.get_vector_width(self.dtype)
        layer.chunk = planned.chunk
        layer.transposed_chunk = planned.transposed_chunk
        layer.batch_chunk = planning.BATCH_CHUNK
        layer.row_block = planning.choose_row_block(rows)
        layer.input_block = planning.choose_input_block(rows, self.dtype.itemsize)
        layer.blas_block = phase_order.BLAS_BLOCK
        layer.update_block = planning.UPDATE_BLOCK
        tile_rows = (self.kernels.f32.tile_rows if self.is_f32
                     else self.kernels.f64.tile_rows)
        n_tiles = count_chunks(planning.UPDATE_BLOCK, tile_rows)
        layer.term_words = n_tiles * count_chunks(planning.BATCH_CHUNK, 64)
        layer.n_panels = len(planned.panels) - 1
        layer.n_transposed_panels = len(planned.transposed_panels) - 1
        layer.panels = <Py_ssize_t *>address(
            self.keep(np.array(planned.panels, dtype=np.intp))
        )
        layer.transposed_panels = <Py_ssize_t *>address(
            self.keep(np.array(planned.transposed_panels, dtype=np.intp))
        )

    def bind_weight(self, Py_ssize_t i, gradients, bint training):
        cdef Layer *layer = self.layers + i
        cdef Py_ssize_t width = layer.vector_width
        index = self.plan.layers[i].shape.index
        weight, bias, slope = self.parameters[index][:3]
        weight_grad, bias_grad, slope_grad = gradients[index] if gradients else (None,) * 3
        layer.packed = self.packed and not layer.blas
        n_packed = (layer.n_out + width - 1) // width * width * layer.n_in
        self.panels[i] = allocate(n_packed, self.dtype) if layer.packed else None
        for k, slot in enumerate(self.slots):
            panels = allocate(n_packed, self.dtype) if layer.packed else None
            self.slot_panels[i].append(panels)
            layer.weight_slots[k] = address(panels if layer.packed else slot[index][0])
        layer.weight = address(self.panels[i] if layer.packed else weight)
        layer.bias = address(bias)
        layer.weight_grad = address(weight_grad)
        layer.bias_grad = address(bias_grad)
        if slope is not None:
            layer.coefficients = address(slope)
            layer.coefficients_grad = address(slope_grad)
        self.keep((weight, bias, slope, weight_grad, bias_grad, slope_grad))
        if training and self.plan.layers[i].input_gradient and not layer.blas:
            n_transposed = (layer.n_in + width - 1) // width * width * layer.n_out
            layer.weight_transposed = address(self.keep(allocate(n_transposed, self.dtype)))

    def bind_norm(self, Py_ssize_t i, gradients, Py_ssize_t rows, bint training):
        cdef Layer *layer = self.layers + i
        shape = self.plan.layers[i].shape
        gain, shift, _, *running = self.parameters[shape.index]
        gain_grad, shift_grad = gradients[shape.index][:2] if gradients else (None, None)
        layer.weight = address(gain)
        layer.bias = address(shift)
        layer.weight_grad = address(gain_grad)
        layer.bias_grad = address(shift_grad)
        if running:
            layer.running_mean = address(running[0])
            layer.running_variance = address(running[1])
        self.keep((gain, shift, gain_grad, shift_grad, running))
        if training:
            layer.normalized = address(self.keep(allocate(rows * layer.stride, self.dtype)))
            n_scales = layer.n_out if shape.kind == "batch_norm" else rows
            layer.norm_scale = address(self.keep(allocate(n_scales, self.dtype)))
            if running:
                layer.batch_mean = address(self.keep(allocate(shape.n_out, self.dtype)))
                layer.batch_variance = address(self.keep(allocate(shape.n_out, self.dtype)))

    def bind_scratch(self, Py_ssize_t i, Py_ssize_t rows, bint training):
        cdef Layer *layer = self.layers + i
        planned = self.plan.layers[i]
        layer.stride = choose_stride(layer.n_out, self.dtype.itemsize)
        row_bytes = layer.stride * self.dtype.itemsize

        def make_rows():
            block = self.keep(allocate(rows * layer.stride, self.dtype))
            pointers = point_to_rows(<uintptr_t>address(block), row_bytes, rows)
            return block, self.keep(pointers)

        output, output_rows = make_rows()
        self.outputs.append(output.reshape(rows, layer.stride)[:, : layer.n_out])
        layer.output = address(output)
        layer.source = layer.output
        layer.output_rows = <void **>address(output_rows)
        if training:
            delta, delta_rows = make_rows()
            self.deltas.append(delta.reshape(rows, layer.stride)[:, : layer.n_out])
            layer.delta = address(delta)
            layer.delta_rows = <void **>address(delta_rows)
        if training and kernels.needs_input(planned.shape.activation):
            layer.source = address(self.keep(allocate(rows * layer.stride, self.dtype)))
        if training and kernels.get_coefficient_kind(planned.shape.activation) == "learnt":
            layer.coefficient_delta = address(
                self.keep(allocate(rows * layer.stride, self.dtype))
            )
        if training and layer.max_norm:
            n_chunks = count_chunks(layer.n_in, layer.chunk)
            layer.squares = address(self.keep(allocate(n_chunks * layer.stride, self.dtype)))
        if training and planned.delta_panels:
            padded = choose_stride(layer.n_out, self.dtype.itemsize)
            layer.delta_panels = address(self.keep(allocate(rows * padded, self.dtype)))
        if training and planned.cut == "inputs":
            layer.partial_size = rows * layer.stride
            n_chunks = count_chunks(layer.n_in, layer.chunk)
            layer.partial = address(
                self.keep(allocate(n_chunks * layer.partial_size, self.dtype))
            )

    def list_copies(self):
        """Pairs of (panel, columns it is a copy of) as views, of all weights and their state."""
        cdef Py_ssize_t i
        for i in range(self.n_layers):
            if self.layers[i].packed:
                index = self.plan.layers[i].shape.index
                yield from self.list_panels(i, self.panels[i], self.parameters[index][0])
                for panels, slot in zip(self.slot_panels[i], self.slots, strict=True):
                    yield from self.list_panels(i, panels, slot[index][0])

    def list_panels(self, Py_ssize_t i, panels, weight):
        cdef Layer *layer = self.layers + i
        cdef Py_ssize_t width = layer.vector_width
        bounds = self.plan.layers[i].panels
        for first, stop in zip(bounds, bounds[1:], strict=False):
            padded = (stop - first + width - 1) // width * width
            panel = panels[first * layer.n_in : (first + padded) * layer.n_in]
            yield panel.reshape(layer.n_in, padded)[:, : stop - first], weight[:, first:stop]

    def pack(self):
        """Copy the weights and the optimizer's state into panels, and transpose the weights."""
        cdef Py_ssize_t i
        for panel, columns in self.list_copies():
            panel[...] = columns
        for i in range(self.n_layers):
            if self.layers[i].weight_transposed != NULL:
                if self.is_f32:
                    transpose_block(&self.kernels, &self.layers[i], 0, self.layers[i].n_in,
                                    <const float *>NULL)
                else:
                    transpose_block(&self.kernels, &self.layers[i], 0, self.layers[i].n_in,
                                    <const double *>NULL)

    def note_finite(self):
        """Of weights that will not change: note which layers' are finite."""
        for i in range(self.n_layers):
            self.layers[i].row_skips_zeros = self.layers[i].kind == DENSE and self.is_finite(i)

    cdef bint is_finite(self, Py_ssize_t i) noexcept nogil:
        """Whether no weight of a dense layer is NaN or infinite, where it lies for the engine."""
        cdef const void *weight = self.layers[i].weight
        cdef Py_ssize_t n = self.count_weights(i)
        if self.is_f32:
            return find_nonfinite_in(&self.kernels, <const float *>weight, n) < 0
        return find_nonfinite_in(&self.kernels, <const double *>weight, n) < 0

    cdef bint has_denormals(self, Py_ssize_t i) noexcept nogil:
        """Whether a weight is: one that the engine flushes to zero, if it comes to touch it."""
        cdef const void *weight = self.layers[i].weight
        cdef Py_ssize_t n = self.count_weights(i)
        if self.is_f32:
            return count_denormals(<const float *>weight, n) > 0
        return count_denormals(<const double *>weight, n) > 0

    cdef Py_ssize_t count_weights(self, Py_ssize_t i) noexcept nogil:
        """With what fills up the last vectors of packed ones."""
        cdef Layer *layer = self.layers + i
        cdef Py_ssize_t last = layer.panels[layer.n_panels - 1]
        if not layer.packed:
            return layer.n_in * layer.n_out
        return layer.n_in * (last + panel_stride(layer, layer.n_out - last))

    cdef bint finds_zeros(self, const char *x, Py_ssize_t row_bytes,
                          Py_ssize_t n_rows) noexcept nogil:
        """Whether there are so many in x that the first layer's tiles had better look for them.

        Its rows are `row_bytes` apart.
        """
        if self.layers[0].kind != DENSE or self.layers[0].blas:
            return False
        if self.is_f32:
            return has_many_zeros(&self.kernels, self.layers, x, row_bytes, n_rows,
                                  <const float *>NULL)
        return has_many_zeros(&self.kernels, self.layers, x, row_bytes, n_rows,
                              <const double *>NULL)

    def unpack(self):
        """Copy the panels back into the weights and the optimizer's state."""
        for panel, columns in self.list_copies():
            columns[...] = panel
