"""What all optimizers share: hyper-parameters, state, the step, and the walk down a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from nncore import _kernels
from nncore._messages import shown
from nncore._utils.arrays import OwnsArrays, aligned_zeros
from nncore._utils.fields import Configured, Count, Field, Fixed, Flag, Pair, assign, assignments, count, number
from nncore._utils.files import is_own
from nncore._utils.interrupt import Interrupt
from nncore.errors import DivergenceError
from nncore.optimizers.hyper import Hyper, HyperParameter
from nncore.optimizers.path import Path, evaluator, start
from nncore.optimizers.tiles import (
    REALS,
    STRETCH,
    Real,
    State,
    check_finite_gradient,
    check_gradient,
    check_like,
    check_vector,
    real_dtype,
    tile_table,
)
from nncore.program.ops import Op
from nncore.schedules import MOST_COUNTED, Array, Clock, Schedule, Stretch, only_fields, step_or_epoch

MOST_AHEAD = 64  # steps by hand whose coefficients are computed together

__all__ = ["Optimizer"]


class StepOps(NamedTuple):
    """The ops of a step, in order. In training a penalty's proximal step comes between the two parts."""

    update: list[Op]
    after: list[Op]  # that look at the parameters which all the rest of the step leaves

    @property
    def all(self) -> list[Op]:
        return [*self.update, *self.after]


class Optimizer(Configured, OwnsArrays):
    """An algorithm that changes parameters along gradients.

    Attributes
    ----------
    name : str
        The algorithm's name, as `get` takes it.
    kernel : str
        The op that takes a step is ``kernel + "_update"``. It follows from the flags.
    slots : tuple of str
        The arrays of state, one number per parameter each, in the order of the kernel's arguments. A flag that changes them
        cannot be assigned once there is a state.
    hyperparameters : tuple of str
        Names of attributes that are numbers or schedules: the fields of that kind. They may be assigned at any time.
    non_negative : tuple of str
        The slots whose elements are never negative, such as means of squares: states that are loaded are checked for it.
    seeds : tuple of str
        Fields that only set what the state is before the first step: later they cannot be assigned.
    running : tuple of str
        Those of `hyper_values` whose product over all steps so far is part of the state: bias corrections need them.
    enter, leave : str or None
        Ops to run once before the first and after the last of consecutive steps.
    steps_along_gradients : bool
        Each step takes one gradient. Those of `nncore.second_order` ask for values and curvature where they want instead.
    full_batch_only : bool
        The algorithm compares the gradients of successive steps, so that they must come from the same data.
    full_batch_reason : str
        Why, for the error message.
    state : dict of str to ndarray
        The slots by name; empty until the first step or `init_state`. Assigned to, an array takes the numbers and stays itself.
    step_count : int
        Steps taken.
    epochs : int
        Whole epochs among them: the time of schedules with ``per="epoch"``.
    """

    state: Fixed[State] = Fixed(advice="assign to its arrays, or call init_state")
    step_count: Count = Count(0, below=MOST_COUNTED)
    epochs: Count = Count(0, below=MOST_COUNTED)
    epoch_steps: Count = Count(0, below=MOST_COUNTED)  # taken in the present epoch
    steps_per_epoch: Count = Count(below=MOST_COUNTED)  # as the last steps had it
    stretches: Fixed[list[Stretch]] = Fixed()  # of epochs of one length, up to the last step; for warmups, which look back
    products: Fixed[dict[str, float]] = Fixed()
    entered: Flag = Flag()

    name: ClassVar[str]
    hyperparameters: ClassVar[tuple[str, ...]] = ()
    slots: ClassVar[tuple[str, ...]] = ()
    non_negative: ClassVar[tuple[str, ...]] = ()
    seeds: ClassVar[tuple[str, ...]] = ()
    running: ClassVar[tuple[str, ...]] = ()
    enter: ClassVar[str | None] = None
    leave: ClassVar[str | None] = None
    steps_along_gradients: ClassVar[bool] = True
    full_batch_only: ClassVar[bool] = False
    changes_gradient: ClassVar[bool] = False  # an op of a step writes to the gradient
    full_batch_reason: ClassVar[str] = "its step sizes follow the signs of successive gradients, which noise flips"

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        own = tuple(name for name, field in vars(cls).items() if isinstance(field, HyperParameter))
        cls._add_hyperparameters(own)

    @classmethod
    def _add_hyperparameters(cls, names: tuple[str, ...]) -> None:
        cls.hyperparameters = tuple(dict.fromkeys((*cls.hyperparameters, *names)))

    if TYPE_CHECKING:  # most optimizers have it; a number unless it was given a schedule: `float | Any` lets both be used

        @property
        def lr(self) -> float | Any: ...

        @lr.setter
        def lr(self, lr: Hyper) -> None: ...

    # Steps by hand: what is bound, of how many steps the coefficients were known, and since which assignment.
    _hand_steps: _kernels.HandSteps | None = None
    _ahead = 1
    _known_at = -1
    _last_values: tuple[Any, dict[str, Array]] = (None, {})

    def __init__(self) -> None:
        self.state = State()
        self._restart()

    @property
    def kernel(self) -> str:
        """The op that takes a step, without ``_update``."""
        return self.name

    @property
    def variant(self) -> Any:
        """What decides, apart from the arrays, which ops a step has: programs are compiled anew when it changes."""
        return self.kernel

    def _restart(self) -> None:
        assignments.number += 1
        vars(self).update(step_count=0, epochs=0, epoch_steps=0, steps_per_epoch=1, stretches=[], entered=False)
        vars(self)["products"] = dict.fromkeys(self.running, 1.0)

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        """Raise if the state does not fit any more; fill it anew if it has not been used."""
        if seeding := [name for name in assigned if name in self.seeds]:
            if self.step_count:
                raise ValueError(
                    f"{seeding[0]} is fixed once a step was taken, as it sets only what the state of {self.title} is before, "
                    f"got {shown(assigned[seeding[0]])}: make a new {self.title}"
                )
            self.fill_state()
        form = tuple(self.slots), tuple(self.running)
        if form == self.__dict__.setdefault("_form", form):
            return
        if self.state:
            name, value = next(iter(assigned.items()))
            raise ValueError(
                f"{name} is fixed once there is a state, whose arrays it decides, got {shown(value)}: make a new {self.title}"
            )
        self._form = form
        vars(self)["products"] = dict.fromkeys(self.running, 1.0)

    @property
    def title(self) -> str:
        """The name of the algorithm, with that of the one it wraps."""
        return type(self).__name__

    def takes(self, name: str) -> bool:
        """Is `name` a field, or a pair of them?"""
        return isinstance(getattr(type(self), name, None), (Field, Pair))

    def configure(self, config: Mapping[str, Any]) -> None:
        """Assign some of the arguments, as `config` returns them: all or none."""
        assign(self, config)

    # ---- coefficients

    def hyper_values(self, steps: int, steps_per_epoch: int = 1) -> dict[str, Array]:
        """The hyper-parameters of the next `steps` steps by name, each an array (steps,)."""
        asked = steps, steps_per_epoch, self.step_count, self.epochs, self.epoch_steps, assignments.number
        if self._last_values[0] == asked:  # as several times before a portion of steps
            return self._last_values[1]
        values = {name: self._values(name, steps, steps_per_epoch) for name in self.hyperparameters}
        if not any(isinstance(getattr(self, name), Schedule) for name in self.hyperparameters):
            vars(self)["_last_values"] = asked, values
        return values

    def _values(self, name: str, steps: int, steps_per_epoch: int) -> Array:
        value: Hyper = getattr(self, name)
        if not isinstance(value, Schedule):
            constant = np.empty(steps)
            constant.fill(value)  # np.full takes three times as long
            return constant
        values = value.on(self.clock(steps_per_epoch), self.step_count, steps)
        getattr(type(self), name).check_values(values, value)
        return values

    def clock(self, steps_per_epoch: int) -> Clock:
        """The time of schedules, if the present epoch has so many steps."""
        return Clock(self.stretches, last=self._stretch(count("steps_per_epoch", steps_per_epoch)))

    def _stretch(self, steps_per_epoch: int) -> Stretch | None:
        """The one that begins with the present epoch, unless the last of those there were goes on."""
        step, epoch = self.step_count - self.epoch_steps, self.epochs
        if self.stretches:
            first, before, length = self.stretches[-1]
            if length == steps_per_epoch and step - first == (epoch - before) * length:
                return None
        return step, epoch, steps_per_epoch

    def coefficients(self, steps: int, steps_per_epoch: int = 1) -> Array:
        """What the kernel needs in the next `steps` steps: (steps, k), in the kernel's order."""
        values = self.hyper_values(steps, steps_per_epoch)
        return np.column_stack([values[name] for name in self.hyperparameters])

    def running_products(self, values: dict[str, Array]) -> dict[str, Array]:
        """For each of `running` its product over all steps up to and including each of these."""
        return {name: _products(self.products[name], values[name]) for name in self.running}

    def advance(self, steps: int, steps_per_epoch: int = 1, products: dict[str, float] | None = None) -> None:
        """Count `steps` steps as taken; ``products``: the running products after them, where they are known."""
        steps = count("steps", steps, 0)
        if self.running and steps:
            if products is None:
                after = self.running_products(self.hyper_values(steps, steps_per_epoch))
                products = {name: float(product[steps - 1]) for name, product in after.items()}
            vars(self)["products"] = products
        if steps and (stretch := self._stretch(steps_per_epoch)):
            while self.stretches and self.stretches[-1][0] >= stretch[0]:
                self.stretches.pop()
            self.stretches.append(stretch)
        whole, rest = divmod(self.epoch_steps + steps, steps_per_epoch)
        vars(self).update(
            step_count=self.step_count + steps, epochs=self.epochs + whole, epoch_steps=rest, steps_per_epoch=steps_per_epoch
        )  # fmt: skip

    def begin_epoch(self) -> None:
        """An epoch begins, whether the one before was finished or not."""
        vars(self)["epoch_steps"] = 0

    # ---- state

    def init_state(self, n: int, dtype: DTypeLike) -> None:
        """Begin afresh with `n` parameters."""
        n, kind = count("n", n), real_dtype("dtype", dtype)
        state = State({slot: aligned_zeros(n, kind) for slot in self.slots})
        with Interrupt(tolerated=0):  # the state and the count of steps go together
            vars(self)["state"] = state
            self.fill_state()
            self._restart()

    def fill_state(self) -> None:
        """The state, if there is one, as it is before the first step."""
        for slot in self.slots:
            if slot in self.state:
                self.state[slot][...] = self.initial_value(slot)

    def initial_value(self, slot: str) -> float:
        """What the elements of a slot are before the first step."""
        return 0.0

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on with the same bits: numbers and arrays."""
        slots = {slot: array.copy() for slot, array in self.state.items()}
        return {**self._scalars(), "stretches": np.array(self.stretches, np.int64).reshape(-1, 3), **slots}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, exactly. All of it is checked before anything changes."""
        if not isinstance(state, Mapping):
            raise TypeError(f"state of {self.name} must be a mapping, got {shown(state)}")
        scalars = self._scalars()
        state = dict(state)
        stretches = _stretches(state.pop("stretches", np.empty((0, 3), np.int64)))  # states of older versions have none
        slots = self.slots if set(self.slots) & set(state) or self.state else ()
        check_names(self.name, state, {*scalars, *slots})
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
        self.state.extended({slot: aligned_zeros(a.size, a.dtype) for slot, a in arrays.items() if slot not in self.state})
        self.state.update(arrays)
        assignments.number += 1
        vars(self).update(step_count=step_count, products=products, entered=bool(entered))
        vars(self).update(epochs=epochs, epoch_steps=0, stretches=stretches)

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
                raise ValueError(f"state {slot} must have {expected}, got {array.shape} and {array.dtype}")
            if array.dtype not in REALS:
                raise ValueError(f"state {slot} must be float32 or float64, got {array.dtype}")
            check_finite_state(slot, array)
            if slot in self.non_negative and (array < 0).any():
                raise ValueError(f"state {slot} must hold numbers of at least 0, got {array.min()}")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_hand_steps", "_last_values")}

    def __copy__(self) -> Any:
        other = object.__new__(type(self))
        other.__dict__.update(self.__getstate__())
        return other

    # ---- steps by hand

    def knows_ahead(self) -> bool:
        """Whether the coefficients of later steps depend on nothing that changes but by an assignment to a field."""
        values = [getattr(self, name) for name in self.hyperparameters]
        return is_own(type(self)) and all(only_fields(value) for value in values if isinstance(value, Schedule))

    def step(self, theta: Real, grad: Real) -> None:
        """Change `theta` in place by one step along the gradient `grad`.

        Both are 1-D, C-contiguous, float32 or float64 alike. The state begins with the first step. A parameter that the step,
        or a gradient that is not finite, would make infinite or NaN keeps its value, and so do its numbers in the state;
        `DivergenceError` is then raised, and the step does not count.
        """
        steps, taken = self._hand_steps, 0
        if steps is not None and self._known_at == assignments.number:
            taken = steps.step(theta, grad, _threads(steps.size))
        if not taken:
            taken = self._prepare(theta, grad).step(theta, grad, _threads(theta.size))
        if taken == 2:
            check_finite_gradient(grad)
            raise DivergenceError(self._not_finite(f"after step {self.step_count}", grad))

    def _prepare(self, theta: Real, grad: Real) -> _kernels.HandSteps:
        """Check the vectors, and have the next steps ready: only one if something else has changed since the last, or may."""
        self._check_theta(theta)
        check_gradient(theta, grad)
        self.begin_epoch()
        self._ensure_state(theta)
        if self.enter and not self.entered:
            self.begin(theta)
        steps = self._hand_steps
        known = (theta.size, theta.dtype, self.variant)
        if steps is None or steps.state is not self.state or (steps.size, steps.dtype, steps.variant) != known:
            steps = vars(self)["_hand_steps"] = self._bind_step(theta, grad)
        ahead = 1
        if self._known_at == assignments.number and self.knows_ahead():
            ahead = min(2 * self._ahead, MOST_AHEAD)
        vars(self).update(_ahead=ahead, _known_at=assignments.number)
        products = self.running_products(self.hyper_values(ahead)) if self.running else {}
        steps.know(self.step_count, self.coefficients(ahead), products, self._stretch(1))
        return steps

    def _bind_step(self, theta: Real, grad: Real) -> _kernels.HandSteps:
        gradient = np.empty_like(theta) if self.changes_gradient else grad
        ops = self.ops(theta, gradient, tile_table(theta.size)).all
        places = [(n, slot, array) for n, op in enumerate(ops) for slot, array in enumerate(op.arrays)]
        return _kernels.HandSteps(
            self._bind(ops).program, [(n, slot) for n, slot, array in places if array is theta],
            [(n, slot) for n, slot, array in places if array is gradient], size=theta.size, dtype=theta.dtype, state=self.state,
            counts=vars(self), variant=self.variant, copy=gradient if self.changes_gradient else None,
        )  # fmt: skip

    def _not_finite(self, when: str, grad: Real) -> str:
        cause = self.vanished_eps(grad)
        why = f", as {cause}; take a larger eps" if cause else ""
        return f"{shown(self)}: a parameter or its state is not finite {when}{why}"

    def vanished_eps(self, grad: Real) -> str:
        """Why a step along the finite gradient `grad` is not finite, if that can be because eps counts as 0; or else nothing.

        Where a parameter has had no gradient, eps alone keeps the step from being 0/0. Denormal numbers count as 0, and bias
        corrections make eps smaller, by up to the factor 1 − β₂.
        """
        values = self.hyper_values(1)
        smallest = float(np.finfo(grad.dtype).tiny)
        least = smallest / (1 - float(values["beta2"][0])) if "beta2" in values else smallest
        if "eps" not in values or values["eps"][0] >= least or not (np.square(grad, dtype=np.float64) < smallest).any():
            return ""
        return f"eps = {values['eps'][0]:g} is too small for {grad.dtype}: a parameter without a gradient divides 0 by 0"

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
            raise DivergenceError(f"{shown(self)}: a parameter is not finite")
        self.entered = entered

    def _bind(self, ops: Sequence[Op]) -> _kernels.TileOps:
        """Ops over the same tiles, one after another on each, as a function of coefficients and step; 1 if one failed."""
        bound = [(op.kernel, op.arrays, op.sizes, op.constants) for op in ops]
        return _kernels.TileOps(bound, dtype=ops[0].arrays[0].dtype, pieces=len(ops[0].arrays[-1]))

    def ops(self, theta: Real, grad: Real, table: NDArray[np.int64]) -> StepOps:
        """The ops of a step, on the tiles of `table`."""
        return StepOps([Op("tiles", f"{self.kernel}_update", self.arrays(theta, grad, table))], [])

    def arrays(self, theta: Real, grad: Real, table: NDArray[np.int64]) -> tuple[Real | NDArray[np.int64], ...]:
        """The arrays of the optimizer's ops, `table` being the tiles of `theta`."""
        if len(self.state) < len(self.slots):
            raise ValueError(f"{self.name}: the state has no arrays yet; call init_state first")
        self._check_size(theta)
        slots = [self.state[slot] for slot in self.slots]
        return (theta, grad, *slots, table)

    def _check_theta(self, theta: Real) -> None:
        check_vector("theta", theta)
        if not theta.flags.writeable:
            raise ValueError("theta must be a writeable array, got a read-only one")
        self._check_size(theta)

    def _ensure_state(self, theta: Real) -> None:
        if len(self.state) < len(self.slots):
            self.init_state(theta.size, theta.dtype)

    def _check_size(self, theta: Real) -> None:
        for slot, array in self.state.items():
            name = f"the optimizer's state {slot!r}"
            check_vector(name, array)
            check_like("theta", theta, name, array)
            if np.may_share_memory(theta, array):
                raise ValueError(f"{name} must have memory of its own, got memory of theta")

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

        Notes
        -----
        Ctrl-C leaves the optimizer as it is after the steps taken so far, all of which are counted.
        """
        theta, steps = start(x0), count("steps", steps, 0)
        if not resume:
            self.init_state(theta.size, theta.dtype)
        self._ensure_state(theta)
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
                    raise DivergenceError(f"{shown(self)}: loss or gradient is not finite after {taken} steps")
                if taken == steps:
                    break
                if step(rows[taken : taken + 1], self.step_count + taken):
                    taken += 1
                    raise DivergenceError(self._not_finite(f"after {taken} steps", gradient))
        except DivergenceError as error:
            error.path = Path(points[:taken], losses[:taken])
            raise
        finally:
            with Interrupt(tolerated=0):
                self.advance(step.runs)
                self.finish(theta)
        return Path(points, losses)

    def close(self) -> None:
        """After the last step on a function. Only `ScipyMinimize` has something to end."""

    def parameters(self, theta: Real) -> Real:
        """The parameters themselves, `theta` being the point at which the algorithm wants the gradient."""
        return self.iterate(theta) if self.entered else theta

    def iterate(self, theta: Real) -> Real:
        """The array that holds the parameters between `begin` and `finish`."""
        return theta

    def lookahead(self) -> tuple[Real, int] | None:
        """v and the column of μ in `coefficients`, if after a step the gradient is wanted at iterate + μv."""
        return None


def _stretches(value: Any) -> list[Stretch]:
    """The stretches of a clock, from the array that a state has of them."""
    table = np.asarray(value)
    fits = table.ndim == 2 and table.shape[1] == 3 and table.dtype == np.int64
    if (
        not fits or (table < (0, 0, 1)).any() or (table >= MOST_COUNTED).any() or (np.diff(table[:, 0]) <= 0).any()
    ):  # fmt: skip
        raise ValueError(
            f"state stretches must have rows (step, epoch, steps per epoch) of int64, steps ascending, "
            f"got {shown(table.tolist())}"
        )
    return [(step, epoch, length) for step, epoch, length in table.tolist()]


def check_names(kernel: str, state: Mapping[str, Any], expected: set[str]) -> None:
    """Raise unless a state has these names."""
    if set(state) != expected:
        missing, unexpected = sorted(expected - set(state)), sorted(map(str, set(state) - expected))
        raise ValueError(f"state of {kernel}: missing {missing}, unexpected {unexpected}")


def check_finite_state(name: str, array: NDArray[Any]) -> None:
    """Raise if a number of an array of state is NaN or infinite."""
    if not np.isfinite(array).all():
        raise ValueError(f"state {name} must hold finite numbers, got {array[~np.isfinite(array)].flat[0]}")


def _products(first: float, factors: Array) -> Array:
    """first · factors[0], that times factors[1], and so on."""
    chain = np.empty(len(factors) + 1)
    chain[0], chain[1:] = first, factors
    return np.multiply.accumulate(chain, out=chain)[1:]


def _threads(n: int) -> int:
    """For a step on n parameters by hand: those of a single tile are one work item."""
    return 1 if n <= STRETCH else _kernels.get_num_threads()
