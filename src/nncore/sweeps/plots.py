"""Pictures of sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nncore._utils.figures import COLORS, Axes, Figure, SavePath, finish, new_figure, quartiles
from nncore.sweeps.values import is_number, kinds, label, sort_key

Runs = Any  # a SweepTable, which imports this when it draws

__all__ = ["draw", "is_scattered"]


def draw(table: Runs, path: SavePath, kind: str, x: str | None, y: str | None, varied: Sequence[str]) -> Figure:
    """See `SweepTable.plot`."""
    if not np.isfinite(table.scores()).any():
        raise ValueError(table._none())
    if kind == "line":
        return _line(table, path, x or _one(varied))
    if kind in ("map", "points"):
        x = x or _one([name for name in varied if name != y], 1 + (y is None))
        return (_map if kind == "map" else _points)(table, path, x, y or _one([name for name in varied if name != x]))
    if kind == "parallel":
        _one(varied)
        return _parallel(table, path, list(varied))
    return _curves(table, path)


def _one(names: Sequence[str], needed: int = 1) -> str:
    """The first of those that have several values."""
    if len(names) < needed:
        what = "a parameter" if needed == 1 else f"{needed} parameters"
        raise ValueError(f"there must be {what} with several values to draw, got {', '.join(names) or 'none'}")
    return names[0]


def _of(table: Runs, results: Any, **parameters: Any) -> Any:
    """The finite results of the runs with these parameters."""
    keys = {name: sort_key(value) for name, value in parameters.items()}
    chosen = [all(sort_key(run.parameters.get(name)) == one for name, one in keys.items()) for run in table]
    return results[np.array(chosen) & np.isfinite(results)]


def _line(table: Runs, path: SavePath, x: str) -> Figure:
    """Median and quartiles of the runs with each value of a parameter."""
    figure = new_figure("SweepTable.plot", (5.6, 3.8), path)
    ax = figure.subplots()
    values, results = kinds(run.parameters.get(x) for run in table), table.column(table.monitor, best=True)
    places, three = _places(values), []
    for value in values:
        good = _of(table, results, **{x: value})
        three.append(np.quantile(good, (0.25, 0.5, 0.75)) if len(good) else (np.nan,) * 3)
    low, median, high = np.array(three).T
    ax.fill_between(places, low, high, color=COLORS[0], alpha=0.25, linewidth=0)
    ax.plot(places, median, "o-", color=COLORS[0], markersize=4)
    _axis(ax, "x", x, values)
    ax.set_ylabel(table.monitor)
    best = values[int(np.nanargmin(median) if table.mode == "min" else np.nanargmax(median))]
    ax.set_title(f"best {table.monitor} at {x} = {_label(best)}", loc="left")
    ax.grid(alpha=0.3)
    _log_if_wide(ax, np.concatenate([low, high]))
    return finish(figure, path)


def _map(table: Runs, path: SavePath, x: str, y: str) -> Figure:
    """The median over the runs with each pair of values."""
    across, up = (kinds(run.parameters.get(name) for run in table) for name in (x, y))
    results = table.column(table.monitor, best=True)
    medians = np.array([[_median(_of(table, results, **{x: a, y: b})) for a in across] for b in up])
    figure = new_figure("SweepTable.plot", (1.8 + 0.8 * len(across), 1.6 + 0.55 * len(up)), path)
    ax = figure.subplots()
    colors = np.log(medians) if _is_wide(medians) else medians
    ax.imshow(colors, origin="lower", aspect="auto", cmap="viridis_r" if table.mode == "min" else "viridis")
    middle = (np.nanmin(colors) + np.nanmax(colors)) / 2
    for i, j in np.ndindex(medians.shape):
        dark = (colors[i, j] > middle) == (table.mode == "min")
        text = "-" if np.isnan(medians[i, j]) else f"{medians[i, j]:.3g}"
        ax.text(j, i, text, ha="center", va="center", color="white" if dark else "black", fontsize=9)
    best = np.unravel_index(np.nanargmin(medians) if table.mode == "min" else np.nanargmax(medians), medians.shape)
    ax.add_patch(_frame(best[1], best[0]))
    ax.set_xticks(range(len(across)), [_label(value) for value in across])
    ax.set_yticks(range(len(up)), [_label(value) for value in up])
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    _title_of_two(ax, table, {x: across[best[1]], y: up[best[0]]})
    return finish(figure, path)


def _points(table: Runs, path: SavePath, x: str, y: str) -> Figure:
    """A point for each pair of values that there is, with the median over its runs as its color."""
    from matplotlib.colors import LogNorm

    results, pairs = table.column(table.monitor, best=True), _pairs(table, x, y)
    medians = np.array([_median(_of(table, results, **{x: a, y: b})) for a, b in pairs])
    there, place = np.isfinite(medians), int(np.nanargmin(medians) if table.mode == "min" else np.nanargmax(medians))
    figure = new_figure("SweepTable.plot", (6, 4.2), path)
    ax = figure.subplots()
    at = []
    for which, name, own in zip("xy", (x, y), zip(*pairs, strict=True), strict=True):
        values = kinds(own)
        order = {sort_key(value): position for value, position in zip(values, _places(values), strict=True)}
        at.append(np.array([order[sort_key(value)] for value in own]))
        _axis(ax, which, name, values)
    across, up = at
    points = ax.scatter(
        across[there], up[there], c=medians[there], s=45, cmap="viridis_r" if table.mode == "min" else "viridis",
        norm=LogNorm() if _is_wide(medians) else None,
    )  # fmt: skip
    ax.scatter(across[place], up[place], s=160, facecolors="none", edgecolors=COLORS[1], linewidths=2.5)
    if not there.all():
        ax.scatter(across[~there], up[~there], s=30, marker="x", color="0.6", linewidths=1, label="no result")
        ax.legend(loc="upper right", bbox_to_anchor=(1, 1.12), frameon=False, fontsize=8)
    figure.colorbar(points, ax=ax, label=table.monitor)
    ax.grid(alpha=0.3)
    _title_of_two(ax, table, dict(zip((x, y), pairs[place], strict=True)))
    return finish(figure, path)


def _pairs(table: Runs, x: str, y: str) -> list[tuple[Any, Any]]:
    """The different pairs of values of two parameters."""
    pairs = [(run.parameters.get(x), run.parameters.get(y)) for run in table]
    return list({(sort_key(a), sort_key(b)): (a, b) for a, b in pairs}.values())


def is_scattered(table: Runs, x: str, y: str) -> bool:
    """Whether most of the cells of a map would be empty, as with values that were drawn."""
    pairs = _pairs(table, x, y)
    return len(kinds(a for a, _ in pairs)) * len(kinds(b for _, b in pairs)) > 2 * len(pairs)


def _median(values: Any) -> float:
    return float(np.median(values)) if len(values) else np.nan


def _title_of_two(ax: Axes, table: Runs, best: dict[str, Any]) -> None:
    text = ", ".join(f"{name} = {_label(value)}" for name, value in best.items())
    ax.set_title(f"{table.monitor}: best at {text}", loc="left", fontsize=10)


def _frame(x: Any, y: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=COLORS[1], linewidth=2.5)


def _parallel(table: Runs, path: SavePath, names: list[str]) -> Figure:
    """A line for each run over its parameters to its result; the best tenth in color."""
    scores = table.scores()
    runs = [run for run, score in zip(table, scores, strict=True) if np.isfinite(score)]
    results = table.column(table.monitor, best=True)[np.isfinite(scores)]
    axes = [[run.parameters.get(name) for run in runs] for name in names] + [results.tolist()]
    figure = new_figure("SweepTable.plot", (1.6 * len(axes) + 1, 4), path)
    ax = figure.subplots()
    heights = np.array([_heights(values) for values in axes])
    good = scores[np.isfinite(scores)] <= np.quantile(scores[np.isfinite(scores)], 0.1)
    for line, chosen in zip(heights.T, good, strict=True):
        ax.plot(line, color=COLORS[1] if chosen else "0.6", alpha=0.9 if chosen else 0.35, linewidth=1.6 if chosen else 0.7,
                zorder=2 if chosen else 1)  # fmt: skip
    for place, (values, own) in enumerate(zip(axes, heights, strict=True)):
        ax.axvline(place, color="0.3", linewidth=0.8)
        for at in (int(own.argmin()), int(own.argmax())):
            ax.text(place, own[at] + (0.03 if own[at] > 0.5 else -0.03), _label(values[at]), ha="center",
                    va="bottom" if own[at] > 0.5 else "top", fontsize=8)  # fmt: skip
    ax.set_xticks(range(len(axes)), [*names, table.monitor])
    ax.set_yticks([])
    ax.set_ylim(-0.12, 1.12)
    ax.set_title(f"the best tenth of {len(runs)} runs", loc="left", color=COLORS[1])
    return finish(figure, path)


def _curves(table: Runs, path: SavePath) -> Figure:
    """Of all runs the monitored column against the epoch; in color the best candidate, and the median of its runs."""
    curves = {run.number: run.history[table.monitor] for run in table if run.history and table.monitor in run.history}
    if not curves:
        raise ValueError("runs must have a history to draw, got none")
    figure = new_figure("SweepTable.plot", (5.6, 3.8), path)
    ax = figure.subplots()
    best = table.groups()[0]
    longest, own = max(map(len, curves.values())), []
    for run in table:
        values = curves.get(run.number, ())
        is_best = run.candidate == best["candidate"]
        style = {"color": COLORS[1], "alpha": 0.6, "zorder": 3} if is_best else {"color": "0.6"}
        end = "." if 0 < len(values) < longest else ""  # so that one is seen that was trained for one epoch only
        ax.plot(np.arange(1, len(values) + 1), values, marker=end, markevery=[-1] if end else None, linewidth=0.7, **style)
        own += [values] if is_best and len(values) else []
    text = ", ".join(f"{name} = {_label(value)}" for name, value in best["parameters"].items())
    if own:
        low, median, high = quartiles(own)
        epochs = np.arange(1, len(median) + 1)
        ax.plot(epochs, median, color=COLORS[1], linewidth=2, zorder=4)
        ax.fill_between(epochs, low, high, color=COLORS[1], alpha=0.2, linewidth=0)
        text += f"; median and quartiles of {len(own)} runs" * (len(own) > 1)
    _log_if_wide(ax, np.concatenate(list(curves.values())))
    ax.set_title(f"best: {text}", loc="left", color=COLORS[1], fontsize=10)
    ax.set_xlabel("epochs trained")
    ax.set_ylabel(table.monitor)
    ax.grid(alpha=0.3)
    return finish(figure, path)


def _numeric(values: Sequence[Any]) -> bool:
    return all(map(is_number, values))


def _logarithmic(values: Sequence[Any]) -> bool:
    return _numeric(values) and min(values) > 0 and max(values) > 20 * min(values)


def _places(values: Sequence[Any]) -> Any:
    return values if _numeric(values) else range(len(values))


def _heights(values: Sequence[Any]) -> Any:
    """Between 0 and 1: numbers on a linear or logarithmic axis, others in order."""
    if not _numeric(values):
        order = {sort_key(value): float(place) for place, value in enumerate(kinds(values))}
        numbers = np.array([order[sort_key(value)] for value in values])
    else:
        numbers = np.log(values) if _logarithmic(values) else np.array(values, dtype=float)
    width = np.ptp(numbers)
    return (numbers - numbers.min()) / width if width else np.full(len(numbers), 0.5)


def _axis(ax: Axes, which: str, name: str, values: Sequence[Any]) -> None:
    """``which``: "x" or "y"."""
    axis: Any = {"x": ax.xaxis, "y": ax.yaxis}[which]
    axis.set_label_text(name)
    if _logarithmic(values):
        (ax.set_xscale if which == "x" else ax.set_yscale)("log")
    elif not _numeric(values):
        axis.set_ticks(range(len(values)), [_label(value) for value in values])


def _is_wide(values: Any) -> bool:
    finite = values[np.isfinite(values)]
    return bool(len(finite) and finite.min() > 0 and finite.max() > 30 * finite.min())


def _log_if_wide(ax: Axes, values: Any) -> None:
    if _is_wide(values):
        ax.set_yscale("log")


def _label(value: Any) -> str:
    return label(value, 16)
