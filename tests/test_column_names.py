"""Scalers and models keep the names of the columns that they were fitted on."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_bytes
from safetensors.numpy import save as save_bytes

import nncore as nn
from nncore.data import Scaler
from nncore.data.scaling import SCALERS

pd, pl, pa = pytest.importorskip("pandas"), pytest.importorskip("polars"), pytest.importorskip("pyarrow")

RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((30, 2)) * [1, 100] + [5, -40]
FRAMES: dict[str, Callable[[Any, list[str]], Any]] = {
    "pandas": lambda rows, names: pd.DataFrame(rows, columns=names),
    "polars": lambda rows, names: pl.DataFrame(rows, schema=names),
    "pyarrow": lambda rows, names: pa.table(dict(zip(names, np.asarray(rows).T, strict=True))),
}
each = pytest.mark.parametrize("kind", SCALERS)
each_in_portions = pytest.mark.parametrize("kind", [name for name, scaler in SCALERS.items() if scaler.in_portions])
each_frame = pytest.mark.parametrize("frame", FRAMES)
ORDER = r"feature names of X .* in the same order\. Expected 'a' as column 0, got 'b'"


def fitted(kind: str, frame: str = "pandas", names: str = "ab") -> Scaler:
    return SCALERS[kind]().fit(FRAMES[frame](ROWS, list(names)))


@each
@each_frame
def test_other_names_are_refused(kind: str, frame: str) -> None:
    scaler, make = fitted(kind, frame), FRAMES[frame]
    assert scaler.feature_names_in_ == ("a", "b")
    alone = SCALERS[kind]().fit(ROWS)
    assert alone.feature_names_in_ is None
    expected = alone.transform(ROWS)
    assert np.array_equal(scaler.transform(ROWS), expected)
    before = {name: np.array(getattr(scaler, name)) for name in scaler.saved}
    for other in FRAMES.values():
        assert np.array_equal(scaler.transform(other(ROWS, ["a", "b"])), expected)
        for call in (scaler.transform, scaler.partial_fit)[: 1 + scaler.in_portions]:
            with pytest.raises(ValueError, match=ORDER):
                call(other(ROWS, ["b", "a"]))
            with pytest.raises(ValueError, match="unseen: 'c'; missing: 'b'"):
                call(other(ROWS, ["a", "c"]))
    assert np.array_equal(alone.transform(make(ROWS, ["b", "a"])), expected)  # which has no names
    for name, value in before.items():
        assert np.array_equal(getattr(scaler, name), value)
    assert fitted(kind).fit(make(ROWS, ["b", "a"])).feature_names_in_ == ("b", "a")
    assert fitted(kind).fit(ROWS).feature_names_in_ is None


@each
def test_inverse_transform_keeps_names(kind: str) -> None:
    """Scaled columns keep their names; directions of a decorrelation have none."""
    scaler = fitted(kind)
    Z = scaler.transform(ROWS)
    np.testing.assert_allclose(scaler.inverse_transform(FRAMES["pandas"](Z, ["a", "b"])), ROWS)
    if kind == "Decorrelate":
        np.testing.assert_allclose(scaler.inverse_transform(FRAMES["pandas"](Z, ["pc1", "pc2"])), ROWS)
    else:
        with pytest.raises(ValueError, match=ORDER):
            scaler.inverse_transform(FRAMES["pandas"](Z, ["b", "a"]))


@each_in_portions
def test_names_of_a_later_portion(kind: str) -> None:
    scaler = SCALERS[kind]().partial_fit(ROWS[:10]).partial_fit(FRAMES["polars"](ROWS[10:20], ["a", "b"]))
    assert scaler.partial_fit(ROWS[20:]).feature_names_in_ == ("a", "b")
    whole = SCALERS[kind]().fit(ROWS)
    np.testing.assert_allclose(scaler.transform(ROWS), whole.transform(ROWS), rtol=1e-9, atol=1e-9)


@each
def test_a_fit_that_fails_keeps_them(kind: str) -> None:
    scaler = fitted(kind)
    with pytest.raises(ValueError, match="must be finite"):
        scaler.fit([[1.0, np.nan]])
    assert scaler.feature_names_in_ == ("a", "b")


@each
def test_copies_and_assignment(kind: str) -> None:
    from sklearn.base import clone

    scaler = fitted(kind)
    for same in (copy.copy(scaler), copy.deepcopy(scaler), pickle.loads(pickle.dumps(scaler))):
        assert same.feature_names_in_ == ("a", "b")
        with pytest.raises(ValueError, match=ORDER):
            same.transform(FRAMES["pandas"](ROWS, ["b", "a"]))
    assert clone(scaler).feature_names_in_ is None
    scaler.feature_names_in_ = ["c", "d"]
    assert scaler.feature_names_in_ == ("c", "d")
    scaler.feature_names_in_ = None
    scaler.transform(FRAMES["pandas"](ROWS, ["b", "a"]))
    for bad in (["a"], "ab", [1, 2], 3):
        with pytest.raises(ValueError, match="feature_names_in_ must be 2 strings"):
            scaler.feature_names_in_ = bad  # type: ignore[assignment]
    with pytest.raises(ValueError, match="not fitted"):
        SCALERS[kind]().feature_names_in_ = ["a", "b"]


def model(kind: str, names: str = "ab") -> nn.Sequential:
    net = nn.Sequential([nn.Dense(2)], input_shape=2, seed=0)
    net.input_scaler, net.target_scaler = fitted(kind, names=names), fitted(kind, names="xy")
    return net


def trainer(net: nn.Sequential) -> nn.Trainer:
    return nn.Trainer(net, "mean_squared_error")


PASSES: dict[str, Callable[[nn.Sequential, Any], Any]] = {
    "predict": lambda net, X: net.predict(X),
    "forward": lambda net, X: net.forward(X),
    "activations": lambda net, X: net.activations(X),
    "evaluate": lambda net, X: trainer(net).evaluate(X, ROWS),
    "fit": lambda net, X: trainer(net).fit(X, ROWS, verbose=0),
    "partial_fit": lambda net, X: trainer(net).partial_fit(X, ROWS),
    "validation_data": lambda net, X: trainer(net).fit(ROWS, ROWS, validation_data=(X, ROWS), verbose=0),
    "gradient": lambda net, X: net.loss_and_gradient(X, ROWS, "mean_squared_error"),
    "check": lambda net, X: net.check_gradients(X, ROWS, "mean_squared_error"),
}


@each
@pytest.mark.parametrize("call", PASSES)
def test_scalers_in_a_model(kind: str, call: str) -> None:
    net = model(kind)
    PASSES[call](net, FRAMES["polars"](ROWS, ["a", "b"]))
    PASSES[call](net, ROWS)
    net, before = model(kind), model(kind).parameters
    with pytest.raises(ValueError, match=r"feature names of X.* Expected 'a' as column 0, got 'b'"):
        PASSES[call](net, FRAMES["polars"](ROWS, ["b", "a"]))
    assert np.array_equal(net.parameters, before)
    assert net.feature_names is None


@each
def test_targets_of_a_model(kind: str) -> None:
    net = model(kind)
    make = FRAMES["pandas"]
    trainer(net).fit(ROWS, make(ROWS, ["x", "y"]), verbose=0)
    with pytest.raises(ValueError, match=r"target names of y .* Expected 'x' as column 0, got 'y'"):
        trainer(net).fit(ROWS, make(ROWS, ["y", "x"]), verbose=0)
    with pytest.raises(ValueError, match=r"target names of y of validation_data .* Expected 'x' as column 0, got 'y'"):
        trainer(net).fit(ROWS, ROWS, validation_data=(ROWS, make(ROWS, ["y", "x"])), verbose=0)


def both(net: nn.Sequential) -> tuple[Any, Any]:
    assert net.input_scaler is not None
    assert net.target_scaler is not None
    return net.input_scaler.feature_names_in_, net.target_scaler.feature_names_in_


@each
def test_files_and_copies_of_a_model(kind: str, tmp_path: Path) -> None:
    net, expected = model(kind), (("a", "b"), ("x", "y"))
    for same in (net.copy(), net.astype("float64"), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert both(same) == expected
    net.save(tmp_path / "model")
    assert both(nn.load(tmp_path / "model")) == expected
    trainer(net).save(tmp_path / "trainer")
    assert both(nn.load(tmp_path / "trainer")) == expected
    for names in ("ba", "ab"):  # the checkpoint's count, as its other statistics
        other = trainer(model(kind, names))
        other.restore(tmp_path / "trainer")
        assert both(other.model) == expected
    with pytest.raises(ValueError, match=ORDER):
        nn.load(tmp_path / "model").predict(FRAMES["pandas"](ROWS, ["b", "a"]))


@pytest.mark.parametrize("names", [["a"], "ab", [1, 2], {"a": 1}, 3, [["a"], ["b"]]])
def test_damaged_names(names: Any, tmp_path: Path) -> None:
    path = tmp_path / "model"
    model("StandardScaler").save(path)
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    about = json.loads(header["about"])
    assert about["input_scaler.feature_names_in_"] == ["a", "b"]
    about["input_scaler.feature_names_in_"] = names
    path.write_bytes(save_bytes(load_bytes(data), metadata={**header, "about": json.dumps(about)}))
    with pytest.raises(ValueError, match="feature_names_in_ must be 2 strings"):
        nn.load(path)
    del about["input_scaler.feature_names_in_"]  # as in files of earlier versions
    path.write_bytes(save_bytes(load_bytes(data), metadata={**header, "about": json.dumps(about)}))
    assert both(nn.load(path)) == (None, ("x", "y"))


# A column without values so far.


@each_in_portions
def test_portions_in_which_a_column_is_empty(kind: str) -> None:
    gaps = [ROWS[:10].copy(), ROWS[10:20].copy(), ROWS[20:].copy()]
    gaps[0][:, 1] = np.nan
    gaps[1][:, 0] = np.nan
    scaler = SCALERS[kind](nan="ignore").partial_fit(FRAMES["pandas"](gaps[0], ["a", "b"]))
    words = "a row without NaN, got only NaN$" if kind == "Decorrelate" else "a value .* NaN in column 'b'$"
    net = nn.Sequential([nn.Dense(1)], input_shape=2)
    for call in (
        lambda: scaler.transform(ROWS),
        lambda: scaler.inverse_transform(ROWS),
        lambda: setattr(net, "input_scaler", scaler),
    ):
        with pytest.raises(ValueError, match=f"^X of fit must have {words}"):
            call()
    scaler.nan = "ignore"
    scaler = pickle.loads(pickle.dumps(scaler))
    for portion in gaps[1:]:
        scaler.partial_fit(portion)
    whole = SCALERS[kind](nan="ignore").fit(np.concatenate(gaps))
    np.testing.assert_allclose(scaler.transform(ROWS), whole.transform(ROWS), rtol=1e-9)
    for name in scaler.saved:
        np.testing.assert_allclose(getattr(scaler, name), getattr(whole, name), rtol=1e-12)


@each
def test_an_empty_column_without_a_name(kind: str) -> None:
    scaler = SCALERS[kind](nan="ignore").fit(ROWS)
    words = "a row without NaN, got only NaN" if kind == "Decorrelate" else "a value .* in column 1"
    with pytest.raises(ValueError, match=f"^X of fit must have {words}$"):
        scaler.fit([[1.0, np.nan], [2.0, np.nan]])
    assert np.array_equal(scaler.n_samples_seen_, [30, 30])  # nothing has changed
