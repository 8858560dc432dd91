"""Messages of arrays: a JSON header, and the bytes beside it."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["message", "packed"]

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


def packed(header: Mapping[str, Any], data: bytes) -> bytes:
    """One binary message: the length of the header (uint32, little endian), the header, padded with spaces, the arrays."""
    text = json.dumps(header).encode()
    text += b" " * (-(4 + len(text)) % ALIGNED)
    return struct.pack("<I", len(text)) + text + data
