"""Optimizers that take one step along each gradient: the step by hand, and the minimization of a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from nncore import _kernels
from nncore._messages import shown
from nncore._utils.arrays import aligned_zeros, for_kernels, returned
from nncore._utils.fields import assignments, count, flag, number
from nncore._utils.interrupt import Interrupt
from nncore.errors import DivergenceError
from nncore.optimizers.base import Optimizer
from nncore.optimizers.path import Path, evaluator, start
from nncore.optimizers.shared_state import BUSY, of_shared, read_stretches
from nncore.optimizers.tiles import (
    REALS,
    STRETCH,
    Real,
    State,
    check_finite_gradient,
    check_fits,
    check_gradient,
    check_names,
    check_operand,
    check_operands,
    check_state_array,
    check_theta,
    real_dtype,
    tile_table,
)
from nncore.program.ops import Op
from nncore.schedules import Array, step_or_epoch

MAX_AHEAD = 64  # steps by hand whose coefficients are computed together
MAX_IN_MINIMIZE = 1024  # of `minimize`, which takes them all if nothing is assigned meanwhile

__all__ = ["GradientOptimizer"]


class StepOps(NamedTuple):
    """The ops of a step, in order. In training a penalty's proximal step comes between the two parts."""

    update: list[Op]
    after: list[Op]  # that read the parameters after the entire step

    @property
    def all(self) -> list[Op]:
        return [*self.update, *self.after]


class GradientOptimizer(Optimizer):
    """An optimizer that takes one step along each gradient. Base class of all of them, and of your own.

    Attributes
    ----------
    kernel : str
        The op of a step is ``kernel + "_update"``. It may depend on the fields.
    slots : tuple of str
        The arrays of the state, each with one number per parameter, in the order of the kernel's arguments. A field that
        changes them cannot be assigned once there is a state.
    non_negative : tuple of str
        The slots whose elements are never negative, such as means of squares: states that are loaded are checked for it.
    running : tuple of str
        Those of `hyper_values` whose product over all steps so far is part of the state: bias corrections need them.
    enter, leave : str or None
        Ops that run once before the first and after the last of consecutive steps.
    changes_gradient : bool
        Whether an op of a step writes to the gradient.
    skips_zeros : bool
        Whether a gradient of 0 changes neither the parameter nor its state: on sparse data, such steps are left out. A class
        derived from one that does says so again.
    lazy : bool
        Whether it is defined for sparse gradients only by leaving out such steps.
    needs_network : bool
        Whether a step reads the layers of a network, so that only a `Trainer` can take it.
    """

    products: dict[str, float] = of_shared("products", "The product over all steps of each of `running`.")
    entered: bool = of_shared("entered", "Whether the op `enter` has run, and not yet `leave`.")

    slots: ClassVar[tuple[str, ...]] = ()
    non_negative: ClassVar[tuple[str, ...]] = ()
    running: ClassVar[tuple[str, ...]] = ()
    enter: ClassVar[str | None] = None
    leave: ClassVar[str | None] = None
    changes_gradient: ClassVar[bool] = False
    skips_zeros: ClassVar[bool] = False
    lazy: ClassVar[bool] = False
    needs_network: ClassVar[bool] = False

    _hand_steps: _kernels.HandSteps | None = None  # the last that were bound

    @property
    def kernel(self) -> str:
        """The op of a step, without ``_update``."""
        return self.name

    @property
    def variant(self) -> Any:
        return self.kernel

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        super().check_fields(assigned)
        form = tuple(self.slots), tuple(self.running)
        if form != self.__dict__.setdefault("_form", form) and self.state:
            name, value = next(iter(assigned.items()))
            raise ValueError(
                f"{name} is fixed once there is a state, whose arrays it decides, got {shown(value)}: make a new {self.title}"
            )
        self._form = form

    # ---- coefficients

    def coefficients(self, steps: int, steps_per_epoch: int = 1) -> Array:
        """The numbers of the kernel for the next `steps` steps: (steps, k), in the kernel's order.

        They come from `hyper_values`, which are other ones for parameter arrays with factors: not from ``self.lr``.
        """
        values = self.hyper_values(steps, steps_per_epoch)
        return np.column_stack([values[name] for name in self.hyperparameters])

    def checked_coefficients(self, steps: int, steps_per_epoch: int = 1) -> Array:
        """As `coefficients`; those of a user's class must be real numbers, as many as the kernel reads."""
        if self._own:
            return self.coefficients(steps, steps_per_epoch)
        what = f"{type(self).__name__}.coefficients"
        rows = returned(what, self.coefficients(steps, steps_per_epoch), (steps, -1))
        needed = _needed_columns(f"{self.kernel}_update")
        if rows.shape[1] < needed:
            raise ValueError(f"{what} must return {needed} columns, which the kernel {self.kernel} reads, got {rows.shape[1]}")
        return rows

    def with_columns(self, coefficients: Array, columns: int) -> Array:
        """The coefficients, if they are as many as before: what follows them in a row has its place behind them."""
        if coefficients.shape[1] != columns:
            raise ValueError(
                f"{type(self).__name__}.coefficients must always return as many columns, first {columns}, got "
                f"{coefficients.shape[1]}"
            )
        return coefficients

    def checked_values(self, steps: int, steps_per_epoch: int = 1) -> tuple[dict[str, Array], dict[str, Array]]:
        """`hyper_values` and `running_products`; those of a user's class must be an array (steps,) for each name."""
        values = self.hyper_values(steps, steps_per_epoch)
        if self._own:
            return values, self.running_products(values) if self.running else {}
        hyper = _by_name(f"{type(self).__name__}.hyper_values", values, self.hyperparameters, steps)
        if not self.running:
            return hyper, {}
        products = self.running_products(values)
        return hyper, _by_name(f"{type(self).__name__}.running_products", products, self.running, steps)

    def scaled_coefficients(self, factors: Mapping[str, float], steps: int, steps_per_epoch: int = 1) -> Array:
        """As `coefficients`, with each of these hyper-parameters multiplied by its factor."""
        shared = vars(self._shared)
        shared["factors"] = dict(factors)
        try:
            return self.checked_coefficients(steps, steps_per_epoch)
        finally:
            shared["factors"] = {}

    def running_products(self, values: dict[str, Array]) -> dict[str, Array]:
        """For each of `running`, its product over all steps up to and including each of these."""
        return {name: _products(self.products.get(name, 1.0), values[name]) for name in self.running}

    def advance(self, steps: int, steps_per_epoch: int = 1) -> None:
        steps, products = count("steps", steps, 0), {}
        if steps:
            products = self.checked_values(steps, steps_per_epoch)[1]
        last = {name: float(product[steps - 1]) for name, product in products.items()}
        self._shared.advance(steps, count("steps_per_epoch", steps_per_epoch), last)

    # ---- the network

    def check_network(self, model: Any) -> None:
        """Raise if the optimizer cannot train this network."""

    def network_ops(self, model: Any) -> list[Op]:
        """What runs in each step before the update: ops that derive arrays of the state from the network's parameters."""
        return []

    def network_failure(self, model: Any) -> str:
        """Why `network_ops` have just stopped a step; empty if they have not."""
        return ""

    def _check_by_hand(self) -> None:
        if self.needs_network:
            raise ValueError(
                f"{self.title} reads the layers of a network in each step: take nn.Trainer(model, loss, optimizer), or "
                "another optimizer for steps by hand and for functions"
            )

    # ---- state

    def init_state(self, n: int, dtype: DTypeLike) -> None:
        n, kind = count("n", n), real_dtype("dtype", dtype)
        state = State({slot: aligned_zeros(n, kind) for slot in self.slots})
        with Interrupt(tolerated=0), self._shared.at_rest():  # the state and the count of steps go together
            self._shared.reset(state)
            self.fill_state()

    def fill_state(self) -> None:
        for slot in self.slots:
            if slot in self.state:
                self.state[slot][...] = self.initial_value(slot)

    def initial_value(self, slot: str) -> float:
        """The value of a slot's elements before the first step."""
        return 0.0

    def state_dict(self) -> dict[str, Any]:
        self._shared.busy.check()
        slots = {slot: array.copy() for slot, array in self.state.items()}
        return {**self._scalars(), "stretches": np.array(self.stretches, np.int64).reshape(-1, 3), **slots}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if not isinstance(state, Mapping):
            raise TypeError(f"state of {self.name} must be a mapping, got {shown(state)}")
        state = dict(state)
        stretches = read_stretches(state.pop("stretches", np.empty((0, 3), np.int64)))  # states of older versions have none
        slots = self.slots if set(self.slots) & set(state) or self.state else ()
        check_names(self.name, state, {*self._scalars(), *slots})
        arrays = {slot: np.asarray(state[slot]) for slot in slots}
        self._check_slots(arrays)
        step_count, epochs = (step_or_epoch(name, state[name]) for name in ("step_count", "epochs"))
        if epochs > step_count:
            raise ValueError(f"epochs must be at most step_count, which is {step_count}, got {epochs}")
        products = {name: number(f"product_{name}", state[f"product_{name}"], 0.0) for name in self.running}
        for name, product in products.items():
            if product > 1:
                raise ValueError(f"product_{name} must be a number in [0, 1], got {shown(product)}")
        entered = count("entered", state.get("entered", 0), 0)
        if entered > 1:
            raise ValueError(f"entered must be 0 or 1, got {shown(entered)}")
        with Interrupt(tolerated=0), self._shared.at_rest():
            self.state.extended({slot: aligned_zeros(a.size, a.dtype) for slot, a in arrays.items() if slot not in self.state})
            self.state.update(arrays)
            assignments.number += 1
            vars(self._shared).update(
                step_count=step_count, epochs=epochs, epoch_steps=0, stretches=stretches, products=products,
                entered=bool(entered),
            )  # fmt: skip

    def _scalars(self) -> dict[str, float]:
        products = {f"product_{name}": self.products.get(name, 1.0) for name in self.running}
        entered = {"entered": int(self.entered)} if self.enter else {}
        return {"step_count": self.step_count, "epochs": self.epochs, **products, **entered}

    def _check_slots(self, arrays: dict[str, Real]) -> None:
        """Raise unless they are alike, and like the existing slots."""
        for slot, array in arrays.items():
            like = next(iter((self.state or arrays).values()))
            if like.dtype not in REALS:
                raise ValueError(f"state {slot} must be float32 or float64, got {like.dtype}")
            check_state_array(slot, array, (like.size,), like.dtype)
            if slot in self.non_negative and (array < 0).any():
                raise ValueError(f"state {slot} must hold numbers of at least 0, got {array.min()}")

    # ---- steps by hand

    def step(self, theta: Real, grad: Real) -> None:
        """Change `theta` in place by one step along the gradient `grad`.

        Both are 1-D, C-contiguous, and float32 or float64 alike. The first step creates the state. A parameter that the step,
        or a gradient that is not finite, would make infinite or NaN keeps its value, and so do its numbers in the state;
        `DivergenceError` is then raised, and the step does not count. What wrappers do before and after the step of their
        optimizer is done for it as for the others: `WeightDecay` lets it decay, averages take it in.
        """
        steps, taken = self._hand_steps, 0
        if steps is not None and steps.known_at == assignments.number:
            taken = steps.step(theta, grad, _threads(steps.size))
        if not taken:
            taken = self._prepare(theta, grad).step(np.asarray(theta), np.asarray(grad), _threads(theta.size))
        if not taken:
            raise RuntimeError(BUSY)  # the vectors fit: another thread has taken the step that was prepared
        if taken == 2:
            check_finite_gradient(grad)
            raise DivergenceError(self._not_finite(f"after step {self.step_count}", grad))

    def _prepare(self, theta: Real, grad: Real) -> _kernels.HandSteps:
        """Check the vectors and compute the next steps: only one if the coefficients have changed otherwise, or may."""
        self._check_by_hand()
        check_theta(theta)
        check_fits(theta, self.state)
        check_gradient(theta, grad)
        self.begin_epoch()
        self._ensure_state(theta)
        if self.enter and not self.entered:
            self.begin(theta)
        steps = self._hand_steps
        known = (theta.size, theta.dtype, self.variant)
        if steps is None or steps.state is not self.state or (steps.size, steps.dtype, steps.variant) != known:
            steps = vars(self)["_hand_steps"] = self._bind_step(theta, grad)
        self._know_more(steps, MAX_AHEAD)
        return steps

    def _know_more(self, steps: _kernels.HandSteps, most: int) -> None:
        """Compute the coefficients of the next steps: only one if they have changed otherwise, or may."""
        ahead = max(1, min(2 * steps.known, most)) if steps.known_at == assignments.number and self.knows_ahead() else 1
        try:
            self._compute_ahead(steps, ahead)
        except ValueError:  # of a schedule, at what may be a step that will never be taken
            self._compute_ahead(steps, 1)

    def _bind_step(self, theta: Real, grad: Real) -> _kernels.HandSteps:
        gradient = np.empty_like(theta) if self.changes_gradient else grad
        ops = self.checked_ops(theta, gradient, tile_table(theta.size)).all
        return _kernels.HandSteps(
            vars(self._shared), _program(ops), [op.arrays for op in ops], theta, gradient, variant=self.variant,
            copies=self.changes_gradient,
        )  # fmt: skip

    def _compute_ahead(self, steps: _kernels.HandSteps, n: int) -> None:
        """Compute the coefficients of the next `n` steps, in epochs of one step."""
        products = self.checked_values(n)[1] if self.running else {}
        rows = for_kernels(self.checked_coefficients(n), np.float64)
        steps.know(rows, products, self._shared.stretch(1), assignments.number)

    def _not_finite(self, when: str, grad: Real) -> str:
        cause = self.vanished_eps(grad)
        why = f", as {cause}; take a larger eps" if cause else ""
        return f"{shown(self)}: a parameter or its state is not finite {when}{why}"

    def vanished_eps(self, grad: Real) -> str:
        """The reason why a step along the finite gradient `grad` is not finite, if eps may count as 0; otherwise empty.

        If all gradients of a parameter have been 0, only eps prevents a step of 0/0. Denormal numbers count as 0, and bias
        corrections make eps smaller, by up to the factor 1 − β₂.
        """
        values = self.hyper_values(1)
        smallest = float(np.finfo(grad.dtype).tiny)
        least = smallest / (1 - float(values["beta2"][0])) if "beta2" in values else smallest
        if "eps" not in values or values["eps"][0] >= least or not (np.square(grad, dtype=np.float64) < smallest).any():
            return ""
        return f"eps = {values['eps'][0]:g} is too small for {grad.dtype}: a parameter without a gradient divides 0 by 0"

    def begin(self, theta: Real) -> None:
        """Move `theta` to the point of the first gradient. Only Nesterov moves it."""
        self._switch(self.enter, theta, True)

    def finish(self, theta: Real) -> None:
        """Move `theta` back to the parameters after the last step. Only Nesterov moves it."""
        self._switch(self.leave, theta, False)

    def _switch(self, op: str | None, theta: Real, entered: bool) -> None:
        if op is None or self.entered == entered:
            return
        check_theta(theta)
        check_fits(theta, self.state)
        self._ensure_state(theta)
        program = _program([self.switch(op, theta, theta, tile_table(theta.size))])
        switch = _kernels.Switch(vars(self._shared), entered)
        assignments.number += 1  # the next step by hand may have to begin again
        rows = self.checked_coefficients(1) if entered else np.zeros((1, 1))  # back it goes also where no next step is allowed
        switch.know(for_kernels(rows, np.float64), {}, None, assignments.number)
        done, _ = program.run(examples=1, batch=1, known=switch, step_offset=self.step_count, threads=_threads(theta.size))
        if not done:
            raise DivergenceError(f"{shown(self)}: a parameter is not finite")

    def check_finished(self) -> None:
        """Raise if steps by hand have left the parameters at the point of the next gradient."""
        if self.entered:
            raise RuntimeError(
                f"{self.title} has moved the parameters to the point of the next gradient, for steps by hand: call "
                "optimizer.finish(theta) with them first"
            )

    def ops(self, theta: Real, grad: Real, table: NDArray[np.int64]) -> StepOps:
        """The ops of a step on the tiles of `table`."""
        return StepOps([Op("tiles", f"{self.kernel}_update", self.arrays(theta, grad, table))], [])

    def checked_ops(self, theta: Real, grad: Real, table: NDArray[np.int64]) -> StepOps:
        """As `ops`; kernels trust the arrays and tiles of a user's class, which must fit `theta`."""
        step = self.ops(theta, grad, table)
        self._check_operands(step.all, theta, table)
        return step

    def switch(self, kernel: str, theta: Real, grad: Real, table: NDArray[np.int64]) -> Op:
        """The op `enter` or `leave`, checked in the same way."""
        op = Op("tiles", kernel, self.arrays(theta, grad, table))
        self._check_operands([op], theta, table)
        return op

    def points(self, theta: Real) -> tuple[Real, Real | None, int]:
        """`iterate`, and v and the column of `lookahead`, None and 0 without one; checked in the same way."""
        iterate, (v, column) = self.iterate(theta), self.lookahead() or (None, 0)
        if not self._own:
            for name, array in (("iterate", iterate), ("lookahead", v)):
                if array is not None:
                    check_operand(f"{type(self).__name__}.{name}: the array", array, theta.dtype, theta.size)
            count(f"{type(self).__name__}.lookahead: the column", column, 0)
        return iterate, v, column

    def _check_operands(self, ops: Sequence[Op], theta: Real, table: NDArray[np.int64]) -> None:
        for op in () if self._own else ops:
            what, declared = f"op {op.kernel} of {type(self).__name__}", _kernels.op_table().declaration(op.kernel)
            check_operands(what, declared.arrays, op.arrays, theta, table)
            for name, size in zip(declared.sizes, op.sizes, strict=False):
                if name.endswith("column"):
                    count(f"{what}: {name}", size, 0)

    def arrays(self, theta: Real, grad: Real, table: NDArray[np.int64]) -> tuple[Real | NDArray[np.int64], ...]:
        """The arrays of the optimizer's ops; `table` has the tiles of `theta`."""
        if len(self.state) < len(self.slots):
            raise ValueError(f"{self.name}: the state has no arrays yet; call init_state first")
        check_fits(theta, self.state)
        slots = [self.state[slot] for slot in self.slots]
        return (theta, grad, *slots, table)

    def _ensure_state(self, theta: Real) -> None:
        if len(self.state) < len(self.slots):
            self.init_state(theta.size, theta.dtype)

    # ---- minimization of a function

    def minimize(self, f: Any, x0: ArrayLike, steps: int, *, resume: bool = False) -> Path:
        """Minimize `f` from `x0` by `steps` steps.

        Parameters
        ----------
        f : object with ``value_and_gradient(x)``, or a callable that returns both
        x0 : the starting point, 1-D; float32 is kept, everything else becomes float64
        steps : number of steps
        resume : continue with the existing state instead of a new one

        Returns
        -------
        Path
            ``theta`` (steps + 1, n), the parameters after 0, 1, … steps, and ``loss`` (steps + 1,), the loss there.

        Raises
        ------
        DivergenceError
            A loss, gradient or parameter was not finite. The finite part of the trajectory is its ``path``.
        ValueError
            f or x0 does not fit, or a schedule gives a value that is not allowed. The trajectory so far is its ``path``.

        Notes
        -----
        What f assigns to the optimizer, its learning rate for instance, holds from the next step on.
        Ctrl-C takes effect at an evaluation of f. The optimizer then has the state and the counts of the steps taken so far.
        """
        with Interrupt(tolerated=0) as interrupt:
            return self._minimize(f, start(x0), count("steps", steps, 0), flag("resume", resume), interrupt)

    def _minimize(self, f: Any, theta: Real, steps: int, resume: bool, interrupt: Interrupt) -> Path:
        self._check_by_hand()
        evaluate = evaluator(f, theta)
        if not resume:
            self.init_state(theta.size, theta.dtype)
        self._ensure_state(theta)
        self.check_finished()
        self.begin_epoch()
        points, losses = np.empty((steps + 1, theta.size), theta.dtype), np.empty(steps + 1)
        taken = 0
        self.begin(theta)
        gradient, first = np.empty_like(theta), self.step_count
        bound = self._bind_step(theta, gradient)
        try:
            for taken in range(steps + 1):
                points[taken] = self.parameters(theta)
                with interrupt.abandoning():
                    losses[taken], gradient[...] = evaluate(theta)
                    if self.enter:
                        losses[taken] = evaluate(points[taken])[0]
                if not (np.isfinite(losses[taken]) and np.isfinite(gradient).all()):
                    raise DivergenceError(f"{shown(self)}: loss or gradient is not finite after {taken} steps")
                if taken == steps:
                    break
                if (bound.known_at != assignments.number or bound.next >= bound.known) and self.step_count == first + taken:
                    if bound.variant != self.variant:  # f has assigned what the ops depend on
                        bound = self._bind_step(theta, gradient)
                    self._know_more(bound, min(MAX_IN_MINIMIZE, steps - taken))
                outcome = bound.step(theta, gradient, _threads(theta.size))
                if outcome == 0:
                    raise RuntimeError(
                        "f must not take steps with the optimizer that minimizes it, nor may another thread meanwhile"
                    )
                if outcome == 2:
                    taken += 1
                    raise DivergenceError(self._not_finite(f"after {taken} steps", gradient))
        except (DivergenceError, ValueError) as error:
            error.path = Path(points[:taken], losses[:taken])  # type: ignore[union-attr]
            raise
        finally:
            self.finish(theta)
        return Path(points, losses)

    def parameters(self, theta: Real) -> Real:
        """The parameters, if `theta` is the point at which the algorithm takes the gradient."""
        return self.iterate(theta) if self.entered else theta

    def iterate(self, theta: Real) -> Real:
        """The array that holds the parameters between `begin` and `finish`."""
        return theta

    def lookahead(self) -> tuple[Real, int] | None:
        """v and the column of μ in `coefficients`, if after a step the gradient is taken at iterate + μv."""
        return None


def _program(ops: Sequence[Op]) -> _kernels.Program:
    """A program of these ops, which share their tiles."""
    bound = [(op.kernel, op.arrays, op.sizes, op.constants) for op in ops]
    return _kernels.tile_program(bound, dtype=ops[0].arrays[0].dtype, pieces=len(ops[0].arrays[-1]))


def _needed_columns(op: str) -> int:
    """How many coefficients an op reads; 0 if there is none of this name, as for an optimizer with ops of its own."""
    table = _kernels.op_table()
    return table.declaration(op).coefficients if op in table else 0


def _by_name(what: str, values: Any, names: Sequence[str], steps: int) -> dict[str, Array]:
    """What a user's method returned: an array (steps,) for each of these names."""
    if missing := [name for name in names if name not in values]:
        raise ValueError(f"{what} must return values of {', '.join(names)}, got none of {', '.join(missing)}")
    return {name: returned(f"{what}, {name},", values[name], (steps,)) for name in names}


def _products(first: float, factors: Array) -> Array:
    """The cumulative products first · factors[0], first · factors[0] · factors[1], …"""
    chain = np.empty(len(factors) + 1)
    chain[0], chain[1:] = first, factors
    return np.multiply.accumulate(chain, out=chain)[1:]


def _threads(n: int) -> int:
    """For a step by hand on n parameters: a single tile is one work item."""
    return 1 if n <= STRETCH else _kernels.get_num_threads()
