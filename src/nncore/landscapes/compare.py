"""Fair comparison: every optimizer gets a learning rate from a search with the same budget, then runs from new starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nncore._messages import shown
from nncore._utils.checks import as_floats, as_numbers
from nncore._utils.fields import count, function, generator, number
from nncore._utils.figures import Axes, Figure, SavePath, finish, loss_axis, new_figure
from nncore._utils.tables import html_table
from nncore.errors import DivergenceError
from nncore.figures import colors
from nncore.landscapes.functions import Array, Landscape
from nncore.optimizers import Optimizer
from nncore.sweeps import SweepTable, sweep

__all__ = ["Comparison", "Search", "compare", "random_starts", "search_lr", "steps_to"]

Factory = Callable[[float], Optimizer]
Score = Callable[[Array], Array]


def steps_to(goal: ArrayLike, losses: ArrayLike) -> Array:
    """The number of steps after which the loss of each run is and stays at most `goal`; infinite where it does not.

    Parameters
    ----------
    goal : number, or one for each run
    losses : (steps + 1,) or (…, steps + 1)
        The first is that of the start, after 0 steps.

    Examples
    --------
    >>> steps_to(0.1, [[1.0, 0.5, 0.1, 0.0], [1.0, 0.1, 0.4, 0.1], [1.0, 0.1, 0.3, 0.2]])
    array([ 2.,  3., inf])
    """
    numbers, goals = as_floats(losses, "losses"), as_floats(goal, "goal")
    if not numbers.size:
        raise ValueError(f"losses must be at least that of the start, got shape {numbers.shape}")
    if not numbers.ndim or (goals.ndim and goals.shape != numbers.shape[:-1]):
        raise ValueError(f"goal must be a number, or one for each run of losses {numbers.shape}, got shape {goals.shape}")
    below = numbers <= goals[..., None]
    stays = np.logical_and.accumulate(below[..., ::-1], axis=-1)[..., ::-1]
    return np.where(stays.any(axis=-1), stays.argmax(axis=-1), np.inf)


def final_loss(losses: Array) -> Array:
    """The last loss of each run."""
    return losses[..., -1]


@dataclass(frozen=True)
class Search:
    """The result of `search_lr`.

    Attributes
    ----------
    lr : float
        The best learning rate.
    rates : ndarray (budget,)
        All rates tried, ascending.
    scores : ndarray (budget,)
        The quantile over the starts of the score, by default the final loss; infinite where too many runs diverged.
    at_edge : bool
        The best rate is the lowest or the highest tried: a better one may lie beyond.
    """

    lr: float
    rates: Array
    scores: Array

    @property
    def at_edge(self) -> bool:
        return self.lr in (self.rates[0], self.rates[-1])


def search_lr(
    factory: Factory, f: Any, x0: ArrayLike, steps: int, budget: int = 16, low: float = 1e-4, high: float = 1e1,
    quantile: float = 0.75, score: Score = final_loss,
) -> Search:  # fmt: skip
    """Search the learning rate with the best score, by default the smallest final loss, in a quantile over the starts.

    Half of the budget is a grid from `low` to `high`, evenly spaced in log(lr); the other half, also evenly spaced, lies
    between the two neighbors of the best. NaN and divergence count as infinite.

    Parameters
    ----------
    factory : function of a learning rate that makes an optimizer
    f : landscape, or any f that `Optimizer.minimize` takes
    x0 : a start (n,), or several (starts, n)
    steps : of each run
    budget : learning rates to try, at least 4
    low, high : range of the grid
    quantile : default 0.75
        The median would accept learning rates with which nearly half of the runs diverge.
    score : function of losses (starts, steps + 1) that returns (starts,), the smaller the better

    Examples
    --------
    >>> import nncore as nn
    >>> from nncore.landscapes import Quadratic
    >>> found = search_lr(lambda lr: nn.SGD(lr=lr), Quadratic([1.0, 9.0]), [1.0, 1.0], steps=100, budget=40)
    >>> len(found.rates), round(found.lr, 1)   # 2/(1 + 9)
    (40, 0.2)
    """
    starts, budget = np.atleast_2d(as_numbers(x0, "x0")), count("budget", budget, 4)
    function("factory", factory)
    function("score", score)
    steps, quantile = count("steps", steps, 0), number("quantile", quantile, 0, most=1)
    low = number("low", low, above=0)
    high = number("high", high, above=low)

    def score_of(lr: float) -> float:
        return float(np.quantile(score(_runs(factory, lr, f, starts, steps)), quantile, method="higher"))

    coarse = np.geomspace(low, high, (budget + 1) // 2)
    scores = _all_scores(score_of, coarse)
    best = int(np.argmin(scores))
    left, right = coarse[max(best - 1, 0)], coarse[min(best + 1, coarse.size - 1)]
    # points on each side of the best, which is known already
    lower = budget // 4 if left < coarse[best] < right else budget // 2 * (left < coarse[best])
    upper = budget // 2 - lower
    fine = np.concatenate(
        (np.geomspace(left, coarse[best], lower + 2)[1:-1], np.geomspace(coarse[best], right, upper + 2)[1:-1])
    )  # fmt: skip
    rates, scores = np.append(coarse, fine), np.append(scores, _all_scores(score_of, fine))
    order = np.argsort(rates)
    return Search(float(rates[np.argmin(scores)]), rates[order], scores[order])


def _all_scores(score_of: Callable[[float], float], rates: Array) -> Array:
    """The score of each learning rate."""
    if not rates.size:
        return np.empty(0)
    return results(
        sweep(lambda lr: {"score": score_of(lr)}, {"lr": rates}, mode="min", threads=1, verbose=0), "score", rates.size
    )


def results(table: SweepTable, column: str, runs: int) -> Array:
    """A column of a sweep of so many runs; what a run has raised is raised, and KeyboardInterrupt if there are fewer."""
    for run in table:
        if run.error is not None and not isinstance(run.error, DivergenceError):
            raise run.error
    if len(table) < runs or any(run.ended == "interrupted" for run in table):
        raise KeyboardInterrupt
    return table.column(column)


def _runs(factory: Factory, lr: float, f: Any, starts: Array, steps: int) -> Array:
    """The losses (starts, steps + 1) of a run from each start, infinite from where it diverged."""
    losses = np.full((len(starts), steps + 1), np.inf)
    for row, start in zip(losses, starts, strict=True):
        optimizer = factory(float(lr))
        if not hasattr(optimizer, "minimize"):
            raise TypeError(f"factory must return an optimizer, got {shown(optimizer)}")
        try:
            loss = optimizer.minimize(f, start, steps).loss
        except DivergenceError as error:
            loss = error.path.loss
        row[: loss.size] = loss
    return losses


def random_starts(f: Landscape, starts: int, seed: int = 0, spread: float = 0.1) -> Array:
    """Points around ``f.start``, normally distributed: (starts, n).

    `spread` is the standard deviation as a fraction of the width of ``f.bounds``.

    Examples
    --------
    >>> from nncore.landscapes import Beale
    >>> random_starts(Beale(), 5).shape
    (5, 2)
    """
    spread = number("spread", spread, 0)
    if not isinstance(f, Landscape):
        raise TypeError(f"f must be a Landscape, got {shown(f)}")
    width = f.bounds[:, 1] - f.bounds[:, 0]
    noise = generator("seed", seed).normal(size=(count("starts", starts), f.start.size))
    with np.errstate(over="ignore"):
        points = np.asarray(f.start + spread * width * noise)
    if not np.isfinite(points).all():
        raise ValueError(f"spread must be so small that the points are finite, got {spread:g}")
    return points


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`; prints as a table, the best first.

    With a goal, the best optimizer is the one whose runs reach it in the fewest steps: losses below it do not matter. Those
    that do not reach it are ranked by the final loss as a fraction of that at the start. Without a goal the final loss decides.

    Attributes
    ----------
    lr : dict of str to float
        The learning rate found for each optimizer.
    losses : dict of str to ndarray (starts, steps + 1)
        Loss − minimum of each optimizer from each new start; infinite after a divergence.
    searches : dict of str to Search
    quantiles : (float, float)
        Of the band.
    title : str
    unit, measure : str
        Labels of the axes of the plot.
    goal : float or None
        The fraction of the loss at the start that a run has to reach.
    """

    lr: dict[str, float]
    losses: dict[str, Array]
    searches: dict[str, Search]
    quantiles: tuple[float, float]
    title: str
    unit: str = "step"
    measure: str = "loss - minimum"
    goal: float | None = None

    def band(self, name: str) -> tuple[Array, Array, Array]:
        """Lower quantile, median and upper quantile at each step: three arrays (steps + 1,)."""
        lower, median, upper = self._three(self.losses[name])
        return lower, median, upper

    def steps(self, name: str) -> Array:
        """The steps of each run to the goal: (starts,); infinite if it does not stay below, or without a goal."""
        return steps_to(-np.inf if self.goal is None else self.goal, _fractions(self.losses[name]))

    @property
    def ranking(self) -> list[str]:
        """The names by median number of steps to the goal; ties by final median loss."""
        return sorted(self.losses, key=lambda name: (self._three(self.steps(name))[1], self._three(self._final(name))[1]))

    @property
    def _runs(self) -> int:
        return len(next(iter(self.losses.values())))

    def _final(self, name: str) -> Array:
        """Final losses for ranking; those below the goal count as the goal."""
        if self.goal is None:
            return self.losses[name][:, -1]
        return np.maximum(_fractions(self.losses[name])[:, -1], self.goal)

    def _three(self, values: Array) -> Array:
        """Lower quantile, median and upper quantile over the runs."""
        low, high = self.quantiles
        return np.quantile(values, [low, 0.5, high], axis=0, method="nearest")

    def _ends(self) -> tuple[str, str]:
        """The names of the ends of the band: min and max for few runs."""
        smallest, _, largest = self._three(np.arange(float(self._runs)))
        low, high = (f"{100 * quantile:g} %" for quantile in self.quantiles)
        return "min" if smallest == 0 else low, "max" if largest == self._runs - 1 else high

    def __repr__(self) -> str:
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
        return "\n".join([*(line.rstrip() for line in lines), *self._notes()])

    def _repr_html_(self) -> str:
        """The same table, for notebooks."""
        return html_table(self._rows(), self._notes())

    def _rows(self) -> list[list[str]]:
        band = [f"{'final loss' if self.goal is None else f'{self.unit}s to the goal'}: median", *self._ends()]
        more = [] if self.goal is None else ["arrived", "final loss/first: median"]
        return [["optimizer", "lr", *band, *more, "diverged"], *(self._row(name) for name in self.ranking)]

    def _notes(self) -> list[str]:
        notes = []
        if self.goal is not None:
            notes.append(f"goal: from then on at most {self.goal:.0e} of the {self.measure} at the start")
        if any(search.at_edge for search in self.searches.values()):
            notes.append("* the lowest or highest learning rate tried: a better one may lie beyond")
        return notes

    def _row(self, name: str) -> list[str]:
        final, steps = self._final(name), self.steps(name)
        lower, median, upper = (f"{loss:.2e}" for loss in self._three(final))
        cells = [median, lower, upper]
        if self.goal is not None:
            last = self.losses[name].shape[1] - 1
            smallest, middle, largest = (f"{step:.0f}" if np.isfinite(step) else f"> {last}" for step in self._three(steps))
            at_goal = "<= " if np.isfinite(self._three(steps)[1]) else ""
            cells = [middle, smallest, largest, f"{np.isfinite(steps).sum()}/{self._runs}", f"{at_goal}{median}"]
        diverged = f"{np.isinf(final).sum()}/{self._runs}"
        return [name, f"{self.lr[name]:.3g}{'*' if self.searches[name].at_edge else ''}", *cells, diverged]

    def plot(self, path: SavePath = None) -> Figure:
        """Draw a panel for each optimizer, the best first: its median loss in color, those of the others in gray.

        The band is that of the quantiles over the starts. With a goal, losses are divided by those at the start, and a median
        ends where its optimizer reaches the goal, at the dot. Diverging runs leave the plot at the top.

        Parameters
        ----------
        path : path-like, optional
            Save the figure there; the suffix determines the format.
        """
        count = len(self.losses)
        columns = count if count <= 3 else min(5, -(-count // 2))
        rows = -(-count // columns)
        figure = new_figure("Comparison.plot", (1.2 + 2.7 * columns, 1.1 + 2.2 * rows), path)
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        self._scale(axes[0, 0])
        curves = {name: self._curve(name) for name in self.ranking}
        for place, (ax, name) in enumerate(zip(axes.flat, curves, strict=False), 1):
            for other in curves:
                ax.plot(curves[other], color="0.8", linewidth=1.2, zorder=1)
            self._draw(ax, name, curves[name])
            ax.set_title(f"{place}. {self._label(name)}", fontsize=10, loc="left")
            ax.grid(alpha=0.25)
        for ax in axes.flat[count:]:
            ax.set_visible(False)
        band = f"{'–'.join(self._ends()).replace(' %–', '–')} of {self._runs} starts"
        figure.suptitle(self._headline(), fontsize=12, fontweight="bold")
        figure.supxlabel(f"{self.unit} (band: {band}; gray: the others)", fontsize=10)
        figure.supylabel(self.measure if self.goal is None else f"({self.measure}) / that of the start", fontsize=10)
        return finish(figure, path)

    def _headline(self) -> str:
        medians = {name: self._three(self.steps(name))[1] for name in self.ranking}
        best = self.ranking[0]
        if np.isfinite(medians[best]):
            names = " and ".join(name for name, steps in medians.items() if steps == medians[best])
            after = f"after {medians[best]:.0f} {self.unit}s"
            return f"{self.title}: {names} first, at {self.goal:.0e} of the starting loss {after}"
        return f"{self.title}: {best} has the lowest median loss after {self._last} {self.unit}s"

    def _label(self, name: str) -> str:
        """What a panel says of its optimizer: steps, learning rate, and what is not as it should be."""
        steps, diverged = self._three(self.steps(name))[1], int(np.isinf(self.losses[name][:, -1]).sum())
        count = f"{steps:.0f}" if np.isfinite(steps) else f"> {self._last}"
        edge = ", edge of the search" if self.searches[name].at_edge else ""
        first = name if self.goal is None else f"{name}: {count} {self.unit}s"
        return f"{first}\nlr {self.lr[name]:.2g}{edge}" + (f"; {diverged} diverged" if diverged else "")

    @property
    def _last(self) -> int:
        """The number of steps of every run."""
        return next(iter(self.losses.values())).shape[1] - 1

    def _scale(self, ax: Axes) -> None:
        """The axes that all panels share."""
        if self.goal is None:
            loss_axis(ax, [curve for name in self.losses for curve in self.band(name)])
        else:
            ax.set(yscale="log", ylim=(self.goal / 4, 30))
        ax.set_xlim(0, self._last)

    def _curve(self, name: str) -> Array:
        """The median at each step, up to the goal."""
        median, steps = self._shown(name)[1], self._three(self.steps(name))[1]
        if self.goal is not None and np.isfinite(steps):
            median = np.append(median[: int(steps)], self.goal)
        return np.where(np.isfinite(median), median, np.nan)

    def _shown(self, name: str) -> Array:
        """Lower quantile, median and upper quantile of what is drawn, at each step."""
        return self._three(self.losses[name] if self.goal is None else _fractions(self.losses[name]))

    def _draw(self, ax: Axes, name: str, median: Array) -> None:
        color = colors(self.losses)[name]
        low, _, high = self._shown(name)
        seen = np.isfinite(high)  # a band without an upper end would cover the others
        low, high = np.where(seen, low, 0), np.where(seen, high, 0)
        ax.fill_between(np.arange(low.size), low, high, where=seen, color=color, alpha=0.2, linewidth=0)
        ax.plot(median, color=color, linewidth=2.2, label=name)
        if self.goal is not None:
            ax.axhline(self.goal, color="0.3", linewidth=0.8)
            if np.isfinite(self._three(self.steps(name))[1]):
                ax.plot(median.size - 1, self.goal, "o", color=color, markeredgecolor="black", markersize=7, clip_on=False)


def compare(
    factories: Mapping[str, Factory], f: Landscape, steps: int = 200, budget: int = 16, starts: int = 15, seed: int = 0,
    spread: float = 0.1, low: float = 1e-4, high: float = 1e1, quantiles: tuple[float, float] = (0.1, 0.9), goal: float = 1e-6,
) -> Comparison:  # fmt: skip
    """Search a learning rate for every optimizer on the same budget, then compare them from new starting points.

    The best optimizer is the one whose runs need the fewest steps to stay below the goal, a small fraction of the excess
    f − minimum at the start; losses below the goal do not matter. Runs that do not reach it are compared by their final loss.
    The search minimizes the number of steps too; for runs that do not reach the goal it extrapolates them from the mean
    convergence rate.

    The search uses `starts` points, the comparison as many others. Both are drawn around ``f.start``, the same for every
    optimizer.

    Parameters
    ----------
    factories : mapping of name to a function of a learning rate that makes an optimizer
    f : Landscape
        With a minimum. Without one, as with `Saddle`, the highest learning rate would win for every optimizer.
    steps : of every run
    budget, low, high : as in `search_lr`
    starts, seed, spread : as in `random_starts`
    quantiles : of the band
    goal : fraction of the excess at the start, in (0, 1), default 1e-6
        No goal is closer to the minimum than f can be resolved in double precision.

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
        raise ValueError("factories must hold at least one optimizer, got none")
    if f.lowest is None:
        raise ValueError(
            f"f must be a function with a minimum, got {shown(f)}: where the loss falls without bound, the highest learning "
            "rate wins; give all the same one, and count the steps to a loss with steps_to"
        )
    number("goal", goal, above=0, below=1)
    if not isinstance(quantiles, (tuple, list)) or len(quantiles) != 2:
        raise TypeError(f"quantiles must be a pair (low, high), got {shown(quantiles)}")
    first = number("quantiles", quantiles[0], 0, most=1)
    number("quantiles", quantiles[1], first, most=1)
    lowest: float = f.lowest
    search_starts, fresh = random_starts(f, 2 * count("starts", starts), seed, spread).reshape(2, starts, -1)

    reach = max(goal, 4 * np.finfo(np.float64).eps * abs(lowest) / float(np.median(f.value(search_starts) - lowest)))

    def search(factory: Factory) -> Search:
        return search_lr(factory, f, search_starts, steps, budget, low, high, score=lambda y: _steps_needed(reach, y - lowest))

    def losses(factory: Factory, lr: float) -> Array:
        return _runs(factory, lr, f, fresh, steps) - lowest

    title = f.name.replace("_", " ").capitalize()
    return compare_runs(factories, search, losses, quantiles=quantiles, title=title, goal=reach)


def compare_runs(
    factories: Mapping[str, Factory], search: Callable[[Factory], Search], losses: Callable[[Factory, float], Array],
    **description: Any,
) -> Comparison:  # fmt: skip
    """Search a learning rate for every optimizer, then run it from new starts; ``description`` goes to `Comparison`."""
    searches = {name: search(factory) for name, factory in factories.items()}
    rates = {name: found.lr for name, found in searches.items()}
    return Comparison(
        rates, {name: losses(factory, rates[name]) for name, factory in factories.items()}, searches, **description
    )


def _fractions(losses: Array) -> Array:
    """The losses as fractions of those at the start; 0 where the start is the minimum."""
    return np.divide(losses, losses[:, :1], out=np.zeros_like(losses), where=losses[:, :1] > 0)


def _steps_needed(goal: float, losses: Array) -> Array:
    """`steps_to`, extrapolated by the mean convergence rate for runs that miss the goal; infinite without progress."""
    fractions = _fractions(losses)
    steps, last = steps_to(goal, fractions), fractions[:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        extrapolated = (losses.shape[1] - 1) * np.log(goal) / np.log(last)
    return np.where(np.isfinite(steps), steps, np.where(last < 1, extrapolated, np.inf))
