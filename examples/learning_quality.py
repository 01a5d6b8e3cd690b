"""Does fastnn learn what PyTorch learns? Recipes on MNIST, each trained by both of them from the
same initial weights on the same batches: the mean of the test accuracy over some seeds.

    python examples/learning_quality.py --seeds 5 --table docs/LEARNING.md

Each result is kept in a file at once: a run that was stopped goes on where it was.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as nnf
from support import load_images

import fastnn

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "learning_quality.json"


@dataclass
class Recipe:
    """A multilayer perceptron for ten classes, and how it is trained."""

    source: str
    hidden: tuple[int, ...]
    activation: str
    rate: float
    batch_size: int
    epochs: int
    loss: object
    initializer: object = None
    momentum: float = 0.0
    l2: float = 0.0
    dropout: tuple[float, float] = (0.0, 0.0)  # of the inputs and of the hidden units
    max_norm: float | None = None  # of the weights into each unit


RECIPES = {
    "sigmoid, squared error": Recipe(
        "M. Nielsen, *Neural Networks and Deep Learning* (2015), chapter 1: weights of variance 1, "
        "rate 3.0. Its cost halves the sum of the squares, which doubles the rate.",
        (30,), "sigmoid", 1.5, 10, 30, fastnn.MSE(sum_outputs=True),
        fastnn.initializers.Normal(0, 1),
    ),
    "cross-entropy, L2": Recipe(
        "M. Nielsen, *Neural Networks and Deep Learning* (2015), chapter 3: sigmoid units, "
        "cross-entropy of each of the ten outputs, rate 0.5, λ = 5 on 50,000 images, which is a "
        "penalty of 5 / (2 · 50,000) times the sum of squares.",
        (100,), "sigmoid", 0.5, 10, 30, fastnn.BinaryCrossEntropy(sum_outputs=True),
        fastnn.initializers.LeCun(), l2=5 / (2 * 50_000),
    ),
    "ReLU": Recipe(
        "The widths of Y. LeCun et al., *Gradient-based learning applied to document recognition* "
        "(1998), section III.C, with ReLU in place of tanh; rate and epochs are our own.",
        (300, 100), "relu", 0.1, 32, 20, fastnn.SoftmaxCrossEntropy(),
    ),
    "ReLU, dropout, max-norm": Recipe(
        "N. Srivastava et al., *Dropout* (2014), table 2 and appendix B.1: a fifth of the inputs "
        "and half of the hidden units dropped, momentum 0.95, norms of at most 2 in all layers; "
        "rate and epochs are our own.",
        (1024, 1024, 1024), "relu", 0.02, 128, 10, fastnn.SoftmaxCrossEntropy(),
        momentum=0.95, dropout=(0.2, 0.5), max_norm=2.0,
    ),
}  # fmt: skip
TORCH_LOSSES = {
    "mse": nnf.mse_loss,
    "binary_cross_entropy": nnf.binary_cross_entropy_with_logits,
    "softmax_cross_entropy": nnf.cross_entropy,
}


def make_network(recipe, n_features, seed):
    settings = {"initializer": recipe.initializer}
    if recipe.max_norm is not None:
        settings["max_norm"] = recipe.max_norm
    layers = []
    for i, units in enumerate(recipe.hidden):
        layers += make_dropout(recipe.dropout[min(i, 1)])
        layers.append(fastnn.Dense(units, recipe.activation, **settings))
    layers += make_dropout(recipe.dropout[1])
    merged = recipe.loss.merged_activation != "identity"
    layers.append(fastnn.Dense(10, "identity" if merged else recipe.activation, **settings))
    return fastnn.Network(layers, recipe.loss, n_features=n_features, seed=seed, l2=recipe.l2)


def make_dropout(rate):
    return [fastnn.Dropout(rate)] if rate else []


def copy_to_torch(net):
    """The same layers with the same weights."""
    functions = {"relu": torch.nn.ReLU, "sigmoid": torch.nn.Sigmoid, "identity": torch.nn.Identity}
    modules = []
    for layer in net.layers:
        if not isinstance(layer, fastnn.Dense):
            modules.append(torch.nn.Dropout(layer.rate))
            continue
        linear = torch.nn.Linear(*layer.weight.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(layer.weight.T.copy()))
            linear.bias.copy_(torch.from_numpy(layer.bias.copy()))
        modules += [linear, functions[layer.activation.name]()]
    return torch.nn.Sequential(*modules)


def train_fastnn(net, recipe, X, y, epochs):
    optimizer = fastnn.SGD(recipe.rate, momentum=recipe.momentum)
    net.fit(X, y, epochs=epochs, batch_size=recipe.batch_size, optimizer=optimizer)


def train_torch(model, recipe, X, y, epochs, seed):
    """The rows in the order in which `fit` takes them."""
    measure = TORCH_LOSSES[recipe.loss.name]
    sums = getattr(recipe.loss, "sum_outputs", False)
    linear = [module for module in model if isinstance(module, torch.nn.Linear)]
    groups = [
        {"params": [module.weight for module in linear], "weight_decay": 2 * recipe.l2},
        {"params": [module.bias for module in linear]},
    ]
    optimizer = torch.optim.SGD(groups, recipe.rate, momentum=recipe.momentum)
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    rows = np.arange(len(X))
    model.train()
    for epoch in range(epochs):
        for batch, _ in fastnn.batches(rows, rows, recipe.batch_size, seed=seed, epoch=epoch):
            loss = measure(model(X[batch]), y[batch]) * (10 if sums else 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if recipe.max_norm is not None:
                with torch.no_grad():
                    for module in linear:
                        module.weight.copy_(torch.renorm(module.weight, 2, 0, recipe.max_norm))
    model.eval()


def compare(recipe, images, seed, epochs):
    """Test accuracy in percent, of fastnn and of PyTorch."""
    X, y, X_test, y_test = images
    if recipe.loss.name != "softmax_cross_entropy":
        y = fastnn.one_hot(y)
    torch.manual_seed(seed)  # of its dropout masks, the one thing that differs
    net = make_network(recipe, X.shape[1], seed)
    model = copy_to_torch(net)
    train_fastnn(net, recipe, X, y, epochs)
    train_torch(model, recipe, X, y, epochs, seed)
    with torch.no_grad():
        outputs = net.forward(X_test), model(torch.from_numpy(X_test)).numpy()
    return [100 * float((output.argmax(axis=1) == y_test).mean()) for output in outputs]


def main(names=tuple(RECIPES), seeds=5, epochs=None, data=None, results=RESULTS):
    """Returns the rows of the table by recipe, of all recipes of which there are results."""
    images = load_images(data)
    path = Path(results)
    known = json.loads(path.read_text()) if path.exists() else {}
    for name in names:
        n_epochs = epochs or RECIPES[name].epochs
        for seed in range(seeds):
            key = f"{name}, {n_epochs} epochs, seed {seed}"
            if key not in known:
                known[key] = compare(RECIPES[name], images, seed, n_epochs)
                path.write_text(json.dumps(known, indent=1) + "\n")
            print(key, *(f"{score:.2f}%" for score in known[key]), flush=True)
    found = {}
    for name, recipe in RECIPES.items():
        start = f"{name}, {epochs or recipe.epochs} epochs, "
        pairs = [scores for key, scores in known.items() if key.startswith(start)]
        if len(pairs) > 1:  # or there is no spread
            found[name] = describe(name, epochs or recipe.epochs, np.array(pairs))
    return found


def describe(name, epochs, pairs):
    """A recipe's row of the table, from the accuracies of both, a row for each seed."""
    recipe = RECIPES[name]
    widths = "-".join(map(str, [784, *recipe.hidden, 10]))
    row = f"| {name} | {widths} | {recipe.batch_size}, {recipe.rate:g}, {epochs}, {len(pairs)} |"
    scores = [f"{ours.mean():.2f}% ± {ours.std(ddof=1):.2f}" for ours in pairs.T]
    differences = pairs[:, 0] - pairs[:, 1]
    error = differences.std(ddof=1) / len(pairs) ** 0.5
    return f"{row} {scores[0]} | {scores[1]} | {differences.mean():+.2f} ± {error:.2f} |"


PAGE = """# Learning quality

Test accuracy on MNIST (60,000 images to train on, 10,000 to test) of fastnn and of PyTorch {torch},
both in float32. The two start from the same weights and take the same batches; dropout masks alone
differ. Sums are rounded differently, so that after some thousand steps they are two trainings and
no longer one: in a single seed either may be ahead.

Accuracies are the mean of the seeds and their standard deviation; the difference, in percentage
points, is given with the standard error of its mean. The aim is a difference of at most 0.15.

| recipe | network | batch, rate, epochs, seeds | fastnn | PyTorch | difference |
| --- | --- | --- | --: | --: | --: |
{rows}

Where the recipes are from:

{sources}

Biases start at 0, weights as fastnn's default has it where the recipe does not say.

`python examples/learning_quality.py --table docs/LEARNING.md` wrote this page; the accuracy of each
seed is in [learning_quality.json](learning_quality.json).
"""


def write_page(path, rows):
    sources = "\n".join(f"- {name}: {RECIPES[name].source}" for name in rows)
    version = torch.__version__.split("+")[0]
    text = PAGE.format(torch=version, rows="\n".join(rows.values()), sources=sources)
    Path(path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--seeds", type=int, default=5, help="how many (%(default)s)")
    parser.add_argument("--epochs", type=int, help="instead of each recipe's own number")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch (%(default)s)")
    parser.add_argument("--data", metavar="DIR", help="folder with the IDX files of MNIST")
    parser.add_argument("--results", metavar="PATH", default=RESULTS)
    parser.add_argument("--table", metavar="PATH", help="write the page to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    chosen = {name: getattr(arguments, name) for name in ["seeds", "epochs", "data", "results"]}
    table = main(arguments.recipes, **chosen)
    print(*table.values(), sep="\n")
    if arguments.table:
        write_page(arguments.table, table)
