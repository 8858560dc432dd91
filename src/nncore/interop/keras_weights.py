"""Weights that Keras 3 has saved: an HDF5 file with the variables of each layer, numbered."""

from __future__ import annotations

import io
import re
from typing import Any

from nncore._utils.arrays import Array
from nncore.interop.forms import KERAS_VARIABLES
from nncore.interop.modules import Entry, Module, checked_array, of_bfloat16

__all__ = ["modules_of"]


# Objects inside a layer that have its variables, and what is put before their numbers.
PARTS = {None: "", "cell": "", "forward_layer/cell": "forward_", "backward_layer/cell": "backward_"}


def modules_of(data: bytes) -> list[Module]:
    """The layers of a ``.weights.h5`` file. Keras names them by class and number, as in ``layers/dense_1/vars/0``."""
    layers: dict[str, dict[str, Entry]] = {}
    for name, variable in _variables(data).items():
        if place := re.fullmatch(r"layers/([^/]+)/(?:(.*)/)?vars/(\d+)", name):
            layer, inner, number = place.groups()
            if inner in PARTS:
                layers.setdefault(layer, {})[PARTS[inner] + number] = variable
            elif inner != "seed_generator":  # of random layers
                layers.setdefault(f"{layer}/{inner}", {})[number] = variable
    if not layers:
        raise ValueError(
            "it has no layers of a Sequential or functional model, as model.save_weights('….weights.h5') writes them"
        )
    return [_module(path, variables) for path, variables in layers.items()]


def _module(path: str, variables: dict[str, Entry]) -> Module:
    kind, number = re.fullmatch(r"(.*?)(?:_(\d+))?", path, re.DOTALL).groups()  # type: ignore[union-attr]
    known = KERAS_VARIABLES.get((kind, len(variables)), {})
    return Module(path, f"{kind}_{number or 0}", {known.get(place, place): entry for place, entry in variables.items()})


def _variables(data: bytes) -> dict[str, Entry]:
    """All arrays of an HDF5 file, by path; ``visititems`` follows no links to elsewhere."""
    try:
        import h5py
    except ImportError:
        raise ImportError('nn.load needs h5py for weights of Keras: pip install "nncore-learn[keras]"') from None
    found: dict[str, Entry] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = _entry(name, item)

    h5py.File(io.BytesIO(data), "r").visititems(visit)
    return found


def _entry(name: str, dataset: Any) -> Entry:
    """An array that is all in the file, not read yet: its shape says nothing of the memory that reading takes."""
    if dataset.external or dataset.is_virtual or dataset.id.get_create_plist().get_nfilters():
        raise ValueError(f"{name} must be an array without filters inside the file, as Keras writes it")
    if dataset.shape is None:
        raise ValueError(f"{name} must be an array, got an empty dataset")

    def read() -> Array:
        if dataset.attrs.get("dtype") == "bfloat16" and dataset.dtype.kind == "V":
            return of_bfloat16(dataset[...].view("<u2"))
        return checked_array(name, dataset[...])

    return Entry(dataset.shape, read)
