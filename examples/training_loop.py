"""The training loop of the textbooks, line by line, and `fit`: the same loss curve."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from support import BLUE, ORANGE, run, save, tidy

import fastnn


def train_by_hand(net, X, y, epochs, batch_size, alpha):
    """Mini-batch gradient descent; returns the mean loss of each epoch."""
    losses = []
    for epoch in range(epochs):
        total = 0.0
        for xb, yb in fastnn.batches(X, y, batch_size, seed=0, epoch=epoch):
            loss = net.forward(xb, yb)  # forward pass: the mean loss of the batch
            net.backward()  # backward pass: dL/dW and dL/db of every layer
            for layer in net.layers:  # gradient descent
                W, dW = layer.weight, layer.weight_grad
                b, db = layer.bias, layer.bias_grad
                W[...] = W - alpha * dW
                b[...] = b - alpha * db
            total += loss * len(xb)
        losses.append(total / len(X))
    return losses


def make_network():
    return fastnn.Network([fastnn.Dense(64, "relu"), fastnn.Dense(10)], n_features=64, seed=0)


def main(path="training_loop.png", quick=False):
    """Returns the loss of each epoch, by hand and by `fit`."""
    X, y, X_test, y_test = fastnn.datasets.load_digits()
    epochs, batch_size, alpha = (3 if quick else 20), 32, 0.2

    net = make_network()
    by_hand = train_by_hand(net, X, y, epochs, batch_size, alpha)
    print(f"by hand: test accuracy {net.evaluate(X_test, y_test)['accuracy']:.4f}")

    net = make_network()
    optimizer = fastnn.SGD(alpha)
    by_fit = net.fit(X, y, epochs=epochs, batch_size=batch_size, optimizer=optimizer).loss
    print(f"fit:     test accuracy {net.evaluate(X_test, y_test)['accuracy']:.4f}")
    difference = np.abs(np.subtract(by_hand, by_fit)).max()
    print(f"largest difference between the two curves: {difference:.1e}")

    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axes = figure.subplots()
    numbers = range(1, epochs + 1)
    axes.plot(numbers, by_hand, "o", color=ORANGE, markersize=9, label="loop written out")
    axes.plot(numbers, by_fit, color=BLUE, linewidth=1.8, label="net.fit")
    axes.set(xlabel="epoch", ylabel="mean loss of the epoch", ylim=(0, None))
    axes.set_title(f"largest difference {difference:.0e}", fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    tidy(axes)
    save(figure, path)
    return by_hand, by_fit


if __name__ == "__main__":
    run(main)
