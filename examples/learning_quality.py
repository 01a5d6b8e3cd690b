"""Does fastnn learn what PyTorch learns? Recipes on MNIST, each trained by both of them from the
same initial weights on the same batches: the mean of the test accuracy over some seeds.

    python examples/learning_quality.py --seeds 5 --table docs/LEARNING.md
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as nnf
from support import load_images

import fastnn


@dataclass
class Recipe:
    """A multilayer perceptron for ten classes, and how it is trained."""

    hidden: tuple[int, ...]
    activation: str
    rate: float
    batch_size: int
    epochs: int
    loss: str = "softmax_cross_entropy"
    momentum: float = 0.0
    l2: float = 0.0
    dropout: tuple[float, float] = (0.0, 0.0)  # of the inputs and of the hidden units
    max_norm: float | None = None


RECIPES = {
    # The course's cost is half the sum over ten outputs; the mean over them is a fifth of that.
    "sigmoid, squared error": Recipe((30,), "sigmoid", 3.0 * 5, 10, 30, loss="mse"),
    "ReLU": Recipe((300, 100), "relu", 0.1, 32, 20),
}


def make_network(recipe, n_features, seed):
    layers = []
    for i, units in enumerate(recipe.hidden):
        layers += make_dropout(recipe.dropout[min(i, 1)])
        limit = {} if recipe.max_norm is None else {"max_norm": recipe.max_norm}
        layers.append(fastnn.Dense(units, recipe.activation, **limit))
    layers += make_dropout(recipe.dropout[1])
    layers.append(fastnn.Dense(10, "sigmoid" if recipe.loss == "mse" else "identity"))
    penalty = {"l2": recipe.l2} if recipe.l2 else {}
    return fastnn.Network(layers, recipe.loss, n_features=n_features, seed=seed, **penalty)


def make_dropout(rate):
    return [fastnn.Dropout(rate)] if rate else []


def copy_to_torch(net):
    """The same layers with the same weights; a softmax that the loss contains is left to it."""
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
    momentum = {"momentum": recipe.momentum} if recipe.momentum else {}
    optimizer = fastnn.SGD(recipe.rate, **momentum)
    net.fit(X, y, epochs=epochs, batch_size=recipe.batch_size, optimizer=optimizer)


def train_torch(model, recipe, X, y, epochs, seed):
    """The rows in the order in which `fit` takes them."""
    measure = nnf.mse_loss if recipe.loss == "mse" else nnf.cross_entropy
    linear = [module for module in model if isinstance(module, torch.nn.Linear)]
    optimizer = torch.optim.SGD(model.parameters(), recipe.rate, momentum=recipe.momentum)
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    rows = np.arange(len(X))
    model.train()
    for epoch in range(epochs):
        for batch, _ in fastnn.batches(rows, rows, recipe.batch_size, seed=seed, epoch=epoch):
            loss = measure(model(X[batch]), y[batch])
            if recipe.l2:
                loss = loss + recipe.l2 * sum((module.weight**2).sum() for module in linear)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if recipe.max_norm is not None:
                with torch.no_grad():
                    for module in linear[:-1]:  # of the weights into each hidden unit
                        module.weight.copy_(torch.renorm(module.weight, 2, 0, recipe.max_norm))
    model.eval()


def compare(recipe, images, seed, epochs):
    """Test accuracy in percent, of fastnn and of PyTorch."""
    X, y, X_test, y_test = images
    if recipe.loss == "mse":
        y = np.eye(10, dtype=np.float32)[y]
    torch.manual_seed(seed)  # of its dropout masks, the one thing that differs
    net = make_network(recipe, X.shape[1], seed)
    model = copy_to_torch(net)
    train_fastnn(net, recipe, X, y, epochs)
    train_torch(model, recipe, X, y, epochs, seed)
    with torch.no_grad():
        outputs = net.forward(X_test), model(torch.from_numpy(X_test)).numpy()
    return [100 * float((output.argmax(axis=1) == y_test).mean()) for output in outputs]


def main(names=tuple(RECIPES), seeds=5, epochs=None, data=None, quick=False):
    """Returns the lines of the table."""
    images = load_images(data, quick)
    lines = [
        "| recipe | network | batch, rate, epochs | fastnn | PyTorch | difference |",
        "| --- | --- | --- | --: | --: | --: |",
    ]
    for name in names:
        recipe = RECIPES[name]
        n_epochs = epochs or recipe.epochs
        pairs = []
        for seed in range(seeds):
            pairs.append(compare(recipe, images, seed, n_epochs))
            print(f"{name}, seed {seed}: {pairs[-1][0]:.2f}% {pairs[-1][1]:.2f}%", flush=True)
        ours, theirs = np.mean(pairs, axis=0)
        widths = "-".join(map(str, [images[0].shape[1], *recipe.hidden, 10]))
        settings = f"{recipe.batch_size}, {recipe.rate:g}, {n_epochs}"
        scores = f"{ours:.2f}% | {theirs:.2f}% | {ours - theirs:+.2f}"
        lines.append(f"| {name} | {widths} | {settings} | {scores} |")
    print(*lines, sep="\n")
    return lines


def write_page(path, lines, seeds):
    text = f"""# Learning quality

Test accuracy on MNIST, the mean of {seeds} seeds, in float32. Both start from the same weights and
take the same batches; dropout masks alone differ. The difference is in percentage points.

{chr(10).join(lines)}

`python examples/learning_quality.py --seeds {seeds} --table docs/LEARNING.md` wrote this page.
"""
    Path(path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--seeds", type=int, default=5, help="how many (%(default)s)")
    parser.add_argument("--epochs", type=int, help="instead of each recipe's own number")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch (%(default)s)")
    parser.add_argument("--data", metavar="DIR", help="folder with the IDX files of MNIST")
    parser.add_argument("--quick", action="store_true", help="scikit-learn's digits")
    parser.add_argument("--table", metavar="PATH", help="write the page to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = main(
        arguments.recipes, arguments.seeds, arguments.epochs, arguments.data, arguments.quick
    )
    if arguments.table:
        write_page(arguments.table, rows, arguments.seeds)
