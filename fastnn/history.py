"""What a training run has seen: one row for each epoch."""

from __future__ import annotations

import math
import os
from typing import Any


class History:
    """The rows of a training run, in order.

    ``history.loss`` is the list of the column "loss", and so for every other column: "epoch",
    "loss", "seconds", "learning_rate" and, with validation data, "val_loss" and, for classifiers,
    "val_accuracy". Rows that lack a column give None.

    Attributes
    ----------
    epochs : list of dict
        One row for each epoch.
    stop_reason : str or None
        Why training ended, in words; None while it runs.
    converged : bool
        Whether it ended because the loss no longer fell: ``fit(tol=...)``.
    """

    def __init__(self) -> None:
        self.epochs: list[dict[str, Any]] = []
        self.stop_reason: str | None = None
        self.converged = False

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
        """Draw the learning curves into a picture: loss and, where validated, accuracy.

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
        figure = Figure(figsize=(4.8 * (1 + self._has_accuracy()), 3.6), layout="constrained")
        panels = figure.subplots(1, 1 + self._has_accuracy(), squeeze=False)[0]
        self._draw(panels[0], "loss", {"loss": "training", "val_loss": "validation"})
        if self._has_accuracy():
            self._draw(panels[1], "accuracy", {"val_accuracy": "validation"})
            panels[1].yaxis.set_major_formatter(PercentFormatter(1.0))
        for axes in panels:
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(alpha=0.3)
            axes.legend(frameon=False)
        path = os.fspath(path)
        figure.savefig(path, dpi=150)
        return path

    def _has_accuracy(self) -> bool:
        return "val_accuracy" in self._columns()

    def _draw(self, axes, title: str, curves: dict[str, str]) -> None:
        axes.set_title(title)
        epochs = range(1, len(self) + 1)
        style = {"linewidth": 1.6, "marker": "o" if len(self) <= 30 else "", "markersize": 3.5}
        for name, label in curves.items():
            if name in self._columns():
                values = [math.nan if value is None else value for value in getattr(self, name)]
                colour = "tab:blue" if label == "training" else "tab:orange"
                axes.plot(epochs, values, label=label, color=colour, **style)


def _cell(value):
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
