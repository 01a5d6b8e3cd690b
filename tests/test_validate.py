"""What users hand in as X: F01 to F04 and F06 of the fault list."""

import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastnn._labels import as_targets, encode_labels
from fastnn._validate import as_matrix, nonfinite_position

DTYPES = ["float32", "float64"]


def grid(rows=5, columns=4, dtype="float32"):
    return np.random.default_rng(0).normal(size=(rows, columns)).astype(dtype)


# ---- F01 NaN and infinity


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "-inf")])
@pytest.mark.parametrize("place", [(0, 0), (2, 1), (4, 3)])
def test_F01_nonfinite_X_is_named_by_row_and_column(dtype, value, word, place):
    X = grid(dtype=dtype)
    X[place] = value
    expected = f"X contains {word} at row {place[0]}, column {place[1]};"
    with pytest.raises(ValueError, match=re.escape(expected)):
        as_matrix(X, dtype=dtype)


def test_F01_the_first_of_several_is_named_in_the_callers_order():
    X = np.asfortranarray(grid())
    X[3, 0] = np.nan
    X[1, 2] = np.inf
    with pytest.raises(ValueError, match="inf at row 1, column 2"):
        as_matrix(X)


def test_F01_targets_and_labels():
    with pytest.raises(ValueError, match="y contains NaN at row 1, column 0"):
        as_targets([[0.0], [np.nan]], 2, 1)
    with pytest.raises(ValueError, match="y contains NaN at row 2; expected a class label"):
        encode_labels([0.0, 1.0, np.nan])
    with pytest.raises(ValueError, match="y contains inf at row 0"):
        encode_labels(np.array([np.inf, 1.0]))
    with pytest.raises(ValueError, match="y contains NaN at row 1"):
        encode_labels(np.array(["a", np.nan, "b"], dtype=object))
    with pytest.raises(ValueError, match="y contains None at row 1"):
        encode_labels(["a", None])


def test_F01_a_value_that_does_not_fit_float32_is_not_called_infinite():
    X = np.ones((3, 2))
    X[1, 1] = 1e39
    expected = "X contains 1e+39 at row 1, column 1, which does not fit float32"
    with pytest.raises(ValueError, match=re.escape(expected)):
        as_matrix(X)
    assert as_matrix(X, dtype="float64")[1, 1] == 1e39


def test_F01_the_largest_float32_fits():
    largest = float(np.finfo(np.float32).max)
    assert as_matrix([[largest, -largest]])[0, 0] == np.float32(largest)


def test_nonfinite_position_in_any_number_of_dimensions():
    array = np.zeros((2, 3, 4), np.float32)
    assert nonfinite_position(array) is None
    array[1, 2, 3] = np.nan
    assert nonfinite_position(array) == (1, 2, 3)


# ---- F02 nothing there


@pytest.mark.parametrize(
    ("shape", "found"), [((0, 4), "0 rows; expected at least 1"), ((4, 0), "0 features")]
)
def test_F02_no_rows_or_no_features(shape, found):
    with pytest.raises(ValueError, match=re.escape(f"X has shape {shape}, {found}")):
        as_matrix(np.empty(shape, np.float32))


def test_F02_min_rows():
    with pytest.raises(ValueError, match="1 rows; expected at least 2"):
        as_matrix([[1.0]], min_rows=2)


def test_F02_no_labels():
    with pytest.raises(ValueError, match="at least 1 label"):
        encode_labels([])


# ---- F03 shapes


def test_F03_wrong_width():
    with pytest.raises(ValueError, match="X has 3 features, model expects 4"):
        as_matrix(grid(columns=3), n_features=4)
    with pytest.raises(ValueError, match="X has 5 features, model expects 4"):
        as_matrix(grid(columns=5), n_features=4)
    with pytest.raises(ValueError, match="Xv has 1 feature, model expects 4"):
        as_matrix(grid(columns=1), "Xv", n_features=4)


def test_F03_one_dimension_says_how_to_reshape():
    with pytest.raises(ValueError, match=r"shape \(4,\).*reshape\(1, -1\) for one row"):
        as_matrix(np.ones(4, np.float32))


@pytest.mark.parametrize("shape", [(), (2, 3, 4)])
def test_F03_other_dimensions(shape):
    with pytest.raises(ValueError, match=r"X has shape .*expected two dimensions"):
        as_matrix(np.ones(shape))


def test_F03_ragged_rows():
    with pytest.raises(ValueError, match="X is not rectangular"):
        as_matrix([[1.0, 2.0], [3.0]])


def test_F03_wrong_length_of_y():
    with pytest.raises(ValueError, match="y has 3 rows, X has 4"):
        encode_labels([0, 1, 2], n_rows=4)
    with pytest.raises(ValueError, match="y has 3 rows, X has 4"):
        as_targets(np.ones((3, 2)), 4, 2)
    with pytest.raises(ValueError, match="y has 5 rows, X has 4"):
        as_targets(np.ones((5, 2)), 4, 2)


def test_F03_labels_of_a_wrong_shape():
    with pytest.raises(ValueError, match=r"y has shape \(2, 2\); expected class labels of shape"):
        encode_labels([[0, 1], [1, 0]])


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 3), (4, 2, 1)])
def test_F03_targets_of_a_wrong_shape(shape):
    with pytest.raises(ValueError, match=re.escape(f"y has shape {shape}; expected (4, 2)")):
        as_targets(np.ones(shape), 4, 2)


# ---- F04 dtypes


@pytest.mark.parametrize(
    ("X", "dtype"),
    [
        (np.array([[1.0, "a"]], dtype=object), "object"),
        (np.array([["1", "2"]]), "<U1"),
        (np.array([[b"1"]]), "|S1"),
        (np.array([[1 + 2j]]), "complex128"),
        (np.array([["2020-01-01"]], dtype="datetime64[D]"), "datetime64[D]"),
        (np.zeros((1, 1), dtype=[("a", "f4")]), "[('a', '<f4')]"),
        (None, "object"),
        ([[10**30]], "object"),
    ],
)
def test_F04_other_dtypes_are_named(X, dtype):
    with pytest.raises(TypeError, match=re.escape(f"X has dtype {dtype}; expected real numbers")):
        as_matrix(X)


def test_F04_object_names_the_first_entry_that_is_no_number():
    X = np.array([[1.0, 2.0], [3.0, "x"]], dtype=object)
    with pytest.raises(TypeError, match="'x' at row 1, column 1"):
        as_matrix(X)
    with pytest.raises(TypeError, match=r"convert it with np\.asarray"):
        as_matrix(np.array([[1.0, 2]], dtype=object))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("source", ["?", "i1", "u1", "i4", "u8", "i8", "f2", "f4", "f8", "g"])
def test_F04_real_numbers_convert(source, dtype):
    X = np.array([[0, 1, 1], [1, 0, 1]], dtype=source)
    got = as_matrix(X, dtype=dtype)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, [[0, 1, 1], [1, 0, 1]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_F04_an_array_that_is_right_is_not_copied(dtype):
    X = grid(dtype=dtype)
    assert as_matrix(X, dtype=dtype) is X
    assert as_matrix(X, dtype=np.dtype(dtype)) is X


def test_F04_conversion_leaves_the_callers_array_alone():
    X = grid(dtype="float64")
    before = X.copy()
    got = as_matrix(X)
    got[...] = 7
    np.testing.assert_array_equal(X, before)


def test_F04_sparse_says_toarray():
    sparse = pytest.importorskip("scipy.sparse")
    for X in (sparse.csr_matrix(np.eye(3)), sparse.coo_array(np.eye(3))):
        with pytest.raises(TypeError, match=r"X is a scipy.sparse .*toarray\(\)"):
            as_matrix(X)
        with pytest.raises(TypeError, match=r"y is a scipy.sparse"):
            encode_labels(X)


def test_F04_masked_entries_are_not_silently_unmasked():
    X = np.ma.masked_array(np.ones((2, 2)), mask=[[0, 1], [0, 0]])
    with pytest.raises(TypeError, match="masked entries"):
        as_matrix(X)
    assert as_matrix(np.ma.masked_array(np.ones((2, 2)))).shape == (2, 2)


class FrameLike:
    """What pandas does for NumPy."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype=dtype)


def test_F04_what_converts_itself_to_an_array_is_taken():
    np.testing.assert_array_equal(as_matrix(FrameLike([[1, 2], [3, 4]])), [[1, 2], [3, 4]])
    assert encode_labels(FrameLike(["b", "a"]))[0].tolist() == [1, 0]


# ---- F06 memory layouts


def unaligned(X):
    raw = np.zeros(X.nbytes + 1, np.uint8)
    view = raw[1:].view(X.dtype).reshape(X.shape)
    view[...] = X
    assert not view.flags.aligned
    return view


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def strided(X):
    wide = np.full((X.shape[0] * 2, X.shape[1] * 3), np.nan, X.dtype)
    wide[::2, ::3] = X
    return wide[::2, ::3]


LAYOUTS = {
    "strided": strided,
    "reversed": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "fortran": np.asfortranarray,
    "unaligned": unaligned,
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "read-only": read_only,
    "matrix": lambda X: X.view(type("Sub", (np.ndarray,), {})),
    "list": lambda X: X.tolist(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("source", DTYPES)
def test_F06_any_layout_gives_the_bits_of_a_contiguous_copy(layout, dtype, source):
    X = grid(7, 5, source)
    got = as_matrix(LAYOUTS[layout](X), dtype=dtype, n_features=5)
    assert got.tobytes() == X.astype(dtype).tobytes()
    check_usable(got, dtype)


def check_usable(array, dtype):
    assert type(array) is np.ndarray
    assert array.dtype == np.dtype(dtype)
    assert array.dtype.isnative
    assert array.flags.c_contiguous
    assert array.flags.aligned


def test_F06_broadcast():
    row = grid(1, 4)
    got = as_matrix(np.broadcast_to(row, (6, 4)))
    assert got.tobytes() == np.tile(row, (6, 1)).tobytes()
    check_usable(got, "float32")


def test_F06_memmap_is_not_copied(tmp_path):
    X = grid(6, 4)
    X.tofile(tmp_path / "X")
    mapped = np.memmap(tmp_path / "X", np.float32, "r", shape=(6, 4))
    got = as_matrix(mapped)
    check_usable(got, "float32")
    assert got.tobytes() == X.tobytes()
    assert np.shares_memory(got, mapped)


def test_F06_input_is_not_written_to():
    for layout in LAYOUTS:
        X = LAYOUTS[layout](grid())
        before = np.array(X)
        as_matrix(X)
        np.testing.assert_array_equal(np.array(X), before)


@given(
    hnp.arrays(
        st.sampled_from(["f4", "f8", ">f4", ">f8"]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.floats(-1e6, 1e6, width=32),
    ),
    st.sampled_from(DTYPES),
    st.tuples(st.sampled_from([1, 2, -1, -2]), st.sampled_from([1, 2, -1, -3])),
    st.booleans(),
)
def test_F06_any_view(X, dtype, steps, transpose):
    view = X[:: steps[0], :: steps[1]]
    view = view.T if transpose else view
    got = as_matrix(view, dtype=dtype)
    check_usable(got, dtype)
    assert got.tobytes() == np.ascontiguousarray(view).astype(dtype).tobytes()


def test_validation_does_not_import_scipy_sparse():
    code = (
        "import sys, numpy as np, fastnn._validate as v; had = 'scipy.sparse' in sys.modules;"
        "v.as_matrix(np.ones((2, 2))); assert ('scipy.sparse' in sys.modules) == had"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
