"""Checkpoints: a running fit on disk, from which it goes on with the same bits.

A checkpoint is a model file with more in it: `fastnn.load` reads the network of that moment. The
rest is what a fit knows: optimizer, position, history, and what callbacks remember. There is no
state of a random generator, since all random numbers are functions of seed and position.
"""

from __future__ import annotations

import json
import os

import numpy as np

from fastnn import _saving, model_file
from fastnn._validate import check_int
from fastnn.callbacks import Callback
from fastnn.history import History


class Checkpoint(Callback):
    """Write the state of the fit to a file, and go on from there.

    The file is replaced as a whole or not at all, and only after a step whose losses and weights
    were finite. A run that goes on gives the bits of one that was never stopped, if data and
    settings are the same: data cannot be checked, the settings are.

    Parameters
    ----------
    path : str or os.PathLike
    every : int, default 1
        Epochs between two checkpoints. The last epoch is always written.
    every_steps : int, optional
        Also write after so many steps, counted within each epoch, and after each epoch.
    resume : bool, default False
        Where `path` exists, `fit` goes on from it, up to as many epochs as the first fit would
        have made: a script that was killed is simply started again.

    Examples
    --------
    ::

        net.fit(X, y, epochs=100, callbacks=[fastnn.Checkpoint("run.safetensors", resume=True)])

    Raises
    ------
    OSError
        From `fit`, where the file cannot be written or read; what was there stays.
    CorruptModelError
        From `fit`, where `path` holds something else.
    ValueError
        From `fit`, where the checkpoint was written by a fit with other settings.
    """

    comes_last = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        every: int = 1,
        *,
        every_steps: int | None = None,
        resume: bool = False,
    ) -> None:
        self.path = os.fspath(path)
        self.every = check_int("every", every, 1)
        self.every_steps = None if every_steps is None else check_int("every_steps", every_steps, 1)
        self.step_interval = self.every_steps or 1
        self.resume = bool(resume)

    def watches_steps(self) -> bool:
        return self.every_steps is not None

    def on_step_end(self, fit) -> None:
        if fit.step < fit.steps_per_epoch:  # `on_epoch_end` follows, with the row of the history
            write_checkpoint(self.path, fit)

    def on_epoch_end(self, fit) -> None:
        is_due = fit.n_epochs_done % self.every == 0 or self.every_steps is not None
        if is_due or fit.n_epochs_done == fit.epochs or fit.history.stop_reason is not None:
            write_checkpoint(self.path, fit)

    def take_up(self, fit) -> None:
        if self.resume and os.path.exists(self.path):
            resume_fit(self.path, fit)


def write_checkpoint(path: str, fit) -> None:
    """Write a network and the fit that is under way, atomically."""
    network, tensors = _saving.describe_network(fit.net)
    optimizer = fit.optimizer.state_dict()
    arrays = {f"optimizer.{name}": slot for name, slot in optimizer["slots"].items()}
    callbacks = []
    for i, callback in enumerate(_list_stateful(fit)):
        plain = callback.state_dict()
        names = [name for name, value in plain.items() if isinstance(value, np.ndarray)]
        arrays.update({f"callbacks.{i}.{name}": plain.pop(name) for name in names})
        callbacks.append(plain)
    if len(fit.losses_so_far):
        arrays["losses"] = fit.losses_so_far
    columns, history = _split_history(fit.history)
    arrays.update({f"history.{name}": column for name, column in columns.items()})
    state = {
        "settings": _describe_settings(fit),
        "start": fit.start,
        "position": fit.position,
        "learning_rate": fit.learning_rate,
        "optimizer_steps": optimizer["steps"],
        "callbacks": callbacks,
        "history": history,
    }
    tensors.update({_saving.CHECKPOINT_PREFIX + name: array for name, array in arrays.items()})
    model_file.write_model(path, {"network": network, "checkpoint": state}, tensors)


def resume_fit(path: str, fit) -> None:
    """Put a fit that is about to begin where the one was that wrote `path`."""
    header, tensors = model_file.read_model(path)
    if set(header) != {"network", "checkpoint"}:
        raise model_file.CorruptModelError(
            path, "header", "a checkpoint", "a model without the state of a fit"
        )
    network, state = header["network"], header["checkpoint"]
    mine = {**_saving.describe_network(fit.net)[0], **_describe_settings(fit)}
    try:
        _check_same(mine, {**network, **state["settings"]}, path)
    except (KeyError, TypeError) as error:
        raise _find_damage(path, error) from None
    try:
        weights, arrays = _saving.split_tensors(tensors)
        _restore(fit, state, arrays)
        _saving.take_state(fit.net, network, weights)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _find_damage(path, error) from None


def _find_damage(path: str, error: Exception) -> model_file.CorruptModelError:
    found = f"{type(error).__name__}: {error}"
    return model_file.CorruptModelError(path, "header", "the state of a fit", found)


def _restore(fit, state, arrays) -> None:
    fit.take_position(state["start"], state["position"], arrays.get("losses", np.empty(0)))
    fit.learning_rate = state["learning_rate"]
    fit.optimizer.load_state_dict(
        {
            "optimizer": type(fit.optimizer).__name__,
            "steps": state["optimizer_steps"],
            "slots": _select(arrays, "optimizer."),
        }
    )
    for i, (callback, plain) in enumerate(
        zip(_list_stateful(fit), state["callbacks"], strict=True)
    ):
        callback.load_state_dict({**plain, **_select(arrays, f"callbacks.{i}.")})
    history = _join_history(_select(arrays, "history."), state["history"])
    vars(fit.history).update(vars(history))


# Of the network's header: what training changes.
_POSITION = {"epoch", "step"}


def _select(arrays, prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}


def _list_stateful(fit) -> list[Callback]:
    return [each for each in fit.callbacks if type(each).state_dict is not Callback.state_dict]


def _describe_settings(fit) -> dict:
    """What must be the same for the same bits."""
    names = [type(callback).__name__ for callback in _list_stateful(fit)]
    return json.loads(json.dumps({**fit.settings, "callbacks": names}))  # as a file gives it back


def _check_same(mine: dict, saved: dict, path: str) -> None:
    for name in {**mine, **saved}:
        if name not in _POSITION and mine.get(name) != saved.get(name):
            raise ValueError(
                f"{path} was written by a fit with {name}={saved.get(name)!r}, but this one has "
                f"{mine.get(name)!r}: use the same settings, or another path"
            )


# --- a history of any length: columns of numbers, beside what JSON holds -------------------------


def _split_history(history: History):
    """Columns that have a finite number in each row, as arrays; the rest as JSON."""
    state = history.to_dict()
    rows = state["epochs"]
    names = [
        name
        for name in (rows[0] if rows else ())
        if all(isinstance(row.get(name), (int, float)) for row in rows)
        and not any(isinstance(row[name], bool) for row in rows)
    ]
    kinds = {name: all(isinstance(row[name], int) for row in rows) for name in names}
    columns = {name: np.array([row[name] for row in rows], dtype=np.float64) for name in names}
    rest = [{name: value for name, value in row.items() if name not in names} for row in rows]
    return columns, {
        **state,
        "epochs": rest if any(rest) else len(rows),
        "order": list(dict.fromkeys(name for row in rows for name in row)),
        "integers": [name for name, is_int in kinds.items() if is_int],
    }


def _join_history(columns, state) -> History:
    rest = state["epochs"]
    rest = [{} for _ in range(rest)] if isinstance(rest, int) else rest
    lists = {
        name: [int(value) for value in column] if name in state["integers"] else column.tolist()
        for name, column in columns.items()
    }
    rows = [
        {**{name: values[i] for name, values in lists.items()}, **row} for i, row in enumerate(rest)
    ]
    ordered = [{name: row[name] for name in state["order"] if name in row} for row in rows]
    return History.from_dict({**state, "epochs": ordered})
