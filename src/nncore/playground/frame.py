"""A frame: the present moment of all runs as the page draws it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._messages import shown
from nncore._utils.fields import choice, count
from nncore.playground.datasets import Examples
from nncore.playground.moment import NONE, Block, Moment, probabilities
from nncore.playground.numbers import numbers
from nncore.playground.parameters import filled

__all__ = ["checked", "frame_run", "points"]

Array = NDArray[Any]
Header = dict[str, Any]
Arrays = dict[str, Array]

BINS = 40
FINEST = 100  # cells on each side of the heat maps; the decision map has twice as many
KINDS = ("unit", "weight", "layer")  # that can be inspected
INSPECT = {"run": 0, "kind": "unit", "layer": 0, "unit": 0, "input": -1}
REQUEST = {"type": "frame", "id": None, "grid": 30, "inspect": None, "example": None, "axes": [0, 1]}


def checked(request: Mapping[str, Any], examples: Examples) -> Header:
    """The request for a frame with all of its fields; a ValueError or TypeError if it asks for what there is not.

    Runs, layers, units and inputs may be gone: then there are no numbers of them.
    """
    wanted = filled("frame", request, REQUEST)
    count("grid", wanted["grid"], 4, below=FINEST + 1)
    if wanted["example"] is not None:
        count("example", wanted["example"], 0, below=len(examples.X))
    if not isinstance(wanted["axes"], list) or len(wanted["axes"]) != 2:
        raise TypeError(f"axes must be two numbers of inputs, got {shown(wanted['axes'])}")
    for axis in wanted["axes"]:
        count("axes", axis, 0, below=max(2, examples.P.shape[1]))
    if wanted["inspect"] is not None:
        wanted["inspect"] = inspect = filled("inspect", wanted["inspect"], INSPECT)
        choice("inspect.kind", inspect["kind"], KINDS)
        for name, least in (("run", 0), ("layer", 0), ("unit", 0), ("input", -1)):
            count(f"inspect.{name}", inspect[name], least)
    return wanted


def points(examples: Examples) -> tuple[Header, Arrays]:
    """``Points`` of ``types.d.ts``."""
    header = {
        "type": "points", "task": examples.task, "classes": examples.classes, "inputs": examples.inputs,
        "plane": examples.plane, "line": examples.line and not examples.classes,
        "box": list(examples.box), "image": examples.image and list(examples.image),
        "labels": [str(k) for k in range(examples.classes)],
    }  # fmt: skip
    arrays = {
        "train/x": examples.P, "train/y": examples.y, "validation/x": examples.P_validation,
        "validation/y": examples.y_validation,
    }  # fmt: skip
    return header, {name: array.astype(np.float32) for name, array in arrays.items()}


def grid(examples: Examples, count: int, axes: Sequence[int]) -> Array:
    """(count², inputs) of the network: points of the plane by rows from the top; other inputs at their mean."""
    left, right, bottom, top = examples.box
    if not examples.plane:
        low, high = examples.P[:, axes].min(axis=0), examples.P[:, axes].max(axis=0)
        (left, bottom), (right, top) = low.tolist(), high.tolist()
    x1, x2 = np.meshgrid(np.linspace(left, right, count), np.linspace(top, bottom, count))
    P = np.column_stack([x1.ravel(), x2.ravel()]).astype(np.float32)
    if examples.plane:
        return examples.seen(P)
    X = np.repeat(examples.X.mean(axis=0, keepdims=True), len(P), axis=0)
    X[:, list(axes)] = P
    return X


def frame_run(moment: Moment, request: Mapping[str, Any], number: int) -> tuple[Header, Arrays]:
    """``FrameRun`` of ``types.d.ts`` and its arrays."""
    activations, deltas, gradient = moment.passes()
    layers, histograms = _layers(moment, activations, deltas, gradient)
    arrays = {"theta": moment.view.parameters.astype(np.float32), "grad": gradient.astype(np.float32), "curve": moment.curve}
    arrays |= histograms
    scales, pictures = _units(moment, request["grid"], request["axes"])
    values, surface = _map(moment, 2 * request["grid"], request["axes"])
    example = request["example"]
    arrays |= pictures | surface | ({} if example is None else {"example": _example(moment, example, activations, deltas)})
    loss, validation_loss, accuracy, validation_accuracy = moment.now()
    header = {
        "step": moment.step, "epoch": moment.epoch, "batches": moment.run.steps.per_epoch, "lr": _finite(moment.lr),
        "parameters": int(moment.view.parameters.size), "loss": _finite(loss), "validation_loss": _finite(validation_loss),
        "accuracy": _finite(accuracy), "validation_accuracy": _finite(validation_accuracy), "penalty": _finite(moment.penalty),
        "ended": moment.ended, "phase": moment.phase, "layers": layers, "scales": scales, "range": values,
        "batch": None if moment.batch is None else moment.batch.tolist(), "numbers": None,
    }  # fmt: skip
    inspect = request["inspect"]
    if inspect is not None and inspect["run"] == number:
        header["numbers"] = numbers(moment, inspect, example, activations, deltas, gradient)
    return header, {f"{number}/{name}": array for name, array in arrays.items()}


def _finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


# ---- heat maps


def _units(moment: Moment, count: int, axes: Sequence[int]) -> tuple[list[float], Arrays]:
    """h of each unit over the plane, as bytes, and what 127 of them stand for. Of pictures: the weights of the first layer."""
    if moment.examples.image is not None:
        dense = moment.blocks[0].dense
        weight = dense.weight / max(float(np.abs(dense.weight).max()), 1e-12)
        return [], {"images": _bytes(weight).reshape(-1, *moment.examples.image)}
    h = moment.view.activations(grid(moment.examples, count, axes))
    table = np.nan_to_num(np.concatenate([h[block.h] for block in moment.blocks], axis=1).T)  # (units, count²)
    scales = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-12)
    return scales.ravel().tolist(), {"units": _bytes(table / scales).reshape(-1, count, count)}


def _bytes(values: Array) -> Array:
    """−1 … 1 as −127 … 127; what is not finite is 0."""
    return np.round(127 * np.clip(np.nan_to_num(values, posinf=1, neginf=-1), -1, 1)).astype(np.int8)


def _map(moment: Moment, count: int, axes: Sequence[int]) -> tuple[list[float], Arrays]:
    """The network's answer over the plane, and the range of a regression's."""
    examples = moment.examples
    arrays: Arrays = {}
    if not examples.plane:
        arrays["outputs"] = moment.view.forward(examples.X_validation).astype(np.float32)
    if examples.image is not None:
        return [0.0, 1.0], arrays
    outputs = np.nan_to_num(moment.view.forward(grid(examples, count, axes)), posinf=1e30, neginf=-1e30)
    if examples.line:
        arrays["line"] = outputs[:count, 0].astype(np.float32)  # the rows of the grid are all alike
    if examples.classes:
        shares, low, high = probabilities(outputs, moment.state["loss"]), 0.0, 1.0
    else:
        low, high = float(examples.y.min()), float(examples.y.max())
        shares = np.clip((outputs - low) / max(high - low, 1e-12), 0, 1)
    return [low, high], arrays | {"map": np.round(255 * shares.T).astype(np.uint8).reshape(-1, count, count)}


# ---- layers


def _layers(
    moment: Moment, activations: Mapping[str, Array], deltas: Mapping[str, Array], gradient: Array
) -> tuple[list[Header], Arrays]:
    found, counts = [], {"z": [], "delta": []}  # type: ignore[var-annotated]
    for block in moment.blocks:
        z, delta, h = activations[block.z], deltas[block.z], activations[block.h]
        ranges = {}
        for name, values in (("z", z), ("delta", delta)):
            ranges[name] = _range(values)
            counts[name].append(_shares(values, ranges[name]))
        found.append(_layer(moment, block, h, gradient) | ranges)
    return found, {name: np.array(rows, np.float32) for name, rows in counts.items()}


def _layer(moment: Moment, block: Block, h: Array, gradient: Array) -> Header:
    dense = block.dense
    weight, bias = dense.parameters["weight"], dense.parameters["bias"]
    own = slice(weight.offset, weight.offset + weight.size)
    arrays = (moment.view.parameters, gradient, moment.update)
    norms = [math.sqrt(np.square(array[own].astype(np.float64)).sum()) for array in arrays]
    return {
        "name": block.z, "units": dense.units, "inputs": dense.inputs, "weight": weight.offset, "bias": bias.offset,
        "activation": block.activation, "norm": block.norm, "dropout": block.dropout,
        "dead": float((h == 0).all(axis=0).mean()), "norms": [_finite(norm) for norm in norms],
    }  # fmt: skip


def _range(values: Array) -> list[float]:
    """−r, r with the next power of √2: it does not tremble."""
    largest = float(np.abs(values).max()) if values.size else 0.0
    r = 2.0 ** (math.ceil(2 * math.log2(largest)) / 2) if 0 < largest < math.inf else 1.0
    return [-r, r]


def _shares(values: Array, ends: Sequence[float]) -> Array:
    finite = values[np.isfinite(values)].astype(np.float64)  # the smallest numbers of float32 have no reciprocal there
    bins = ((finite - ends[0]) * (BINS / (ends[1] - ends[0]))).astype(np.intp)
    return np.bincount(np.minimum(bins, BINS - 1), minlength=BINS) / max(values.size, 1)


def _example(moment: Moment, row: int, activations: Mapping[str, Array], deltas: Mapping[str, Array]) -> Array:
    """z, h and δ of each unit for one training example, by itself; in step mode as it is in the batch."""
    where = None if moment.batch is None else np.flatnonzero(moment.batch == row)
    if where is not None and len(where):
        z, h, d = activations, activations, deltas
        at = int(where[0])
    else:
        X, y = moment.examples.X[row : row + 1], moment.examples.y[row : row + 1]
        z = h = moment.view.activations(X)
        d = _alone(moment, X, y)
        at = 0
    columns = []
    for values, field in ((z, "z"), (h, "h"), (d, "z")):
        names = [(block, getattr(block, field)) for block in moment.blocks]
        columns.append(np.concatenate([values[name][at] if name in values else _none(block) for block, name in names]))
    return np.stack([*columns, np.zeros_like(columns[0])], axis=1).astype(np.float32)


def _none(block: Block) -> Array:
    return np.full(block.dense.units, NONE)


def _alone(moment: Moment, X: Array, y: Array) -> Mapping[str, Array]:
    """δ of a single example; none with layers that need a batch."""
    try:
        return moment.view.deltas(X, y, moment.run.trainer.loss, step=moment.step)
    except ValueError:  # batch normalization of one example
        return {}
