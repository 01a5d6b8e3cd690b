"""What an optimizer's formula needs at each step: one row of numbers for each step of a run.

Everything that depends on the number of a step (bias corrections, products of momenta, the rate of
a schedule) is computed here, in float64 and before the engine runs; the kernels see numbers. A row
is the C struct `fnn_coefficients`: rate, keep, decay, limit, norm and six of the formula's own, the
meaning of which stands with each formula in ``csrc/kernels/optimizers.inc``.

Powers are taken one by one, by the C library: NumPy's vectorised ones need not give a step the same
bits in a run of ten steps as alone.
"""

from __future__ import annotations

import functools
import math

import numpy as np

N_OWN = 6
N_COEFFICIENTS = 5 + N_OWN


def make_table(optimizer, first_step: int, n_steps: int, rates) -> np.ndarray:
    """Coefficients of `optimizer` for a run of steps.

    Parameters
    ----------
    optimizer : fastnn.optimizers.Optimizer
    first_step : int
        Steps that the optimizer has made before.
    n_steps : int
    rates : float or ndarray (n_steps,)
        Learning rates, of all steps or of each.

    Returns
    -------
    ndarray (n_steps or 1, 11)
        One row where all steps share it.
    """
    steps = range(first_step + 1, first_step + n_steps + 1)
    rate, *own = _FORMULAS[optimizer.kernel](optimizer, steps, rates)
    keep = 1 - np.asarray(rates) * optimizer.decoupled_decay
    limits = [math.inf if limit is None else limit
              for limit in (optimizer.clip_value, optimizer.clip_norm)]  # fmt: skip
    padding = [0.0] * (N_OWN - len(own))
    columns = [rate, keep, optimizer.coupled_decay, *limits, *own, *padding]
    return np.stack(np.broadcast_arrays(*map(np.atleast_1d, columns)), axis=-1)


def raise_to_steps(base: float, steps) -> np.ndarray:
    """base^t for each t of `steps`."""
    return np.array([base**t for t in steps])


def _sgd(optimizer, steps, rates):
    return (rates,)


def _momentum(optimizer, steps, rates):
    return rates, optimizer.momentum


def _moments(optimizer, steps):
    beta1, beta2 = optimizer.beta1, optimizer.beta2
    correction = 1 / np.sqrt(1 - raise_to_steps(beta2, steps))
    return 1 - beta1, beta2, 1 - beta2, optimizer.epsilon, correction


def _adam(optimizer, steps, rates):
    rate = rates / (1 - raise_to_steps(optimizer.beta1, steps))
    return rate, *_moments(optimizer, steps)


def _nadam(optimizer, steps, rates):
    first, stop = steps.start, steps.stop
    momenta, products = _list_momenta(optimizer.beta1, optimizer.momentum_decay, _round_up(stop))
    now, after = slice(first, stop), slice(first + 1, stop + 1)
    rate = rates * momenta[after] / (1 - products[after])
    rate_of_gradient = rates * (1 - momenta[now]) / (1 - products[now])
    return rate, *_moments(optimizer, steps), rate_of_gradient


@functools.lru_cache(maxsize=8)
def _list_momenta(beta1: float, decay: float, n: int):
    """NAdam's mu_t for t in 0..n, and the products mu_1 ... mu_t."""
    momenta = np.array([beta1 * (1 - 0.5 * 0.96 ** (t * decay)) for t in range(n + 1)])
    products = np.cumprod(np.concatenate([[1.0], momenta[1:]]))
    return momenta, products


def _round_up(n: int) -> int:
    """The next power of two, so that steps made one by one rarely lengthen a list."""
    return 1 << max(n, 1023).bit_length()


def _rmsprop(optimizer, steps, rates):
    return rates, optimizer.rho, 1 - optimizer.rho, optimizer.epsilon


def _rmsprop_momentum(optimizer, steps, rates):
    return *_rmsprop(optimizer, steps, rates), optimizer.momentum


def _adagrad(optimizer, steps, rates):
    if optimizer.rate_decay:
        rates = rates / (1 + (np.array(steps) - 1) * optimizer.rate_decay)
    return rates, optimizer.epsilon


def _adadelta(optimizer, steps, rates):
    return rates, optimizer.rho, 1 - optimizer.rho, optimizer.epsilon


def _rprop(optimizer, steps, rates):
    return rates, optimizer.shrink, optimizer.grow, optimizer.min_step, optimizer.max_step


_FORMULAS = {
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _momentum,
    "adam": _adam,
    "nadam": _nadam,
    "rmsprop": _rmsprop,
    "rmsprop_momentum": _rmsprop_momentum,
    "adagrad": _adagrad,
    "adadelta": _adadelta,
    "rprop": _rprop,
}
