"""Plots of trajectories on a landscape, of their losses, and an animation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nncore._messages import shown
from nncore._utils.fields import count
from nncore._utils.figures import SavePath, curve_style, finish, legend, loss_axis, new_figure, one_axes
from nncore.landscapes.functions import Landscape

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["animate", "plot_losses", "plot_trajectories"]

Array = NDArray[np.float64]
_MARKS = 7  # markers on a curve


def plot_trajectories(
    f: Landscape,
    paths: Mapping[str, Any],
    path: SavePath = None,
    ax: Axes | None = None,
    title: str | None = None,
    bounds: ArrayLike | None = None,
) -> Figure:
    """Draw contours of f and the trajectories of several optimizers on it.

    Where f has a minimum the contours are spaced evenly in log(f − minimum). Each way has a color, a line and a marker
    of its own; the marker with the dark rim is its end. A circle is the start, stars are minima. The legend stands
    beside the picture, and says which ways leave it.

    Parameters
    ----------
    f : Landscape
        Of two variables.
    paths : mapping of name to Path, Recording or array (steps + 1, 2)
    path : path-like, optional
        Save the picture there; the suffix says the format.
    ax : Axes, optional
        Draw there.
    title : str, optional
        Default: the name of f.
    bounds : array (2, 2), optional
        Lowest and highest coordinate, default ``f.bounds``.

    Examples
    --------
    >>> import nncore as nn
    >>> from nncore.landscapes import Beale
    >>> f = Beale()
    >>> paths = {"SGD": nn.SGD(lr=0.01).minimize(f, f.start, 100), "Adam": nn.Adam(lr=0.1).minimize(f, f.start, 100)}
    >>> figure = plot_trajectories(f, paths, "beale.png")     # doctest: +SKIP
    """
    ways = _ways(f, paths)
    figure, ax = one_axes("plot_trajectories", path, ax, (8.4, 5.4))
    low, high = _ground(ax, f, bounds)
    leaving = False
    for i, (name, way) in enumerate(ways.items()):
        outside = bool(((way < low) | (way > high)).any())
        leaving |= outside
        label = f"{name} *" if outside else name
        look = curve_style(i, len(ways))
        ax.plot(*_bounded(way, low, high).T, markevery=_marks(len(way), i, len(ways)), label=label, zorder=3 + 0.1 * i, **look)
        ax.plot(
            *way[-1], marker=look["marker"], color=look["color"], markersize=9 - 3 * i / len(ways), markeredgecolor="black",
            markeredgewidth=1.0, linestyle="none", zorder=5 + 0.1 * i,
        )  # fmt: skip
    _landmarks(ax, f, [way[0] for way in ways.values()])
    ax.set_title(f.name.replace("_", " ").capitalize() if title is None else title)
    legend(ax, "* leaves the picture" if leaving else None)
    return finish(figure, path)


def plot_losses(
    paths: Mapping[str, Any],
    path: SavePath = None,
    ax: Axes | None = None,
    title: str | None = None,
    lowest: float | None = 0.0,
) -> Figure:
    """Draw the loss of several walks against the number of steps, on a logarithmic axis.

    The axis ends at 1e-16 and 1e3 of the first loss. Where losses are negative it is linear about 0.

    Parameters
    ----------
    paths : mapping of name to Path, Recording or array (steps + 1,)
    path : path-like, optional
        Save the picture there; the suffix says the format.
    ax : Axes, optional
        Draw there.
    title : str, optional
    lowest : float or None, default 0
        The value at the minimum, which is subtracted.

    Examples
    --------
    >>> figure = plot_losses({"halved": 0.5 ** np.arange(10)}, "losses.png")     # doctest: +SKIP
    """
    losses = {name: np.asarray(getattr(p, "loss", p), np.float64) for name, p in paths.items()}
    if not losses or any(loss.ndim != 1 for loss in losses.values()):
        raise ValueError("paths must hold at least one path, each with losses (steps + 1,)")
    figure, ax = one_axes("plot_losses", path, ax, (7.6, 4.2))
    above = {name: loss - (lowest or 0.0) for name, loss in losses.items()}
    loss_axis(ax, list(above.values()))
    for i, (name, loss) in enumerate(above.items()):
        ax.plot(loss, markevery=_marks(len(loss), i, len(above)), label=name, **curve_style(i, len(above)))
    ax.set(xlabel="step", ylabel="loss − minimum" if lowest else "loss", title=title or "")
    ax.grid(alpha=0.25)
    legend(ax)
    return finish(figure, path)


def animate(
    f: Landscape,
    paths: Mapping[str, Any],
    path: SavePath = None,
    frames: int = 60,
    fps: int = 15,
    title: str | None = None,
    bounds: ArrayLike | None = None,
) -> FuncAnimation:
    """An animation of the trajectories, all of them at the same step.

    Parameters
    ----------
    f : Landscape
        Of two variables.
    paths : mapping of name to Path, Recording or array (steps + 1, 2)
    path : path-like, optional
        Save the film there: ``.gif``, or ``.html`` for a page with a slider.
    frames : int, default 60
        Pictures, evenly spread over the steps.
    fps : int, default 15
        Pictures a second.
    title, bounds : as in `plot_trajectories`

    Returns
    -------
    matplotlib.animation.FuncAnimation
        Keep it while it plays. In a notebook: ``IPython.display.HTML(animation.to_jshtml())``.

    Examples
    --------
    >>> import nncore as nn
    >>> from nncore.landscapes import Saddle
    >>> f = Saddle()
    >>> paths = {"Momentum": nn.Momentum(lr=0.01).minimize(f, f.start, 60)}
    >>> film = animate(f, paths, "saddle.gif")     # doctest: +SKIP
    """
    suffix = "" if path is None else os.path.splitext(os.fspath(path))[1].lower()
    if path is not None and suffix not in (".gif", ".html"):
        raise ValueError(f"path must be a name that ends in .gif or .html, got {shown(os.fspath(path))}")
    count("frames", frames)
    ways = _ways(f, paths)
    figure = new_figure("animate", (7.6, 5.0), path)
    draw, moments = _film(figure, f, ways, frames, title, bounds)
    from matplotlib.animation import FuncAnimation, PillowWriter

    film = FuncAnimation(figure, draw, frames=moments, interval=1000 / fps, repeat=True, cache_frame_data=False)
    if suffix == ".gif":
        film.save(os.fspath(path), writer=PillowWriter(fps=fps), dpi=80)  # type: ignore[arg-type]
    elif suffix == ".html":
        with open(path, "w", encoding="utf-8") as page:  # type: ignore[arg-type]
            page.write(film.to_jshtml(fps=fps))
    return film


def _film(
    figure: Figure, f: Landscape, ways: dict[str, Array], frames: int, title: str | None, bounds: ArrayLike | None
) -> tuple[Any, Array]:
    """The function that draws the moment t, and the moments."""
    ax = figure.add_subplot()
    low, high = _ground(ax, f, bounds)
    curves, heads = [], []
    for i, name in enumerate(ways):
        look = curve_style(i, len(ways))
        marker = look.pop("marker")
        curves += ax.plot([], [], **look)
        heads += ax.plot(
            [], [], marker=marker, label=name, color=look["color"], linestyle=look["linestyle"],
            markersize=10 - 3 * i / len(ways), markeredgecolor="black", zorder=5 + 0.1 * i,
        )  # fmt: skip
    _landmarks(ax, f, [way[0] for way in ways.values()])
    legend(ax)
    last = max(map(len, ways.values())) - 1
    head = f.name.replace("_", " ").capitalize() if title is None else title
    ax.set_title(f"{head}, step {last}")
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout is settled; finding it again for every picture would take the most time

    def draw(t: int) -> list[Any]:
        for curve, point, way in zip(curves, heads, ways.values(), strict=True):
            curve.set_data(*_bounded(way[: t + 1], low, high).T)
            point.set_data(*way[min(t, len(way) - 1)][:, None])
        ax.set_title(f"{head}, step {t}")
        return [*curves, *heads]

    return draw, np.unique(np.linspace(0, last, frames).round().astype(int))


def _ways(f: Landscape, paths: Mapping[str, Any]) -> dict[str, Array]:
    if f.start.size != 2:
        raise ValueError(f"f must be a landscape of two variables, got {f.start.size}")
    ways = {name: np.asarray(getattr(p, "theta", p), np.float64) for name, p in paths.items()}
    for name, way in ways.items():
        if way.ndim != 2 or way.shape[1] != 2 or not len(way):
            raise ValueError(f"paths[{name!r}] must have theta (steps + 1, 2), got shape {way.shape}")
    if not ways:
        raise ValueError("paths must hold at least one path, got none")
    return ways


def _bounded(way: Array, low: Array, high: Array) -> Array:
    """The trajectory, clipped outside the picture: matplotlib cannot draw numbers near the largest."""
    far = 100 * (high - low)
    return np.clip(way, low - far, high + far)


def _marks(n: int, i: int, of: int) -> list[int]:
    """Marker positions of curve i of ``of``: evenly spread, and not where the others have theirs."""
    return np.unique(((np.arange(_MARKS) + (i + 0.5) / of) * n / _MARKS).astype(int)).tolist()


def _ground(ax: Axes, f: Landscape, bounds: ArrayLike | None) -> tuple[Array, Array]:
    """Contours of f; returns the lowest and the highest coordinates."""
    low, high = np.asarray(f.bounds if bounds is None else bounds, np.float64).T
    x, y = (np.linspace(low[k], high[k], 401) for k in range(2))
    values = f.value(np.stack(np.meshgrid(x, y), axis=-1))
    if f.lowest is not None:
        values = np.log10(np.maximum(values - f.lowest, 1e-300))
    levels = np.linspace(np.percentile(values, 0.2), values.max(), 22)
    ax.contourf(x, y, values, levels, cmap="Greys", alpha=0.35, extend="both", zorder=0)
    ax.contour(x, y, values, levels, colors="0.55", linewidths=0.5, linestyles="solid", zorder=1)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="θ₁", ylabel="θ₂")
    return low, high


def _landmarks(ax: Axes, f: Landscape, starts: list[Array]) -> None:
    """Draw a circle at the start of the trajectories, stars at the minima of f."""
    x, y = np.unique(starts, axis=0).T
    ax.scatter(x, y, s=60, facecolors="white", edgecolors="black", linewidths=1.4, zorder=7, label="start")
    if len(f.minima):
        label = "minimum" if len(f.minima) == 1 else "minima"
        x, y = f.minima.T
        ax.scatter(x, y, s=140, marker="*", facecolors="gold", edgecolors="black", linewidths=0.9, zorder=8, label=label)
