"""A refused call changes nothing; an assignment takes effect or is refused."""

import io
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import nncore as nn
from nncore.training import fit

pd = pytest.importorskip("pandas")
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)), RNG.integers(0, 2, 40)


def make(outputs: int = 2, loss: Any = "softmax_cross_entropy", optimizer: Any = "adam", **rest: Any) -> nn.Trainer:
    model = nn.Sequential([nn.Dense(outputs)], input_shape=X.shape[1], dtype="float64", seed=1)
    return nn.Trainer(model, loss, optimizer, **rest)


class Log(nn.Callback):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_train_begin(self, trainer: nn.Trainer) -> None:
        self.seen.append("begin")

    def on_train_end(self, trainer: nn.Trainer) -> None:
        self.seen.append("end")


class Refuses(nn.Callback):
    def on_train_begin(self, trainer: nn.Trainer) -> None:
        raise ValueError("no")


# ---- calls that are refused


def test_validation_data_must_have_the_columns_of_the_data_in_the_first_fit_too() -> None:
    frame = pd.DataFrame(X, columns=list("abc"))
    for other in (frame[["c", "a", "b"]], frame.rename(columns={"a": "x"})):
        trainer = make()
        with pytest.raises(ValueError, match="feature names of X of validation_data should match"):
            trainer.fit(frame, Y, validation_data=(other, Y), verbose=0)
        assert trainer.model.feature_names is None
    history = trainer.fit(frame, Y, validation_data=(frame, Y), exact_loss=True, verbose=0)
    assert history["val_loss"][0] == history["loss"][0]
    assert trainer.fit(X, Y, validation_data=(frame, Y), verbose=0) is history


def test_on_train_end_of_started_callbacks_is_called() -> None:
    trainer, log, later = make(), Log(), Log()
    with pytest.raises(ValueError, match="no"):
        trainer.fit(X, Y, callbacks=[log, Refuses(), later], verbose=0)
    assert (log.seen, later.seen) == (["begin", "end"], [])


def test_states_of_a_checkpoint_are_kept_until_a_fit_starts() -> None:
    trainer, file = make(), io.BytesIO()
    trainer.fit(X, Y, epochs=5, callbacks=[nn.EarlyStopping("running_loss", min_delta=10.0, patience=100)], verbose=0)
    trainer.save(file)
    file.seek(0)
    other = make()
    other.restore(file)
    with pytest.raises(ValueError, match="no"):
        other.fit(X, Y, callbacks=[nn.EarlyStopping("running_loss", min_delta=10.0, patience=100), Refuses()], verbose=0)
    early = nn.EarlyStopping("running_loss", min_delta=10.0, patience=100)
    other.fit(X, Y, callbacks=[early], verbose=0)
    assert early.wait == 5  # the first epoch is the best; five more follow


def test_a_refused_fit_changes_no_information_on_the_data() -> None:
    trainer = make(1, "mean_squared_error", metrics=["accuracy"])
    trainer.fit(X, Y.astype(float), verbose=0)
    before = trainer.evaluate(X, Y.astype(float))
    frame = pd.DataFrame(X, columns=list("abc"))
    with pytest.raises(ValueError, match="same length"):
        trainer.fit(frame, np.where(Y, 5.0, 1.0), validation_data=(X, Y[:3]), verbose=0)
    with pytest.raises(ValueError, match="no"):
        trainer.fit(frame, np.where(Y, 5.0, 1.0), callbacks=[Refuses()], verbose=0)
    assert trainer.model.feature_names is None
    ones = Y == 1
    assert trainer.evaluate(X, Y.astype(float)) == before
    trainer.evaluate(X[ones], Y[ones].astype(float))  # still 0 and 1


def test_no_training_while_averages_are_in_place() -> None:
    trainer = make(optimizer=nn.EMA(nn.SGD(lr=0.1), decay=0.9))
    trainer.fit(X, Y, epochs=3, verbose=0)
    before = trainer.model.parameters.copy()
    with trainer.averaged():
        for train in (lambda: trainer.fit(X, Y, verbose=0), lambda: trainer.partial_fit(X, Y)):
            with pytest.raises(RuntimeError, match="holds averages"):
                train()
        trainer.evaluate(X, Y)
    assert np.array_equal(trainer.model.parameters, before)
    assert trainer.epochs_done == len(trainer.history) == 3
    trainer.fit(X, Y, verbose=0)
    seen = []
    look = nn.LambdaCallback(on_epoch_end=lambda t, e, r: seen.append(averaged_loss(t)))
    trainer.fit(X, Y, epochs=2, callbacks=[look], verbose=0)
    assert len(seen) == 2


def averaged_loss(trainer: nn.Trainer) -> float:
    with trainer.averaged():
        return trainer.evaluate(X, Y)["loss"]


# ---- weights of some of the rows


@pytest.mark.parametrize("optimizer", ["lbfgs", "levenberg_marquardt", "truncated_newton"])
@pytest.mark.parametrize("weights", [{"sample_weight": np.arange(1.0, 41.0)}, {"class_weight": {0: 1.0, 1: 3.0}}])
def test_second_order_with_weights_and_a_split(optimizer: str, weights: dict[str, Any]) -> None:
    """The loss of the epoch is that of `evaluate` for the training rows."""
    split = make(optimizer=optimizer)
    history = split.fit(X, Y, validation_split=0.25, epochs=2, verbose=0, **weights)
    train, _ = fit._split(split._data(X, Y), 0.25, split.seed)
    whole = weights.get("sample_weight", np.where(Y == 1, 3.0, 1.0))
    alone = make(optimizer=optimizer)
    expected = alone.fit(X[train], Y[train], sample_weight=whole[train], epochs=2, verbose=0)
    assert split.model.parameters.tobytes() == alone.model.parameters.tobytes()
    assert np.array_equal(history["loss"], expected["loss"])


# ---- assignments


class Noted(nn.Huber):
    """A loss with an unhashable attribute."""

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__(delta)
        self.notes = ["a list"]


def test_a_changed_constant_of_a_user_defined_loss_takes_effect() -> None:
    targets = RNG.normal(size=(40, 1)) * 5
    model = make(1, "squared_error").model
    for kind in (nn.Huber, Noted):
        loss = kind(1.0)
        model.loss_and_gradient(X, targets, loss)
        loss.delta = 0.1
        value, gradient = model.loss_and_gradient(X, targets, loss)
        expected, right = model.loss_and_gradient(X, targets, nn.Huber(0.1))
        assert value == expected
        assert np.array_equal(gradient, right)


def test_a_changed_loss_of_a_metric_takes_effect_or_is_refused() -> None:
    trainer = make(1, "squared_error", metrics=[nn.Huber(1.0)])
    targets = Y * 5.0
    trainer.evaluate(X, targets)
    trainer.metrics[0].loss.delta = 0.1
    expected = make(1, "squared_error", metrics=[nn.Huber(0.1)]).evaluate(X, targets)
    assert trainer.evaluate(X, targets) == expected
    with pytest.raises(ValueError, match="must stay huber"):
        trainer.metrics[0].loss = "mean_absolute_error"
    assert trainer.evaluate(X, targets) == expected


SEEDS = [
    (nn.Rprop, "lr", 0.5), (nn.DeltaBarDelta, "lr", 0.5), (nn.AdaGrad, "initial_accumulator_value", 0.7),
    (nn.second_order.TruncatedNewton, "radius", 0.25), (nn.second_order.LevenbergMarquardt, "damping", 0.5),
    (nn.second_order.AdaptiveDampedNewton, "damping", 0.5),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "value"), SEEDS)
@pytest.mark.parametrize("wrap", [False, True])
def test_arguments_of_the_initial_state_are_fixed_after_the_first_step(kind: Any, name: str, value: float, wrap: bool) -> None:
    if wrap and kind.__module__.startswith("nncore.second_order"):
        pytest.skip("full-batch optimizers are not wrapped")
    finish = (lambda optimizer: nn.EMA(optimizer)) if wrap else (lambda optimizer: optimizer)
    assigned, constructed = make(optimizer=finish(kind())), make(optimizer=finish(kind(**{name: value})))
    setattr(assigned.optimizer, name, value)
    for trainer in (assigned, constructed):
        trainer.fit(X, Y, epochs=3, batch_size=40, verbose=0)
    assert assigned.model.parameters.tobytes() == constructed.model.parameters.tobytes()
    assert assigned.history["running_loss" if "running_loss" in assigned.history else "loss"][-1] > 0
    with pytest.raises(ValueError, match="is fixed once a step was taken"):
        setattr(assigned.optimizer, name, 2 * value)
    assert getattr(assigned.optimizer, name) == value


# ---- accuracy: the interpretation of the training targets is used for other data


def test_a_checkpoint_has_the_two_target_values() -> None:
    targets, file = np.where(X[:, 0] > 0, 5.0, 1.0), io.BytesIO()
    trainer = make(1, "mean_squared_error", nn.SGD(lr=0.1), metrics=["accuracy"])
    trainer.fit(X, targets, epochs=20, verbose=0)
    trainer.save(file)
    file.seek(0)
    other = make(1, "mean_squared_error", nn.SGD(lr=0.1), metrics=["accuracy"])
    other.restore(file)
    ones = targets == 1
    right = float((trainer.model.predict(X[ones])[:, 0] < 3).mean())
    assert trainer.evaluate(X[ones], targets[ones])["accuracy"] == other.evaluate(X[ones], targets[ones])["accuracy"] == right


def test_several_labels_stay_several_in_rows_that_have_one() -> None:
    targets = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1]] * 10, float)
    trainer = make(3, "sigmoid_cross_entropy", metrics=["accuracy"])
    trainer.fit(X, targets, epochs=3, verbose=0)
    one = targets.sum(axis=1) == 1
    right = float(((trainer.model.predict(X[one]) > 0) == targets[one]).all(axis=1).mean())
    assert trainer.evaluate(X[one], targets[one])["accuracy"] == right
    history = trainer.fit(X, targets, validation_data=(X[one], targets[one]), verbose=0)
    right = float(((trainer.model.predict(X[one]) > 0) == targets[one]).all(axis=1).mean())
    assert history["val_accuracy"][-1] == right


def test_gradients_of_sparse_inputs_are_checked() -> None:
    model = make().model
    dense = np.where(X > 0, X, 0.0)
    errors = model.check_gradients(sparse.csr_matrix(dense), Y, "softmax_cross_entropy")
    assert errors == model.check_gradients(dense, Y, "softmax_cross_entropy")
    assert max(errors.values()) < 1e-6


# ---- files


def test_a_csv_file_is_cut_only_when_a_row_is_written(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(b"epoch,running_loss\n1,0.5\n2,0.")
    with pytest.raises(ValueError, match="no"):
        make().fit(X, Y, callbacks=[nn.CSVLogger(path, append=True), Refuses()], verbose=0)
    assert path.read_bytes().endswith(b"2,0.")
    make().fit(X, Y, callbacks=[nn.CSVLogger(path, append=True)], verbose=0)
    assert path.read_text().splitlines()[:2] == ["epoch,running_loss,lr", "1,0.5,"]
    for content, what in ((b'{"important": 1}', "without a line end"), (b"\xff\xfe\n", "in UTF-8")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"path must be a CSV file.*{what}"):
            make().fit(X, Y, callbacks=[nn.CSVLogger(path, append=True)], verbose=0)
        assert path.read_bytes() == content


def test_checkpoints_written_before_an_optimizer_got_an_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of LevenbergMarquardt, which had no scaling: the default is used."""
    kind, file = nn.second_order.LevenbergMarquardt, io.BytesIO()
    trainer = make(optimizer=kind())
    trainer.fit(X, Y, epochs=2, verbose=0)
    config = kind.config
    monkeypatch.setattr(kind, "config", lambda self: {k: v for k, v in config(self).items() if k != "scaling"})
    trainer._first_config.pop("scaling")
    trainer.save(file)
    monkeypatch.undo()
    file.seek(0)
    other = make(optimizer=kind())
    other.restore(file)
    for t in (trainer, other):
        t.fit(X, Y, epochs=2, verbose=0)
    assert other.model.parameters.tobytes() == trainer.model.parameters.tobytes()
    file.seek(0)
    with pytest.raises(ValueError, match="scaling must be 'marquardt', got 'identity'"):
        make(optimizer=kind(scaling="marquardt")).restore(file)


def test_a_stream_that_would_block_is_an_error() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    model = nn.Sequential([nn.Dense(300), nn.Dense(300)], input_shape=300)
    with os.fdopen(write, "wb", buffering=0) as stream, pytest.raises(BlockingIOError, match="bytes could be written"):
        model.save(stream)
    os.close(read)


def test_a_stream_that_can_only_write(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        def __init__(self) -> None:
            self.text = ""

        def write(self, text: str) -> None:
            self.text += text

    stream = Stream()
    monkeypatch.setattr("sys.stderr", stream)
    make().fit(X, Y)
    assert "epoch 1/1" in stream.text


def test_a_subclass_of_dense_is_not_taken_for_one() -> None:
    class Mine(nn.Dense):
        pass

    with pytest.raises(TypeError, match="must be a Dense layer"):
        nn.WeightNorm(Mine(2))


def test_a_too_deeply_nested_description(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, file = make(), io.BytesIO()
    trainer.save(file)
    monkeypatch.setattr("nncore.training.checkpoint.differences", lambda *_: (_ for _ in ()).throw(RecursionError))
    file.seek(0)
    with pytest.raises(ValueError, match="nested too deeply"):
        make().restore(file)


def test_scipy_s_bounds_are_shown() -> None:
    assert "bounds=" in repr(nn.second_order.ScipyMinimize(bounds=np.array([[0.0, 1.0]])))
    assert "bounds=" not in repr(nn.second_order.ScipyMinimize())


def test_initializers_and_schedules_of_users_are_not_taken_for_built_in_ones() -> None:
    class Normal(nn.initializers.Normal):
        def sample(self, shape: Any, rng: Any) -> Any:
            return np.full(shape, 7.0)

    class Plain(nn.initializers.Initializer):
        def sample(self, shape: Any, rng: Any) -> Any:
            return np.full(shape, 7.0)

    class Cosine(nn.schedules.Cosine):
        def at(self, t: Any) -> Any:
            return np.full(t.shape, 2.0)

    for layer, what in (
        (nn.Dense(2, weight_init=Normal(0.3)), "initializer class 'Normal'"),
        (nn.Dense(2, weight_init=Plain()), "initializer class 'Plain'"),
        (nn.BatchRenorm(r_max=Cosine(1.5, 4, 1.5)), "schedule class 'Cosine'"),
    ):  # fmt: skip
        model, file = nn.Sequential([layer, nn.Dense(1)], input_shape=3), io.BytesIO()
        repr(model)
        model.save(file)
        file.seek(0)
        with pytest.raises(ValueError, match=what):
            nn.load(file)


# ---- samplers


@pytest.mark.parametrize("base", [nn.samplers.Sequential, nn.samplers.Shuffled, nn.samplers.WithReplacement])
def test_the_order_of_a_derived_sampler_is_used(base: Any) -> None:
    class Backward(base):  # type: ignore[misc]
        def order(self, examples: Any, epoch: int) -> Any:
            super().order(examples, epoch)
            return np.arange(examples.count)[::-1].copy()

    backward, expected = make(optimizer="sgd"), make(optimizer="sgd")
    backward.fit(X, Y, batch_size=4, sampler=Backward(), verbose=0)
    expected.fit(X[::-1], Y[::-1], batch_size=4, shuffle=False, verbose=0)
    assert backward.model.parameters.tobytes() == expected.model.parameters.tobytes()


def test_a_derived_weighted_sampler_stays_one_under_a_split() -> None:
    class First(nn.samplers.Weighted):
        def order(self, examples: Any, epoch: int) -> Any:
            return np.zeros(examples.count, np.int64)

    taken = First(np.ones(40)).take(np.arange(5, 9), 40)
    assert type(taken) is First
    assert len(taken.weights) == 4
    with pytest.raises(ValueError, match="among the 4 rows trained on"):
        First(np.eye(40)[0]).take(np.arange(5, 9), 40)


@pytest.mark.parametrize("change", ["data", "loss", "neither"])
@pytest.mark.parametrize("kind", ["largest_loss_first", "importance_sampling"])
def test_samplers_that_use_losses_start_with_those_of_the_data_and_the_loss(kind: str, change: str) -> None:
    """Like a trainer with the same parameters that has seen no other data."""
    other = RNG.normal(size=X.shape)
    trainer = make(1, "squared_error", "sgd", metrics=())
    trainer.fit(X, Y.astype(float), sampler=kind, verbose=0)
    if change == "loss":
        trainer.loss = nn.losses.get("mean_absolute_error")
    rows = other if change == "data" else X
    asked: list[int] = []
    evaluate = trainer._evaluate
    object.__setattr__(trainer, "_evaluate", lambda *a, **k: (asked.append(1), evaluate(*a, **k))[1])
    trainer.fit(rows, Y.astype(float), sampler=kind, verbose=0)
    assert bool(asked) == (change != "neither")


def test_integers_too_large_for_the_machine() -> None:
    huge = [[10**400, 1, 1]] * 40
    for call in (lambda: make().fit(huge, Y, verbose=0), lambda: nn.data.StandardScaler().fit(huge)):
        with pytest.raises(ValueError, match="X is too large for float64"):
            call()
    for steps in (2**63, 10**400):
        for schedule in (nn.schedules.Cosine, nn.schedules.StepDecay, nn.schedules.Polynomial):
            with pytest.raises(ValueError, match=r"must be an integer from 1 to 2\*\*44 - 1"):
                schedule(0.1, steps)
    trainer = make()
    with pytest.raises(ValueError, match="epochs_done must be an integer from 0"):
        trainer.epochs_done = 2**64


def test_attributes_of_a_sampler_are_read_once_per_call() -> None:
    """The array of losses is allocated once: in a separate process, which a write beyond it would end."""
    code = """
import numpy as np, nncore as nn
X = np.random.default_rng(0).normal(size=(50, 3))
class Later(nn.samplers.Sampler):
    uses_losses = False
    def order(self, examples, epoch):
        type(self).uses_losses = epoch > 5
        return np.arange(examples.count)
class Fewer(nn.samplers.Sampler):
    def order(self, examples, epoch):
        examples.count = 5
        return np.arange(5)
def make():
    return nn.Trainer(nn.Sequential([nn.Dense(1)], input_shape=3), "squared_error", nn.SGD(lr=0.01))
make().fit(X, X.sum(1), epochs=20000, sampler=Later(), verbose=0)
try:
    make().fit(X, X.sum(1), epochs=20000, sampler=Fewer(), verbose=0)
except ValueError as error:
    print(error)
except AttributeError as error:
    print("must fill 50 places", error)
"""
    paths = os.pathsep.join(filter(None, sys.path))
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False,
        env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "must fill 50 places" in result.stdout


@pytest.mark.parametrize("bad", ["strided", "shared", "zero stride"])
def test_a_step_by_hand_writes_into_its_own_state_only(bad: str) -> None:
    """An assignment to a slot copies the numbers into the optimizer's own array."""
    n = 1000
    theta, gradient, optimizer = np.zeros(n), np.ones(n), nn.Adam(lr=0.1)
    optimizer.step(theta, gradient)
    around = np.zeros(3 * n)
    arrays = {"strided": around[n : 2 * n][::-1], "shared": theta, "zero stride": np.broadcast_to(np.zeros(1), (n,))}
    own, expected = optimizer.state["m"], arrays[bad].copy()
    optimizer.state["m"] = arrays[bad]
    assert optimizer.state["m"] is own
    assert np.array_equal(own, expected)
    optimizer.step(theta, gradient)
    assert not around.any()


def test_curvature_is_correct_after_use_during_a_training() -> None:
    rng = np.random.default_rng(0)
    rows, targets = rng.normal(size=(5000, 20)), rng.normal(size=5000)
    model = nn.Sequential([nn.Dense(20), nn.Tanh(), nn.Dense(1)], input_shape=20, dtype="float64")
    operator = nn.second_order.HessianOperator(model, rows, targets, "squared_error")
    v = np.ones(model.parameters.size)
    for _ in range(5):
        trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=0.05))
        thread = threading.Thread(
            target=trainer.fit, args=(rows[:64], targets[:64]), kwargs={"epochs": 30, "batch_size": 64, "verbose": 0}
        )
        thread.start()
        while thread.is_alive():
            operator @ v
        thread.join()
        alone = nn.second_order.HessianOperator(model.copy(), rows, targets, "squared_error")
        assert np.array_equal(operator @ v, alone @ v)
