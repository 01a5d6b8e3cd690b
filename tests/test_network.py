"""Network: what each call gives, and faults F01-F06 and F10: a clear error, nothing changed."""

import common
import numpy as np
import pytest
import reference

import fastnn

rng = np.random.default_rng(11)
X = rng.standard_normal((30, 4))
LABELS = np.arange(30) % 3
VALUES = rng.standard_normal((30, 2))


def make_classifier(n_features=4, dtype="float32", **options):
    layers = [fastnn.Dense(8, "relu"), fastnn.Dense(3)]
    return fastnn.Network(layers, n_features=n_features, dtype=dtype, **options)


def make_regressor(n_features=4, dtype="float32", n_outputs=2):
    layers = [fastnn.Dense(8, "tanh"), fastnn.Dense(n_outputs)]
    return fastnn.Network(layers, "mse", n_features=n_features, dtype=dtype)


# --- what the calls give -------------------------------------------------------------------------


def test_predictions_agree_with_the_oracle(isa, dtype):
    room = 1e-5 if dtype == "float32" else 1e-13
    for hidden in reference.ACTIVATIONS:
        layers = [fastnn.Dense(9, hidden), fastnn.Dense(5, hidden, use_bias=False), fastnn.Dense(3)]
        net = fastnn.Network(layers, n_features=4, dtype=dtype, seed=2)
        layers[0].bias[...] = np.arange(9) / 10
        scores = reference.forward(
            reference.copy_parameters(net), [hidden, hidden, "identity"], X.astype(dtype)
        )[-1]
        exact = reference.softmax(scores.astype(float))
        probabilities = net.predict_proba(X)
        assert probabilities.dtype == dtype
        assert probabilities.shape == (30, 3)
        np.testing.assert_allclose(probabilities, exact, atol=room)
        np.testing.assert_allclose(net.forward(X), scores, atol=room * 10)
        assert (net.predict(X) == exact.argmax(axis=1)).all()
        found = net.evaluate(X, LABELS)
        losses, _ = reference.softmax_cross_entropy(scores.astype(float), np.eye(3)[LABELS])
        assert found["loss"] == pytest.approx(losses.mean(), rel=room)
        assert found["accuracy"] == (exact.argmax(axis=1) == LABELS).mean()


def test_a_softmax_layer_is_applied_once():
    """The same network with and without the activation that the loss contains."""
    plain = make_classifier(seed=5)
    softmax = fastnn.Network(
        [fastnn.Dense(8, "relu"), fastnn.Dense(3, "softmax")], n_features=4, seed=5
    )
    assert common.same_bits(plain.predict_proba(X), softmax.predict_proba(X))
    assert common.same_bits(softmax.forward(X), softmax.predict_proba(X))
    np.testing.assert_allclose(reference.softmax(plain.forward(X)), softmax.forward(X), rtol=1e-6)
    assert plain.forward(X, LABELS) == softmax.forward(X, LABELS)
    assert plain.evaluate(X, LABELS) == softmax.evaluate(X, LABELS)


def test_regression():
    net = make_regressor()
    net.fit(X, VALUES, epochs=1)
    output = reference.forward(reference.copy_parameters(net), ["tanh", "identity"], X)[-1]
    np.testing.assert_allclose(net.predict(X), output, rtol=1e-4, atol=1e-6)
    found = net.evaluate(X, VALUES)
    assert found == {"loss": pytest.approx(((output - VALUES) ** 2).mean(), rel=1e-5)}
    assert net.classes is None
    with pytest.raises(ValueError, match="predict_proba needs a classifier"):
        net.predict_proba(X)


def test_one_output_is_a_vector():
    net = make_regressor(n_outputs=1)
    net.fit(X, VALUES[:, 0], epochs=1)
    assert net.predict(X).shape == (30,)
    assert net.evaluate(X, VALUES[:, 0]) == net.evaluate(X, VALUES[:, :1])


@pytest.mark.parametrize(
    "names",
    [np.array(["ape", "bee", "cat"]), np.array([7, 20, 300]), np.array([-1, 0, 1])],
    ids=["strings", "integers", "negative integers"],
)
def test_classes_are_the_sorted_labels(names):
    net, plain = make_classifier(), make_classifier()
    net.fit(X, names[LABELS], epochs=3)
    plain.fit(X, LABELS, epochs=3)
    assert net.classes.tolist() == names.tolist()
    assert common.same_bits(net.parameter_vector, plain.parameter_vector)
    assert (net.predict(X) == names[plain.predict(X)]).all()
    assert net.evaluate(X, names[LABELS]) == plain.evaluate(X, LABELS)


def test_classes_may_be_given_in_any_order():
    net = make_classifier(classes=["cat", "ape", "bee"])
    net.fit(X, np.array(["ape", "bee", "cat"])[LABELS], epochs=1)
    assert net.classes.tolist() == ["cat", "ape", "bee"]
    best = net.predict_proba(X).argmax(axis=1)
    assert net.predict(X).tolist() == [["cat", "ape", "bee"][i] for i in best]


def test_labels_and_one_hot_rows_train_alike():
    labels, one_hot = make_classifier(dtype="float64"), make_classifier(dtype="float64")
    labels.fit(X, LABELS, epochs=3)
    one_hot.fit(X, reference.one_hot(LABELS, 3), epochs=3)
    np.testing.assert_allclose(labels.parameter_vector, one_hot.parameter_vector, rtol=1e-12)
    assert one_hot.classes.tolist() == [0, 1, 2]
    found, expected = one_hot.evaluate(X, np.eye(3)[LABELS]), labels.evaluate(X, LABELS)
    assert found["accuracy"] == expected["accuracy"]


def test_two_classes_and_booleans():
    net = fastnn.Network([fastnn.Dense(2)], n_features=4)
    net.fit(X, LABELS > 0, epochs=1)
    assert net.classes.tolist() == [False, True]
    assert net.predict(X).dtype == bool


def test_the_first_data_builds_the_network():
    nets = [make_classifier(None) for _ in range(3)]
    nets[0].fit(X, LABELS, epochs=1)
    nets[1].forward(X, LABELS)
    nets[2].forward(X)
    assert [net.n_features for net in nets] == [4, 4, 4]
    early = make_classifier()
    assert common.same_bits(nets[1].parameter_vector, early.parameter_vector)
    early.fit(X, LABELS, epochs=1)
    assert common.same_bits(nets[0].parameter_vector, early.parameter_vector)


def test_before_it_is_built_a_network_says_how_to_build_it():
    net = make_classifier(None)
    calls = [
        lambda: net.parameter_vector, lambda: net.gradient_vector, lambda: net.predict(X),
        lambda: net.predict_proba(X), lambda: net.evaluate(X, LABELS), net.summary, net.explain,
        net.reset, lambda: net.save("never-written"), lambda: fastnn.SGD(0.1).step(net),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match=r"not built.*n_features.*fit or forward"):
            call()
    for name in ["weight", "bias", "weight_grad", "bias_grad"]:
        with pytest.raises(AttributeError, match=f"no {name} yet.*n_features"):
            getattr(net.layers[0], name)
    assert net.n_features is None


def test_views_are_parts_of_the_vectors():
    net = make_classifier()
    net.forward(X, LABELS)
    net.backward()
    pairs = [(layer.weight, layer.bias) for layer in net.layers]
    grads = [(layer.weight_grad, layer.bias_grad) for layer in net.layers]
    assert common.same_bits(reference.flatten(pairs), net.parameter_vector)
    assert common.same_bits(reference.flatten(grads), net.gradient_vector)
    assert [layer.weight.shape for layer in net.layers] == [(4, 8), (8, 3)]
    before = net.predict_proba(X)
    net.layers[1].bias[0] += 1  # a write through a view is seen by the next call
    assert (net.predict_proba(X)[:, 0] > before[:, 0]).all()
    net.parameter_vector[...] = 0
    np.testing.assert_allclose(net.predict_proba(X), 1 / 3, rtol=1e-6)


def test_reset_starts_over():
    net = make_classifier(seed=3)
    first = net.parameter_vector.copy()
    losses = net.fit(X, LABELS, epochs=2).loss
    net.reset()
    assert common.same_bits(net.parameter_vector, first)
    assert net.history is None
    assert net.fit(X, LABELS, epochs=2).loss == losses  # epochs count from 0 again
    net.reset(seed=4)
    assert net.seed == 4
    assert common.same_bits(net.parameter_vector, make_classifier(seed=4).parameter_vector)


def test_history_of_a_fit():
    net = make_classifier()
    history = net.fit(X, LABELS, epochs=3, validation=(X[:9], LABELS[:9]),
                      optimizer=fastnn.SGD(0.25))  # fmt: skip
    assert net.history is history
    assert history.epoch == [0, 1, 2]
    assert history.learning_rate == [0.25] * 3
    assert all(seconds > 0 for seconds in history.seconds)
    expected = net.evaluate(X[:9], LABELS[:9])
    assert (history.val_loss[-1], history.val_accuracy[-1]) == (
        expected["loss"], expected["accuracy"],
    )  # fmt: skip
    again = make_regressor().fit(X, VALUES, epochs=1, validation=(X, VALUES))
    assert again.val_loss[0] > 0
    assert "val_accuracy" not in again.epochs[0]


def test_the_loss_of_an_epoch_is_the_mean_over_its_rows():
    """Also where the last batch is shorter: seen with steps too small to change anything."""
    net = make_classifier(dtype="float64")
    loss = net.evaluate(X, LABELS)["loss"]
    history = net.fit(X, LABELS, epochs=1, batch_size=7, optimizer=fastnn.SGD(1e-12))
    assert history.loss[0] == pytest.approx(loss, rel=1e-9)


def test_progress_shows_the_loss(capsys):
    make_classifier().fit(X, LABELS, epochs=2, progress=True, validation=(X, LABELS))
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "loss=" in shown
    assert "val accuracy=" in shown
    make_classifier().fit(X, LABELS, epochs=2)
    assert capsys.readouterr() == ("", "")


def test_words():
    net = make_classifier()
    summary = net.summary()
    assert "4 -> 8" in summary
    assert "relu" in summary
    assert f"{4 * 8 + 8 + 8 * 3 + 3} parameters, float32" in summary
    assert "batch 16" in net.explain(batch_size=16)
    assert repr(net) == (
        "Network([Dense(8, 'relu'), Dense(3, 'identity')], loss='softmax_cross_entropy', "
        "n_features=4)"
    )
    assert repr(fastnn.Dense(2, use_bias=False)) == "Dense(2, 'identity', use_bias=False)"
    assert repr(fastnn.SGD(0.1)) == "SGD(0.1)"


def test_show_config(capsys):
    fastnn.show_config()
    shown = capsys.readouterr().out
    assert shown.count("\n") >= 8
    for word in ["fastnn", "numpy", "instruction set", "openmp", "threads", "blas", "scalar"]:
        assert word in shown


def test_inputs_are_not_written_to():
    inputs = [X.astype("float32"), LABELS.copy(), VALUES.astype("float32")]
    for array in inputs:
        array.flags.writeable = False
    net, other = make_classifier(), make_regressor()
    net.fit(inputs[0], inputs[1], epochs=2, validation=(inputs[0], inputs[1]))
    other.fit(inputs[0], inputs[2], epochs=2)
    net.forward(inputs[0], inputs[1])
    net.backward()
    net.evaluate(inputs[0], inputs[1])


# --- F06: any layout gives the bits of a contiguous copy -----------------------------------------


def lay_out(array, tmp_path):
    """The same numbers in every way that NumPy can hold them."""
    flat = np.asfortranarray(array)
    wide = np.zeros((len(array) * 2, array.shape[1] * 3), array.dtype)
    wide[::2, ::3] = array
    unaligned = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    unaligned[...] = array
    read_only = array.copy()
    read_only.flags.writeable = False
    mapped = np.memmap(tmp_path / "rows.bin", array.dtype, "w+", shape=array.shape)
    mapped[...] = array
    return {
        "Fortran order": flat,
        "strided": wide[::2, ::3],
        "reversed": array[::-1, ::-1].copy()[::-1, ::-1],
        "unaligned": unaligned,
        "big-endian": array.astype(array.dtype.newbyteorder(">")),
        "read-only": read_only,
        "memory map": mapped,
        "list": array.tolist(),
    }


def test_F06_any_layout_gives_the_same_bits(dtype, tmp_path):
    data, values = X.astype(dtype), VALUES.astype(dtype)
    expected = make_regressor(dtype=dtype)
    expected.fit(data, values, epochs=2)
    inputs, targets = lay_out(data, tmp_path), lay_out(values, tmp_path / "..")
    for kind in inputs:
        net = make_regressor(dtype=dtype)
        net.fit(inputs[kind], targets[kind], epochs=2)
        assert common.same_bits(net.parameter_vector, expected.parameter_vector), kind
        assert common.same_bits(net.predict(inputs[kind]), expected.predict(data)), kind
        assert net.forward(inputs[kind], targets[kind]) == expected.forward(data, values), kind
    row = np.broadcast_to(data[:1], (30, 4))
    assert common.same_bits(expected.predict(row), expected.predict(row.copy()))


def test_F06_labels_in_any_layout(tmp_path):
    expected = make_classifier()
    expected.fit(X, LABELS, epochs=2)
    wide = np.zeros((60, 2), np.int16)
    wide[::2, 1] = LABELS
    for labels in [wide[::2, 1], LABELS.astype(">i4"), LABELS.astype(float), LABELS.tolist(),
                   LABELS[:, None], LABELS.astype(np.uint8)]:  # fmt: skip
        net = make_classifier()
        net.fit(X, labels, epochs=2)
        assert common.same_bits(net.parameter_vector, expected.parameter_vector)


# --- F10: scores of any size ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e4, float(np.finfo(np.float32).max)])
def test_F10_huge_scores_give_finite_losses(isa, dtype, size):
    net = fastnn.Network([fastnn.Dense(3)], n_features=1, dtype=dtype)
    net.layers[0].weight[...] = [[size, -size, 0]]
    X, y = [[1.0], [-1.0], [0.0]], [1, 0, 2]  # the worst answers
    found = net.evaluate(X, y)
    assert found["loss"] == pytest.approx((4 * size + np.log(3)) / 3, rel=1e-6)
    assert np.isfinite(net.evaluate(X, np.eye(3)[y])["loss"])
    sums = net.predict_proba(X).sum(axis=1, dtype=np.longdouble)
    assert (np.abs(sums - 1) <= 4 * np.finfo(dtype).eps).all()
    assert net.forward(X, y) == found["loss"]
    net.backward()
    assert np.isfinite(net.gradient_vector).all()
