"""The files of nncore: arrays as safetensors, all else as JSON in the same file's header. No pickle."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from os import PathLike
from typing import Any, NoReturn

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as load_bytes
from safetensors.numpy import save

from nncore._messages import clipped, shown
from nncore._utils.arrays import Array
from nncore._utils.files import Source, Target, content, named, naming, regular

__all__ = ["DAMAGE", "by_place", "pack", "plain", "read"]

VERSION = 2
"""Of the format. The first one had the history in the description and did not mark classes that are not nncore's own."""
OTHERS = "for weights of PyTorch and Keras: nn.load(path, into=model)"
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
    source = regular(path) if isinstance(path, (str, bytes, PathLike)) else content(path)
    try:
        header, arrays = _open(source)
    except (SafetensorError, *DAMAGE) as error:  # damage may be numbers and shapes that NumPy lacks
        raise ValueError(f"{named(path)} is not a safetensors file: {clipped(error)}; {OTHERS}") from error
    path = named(path)
    given = header.get("format")
    version = re.fullmatch(r"nncore-([1-9][0-9]{0,8})", str(given))
    if version is None or int(version[1]) > VERSION:
        origin = "was written by a newer nncore" if version else "was not written by nncore"
        hint = "" if version else f"; {OTHERS}"
        raise ValueError(f"{path} {origin}: format must be at most 'nncore-{VERSION}', got {shown(given)}{hint}")
    try:
        about = json.loads(header["about"])
    except (KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: its description cannot be read") from error
    if not isinstance(about, dict):
        raise ValueError(f"{path} is damaged: its description is not a JSON object")
    return arrays, {**about, "format": int(version[1])}


def _open(source: str | bytes) -> tuple[dict[str, str], dict[str, Array]]:
    """Metadata and arrays of a safetensors file."""
    if isinstance(source, bytes):
        arrays = load_bytes(source)  # which checks the header
        return json.loads(source[8 : 8 + int.from_bytes(source[:8], "little")]).get("__metadata__") or {}, arrays
    with naming(source), open(source, "rb"):
        pass  # safetensors takes every error, as a lack of permission, for a file that is not there
    with safe_open(source, framework="numpy") as file:
        return file.metadata() or {}, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def by_place(arrays: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """Arrays with names such as ``"3.optimizer.m"`` by what stands before the first point, and then by the rest of the name."""
    result: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        place, _, rest = name.partition(".")
        result.setdefault(place, {})[rest] = array
    return result


def plain(value: Any) -> Any:
    """As it comes back from a file."""
    return json.loads(json.dumps(value, default=_refuse))


def _refuse(value: Any) -> NoReturn:
    raise TypeError(f"only what has a JSON form can be stored, got {shown(value)}")
