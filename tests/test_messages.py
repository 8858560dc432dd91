"""Error messages: short for any value, and naming what was wrong with it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.configuration import EACH, arguments, attribute, named
from safetensors.numpy import load as load_bytes
from safetensors.numpy import save as save_bytes

import nncore as nn
from nncore._messages import MAX_LENGTH, clipped, shown
from nncore._utils.fields import Sealed
from nncore._utils.hints import METHODS
from nncore.data.scaling import SCALERS

MAX_MESSAGE = 2000  # characters: enough for two values, and for a list of all names
RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 3))
LABELS = np.arange(40) % 2


class Wordy:
    """An object whose repr is long, and whose length is irrelevant."""

    def __repr__(self) -> str:
        return "wordy " * 20_000


LARGE: dict[str, Any] = {
    "text": "x" * 100_000, "bytes": b"x" * 100_000, "list": list(range(-1, 100_000)), "nested": [["x" * 50_000] * 9] * 9,
    "array": np.arange(-1.0, 999.0), "matrix": np.zeros((500, 400)), "mapping": {"x" * 100_000: 1, 2: "y" * 100_000},
    "integer": 10**5000, "negative": -(10**5000), "object": Wordy(), "set": {"x" * 100_000}, "names": ["x" * 100_000] * 3,
}  # fmt: skip
each_value = pytest.mark.parametrize("value", LARGE)


def message(act: Callable[[], Any]) -> str:
    """The message of the error raised; empty if there is none."""
    try:
        act()
    except Exception as error:
        return str(error)
    return ""


@each_value
def test_values_are_shortened(value: str) -> None:
    assert 0 < len(shown(LARGE[value])) <= MAX_LENGTH
    assert len(shown([LARGE[value]] * 3)) <= MAX_LENGTH


@pytest.mark.parametrize("value", [None, True, 0, -3, 0.1, "name", b"raw", (1, 2), [], {}, {"a": [1, 2.5]}, np.float32(2)])
def test_short_values_are_shown_unchanged(value: Any) -> None:
    assert shown(value) == repr(value)


def test_only_the_middle_of_a_text_is_cut() -> None:
    text = "".join(map(str, range(1000)))
    short = clipped(text, 100)
    start, _, end = short.partition("...")
    assert len(short) == 100
    assert text.startswith(start)
    assert text.endswith(end)
    assert min(len(start), len(end)) > 40
    assert clipped(text, len(text)) == text


@EACH
@each_value
def test_constructors_and_attributes(cls: type, value: str) -> None:
    for name in named(cls):
        text = message(lambda n=name: cls(**{**arguments(cls), n: LARGE[value]}))
        assert len(text) <= MAX_MESSAGE, (name, len(text))
        assert "int_max_str_digits" not in text, name
        text = message(lambda n=name: setattr(cls(**arguments(cls)), attribute(cls, n), LARGE[value]))
        assert len(text) <= MAX_MESSAGE, (name, len(text))
    assert len(message(lambda: cls(LARGE[value], LARGE[value], LARGE[value], LARGE[value], LARGE[value]))) <= MAX_MESSAGE
    if isinstance(LARGE[value], str) and issubclass(cls, Sealed):  # for other classes the error is Python's
        assert len(message(lambda: cls(**{LARGE[value]: 1}))) <= MAX_MESSAGE


def model(outputs: int = 2) -> nn.Sequential:
    return nn.Sequential([nn.Dense(outputs)], input_shape=3, seed=0)


def trainer(**how: Any) -> nn.Trainer:
    return nn.Trainer(model(), "softmax_cross_entropy", **how)


CALLS: dict[str, Callable[[Any], Any]] = {
    **{
        f"fit-{name}": lambda value, name=name: trainer().fit(**{"X": X, "y": LABELS, "verbose": 0, name: value})
        for name in (
            "X", "y", "epochs", "batch_size", "last_batch", "shuffle", "sampler", "sample_weight", "class_weight",
            "validation_data", "validation_split", "exact_loss", "callbacks", "verbose",
        )
    },
    **{
        f"trainer-{name}": lambda value, name=name: trainer(**{name: value})
        for name in ("optimizer", "regularizer", "clip", "metrics", "seed")
    },
    **{
        f"split-{name}": lambda value, name=name: nn.data.train_validation_split(**{"X": X, "y": LABELS, name: value})
        for name in ("y", "fraction", "seed", "stratify")
    },
    "loss": lambda value: nn.Trainer(model(), value),
    "layers": lambda value: nn.Sequential(value, input_shape=3),
    "layer": lambda value: nn.Sequential([value], input_shape=3),
    "input_shape": lambda value: nn.Sequential([nn.Dense(1)], input_shape=value),
    "dtype": lambda value: nn.Sequential([nn.Dense(1)], input_shape=3, dtype=value),
    "partial_fit": lambda value: trainer().partial_fit(value, value),
    "evaluate": lambda value: trainer().evaluate(value, value),
    "predict": lambda value: model().predict(value),
    "samples": lambda value: model().predict_samples(X, samples=value),
    "step": lambda value: model().forward(X, step=value),
    "layer by name": lambda value: model()[value],
    "feature_names": lambda value: setattr(model(), "feature_names", value),
    "input_scaler": lambda value: setattr(model(), "input_scaler", value),
    "parameters": lambda value: setattr(model(), "parameters", value),
    "load": lambda value: nn.load(value),
    "save": lambda value: model().save(value),
    "threads": lambda value: nn.set_num_threads(value),
    **{f"{name}-fit": lambda value, cls=cls: cls().fit(value) for name, cls in SCALERS.items()},
    **{f"{name}-set": lambda value, cls=cls: cls().set_params(nan=value) for name, cls in SCALERS.items()},
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
@each_value
def test_calls(call: str, value: str) -> None:
    if call in ("save", "load") and value in ("text", "bytes"):
        pytest.skip("the system names the path")
    text = message(lambda: CALLS[call](LARGE[value]))
    assert len(text) <= MAX_MESSAGE
    assert "int_max_str_digits" not in text


# Files with a large value in their description.


def leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a description, including lists and mappings."""
    if place:
        yield place
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield from leaves(part, (*place, key))


def described(data: bytes) -> tuple[dict[str, str], dict[str, Any]]:
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    return header, json.loads(header["about"])


def test_descriptions_with_something_large_in_them(tmp_path: Path) -> None:
    def make() -> nn.Trainer:
        net = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(2)], input_shape=3)
        net.input_scaler = nn.data.StandardScaler().fit(X)
        return nn.Trainer(net, "softmax_cross_entropy", nn.SGD(lr=nn.schedules.Exponential(0.1, 0.9)), metrics=["accuracy"])

    path = tmp_path / "net"
    whole = make()
    whole.fit(X, LABELS, epochs=2, verbose=0, callbacks=[nn.EarlyStopping("running_loss")])
    whole.save(path)
    data = path.read_bytes()
    header, about = described(data)
    arrays = load_bytes(data)
    refused = 0
    for place in leaves(about):
        for value in ("x" * 100_000, ["x" * 100_000], {"x" * 100_000: 1}, list(range(100_000))):
            damaged = json.loads(json.dumps(about))
            part = damaged
            for key in place[:-1]:
                part = part[key]
            part[place[-1]] = value
            path.write_bytes(save_bytes(arrays, metadata={**header, "about": json.dumps(damaged)}))
            for act in (lambda: nn.load(path), lambda: make().restore(path)):
                text = message(act)
                assert len(text) <= MAX_MESSAGE, (place, text[:300])
                refused += bool(text)
    assert refused > 100
    for changed in ({"format": "x" * 100_000}, {"about": "[" + "1," * 100_000}):
        path.write_bytes(save_bytes(arrays, metadata={**header, **changed}))
        assert 0 < len(message(lambda: nn.load(path))) <= MAX_MESSAGE
    path.write_bytes(len(b"[" * 100_000).to_bytes(8, "little") + b"[" * 100_000)
    assert 0 < len(message(lambda: nn.load(path))) <= MAX_MESSAGE


# The cause that a message names.


def overflown() -> Any:
    net = model(1)
    net.target_scaler = nn.data.StandardScaler().fit(X[:, :1])
    net.parameters[...] = 3e38
    return net.predict(np.full((4, 3), 100.0))


def foreign_scaler() -> Any:
    return pytest.importorskip("sklearn.preprocessing").StandardScaler().fit(X)


def load_text(path: Path) -> Any:
    with open(path) as file:
        return nn.load(file)  # type: ignore[arg-type]


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "validation_split=array": (
        lambda _: trainer().fit(X, LABELS, validation_split=X, verbose=0),  # type: ignore[arg-type]
        r"^validation_split must be a number in \[0, 1\), got ndarray of shape \(40, 3\), dtype float64",
    ),
    "fraction=text": (
        lambda _: nn.data.train_validation_split(X, fraction="a"),  # type: ignore[arg-type]
        r"^fraction must be a number in \(0, 1\), got 'a'$",
    ),
    "stratify=labels": (
        lambda _: nn.data.train_validation_split(X, stratify=LABELS),  # type: ignore[arg-type]
        "^stratify must be 'auto', True or False, got .*given as y$",
    ),
    "split seed": (lambda _: nn.data.train_validation_split(X, seed="a"), "^seed must be .* got 'a'$"),  # type: ignore[arg-type]
    "sample_weight=balanced": (
        lambda _: trainer().fit(X, LABELS, sample_weight="balanced", verbose=0),
        "^sample_weight must be an array .* got 'balanced'.* class_weight",
    ),
    "sample_weight=mapping": (
        lambda _: trainer().fit(X, LABELS, sample_weight={0: 1.0, 1: 2.0}, verbose=0),
        "^sample_weight must be an array .* class_weight",
    ),
    "lr={}": (lambda _: nn.SGD(lr={}), "^lr must be a number, a schedule or .*'schedule', got {}$"),  # type: ignore[arg-type]
    "lr of a strange schedule": (
        lambda _: nn.SGD(lr={"schedule": ["cosine"]}),  # type: ignore[arg-type]
        r"^lr must be a schedule named one of constant, .* got \['cosine'\]$",
    ),
    "overflow": (lambda _: overflown(), "^the output of the model must be finite, got inf in row 0"),
    "pair as X": (lambda _: trainer().fit((X, LABELS), LABELS, verbose=0), r"^X must be an array, .* got \(ndarray of shape"),
    "a row": (lambda _: model().predict(X[0]), r"^X must have shape \(n, 3\), got \(3,\); a single row is X\[np.newaxis\]$"),
    "a row to scale": (
        lambda _: nn.data.StandardScaler().fit(X).transform(X[0]),
        r"^X must have 3 features.*got 1; a single row is X\[np.newaxis\]$",
    ),
    "other columns": (lambda _: model().predict(X[:, :2]), r"^X must have shape \(n, 3\), got \(40, 2\)$"),
    "class_weight=list": (
        lambda _: trainer().fit(X, LABELS, class_weight=[1.0, 2.0], verbose=0),
        r"^class_weight must be a mapping .* got \[1.0, 2.0\]; dict\(enumerate\(weights\)\) makes one$",
    ),
    "custom_layers=list": (
        lambda path: nn.load(path, custom_layers=[nn.Dense]),  # type: ignore[arg-type]
        "^custom_layers must be a mapping of names to classes",
    ),
    "another library's scaler": (
        lambda _: setattr(model(), "input_scaler", foreign_scaler()),
        r"^input_scaler must be a scaler of nncore.data or None, got StandardScaler\(\) of sklearn",
    ),
    "a file opened as text": (load_text, "^path must be .*binary mode, got"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_cause_is_named(case: str, tmp_path: Path) -> None:
    model().save(tmp_path / "net")
    act, words = WRONG[case]
    with pytest.raises((TypeError, ValueError), match=words):
        act(tmp_path / "net")


@pytest.mark.parametrize("text", ["1" * 5000, "0", "257", "4 ", "four", "-1", "1_0", "٣"])
def test_the_environment_variable_for_threads(text: str) -> None:
    environment = {**os.environ, "NNCORE_NUM_THREADS": text}
    done = subprocess.run([sys.executable, "-c", "import nncore"], capture_output=True, text=True, env=environment, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: NNCORE_NUM_THREADS must be a positive integer of at most 256, got '")
    assert len(last) < 400


@pytest.mark.parametrize("low", [0, -1])
def test_class_weights_of_one_hot_rows(low: int) -> None:
    """Rows of 0 or −1 with a single 1 define classes as labels do."""
    y = np.repeat([0, 1], [30, 10])
    rows = np.where(np.eye(2)[y] == 1, 1, low)

    def train(targets: Any, **weights: Any) -> Any:
        t = nn.Trainer(model(), "squared_error", "sgd")
        t.fit(X, targets, epochs=2, verbose=0, **weights)
        return t.model.parameters

    # by scikit-learn's rule n / (k n_c): 40 / (2 · 30) and 40 / (2 · 10)
    by_hand = np.where(y == 0, 40 / 60, 40 / 20)
    assert np.array_equal(train(rows, class_weight="balanced"), train(rows, sample_weight=by_hand))
    assert not np.array_equal(train(rows, class_weight="balanced"), train(rows))


@pytest.mark.parametrize(
    "rows", [[[1, -1], [1, 1]], [[-1, -1], [1, -1]], [[1, 0], [1, -1]], [[1, 0.5], [0, 1]], [[1, 2], [2, 1]]]
)
def test_rows_that_define_no_classes(rows: Any) -> None:
    t = nn.Trainer(model(), "squared_error", "sgd")
    with pytest.raises(ValueError, match="class_weight needs classes: y must be integer labels or one-hot rows"):
        t.fit(X[:2], rows, class_weight="balanced", verbose=0)


def frames() -> dict[str, Any]:
    pl, pd, pa = pytest.importorskip("polars"), pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    pairs = [[1.0, 2.0], [3.0, 4.0]]
    return {
        "polars Array": pl.DataFrame({"b": [1.0, 2.0], "a": pairs}, schema={"b": pl.Float64, "a": pl.Array(pl.Float64, 2)}),
        "only polars Array": pl.DataFrame({"a": pairs}, schema={"a": pl.Array(pl.Float64, 2)}),
        "polars List": pl.DataFrame({"b": [1.0, 2.0], "a": pairs}),
        "polars Struct": pl.DataFrame({"b": [1.0, 2.0], "a": [{"x": 1.0}, {"x": 2.0}]}),
        "pandas": pd.DataFrame({"b": [1.0, 2.0], "a": pairs}),
        "pyarrow": pa.table({"b": [1.0, 2.0], "a": pa.array(pairs, pa.list_(pa.float64(), 2))}),
    }


@pytest.mark.parametrize("kind", ["polars Array", "only polars Array", "polars List", "polars Struct", "pandas", "pyarrow"])
def test_columns_with_several_numbers_per_cell(kind: str) -> None:
    net = nn.Sequential([nn.Dense(1)], input_shape=2 if kind.startswith("only") else 3)
    with pytest.raises(TypeError, match=r"^X must have a number in each cell, got several in column 'a'"):
        net.predict(frames()[kind])


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_other_libraries(name: str) -> None:
    """The error names the class that has the method; hasattr, copies and pickles are unaffected."""
    for owner in (model(), trainer()):
        if hasattr(type(owner), name):
            continue
        assert not hasattr(owner, name)
        with pytest.raises(
            AttributeError, match=re.escape(f"{type(owner).__name__} has no attribute {name!r}: {METHODS[name]}")
        ):
            getattr(owner, name)
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            owner.nothing  # noqa: B018
    assert not all(hasattr(type(owner), name) for owner in (model(), trainer()))


def test_an_error_within_a_property_is_raised() -> None:
    class Own(nn.Sequential):
        @property
        def fit(self) -> Any:
            raise AttributeError("own words")

    with pytest.raises(AttributeError, match="own words"):
        Own([nn.Dense(1)], input_shape=2).fit  # noqa: B018
