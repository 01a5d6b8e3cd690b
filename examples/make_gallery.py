"""Draw the pictures of docs/GALLERY.md anew, small enough to live in the repository.

python examples/make_gallery.py [--data DIR] [NAME ...]
"""

import argparse
import importlib
import inspect
from pathlib import Path

from PIL import Image  # matplotlib brings it

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
NAMES = [
    "loss_slope",
    "training_loop",
    "learning_rates",
    "rate_schedules",
    "decision_boundaries",
    "mnist",
    "hidden_weights",
    "dropout",
]


def main(names, data=None):
    PICTURES.mkdir(exist_ok=True)
    for name in names:
        print(f"--- {name}", flush=True)
        example = importlib.import_module(name).main
        takes_data = "data" in inspect.signature(example).parameters
        path = PICTURES / f"{name}.png"
        example(path, **({"data": data} if takes_data else {}))
        shrink(path)


def shrink(path):
    """256 colours in place of millions: a third of the bytes.

    Not by the median cut, which merges rare colours: the two ends of a colour bar, for instance.
    """
    picture = Image.open(path).convert("RGB")
    reduced = picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="examples to run; default: all")
    parser.add_argument("--data", metavar="DIR", help="folder with the IDX files of MNIST")
    arguments = parser.parse_args()
    main(arguments.names or NAMES, arguments.data)
