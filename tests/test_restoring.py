"""Checkpoints: restored completely or not at all if a signal handler raises; of older versions; with user-defined losses."""

from __future__ import annotations

import copy
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import configuration
from safetensors import safe_open
from safetensors.numpy import save_file

import nncore as nn
from nncore import initializers, losses
from nncore import second_order as so
from nncore._utils import archive, fields
from nncore.data import StandardScaler
from nncore.optimizers.clipping import Clipping
from nncore.training import checkpoint

X = np.random.default_rng(0).standard_normal((12, 3))
Y = np.random.default_rng(1).standard_normal(12)
MAKERS: dict[str, Any] = {
    "adam": nn.Adam, "ema": lambda: nn.EMA(nn.Nesterov(lr=0.01)), "noise": lambda: nn.GradientNoise(nn.PolyakAveraging("sgd")),
    "lbfgs": so.LBFGS, "levenberg_marquardt": lambda: so.LevenbergMarquardt(scaling="marquardt"),
}  # fmt: skip


def make(name: str, loss: Any = "squared_error") -> nn.Trainer:
    model = nn.Sequential([nn.Dense(2), nn.Tanh(), nn.Dense(1)], input_shape=3, dtype="float64", seed=1)
    model.input_scaler = StandardScaler().fit(X)
    return nn.Trainer(model, loss, MAKERS[name]())


def everything(trainer: nn.Trainer) -> Any:
    """The contents of a checkpoint."""
    state = {name: np.asarray(value).tolist() for name, value in trainer.optimizer.state_dict().items()}
    model, scaler = trainer.model, trainer.model.input_scaler
    return (
        model.parameters.tolist(), model.state.tolist(), scaler and scaler.transform(X).tolist(), model.feature_names, state,
        trainer.history.to_dict(), trainer.epochs_done, trainer.seed, repr(trainer.optimizer.config()),
        repr(trainer._first_config), repr(trainer._last_losses.fingerprint), repr(trainer._callback_states),
    )  # fmt: skip


class Raised(Exception):
    pass


def handler(number: int, frame: Any) -> None:
    raise Raised


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
@pytest.mark.parametrize("name", MAKERS)
def test_a_handler_that_raises_leaves_all_or_nothing(name: str, tmp_path: Path) -> None:
    """On every line of the code that restores the checkpoint, and at its end."""
    trained = make(name)
    trained.seed = 9
    trained.model.input_scaler = StandardScaler().fit(3 * X + 1)
    trained.fit(X, Y, epochs=3, batch_size=12, verbose=0)
    trained.save(tmp_path / "checkpoint")
    before_signals, seen_before, seen_after = signal.signal(signal.SIGUSR1, handler), 0, 0
    try:
        for at in range(1, 200):
            trainer = make(name)
            trainer.fit(2 * X, Y, epochs=1, batch_size=12, verbose=0)
            before, arrays, lines = everything(trainer), dict(trainer.optimizer.state), 0

            def trace(frame: Any, event: str, argument: Any, at: int = at) -> Any:
                nonlocal lines
                if frame.f_code.co_filename != checkpoint.__file__ or frame.f_code.co_name not in ("_exchange", "_put"):
                    return None if lines else trace
                lines += event in ("line", "return")
                if lines == at:
                    lines += 1
                    signal.raise_signal(signal.SIGUSR1)
                return trace

            sys.settrace(trace)
            try:
                trainer.restore(tmp_path / "checkpoint")
            except Raised:
                sys.settrace(None)
                after = everything(trainer)
                assert after in (before, everything(trained)), at
                seen_before, seen_after = seen_before + (after == before), seen_after + (after != before)
                assert all(trainer.optimizer.state[slot] is array for slot, array in arrays.items())
                trainer.fit(X, Y, epochs=1, batch_size=12, verbose=0)
            else:
                sys.settrace(None)
                assert everything(trainer) == everything(trained)
                break
        assert seen_before > 10
    finally:
        sys.settrace(None)
        signal.signal(signal.SIGUSR1, before_signals)


class Back(nn.Callback):
    """Goes back to epoch 2 after epoch 4, once."""

    def __init__(self, path: Path) -> None:
        self.path, self.back = path, False

    def on_epoch_end(self, trainer: nn.Trainer, epoch: int, row: dict[str, float]) -> None:
        if epoch == 2 and not self.back:
            trainer.save(self.path)
        elif epoch == 4 and not self.back:
            self.back = True
            trainer.restore(self.path)


def test_callbacks_keep_their_state_when_one_of_them_restores(tmp_path: Path) -> None:
    trainer, stopping = make("adam"), nn.EarlyStopping("running_loss", patience=50)
    trainer.fit(X, Y, epochs=6, callbacks=[Back(tmp_path / "2"), stopping], verbose=0)
    trainer.save(tmp_path / "6")
    other = make("adam")
    other.restore(tmp_path / "6")
    (entry,) = other._callback_states
    assert stopping.best_epoch == 6
    assert (entry["class"], entry["state"]["best_epoch"], entry["state"]["best"]) == ("EarlyStopping", 6, stopping.best)
    assert other.history == trainer.history
    assert len(other.history) == 6


def watchers(*columns: str) -> list[Any]:
    return [nn.EarlyStopping(column, patience=99, restore_best=False) for column in columns]


def test_callbacks_continue_what_those_of_the_same_column_left(tmp_path: Path) -> None:
    """In any order; one that watches another column begins anew, as the best value is no value of its column."""
    trainer = nn.Trainer(nn.Sequential([nn.Dense(1)], 3, seed=1), "squared_error", metrics=["mean_absolute_error"])
    one, two = watchers("running_loss", "running_mean_absolute_error")
    trainer.fit(X, Y, epochs=2, verbose=0, callbacks=[one, two])
    trainer.save(tmp_path / "checkpoint")
    assert one.best != two.best

    def resumed(callbacks: list[Any]) -> list[float | None]:
        other = nn.Trainer(nn.Sequential([nn.Dense(1)], 3, seed=1), "squared_error", metrics=["mean_absolute_error"])
        other.restore(tmp_path / "checkpoint")
        seen = nn.LambdaCallback(on_train_begin=lambda trainer: bests.extend(c.best for c in callbacks))
        bests: list[float | None] = []
        other.fit(X, Y, epochs=1, verbose=0, callbacks=[*callbacks, seen], validation_data=(X, Y))
        return bests

    assert resumed(watchers("running_mean_absolute_error", "running_loss")) == [two.best, one.best]
    assert resumed(watchers("val_loss", "running_mean_absolute_error")) == [None, two.best]
    assert resumed([nn.EarlyStopping("running_loss", mode="max")]) == [None]
    with pytest.raises(ValueError, match=r"^state must be of \['val_loss', False\], .*, got that of \['running_loss', False\]"):
        watchers("val_loss")[0].load_state_dict(one.state_dict())

    def forget(about: dict[str, Any]) -> None:  # as older versions wrote it
        for entry in about["callbacks"]:
            del entry["state"]["watched"]

    rewritten(tmp_path / "checkpoint", forget)
    assert resumed(watchers("running_loss")) == [one.best]


def rewritten(path: Path, change: Any) -> None:
    """Change the description in a file."""
    with safe_open(path, framework="numpy") as file:
        arrays, header = {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata())  # noqa: SIM118
    about = json.loads(header["about"])
    change(about)
    save_file(arrays, path, metadata=header | {"about": json.dumps(about)})


def older(made: Any, entry: dict[str, Any], lost: list[str]) -> None:
    """Remove arguments with their default value from an entry, as an older version may not have had them."""
    for name, parameter in fields._parameters(type(made)).items():
        if name not in ("name", "units", "rate", "groups") and name in entry and parameter.default is not parameter.empty:
            lost.append(name)
            del entry[name]


@pytest.mark.parametrize("loss", ["huber", "squared_error"])
def test_checkpoints_that_lack_later_arguments(loss: str, tmp_path: Path) -> None:
    def made() -> nn.Trainer:
        stack = [
            nn.Dense(4), nn.BatchNorm(), nn.LeakyReLU(), nn.WeightNorm(nn.Dense(4)), nn.GroupNorm(2), nn.DropConnect(3),
            nn.GaussianDropout(0.1), nn.Dense(1),
        ]  # fmt: skip
        model = nn.Sequential(stack, input_shape=3, seed=1)
        model.input_scaler = nn.data.Decorrelate().fit(X)
        return nn.Trainer(model, loss, nn.EMA(nn.Adam()))

    trainer = made()
    trainer.fit(X, Y, epochs=2, verbose=0)
    trainer.save(tmp_path / "checkpoint")
    lost: list[str] = []

    def change(about: dict[str, Any]) -> None:
        for layer, entry in zip(trainer.model.layers, about["model"]["layers"], strict=True):
            older(layer, entry, lost)
            if entry["class"] == "WeightNorm":
                older(layer.layer, entry["layer"], lost)
        older(trainer.model.input_scaler, about["model"]["input_scaler"], lost)
        older(trainer.loss, about["training"]["loss"], lost)
        for config in ("optimizer_config", "first_optimizer_config"):
            older(trainer.optimizer, about[config], lost)
            older(trainer.optimizer.optimizer, about[config]["optimizer"], lost)

    rewritten(tmp_path / "checkpoint", change)
    assert {
        "weight_init",
        "bias",
        "momentum",
        "negative_slope",
        "eps",
        "betas",
        "decay",
        *(["delta"] if loss == "huber" else []),
    } <= set(lost)
    other = made()
    other.restore(tmp_path / "checkpoint")
    for each in (trainer, other):
        each.fit(X, Y, epochs=2, verbose=0)
    assert np.array_equal(other.model.parameters, trainer.model.parameters)
    assert nn.load(tmp_path / "checkpoint").parameters.size == trainer.model.parameters.size


def test_older_forms_of_factors_and_constraints(tmp_path: Path) -> None:
    """Their texts, in any order of the names; or none, where there was no such argument."""
    both: dict[str, Any] = {
        "lr_factors": {"dense_1": 0.5, "dense_2": 0.1}, "decay_factors": {"dense_2": 2.0, "*.bias": 1.0},
        "constraint": {"dense_1": nn.MaxNorm(3.0), "dense_2": nn.MinMaxNorm(0.1, 2.0)},
    }  # fmt: skip
    one: dict[str, Any] = {"constraint": nn.MaxNorm(3.0)}

    def made(options: dict[str, Any]) -> nn.Trainer:
        model = nn.Sequential([nn.Dense(2), nn.Tanh(), nn.Dense(1)], input_shape=3, seed=1)
        return nn.Trainer(model, "squared_error", nn.AdamW(), **options)

    for options in (both, one, {}):
        trainer = made(options)
        trainer.fit(X, Y, epochs=2, verbose=0)

        def texts(about: dict[str, Any], trainer: nn.Trainer = trainer) -> None:
            names = ("lr_factors", "decay_factors", "constraint")
            about["training"] |= {
                name: value and repr(value) for name in names if (value := getattr(trainer, name)) is not None
            }
            about["training"] |= {name: repr(getattr(trainer, name)) for name in names[:2]}

        def nothing(about: dict[str, Any]) -> None:
            for name in ("lr_factors", "decay_factors", "constraint"):
                del about["training"][name]

        for change in (texts, nothing)[: 1 if options else 2]:
            trainer.save(tmp_path / "checkpoint")
            rewritten(tmp_path / "checkpoint", change)
            other = made({n: dict(reversed(v.items())) if isinstance(v, dict) else v for n, v in options.items()})
            other.restore(tmp_path / "checkpoint")
            assert other.epochs_done == 2
            with pytest.raises(ValueError, match="holds another training: lr_factors"):
                made({**options, "lr_factors": {"dense_1": 0.6, "dense_2": 0.1}}).restore(tmp_path / "checkpoint")


class Remembering(nn.SGD):
    """Sets an attribute when a state is loaded."""

    def load_state_dict(self, state: Any) -> None:
        self._loaded = True
        super().load_state_dict(state)


@pytest.mark.parametrize("fails", [False, True])
def test_optimizers_that_have_attributes_only_then(fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made() -> nn.Trainer:
        return nn.Trainer(nn.Sequential([nn.Dense(1)], 3), "squared_error", Remembering(lr=0.01))

    trainer, other = made(), made()
    trainer.fit(X, Y, verbose=0)
    trainer.save(tmp_path / "checkpoint")
    put, calls = checkpoint._put, []

    def interrupted(*args: Any) -> None:
        put(*args)
        calls.append(args)
        if len(calls) == 1:
            raise Raised

    if fails:
        monkeypatch.setattr(checkpoint, "_put", interrupted)
        with pytest.raises(Raised):
            other.restore(tmp_path / "checkpoint")
        assert not hasattr(other.optimizer, "_loaded")
        assert other.optimizer.step_count == 0
    other.restore(tmp_path / "checkpoint")
    assert other.optimizer._loaded
    assert other.optimizer.step_count == trainer.optimizer.step_count


def test_what_has_no_json_form_is_not_saved_as_a_text(tmp_path: Path) -> None:
    """Which would differ in the next process."""

    class Own(nn.schedules.Schedule):
        def __init__(self, thing: Any) -> None:
            self.thing = thing
            super().__init__()

        def at(self, t: Any) -> Any:
            return np.full(len(t), 0.1)

    trainer = nn.Trainer(nn.Sequential([nn.Dense(1)], 3), "squared_error", nn.SGD(lr=Own(object())))
    with pytest.raises(TypeError, match=r"only what has a JSON form can be stored, got <object"):
        trainer.save(tmp_path / "checkpoint")
    assert not list(tmp_path.iterdir())


def test_other_values_than_the_default_are_still_reported(tmp_path: Path) -> None:
    trainer = nn.Trainer(nn.Sequential([nn.Dense(2), nn.LeakyReLU(0.2), nn.Dense(1)], 3), losses.Huber(2.0))
    trainer.save(tmp_path / "checkpoint")
    for change, message in (
        (lambda about: about["training"]["loss"].pop("delta"), r"loss\.delta must be 2\.0, got 1\.0"),
        (lambda about: about["model"]["layers"][1].popitem(), r"layers\[1\]\.\w+ must be 0\.2, got 0\.01"),
    ):
        rewritten(tmp_path / "checkpoint", change)
        with pytest.raises(ValueError, match=message):
            trainer.restore(tmp_path / "checkpoint")
        trainer.save(tmp_path / "checkpoint")


def derived(name: str) -> losses.Loss:
    return type(losses.LOSSES[name].__name__, (losses.LOSSES[name],), {})()


def function(name: str) -> Any:
    def own(y: Any, d: Any) -> Any:
        return np.abs(y - d).sum(axis=1), np.sign(y - d)

    own.__name__ = name
    return own


@pytest.mark.parametrize("make_loss", [derived, function])
@pytest.mark.parametrize("name", losses.LOSSES)
def test_a_loss_that_only_has_the_name_of_one_of_nncore(name: str, make_loss: Any, tmp_path: Path) -> None:
    def trainer(loss: Any) -> nn.Trainer:
        return nn.Trainer(nn.Sequential([nn.Dense(2)], input_shape=3, seed=1), loss, "sgd")

    for wrote, reads in ((make_loss(name), name), (name, make_loss(name))):
        trainer(wrote).save(tmp_path / "checkpoint")
        other = trainer(reads)
        with pytest.raises(ValueError, match=rf"holds another training: loss must be (custom\.)?{name}, got (custom\.)?{name}"):
            other.restore(tmp_path / "checkpoint")
        trainer(wrote).restore(tmp_path / "checkpoint")


# ---- every argument of every part is compared


def part_of(made: Any) -> dict[str, Any] | None:
    """The argument of a trainer that takes such a part."""
    kinds = {
        "optimizer": nn.optimizers.Optimizer, "regularizer": nn.Regularizer, "loss": losses.Loss, "clip": Clipping,
        "constraint": nn.constraints.Constraint,
    }  # fmt: skip
    if isinstance(made, nn.schedules.Schedule):
        return {"optimizer": nn.SGD(lr=made)}
    if isinstance(made, nn.Layer):
        return {"layers": [made, nn.Dense(3)]}
    return next(({name: made} for name, kind in kinds.items() if isinstance(made, kind)), None)


def training_with(made: Any) -> nn.Trainer:
    part: dict[str, Any] = {"loss": "mean_squared_error", "optimizer": "sgd"} | (part_of(made) or {})
    return nn.Trainer(nn.Sequential(part.pop("layers", [nn.Dense(3)]), input_shape=4, seed=1), **part)


BOUNDS = {nn.MaxNorm: {"limit": 2.0}, nn.MinMaxNorm: {"minimum": 0.5, "maximum": 2.0}, nn.UnitNorm: {}, nn.NonNegative: {}}
PARTS = [(cls, configuration.arguments(cls)) for cls in configuration.CLASSES if cls is not initializers.Constant]
PARTS = [(cls, needed) for cls, needed in [*PARTS, *BOUNDS.items()] if part_of(cls(**copy.deepcopy(needed)))]


@pytest.mark.parametrize(("cls", "needed"), PARTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_part_with_one_other_argument_is_another_training(cls: Any, needed: dict[str, Any]) -> None:
    def made(**other: Any) -> nn.Trainer:
        return training_with(cls(**copy.deepcopy(needed) | other))

    try:
        trainer, file = made(), io.BytesIO()
    except ValueError as error:  # a layer that only follows others, or reads other inputs
        assert issubclass(cls, nn.Layer), error  # noqa: PT017
        return
    trainer.save(file)
    made().restore(io.BytesIO(file.getvalue()))
    for name in configuration.named(cls):
        for value in configuration.other_values(cls, name):
            try:
                other = made(**{name: value})
            except ValueError:  # which this argument cannot have alone
                continue
            with pytest.raises(ValueError, match=r"(another training|another model|other arguments|must be .*of shape): .*"):
                other.restore(io.BytesIO(file.getvalue()))


def users_schedule(value: float) -> nn.schedules.Schedule:
    class Own(nn.schedules.Schedule):
        def at(self, t: Any) -> Any:
            return value / (1.0 + t)

    return Own()


def users_decay(value: float) -> nn.schedules.Schedule:
    class Own(nn.schedules.Exponential):
        def at(self, t: Any) -> Any:
            if (t > 40).any():
                raise ValueError("there are 40 steps")
            return value * super().at(t)

    return Own(0.1, gamma=0.9)


def users_penalty(value: float) -> nn.Regularizer:
    return type("Own", (nn.Regularizer,), {"l2": value})()  # type: ignore[no-any-return]


def users_constraint(value: float) -> nn.constraints.Constraint:
    return type("Own", (nn.constraints.Constraint,), {"kernel": "project_norm", "bounds": (0.0, value)})()  # type: ignore[no-any-return]


def users_loss(value: float) -> losses.Loss:
    return type("Own", (nn.Huber,), {"constants": (value,)})()  # type: ignore[no-any-return]


USERS: dict[str, Any] = {
    "schedule": users_schedule, "derived schedule": users_decay, "wrapped": lambda value: nn.EMA(nn.SGD(users_schedule(value))),
    "warmup": lambda value: nn.schedules.Warmup(users_schedule(value), 3), "penalty": users_penalty, "loss": users_loss,
    "penalties": lambda value: nn.PerLayer({"dense_1": users_penalty(value)}), "constraint": users_constraint,
    "layer": lambda value: nn.BatchRenorm(r_max=users_schedule(1 + value)),
}  # fmt: skip


@pytest.mark.parametrize("name", USERS)
def test_classes_of_one_name_are_compared_by_what_they_do(name: str) -> None:
    """Also in files of older versions, which did not say it: these are taken as they are."""
    make, file = USERS[name], io.BytesIO()
    training_with(make(0.5)).save(file)
    training_with(make(0.5)).restore(io.BytesIO(file.getvalue()))
    with pytest.raises(ValueError, match=r"holds an.*other.*described_by.* must be .*, got"):
        training_with(make(0.25)).restore(io.BytesIO(file.getvalue()))
    if name == "layer":
        made = nn.load(io.BytesIO(file.getvalue()), custom_layers={"Own": type(users_schedule(1.5))})
        assert made[0].r_max.values(0, 2).tolist() == [1.5, 0.75]
    training_with(make(0.25)).restore(io.BytesIO(without_descriptions(file.getvalue())))


def without_descriptions(content: bytes) -> bytes:
    """As an older version wrote it."""
    arrays, about = archive.read(io.BytesIO(content))

    def stripped(value: Any) -> Any:
        if isinstance(value, list):
            return list(map(stripped, value))
        return {k: stripped(v) for k, v in value.items() if k != "described_by"} if isinstance(value, dict) else value

    return archive.pack("older", arrays, stripped(about))


def test_a_schedule_of_another_class_was_assigned(tmp_path: Path) -> None:
    """Within a warm-up: its entry gets none of the arguments of the one that this optimizer has."""

    def made() -> nn.Trainer:
        after = nn.schedules.StepDecay(0.1, every=2)
        optimizer = nn.SGD(nn.schedules.Warmup(after, steps=3))
        return nn.Trainer(nn.Sequential([nn.Dense(1)], 1), loss="squared_error", optimizer=optimizer)

    trainer, other = made(), made()
    trainer.fit(np.ones((4, 1)), np.ones(4), epochs=1, verbose=0)
    trainer.optimizer.lr = nn.schedules.Warmup(0.5, steps=3)
    trainer.save(tmp_path / "checkpoint")
    other.restore(tmp_path / "checkpoint")
    assert other.optimizer.lr == trainer.optimizer.lr
