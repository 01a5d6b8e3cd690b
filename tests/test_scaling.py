"""Inputs and targets scaled inside the model: fitted once, saved, undone in predictions."""

import tracemalloc

import common
import numpy as np
import pytest

import fastnn
from fastnn import _scaling, model_file

KINDS = ["minmax", "standard"]


def make_data(rng, dtype=np.float64):
    """Columns of very different size and place, one of them constant."""
    X = rng.standard_normal((60, 4)) * [1e-3, 1, 1e4, 0] + [0, 5, 1e6, 7]
    y = 1e3 * X[:, 0] + (X[:, 2] - 1e6) / 1e4
    return X.astype(dtype), 1e5 + 300 * y


def make(kind=None, targets=None, loss="mse", units=1, **options):
    layers = [fastnn.Dense(8, "tanh"), fastnn.Dense(units)]
    return fastnn.Network(layers, loss, scale_inputs=kind, scale_targets=targets, **options)


def scale_by_hand(kind, X):
    if kind == "minmax":
        shift, scale = X.min(axis=0), X.max(axis=0) - X.min(axis=0)
    else:
        shift, scale = X.mean(axis=0), X.std(axis=0)
    is_constant = X.min(axis=0) == X.max(axis=0)
    return (X - np.where(is_constant, X.min(axis=0), shift)) / np.where(is_constant, 1, scale)


@pytest.mark.parametrize("kind", KINDS)
def test_C30_scaled_inside_equals_scaled_by_hand(kind, rng):
    X, y = make_data(rng)
    Y = y[:, None]
    net, twin = make(kind, kind, dtype="float64"), make(dtype="float64")
    history = net.fit(X, Y, epochs=5, optimizer=fastnn.SGD(0.1))
    XS, YS = scale_by_hand(kind, X), scale_by_hand(kind, Y)
    np.testing.assert_allclose(twin.fit(XS, YS, epochs=5, optimizer=fastnn.SGD(0.1)).loss,
                               history.loss, rtol=1e-9)  # fmt: skip
    by_hand = twin.predict(XS) / (YS.max() - YS.min()) * (y.max() - y.min())
    by_hand += y.min() - YS.min() / (YS.max() - YS.min()) * (y.max() - y.min())
    np.testing.assert_allclose(net.predict(X), by_hand, rtol=1e-9)
    assert net.evaluate(X, Y)["loss"] == pytest.approx(twin.evaluate(XS, YS)["loss"], rel=1e-8)
    assert net.forward(X, Y) == pytest.approx(twin.forward(XS, YS), rel=1e-8)
    np.testing.assert_allclose(net.forward(X)[:, 0], twin.predict(XS), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_scaling_makes_of_the_columns(kind, dtype, rng):
    X, _ = make_data(rng, dtype)
    scaling = _scaling.fit_scaling(kind, X, "X")
    scaled = scaling.apply(X, "float64")
    assert not scaled[:, 3].any()
    if kind == "minmax":
        assert (scaled.min(axis=0) == 0).all()
        assert (scaled.max(axis=0)[:3] == 1).all()
    else:
        np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(scaled.std(axis=0)[:3], 1, rtol=1e-9)
    np.testing.assert_allclose(scaling.undo(scaled), X, rtol=1e-12)


def test_scalings_see_all_rows_and_keep_the_dtype(rng):
    """Of several blocks; a column whose squares are too small for a deviation is constant."""
    X = rng.standard_normal((3000, 2)).astype("float32")
    scaling = _scaling.fit_scaling("standard", X, "X")
    scaled = scaling.apply(X, "float32")
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(scaling.shift, X.mean(axis=0, dtype="float64"), rtol=1e-12)
    assert scaling.undo(scaled).dtype == np.float32
    np.testing.assert_allclose(scaling.undo(scaled), X, rtol=1e-5, atol=1e-6)
    tiny = _scaling.fit_scaling("standard", np.array([[0.0], [1e-200]]), "X")
    assert (tiny.shift[0], tiny.scale[0]) == (0, 1)


def test_a_large_offset_costs_no_digits(rng):
    """Time stamps in float64 keep their differences in a float32 network."""
    times = 1.7e9 + np.arange(64.0)[:, None]
    net = fastnn.Network([fastnn.Dense(1)], "mse", n_features=1, scale_inputs="minmax")
    net.fit(times, np.arange(64.0) / 63, epochs=300, optimizer=fastnn.SGD(0.5))
    np.testing.assert_allclose(net.predict(times), np.arange(64.0) / 63, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_fit_decides(kind, rng):
    X, y = make_data(rng)
    net = make(kind, kind)
    net.fit(X, y, epochs=1)
    shift = net.input_scaling.shift.copy()
    net.fit(2 * X, y + 5, epochs=1)
    net.partial_fit(3 * X, y)
    assert common.same_bits(net.input_scaling.shift, shift)
    net.reset()
    assert net.input_scaling is None
    net.fit(2 * X, y, epochs=1)
    assert not common.same_bits(net.input_scaling.shift, shift)


def test_validation_rows_take_no_part_in_the_scaling(rng):
    X, y = make_data(rng)
    one, other = make("minmax", "minmax"), make("minmax", "minmax")
    one.fit(X[:50], y[:50], epochs=2, validation=(X[50:], y[50:]))
    other.fit(X[:50], y[:50], epochs=2)
    assert common.same_bits(one.input_scaling.scale, other.input_scaling.scale)
    assert one.history.val_loss[-1] == pytest.approx(one.evaluate(X[50:], y[50:])["loss"])
    assert one.history.loss == other.history.loss


@pytest.mark.parametrize("kind", KINDS)
def test_scalings_are_saved_and_frozen(kind, dtype, rng, tmp_path):
    X, y = make_data(rng)
    net = make(kind, kind, dtype=dtype)
    net.fit(X, y, epochs=2)
    net.save(tmp_path / "net.safetensors")
    loaded = fastnn.load(tmp_path / "net.safetensors")
    assert common.same_bits(loaded.predict(X), net.predict(X))
    assert common.same_bits(net.freeze().predict(X), net.predict(X))
    assert common.same_bits(
        net.freeze().predict(X[:1].astype(dtype)), net.predict(X[:1].astype(dtype))
    )
    assert common.same_bits(net.freeze().forward(X), net.forward(X))
    assert loaded.fit(X, y, epochs=1).loss == net.fit(X, y, epochs=1).loss


def test_a_network_is_saved_before_its_scaling_is_fitted(rng, tmp_path):
    X, y = make_data(rng)
    net = make("standard", n_features=4)
    net.save(tmp_path / "net.safetensors")
    loaded = fastnn.load(tmp_path / "net.safetensors")
    assert loaded.input_scaling is None
    assert loaded.fit(X, y, epochs=1).loss == net.fit(X, y, epochs=1).loss


def drop(name):
    return lambda header, tensors: tensors.pop(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("input_scaling.scale"), "input_scaling without 4 shifts and 4 scales"),
        (lambda header, tensors: header.update(scale_inputs=None), "does not name"),
        (lambda header, tensors: header.update(scale_inputs="log"), "scale_inputs must be one of"),
        (lambda header, tensors: tensors.update({"target_scaling.scale": np.ones(2)}), "1 shifts"),
    ],
)
def test_files_with_half_a_scaling_are_refused(change, message, rng, tmp_path):
    path = tmp_path / "net.safetensors"
    X, y = make_data(rng)
    net = make("minmax", "minmax")
    net.fit(X, y, epochs=1)
    net.save(path)
    header, tensors = model_file.read_model(path)
    change(header, tensors)
    model_file.write_model(path, header, tensors)
    with pytest.raises(fastnn.CorruptModelError, match=message):
        fastnn.load(path)


def test_scaled_classifiers(rng):
    X, y = common.make_classes(rng, 200, 4, 3)
    X = X * [1, 1e3, 1e-3, 1] + [0, 1e5, 0, 0]
    net = make("standard", loss="softmax_cross_entropy", units=3)
    net.fit(X, y, epochs=60, optimizer=fastnn.SGD(0.2))
    assert net.evaluate(X, y)["accuracy"] > 0.9
    np.testing.assert_allclose(net.predict_proba(X).sum(axis=1), 1, rtol=1e-5)


def test_rows_stand_alone_and_the_callers_arrays_stay(dtype, rng):
    X, y = make_data(rng, dtype)
    kept = X.copy(), y.copy()
    net = make("standard", "minmax", dtype=dtype)
    net.fit(X, y, epochs=1, validation=0.2)
    whole = net.predict(X)
    for i in (0, 7, 59):
        assert common.same_bits(net.predict(X[i : i + 1]), whole[i : i + 1])
        assert common.same_bits(net.predict(X[i : i + 1].tolist()), whole[i : i + 1])
    assert common.same_bits(X, kept[0])
    assert common.same_bits(y, kept[1])


def test_scaling_makes_one_copy_of_the_data(rng):
    X = rng.standard_normal((20_000, 100)).astype("float32")
    y = X[:, 0]
    net = fastnn.Network([fastnn.Dense(1)], "mse", scale_inputs="standard")
    net.fit(X[:100], y[:100], epochs=1)
    tracemalloc.start()
    net.fit(X, y, epochs=1, batch_size=500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.6 * X.nbytes


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda X, y: make("log"), "scale_inputs must be one of 'minmax', 'standard'"),
        (lambda X, y: make(targets="log"), "scale_targets must be one of"),
        (
            lambda X, y: make(targets="minmax", loss="softmax_cross_entropy", units=3),
            "'softmax_cross_entropy' takes no real numbers of any size; it goes with mse",
        ),
        (lambda X, y: make("minmax", n_features=4).predict(X), "not fitted yet: call fit first"),
        (lambda X, y: make("minmax", n_features=4).forward(X, y), "not fitted yet: call fit first"),
        (lambda X, y: make("minmax").fit(np.array([[1e308], [-1e308]]), [1, 2]), "in column 0"),
    ],
)
def test_scalings_that_cannot_be(call, message, rng):
    with pytest.raises(ValueError, match=message):
        call(*make_data(rng))


def test_what_does_not_fit_after_scaling_is_told(rng):
    X, y = make_data(rng)
    net = make("minmax")
    net.fit(X, y / 1e6, epochs=1)
    with pytest.raises(ValueError, match="X, scaled, contains inf at row 0, column 0"):
        net.predict(np.full((1, 4), 1e300))
