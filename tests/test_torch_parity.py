"""Parity with PyTorch: gradients and steps of every activation, loss and optimizer that both have.

Skipped where PyTorch is not installed; with FASTNN_REQUIRE_TORCH=1, as in .ci/run, that fails.
"""

import os
import zlib

import numpy as np
import pytest

import fastnn
from fastnn._core import kernels
from fastnn.layers import LAYERS

if os.environ.get("FASTNN_REQUIRE_TORCH") == "1":
    import torch
else:
    torch = pytest.importorskip("torch", reason="PyTorch, the peer of these tests, is absent")

import torch_peer as peer

N_STEPS, N_FREE_STEPS = 20, 50
ROOM = {"float64": 1e-9, "float32": 1e-4}  # of the norm of what is compared
FREE_ROOM = 1e-6


@pytest.fixture(autouse=True, scope="module")
def double_by_default():
    """NAdam keeps its product of momenta in this dtype, whatever that of the parameters is."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def check_mapped(names, mapped, without):
    assert not set(mapped) & set(without)
    unknown = set(names) - set(mapped) - set(without)
    assert not unknown, f"map {unknown} in torch_peer.py, or list them as what PyTorch has none of"
    assert set(mapped) | set(without) == set(names)


def test_every_entry_has_a_peer_or_is_known_to_have_none():
    check_mapped(kernels.list_activations(), peer.ACTIVATIONS, peer.NO_ACTIVATION)
    check_mapped(kernels.list_losses(), peer.LOSSES, peer.NO_LOSS)
    check_mapped(kernels.list_optimizers(), peer.OPTIMIZERS, peer.NO_OPTIMIZER)
    check_mapped(list(LAYERS), [*peer.NORMS, "Dense", "Dropout", "Activation"], set())
    assert set(peer.ACTIVATIONS) >= peer.KINKED_ACTIVATIONS
    assert set(peer.LOSSES) >= peer.KINKED_LOSSES


class Problem:
    """A random network, with its counterpart, and random batches for it.

    The last layer has the activation of the others where the loss admits that.
    """

    def __init__(self, activation, loss):
        self.rng = np.random.default_rng(zlib.crc32(f"{activation} {loss}".encode()))
        self.loss = loss
        n_layers = self.rng.integers(2, 4)
        self.widths = [*self.rng.integers(1, 9, n_layers).tolist(), 4]
        self.n_rows = int(self.rng.integers(2, 10))
        self.activations = [activation] * n_layers
        try:
            self.make_network("float64")
        except ValueError:
            self.activations[-1] = "identity"

    def make_network(self, dtype):
        layers = [
            fastnn.Dense(width, activation)
            for width, activation in zip(self.widths[1:], self.activations, strict=True)
        ]
        options = {"n_features": self.widths[0], "dtype": dtype, "seed": 3, "n_threads": 1}
        return fastnn.Network(layers, self.loss, classes=peer.list_classes(self.loss, 4), **options)

    def draw_batch(self):
        x = self.rng.standard_normal((self.n_rows, self.widths[0]))
        x = x.astype("float32").astype("float64")  # numbers that both precisions hold
        return x, peer.draw_targets(self.loss, self.rng, self.n_rows, 4)

    def compute_gradients(self, parameters, x, targets):
        """What PyTorch makes of networks with these `parameters` (n_nets, n_parameters)."""
        merged = self.activations[-1] == kernels.get_merged_activation(self.loss)
        names = [*self.activations[:-1], "identity"] if merged else self.activations
        activations = [peer.ACTIVATIONS[name] for name in names]
        x, targets = torch.from_numpy(x), torch.from_numpy(targets)
        loss = peer.LOSSES[self.loss]
        return peer.compute_gradients(parameters, self.widths, activations, loss, x, targets)


def assert_near(found, exact, room, message, rounding=0.0):
    """`rounding`: how far off the best that the dtype can hold may be."""
    found, exact = np.asarray(found, dtype=float), np.asarray(exact)
    error, size = np.linalg.norm(found - exact), np.linalg.norm(exact)
    assert error <= room * size + rounding, f"{message}: off by {error / size:.3g}"


LIST = [pair for pairs in peer.OPTIMIZERS.values() for pair in pairs]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", peer.LOSSES)
@pytest.mark.parametrize("activation", peer.ACTIVATIONS)
def test_single_steps(activation, loss, dtype):
    """Each step starts from the same numbers in both: parameters and the optimizer's own."""
    problem = Problem(activation, loss)
    net = problem.make_network(dtype)
    rivals = [peer.Rival(pair, net.parameter_vector) for pair in LIST]
    for _ in range(N_STEPS):
        # half the size, since e^z of Poisson and saturated units drown digits otherwise
        start = problem.rng.standard_normal(len(net.parameter_vector)).astype("float32") / 2
        x, targets = problem.draw_batch()
        net.parameter_vector[...] = start
        found = net.forward(x, targets)
        net.backward()
        parameters = torch.tensor(start[None], dtype=torch.float64)
        (exact,), (gradient,) = problem.compute_gradients(parameters, x, targets)
        assert_near(found, exact, ROOM[dtype], "loss")
        assert_near(net.gradient_vector, gradient, ROOM[dtype], "gradient")
        for rival in rivals:
            net.parameter_vector[...] = start
            exact = rival.step_both(net, start, gradient)
            step = net.parameter_vector - start
            rounding = np.finfo(dtype).eps * np.linalg.norm(start)
            if not rival.pair.smooth:  # the sign of a gradient that is zero but for rounding
                defined = gradient.abs() > ROOM[dtype] * gradient.norm()
                step, exact = step[defined.numpy()], exact[defined]
            assert_near(step, exact, ROOM[dtype], rival.pair.name, rounding)


@pytest.mark.parametrize("loss", [name for name in peer.LOSSES if name not in peer.KINKED_LOSSES])
@pytest.mark.parametrize(
    "activation",
    sorted(set(peer.ACTIVATIONS) - peer.KINKED_ACTIVATIONS - peer.RUNAWAY_ACTIVATIONS),
)
def test_free_steps(activation, loss):
    """`fit`, one batch over and over, and PyTorch go their own ways from one start."""
    problem = Problem(activation, loss)
    x, targets = problem.draw_batch()
    pairs = [pair for pair in LIST if pair.smooth]
    start = torch.from_numpy(problem.make_network("float64").parameter_vector.copy())
    nets = [start.clone() for _ in pairs]
    optimizers = [pair.theirs([net]) for pair, net in zip(pairs, nets, strict=True)]
    losses = np.empty((N_FREE_STEPS, len(pairs)))
    for i in range(N_FREE_STEPS):
        losses[i], gradients = problem.compute_gradients(torch.stack(nets), x, targets)
        for pair, optimizer, net, gradient in zip(pairs, optimizers, nets, gradients, strict=True):
            pair.step(optimizer, net, gradient)
    options = {"epochs": N_FREE_STEPS, "batch_size": len(x), "shuffle": False}
    for i, pair in enumerate(pairs):
        net = problem.make_network("float64")
        history = net.fit(x, targets, optimizer=pair.ours(), **options)
        assert_near(net.parameter_vector, nets[i], FREE_ROOM, pair.name)
        assert_near(history.loss, losses[:, i], FREE_ROOM, pair.name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [1, 5, 33])
@pytest.mark.parametrize("name", peer.NORMS)
def test_norms(name, n, dtype):
    """Outputs, gradients and running statistics in training, and outputs in predictions."""
    make_ours, make_theirs = peer.NORMS[name]
    ours, theirs = make_ours().build(n, dtype=dtype), make_theirs(n)
    room, rng = ROOM[dtype], np.random.default_rng(n)
    # a layer norm of one column gives its shift, and no gradient but what is rounded
    rounding = 1e-12 if dtype == "float64" else 1e-4
    for _ in range(N_STEPS):
        ours.gain, ours.shift = rng.standard_normal((2, n)).astype("float32")
        theirs.weight.data = torch.tensor(ours.gain.astype(float))
        theirs.bias.data = torch.tensor(ours.shift.astype(float))
        n_rows = int(rng.integers(2, 12))
        x, dh = rng.standard_normal((2, n_rows, n)).astype("float32").astype(float)
        x = np.rint(256 * x) / 64 + 1  # which both precisions hold
        given = torch.tensor(x, requires_grad=True)
        theirs.train()
        theirs.zero_grad()
        h = theirs(given)
        h.backward(torch.tensor(dh))
        assert_near(ours.forward(x), h.detach(), room, "output", rounding)
        assert_near(ours.backward(dh), given.grad, room, "dL/dx", rounding)
        assert_near(ours.gain_grad, theirs.weight.grad, room, "gain", rounding)
        assert_near(ours.shift_grad, theirs.bias.grad, room, "shift", rounding)
        if name == "BatchNorm":
            assert_near(ours.running_mean, theirs.running_mean, room, "mean")
            assert_near(ours.running_variance, theirs.running_var, room, "variance")
        theirs.eval()
        predicted = theirs(given).detach()
        assert_near(ours.forward(x, training=False), predicted, room, "prediction", rounding)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (fastnn.SGD(0.1, momentum=0.5), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5)),
        (fastnn.Adam(0.1), lambda p: torch.optim.Adam(p, lr=0.1)),
        (fastnn.RMSProp(0.1, momentum=0.5), lambda p: torch.optim.RMSprop(p, lr=0.1, momentum=0.5)),
    ],
    ids=["sgd", "adam", "rmsprop"],
)  # fmt: skip
def test_one_cycle_of_rates_and_momenta(ours, theirs):
    """The last of PyTorch's steps is at the end, which is behind the last of ours."""
    n_steps, problem = 20, Problem("tanh", "mse")
    x, targets = problem.draw_batch()
    net = problem.make_network("float64")
    parameters = torch.from_numpy(net.parameter_vector.copy())
    optimizer = theirs([parameters])
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=n_steps + 1, pct_start=7 / (n_steps + 1)
    )
    rates, momenta = [], []
    for _ in range(n_steps):
        (group,) = optimizer.param_groups
        rates.append(group["lr"])
        momenta.append(group["betas"][0] if "betas" in group else group["momentum"])
        _, (gradient,) = problem.compute_gradients(parameters[None], x, targets)
        parameters.grad = gradient
        optimizer.step()
        cycle.step()
    schedule = fastnn.schedules.OneCycle(n_steps, momentum_range=(0.85, 0.95))
    options = {"epochs": n_steps, "batch_size": "all", "shuffle": False, "schedule": schedule}
    history = net.fit(x, targets, optimizer=ours, **options)
    np.testing.assert_allclose(history.learning_rate, rates, rtol=1e-12)
    np.testing.assert_allclose(history.momentum, momenta, rtol=1e-12)
    assert_near(net.parameter_vector, parameters, FREE_ROOM, repr(ours))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_learnt_slopes(dtype):
    """Of PReLU: outputs, and gradients by weights, biases, slopes and inputs."""
    layer, rng = fastnn.Dense(9, "prelu").build(6, dtype=dtype), np.random.default_rng(3)
    for _ in range(N_STEPS):
        layer.slope, layer.bias = rng.standard_normal((2, 9)).astype("float32")
        x = rng.standard_normal((7, 6)).astype("float32").astype(float)
        dh = rng.standard_normal((7, 9)).astype("float32").astype(float)
        values = [torch.tensor(value.astype(float), requires_grad=True)
                  for value in (x, layer.weight, layer.bias, layer.slope)]  # fmt: skip
        h = torch.nn.functional.prelu(values[0] @ values[1] + values[2], values[3])
        h.backward(torch.tensor(dh))
        assert_near(layer.forward(x), h.detach(), ROOM[dtype], "output")
        found = [layer.backward(dh), layer.weight_grad, layer.bias_grad, layer.slope_grad]
        for mine, other in zip(found, values, strict=True):
            assert_near(mine, other.grad, ROOM[dtype], "gradient")
