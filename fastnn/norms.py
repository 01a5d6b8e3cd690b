"""Layers that normalize: settings, and views of parameters. No arithmetic."""

from __future__ import annotations

from fastnn._layer import Layer, View
from fastnn._validate import check_number


class Norm(Layer):
    """What both norms share; `LayerNorm` describes gain, shift and epsilon."""

    parameter_names = ("gain", "shift")
    gain, shift = View(), View()
    gain_grad, shift_grad = View(), View()

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = check_number("epsilon", epsilon, low=0, low_open=True)

    def parameter_shapes(self, n_in: int) -> list[tuple[int, ...] | None]:
        return [(n_in,), (n_in,)]

    def _reset(self) -> None:
        self.gain = 1
        self.shift = 0


class BatchNorm(Norm):
    """Normalizes each column over the rows of the mini-batch.

    a = gain * (x - mean) / sqrt(variance + epsilon) + shift, with the mean and the (biased)
    variance of the mini-batch in training; a batch of one row has no variance and is refused. In
    predictions mean and variance are the running ones: after each training step running =
    momentum * running + (1 - momentum) * batch, as the paper and Keras count (PyTorch's momentum is
    1 - momentum), with the unbiased variance, as in the paper and PyTorch. As the first layer it
    normalizes the inputs. Put it between a product and its activation:
    ``Dense(100, use_bias=False), BatchNorm(), Activation("relu")``.

    S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training by reducing
    internal covariate shift" (2015), algorithms 1 and 2.

    Parameters
    ----------
    momentum : float, default 0.9
        From 0 to less than 1.
    epsilon : float, default 1e-5
        Greater than 0.

    Attributes
    ----------
    gain, shift, gain_grad, shift_grad : ndarray (n_in,)
        As of `LayerNorm`.
    running_mean, running_variance : ndarray (n_in,)
        At first 0 and 1.
    """

    kind = "batch_norm"
    state_names = ("running_mean", "running_variance")
    _settings = ("momentum", "epsilon")
    running_mean, running_variance = View(), View()

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5) -> None:
        super().__init__(epsilon)
        self.momentum = check_number("momentum", momentum, low=0, high=1, high_open=True)

    def _reset(self) -> None:
        super()._reset()
        self.running_mean = 0
        self.running_variance = 1


class LayerNorm(Norm):
    """Normalizes each row over its columns, in training and in predictions alike.

    a = gain * (x - mean) / sqrt(variance + epsilon) + shift, with the mean and the (biased)
    variance of the row.

    J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization" (2016), equation 4; epsilon as in
    PyTorch.

    Parameters
    ----------
    epsilon : float, default 1e-5
        Greater than 0.

    Attributes
    ----------
    gain, shift : ndarray (n_in,)
        Writable views of the network's parameters, at first 1 and 0.
    gain_grad, shift_grad : ndarray (n_in,)
    """

    kind = "layer_norm"
    _settings = ("epsilon",)

    def __init__(self, epsilon: float = 1e-5) -> None:
        super().__init__(epsilon)
