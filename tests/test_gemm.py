"""The matrix products: own register tile and BLAS, by the ratio test of LAPACK's test suite.

|computed - exact| / (eps |A| |B|) < 16 for every element, where the denominator is the scale on
which the rounding of a dot product is measured.
"""

import itertools

import common
import numpy as np
import pytest
from common import SIDES, Guarded

import fastnn
from fastnn._core import kernels, probes

DEPTHS = [1, 2, 3, 7, 16, 33, 100, 257]


def count_ratio(found, exact, a, b):
    """The greatest error in units of eps |A| |B|; `exact` has more digits than `found`."""
    scale = np.abs(a).astype(float) @ np.abs(b).astype(float)
    return float((np.abs(found - exact) / (np.finfo(found.dtype).eps * scale)).max())


def exact_product(a, b):
    wide = np.float64 if a.dtype == np.float32 else np.longdouble
    return a.astype(wide) @ b.astype(wide)


def list_cases(dtype):
    """(rows, cols, depth): each row count with each width of a panel, depths in turn."""
    widest = kernels.get_panel_width(dtype)
    widths = [width for width in SIDES if width <= widest] + [widest]
    pairs = [(rows, cols) for rows in SIDES for cols in widths]
    return [(rows, cols, DEPTHS[i % len(DEPTHS)]) for i, (rows, cols) in enumerate(pairs)]


def make_operands(rng, rows, cols, depth, dtype):
    """A matrix, the order in which its rows are taken, and a panel padded to whole vectors.

    The padding is NaN: its lanes are computed on but must not reach the result.
    """
    a = rng.standard_normal((rows + 2, depth + 3)).astype(dtype)
    order = rng.permutation(rows + 2)[:rows]
    width = kernels.get_vector_width(dtype)
    b = np.full((depth, -(-cols // width) * width + 3), np.nan, dtype)
    b[:, :cols] = rng.standard_normal((depth, cols))
    return a, order, b


def test_multiply_rows(isa, dtype, rng):
    for rows, cols, depth in list_cases(dtype):
        a, order, b = make_operands(rng, rows, cols, depth, dtype)
        c = Guarded(np.full((rows, cols), np.nan, dtype))  # not accumulated: not read
        probes.multiply_rows(a, order, 2, depth, b, c.view)
        left, right = a[order, 2 : 2 + depth], b[:, :cols]
        ratio = count_ratio(c.view, exact_product(left, right), left, right)
        assert ratio < 16, (rows, cols, depth)
        c.check()


def test_multiply_row_has_the_bits_of_multiply_rows(isa, dtype, rng):
    """One row at once, against chunk after chunk: the same sums in the same order."""
    cases = [(1, 1), (7, 7), (9, 4), (33, 8), (100, 25), (257, 65), (300, 23)]
    for cols in [width for width in SIDES if width <= kernels.get_panel_width(dtype)]:
        for (depth, chunk), relu in itertools.product(cases, [False, True]):
            a, _, b = make_operands(rng, 1, cols, depth, dtype)
            row, bias = np.ascontiguousarray(a[1, :depth]), rng.standard_normal(cols).astype(dtype)
            expected = np.empty((1, cols), dtype)
            for start in range(0, depth, chunk):
                stop = min(start + chunk, depth)
                last = {"bias": bias, "relu": relu} if stop == depth else {}
                probes.multiply_rows(
                    a, [1], start, stop - start, b[start:stop], expected, start > 0, **last
                )
            found = Guarded(np.full((1, cols), np.nan, dtype))
            probes.multiply_row(row, chunk, b, found.view[0], bias, relu)
            assert common.same_bits(found.view, expected), (cols, depth, chunk)
            found.check()


def test_terms_are_those_where_some_row_of_the_tile_is_not_zero(isa, dtype, rng):
    """By rows and by columns, for every number of both around whole tiles and words."""
    for rows, depth in itertools.product([1, 5, 6, 7, 13, 60, 61, 70], [1, 7, 63, 64, 65, 130]):
        a = make_sparse(rng, (rows + 2, depth + 3), dtype)
        order = rng.permutation(rows + 2)[:rows]
        tiles = np.array_split(a[order, 2 : 2 + depth], -(-rows // 6))
        expected = [pack_bits((tile != 0).any(axis=0)) for tile in tiles]
        found, n_terms = probes.find_row_terms(a, order, 2, depth)
        np.testing.assert_array_equal(found, expected)
        assert n_terms == sum((tile != 0).any(axis=0).sum() for tile in tiles)
        turned = np.ascontiguousarray(a.T)
        tiles = np.array_split(turned[:depth, 1 : 1 + rows], -(-rows // 6), axis=1)
        expected = [pack_bits((tile != 0).any(axis=1)) for tile in tiles]
        found = probes.find_batch_terms(turned, np.arange(depth), 1, rows)
        np.testing.assert_array_equal(found, expected)


def pack_bits(flags):
    """Words of 64 flags each, the first in the lowest bit."""
    padded = np.zeros(-(-len(flags) // 64) * 64, dtype=bool)
    padded[: len(flags)] = flags
    return np.packbits(padded, bitorder="little").view("<u8")


def make_sparse(rng, shape, dtype):
    """Numbers of which most are zeros of either sign, some a NaN; some columns all zero."""
    a = rng.standard_normal(shape).astype(dtype)
    a[rng.random(shape) < 0.8] = 0
    a[rng.random(shape) < 0.3] *= -1
    a[rng.random(shape) < 0.01] = np.nan
    a[:, rng.random(shape[1]) < 0.4] = 0
    return a


def test_products_have_the_same_bits_without_zero_terms(isa, dtype, rng):
    """Also where all that is left of a sum underflows, to a zero of either sign."""
    for rows, cols, depth in list_cases(dtype):
        _, _, b = make_operands(rng, 1, cols, depth, dtype)
        b[:, :cols:3] *= np.finfo(dtype).smallest_subnormal  # no bigger than that
        a = make_sparse(rng, (rows, depth), dtype)
        a[::2] = np.where(np.isnan(a[::2]), 0, a[::2])
        terms, _ = probes.find_row_terms(a, np.arange(rows), 0, depth)
        whole, few = np.empty((2, rows, cols), dtype)
        probes.multiply_rows(a, np.arange(rows), 0, depth, b, whole)
        probes.multiply_rows(a, np.arange(rows), 0, depth, b, few, terms=terms)
        assert common.same_bits(few, whole), (rows, cols, depth)
        turned = np.ascontiguousarray(a.T)
        terms = probes.find_batch_terms(turned, np.arange(depth), 0, rows)
        for alpha, beta in [(1.0, 0.0), (-0.3, 1.0), (-0.3, 0.9)]:
            whole[...] = few[...] = rng.standard_normal((rows, cols))
            whole[0], few[0] = -0.0, -0.0
            probes.multiply_batch(turned, np.arange(depth), 0, b, whole, alpha, beta)
            probes.multiply_batch(turned, np.arange(depth), 0, b, few, alpha, beta, terms)
            assert common.same_bits(few, whole), (rows, cols, depth, alpha, beta)


def test_a_row_has_the_same_bits_without_its_zeros(isa, dtype, rng):
    for cols in [width for width in SIDES if width <= kernels.get_panel_width(dtype)]:
        for depth, chunk in [(1, 1), (9, 4), (65, 65), (100, 25), (257, 65), (700, 130)]:
            _, _, b = make_operands(rng, 1, cols, depth, dtype)
            for share in (0, 0.2, 0.45, 1):
                row = rng.standard_normal(depth).astype(dtype)
                row[rng.random(depth) >= share] = -0.0
                whole, few = np.empty((2, cols), dtype)
                probes.multiply_row(row, chunk, b, whole)
                probes.multiply_row(row, chunk, b, few, skip_zeros=True)
                assert common.same_bits(few, whole), (cols, depth, chunk, share)


def test_terms_that_are_left_out_are_not_computed(isa, dtype, rng):
    """0 times NaN would be NaN."""
    a = np.zeros((7, 70), dtype)
    a[:, [3, 68]] = 1
    b = np.full((70, kernels.get_panel_width(dtype)), np.nan, dtype)
    b[[3, 68]] = 2
    c = np.empty((7, b.shape[1]), dtype)
    terms, n_terms = probes.find_row_terms(a, np.arange(7), 0, 70)
    assert n_terms == 4  # two in each of two tiles
    probes.multiply_rows(a, np.arange(7), 0, 70, b, c, terms=terms)
    assert (c == 4).all()
    turned = np.ascontiguousarray(a.T)
    terms = probes.find_batch_terms(turned, np.arange(70), 0, 7)
    probes.multiply_batch(turned, np.arange(70), 0, b, c, 1.0, 1.0, terms)
    assert (c == 8).all()
    probes.multiply_row(a[0], 20, b, c[0], skip_zeros=True)
    assert (c[0] == 4).all()


def test_multiply_row_keeps_nan(isa, dtype):
    b = np.zeros((2, kernels.get_vector_width(dtype)), dtype)
    b[1] = np.nan
    c = np.zeros((1, 1), dtype)
    probes.multiply_row(np.ones(2, dtype), 2, b, c[0], np.zeros(1, dtype), True)
    assert np.isnan(c).all()


def test_a_product_is_not_rounded_before_it_is_added(isa, dtype):
    """FMA, where the instruction set has it: (1 + e)^2 - 1 keeps e^2, far below the last digit."""
    e = 2.0**-13 if dtype == "float32" else 2.0**-28
    exact = 2 * e + (0 if isa == "scalar" else e * e)
    width = kernels.get_panel_width(dtype)
    a = np.array([[-1, 1 + e]] * 7, dtype)
    b = np.array([[1] * width, [1 + e] * width], dtype)
    one, zero = np.ones(1, dtype), np.empty((0, 1), dtype)
    for rows in range(1, 8):
        c = np.zeros((rows, width), dtype)
        probes.multiply_rows(a, np.arange(rows), 0, 2, b, c)
        assert (c == exact).all()
        probes.multiply_batch(np.ascontiguousarray(a.T), [0, 1], 0, b, c, 1.0, 0.0)
        assert (c == exact).all()
    probes.multiply_row(a[0], 2, b, c[0], None, False)
    assert (c[0] == exact).all()
    row = fastnn.SGD(1 + e).list_coefficients(1, 1 + e)[0]
    probes.update_parameters("sgd", one, np.array([1 + e], dtype), zero, row)
    assert one[0] == -exact


def test_multiply_batch(isa, dtype, rng):
    for rows, cols, depth in list_cases(dtype):
        a, order, b = make_operands(rng, depth, cols, depth, dtype)
        a = rng.standard_normal((depth + 2, rows + 3)).astype(dtype)
        c = Guarded(np.full((rows, cols), np.nan, dtype))  # beta = 0: not read
        probes.multiply_batch(a, order, 1, b, c.view, 1.0, 0.0)
        left, right = a[order, 1 : 1 + rows].T, b[:, :cols]
        ratio = count_ratio(c.view, exact_product(left, right), left, right)
        assert ratio < 16, (rows, cols, depth)
        c.check()


def test_finish_of_multiply_rows(isa, dtype, rng):
    """Accumulate, bias, ReLU and gate, in this order and every combination."""
    eps = np.finfo(dtype).eps
    for number in range(16):
        accumulate, with_bias, relu, with_gate = (bool(number >> bit & 1) for bit in range(4))
        for cols in {1, kernels.get_panel_width(dtype) - 1, kernels.get_panel_width(dtype)}:
            a, order, b = make_operands(rng, 9, cols, 16, dtype)
            start = rng.standard_normal((9, cols)).astype(dtype)
            bias = rng.standard_normal(cols).astype(dtype) if with_bias else None
            gate = Guarded(rng.integers(-1, 2, (9, cols)).astype(dtype)) if with_gate else None
            product, c = np.empty_like(start), Guarded(start)
            probes.multiply_rows(a, order, 2, 16, b, product)
            probes.multiply_rows(
                a,
                order,
                2,
                16,
                b,
                c.view,
                accumulate=accumulate,
                bias=bias,
                relu=relu,
                gate=gate.view if with_gate else None,
            )
            expected = product + start if accumulate else product
            expected = expected + bias if with_bias else expected
            expected = np.maximum(expected, 0) if relu else expected
            expected = np.where(gate.view > 0, expected, 0) if with_gate else expected
            np.testing.assert_allclose(c.view, expected, rtol=eps, atol=0)
            c.check()


def test_finish_of_multiply_rows_keeps_nan(isa, dtype, rng):
    a, order, b = make_operands(rng, 3, 2, 4, dtype)
    a[order[1]] = np.nan
    c = np.zeros((3, 2), dtype)
    probes.multiply_rows(a, order, 0, 4, b, c, relu=True)
    assert np.isnan(c).any(axis=1).tolist() == [False, True, False]


def test_finish_of_multiply_batch(isa, dtype, rng):
    eps = np.finfo(dtype).eps
    for alpha, beta in [(1.0, 0.0), (-0.3, 0.0), (-0.3, 1.0), (0.5, -2.0)]:
        for cols in {1, kernels.get_panel_width(dtype) - 1, kernels.get_panel_width(dtype)}:
            a, order, b = make_operands(rng, 9, cols, 9, dtype)
            start = rng.standard_normal((9, cols)).astype(dtype)
            product, c = np.empty_like(start), Guarded(start)
            probes.multiply_batch(a, order, 2, b, product, 1.0, 0.0)
            probes.multiply_batch(a, order, 2, b, c.view, alpha, beta)
            expected = alpha * product.astype(float) + beta * start.astype(float)
            room = 2 * eps * (np.abs(alpha * product) + np.abs(beta * start))
            assert (np.abs(c.view - expected) <= room).all()
            c.check()


def test_fused_update_gives_the_bits_of_the_optimizer(isa, dtype, rng):
    """w - rate * dW inside the tile, and dW first and then the optimizer: the same numbers."""
    cols = kernels.get_panel_width(dtype)
    a, order, b = make_operands(rng, 40, cols, 40, dtype)
    a = rng.standard_normal((42, 13)).astype(dtype)
    w = rng.standard_normal((11, cols)).astype(dtype)
    gradient, apart = np.empty_like(w), w.copy()
    probes.multiply_batch(a, order, 1, b, gradient, 1.0, 0.0)
    decayed = fastnn.SGD(0.3, weight_decay=0.1)
    (row,) = decayed.list_coefficients(1, 0.3)
    none = np.empty((0, apart.size), dtype)
    probes.update_parameters("sgd", apart.ravel(), gradient.ravel(), none, row)
    probes.multiply_batch(a, order, 1, b, w, -0.3, row[1])
    assert common.same_bits(w, apart)


@pytest.mark.parametrize("by", ["rows", "batch"])
def test_elements_do_not_depend_on_the_tile(isa, dtype, by, rng):
    """Each element is one chain over the depth: the same bits in any block, or all alone."""
    widest = kernels.get_panel_width(dtype)
    rows, depth = 23, 50
    a, order, b = make_operands(rng, max(rows, depth), widest, max(rows, depth), dtype)

    def multiply(c, first_row, first_col, panel):
        if by == "rows":
            probes.multiply_rows(a, order[first_row : first_row + len(c)], 1, depth, panel, c)
        else:
            probes.multiply_batch(a, order[:depth], first_row, panel, c, 1.0, 0.0)

    whole = np.empty((rows, widest), dtype)
    multiply(whole, 0, 0, b)
    padded = np.concatenate([b, np.zeros((len(b), widest), dtype)], axis=1)
    for row in [0, 5, rows - 1]:
        for col in [0, 1, widest - 1]:
            alone = np.empty((1, 1), dtype)
            multiply(alone, row, col, padded[:, col:])
            assert alone[0, 0] == whole[row, col]
    for height in [1, 2, 3, 4, 5, 6, 7, 13]:
        block = np.empty((height, widest), dtype)
        multiply(block, 4, 0, b)
        assert common.same_bits(block, whole[4 : 4 + height])


@pytest.mark.parametrize("by", ["rows", "batch"])
def test_depth_is_summed_in_ascending_order(dtype, by, rng):
    """On the scalar path a NumPy loop gives the same bits."""
    before = kernels.get_isa()
    kernels.select_isa("scalar")
    try:
        a, order, b = make_operands(rng, 40, 2, 40, dtype)
        c = np.empty((40, 2), dtype)
        if by == "rows":
            probes.multiply_rows(a, order, 0, 40, b, c)
            left = a[order, :40]
        else:
            probes.multiply_batch(a, order, 0, b, c, 1.0, 0.0)
            left = a[order, :40].T
        expected = np.zeros_like(c)
        for p in range(40):
            expected = expected + left[:, p : p + 1] * b[p, :2]
        assert common.same_bits(c, expected)
    finally:
        kernels.select_isa(before)


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_blas(dtype, transpose_a, transpose_b, rng):
    for i, (m, n) in enumerate((m, n) for m in SIDES for n in SIDES):
        k = DEPTHS[i % len(DEPTHS)]
        left = rng.standard_normal((m, k)).astype(dtype)
        right = rng.standard_normal((k, n)).astype(dtype)
        start = rng.standard_normal((m, n)).astype(dtype)
        a = Guarded(left.T if transpose_a else left).view
        b = Guarded(right.T if transpose_b else right).view
        exact = exact_product(left, right)
        c = Guarded(np.full((m, n), np.nan, dtype))
        probes.multiply_matrices(transpose_a, transpose_b, 1.0, a, b, 0.0, c.view)
        assert count_ratio(c.view, exact, left, right) < 16, (m, n, k)
        c.check()
        c.view[...] = start
        probes.multiply_matrices(transpose_a, transpose_b, -0.5, a, b, 2.0, c.view)
        scale = np.finfo(dtype).eps * (np.abs(left) @ np.abs(right) + np.abs(start))
        assert (np.abs(c.view - (2.0 * start - 0.5 * exact)) < 16 * scale).all(), (m, n, k)
        c.check()
