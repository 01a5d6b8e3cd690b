"""The plan of layers without a weight matrix: cuts that need no barrier, and barriers elsewhere.

What a phase touches is said anew, from what the kernels do and not from what barriers.py declares.
"""

import itertools

import numpy as np
import pytest
import test_plan
from test_plan import check_barriers, make

from fastnn._core import kernels
from fastnn._core.plan_structs import LAYER_KINDS, LayerShape

KINDS = [kind for kind in LAYER_KINDS if kind != "dense"]
list_touched_by_dense = test_plan.list_touched


def list_touched(made, phase, start, stop):
    """(buffer, box, written) for a thread that has start..stop of `phase`."""
    i, shape, batch = phase.layer, made.layers[phase.layer].shape, made.batch_size
    if phase.kind not in ("transform", "transform_backward", "differentiate", "gain", "track"):
        return list_touched_by_dense(made, phase, start, stop)
    rows, columns = np.ones(batch, dtype=bool), np.ones(shape.n_out, dtype=bool)
    own = rows if phase.axis == "rows" else columns
    own[:start] = own[stop:] = False
    block, is_forward = (rows, columns), phase.kind == "transform"
    if phase.kind == "differentiate":
        return [(f"a{i}", block, False), (f"delta{i}", block, True)]
    gain, normalized = f"w{i}", (f"normalized{i}", block, is_forward)
    if phase.kind == "gain":
        return [(f"delta{i}", block, False), normalized, (gain, (columns,), True)]
    touched = []
    scale = (columns,) if shape.kind == "batch_norm" else (rows,)
    if phase.kind == "track":
        return [(f"scale{i}", scale, False), (f"running{i}", (columns,), True)]
    if shape.is_norm:
        touched += [(gain, (columns,), False), (f"b{i}", (columns,), False), normalized]
        touched.append((f"scale{i}", scale, is_forward))
    if is_forward:
        return [*touched, (f"a{i - 1}", block, False), (f"a{i}", block, True)]
    assert phase.kind == "transform_backward"
    reads = [(buffer, block, False) for buffer in (f"delta{i}", f"a{i}", f"a{i - 1}")]
    return [*touched, *reads, (f"delta{i - 1}", block, True)]


def make_shapes(kinds, width=70, activation="relu"):
    """Dense layers around and between layers of these kinds."""
    chain = ["dense"] + [kind for each in kinds for kind in (each, "dense")]
    chain = kinds[:1] + chain  # once at the front as well
    return [
        LayerShape(width, width, activation if kind == "dense" else "identity",
                   kind == "dense" and kernels.is_rowwise(activation), kind=kind, index=i)
        for i, kind in enumerate(chain)
    ]  # fmt: skip


@pytest.mark.parametrize("activation", ["relu", "softmax"])
@pytest.mark.parametrize("kinds", list(itertools.product(KINDS, repeat=2)), ids="-".join)
def test_barriers(kinds, activation, monkeypatch):
    monkeypatch.setattr(test_plan, "list_touched", list_touched)
    with test_plan.small_limits():
        shapes = make_shapes(list(kinds), activation=activation)
        for n_threads, update in itertools.product([2, 3], ["fused", "blocked", "none"]):
            made = make(shapes, 9, n_threads, (4, 8), update)
            check_barriers(made)
            for phase in made.forward + made.backward:
                kind = made.layers[phase.layer].shape.kind
                if phase.kind.startswith("transform"):
                    assert kind != "batch_norm" or phase.axis == "outputs"
                    assert kind != "layer_norm" or phase.axis == "rows"


def test_elementwise_layers_add_no_barrier():
    """They take the cut of their neighbours."""

    def count(kinds):
        shapes = make_shapes(kinds, 512)[len(kinds[:1]) :]
        made = make(shapes, 128)
        return sum(phase.barrier for phase in made.forward + made.backward)

    dense = make(
        [shape for shape in make_shapes(["dropout"], 512)[1:] if shape.kind == "dense"], 128
    )
    expected = sum(phase.barrier for phase in dense.forward + dense.backward)
    assert count(["dropout"]) == count(["activation"]) == expected


def test_layers_without_parameters_before_them_have_no_input_gradient():
    shapes = [
        LayerShape(70, 70, "identity", False, kind="dropout"),
        LayerShape(70, 70, "relu", False, index=1),
    ]
    kinds = {phase.kind for phase in make(shapes).backward}
    assert kinds == {"weight", "bias"}
