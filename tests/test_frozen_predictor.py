"""What a frozen network does with one array: which way it takes, what it reads, what it keeps."""

import sys

import numpy as np
import pytest
from common import same_bits

import fastnn
from fastnn import _predictors

N_IN = 5


class Watched:
    """A frozen network, its twin of before, and a list of the ways that a call took."""

    def __init__(self, dtype):
        net = fastnn.Network([fastnn.Dense(3)], n_features=N_IN, dtype=dtype, n_threads=1)
        self.net, self.frozen, self.ways = net, net.freeze(), []
        check, run_many = self.frozen._check_input, self.frozen._predictors.fill
        self.frozen._check_input = lambda *a: self.ways.append("checks") or check(*a)
        self.frozen._predictors.fill = lambda *a: self.ways.append("many") or run_many(*a)

    def take(self, X, *out):
        """Scores of X, which have the network's bits, and the ways that led to them."""
        self.ways.clear()
        scores = self.frozen.forward(X, *out)
        plain = np.ascontiguousarray(X, dtype=self.net.dtype)
        assert same_bits(scores, self.net.layers[0].forward(plain))
        return list(self.ways)


@pytest.fixture
def watched(dtype):
    return Watched(dtype)


def freeze_writing(X):
    X.flags.writeable = False
    return X


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X,
        lambda X: np.repeat(X, 2, axis=0)[::2],
        lambda X: X[::-1].copy()[::-1],
        lambda X: np.hstack([X, X])[:, 1 : 1 + N_IN],
        freeze_writing,
        lambda X: X[:1],
    ],
    ids=["contiguous", "every other row", "reversed rows", "part of each row", "read-only", "row"],
)
def test_rows_that_are_contiguous_are_used_as_they_lie(watched, dtype, rng, change):
    assert watched.take(change(rng.standard_normal((6, N_IN)).astype(dtype))) == []


def leave_gaps(X):
    """Rows an odd number of bytes apart: all but the first unaligned."""
    rows = np.zeros(len(X), [("row", X.dtype, (X.shape[1],)), ("gap", "u1")])
    rows["row"] = X
    return rows["row"]


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X.tolist(),
        lambda X: X.view(type("Own", (np.ndarray,), {})),
        lambda X: X.astype("f8" if X.dtype == "f4" else "f4"),
        lambda X: X.astype(X.dtype.newbyteorder(">")),
        lambda X: abs(X).round().astype(f"i{X.itemsize}"),
        np.asfortranarray,
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        lambda X: np.frombuffer(b"x" + X.tobytes(), "u1")[1:].view(X.dtype).reshape(X.shape),
        leave_gaps,
    ],
    ids=[
        "list", "subclass", "other float", "big endian", "integers", "Fortran",
        "every other column", "unaligned", "gaps",
    ],
)  # fmt: skip
def test_all_other_arrays_are_checked_and_copied(watched, dtype, rng, change):
    assert watched.take(change(rng.standard_normal((6, N_IN)).astype(dtype))) == ["checks"]


@pytest.mark.parametrize("column", range(N_IN))
@pytest.mark.parametrize("row", range(3))
def test_F01_one_NaN_is_found_wherever_it_is(watched, dtype, row, column):
    X = np.ones((3, N_IN), dtype)
    X[row, column] = np.nan
    with pytest.raises(ValueError, match=f"NaN at row {row}, column {column}"):
        watched.frozen.forward(X)


@pytest.mark.parametrize("shape", [(N_IN,), (2, N_IN, 1), (0, N_IN), (2, N_IN + 1), (2, 1)])
def test_F02_F03_other_shapes_are_refused(watched, dtype, shape):
    with pytest.raises(ValueError, match=r"X .*expect"):
        watched.frozen.forward(np.ones(shape, dtype))
    assert watched.ways == ["checks"]


def test_many_rows_are_handed_on(monkeypatch, dtype):
    monkeypatch.setattr(_predictors, "_ROW_COST", 0)
    monkeypatch.setattr(_predictors, "_SMALL_CALL", 8 * N_IN * 3)  # 8 rows
    watched = Watched(dtype)
    assert watched.take(np.ones((8, N_IN), dtype)) == []
    assert watched.take(np.ones((9, N_IN), dtype)) == ["many"]
    out = np.empty((9, 3), dtype)
    assert watched.take(np.ones((9, N_IN), dtype), out) == ["many"]
    assert same_bits(out, watched.net.forward(np.ones((9, N_IN), dtype)))


def test_many_rows_of_a_small_network_are_handed_on(watched, dtype):
    """Beside next to no arithmetic each row has a cost of its own."""
    assert watched.take(np.ones((100, N_IN), dtype)) == []
    assert watched.take(np.ones((2000, N_IN), dtype)) == ["many"]


@pytest.mark.parametrize("n_rows", [2, 500_000])
def test_no_call_keeps_its_arrays(watched, dtype, n_rows):
    X, out = np.ones((n_rows, N_IN), dtype), np.empty((n_rows, 3), dtype)
    integers, wrong = np.ones((n_rows, N_IN), "i4"), np.empty((n_rows, 4), dtype)
    before = [sys.getrefcount(array) for array in (X, out, integers, wrong)]
    for _ in range(3):
        watched.frozen.forward(X, out)
        watched.frozen.forward(integers)
        with pytest.raises(ValueError, match="out is"):
            watched.frozen.forward(X, wrong)
    assert [sys.getrefcount(array) for array in (X, out, integers, wrong)] == before


def unalign(out):
    return np.zeros(out.nbytes + 1, "u1")[1:].view(out.dtype).reshape(out.shape)


@pytest.mark.parametrize(
    "change", [freeze_writing, unalign, lambda out: out.view(type("Own", (np.ndarray,), {}))],
    ids=["read-only", "unaligned", "subclass"],
)  # fmt: skip
def test_an_out_that_cannot_be_filled_is_refused(watched, dtype, change):
    expected = rf"expected a writable, C-contiguous {dtype} array of shape \(2, 3\)"
    with pytest.raises(ValueError, match=expected):
        watched.frozen.forward(np.ones((2, N_IN), dtype), change(np.empty((2, 3), dtype)))


def test_a_long_out_is_not_repeated_in_full():
    with pytest.raises(ValueError, match="out is") as raised:
        Watched("float32").frozen.forward(np.ones((1, N_IN), "f4"), [0.0] * 1000)
    assert len(str(raised.value)) < 250
