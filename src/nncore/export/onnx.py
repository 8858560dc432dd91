"""The writer of ONNX models, without the package onnx."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from nncore._version import __version__
from nncore.export import protobuf
from nncore.export.onnx_ops import ACTIVATIONS, CELLS
from nncore.export.plan import Plan
from nncore.export.steps import (
    Activation,
    Affine,
    Bidirectional,
    Clip,
    Dense,
    Divide,
    Mask,
    Normalize,
    Recurrent,
    Select,
    Step,
    Unclip,
)
from nncore.export.text import identifier

__all__ = ["write"]

# The first operator set in which Softmax works along one axis, and Relu and the arithmetic take all precisions; the axes of
# ReduceMean are an attribute up to set 17. The format of files, IR 7, is the one that came with it (ONNX 1.8, 2020). Later ones
# add Gelu (20), Mish (18) and LayerNormalization (17), which are written as the operators that they stand for.
OPSET, IR_VERSION = 13, 7
LARGEST = 2**31 - 1  # bytes of a message


def write(plan: Plan, stem: str) -> bytes:
    """The model: input "input" and output "output", with any number of examples."""
    onnx = Graph(plan.dtype)
    h = onnx.op("Reshape", "input", onnx.constant([0, plan.inputs], np.int64))  # 0 keeps the number of examples
    for step in plan.steps:
        h = _add(onnx, step, h)
    onnx.op("Reshape", h, onnx.constant([0, *plan.output_shape], np.int64), output="output")
    ends = (("input", plan.input_shape), ("output", plan.output_shape))
    inputs, outputs = ([protobuf.value_info(name, plan.dtype, ["batch", *shape])] for name, shape in ends)
    names = {"feature_names": plan.feature_names, "target_names": plan.target_names}
    properties = {key: json.dumps([str(name) for name in value]) for key, value in names.items() if value}
    contents = protobuf.graph(identifier(stem), onnx.nodes, onnx.constants, inputs, outputs)
    data = protobuf.model(contents, IR_VERSION, OPSET, ("nncore", __version__), properties)
    if len(data) > LARGEST:
        raise ValueError(f"model is too large for one ONNX file, which has at most 2 GiB: it would have {len(data)} bytes")
    return data


class Graph:
    """Nodes and constants of a graph that is being written; ``dtype`` is that of the numbers at hand."""

    def __init__(self, dtype: np.dtype[Any], prefix: str = "") -> None:
        self.dtype, self.prefix = dtype, prefix
        self.skip = ""  # the latest mask, (steps, rows, 1)
        self.nodes: list[bytes] = []
        self.constants: list[bytes] = []

    def constant(self, values: Any, dtype: Any = None) -> str:
        """The name of a constant, by default in the precision at hand."""
        name = f"{self.prefix}c{len(self.constants)}"
        self.constants.append(protobuf.tensor(np.array(values, dtype or self.dtype), name))
        return name

    def op(self, op: str, *inputs: str | float, output: str = "", **attributes: Any) -> str:
        """Add an operator with one output, whose name is returned; inputs that are numbers become constants."""
        output = output or f"{self.prefix}h{len(self.nodes)}"
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.nodes.append(protobuf.node(op, names, [output], attributes))
        return output


def _add(onnx: Graph, step: Step, h: str) -> str:
    """Add what computes a step of the rows h; returns the name of the result."""
    if isinstance(step, Dense):
        return onnx.op("Add", onnx.op("MatMul", h, onnx.constant(step.weight.T)), onnx.constant(step.bias))
    if isinstance(step, Affine):
        center, factor, offset = (onnx.constant(array) for array in step)
        return onnx.op("Add", onnx.op("Mul", onnx.op("Sub", h, center), factor), offset)
    if isinstance(step, Divide):
        return onnx.op("Div", onnx.op("Sub", h, onnx.constant(step.center)), onnx.constant(step.divisor))
    if isinstance(step, Activation):
        return ACTIVATIONS[step.kernel](onnx, h, *step.constants)
    if isinstance(step, Normalize):
        return _normalize(onnx, step, h)
    if isinstance(step, Mask):
        onnx.skip = _mask(onnx, step, h)
        return h
    if isinstance(step, (Recurrent, Bidirectional)):
        return _sequence(onnx, step, h)
    if isinstance(step, Select):
        return onnx.op("Gather", h, onnx.constant(step.columns, np.int64), axis=1)
    if isinstance(step, (Clip, Unclip)):
        return _limited(onnx, step, h)
    onnx.dtype = step.dtype
    return onnx.op("Cast", h, to=protobuf.ELEMENT_TYPES[str(step.dtype)])


def _limited(onnx: Graph, step: Clip | Unclip, h: str) -> str:
    bound = 1e150 if isinstance(step, Clip) else 1.0  # whose square is finite; from the limit on
    share = onnx.op("Max", onnx.op("Min", onnx.op("Div", h, step.limit), bound), -bound)
    if isinstance(step, Clip):
        root = onnx.op("Sqrt", onnx.op("Add", 1.0, onnx.op("Mul", share, share)))
        return onnx.op("Mul", step.limit, onnx.op("Div", share, root))
    return onnx.op("Div", h, onnx.op("Sqrt", onnx.op("Mul", onnx.op("Sub", 1.0, share), onnx.op("Add", 1.0, share))))


def _normalize(onnx: Graph, step: Normalize, h: str) -> str:
    shape = onnx.constant([0, step.groups, step.width // step.groups], np.int64)
    x = onnx.op("Reshape", h, shape)
    if step.centered:
        x = onnx.op("Sub", x, onnx.op("ReduceMean", x, axes=[2], keepdims=1))
    square = onnx.op("ReduceMean", onnx.op("Mul", x, x), axes=[2], keepdims=1)
    x = onnx.op("Div", x, onnx.op("Sqrt", onnx.op("Add", square, step.eps)))
    x = onnx.op("Reshape", x, onnx.constant([0, step.width], np.int64))
    return onnx.op("Add", onnx.op("Mul", x, onnx.constant(step.weight)), onnx.constant(step.bias))


def _mask(onnx: Graph, step: Mask, h: str) -> str:
    """Whether all numbers of a step equal the value, or an earlier mask skips it."""
    equal = onnx.op("Equal", onnx.op("Reshape", h, onnx.constant([0, step.steps, step.inputs], np.int64)), step.value)
    numbers = onnx.op("Cast", equal, to=protobuf.ELEMENT_TYPES["float32"])  # before set 20, ReduceMin takes no booleans
    every = onnx.op("Cast", onnx.op("ReduceMin", numbers, axes=[2], keepdims=1), to=protobuf.ELEMENT_TYPES["bool"])
    skip = onnx.op("Transpose", every, perm=[1, 0, 2])  # steps first
    return onnx.op("Or", onnx.skip, skip) if onnx.skip else skip


def _sequence(onnx: Graph, step: Recurrent | Bidirectional, h: str) -> str:
    if isinstance(step, Recurrent):
        y, one = _recurrent(onnx, step, h), step
    else:
        ends, one = [_recurrent(onnx, part, h) for part in step.parts.values()], step.forward
        if step.factor is None:
            y = onnx.op("Concat", *ends, axis=-1)
        else:
            y = onnx.op("Mul", step.factor, onnx.op("Add", *ends))
    return onnx.op("Reshape", y, onnx.constant([0, step.width], np.int64)) if one.sequences else y


def _recurrent(onnx: Graph, step: Recurrent, h: str) -> str:
    """Scan over the steps: (rows, steps, units), or (rows, units) of the last state.

    The operators RNN and GRU have no zoneout and, in runtimes, no double precision.
    """
    x = onnx.op("Reshape", h, onnx.constant([0, step.steps, step.weight.shape[1]], np.int64))
    a = onnx.op("Add", onnx.op("MatMul", x, onnx.constant(step.weight.T)), onnx.constant(step.bias))
    a = onnx.op("Transpose", a, perm=[1, 0, 2])  # steps first
    column = onnx.op("Gather", h, onnx.constant([0], np.int64), axis=1)
    first = onnx.op("Mul", column, onnx.constant(np.zeros(step.units)))  # h_0 = 0 for as many rows
    scanned = [_in_order(onnx, step, name) for name in (a, onnx.skip) if name]
    number = len(onnx.nodes)
    ends = f"last{number}", f"every{number}"
    attributes = {"body": _cell(onnx, step, f"s{number}_"), "num_scan_inputs": len(scanned)}
    onnx.nodes.append(protobuf.node("Scan", [first, *scanned], ends, attributes))
    return onnx.op("Transpose", _in_order(onnx, step, ends[1]), perm=[1, 0, 2]) if step.sequences else ends[0]


def _in_order(onnx: Graph, step: Recurrent, name: str) -> str:
    """Steps, which come first, in the order of the layer, or back from it: not all runtimes have the directions of Scan."""
    if not step.reverse:
        return name
    return onnx.op("Gather", name, onnx.constant(np.arange(step.steps)[::-1], np.int64), axis=0)


def _cell(onnx: Graph, step: Recurrent, prefix: str) -> bytes:
    """The graph of one step: from h_{t−1}, a_t and whether to skip it to h_t, as the next state and as an output."""
    body = Graph(onnx.dtype, prefix)
    before, a, skip = f"{prefix}before", f"{prefix}a", f"{prefix}skip"
    p = body.op("MatMul", before, body.constant(step.recurrent_weight.T))
    new = CELLS[step.cell](body, a, body.op("Add", p, body.constant(step.recurrent_bias)), before, step)
    if step.keep:
        new = body.op("Add", body.op("Mul", step.keep, before), body.op("Mul", 1 - step.keep, new))
    if onnx.skip:
        new = body.op("Where", skip, before, new)
    ends = [body.op("Identity", new, output=f"{prefix}{name}") for name in ("state", "output")]
    rows = [protobuf.value_info(name, body.dtype, ["batch", step.units]) for name in (before, *ends)]
    given = [rows[0], protobuf.value_info(a, body.dtype, ["batch", len(step.bias)])]
    given += [protobuf.value_info(skip, "bool", ["batch", 1])] if onnx.skip else []
    return protobuf.graph(f"{prefix}cell", body.nodes, body.constants, given, rows[1:])
