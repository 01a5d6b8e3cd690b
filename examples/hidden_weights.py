"""What hidden units look at: the weights into each, drawn as an image of the size of its input."""

import numpy as np
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from support import load_images, run, save, tile

import fastnn

UNITS, COLUMNS = 32, 8


def main(path="hidden_weights.png", quick=False, data=None):
    """Returns the weights of each unit as a row of pixels, and the accuracy on the test set."""
    X, y, X_test, y_test = load_images(data, quick)
    net = fastnn.Network([fastnn.Dense(UNITS, "relu"), fastnn.Dense(10)])
    net.fit(X, y, epochs=5, batch_size=32, optimizer=fastnn.SGD(0.1))
    accuracy = net.evaluate(X_test, y_test)["accuracy"]
    print(f"{UNITS} hidden units: {accuracy:.2%} of the test set right")

    # Column j of the weights (n_in, n_out) is what unit j multiplies its input by, pixel by pixel.
    images = net.layers[0].weight.T

    figure = Figure(figsize=(8, 3.9), layout="constrained")
    axes = figure.subplots()
    scale = CenteredNorm(halfrange=np.quantile(np.abs(images), 0.998))
    drawn = axes.imshow(tile(images, COLUMNS), cmap="RdBu_r", norm=scale, interpolation="nearest")
    figure.colorbar(drawn, label="weight", extend="both", shrink=0.8)
    axes.axis("off")
    save(figure, path)
    return images, accuracy


if __name__ == "__main__":
    run(main)
