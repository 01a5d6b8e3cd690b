"""What users hand in: F01 to F06 of the fault list, labels, targets and settings."""

import math
import re
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastnn._validate import (
    as_classes,
    as_matrix,
    as_targets,
    check_choice,
    check_int,
    check_number,
    check_probability_rows,
    encode_labels,
    is_label_vector,
    nonfinite_position,
)

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


# ---- F05 labels


def test_labels_are_encoded_in_sorted_order_without_classes():
    labels, classes = encode_labels(["Madrid", "Barcelona", "Milan", "Madrid"])
    assert labels.dtype == np.int32
    assert labels.tolist() == [1, 0, 2, 1]
    assert classes.tolist() == ["Barcelona", "Madrid", "Milan"]


def test_labels_follow_the_order_of_classes():
    order = ["Madrid", "Barcelona", "Milan"]
    labels, classes = encode_labels(["Milan", "Madrid"], order)
    assert labels.tolist() == [2, 0]
    assert classes[labels].tolist() == ["Milan", "Madrid"]


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([-1, 1, -1], [-1, 1]),
        ([True, False], [False, True]),
        (np.array([2.0, 0.0]), [0, 2]),
        (np.array([[5], [3]]), [3, 5]),
        (np.array([3, 250], np.uint8), [3, 250]),
        (np.array([1, 0, 1], ">i2"), [0, 1]),
        (np.array(["b", "a"], dtype=object), ["a", "b"]),
        (np.array([2, 1], dtype=object), [1, 2]),
        (np.arange(6)[::-2], [1, 3, 5]),
    ],
)
def test_labels_of_every_kind(y, classes):
    labels, found = encode_labels(y)
    assert found.tolist() == classes
    assert labels.flags.c_contiguous
    np.testing.assert_array_equal(found[labels], np.ravel(y))


@given(
    st.one_of(
        st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1),
        st.lists(st.text("abÿ€", max_size=4), min_size=1),
        st.lists(st.booleans(), min_size=1),
    ),
    st.randoms(),
)
def test_labels_round_trip_through_any_order_of_classes(y, random):
    order = sorted(set(y))
    random.shuffle(order)
    for given_order in (order, as_classes(order)):
        labels, classes = encode_labels(y, given_order, len(y))
        assert classes.tolist() == order
        assert [order[i] for i in labels] == y


@pytest.mark.parametrize(
    ("y", "found"),
    [([0, 1, 3], "3 at row 2"), ([-1, 0], "-1 at row 0"), ([0, 2**40], f"{2**40} at row 1")],
)
def test_F05_labels_out_of_range(y, found):
    expected = f"y contains {found}; expected integers 0..2"
    with pytest.raises(ValueError, match=re.escape(expected)):
        encode_labels(y, [0, 1, 2])


@pytest.mark.parametrize("y", [["a", "zebra"], ["a", "b"], [0, 1], np.array([0.0])])
def test_F05_unseen_labels_are_listed(y):
    with pytest.raises(ValueError, match=r"at row [01]; expected one of 'c', 'a'"):
        encode_labels(y, ["c", "a"])


def test_F05_a_long_list_of_classes_is_cut():
    with pytest.raises(ValueError, match=r"'00', .* … \(40 in all\)"):
        encode_labels(["x"], [f"{i:02}" for i in range(40)])


def test_F05_fractional_labels():
    with pytest.raises(ValueError, match=r"y contains 1.5 at row 1; expected whole numbers"):
        encode_labels([1.0, 1.5])
    with pytest.raises(ValueError, match=r"y contains 0.5 at row 0"):
        encode_labels(np.array([0.5, 1], dtype=object).astype(np.float32), [0, 1])


@pytest.mark.parametrize(
    "y", [np.array([2**63], np.uint64), [1e19], np.array([10**30], dtype=object)]
)
def test_F05_labels_beyond_64_bits(y):
    with pytest.raises(ValueError, match=r"y contains"):
        encode_labels(y)


@pytest.mark.parametrize(
    "y", [["a", 1], [1, "a"], np.array(["a", 2.0], dtype=object), [["a"], [1]]]
)
def test_F05_mixed_types(y):
    with pytest.raises(TypeError, match=r"y mixes types: .* at row 0, .* at row 1"):
        encode_labels(y)


@pytest.mark.parametrize(
    "y", [[b"a", b"b"], np.array([b"a"]), [1j], np.array(["2020"], "M8[D]"), [object()]]
)
def test_F05_what_cannot_be_a_label(y):
    with pytest.raises(TypeError, match="expected class labels: integers, bools or strings"):
        encode_labels(y)


def test_classes_must_be_unique():
    with pytest.raises(ValueError, match="classes has 'b' 2 times; expected each class once"):
        as_classes(["b", "a", "b"])
    with pytest.raises(ValueError, match="classes has 1 3 times"):
        encode_labels([1], [1.0, 1, True])


def test_classes_keep_their_order_and_are_read_only():
    classes = as_classes(np.array([3, 1, 2], np.uint8))
    assert classes.tolist() == [3, 1, 2]
    assert classes.dtype == np.int64
    assert not classes.flags.writeable


def test_labels_are_told_from_target_rows():
    assert is_label_vector([0, 1])
    assert is_label_vector(np.zeros((4, 1)))
    assert is_label_vector(["a", "b"])
    assert not is_label_vector([[0, 1], [1, 0]])
    assert not is_label_vector(np.zeros((4, 3)))


# ---- targets


@pytest.mark.parametrize("dtype", DTYPES)
def test_targets(dtype):
    got = as_targets([1, 2, 3], 3, 1, dtype)
    assert got.tolist() == [[1], [2], [3]]
    check_usable(got, dtype)
    assert as_targets([[1, 2], [3, 4]], 2, 2, dtype).tolist() == [[1, 2], [3, 4]]


def test_probability_rows():
    check_probability_rows(np.eye(3))
    check_probability_rows(np.array([[0.1, 0.2, 0.7], [1 / 3] * 3], np.float32))
    check_probability_rows(np.array([[0.5, 0.5009]]))


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([[1, 0], [1.5, -0.5]], "1.5 at row 1, column 0; expected probabilities in 0..1"),
        ([[1, 0], [1.0005, -0.0005]], "-0.0005 at row 1, column 1"),
        ([[1, 0], [0.5, 0.4]], "y sums to 0.9 in row 1"),
        ([[1, 1]], "y sums to 2 in row 0"),
    ],
)
def test_rows_that_are_no_probabilities(rows, found):
    with pytest.raises(ValueError, match=re.escape(found)):
        check_probability_rows(np.array(rows, float))


# ---- settings


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.array(3)])
def test_check_int_takes_integers(value):
    number = check_int("epochs", value, 1)
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize("value", [True, np.True_, 3.0, "3", None, [3], Fraction(3)])
def test_check_int_rejects_what_is_none(value):
    with pytest.raises(TypeError, match=r"epochs must be an integer, got .* \(\w+\)"):
        check_int("epochs", value, 1)


def test_check_int_bounds():
    assert check_int("n", 1, 1, 2) == 1
    assert check_int("n", 2, 1, 2) == 2
    with pytest.raises(ValueError, match=r"n must be at least 1, got 0"):
        check_int("n", 0, 1)
    with pytest.raises(ValueError, match=r"n must be in 1..2, got 3"):
        check_int("n", 3, 1, 2)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), Fraction(1, 2)])
def test_check_number_takes_numbers(value):
    number = check_number("rate", value)
    assert number == 0.5
    assert type(number) is float


@pytest.mark.parametrize("value", [True, np.False_, "0.5", None, 1j, [0.5]])
def test_check_number_rejects_what_is_none(value):
    with pytest.raises(TypeError, match=r"rate must be a number, got"):
        check_number("rate", value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_check_number_must_be_finite(value):
    with pytest.raises(ValueError, match="rate must be a finite number"):
        check_number("rate", value)


def test_check_number_bounds():
    assert check_number("rate", 0, low=0) == 0
    assert check_number("rate", 1, high=1) == 1
    with pytest.raises(ValueError, match=r"rate must be at least 0, got -1"):
        check_number("rate", -1, low=0)
    with pytest.raises(ValueError, match=r"rate must be greater than 0, got 0"):
        check_number("rate", 0, low=0, low_open=True)
    with pytest.raises(ValueError, match=r"rate must be at least 0 and less than 1, got 1"):
        check_number("rate", 1, low=0, high=1, high_open=True)
    with pytest.raises(ValueError, match=r"rate must be at most 1, got 2"):
        check_number("rate", 2, high=1)


def test_check_choice_lists_the_nearest_first():
    known = ["identity", "relu", "sigmoid", "tanh"]
    assert check_choice("activation", "tanh", known) == "tanh"
    expected = "activation must be one of 'sigmoid', 'identity', 'relu', 'tanh'; got 'Sigmoidal'"
    with pytest.raises(ValueError, match=re.escape(expected)):
        check_choice("activation", "Sigmoidal", known)
    for value in (None, 3, np.array(["relu"])):
        with pytest.raises(ValueError, match="activation must be one of"):
            check_choice("activation", value, known)


def test_validation_does_not_import_scipy_sparse():
    code = (
        "import sys, numpy as np, fastnn._validate as v; had = 'scipy.sparse' in sys.modules;"
        "v.as_matrix(np.ones((2, 2))); assert ('scipy.sparse' in sys.modules) == had"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
