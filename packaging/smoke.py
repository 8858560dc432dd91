"""Does the installed package work? It trains XOR, saves, loads, runs the command line: ``python smoke.py``."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np

import nncore as nn


def train_and_load(folder: Path) -> None:
    X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    model = nn.Sequential([nn.Dense(16), nn.Tanh(), nn.Dense(2)], input_shape=2, seed=0)
    trainer = nn.Trainer(model, loss="softmax_cross_entropy", optimizer=nn.Adam(lr=0.05), metrics=["accuracy"])
    trainer.fit(X, y, epochs=300, batch_size=4, verbose=0)
    assert trainer.evaluate(X, y)["accuracy"] == 1, trainer.evaluate(X, y)
    model.save(folder / "xor.safetensors")
    np.testing.assert_array_equal(nn.load(folder / "xor.safetensors").predict(X), model.predict(X))


def command_line() -> None:
    run = [sys.executable, "-m", "nncore", "compare", "beale", "--steps", "20"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "adam" in done.stdout, done.stdout


def package_data() -> None:
    package = Path(str(nn.__file__)).parent
    for name in ("py.typed", "slide.mplstyle", "_kernels/program.pyi", "playground/static/index.html"):
        assert (package / name).is_file(), name
    assert metadata.version("nncore-learn") == nn.__version__


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        train_and_load(Path(folder))
    command_line()
    package_data()
    print(nn.show_config())
