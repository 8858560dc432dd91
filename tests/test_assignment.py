"""Attributes that may be assigned, those that are fixed, and counts of epochs: across calls of fit, and from callbacks."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore import schedules
from nncore._utils.lru import LRUCache
from nncore.callbacks.base import Callback

Array = NDArray[Any]
N = 60


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[Array, Array]:
    return rng.standard_normal((N, 4)), rng.integers(0, 3, N)


def make(**kw: Any) -> nn.Trainer:
    model = nn.Sequential([nn.Dense(5), nn.Tanh(), nn.Dense(3)], input_shape=4, dtype="float64", seed=1)
    return nn.Trainer(model, **{"loss": "softmax_cross_entropy", "optimizer": nn.SGD(lr=0.1), **kw})


# Time in epochs.


def step_decay(per: Any) -> schedules.Schedule:
    return schedules.StepDecay(0.1, every=10, per=per)


DECAY = schedules.StepDecay(1e-3, every=10, factor=0.1, per="epoch")
WARM = schedules.Warmup(schedules.Exponential(1e-3, 0.5, per="epoch"), steps=3, per="epoch")


@pytest.mark.parametrize("schedule", [DECAY, WARM])
@pytest.mark.parametrize("batches", [(1, 60), (60, 1), (7, 20)])
@pytest.mark.parametrize("wrap", [nn.SGD, lambda lr: nn.EMA(nn.Adam(lr=lr))])
def test_epochs_are_counted_whatever_their_steps(
    wrap: Any, batches: tuple[int, int], schedule: schedules.Schedule, data: tuple[Array, Array]
) -> None:
    """The learning rate of epoch e is that of time e, although the first five epochs had another batch size."""
    trainer = make(optimizer=wrap(lr=schedule))
    for batch, epochs in zip(batches, (5, 10), strict=True):
        trainer.fit(*data, epochs=epochs, batch_size=batch, verbose=0)
    assert np.allclose(trainer.history["lr"], schedule.values(0, 15), rtol=1e-15)
    assert trainer.optimizer.epochs == 15


@pytest.mark.parametrize("batches", [(1, 60), (60, 1)])
def test_two_clocks(batches: tuple[int, int], data: tuple[Array, Array]) -> None:
    """A warmup in steps before a decay in epochs, and vice versa: each has its own clock."""
    steps = [N // batch for batch in batches]
    step = np.cumsum([0, *[steps[0]] * 5, *[steps[1]] * 5])  # at which each epoch begins
    last = step[1:] - 1  # and ends

    def rates(schedule: schedules.Schedule) -> Array:
        trainer = make(optimizer=nn.SGD(lr=schedule))
        for batch in batches:
            trainer.fit(*data, epochs=5, batch_size=batch, verbose=0)
        return trainer.history["lr"]

    by_epoch = rates(schedules.Warmup(step_decay("epoch"), steps=2))
    if batches[0] == 1:  # the warmup ends within the first epoch; the decay in the tenth is later by the length of the warmup
        assert np.allclose(by_epoch, 0.1)
    else:
        assert np.allclose(by_epoch, np.where(last < 2, 0.1 * (last + 1) / 3, 0.1))
    by_step = rates(schedules.Warmup(step_decay("step"), steps=2, per="epoch"))
    rest = last - np.where(np.arange(10) < 2, 0, 2 * steps[0])  # since the third epoch began, whatever the epochs are now
    want = np.where(np.arange(10) < 2, 0.1 * (np.arange(10) + 1) / 3, 0.1 ** (1 + np.maximum(rest, 0) // 10))
    assert np.allclose(by_step, want)


def test_epochs_are_counted_in_checkpoints(data: tuple[Array, Array], tmp_path: Any) -> None:
    one, other = make(optimizer=nn.SGD(lr=DECAY)), make(optimizer=nn.SGD(lr=DECAY))
    one.fit(*data, epochs=9, batch_size=10, verbose=0)
    one.save(tmp_path / "c")
    other.restore(tmp_path / "c")
    other.fit(*data, epochs=3, batch_size=30, verbose=0)
    assert np.allclose(other.history["lr"][-3:], [1e-3, 1e-4, 1e-4])


def test_an_interrupted_epoch_does_not_count(data: tuple[Array, Array]) -> None:
    """As in the trainer: the next fit restarts the epoch."""
    optimizer = nn.SGD(lr=schedules.PiecewiseConstant([2], [0.1, 0.01], per="epoch"))
    trainer = make(optimizer=optimizer)
    trainer.fit(*data, epochs=1, batch_size=10, verbose=0)
    optimizer.advance(4, 6)  # of the six steps of an epoch
    trainer.fit(*data, epochs=2, batch_size=10, verbose=0)
    assert np.allclose(trainer.history["lr"], [0.1, 0.1, 0.01])


def test_schedules_of_layers_count_epochs_too(data: tuple[Array, Array]) -> None:
    limit = schedules.PiecewiseConstant([2], [1.0, 5.0], per="epoch")

    def fitted(second: int) -> Array:
        model = nn.Sequential([nn.BatchRenorm(r_max=limit, d_max=0.0), nn.Dense(3)], input_shape=4, dtype="float64", seed=1)
        trainer = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=0.1))
        trainer.fit(*data, epochs=2, batch_size=second, verbose=0)
        model.parameters[...], model.state[...] = 0.3, 1.0
        trainer.fit(*data, epochs=1, batch_size=60, verbose=0)
        return model.parameters

    assert np.array_equal(fitted(60), fitted(10))


# Assigning from a callback.


class Assign(Callback):
    """Assigns once, before an epoch."""

    def __init__(self, epoch: int, change: Any) -> None:
        self.epoch, self.change = epoch, change

    def on_epoch_begin(self, trainer: Any, epoch: int) -> None:
        if epoch == self.epoch:
            self.change(trainer)


CHANGES: dict[str, tuple[dict[str, Any], Any]] = {
    "a penalty": ({}, lambda t: setattr(t, "regularizer", nn.L2(0.3))),
    "no proximal penalty any more": ({"regularizer": nn.ProximalL1(0.1)}, lambda t: setattr(t, "regularizer", None)),
    "a clip": ({}, lambda t: setattr(t, "clip", nn.ClipGlobalNorm(1e-2))),
    "a stronger penalty": ({"regularizer": nn.L2(0.1)}, lambda t: setattr(t.regularizer, "l2", 2.0)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_assignment_takes_effect_in_the_next_epoch(name: str, data: tuple[Array, Array]) -> None:
    """As if the training had been two calls of fit with the assignment between them."""
    arguments, change = CHANGES[name]
    through, apart = make(**copy.deepcopy(arguments)), make(**copy.deepcopy(arguments))
    through.fit(*data, epochs=4, verbose=0, callbacks=[Assign(3, change)])
    apart.fit(*data, epochs=2, verbose=0)
    change(apart)
    apart.fit(*data, epochs=2, verbose=0)
    assert through.model.parameters.tobytes() == apart.model.parameters.tobytes()
    assert through.history == apart.history


def test_freezing_takes_effect_in_the_next_epoch(data: tuple[Array, Array]) -> None:
    def freeze(trainer: nn.Trainer) -> None:
        trainer.model.layers[0].frozen = True

    def make_normalized() -> nn.Trainer:
        model = nn.Sequential([nn.BatchNorm(), nn.Dense(3)], input_shape=4, dtype="float64", seed=1)
        return nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=0.1))

    through, apart = make_normalized(), make_normalized()
    through.fit(*data, epochs=4, verbose=0, callbacks=[Assign(3, freeze)])
    apart.fit(*data, epochs=2, verbose=0)
    freeze(apart)
    apart.fit(*data, epochs=2, verbose=0)
    assert through.model.parameters.tobytes() == apart.model.parameters.tobytes()


def test_a_loss_is_not_assigned_within_a_fit(data: tuple[Array, Array]) -> None:
    trainer = make()
    change = Assign(3, lambda t: setattr(t, "loss", "squared_error"))
    with pytest.raises(RuntimeError, match=r"loss was assigned during fit.*SoftmaxCrossEntropy"):
        trainer.fit(*data, epochs=4, verbose=0, callbacks=[change])
    assert trainer.epochs_done == 2
    trainer.fit(*data, verbose=0)  # between two calls it may be


def test_second_order_refuses_assignments_during_fit(data: tuple[Array, Array]) -> None:
    trainer = make(optimizer=nn.second_order.LBFGS())
    for change in (lambda t: setattr(t, "regularizer", nn.L2(1.0)), lambda t: setattr(t, "clip", nn.ClipNorm(1.0))):
        with pytest.raises(RuntimeError, match="assigned during fit, which LBFGS cannot follow"):
            trainer.fit(*data, epochs=4, verbose=0, callbacks=[Assign(trainer.epochs_done + 2, change)])
        trainer.clip = None


def test_a_parameter_of_a_loss_may_be_assigned() -> None:
    trainer = nn.Trainer(nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=1), nn.Huber(1.0))
    assert trainer.evaluate([[1.0]], [10.0])["loss"] == 9.5
    trainer.loss.delta = 5.0  # type: ignore[attr-defined]
    assert trainer.evaluate([[1.0]], [10.0])["loss"] == 37.5


# What is fixed.


@pytest.mark.parametrize(
    ("layer", "name", "value"),
    [
        (nn.Dense(3), "units", 7), (nn.Dense(3), "inputs", 7), (nn.Dense(3), "name", "other"), (nn.Dropout(0.5), "rate", 0.1),
        (nn.BatchNorm(), "eps", 10.0), (nn.LeakyReLU(), "negative_slope", 0.5), (nn.WeightNorm(nn.Dense(3)), "layer", None),
    ],
    ids=lambda value: str(value),
)  # fmt: skip
def test_layers_of_a_model_are_fixed(layer: nn.Layer, name: str, value: Any) -> None:
    if name not in ("inputs", "layer"):
        setattr(layer, name, copy.copy(getattr(layer, name)))  # of a layer alone it may be assigned
    model = nn.Sequential([layer], input_shape=2)
    before = getattr(layer, name)
    with pytest.raises(AttributeError, match=rf"{name} of layer \w+ is fixed once the layer is in a model"):
        setattr(model.layers[0], name, value)
    assert getattr(layer, name) is before


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.ma.masked_array(np.ones(6), mask=[0, 0, 1, 0, 0, 0]), ValueError, "must have no masked cells, got 1"),
        (np.full(6, 1j), TypeError, "must be an array of real numbers"),
        (np.full(6, "1"), TypeError, "must be an array of real numbers"),
        (np.ones(6, "m8[s]"), TypeError, "must be an array of real numbers"),
    ],
)
def test_arrays_take_real_numbers_only(values: Any, error: type[Exception], message: str) -> None:
    model = nn.Sequential([nn.Dense(2, bias=False)], input_shape=3)
    before = model.parameters.copy()
    for owner, name, value in (
        (model, "parameters", values), (model, "gradients", values), (model.layers[0], "weight", values.reshape(2, 3)),
        (model.layers[0], "weight_grad", values.reshape(2, 3)),
    ):  # fmt: skip
        with pytest.raises(error, match=f"{name} {message}"):
            setattr(owner, name, value)
    np.testing.assert_array_equal(model.parameters, before)


def test_layers_in_python_may_have_any_attribute() -> None:
    class Scale(nn.Layer):
        def __init__(self, factor: float, name: str | None = None) -> None:
            super().__init__(name=name)
            self.factor = factor

        def forward(self, x: Array, training: bool) -> Array:
            return self.factor * x

        def config(self) -> dict[str, Any]:
            return {"factor": self.factor, "name": self.name}

    model = nn.Sequential([Scale(2.0)], input_shape=1)
    model.layers[0].factor = 3.0
    assert model.predict([[1.0]]) == 3.0


@pytest.mark.parametrize(("name", "value"), [("input_shape", (6,)), ("output_shape", (6,)), ("layers", []), ("seed", 5)])
def test_models_are_fixed(name: str, value: Any) -> None:
    model = make().model
    with pytest.raises(AttributeError, match=f"{name} is fixed once the model is made"):
        setattr(model, name, value)


@pytest.mark.parametrize("name", ["model", "optimizer", "metrics"])
def test_trainers_are_fixed(name: str) -> None:
    trainer = make()
    with pytest.raises(AttributeError, match=f"{name} is fixed once the trainer is made"):
        setattr(trainer, name, getattr(make(), name))


def wrapped_twice() -> list[nn.Layer]:
    layer = nn.Dense(3)
    return [nn.WeightNorm(layer), nn.WeightNorm(layer)]


def wrapped_and_plain() -> list[nn.Layer]:
    layer = nn.Dense(3)
    return [layer, nn.WeightNorm(layer)]


@pytest.mark.parametrize("layers", [wrapped_twice, wrapped_and_plain])
def test_a_wrapped_layer_has_one_position(layers: Any) -> None:
    with pytest.raises(ValueError, match=r"layers\[1\] is the same object"):
        nn.Sequential(layers(), input_shape=3)


def test_a_wrapped_layer_has_one_model(rng: np.random.Generator) -> None:
    layer = nn.Dense(3)
    model = nn.Sequential([nn.WeightNorm(layer)], input_shape=4)
    for other in (nn.WeightNorm(layer), layer):
        with pytest.raises(ValueError, match="belongs to another model"):
            nn.Sequential([other], input_shape=9)
    twin = model.copy()
    X = rng.standard_normal((5, 4))
    assert np.array_equal(twin.predict(X), model.predict(X))
    assert twin.layers[0].layer is not layer  # type: ignore[attr-defined]


# Caches.


def test_lru_keeps_the_most_recently_used() -> None:
    made: list[int] = []
    recent = LRUCache(2)

    def get(key: int) -> int:
        def make() -> int:
            made.append(key)
            return key

        value: int = recent.get(key, make)
        return value

    assert [get(key) for key in (1, 2, 1, 3, 1, 2)] == [1, 2, 1, 3, 1, 2]
    assert made == [1, 2, 3, 2]
    assert recent.values() == [1, 2]
    for other in (copy.deepcopy(recent), pickle.loads(pickle.dumps(recent))):
        assert other.values() == []
        assert other.most == 2


def test_data_of_any_size_leave_few_programs(data: tuple[Array, Array]) -> None:
    trainer = make()
    for rows in range(20, 50):
        trainer.partial_fit(data[0][:rows], data[1][:rows])
    assert len(trainer._compiled.values()) == 8


def test_a_trainer_that_has_trained_is_copied(data: tuple[Array, Array]) -> None:
    trainer = make(optimizer="adam")
    trainer.fit(*data, epochs=2, verbose=0)
    twin = copy.deepcopy(trainer)
    for each in (trainer, twin):
        each.fit(*data, epochs=2, verbose=0)
    assert twin.model.parameters is not trainer.model.parameters
    assert twin.model.parameters.tobytes() == trainer.model.parameters.tobytes()
    assert twin.history == trainer.history


def test_a_program_does_not_run_within_itself(data: tuple[Array, Array]) -> None:
    def loss(y: Array, d: Array) -> tuple[Array, Array]:
        trainer.evaluate(*data)
        return ((y - d) ** 2).sum(axis=1), 2 * (y - d)

    trainer = make(loss=loss)
    with pytest.raises(RuntimeError, match="must not run the same program again"):
        trainer.evaluate(*data)
    trainer.loss = "squared_error"  # type: ignore[assignment]
    assert trainer.evaluate(*data)["loss"] > 0


@pytest.mark.parametrize("threads", [1, 2])
def test_python_ops_on_any_thread(threads: int, rng: np.random.Generator) -> None:
    """A layer in Python runs on any thread; evaluating another number of rows uses another program."""

    class Peek(nn.Layer):
        again = 0

        def forward(self, x: Array, training: bool) -> Array:
            if self.again:
                rows, self.again = self.again, 0
                model.predict(X[:rows])
            return x

        def backward(self, dy: Array) -> Array:
            return dy

    model = nn.Sequential([nn.Dense(300), Peek(), nn.Dense(300)], input_shape=300)
    X, before = rng.standard_normal((256, 300)), nn.get_num_threads()
    nn.set_num_threads(threads)
    try:
        for _ in range(20):
            model.layers[1].again = 256
            with pytest.raises(RuntimeError, match="must not run the same program again"):
                model.predict(X)
            model.layers[1].again = 3
            assert model.predict(X).shape == (256, 300)
    finally:
        nn.set_num_threads(before)


# Rows, checkpoints, divergence.


class Score(Callback):
    columns = ("score",)

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        row["score"] = -epoch


def test_values_that_callbacks_add_to_a_row_are_in_the_history(data: tuple[Array, Array]) -> None:
    history = make().fit(*data, epochs=3, verbose=0, callbacks=[Score(), nn.EarlyStopping("score", mode="max", patience=1)])
    assert history["score"].tolist() == [-1, -2]


def test_values_that_callbacks_add_are_in_checkpoints(data: tuple[Array, Array], tmp_path: Any) -> None:
    trainer, again = make(), make()
    checkpoint = nn.ModelCheckpoint(tmp_path / "c", save_best_only=False)
    trainer.fit(*data, epochs=2, verbose=0, callbacks=[Score(), checkpoint])
    again.restore(tmp_path / "c")
    assert again.history == trainer.history


@pytest.mark.parametrize(("value", "error"), [("text", TypeError), (None, None)])
def test_only_numbers_can_be_added_to_a_row(value: Any, error: Any, data: tuple[Array, Array]) -> None:
    add = nn.LambdaCallback(on_epoch_end=lambda trainer, epoch, row: row.update(note=value))
    if error:
        with pytest.raises(error, match="column 'note' must be a number, got 'text'"):
            make().fit(*data, verbose=0, callbacks=[add])
    else:
        assert np.isnan(make().fit(*data, verbose=0, callbacks=[add])["note"]).all()


def test_divergence_is_reported_even_if_a_callback_fails(data: tuple[Array, Array]) -> None:
    look = nn.LambdaCallback(on_train_end=lambda trainer: trainer.history["running_loss"][-1])
    with pytest.raises(nn.DivergenceError) as caught:
        make(loss="squared_error", optimizer=nn.SGD(lr=1e200)).fit(*data, epochs=3, verbose=0, callbacks=[look])
    assert isinstance(caught.value.__context__, KeyError)


def test_a_log_in_a_missing_folder_is_refused_before_training(data: tuple[Array, Array], tmp_path: Any) -> None:
    trainer = make()
    with pytest.raises(FileNotFoundError, match="path must be in a folder that exists"):
        trainer.fit(*data, verbose=0, callbacks=[nn.CSVLogger(tmp_path / "none" / "log.csv")])
    assert trainer.epochs_done == 0


def test_a_hook_that_is_never_called_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Mine has a hook 'on_batch_end' that is never called.*on_epoch_end"):
        type("Mine", (Callback,), {"on_batch_end": lambda self: None})


def test_the_best_parameters_are_restored_after_divergence(data: tuple[Array, Array]) -> None:
    """Epoch 2 overflows; the parameters after epoch 1 are the best."""
    rate = schedules.PiecewiseConstant([1], [0.01, 1e160], per="epoch")
    X, y = data[0], data[0] @ np.ones(4)
    model = nn.Sequential([nn.Dense(1)], input_shape=4, dtype="float64", seed=1)
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=rate))
    stop = nn.EarlyStopping("running_loss", restore_best=True)
    with pytest.raises(nn.DivergenceError):
        trainer.fit(X, y, epochs=5, batch_size=10, verbose=0, callbacks=[stop])
    assert trainer.evaluate(X, y)["loss"] < 100
    assert trainer.epochs_done >= 1


def test_a_log_is_unchanged_if_training_is_refused(data: tuple[Array, Array], tmp_path: Any) -> None:
    path = tmp_path / "log.csv"
    make().fit(*data, verbose=0, callbacks=[nn.CSVLogger(path)])
    before = path.read_text()
    assert before.count("\n") == 2
    scheduled = make(optimizer=nn.SGD(lr=DECAY))
    with pytest.raises(ValueError, match="lr"):
        scheduled.fit(*data, verbose=0, callbacks=[nn.CSVLogger(path), nn.ReduceLROnPlateau("running_loss")])
    assert path.read_text() == before


# Common mistakes.


@pytest.mark.parametrize(("last", "loss"), [(nn.Softmax, "softmax_cross_entropy"), (nn.Sigmoid, "sigmoid_cross_entropy")])
def test_a_repeated_activation_causes_a_warning(last: Any, loss: str) -> None:
    model = nn.Sequential([nn.Dense(2), last()], input_shape=2)
    with pytest.warns(UserWarning, match="itself, but .* does so before: leave it out") as caught:
        nn.Trainer(model, loss)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("y", [np.linspace(0, 5000, N), np.linspace(-0.9, 0.9, N), np.linspace(0, 1, N)])
def test_accuracy_needs_classes(y: Array, data: tuple[Array, Array]) -> None:
    trainer = nn.Trainer(nn.Sequential([nn.Dense(1)], input_shape=4), "mean_squared_error", metrics=["accuracy"])
    with pytest.raises(ValueError, match="accuracy needs classes: y must be labels, 0 and 1 or ±1"):
        trainer.fit(data[0], y, verbose=0)
    for classes in (np.sign(y - 0.3), np.where(y > 0.5, 0.9, 0.1), np.where(y > 0, 0.9, -0.9)):
        trainer.fit(data[0], classes, verbose=0)


def test_a_layer_that_cannot_be_reconstructed_is_not_saved(tmp_path: Any) -> None:
    class Power(nn.Layer):
        def __init__(self, k: int = 2) -> None:
            super().__init__()
            self._k = k

        def forward(self, x: Array, training: bool) -> Array:
            return x**self._k

    model = nn.Sequential([nn.Dense(2), Power(3)], input_shape=2)
    with pytest.raises(TypeError, match=r"config\(\) of Power must return all arguments of its constructor.*; k is missing"):
        model.save(tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_names_of_layers_in_files(tmp_path: Any) -> None:
    """Whether or not the constructor takes a name, and whether or not ``config`` returns it."""

    class Plain(nn.Layer):
        def __init__(self) -> None:
            super().__init__()

        def forward(self, x: Array, training: bool) -> Array:
            return x

    class Named(Plain):
        def __init__(self, k: int = 2, name: str | None = None) -> None:
            nn.Layer.__init__(self, name=name)
            self._k = k

        def config(self) -> dict[str, Any]:
            return {"k": self._k}

    nn.Sequential([Plain(), Named(5, name="five")], input_shape=2).save(tmp_path / "m")
    again = nn.load(tmp_path / "m", custom_layers={"Plain": Plain, "Named": Named})
    assert again["five"]._k == 5


def test_numbers_of_numpy_are_numbers(tmp_path: Any, data: tuple[Array, Array]) -> None:
    small = np.float32(0.125)
    dense = nn.Dense(3, weight_init=nn.initializers.Normal(small))
    model = nn.Sequential([dense, nn.LeakyReLU(small), nn.ActivityL1(small), nn.ELU(small)], input_shape=4)
    nn.Trainer(model, nn.Huber(small), regularizer=nn.L2(small), clip=nn.ClipNorm(small)).fit(
        *data, verbose=0, validation_split=small
    )
    model.save(tmp_path / "m")
    assert np.array_equal(nn.load(tmp_path / "m").predict(data[0]), model.predict(data[0]))


def test_l1_of_weights_whose_squares_overflow() -> None:
    model = nn.Sequential([nn.Dense(2, weight_init=nn.initializers.Constant(1e160))], input_shape=3, dtype="float64")
    assert nn.L1(0.5).value(model) == pytest.approx(3e160)


def test_a_name_that_means_two_things() -> None:
    model = nn.Sequential([nn.Dense(2, name="a"), nn.Dense(1, name="a.weight")], input_shape=3)
    with pytest.raises(ValueError, match=r"'a\.weight', which names a layer and an array"):
        nn.Trainer(model, "squared_error", regularizer={"a.weight": nn.L2(0.1)})


# Names of other libraries.


@pytest.mark.parametrize(("name", "words"), [("Linear", "'Linear': it is Dense"), ("Sequentail", "did you mean 'Sequential'")])
def test_names_from_other_libraries(name: str, words: str) -> None:
    with pytest.raises(AttributeError, match=words):
        getattr(nn, name)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: nn.Sequential([nn.Dense(1)]), r"^Sequential missing 1 required positional argument: 'input_shape'"),
        (lambda: nn.Trainer(make().model), r"^Trainer missing 1 required positional argument: 'loss'"),
        (lambda: make().fit(np.ones((2, 4)), ["cat", "dog"]), r"np\.unique\(y, return_inverse=True\)"),
        (lambda: make(loss=lambda y, d: y.sum()).fit(np.ones((2, 4)), [0, 1], verbose=0), "must return per-example losses and"),
    ],
)
def test_type_errors_name_what_was_meant(action: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        action()


def test_weights_of_a_sampler_are_split_with_the_data(data: tuple[Array, Array]) -> None:
    X, y = data
    weights = 1.0 + np.arange(N)
    train, held_back = nn.data.train_validation_split(X, y, 0.25)
    train = np.sort(train)  # samplers get the rows that are left in the order of the data
    one, other = make(), make()
    one.fit(X, y, validation_split=0.25, sampler=nn.samplers.Weighted(weights), epochs=2, verbose=0)
    sampler = nn.samplers.Weighted(weights[train])
    other.fit(X[train], y[train], validation_data=(X[held_back], y[held_back]), sampler=sampler, epochs=2, verbose=0)
    assert one.history == other.history
    with pytest.raises(ValueError, match="weights of the sampler"):
        one.fit(X, y, validation_split=0.25, sampler=sampler, verbose=0)
