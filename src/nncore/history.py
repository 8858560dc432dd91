"""The history of a training run: one row per epoch."""

from __future__ import annotations

import math
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nncore._messages import shown
from nncore._utils.fields import choice, mapping
from nncore._utils.figures import Axes, Figure, SavePath, check_axes, finish, new_figure
from nncore._utils.hints import hint
from nncore._utils.tables import html_table
from nncore.losses import LOSSES
from nncore.optimizers import hyper

__all__ = ["History"]

_LARGER_IS_BETTER = frozenset({"accuracy", "precision", "recall", "f1", "auc", "r2"})
_SMALLER_IS_BETTER = frozenset({"loss", "penalty", "activity_penalty", *LOSSES})
SECOND_ORDER = (  # columns that second-order optimizers may report for an iteration
    "gradient_norm", "step_length", "step_size", "damping", "trust_ratio", "radius", "beta", "evaluations", "hessian_products",
    "negative_curvature", "seconds",
)  # fmt: skip
_NOT_A_METRIC = {"epoch", "step", "steps", "learning_rate", "time", "grad_norm", "clipped", *SECOND_ORDER}
_OVER_DECADES = ("loss", "lr", "grad_norm")  # endings of columns that may get a logarithmic axis
_HEAD, _TAIL = 5, 5


def larger_is_better(column: str, mode: str) -> bool:
    """Whether larger values of `column` are better; mode "auto" knows losses and common metrics by their names.

    >>> larger_is_better("val_accuracy", "auto"), larger_is_better("running_loss", "auto"), larger_is_better("steps", "max")
    (True, False, True)
    """
    if not isinstance(column, str):
        raise TypeError(f"a column must be a string, got {shown(column)}")
    if choice("mode", mode, ("auto", "min", "max")) != "auto":
        return mode == "max"
    name = column.removeprefix("val_").removeprefix("running_")
    if name in _LARGER_IS_BETTER or name in _SMALLER_IS_BETTER:
        return name in _LARGER_IS_BETTER
    meant = hint(name, [*_LARGER_IS_BETTER, *_SMALLER_IS_BETTER])
    raise ValueError(
        f"mode must be 'min' or 'max' for column {shown(column)}, got 'auto', which knows only losses and "
        f"{', '.join(sorted(_LARGER_IS_BETTER))} by their names{meant}"
    )


class History(dict[str, NDArray[np.float64]]):
    """A table with one row per epoch and one column per loss, metric or other number.

    Epochs are counted from 1: ``history.row(history.best("val_loss"))`` is the row with the smallest validation loss, and
    ``history["val_loss"][e - 1]`` belongs to epoch e. A column may start later than others, or be missing in a row: the missing
    values are NaN.

    It is read like a dict of columns and like a ``pandas.DataFrame``: iteration yields the names of the columns,
    ``len`` is the number of rows. So ``pandas.DataFrame(history)`` is the same table. Only `append`, `extend` and `amend`
    change it. (It is a subclass of ``dict`` because pandas accepts no other mapping as a table of columns.)

    >>> history = History()
    >>> history.append({"loss": 0.9, "val_loss": 1.0})
    >>> history.append({"loss": 0.5, "val_loss": 0.7})
    >>> history.append({"loss": 0.3, "val_loss": 0.8})
    >>> history["val_loss"]
    array([1. , 0.7, 0.8])
    >>> history.best("val_loss")
    2
    >>> history.row(2)
    {'loss': 0.5, 'val_loss': 0.7}
    >>> history
    epoch    loss  val_loss
        1  0.9000    1.0000
        2  0.5000    0.7000
        3  0.3000    0.8000
    """

    # The columns and the number of valid rows, bound together: an interrupted change leaves the table either as before or as
    # afterwards. Lists may be longer by an unfinished row.
    _table: tuple[dict[str, list[float]], int]

    def __init__(self) -> None:
        super().__init__()
        self._table = {}, 0

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[float | None] | NDArray[Any]]) -> History:
        """Make a history of these columns, for example the result of `to_dict`. None becomes NaN.

        Raises
        ------
        ValueError
            If the columns differ in length.
        TypeError
            For a name that is not a string or a value that is not a number.
        """
        history = cls()
        history._bind(*_lists(columns))
        return history

    from_dict = from_columns

    def _bind(self, columns: dict[str, list[float]], rows: int) -> None:
        """Set the table. ``dict`` gets the same lists, for C code that bypasses the methods."""
        if columns is not self._table[0]:
            dict.update(self, columns)
        self._table = columns, rows

    def __reduce__(self) -> tuple[Any, ...]:
        return History.from_columns, (dict(self),)

    # --- reading

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in order of appearance."""
        return list(self._table[0])

    def __len__(self) -> int:
        return self._table[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table[0])

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._table[0])

    def __contains__(self, column: object) -> bool:
        return column in self._table[0]

    def __getitem__(self, column: str) -> NDArray[np.float64]:
        """A column as a new float64 array of shape (rows,). KeyError for an unknown name."""
        columns, rows = self._table
        try:
            return np.array(columns[column][:rows], dtype=np.float64)
        except (KeyError, TypeError):
            raise KeyError(f"no column {shown(column)}; there are {', '.join(columns) or 'none'}") from None

    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        return {column: self[column] for column in self}

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """The names of the columns."""
        return self._table[0].keys()

    def values(self) -> ValuesView[NDArray[np.float64]]:  # type: ignore[override]
        """The columns."""
        return self._arrays().values()

    def items(self) -> ItemsView[str, NDArray[np.float64]]:  # type: ignore[override]
        """Names and columns."""
        return self._arrays().items()

    def get(self, column: str, default: Any = None) -> Any:
        """A column, or `default` if there is no column of this name."""
        try:
            return self[column]
        except KeyError:
            return default

    def copy(self) -> History:
        """An independent copy."""
        return History.from_columns(self._arrays())

    def _ipython_key_completions_(self) -> list[str]:
        return self.columns

    def __eq__(self, other: object) -> bool:
        """Same columns, same numbers; NaN equals NaN."""
        if not isinstance(other, History):
            return NotImplemented
        return self.columns == other.columns and all(np.array_equal(self[c], other[c], equal_nan=True) for c in self)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __or__(self, other: Any) -> Any:
        return self._arrays() | other

    def __ror__(self, other: Any) -> Any:
        return other | self._arrays()

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise TypeError: a history changes by `append` and `amend` only."""
        raise TypeError("a History changes by append(row), extend(columns) and amend(values) only")

    if not TYPE_CHECKING:
        __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def row(self, epoch: int) -> dict[str, float]:
        """The row of an epoch, counted from 1. IndexError if there is none."""
        columns, rows = self._table
        if not isinstance(epoch, (int, np.integer)):
            raise TypeError(f"epoch must be a whole number, got {shown(epoch)}")
        if not 1 <= epoch <= rows:
            raise IndexError(f"there is no epoch {shown(epoch)}: epochs go from 1 to {rows}")
        return {name: values[epoch - 1] for name, values in columns.items()}

    # --- changing

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row.

        Parameters
        ----------
        row : mapping of str to number
            Names may differ from row to row.

        Raises
        ------
        ValueError
            For an empty row. Nothing is added.
        TypeError
            For a name that is not a string or a value that is not a number. Nothing is added.
        """
        if not mapping("row", row):
            raise ValueError("row must have at least one column, got an empty one")
        self.extend({name: [value] for name, value in row.items()})

    def extend(self, columns: Mapping[str, Sequence[float | None] | NDArray[Any]]) -> None:
        """Add rows: columns of the same length, None for NaN.

        >>> history = History()
        >>> history.extend({"loss": [0.9, 0.5], "lr": np.array([0.1, 0.05])})
        >>> len(history)
        2
        """
        self._table = self._extended(columns)

    def _extended(self, columns: Mapping[str, Sequence[float | None] | NDArray[Any]]) -> tuple[dict[str, list[float]], int]:
        """The table with more rows, which the lists of the present one hold already."""
        (added, more), rows = _lists(columns), self._table[1]
        table = self._with(added)
        for name, values in table.items():
            values[rows:] = added.get(name) or [math.nan] * more
        dict.update(self, table)
        return table, rows + more

    def _with(self, names: Iterable[str]) -> dict[str, list[float]]:
        """The columns plus new columns for unknown names, which are not yet in the table."""
        columns, rows = self._table
        new = [name for name in names if name not in columns]
        return columns | {name: [math.nan] * rows for name in new} if new else columns

    def amend(self, values: Mapping[str, Any]) -> None:
        """Set columns of the last row, for example results of a callback for an epoch.

        >>> history = History()
        >>> history.append({"loss": 0.5})
        >>> history.amend({"distance": 2.0})
        >>> history["distance"]
        array([2.])
        """
        rows = self._table[1]
        if not rows:
            raise ValueError("there is no row to amend")
        numbers = {name: column_number(name, value) for name, value in mapping("values", values).items()}
        columns = self._with(numbers)
        for name, value in numbers.items():
            columns[name][rows - 1] = value
        self._bind(columns, rows)

    def to_dict(self) -> dict[str, list[float | None]]:
        """The columns as lists of floats, ready for JSON. NaN and infinities, which JSON lacks, become None.

        >>> history = History()
        >>> history.append({"loss": 1.0})
        >>> history.append({"loss": 0.5, "val_loss": 0.75})
        >>> history.to_dict()
        {'loss': [1.0, 0.5], 'val_loss': [None, 0.75]}
        """
        columns, rows = self._table
        return {name: [v if math.isfinite(v) else None for v in values[:rows]] for name, values in columns.items()}

    def best(self, column: str, mode: str = "auto") -> int:
        """The epoch, counted from 1, of the best value; the first one among equals; NaN is never best.

        Parameters
        ----------
        column : str
        mode : {"auto", "min", "max"}, default "auto"
            "auto" is "max" for accuracy, precision, recall, f1, auc and r2, and "min" for loss, penalty and the names of
            losses, each also with prefix ``val_`` or ``running_``. Other columns need "min" or "max".

        Raises
        ------
        KeyError
            For an unknown column.
        ValueError
            If the column holds no number, or "auto" does not know it.
        """
        values = self[column]
        larger = larger_is_better(column, mode)
        if np.isnan(values).all():
            raise ValueError(f"column {shown(column)} holds no number")
        return int(np.nanargmax(values) if larger else np.nanargmin(values)) + 1

    def __repr__(self) -> str:
        _, rows = self._table
        if not rows:
            return "History of 0 epochs"
        table, cut = self._shown()
        justified = [[cell.rjust(max(map(len, column))) for cell in column] for column in table]
        lines = ["  ".join(cells) for cells in zip(*justified, strict=True)]
        if cut:
            lines[_HEAD + 1 : _HEAD + 1] = ["..."]
            lines.append(f"[{rows} epochs]")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The same table, for notebooks."""
        table, cut = self._shown()
        rows = list(zip(*table, strict=True))
        if cut:
            rows[_HEAD + 1 : _HEAD + 1] = [("...",) * len(table)]
        return html_table(rows, [f"{len(self)} epochs"] if cut or not len(self) else [], text_columns=0)

    def _shown(self) -> tuple[list[list[str]], bool]:
        """The columns as text, each starting with its name, and whether epochs in the middle are omitted."""
        columns, rows = self._table
        cut = rows > _HEAD + _TAIL + 1
        every = range(1, rows + 1)
        epochs = [*every[:_HEAD], *every[-_TAIL:]] if cut else list(every)
        table = [["epoch", *map(str, epochs)]]
        table += [[name, *_format([values[e - 1] for e in epochs])] for name, values in columns.items()]
        return table, cut

    def plot(
        self,
        path: SavePath = None,
        ax: Axes | Sequence[Axes] | None = None,
        columns: Sequence[str] | None = None,
    ) -> Figure:
        """Plot the columns against the number of epochs: losses in one panel, metrics in another.

        ``name`` is a solid line and ``val_name`` a dashed one of the same color. Losses, and requested learning rates and
        gradient norms, get a logarithmic axis if they span more than two decades.

        Parameters
        ----------
        path : path-like, optional
            File to save the figure to; the suffix determines the format. The figure is then independent of
            ``matplotlib.pyplot``.
        ax : Axes or pair of Axes, optional
            Draw there: losses on the first, metrics on the second. On a single Axes the metrics are drawn only if there
            are no losses.
        columns : str or sequence of str, optional
            Draw these in a single panel, ``["lr"]`` for instance. Default: all but hyper-parameters, grad_norm, clipped, and
            counts of steps or time.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            If there is nothing to draw.
        """
        if columns is not None:
            panels = [[columns] if isinstance(columns, str) else list(columns)]
        else:
            names = [c for c in self if c not in _NOT_A_METRIC | hyper.NAMES and np.isfinite(self[c]).any()]
            losses = [c for c in names if c.endswith(("loss", "penalty"))]
            panels = [panel for panel in (losses, [c for c in names if c not in losses]) if panel]
        if not any(np.isfinite(self[c]).any() for panel in panels for c in panel):
            raise ValueError("the history must have a number to draw, got none")

        if ax is not None:
            axes = [check_axes(one) for one in np.atleast_1d(np.asarray(ax, dtype=object))]
            figure: Any = axes[0].figure
        else:
            figure = new_figure("History.plot", (5.2 * len(panels), 3.6), path)
            axes = list(figure.subplots(1, len(panels), squeeze=False)[0])
        for axis, panel in zip(axes, panels, strict=False):
            self._draw(axis, panel)
        return finish(figure, path)

    def _draw(self, ax: Axes, columns: Sequence[str]) -> None:
        """Plot one panel with its legend above the axes, where it covers no curve."""
        from matplotlib.ticker import MaxNLocator

        epochs = np.arange(1, len(self) + 1)
        families = list(dict.fromkeys(c.removeprefix("val_") for c in columns))
        drawn = []
        for c in columns:
            seen = np.isfinite(self[c])
            family = c.removeprefix("val_")
            ax.plot(
                epochs[seen],
                self[c][seen],
                color=f"C{families.index(family) % 10}",
                linestyle="-" if c == family else "--",
                marker="o" if seen.sum() <= 20 else "",
                markersize=3,
                label=c,
            )
            drawn.append(self[c][seen])
        values = np.concatenate(drawn)
        if all(f.endswith(_OVER_DECADES) for f in families) and values.min(initial=1) > 0 and np.ptp(np.log10(values)) > 2:
            ax.set_yscale("log")
        ax.set_xlabel("epochs trained")
        ax.set_ylabel(families[0] if len(families) == 1 else "loss" if "loss" in families else "value")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        ax.grid(alpha=0.3)
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0.2)


def _format(values: list[float]) -> list[str]:
    """Format the numbers of a column alike: integers, four decimals, or exponents if decimals would hide digits."""
    finite = [abs(v) for v in values if math.isfinite(v)]
    if all(v == int(v) for v in finite) and max(finite, default=0) < 1e9 and max(finite, default=0) > 1:
        style = ".0f"
    elif all(v == 0 or v >= 1e-3 for v in finite) and max(finite, default=0) < 1e5:
        style = ".4f"
    else:
        style = ".3e"
    return ["-" if math.isnan(v) else format(v, style) for v in values]


def _lists(columns: Mapping[str, Sequence[float | None] | NDArray[Any]]) -> tuple[dict[str, list[float]], int]:
    """Columns, which must have the same length, as lists; none without rows. And the number of rows."""
    lengths = {name: _length(name, values) for name, values in mapping("columns", columns).items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns must have the same length, got {shown(lengths)}")
    rows = next(iter(lengths.values()), 0)
    return {name: _floats(name, values) for name, values in columns.items() if rows}, rows


def _length(name: Any, values: Any) -> int:
    """The rows of a column."""
    if not (isinstance(values, Sequence) or (isinstance(values, np.ndarray) and values.ndim)):
        raise TypeError(f"column {shown(name)} must be a sequence of numbers, got {shown(values)}")
    return len(values)


def _floats(name: str, values: Sequence[float | None] | NDArray[Any]) -> list[float]:
    """The numbers of a column; those of a float64 array need no check one by one."""
    if isinstance(name, str) and isinstance(values, np.ndarray) and values.dtype == np.float64 and values.ndim == 1:
        return values.tolist()
    return [column_number(name, value) for value in values]


def column_number(name: Any, value: Any) -> float:
    """Convert a value of the column `name` to float; None becomes NaN."""
    if not isinstance(name, str):
        raise TypeError(f"column names must be strings, got {shown(name)}")
    try:
        if not isinstance(value, (str, bytes, bytearray, np.complexfloating)):  # of which float takes some
            return math.nan if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise TypeError(f"column {shown(name)} must be a number, got {shown(value)}")
