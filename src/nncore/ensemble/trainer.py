"""EnsembleTrainer: trains all members of an ensemble at once."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore import _kernels, samplers
from nncore._messages import shown
from nncore._utils.arrays import Array, read_only
from nncore._utils.each import for_member, of_member
from nncore._utils.fields import choice, count, flag, number
from nncore._utils.files import Source, Target
from nncore._utils.interrupt import Interrupt
from nncore.callbacks import Callback
from nncore.callbacks.callback_list import CallbackList
from nncore.data.example_weights import class_weights
from nncore.ensemble.base import BaseEnsembleTrainer, described
from nncore.ensemble.checkpoint import restore_ensemble, save_trainer
from nncore.ensemble.cohorts import Cohort, Kind, evaluate_members
from nncore.ensemble.ensemble import Ensemble
from nncore.ensemble.evaluation import evaluate_together
from nncore.ensemble.fit import EnsembleCall, Part
from nncore.ensemble.history import EnsembleHistory
from nncore.ensemble.subsets import Subsets, member_rows
from nncore.samplers import Examples, Sampler
from nncore.training.dataset import Dataset
from nncore.training.fit import FitData, fit_data
from nncore.training.last_losses import LastLosses
from nncore.training.progress import Progress
from nncore.training.trainer import Trainer

__all__ = ["EnsembleTrainer"]

Int64 = NDArray[np.int64]


class Asked(NamedTuple):
    """What a call of ``fit`` asks for, besides data and callbacks.

    Attributes
    ----------
    rows : list of ndarray, or None
        The examples of each member; None: all.
    validates : whether the other examples are its validation data.
    balanced : whether the classes among its examples are balanced.
    batch, options : of the loops.
    """

    rows: list[Int64] | None
    validates: bool
    balanced: bool
    batch: int | None
    options: dict[str, Any]


class EnsembleTrainer(BaseEnsembleTrainer):
    """Trains the members of an `Ensemble`, many at once: what ``nn.Trainer(ensemble, ...)`` returns.

    Type checkers take that for a `Trainer`; made by this name it is what it is for them, too.

    Member k is trained as it would be alone, to the bit, by ``nn.Trainer(ensemble[k], ..., seed=seed + k)``: its own order of
    the examples, its own noise, its own end; a ``validation_split`` alone is that of ``seed`` for all members. Threads take
    whole members, one after the other; there are no barriers, and the data are in memory once.

    Parameters
    ----------
    model : Ensemble
    loss, optimizer, regularizer, clip, constraint, lr_factors, decay_factors, metrics
        As for `Trainer`. Hyper-parameters of the optimizer, strengths of penalties, and the arguments themselves may be `Each`:
        a value for each member.
    seed : int
        Of the order of the examples: member k has ``seed + k``.

    Attributes
    ----------
    history : EnsembleHistory
    interrupted : bool
        Did Ctrl-C end the last ``fit``?

    Raises
    ------
    ValueError
        If the optimizer does not take gradient steps: those of `nncore.second_order` train one model at a time.

    Examples
    --------
    Ten networks on ten bootstrap samples, and what those say of an example that have not seen it:

    >>> import numpy as np
    >>> import nncore as nn
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> ensemble = nn.Ensemble(nn.Sequential([nn.Dense(8), nn.Tanh(), nn.Dense(2)], input_shape=2), 10)
    >>> trainer = nn.Trainer(ensemble, "softmax_cross_entropy", nn.Adam(lr=0.02), metrics=["accuracy"])
    >>> history = trainer.fit(X, y, epochs=30, subsets=nn.Bags(), verbose=0)
    >>> trainer.out_of_bag(X, y)["accuracy"] > 0.9
    True
    """

    # --- training

    def fit(
        self, X: Any, y: Any, *, epochs: int = 1, batch_size: int | None = None, accumulate: int = 1, last_batch: str = "keep",
        shuffle: bool = True, sampler: Sampler | str | None = None, sample_weight: Any = None, class_weight: Any = None,
        validation_data: tuple[Any, ...] | None = None, validation_split: float = 0.0, exact_loss: bool = False,
        subsets: Subsets | Iterable[Any] | None = None, callbacks: Iterable[Callback] | None = (), verbose: int = 1,
    ) -> EnsembleHistory:  # fmt: skip
        """Train each member for some epochs.

        Parameters
        ----------
        X, y, epochs, batch_size, accumulate, last_batch, shuffle, sampler, sample_weight, class_weight
            As for `Trainer.fit`.
        validation_data, validation_split, exact_loss, verbose
            As for `Trainer.fit`. The fraction of a ``validation_split`` is the same for all members.
        subsets : Subsets or iterable, optional
            The rows that each member is trained on: `Bags`, `Folds`, or a list with an array of row numbers or a mask for each,
            which excludes ``validation_split``.
        callbacks : iterable of Callback, optional
            Each is copied for each member, and sees that `Member` alone: `EarlyStopping` stops members one by one. Those that
            write a file, `ModelCheckpoint` and `CSVLogger`, and `Snapshots` are refused.

        Returns
        -------
        EnsembleHistory

        Raises
        ------
        ValueError, TypeError
            If data and networks do not fit, before any parameter has changed.
        DivergenceError
            If the losses of all members stop being finite. If some do, they keep their last finite parameters,
            ``history.ended`` says so, and the others go on.

        Notes
        -----
        Ctrl-C ends the training with each member as it was after one of its epochs, of which some may have had one more. So
        does an error, of a signal handler for instance; where Python code of a member raises within an epoch, the steps before
        it count for its optimizer, as with `Trainer.fit`.
        """
        self._claim.check()
        with self._claim:
            epochs = count("epochs", epochs)
            batch_size = None if batch_size is None else count("batch_size", batch_size)
            accumulate, exact_loss = count("accumulate", accumulate), flag("exact_loss", exact_loss)
            validation_split = number("validation_split", validation_split, 0, below=1)
            last_batch = choice("last_batch", last_batch, ("keep", "merge", "drop"))
            callback_list, progress = CallbackList(callbacks), Progress(epochs, verbose)
            _check_callbacks(callback_list)
            if validation_split and subsets is not None and not isinstance(subsets, Subsets):
                raise ValueError(
                    "subsets given as rows and validation_split exclude each other, got both: the rows would be those of what "
                    "the split leaves. Split the data by nn.data.train_validation_split, and give validation_data"
                )
            of_data = {
                "sampler": samplers.get(sampler, shuffle), "sample_weight": sample_weight, "class_weight": class_weight,
                "validation_data": validation_data, "validation_split": validation_split,
            }  # fmt: skip
            data = {kind: self._data(kind, X, y, **of_data) for kind in dict.fromkeys(self._kind_of)}
            first = next(iter(data.values()))
            rows = member_rows(subsets, len(self.model), len(first.train))
            validates = bool(getattr(subsets, "validates", False))
            if validates and first.validation is not None:
                raise ValueError("subsets with a fold for validation and validation data exclude each other, got both")
            balanced = rows is not None and isinstance(class_weight, str)
            asked = Asked(rows, validates, balanced, batch_size, {"last_batch": last_batch, "accumulate": accumulate})
            parts = [part for kind, own in data.items() for part in self._cohorts(kind, own, asked)]
            call = EnsembleCall(self, parts, callback_list, progress, exact_loss)
            self._subsets = rows and [first.train.row_numbers(own[None])[0] for own in rows]
            call.run(epochs)
        return self.history

    def _data(self, kind: Kind, X: Any, y: Any, **of_data: Any) -> FitData:
        kind.follow()
        vars(kind.trainers[0])["seed"] = self.seed  # of the validation split
        return fit_data(kind.trainers[0], X, y, **of_data)

    def _cohorts(self, kind: Kind, data: FitData, asked: Asked) -> list[Part]:
        """The members of a kind by the number of their examples."""
        by_length: dict[int, list[int]] = {}
        for member in kind.numbers:
            by_length.setdefault(len(data.train) if asked.rows is None else len(asked.rows[member]), []).append(member)
        several = len(by_length) > 1
        return [
            self._cohort(kind, data, numbers, asked, examples if several else None) for examples, numbers in by_length.items()
        ]

    def _cohort(self, kind: Kind, data: FitData, numbers: list[int], asked: Asked, examples: int | None) -> Part:
        train, given = data.train, asked.rows
        trainers = kind.workers(min(_kernels.get_num_threads(), len(numbers)), examples)
        own = [np.arange(len(train)) if given is None else given[member] for member in numbers]
        labels = [None if data.labels is None else data.labels[rows] for rows in own]
        samplers = [for_member(data.sampler, member, len(self.model)) for member in numbers]
        if given is not None:
            samplers = [sampler.take(read_only(rows), len(train)) for sampler, rows in zip(samplers, own, strict=True)]
        sets = [train if given is None else train.take(rows) for rows in own]
        if given is not None:
            _check_weights(numbers, sets)
        weights = [_balanced(data, rows) for rows in own] if asked.balanced else None
        loops: list[Any] = [
            trainer._loop(sets[0], asked.batch, samplers[0], labels[0], **asked.options) for trainer in trainers
        ]
        about = [Examples(len(sets[0]), self.seed + member, mine) for member, mine in zip(numbers, labels, strict=True)]
        for place, (sampler, examples_of) in enumerate(zip(samplers, about, strict=True)):
            sampler.check(examples_of.read_only())
            if sampler.uses_losses:
                seen = sets[place] if weights is None else replace(sets[place], weights=weights[place])
                examples_of.losses = self._losses(kind, numbers[place], seen)
        chosen = None if sets[0].chosen is None else [train.row_numbers(rows[None])[0] for rows in own]
        held_back = None
        if asked.validates:
            everything = np.arange(len(train))
            held_back = [train.row_numbers(np.setdiff1d(everything, rows)[None])[0] for rows in own]
        return Part(Cohort(kind, numbers, chosen, about, samplers, loops, weights), data, held_back)

    def _losses(self, kind: Kind, member: int, data: Dataset) -> Array:
        """The last loss of each example, for a sampler; of the first ``fit`` those before the training."""
        trainer, (group, row) = kind.trainers[0], self.model._place[member]
        group.loaded(trainer.model, row)
        last = self._last_losses.setdefault(member, LastLosses())
        return last.of(data, trainer.loss, lambda losses: trainer._evaluate(data, losses))

    # --- evaluation

    def evaluate(self, X: Any, y: Any, sample_weight: Any = None) -> dict[str, float]:
        """Loss and metrics of the ensemble's prediction: the mean output or, for classes, the mean probability.

        With target scalers they are in the units of that of member 0. Penalties, which each member has for itself, are not in
        this loss; they are in those of `evaluate_members`. ValueError if members differ in loss or metrics.
        """
        return evaluate_together(self.model, self._common_trainer(), X, y, sample_weight)[0]

    def _common_trainer(self) -> Trainer:
        """One with the loss and the metrics of all members."""
        given = [self._parts["loss"], self._parts["metrics"]]
        asked = {described([kind.parts["loss"], kind.parts["metrics"]]) for kind in dict.fromkeys(self._kind_of)}
        if len(asked) > 1 and of_member(lambda memo: copy.deepcopy(given, memo), 0, None)[1]:
            raise ValueError(
                f"members must have the same loss and metrics to be evaluated together, got {shown(given)}: evaluate_members "
                "says those of each"
            )
        self._kind_of[0].follow()
        return self._kind_of[0].trainers[0]

    def evaluate_members(self, X: Any, y: Any, sample_weight: Any = None) -> dict[str, Array]:
        """What `Trainer.evaluate` says of each member: (members,) by column."""
        result: dict[str, Array] = {}
        threads = _kernels.get_num_threads()
        with Interrupt(tolerated=0) as interrupt, self._claim:
            for kind in dict.fromkeys(self._kind_of):
                kind.follow()
                trainers = kind.workers(min(threads, len(kind.numbers)))
                data = trainers[0]._data(X, y, sample_weight)
                rows = np.array([self.model._place[member][1] for member in kind.numbers])
                found, _ = evaluate_members(trainers, kind.group, rows, data, None, threads, interrupt.pressed)
                for name, values in found.items():
                    result.setdefault(name, np.full(len(self.model), np.nan))[kind.numbers] = values
        return result

    def out_of_bag(self, X: Any, y: Any, sample_weight: Any = None) -> dict[str, float]:
        """Loss and metrics of predictions by the members that were not trained on the example, in the last ``fit``.

        Parameters
        ----------
        X, y : the data of that call
        sample_weight : array_like (n,), optional

        Returns
        -------
        dict
            Beside loss and metrics ``covered``, the fraction of the examples of which there is such a prediction.

        Raises
        ------
        ValueError
            If the last ``fit`` had no subsets, or each example is in all of them.

        Notes
        -----
        Source: Breiman: Out-of-bag estimation (1996).
        """
        if self._subsets is None:
            raise ValueError("out_of_bag needs members trained on subsets, fit(..., subsets=nn.Bags()), got none")
        row, covered = evaluate_together(self.model, self._common_trainer(), X, y, sample_weight, self._subsets)
        return row | {"covered": covered}

    # --- averaged parameters

    def use_averages(self) -> None:
        """Replace each member's parameters by the averages of an optimizer such as `EMA`: training would continue from them.

        A member that has taken no step is left as it is.

        Raises
        ------
        ValueError
            If the optimizer of a member keeps no averages, or no member has taken a step. Nothing is changed.
        RuntimeError
            While another thread trains.

        Examples
        --------
        >>> import numpy as np
        >>> import nncore as nn
        >>> ensemble = nn.Ensemble(nn.Sequential([nn.Dense(1)], input_shape=4), 3)
        >>> trainer = nn.EnsembleTrainer(ensemble, "squared_error", nn.EMA(nn.SGD(lr=0.5), decay=0.9))
        >>> history = trainer.fit(np.eye(4), np.arange(4.0), epochs=50, batch_size=1, verbose=0)
        >>> trainer.use_averages()
        """
        with self._claim:
            for member, optimizer in enumerate(self._optimizers):
                if "average" not in optimizer.slots:
                    raise ValueError(
                        f"optimizer must keep averages, such as nn.EMA(nn.Adam()), got {shown(optimizer)} of member {member}"
                    )
            trained = [member for member, optimizer in enumerate(self._optimizers) if optimizer.step_count]
            if not trained:
                raise ValueError("there are no averaged parameters before the first step")
            with Interrupt(tolerated=0), self.model.lock:
                for member in trained:
                    group, row = self.model._place[member]
                    group.parameters[row] = self._slots[self.model.groups.index(group)]["average"][row]

    # --- files

    def save(self, path: Target) -> None:
        """Write a checkpoint: the members, their optimizers with their states, and the history. See `Trainer.save`.

        Callbacks are not in it. `Ensemble.load` reads the members from it, too.
        """
        save_trainer(self, path)

    def restore(self, path: Source) -> None:
        """Continue from a checkpoint of a trainer of the same kind: the same bits as if training had never stopped.

        Raises
        ------
        ValueError
            If the file is no checkpoint, or one of another training. Nothing is changed.
        RuntimeError
            While the trainer trains, also within a callback.

        Examples
        --------
        >>> import io
        >>> import nncore as nn
        >>> def make():
        ...     return nn.Trainer(nn.Ensemble(nn.Sequential([nn.Dense(1)], input_shape=1), 2), "squared_error", nn.Adam())
        >>> first, second, file = make(), make(), io.BytesIO()
        >>> history = first.fit([[1.0]], [[2.0]], epochs=3, verbose=0)
        >>> first.save(file)
        >>> second.restore(io.BytesIO(file.getvalue()))
        >>> len(second.history), bool((second.model.predict([[1.0]]) == first.model.predict([[1.0]])).all())
        (3, True)
        """
        restore_ensemble(self, path)

    def __repr__(self) -> str:
        loss, optimizer = shown(self._parts["loss"]), shown(self._parts["optimizer"])  # with values of a thousand members
        return f"EnsembleTrainer({self.model!r}, loss={loss}, optimizer={optimizer})"


Ensemble.trainer_class = EnsembleTrainer


def _check_weights(numbers: list[int], sets: list[Dataset]) -> None:
    for member, own in zip(numbers, sets, strict=True):
        if own.weights is not None and not own.of_examples(own.weights).any():
            raise ValueError(
                f"sample_weight and class_weight must leave a positive weight among the rows of member {member}, got zeros only"
            )


def _balanced(data: FitData, rows: Int64) -> Array:
    """The weights (rows of the data,) of examples with balanced classes among these."""
    assert data.labels is not None
    factors = np.zeros(len(data.train))
    given = None if data.measured.weights is None else data.measured.of_examples(data.measured.weights)[rows]
    factors[rows] = class_weights("balanced", data.labels[rows], 0, given)
    weighted = data.measured.weighted(factors).weights
    assert weighted is not None
    return weighted


def _check_callbacks(callbacks: CallbackList) -> None:
    for callback in callbacks.callbacks:
        if not callback.of_members:
            raise ValueError(
                f"callbacks of an ensemble are copied for each member, and {type(callback).__name__} is for one model: take "
                "trainer.history and ensemble.save after fit in the place of files, and a training of one model for snapshots"
            )
