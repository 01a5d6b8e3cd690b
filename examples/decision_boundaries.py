"""Rings, XOR and spirals: no line separates them, a second layer does."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from support import BLUE, ORANGE, run, save

import fastnn


def make_rings(rng, n):
    """A disc of one class inside a ring of the other."""
    labels = np.arange(n) % 2
    radius = np.where(labels, rng.uniform(0.65, 1, n), rng.uniform(0, 0.4, n))
    angle = rng.uniform(0, 2 * np.pi, n)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]), labels


def make_xor(rng, n):
    """Four corners: the class is whether exactly one coordinate is positive."""
    X = rng.uniform(0.1, 1, (n, 2)) * rng.choice([-1, 1], (n, 2))
    return X, ((X[:, 0] > 0) ^ (X[:, 1] > 0)).astype(int)


def make_spirals(rng, n):
    """Two arms of a turn and a half each, one the other's mirror image."""
    labels = np.arange(n) % 2
    turn = rng.uniform(0.1, 1, n)
    angle = 3 * np.pi * turn + np.pi * labels
    X = turn[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return X + rng.normal(0, 0.015, (n, 2)), labels


DATA = {"rings": make_rings, "XOR": make_xor, "spirals": make_spirals}


def main(path="decision_boundaries.png", quick=False):
    """Returns the accuracy of each model on each data set."""
    figure = Figure(figsize=(8, 5.9), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    accuracy = {}
    for column, (data, make) in enumerate(DATA.items()):
        X, y = make(np.random.default_rng(1), 400)
        models = {
            "linear": [fastnn.Dense(2)],
            "two layers": [fastnn.Dense(64, "relu"), fastnn.Dense(2)],
        }
        for row, (model, layers) in enumerate(models.items()):
            net = fastnn.Network(layers)
            net.fit(X, y, epochs=200 if quick else 2000, batch_size=20, optimizer=fastnn.SGD(0.1))
            accuracy[model, data] = net.evaluate(X, y)["accuracy"]
            print(f"{data:8} {model:11} {accuracy[model, data]:7.2%}")
            draw(panels[row, column], net, X, y)
            panels[row, column].set_title(f"{data}, {model}: {accuracy[model, data]:.1%}")
    for axes in panels[-1]:
        axes.set_xlabel("$x_1$")
    for axes in panels[:, 0]:
        axes.set_ylabel("$x_2$", rotation=0)
    handles, names = panels[0, 0].get_legend_handles_labels()
    line = Line2D([], [], color="black", linewidth=1.2)
    names.append("boundary: both classes are equally probable")
    figure.legend([*handles, line], names, loc="outside lower center", ncols=3, frameon=False)
    save(figure, path)
    return accuracy


def draw(axes, net, X, y):
    """The data over the probability of class 1, with the line where it is one half."""
    side = np.linspace(-1.15, 1.15, 150)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    probability = net.predict_proba(grid.reshape(-1, 2))[:, 1].reshape(150, 150)
    colours = LinearSegmentedColormap.from_list("classes", [BLUE, "white", ORANGE])
    axes.contourf(side, side, probability, np.linspace(0, 1, 7), cmap=colours, alpha=0.5)
    axes.contour(side, side, probability, [0.5], colors="black", linewidths=1.2)
    for label, colour, marker in [(0, BLUE, "o"), (1, ORANGE, "^")]:
        points = X[y == label]
        style = {"s": 14, "color": colour, "marker": marker, "edgecolor": "white", "linewidth": 0.3}
        axes.scatter(points[:, 0], points[:, 1], label=f"class {label}", **style)
    axes.set(aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])


if __name__ == "__main__":
    run(main)
