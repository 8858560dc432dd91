"""The table of a sweep: one row a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nncore._messages import clipped, shown
from nncore._utils.arrays import several
from nncore._utils.fields import choice, flag, function
from nncore._utils.figures import Figure, SavePath
from nncore._utils.tables import html_table
from nncore.history import larger_is_better
from nncore.sweeps.run import Run, candidate_score
from nncore.sweeps.values import is_missing, kinds, label, sort_key

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SweepTable"]

Array = NDArray[np.float64]
SHOWN = 20  # rows
CELL = 40  # characters


class SweepTable(Sequence[Run]):
    """The runs of a `sweep`, each with its parameters, results, and the reason why it ended.

    It is a sequence of `Run`. `sorted`, `filter` and `groups` make other tables and summaries of it. Values are those of the
    last epoch; where ``monitor`` was better in an earlier one, there is a column ``best_…`` with its best, by which runs are
    compared. Where a result has the name of a parameter, as ``lr`` in the history of a schedule, `rows`, `to_pandas` and what
    is printed have the parameter under this name and the result, unless it is the same in all runs, as ``result_lr``; `column`
    reads results only.

    Attributes
    ----------
    runs : list of Run
    monitor : str
        The column by which runs are compared.
    mode : {"min", "max"}
        Whether it is better when smaller or larger.

    Examples
    --------
    >>> import nncore as nn
    >>> table = nn.sweep(lambda x, y: {"loss": (x - 1) ** 2 + y}, {"x": [0, 1, 2], "y": [0.0, 0.5]}, verbose=0)
    >>> table.sorted()
    x    y  ended     loss
    1    0  finished     0
    1  0.5  finished   0.5
    0    0  finished     1
    2    0  finished     1
    0  0.5  finished   1.5
    2  0.5  finished   1.5
    >>> table.best().parameters
    {'x': 1, 'y': 0.0}
    """

    def __init__(self, runs: Iterable[Run], monitor: str, mode: str = "auto") -> None:
        if not several(runs):
            raise TypeError(f"runs must be those of a sweep, got {shown(runs)}")
        self.runs, self.monitor = list(runs), monitor
        self.mode = "max" if larger_is_better(monitor, mode) else "min"

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, key: Any) -> Any:
        """A run, or a table of a slice of them."""
        if isinstance(key, slice):
            return self._with(self.runs[key])
        if not isinstance(key, (int, np.integer)):
            raise TypeError(f"a run is given by its place, or runs by a slice, got {shown(key)}")
        if not -len(self.runs) <= key < len(self.runs):
            raise IndexError(f"there is no run {shown(key)}: there are {len(self.runs)}")
        return self.runs[key]

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def _with(self, runs: Iterable[Run]) -> SweepTable:
        return SweepTable(runs, self.monitor, self.mode)

    # --- reading

    def column(self, name: str, *, best: bool = False) -> Array:
        """A column of all runs, (runs,): of each the last value, or its best over the epochs; NaN where there is none.

        ValueError if the runs have columns, but none of this name.
        """
        columns = dict.fromkeys(column for run in self.runs for column in (*run.values, *(run.history or ())))
        if not isinstance(name, str) or (columns and name not in columns):
            raise ValueError(f"there must be a column {shown(name)} in the results; there are {', '.join(columns)}")
        if flag("best", best):
            return np.array([run.best(name, self.mode) for run in self.runs])
        return np.array([run.values.get(name, math.nan) for run in self.runs])

    def scores(self) -> Array:
        """What decides, the smaller the better: the best value of ``monitor`` in each run, negative where larger is better."""
        values = self.column(self.monitor, best=True)
        return np.where(np.isfinite(values), -values if self.mode == "max" else values, np.inf)

    def sorted(self, column: str | None = None, *, descending: bool = False) -> SweepTable:
        """The runs in the order of a column of `rows`, by default the best of ``monitor`` first; failed ones come last.

        Numbers come before texts, and these before other values; runs without the column are last in both directions.
        ValueError for a column that there is not.
        """
        descending = flag("descending", descending)
        if column is None:
            scores = self.scores()
            order = sorted(range(len(scores)), key=scores.__getitem__, reverse=descending)
            order.sort(key=lambda place: math.isinf(scores[place]))
        else:
            rows = self._rows(everything=True)
            names = dict.fromkeys(name for row in rows for name in row)
            if not isinstance(column, str) or (rows and column not in names):
                raise ValueError(f"column must be one of {', '.join(names)}, got {shown(column)}")
            values = [row.get(column) for row in rows]
            order = sorted(range(len(rows)), key=lambda place: sort_key(values[place]), reverse=descending)
            order.sort(key=lambda place: is_missing(values[place]))
        return self._with(self.runs[place] for place in order)

    def filter(self, condition: Callable[[Run], Any] | None = None, /, **parameters: Any) -> SweepTable:
        """The runs that have these parameters, and for which the condition holds. ValueError for an unknown parameter.

        >>> import nncore as nn
        >>> table = nn.sweep(lambda x, y: {"loss": x}, {"x": [0, 1, 2], "y": [0.0, 0.5]}, verbose=0)
        >>> len(table.filter(y=0.5)), len(table.filter(lambda run: run.parameters["x"] > 0, y=0.5))
        (3, 2)
        """
        if condition is not None:
            function("condition", condition)
        for name in parameters:
            self._check_parameter("names in filter", name)
        keys = {name: sort_key(value) for name, value in parameters.items()}
        return self._with(
            run for run in self.runs
            if all(sort_key(run.parameters.get(name)) == key for name, key in keys.items())
            and (condition is None or _holds(condition(run)))
        )  # fmt: skip

    def best(self) -> Run:
        """The run, or of several seeds or folds one of the candidate, that is best: by the median of its runs."""
        groups = self.groups()
        if not groups or not math.isfinite(groups[0]["score"]):
            raise ValueError(self._none())
        chosen = [run for run in self.runs if run.candidate == groups[0]["candidate"]]
        return self._with(chosen).sorted().runs[0]

    def groups(self) -> list[dict[str, Any]]:
        """A row for each candidate, the best first: parameters, number of runs, median and quartiles over seeds and folds.

        ``score`` is the median of `scores`; runs without a result count as infinite.
        """
        scores, values = self.scores(), self.column(self.monitor, best=True)
        rows = []
        for candidate in dict.fromkeys(run.candidate for run in self.runs):
            places = [place for place, run in enumerate(self.runs) if run.candidate == candidate]
            good = values[places][np.isfinite(values[places])]
            low, median, high = np.quantile(good, (0.25, 0.5, 0.75)) if len(good) else (math.nan,) * 3
            score = candidate_score(scores[places])
            rows.append({
                "candidate": candidate, "parameters": self.runs[places[0]].parameters, "runs": len(places),
                "failed": len(places) - len(good), "lower": float(low), "median": float(median), "upper": float(high),
                "score": score,
            })  # fmt: skip
        return sorted(rows, key=lambda row: row["score"])

    def rows(self) -> list[dict[str, Any]]:
        """A dict for each run: parameters, seed, fold, why it ended, epochs, seconds, the values."""
        return self._rows(everything=False)

    def _rows(self, *, everything: bool) -> list[dict[str, Any]]:
        """With the columns that say nothing, such as a seed that all runs have, or without."""
        runs = self.runs
        seeds = everything or len({run.seed for run in runs}) > 1
        folds = everything or any(run.fold is not None for run in runs)
        parameters, hidden = self._parameters(), set() if everything else self._repeated()
        own: list[dict[str, Any]] = [
            {
                **({"seed": run.seed} if seeds else {}), **({"fold": run.fold} if folds else {}), "ended": run.ended,
                **({"epochs": run.epochs, "seconds": run.seconds} if run.epochs or everything else {}),
            }
            for run in runs
        ]  # fmt: skip
        about = dict.fromkeys(name for row in own for name in row)
        best = self._best_column(everything=everything)
        return [
            {
                **{name: run.parameters[name] for name in parameters if name in run.parameters},
                **{_apart(name, parameters): value for name, value in row.items()},
                **{_apart(name, parameters | about): value for name, value in run.values.items() if name not in hidden},
                **{_apart(name, parameters | about | run.values): value for name, value in extra.items()},
            }
            for run, row, extra in zip(runs, own, best, strict=True)
        ]

    def _repeated(self) -> set[str]:
        """The results that say what the parameter of their name says, as ``lr`` without a schedule."""
        values, others = set[str](), set[str]()
        for run in self.runs:
            for name, value in run.values.items():
                same = name in run.parameters and sort_key(value) == sort_key(run.parameters[name])
                (values if same else others).add(name)
        return values - others

    def _best_column(self, *, everything: bool) -> list[dict[str, float]]:
        """For each run its best of ``monitor``, where that is not always the last one."""
        last = [run.values.get(self.monitor, math.nan) for run in self.runs]
        best = [run.best(self.monitor, self.mode) for run in self.runs]
        if not everything and np.array_equal(best, last, equal_nan=True):
            return [{}] * len(best)
        return [{} if math.isnan(value) else {f"best_{self.monitor}": value} for value in best]

    def to_pandas(self) -> pd.DataFrame:
        """The `rows` as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def _none(self) -> str:
        """The message where no run has a result."""
        reason = f": the first {clipped(self.runs[0].ended)}" if self.runs and self.runs[0].failed else ""
        return f"there must be a run with a finite {self.monitor}, got none{reason}"

    # --- looking

    def plot(self, path: SavePath = None, kind: str = "auto", x: str | None = None, y: str | None = None) -> Figure:
        """Draw the runs.

        Parameters
        ----------
        path : path-like, optional
            File to save the figure to.
        kind : {"auto", "curves", "line", "map", "parallel", "points"}
            "curves": ``monitor`` against the epoch, of all runs, and the median and quartiles of the best candidate's. "line":
            its median and quartiles over seeds and folds against a parameter ``x``. "map": the median as a heat map over two
            parameters ``x`` and ``y``; "points": as the color of points, for values that were drawn. "parallel": parallel
            coordinates, one line a run. "auto" is a map for two parameters with several values, or points where most of the
            map would be empty, a line for one, parallel coordinates for more, and curves for none.
        x, y : str, optional
            Parameters; default the ones with several values.

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            If there is nothing to draw, or a parameter is unknown.
        """
        from nncore.sweeps import plots

        kind = choice("kind", kind, ("auto", "curves", "line", "map", "parallel", "points"))
        if not self.runs:
            raise ValueError("there must be a run to draw, got none")
        for name in (x, y):
            if name is not None:
                self._check_parameter("x and y", name)
        if x is not None and x == y:
            raise ValueError(f"x and y must be two parameters, got {shown(x)} twice")
        varied = [name for name in self._parameters() if len(kinds(run.parameters.get(name) for run in self.runs)) > 1]
        if kind == "auto":
            kind = {0: "curves", 1: "line", 2: "map"}.get(len(varied), "parallel")
            if kind == "map" and plots.is_scattered(self, *varied):
                kind = "points"
        return plots.draw(self, path, kind, x, y, varied)

    def _parameters(self) -> dict[str, None]:
        return dict.fromkeys(name for run in self.runs for name in run.parameters)

    def _check_parameter(self, what: str, name: str) -> None:
        names = ", ".join(self._parameters())
        if self.runs and name not in self._parameters():
            raise ValueError(f"{what} must be parameters, {names or 'of which there are none'}, got {shown(name)}")

    def _cells(self) -> list[list[str]]:
        rows = self.rows()
        names = list(dict.fromkeys(name for row in rows for name in row))
        cells = [names, *[[label(row.get(name), CELL) for name in names] for row in rows]]
        if len(rows) > SHOWN:
            cells[1 + SHOWN // 2 : 1 + len(rows) - SHOWN // 2] = [["…"] * len(names)]
        return cells

    def __repr__(self) -> str:
        if not self.runs:
            return "SweepTable of 0 runs"
        columns = list(zip(*self._cells(), strict=True))
        text = [_is_text(column) for column in columns]
        widths = [max(map(len, column)) for column in columns]
        lines = [
            "  ".join(
                cell.ljust(w) if left else cell.rjust(w) for cell, w, left in zip(row, widths, text, strict=True)
            ).rstrip()
            for row in zip(*columns, strict=True)
        ]
        return "\n".join([*lines, *self._notes()])

    def _repr_html_(self) -> str:
        return html_table(self._cells(), self._notes(), text_columns=0)

    def _notes(self) -> list[str]:
        """Below the rows: how many there are, and in full what the first error was, which a cell has no room for."""
        errors = [run.ended for run in self.runs if run.ended.startswith("raised")]
        notes = [f"[{len(self.runs)} runs]"] if len(self.runs) > SHOWN else []
        return [*notes, *([f"{len(errors)} of {len(self.runs)} runs failed, the first {clipped(errors[0])}"] if errors else [])]


def _holds(answer: Any) -> bool:
    try:
        return bool(answer)
    except (TypeError, ValueError):  # an array of several numbers
        raise TypeError(f"condition must return True or False, got {shown(answer)}") from None


def _apart(name: str, taken: Container[str]) -> str:
    """A name of a column that is not that of another."""
    while name in taken:
        name = f"result_{name}"
    return name


def _is_text(column: Sequence[str]) -> bool:
    return any(cell not in ("-", "…") and not _number(cell) for cell in column[1:])


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
