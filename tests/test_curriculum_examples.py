"""The examples of the curriculum's rows run, at reduced size, and show what the courses say."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps

import fastnn

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
MNIST = EXAMPLES.parents[1] / "shared" / "data" / "mnist"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Call an example's main by the name of its file, and look whether it wrote a picture."""
    monkeypatch.syspath_prepend(EXAMPLES)

    def run(name, **options):
        path = tmp_path / f"{name}.png"
        result = importlib.import_module(name).main(path, **options)
        assert path.read_bytes().startswith(b"\x89PNG")
        return result

    yield run
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) and EXAMPLES in Path(module.__file__).parents:
            del sys.modules[name]


def test_C04_rates_that_fall_are_in_the_history(run):
    histories = run("rate_schedules", quick=True)
    rates = {name: [row["learning_rate"] for row in rows] for name, rows in histories.items()}
    epochs = np.arange(12)
    assert rates["constant"] == [0.5] * 12
    np.testing.assert_allclose(rates["step"], 0.5 * 0.3 ** (epochs // 4))
    np.testing.assert_allclose(rates["exponential"], 0.5 * 0.75**epochs)
    np.testing.assert_allclose(rates["1/t"], 0.5 / (1 + 0.8 * epochs))
    for rows in histories.values():
        assert rows[-1]["loss"] < rows[0]["loss"]


@pytest.mark.skipif(not MNIST.is_dir(), reason="MNIST is not in ../shared/data/mnist")
def test_C05_mnist_in_one_epoch_and_in_ten(run):
    first, last = run("mnist")
    assert first > 0.95
    assert last > 0.98


def test_C05_the_example_runs_without_mnist(run):
    first, last = run("mnist", quick=True)
    assert first < last
    assert last > 0.95


def test_C10_the_slope_of_the_loss_at_one_weight(run):
    shown = run("loss_slope", quick=True)
    assert shown["slope"] == pytest.approx(shown["by_differences"], rel=1e-8)
    assert shown["slope"] < 0 < shown["best"] + 1  # downhill, towards the minimum


def test_C10_layers_are_printed_forwards_and_backwards(run, capsys):
    run("loss_slope", quick=True)
    words = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    shown = [word for word in words if word in ("forward", "loss", "backward")]
    assert shown == ["forward"] * 2 + ["loss"] + ["backward"] * 2


def test_C12_dropout_narrows_the_gap_between_training_and_validation(run):
    histories = run("dropout", quick=True)

    def gap(name):
        return histories[name].val_loss[-1] / histories[name].train_loss[-1]

    assert gap("without dropout") > 2 * gap("with dropout") > 1
    assert histories["with dropout"].val_accuracy[-1] > 0.9


def test_C21_no_line_separates_rings_xor_and_spirals_but_two_layers_do(run):
    accuracy = run("decision_boundaries", quick=True)
    for data in ("rings", "XOR", "spirals"):
        assert accuracy["linear", data] < 0.75
    assert accuracy["two layers", "rings"] == 1
    assert accuracy["two layers", "XOR"] == 1
    assert accuracy["two layers", "spirals"] > 0.8  # all of them at full size


def test_C21_the_picture_names_its_axes_and_classes(run, monkeypatch):
    example, figures = importlib.import_module("decision_boundaries"), []
    monkeypatch.setattr(example, "save", lambda figure, path: figures.append(figure))
    example.main(quick=True)
    (legend,) = figures[0].legends
    named = [text.get_text().split(":")[0] for text in legend.get_texts()]
    assert named == ["class 0", "class 1", "boundary"]
    panels = np.reshape(figures[0].axes, (2, 3))
    assert [axes.get_xlabel() for axes in panels[-1]] == ["$x_1$"] * 3
    assert [axes.get_ylabel() for axes in panels[:, 0]] == ["$x_2$"] * 2


def test_C23_hidden_weights_are_images(run):
    images, accuracy = run("hidden_weights", quick=True)
    assert images.shape == (32, 64)  # 784 on MNIST
    assert accuracy > 0.8


def test_C25_the_loop_with_its_own_update_has_the_loss_curve_of_fit(run):
    by_hand, by_fit = run("training_loop", quick=True)
    assert len(by_hand) == 3
    np.testing.assert_allclose(by_hand, by_fit, rtol=1e-5)
    assert by_fit[-1] < 0.5 * by_fit[0]


def test_C36_too_large_a_rate_jumps_over_the_minimum(run):
    losses, reports = run("learning_rates")
    *good, largest = losses
    for rate in good:
        assert np.all(np.diff(losses[rate][:20]) <= 0)
    assert np.all(np.diff(losses[largest]) > 0)
    assert list(reports) == [largest]
    assert re.search(
        r"diverged .* learning rate 1\.1.* try a learning rate of 0\.11", reports[largest]
    )


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_examples_use_public_names_only(path):
    text = path.read_text(encoding="utf-8")
    assert "fastnn._" not in text
    assert "from fastnn" not in text
    assert len(text.splitlines()) <= (100 if path.stem != "learning_quality" else 240)


def test_the_gallery_shows_every_example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    names = importlib.import_module("make_gallery").NAMES
    helpers = {"make_gallery", "support", "learning_quality"}  # they draw nothing
    assert set(names) == {path.stem for path in EXAMPLES.glob("*.py")} - helpers
    gallery = (EXAMPLES.parent / "docs" / "GALLERY.md").read_text(encoding="utf-8")
    shown = re.findall(r"\(pictures/(\w+)\.png\)", gallery)
    assert shown == names
    for name in names:
        assert f"`{name}.py`" in gallery
        assert (EXAMPLES.parent / "docs" / "pictures" / f"{name}.png").stat().st_size < 60_000


def test_fewer_colours_keep_the_ends_of_a_colour_bar_apart(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(EXAMPLES)
    gallery = importlib.import_module("make_gallery")
    values = np.random.default_rng(1).normal(0.5, 0.1, (100, 512))  # mostly pale
    values[0] = np.linspace(0, 1, 512)  # the bar
    pixels = np.round(255 * colormaps["RdBu_r"](values)[:, :, :3]).astype(np.uint8)
    pixels[50:] += np.arange(100, dtype=np.uint8)[:50, None, None] % 4  # many shades
    path = tmp_path / "bar.png"
    gallery.Image.fromarray(pixels).save(path)
    gallery.shrink(path)
    picture = gallery.Image.open(path)
    assert picture.mode == "P"
    found = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(found - pixels).max() < 12


def test_recipes_learn_in_fastnn_what_they_learn_in_pytorch(monkeypatch):
    pytest.importorskip("torch", reason="PyTorch, the peer of this test, is absent")
    monkeypatch.syspath_prepend(EXAMPLES)
    example = importlib.import_module("learning_quality")
    for name, recipe in example.RECIPES.items():
        ours, theirs = example.compare(recipe, fastnn.datasets.load_digits(), seed=1, epochs=2)
        tolerance = 8 if any(recipe.dropout) else 0.6  # two of 360; with other masks more
        assert ours == pytest.approx(theirs, abs=tolerance), name
        assert ours > 70
