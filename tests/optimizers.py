"""One optimizer for each line of optimizers.def, with settings of its own and the oracle's."""

import fastnn

# Class, learning rate, settings of the formula; none is a default, so that each must arrive.
CASES = {
    "sgd": (fastnn.SGD, 0.3, {}),
    "momentum": (fastnn.SGD, 0.1, {"momentum": 0.8}),
    "nesterov": (fastnn.SGD, 0.1, {"momentum": 0.7, "nesterov": True}),
    "adam": (fastnn.Adam, 0.02, {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3}),
    "nadam": (fastnn.NAdam, 0.02,
              {"beta1": 0.85, "beta2": 0.9, "epsilon": 2e-3, "momentum_decay": 0.1}),
    "rmsprop": (fastnn.RMSProp, 0.02, {"rho": 0.9, "epsilon": 1e-3}),
    "rmsprop_momentum": (fastnn.RMSProp, 0.01, {"rho": 0.8, "epsilon": 1e-3, "momentum": 0.6}),
    "adagrad": (fastnn.Adagrad, 0.1, {"rate_decay": 0.05, "epsilon": 1e-3}),
    "adadelta": (fastnn.Adadelta, 0.7, {"rho": 0.8, "epsilon": 1e-3}),
    "rprop": (fastnn.RProp, 0.02,
              {"shrink": 0.4, "grow": 1.3, "min_step": 1e-3, "max_step": 0.05}),
}  # fmt: skip


def make_optimizer(kernel, **options):
    """A new optimizer of the case, with other settings beside its own."""
    cls, rate, settings = CASES[kernel]
    return cls(rate, **settings, **options)


def describe_to_oracle(kernel):
    """What `reference.train_step` must be told of the case."""
    _, rate, settings = CASES[kernel]
    settings = {name: value for name, value in settings.items() if name != "nesterov"}
    fill = (0, rate) if kernel == "rprop" else (0, 0)
    return {"optimizer": kernel, "learning_rate": rate, "fill": fill, **settings}
