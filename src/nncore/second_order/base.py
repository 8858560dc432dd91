"""What the optimizers share that see the whole function at once: one iteration, the walk, the state."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from nncore._kernels.blas import one_blas_thread
from nncore._messages import shown
from nncore._utils.fields import Fixed, Instance, Number, count, number
from nncore._utils.interrupt import Interrupt
from nncore.errors import DivergenceError
from nncore.history import SECOND_ORDER, History
from nncore.optimizers import Optimizer
from nncore.optimizers.base import check_finite_state, check_names
from nncore.optimizers.path import Path, start
from nncore.optimizers.tiles import Real, State, real_dtype
from nncore.schedules import step_or_epoch
from nncore.second_order.objective import Array, Evaluated, Point

__all__ = ["FullBatchOptimizer", "Walk"]

Row = dict[str, float]


@dataclass(frozen=True)
class Walk(Path):
    """The way of `minimize`: ``theta`` (steps + 1, n), ``loss`` (steps + 1,), and what each iteration told.

    Attributes
    ----------
    history : History
        A row an iteration: ``loss``, ``gradient_norm``, ``step_length``, what the algorithm adds, ``evaluations``, ``seconds``.
    """

    history: History


class FullBatchOptimizer(Optimizer):
    """An algorithm that asks for values, gradients and curvature of one function wherever it wants.

    So that function must stay the same from iteration to iteration: in training it is the loss of the full batch. A step is an
    iteration of the algorithm, an epoch of `Trainer` is a step.

    Attributes
    ----------
    tol : float
        The walk ends where ‖g‖ ≤ tol.
    columns : sequence of str
        Names of what an iteration may tell, in a training: a subclass that tells something else names that too.
    stopped : str
        Why the walk ended; empty as long as it goes on.
    state : dict of str to ndarray
        Arrays the algorithm remembers.
    numbers : dict of str to float
        Numbers it remembers.
    """

    tol: Number = Number(0.0)
    numbers: Fixed[dict[str, float]] = Fixed(advice="assign to its numbers, or call init_state")
    stopped: Instance[str] = Instance(str)
    full_batch_only = True
    steps_along_gradients = False
    columns: Sequence[str] = SECOND_ORDER
    full_batch_reason = (
        "it compares values, gradients and curvature of one function at many points, and every mini-batch is another function"
    )

    def __init__(self, tol: float = 1e-10) -> None:
        self.tol = tol
        self.numbers = {}
        self.stopped = ""
        super().__init__()

    # ---- what an algorithm says

    def initial_state(self, n: int) -> dict[str, Array]:
        """The arrays before the first iteration, for n parameters."""
        return {}

    def initial_numbers(self) -> Row:
        """The numbers before the first iteration."""
        return {}

    def iteration(self, f: Evaluated, point: Point) -> tuple[Point, Row]:
        """One iteration: the new point, and columns for the history."""
        raise NotImplementedError

    # ---- one iteration, and many

    @one_blas_thread()
    def next_point(self, f: Evaluated, point: Point) -> tuple[Point, Row]:
        """One iteration with its row for the history; stays where it is once `stopped`."""
        begin, evaluations = time.perf_counter(), f.evaluations
        self.check(point)
        with np.errstate(all="ignore"):  # what overflows is found by its being infinite
            new, columns = (point, {}) if self.stopped else self.iteration(f, point)
        self.advance(1)
        self.check(new)
        row = {
            "loss": new.value, "gradient_norm": _norm(new.gradient), "step_length": _norm(new.theta - point.theta), **columns,
            "evaluations": float(f.evaluations - evaluations), "seconds": time.perf_counter() - begin,
        }  # fmt: skip
        return new, row

    def check(self, point: Point) -> None:
        """Note in `stopped` if the gradient is small enough."""
        norm = _norm(point.gradient)
        if norm <= self.tol and not self.stopped:
            self.stopped = f"the gradient's norm is {norm:.3g}, at most tol = {self.tol:g}"

    def step(self, theta: Real, f: Any) -> Row:  # type: ignore[override]
        """Change `theta` in place by one iteration on the function `f`; returns the row for a history.

        A gradient alone will not do: `f` has ``value_and_gradient(theta)`` and what else the algorithm needs.
        """
        self._check_theta(theta)
        if isinstance(f, np.ndarray):
            raise TypeError(f"f must be an object with value_and_gradient, as {type(self).__name__} needs, got an array")
        if self._n is None:
            self.init_state(theta.size, theta.dtype)
        self.stopped = ""
        with Interrupt(tolerated=0) as interrupt:
            objective = Evaluated(f, theta.dtype, interrupt)
            point, row = self.next_point(objective, self.begin_at(objective, theta))
            theta[...] = point.theta
        return row

    def begin(self, theta: Real) -> None:
        """Refuse what goes by one gradient a step, such as `landscapes.record`."""
        raise TypeError(f"{type(self).__name__} takes no steps along gradients alone: use minimize, Trainer or step(theta, f)")

    @one_blas_thread()
    def begin_at(self, f: Evaluated, theta: ArrayLike) -> Point:
        """The first point of a walk."""
        point = f.at(np.asarray(theta, np.float64))
        if not point.finite:
            raise DivergenceError(f"{shown(self)}: loss or gradient is not finite at the start")
        return point

    def close(self) -> None:
        """After the last iteration on a function. Only `ScipyMinimize` has something to end."""

    @one_blas_thread()
    def minimize(self, f: Any, x0: ArrayLike, steps: int, *, resume: bool = False) -> Walk:
        """Walk `steps` iterations down `f` from `x0`; once the gradient is small enough the walk stands still.

        Parameters
        ----------
        f : landscape or `Objective`, or a callable that returns value and gradient
        x0 : the start, 1-D; float32 stays, everything else becomes float64
        steps : how many
        resume : go on with the state there is, instead of afresh

        Returns
        -------
        Walk
            ``theta`` (steps + 1, n), ``loss`` (steps + 1,), ``history`` with a row for each iteration until it stopped.

        Raises
        ------
        DivergenceError, ValueError
            There is no step from here, and the message says what to do. The way so far is its ``path``.

        Notes
        -----
        Ctrl-C leaves the iteration under way at the next evaluation of f, or within it. The optimizer has counted those
        before, and ``resume`` goes on from there.
        """
        with Interrupt(tolerated=0) as interrupt:
            return self._walk(f, start(x0), count("steps", steps, 0), resume, interrupt)

    def _walk(self, f: Any, theta: Real, steps: int, resume: bool, interrupt: Interrupt) -> Walk:
        objective = Evaluated(f, theta.dtype, interrupt)
        if not resume:
            self.init_state(theta.size, theta.dtype)
        self.stopped = ""
        points, losses, history = np.empty((steps + 1, theta.size), theta.dtype), np.empty(steps + 1), History()
        done = 0
        try:
            point = self.begin_at(objective, theta)
            points[:], losses[:] = point.theta, point.value
            for done in range(1, steps + 1):
                self.check(point)
                if self.stopped:
                    break
                point, row = self.next_point(objective, point)
                points[done:], losses[done:] = point.theta, point.value
                history.append(row)
        except (DivergenceError, ValueError) as error:
            error.path = Walk(points[:done], losses[:done], history)  # type: ignore[union-attr]
            raise
        finally:
            self.close()
        return Walk(points, losses, history)

    # ---- state

    @property
    def _n(self) -> int | None:
        return int(self.numbers["parameters"]) if self.numbers else None

    def _check_size(self, theta: Real) -> None:
        if self._n not in (None, theta.size):
            raise ValueError(f"theta must have {self._n} numbers as the optimizer's state, got {theta.size}")

    def init_state(self, n: int, dtype: DTypeLike) -> None:
        """Begin afresh with `n` parameters."""
        n = count("n", n)
        real_dtype("dtype", dtype)
        state = self.initial_state(n)
        with Interrupt(tolerated=0):
            vars(self).update(state=State(state), numbers={"parameters": n, **self.initial_numbers()}, stopped="")
            self._restart()

    def fill_state(self) -> None:
        if self.numbers:
            self.numbers.update(self.initial_numbers())

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on with the same bits: numbers and arrays."""
        arrays = {name: array.copy() for name, array in self.state.items()}
        return {"step_count": self.step_count, **self.numbers, **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, exactly. All of it is checked before anything changes."""
        if not isinstance(state, Mapping):
            raise TypeError(f"state of {self.name} must be a mapping, got {shown(state)}")
        n = count("parameters", state.get("parameters"))
        if self._n not in (None, n):
            raise ValueError(f"state of {self.name} must have {self._n} parameters, got {n}")
        names = self.state or self.initial_state(1)
        check_names(self.name, state, {"step_count", "parameters", *self.initial_numbers(), *names})
        arrays = {name: np.asarray(state[name]) for name in names}
        for name, array in arrays.items():
            if array.shape[-1:] != (n,):  # before anything of that size is allocated
                raise ValueError(f"state {name} must have a last axis of {n} numbers, got shape {array.shape}")
        blank = self.state or self.initial_state(n)
        for name, array in arrays.items():
            if (array.shape, array.dtype) != (blank[name].shape, blank[name].dtype):
                expected = f"shape {blank[name].shape} and {blank[name].dtype}"
                raise ValueError(f"state {name} must have {expected}, got {array.shape} and {array.dtype}")
            check_finite_state(name, array)
        step_count = step_or_epoch("step_count", state["step_count"])
        numbers = {name: number(name, state[name]) for name in self.initial_numbers()}
        self.check_state(step_count, numbers, arrays)
        self.state.extended({name: np.empty_like(blank[name]) for name in arrays if name not in self.state})
        self.state.update(arrays)
        vars(self).update(numbers={"parameters": n, **numbers}, stopped="")
        vars(self).update(step_count=step_count, epochs=step_count)  # an epoch is an iteration

    def check_state(self, step_count: int, numbers: Row, arrays: dict[str, Array]) -> None:
        """Raise ValueError if iterations cannot have led to these finite numbers and arrays."""


@one_blas_thread()
def _norm(v: Array) -> float:
    with np.errstate(over="ignore"):
        return float(np.linalg.norm(v))
