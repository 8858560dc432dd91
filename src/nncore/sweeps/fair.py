"""A fair comparison: the same budget for each, chosen on held-out data, measured once on the test data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from nncore._messages import shown
from nncore._utils.fields import PathLike, count, function
from nncore._utils.figures import COLORS, Figure, SavePath, finish, new_figure
from nncore._utils.tables import html_table
from nncore.history import larger_is_better
from nncore.sweeps.run import candidate_score, own_copy, takes_seed
from nncore.sweeps.space import parameters_of
from nncore.sweeps.sweep import sweep
from nncore.sweeps.table import SweepTable
from nncore.training.trainer import Trainer

__all__ = ["FairComparison", "fair_comparison"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FairComparison:
    """The result of `fair_comparison`; prints as a table, the best first.

    Attributes
    ----------
    searches : dict of str to SweepTable
        The runs by which the parameters of each were chosen.
    finals : dict of str to SweepTable
        With the chosen parameters, one run for each of the other seeds: their values are measured on the test data.
    measure : str
        The column of the ``finals`` that decides, and in ``mode`` whether it is better when smaller or larger.
    mode : {"min", "max"}
    """

    searches: dict[str, SweepTable]
    finals: dict[str, SweepTable]
    measure: str
    mode: str

    def results(self, name: str) -> Array:
        """The measure of each final run; NaN where a run failed."""
        return self.finals[name].column(self.measure)

    @property
    def ranking(self) -> list[str]:
        """The names by the median of their results; a run that failed counts as the worst."""
        sign = -1.0 if self.mode == "max" else 1.0

        def score(name: str) -> float:
            values = sign * self.results(name)
            return candidate_score(np.where(np.isfinite(values), values, np.inf))

        return sorted(self.finals, key=score)

    def _rows(self) -> list[list[str]]:
        rows = [["", "chosen", f"{self.measure}: median", "quartiles", "failed"]]
        for name in self.ranking:
            values = self.results(name)
            good = values[np.isfinite(values)]
            low, median, high = np.quantile(good, (0.25, 0.5, 0.75)) if len(good) else (np.nan,) * 3
            chosen = ", ".join(f"{key}={_short(value)}" for key, value in self.finals[name][0].parameters.items())
            rows.append([name, chosen, f"{median:.4g}", f"{low:.4g} to {high:.4g}", f"{len(values) - len(good)}/{len(values)}"])
        return rows

    def __repr__(self) -> str:
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join([*map(str.ljust, row[:2], widths), *map(str.rjust, row[2:], widths[2:])]) for row in rows]
        return "\n".join(map(str.rstrip, lines))

    def _repr_html_(self) -> str:
        return html_table(self._rows(), text_columns=2)

    def plot(self, path: SavePath = None) -> Figure:
        """Draw the result of each final run, and the medians, the best on top."""
        names = self.ranking[::-1]
        figure = new_figure("FairComparison.plot", (6, 1.4 + 0.45 * len(names)), path)
        ax = figure.subplots()
        for place, name in enumerate(names):
            values = self.results(name)
            values = values[np.isfinite(values)]
            ax.plot(values, np.full(len(values), place), "o", color=COLORS[0], alpha=0.4, markersize=5)
            if len(values):
                ax.plot(np.median(values), place, "|", color=COLORS[1], markersize=18, markeredgewidth=2.5)
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(-0.6, len(names) - 0.4)
        ax.set_xlabel(f"{self.measure} on the test data ({'lower' if self.mode == 'min' else 'higher'} is better)")
        ax.set_title(f"{names[-1]} is best in the median", loc="left")
        ax.grid(alpha=0.3, axis="x")
        return finish(figure, path)


def fair_comparison(
    candidates: Mapping[str, tuple[Callable[..., Any], Any]], X: Any, y: Any, *, test: tuple[Any, Any], budget: int,
    seeds: int = 5, measure: str = "auto", seed: int = 0, **options: Any,
) -> FairComparison:  # fmt: skip
    """Compare optimizers, networks or estimators, each with parameters that a search with the same budget has found.

    For each candidate ``budget`` sets of parameters are tried, with one seed, and judged on held-out data. With the best of
    them it is trained with ``seeds`` other seeds, and measured on the test data, which play no part before.

    Parameters
    ----------
    candidates : mapping of str to (make, space)
        See `sweep`. A space must have at least ``budget`` sets of parameters.
    X, y : the data of ``fit``
    test : (X, y)
    budget : int
        Sets of parameters tried for each.
    seeds : int
        Runs that are measured.
    measure : str
        The column that is compared: of ``evaluate`` for trainers. "auto": ``loss``, or the score of an estimator.
    seed : int
        Of the search; the final runs have the next ones.
    **options
        Of `sweep` and of ``fit``, such as ``validation_split=0.2``, ``folds=5``, ``epochs=20``. There must be held-out data.
        A ``file`` keeps the runs of the searches, of each candidate in a file of its own: ``fair.db`` stands for
        ``fair-SGD.db`` and so on.

    Returns
    -------
    FairComparison

    Raises
    ------
    ValueError
        If there are no held-out data, a space is too small, a ``make`` takes no ``seed``, or a candidate does not have the
        measure: trainers have a loss and metrics, estimators a score.
    RuntimeError
        If no run of a candidate comes to a result, in the search or of those that are measured.
    KeyboardInterrupt
        After Ctrl-C.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 2))
    >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> def candidate(optimizer):
    ...     def make(lr, seed):
    ...         model = nn.Sequential([nn.Dense(8), nn.Tanh(), nn.Dense(2)], input_shape=2, seed=seed)
    ...         return nn.Trainer(model, "softmax_cross_entropy", optimizer(lr=lr), seed=seed)
    ...     return make, {"lr": np.geomspace(1e-3, 1, 4)}
    >>> found = nn.fair_comparison(
    ...     {"SGD": candidate(nn.SGD), "Adam": candidate(nn.Adam)}, X[:200], y[:200], test=(X[200:], y[200:]), budget=4,
    ...     validation_split=0.3, epochs=10, verbose=0)
    >>> len(found.searches["SGD"]), found.results("Adam").shape, sorted(found.ranking)
    (4, (5,), ['Adam', 'SGD'])
    """
    budget, seeds, seed = count("budget", budget), count("seeds", seeds), count("seed", seed, 0)
    if not isinstance(candidates, Mapping) or not candidates:
        raise ValueError(f"candidates must be a mapping of names to (make, space), got {shown(candidates)}")
    if not isinstance(test, (tuple, list)) or len(test) != 2:
        raise ValueError(f"test must be a pair (X, y), got {shown(test)}")
    if not any(options.get(name) for name in ("folds", "validation_data", "validation_split")):
        raise ValueError("folds, validation_data or validation_split must give held-out data for the choice, got none")
    for name, pair in candidates.items():
        make, space = _checked_candidate(name, pair)
        if (size := len(parameters_of(space, budget if isinstance(space, Mapping) else None, seed))) < budget:
            raise ValueError(f"the space of {name} must have {budget} sets of parameters, the budget, got {size}")
    searches, finals, column = {}, dict[str, SweepTable](), ""
    for name, (make, space) in candidates.items():
        given = parameters_of(space, budget, seed) if isinstance(space, Mapping) else parameters_of(space, None, seed)[:budget]
        own = _of_candidate(name, options)
        searches[name] = _complete(sweep(make, given, X, y, seeds=[seed], **own), budget)
        try:
            chosen = searches[name].best().parameters
        except ValueError:
            raise RuntimeError(f"no run of {name} came to a result: {searches[name][0].ended}") from None
        finals[name] = _complete(_measured(make, chosen, X, y, test, range(seed + 1, seed + 1 + seeds), options), seeds)
        column = column or (finals[name].monitor if measure == "auto" else measure)
        _check_measured(name, finals[name], column)  # refused before the others are searched
    return FairComparison(searches, finals, column, "max" if column == "score" or _larger(column) else "min")


def _checked_candidate(name: Any, pair: Any) -> tuple[Callable[..., Any], Any]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"candidates must be pairs (make, space), got {shown(pair)} for {name}")
    make, space = function(f"make of {name}", pair[0]), pair[1]
    if not takes_seed(make):
        raise ValueError(f"make of {name} must take seed, for the runs that are measured, got {shown(make)}")
    return make, space


def _of_candidate(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of its search: another training has another file."""
    if options.get("file") is None:
        return dict(options)
    path = Path(PathLike(argument="file").check(options["file"]))
    return {**options, "file": path.with_name(f"{path.stem}-{quote(str(name), safe=' ')}{path.suffix}")}


def _measured(
    make: Callable[..., Any], chosen: Mapping[str, Any], X: Any, y: Any, test: Any, seeds: Sequence[int],
    options: Mapping[str, Any],
) -> SweepTable:  # fmt: skip
    """Runs with these seeds, and their measures on the test data."""
    fit = {name: value for name, value in options.items() if name not in SEARCHED}

    def run(seed: int) -> dict[str, float]:
        subject = make(**own_copy(chosen), seed=seed)
        if not isinstance(subject, Trainer):
            subject.fit(X, y, **fit)
            return {"score": float(subject.score(*test))}
        more = {"validation_data": options["validation_data"]} if options.get("validation_data") is not None else {}
        if options.get("callbacks") is not None:
            more["callbacks"] = options["callbacks"]()
        subject.fit(X, y, **fit, **more, verbose=0)
        return subject.evaluate(*test)

    own = {name: options[name] for name in ("threads", "verbose") if name in options}
    table = sweep(run, [{}], seeds=seeds, **own)
    for result in table:
        result.parameters.update(chosen)
    return table


SEARCHED = (
    "folds",
    "validation_data",
    "threads",
    "backend",
    "file",
    "name",
    "keep",
    "halving",
    "monitor",
    "mode",
    "verbose",
    "callbacks",
)


def _check_measured(name: str, table: SweepTable, column: str) -> None:
    there = dict.fromkeys(one for run in table for one in run.values)
    if not there:  # as with callbacks that need validation data, which only the search has where there are folds
        raise RuntimeError(f"no run of {name} that is measured came to a result: {table[0].ended}")
    if column not in there:
        raise ValueError(
            f"measure must be what all candidates are measured by, got {shown(column)}: of {name} there are {', '.join(there)}"
        )


def _complete(table: SweepTable, runs: int) -> SweepTable:
    if len(table) < runs or any(run.ended == "interrupted" for run in table):
        raise KeyboardInterrupt
    return table


def _larger(column: str) -> bool:
    try:
        return larger_is_better(column, "auto")
    except ValueError:
        return False


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
