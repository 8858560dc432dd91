"""The data sets of the playground: points of the plane, digits, points drawn with the mouse, and the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore import data
from nncore._utils.checks import as_numbers

__all__ = ["DATASETS", "FEATURES", "Dataset", "Examples", "Own", "examples"]

Array = NDArray[Any]
BOX = (-1.2, 1.2, -1.2, 1.2)
RAW = "nn.data.gaussians({n}, noise={noise}, seed={seed}, scale=False)"


class Dataset(NamedTuple):
    """A choice of the page; ``source`` makes X and y, with the numbers of the state in braces."""

    name: str
    label: str
    task: str
    source: str = ""
    plane: bool = True
    box: tuple[float, float, float, float] = BOX


DATASETS = {
    entry.name: entry
    for entry in (
        Dataset("moons", "two moons", "classification", "nn.data.moons({n}, noise={noise}, seed={seed})"),
        Dataset("circles", "circles", "classification", "nn.data.circles({n}, noise={noise}, seed={seed})"),
        Dataset("xor", "exclusive or", "classification", "nn.data.quadrants({n}, noise={noise}, seed={seed})"),
        Dataset("spirals", "two spirals", "classification", "nn.data.two_spirals({n}, noise={noise}, seed={seed})"),
        Dataset("gaussians", "three Gaussians", "classification", "nn.data.gaussians({n}, noise={noise}, seed={seed})"),
        Dataset("raw_gaussians", "three Gaussians, not scaled", "classification", RAW, box=(-20.0, 220.0, 8.8, 11.2)),
        Dataset("bumps", "bumps", "regression", "nn.data.bumps({n}, noise={noise}, seed={seed})"),
        Dataset("sine", "sine, one input", "regression", "nn.data.sine({n}, noise={noise}, seed={seed})"),
        Dataset("waves", "waves", "regression", "nn.data.waves({n}, noise={noise}, seed={seed})"),
        Dataset("digits", "digits", "classification", "nn.data.load_digits()", plane=False),
        Dataset("drawn", "drawn by hand", "classification"),
        Dataset("own", "my data", "classification"),
    )
}

FEATURES = {  # of a point: how the page and how Python writes them
    "x1": ("x₁", "x1"),
    "x2": ("x₂", "x2"),
    "x1_squared": ("x₁²", "x1 * x1"),
    "x2_squared": ("x₂²", "x2 * x2"),
    "product": ("x₁x₂", "x1 * x2"),
    "sin_x1": ("sin πx₁", "np.sin(np.pi * x1)"),
    "sin_x2": ("sin πx₂", "np.sin(np.pi * x2)"),
}
_COMPILED = {name: compile(text, name, "eval") for name, (_, text) in FEATURES.items()}


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
        rows, targets = as_numbers(X, "X"), as_numbers(y, "y")
        if rows.ndim != 2 or not len(rows):
            raise ValueError(f"X must have shape (n, inputs), got shape {rows.shape}")
        if targets.shape not in ((len(rows),), (len(rows), 1)):
            raise ValueError(f"y must have {len(rows)} classes or numbers, one for each row of X, got shape {targets.shape}")
        flat = targets.reshape(-1)
        whole = bool((flat == np.round(flat)).all()) and 2 <= len(np.unique(flat)) <= 20 and not flat.min() < 0
        names = names or [f"x{k + 1}" for k in range(rows.shape[1])]
        kind = "classification" if whole and flat.max() < 20 else "regression"
        kept = flat.astype(np.int64) if kind == "classification" else flat.astype(np.float32)[:, np.newaxis]
        return cls(rows.astype(np.float32), kept, kind, names)


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
    x1, x2 = P.T
    columns = [eval(_COMPILED[name], {"np": np, "x1": x1, "x2": x2}) for name in names]  # expressions of this module only
    return np.column_stack(columns).astype(np.float32)


def _made(state: Mapping[str, Any], own: Own | None) -> tuple[Array, Array, Dataset, str]:
    kind = state["kind"]
    entry = DATASETS[kind]
    if kind == "own":
        if own is None:
            raise ValueError("data.kind must not be 'own' here: nn.playground(model, X, y) takes data of your own")
        return own.X, own.y, entry, own.task
    if kind == "drawn":
        drawn = np.array(state["points"], np.float32).reshape(-1, 3)
        return drawn[:, :2], drawn[:, 2].astype(np.int64), entry, entry.task
    if kind == "digits":
        X, y = data.load_digits()
        return X[: state["n"]], y[: state["n"]], entry, entry.task
    makers = {"xor": data.quadrants, "spirals": data.two_spirals, "raw_gaussians": data.gaussians}
    make = makers.get(kind) or getattr(data, kind)
    more = {"scale": False} if kind == "raw_gaussians" else {}
    X, y = make(state["n"], noise=state["noise"], seed=state["seed"], **more)
    return X, y, entry, entry.task


def examples(state: Mapping[str, Any], own: Own | None) -> Examples:
    """The data of a state, divided into training and validation examples.

    Raises
    ------
    ValueError
        If there are too few of them.
    """
    P, y, entry, task = _made(state, own)
    classes = max(2, int(y.max()) + 1) if task == "classification" and len(y) else 0
    if len(P) < 4:
        raise ValueError(f"there must be at least 4 examples, got {len(P)}: draw some points")
    train, validation = data.train_validation_split(P, y, state["split"], seed=state["seed"])
    line, two = P.shape[1] == 1, P.shape[1] == 2
    names = state["features"] if entry.plane and two else []
    X = features(P, names) if names else P
    inputs = [FEATURES[name][0] for name in names] or (own.names if own and entry.name == "own" else _inputs(P))
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
    low, high = P.min(axis=0), P.max(axis=0)
    margin = 0.1 * np.maximum(high - low, 1e-6)
    a, b = (low - margin).tolist(), (high + margin).tolist()
    return a[0], b[0], a[1], b[1]
