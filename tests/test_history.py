"""The history of a run: rows, columns, table and picture."""

import copy
import os
import pickle
import subprocess
import sys

import pytest

from fastnn.history import History


def make_history(n_epochs=3, validated=True):
    history = History()
    for epoch in range(n_epochs):
        row = {"epoch": epoch, "loss": 1 / (epoch + 1), "seconds": 0.25, "learning_rate": 0.1}
        if validated:
            row |= {"val_loss": 1.5 / (epoch + 1), "val_accuracy": 1 - 0.5 / (epoch + 1)}
        history.epochs.append(row)
    return history


def test_columns_are_attributes():
    history = make_history()
    assert history.loss == [1, 0.5, 1 / 3]
    assert history.epoch == [0, 1, 2]
    assert history.val_accuracy == [0.5, 0.75, 1 - 0.5 / 3]
    assert len(history) == 3
    assert {"loss", "val_loss", "epochs", "plot"} <= set(dir(history))


def test_a_row_that_lacks_a_column_gives_none():
    history = make_history(2)
    del history.epochs[0]["val_loss"]
    assert history.val_loss == [None, 0.75]
    assert "-" in repr(history).splitlines()[1].split()


def test_an_unknown_column_lists_those_there_are():
    with pytest.raises(AttributeError, match=r"no column 'accuracy' .*loss.*val_accuracy"):
        make_history().accuracy  # noqa: B018
    with pytest.raises(AttributeError, match="no epochs yet"):
        History().loss  # noqa: B018


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda h: pickle.loads(pickle.dumps(h))]
)
def test_copies(clone):
    history = make_history()
    assert clone(history).epochs == history.epochs
    assert clone(history).loss == history.loss


def test_repr_is_an_aligned_table():
    lines = repr(make_history()).splitlines()
    assert lines[0].split() == list(make_history().epochs[0])
    assert lines[3].split() == ["2", "0.3333", "0.25", "0.1", "0.5", "0.8333"]
    assert len({len(line) for line in lines}) == 1
    assert repr(History()) == "History: no epochs yet"


def test_repr_of_a_long_run_shows_both_ends():
    lines = repr(make_history(1000)).splitlines()
    assert len(lines) == 21
    assert [line.split()[0] for line in (lines[1], lines[10], lines[11], lines[12], lines[20])] == [
        "0", "9", "…", "991", "999",
    ]  # fmt: skip


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn, still to be looked at."""
    figures = []
    figure = pytest.importorskip("matplotlib.figure").Figure

    class Kept(figure):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            figures.append(self)

    monkeypatch.setattr("matplotlib.figure.Figure", Kept)
    return figures


def test_plot_draws_what_the_run_has(tmp_path, drawn):
    history = make_history()
    path = tmp_path / "curves.png"
    assert history.plot(path) == str(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    loss, accuracy = drawn[0].axes
    assert [line.get_ydata().tolist() for line in loss.lines] == [history.loss, history.val_loss]
    assert [line.get_label() for line in loss.lines] == ["training", "validation"]
    assert [line.get_ydata().tolist() for line in accuracy.lines] == [history.val_accuracy]
    assert accuracy.lines[0].get_xdata().tolist() == [1, 2, 3]


def test_plot_without_validation_has_one_panel(tmp_path, drawn):
    make_history(validated=False).plot(tmp_path / "curves.svg")
    assert len(drawn[0].axes) == 1
    assert len(drawn[0].axes[0].lines) == 1
    assert b"<svg" in (tmp_path / "curves.svg").read_bytes()


def test_plot_shows_a_learning_rate_that_changes(tmp_path, drawn):
    history = make_history(validated=False)
    history.epochs[-1]["learning_rate"] = 0.001
    history.plot(tmp_path / "curves.png")
    assert [axes.get_title() for axes in drawn[0].axes] == ["loss", "learning rate"]
    assert drawn[0].axes[1].lines[0].get_ydata().tolist() == history.learning_rate


def test_plot_leaves_gaps_where_a_column_is_missing(tmp_path, drawn):
    history = make_history()
    del history.epochs[1]["val_loss"]
    history.plot(tmp_path / "curves.png")
    gap = drawn[0].axes[0].lines[1].get_ydata()
    assert gap[0] == 1.5
    assert gap[1] != gap[1]


def test_plot_needs_no_display_and_no_pyplot(tmp_path):
    pytest.importorskip("matplotlib")
    code = f"""if True:
        import sys
        from fastnn.history import History
        history = History()
        history.epochs.append({{"epoch": 0, "loss": 1.0}})
        history.plot({str(tmp_path / "curves.png")!r})
        assert "matplotlib.pyplot" not in sys.modules
    """
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "MPLBACKEND": "TkAgg"}
    )


def test_plot_of_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"call net\.fit first"):
        History().plot(tmp_path / "curves.png")


def test_plot_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "fastnn\[demo\]"'):
        make_history().plot(tmp_path / "curves.png")
