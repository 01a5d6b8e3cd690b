"""What all optimizers have in common: settings, state from step to step, a way to save both."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar

import numpy as np

from fastnn._coefficients import make_table
from fastnn._core.binding import allocate
from fastnn._settings import SETTINGS
from fastnn._validate import check_int


@dataclass(eq=False, repr=False)
class Optimizer:
    """Base of all optimizers; not used itself.

    Attributes
    ----------
    steps : int
        Steps made so far.
    """

    #: Entry of ``csrc/lists/optimizers.def``, and what its slots are called. Here and below, some
    #: optimizers have a property instead.
    kernel: ClassVar[Any]
    slot_names: ClassVar[Any] = ()
    #: Weight decay that is added to the gradient, and that which shrinks the weights themselves.
    coupled_decay: ClassVar[Any] = 0.0
    decoupled_decay: ClassVar[Any] = 0.0
    #: The setting that a schedule of momenta takes the place of.
    momentum_name: ClassVar[Any] = None
    #: Whether it takes all rows in each step, and `fastnn._minimizing` runs it.
    whole_data: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self.reset()

    def __setattr__(self, name: str, value) -> None:
        """Settings are checked whenever they are written."""
        super().__setattr__(name, SETTINGS[name].check(name, value) if name in SETTINGS else value)

    def __repr__(self) -> str:
        changed = [
            f"{each.name}={getattr(self, each.name)!r}"
            for each in fields(self)
            if each.kw_only and getattr(self, each.name) != each.default
        ]
        given = [repr(getattr(self, each.name)) for each in fields(self) if not each.kw_only]
        return f"{type(self).__name__}({', '.join([*given, *changed])})"

    @property
    def settings(self) -> dict:
        """What the optimizer was made with; ``type(optimizer)(**optimizer.settings)`` is a twin."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def step(self, net) -> None:
        """Update the parameters of `net` with the gradients of its last `backward`."""
        net.apply_update(self)

    # --- state ---------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget all steps: the next one is the first."""
        self.steps = 0
        self._state: np.ndarray | None = None

    def fill_slot(self, name: str) -> float:
        """What a slot holds before the first step."""
        return 0.0

    def bind(self, n_parameters: int, dtype: str) -> np.ndarray:
        """State for that many parameters, (n_slots, n_parameters): made anew, or what there is.

        Raises
        ------
        ValueError
            If the optimizer has made steps on another number or type of parameters.
        """
        wanted = (len(self.slot_names), n_parameters)
        if self._state is None or not self.slot_names:  # what keeps nothing serves any network
            state = allocate(wanted[0] * n_parameters, dtype).reshape(wanted)
            for slot, name in zip(state, self.slot_names, strict=True):
                slot[...] = self.fill_slot(name)
            self._state = state
        if len(self._state) != wanted[0]:
            raise ValueError(
                f"optimizer is now {self!r}, which keeps {', '.join(self.slot_names)}; after "
                f"{self.steps} steps it has kept {len(self._state)} array(s): call its reset()"
            )
        if self._state.shape != wanted or self._state.dtype != dtype:
            raise ValueError(
                f"optimizer holds the state of {self._state.shape[1]:,} {self._state.dtype} "
                f"parameters after {self.steps} steps, but the network has {n_parameters:,} of "
                f"{dtype}: make a new {type(self).__name__}, or call its reset()"
            )
        return self._state

    def state_dict(self) -> dict:
        """A copy of what `step` keeps from step to step.

        Returns
        -------
        dict
            "optimizer" (name of the class), "steps", and "slots": arrays (n_parameters,) by name,
            in the order of ``Network.parameter_vector``; none before the first step.
        """
        slots = {} if self._state is None else dict(zip(self.slot_names, self._state, strict=False))
        return {
            "optimizer": type(self).__name__,
            "steps": self.steps,
            "slots": {name: slot.copy() for name, slot in slots.items()},
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on from a `state_dict` of an optimizer of the same class.

        Raises
        ------
        ValueError
            If it is of another class, or its slots are not those of these settings.
        """
        if state["optimizer"] != type(self).__name__:
            raise ValueError(
                f"state is that of {state['optimizer']}, expected one of {type(self).__name__}"
            )
        slots = state["slots"]
        if slots and set(slots) != set(self.slot_names):
            raise ValueError(
                f"state has the slots {sorted(slots)}, expected {sorted(self.slot_names)}: make "
                "the optimizer with the settings that the state was saved with"
            )
        steps = check_int("steps", state["steps"], 0)
        arrays = [np.asarray(slots[name]) for name in self.slot_names] if slots else []
        if len({(array.shape, array.dtype) for array in arrays}) > 1 or any(
            array.ndim != 1 for array in arrays
        ):
            raise ValueError("the slots of state differ in shape or dtype")
        if arrays and (self._state is None or self._state.shape[1:] != arrays[0].shape
                       or self._state.dtype != arrays[0].dtype):  # fmt: skip
            self.reset()
            self.bind(len(arrays[0]), str(arrays[0].dtype))
        # In place: an engine may have been bound to the state already.
        self.steps = steps
        if self._state is not None:
            for i, name in enumerate(self.slot_names):
                self._state[i] = arrays[i] if arrays else self.fill_slot(name)


@dataclass(eq=False, repr=False)
class Descent(Optimizer):
    """Base of those that take a step from the gradient of each batch.

    Attributes
    ----------
    learning_rate : float
        May be written between steps, or set by a schedule.
    """

    learning_rate: float
    _: KW_ONLY
    clip_value: float | None = None
    clip_norm: float | None = None

    # --- what the engine asks for --------------------------------------------------------------

    def is_plain(self) -> bool:
        """Whether a step is no more than w <- keep w - rate g, which BLAS and tiles do alone."""
        return self.kernel == "sgd" and self.clip_value is None

    def list_coefficients(self, n_steps: int, rates, momenta=None) -> np.ndarray:
        """Coefficients of the next steps: `fastnn._coefficients.make_table`."""
        return make_table(self, self.steps, n_steps, rates, momenta)


@dataclass(eq=False, repr=False)
class Decayed(Descent):
    """Base of those with weight decay, which is coupled: added to the gradient."""

    _: KW_ONLY
    weight_decay: float = 0.0

    @property
    def coupled_decay(self) -> float:
        return self.weight_decay
