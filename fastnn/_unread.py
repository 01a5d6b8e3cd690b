"""Data that a fit trains on before anybody has looked for NaN and infinity in them.

To look at a large X takes as long as a twentieth of an epoch of a small network, and an epoch finds
them by itself: the gradient of W sums x delta over the rows, and NaN and infinity make NaN or
infinity of it whatever delta is, 0 included. A weight or a slot of the optimizer that is not finite
stays so, and is looked for at the end of every call of the engine. (RProp makes a finite step of an
infinite gradient, but none of NaN; and behind an infinite score delta is 0, or NaN, with every
activation there is.) So a fit that nobody watches trains at once. Where it ends badly, X is looked
at, and if that was the reason, all is as if the fit had never begun. Where y or weights of rows are
unusable as well, the error names them.

Rejected: to look at rows in the step that first reads them. It would not be told sooner, and would
cost 1%. To do this in every fit: callbacks would see, and files keep, what is then undone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fastnn._training import MAX_STEPS_PER_CALL, is_watched
from fastnn._validate import is_matrix

# Numbers of X from which on it takes long enough to look at them, and multiply-adds for each from
# which on an epoch takes so long that it is better to be told at once.
MIN_SIZE = 1 << 21
MAX_WORK = 512


def is_better_unread(net, X, validation, n_restarts: int, progress: bool, options: dict) -> bool:
    """Whether an epoch over X finds what is not finite, and nobody sees anything before its end.

    Parameters
    ----------
    net, X, validation, n_restarts, progress
        Of the fit.
    options : dict
        Of `Training`.
    """
    optimizer = options["optimizer"]
    if n_restarts > 1 or is_watched(net, options["callbacks"], validation, progress):
        return False
    if net._parameters is None or net.layers[0].kind != "dense":
        return False
    if optimizer.whole_data or optimizer.clip_value is not None:  # which makes a number of NaN
        return False
    if net.scale_inputs or not is_matrix(X, net.dtype) or X.size < MIN_SIZE:
        return False
    n_steps = options["epochs"] * -(-len(X) // (options["batch_size"] or len(X)))
    work = sum(shape.multiply_adds for shape in net._shapes["training"])
    return n_steps <= MAX_STEPS_PER_CALL and work <= MAX_WORK * X.shape[1]


@contextlib.contextmanager
def undone_by_error(net, optimizer) -> Iterator[None]:
    """Put back what a fit sets before its first step, where the data turn out to be unusable.

    `Training` has put back what the steps changed.
    """
    before = [(each, dict(vars(each))) for each in (net, optimizer)]
    try:
        yield
    except ValueError:
        for each, attributes in before:
            vars(each).update(attributes)
        raise
