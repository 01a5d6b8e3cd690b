"""fastnn: dense neural networks on CPUs, trained and served fast."""

from fastnn import datasets, initializers, schedules
from fastnn._config import show_config
from fastnn._version import __version__
from fastnn.activations import (
    ELU,
    GELU,
    SELU,
    Arctan,
    Exponential,
    GELUTanh,
    HardSigmoid,
    Identity,
    LeakyReLU,
    LogSoftmax,
    PReLU,
    ReLU,
    Sigmoid,
    Sign,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from fastnn.batches import batches
from fastnn.callbacks import Callback, EarlyStopping, ReduceOnPlateau
from fastnn.checkpoint import Checkpoint
from fastnn.divergence import DivergenceError, DivergenceWarning
from fastnn.encoding import from_one_hot, one_hot
from fastnn.frozen import FrozenNetwork
from fastnn.history import History
from fastnn.layers import Activation, BatchNorm, Dense, Dropout, LayerNorm
from fastnn.losses import (
    MAE,
    MSE,
    BinaryCrossEntropy,
    Hinge,
    Huber,
    LogCosh,
    Poisson,
    SoftmaxCrossEntropy,
    SquaredHinge,
)
from fastnn.many import fit_many
from fastnn.model_file import CorruptModelError
from fastnn.network import Network, load
from fastnn.optimizers import LBFGS, SGD, Adadelta, Adagrad, Adam, AdamW, NAdam, RMSProp, RProp

__all__ = [
    "ELU",
    "GELU",
    "LBFGS",
    "MAE",
    "MSE",
    "SELU",
    "SGD",
    "Activation",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Arctan",
    "BatchNorm",
    "BinaryCrossEntropy",
    "Callback",
    "Checkpoint",
    "CorruptModelError",
    "Dense",
    "DivergenceError",
    "DivergenceWarning",
    "Dropout",
    "EarlyStopping",
    "Exponential",
    "FrozenNetwork",
    "GELUTanh",
    "HardSigmoid",
    "Hinge",
    "History",
    "Huber",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "LogCosh",
    "LogSoftmax",
    "NAdam",
    "Network",
    "PReLU",
    "Poisson",
    "RMSProp",
    "RProp",
    "ReLU",
    "ReduceOnPlateau",
    "SiLU",
    "Sigmoid",
    "Sign",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Softplus",
    "Softsign",
    "SquaredHinge",
    "Tanh",
    "__version__",
    "batches",
    "datasets",
    "fit_many",
    "from_one_hot",
    "initializers",
    "load",
    "one_hot",
    "schedules",
    "show_config",
]
