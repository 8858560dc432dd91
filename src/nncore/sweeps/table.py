"""The table of a sweep: one row a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nncore._messages import shown
from nncore._utils.fields import choice
from nncore._utils.figures import Figure, SavePath
from nncore._utils.tables import html_table
from nncore.history import larger_is_better
from nncore.sweeps.run import Run

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SweepTable"]

Array = NDArray[np.float64]
SHOWN = 20  # rows


class SweepTable(Sequence[Run]):
    """The runs of a `sweep`, each with its parameters, results, and the reason why it ended.

    It is a sequence of `Run`. `sorted`, `filter` and `groups` make other tables and summaries of it.

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
        self.runs, self.monitor = list(runs), monitor
        self.mode = "max" if larger_is_better(monitor, mode) else "min"

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, key: Any) -> Any:
        """A run, or a table of a slice of them."""
        return self._with(self.runs[key]) if isinstance(key, slice) else self.runs[key]

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def _with(self, runs: Iterable[Run]) -> SweepTable:
        return SweepTable(runs, self.monitor, self.mode)

    # --- reading

    def column(self, name: str, *, best: bool = False) -> Array:
        """A column of all runs, (runs,): of each the last value, or its best over the epochs; NaN where there is none."""
        if best:
            return np.array([run.best(name, self.mode) for run in self.runs])
        return np.array([run.values.get(name, math.nan) for run in self.runs])

    def scores(self) -> Array:
        """What decides, the smaller the better: the best value of ``monitor`` in each run, negative where larger is better."""
        values = self.column(self.monitor, best=True)
        return np.where(np.isfinite(values), -values if self.mode == "max" else values, np.inf)

    def sorted(self, column: str | None = None, *, descending: bool | None = None) -> SweepTable:
        """The runs in the order of a column or a parameter, by default the best of ``monitor`` first; failed ones come last."""
        if column is None:
            order = np.argsort(self.scores(), kind="stable")
        else:
            values = [run.parameters.get(column, run.values.get(column, math.nan)) for run in self.runs]
            keys = [(_missing(value), -value if descending else value) for value in values]
            order = np.array(sorted(range(len(keys)), key=lambda place: keys[place]), dtype=np.int64)
        return self._with(self.runs[place] for place in order)

    def filter(self, condition: Callable[[Run], Any] | None = None, /, **parameters: Any) -> SweepTable:
        """The runs that have these parameters, and for which the condition holds.

        >>> import nncore as nn
        >>> table = nn.sweep(lambda x, y: {"loss": x}, {"x": [0, 1, 2], "y": [0.0, 0.5]}, verbose=0)
        >>> len(table.filter(y=0.5)), len(table.filter(lambda run: run.parameters["x"] > 0, y=0.5))
        (3, 2)
        """
        return self._with(
            run for run in self.runs
            if all(run.parameters.get(name) == value for name, value in parameters.items())
            and (condition is None or condition(run))
        )  # fmt: skip

    def best(self) -> Run:
        """The run, or of several seeds or folds one of the candidate, that is best: by the median of its runs."""
        groups = self.groups()
        if not groups or not math.isfinite(groups[0]["score"]):
            raise ValueError(f"there must be a run with a finite {self.monitor}, got none")
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
            score = float(np.quantile(scores[places], 0.5, method="higher"))
            rows.append({
                "candidate": candidate, "parameters": self.runs[places[0]].parameters, "runs": len(places),
                "failed": len(places) - len(good), "lower": float(low), "median": float(median), "upper": float(high),
                "score": score,
            })  # fmt: skip
        return sorted(rows, key=lambda row: row["score"])

    def rows(self) -> list[dict[str, Any]]:
        """A dict for each run: parameters, seed, fold, why it ended, epochs, seconds, the values."""
        seeds, folds = len({run.seed for run in self.runs}) > 1, any(run.fold is not None for run in self.runs)
        return [
            {
                **run.parameters, **({"seed": run.seed} if seeds else {}), **({"fold": run.fold} if folds else {}),
                "ended": run.ended, **({"epochs": run.epochs, "seconds": run.seconds} if run.epochs else {}), **run.values,
            }
            for run in self.runs
        ]  # fmt: skip

    def to_pandas(self) -> pd.DataFrame:
        """The `rows` as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    # --- looking

    def plot(self, path: SavePath = None, kind: str = "auto", x: str | None = None, y: str | None = None) -> Figure:
        """Draw the runs.

        Parameters
        ----------
        path : path-like, optional
            File to save the figure to.
        kind : {"auto", "curves", "line", "map", "parallel"}
            "curves": ``monitor`` against the epoch, of all runs. "line": its median and quartiles over seeds and folds against
            a parameter ``x``. "map": the median as a heat map over two parameters ``x`` and ``y``. "parallel": parallel
            coordinates, one line a run. "auto" is a map for two parameters with several values, a line for one, parallel
            coordinates for more, and curves for none.
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

        kind = choice("kind", kind, ("auto", "curves", "line", "map", "parallel"))
        varied = [name for name in self.runs[0].parameters if len({repr(run.parameters.get(name)) for run in self.runs}) > 1]
        for name in (x, y):
            if name is not None and name not in self.runs[0].parameters:
                raise ValueError(f"x and y must be parameters, {', '.join(self.runs[0].parameters)}, got {shown(name)}")
        if kind == "auto":
            kind = {0: "curves", 1: "line", 2: "map"}.get(len(varied), "parallel")
        return plots.draw(self, path, kind, x, y, varied)

    def _cells(self) -> list[list[str]]:
        rows = self.rows()
        names = list(dict.fromkeys(name for row in rows for name in row))
        cells = [names, *[[_cell(row.get(name)) for name in names] for row in rows]]
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
        return "\n".join([*lines, *([f"[{len(self.runs)} runs]"] if len(self.runs) > SHOWN else [])])

    def _repr_html_(self) -> str:
        return html_table(self._cells(), text_columns=0)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _is_text(column: Sequence[str]) -> bool:
    return any(cell not in ("-", "…") and not _number(cell) for cell in column[1:])


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    return str(value) if not isinstance(value, str) or len(value) <= 40 else f"{value[:37]}..."
