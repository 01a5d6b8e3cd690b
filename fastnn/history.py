"""What a training run has seen: one row for each epoch."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np


class History:
    """The rows of a training run, in order.

    ``history.loss`` is the list of the column "loss", and so for every other column: "epoch",
    "loss", "seconds", "learning_rate" and, with validation data, "val_loss" and, for classifiers,
    "val_accuracy". With penalties on the weights "loss" is the sum of "data_loss" and "penalty".
    Rows that lack a column give None.

    Attributes
    ----------
    epochs : list of dict
        One row for each epoch.
    stop_reason : str or None
        Why training ended, in words; None while it runs.
    converged : bool
        Whether it ended because the loss no longer fell: ``fit(tol=...)``.
    restarts : list of dict
        Seed, loss, val_loss and stop_reason of each of the trainings of ``fit(n_restarts=...)``,
        of which this is the best; a loss of None where it diverged.
    """

    def __init__(self) -> None:
        self.epochs: list[dict[str, Any]] = []
        self.stop_reason: str | None = None
        self.converged = False
        self.restarts: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self.epochs)

    def __getattr__(self, name: str) -> list[Any]:
        # Only called for what is not an ordinary attribute. Copying and unpickling ask for
        # attributes before __init__ has run, so no column may be looked for then.
        columns = self._columns() if "epochs" in self.__dict__ else []
        if name in columns:
            return [row.get(name) for row in self.epochs]
        known = f"columns: {', '.join(columns)}" if columns else "no epochs yet"
        raise AttributeError(f"History has no column {name!r} ({known})", name=name, obj=self)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._columns()]

    def _columns(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.epochs for name in row))

    def to_dict(self) -> dict[str, Any]:
        """All of it as what JSON can hold; `from_dict` makes a History of it again."""
        return {
            "epochs": [{name: _plain(value) for name, value in row.items()} for row in self.epochs],
            "stop_reason": self.stop_reason,
            "converged": self.converged,
            "restarts": [dict(restart) for restart in self.restarts],
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> History:
        """The history that `to_dict` gave."""
        history = cls()
        history.epochs = [dict(row) for row in state["epochs"]]
        history.stop_reason, history.converged = state["stop_reason"], state["converged"]
        history.restarts = [dict(restart) for restart in state["restarts"]]
        return history

    def __repr__(self) -> str:
        """An aligned table; of a long run, the first and the last rows."""
        if not self.epochs:
            return "History: no epochs yet"
        columns = self._columns()
        rows = self.epochs
        if len(rows) > 20:
            rows = [*rows[:10], dict.fromkeys(columns, "…"), *rows[-9:]]
        cells = [[_cell(row.get(name)) for name in columns] for row in rows]
        widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            for line in [columns, *cells]
        ]
        return "\n".join(lines)

    def plot(self, path: str | os.PathLike[str]) -> str:
        """Draw the learning curves into a picture.

        The loss; where there is one, the accuracy; the learning rate, where it changes.

        Parameters
        ----------
        path : str or os.PathLike
            The ending chooses the format: .png, .svg, .pdf.

        Returns
        -------
        str
            The path.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there are no epochs yet.
        """
        if not self.epochs:
            raise ValueError("history has no epochs; expected at least 1: call net.fit first")
        try:
            # Not pyplot, which needs a display or a choice of backend and keeps every figure.
            from matplotlib.figure import Figure
            from matplotlib.ticker import MaxNLocator, PercentFormatter
        except ImportError as error:
            raise ImportError(
                'plot needs matplotlib, which is not installed: pip install "fastnn[demo]"'
            ) from error
        curves = self._list_curves()
        figure = Figure(figsize=(4.8 * len(curves), 3.6), layout="constrained")
        panels = figure.subplots(1, len(curves), squeeze=False)[0]
        for axes, (title, names) in zip(panels, curves.items(), strict=True):
            self._draw(axes, title, names)
            if title == "accuracy":
                axes.yaxis.set_major_formatter(PercentFormatter(1.0))
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(alpha=0.3)
            if any(names.values()):
                axes.legend(frameon=False)
        path = os.fspath(path)
        figure.savefig(path, dpi=150)
        return path

    def _list_curves(self) -> dict[str, dict[str, str | None]]:
        """Titles of the panels, each with its columns and their labels, where they need any."""
        curves: dict[str, dict[str, str | None]] = {
            "loss": {"loss": "training", "val_loss": "validation"}
        }
        if "val_accuracy" in self._columns():
            curves["accuracy"] = {"val_accuracy": "validation"}
        if len({row.get("learning_rate") for row in self.epochs}) > 1:
            curves["learning rate"] = {"learning_rate": None}
        return curves

    def _draw(self, axes, title: str, curves: dict[str, str | None]) -> None:
        axes.set_title(title)
        epochs = range(1, len(self) + 1)
        style = {"linewidth": 1.6, "marker": "o" if len(self) <= 30 else "", "markersize": 3.5}
        for name, label in curves.items():
            if name in self._columns():
                values = [math.nan if value is None else value for value in getattr(self, name)]
                colour = "tab:orange" if label == "validation" else "tab:blue"
                axes.plot(epochs, values, label=label, color=colour, **style)


def _plain(value):
    """A number of NumPy as one of Python; None for NaN and infinity, which JSON does not know."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value):
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
