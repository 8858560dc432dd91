import csv
import json
import math

import numpy as np
import pytest

import nncore as nn
from nncore._kernels import Lock
from nncore.callbacks import Callback, CSVLogger, EarlyStopping, LambdaCallback, ModelCheckpoint


class FakeModel:
    def __init__(self):
        self.parameters = np.zeros(3)
        self.state = np.zeros(2)
        self.lock = Lock()


class FakeTrainer:
    """Runs epochs with given rows, from 1; epoch e leaves parameters e and state 10 e."""

    def __init__(self):
        self.model = FakeModel()
        self.stop_training = False
        self.saved = []

    def save(self, path):
        self.saved.append(path)

    def fit(self, rows, callbacks, done=0):
        self.stop_training, self.epochs_done = False, done
        for c in callbacks:
            c.on_train_begin(self)
        for epoch, row in enumerate(rows[done:], done + 1):
            for c in callbacks:
                c.on_epoch_begin(self, epoch)
            self.model.parameters[...] = epoch
            self.model.state[...] = 10 * epoch
            for c in callbacks:
                c.on_epoch_end(self, epoch, dict(row))
            if self.stop_training:
                break
        for c in callbacks:
            c.on_train_end(self)
        return epoch


def losses(*values, name="val_loss"):
    return [{"loss": 1.0, name: v} for v in values]


def keras_epochs(values, patience, min_delta=0.0):
    """The loop of Keras 3 for mode "min": the epoch after which it stops, and the best epoch."""
    wait, best, best_epoch = 0, math.inf, 0
    for epoch, v in enumerate(values, 1):
        wait += 1
        if v + min_delta < best:
            best, best_epoch, wait = v, epoch, 0
            continue
        if wait >= patience and epoch > 1:
            return epoch, best_epoch
    return len(values), best_epoch


@pytest.mark.parametrize("patience", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("min_delta", [0.0, 0.15])
def test_early_stopping_counts_like_keras(patience, min_delta):
    rng = np.random.default_rng(patience)
    for _ in range(20):
        values = np.round(1 / np.arange(1, 16) + 0.2 * rng.random(15), 2)
        trainer, stopping = FakeTrainer(), EarlyStopping(patience=patience, min_delta=min_delta)
        last = trainer.fit(losses(*values), [stopping])
        assert (last, stopping.best_epoch) == keras_epochs(values, patience, min_delta)
        assert stopping.best == values[stopping.best_epoch - 1]
        assert (trainer.model.parameters == stopping.best_epoch).all()
        assert (trainer.model.state == 10 * stopping.best_epoch).all()
        assert stopping.stopped_epoch == (last if trainer.stop_training else None)


def test_early_stopping_by_hand():
    trainer, stopping = FakeTrainer(), EarlyStopping(patience=2)
    assert trainer.fit(losses(1.0, 0.5, 0.6, 0.5, 0.1), [stopping]) == 4
    assert (stopping.stopped_epoch, stopping.best_epoch, stopping.best, stopping.wait) == (4, 2, 0.5, 2)


def test_min_delta_is_strict():
    stopping = EarlyStopping(patience=1, min_delta=0.25)
    assert FakeTrainer().fit(losses(1.0, 0.75, 0.0), [stopping]) == 2
    stopping = EarlyStopping(patience=1, min_delta=0.25)
    assert FakeTrainer().fit(losses(1.0, 0.5, 0.25), [stopping]) == 3


@pytest.mark.parametrize(("monitor", "mode", "best"), [
    ("val_accuracy", "auto", 2), ("val_accuracy", "min", 4), ("val_loss", "auto", 4), ("val_loss", "max", 2),
])  # fmt: skip
def test_mode(monitor, mode, best):
    stopping = EarlyStopping(monitor, patience=9, mode=mode)
    FakeTrainer().fit(losses(0.5, 0.9, 0.7, 0.2, 0.6, name=monitor), [stopping])
    assert stopping.best_epoch == best


def test_restores_at_the_last_epoch_and_not_if_disabled():
    for restore, value in [(True, 1), (False, 3)]:
        trainer = FakeTrainer()
        trainer.fit(losses(0.1, 0.2, 0.3), [EarlyStopping(patience=5, restore_best=restore)])
        assert (trainer.model.parameters == value).all()
        assert not trainer.stop_training


def test_nan_is_no_improvement():
    trainer, stopping = FakeTrainer(), EarlyStopping(patience=2)
    assert trainer.fit(losses(math.nan, math.nan, 0.5), [stopping]) == 2
    assert (stopping.best_epoch, stopping.best) == (1, None)
    assert (trainer.model.parameters == 1).all()


@pytest.mark.parametrize("patience", [0, 1])
def test_the_first_epoch_never_stops(patience):
    rows = losses(math.nan, math.nan, 0.5, math.nan, math.nan, 0.5)
    assert FakeTrainer().fit(rows, [EarlyStopping(patience=patience)]) == 2
    assert FakeTrainer().fit(rows, [EarlyStopping(patience=patience)], done=3) == 5


def test_restores_into_the_same_arrays():
    trainer = FakeTrainer()
    parameters = trainer.model.parameters
    trainer.fit(losses(0.1, 0.2), [EarlyStopping()])
    assert trainer.model.parameters is parameters


def test_a_second_fit_starts_afresh():
    trainer, stopping = FakeTrainer(), EarlyStopping(patience=1)
    trainer.fit(losses(0.1, 0.2), [stopping])
    assert trainer.fit(losses(0.9, 0.8, 0.7), [stopping]) == 3
    assert (stopping.best_epoch, stopping.stopped_epoch) == (3, None)


@pytest.mark.parametrize("cut", range(1, 5))
def test_resuming_continues_the_count(cut):
    rows = losses(1.0, 0.5, 0.7, 0.6, 0.8, 0.9, 0.1)
    whole, straight = FakeTrainer(), EarlyStopping(patience=4)
    last = whole.fit(rows, [straight])

    first = EarlyStopping(patience=4, restore_best=True)
    trainer = FakeTrainer()
    first.on_train_begin(trainer)
    for epoch in range(1, cut + 1):
        trainer.model.parameters[...], trainer.model.state[...] = epoch, 10 * epoch
        first.on_epoch_end(trainer, epoch, rows[epoch - 1])
    state = first.state_dict()
    arrays = {k: v for k, v in state.items() if isinstance(v, np.ndarray)}
    scalars = json.loads(json.dumps({k: v for k, v in state.items() if k not in arrays}, allow_nan=False))

    resumed, second = FakeTrainer(), EarlyStopping(patience=4)
    second.load_state_dict({**scalars, **arrays})
    assert resumed.fit(rows, [second], done=cut) == last == 6
    assert second.best_epoch == straight.best_epoch
    assert (resumed.model.parameters == whole.model.parameters).all()
    assert (resumed.model.state == whole.model.state).all()


def test_missing_column_names_the_existing_ones():
    with pytest.raises(ValueError, match=r"column, got 'val_loss'; there are loss, accuracy"):
        FakeTrainer().fit([{"loss": 1.0, "accuracy": 0.5}], [EarlyStopping()])
    with pytest.raises(ValueError, match=r"column, got 'val_loss'; there are loss"):
        FakeTrainer().fit([{"loss": 1.0}], [ModelCheckpoint("x", "val_loss")])


@pytest.mark.parametrize("arguments", [
    {"patience": -1}, {"patience": 1.5}, {"patience": True}, {"min_delta": -1.0}, {"min_delta": math.nan},
    {"mode": "up"},
])  # fmt: skip
def test_bad_arguments(arguments):
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(arguments))} must be"):
        EarlyStopping(**arguments)


def test_checkpoint_every_epoch(tmp_path):
    trainer = FakeTrainer()
    checkpoint = ModelCheckpoint(tmp_path / "net-{epoch:02d}-{val_loss:.2f}")
    trainer.fit(losses(0.5, 0.6), [checkpoint])
    assert trainer.saved == [str(tmp_path / "net-01-0.50"), str(tmp_path / "net-02-0.60")]
    assert checkpoint.last_path == trainer.saved[-1]


def test_checkpoint_best_only():
    trainer, checkpoint = FakeTrainer(), ModelCheckpoint("{epoch}", monitor="val_loss")
    trainer.fit(losses(0.5, 0.6, math.nan, 0.5, 0.4), [checkpoint])
    assert trainer.saved == ["1", "5"]
    assert checkpoint.best == 0.4
    trainer = FakeTrainer()
    trainer.fit(losses(0.5, 0.6), [ModelCheckpoint("{epoch}", monitor="val_loss", save_best_only=False)])
    assert trainer.saved == ["1", "2"]


def test_checkpoint_resumes_its_best():
    first = ModelCheckpoint("{epoch}", monitor="val_loss")
    FakeTrainer().fit(losses(0.5), [first])
    second, trainer = ModelCheckpoint("{epoch}", monitor="val_loss"), FakeTrainer()
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    trainer.fit(losses(0.5, 0.6, 0.4), [second], done=1)
    assert trainer.saved == ["3"]


@pytest.mark.parametrize("path", ["{nothing}", "{}", "{epoch", "{val_loss:d}"])
def test_checkpoint_bad_path(path):
    with pytest.raises(ValueError, match=r"cannot be filled in.*there are epoch, loss, val_loss"):
        FakeTrainer().fit(losses(0.5), [ModelCheckpoint(path)])


@pytest.mark.parametrize("path", ["{epoch}/x", "{epoch:03d}/{running_loss}", "no/{epoch}", "no/such"])
def test_checkpoint_in_a_missing_folder_is_reported_before_training(path, tmp_path):
    trainer = nn.Trainer(nn.Sequential([nn.Dense(1)], 2), "squared_error")
    before = trainer.model.parameters.copy()
    with pytest.raises(FileNotFoundError, match="path must be in a folder that exists"):
        trainer.fit(np.ones((4, 2)), np.ones(4), verbose=0, callbacks=[ModelCheckpoint(tmp_path / path)])
    assert np.array_equal(trainer.model.parameters, before)


def test_checkpoint_in_a_folder_for_each_epoch(tmp_path):
    for name in ("3", "4"):
        (tmp_path / name).mkdir()
    trainer = nn.Trainer(nn.Sequential([nn.Dense(1)], 2), "squared_error")
    trainer.fit(np.ones((4, 2)), np.ones(4), epochs=2, verbose=0)
    trainer.fit(np.ones((4, 2)), np.ones(4), epochs=2, verbose=0, callbacks=[ModelCheckpoint(tmp_path / "{epoch}" / "x")])
    assert (tmp_path / "3" / "x").exists()
    assert (tmp_path / "4" / "x").exists()


def test_checkpoint_best_only_needs_a_monitor():
    with pytest.raises(ValueError, match="needs a monitor"):
        ModelCheckpoint("x", save_best_only=True)


def test_lambda_callback():
    seen = []
    callback = LambdaCallback(
        on_train_begin=lambda t: seen.append("begin"),
        on_epoch_begin=lambda t, e: seen.append(e),
        on_epoch_end=lambda t, e, row: seen.append(row["loss"]),
        on_train_end=lambda t: seen.append("end"),
    )
    FakeTrainer().fit([{"loss": 0.5}], [callback])
    assert seen == ["begin", 1, 0.5, "end"]
    assert callback.every_epoch
    assert not LambdaCallback(on_train_end=print).every_epoch
    with pytest.raises(TypeError, match="callable"):
        LambdaCallback(on_train_end=3)


def test_base_callback_does_nothing():
    callback = Callback()
    FakeTrainer().fit([{"loss": 0.5}], [callback])
    assert callback.state_dict() == {}
    callback.load_state_dict({})
    assert Callback.every_epoch is True


def read(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    sizes = []
    watch = LambdaCallback(on_epoch_end=lambda t, e, row: sizes.append(len(read(path))))
    rows = [{"loss": 1 / 3, "steps": 10}, {"loss": np.float32(0.1), "steps": np.int64(20)}, {"loss": math.nan}]
    FakeTrainer().fit(rows, [CSVLogger(path), watch])
    assert sizes == [2, 3, 4]
    header, *lines = read(path)
    assert header == ["epoch", "loss", "steps"]
    assert [line[0] for line in lines] == ["1", "2", "3"]
    assert float(lines[0][1]) == 1 / 3
    assert np.float32(lines[1][1]) == np.float32(0.1)
    assert lines[2] == ["3", "nan", ""]
    assert [p.name for p in tmp_path.iterdir()] == ["log.csv"]


def test_csv_logger_new_column_and_epoch_in_the_row(tmp_path):
    path = tmp_path / "log.csv"
    FakeTrainer().fit([{"epoch": 7, "a, b": 1}, {"a, b": 2, "late": 0.5}], [CSVLogger(path)])
    assert read(path) == [["epoch", "a, b", "late"], ["1", "1", ""], ["2", "2", "0.5"]]


def test_csv_logger_append_and_overwrite(tmp_path):
    path = tmp_path / "log.csv"
    FakeTrainer().fit([{"loss": 1.0}], [CSVLogger(path)])
    with open(path, "a") as file:
        file.write("2,0.1")  # cut short
    FakeTrainer().fit([{"loss": 1.0}, {"loss": 0.5, "x": 3}], [CSVLogger(path, append=True)], done=1)
    assert read(path) == [["epoch", "loss", "x"], ["1", "1.0", ""], ["2", "0.5", "3"]]
    FakeTrainer().fit([{"loss": 2.0}], [CSVLogger(path)])
    assert read(path) == [["epoch", "loss"], ["1", "2.0"]]


@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize("late", [0, 1, 2])
def test_a_csv_file_that_is_removed_is_begun_anew(tmp_path, append, late):
    """With a header, in any epoch, also where the next row has another column."""
    path = tmp_path / "log.csv"
    path.write_text("epoch,old\n1,0.5\n2,")
    rows = [{"loss": 1.0}, {"loss": 2.0}, {"loss": 3.0, "new": 4.0}]
    remove = LambdaCallback(on_epoch_begin=lambda t, epoch: epoch == late + 1 and path.unlink())
    FakeTrainer().fit(rows, [CSVLogger(path, append=append), remove])
    expected = [[str(epoch + 1), repr(rows[epoch]["loss"])] for epoch in range(late, 3)]
    assert [line[:2] for line in read(path)] == [["epoch", "loss"], *expected]
    assert read(path)[-1] == ["3", "3.0", "4.0"]


@pytest.mark.parametrize("text", ["loss,x\n0.5,1\n", "0.5,1\n", "\n", "\ufeffepochs\n"])
def test_a_csv_file_without_epochs_is_not_appended_to(tmp_path, text):
    path = tmp_path / "log.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"a CSV file with a column epoch to append to, got .*log.csv with the columns \["):
        FakeTrainer().fit([{"loss": 1.0}], [CSVLogger(path, append=True)])
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("cell", ["a\rb", "\r", "a\nb", "a\r\nb", 'a"b'])
def test_cells_of_older_rows_are_kept_when_a_column_comes(tmp_path, cell):
    path = tmp_path / "log.csv"
    quoted = cell.replace('"', '""')
    path.write_bytes(f'epoch,note\n1,"{quoted}"\n'.encode())
    FakeTrainer().fit([{"loss": 1.0}, {"loss": 0.5, "val_loss": 2.0}], [CSVLogger(path, append=True)])
    with path.open(newline="", encoding="utf-8") as file:
        rows = [*csv.reader(file, strict=True)]
    assert [row[:2] for row in rows[:2]] == [["epoch", "note"], ["1", cell]]
    assert [len(row) for row in rows] == [4] * 4
    assert rows[-1][2:] == ["0.5", "2.0"]


def test_csv_logger_bad_directory(tmp_path):
    with pytest.raises(FileNotFoundError):
        FakeTrainer().fit([{"loss": 1.0}], [CSVLogger(tmp_path / "no" / "log.csv")])


# The columns are known before the first step.

DATA = (np.random.default_rng(0).standard_normal((20, 3)), np.arange(20) % 2)


def small_trainer(optimizer="sgd", **arguments):
    model = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.ActivityL1(1e-3), nn.Dense(2)], input_shape=3)
    return nn.Trainer(model, "softmax_cross_entropy", optimizer, **arguments)


class Told(Callback):
    """Records the columns; adds one of its own."""

    columns = ("mine",)

    def check_columns(self, columns):
        self.told = columns

    def on_epoch_end(self, trainer, epoch, row):
        row["mine"] = 1.0
        self.row = row


@pytest.mark.parametrize("arguments", [
    {}, {"metrics": ["accuracy", "squared_error"]}, {"regularizer": nn.L2(1e-3), "clip": nn.ClipGlobalNorm(1.0)},
    {"optimizer": nn.Momentum(momentum=nn.schedules.Exponential(0.9, 0.99))},
])  # fmt: skip
@pytest.mark.parametrize("fit", [{}, {"exact_loss": True}, {"validation_split": 0.5}, {"validation_data": DATA}])
def test_columns_are_known_before_training(arguments, fit):
    told = Told()
    small_trainer(**arguments).fit(*DATA, **fit, callbacks=[told], verbose=0)
    assert sorted(told.told) == sorted(told.row)


def test_columns_of_second_order_are_known_before_training():
    told = Told()
    model = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(2)], input_shape=3)
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.second_order.TruncatedNewton(), metrics="accuracy")
    trainer.fit(*DATA, epochs=2, callbacks=[told], verbose=0)
    assert set(told.row) <= set(told.told)
    with pytest.raises(ValueError, match="column, got 'val_loss'"):
        trainer.fit(*DATA, callbacks=[EarlyStopping()], verbose=0)


@pytest.mark.parametrize(("callback", "words"), [
    (EarlyStopping(), "column, got 'val_loss'; there are running_loss, .*lr.*need validation_data or validation_split"),
    (EarlyStopping("loss"), "column, got 'loss'.*exact_loss=True; 'running_loss' does not"),
    (EarlyStopping("val_acuracy", mode="max"), "column, got 'val_acuracy'"),
    (ModelCheckpoint("x", "val_loss"), "column, got 'val_loss'"),
    (ModelCheckpoint("{val_loss}"), "there are epoch, running_loss"),
    (nn.ReduceLROnPlateau(), "column, got 'val_loss'"),
])  # fmt: skip
def test_a_missing_column_is_found_before_training(callback, words):
    trainer = small_trainer()
    theta = trainer.model.parameters.copy()
    with pytest.raises(ValueError, match=words):
        trainer.fit(*DATA, callbacks=[callback], verbose=0)
    assert np.array_equal(trainer.model.parameters, theta)
    assert trainer.epochs_done == len(trainer.history) == 0


def test_a_column_that_another_callback_adds():
    stopping = EarlyStopping("mine", patience=1, mode="min")
    trainer = small_trainer()
    trainer.fit(*DATA, epochs=5, callbacks=[Told(), stopping], verbose=0)
    assert trainer.epochs_done == 2


def test_a_value_is_kept_also_where_another_is_taken_out_of_the_row():
    def exchange(trainer, epoch, row):
        row.pop("running_loss")
        row["mine"] = float(epoch)

    history = small_trainer().fit(*DATA, epochs=2, callbacks=[nn.LambdaCallback(on_epoch_end=exchange)], verbose=0)
    assert history["mine"].tolist() == [1, 2]
    assert np.isfinite(history["running_loss"]).all()


@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_begin", "on_epoch_end", "on_train_end"])
def test_functions_that_cannot_be_called_are_refused_when_given(hook):
    with pytest.raises(TypeError, match=rf"^{hook} must take \(trainer.*\), got .*, which takes \(a, b, c, d\)"):
        nn.LambdaCallback(**{hook: lambda a, b, c, d: None})
    nn.LambdaCallback(**{hook: print})
