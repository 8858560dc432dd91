"""Writing and reading files: links, modes, pipes, killed processes, file objects, damaged and older files."""

import contextlib
import copy
import io
import json
import math
import os
import pickle
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

import nncore as nn
from nncore import second_order
from nncore._utils import files
from nncore.callbacks import CALLBACKS
from nncore.history import History, larger_is_better
from nncore.losses import LOSSES
from nncore.optimizers import OPTIMIZERS, WRAPPERS

X = np.random.default_rng(0).standard_normal((20, 3))
Y = np.arange(20) % 2


def make(seed: int = 1, **kw: Any) -> nn.Sequential:
    return nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(2)], input_shape=3, seed=seed, **kw)


def same(path: Any, model: nn.Sequential) -> bool:
    return nn.load(path).parameters.tobytes() == model.parameters.tobytes()


# Writing.


@pytest.mark.parametrize("length", [1, 221, 222, 255])
def test_names_of_every_length(length: int, tmp_path: Path) -> None:
    path = tmp_path / ("a" * length)
    make().save(path)
    make(2).save(path)
    assert same(path, make(2))
    assert os.listdir(tmp_path) == [path.name]


def test_a_link_is_kept_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "target")
    for seed in (1, 2):  # at first it is dangling
        make(seed).save(tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert same(tmp_path / "folder" / "target", make(seed))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError, match="loop"):
        make().save(tmp_path / "loop")
    assert (tmp_path / "loop").is_symlink()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o400])
def test_the_mode_of_an_existing_file_is_kept(mode: int, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"")
    (tmp_path / "model").chmod(mode)
    make().save(tmp_path / "model")
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == mode
    assert same(tmp_path / "model", make())


def test_a_pipe_is_written_into_and_not_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="pipe is a folder, a pipe or a device"):
        nn.load(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        make().save(pipe)
        content, _ = reader.communicate(timeout=60)
    assert same(io.BytesIO(content), make())
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]
    make().save(os.devnull)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_no_temporary_name_in_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Any, *args: Any, **kw: Any) -> Any:
        raise PermissionError(13, "Permission denied", os.fspath(path))

    monkeypatch.setattr(files, "open", refuse, raising=False)
    with pytest.raises(PermissionError) as raised:
        make().save(tmp_path / "model")
    assert raised.value.filename == str(tmp_path / "model")
    assert ".nncore" not in str(raised.value)


KILLED = """
import os, signal, sys
import nncore as nn
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
nn.Sequential([nn.Dense(4)], input_shape=3).save(sys.argv[1])
"""
WAITS = KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "print('saving', flush=True) or sys.stdin.read()")


def test_temporaries_of_killed_processes_are_removed_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    left = os.listdir(tmp_path)
    assert len(left) == 1  # the second one removed that of the first
    assert left[0].startswith(".nncore-")
    with subprocess.Popen([sys.executable, "-c", WAITS, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as saving:
        assert saving.stdout is not None
        assert saving.stdout.readline() == b"saving\n"
        make(1).save(tmp_path / "other")
        make(1).save(path)
        assert len([name for name in os.listdir(tmp_path) if name.startswith(".nncore-")]) == 1  # of the save in progress
        saving.communicate(timeout=60)
        assert saving.returncode == 0
    assert nn.load(path).output_shape == (4,)  # which completed
    assert sorted(os.listdir(tmp_path)) == ["model", "other"]


def test_a_temporary_file_removed_before_it_is_locked_is_recreated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, seen = files._lock, []

    def late(file: Any, **kw: Any) -> bool:
        if kw and not seen:
            seen.append(os.unlink(file.name))
        return lock(file, **kw)

    monkeypatch.setattr(files, "_lock", late)
    make().save(tmp_path / "model")
    assert seen
    assert same(tmp_path / "model", make())
    assert os.listdir(tmp_path) == ["model"]


class Slow(io.RawIOBase):
    """Accepts a few bytes at a time, up to a total."""

    def __init__(self, room: int) -> None:
        self.content, self.room = b"", room

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data[: min(7, self.room - len(self.content))])
        self.content += part
        return len(part)


def test_file_objects(tmp_path: Path) -> None:
    stream = io.BytesIO()
    make().save(stream)
    assert same(io.BytesIO(stream.getvalue()), make())
    slow = Slow(10**6)
    make().save(slow)  # type: ignore[arg-type]
    assert same(io.BytesIO(slow.content), make())
    with pytest.raises(OSError, match="only 20 of"):
        make().save(Slow(20))  # type: ignore[arg-type]
    make().save(os.fsencode(tmp_path / "bytes"))
    assert same(os.fsencode(tmp_path / "bytes"), make())
    trainer = nn.Trainer(make(), "softmax_cross_entropy")
    trainer.fit(X, Y, epochs=3, verbose=0)
    trainer.save(stream := io.BytesIO())
    other = nn.Trainer(make(), "softmax_cross_entropy")
    other.restore(io.BytesIO(stream.getvalue()))
    assert other.history == trainer.history
    assert np.array_equal(other.model.parameters, trainer.model.parameters)
    for call in (
        lambda: make().save(3),
        lambda: make().save(io.StringIO()),
        lambda: nn.load(io.StringIO("a")),
        lambda: nn.load(3),
    ):
        with pytest.raises(TypeError, match="path must be a path or a file object opened for"):
            call()
    with pytest.raises(ValueError, match="not a safetensors file"):
        nn.load(io.BytesIO(b"abc"))


# Models.


def altered(content: bytes, change: Any = lambda about: None, arrays: Any = lambda arrays: None, form: str = "") -> bytes:
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])["__metadata__"]
    about, tensors = json.loads(header["about"]), load_arrays(content)
    change(about)
    arrays(tensors)
    return save_arrays(tensors, {"format": form or header["format"], "about": json.dumps(about)})


def content_of(thing: Any) -> bytes:
    thing.save(stream := io.BytesIO())
    return stream.getvalue()


class Counted(nn.Identity):
    """Counts accesses to its items."""

    asked = 0

    @property
    def parts(self) -> Any:
        Counted.asked += 1
        return (self,)


def test_building_takes_time_in_proportion_to_the_layers() -> None:
    calls = []
    for n in (100, 400):
        Counted.asked = 0
        nn.Sequential([Counted() for _ in range(n)], input_shape=1)
        calls.append(Counted.asked)
    assert calls[1] == 4 * calls[0]
    with pytest.raises(ValueError, match="names must differ, got 'a' twice"):
        nn.Sequential([nn.Identity(name="a"), nn.Identity(name="b"), nn.Identity(name="a")], input_shape=1)


@pytest.mark.parametrize("shape", ["4", ["a" * 9], [[1, 2]], [1.5], [-1], [], [[10**9] * 3], None, {}])
def test_the_shape_is_checked_before_it_is_multiplied(shape: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    content = altered(content_of(make()), lambda about: about["model"].update(input_shape=shape))
    monkeypatch.setattr(nn.Dense, "build", lambda self, shape: pytest.fail("built"))
    with pytest.raises(ValueError, match="describes no model"):
        nn.load(io.BytesIO(content))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["parameters", "state"])
def test_non_finite_numbers(name: str, bad: float) -> None:
    def trainer() -> nn.Trainer:
        return nn.Trainer(nn.Sequential([nn.BatchNorm(), nn.Dense(2)], input_shape=3), "softmax_cross_entropy")

    content = altered(content_of(trainer()), arrays=lambda arrays: arrays[name].__setitem__(1, bad))
    for call in (nn.load, (other := trainer()).restore):
        before = other.model.parameters.copy()
        with pytest.raises(ValueError, match=f"{name} must be finite, got {bad} at 1"):
            call(io.BytesIO(content))
        assert np.array_equal(other.model.parameters, before)
    getattr(other.model, name)[1] = bad
    with pytest.raises(ValueError, match=f"{name} must be finite, got {bad} at 1"):
        other.save(io.BytesIO())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["mean_", "var_"])
def test_scalers_that_are_not_finite(name: str, bad: float) -> None:
    model = make()
    model.input_scaler = nn.data.StandardScaler().fit(X)
    content = altered(content_of(model), arrays=lambda arrays: arrays[f"input_scaler.{name}"].__setitem__(0, bad))
    with pytest.raises(ValueError, match=f"{name} must be finite"):
        nn.load(io.BytesIO(content))


def test_newer_and_foreign_formats() -> None:
    for form, words in (
        ("nncore-3", "written by a newer nncore"),
        ("nncore-x", "not written by nncore"),
        ("pt", "not written"),
    ):
        with pytest.raises(ValueError, match=words):
            nn.load(io.BytesIO(altered(content_of(make()), form=form)))


class Tanh(nn.Layer):
    """User-defined, with the name of a class of nncore."""

    def forward(self, x: Any, training: bool) -> Any:
        self.h = np.tanh(x * 2 / 3)
        return 1.7159 * self.h

    def backward(self, dy: Any) -> Any:
        return dy * 1.7159 * 2 / 3 * (1 - self.h**2)


class Dense(nn.Dense):
    """Derived from a class of nncore, with its name."""


@pytest.mark.parametrize("cls", [Tanh, Dense])
def test_a_layer_with_the_name_of_a_built_in(cls: Any) -> None:
    model = nn.Sequential([nn.Dense(4), cls(*[4] * (cls is Dense)), nn.Tanh(), nn.Dense(1)], input_shape=3)
    content = content_of(model)
    with pytest.raises(ValueError, match=f"'{cls.__name__}' is not nncore's own.*custom_layers"):
        nn.load(io.BytesIO(content))
    loaded = nn.load(io.BytesIO(content), custom_layers={cls.__name__: cls})
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]
    assert np.array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(TypeError, match="custom_layers must map names to classes"):
        nn.load(io.BytesIO(content), custom_layers={"Tanh": Tanh()})  # type: ignore[dict-item]


def older(content: bytes) -> bytes:
    """The file in the first format."""

    def change(about: Any) -> None:
        for entry in (*about["model"]["layers"], *about.get("callbacks", [])):
            entry["class"] = entry["class"].removeprefix("custom.")
        if about.get("training", {}).get("regularizer"):  # as older versions described them, in the second format too
            about["training"] |= {"regularizer": "L2(0.001)", "clip": "ClipNorm(1.0)"}
        if "history_columns" in about:
            table = load_arrays(content)["history"]
            columns = zip(about.pop("history_columns"), table, strict=True)
            about["history"] = {name: [None if math.isnan(v) else v for v in values] for name, values in columns}

    return altered(content, change, lambda arrays: arrays.pop("history", None), "nncore-1")


class Own(nn.Callback):
    """Has a state."""

    seen = 0

    def on_epoch_end(self, trainer: Any, epoch: int, row: Any) -> None:
        self.seen += 1

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: Any) -> None:
        self.seen = state["seen"]


@pytest.mark.parametrize("form", [lambda content: content, older])
def test_old_and_new_checkpoints_of_a_training_with_custom_parts(form: Any) -> None:
    def trainer() -> nn.Trainer:
        model = nn.Sequential([nn.Dense(4), Tanh(), nn.Dense(2)], input_shape=3)
        return nn.Trainer(model, "softmax_cross_entropy", regularizer=nn.L2(0.001), clip=nn.ClipNorm(1.0))

    first = trainer()
    stopping = nn.EarlyStopping("running_loss", patience=50)
    first.fit(X, Y, epochs=3, callbacks=[Own(), stopping], verbose=0)
    content = form(content_of(first))
    assert np.array_equal(nn.load(io.BytesIO(content), custom_layers={"Tanh": Tanh}).predict(X), first.model.predict(X))
    second, own, going_on = trainer(), Own(), nn.EarlyStopping("running_loss", patience=50)
    second.restore(io.BytesIO(content))
    assert second.history == first.history
    second.fit(X, Y, epochs=2, callbacks=[own, going_on], verbose=0)
    first.fit(X, Y, epochs=2, verbose=0)
    assert own.seen == 5
    assert np.array_equal(second.history["running_loss"], first.history["running_loss"])


def test_a_long_history_is_not_in_the_header() -> None:
    trainer = nn.Trainer(make(), "softmax_cross_entropy")
    trainer.history = History.from_columns({name: np.arange(200_000.0) for name in ("running_loss", "lr", "mine")})
    content = content_of(trainer)
    assert int.from_bytes(content[:8], "little") < 20_000
    other = nn.Trainer(make(), "softmax_cross_entropy")
    other.restore(io.BytesIO(content))
    assert other.history == trainer.history


def test_a_description_too_long_for_the_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nncore._utils.archive.MAX_HEADER", 100)
    with pytest.raises(ValueError, match="at most 100 bytes"):
        make().save(io.BytesIO())


@pytest.mark.parametrize("attempt", range(8))
def test_equal_models_have_equal_files(attempt: int, tmp_path: Path) -> None:
    """And the arrays stay aligned."""
    contents = {content_of(make()) for _ in range(3)}
    assert len(contents) == 1
    (content,) = contents
    assert struct.unpack("<Q", content[:8])[0] % 8 == 0
    again = nn.load(io.BytesIO(content))
    again.save(tmp_path / "é")
    assert (tmp_path / "é").read_bytes() == content


# Checkpoints with every number replaced by an invalid one.

WRONG: list[Any] = [None, "text", [], {}, [[1]], True, -1, 2**70, 10**400, math.nan, math.inf, -math.inf, 0.5, -1.5, "../x"]


def trainers() -> dict[str, Any]:
    made: dict[str, Any] = {**OPTIMIZERS, **second_order.OPTIMIZERS}
    made |= {f"{name} of adam": lambda cls=cls: cls(nn.Adam()) for name, cls in WRAPPERS.items()}
    made["two wrappers"] = lambda: nn.EMA(nn.GradientNoise(nn.Nesterov()))
    return made


def new_trainer(optimizer: Any) -> nn.Trainer:
    model = nn.Sequential([nn.Dense(2)], input_shape=3, dtype="float64", seed=1)
    return nn.Trainer(model, "squared_error", optimizer())


def leaves(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    return [place, *(leaf for key, part in inside for leaf in leaves(part, (*place, key)))]


def put(about: Any, place: tuple[Any, ...], value: Any) -> None:
    for key in place[:-1]:
        about = about[key]
    about[place[-1]] = value


def everything(trainer: nn.Trainer) -> bytes:
    state = trainer.optimizer.state_dict()
    return pickle.dumps(
        (
            trainer.model.parameters, trainer.model.state, state, repr(trainer.optimizer), trainer.epochs_done, trainer.seed,
            trainer._callback_states, trainer.history.to_dict(),
        )
    )  # fmt: skip


def assert_refused_or_goes_on(optimizer: Any, content: bytes, callbacks: Any, what: Any) -> None:
    """ValueError from restore with nothing changed; or, if the value is valid, a training that continues."""
    trainer = new_trainer(optimizer)
    before = everything(trainer)
    try:
        trainer.restore(io.BytesIO(content))
    except ValueError:
        assert everything(trainer) == before, what
        return
    with contextlib.suppress(ArithmeticError):  # valid numbers that are too large for a step
        trainer.fit(X, X[:, :2], batch_size=20, epochs=1, callbacks=callbacks(), verbose=0)
    trainer.optimizer.state_dict()


@pytest.mark.parametrize("name", trainers())
def test_every_value_of_an_optimizer_in_a_checkpoint(name: str) -> None:
    optimizer = trainers()[name]
    trainer = new_trainer(optimizer)
    trainer.fit(X, X[:, :2], batch_size=20, epochs=2, verbose=0)
    content = content_of(trainer)
    (size,) = struct.unpack("<Q", content[:8])
    about = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["about"])
    for part in ("optimizer_state", "optimizer_config", "first_optimizer_config"):
        for place in leaves(about[part], (part,)):
            for value in WRONG:
                bad = altered(content, lambda about, p=place, v=value: put(about, p, v))
                assert_refused_or_goes_on(optimizer, bad, list, (place, value))
    for key in [key for key in load_arrays(content) if key.startswith("optimizer.")]:
        for value in (math.nan, math.inf, -1.0, 1e300) if load_arrays(content)[key].dtype.kind == "f" else (-1, 2**60):
            bad = altered(content, arrays=lambda arrays, k=key, v=value: arrays[k].fill(v))
            assert_refused_or_goes_on(optimizer, bad, list, (key, value))
        bad = altered(content, arrays=lambda arrays, k=key: arrays.update({k: arrays[k][..., :-1].copy()}))
        with pytest.raises(ValueError, match="damaged"):
            new_trainer(optimizer).restore(io.BytesIO(bad))


ROOTS = {  # under a root, or step sizes, by the definitions of the algorithms
    "adagrad": "r", "rmsprop": "r", "adadelta": "rd", "ftrl": "n", "adam": "v", "adamw": "v", "amsgrad": ("v", "top"),
    "adamax": "u", "nadam": "v", "rprop": ("size",), "delta_bar_delta": ("eta",),
}  # fmt: skip


@pytest.mark.parametrize("wrap", [lambda optimizer: optimizer, nn.EMA])
@pytest.mark.parametrize("name", ROOTS)
def test_states_that_are_never_negative(name: str, wrap: Any) -> None:
    optimizer = wrap(OPTIMIZERS[name]())
    optimizer.init_state(4, "float32")
    before = optimizer.state_dict()
    for slot in before.keys() & set(optimizer.slots):
        changed = {**before, slot: np.array([0, 0, -1, 0], np.float32)}
        if slot in ROOTS[name]:
            with pytest.raises(ValueError, match=f"state {slot} must hold numbers of at least 0, got -1"):
                optimizer.load_state_dict(changed)
            assert np.array_equal(optimizer.state[slot], before[slot])
        else:
            optimizer.load_state_dict(changed)
            optimizer.load_state_dict(before)


def watchers(folder: Path) -> dict[str, Any]:
    return {
        "EarlyStopping": lambda: [nn.EarlyStopping("running_loss")],
        "ReduceLROnPlateau": lambda: [nn.ReduceLROnPlateau("running_loss", patience=1, cooldown=2)],
        "ModelCheckpoint": lambda: [nn.ModelCheckpoint(folder / "model", "running_loss")],
        "Snapshots": lambda: [nn.Snapshots(every=1)],
    }


def test_all_callbacks_with_a_state_are_tried(tmp_path: Path) -> None:
    kept = {
        name for name, cls in {**CALLBACKS, "Snapshots": nn.Snapshots}.items() if cls.state_dict is not nn.Callback.state_dict
    }
    assert kept == set(watchers(tmp_path))


@pytest.mark.parametrize("name", ["EarlyStopping", "ModelCheckpoint", "ReduceLROnPlateau", "Snapshots"])
def test_every_value_of_a_callback_and_a_count_in_a_checkpoint(name: str, tmp_path: Path) -> None:
    callbacks = watchers(tmp_path)[name]
    trainer = new_trainer(nn.Adam)
    trainer.fit(X, X[:, :2], batch_size=20, epochs=2, callbacks=callbacks(), verbose=0)
    content = content_of(trainer)
    (size,) = struct.unpack("<Q", content[:8])
    about = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["about"])
    places = leaves(about["callbacks"], ("callbacks",)) + [(key,) for key in ("epochs_done", "seed", "losses_of")]
    for place in [*places, ("callbacks", 0, "state", "reductions", 0)]:
        for value in WRONG:
            try:
                bad = altered(content, lambda about, p=place, v=value: put(about, p, v))
            except (IndexError, KeyError):
                continue
            assert_refused_or_goes_on(nn.Adam, bad, callbacks, (place, value))
    for key in [key for key in load_arrays(content) if key.startswith("callback.")]:
        for change in (lambda a: a * np.nan, lambda a: np.append(a, 1.0), lambda a: a[None], lambda a: a.astype(np.float32)):
            if load_arrays(content)[key].size:
                bad = altered(content, arrays=lambda arrays, k=key, c=change: arrays.update({k: c(arrays[k])}))
                with pytest.raises(ValueError, match="damaged"):
                    new_trainer(nn.Adam).restore(io.BytesIO(bad))


@pytest.mark.parametrize("value", [10**6, -1, 1.5])
def test_pairs_of_a_quasi_newton_method(value: float) -> None:
    optimizer = second_order.LBFGS()
    optimizer.init_state(3, "float64")
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match="pairs"):
        optimizer.load_state_dict({**before, "step_count": 5, "pairs": value})
    with pytest.raises(ValueError, match="last axis of 1000000000000"):
        second_order.LBFGS().load_state_dict({**before, "parameters": 10**12})


def test_configure_changes_all_or_nothing() -> None:
    optimizer = nn.EMA(nn.Adam(lr=0.1), decay=0.5)
    before = repr(optimizer)
    inner = {"class": "Adam", **nn.Adam(lr=0.2).config()}
    for bad in (
        {"optimizer": inner, "decay": 2.0},
        {"optimizer": inner | {"eps_placement": "x"}},
        {"optimizer": inner | {"no": 1}},
    ):
        with pytest.raises((ValueError, TypeError)):
            optimizer.configure(bad)
        assert repr(optimizer) == before
    optimizer.configure({"optimizer": inner, "decay": 0.25})
    assert (optimizer.lr, optimizer.decay) == (0.2, 0.25)


# The history.


def table(history: History) -> dict[str, list[float]]:
    return {name: history[name].tolist() for name in history}


@pytest.mark.parametrize("method", ["append", "amend"])
@pytest.mark.parametrize("row", [{"a": 3.0}, {"b": 4.0}, {"a": 3.0, "b": 4.0, "c": 5.0}])
def test_a_row_that_is_interrupted_at_any_line(method: str, row: dict[str, float]) -> None:
    def start() -> History:
        return History.from_columns({"a": [1.0, 2.0], "x": [0.0, 0.0]})

    done = start()
    getattr(done, method)(row)
    for stop in range(1, 3000):
        history, lines = start(), 0

        def trace(frame: Any, event: str, argument: Any, stop: int = stop) -> Any:
            nonlocal lines
            if frame.f_code.co_filename.endswith("history.py"):
                frame.f_trace_opcodes = True
                lines += event == "opcode"
                if lines == stop:
                    raise KeyboardInterrupt
            return trace

        sys.settrace(trace)
        try:
            getattr(history, method)(row)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        lengths = {len(history[name]) for name in history}
        assert lengths == {len(history)}
        assert len(history) in (2, len(done))
        if method == "append":
            assert str(table(history)) in (str(table(start())), str(table(done)))
            history.append({"a": 9.0})  # it continues
            assert history["a"][-1] == 9.0
            assert {len(history[name]) for name in history} == {len(history)}
        if lines < stop:
            break
    else:
        pytest.fail("never came to its end")


def test_a_history_is_a_mapping_and_a_table() -> None:
    pandas = pytest.importorskip("pandas")
    history = History()
    history.append({"loss": 1.0, "lr": 0.1})
    history.append({"loss": 0.5, "mine": math.inf})
    assert list(history.keys()) == list(history) == ["loss", "lr", "mine"]
    assert len(history.keys()) == len(history.items()) == 3
    assert next(iter(history.values())).tolist() == [1.0, 0.5]
    assert {name: values.tolist() for name, values in dict(history).items()}["loss"] == [1.0, 0.5]
    assert {**history}.keys() == history.keys()
    assert history.get("no") is None
    assert history.get("no", 3) == 3
    assert history._ipython_key_completions_() == ["loss", "lr", "mine"]
    expected = pandas.DataFrame({"loss": [1.0, 0.5], "lr": [0.1, math.nan], "mine": [math.nan, math.inf]})
    pandas.testing.assert_frame_equal(pandas.DataFrame(history), expected)
    assert json.loads(json.dumps(history.to_dict(), allow_nan=False))["mine"] == [None, None]
    with pytest.raises(TypeError):
        json.dumps(history)
    for change in (lambda: history.update(a=1), lambda: history.clear(), lambda: history.pop("loss")):
        with pytest.raises(TypeError, match="append"):
            change()
    for again in (copy.copy(history), copy.deepcopy(history), pickle.loads(pickle.dumps(history)), history.copy()):
        assert again == history
        again.append({"loss": 3.0})
        assert len(history) == 2
        assert again != history


def test_auto_knows_losses_and_metrics_and_asks_for_the_rest() -> None:
    for name in (*LOSSES, "loss", "penalty", "activity_penalty"):
        for prefix in ("", "val_", "running_"):
            assert not larger_is_better(prefix + name, "auto")
    for prefix in ("", "val_", "running_"):
        assert larger_is_better(f"{prefix}accuracy", "auto")
    history = History.from_columns({"val_acc": [0.1, 0.2]})
    for make_one in (
        lambda: nn.EarlyStopping("val_acc"), lambda: nn.ReduceLROnPlateau("val_acc"),
        lambda: nn.ModelCheckpoint("x", "val_acc"), lambda: history.best("val_acc"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="mode must be 'min' or 'max' for column 'val_acc'"):
            make_one()
    assert history.best("val_acc", "max") == 2
    for kind in (nn.EarlyStopping, nn.ReduceLROnPlateau):
        with pytest.raises(TypeError, match="monitor must be a non-empty string, got 5"):
            kind(5)  # type: ignore[arg-type]


# Callbacks.


def test_checkpoints_look_for_their_folder_before_training(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path, error in (
        (tmp_path / "no" / "net-{epoch}", FileNotFoundError), (tmp_path / "no" / "best", FileNotFoundError),
        (tmp_path / "folder", IsADirectoryError),
    ):  # fmt: skip
        trainer = nn.Trainer(make(), "softmax_cross_entropy")
        with pytest.raises(error, match=r"path must be"):
            trainer.fit(X, Y, verbose=0, callbacks=[nn.ModelCheckpoint(path)])
        assert np.array_equal(trainer.model.parameters, make().parameters)
        assert trainer.epochs_done == 0


def test_on_train_end_of_all_callbacks_is_called() -> None:
    ended: list[str] = []

    class Ends(nn.Callback):
        def __init__(self, name: str, at: str = "") -> None:
            self.name, self.at = name, at

        def on_epoch_end(self, trainer: Any, epoch: int, row: Any) -> None:
            if self.at == "epoch":
                raise OSError(self.name)

        def on_train_end(self, trainer: Any) -> None:
            ended.append(self.name)
            if self.at:
                raise ValueError(self.name)

    trainer = nn.Trainer(make(), "softmax_cross_entropy")
    for callbacks, error in (
        ([Ends("a"), Ends("b", "end"), Ends("c", "end"), Ends("d")], ValueError),
        ([Ends("a", "end"), Ends("b", "epoch"), Ends("c"), Ends("d")], OSError),
    ):
        ended.clear()
        with pytest.raises(error, match=r"^b$"):
            trainer.fit(X, Y, verbose=0, callbacks=callbacks)
        assert ended == ["a", "b", "c", "d"]
    trainer.fit(X, Y, verbose=0, callbacks=None)


def test_callbacks_show_their_arguments() -> None:
    assert repr(nn.EarlyStopping("loss", patience=3)) == (
        "EarlyStopping(monitor='loss', patience=3, min_delta=0.0, mode='auto', restore_best=True)"
    )
    for callback in (nn.EarlyStopping("loss"), nn.ReduceLROnPlateau("loss"), nn.ModelCheckpoint("a"), nn.LambdaCallback(print)):
        again = eval(repr(callback).replace("<built-in function print>", "print"), vars(nn))
        assert repr(again) == repr(callback)
    assert repr(nn.training.metrics.Accuracy()) == "Accuracy()"


def test_a_csv_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss\n1,0.5\n", encoding="utf-8-sig")
    logger = nn.CSVLogger(path, append=True)
    logger.on_train_begin(None)
    logger.on_epoch_end(None, 2, {"loss": 0.25})
    logger.on_epoch_end(None, 3, {"loss": 0.125, "new": 1})
    assert path.read_bytes() == "epoch,loss,new\n1,0.5,\n2,0.25,\n3,0.125,1\n".encode("utf-8-sig")


@pytest.mark.parametrize(
    "text",
    ['epoch,loss\n1,0.5\n"2,0.25\n', 'epoch,"loss\n', "epoch,loss\n1," + "9" * 200_000 + "\n"],
    ids=["row", "header", "long"],
)
def test_a_csv_file_that_would_swallow_rows(text: str, tmp_path: Path) -> None:
    """Refused before training: what follows an open quote belongs to its cell, and Python reads no cell of this length."""
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match="path must be a CSV file in UTF-8 to append to"):
        nn.CSVLogger(path, append=True).on_train_begin(None)
    assert path.read_text() == text


def test_csv_rows_are_written_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "log.csv"
    code = (
        "import sys, signal, resource, nncore as nn\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "logger = nn.CSVLogger(sys.argv[1]); logger.on_train_begin(None); logger.on_epoch_end(None, 1, {'loss': 0.5})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (25, 25))\n"
        "try: logger.on_epoch_end(None, 2, {'loss': 0.123456789123456})\n"
        "except OSError as error: print('refused', error.errno)\n"
    )
    assert resource
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert "refused" in done.stdout, done.stderr
    assert path.read_text() == "epoch,loss\n1,0.5\n"


def test_a_csv_file_through_links(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "log.csv"
    victim.write_text("precious")
    (tmp_path / f"log.csv.{os.getpid()}.tmp").symlink_to(victim)
    logger = nn.CSVLogger(path)
    logger.on_train_begin(None)
    logger.on_epoch_end(None, 1, {"loss": 0.5})
    assert victim.read_text() == "precious"
    (tmp_path / "link.csv").symlink_to(path)
    logger = nn.CSVLogger(tmp_path / "link.csv", append=True)
    logger.on_train_begin(None)
    logger.on_epoch_end(None, 2, {"loss": 0.25, "new": 1})
    assert (tmp_path / "link.csv").is_symlink()
    assert path.read_text() == "epoch,loss,new\n1,0.5,\n2,0.25,1\n"


# Memory.


@pytest.mark.parametrize("units", [2**40, 2**61])
def test_a_model_too_large_for_memory(units: int) -> None:
    with pytest.raises(MemoryError, match=r"cannot allocate .* for an array"):
        nn.Sequential([nn.Dense(units)], input_shape=4)
