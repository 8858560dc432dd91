"""Where weights come from: safetensors files, archives of Keras and NumPy, HDF5 files, mappings of names to arrays."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from nncore._messages import clipped, shown
from nncore._utils.archive import DAMAGE
from nncore._utils.files import Source, content
from nncore.interop import keras_weights
from nncore.interop.modules import Entry, Module, Told, checked_array, grouped, of_bfloat16

__all__ = ["keras_config", "modules_of", "reading"]

TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1",
}  # fmt: skip


OF_LIBRARIES = SafetensorError, zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, RuntimeError


@contextlib.contextmanager
def reading(file: str) -> Iterator[None]:
    """Whatever a damaged file leads to is a ValueError that names it."""
    try:
        yield
    except (*DAMAGE, *OF_LIBRARIES) as error:
        raise ValueError(f"{file} cannot be read: {clipped(error)}") from error


def modules_of(source: Source | Mapping[str, Any], file: str) -> tuple[list[Module], Told]:
    """The layers that weights are of, and what tells which is which: safetensors and HDF5 files sort their arrays."""
    if isinstance(source, Mapping):
        return grouped({str(key): _of_value(str(key), value) for key, value in source.items()}), "by place"
    data = content(source)
    with reading(file):
        if data.startswith(b"PK"):
            archive = zipfile.ZipFile(io.BytesIO(data))
            if any(name.endswith(".pkl") for name in archive.namelist()):
                raise ValueError(
                    "it is a pickle, as by torch.save: write it with safetensors.torch.save_file(net.state_dict(), path)"
                )
            if WEIGHTS not in archive.namelist():
                return grouped(_of_numpy(archive)), "by place"
            data = _stored(archive, WEIGHTS)
        if data.startswith(b"\x89HDF"):
            return keras_weights.modules_of(data), "by class and number"
        return grouped(_of_safetensors(data)), "by name"


def _of_value(key: str, value: Any) -> Entry:
    try:
        array = checked_array(key, value)
    except (TypeError, RuntimeError) as error:  # of PyTorch: for bfloat16, a GPU's memory or a gradient
        raise TypeError(
            f"{key} must be something that NumPy makes an array of, got {shown(value)}: {clipped(error)}"
        ) from error
    return Entry(array.shape, lambda: array)


def _of_safetensors(data: bytes) -> dict[str, Entry]:
    tensors = sorted(deserialize(data), key=itemgetter(0))
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    if str(header.get("__metadata__", {}).get("format")).startswith("nncore-"):
        raise ValueError(
            "it is nncore's own: nn.load(path) makes its model, and model.parameters[...] = other.parameters copies"
        )
    return {name: _of_tensor(name, tensor) for name, tensor in tensors}


def _of_tensor(name: str, tensor: Mapping[str, Any]) -> Entry:
    if (kind := tensor["dtype"]) not in TYPES:
        raise ValueError(f"{name} must be of type {', '.join(TYPES)}, got {kind}")
    array = np.frombuffer(tensor["data"], TYPES[kind]).reshape(tensor["shape"])
    return Entry(array.shape, lambda: of_bfloat16(array) if kind == "BF16" else array)


# ---- zip archives: NumPy's npz, Keras's .keras

WEIGHTS = "model.weights.h5"
CONFIG = "config.json"


def keras_config(source: bytes) -> Any:
    """What a Keras archive tells of its model."""
    return json.loads(_stored(zipfile.ZipFile(io.BytesIO(source)), CONFIG))


def _stored(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member as Keras writes it, uncompressed: it cannot be larger than the archive."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} must be stored without compression, as Keras does")
    return archive.read(name)


def _of_numpy(archive: zipfile.ZipFile) -> dict[str, Entry]:
    return {name.removesuffix(".npy"): _of_member(archive, name) for name in archive.namelist()}


def _of_member(archive: zipfile.ZipFile, name: str) -> Entry:
    """An array, of which only the shape is read yet."""
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape = read_header(file)[0]

    def read() -> Any:
        with archive.open(name) as file:
            return checked_array(name, np.lib.format.read_array(file, allow_pickle=False))

    return Entry(shape, read)
