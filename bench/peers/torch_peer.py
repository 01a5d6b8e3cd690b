"""PyTorch, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as nnf
from numpy.typing import NDArray

from ..data import Problem, Weights
from .base import Peer


class _TorchPeer(Peer):
    distributions = ("torch",)

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
        self.model = torch.nn.Sequential(*layers[:-1])

    def weights(self) -> Weights:
        linear = [m for m in self.model if isinstance(m, torch.nn.Linear)]
        return [(m.weight.detach().numpy().T, m.bias.detach().numpy()) for m in linear]


class TorchEager(_TorchPeer):
    """An nn.Sequential, autograd and torch.optim.SGD; rows picked from one tensor."""

    def setup(self, problem: Problem, threads: int) -> None:
        super().setup(problem, threads)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=problem.learning_rate, fused=True
        )

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
        # Whole batches and the shorter last one are two graphs, both compiled in the warm-up.
        self.step = torch.compile(self._step, dynamic=False)

    def _step(
        self, params: dict[str, torch.Tensor], X: torch.Tensor, y: torch.Tensor, rows: torch.Tensor
    ) -> None:
        def loss(p: dict[str, torch.Tensor]) -> torch.Tensor:
            return nnf.cross_entropy(torch.func.functional_call(self.model, p, (X[rows],)), y[rows])

        gradients = torch.func.grad(loss)(params)
        for name, p in params.items():
            # Not add_(gradient, alpha=-rate): Inductor (PyTorch 2.13) then computes wrong weights.
            p.sub_(self.problem.learning_rate * gradients[name])

    @torch.no_grad()
    def run_epoch(self, order: NDArray[np.int64]) -> None:
        for rows in torch.from_numpy(order).split(self.problem.batch_size):
            self.step(self.params, self.X, self.y, rows)

    def calls(self, X: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
        import torch._inductor.config as inductor

        inductor.freezing = True  # constant weights, packed once: the setting for inference
        torch.set_grad_enabled(False)
        x = torch.from_numpy(X)
        model = torch.compile(self.model.requires_grad_(False).eval(), dynamic=False)
        return {"": lambda: model(x)}
