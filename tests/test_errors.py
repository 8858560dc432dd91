"""Invalid input and divergence: the message names the argument, the requirement and the value; parameters are unchanged."""

import contextlib
import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import nncore as nn
from nncore import schedules

Array = NDArray[Any]

N, INPUTS, OUTPUTS = 12, 4, 3
X = np.random.default_rng(0).standard_normal((N, INPUTS))
LABELS = np.arange(N) % OUTPUTS


def make(dtype: str = "float32", outputs: int = OUTPUTS) -> nn.Sequential:
    return nn.Sequential([nn.Dense(5), nn.Tanh(), nn.Dense(outputs)], input_shape=INPUTS, dtype=dtype, seed=1)


def with_value(array: Any, row: int, value: Any) -> Array:
    array = np.array(array, dtype=float)
    array[row] = value
    return array


Entry = Callable[[nn.Trainer, Any, Any], Any]

ENTRIES: dict[str, Entry] = {
    "fit": lambda trainer, X, y: trainer.fit(X, y, verbose=0),
    "partial_fit": lambda trainer, X, y: trainer.partial_fit(X, y),
    "evaluate": lambda trainer, X, y: trainer.evaluate(X, y),
    "validation_data": lambda trainer, X, y: trainer.fit(globals()["X"], LABELS, validation_data=(X, y), verbose=0),
    "loss_and_gradient": lambda trainer, X, y: trainer.model.loss_and_gradient(X, y, trainer.loss),
    "deltas": lambda trainer, X, y: trainer.model.deltas(X, y, trainer.loss),
    "check_gradients": lambda trainer, X, y: trainer.model.check_gradients(X, y, trainer.loss),
}


def assert_refused(call: Callable[[], Any], trainer: nn.Trainer, *words: str) -> None:
    """It raises a ValueError or TypeError with each word (a regular expression), and changes nothing."""
    theta = trainer.model.parameters.copy()
    state = trainer.optimizer.state_dict()
    with pytest.raises((ValueError, TypeError)) as raised:
        call()
    message = str(raised.value)
    for word in words:
        assert re.search(word, message), f"{word!r} is not in {message!r}"
    assert np.array_equal(trainer.model.parameters, theta)
    assert all(np.array_equal(value, state[name]) for name, value in trainer.optimizer.state_dict().items())
    assert len(trainer.history) == trainer.epochs_done == 0


# Data.

BAD_X: dict[str, tuple[Any, list[str]]] = {
    "too few columns": (X[:, :3], [r"\bX\b", r"\(n, 4\)", r"\(12, 3\)"]),
    "too many columns": (np.ones((N, 5)), [r"\bX\b", r"\(n, 4\)", r"\(12, 5\)"]),
    "one example without its axis": (X[0], [r"\bX\b", r"\(n, 4\)", r"\(4,\)"]),
    "an axis too many": (X[:, :, None], [r"\bX\b", r"\(n, 4\)", r"\(12, 4, 1\)"]),
    "a number": (3.0, [r"\bX\b", r"\(n, 4\)", r"\(\)"]),
    "no rows": (X[:0], [r"\bX\b", "at least one row", r"\(0, 4\)"]),
    "NaN": (with_value(X, 7, np.nan), [r"\bX\b", "finite", "nan", "row 7"]),
    "infinity": (with_value(X, 3, -np.inf), [r"\bX\b", "finite", "-inf", "row 3"]),
    "text": (np.full((N, INPUTS), "a"), [r"\bX\b", "number", "<U1"]),
    "objects": (np.full((N, INPUTS), None), [r"\bX\b", "number", "object"]),
    "complex numbers": (X + 1j, [r"\bX\b", "real", "complex128"]),
    "dates": (np.zeros((N, INPUTS), "datetime64[s]"), [r"\bX\b", "real", "datetime64"]),
    "none": (None, [r"\bX\b", "None"]),
}
BAD_Y: dict[str, tuple[Any, list[str]]] = {
    "a label too large": (with_value(LABELS, 3, 3).astype(int), [r"\by\b", "0 to 2", "3"]),
    "a negative label": (with_value(LABELS, 3, -1).astype(int), [r"\by\b", "0 to 2", "-1"]),
    "labels that are no integers": (LABELS + 0.5, [r"\by\b", "integer labels", r"\.5 in row 0"]),
    "a NaN among labels": (with_value(LABELS, 3, np.nan), [r"\by\b", "missing values"]),
    "an infinite label": (with_value(LABELS, 3, np.inf), [r"\by\b", "inf"]),
    "too few columns": (np.ones((N, 2)), [r"\by\b", r"\(n, 3\)", r"\(12, 2\)"]),
    "a number": (1, [r"\by\b", r"\(n, 3\)", r"\(\)"]),
    "NaN": (with_value(np.eye(3)[LABELS], 5, np.nan), [r"\by\b", "finite", "row 5"]),
    "infinity": (with_value(np.eye(3)[LABELS], 5, np.inf), [r"\by\b", "finite", "row 5"]),
    "a probability above 1": (with_value(np.eye(3)[LABELS], 5, 1.5), [r"\by\b", r"\[0, 1\]", "1.5"]),
    "a probability below 0": (with_value(np.eye(3)[LABELS], 5, -0.5), [r"\by\b", r"\[0, 1\]", "-0.5"]),
    "too few rows": (LABELS[:-1], [r"\bX\b", r"\by\b", "same length", "12", "11"]),
    "too many rows": (np.eye(3)[[*LABELS, 0]], [r"\bX\b", r"\by\b", "same length", "12", "13"]),
    "no rows": (LABELS[:0], [r"\by\b", "12", "0"]),
    "text": (np.full(N, "a"), [r"\by\b", "<U1"]),
    "objects": (np.full(N, None), [r"\by\b", "object"]),
    "none": (None, [r"\by\b"]),
    "complex numbers": (np.eye(3)[LABELS] + 1j, [r"\by\b", "complex128"]),
    "dates": (np.zeros((N, 3), "datetime64[s]"), [r"\by\b", "datetime64"]),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("case", BAD_X)
def test_bad_x(case: str, entry: str) -> None:
    bad, words = BAD_X[case]
    trainer = nn.Trainer(make(), "softmax_cross_entropy")
    assert_refused(lambda: ENTRIES[entry](trainer, bad, LABELS), trainer, *words)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("case", BAD_Y)
def test_bad_y(case: str, entry: str) -> None:
    bad, words = BAD_Y[case]
    trainer = nn.Trainer(make(), "softmax_cross_entropy")
    assert_refused(lambda: ENTRIES[entry](trainer, X, bad), trainer, *words)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("argument", ["X", "y"])
def test_rows_of_different_length(argument: str, entry: str) -> None:
    ragged = [[1.0, 2.0]] + [[1.0]] * (N - 1)
    trainer = nn.Trainer(make(), "softmax_cross_entropy")
    X_, y_ = (ragged, LABELS) if argument == "X" else (X, ragged)
    assert_refused(lambda: ENTRIES[entry](trainer, X_, y_), trainer, rf"\b{argument}\b")


@pytest.mark.parametrize("argument", ["X", "y"])
def test_numbers_beyond_float32(argument: str) -> None:
    """They would be infinite in the model's dtype: an error, without a warning in addition."""
    trainer = nn.Trainer(make(), "squared_error")
    X_, y_ = (with_value(X, 2, 1e300), LABELS) if argument == "X" else (X, with_value(np.ones((N, 3)), 2, 1e300))
    assert_refused(lambda: trainer.fit(X_, y_, verbose=0), trainer, rf"\b{argument}\b", "row 2")
    double = nn.Trainer(make("float64"), "softmax_cross_entropy")
    assert np.isfinite(double.evaluate(with_value(X, 2, 1e300), LABELS)["loss"])


@pytest.mark.parametrize(
    ("call", "case"),
    [
        (call, case) for call in ("predict", "forward", "activations") for case in BAD_X
        if case != "no rows" or call == "activations"
    ],
)  # fmt: skip
def test_bad_x_of_a_forward_pass(case: str, call: str) -> None:
    bad, words = BAD_X[case]
    trainer = nn.Trainer(make(), "softmax_cross_entropy")
    assert_refused(lambda: getattr(trainer.model, call)(bad), trainer, *words)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_outputs_of_no_rows(dtype: str) -> None:
    model = nn.Sequential([nn.Dense(5), nn.BatchNorm(), nn.Dense(OUTPUTS)], input_shape=(2, 2), dtype=dtype)
    for _ in range(2):
        none = np.empty((0, 2, 2))
        assert model.predict(none).shape == model.forward(none).shape == (0, OUTPUTS)
        assert model.predict_samples(none, samples=4).shape == (4, 0, OUTPUTS)
        assert model.predict(none).dtype == dtype
        model.input_scaler = nn.data.StandardScaler().fit(X.reshape(N, 2, 2))
        model.target_scaler = nn.data.StandardScaler().fit(X[:, :3])
    with pytest.raises(ValueError, match="at least one row"):
        model.forward(none, training=True)
    with pytest.raises(ValueError, match=r"\(n, 2, 2\), got \(0, 4\)"):
        model.predict(X[:0])
    trainer = nn.Trainer(model, "squared_error")
    with pytest.raises(ValueError, match=r"X must have at least one row, got shape \(0, 2, 2\)"):
        trainer.evaluate(none, np.empty((0, 3)))


@pytest.mark.parametrize(
    ("loss", "y", "words"),
    [
        ("hinge", [[0.5, 1, -1]] * N, ["±1 or 0/1", "hinge"]),
        ("hinge", [[-1, 0, 1]] * N, ["±1 or 0/1", "-1, 0 and 1"]),
        ("sigmoid_cross_entropy", [[2, 0, 0]] * N, [r"\[0, 1\]", "sigmoid_cross_entropy", "2"]),
        ("binary_cross_entropy", [[-0.5, 0, 0]] * N, [r"\[0, 1\]", "binary_cross_entropy", "-0.5"]),
        ("kl_divergence", [[1.5, 0, 0]] * N, [r"\[0, 1\]", "kl_divergence", "1.5"]),
        ("softmax_cross_entropy", with_value(np.eye(3)[LABELS], 5, 0), ["sum to 1", "sum of 0 in row 5", "sample_weight"]),
        ("softmax_cross_entropy", with_value(np.eye(3)[LABELS], 7, 1), ["sum to 1", "sum of 3 in row 7", "sigmoid_cross"]),
        ("softmax_cross_entropy", with_value(np.eye(3)[LABELS], 2, [0.3, 0.3, 0.38]), ["sum to 1", "0.98 in row 2"]),
        ("softmax_cross_entropy", with_value(2 * np.eye(3)[LABELS] - 1, 4, -1), ["sum to 1", "sum of 0 in row 4"]),
        ("kl_divergence", with_value(np.eye(3)[LABELS], 11, 0), ["kl_divergence", "sum to 1", "sum of 0 in row 11"]),
        ("squared_error", np.ones((N, 4)), [r"\(n, 3\)", r"\(12, 4\)"]),
        ("squared_error", np.arange(N), ["0 to 2", "11"]),
        *[
            (loss, y, ["3 targets", r"\(n, 3\)", "3 outputs", *words])
            for loss in ("squared_error", "mean_squared_error", "mean_absolute_error", "huber")
            for y, words in [
                (np.ones((N, 4)), ["got 4 for each row", r"\(12, 4\)"]),
                (np.ones((N, 1)), ["got 1 for each row", r"\(12, 1\)"]),
                (np.ones((N, 2, 2)), ["got 4 for each row", r"\(12, 2, 2\)"]),
                (np.linspace(-1, 2.5, N), ["labels from 0 to 2", "from -1 to 2.5", r"\(12,\)"]),
                (1.0, [r"got shape \(\)"]),
            ]
        ],
    ],
)
def test_targets_outside_the_range_of_the_loss(loss: str, y: Any, words: list[str]) -> None:
    trainer = nn.Trainer(make(), loss)
    assert_refused(lambda: trainer.fit(X, y, verbose=0), trainer, r"\by\b", *words)


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "kl_divergence"])
def test_probabilities_that_were_rounded(loss: str) -> None:
    soft = np.random.default_rng(1).dirichlet(np.ones(3), N)
    last = [nn.Softmax()] if loss == "kl_divergence" else []
    trainer = nn.Trainer(nn.Sequential([nn.Dense(3), *last], INPUTS), loss)
    for rounded in (soft.round(3), soft.astype(np.float16), 2.0 * np.eye(3)[LABELS] - 1):
        trainer.fit(X, rounded, verbose=0)


def test_regression_with_one_output() -> None:
    trainer = nn.Trainer(make(outputs=1), "mean_squared_error")
    assert_refused(lambda: trainer.fit(X, np.ones((N, 3)), verbose=0), trainer, "1 target for each row", "1 output", "got 3")
    trainer.fit(X, np.linspace(-1, 1, N), verbose=0)


def test_softmax_needs_two_outputs() -> None:
    trainer = nn.Trainer(make(outputs=1), "softmax_cross_entropy")
    assert_refused(lambda: trainer.fit(X, LABELS % 2, verbose=0), trainer, "two outputs", "sigmoid_cross_entropy")


# Arguments of fit.

BAD_FIT: dict[str, tuple[dict[str, Any], list[str]]] = {
    **{f"batch_size={bad!r}": ({"batch_size": bad}, ["batch_size", "positive integer", re.escape(repr(bad))])
       for bad in (0, -3, 1.5, "32", True)},
    **{f"epochs={bad!r}": ({"epochs": bad}, ["epochs", "positive integer", re.escape(repr(bad))])
       for bad in (0, -1, 2.0, "all", None)},
    **{f"validation_split={bad!r}": ({"validation_split": bad}, ["validation_split", re.escape(repr(bad))])
       for bad in (-0.1, 1.0, 2, "a", np.nan)},
    "both validations": ({"validation_split": 0.2, "validation_data": (X, LABELS)}, ["validation_split", "validation_data"]),
    "validation_data is no pair": ({"validation_data": X}, ["validation_data", "pair", "ndarray"]),
    "validation_data of four": ({"validation_data": (X, LABELS, 1, 1)}, ["validation_data", "pair"]),
    "validation weights": ({"validation_data": (X, LABELS, 1)}, ["sample_weight of validation_data", r"\(12,\)"]),
    "a split of too few rows": ({"validation_split": 0.5, "X": X[:1], "y": LABELS[:1]}, ["at least 2"]),
    "verbose": ({"verbose": 3}, ["verbose", "0, 1 or 2", "3"]),
    "a callback that is none": ({"callbacks": [print]}, ["callback", "print"]),
    "a callback without a list": ({"callbacks": nn.EarlyStopping()}, ["callbacks"]),
    "a callback's class": ({"callbacks": [nn.EarlyStopping]}, ["callback", "EarlyStopping"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FIT)
def test_bad_arguments_of_fit(case: str) -> None:
    arguments, words = BAD_FIT[case]
    trainer = nn.Trainer(make(), "softmax_cross_entropy")
    call = {"X": X, "y": LABELS, "verbose": 0} | arguments
    assert_refused(lambda: trainer.fit(call.pop("X"), call.pop("y"), **call), trainer, *words)


@pytest.mark.parametrize("optimizer", ["rprop", "delta_bar_delta"])
@pytest.mark.parametrize("entry", ["fit", "partial_fit"])
def test_full_batch_optimizers_refuse_mini_batches(optimizer: str, entry: str) -> None:
    trainer = nn.Trainer(make(), "softmax_cross_entropy", optimizer)
    quiet = {"verbose": 0} if entry == "fit" else {}
    assert_refused(
        lambda: getattr(trainer, entry)(X, LABELS, batch_size=5, **quiet), trainer, "full batch", "got 5", "must be 12"
    )  # fmt: skip
    getattr(trainer, entry)(X, LABELS, batch_size=N, **quiet)
    assert not np.array_equal(trainer.model.parameters, make().parameters)


# Arguments of Trainer.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": "net"}, ["model", "Sequential", "'net'"]),
        ({"loss": "softmax"}, ["loss", "softmax_cross_entropy", "'softmax'"]),
        ({"loss": None}, ["loss", "None"]),
        ({"loss": nn.Huber}, ["loss", "Huber"]),
        ({"optimizer": "adamm"}, ["optimizer", "adam,", "'adamm'"]),
        ({"optimizer": nn.Adam}, ["optimizer", "Adam"]),
        ({"optimizer": 0.1}, ["optimizer", "0.1"]),
        ({"metrics": ["acc"]}, ["metric", "accuracy", "'acc'"]),
        ({"metrics": "acc"}, ["metric", "'acc'"]),
        ({"metrics": [None]}, ["metric", "None"]),
        ({"metrics": ["accuracy", "accuracy"]}, ["metrics", "differ"]),
        ({"regularizer": "l2"}, ["regularizer", "'l2'"]),
        ({"regularizer": 0.1}, ["regularizer", "0.1"]),
        ({"clip": 5.0}, ["clip", "5.0"]),
        ({"clip": "norm"}, ["clip", "'norm'"]),
        ({"seed": -1}, ["seed", "-1"]),
        ({"seed": 1.5}, ["seed", "1.5"]),
        ({"seed": "x"}, ["seed", "'x'"]),
        ({"seed": None}, ["seed", "None"]),
    ],
)
def test_bad_arguments_of_trainer(arguments: dict[str, Any], words: list[str]) -> None:
    trainer = nn.Trainer(make(), "softmax_cross_entropy")
    call = {"model": trainer.model, "loss": "softmax_cross_entropy"} | arguments
    assert_refused(lambda: nn.Trainer(**call), trainer, *words)


def test_a_metric_that_does_not_fit_the_targets() -> None:
    trainer = nn.Trainer(make(), "squared_error", metrics=["hinge"])
    assert_refused(lambda: trainer.fit(X, np.full((len(X), OUTPUTS), 0.5), verbose=0), trainer, "y", "hinge", "0.5")


# Arguments of the parts.


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth else 0.5


PARTS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "no layers": (lambda: nn.Sequential([], 2), ["layers", "at least one"]),
    "a layer's class": (lambda: nn.Sequential([nn.Dense], 2), [r"layers\[0\]", "Layer", "Dense"]),
    "a layer's name": (lambda: nn.Sequential(["relu"], 2), [r"layers\[0\]", "Layer", "'relu'"]),
    "a layer without a list": (lambda: nn.Sequential(nn.Dense(2), 2), ["layers"]),
    "one name twice": (lambda: nn.Sequential([nn.Dense(2, name="a"), nn.Dense(2, name="a")], 2), ["name", "'a'"]),
    "the name of the input": (lambda: nn.Sequential([nn.Dense(2, name="input")], 2), ["name", "'input'"]),
    "one layer twice": (lambda: nn.Sequential([dense := nn.Dense(2), dense], 2), [r"layers\[1\]", "same object"]),
    **{f"input_shape {bad!r}": (lambda bad=bad: nn.Sequential([nn.Dense(2)], bad), ["input_shape", re.escape(repr(bad))])
       for bad in (0, -1, 2.0, "2", None, (), (2, 0), [2, 2], True, (True, 2))},
    **{f"dtype {bad!r}": (lambda bad=bad: make(bad), ["dtype", re.escape(str(bad))])
       for bad in ("float16", "int32", "complex64", "garbage", "real", "a5")},
    **{f"seed {bad!r}": (lambda bad=bad: nn.Sequential([nn.Dense(2)], 2, seed=bad), ["seed", re.escape(repr(bad))])
       for bad in (-1, 1.5, "x", None, True)},
    **{f"units {bad!r}": (lambda bad=bad: nn.Dense(bad), ["units", "positive integer", re.escape(repr(bad))])
       for bad in (0, -2, 1.5, "3", None, True)},
    "weight_init": (lambda: nn.Dense(2, weight_init="he"), ["'he'", "he_normal"]),
    "bias_init": (lambda: nn.Sequential([nn.Dense(2, bias_init="he_normal")], 2), ["shape"]),
    "negative_slope": (lambda: nn.LeakyReLU(np.nan), ["negative_slope", "nan"]),
    "alpha": (lambda: nn.ELU("1"), ["alpha", "'1'"]),
    "approximate": (lambda: nn.GELU("erf"), ["approximate", "'none' or 'tanh'", "'erf'"]),
    "softmax of a shape": (lambda: nn.Sequential([nn.Softmax()], (2, 3)), ["softmax", r"\(n,\)", r"\(2, 3\)"]),
    **{f"{cls.__name__}({bad!r})": (lambda cls=cls, bad=bad: cls(bad), [word, re.escape(repr(bad))])
       for cls, word in ((nn.L2, "strength"), (nn.L1, "strength"), (nn.ClipValue, "limit"), (nn.ClipNorm, "limit"),
                         (nn.ClipGlobalNorm, "limit"), (nn.Huber, "delta"))
       for bad in (-1.0, np.inf, np.nan, "1", None)},
    **{f"{cls.__name__}(0)": (lambda cls=cls: cls(0), ["positive", "0"])
       for cls in (nn.ClipValue, nn.ClipNorm, nn.ClipGlobalNorm, nn.Huber)},
    "ElasticNet": (lambda: nn.ElasticNet(0.1, -0.2), ["l2", "-0.2"]),
    "lr": (lambda: nn.SGD(lr=-0.1), ["lr", "-0.1"]),
    "betas": (lambda: nn.Adam(betas=(0.9, 1.0)), ["beta2", "1.0"]),
    "momentum": (lambda: nn.Momentum(momentum=1.5), ["momentum", "1.5"]),
    **{f"{name} with the key {bad!r}": (lambda take=take, bad=bad: take({"name": "uniform", "class": "Adam", bad: 1}),
                                        [argument, "names as keys", re.escape(repr(bad))])
       for name, argument, take in (("WeightNorm", "layer", nn.WeightNorm), ("Bidirectional", "layer", nn.Bidirectional),
                                    ("initializers.get", "initializer", nn.initializers.get),
                                    ("optimizers.get", "optimizer", nn.optimizers.get))
       for bad in (None, 3, (1, 2))},
    **{f"{name} of the class {bad!r}": (lambda take=take, bad=bad: take({"name": bad, "class": bad}), [re.escape(repr(bad))])
       for name, take in (("WeightNorm", nn.WeightNorm), ("Bidirectional", nn.Bidirectional),
                          ("initializers.get", nn.initializers.get), ("optimizers.get", nn.optimizers.get))
       for bad in ([], {"a": 1}, 3)},
    "a negative length": (lambda: nn.data.train_validation_split(type("Rows", (), {"__len__": lambda _: -1})()), ["X", "Rows"]),
    "steps_per_epoch": (lambda: nn.schedules.Constant(0.1).values(0, 3, 1 << 70), ["steps_per_epoch", str(1 << 70)]),
    "steps_per_epoch of an optimizer": (lambda: nn.SGD().hyper_values(3, 1 << 70), ["steps_per_epoch", str(1 << 70)]),
    "spread": (lambda: nn.landscapes.random_starts(nn.landscapes.Beale(), 3, spread=1e308), ["spread", r"1e\+308"]),
    "extent": (lambda: nn.landscapes.loss_surface(make(), X, LABELS, "softmax_cross_entropy", extent=nested(70)), ["extent"]),
    "the name of a schedule's argument": (lambda: nn.schedules.as_schedule("x", "long" * 100_000), ["^long.{1,400}'x'$"]),
    "a long name of the argument": (lambda: nn.initializers.get(3, "long" * 100_000), [r"^long.{1,400}got 3$"]),
}  # fmt: skip


@pytest.mark.parametrize("case", PARTS)
def test_bad_arguments_of_the_parts(case: str) -> None:
    make_part, words = PARTS[case]
    assert_refused(make_part, nn.Trainer(make(), "softmax_cross_entropy"), *words)


def test_a_layer_is_not_taken_from_another_model() -> None:
    """Its weights are views into one θ: a second model would rebind them."""
    model = make()
    output = model.predict(X)
    with contextlib.suppress(ValueError):
        nn.Sequential(model.layers, input_shape=INPUTS, seed=5)
    assert np.shares_memory(model.layers[0].weight, model.parameters)
    model.parameters[...] *= 2
    assert not np.array_equal(model.predict(X[:5]), output[:5])
    assert np.array_equal(model.predict(X[:5]), model.copy().predict(X[:5]))


# Layers and losses written in Python.


class Faulty(nn.Layer):
    """Misbehaves as specified, in the third pass."""

    def __init__(self, forward: Any = None, backward: Any = None) -> None:
        super().__init__(name="faulty")
        self.how, self.passes = (forward or (lambda x: x), backward or (lambda dy: dy)), 0

    def forward(self, x: Array, training: bool) -> Array:
        self.passes += 1
        return self.how[0](x) if self.passes >= 3 else x

    def backward(self, dy: Array) -> Array:
        return self.how[1](dy) if self.passes >= 3 else dy


def faulty_trainer(optimizer: Any = "sgd", **how: Any) -> nn.Trainer:
    model = nn.Sequential([nn.Dense(5), Faulty(**how), nn.Dense(OUTPUTS)], INPUTS, dtype="float64", seed=1)
    return nn.Trainer(model, "softmax_cross_entropy", optimizer)


@pytest.mark.parametrize("place", ["forward", "backward"])
@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        (lambda a: a[:, :2], ValueError, [r"\(4, 5\)", r"\(4, 2\)"]),
        (lambda a: a.sum(), ValueError, [r"\(4, 5\)", r"\(\)"]),
        (lambda a: None, (ValueError, TypeError), [r"\(4, 5\)"]),
        (lambda a: {}["missing"], KeyError, ["missing"]),
    ],
)
def test_a_python_layer_that_fails(place: str, how: Any, error: Any, words: list[str]) -> None:
    trainer = faulty_trainer(**{place: how})
    with pytest.raises(error) as raised:
        trainer.fit(X, LABELS, batch_size=4, shuffle=False, verbose=0)
    for word in words + ([f"faulty.{place}"] if error is not KeyError else []):
        assert re.search(word, str(raised.value)), str(raised.value)
    # the first two steps are complete, the third is not
    two = nn.Trainer(nn.Sequential([nn.Dense(5), nn.Dense(OUTPUTS)], INPUTS, dtype="float64"), "softmax_cross_entropy", "sgd")
    two.model.parameters[...] = faulty_trainer().model.parameters
    two.partial_fit(X[:8], LABELS[:8], batch_size=4)
    assert np.allclose(trainer.model.parameters, two.model.parameters, rtol=1e-12)


def test_the_steps_before_a_failure_are_counted() -> None:
    """Two steps have changed the parameters and Adam's means; its bias correction depends on the number of steps."""

    def fail(x: Array) -> Array:
        raise KeyError("by intent")

    trainer = faulty_trainer("adam", forward=fail)
    with pytest.raises(KeyError, match="by intent"):
        trainer.partial_fit(X, LABELS, batch_size=4)
    assert trainer.optimizer.step_count == 2


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_python_layer_that_is_not_finite(bad: float) -> None:
    trainer = faulty_trainer(forward=lambda x: x * bad)
    with pytest.raises(nn.DivergenceError, match=r"step 3.*faulty"):
        trainer.fit(X, LABELS, batch_size=4, verbose=0)
    assert np.isfinite(trainer.model.parameters).all()
    trainer = faulty_trainer(backward=lambda dy: dy * bad)
    with pytest.raises(nn.DivergenceError, match=r"step 3.*lr = 0\.01.*dense_1\.weight"):
        trainer.fit(X, LABELS, batch_size=4, verbose=0)
    assert np.isfinite(trainer.model.parameters).all()


def test_a_layer_without_forward_or_backward() -> None:
    class Nothing(nn.Layer):
        pass

    model = nn.Sequential([Nothing()], INPUTS)
    with pytest.raises(TypeError, match=r"Nothing has no forward"):
        model.predict(X)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda y, d: (0.0, y - d), ["loss", r"12 per-example", r"\(\)"]),
        (lambda y, d: (y - d, y - d), ["loss", r"12 per-example", r"\(12, 3\)"]),
        (lambda y, d: ((y - d).sum(axis=1), 1.0), ["loss", "gradient", r"\(12, 3\)", r"\(\)"]),
        (lambda y, d: (y - d).sum(axis=1), []),
    ],
)
def test_a_python_loss_that_returns_something_else(function: Any, words: list[str]) -> None:
    trainer = nn.Trainer(make(), function)
    assert_refused(lambda: trainer.fit(X, LABELS, verbose=0), trainer, *words)


# Divergence.


@pytest.mark.parametrize("optimizer", [nn.SGD(lr=1e30), nn.Momentum(lr=1e30), nn.Nesterov(lr=1e30), nn.Adam(lr=1e38)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_huge_learning_rate(optimizer: nn.Optimizer, dtype: str) -> None:
    layers = [nn.Dense(6), nn.ReLU(), nn.Dense(6), nn.ReLU(), nn.Dense(3)]
    model = nn.Sequential(layers, input_shape=INPUTS, dtype=dtype, seed=1)
    optimizer.lr = optimizer.lr if dtype == "float32" else 1e200
    trainer = nn.Trainer(model, "squared_error", optimizer)
    lr = f"{optimizer.lr:g}"
    with pytest.raises(nn.DivergenceError) as raised:
        trainer.fit(X, LABELS, epochs=50, batch_size=4, verbose=0)
    message = str(raised.value)
    assert re.search(r"epoch \d+, step \d+", message), message
    assert f"lr = {lr}" in message
    assert re.search(r"the loss is|the gradient of dense_\d|the step of the optimizer", message), message
    assert np.isfinite(model.parameters).all()
    assert trainer.optimizer.step_count >= 1


@pytest.mark.parametrize("seconds", [0.0, 1e3])
def test_divergence_after_some_epochs(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps per epoch. The rate explodes at step 20, the second of epoch 7; the loss of the third shows it.

    However many epochs run in one call, the message names the epoch, and the epochs before it are in the history.
    """
    monkeypatch.setattr("nncore.program.autotune.SECONDS_PER_CALL", seconds)
    rate = schedules.PiecewiseConstant([19], [0.01, 1e250])
    model = make("float64")
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=rate))
    with pytest.raises(nn.DivergenceError, match=r"epoch 7, step [23] with lr = 1e\+250"):
        trainer.fit(X, LABELS, epochs=40, batch_size=4, verbose=0)
    assert np.isfinite(model.parameters).all()
    assert trainer.optimizer.step_count in (19, 20)
    assert len(trainer.history) == trainer.epochs_done == 6
    want = nn.Trainer(make("float64"), "squared_error", nn.SGD(lr=0.01))
    want.fit(X, LABELS, epochs=6, batch_size=4, verbose=0)
    assert np.array_equal(trainer.history["running_loss"], want.history["running_loss"])


def test_training_goes_on_after_divergence() -> None:
    trainer = nn.Trainer(make("float64"), "squared_error", nn.SGD(lr=1e200))
    with pytest.raises(nn.DivergenceError):
        trainer.fit(X, LABELS, epochs=9, verbose=0)
    trainer.model.initialize()
    trainer.optimizer.lr = 0.05
    history = trainer.fit(X, LABELS, epochs=20, verbose=0)
    assert history["running_loss"][-1] < history["running_loss"][-20]


def test_parameters_that_are_not_finite() -> None:
    model = make()
    model.parameters[3] = np.nan
    with pytest.raises(nn.DivergenceError, match=r"epoch 1, step 1.*dense_1"):
        nn.Trainer(model, "squared_error").fit(X, LABELS, verbose=0)


def test_a_divergence_of_the_penalty_alone() -> None:
    """The loss of the data stays finite; the penalty does not."""
    model = nn.Sequential([nn.Dense(1, weight_init=nn.initializers.Constant(1e200))], 1, dtype="float64")
    trainer = nn.Trainer(model, "hinge", nn.SGD(lr=1e-3), regularizer=nn.L2(1.0))
    with pytest.raises(nn.DivergenceError):
        trainer.fit(np.ones((4, 1)), np.ones(4), verbose=0)
    assert np.isfinite(model.parameters).all()


# Arbitrary input.


@settings(max_examples=60)
@given(
    shape=st.lists(st.integers(0, 5), max_size=3).map(tuple),
    kind=st.sampled_from(["f4", "f8", "i4", "u1", "?", "c8", "U3", "O", "M8[s]"]),
    argument=st.sampled_from(["X", "y"]),
)
def test_any_array_is_accepted_or_refused_by_name(shape: tuple[int, ...], kind: str, argument: str) -> None:
    """Any X and y either train or raise a ValueError or TypeError that names it and changes nothing."""
    array = np.zeros(shape, dtype=kind)
    model = nn.Sequential([nn.Dense(2)], input_shape=3, seed=1)
    trainer = nn.Trainer(model, "softmax_cross_entropy")
    theta = model.parameters.copy()
    rows = shape[0] if shape else 1
    X_, y_ = (array, np.zeros(rows, int)) if argument == "X" else (np.ones((max(rows, 1), 3)), array)
    numbers = kind in ("f4", "f8", "i4", "u1", "?") and rows > 0
    fits = shape[1:] == (3,) and len(shape) == 2 if argument == "X" else shape in [(rows,), (rows, 2)] and bool(shape)
    if numbers and (fits or (argument == "y" and len(shape) == 3 and shape[1] * shape[2] == 2)):
        trainer.fit(X_, y_, verbose=0)
        assert len(trainer.history) == 1
    else:
        with pytest.raises((ValueError, TypeError), match=rf"\b{argument}\b"):
            trainer.fit(X_, y_, verbose=0)
        assert np.array_equal(model.parameters, theta)


@settings(max_examples=40)
@given(row=st.integers(0, N - 1), column=st.integers(0, INPUTS - 1), bad=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_an_invalid_number_is_found_at_any_position(row: int, column: int, bad: float) -> None:
    array = X.copy()
    array[row, column] = bad
    with pytest.raises(ValueError, match=rf"X must be finite, got {bad} in row {row}, column {column}$"):
        make().predict(array)


@settings(max_examples=40)
@given(labels=st.lists(st.integers(-2, 5), min_size=1, max_size=8))
def test_labels_are_in_range_or_refused(labels: list[int]) -> None:
    trainer = nn.Trainer(make(), "softmax_cross_entropy")
    X_ = np.ones((len(labels), INPUTS))
    if min(labels) >= 0 and max(labels) < OUTPUTS:
        assert np.isfinite(trainer.evaluate(X_, labels)["loss"])
    else:
        row, bad = next((row, label) for row, label in enumerate(labels) if not 0 <= label < OUTPUTS)
        with pytest.raises(ValueError, match=f"^y must be labels from 0 to 2, got {bad} in row {row}$"):
            trainer.evaluate(X_, labels)


# Names of Keras and PyTorch, and names mistyped.

FOREIGN: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "activation": (lambda: nn.Dense(10, activation="relu"), ["Dense", "'activation'", "nn.ReLU()"]),  # type: ignore[call-arg]
    "by position": (lambda: nn.Dense(10, "relu"), ["Dense takes units by position", "'relu'", "nn.ReLU()"]),  # type: ignore[misc]
    "one too many": (lambda: nn.Dropout(0.1, 2), ["Dropout takes rate by position, all else by name, got 2$"]),  # type: ignore[misc]
    "use_bias": (lambda: nn.Dense(10, use_bias=False), ["'use_bias'", "it is bias"]),  # type: ignore[call-arg]
    "in_features": (lambda: nn.Dense(in_features=3, out_features=2), ["'in_features'", "input_shape"]),  # type: ignore[call-arg]
    "p": (lambda: nn.Dropout(p=0.5), ["Dropout", "'p'", "rate"]),  # type: ignore[call-arg]
    "learning_rate": (lambda: nn.Adam(learning_rate=0.1), ["Adam", "'learning_rate'", "is lr"]),  # type: ignore[call-arg]
    "beta_1": (lambda: nn.Adam(1e-3, beta_1=0.9), ["Adam", "'beta_1'", "betas="]),  # type: ignore[call-arg]
    "epsilon": (lambda: nn.RMSprop(epsilon=0.1), ["RMSprop", "'epsilon'", "is eps"]),  # type: ignore[call-arg]
    "momentum": (lambda: nn.SGD(0.1, momentum=0.9), ["SGD", "'momentum'", "nn.Momentum"]),  # type: ignore[call-arg]
    "wrapped": (lambda: nn.EMA("sgd", decy=0.9), ["EMA", "'decy'", "did you mean 'decay'"]),  # type: ignore[call-arg]
    "optimiser": (lambda: nn.Trainer(make(), "hinge", optimiser="sgd"), ["Trainer", "'optimizer'"]),  # type: ignore[call-arg]
    "trainer's rate": (lambda: nn.Trainer(make(), "hinge", lr=0.1), ["Trainer", "'lr'", "of first-order optimizers"]),  # type: ignore[call-arg]
    "layer": (lambda: nn.Sequential([nn.Dense(1)], input_dim=3), ["Sequential", "'input_dim'", "input_shape"]),  # type: ignore[call-arg]
    "restore": (lambda: nn.EarlyStopping(restore_best_weights=True), ["EarlyStopping", "restore_best"]),  # type: ignore[call-arg]
    "no such thing": (lambda: nn.Adam(color=3), ["Adam", "'color'", "It has lr, betas, eps"]),  # type: ignore[call-arg]
    "newton": (lambda: nn.second_order.LBFGS(memry=3), ["LBFGS", "'memry'", "'memory'"]),
    "mse": (lambda: nn.Trainer(make(), "mse"), ["loss", "'mse'", "it is 'mean_squared_error'"]),
    "MSE": (lambda: nn.Trainer(make(), "MSE"), ["loss", "'MSE'", "it is 'mean_squared_error'"]),
    "bce": (lambda: nn.Trainer(make(), "bce"), ["'sigmoid_cross_entropy'", "'binary_cross_entropy'"]),
    "acc": (lambda: nn.Trainer(make(), "hinge", metrics="acc"), ["metric", "it is 'accuracy'"]),
    "rms_prop": (lambda: nn.Trainer(make(), "hinge", "rms_prop"), ["optimizer", "did you mean 'rmsprop'"]),
    **{name: (lambda name=name: nn.losses.get(name), [f"'{name}'", "'softmax_cross_entropy' takes", "integer labels"])
       for name in ("crossentropy", "cross_entropy", "categorical_crossentropy", "sparse_categorical_crossentropy")},
}  # fmt: skip


@pytest.mark.parametrize("case", FOREIGN)
def test_names_from_elsewhere(case: str) -> None:
    call, words = FOREIGN[case]
    assert_refused(call, nn.Trainer(make(), "softmax_cross_entropy"), *words)


@pytest.mark.parametrize(
    ("make_part", "name", "words"),
    [
        (nn.GRU, "hidden_size", "it is units"), (nn.GRU, "bidirectional", "nn.Bidirectional"),
        (nn.LayerNorm, "elementwise_affine", "it is affine"), (nn.GroupNorm, "num_groups", "it is groups"),
        (nn.Bidirectional, "merge_mode", "it is merge"), (nn.GaussianNoise, "std", "it is stddev"),
        (nn.Adam, "amsgrad", "nn.AMSGrad"), (nn.RMSprop, "rho", "it is alpha"), (nn.ClipGlobalNorm, "max_norm", "it is limit"),
        (nn.ReduceLROnPlateau, "min_delta", "it is threshold, with threshold_mode='abs'"),
        (nn.schedules.StepDecay, "step_size", "it is every"), (nn.schedules.StepDecay, "gamma", "it is factor"),
        (nn.schedules.Cosine, "T_max", "it is steps"), (nn.schedules.Cosine, "decay_steps", "it is steps"),
        (nn.schedules.Cosine, "t_mul", "it is growth"), (nn.schedules.Cosine, "m_mul", "it is shrink"),
        (nn.schedules.Warmup, "warmup_steps", "it is steps"),
    ],
)  # fmt: skip
def test_arguments_of_keras_and_pytorch(make_part: Callable[..., Any], name: str, words: str) -> None:
    with pytest.raises(TypeError, match=f"{make_part.__name__} has no argument '{name}': .*{words}"):
        make_part(**{name: 1})


def test_arguments_are_explained_only_where_one_is_unknown() -> None:
    with pytest.raises(TypeError, match="units"):
        nn.Dense()  # type: ignore[call-arg]

    class Mine(nn.Layer):
        def __init__(self, size: int, **rest: Any) -> None:
            super().__init__(**rest)
            self.size = [*size]  # type: ignore[misc]

    with pytest.raises(TypeError, match="Mine has no argument 'color'"):
        Mine([1], color=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="iterable"):
        Mine(3, name="a")
    assert str(inspect.signature(nn.Dropout)).startswith("(rate: 'float'")


@pytest.mark.parametrize(
    ("make_part", "name", "words"),
    [
        (lambda: nn.Adam(), "learning_rate", ["Adam", "it is lr"]),
        (lambda: nn.Adam(), "epsilon", ["it is eps"]),
        (lambda: nn.Momentum(), "momentun", ["did you mean 'momentum'"]),
        (lambda: nn.EMA(nn.Adam()), "learning_rate", ["EMA", "is lr"]),
        (lambda: nn.second_order.DampedNewton(), "dampening", ["DampedNewton", "damping"]),
        (lambda: nn.Trainer(make(), "hinge"), "optimiser", ["Trainer", "did you mean 'optimizer'"]),
        (lambda: nn.Trainer(make(), "hinge"), "lr", ["of first-order optimizers"]),
        (lambda: make(), "paramters", ["Sequential", "'parameters'"]),
        (lambda: make(), "color", ["It has", "parameters", "input_scaler", "target_scaler"]),
        (lambda: make(), "input_scalar", ["'input_scaler'"]),
        (lambda: nn.Dropout(0.5), "rte", ["Dropout", "did you mean 'rate'"]),
        (lambda: nn.Dense(3), "weight_initt", ["Dense", "'weight_init'"]),
        (lambda: make()["dense_1"], "wieght", ["Dense", "'weight'"]),
        (lambda: nn.Sequential([nn.Dense(2), nn.BatchNorm()], 3)[1], "frzen", ["BatchNorm", "'frozen'"]),
    ],
)
def test_an_attribute_that_does_not_exist(make_part: Callable[[], Any], name: str, words: list[str]) -> None:
    part = make_part()
    with pytest.raises(AttributeError) as raised:
        setattr(part, name, 0.5)
    for word in [f"no attribute {name!r}", *words]:
        assert word in str(raised.value)
    assert not hasattr(part, name)


def test_attributes_that_may_be_set() -> None:
    """Known and private ones; any in constructors, and in user-defined layers, losses and callbacks."""
    opt = nn.EMA(nn.Adam())
    opt.lr, opt.betas, opt.beta1, opt._mine = 0.1, (0.8, 0.9), 0.7, 1
    assert (opt.optimizer.lr, opt.betas) == (0.1, (0.7, 0.9))
    trainer = nn.Trainer(make(), "hinge", opt)
    trainer.clip, trainer.stop_training, trainer._mine = nn.ClipNorm(1.0), True, 1

    class MySGD(nn.SGD):
        def __init__(self) -> None:
            super().__init__()
            self.color = "red"

    MySGD().color = "blue"

    class Keeps(nn.Layer):
        def forward(self, x: Array, training: bool) -> Array:
            self.seen = x.copy()
            return x

        def backward(self, dy: Array) -> Array:
            return dy

    class Counts(nn.Callback):
        def on_train_begin(self, trainer: Any) -> None:
            self.begun = True

    class Mine(nn.losses.Huber):
        pass

    layer, callback, loss = Keeps(), Counts(), Mine()
    model = nn.Sequential([nn.Dense(3), layer], INPUTS)
    loss.color = "red"  # type: ignore[attr-defined]
    nn.Trainer(model, loss).fit(X, LABELS, callbacks=[callback], verbose=0)
    layer.color = callback.color = "red"  # type: ignore[attr-defined]
    assert callback.begun
    assert len(layer.seen)
