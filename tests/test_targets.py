"""Targets of several columns: values, yes and no, and what is one network too few."""

import numpy as np
import pytest
import reference
from common import same_bits

import fastnn
from fastnn._core import kernels, probes

X = np.random.default_rng(3).standard_normal((60, 4))
YES = X[:, :3] + X[:, 1:] > 0.2
VALUE_LOSSES = [name for name in kernels.list_losses() if kernels.get_targets(name) == "values"]
MULTILABEL = {
    "binary_cross_entropy": fastnn.BinaryCrossEntropy,
    "hinge": lambda: fastnn.Hinge(multilabel=True),
    "squared_hinge": lambda: fastnn.SquaredHinge(multilabel=True),
}
# what may mean no and yes
PAIRS = {
    "bits": (YES.astype(int), [0, 1]),
    "signs": (2 * YES - 1, [-1, 1]),
    "bools": (YES, [False, True]),
    "strings": (np.where(YES, "yes", "no"), ["no", "yes"]),
    "objects": (np.where(YES, "yes", "no").astype(object), ["no", "yes"]),
    "floats": (YES.astype("float32"), [0, 1]),
}


def train(loss, y, n_outputs=3, epochs=40, **options):
    net = fastnn.Network([fastnn.Dense(n_outputs)], loss, n_features=4, **options)
    net.fit(X, y, epochs=epochs, optimizer=fastnn.SGD(0.5))
    return net


@pytest.mark.parametrize("loss", VALUE_LOSSES)
def test_values_of_several_outputs_come_back_in_their_shape(loss):
    """Each output of a linear network learns as it does alone, at the same rate."""
    y = np.column_stack([X @ [1, 2, 0, 0], X @ [0, 0, -1, 1], X[:, 0]])
    net = train(loss, y)
    found = net.predict(X)
    assert found.shape == y.shape
    assert np.abs(found - y).mean() < 0.1 * np.abs(y).mean()
    assert train(loss, y[:, 0], 1).predict(X).shape == (60,)


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("loss", MULTILABEL)
def test_columns_of_yes_and_no_of_every_kind_come_back_as_they_were(loss, kind, tmp_path):
    y, classes = PAIRS[kind]
    net, bits = train(MULTILABEL[loss](), y), train(MULTILABEL[loss](), PAIRS["bits"][0])
    assert net.classes.tolist() == classes
    assert same_bits(net.parameter_vector, bits.parameter_vector)
    found = net.predict(X)
    assert found.shape == y.shape
    assert found.dtype.kind == net.classes.dtype.kind
    right = found == y
    assert right.mean() > 0.9
    assert net.evaluate(X, y)["accuracy"] == pytest.approx(right.mean(axis=1).mean())
    net.save(tmp_path / "net.safetensors")
    loaded = fastnn.load(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(loaded.predict(X), found)
    assert loaded.evaluate(X, y) == net.evaluate(X, y)
    np.testing.assert_array_equal(net.freeze().predict(X), found)


def test_the_order_of_the_pair_may_be_given():
    y = np.where(YES, "able", "unable")  # sorted, yes comes first
    net = train("binary_cross_entropy", y, classes=["unable", "able"])
    bits = train("binary_cross_entropy", YES)
    assert same_bits(net.parameter_vector, bits.parameter_vector)
    assert (net.predict(X) == y).mean() > 0.9
    numbers = train(fastnn.Hinge(multilabel=True), np.where(YES, 7, 3), classes=[3, 7])
    assert set(np.unique(numbers.predict(X))) == {3, 7}


def test_one_multilabel_output_is_two_classes():
    labels = np.where(YES[:, 0], "b", "a")
    net, plain = train(fastnn.Hinge(multilabel=True), labels, 1), train("hinge", labels, 1)
    assert same_bits(net.parameter_vector, plain.parameter_vector)
    np.testing.assert_array_equal(net.predict(X), plain.predict(X))


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("cols", [1, 3, 17])
def test_a_multilabel_hinge_is_the_mean_of_those_of_its_outputs(isa, dtype, loss, cols, rng):
    output = (2 * rng.standard_normal((5, cols))).astype(dtype)
    targets = (rng.random((5, cols)) < 0.5).astype(dtype)
    delta = np.empty_like(output)
    weights = np.array([1.0, 0.5, 0, 2, 1])
    found = probes.evaluate_loss(loss, output, delta, None, targets, 0.25, weights)
    alone = [reference.LOSSES[loss](output[:, [j]].astype(float), targets[:, [j]])
             for j in range(cols)]  # fmt: skip
    room = 1e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(found, weights * np.mean([a for a, _ in alone], axis=0), rtol=room)
    slopes = np.hstack([slope for _, slope in alone]) * weights[:, None] / 4 / cols
    np.testing.assert_allclose(delta, slopes, rtol=room)
    probes.evaluate_loss(loss, output, output, None, targets, 0.25, weights)  # in place
    assert same_bits(output, delta)


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        ("binary_cross_entropy", [["a", "b", "a"]] * 59 + [["a", "c", "a"]],
         "y has 3 different entries, such as .*same in all columns.*a network each"),
        ("binary_cross_entropy", np.full((60, 3), "a"), "y has 1 different entries"),
        ("binary_cross_entropy", [["a", "b"]] * 60, r"shape \(60, 2\); expected \(60, 3"),
        ("binary_cross_entropy", YES * 2, "y contains 2.0 at row .*expected numbers in 0..1"),
        ("binary_cross_entropy", YES[:, 0], "y holds one label in each row"),
        (fastnn.Hinge(multilabel=True), YES * 0.5, "y contains 0.5 at row .*expected 0 or 1"),
        ("hinge", 2 * YES - 1, r"y contains -1.*fastnn.Hinge\(multilabel=True\)"),
        ("hinge", np.where(YES, "b", "a"), "labels need a network for each column"),
        ("softmax_cross_entropy", np.where(YES, "b", "a"), "labels need a network for each column"),
        ("softmax_cross_entropy", YES[:, :2] * 3, r"\(60, 2\).*shape \(60, 3\).*network for each"),
    ],
)  # fmt: skip
def test_columns_that_fit_no_network(loss, y, message):
    net = fastnn.Network([fastnn.Dense(3)], loss, n_features=4)
    before = net.parameter_vector.copy()
    with pytest.raises(ValueError, match=message):
        net.fit(X, y)
    assert same_bits(net.parameter_vector, before)
    assert net.classes is None


def test_labels_that_a_pair_does_not_have_are_told_by_column():
    net = train("binary_cross_entropy", PAIRS["strings"][0])
    y = PAIRS["strings"][0].copy().astype("<U5")
    y[4, 1] = "maybe"
    with pytest.raises(ValueError, match=r"y\[:, 1\] contains 'maybe' at row 4; expected one of"):
        net.fit(X, y)
    with pytest.raises(ValueError, match="expected two, the entries for no and yes"):
        fastnn.Network([fastnn.Dense(3)], "binary_cross_entropy", classes=["a", "b", "c"])


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "hinge", "softmax_cross_entropy"])
def test_signs_that_come_row_by_row_need_their_names(loss):
    """The first row alone, a 1, does not say that the other label is -1."""
    layers = [fastnn.Dense(2 if loss == "softmax_cross_entropy" else 1)]
    net = fastnn.Network(layers, loss)
    net.partial_fit(X[:1], [1])
    message = r"y contains -1 at row 0; expected integers 0\.\.1, .* pass all labels as classes= to"
    for learn in (net.partial_fit, net.forward):
        with pytest.raises(ValueError, match=message):
            learn(X[1:2], [-1])
    net = fastnn.Network([fastnn.Dense(layers[0].units)], loss, classes=[-1, 1])
    for rows, labels in fastnn.batches(X, 2 * YES[:, 0] - 1, 1):
        net.partial_fit(rows, labels)
    assert set(net.predict(X)) == {-1, 1}


def test_rows_of_signs_that_come_one_by_one_need_their_names():
    net = fastnn.Network([fastnn.Dense(3)], "binary_cross_entropy")
    net.partial_fit(X[:1], [[1, 1, 1]])
    with pytest.raises(
        ValueError, match=r"y contains -1, but no and yes are \[0, 1\], .*=\[-1, 1\]"
    ):
        net.partial_fit(X[:1], [[1, -1, 1]])


@pytest.mark.parametrize(
    ("labels", "fix"),
    [([0, 1, 2], r"y contains 2 at row 2; .*: end the network with Dense\(3\)"),
     ([0, 5, 5], "y contains 5 at row 1; .*: pass all labels as classes= to a new Network")],
)  # fmt: skip
def test_labels_that_two_outputs_do_not_have_are_told_with_a_way_out(labels, fix):
    with pytest.raises(ValueError, match=fix):
        fastnn.Network([fastnn.Dense(2 if 2 in labels else 3)]).fit(X[:3], labels)
