"""Optimizers that race on a landscape: a function of two variables, or a network's loss on a plane."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._messages import shown
from nncore._utils.fields import choice, count, number
from nncore.errors import DivergenceError
from nncore.figures import colors
from nncore.landscapes import LANDSCAPES, Landscape, Quadratic, steps_to
from nncore.optimizers import Optimizer
from nncore.playground.plane import NetworkPlane
from nncore.playground.racers import racer
from nncore.second_order import FullBatchOptimizer, PathWithHistory

__all__ = ["answer", "checked", "landscapes"]

Array = NDArray[Any]
State = Mapping[str, Any]
Surface = Landscape | NetworkPlane

GRID, NETWORK_GRID = 161, 51  # points on each side; each one of a network is a pass over its data
LEVELS = 18  # contours
ROTATION = math.pi / 6  # of the quadratic: eigenvectors that are axes would let rates per coordinate undo the condition
MOST_STEPS, MOST_RACERS = 2000, 6
FAR = 1e6  # of starts and eigenvalues
GOAL = 1e-6  # of the excess at the start
LARGEST = 3e38  # of float32


def landscapes() -> list[dict[str, Any]]:
    """All landscapes as a catalog lists them, with a start for each."""
    found = [_made(name, (1.0, 20.0)) for name in LANDSCAPES]
    return [*(_entry(f.name.replace("_", " ").capitalize(), f) for f in found), _entry("This network", NetworkPlane)]


def _entry(label: str, f: Any) -> dict[str, Any]:
    return {"name": f.name, "label": label, "box": f.bounds.ravel().tolist(), "start": f.start.round(3).tolist()}


def answer(state: State, network: Any = None) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and arrays of a reply Landscape.

    Parameters
    ----------
    state : LandscapeState
    network : (model, X, y, loss, regularizer), for the landscape "network"

    Raises
    ------
    ValueError, TypeError
        If the state is not one that a page can have.
    """
    f, start = _landscape(checked(state), network), np.array(state["start"], np.float64)
    optimizers = [racer(entry) for entry in state["racers"]]
    threshold = None if f.lowest is None else GOAL * (float(f.value(start)) - f.lowest)
    header = {"type": "landscape", "box": f.bounds.ravel().tolist(), "lowest": f.lowest, "minima": f.minima.tolist()}
    raced, arrays = [], _surface(f)
    for i, (optimizer, label) in enumerate(zip(optimizers, _labels(optimizers), strict=True)):
        path, losses, ended = _run(optimizer, f, start, state["steps"])
        reached = None if threshold is None else _reached(threshold, losses - (f.lowest or 0.0))
        color = colors([optimizer.title])[optimizer.title]
        raced.append({"name": optimizer.name, "label": label, "color": color, "steps": reached, "ended": ended})
        arrays |= {f"{i}/path": _float32(path), f"{i}/loss": _float32(losses)}
    return {**header, "threshold": threshold, "racers": raced}, arrays


def checked(state: State) -> State:
    """The state; a ValueError or TypeError if it is not one that a page can have."""
    choice("name", state["name"], (*LANDSCAPES, "network"))
    count("steps", state["steps"], below=MOST_STEPS + 1)
    for name, least in (("start", -FAR), ("eigenvalues", 1 / FAR)):
        pair = state[name]
        if not isinstance(pair, list) or len(pair) != 2:
            raise TypeError(f"{name} must be two numbers, got {shown(pair)}")
        for value in pair:
            number(name, value, least, most=FAR)
    if not isinstance(state["racers"], list) or len(state["racers"]) > MOST_RACERS:
        raise TypeError(f"racers must be a list of at most {MOST_RACERS} optimizers, got {shown(state['racers'])}")
    for entry in state["racers"]:
        racer(entry)
    return state


def _reached(threshold: float, excess: Array) -> int | None:
    """The step after which the excess stays at most the threshold."""
    steps = float(steps_to(threshold, excess))
    return int(steps) if math.isfinite(steps) else None


def _landscape(state: State, network: Any) -> Surface:
    if state["name"] == "network":
        if network is None:
            raise ValueError("there is no network to walk around in")
        return NetworkPlane(*network)
    return _made(state["name"], state["eigenvalues"])


def _made(name: str, eigenvalues: Sequence[float]) -> Landscape:
    makers: Mapping[str, Any] = LANDSCAPES
    return Quadratic(eigenvalues, rotation=ROTATION) if name == "quadratic" else makers[name]()


def _surface(f: Surface) -> dict[str, NDArray[np.float32]]:
    """Heights in the middle of each cell of a grid, 0 … 1, and those of the contours.

    Evenly spaced in log(f − lowest), as far as f is positive; else in arcsinh(f), which is linear around 0.
    """
    count = NETWORK_GRID if isinstance(f, NetworkPlane) else GRID
    x, y = (low + (high - low) * (np.arange(count) + 0.5) / count for low, high in f.bounds)
    values = f.value(np.stack(np.meshgrid(x, y[::-1]), axis=-1)) - (f.lowest or 0.0)
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() >= 0:
        floor = max(float(np.quantile(finite, 0.005)), 1e-300)  # the very bottom would take half of the colors
        heights = np.log(np.maximum(values, floor))
    else:
        heights = np.arcsinh(values)
    low, high = (
        (np.nanmin(heights), np.max(heights, initial=-np.inf, where=np.isfinite(heights))) if finite.size else (0.0, 1.0)
    )
    scaled = np.nan_to_num((heights - low) / max(high - low, 1e-12), nan=1.0, posinf=1.0)
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    return {"surface": scaled.astype(np.float32), "levels": levels.astype(np.float32)}


def _run(optimizer: Optimizer, f: Surface, start: Array, steps: int) -> tuple[Array, Array, str | None]:
    """The path, its losses, and why it ended before the last step."""
    try:
        path = optimizer.minimize(f, start, steps)
    except (DivergenceError, ValueError, TypeError) as error:
        part = getattr(error, "path", None)
        reason = _reason(error)
        if part is None or not len(part.loss):
            return start[None], np.array([float(f.value(start))]), reason
        return part.theta, part.loss, reason
    stopped = optimizer.stopped if isinstance(optimizer, FullBatchOptimizer) else ""
    taken = len(path.history) + 1 if stopped and isinstance(path, PathWithHistory) else steps + 1
    return path.theta[:taken], path.loss[:taken], stopped or None


def _reason(error: Exception) -> str:
    """The first sentence of an error, without the optimizer's repr."""
    if "residuals_and_jacobian" in str(error):
        return "it needs a sum of squares, which this landscape is not"
    text = re.sub(r"^\w+\(.*?\): ", "", str(error)).split(". ")[0].rstrip(".")
    return text.split(", got ")[0]


def _labels(optimizers: list[Optimizer]) -> list[str]:
    """The names of the classes; those that several have, with the learning rate or a number."""
    titles = [optimizer.title for optimizer in optimizers]
    labels = []
    for i, optimizer in enumerate(optimizers):
        label = titles[i]
        if titles.count(label) > 1:
            label += f", η {optimizer.lr:.3g}" if hasattr(optimizer, "lr") else f" {titles[: i + 1].count(label)}"
        labels.append(label)
    return labels


def _float32(values: Array) -> NDArray[np.float32]:
    return np.clip(values, -LARGEST, LARGEST).astype(np.float32)
