"""Fair comparison: every optimizer gets its learning rate from a search of the same cost, and fresh starts to show it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nncore.errors import DivergenceError
from nncore.figures import finish, new_figure
from nncore.landscapes._figures import legend, looks, loss_axis
from nncore.landscapes.functions import Landscape
from nncore.optimizers import Optimizer
from nncore.schedules import count, number
from nncore.tables import html_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Comparison", "Search", "compare", "random_starts", "search_lr"]

Array = NDArray[np.float64]
Factory = Callable[[float], Optimizer]


@dataclass(frozen=True)
class Search:
    """What `search_lr` tried.

    Attributes
    ----------
    lr : float
        The best learning rate.
    rates : ndarray (budget,)
        All that were tried, ascending.
    scores : ndarray (budget,)
        Of each, the final loss that most of the runs came below; infinite where too many diverged.
    at_edge : bool
        The best is the least or the greatest that was tried: the range was too small.
    """

    lr: float
    rates: Array
    scores: Array

    @property
    def at_edge(self) -> bool:
        return self.lr in (self.rates[0], self.rates[-1])


def search_lr(
    factory: Factory, f: Any, x0: ArrayLike, steps: int, budget: int = 16, low: float = 1e-4, high: float = 1e1,
    quantile: float = 0.75,
) -> Search:  # fmt: skip
    """Search the learning rate with the smallest final loss, in a quantile over the starts.

    Half of the budget goes to a grid from `low` to `high`, even in log(lr); the other half, also even, between the two
    neighbours of the best. A loss that is no number, and a divergence, count as infinite.

    Parameters
    ----------
    factory : function of a learning rate that makes an optimizer
    f : landscape, or any f that `Optimizer.minimize` takes
    x0 : a start (n,), or several (starts, n)
    steps : of each run
    budget : learning rates to try, at least 4
    low, high : range of the grid
    quantile : default 0.75
        The median would take learning rates with which nearly half of the runs diverge.

    Examples
    --------
    >>> import nncore as nn
    >>> from nncore.landscapes import Quadratic
    >>> found = search_lr(lambda lr: nn.SGD(lr=lr), Quadratic([1.0, 9.0]), [1.0, 1.0], steps=100, budget=40)
    >>> len(found.rates), round(found.lr, 1)   # 2/(1 + 9)
    (40, 0.2)
    """
    starts, budget = np.atleast_2d(np.asarray(x0)), count("budget", budget, 4)
    low = number("low", low, above=0)
    high = number("high", high, above=low)

    def score(lr: float) -> float:
        return float(np.quantile(_runs(factory, lr, f, starts, steps)[:, -1], quantile, method="higher"))

    coarse = np.geomspace(low, high, (budget + 1) // 2)
    scores = np.array([score(lr) for lr in coarse])
    best = int(np.argmin(scores))
    left, right = coarse[max(best - 1, 0)], coarse[min(best + 1, coarse.size - 1)]
    # two shares of the points, one on each side of the best, which is known already
    lower = budget // 4 if left < coarse[best] < right else budget // 2 * (left < coarse[best])
    upper = budget // 2 - lower
    fine = np.concatenate(
        (np.geomspace(left, coarse[best], lower + 2)[1:-1], np.geomspace(coarse[best], right, upper + 2)[1:-1])
    )  # fmt: skip
    rates, scores = np.append(coarse, fine), np.append(scores, [score(lr) for lr in fine])
    order = np.argsort(rates)
    return Search(float(rates[np.argmin(scores)]), rates[order], scores[order])


def _runs(factory: Factory, lr: float, f: Any, starts: Array, steps: int) -> Array:
    """The losses (starts, steps + 1) of a run from each start, infinite from where it diverged."""
    losses = np.full((len(starts), steps + 1), np.inf)
    for row, start in zip(losses, starts, strict=True):
        try:
            loss = factory(float(lr)).minimize(f, start, steps).loss
        except DivergenceError as error:
            loss = error.path.loss
        row[: loss.size] = loss
    return losses


def random_starts(f: Landscape, starts: int, seed: int = 0, spread: float = 0.1) -> Array:
    """Points around ``f.start``, normally distributed: (starts, n).

    `spread` is the standard deviation as a share of the width of ``f.bounds``.

    Examples
    --------
    >>> from nncore.landscapes import Beale
    >>> random_starts(Beale(), 5).shape
    (5, 2)
    """
    width = f.bounds[:, 1] - f.bounds[:, 0]
    noise = np.random.default_rng(seed).normal(size=(count("starts", starts), f.start.size))
    return np.asarray(f.start + spread * width * noise)


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`; printed, a table, the best median first.

    Attributes
    ----------
    lr : dict of str to float
        The learning rate found for each optimizer.
    losses : dict of str to ndarray (starts, steps + 1)
        Loss − minimum of each optimizer from each fresh start; infinite after a divergence.
    searches : dict of str to Search
    quantiles : (float, float)
        Of the band.
    title : str
    unit, measure : str
        What the axes of the picture are called.
    """

    lr: dict[str, float]
    losses: dict[str, Array]
    searches: dict[str, Search]
    quantiles: tuple[float, float]
    title: str
    unit: str = "step"
    measure: str = "loss − minimum"

    def band(self, name: str) -> tuple[Array, Array, Array]:
        """Lower quantile, median and upper quantile at each step: three arrays (steps + 1,)."""
        low, high = self.quantiles
        lower, median, upper = np.quantile(self.losses[name], [low, 0.5, high], axis=0, method="nearest")
        return lower, median, upper

    @property
    def ranking(self) -> list[str]:
        """The names by final median loss, the best first."""
        return sorted(self.losses, key=lambda name: float(self.band(name)[1][-1]))

    def __repr__(self) -> str:
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
        return "\n".join([*(line.rstrip() for line in lines), *self._notes()])

    def _repr_html_(self) -> str:
        """The same table, for notebooks."""
        return html_table(self._rows(), self._notes())

    def _rows(self) -> list[list[str]]:
        low, high = self.quantiles
        head = ["optimizer", "lr", "final loss: median", f"{100 * low:g} %", f"{100 * high:g} %", "diverged"]
        return [head, *(self._row(name) for name in self.ranking)]

    def _notes(self) -> list[str]:
        at_edge = any(search.at_edge for search in self.searches.values())
        return ["* the least or greatest learning rate tried"] * at_edge

    def _row(self, name: str) -> list[str]:
        lower, median, upper = (values[-1] for values in self.band(name))
        edge = "*" if self.searches[name].at_edge else ""
        diverged = f"{np.isinf(self.losses[name][:, -1]).sum()}/{len(self.losses[name])}"
        return [name, f"{self.lr[name]:.3g}{edge}", *(f"{loss:.2e}" for loss in (median, lower, upper)), diverged]

    def plot(self, path: str | os.PathLike[str] | None = None, ax: Axes | None = None) -> Figure:
        """Draw the median loss of each optimizer, and its quantiles as a band. What diverges leaves through the top.

        Parameters
        ----------
        path : path-like, optional
            Save the picture there; the suffix says the format.
        ax : Axes, optional
            Draw there.
        """
        figure: Any = new_figure("Comparison.plot", (8.6, 4.8), path) if ax is None else ax.figure
        ax = figure.add_subplot() if ax is None else ax
        loss_axis(ax, [curve for name in self.losses for curve in self.band(name)])
        for name in self.ranking:
            self._draw(ax, name, list(self.losses).index(name))
        low, high = self.quantiles
        runs = len(next(iter(self.losses.values())))
        ax.set(xlabel=self.unit, ylabel=self.measure)
        ax.set_title(f"{self.title}: median and {100 * low:g}–{100 * high:g} % band of {runs} starts")
        ax.grid(alpha=0.25)
        legend(ax)
        return finish(figure, path)

    def _draw(self, ax: Axes, name: str, i: int) -> None:
        look = looks(i, len(self.losses))
        lower, median, upper = self.band(name)
        steps = np.arange(median.size)
        every = max(1, median.size // 8)
        finite = np.isfinite(upper)  # a band without an upper end would cover the others
        ax.fill_between(
            steps,
            np.where(finite, lower, 0),
            np.where(finite, upper, 0),
            where=finite,
            color=look["color"],
            alpha=0.12,
            linewidth=0,
        )
        diverged = int((~np.isfinite(np.asarray(self.losses[name])[:, -1])).sum())
        label = f"{name}, lr {self.lr[name]:.2g}" + (f"; {diverged} diverged" if diverged else "")
        median = np.where(np.isfinite(median), median, np.nan)
        ax.plot(steps, median, markevery=(i * every // len(self.losses), every), label=label, **look)


def compare(
    factories: Mapping[str, Factory],
    f: Landscape,
    steps: int = 200,
    budget: int = 16,
    starts: int = 15,
    seed: int = 0,
    spread: float = 0.1,
    low: float = 1e-4,
    high: float = 1e1,
    quantiles: tuple[float, float] = (0.1, 0.9),
) -> Comparison:
    """Search a learning rate for every optimizer on the same budget, then race them from fresh starts.

    The search sees `starts` points, the race as many others. Both are drawn around ``f.start``, and are the same for
    every optimizer.

    Parameters
    ----------
    factories : mapping of name to a function of a learning rate that makes an optimizer
    f : Landscape
    steps : of every run
    budget, low, high : as in `search_lr`
    starts, seed, spread : as in `random_starts`
    quantiles : of the band

    Examples
    --------
    >>> import nncore as nn
    >>> from nncore.landscapes import Quadratic
    >>> result = compare({"SGD": lambda lr: nn.SGD(lr=lr), "Momentum": lambda lr: nn.Momentum(lr=lr, momentum=0.7)},
    ...                  Quadratic(condition=100.0), steps=100, budget=12, starts=5)
    >>> result.ranking
    ['Momentum', 'SGD']
    """
    if not factories:
        raise ValueError("factories: expected at least one, got none")
    here, fresh = random_starts(f, 2 * count("starts", starts), seed, spread).reshape(2, starts, -1)
    searches = {name: search_lr(factory, f, here, steps, budget, low, high) for name, factory in factories.items()}
    lowest = f.lowest or 0.0
    losses = {
        name: _runs(factory, searches[name].lr, f, fresh, steps) - lowest for name, factory in factories.items()
    }  # fmt: skip
    rates = {name: search.lr for name, search in searches.items()}
    return Comparison(rates, losses, searches, quantiles, f.name.replace("_", " ").capitalize())
