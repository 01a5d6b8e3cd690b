"""A network in words."""

from __future__ import annotations


def summarize(net) -> str:
    """A table of the layers with shapes and numbers of parameters."""
    lines = [f"{'layer':<8}{'shape':>16}  {'activation':<12}{'parameters':>12}"]
    for i, layer in enumerate(net.layers):
        n_in, n_out = layer.weight.shape
        size = layer.weight.size + (0 if layer.bias is None else layer.bias.size)
        shape = f"{n_in} -> {n_out}"
        lines.append(f"{i:<8}{shape:>16}  {layer.activation.name:<12}{size:>12,}")
    lines.append(f"{len(net.parameter_vector):,} parameters, {net.dtype}, {net.loss.name}")
    return "\n".join(lines)
