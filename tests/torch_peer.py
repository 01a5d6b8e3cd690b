"""The same networks in PyTorch, and which entry of fastnn's lists is which function there.

One dict for each list, name -> what computes it in PyTorch, and beside it the names that PyTorch
has no counterpart of. `test_torch_parity` compares both with the lists.

Several networks of one shape are computed side by side: parameters are (n_nets, n_parameters), each
row in the order of ``Network.parameter_vector``, outputs (n_nets, n_rows, n_out).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as nnf

import fastnn
from fastnn._core import kernels

torch.set_num_threads(1)

# --- activations: a = f(z), over the last axis where they are row-wise ----------------------------

ACTIVATIONS: dict[str, Callable] = {
    "identity": lambda z: z,
    "relu": torch.relu,
    "leaky_relu": nnf.leaky_relu,
    "elu": nnf.elu,
    "selu": nnf.selu,
    "gelu": nnf.gelu,
    "gelu_tanh": lambda z: nnf.gelu(z, approximate="tanh"),
    "silu": nnf.silu,
    "softplus": nnf.softplus,
    "hard_sigmoid": lambda z: nnf.relu6(z + 3) / 6,  # nnf.hardsigmoid's slope is 1/6 in float32
    "softsign": nnf.softsign,
    "arctan": torch.atan,
    "log_softmax": lambda z: torch.log_softmax(z, -1),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softmax": lambda z: torch.softmax(z, -1),
}
# A derivative of our own choice; explodes in a stack; learns (test_learnt_slopes).
NO_ACTIVATION = {"sign", "exponential", "prelu"}
KINKED_ACTIVATIONS = {"relu", "leaky_relu", "elu", "selu", "hard_sigmoid"}
RUNAWAY_ACTIVATIONS = {"log_softmax"}  # layers of it diverge here in any free steps

# --- losses: from the output (n_rows, n_out) that fastnn's loss takes, the mean over the batch ----


def log_cosh(output, targets):
    """log((e^x + e^-x) / 2) = x + log(1 + e^-2x) - log 2, of the errors x."""
    error = output - targets
    return (error + nnf.softplus(-2 * error, threshold=200) - math.log(2)).mean()


LOSSES: dict[str, Callable] = {
    "softmax_cross_entropy": nnf.cross_entropy,
    "mse": nnf.mse_loss,
    "mae": nnf.l1_loss,
    "huber": nnf.huber_loss,
    "log_cosh": log_cosh,
    "poisson": nnf.poisson_nll_loss,
    "binary_cross_entropy": nnf.binary_cross_entropy_with_logits,
    "hinge": nnf.multi_margin_loss,
    "squared_hinge": lambda z, labels: nnf.multi_margin_loss(z, labels, p=2),
}
NO_LOSS: set[str] = set()
KINKED_LOSSES: set[str] = {"mae", "huber", "hinge", "squared_hinge"}


def list_classes(loss, n_out):
    return range(n_out) if kernels.get_targets(loss) in ("classes", "labels") else None


def draw_targets(loss, rng, n_rows, n_out):
    kind = kernels.get_targets(loss)
    if kind in ("classes", "labels"):
        return rng.integers(0, n_out, n_rows)
    if kind == "binary":
        return rng.integers(0, 2, (n_rows, n_out)).astype("float64")
    if kind == "counts":
        return rng.poisson(2, (n_rows, n_out)).astype("float64")
    return rng.standard_normal((n_rows, n_out)).astype("float32").astype("float64")


# --- optimizers -----------------------------------------------------------------------------------


@dataclass
class Pair:
    """An optimizer with its settings, and its counterpart.

    Attributes
    ----------
    name : str
    ours, theirs : callable
        Make them; `theirs` takes the parameters.
    slots : dict
        Name of each number per parameter: in PyTorch -> in fastnn.
    smooth : bool
        Whether the new parameters are a smooth function of the gradient.
    clips : tuple of callable
        What PyTorch does to the gradients of parameters before the step.
    """

    name: str
    ours: Callable
    theirs: Callable
    slots: dict[str, str] = field(default_factory=dict)
    smooth: bool = True
    clips: tuple[Callable, ...] = ()

    def step(self, optimizer, parameters, gradient):
        """A step of PyTorch's optimizer with this gradient."""
        parameters.grad = gradient.clone()
        for clip in self.clips:
            clip([parameters])
        optimizer.step()


def _pair(ours, theirs, slots=(), smooth=True, clips=()):
    """A pair by class and settings; `theirs` may add what has another name there."""
    (cls, settings), (other, others) = ours, theirs
    return Pair(
        repr(cls(**settings)),
        lambda: cls(**settings),
        lambda p: other(p, **{"lr": settings["learning_rate"], **others}),
        dict(slots),
        smooth,
        clips,
    )


_ADAM = {"learning_rate": 0.01, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-4}
_BETAS = {"betas": (0.8, 0.95), "eps": 1e-4}
_MOMENTS = {"exp_avg": "first_moment", "exp_avg_sq": "second_moment"}
_VELOCITY = {"momentum_buffer": "velocity"}
_DECAY = {"weight_decay": 0.1}
_CLIPS = (
    lambda p: torch.nn.utils.clip_grad_norm_(p, 0.3),
    lambda p: torch.nn.utils.clip_grad_value_(p, 0.1),
)
OPTIMIZERS: dict[str, list[Pair]] = {
    "sgd": [
        _pair((fastnn.SGD, {"learning_rate": 0.1}), (torch.optim.SGD, {})),
        _pair((fastnn.SGD, {"learning_rate": 0.1, **_DECAY}), (torch.optim.SGD, _DECAY)),
        _pair((fastnn.SGD, {"learning_rate": 0.1, "clip_norm": 0.3, **_DECAY}),
              (torch.optim.SGD, _DECAY), clips=_CLIPS[:1]),
        _pair((fastnn.SGD, {"learning_rate": 0.1, "clip_norm": 0.3, "clip_value": 0.1}),
              (torch.optim.SGD, {}), smooth=False, clips=_CLIPS),
    ],
    "momentum": [
        _pair((fastnn.SGD, {"learning_rate": 0.1, "momentum": 0.8, **_DECAY}),
              (torch.optim.SGD, {"momentum": 0.8, **_DECAY}), _VELOCITY),
    ],
    "nesterov": [
        _pair((fastnn.SGD, {"learning_rate": 0.1, "momentum": 0.8, "nesterov": True, **_DECAY}),
              (torch.optim.SGD, {"momentum": 0.8, "nesterov": True, **_DECAY}), _VELOCITY),
    ],
    "adam": [
        _pair((fastnn.Adam, {**_ADAM, **_DECAY}), (torch.optim.Adam, {**_BETAS, **_DECAY}),
              _MOMENTS),
        _pair((fastnn.Adam, {**_ADAM, "clip_norm": 0.3}), (torch.optim.Adam, _BETAS), _MOMENTS,
              clips=_CLIPS[:1]),
        _pair((fastnn.AdamW, {**_ADAM, **_DECAY}), (torch.optim.AdamW, {**_BETAS, **_DECAY}),
              _MOMENTS),
    ],
    "nadam": [
        _pair((fastnn.NAdam, {**_ADAM, **_DECAY}), (torch.optim.NAdam, {**_BETAS, **_DECAY}),
              _MOMENTS),
    ],
    "rmsprop": [
        _pair((fastnn.RMSProp, {"learning_rate": 0.01, "epsilon": 1e-4, **_DECAY}),
              (torch.optim.RMSprop, {"eps": 1e-4, **_DECAY}), {"square_avg": "mean_square"}),
    ],
    "rmsprop_momentum": [
        _pair((fastnn.RMSProp,
               {"learning_rate": 0.01, "epsilon": 1e-4, "momentum": 0.7, **_DECAY}),
              (torch.optim.RMSprop, {"eps": 1e-4, "momentum": 0.7, **_DECAY}),
              {"square_avg": "mean_square", **_VELOCITY}),
    ],
    "adagrad": [
        _pair((fastnn.Adagrad,
               {"learning_rate": 0.05, "rate_decay": 0.1, "initial": 0.01, **_DECAY}),
              (torch.optim.Adagrad,
               {"lr_decay": 0.1, "initial_accumulator_value": 0.01, **_DECAY}),
              {"sum": "sum_of_squares"}),
    ],
    "adadelta": [
        _pair((fastnn.Adadelta, {"learning_rate": 0.5, "epsilon": 1e-4, **_DECAY}),
              (torch.optim.Adadelta, {"eps": 1e-4, **_DECAY}),
              {"square_avg": "mean_square", "acc_delta": "mean_square_step"}),
    ],
    "rprop": [
        _pair((fastnn.RProp, {"learning_rate": 0.01}), (torch.optim.Rprop, {}),
              {"prev": "last_gradient", "step_size": "step_size"}, smooth=False),
    ],
}  # fmt: skip
NO_OPTIMIZER: set[str] = set()


class Rival:
    """A pair at work: one optimizer of each side."""

    def __init__(self, pair, parameters):
        self.pair = pair
        self.ours = pair.ours()
        self.parameters = torch.tensor(parameters, dtype=torch.float64)
        self.theirs = pair.theirs([self.parameters])

    def step_both(self, net, start, gradient):
        """Let fastnn take a step, and return PyTorch's from the same numbers."""
        start = torch.tensor(start, dtype=torch.float64)
        self.parameters.copy_(start)
        state = self.theirs.state[self.parameters]
        kept = self.ours.state_dict()["slots"]
        for theirs, ours in self.pair.slots.items():
            if ours in kept and state.get(theirs) is not None:
                state[theirs].copy_(torch.from_numpy(kept[ours]))
        self.pair.step(self.theirs, self.parameters, gradient)
        self.ours.step(net)
        return self.parameters - start


# --- norms ----------------------------------------------------------------------------------------

# fastnn's layer, and PyTorch's of the same settings for n columns
NORMS: dict[str, tuple[Callable, Callable]] = {
    "BatchNorm": (
        lambda: fastnn.BatchNorm(0.8, 1e-3),
        lambda n: torch.nn.BatchNorm1d(n, eps=1e-3, momentum=1 - 0.8),
    ),
    "LayerNorm": (
        lambda: fastnn.LayerNorm(1e-3),
        lambda n: torch.nn.LayerNorm(n, eps=1e-3),
    ),
}


# --- networks -------------------------------------------------------------------------------------


def compute_outputs(parameters, widths, activations, x):
    """Outputs of dense networks. `activations` are functions, one for each layer."""
    start = 0

    def take(*shape):
        nonlocal start
        stop = start + torch.Size(shape).numel()
        part = parameters[:, start:stop].unflatten(1, shape)
        start = stop
        return part

    for (n_in, n_out), activation in zip(itertools.pairwise(widths), activations, strict=True):
        weight, bias = take(n_in, n_out), take(1, n_out)
        x = activation(x @ weight + bias)
    assert start == parameters.shape[1]
    return x


def compute_gradients(parameters, widths, activations, loss, x, targets):
    """The mean loss of each network, and its gradient by that network's parameters."""
    parameters = parameters.detach().requires_grad_()
    outputs = compute_outputs(parameters, widths, activations, x)
    losses = torch.stack([loss(output, targets) for output in outputs])
    losses.sum().backward()
    return losses.detach(), parameters.grad
