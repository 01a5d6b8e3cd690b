"""What a plan is made of, and how it prints: shapes, the layout of a layer, lists of phases."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from fastnn._core.barriers import Phase

TILE_ROWS = 6  # of all instruction sets (FNN_TILE_ROWS); columns are those of a panel
LAYER_KINDS = ("dense", "dropout", "activation", "batch_norm", "layer_norm")


def count_chunks(n: int, chunk: int) -> int:
    return -(-n // chunk)


def say(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")


@dataclass(frozen=True)
class LayerShape:
    """What the plan and its binding must know of one layer; n_in is n_out where it is not dense."""

    n_in: int
    n_out: int
    activation: str
    rowwise: bool
    coefficient: float | None = None  # of the activation, where it is a setting
    kind: str = "dense"
    index: int = 0  # in the network's list of layers
    n_parameters: int = 0
    rate: float = 0.0  # of dropout
    momentum: float = 0.0  # of batch norm
    epsilon: float = 0.0  # of both norms
    l1: float = 0.0  # penalty on the weights of a dense layer
    l2: float = 0.0
    max_norm: float = 0.0  # of the columns of its weights; 0: any

    @property
    def is_norm(self) -> bool:
        return self.kind in ("batch_norm", "layer_norm")

    @property
    def has_parameters(self) -> bool:
        return self.kind == "dense" or self.is_norm

    @property
    def multiply_adds(self) -> int:
        """Per row, where the layer has a weight matrix; what others do is little beside it."""
        return self.n_in * self.n_out if self.kind == "dense" else 0


@dataclass(frozen=True)
class LayerPlan:
    """How one layer is stored and shared out."""

    shape: LayerShape
    cut: str  # "outputs", "inputs" or "rows"; "" where there is no weight to cut
    input_gradient: bool  # whether a layer before this one has parameters to train
    blas: bool
    rule: str  # by which it goes to BLAS or does not
    delta_panels: bool  # whether dW has delta copied into panels, each by the thread that needs it
    panels: tuple[int, ...]  # first column of each panel of W, and n_out
    transposed_panels: tuple[int, ...]  # the same for W^T, and n_in
    chunk: int  # length of the partial sums over n_in
    transposed_chunk: int  # the same over n_out, in dX

    def describe(self, is_first: bool) -> str:
        shape = self.shape
        if shape.kind != "dense":
            return describe_transform(shape)
        if self.blas:
            how = f"BLAS ({self.rule})" + (", batch gathered" if is_first else "")
        else:
            widths = [stop - first for first, stop in itertools.pairwise(self.panels)]
            how = f"own tile of {TILE_ROWS} x {max(widths)} ({self.rule})"
            how += ", batch read in place" if is_first else ""
            how += f", W in {say(len(widths), 'panel')}"
            how += " and transposed" if self.input_gradient else ""
            how += ", delta in panels" if self.delta_panels else ""
        sums = say(count_chunks(shape.n_in, self.chunk), "partial sum")
        return f"{shape.n_in} -> {shape.n_out} {shape.activation}, {how}, cut by {self.cut}, {sums}"


@dataclass(frozen=True)
class Plan:
    """All of it. `forward` and `backward` are run in this order at every step.

    `guarded` is the first phase, counted over both, that changes a parameter or what an optimizer
    or a norm keeps; before it, behind a barrier, all losses are known to be finite.
    """

    dtype: str
    isa: str
    n_threads: int
    batch_size: int
    update: str  # "fused": inside dW; "blocked": after each block of it; "separate": after the norm
    # of all gradients is known; "none": by the caller
    layers: tuple[LayerPlan, ...]
    forward: tuple[Phase, ...]
    backward: tuple[Phase, ...]
    guarded: int

    @property
    def uses_blas(self) -> bool:
        return any(layer.blas for layer in self.layers)

    def __str__(self) -> str:
        return self.describe()

    def describe(self, seconds=None) -> str:
        """The plan in words.

        Parameters
        ----------
        seconds : ndarray (n_threads, n_phases, 2), optional
            Of a step: how long each thread waited in front of each phase, and was at work in it.
        """
        lines = [
            f"{self.dtype} on {self.isa}, {say(self.n_threads, 'thread')}, "
            f"batch {self.batch_size}, update {self.update}"
        ]
        lines += [f"layer {i}: {layer.describe(i == 0)}" for i, layer in enumerate(self.layers)]
        phases = self.forward + self.backward
        bounds = [" | ".join(map(str, phase.bounds)) for phase in phases]
        widest = max(map(len, bounds))
        for i, phase in enumerate(phases):
            waits, works = ("", "") if seconds is None else map(describe_times, seconds[:, i].T)
            if phase.barrier:
                lines.append(f"{'--- barrier':<{widest + 28}}{waits}".rstrip())
            line = f"{phase.kind:>18} {phase.layer}  {phase.axis:<7} {bounds[i]:<{widest}}"
            lines.append(f"{line}{works}".rstrip())
        lines.append(f"{say(sum(phase.barrier for phase in phases), 'barrier')} per step")
        if seconds is not None:
            lines[-1] += f", {seconds.sum(axis=(1, 2)).max() * 1e6:.1f} µs"
        return "\n".join(lines)


def describe_times(seconds) -> str:
    """Microseconds of each thread."""
    return " ".join(f"{1e6 * each:10.2f}" for each in seconds) + " µs"


def describe_transform(shape: LayerShape) -> str:
    detail = {"dropout": f" {shape.rate:g}", "activation": f" {shape.activation}"}
    return f"{shape.n_out} {shape.kind}{detail.get(shape.kind, '')}"
