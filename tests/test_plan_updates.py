"""The plan of updates that wait for the norm of all gradients.

What a phase touches is said anew, from what the kernels do and not from what barriers.py declares.
"""

from dataclasses import replace

import numpy as np
import pytest
import test_plan
from test_plan import make, mask

from fastnn._core import phase_order

list_touched_otherwise = test_plan.list_touched
NETS = [(40, 33, 40, 3), (7, 5), (9, 50, 8, 30), (64, 40, 64)]


def list_touched(made, phase, start, stop):
    """(buffer, box, written) for a thread that has start..stop of `phase`."""
    n_chunks = -(-sum(layer.shape.n_parameters for layer in made.layers) // phase_order.NORM_CHUNK)
    every_chunk = ("squares", (mask(n_chunks, (0, n_chunks)),), False)
    if phase.kind == "gradient_norm":
        shapes = enumerate(layer.shape for layer in made.layers)
        boxes = [(i, np.ones(s.n_in, bool), np.ones(s.n_out, bool)) for i, s in shapes]
        reads = [(f"dw{i}", (rows, columns), False) for i, rows, columns in boxes]
        reads += [(f"db{i}", (columns,), False) for i, _, columns in boxes]
        return [*reads, ("squares", (mask(n_chunks, (start, stop)),), True)]
    if phase.kind in ("column_squares", "max_norm"):
        return list_touched_by_limits(made, phase, start, stop)
    if phase.kind in ("weight", "bias") and made.update == "separate":
        *reads, (buffer, box, _) = list_touched_otherwise(made, phase, start, stop)
        return [*reads, (f"d{buffer}", box, True)]
    if phase.kind in ("update_weight", "update_bias"):
        kind = phase.kind.removeprefix("update_")
        alike = phase_order.Phase(kind, phase.layer, phase.axis, phase.bounds)
        *_, (buffer, box, _) = list_touched_otherwise(made, alike, start, stop)
        return [every_chunk, (f"d{buffer}", box, False), (buffer, box, True)]
    return list_touched_otherwise(made, phase, start, stop)


def list_touched_by_limits(made, phase, start, stop):
    i, layer = phase.layer, made.layers[phase.layer]
    n_chunks = -(-layer.shape.n_in // layer.chunk)
    rows, columns = np.ones(layer.shape.n_in, bool), np.ones(layer.shape.n_out, bool)
    chunks = every_chunk = np.ones(n_chunks, bool)
    if phase.axis == "inputs":
        assert start % layer.chunk == 0
        rows = mask(len(rows), (start, stop))
        chunks = mask(n_chunks, (start // layer.chunk, -(-stop // layer.chunk)))
    else:
        columns = test_plan.whole_panels(layer.panels, start, stop)
    own = (f"w{i}", (rows, columns))
    if phase.kind == "column_squares":
        return [(*own, False), (f"squares{i}", (chunks, columns), True)]
    return [(f"squares{i}", (every_chunk, columns), False), (*own, True)]


@pytest.mark.parametrize("widths", NETS, ids=str)
@pytest.mark.parametrize("batch_size", [3, 8])
def test_updates_behind_the_norm(widths, batch_size, monkeypatch):
    monkeypatch.setattr(test_plan, "list_touched", list_touched)
    monkeypatch.setattr(phase_order, "NORM_CHUNK", 100)
    shapes = test_plan.make_shapes(widths)
    assert all(shape.n_parameters == shape.n_out * (shape.n_in + 1) for shape in shapes)
    with test_plan.small_limits():
        test_plan.check(lambda n: make(shapes, batch_size, n, (4, 8), "separate"))
        made = make(shapes, batch_size, 3, (4, 8), "separate")
    kinds = [phase.kind for phase in made.backward]
    last_gradient = max(i for i, kind in enumerate(kinds) if kind in ("weight", "bias"))
    assert kinds[last_gradient + 1] == "gradient_norm"
    assert made.backward[last_gradient + 1].barrier
    assert made.backward[last_gradient + 2].barrier
    assert kinds.count("update_weight") == kinds.count("update_bias") == len(shapes)


@pytest.mark.parametrize("update", [*test_plan.UPDATES, "separate"])
@pytest.mark.parametrize("widths", NETS, ids=str)
def test_limits_of_columns(widths, update, monkeypatch):
    monkeypatch.setattr(test_plan, "list_touched", list_touched)
    shapes = [replace(shape, max_norm=1.0) for shape in test_plan.make_shapes(widths)]
    with test_plan.small_limits():
        test_plan.check(lambda n: make(shapes, 7, n, (4, 8), update))
        made = make(shapes, 7, 3, (4, 8), update)
    kinds = [phase.kind for phase in made.backward]
    n_limits = 0 if update == "none" else len(shapes)  # in the explicit loop the caller limits
    assert kinds.count("column_squares") == kinds.count("max_norm") == n_limits
