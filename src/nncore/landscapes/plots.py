"""Plots of trajectories on a landscape, of their losses, and an animation."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from nncore._messages import shown
from nncore._utils import files
from nncore._utils.checks import as_floats
from nncore._utils.fields import count, mapping, number
from nncore._utils.figures import SavePath, checked_bounds, finish, legend, loss_axis, new_figure, one_axes
from nncore.figures import curve_styles
from nncore.landscapes.functions import Array, Landscape

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["animate", "plot_losses", "plot_trajectories"]

_EVERY = 10  # steps from one dot to the next


def plot_trajectories(
    f: Landscape, paths: Mapping[str, Any], path: SavePath = None, ax: Axes | None = None, title: str | None = None,
    bounds: ArrayLike | None = None,
) -> Figure:  # fmt: skip
    """Draw contours of f and the trajectories of several optimizers on it.

    If f has a minimum the contours are evenly spaced in log(f − minimum), otherwise red is above 0 and blue below. An
    optimizer has its own color everywhere, `nncore.figures.OPTIMIZER_COLORS`; dots mark every tenth step, and the dot with the
    dark edge is the end. A circle is the start, stars are minima. Both coordinates have the same scale, so that gradients are
    perpendicular to the contours. The legend marks trajectories that leave the plot.

    Parameters
    ----------
    f : Landscape
        Of two variables.
    paths : mapping of name to Path, Recording or array (steps + 1, 2)
    path : path-like, optional
        Save the figure there; the suffix determines the format.
    ax : Axes, optional
        Draw there instead of in a new figure.
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
    >>> animation = animate(f, paths, "beale.gif")     # doctest: +SKIP
    """
    trajectories = _trajectories(f, paths)
    figure, ax = one_axes("plot_trajectories", path, ax, (8.4, 5.4))
    low, high = _contours(ax, f, bounds)
    leaving = False
    for (name, points), style in zip(trajectories.items(), curve_styles(trajectories), strict=True):
        outside = bool(((points < low) | (points > high)).any())
        leaving |= outside
        label = f"{name} *" if outside else name
        marks = _dots(len(points))
        ax.plot(*_bounded(points, low, high).T, label=label, zorder=3, **style, **marks)
        ax.plot(*points[-1], **_end(style))
    _landmarks(ax, f, [points[0] for points in trajectories.values()])
    ax.set_title(f.name.replace("_", " ").capitalize() if title is None else title)
    legend(ax, "* leaves the plot" if leaving else None)
    return finish(figure, path)


def plot_losses(
    paths: Mapping[str, Any], path: SavePath = None, ax: Axes | None = None, title: str | None = None,
    lowest: float | None = 0.0,
) -> Figure:  # fmt: skip
    """Draw the losses of several trajectories against the number of steps, on a logarithmic axis.

    The axis ends at 1e-16 and 1e3 of the first loss. With negative losses it is linear around 0.

    Parameters
    ----------
    paths : mapping of name to Path, Recording or array (steps + 1,)
    path, ax, title : as in `plot_trajectories`
    lowest : float or None, default 0
        The value at the minimum, which is subtracted.
    """
    losses = {name: as_floats(getattr(p, "loss", p), f"paths[{name!r}]") for name, p in mapping("paths", paths).items()}
    if not losses or any(loss.ndim != 1 or not np.isfinite(loss).any() for loss in losses.values()):
        raise ValueError("paths must hold at least one path, each with losses (steps + 1,), not all NaN or infinite")
    figure, ax = one_axes("plot_losses", path, ax, (7.6, 4.2))
    above = {name: loss - (lowest or 0.0) for name, loss in losses.items()}
    loss_axis(ax, list(above.values()))
    for (name, loss), style in zip(above.items(), curve_styles(above), strict=True):
        ax.plot(loss, label=name, **style)
    ax.set(xlabel="step", ylabel="loss − minimum" if lowest else "loss", title=title or "")
    ax.grid(alpha=0.25)
    legend(ax)
    return finish(figure, path)


def animate(
    f: Landscape, paths: Mapping[str, Any], path: SavePath = None, frames: int = 60, fps: int = 15, title: str | None = None,
    bounds: ArrayLike | None = None,
) -> FuncAnimation:  # fmt: skip
    """An animation of the trajectories, all of them at the same step. The legend has the value of f where each is.

    It is drawn as `plot_trajectories` does. Keep it while it plays. In a notebook:
    ``IPython.display.HTML(animation.to_jshtml())``.

    Parameters
    ----------
    f, paths, title, bounds : as in `plot_trajectories`
    path : path-like, optional
        Save the animation there: ``.gif``, or ``.html`` for a page with a slider.
    frames : int, default 60
        Number of frames, evenly spaced over the steps.
    fps : int, default 15
        Frames per second.
    """
    suffix = "" if path is None else os.path.splitext(os.fspath(path))[1].lower()
    if path is not None and suffix not in (".gif", ".html"):
        raise ValueError(f"path must be a name that ends in .gif or .html, got {shown(os.fspath(path))}")
    count("frames", frames)
    number("fps", fps, above=0)
    trajectories = _trajectories(f, paths)
    wide, high = np.ptp(checked_bounds("bounds", f.bounds if bounds is None else bounds), axis=1)
    width = min(7.0, 4.0 * wide / high)  # of the axes, in inches
    figure = new_figure("animate", (3.0 + width, max(1.0 + width * high / wide, 3.0)), path)
    draw, drawn = _frames(figure, f, trajectories, frames, title, bounds)
    from matplotlib.animation import FuncAnimation, PillowWriter

    animation = FuncAnimation(figure, draw, frames=drawn, interval=1000 / fps, repeat=True, cache_frame_data=False)
    if suffix == ".gif":
        with tempfile.TemporaryDirectory() as folder:  # matplotlib writes animations by name only
            gif = Path(folder, "animation.gif")
            animation.save(os.fspath(gif), writer=PillowWriter(fps=fps), dpi=80)
            files.write(path, gif.read_bytes())  # type: ignore[arg-type]
    elif suffix == ".html":
        files.write(path, animation.to_jshtml(fps=fps).encode())  # type: ignore[arg-type]
    return animation


def _frames(
    figure: Figure, f: Landscape, trajectories: dict[str, Array], frames: int, title: str | None, bounds: ArrayLike | None
) -> tuple[Any, Array]:
    """The function that draws the frame of step t, and the steps of the frames."""
    ax = figure.add_subplot()
    low, high = _contours(ax, f, bounds, levels=10)  # few lines: they are in every frame of the file
    curves, heads = [], []
    for name, style in zip(trajectories, curve_styles(trajectories), strict=True):
        curves += ax.plot([], [], label=name, **style, **_dots(len(trajectories[name])))
        heads += ax.plot([], [], **_end(style))
    _landmarks(ax, f, [points[0] for points in trajectories.values()])
    entries = dict(zip(trajectories, legend(ax).get_texts(), strict=False))
    values = {name: f.value(_bounded(points, low, high)) for name, points in trajectories.items()}
    for name, entry in entries.items():
        entry.set_text(f"{name}  {_short(-0.00088)}")  # room for the longest
    last = max(map(len, trajectories.values())) - 1
    head = f.name.replace("_", " ").capitalize() if title is None else title
    ax.set_title(f"{head}, step {last}")
    figure.draw_without_rendering()
    figure.draw_without_rendering()  # once more: the first time the width of axes with equal scales was not yet known
    figure.set_layout_engine("none")  # keep the layout: computing it again for every frame would take most of the time

    def draw(t: int) -> list[Any]:
        for curve, mark, points in zip(curves, heads, trajectories.values(), strict=True):
            curve.set_data(*_bounded(points[: t + 1], low, high).T)
            mark.set_data(*points[min(t, len(points) - 1)][:, None])
        for name, entry in entries.items():
            entry.set_text(f"{name}  {_short(values[name][min(t, len(values[name]) - 1)])}")
        ax.set_title(f"{head}, step {t}")
        return [*curves, *heads, *entries.values()]

    return draw, np.unique(np.linspace(0, last, frames).round().astype(int))


def _short(value: float) -> str:
    """A value of f in two digits; no more than a millionth and a thousand can be told apart."""
    if abs(value) >= 1000:
        return "< −999" if value < 0 else "> 999"
    return f"{value:.2g}".replace("-", "−") if abs(value) >= 1e-6 else "< 1e−6"


def _trajectories(f: Landscape, paths: Mapping[str, Any]) -> dict[str, Array]:
    if not isinstance(f, Landscape):
        raise TypeError(f"f must be a Landscape, got {shown(f)}")
    if f.start.size != 2:
        raise ValueError(f"f must be a landscape of two variables, got {f.start.size}")
    trajectories = {name: as_floats(getattr(p, "theta", p), f"paths[{name!r}]") for name, p in mapping("paths", paths).items()}
    for name, points in trajectories.items():
        if points.ndim != 2 or points.shape[1] != 2 or not len(points):
            raise ValueError(f"paths[{name!r}] must have theta (steps + 1, 2), got shape {points.shape}")
    if not trajectories:
        raise ValueError("paths must hold at least one path, got none")
    return trajectories


def _bounded(points: Array, low: Array, high: Array) -> Array:
    """The trajectory, clipped far outside the plot: matplotlib cannot draw numbers near overflow."""
    far = 100 * (high - low)
    return np.clip(points, low - far, high + far)


def _dots(points: int) -> dict[str, Any]:
    """A dot every ten steps; at every step of a short trajectory, none on a long one."""
    if points > 40 * _EVERY:
        return {}
    return {"marker": "o", "markersize": 4.5, "markevery": _EVERY if points > 2 * _EVERY else 1}


def _end(style: dict[str, Any]) -> dict[str, Any]:
    """The dot at the end of a trajectory."""
    return {
        "marker": "o", "markersize": 8, "color": style["color"], "markeredgecolor": "black", "markeredgewidth": 1.0,
        "linestyle": "none", "zorder": 5,
    }  # fmt: skip


def _contours(ax: Axes, f: Landscape, bounds: ArrayLike | None, levels: int = 22) -> tuple[Array, Array]:
    """Contours of f; returns the lowest and the highest coordinates."""
    low, high = checked_bounds("bounds", f.bounds if bounds is None else bounds).T
    x, y = (np.linspace(low[k], high[k], 401) for k in range(2))
    values = f.value(np.stack(np.meshgrid(x, y), axis=-1))
    if f.lowest is not None:
        values = np.log10(np.maximum(values - f.lowest, 1e-300))
    heights = np.linspace(np.percentile(values, 0.2), values.max(), levels)
    ax.contourf(x, y, values, heights, extend="both", zorder=0, **_shades(f, values))
    ax.contour(x, y, values, heights, colors="0.55", linewidths=0.5, linestyles="solid", zorder=1)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="θ₁", ylabel="θ₂", aspect="equal")
    return low, high


def _shades(f: Landscape, values: Array) -> dict[str, Any]:
    """Gray by height; without a minimum, red above 0 and blue below."""
    if f.lowest is not None:
        return {"cmap": "Greys", "alpha": 0.35}
    from matplotlib.colors import CenteredNorm

    return {"cmap": "RdBu_r", "alpha": 0.45, "norm": CenteredNorm(0.0, float(np.abs(values).max()))}


def _landmarks(ax: Axes, f: Landscape, starts: list[Array]) -> None:
    """Draw a circle at the start of the trajectories, stars at the minima of f."""
    x, y = np.unique(starts, axis=0).T
    ax.scatter(x, y, s=60, facecolors="white", edgecolors="black", linewidths=1.4, zorder=7, label="start")
    if len(f.minima):
        label = "minimum" if len(f.minima) == 1 else "minima"
        x, y = f.minima.T
        ax.scatter(x, y, s=140, marker="*", facecolors="gold", edgecolors="black", linewidths=0.9, zorder=8, label=label)
