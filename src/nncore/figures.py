"""Figures: made and saved the same way everywhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SavePath", "finish", "new_figure", "one_axes"]

SavePath = str | os.PathLike[str] | None


def new_figure(what: str, size: tuple[float, float], path: SavePath) -> Figure:
    """An empty figure: of pyplot, so that it shows, or independent of it where it is only saved."""
    try:
        import matplotlib.figure
    except ImportError:
        raise ImportError(f"{what} needs matplotlib: pip install matplotlib") from None
    if path is not None:
        return matplotlib.figure.Figure(figsize=size, layout="constrained")
    import matplotlib.pyplot as plt

    return plt.figure(figsize=size, layout="constrained")


def one_axes(what: str, path: SavePath, ax: Axes | None) -> tuple[Any, Any]:
    """The given axes and their figure, or new ones."""
    if ax is not None:
        return ax.figure, ax
    figure = new_figure(what, (6.4, 4.0), path)
    return figure, figure.subplots()


def finish(figure: Figure, path: SavePath) -> Figure:
    """Save it, if there is a path."""
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure
