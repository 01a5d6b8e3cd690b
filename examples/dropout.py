"""Over-fitting, and dropout against it: the losses of a network with more weights than examples."""

from matplotlib.figure import Figure
from support import BLUE, ORANGE, load_images, run, save, tidy

import fastnn


def make_networks():
    """The same two hidden layers, without and with units left out at random in each step."""
    plain = [fastnn.Dense(256, "relu"), fastnn.Dense(256, "relu"), fastnn.Dense(10)]
    dropout = [
        fastnn.Dropout(0.2),
        fastnn.Dense(256, "relu"),
        fastnn.Dropout(0.5),
        fastnn.Dense(256, "relu"),
        fastnn.Dropout(0.5),
        fastnn.Dense(10),
    ]
    return {"without dropout": fastnn.Network(plain), "with dropout": fastnn.Network(dropout)}


def main(path="dropout.png", quick=False, data=None):
    """Returns the history of each network; "train_loss" is that of the whole network."""
    X, y, X_valid, y_valid = load_images(data, quick)
    X, y = X[:1000], y[:1000]  # few examples are learnt by heart

    def measure(fit):
        """The training loss with no unit left out, as in validation: `loss` is that of training."""
        fit.history.epochs[-1]["train_loss"] = fit.net.evaluate(X, y)["loss"]

    histories = {}
    for name, net in make_networks().items():
        histories[name] = net.fit(
            X,
            y,
            epochs=40 if quick else 100,
            batch_size=32,
            optimizer=fastnn.SGD(0.1),
            validation=(X_valid, y_valid),
            callbacks=[measure],
        )
        best, last = min(histories[name].val_loss), histories[name].val_loss[-1]
        print(f"{name}: validation loss {best:.3f} at best, {last:.3f} in the end")

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (name, history) in zip(panels, histories.items(), strict=True):
        epochs = range(1, len(history) + 1)
        axes.plot(epochs, history.train_loss, color=BLUE, label=f"{len(X):,} images to train")
        axes.plot(epochs, history.val_loss, color=ORANGE, label=f"{len(X_valid):,} others")
        axes.set(title=f"{name}: {history.val_accuracy[-1]:.1%} right", xlabel="epoch")
        tidy(axes)
    panels[0].set(ylabel="loss", ylim=(0, 0.9))
    panels[0].legend(frameon=False)
    save(figure, path)
    return histories


if __name__ == "__main__":
    run(main)
