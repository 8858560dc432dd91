"""Files: loading restores every bit, training continues as if it had not stopped, invalid files raise clear errors."""

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

import nncore as nn
from nncore import schedules
from nncore.layers import ACTIVATIONS

Array = NDArray[Any]

X = np.random.default_rng(0).standard_normal((53, 4))
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)


def make(dtype: str = "float32", seed: int = 3) -> nn.Sequential:
    return nn.Sequential([nn.Dense(6), nn.Tanh(), nn.Dense(3)], input_shape=4, dtype=dtype, seed=seed)


# Models.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip(dtype: str, tmp_path: Path) -> None:
    layers: list[nn.Layer] = [nn.Dense(7, weight_init=nn.initializers.Normal(0.3), bias_init="zeros", name="first")]
    layers += [cls() for cls in ACTIVATIONS.values()]
    layers += [nn.Dense(5, bias=False, weight_init="orthogonal"), nn.LeakyReLU(0.3), nn.ELU(0.7), nn.GELU("tanh"), nn.Dense(2)]
    model = nn.Sequential(layers, input_shape=(2, 3), dtype=dtype, seed=2**40)
    model.parameters[...] += np.random.default_rng(1).standard_normal(model.parameters.size)
    model.save(tmp_path / "model.safetensors")
    loaded = nn.load(tmp_path / "model.safetensors")
    assert loaded.parameters.tobytes() == model.parameters.tobytes()
    assert loaded.parameters.dtype == dtype
    data = np.random.default_rng(2).standard_normal((9, 2, 3))
    assert loaded.predict(data).tobytes() == model.predict(data).tobytes()
    assert repr(loaded) == repr(model)
    assert [layer.config() for layer in loaded.layers] == [layer.config() for layer in model.layers]
    loaded.initialize()
    model.initialize()
    assert loaded.parameters.tobytes() == model.parameters.tobytes()


def test_path_as_text_and_no_suffix_needed(tmp_path: Path) -> None:
    make().save(str(tmp_path / "model"))
    assert np.array_equal(nn.load(str(tmp_path / "model")).parameters, make().parameters)
    assert os.listdir(tmp_path) == ["model"]


def test_special_numbers_are_restored(tmp_path: Path) -> None:
    model = make()
    model.parameters[:4] = [-0.0, 1e-45, np.finfo(np.float32).max, np.float32(0.1)]
    model.save(tmp_path / "model")
    assert nn.load(tmp_path / "model").parameters.tobytes() == model.parameters.tobytes()


class Scale(nn.Layer):
    """A user-defined layer with an option and a parameter."""

    def __init__(self, factor: float = 1.0, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.factor = factor

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        self.add_parameter("gain", input_shape, nn.initializers.Constant(1.0))
        return input_shape

    def forward(self, x: Array, training: bool) -> Array:
        self.x = x.copy()
        return self.factor * self.gain * x

    def backward(self, dy: Array) -> Array:
        self.gain_grad[...] = self.factor * (dy * self.x).sum(axis=0)
        return self.factor * self.gain * dy

    def config(self) -> dict[str, Any]:
        return {"factor": self.factor, "name": self.name}


def test_custom_layers(tmp_path: Path) -> None:
    model = nn.Sequential([nn.Dense(3), Scale(2.5)], input_shape=4)
    model["scale_1"].gain[...] = [1, 2, 3]
    model.save(tmp_path / "model")
    loaded = nn.load(tmp_path / "model", custom_layers={"Scale": Scale})
    assert loaded.predict(X).tobytes() == model.predict(X).tobytes()
    assert loaded["scale_1"].factor == 2.5
    with pytest.raises(ValueError, match=r"'Scale'.*custom_layers"):
        nn.load(tmp_path / "model")


# Trainings.

OPTIMIZERS = {
    "adam": lambda: nn.Adam(lr=0.02),
    "adam with schedules": lambda: nn.Adam(lr=schedules.Cosine(0.05, steps=40), betas=(0.8, schedules.Exponential(0.9, 0.999))),
    "nesterov": lambda: nn.Nesterov(lr=schedules.Exponential(0.1, 0.98), momentum=0.8),
    "momentum": lambda: nn.Momentum(lr=schedules.StepDecay(0.1, every=2, per="epoch")),
    "sgd": lambda: nn.SGD(lr=0.1),
}


def make_trainer(optimizer: str, dtype: str = "float32", **kw: Any) -> nn.Trainer:
    return nn.Trainer(
        make(dtype), "softmax_cross_entropy", OPTIMIZERS[optimizer](), metrics=["accuracy"], regularizer=nn.L2(1e-3), **kw
    )  # fmt: skip


def fit(trainer: nn.Trainer, epochs: int, **kw: Any) -> nn.Trainer:
    trainer.fit(X, Y, epochs=epochs, batch_size=16, verbose=0, **kw)
    return trainer


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resuming_gives_the_bits_of_never_having_stopped(optimizer: str, dtype: str, shuffle: bool, tmp_path: Path) -> None:
    kw: dict[str, Any] = {"shuffle": shuffle, "validation_data": (X, Y), "exact_loss": True}
    whole = fit(make_trainer(optimizer, dtype, seed=5), 7, **kw)
    fit(make_trainer(optimizer, dtype, seed=5), 3, **kw).save(tmp_path / "checkpoint")
    resumed = make_trainer(optimizer, dtype, seed=9)
    resumed.model.parameters[...] = 7
    resumed.restore(tmp_path / "checkpoint")
    assert resumed.epochs_done == len(resumed.history) == 3
    fit(resumed, 4, **kw)
    assert resumed.model.parameters.tobytes() == whole.model.parameters.tobytes()
    assert resumed.history == whole.history
    assert resumed.epochs_done == 7
    state, want = resumed.optimizer.state_dict(), whole.optimizer.state_dict()
    assert state.keys() == want.keys()
    assert all(np.array_equal(state[name], want[name]) for name in want)


def test_restore_into_a_trainer_that_has_trained(tmp_path: Path) -> None:
    """Its compiled programs and optimizer arrays use the restored values."""
    trainer = fit(make_trainer("adam"), 3)
    trainer.save(tmp_path / "checkpoint")
    first = fit(trainer, 4).model.parameters.tobytes()
    trainer.restore(tmp_path / "checkpoint")
    assert fit(trainer, 4).model.parameters.tobytes() == first


def test_a_checkpoint_can_be_loaded_as_a_model(tmp_path: Path) -> None:
    trainer = fit(make_trainer("adam"), 3)
    trainer.save(tmp_path / "checkpoint")
    assert nn.load(tmp_path / "checkpoint").predict(X).tobytes() == trainer.model.predict(X).tobytes()


def test_checkpoints_of_a_callback(tmp_path: Path) -> None:
    trainer = fit(make_trainer("nesterov"), 4, callbacks=[nn.ModelCheckpoint(tmp_path / "net-{epoch}")])
    assert sorted(os.listdir(tmp_path)) == [f"net-{n}" for n in (1, 2, 3, 4)]
    resumed = make_trainer("nesterov")
    resumed.restore(tmp_path / "net-2")
    assert fit(resumed, 2).model.parameters.tobytes() == trainer.model.parameters.tobytes()


MISMATCHES: dict[str, Any] = {
    "units": lambda: nn.Trainer(nn.Sequential([nn.Dense(5), nn.Tanh(), nn.Dense(3)], 4, seed=3), "softmax_cross_entropy"),
    "activation": lambda: nn.Trainer(nn.Sequential([nn.Dense(6), nn.ReLU(), nn.Dense(3)], 4, seed=3), "softmax_cross_entropy"),
    "dtype": lambda: nn.Trainer(make("float64"), "softmax_cross_entropy"),
    "optimizer": lambda: nn.Trainer(make(), "softmax_cross_entropy", "momentum"),
    "variant of the optimizer": lambda: nn.Trainer(make(), "softmax_cross_entropy", "amsgrad"),
    "loss": lambda: nn.Trainer(make(), "squared_error", nn.Adam(lr=0.02), regularizer=nn.L2(1e-3)),
    "argument of the loss": lambda: nn.Trainer(make(), nn.Huber(0.5), nn.Adam(lr=0.02), regularizer=nn.L2(1e-3)),
    "no regularizer": lambda: nn.Trainer(make(), "softmax_cross_entropy", nn.Adam(lr=0.02)),
    "regularizer": lambda: nn.Trainer(make(), "softmax_cross_entropy", nn.Adam(lr=0.02), regularizer=nn.L1(1e-3)),
    "strength": lambda: nn.Trainer(make(), "softmax_cross_entropy", nn.Adam(lr=0.02), regularizer=nn.L2(2e-3)),
    "clip": lambda: make_trainer("adam", clip=nn.ClipNorm(1.0)),
    "lr": lambda: set_otherwise(lr=0.01),
    "eps": lambda: set_otherwise(eps=1e-7),
    "betas": lambda: set_otherwise(betas=(0.9, 0.99)),
    "form": lambda: set_otherwise(eps_placement="inside"),
    "schedule": lambda: set_otherwise(lr=schedules.Exponential(0.02, 1.0)),
}


def set_otherwise(**kw: Any) -> nn.Trainer:
    optimizer = nn.Adam(**{"lr": 0.02} | kw)
    return nn.Trainer(make(), "softmax_cross_entropy", optimizer, regularizer=nn.L2(1e-3))


@pytest.mark.parametrize("case", MISMATCHES)
def test_a_checkpoint_of_another_training(case: str, tmp_path: Path) -> None:
    fit(make_trainer("adam"), 2).save(tmp_path / "checkpoint")
    other = fit(MISMATCHES[case](), 1)
    theta, state = other.model.parameters.copy(), other.optimizer.state_dict()
    with pytest.raises(ValueError, match=r"checkpoint.*must (be|hold).*got"):
        other.restore(tmp_path / "checkpoint")
    assert np.array_equal(other.model.parameters, theta)
    assert all(np.array_equal(value, state[name]) for name, value in other.optimizer.state_dict().items())
    assert len(other.history) == other.epochs_done == 1


@pytest.mark.parametrize(
    ("make_other", "differences"),
    [
        (lambda: set_otherwise(lr=0.01), "other arguments: lr must be 0.01, got 0.02. Restore with the same, and assign"),
        (lambda: make_trainer("adam", clip=nn.ClipNorm(1.0)), "another training: clip must be ClipNorm, got None"),
        (lambda: nn.Trainer(make(), nn.Huber(2.0), "adam"), "training: loss must be huber, got softmax_cross_entropy; regul"),
        (lambda: nn.Trainer(make(seed=7), "hinge", "adam"), "another model: seed must be 7, got 3"),
        (
            lambda: nn.Trainer(nn.Sequential([nn.Dense(5), nn.Tanh(), nn.Dense(3)], 4, seed=3), "hinge", "adam"),
            "another model: layers[0].units must be 5, got 6",
        ),
        (
            lambda: nn.Trainer(nn.Sequential([nn.Dense(6), nn.ReLU(), nn.Dense(3)], 4, seed=3), "hinge", "adam"),
            "another model: layers[1] must be ReLU, got Tanh",
        ),
        (
            lambda: nn.Trainer(nn.Sequential([nn.Dense(6), nn.Dense(3)], 4, seed=3), "hinge", "adam"),
            "another model: layers must be [Dense, Dense], got [Dense, Tanh, Dense]",
        ),
    ],
)
def test_the_message_names_only_the_differences(make_other: Any, differences: str, tmp_path: Path) -> None:
    fit(make_trainer("adam"), 2).save(tmp_path / "checkpoint")
    with pytest.raises(ValueError) as raised:
        make_other().restore(tmp_path / "checkpoint")
    message = str(raised.value).removeprefix(str(tmp_path))
    assert differences in message
    assert len(message) < 200


def test_assigned_numbers_are_restored(tmp_path: Path) -> None:
    """A trainer with the same initial arguments takes over later assignments: numbers, pairs and schedules."""
    trainer = fit(make_trainer("adam"), 2)
    trainer.optimizer.lr = schedules.Cosine(0.05, steps=40)
    trainer.optimizer.betas = (0.8, schedules.Exponential(0.9, 0.999))
    fit(trainer, 2).save(tmp_path / "checkpoint")
    fit(trainer, 3)
    for resumed in (make_trainer("adam"), make_trainer("adam with schedules")):
        resumed.restore(tmp_path / "checkpoint")
        assert repr(resumed.optimizer) == repr(trainer.optimizer)
        assert fit(resumed, 3).model.parameters.tobytes() == trainer.model.parameters.tobytes()
    resumed.save(tmp_path / "again")  # the trainer with other arguments: from now on like the first one
    again = make_trainer("adam")
    again.restore(tmp_path / "again")
    assert again.history == trainer.history
    again.optimizer.lr = 0.5
    fit(again, 1)
    assert again.history["lr"][-1] == 0.5


class Counter(nn.Callback):
    """User-defined, with an array in its state."""

    def __init__(self) -> None:
        self.counts = np.zeros(3)

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        self.counts[epoch % 3] += 1

    def state_dict(self) -> dict[str, Any]:
        return {"counts": self.counts, "total": float(self.counts.sum())}

    def load_state_dict(self, state: Any) -> None:
        assert state["total"] == state["counts"].sum()
        self.counts = np.array(state["counts"])


def test_callbacks_are_matched_by_class_and_order(tmp_path: Path) -> None:
    first, second, third = Counter(), nn.EarlyStopping("running_loss", patience=9), Counter()
    trainer = fit(make_trainer("adam"), 4, callbacks=[first, second, third])
    third.counts += 10
    trainer.save(tmp_path / "checkpoint")
    resumed, others = make_trainer("adam"), [nn.Callback(), Counter(), Counter(), Counter()]
    resumed.restore(tmp_path / "checkpoint")
    fit(resumed, 2, callbacks=others)
    assert [c.counts.sum() for c in others[1:]] == [6, 36, 2]  # type: ignore[attr-defined]
    fit(resumed, 1, callbacks=[fresh := Counter()])
    assert fresh.counts.sum() == 1


@pytest.mark.parametrize("cut", [2, 4, 7])
def test_early_stopping_goes_back_to_an_epoch_before_the_checkpoint(cut: int, tmp_path: Path) -> None:
    """Targets are noise, so that the validation loss soon rises."""
    rng = np.random.default_rng(0)
    y, held_out = rng.integers(0, 3, 53), (rng.standard_normal((60, 4)), rng.integers(0, 3, 60))
    kw: dict[str, Any] = {"epochs": 60, "batch_size": 16, "validation_data": held_out, "verbose": 0}
    whole, stopping = make_trainer("adam"), nn.EarlyStopping(patience=6)
    whole.fit(X, y, callbacks=[stopping, nn.ModelCheckpoint(tmp_path / "net-{epoch}")], **kw)
    assert stopping.best_epoch is not None
    assert cut < whole.epochs_done < 60
    resumed, other = make_trainer("adam"), nn.EarlyStopping(patience=6)
    resumed.restore(tmp_path / f"net-{cut}")
    resumed.fit(X, y, callbacks=[other], **kw)
    assert (other.best_epoch, other.stopped_epoch, other.best) == (stopping.best_epoch, stopping.stopped_epoch, stopping.best)
    assert resumed.model.parameters.tobytes() == whole.model.parameters.tobytes()
    assert resumed.history == whole.history


def go_on(trainer: nn.Trainer, path: Path) -> None:
    trainer.restore(path)
    fit(trainer, 1, callbacks=[nn.EarlyStopping("running_loss")])


def test_a_callback_that_cannot_continue(tmp_path: Path) -> None:
    trainer = fit(make_trainer("adam"), 2, callbacks=[nn.EarlyStopping("running_loss")])
    trainer.save(tmp_path / "good")
    for change, message in (
        (lambda about: about["callbacks"][0]["state"].pop("best_epoch") and None, "bad is damaged.*best_epoch"),
        (set_in("callbacks", value=[{"class": "EarlyStopping"}]), "bad is damaged"),
        (set_in("callbacks", value=3), "bad is damaged"),
        (set_in("callbacks", value=["EarlyStopping"]), "bad is damaged"),
    ):
        trainer = make_trainer("adam")
        with pytest.raises(ValueError, match=message):
            go_on(trainer, altered(tmp_path / "good", change))
        assert trainer.epochs_done == len(trainer.history)
    early = nn.EarlyStopping("running_loss")
    early.load_state_dict({"wait": 0, "best": 1.0, "best_epoch": 0, "best_parameters": np.zeros(3), "best_state": np.zeros(0)})
    with pytest.raises(ValueError, match=r"best parameters of another model, which must have shape \(51,\).*got \(3,\)"):
        fit(make_trainer("adam"), 1, callbacks=[early])


def test_a_model_is_not_a_checkpoint(tmp_path: Path) -> None:
    make().save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"checkpoint written by Trainer\.save.*'model'"):
        make_trainer("adam").restore(tmp_path / "model")


# Invalid files.


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """Header and data of a safetensors file."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write(path: Path, header: Any, data: bytes) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def assert_clear(path: Path, *, load_only: bool = False) -> None:
    """A ValueError that names the file, from load and from restore; nothing changes."""
    with pytest.raises(ValueError, match="bad"):
        nn.load(path)
    if load_only:
        return
    trainer = fit(make_trainer("adam"), 1)
    theta, state = trainer.model.parameters.copy(), trainer.optimizer.state_dict()
    with pytest.raises(ValueError, match="bad"):
        trainer.restore(path)
    assert np.array_equal(trainer.model.parameters, theta)
    assert all(np.array_equal(value, state[name]) for name, value in trainer.optimizer.state_dict().items())
    assert trainer.epochs_done == len(trainer.history) == 1


@pytest.fixture
def good(tmp_path: Path) -> Path:
    fit(make_trainer("adam"), 2).save(tmp_path / "good")
    return tmp_path / "good"


RAW: dict[str, bytes] = {
    "empty": b"",
    "one byte": b"\0",
    "zeros": bytes(100),
    "ones": b"\xff" * 100,
    "random": np.random.default_rng(0).bytes(1000),
    "text": b"this is not a model\n" * 10,
    "a pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07nothing\x94.",
    "a header that never ends": struct.pack("<Q", 2**63) + b"{}",
    "a header longer than the file": struct.pack("<Q", 1000) + b"{}",
    "a header of lists": struct.pack("<Q", 2) + b"[]",
    "a header that is no JSON": struct.pack("<Q", 4) + b"{a:}",
    "a header nested too deep": struct.pack("<Q", 200_000) + b"[" * 200_000,
}


@pytest.mark.parametrize("case", RAW)
def test_hostile_bytes(case: str, tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(RAW[case])
    assert_clear(tmp_path / "bad")


def test_truncated_at_any_position(good: Path) -> None:
    content = good.read_bytes()
    bad = good.with_name("bad")
    for length in [*range(0, 64), *range(64, len(content), 97), len(content) - 1]:
        bad.write_bytes(content[:length])
        with pytest.raises(ValueError, match="bad"):
            nn.load(bad)
    bad.write_bytes(content)
    nn.load(bad)


def test_bytes_after_the_end(good: Path) -> None:
    bad = good.with_name("bad")
    bad.write_bytes(good.read_bytes() + b"more")
    assert_clear(bad)


def test_safetensors_of_something_else(tmp_path: Path) -> None:
    save_file({"parameters": np.zeros(51, np.float32), "state": np.zeros(0, np.float32)}, tmp_path / "bad")
    with pytest.raises(ValueError, match=r"bad was not written by nncore.*'nncore-2'.*None"):
        nn.load(tmp_path / "bad")
    save_file({"a": np.zeros(3)}, tmp_path / "bad", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"bad was not written by nncore.*'pt'"):
        nn.load(tmp_path / "bad")
    assert_clear(tmp_path / "bad")


def altered(good: Path, change: Any) -> Path:
    """The file with a changed description."""
    header, data = parts(good)
    about = json.loads(header["__metadata__"]["about"])
    result = change(about)
    about = about if result is None else result
    header["__metadata__"]["about"] = about if isinstance(about, str) else json.dumps(about)
    bad = good.with_name("bad")
    write(bad, header, data)
    return bad


def test_the_unchanged_description_can_be_read(good: Path) -> None:
    assert np.array_equal(nn.load(altered(good, lambda about: None)).parameters, nn.load(good).parameters)


def set_in(*keys: Any, value: Any) -> Any:
    def change(about: Any) -> None:
        for key in keys[:-1]:
            about = about[key]
        about[keys[-1]] = value

    return change


DAMAGED: dict[str, Any] = {
    "no JSON": lambda about: "{",
    "empty": lambda about: "",
    "a list": lambda about: [],
    "null": lambda about: "null",
    "an empty object": lambda about: "{}",
    "nested too deep": lambda about: "[" * 100_000,
    "no model": lambda about: about.pop("model") and None,
    "a model that is text": set_in("model", value="model"),
    "a model that is null": set_in("model", value=None),
    "a model that is a list": set_in("model", value=[1]),
    "no layers": set_in("model", "layers", value=[]),
    "layers that are text": set_in("model", "layers", value="abc"),
    "layers that are numbers": set_in("model", "layers", value=[1, 2]),
    "layers that are a number": set_in("model", "layers", value=7),
    "a layer without class": lambda about: about["model"]["layers"][0].pop("class") and None,
    "a layer of an unknown class": set_in("model", "layers", 0, "class", value="Convolution"),
    "a layer of a class that is none": set_in("model", "layers", 0, "class", value={"a": 1}),
    "a layer of Python's": set_in("model", "layers", 0, "class", value="object"),
    "an unknown argument": set_in("model", "layers", 0, "color", value=1),
    "units that are text": set_in("model", "layers", 0, "units", value="6"),
    "no units": set_in("model", "layers", 0, "units", value=0),
    "other units": set_in("model", "layers", 0, "units", value=7),
    "an unknown initializer": set_in("model", "layers", 0, "weight_init", value={"name": "best"}),
    "an initializer with a list for a name": set_in("model", "layers", 0, "weight_init", value={"name": ["zeros"]}),
    "an initializer that is a number": set_in("model", "layers", 0, "weight_init", value=3),
    "an initializer without its number": set_in("model", "layers", 0, "weight_init", value={"name": "normal", "std": None}),
    "a name that is a number": set_in("model", "layers", 0, "name", value=5),
    "a name that is a list": set_in("model", "layers", 0, "name", value=["a"]),
    "names that are equal": set_in("model", "layers", 0, "name", value="dense_2"),
    "no input_shape": lambda about: about["model"].pop("input_shape") and None,
    "an input_shape of 0": set_in("model", "input_shape", value=[0]),
    "an input_shape that is text": set_in("model", "input_shape", value="4"),
    "an input_shape that is a number": set_in("model", "input_shape", value=4),
    "another input_shape": set_in("model", "input_shape", value=[5]),
    "another dtype": set_in("model", "dtype", value="float64"),
    "an unknown dtype": set_in("model", "dtype", value="quadruple"),
    "a dtype of objects": set_in("model", "dtype", value="object"),
    "a negative seed": set_in("model", "seed", value=-1),
    "a seed that is text": set_in("model", "seed", value="x"),
    "a seed that is a list": set_in("model", "seed", value=[1]),
    "a model beyond all memory": set_in("model", "input_shape", value=[2**40]),
    "a model beyond all numbers": set_in("model", "input_shape", value=[2**62, 2**62]),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_description_of_a_model(case: str, good: Path) -> None:
    assert_clear(altered(good, DAMAGED[case]))


def test_a_large_model_is_not_built_for_a_small_file(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parameters of the description do not fit those in the file: no initial weights are drawn for them."""
    drawn: list[int] = []
    monkeypatch.setattr(nn.initializers.HeNormal, "sample", lambda self, shape, rng: drawn.append(1) or np.zeros(shape))
    assert_clear(altered(good, set_in("model", "input_shape", value=[200_000])), load_only=True)
    assert not drawn


DAMAGED_TRAINING: dict[str, Any] = {
    **{f"no {name}": (lambda about, name=name: about.pop(name) and None)
       for name in ("kind", "optimizer", "optimizer_state", "epochs_done", "seed", "history_columns", "training",
                    "optimizer_config", "first_optimizer_config", "callbacks", "losses_of")},
    "an optimizer of text": set_in("optimizer_config", value="adam"),
    "an lr that is text": set_in("optimizer_config", "lr", value="fast"),
    "an lr below 0": set_in("optimizer_config", "lr", value=-1.0),
    "an unknown schedule": set_in("optimizer_config", "lr", value={"schedule": "up"}),
    "a schedule of text": set_in("optimizer_config", "lr", value={"schedule": "exponential", "initial": "a", "gamma": 1}),
    "losses of nothing": set_in("losses_of", value=-1),
    "epochs_done that is text": set_in("epochs_done", value="many"),
    "epochs_done that is null": set_in("epochs_done", value=None),
    "a negative epochs_done": set_in("epochs_done", value=-1),
    "a negative seed": set_in("seed", value=-1),
    "a seed that is a list": set_in("seed", value=[]),
    "columns of a history that are numbers": set_in("history_columns", 0, value=1),
    "columns of a history that are text": set_in("history_columns", value="ab"),
    "too many columns of a history": lambda about: about["history_columns"].append("loss"),
    "equal columns of a history": lambda about: about["history_columns"].__setitem__(0, about["history_columns"][1]),
    "a state that is a list": set_in("optimizer_state", value=[1]),
    "a state that is a number": set_in("optimizer_state", value=1),
    "a state with something else": set_in("optimizer_state", "lr", value=1.0),
    "a step_count that is text": set_in("optimizer_state", "step_count", value="1"),
    "a negative step_count": set_in("optimizer_state", "step_count", value=-5),
    "equal levels": set_in("levels", value=[0, 0, False]),
    "descending levels": set_in("levels", value=[1, 0, False]),
    "a product that is null": set_in("optimizer_state", "product_beta1", value=None),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED_TRAINING)
def test_damaged_description_of_a_training(case: str, good: Path) -> None:
    bad = altered(good, DAMAGED_TRAINING[case])
    trainer = fit(make_trainer("adam"), 1)
    theta, state = trainer.model.parameters.copy(), trainer.optimizer.state_dict()
    with pytest.raises(ValueError, match="bad"):
        trainer.restore(bad)
    assert np.array_equal(trainer.model.parameters, theta)
    assert all(np.array_equal(value, state[name]) for name, value in trainer.optimizer.state_dict().items())
    assert trainer.epochs_done == len(trainer.history) == 1


@pytest.mark.parametrize("array", ["parameters", "optimizer.m", "optimizer.v"])
@pytest.mark.parametrize("change", ["missing", "shape", "shorter", "dtype"])
def test_arrays_that_do_not_fit(array: str, change: str, good: Path) -> None:
    header, _ = parts(good)
    arrays = load_file(good)
    if change == "missing":
        arrays.pop(array)
    else:
        old = arrays[array]
        arrays[array] = {"shape": old[None], "shorter": old[:-1], "dtype": old.astype(np.float64)}[change]
    bad = good.with_name("bad")
    save_file(arrays, bad, metadata=header["__metadata__"])
    trainer = make_trainer("adam")
    theta = trainer.model.parameters.copy()
    with pytest.raises(ValueError, match=array.removeprefix("optimizer.")):
        trainer.restore(bad)
    assert np.array_equal(trainer.model.parameters, theta)
    assert not trainer.optimizer.state["m"].any()
    if array == "parameters":
        with pytest.raises(ValueError, match=r"bad.* parameters (must be float32|are 51 numbers)"):
            nn.load(bad)


@settings(max_examples=150)
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), count=st.integers(1, 3))
def test_changed_bytes_load_or_raise_a_clear_error(
    place: float, value: int, count: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With any change of a few bytes of the header, load gives a model or a ValueError."""
    path = tmp_path_factory.mktemp("bytes") / "bad"
    make().save(path)
    content = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    start = int(place * (8 + length))
    content[start : start + count] = bytes([value]) * count
    path.write_bytes(content)
    try:
        model = nn.load(path)
    except ValueError:
        return
    assert model.parameters.size == make().parameters.size


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        nn.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        make().save(tmp_path / "nowhere" / "model")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises((OSError, ValueError), match=tmp_path.name):
        nn.load(tmp_path)


# Writing.


@pytest.mark.parametrize("fails", ["replace", "fsync"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_write_keeps_the_old_file(
    fails: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(seed=1).save(tmp_path / "model")
    before = (tmp_path / "model").read_bytes()

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(os, fails, fail)
    with pytest.raises(type(error)):
        make(seed=2).save(tmp_path / "model")
    monkeypatch.undo()
    assert (tmp_path / "model").read_bytes() == before
    assert os.listdir(tmp_path) == ["model"]
    make(seed=2).save(tmp_path / "model")
    assert np.array_equal(nn.load(tmp_path / "model").parameters, make(seed=2).parameters)
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.skipif(os.name == "nt", reason="modes are those of POSIX")
def test_a_saved_file_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    make().save(tmp_path / "model")
    assert (tmp_path / "model").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_no_pickle_in_files(good: Path) -> None:
    """The header is JSON to its end, and what follows are the arrays it lists."""
    header, data = parts(good)
    about = json.loads(header.pop("__metadata__")["about"])
    assert about["kind"] == "trainer"
    ends = sorted(entry["data_offsets"] for entry in header.values())
    assert [0] + [end for _, end in ends] == [start for start, _ in ends] + [len(data)]


class Ones(nn.initializers.Initializer):
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return np.full(shape, self.factor)


class Limit(schedules.Schedule):
    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def at(self, t: Array) -> Array:
        return np.full(t.shape, self.limit)


def test_custom_initializers_and_schedules_of_layers(tmp_path: Path) -> None:
    layers = [
        nn.Dense(3, weight_init=Ones(2.0), name="custom.Ones"), nn.BatchRenorm(r_max=Limit(2.5)),
        nn.BatchRenorm(d_max=schedules.Warmup(Limit(1.5), 3)), nn.WeightNorm(nn.Dense(2, weight_init=Ones(3.0))),
    ]  # fmt: skip
    model = nn.Sequential(layers, input_shape=4)
    model.save(tmp_path / "model")
    classes: dict[str, Any] = {"Ones": Ones, "Limit": Limit}
    loaded = nn.load(tmp_path / "model", custom_layers=classes)
    assert [layer.config() for layer in loaded.layers] == [layer.config() for layer in model.layers]
    assert type(loaded.layers[0].weight_init) is Ones
    assert loaded.predict(X).tobytes() == model.predict(X).tobytes()
    loaded.initialize()
    assert (loaded.layers[0].weight == 2).all()
    for name, kind in (("Ones", "initializer"), ("Limit", "schedule")):
        with pytest.raises(ValueError, match=f"the {kind} class '{name}' is not known: pass it in custom_layers"):
            nn.load(tmp_path / "model", custom_layers={key: cls for key, cls in classes.items() if key != name})


@pytest.mark.parametrize("name", ["running_var", "batches"])
def test_states_of_layers_that_are_never_negative(name: str, tmp_path: Path) -> None:
    def trainer() -> nn.Trainer:
        return nn.Trainer(nn.Sequential([nn.Dense(2), nn.BatchNorm(), nn.Dense(3)], 4), "softmax_cross_entropy")

    first = trainer()
    message = f"batch_norm_1.{name} must be at least 0, got -1"
    first.save(tmp_path / "good")
    getattr(first.model["batch_norm_1"], name)[-1] = -1
    for save in (first.save, first.model.save):
        with pytest.raises(ValueError, match=message):
            save(tmp_path / "new")
    header, _ = parts(tmp_path / "good")
    arrays = {**load_file(tmp_path / "good"), "state": first.model.state}
    save_file(arrays, tmp_path / "bad", metadata=header["__metadata__"])
    for load in (trainer().restore, nn.load):
        with pytest.raises(ValueError, match=message):
            load(tmp_path / "bad")
