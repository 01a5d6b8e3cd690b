"""Losses: what each takes as targets, and which output layers it stands behind. No arithmetic."""

from __future__ import annotations

from fastnn._core.kernels import get_merged_activation, list_losses, takes_classes
from fastnn._validate import check_choice


class Loss:
    """The settings of one entry of ``csrc/lists/losses.def``.

    Attributes
    ----------
    name : str
    takes_classes : bool
        Whether targets are class labels (or one row of probabilities each) rather than values.
    merged_activation : str
        The activation that the loss contains: it takes the raw scores before that. "identity"
        where it contains none.
    """

    def __init__(self, name: str) -> None:
        self.name = check_choice("loss", name, list_losses())
        self.takes_classes = takes_classes(name)
        self.merged_activation = get_merged_activation(name)

    def require_classes(self) -> None:
        """Raise unless probabilities of classes can be told."""
        if not self.takes_classes:
            raise ValueError(
                f"predict_proba needs a classifier, but the loss {self.name!r} takes values: "
                "use predict"
            )

    def check_output_activation(self, activation: str) -> bool:
        """Whether the loss merges with an output layer of this activation; raises if it cannot.

        A loss with an activation of its own takes raw scores, from a layer with no activation or
        with the one that it contains, which is then applied once.
        """
        if self.merged_activation == "identity":
            return False
        if activation not in ("identity", self.merged_activation):
            raise ValueError(
                f"the last layer's activation is {activation!r}, but the loss {self.name!r} needs "
                f"raw scores: use 'identity' or {self.merged_activation!r} in the last layer"
            )
        return True
