"""Handwritten digits: over 95% after one short run, over 98% after a longer one."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from support import BLUE, GREY, RED, load_images, run, save, tidy, tile

import fastnn


def main(path="mnist.png", quick=False, data=None):
    """Returns the test accuracy after the first epoch and after the last."""
    X, y, X_test, y_test = load_images(data, quick)

    # The test set is looked at after each epoch, but chooses nothing.
    net = fastnn.Network([fastnn.Dense(200, "relu"), fastnn.Dense(10)])
    history = net.fit(
        X,
        y,
        epochs=10,
        batch_size=32,
        optimizer=fastnn.SGD(0.2),
        validation=(X_test, y_test),
    )
    accuracy = history.val_accuracy
    print(f"after one epoch ({history.seconds[0]:.2f} s): {accuracy[0]:.2%} of the test set right")
    print(f"after {len(history)} epochs ({sum(history.seconds):.2f} s): {accuracy[-1]:.2%}")

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    curve, mistakes = figure.subplots(1, 2)
    draw_curve(curve, accuracy)
    draw_mistakes(mistakes, X_test, y_test, net.predict(X_test))
    save(figure, path)
    return accuracy[0], accuracy[-1]


def draw_curve(axes, accuracy):
    axes.plot(range(1, len(accuracy) + 1), accuracy, color=BLUE, marker="o", markersize=4)
    for level in (0.95, 0.98):
        axes.axhline(level, color=GREY, linewidth=1, linestyle="--")
    axes.set(xlabel="epoch", ylabel="accuracy on the test set")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes)


def draw_mistakes(axes, X, y, predicted, columns=6):
    """The first images that the network reads wrongly."""
    wrong = np.flatnonzero(predicted != y)
    first = wrong[: 3 * columns]
    axes.set_title(
        f"{len(wrong)} of {len(y):,} are read wrongly, as the orange digits", fontsize=10
    )
    picture = tile(X[first], columns)
    axes.imshow(picture, cmap="gray_r")
    cell = picture.shape[1] / columns
    for place, i in enumerate(first):
        row, column = divmod(place, columns)
        at = ((column + 0.06) * cell, (row + 0.94) * cell)
        axes.text(*at, predicted[i], color=RED, weight="bold")
    axes.axis("off")


if __name__ == "__main__":
    run(main)
