"""What the examples share: the images that they learn from, their colours, their arguments."""

import argparse
import inspect
from pathlib import Path

import numpy as np

import fastnn

MNIST = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"

# M. Okabe and K. Ito, "Color universal design" (2008): told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
GREY = "#555555"


def load_images(data=None, quick=False):
    """Handwritten digits as (X, y, X_test, y_test), rows of pixels from 0 to 1.

    MNIST from the folder `data` (by default ``../shared/data/mnist`` beside the repository). When
    that default is absent, or with `quick`, scikit-learn's 8x8 digits stand in.
    """
    if not quick and (data or MNIST.is_dir()):
        images, name = fastnn.datasets.load_mnist(data or MNIST), "MNIST"
    else:
        images, name = fastnn.datasets.load_digits(), "scikit-learn's digits in place of MNIST"
    print(f"data: {name}, {len(images[0])} images to train, {len(images[2])} to test")
    return images


def tile(images, columns):
    """One picture of many square images, given as rows of pixels; empty borders between them."""
    side = int(np.sqrt(images.shape[1]))
    rows = -(-len(images) // columns)
    framed = np.full((rows * columns, side + 2, side + 2), np.nan)
    framed[: len(images), 1:-1, 1:-1] = images.reshape(-1, side, side)
    return np.block([list(framed[row * columns :][:columns]) for row in range(rows)])


def tidy(*panels):
    """Axes without a frame on the right and on top, with a faint grid."""
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)


def save(figure, path):
    """Write the picture, with no date in it: the same numbers give the same file."""
    figure.savefig(path, dpi=100, metadata={"Software": None})
    print(f"picture: {path}")


def run(main):
    """Call an example's `main` with the arguments of the command line."""
    parameters = inspect.signature(main).parameters
    parser = argparse.ArgumentParser(description=inspect.getmodule(main).__doc__)
    parser.add_argument("path", nargs="?", default=parameters["path"].default, help="picture")
    parser.add_argument("--quick", action="store_true", help="a reduced size: a look, no result")
    if "data" in parameters:
        parser.add_argument("--data", metavar="DIR", help="folder with the IDX files of MNIST")
    main(**vars(parser.parse_args()))
