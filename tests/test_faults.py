"""Faults F01 to F05 of what users hand in: the error that the table asks for, nothing changed."""

import common
import numpy as np
import pytest
from test_network import LABELS, VALUES, X, make_classifier, make_regressor

import fastnn

NAN, INF = float("nan"), float("inf")
ONE_HOT = np.eye(3)[LABELS]


def with_entry(array, value, row=4, column=1):
    """A copy with one entry changed."""
    changed = np.array(array, dtype=np.result_type(array, type(value)))
    changed[(row, column)[: changed.ndim]] = value
    return changed


# (what is wrong, the argument, error, message)
BAD_X = {
    "F01": [
        ("nan", with_entry(X, NAN), ValueError, "X contains NaN at row 4, column 1"),
        ("inf", with_entry(X, -INF), ValueError, "X contains -inf at row 4, column 1"),
        ("over", with_entry(X, 1e300), ValueError, r"X contains 1e\+300 at row 4, column 1"),
    ],
    "F02": [
        ("no rows", X[:0], ValueError, r"X has shape \(0, 4\).*at least 1"),
        ("no features", X[:, :0], ValueError, r"X has shape \(30, 0\).*at least 1"),
    ],
    "F03": [
        ("narrow", X[:, :3], ValueError, "X has 3 features, model expects 4"),
        ("wide", np.zeros((30, 5)), ValueError, "X has 5 features, model expects 4"),
        ("vector", X[:, 0], ValueError, r"X has shape \(30,\).*two dimensions"),
        ("cube", X[None], ValueError, r"X has shape \(1, 30, 4\).*two dimensions"),
        ("number", 1.0, ValueError, r"X has shape \(\).*two dimensions"),
        ("ragged", [[1.0, 2, 3, 4], [5.0]], ValueError, "X is not rectangular"),
    ],
    "F04": [
        ("object", np.full((30, 4), None), TypeError, "X has dtype object"),
        ("complex", X.astype(complex), TypeError, "X has dtype complex128"),
        ("strings", X.astype(str), TypeError, "X has dtype <U"),
        ("none", None, TypeError, "X has dtype object"),
    ],
}
BAD_LABELS = {
    "F01": [("nan", with_entry(LABELS, NAN), ValueError, "y contains NaN at row 4")],
    "F02": [("no rows", LABELS[:0], ValueError, r"y has shape \(0,\).*at least 1")],
    "F03": [
        ("short", LABELS[:7], ValueError, "y has 7 rows, X has 30"),
        ("long", np.tile(LABELS, 2), ValueError, "y has 60 rows, X has 30"),
        ("cube", LABELS[None, None], ValueError, "y has shape"),
    ],
    "F04": [("complex", LABELS.astype(complex), TypeError, "y has dtype complex128")],
    "F05": [
        ("negative", with_entry(LABELS, -1), ValueError, "y contains -1 at row 4.*0..2"),
        ("unseen", with_entry(LABELS, 3), ValueError, "y contains 3 at row 4.*0..2"),
        ("huge", with_entry(LABELS, 2**40), ValueError, "y contains 1099511627776 at row 4.*0..2"),
        ("fraction", with_entry(LABELS, 0.5), ValueError, "y contains 0.5 at row 4.*whole numbers"),
        ("strings", np.array(["a", "b", "c"])[LABELS], ValueError, "y contains 'a' at row 0.*0..2"),
        ("missing", [None] * 30, ValueError, "y contains None at row 0"),
    ],
}
BAD_PROBABILITIES = {
    "F01": [("nan", with_entry(ONE_HOT, NAN), ValueError, "y contains NaN at row 4, column 1")],
    "F03": [("width", np.eye(4)[LABELS], ValueError, r"y has shape \(30, 4\).*\(30, 3\)")],
    "F05": [
        ("sum", with_entry(ONE_HOT, 0.5), ValueError, "y sums to 0.5 in row 4"),
        ("negative", with_entry(ONE_HOT, -1.0), ValueError, "y contains -1.0 at row 4, column 1"),
    ],
}
BAD_VALUES = {
    "F01": [
        ("nan", with_entry(VALUES, NAN), ValueError, "y contains NaN at row 4, column 1"),
        ("inf", with_entry(VALUES, INF), ValueError, "y contains inf at row 4, column 1"),
    ],
    "F03": [
        ("width", VALUES[:, :1], ValueError, r"y has shape \(30, 1\).*\(30, 2\)"),
        ("length", VALUES[:8], ValueError, "y has 8 rows, X has 30"),
    ],
    "F04": [
        ("strings", VALUES.astype(str), TypeError, "y has dtype <U"),
        ("complex", VALUES.astype(complex), TypeError, "y has dtype complex128"),
    ],
}
NETWORKS = [(make_classifier, LABELS), (make_regressor, VALUES)]


def take_state(net):
    """All that an error must leave alone, the numbers to the bit."""
    built = net.n_features is not None
    return (
        net.n_features,
        net.parameter_vector.tobytes() if built else None,
        net.gradient_vector.tobytes() if built else None,
        None if net.classes is None else net.classes.tolist(),
        None if net.history is None else repr(net.history.epochs),
        net.seed,
    )


def make_trained(make, targets):
    net = make()
    net.fit(X, targets, epochs=1)
    net.forward(X, targets)
    net.backward()
    return net


def check_refused(net, twin, targets, calls, error, message):
    """Each call raises and changes nothing; afterwards the network trains as its twin does."""
    for call in calls:
        before = take_state(net)
        with pytest.raises(error, match=message):
            call()
        assert take_state(net) == before
    net.fit(X, targets, epochs=2)
    twin.fit(X, targets, epochs=2)
    assert common.same_bits(net.parameter_vector, twin.parameter_vector)


def check_bad_X(name, bad, error, message):
    for make, targets in NETWORKS:
        check_network_with_bad_X(make, targets, name, bad, error, message)


def check_network_with_bad_X(make, targets, name, bad, error, message):
    net, twin = make_trained(make, targets), make_trained(make, targets)
    training = [
        lambda: net.fit(bad, targets),
        lambda: net.forward(bad),
        lambda: net.forward(bad, targets),
    ]
    others = [lambda: net.predict(bad), lambda: net.evaluate(bad, targets)]
    if make is make_classifier:
        others.append(lambda: net.predict_proba(bad))
    check_refused(net, twin, targets, training + others, error, message)
    if name not in ("narrow", "wide"):  # a network that is not built takes any width
        net, twin = make(None), make(None)
        check_refused(net, twin, targets, training, error, message)
    before = take_state(net)
    with pytest.raises(error, match="validation " + message):
        net.fit(X, targets, validation=(bad, targets))
    assert take_state(net) == before


def check_bad_y(make, targets, bad, error, message):
    net, twin = make_trained(make, targets), make_trained(make, targets)
    calls = [
        lambda: net.fit(X, bad),
        lambda: net.forward(X, bad),
        lambda: net.evaluate(X, bad),
        lambda: net.fit(X, targets, validation=(X, bad)),
    ]
    check_refused(net, twin, targets, calls, error, message)
    net, twin = make(None), make(None)
    if "'a'" not in message:  # a first fit takes strings as they are
        check_refused(net, twin, targets, calls[:2], error, message)


def list_bad_y(fault):
    tables = [(BAD_LABELS, *NETWORKS[0]), (BAD_PROBABILITIES, *NETWORKS[0])]
    return [
        pytest.param(make, targets, *case, id=f"{np.ndim(case[0])}d {name}")
        for table, make, targets in [*tables, (BAD_VALUES, *NETWORKS[1])]
        for name, *case in table.get(fault, [])
    ]


def list_bad_X(fault):
    return [pytest.param(*case, id=case[0]) for case in BAD_X[fault]]


@pytest.mark.parametrize(("name", "bad", "error", "message"), list_bad_X("F01"))
def test_F01_not_finite_X(name, bad, error, message):
    check_bad_X(name, bad, error, message)


@pytest.mark.parametrize(("make", "targets", "bad", "error", "message"), list_bad_y("F01"))
def test_F01_not_finite_y(make, targets, bad, error, message):
    check_bad_y(make, targets, bad, error, message)


@pytest.mark.parametrize(("name", "bad", "error", "message"), list_bad_X("F02"))
def test_F02_empty_X(name, bad, error, message):
    check_bad_X(name, bad, error, message)


@pytest.mark.parametrize(("make", "targets", "bad", "error", "message"), list_bad_y("F02"))
def test_F02_empty_y(make, targets, bad, error, message):
    check_bad_y(make, targets, bad, error, message)


@pytest.mark.parametrize(("name", "bad", "error", "message"), list_bad_X("F03"))
def test_F03_shape_of_X(name, bad, error, message):
    check_bad_X(name, bad, error, message)


@pytest.mark.parametrize(("make", "targets", "bad", "error", "message"), list_bad_y("F03"))
def test_F03_shape_of_y(make, targets, bad, error, message):
    check_bad_y(make, targets, bad, error, message)


@pytest.mark.parametrize(("name", "bad", "error", "message"), list_bad_X("F04"))
def test_F04_type_of_X(name, bad, error, message):
    check_bad_X(name, bad, error, message)


@pytest.mark.parametrize(("make", "targets", "bad", "error", "message"), list_bad_y("F04"))
def test_F04_type_of_y(make, targets, bad, error, message):
    check_bad_y(make, targets, bad, error, message)


@pytest.mark.parametrize(("make", "targets", "bad", "error", "message"), list_bad_y("F05"))
def test_F05_labels(make, targets, bad, error, message):
    check_bad_y(make, targets, bad, error, message)


def test_F04_integers_convert_and_floats_keep_their_numbers():
    whole = np.arange(120).reshape(30, 4) % 7
    for dtype in ["float32", "float64"]:
        net = make_classifier(dtype=dtype)
        expected = net.predict_proba(whole.astype(dtype))
        for kind in [np.int8, np.uint16, np.int64, np.float16, np.float32, np.float64]:
            assert common.same_bits(net.predict_proba(whole.astype(kind)), expected)
        assert common.same_bits(net.predict_proba(whole.tolist()), expected)
    wide, narrow = make_classifier(dtype="float64"), make_classifier()
    assert wide.predict_proba(X).dtype == np.float64
    assert narrow.predict_proba(X).dtype == np.float32
    assert common.same_bits(narrow.predict_proba(X), narrow.predict_proba(X.astype("float32")))


def test_F05_too_many_classes_for_the_outputs():
    net, twin = make_classifier(None), make_classifier(None)
    names = np.array(list("abcd"))[np.arange(30) % 4]
    with pytest.raises(ValueError, match=r"y has 4 classes.*3 units.*Dense\(4\)"):
        net.fit(X, names)
    assert net.n_features is None
    net.fit(X, LABELS, epochs=1)
    twin.fit(X, LABELS, epochs=1)
    assert common.same_bits(net.parameter_vector, twin.parameter_vector)


def test_F05_a_later_fit_keeps_the_classes_of_the_first():
    net = make_classifier()
    net.fit(X, np.array(["a", "b", "c"])[LABELS], epochs=1)
    before = take_state(net)
    with pytest.raises(ValueError, match="y contains 'd' at row 2; expected one of 'a', 'b', 'c'"):
        net.fit(X, np.array(["a", "b", "d"])[LABELS])
    assert take_state(net) == before


# --- settings ------------------------------------------------------------------------------------

BAD_OPTIONS = [
    ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
    ({"epochs": 1.5}, TypeError, "epochs must be an integer, got 1.5"),
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
    ({"batch_size": "32"}, TypeError, "batch_size must be an integer, got '32'"),
    ({"optimizer": "sgd"}, TypeError, "optimizer is 'sgd'; expected one such as fastnn.SGD"),
    ({"validation": X}, ValueError, r"validation must be a pair \(X, y\), got ndarray"),
    ({"validation": (X,)}, ValueError, r"validation must be a pair \(X, y\), got tuple"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD_OPTIONS)
def test_bad_options_of_fit(options, error, message):
    for net, twin in [
        (make_trained(*NETWORKS[0]), make_trained(*NETWORKS[0])),
        (make_classifier(None), make_classifier(None)),
    ]:
        check_refused(net, twin, LABELS, [lambda net=net: net.fit(X, LABELS, **options)], error,
                      message)  # fmt: skip


BAD_SETTINGS = [
    (lambda: fastnn.Network([]), ValueError, "layers is empty; expected at least one Dense"),
    (lambda: fastnn.Network([3]), TypeError, r"layers\[0\] is 3; expected one of"),
    (lambda: fastnn.Network([fastnn.Dense(3)], "mea"), ValueError, "loss must be one of .*'mae'"),
    (lambda: fastnn.Network([fastnn.Dense(3)], fastnn.MSE), TypeError, "loss is .*MSE.*; expected"),
    (lambda: fastnn.Network([fastnn.Dense(3, "relu")]), ValueError,
     "last layer's activation is 'relu'.*raw scores: use 'identity' or 'softmax'"),
    (lambda: make_classifier(dtype="float16"), ValueError, "dtype must be one of .*'float32'"),
    (lambda: make_classifier(0), ValueError, "n_features must be at least 1, got 0"),
    (lambda: make_classifier(seed=-1), ValueError, "seed must be in 0..18446744073709551615"),
    (lambda: make_classifier(seed=2**64), ValueError, "seed must be in 0..18446744073709551615"),
    (lambda: make_classifier(n_threads=0), ValueError, "n_threads must be in 1..256, got 0"),
    (lambda: make_classifier(n_threads=1.0), TypeError, "n_threads must be an integer"),
    (lambda: make_classifier(classes=[1, 2]), ValueError, r"classes has 2 entries.*3\s+units"),
    (lambda: make_classifier(classes=[1, 2, 2]), ValueError, "classes has 2 2 times"),
    (lambda: fastnn.Network([fastnn.Dense(3)], "mse", classes=[1, 2, 3]), ValueError,
     "classes were given, but the loss 'mse' takes values"),
    (lambda: fastnn.Dense(0), ValueError, "units must be at least 1, got 0"),
    (lambda: fastnn.Dense(3, "rleu"), ValueError, "activation must be one of 'relu', .*'rleu'"),
    (lambda: fastnn.SGD(0), ValueError, "learning_rate must be greater than 0, got 0"),
    (lambda: fastnn.SGD(NAN), ValueError, "learning_rate must be a finite number, got nan"),
    (lambda: fastnn.SGD("fast"), TypeError, "learning_rate must be a number, got 'fast'"),
    (lambda: next(fastnn.batches(X, LABELS[:3], 2)), ValueError, "y has 3 rows, X has 30"),
    (lambda: next(fastnn.batches(X, LABELS, 0)), ValueError, "batch_size must be at least 1"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "message"), BAD_SETTINGS)
def test_bad_settings(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_layer_belongs_to_one_network():
    layer = fastnn.Dense(3)
    with pytest.raises(ValueError, match=r"layers\[1\] is already part of a network"):
        fastnn.Network([layer, layer])
    fastnn.Network([layer], n_features=2)
    with pytest.raises(ValueError, match=r"layers\[0\] is already part of a network"):
        fastnn.Network([layer], n_features=2)


def test_backward_needs_a_forward_pass():
    net = make_classifier()
    with pytest.raises(RuntimeError, match="backward needs a forward pass with targets"):
        net.backward()
    net.forward(X)
    with pytest.raises(RuntimeError, match="backward needs a forward pass with targets"):
        net.backward()
    net.fit(X, LABELS, epochs=1)
    with pytest.raises(RuntimeError, match="backward needs a forward pass with targets"):
        net.backward()
