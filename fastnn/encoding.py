"""One-hot rows from class labels, and labels from one-hot rows."""

from __future__ import annotations

import numpy as np

from fastnn._labels import as_classes, encode_labels, find_ones
from fastnn._validate import as_matrix


def one_hot(labels, classes=None) -> np.ndarray:
    """Return a row for each label: 1 in the column of its class, 0 elsewhere.

    `Network.fit` takes labels as they are; this is for networks and losses written by hand.

    Parameters
    ----------
    labels : array-like (n_rows,)
        Integers, booleans or strings.
    classes : array-like (n_classes,), optional
        The order of the columns. By default the sorted labels.

    Returns
    -------
    float32 ndarray (n_rows, n_classes)

    Raises
    ------
    ValueError, TypeError
        For a label that is not one of `classes`, and for what cannot be a label.

    Examples
    --------
    >>> one_hot(["Milan", "Madrid"], classes=["Madrid", "Barcelona", "Milan"])
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    indices, classes = encode_labels(labels, classes, name="labels")
    rows = np.zeros((len(indices), len(classes)), dtype=np.float32)
    rows[np.arange(len(indices)), indices] = 1
    return rows


def from_one_hot(rows, classes=None) -> np.ndarray:
    """Return the label of each one-hot row: the inverse of `one_hot`.

    Parameters
    ----------
    rows : array-like (n_rows, n_classes)
    classes : array-like (n_classes,), optional
        The labels of the columns. By default 0, 1, ...

    Returns
    -------
    ndarray (n_rows,)

    Raises
    ------
    ValueError
        For a row that is not one-hot, or another number of classes than of columns.

    Examples
    --------
    >>> from_one_hot([[0, 0, 1], [1, 0, 0]])
    array([2, 0])
    """
    rows = as_matrix(rows, "rows", "float64")
    classes = as_classes(range(rows.shape[1]) if classes is None else classes)
    if len(classes) != rows.shape[1]:
        raise ValueError(
            f"rows has {rows.shape[1]} columns, but classes has {len(classes)} entries; expected "
            "one class for each column"
        )
    ones = find_ones(rows)
    if ones is None:
        is_wrong = (np.count_nonzero(rows, axis=1) != 1) | ((rows == 1).sum(axis=1) != 1)
        row = int(is_wrong.argmax())
        raise ValueError(f"rows contains {rows[row].tolist()} at row {row}; expected one-hot rows")
    return classes[ones]
