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
