"""Where the threads of a plan must wait for each other.

Barriers are not placed by hand. Each phase declares what it reads and writes, and by which cut;
two phases may run side by side as long as each thread touches its own part only. A barrier goes
in front of the first phase that would break this.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

ALL = "all"  # every thread touches all of it


@dataclass(frozen=True)
class Phase:
    """One kind of work on one layer: thread t takes bounds[t]..bounds[t + 1] of `axis`."""

    kind: str
    layer: int
    axis: str  # "rows" of the batch, "inputs" or "outputs" of the layer, "chunks" of all gradients
    bounds: tuple[int, ...]
    barrier: bool = False  # all threads wait before this phase


def list_accesses(phase: Phase, layers) -> list[tuple[str, str, tuple[int, ...], bool]]:
    """(buffer, axis by which threads share it, bounds, written) of everything a phase touches.

    "b" is the bias and the learnt coefficients of the activation. Phases that read coefficients to
    get a delta need not say so: `bias`, which writes them, reads that delta.
    """
    i, bounds, kind = phase.layer, phase.bounds, phase.kind
    by_rows = phase.axis == "rows"

    def access(buffer, layer, axis, writes=False):
        cut = bounds if axis != ALL else ()
        return (f"{buffer}{layer}", axis, cut, writes)

    whole_or_own = "rows" if by_rows else ALL
    own_outputs = "rows" if by_rows else "columns"
    weight_axis = ALL if by_rows else phase.axis
    before = "x" if i == 0 else f"a{i - 1}"
    if kind == "gather":
        return [("x", "rows", bounds, True)]
    if kind == "forward":
        return [
            (before, whole_or_own, bounds if by_rows else (), False),
            access("w", i, weight_axis),
            access("b", i, ALL if by_rows else "columns"),
            access("a", i, own_outputs, writes=True),
        ]
    if kind == "partial":
        return [
            (before, "columns", bounds, False),
            access("w", i, "inputs"),
            access("partial", i, "inputs", writes=True),
        ]
    if kind == "reduce":
        return [
            access("partial", i, "rows"),
            access("b", i, ALL),
            access("a", i, "rows", writes=True),
        ]
    if kind == "loss":
        return [access("a", i, "rows"), access("delta", i, "rows", writes=True)]
    if kind in ("transform", "transform_backward", "differentiate", "gain", "track"):
        return list_transform_accesses(kind, layers[i].shape, i, before, own_outputs, bounds)
    if kind == "backward_input":
        source = "w" if layers[i].blas else "wt"
        return [
            access("delta", i, whole_or_own),
            access(source, i, weight_axis),
            access("a", i - 1, own_outputs),
            access("delta", i - 1, own_outputs, writes=True),
        ]
    if kind == "weight":
        by_inputs = phase.axis == "inputs"
        return [
            (before, "columns" if by_inputs else ALL, bounds if by_inputs else (), False),
            access("delta", i, ALL if by_inputs else "columns"),
            access("w", i, phase.axis, writes=True),
            access("dw", i, phase.axis, writes=True),
        ]
    if kind == "bias":
        written = [access(buffer, i, "columns", writes=True) for buffer in ("b", "db")]
        return [access("delta", i, "columns"), *written]
    if kind in ("gradient_norm", "update_weight", "update_bias", "column_squares", "max_norm"):
        return list_update_accesses(phase, layers)
    if kind == "transpose":
        return [access("w", i, "inputs"), access("wt", i, "inputs", writes=True)]
    raise ValueError(f"unknown phase kind {kind!r}")


def list_update_accesses(phase: Phase, layers) -> list[tuple[str, str, tuple[int, ...], bool]]:
    """The same for updates that wait for the norm of all gradients, and for limits of weights."""
    i, bounds = phase.layer, phase.bounds
    if phase.kind == "column_squares":
        return [(f"w{i}", phase.axis, bounds, False), (f"squares{i}", phase.axis, bounds, True)]
    if phase.kind == "max_norm":
        whole_or_own = (ALL, ()) if phase.axis == "inputs" else (phase.axis, bounds)
        return [(f"squares{i}", *whole_or_own, False), (f"w{i}", phase.axis, bounds, True)]
    if phase.kind == "gradient_norm":
        trained = [k for k, layer in enumerate(layers) if layer.shape.has_parameters]
        gradients = [(f"{name}{k}", ALL, (), False) for name in ("dw", "db") for k in trained]
        return [*gradients, ("squares", phase.axis, bounds, True)]
    name, axis = ("w", phase.axis) if phase.kind == "update_weight" else ("b", "columns")
    return [
        ("squares", ALL, (), False),
        (f"d{name}{i}", axis, bounds, False),
        (f"{name}{i}", axis, bounds, True),
    ]


def list_transform_accesses(kind: str, shape, i: int, before: str, axis: str, bounds):
    """The same for what needs no weight matrix: one block of rows or columns throughout."""
    read_and_written = {
        "transform": ([before], [f"a{i}"]),
        "transform_backward": ([f"delta{i}", f"a{i}", f"a{i - 1}"], [f"delta{i - 1}"]),
        "differentiate": ([f"a{i}"], [f"delta{i}"]),
        "gain": ([f"delta{i}", f"statistics{i}"], [f"w{i}", f"dw{i}"]),
        "track": ([f"statistics{i}"], []),
    }
    read, written = read_and_written[kind]
    found = [(buffer, axis, bounds, False) for buffer in read]
    found += [(buffer, axis, bounds, True) for buffer in written]
    if shape.is_norm and kind.startswith("transform"):
        found.append((f"statistics{i}", axis, bounds, kind == "transform"))
        own = (ALL, ()) if axis == "rows" else (axis, bounds)
        found += [(f"w{i}", *own, False), (f"b{i}", *own, False)]
    return found


def conflicts(one, other) -> bool:
    """Whether two accesses, by different threads and with no barrier between, could collide."""
    buffer, axis, bounds, writes = one
    other_buffer, other_axis, other_bounds, other_writes = other
    if buffer != other_buffer or not (writes or other_writes):
        return False
    return axis == ALL or axis != other_axis or bounds != other_bounds


def insert_barriers(
    phases: list[Phase], layers, n_threads: int, always: Collection[int] = ()
) -> list[Phase]:
    """Mark the phases that all threads must wait before; the list is run again and again.

    The phases numbered in `always` have a barrier in any case: the first that changes parameters,
    where all threads look at what each has found out about the step.
    """
    if n_threads == 1:
        return phases
    barrier = [i in always for i in range(len(phases))]
    pending: list = []  # accesses since the last barrier
    for _ in range(2):  # the second round sees what the end of one step leaves for the next
        for i, phase in enumerate(phases):
            accesses = list_accesses(phase, layers)
            if barrier[i] or any(conflicts(a, b) for a in accesses for b in pending):
                barrier[i] = True
                pending = []
            pending = pending + accesses
    return [replace(phase, barrier=flag) for phase, flag in zip(phases, barrier, strict=True)]
