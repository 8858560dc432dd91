"""Nonlinear conjugate gradients: conjugate directions from gradients alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nncore._utils.fields import Choice
from nncore.second_order.base import FullBatchOptimizer, Row
from nncore.second_order.line_search import strong_wolfe, why_no_step
from nncore.second_order.objective import Array, Evaluated, Point

__all__ = ["NonlinearCG"]


BETAS: dict[str, Callable[[Array, Array, Array], float]] = {  # of the gradient, the one before it, and the direction
    "fletcher_reeves": lambda g, before, d: (g @ g) / (before @ before),
    "polak_ribiere": lambda g, before, d: max((g @ (g - before)) / (before @ before), 0.0),
    "hestenes_stiefel": lambda g, before, d: (g @ (g - before)) / (d @ (g - before)),
}


class NonlinearCG(FullBatchOptimizer):
    """Nonlinear conjugate gradients (Fletcher & Reeves 1964; Nocedal & Wright 2006, algorithm 5.4).

    θ ← θ + td, then d ← −g + βd, initially d = −g. g₋ is the previous gradient:

    - ``beta="fletcher_reeves"``:  β = gᵀg / g₋ᵀg₋
    - ``beta="polak_ribiere"``:    β = max(gᵀ(g − g₋) / g₋ᵀg₋, 0), known as PR+
    - ``beta="hestenes_stiefel"``: β = gᵀ(g − g₋) / dᵀ(g − g₋)

    State: d and the previous value, from which t is guessed; t satisfies the strong Wolfe conditions (c₂ = 0.1). If d
    is not a descent direction, it is reset to −g. On a quadratic with exact t these are the conjugate gradients of
    Hestenes & Stiefel (1952): n steps. SciPy's ``minimize(method="CG")`` is PR+ too; PyTorch and Keras have none.

    Parameters
    ----------
    beta : "polak_ribiere" (default), "fletcher_reeves" or "hestenes_stiefel".
    tol : the gradient norm at which the iteration stops, default 1e-10.

    Examples
    --------
    >>> from nncore.landscapes import Rosenbrock
    >>> NonlinearCG().minimize(Rosenbrock(), [-1.2, 1.0], steps=50).theta[-1].round(6)
    array([1., 1.])
    """

    name = "nonlinear_cg"
    beta: Choice = Choice(*BETAS)

    def __init__(self, beta: str = "polak_ribiere", tol: float = 1e-10) -> None:
        self.beta = beta
        super().__init__(tol)

    def initial_state(self, n: int) -> dict[str, Array]:
        return {"direction": np.zeros(n)}

    def initial_numbers(self) -> Row:
        return {"previous_value": 0.0}

    def iteration(self, f: Evaluated, point: Point) -> tuple[Point, Row]:
        d, g = self.state["direction"], point.gradient
        if not float(g @ d) < 0:
            d[...] = -g
        # first t: the first-order change equals that of the last step; in the first iteration the step length is at most 1
        for_length_one = point.value + float(np.linalg.norm(g)) / 2
        previous = self.numbers["previous_value"] if self.step_count else for_length_one
        found = strong_wolfe(f, point, d, c2=0.1, previous=previous)
        if found is None and not np.array_equal(d, -g):
            d[...] = -g
            found = strong_wolfe(f, point, d, c2=0.1, previous=for_length_one)
        if found is None:
            self.stopped = why_no_step(f, point)
            return point, {}
        new, step = found
        self.numbers["previous_value"] = point.value
        with np.errstate(all="ignore"):
            beta = float(BETAS[self.beta](new.gradient, g, d))
        d[...] = -new.gradient + beta * d if np.isfinite(beta) else -new.gradient
        return new, {"step_size": step, "beta": beta}
