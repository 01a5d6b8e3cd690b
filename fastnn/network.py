"""Network: a stack of dense layers that trains, predicts, saves itself and explains what it does.

It owns the settings and the parameters, checks what users hand in (through ``_validate``) and
hands the work to the engine. No arithmetic here.
"""

from __future__ import annotations

import numpy as np

from fastnn import _programs, _saving, _scaling, _summary, _threads, _validate, _weights
from fastnn._data import scale
from fastnn._fitting import Fitting
from fastnn._parameters import Parameters
from fastnn._planning import make_shapes
from fastnn._predictors import PredictorPool
from fastnn._stack import Stack
from fastnn._targets import check_classes, decide, encode_targets, spread_probabilities
from fastnn.activations import get_activation
from fastnn.divergence import DivergenceError, are_finite
from fastnn.frozen import FrozenNetwork
from fastnn.history import History
from fastnn.layers import check_layers
from fastnn.losses import Loss, check_loss
from fastnn.optimizers import Optimizer, check_optimizer


class Network(Fitting, Stack):
    """A feed-forward network.

    Parameters
    ----------
    layers : list of Dense, Dropout, BatchNorm, LayerNorm and Activation
        From the first hidden layer to the output.
    loss : str or Loss, default "softmax_cross_entropy"
        "softmax_cross_entropy" (one class of several), "binary_cross_entropy" (two classes, or
        multilabel), "hinge", "squared_hinge" (classes), "mse", "mae", "huber", "log_cosh" (values),
        "poisson" (counts), or an object with settings, such as ``fastnn.Huber(delta=2)``.
    n_features : int, optional
        Width of the input. Given here, the network is built at once; otherwise by the first data.
    dtype : {"float32", "float64"}
        Of parameters and all arithmetic. Losses are always summed in float64.
    seed : int, default 0
        Of the initial weights and the order of the rows. Same seed, same data, same bits: from
        run to run and for any number of threads, on one instruction set and BLAS.
    n_threads : int, optional
        None chooses (one for small steps); an integer is exact.
    classes : array-like, optional
        The labels in the order of the outputs, or of the two classes that one output tells apart.
        By default the sorted labels of the first fit.
    l1, l2 : float, default 0
        Regularization: l1 sum |W| + l2 sum W^2 is added to the loss, for each Dense that has no l1
        or l2 of its own. Biases, slopes and norms are free of it.
    scale_inputs : {"minmax", "standard"}, optional
        Scale each column of X to 0..1, or to mean 0 and variance 1, as it was in the training rows
        of the first fit. All methods take X as it is; only single layers see it scaled.
    scale_targets : {"minmax", "standard"}, optional
        The same for y, undone in `predict`. Losses are those of scaled targets. For "mse" and its
        like.

    Attributes
    ----------
    layers : tuple
        With views of the parameters: ``weight``, ``bias``, ``weight_grad``, ``bias_grad``.
    classes : ndarray or None
    n_features, n_outputs : int
    parameter_vector, gradient_vector : ndarray (n_parameters,)
        All parameters, and all gradients of the last `backward`, as one writable view each.
    history : History or None
        Of the last fit.
    """

    _settings = (*Stack._settings, "loss", "n_outputs", "scale_inputs", "scale_targets")

    def __init__(
        self,
        layers,
        loss: str | Loss = "softmax_cross_entropy",
        *,
        n_features: int | None = None,
        dtype: str = "float32",
        seed: int = 0,
        n_threads: int | None = None,
        classes=None,
        l1: float = 0.0,
        l2: float = 0.0,
        scale_inputs: str | None = None,
        scale_targets: str | None = None,
    ) -> None:
        Stack.__init__(self, check_layers(layers), dtype, seed, n_threads, l1, l2)
        self.loss = check_loss(loss)
        self.n_outputs = [layer.units for layer in self.layers if layer.units][-1]
        self._merged = self.loss.check_output_activation(self.layers[-1].activation.name)
        self._classes = check_classes(classes, self.loss, self.n_outputs)
        self.scale_inputs = _scaling.check_kind("scale_inputs", scale_inputs)
        self.scale_targets = _scaling.check_target_kind(scale_targets, self.loss)
        self.input_scaling: _scaling.Scaling | None = None
        self.target_scaling: _scaling.Scaling | None = None
        self.history: History | None = None
        self._epoch = 0  # of the next fit; the order of the rows depends on it
        self._step = 0  # of the next batch; what is dropped in it depends on this
        self._stepper: _programs.Stepper | None = None
        self._prepare_fitting()
        if n_features is not None:
            self._build(_validate.check_int("n_features", n_features, 1))

    def __repr__(self) -> str:
        layers = list(self.layers)
        return f"Network({layers}, loss={self.loss.name!r}, n_features={self.n_features})"

    def __reduce__(self):
        """Pickled, copied, or sent to another process, as it would be saved, with its history."""
        with self._access:
            described = _saving.describe_network(self)
        return _saving.revive, (type(self), *described, self.n_threads, self.history)

    # --- building ------------------------------------------------------------------------------

    def _build(self, n_features: int, initialize: bool = True) -> None:
        self._allocate(n_features, initialize)
        last = self.layers[-1].activation
        scores = get_activation("identity") if self._merged else last
        means = get_activation(self.loss.merged_activation) if self._merged else last
        outputs = {"scores": scores, "output": last, "means": means}
        known = n_features, self.layers
        self._shapes = {what: make_shapes(*known, a, training=False) for what, a in outputs.items()}
        self._shapes["training"] = make_shapes(*known, scores, True, self._penalties.factors)
        self._predictors = PredictorPool(self._parameters, self.dtype)
        self._stepper = None

    def reset(self, seed: int | None = None) -> None:
        """Start over: new random weights, biases at 0, epochs counted from 0, scaling unfitted.

        Parameters
        ----------
        seed : int, optional
            By default the present one.
        """
        self._require_built()
        seed = self.seed if seed is None else _validate.check_int("seed", seed, 0, 2**64 - 1)
        self._access.begin_writing()
        try:
            self._start_over(seed)
            self.input_scaling = self.target_scaling = None
        finally:
            self._access.end_writing()

    def _start_over(self, seed: int) -> None:
        self._fill(seed)
        self.seed = seed
        self._epoch = self._step = 0
        self.history = None

    def _require_built(self) -> Parameters:
        if self._parameters is None:
            raise ValueError(
                "the network is not built: its input width is unknown. Pass n_features to "
                "Network, or call fit or forward first"
            )
        return self._parameters

    @property
    def parameter_vector(self) -> np.ndarray:
        return self._require_built().values

    @property
    def gradient_vector(self) -> np.ndarray:
        return self._require_built().gradients

    def _copy_state(self) -> dict[str, np.ndarray]:
        """What `_restore_state` needs to undo training from here on."""
        parameters = self._require_built()
        state = {"parameters": parameters.values.copy()}
        if parameters.running.size:
            state["running"] = parameters.running.copy()
        return state

    def _restore_state(self, state) -> None:
        parameters = self._require_built()
        parameters.values[...] = state["parameters"]
        if parameters.running.size:
            parameters.running[...] = state["running"]

    # --- checks --------------------------------------------------------------------------------

    def _check_unscaled(self, X, name: str = "X", n_features: int | None = None, look=True):
        """X as it came, and whether it is a copy; in float64 where scaling needs all its digits."""
        dtype = None if self.scale_inputs else self.dtype
        n_features = n_features or self.n_features
        return _scaling.check_unscaled(X, name, dtype, n_features, self.n_threads, look)

    def _check_input(self, X) -> np.ndarray:
        """X as the first layer takes it."""
        X, own = self._check_unscaled(X)
        _scaling.require_scaling(self.scale_inputs, self.input_scaling)
        return scale(X, self.input_scaling, self.dtype, "X", own)

    def _check_y(self, y, n_rows: int, classes, name: str = "y"):
        """Labels and unscaled targets, one of them None, and the classes."""
        dtype = "float64" if self.scale_targets else self.dtype
        return encode_targets(y, self.loss, classes, n_rows, self.n_outputs, dtype, name)

    def _encode(self, X, y):
        """X, labels and targets as the engine takes them, and the classes."""
        X = self._check_input(X)
        labels, targets, classes = self._check_y(y, len(X), self.classes)
        _scaling.require_scaling(self.scale_targets, self.target_scaling)
        return X, labels, scale(targets, self.target_scaling, self.dtype, "y"), classes

    # --- the explicit loop ---------------------------------------------------------------------

    def forward(self, X, y=None, sample_weight=None):
        """One forward pass over a batch.

        Parameters
        ----------
        X : array-like (batch, n_features)
        y : array-like, optional
            Targets as in `fit`.
        sample_weight : array-like (batch,), optional
            How much each row counts, as in `fit`. A batch of no weight has no loss and no gradient.

        Returns
        -------
        float or ndarray
            With `y` the mean loss over the batch and the penalty of the present weights, ready for
            `backward`; dropout then draws a new mask. Without, what the last layer's activation
            gives, (batch, n_outputs); scaled where targets are.
        """
        if y is None:
            if sample_weight is not None:
                raise ValueError("sample_weight was given without y: no loss is computed")
            if self._parameters is None:
                X = self._check_input(X)
                with self._access:
                    self._build_for(X)
            return self._run(X, "output")
        X, labels, targets, classes = self._encode(X, y)  # which may run a user's code
        weights = _weights.as_weights(sample_weight, len(X), all_zero=True)
        with self._access:
            return self._forward(X, labels, targets, classes, weights)

    def _forward(self, X, labels, targets, classes, weights) -> float:
        self._build_for(X)
        self._classes = classes
        if self._stepper is None or self._stepper.batch_size != len(X):
            self._stepper = _programs.Stepper(
                self._parameters,
                self._shapes["training"],
                len(X),
                self.dtype,
                self.n_threads,
                self.loss,
                self._merged,
            )
        loss = self._stepper.forward(X, labels, targets, self.seed, self._step, weights)
        self._step = (self._step + 1) % 2**32
        return loss + self._penalties.measure()

    def backward(self) -> None:
        """Gradients of the last `forward` with targets, into the layers' ``*_grad`` views."""
        if self._stepper is None:
            raise RuntimeError("backward needs a forward pass with targets before it")
        with self._access:
            self._stepper.backward()

    def apply_update(self, optimizer: Optimizer) -> None:
        """Update all parameters with the gradients of the last `backward`.

        Raises
        ------
        DivergenceError
            Where a gradient is NaN or infinite; the parameters are unchanged.
        """
        parameters, optimizer = self._require_built(), check_optimizer(optimizer)
        self._access.begin_writing()
        try:
            if _threads.find_nonfinite(parameters.gradients, self.n_threads) >= 0:
                finite = [are_finite(views) for views in parameters.weight_grads]
                raise DivergenceError(
                    self._epoch, optimizer.steps, finite.index(False), "the gradients",
                    getattr(optimizer, "learning_rate", 0.0),
                )  # fmt: skip
            _programs.apply_update(parameters, self._shapes["training"], optimizer)
        finally:
            self._access.end_writing()

    # --- prediction ----------------------------------------------------------------------------

    def _run(self, X, what: str) -> np.ndarray:
        quick, X = self._prepare(X, what)
        with self._access:
            return quick.run(self, X)

    def _prepare(self, X, what: str):
        """The short way, and X ready for it. X may run a user's code, which may want to fit."""
        self._require_built()
        quick = self._predictors.get_quick(self._shapes[what], self.n_threads)
        if self.scale_inputs is not None or not quick.accepts(X):
            X = self._check_input(X)
        return quick, X

    def predict(self, X) -> np.ndarray:
        """What `y` of `fit` was like.

        Returns
        -------
        ndarray
            Classes (n_rows,); yes or no for each multilabel output (n_rows, n_outputs); or values
            (n_rows, n_outputs), (n_rows,) for one output. A row's result does not depend on the
            rows beside it, to the bit.
        """
        output = self._run(X, self.loss.decides_by)
        return decide(output, self.loss, self.classes, self.target_scaling)

    def predict_proba(self, X) -> np.ndarray:
        """Probability of each class, in the order of ``classes``; of yes for multilabel outputs.

        Returns
        -------
        ndarray (n_rows, n_classes) or (n_rows, n_outputs)
            Two columns where one output tells two classes apart.
        """
        self.loss.require_probabilities()
        return spread_probabilities(self._run(X, "means"), self.loss)

    def evaluate(self, X, y, sample_weight=None) -> dict[str, float]:
        """The "loss" on (X, y) and, for classifiers, the share of right answers, "accuracy".

        Of multilabel rows each output is an answer of its own. `sample_weight` (n_rows,) says how
        much each row counts in both. The loss is without the penalty of `l1` and `l2`.
        """
        self._require_built()
        X, labels, targets, _ = self._encode(X, y)
        weights = _weights.as_weights(sample_weight, len(X))
        with self._access:
            scores = self._predictors.run(X, self._shapes["scores"], self.n_threads)
        return _programs.score(scores, self.loss, labels, targets, weights)

    def freeze(self) -> FrozenNetwork:
        """A copy of this network as it is now that predicts with the least delay.

        Its results have the bits of this network's, which it needs no longer. It can be pickled.

        Raises
        ------
        ValueError
            Where the network is not built, or its scaling not fitted.
        """
        with self._access:
            return FrozenNetwork(self)

    # --- words and files -----------------------------------------------------------------------

    def summary(self) -> str:
        """A table of the layers with shapes and numbers of parameters."""
        self._require_built()
        return _summary.summarize(self)

    def explain(
        self, batch_size: int = 32, optimizer: Optimizer | None = None, *, timed: bool = False
    ) -> str:
        """The plan that `fit` runs for this batch size, in words.

        How each layer is stored and computed, and by which rule; the phases of a step, what each
        thread owns of them, and where all wait. With `timed`, some steps are run on a copy of the
        network, on random rows, and each thread's microseconds are printed beside.
        """
        self._require_built()
        batch_size = _validate.check_int("batch_size", batch_size, 1)
        return _summary.explain(self, batch_size, check_optimizer(optimizer), timed)

    def save(self, path) -> None:
        """Write the network to `path` (safetensors), atomically.

        Raises
        ------
        OSError
            With errno and path; what was at `path` before is still there.
        """
        self._require_built()
        with self._access:
            _saving.save_network(self, path)


def load(path, *, n_threads: int | None = None) -> Network:
    """Read a network that `Network.save` wrote.

    Raises
    ------
    CorruptModelError
        A ValueError: the file is damaged, no fastnn model, or of a newer version.
    OSError
        The file cannot be read.
    """
    return _saving.load_network(Network, path, n_threads)
