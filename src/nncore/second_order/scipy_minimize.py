"""All methods of `scipy.optimize.minimize`, one iteration at a time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.optimize

from nncore._utils.fields import Choice, Field, mapping
from nncore.errors import DivergenceError
from nncore.second_order.base import FullBatchOptimizer, Row
from nncore.second_order.objective import Array, Evaluated, Point

__all__ = ["ScipyMinimize"]

NO_GRADIENT = ("Nelder-Mead", "Powell", "COBYLA", "COBYQA")
GRADIENT = ("CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP")
HESSIAN_PRODUCT = ("Newton-CG", "trust-ncg", "trust-krylov", "trust-constr")
HESSIAN = ("dogleg", "trust-exact")
METHODS = (*NO_GRADIENT, *GRADIENT, *HESSIAN_PRODUCT, *HESSIAN)

POINTS_KEPT = 64
PORTION = 0.05  # seconds after which iterates are handed over


def _given(value: Any) -> bool:
    """Whether bounds or constraints, in any of SciPy's forms, are given."""
    return value is not None and (not hasattr(value, "__len__") or len(value) > 0)


class ScipyMinimize(FullBatchOptimizer):
    """θ ← the next iterate of ``scipy.optimize.minimize`` (Virtanen et al. 2020), for any method.

    Methods that use a gradient get value and gradient; those that use second derivatives get exact products Hv or the matrix H.
    SciPy's stopping rules also end the iteration; ``stopped`` has its message. The state is SciPy's and cannot be saved: every
    call of ``fit`` and ``minimize`` starts from scratch, and so does the method when a callback changes the parameters.

    Parameters
    ----------
    method : default "L-BFGS-B"
        "Nelder-Mead", "Powell", "COBYLA", "COBYQA" (values only); "CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP" (gradients);
        "Newton-CG", "trust-ncg", "trust-krylov", "trust-constr" (Hessian products); "dogleg", "trust-exact" (the Hessian).
    tol : the gradient norm at which the iteration stops, default 1e-10.
    bounds, constraints : as for SciPy, default none.
    options : options of the method by name, such as ``gtol=1e-9`` or ``maxcor=20``.

    Examples
    --------
    >>> from nncore.landscapes import Rosenbrock
    >>> ScipyMinimize("trust-exact", gtol=1e-9).minimize(Rosenbrock(), [-1.2, 1.0], steps=40).theta[-1].round(6)
    array([1., 1.])
    """

    name = "scipy_minimize"
    method: Choice = Choice(*METHODS)
    bounds: Field[Any, Any] = Field()  # SciPy checks these
    constraints: Field[Any, Any] = Field()
    options: Field[Any, Any] = Field()

    def __init__(
        self, method: str = "L-BFGS-B", tol: float = 1e-10, bounds: Any = None, constraints: Any = (), **options: Any
    ) -> None:
        self.method = method
        self.bounds, self.constraints, self.options = bounds, constraints, options
        self._search: _Search | None = None
        super().__init__(tol)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_search": None}  # a copy starts from scratch, and leaves the original's search alone

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        self.close()  # a running search uses the values it was started with
        super().check_fields(assigned)

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), **self.options}

    def configure(self, config: Mapping[str, Any]) -> None:
        """Only method and tolerance: SciPy's other arguments cannot be rebuilt from a description."""
        if other := sorted(set(mapping("config", config)) - {"method", "tol"}):
            raise ValueError(f"{other[0]} of ScipyMinimize cannot be set from a description, only method and tol")
        super().configure(config)

    def __repr__(self) -> str:
        given = {name: value for name in ("bounds", "constraints") if _given(value := getattr(self, name))}
        shown = "".join(f", {name}={value!r}" for name, value in ({"tol": self.tol} | given | self.options).items())
        return f"ScipyMinimize({self.method!r}{shown})"

    def iterations(self, f: Evaluated, point: Point, most: int) -> list[tuple[Point, Row]]:
        search = self._search
        if search is None or search.f is not f or not np.array_equal(search.theta, point.theta):
            self.close()
            search = self._search = _Search(self, f, point)
        found = search.next(most)
        if search.message:
            self.stopped = f"SciPy's {self.method}: {search.message}"
        return found

    def close(self) -> None:
        """End SciPy's loop."""
        if self._search is not None:
            self._search.end()
            self._search = None


class _Ended(Exception):
    """Raised within SciPy's loop when no further iterate is requested."""


class _Search:
    """A call of ``minimize`` in a separate thread, which waits after some iterates until the next ones are requested."""

    def __init__(self, optimizer: ScipyMinimize, f: Evaluated, point: Point) -> None:
        self.optimizer, self.f, self.theta = optimizer, f, point.theta
        self.message = ""
        self._seen = {point.theta.tobytes(): point}
        self._wanted: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._found: queue.SimpleQueue[list[tuple[Point, Row]] | BaseException] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="nncore-scipy-minimize", daemon=True)
        self._thread.start()

    def next(self, most: int) -> list[tuple[Point, Row]]:
        """The next iterates, at most so many."""
        self._wanted.put(most)
        found = self._found.get()
        if isinstance(found, BaseException):
            raise found
        self.theta = found[-1][0].theta
        return found

    def end(self) -> None:
        self._wanted.put(0)
        self._thread.join()

    # ---- in the thread

    def _run(self) -> None:
        try:
            self._wait()
            try:
                with np.errstate(all="ignore"):
                    result = self._minimize()
                    self._keep(result.x)
                self.message = str(result.message)
            except _Ended:
                raise
            except BaseException as error:
                if self._iterates:
                    self._hand_over()
                self._found.put(error)
            else:
                self._found.put(self._iterates)
        except _Ended:
            pass

    def _wait(self) -> None:
        self._most = self._wanted.get()
        if not self._most:
            raise _Ended
        self._iterates: list[tuple[Point, Row]] = []
        self._requested = time.perf_counter()
        self._begin()

    def _begin(self) -> None:
        self._counts = self.f.products, self.f.evaluations, time.perf_counter()

    def _hand_over(self) -> None:
        self._found.put(self._iterates)
        self._wait()

    def _iterate(self, theta: Array, *state: Any) -> None:
        """SciPy's callback."""
        point = self._keep(theta)
        small = np.linalg.norm(point.gradient) <= self.optimizer.tol
        late = time.perf_counter() - self._requested > PORTION
        if len(self._iterates) == self._most or small or late or self.f.interrupt.pressed():
            self._hand_over()

    def _keep(self, theta: Array) -> Point:
        """Add the iterate to those found."""
        point = self._at(np.array(theta, np.float64))
        if not point.finite:
            raise DivergenceError(
                f"SciPy's {self.optimizer.method} reached a point where the loss or the gradient is not finite. The last "
                "finite parameters are in place"
            )
        products, evaluations, begin = self._counts
        row = {"hessian_products": float(self.f.products - products)} if self.optimizer.method in HESSIAN_PRODUCT else {}
        row |= {"evaluations": float(self.f.evaluations - evaluations), "seconds": time.perf_counter() - begin}
        self._iterates.append((point, row))
        self._begin()
        return point

    def _minimize(self) -> Any:
        optimizer, method = self.optimizer, self.optimizer.method
        curvature: dict[str, Any] = {"hessp": self.f.product} if method in HESSIAN_PRODUCT else {}
        curvature |= {"hess": self.f.hessian} if method in HESSIAN else {}
        gradient = method not in NO_GRADIENT
        endless = {} if method == "TNC" else {"maxiter": 1_000_000_000}  # the trainer counts
        return scipy.optimize.minimize(
            self._value_and_gradient if gradient else self._value, self.theta.copy(), method=method, jac=gradient or None,
            bounds=optimizer.bounds, constraints=optimizer.constraints, callback=self._iterate,
            options=endless | optimizer.options, **curvature,
        )  # fmt: skip

    def _at(self, theta: Array) -> Point:
        key = theta.tobytes()
        if key not in self._seen:
            if len(self._seen) >= POINTS_KEPT:
                self._seen.pop(next(iter(self._seen)))
            self._seen[key] = self.f.at(theta)
        return self._seen[key]

    def _value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        point = self._at(theta)
        return (point.value if np.isfinite(point.value) else np.inf), point.gradient.copy()

    def _value(self, theta: Array) -> float:
        return self._value_and_gradient(theta)[0]
