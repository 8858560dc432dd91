"""Schedules: hyper-parameters that change during training.

A schedule is a function of the time t = 0, 1, 2, …, counted in steps (``per="step"``) or in epochs (``per="epoch"``).
Every hyper-parameter of every optimizer takes a number or a schedule.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import itemgetter
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from nncore._messages import shown
from nncore._utils.arrays import returned
from nncore._utils.checks import as_numbers
from nncore._utils.fields import Choice, Converted, Count, Flag, ListOf, Maybe, Number, Value, count, number
from nncore._utils.files import class_name
from nncore._utils.own import is_own, replaced
from nncore._utils.registry import classes

__all__ = [
    "SCHEDULES", "Constant", "CosLog", "Cosine", "Cyclic", "Exponential", "Harmonic", "InversePower", "InverseTime", "OneCycle",
    "PiecewiseConstant", "Polynomial", "Schedule", "StepDecay", "Warmup", "as_schedule",
]  # fmt: skip

Array = NDArray[np.float64]
Times = NDArray[np.int64]
Per = Literal["step", "epoch"]


Stretch = tuple[int, int, int]  # a step, the epoch that it begins, and the steps per epoch from there on


@dataclass(frozen=True)
class Clock:
    """The time of a schedule in steps and in epochs, for any lengths of the earlier epochs.

    Attributes
    ----------
    stretches : sequence of (step, epoch, steps per epoch)
        A new one begins wherever the epochs change their length. The first also counts backward, the last onward. There may be
        many: they are searched, never copied.
    begin : int
        The step at which the schedule's time began.
    elapsed : Fraction
        The epochs that had passed by then.
    last : (step, epoch, steps per epoch), optional
        The last stretch, if it is not among the others; those that begin at its step or later do not count.

    Examples
    --------
    >>> clock = Clock([(0, 0, 2), (4, 2, 3)])     # two epochs of two steps, then epochs of three
    >>> clock.time("epoch", 0, 8)
    array([0, 0, 1, 1, 2, 2, 2, 3])
    >>> clock.restarted(3).time("epoch", 3, 5), clock.restarted(3).time("step", 3, 5)
    (array([0, 0, 0, 1, 1]), array([0, 1, 2, 3, 4]))
    >>> clock.step_of("epoch", 3)
    7
    """

    stretches: Sequence[Stretch]
    begin: int = 0
    elapsed: Fraction = Fraction(0)
    last: Stretch | None = None

    def _around(self, part: int, low: int, high: int) -> Times:
        """The stretches in which the step (part 0) or epoch (part 1) goes from low to high, with one on each side: (3, k)."""
        key, stretches = itemgetter(part), self.stretches
        end = len(stretches) if self.last is None else bisect_left(stretches, self.last[0], key=itemgetter(0))
        first = max(bisect_left(stretches, low, 0, end, key=key) - 1, 0)
        stop = min(bisect_right(stretches, high, first, end, key=key) + 1, end)
        last = [self.last] if self.last is not None and stop == end else []
        return np.array([*stretches[first:stop], *last], np.int64).T

    def time(self, per: str, first_step: int, steps: int) -> Times:
        """The time at each of the steps first_step, …, first_step + steps - 1; 0 before it starts."""
        t = np.arange(first_step, first_step + steps, dtype=np.int64)
        if per == "step":
            return np.maximum(t - self.begin, 0)
        first, epoch, length = self._around(0, first_step, first_step + steps)
        stretch = np.maximum(np.searchsorted(first, t, side="right") - 1, 0)
        p, q, n = self.elapsed.numerator, self.elapsed.denominator, length[stretch]
        return np.maximum(((epoch[stretch] * n + t - first[stretch]) * q - p * n) // (n * q), 0)

    def step_of(self, per: str, time: int) -> int:
        """The first step with this time, or a later one."""
        if per == "step":
            return self.begin + time
        p, q = (self.elapsed + time).as_integer_ratio()
        first, epoch, length = self._around(1, p // q, p // q)
        step = first - (epoch * q - p) * length // q  # at which each stretch would reach it: first + ⌈(p/q − epoch) length⌉
        stretch = int(np.argmax(np.append(step[:-1] < first[1:], True)))
        return int(step[stretch] if stretch == 0 else max(step[stretch], first[stretch]))

    def restarted(self, step: int) -> Clock:
        """A clock whose time starts at a step, possibly within an epoch."""
        stretches: list[Stretch] = self._around(0, step, step).T.tolist()
        first, epoch, length = stretches[max(sum(stretch[0] <= step for stretch in stretches) - 1, 0)]
        return Clock(self.stretches, step, epoch + Fraction(step - first, length), self.last)


SAMPLED_STEPS = (0, 1, 2, 3, 5, *(m * 10**k for k in range(1, 6) for m in (1, 2, 5)))  # that describe a user's schedule
SAMPLED_EPOCH = 5
MOST_COUNTED = 2**44  # bound of steps and epochs, which are part of the address of a random number


def step_or_epoch(name: str, value: Any) -> int:
    """`value` as an int, if it is a number of steps or epochs that a training can have."""
    return count(name, value, 0, below=MOST_COUNTED)


def _times(t: Any) -> Times:
    """Times, checked: steps or epochs, and parts of them."""
    times = as_numbers(t, "t")
    if times.size and not (times.min() >= 0 and float(times.max()) < MOST_COUNTED):
        raise ValueError(f"t must be times from 0 to below 2**44, got {shown(t)}")
    return times


class Schedule(Value):
    """A hyper-parameter as a function of time.

    A subclass sets `name` and defines `at`; its ``__init__`` calls ``super().__init__(per)``.

    Examples
    --------
    >>> Exponential(1.0, gamma=0.5).values(first_step=2, steps=3)
    array([0.25  , 0.125 , 0.0625])
    >>> Exponential(1.0, gamma=0.5, per="epoch").values(first_step=2, steps=3, steps_per_epoch=3)
    array([1. , 0.5, 0.5])
    """

    name: ClassVar[str]
    per: Choice = Choice("step", "epoch")

    def __init__(self, per: str = "step") -> None:
        self.per = per
        super().__init__()

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if replaced(cls, "values"):
            raise TypeError(f"{cls.__name__} must define at, and not values, which follows from it and would not be called")

    def entry(self) -> dict[str, Any]:
        name = self.name if is_own(type(self)) else class_name(type(self))
        return {"schedule": name, **self.config(), **self.own_description()}

    def _described_by(self) -> dict[str, Any]:
        """Its values at `SAMPLED_STEPS`, to as many digits as are the same on all machines."""
        return {"values": " ".join(map(self._sampled, SAMPLED_STEPS))}

    def _sampled(self, step: int) -> str:
        try:
            return f"{self.on(Clock([(0, 0, SAMPLED_EPOCH)]), step, 1)[0]:.6g}"
        except Exception as error:  # of a user's function, which need not take every step
            return type(error).__name__

    def at(self, t: Times) -> NDArray[np.floating[Any]]:
        """The values at the times `t`, a number for each."""
        raise NotImplementedError

    def values(self, first_step: int, steps: int, steps_per_epoch: int = 1, origin: int = 0) -> Array:
        """The values at the steps first_step, …, first_step + steps - 1.

        Epochs have `steps_per_epoch` steps and count from the step `origin`. That is not step 0 if earlier epochs had more or
        fewer steps: after 5 epochs of 60, in those of 100, it is -200.
        """
        first_step, steps = step_or_epoch("first_step", first_step), step_or_epoch("steps", steps)
        origin = count("origin", origin, -MOST_COUNTED, below=MOST_COUNTED)
        steps_per_epoch = count("steps_per_epoch", steps_per_epoch, below=MOST_COUNTED)
        return self.on(Clock([(origin, 0, steps_per_epoch)]), first_step, steps)

    def on(self, clock: Clock, first_step: int, steps: int) -> Array:
        """The values at the steps first_step, …, first_step + steps - 1 of a clock."""
        values = self.at(clock.time(self.per, first_step, steps))
        return np.asarray(returned(f"{type(self).__name__}.at", values, (steps,)), np.float64)


class Constant(Schedule):
    """The same value always.

    >>> Constant(0.1).values(0, 3)
    array([0.1, 0.1, 0.1])
    """

    name = "constant"
    value: Number = Number()

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def at(self, t: Times) -> NDArray[np.floating[Any]]:
        t = _times(t)
        return np.full(t.shape, self.value)


class PiecewiseConstant(Schedule):
    """``levels[i]`` for ``boundaries[i-1] <= t < boundaries[i]``.

    The level changes at its boundary; that of Keras's ``PiecewiseConstantDecay`` changes one step after it.

    >>> PiecewiseConstant([2, 3], [0.5, 0.9, 0.99]).values(0, 5)
    array([0.5 , 0.5 , 0.9 , 0.99, 0.99])
    """

    name = "piecewise_constant"
    boundaries: ListOf[int, int] = ListOf(Count(below=MOST_COUNTED))
    levels: ListOf[float, float] = ListOf(Number())

    def __init__(self, boundaries: list[int], levels: list[float], per: Per = "step") -> None:
        super().__init__(per)
        self.boundaries, self.levels = boundaries, levels

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        if sorted(set(self.boundaries)) != list(self.boundaries):
            raise ValueError(f"boundaries must be ascending, got {shown(self.boundaries)}")
        if len(self.levels) != len(self.boundaries) + 1:
            raise ValueError(f"levels must be {len(self.boundaries) + 1} numbers (boundaries + 1), got {shown(self.levels)}")

    def at(self, t: Times) -> NDArray[np.floating[Any]]:
        t = _times(t)
        return np.asarray(self.levels)[np.searchsorted(self.boundaries, t, side="right")]


class StepDecay(Schedule):
    """initial · factor^⌊t/every⌋: divided by ten every N epochs, for instance.

    >>> StepDecay(1.0, every=2, factor=0.1).values(0, 5)
    array([1.  , 1.  , 0.1 , 0.1 , 0.01])
    """

    name = "step_decay"
    initial: Number = Number()
    every: Count = Count(below=MOST_COUNTED)
    factor: Number = Number(above=0)

    def __init__(self, initial: float, every: int, factor: float = 0.1, per: Per = "step") -> None:
        super().__init__(per)
        self.initial, self.every, self.factor = initial, every, factor

    def at(self, t: Times) -> NDArray[np.floating[Any]]:
        t = _times(t)
        return self.initial * np.power(self.factor, (t // self.every).astype(np.float64))


class Harmonic(Schedule):
    """a / (⌊t/N⌋ + b), N = `every`.

    >>> Harmonic(0.001, b=10, every=2).values(0, 4) * 1e4
    array([1.        , 1.        , 0.90909091, 0.90909091])
    """

    name = "harmonic"
    a: Number = Number()
    b: Number = Number(above=0)
    every: Count = Count(below=MOST_COUNTED)

    def __init__(self, a: float, b: float = 1.0, every: int = 1, per: Per = "step") -> None:
        super().__init__(per)
        self.a, self.b, self.every = a, b, every

    def at(self, t: Times) -> NDArray[np.floating[Any]]:
        t = _times(t)
        return self.a / (t // self.every + self.b)


class InverseTime(Schedule):
    """initial / (1 + rate·t): the ``lr_decay`` of PyTorch's Adagrad, the ``decay`` of the old Keras.

    >>> InverseTime(1.0, rate=0.5).values(0, 3)
    array([1.        , 0.66666667, 0.5       ])
    """

    name = "inverse_time"
    initial: Number = Number()
    rate: Number = Number(0)

    def __init__(self, initial: float, rate: float, per: Per = "step") -> None:
        super().__init__(per)
        self.initial, self.rate = initial, rate

    def at(self, t: Times) -> NDArray[np.floating[Any]]:
        t = _times(t)
        return self.initial / (1 + self.rate * t)


class InversePower(Schedule):
    """initial / (t + 1)^power: scikit-learn's ``invscaling``.

    >>> InversePower(1.0).values(0, 4).round(4)
    array([1.    , 0.7071, 0.5774, 0.5   ])
    """

    name = "inverse_power"
    initial: Number = Number()
    power: Number = Number(above=0)

    def __init__(self, initial: float, power: float = 0.5, per: Per = "step") -> None:
        super().__init__(per)
        self.initial, self.power = initial, power

    def at(self, t: Times) -> NDArray[np.floating[Any]]:
        t = _times(t)
        return self.initial * np.power(t + 1.0, -self.power)


class Exponential(Schedule):
    """initial · gammaᵗ.

    >>> Exponential(0.1, gamma=0.9).values(0, 3)
    array([0.1  , 0.09 , 0.081])
    """

    name = "exponential"
    initial: Number = Number()
    gamma: Number = Number(above=0)

    def __init__(self, initial: float, gamma: float, per: Per = "step") -> None:
        super().__init__(per)
        self.initial, self.gamma = initial, gamma

    def at(self, t: Times) -> NDArray[np.floating[Any]]:
        t = _times(t)
        with np.errstate(over="ignore"):
            return self.initial * np.power(self.gamma, t.astype(np.float64))


class Polynomial(Schedule):
    """final + (initial − final)(1 − min(t, T)/T)^power, T = `steps`.

    >>> Polynomial(1.0, steps=4).values(0, 6)
    array([1.  , 0.75, 0.5 , 0.25, 0.  , 0.  ])
    """

    name = "polynomial"
    initial: Number = Number()
    steps: Count = Count(below=MOST_COUNTED)
    final: Number = Number()
    power: Number = Number(above=0)

    def __init__(self, initial: float, steps: int, final: float = 0.0, power: float = 1.0, per: Per = "step") -> None:
        super().__init__(per)
        self.initial, self.steps, self.final, self.power = initial, steps, final, power

    def at(self, t: Times) -> NDArray[np.floating[Any]]:
        t = _times(t)
        remainder = 1 - np.minimum(t, self.steps) / self.steps
        return self.final + (self.initial - self.final) * np.power(remainder, self.power)


class Cosine(Schedule):
    """final + ½(initial − final)(1 + cos(π·s/T)), s the time since the start of the cycle and T its length.

    The first cycle takes `steps`.  Without `restarts` the value stays at `final` afterwards; with them cycle i takes
    ``steps * growth**i`` (Loshchilov & Hutter 2017, "SGDR") and begins at final + (initial − final)·shrink^i: Keras's
    ``CosineDecayRestarts`` calls `growth` t_mul and `shrink` m_mul.

    >>> Cosine(1.0, steps=2).values(0, 4)
    array([1. , 0.5, 0. , 0. ])
    >>> Cosine(1.0, steps=2, restarts=True, growth=2).values(0, 6)
    array([1.        , 0.5       , 1.        , 0.85355339, 0.5       ,
           0.14644661])
    >>> Cosine(1.0, steps=2, restarts=True, shrink=0.5).values(0, 6)
    array([1.   , 0.5  , 0.5  , 0.25 , 0.25 , 0.125])
    """

    name = "cosine"
    initial: Number = Number()
    steps: Count = Count(below=MOST_COUNTED)
    final: Number = Number()
    restarts: Flag = Flag()
    growth: Count = Count(below=MOST_COUNTED)
    shrink: Number = Number(above=0)

    def __init__(
        self, initial: float, steps: int, final: float = 0.0, restarts: bool = False, growth: int = 1, per: Per = "step",
        shrink: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__(per)
        self.initial, self.steps, self.final = initial, steps, final
        self.restarts, self.growth, self.shrink = restarts, growth, shrink

    def at(self, t: Times) -> NDArray[np.floating[Any]]:
        t = _times(t)
        since, length, cycle = self._cycle(t) if self.restarts else (np.minimum(t, self.steps), self.steps, 0)
        height = (self.initial - self.final) * np.power(self.shrink, cycle, dtype=np.float64)
        return self.final + height * (1 + np.cos(np.pi * (since / length))) / 2

    def _cycle(self, t: Times) -> tuple[Times, Array | int, Times]:
        """The time since the start of the cycle of `t`, the length of that cycle, and its number."""
        if self.growth == 1:
            return t % self.steps, self.steps, t // self.steps
        starts, lengths = [0], [self.steps]
        while t.size and starts[-1] + lengths[-1] <= t.max():
            starts.append(starts[-1] + lengths[-1])
            lengths.append(lengths[-1] * self.growth)
        cycle = np.searchsorted(starts, t, side="right") - 1
        return t - np.asarray(starts)[cycle], np.asarray(lengths, np.float64)[cycle], cycle  # the last may be beyond int64


class CosLog(Schedule):
    """initial·½(1 − cos(2π·log₂(1 + (2ᵏ − 1)·t/T))) until T = `steps`, then 0; k = `cycles`, each longer than the one before.

    It begins at 0, rises to `initial` within each cycle and returns to 0. k = 4 is the "coslog₄" of RealMLP (Holzmüller,
    Grinsztajn & Steinwart 2024).

    >>> CosLog(1.0, steps=7, cycles=3).values(0, 8).round(2)
    array([0.  , 0.  , 0.93, 0.  , 0.72, 0.93, 0.32, 0.  ])
    """

    name = "cos_log"
    initial: Number = Number()
    steps: Count = Count(below=MOST_COUNTED)
    cycles: Count = Count(below=64)

    def __init__(self, initial: float, steps: int, cycles: int = 4, per: Per = "step") -> None:
        super().__init__(per)
        self.initial, self.steps, self.cycles = initial, steps, cycles

    def at(self, t: Times) -> NDArray[np.floating[Any]]:
        t = _times(t)
        cycle = np.log2(1 + (2.0**self.cycles - 1) * (np.minimum(t, self.steps) / self.steps))
        return self.initial * (1 - np.cos(2 * np.pi * cycle)) / 2


class Cyclic(Schedule):
    """initial + (peak − initial)(1 − |s/T − 1|)·shrink^⌊t/2T⌋·gammaᵗ, s = t mod 2T, T = `steps`: up and down, T steps each.

    Smith 2017, whose "triangular" is the default, "triangular2" ``shrink=0.5``, "exp_range" ``gamma`` below 1: the policies of
    PyTorch's ``CyclicLR``.

    >>> Cyclic(0.0, 1.0, steps=2, shrink=0.5).values(0, 8)
    array([0.  , 0.5 , 1.  , 0.5 , 0.  , 0.25, 0.5 , 0.25])
    """

    name = "cyclic"
    initial: Number = Number()
    peak: Number = Number()
    steps: Count = Count(below=MOST_COUNTED)
    shrink: Number = Number(above=0)
    gamma: Number = Number(above=0)

    def __init__(
        self, initial: float, peak: float, steps: int, shrink: float = 1.0, gamma: float = 1.0, per: Per = "step"
    ) -> None:
        super().__init__(per)
        self.initial, self.peak, self.steps, self.shrink, self.gamma = initial, peak, steps, shrink, gamma

    def at(self, t: Times) -> NDArray[np.floating[Any]]:
        t = _times(t)
        cycle, since = np.divmod(t, 2 * self.steps)
        with np.errstate(over="ignore"):
            height = np.power(self.shrink, cycle.astype(np.float64)) * np.power(self.gamma, t.astype(np.float64))
            return self.initial + (self.peak - self.initial) * (1 - np.abs(since / self.steps - 1)) * height


class Warmup(Schedule):
    """A linear ramp to another schedule s, which starts afterwards.

    start + (s(0) − start)(t + 1)/(W + 1) for t < W = `steps`, then s(t − W): W steps strictly between `start` and s(0).
    With ``per="epoch"`` W counts epochs and the ramp has a step for each.

    The time of s begins where the warm-up ends, in steps and in epochs: with ``per="epoch"`` s counts the steps since the epoch
    W began. If a warm-up by steps ends within an epoch, a part of that epoch counts: s has its epochs from there to the same
    part of the next one.

    >>> Warmup(0.4, steps=3).values(0, 5)
    array([0.1, 0.2, 0.3, 0.4, 0.4])
    >>> Warmup(Exponential(1.0, gamma=0.5), steps=1).values(0, 4)
    array([0.5 , 1.  , 0.5 , 0.25])
    """

    name = "warmup"
    after: Converted[float | Schedule, Schedule] = Converted(lambda name, value: as_schedule(value, name))
    steps: Count = Count(0, below=MOST_COUNTED)
    start: Number = Number()

    def __init__(self, after: float | Schedule, steps: int, start: float = 0.0, per: Per = "step") -> None:
        super().__init__(per)
        self.after, self.steps, self.start = after, steps, start

    def on(self, clock: Clock, first_step: int, steps: int) -> Array:
        end = clock.step_of(self.per, self.steps)
        rising = min(max(end - first_step, 0), steps)
        t, goal = clock.time(self.per, first_step, rising), self.after.values(0, 1)
        ramp = self.start + (goal - self.start) * ((t + 1) / (self.steps + 1))
        return np.concatenate((ramp, self.after.on(clock.restarted(end), first_step + rising, steps - rising)))


class OneCycle(Schedule):
    """Up along a half cosine from `initial` to `peak`, then down along another to `final` (Smith & Topin 2018).

    With up = fraction·steps − 1 and end = steps − 1: c(initial, peak, t/up) for t <= up, c(peak, final,
    (t−up)/(end−up)) until end, then `final`; c(a, b, x) = b + ½(a − b)(1 + cos πx).  As PyTorch's OneCycleLR: `initial`
    defaults to peak/25, `final` to initial/10000.  For a momentum that goes down and up again give all three.

    With `three_phase`, as PyTorch's: from the peak back to `initial`, c(peak, initial, (t−up)/up) for t <= 2·up, then
    c(initial, final, (t−2up)/(end−2up)).

    >>> OneCycle(1.0, steps=5, initial=0.0, final=0.0, fraction=0.6).values(0, 6).round(12)
    array([0. , 0.5, 1. , 0.5, 0. , 0. ])
    """

    name = "one_cycle"
    peak: Number = Number()
    steps: Count = Count(2, below=MOST_COUNTED)
    initial: Maybe[float, float] = Maybe(Number())
    final: Maybe[float, float] = Maybe(Number())
    fraction: Number = Number(above=0, below=1)
    three_phase: Flag = Flag()

    def __init__(
        self, peak: float, steps: int, initial: float | None = None, final: float | None = None, fraction: float = 0.3,
        per: Per = "step", three_phase: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(per)
        self.peak, self.steps, self.initial, self.final, self.fraction = peak, steps, initial, final, fraction
        self.three_phase = three_phase

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        if not 1 < self.fraction * self.steps < self.steps:
            raise ValueError(f"fraction must be such that 1 < fraction * steps, got {shown(self.fraction)} * {self.steps}")
        if self.three_phase and 2 * (self.fraction * self.steps - 1) >= self.steps - 1:
            raise ValueError(f"fraction must leave room for three phases, about 0.5 at most, got {shown(self.fraction)}")

    def at(self, t: Times) -> NDArray[np.floating[Any]]:
        t = _times(t)
        initial = self.peak / 25 if self.initial is None else self.initial
        final = initial / 1e4 if self.final is None else self.final
        up, end = self.fraction * self.steps - 1, self.steps - 1
        back = [2 * up] * self.three_phase
        ends, levels = np.array([0, up, *back, end]), np.array([initial, self.peak, *[initial] * self.three_phase, final])
        phase = np.searchsorted(ends[1:-1], t)
        start, goal, begin = levels[phase], levels[phase + 1], ends[phase]
        x = (np.minimum(t, end) - begin) / (ends[phase + 1] - begin)
        return goal + (start - goal) * (1 + np.cos(np.pi * x)) / 2


SCHEDULES = {cls.name: cls for cls in classes(Schedule, __name__)}


def as_schedule(value: Any, argument: str = "schedule") -> Schedule:
    """A schedule from a number, a schedule, or the dict a config holds for one.

    >>> as_schedule(0.1)
    Constant(value=0.1)
    >>> as_schedule({"schedule": "exponential", "initial": 0.1, "gamma": 0.9, "per": "epoch"})
    Exponential(initial=0.1, gamma=0.9, per='epoch')
    """
    if isinstance(value, Schedule):
        return value
    if not isinstance(value, dict):
        return Constant(number(argument, value))
    arguments = dict(value)
    if "schedule" not in arguments:
        raise ValueError(
            f"{argument} must be a number, a schedule or its configuration, with its name as 'schedule', got {shown(value)}"
        )
    name = arguments.pop("schedule")
    if not isinstance(name, str) or name not in SCHEDULES:
        raise ValueError(f"{argument} must be a schedule named one of {', '.join(SCHEDULES)}, got {shown(name)}")
    return SCHEDULES[name](**arguments)
