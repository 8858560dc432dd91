"""Type checkers on programs that use nncore: no errors in correct ones, and each error in wrong ones."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers import configuration, typed_examples

from nncore._utils import fields

RIGHT = """\
import bz2
import gzip
import io
import lzma
import pathlib
import tempfile

import numpy as np
import pandas as pd  # type: ignore[import-untyped, unused-ignore]
import scipy.sparse
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

# What is read from fields, and what is assigned to them
adam = nn.Adam(lr=nn.schedules.Cosine(0.1, 100), betas=(0.8, 0.99))
rate: float | nn.schedules.Schedule = adam.lr
betas: tuple[float | nn.schedules.Schedule, float | nn.schedules.Schedule] = adam.betas
adam.lr, adam.betas, adam.eps = 1, (0.9, nn.schedules.Constant(0.99)), 1e-7
dense = nn.Dense(3, weight_init=nn.initializers.HeNormal())
units: int = dense.units
dense.weight_init = "glorot_uniform"
averaged = nn.EMA(nn.Adam(lr=0.1), decay=0.9)
averaged.lr = 0.2
nn.Rprop().lr = 0.1
warmup = nn.schedules.Warmup(0.4, steps=3)
warmup.after = 0.5
print(warmup.after.values(0, 3))
stopping = nn.EarlyStopping("running_loss", patience=3)
stopping.patience = 5
best: float | None = stopping.best
trainer.loss = "mean_squared_error"
name: str = trainer.loss.name
trainer.loss = nn.SoftmaxCrossEntropy()
trainer.regularizer = {"dense_1": nn.L2(1e-4)}
trainer.clip = nn.ClipGlobalNorm(5.0)
trainer.clip, trainer.regularizer = None, None

# Data
trainer.fit(X, y, epochs=1, batch_size=16, validation_data=(X, y), sampler=nn.samplers.Weighted(np.ones(len(X))), verbose=0)
trainer.fit(X.tolist(), y.tolist(), epochs=1, validation_split=0.2, class_weight="balanced", verbose=0)
trainer.fit(scipy.sparse.csr_matrix(X), y, epochs=1, verbose=0)
table = pd.DataFrame(X, columns=["a", "b"])
trainer.fit(table, pd.Series(y), epochs=1, verbose=0)
labels: NDArray[np.intp] = model.predict(table).argmax(axis=1)
row: dict[str, float] = history.row(1)
epoch: int = history.best("running_loss")
columns: dict[str, list[float | None]] = history.to_dict()
print(history.columns, len(history), nn.History.from_dict(columns) == history)

# Files: paths, and file objects of any kind
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "model.gz")
    plain = nn.Sequential([nn.Dense(3)], input_shape=2)
    with gzip.open(path, "wb") as target:
        plain.save(target)
    with gzip.open(path, "rb") as source:
        loaded: nn.Sequential = nn.load(source)
    with bz2.open(path, "wb") as bz2_target:
        plain.save(bz2_target)
    with lzma.open(path, "wb") as lzma_target:
        plain.save(lzma_target)
    with open(path, "wb", buffering=0) as raw:
        plain.save(raw)
    with open(path, "rb") as file:
        nn.load(file)
    with tempfile.TemporaryFile() as temporary:
        plain.save(temporary)
    with tempfile.NamedTemporaryFile() as named:
        plain.save(named)
        named.flush()
        nn.load(named.name)
    buffer = io.BytesIO()
    plain.save(buffer)
    nn.load(io.BytesIO(buffer.getvalue()))
    nn.Trainer(plain, "mean_squared_error").save(path)
    nn.Trainer(plain, "mean_squared_error").restore(str(path))

# Scalers, landscapes, curvature
scaler = nn.data.MinMaxScaler((-1, 1))
scaler.feature_range = 0, 1
scaled: NDArray[np.float64] = scaler.fit(X).transform(X)
model.input_scaler = nn.data.StandardScaler().fit(X)
path_down = nn.Adam(lr=0.1).minimize(nn.landscapes.Rosenbrock(), [0.0, 0.0], steps=3)
print(path_down.theta[-1], path_down.loss)
hessian = nn.second_order.HessianOperator(plain, X, y, "softmax_cross_entropy")
print(hessian @ np.ones(9))
product: Array = plain.hessian_vector_product(X, y, "softmax_cross_entropy", np.ones(9))


def log_cosh(y: Array, d: Array) -> tuple[Array, Array]:
    return np.log(np.cosh(y - d)).sum(axis=1), np.tanh(y - d)


nn.Trainer(plain, log_cosh, "sgd").fit([[0.5, 1.0]], [[1.0, 2.0, 3.0]], epochs=1, verbose=0)


class Backwards(nn.samplers.Sampler):
    def order(self, examples: nn.samplers.Examples, epoch: int) -> NDArray[np.int64]:
        return np.arange(examples.count)[::-1].copy()


class Worst(nn.Callback):
    def __init__(self, column: str) -> None:
        self.column, self.worst = column, 0.0

    def on_epoch_end(self, trainer: nn.Trainer, epoch: int, row: dict[str, float]) -> None:
        self.worst = max(self.worst, row[self.column])


worst = Worst("running_loss")
worst.worst = 0.5
trainer.fit(X, y, epochs=1, sampler=Backwards(), callbacks=[worst], verbose=0)
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
class Worst(nn.Callback):
    def __init__(self) -> None:
        self.worst = 0.0
Worst().worts = 1.0  # error
trainer.los = "hinge"  # error
trainer.loss = 3  # error
trainer.clip = 5.0  # error
trainer.stop_training = "yes"  # error
trainer.optimizer.ler = 0.1  # error
model.input_scalar = nn.data.StandardScaler()  # error
model["dense_1"].untis = 3  # error
rate: str = nn.Adam().lr  # error
text: str = trainer.optimizer.lr  # error
nn.Adam(lr="x")  # error
nn.Adam(lr=0.1).lr = "x"  # error
nn.Adam(lr=0.1).lr = None  # error
nn.Adam(lr=0.1).betas = 0.9  # error
nn.Adam().ler = 0.1  # error
nn.EMA(nn.Adam()).ler = 0.1  # error
print(nn.EMA(nn.Adam()).ler)  # error
nn.Rprop().lr = nn.schedules.Constant(0.1)  # error
nn.schedules.Warmup(0.4, steps=3).after = "x"  # error
nn.data.MinMaxScaler().feature_range = 3  # error
nn.landscapes.Rosenbrock().strat = [0.0]  # error
nn.Dense(3, weight_init=3)  # error
nn.load(3)  # error
nn.load(open("model"))  # error
model.save(open("model", "w"))  # error
model.save(open("model", "rb").raw.name.encode)  # error
trainer.restore(open("model"))  # error
history: dict[str, str] = trainer.fit([[0.0, 0.0]], [[1.0, 1.0, 1.0]])  # error
"""


NO_TYPE = {"X", "y", "sample_weight", "bounds", "constraints", "options"}  # data, and arguments of SciPy
CODE = {
    "PerLayer": 'penalties={"dense_1": nn.L2(0.1)}', "WeightNorm": "layer=nn.Dense(3)",
    "Bidirectional": "layer=nn.GRU(3)", "LossMetric": "loss=nn.Huber(2.0)",
    "ConditioningMonitor": "X=[[0.5]], y=[[0.5]]",
    "Augment": "transforms=[nn.data.Shift(1)], image_shape=(4, 4)",
}  # fmt: skip


def made() -> Iterator[tuple[str, str, list[str]]]:
    """Each class of the registries: a name, code that makes an object, and the fields that have a type."""
    for cls in (cls for cls in configuration.CLASSES if issubclass(cls, fields.Sealed)):
        code = CODE.get(cls.__name__) or ", ".join(f"{k}={v!r}" for k, v in configuration.arguments(cls).items())
        free = [field for field in fields._fields(cls) if not isinstance(field, fields.Fixed)]  # others: checked at run time
        names = [field.name for field in free if field.name not in NO_TYPE and not field.name.startswith("_")]
        pairs = [name for name in dir(cls) if isinstance(getattr(cls, name), fields.Pair)]
        where = "second_order" if "second_order" in cls.__module__ else cls.__module__.split(".")[1]
        yield f"{where}_{cls.__name__}".lower(), f"{cls.__module__}.{cls.__name__}({code})", [*names, *pairs]


MODULES = sorted({cls.__module__ for cls in configuration.CLASSES})
IMPORTS = "".join(f"import {name}\n" for name in MODULES) + "import nncore as nn\n"


def fields_right() -> str:
    """A value read from a field may be assigned to it."""
    lines = [f"{name} = {code}\n" + "".join(f"{name}.{f} = {name}.{f}\n" for f in own) for name, code, own in made()]
    return IMPORTS + "".join(lines)


def fields_wrong() -> str:
    """Other values may not, nor may unknown attributes be assigned."""
    lines = []
    for name, code, own in made():
        lines += [f"{name} = {code}\n", f"{name}.misspelled = 1  # error\n"]
        lines += [f"{name}.{field} = print  # error\n" for field in own if not field.endswith("_init")]  # print may be called
    return IMPORTS + "".join(lines)


PROGRAMS = {"right": RIGHT, "wrong": WRONG, "fields_right": fields_right(), "fields_wrong": fields_wrong()}
ERRORS = {
    (name, number)
    for name, text in PROGRAMS.items()
    for number, line in enumerate(text.splitlines(), 1)
    if line.endswith("# error")
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("typed")
    for name, text in PROGRAMS.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    assert len(typed_examples.write_examples(folder)) > 5
    return folder


@pytest.mark.parametrize("name", ["right", "fields_right"])
def test_the_right_programs_run(name: str, folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, f"{name}.py"], cwd=folder, env=environment, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_there_are_wrong_lines() -> None:
    assert len([name for name, _ in ERRORS if name == "wrong"]) > 40
    assert len([name for name, _ in ERRORS if name == "fields_wrong"]) > 300
    assert {name for name, _ in ERRORS} == {"wrong", "fields_wrong"}


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
def test_mypy_on_the_programs_and_the_documentation(folder: Path) -> None:
    done = typed_examples.mypy(*folder.glob("*.py"))
    errors = {(file, int(line)) for file, line in re.findall(r"(\w+)\.py:(\d+): error", done.stdout)}
    assert errors == ERRORS, done.stdout + done.stderr


PYRIGHT = shutil.which("pyright", path=os.path.dirname(sys.executable)) or shutil.which("pyright")


@pytest.mark.skipif(PYRIGHT is None, reason="pyright is not installed")
def test_pyright(folder: Path) -> None:
    config = {"extraPaths": [str(typed_examples.ROOT / "src")], "reportMissingModuleSource": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    done = subprocess.run(
        [str(PYRIGHT), "--outputjson", "--pythonpath", sys.executable, "-p", str(folder)], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] >= len(list(folder.glob("*.py")))
    found = [
        (Path(error["file"]).stem, error["range"]["start"]["line"] + 1, error["message"])
        for error in report["generalDiagnostics"] if error["severity"] == "error"
    ]  # fmt: skip
    assert {(name, line) for name, line, _ in found} == ERRORS, found


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
def test_the_stub_of_the_compiled_module() -> None:
    """It matches the compiled module, except for names that only tests use."""
    options = ["--ignore-missing-stub", "--ignore-disjoint-bases", "--concise", "nncore._kernels.program"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "MYPYPATH": str(typed_examples.ROOT / "src"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", *options], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_has_its_types() -> None:
    package = files("nncore")
    assert package.joinpath("py.typed").is_file()
    assert package.joinpath("_kernels/program.pyi").is_file()
