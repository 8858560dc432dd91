"""Error messages: short for any value, and naming what was wrong with it."""

from __future__ import annotations

import decimal
import inspect
import json
import math
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
from nncore._utils.hints import ELSEWHERE, HERE, METHODS, hint
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


def test_balanced_classes_by_weights() -> None:
    """By scikit-learn's rule W / (k W_c): an example of weight 2 counts as two, one of weight 0 not at all."""
    y = np.repeat([0, 1], [30, 10])
    weights = np.where(y == 0, np.arange(40) % 3, 2.0)
    balanced, twin = (nn.Trainer(model(), "softmax_cross_entropy", "sgd") for _ in range(2))
    balanced.fit(X, y, epochs=2, verbose=0, sample_weight=weights, class_weight="balanced")
    total = np.bincount(y, weights)
    twin.fit(X, y, epochs=2, verbose=0, sample_weight=weights * (total.sum() / (2 * total))[y])
    assert np.array_equal(balanced.model.parameters, twin.model.parameters)


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


# What attacks with random arguments found: errors that came from within, and named nothing.

MODEL = nn.Sequential([nn.Dense(2)], input_shape=3, seed=0)
ADAM_IN_EMA = nn.EMA(nn.Adam())
TABLE = nn.SweepTable([], "loss")
OBJECTIVE = nn.second_order.ModelObjective(MODEL, X, X[:, :2], "squared_error")


class Shapeless:
    """Has every attribute, and it is None."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)


FOUND: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "dtype of a copy": (lambda: MODEL.astype([]), ValueError, r"^dtype must be float32 or float64, got"),  # type: ignore[arg-type]
    "dtype of a state": (lambda: nn.Adam().init_state(3, "inf"), TypeError, "^dtype must be float32 or float64, got 'inf'$"),
    "dtype of weights": (
        lambda: nn.initializers.Zeros()((2, 3), np.random.default_rng(0), X), TypeError, "^dtype must be float32 or",
    ),
    "shape of weights": (
        lambda: nn.initializers.Zeros()("a", np.random.default_rng(0)), TypeError, "^shape must hold real numbers",
    ),
    "fraction as shape": (
        lambda: nn.initializers.Zeros()((2.5, 3), np.random.default_rng(0)), TypeError, "^shape must be a whole",
    ),
    "layer": (lambda: MODEL[np.zeros(3)], KeyError, "no layer ndarray"),  # type: ignore[index]
    "number of a layer": (lambda: MODEL[2**70], IndexError, "^no layer 1180591620717411303424: there are 1$"),
    "config": (lambda: nn.Adam().configure([1]), TypeError, r"^config must be a mapping, got \[1\]$"),  # type: ignore[arg-type]
    "config of a wrapper": (lambda: ADAM_IN_EMA.configure(3), TypeError, "^config must be a mapping, got 3$"),  # type: ignore[arg-type]
    "config of SciPy": (
        lambda: nn.second_order.ScipyMinimize().configure(3), TypeError, "^config must be a mapping, got 3$",  # type: ignore[arg-type]
    ),
    "name in a config": (lambda: nn.Adam().configure({None: 1}), TypeError, "^Adam has no argument None"),  # type: ignore[dict-item]
    "steps": (lambda: nn.Adam().hyper_values("a"), TypeError, "^steps must be .* got 'a'$"),  # type: ignore[arg-type]
    "steps of a wrapper": (lambda: ADAM_IN_EMA.hyper_values(2**300), ValueError, "^steps must be .* got 20370359"),
    "resume": (lambda: nn.SGD().minimize(nn.landscapes.Beale(), [0, 1], 1, resume=X), TypeError, "^resume must be"),  # type: ignore[arg-type]
    "x0": (lambda: nn.SGD().minimize(nn.landscapes.Beale(), [[1], [2, 3]], 1), ValueError, "^x0 must be an array"),
    "epoch": (lambda: nn.History().row("a"), TypeError, "^epoch must be a whole number, got 'a'$"),  # type: ignore[arg-type]
    "row": (lambda: nn.History().append(X), TypeError, "^row must be a mapping, got ndarray"),  # type: ignore[arg-type]
    "columns": (lambda: nn.History.from_dict(3.0), TypeError, "^columns must be a mapping, got 3.0$"),  # type: ignore[arg-type]
    "column": (lambda: nn.History().extend({"a": 3}), TypeError, "^column 'a' must be a sequence of numbers"),  # type: ignore[dict-item]
    "members": (lambda: nn.EnsembleHistory("0"), TypeError, "^members must be .* got '0'$"),  # type: ignore[arg-type]
    "member": (lambda: nn.EnsembleHistory(2).member([]), TypeError, r"^number must be that of a member"),  # type: ignore[arg-type]
    "column of members": (lambda: nn.EnsembleHistory(2).last([]), KeyError, "no column"),  # type: ignore[arg-type]
    "member of bags": (lambda: nn.Bags().rows(X, 3), TypeError, "^member must be"),  # type: ignore[arg-type]
    "examples of folds": (lambda: nn.Folds().rows(0, (1, 2)), TypeError, "^examples must be"),  # type: ignore[arg-type]
    "numbers": (lambda: nn.Ensemble(MODEL, 2).take(np.array(1)), TypeError, "^numbers must be those of members"),
    "runs": (lambda: nn.SweepTable(3, "loss"), TypeError, "^runs must be those of a sweep, got 3$"),  # type: ignore[arg-type]
    "run": (lambda: TABLE["a"], TypeError, "^a run is given by its place"),
    "place of a run": (lambda: TABLE[2**70], IndexError, "^there is no run 1180591620717411303424"),
    "condition": (lambda: TABLE.filter(3), TypeError, "^condition must be callable, got 3$"),  # type: ignore[arg-type]
    "column of runs": (lambda: TABLE.sorted(X), ValueError, "^column must be one of"),  # type: ignore[arg-type]
    "monitor": (lambda: nn.SweepTable([], 3), TypeError, "^a column must be a string, got 3$"),  # type: ignore[arg-type]
    "seed": (lambda: nn.data.moons(seed="a"), TypeError, "^seed must be .* got 'a'$"),  # type: ignore[arg-type]
    "seed of spirals": (lambda: nn.data.two_spirals(seed=-1), ValueError, "^seed must be .* got -1$"),
    "seed of a check": (
        lambda: MODEL.check_gradients(X, X[:, :2], "squared_error", seed="a"), TypeError, "^seed must be",  # type: ignore[arg-type]
    ),
    "seed of directions": (
        lambda: nn.landscapes.filter_normalized_directions(MODEL, seed=math.inf), TypeError, "^seed must be",  # type: ignore[arg-type]
    ),
    "model of directions": (
        lambda: nn.landscapes.filter_normalized_directions(X), TypeError, "^model must be a Sequential",  # type: ignore[arg-type]
    ),
    "model of a surface": (
        lambda: nn.landscapes.loss_surface(1.0, X, X, "squared_error", directions=X), TypeError, "^model must be",  # type: ignore[arg-type]
    ),
    "model of an objective": (
        lambda: nn.second_order.ModelObjective(1j, X, X, "squared_error"), TypeError, "^model must be a Seq",  # type: ignore[arg-type]
    ),
    "model of a penalty": (lambda: nn.L2(0.1).value("a"), TypeError, "^model must be a Sequential, got 'a'$"),  # type: ignore[arg-type]
    "model of a gradient": (lambda: nn.L2(0.1).gradient("a"), TypeError, "^model must be a Sequential"),  # type: ignore[arg-type]
    "theta": (lambda: OBJECTIVE.value_and_gradient(X), ValueError, r"^theta must have shape \(8,\), got \(40, 3\)$"),
    "text as theta": (lambda: OBJECTIVE.hessian("a"), TypeError, "^theta must hold real numbers"),  # type: ignore[arg-type]
    "f": (lambda: nn.landscapes.random_starts(X, 3), TypeError, "^f must be a Landscape"),  # type: ignore[arg-type]
    "seed of starts": (
        lambda: nn.landscapes.random_starts(nn.landscapes.Beale(), 3, seed=range(9)), TypeError, "^seed must",  # type: ignore[arg-type]
    ),
    "goal": (lambda: nn.landscapes.steps_to([1.0, 2.0], [1.0, 0.5]), ValueError, "^goal must be a number, or one for each run"),
    "no losses": (lambda: nn.landscapes.steps_to(0.1, []), ValueError, "^losses must be at least that of the start"),
    "noise": (lambda: nn.data.sine(noise=1e308), ValueError, "^noise must be a number in"),
    "noise of spirals": (lambda: nn.data.two_spirals(noise=1e308), ValueError, "^noise must be a number in"),
    "factory": (
        lambda: nn.landscapes.search_lr(3, nn.landscapes.Beale(), [0, 1], 2), TypeError, "^factory must be callable",  # type: ignore[arg-type]
    ),
    "mu": (lambda: nn.landscapes.iteration_matrix(0.1, ()), TypeError, "^mu must be a finite number"),  # type: ignore[arg-type]
    "shapes": (lambda: nn.landscapes.convergence_rate([1.0, 2.0], [1.0] * 3), ValueError, "^mu must have the shape of eta"),
    "infinite eta": (lambda: nn.landscapes.iteration_eigenvalues(math.inf, 1), ValueError, "^eta_lambda must be finite"),
    "no eigenvalues": (lambda: nn.landscapes.predicted_rate([], 0.1, 0), ValueError, "^eigenvalues must be at least one"),
    "momentum": (lambda: nn.landscapes.optimal(1, 2, X), TypeError, "^momentum must be"),  # type: ignore[arg-type]
    "a": (lambda: nn.landscapes.Rosenbrock(1e308), ValueError, "^a must be a number in"),
    "name of an optimizer": (lambda: nn.second_order.get(X), TypeError, "^optimizer must be a name"),  # type: ignore[arg-type]
    "names": (lambda: nn.figures.colors([3]), TypeError, "^names must be strings, got 3$"),  # type: ignore[list-item]
    "no names": (lambda: nn.figures.colors(math.inf), TypeError, "^names must be strings, got inf$"),  # type: ignore[arg-type]
    "ax": (lambda: nn.figures.label_ends(None), TypeError, "^ax must be axes of matplotlib, got None$"),  # type: ignore[arg-type]
    "path of a figure": (lambda: nn.landscapes.plot_rates(3), TypeError, "^path must be a path or None, got 3$"),  # type: ignore[arg-type]
    "paths": (lambda: nn.landscapes.plot_losses(3), TypeError, "^paths must be a mapping, got 3$"),  # type: ignore[arg-type]
    "f of a figure": (lambda: nn.landscapes.plot_trajectories(X, {}), TypeError, "^f must be a Landscape"),  # type: ignore[arg-type]
    "verbose": (lambda: trainer().fit(X, LABELS, verbose=X), ValueError, "^verbose must be 0, 1 or 2"),  # type: ignore[arg-type]
    "callbacks": (lambda: trainer().fit(X, LABELS, callbacks=X), TypeError, "^callbacks must be"),  # type: ignore[arg-type]
    "metrics": (lambda: trainer(metrics=X), (TypeError, ValueError), "metric|loss"),  # type: ignore[dict-item]
    "training": (lambda: MODEL.forward(X, training=X), TypeError, "^training must be"),  # type: ignore[arg-type]
    "training of activations": (lambda: MODEL.activations(X, training=X), TypeError, "^training must be"),  # type: ignore[arg-type]
    "transposed": (lambda: MODEL.jacobian_product(X, np.ones(8), transposed=X), TypeError, "^transposed must"),  # type: ignore[arg-type]
    "an odd X": (lambda: MODEL.predict(Shapeless()), TypeError, "^X must hold real numbers"),
    "a signaling NaN": (lambda: MODEL.predict([[decimal.Decimal("sNaN")] * 3]), ValueError, "^X must hold real numbers, got a"),
    "feature_names": (
        lambda: setattr(model(), "feature_names", np.array(Shapeless(), object)), ValueError, "^feature_names must be",
    ),
    "columns of a selection": (lambda: nn.Select(Shapeless()), TypeError, "^columns must be"),  # type: ignore[arg-type]
    "units": (lambda: nn.BatchNorm(units=[[1], [2, 3]]), ValueError, "^units must be"),  # type: ignore[list-item]
    "labels": (lambda: nn.data.train_validation_split(X, [[1], [2, 3]]), ValueError, "^y must be an array"),
    "file": (lambda: nn.sweep(lambda a: {"loss": a}, {"a": [1]}, file=X, verbose=0), TypeError, "^file must be a path"),
    "null in a path": (lambda: nn.load("a\0"), ValueError, "^path must be the name of a file"),
    "surrogate in a path": (lambda: nn.load("\ud800"), ValueError, "^path must be the name of a file"),
    "null in a path to write": (lambda: MODEL.save("a\0"), ValueError, "^path must be the name of a file"),
    "surrogate in a path to write": (lambda: MODEL.save("\ud800"), ValueError, "^path must be the name of a file"),
}  # fmt: skip


@pytest.mark.parametrize("case", FOUND)
def test_the_argument_is_named(case: str) -> None:
    act, kind, words = FOUND[case]
    with pytest.raises(kind, match=words):
        act()


@pytest.mark.parametrize("name", sorted(nn.schedules.SCHEDULES.keys() - {"warmup"}))  # which follows a clock
def test_times_of_a_schedule(name: str) -> None:
    schedule = nn.schedules.SCHEDULES[name](**arguments(nn.schedules.SCHEDULES[name]))
    assert float(schedule.at(3)) == schedule.at(np.array([3]))[0]  # type: ignore[arg-type]
    for value, kind in (("a", TypeError), ({}, TypeError), (-1, ValueError), (math.inf, ValueError), (10**30, ValueError)):
        with pytest.raises(kind, match=r"^t (must|is)"):
            schedule.at(value)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^origin must be"):
        schedule.values(0, 3, origin=2**70)
    with pytest.raises(ValueError, match=r"^first_step must be"):
        schedule.values(2**70, 3)


def test_a_minimization_that_is_refused_changes_nothing() -> None:
    optimizer = nn.Adam()
    optimizer.minimize(nn.landscapes.Beale(), [0.0, 1.0], 3)
    before = repr(optimizer.state_dict())
    with pytest.raises(TypeError, match=r"^f must be a callable"):
        optimizer.minimize("f", [0.0, 1.0], 3)
    assert repr(optimizer.state_dict()) == before


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert clipped("a\x1b[31mb\n") == "a\\x1b[31mb\\n"
    assert clipped("µ → ∞") == "µ → ∞"


class NoFile:
    """Has the names of a file's methods only."""

    read = write = None


def test_what_has_only_the_names_of_a_file() -> None:
    with pytest.raises(TypeError, match="path must be a path or a file object opened for reading in binary mode, got"):
        nn.load(NoFile())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="path must be"):
        nn.Sequential([nn.Dense(1)], 1).save(NoFile())  # type: ignore[arg-type]


def test_a_monitor_that_is_no_name() -> None:
    with pytest.raises(TypeError, match="monitor must be the name of a column, got"):
        nn.sweep(lambda a: {"loss": a}, {"a": [1.0]}, monitor=np.zeros(2), verbose=0)  # type: ignore[arg-type]


def test_weights_too_large_for_float64() -> None:
    weights = np.array([np.longdouble("1e400"), 1, 1, 1])
    trainer = nn.Trainer(nn.Sequential([nn.Dense(1)], 1), loss="squared_error", optimizer="sgd")
    with pytest.raises(ValueError, match="sample_weight must be"):
        trainer.fit(np.ones((4, 1)), np.ones(4), sample_weight=weights, verbose=0)


def test_numbers_that_form_no_array() -> None:
    model = nn.Sequential([nn.Dense(1)], 1)
    with pytest.raises(ValueError, match=r"parameters must be an array of shape \(2,\), got"):
        model.parameters = [[1.0], [1.0, 2.0]]  # type: ignore[assignment]


def test_a_surface_wider_than_the_largest_number() -> None:
    model, X = nn.Sequential([nn.Dense(1)], 1), np.ones((2, 1))
    with pytest.raises(ValueError, match="extent must be so small that its width is finite, got"):
        nn.landscapes.loss_surface(model, X, X, "squared_error", extent=[[-1e308, 1e308], [-1, 1]])


def test_a_factory_that_makes_no_optimizer() -> None:
    with pytest.raises(TypeError, match="factory must return an optimizer, got 'sgd'"):
        nn.landscapes.search_lr(lambda lr: "sgd", nn.landscapes.Himmelblau(), np.ones((1, 2)), 5)  # type: ignore[arg-type,return-value]


class WithModule(nn.SGD):
    """Holds what cannot be copied."""

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("cannot pickle 'module' object")


def test_what_an_ensemble_cannot_copy_or_count() -> None:
    model = nn.Ensemble(nn.Sequential([nn.Dense(1)], 1), 2)
    trainer: Any = nn.Trainer(model, loss="squared_error", optimizer="sgd")
    trainer.fit(np.ones((4, 1)), np.ones(4), epochs=1, verbose=0)
    with pytest.raises(TypeError, match="number must be that of a member, got True"):
        trainer.history.member(True)
    with pytest.raises(TypeError, match=r"optimizer must be what copy.deepcopy can copy for each member, got .*pickle"):
        nn.Trainer(model, loss="squared_error", optimizer=WithModule(0.1))


@pytest.mark.filterwarnings("error")
def test_infinite_outputs_of_an_ensemble() -> None:
    model = nn.Ensemble(nn.Sequential([nn.Dense(1)], 1, dtype="float64"), 2)
    for member in model:
        member.parameters = [1e300, 0.0]
    assert not np.isfinite(model.spread([[1e300]])).any()


SEALED = sorted(
    (cls for cls in vars(nn).values() if isinstance(cls, type) and issubclass(cls, Sealed)), key=lambda c: c.__name__
)


@pytest.mark.parametrize("cls", SEALED, ids=lambda cls: cls.__name__)
def test_hints_name_what_the_class_has(cls: type) -> None:
    """No hint gives a name that is another class's argument."""
    known = [*inspect.signature(cls.__init__).parameters]
    for name in sorted({*ELSEWHERE, *HERE}):
        if name in known:
            continue
        with pytest.raises(TypeError) as raised:
            cls(**{name: 1})
        meant = re.search(r": it is '?(\w+)'?$", str(raised.value))
        assert meant is None or meant[1] in known
    assert hint("l1", ["strength"]) == hint("p", ["units"]) == ""
    assert hint("learning_rate", ["lr"]) == ": it is lr"
