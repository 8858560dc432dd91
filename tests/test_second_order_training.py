"""Second-order optimizers in the trainer: networks, histories, stopping, saving, and what is refused."""

from __future__ import annotations

import copy
import pickle
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore.landscapes import Rosenbrock
from nncore.second_order import (
    OPTIMIZERS,
    JacobianOperator,
    LevenbergMarquardt,
    ModelObjective,
    Newton,
    ScipyMinimize,
    SingularError,
    scipy_minimize,
)

Array = NDArray[Any]

ON_NETWORKS = sorted(set(OPTIMIZERS) - {"newton", "damped_newton", "gauss_newton"})
SAVED = sorted(set(ON_NETWORKS) - {"scipy_minimize"})


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[Array, Array]:
    X = rng.normal(size=(50, 3))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


def network(dtype: str = "float64") -> nn.Sequential:
    return nn.Sequential([nn.Dense(6), nn.Tanh(), nn.Dense(2)], input_shape=3, dtype=dtype, seed=1)


def trainer_of(model: nn.Sequential, optimizer: Any, **kw: Any) -> nn.Trainer:
    return nn.Trainer(model, loss="softmax_cross_entropy", optimizer=optimizer, regularizer=nn.L2(1e-3), **kw)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ON_NETWORKS)
def test_history(name: str, dtype: str, data: tuple[Array, Array]) -> None:
    model = network(dtype)
    trainer = trainer_of(model, name, metrics=["accuracy"])
    before = trainer.evaluate(*data)["loss"]
    history = trainer.fit(*data, epochs=8, validation_data=(data[0][:20], data[1][:20]), verbose=0)
    assert len(history) == trainer.epochs_done == 8
    assert history.columns[:5] == ["loss", "accuracy", "penalty", "gradient_norm", "step_length"]
    assert {"evaluations", "seconds", "val_loss", "val_accuracy", "val_penalty"} <= set(history)
    assert (np.diff(history["loss"], prepend=before) < 0).all()
    now, held_back = trainer.evaluate(*data), trainer.evaluate(data[0][:20], data[1][:20])
    assert history["loss"][-1] == pytest.approx(now["loss"], rel=1e-12 if dtype == "float64" else 1e-6)
    assert history["accuracy"][-1] == now["accuracy"]
    assert history["penalty"][-1] == now["penalty"]
    assert history["val_loss"][-1] == held_back["loss"]
    f = ModelObjective(model, *data, trainer.loss, trainer.regularizer)
    gradient = f.value_and_gradient(model.parameters)[1]
    assert np.array_equal(model.gradients, gradient)
    assert history["gradient_norm"][-1] == pytest.approx(np.linalg.norm(gradient), rel=1e-6)
    assert history["evaluations"][0] >= 1
    assert model.parameters.dtype == dtype


@pytest.mark.parametrize("name", ON_NETWORKS)
def test_trainer_and_minimize_agree(name: str, data: tuple[Array, Array]) -> None:
    model = network()
    f, start = ModelObjective(model, *data, "softmax_cross_entropy", nn.L2(1e-3)), model.parameters.copy()
    walk = OPTIMIZERS[name]().minimize(f, start, steps=5)
    assert np.array_equal(model.parameters, start)  # the objective has its own model
    trainer = trainer_of(model, name)
    trainer.fit(*data, epochs=5, verbose=0)
    assert np.array_equal(model.parameters, walk.theta[-1])
    assert np.array_equal(trainer.history["loss"], walk.loss[1:])


def test_objective_derivatives(data: tuple[Array, Array]) -> None:
    """Gradient, Hessian and products by central differences, including the penalty."""
    model = network()
    f = ModelObjective(model, *data, "softmax_cross_entropy", nn.ElasticNet(0.01, 0.3))
    theta, n = model.parameters + 0.1, model.parameters.size
    h = 1e-5
    steps = h * np.eye(n)
    numeric = [(f.value_and_gradient(theta + s)[0] - f.value_and_gradient(theta - s)[0]) / (2 * h) for s in steps]
    assert np.allclose(f.value_and_gradient(theta)[1], numeric, rtol=1e-6, atol=1e-8)
    numeric_hessian = [(f.value_and_gradient(theta + s)[1] - f.value_and_gradient(theta - s)[1]) / (2 * h) for s in steps]
    hessian = f.hessian(theta)
    assert np.allclose(hessian, numeric_hessian, rtol=1e-6, atol=1e-8)
    v = np.random.default_rng(0).normal(size=n)
    assert np.allclose(f.hessian_product(theta, v), hessian @ v, rtol=1e-10, atol=1e-12)
    assert np.linalg.eigvalsh(f.gauss_newton(theta)).min() > -1e-12


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])
def test_copies_of_an_objective(copied: Any, data: tuple[Array, Array]) -> None:
    f = ModelObjective(network(), *data, "softmax_cross_entropy", nn.L2(1e-3))
    theta = f.model.parameters.copy()
    value, gradient = f.value_and_gradient(theta)
    other = copied(f)
    f.model.parameters[...] = 0
    assert other.value_and_gradient(theta)[0] == value
    assert other.value_and_gradient(2 * theta)[0] != value
    np.testing.assert_array_equal(f.value_and_gradient(theta)[1], gradient)


@pytest.mark.parametrize("name", SAVED)
def test_stopping_and_continuing_changes_nothing(name: str, data: tuple[Array, Array], tmp_path: Path) -> None:
    whole = trainer_of(network(), name)
    whole.fit(*data, epochs=7, verbose=0)
    first = trainer_of(network(), name)
    first.fit(*data, epochs=2, verbose=0)
    first.fit(*data, epochs=2, verbose=0)
    first.save(tmp_path / "checkpoint")
    second = trainer_of(network(), name)
    second.model.initialize(5)
    second.restore(tmp_path / "checkpoint")
    for trainer in (first, second):
        trainer.fit(*data, epochs=3, verbose=0)
        assert np.array_equal(trainer.model.parameters, whole.model.parameters)
        assert np.array_equal(trainer.history["loss"], whole.history["loss"])


def test_newton_finds_the_optimum_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn")
    from sklearn.linear_model import LogisticRegression

    X, y = sklearn.datasets.load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    strength = 1e-2
    # scikit-learn minimizes ½‖w‖² + C Σ l, nncore the mean of l + ½ strength ‖w‖²
    theirs = LogisticRegression(C=1 / (strength * len(X)), tol=1e-12, max_iter=1000, solver="newton-cholesky").fit(X, y)
    model = nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=30, dtype="float64")
    trainer = nn.Trainer(model, loss="sigmoid_cross_entropy", optimizer=Newton(tol=1e-12), regularizer=nn.L2(strength))
    history = trainer.fit(X, y, epochs=20, verbose=0)
    assert np.abs(model.layers[0].weight - theirs.coef_).max() < 1e-6
    assert np.abs(model.layers[0].bias - theirs.intercept_).max() < 1e-6
    assert len(history) <= 9
    assert (history["evaluations"][1:] <= 1).all()


def test_levenberg_marquardt_fits_a_sine() -> None:
    x = np.linspace(-np.pi, np.pi, 200)[:, None]
    model = nn.Sequential([nn.Dense(20), nn.Tanh(), nn.Dense(1)], input_shape=1, dtype="float64", seed=0)
    assert model.parameters.size == 61
    trainer = nn.Trainer(model, loss="mean_squared_error", optimizer=LevenbergMarquardt())
    trainer.fit(x, np.sin(x), epochs=1100, verbose=0)
    assert trainer.evaluate(x, np.sin(x))["loss"] < 1e-8


def test_levenberg_marquardt_takes_the_step_of_its_formula(rng: np.random.Generator) -> None:
    """(JᵀJ/R + αI) p = −Jᵀ(y − d)/R for R rows, at first with α = damping · the largest element of the diagonal."""
    X, d = rng.normal(size=(15, 3)), rng.normal(size=(15, 2))
    model = network()
    before, jacobian = model.parameters.copy(), JacobianOperator(model, X).matrix()
    residuals = (model.predict(X) - d).ravel()
    matrix = jacobian.T @ jacobian / 15
    alpha = 0.2 * matrix.diagonal().max()
    p = -np.linalg.solve(matrix + alpha * np.eye(before.size), jacobian.T @ residuals / 15)
    trainer = nn.Trainer(model, loss="squared_error", optimizer=LevenbergMarquardt(damping=0.2))
    assert trainer.fit(X, d, epochs=1, verbose=0)["damping"] == pytest.approx(alpha, rel=1e-12)
    assert np.allclose(model.parameters, before + p, rtol=1e-9)


# --- the loop


class Note(nn.Callback):
    def __init__(self, what: Any) -> None:
        self.what, self.seen = what, 0

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        self.seen += 1
        self.what(trainer, epoch)


@pytest.mark.parametrize("name", ["lbfgs", "scipy_minimize"])
def test_callbacks(name: str, data: tuple[Array, Array]) -> None:
    def stop(trainer: Any, epoch: int) -> None:
        trainer.stop_training = epoch == 3

    trainer, note = trainer_of(network(), name), Note(stop)
    assert len(trainer.fit(*data, epochs=10, callbacks=[note], verbose=0)) == note.seen == 3
    patient = nn.EarlyStopping(monitor="val_loss", patience=2)
    trainer.fit(*data, epochs=300, validation_split=0.3, callbacks=[patient], verbose=0)
    assert trainer.epochs_done < 303


@pytest.mark.parametrize("name", ["lbfgs", "adaptive_damped_newton", "scipy_minimize"])
def test_a_callback_may_change_the_parameters(name: str, data: tuple[Array, Array]) -> None:
    def jump(trainer: Any, epoch: int) -> None:
        if epoch == 3:
            trainer.model.parameters[...] += 0.1
            changed.append(trainer.evaluate(*data)["loss"])

    changed: list[float] = []
    trainer = trainer_of(network(), name)
    trainer.fit(*data, epochs=4, callbacks=[Note(jump)], verbose=0)
    assert changed[0] > trainer.history["loss"][2]
    assert changed[0] > trainer.history["loss"][3] == pytest.approx(trainer.evaluate(*data)["loss"])


@pytest.mark.parametrize("name", ["bfgs", "scipy_minimize"])
def test_ctrl_c(name: str, data: tuple[Array, Array]) -> None:
    trainer = trainer_of(network(), name)
    press = Note(lambda trainer, epoch: signal.raise_signal(signal.SIGINT) if epoch == 4 else None)
    trainer.fit(*data, epochs=50, callbacks=[press], verbose=0)
    assert trainer.interrupted
    assert len(trainer.history) == 4
    assert trainer.evaluate(*data)["loss"] == pytest.approx(trainer.history["loss"][-1])


def each_epoch(trainer: Any, epoch: int, row: Any) -> None:
    """A callback that lets only one iteration run at a time."""


@pytest.mark.parametrize("method", ["L-BFGS-B", "CG", "trust-krylov"])
@pytest.mark.parametrize("options", [{"tol": 0.0}, {"tol": 0.01}, {"maxiter": 15}], ids=str)
def test_iterations_in_a_row_are_those_one_at_a_time(method: str, options: dict[str, Any], data: tuple[Array, Array]) -> None:
    """The same bits and rows, whether the optimizer waits after each iteration or not."""
    trainers = [trainer_of(network(), ScipyMinimize(method, **options), metrics=["accuracy"]) for _ in range(2)]
    for trainer, callbacks in zip(trainers, ([], [nn.LambdaCallback(on_epoch_end=each_epoch)]), strict=True):
        trainer.fit(*data, epochs=40, verbose=0, callbacks=callbacks)
    in_a_row, one_by_one = (trainer.history for trainer in trainers)
    assert in_a_row.columns == one_by_one.columns
    for column in set(in_a_row.columns) - {"seconds"}:
        np.testing.assert_array_equal(in_a_row[column], one_by_one[column])
    np.testing.assert_array_equal(trainers[0].model.parameters, trainers[1].model.parameters)
    assert trainers[0].optimizer.stopped == trainers[1].optimizer.stopped
    assert sum(in_a_row["evaluations"]) >= len(in_a_row) - 1


def test_few_requests_for_many_iterations(data: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request is a change of threads."""
    requests = []
    search = scipy_minimize._Search.next
    monkeypatch.setattr(scipy_minimize._Search, "next", lambda self, most: requests.append(most) or search(self, most))
    monkeypatch.setattr(scipy_minimize, "PORTION", 60.0)
    assert len(trainer_of(network(), ScipyMinimize(tol=0.0)).fit(*data, epochs=30, verbose=0)) == 30
    assert requests == [30]


@pytest.mark.parametrize("callbacks", [[], [nn.LambdaCallback(on_epoch_end=each_epoch)]], ids=["in a row", "one by one"])
def test_iterations_before_an_error_are_kept(callbacks: list[nn.Callback], data: tuple[Array, Array]) -> None:
    X, y = data[0], np.eye(2)[data[1]]
    calls: list[int] = []

    def failing(outputs: Array, targets: Array) -> tuple[Array, Array]:
        calls.append(len(calls))
        if len(calls) == 12:
            raise FloatingPointError("the twelfth")
        return 0.5 * np.square(outputs - targets).sum(axis=1), outputs - targets

    def fitted(loss: Any, epochs: int) -> nn.Trainer:
        trainer = nn.Trainer(network(), loss, ScipyMinimize(tol=0.0))
        trainer.fit(X, y, epochs=epochs, verbose=0, callbacks=callbacks)
        return trainer

    trainer = nn.Trainer(network(), failing, ScipyMinimize(tol=0.0))
    with pytest.raises(FloatingPointError, match="the twelfth"):
        trainer.fit(X, y, epochs=30, verbose=0, callbacks=callbacks)
    assert 3 < trainer.epochs_done < 12
    expected = fitted(lambda y, d: (0.5 * np.square(y - d).sum(axis=1), y - d), trainer.epochs_done)
    np.testing.assert_array_equal(trainer.model.parameters, expected.model.parameters)
    np.testing.assert_array_equal(trainer.history["loss"], expected.history["loss"])


def test_ctrl_c_between_iterations_in_a_row(data: tuple[Array, Array]) -> None:
    calls: list[int] = []

    def pressed(outputs: Array, targets: Array) -> tuple[Array, Array]:
        calls.append(len(calls))
        if len(calls) == 12:
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.05)  # the main thread handles it
        return 0.5 * np.square(outputs - targets).sum(axis=1), outputs - targets

    trainer = nn.Trainer(network(), pressed, ScipyMinimize(tol=0.0))
    trainer.fit(data[0], np.eye(2)[data[1]], epochs=1000, verbose=0)
    assert trainer.interrupted
    assert 3 < len(trainer.history) == trainer.epochs_done <= 12


def test_training_ends_when_the_optimizer_stops(data: tuple[Array, Array]) -> None:
    model = nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=3, dtype="float64")
    trainer = nn.Trainer(model, loss="sigmoid_cross_entropy", optimizer=Newton())
    history = trainer.fit(*data, epochs=30, verbose=0)
    assert 3 < len(history) < 10
    assert history["gradient_norm"][-1] <= 1e-10
    assert "at most tol" in trainer.optimizer.stopped
    reached = model.parameters.copy()
    trainer.fit(*data, epochs=5, verbose=0)  # already stopped
    assert np.array_equal(model.parameters, reached)
    assert history["step_length"][-1] == 0


def test_partial_fit(data: tuple[Array, Array]) -> None:
    trainer = trainer_of(network(), "lbfgs")
    losses = [trainer.partial_fit(*data)["loss"] for _ in range(5)]
    whole = trainer_of(network(), "lbfgs")
    whole.fit(*data, epochs=5, verbose=0)
    assert losses == whole.history["loss"].tolist()


def test_progress_line(data: tuple[Array, Array], capfd: pytest.CaptureFixture[str]) -> None:
    trainer_of(network(), "lbfgs").fit(*data, epochs=2, verbose=2)
    assert "epoch 2/2" in capfd.readouterr().err


def test_same_bits_on_any_number_of_threads(data: tuple[Array, Array]) -> None:
    threads, ends = nn.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            nn.set_num_threads(count)
            model = network()
            trainer_of(model, "truncated_newton").fit(*data, epochs=6, verbose=0)
            ends.append(model.parameters.copy())
    finally:
        nn.set_num_threads(threads)
    assert all(np.array_equal(end, ends[0]) for end in ends)


# --- what is refused


class Noise(nn.Layer):
    """Noise in training only, like dropout."""

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return input_shape

    def forward(self, x: Array, training: bool) -> Array:
        return x + 0.01 if training else x

    def backward(self, dy: Array) -> Array:
        return dy


def test_noise_is_refused(data: tuple[Array, Array]) -> None:
    model = nn.Sequential([nn.Dense(4), Noise(name="hiss"), nn.Dense(2)], input_shape=3, dtype="float64")
    before = model.parameters.copy()
    with pytest.raises(ValueError, match=r"layer 'hiss' differs between training and inference.*LBFGS needs.*first-order"):
        trainer_of(model, "lbfgs").fit(*data, verbose=0)
    assert np.array_equal(model.parameters, before)


def test_mini_batches_are_refused(data: tuple[Array, Array]) -> None:
    trainer = trainer_of(network(), "bfgs")
    with pytest.raises(
        ValueError, match=r"batch_size must be 50, all rows, as BFGS needs.*every mini-batch changes the function.*got 10: take"
    ) as e:
        trainer.fit(*data, batch_size=10, verbose=0)
    assert "allow_mini_batches" not in str(e.value)
    trainer.fit(*data, batch_size=50, verbose=0)
    with pytest.raises(ValueError, match="allow_mini_batches=True"):
        trainer_of(network(), nn.Rprop()).fit(*data, batch_size=10, verbose=0)


def test_clipping_is_refused(data: tuple[Array, Array]) -> None:
    with pytest.raises(ValueError, match="clip must be None with LBFGS, got ClipGlobalNorm"):
        trainer_of(network(), "lbfgs", clip=nn.ClipGlobalNorm(1.0)).fit(*data, verbose=0)


@pytest.mark.parametrize("name", ["newton", "damped_newton", "gauss_newton"])
def test_singular_curvature_leaves_the_parameters_unchanged(name: str, data: tuple[Array, Array]) -> None:
    """Without a penalty the Hessian is singular: adding the same number to both outputs changes nothing."""
    model = network()
    before = model.parameters.copy()
    optimizer = OPTIMIZERS[name](**({"damping": 1e-18} if name == "damped_newton" else {}))
    trainer = nn.Trainer(model, loss="softmax_cross_entropy", optimizer=optimizer)
    with pytest.raises(SingularError, match=r"is (singular|not positive definite).*Take (AdaptiveDampedNewton|LevenbergM)"):
        trainer.fit(*data, epochs=5, verbose=0)
    assert np.array_equal(model.parameters, before)
    assert len(trainer.history) == 0


def test_no_curvature_of_python_layers(data: tuple[Array, Array]) -> None:
    class Double(nn.Layer):
        def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
            return input_shape

        def forward(self, x: Array, training: bool) -> Array:
            return 2 * x

        def backward(self, dy: Array) -> Array:
            return 2 * dy

    model = nn.Sequential([nn.Dense(4), Double(), nn.Dense(2)], input_shape=3, dtype="float64")
    with pytest.raises(TypeError, match=r"Double.*cannot be differentiated along a direction"):
        trainer_of(model, "truncated_newton").fit(*data, verbose=0)
    history = trainer_of(model, "bfgs").fit(*data, epochs=5, verbose=0)  # gradients are available
    assert (np.diff(history["loss"]) < 0).all()


def test_optimizer_belongs_to_one_trainer(data: tuple[Array, Array]) -> None:
    optimizer = ScipyMinimize("BFGS")
    first = trainer_of(network(), optimizer)
    trainer_of(network(), optimizer)
    with pytest.raises(ValueError, match="ScipyMinimize of its own"):
        first.fit(*data, verbose=0)


@pytest.mark.parametrize("method", ["L-BFGS-B", "trust-ncg", "Nelder-Mead"])
def test_copies_of_a_search_of_scipy(method: str) -> None:
    """A callback may copy and pickle: the copy begins its own search, and the training goes on as if alone."""
    X = np.random.default_rng(0).standard_normal((30, 3))
    y = np.sin(X[:, 0])

    def trainer() -> nn.Trainer:
        model = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(1)], input_shape=3, dtype="float64", seed=0)
        return nn.Trainer(model, "squared_error", ScipyMinimize(method))

    copies: list[nn.Trainer] = []

    def copied(trainer: nn.Trainer, epoch: int, row: Any) -> None:
        if epoch == 3:
            copies.append(copy.deepcopy(trainer))
            assert pickle.loads(pickle.dumps(trainer.optimizer)).step_count == 3
            copy.copy(trainer.optimizer).tol = 1e-3  # type: ignore[attr-defined]

    twin, disturbed, other = trainer(), trainer(), trainer()
    twin.fit(X, y, epochs=8, verbose=0)
    disturbed.fit(X, y, epochs=8, callbacks=[nn.LambdaCallback(on_epoch_end=copied)], verbose=0)
    assert np.array_equal(disturbed.model.parameters, twin.model.parameters)
    other.fit(X, y, epochs=3, verbose=0)
    other.fit(X, y, epochs=5, verbose=0)
    copies[0].fit(X, y, epochs=5, verbose=0)
    assert np.array_equal(copies[0].model.parameters, other.model.parameters)


def test_a_step_by_hand_leaves_no_thread() -> None:
    threads, theta, optimizer = threading.active_count(), np.array([-1.2, 1.0]), ScipyMinimize("BFGS")
    optimizer.step(theta, Rosenbrock())
    assert threading.active_count() == threads
    assert pickle.loads(pickle.dumps(optimizer)).step_count == copy.deepcopy(optimizer).step_count == 1
