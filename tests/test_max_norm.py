"""Max-norm: columns of weights that are too long are scaled back after each update."""

import common
import numpy as np
import optimizers as cases
import pytest
import reference
import test_optimizers as training
from common import SIDES, THREADS, Guarded

import fastnn
from fastnn import model_file
from fastnn._core import probes
from fastnn._planning import make_shape

# widths, rows, batch size, limits: panels that are not full, layers cut in all three ways, BLAS
NETS = {
    "small": ((10, 33, 4), 40, 16, (0.7, 0.5)),
    "wide": ((513, 300, 257, 9), 60, 32, (0.8, 0.6, None)),
    "BLAS": ((1030, 1100, 5), 130, 65, (1.0, 0.4)),
}


def make_network(name, dtype="float64", n_threads=1, **options):
    widths, *_, limits = NETS[name]
    names = ["tanh"] * (len(widths) - 2) + ["identity"]
    layers = [
        fastnn.Dense(width, activation, max_norm=limit)
        for width, activation, limit in zip(widths[1:], names, limits, strict=True)
    ]
    options = {"n_features": widths[0], "dtype": dtype, "n_threads": n_threads, **options}
    return fastnn.Network(layers, **options)


def make_data(name, dtype="float64"):
    widths, n_rows, *_ = NETS[name]
    X, y = common.make_classes(np.random.default_rng(1), n_rows, widths[0], widths[-1])
    return X.astype("float32").astype(dtype), y


def list_batches(name, epochs):
    _, n_rows, batch_size, _ = NETS[name]
    for epoch in range(epochs):
        order = reference.shuffle(0, epoch, n_rows)
        yield from (order[i : i + batch_size] for i in range(0, n_rows, batch_size))


def fit(net, name, optimizer, epochs=2):
    X, y = make_data(name, net.dtype)
    net.fit(X, y, epochs=epochs, batch_size=NETS[name][2], optimizer=optimizer)
    return net.parameter_vector


def run_explicitly(net, name, optimizer, epochs=2):
    X, y = make_data(name, net.dtype)
    for rows in list_batches(name, epochs):
        net.forward(X[rows], y[rows])
        net.backward()
        optimizer.step(net)
    return net.parameter_vector


def limit(parameters, limits):
    """The oracle of one constraint on all layers."""
    return [
        (weight if most is None else reference.limit_norms(weight, most), *rest)
        for (weight, *rest), most in zip(parameters, limits, strict=True)
    ]


@pytest.mark.parametrize("rows", SIDES)
def test_the_kernel(isa, dtype, rows, rng):
    for cols in SIDES:
        w = Guarded(rng.standard_normal((rows, cols)).astype(dtype))
        wide = w.view.astype(float)
        most = np.median(np.linalg.norm(wide, axis=0)) * 0.99
        before, squares = w.view.copy(), (wide**2).sum(axis=0)
        probes.limit_columns(w.view, squares.astype(dtype), most)
        room = 1e-5 if dtype == "float32" else 1e-13
        np.testing.assert_allclose(w.view, reference.limit_norms(wide, most), rtol=room)
        short = np.linalg.norm(wide, axis=0) < most * 0.99
        assert common.same_bits(w.view[:, short], before[:, short])
        w.check()


def test_squares_beyond_the_range_leave_no_zeros(isa, dtype):
    w = np.full((2, 3), 0.1, dtype)
    probes.limit_columns(w, np.array([np.inf, 0.02, np.nan], dtype), 0.05)
    assert np.isnan(w[:, 0]).all()
    assert common.same_bits(w[:, 2], np.full(2, 0.1, dtype))
    np.testing.assert_allclose(np.linalg.norm(w[:, 1]), 0.05, rtol=1e-6)


CLIPPED = {"clip_norm": 0.3}
CASES = [(name, extras) for name in NETS for extras in ({}, CLIPPED)][:-1]  # the oracle is slow


@pytest.mark.parametrize(("net_name", "extras"), CASES)
@pytest.mark.parametrize("kernel", ["sgd", "adam"])
def test_steps_agree_with_the_oracle(net_name, kernel, extras):
    """Fused, in blocks and behind the norm of all gradients; by own tiles and by BLAS."""
    net = make_network(net_name, "float64", THREADS[-1])
    epochs = 10 if net_name == "small" else 2
    X, y = make_data(net_name)
    parameters, memory = reference.copy_parameters(net), {}
    targets = reference.one_hot(y, net.n_outputs)
    names = [layer.activation.name for layer in net.layers]
    described = cases.describe_to_oracle(kernel) | {"norm": extras.get("clip_norm", np.inf)}
    for rows in list_batches(net_name, epochs):
        _, parameters = reference.train_step(
            parameters, names, "softmax_cross_entropy", X[rows], targets[rows], memory=memory,
            **described,
        )  # fmt: skip
        parameters = limit(parameters, NETS[net_name][-1])
    found = fit(net, net_name, cases.make_optimizer(kernel, **extras), epochs)
    exact = reference.flatten(parameters)
    assert np.linalg.norm(found - exact) <= 1e-10 * np.linalg.norm(exact)
    for layer, most in zip(net.layers, NETS[net_name][-1], strict=True):
        norms = np.linalg.norm(layer.weight, axis=0)
        assert most is None or norms.max() == pytest.approx(most, rel=1e-12)


@pytest.mark.parametrize("net_name", ["small", "wide"])
@pytest.mark.parametrize("kernel", ["sgd", "nesterov", "adam"])
def test_fit_has_the_bits_of_the_explicit_loop(isa, dtype, kernel, net_name):
    """For any number of threads, which share out rows or columns of the weights."""
    for extras in ({}, CLIPPED):
        options = {"l2": 1e-3}
        net = make_network(net_name, dtype, **options)
        expected = run_explicitly(net, net_name, cases.make_optimizer(kernel, **extras))
        for n_threads in THREADS:
            net = make_network(net_name, dtype, n_threads, **options)
            found = fit(net, net_name, cases.make_optimizer(kernel, **extras))
            assert common.same_bits(found, expected), n_threads


def test_any_number_of_threads_gives_the_same_bits_by_blas():
    found = [fit(make_network("BLAS", "float32", n), "BLAS", fastnn.Adam()) for n in THREADS]
    assert all(common.same_bits(each, found[0]) for each in found)


def test_threads_own_columns_or_rows():
    plan = make_network("wide", "float32", max(THREADS)).explain(16)
    axes = [line.split()[2] for line in plan.splitlines() if line.split()[0] == "max_norm"]
    assert set(axes) == ({"inputs", "outputs"} if max(THREADS) > 1 else {"outputs"})
    assert plan.count("column_squares") == len(axes) == 2


def test_layers_without_a_limit_have_no_phases():
    net = training.make_network("small")
    assert "max_norm" not in net.explain()
    assert make_shape(net.layers[0], 0, 10, net.layers[0].activation, {}).max_norm == 0


def test_a_limit_is_saved_and_said(tmp_path):
    net = make_network("small")
    assert repr(net.layers[0]) == "Dense(33, 'tanh', max_norm=0.7)"
    path = tmp_path / "net.safetensors"
    net.save(path)
    same = fastnn.load(path)
    assert [layer.max_norm for layer in same.layers] == [0.7, 0.5]
    assert common.same_bits(fit(same, "small", fastnn.SGD(0.5)), fit(net, "small", fastnn.SGD(0.5)))
    header, tensors = model_file.read_model(path)
    for settings in header["layers"]:
        del settings["max_norm"]  # as in files of before
    model_file.write_model(path, header, tensors)
    assert fastnn.load(path).layers[0].max_norm is None


@pytest.mark.parametrize("bad", [0, -1.0, float("nan"), "1", True])
def test_limits_are_checked(bad):
    with pytest.raises((ValueError, TypeError), match=r"^max_norm must be "):
        fastnn.Dense(3, max_norm=bad)
