"""What the user calls y, as the loss needs it: class indices, or numbers row by row; and back.

One encoder for all losses: what a loss compares the output with (``Loss.targets``) decides how y is
read. A 0/1 matrix is one-hot under softmax cross-entropy, multilabel under binary cross-entropy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastnn import _labels

# Labels for no and yes that say themselves which is which.
_PAIRS = ([0, 1], [-1, 1], [False, True])

_SAID = "as the first rows or classes= said"
_NAME_THEM = "pass all labels as classes= to a new Network"


class Encoded(NamedTuple):
    """Targets as the kernels take them; `labels` or `values` is None.

    Attributes
    ----------
    labels : int32 ndarray (n_rows,) or None
    values : ndarray (n_rows, n_outputs) or None
    classes : ndarray or None
        Labels in the order of the outputs; of one output that tells two classes apart, and of
        multilabel outputs, the labels for no and yes. None for a loss that takes values.
    """

    labels: np.ndarray | None
    values: np.ndarray | None
    classes: np.ndarray | None


def encode_targets(y, loss, classes, n_rows: int, n_outputs: int, dtype: str, name: str = "y"):
    """Check and encode targets.

    Parameters
    ----------
    y : array-like
        For a loss that takes values: (n_rows, n_outputs), or (n_rows,) for one output. For
        classes: labels (n_rows,), or a column for each class: one-hot rows or, if the loss takes
        them, probabilities. For multilabel losses with several outputs: a matrix of yes and no.
    loss : Loss
    classes : ndarray or None
        As `Encoded.classes`; None finds them in `y`.

    Returns
    -------
    Encoded
    """
    if not loss.is_classifier:
        values = _labels.as_targets(y, n_rows, n_outputs, dtype, name)
        if loss.targets == "counts":
            _labels.check_counts(values, name)
        return Encoded(None, values, None)
    if is_multilabel(loss, n_outputs):
        return _encode_multilabel(y, loss, classes, n_rows, n_outputs, dtype, name)
    if loss.targets == "binary" and _labels.has_fractions(y):
        return _encode_shares(y, classes, n_rows, dtype, name)
    n_classes = n_outputs if loss.targets == "classes" else max(n_outputs, 2)
    if classes is not None and len(classes) != n_classes:
        raise ValueError(
            f"the network's classes has {len(classes)} entries, expected {n_classes}, one for each "
            "class that its outputs tell apart"
        )
    encoded = _encode_classes(y, classes, n_rows, n_classes, n_outputs, dtype, name)
    if encoded.values is None or loss.targets == "classes":
        return encoded
    if loss.targets != "binary":
        raise ValueError(
            f"{name} holds probabilities, but the loss {loss.name!r} needs one class in each row: "
            "labels or one-hot rows"
        )
    return encoded._replace(values=np.ascontiguousarray(encoded.values[:, 1:]))


def is_multilabel(loss, n_outputs: int) -> bool:
    """Whether each output answers a question of its own with yes or no."""
    return loss.targets in ("binary", "signs") and n_outputs > 1


def _encode_classes(y, classes, n_rows, n_classes, n_outputs, dtype, name) -> Encoded:
    """Labels, or a column for each class."""
    if _labels.is_label_vector(y):
        fix = f", {_SAID}: {_NAME_THEM}"
        if classes is None:
            classes, fix = _find_classes(y, n_classes, n_outputs, name)
        labels, classes = _labels.encode_labels(y, classes, n_rows, name, fix)
        return Encoded(labels, None, classes)
    _refuse_label_columns(y, n_classes, name)
    values = _labels.as_targets(y, n_rows, n_classes, dtype, name)
    _labels.check_probability_rows(values, name)
    if classes is None:
        classes = _labels.as_classes(range(n_classes))
    ones = _labels.find_ones(values)
    if ones is not None:  # one-hot rows give the bits that labels give
        return Encoded(ones, None, classes)
    return Encoded(None, values, classes)


def _refuse_label_columns(y, n_classes: int, name: str) -> None:
    """Several columns of labels are several tasks, each with classes of its own."""
    array = _labels.as_array(y, name)
    numbers = array.dtype.kind in "fiub"
    if array.ndim == 2 and (not numbers or array.shape[1] != n_classes):
        raise ValueError(
            f"{name} has shape {array.shape}; expected one label in each row, or shape "
            f"({len(array)}, {n_classes}), a share of each class. Several columns of labels need "
            "a network for each column; columns of yes and no need loss='binary_cross_entropy' or "
            "fastnn.Hinge(multilabel=True)"
        )


def _find_classes(y, n_classes: int, n_outputs: int, name: str) -> tuple[np.ndarray, str]:
    """The classes of a first fit: the sorted labels, or all integers up to the outputs.

    And what to do about labels that are none of these.
    """
    classes = _labels.encode_labels(y, None, None, name)[1]
    if len(classes) == n_classes:
        return classes, ""
    if n_classes == 2 and len(classes) == 1:  # the other one may be absent
        for pair in _PAIRS:
            if classes[0] in pair and (classes.dtype.kind == "b") == isinstance(pair[0], bool):
                return _labels.as_classes(pair), ""
    if classes.dtype.kind == "i" and n_outputs > 1:
        # some may be absent; one out of range is told by its row
        too_many = len(classes) > n_classes
        fix = f"end the network with Dense({len(classes)})" if too_many else _NAME_THEM
        return _labels.as_classes(range(n_classes)), f": {fix}"
    if n_outputs < n_classes and len(classes) > 2:
        raise ValueError(
            f"{name} has {len(classes)} classes, but one output tells two apart: end the network "
            f"with Dense({len(classes)}) and use loss='softmax_cross_entropy'"
        )
    if n_outputs < n_classes:
        raise ValueError(
            f"{name} has one class, {classes[0]!r}; expected two: pass classes= to Network"
        )
    raise ValueError(
        f"{name} has {len(classes)} classes, but the last layer has {n_outputs} units: end the "
        f"network with Dense({len(classes)}), or pass classes="
    )


def _encode_shares(y, classes, n_rows: int, dtype: str, name: str) -> Encoded:
    """Probabilities of the second of two classes, for one output."""
    values = _labels.as_targets(y, n_rows, 1, dtype, name)
    _labels.check_shares(values, name)
    if classes is not None and classes.tolist() != [0, 1]:
        raise ValueError(
            f"{name} holds probabilities, but the classes are {classes.tolist()}; expected labels"
        )
    return Encoded(None, values, _labels.as_classes([0, 1]))


def _encode_multilabel(y, loss, classes, n_rows, n_outputs, dtype: str, name: str) -> Encoded:
    """A matrix of yes and no, of one pair for all outputs; or of the probabilities of yes."""
    if _labels.is_label_vector(y):
        raise ValueError(
            f"{name} holds one label in each row; expected a matrix ({n_rows}, {n_outputs}), yes "
            "or no for each output. For one class of several in each row use "
            "loss='softmax_cross_entropy'"
        )
    array = _labels.as_array(y, name)
    if classes is None:
        classes = _find_pair(array, name)
    if array.dtype.kind not in "fiub" or classes.tolist() not in _PAIRS:
        return Encoded(
            None, _encode_columns(array, classes, n_rows, n_outputs, dtype, name), classes
        )
    values = _labels.as_targets(array, n_rows, n_outputs, dtype, name)
    if classes[0] == -1:
        _labels.check_signs(values, name)
        values = (values > 0).astype(dtype)
    elif (values == -1).any():
        raise ValueError(
            f"{name} contains -1, but no and yes are {classes.tolist()}, {_SAID}: pass "
            "classes=[-1, 1] to a new Network"
        )
    _labels.check_shares(values, name)
    if loss.targets == "signs":
        _labels.check_bits(values, name)
    return Encoded(None, values, classes)


def _find_pair(array: np.ndarray, name: str) -> np.ndarray:
    """What stands for no and yes in a first matrix of them."""
    if array.dtype.kind in "fiub":
        is_bool = array.dtype.kind == "b"
        return _labels.as_classes(_PAIRS[2 if is_bool else 1 if (array == -1).any() else 0])
    found = _labels.encode_labels(array.reshape(-1), name=name)[1]
    if len(found) != 2:
        raise ValueError(
            f"{name} has {len(found)} different entries, such as {found[:3].tolist()}; expected "
            "two, for no and yes, the same in all columns (or name them: Network(classes=[no, "
            "yes])). Columns with classes of their own need a network each"
        )
    return found


def _encode_columns(array, classes, n_rows: int, n_outputs: int, dtype: str, name: str):
    """0 and 1 for a matrix of the two labels."""
    _labels.check_columns(array, n_rows, n_outputs, name)
    columns = [
        _labels.encode_labels(array[:, j], classes, n_rows, f"{name}[:, {j}]")[0]
        for j in range(n_outputs)
    ]
    return np.column_stack(columns).astype(dtype)


def check_classes(classes, loss, n_outputs: int) -> np.ndarray | None:
    """The order of the classes that a user gave to a new network, or None."""
    if classes is None:
        return None
    classes = _labels.as_classes(classes)
    if not loss.is_classifier:
        raise ValueError(f"classes were given, but the loss {loss.name!r} takes values")
    if is_multilabel(loss, n_outputs):
        if len(classes) != 2:
            raise ValueError(
                f"classes is {classes.tolist()}; expected two, the entries for no and yes, which "
                "all outputs share"
            )
    elif n_outputs == 1 and loss.targets != "classes":
        if len(classes) != 2:
            raise ValueError(
                f"classes has {len(classes)} entries, but one output tells two apart under the "
                f"loss {loss.name!r}"
            )
    elif len(classes) != n_outputs:
        raise ValueError(
            f"classes has {len(classes)} entries, but the last layer has {n_outputs} "
            f"units: end the network with Dense({len(classes)})"
        )
    return classes


# --- and back ------------------------------------------------------------------------------------


def choose_classes(scores: np.ndarray, loss) -> np.ndarray:
    """Class index of each row (n_rows,), or 0 and 1 for each multilabel output (n_rows, n)."""
    if loss.targets == "classes":
        return scores.argmax(axis=1)
    if scores.shape[1] == 1:
        return (scores[:, 0] > 0).astype(np.intp)
    if is_multilabel(loss, scores.shape[1]):
        return (scores > 0).astype(np.intp)
    return scores.argmax(axis=1)


def decide(output: np.ndarray, loss, classes, scaling=None) -> np.ndarray:
    """What y was like, from the output that `Loss.decides_by` names; `scaling` is undone."""
    if not loss.is_classifier:
        output = output if scaling is None else scaling.undo(output)
        return output[:, 0] if output.shape[1] == 1 else output
    chosen = choose_classes(output, loss)
    return chosen if classes is None else classes[chosen]


def check_right(scores: np.ndarray, loss, labels, values) -> np.ndarray:
    """The share of right answers in each row (n_rows,): 0 or 1, but for multilabel rows."""
    chosen = choose_classes(scores, loss)
    if labels is not None:
        return chosen == labels
    if loss.targets == "classes":
        return chosen == values.argmax(axis=1)
    right = (chosen.reshape(values.shape) > 0) == (values > 0.5)
    return right.mean(axis=1)


def spread_probabilities(probabilities: np.ndarray, loss) -> np.ndarray:
    """A column for each class, also where one output tells two apart."""
    if loss.targets == "binary" and probabilities.shape[1] == 1:
        return np.hstack([1 - probabilities, probabilities])
    return probabilities
