"""The wire format of protocol buffers, and the messages of ONNX that a network needs: their fields by number.

The numbers are those of onnx.proto (github.com/onnx/onnx), which never change. A message is the concatenation of its fields, in
any order: a key, which is number · 8 + kind, and a value.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import numpy as np

from nncore.export.steps import Array

__all__ = ["ELEMENT_TYPES", "attribute", "graph", "model", "node", "tensor", "value_info"]

ELEMENT_TYPES = {"float32": 1, "int64": 7, "bool": 9, "float64": 11}  # TensorProto.DataType
VARINT, BYTES, FIXED32 = 0, 2, 5  # kinds of fields


def varint(value: int) -> bytes:
    """An integer in groups of 7 bits, the lowest first; a negative one in two's complement of 64 bits."""
    value &= 2**64 - 1
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])


def field(number: int, value: int | float | str | bytes) -> bytes:
    """One field: an integer, a float32, a text, or bytes, which are also a message."""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | FIXED32) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | BYTES) + varint(len(data)) + data


def repeated(number: int, values: Iterable[int | str | bytes]) -> bytes:
    """A field once for each value."""
    return b"".join(field(number, value) for value in values)


def tensor(array: Array, name: str = "") -> bytes:
    """TensorProto: dims 1, data_type 2, name 8, raw_data 9, which is little-endian."""
    data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    return repeated(1, array.shape) + field(2, ELEMENT_TYPES[str(array.dtype)]) + field(8, name) + field(9, data)


def attribute(name: str, value: int | list[int] | bytes) -> bytes:
    """AttributeProto: name 1, type 20; i 3 (type 2), ints 8 (type 7), g 6 (type 5), a graph."""
    if isinstance(value, bytes):
        return field(1, name) + field(6, value) + field(20, 5)
    if isinstance(value, list):
        return field(1, name) + repeated(8, value) + field(20, 7)
    return field(1, name) + field(3, value) + field(20, 2)


def node(op: str, inputs: Iterable[str], outputs: Iterable[str], attributes: dict[str, Any]) -> bytes:
    """NodeProto: input 1, output 2, name 3, op_type 4, attribute 5."""
    outputs = list(outputs)
    parts = repeated(5, (attribute(name, value) for name, value in attributes.items()))
    return repeated(1, inputs) + repeated(2, outputs) + field(3, f"{op}_{outputs[0]}") + field(4, op) + parts


def value_info(name: str, dtype: Any, shape: Iterable[int | str]) -> bytes:
    """ValueInfoProto: name 1, type 2 = TypeProto: tensor_type 1 = elem_type 1, shape 2 = dim 1 = dim_value 1 or dim_param 2."""
    dims = repeated(1, (field(1 if isinstance(size, int) else 2, size) for size in shape))
    return field(1, name) + field(2, field(1, field(1, ELEMENT_TYPES[str(dtype)]) + field(2, dims)))


def graph(name: str, nodes: list[bytes], constants: list[bytes], inputs: list[bytes], outputs: list[bytes]) -> bytes:
    """GraphProto: node 1, name 2, initializer 5, input 11, output 12."""
    lists = repeated(1, nodes), repeated(5, constants), repeated(11, inputs), repeated(12, outputs)
    return field(2, name) + b"".join(lists)


def model(contents: bytes, ir_version: int, opset: int, producer: tuple[str, str], properties: dict[str, str]) -> bytes:
    """ModelProto: ir_version 1, producer_name 2, producer_version 3, graph 7, opset_import 8 = version 2, metadata_props 14."""
    entries = repeated(14, (field(1, key) + field(2, value) for key, value in properties.items()))
    head = field(1, ir_version) + field(2, producer[0]) + field(3, producer[1])
    return head + field(8, field(1, "") + field(2, opset)) + field(7, contents) + entries
