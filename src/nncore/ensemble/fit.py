"""One call of `EnsembleTrainer.fit`: rounds of epochs, with evaluations and callbacks between them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore import _kernels
from nncore._utils.arrays import Array
from nncore._utils.each import of_member
from nncore._utils.hints import warn
from nncore._utils.interrupt import Interrupt
from nncore.callbacks import Callback, EarlyStopping
from nncore.callbacks.callback_list import CallbackList
from nncore.ensemble.base import BaseEnsembleTrainer
from nncore.ensemble.cohorts import Cohort, Coming, Round, evaluate_members
from nncore.ensemble.member import Member
from nncore.errors import DivergenceError
from nncore.training.dataset import Dataset
from nncore.training.fit import FitData
from nncore.training.progress import Progress

__all__ = ["EnsembleCall", "Part"]

Int64 = NDArray[np.int64]

MOST_STEPS = 1 << 20  # of all members together in one round
MOST_ORDERED = 1 << 22  # examples in the orders that members run with at once


@dataclass
class Part:
    """A cohort, what it is evaluated on, and the rows that each member holds back for that, if it does."""

    cohort: Cohort
    data: FitData
    held_back: list[Int64] | None

    def evaluated(self, places: Int64, exact_loss: bool) -> list[tuple[str, Dataset, list[Any] | None]]:
        """What members, given by their places, are evaluated on after an epoch: the prefix of columns, data, rows of each."""
        data, chosen = self.data, self.cohort.chosen
        asked: list[tuple[str, Dataset, list[Any] | None]] = []
        if exact_loss:
            asked.append(("", data.measured, None if chosen is None else [chosen[place] for place in places]))
        if self.held_back is not None:
            asked.append(("val_", data.measured, [self.held_back[place] for place in places]))
        elif data.validation is not None:
            asked.append(("val_", data.validation, None))
        return asked


Ready = tuple[Part, Int64, list[Coming]]  # members of a cohort by their places, and their next steps


class EnsembleCall:
    """Rounds of epochs of all members that still train."""

    def __init__(
        self, trainer: BaseEnsembleTrainer, parts: list[Part], callbacks: CallbackList, progress: Progress, exact_loss: bool
    ) -> None:  # fmt: skip
        self.trainer, self.parts, self.progress, self.exact_loss = trainer, parts, progress, exact_loss
        self.history, self.threads = trainer.history, _kernels.get_num_threads()
        self.failure: BaseException | None = None  # that ended a round
        self.members = [Member(trainer, number) for number in range(len(trainer.model))]
        self.callbacks: list[CallbackList] = []
        if callbacks.callbacks:
            members = len(self.members)
            self.callbacks = [CallbackList(_copied(callbacks, number, members)) for number in range(members)]
            own = [copy.deepcopy(optimizer) for optimizer in trainer._optimizers]  # which a callback may change
            trainer._optimizers[:] = own
        asked = [part.evaluated(np.arange(len(part.cohort.numbers)), exact_loss) for part in parts]
        self.evaluates = any(asked)
        self.each_epoch = (
            self.evaluates or progress.verbose == 2 or callbacks.every_epoch or any(part.cohort.one_epoch for part in parts)
        )
        for part, evaluated in zip(parts, asked, strict=True):
            loop = part.cohort.loops[0]
            for prefix, data, rows in evaluated:
                for n in {len(data)} if rows is None else {len(own) for own in rows}:
                    loop.trainer._evaluation_rows(n, prefix)
            columns = [name for prefix, _, _ in evaluated for name in loop.trainer.row_columns(prefix)]
            callbacks.check_columns([*loop.columns, *columns])

    def run(self, epochs: int) -> None:
        history = self.history
        self.first = history.epochs.copy()
        self.target = self.first + epochs
        history.ended[:] = [""] * history.members
        failure: BaseException | None = None
        with Interrupt() as interrupt:
            self.interrupt = interrupt
            try:
                for callbacks, member in zip(self.callbacks, self.members, strict=False):
                    callbacks.train_begin(member)
                    self._stop_if_asked(member)
                for part in self.parts:
                    part.cohort.kind.remember(part.data.train, part.cohort.loops[0].trainer)
                with self.progress:
                    while (rounds := self._active()) and not interrupt.pressed():
                        self._round(rounds)
            except BaseException as error:
                failure = error
            self.trainer.interrupted = interrupt.pressed()
            self._end(failure)

    # --- a round

    def _active(self) -> list[tuple[Part, Int64]]:
        """The places of the members that still train, by cohort."""
        ended = self.history.ended
        result = []
        for part in self.parts:
            numbers = part.cohort.numbers
            going = (self.history.epochs < self.target)[numbers] & [not ended[number] for number in numbers.tolist()]
            if going.any():
                result.append((part, np.flatnonzero(going)))
        return result

    def _round(self, active: list[tuple[Part, Int64]]) -> None:
        epochs = self._epochs(active)
        ready = [(part, *self._ready(part.cohort, places, epochs)) for part, places in active]
        ready = [(part, places, coming) for part, places, coming in ready if len(places)]
        total = sum(len(places) for _, places, _ in ready)
        if not total:
            return
        if self.callbacks:
            for part, places, _ in ready:
                for number in part.cohort.numbers[places].tolist():
                    self.callbacks[number].epoch_begin(self.members[number], int(self.history.epochs[number]) + 1)
        ran, done, begun = [], list[Round](), 0
        for portion in self._portions(ready, epochs):
            ran += portion
            done += self._run(portion, epochs, begun / total, total)
            begun += sum(len(places) for _, places, _ in portion)
        self._advance([(part.cohort, coming, own) for (part, _, coming), own in zip(ran, done, strict=True)])
        rows: dict[int, dict[str, float]] = {}
        for (part, places, _), own in zip(ran, done, strict=True):
            rows |= self._record(part, places, own, epochs)
        if self.failure:
            raise self.failure
        if self.callbacks and not self.interrupt.pressed():  # which leaves evaluations out
            for number, row in rows.items():  # once all members are recorded: a callback may save them, or raise
                self._epoch_end(number, row)
        self._show(epochs)

    def _portions(self, ready: list[Ready], epochs: int) -> list[list[Ready]]:
        """Which members run at once: all, unless their orders, which are made before, would take too much memory.

        A portion has at least one member for each thread.
        """
        portions: list[list[Ready]] = [[]]
        room, members = MOST_ORDERED, 0
        for part, places, coming in ready:
            rows, first = part.cohort.ordered * part.cohort.loops[0].taken * epochs, 0
            while first < len(places):
                if room < rows and members >= self.threads:
                    portions.append([])
                    room, members = MOST_ORDERED, 0
                most = max(self.threads - members, room // rows, 1) if rows else len(places)
                own = slice(first, first + most)
                portions[-1].append((part, places[own], coming[own]))
                taken = len(places[own])
                first, room, members = first + taken, room - taken * rows, members + taken
        return portions

    def _run(self, ready: list[Ready], epochs: int, begun: float, total: int) -> list[Round]:
        """Run members at once; ``begun``: the share of all members of the round that ran before.

        After an error, which is kept, the steps that members have taken count, and no others run.
        """
        if self.interrupt.pressed() or self.failure:
            return [Round.none(part.cohort.numbers[places]) for part, places, _ in ready]
        counts = [len(places) for _, places, _ in ready]
        run = _kernels.Members([part.cohort.group for part, _, _ in ready], sum(counts))
        results = []
        for number, (part, places, coming) in enumerate(ready):
            numbers = part.cohort.numbers[places]
            results.append(part.cohort.add(run, number, places, epochs, self.history.epochs[numbers], coming))
        before = int((self.history.epochs - self.first).max())

        def stop() -> bool:
            self.progress.update(min(before + epochs, before + 1), begun + run.taken / total)
            return self.interrupt.pressed()

        with self.trainer.model.lock:
            try:
                steps, failed = _kernels.run_members(run, self.threads, stop)
            except BaseException as error:
                self.failure, steps, failed = error, run.steps, np.zeros(sum(counts), dtype=bool)
        ends = np.cumsum(counts)[:-1]
        return [
            make(*own)
            for make, own in zip(results, zip(np.split(steps, ends), np.split(failed, ends), strict=True), strict=True)
        ]

    def _epochs(self, active: list[tuple[Part, Int64]]) -> int:
        """How many epochs a round has."""
        if self.each_epoch:
            return 1
        steps = sum(len(places) * part.cohort.per_epoch for part, places in active)
        left = min(int((self.target - self.history.epochs)[part.cohort.numbers[places]].min()) for part, places in active)
        ordered = max((part.cohort.loops[0].taken for part, _ in active if part.cohort.ordered), default=0)
        return max(1, min(left, MOST_STEPS // steps, MOST_ORDERED // max(1, ordered * self.threads)))

    def _ready(self, cohort: Cohort, places: Int64, epochs: int) -> tuple[Int64, list[Coming]]:
        """The members whose next steps have valid coefficients, and these; for the others it is the end."""
        made: dict[int, Coming | ValueError] = {}
        kept, coming = [], []
        for place in places.tolist():
            number = int(cohort.numbers[place])
            optimizer = self.trainer._optimizers[number]
            if id(optimizer) not in made:
                try:
                    made[id(optimizer)] = cohort.coming(optimizer, epochs)
                except ValueError as error:
                    made[id(optimizer)] = error
            own = made[id(optimizer)]
            if isinstance(own, ValueError):
                self.history.ended[number] = f"raised ValueError: {own}"
            else:
                kept.append(place)
                coming.append(own)
        return np.array(kept, dtype=np.int64), coming

    def _advance(self, rounds: list[tuple[Cohort, list[Coming], Round]]) -> None:
        """Count the steps. Members that came less far than others with the same optimizer go on with one of their own."""
        made: dict[tuple[int, int, int], Any] = {}
        before: dict[int, Any] = {}
        for cohort, coming, done in rounds:
            for own, steps, number in zip(coming, done.steps.tolist(), done.numbers.tolist(), strict=True):
                optimizer, key = own.optimizer, (id(own.optimizer), steps, cohort.per_epoch)
                if key not in made:
                    first = key[0] not in before
                    if first:
                        before[key[0]] = copy.copy(optimizer)
                    made[key] = optimizer if first else copy.copy(before[key[0]])
                    made[key].advance(steps, cohort.per_epoch)
                self.trainer._optimizers[number] = made[key]

    def _record(self, part: Part, places: Int64, done: Round, epochs: int) -> dict[int, dict[str, float]]:
        """Rows of the history, with evaluations, and why members end. Returns the last rows of those that callbacks see."""
        cohort, history = part.cohort, self.history
        whole = done.steps // cohort.per_epoch
        for place in np.flatnonzero(done.failed):
            number, steps = int(done.numbers[place]), int(done.steps[place])
            history.ended[number] = f"diverged: {self._divergence(cohort, number, steps, done.sums[place, steps])}"
        columns, through, left_out = done.columns, np.flatnonzero(whole == epochs), np.empty(0, dtype=np.int64)
        if self.evaluates and len(through):
            found, complete = self._evaluated_or_left_out(part, places[through])
            left_out = through[~complete]
            history.extend(done.numbers[left_out], {name: own[left_out] for name, own in columns.items()}, whole[left_out])
            for name, values in found.items():
                columns[name] = np.full((len(places), epochs), np.nan)
                columns[name][through, 0] = values
        columns = _in_order(columns, cohort)
        counted = np.setdiff1d(np.flatnonzero(whole), left_out)
        history.extend(done.numbers[counted], {name: values[counted] for name, values in columns.items()}, whole[counted])
        told = through if self.callbacks else ()
        return {int(done.numbers[place]): {name: float(own[place, -1]) for name, own in columns.items()} for place in told}

    def _epoch_end(self, number: int, row: dict[str, float]) -> None:
        member, known = self.members[number], list(row)
        for callback in self.callbacks[number].callbacks:
            callback.on_epoch_end(member, member.epochs_done, row)
        if added := {name: value for name, value in row.items() if name not in known}:
            self.history.amend(number, added)
        self._stop_if_asked(member)

    def _stop_if_asked(self, member: Member) -> None:
        """By one of its callbacks."""
        if member.stop_training and not self.history.ended[member.number]:
            self.history.ended[member.number] = "stopped"

    def _evaluated_or_left_out(self, part: Part, places: Int64) -> tuple[dict[str, Array], NDArray[np.bool_]]:
        """An error, which is kept, leaves evaluations out as Ctrl-C does: the epoch counts."""
        if not self.failure:
            try:
                return self._evaluated(part, places)
            except BaseException as error:
                self.failure = error
        return {}, np.zeros(len(places), dtype=bool)

    def _evaluated(self, part: Part, places: Int64) -> tuple[dict[str, Array], NDArray[np.bool_]]:
        """The columns (members,) of evaluations after an epoch, and which members have all of them."""
        cohort = part.cohort
        trainers = [loop.trainer for loop in cohort.loops]
        columns, complete = dict[str, Array](), np.ones(len(places), dtype=bool)
        for prefix, evaluated, rows in part.evaluated(places, self.exact_loss):
            found, through = evaluate_members(
                trainers, cohort.kind.group, cohort.rows[places], evaluated, rows, self.threads, self.interrupt.pressed
            )
            columns |= {f"{prefix}{name}": values for name, values in found.items()}
            complete &= through
        return columns, complete

    def _divergence(self, cohort: Cohort, number: int, steps: int, sums: Array) -> str:
        epoch, step = int(self.history.epochs[number]) + steps // cohort.per_epoch + 1, steps % cohort.per_epoch + 1
        what = "the step of the optimizer is not finite"
        if not np.isfinite(sums[0]):
            what = f"the loss is {sums[0]}"
        elif cohort.loops[0].penalized and not np.isfinite(sums[-1]):  # without a penalty the last sum is not filled in
            what = f"the penalty is {sums[-1]}"
        return f"in epoch {epoch}, step {step} {what}"

    # --- what is seen

    def _show(self, epochs: int) -> None:
        if not self.progress.verbose:
            return
        done = int((self.history.epochs - self.first).max())
        row: dict[str, Any] = {"members": sum(not ended for ended in self.history.ended)}
        column = next((name for name in ("val_loss", "running_loss") if name in self.history), None)
        if column:
            last = self.history.last(column)
            if np.isfinite(last).any():
                row |= {column: float(np.nanmedian(last)), "best": float(np.nanmin(last))}
        self.progress.update(done, 1.0, row)

    def _end(self, failure: BaseException | None) -> None:
        history, trainer = self.history, self.trainer
        interrupted = trainer.interrupted or failure is not None
        for number, ended in enumerate(history.ended):
            if not ended:
                whole = history.epochs[number] >= self.target[number]
                history.ended[number] = "interrupted" if interrupted and not whole else "finished"
        if trainer.interrupted:
            self.progress.tell("interrupted; fit again to continue, or press Ctrl-C again at once to leave the program")
        diverged = [number for number, ended in enumerate(history.ended) if ended.startswith("diverged")]
        if failure is None and len(diverged) == history.members:
            failure = DivergenceError(f"the training of all {len(diverged)} members diverged; member 0 {history.ended[0][10:]}")
        for callbacks, member in zip(self.callbacks, self.members, strict=False):
            try:
                callbacks.train_end(member)
                for callback in callbacks.callbacks:
                    if isinstance(callback, EarlyStopping) and callback.restore_best and callback.best_epoch:
                        history.kept[member.number] = callback.best_epoch
            except BaseException as error:
                failure = failure or error
        if failure is not None:
            raise failure
        if diverged:
            some = ", ".join(map(str, diverged[:5])) + (", …" if len(diverged) > 5 else "")
            warn(f"the training of {len(diverged)} of {history.members} members diverged ({some}): see history.ended")


def _copied(callbacks: CallbackList, number: int, members: int) -> list[Callback]:
    """The callbacks of a member."""
    copies: list[Callback] = of_member(lambda memo: copy.deepcopy(callbacks.callbacks, memo), number, members)[0]
    return copies


def _in_order(columns: dict[str, Array], cohort: Cohort) -> dict[str, Array]:
    """Losses and metrics first, then hyper-parameters and norms, as in a `History`."""
    last = [*cohort.loops[0].noted, "grad_norm", "clipped"]
    return {name: v for name, v in columns.items() if name not in last} | {n: columns[n] for n in last if n in columns}
