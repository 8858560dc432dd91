"""A walk down a function with everything that happened on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nncore._kernels.single_ops import run_op
from nncore._messages import shown
from nncore._utils.fields import count
from nncore.errors import DivergenceError
from nncore.optimizers import Optimizer
from nncore.optimizers.clipping import Clipping
from nncore.optimizers.path import Path, evaluator, start
from nncore.optimizers.tiles import Real, tile_table

__all__ = ["Recording", "record"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Recording(Path):
    """Every step of a walk. Row t of the first five is the moment after t steps, row 0 the start.

    Attributes
    ----------
    theta : ndarray (steps + 1, n)
        The parameters.
    loss : ndarray (steps + 1,)
        The loss there.
    gradient : ndarray (steps + 1, n)
        The gradient that the algorithm asked for: at θ, or for Nesterov at θ + μv.
    clipped : ndarray (steps + 1, n)
        The same after clipping.
    state : dict of str to ndarray (steps + 1, n)
        The optimizer's state by slot.
    hyper : dict of str to ndarray (steps,)
        The hyper-parameters of each step.
    """

    gradient: Real
    clipped: Real
    state: dict[str, Real] = field(default_factory=dict)
    hyper: dict[str, Array] = field(default_factory=dict)

    @property
    def effective_step(self) -> Array:
        """−(θₜ₊₁ − θₜ)/gₜ, element by element: (steps, n).

        The learning rate with which plain gradient descent would have moved each parameter as far. g is the gradient
        before clipping, so that clipping shows as a smaller step. Negative where the parameter went uphill; NaN where
        the gradient is 0.
        """
        moved, g = np.diff(np.asarray(self.theta, np.float64), axis=0), np.asarray(self.gradient[:-1], np.float64)
        with np.errstate(over="ignore"):
            return np.divide(-moved, g, out=np.full(g.shape, np.nan), where=g != 0)


def record(
    optimizer: Optimizer, f: Any, x0: ArrayLike, steps: int, clip: Clipping | None = None, *, resume: bool = False
) -> Recording:
    """Walk `steps` steps down `f` from `x0`, and keep everything.

    Without `clip` the parameters and losses are those of ``optimizer.minimize(f, x0, steps)``, to the last bit.

    Parameters
    ----------
    optimizer : Optimizer
    f : object with ``value_and_gradient(x)``, or a callable that returns both
    x0 : the start, 1-D; float32 stays, everything else becomes float64
    steps : how many
    clip : ClipValue, ClipNorm or ClipGlobalNorm, optional
        All parameters count as one array.
    resume : go on with the state there is, instead of afresh

    Returns
    -------
    Recording

    Raises
    ------
    DivergenceError
        A loss, gradient or parameter was not finite. The recording of the finite part is its ``path``.

    Examples
    --------
    >>> import nncore as nn
    >>> from nncore.landscapes import Quadratic
    >>> walk = record(nn.AdaGrad(lr=0.1), Quadratic([1.0, 100.0]), [1.0, 1.0], steps=3)
    >>> walk.gradient[0], walk.effective_step[0].round(6)   # the first step is lr, whatever the gradient's size
    (array([  1., 100.]), array([0.1  , 0.001]))
    >>> walk.state["r"][1]
    array([1.e+00, 1.e+04])
    """
    theta, steps = start(x0), count("steps", steps, 0)
    if clip is not None and not isinstance(clip, Clipping):
        raise TypeError(f"clip must be a Clipping such as nn.ClipGlobalNorm(5.0), got {shown(clip)}")
    if not resume or len(optimizer.state) < len(optimizer.slots):
        optimizer.init_state(theta.size, theta.dtype)
    hyper = {name: values.copy() for name, values in optimizer.hyper_values(steps).items()}
    tape = _Tape(steps, theta, optimizer)
    optimizer.entered = False
    optimizer.begin(theta)
    try:
        _walk(optimizer, evaluator(f, theta), theta, steps, _clipper(clip, theta), tape)
    except DivergenceError as error:
        error.path = tape.recording(hyper)
        raise
    finally:
        optimizer.finish(theta)
    return tape.recording(hyper)


def _walk(
    optimizer: Optimizer, evaluate: Callable[[Real], tuple[float, Real]], theta: Real, steps: int,
    clip: Callable[[Real], Real], tape: _Tape,
) -> None:  # fmt: skip
    for t in range(steps + 1):
        parameters = optimizer.parameters(theta)
        loss, gradient = evaluate(theta)
        if parameters is not theta:
            loss = evaluate(parameters)[0]
        if not (np.isfinite(loss) and np.isfinite(gradient).all()):
            raise DivergenceError(f"{shown(optimizer)}: loss or gradient is not finite after {t} steps")
        clipped = clip(gradient)
        tape.write(parameters, loss, gradient, clipped, optimizer.state)
        if t < steps:
            optimizer.step(theta, clipped)


class _Tape:
    """Room for the rows of a recording, and how many there are."""

    def __init__(self, steps: int, theta: Real, optimizer: Optimizer) -> None:
        def room() -> Real:
            return np.empty((steps + 1, theta.size), theta.dtype)

        self.rows = 0
        self.theta, self.gradient, self.clipped, self.loss = room(), room(), room(), np.empty(steps + 1)
        self.state = {slot: room() for slot in optimizer.slots}

    def write(self, theta: Real, loss: float, gradient: Real, clipped: Real, state: dict[str, Real]) -> None:
        t = self.rows
        self.theta[t], self.loss[t], self.gradient[t], self.clipped[t] = theta, loss, gradient, clipped
        for slot, array in state.items():
            self.state[slot][t] = array
        self.rows += 1

    def recording(self, hyper: dict[str, Array]) -> Recording:
        n = self.rows
        return Recording(
            self.theta[:n], self.loss[:n], self.gradient[:n], self.clipped[:n],
            {slot: array[:n] for slot, array in self.state.items()},
            {name: values[: max(n - 1, 0)] for name, values in hyper.items()},
        )  # fmt: skip


def _clipper(clip: Clipping | None, theta: Real) -> Callable[[Real], Real]:
    """The clip as a function of a gradient, run by the kernels that training runs."""
    if clip is None:
        return lambda gradient: gradient
    work, table = np.empty_like(theta), tile_table(theta.size)
    ops = clip.ops(work, table, [0, len(table)]).ops

    def clipped(gradient: Real) -> Real:
        work[...] = gradient
        for op in ops:
            pieces = len(table) if op.axis == "tiles" else 1
            run_op(
                op.kernel, op.arrays, dtype=work.dtype, sizes=op.sizes, constants=op.constants, axis=op.axis, pieces=pieces
            )  # fmt: skip
        return work.copy()

    return clipped
