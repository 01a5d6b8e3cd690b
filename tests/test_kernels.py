"""Every kernel of the table against the oracle, for each instruction set and dtype.

Inputs lie in guarded memory at unaligned addresses, in rows further apart than they are long.
"""

import common
import numpy as np
import pytest
import reference
from common import SIDES, Guarded

from fastnn._core import kernels, probes

ROWS = [1, 2, 3, 7, 17]


def test_lists_have_oracles():
    assert list(reference.LOSSES) == list(reference.MERGED) == kernels.list_losses()
    assert list(reference.OPTIMIZERS) == kernels.list_optimizers()


def test_lists_agree_with_the_oracle_on_the_merged_activation():
    for loss in kernels.list_losses():
        assert kernels.get_merged_activation(loss) == (reference.MERGED[loss] or "identity")


# --- losses --------------------------------------------------------------------------------------


def make_targets(rng, loss, rows, cols, dtype):
    """(labels, targets) pairs that the loss takes."""
    if not kernels.takes_classes(loss):
        return [(None, rng.standard_normal((rows, cols)).astype(dtype))]
    labels = rng.integers(cols, size=rows).astype(np.int32)
    soft = rng.uniform(size=(rows, cols)) * (rng.uniform(size=(rows, cols)) < 0.7)
    soft[:, 0] += 0.1
    hard = reference.one_hot(labels, cols)
    soft = soft / soft.sum(axis=1, keepdims=True)
    return [(labels, None), (None, hard.astype(dtype)), (None, soft.astype(dtype))]


def check_loss(loss, output, labels, targets, scale):
    """Row losses and gradient of the compiled loss against the oracle, within rounding."""
    dtype, cols = output.dtype, output.shape[1]
    eps = np.finfo(dtype).eps
    scores, delta = Guarded(output), Guarded(np.zeros_like(output))
    wide_targets = None if targets is None else Guarded(targets).view
    found = probes.evaluate_loss(loss, scores.view, delta.view, labels, wide_targets, scale)
    delta.check()
    assert common.same_bits(scores.view, output)
    exact_targets = reference.one_hot(labels, cols) if targets is None else targets
    exact, slope = reference.LOSSES[loss](
        output.astype(np.longdouble), exact_targets.astype(np.longdouble)
    )
    # z - max is rounded, which e^(z - max) turns into a relative error
    spread = np.ptp(output, axis=1) if reference.MERGED[loss] == "softmax" else 0
    relative = eps * (8 + spread)
    assert (np.abs(found - exact) <= np.maximum(relative, 8e-16) * np.abs(exact) + 8e-16).all()
    size = np.abs(slope) + (np.abs(exact_targets) if kernels.takes_classes(loss) else 0)
    room = (relative * scale * size.T).T + np.finfo(dtype).tiny
    assert (np.abs(delta.view - slope * scale) <= room).all()
    alone = probes.evaluate_loss(loss, scores.view, None, labels, wide_targets, 0.0)
    assert common.same_bits(alone, found)
    in_place = probes.evaluate_loss(loss, scores.view, scores.view, labels, wide_targets, scale)
    assert common.same_bits(in_place, found)
    assert common.same_bits(scores.view, delta.view)
    scores.check()


@pytest.mark.parametrize("loss", kernels.list_losses())
def test_loss(isa, dtype, loss, rng):
    for rows in ROWS:
        for cols in SIDES:
            output = (3 * rng.standard_normal((rows, cols))).astype(dtype)
            for labels, targets in make_targets(rng, loss, rows, cols, dtype):
                check_loss(loss, output, labels, targets, scale=1 / (rows + 2))


def test_cross_entropy_of_a_confident_row_keeps_its_digits(isa, dtype):
    """log(1 + little) and p - 1 would be 0 if they were rounded on the way."""
    margin = 12 if dtype == "float32" else 25
    output = np.zeros((1, 10), dtype)
    output[0, 4] = margin
    delta = np.empty_like(output)
    loss = probes.evaluate_loss(
        "softmax_cross_entropy", output, delta, np.array([4], np.int32), None, 1.0
    )
    little = 9 * np.exp(-np.longdouble(margin))
    # in double, 1 + little itself is rounded before the logarithm is taken
    np.testing.assert_allclose(loss[0], float(np.log1p(little)), rtol=1e-5, atol=3e-16)
    np.testing.assert_allclose(delta[0, 4], -float(little / (1 + little)), rtol=1e-5, atol=3e-16)


@pytest.mark.parametrize("size", [1e4, float(np.finfo(np.float32).max)])
def test_F10_cross_entropy_of_huge_scores(isa, dtype, size):
    """Finite losses and gradients for scores of any size, and where the target has p = 0."""
    for cols in SIDES[1:]:
        scores = np.zeros((3, cols), dtype)
        scores[0, 0], scores[1, 0], scores[2] = size, -size, size
        scores[2, -1] = -size
        labels = np.zeros(3, np.int32)
        wrong = reference.one_hot(np.full(3, cols - 1), cols).astype(dtype)
        for given_labels, targets in [(labels, None), (None, wrong)]:
            delta = np.empty_like(scores)
            losses = probes.evaluate_loss(
                "softmax_cross_entropy", scores, delta, given_labels, targets, 1.0
            )
            assert np.isfinite(losses).all()
            assert (losses >= 0).all()
            assert np.isfinite(delta).all()
            np.testing.assert_allclose(delta.sum(axis=1), 0, atol=20 * np.finfo(dtype).eps)
        probabilities = np.empty_like(scores)
        probes.activation_forward("softmax", scores, probabilities)
        sums = probabilities.sum(axis=1, dtype=np.longdouble)
        assert (np.abs(sums - 1) <= 4 * np.finfo(dtype).eps).all()


def test_F10_a_target_of_zero_ignores_an_infinite_score(isa, dtype):
    scores = np.array([[1, -np.inf, 2]], dtype)
    targets = np.array([[0.5, 0, 0.5]], dtype)
    loss = probes.evaluate_loss("softmax_cross_entropy", scores, None, None, targets, 1.0)
    np.testing.assert_allclose(loss, np.log(np.exp(1) + np.exp(2)) - 1.5, rtol=1e-6)


@pytest.mark.parametrize("loss", kernels.list_losses())
def test_loss_keeps_nan(isa, dtype, loss, rng):
    for cols in SIDES:
        output = np.zeros((2, cols), dtype)
        output[1, -1] = np.nan
        for labels, targets in make_targets(rng, loss, 2, cols, dtype):
            losses = probes.evaluate_loss(loss, output, None, labels, targets, 1.0)
            assert np.isnan(losses).tolist() == [False, True]


# --- parameters, sums, layout --------------------------------------------------------------------


def test_column_sums(isa, dtype, rng):
    eps = np.finfo(dtype).eps
    for rows in [1, 2, 7, 100]:
        for cols in SIDES:
            d = Guarded(rng.standard_normal((rows, cols)).astype(dtype))
            sequential = np.add.accumulate(d.view, axis=0)[-1]  # from the first row to the last
            out = Guarded(np.full((1, cols), np.nan, dtype))
            probes.column_sums(d.view, out.view[0], 1.0, 0.0)  # beta = 0: NaNs are overwritten
            out.check()
            assert common.same_bits(out.view[0], sequential)
            probes.column_sums(d.view, out.view[0], -0.5, 0.0)
            assert common.same_bits(out.view[0], -sequential / 2)
            start = rng.standard_normal(cols).astype(dtype)
            out.view[0] = start
            probes.column_sums(d.view, out.view[0], -0.3, 0.7)
            exact = -0.3 * sequential.astype(float) + 0.7 * start.astype(float)
            assert (np.abs(out.view[0] - exact) <= 4 * eps * (1 + np.abs(sequential))).all()
            out.check()


def test_column_sums_do_not_depend_on_where_a_block_begins(isa, dtype, rng):
    d = rng.standard_normal((33, 150)).astype(dtype)
    whole, out = np.empty((2, 150), dtype)
    probes.column_sums(d, whole, -0.3, 0.0)
    for cut in [1, 5, 16, 64, 149]:
        probes.column_sums(d[:, :cut], out[:cut], -0.3, 0.0)
        probes.column_sums(d[:, cut:], out[cut:], -0.3, 0.0)
        assert common.same_bits(out, whole)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
def test_sum_chunks(isa, dtype, relu, with_bias, rng):
    for n_chunks in [1, 2, 4, 5]:
        for cols in SIDES:
            partial = rng.standard_normal((n_chunks, 3, cols + 5)).astype(dtype)
            bias = rng.standard_normal(cols).astype(dtype) if with_bias else None
            z = Guarded(np.zeros((3, cols), dtype))
            probes.sum_chunks(partial, cols, bias, relu, z.view)
            expected = np.add.accumulate(partial, axis=0)[-1][:, :cols]  # chunks in ascending order
            expected = expected if bias is None else expected + bias
            expected = np.maximum(expected, 0) if relu else expected
            np.testing.assert_array_equal(z.view, expected)
            z.check()
            partial[-1, 0, cols - 1] = np.nan
            probes.sum_chunks(partial, cols, bias, relu, z.view)
            assert np.isnan(z.view[0, cols - 1])
            assert np.isnan(z.view).sum() == 1


def test_transpose(isa, dtype, rng):
    for rows in SIDES:
        for cols in SIDES:
            w = Guarded(rng.standard_normal((rows, cols)).astype(dtype))
            out = Guarded(np.zeros((cols, rows), dtype))
            probes.transpose(w.view, out.view)
            assert common.same_bits(out.view, w.view.T)
            out.check()


def test_find_nonfinite(isa, dtype, rng):
    for n in [*SIDES, 4095, 4096, 4097, 10_000]:
        x = (rng.uniform(-1, 1, n) * np.finfo(dtype).max).astype(dtype)
        assert kernels.find_nonfinite(x) == -1
        for bad in [np.nan, np.inf, -np.inf]:
            for place in {0, n // 2, n - 1, 4095 % n}:
                y = x.copy()
                y[place] = bad
                y[n - 1] = bad  # the first is asked for
                assert kernels.find_nonfinite(y) == place
    assert kernels.find_nonfinite(np.empty(0, dtype)) == -1


def test_select_isa_refuses_what_is_not_there():
    before = kernels.get_isa()
    with pytest.raises(ValueError, match=r"FASTNN_ISA is 'mmx'.*scalar"):
        kernels.select_isa("mmx")
    assert kernels.get_isa() == before
