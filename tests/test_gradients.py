"""Gradients of whole networks: by central differences in float64, and against the oracle."""

import itertools

import numpy as np
import pytest
import reference
from common import DTYPES, THREADS
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases import draw_y, measure_distance_to_kinks

import fastnn
from fastnn._core import kernels

ACTIVATIONS = kernels.list_activations()
LOSSES = kernels.list_losses()
# where the derivative jumps; that of sign is a surrogate, which no difference quotient shows
KINKS = {
    "relu": [0],
    "leaky_relu": [0],
    "prelu": [0],
    "elu": [0],
    "selu": [0],
    "hard_sigmoid": [-3, 3],
}
KINKS["sign"] = [-1, 0, 1]
DIFFERENTIABLE = [name for name in ACTIVATIONS if name not in ("sign", "exponential")]


def list_outputs(loss, hidden):
    """Output activations that the loss may stand behind: the plain ones, and that of the others."""
    merged = kernels.get_merged_activation(loss)
    one_signed = fastnn.losses.ONE_SIGNED if "hinge" in loss else ()
    own = [hidden] if merged == "identity" and hidden not in one_signed else []
    return dict.fromkeys(["identity", merged, *own])


def make_network(hidden, output, loss, n_layers, use_bias, seed=1, n_threads=1, widths=(5, 4, 6)):
    layers = [
        fastnn.Dense(width, hidden, use_bias=use_bias)
        for width, _ in zip(widths, range(n_layers - 1), strict=False)
    ]
    layers.append(fastnn.Dense(3, output, use_bias=use_bias))
    return fastnn.Network(
        layers, loss, n_features=4, dtype="float64", seed=seed, n_threads=n_threads
    )


def make_batch(rng, loss, rows=7, n_features=4, n_outputs=3):
    """Inputs, targets as a user gives them, and the same as the oracle takes them."""
    return rng.standard_normal((rows, n_features)), *draw_y(rng, loss, rows, n_outputs)


def move_biases(net, rng):
    """Biases begin at zero, where a wrong sign might not show."""
    for layer in net.layers:
        if layer.bias is not None:
            layer.bias[...] = rng.standard_normal(layer.bias.shape) * 0.3


def differentiate(net, X, y, step=2e-5):
    """The gradient by central differences of the loss."""
    vector = net.parameter_vector
    slopes = np.empty_like(vector)
    for i in range(len(vector)):
        middle = vector[i]
        vector[i] = middle + step
        above = net.forward(X, y)
        vector[i] = middle - step
        below = net.forward(X, y)
        vector[i] = middle
        slopes[i] = (above - below) / (2 * step)
    return slopes


def keeps_off_kinks(net, X, targets, room=1e-3):
    """Whether no z, nor the loss, is so near a kink that a small step could cross it."""
    activations = [layer.activation.name for layer in net.layers]
    parameters = reference.copy_parameters(net)
    outputs = reference.forward(parameters, activations, X)
    for i, ((weight, bias), activation) in enumerate(zip(parameters, activations, strict=True)):
        z = outputs[i] @ weight + (0 if bias is None else bias)
        if any(np.abs(z - kink).min() < room for kink in KINKS.get(activation, [])):
            return False
    return measure_distance_to_kinks(net.loss.name, outputs[-1], targets) > room


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("hidden", DIFFERENTIABLE)
def test_gradients_agree_with_central_differences(isa, hidden, loss):
    cases = itertools.product(list_outputs(loss, hidden), [2, 3, 4], [True, False])
    for output, n_layers, use_bias in cases:
        for seed in range(50):
            rng = np.random.default_rng(seed)
            net = make_network(hidden, output, loss, n_layers, use_bias, seed)
            move_biases(net, rng)
            X, y, targets = make_batch(rng, loss)
            if keeps_off_kinks(net, X, targets):
                break
        else:
            pytest.fail("no seed keeps off all kinks")
        net.forward(X, y)
        net.backward()
        gradient = net.gradient_vector.copy()
        error = np.linalg.norm(gradient - differentiate(net, X, y))
        assert error <= 1e-7 * np.linalg.norm(gradient), (output, n_layers, use_bias)


def test_gradient_of_one_layer_by_central_differences(isa, rng):
    for loss in LOSSES:
        net = make_network("identity", "identity", loss, 1, True)
        X, y, _ = make_batch(rng, loss)
        net.forward(X, y)
        net.backward()
        gradient = net.gradient_vector.copy()
        error = np.linalg.norm(gradient - differentiate(net, X, y))
        assert error <= 1e-7 * np.linalg.norm(gradient)


@pytest.mark.parametrize("n_threads", THREADS)
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_agree_with_the_oracle(isa, dtype, loss, n_threads):
    """Every view of a gradient, at sizes that need several panels, chunks and row blocks."""
    sizes = [(1, 3, (5, 4)), (33, 17, (63, 31)), (257, 300, (257, 100)), (600, 20, (33, 7))]
    for i, (rows, n_features, widths) in enumerate(sizes):
        rng = np.random.default_rng(i)
        hidden = [fastnn.Dense(width, "tanh") for width in widths]
        net = fastnn.Network(
            [*hidden, fastnn.Dense(7)],
            loss,
            n_features=n_features,
            dtype=dtype,
            n_threads=n_threads,
        )
        move_biases(net, rng)
        X, y, targets = make_batch(rng, loss, rows, n_features, 7)
        X, targets = X.astype(dtype).astype(float), targets.astype(dtype).astype(float)
        found_loss = net.forward(X, y)
        net.backward()
        exact_loss, exact = reference.backward(
            reference.copy_parameters(net),
            ["tanh", "tanh", "identity"],
            loss,
            X,
            targets,
        )
        room = 1e-5 if dtype == "float32" else 1e-13
        assert found_loss == pytest.approx(exact_loss, rel=room)
        for layer, (weight_grad, bias_grad) in zip(net.layers, exact, strict=True):
            for found, expected in [(layer.weight_grad, weight_grad), (layer.bias_grad, bias_grad)]:
                assert np.abs(found - expected).max() <= room * np.abs(expected).max()


any_side = st.sampled_from([1, 2, 3, 7, 17, 33, 100, 257, 300])


@given(
    widths=st.lists(any_side, min_size=2, max_size=4),
    rows=st.sampled_from([1, 2, 7, 33, 130, 520]),
    hidden=st.sampled_from(DIFFERENTIABLE),
    loss=st.sampled_from(LOSSES),
    isa=st.sampled_from(kernels.list_isas()),
    dtype=st.sampled_from(DTYPES),
    n_threads=st.sampled_from(THREADS),
    use_bias=st.booleans(),
)
@settings(max_examples=150)
def test_gradients_of_any_network(widths, rows, hidden, loss, isa, dtype, n_threads, use_bias):
    if hidden in KINKS:
        dtype = "float64"  # rounding decides on which side of a kink a number lies
    before = kernels.get_isa()
    kernels.select_isa(isa)
    try:
        layers = [fastnn.Dense(width, hidden, use_bias=use_bias) for width in widths[1:-1]]
        layers.append(fastnn.Dense(widths[-1], use_bias=use_bias))
        options = {"n_features": widths[0], "dtype": dtype, "n_threads": n_threads}
        net = fastnn.Network(layers, loss, **options)
        rng = np.random.default_rng(0)
        move_biases(net, rng)
        X, y, targets = make_batch(rng, loss, rows, widths[0], widths[-1])
        X, targets = X.astype(dtype), targets.astype(dtype).astype(float)
        found_loss = net.forward(X, y)
        net.backward()
        activations = [layer.activation.name for layer in layers]
        exact_loss, exact = reference.backward(
            reference.copy_parameters(net), activations, loss, X.astype(float), targets
        )
    finally:
        kernels.select_isa(before)
    room = 3e-5 if dtype == "float32" else 1e-12
    exact = reference.flatten(exact)
    assert abs(found_loss - exact_loss) <= room * (abs(exact_loss) + 0.01)
    assert np.abs(net.gradient_vector - exact).max() <= room * (np.abs(exact).max() + 0.01)


def test_backward_twice_gives_the_same_gradients(rng):
    """Gradients are those of the last forward pass; they do not add up."""
    net = make_network("tanh", "identity", "softmax_cross_entropy", 3, True)
    X, y, _ = make_batch(rng, "softmax_cross_entropy")
    net.forward(X, y)
    net.backward()
    first = net.gradient_vector.copy()
    net.backward()
    np.testing.assert_array_equal(net.gradient_vector, first)


def test_soft_targets_have_gradients(rng):
    """Rows of probabilities as targets of cross-entropy."""
    net = make_network("sigmoid", "identity", "softmax_cross_entropy", 2, True)
    X = rng.standard_normal((7, 4))
    y = rng.dirichlet(np.ones(3), size=7)
    net.forward(X, y)
    net.backward()
    gradient = net.gradient_vector.copy()
    error = np.linalg.norm(gradient - differentiate(net, X, y))
    assert error <= 1e-7 * np.linalg.norm(gradient)


def test_gradients_see_weights_that_the_user_changed(rng):
    """The explicit loop works on the weights where they lie, without a stale copy."""
    net = make_network("tanh", "identity", "mse", 3, True)
    X, y, _ = make_batch(rng, "mse")
    net.forward(X, y)
    net.backward()
    for layer in net.layers:
        layer.weight[...] = rng.standard_normal(layer.weight.shape)
    net.forward(X, y)
    net.backward()
    exact = reference.backward(
        reference.copy_parameters(net), ["tanh", "tanh", "identity"], "mse", X, y
    )[1]
    expected = reference.flatten(exact)
    np.testing.assert_allclose(net.gradient_vector, expected, rtol=1e-11, atol=1e-14)
