"""lr_find: the sweep against a NumPy loop, its end, its suggestions, and the absence of side effects."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels
from nncore.training.loop import TrainingLoop

Array = NDArray[Any]
N = 53


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[Array, Array]:
    X = rng.standard_normal((N, 4))
    return X, X @ [1.0, -1.0, 2.0, 0.5] + 0.1 * rng.standard_normal(N)


def make(optimizer: Any = "sgd", **kw: Any) -> nn.Trainer:
    model = nn.Sequential([nn.Dense(1)], input_shape=4, dtype="float64", seed=3)
    return nn.Trainer(model, "squared_error", optimizer, seed=6, **kw)


def numpy_sweep(data: tuple[Array, Array], theta: Array, lrs: Array, batch: int, first_epoch: int = 0) -> Array:
    """The loss of each step before it is taken; θ is w₁ … w₄, b."""
    X, y = data
    per_epoch, losses = -(-N // batch), []
    epochs = _kernels.shuffled_orders(N, -(-len(lrs) // per_epoch), 6, first_epoch)
    for t, lr in enumerate(lrs):
        start = t % per_epoch * batch
        rows = epochs[t // per_epoch, start : start + batch]
        e = X[rows] @ theta[:4] + theta[4] - y[rows]
        losses.append(0.5 * (e**2).mean())
        theta = theta - lr * np.append(X[rows].T @ e, e.sum()) / len(rows)
    return np.array(losses)


@pytest.mark.parametrize("batch", [8, 53, 100])
def test_against_a_numpy_loop(batch: int, data: tuple[Array, Array]) -> None:
    trainer = make()
    found = trainer.lr_find(*data, start=1e-3, end=0.2, steps=40, batch_size=batch, smoothing=0.8)
    lrs = np.geomspace(1e-3, 0.2, 40)
    losses = numpy_sweep(data, trainer.model.parameters, lrs, min(batch, N))
    assert np.allclose(found.lrs, lrs, rtol=1e-12)
    assert np.allclose(found.losses, losses, rtol=1e-9)
    weights = 0.8 ** np.arange(40)[::-1]
    want = [(weights[-t:] @ losses[:t]) / weights[-t:].sum() for t in range(1, 41)]
    assert np.allclose(found.smoothed, want, rtol=1e-9)


def test_stops_where_the_loss_explodes(data: tuple[Array, Array]) -> None:
    trainer = make()
    found = trainer.lr_find(*data, start=1e-3, end=1e3, steps=300, smoothing=0.5, divergence=3.0)
    losses = numpy_sweep(data, trainer.model.parameters, np.geomspace(1e-3, 1e3, 300)[: len(found.lrs) + 1], 32)
    mean = 0.0
    for t, loss in enumerate(losses):
        mean = 0.5 * mean + 0.5 * loss
        exploded = t > 0 and mean / (1 - 0.5 ** (t + 1)) > 3 * found.smoothed[:t].min()
        assert exploded == (t == len(found.lrs))
    assert 50 < len(found.lrs) < 300


def test_stops_at_overflow(data: tuple[Array, Array]) -> None:
    found = make().lr_find(*data, start=1e-3, end=1e300, steps=20, divergence=1e300)
    assert np.isfinite(found.losses).all()
    assert np.isfinite(found.smoothed).all()
    assert 1 <= len(found.lrs) < 20


def test_suggestions(data: tuple[Array, Array]) -> None:
    found = make().lr_find(*data, start=1e-4, end=100.0, steps=300)
    assert found.suggestion == found.lrs[found.smoothed.argmin()] / 10
    assert found.steepest is not None
    assert found.lrs[len(found.lrs) // 10] <= found.steepest < 10 * found.suggestion
    losses = {}
    for lr in (found.suggestion / 1000, found.suggestion):
        trainer = make(nn.SGD(lr=lr))
        trainer.fit(*data, epochs=5, verbose=0)
        losses[lr] = trainer.evaluate(*data)["loss"]
    assert losses[found.suggestion] < 0.2 * losses[found.suggestion / 1000]
    risen = nn.LearningRates(np.geomspace(1, 10, 20), np.arange(1.0, 21), np.arange(1.0, 21))
    assert risen.suggestion is None
    assert risen.steepest is None
    steps = nn.LearningRates(np.geomspace(1, 10, 20), *[np.r_[[3.0] * 10, [2.9, 2.5, 1.0, 0.8], [4.0] * 6]] * 2)
    assert steps.suggestion == steps.lrs[13] / 10
    assert steps.steepest in steps.lrs[11:13]


OPTIMIZERS: dict[str, Any] = {
    "sgd": nn.SGD, "adam": nn.Adam, "nesterov": lambda lr: nn.Nesterov(lr=lr, momentum=0.9),
    "scheduled": lambda lr: nn.Momentum(lr=nn.schedules.Exponential(lr, 0.99), momentum=nn.schedules.Exponential(0.9, 0.999)),
}  # fmt: skip


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_has_no_side_effects(name: str, trained: bool, data: tuple[Array, Array]) -> None:
    def state(trainer: nn.Trainer) -> Any:
        model, optimizer = trainer.model, trainer.optimizer
        arrays = [model.parameters, model.gradients, model.state, *optimizer.state.values()]
        rest = (
            repr(optimizer),
            optimizer.step_count,
            repr(trainer.history.to_dict()),
            trainer.epochs_done,
            sorted(optimizer.state),
        )
        return [array.tobytes() for array in arrays], rest

    trainer = make(OPTIMIZERS[name](lr=0.01), regularizer=nn.L2(0.01), clip=nn.ClipGlobalNorm(1.0))
    if trained:
        trainer.fit(*data, epochs=3, verbose=0)
    twin = copy.deepcopy(state(trainer))
    first = trainer.lr_find(*data, steps=50)
    assert state(trainer) == twin
    assert np.array_equal(trainer.lr_find(*data, steps=50).losses, first.losses)
    straight = make(OPTIMIZERS[name](lr=0.01), regularizer=nn.L2(0.01), clip=nn.ClipGlobalNorm(1.0))
    if trained:
        straight.fit(*data, epochs=3, verbose=0)
    for t in (trainer, straight):
        t.fit(*data, epochs=2, verbose=0)
    assert state(trainer) == state(straight)


def test_continues_from_the_present_state(data: tuple[Array, Array]) -> None:
    trainer = make(nn.SGD(lr=0.05))
    trainer.fit(*data, epochs=3, batch_size=8, verbose=0)
    found = trainer.lr_find(*data, start=1e-3, end=0.1, steps=20, batch_size=8)
    losses = numpy_sweep(data, trainer.model.parameters, np.geomspace(1e-3, 0.1, 20), 8, first_epoch=3)
    assert np.allclose(found.losses, losses, rtol=1e-9)


def test_same_bits_for_any_number_of_threads(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((500, 70)), rng.integers(0, 5, 500)
    before, bits = nn.get_num_threads(), set()
    try:
        for threads in (1, 2, 3):
            nn.set_num_threads(threads)
            model = nn.Sequential([nn.Dense(90), nn.ReLU(), nn.Dense(5)], input_shape=70, seed=0)
            found = nn.Trainer(model, "softmax_cross_entropy", "adam").lr_find(X, y, batch_size=96, steps=60)
            bits.add(found.losses.tobytes() + found.smoothed.tobytes())
    finally:
        nn.set_num_threads(before)
    assert len(bits) == 1


def test_plot(data: tuple[Array, Array], tmp_path: Path) -> None:
    figure_module = pytest.importorskip("matplotlib.figure")
    found = make().lr_find(*data, start=1e-4, end=100.0)
    (ax,) = found.plot(tmp_path / "rates.png").axes
    assert (tmp_path / "rates.png").stat().st_size > 1000
    assert ax.get_xscale() == "log"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[:2] == ["loss of a batch", "smoothed"]
    assert labels[2] == f"suggestion {found.suggestion:.2g}"
    own = figure_module.Figure().subplots()
    assert found.plot(ax=own) is own.figure


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "start": ({"start": 0.0}, "start"), "order": ({"start": 1.0, "end": 0.1}, "end must be a finite number above 1"),
    "infinite": ({"end": np.inf}, "end"), "steps": ({"steps": 1}, "steps must be an integer of at least 2"),
    "no steps": ({"steps": 0}, "steps must be an integer of at least 2"),
    "batch": ({"batch_size": 0}, "batch_size"), "smoothing": ({"smoothing": 1.0}, r"smoothing must be a number in \[0, 1\)"),
    "divergence": ({"divergence": 1.0}, "divergence"), "X": ({"X": np.ones((3, 2))}, "X"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments(case: str, data: tuple[Array, Array]) -> None:
    arguments, message = BAD[case]
    with pytest.raises((ValueError, TypeError), match=message):
        make().lr_find(**{"X": data[0], "y": data[1]} | arguments)


def test_an_optimizer_without_a_rate(data: tuple[Array, Array]) -> None:
    """Rprop's lr is only its initial step size."""
    with pytest.raises(ValueError, match="lr_find needs an optimizer with a learning rate, got Rprop"):
        make("rprop").lr_find(*data, batch_size=N)


class OwnTrainer(nn.Trainer):
    """With a constructor and attributes of its own."""

    def __init__(self, units: int) -> None:
        model = nn.Sequential([nn.Dense(units), nn.Tanh(), nn.Dense(1)], input_shape=3)
        super().__init__(model, "squared_error", "sgd")
        self.units = units

    def row_columns(self, prefix: str) -> list[str]:
        assert self.units == 4
        return super().row_columns(prefix)


@pytest.mark.parametrize("method", ["lr_find", "profile"])
def test_trainers_with_a_constructor_of_their_own(method: str) -> None:
    X = np.random.default_rng(0).standard_normal((40, 3))
    trainer, plain = OwnTrainer(4), nn.Trainer(OwnTrainer(4).model.copy(), "squared_error", "sgd")
    results = [getattr(each, method)(X, X.sum(axis=1), steps=5) for each in (trainer, plain)]
    if method == "lr_find":
        assert np.array_equal(results[0].losses, results[1].losses)
    with pytest.raises(AttributeError):
        trainer._copy().unts = 5  # sealed, as the trainer is


def test_counts_the_penalty_of_all_weights_of_sparse_data(rng: np.random.Generator) -> None:
    """Also where a step leaves those out that its batch does not have."""
    dense = rng.poisson(0.005, (120, 6000)).astype(float)
    y = rng.integers(0, 3, 120)
    for penalty in (nn.L2(0.1), nn.L1(0.01), nn.ProximalL1(0.01), nn.PerLayer({"*.weight": nn.L2(0.1)})):
        found = []
        for first, X in ((nn.Dense, dense), (nn.SparseDense, scipy.sparse.csr_matrix(dense))):
            model = nn.Sequential([first(8), nn.Tanh(), nn.Dense(3)], input_shape=6000, seed=1)
            trainer = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=0.1), regularizer=penalty)
            found.append(trainer.lr_find(X, y, start=1e-3, end=1.0, steps=15, batch_size=30))
        np.testing.assert_allclose(found[1].losses, found[0].losses, rtol=1e-6)


def test_weights_of_examples(data: tuple[Array, Array]) -> None:
    """Of 0 and 1: the sweep over the others, with the number of all rows below the sum."""
    X, y = data
    w = (np.arange(N) < 40).astype(float)
    found = make().lr_find(X, y, start=1e-3, end=0.1, steps=10, batch_size=N, sample_weight=w)
    others = make().lr_find(X[:40], y[:40], start=1e-3 * 40 / N, end=0.1 * 40 / N, steps=10, batch_size=40)
    np.testing.assert_allclose(found.losses, others.losses * 40 / N, rtol=1e-9)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_nothing_changes_if_it_is_interrupted_or_fails(
    error: type[BaseException], data: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some steps; or at the first loss, which is not finite."""
    trainer = make(nn.Momentum(lr=0.01))
    trainer.fit(*data, epochs=2, verbose=0)
    before, steps = pickle.dumps(trainer), []

    def run_steps(loop: TrainingLoop, *args: Any, **options: Any) -> Any:
        steps.append(original(loop, *args, **options))
        if len(steps) == 3:
            raise error
        return steps[-1]

    original = TrainingLoop.run_steps
    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "run_steps", run_steps)
        patch.setattr("nncore.program.autotune.Autotuner.next_call", lambda tuner: (1, 2))
        with pytest.raises(error):
            trainer.lr_find(*data, steps=50)
    assert len(steps) == 3
    assert pickle.dumps(trainer) == before
    with pytest.raises(nn.DivergenceError, match="the loss is inf"):
        trainer.lr_find(data[0] * 1e300, data[1])
    assert pickle.dumps(trainer) == before


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_few_rows(rows: int, data: tuple[Array, Array]) -> None:
    found = make().lr_find(data[0][:rows], data[1][:rows], start=1e-3, end=0.1, steps=2, batch_size=1)
    assert len(found.losses) == 2
    assert found.suggestion is None or found.suggestion == pytest.approx(found.lrs[1] / 10)
    assert found.steepest is None
