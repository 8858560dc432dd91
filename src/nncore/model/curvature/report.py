"""A report on the curvature of a loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.linalg import LinearOperator

from nncore import regularizers
from nncore._kernels.blas import one_blas_thread
from nncore._utils.arrays import Array
from nncore._utils.checks import as_floats
from nncore._utils.fields import count, flag, number
from nncore._utils.figures import COLORS, Axes, Figure, SavePath, finish, one_axes
from nncore.losses import Loss
from nncore.model.curvature.operators import GaussNewtonOperator, HessianOperator
from nncore.model.curvature.spectrum import extremes, lanczos_quadrature
from nncore.model.network import Network
from nncore.regularizers import Regularizer

__all__ = ["Curvature", "curvature"]


@dataclass(frozen=True, repr=False)
class Curvature:
    """Eigenvalues of a Hessian or Gauss-Newton matrix, and derived quantities: the result of `curvature`.

    Attributes
    ----------
    kind : str
        "Hessian" or "Gauss-Newton matrix".
    n : int
        Number of parameters.
    exact : bool
        Whether all eigenvalues were computed; otherwise trace, density and counts are estimates from random probes.
    smallest, largest : ndarray, ascending
        The extreme eigenvalues; both hold all of them, if exact.
    direction : ndarray, (n,)
        Eigenvector of the largest eigenvalue, of length 1.
    trace, trace_error : float
        Hutchinson's estimate and its standard error; 0 if exact.
    nodes, weights : ndarray
        The spectral density: a fraction ``weights[i]`` of all eigenvalues is near ``nodes[i]``; the weights sum to 1.
    loss : float
        The loss at θ, penalty included.
    radius, rise : float
        The loss rises by ``rise`` from θ to the higher of the two points θ ± radius · direction.
    """

    kind: str
    n: int
    exact: bool
    smallest: Array
    largest: Array
    direction: Array = field(repr=False)
    trace: float
    trace_error: float
    nodes: Array = field(repr=False)
    weights: Array = field(repr=False)
    loss: float
    radius: float
    rise: float

    @property
    def sharpness(self) -> float:
        """The largest eigenvalue. Gradient descent on the quadratic model diverges beyond a learning rate of 2 / sharpness."""
        return float(self.largest[-1])

    @property
    def most_negative(self) -> float:
        """The smallest eigenvalue, if it is negative; otherwise 0."""
        return min(0.0, float(self.smallest[0])) if self.smallest[0] < -self._zero else 0.0

    @property
    def _zero(self) -> float:
        """Eigenvalues up to this absolute value are rounding errors."""
        precision = float(np.finfo(self.direction.dtype).eps) * math.sqrt(self.n)
        return 10 * precision * max(abs(float(self.smallest[0])), abs(float(self.largest[-1])))

    @property
    def negative_directions(self) -> int:
        """Number of eigenvalues below −0.001 max |λ|, clearly negative ones. An estimate, if not exact."""
        size = max(abs(float(self.smallest[0])), abs(float(self.largest[-1])))
        return round(self.n * float(self.weights[self.nodes < -1e-3 * size].sum()))

    @property
    def condition_number(self) -> float:
        """max |λ| / min |λ|; infinite if an eigenvalue is 0 to rounding.

        If not exact, λ_max / λ_min of a positive definite matrix; NaN for an indefinite one: its smallest |λ| lie
        inside the spectrum, where Lanczos does not find them.
        """
        if self.exact:
            sizes = np.abs(self.nodes)
            return float(sizes.max() / sizes.min()) if sizes.min() > self._zero else math.inf
        if self.smallest[0] < -self._zero:
            return math.nan
        return float(self.largest[-1] / self.smallest[0]) if self.smallest[0] > self._zero else math.inf

    def density(self, at: ArrayLike, width: float | None = None) -> Array:
        """The spectral density: each node as a normal distribution of standard deviation ``width``, default 1% of the range.

        Where all eigenvalues are the same, 1% of their absolute value; of zeros 0.01.
        """
        low, high = float(self.smallest[0]), float(self.largest[-1])
        width = 0.01 * (high - low or abs(high) or 1.0) if width is None else number("width", width, above=0)
        z = (as_floats(at, "at")[..., None] - self.nodes) / width
        return np.asarray((np.exp(-0.5 * z * z) * self.weights).sum(axis=-1) / (width * math.sqrt(2 * math.pi)))

    def plot(self, path: SavePath = None, ax: Axes | None = None) -> Figure:
        """Plot the spectral density on a logarithmic axis, with the extreme eigenvalues as marks."""
        figure, ax = one_axes("Curvature.plot", path, ax)
        low, high = float(self.smallest[0]), float(self.largest[-1])
        margin = 0.05 * (high - low) or 1.0
        at = np.linspace(low - margin, high + margin, 1000)
        density = self.density(at)
        ax.semilogy(at, density, color=COLORS[0], label="spectral density")
        ax.fill_between(at, density, 1e-300, color=COLORS[0], alpha=0.15, linewidth=0)
        ends = np.unique(np.concatenate([self.smallest, self.largest]))
        floor = max(density.max() * 1e-8, 0.3 * float(density[density > 0].min()))
        label = "all eigenvalues" if self.exact else "eigenvalues of either end"
        ax.plot(ends, np.full(len(ends), 2.5 * floor), "|", color=COLORS[1], markersize=12, markeredgewidth=1.2, label=label)
        ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
        ax.set_ylim(floor, 3 * density.max())
        ax.set_xlabel(f"eigenvalue of the {self.kind}")
        ax.set_ylabel("density")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0.2)
        return finish(figure, path)

    def __repr__(self) -> str:
        about = "" if self.exact else "about "
        predicted = 0.5 * self.radius**2 * self.sharpness
        trace = f"{self.trace:.6g}" + ("" if self.exact else f" +- {self.trace_error:.2g}")
        condition = self.condition_number
        rows = [
            ("largest eigenvalues", ", ".join(f"{value:.6g}" for value in self.largest[-3:][::-1])),
            ("smallest eigenvalues", ", ".join(f"{value:.6g}" for value in self.smallest[:3])),
            ("condition number", "not defined by the extremes: indefinite" if math.isnan(condition) else f"{condition:.4g}"),
            ("trace", trace),
            ("negative directions", f"{about}{self.negative_directions} of {self.n}"),
            ("loss", f"{self.loss:.6g}"),
            (f"rise within {self.radius:g}", f"{self.rise:.4g} (rho^2 lambda / 2 = {predicted:.4g})"),
        ]
        how = "all eigenvalues" if self.exact else "Lanczos and random probes"
        return "\n".join([f"{self.kind}, {self.n} parameters: {how}", *(f"  {name:<22}{value}" for name, value in rows)])


@one_blas_thread()
def curvature(
    model: Network, X: Any, y: Any, loss: Loss | str | Callable[..., Any], *, regularizer: Regularizer | None = None,
    gauss_newton: bool = False, k: int = 3, exact_up_to: int = 500, probes: int = 10, steps: int = 60, radius: float = 0.05,
    tol: float = 1e-4, seed: int = 0,
) -> Curvature:  # fmt: skip
    """Analyze the curvature of the mean loss at the model's parameters.

    Up to ``exact_up_to`` parameters the matrix is formed and all its eigenvalues are computed. For more parameters, Lanczos'
    method finds the k smallest and k largest eigenvalues, and random probes estimate trace and spectral density: about
    ``probes · steps`` products, each about as expensive as a gradient. The result prints as a table; its ``plot()`` draws the
    spectrum. Sources: Lanczos (1950); Hutchinson (1990); for the density Ghorbani, Krishnan, Xiao (2019); for sharpness Keskar
    et al. (2017).

    Parameters
    ----------
    model, X, y, loss, regularizer : as for `HessianOperator`
    gauss_newton : bool
        Use the Gauss-Newton matrix instead of the Hessian.
    k : int
        Number of eigenvalues at each end, if not all are computed.
    exact_up_to : int
        Number of parameters up to which all eigenvalues are computed.
    probes, steps : int
        Number of random vectors, and of Lanczos steps for each.
    radius : float
        Distance ρ = ‖Δθ‖ at which the loss is evaluated along the direction of largest curvature.
    tol : float
        Tolerance of the extreme eigenvalues, relative to the width of the spectrum.
    seed : int
        Seed of the probes.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(1, bias=False)], input_shape=2, dtype="float64", seed=0)
    >>> report = curvature(model, np.diag([1.0, 3.0]), np.zeros(2), "squared_error")  # H = diag(1, 9) / 2
    >>> report.largest, report.condition_number, report.trace
    (array([0.5, 4.5]), 9.0, 5.0)
    """
    number("radius", radius, above=0)
    for name, value in (("k", k), ("probes", probes), ("steps", steps)):
        count(name, value)
    exact_up_to, seed = count("exact_up_to", exact_up_to, 0), count("seed", seed, 0)
    tol, gauss_newton = number("tol", tol, 0, below=1), flag("gauss_newton", gauss_newton)
    regularizer = regularizers.get(regularizer, model)
    operator = (GaussNewtonOperator if gauss_newton else HessianOperator)(model, X, y, loss, regularizer)
    n = operator.shape[0]
    if n <= max(exact_up_to, 2 * k + 1):
        values, vectors = np.linalg.eigh(operator.matrix().astype(np.float64))
        found: dict[str, Any] = {
            "exact": True, "smallest": values, "largest": values, "nodes": values, "weights": np.full(n, 1 / n),
            "trace": float(values.sum()), "trace_error": 0.0,
        }  # fmt: skip
        direction = vectors[:, -1]
    else:
        double = LinearOperator((n, n), dtype=np.float64, matvec=operator.products)
        smallest, largest, direction = extremes(double, k, tol, seed)
        # of numbers around 1 no square overflows or becomes 0
        size = _power_of_two(max(abs(float(smallest[0])), abs(float(largest[-1]))))
        scaled = LinearOperator((n, n), dtype=np.float64, matvec=lambda v: operator.products(v) / size)
        nodes, weights, traces = lanczos_quadrature(scaled, probes, steps, seed)
        error = float(traces.std(ddof=1) / math.sqrt(probes)) if probes > 1 else math.nan
        found = {
            "exact": False, "smallest": smallest, "largest": largest, "nodes": size * nodes, "weights": weights,
            "trace": size * float(traces.mean()), "trace_error": size * error,
        }  # fmt: skip
    direction = direction.astype(model.dtype)
    start, rise = _rise(model, X, y, loss, regularizer, radius * direction)
    kind = "Gauss-Newton matrix" if gauss_newton else "Hessian"
    return Curvature(kind=kind, n=n, direction=direction, loss=start, radius=float(radius), rise=rise, **found)


def _power_of_two(size: float) -> float:
    """Near a size, by which numbers are divided without rounding; 1 for 0."""
    return math.ldexp(1.0, math.frexp(size)[1] - 1) if size else 1.0


def _rise(model: Network, X: Any, y: Any, loss: Any, regularizer: Regularizer | None, step: Array) -> tuple[float, float]:
    """The loss at θ, and its increase at the higher of the two points θ ± step."""
    probe = model.copy()

    def at(theta: Array) -> float:
        probe.parameters[...] = theta
        penalty = regularizer.value(probe) if regularizer else 0.0
        return probe.loss_and_gradient(X, y, loss)[0] + penalty

    start, *sides = (at(model.parameters + sign * step) for sign in (0, 1, -1))
    return start, max(sides) - start
