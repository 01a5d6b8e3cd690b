"""Learning rates that fall while training goes on: long steps at first, short ones to settle."""

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from support import BLUE, GREEN, GREY, ORANGE, load_images, run, save, tidy

import fastnn

START = 0.5
SCHEDULES = {
    "constant": None,
    "step": fastnn.schedules.Step(0.3, every=4),
    "exponential": fastnn.schedules.Exponential(0.75),
    "1/t": fastnn.schedules.InverseTime(0.8),
}
COLOURS = dict(zip(SCHEDULES, [GREY, BLUE, ORANGE, GREEN], strict=True))


def train(schedule, images, epochs):
    """The rows of the history, one for each epoch."""
    X, y, X_test, y_test = images
    net = fastnn.Network([fastnn.Dense(100, "relu"), fastnn.Dense(10)])
    options = {"optimizer": fastnn.SGD(START), "schedule": schedule, "batch_size": 32}
    return net.fit(X, y, epochs=epochs, validation=(X_test, y_test), **options).epochs


def main(path="rate_schedules.png", quick=False, data=None):
    """Returns the history of each schedule."""
    images = load_images(data, quick)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    rates, accuracies = figure.subplots(1, 2)
    histories = {}
    for name, schedule in SCHEDULES.items():
        rows = histories[name] = train(schedule, images, epochs=12)
        first, last = rows[0], rows[-1]
        print(
            f"{name:11}  rate {first['learning_rate']:.3f} to {last['learning_rate']:.3f},  "
            f"test accuracy {last['val_accuracy']:.2%}"
        )
        style = {"color": COLOURS[name], "marker": "o", "markersize": 3, "label": name}
        numbers = [row["epoch"] + 1 for row in rows]
        rates.plot(numbers, [row["learning_rate"] for row in rows], **style)
        accuracies.plot(numbers, [row["val_accuracy"] for row in rows], **style)
    rates.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
    rates.legend(frameon=False)
    accuracies.set(xlabel="epoch", ylabel="accuracy on the test set")
    accuracies.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    tidy(rates, accuracies)
    save(figure, path)
    return histories


if __name__ == "__main__":
    run(main)
