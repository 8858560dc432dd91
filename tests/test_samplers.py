"""Samplers: the examples they choose, which depend on seed and epoch only, and whole trainings against NumPy loops."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import nncore as nn
from nncore import samplers
from nncore.samplers import SAMPLERS, Examples, ImportanceSampling, Sampler, Stratified, Weighted, WithReplacement

Array = NDArray[Any]

ALL = {name: (lambda name=name: SAMPLERS[name]()) for name in SAMPLERS if name != "weighted"}
ALL["weighted"] = lambda: Weighted(np.arange(60) % 7)
each_sampler = pytest.mark.parametrize("name", ALL)
ONCE = ("sequential", "shuffled", "stratified", "largest_loss_first")


def examples(n: int = 60, seed: int = 0) -> Examples:
    rng = np.random.default_rng(9)
    return Examples(n, seed, rng.choice(3, n, p=[0.6, 0.3, 0.1]), rng.exponential(size=n))


def orders(sampler: Sampler, some: Examples, first: int = 0, epochs: int = 1) -> Array:
    table = sampler.orders(some, first, epochs)
    return np.tile(np.arange(some.count), (epochs, 1)) if table is None else table


@each_sampler
def test_orders_depend_on_seed_and_epoch_alone(name: str) -> None:
    together = orders(ALL[name](), examples(), 3, 4)
    assert together.shape == (4, 60)
    assert together.dtype == np.int64
    for epoch in range(4):
        assert np.array_equal(orders(ALL[name](), examples(), 3 + epoch)[0], together[epoch])
        assert np.array_equal(ALL[name]().order(examples(), 4 + epoch), together[epoch])  # epochs are counted from 1
    if name not in ("sequential", "largest_loss_first"):
        assert len({row.tobytes() for row in together}) == 4
        assert not np.array_equal(orders(ALL[name](), examples(seed=1), 3, 4), together)
    orders(ALL[name](), examples(seed=2**64 - 1), 2**40)


@each_sampler
def test_each_example_once(name: str) -> None:
    once = all(np.array_equal(np.sort(row), np.arange(60)) for row in orders(ALL[name](), examples(), 0, 5))
    assert once == (name in ONCE)


@each_sampler
def test_one_example(name: str) -> None:
    one = Examples(1, 0, np.zeros(1, dtype=np.int64), np.zeros(1))
    sampler = Weighted([2.0]) if name == "weighted" else ALL[name]()
    assert orders(sampler, one).tolist() == [[0]]


def frequencies(sampler: Sampler, some: Examples, epochs: int = 2000) -> Array:
    return np.bincount(orders(sampler, some, 0, epochs).ravel(), minlength=some.count) / (some.count * epochs)


def assert_frequencies(got: Array, want: Array, draws: int) -> None:
    """Each within 4.5 standard deviations of a binomial, which one of 60 exceeds once in 2500 runs; the seed is fixed."""
    assert (np.abs(got - want) <= 4.5 * np.sqrt(want * (1 - want) / draws)).all()


def test_probabilities_of_the_draws() -> None:
    some = examples()
    n, draws = some.count, some.count * 2000
    assert_frequencies(frequencies(WithReplacement(), some), np.full(n, 1 / n), draws)
    w = np.arange(60) % 7
    assert_frequencies(frequencies(Weighted(w), some), w / w.sum(), draws)
    assert not frequencies(Weighted(w), some)[w == 0].any()
    sampler = ImportanceSampling(mix=0.3)
    p = 0.7 * some.losses / some.losses.sum() + 0.3 / n  # type: ignore[operator, union-attr]
    assert np.allclose(sampler.probabilities(some.losses), p, rtol=1e-14)  # type: ignore[arg-type]
    assert_frequencies(frequencies(sampler, some), p, draws)
    assert np.abs(p - 1 / n).max() * np.sqrt(draws) > 4.5  # the test could distinguish them from equal ones


def test_a_draw_at_the_edge_of_two_intervals() -> None:
    """u in [0, 1): interval i is [w_0 + … + w_{i−1}, w_0 + … + w_i) / Σw, and a weight of 0 has none."""
    weights, below = np.array([0.0, 1.0, 1.0, 0.0, 2.0, 0.0]), np.nextafter(np.array([0.25, 0.5, 1.0]), 0)
    got = samplers._draw(weights, np.concatenate([[0.0, 0.25, 0.5], below]))
    assert got.tolist() == [1, 2, 4, 1, 2, 4]


def test_the_largest_loss_comes_first() -> None:
    some = examples()
    assert some.losses is not None
    order = orders(ALL["largest_loss_first"](), some)[0]
    assert (np.diff(some.losses[order]) < 0).all()


def test_draws_are_independent() -> None:
    """Of 60 draws from 60 examples (1 − 1/60)^60 are not taken on the average: a permutation would leave out none."""
    table = orders(WithReplacement(), examples(), 0, 2000)
    missing = np.mean([60 - len(set(row)) for row in table.tolist()])
    assert missing == pytest.approx(60 * (1 - 1 / 60) ** 60, abs=4 * np.sqrt(6 / 2000))


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=6), batch=st.integers(1, 30), seed=st.integers(0, 99),
    epoch=st.integers(1, 100),
)  # fmt: skip
def test_stratified_batches_have_the_proportions_of_the_classes(counts: list[int], batch: int, seed: int, epoch: int) -> None:
    """Places are those of (rank + u)/n_c in order: the count of a class up to a position is off by less than 1 + k n_c/n."""
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    n = len(y)
    order = Stratified().order(Examples(n, seed, y), epoch)
    assert np.array_equal(np.sort(order), np.arange(n))
    for label, count in enumerate(counts):
        so_far = np.cumsum(y[order] == label)
        bound = 1 + len(counts) * count / n
        assert (np.abs(so_far - np.arange(1, n + 1) * count / n) <= bound).all()


def test_stratified_is_steadier_than_shuffled() -> None:
    y = (np.arange(1000) % 10 == 0).astype(np.int64)
    spread = {}
    for name in ("stratified", "shuffled"):
        table = orders(SAMPLERS[name](), Examples(1000, 0, y), 0, 20)
        in_batch = y[table].reshape(-1, 50).sum(axis=1)
        spread[name] = in_batch.std()
        assert in_batch.mean() == 5
    assert spread["stratified"] < 0.5
    assert spread["shuffled"] == pytest.approx(np.sqrt(50 * 0.1 * 0.9), rel=0.15)


def test_importance_weights_make_the_mean_unbiased(rng: np.random.Generator) -> None:
    """Σ p_i w_i g_i = Σ g_i / n, and no weight is above 1/mix."""
    some, g = examples(), rng.standard_normal((60, 5))
    for mix in (0.1, 0.5, 1.0):
        sampler = ImportanceSampling(mix)
        assert some.losses is not None
        p, w = sampler.probabilities(some.losses), sampler.factors(some)
        assert np.allclose(p @ (w[:, None] * g), g.mean(axis=0), rtol=1e-12)
        assert w.max() <= (1 + 1e-12) / mix
        assert p.sum() == pytest.approx(1, rel=1e-13)
    assert np.array_equal(ImportanceSampling(0.5).probabilities(np.zeros(4)), np.full(4, 0.25))
    assert np.array_equal(ImportanceSampling(1.0).probabilities(np.array([1.0, 3.0])), [0.5, 0.5])


# Whole trainings: logistic regression in NumPy.

N, BATCH = 60, 16


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[Array, Array]:
    X = rng.standard_normal((N, 3))
    return X, (X @ [1.0, -2.0, 0.5] + rng.standard_normal(N) > 0).astype(int)


def make(dtype: str = "float64") -> nn.Sequential:
    return nn.Sequential([nn.Dense(1)], input_shape=3, dtype=dtype, seed=1)


def fit(data: tuple[Array, Array], sampler: Any, epochs: int = 4, **kw: Any) -> nn.Trainer:
    trainer = nn.Trainer(make(kw.pop("dtype", "float64")), "sigmoid_cross_entropy", nn.SGD(lr=0.7), seed=5)
    trainer.fit(*data, sampler=sampler, epochs=epochs, batch_size=BATCH, verbose=0, **kw)
    return trainer


def numpy_losses(theta: Array, X: Array, y: Array) -> tuple[Array, Array]:
    """Loss and gradient (n, 4) of each example; θ is w₁, w₂, w₃, b."""
    z = X @ theta[:3] + theta[3]
    return np.logaddexp(0, z) - y * z, (1 / (1 + np.exp(-z)) - y)[:, None] * np.column_stack([X, np.ones(len(X))])


def numpy_training(data: tuple[Array, Array], sampler: Sampler, weights: Array, epochs: int = 4) -> tuple[Array, list[float]]:
    X, y = data
    theta, running = make().parameters.copy(), []
    last = weights * numpy_losses(theta, X, y)[0]
    for epoch in range(epochs):
        some = Examples(N, 5, y, last.copy())
        order, total = orders(sampler, some, epoch)[0], 0.0
        factor = 1 / (N * sampler.probabilities(some.losses)) if isinstance(sampler, ImportanceSampling) else np.ones(N)
        for start in range(0, N, BATCH):
            rows = order[start : start + BATCH]
            losses, gradients = numpy_losses(theta, X[rows], y[rows])
            last[rows] = weights[rows] * losses
            total += (factor * weights)[rows] @ losses
            theta = theta - 0.7 * (factor * weights)[rows] @ gradients / len(rows)
        running.append(total / N)
    return theta, running


@pytest.mark.parametrize("weighted", [False, True])
@each_sampler
def test_against_a_numpy_loop(name: str, weighted: bool, data: tuple[Array, Array], rng: np.random.Generator) -> None:
    """The losses that a sampler gets are the last of each example, sample weight included."""
    weights = rng.uniform(0.2, 2, N) if weighted else np.ones(N)
    theta, running = numpy_training(data, ALL[name](), weights)
    trainer = fit(data, ALL[name](), sample_weight=weights if weighted else None)
    assert np.allclose(trainer.model.parameters, theta, rtol=1e-11, atol=1e-12)
    assert np.allclose(trainer.history["running_loss"], running, rtol=1e-11)


def test_shorthands(data: tuple[Array, Array]) -> None:
    for short, sampler in ((True, "shuffled"), (False, samplers.Sequential())):
        want = fit(data, None, shuffle=short).model.parameters.tobytes()
        assert fit(data, sampler).model.parameters.tobytes() == want
    assert fit(data, "stratified").history == fit(data, Stratified()).history
    assert fit(data, "stratified").history != fit(data, "shuffled").history


@each_sampler
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fit_by_parts_and_from_a_checkpoint_gives_the_same_bits(
    name: str, dtype: str, data: tuple[Array, Array], tmp_path: Path
) -> None:
    whole = fit(data, ALL[name](), 6, dtype=dtype)
    part = fit(data, ALL[name](), 2, dtype=dtype)
    part.save(tmp_path / "checkpoint")
    resumed = nn.Trainer(make(dtype), "sigmoid_cross_entropy", nn.SGD(lr=0.7), seed=0)
    resumed.restore(tmp_path / "checkpoint")
    for trainer in (part, resumed):
        trainer.fit(*data, sampler=ALL[name](), epochs=4, batch_size=BATCH, verbose=0)
        assert trainer.model.parameters.tobytes() == whole.model.parameters.tobytes()
        assert trainer.history == whole.history


def test_other_data_is_evaluated_again(data: tuple[Array, Array]) -> None:
    X, y = data
    trainer = fit(data, "largest_loss_first", 2)
    other = fit(data, "shuffled", 0 + 1)
    other.model.parameters[...] = trainer.model.parameters
    other.epochs_done = trainer.epochs_done
    for t in (trainer, other):
        t.fit(X, 1 - y, sampler="largest_loss_first", batch_size=BATCH, verbose=0)
    assert trainer.model.parameters.tobytes() == other.model.parameters.tobytes()


@each_sampler
def test_same_bits_for_any_number_of_threads(name: str, rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((300, 70)), rng.integers(0, 5, 300)
    before, bits = nn.get_num_threads(), set()
    sampler = Weighted(rng.uniform(size=300)) if name == "weighted" else ALL[name]()
    try:
        for threads in (1, 2, 3):
            nn.set_num_threads(threads)
            model = nn.Sequential([nn.Dense(90), nn.ReLU(), nn.Dense(5)], input_shape=70, seed=0)
            trainer = nn.Trainer(model, "softmax_cross_entropy", "adam", clip=nn.ClipNorm(0.3))
            trainer.fit(X, y, epochs=3, batch_size=96, sampler=sampler, class_weight="balanced", verbose=0)
            assert all(
                compiled.compiled.parallel for key, compiled in trainer._compiled._kept.items() if "train" in key[0].__name__
            )
            bits.add(model.parameters.tobytes() + b"".join(trainer.history[c].tobytes() for c in trainer.history))
    finally:
        nn.set_num_threads(before)
    assert len(bits) == 1


def test_stratified_of_a_validation_split_and_one_hot_rows(data: tuple[Array, Array]) -> None:
    X, y = data
    labels = fit((X, y), "stratified", validation_split=0.25)
    column = fit((X, y[:, None]), "stratified", validation_split=0.25)
    assert labels.model.parameters.tobytes() == column.model.parameters.tobytes()


# What is refused.


class Broken(Sampler):
    def __init__(self, order: Array) -> None:
        self._order = order

    def order(self, examples: Examples, epoch: int) -> Array:
        return self._order

    def __repr__(self) -> str:
        return "Broken()"


BAD: dict[str, tuple[Any, str]] = {
    "name": ("random", "sampler must be a Sampler or one of sequential.*'random'"),
    "class": (Stratified, "sampler must be a Sampler"),
    "needs weights": ("weighted", "sampler must be a Sampler or one of"),
    "length": (Weighted(np.ones(7)), r"weights of the sampler must have shape \(60,\).*\(7,\)"),
    "out of range": (Broken(np.arange(1, 61)), r"Broken\(\) must fill 60 places with examples from 0 to 59"),
    "negative": (Broken(np.arange(-1, 59)), r"Broken\(\) must fill 60 places"),
    "too few": (Broken(np.arange(59)), r"Broken\(\) must fill 60 places"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_samplers(case: str, data: tuple[Array, Array]) -> None:
    sampler, message = BAD[case]
    trainer = nn.Trainer(make(), "sigmoid_cross_entropy")
    theta = trainer.model.parameters.copy()
    with pytest.raises(ValueError, match=message):
        trainer.fit(*data, sampler=sampler, verbose=0)
    assert np.array_equal(trainer.model.parameters, theta)


def test_bad_arguments(data: tuple[Array, Array]) -> None:
    trainer = nn.Trainer(make(), "squared_error")
    with pytest.raises(ValueError, match="shuffle=False and a sampler exclude each other"):
        trainer.fit(*data, sampler="shuffled", shuffle=False, verbose=0)
    with pytest.raises(TypeError, match="shuffle must be True or False, got 'batch'"):
        trainer.fit(*data, shuffle="batch", verbose=0)
    with pytest.raises(ValueError, match=r"sampler Stratified.* needs classes"):
        trainer.fit(data[0], data[0][:, 0], sampler="stratified", verbose=0)
    for mix in (0, 1.5, -0.1, np.nan):
        with pytest.raises(ValueError, match="mix"):
            ImportanceSampling(mix)
    for weights in ([], [-1.0, 2.0], [0.0, 0.0], [np.nan]):
        with pytest.raises(ValueError, match="weights must"):
            Weighted(weights)


@pytest.mark.parametrize(
    "assign", [lambda t, loss: setattr(t, "loss", loss), lambda t, loss: setattr(t.loss, "function", loss)]
)
def test_last_losses_are_those_of_the_present_loss(assign: Any) -> None:
    seen = []

    class Watched(samplers.LargestLossFirst):
        def order(self, examples: Examples, epoch: int) -> Array:
            assert examples.losses is not None
            seen.append(examples.losses.copy())
            return super().order(examples, epoch)

    def constant(value: float) -> Any:
        return lambda y, d: (np.full(len(y), value), np.zeros_like(y))

    trainer = nn.Trainer(nn.Sequential([nn.Dense(1)], 2), constant(1.0))
    for value in (1.0, 50.0):
        assign(trainer, constant(value))
        trainer.fit(np.ones((5, 2)), np.ones(5), sampler=Watched(), verbose=0)
    assert np.array_equal(seen, [[1.0] * 5, [50.0] * 5])
