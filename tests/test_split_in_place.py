"""A validation split copies no data, gives the bits of a copy, and refuses invalid data."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

import nncore as nn

Array = NDArray[Any]

WAYS: dict[str, dict[str, Any]] = {
    "shuffled": {},
    "in order": {"shuffle": False},
    "weights": {"sample_weight": np.linspace(0, 2, 200)},
    "class weights": {"class_weight": {0: 1, 1: 3}},
    "both weights": {"sample_weight": np.linspace(0, 2, 200), "class_weight": "balanced"},
    "largest loss": {"sampler": "largest_loss_first"},
    "importance": {"sampler": "importance_sampling"},
    "stratified": {"sampler": "stratified"},
    "with replacement": {"sampler": "with_replacement"},
    "merged": {"batch_size": 31, "last_batch": "merge"},
    "measured": {"exact_loss": True},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_bits_of_a_copy(way: str, optimizer: str, sparse: bool, rng: np.random.Generator) -> None:
    """Like a fit on copies of both parts, with weights and labels; only a shuffled part is not in the order of the data."""
    arguments = dict(WAYS[way])
    if optimizer == "lbfgs" and (sparse or way not in ("shuffled", "in order", "measured")):
        return
    X, y = rng.normal(size=(200, 4)) * (rng.random((200, 4)) < 0.5), rng.integers(0, 2, 200)
    given = sp.csr_matrix(X) if sparse else X
    histories = []
    train, held_back = nn.data.train_validation_split(X, y, 0.25, seed=0)
    train = np.sort(train) if {"shuffle", "sampler"} & set(arguments) else train
    for split in (True, False):
        model = nn.Sequential([nn.Dense(3), nn.Tanh(), nn.Dense(2)], 4, seed=0)
        trainer = nn.Trainer(model, "softmax_cross_entropy", optimizer, metrics=["accuracy", "squared_error"])
        if split:
            trainer.fit(given, y, epochs=4, validation_split=0.25, verbose=0, **arguments)
        else:
            weights = arguments.pop("sample_weight", None)
            parts = [(given[rows], y[rows], *(() if weights is None else (weights[rows],))) for rows in (train, held_back)]
            w = {} if weights is None else {"sample_weight": parts[0][2]}
            trainer.fit(*parts[0][:2], epochs=4, validation_data=parts[1], verbose=0, **w, **arguments)
        rows = trainer.history.to_dict()
        rows.pop("seconds", None)
        histories.append((rows, trainer.model.parameters.tobytes()))
    assert histories[0] == histories[1]


def test_nothing_is_copied(tmp_path: Path) -> None:
    """40 MB of rows on disk are not loaded."""
    X = np.lib.format.open_memmap(tmp_path / "X.npy", mode="w+", dtype=np.float32, shape=(100_000, 100))
    X[:] = 1
    mapped, y = np.load(tmp_path / "X.npy", mmap_mode="r"), np.arange(100_000) % 2
    trainer = nn.Trainer(nn.Sequential([nn.Dense(2)], 100), "softmax_cross_entropy", metrics=["accuracy"])
    trainer.fit(mapped[:100], y[:100], validation_split=0.2, verbose=0)
    tracemalloc.start()
    trainer.fit(mapped, y, batch_size=1000, validation_split=0.2, verbose=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6


@pytest.mark.parametrize(("n", "k"), [(1000, 10), (1000, 8), (200, 6)])
def test_several_labels_per_example_are_not_stratified(n: int, k: int, rng: np.random.Generator) -> None:
    X, Y = rng.normal(size=(n, 4)), (rng.random((n, k)) < 0.5).astype(float)
    trainer = nn.Trainer(nn.Sequential([nn.Dense(k)], 4), "sigmoid_cross_entropy", "sgd")
    trainer.fit(X, Y, batch_size=1, validation_split=0.1, verbose=0)
    assert trainer.optimizer.step_count == n - n // 10
    P = np.tile(((np.arange(256)[:, None] >> np.arange(8)) & 1).astype(float), (2, 1))  # every pattern twice
    trainer = nn.Trainer(nn.Sequential([nn.Dense(8)], 8), "sigmoid_cross_entropy", "sgd")
    trainer.fit(P, P, batch_size=1, validation_split=0.1, verbose=0)
    assert trainer.optimizer.step_count == 461


@pytest.mark.parametrize("side", ["held back", "trained on"])
def test_a_part_without_any_weight(side: str, rng: np.random.Generator) -> None:
    X, y = rng.normal(size=(80, 5)), np.arange(80) % 2
    train, held_back = nn.data.train_validation_split(X, y, 0.1)
    weights = np.ones(80)
    weights[held_back if side == "held back" else train] = 0
    trainer = nn.Trainer(nn.Sequential([nn.Dense(2)], 5, seed=0), "softmax_cross_entropy")
    with pytest.raises(
        ValueError, match=f"sample_weight must have a positive number among the .* rows .* {side}, got zeros only"
    ):
        trainer.fit(X, y, sample_weight=weights, validation_split=0.1, verbose=0)
    assert not trainer.epochs_done


@pytest.mark.parametrize(("weights", "classes"), [(np.full(4, 1e308), {0: 100}), ([1, 1, 0, 0], {0: 0})])
def test_invalid_products_of_weights(weights: Any, classes: dict[int, float]) -> None:
    trainer = nn.Trainer(nn.Sequential([nn.Dense(2)], 1, seed=0), "softmax_cross_entropy")
    with pytest.raises(ValueError, match="class_weight times sample_weight must be finite, with a positive number"):
        trainer.fit(np.ones((4, 1)), [0, 0, 1, 1], sample_weight=weights, class_weight=classes, verbose=0)


def test_data_that_cannot_be_split() -> None:
    for bad in (5, np.array(1.0), (row for row in [1, 2])):
        with pytest.raises(TypeError, match="X must be an array of rows"):
            nn.data.train_validation_split(bad)
    with pytest.raises(ValueError, match="y must have no missing"):
        nn.data.train_validation_split(np.zeros(3), [1, None, 2])
    with pytest.raises(ValueError, match="y must have no masked cells"):
        nn.data.train_validation_split(np.zeros(3), np.ma.masked_equal([1, 2, 3], 2))
    _, held_back = nn.data.train_validation_split(np.zeros(4), list("abab"), 0.5, stratify=True)
    assert sorted(np.array(list("abab"))[held_back]) == ["a", "b"]


def test_a_batch_of_zero_weight_is_a_step_with_zero_gradient() -> None:
    X, y = np.ones((4, 1)), np.ones(4)
    trainer = nn.Trainer(nn.Sequential([nn.Dense(1, weight_init="zeros")], 1), "squared_error", nn.SGD(lr=0.1))
    trainer.fit(X, y, batch_size=2, shuffle=False, sample_weight=[0, 0, 1, 1], verbose=0)
    assert trainer.optimizer.step_count == 2
    assert trainer.model.parameters.tolist() == pytest.approx([0.1, 0.1])
    with pytest.raises(ValueError, match="sample_weight must have a positive number, got zeros only"):
        trainer.fit(X, y, sample_weight=np.zeros(4), verbose=0)


# User-defined samplers.

ORDERS: dict[str, tuple[Any, str]] = {
    "int32": (lambda n, e: np.tile(np.arange(n, dtype=np.int32), (e, 1)), ""),
    "uint8": (lambda n, e: np.tile(np.arange(n, dtype=np.uint8), (e, 1)), ""),
    "Fortran": (lambda n, e: np.asfortranarray(np.tile(np.arange(n), (e, 1))), ""),
    "lists": (lambda n, e: [list(range(n))] * e, ""),
    "reversed": (lambda n, e: np.tile(np.arange(n)[::-1], (e, 1))[:, ::-1], ""),
    "objects": (lambda n, e: np.tile(np.arange(n), (e, 1)).astype(object), ""),
    "None": (lambda n, e: None, ""),
    "read-only": (lambda n, e: np.broadcast_to(np.arange(n), (e, n)), ""),
    "float64": (lambda n, e: np.tile(np.arange(n) * 1.0, (e, 1)), "got dtype float64"),
    "bool": (lambda n, e: np.ones((e, n), bool), "got dtype bool"),
    "too short": (lambda n, e: np.tile(np.arange(n - 1), (e, 1)), "got shape"),
    "too long": (lambda n, e: np.tile(np.arange(n + 1), (e, 1)), "got shape"),
    "flat": (lambda n, e: np.arange(n), "got shape"),
    "empty": (lambda n, e: np.empty((e, 0), int), "got shape"),
    "one number": (lambda n, e: 3, "got shape"),
    "out of range": (lambda n, e: np.full((e, n), n), "got numbers from"),
    "negative": (lambda n, e: np.full((e, n), -1), "got numbers from"),
    "huge": (lambda n, e: np.full((e, n), 2**64 - 1, np.uint64), "got numbers from"),
    "very negative": (lambda n, e: np.full((e, n), -(2**63)), "got numbers from"),
    "NaN": (lambda n, e: np.full((e, n), np.nan), "got dtype float64"),
    "text": (lambda n, e: "abc", "must hold real numbers"),
    "a generator": (lambda n, e: (i for i in range(n)), "generator"),
    "ragged": (lambda n, e: [[1], [1, 2]], "must be an array"),
}


@pytest.mark.parametrize("kind", ORDERS)
@pytest.mark.parametrize("hook", ["orders", "order"])
@pytest.mark.parametrize("split", [0.0, 0.25])
def test_results_of_a_user_defined_sampler(kind: str, hook: str, split: float, rng: np.random.Generator) -> None:
    make, message = ORDERS[kind]
    if hook == "order" and kind in ("None", "flat", "ragged"):
        return

    class Own(nn.samplers.Sampler):
        if hook == "orders":

            def orders(self, examples: Any, done: int, epochs: int) -> Any:
                return make(examples.count, epochs)
        else:

            def order(self, examples: Any, epoch: int) -> Any:
                table = make(examples.count, 1)
                return table[0] if np.ndim(table) == 2 else table

    X, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
    trainer, twin = (nn.Trainer(nn.Sequential([nn.Dense(2)], 3, seed=0), "softmax_cross_entropy") for _ in range(2))
    before = trainer.model.parameters.copy()
    run = {"epochs": 3, "validation_split": split, "verbose": 0}
    if message:
        with pytest.raises((ValueError, TypeError), match=rf"Own\(\).*{message}" if "got" in message else message):
            trainer.fit(X, y, sampler=Own(), **run)
        assert np.array_equal(trainer.model.parameters, before)
    else:
        trainer.fit(X, y, sampler=Own(), **run)
        twin.fit(X, y, shuffle=False, **run)
        assert np.array_equal(trainer.model.parameters, twin.model.parameters)


FACTORS: dict[str, tuple[Any, str]] = {
    "None": (None, "got None"),
    "too few": (np.ones(3), r"must have shape \(60,\)"),
    "negative": (-np.ones(60), "at least 0"),
    "NaN": (np.full(60, np.nan), "finite"),
    "infinite": (np.full(60, np.inf), "finite"),
    "zeros": (np.zeros(60), "positive number"),
    "text": (["a"] * 60, "real numbers"),
    "a number": (1.0, r"must have shape \(60,\)"),
    "rows": (np.ones((60, 1)), r"must have shape \(60,\)"),
}


@pytest.mark.parametrize("kind", FACTORS)
def test_wrong_factors_of_a_sampler(kind: str, rng: np.random.Generator) -> None:
    class Own(nn.samplers.Shuffled):
        reweights = True

        def factors(self, examples: Any) -> Any:
            return FACTORS[kind][0]

    trainer = nn.Trainer(nn.Sequential([nn.Dense(2)], 3, seed=0), "softmax_cross_entropy")
    before = trainer.model.parameters.copy()
    with pytest.raises((ValueError, TypeError), match=rf"factors of Own\(\) .*{FACTORS[kind][1]}"):
        trainer.fit(rng.normal(size=(60, 3)), rng.integers(0, 2, 60), sampler=Own(), verbose=0)
    assert np.array_equal(trainer.model.parameters, before)


def test_a_table_that_changes_during_a_run(rng: np.random.Generator) -> None:
    """A sampler whose table is written to while steps run: the steps use the table as returned."""
    table = np.tile(np.arange(60), (1, 1))

    class Own(nn.samplers.Sampler):
        uses_losses = True  # one epoch at a time

        def orders(self, examples: Any, done: int, epochs: int) -> Any:
            return table

    class Spoil(nn.Layer):
        def forward(self, x: Array, training: bool) -> Array:
            if training:
                table[...] = 10**9
            return x

        def backward(self, dy: Array) -> Array:
            return dy

    trainer = nn.Trainer(nn.Sequential([Spoil(), nn.Dense(2)], 3, seed=0), "softmax_cross_entropy")
    with pytest.raises(ValueError, match="got numbers from 1000000000"):
        trainer.fit(rng.normal(size=(60, 3)), rng.integers(0, 2, 60), epochs=2, batch_size=5, sampler=Own(), verbose=0)
    assert trainer.optimizer.step_count == 12


@pytest.mark.parametrize("scale", [1e308, 1e-300, 5e-324, 1.0])
def test_weights_whose_sum_overflows(scale: float) -> None:
    sampler = nn.samplers.Weighted(np.full(1000, scale))
    order = sampler.order(nn.samplers.Examples(1000, 0), 1)
    assert np.array_equal(order, nn.samplers.Weighted(np.ones(1000)).order(nn.samplers.Examples(1000, 0), 1))
    p = nn.samplers.ImportanceSampling(0.5).probabilities(np.full(1000, scale))
    assert np.allclose(p, 1e-3, rtol=1e-12)


def test_the_weights_of_a_sampler_are_its_configuration() -> None:
    sampler = nn.samplers.Weighted([1, 2])
    assert sampler.config() == {"weights": [1.0, 2.0]}
    assert nn.samplers.Weighted(**sampler.config()).weights.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        sampler.weights[0] = -1
    with pytest.raises(ValueError, match="weights must be finite and at least 0"):
        sampler.weights = [-1, 2]
    assert sampler.weights.tolist() == [1, 2]


def test_a_sparse_matrix_with_fewer_row_pointers_than_rows() -> None:
    X = sp.csr_matrix(np.eye(4))
    X.indptr = X.indptr[:3]
    with pytest.raises(ValueError, match=r"X must be a valid sparse matrix.*\(4, 4\)"):
        nn.Sequential([nn.Dense(1)], 4).predict(X)
