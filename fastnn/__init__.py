"""fastnn: dense neural networks on CPUs, trained and served fast."""

from fastnn import datasets, initializers
from fastnn._config import show_config
from fastnn._version import __version__
from fastnn.activations import (
    ELU,
    GELU,
    SELU,
    Arctan,
    GELUTanh,
    HardSigmoid,
    Identity,
    LeakyReLU,
    LogSoftmax,
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
from fastnn.callbacks import Callback, EarlyStopping
from fastnn.checkpoint import Checkpoint
from fastnn.divergence import DivergenceError, DivergenceWarning
from fastnn.frozen import FrozenNetwork
from fastnn.history import History
from fastnn.layers import Activation, BatchNorm, Dense, Dropout, LayerNorm
from fastnn.many import fit_many
from fastnn.model_file import CorruptModelError
from fastnn.network import Network, load
from fastnn.optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, NAdam, RMSProp, RProp

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "SGD",
    "Activation",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Arctan",
    "BatchNorm",
    "Callback",
    "Checkpoint",
    "CorruptModelError",
    "Dense",
    "DivergenceError",
    "DivergenceWarning",
    "Dropout",
    "EarlyStopping",
    "FrozenNetwork",
    "GELUTanh",
    "HardSigmoid",
    "History",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "LogSoftmax",
    "NAdam",
    "Network",
    "RMSProp",
    "RProp",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Sign",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
    "__version__",
    "batches",
    "datasets",
    "fit_many",
    "initializers",
    "load",
    "show_config",
]
