"""Damage to files of nncore that knows their structure: bytes, the safetensors header, the description in it, the arrays."""

from __future__ import annotations

import contextlib
import copy
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from safetensors.numpy import load, save

Rng = np.random.Generator

TEXTS = {  # that `json.dumps` would not write: texts of values by the placeholders that stand for them
    "@deep": "[" * 100_000 + "]" * 100_000,
    "@objects": '{"a":' * 3000 + "1" + "}" * 3000,
    "@nested": "[" * 90 + "]" * 90,
    "@digits": "9" * 5000,
    "@huge": "1e999",
    "@surrogate": r'"\ud800"',
    "@half": r'"a\udc00b"',
    "@zero": r'"\u0000"',
    "@open": "[1,",
    "@nothing": "",
    "@comment": "/**/1",
    "@minus": "-0",
}
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 3, 7, 0.0, 0.5, -1.5, 1e-320, 1e308, 3e38, float("nan"), float("inf"), float("-inf"), 2**31,
    2**53 + 1, 2**63 - 1, 2**63, 2**64, 2**70, 10**400, -(2**63), "", "text", "../x", "0", "nan", "1e5", "\0", "é",
    "x" * 10_000, [], {}, [[]], [[1]], [None], [1, 2], [-1], [2**40, 2**40], [0] * 1000, {"class": "Dense"},
    {"class": "Dense", "units": 3}, {"class": None}, {"class": []}, {"class": {}}, {"name": "custom.Dense"},
    {"name": "glorot_uniform"}, {"name": "Constant"}, {"schedule": "Cosine", "initial": 1.0, "steps": 3},
    {"schedule": "custom.Cosine"}, {"schedule": None}, {"": ""}, "float16", "float32", "float64", "int64", "complex64", "O",
    "<f4", "F8_E4M3", "BF16", "F16", "F32", "F64", "I64", "U8", "BOOL", "nncore-1", "nncore-2", "nncore-3", "nncore-0", "model",
    "ensemble", "trainer", "ensemble_trainer", "custom.Tanh", "Dense", "Tanh", "BatchNorm", "WeightNorm", "SparseDense", "GRU",
    "Adam", "EMA", "Cosine", "StandardScaler", "L2", "EarlyStopping", *TEXTS,
]  # fmt: skip
KEYS = [
    "class",
    "name",
    "units",
    "lr",
    "__metadata__",
    "format",
    "about",
    "kind",
    "parameters",
    "state",
    "",
    "x",
    "0.state",
    "é",
    "\0",
]
DTYPES = ["float16", "float32", "float64", "int8", "int32", "int64", "uint8", "uint64", "bool"]


def pick(rng: Rng, values: Any) -> Any:
    """One of them; `Generator.choice` would make an array of them."""
    return values[int(rng.integers(len(values)))]


def mutated(rng: Rng, content: bytes, other: bytes) -> bytes:
    """The content with one to some mutations; parts of the other file may get into it."""
    for _ in range(int(rng.geometric(0.6))):
        with contextlib.suppress(ValueError, OverflowError):  # a value that has become a part of itself, or too large
            content = pick(rng, MUTATIONS)(rng, content, other)
    return content


# ---- bytes


def flip(rng: Rng, content: bytes, other: bytes) -> bytes:
    """Some bytes change, most often within the header."""
    data = bytearray(content)
    end = len(data) if rng.random() < 0.3 else min(len(data), 4096)
    for _ in range(int(rng.geometric(0.4)) if end else 0):
        data[int(rng.integers(end))] = int(rng.integers(256))
    return bytes(data)


def cut(rng: Rng, content: bytes, other: bytes) -> bytes:
    """A stretch of bytes is missing, is zero, is there twice, or others are between; or the end is missing."""
    a, b = sorted(rng.integers(len(content) + 1, size=2).tolist())
    b = min(b, a + int(rng.integers(1, 64))) if rng.random() < 0.7 else b
    middle = pick(rng, [b"", bytes(b - a), content[a:b] * 2, content[a:b] + rng.bytes(8), other[a:b]])
    return content[:a] + middle + (content[b:] if rng.random() < 0.8 else b"")


def length(rng: Rng, content: bytes, other: bytes) -> bytes:
    """Another length of the header."""
    near = int.from_bytes(content[:8], "little") + int(rng.integers(-9, 10))
    number = pick(rng, [near, 0, 1, 2, len(content), len(content) - 8, 2**31, 2**63 - 1, 2**64 - 1, 100_000_000])
    return int(number % 2**64).to_bytes(8, "little") + content[8:]


# ---- JSON


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Of everything in a description."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else []
    return [place, *(found for key, part in inside for found in places(part, (*place, key)))]


def at(value: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        value = value[key]
    return value


def put(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """The value with another part in a place."""
    if not place:
        return new
    at(value, place[:-1])[place[-1]] = new
    return value


def tree(rng: Rng, value: Any, donor: Any) -> Any:
    """One change of a description: another value, a part of the donor or of itself, a key more or less, another name."""
    all_places = places(value)
    place = pick(rng, all_places)
    old = at(value, place)
    parent = at(value, place[:-1]) if place else None
    kind = int(rng.integers(10))
    if kind <= 3:
        return put(value, place, pick(rng, VALUES))
    if kind == 4:
        return put(value, place, copy.deepcopy(at(donor, pick(rng, places(donor)))))
    if kind == 5:
        return put(value, place, copy.deepcopy(at(value, pick(rng, all_places))))
    if kind == 6 and isinstance(old, (int, float)) and not isinstance(old, bool) and abs(old) < 1e300:
        return put(value, place, pick(rng, [old + 1, old - 1, -old, old * 2, float(old), str(old), bool(old), [old]]))
    if kind == 7 and isinstance(parent, (dict, list)):
        del parent[place[-1]]
        return value
    if kind == 8 and isinstance(parent, dict):
        parent[pick(rng, KEYS + list(parent))] = parent.pop(place[-1])
        return value
    if kind == 9 and isinstance(parent, list):
        parent.insert(int(rng.integers(len(parent) + 1)), copy.deepcopy(old))
        return value
    return put(value, place, pick(rng, [[old], {"class": old}, {"x": old}, [old, old]]))


def text(rng: Rng, value: Any) -> str:
    """As JSON, or as nearly JSON."""
    written = json.dumps(value)
    for name, raw in TEXTS.items():
        if f'"{name}"' in written:
            written = written.replace(f'"{name}"', raw)
    if rng.random() < 0.1:  # a key that is there twice
        openings = [match.end() for match in re.finditer(r"\{(?=\")", written)]
        if openings:
            where = pick(rng, openings)
            key = written[where : written.index('"', where + 1) + 1]
            written = f"{written[:where]}{key}: {pick(rng, ['null', '1', '[]', '{}', 'NaN'])}, {written[where:]}"
    return written


def parsed(content: bytes) -> tuple[dict[str, Any], Any, bytes] | None:
    """Header, description and data of a file, if it still has them."""
    size = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + size])
        found = header, json.loads(header["__metadata__"]["about"]), content[8 + size :]
        places(found)  # RecursionError if it is nested too deeply to be changed
        return found
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def packed(header: str, data: bytes) -> bytes:
    raw = header.encode("utf-8", "surrogatepass")
    return len(raw).to_bytes(8, "little") + raw + data


def about(rng: Rng, content: bytes, other: bytes) -> bytes:
    """Some changes of the description."""
    mine, theirs = parsed(content), parsed(other)
    if mine is None or theirs is None:
        return flip(rng, content, other)
    header, value, data = mine
    for _ in range(int(rng.geometric(0.7))):
        value = tree(rng, value, theirs[1])
    header["__metadata__"]["about"] = text(rng, value)
    return packed(json.dumps(header), data)


def header(rng: Rng, content: bytes, other: bytes) -> bytes:
    """Some changes of the header of safetensors: shapes, dtypes, offsets, names, its metadata."""
    mine, theirs = parsed(content), parsed(other)
    if mine is None or theirs is None:
        return cut(rng, content, other)
    value = mine[0]
    for _ in range(int(rng.geometric(0.7))):
        value = tree(rng, value, theirs[0])
    return packed(text(rng, value), mine[2])


# ---- arrays and parts


def arrays(rng: Rng, content: bytes, other: bytes) -> bytes:
    """Other numbers, shapes, dtypes or names of arrays, in a file that is otherwise whole."""
    mine, theirs = parsed(content), parsed(other)
    try:
        own, donor = load(content), load(other)
    except Exception:  # whatever safetensors says of a file that is damaged already
        return flip(rng, content, other)
    if mine is None or theirs is None or not own or not donor:
        return flip(rng, content, other)
    for _ in range(int(rng.geometric(0.7))):
        name = pick(rng, sorted(own))
        with np.errstate(all="ignore"):
            new = _array(rng, own[name], donor)
        if new is None:
            del own[name]
        elif rng.random() < 0.9:
            own[name] = new
        else:
            own[pick(rng, [*KEYS, *sorted(own), *sorted(donor)])] = new
        if not own:
            break
    metadata = mine[0]["__metadata__"]
    try:
        return save({key: np.ascontiguousarray(value) for key, value in own.items()}, metadata)
    except Exception:  # it refuses some names
        return content


def _array(rng: Rng, old: Any, donor: dict[str, Any]) -> Any:
    """Another array in the place of one; None if there is to be none."""
    kind = int(rng.integers(9))
    if kind <= 3 and old.size:
        new, numbers = old.copy(), [0, -1, 1, -2.5, np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-310, 2**62, -(2**62), 1e38]
        value = np.array(pick(rng, numbers)).astype(old.dtype)
        if rng.random() < 0.3:
            new[...] = value
        else:
            new.flat[int(rng.integers(old.size))] = value
        return new
    if kind == 4:
        return old.astype(pick(rng, DTYPES))
    if kind == 5:
        return pick(
            rng, [old.ravel(), old[None], old[..., None], old.T, old.ravel()[:-1], old.ravel()[:0], np.repeat(old.ravel(), 2)]
        )
    if kind == 6:
        return pick(rng, list(donor.values()))
    if kind == 7:
        return None
    return np.resize(old, (int(rng.integers(0, 4)), int(rng.integers(0, 40)))) if old.size else np.zeros(3, old.dtype)


def swap(rng: Rng, content: bytes, other: bytes) -> bytes:
    """The description or the format of the other file, or its arrays."""
    mine, theirs = parsed(content), parsed(other)
    if mine is None or theirs is None:
        return other
    if rng.random() < 0.5:
        return packed(json.dumps({**mine[0], "__metadata__": theirs[0]["__metadata__"]}), mine[2])
    value, donor = mine[1], theirs[1]
    if isinstance(value, dict) and isinstance(donor, dict) and donor:
        key = pick(rng, sorted(donor))
        mine[0]["__metadata__"]["about"] = json.dumps({**value, key: donor[key]})
    return packed(json.dumps(mine[0]), mine[2])


MUTATIONS: list[Callable[[Rng, bytes, bytes], bytes]] = [
    flip,
    cut,
    length,
    about,
    about,
    about,
    about,
    header,
    header,
    arrays,
    arrays,
    swap,
]
