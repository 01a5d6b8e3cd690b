"""Which classes are taken for which: a table in plain text."""

from __future__ import annotations

import numpy as np


def confusion_table(y_true: np.ndarray, y_predicted: np.ndarray, classes: np.ndarray) -> str:
    """Count each pair of true and predicted class.

    Parameters
    ----------
    y_true, y_predicted : ndarray of shape (n,)
        Labels, all of them in `classes`.
    classes : ndarray of shape (n_classes,)

    Returns
    -------
    str
        A row for each true class, a column for each predicted one; "." for 0, so that errors show.
    """
    positions = {label: i for i, label in enumerate(classes.tolist())}
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    for true, predicted in zip(y_true.tolist(), y_predicted.tolist(), strict=True):
        counts[positions[true], positions[predicted]] += 1
    names = [str(label) for label in classes.tolist()]
    cells = [[str(count) if count else "." for count in row] for row in counts.tolist()]
    width = max(len(text) for row in [names, *cells] for text in row)
    first = max(len("true"), *map(len, names))
    rule = "-" * (first + 1) + "+" + "-" * ((width + 1) * len(names))
    lines = [" " * first + " | predicted", _line("true", names, first, width), rule]
    lines += [_line(name, row, first, width) for name, row in zip(names, cells, strict=True)]
    return "\n".join(lines)


def _line(name: str, cells: list[str], first: int, width: int) -> str:
    return f"{name:>{first}} |" + "".join(f" {cell:>{width}}" for cell in cells)
