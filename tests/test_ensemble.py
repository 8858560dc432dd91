"""Members of an ensemble have the bits that they have alone: parameters, state and history."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from helpers.configuration import arguments
from helpers.ensembles import same
from helpers.layers import OF_SEQUENCES, followed

import nncore as nn
from nncore import layers, losses, optimizers, samplers

MEMBERS = 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 90)
XV, YV = RNG.normal(size=(40, 6)).astype(np.float32), RNG.integers(0, 3, 40)
SOFTMAX = "softmax_cross_entropy"


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = nn.get_num_threads()
    nn.set_num_threads(2)
    yield
    nn.set_num_threads(before)


def net(seed: int = 0, *inside: nn.Layer, dtype: str = "float32", units: int = 7) -> nn.Sequential:
    return nn.Sequential([nn.Dense(units), *inside, nn.Tanh(), nn.Dense(3)], input_shape=6, seed=seed, dtype=dtype)


def check(
    model: Callable[[int], nn.Sequential], trainer: Callable[..., Any], fit: Callable[[], dict[str, Any]] = dict,
    data: tuple[Any, Any] = (X, Y), epochs: int = 2, rows: Callable[[int], Any] | None = None,
) -> nn.EnsembleTrainer:  # fmt: skip
    """Compare the members with models alone: ``model(seed)``; ``trainer(model, seed, member)``; ``fit()``, other arguments."""
    together = trainer(nn.Ensemble(model(4), MEMBERS), 9, None)
    subsets = {} if rows is None else {"subsets": [rows(k) for k in range(MEMBERS)]}
    history = together.fit(*data, epochs=epochs, verbose=0, **{"batch_size": 16, **fit(), **subsets})
    for k in range(MEMBERS):
        alone = trainer(model(4 + k), 9 + k, k)
        own = data if rows is None else tuple(part[rows(k)] for part in data)
        alone.fit(*own, epochs=epochs, verbose=0, **{"batch_size": 16, **fit()})
        assert same(alone, together, k)
    assert history is together.history
    return together


# Everything that a trainer is made of.


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_optimizers(name: str) -> None:
    cls = optimizers.OPTIMIZERS[name]
    fit = {"batch_size": 90} if cls.full_batch_only else {}
    if cls.lazy:
        sparse = scipy.sparse.csr_matrix(np.where(np.abs(X) > 1, X, 0))
        check(sparse_net, lambda model, seed, k: nn.Trainer(model, SOFTMAX, cls(), seed=seed), data=(sparse, Y))
    else:
        check(net, lambda model, seed, k: nn.Trainer(model, SOFTMAX, cls(**arguments(cls)), seed=seed), lambda: fit)


@pytest.mark.parametrize("name", optimizers.WRAPPERS)
def test_wrappers(name: str) -> None:
    cls = optimizers.WRAPPERS[name]
    check(net, lambda model, seed, k: nn.Trainer(model, SOFTMAX, cls(**arguments(cls) | {"optimizer": nn.Adam()}), seed=seed))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name in layers.LAYERS if name not in ("dense", "sparse_dense")])
def test_layers(name: str, dtype: str) -> None:
    cls = layers.LAYERS[name]

    def model(seed: int) -> nn.Sequential:
        parts = [*[nn.Dense(8)] * (not of_sequences), *followed(cls(**arguments(cls))), nn.Dense(3)]
        return nn.Sequential(parts, input_shape=(3, 2) if of_sequences else 6, seed=seed, dtype=dtype)

    of_sequences = issubclass(cls, OF_SEQUENCES)
    data = X.reshape((-1, 3, 2) if of_sequences else (-1, 6)).astype(dtype), Y
    check(model, lambda model, seed, k: nn.Trainer(model, SOFTMAX, nn.SGD(0.05), metrics=["accuracy"], seed=seed), data=data)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_losses(name: str) -> None:
    targets: Any = np.abs(RNG.normal(size=(90, 3)))
    if name in ("softmax_cross_entropy", "kl_divergence", "binary_cross_entropy", "sigmoid_cross_entropy"):
        targets /= targets.sum(axis=1, keepdims=True)
    if name == "hinge":
        targets = np.sign(RNG.normal(size=(90, 3)))
    probable = name in ("kl_divergence", "binary_cross_entropy")

    def model(seed: int) -> nn.Sequential:
        last = [nn.Softmax() if name == "kl_divergence" else nn.Sigmoid()] * probable
        return nn.Sequential([nn.Dense(5), nn.Tanh(), nn.Dense(3), *last], input_shape=6, seed=seed)

    check(
        model,
        lambda model, seed, k: nn.Trainer(model, name, nn.SGD(0.01), metrics=["squared_error"], seed=seed),
        data=(X, targets),
    )


def sparse_net(seed: int) -> nn.Sequential:
    return nn.Sequential([nn.SparseDense(5), nn.Tanh(), nn.Dense(3)], input_shape=6, seed=seed)


@pytest.mark.parametrize("optimizer", [lambda: nn.SGD(0.5), lambda: nn.EMA(nn.AdaGrad(0.1)), lambda: nn.Adam()])
@pytest.mark.parametrize("regularizer", [None, nn.L2(1e-3), nn.ProximalL1(1e-4)])
def test_wide_sparse_data(optimizer: Any, regularizer: Any) -> None:
    """Weights that are caught up later."""
    S = scipy.sparse.random(90, 40_000, density=2e-4, format="csr", random_state=0, dtype=np.float32)

    def model(seed: int) -> nn.Sequential:
        return nn.Sequential([nn.SparseDense(2), nn.Tanh(), nn.Dense(3)], input_shape=40_000, seed=seed)

    def trainer(model: Any, seed: int, k: Any) -> Any:
        return nn.Trainer(model, SOFTMAX, optimizer(), regularizer=regularizer, seed=seed)

    check(model, trainer, data=(S, Y))


PARTS: list[dict[str, Any]] = [
    {"clip": nn.ClipGlobalNorm(0.1)}, {"clip": nn.ClipNorm(0.1)}, {"clip": nn.ClipValue(0.01)},
    {"regularizer": nn.L1(1e-3)}, {"regularizer": nn.ElasticNet(1e-3, 1e-2)}, {"regularizer": nn.ProximalL1(1e-3)},
    {"regularizer": {"dense_1": nn.L2(0.1)}, "constraint": nn.MaxNorm(1.0)}, {"constraint": {"dense_2": nn.NonNegative()}},
    {"lr_factors": {"dense_1": 0.0, "*.bias": 2.0}}, {"metrics": ["accuracy", "squared_error"]},
]  # fmt: skip


@pytest.mark.parametrize("parts", PARTS, ids=str)
def test_parts(parts: dict[str, Any]) -> None:
    check(net, lambda model, seed, k: nn.Trainer(model, SOFTMAX, nn.Nesterov(0.1), seed=seed, **parts))


def test_decay_factors() -> None:
    check(net, lambda model, seed, k: nn.Trainer(model, SOFTMAX, nn.AdamW(), decay_factors={"dense_1": 0.5}, seed=seed))


@pytest.mark.parametrize("per", ["step", "epoch"])
def test_schedules(per: Any) -> None:
    def trainer(model: Any, seed: int, k: Any) -> Any:
        return nn.Trainer(model, SOFTMAX, nn.Adam(lr=nn.schedules.Exponential(0.1, 0.9, per=per)), seed=seed)

    together = check(net, trainer, epochs=3)
    assert len(set(together.history["lr"][:, 0])) == 3


def test_scheduled_layers() -> None:
    def model(seed: int) -> nn.Sequential:
        renorm = nn.BatchRenorm(r_max=nn.schedules.PiecewiseConstant([5], [1.0, 3.0]), d_max=0.0)
        return nn.Sequential([nn.Dense(5), renorm, nn.Dense(3)], input_shape=6, seed=seed)

    check(model, lambda model, seed, k: nn.Trainer(model, SOFTMAX, nn.Adam(), seed=seed))


# Everything that `fit` takes.


W = RNG.uniform(0, 2, 90)
CALLS: list[Callable[[], dict[str, Any]]] = [
    lambda: {"accumulate": 2}, lambda: {"last_batch": "drop"}, lambda: {"batch_size": 89, "last_batch": "merge"},
    lambda: {"shuffle": False}, lambda: {"sample_weight": W}, lambda: {"class_weight": "balanced"}, lambda: {"batch_size": 90},
    lambda: {"batch_size": 7}, lambda: {"validation_data": (XV, YV)}, lambda: {"exact_loss": True, "class_weight": {0: 2.0}},
    lambda: {"validation_data": (XV, YV, np.arange(40)), "exact_loss": True},
    *[lambda name=name: {"sampler": name} for name in samplers.SAMPLERS if name != "weighted"],
    lambda: {"sampler": nn.samplers.Weighted(W)}, lambda: {"sampler": "importance_sampling", "sample_weight": W},
    lambda: {"sampler": "stratified", "last_batch": "drop"},
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS, ids=lambda call: str(next(iter(call().items())))[:40])
def test_calls(call: Callable[[], dict[str, Any]]) -> None:
    def trainer(model: Any, seed: int, k: Any) -> Any:
        return nn.Trainer(model, SOFTMAX, nn.Adam(lr=0.01), regularizer=nn.L2(1e-3), metrics=["accuracy"], seed=seed)

    check(lambda seed: net(seed, nn.BatchNorm(), nn.Dropout(0.2)), trainer, call, epochs=3)


@pytest.mark.parametrize(
    "call", [dict, lambda: {"sampler": "importance_sampling"}, lambda: {"sampler": nn.samplers.Weighted(W)}]
)
@pytest.mark.parametrize("size", [30, 90, 17])
def test_subsets(size: int, call: Any) -> None:
    """As alone on these rows, some of them twice. Sizes differ from member to member."""

    def rows(k: int) -> Any:
        if call().get("sampler") == "importance_sampling":  # which needs different rows
            return np.random.default_rng(k).permutation(90)[: size - k]
        return np.random.default_rng(k).integers(0, 90, size + k)

    def fit() -> dict[str, Any]:
        return {"validation_data": (XV, YV)}

    if "sampler" not in call():
        check(net, lambda model, seed, k: nn.Trainer(model, SOFTMAX, nn.Adam(), seed=seed), fit, rows=rows)
        return
    together = nn.Trainer(nn.Ensemble(net(4), MEMBERS), SOFTMAX, nn.Adam(), seed=9)
    together.fit(X, Y, epochs=3, batch_size=16, subsets=[rows(k) for k in range(MEMBERS)], verbose=0, **call())
    for k in range(MEMBERS):
        sampler = call()["sampler"]
        own = nn.samplers.Weighted(W[rows(k)]) if isinstance(sampler, nn.samplers.Weighted) else sampler
        alone = nn.Trainer(net(4 + k), SOFTMAX, nn.Adam(), seed=9 + k)
        alone.fit(X[rows(k)], Y[rows(k)], epochs=3, batch_size=16, sampler=own, verbose=0)
        assert same(alone, together, k)


@pytest.mark.parametrize(
    "subsets", [nn.Bags(), nn.Bags(0.5, replace=False, seed=3), nn.Folds(3), nn.Folds(2, seed=1)], ids=repr
)
def test_bags_and_folds(subsets: nn.Subsets) -> None:
    together = nn.Trainer(nn.Ensemble(net(4), MEMBERS), SOFTMAX, nn.Adam(), metrics=["accuracy"], seed=9)
    together.fit(X, Y, epochs=2, batch_size=16, subsets=subsets, verbose=0)
    for k in range(MEMBERS):
        rows = subsets.rows(k, 90)
        rest = np.setdiff1d(np.arange(90), rows)
        validation = {"validation_data": (X[rest], Y[rest])} if isinstance(subsets, nn.Folds) else {}
        alone = nn.Trainer(net(4 + k), SOFTMAX, nn.Adam(), metrics=["accuracy"], seed=9 + k)
        alone.fit(X[rows], Y[rows], epochs=2, batch_size=16, verbose=0, **validation)
        assert same(alone, together, k)


def test_folds_cover_all_rows_once() -> None:
    held_back = [np.setdiff1d(np.arange(20), nn.Folds(3).rows(k, 20)) for k in range(3)]
    assert sorted(np.concatenate(held_back)) == list(range(20))
    assert np.array_equal(nn.Folds(3).rows(4, 20), nn.Folds(3).rows(1, 20))


def test_bags_are_bootstrap_samples() -> None:
    """A bag misses (1 − 1/n)ⁿ of the rows: the mean over many, within four standard errors."""
    missing = np.array([1 - len(np.unique(nn.Bags().rows(k, 50))) / 50 for k in range(400)])
    assert abs(missing.mean() - (1 - 1 / 50) ** 50) < 4 * missing.std() / 20
    assert len(np.unique(nn.Bags(0.5, replace=False).rows(0, 50))) == 25


def test_validation_split() -> None:
    """The same rows for all members: those of the trainer's seed."""
    together = nn.Trainer(nn.Ensemble(net(4), MEMBERS), SOFTMAX, seed=9)
    together.fit(X, Y, epochs=2, validation_split=0.3, verbose=0)
    alone = nn.Trainer(net(4), SOFTMAX, seed=9)
    alone.fit(X, Y, epochs=2, validation_split=0.3, verbose=0)
    assert same(alone, together, 0)
    _train, held_back = nn.data.train_validation_split(X, Y, 0.3, seed=9)
    other = nn.Trainer(together.model, SOFTMAX).evaluate_members(X[held_back], Y[held_back])["loss"]
    assert np.allclose(together.history["val_loss"][-1], other, rtol=1e-12)


# What differs from member to member.


def test_each_hyper_parameter() -> None:
    rates, decays = [0.1, nn.schedules.Cosine(0.2, 10), 0.3], [0.0, 0.1, 0.2]

    def trainer(model: Any, seed: int, k: int | None) -> Any:
        lr, decay = (nn.Each(rates), nn.Each(decays)) if k is None else (rates[k], decays[k])
        return nn.Trainer(model, SOFTMAX, nn.AdamW(lr=lr, weight_decay=decay), seed=seed)

    together = check(net, trainer)
    assert [row["weight_decay"] for row in together.history.table()] == decays


def test_each_wrapped_hyper_parameter() -> None:
    def trainer(model: Any, seed: int, k: int | None) -> Any:
        lr = nn.Each([0.1, 0.2, 0.3]) if k is None else [0.1, 0.2, 0.3][k]
        return nn.Trainer(model, SOFTMAX, nn.EMA(nn.SGD(lr)), seed=seed)

    check(net, trainer)


def test_each_penalty_and_part() -> None:
    strengths, clips = [0.0, 0.1, 0.1], [None, nn.ClipNorm(0.1), nn.ClipNorm(0.2)]
    mapped = [{"dense_1": nn.L2(0.1)}, None, nn.L1(0.01)]

    def trainer(model: Any, seed: int, k: int | None) -> Any:
        own = nn.L2(nn.Each(strengths)) if k is None else nn.L2(strengths[k])
        return nn.Trainer(model, SOFTMAX, nn.Adam(), regularizer=own, clip=nn.Each(clips) if k is None else clips[k], seed=seed)

    check(net, trainer)
    optimizers = [nn.SGD(0.1), nn.Adam(), nn.Momentum(0.1)]

    def other(model: Any, seed: int, k: int | None) -> Any:
        optimizer, regularizer = (nn.Each(optimizers), nn.Each(mapped)) if k is None else (optimizers[k], mapped[k])
        return nn.Trainer(model, SOFTMAX, optimizer, regularizer=regularizer, seed=seed)

    check(net, other)


def test_each_rate_of_a_layer() -> None:
    rates = [0.1, 0.5, 0.9]
    ensemble = nn.Ensemble(net(4, nn.Dropout(nn.Each(rates))), MEMBERS)
    together = nn.Trainer(ensemble, SOFTMAX, seed=9)
    together.fit(X, Y, epochs=2, verbose=0)
    for k, rate in enumerate(rates):
        alone = nn.Trainer(net(4 + k, nn.Dropout(rate)), SOFTMAX, seed=9 + k)
        alone.fit(X, Y, epochs=2, verbose=0)
        assert same(alone, together, k)
    assert [row["dropout_1.rate"] for row in together.history.table()] == rates


def test_different_architectures() -> None:
    """Groups are trained and predict together, in the order of the members."""
    sizes = [4, 9, 4]
    models = [net(seed, units=units) for seed, units in enumerate(sizes)]
    models[2].parameters[...] = RNG.normal(size=models[2].parameters.size)
    ensemble = nn.Ensemble(models)
    copies = [model.copy() for model in models]
    together = nn.Trainer(ensemble, SOFTMAX, nn.Adam(lr=nn.Each([0.1, 0.2, 0.3])))
    together.fit(X, Y, epochs=2, verbose=0)
    for k, model in enumerate(copies):
        alone = nn.Trainer(model, SOFTMAX, nn.Adam(lr=[0.1, 0.2, 0.3][k]), seed=k)
        alone.fit(X, Y, epochs=2, verbose=0)
        assert same(alone, together, k)
        assert np.array_equal(ensemble.predict_members(X)[k], model.predict(X))
    assert np.array_equal(models[0].parameters, net(0, units=4).parameters)  # the models given are left alone


# Several calls, callbacks, threads.


def test_several_calls() -> None:
    def trainer(model: Any, seed: int) -> Any:
        return nn.Trainer(model, SOFTMAX, nn.Adam(lr=nn.schedules.InverseTime(0.1, 0.1)), seed=seed)

    together, alone = trainer(nn.Ensemble(net(4), MEMBERS), 9), trainer(net(6), 11)
    for size in (16, 90, 7):
        for each in (together, alone):
            each.fit(X, Y, epochs=2, batch_size=size, verbose=0)
    assert same(alone, together, 2)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.EarlyStopping("val_loss", patience=1), lambda: nn.EarlyStopping("val_accuracy", patience=2),
        lambda: nn.ReduceLROnPlateau("val_loss", patience=1, factor=0.5),
        lambda: nn.LambdaCallback(on_epoch_end=lambda it, epoch, row: row.update(most=float(it.model.parameters.max()))),
    ],
)  # fmt: skip
def test_callbacks_see_one_member(make: Callable[[], Any]) -> None:
    def trainer(model: Any, seed: int, k: Any) -> Any:
        return nn.Trainer(model, SOFTMAX, nn.Adam(lr=0.1), metrics=["accuracy"], seed=seed)

    check(net, trainer, lambda: {"validation_data": (XV, YV), "callbacks": [make()]}, epochs=12)


def test_members_stop_one_by_one() -> None:
    together = nn.Trainer(nn.Ensemble(net(4), 8), SOFTMAX, nn.Adam(lr=0.1))
    together.fit(X, Y, epochs=30, validation_data=(XV, YV), callbacks=[nn.EarlyStopping(patience=2)], verbose=0)
    assert len(set(together.history.epochs)) > 1
    assert set(together.history.ended) == {"stopped"}
    ends = np.isnan(together.history["val_loss"]).sum(axis=0)
    assert np.array_equal(ends, len(together.history) - together.history.epochs)


@pytest.mark.parametrize("number", [1, 3, 7])
def test_any_number_of_threads(number: int) -> None:
    def trained(threads: int) -> Any:
        nn.set_num_threads(threads)
        trainer = nn.Trainer(nn.Ensemble(net(4, nn.Dropout(0.3)), 5), SOFTMAX)
        trainer.fit(X, Y, epochs=3, batch_size=8, validation_data=(XV, YV), verbose=0)
        return trainer

    one, other = trained(2), trained(number)
    assert np.array_equal(one.model.groups[0].parameters, other.model.groups[0].parameters)
    assert np.array_equal(one.history["val_loss"], other.history["val_loss"])


def test_large_layers() -> None:
    """Steps that alone run on several threads."""

    def model(seed: int) -> nn.Sequential:
        return nn.Sequential([nn.Dense(300), nn.ReLU(), nn.Dense(3)], input_shape=200, seed=seed)

    data = RNG.normal(size=(300, 200)).astype(np.float32), RNG.integers(0, 3, 300)
    check(
        model, lambda model, seed, k: nn.Trainer(model, SOFTMAX, nn.Adam(), seed=seed), lambda: {"batch_size": 128}, data=data
    )


def test_two_ensembles_in_two_threads() -> None:
    def trained() -> Any:
        trainer = nn.Trainer(nn.Ensemble(net(4), 4), SOFTMAX)
        trainer.fit(X, Y, epochs=20, batch_size=8, verbose=0)
        return trainer.model.groups[0].parameters

    expected, found = trained(), []
    running = [threading.Thread(target=lambda: found.append(trained())) for _ in range(2)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert len(found) == 2
    assert all(np.array_equal(own, expected) for own in found)


def test_without_an_ensemble() -> None:
    with pytest.raises(ValueError, match=r"has one value for each member of an ensemble: give the trainer an nn\.Ensemble"):
        nn.Trainer(net(), SOFTMAX, nn.Adam(lr=nn.Each([0.1, 0.2]))).fit(X, Y, verbose=0)
    with pytest.raises(ValueError, match="has one value for each member"):
        nn.Trainer(net(), SOFTMAX, regularizer=nn.L2(nn.Each([0.1, 0.2]))).fit(X, Y, verbose=0)
    with pytest.raises(ValueError, match="has one value for each member"):
        nn.Trainer(net(0, nn.Dropout(nn.Each([0.1, 0.2]))), SOFTMAX).fit(X, Y, verbose=0)


def test_an_optimizer_that_all_share_stays_the_users() -> None:
    """Also where another part differs: it is copied before it gets a state."""
    own = nn.Adam()
    nn.Trainer(nn.Ensemble(net(), 3), SOFTMAX, own, regularizer=nn.L2(nn.Each([0.1, 0.2, 0.1]))).fit(X, Y, verbose=0)
    assert not own.state
    assert own.step_count == 0
