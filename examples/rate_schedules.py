"""Learning rates that fall while training goes on: long steps at first, short ones to settle."""

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from support import BLUE, GREEN, GREY, ORANGE, load_images, run, save, tidy

import fastnn

START = 0.5
SCHEDULES = {  # the rate of each epoch, counted from 0
    "constant": lambda epoch: START,
    "step": lambda epoch: START * 0.3 ** (epoch // 4),
    "exponential": lambda epoch: START * 0.75**epoch,
    "1/t": lambda epoch: START / (1 + 0.8 * epoch),
}
COLOURS = dict(zip(SCHEDULES, [GREY, BLUE, ORANGE, GREEN], strict=True))


def train(schedule, images, epochs):
    """The rows of the history, one for each epoch."""
    X, y, X_test, y_test = images
    net, optimizer = fastnn.Network([fastnn.Dense(100, "relu"), fastnn.Dense(10)]), fastnn.SGD()
    rows = []
    for epoch in range(epochs):  # fit goes on from the present weights
        optimizer.learning_rate = schedule(epoch)
        history = net.fit(
            X, y, epochs=1, batch_size=32, optimizer=optimizer, validation=(X_test, y_test)
        )
        rows += history.epochs
    return rows


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
