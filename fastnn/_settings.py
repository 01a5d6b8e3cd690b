"""The settings that optimizers have: each said once, with what it may be and what it means.

An optimizer is a dataclass, whose fields are the names and defaults of its settings; that makes its
signature. What it is handed, then or later, is checked by the entry of its name below, and
`document` makes the section of its docstring from these entries.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple, TypeVar

from fastnn._validate import check_int, check_number

_Class = TypeVar("_Class", bound=type)


def _positive(name: str, value) -> float:
    return check_number(name, value, low=0, low_open=True)


def _at_least_0(name: str, value) -> float:
    return check_number(name, value, low=0)


def _fraction(name: str, value) -> float:
    return check_number(name, value, low=0, high=1, high_open=True)


def _optional(name: str, value) -> float | None:
    return None if value is None else _positive(name, value)


def _below_1(name: str, value) -> float:
    return check_number(name, value, low=0, high=1, low_open=True, high_open=True)


def _above_1(name: str, value) -> float:
    return check_number(name, value, low=1, low_open=True)


def _flag(name: str, value) -> bool:
    return bool(value)


def _count(name: str, value) -> int:
    return check_int(name, value, 1)


class Setting(NamedTuple):
    """What a setting may be, and what the docstrings say of it."""

    check: Callable[[str, Any], Any]
    text: str


_FORGETS = "How slowly the running mean of g forgets; in [0, 1)."
_FORGETS_SQUARES = "How slowly the running mean of squares forgets; in [0, 1)."

SETTINGS = {
    "learning_rate": Setting(_positive, "Greater than 0."),
    "momentum": Setting(_fraction, "In [0, 1)."),
    "nesterov": Setting(_flag, "Needs a momentum."),
    "beta1": Setting(_fraction, _FORGETS),
    "beta2": Setting(_fraction, _FORGETS_SQUARES),
    "momentum_decay": Setting(_at_least_0, "At least 0."),
    "rho": Setting(_fraction, _FORGETS_SQUARES),
    "rate_decay": Setting(_at_least_0, "At least 0."),
    "initial": Setting(_at_least_0, "What v begins with; at least 0."),
    "epsilon": Setting(_positive, "Greater than 0."),
    "shrink": Setting(_below_1, "Factor of the size where the sign turns; in (0, 1)."),
    "grow": Setting(_above_1, "Factor of the size where the sign stays; greater than 1."),
    "min_step": Setting(_positive, "Least size of a step; greater than 0."),
    "max_step": Setting(_positive, "Greatest size of a step; at least min_step."),
    "history_size": Setting(_count, "Steps that are remembered; at least 1."),
    "tolerance_gradient": Setting(
        _at_least_0, "The fit has converged where no element of g is larger; at least 0."
    ),
    "tolerance_change": Setting(
        _at_least_0,
        "It also has where the loss falls by no more than this, as a share of the loss or of 1, "
        "whichever is larger; at least 0.",
    ),
    "max_line_search": Setting(_count, "Passes that one iteration may take; at least 1."),
    "weight_decay": Setting(
        _at_least_0, "Of weights and biases alike; added to g if nothing else is said. At least 0."
    ),
    "clip_value": Setting(
        _optional, "Elements of the gradient are clipped to [-clip_value, clip_value]."
    ),
    "clip_norm": Setting(
        _optional,
        "All gradients, those of penalties included, are scaled by min(1, clip_norm / (norm + "
        "1e-6)), where norm is that of all of them together; before clip_value. R. Pascanu et "
        'al., "On the difficulty of training recurrent neural networks" (2013), algorithm 1, as '
        "PyTorch's clip_grad_norm_.",
    ),
}


def document(cls: _Class) -> _Class:
    """Give the docstring of a dataclass its section of parameters, those of its base last."""
    if cls.__doc__ is not None:  # as it is under python -OO
        section = ["Parameters", "----------"]
        for each in sorted(fields(cls), key=_comes_last):
            default = each.default
            kind = "float" if default is None else type(default).__name__
            rest = "optional" if default is None else f"default {default!r}"
            text = textwrap.indent(textwrap.fill(SETTINGS[each.name].text, 92), "    ")
            section += [f"{each.name} : {kind}, {rest}", text]
        cls.__doc__ = "\n".join([inspect.cleandoc(cls.__doc__), "", *section, ""])
    return cls


def _comes_last(each) -> bool:
    return each.name in {"weight_decay", "clip_value", "clip_norm"}
