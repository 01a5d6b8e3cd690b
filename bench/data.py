"""The same data, initial weights and batch order for every peer, and one judge of the results."""

from __future__ import annotations

import gzip
import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .workloads import Workload

Weights = list[tuple[NDArray[np.float32], NDArray[np.float32]]]

MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
# Of the training pixels, 0 to 1.
MNIST_MEAN, MNIST_DEVIATION = np.float32(0.1307), np.float32(0.3081)


@dataclass
class Problem:
    """What a peer is given. Weights are (n_in, n_out), biases (n_out,), everything float32."""

    X: NDArray[np.float32]
    y: NDArray[np.int64]
    X_test: NDArray[np.float32]
    y_test: NDArray[np.int64]
    weights: Weights
    batch_size: int
    learning_rate: float
    optimizer: str
    dropout: float
    seed: int

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.weights[0][0].shape[0], *(W.shape[1] for W, _ in self.weights))


def mnist_folder(option: str | None) -> Path:
    """Return the folder named on the command line, by FASTNN_MNIST, or the default one."""
    chosen = option or os.environ.get("FASTNN_MNIST")
    if chosen:
        return Path(chosen)
    return Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"


def mnist_missing(folder: Path) -> str | None:
    """Return the name of the first of the four files that `folder` lacks, or None."""
    return next((name for name in MNIST_FILES if _idx_path(folder, name) is None), None)


def make_problem(workload: Workload, folder: Path, seed: int = 0) -> Problem:
    """Build the data and the initial weights of `workload`; the same in every process."""
    X, y, X_test, y_test = _load_mnist(folder) if workload.needs_mnist else _synthetic(workload)
    if workload.data == "normalized mnist":
        X, X_test = ((pixels - MNIST_MEAN) / MNIST_DEVIATION for pixels in (X, X_test))
    return Problem(
        X[: workload.rows],
        y[: workload.rows],
        X_test,
        y_test,
        initial_weights(workload.sizes, seed),
        workload.batch_size,
        workload.learning_rate,
        workload.optimizer,
        workload.dropout,
        seed,
    )


def initial_weights(sizes: tuple[int, ...], seed: int = 0) -> Weights:
    """Normal weights of variance 2 / n_in (He et al. 2015) and zero biases."""
    rng = np.random.default_rng(seed)
    weights: Weights = []
    for n_in, n_out in itertools.pairwise(sizes):
        W = rng.standard_normal((n_in, n_out)) * np.sqrt(2 / n_in)
        weights.append((W.astype(np.float32), np.zeros(n_out, np.float32)))
    return weights


def batch_order(n_rows: int, epoch: int, seed: int = 0) -> NDArray[np.int64]:
    """Return the order of the rows in `epoch`, a permutation that depends on all arguments."""
    return np.random.default_rng([n_rows, epoch, seed]).permutation(n_rows)


def scores(weights: Weights, X: NDArray[np.float32], dtype: type = np.float32) -> NDArray[Any]:
    """Return the raw output of the ReLU network, computed in `dtype`."""
    a: NDArray[Any] = X.astype(dtype)
    for i, (W, b) in enumerate(weights):
        a = a @ np.asarray(W, dtype) + np.asarray(b, dtype)
        if i < len(weights) - 1:
            np.maximum(a, 0, out=a)
    return a


def judge(weights: Weights, problem: Problem) -> tuple[float, float]:
    """Return the training loss (mean softmax cross-entropy) and the test accuracy of `weights`."""
    loss = correct = 0.0
    for rows in _blocks(len(problem.X)):
        z = scores(weights, problem.X[rows]).astype(np.float64)
        z -= z.max(axis=1, keepdims=True)
        picked = z[np.arange(len(z)), problem.y[rows]]
        loss += float(np.sum(np.log(np.exp(z).sum(axis=1)) - picked))
    for rows in _blocks(len(problem.X_test)):
        z = scores(weights, problem.X_test[rows])
        correct += int(np.sum(z.argmax(axis=1) == problem.y_test[rows]))
    return loss / len(problem.X), correct / len(problem.X_test)


def _blocks(n_rows: int, size: int = 4096) -> list[slice]:
    return [slice(start, start + size) for start in range(0, n_rows, size)]


def _synthetic(
    workload: Workload,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Normal rows, labelled by a linear teacher; the training rows are the test rows too.

    The variance of feature j falls as 1 / (1 + j)^2, with mean 1: were all features alike, a few
    epochs would teach nothing, and the accuracy would tell nothing.
    """
    rng = np.random.default_rng(1)
    n_features, n_classes = workload.sizes[0], workload.sizes[-1]
    scale = 1 / (1 + np.arange(n_features))
    scale /= np.sqrt(np.mean(scale**2))
    X = rng.standard_normal((workload.rows, n_features), dtype=np.float32)
    X *= scale.astype(np.float32)
    teacher = rng.standard_normal((n_features, n_classes), dtype=np.float32)
    y = (X @ teacher).argmax(axis=1)
    return X, y, X, y


def _load_mnist(
    folder: Path,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    arrays = []
    for name in MNIST_FILES:
        path = _idx_path(folder, name)
        if path is None:
            raise FileNotFoundError(f"{name} (or {name}.gz) is not in the MNIST folder")
        arrays.append(read_idx(path))
    X, y, X_test, y_test = arrays
    return _pixels(X), y.astype(np.int64), _pixels(X_test), y_test.astype(np.int64)


def _pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)


def _idx_path(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of bytes, gzipped or not: magic 0 0 8 ndim, big-endian shape, data."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if raw[:3] != b"\0\0\x08":
        raise ValueError(f"{path.name} is not an IDX file of unsigned bytes")
    n_dims = raw[3]
    shape = np.frombuffer(raw, ">i4", n_dims, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * n_dims).reshape(shape)
