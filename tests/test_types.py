"""What type checkers say of programs that use nncore: nothing of correct ones, and an error where there is one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import typed_examples

RIGHT = """\
import numpy as np
from numpy.typing import NDArray

import nncore as nn

Array = NDArray[np.floating]


class Scale(nn.Layer):
    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        self.add_parameter("scale", input_shape, nn.initializers.Constant(1.0))
        return input_shape

    def forward(self, x: Array, training: bool) -> Array:
        self.x = x.copy()
        return self.scale * x

    def backward(self, dy: Array) -> Array:
        self.scale_grad[...] = (self.x * dy).sum(axis=0)
        return self.scale * dy


class Halve(nn.Callback):
    def on_train_begin(self, trainer: nn.Trainer) -> None:
        print(trainer.model["dense_1"].weight.shape)

    def on_epoch_end(self, trainer: nn.Trainer, epoch: int, row: dict[str, float]) -> None:
        trainer.optimizer.lr = 0.5 * trainer.optimizer.lr
        trainer.stop_training = epoch == 3 or row["running_loss"] < 0.1


X, y = nn.data.two_spirals(400)
model = nn.Sequential([nn.Dense(3), Scale(), nn.Tanh(), nn.Dense(2)], input_shape=2, seed=1)
trainer = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=0.1), metrics=["accuracy"])
history: nn.History = trainer.fit(X, y, epochs=5, callbacks=[Halve()])
losses: NDArray[np.float64] = history["running_loss"]
scores: dict[str, float] = trainer.evaluate(X, y)
print(model["dense_1"].weight, model["dense_1"].weight_grad, model["dense_1"].bias, model[0].bias_grad)
model["dense_1"].weight[...] = 0.0
model["dense_1"].bias = np.zeros(3)
print(trainer.optimizer.lr, trainer.optimizer.step_count, nn.Adam().lr)
trainer.optimizer.lr = nn.schedules.Cosine(0.1, 100)
print(nn.second_order.BFGS(), nn.reference, nn.landscapes.Beale(), nn.__version__)
print(model.summary(), nn.show_config())
"""

WRONG = """\
import nncore as nn
nn.Sequental([nn.Dense(3)], input_shape=2)  # error
nn.Densee(3)  # error
nn.optim.SGD()  # error
nn.optimizers.Adm()  # error
nn.data.two_spiral(400)  # error
nn.Dense("3")  # error
nn.Dense(3, activation="relu")  # error
model = nn.Sequential([nn.Dense(3)], input_shape=2)
model.sumary()  # error
trainer = nn.Trainer(model, "mean_squared_error", nn.SGD(lr=0.1))
trainer.fti([[0.0, 0.0]], [[1.0, 1.0, 1.0]])  # error
trainer.fit([[0.0, 0.0]], [[1.0, 1.0, 1.0]], epoch=3)  # error
trainer.optimizer.lr = "0.1"  # error
print(trainer.optimizer.learning_rate)  # error
class Stop(nn.Callback):
    def on_epoch_end(self, trainer: nn.Trainer, epoch: int, row: dict[str, float]) -> None:
        trainer.stop_trainning()  # error
    def on_train_end(self) -> None:  # error
        pass
"""
WRONG_LINES = {number for number, line in enumerate(WRONG.splitlines(), 1) if line.endswith("# error")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("typed")
    (folder / "right.py").write_text(RIGHT, encoding="utf-8")
    (folder / "wrong.py").write_text(WRONG, encoding="utf-8")
    return folder


def test_the_right_program_runs_and_the_wrong_lines_are_some(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "right.py"], cwd=folder, env=environment, check=True, capture_output=True)
    assert len(WRONG_LINES) > 10


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
def test_mypy(folder: Path) -> None:
    done = typed_examples.mypy(folder / "right.py", folder / "wrong.py")
    errors = re.findall(r"(\w+)\.py:(\d+): error", done.stdout)
    assert {int(line) for file, line in errors if file == "wrong"} == WRONG_LINES, done.stdout + done.stderr
    assert {file for file, _ in errors} == {"wrong"}, done.stdout


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
def test_mypy_on_the_documentation(tmp_path: Path) -> None:
    files = typed_examples.write_examples(tmp_path)
    assert len(files) > 5
    done = typed_examples.mypy(*files, options=typed_examples.EXAMPLE_OPTIONS)
    assert done.returncode == 0, done.stdout + done.stderr


PYRIGHT = shutil.which("pyright", path=os.path.dirname(sys.executable)) or shutil.which("pyright")


@pytest.mark.skipif(PYRIGHT is None, reason="pyright is not installed")
def test_pyright(folder: Path) -> None:
    files = typed_examples.write_examples(folder)
    config = {"extraPaths": [str(typed_examples.ROOT / "src")], "reportMissingModuleSource": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    done = subprocess.run(
        [str(PYRIGHT), "--outputjson", "--pythonpath", sys.executable, "-p", str(folder)], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] >= len(files) + 2
    found = [
        (Path(error["file"]).name, error["range"]["start"]["line"] + 1, error["message"])
        for error in report["generalDiagnostics"] if error["severity"] == "error"
    ]  # fmt: skip
    assert {line for name, line, _ in found if name == "wrong.py"} == WRONG_LINES
    assert not [error for error in found if error[0] != "wrong.py"]
