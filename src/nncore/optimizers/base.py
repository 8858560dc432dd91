"""What all optimizers share: hyper-parameters, state, the step, and the walk down a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from nncore import _kernels
from nncore.arrays import aligned_zeros
from nncore.errors import DivergenceError
from nncore.hints import Sealed
from nncore.optimizers.arrays import (
    MAX_ARRAYS,
    REALS,
    Real,
    check_gradient,
    check_like,
    check_vector,
    real_dtype,
    tile_table,
)
from nncore.optimizers.hyper import Hyper, Pair, hyper, in_range
from nncore.optimizers.path import Path, evaluator, start
from nncore.schedules import Array, Configured, Schedule, count, number
from nncore.tape import Op

MAX_SLOTS = MAX_ARRAYS - 3  # theta, grad, slots, and last the table of tiles


class StepOps(NamedTuple):
    """The ops of a step, in order. In training a penalty's proximal step comes between the two parts."""

    update: list[Op]
    after: list[Op]  # that look at the parameters which all the rest of the step leaves

    @property
    def all(self) -> list[Op]:
        return [*self.update, *self.after]


class Optimizer(Configured, Sealed):
    """An algorithm that changes parameters along gradients.

    Attributes
    ----------
    kernel : str
        The op that takes a step is ``kernel + "_update"``.
    slots : tuple of str
        The arrays of state, one number per parameter each, in the order of the kernel's arguments.
    hyperparameters : tuple of str
        Names of attributes that are numbers or schedules. They may be assigned at any time.
    running : tuple of str
        Those of `hyper_values` whose product over all steps so far is part of the state: bias corrections need them.
    enter, leave : str or None
        Ops to run once before the first and after the last of consecutive steps.
    full_batch_only : bool
        The algorithm compares the gradients of successive steps, so that they must come from the same data.
    full_batch_reason : str
        Why, for the error message.
    state : dict of str to ndarray
        The slots by name; empty until the first step or `init_state`.
    step_count : int
        Steps taken.
    epochs : int
        Whole epochs among them: the time of schedules with ``per="epoch"``.
    """

    kernel: str
    slots: tuple[str, ...] = ()
    hyperparameters: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    enter: str | None = None
    leave: str | None = None
    full_batch_only: bool = False
    changes_gradient: bool = False  # an op of a step writes to the gradient
    full_batch_reason: str = "its step sizes follow the signs of successive gradients, which noise flips"

    if TYPE_CHECKING:  # most optimizers have it; Any when it is read, as it is a number or a schedule

        @property
        def lr(self) -> Any: ...

        @lr.setter
        def lr(self, lr: Hyper) -> None: ...

    def __init__(self) -> None:
        self.state: dict[str, Real] = {}
        self._restart()

    def _restart(self) -> None:
        self.step_count = self.epochs = 0
        self.epoch_steps = 0  # steps taken in the present epoch
        self.steps_per_epoch = 1  # as the last steps had it
        self.products = dict.fromkeys(self.running, 1.0)
        self.entered = False

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, hyper(name, value) if name in self.hyperparameters else value)

    @property
    def title(self) -> str:
        """The name of the algorithm, with that of the one it wraps."""
        return type(self).__name__

    def takes(self, name: str) -> bool:
        """Is `name` a hyper-parameter, or a pair of them?"""
        return name in self.hyperparameters or isinstance(getattr(type(self), name, None), Pair)

    def configure(self, config: Mapping[str, Any]) -> None:
        """Assign some of the arguments, as `config` returns them."""
        for name, value in config.items():
            setattr(self, name, value)

    # ---- coefficients

    def hyper_values(self, steps: int, steps_per_epoch: int = 1) -> dict[str, Array]:
        """The hyper-parameters of the next `steps` steps by name, each an array (steps,)."""
        return {name: self._values(name, steps, steps_per_epoch) for name in self.hyperparameters}

    def _values(self, name: str, steps: int, steps_per_epoch: int) -> Array:
        value: Hyper = getattr(self, name)
        if not isinstance(value, Schedule):
            constant = np.empty(steps)
            constant.fill(value)  # np.full takes three times as long
            return constant
        values = value.values(self.step_count, steps, steps_per_epoch, self.origin(steps_per_epoch))
        for end in (values.min(), values.max()) if steps else ():
            in_range(name, float(end), f" from {value!r}")
        return values

    def origin(self, steps_per_epoch: int) -> int:
        """The step at which the first epoch would have begun if all had so many steps."""
        return self.step_count - self.epochs * steps_per_epoch - self.epoch_steps

    def coefficients(self, steps: int, steps_per_epoch: int = 1) -> Array:
        """What the kernel needs in the next `steps` steps: (steps, k), in the kernel's order."""
        values = self.hyper_values(steps, steps_per_epoch)
        return np.column_stack([values[name] for name in self.hyperparameters])

    def running_products(self, values: dict[str, Array]) -> dict[str, Array]:
        """For each of `running` its product over all steps up to and including each of these."""
        return {name: _products(self.products[name], values[name]) for name in self.running}

    def advance(self, steps: int, steps_per_epoch: int = 1) -> None:
        """Count `steps` steps as taken."""
        steps = count("steps", steps, 0)
        if self.running and steps:
            products = self.running_products(self.hyper_values(steps, steps_per_epoch))
            self.products = {name: float(product[steps - 1]) for name, product in products.items()}
        self.step_count += steps
        self.steps_per_epoch = steps_per_epoch
        whole, self.epoch_steps = divmod(self.epoch_steps + steps, steps_per_epoch)
        self.epochs += whole

    def begin_epoch(self) -> None:
        """An epoch begins, whether the one before was finished or not."""
        self.epoch_steps = 0

    # ---- state

    def init_state(self, n: int, dtype: DTypeLike) -> None:
        """Begin afresh with `n` parameters."""
        n, kind = count("n", n), real_dtype("dtype", dtype)
        self.state = {slot: aligned_zeros(n, kind) for slot in self.slots}
        for slot, array in self.state.items():
            array[...] = self.initial_value(slot)
        self._restart()

    def initial_value(self, slot: str) -> float:
        """What the elements of a slot are before the first step."""
        return 0.0

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on with the same bits: numbers and arrays."""
        return {**self._scalars(), **{slot: array.copy() for slot, array in self.state.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned, exactly."""
        scalars = self._scalars()
        slots = self.slots if set(self.slots) & set(state) or self.state else ()
        expected = {*scalars, *slots}
        if set(state) != expected:
            missing, unexpected = sorted(expected - set(state)), sorted(set(state) - expected)
            raise ValueError(f"state of {self.kernel}: missing {missing}, unexpected {unexpected}")
        arrays = {slot: np.asarray(state[slot]) for slot in slots}
        self._check_slots(arrays)
        step_count, epochs = (count(name, state[name], 0) for name in ("step_count", "epochs"))
        products = {name: number(f"product_{name}", state[f"product_{name}"], 0.0) for name in self.running}
        for slot, array in arrays.items():
            if slot not in self.state:
                self.state[slot] = aligned_zeros(array.size, array.dtype)
            self.state[slot][...] = array
        self.step_count, self.products, self.entered = step_count, products, bool(state.get("entered", False))
        self.epochs, self.epoch_steps = epochs, 0

    def _scalars(self) -> dict[str, float]:
        products = {f"product_{name}": product for name, product in self.products.items()}
        entered = {"entered": int(self.entered)} if self.enter else {}
        return {"step_count": self.step_count, "epochs": self.epochs, **products, **entered}

    def _check_slots(self, arrays: dict[str, Real]) -> None:
        """All alike, and like the slots there are."""
        like = next(iter(self.state.values() or arrays.values()), None)
        for slot, array in arrays.items():
            if like is not None and (array.shape, array.dtype) != ((like.size,), like.dtype):
                expected = f"shape {(like.size,)} and {like.dtype}"
                raise ValueError(f"state {slot}: expected {expected}, got {array.shape} and {array.dtype}")
            if array.dtype not in REALS:
                raise ValueError(f"state {slot}: expected float32 or float64, got {array.dtype}")

    # ---- steps by hand

    def step(self, theta: Real, grad: Real) -> None:
        """Change `theta` in place by one step along the gradient `grad`.

        Both are 1-D, C-contiguous, float32 or float64 alike. The state begins with the first step. A gradient that is
        not finite raises `DivergenceError` before anything changes; so does a step that leads a parameter or its state
        out of the finite numbers, but then the other parameters have been changed.
        """
        self._check_theta(theta)
        check_gradient(theta, grad)
        self.begin_epoch()
        row = self.coefficients(1)
        self._ensure_state(theta)
        if self.enter and not self.entered:
            self.begin(theta)
        ops = self.ops(theta, grad.copy() if self.changes_gradient else grad, tile_table(theta.size))
        if self._bind(ops.all)(row, self.step_count):
            raise DivergenceError(f"{self!r}: a parameter or its state is not finite after step {self.step_count}")
        self.advance(1)

    def begin(self, theta: Real) -> None:
        """Before the first gradient: let `theta` be where the algorithm wants it taken. Only Nesterov moves it."""
        self._switch(self.enter, theta, True)

    def finish(self, theta: Real) -> None:
        """After the last step: let `theta` be the parameters themselves. Only Nesterov moves it."""
        self._switch(self.leave, theta, False)

    def _switch(self, op: str | None, theta: Real, entered: bool) -> None:
        if op is None or self.entered == entered:
            return
        self._check_theta(theta)
        self._ensure_state(theta)
        table = tile_table(theta.size)
        if self._bind([Op("tiles", op, self.arrays(theta, theta, table))])(self.coefficients(1), self.step_count):
            raise DivergenceError(f"{self!r}: a parameter is not finite")
        self.entered = entered

    def _bind(self, ops: Sequence[Op]) -> Callable[[Array, int], int]:
        """Ops over the same tiles, one after another on each, as a function of coefficients and step; 1 if one failed."""
        theta, tiles = ops[0].arrays[0], len(ops[0].arrays[-1])
        bound = [(op.kernel, op.arrays, op.sizes, op.constants) for op in ops]
        run, threads = _kernels.bind_tiles(bound, dtype=theta.dtype, pieces=tiles), 1 if tiles == 1 else None
        return lambda row, step: run(row, step, threads)

    def ops(self, theta: Real, grad: Real, table: NDArray[np.int64]) -> StepOps:
        """The ops of a step, on the tiles of `table`."""
        return StepOps([Op("tiles", f"{self.kernel}_update", self.arrays(theta, grad, table))], [])

    def arrays(self, theta: Real, grad: Real, table: NDArray[np.int64]) -> tuple[Real | NDArray[np.int64] | None, ...]:
        """The arrays of the optimizer's ops, `table` being the tiles of `theta`."""
        if len(self.state) < len(self.slots):
            raise ValueError(f"{self.kernel}: the state has no arrays yet; call init_state first")
        self._check_size(theta)
        slots = [self.state[slot] for slot in self.slots]
        return (theta, grad, *slots, *[None] * (MAX_SLOTS - len(slots)), table)

    def _check_theta(self, theta: Real) -> None:
        check_vector("theta", theta)
        if not theta.flags.writeable:
            raise ValueError("theta: expected a writeable array, got a read-only one")
        self._check_size(theta)

    def _ensure_state(self, theta: Real) -> None:
        if len(self.state) < len(self.slots):
            self.init_state(theta.size, theta.dtype)

    def _check_size(self, theta: Real) -> None:
        for slot, array in self.state.items():
            check_like("theta", theta, f"the optimizer's state {slot!r}", array)

    # ---- the walk down a function

    def minimize(self, f: Any, x0: ArrayLike, steps: int, *, resume: bool = False) -> Path:
        """Walk `steps` steps down `f` from `x0`.

        Parameters
        ----------
        f : object with ``value_and_gradient(x)``, or a callable that returns both
        x0 : the start, 1-D; float32 stays, everything else becomes float64
        steps : how many
        resume : go on with the state there is, instead of afresh

        Returns
        -------
        Path
            ``theta`` (steps + 1, n), the parameters after 0, 1, … steps, and ``loss`` (steps + 1,), the loss there.

        Raises
        ------
        DivergenceError
            A loss, gradient or parameter was not finite. The finite part of the way is its ``path``.
        """
        theta, steps = start(x0), count("steps", steps, 0)
        if not resume:
            self.init_state(theta.size, theta.dtype)
        evaluate = evaluator(f, theta)
        self.begin_epoch()
        rows = self.coefficients(steps)
        points, losses = np.empty((steps + 1, theta.size), theta.dtype), np.empty(steps + 1)
        taken = 0
        self.entered = False
        self.begin(theta)
        gradient = np.empty_like(theta)
        step = self._bind(self.ops(theta, gradient, tile_table(theta.size)).all)
        try:
            for taken in range(steps + 1):
                points[taken] = self.parameters(theta)
                losses[taken], gradient[...] = evaluate(theta)
                if self.enter:
                    losses[taken] = evaluate(points[taken])[0]
                if not (np.isfinite(losses[taken]) and np.isfinite(gradient).all()):
                    raise DivergenceError(f"{self!r}: loss or gradient is not finite after {taken} steps")
                if taken == steps:
                    break
                if step(rows[taken : taken + 1], self.step_count + taken):
                    taken += 1
                    raise DivergenceError(f"{self!r}: a parameter or its state is not finite after {taken} steps")
        except DivergenceError as error:
            error.path = Path(points[:taken], losses[:taken])
            raise
        finally:
            self.advance(taken)
            self.finish(theta)
        return Path(points, losses)

    def parameters(self, theta: Real) -> Real:
        """The parameters themselves, `theta` being the point at which the algorithm wants the gradient."""
        return self.iterate(theta) if self.entered else theta

    def iterate(self, theta: Real) -> Real:
        """The array that holds the parameters between `begin` and `finish`."""
        return theta

    def lookahead(self) -> tuple[Real, int] | None:
        """v and the column of μ in `coefficients`, if after a step the gradient is wanted at iterate + μv."""
        return None


def _products(first: float, factors: Array) -> Array:
    """first · factors[0], that times factors[1], and so on."""
    chain = np.empty(len(factors) + 1)
    chain[0], chain[1:] = first, factors
    return np.multiply.accumulate(chain, out=chain)[1:]
