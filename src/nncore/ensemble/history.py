"""What is recorded of the training of an ensemble."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._messages import clipped, shown
from nncore._utils.fields import count
from nncore._utils.figures import Figure, SavePath, finish, new_figure, quartiles
from nncore._utils.tables import html_table
from nncore.history import History, column_number, larger_is_better

__all__ = ["EnsembleHistory"]

Array = NDArray[np.float64]


class EnsembleHistory:
    """The columns of a `History` for each member of an ensemble.

    ``history["val_loss"]`` has the shape (epochs, members); it is NaN where a member was not trained any more. ``member(k)`` is
    the `History` of one member.

    Attributes
    ----------
    ended : list of str
        For each member why its training ended: "finished", "stopped", "interrupted", or "diverged: …". Empty before.
    epochs, kept : ndarray (members,)
        The epochs of each member, and the one whose parameters it has: the last, or the best that `EarlyStopping` put back.

    Examples
    --------
    >>> import nncore as nn
    >>> ensemble = nn.Ensemble(nn.Sequential([nn.Dense(1)], input_shape=1), 3)
    >>> trainer = nn.Trainer(ensemble, "squared_error", nn.SGD(lr=0.1))
    >>> history = trainer.fit([[0.0], [1.0]], [[1.0], [2.0]], epochs=2, verbose=0)
    >>> history["running_loss"].shape, len(history.member(0)), history.ended
    ((2, 3), 2, ['finished', 'finished', 'finished'])
    """

    def __init__(self, members: int) -> None:
        members = self.members = count("members", members)
        self.epochs, self.kept = np.zeros((2, members), dtype=np.int64)
        self.ended = [""] * members
        self.labels: dict[str, list[Any]] = {}  # columns of the table that tell members apart
        self._table: dict[str, Array] = {}  # (epochs or more, members) for each column: NaN where there is no value
        self._names: list[tuple[str, ...]] = [()] * members  # the columns of each member, in their order

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Array], names: Sequence[Sequence[str]], epochs: Sequence[int], kept: Sequence[int],
        ended: Sequence[str], labels: Mapping[str, list[Any]],
    ) -> EnsembleHistory:  # fmt: skip
        """A history with these columns (epochs, members), of which each member has those of ``names``, in its order."""
        history = cls(len(epochs))
        history.epochs[...], history.kept[...], history.ended, history.labels = epochs, kept, list(ended), dict(labels)
        if not len(names) == len(ended) == history.members or history.epochs.min(initial=0) < 0:
            raise ValueError(f"there must be epochs, columns and a reason of the end for each of {history.members} members")
        if not len(kept) == history.members or (history.kept < 0).any() or (history.kept > history.epochs).any():
            raise ValueError(f"the epoch that a member has kept must be one of its own, got {shown(kept)}")
        if not all(isinstance(text, str) for text in (*columns, *ended)) or not set().union(*names) <= set(columns):
            raise ValueError(f"columns and reasons must be texts, and the columns of the members among {shown(list(columns))}")
        for name, values in columns.items():
            if values.shape != (len(history), history.members) or values.dtype != np.float64:
                raise ValueError(f"column {name} must be float64 of shape {len(history), history.members}, got {values.shape}")
        history._table, history._names = dict(columns), list(map(tuple, names))
        return history

    # --- changing: for the trainer

    def extend(self, numbers: NDArray[np.int64], columns: Mapping[str, Array], counts: NDArray[np.int64]) -> None:
        """Add rows: ``columns`` (members, epochs) of these members, of which each has had this many epochs."""
        self._put(numbers, self.epochs[numbers], columns, counts)
        self.epochs[numbers] += counts
        self.kept[numbers] = self.epochs[numbers]

    def amend(self, number: int, values: Mapping[str, float]) -> None:
        """Set columns of the last row of a member. TypeError, as in `History`, for what is no name or no number."""
        columns = {name: np.array([[column_number(name, value)]]) for name, value in values.items()}
        self._put(np.array([number]), self.epochs[[number]] - 1, columns, np.ones(1, dtype=np.int64))

    def _put(
        self, numbers: NDArray[np.int64], first: NDArray[np.int64], columns: Mapping[str, Array], counts: NDArray[np.int64]
    ) -> None:
        """Write the first ``counts`` values of each member from its row ``first`` on."""
        place, epoch = np.nonzero(np.arange(counts.max(initial=0)) < counts[:, None])
        rows, needed = first[place] + epoch, int((first + counts).max(initial=0))
        for name, values in columns.items():
            self._column(name, needed)[rows, numbers[place]] = values[place, epoch]
        joined = {known: tuple(dict.fromkeys((*known, *columns))) for known in {self._names[number] for number in numbers}}
        for number in numbers.tolist():
            self._names[number] = joined[self._names[number]]

    def _column(self, name: str, rows: int) -> Array:
        """The array of a column, with room for so many rows. It grows by half: the time of many epochs is linear in them."""
        column = self._table.get(name, np.empty((0, self.members)))
        if len(column) < rows:
            room = np.full((max(rows, len(column) * 3 // 2), self.members), np.nan)
            room[: len(column)] = column
            column = self._table[name] = room
        return column

    # --- reading

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self._table)

    def __len__(self) -> int:
        """The epochs of the member that had most."""
        return int(self.epochs.max(initial=0))

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __contains__(self, column: object) -> bool:
        return column in self._table

    def __getitem__(self, column: str) -> Array:
        """A column as a new array (epochs, members)."""
        return self._values(column).copy()

    def _values(self, column: str) -> Array:
        if not isinstance(column, str) or column not in self._table:
            raise KeyError(f"no column {shown(column)}; there are {', '.join(self._table) or 'none'}")
        return self._column(column, len(self))[: len(self)]

    def member(self, number: int) -> History:
        """The history of one member."""
        if not isinstance(number, (int, np.integer)) or isinstance(number, bool):  # which would be a mask
            raise TypeError(f"number must be that of a member, got {shown(number)}")
        if not 0 <= number < self.members:
            raise IndexError(f"there is no member {shown(number)}: there are {self.members}")
        rows = int(self.epochs[number])
        return History.from_columns({name: self._column(name, rows)[:rows, number] for name in self._names[number]})

    def last(self, column: str) -> Array:
        """The value of each member's last epoch, (members,)."""
        return self._after(self.epochs, column)

    def now(self, column: str) -> Array:
        """The value of each member in the epoch whose parameters it has, (members,): see ``kept``."""
        return self._after(self.kept, column)

    def _after(self, epochs: NDArray[np.int64], column: str) -> Array:
        values, rows = self._values(column), epochs - 1
        return np.where(rows >= 0, values[np.maximum(rows, 0), np.arange(self.members)], np.nan)

    def best(self, column: str = "val_loss", members: int = 1, *, mode: str = "auto") -> list[int]:
        """The numbers of the members that are best by a column, in the epoch whose parameters they have; the best first.

        Raises
        ------
        KeyError, ValueError
            For an unknown column; if "auto" does not know whether it is better when larger.
        """
        values, members = self.now(column), count("members", members)
        if larger_is_better(column, mode):
            values = -values
        order = np.argsort(values, kind="stable")  # NaN last
        return [int(number) for number in order[:members]]

    def table(self) -> list[dict[str, Any]]:
        """A row for each member: what tells it apart, its epochs, its value of each column, why it ended.

        The values are those of the epoch whose parameters it has, which is a column ``kept`` where it is not always the last.

        >>> import nncore as nn
        >>> ensemble = nn.Ensemble(nn.Sequential([nn.Dense(1)], input_shape=1), 2)
        >>> trainer = nn.Trainer(ensemble, "squared_error", nn.SGD(lr=nn.Each([0.1, 0.2])))
        >>> [row["lr"] for row in trainer.fit([[0.0]], [[1.0]], verbose=0).table()]
        [0.1, 0.2]
        """
        now = {name: self.now(name) for name in self._table}
        earlier = bool((self.kept != self.epochs).any())
        return [
            {
                "member": number,
                **{name: values[number] for name, values in self.labels.items()},
                "epochs": int(self.epochs[number]), **({"kept": int(self.kept[number])} if earlier else {}),
                **{name: float(values[number]) for name, values in now.items() if name not in self.labels},
                "ended": self.ended[number],
            }
            for number in range(self.members)
        ]  # fmt: skip

    def to_pandas(self) -> Any:
        """The `table` as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.table())

    def plot(self, path: SavePath = None, columns: Iterable[str] = ()) -> Figure:
        """Draw losses against the epoch: the median over the members, the range of their middle half, and each of up to 20.

        A member whose training has ended counts with its last value.

        Parameters
        ----------
        path : path-like, optional
            File to save the figure to.
        columns : iterable of str
            Default: ``val_loss`` if there is one, else the running loss.
        """
        names = list(columns) or [name for name in ("val_loss", "running_loss") if name in self][:1]
        figure = new_figure("EnsembleHistory.plot", (5.2 * len(names), 3.6), path)
        for ax, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            values = self[name]
            epochs = np.arange(1, len(values) + 1)
            if self.members <= 20:
                ax.plot(epochs, values, color="#0072B2", alpha=0.3, linewidth=0.8)
            low, median, high = quartiles([values[:own, number] for number, own in enumerate(self.epochs)])
            ax.fill_between(epochs, low, high, color="#0072B2", alpha=0.25, linewidth=0, label="middle half of the members")
            ax.plot(epochs, median, color="#0072B2", linewidth=2, label="median")
            if np.nanmin(values) > 0 and np.nanmax(values) > 100 * np.nanmin(values):
                ax.set_yscale("log")
            ax.set_xlabel("epochs trained")
            ax.set_ylabel(name)
            ax.set_title(f"{name} of {self.members} members")
            ax.grid(alpha=0.3)
            ax.legend(frameon=False)
        return finish(figure, path)

    def _cells(self) -> list[list[str]]:
        rows = self.table()
        names = list(rows[0]) if rows else []
        shown_rows = rows if len(rows) <= 20 else [*rows[:10], *rows[-10:]]
        cells = [names, *[[_cell(row[name]) for name in names] for row in shown_rows]]
        if len(rows) > 20:
            cells.insert(11, ["…"] * len(names))
        return cells

    def __repr__(self) -> str:
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)

    def _repr_html_(self) -> str:
        return html_table(self._cells(), text_columns=0)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4g}"
    return clipped(value, 80)
