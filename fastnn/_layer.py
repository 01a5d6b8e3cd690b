"""What all layers have in common: settings, views of parameters, and passes by themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import activations
from fastnn._alone import LayerProgram
from fastnn._fixed import Fixed
from fastnn._labels import as_targets
from fastnn._stack import Stack
from fastnn._validate import as_matrix, check_int


class View:
    """A parameter, a gradient or a state: a view of the arrays that a layer was given.

    Assigning to it writes into the view, so that ``layer.weight -= rate * layer.weight_grad`` does
    what it says.
    """

    def __set_name__(self, layer_class, name: str) -> None:
        self._name = name

    def __get__(self, layer, layer_class=None) -> Any:
        return self if layer is None else layer._view(self._name)

    def __set__(self, layer, values) -> None:
        view = layer._view(self._name)
        if view is None:
            raise AttributeError(f"this {type(layer).__name__} layer has no {self._name}")
        if np.shape(values) not in ((), view.shape):
            raise ValueError(
                f"{self._name} has shape {view.shape}, what is assigned {np.shape(values)}"
            )
        view[...] = values


class Layer(Fixed):
    """What all layers have in common.

    Attributes
    ----------
    kind : str
        What the plan calls it.
    parameter_names : tuple of str
        Attributes that hold parameters; each has a twin whose name ends in ``_grad``.
    state_names : tuple of str
        Attributes that training changes without a gradient.
    units : int or None
        Outputs of the layer; None: as many as it has inputs.
    activation : fastnn.activations.Activation
    """

    kind = ""
    parameter_names: tuple[str, ...] = ()
    state_names: tuple[str, ...] = ()
    units: Any = None
    activation: activations.Activation = activations.Identity()

    def __init__(self) -> None:
        self._views: dict[str, np.ndarray | None] = {}
        self._owner: Stack | None = None
        self._program: LayerProgram | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.settings().values()))})"

    def settings(self) -> dict:
        """The arguments that make an equal layer."""
        return {name: getattr(self, name) for name in self._settings}

    # --- parameters ----------------------------------------------------------------------------

    def parameter_shapes(self, n_in: int) -> list[tuple[int, ...] | None]:
        """Shapes of the parameters, in the order of their names; None: it has none of that name."""
        return [None] * len(self.parameter_names)

    def parameters(self) -> list[np.ndarray]:
        """Those that it has, as views of the network's."""
        values = [self._view(name) for name in self.parameter_names]
        return [value for value in values if value is not None]

    def _attach(self, owner: Stack, i: int, values, gradients, state) -> None:
        """Show these arrays of the owner, whose layer `i` this is, as parameters, gradients, state.

        They are in the order of the names.
        """
        self._views.update(zip(self.state_names, state, strict=True))
        for name, value, gradient in zip(self.parameter_names, values, gradients, strict=False):
            self._views[name] = value
            self._views[f"{name}_grad"] = gradient
        self._owner, self._program = owner, LayerProgram(owner, i)

    def _copy(self):
        """A layer of the same settings that belongs to nobody."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._detach()
        return other

    def __getstate__(self) -> dict:
        """Pickled and copied as a layer by itself, of a network's layer too.

        What it would be saved with goes along: settings, parameters and running statistics, and the
        number of the next mask; gradients and the last forward pass do not.
        """
        state = self._copy().__dict__
        if self._owner is not None and self._program is not None:
            self._owner._check_readable()
            values = {
                name: self._views[name] for name in (*self.parameter_names, *self.state_names)
            }
            state["_built"] = self._program.describe(), values
        return state

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        built = self.__dict__.pop("_built", None)
        self._detach()
        if built is not None:
            (settings, n_in, number), values = built
            Stack([self], **settings)._allocate(n_in, initialize=False)
            for name, value in values.items():
                if value is not None:
                    setattr(self, name, value)
            self._require_program().rewind(number)

    def _detach(self) -> None:
        self._views, self._owner, self._program = {}, None, None

    def _reset(self) -> None:
        """Put parameters and state where training begins; but the weights of Dense."""

    def _view(self, name: str):
        if not self._views:
            raise AttributeError(
                f"this {type(self).__name__} layer has no {name} yet: its input width is unknown. "
                "Pass n_features to Network, or call fit or forward first; build(n_in) makes a "
                "layer usable by itself"
            )
        return self._views[name]

    # --- by itself -----------------------------------------------------------------------------

    def build(
        self, n_in: int, *, dtype: str = "float32", seed: int = 0, n_threads: int | None = None
    ):
        """Give the layer parameters of its own, for use without a Network.

        Parameters
        ----------
        n_in : int
            Width of its input.
        dtype, seed, n_threads
            As for `Network`; the weights begin as those of a Network of this layer alone.

        Returns
        -------
        The layer itself.

        Examples
        --------
        >>> layer = fastnn.Dense(100, "relu").build(784)
        >>> h = layer.forward(x)  # (32, 100) of x (32, 784)
        >>> dx = layer.backward(dh)  # (32, 784) of dL/dh (32, 100), and layer.weight_grad, ...
        >>> layer.weight -= 0.1 * layer.weight_grad

        Raises
        ------
        ValueError
            Where it is part of a Network, or built already.
        """
        if self._owner is not None:
            raise ValueError(
                f"this {type(self).__name__} layer is built already, or part of a network"
            )
        stack = Stack([self], dtype, seed, n_threads)
        stack._allocate(check_int("n_in", n_in, 1))
        return self

    def forward(self, x, training: bool = True) -> np.ndarray:
        """The layer's output h for a batch, by the kernels that `Network.forward` uses.

        Parameters
        ----------
        x : array-like (batch, n_in)
            As this layer sees it: what the layer before gives, or scaled inputs.
        training : bool, default True
            As in a training step, ready for `backward`: dropout draws a new mask in each call, the
            k-th that of step k of a fit; batch norm normalizes by the batch and moves its running
            statistics. False: as in predictions.

        Returns
        -------
        ndarray (batch, n_out)
            A new array, behind the layer's activation.

        Raises
        ------
        ValueError, TypeError
            For an unusable x; and ValueError before the layer is built.
        """
        program = self._require_program()
        matrix = as_matrix(x, "x", program.dtype, program.n_in)
        return program.forward(matrix) if training else program.predict(matrix)

    def backward(self, dh) -> np.ndarray:
        """Gradients of a loss L by the parameters and the input of the last `forward`.

        The gradients by parameters (dL/dW, dL/db ...) are left in ``weight_grad``, ``bias_grad``
        and their like, each as a sum over the batch, with the gradient of the penalty where there
        is one. As in `Network.backward`, they replace those of before.

        Parameters
        ----------
        dh : array-like (batch, n_out)
            dL/dh, the gradient by the layer's output.

        Returns
        -------
        ndarray (batch, n_in)
            dL/dx, a new array.

        Raises
        ------
        RuntimeError
            Without a forward pass in training before it.
        ValueError, TypeError
            For an unusable dh.
        """
        program = self._require_program()
        n_rows, n_out = program.require_forward()
        return program.backward(as_targets(dh, n_rows, n_out, program.dtype, "dh"))

    def _require_program(self) -> LayerProgram:
        if self._owner is None or self._program is None:
            raise ValueError(
                f"this {type(self).__name__} layer is not built: its input width is unknown. Call "
                "build(n_in), or pass n_features to its Network"
            )
        self._owner._check_readable()
        return self._program
