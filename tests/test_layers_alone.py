"""Layers by themselves: `layer.forward` and `layer.backward`, for every kind (C24)."""

import threading

import numpy as np
import pytest
import reference_layers as oracle
from common import THREADS, same_bits

import fastnn
from fastnn import Activation, BatchNorm, Dense, Dropout, LayerNorm
from fastnn._core import kernels
from fastnn.layers import LAYERS

CASES = {
    "Dense": [
        *(lambda name=name: Dense(5, name) for name in kernels.list_activations()
          if name not in ("sign", "exponential")),
        lambda: Dense(5, "tanh", use_bias=False),
        lambda: Dense(5, l1=0.01, l2=0.02),
        lambda: Dense(300, "sigmoid"),
    ],
    "Dropout": [lambda: Dropout(0.4)],
    "Activation": [lambda: Activation("arctan"), lambda: Activation("softmax")],
    "BatchNorm": [lambda: BatchNorm(0.8, 1e-3)],
    "LayerNorm": [lambda: LayerNorm(1e-3)],
}  # fmt: skip
MAKERS = [(kind, i) for kind, makers in CASES.items() for i in range(len(makers))]


def build(kind, i, **options):
    """A layer of these, with parameters that are not the first ones."""
    layer = CASES[kind][i]().build(4, **options)
    rng = np.random.default_rng(3)
    for value in layer.parameters():
        value[...] += rng.normal(0, 0.3, value.shape)
    return layer


def measure(layer, x, dh):
    """A loss with the slope `dh` by the layer's output, under the masks of step 0."""
    layer._program.rewind()
    penalty = sum(
        (layer.l1 or 0) * np.abs(weight).sum() + (layer.l2 or 0) * (weight**2).sum()
        for weight in layer.parameters()[:1] if layer.kind == "dense"
    )  # fmt: skip
    return (layer.forward(x) * dh).sum() + penalty


def differentiate(layer, x, dh, array, step=2e-5):
    """Slopes of `measure` by the entries of `array`, by central differences."""
    slopes = np.empty_like(array)
    for index in np.ndindex(array.shape):
        middle = array[index]
        array[index] = middle + step
        above = measure(layer, x, dh)
        array[index] = middle - step
        slopes[index] = (above - measure(layer, x, dh)) / (2 * step)
        array[index] = middle
    return slopes


def test_every_kind_of_layer_has_its_case():
    assert set(CASES) == set(LAYERS)


@pytest.mark.parametrize(("kind", "i"), MAKERS)
def test_C24_gradients_of_a_layer_alone_agree_with_central_differences(kind, i):
    layer, rng = build(kind, i, dtype="float64"), np.random.default_rng(8)
    x = rng.standard_normal((6, 4))
    dh = rng.standard_normal(layer.forward(x).shape)
    layer._program.rewind()
    layer.forward(x)
    dx = layer.backward(dh)
    gradients = [g.copy() for g in (getattr(layer, f"{n}_grad") for n in layer.parameter_names)
                 if g is not None]  # fmt: skip
    assert len(gradients) == len(layer.parameters())
    for found, array in zip([dx, *gradients], [x, *layer.parameters()], strict=True):
        error = np.linalg.norm(found - differentiate(layer, x, dh, array))
        assert error <= 1e-7 * max(np.linalg.norm(found), 1e-3)


def test_C24_dW_and_dx_of_one_layer_by_hand():
    """h = x W + b: dL/dW = x^T dh, dL/db = the sum of dh, dL/dx = dh W^T."""
    layer = Dense(2).build(3, dtype="float64")
    layer.weight, layer.bias = [[1, 2], [3, 4], [5, 6]], [0.5, -0.5]
    np.testing.assert_array_equal(
        layer.forward([[1, 0, 2], [0, 1, -1]]), [[11.5, 13.5], [-1.5, -2.5]]
    )
    np.testing.assert_array_equal(layer.backward([[1, 0], [2, 1]]), [[1, 3, 5], [4, 10, 16]])
    np.testing.assert_array_equal(layer.weight_grad, [[1, 0], [2, 1], [0, -1]])
    np.testing.assert_array_equal(layer.bias_grad, [3, 1])


def make_network(dtype="float64", n_threads=None, wide=False):
    n, m = (256, 192) if wide else (20, 9)
    layers = [
        Dropout(0.1), BatchNorm(), Dense(n, "relu"), Dense(m, use_bias=False), BatchNorm(0.7),
        Activation("softmax"), Dropout(0.5), Dense(m, "prelu"), LayerNorm(), Dense(4, "tanh"),
    ]  # fmt: skip
    return fastnn.Network(layers, "mae", n_features=300 if wide else 12, dtype=dtype, seed=2**40,
                          n_threads=n_threads, l2=0.01)  # fmt: skip


@pytest.mark.parametrize("wide", [False, True])
def test_C24_a_network_chained_by_hand_has_the_bits_of_the_whole(isa, dtype, wide):
    rng = np.random.default_rng(1)
    net = make_network(dtype, THREADS[-1], wide)
    X = rng.standard_normal((32, net.n_features))
    y = rng.standard_normal((32, 4))
    for n_threads in THREADS:
        by_hand = make_network(dtype, n_threads, wide)
        net.reset(net.seed)
        for _ in range(2):  # two steps, two masks
            net.forward(X, y)
            net.backward()
            h = X
            for layer in by_hand.layers:
                h = layer.forward(h)
            dh = np.sign(h - y.astype(dtype)) / 128  # MAE: exact, as its 32 * 4 terms divide by it
            for layer in reversed(by_hand.layers):
                dh = layer.backward(dh)
            assert dh.shape == X.shape
            assert same_bits(by_hand.gradient_vector, net.gradient_vector)
            assert same_bits(by_hand.layers[1].running_mean, net.layers[1].running_mean)
        h = X
        for layer in by_hand.layers:
            h = layer.forward(h, training=False)
        assert same_bits(h, net.forward(X))


def test_C24_layers_by_BLAS_agree_with_the_whole(dtype):
    rng = np.random.default_rng(1)
    layers = [Dense(1024, "relu"), Dense(8)]
    net = fastnn.Network(layers, "mae", n_features=1024, dtype=dtype)
    X, y = rng.standard_normal((64, 1024)), rng.standard_normal((64, 8))
    net.forward(X, y)
    net.backward()
    whole = net.gradient_vector.copy()
    h = layers[1].forward(layers[0].forward(X))
    layers[0].backward(layers[1].backward(np.sign(h - y) / 512))
    np.testing.assert_allclose(net.gradient_vector, whole, atol=1e-5)
    assert layers[0]._program._plan.uses_blas


@pytest.mark.parametrize("kind", ["Dense", "BatchNorm", "LayerNorm", "Dropout"])
def test_bits_do_not_depend_on_threads_or_on_how_x_and_dh_lie(kind, dtype):
    """F06 at this edge."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((33, 4)).astype(dtype)
    found = []
    for n_threads in THREADS:
        layer = build(kind, -1, dtype=dtype, n_threads=n_threads)
        h = layer.forward(np.asfortranarray(x)[::-1][::-1])
        big_endian = np.asarray(h * 0.5, dtype=np.dtype(dtype).newbyteorder(">"))
        dx = layer.backward(big_endian)
        found.append((h, dx, *(getattr(layer, f"{n}_grad") for n in layer.parameter_names)))
    layer = build(kind, -1, dtype=dtype)
    h = layer.forward(x)
    dx = layer.backward(h * h.dtype.type(0.5))
    found.append((h, dx, *(getattr(layer, f"{n}_grad") for n in layer.parameter_names)))
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            assert (one is None and same is None) or same_bits(one, same)


def test_each_forward_draws_the_mask_of_the_next_step():
    layer = Dropout(0.3).build(70, dtype="float64", seed=9)
    for step in range(3):
        exact = oracle.draw_mask(9, step, 0, 5, 70, 0.3)
        np.testing.assert_array_equal(layer.forward(np.ones((5, 70))), exact)
        np.testing.assert_array_equal(layer.backward(np.ones((5, 70))), exact)
    np.testing.assert_array_equal(layer.forward(np.ones((5, 70)), training=False), 1)
    layer = Dropout(0.3)
    net = fastnn.Network([layer, Dense(2)], n_features=70, seed=9, dtype="float64")
    for _ in range(2):  # a network that starts over starts over with its masks
        exact = oracle.draw_mask(9, 0, 0, 5, 70, 0.3)
        np.testing.assert_array_equal(layer.forward(np.ones((5, 70))), exact)
        net.reset()


def test_what_is_handed_over_is_copied_and_backward_may_be_repeated():
    layer, rng = build("Dense", 1), np.random.default_rng(4)
    x, dh = rng.standard_normal((8, 4)).astype("float32"), np.ones((8, 5), "float32")
    h = layer.forward(x)
    kept = h.copy()
    x[...] = h[...] = 0
    first, gradient = layer.backward(dh), layer.weight_grad.copy()
    assert same_bits(layer.backward(dh), first)
    assert same_bits(layer.weight_grad, gradient)
    assert gradient.any()
    assert kept.any()
    assert (dh == 1).all()


def test_parameters_can_be_assigned_to():
    layer = Dense(2, use_bias=False).build(3)
    arena = layer.weight
    arena[...] = 1
    layer.weight_grad = 2
    layer.weight -= 0.25 * layer.weight_grad
    assert layer.weight is arena
    assert (arena == 0.5).all()
    with pytest.raises(ValueError, match=r"weight has shape \(3, 2\), what is assigned \(2,\)"):
        layer.weight = [1, 2]
    with pytest.raises(AttributeError, match="this Dense layer has no bias"):
        layer.bias = 0


NAN_X = np.ones((6, 4))
NAN_X[1, 2] = np.nan


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (NAN_X, ValueError, "x contains NaN at row 1, column 2"),
        (np.ones((0, 4)), ValueError, r"x has shape \(0, 4\), 0 rows; expected at least 1"),
        (np.ones((6, 3)), ValueError, "x has 3 features, model expects 4"),
        (np.ones(4), ValueError, "expected two dimensions"),
        (np.ones((6, 4), complex), TypeError, "x has dtype complex128"),
    ],
)
@pytest.mark.parametrize("kind", CASES)
def test_F01_to_F04_unusable_input_is_refused(kind, x, error, message):
    layer = build(kind, 0)
    good = np.arange(24.0).reshape(6, 4)
    dh = layer.forward(good) * 0.5
    dx = layer.backward(dh)
    with pytest.raises(error, match=message):
        layer.forward(x)
    assert same_bits(layer.backward(dh), dx)  # of the last forward pass that was one


@pytest.mark.parametrize(
    ("dh", "error", "message"),
    [
        (NAN_X, ValueError, "dh contains NaN at row 1, column 2"),
        (np.ones((5, 4)), ValueError, "dh has 5 rows, X has 6"),
        (np.ones((6, 5)), ValueError, r"dh has shape \(6, 5\); expected \(6, 4\)"),
        (np.ones((6, 4), complex), TypeError, "dh has dtype complex128"),
    ],
)
def test_F01_to_F04_unusable_slopes_are_refused(dh, error, message):
    layer = Dense(4).build(4)
    layer.forward(np.ones((6, 4)))
    before = layer.weight_grad.copy()
    with pytest.raises(error, match=message):
        layer.backward(dh)
    assert same_bits(layer.weight_grad, before)


def test_layers_say_what_they_lack():
    for makers in CASES.values():
        with pytest.raises(ValueError, match=r"not built.*build\(n_in\), or pass n_features"):
            makers[0]().forward([[1.0]])
    layer = Dense(2).build(3)
    with pytest.raises(RuntimeError, match="backward needs a forward pass in training before it"):
        layer.backward([[1.0, 1.0]])
    layer.forward(np.ones((1, 3)), training=False)
    with pytest.raises(RuntimeError, match="backward needs a forward pass in training before it"):
        layer.backward([[1.0, 1.0]])
    with pytest.raises(ValueError, match="this Dense layer is built already"):
        layer.build(3)
    with pytest.raises(ValueError, match=r"layers\[0\] is already part of a network, or built by"):
        fastnn.Network([layer])
    with pytest.raises(ValueError, match="at least 2 rows in a training batch, but this one has 1"):
        BatchNorm().build(3).forward(np.ones((1, 3)))
    with pytest.raises(ValueError, match="n_in must be at least 1"):
        Dense(2).build(0)


def test_a_layer_whose_initializer_fails_can_be_built_again():
    results = [ValueError("no"), np.ones((3, 2))]

    def initializer(shape, rng):
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    layer = Dense(2, initializer=initializer)
    with pytest.raises(ValueError, match="no"):
        layer.build(3)
    assert (layer.build(3).weight == 1).all()


def test_F14_a_layer_of_a_network_that_is_fitted_elsewhere_refuses():
    net = make_network()
    found = []

    def call(training):
        def use():
            for act in (lambda: net.layers[2].forward(np.ones((3, 12))),
                        lambda: net.forward(np.ones((3, 12)), np.ones((3, 4)))):  # fmt: skip
                try:
                    act()
                except RuntimeError as error:
                    found.append(str(error))

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()

    X = np.random.default_rng(0).standard_normal((40, 12))
    net.fit(X, X[:, :4], epochs=1, callbacks=[call])
    assert len(found) == 2
    assert all("being fitted in another thread" in text for text in found)
