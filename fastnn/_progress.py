"""The progress bar of a fit."""

from __future__ import annotations

from typing import Any


def make_bar(n_epochs: int):
    from tqdm import tqdm  # only where it is wanted: it takes longer to import than fastnn

    return tqdm(total=n_epochs, unit="epoch", dynamic_ncols=True)


def describe_row(row: dict[str, Any]) -> dict[str, str]:
    """What the bar shows of an epoch."""
    return {
        name.replace("_", " "): f"{row[name]:.4f}"
        for name in ("loss", "val_loss", "val_accuracy")
        if name in row
    }
