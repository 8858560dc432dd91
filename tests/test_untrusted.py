"""Files from strangers: what they name is not imported or run, what they promise is not allocated, no name becomes a path."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.processes import run_python
from numpy.typing import NDArray
from safetensors.numpy import load as arrays_of
from safetensors.numpy import save

import nncore as nn
from nncore._utils.archive import by_place
from nncore.model import files

Array = NDArray[Any]
X = np.linspace(-1, 1, 24).reshape(12, 2)
Y = (X[:, 0] > 0).astype(int)


def model(name: str = "first") -> nn.Sequential:
    return nn.Sequential([nn.Dense(3, name=name), nn.Tanh(), nn.Dense(2)], input_shape=2)


def trainer() -> nn.Trainer:
    return nn.Trainer(model(), "softmax_cross_entropy", nn.Momentum(lr=nn.schedules.Cosine(0.1, 50)))


def content(thing: Any) -> bytes:
    thing.save(stream := io.BytesIO())
    return stream.getvalue()


def changed(data: bytes, *keys: Any, value: Any) -> bytes:
    """The file with another value at this place of its description."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])["__metadata__"]
    about = place = json.loads(header["about"])
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return save(arrays_of(data), header | {"about": json.dumps(about)})


# --- nothing is imported or called by name


def restored(data: bytes) -> None:
    trainer().restore(io.BytesIO(data))


def loaded(data: bytes) -> None:
    nn.load(io.BytesIO(data))


def loaded_ensemble(data: bytes) -> None:
    nn.Ensemble.load(io.BytesIO(data))


NAMED: dict[str, tuple[Callable[[], Any], Callable[[bytes], None], tuple[Any, ...]]] = {
    "a layer": (model, loaded, ("model", "layers", 0, "class")),
    "a layer of a checkpoint": (trainer, restored, ("model", "layers", 0, "class")),
    "a layer of an ensemble": (lambda: nn.Ensemble(model(), 2), loaded_ensemble, ("groups", 0, "model", "layers", 0, "class")),
    "an initializer": (model, loaded, ("model", "layers", 0, "weight_init", "name")),
    "a loss": (trainer, restored, ("training", "loss", "class")),
    "an optimizer": (trainer, restored, ("optimizer",)),
    "a schedule": (trainer, restored, ("optimizer_config", "lr", "schedule")),
    "a type of numbers": (model, loaded, ("model", "dtype")),
    "a callback": (trainer, restored, ("callbacks",)),
}


@pytest.mark.parametrize("name", ["intruder", "intruder.Layer", "intruder:Layer", "custom.intruder.Layer", "nncore.Trainer"])
@pytest.mark.parametrize("what", NAMED)
def test_a_name_in_a_file_imports_nothing(what: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "intruder.py").write_text("import nncore as nn\nclass Layer(nn.Identity): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "intruder", raising=False)
    make, read, keys = NAMED[what]
    value = [{"class": name, "state": {}}] if what == "a callback" else name
    if what == "a callback" and name.startswith("custom."):  # kept, for a callback of this name that the user may pass
        restored(changed(content(make()), *keys, value=value))
    else:
        with pytest.raises(ValueError):
            read(changed(content(make()), *keys, value=value))
    assert "intruder" not in sys.modules


def test_a_checkpoint_says_no_callback_where_to_write(tmp_path: Path) -> None:
    own, other = tmp_path / "own.csv", tmp_path / "other.csv"
    for kind in ("CSVLogger", "custom.CSVLogger", "ModelCheckpoint"):
        goes_on, state = trainer(), [{"class": kind, "state": {"path": str(other), "best": None, "watched": None}}]
        try:
            goes_on.restore(io.BytesIO(changed(content(trainer()), "callbacks", value=state)))
        except ValueError:
            continue
        goes_on.fit(X, Y, epochs=1, callbacks=[nn.CSVLogger(own), nn.ModelCheckpoint(tmp_path / "own")], verbose=0)
    assert not other.exists()


# --- nothing is allocated that the file does not hold


LIMITED = """
import io, json, os, resource, struct
import numpy as np
import nncore as nn

resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
DENSE = [{"class": "Dense", "units": 1}]
ABOUT = {"kind": "model", "model": {"layers": DENSE, "input_shape": [2], "dtype": "float32", "seed": 0}}

def raw(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data

def tensor(start, end, *shape):
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}

def described(layers, shape=(2,)):
    about = {**ABOUT, "model": {**ABOUT["model"], "layers": layers, "input_shape": shape}}
    return raw({"__metadata__": {"format": "nncore-2", "about": json.dumps(about)}, "parameters": tensor(0, 12, 3),
                "state": tensor(12, 12, 0)}, bytes(12))

META = {"format": "nncore-2", "about": json.dumps(ABOUT)}
CASES = {
    "a tensor of 1 TB": raw({"__metadata__": META, "parameters": tensor(0, 2**40, 2**38)}),
    "a shape of 1 TB over 12 bytes": raw({"__metadata__": META, "parameters": tensor(0, 12, 2**38)}, bytes(12)),
    "a shape that overflows": raw({"__metadata__": META, "parameters": tensor(0, 0, 2**32, 2**32)}),
    "10000 tensors of the same MB": raw(
        {"__metadata__": META, **{f"a{i}": tensor(0, 2**20, 2**18) for i in range(10_000)}}, bytes(2**20)),
    "a header of 1 TB": struct.pack("<Q", 2**40) + b"{",
    "10**9 units": described([{"class": "Dense", "units": 10**9}]),
    "10**9 units of a GRU": described([{"class": "GRU", "units": 10**9}], (5, 2)),
    "10**9 inputs of a SparseDense": described([{"class": "SparseDense", "units": 9}], (10**9,)),
    "10**9 normalized numbers": described([{"class": "BatchNorm"}], (10**9,)),
    "a million layers": described([{"class": "Dense", "units": 1000}] * 1000),
}
for name, data in CASES.items():
    with open(os.environ["FILE"], "wb") as file:
        file.write(data)
    for source in (io.BytesIO(data), os.environ["FILE"]):
        try:
            nn.load(source)
        except ValueError:
            print("refused", end=" ")
        except MemoryError:
            print(name, "was to be allocated")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited by Linux")
def test_what_a_file_promises_is_not_allocated(tmp_path: Path) -> None:
    done = run_python(LIMITED, FILE=str(tmp_path / "file"), OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    assert done.stdout.split() == ["refused"] * 20, done.stdout + done.stderr


def test_a_layer_without_parameters_promises_nothing() -> None:
    """Its numbers of inputs cost nothing until somebody has such an input."""
    huge = changed(content(nn.Sequential([nn.Identity()], input_shape=2)), "model", "input_shape", value=[2**40])
    assert nn.load(io.BytesIO(huge)).input_shape == (2**40,)


def test_archives_that_are_compressed_are_not_read() -> None:
    np.savez_compressed(stream := io.BytesIO(), parameters=np.zeros(10**6))
    with pytest.raises(ValueError, match="is not a safetensors file"):
        nn.load(io.BytesIO(stream.getvalue()))


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "F8_E5M2"])
def test_numbers_that_numpy_does_not_have(kind: str, tmp_path: Path) -> None:
    size = 2 if kind == "BF16" else 1
    header = json.dumps({"parameters": {"dtype": kind, "shape": [3], "data_offsets": [0, 3 * size]}}).encode()
    (tmp_path / "bad").write_bytes(struct.pack("<Q", len(header)) + header + bytes(3 * size))
    for source in (tmp_path / "bad", io.BytesIO((tmp_path / "bad").read_bytes())):
        # another library, as ml_dtypes, may give NumPy such numbers
        with pytest.raises(ValueError, match=r"is not a safetensors file|was not written by nncore"):
            nn.load(source)


class Counted(dict[str, Array]):
    """Counts how often all are looked at."""

    looks = 0

    def items(self) -> Any:
        self.looks += 1
        return super().items()


@pytest.mark.parametrize("groups", [2, 9])
def test_the_groups_of_an_ensemble_are_found_in_one_pass(groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of many groups takes time in proportion to its size, not to its square."""
    ensemble = nn.Ensemble([nn.Sequential([nn.Dense(1 + k), nn.Dense(1)], input_shape=2) for k in range(groups)])
    arrays, about = files.read(io.BytesIO(content(ensemble)), ())
    counted = Counted(arrays)
    monkeypatch.setattr(files, "read", lambda path, custom: (counted, about))
    assert len(nn.Ensemble.load("any")) == groups
    assert counted.looks == 1


def test_arrays_by_place() -> None:
    a, b, c = np.zeros((3, 1))
    assert by_place({"0.a": a, "10.a.b": b, "0.": c, "x": c}) == {"0": {"a": a, "": c}, "10": {"a.b": b}, "x": {"": c}}


# --- names are not paths, and not program text


HOSTILE = ["../../EVIL", "/EVIL", "*/ EVIL /*", '"""\nEVIL = 1\n"""', "\nglobalThis.EVIL = 1", "\u2028EVIL", "\\", "\0"]


def test_names_in_a_file_are_no_paths(tmp_path: Path) -> None:
    (folder := tmp_path / "a" / "b").mkdir(parents=True)
    named = model(name="../../EVIL")
    named.feature_names, named.target_names = ["../EVIL", "/EVIL"], HOSTILE[:2]
    named.save(folder / "model")
    data = changed((folder / "model").read_bytes(), "../EVIL", value="../EVIL")
    again = nn.load(io.BytesIO(data))
    assert again.layers[0].name == "../../EVIL"
    again.save(folder / "again")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "again", "b", "model"]


@pytest.mark.parametrize(("suffix", "comment"), [(".h", "//"), (".py", "#"), (".js", "//")])
def test_names_in_a_file_do_not_become_program_text(suffix: str, comment: str, tmp_path: Path) -> None:
    named = nn.Sequential([nn.Dense(len(HOSTILE), name="EVIL\n */")], input_shape=len(HOSTILE))
    named.feature_names, named.target_names = HOSTILE, HOSTILE[::-1]
    named.save(tmp_path / "model")
    nn.load(tmp_path / "model").export(tmp_path / f"net{suffix}")
    lines = [line for line in (tmp_path / f"net{suffix}").read_text(encoding="ascii").splitlines() if "EVIL" in line]
    assert len(lines) == 2  # inputs and outputs
    assert all(line.startswith(comment) and not line.endswith("\\") for line in lines)


def test_names_in_a_notebook_are_text() -> None:
    assert "<script>" not in model(name="<script>").summary()._repr_html_()  # type: ignore[attr-defined]


# --- links


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_nothing_is_written_through_a_link_beside_the_file(tmp_path: Path) -> None:
    """Another user of the folder plants a link with the name of a temporary file."""
    (precious := tmp_path / "precious").write_text("precious")
    prefix = f".nncore-{hashlib.sha256(b'model').hexdigest()[:16]}-"
    (tmp_path / f"{prefix}0").symlink_to(precious)
    model().save(tmp_path / "model")
    assert precious.read_text() == "precious"
    assert (tmp_path / "model").is_file()


def test_a_shape_of_more_axes_than_numpy_has() -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1] * 1000, "data_offsets": [0, 4]}, "__metadata__": {"format": "x"}})
    data = len(header).to_bytes(8, "little") + header.encode() + bytes(4)
    with pytest.raises(ValueError, match=r"BytesIO.* is not a safetensors file: "):
        nn.load(io.BytesIO(data))


def test_metadata_that_is_null() -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "__metadata__": None})
    with pytest.raises(ValueError, match="was not written by nncore"):
        nn.load(io.BytesIO(len(header).to_bytes(8, "little") + header.encode() + bytes(4)))


def test_a_name_of_a_schedule_in_another_entry(tmp_path: Path) -> None:
    trainer = nn.Trainer(nn.Sequential([nn.Dense(1)], 1), loss="squared_error", optimizer=nn.SGD(0.1))
    trainer.save(tmp_path / "checkpoint")
    data = (tmp_path / "checkpoint").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    about = json.loads(header["__metadata__"]["about"])
    about["optimizer_config"]["schedule"] = "warmup"
    header["__metadata__"]["about"] = json.dumps(about)
    text = json.dumps(header).encode()
    with pytest.raises(ValueError, match=r"holds an optimizer that cannot be set: SGD has no argument .schedule"):
        trainer.restore(io.BytesIO(len(text).to_bytes(8, "little") + text + data[8 + size :]))
