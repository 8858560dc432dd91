"""Weights of examples and of classes: the loss that is minimized is Σ w_i l_i / n."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels
from nncore.data.example_weights import class_labels, class_weights
from nncore.losses import LOSSES

Array = NDArray[Any]
N, INPUTS, OUTPUTS = 37, 4, 3


def make(outputs: int = OUTPUTS, dtype: str = "float64", loss: str = "") -> nn.Sequential:
    last = nn.Tanh() if loss == "sigmoid_cross_entropy" else nn.Sigmoid()
    layers: list[nn.Layer] = [nn.Dense(6), nn.Tanh(), nn.Dense(outputs), last]
    return nn.Sequential(layers, input_shape=INPUTS, dtype=dtype, seed=4)


def log_cosh(y: Array, d: Array) -> tuple[Array, Array]:
    return np.log(np.cosh(y - d)).sum(axis=1), np.tanh(y - d)


KINDS: dict[str, Any] = {**{name: name for name in LOSSES}, "python": log_cosh}


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """X, labels and weights, one of them 0."""
    X, w = rng.standard_normal((N, INPUTS)), rng.uniform(0, 3, N)
    w[5] = 0
    return X, rng.integers(0, OUTPUTS, N), w


def each_gradient(model: nn.Sequential, X: Array, y: Array, loss: Any) -> tuple[Array, Array]:
    """The loss (n,) and the gradient (n, parameters) of each example by itself."""
    one_by_one = [model.loss_and_gradient(X[i : i + 1], y[i : i + 1], loss) for i in range(len(X))]
    return np.array([loss for loss, _ in one_by_one]), np.array([gradient for _, gradient in one_by_one])


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_weighted_epoch_of_each_loss(kind: str, one_hot: bool, data: tuple[Array, Array, Array]) -> None:
    """Batches of 10, the last of 7, against the gradients of single examples: Σ w_i g_i / rows."""
    X, y, w = data
    y = np.eye(OUTPUTS)[y] if one_hot else y
    model, twin, plain = (make(loss=kind) for _ in range(3))
    trainer = nn.Trainer(model, KINDS[kind], nn.SGD(lr=0.1), seed=3)
    history = trainer.fit(X, y, sample_weight=w, batch_size=10, verbose=0)
    (order,) = _kernels.shuffled_orders(N, 1, 3, 0)
    total = 0.0
    for start in range(0, N, 10):
        rows = order[start : start + 10]
        losses, gradients = each_gradient(twin, X[rows], y[rows], KINDS[kind])
        total += w[rows] @ losses
        twin.parameters[...] -= 0.1 * (w[rows] @ gradients) / len(rows)
    assert np.allclose(model.parameters, twin.parameters, rtol=1e-12, atol=1e-13)
    assert history["running_loss"][0] == pytest.approx(total / N, rel=1e-12)
    nn.Trainer(plain, KINDS[kind], nn.SGD(lr=0.1), seed=3).fit(X, y, batch_size=10, verbose=0)
    assert np.abs(plain.parameters - twin.parameters).max() > 1e-3


def test_against_torch(data: tuple[Array, Array, Array], torch: Any) -> None:
    """``(w * loss).mean()`` with reduction="none"."""
    X, y, w = data
    model = nn.Sequential([nn.Dense(OUTPUTS)], input_shape=INPUTS, dtype="float64", seed=1)
    net = torch.nn.Linear(INPUTS, OUTPUTS).double()
    with torch.no_grad():
        net.weight[...] = torch.from_numpy(model.layers[0].weight)
        net.bias[...] = torch.from_numpy(model.layers[0].bias)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
    for start in list(range(0, N, 8)) * 3:
        rows = slice(start, start + 8)
        optimizer.zero_grad()
        losses = torch.nn.functional.cross_entropy(net(torch.from_numpy(X[rows])), torch.from_numpy(y[rows]), reduction="none")
        (torch.from_numpy(w[rows]) * losses).mean().backward()
        optimizer.step()
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=0.3))
    trainer.fit(X, y, sample_weight=w, epochs=3, batch_size=8, shuffle=False, verbose=0)
    assert np.allclose(model.layers[0].weight, net.weight.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_integer_weights_are_repetitions(rng: np.random.Generator) -> None:
    X, y, times = rng.standard_normal((N, INPUTS)), rng.integers(0, OUTPUTS, N), rng.integers(0, 4, N)
    weighted, repeated = make(), make()
    m = int(times.sum())
    fit = {"epochs": 5, "batch_size": 200, "shuffle": False, "verbose": 0}
    nn.Trainer(weighted, "squared_error", nn.SGD(lr=0.1)).fit(X, y, sample_weight=times, **fit)
    X, y = np.repeat(X, times, axis=0), np.repeat(y, times)
    nn.Trainer(repeated, "squared_error", nn.SGD(lr=0.1 * m / N)).fit(X, y, **fit)
    assert np.allclose(weighted.parameters, repeated.parameters, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_of_one_change_no_bit(dtype: str, data: tuple[Array, Array, Array]) -> None:
    X, y, _ = data
    bits = set()
    for weights in ({}, {"sample_weight": np.ones(N, dtype="int8")}, {"class_weight": {1: 1}}, {"class_weight": {}}):
        model = make(dtype=dtype)
        nn.Trainer(model, "squared_error", "adam").fit(X, y, epochs=3, batch_size=8, verbose=0, **weights)
        bits.add(model.parameters.tobytes())
    assert len(bits) == 1


def test_evaluate_weights_the_loss_and_not_the_metrics(data: tuple[Array, Array, Array]) -> None:
    X, y, w = data
    trainer = nn.Trainer(make(), "softmax_cross_entropy", metrics=["accuracy", "squared_error"], regularizer=nn.L2(0.1))
    plain, got = trainer.evaluate(X, y), trainer.evaluate(X, y, sample_weight=w)
    losses, _ = each_gradient(trainer.model, X, y, "softmax_cross_entropy")
    assert got["loss"] == pytest.approx((w * losses).mean() + got["penalty"], rel=1e-13)
    assert {name: plain[name] for name in plain if name != "loss"} == {name: got[name] for name in got if name != "loss"}
    assert abs(got["loss"] - plain["loss"]) > 0.01


def test_columns_of_a_weighted_training(data: tuple[Array, Array, Array]) -> None:
    """Class weights affect only the minimized loss; ``loss`` and ``val_loss`` are comparable."""
    X, y, w = data
    trainer = nn.Trainer(make(), "softmax_cross_entropy", metrics=["accuracy"])
    kw: dict[str, Any] = {"exact_loss": True, "verbose": 0, "class_weight": {0: 2.0, 2: 0.5}}
    row = trainer.fit(X, y, sample_weight=w, validation_data=(X, y, w), **kw)
    assert row["loss"][-1] == row["val_loss"][-1] == trainer.evaluate(X, y, sample_weight=w)["loss"]
    row = trainer.fit(X, y, sample_weight=w, validation_data=(X, y), **kw)
    assert row["val_loss"][-1] == trainer.evaluate(X, y)["loss"]
    train, held_back = nn.data.train_validation_split(X, y, 0.3)
    row = trainer.fit(X, y, sample_weight=w, validation_split=0.3, **kw)
    want = trainer.evaluate(X[held_back], y[held_back], sample_weight=w[held_back])
    assert row["val_loss"][-1] == want["loss"]
    want = trainer.evaluate(X[train], y[train], sample_weight=w[train])
    assert row["loss"][-1] == want["loss"]


def test_partial_fit(data: tuple[Array, Array, Array]) -> None:
    X, y, w = data
    one, other = make(), make()
    nn.Trainer(one, "squared_error", "adam").fit(X, y, sample_weight=w, batch_size=8, shuffle=False, verbose=0)
    nn.Trainer(other, "squared_error", "adam").partial_fit(X, y, sample_weight=w, batch_size=8)
    assert one.parameters.tobytes() == other.parameters.tobytes()


# Classes.

FORMS: dict[str, tuple[Callable[[Array], Array], int]] = {
    "labels": (lambda y: y, 3),
    "one-hot": (lambda y: np.eye(3, dtype="float32")[y], 3),
    "0/1": (lambda y: y > 0, 1),
    "±1": (lambda y: np.where(y > 0, 1, -1), 1),
    "±1 column": (lambda y: np.where(y > 0, 1.0, -1.0)[:, None], 1),
}


@pytest.mark.parametrize("form", FORMS)
def test_class_weights_are_sample_weights(form: str, rng: np.random.Generator) -> None:
    classes = rng.choice(3, N, p=[0.7, 0.2, 0.1])
    turn, outputs = FORMS[form]
    X, y = rng.standard_normal((N, INPUTS)), turn(classes)
    names = {"0/1": [0, 1, 1], "±1": [-1, 1, 1], "±1 column": [-1, 1, 1]}.get(form, [0, 1, 2])
    mapping = dict(zip(names, [0.5, 3.0, 3.0 if outputs == 1 else 0.0], strict=True))
    loss = nn.SigmoidCrossEntropy()
    one, other = (make(outputs, loss=loss.name) for _ in range(2))
    nn.Trainer(one, loss).fit(X, y, class_weight=mapping, epochs=3, verbose=0)
    weights = np.array([mapping[names[c]] for c in classes])
    nn.Trainer(other, loss).fit(X, y, sample_weight=weights, epochs=3, verbose=0)
    assert one.parameters.tobytes() == other.parameters.tobytes()


def test_balanced_as_in_scikit_learn(rng: np.random.Generator) -> None:
    sklearn = pytest.importorskip("sklearn.utils.class_weight")
    y = rng.choice([0, 1, 3], 200, p=[0.8, 0.15, 0.05])
    assert np.array_equal(class_weights("balanced", y, 4), sklearn.compute_sample_weight("balanced", y))


def test_balanced_by_hand() -> None:
    y = class_labels([[1, 0], [1, 0], [1, 0], [0, 1]], "class_weight")
    assert class_weights("balanced", y, 2).tolist() == [4 / (2 * 3)] * 3 + [4 / (2 * 1)]


def test_balanced_counts_the_training_rows_only(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((50, INPUTS)), (np.arange(50) < 11).astype(int)
    train, _ = nn.data.train_validation_split(X, y, 0.3)
    one, other = make(2), make(2)
    nn.Trainer(one, "softmax_cross_entropy").fit(X, y, class_weight="balanced", validation_split=0.3, verbose=0)
    weights = class_weights("balanced", y[train], 2)
    nn.Trainer(other, "softmax_cross_entropy").fit(X[train], y[train], sample_weight=weights, verbose=0)
    assert one.parameters.tobytes() == other.parameters.tobytes()


# What is refused.

LABELS = np.arange(N) % OUTPUTS
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "length": ({"sample_weight": np.ones(N - 1)}, r"sample_weight must have shape \(37,\).*\(36,\)"),
    "shape": ({"sample_weight": np.ones((N, 1))}, r"sample_weight must have shape \(37,\).*\(37, 1\)"),
    "negative": ({"sample_weight": np.where(LABELS == 1, -2, 1)}, "sample_weight.*at least 0, got -2.0 for example 1"),
    "nan": ({"sample_weight": np.full(N, np.nan)}, "sample_weight must be finite.*nan for example 0"),
    "infinite": ({"sample_weight": np.full(N, np.inf)}, "sample_weight must be finite.*inf"),
    "zeros": ({"sample_weight": np.zeros(N)}, "sample_weight must have a positive number"),
    "text": ({"sample_weight": ["a"] * N}, "sample_weight must hold real numbers"),
    "class outside": ({"class_weight": {0: 1, 3: 2}}, "class_weight must have labels from 0 to 2 as its keys, got 3"),
    "class below": ({"class_weight": {-1: 1}}, "class_weight must have labels from 0 to 2.*got -1"),
    "class by name": ({"class_weight": {"cat": 1}}, "class_weight must have labels.*'cat'"),
    "class weight": ({"class_weight": {1: -1}}, r"class_weight\[1\] must be a finite number of at least 0, got -1"),
    "class weight nan": ({"class_weight": {1: float("nan")}}, r"class_weight\[1\] must be a finite number.*nan"),
    "class weight large": ({"class_weight": {1: 10**400}}, r"class_weight\[1\] must be a finite number"),
    "class weight complex": ({"class_weight": {1: np.complex128(2 + 3j)}}, r"class_weight\[1\] must be a finite number"),
    "class zeros": ({"class_weight": {0: 0, 1: 0, 2: 0}}, "class_weight must leave.*positive"),
    "class list": ({"class_weight": [1, 2, 3]}, r"class_weight must be a mapping.*\[1, 2, 3\]"),
    "class word": ({"class_weight": "balance"}, "class_weight must be a mapping.*'balance'"),
    "soft rows": ({"class_weight": "balanced", "y": np.full((N, 3), 1 / 3)}, "class_weight needs classes.*one-hot"),
    "numbers": ({"class_weight": "balanced", "y": np.full((N, 3), 0.5)}, "class_weight needs classes"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_weights(case: str, rng: np.random.Generator) -> None:
    arguments, message = BAD[case]
    trainer = nn.Trainer(make(), "squared_error")
    theta = trainer.model.parameters.copy()
    with pytest.raises((ValueError, TypeError), match=message):
        trainer.fit(rng.standard_normal((N, INPUTS)), arguments.pop("y", LABELS), verbose=0, **arguments)
    assert np.array_equal(trainer.model.parameters, theta)
    assert trainer.epochs_done == trainer.optimizer.step_count == 0


def test_class_weights_of_numbers_are_refused(rng: np.random.Generator) -> None:
    trainer = nn.Trainer(make(1), "squared_error")
    with pytest.raises(ValueError, match=r"labels 0 and 1, or -1 and 1, with one output, got \[0, 1, 2\]"):
        trainer.fit(rng.standard_normal((N, INPUTS)), LABELS, class_weight={1: 2}, verbose=0)
