"""Quasi-Newton methods: curvature estimated from changes of the gradient between steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nncore._messages import shown
from nncore._utils.checks import check_dense
from nncore._utils.fields import Count
from nncore.second_order.base import FullBatchOptimizer, Row
from nncore.second_order.line_search import strong_wolfe, why_no_step
from nncore.second_order.objective import Array, Evaluated, Point

__all__ = ["BFGS", "LBFGS"]


class _QuasiNewton(FullBatchOptimizer):
    """θ ← θ + tp with p = −Bg, B the current estimate of H⁻¹, which is then updated with s = tp and y = g₊ − g."""

    def initial_numbers(self) -> Row:
        return {"pairs": 0.0}

    def check_state(self, step_count: int, numbers: Row, arrays: dict[str, Array]) -> None:
        pairs = numbers["pairs"]
        if not (0 <= pairs <= step_count and pairs.is_integer()):
            raise ValueError(f"pairs must be a whole number from 0 to step_count, which is {step_count}, got {shown(pairs)}")

    def direction(self, g: Array) -> Array:
        """−Bg."""
        raise NotImplementedError

    def learn(self, s: Array, y: Array) -> None:
        """Update B with a pair with sᵀy > 0."""
        raise NotImplementedError

    def iteration(self, f: Evaluated, point: Point) -> tuple[Point, Row]:
        p = self.direction(point.gradient)
        if not float(p @ point.gradient) < 0:  # B has been corrupted by rounding
            self.numbers["pairs"] = 0.0
            p = -point.gradient
        fresh = self.numbers["pairs"] == 0
        # the previous values from which SciPy guesses a step of length about 1 along -g, and t = 1
        for_length_one = point.value + float(np.linalg.norm(point.gradient)) / 2
        for_step_one = point.value - float(p @ point.gradient)
        found = strong_wolfe(f, point, p, c2=0.9, previous=for_length_one if fresh else for_step_one)
        if found is None and not fresh:
            self.numbers["pairs"] = 0.0
            found = strong_wolfe(f, point, -point.gradient, c2=0.9, previous=for_length_one)
        if found is None:
            self.stopped = why_no_step(f, point)
            return point, {}
        new, step = found
        s, y = new.theta - point.theta, new.gradient - point.gradient
        sy = float(s @ y)
        if sy > np.finfo(float).eps * np.linalg.norm(s) * np.linalg.norm(y) and sy**2 > 0:  # B is divided by it
            self.learn(s, y)
            self.numbers["pairs"] += 1
        return new, {"step_size": step}


class BFGS(_QuasiNewton):
    """BFGS (Broyden, Fletcher, Goldfarb, Shanno 1970; Nocedal & Wright 2006, algorithm 6.1).

    p = −Bg;  θ ← θ + tp;  s = tp, y = g₊ − g, r = 1/yᵀs;  B ← (I − r s yᵀ) B (I − r y sᵀ) + r s sᵀ

    State: B (n, n), the estimate of H⁻¹: initially I, and (sᵀy / yᵀy) I before the first update. t satisfies the strong
    Wolfe conditions (c₂ = 0.9), so that sᵀy > 0 and B stays positive definite. Memory and time per step: n².
    SciPy's ``minimize(method="BFGS")`` omits the initial scaling. Keras and PyTorch have no BFGS.

    Parameters
    ----------
    tol : the gradient norm at which the iteration stops, default 1e-10.

    Examples
    --------
    >>> from nncore.landscapes import Rosenbrock
    >>> BFGS().minimize(Rosenbrock(), [-1.2, 1.0], steps=50).theta[-1].round(6)
    array([1., 1.])
    """

    name = "bfgs"

    def initial_state(self, n: int) -> dict[str, Array]:
        check_dense("the inverse Hessian of BFGS", n, 8, "Take LBFGS, which stores only vectors")
        return {"inverse": np.eye(n)}

    def direction(self, g: Array) -> Array:
        return -g if self.numbers["pairs"] == 0 else -self.state["inverse"] @ g

    def learn(self, s: Array, y: Array) -> None:
        b, sy = self.state["inverse"], float(s @ y)
        if self.numbers["pairs"] == 0:
            b[...] = np.eye(s.size) * (sy / float(y @ y))
        by = b @ y
        b += np.outer(s, s) * ((sy + float(y @ by)) / sy**2) - (np.outer(by, s) + np.outer(s, by)) / sy


class LBFGS(_QuasiNewton):
    """BFGS with limited memory (Nocedal 1980; Liu & Nocedal 1989; Nocedal & Wright 2006, algorithms 7.4 and 7.5).

    As `BFGS`, but Bg is computed from the last pairs (s, y), without B, starting from (sᵀy / yᵀy) I of the newest pair:

    - q ← g; from the newest pair to the oldest: a = r sᵀq, q ← q − ay
    - q ← (sᵀy / yᵀy) q; from the oldest to the newest: q ← q + (a − r yᵀq) s;  p = −q

    State: the pairs, (memory, n) each, newest last. Memory and time per step: 2 · memory · n. θ ← θ + tp, where t satisfies
    the strong Wolfe conditions (c₂ = 0.9). PyTorch's ``LBFGS`` takes up to 20 iterations per step, and t = 1 unless a line
    search is requested. Keras has none.

    Parameters
    ----------
    memory : number of pairs, default 10 (as in SciPy; PyTorch's ``history_size`` is 100).
    tol : the gradient norm at which the iteration stops, default 1e-10.

    Examples
    --------
    >>> from nncore.landscapes import Rosenbrock
    >>> LBFGS().minimize(Rosenbrock(), [-1.2, 1.0], steps=50).theta[-1].round(6)
    array([1., 1.])
    """

    name = "lbfgs"
    memory: Count = Count()

    def __init__(self, memory: int = 10, tol: float = 1e-10) -> None:
        self.memory = memory
        super().__init__(tol)

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        if self.state and len(self.state["s"]) != self.memory:
            raise ValueError(
                f"memory must stay {len(self.state['s'])} once there is a state, got {self.memory}: make a new LBFGS"
            )
        super().check_fields(assigned)

    def initial_state(self, n: int) -> dict[str, Array]:
        return {"s": np.zeros((self.memory, n)), "y": np.zeros((self.memory, n))}

    def check_state(self, step_count: int, numbers: Row, arrays: dict[str, Array]) -> None:
        super().check_state(step_count, numbers, arrays)
        kept = min(int(numbers["pairs"]), self.memory, len(arrays["s"]))
        for s, y in zip(arrays["s"][len(arrays["s"]) - kept :], arrays["y"][len(arrays["y"]) - kept :], strict=True):
            with np.errstate(over="ignore", invalid="ignore"):
                product, square = float(s @ y), float(y @ y)
            if not (product > 0 and square > 0):
                raise ValueError(f"state s, y must hold pairs with sᵀy > 0, got {shown(product)}")

    def direction(self, g: Array) -> Array:
        kept = min(int(self.numbers["pairs"]), self.memory)
        if not kept:
            return -g
        pairs = list(zip(self.state["s"][-kept:], self.state["y"][-kept:], strict=True))
        q, steps = g.copy(), []
        for s, y in reversed(pairs):
            steps.append(float(s @ q) / float(s @ y))
            q -= steps[-1] * y
        s, y = pairs[-1]
        q *= float(s @ y) / float(y @ y)
        for s, y in pairs:
            q += (steps.pop() - float(y @ q) / float(s @ y)) * s
        return -q

    def learn(self, s: Array, y: Array) -> None:
        for name, vector in (("s", s), ("y", y)):
            self.state[name][:-1] = self.state[name][1:]
            self.state[name][-1] = vector
