"""The look of nncore's figures: one color for each optimizer, labels at the ends of lines, and a style for slides.

``plt.style.use("nncore.slide")`` sets fonts and widths that are readable from the back of a lecture hall.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from nncore._messages import shown
from nncore._utils.arrays import several
from nncore._utils.figures import Axes, check_axes

__all__ = ["OPTIMIZER_COLORS", "PALETTE", "colors", "label_ends"]

#: The colors of Okabe & Ito (2008), which color-blind readers can tell apart; neighbors differ in lightness.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#B8860B", "#4D4D4D", "#7B3294", "#8C2D04", "#1B9E9E")

_LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.5, 1.5)))

#: The color of an optimizer wherever it is drawn, by the name of its class.
OPTIMIZER_COLORS = MappingProxyType(
    {
        "SGD": "#6E6E6E",
        "Momentum": "#0072B2",
        "Nesterov": "#56B4E9",
        "AdaGrad": "#B8860B",
        "RMSprop": "#009E73",
        "AdaDelta": "#CC79A7",
        "Adam": "#D55E00",
        "AdamW": "#8C2D04",
        "NAdam": "#F28E2B",
        "AdaMax": "#E15759",
        "AMSGrad": "#A0522D",
        "LazyAdam": "#C97B5A",
        "Lion": "#7B3294",
        "Rprop": "#1B9E9E",
        "DeltaBarDelta": "#5F7F1E",
        "FTRL": "#9E7B9B",
        "PathSGD": "#C51B7D",
        "Newton": "#111111",
        "DampedNewton": "#333366",
        "ModifiedNewton": "#5B5B99",
        "AdaptiveDampedNewton": "#3B3B5C",
        "NonlinearCG": "#2E8B57",
        "BFGS": "#5C4033",
        "LBFGS": "#8A6A4F",
        "TruncatedNewton": "#4B0082",
        "GaussNewton": "#B03060",
        "LevenbergMarquardt": "#800040",
    }
)


_BY_KEY = {name.lower(): color for name, color in OPTIMIZER_COLORS.items()}


def colors(names: Iterable[str]) -> dict[str, str]:
    """A color for each name: an optimizer's own where a name is or begins with that of a class, else the next of `PALETTE`.

    Parameters
    ----------
    names : iterable of str
        ``"Adam"``, ``"Adam, lr 0.1"``, ``"l-bfgs"``, ``"batch norm"``, … Two names of one optimizer have the same color:
        use `PALETTE` or line styles where variants of one optimizer are compared.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> import nncore as nn
    >>> nn.figures.colors(["Adam", "SGD, lr 0.1", "mine"])
    {'Adam': '#D55E00', 'SGD, lr 0.1': '#6E6E6E', 'mine': '#0072B2'}
    """
    if not several(names):
        raise TypeError(f"names must be strings, got {shown(names)}")
    found, free = {}, 0
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"names must be strings, got {shown(name)}")
        own = _BY_KEY.get(re.split("[ ,(]", name)[0].lower().replace("_", "").replace("-", ""))
        if own is None:
            own, free = PALETTE[free % len(PALETTE)], free + 1
        found[name] = own
    return found


def curve_styles(names: Iterable[str]) -> list[dict[str, Any]]:
    """Color and line of each curve: solid, but for further ones of the same color. White around it, where it crosses others."""
    from matplotlib.patheffects import Normal, Stroke

    seen: list[str] = []
    styles = []
    for color in colors(names).values():
        line = _LINES[seen.count(color) % len(_LINES)]
        outline = [Stroke(linewidth=3.6, foreground="white"), Normal()]
        styles.append({"color": color, "linestyle": line, "linewidth": 1.8, "path_effects": outline})
        seen.append(color)
    return styles


def label_ends(ax: Axes, labels: Mapping[str, str] | None = None, gap: float = 1.15, **text: Any) -> None:
    """Write each line's label at its right end, in its color, instead of a legend. Labels that would overlap are moved apart.

    To be called when the limits of the axes and the size of the figure are final.

    Parameters
    ----------
    ax : matplotlib Axes
        Its lines with a label (none that begins with an underscore) are labeled.
    labels : dict of str to str, optional
        Another text for a line's label.
    gap : float, default 1.15
        Smallest distance of two labels, in heights of a line of text.
    **text
        For ``ax.annotate``, such as ``fontsize``.

    Raises
    ------
    ValueError
        If no line has a label, or ``labels`` has one that no line has.
    """
    lines = [line for line in check_axes(ax).get_lines() if not str(line.get_label()).startswith("_")]
    known = [str(line.get_label()) for line in lines]
    if not lines:
        raise ValueError("label_ends needs axes with lines that have labels, got none")
    if unknown := set(labels or {}) - set(known):
        raise ValueError(f"labels must name lines of the axes, {', '.join(map(shown, known))}, got {shown(sorted(unknown)[0])}")
    figure: Any = ax.figure.canvas.figure  # the whole figure, also of axes in a subfigure
    figure.draw_without_rendering()  # the layout decides where the ends are
    size = text.pop("fontsize", None) or _points()
    high = gap * size * figure.dpi / 72
    ends = [_end(ax, line) for line in lines]
    places = _apart(np.array([y for _, y in ends]), high)
    box = ax.get_window_extent()
    places += min(0.0, box.y1 - places.max())  # within the axes, as far as there is room
    places += max(0.0, box.y0 - places.min())
    back = ax.transData.inverted()  # anchored in the data, so that the layout may still make room for the labels
    for line, (x, y), place in zip(lines, ends, places, strict=True):
        label, end = str(line.get_label()), back.transform((x, y))
        ax.annotate(
            (labels or {}).get(label, label), tuple(end), (6, (place - y) * 72 / figure.dpi), xycoords="data",
            textcoords="offset points", va="center", color=line.get_color(), fontsize=size, annotation_clip=False, **text,
        )  # fmt: skip


def _points() -> float:
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties

    return float(FontProperties(size=rcParams["legend.fontsize"]).get_size_in_points())


def _end(ax: Axes, line: Any) -> tuple[float, float]:
    """The last finite point of a line, in pixels, within the axes."""
    points = line.get_transform().transform(np.column_stack([np.asarray(a, float) for a in line.get_data()]))
    points = points[np.isfinite(points).all(axis=1)]
    box = ax.get_window_extent()
    if not len(points):
        return box.x1, box.y0
    x, y = points[-1]
    return float(np.clip(x, box.x0, box.x1)), float(np.clip(y, box.y0, box.y1))


def _apart(wanted: np.ndarray, gap: float) -> np.ndarray:
    """The places nearest to ``wanted`` in the mean square of which no two are nearer than ``gap``, in the same order."""
    order = np.argsort(wanted, kind="stable")
    targets = wanted[order] - gap * np.arange(len(order))  # then only the order must hold: isotonic regression
    blocks: list[list[float]] = []  # sum and count
    for value in targets:
        blocks.append([float(value), 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    means = np.concatenate([np.full(int(count), total / count) for total, count in blocks])
    places = np.empty(len(order))
    places[order] = means + gap * np.arange(len(order))
    return places
