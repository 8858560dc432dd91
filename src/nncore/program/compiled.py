"""A compiled program, ready to run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from nncore import _kernels
from nncore._utils.arrays import Array
from nncore.program.ops import Op
from nncore.program.stages import Stage

__all__ = ["Compiled"]

STOPPABLE_WORK = 100_000_000  # floating-point operations: a longer run, which takes milliseconds, checks for Ctrl-C


class Taped(Protocol):
    """What is read of a tape."""

    @property
    def dtype(self) -> Any: ...
    @property
    def block_rows(self) -> int: ...
    @property
    def work_per_row(self) -> int: ...
    @property
    def parallel(self) -> bool: ...
    @property
    def touched(self) -> Array | None: ...
    @property
    def lock(self) -> Any: ...


class Parts(NamedTuple):
    """What a program was compiled from."""

    before: list[Stage]
    step: list[Stage]
    after: list[Stage]
    commits: int
    records: list[Array]


class Compiled:
    """A compiled program, and the index of each op in it.

    Parameters
    ----------
    before, after : stages that run once per call, before the first step and after the last.
    step : stages of a step.
    commits : the step's first stage that changes parameters, from which on a step is not stopped; None: none does.
    records : per-example columns that the step writes, the loss first.
    partials : partial sums of a penalty that the step writes.
    exclusive : shared by programs of which one cannot run within another.
    notes : for each per-step statistic, the partial sums that it is the total of.
    part_rows : rows of a batch that are computed together, 0: all.
    first_part, part_sums : the first of the parts that are computed here, and where the sums of the records over each of them
        are left; default: all parts, whose sums are added up.
    state : an array that ops change before a step is completed; it is put back if the step is not.
    stops : whether a loss that is not finite stops the run. In training it does, so that no step follows from it. Elsewhere the
        run continues: values computed after the loss, such as its gradient, follow the formulas.
    lanes : networks that it runs at once (``lanes.py``).
    """

    def __init__(
        self, tape: Taped, step: Sequence[Stage], *, before: Sequence[Stage] = (), after: Sequence[Stage] = (),
        commits: int | None = None, records: Sequence[Array] = (), partials: Array | None = None, notes: Sequence[Array] = (),
        part_rows: int = 0, stops: bool = False, exclusive: _kernels.Exclusive | None = None, state: Array | None = None,
        first_part: int = 0, part_sums: Array | None = None, lanes: int = 1,
    ) -> None:  # fmt: skip
        self.parallel, self.work_per_row = tape.parallel, tape.work_per_row
        self.parts = Parts(list(before), list(step), list(after), commits or 0, list(records))
        self._lock = tape.lock or _kernels.Lock()
        everything = [*before, *step, *after]
        self._numbers = {op: n for n, op in enumerate(op for stage in everything for op, _, _ in stage.placed)}
        first = sum(len(stage.placed) for stage in before)
        self.step_ops = list(enumerate((op for stage in step for op, _, _ in stage.placed), first))  # with their numbers
        self._of_data = [op for op in self._numbers if op.data]
        self._python = any(op.kernel == "python" for op in self._numbers)  # which may take any time
        bound = [
            (
                stage.axis, stage.work_items, stage.cost, stage.completes_loss,
                [(op.kernel, op.arrays, op.sizes, op.constants, first, last) for op, first, last in stage.placed],
            )
            for stage in everything
        ]  # fmt: skip
        self.program = _kernels.Program(
            _kernels.op_table(), tape.dtype, bound, enter=len(before), leave=len(before) + len(step),
            commits=None if commits is None else len(before) + commits, block_rows=tape.block_rows, records=records,
            partials=partials, notes=notes, stops=stops, exclusive=exclusive, part_rows=part_rows, touched=tape.touched,
            state=state, first_part=first_part, part_sums=part_sums, lanes=lanes,
            of_parts={n for op, n in self._numbers.items() if op.of_parts} if part_rows else (),
            passing={n: stage.local_sizes for n, stage in enumerate(everything) if stage.local_sizes is not None},
        )  # fmt: skip
        self._run = _kernels.on_one_blas_thread(self.program.run)

    def bind(self, rows: Any) -> list[tuple[Op, int, Array]]:
        """The arrays of the data in the slots of the ops that read them."""
        return [(op, slot, function(rows)) for op in self._of_data for slot, function in op.data]

    def numbered(self, bind: Iterable[tuple[Op, int, Array]]) -> list[tuple[int, int, Array]]:
        """With the numbers of the ops in the program."""
        return [(self._numbers[op], slot, array) for op, slot, array in bind]

    def places(self, slots: Iterable[tuple[Op, int]]) -> list[tuple[int, int]]:
        """The slots of ops by the numbers of the ops."""
        return [(self._numbers[op], slot) for op, slot in slots]

    def run(
        self, bind: Iterable[tuple[Op, int, Array]] = (), *, threads: int | None = None,
        stop: Callable[[], bool] | None = None, **run: Any,
    ) -> tuple[int, Array]:  # fmt: skip
        """Run steps (see ``_kernels.Program.run``) with the arrays of this call in slots of ops.

        Several Python threads may call: one runs at a time, with its own arrays, and nothing is kept of them afterwards.
        Ctrl-C ends a long run at once with KeyboardInterrupt, unless its handler does not raise; ``stop`` ends it when it is
        true. Neither interrupts a step that has started to change parameters.
        """
        stoppable = self._python or run.get("last_step", 1) * run["batch"] * self.work_per_row > STOPPABLE_WORK
        bound = self.numbered(bind)
        with self._lock:
            threads = threads or (_kernels.get_num_threads() if self.parallel else 1)
            return self._run(bound, threads=threads, stoppable=stoppable, stop=stop, **run)
