"""Small trainings of many kinds: what their files hold between them is everything that a file can hold."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

import nncore as nn
from nncore import schedules, second_order

rng = np.random.default_rng(0)
X = rng.standard_normal((24, 3))
NUMBERS = X[:, :2] ** 2
LABELS = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0.5)
STEPS = rng.standard_normal((24, 4, 2))


class Own(nn.Identity):
    """A layer that is not nncore's own."""


def network(*layers: nn.Layer, shape: Any = 3, dtype: str = "float64", scaled: bool = False) -> nn.Sequential:
    model = nn.Sequential([*layers], input_shape=shape, dtype=dtype, seed=3)
    if scaled:
        model.input_scaler, model.target_scaler = nn.data.StandardScaler().fit(X), nn.data.MinMaxScaler().fit(NUMBERS)
        model.feature_names = ["a", "b", "c"]
    return model


def numbers(optimizer: Any, *layers: nn.Layer, scaled: bool = False, **more: Any) -> nn.Trainer:
    """Two numbers from three."""
    model = network(*(layers or (nn.Dense(3), nn.Tanh())), nn.Dense(2), scaled=scaled)
    return nn.Trainer(model, more.pop("loss", "squared_error"), optimizer, **more)


def classes(optimizer: Any, *layers: nn.Layer, outputs: int = 3, **more: Any) -> nn.Trainer:
    """Classes from three numbers."""
    model = network(*layers, nn.Dense(outputs), dtype="float32")
    return nn.Trainer(model, more.pop("loss", "softmax_cross_entropy"), optimizer, **more)


def steps(optimizer: Any, layer: nn.Layer) -> nn.Trainer:
    return nn.Trainer(network(layer, nn.Dense(2), shape=(4, 2)), "squared_error", optimizer)


def watchers() -> list[nn.Callback]:
    """Callbacks with a state."""
    return [nn.EarlyStopping("running_loss", patience=5), nn.ReduceLROnPlateau("running_loss", patience=1, cooldown=2)]


# by name: what makes the trainer, and the arguments of `fit`
Training = tuple[Callable[[], Any], Callable[[], dict[str, Any]]]
TRAININGS: dict[str, Training] = {
    "scaled": (
        lambda: numbers(
            nn.Adam(0.02, betas=(schedules.Cosine(0.9, 9), 0.99)), nn.Dense(4), nn.BatchNorm(), nn.Tanh(), scaled=True,
            regularizer=nn.L2(1e-3), clip=nn.ClipGlobalNorm(1.0), metrics=["mean_absolute_error"],
        ),
        lambda: {"callbacks": watchers(), "validation_data": (X[:5], NUMBERS[:5])},
    ),
    "own": (lambda: numbers(nn.SGD(), nn.Dense(3), Own()), dict),
    "ema": (
        lambda: numbers(nn.EMA(nn.GradientNoise(nn.Nesterov(schedules.Warmup(schedules.StepDecay(0.1, 2), 3))))), dict,
    ),
    "polyak": (
        lambda: numbers(
            nn.PolyakAveraging(nn.WeightDecay(nn.RMSprop(momentum=0.5, centered=True))), decay_factors={"*.bias": 0.5}
        ), dict,
    ),
    "renorm": (
        lambda: classes(
            nn.AMSGrad(), nn.BatchRenorm(r_max=schedules.Polynomial(1.0, steps=5, final=3.0)), nn.ReLU(),
            lr_factors={"dense_1": 0.5},
        ),
        lambda: {"validation_split": 0.25, "class_weight": "balanced"},
    ),
    "losses": (
        lambda: classes(nn.NAdam(), nn.WeightNorm(nn.Dense(3)), nn.GELU(), regularizer={"dense_1": nn.ElasticNet(0.1, 0.2)}),
        lambda: {"sampler": "largest_loss_first"},
    ),
    "binary": (
        lambda: classes(
            "adam", nn.Dense(3), nn.LeakyReLU(), nn.Dropout(0.2), outputs=1, loss=nn.SigmoidCrossEntropy(0.1)
        ),
        lambda: {"sampler": nn.samplers.ImportanceSampling()},
    ),
    "hinge": (lambda: classes(nn.Rprop(allow_mini_batches=True), nn.LayerNorm(), outputs=1, loss="hinge"), dict),
    "sparse": (
        lambda: nn.Trainer(
            network(nn.SparseDense(4), nn.Tanh(), nn.Dense(2), dtype="float32"), nn.Huber(0.5), nn.LazyAdam()
        ), dict,
    ),
    "ftrl": (
        lambda: numbers(nn.FTRL(l1=0.01), nn.Select([0, 2]), nn.DropConnect(3), constraint={"dense_1": nn.MaxNorm(2.0)}), dict,
    ),
    "delta": (
        lambda: numbers(nn.DeltaBarDelta(allow_mini_batches=True), nn.Shakeout(3), constraint=nn.MinMaxNorm(0.1, 2.0)), dict,
    ),
    "path": (lambda: numbers(nn.PathSGD(0.001), nn.Dense(4), nn.ReLU()), dict),
    "rnn": (lambda: steps(nn.AdaDelta(), nn.SimpleRNN(3)), dict),
    "gru": (lambda: steps(nn.Lion(), nn.GRU(3, zoneout=0.1)), dict),
    "lbfgs": (lambda: numbers(second_order.LBFGS(), regularizer=nn.PerLayer({"dense_1": nn.L2(0.1)})), dict),
    "marquardt": (lambda: numbers(second_order.LevenbergMarquardt()), dict),
    "newton": (lambda: numbers(second_order.TruncatedNewton(), loss=nn.Quantile([0.1, 0.9])), dict),
    "scipy": (lambda: numbers(second_order.ScipyMinimize()), dict),
    "ensemble": (
        lambda: nn.Trainer(
            nn.Ensemble(network(nn.Dense(3), nn.Dropout(nn.Each([0.1, 0.2, 0.3])), nn.Dense(2)), 3), "squared_error",
            nn.Adam(nn.Each([0.1, 0.01, 0.02])),
        ),
        lambda: {"subsets": nn.Bags()},
    ),
    "members": (
        lambda: nn.Trainer(
            nn.Ensemble([network(nn.Dense(4), nn.BatchNorm(), nn.Dense(2)), network(nn.Dense(2), scaled=True)]),
            "squared_error", "momentum",
        ), dict,
    ),
}  # fmt: skip


def data_of(trainer: Any) -> tuple[Any, Any]:
    """Inputs and targets that it takes."""
    model = trainer.model.groups[0].template if isinstance(trainer.model, nn.Ensemble) else trainer.model
    inputs = STEPS if model.input_shape == (4, 2) else X
    return inputs, NUMBERS if model.output_shape == (2,) else LABELS % (2 if model.output_shape == (1,) else 3)


def content(thing: Any) -> bytes:
    """The bytes of its file."""
    thing.save(stream := io.BytesIO())
    return stream.getvalue()


def fitted(name: str, epochs: int = 2) -> Any:
    """A new trainer after some epochs."""
    make, arguments = TRAININGS[name]
    trainer = make()
    trainer.fit(*data_of(trainer), epochs=epochs, batch_size=None if needs_all(trainer) else 8, verbose=0, **arguments())
    return trainer


def needs_all(trainer: Any) -> bool:
    """Whether its optimizer takes all rows at once."""
    return isinstance(getattr(trainer, "optimizer", None), second_order.FullBatchOptimizer)


CONTENTS = {name: content(fitted(name)) for name in TRAININGS}
"""The files of the trainings, after two epochs."""


def restored(name: str) -> Any:
    """A trainer after two epochs."""
    trainer = TRAININGS[name][0]()
    trainer.restore(io.BytesIO(CONTENTS[name]))
    return trainer
