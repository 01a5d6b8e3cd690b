"""Every loss of the list against the oracle, for each instruction set, dtype and kind of targets.

Inputs lie in guarded memory at unaligned addresses, in rows further apart than they are long.
"""

import common
import numpy as np
import pytest
import reference
from common import SIDES, Guarded
from hypothesis import given
from hypothesis import strategies as st
from loss_cases import as_rows, make_targets
from reference_losses import SETTINGS

from fastnn._core import kernels, probes

ROWS = [1, 3, 7]
LOSSES = kernels.list_losses()
LARGEST = 1e300  # what a loss beyond the range of double is given as


def check_loss(loss, output, labels, targets, scale, weights, **settings):
    """Row losses and gradient of the compiled loss against the oracle, within rounding."""
    dtype, cols = output.dtype, output.shape[1]
    eps = np.finfo(dtype).eps
    scores, delta = Guarded(output), Guarded(np.zeros_like(output))
    wide_targets = None if targets is None else Guarded(targets).view

    def evaluate(delta, scale):
        given = (labels, wide_targets, scale, weights, settings)
        return probes.evaluate_loss(loss, scores.view, delta, *given)

    found = evaluate(delta.view, scale)
    delta.check()
    assert common.same_bits(scores.view, output)
    exact_targets = as_rows(labels, targets, cols).astype(np.longdouble)
    exact, slope = reference.LOSSES[loss](output.astype(np.longdouble), exact_targets, **settings)
    weight = 1 if weights is None else weights
    # z - max is rounded, which e^(z - max) turns into a relative error
    spread = np.ptp(output, axis=1) if reference.MERGED[loss] == "softmax" else 0
    relative = eps * (8 + spread)
    # e^z - t z, and the three terms of a margin, may cancel
    cancelled = {"poisson": cols}.get(loss, 0)
    if kernels.get_targets(loss) == "labels":
        cancelled = 4 * (1 + np.abs(output).max(axis=1)) ** 2
    terms = np.abs(exact) + cancelled
    room = np.maximum(relative, 8e-16) * terms + 8e-16
    assert (np.abs(found - weight * exact) <= weight * room).all()
    size = (np.abs(slope).T + cancelled).T
    if kernels.get_targets(loss) != "values":
        size = size + np.abs(exact_targets) + settings.get("label_smoothing", 0)
    room = (relative * scale * weight * size.T).T + np.finfo(dtype).tiny
    assert (np.abs(delta.view - (slope.T * scale * weight).T) <= room).all()
    assert common.same_bits(evaluate(None, 0.0), found)
    assert common.same_bits(evaluate(scores.view, scale), found)  # in place
    assert common.same_bits(scores.view, delta.view)
    scores.check()


@pytest.mark.parametrize("loss", LOSSES)
def test_loss(isa, dtype, loss, rng):
    for rows in ROWS:
        for cols in SIDES:
            output = (3 * rng.standard_normal((rows, cols))).astype(dtype)
            for labels, targets in make_targets(rng, loss, rows, cols, dtype):
                check_loss(loss, output, labels, targets, 1 / (rows + 2), None)


@pytest.mark.parametrize("cols", [1, 3, 16, 17, 64, 65, 100])
def test_cross_entropy_of_a_row_does_not_depend_on_the_others(isa, dtype, cols, rng):
    """Few columns are taken some rows at a time."""
    loss = "softmax_cross_entropy"
    output = (3 * rng.standard_normal((70, cols))).astype(dtype)
    for labels, targets in make_targets(rng, loss, 70, cols, dtype):
        check_loss(loss, output, labels, targets, 0.1, None)
        delta, own = np.empty_like(output), np.empty_like(output)
        found = probes.evaluate_loss(loss, output, delta, labels, targets, 0.1)
        for start, stop in [(0, 1), (1, 17), (17, 19), (19, 70)]:
            rows = slice(start, stop)
            given = [None if one is None else one[rows] for one in (labels, targets)]
            losses = probes.evaluate_loss(loss, output[rows], own[rows], *given, 0.1)
            assert common.same_bits(losses, found[rows])
        assert common.same_bits(own, delta)


def test_cross_entropy_of_targets_of_any_sum(isa, dtype, rng):
    for cols in SIDES:
        output = (3 * rng.standard_normal((3, cols))).astype(dtype)
        targets = rng.uniform(0, 3, (3, cols)).astype(dtype)
        check_loss("softmax_cross_entropy", output, None, targets, 0.3, None)


@pytest.mark.parametrize("loss", LOSSES)
def test_settings_and_weights_of_a_loss(isa, dtype, loss, rng):
    for cols in SIDES:
        output = (3 * rng.standard_normal((4, cols))).astype(dtype)
        weights = np.array([0.5, 0.0, 3.0, 1.0])
        for labels, targets in make_targets(rng, loss, 4, cols, dtype):
            check_loss(loss, output, labels, targets, 0.25, weights, **SETTINGS[loss])


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if kernels.get_targets(loss) == "values"])
def test_small_errors_keep_their_digits(isa, dtype, loss, rng):
    """Where the output is nearly right, the loss is small and must be so to the last digits."""
    targets = rng.standard_normal((40, 3)).astype(dtype)
    sizes = np.logspace(-9 if dtype == "float64" else -3, 1.5, 40)[:, None]
    output = (targets + sizes * rng.standard_normal((40, 3))).astype(dtype)
    check_loss(loss, output, None, targets, 1.0, None)


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


def test_binary_cross_entropy_of_a_confident_row_keeps_all_its_digits(isa, dtype):
    for score in [12.0, 40.0, 80.0]:
        output = np.array([[score], [-score]], dtype)
        delta = np.empty_like(output)
        labels = np.array([1, 0], np.int32)
        loss = probes.evaluate_loss("binary_cross_entropy", output, delta, labels, None, 1.0)
        np.testing.assert_allclose(loss, np.log1p(np.exp(-score)), rtol=2e-7)
        np.testing.assert_allclose(delta[:, 0] * [-1, 1], np.exp(-score), rtol=1e-5)


# --- scores of any size --------------------------------------------------------------------------


def list_sizes(loss, dtype):
    if loss == "poisson":
        return [80.0]
    return [1e4, float(np.finfo(np.float32).max), float(np.finfo(dtype).max)]


@pytest.mark.parametrize("loss", LOSSES)
def test_F10_losses_of_huge_scores(isa, dtype, loss, rng):
    """Finite losses for scores of any size, whatever the target, and gradients without NaN."""
    for size in list_sizes(loss, dtype):
        for cols in [1, 2, 3, 17, 33]:
            output = (size * rng.choice([-1, 0, 1], (20, cols))).astype(dtype)
            for labels, targets in make_targets(rng, loss, 20, cols, dtype):
                if kernels.get_targets(loss) == "values":
                    targets = -output  # as far off as can be
                for settings in [{}, SETTINGS[loss]]:
                    delta = np.empty_like(output)
                    losses = probes.evaluate_loss(
                        loss, output, delta, labels, targets, 1.0, None, settings
                    )
                    assert np.isfinite(losses).all()
                    assert np.abs(losses).max() <= 2 * LARGEST * cols
                    assert not np.isnan(delta).any()
                    if loss == "softmax_cross_entropy":
                        room = 20 * np.finfo(dtype).eps
                        np.testing.assert_allclose(delta.sum(axis=1), 0, atol=room)


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss != "poisson"])
def test_F10_a_huge_loss_is_exact_where_double_holds_it(isa, loss):
    """Squares and differences of floats are taken in double."""
    size = np.finfo(np.float32).max
    output, wrong = np.array([[size, -size]], np.float32), np.array([[-size, size]], np.float32)
    kind = kernels.get_targets(loss)
    labels = np.array([1], np.int32) if kind in ("classes", "labels") else None
    targets = None if labels is not None else wrong
    if kind == "binary":
        targets = np.array([[0, 1]], np.float32)
    found = probes.evaluate_loss(loss, output, None, labels, targets, 1.0)
    exact_targets = as_rows(labels, targets, 2).astype(np.longdouble)
    exact, _ = reference.LOSSES[loss](output.astype(np.longdouble), exact_targets)
    np.testing.assert_allclose(found, exact.astype(float), rtol=1e-15)


def test_F10_softmax_of_huge_scores(isa, dtype):
    for size in [1e4, float(np.finfo(np.float32).max)]:
        for cols in SIDES[1:]:
            scores = np.zeros((3, cols), dtype)
            scores[0, 0], scores[1, 0], scores[2] = size, -size, size
            scores[2, -1] = -size
            probabilities = np.empty_like(scores)
            probes.activation_forward("softmax", scores, probabilities)
            sums = probabilities.sum(axis=1, dtype=np.longdouble)
            assert (np.abs(sums - 1) <= 4 * np.finfo(dtype).eps).all()


def test_F10_a_target_of_zero_ignores_an_infinite_score(isa, dtype):
    scores = np.array([[1, -np.inf, 2]], dtype)
    targets = np.array([[0.5, 0, 0.5]], dtype)
    loss = probes.evaluate_loss("softmax_cross_entropy", scores, None, None, targets, 1.0)
    np.testing.assert_allclose(loss, np.log(np.exp(1) + np.exp(2)) - 1.5, rtol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_keeps_nan(isa, dtype, loss, rng):
    for cols in SIDES:
        output = np.zeros((2, cols), dtype)
        output[1, -1] = np.nan
        for labels, targets in make_targets(rng, loss, 2, cols, dtype):
            delta = np.empty_like(output)
            losses = probes.evaluate_loss(loss, output, delta, labels, targets, 1.0)
            assert np.isnan(losses).tolist() == [False, True]
            assert np.isnan(delta).any(axis=1).tolist() == [False, True]


@pytest.mark.parametrize("loss", LOSSES)
def test_an_infinite_score_is_not_hidden(isa, dtype, loss):
    """A loss is cut off at the end of its range only where all scores are finite."""
    for cols in [1, 3, 17]:
        output = np.zeros((1, cols), dtype)
        output[0, 0] = np.inf
        kind = kernels.get_targets(loss)
        labels = np.zeros(1, np.int32) if kind in ("classes", "labels") else None
        targets = np.zeros_like(output) if labels is None else None
        losses = probes.evaluate_loss(loss, output, None, labels, targets, 1.0)
        # the right class beyond all others is a margin of no loss; but softmax makes it NaN
        right = kind == "labels" and cols > 1
        assert (losses[0] == 0) if right else not np.isfinite(losses[0])


@given(
    loss=st.sampled_from(LOSSES), dtype=st.sampled_from(common.DTYPES), isa=st.sampled_from(
        kernels.list_isas()), cols=st.integers(1, 40), seed=st.integers(0, 2**32 - 1),
    reach=st.floats(-4, 2.5),
)  # fmt: skip
def test_loss_of_any_scores(loss, dtype, isa, cols, seed, reach):
    rng = np.random.default_rng(seed)
    size = min(10**reach, 80 if loss == "poisson" else 1e3)
    output = rng.uniform(-size, size, (2, cols)).astype(dtype)
    before = kernels.get_isa()
    kernels.select_isa(isa)
    try:
        for labels, targets in make_targets(rng, loss, 2, cols, dtype):
            check_loss(loss, output, labels, targets, 0.5, None)
    finally:
        kernels.select_isa(before)
