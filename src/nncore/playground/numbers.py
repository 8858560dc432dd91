"""Every number of a unit, a weight or a layer, with the formula that it comes from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore.playground.moment import Block, Moment

__all__ = ["numbers"]

Array = NDArray[Any]
ROWS = 40  # of a table, at most


def numbers(
    moment: Moment, inspect: Mapping[str, Any], example: int | None, activations: Mapping[str, Array],
    deltas: Mapping[str, Array], gradient: Array,
) -> dict[str, Any] | None:  # fmt: skip
    """``Numbers`` of ``types.d.ts``; None if there is no such unit (any more)."""
    layer, unit = inspect["layer"], inspect["unit"]
    if not 0 <= layer < len(moment.blocks) or not 0 <= unit < moment.blocks[layer].dense.units:
        return None
    block = moment.blocks[layer]
    if inspect["kind"] == "layer":
        return _layer(moment, layer, block, activations, deltas)
    offsets, names = _weights(moment, layer, block, unit)
    columns, table = _table(moment, gradient, offsets)
    if inspect["kind"] == "weight":
        k = inspect["input"]  # −1: the bias, which is the last one
        if k >= len(names) - 1:
            return None
        formulas = _weight_formulas(moment, columns, table[k])
        title = f"{names[k]} of unit {unit + 1} in {_name(moment, layer)}"
        return {"title": title, "formulas": formulas, "columns": ["weight", *columns], "rows": [[names[k], *_plain(table[k])]]}
    rows = [[name, *_plain(row)] for name, row in zip(names, table, strict=True)][:ROWS]
    formulas = _unit_formulas(moment, layer, block, unit, example, deltas)
    title = f"unit {unit + 1} of {_name(moment, layer)}"
    return {"title": title, "formulas": formulas, "columns": ["weight", *columns], "rows": rows}


def text(value: float, digits: int = 4) -> str:
    """A number for reading."""
    return f"{value:.{digits}g}".replace("-", "−")


def _factor(value: float) -> str:
    """A number within a product or a sum."""
    shown = text(value, 3)
    return f"({shown})" if value < 0 else shown


def _name(moment: Moment, layer: int) -> str:
    return "the output" if layer == len(moment.blocks) - 1 else f"layer {layer + 1}"


def _plain(row: Iterable[float]) -> list[float | str]:
    """For JSON, which has neither NaN nor infinity."""
    return [float(value) if math.isfinite(value) else str(float(value)) for value in row]


def _weights(moment: Moment, layer: int, block: Block, unit: int) -> tuple[Array, list[str]]:
    """Places in θ of the weights of a unit, its bias last; and their names."""
    weight, bias = block.dense.parameters["weight"], block.dense.parameters["bias"]
    first = weight.offset + unit * block.dense.inputs
    offsets = np.append(np.arange(first, first + block.dense.inputs), bias.offset + unit)
    before = moment.examples.inputs if layer == 0 else [f"h{_low(k + 1)}" for k in range(block.dense.inputs)]
    return offsets, [*(f"w of {name}" for name in before), "b"]


def _low(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def _table(moment: Moment, gradient: Array, offsets: Array) -> tuple[list[str], Array]:
    """Columns w, ∂l/∂w, the optimizer's state, and the next step: with the penalty's gradient, clipped, as they are chosen."""
    slots = moment.slots()
    columns = [array[offsets] for array in (moment.view.parameters, gradient, *slots.values(), moment.next_update())]
    return ["w", "∂l/∂w", *slots, "next Δw"], np.stack(columns, axis=1).astype(np.float64)


def _weight_formulas(moment: Moment, columns: list[str], row: Array) -> list[dict[str, str]]:
    w, g, step = row[0], row[1], row[-1]
    rate = -step / g if g else math.nan
    return [
        {"text": "w ← w + Δw", "value": f"{text(w, 5)} + {_factor(step)} = {text(w + step, 5)}"},
        {"text": "effective step: −Δw / (∂l/∂w)", "value": f"{text(rate)}  (η = {text(moment.lr)})"},
    ]


def _unit_formulas(
    moment: Moment, layer: int, block: Block, unit: int, example: int | None, deltas: Mapping[str, Array]
) -> list[dict[str, str]]:
    """z, h and δ of the chosen example, each as its formula with the numbers in it."""
    row = 0 if example is None else int(example)
    X, y = moment.examples.X[row : row + 1], moment.examples.y[row : row + 1]
    values = moment.view.activations(X)
    x = X[0] if layer == 0 else values[moment.blocks[layer - 1].h][0]
    w, b = block.dense.weight[unit], float(block.dense.bias[unit])
    terms = " + ".join(f"{_factor(a)}·{_factor(c)}" for a, c in zip(w[:4], x[:4], strict=True)) + (" + …" if len(w) > 4 else "")
    z, h = float(values[block.z][0, unit]), float(values[block.h][0, unit])
    between = "" if block.norm is None else f"{block.norm.replace('_', ' ')} of "
    found = [
        {"text": f"example {row + 1}: x", "value": ", ".join(text(v, 3) for v in X[0][:6]) + f"; y = {text(np.ravel(y)[0])}"},
        {"text": "z = Σ w h + b", "value": f"{terms} + {_factor(b)} = {text(z)}"},
    ]
    if block.activation != "identity":
        found.append({"text": f"h = {block.activation.replace('_', ' ')}({between}z)", "value": text(h)})
    if row in (moment.batch if moment.batch is not None else range(len(deltas[block.z]))):
        at = row if moment.batch is None else int(np.flatnonzero(moment.batch == row)[0])
        found.append({"text": "δ = ∂l/∂z", "value": text(float(deltas[block.z][at, unit]))})
    return found


def _layer(
    moment: Moment, layer: int, block: Block, activations: Mapping[str, Array], deltas: Mapping[str, Array]
) -> dict[str, Any]:
    """Mean and deviation of z, h and δ of each unit over the examples shown."""
    z, h, d = activations[block.z], activations[block.h], deltas[block.z]
    rows = [
        [k + 1, *_plain(v for values in (z, h, d) for v in (values[:, k].mean(), values[:, k].std()))]
        for k in range(min(block.dense.units, ROWS))
    ]
    formulas = [
        {"text": "W", "value": f"{block.dense.units} × {block.dense.inputs}, b: {block.dense.units}"},
        {"text": "Var z, Var h, Var δ", "value": ", ".join(text(float(values.var()), 3) for values in (z, h, d))},
    ]
    columns = ["unit", "mean z", "sd z", "mean h", "sd h", "mean δ", "sd δ"]
    return {"title": f"{_name(moment, layer)}, all examples shown", "formulas": formulas, "columns": columns, "rows": rows}
