"""Creating and saving figures."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nncore._messages import shown
from nncore._utils import files
from nncore._utils.checks import as_floats
from nncore._utils.files import file_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:  # matplotlib is imported where something is drawn
    Axes = Figure = Any

__all__ = [
    "COLORS", "Axes", "Figure", "SavePath", "check_axes", "checked_bounds", "finish", "legend", "loss_axis", "new_figure",
    "one_axes", "quartiles",
]  # fmt: skip

SavePath = str | os.PathLike[str] | None

# The colors of Okabe & Ito, distinguishable for color-blind readers, and some more.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#B8860B", "#56B4E9", "#7B3294", "#8C2D04", "#4D4D4D")


def new_figure(what: str, size: tuple[float, float], path: SavePath) -> Figure:
    """An empty figure: of pyplot, so that it shows, or independent of it where it is only saved."""
    _check_path(path)
    try:
        import matplotlib.figure
    except ImportError:
        raise ImportError(f"{what} needs matplotlib: pip install matplotlib") from None
    if path is not None:
        return matplotlib.figure.Figure(figsize=size, layout="constrained")
    import matplotlib.pyplot as plt

    return plt.figure(figsize=size, layout="constrained")


def one_axes(what: str, path: SavePath, ax: Axes | None, size: tuple[float, float] = (6.4, 4.0)) -> tuple[Any, Any]:
    """The given axes and their figure, or new ones."""
    if ax is not None:
        _check_path(path)
        return check_axes(ax).figure, ax
    figure = new_figure(what, size, path)
    return figure, figure.subplots()


def _check_path(path: Any) -> None:
    """Raise unless a figure may be saved there, before it is drawn."""
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a path or None, got {shown(path)}")
    if path is not None:
        file_name(path)


def check_axes(ax: Any) -> Axes:
    """Raise unless these are axes of matplotlib."""
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be axes of matplotlib, got {shown(ax)}")
    return ax


def finish(figure: Figure, path: SavePath) -> Figure:
    """Save it, if there is a path."""
    if path is not None:
        name, suffix = os.path.splitext(os.fspath(path))
        suffix = suffix or "." + figure.canvas.get_default_filetype()  # as matplotlib does
        figure.savefig(drawn := io.BytesIO(), format=suffix[1:], dpi=150)
        files.write(name + suffix, drawn.getvalue())
    return figure


def legend(ax: Axes, title: str | None = None) -> Any:
    """A legend to the right of the axes, where it covers nothing."""
    return ax.legend(
        loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0, frameon=False, handlelength=3.5, title=title,
        alignment="left", title_fontsize="small",
    )  # fmt: skip


def checked_bounds(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """`value` as an array (2, 2): the lowest and the highest number of each axis."""
    bounds = as_floats(value, name)
    if bounds.shape != (2, 2) or not (np.isfinite(bounds).all() and (bounds[:, 0] < bounds[:, 1]).all()):
        raise ValueError(f"{name} must be two pairs of a lowest and a highest number, got {shown(value)}")
    return bounds


def quartiles(curves: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Lower quartile, median and upper quartile of curves at each place, (3, length of the longest).

    A curve that has ended counts with its last number, so that the median does not jump where one ends.

    >>> quartiles([np.array([1.0, 2.0]), np.array([3.0]), np.array([5.0, 4.0])])[1]
    array([3., 3.])
    """
    length = max(map(len, curves))
    table = np.array([np.pad(curve, (0, length - len(curve)), "edge") for curve in curves if len(curve)])
    table[~np.isfinite(table)] = np.nan
    there, found = np.isfinite(table).any(axis=0), np.full((3, length), np.nan)
    found[:, there] = np.nanquantile(table[:, there], (0.25, 0.5, 0.75), axis=0)
    return found


def loss_axis(ax: Axes, curves: Sequence[NDArray[np.float64]]) -> None:
    """A logarithmic axis from 1e-16 to 1e3 of the greatest first loss; where losses are negative, linear about 0.

    To be called before the curves are drawn: matplotlib cannot choose the limits of numbers near the largest.
    """
    numbers = [curve[np.isfinite(curve)] for curve in curves]
    finite, first = np.concatenate(numbers), max(abs(float(curve[0])) for curve in numbers if curve.size)
    if finite.min() < 0:
        linear = 10.0 ** math.ceil(math.log10(first)) if first > 0 else 1.0
        ax.set_yscale("symlog", linthresh=linear)
        far = 1e12 * linear
        ax.set_ylim(3 * max(finite.min(), -far), 1.2 * min(max(finite.max(), 0.5 * linear), far))
        return
    ax.set_yscale("log")
    seen = finite[finite > 0]
    if seen.size and first > 0:
        low, high = max(seen.min(), 1e-16 * first), min(seen.max(), 1e3 * first)
        ax.set_ylim(low * (low / high) ** 0.04, high * (high / low) ** 0.04)
