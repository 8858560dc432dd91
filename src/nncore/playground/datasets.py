"""The data sets of the playground: points of the plane, digits, points drawn with the mouse, and the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore import data
from nncore._utils.checks import as_numbers

__all__ = ["DATASETS", "FEATURES", "Dataset", "Examples", "Feature", "Own", "examples"]

Array = NDArray[Any]
State = Mapping[str, Any]


MOST_CLASSES = 20  # of own data; numbers beyond are those of a regression


class Dataset(NamedTuple):
    """A choice of the page; ``make`` is a function of `nncore.data`, and ``more`` are arguments that a state does not have."""

    name: str
    label: str
    task: str
    make: Callable[..., tuple[Array, Array]] | None = None
    more: Mapping[str, Any] = {}
    plane: bool = True
    box: tuple[float, float, float, float] = (-1.2, 1.2, -1.2, 1.2)

    def arguments(self, state: State) -> dict[str, Any]:
        """What ``make`` takes of a state; the digits are as they are."""
        return {"n": state["n"], "noise": state["noise"], "seed": state["seed"], **self.more} if self.plane else {}


DATASETS = {
    entry.name: entry
    for entry in (
        Dataset("moons", "two moons", "classification", data.moons),
        Dataset("circles", "circles", "classification", data.circles),
        Dataset("xor", "exclusive or", "classification", data.quadrants),
        Dataset("spirals", "two spirals", "classification", data.two_spirals),
        Dataset("gaussians", "three Gaussians", "classification", data.gaussians),
        Dataset("raw_gaussians", "three Gaussians, not scaled", "classification", data.gaussians, {"scale": False},
                box=(-20.0, 220.0, 8.8, 11.2)),
        Dataset("bumps", "bumps", "regression", data.bumps),
        Dataset("sine", "sine, one input", "regression", data.sine),
        Dataset("waves", "waves", "regression", data.waves),
        Dataset("digits", "digits", "classification", data.load_digits, plane=False),
        Dataset("drawn", "drawn by hand", "classification"),
        Dataset("own", "my data", "classification"),
    )
}  # fmt: skip


class Feature(NamedTuple):
    """A function of a point, and how the page and Python write it."""

    label: str
    source: str
    of: Callable[[Array, Array], Array]


FEATURES = {
    "x1": Feature("x₁", "x1", lambda x1, x2: x1),
    "x2": Feature("x₂", "x2", lambda x1, x2: x2),
    "x1_squared": Feature("x₁²", "x1 * x1", lambda x1, x2: x1 * x1),
    "x2_squared": Feature("x₂²", "x2 * x2", lambda x1, x2: x2 * x2),
    "product": Feature("x₁x₂", "x1 * x2", lambda x1, x2: x1 * x2),
    "sin_x1": Feature("sin πx₁", "np.sin(np.pi * x1)", lambda x1, x2: np.sin(np.pi * x1)),
    "sin_x2": Feature("sin πx₂", "np.sin(np.pi * x2)", lambda x1, x2: np.sin(np.pi * x2)),
}


@dataclass(frozen=True)
class Own:
    """The data that ``nn.playground`` was given."""

    X: Array
    y: Array
    task: str = "classification"
    names: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, X: Any, y: Any) -> Own:
        """X (n, d) and y: n classes, or n numbers."""
        names = [str(name) for name in getattr(X, "columns", [])]
        rows, targets = _finite(X, "X"), _finite(y, "y")
        if rows.ndim != 2 or not rows.size:
            raise ValueError(f"X must have shape (n, inputs), got shape {rows.shape}")
        if targets.shape not in ((len(rows),), (len(rows), 1)):
            raise ValueError(f"y must have {len(rows)} classes or numbers, one for each row of X, got shape {targets.shape}")
        flat, names = targets.reshape(-1), names or _inputs(rows)
        if (flat == np.round(flat)).all() and 0 <= flat.min() < flat.max() < MOST_CLASSES:
            return cls(rows, flat.astype(np.int64), "classification", names)
        return cls(rows, flat[:, np.newaxis], "regression", names)


def _finite(values: Any, argument: str) -> Array:
    """Numbers in float32; a ValueError if one is missing, or too large for it."""
    numbers = as_numbers(values, argument)
    with np.errstate(over="ignore"):
        found = numbers.astype(np.float32)
    if not np.isfinite(found).all():
        row = int(np.argwhere(~np.isfinite(found))[0][0])
        raise ValueError(f"{argument} must hold finite numbers, got {numbers[row].ravel()[:5]} in row {row}")
    return found


@dataclass(frozen=True)
class Examples:
    """What the networks train on, and what the page draws: ``P`` are points of the plane, ``X`` what the network sees.

    Of data with one input (``line``) P is (x, y).
    """

    task: str
    classes: int  # 0: a regression
    X: Array
    y: Array
    P: Array
    X_validation: Array
    y_validation: Array
    P_validation: Array
    inputs: list[str]
    features: list[str]
    plane: bool
    line: bool
    box: tuple[float, float, float, float]
    image: tuple[int, int] | None

    def seen(self, P: Array) -> Array:
        """What the network sees of points (n, 2)."""
        return features(P, self.features) if self.features else P[:, : self.X.shape[1]]


def features(P: Array, names: list[str]) -> Array:
    """(n, features) of points (n, 2)."""
    return np.column_stack([FEATURES[name].of(*P.T) for name in names]).astype(np.float32)


def _made(state: State, own: Own | None) -> tuple[Array, Array]:
    """P and y."""
    if state["kind"] == "own":
        assert own is not None  # or the state would have been refused
        return own.X, own.y
    entry = DATASETS[state["kind"]]
    if entry.make is None:
        drawn = np.array(state["points"], np.float32).reshape(-1, 3)
        return drawn[:, :2], drawn[:, 2].astype(np.int64)
    X, y = entry.make(**entry.arguments(state))
    return X[: state["n"]], y[: state["n"]]


def examples(state: State, own: Own | None) -> Examples:
    """The data of a state, divided into training and validation examples.

    Raises
    ------
    ValueError
        If there are too few of them.
    """
    entry, (P, y) = DATASETS[state["kind"]], _made(state, own)
    task = own.task if own and entry.name == "own" else entry.task
    classes = max(2, int(y.max()) + 1) if task == "classification" and len(y) else 0
    if len(P) < 4:
        more = ": draw some points" if entry.name == "drawn" else ""
        raise ValueError(f"there must be at least 4 examples, got {len(P)}{more}")
    train, validation = data.train_validation_split(P, y, state["split"], seed=state["seed"])
    line, two = P.shape[1] == 1, P.shape[1] == 2
    names = state["features"] if entry.plane and two else []
    X = features(P, names) if names else P
    inputs = [FEATURES[name].label for name in names] or (own.names if own and entry.name == "own" else _inputs(P))
    if line:
        P = np.column_stack([P, y]).astype(np.float32)
    box = _box(P) if line or (entry.name == "own" and two) else entry.box
    return Examples(
        task, classes, X[train], y[train], P[train], X[validation], y[validation], P[validation], inputs, names,
        entry.plane and (two or line), line, box, (8, 8) if entry.name == "digits" else None,
    )  # fmt: skip


def _inputs(P: Array) -> list[str]:
    return [f"x{k + 1}" for k in range(P.shape[1])]


def _box(P: Array) -> tuple[float, float, float, float]:
    low, high = P.min(axis=0).astype(np.float64), P.max(axis=0).astype(np.float64)
    margin = 0.1 * np.where(high > low, high - low, 1.0)
    a, b = (low - margin).tolist(), (high + margin).tolist()
    return a[0], b[0], a[1], b[1]
