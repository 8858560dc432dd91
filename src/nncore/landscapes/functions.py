"""Test functions for optimizers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nncore._kernels.blas import one_blas_thread
from nncore._messages import shown
from nncore._utils.checks import as_floats
from nncore._utils.fields import Value, arguments, number
from nncore._utils.registry import classes

__all__ = ["LANDSCAPES", "Beale", "Himmelblau", "Landscape", "LongValley", "Quadratic", "Rosenbrock", "Saddle"]

Array = NDArray[np.float64]


class Landscape(Value, ABC):
    """A function f of n variables with its derivatives, in double precision.

    Points lie along the last axis: x of shape (n,) or, for many points at once, (…, n). Where f is too large for double
    precision it is infinite or NaN; optimizers turn that into `DivergenceError`.

    Attributes
    ----------
    name : str
        The key in ``LANDSCAPES``.
    start : ndarray (n,)
        A starting point.
    bounds : ndarray (n, 2)
        Lowest and highest coordinate of the part worth drawing.
    minima : ndarray (minima, n)
        The global minima; no rows if there is none.
    lowest : float or None
        The value there.

    Examples
    --------
    >>> f = Rosenbrock()
    >>> f.value(f.start), f.value([[0.0, 0.0], [1.0, 1.0]])
    (24.199999999999996, array([1., 0.]))
    """

    name: ClassVar[str]
    start: Array
    bounds: Array
    minima: Array
    lowest: float | None = 0.0

    def __init__(self, start: ArrayLike, bounds: ArrayLike, minima: ArrayLike) -> None:
        self.start = np.asarray(start, np.float64)
        self.bounds = np.asarray(bounds, np.float64)
        self.minima = np.asarray(minima, np.float64).reshape(-1, self.start.size)

    if not TYPE_CHECKING:  # for type checkers a misspelled name is an error

        def __setattr__(self, name: str, value: Any) -> None:
            if self._takes_no_more() and name in {*arguments(type(self)).values(), "start", "bounds", "minima", "matrix"}:
                raise AttributeError(
                    f"{name} is fixed once the landscape is made, got {shown(value)}: make a new {type(self).__name__}"
                )
            super().__setattr__(name, value)

    @property
    def minimum(self) -> Array | None:
        """The global minimum, the first of them if there are several, None if there is none."""
        return self.minima[0] if len(self.minima) else None

    def value(self, x: ArrayLike) -> Any:
        """The value f(x): a float for one point, an array (…,) for points (…, n)."""
        with np.errstate(over="ignore", invalid="ignore"):
            values = self._value(self._points(x))
        return float(values) if np.ndim(values) == 0 else values

    def gradient(self, x: ArrayLike) -> Array:
        """∇f at x, of the shape of x."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._gradient(self._points(x))

    def hessian(self, x: ArrayLike) -> Array:
        """The second derivatives at x: (…, n, n)."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._hessian(self._points(x))

    def value_and_gradient(self, x: ArrayLike) -> tuple[Any, Array]:
        """Value and gradient, as `Optimizer.minimize` needs them."""
        return self.value(x), self.gradient(x)

    def _points(self, x: ArrayLike) -> Array:
        points = as_floats(x, "x")
        if points.ndim == 0 or points.shape[-1] != self.start.size:
            raise ValueError(f"x must have {self.start.size} numbers along the last axis, got shape {points.shape}")
        return points

    @abstractmethod
    def _value(self, points: Array) -> Array: ...

    @abstractmethod
    def _gradient(self, points: Array) -> Array: ...

    @abstractmethod
    def _hessian(self, points: Array) -> Array: ...


class Beale(Landscape):
    """Beale's function (Beale 1958): a flat floor with a sharp bend, between walls of the sixth and eighth power.

    f(x, y) = Σᵢ rᵢ²,  rᵢ = cᵢ − x(1 − yⁱ),  i = 1, 2, 3,  c = (1.5, 2.25, 2.625). Minimum 0 at (3, ½).

    Examples
    --------
    >>> Beale().value([3.0, 0.5]), Beale().gradient([1.0, 1.0])
    (0.0, array([ 0.  , 27.75]))
    """

    name = "beale"
    _c = np.array([1.5, 2.25, 2.625])
    _i = np.arange(1, 4)

    def __init__(self) -> None:
        super().__init__(start=[1.0, 1.5], bounds=[[-1.0, 4.0], [-1.5, 2.5]], minima=[[3.0, 0.5]])

    def _residuals(self, points: Array) -> tuple[Array, Array, Array]:
        """The residuals r (…, 3), and their derivatives with respect to x and to y."""
        x, y = points[..., :1], points[..., 1:]
        factor = y**self._i - 1
        return self._c + x * factor, factor, x * self._i * y ** (self._i - 1)

    def _value(self, points: Array) -> Array:
        r, _, _ = self._residuals(points)
        return np.asarray((r * r).sum(axis=-1))

    def _gradient(self, points: Array) -> Array:
        r, rx, ry = self._residuals(points)
        return 2 * np.stack(((r * rx).sum(axis=-1), (r * ry).sum(axis=-1)), axis=-1)

    def residuals_and_jacobian(self, x: ArrayLike) -> tuple[Array, Array]:
        """√2 r (3,), so that f = ½‖√2 r‖², and its derivatives (3, 2), at one point."""
        r, rx, ry = self._residuals(self._points(x))
        return _half_squares(r, np.stack(np.broadcast_arrays(rx, ry), axis=-1))

    def _hessian(self, points: Array) -> Array:
        r, rx, ry = self._residuals(points)
        x, y, i = points[..., :1], points[..., 1:], self._i
        rxy = i * y ** (i - 1)
        ryy = x * i * (i - 1) * y ** np.maximum(i - 2, 0)
        return 2 * _symmetric((rx * rx).sum(axis=-1), (rx * ry + r * rxy).sum(axis=-1), (ry * ry + r * ryy).sum(axis=-1))


class LongValley(Landscape):
    """A long valley: steep walls, and a floor that slopes a little, evenly, until near the minimum.

    f(x, y) = s(√(1 + x²) − 1) + ½wy². Minimum 0 at the origin. Far out the gradient along the floor is s, across it wy.

    Radford (2014) showed optimizers in such a valley and gave no formula; this one is ours.

    Parameters
    ----------
    slope : s > 0, default 0.05
    wall : w > 0, default 4

    Examples
    --------
    >>> LongValley().gradient([-8.0, 0.8]).round(3)
    array([-0.05,  3.2 ])
    """

    name = "long_valley"

    def __init__(self, slope: float = 0.05, wall: float = 4.0) -> None:
        self.slope, self.wall = number("slope", slope, above=0), number("wall", wall, above=0)
        super().__init__(start=[-8.0, 0.8], bounds=[[-9.5, 3.5], [-1.2, 1.2]], minima=[[0.0, 0.0]])

    def _value(self, points: Array) -> Array:
        x, y = _split(points)
        root = np.sqrt(1 + x * x)
        return np.asarray(self.slope * (x * x / (root + 1)) + self.wall * y * y / 2)

    def _gradient(self, points: Array) -> Array:
        x, y = _split(points)
        return np.stack((self.slope * x / np.sqrt(1 + x * x), self.wall * y), axis=-1)

    def _hessian(self, points: Array) -> Array:
        x, y = _split(points)
        return _symmetric(self.slope / (1 + x * x) ** 1.5, np.zeros_like(x), np.full_like(y, self.wall))


class Saddle(Landscape):
    """The simplest saddle point (Radford 2014; Dauphin et al. 2014 on saddles in networks): down in y, up in x.

    f(x, y) = x² − y². No minimum: once an optimizer escapes, the loss falls without bound.

    Examples
    --------
    >>> Saddle().gradient([1.0, 0.01]), Saddle().minimum is None
    (array([ 2.  , -0.02]), True)
    """

    name = "saddle"
    lowest = None

    def __init__(self) -> None:
        super().__init__(start=[1.0, 0.001], bounds=[[-1.5, 1.5], [-1.5, 1.5]], minima=[])

    def _value(self, points: Array) -> Array:
        x, y = _split(points)
        return np.asarray(x * x - y * y)

    def _gradient(self, points: Array) -> Array:
        x, y = _split(points)
        return np.stack((2 * x, -2 * y), axis=-1)

    def _hessian(self, points: Array) -> Array:
        two = np.full(points.shape[:-1], 2.0)
        return _symmetric(two, np.zeros_like(two), -two)


class Rosenbrock(Landscape):
    """Rosenbrock's function (Rosenbrock 1960): a bent valley, easy to reach and hard to follow.

    f(x, y) = (a − x)² + b(y − x²)². Minimum 0 at (a, a²).

    Parameters
    ----------
    a : default 1
    b : > 0, default 100

    Examples
    --------
    >>> Rosenbrock().gradient([-1.2, 1.0]).round(10), Rosenbrock(a=2.0).minimum
    (array([-215.6,  -88. ]), array([2., 4.]))
    """

    name = "rosenbrock"

    def __init__(self, a: float = 1.0, b: float = 100.0) -> None:
        self.a, self.b = number("a", a, -1e150, most=1e150), number("b", b, above=0)
        super().__init__(start=[-1.2, 1.0], bounds=[[-2.0, 2.0], [-1.0, 3.0]], minima=[[self.a, self.a * self.a]])

    def _value(self, points: Array) -> Array:
        x, y = _split(points)
        return np.asarray((self.a - x) ** 2 + self.b * (y - x * x) ** 2)

    def _gradient(self, points: Array) -> Array:
        x, y = _split(points)
        above = y - x * x
        return np.stack((-2 * (self.a - x) - 4 * self.b * x * above, 2 * self.b * above), axis=-1)

    def residuals_and_jacobian(self, x: ArrayLike) -> tuple[Array, Array]:
        """√2 (a − x, √b (y − x²)), so that f is half of its square, and its derivatives (2, 2), at one point."""
        u, v = self._points(x)
        root = math.sqrt(self.b)
        return _half_squares([self.a - u, root * (v - u * u)], [[-1.0, 0.0], [-2 * root * u, root]])

    def _hessian(self, points: Array) -> Array:
        x, y = _split(points)
        return _symmetric(2 - 4 * self.b * (y - 3 * x * x), -4 * self.b * x, np.full_like(x, 2 * self.b))


class Himmelblau(Landscape):
    """Himmelblau's function (Himmelblau 1972): four minima, all 0.

    f(x, y) = (x² + y − 11)² + (x + y² − 7)². Minima at (3, 2), (−2.805, 3.131), (−3.779, −3.283) and (3.584, −1.848).

    Examples
    --------
    >>> Himmelblau().value([3.0, 2.0]), Himmelblau().minima.round(3).tolist()[1]
    (0.0, [-2.805, 3.131])
    """

    name = "himmelblau"

    def __init__(self) -> None:
        minima = [
            [3.0, 2.0],
            [-2.8051180869527448, 3.1313125182505730],
            [-3.7793102533777469, -3.2831859912861694],
            [3.5844283403304917, -1.8481265269644036],
        ]
        super().__init__(start=[-0.5, 0.0], bounds=[[-6.0, 6.0], [-6.0, 6.0]], minima=minima)

    def _value(self, points: Array) -> Array:
        x, y = _split(points)
        return np.asarray((x * x + y - 11) ** 2 + (x + y * y - 7) ** 2)

    def _gradient(self, points: Array) -> Array:
        x, y = _split(points)
        p, q = x * x + y - 11, x + y * y - 7
        return np.stack((4 * x * p + 2 * q, 2 * p + 4 * y * q), axis=-1)

    def residuals_and_jacobian(self, x: ArrayLike) -> tuple[Array, Array]:
        """√2 (x² + y − 11, x + y² − 7), so that f is half of its square, and its derivatives (2, 2), at one point."""
        u, v = self._points(x)
        return _half_squares([u * u + v - 11, u + v * v - 7], [[2 * u, 1.0], [1.0, 2 * v]])

    def _hessian(self, points: Array) -> Array:
        x, y = _split(points)
        return _symmetric(12 * x * x + 4 * y - 42, 4 * (x + y), 12 * y * y + 4 * x - 26)


class Quadratic(Landscape):
    """A quadratic with chosen eigenvalues: f(x) = ½ xᵀA x,  A = Q diag(λ) Qᵀ (``matrix``). Minimum 0 at the origin.

    Give the eigenvalues, or the condition number κ for the pair (1, κ). Every smooth function looks so near a minimum
    (Nocedal & Wright 2006, chapter 3).

    Eigenvalues belong to the coordinate axes, unless there is a rotation. The pair of a condition number is rotated: where each
    coordinate is an eigenvector, optimizers with a learning rate for each coordinate undo the condition number, which they
    cannot in general.

    Parameters
    ----------
    eigenvalues : λ, all positive, default (1, condition)
    condition : κ >= 1, default 20
    rotation : angle in radians (two variables), or the orthogonal matrix Q (n, n)
        Default 0 with eigenvalues, otherwise 0.5.

    Examples
    --------
    >>> f = Quadratic([1.0, 10.0])
    >>> f.value([1.0, 1.0]), f.gradient([1.0, 1.0]), f.hessian([1.0, 1.0]).tolist()
    (5.5, array([ 1., 10.]), [[1.0, 0.0], [0.0, 10.0]])
    >>> Quadratic(condition=10.0).matrix.round(3)
    array([[ 3.069, -3.787],
           [-3.787,  7.931]])
    """

    name = "quadratic"

    def __init__(
        self, eigenvalues: ArrayLike | None = None, condition: float | None = None, rotation: float | ArrayLike | None = None
    ) -> None:
        if eigenvalues is not None and condition is not None:
            raise ValueError("eigenvalues and condition exclude each other, got both")
        values = np.array([1.0, number("condition", 20.0 if condition is None else condition, 1.0)])
        if eigenvalues is not None:
            values = as_floats(eigenvalues, "eigenvalues")
        if values.ndim != 1 or not values.size or not (np.isfinite(values) & (values > 0)).all():
            raise ValueError(f"eigenvalues must be positive numbers, got {shown(eigenvalues)}")
        self.eigenvalues, self.condition = values.tolist(), float(values.max() / values.min())
        rotation = (0.5 if eigenvalues is None else 0.0) if rotation is None else rotation
        self.rotation = rotation if isinstance(rotation, (Sequence, np.ndarray)) else number("rotation", rotation)
        q = _rotation(self.rotation, values.size)
        with one_blas_thread():
            matrix = values * np.eye(values.size) if q is None else (q * values) @ q.T
            start = np.ones(values.size) if q is None else q @ np.ones(values.size)
        self.matrix: Array = matrix / 2 + matrix.T / 2
        width = np.full(values.size, 1.15 * math.sqrt(values.size))  # there is room for the start, however turned
        super().__init__(start=start, bounds=np.outer(width, [-1.0, 1.0]), minima=np.zeros(values.size))

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, ready for JSON; the condition number follows from the eigenvalues."""
        return {"eigenvalues": self.eigenvalues, "condition": None, "rotation": np.asarray(self.rotation, np.float64).tolist()}

    def __repr__(self) -> str:
        return f"Quadratic(eigenvalues={self.eigenvalues!r}, rotation={self.rotation!r})"

    def _value(self, points: Array) -> Array:
        return np.asarray((points * self._gradient(points)).sum(axis=-1) / 2)

    def _gradient(self, points: Array) -> Array:
        """The matrix times each of the points; not by a BLAS, as a limit of its threads would cost more than the product."""
        return np.asarray(np.einsum("ij,...j->...i", self.matrix, points))

    def _hessian(self, points: Array) -> Array:
        return np.broadcast_to(self.matrix, (*points.shape, points.shape[-1])).copy()


def _split(points: Array) -> tuple[Array, Array]:
    return points[..., 0], points[..., 1]


def _half_squares(residuals: ArrayLike, jacobian: ArrayLike) -> tuple[Array, Array]:
    """Residuals and Jacobian of f = ‖r‖² in the convention f = ½‖r‖² of least squares."""
    return math.sqrt(2) * np.asarray(residuals, np.float64), math.sqrt(2) * np.asarray(jacobian, np.float64)


def _symmetric(xx: Array, xy: Array, yy: Array) -> Array:
    """The matrices ((xx, xy), (xy, yy))."""
    return np.stack((np.stack((xx, xy), axis=-1), np.stack((xy, yy), axis=-1)), axis=-2)


@one_blas_thread()
def _rotation(rotation: float | ArrayLike, n: int) -> Array | None:
    """Q, or None for the identity."""
    q = as_floats(rotation, "rotation")
    if q.ndim == 0:
        if q == 0:
            return None
        if n != 2:
            raise ValueError(f"rotation must be a matrix ({n}, {n}) for {n} eigenvalues, got an angle")
        c, s = math.cos(q), math.sin(q)
        q = np.array([[c, -s], [s, c]])
    if q.shape != (n, n) or not np.allclose(q @ q.T, np.eye(n), rtol=0, atol=1e-10):
        raise ValueError(f"rotation must be an angle or an orthogonal matrix ({n}, {n}), got shape {q.shape}")
    return q


LANDSCAPES = {cls.name: cls for cls in classes(Landscape, __name__)}  # type: ignore[type-abstract]
