"""L-BFGS: settings. `fastnn._minimizing` runs it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from fastnn._optimizer import Optimizer
from fastnn._settings import document


@document
@dataclass(eq=False, repr=False)
class LBFGS(Optimizer):
    """Newton's method by the memory of recent steps; for the whole data set at once.

    w <- w - a H g, where H approximates the inverse of the Hessian by the last differences of w and
    of g, and a line search finds a. D. Liu and J. Nocedal, "On the limited memory BFGS method for
    large scale optimization" (1989), algorithm 2.1, in the hands of
    ``scipy.optimize.minimize(method="L-BFGS-B")``; in float64, whatever the network's dtype.

    An epoch of `fit` is one iteration, which may take several passes over the rows. It ends when it
    has converged, and says so: ``history.converged`` and ``stop_reason``. The history's loss is
    that of the weights at the iteration's end. Each fit begins without memory, and so does the next
    iteration where a callback has written weights; running statistics of batch norm move once in
    each. A loss that changes from pass to pass, or has kinks by design, is refused: `Dropout`, `l1`
    and `max_norm`. There is no learning rate, and so no schedule. For `partial_fit` and the
    explicit loop take another.
    """

    whole_data: ClassVar[bool] = True

    _: KW_ONLY
    history_size: int = 10
    tolerance_gradient: float = 1e-5
    tolerance_change: float = 1e-9
    max_line_search: int = 20

    def step(self, net) -> None:
        raise TypeError("LBFGS has no step for the explicit loop: pass it to fit")
