"""A first layer that reads only the numbers of sparse rows computes what a dense one does.

With the same bits, wherever a step changes only what has a gradient or all weights; to rounding, where weights without a
gradient are caught up later; and by its own recurrence with `LazyAdam`.
"""

from __future__ import annotations

import copy
import io
import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

import nncore as nn
from nncore import second_order
from nncore._utils.interrupt import Interrupt
from nncore.data.sparse import SparseRows
from nncore.optimizers import OPTIMIZERS
from nncore.program.autotune import Autotuner
from nncore.training import lazy_steps

Array = NDArray[Any]

LOSS = "softmax_cross_entropy"
N, WIDTH = 60, 43
EPOCHS = 3
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
both_paths = pytest.mark.parametrize("weights_per_row", [0, 1400], ids=["touched", "as usual"])


def matrix(rows: int = N, width: int = WIDTH, density: float = 0.08, seed: int = 0) -> Any:
    """Some rows are empty, and some columns."""
    rng = np.random.default_rng(seed)
    dense = rng.standard_normal((rows, width)) * (rng.random((rows, width)) < density)
    dense[rng.random(rows) < 0.1] = 0
    dense[:, rng.random(width) < 0.1] = 0
    return sp.csr_matrix(dense)


X = matrix()
Y = np.random.default_rng(1).integers(0, 3, N)
W = np.linspace(0, 2, N)
Make = Callable[[], nn.Optimizer]


@pytest.fixture
def touched_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even small weights get a gradient only where the batch has numbers."""
    monkeypatch.setattr(lazy_steps, "WEIGHTS_PER_ROW", 0)


def model_of(kind: type[nn.Dense], units: int = 5, dtype: str = "float64", width: int = WIDTH, **options: Any) -> nn.Sequential:
    layers = [kind(units, name="first", **options), nn.Tanh(name="tanh"), nn.Dense(3, name="last")]
    return nn.Sequential(layers, input_shape=width, dtype=dtype, seed=3)


def trainer(
    kind: type[nn.Dense], optimizer: Make | str = "sgd", units: int = 5, dtype: str = "float64", **options: Any
) -> nn.Trainer:
    own = optimizer if isinstance(optimizer, str) else optimizer()
    return nn.Trainer(model_of(kind, units, dtype), "softmax_cross_entropy", own, **options)


def vectors(model: nn.Sequential, vector: Array) -> dict[str, Array]:
    """The parts of a vector in the order of θ, by parameter array: that order is another one."""
    return {f"{layer.name} {name}": p.of(vector) for layer in model.layers for name, p in layer.parameters.items()}


def parts_of(t: nn.Trainer) -> dict[str, Array]:
    """Parameters and optimizer state by name."""
    size = t.model.parameters.size
    whole = {"theta": t.model.parameters} | {k: v for k, v in t.optimizer.state.items() if v.shape == (size,)}
    return {f"{name} {key}": part for name, vector in whole.items() for key, part in vectors(t.model, vector).items()}


def same(a: Any, b: Any) -> None:
    """Equality to the bit of numbers, arrays and containers of them."""
    if isinstance(a, dict):
        assert [*a] == [*b]
        for name in a:
            same(a[name], b[name])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for mine, theirs in zip(a, b, strict=True):
            same(mine, theirs)
    else:
        assert np.array_equal(a, b), (a, b)


def near(a: dict[str, Array], b: dict[str, Array], tolerance: float) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=tolerance, atol=tolerance, err_msg=name)


def both(optimizer: Make | str, way: Callable[[nn.Trainer, Any], Any], **options: Any) -> list[nn.Trainer]:
    """The same with a sparse layer and with a dense one; the same results, parameters and state."""
    trainers = [trainer(kind, optimizer, **options) for kind in (nn.SparseDense, nn.Dense)]
    sparse, dense = trainers
    same(way(sparse, X), way(dense, X.toarray()))
    same(parts_of(sparse), parts_of(dense))
    return trainers


def fit(**options: Any) -> Callable[[nn.Trainer, Any], Any]:
    given = {"epochs": EPOCHS, "batch_size": 7, "verbose": 0} | options
    return lambda t, X: t.fit(X, Y, **given).to_dict()


def partial(t: nn.Trainer, X: Any) -> Any:
    return [t.partial_fit(X[first : first + 9], Y[first : first + 9], batch_size=4) for first in range(0, 54, 9)]


def resumed(t: nn.Trainer, X: Any) -> Any:
    t.fit(X, Y, epochs=2, batch_size=7, verbose=0)
    kept = io.BytesIO()
    t.save(kept)
    t.fit(X, Y, epochs=2, batch_size=7, verbose=0)
    kept.seek(0)
    t.restore(kept)
    return t.fit(X, Y, epochs=3, batch_size=7, verbose=0).to_dict()


WAYS: dict[str, Callable[[nn.Trainer, Any], Any]] = {
    "one row": fit(batch_size=1),
    "seven rows": fit(),
    "all rows": fit(batch_size=N),
    "in order": fit(shuffle=False),
    "merged": fit(batch_size=11, last_batch="merge"),
    "dropped": fit(batch_size=11, last_batch="drop"),
    "sample weights": fit(sample_weight=W),
    "class weights": fit(class_weight="balanced", sample_weight=W),
    "validation split": fit(validation_split=0.3),
    "exact loss": fit(exact_loss=True),
    "sampler": fit(sampler="importance_sampling"),
    "stratified": fit(sampler="stratified"),
    "accumulated": fit(batch_size=21, accumulate=3),
    "validation data": lambda t, X: t.fit(X, Y, validation_data=(X[:20], Y[:20]), epochs=2, verbose=0).to_dict(),
    "partial fit": partial,
    "resumed": resumed,
    "learning rates": lambda t, X: t.lr_find(X, Y, steps=20, batch_size=7).losses,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "metrics": {"metrics": ["accuracy", "squared_error"]},
    "clip value": {"clip": nn.ClipValue(0.01)},
    "clip norm": {"clip": nn.ClipNorm(0.1)},
    "clip global norm": {"clip": nn.ClipGlobalNorm(0.05)},
    "constraint": {"constraint": nn.NonNegative()},
    "constraint elsewhere": {"constraint": {"last": nn.MaxNorm(0.3)}},
    "L2 elsewhere": {"regularizer": {"last": nn.L2(0.1)}},
}
SKIPPING: dict[str, Make] = {
    "sgd": lambda: nn.SGD(0.5),
    "sgd falling": lambda: nn.SGD(nn.schedules.Exponential(0.5, gamma=0.9)),
    "adagrad": lambda: nn.AdaGrad(0.2),
    "adagrad inside": lambda: nn.AdaGrad(0.2, eps_placement="inside", initial_accumulator_value=0.1),
    "adagrad warming": lambda: nn.AdaGrad(nn.schedules.Warmup(nn.schedules.Constant(0.3), steps=10)),
}


# ---- the same bits


@both_paths
@each_dtype
@pytest.mark.parametrize("optimizer", SKIPPING)
@pytest.mark.parametrize("way", WAYS)
def test_ways_to_train(way: str, optimizer: str, dtype: str, weights_per_row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_steps, "WEIGHTS_PER_ROW", weights_per_row)
    both(SKIPPING[optimizer], WAYS[way], dtype=dtype)


@both_paths
@each_dtype
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_options(optimizer: str, options: str, dtype: str, weights_per_row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_steps, "WEIGHTS_PER_ROW", weights_per_row)
    trainers = [trainer(kind, SKIPPING[optimizer], dtype=dtype, **OPTIONS[options]) for kind in (nn.SparseDense, nn.Dense)]
    results = [fit()(t, data) for t, data in zip(trainers, (X, X.toarray()), strict=True)]
    if options in ("clip norm", "clip global norm"):  # a sum in the order of θ, which is another one
        near(*map(parts_of, trainers), 1e-12 if dtype == "float64" else 1e-5)
    else:
        same(*({name: values for name, values in one.items() if "norm" not in name} for one in results))
        same(*map(parts_of, trainers))


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize("factors", [{"first": 0.5}, {"first.weight": 2.0, "last": 0.25}], ids=str)
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_learning_rates_by_layer(optimizer: str, factors: dict[str, float]) -> None:
    both(SKIPPING[optimizer], fit(), lr_factors=factors)


@both_paths
@pytest.mark.parametrize("units", [1, 2, 3, 15, 16, 17, 20, 64, 65, 130, 200])
def test_units_and_threads(units: int, weights_per_row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_steps, "WEIGHTS_PER_ROW", weights_per_row)
    before = nn.get_num_threads()
    try:
        for threads, dtype in itertools.product((1, 2, 3, 4), ("float32", "float64")):
            nn.set_num_threads(threads)
            for optimizer, batch in (("sgd", 7), ("adagrad", N)):
                both(SKIPPING[optimizer], fit(batch_size=batch), units=units, dtype=dtype)
    finally:
        nn.set_num_threads(before)


FOLLOWING: dict[str, Callable[[], list[nn.Layer]]] = {
    "none": lambda: [],
    "relu": lambda: [nn.ReLU()],
    "normalized": lambda: [nn.BatchNorm(), nn.ReLU(), nn.Dropout(0.2)],
    "penalized": lambda: [nn.ActivityL1(0.01), nn.LayerNorm(), nn.GELU()],
    "weight norm": lambda: [nn.WeightNorm(nn.Dense(4))],
}


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize("following", FOLLOWING)
def test_layers_that_follow(following: str) -> None:
    trainers = []
    for kind, data in ((nn.SparseDense, X), (nn.Dense, X.toarray())):
        layers = [kind(3 if following == "none" else 5, name="first"), *FOLLOWING[following]()]
        layers += [nn.Dense(3, name="last")] * (following != "none")
        t = nn.Trainer(nn.Sequential(layers, input_shape=WIDTH, dtype="float64", seed=3), LOSS, nn.AdaGrad(0.1))
        fit(batch_size=12)(t, data)
        trainers.append(t)
    same(*(list(parts_of(t).values()) for t in trainers))
    same(*(t.model.state for t in trainers))


@each_dtype
@pytest.mark.parametrize("optimizer", SKIPPING)
def test_many_columns(optimizer: str, dtype: str) -> None:
    """So many that a step changes only what has a gradient; twelve rows, as a dense layer sums fewer in vector lanes."""
    wide, trainers = matrix(width=9000, density=0.003), []
    for kind, data in ((nn.SparseDense, wide), (nn.Dense, wide.toarray())):
        t = nn.Trainer(model_of(kind, 8, dtype, 9000), LOSS, SKIPPING[optimizer]())
        fit(batch_size=12)(t, data)
        trainers.append(t)
    names = {op.name for op in trainers[0].profile(wide, Y, batch_size=12, steps=2).ops}
    assert "csr_backward_touched" in names
    same(*(parts_of(t) for t in trainers))


@each_dtype
@pytest.mark.parametrize("name", [name for name, cls in OPTIMIZERS.items() if issubclass(cls, nn.GradientOptimizer)])
def test_every_optimizer(name: str, dtype: str) -> None:
    """A `LazyAdam` on rows in which every column has a number is `Adam`, which changes all weights in every step."""
    if OPTIMIZERS[name].lazy:
        full = np.random.default_rng(0).standard_normal((N, WIDTH))
        sparse, dense = trainer(nn.SparseDense, name, dtype=dtype), trainer(nn.Dense, name.removeprefix("lazy_"), dtype=dtype)
        same(fit()(sparse, sp.csr_array(full)), fit()(dense, full))
        same(parts_of(sparse), parts_of(dense))
    else:
        both(name, fit(batch_size=N if OPTIMIZERS[name].full_batch_only else 7), dtype=dtype)


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize(
    "optimizer", [lambda: nn.EMA("adam"), lambda: nn.WeightDecay("momentum"), lambda: nn.GradientNoise("adagrad")]
)
def test_wrappers_of_optimizers_that_change_all_weights(optimizer: Make) -> None:
    if type(optimizer()) is nn.GradientNoise:  # the noise of a weight is that of its place in θ
        t = trainer(nn.SparseDense, optimizer)
        fit()(t, X)
        assert (t.model[0].weight != model_of(nn.SparseDense)[0].weight).all()
    else:
        both(optimizer, fit())


@pytest.mark.usefixtures("touched_rows")
def test_a_class_derived_from_one_that_skips_is_not_taken_for_one() -> None:
    class Drifting(nn.SGD):
        name = "drifting"

        def arrays(self, *arguments: Any) -> Any:
            return super().arrays(*arguments)

    assert lazy_steps.skips_zeros(nn.SGD())
    assert lazy_steps.skips_zeros(nn.LazyAdam())
    assert not lazy_steps.skips_zeros(Drifting())
    assert not lazy_steps.skips_zeros(nn.Adam())


@pytest.mark.usefixtures("touched_rows")
@each_dtype
def test_options_of_the_layer(dtype: str) -> None:
    for options in ({"bias": False}, {"weight_init": "zeros"}, {"weight_init": "orthogonal", "bias_init": "normal"}):
        models = [model_of(kind, 6, dtype, **options) for kind in (nn.SparseDense, nn.Dense)]
        trainers = [nn.Trainer(model, "softmax_cross_entropy", nn.AdaGrad(0.1)) for model in models]
        same(*(fit()(t, data) for t, data in zip(trainers, (X, X.toarray()), strict=True)))
        same(*map(parts_of, trainers))


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_indices_of_both_kinds_and_other_formats(kind: Any) -> None:
    given = X.copy()
    given.indices, given.indptr = X.indices.astype(kind), X.indptr.astype(kind)
    results = [trainer(nn.SparseDense, SKIPPING["sgd"]) for _ in range(4)]
    unsorted = sp.csr_matrix((np.r_[X.data, 5.0], np.r_[X.indices, 7], X.indptr), shape=X.shape)  # and a number too many
    for t, data in zip(results, (X, given, X.tocsc(), unsorted), strict=True):
        fit()(t, data)
        same(parts_of(t), parts_of(results[0]))


@pytest.mark.usefixtures("touched_rows")
def test_the_gradient_that_a_fit_leaves_is_that_of_the_last_batch() -> None:
    for batch in (7, N):
        sparse, dense = both(SKIPPING["adagrad"], fit(batch_size=batch, epochs=2))
        same(*(
            vectors(t.model, t.model.gradients) for t in (sparse, dense)
        ))  # fmt: skip


# ---- weights that are caught up


CAUGHT_UP: dict[str, tuple[Make, dict[str, Any]]] = {
    "L2": (lambda: nn.SGD(0.1), {"regularizer": nn.L2(0.05)}),
    "L2 falling": (lambda: nn.SGD(nn.schedules.InverseTime(0.3, rate=0.01)), {"regularizer": nn.L2(0.05)}),
    "L2 warming up": (
        lambda: nn.SGD(nn.schedules.Warmup(nn.schedules.Constant(0.1), steps=200)), {"regularizer": nn.L2(0.05)},
    ),
    "L2 with a factor 0": (lambda: nn.SGD(0.5), {"regularizer": nn.L2(2.0)}),
    "L2 with a negative factor": (lambda: nn.SGD(0.5), {"regularizer": nn.L2(2.5)}),
    "L1": (lambda: nn.SGD(0.1), {"regularizer": nn.L1(0.003)}),
    "elastic net": (lambda: nn.SGD(0.1), {"regularizer": nn.ElasticNet(l1=0.002, l2=0.01)}),
    "elastic net with a negative factor": (lambda: nn.SGD(0.5), {"regularizer": nn.ElasticNet(l1=0.002, l2=2.5)}),
    "proximal": (lambda: nn.SGD(0.1), {"regularizer": nn.ProximalL1(0.003)}),
    "proximal falling": (lambda: nn.SGD(nn.schedules.InverseTime(0.3, rate=0.01)), {"regularizer": nn.ProximalL1(0.003)}),
    "proximal AdaGrad": (lambda: nn.AdaGrad(0.05), {"regularizer": nn.ProximalL1(0.003)}),
    "decay": (lambda: nn.WeightDecay(nn.SGD(0.1), 0.05), {}),
    "decay of AdaGrad": (lambda: nn.WeightDecay(nn.AdaGrad(0.05), 0.05), {}),
    "decay and L2": (lambda: nn.WeightDecay(nn.SGD(0.1), 0.05), {"regularizer": nn.L2(0.05)}),
    "decay and proximal": (lambda: nn.WeightDecay(nn.SGD(0.1), 0.05), {"regularizer": nn.ProximalL1(0.003)}),
    "EMA": (lambda: nn.EMA(nn.SGD(0.1), 0.99), {}),
    "EMA and L2": (lambda: nn.EMA(nn.SGD(0.1), 0.999), {"regularizer": nn.L2(0.05)}),
    "EMA and strong L2": (lambda: nn.EMA(nn.SGD(0.1), 0.999), {"regularizer": nn.L2(0.5)}),
    "EMA and proximal": (lambda: nn.EMA(nn.SGD(0.1), 0.99), {"regularizer": nn.ProximalL1(0.003)}),
    "EMA and decay of AdaGrad": (lambda: nn.EMA(nn.WeightDecay(nn.AdaGrad(0.05), 0.05), 0.99), {}),
    "decay outside of EMA": (lambda: nn.WeightDecay(nn.EMA(nn.SGD(0.1), 0.99), 0.05), {}),
    "Polyak": (lambda: nn.PolyakAveraging(nn.SGD(0.1)), {"regularizer": nn.L2(0.05)}),
    "Polyak, late": (lambda: nn.PolyakAveraging(nn.SGD(0.1), start=900), {"regularizer": nn.L2(0.05)}),
    "factors": (lambda: nn.SGD(0.1), {"regularizer": nn.L2(0.05), "factors": 0.5}),
    "factors of decay": (lambda: nn.WeightDecay(nn.SGD(0.1), 0.05), {"factors": 0.5}),
}  # fmt: skip


PENALTIES = ("L2", "elastic net", "proximal", "EMA and L2")


def pair(case: str, dtype: str = "float64", units: int = 3) -> list[nn.Trainer]:
    make, options = CAUGHT_UP[case]
    trainers = []
    for kind in (nn.SparseDense, nn.Dense):
        own = {key: value for key, value in options.items() if key != "factors"}
        if "factors" in options:
            own["lr_factors"] = {"first": options["factors"]}
        trainers.append(nn.Trainer(model_of(kind, units, dtype), "softmax_cross_entropy", make(), **own))
    return trainers


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize("entries", [1 << 14, 50])
@pytest.mark.parametrize("case", CAUGHT_UP)
def test_thousands_of_steps(case: str, entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the dense computation, to rounding: 3000 steps of contractions leave about as many roundings of 1e-16."""
    monkeypatch.setattr(lazy_steps, "ENTRIES", entries)
    sparse, dense = pair(case)
    for t, data in ((sparse, X), (dense, X.toarray())):
        t.fit(data, Y, epochs=150, batch_size=3, verbose=0)
    near(parts_of(sparse), parts_of(dense), 1e-11)


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize("clip", [nn.ClipValue(0.004), nn.ClipNorm(0.05), nn.ClipGlobalNorm(0.05)], ids=repr)
@pytest.mark.parametrize(
    "regularizer", [None, nn.L2(0.1), nn.L1(0.01), nn.ElasticNet(0.01, 0.1), nn.ProximalL1(0.01)], ids=repr
)
@pytest.mark.parametrize("optimizer", [lambda: nn.SGD(0.5), lambda: nn.WeightDecay(nn.AdaGrad(0.1), 0.1)], ids=["sgd", "decay"])
def test_clipping_includes_the_gradient_of_penalties(optimizer: Make, regularizer: Any, clip: Any) -> None:
    """Norms are summed in another order; the signs of L1 make such differences grow."""
    sparse, dense = (trainer(kind, optimizer, regularizer=regularizer, clip=clip) for kind in (nn.SparseDense, nn.Dense))
    for t, data in ((sparse, X), (dense, X.toarray())):
        t.fit(data, Y, epochs=6, batch_size=3, verbose=0)
    near(parts_of(sparse), parts_of(dense), 1e-11)
    np.testing.assert_allclose(sparse.history["grad_norm"], dense.history["grad_norm"], rtol=1e-11)


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize("regularizer", [nn.L1(0.03), nn.ElasticNet(0.03, 0.5)], ids=repr)
@pytest.mark.parametrize("optimizer", [lambda: nn.SGD(0.1), lambda: nn.PolyakAveraging(nn.SGD(0.1))], ids=["sgd", "average"])
def test_weights_that_cross_zero_in_every_step(optimizer: Make, regularizer: Any) -> None:
    """Pairs of such steps have a closed form. In training rounding grows with them, tenfold in some 70 steps."""
    sparse, dense = (trainer(kind, optimizer, regularizer=regularizer) for kind in (nn.SparseDense, nn.Dense))
    for t, data in ((sparse, X), (dense, X.toarray())):
        t.fit(data, Y, epochs=20, batch_size=3, verbose=0)
    assert (np.abs(dense.model.layers[0].weight) < 0.003).mean() > 0.5  # that is η λ₁
    near(parts_of(sparse), parts_of(dense), 1e-12)


@pytest.mark.usefixtures("touched_rows")
def test_l1_from_zero_leaves_rare_inputs_at_zero() -> None:
    """A weight of 0 has no subgradient: it stays 0 until its input occurs."""
    sparse = nn.Trainer(model_of(nn.SparseDense, weight_init="zeros"), "softmax_cross_entropy", "sgd", regularizer=nn.L1(0.01))
    dense = nn.Trainer(model_of(nn.Dense, weight_init="zeros"), "softmax_cross_entropy", "sgd", regularizer=nn.L1(0.01))
    for t, data in ((sparse, X), (dense, X.toarray())):
        t.fit(data, Y, epochs=60, batch_size=1, verbose=0)
    near(parts_of(sparse), parts_of(dense), 1e-12)


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize("case", [case for case in CAUGHT_UP if "negative" not in case and "factor 0" not in case])
def test_an_epoch_of_thousands_of_steps(case: str) -> None:
    """The table of one epoch reaches over 4000 steps, or begins again where it has no more digits left."""
    long, labels = matrix(4000, density=0.02), np.random.default_rng(0).integers(0, 3, 4000)
    sparse, dense = pair(case)
    for t, data in ((sparse, long), (dense, long.toarray())):
        t.fit(data, labels, epochs=1, batch_size=1, verbose=0)
    near(parts_of(sparse), parts_of(dense), 1e-10)


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize("case", CAUGHT_UP)
def test_in_single_precision(case: str) -> None:
    """600 steps, of which each rounds to 6e-8; a subgradient beside 0 may turn around a step, of η λ₁, earlier or later."""
    sparse, dense = pair(case, "float32")
    for t, data in ((sparse, X), (dense, X.toarray())):
        t.fit(data, Y, epochs=30, batch_size=3, verbose=0)
    step = {"L1": 2 * 3e-4, "elastic net": 2 * 2e-4, "elastic net with a negative factor": 2e-3}.get(case, 0.0)
    near(parts_of(sparse), parts_of(dense), 2e-5 + step)


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize("case", [*PENALTIES, "decay", "Polyak", "elastic net with a negative factor"])
def test_bits_depend_on_neither_threads_nor_calls(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps of a call, and how many epochs it has; several threads where there is enough work."""
    data, results = matrix(200, 300), []
    labels = np.random.default_rng(0).integers(0, 3, 200)
    for threads, steps in ((1, 1), (1, 3), (2, 7), (3, 10**6), (4, 20)):
        monkeypatch.setattr(Autotuner, "next_call", lambda self, threads=threads, steps=steps: (threads, steps))
        make, options = CAUGHT_UP[case]
        t = nn.Trainer(model_of(nn.SparseDense, 120, "float32", 300), "softmax_cross_entropy", make(), **options)
        t.fit(data, labels, epochs=7, batch_size=40, verbose=0)
        results.append((t.model.parameters.tobytes(), {k: v.tobytes() for k, v in t.optimizer.state.items()}))
    for other in results[1:]:
        assert other == results[0]


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize("case", ["L2", "proximal", "EMA and L2", "decay"])
def test_epochs_in_one_call_of_fit_or_in_several(case: str) -> None:
    whole, parts = pair(case)[0], pair(case)[0]
    whole.fit(X, Y, epochs=6, batch_size=7, verbose=0)
    for epochs in (1, 3, 2):
        parts.fit(X, Y, epochs=epochs, batch_size=7, verbose=0)
    same(parts_of(whole), parts_of(parts))


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize("case", ["L2", "elastic net", "proximal", "EMA and L2", "decay and L2", "Polyak"])
@pytest.mark.parametrize(
    "way", ["one row", "merged", "dropped", "sample weights", "validation split", "sampler", "partial fit", "resumed"]
)
def test_ways_to_train_with_penalties(way: str, case: str) -> None:
    sparse, dense = pair(case)
    for t, data in ((sparse, X), (dense, X.toarray())):
        WAYS[way](t, data)
    near(parts_of(sparse), parts_of(dense), 1e-12)


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize("penalty", [nn.L2(0.05), nn.L1(0.01), nn.ProximalL1(0.01), nn.ElasticNet(0.01, 0.02)])
def test_the_penalty_is_that_at_the_end_of_the_epoch(penalty: nn.Regularizer) -> None:
    t = trainer(nn.SparseDense, SKIPPING["sgd"], regularizer=penalty)
    ends: list[float] = []
    t.fit(
        X,
        Y,
        epochs=4,
        batch_size=7,
        verbose=0,
        callbacks=[nn.LambdaCallback(on_epoch_end=lambda *_: ends.append(penalty.value(t.model)))],
    )
    assert t.history["running_penalty"] == pytest.approx(ends, rel=1e-12)
    assert t.partial_fit(X, Y)["running_penalty"] == pytest.approx(penalty.value(t.model), rel=1e-12)


# ---- an end in the middle of an epoch


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize("case", ["L2", "elastic net", "proximal", "EMA and L2", "decay", "Polyak"])
def test_ctrl_c_in_an_epoch(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the second epoch of 9 steps: all weights are caught up."""
    results = []
    for t, data in zip(pair(case), (X, X.toarray()), strict=True):
        monkeypatch.setattr(Autotuner, "next_call", lambda self: (1, 5))
        monkeypatch.setattr(Interrupt, "pressed", lambda self, t=t: t.optimizer.step_count > 9)
        t.fit(data, Y, epochs=4, batch_size=7, verbose=0)
        assert t.optimizer.step_count == 14
        results.append(t)
    monkeypatch.undo()
    monkeypatch.setattr(lazy_steps, "WEIGHTS_PER_ROW", 0)
    near(*map(parts_of, results), 1e-12)
    for t, data in zip(results, (X, X.toarray()), strict=True):
        t.fit(data, Y, epochs=2, batch_size=7, verbose=0)
    near(*map(parts_of, results), 1e-12)


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize("call", [1, 2, 8, 9, 10, 15])
@pytest.mark.parametrize("case", ["L2", "elastic net", "proximal", "EMA and L2", "decay"])
def test_an_error_in_an_epoch(case: str, call: int) -> None:
    """Of a loss in Python: the steps before are taken, by all weights."""
    make, options = CAUGHT_UP[case]
    results = []
    for kind, data in ((nn.SparseDense, X), (nn.Dense, X.toarray())):
        left = itertools.count(1)

        def loss(y: Array, d: Array, left: Any = left) -> tuple[Array, Array]:
            if next(left) == call:
                raise RuntimeError("no more")
            return 0.5 * ((y - d) ** 2).sum(axis=1), y - d

        t = nn.Trainer(model_of(kind, 4), nn.losses.PythonLoss(loss), make(), **options)
        with pytest.raises(RuntimeError, match="no more"):
            t.fit(data, np.eye(3)[Y], epochs=3, batch_size=7, verbose=0)
        results.append(t)
    near(*map(parts_of, results), 1e-12)


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize("case", ["L2", "proximal", "EMA and L2"])
def test_divergence(case: str) -> None:
    """The last finite parameters are in place, of all weights."""
    results = []
    data = X.toarray()
    data[40] = np.where(data[40] == 0, 0, 1e160)
    data[40, :3] = 1e160
    targets = np.eye(3)[Y] * np.where(np.arange(N) == 40, 1e200, 1)[:, None]
    for t, own in zip(pair(case), (sp.csr_array(data), data), strict=True):
        linear = nn.Trainer(t.model, "squared_error", t.optimizer, regularizer=t.regularizer)
        with np.errstate(all="ignore"), pytest.raises(nn.DivergenceError):
            linear.fit(own, targets, epochs=2, batch_size=7, shuffle=False, verbose=0)
        results.append(linear)
    near(*map(parts_of, results), 1e-12)


# ---- LazyAdam


def lazy_adam_loop(
    lr: float = 0.1, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, *, inside: bool = False,
    corrected: bool = True, decay: float = 0.0, l1: float = 0.0, average: float = 0.0, epochs: int = 4, batch: int = 7,
) -> tuple[Array, float, Array]:  # fmt: skip
    """One unit, squared error, in order; weights, bias and averages of the weights."""
    dense, target = X.toarray(), Y.astype(float)
    theta, m, v, mean = np.zeros((4, WIDTH + 1))
    for t, (_, first) in enumerate(itertools.product(range(epochs), range(0, N, batch)), 1):
        x, d = np.c_[dense, np.ones(N)][first : first + batch], target[first : first + batch]
        g, has = (x @ theta - d) @ x / len(x), (x != 0).any(axis=0)
        m[has] = betas[0] * m[has] + (1 - betas[0]) * g[has]
        v[has] = betas[1] * v[has] + (1 - betas[1]) * g[has] ** 2
        c1, c2 = (1 - betas[0] ** t, 1 - betas[1] ** t) if corrected else (1, 1)
        root = np.sqrt(v / c2 + eps) if inside else np.sqrt(v / c2) + eps
        is_weight = np.arange(WIDTH + 1) < WIDTH
        theta = theta - lr * decay * theta * is_weight - np.where(has, lr * m / c1 / np.where(has, root, 1), 0)
        theta = np.where(is_weight, np.sign(theta) * np.maximum(np.abs(theta) - lr * l1, 0), theta)
        mean += (average if t > 1 else 1) * (theta - mean)
    return theta[:-1], theta[-1], mean[:-1]


LAZY: dict[str, tuple[Make, dict[str, Any], dict[str, Any]]] = {
    "plain": (lambda: nn.LazyAdam(0.1), {}, {}),
    "constants": (lambda: nn.LazyAdam(0.05, betas=(0.7, 0.95), eps=0.01), {}, {"lr": 0.05, "betas": (0.7, 0.95), "eps": 0.01}),
    "inside": (lambda: nn.LazyAdam(0.1, eps=1e-3, eps_placement="inside"), {}, {"inside": True, "eps": 1e-3}),
    "uncorrected": (lambda: nn.LazyAdam(0.1, bias_correction=False), {}, {"corrected": False}),
    "decay": (lambda: nn.WeightDecay(nn.LazyAdam(0.1), 0.05), {}, {"decay": 0.05}),
    "proximal": (lambda: nn.LazyAdam(0.1), {"regularizer": nn.ProximalL1(0.01)}, {"l1": 0.01}),
    "average": (lambda: nn.EMA(nn.LazyAdam(0.1), 0.9, bias_correction=False), {}, {"average": 0.1}),
}


@each_dtype
@both_paths
@pytest.mark.parametrize("case", LAZY)
def test_lazy_adam(case: str, dtype: str, weights_per_row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_steps, "WEIGHTS_PER_ROW", weights_per_row)
    make, options, constants = LAZY[case]
    model = nn.Sequential([nn.SparseDense(1, weight_init="zeros")], input_shape=WIDTH, dtype=dtype)
    t = nn.Trainer(model, "squared_error", make(), **options)
    t.fit(X, Y.astype(float), epochs=4, batch_size=7, shuffle=False, verbose=0)
    weight, bias, mean = lazy_adam_loop(**constants)
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(model[0].weight[0], weight, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(model[0].bias[0], bias, rtol=tolerance)
    if "average" in constants:
        got = model[0].parameters["weight"].of(t.optimizer.state["average"])[0]
        np.testing.assert_allclose(got, mean, rtol=tolerance, atol=tolerance)


def test_lazy_adam_is_another_algorithm_than_adam() -> None:
    weights = [fit()(t, X) and t.model[0].weight for t in (trainer(nn.SparseDense, name) for name in ("adam", "lazy_adam"))]
    assert not np.allclose(*weights, rtol=1e-3)


def test_lazy_adam_is_adam_without_sparse_data() -> None:
    results = [trainer(nn.Dense, name) for name in ("adam", "lazy_adam")]
    same(*(fit()(t, X) for t in results))
    same(*map(parts_of, results))


REFUSED_WITH_LAZY_ADAM: dict[str, tuple[Make, dict[str, Any], dict[str, Any]]] = {
    "L2": (nn.LazyAdam, {"regularizer": nn.L2(0.1)}, {}),
    "L1": (nn.LazyAdam, {"regularizer": nn.L1(0.1)}, {}),
    "elastic net": (nn.LazyAdam, {"regularizer": nn.ElasticNet(0.1, 0.1)}, {}),
    "constraint": (nn.LazyAdam, {"constraint": nn.NonNegative()}, {}),
    "noise": (lambda: nn.GradientNoise(nn.LazyAdam()), {}, {}),
    "accumulate": (nn.LazyAdam, {}, {"batch_size": 20, "accumulate": 2}),
}


@pytest.mark.parametrize("case", REFUSED_WITH_LAZY_ADAM)
def test_what_lazy_adam_refuses(case: str) -> None:
    make, options, call = REFUSED_WITH_LAZY_ADAM[case]
    t = trainer(nn.SparseDense, make, **options)
    before = t.model.parameters.copy()
    with pytest.raises(ValueError, match=r"LazyAdam.* changes only weights that have a gradient: with first it cannot"):
        t.fit(X, Y, verbose=0, **call)
    same(t.model.parameters, before)


def test_lazy_adam_with_penalties_of_other_layers() -> None:
    t = trainer(nn.SparseDense, nn.LazyAdam, regularizer={"last": nn.L2(0.1)}, constraint={"last": nn.MaxNorm(0.5)})
    fit()(t, X)
    assert np.linalg.norm(t.model[2].weight, axis=1).max() <= 0.5 + 1e-12


# ---- everything else that a model does


USES: dict[str, Callable[[nn.Trainer, Any], Any]] = {
    "evaluate": lambda t, X: t.evaluate(X, Y),
    "predict": lambda t, X: t.model.predict(X),
    "predict some": lambda t, X: [t.model.predict(X[:rows]) for rows in range(6)],
    "forward": lambda t, X: t.model.forward(X, training=True, step=3),
    "deltas": lambda t, X: {k: v for k, v in t.model.deltas(X, Y, LOSS).items() if k != "input"},
    "gradient": lambda t, X: parted(t.model, *t.model.loss_and_gradient(X, Y, LOSS)),
    "weighted gradient": lambda t, X: parted(t.model, *t.model.loss_and_gradient(X, Y, LOSS, sample_weight=W)),
    "copy": lambda t, X: t.model.copy().predict(X),
    "pickle": lambda t, X: pickle.loads(pickle.dumps(t.model)).predict(X),
    "deepcopy": lambda t, X: copy.deepcopy(t.model).predict(X),
    "astype": lambda t, X: t.model.astype("float32").predict(X),
    "curvature": lambda t, X: [
        vectors(t.model, getattr(t.model, f"{which}_product")(X, Y, LOSS, direction(t.model)))
        for which in ("hessian_vector", "gauss_newton")
    ],
    "jacobian": lambda t, X: t.model.jacobian_product(X, direction(t.model)),
    "transposed jacobian": lambda t, X: vectors(t.model, t.model.jacobian_product(X, np.ones(3 * N), transposed=True)),
    "penalties": lambda t, X: [one.value(t.model) for one in (nn.L2(0.3), nn.L1(0.2), nn.ProximalL1(0.1))],
    "penalty gradient": lambda t, X: vectors(t.model, nn.ElasticNet(0.3, 0.2).gradient(t.model)),
}


def parted(model: nn.Sequential, value: float, gradient: Array) -> Any:
    return [value, vectors(model, gradient)]


def direction(model: nn.Sequential) -> Array:
    """The same numbers at the same weights."""
    vector = np.empty_like(model.parameters)
    for number, part in enumerate(vectors(model, vector).values()):
        part[...] = np.random.default_rng(number).standard_normal(part.shape)
    return vector


@each_dtype
@pytest.mark.parametrize("use", USES)
def test_uses(use: str, dtype: str) -> None:
    sparse, dense = (trainer(kind, dtype=dtype, metrics=["accuracy"]) for kind in (nn.SparseDense, nn.Dense))
    expected = USES[use](dense, X.toarray())
    got = USES[use](sparse, X)
    if use == "penalties":  # sums in the order of θ
        np.testing.assert_allclose(got, expected, rtol=1e-6 if dtype == "float32" else 1e-14)
    else:
        same(got, expected)
    given_dense = USES[use](sparse, X.toarray())
    same(given_dense, got)


@each_dtype
def test_activations(dtype: str) -> None:
    """All but the input, which is not written out."""
    sparse, dense = model_of(nn.SparseDense, 5, dtype), model_of(nn.Dense, 5, dtype)
    mine, theirs = sparse.activations(X), dense.activations(X.toarray())
    assert [*mine] == ["first", "tanh", "last"]
    for a, b in zip(mine.values(), [*theirs.values()][1:], strict=True):
        same(a, b)


def test_the_gradient_with_respect_to_the_input() -> None:
    mine, theirs = (model_of(kind).deltas(X.toarray(), Y, LOSS) for kind in (nn.SparseDense, nn.Dense))
    assert "input" in mine
    np.testing.assert_allclose(mine["input"], theirs["input"], rtol=1e-12, atol=1e-16)
    same(model_of(nn.SparseDense).deltas(X, Y, LOSS)["input"], mine["input"])


@pytest.mark.parametrize("given", [X, X.toarray()], ids=["sparse", "dense"])
def test_gradients_by_differences(given: Any) -> None:
    for units, options in ((1, {}), (5, {"bias": False}), (20, {})):
        errors = model_of(nn.SparseDense, units, **options).check_gradients(given, Y, LOSS)
        assert max(errors.values()) < 1e-7


@pytest.mark.parametrize("operator", ["HessianOperator", "GaussNewtonOperator"])
def test_curvature_operators(operator: str) -> None:
    """Many vectors at once, with weights and a penalty, sparse and dense rows in turn."""
    make = getattr(second_order, operator)
    sparse, dense = model_of(nn.SparseDense), model_of(nn.Dense)
    results = []
    for model, data in ((sparse, X), (dense, X.toarray()), (sparse, X.toarray())):
        op = make(model, data, Y, LOSS, nn.L2(0.1), sample_weight=W)
        results.append(vectors(model, op @ direction(model)))
        matrix = op.matrix()
        np.testing.assert_allclose(matrix, matrix.T, rtol=1e-10, atol=1e-12)
    for other in results[1:]:
        same(results[0], other)


def test_jacobian_operator() -> None:
    sparse, dense = model_of(nn.SparseDense), model_of(nn.Dense)
    results = [second_order.JacobianOperator(m, data).matrix() for m, data in ((sparse, X), (dense, X.toarray()))]
    for mine, theirs in zip(*results, strict=True):
        same(vectors(sparse, mine), vectors(dense, theirs))


def test_directions_of_landscapes() -> None:
    """Noise of each unit has the length of its weights."""
    model = model_of(nn.SparseDense)
    for direction in nn.landscapes.filter_normalized_directions(model, seed=1):
        for name, noise in vectors(model, direction).items():
            own = vectors(model, model.parameters)[name]
            if own.ndim == 2:
                np.testing.assert_allclose(np.linalg.norm(noise, axis=1), np.linalg.norm(own, axis=1), rtol=1e-12)
    near(*(vectors(m, nn.landscapes.filter_normalized_directions(m)[0]) for m in (model, model_of(nn.Dense))), 1e-14)


SECOND_ORDER: dict[str, Make] = {
    "lbfgs": lambda: second_order.LBFGS(),
    "bfgs": lambda: second_order.BFGS(),
    "nonlinear_cg": lambda: second_order.NonlinearCG(),
    "truncated_newton": lambda: second_order.TruncatedNewton(),
    "damped_newton": lambda: second_order.DampedNewton(),
}


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_second_order(name: str) -> None:
    """Dot products are sums in the order of θ: the bits differ, the minimum does not."""
    penalty = nn.L2(0.05)
    results = []
    for kind, data in ((nn.SparseDense, X), (nn.Dense, X.toarray()), (nn.SparseDense, X.toarray())):
        t = nn.Trainer(model_of(kind, 3), LOSS, SECOND_ORDER[name](), regularizer=penalty)
        t.fit(data, Y, epochs=6, verbose=0)
        results.append(t)
    sparse, dense, given_dense = results
    first = slice(0, 4)  # later on, roundings have grown
    assert sparse.history["loss"][first] == pytest.approx(dense.history["loss"][first], rel=1e-9)
    near(parts_of(sparse), parts_of(dense), 1e-2)
    same(parts_of(sparse), parts_of(given_dense))


def test_files(tmp_path: Path) -> None:
    model = model_of(nn.SparseDense)
    model.save(tmp_path / "model")
    loaded = nn.load(tmp_path / "model")
    assert type(loaded[0]) is nn.SparseDense
    assert repr(loaded[0]) == repr(model[0]) == "SparseDense(5)"
    same(loaded.predict(X), model.predict(X))
    assert loaded[0].weight.shape == (5, WIDTH)
    assert loaded[0].weight.flags.f_contiguous


# ---- what a model takes


def test_a_dense_layer_given_sparse_rows_afterwards() -> None:
    """Dense rows are made sparse: with contiguous indices, of which one number or none."""
    for rows in (np.zeros((3, 4)), np.eye(4)[:1], np.arange(8.0).reshape(2, 4)):
        found = SparseRows.of(rows)
        assert found.columns.flags.c_contiguous
        assert np.array_equal(sp.csr_array((found.values, found.columns, found.starts), shape=rows.shape).toarray(), rows)


@pytest.mark.usefixtures("touched_rows")
@each_dtype
def test_training_on_dense_rows(dtype: str) -> None:
    sparse, dense = (trainer(kind, SKIPPING["adagrad"], dtype=dtype) for kind in (nn.SparseDense, nn.Dense))
    same(fit()(sparse, X.toarray()), fit()(dense, X.toarray()))
    same(parts_of(sparse), parts_of(dense))


def test_only_the_first_layer() -> None:
    with pytest.raises(ValueError, match=r"layers\[1\], SparseDense, must be the first layer, which reads the data"):
        nn.Sequential([nn.Dense(3), nn.SparseDense(2)], input_shape=4)
    with pytest.raises(ValueError, match=r"layers\[1\], SparseDense, must be the first layer"):
        nn.Sequential([nn.Tanh(), nn.SparseDense(2)], input_shape=4)
    with pytest.raises(TypeError, match=r"layer must be a Dense layer, whose weights are normalized, got SparseDense\(5\)"):
        nn.WeightNorm(nn.SparseDense(5))
    with pytest.raises(ValueError, match=r"input_shape must be below 2\*\*31"):
        nn.Sequential([nn.SparseDense(1)], input_shape=2**31)


def test_columns_beyond_the_rows_decide_nothing() -> None:
    """SciPy leaves room after the last row, which may hold anything; and the user may change the columns later."""
    other = X.copy()
    other.indices = np.concatenate([X.indices, np.full(5000, 2**31 - 1, X.indices.dtype)])
    other.data = np.concatenate([X.data, np.full(5000, np.nan)])
    trainers = [trainer(nn.SparseDense, SKIPPING["sgd"], units=70) for _ in range(2)]
    for t, data in zip(trainers, (X, other), strict=True):
        fit(batch_size=N)(t, data)
    same(*map(parts_of, trainers))
    rows = SparseRows(X.data, np.array([10**9, -5, 3, 10**9, 7], np.int32), np.array([0, 5]), WIDTH)
    assert rows.bounds.min() == 0
    assert (np.diff(rows.bounds) >= 0).all()
    assert rows.bounds[-2] < rows.bounds[-1] == WIDTH
    assert rows.wide_bounds.tolist() == rows.bounds[::2].tolist()
    assert SparseRows(X.data[:0], X.indices[:0], np.array([0]), 9).bounds.tolist() == [0] * 8 + [9]


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "width": (lambda: X[:, :30], r"X must have shape \(n, 43\), got \(60, 30\)"),
    "no rows": (lambda: X[:0], "X must have at least one row"),
    "NaN": (lambda: spoilt(data=(0, np.nan)), "X must be finite, got nan in row"),
    "a column too large": (lambda: spoilt(indices=(3, WIDTH)), "X must be a valid sparse matrix"),
    "starts": (lambda: spoilt(indptr=(5, 10**6)), "X must be a valid sparse matrix"),
    "complex": (lambda: X * 1j, "X must hold real numbers"),
    "dense of another width": (lambda: np.zeros((60, 3)), r"X must have shape \(n, 43\)"),
}


def spoilt(**arrays: Any) -> Any:
    other = X.copy()
    for name, (place, value) in arrays.items():
        getattr(other, name)[place] = value
    return other


@pytest.mark.parametrize("case", BAD)
def test_bad_matrices(case: str) -> None:
    make, message = BAD[case]
    t = trainer(nn.SparseDense)
    before = t.model.parameters.copy()
    for call in (t.fit, t.evaluate, t.partial_fit):
        with pytest.raises((ValueError, TypeError), match=message):
            call(make(), Y)
    same(t.model.parameters, before)


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize("case", ["plain", "L2", "EMA and L2"])
@pytest.mark.parametrize(("where", "value"), [("indices", WIDTH), ("indices", 2**31 - 1), ("indices", -1), ("indptr", 10**6)])
def test_a_matrix_that_a_callback_changes(where: str, value: int, case: str) -> None:
    """All weights are caught up even then, and remain what they were."""
    CAUGHT_UP["plain"] = (lambda: nn.SGD(0.1), {})
    own, (t, _) = X.copy(), pair(case)
    del CAUGHT_UP["plain"]

    def spoil(*_: Any) -> None:
        getattr(own, where)[30 if where == "indptr" else slice(30, 200)] = value

    with pytest.raises(ValueError, match=r"X must be a valid sparse matrix, got a .* changed while it was in use"):
        t.fit(own, Y, epochs=3, batch_size=7, verbose=0, callbacks=[nn.LambdaCallback(on_epoch_end=spoil)])
    assert np.isfinite(t.model.parameters).all()
    assert np.isfinite(t.model.predict(X)).all()


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize("units", [3, 70])
def test_a_matrix_that_is_changed_before_the_first_step(units: int) -> None:
    """The cuts between shards are made from the columns: they stay within the width whatever these are."""
    own, t = X.copy(), trainer(nn.SparseDense, SKIPPING["sgd"], units=units)

    def spoil(*_: Any) -> None:
        own.indices[...] = 2**31 - 1

    with pytest.raises(ValueError, match=r"X must be a valid sparse matrix, got a .* changed while it was in use"):
        t.fit(own, Y, epochs=3, batch_size=N, verbose=0, callbacks=[nn.LambdaCallback(on_train_begin=spoil)])


@both_paths
def test_a_profile(weights_per_row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_steps, "WEIGHTS_PER_ROW", weights_per_row)
    names = {op.name for op in trainer(nn.SparseDense, SKIPPING["sgd"]).profile(X, Y, batch_size=32, steps=5).ops}
    assert {"csr_locate", "csr_forward", "csr_backward_weight" if weights_per_row else "csr_backward_touched"} <= names


@pytest.mark.parametrize("constraint", [nn.MaxNorm(1.0), {"first": nn.UnitNorm()}, {"first.weight": nn.MinMaxNorm(0.5, 1.0)}])
def test_constraints_of_units_are_refused(constraint: Any) -> None:
    """A unit's weights do not lie together, as the projections need them."""
    with pytest.raises(ValueError, match=r"constraint must be one of single numbers.*for first.weight, whose.*do not lie"):
        trainer(nn.SparseDense, constraint=constraint)


# ---- mutants


@pytest.mark.usefixtures("touched_rows")
@pytest.mark.parametrize("case", ["L2", "proximal", "EMA and L2"])
def test_mutant_weights_that_are_never_caught_up(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_steps, "lazy_ops", lambda *_: None)
    monkeypatch.setattr("nncore.training.step_program.lazy_ops", lambda *_: None)
    sparse, dense = pair(case)
    for t, data in ((sparse, X), (dense, X.toarray())):
        t.fit(data, Y, epochs=10, batch_size=3, verbose=0)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        near(parts_of(sparse), parts_of(dense), 1e-11)
