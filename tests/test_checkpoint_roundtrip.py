"""Combined features, saved and loaded: training continues with the same bits, and reprs are unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.configuration import arguments
from helpers.layers import OF_SEQUENCES
from helpers.networks import CONVEX, NORMS, WRAPS, classes, everything, numbers, same_training, smooth
from numpy.typing import NDArray

import nncore as nn
from nncore import samplers
from nncore.layers import LAYERS
from nncore.optimizers import OPTIMIZERS
from nncore.second_order import OPTIMIZERS as SECOND_ORDER

Array = NDArray[Any]


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("norm", NORMS)
def test_saved_midway_gives_the_same_bits(wrap: str, norm: str, tmp_path: Path) -> None:
    X, y = classes()
    weights = np.random.default_rng(0).uniform(0.5, 2, len(X))
    fit = {"batch_size": 16, "verbose": 0, "validation_data": (X, y), "sample_weight": weights, "class_weight": "balanced"}
    through, first, second = (everything(wrap, norm) for _ in range(3))
    through.fit(X, y, epochs=5, **fit)
    first.fit(X, y, epochs=2, **fit)
    first.save(tmp_path / "midway")
    second.restore(tmp_path / "midway")
    second.fit(X, y, epochs=3, **fit)
    same_training(through, second)
    with through.averaged(), second.averaged():
        assert np.array_equal(through.model.parameters, through.optimizer.averaged_parameters)
        assert through.evaluate(X, y) == second.evaluate(X, y)
    same_training(through, second)


def test_early_stopping_restores_the_running_statistics_and_averaged_evaluates() -> None:
    X, y = classes()
    kept: dict[int, tuple[Array, Array]] = {}

    def keep(trainer: Any, epoch: int, row: Any) -> None:
        kept[epoch] = trainer.model.parameters.copy(), trainer.model.state.copy()

    trainer = everything("ema", "batch norm")
    trainer.optimizer.lr = 0.3  # too large a rate: the best epoch is not the last
    stop = nn.EarlyStopping("val_loss", patience=4)
    fit = {"epochs": 30, "batch_size": 16, "verbose": 0}
    history = trainer.fit(X, y, validation_data=(X[:30], y[:30]), callbacks=[nn.LambdaCallback(on_epoch_end=keep), stop], **fit)
    best = history.best("val_loss")
    assert best == stop.best_epoch < len(history)
    assert np.array_equal(trainer.model.parameters, kept[best][0])
    assert np.array_equal(trainer.model.state, kept[best][1])
    assert trainer.evaluate(X[:30], y[:30])["loss"] == history.row(best)["val_loss"]
    state = trainer.model.state.copy()
    with trainer.averaged():
        assert np.array_equal(trainer.model.parameters, trainer.optimizer.averaged_parameters)
        assert np.array_equal(trainer.model.state, state)
        trainer.evaluate(X, y)
    assert np.array_equal(trainer.model.parameters, kept[best][0])


# ---- every layer, every optimizer

SEQUENCES = {cls.default_name() for cls in OF_SEQUENCES}


def test_registered_under_their_default_names() -> None:
    assert [cls.default_name() for cls in LAYERS.values()] == list(LAYERS)


def example(kind: str) -> nn.Layer:
    return LAYERS[kind](**arguments(LAYERS[kind]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", LAYERS)
def test_every_layer_is_saved_shown_and_trained(kind: str, dtype: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shape = (6, 4) if kind in SEQUENCES else (6,)
    X, y = rng.standard_normal((30, *shape)), rng.integers(0, 3, 30)

    def trainer() -> nn.Trainer:
        layers = [*([] if kind in SEQUENCES or kind == "sparse_dense" else [nn.Dense(6)]), example(kind), nn.Dense(3)]
        if kind in ("instance_norm", "masking"):
            layers[1:] = [nn.GRU(4), nn.Dense(3)]
        model = nn.Sequential(layers, input_shape=shape, dtype=dtype, seed=1)
        model.input_scaler = nn.data.MinMaxScaler().fit(X.reshape(len(X), -1))
        return nn.Trainer(model, "softmax_cross_entropy", nn.EMA(nn.NAdam(lr=0.01)), regularizer=nn.ElasticNet(0.0, 0.01))

    through, first, second = trainer(), trainer(), trainer()
    fit = {"batch_size": 7, "sampler": "importance_sampling", "class_weight": {1: 2.0}, "verbose": 0}
    through.fit(X, y, epochs=4, **fit)
    first.fit(X, y, epochs=2, **fit)
    first.save(tmp_path / "two")
    second.restore(tmp_path / "two")
    second.fit(X, y, epochs=2, **fit)
    same_training(through, second)
    second.model.save(tmp_path / "model")
    loaded = nn.load(tmp_path / "model")
    assert repr(loaded) == repr(second.model)
    assert np.array_equal(loaded.predict(X), second.model.predict(X))
    table = str(loaded.summary()).splitlines()
    for layer in loaded.layers:
        size = sum(parameter.size for parameter in layer.parameters.values())
        line = next(line for line in table if line.startswith(f"{layer.name} ({type(layer).__name__})"))
        assert line.endswith(f" {size:,}")
        assert str(layer.output_shape) in line


WRAPPED = {f"{wrap} around {name}": (wrap, name) for wrap in WRAPS for name in OPTIMIZERS}


def optimizer_of(name: str) -> Any:
    if name in WRAPPED:
        wrap, inner = WRAPPED[name]
        return WRAPS[wrap](OPTIMIZERS[inner]())
    return (OPTIMIZERS | SECOND_ORDER)[name]()


@pytest.mark.parametrize("name", [*OPTIMIZERS, *WRAPPED, *SECOND_ORDER])
def test_every_optimizer_is_saved(name: str, tmp_path: Path) -> None:
    X, y = numbers()

    def trainer() -> nn.Trainer:
        model = nn.Sequential(smooth(), input_shape=3, dtype="float64", seed=6)
        model.input_scaler, model.target_scaler = nn.data.StandardScaler().fit(X), nn.data.StandardScaler().fit(y)
        return nn.Trainer(model, "squared_error", optimizer_of(name), regularizer=CONVEX)

    through, first, second = trainer(), trainer(), trainer()
    fit = {"verbose": 0, "batch_size": 40}
    history = through.fit(X, y, epochs=4, **fit)
    first.fit(X, y, epochs=2, **fit)
    first.save(tmp_path / "two")
    second.restore(tmp_path / "two")
    if "lr" in second.optimizer.hyperparameters and not hasattr(second.optimizer, "training_run"):
        first.optimizer.lr = 0.007
        first.save(tmp_path / "set")
        other = trainer()
        other.restore(tmp_path / "set")
        assert other.optimizer.lr == 0.007
        assert other.optimizer.config() == first.optimizer.config()
    second.fit(X, y, epochs=2, **fit)
    if name == "scipy_minimize":  # starts anew in every call
        return
    for column in history:
        if column != "seconds":
            assert np.array_equal(history[column], second.history[column], equal_nan=True), column
    assert np.array_equal(through.model.parameters, second.model.parameters)


def test_a_wrapped_optimizer_that_cannot_be_set_changes_nothing(tmp_path: Path) -> None:
    X, y = classes()
    first, second = everything("ema", "layer norm"), everything("ema", "layer norm")
    first.fit(X, y, verbose=0)
    first.optimizer.lr = 0.125
    first.save(tmp_path / "set")
    damaged = (tmp_path / "set").read_bytes().replace(b"0.125", b"-12.5")
    (tmp_path / "damaged").write_bytes(damaged)
    before = repr(second.optimizer)
    with pytest.raises(ValueError, match="cannot be set"):
        second.restore(tmp_path / "damaged")
    assert repr(second.optimizer) == before
    second.restore(tmp_path / "set")
    assert second.optimizer.lr == second.optimizer.optimizer.lr == 0.125


def public() -> dict[str, Any]:
    """Objects of every public kind that has arguments, by name."""
    r = nn.schedules
    objects: list[Any] = [
        nn.L1(0.1), nn.L2(0.0), nn.L2(0.5), nn.ProximalL1(0.2), nn.ElasticNet(0.0, 0.3), nn.ElasticNet(0.3, 0.0),
        nn.PerLayer({"dense_1": nn.L2(0.1)}), nn.ClipNorm(1.0), nn.ClipGlobalNorm(2.0), nn.ClipValue(3.0),
        r.Constant(0.1), r.PiecewiseConstant([3], [0.1, 0.2]), r.StepDecay(0.1, 3), r.Harmonic(0.1), r.InverseTime(0.1, 0.2),
        r.Exponential(0.1, 0.9), r.Polynomial(0.1, steps=7), r.Cosine(0.1, 7), r.Warmup(0.1, steps=3),
    ]  # fmt: skip
    objects += [wrap(nn.Adam(lr=r.Cosine(0.1, 7))) for wrap in WRAPS.values()]
    objects += [cls() for cls in (*OPTIMIZERS.values(), *SECOND_ORDER.values())]
    objects += [cls() for cls in samplers.SAMPLERS.values() if cls is not samplers.Weighted]
    objects += [cls() for cls in nn.losses.LOSSES.values()]
    objects += [cls() for cls in (nn.initializers.Zeros, nn.initializers.Orthogonal, nn.initializers.HeNormal)]
    objects += [example(kind) for kind in LAYERS]
    return {f"{number} {type(item).__name__}": item for number, item in enumerate(objects)}


@pytest.mark.parametrize("name", public())
def test_repr_reconstructs_the_object(name: str) -> None:
    thing = public()[name]
    places = vars(nn) | vars(nn.second_order) | vars(nn.schedules) | vars(samplers) | vars(nn.initializers) | vars(nn.layers)
    if isinstance(thing, nn.schedules.Schedule):
        places |= vars(nn.schedules)
    again = eval(repr(thing), {"__builtins__": {}, "inf": float("inf"), "array": np.array}, places)
    assert type(again) is type(thing)
    assert repr(again) == repr(thing)
    if hasattr(thing, "config"):
        assert again.config() == thing.config() or repr(again.config()) == repr(thing.config())
