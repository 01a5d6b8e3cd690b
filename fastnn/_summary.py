"""A network in words."""

from __future__ import annotations

from fastnn import _planning
from fastnn._parameters import list_widths
from fastnn._timing import time_phases


def summarize(net) -> str:
    """A table of the layers with shapes and numbers of parameters."""
    lines = [f"{'layer':<8}{'shape':>16}  {'activation':<12}{'parameters':>12}"]
    widths = list_widths(net.layers, net.n_features)
    for i, layer in enumerate(net.layers):
        size = sum(array.size for array in layer.parameters())
        shape = f"{widths[i]} -> {widths[i + 1]}"
        what = layer.activation.name if layer.kind in ("dense", "activation") else repr(layer)
        lines.append(f"{i:<8}{shape:>16}  {what:<12}{size:>12,}")
    lines.append(f"{len(net.parameter_vector):,} parameters, {net.dtype}, {net.loss.name}")
    return "\n".join(lines)


def explain(net, batch_size: int, optimizer, timed: bool) -> str:
    """The plan of a step, and how long its phases take."""
    plan, _ = _planning.plan_training(
        net._shapes["training"], batch_size, batch_size, net.dtype, net.n_threads, optimizer
    )
    return plan.describe(time_phases(net, batch_size, optimizer) if timed else None)
