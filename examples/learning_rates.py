"""Five learning rates on one weight: too small creeps, too large jumps over the minimum."""

import numpy as np
from matplotlib.figure import Figure
from support import BLUE, GREEN, GREY, ORANGE, RED, run, save, tidy

import fastnn

RATES = {0.02: BLUE, 0.15: GREEN, 0.5: GREY, 0.9: ORANGE, 1.1: RED}
ON_THE_CURVE = [0.15, 0.9, 1.1]  # drawn step by step


def main(path="learning_rates.png", quick=False):
    """Returns the losses of each rate, and what was said of those that diverged."""
    x = np.linspace(-np.sqrt(3), np.sqrt(3), 101)[:, None]  # the mean of x squared is 1
    y = 2 * x

    losses, weights, reports = {}, {}, {}
    for rate in RATES:
        # The loss is (w - 2)^2, its slope 2 (w - 2): every step multiplies w - 2 by 1 - 2 rate.
        net = fastnn.Network([fastnn.Dense(1, use_bias=False)], loss="mse", n_features=1)
        net.layers[0].weight[...] = 0
        losses[rate], weights[rate] = [], [0.0]

        def look_on(fit, rate=rate):
            losses[rate].append(fit.loss)
            weights[rate].append(fit.net.layers[0].weight.item())

        try:
            optimizer = fastnn.SGD(rate)
            net.fit(x, y, epochs=600, batch_size=len(x), optimizer=optimizer, callbacks=[look_on])
            print(f"rate {rate}: the loss is {losses[rate][-1]:.1e} after 600 steps")
        except fastnn.DivergenceError as error:
            reports[rate] = str(error)
            print(f"rate {rate}: {error}")

    figure = Figure(figsize=(9.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_jumps(left, weights)
    draw_curves(right, losses, reports)
    figure.legend(loc="outside right center", frameon=False)
    save(figure, path)
    return losses, reports


def draw_jumps(axes, weights):
    w = np.linspace(-3, 8.2, 200)
    axes.plot(w, (w - 2) ** 2, color="black", linewidth=1)
    for rate in ON_THE_CURVE:
        steps = np.array(weights[rate][:6])
        axes.plot(steps, (steps - 2) ** 2, "o-", color=RATES[rate], markersize=4)
    axes.set(xlabel="weight", ylabel="loss", title="the first five steps")
    tidy(axes)


def draw_curves(axes, losses, reports):
    for rate, colour in RATES.items():
        label = f"rate {rate}" + (",\ndiverged" if rate in reports else "")
        axes.semilogy(losses[rate][:60], color=colour, label=label)
    axes.set(xlabel="step", ylabel="loss", ylim=(1e-9, 1e9), title="the loss step by step")
    tidy(axes)


if __name__ == "__main__":
    run(main)
