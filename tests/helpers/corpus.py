"""What the files in tests/corpus were made from. Files of released versions stay, so what is here is only added to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nncore as nn

Array = NDArray[Any]


def numbers(rows: int, *shape: int) -> Array:
    """The same in every version of NumPy: multiples of 1/32 between −1.6 and 1.6."""
    size = int(np.prod(shape))
    return ((np.arange(rows * size) * 37 % 101) - 50).reshape(rows, *shape) / 32


X = numbers(24, 3)
Y = (X[:, 0] > X[:, 1]).astype(int)
T = np.column_stack([X[:, 0] * X[:, 1], X[:, 2] / 2])
SEQUENCES = numbers(24, 4, 2)


# --- models: what is trained before it is saved, and what it is trained on


def stack(*layers: Any, shape: Any = 3, dtype: str = "float32") -> nn.Sequential:
    return nn.Sequential(layers, input_shape=shape, dtype=dtype, seed=7)


def trained(model: Any, X: Array = X, targets: Array = T) -> Any:
    nn.Trainer(model, "mean_squared_error", "adam").fit(X, targets, epochs=2, batch_size=8, verbose=0)
    return model


def scaled() -> nn.Sequential:
    model = stack(nn.Dense(3), nn.Softplus(), nn.Dense(2))
    model.input_scaler, model.target_scaler = nn.data.StandardScaler().fit(X), nn.data.MinMaxScaler((-1, 1)).fit(T)
    return trained(model)


def more_scaled() -> nn.Sequential:
    model = stack(nn.Dense(3), nn.SiLU(), nn.Dense(2))
    model.input_scaler, model.target_scaler = nn.data.RobustScaler(smooth_clip=3.0).fit(X), nn.data.Decorrelate().fit(T)
    model.feature_names, model.target_names = ["a", "b", "c"], ["p", "q"]
    return trained(model)


def ensemble() -> nn.Ensemble:
    model = stack(nn.Select(nn.Each([[0, 1], [1, 2], [2, 0]])), nn.Dense(3), nn.Tanh(), nn.Dense(2))
    members = nn.Ensemble(model, 3)
    nn.EnsembleTrainer(members, "mean_squared_error", "adam").fit(X, T, epochs=2, batch_size=8, verbose=0)
    return members


MODELS: dict[str, Callable[[], Any]] = {
    "dense": lambda: trained(stack(nn.Dense(4, name="first"), nn.Tanh(), nn.Dense(2, bias=False, weight_init="orthogonal"))),
    "double": lambda: trained(stack(nn.Dense(4), nn.GELU("tanh"), nn.Dense(2), dtype="float64")),
    "activations": lambda: trained(stack(nn.Dense(4), nn.LeakyReLU(0.1), nn.ELU(0.5), nn.Dense(2), nn.Softmax())),
    "normalized": lambda: trained(stack(nn.BatchNorm(), nn.Dense(4), nn.LayerNorm(), nn.ReLU(), nn.Dense(2))),
    "wrapped": lambda: trained(stack(nn.WeightNorm(nn.Dense(3)), nn.Dropout(0.2), nn.DropConnect(2, rate=0.3))),
    "recurrent": lambda: trained(stack(nn.GRU(3), nn.Dense(2), shape=(4, 2)), SEQUENCES),
    "simple_recurrent": lambda: trained(stack(nn.SimpleRNN(3), nn.Dense(2), shape=(4, 2)), SEQUENCES),
    "scaled": scaled,
    "more_scaled": more_scaled,
    "sparse": lambda: trained(stack(nn.SparseDense(4), nn.SELU(), nn.Dense(2))),
    "ensemble": ensemble,
}


def predictions(model: Any) -> Array:
    """Of five rows."""
    shape = model.input_shape if isinstance(model, nn.Sequential) else (3,)
    return np.asarray(model.predict((SEQUENCES if len(shape) == 2 else X)[:5]))


# --- checkpoints: a trainer before its first epoch, and the arguments of each of its calls of fit


def small() -> nn.Sequential:
    return stack(nn.Dense(4), nn.Tanh(), nn.Dropout(0.1), nn.Dense(2))


def with_callbacks() -> tuple[Any, dict[str, Any]]:
    adam = nn.Adam(lr=nn.schedules.Cosine(0.05, steps=30))
    trainer = nn.Trainer(
        small(), "softmax_cross_entropy", adam, regularizer=nn.L2(1e-3), clip=nn.ClipGlobalNorm(1.0), metrics=["accuracy"]
    )
    stopping = nn.EarlyStopping("running_loss", patience=50)
    return trainer, {"y": Y, "sampler": "largest_loss_first", "callbacks": [stopping]}


def plateau() -> tuple[Any, dict[str, Any]]:
    trainer = nn.Trainer(stack(nn.Dense(3), nn.ReLU(), nn.Dense(2)), "huber", nn.RMSprop(lr=0.01))
    return trainer, {"y": T, "callbacks": [nn.ReduceLROnPlateau("running_loss", patience=1, factor=0.5)]}


def averaged() -> tuple[Any, dict[str, Any]]:
    return nn.Trainer(stack(nn.BatchNorm(), nn.Dense(3), nn.Tanh(), nn.Dense(2)), "huber", nn.EMA(nn.Nesterov(lr=0.05))), {
        "y": T
    }


def constrained() -> tuple[Any, dict[str, Any]]:
    optimizer = nn.WeightDecay(nn.Momentum(lr=nn.schedules.StepDecay(0.1, 3, factor=0.5)), weight_decay=0.01)
    model = stack(nn.Dense(3), nn.Mish(), nn.Dense(2))
    trainer = nn.Trainer(
        model, nn.losses.Quantile([0.1, 0.9]), optimizer, constraint={"dense_1": nn.MaxNorm(1.0)}, lr_factors={"*.bias": 0.5}
    )
    return trainer, {"y": T}


def second_order() -> tuple[Any, dict[str, Any]]:
    return nn.Trainer(stack(nn.Dense(3), nn.Tanh(), nn.Dense(2)), "squared_error", nn.second_order.LBFGS(memory=2)), {
        "y": T,
        "batch_size": None,
    }


def together() -> tuple[Any, dict[str, Any]]:
    members = nn.Ensemble(stack(nn.Dense(3), nn.Tanh(), nn.Dense(2)), 2)
    return nn.EnsembleTrainer(members, "squared_error", nn.Adam(lr=nn.Each([0.1, 0.01]))), {"y": T, "subsets": nn.Bags()}


CHECKPOINTS: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
    "callbacks": with_callbacks,
    "plateau": plateau,
    "averaged": averaged,
    "constrained": constrained,
    "second_order": second_order,
    "together": together,
}


def fit(trainer: Any, arguments: dict[str, Any]) -> None:
    """Two epochs."""
    trainer.fit(X, **{"batch_size": 8, "epochs": 2, "verbose": 0, **arguments})


def parameters(trainer: Any) -> Array:
    """Those of all members, in a row."""
    members = [trainer.model] if isinstance(trainer.model, nn.Sequential) else trainer.model
    return np.concatenate([member.parameters for member in members])


# --- logs and sweeps


def log(path: Path) -> None:
    """Two epochs more in a CSV file."""
    nn.Trainer(stack(nn.Dense(2)), "squared_error", "sgd").fit(
        X, T, epochs=2, verbose=0, callbacks=[nn.CSVLogger(path, append=True)]
    )


def sweep(make: Callable[..., Any], path: Path) -> Any:
    """Two rates, two seeds."""
    space = {"lr": [0.1, 0.01]}
    return nn.sweep(make, space, X, T, seeds=2, epochs=2, batch_size=8, file=path, name="corpus", keep="all", verbose=0)


def made(lr: float, seed: int) -> nn.Trainer:
    return nn.Trainer(stack(nn.Dense(2)), "squared_error", nn.SGD(lr=lr), seed=seed)
