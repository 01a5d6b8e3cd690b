"""Forward pass and back-propagation layer by layer, and the slope of the loss at one weight."""

import numpy as np
from matplotlib.figure import Figure
from support import BLUE, GREY, ORANGE, RED, run, save, tidy

import fastnn

x, y = np.array([[0.6, 0.4]]), np.array([[0.6]])  # one example and its target
FUNCTIONS = {"tanh": np.tanh, "sigmoid": lambda z: 1 / (1 + np.exp(-z))}


def make_network():
    """Two inputs, two hidden units, one output; weights are w[from, to]."""
    layers = [fastnn.Dense(2, "tanh"), fastnn.Dense(1, "sigmoid")]
    net = fastnn.Network(layers, loss="mse", n_features=2, dtype="float64")
    net.layers[0].weight[...] = [[-1.0, 0.8], [0.5, -0.7]]
    net.layers[1].weight[...] = [[2.0], [1.2]]
    return net


def main(path="loss_slope.png", quick=False):
    """Returns the slope by back-propagation, the same by differences, and the best weight."""
    net = make_network()
    np.set_printoptions(precision=4, suppress=True)

    outputs = [x]
    for layer in net.layers:  # forward, from left to right
        z = outputs[-1] @ layer.weight + layer.bias
        outputs.append(FUNCTIONS[layer.activation.name](z))
        print(f"forward   z = {z[0]}, a = {layer.activation.name}(z) = {outputs[-1][0]}")
    loss = net.forward(x, y)
    print(f"loss      (a - y)^2 = {loss:.4f}")
    net.backward()
    for layer in reversed(net.layers):  # backward, from right to left
        print(f"backward  dL/db = {layer.bias_grad}, dL/dW =")
        print(layer.weight_grad)

    weight, slope = net.layers[0].weight, net.layers[0].weight_grad[0, 0]
    here = weight[0, 0]

    def loss_at(w):
        weight[0, 0] = w
        return net.forward(x, y)

    by_differences = (loss_at(here + 1e-5) - loss_at(here - 1e-5)) / 2e-5
    print(f"slope at w = {here}: {slope:.8f}; by differences {by_differences:.8f}")
    w = np.linspace(-4, 4, 81 if quick else 801)
    curve = np.array([loss_at(value) for value in w])
    best = w[curve.argmin()]

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    diagram, axes = figure.subplots(1, 2, width_ratios=[1.2, 1])
    weight[0, 0] = here
    draw_network(diagram, net, outputs)
    axes.plot(w, curve, color=BLUE)
    axes.axline((here, loss), slope=slope, color=RED, linestyle="--", linewidth=1.2)
    axes.plot(here, loss, "o", color=RED, label=f"w = {here:.2f}: the slope is {slope:.4f}")
    axes.plot(best, curve.min(), "v", color=ORANGE, markersize=9, label=f"minimum at {best:.2f}")
    axes.set(xlabel="w, the weight from $x_1$ to the first hidden unit", ylabel="loss")
    axes.set_ylim(-0.01, curve.max() * 1.1)
    axes.legend(frameon=False)
    tidy(axes)
    save(figure, path)
    return {"slope": slope, "by_differences": by_differences, "best": best}


def draw_network(axes, net, outputs):
    """Nodes with their outputs; on the arrows each weight, and the loss's slope against it."""
    places = [[(i, (a.size - 1) / 2 - j) for j in range(a.size)] for i, a in enumerate(outputs)]
    for i, layer in enumerate(net.layers):
        for (source, target), w in np.ndenumerate(layer.weight):
            start, end = np.array(places[i][source]), np.array(places[i + 1][target])
            arrow = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 20, "shrinkB": 20}
            axes.annotate("", end, start, arrowprops=arrow)
            text = f"w = {w:.1f}\ndL/dw = {layer.weight_grad[source, target]:.4f}"
            style = {"ha": "center", "va": "center", "bbox": {"color": "white", "pad": 1}}
            share = 0.3 if start[1] * end[1] < 0 else 0.5  # not where two arrows cross
            axes.text(*(start + share * (end - start)), text, fontsize=8, **style)
    for column, a in zip(places, outputs, strict=True):
        for place, value in zip(column, a[0], strict=True):
            axes.scatter(*place, s=1500, color="white", edgecolor=BLUE, linewidth=1.5)
            axes.text(*place, f"{value:.3f}", ha="center", va="center")
    axes.set(xlim=(-0.25, 2.25), ylim=(-0.8, 0.8))
    axes.axis("off")


if __name__ == "__main__":
    run(main)
