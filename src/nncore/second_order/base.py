"""Shared base of full-batch optimizers: one iteration, the loop of `minimize`, the state."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from nncore._kernels.blas import one_blas_thread
from nncore._messages import shown
from nncore._utils.fields import Fixed, Instance, Number, count, flag, number
from nncore._utils.interrupt import Interrupt
from nncore.errors import DivergenceError
from nncore.history import SECOND_ORDER, History
from nncore.optimizers import Optimizer
from nncore.optimizers.path import Path, start
from nncore.optimizers.tiles import Real, State, check_names, check_state_array, check_theta, real_dtype
from nncore.schedules import step_or_epoch
from nncore.second_order.objective import Array, Evaluated, Point

__all__ = ["FullBatchOptimizer", "PathWithHistory"]

Row = dict[str, float]
IDLE: Row = {"evaluations": 0.0, "seconds": 0.0}


@dataclass(frozen=True)
class PathWithHistory(Path):
    """The trajectory of `FullBatchOptimizer.minimize`: ``theta`` (steps + 1, n), ``loss`` (steps + 1,), and a history.

    Attributes
    ----------
    history : History
        One row per iteration: ``loss``, ``gradient_norm``, ``step_length``, columns of the algorithm, ``evaluations``,
        ``seconds``.
    """

    history: History


class FullBatchOptimizer(Optimizer):
    """An algorithm that evaluates a fixed function, its gradient and its curvature at points of its choice.

    The function must not change from iteration to iteration: in training it is the loss of the full batch. One step is one
    iteration of the algorithm, and one epoch of `Trainer` is one step.

    Attributes
    ----------
    tol : float
        The iteration stops when ‖g‖ ≤ tol.
    columns : sequence of str
        Names of the history columns that an iteration may report in training; a subclass adds the names of its own columns.
    stopped : str
        Why the iteration stopped; empty while it continues.
    state : dict of str to ndarray
        Arrays of the algorithm's state.
    numbers : dict of str to float
        Numbers of the algorithm's state.
    """

    tol: Number = Number(0.0)
    numbers: Fixed[dict[str, float]] = Fixed(advice="assign to its numbers, or call init_state")
    stopped: Instance[str] = Instance(str)
    full_batch_only = True
    columns: Sequence[str] = SECOND_ORDER
    full_batch_reason = (
        "it compares values, gradients and curvature of one function at many points, and every mini-batch changes the function"
    )

    def __init__(self, tol: float = 1e-10) -> None:
        self.tol = tol
        self.numbers = {}
        self.stopped = ""
        super().__init__()

    # ---- to be implemented by an algorithm

    def initial_state(self, n: int) -> dict[str, Array]:
        """The arrays before the first iteration, for n parameters."""
        return {}

    def initial_numbers(self) -> Row:
        """The numbers before the first iteration."""
        return {}

    def iteration(self, f: Evaluated, point: Point) -> tuple[Point, Row]:
        """One iteration: the new point, and columns for the history."""
        raise NotImplementedError

    def iterations(self, f: Evaluated, point: Point, most: int) -> list[tuple[Point, Row]]:
        """One iteration, or up to ``most`` where that is faster; the last may be the first one with a small gradient."""
        begin, evaluations = time.perf_counter(), f.evaluations
        new, columns = self.iteration(f, point)
        return [(new, columns | {"evaluations": float(f.evaluations - evaluations), "seconds": time.perf_counter() - begin})]

    # ---- iterations

    def next_point(self, f: Evaluated, point: Point) -> tuple[Point, Row]:
        """One iteration with its row for the history; does nothing once `stopped`."""
        return self.next_points(f, point, 1)[0]

    @one_blas_thread()
    def next_points(self, f: Evaluated, point: Point, most: int) -> list[tuple[Point, Row]]:
        """One iteration or more with their rows."""
        self.check(point)
        with np.errstate(all="ignore"):  # overflow is detected by infinite results
            found = [(point, IDLE)] if self.stopped else self.iterations(f, point, most)
        rows = []
        for new, columns in found:
            self.advance(1)
            norms = {"gradient_norm": self.check(new), "step_length": _norm(new.theta - point.theta)}
            rows.append((new, {"loss": new.value, **norms, **columns}))
            point = new
        return rows

    def check(self, point: Point) -> float:
        """The gradient's norm; sets `stopped` if it is small enough."""
        norm = _norm(point.gradient)
        if norm <= self.tol and not self.stopped:
            self.stopped = f"the gradient's norm is {norm:.3g}, at most tol = {self.tol:g}"
        return norm

    def step(self, theta: Real, f: Any) -> Row:
        """Change `theta` in place by one iteration on the function `f`; returns the row for a history.

        A gradient alone is not sufficient: `f` has ``value_and_gradient(theta)`` and any other methods the algorithm needs.
        """
        check_theta(theta)
        self._check_size(theta)
        if isinstance(f, np.ndarray):
            raise TypeError(f"f must be an object with value_and_gradient, as {type(self).__name__} needs, got an array")
        if self._n is None:
            self.init_state(theta.size, theta.dtype)
        self.stopped = ""
        with Interrupt(tolerated=0) as interrupt, closing(self), self.all_or_nothing(theta):
            objective = Evaluated(f, theta.dtype, interrupt)
            point, row = self.next_point(objective, self.begin_at(objective, theta))
            theta[...] = point.theta
        return row

    @contextmanager
    def all_or_nothing(self, *arrays: Array, lock: AbstractContextManager[Any] | None = None) -> Iterator[None]:
        """A context in which the state and these arrays change together: an error, also of a signal handler, undoes it all."""
        slots, shared = dict(self.state), self._shared
        changing = [*slots.values(), *arrays]
        copies = self._copies(changing)
        own, counts = (
            {"numbers": dict(self.numbers), "stopped": self.stopped},
            {**vars(shared), "stretches": [*shared.stretches]},
        )
        try:
            yield
        except BaseException:
            with lock or nullcontext():
                for array, numbers in zip(changing, copies, strict=True):
                    array[...] = numbers
            for name in self.state.keys() - slots:
                dict.pop(self.state, name)
            vars(shared).update(counts)
            vars(self).update(own)
            raise
        finally:
            vars(self)["_room"] = copies

    def _copies(self, arrays: list[Array]) -> list[Array]:
        """Copies, in the memory of the last ones if it fits: to get new memory takes longer than to copy."""
        room: list[Array] = vars(self).pop("_room", [])
        if [(own.shape, own.dtype) for own in room] != [(array.shape, array.dtype) for array in arrays]:
            return [array.copy() for array in arrays]
        for own, array in zip(room, arrays, strict=True):
            np.copyto(own, array)
        return room

    @one_blas_thread()
    def begin_at(self, f: Evaluated, theta: ArrayLike) -> Point:
        """The starting point."""
        point = f.at(np.asarray(theta, np.float64))
        if not point.finite:
            raise DivergenceError(f"{shown(self)}: loss or gradient is not finite at the start")
        return point

    @one_blas_thread()
    def minimize(self, f: Any, x0: ArrayLike, steps: int, *, resume: bool = False) -> PathWithHistory:
        """Minimize `f` from `x0` by `steps` iterations; once the gradient is small enough, θ no longer changes.

        Parameters
        ----------
        f : landscape or `Objective`, or a callable that returns value and gradient
        x0 : the starting point, 1-D; float32 is kept, everything else becomes float64
        steps : number of iterations
        resume : continue with the existing state, if there is one, instead of a new one

        Returns
        -------
        PathWithHistory
            ``theta`` (steps + 1, n), ``loss`` (steps + 1,), ``history`` with one row per iteration until it stopped.

        Raises
        ------
        DivergenceError, ValueError
            If no step exists; the message says what to do. The trajectory so far is the exception's ``path``.

        Notes
        -----
        Ctrl-C ends the current iteration at the next evaluation of f, or within it. The optimizer keeps the completed
        iterations, and ``resume`` continues from there.
        """
        with Interrupt(tolerated=0) as interrupt:
            return self._minimize(f, start(x0), count("steps", steps, 0), flag("resume", resume), interrupt)

    def _minimize(self, f: Any, theta: Real, steps: int, resume: bool, interrupt: Interrupt) -> PathWithHistory:
        objective = Evaluated(f, theta.dtype, interrupt)
        if resume and self.numbers:
            self._check_size(theta)
        else:
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
                with self.all_or_nothing():
                    point, row = self.next_point(objective, point)
                points[done:], losses[done:] = point.theta, point.value
                history.append(row)
        except (DivergenceError, ValueError) as error:
            error.path = PathWithHistory(points[:done], losses[:done], history)  # type: ignore[union-attr]
            raise
        finally:
            self.close()
        return PathWithHistory(points, losses, history)

    # ---- state

    def _check_size(self, theta: Real) -> None:
        if self._n not in (None, theta.size):
            raise ValueError(f"theta must have {self._n} numbers as the optimizer's state, got {theta.size}")

    @property
    def _n(self) -> int | None:
        return int(self.numbers["parameters"]) if self.numbers else None

    def init_state(self, n: int, dtype: DTypeLike) -> None:
        """Reset the state for `n` parameters."""
        n = count("n", n)
        real_dtype("dtype", dtype)
        state = self.initial_state(n)
        with Interrupt(tolerated=0):
            self._shared.reset(State(state))
            vars(self).update(numbers={"parameters": n, **self.initial_numbers()}, stopped="")

    def fill_state(self) -> None:
        if self.numbers:
            self.numbers.update(self.initial_numbers())

    def state_dict(self) -> dict[str, Any]:
        """Numbers and arrays from which a later `load_state_dict` continues with the same bits."""
        arrays = {name: array.copy() for name, array in self.state.items()}
        return {"step_count": self.step_count, **self.numbers, **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore exactly what `state_dict` returned. Everything is checked before anything changes."""
        if not isinstance(state, Mapping):
            raise TypeError(f"state of {self.name} must be a mapping, got {shown(state)}")
        n = count("parameters", state.get("parameters"))
        if self._n not in (None, n):
            raise ValueError(f"state of {self.name} must have {self._n} parameters, got {n}")
        names = self.state or self.initial_state(1)
        check_names(self.name, state, {"step_count", "parameters", *self.initial_numbers(), *names})
        arrays = {name: np.asarray(state[name]) for name in names}
        for name, array in arrays.items():
            if array.shape[-1:] != (n,):  # before arrays of that size are allocated
                raise ValueError(f"state {name} must have a last axis of {n} numbers, got shape {array.shape}")
        blank = self.state or self.initial_state(n)
        for name, array in arrays.items():
            check_state_array(name, array, blank[name].shape, blank[name].dtype)
        step_count = step_or_epoch("step_count", state["step_count"])
        numbers = {name: number(name, state[name]) for name in self.initial_numbers()}
        self.check_state(step_count, numbers, arrays)
        with Interrupt(tolerated=0):
            self.state.extended({name: np.empty_like(blank[name]) for name in arrays if name not in self.state})
            self.state.update(arrays)
            vars(self).update(numbers={"parameters": n, **numbers}, stopped="")
            vars(self._shared).update(step_count=step_count, epochs=step_count)  # one epoch is one iteration

    def check_state(self, step_count: int, numbers: Row, arrays: dict[str, Array]) -> None:
        """Raise ValueError if no iterations can have produced these finite numbers and arrays."""


@one_blas_thread()
def _norm(v: Array) -> float:
    with np.errstate(over="ignore"):
        return float(np.linalg.norm(v))
