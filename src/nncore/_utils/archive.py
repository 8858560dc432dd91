"""The files of nncore: arrays as safetensors, all else as JSON in the same file's header. No pickle."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from os import PathLike
from typing import Any, NoReturn

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as load_bytes
from safetensors.numpy import save

from nncore._messages import clipped, shown
from nncore._utils.arrays import Array
from nncore._utils.files import Source, Target, file_name, named

__all__ = ["DAMAGE", "pack", "plain", "read"]

VERSION = 2
"""Of the format. The first one had the history in the description and did not mark classes that are not nncore's own."""
MAX_HEADER = 100_000_000  # bytes that a safetensors header may have
DAMAGE = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, IndexError, RecursionError)  # what damage leads to


def pack(path: Target, arrays: Mapping[str, Array], about: dict[str, Any]) -> bytes:
    """The bytes of a file with these arrays and this description."""
    header = {"format": f"nncore-{VERSION}", "about": json.dumps(about)}
    try:
        data = save({name: np.ascontiguousarray(value) for name, value in arrays.items()}, metadata=header)
    except SafetensorError as error:
        raise ValueError(f"{named(path)} cannot hold this: {clipped(error)}") from error
    if (size := int.from_bytes(data[:8], "little")) > MAX_HEADER:  # which older versions of safetensors write, but cannot read
        raise ValueError(f"{named(path)} can hold a description of at most {MAX_HEADER:,} bytes, got {size:,}")
    return _ordered(data)


def _ordered(data: bytes) -> bytes:
    """With the format before the description: safetensors leaves their order to chance, and equal models have equal files."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = {name: header["__metadata__"][name] for name in ("format", "about")}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the arrays stay aligned
    return len(text).to_bytes(8, "little") + text + data[end:]


def read(path: Source) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and description, the latter with the number of the format as ``"format"``."""
    try:
        header, arrays = _open(path)
    except (SafetensorError, AttributeError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"{named(path)} is not a safetensors file: {clipped(error)}") from error
    path = named(path)
    given = header.get("format")
    version = re.fullmatch(r"nncore-([1-9][0-9]{0,8})", str(given))
    if version is None or int(version[1]) > VERSION:
        origin = "was written by a newer nncore" if version else "was not written by nncore"
        raise ValueError(f"{path} {origin}: format must be at most 'nncore-{VERSION}', got {shown(given)}")
    try:
        about = json.loads(header["about"])
    except (KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: its description cannot be read") from error
    if not isinstance(about, dict):
        raise ValueError(f"{path} is damaged: its description is not a JSON object")
    return arrays, {**about, "format": int(version[1])}


def _open(path: Source) -> tuple[dict[str, str], dict[str, Array]]:
    """Metadata and arrays of a safetensors file."""
    if not isinstance(path, (str, bytes, PathLike)):
        try:
            content = path.read() if hasattr(path, "read") else None
        except UnicodeDecodeError:  # opened as text
            content = None
        if not isinstance(content, bytes):
            raise TypeError(f"path must be a path or a file object opened for reading in binary mode, got {shown(path)}")
        arrays = load_bytes(content)  # which checks the header
        return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {}), arrays
    name = file_name(path)
    if not stat.S_ISREG(os.stat(name).st_mode):
        raise ValueError(f"{name} is a folder, a pipe or a device, not a file; read a pipe through a file object")
    with safe_open(name, framework="numpy") as file:
        return file.metadata() or {}, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def plain(value: Any) -> Any:
    """As it comes back from a file."""
    return json.loads(json.dumps(value, default=_refuse))


def _refuse(value: Any) -> NoReturn:
    raise TypeError(f"only what has a JSON form can be stored, got {shown(value)}")
