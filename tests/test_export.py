"""Exported files compute what model.predict does: each format is executed by what it is made for."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.configuration import arguments
from helpers.layers import MAKE, followed, input_shape
from numpy.typing import NDArray

import nncore as nn
from nncore.data.scaling import SCALERS
from nncore.export import WRITERS
from nncore.export.protobuf import varint
from nncore.layers import LAYERS

Array = NDArray[Any]
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}  # of the largest output
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
C, CPP = ["cc", "-std=c99", "-x", "c"], ["c++", "-std=c++11", "-x", "c++"]
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

FLAT: dict[str, Callable[[], list[nn.Layer]]] = {  # options of layers, and orders, that change what is exported
    "dense without bias": lambda: [nn.Dense(5, bias=False), nn.BatchNorm()],
    "weight norm without bias": lambda: [nn.WeightNorm(nn.Dense(5, bias=False)), nn.BatchNorm(affine=False)],
    "batch norm of units": lambda: [nn.Tanh(), nn.BatchNorm(units=[1, 3]), nn.Dense(3)],
    "batch norm, frozen": lambda: [nn.Dense(4), nn.Identity(), nn.BatchRenorm(frozen=True)],
    "norms without weights": lambda: [nn.LayerNorm(affine=False), nn.RMSNorm(affine=False), nn.GroupNorm(2, affine=False)],
    "dropout scaled at inference": lambda: [nn.Dense(5), nn.Tanh(), nn.Dropout(0.3, scale="test"), nn.Dense(2)],
    "dropout of nothing": lambda: [nn.Dropout(0.0, scale="test"), nn.Dense(2)],
    "columns": lambda: [nn.Select([True, False, True, True]), nn.Select([-1, 0, 0])],
    "nothing": lambda: [nn.Identity()],
    "the same activation twice": lambda: [nn.LeakyReLU(0.3), nn.Dense(4), nn.LeakyReLU(0.1), nn.Tanh(), nn.Tanh()],
}
SEQUENCES: dict[str, Callable[[], list[nn.Layer]]] = {
    "recurrent, all steps": lambda: [nn.GRU(5, return_sequences=True), nn.SimpleRNN(3, return_sequences=True)],
    "recurrent, reset before": lambda: [
        nn.GRU(5, reset_after=False, return_sequences=True),
        nn.GRU(3, reset_after=False, zoneout=0.1),
    ],
    "recurrent, zoneout": lambda: [nn.SimpleRNN(5, return_sequences=True, zoneout=0.2), nn.GRU(3, zoneout=0.1)],
    "both directions, joined": lambda: [
        nn.Bidirectional(nn.GRU(3, return_sequences=True)),
        nn.Tanh(),
        nn.Bidirectional(nn.SimpleRNN(2, zoneout=0.1)),
        nn.Dense(2),
    ],
    "both directions, added": lambda: [
        nn.Bidirectional(nn.GRU(3, reset_after=False, return_sequences=True, zoneout=0.2), merge="sum"),
        nn.Bidirectional(nn.GRU(2), merge="mean"),
    ],
    "both directions, last": lambda: [nn.Bidirectional(nn.SimpleRNN(2, return_sequences=True), merge="mean")],
    "norms of channels": lambda: [nn.GroupNorm(2), nn.Scale(), nn.InstanceNorm(affine=True), nn.BatchNorm(), nn.LayerNorm()],
    "batch norm of flat sequences": lambda: [nn.BatchNorm(units=[2]), nn.GELU(), nn.Dense(3)],
}
PADDING = -0.7  # which float32 does not have exactly
MASKED: dict[str, Callable[[], list[nn.Layer]]] = {
    "last state": lambda: [nn.Masking(PADDING), nn.GRU(3), nn.Dense(2)],
    "every state": lambda: [nn.Masking(PADDING), nn.SimpleRNN(3, return_sequences=True, zoneout=0.2)],
    "reset before": lambda: [nn.Masking(PADDING), nn.GRU(3, reset_after=False)],
    "passed on": lambda: [
        nn.Masking(PADDING),
        nn.Scale(),
        nn.Sigmoid(),
        nn.Dropout(0.5, scale="test"),
        nn.SimpleRNN(3, return_sequences=True),
        nn.LeakyReLU(0.1),
        nn.GRU(2, reset_after=False, return_sequences=True),
    ],
    "both directions": lambda: [
        nn.Masking(PADDING),
        nn.Bidirectional(nn.GRU(3, return_sequences=True, zoneout=0.1)),
        nn.Bidirectional(nn.SimpleRNN(2, return_sequences=True), merge="sum"),
    ],
    "last states": lambda: [nn.Masking(PADDING), nn.Bidirectional(nn.SimpleRNN(3), merge="mean"), nn.Dense(2)],
    "later": lambda: [
        nn.GRU(2, return_sequences=True),
        nn.ReLU(),
        nn.Masking(),
        nn.Bidirectional(nn.GRU(3, return_sequences=True)),
        nn.SELU(),
        nn.Masking(),
        nn.SimpleRNN(2),
    ],
    "alone": lambda: [nn.Masking(PADDING), nn.Tanh()],
}
SCALED_MASKS: list[tuple[str, float, Any]] = [  # the number that the padding is scaled to
    ("StandardScaler", 0.0, nn.data.StandardScaler()),
    ("MinMaxScaler, least", 0.0, nn.data.MinMaxScaler()),
    ("MinMaxScaler, greatest", 1.0, nn.data.MinMaxScaler()),
    ("RobustScaler", 0.0, nn.data.RobustScaler(smooth_clip=2.0)),
]
CASES: dict[str, Callable[[str], nn.Sequential]] = {}
for name, cls in LAYERS.items():
    CASES[name] = lambda dtype, cls=cls: moved([*followed(cls(**arguments(cls))), nn.Dense(3)], input_shape(cls), dtype)
for name, make in MAKE.items():
    CASES[f"{name} between"] = lambda dtype, make=make: moved([nn.Dense(6), make(), nn.Dense(3)], 4, dtype)
for name, layers in FLAT.items():
    CASES[name] = lambda dtype, layers=layers: moved(layers(), 4, dtype)
for name, layers in SEQUENCES.items():
    CASES[name] = lambda dtype, layers=layers: moved(layers(), (4, 3), dtype)
for name, layers in MASKED.items():
    CASES[f"masked, {name}"] = lambda dtype, layers=layers: moved(layers(), (6, 2), dtype)
for name, value, scaler in SCALED_MASKS:
    CASES[f"masked, {name}"] = lambda dtype, value=value, scaler=scaler: scaled_masks(value, scaler, dtype)
for name, scaler in [*((name, cls()) for name, cls in SCALERS.items()), ("clipped", nn.data.RobustScaler(smooth_clip=2.0))]:
    CASES[f"scaled, {name}"] = lambda dtype, scaler=scaler: scaled(scaler, dtype)
for seed in range(10):
    CASES[f"random {seed}"] = lambda dtype, seed=seed: drawn(seed, dtype)

each_case = pytest.mark.parametrize("case", CASES)
each_dtype = pytest.mark.parametrize("dtype", TOLERANCE)


def moved(layers: list[nn.Layer], shape: int | tuple[int, ...], dtype: str, seed: int = 0) -> nn.Sequential:
    """A model none of whose numbers is as it starts."""
    model, rng = nn.Sequential(layers, input_shape=shape, dtype=dtype, seed=seed), np.random.default_rng(seed)
    model.parameters += rng.uniform(-0.3, 0.3, model.parameters.size).astype(dtype)
    model.state += rng.uniform(0.1, 1, model.state.size).astype(dtype)
    return model


def scaled(scaler: Any, dtype: str) -> nn.Sequential:
    """Columns of very different means and spreads, one of them constant."""
    rng = np.random.default_rng(1)
    model = moved([nn.Dense(6), nn.Tanh(), nn.Dense(3)], 4, dtype)
    data = rng.standard_normal((60, 4)) @ rng.standard_normal((4, 4)) * [1, 1000, 1e-3, 5] + [50, 0, 1e-3, -7]
    data[:, 3] = 2
    model.input_scaler = scaler.fit(data)
    model.target_scaler = scaler.fit(rng.standard_normal((60, 3)) * [1, 10, 3] + [5, 0, -20])
    return model


def scaled_masks(value: float, scaler: Any, dtype: str) -> nn.Sequential:
    """Integers with integer means and ends, which scaled to ``value`` are exact; 1/49 is not. One column is constant."""
    model = moved([nn.Masking(value), nn.Bidirectional(nn.GRU(3, return_sequences=True)), nn.GRU(2)], (6, 2), dtype)
    model.input_scaler = scaler.fit(np.outer([-24, -12, 0.5, 13, 25], np.append(np.ones(11), 0)) + np.arange(12))
    return model


def padded(model: nn.Sequential, rows: Array) -> Array:
    """Sequences of all lengths, padded before or after them: with what is scaled to a number that is skipped."""
    steps, padding = rows.shape[1], np.full((1, *rows.shape[1:]), model.layers[0].value)
    if model.input_scaler is not None:
        padding = model.input_scaler.inverse_transform(padding)
    assert model.input_scaler is None or (model.input_scaler.transform(padding) == model.layers[0].value).all()
    for number, row in enumerate(rows):
        place = slice(steps - number, None) if number % 2 else slice(number)
        row[place] = padding[0, place]
    return rows


def drawn(seed: int, dtype: str) -> nn.Sequential:
    """Layers drawn at random, a third of them dense."""
    rng = np.random.default_rng(seed)
    makers: list[Callable[[], nn.Layer]] = [
        *(lambda cls=cls: cls(**arguments(cls)) for cls in LAYERS.values() if input_shape(cls) == (4,)), *MAKE.values()
    ]  # fmt: skip
    layers = [nn.Dense(4) if rng.random() < 0.3 else makers[rng.integers(len(makers))]() for _ in range(7)]
    while True:
        try:
            return moved(layers, 4, dtype, seed)
        except ValueError:  # layers that do not follow each other
            layers = [layer for layer in layers if not isinstance(layer, (nn.GroupNorm, nn.Select, nn.SparseDense))]


def example_rows(model: nn.Sequential) -> Array:
    rows = np.random.default_rng(2).uniform(-0.9, 0.9, (7, *model.input_shape))
    rows = rows if model.input_scaler is None else model.input_scaler.inverse_transform(rows)
    return (padded(model, rows) if isinstance(model.layers[0], nn.Masking) else rows).astype(model.dtype)


def check(model: nn.Sequential, X: Array, got: Array, case: str = "") -> None:
    """Normalizations in random places amplify the rounding of what is before them."""
    wanted = model.predict(X)
    assert got.shape == wanted.shape
    assert np.isfinite(got).all()
    tolerance = TOLERANCE[str(model.dtype)] * (5 if case.startswith("random") else 1)
    assert np.abs(got - wanted).max() <= tolerance * np.abs(wanted).max()


def run_python(path: Path, X: Array) -> Array:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return np.asarray(module.predict(X))


def compiled(path: Path, compiler: list[str], *options: str) -> str:
    program = f"{path}.{compiler[0]}.program"
    subprocess.run([*compiler, *STRICT, *options, str(path), "-lm", "-o", program], check=True)
    return program


def run_c(path: Path, X: Array, outputs: int) -> Array:
    """A program that reads the inputs and prints the outputs."""
    real, name = ("float", "%f") if X.dtype == np.float32 else ("double", "%lf"), path.stem
    main = path.with_name("main.c")
    main.write_text(
        f'#include <stdio.h>\n#include "{path.name}"\nint main(void) {{ {real[0]} x[{X[0].size}], y[{outputs}]; for (;;) {{'
        f'for (int i = 0; i < {X[0].size}; i++) if (scanf("{real[1]}", x + i) != 1) return 0; {name}_predict(x, y);'
        f'for (int i = 0; i < {outputs}; i++) printf("%.17g ", (double)y[i]); }} }}\n'
    )
    text = " ".join(format(value, ".17g") for value in X.ravel().tolist())
    done = subprocess.run([compiled(main, C)], input=text, capture_output=True, text=True, check=True)
    return np.array(done.stdout.split(), dtype=X.dtype)


def run_javascript(path: Path, X: Array) -> Array:
    path.with_name("package.json").write_text('{"type": "module"}')
    rows = json.dumps(X.reshape(len(X), -1).tolist())
    code = f'import {{ predict }} from "{path}"; console.log(JSON.stringify({rows}.map(predict)));'
    done = subprocess.run(["node", "--input-type=module", "-e", code], capture_output=True, text=True, check=True)
    return np.array(json.loads(done.stdout))


@each_dtype
@each_case
def test_python(case: str, dtype: str, tmp_path: Path) -> None:
    model = CASES[case](dtype)
    X, path = example_rows(model), tmp_path / "net.py"
    model.export(path)
    got = run_python(path, X)
    assert got.dtype == model.dtype
    check(model, X, got, case)


@pytest.mark.parametrize("name", sorted(SCALERS))
def test_a_column_that_was_constant(name: str, tmp_path: Path) -> None:
    """Other numbers in it are scaled as ``transform`` does."""
    model = scaled(SCALERS[name](), "float64")
    X = example_rows(model)
    X[:, 3] += np.arange(len(X))
    model.export(tmp_path / "net.py")
    check(model, X, run_python(tmp_path / "net.py", X))


@needs_compiler
@each_dtype
@each_case
def test_c(case: str, dtype: str, tmp_path: Path) -> None:
    model = CASES[case](dtype)
    X, path = example_rows(model), tmp_path / "net.h"
    model.export(path)
    check(model, X, run_c(path, X, int(np.prod(model.output_shape))).reshape(-1, *model.output_shape), case)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@each_dtype
@each_case
def test_javascript(case: str, dtype: str, tmp_path: Path) -> None:
    model = CASES[case](dtype)
    X, path = example_rows(model), tmp_path / "net.js"
    model.export(path)
    check(model, X, run_javascript(path, X).reshape(-1, *model.output_shape), case)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_javascript_skips_what_rounds_to_the_number(tmp_path: Path) -> None:
    """-0.7 in double precision is not that of a float32 model, whose steps are compared in float32."""
    model, X = CASES["masked, last state"]("float32"), np.random.default_rng(0).uniform(-1, 1, (2, 6, 2))
    X[:, 3:] = PADDING
    model.export(tmp_path / "net.js")
    check(model, X, run_javascript(tmp_path / "net.js", X))


@each_dtype
@each_case
def test_onnx(case: str, dtype: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    runtime, reference = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx.reference")
    model = CASES[case](dtype)
    X, path = example_rows(model), str(tmp_path / "net.onnx")
    model.export(path)
    onnx.checker.check_model(path, full_check=True)
    if dtype == "float64" and any(isinstance(layer, nn.GELU) and layer.approximate == "none" for layer in model.layers):
        pytest.skip("neither has Erf in double precision")
    (got,) = reference.ReferenceEvaluator(path).run(None, {"input": X})
    assert got.dtype == model.dtype
    check(model, X, got, case)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for rows in (X, X[:1], X[:0]):
        (got,) = session.run(["output"], {"input": rows})
        assert got.shape == (len(rows), *model.output_shape)
        if len(rows):
            check(model, rows, got, case)


def test_metadata_of_onnx(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = moved([nn.Dense(3)], 2, "float32")
    model.feature_names, model.target_names = ["größe", 'a"b'], ["x", "y", "z"]
    model.export(tmp_path / "net.onnx")
    written = onnx.load(tmp_path / "net.onnx")
    assert (written.producer_name, written.producer_version) == ("nncore", nn.__version__)
    assert (written.ir_version, written.opset_import[0].version) == (7, 13)
    properties = {entry.key: json.loads(entry.value) for entry in written.metadata_props}
    assert properties == {"feature_names": ["größe", 'a"b'], "target_names": ["x", "y", "z"]}
    assert [dim.dim_param or dim.dim_value for dim in written.graph.input[0].type.tensor_type.shape.dim] == ["batch", 2]


def test_varint() -> None:
    """The example of the documentation of protocol buffers, and a negative number."""
    assert varint(150) == b"\x96\x01"
    assert varint(-1) == b"\xff" * 9 + b"\x01"


@each_dtype
@pytest.mark.parametrize("activation", MAKE)
def test_activations_of_extreme_numbers(activation: str, dtype: str, tmp_path: Path) -> None:
    model = nn.Sequential([MAKE[activation]()], input_shape=8, dtype=dtype)
    X = np.array([[-1e4, -100, -20, -3, -1e-3, 0, 1e-3, 1e4]], dtype=dtype)
    model.export(tmp_path / "net.py")
    check(model, X, run_python(tmp_path / "net.py", X))
    if shutil.which("cc"):
        model.export(tmp_path / "net.h")
        check(model, X, run_c(tmp_path / "net.h", X, 8).reshape(1, 8))
    if shutil.which("node"):
        model.export(tmp_path / "net.js")
        check(model, X, run_javascript(tmp_path / "net.js", X))


def everything(dtype: str) -> nn.Sequential:
    model = moved([nn.GRU(4, return_sequences=True), nn.Bidirectional(nn.SimpleRNN(3)), nn.Softplus(), nn.LayerNorm(),
                   nn.Select([2, 0]), nn.Tanh(), nn.BatchNorm(), nn.Dense(2)], (3, 2), dtype)  # fmt: skip
    model.input_scaler = nn.data.RobustScaler(smooth_clip=2.0).fit(np.random.default_rng(0).normal(3, 5, (40, 6)))
    model.target_scaler = nn.data.Decorrelate().fit(np.random.default_rng(1).normal(1, 2, (40, 2)))
    return model


@needs_compiler
@each_dtype
@pytest.mark.parametrize("compiler", [C, CPP], ids=["C", "C++"])
def test_self_test(compiler: list[str], dtype: str, tmp_path: Path) -> None:
    everything(dtype).export(tmp_path / "net.h")
    assert subprocess.run([compiled(tmp_path / "net.h", compiler, "-DNET_SELF_TEST")]).returncode == 0


@needs_compiler
def test_self_test_of_a_network_with_bfloat16_products(tmp_path: Path) -> None:
    """The file does not round factors, and so its examples are not those of predict, which does."""
    model = nn.Sequential([nn.Dense(96), nn.Tanh(), nn.Dense(3)], input_shape=80, compute_dtype="bfloat16", seed=0)
    model.export(tmp_path / "net.h")
    assert subprocess.run([compiled(tmp_path / "net.h", C, "-DNET_SELF_TEST")]).returncode == 0


@needs_compiler
@each_dtype
def test_self_test_detects_a_change_of_any_array(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "net.h"
    everything(dtype).export(path)
    text = path.read_text()
    arrays = list(re.finditer(r"static const \w+ (net_\w+)\[\d+\] = \{\s+([^,\s]+)", text))
    assert len(arrays) > 20
    for match in arrays:
        first = int(match[2]) - 1 if match[1].startswith("net_columns") else f"{float(match[2].rstrip('f')) + 0.1:.9f}"
        path.write_text(text[: match.start(2)] + str(first) + text[match.end(2) :])
        assert subprocess.run([compiled(path, C, "-DNET_SELF_TEST")]).returncode == 1, match[1]


@needs_compiler
def test_self_test_has_padding(tmp_path: Path) -> None:
    path = tmp_path / "net.h"
    CASES["masked, last state"]("float32").export(path)
    text = path.read_text()
    assert subprocess.run([compiled(path, C, "-DNET_SELF_TEST")]).returncode == 0
    for before, after in [("6, 2, -0.69999998", "6, 2, -0.6"), ("skip[t]) {", "!skip[t]) {")]:
        assert text.count(before) == 1
        path.write_text(text.replace(before, after))
        assert subprocess.run([compiled(path, C, "-DNET_SELF_TEST")]).returncode == 1


@needs_compiler
def test_self_test_where_the_inverse_of_a_scaler_is_infinite(tmp_path: Path) -> None:
    model = moved([nn.Dense(3)], 2, "float32")
    model.layers[0].bias[0] = 100
    model.target_scaler = nn.data.RobustScaler(smooth_clip=2.0).fit(np.random.default_rng(0).normal(size=(20, 3)))
    model.export(tmp_path / "net.h")
    assert "INFINITY" in (tmp_path / "net.h").read_text()
    model.export(tmp_path / "net.py")
    assert np.isposinf(run_python(tmp_path / "net.py", np.zeros((2, 2)))[:, 0]).all()
    assert subprocess.run([compiled(tmp_path / "net.h", C, "-DNET_SELF_TEST")]).returncode == 0


@needs_compiler
@pytest.mark.parametrize("stem", ["two words-2", "2nd", "größe", "int"])
def test_names(stem: str, tmp_path: Path) -> None:
    """Any name of a file, and any names of columns, which end no comment."""
    model = moved([nn.Dense(3)], 2, "float32")
    model.feature_names = ['*/ #error """', "line\nbreak \\"]
    name = {"two words-2": "two_words_2", "2nd": "net_2nd", "größe": "gr__e", "int": "int"}[stem]
    model.export(tmp_path / f"{stem}.h")
    assert f"void {name}_predict(" in (tmp_path / f"{stem}.h").read_text(encoding="utf-8")
    assert subprocess.run([compiled(tmp_path / f"{stem}.h", C, f"-D{name.upper()}_SELF_TEST")]).returncode == 0
    for suffix in (".py", ".js", ".onnx"):
        model.export(tmp_path / f"{stem}{suffix}")
    check(model, example_rows(model), run_python(tmp_path / f"{stem}.py", example_rows(model)))


def test_numbers_are_read_as_they_were(tmp_path: Path) -> None:
    for dtype in TOLERANCE:
        model = nn.Sequential([nn.Dense(100, bias=False)], input_shape=50, dtype=dtype, seed=3)
        model.parameters[:4] = [np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max, 1, -0.0]
        model.export(tmp_path / "net.py")
        space: dict[str, Any] = {}
        exec((tmp_path / "net.py").read_text(), space)
        assert space["W1"].tobytes() == model.layers[0].weight.tobytes()


class Square(nn.Layer):
    def forward(self, x: Array, training: bool) -> Array:
        return np.square(x)


class Wide(nn.Dense):
    """A class of one's own may do anything."""


class Halved(nn.data.StandardScaler):
    def _forward(self, rows: Array) -> Array:
        return super()._forward(rows) / 2


@pytest.mark.parametrize("suffix", WRITERS)
def test_refused(suffix: str, tmp_path: Path) -> None:
    """Nothing is written, and what was there stays."""
    path = tmp_path / f"net{suffix}"
    path.write_text("before")
    for layer, error, message in [
        (Square(), TypeError, "square_1 of the class Square"),
        (Wide(3), TypeError, "of the class Wide"),
        (nn.BatchNorm(track_running_stats=False), ValueError, "batch_norm_1"),
    ]:
        with pytest.raises(error, match=message):
            nn.Sequential([layer], input_shape=2).export(path)
    for layers, error, message in [
        ([nn.GRU(3, stateful=4)], ValueError, "gru_1, which carries states over"),
    ]:
        with pytest.raises(error, match=message):
            nn.Sequential(layers, input_shape=(4, 2)).export(path)
    model = nn.Sequential([nn.Dense(3)], input_shape=2)
    model.input_scaler = Halved().fit(np.eye(2))
    with pytest.raises(TypeError, match="Halved"):
        model.export(path)
    model.input_scaler, model.layers[0].bias[1] = None, np.nan
    with pytest.raises(ValueError, match="finite"):
        model.export(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "before"


def test_refused_paths(tmp_path: Path) -> None:
    model = nn.Sequential([nn.Dense(3)], input_shape=2)
    for name in ("net", "net.safetensors", "net.hpp"):
        with pytest.raises(ValueError, match=r"must end with \.onnx, \.h, \.py or \.js"):
            model.export(tmp_path / name)
    with pytest.raises(TypeError, match="path"):
        model.export(open)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        model.export(tmp_path / "missing" / "net.h")
    model.export(tmp_path / "NET.H")
    assert not list(tmp_path.glob(".*"))


def test_the_model_stays_as_it_was(tmp_path: Path) -> None:
    model = everything("float32")
    before = model.parameters.copy(), model.state.copy(), model.predict(np.ones((2, 3, 2)))
    for suffix in WRITERS:
        model.export(tmp_path / f"net{suffix}")
    after = model.parameters, model.state, model.predict(np.ones((2, 3, 2)))
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
