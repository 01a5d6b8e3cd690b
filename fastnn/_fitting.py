"""How a Network learns from data: `fit`, and what it checks before."""

from __future__ import annotations

import threading
from typing import Any

from fastnn import _validate
from fastnn._training import Training
from fastnn.callbacks import Callback, Convergence, check_callbacks
from fastnn.history import History
from fastnn.optimizers import SGD, check_optimizer


class Fitting:
    """The part of `Network` that trains it."""

    classes: Any
    history: History | None
    _parameters: Any
    _stepper: Any
    _check_input: Any
    _check_y: Any
    _build: Any

    def _prepare_fitting(self) -> None:
        self._writer = threading.Lock()
        self._fitter: int | None = None  # the thread that holds it

    def fit(
        self,
        X,
        y,
        *,
        epochs: int = 10,
        batch_size: int = 32,
        optimizer: SGD | None = None,
        validation=None,
        callbacks=(),
        tol: float | None = None,
        patience: int = 5,
        shuffle: bool = True,
        progress: bool = False,
    ) -> History:
        """Train for a number of epochs, going on from the present weights.

        Parameters
        ----------
        X : array-like (n_rows, n_features)
        y : array-like (n_rows,) or (n_rows, n_outputs)
            Class labels (integers, booleans or strings), rows of class probabilities, or values.
        epochs, batch_size : int
            The last batch of an epoch may be shorter.
        optimizer : SGD, optional
            By default ``SGD()``.
        validation : (X, y), optional
            Evaluated after each epoch.
        callbacks : list of Callback or function
            See `fastnn.callbacks.Callback`. A function is called after each epoch.
        tol : float, optional
            Iterate until convergence, but for `epochs` epochs at most: training ends when the loss
            has not fallen by more than `tol` in `patience` epochs.
        patience : int, default 5
            Of `tol`.
        shuffle : bool, default True
            A new order of the rows in each epoch.
        progress : bool, default False
            Show a progress bar with the loss.

        Returns
        -------
        History
            One row per epoch: epoch, loss (the mean over the epoch), seconds, learning_rate, and
            val_loss and val_accuracy where there is a validation set. ``stop_reason`` says why
            training ended, ``converged`` whether by `tol`.

        Raises
        ------
        ValueError, TypeError
            For unusable arguments; the network is unchanged.
        DivergenceError
            A FloatingPointError, when the loss or a weight becomes NaN or infinite. The weights are
            those before the last call of the engine: where there is validation, progress or a
            callback those of the last epoch (or `on_step_end`), else those before this fit.
        KeyboardInterrupt
            After the current step on Ctrl-C; its weights are kept.

        Warns
        -----
        DivergenceWarning
            When the loss ends more than a tenth above that of the first epoch.
        """
        epochs = _validate.check_int("epochs", epochs, 1)
        batch_size = _validate.check_int("batch_size", batch_size, 1)
        optimizer = check_optimizer(optimizer)
        watchers = _list_watchers(callbacks, tol, patience)
        X = self._check_input(X)
        labels, targets, classes = self._check_y(y, len(X), self.classes)
        if validation is not None:
            validation = self._check_validation(validation, X.shape[1], classes)
        self._begin_fitting()
        try:
            if self._parameters is None:
                self._build(X.shape[1])
            self.classes = classes
            self._stepper = None
            training = Training(
                self,
                (X, labels, targets),
                batch_size=batch_size,
                optimizer=optimizer,
                shuffle=shuffle,
                epochs=epochs,
                validation=validation,
                callbacks=watchers,
            )
            self.history = training.history
            training.run(progress)
            return training.history
        finally:
            self._end_fitting()

    def _begin_fitting(self) -> None:
        if not self._writer.acquire(blocking=False):
            self._refuse_while_fitted()
        self._fitter = threading.get_ident()

    def _end_fitting(self) -> None:
        self._fitter = None
        self._writer.release()

    def _check_readable(self) -> None:
        """Only the thread that fits may predict meanwhile: in its callbacks."""
        if self._writer.locked() and self._fitter != threading.get_ident():
            self._refuse_while_fitted()

    def _refuse_while_fitted(self) -> None:
        if self._fitter == threading.get_ident():
            raise RuntimeError("model is being fitted: a callback cannot fit it as well")
        raise RuntimeError("model is being fitted in another thread; wait for it to end")

    def _check_validation(self, validation, n_features: int, classes):
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise ValueError(f"validation must be a pair (X, y), got {type(validation).__name__}")
        X, y = validation
        X = self._check_input(X, "validation X", n_features)
        labels, targets, _ = self._check_y(y, len(X), classes, "validation y")
        return X, labels, targets


def _list_watchers(callbacks, tol: float | None, patience: int) -> list[Callback]:
    watchers = check_callbacks(callbacks)
    patience = _validate.check_int("patience", patience, 1)
    if tol is not None:
        watchers.append(Convergence(_validate.check_number("tol", tol, low=0), patience))
    return watchers
