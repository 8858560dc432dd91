"""Replies: a JSON header, and the bytes of arrays beside it."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._messages import clipped, shown
from nncore.errors import DivergenceError

__all__ = ["message", "packed", "refused"]

LONGEST = 500  # characters of a refusal
ALIGNED = 8  # bytes: JavaScript's typed arrays begin at multiples of their item


def message(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> tuple[dict[str, Any], bytes]:
    """The header with its ``arrays``, which tell where each one lies in the bytes."""
    entries, parts, offset = [], [], 0
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).tobytes()
        entries.append({"name": name, "dtype": str(array.dtype), "shape": list(array.shape), "offset": offset})
        parts.append(data + bytes(-len(data) % ALIGNED))
        offset += len(parts[-1])
    return {**header, "arrays": entries}, b"".join(parts)


def refused(error: Exception) -> dict[str, Any]:
    """The reply where a request failed: what the page shows."""
    if isinstance(error, KeyError) and error.args:
        text = f"{shown(error.args[0])} is missing"
    else:
        text = str(error) if isinstance(error, (ValueError, TypeError, ImportError, DivergenceError)) else repr(error)
    return {"type": "refused", "message": clipped(text, LONGEST)}


def packed(header: Mapping[str, Any], data: bytes) -> bytes:
    """One binary message: the length of the header (uint32, little endian), the header, padded with spaces, the arrays."""
    text = json.dumps(header, allow_nan=False).encode()
    text += b" " * (-(4 + len(text)) % ALIGNED)
    return struct.pack("<I", len(text)) + text + data
