"""`Each`: member k has the bits that it has alone with value k; what cannot take it refuses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers.configuration import CLASSES, arguments
from helpers.ensembles import same
from helpers.layers import OF_SEQUENCES, followed

import nncore as nn
from nncore import constraints, layers, losses, optimizers, regularizers, samplers, schedules
from nncore._utils import fields
from nncore._utils.registry import classes

MEMBERS = 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 60)
TARGETS = RNG.uniform(0.1, 1, (60, 3))
SOFTMAX = "softmax_cross_entropy"


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = nn.get_num_threads()
    nn.set_num_threads(2)
    yield
    nn.set_num_threads(before)


def net(seed: int = 0, *inside: nn.Layer) -> nn.Sequential:
    return nn.Sequential([nn.Dense(4), *inside, nn.Tanh(), nn.Dense(3)], input_shape=6, seed=seed)


def check(
    values: list[Any], trainer: Callable[[Any, Any], dict[str, Any]], fit: Callable[[Any], dict[str, Any]] = lambda value: {},
    model: Callable[[int, Any], nn.Sequential] = lambda seed, value: net(seed), data: Any = (X, Y),
) -> nn.EnsembleTrainer:  # fmt: skip
    """Compare members with networks alone. ``trainer``, ``fit``: arguments for a value, which is an Each or that of one."""

    def call(made: Any, seed: int, value: Any) -> Any:
        result = nn.Trainer(made, **{"loss": SOFTMAX, "seed": seed, **trainer(value)})
        result.fit(*data, verbose=0, **{"epochs": 2, "batch_size": 60, **fit(value)})
        return result

    each = nn.Each(values)
    together = call(nn.Ensemble(model(4, each), MEMBERS), 9, each)
    for k, value in enumerate(values):
        assert same(call(model(4 + k, value), 9 + k, value), together, k)
    parameters = together.model.groups[0].parameters if len(together.model.groups) == 1 else None
    assert parameters is None or not np.array_equal(parameters[0], parameters[1])
    return together


# All arguments of a trainer.

ARGUMENTS: dict[str, list[Any]] = {
    "loss": [nn.losses.Huber(0.1), "squared_error", nn.losses.Huber(0.5)],
    "optimizer": [nn.SGD(0.1), "adam", nn.EMA(nn.Rprop(lr=0.1))],
    "regularizer": [nn.L2(0.1), None, {"dense_1": nn.L1(0.2)}],
    "clip": [nn.ClipNorm(0.1), nn.ClipNorm(0.2), None],
    "constraint": [nn.MaxNorm(0.5), None, {"dense_2": nn.NonNegative()}],
    "lr_factors": [{"dense_1": 0.1}, {"dense_1": 2.0}, None],
    "decay_factors": [{"dense_1": 10.0}, {"dense_1": 20.0}, {"dense_2": 3.0}],
    "metrics": [["squared_error", "mean_absolute_error"], [], "mean_absolute_error"],
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_of_a_trainer(name: str) -> None:
    given = {"loss": "squared_error", "optimizer": nn.AdamW(0.1)}
    check(ARGUMENTS[name], lambda value: {**given, name: value}, data=(X, TARGETS))


INSIDE: list[tuple[list[Any], Callable[[Any], dict[str, Any]]]] = [
    ([0.1, 2.0, 0.0], lambda value: {"lr_factors": {"dense_1": value}}),
    ([1.0, 2.0, 0.0], lambda value: {"decay_factors": {"dense_1": value}, "optimizer": nn.AdamW(weight_decay=0.5)}),
    ([0.1, 0.2, 0.3], lambda value: {"regularizer": {"dense_1": nn.L2(value)}}),
    ([0.1, 0.2, 0.3], lambda value: {"constraint": {"dense_1": nn.MaxNorm(value)}}),
    ([0.1, 0.2, 0.3], lambda value: {"metrics": [nn.losses.SoftmaxCrossEntropy(label_smoothing=value)]}),
    ([nn.schedules.Constant(0.1), 0.2, 0.3], lambda value: {"optimizer": nn.Adam(betas=(value, 0.999))}),
    ([0.1, 0.2, 0.3], lambda value: {"optimizer": nn.Each([nn.SGD(value), nn.Adam(value), nn.Momentum(value)])
                                     if isinstance(value, nn.Each) else INNER[value](value)}),
]  # fmt: skip
INNER = {0.1: nn.SGD, 0.2: nn.Adam, 0.3: nn.Momentum}


@pytest.mark.parametrize("number", range(len(INSIDE)))
def test_within_arguments_of_a_trainer(number: int) -> None:
    check(*INSIDE[number])


# All arguments of all classes that take it.


def takes(cls: Any) -> list[str]:
    """The fields of a class that take Each."""
    found = []
    for field in fields._fields(cls):
        value = vars(made(cls)).get(field.name)
        if type(value) is float and field.name not in ("tol",):
            try:
                field.check(nn.Each([value]))
            except (TypeError, ValueError):
                continue
            found.append(field.name)
    return found


def made(cls: Any, name: str = "", value: Any = None) -> Any:
    given: dict[str, Any] = {"optimizer": nn.SGD(0.1)} if cls in optimizers.WRAPPERS.values() else {}
    given |= {"allow_mini_batches": True} if "allow_mini_batches" in fields.arguments(cls) else {}
    instance = cls(**arguments(cls) | given)
    if name:
        setattr(instance, name, value)
    return instance


def values_of(cls: Any, name: str) -> list[Any]:
    """Three values that the field takes."""
    value = vars(made(cls))[name]
    for other in ([0.5 * value, 0.75 * value], [1.5 * value, 2 * value], [value + 0.25, value + 0.3]):
        try:
            for one in other:
                made(cls, name, one)
        except ValueError:
            continue
        if len({value, *other}) == 3:
            return [value, *other]
    raise AssertionError((cls, name))


def of(*registry: Any) -> list[Any]:
    return [pytest.param(cls, name, id=f"{cls.__name__}.{name}") for cls in registry if cls in FAMILIES for name in takes(cls)]


FAMILIES = list(dict.fromkeys([*CLASSES, *classes(constraints.Constraint, constraints.__name__), nn.Bags]))


@pytest.mark.parametrize(("cls", "name"), of(*optimizers.OPTIMIZERS.values(), *optimizers.WRAPPERS.values()))
def test_optimizers(cls: Any, name: str) -> None:
    check(values_of(cls, name), lambda value: {"optimizer": made(cls, name, value)})


@pytest.mark.parametrize(("cls", "name"), of(*schedules.SCHEDULES.values()))
def test_schedules(cls: Any, name: str) -> None:
    check(
        values_of(cls, name), lambda value: {"optimizer": nn.SGD(lr=made(cls, name, value))}, lambda value: {"batch_size": 20}
    )


@pytest.mark.parametrize(("cls", "name"), of(*classes(regularizers.Regularizer, regularizers.__name__)))
def test_regularizers(cls: Any, name: str) -> None:
    check(values_of(cls, name), lambda value: {"regularizer": made(cls, name, value)})


@pytest.mark.parametrize(("cls", "name"), of(nn.ClipValue, nn.ClipNorm, nn.ClipGlobalNorm))
def test_clipping(cls: Any, name: str) -> None:
    values = [1e-3, 2e-3, 3e-3]
    check(values, lambda value: {"clip": made(cls, name, value), "optimizer": nn.SGD(0.1)})


@pytest.mark.parametrize(("cls", "name"), of(*classes(constraints.Constraint, constraints.__name__)))
def test_constraints(cls: Any, name: str) -> None:
    check(values_of(cls, name), lambda value: {"constraint": made(cls, name, value)})


@pytest.mark.parametrize(("cls", "name"), of(*losses.LOSSES.values()))
def test_losses(cls: Any, name: str) -> None:
    classes = TARGETS / TARGETS.sum(axis=1, keepdims=True)
    check(values_of(cls, name), lambda value: {"loss": made(cls, name, value)}, data=(X, classes))


@pytest.mark.parametrize(("cls", "name"), of(*layers.LAYERS.values()))
def test_layers(cls: Any, name: str) -> None:
    of_sequences = issubclass(cls, OF_SEQUENCES)

    def model(seed: int, value: Any) -> nn.Sequential:
        parts = [*[nn.Dense(8)] * (not of_sequences), *followed(made(cls, name, value)), nn.Dense(3)]
        return nn.Sequential(parts, input_shape=(3, 2) if of_sequences else 6, seed=seed)

    data = X.reshape((-1, 3, 2) if of_sequences else (-1, 6)), Y
    check(values_of(cls, name), lambda value: {}, model=model, data=data)


@pytest.mark.parametrize(("cls", "name"), of(*[cls for cls in samplers.SAMPLERS.values() if cls.name != "weighted"]))
def test_samplers(cls: Any, name: str) -> None:
    check(values_of(cls, name), lambda value: {}, lambda value: {"sampler": made(cls, name, value), "batch_size": 20})


@pytest.mark.parametrize(("cls", "name"), of(nn.EarlyStopping, nn.ReduceLROnPlateau))
def test_callbacks(cls: Any, name: str) -> None:
    def fit(value: Any) -> dict[str, Any]:
        callback = cls("running_loss", patience=1) if cls is nn.EarlyStopping else cls("running_loss", patience=1, factor=0.5)
        setattr(callback, name, value)
        return {"callbacks": [callback], "epochs": 8}

    values = {"min_delta": [0.0, 0.01, 0.1], "factor": [0.5, 0.6, 0.7], "threshold": [0.0, 0.5, 0.9], "min_lr": [0, 0.01, 0.02]}
    check(values[name], lambda value: {"optimizer": nn.SGD(0.03)}, fit)


def test_scalers() -> None:
    def model(seed: int, value: Any) -> nn.Sequential:
        made = net(seed)
        made.input_scaler = nn.data.RobustScaler(smooth_clip=value).fit(X)
        return made

    check([0.5, 1.0, 2.0], lambda value: {}, model=model)


def test_bags() -> None:
    shares = [0.5, 1.0, 1.5]
    together = nn.Trainer(nn.Ensemble(net(4), MEMBERS), SOFTMAX, seed=9)
    together.fit(X, Y, subsets=nn.Bags(nn.Each(shares)), verbose=0)
    for k, share in enumerate(shares):
        rows = nn.Bags(share).rows(k, 60)
        alone = nn.Trainer(net(4 + k), SOFTMAX, seed=9 + k)
        alone.fit(X[rows], Y[rows], verbose=0)
        assert same(alone, together, k)


# What refuses it.

PAIR = nn.Each([0.1, 0.2])
REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: nn.Each([PAIR, 0.1]), "values must be those of the members, not an Each again"),
    (lambda: nn.Bags(nn.Each([0.5, 2.0]), replace=False), "share must be at most 1 without replacement, got 2"),
    (lambda: fitted(validation_split=PAIR), "validation_split must be a number"),
    (lambda: fitted(class_weight={0: PAIR}), r"class_weight\[0\] must be a finite number"),
    (lambda: fitted(sampler=nn.samplers.ImportanceSampling(mix=nn.Each([0.1]))), "for each of 2 members, got 1"),
    (lambda: fitted(callbacks=[nn.EarlyStopping(min_delta=nn.Each([0.1]))]), "for each of 2 members, got 1"),
    (lambda: fitted(subsets=nn.Bags(nn.Each([0.1]))), "for each of 2 members, got 1"),
    (lambda: nn.Trainer(net(), SOFTMAX, lr_factors={"dense_1": PAIR}), r"lr_factors\['dense_1'\] must be a finite number"),
    (lambda: nn.Trainer(nn.Ensemble(net(), 2), SOFTMAX, seed=PAIR), "seed must be an integer"),
    (lambda: nn.Dropout(PAIR).config(), "rate must have a JSON form to be stored, got Each"),
    (lambda: nn.Dense(nn.Each([1, 2])), "units must be a positive integer"),
]  # fmt: skip


def fitted(**call: Any) -> None:
    nn.Trainer(nn.Ensemble(net(), 2), SOFTMAX).fit(X, Y, verbose=0, **call)


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_refused(number: int) -> None:
    act, message = REFUSED[number]
    with pytest.raises((ValueError, TypeError), match=message):
        act()


@pytest.mark.parametrize(("cls", "name"), of(*FAMILIES))
def test_representations(cls: Any, name: str) -> None:
    values = values_of(cls, name)
    assert f"Each({values!r})" in repr(made(cls, name, nn.Each(values)))


def test_different_losses_are_not_evaluated_together() -> None:
    trainer = nn.Trainer(nn.Ensemble(net(), 2), nn.Each(["squared_error", "mean_absolute_error"]))
    trainer.fit(X, TARGETS, subsets=nn.Bags(), verbose=0)
    for act in (trainer.evaluate, trainer.out_of_bag):
        with pytest.raises(ValueError, match="members must have the same loss and metrics to be evaluated together"):
            act(X, TARGETS)
    found = trainer.evaluate_members(X, TARGETS)["loss"]
    assert found[1] == nn.Trainer(trainer.model[1], "mean_absolute_error").evaluate(X, TARGETS)["loss"]


def test_labels_of_the_table() -> None:
    regularizer = {"dense_1": nn.L2(nn.Each([0.1, 0.2])), "dense_2": nn.L2(nn.Each([0.3, 0.4]))}
    trainer = nn.Trainer(
        nn.Ensemble(net(), 2), SOFTMAX, nn.EMA(nn.SGD(PAIR)), regularizer=regularizer,
        lr_factors={"dense_1": nn.Each([0.0, 0.5])}, metrics=nn.Each(["accuracy", []]),
    )  # fmt: skip
    found = {name: values for name, values in trainer.history.labels.items() if name != "seed"}
    assert found == {
        "lr": [0.1, 0.2], "regularizer.dense_1.l2": [0.1, 0.2], "regularizer.dense_2.l2": [0.3, 0.4],
        "lr_factors.dense_1": [0.0, 0.5], "metrics": ["'accuracy'", "[]"],
    }  # fmt: skip


class Cubic:
    """A loss that cannot be described: each copy is another one."""

    def __call__(self, outputs: Any, targets: Any) -> tuple[Any, Any]:
        return np.abs(outputs - targets).sum(axis=1) ** 3, 3 * np.sign(outputs - targets)


def test_a_loss_that_cannot_be_described_is_evaluated() -> None:
    trainer = nn.Trainer(nn.Ensemble(net(), 2), Cubic(), nn.SGD(PAIR))
    assert trainer.evaluate(X, TARGETS)["loss"] > 0


@pytest.mark.parametrize(
    ("layer", "values"),
    [
        (lambda value: nn.BatchNorm(momentum=value), [0.1, None, 0.5]),
        (lambda value: nn.BatchRenorm(r_max=value), [1.0, schedules.Constant(1.5), 3.0]),
        (lambda value: nn.BatchRenorm(d_max=value), [0.0, 0.1, 5.0]),
    ],
    ids=["momentum", "r_max", "d_max"],
)
def test_numbers_that_may_be_none_or_schedules(layer: Callable[[Any], nn.Layer], values: list[Any]) -> None:
    def model(seed: int, value: Any) -> nn.Sequential:
        return net(seed, layer(value))

    together = check(values, lambda value: {}, lambda value: {"batch_size": 16, "epochs": 3}, model=model)
    with pytest.raises(ValueError, match="has one value for each member of an ensemble"):
        nn.Trainer(model(0, nn.Each(values)), SOFTMAX).fit(X, Y, verbose=0)  # without an ensemble
    assert len(together.model) == MEMBERS


def test_none_does_not_let_each_in() -> None:
    for make in (lambda: nn.GRU(3, stateful=nn.Each([None, 2])), lambda: nn.Dense(2, name=nn.Each([None, "a"]))):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"must be None or a .*, got Each"):
            make()
