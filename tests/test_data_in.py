"""Input data: every container and layout gives the numbers it holds, or an error that names the cause."""

from __future__ import annotations

import decimal
import fractions
import functools
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore._utils.checks import as_numbers
from nncore.data.scaling import SCALERS

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

Array = NDArray[Any]

ROWS = np.array([[1.0, 0.0, 3.0], [2.0, 1.0, 4.0], [5.0, 0.0, -6.0], [0.5, 1.0, 7.0]])
DICT = {"a": ROWS[:, 0].tolist(), "b": [False, True, False, True], "c": [3, 4, -6, 7]}
FRAME = pd.DataFrame(DICT)

CONTAINERS: dict[str, Any] = {
    "list": ROWS.tolist(),
    "list of arrays": list(ROWS),
    "Fortran": np.asfortranarray(ROWS),
    "strided": np.repeat(ROWS, 2, 1)[:, ::2],
    "objects": ROWS.astype(object),
    "fractions": [[fractions.Fraction(v) for v in row] for row in ROWS.tolist()],
    "decimals": [[decimal.Decimal(str(v)) for v in row] for row in ROWS.tolist()],
    "masked, nothing masked": np.ma.masked_greater(ROWS, 100),
    "big-endian": ROWS.astype(">f8"),
    "long double": ROWS.astype(np.longdouble),
    "one dtype": pd.DataFrame(ROWS, columns=list("abc")),
    "float, bool and int": FRAME,
    "nullable": FRAME.convert_dtypes(),
    "pyarrow dtypes": FRAME.convert_dtypes(dtype_backend="pyarrow"),
    "object columns": FRAME.astype(object),
    "twice the same name": pd.DataFrame(FRAME.to_numpy(object), columns=["a", "a", "a"]),
    "categories of numbers": FRAME.astype({"c": "category"}),
    "numbers for names": FRAME.set_axis([0, 1, 2], axis=1),
    "polars": pl.DataFrame(DICT),
    "arrow table": pa.table(DICT),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_container_gives_its_numbers(kind: str) -> None:
    got = as_numbers(CONTAINERS[kind], "X")
    assert got.dtype.kind == "f"
    np.testing.assert_array_equal(got.astype(np.float64), ROWS)
    model = nn.Sequential([nn.Dense(2)], 3, dtype="float64", seed=0)
    np.testing.assert_array_equal(model.predict(CONTAINERS[kind]), model.predict(ROWS))
    scaler = nn.data.StandardScaler()
    np.testing.assert_array_equal(scaler.fit_transform(CONTAINERS[kind]), nn.data.StandardScaler().fit_transform(ROWS))


LABELS = [0, 1, 1, 0]
Y: dict[str, Any] = {
    "list": LABELS,
    "objects": np.array(LABELS, object),
    "bools": np.array(LABELS, bool),
    "bool objects": [False, True, True, False],
    "Int64": pd.Series(LABELS, dtype="Int64"),
    "boolean": pd.Series(LABELS, dtype="boolean"),
    "arrow": pa.array(LABELS),
    "int64[pyarrow]": pd.Series(LABELS, dtype="int64[pyarrow]"),
    "polars": pl.Series(LABELS),
    "polars bool": pl.Series(LABELS) == 1,
    "whole floats": [0.0, 1.0, 1.0, 0.0],
    "float16": np.array(LABELS, np.float16),
    "series": pd.Series(LABELS, index=[9, 3, 3, 1]),
}


@pytest.mark.parametrize("kind", Y)
def test_labels_in_every_container(kind: str) -> None:
    trainer = nn.Trainer(nn.Sequential([nn.Dense(2)], 3, seed=0), "softmax_cross_entropy", metrics="accuracy")
    assert trainer.evaluate(ROWS, Y[kind]) == trainer.evaluate(ROWS, np.array(LABELS))
    if kind not in ("whole floats", "float16"):  # these are stratified: one row of each class
        assert sorted(np.take(LABELS, nn.data.train_validation_split(ROWS, Y[kind], 0.5)[1])) == [0, 1]


MASKED = np.ma.masked_greater(ROWS, 4)
BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "masked cells": (MASKED, ValueError, "{} must have no masked cells, got 2"),
    "masked cells in a list": (list(MASKED), ValueError, "{} must have no masked cells, got 2"),
    "a generator": ((row for row in ROWS), TypeError, r"{} must be an array, got a generator: take list\({}\)"),
    "a map": (map(list, ROWS), TypeError, r"{} must be an array, got a map: take list"),
    "None": (None, TypeError, "{} must hold real numbers, got None"),
    "text that holds numbers": (ROWS.astype(str), TypeError, r"{} must hold real numbers, .*; \.astype\(float\) converts"),
    "complex numbers": (ROWS * 1j, TypeError, "{} must hold real numbers, got dtype complex128"),
    "complex objects": ((ROWS * 1j).astype(object), TypeError, "{} must hold real numbers, got dtype object with a complex"),
    "nothing but missing values": (np.full((4, 3), None), TypeError, "{} must hold real numbers.*nothing but missing values"),
    "a column of text": (FRAME.assign(b=list("uvwx")), TypeError, "{} must hold real numbers, got .* in column 'b'"),
    "a polars column of text": (
        pl.DataFrame(DICT | {"b": list("uvwx")}),
        TypeError,
        "{} must hold real numbers, got .* in column 'b'",
    ),
    "a category": (FRAME.assign(c=pd.Categorical(list("uvuv"))), TypeError, "{} must hold real numbers, .* in column 'c'"),
    "a date": (FRAME.assign(c=pd.Timestamp("2020-01-01")), TypeError, r"{} must hold real numbers, got dtype datetime64.* 'c'"),
    "a duration in an object column": (
        FRAME.assign(c=pd.Series([pd.Timedelta("1s")] * 4, dtype=object)),
        TypeError,
        "got dtype object with a Timedelta.* 'c'",
    ),
    "a missing value": (
        FRAME.assign(c=pd.array([1, None, 2, 3], "Int64")),
        ValueError,
        "{} must be finite, got nan in row 1, column 2",
    ),
    "a missing bool": (
        FRAME.assign(c=pd.array([True, False, None, True], "boolean")),
        ValueError,
        "{} must be finite, got nan in row 2",
    ),
    "a missing polars bool": (
        pl.DataFrame(DICT | {"b": [None, True, True, False]}),
        ValueError,
        "{} must be finite, got nan in row 0, column 1",
    ),
    "too large": (np.where(ROWS == 4, 1e39, ROWS), ValueError, r"{} is too large for float32, got 1e\+39 in row 1, column 2"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("argument", ["X", "y"])
def test_the_cause_of_refused_data_is_named(kind: str, argument: str) -> None:
    values, error, message = BAD[kind]
    trainer = nn.Trainer(nn.Sequential([nn.Dense(3)], 3, seed=0), "squared_error")
    before = trainer.model.parameters.copy()
    if "generator" in kind or "map" in kind:
        values = iter(list(ROWS)) if argument == "y" else values
        message = "{} must be an array, got a .*: take list" if argument == "y" else message
    with pytest.raises(error, match=message.replace("{}", rf"\b{argument}")):
        trainer.fit(*((values, ROWS) if argument == "X" else (ROWS, values)), verbose=0)
    assert np.array_equal(trainer.model.parameters, before)
    assert trainer.model.feature_names is None


def test_hints_for_text() -> None:
    trainer = nn.Trainer(nn.Sequential([nn.Dense(3)], 3, seed=0), "softmax_cross_entropy")
    with pytest.raises(TypeError, match=r"; np.unique\(y, return_inverse=True\) numbers labels that are text"):
        trainer.evaluate(ROWS, list("uvwx"))
    with pytest.raises(TypeError, match="; encode categories as numbers first"):
        trainer.evaluate([list("uvw")] * 4, LABELS)


@pytest.mark.parametrize(
    "y", [pd.Series([0, 1, None, 1], dtype="Int64"), [0, 1, np.nan, 1], [0, 1, None, 1], pl.Series([0, 1, None, 1])]
)
@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "squared_error"])
def test_missing_labels(y: Any, loss: str) -> None:
    trainer = nn.Trainer(nn.Sequential([nn.Dense(2)], 3, seed=0), loss)
    with pytest.raises(ValueError, match="y must have no missing values, got nan in row 2"):
        trainer.evaluate(ROWS, y)


def test_targets_for_a_scaler_are_called_y() -> None:
    model = nn.Sequential([nn.Dense(1)], 3)
    model.target_scaler = nn.data.StandardScaler().fit(ROWS[:, :1])
    trainer = nn.Trainer(model, "squared_error")
    with pytest.raises(ValueError, match="y must be finite, got nan in row 3"):
        trainer.evaluate(ROWS, [1, 2, 3, np.nan])
    with pytest.raises(ValueError, match=r"^y must have 1 features"):
        trainer.evaluate(ROWS, ROWS)


# Layouts.

DTYPES = ["?", "b", "B", "h", "H", "i", "I", "l", "L", "e", "f", "d", "g", ">f4", ">f8", ">i4"]


def unaligned(array: Array) -> Array:
    raw = np.zeros(array.nbytes + 1, np.uint8)
    result: Array = raw[1:].view(array.dtype).reshape(array.shape)
    result[...] = array
    return result


LAYOUTS: dict[str, Any] = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2],
    "reversed rows": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "reversed columns": lambda a: np.ascontiguousarray(a[:, ::-1])[:, ::-1],
    "unaligned": unaligned,
    "rows far apart": lambda a: np.hstack([a, a])[:, : a.shape[1]],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "one column repeated": lambda a: np.broadcast_to(a[:, :1], a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", SCALERS)
def test_scalers_on_every_dtype_and_layout(kind: str, dtype: str, layout: str, rng: np.random.Generator) -> None:
    """The same result as for float64 in C order; NaN and infinity are found at any position."""
    X = LAYOUTS[layout](rng.integers(0, 2 if dtype == "?" else 100, (40, 6)).astype(dtype))
    double = np.ascontiguousarray(X, dtype=np.float64)
    scaler, want = SCALERS[kind]().fit(X), SCALERS[kind]().fit(double)
    for name in scaler.saved:
        np.testing.assert_array_equal(getattr(scaler, name), getattr(want, name))
    np.testing.assert_allclose(
        scaler.transform(X).astype(float), want.transform(double), rtol=2e-3 if dtype == "e" else 1e-6, atol=1e-6
    )
    if X.dtype.kind == "f":
        for row, column in ((0, 0), (39, 5), (17, 3)):
            for bad in (np.nan, np.inf, -np.inf):
                spoilt = np.array(X)
                spoilt[row, 0 if layout == "one column repeated" else column] = bad
                place = rf"in row {row}, column {0 if layout == 'one column repeated' else column}$"
                with pytest.raises(ValueError, match=rf"X must be finite, got {bad} {place}"):
                    SCALERS[kind]().fit(LAYOUTS[layout](spoilt))


@pytest.mark.parametrize("kind", SCALERS)
@pytest.mark.parametrize("values", [np.array(1.0), np.empty((0, 3)), np.empty((3, 0)), np.empty(0, bool), []])
def test_scalers_on_empty_data(kind: str, values: Any) -> None:
    with pytest.raises(ValueError, match="X must have at least one row and one column"):
        SCALERS[kind]().fit(values)


def test_long_doubles_beyond_float64() -> None:
    huge = np.array([[np.longdouble(10) ** 400, 1], [2, 3]])
    for call in (nn.data.StandardScaler().fit, nn.data.StandardScaler().fit(np.eye(2)).transform):
        with pytest.raises(ValueError, match="X is too large for float64"):
            call(huge)
    with pytest.raises(ValueError, match=r"X is too large for float32, got 1e\+400 in row 0, column 0"):
        nn.Sequential([nn.Dense(1)], 2).predict(huge)


@pytest.mark.parametrize("dtype", ["uint8", "bool", "float16", "int16"])
def test_small_dtypes_do_not_read_beyond_the_array(dtype: str) -> None:
    """In a separate process, which an access beyond the array's memory would end."""
    code = f"import numpy as np, nncore as nn; X = np.ones((20000, 500), '{dtype}')\n"
    code += "for _ in range(3): nn.data.StandardScaler().fit(X)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unaligned_rows_and_targets(rng: np.random.Generator) -> None:
    X, y, Y_ = rng.normal(size=(20, 3)), rng.integers(0, 3, 20), rng.normal(size=(20, 3))
    for loss, targets in (("softmax_cross_entropy", y), ("squared_error", Y_)):
        trainer = nn.Trainer(nn.Sequential([nn.Dense(3)], 3, dtype="float64", seed=0), loss)
        assert trainer.evaluate(unaligned(X), unaligned(targets)) == trainer.evaluate(X, targets)
        data = trainer._data(unaligned(X), unaligned(targets))
        assert data.rows.flags.aligned  # type: ignore[union-attr]
        assert data.targets[0].array.flags.aligned


# Feature names.


def trained() -> nn.Trainer:
    trainer = nn.Trainer(nn.Sequential([nn.Dense(2)], 3, seed=0), "softmax_cross_entropy")
    trainer.fit(FRAME, LABELS, verbose=0)
    return trainer


CALLS: dict[str, Any] = {
    "fit": lambda t, X: t.fit(X, LABELS, verbose=0),
    "evaluate": lambda t, X: t.evaluate(X, LABELS),
    "predict": lambda t, X: t.model.predict(X),
    "forward": lambda t, X: t.model.forward(X),
    "partial_fit": lambda t, X: t.partial_fit(X, LABELS),
    "gradient": lambda t, X: t.model.loss_and_gradient(X, LABELS, "softmax_cross_entropy"),
    "validation_data": lambda t, X: t.fit(FRAME, LABELS, validation_data=(X, LABELS), verbose=0),
}


@pytest.mark.parametrize("call", CALLS)
def test_names_and_order_of_columns(call: str) -> None:
    trainer = trained()
    assert trainer.model.feature_names == ("a", "b", "c")
    CALLS[call](trainer, FRAME)
    CALLS[call](trainer, pl.DataFrame(DICT))
    CALLS[call](trainer, ROWS)
    CALLS[call](trainer, FRAME.set_axis([0, 1, 2], axis=1))  # not names
    before = trainer.model.parameters.copy()
    for frame in (FRAME[["b", "a", "c"]], pl.DataFrame(DICT).select("b", "a", "c"), pa.table(DICT).select(["b", "a", "c"])):
        with pytest.raises(
            ValueError, match=r"feature names of X.* should match.*fit, in the same order\. Expected 'a' as column 0, got 'b'"
        ):
            CALLS[call](trainer, frame)
    with pytest.raises(ValueError, match="unseen: 'd'; missing: 'b'"):
        CALLS[call](trainer, FRAME.rename(columns={"b": "d"}))
    assert np.array_equal(trainer.model.parameters, before)


def test_feature_names_are_kept_copied_and_reset(tmp_path: Path) -> None:
    trainer = trained()
    names = ("a", "b", "c")
    assert trainer.model.copy().feature_names == trainer.model.astype("float64").feature_names == names
    trainer.model.save(tmp_path / "model")
    trainer.save(tmp_path / "trainer")
    assert nn.load(tmp_path / "model").feature_names == nn.load(tmp_path / "trainer").feature_names == names
    other = nn.Trainer(nn.Sequential([nn.Dense(2)], 3, seed=0), "softmax_cross_entropy")
    other.restore(tmp_path / "trainer")
    assert other.model.feature_names == names
    other.model.feature_names = None
    other.fit(FRAME[["c", "b", "a"]], LABELS, verbose=0)
    assert other.model.feature_names == ("c", "b", "a")
    for bad in (["a", "b"], "abc", [1, 2, 3]):
        with pytest.raises(ValueError, match="feature_names must be 3 strings"):
            other.model.feature_names = bad


def test_nothing_is_imported() -> None:
    code = "import sys, nncore as nn; nn.data.StandardScaler().fit([[1.0], [2]]); "
    code += "print(any(module in sys.modules for module in ('pandas', 'polars', 'pyarrow')))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "False"


def test_names_and_order_of_the_columns_of_targets(tmp_path: Path) -> None:
    Y = pd.DataFrame(np.eye(3)[LABELS], columns=["r", "s", "t"])
    trainer = nn.Trainer(nn.Sequential([nn.Dense(3)], 3, seed=0), "softmax_cross_entropy")
    swapped, renamed = Y[["s", "r", "t"]], Y.rename(columns={"s": "u"})
    with pytest.raises(
        ValueError, match=r"target names of y of validation_data should match.*Expected 'r' as column 0, got 's'"
    ):
        trainer.fit(FRAME, Y, validation_data=(FRAME, swapped), verbose=0)
    assert trainer.model.target_names is None
    trainer.partial_fit(FRAME, Y)
    trainer.model.save(tmp_path / "model")
    trainer.save(tmp_path / "trainer")
    other = nn.Trainer(nn.Sequential([nn.Dense(3)], 3, seed=0), "softmax_cross_entropy")
    other.restore(tmp_path / "trainer")
    loaded, copied = nn.load(tmp_path / "model"), pickle.loads(pickle.dumps(trainer.model.copy()))
    for model in (trainer.model, other.model, loaded, copied):
        assert model.target_names == ("r", "s", "t")
        again = nn.Trainer(model, "softmax_cross_entropy")
        assert again.evaluate(FRAME, Y) == again.evaluate(FRAME, Y.to_numpy())
        for call in (again.fit, again.evaluate, again.partial_fit, functools.partial(model.loss_and_gradient, loss="hinge")):
            with pytest.raises(ValueError, match="Expected 'r' as column 0, got 's'"):
                call(FRAME, swapped)
            with pytest.raises(ValueError, match="unseen: 'u'; missing: 's'"):
                call(FRAME, renamed)
        model.target_names = None
        again.evaluate(FRAME, swapped)
        for bad in ([], ["r", 1], 3):
            with pytest.raises(ValueError, match="target_names must be strings, one for each column"):
                model.target_names = bad  # type: ignore[assignment]


@pytest.mark.parametrize("chunks", [1, 2])
def test_nulls_in_dictionaries_of_pyarrow(chunks: int) -> None:
    """They are missing, not the last value."""
    column = pa.chunked_array([pa.array([1.5, None, 2.5]).dictionary_encode()] * chunks)
    expected = np.array([1.5, np.nan, 2.5] * chunks)
    np.testing.assert_array_equal(as_numbers(column, "X"), expected)
    table = pa.table({"a": column, "b": [1, 2, 3] * chunks})
    np.testing.assert_array_equal(as_numbers(table, "X"), np.column_stack([expected, [1, 2, 3] * chunks]))
    np.testing.assert_array_equal(as_numbers(column.chunk(0), "X"), expected[:3])
    with pytest.raises(ValueError, match="X must be finite, got nan in row 1, column 0"):
        nn.Sequential([nn.Dense(1)], 2).predict(table)


class Names:
    """A data frame whose ``columns`` are names, as those of narwhals and dask; the number of its rows may be lazy."""

    columns = tuple("abc")
    shape: tuple[Any, int] = (object(), 3)

    def __getitem__(self, name: str) -> Any:
        return FRAME[name]


class OneDtype(Names):
    dtypes = ("float64",) * 3

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return ROWS.copy()


@pytest.mark.parametrize("frame", [Names(), OneDtype()], ids=["columns", "whole"])
def test_frames_of_other_libraries(frame: Names) -> None:
    np.testing.assert_array_equal(as_numbers(frame, "X").astype(np.float64), ROWS)


def test_frames_of_narwhals() -> None:
    nw = pytest.importorskip("narwhals")
    for native in (FRAME, pl.DataFrame(DICT)):
        np.testing.assert_array_equal(as_numbers(nw.from_native(native), "X").astype(np.float64), ROWS)


class Unwilling:
    """An object that no array can be made of, as a tensor of PyTorch that needs gradients."""

    shape = (4,)

    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        raise self.error("use detach() first")


@pytest.mark.parametrize("error", [RuntimeError, TypeError, AttributeError])
def test_a_refused_conversion_names_the_argument(error: type[Exception]) -> None:
    given, model = Unwilling(error), nn.Sequential([nn.Dense(2)], input_shape=3)
    trainer, y = nn.Trainer(model, "softmax_cross_entropy"), np.array([0, 1, 0, 1])

    def loss(outputs: Array, targets: Array) -> Any:
        return given, outputs

    calls: dict[str, Any] = {
        "X must": lambda: trainer.fit(given, y),
        "y must": lambda: trainer.fit(ROWS, given),
        "sample_weight must": lambda: trainer.fit(ROWS, y, sample_weight=given),
        "dense_1.weight must": lambda: setattr(model["dense_1"], "weight", given),
        "loss loss, first its 4 per-example losses, must": lambda: nn.Trainer(model, loss).fit(ROWS, ROWS[:, :2]),
        "f, second its gradient, must": lambda: nn.Adam().minimize(lambda theta: (1.0, given), np.ones(3), steps=1),
    }
    for start, call in calls.items():
        with pytest.raises(TypeError, match=f"^{start} .*: use detach"):
            call()


def test_numbers_that_numpy_lacks() -> None:
    types = pytest.importorskip("ml_dtypes")
    with pytest.raises(TypeError, match=r"^X must hold real numbers, got dtype bfloat16; \.astype\(np\.float32\)"):
        as_numbers(ROWS.astype(types.bfloat16), "X")
