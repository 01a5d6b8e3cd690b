"""Initial weights: distributions, defaults, files, and bits that no platform can change."""

import hashlib
import math
import statistics

import common
import numpy as np
import pytest
import scipy.special

import fastnn
from fastnn import initializers
from fastnn._core import kernels

SHAPE = (300, 200)


def fill(initializer, shape=SHAPE, seed=3, layer=1):
    return initializers.check_initializer(initializer).fill(shape, seed, layer)


# --- distributions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("initializer", "variance"),
    [
        ("he_uniform", 2 / 300),
        ("he_normal", 2 / 300),
        ("glorot_uniform", 2 / 500),
        ("glorot_normal", 2 / 500),
        ("lecun_uniform", 1 / 300),
        ("lecun_normal", 1 / 300),
        (initializers.Uniform(-1, 1), 1 / 3),
        (initializers.Normal(0.0, 0.3), 0.09),
        ("orthogonal", 1 / 300),
        (initializers.Orthogonal(gain=2.0), 4 / 300),
    ],
    ids=str,
)
def test_C31_variance(initializer, variance):
    """Mean 0 and the variance of the paper, each within five standard errors."""
    weights = fill(initializer)
    size = weights.size
    assert weights.shape == SHAPE
    assert abs(weights.mean()) < 5 * math.sqrt(variance / size)
    assert abs(weights.var() / variance - 1) < 5 * math.sqrt(2 / size)


def test_C06_weights_between_minus_one_and_one():
    layer = fastnn.Dense(10, initializer=initializers.Uniform(-1, 1))
    net = fastnn.Network([layer], n_features=784)
    assert -1 <= layer.weight.min() < -0.998
    assert 0.998 < layer.weight.max() <= 1
    assert not layer.bias.any()
    counts = np.histogram(layer.weight, bins=10, range=(-1, 1))[0]
    assert (abs(counts - 784) < 5 * math.sqrt(784)).all()
    assert "Uniform(low=-1.0, high=1.0)" in repr(net)


def test_uniform_and_constant_weights_have_their_bounds():
    weights = fill(initializers.Uniform(2, 5))
    assert 2 <= weights.min() < 2.01
    assert 4.99 < weights.max() < 5
    assert (fill(initializers.Constant(0.25)) == 0.25).all()
    assert not fill("zeros").any()
    weights = fill(initializers.Normal(mean=3.0, std=0.1))
    assert abs(weights.mean() - 3) < 0.01


@pytest.mark.parametrize("shape", [(5, 5), (99, 99), (70, 9), (70, 101), (1, 6), (6, 1), (1, 1)])
def test_orthogonal_weights(shape):
    weights = fill("orthogonal", shape)
    small = weights.T @ weights if shape[0] >= shape[1] else weights @ weights.T
    np.testing.assert_allclose(small, np.eye(min(shape)), atol=1e-14)


def test_rows_that_are_nearly_parallel_become_orthogonal(rng):
    """A second projection mends what the first leaves of rounding."""
    for n_rows in (6, 70):  # within a panel of 32 rows, and across panels
        rows = np.ones((n_rows, 90)) + 1e-9 * rng.standard_normal((n_rows, 90))
        kernels.orthonormalize_rows(rows)
        np.testing.assert_allclose(rows @ rows.T, np.eye(n_rows), atol=1e-13)


def test_orthogonal_signs_are_as_likely():
    """Gram-Schmidt of normal rows is uniform among rotations and reflections."""
    signs = [np.linalg.det(fill("orthogonal", (3, 3), seed)) > 0 for seed in range(200)]
    assert 65 < sum(signs) < 135


def test_normal_quantiles():
    """AS 241, over its three ranges, beside CPython's and SciPy's."""
    tails = 0.5 - np.concatenate([2.0 ** -np.arange(2, 54), np.linspace(1e-12, 0.1, 50)])
    numbers = np.concatenate([np.linspace(-0.499, 0.499, 1001), tails, -tails])
    found = np.array([kernels.find_normal_quantile(q) for q in numbers])
    exact = scipy.special.ndtri(np.where(numbers < 0, 0.5 + numbers, 0.5 - numbers))
    exact = np.where(numbers < 0, exact, -exact)
    np.testing.assert_allclose(found, exact, rtol=2e-14, atol=1e-16)
    twin = statistics.NormalDist()
    for q, value in zip(numbers[1:1000:50].tolist(), found[1:1000:50].tolist(), strict=True):
        assert twin.inv_cdf(0.5 + q) == pytest.approx(value, rel=1e-12, abs=1e-15)
    assert kernels.find_normal_quantile(0.0) == 0


def test_normal_numbers_are_normal():
    numbers = np.sort(kernels.fill_normal(11, 0, 0.0, 1.0, 100_000))
    gap = np.abs(scipy.special.ndtr(numbers) - (np.arange(100_000) + 0.5) / 100_000).max()
    assert gap < 1.95 / math.sqrt(100_000)  # Kolmogorov-Smirnov: one in a thousand
    assert not np.array_equal(kernels.fill_normal(11, 1, 0.0, 1.0, 10), numbers[:10])


# --- the same everywhere -------------------------------------------------------------------------


# Written down once. No platform may give others: only operations that IEEE 754 defines are used.
KNOWN = {
    "uniform": "c9b30ed2193ca6f1",
    "normal": "eb33340b37ba8688",
    "orthogonal": "5197c1b92ef7924f",
    "he_uniform": "d66ebf9144e9d76f",
    "he_normal": "46598dc01584d537",
    "glorot_uniform": "4720ca366e55ad3c",
    "glorot_normal": "6f4c8a813eb7106d",
    "lecun_uniform": "70b578e576d52345",
    "lecun_normal": "ab8d32dbd289c843",
}


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_seed_gives_the_same_float64_weights_on_every_platform(name):
    digest = hashlib.sha256(fill(name, (37, 23)).astype("<f8").tobytes()).hexdigest()
    assert digest[:16] == KNOWN[name]


def test_panels_of_orthogonal_rows_give_the_same_bits_on_every_platform():
    digest = hashlib.sha256(fill("orthogonal", (70, 101)).astype("<f8").tobytes()).hexdigest()
    assert digest[:16] == "e8effe09559190cb"


@pytest.mark.parametrize("name", initializers.list_initializers())
def test_instruction_sets_give_the_same_weights(isa, name):
    net = fastnn.Network([fastnn.Dense(33, initializer=name)], n_features=20, dtype="float64")
    assert common.same_bits(net.layers[0].weight, fill(name, (20, 33), 0, 0))


# --- defaults ------------------------------------------------------------------------------------


def test_the_default_depends_on_the_activation(dtype):
    for activation in kernels.list_activations():
        if kernels.is_rowwise(activation):
            continue
        expected = initializers.Glorot("uniform")
        if activation in initializers.HE_ACTIVATIONS:
            expected = initializers.He("uniform")
        if activation == "selu":
            expected = initializers.LeCun("normal")
        layers = [fastnn.Dense(30, activation), fastnn.Dense(5)]
        net = fastnn.Network(layers, "mse", n_features=20, dtype=dtype, seed=9)
        weight = fill(expected, (20, 30), 9, 0).astype(dtype)
        assert common.same_bits(net.layers[0].weight, weight), activation


# --- functions of one's own ----------------------------------------------------------------------


def test_an_initializer_may_be_a_function():
    def make(shape, rng):
        return rng.standard_normal(shape) * 0.01

    def build(seed):
        layers = [fastnn.Dense(4, initializer=make), fastnn.Dense(3, initializer=make)]
        return fastnn.Network(layers, n_features=5, seed=seed, dtype="float64")

    one, same, other = build(1), build(1), build(2)
    assert common.same_bits(one.parameter_vector, same.parameter_vector)
    assert not np.array_equal(one.layers[0].weight, other.layers[0].weight)
    assert one.layers[0].weight[0, 0] != one.layers[1].weight[0, 0]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (np.zeros((5, 3)), r"returned shape \(5, 3\); expected \(5, 4\)"),
        (np.full((5, 4), np.nan), "the result of layer 0's initializer contains NaN"),
    ],
)
def test_a_function_that_returns_something_else_changes_nothing(result, message):
    layer = fastnn.Dense(4)
    net = fastnn.Network([layer, fastnn.Dense(2)], n_features=5)
    before = net.parameter_vector.copy()
    layer.initializer = initializers.check_initializer(lambda shape, rng: result)
    with pytest.raises(ValueError, match=message):
        net.reset(7)
    assert common.same_bits(net.parameter_vector, before)
    assert net.seed == 0


def test_a_function_that_fails_in_the_first_fit_leaves_the_network_unbuilt():
    layer = fastnn.Dense(2, initializer=lambda shape, rng: np.zeros(3))
    net = fastnn.Network([layer])
    with pytest.raises(ValueError, match=r"returned shape \(3,\)"):
        net.fit(np.ones((4, 5)), [0, 1, 0, 1], epochs=1)
    assert net.n_features is None
    layer.initializer = None
    net.fit(np.ones((4, 6)), [0, 1, 0, 1], epochs=1)


# --- files and errors ----------------------------------------------------------------------------


OBJECTS = [None, *initializers.list_initializers(), initializers.Constant(0.5),
           initializers.Uniform(-1, 1), initializers.Orthogonal(2.0)]  # fmt: skip


@pytest.mark.parametrize("initializer", OBJECTS, ids=str)
def test_initializers_are_saved(initializer, tmp_path):
    path = tmp_path / "net.safetensors"
    net = fastnn.Network([fastnn.Dense(6, initializer=initializer)], n_features=4, seed=5)
    net.save(path)
    loaded = fastnn.load(path)
    assert loaded.layers[0].initializer == net.layers[0].initializer
    net.reset(8)
    loaded.reset(8)
    assert common.same_bits(loaded.parameter_vector, net.parameter_vector)


def test_a_function_is_saved_as_its_result_only(tmp_path):
    path = tmp_path / "net.safetensors"
    layer = fastnn.Dense(6, initializer=lambda shape, rng: np.ones(shape))
    net = fastnn.Network([layer], n_features=4)
    net.save(path)
    loaded = fastnn.load(path)
    assert common.same_bits(loaded.parameter_vector, net.parameter_vector)
    with pytest.raises(ValueError, match="a function, which the model file does not hold"):
        loaded.reset()
    loaded.layers[0].initializer = None
    loaded.reset()


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"name": "xavier"}, "initializer must be one of"),
        ({"name": "normal", "std": -1}, "std must be at least 0"),
        ({"name": "custom", "function": 3}, "no settings"),
        ({"name": "he", "distribution": "cauchy"}, "distribution must be one of"),
    ],
)
def test_a_file_with_another_initializer_is_refused(description, message):
    with pytest.raises(ValueError, match=message):
        initializers.parse_initializer(description)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fastnn.Dense(3, initializer="he_norm"), ValueError, "one of 'he_normal'"),
        (lambda: fastnn.Dense(3, initializer=3), TypeError, "initializer is 3; expected a name"),
        (lambda: initializers.Uniform(1, -1), ValueError, "high must be at least 1"),
        (lambda: initializers.Constant(math.inf), ValueError, "value must be a finite number"),
    ],
)
def test_initializers_that_do_not_exist(make, error, message):
    with pytest.raises(error, match=message):
        make()
