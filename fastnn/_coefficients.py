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
from types import SimpleNamespace

import numpy as np

N_OWN = 6
N_COEFFICIENTS = 5 + N_OWN


def make_table(optimizer, first_step: int, n_steps: int, rates, momenta=None) -> np.ndarray:
    """Coefficients of `optimizer` for a run of steps.

    Parameters
    ----------
    optimizer : fastnn.optimizers.Optimizer
    first_step : int
        Steps that the optimizer has made before.
    n_steps : int
    rates : float or ndarray (n_steps,)
        Learning rates, of all steps or of each.
    momenta : ndarray (n_steps,), optional
        What takes the place of the setting called ``optimizer.momentum_name``.

    Returns
    -------
    ndarray (n_steps or 1, 11)
        One row where all steps share it.
    """
    steps = range(first_step + 1, first_step + n_steps + 1)
    settings = optimizer
    if momenta is not None:
        settings = SimpleNamespace(**{**optimizer.settings, optimizer.momentum_name: momenta})
    rate, *own = _FORMULAS[optimizer.kernel](settings, steps, rates)
    keep = 1 - np.asarray(rates) * optimizer.decoupled_decay
    limits = [math.inf if limit is None else limit
              for limit in (optimizer.clip_value, optimizer.clip_norm)]  # fmt: skip
    columns = [rate, keep, optimizer.coupled_decay, *limits, *own]
    table = np.zeros((max(map(np.size, columns)), N_COEFFICIENTS))
    for k, column in enumerate(columns):
        table[:, k] = column
    return table


def raise_to_steps(base, steps) -> np.ndarray:
    """base^t for each t of `steps`; base is one number, or one for each."""
    bases = np.broadcast_to(base, len(steps)).tolist()
    return np.array([each**t for each, t in zip(bases, steps, strict=True)])


def _sgd(settings, steps, rates):
    return (rates,)


def _momentum(settings, steps, rates):
    return rates, settings.momentum


def _moments(settings, steps):
    beta1, beta2 = settings.beta1, settings.beta2
    correction = 1 / np.sqrt(1 - raise_to_steps(beta2, steps))
    return 1 - beta1, beta2, 1 - beta2, settings.epsilon, correction


def _adam(settings, steps, rates):
    rate = rates / (1 - raise_to_steps(settings.beta1, steps))
    return rate, *_moments(settings, steps)


def _nadam(settings, steps, rates):
    first, stop = steps.start, steps.stop
    momenta, products = _list_momenta(settings.beta1, settings.momentum_decay, _round_up(stop))
    now, after = slice(first, stop), slice(first + 1, stop + 1)
    rate = rates * momenta[after] / (1 - products[after])
    rate_of_gradient = rates * (1 - momenta[now]) / (1 - products[now])
    return rate, *_moments(settings, steps), rate_of_gradient


@functools.lru_cache(maxsize=8)
def _list_momenta(beta1: float, decay: float, n: int):
    """NAdam's mu_t for t in 0..n, and the products mu_1 ... mu_t."""
    momenta = np.array([beta1 * (1 - 0.5 * 0.96 ** (t * decay)) for t in range(n + 1)])
    products = np.cumprod(np.concatenate([[1.0], momenta[1:]]))
    return momenta, products


def _round_up(n: int) -> int:
    """The next power of two, so that steps made one by one rarely lengthen a list."""
    return 1 << max(n, 1023).bit_length()


def _rmsprop(settings, steps, rates):
    return rates, settings.rho, 1 - settings.rho, settings.epsilon


def _rmsprop_momentum(settings, steps, rates):
    return *_rmsprop(settings, steps, rates), settings.momentum


def _adagrad(settings, steps, rates):
    if settings.rate_decay:
        rates = rates / (1 + (np.array(steps) - 1) * settings.rate_decay)
    return rates, settings.epsilon


def _adadelta(settings, steps, rates):
    return rates, settings.rho, 1 - settings.rho, settings.epsilon


def _rprop(settings, steps, rates):
    return rates, settings.shrink, settings.grow, settings.min_step, settings.max_step


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
