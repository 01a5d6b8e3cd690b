"""fastnn: dense neural networks on CPUs, trained and served fast."""

from fastnn import datasets, initializers
from fastnn._config import show_config
from fastnn._version import __version__
from fastnn.activations import (
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from fastnn.batches import batches
from fastnn.callbacks import Callback, EarlyStopping
from fastnn.checkpoint import Checkpoint
from fastnn.divergence import DivergenceError, DivergenceWarning
from fastnn.frozen import FrozenNetwork
from fastnn.history import History
from fastnn.layers import Activation, Dense, Dropout
from fastnn.many import fit_many
from fastnn.model_file import CorruptModelError
from fastnn.network import Network, load
from fastnn.optimizers import SGD

__all__ = [
    "SGD",
    "Activation",
    "Callback",
    "Checkpoint",
    "CorruptModelError",
    "Dense",
    "DivergenceError",
    "DivergenceWarning",
    "Dropout",
    "EarlyStopping",
    "FrozenNetwork",
    "History",
    "Identity",
    "LeakyReLU",
    "Network",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "__version__",
    "batches",
    "datasets",
    "fit_many",
    "initializers",
    "load",
    "show_config",
]
