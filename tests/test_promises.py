"""What docs/guide/promises.rst says: its tests exist, its versions are those of pyproject.toml; and promises without a test."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from helpers.processes import run_python

import nncore as nn
from nncore import _kernels
from nncore._utils import archive
from nncore.sweeps import store

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/guide/promises.rst").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAMED = sorted(set(re.findall(r"(test_\w+\.py)::(test_\w+)", PAGE)))


# --- the page


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_is_named_exists(file: str, name: str) -> None:
    assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("heading", ["what may differ", "promise"])
def test_every_promise_of_a_table_has_a_test(heading: str) -> None:
    table = PAGE.partition(f"   * - {heading}\n")[2].partition("\n\n")[0]
    rows = table.split("   * - ")[1:]
    assert len(rows) > 8
    assert all("::test_" in row.partition("\n     - ")[2] for row in rows)


def test_versions_are_those_of_the_project() -> None:
    table = PAGE.partition("needed          oldest   for")[2].partition("\n\n")[0]
    listed = dict(re.findall(r"^([\w-]+) +([\d.]+)(?: |$)", table, re.MULTILINE))
    users = ("plot", "sklearn", "joblib", "mpi", "play", "demo")
    needed = [*PROJECT["dependencies"], *(each for extra in users for each in PROJECT["optional-dependencies"][extra])]
    assert listed == {"Python": PROJECT["requires-python"].removeprefix(">=")} | dict(each.split(">=") for each in needed)


def test_formats_are_those_of_the_code() -> None:
    assert re.search(rf"^model, checkpoint, ensemble +1 and {archive.VERSION} ", PAGE, re.MULTILINE)
    assert re.search(rf"^sweep +{store.VERSION} ", PAGE, re.MULTILINE)


def test_how_to_report_is_said_without_an_address() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "Report a vulnerability" in text
    assert "@" not in text


# --- promises that no other test holds


TRAINING = """
import os, sys
import numpy as np
import nncore as nn
rng = np.random.default_rng(0)
X, y = rng.standard_normal((500, 64)), rng.integers(0, 10, 500)
layers = [nn.Dense(128), nn.Tanh(), nn.Dropout(0.1), nn.Dense(10)]
model = nn.Sequential(layers, input_shape=64, dtype=os.environ.get("DTYPE", "float32"), seed=0)
nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=0.01)).fit(X, y, epochs=10, batch_size=64, verbose=0)
print(model.parameters.tobytes().hex())
"""


def trained(**environment: str) -> np.ndarray:
    done = run_python(TRAINING, **environment)
    assert done.returncode == 0, done.stderr
    return np.frombuffer(bytes.fromhex(done.stdout), dtype=environment.get("DTYPE", "float32"))


def test_a_run_in_another_process_has_the_same_bits() -> None:
    assert trained(PYTHONHASHSEED="1", NNCORE_NUM_THREADS="1").tobytes() == trained(PYTHONHASHSEED="2").tobytes()


@pytest.mark.parametrize(("dtype", "rounding"), [("float32", 1e-5), ("float64", 1e-14)])
def test_instruction_sets_agree_up_to_rounding(dtype: str, rounding: float) -> None:
    first, *others = (trained(NNCORE_ISA=isa, DTYPE=dtype) for isa in _kernels.available_isas())
    for other in others:
        np.testing.assert_allclose(other, first, rtol=0, atol=rounding)


@pytest.mark.parametrize(("dtype", "rounding"), [("float32", 1e-5), ("float64", 1e-14)])
def test_rows_of_a_prediction(dtype: str, rounding: float, rng: np.random.Generator) -> None:
    """From nine rows on the others change no bit; below, only those of wide layers."""
    for inputs in (255, 256, 784):
        X = rng.standard_normal((100, inputs))
        model = nn.Sequential([nn.Dense(50), nn.ReLU(), nn.Dense(3)], input_shape=inputs, dtype=dtype)
        whole = model.predict(X)
        for rows in (1, 8, 9, 10, 50):
            part = model.predict(X[:rows])
            if rows > 8 or inputs < 256:
                assert part.tobytes() == whole[:rows].tobytes()
            np.testing.assert_allclose(part, whole[:rows], rtol=0, atol=rounding)
