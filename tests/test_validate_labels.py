"""Labels (F05 of the fault list), targets and settings."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn._labels import (
    as_classes,
    as_targets,
    check_probability_rows,
    encode_labels,
    is_label_vector,
)
from fastnn._validate import check_choice, check_int, check_number

# ---- labels


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
    with pytest.raises(ValueError, match="classes has 2 2 times"):
        encode_labels([1], np.array([2, 1, 2]))


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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_targets(dtype):
    got = as_targets([1, 2, 3], 3, 1, dtype)
    assert got.tolist() == [[1], [2], [3]]
    assert got.dtype == dtype
    assert got.flags.c_contiguous
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
