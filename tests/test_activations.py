"""Activations and the functions that they are made of, for each instruction set and dtype.

Inputs lie in guarded memory at unaligned addresses, in rows further apart than they are long.
"""

import functools

import common
import mpmath
import numpy as np
import pytest
import reference
import scipy.special
from common import SIDES, Guarded
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastnn import activations
from fastnn._core import kernels, probes

ROWS = [1, 2, 3, 7, 17]
ACTIVATIONS = kernels.list_activations()
# |z| beyond which each is flat, or its output no normal number
REACH = dict.fromkeys(ACTIVATIONS, 12) | {
    "identity": 100, "relu": 100, "leaky_relu": 100, "sigmoid": 80, "silu": 80, "softplus": 80,
    "softmax": 40, "softsign": 100, "arctan": 100,
    "exponential": 80,
}  # fmt: skip


def count_ulps(found, exact):
    """Errors in units in the last place of `found`; `exact` has more digits."""
    with np.errstate(over="ignore"):  # beyond the range, the nearest number is infinity
        rounded = exact.astype(found.dtype)
    assert (np.isinf(rounded) == np.isinf(found)).all()
    finite = np.isfinite(rounded)
    error = np.abs(found[finite] - exact[finite])
    return np.asarray(error / np.spacing(np.abs(rounded[finite])), dtype=float)


def test_list_and_oracles_and_settings_agree():
    assert list(reference.ACTIVATIONS) == ACTIVATIONS
    for name, oracle in reference.ACTIVATIONS.items():
        assert kernels.needs_input(name) == oracle.needs_input
        assert (kernels.get_coefficient_kind(name) == "none") == (oracle.coefficient is None)
        settings = activations.get_activation(name)
        assert (settings.name, settings.coefficient) == (name, oracle.coefficient)


# --- exponentials --------------------------------------------------------------------------------


def sweep(dtype, low, high):
    """Numbers of both signs: evenly over a range, and down to where numbers cease to be normal."""
    even = np.linspace(low, high, 200_001)
    smallest = -37.5 if dtype == "float32" else -307.5
    fine = np.logspace(smallest, np.log10(max(-low, high)), 40_000)
    numbers = np.concatenate([even, fine, -fine]).astype(dtype)
    return numbers[(low <= numbers) & (numbers <= high)]


needs_long_double = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 60, reason="long double has no more digits than double here"
)


# name: the numbers to try, by dtype or for both, the ULPs allowed, and the truth
FUNCTIONS = {
    # 0.92 is what exp.inc promises; a plain sum, without the care for r's rounding, has over 0.95
    "exp": ({"float32": (-87.3, 88.8), "float64": (-708.3, 709.9)}, 0.95, np.exp),
    "log": ((1e-30, 50.0), 1.5, np.log),
    "log1p": ((-0.9999, 50.0), 2.0, np.log1p),
    "erf": ((-6.5, 6.5), 2.0, None),
    "atan": ((-50.0, 50.0), 2.0, np.arctan),
}


@functools.cache
def list_errors_of(name, dtype):
    """Numbers in the range of a function, and its values to more digits."""
    span, _, truth = FUNCTIONS[name]
    x = sweep(dtype, *(span[dtype] if isinstance(span, dict) else span))
    if truth is not None:
        return x, truth(x.astype(np.longdouble))
    x = x[::60].copy()  # NumPy and SciPy have no erf in long double
    with mpmath.workdps(25):
        return x, np.array([np.longdouble(str(mpmath.erf(float(value)))) for value in x])


def test_every_function_is_measured():
    assert list(FUNCTIONS) == kernels.list_functions()


@pytest.mark.parametrize("name", FUNCTIONS)
@needs_long_double
def test_function_in_ulps(isa, dtype, name):
    x, exact = list_errors_of(name, dtype)
    y = np.empty_like(x)
    probes.apply_function(name, x, y)
    assert count_ulps(y, exact).max() <= FUNCTIONS[name][1]


def test_functions_at_the_ends_of_their_range(isa, dtype):
    far, inf, nan = np.finfo(dtype).max, np.inf, np.nan
    limits = {
        "log": [(0, -inf), (inf, inf), (-1, nan), (-inf, nan), (far, np.log(far)), (nan, nan)],
        "log1p": [(-1, -inf), (inf, inf), (-2, nan), (0, 0), (far, np.log(far)), (nan, nan)],
        "erf": [(-inf, -1), (inf, 1), (far, 1), (-far, -1), (0, 0), (nan, nan)],
        "atan": [(-inf, -np.pi / 2), (inf, np.pi / 2), (far, np.pi / 2), (0, 0), (nan, nan)],
    }
    for name, pairs in limits.items():
        x, expected = np.array(pairs).astype(dtype).T.copy()
        y = np.empty_like(x)
        probes.apply_function(name, x, y)
        np.testing.assert_allclose(y, expected, rtol=2 * np.finfo(dtype).eps, err_msg=name)


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
@needs_long_double
def test_sigmoid_and_tanh_are_within_four_ulps(isa, dtype, name):
    low, high = (-87.3, 40.0) if dtype == "float32" else (-708.3, 60.0)
    z = sweep(dtype, *((low, high) if name == "sigmoid" else (-45.0, 45.0)))[None]
    a = np.empty_like(z)
    probes.activation_forward(name, z, a)
    exact = reference.ACTIVATIONS[name][0](z.astype(np.longdouble))
    assert count_ulps(a, exact).max() <= 4.0


def test_exp_at_the_ends_of_its_range(isa, dtype):
    highest = np.log(np.finfo(dtype).max.astype(np.longdouble)).astype(dtype)
    lowest = np.log(np.finfo(dtype).tiny.astype(np.longdouble)).astype(dtype)
    x = np.array([np.inf, highest * 1.01, 1e30, -np.inf, lowest * 1.01, -1e30, np.nan, 0, -0.0])
    x = np.concatenate([x, [highest * 0.999, lowest * 0.999]]).astype(dtype)
    y = np.empty_like(x)
    probes.apply_function("exp", x, y)
    assert y[:3].tolist() == [np.inf] * 3
    assert y[3:6].tolist() == [0] * 3
    assert np.isnan(y[6])
    assert y[7:9].tolist() == [1, 1]
    assert np.finfo(dtype).tiny <= y[10] < 1 < y[9] < np.inf


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_any_length(isa, dtype, name, rng):
    for n in SIDES:
        x = Guarded(rng.uniform(0.1, 2, (1, n)).astype(dtype))
        y = Guarded(np.zeros((1, n), dtype))
        probes.apply_function(name, x.view[0], y.view[0])
        y.check()
        truth = FUNCTIONS[name][2] or scipy.special.erf
        np.testing.assert_allclose(y.view, truth(x.view), rtol=8 * np.finfo(dtype).eps)


# --- kernels -------------------------------------------------------------------------------------


def count_gap(matrix):
    """How much further apart rows lie than they are long."""
    return matrix.strides[0] // matrix.itemsize - matrix.shape[1]


class Case:
    """One activation with coefficients, another for each column, and its oracle."""

    def __init__(self, name, cols, dtype, rng=None):
        rng = rng or np.random.default_rng(0)
        self.oracle = reference.ACTIVATIONS[name]
        self.name = name
        self.coefficients = None
        if self.oracle.coefficient is not None:
            self.coefficients = rng.uniform(0.1, 0.9, cols).astype(dtype)

    def list_coefficients(self):
        return [] if self.coefficients is None else [self.coefficients.astype(np.longdouble)]

    def forward(self, z, a):
        probes.activation_forward(self.name, z, a, self.coefficients)

    def backward(self, delta, source):
        self.slopes = None
        if kernels.get_coefficient_kind(self.name) == "learnt":
            self.slopes = Guarded(np.zeros(delta.shape, delta.dtype), gap=count_gap(delta)).view
        probes.activation_backward(self.name, delta, source, self.coefficients, self.slopes)

    def value(self, z):
        return self.oracle.value(z.astype(np.longdouble), *self.list_coefficients())

    def gradient(self, delta, source):
        wide = [x.astype(np.longdouble) for x in (delta, source)]
        return self.oracle.gradient(*wide, *self.list_coefficients())


def softmax_tolerance(z, eps):
    """e^(z - max) inherits the rounding of z - max, which grows with it."""
    return eps * (6 + np.abs(z - z.max(axis=1, keepdims=True)))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_forward(isa, dtype, name, rng):
    eps = np.finfo(dtype).eps
    for rows in ROWS:
        for cols in SIDES:
            case = Case(name, cols, dtype, rng)
            values = rng.uniform(-REACH[name], REACH[name], (rows, cols)).astype(dtype)
            z, a = Guarded(values), Guarded(np.zeros_like(values))
            case.forward(z.view, a.view)
            exact = case.value(values)
            tolerance = 4 * eps * np.abs(exact)
            if name == "softmax":
                tolerance = softmax_tolerance(values, eps) * exact
            elif name == "gelu":  # 1 + erf cancels
                tolerance += eps * np.abs(values)
            elif name == "gelu_tanh":  # e^2u inherits the rounding of 2u
                tolerance += eps * np.abs(exact) * (4 * np.abs(values) + np.abs(values) ** 3 / 5)
            elif name == "log_softmax":  # may be near 0
                tolerance += 2 * eps * np.log(cols)
            tolerance += REACH[name] * np.finfo(dtype).tiny
            assert (np.abs(a.view - exact) <= tolerance).all(), (rows, cols)
            assert common.same_bits(z.view, values)
            a.check()
            case.forward(z.view, z.view)  # in place
            assert common.same_bits(z.view, a.view)
            z.check()


def scale_of_gradient(name, delta, source, exact):
    """The size of what is added up in a derivative; relative to it, only rounding is lost."""
    if name == "softmax":  # a sum of `cols` terms may cancel
        products = np.abs(delta.astype(float) * source)
        inside = np.abs(delta) + products.sum(axis=1, keepdims=True)
        return (source.shape[1] + 4) / 4 * source * inside
    if name == "log_softmax":
        return np.abs(delta) + (delta.shape[1] + 4) * np.abs(delta).sum(axis=1, keepdims=True)
    if kernels.needs_input(name) or name == "selu":  # f' has a zero; a + lambda alpha cancels
        return np.abs(exact) + 2 * np.abs(delta)
    return np.abs(exact)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_backward(isa, dtype, name, rng):
    eps = np.finfo(dtype).eps
    for rows in ROWS:
        for cols in SIDES:
            case = Case(name, cols, dtype, rng)
            # The source of a real forward pass, with zeros from ReLU among them
            z = (rng.standard_normal((rows, cols)) * 2).astype(dtype)
            source = Guarded(z if case.oracle.needs_input else case.value(z).astype(dtype))
            incoming = rng.standard_normal((rows, cols)).astype(dtype)
            delta = Guarded(incoming)
            before = source.view.copy()
            case.backward(delta.view, source.view)
            exact = case.gradient(incoming, before)
            tolerance = 4 * eps * scale_of_gradient(name, incoming, before, exact)
            assert (np.abs(delta.view - exact) <= tolerance).all(), (rows, cols)
            if case.slopes is not None:
                expected = reference.prelu_slope(incoming, before)
                np.testing.assert_array_equal(case.slopes, expected)
            assert common.same_bits(source.view, before)
            delta.check()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_keep_nan(isa, dtype, name):
    for cols in SIDES:
        case = Case(name, cols, dtype)
        z = np.zeros((1, cols), dtype)
        z[0, -1] = np.nan
        a = np.empty_like(z)
        case.forward(z, a)
        assert np.isnan(a[0, -1])
        assert np.isnan(a).all() if kernels.is_rowwise(name) else not np.isnan(a[0, :-1]).any()
        delta = np.full_like(z, np.nan)
        case.backward(delta, np.full_like(z, 0.5))
        assert np.isnan(delta).all()
        delta = np.ones_like(z)
        case.backward(delta, np.full_like(z, np.nan))
        assert np.isnan(delta).all() or name == "identity"


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("relu", (0, np.inf)),
        ("sigmoid", (0, 1)),
        ("hard_sigmoid", (0, 1)),
        ("tanh", (-1, 1)),
        ("sign", (-1, 1)),
        ("softplus", (0, np.inf)),
    ],
)
def test_activations_of_infinity(isa, dtype, name, limits):
    a = np.empty((1, 6), dtype)
    z = np.array([[-np.inf, np.inf, -1e30, 1e30, -1e4, 1e4]], dtype)
    probes.activation_forward(name, z, a)
    far = z[0] if limits[1] == np.inf else [limits[0], limits[1]] * 3
    assert a[0].tolist() == [max(value, limits[0]) for value in far]


BOUNDED = [name for name in ACTIVATIONS if name != "exponential"]


@pytest.mark.parametrize("name", BOUNDED)
def test_activations_and_derivatives_far_from_zero(isa, dtype, name):
    """Where formulas are cut off, they have reached their limits; a column each."""
    for far in (-1e30, -1e5, -100, 100, 1e5, 1e30):
        z = np.array([[far]], dtype)
        case, a, delta = Case(name, 1, dtype), np.empty_like(z), np.ones_like(z)
        case.forward(z, a)
        source = z if case.oracle.needs_input else a
        case.backward(delta, source.copy())
        eps = np.finfo(dtype).eps
        with np.errstate(all="ignore"):
            value, slope = case.value(z), case.gradient(np.ones_like(z), source)
        np.testing.assert_allclose(a, value, rtol=4 * eps, atol=1e-30)
        tolerance = 4 * eps * scale_of_gradient(name, np.ones_like(z), source, slope) + 1e-30
        assert (np.abs(delta - slope) <= tolerance).all(), far


@given(data=st.data(), name=st.sampled_from(BOUNDED), dtype=st.sampled_from(common.DTYPES))
def test_activation_of_any_values(data, name, dtype):
    """Whole range of exponents: outputs and derivatives stay finite, and within their range."""
    shape = hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)
    width = 32 if dtype == "float32" else 64
    # log_softmax subtracts one from another, selu multiplies by 1.05
    most = float(np.finfo(dtype).max) / (2 if name in ("log_softmax", "selu") else 1)
    numbers = st.floats(-most, most, width=width)
    z = data.draw(hnp.arrays(dtype, shape, elements=numbers))
    case = Case(name, z.shape[1], dtype)
    a = np.empty_like(z)
    case.forward(z, a)
    assert np.isfinite(a).all()
    delta = np.ones_like(z)
    source = z if case.oracle.needs_input else a
    case.backward(delta, source)
    assert (np.abs(delta) <= (z.shape[1] if name == "log_softmax" else 2)).all()
    if name in ("identity", "relu"):
        np.testing.assert_array_equal(a, reference.ACTIVATIONS[name][0](z))
    elif name in ("gelu", "gelu_tanh", "silu", "softplus", "sigmoid"):  # flat far below 0
        flat = source < -1e4
        assert (np.abs(delta[flat]) < 1e-30).all()
    if name in ("sigmoid", "tanh", "softmax"):
        assert (np.abs(a) <= 1).all()
    if name == "softmax":
        sums = a.sum(axis=1, dtype=np.longdouble)
        assert (np.abs(sums - 1) <= 4 * np.finfo(dtype).eps).all()
