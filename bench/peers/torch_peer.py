"""PyTorch, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as nnf
from numpy.typing import NDArray

from ..data import Problem, Weights
from .base import Trainer


class _TorchPeer(Trainer):
    distributions = ("torch",)
    optimizers = ("sgd", "momentum", "adam")
    has_dropout = True

    def setup(self, problem: Problem, threads: int) -> None:
        torch.set_num_threads(threads)
        self.problem = problem
        self.X = torch.from_numpy(problem.X)
        self.y = torch.from_numpy(problem.y)
        layers: list[torch.nn.Module] = []
        for W, b in problem.weights:
            layer = torch.nn.Linear(*W.shape)
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(W.T)))
                layer.bias.copy_(torch.from_numpy(b))
            layers += [layer, torch.nn.ReLU()]
            if problem.dropout:
                layers.append(torch.nn.Dropout(problem.dropout))
        torch.manual_seed(problem.seed)
        n_behind_last = 2 if problem.dropout else 1
        self.model = torch.nn.Sequential(*layers[:-n_behind_last])

    def weights(self) -> Weights:
        linear = [m for m in self.model if isinstance(m, torch.nn.Linear)]
        return [(m.weight.detach().numpy().T, m.bias.detach().numpy()) for m in linear]


class TorchEager(_TorchPeer):
    """An nn.Sequential, autograd and torch.optim.SGD; rows picked from one tensor."""

    def setup(self, problem: Problem, threads: int) -> None:
        super().setup(problem, threads)
        self.optimizer = self._make_optimizer(problem)

    def _make_optimizer(self, problem: Problem) -> torch.optim.Optimizer:
        parameters, rate = self.model.parameters(), problem.learning_rate
        if problem.optimizer == "adam":
            return torch.optim.Adam(parameters, lr=rate, fused=True)
        momentum = 0.9 if problem.optimizer == "momentum" else 0.0
        return torch.optim.SGD(parameters, lr=rate, momentum=momentum, fused=True)

    def run_epoch(self, order: NDArray[np.int64]) -> None:
        for rows in torch.from_numpy(order).split(self.problem.batch_size):
            loss = nnf.cross_entropy(self.model(self.X[rows]), self.y[rows])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def calls(self, X: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
        torch.set_grad_enabled(False)
        x = torch.from_numpy(X)
        model = self.model.requires_grad_(False).eval()
        return {"": lambda: model(x)}


class TorchCompiled(_TorchPeer):
    """One torch.compile graph per step: gather, forward, backward and update.

    Of the ways to compile that were tried (the model, the model with the loss, the whole step
    through torch.func) this is the fastest; compiling the model alone is slower than eager here.
    """

    def setup(self, problem: Problem, threads: int) -> None:
        super().setup(problem, threads)
        self.params = {name: p.detach() for name, p in self.model.named_parameters()}
        n_slots = {"sgd": 0, "momentum": 1, "adam": 2}[problem.optimizer]
        self.slots = {
            name: [torch.zeros_like(p) for _ in range(n_slots)] for name, p in self.params.items()
        }
        self.t = torch.zeros(())
        # Whole batches and the shorter last one are two graphs, both compiled in the warm-up.
        self.step = torch.compile(self._step, dynamic=False)

    def _step(self, X: torch.Tensor, y: torch.Tensor, rows: torch.Tensor) -> None:
        def loss(p: dict[str, torch.Tensor]) -> torch.Tensor:
            return nnf.cross_entropy(torch.func.functional_call(self.model, p, (X[rows],)), y[rows])

        gradients = torch.func.grad(loss)(self.params)
        self.t.add_(1)
        for name, p in self.params.items():
            self._update(p, gradients[name], self.slots[name])

    def _update(self, p: torch.Tensor, g: torch.Tensor, slots: list[torch.Tensor]) -> None:
        # Not add_(gradient, alpha=-rate): Inductor (PyTorch 2.13) then computes wrong weights.
        rate = self.problem.learning_rate
        if self.problem.optimizer == "sgd":
            p.sub_(rate * g)
        elif self.problem.optimizer == "momentum":
            slots[0].copy_(0.9 * slots[0] + g)
            p.sub_(rate * slots[0])
        else:
            m, v = slots
            m.copy_(0.9 * m + 0.1 * g)
            v.copy_(0.999 * v + 0.001 * g * g)
            m_hat, v_hat = m / (1 - 0.9**self.t), v / (1 - 0.999**self.t)
            p.sub_(rate * m_hat / (v_hat.sqrt() + 1e-8))

    @torch.no_grad()
    def run_epoch(self, order: NDArray[np.int64]) -> None:
        for rows in torch.from_numpy(order).split(self.problem.batch_size):
            self.step(self.X, self.y, rows)

    def calls(self, X: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
        import torch._inductor.config as inductor

        inductor.freezing = True  # constant weights, packed once: the setting for inference
        torch.set_grad_enabled(False)
        x = torch.from_numpy(X)
        model = torch.compile(self.model.requires_grad_(False).eval(), dynamic=False)
        return {"": lambda: model(x)}
