"""Checkpoints: a run that was stopped and resumed has the bits of one that never was."""

import os

import common
import numpy as np
import optimizers as cases
import pytest
from common import THREADS

import fastnn
from fastnn import model_file

RATE = 0.1


class StopError(Exception):
    """A process that dies."""


class Dying(fastnn.Callback):
    """Dies after so many steps of the network; comes after the checkpoint."""

    comes_last = True

    def __init__(self, epoch, step):
        self.place = (epoch, step)

    def on_step_end(self, fit):
        if (fit.epoch, fit.step) == self.place:
            raise StopError


def make(dtype="float32", n_threads=None, **options):
    layers = [fastnn.Dense(9, "tanh"), fastnn.Dropout(0.2), fastnn.Dense(3)]
    return fastnn.Network(layers, dtype=dtype, n_threads=n_threads, **options)


@pytest.fixture
def data():
    return common.make_classes(np.random.default_rng(2), 70, 6, 3)


def fit(net, data, callbacks, epochs=4, **options):
    settings = {"batch_size": 16, "optimizer": fastnn.SGD(RATE), **options}
    if isinstance(settings["optimizer"], str):  # each fit its own
        settings["optimizer"] = cases.make_optimizer(settings["optimizer"])
    return net.fit(*data, epochs=epochs, callbacks=callbacks, **settings)


def without_seconds(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.epochs]


def check_resumed(data, place, checkpoint, make_net=make, **options):
    """Die at `place`, start again in a new network, and end where one ends that never died."""
    straight, broken, resumed = make_net(), make_net(), make_net()
    others = options.pop("others", list)
    history = fit(straight, data, others(), **options)
    dying = Dying(*place)
    with pytest.raises(StopError):
        fit(broken, data, [*others(), checkpoint(), dying], **options)
    again = fit(resumed, data, [checkpoint(), *others()], **options)
    assert common.same_bits(resumed.parameter_vector, straight.parameter_vector)
    assert without_seconds(again) == without_seconds(history)
    assert again.stop_reason == history.stop_reason
    assert again.converged == history.converged
    assert fit(resumed, data, []).loss == fit(straight, data, []).loss  # epochs go on alike


@pytest.mark.parametrize("n_threads", THREADS[:2])
@pytest.mark.parametrize("every", [{"every": 1}, {"every": 2}, {"every_steps": 2}])
@pytest.mark.parametrize("place", [(2, 1), (3, 4)])
def test_a_resumed_run_has_the_same_bits(dtype, n_threads, every, place, data, tmp_path):
    path = tmp_path / "run.safetensors"
    check_resumed(
        data, place,
        lambda: fastnn.Checkpoint(path, **every, resume=True),
        lambda: make(dtype, n_threads),
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore::fastnn.DivergenceWarning")
@pytest.mark.parametrize("name", cases.CASES)
def test_the_state_of_an_optimizer_is_resumed(name, data, tmp_path):
    path = tmp_path / "run.safetensors"
    check_resumed(
        data, (2, 3), lambda: fastnn.Checkpoint(path, every_steps=1, resume=True), optimizer=name
    )  # fmt: skip


@pytest.mark.parametrize("shuffle", [True, False])
def test_all_that_a_fit_knows_is_resumed(shuffle, data, tmp_path):
    """Validation, early stopping with its best weights, convergence, scaling, a fit before."""
    path = tmp_path / "run.safetensors"

    def make_net():
        net = make(scale_inputs="standard")
        fit(net, data, [], epochs=2)
        return net

    def others():
        return [fastnn.EarlyStopping(patience=4, min_delta=0.02)]

    check_resumed(
        data, (5, 2),
        lambda: fastnn.Checkpoint(path, every_steps=1, resume=True),
        make_net, others=others, epochs=40, validation=0.2, tol=1e-9, shuffle=shuffle,
    )  # fmt: skip


def test_early_stopping_remembers_the_best_weights_of_before(data, tmp_path):
    """The best epoch, and some of the patience, lie before the death."""
    scores = [5.0, 4.0, 4.5, 4.6, 4.7, 4.8, 4.9, 5.0, 5.1]

    def others():
        def mark(fit):
            fit.history.epochs[-1]["score"] = scores[fit.epoch]

        return [mark, fastnn.EarlyStopping("score", patience=4)]

    check_resumed(
        data, (3, 2), lambda: fastnn.Checkpoint(tmp_path / "run.safetensors", resume=True),
        others=others, epochs=9,
    )  # fmt: skip


def test_a_run_that_has_ended_is_not_run_again(data, tmp_path):
    path = tmp_path / "run.safetensors"
    nets = [make(), make()]
    histories = [fit(net, data, [fastnn.Checkpoint(path, resume=True)]) for net in nets]
    assert common.same_bits(nets[0].parameter_vector, nets[1].parameter_vector)
    assert histories[0].epochs == histories[1].epochs  # the seconds too: nothing was trained
    longer, straight = make(), make()
    fit(longer, data, [fastnn.Checkpoint(path, resume=True)], epochs=6)
    fit(straight, data, [], epochs=6)
    assert common.same_bits(longer.parameter_vector, straight.parameter_vector)


def test_without_resume_a_run_begins_anew(data, tmp_path):
    path = tmp_path / "run.safetensors"
    fit(make(), data, [fastnn.Checkpoint(path)], epochs=2)
    history = fit(make(), data, [fastnn.Checkpoint(path)], epochs=3)
    assert history.epoch == [0, 1, 2]


def test_load_reads_the_network_of_a_checkpoint(data, tmp_path):
    path = tmp_path / "run.safetensors"
    net = make(scale_inputs="minmax")
    fit(net, data, [fastnn.Checkpoint(path)])
    loaded = fastnn.load(path)
    assert common.same_bits(loaded.predict_proba(data[0]), net.predict_proba(data[0]))
    assert fit(loaded, data, []).loss == fit(net, data, []).loss


def test_how_often_it_writes(data, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(
        "fastnn.checkpoint.write_checkpoint", lambda path, fit: written.append(fit.position)
    )
    fit(make(), data, [fastnn.Checkpoint(tmp_path / "a", every=2)], epochs=5)
    assert written == [10, 20, 25]
    written.clear()
    fit(make(), data, [fastnn.Checkpoint(tmp_path / "a", every_steps=3)], epochs=2)
    assert written == [3, 5, 8, 10]
    written.clear()
    fit(make(), data, [fastnn.Checkpoint(tmp_path / "a", every=9, every_steps=3)], epochs=2)
    assert written == [3, 5, 8, 10]
    written.clear()
    stopper = [fastnn.Checkpoint(tmp_path / "a", every=9), lambda fit: fit.stop("enough")]
    fit(make(), data, stopper, epochs=5)
    assert written == [5]


class LateCallback(fastnn.Callback):
    comes_last = True

    def __init__(self, function):
        self.on_epoch_end = function


def test_a_diverged_run_does_not_touch_its_checkpoint(data, tmp_path):
    path = tmp_path / "run.safetensors"
    contents = []

    def spoil(fit):
        if fit.epoch == 1:
            contents.append(path.read_bytes())
            fit.net.layers[2].weight[...] = np.float32(3e38)

    net = make()
    with pytest.raises(fastnn.DivergenceError):
        fit(net, data, [fastnn.Checkpoint(path, every_steps=1), LateCallback(spoil)])
    assert path.read_bytes() == contents[0]
    assert fastnn.load(path)._epoch == 2


def test_a_long_history_fits_into_the_header(data, tmp_path):
    path = tmp_path / "run.safetensors"

    class Past(fastnn.Callback):
        def on_fit_begin(self, fit):
            row = {"epoch": 0, "loss": 9.0, "seconds": 1 / 3, "learning_rate": 0.1}
            fit.history.epochs += [row] * 20_000

    written = fit(make(), data, [Past(), fastnn.Checkpoint(path)])
    again = fit(make(), data, [fastnn.Checkpoint(path, resume=True)])
    assert len(again) == 20_004
    assert again.epochs == written.epochs


def test_gaps_in_the_history_are_kept(data, tmp_path):
    path = tmp_path / "run.safetensors"

    def mark(fit):
        fit.history.epochs[-1]["a_flag"] = fit.epoch > 1
        if fit.epoch == 1:
            fit.history.epochs[-1]["score"] = 0.25
            fit.history.epochs[-1]["name"] = "one"

    written = fit(make(), data, [fastnn.Checkpoint(path), mark])
    again = fit(make(), data, [fastnn.Checkpoint(path, resume=True), mark])
    assert again.to_dict() == written.to_dict()
    for row, other in zip(again.epochs, written.epochs, strict=True):  # in order, by type
        assert [(k, type(v)) for k, v in row.items()] == [(k, type(v)) for k, v in other.items()]


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make_net", "options", "message"),
    [
        (lambda: make(seed=1), {}, "seed=0, but this one has 1"),
        (make, {"batch_size": 8}, "batch_size=16, but this one has 8"),
        (make, {"optimizer": fastnn.SGD(0.2)}, "optimizer="),
        (make, {"shuffle": False}, "shuffle=True"),
        (make, {"tol": 1e-3}, r"callbacks=\[\], but this one has \['Convergence'\]"),
        (make, {"validation": 0.5}, "rows=70, but this one has 35"),
        (lambda: make("float64"), {}, "dtype='float32'"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(make_net, options, message, data, tmp_path):
    path = tmp_path / "run.safetensors"
    fit(make(), data, [fastnn.Checkpoint(path)])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        fit(make_net(), data, [fastnn.Checkpoint(path, resume=True)], **options)
    assert path.read_bytes() == before


def drop_position(header, tensors):
    del header["checkpoint"]["position"]


def drop_settings(header, tensors):
    del header["checkpoint"]["settings"]


def drop_weight(header, tensors):
    del tensors["layers.2.weight"]


def cut_losses(header, tensors):
    header["checkpoint"]["position"] += 1


@pytest.mark.parametrize("change", [drop_position, drop_settings, drop_weight, cut_losses])
def test_a_checkpoint_that_lacks_something_is_refused(change, data, tmp_path):
    path = tmp_path / "run.safetensors"
    fit(make(), data, [fastnn.Checkpoint(path)])
    header, tensors = model_file.read_model(path)
    change(header, tensors)
    model_file.write_model(path, header, tensors)
    with pytest.raises(fastnn.CorruptModelError, match="the state of a fit"):
        fit(make(), data, [fastnn.Checkpoint(path, resume=True)])


def test_a_model_is_no_checkpoint(data, tmp_path):
    path = tmp_path / "net.safetensors"
    make(n_features=6).save(path)
    with pytest.raises(fastnn.CorruptModelError, match="a model without the state of a fit"):
        fit(make(), data, [fastnn.Checkpoint(path, resume=True)])


def test_checkpoints_and_restarts_do_not_go_together(data, tmp_path):
    with pytest.raises(ValueError, match="a Checkpoint holds one training"):
        fit(make(), data, [fastnn.Checkpoint(tmp_path / "a")], n_restarts=2)


def test_a_folder_that_is_not_there(data, tmp_path):
    with pytest.raises(OSError, match="absent"):
        fit(make(), data, [fastnn.Checkpoint(os.path.join(tmp_path, "absent", "a"))])
