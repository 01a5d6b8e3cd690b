"""Clipping by the norm of all gradients: its sum, its steps, and the same bits everywhere."""

import common
import numpy as np
import optimizers as cases
import pytest
import reference
import test_optimizers as training
from common import SIDES, THREADS, Guarded

import fastnn
from fastnn._core import kernels, probes
from fastnn._core.clipping import NORM_EPSILON
from fastnn._core.phase_order import NORM_CHUNK

EPOCHS = {"small": 10, "BLAS": 1}


def test_sum_of_squares(isa, dtype, rng):
    """Sixteen sums in double, added one after the other: on every instruction set."""
    for n in [*SIDES, 1000, NORM_CHUNK]:
        x = Guarded((10.0 ** rng.uniform(-9, 9, (1, n))).astype(dtype)).view[0]
        lanes = np.zeros((-(-n // 16) + 1, 16))
        lanes.ravel()[16 : 16 + n] = x.astype(np.float64) ** 2
        expected = np.add.accumulate(np.add.accumulate(lanes)[-1])[-1]
        assert probes.sum_squares(x) == expected
        assert expected == pytest.approx(float((x.astype(np.longdouble) ** 2).sum()), rel=1e-13)
    assert np.isnan(probes.sum_squares(np.array([1, np.nan, 2], dtype)))


@pytest.mark.parametrize(
    ("net_name", "dtype"),
    [*((name, dtype) for name in training.OWN for dtype in common.DTYPES), ("BLAS", "float64")],
)
@pytest.mark.parametrize("kernel", ["sgd", "adam"])
def test_fit_agrees_with_the_oracle(kernel, dtype, net_name):
    """With penalties, clipping of elements and weight decay: in the order that PyTorch has."""
    extras = {"clip_norm": 0.2, "clip_value": 0.02, "weight_decay": 0.03}
    penalties = {"l1": 1e-4, "l2": 1e-3}
    net = training.make_network(net_name, dtype, THREADS[-1], **penalties)
    epochs = EPOCHS.get(net_name, 3)
    described = cases.describe_to_oracle(kernel)
    described |= {"norm": 0.2, "limit": 0.02, "decay": 0.03, **penalties}
    exact = training.train_oracle(net_name, net, epochs, **described)
    found = training.fit(net, cases.make_optimizer(kernel, **extras), net_name, epochs)
    room = 1e-10 if dtype == "float64" else 2e-4
    assert np.linalg.norm(found - exact) <= room * np.linalg.norm(exact)


@pytest.mark.parametrize("share", [0.03, 0.99, 1.5, 1e3])
def test_a_step_is_as_long_as_the_limit_says(share):
    """Whether that is below the norm of the gradient or above."""
    X, y, _ = training.make_data("small")
    net = training.make_network("small")
    net.forward(X, y)
    net.backward()
    norm = np.linalg.norm(net.gradient_vector)
    limit, before = share * norm, net.parameter_vector.copy()
    net.fit(X, y, epochs=1, batch_size="all", optimizer=fastnn.SGD(1.0, clip_norm=limit))
    step = np.linalg.norm(net.parameter_vector - before)
    assert step == pytest.approx(min(norm, limit * norm / (norm + NORM_EPSILON)), rel=1e-12)


def make_layers():
    """Every kind of parameter: weights, biases, slopes, gains and shifts."""
    return [
        fastnn.Dense(40, "prelu"), fastnn.LayerNorm(), fastnn.Dense(37, use_bias=False),
        fastnn.BatchNorm(), fastnn.Activation("tanh"), fastnn.Dense(4),
    ]  # fmt: skip


def run_all_kinds(optimizer, n_threads=None, dtype="float32"):
    options = {"n_features": 10, "dtype": dtype, "l2": 1e-3}
    net = fastnn.Network(make_layers(), n_threads=n_threads or 1, **options)
    if n_threads is None:
        return training.run_explicitly(net, optimizer, "small", 3)
    return training.fit(net, optimizer, "small", 3)


@pytest.mark.parametrize("kernel", kernels.list_optimizers())
def test_fit_equals_the_explicit_loop_with_all_kinds_of_parameters(isa, kernel):
    extras = {"clip_norm": 0.3, "clip_value": 0.05}
    expected = run_all_kinds(cases.make_optimizer(kernel, **extras))
    for n_threads in THREADS:
        found = run_all_kinds(cases.make_optimizer(kernel, **extras), n_threads)
        assert common.same_bits(found, expected), n_threads
    if kernel != "rprop":
        assert not common.same_bits(run_all_kinds(cases.make_optimizer(kernel), 1), expected)


@pytest.mark.parametrize("net_name", training.OWN)
@pytest.mark.parametrize("dtype", common.DTYPES)
def test_any_number_of_threads_gives_the_same_bits(dtype, net_name):
    """Where the gradients are many chunks, too."""
    optimizers = [fastnn.Adam(0.01, clip_norm=0.05) for _ in [*THREADS, None]]
    net = training.make_network(net_name, dtype)
    expected = training.run_explicitly(net, optimizers[-1], net_name, 2)
    assert net_name != "wide" or len(expected) > 4 * NORM_CHUNK
    for n_threads, optimizer in zip(THREADS, optimizers, strict=False):
        net = training.make_network(net_name, dtype, n_threads)
        assert common.same_bits(training.fit(net, optimizer, net_name, 2), expected), n_threads
        assert common.same_bits(optimizer._state, optimizers[-1]._state)


def test_threads_agree_on_layers_of_blas_too():
    found = [
        training.fit(training.make_network("BLAS", "float32", n_threads),
                     fastnn.SGD(0.1, momentum=0.9, clip_norm=0.05), "BLAS", 1)
        for n_threads in THREADS
    ]  # fmt: skip
    assert all(common.same_bits(each, found[0]) for each in found)


def test_a_resumed_fit_has_the_bits_of_one_that_was_never_stopped(tmp_path):
    X, y, batch_size = training.make_data("small")
    path = tmp_path / "run.safetensors"

    def fit(epochs, callbacks):
        net = training.make_network("small")
        optimizer = fastnn.Adam(0.02, clip_norm=0.1)
        options = {"batch_size": batch_size, "optimizer": optimizer, "callbacks": callbacks}
        net.fit(X, y, epochs=epochs, **options)
        return net.parameter_vector

    whole = fit(5, [])
    fit(2, [fastnn.Checkpoint(path)])
    resumed = fit(5, [fastnn.Checkpoint(path, resume=True)])
    assert common.same_bits(resumed, whole)


def test_partial_fit_clips():
    X, y, batch_size = training.make_data("small")
    whole = training.fit(training.make_network("small"), fastnn.SGD(0.5, clip_norm=0.1), "small", 3)
    net, optimizer = training.make_network("small"), fastnn.SGD(0.5, clip_norm=0.1)
    for _ in range(3):
        net.partial_fit(X, y, batch_size=batch_size, optimizer=optimizer)
    assert common.same_bits(net.parameter_vector, whole)


def test_the_plan_says_so():
    net = training.make_network("wide", n_threads=THREADS[-1])
    plan = net.explain(optimizer=fastnn.SGD(0.1, clip_norm=1.0))
    assert "update separate" in plan
    assert plan.count("gradient_norm") == 1
    assert plan.count("update_weight") == plan.count("update_bias") == 2
    assert "update_" not in net.explain(optimizer=fastnn.SGD(0.1, clip_value=1.0))


def test_gradients_that_are_not_finite_are_no_step():
    """A gradient of infinite norm must not become one of zero."""
    net = training.make_network("small", "float32")
    X, y, _ = training.make_data("small", "float32")
    net.forward(X, y)
    net.backward()
    net.gradient_vector[3] = np.inf
    before = net.parameter_vector.copy()
    with pytest.raises(fastnn.DivergenceError, match="the gradients of layer 0"):
        fastnn.SGD(0.1, clip_norm=1.0).step(net)
    assert common.same_bits(net.parameter_vector, before)


def test_oracle_scales_by_the_norm_of_all():
    """The oracle's own check: the new parameters by hand."""
    net = training.make_network("small")
    X, y, _ = training.make_data("small")
    parameters, targets = reference.copy_parameters(net), reference.one_hot(y, 4)
    setup = (["tanh", "identity"], "softmax_cross_entropy", X, targets)
    _, gradients = reference.backward(parameters, *setup)
    _, after = reference.train_step(parameters, *setup, "sgd", 1.0, norm=0.01)
    moved = reference.flatten(after) - reference.flatten(parameters)
    gradient = reference.flatten(gradients)
    expected = -0.01 * gradient / (np.linalg.norm(gradient) + 1e-6)
    np.testing.assert_allclose(moved, expected, rtol=1e-9, atol=1e-15)
