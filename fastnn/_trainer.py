"""A network bound to the engine, and what a thread keeps of it from fit to fit.

To bind a small network takes as long as a hundred of its steps. For a large one the system hands
out and clears some hundred megabytes, which takes a tenth of an epoch where it has lent them to
others since the last fit. So a thread keeps what its last fit was bound to, until it fits something
else, or the network is gone.

Rejected: scratch that each network keeps. Of many networks that are trained one after the other,
all would hold several times the memory of their weights.
"""

from __future__ import annotations

import threading
import weakref

import numpy as np

from fastnn import _programs

# Weights are copied into panels, which makes steps faster, where at least so many rows are trained
# on between two callbacks: for each of these they are copied back.
PACK_MIN_TRAINED = 1024


class _Slot:
    """Holds the one Trainer that a thread keeps, if any."""

    trainer: Trainer | None = None


class _Kept(threading.local):
    def __init__(self) -> None:
        self.slot = _Slot()  # gone with its thread


_kept = _Kept()


class Trainer:
    """Weights and what an optimizer keeps, bound to the engine.

    Parameters
    ----------
    parameters, plans, loss, merged, optimizer, packed
        Of `_programs.make_trainer`.

    Attributes
    ----------
    binding : Binding
    engine : Engine
    state : list of ndarray
        All that steps change: parameters, running statistics, the optimizer's slots.
    copies : list of ndarray
        Memory for it as it was before a call of the engine.
    """

    def __init__(self, parameters, plans, loss, merged, optimizer, packed: bool) -> None:
        self._settings = plans, loss, merged, packed
        self._owner = weakref.ref(parameters)
        self._slots = optimizer.bind(len(parameters.values), plans[0].dtype)
        self.state = [parameters.values, parameters.running, *self._slots]
        self.copies = [np.empty_like(array) for array in self.state]
        self.binding, self.engine = _programs.make_trainer(
            parameters, plans, loss, merged, optimizer, packed
        )

    @classmethod
    def take(cls, parameters, *settings) -> Trainer:
        """That which this thread keeps, where it is what is asked for, or a new one."""
        slot = _kept.slot
        kept, slot.trainer = slot.trainer, None  # callbacks may fit another network
        if kept is not None and kept._fits(parameters, *settings):
            return kept
        del kept  # before there is a new one
        return cls(parameters, *settings)

    def _fits(self, parameters, plans, loss, merged, optimizer, packed: bool) -> bool:
        slots = optimizer.bind(len(parameters.values), plans[0].dtype)
        return (
            self._owner() is parameters
            and self._settings == (plans, loss, merged, packed)
            and (slots is self._slots or slots.size == self._slots.size == 0)
        )

    def keep(self, parameters) -> None:
        """Let the next fit of this thread have it: nobody uses it any more."""
        self.engine.drop_data()
        slot = weakref.ref(_kept.slot)  # weakly, or both would be a cycle when the thread ends
        self._owner = weakref.ref(parameters, lambda owner: _forget(slot(), owner))
        _kept.slot.trainer = self


def _forget(slot: _Slot | None, owner) -> None:
    """What is kept of a network that is gone."""
    kept = slot.trainer if slot is not None else None
    if slot is not None and kept is not None and kept._owner is owner:
        slot.trainer = None
