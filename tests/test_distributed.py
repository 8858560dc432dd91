"""One training on several ranks: the tree, the same bits on any number of them, errors. Here ranks are threads."""

from __future__ import annotations

import copy
import itertools
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from helpers.ranks import Comm, on_ranks, outcomes
from numpy.typing import NDArray

import nncore as nn
from nncore import reference
from nncore._kernels.single_ops import run_op
from nncore.distributed import MPI, tree
from nncore.distributed.ranks import Ranks, Shares
from nncore.training.exchange import Batches

Array = NDArray[Any]

N = 103


@pytest.fixture(scope="module")
def data() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((N, 6)), rng.integers(0, 3, N)


@pytest.fixture(autouse=True)
def _one_thread_each() -> Any:
    before = nn.get_num_threads()
    nn.set_num_threads(1)
    yield
    nn.set_num_threads(before)


# ---- the tree


def expected_tree(first: int, last: int, shards: int) -> str:
    """The sum over the shards [first, last) of a power of two, those below ``shards``, as a formula."""
    if last - first == 1:
        return str(first)
    middle = (first + last) // 2
    left = expected_tree(first, middle, shards)
    return f"({left}+{expected_tree(middle, last, shards)})" if middle < shards else left


def formulas(first: int, last: int) -> list[str]:
    """What `tree.joins` makes of the shards [first, last)."""
    stack: list[str] = []
    for shard, (top, joins) in zip(range(first, last), tree.joins(first, last).tolist(), strict=True):
        assert len(stack) == top
        text = str(shard)
        for _ in range(joins):
            text = f"({stack.pop()}+{text})"
        stack.append(text)
    return stack


@pytest.mark.parametrize("shards", range(1, 18))
def test_every_number_of_ranks_adds_along_the_same_tree(shards: int) -> None:
    expected = expected_tree(0, 1 << (shards - 1).bit_length(), shards)
    for size in range(1, shards + 1):
        bounds = Shares(shards, size, 0).bounds
        texts = [text for pair in itertools.pairwise(bounds) for text in formulas(*pair)]
        leaves = [node for pair in itertools.pairwise(bounds) for node in tree.nodes(*pair)]
        assert len(leaves) == len(texts)
        for left, right in tree.additions(leaves):
            texts[left] = f"({texts[left]}+{texts[right]})"
        assert texts[0] == expected
        most = sum(tree.most_nodes(*pair) for pair in itertools.pairwise(bounds))
        assert len(leaves) <= most


def test_the_tree_in_full() -> None:
    assert expected_tree(0, 8, 8) == "(((0+1)+(2+3))+((4+5)+(6+7)))"
    assert expected_tree(0, 8, 6) == "(((0+1)+(2+3))+(4+5))"


def test_ranks_share_the_shards() -> None:
    for shards, size in itertools.product(range(1, 20), range(1, 20)):
        bounds = Shares(shards, size, 0).bounds
        assert bounds[0] == 0
        assert bounds[-1] == shards
        assert set(np.diff(bounds)) <= {shards // size, -(-shards // size)}


@pytest.mark.parametrize("merge", [0, 1])
@pytest.mark.parametrize("part", [1, 4])
@pytest.mark.parametrize("n", [4, 5, 8, 9, 31, 32, 33, 36, 37, 64, 65, 97])
def test_batches(n: int, part: int, merge: int) -> None:
    """Every example has a shard, in order; none has a single row where that joins the one before."""
    batches, seen = Batches(n, min(32, n), part, merge), 0
    for step in range(2 * batches.per_epoch):
        starts = batches.starts(batches.rows(step))
        assert starts[0] == 0
        lengths = np.diff(starts)
        assert ((lengths > 0) & (lengths <= part + merge)).all()
        assert not (merge and part > 1 and (lengths == 1).any())
        assert len(lengths) <= -(-min(32, n) // part)
        seen += starts[-1]
    assert seen == 2 * n


# ---- kernels


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("first", "last"), [(0, 1), (0, 4), (0, 7), (3, 8), (5, 6), (2, 13)])
def test_join_parts_is_its_twin(first: int, last: int, dtype: str, rng: np.random.Generator) -> None:
    """Tiles of one matrix and a vector; the last part keeps its sum only beside others."""
    n, plan = 40, tree.joins(first, last)
    table = np.array([[0, 3, 4, 8, 0], [4, 3, 4, 8, 0], [24, 1, 16, 16, 0]])
    nodes = np.full((max(plan[:, 0].max(), 1) + 1, n), np.nan, dtype)
    expected = nodes.copy()
    for part in range(first, last):
        top, joins = plan[part - first].tolist()
        grad = rng.standard_normal(n).astype(dtype)
        twin = grad.copy()
        row = plan[part - first : part - first + 1]
        # one part of one row, so that it is number 0 of its plan, and the last
        run_op("join_parts", (nodes, grad, row, table), dtype=dtype, sizes=(1, 0), axis="tiles", pieces=3)
        reference.join_parts(expected, twin, top, joins, keep=top > joins)
        assert grad.tobytes() == twin.tobytes()
        if top == joins:  # the executor has kept it, as it is not the last one of its batch
            nodes[0], expected[0] = grad, grad
        np.testing.assert_array_equal(nodes, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 7, 8, 9, 100])
def test_sum_nodes_is_its_twin(n: int, dtype: str, rng: np.random.Generator) -> None:
    nodes, grad = rng.standard_normal((5, n)).astype(dtype), np.zeros(n, dtype)
    pairs = [(1, 2), (0, 1), (3, 4), (0, 3)]
    twin, expected = nodes.copy(), np.zeros(n, dtype)
    reference.sum_nodes(expected, twin, pairs)
    plan = np.array([len(pairs), *itertools.chain(*pairs), 99, 99])
    run_op("sum_nodes", (grad, nodes, plan), dtype=dtype, sizes=(8,), axis="tiles", pieces=-(-n // 8))
    assert grad.tobytes() == expected.tobytes()
    before = grad.copy()
    run_op("sum_nodes", (grad, nodes, np.array([-1])), dtype=dtype, sizes=(8,), axis="tiles", pieces=-(-n // 8))
    assert grad.tobytes() == before.tobytes()


# ---- training


def dense(*between: nn.Layer, units: int = 9, dtype: str = "float64", seed: int = 1) -> Callable[[], nn.Sequential]:
    layers = [nn.Dense(units), *between, nn.Tanh(), nn.Dense(3)]
    return lambda: nn.Sequential(copy.deepcopy(layers), input_shape=6, dtype=dtype, seed=seed)


class Doubled(nn.Layer):
    """Written in Python."""

    def forward(self, x: Array, training: bool) -> Array:
        return 2 * x

    def backward(self, dy: Array) -> Array:
        return 2 * dy


MODELS: dict[str, Callable[[], nn.Sequential]] = {
    "dense": dense(), "float32": dense(dtype="float32"), "dropout": dense(nn.Dropout(0.3)),
    "noise": dense(nn.GaussianNoise(0.5), nn.GaussianDropout(0.2)),
    "weight noise": lambda: nn.Sequential([nn.DropConnect(9, rate=0.2), nn.Tanh(), nn.Dense(3)], input_shape=6, seed=1),
    "batch norm": dense(nn.BatchNorm()), "batch renorm": dense(nn.BatchRenorm()),
    "two batch norms": dense(nn.BatchNorm(momentum=None), nn.BatchNorm(units=[1, 3])),
    "layer norm": dense(nn.LayerNorm()), "activity": dense(nn.ActivityL1(1e-3)), "python": dense(Doubled()),
    "recurrent": lambda: nn.Sequential([nn.GRU(5, zoneout=0.3), nn.Dense(3)], input_shape=(3, 2), dtype="float64", seed=1),
    "sparse": lambda: nn.Sequential([nn.SparseDense(9), nn.Tanh(), nn.Dense(3)], input_shape=6, seed=1),
}  # fmt: skip


def trained(
    comm: Comm | None, data: tuple[Array, Array], *, shards: int = 8, model: nn.Sequential | None = None, **options: Any
) -> nn.Trainer:
    """Three epochs of 103 rows in batches of 32: the last one has 7 rows, and so only two of eight shards."""
    model = model or dense()()
    parts = ("loss", "clip", "regularizer", "constraint", "lr_factors", "metrics", "seed")
    made = {name: options.pop(name) for name in parts if name in options}
    made = {"loss": "softmax_cross_entropy", "metrics": ["accuracy", "mean_squared_error"]} | made
    optimizer = copy.deepcopy(options.pop("optimizer", "adam"))
    trainer = nn.Trainer(model, optimizer=optimizer, **made)
    X = data[0] if scipy.sparse.issparse(data[0]) else data[0].reshape(-1, *model.input_shape)
    distributed = {} if comm is None else {"distributed": MPI(shards, comm)}
    trainer.fit(X, data[1], **{"epochs": 3, "batch_size": 32, "verbose": 0, **options, **distributed})
    return trainer


def bits(trainer: nn.Trainer) -> tuple[Any, ...]:
    state = trainer.optimizer.state_dict()
    arrays = {name: value.tobytes() if isinstance(value, np.ndarray) else value for name, value in state.items()}
    history = {name: trainer.history[name].tobytes() for name in trainer.history.columns}
    return trainer.model.parameters.tobytes(), trainer.model.state.tobytes(), arrays, history


def assert_same_bits(data: tuple[Array, Array], sizes: Any = range(1, 9), **options: Any) -> nn.Trainer:
    """On every rank, for every number of ranks; returns the trainer of the only rank."""
    make = options.pop("make", dense())
    (one,) = on_ranks(1, lambda comm: trained(comm, data, model=make(), **options))
    for size in sizes:
        for trainer in on_ranks(size, lambda comm: trained(comm, data, model=make(), **options)):
            for got, expected in zip(bits(trainer), bits(one), strict=True):
                assert got == expected, size
    return one


def assert_alike(one: nn.Trainer, other: nn.Trainer) -> None:
    """Equal up to the order in which gradients are added up."""
    tolerance = 1e-9 if one.model.dtype == np.float64 else 2e-4
    np.testing.assert_allclose(one.model.parameters, other.model.parameters, rtol=tolerance, atol=tolerance)
    assert one.history.columns == other.history.columns
    for name in one.history.columns:
        np.testing.assert_allclose(one.history[name], other.history[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", MODELS)
def test_the_bits_do_not_depend_on_the_number_of_ranks(name: str, data: tuple[Array, Array]) -> None:
    """And the step is that of the batch; with batch statistics that of shards, as with ``accumulate``."""
    X, y = data
    given = (scipy.sparse.csr_matrix(np.where(np.abs(X) > 1, X, 0)), y) if name == "sparse" else data
    held_out = given[0][:50] if name == "sparse" else X[:50].reshape(50, *MODELS[name]().input_shape)
    options: dict[str, Any] = {"last_batch": "merge"} if "batch" in name else {}
    options["validation_data"] = held_out, y[:50]
    one = assert_same_bits(given, make=MODELS[name], **options)
    if name == "batch renorm":
        return  # all shards of a step have the averages before it
    rows = {"batch_size": 4, "accumulate": 8} if "batch" in name else {}
    assert_alike(one, trained(None, given, model=MODELS[name](), **options, **rows))


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 7, 16])
def test_any_number_of_shards(shards: int, data: tuple[Array, Array]) -> None:
    one = assert_same_bits(data, range(1, min(shards, 8) + 1), shards=shards, batch_size=2 * shards)
    assert_alike(one, trained(None, data, batch_size=2 * shards))


def test_one_shard_is_an_ordinary_training(data: tuple[Array, Array]) -> None:
    one = on_ranks(1, lambda comm: trained(comm, data, shards=1))[0]
    assert bits(one) == bits(trained(None, data))


@pytest.mark.parametrize("last_batch", ["keep", "merge", "drop"])
@pytest.mark.parametrize("n", [1, 4, 5, 31, 32, 33, 36, 37, 64, 65, 97])
def test_last_batches(n: int, last_batch: str, data: tuple[Array, Array]) -> None:
    some = data[0][:n], data[1][:n]
    assert_same_bits(some, (2, 3, 8), last_batch=last_batch, epochs=2)


@pytest.mark.parametrize("shards", [1, 2, 4])
@pytest.mark.parametrize("n", [4, 5, 6, 45, 46, 47, 48])
def test_a_last_row_is_merged_whatever_the_shards(n: int, shards: int, data: tuple[Array, Array]) -> None:
    """A batch of one row joins the one before also where the shards have one row, as on one process."""
    some, options = (data[0][:n], data[1][:n]), {"batch_size": 4, "last_batch": "merge"}
    one = assert_same_bits(some, range(1, shards + 1), shards=shards, **options)
    assert one.optimizer.step_count == 3 * (n // 4 if n % 4 == 1 else -(-n // 4))
    assert_alike(one, trained(None, some, **options))


def test_merging_does_not_let_batch_statistics_have_shards_of_one_row(data: tuple[Array, Array]) -> None:
    def work(comm: Comm) -> nn.Trainer:
        model, some = dense(nn.BatchNorm())(), (data[0][:45], data[1][:45])
        return trained(comm, some, shards=4, model=model, batch_size=4, last_batch="merge")

    for result in outcomes(2, work):
        assert "needs at least 2 rows: the last batch of 45 rows in batches of 1 has 1" in str(result)


@pytest.mark.parametrize(("n", "batch_size"), [(103, 32), (65, 32), (31, 32), (103, 103), (103, 128)])
def test_a_last_batch_is_dropped_whole(n: int, batch_size: int, data: tuple[Array, Array]) -> None:
    """As on one process; of a batch of all rows none are dropped, though the last shard has fewer."""
    some, options = (data[0][:n], data[1][:n]), {"batch_size": batch_size, "last_batch": "drop"}
    one = on_ranks(1, lambda comm: trained(comm, some, **options))[0]
    assert_alike(one, trained(None, some, **options))


@pytest.mark.parametrize("n", [9, 100])
def test_full_batches(n: int, data: tuple[Array, Array]) -> None:
    """A batch of all rows need not be a multiple of the shards; of nine rows in shards of two there are five shards."""
    one = assert_same_bits((data[0][:n], data[1][:n]), (2, 3, 8), batch_size=n, optimizer="rprop")
    assert_alike(one, trained(None, (data[0][:n], data[1][:n]), batch_size=n, optimizer="rprop"))


OPTIONS: dict[str, dict[str, Any]] = {
    "clip": {"clip": nn.ClipGlobalNorm(0.3)}, "clip by array": {"clip": nn.ClipNorm(0.1)},
    "clip by value": {"clip": nn.ClipValue(0.01)}, "penalty": {"regularizer": nn.ElasticNet(1e-3, 1e-2)},
    "proximal": {"regularizer": nn.ProximalL1(1e-2)}, "constraint": {"constraint": nn.MaxNorm(0.6)},
    "factors": {"lr_factors": {"*.bias": 0.0, "dense_2": 0.5}}, "sample_weight": {"sample_weight": np.linspace(0, 2, N)},
    "class_weight": {"class_weight": "balanced"}, "schedule": {"optimizer": nn.Adam(lr=nn.schedules.Cosine(1e-2, steps=12))},
    "nesterov": {"optimizer": nn.Nesterov(lr=0.1)}, "averages": {"optimizer": nn.EMA(nn.Adam(lr=0.01), decay=0.9)},
    "gradient noise": {"optimizer": nn.GradientNoise(nn.SGD(lr=0.1), 0.1)}, "in order": {"shuffle": False},
    "stratified": {"sampler": "stratified"}, "with replacement": {"sampler": "with_replacement"},
    "losses": {"sampler": "importance_sampling"}, "largest losses": {"sampler": "largest_loss_first"},
    "augment": {"augment": nn.data.Augment([nn.data.Rotate(20), nn.data.PixelNoise(0.1)], (2, 3)), "validation_split": 0.2},
    "exact loss": {"exact_loss": True}, "split": {"validation_split": 0.2},
    "early stopping": {
        "validation_split": 0.5, "epochs": 30, "optimizer": nn.Adam(lr=0.1),
        "callbacks": lambda: [nn.EarlyStopping(patience=1, restore_best=True)],
    },
    "plateau": {"callbacks": lambda: [nn.ReduceLROnPlateau(monitor="running_loss", patience=0, threshold=10.0)]},
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_everything_a_fit_takes(name: str, data: tuple[Array, Array]) -> None:
    options = dict(OPTIONS[name])
    callbacks = options.pop("callbacks", None)

    def work(comm: Comm | None) -> nn.Trainer:
        own = {"callbacks": callbacks()} if callbacks else {}
        return trained(comm, data, **copy.deepcopy(options), **own)

    (one,) = on_ranks(1, work)
    for size in (2, 3, 8):
        assert all(bits(trainer) == bits(one) for trainer in on_ranks(size, work))
    assert_alike(one, work(None))
    if name == "early stopping":
        assert one.epochs_done < 30


def test_threads_and_ranks(data: tuple[Array, Array]) -> None:
    """A net with enough work for two threads, whose gradient has several tiles; the batch of three rows has only one shard."""
    make = dense(units=900, dtype="float32")
    (one,) = on_ranks(1, lambda comm: trained(comm, data, shards=4, model=make(), batch_size=100))
    nn.set_num_threads(2)
    for size in (1, 2, 3):
        results = on_ranks(size, lambda comm: trained(comm, data, shards=4, model=make(), batch_size=100))
        assert all(bits(trainer) == bits(one) for trainer in results)


# ---- against other computations


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_is_the_tree_of_those_of_the_shards(dtype: str, data: tuple[Array, Array]) -> None:
    """To the bit: dividing by 4 does not round."""
    X, y = data[0][:32].astype(dtype), data[1][:32]
    model = dense(dtype=dtype)()
    shards = [
        model.loss_and_gradient(X[k : k + 8], y[k : k + 8], "softmax_cross_entropy")[1].copy() / 4 for k in range(0, 32, 8)
    ]
    expected = (shards[0] + shards[1]) + (shards[2] + shards[3])
    assert expected.tobytes() != (((shards[0] + shards[1]) + shards[2]) + shards[3]).tobytes()
    for size in range(1, 5):
        for trainer in on_ranks(
            size,
            lambda comm: trained(comm, (X, y), shards=4, model=dense(dtype=dtype)(), epochs=1, shuffle=False, optimizer="sgd"),
        ):
            assert trainer.model.gradients.tobytes() == expected.tobytes()


def numpy_gradient(W1: Array, b1: Array, W2: Array, b2: Array, X: Array, y: Array) -> tuple[float, list[Array]]:
    h = np.tanh(X @ W1.T + b1)
    z = h @ W2.T + b2
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(len(y)), y]).mean()
    delta = (p - np.eye(p.shape[1])[y]) / len(y)
    below = (delta @ W2) * (1 - h * h)
    return loss, [below.T @ X, below.sum(axis=0), delta.T @ h, delta.sum(axis=0)]


def test_steps_are_those_of_numpy(data: tuple[Array, Array]) -> None:
    """Two steps of gradient descent, in double precision, on three ranks."""
    X, y = data[0][:48], data[1][:48]
    model = dense()()
    parts = [array.copy() for layer in (model.layers[0], model.layers[2]) for array in (layer.weight, layer.bias)]
    losses = []
    for rows in (slice(0, 32), slice(32, 48)):
        loss, gradients = numpy_gradient(*parts, X[rows], y[rows])
        losses.append(loss * (rows.stop - rows.start))
        parts = [part - 0.5 * gradient for part, gradient in zip(parts, gradients, strict=True)]
    for trainer in on_ranks(3, lambda comm: trained(comm, (X, y), epochs=1, shuffle=False, optimizer=nn.SGD(lr=0.5))):
        first, _, last = trainer.model.layers
        for got, expected in zip((first.weight, first.bias, last.weight, last.bias), parts, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(trainer.history["running_loss"], [sum(losses) / 48], rtol=1e-12)


def test_traffic(data: tuple[Array, Array]) -> None:
    """A step meets once; each rank sends a slice of its gradient and of the sum to each other one."""

    def steps(comm: Comm, epochs: int) -> list[str]:
        trained(comm, data, epochs=epochs)
        return comm.world.calls[comm.rank]

    one, two = (on_ranks(4, lambda comm, epochs=epochs: steps(comm, epochs))[0] for epochs in (1, 2))  # type: ignore[misc]
    more = {name: two.count(name) - one.count(name) for name in set(two)}
    assert more["Sendrecv"] == 4 * 2 * 3  # steps, gradients and their sum, other ranks
    assert more["Allgather"] == 4 + 3  # and per epoch: whether it goes on, the parameters, the order


# ---- checkpoints and files


@pytest.mark.parametrize(("before", "after"), [(4, 2), (1, 3), (2, 1)])
def test_a_checkpoint_continues_on_another_number_of_ranks(
    before: int, after: int, data: tuple[Array, Array], tmp_path: Path
) -> None:
    options: dict[str, Any] = {"optimizer": nn.Nesterov(lr=nn.schedules.Cosine(0.1, steps=20)), "clip": nn.ClipGlobalNorm(0.5)}
    make = MODELS["batch norm"]
    straight = on_ranks(
        1, lambda comm: trained(comm, data, model=make(), last_batch="merge", epochs=4, **copy.deepcopy(options))
    )[0]
    path = tmp_path / "training"
    saving = {"callbacks": [nn.ModelCheckpoint(path)]}
    on_ranks(
        before, lambda comm: trained(comm, data, model=make(), last_batch="merge", epochs=2, **copy.deepcopy(options | saving))
    )

    def work(comm: Comm) -> nn.Trainer:
        trainer = trained(None, data, model=make(), epochs=1, **copy.deepcopy(options))
        trainer.restore(path)
        assert trainer.epochs_done == 2
        trainer.fit(*data, epochs=2, batch_size=32, last_batch="merge", verbose=0, distributed=MPI(8, comm))
        return trainer

    for trainer in on_ranks(after, work):
        assert bits(trainer) == bits(straight)


def test_files_are_written_by_rank_0(data: tuple[Array, Array], tmp_path: Path) -> None:
    seen = []

    def work(comm: Comm) -> None:
        folder = tmp_path / str(comm.rank)
        if comm.rank == 0:
            folder.mkdir()
        callbacks = [nn.CSVLogger(folder / "log.csv"), nn.ModelCheckpoint(folder / "net"), Note(seen)]
        trainer = trained(comm, data, callbacks=callbacks)
        assert trainer.rank == 0
        trainer.save(tmp_path / f"after-{comm.rank}")  # of each rank, once fit is over

    on_ranks(3, work)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        "0/log.csv", "0/net", "after-0", "after-1", "after-2"
    ]  # fmt: skip
    assert sorted(seen) == [(rank, epoch) for rank in range(3) for epoch in (1, 2, 3)]


class Note(nn.Callback):
    def __init__(self, seen: list[tuple[int, int]]) -> None:
        self.seen = seen

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        self.seen.append((trainer.rank, epoch))
        assert copy.copy(trainer).rank == 0


def test_only_rank_0_shows_progress(data: tuple[Array, Array], capsys: pytest.CaptureFixture[str]) -> None:
    on_ranks(3, lambda comm: trained(comm, data, verbose=2))
    assert capsys.readouterr().err.count("epoch 1/3") == 1


# ---- errors: no rank waits for ever


class Fails(nn.Callback):
    """Raises on one rank, in one hook."""

    def __init__(self, rank: int, hook: str, epoch: int = 2) -> None:
        self.rank, self.hook, self.epoch = rank, hook, epoch

    def _maybe(self, trainer: Any, hook: str, epoch: int) -> None:
        if (trainer.rank, hook, epoch) == (self.rank, self.hook, self.epoch):
            raise OSError("no space left")

    def on_train_begin(self, trainer: Any) -> None:
        self._maybe(trainer, "train_begin", self.epoch)

    def on_epoch_begin(self, trainer: Any, epoch: int) -> None:
        self._maybe(trainer, "epoch_begin", epoch)

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        self._maybe(trainer, "epoch_end", epoch)

    def on_train_end(self, trainer: Any) -> None:
        self._maybe(trainer, "train_end", self.epoch)


def assert_all_end(results: list[Any], rank: int, error: type[BaseException], message: str) -> None:
    """The rank with its own error, the others with one that names it."""
    assert isinstance(results[rank], error)
    for number, result in enumerate(results):
        if number != rank:
            assert isinstance(result, RuntimeError), result
            assert str(result) == f"rank {rank} ended the training: {error.__name__}: {message}"


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("hook", ["train_begin", "epoch_begin", "epoch_end", "train_end"])
def test_an_error_in_a_callback_ends_all_ranks(hook: str, rank: int, data: tuple[Array, Array]) -> None:
    for epoch in (1, 2, 3):
        callbacks = [Fails(rank, hook, epoch)]
        results = outcomes(3, lambda comm, own=callbacks: trained(comm, data, callbacks=own, validation_split=0.2))  # type: ignore[misc]
        assert_all_end(results, rank, OSError, "no space left")


class Breaks(nn.Layer):
    """Raises in a pass of one rank."""

    def __init__(self, comm: Comm, where: str, name: str | None = None) -> None:
        super().__init__(name=name)
        self.breaks, self.where, self.passes = comm.rank == 1, where, 0

    def _maybe(self, where: str, training: bool = True) -> None:
        if self.breaks and where == self.where:
            self.passes += 1
            if self.passes == 3:
                raise ZeroDivisionError("on purpose")

    def forward(self, x: Array, training: bool) -> Array:
        self._maybe("training" if training else "inference")
        return x

    def backward(self, dy: Array) -> Array:
        self._maybe("backward")
        return dy


@pytest.mark.parametrize("where", ["training", "backward", "inference"])
def test_an_error_in_a_layer_ends_all_ranks(where: str, data: tuple[Array, Array]) -> None:
    def work(comm: Comm) -> nn.Trainer:
        model = nn.Sequential([nn.Dense(4), nn.BatchNorm(), Breaks(comm, where), nn.Dense(3)], input_shape=6, seed=1)
        many = np.tile(data[0], (30, 1)), np.tile(data[1], 30)  # several portions of an evaluation
        return trained(comm, data, model=model, last_batch="merge", validation_data=many, epochs=5)

    assert_all_end(outcomes(3, work), 1, ZeroDivisionError, "on purpose")


@pytest.mark.parametrize("size", [1, 2])
def test_a_step_that_failed_leaves_no_trace(size: int, data: tuple[Array, Array]) -> None:
    """Not even in what is kept of the statistics of its shards."""

    class Once(nn.Layer):
        passes = 0

        def forward(self, x: Array, training: bool) -> Array:
            self.passes += training
            if self.passes == 3:
                raise ZeroDivisionError("on purpose")
            return x

        def backward(self, dy: Array) -> Array:
            return dy

    def work(comm: Comm, fails: bool) -> nn.Trainer:
        model = nn.Sequential([nn.Dense(4), nn.BatchNorm(), Once(), nn.Dense(3)], input_shape=6, seed=1)
        vars(model.layers[2])["passes"] = 0 if fails else 3
        trainer = nn.Trainer(model, "softmax_cross_entropy")
        for attempt in range(1 + fails):
            with pytest.raises(ZeroDivisionError) if fails and not attempt else nullcontext():
                trainer.fit(*data, batch_size=32, last_batch="merge", verbose=0, distributed=MPI(8, comm))
        return trainer

    results = [bits(trainer) for fails in (False, True) for trainer in on_ranks(size, lambda comm: work(comm, fails))]  # noqa: B023
    assert all(result == results[0] for result in results)


def test_bad_arguments_of_one_rank_end_all(data: tuple[Array, Array]) -> None:
    X = data[0].copy()
    X[3, 2] = np.nan
    results = outcomes(3, lambda comm: trained(comm, (X if comm.rank == 2 else data[0], data[1])))
    assert isinstance(results[2], ValueError)
    assert all(str(result).startswith("rank 2 ended the training: ValueError: X must") for result in results[:2])


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"batch_size": 0}, {"validation_split": 1.0}], ids=str)
def test_a_bad_number_on_one_rank_ends_all(bad: dict[str, Any], data: tuple[Array, Array]) -> None:
    first, second = outcomes(2, lambda comm: trained(comm, data, **bad if comm.rank else {}))
    assert isinstance(second, ValueError)
    assert str(first).startswith(f"rank 1 ended the training: ValueError: {next(iter(bad))} must be")


def assert_all_refuse(results: list[Any], message: str) -> None:
    for result in results:
        assert isinstance(result, ValueError), result
        assert str(result) == message


def used_adam() -> nn.Adam:
    """The default one, but with a state, which a trainer takes over only by hand."""

    class Used(nn.Adam):
        def init_state(self, n: int, dtype: Any) -> None:
            super().init_state(n, dtype)
            self.state["m"][...] = 1

    Used.__module__, Used.__name__ = nn.Adam.__module__, "Adam"
    return Used()


def same_parameters(*between: nn.Layer, seed: int = 1) -> nn.Sequential:
    """Another model, of the parameters of ``dense()()``."""
    other = dense(*between, seed=seed)()
    other.parameters[...] = dense()().parameters
    return other


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("X, y, sample_weight or class_weight", lambda data: {"data": (data[0] + 1e-9, data[1])}),
        ("X, y, sample_weight or class_weight", lambda data: {"data": (data[0], data[1][::-1])}),
        ("X, y, sample_weight or class_weight", lambda data: {"sample_weight": np.full(N, 1.0 + 1e-15)}),
        ("validation_data", lambda data: {"validation_data": (data[0][:8], data[1][8:16])}),
        ("augment", lambda data: {"augment": nn.data.Augment([nn.data.Shift(1)], (2, 3))}),
        ("shards, batch_size, epochs, last_batch or what is evaluated", lambda data: {"epochs": 4}),
        ("shards, batch_size, epochs, last_batch or what is evaluated", lambda data: {"batch_size": 40}),
        ("shards, batch_size, epochs, last_batch or what is evaluated", lambda data: {"shards": 4}),
        ("shards, batch_size, epochs, last_batch or what is evaluated", lambda data: {"validation_data": None}),
        ("model.parameters", lambda data: {"model": dense(seed=2)()}),
        ("the optimizer or its arguments", lambda data: {"optimizer": "sgd"}),
        ("the optimizer or its arguments", lambda data: {"optimizer": nn.Adam(lr=0.002)}),
        ("the optimizer or its arguments", lambda data: {"optimizer": nn.Adam(lr=nn.schedules.Exponential(0.001, gamma=0.9))}),
        ("the optimizer's state", lambda data: {"optimizer": used_adam()}),
        ("the layers or their arguments", lambda data: {"model": same_parameters(nn.Dropout(0.3))}),
        ("the layers or their arguments", lambda data: {"model": same_parameters(Doubled())}),
        ("the model's seed", lambda data: {"model": same_parameters(seed=2)}),
        ("loss", lambda data: {"loss": nn.SoftmaxCrossEntropy(label_smoothing=0.1)}),
        ("loss", lambda data: {"loss": "sigmoid_cross_entropy"}),
        ("regularizer", lambda data: {"regularizer": nn.L2(0.2)}),
        ("clip", lambda data: {"clip": nn.ClipNorm(1.0)}),
        ("clip", lambda data: {"clip": nn.ClipGlobalNorm(2.0)}),
        ("constraint", lambda data: {"constraint": {"dense_1": nn.MaxNorm(2.0)}}),
        ("lr_factors", lambda data: {"lr_factors": {"dense_1": 0.1}}),
        ("metrics", lambda data: {"metrics": ["accuracy", nn.Huber(2.0)]}),
        ("seed or epochs_done of the trainer", lambda data: {"seed": 1}),
        ("sampler or shuffle", lambda data: {"shuffle": False}),
        ("sampler or shuffle", lambda data: {"sampler": "with_replacement"}),
        ("sampler or shuffle", lambda data: {"sampler": "largest_loss_first"}),
        ("sampler or shuffle", lambda data: {"sampler": "importance_sampling"}),
        ("shards, batch_size, epochs, last_batch or what is evaluated", lambda data: {"data": (data[0][:-8], data[1][:-8])}),
        ("shards, batch_size, epochs, last_batch or what is evaluated", lambda data: {"last_batch": "drop"}),
        ("shards, batch_size, epochs, last_batch or what is evaluated", lambda data: {"exact_loss": True}),
        ("nncore's version, the dtype or the instruction set (see NNCORE_ISA)",
         lambda data: {"model": dense(dtype="float32")()}),
    ],
)  # fmt: skip
def test_what_differs_between_ranks_is_refused(
    what: str, change: Callable[..., dict[str, Any]], data: tuple[Array, Array]
) -> None:
    common = {
        "data": data, "validation_data": (data[0][:8], data[1][:8]), "clip": nn.ClipGlobalNorm(1.0), "regularizer": nn.L2(0.1),
        "metrics": ["accuracy", nn.Huber(1.0)],
    }  # fmt: skip
    message = f"{what} must be the same on all ranks, but rank 1 has another one than rank 0"
    assert_all_refuse(outcomes(3, lambda comm: trained(comm, **common | (change(data) if comm.rank == 1 else {}))), message)


class Changed(nn.data.Transform):
    """By a function, whose text is another one in each process."""

    def __init__(self, change: Callable[[Array], Array]) -> None:
        self.change = change

    def numbers(self, shape: tuple[int, int, int]) -> int:
        return 0

    def apply(self, images: Array, uniforms: Array, fill: float) -> Array:
        return self.change(images)


def test_equal_augmentation_by_functions_is_accepted(data: tuple[Array, Array]) -> None:
    def work(comm: Comm) -> nn.Trainer:
        return trained(comm, data, augment=nn.data.Augment([Changed(lambda images: images + 1)], (2, 3)))

    one, two = on_ranks(2, work)
    assert bits(one) == bits(two)


def test_what_comes_to_differ_is_refused(data: tuple[Array, Array]) -> None:
    def drift(trainer: Any, epoch: int, row: Any) -> None:
        if trainer.rank == 1:
            trainer.model.parameters[0] += 1e-12

    for epochs in (1, 2):
        own = {"epochs": epochs, "callbacks": [nn.LambdaCallback(on_epoch_end=drift)]}
        results = outcomes(3, lambda comm, own=own: trained(comm, data, **own))  # type: ignore[misc]
        assert_all_refuse(results, "model.parameters must be the same on all ranks, but rank 1 has another one than rank 0")


def test_averages_that_come_to_differ_are_refused(data: tuple[Array, Array]) -> None:
    """Though the parameters are the same: these do not depend on their averages."""

    def assign(trainer: Any, epoch: int, row: Any) -> None:
        if trainer.rank == 1:
            trainer.optimizer.decay = 0.5

    def work(comm: Comm) -> nn.Trainer:
        own = [nn.LambdaCallback(on_epoch_end=assign)]
        return trained(comm, data, optimizer=nn.EMA(nn.SGD(lr=0.1), decay=0.9), epochs=2, callbacks=own)

    message = "the optimizer's state must be the same on all ranks, but rank 1 has another one than rank 0"
    assert_all_refuse(outcomes(3, work), message)


class Reversed(nn.samplers.Sampler):
    """Another order than that of the rows, though the class is the same: an attribute decides it."""

    def __init__(self) -> None:
        self.turned = False

    def orders(self, examples: Any, done: int, epochs: int) -> Array | None:
        order: Array | None = super().orders(examples, done, epochs)
        return order if self.turned else None

    def order(self, examples: Any, epoch: int) -> Array:
        return np.arange(examples.count)[::-1]


def test_an_order_and_none_are_refused(data: tuple[Array, Array]) -> None:
    def work(comm: Comm) -> nn.Trainer:
        sampler = Reversed()
        sampler.turned = comm.rank == 1
        return trained(comm, data, sampler=sampler)

    for result in outcomes(2, work):
        assert "the order of the examples, from Reversed(), must be the same on all ranks" in str(result)


class Unseeded(nn.samplers.Sampler):
    """An order that is another one on each rank."""

    def order(self, examples: Any, epoch: int) -> Array:
        return np.random.default_rng().permutation(examples.count)


@pytest.mark.filterwarnings("ignore")
def test_an_order_that_differs_is_refused(data: tuple[Array, Array]) -> None:
    results = outcomes(2, lambda comm: trained(comm, data, sampler=Unseeded()))
    message = (
        "the order of the examples, from Unseeded(), must be the same on all ranks, but rank 1 has another one than rank 0"
    )
    assert_all_refuse(results, message)


def test_ranks_that_make_different_calls(data: tuple[Array, Array]) -> None:
    """One has ended its call of ``fit``, the other has not."""

    def work(comm: Comm) -> None:
        with Ranks(MPI(4, comm)) as ranks:
            if comm.rank:
                ranks.meet()

    first, second = outcomes(2, work)
    message = "rank 0 has ended its call of fit while rank 1 goes on: all must make the same"
    assert str(first) == str(second) == message


def test_long_messages_and_other_alphabets_arrive() -> None:
    def work(comm: Comm) -> None:
        with Ranks(MPI(4, comm)) as ranks:
            if comm.rank == 1:
                raise OSError("ü" * 1000)
            ranks.meet()

    assert str(outcomes(2, work)[0]).startswith("rank 1 ended the training: OSError: üüü")


def test_divergence_is_the_same_on_all_ranks(data: tuple[Array, Array]) -> None:
    """One example, which one rank has, has an infinite loss, though its gradient is finite: no rank takes the step."""
    X, y = data[0], data[0].sum(axis=1)
    y[50] = 1e200

    def work(comm: Comm) -> tuple[str, bytes, list[float]]:
        trainer = nn.Trainer(
            nn.Sequential([nn.Dense(1)], input_shape=6, dtype="float64", seed=0), "squared_error", nn.SGD(lr=1e-3)
        )
        with pytest.raises(nn.DivergenceError, match=r"epoch 1, step 2 with lr = 0\.001: the loss is inf") as error:
            trainer.fit(X, y, epochs=3, batch_size=32, shuffle=False, verbose=0, distributed=MPI(8, comm))
        assert trainer.optimizer.step_count == 1
        return str(error.value), trainer.model.parameters.tobytes(), list(trainer.history.columns)

    results = [on_ranks(size, work) for size in (1, 2, 3, 8)]
    assert len({theta for result in results for _, theta, _ in result}) == 1
    line = nn.Trainer(nn.Sequential([nn.Dense(1)], input_shape=6, dtype="float64", seed=0), "squared_error", nn.SGD(lr=1e-3))
    (own,) = on_ranks(1, lambda comm: MPI(8, comm))
    line.fit(X[:32], y[:32], batch_size=32, shuffle=False, verbose=0, distributed=own)
    assert results[0][0][1] == line.model.parameters.tobytes()


def test_an_update_that_is_not_finite(data: tuple[Array, Array]) -> None:
    def work(comm: Comm) -> bytes:
        trainer = nn.Trainer(dense(dtype="float32")(), "softmax_cross_entropy", nn.SGD(lr=3e38))
        with pytest.raises(nn.DivergenceError):
            trainer.fit(*data, epochs=3, batch_size=32, verbose=0, distributed=MPI(8, comm))
        return trainer.model.parameters.tobytes()

    assert len({theta for size in (1, 3) for theta in on_ranks(size, work)}) == 1


def test_one_rank_may_end_the_training(data: tuple[Array, Array]) -> None:
    """As a signal handler on one machine would."""

    def stop(trainer: Any, epoch: int, row: Any) -> None:
        if trainer.rank == 2 and epoch == 2:
            trainer.stop_training = True

    results = on_ranks(3, lambda comm: trained(comm, data, epochs=9, callbacks=[nn.LambdaCallback(on_epoch_end=stop)]))
    assert [trainer.epochs_done for trainer in results] == [2, 2, 2]
    assert len({bits(trainer)[0] for trainer in results}) == 1


# ---- refused


def test_refused(data: tuple[Array, Array]) -> None:
    (comm,) = on_ranks(1, lambda comm: comm)
    with pytest.raises(ValueError, match=r"shards must be .*, got 0"):
        MPI(0, comm)
    with pytest.raises(ValueError, match="shards must be at least 3, the number of ranks, got 2"):
        on_ranks(3, lambda comm: MPI(2, comm))
    with pytest.raises(TypeError, match="comm must be a communicator of mpi4py, got 3 without Get_rank"):
        MPI(2, 3)
    with pytest.raises(TypeError, match=r"distributed must be an nn.distributed.MPI or None, got 8"):
        nn.Trainer(dense()(), "softmax_cross_entropy").fit(*data, distributed=8)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batch_size must be a multiple of 8, the number of shards, or all 103 rows, got 12"):
        trained(comm, data, batch_size=12)
    with pytest.raises(ValueError, match="accumulate must be 1 with distributed, whose shards are accumulated already, got 2"):
        trained(comm, data, accumulate=2)
    with pytest.raises(ValueError, match=r"distributed needs an optimizer that takes gradient steps, got LBFGS\("):
        trained(comm, data, optimizer="lbfgs", batch_size=N)
    with pytest.raises(ValueError, match="batch_norm"):  # a shard of one row
        trained(comm, data, model=MODELS["batch norm"](), batch_size=8)


def test_without_mpi4py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r"MPI needs mpi4py and an MPI library: pip install 'nncore-learn\[mpi\]'"):
        MPI(8)


def test_its_text() -> None:
    texts = on_ranks(2, lambda comm: repr(MPI(4, comm)))
    assert texts == ["MPI(shards=4, rank=0, size=2)", "MPI(shards=4, rank=1, size=2)"]
