"""The rows that ``validation_split`` holds out."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn

Array = NDArray[Any]


def split_seen(y: Array, n_outputs: int, loss: str, **kw: Any) -> tuple[Array, Array]:
    """Row numbers that a fit with ``validation_split`` trained on, and those it held out."""
    trained: set[int] = set()
    held_back: set[int] = set()

    class Look(nn.Layer):
        def forward(self, x: Array, training: bool) -> Array:
            (trained if training else held_back).update(x[:, 0].astype(int).tolist())
            return x

        def backward(self, dy: Array) -> Array:
            return dy

    model = nn.Sequential([Look(), nn.Dense(n_outputs, weight_init="zeros")], input_shape=1, dtype="float64")
    trainer = nn.Trainer(model, loss, nn.SGD(lr=0.0), seed=kw.pop("seed", 0))
    history = trainer.fit(np.arange(len(y))[:, None], y, verbose=0, **kw)
    assert "val_loss" in history
    return np.sort(list(trained)), np.sort(list(held_back))


TWO = np.repeat([0, 1], [180, 20])
STRATIFIED: dict[str, tuple[Array, int, str]] = {
    "labels": (np.repeat([0, 1, 2], [50, 100, 50]), 3, "softmax_cross_entropy"),
    "labels as one-hot rows": (np.eye(3)[np.repeat([0, 1, 2], [50, 100, 50])], 3, "softmax_cross_entropy"),
    "labels for another loss": (np.repeat([0, 1, 2], [50, 100, 50]), 3, "squared_error"),
    "two classes, one output": (TWO, 1, "sigmoid_cross_entropy"),
    "two classes ±1": (2 * TWO - 1, 1, "hinge"),
}


@pytest.mark.parametrize("kind", STRATIFIED)
def test_validation_split_is_stratified_and_shuffled(kind: str) -> None:
    y, outputs, loss = STRATIFIED[kind]
    for seed in (0, 1, 2):
        train, held_back = split_seen(y, outputs, loss, validation_split=0.2, seed=seed)
        assert np.array_equal(np.sort(np.concatenate([train, held_back])), np.arange(200))
        classes = np.unique(y, axis=0)
        counts = [((y[held_back] == c).reshape(40, -1).all(axis=1)).sum() for c in classes]
        assert counts == [((y == c).reshape(200, -1).all(axis=1)).sum() // 5 for c in classes]
        assert not np.array_equal(held_back, np.arange(160, 200))


def test_validation_split_of_numbers_is_shuffled_and_repeatable(rng: np.random.Generator) -> None:
    y = rng.standard_normal(50)
    train, held_back = split_seen(y, 1, "squared_error", validation_split=0.3)
    assert (len(train), len(held_back)) == (35, 15)
    assert held_back.min() < 35
    assert np.array_equal(held_back, split_seen(y, 1, "squared_error", validation_split=0.3, epochs=3)[1])
    assert not np.array_equal(held_back, split_seen(y, 1, "squared_error", validation_split=0.3, seed=1)[1])


@pytest.mark.parametrize(
    "kind", ["list", "array", "StringDType", "bytes", "column", "Series", "category", "DataFrame", "polars"]
)
def test_text_in_any_container_is_stratified(kind: str) -> None:
    text = list("ääb") * 10
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    series = pandas.Series(text)
    containers = {
        "list": text, "array": np.array(text), "StringDType": np.array(text, np.dtypes.StringDType()),
        "bytes": np.array([one.encode() for one in text]), "column": np.array(text)[:, None],
        "Series": series, "category": series.astype("category"), "DataFrame": pandas.DataFrame({"y": text}),
        "polars": polars.Series(text),
    }  # fmt: skip
    train, validation = nn.data.train_validation_split(np.zeros((30, 1)), containers[kind], stratify=True)
    expected = nn.data.train_validation_split(np.zeros((30, 1)), np.array(text) == "b", stratify=True)
    assert np.array_equal(train, expected[0])
    assert np.array_equal(validation, expected[1])


def test_masked_labels_are_refused() -> None:
    with pytest.raises((TypeError, ValueError), match="y must"):
        nn.data.train_validation_split(np.zeros((4, 1)), np.ma.masked_array([0, 1, 0, 1], [0, 0, 0, 1]), stratify=True)


class Backwards(nn.samplers.Sampler):
    """The last row first."""

    def order(self, examples: Any, epoch: int) -> Array:
        return np.arange(examples.count)[::-1]


@pytest.mark.parametrize("members", [0, 2])
@pytest.mark.parametrize(
    ("way", "step"), [({"shuffle": False}, 1), ({"sampler": Backwards()}, -1)], ids=["in order", "backwards"]
)
def test_rows_that_are_trained_on_keep_the_order_of_the_data(way: dict[str, Any], step: int, members: int) -> None:
    """Time series, say, with ``shuffle=False``: which rows are held back is random, the order of the others is not."""
    seen: list[int] = []

    def loss(outputs: Array, targets: Array) -> tuple[Array, Array]:
        seen.extend(targets.ravel().astype(int).tolist())
        return np.zeros(len(outputs)), np.zeros_like(outputs)

    network: Any = nn.Sequential([nn.Dense(1)], input_shape=1, dtype="float64")
    trainer = nn.Trainer(nn.Ensemble(network, members) if members else network, loss, "sgd")
    trainer.fit(np.ones((40, 1)), np.arange(40.0), batch_size=7, validation_split=0.25, verbose=0, **way)
    trained = seen[:30]
    assert trained == sorted(trained)[::step]
    assert len(set(trained)) == 30
    assert trained[::step] != list(range(30))
