"""How a Network learns from data: `fit`, and what it checks before."""

from __future__ import annotations

import contextlib
from typing import Any

from fastnn import _planning, _restarts, _unread, _validate
from fastnn._access import Access
from fastnn._data import FitData, check_batch_size
from fastnn._minimizing import Minimizing, check_minimizing
from fastnn._penalties import Penalties
from fastnn._targets import check_classes
from fastnn._training import Training
from fastnn.callbacks import Callback, Convergence, MetricWatcher, check_callbacks
from fastnn.history import History
from fastnn.optimizers import Optimizer, check_optimizer
from fastnn.schedules import Schedule, check_momentum, check_schedule


class Fitting:
    """The part of `Network` that trains it."""

    _classes: Any
    dtype: str
    history: History | None
    loss: Any
    n_outputs: int
    l1: float
    l2: float
    layers: tuple
    n_features: int | None
    _build: Any
    _penalties: Any
    _start_over: Any
    _parameters: Any
    _stepper: Any

    def _prepare_fitting(self) -> None:
        self._optimizer: Optimizer | None = None  # of the last fit, for partial_fit
        self._access = Access()

    @property
    def classes(self):
        """Labels in the order of the outputs, or None where they are not known."""
        return self._classes

    @classes.setter
    def classes(self, classes) -> None:
        if self._classes is not None:
            raise AttributeError(
                f"classes of the network is {self._classes.tolist()}, which its outputs stand for: "
                "build a new network, with other classes"
            )
        self._classes = check_classes(classes, self.loss, self.n_outputs)

    def fit(
        self,
        X,
        y,
        *,
        epochs: int = 10,
        batch_size: int | str | None = None,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        validation=None,
        sample_weight=None,
        class_weight=None,
        callbacks=(),
        tol: float | None = None,
        patience: int | None = None,
        n_restarts: int = 1,
        shuffle: bool = True,
        progress: bool = False,
    ) -> History:
        """Train for a number of epochs, going on from the present weights.

        Parameters
        ----------
        X : array-like (n_rows, n_features)
        y : array-like (n_rows,) or (n_rows, n_outputs)
            Class labels (integers, booleans or strings), rows of class probabilities, columns of
            yes and no (multilabel), or values. `Network.predict` gives back the same.
        epochs : int
        batch_size : int or "all", optional
            Rows of a step, by default 32; the last batch of an epoch may be shorter. "all", as any
            number from that of the rows on, is gradient descent on the whole data set. `LBFGS`
            takes no less, and has it by default.
        optimizer : SGD, Adam, LBFGS, ..., optional
            By default ``SGD()``. Its state lives in it: a second fit with it goes on from there.
        schedule : Schedule, optional
            How the learning rate changes, from that of the optimizer at the start of this fit: see
            `fastnn.schedules`. By default not at all.
        validation : (X, y) or float, optional
            Evaluated after each epoch. A share of the rows, between 0 and 1, is drawn at
            random, the same in every fit of as many rows, and not trained on.
        sample_weight : array-like (n_rows,), optional
            How much each row counts, at least 0. The loss of a batch is the weighted mean of its
            rows (``reduction="sum"``: the weighted sum), so that a weight of 2 is the row twice
            and 0, or less than 1e-290, leaves it out, but for batch norm and scaling. Not of
            validation rows.
        class_weight : dict of label to weight, or "balanced", optional
            Factors of the rows of each class, 1 where none is given. "balanced" lets all classes
            among the rows to train on count alike: n_rows / (n_classes * rows of the class), as in
            scikit-learn. Needs class labels (or one-hot rows).
        callbacks : list of Callback or function
            See `fastnn.callbacks.Callback`. A function is called after each epoch.
        tol : float, optional
            Iterate until convergence, but for `epochs` epochs at most: training ends when the loss
            has not fallen by more than `tol` in `patience` epochs.
        patience : int, optional
            Of `tol`, and only with it; by default 5.
        n_restarts : int, default 1
            Train so many times, first from the present weights, then from other random ones, and
            keep the network (with its seed) that ends with the lowest val_loss; without a
            validation set, loss. The seeds follow from the network's. ``history`` is that of the
            one kept; ``history.restarts`` lists seed, loss and val_loss of all. Small networks are
            trained side by side, one by each thread, with the same bits. Each training gets copies
            of the callbacks, which find its network in ``fit.net``; after Ctrl-C the weights are
            those of the first.
        shuffle : bool, default True
            A new order of the rows in each epoch.
        progress : bool, default False
            Show a progress bar with the loss.

        Returns
        -------
        History
            One row per epoch: epoch, loss (its weighted mean), seconds, learning_rate (of the
            epoch's first step; momentum too, where a schedule changes it), and val_loss and
            val_accuracy where there is a validation set. With `l1` or `l2` the loss is data_loss,
            that mean, plus penalty, that of the weights at the epoch's end; val_loss is without.
            ``stop_reason`` says why training ended, ``converged`` whether by `tol`, or by `LBFGS`'s
            own tolerances.

        Raises
        ------
        ValueError, TypeError
            For unusable arguments; the network is unchanged.
        DivergenceError
            A FloatingPointError, in the step where the loss, a gradient or a weight becomes NaN or
            infinite. That step is not made: weights and optimizer are those before it.
        KeyboardInterrupt
            After the current step on Ctrl-C; its weights are kept.

        Warns
        -----
        DivergenceWarning
            When the loss ends more than a tenth above that of the first epoch.
        """
        optimizer = check_optimizer(optimizer)
        options: dict[str, Any] = {
            "epochs": _validate.check_int("epochs", epochs, 1),
            "batch_size": check_batch_size(batch_size, optimizer),
            "optimizer": optimizer,
            "schedule": check_schedule(schedule),
            "shuffle": bool(shuffle),
            "callbacks": _list_watchers(callbacks, tol, patience),
        }
        n_restarts = _validate.check_int("n_restarts", n_restarts, 1)
        _restarts.check_callbacks(n_restarts, options["callbacks"])
        for callback in options["callbacks"]:
            if isinstance(callback, MetricWatcher):
                callback.check_validation(validation is not None)
        check_momentum(options["schedule"], optimizer)
        unread = _unread.is_better_unread(self, X, validation, n_restarts, progress, options)
        data = FitData(self, X, y, self.classes, validation, sample_weight, class_weight, unread)
        if optimizer.whole_data:
            check_minimizing(self, len(data.X), options)
        self._access.begin_writing()
        try:
            with _unread.undone_by_error(self, optimizer) if unread else contextlib.nullcontext():
                self._accept(data, optimizer, options["batch_size"])
                if n_restarts == 1:
                    return self._train(data, History(), progress, **options)

            def train(net, optimizer, callbacks) -> History:
                net._access.move_to_this_thread()
                own = {**options, "optimizer": optimizer, "callbacks": callbacks}
                return net._train(data, History(), progress, **own)

            batch_size = min(options["batch_size"] or len(data.X), len(data.X))
            n_workers = _restarts.choose_n_workers(self, batch_size, n_restarts)
            return _restarts.fit_best(
                self, options["optimizer"], options["callbacks"], n_restarts, n_workers, train
            )
        finally:
            self._access.end_writing()

    def partial_fit(
        self,
        X,
        y,
        *,
        classes=None,
        batch_size: int | str | None = None,
        optimizer: Optimizer | None = None,
        sample_weight=None,
        class_weight=None,
        shuffle: bool = True,
    ) -> History:
        """One epoch over these rows, going on from the present weights: for data in portions.

        Parameters
        ----------
        X : array-like (n_rows, n_features)
        y : array-like
            As in `fit`.
        classes : array-like, optional
            All labels that will ever come, in the order of the outputs. Needed by the first call
            where the labels are no integers 0, 1, ... and its rows do not have them all.
        batch_size : int or "all", optional
            By default 32.
        optimizer : SGD, optional
            By default that of the last `fit` or `partial_fit`, with its state.
        sample_weight, class_weight
            As in `fit`, of these rows: "balanced" counts the classes among them alone.
        shuffle : bool, default True

        Returns
        -------
        History
            Of all calls since the last `fit`, that fit included: one row more.

        Raises
        ------
        ValueError, TypeError, DivergenceError, KeyboardInterrupt
            As `fit`; and ValueError for `classes` other than the network's.
        """
        optimizer = check_optimizer(optimizer or self._optimizer)
        if optimizer.whole_data:
            raise ValueError(
                f"optimizer is {optimizer!r}, which takes the whole data set at once: pass it to "
                "fit, or another to partial_fit"
            )
        options: dict[str, Any] = {
            "epochs": 1,
            "batch_size": check_batch_size(batch_size, optimizer),
            "optimizer": optimizer,
            "shuffle": bool(shuffle),
            "callbacks": [],
        }
        classes = self._merge_classes(classes)
        data = FitData(self, X, y, classes, None, sample_weight, class_weight)
        history = self.history or History()
        self._access.begin_writing()
        try:
            self._accept(data, options["optimizer"], options["batch_size"])
            return self._train(data, history, False, **options)
        finally:
            self._access.end_writing()

    def _accept(self, data: FitData, optimizer: Optimizer, batch_size: int | None) -> None:
        """Build the network for checked data, where it is not; from here on nothing is refused."""
        n_rows = len(data.X)
        _planning.check_batches(self.layers, min(batch_size or n_rows, n_rows), n_rows)
        self._build_for(data.X)
        optimizer.bind(len(self._parameters.values), self.dtype)
        self._classes = data.classes
        self.input_scaling, self.target_scaling = data.input_scaling, data.target_scaling
        self._stepper = None

    def _build_for(self, X) -> None:
        """Build the network for X, which was checked; another call may have built it meanwhile."""
        with self._access.building:
            if self._parameters is None:
                self._build(X.shape[1])
        _validate.check_n_features(X, "X", self.n_features)

    def _train(self, data: FitData, history: History, progress: bool, **options) -> History:
        self.history, self._optimizer = history, options["optimizer"]
        kind = Minimizing if options["optimizer"].whole_data else Training
        kind(self, data, history, **options).run(progress)
        return history

    def _merge_classes(self, classes):
        """The network's classes, where `classes` agrees with them, or else these."""
        classes = check_classes(classes, self.loss, self.n_outputs)
        if classes is None or self.classes is None:
            return self.classes if classes is None else classes
        if classes.tolist() != self.classes.tolist():
            raise ValueError(
                f"classes is {classes.tolist()}, but the network has {self.classes.tolist()}"
            )
        return self.classes

    def _make_twin(self, seed: int):
        """A network of the same settings, classes and scaling in a fit, with weights of `seed`."""
        twin = object.__new__(type(self))  # `copy` would go through the description of a file
        layers = tuple(layer._copy() for layer in self.layers)
        vars(twin).update({**vars(self), "layers": layers})
        del twin.n_features
        twin._prepare_fitting()
        twin._access.begin_writing()
        twin._penalties = Penalties(twin.layers, self.l1, self.l2)
        twin._build(self.n_features, initialize=False)
        twin._start_over(seed)
        return twin

    def _check_readable(self) -> None:
        with self._access:
            pass


def _list_watchers(callbacks, tol: float | None, patience: int | None) -> list[Callback]:
    watchers = check_callbacks(callbacks)
    if tol is None and patience is not None:
        raise ValueError(
            f"patience is {patience}, but it belongs to tol, which was not given: pass tol too, or "
            f"callbacks=[fastnn.EarlyStopping(patience={patience})]"
        )
    patience = 5 if patience is None else _validate.check_int("patience", patience, 1)
    if tol is not None:
        watchers.append(Convergence(_validate.check_number("tol", tol, low=0), patience))
    return watchers
