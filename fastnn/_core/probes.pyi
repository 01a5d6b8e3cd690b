from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn._core.binding import Binding

_Array = NDArray[np.floating[Any]]

def sees_zeros(binding: Binding, x: _Array) -> bool: ...
def sees_denormals(binding: Binding, flushed: bool) -> bool: ...
def apply_function(name: str, x: _Array, y: _Array) -> None: ...
def activation_forward(
    name: str, z: _Array, a: _Array, coefficients: _Array | None = None
) -> None: ...
def activation_backward(
    name: str,
    delta: _Array,
    source: _Array,
    coefficients: _Array | None = None,
    coefficient_delta: _Array | None = None,
) -> None: ...
def evaluate_loss(
    name: str,
    output: _Array,
    delta: _Array | None,
    labels: NDArray[np.int32] | None,
    targets: _Array | None,
    scale: float,
    weights: NDArray[np.float64] | None = None,
    settings: dict[str, float] | None = None,
) -> NDArray[np.float64]: ...
def update_parameters(
    name: str,
    w: _Array,
    g: _Array,
    state: _Array,
    coefficients: NDArray[np.float64],
    l1: float = 0,
    l2: float = 0,
    scale: float = 1,
) -> None: ...
def limit_columns(w: _Array, squares: _Array, limit: float) -> None: ...
def sum_squares(x: _Array) -> float: ...
def add_penalty(w: _Array, g: _Array, l1: float, l2: float) -> None: ...
def dropout_relu_backward(
    delta: _Array, a: _Array, first: int, factor: float, out: _Array
) -> None: ...
def multiply_rows(
    a: _Array,
    order: ArrayLike,
    offset: int,
    depth: int,
    b: _Array,
    c: _Array,
    accumulate: bool = False,
    bias: _Array | None = None,
    relu: bool = False,
    gate: _Array | None = None,
    terms: NDArray[np.uint64] | None = None,
) -> None: ...
def find_row_terms(
    a: _Array, order: ArrayLike, offset: int, depth: int
) -> tuple[NDArray[np.uint64], int]: ...
def find_batch_terms(a: _Array, order: ArrayLike, offset: int, rows: int) -> NDArray[np.uint64]: ...
def multiply_row(
    a: _Array,
    chunk: int,
    b: _Array,
    c: _Array,
    bias: _Array | None = None,
    relu: bool = False,
    skip_zeros: bool = False,
) -> None: ...
def multiply_batch(
    a: _Array,
    order: ArrayLike,
    offset: int,
    b: _Array,
    c: _Array,
    alpha: float,
    beta: float,
    terms: NDArray[np.uint64] | None = None,
) -> None: ...
def multiply_matrices(
    transpose_a: bool,
    transpose_b: bool,
    alpha: float,
    a: _Array,
    b: _Array,
    beta: float,
    c: _Array,
) -> None: ...
def sum_chunks(partial: _Array, cols: int, bias: _Array | None, relu: bool, z: _Array) -> None: ...
def transpose(w: _Array, out: _Array) -> None: ...
def column_sums(d: _Array, out: _Array, alpha: float, beta: float) -> None: ...
