"""The trajectory of an optimizer on a function, with all values computed in each step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nncore._kernels.single_ops import run_op
from nncore._messages import shown
from nncore.errors import DivergenceError
from nncore.landscapes.functions import Array
from nncore.optimizers import GradientOptimizer, Optimizer
from nncore.optimizers.clipping import Clipping
from nncore.optimizers.path import Path, evaluator, start
from nncore.optimizers.tiles import Real, tile_table

__all__ = ["Recording", "record"]


@dataclass(frozen=True)
class Recording(Path):
    """Every step of a trajectory. Row t of the first five is the state after t steps, row 0 the start.

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
        """−(θₜ₊₁ − θₜ)/gₜ, element by element, (steps, n).

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
    """Minimize `f` from `x0` by `steps` steps, and record every intermediate value.

    Without `clip` the parameters and losses are those of ``optimizer.minimize(f, x0, steps)``, to the last bit.

    Parameters
    ----------
    optimizer : Optimizer
    f : object with ``value_and_gradient(x)``, or a callable that returns both
    x0 : the start, 1-D; float32 stays, everything else becomes float64
    steps : how many
    clip : ClipValue, ClipNorm or ClipGlobalNorm, optional
        All parameters count as one array.
    resume : continue with the existing state instead of a new one

    Raises
    ------
    DivergenceError, ValueError
        As ``minimize``. The recording of the steps before is its ``path``.

    Examples
    --------
    >>> import nncore as nn
    >>> from nncore.landscapes import Quadratic
    >>> path = record(nn.AdaGrad(lr=0.1), Quadratic([1.0, 100.0]), [1.0, 1.0], steps=3)
    >>> path.gradient[0], path.effective_step[0].round(6)   # the first step is lr, for any gradient
    (array([  1., 100.]), array([0.1  , 0.001]))
    >>> path.state["r"][1]
    array([1.e+00, 1.e+04])
    """
    if clip is not None and not isinstance(clip, Clipping):
        raise TypeError(f"clip must be a Clipping such as nn.ClipGlobalNorm(5.0), got {shown(clip)}")
    if not isinstance(optimizer, GradientOptimizer):
        raise TypeError(f"{type(optimizer).__name__} takes no steps along gradients alone: use minimize")
    theta = start(x0)
    evaluate, limited = evaluator(f, theta), _clipper(clip, theta)
    evaluations = 2 if optimizer.enter else 1  # of a step: with a lookahead f is evaluated at the parameters too
    hyper: list[dict[str, Array]] = []
    rows: list[tuple[Real, Real, dict[str, Real]]] = []

    def observed(x: Real) -> tuple[float, Real]:
        loss, gradient = evaluate(x)
        clipped = limited(gradient) if np.isfinite(gradient).all() else gradient
        rows.append((gradient, clipped, {slot: array.copy() for slot, array in optimizer.state.items()}))
        if len(rows) == evaluations * (len(hyper) + 1) <= evaluations * steps:  # f may have assigned them
            hyper.append(optimizer.hyper_values(1))
        return loss, clipped

    def recording(path: Path) -> Recording:
        n = len(path.loss)
        steps_seen = rows[::evaluations][:n]

        def column(values: Iterable[Real]) -> Real:
            return np.array(list(values), theta.dtype).reshape(n, theta.size)

        state = {slot: column(row[2][slot] for row in steps_seen) for slot in optimizer.slots}
        gradient, clipped = column(row[0] for row in steps_seen), column(row[1] for row in steps_seen)
        taken = hyper[: max(n - 1, 0)]
        used = {name: np.array([values[name][0] for values in taken], np.float64) for name in optimizer.hyperparameters}
        return Recording(path.theta, path.loss, gradient, clipped, state, used)

    try:
        return recording(optimizer.minimize(observed, theta, steps, resume=resume))
    except (DivergenceError, ValueError) as error:
        if isinstance(path := getattr(error, "path", None), Path):
            error.path = recording(path)  # type: ignore[union-attr]
        raise


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
            run_op(op.kernel, op.arrays, dtype=work.dtype, sizes=op.sizes, constants=op.constants, axis=op.axis, pieces=pieces)
        return work.copy()

    return clipped
