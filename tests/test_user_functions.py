"""User-defined Python code cannot corrupt the library's arrays, and its results are checked."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn

Array = NDArray[Any]


class Scale(nn.Layer):
    """y = s ⊙ x; the tests replace its methods."""

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        self.add_parameter("s", input_shape, nn.initializers.Constant(1.5))
        return input_shape

    def forward(self, x: Array, training: bool) -> Any:
        self.x = x.copy()
        return x * self.s

    def backward(self, dy: Array) -> Any:
        self.s_grad[...] = (dy * self.x).sum(axis=0)
        return dy * self.s


def gradient(layer: nn.Layer, loss: Any = "squared_error") -> Array:
    X, y = np.random.default_rng(0).normal(size=(12, 3)), np.ones(12)
    model = nn.Sequential([nn.Dense(4), nn.Tanh(), layer, nn.Dense(1)], 3, dtype="float64", seed=0)
    return model.loss_and_gradient(X, y, loss)[1]


def squared(y: Array, d: Array) -> tuple[Array, Array]:
    return 0.5 * ((y - d) ** 2).sum(axis=1), y - d


def test_the_layer_is_correct() -> None:
    expected = gradient(Scale())
    model = nn.Sequential([nn.Dense(4), nn.Tanh(), Scale(), nn.Dense(1)], 3, dtype="float64", seed=0)
    X, y = np.random.default_rng(0).normal(size=(12, 3)), np.ones(12)
    assert max(model.check_gradients(X, y, "squared_error").values()) < 1e-6
    assert np.allclose(gradient(Scale(), squared), expected, rtol=1e-13)


def test_a_forward_in_place_is_refused() -> None:
    class InPlace(Scale):
        def forward(self, x: Array, training: bool) -> Any:
            self.x = x.copy()
            x *= self.s
            return x

    with pytest.raises(ValueError, match="read-only"):
        gradient(InPlace())


def test_a_backward_in_place_is_refused() -> None:
    class InPlace(Scale):
        def backward(self, dy: Array) -> Any:
            dy *= self.s
            return dy

    with pytest.raises(ValueError, match="read-only"):
        gradient(InPlace())


@pytest.mark.parametrize("which", [0, 1])
def test_a_loss_in_place_is_refused(which: int) -> None:
    def loss(*y_and_d: Array) -> tuple[Array, Array]:
        y_and_d[which][...] = 0
        return squared(*y_and_d)

    with pytest.raises(ValueError, match="read-only"):
        gradient(Scale(), loss)


WRONG: dict[str, tuple[Callable[[Array], Any], type[Exception]]] = {
    "None": (lambda right: None, TypeError),
    "objects": (lambda right: right.astype(object), TypeError),
    "complex": (lambda right: right + 1j, TypeError),
    "text": (lambda right: right.astype(str), TypeError),
    "one number": (lambda right: 1.0, ValueError),
    "a row less": (lambda right: right[1:], ValueError),
    "another axis": (lambda right: right[..., None], ValueError),
    "ragged": (lambda right: [[1.0], [1.0, 2.0]], ValueError),
}
each_wrong = pytest.mark.parametrize("wrong", WRONG)


@each_wrong
def test_invalid_results_of_forward(wrong: str) -> None:
    spoil, error = WRONG[wrong]

    class Wrong(Scale):
        def forward(self, x: Array, training: bool) -> Any:
            return spoil(super().forward(x, training))

    with pytest.raises(error, match=r"wrong_1\.forward must return an array .*\(12, 4\)"):
        gradient(Wrong())


@each_wrong
def test_invalid_results_of_backward(wrong: str) -> None:
    spoil, error = WRONG[wrong]

    class Wrong(Scale):
        def backward(self, dy: Array) -> Any:
            return spoil(super().backward(dy))

    with pytest.raises(error, match=r"wrong_1\.backward must return an array .*\(12, 4\)"):
        gradient(Wrong())


@each_wrong
@pytest.mark.parametrize("which", [0, 1])
def test_invalid_results_of_a_loss(wrong: str, which: int) -> None:
    spoil, error = WRONG[wrong]

    def loss(y: Array, d: Array) -> tuple[Array, Array]:
        parts: list[Any] = list(squared(y, d))
        parts[which] = spoil(parts[which])
        return parts[0], parts[1]

    with pytest.raises(error, match=r"loss loss, (first|second) .* must return an array"):
        gradient(Scale(), loss)


class Spoiled:
    """½‖θ‖² as an objective, with one result replaced."""

    def __init__(self, spoil: Callable[[Array], Any], method: str) -> None:
        self.spoil, self.method = spoil, method
        if "hessian" in method:
            setattr(self, method, {"hessian": self._hessian, "hessian_product": self._product}[method])
        else:
            self.residuals_and_jacobian = lambda theta: (theta, self._result("jacobian", np.eye(3)))

    def _result(self, method: str, right: Array) -> Any:
        return self.spoil(right) if self.method == method else right

    def value_and_gradient(self, theta: Array) -> Any:
        return 0.5 * theta @ theta, self._result("gradient", theta)

    def _hessian(self, theta: Array) -> Any:
        return self._result("hessian", np.eye(3))

    def _product(self, theta: Array, v: Array) -> Any:
        return self._result("hessian_product", v)


OF_F: dict[str, tuple[Any, str]] = {
    "gradient": (nn.SGD, "f, second its gradient, must return"),
    "hessian": (nn.second_order.Newton, r"f\.hessian must return"),
    "hessian_product": (nn.second_order.TruncatedNewton, r"f\.hessian_product must return"),
    "jacobian": (nn.second_order.LevenbergMarquardt, r"f\.residuals_and_jacobian, second J, must return"),
}


@each_wrong
@pytest.mark.parametrize("method", OF_F)
def test_invalid_results_of_a_function_to_minimize(method: str, wrong: str) -> None:
    (make, message), (spoil, error) = OF_F[method], WRONG[wrong]
    for optimizer in (make(), nn.second_order.BFGS()) if method == "gradient" else (make(),):
        optimizer.minimize(Spoiled(lambda right: right.tolist(), method), [1.0, 2.0, 3.0], 2)
        with pytest.raises(error, match=message):
            optimizer.minimize(Spoiled(spoil, method), [1.0, 2.0, 3.0], 2)


@pytest.mark.parametrize("optimizer", [nn.SGD(), nn.second_order.BFGS()])
@pytest.mark.parametrize("value", [1j, np.ones(1), "1", None])
def test_invalid_values_of_a_function_to_minimize(value: Any, optimizer: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="f, first its value, must return a real number, got"):
        optimizer.minimize(lambda theta: (value, theta), [1.0], 2)
    with pytest.raises(TypeError, match="f must return its value and its gradient, got float"):
        optimizer.minimize(lambda theta: 1.0, [1.0], 2)


@each_wrong
def test_invalid_results_of_an_initializer(wrong: str) -> None:
    spoil, error = WRONG[wrong]

    def initializer(shape: tuple[int, ...], rng: Any, dtype: Any) -> Any:
        return spoil(np.ones(shape, dtype))

    with pytest.raises(error, match=r"initializer .* of dense_1\.weight must return"):
        nn.Sequential([nn.Dense(4, weight_init=initializer)], input_shape=3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e39])
def test_an_initializer_returns_finite_numbers(bad: float) -> None:
    def initializer(shape: tuple[int, ...], rng: Any, dtype: Any) -> Any:
        return np.full(shape, bad)

    with pytest.raises(ValueError, match=r"dense_1\.weight must return finite numbers"):
        nn.Sequential([nn.Dense(4, weight_init=initializer)], input_shape=3)


def test_invalid_results_of_build() -> None:
    class Wrong(nn.Layer):
        def build(self, input_shape: tuple[int, ...]) -> Any:
            return None

    with pytest.raises(ValueError, match=r"wrong_1\.build must return .* got None"):
        nn.Sequential([Wrong()], input_shape=3)


@pytest.mark.parametrize("shape", [(-1,), (0,), (2, -3), (1.5,), "ab", 4, None, [2]])
@pytest.mark.parametrize("method", ["add_state", "add_parameter"])
def test_shapes_of_states_and_parameters(method: str, shape: Any) -> None:
    class Wrong(nn.Layer):
        def build(self, input_shape: tuple[int, ...]) -> Any:
            getattr(self, method)("w", shape, 0.0 if method == "add_state" else "zeros")
            return input_shape

    with pytest.raises(ValueError, match=r"shape of wrong_1\.w must be a tuple of positive integers"):
        nn.Sequential([Wrong()], input_shape=3)


@pytest.mark.parametrize("initial", [np.nan, np.inf, None, "0"])
def test_initial_values_of_states(initial: Any) -> None:
    class Wrong(nn.Layer):
        def build(self, input_shape: tuple[int, ...]) -> Any:
            self.add_state("w", (2,), initial)
            return input_shape

    with pytest.raises((TypeError, ValueError), match=r"initial value of wrong_1\.w"):
        nn.Sequential([Wrong()], input_shape=3)


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True])
def test_initialize_with_a_wrong_seed_changes_nothing(seed: Any) -> None:
    model = nn.Sequential([nn.Dense(4), nn.BatchNorm()], input_shape=3)
    model.state[...], model.parameters[...] = 7, 8
    with pytest.raises((TypeError, ValueError), match="seed must be an integer of at least 0"):
        model.initialize(seed)
    assert (model.state == 7).all()
    assert (model.parameters == 8).all()


def test_initialize_with_an_initializer_that_fails_changes_nothing() -> None:
    calls = []

    def initializer(shape: tuple[int, ...], rng: Any, dtype: Any) -> Any:
        calls.append(shape)
        return np.ones(shape, dtype) if len(calls) == 1 else None

    model = nn.Sequential([nn.BatchNorm(), nn.Dense(4, weight_init=initializer)], input_shape=3)
    model.state[...], model.parameters[...] = 7, 8
    with pytest.raises(TypeError, match="initializer"):
        model.initialize(1)
    assert (model.state == 7).all()
    assert (model.parameters == 8).all()


@pytest.mark.parametrize("units", [2**31, 2**40, 2**60, 2**62])
def test_a_model_that_is_too_large(units: int) -> None:
    with pytest.raises(MemoryError, match=r"cannot allocate [0-9,]+ bytes \([0-9,.]+ GiB\)"):
        nn.Sequential([nn.Dense(units)], input_shape=100_000)


RESULTS: dict[str, Any] = {
    "scalar": lambda t: 0.1, "longer": lambda t: np.ones(len(t) + 1), "column": lambda t: np.full((len(t), 1), 0.1),
    "complex": lambda t: 0.1 + 1j * t, "text": lambda t: "0.1", "None": lambda t: None,
}  # fmt: skip


@pytest.mark.parametrize("wrap", [lambda own: own, lambda own: nn.schedules.Warmup(own, 3)])
@pytest.mark.parametrize("wrong", RESULTS)
def test_invalid_results_of_a_schedule(wrong: str, wrap: Any) -> None:
    class Own(nn.schedules.Schedule):
        def at(self, t: Array) -> Any:
            return RESULTS[wrong](t)

    trainer = nn.Trainer(nn.Sequential([nn.Dense(1)], 3), "squared_error", nn.SGD(wrap(Own())))
    with pytest.raises(
        (TypeError, ValueError), match=r"Own\.at must return an array of (real numbers of )?shape \(\d+,\), got"
    ):
        trainer.fit(np.ones((8, 3)), np.ones(8), batch_size=1, verbose=0)


W = ("parameter", "w")
NAMES: dict[str, Any] = {  # what is declared in this order, and whether it may be
    "different": ([W, ("state", "grad"), ("parameter", "w_"), ("state", "w2")], True), "twice": ([W, W], False),
    "of a gradient": ([W, ("parameter", "w_grad")], False), "of a later gradient": ([("parameter", "w_grad"), W], False),
    "of a state and a parameter": ([("state", "w"), W], False), "of a parameter and a state": ([W, ("state", "w")], False),
    "of a gradient and a state": ([W, ("state", "w_grad")], False), "states twice": ([("state", "w"), ("state", "w")], False),
    **{repr(name): ([("parameter", name)], False) for name in ("input_shape", "name", "forward", "", "a.b", "1", None)},
    "state": ([("state", "states")], False),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMES)
def test_names_of_states_and_parameters(case: str) -> None:
    declared, good = NAMES[case]

    class Own(nn.Layer):
        def build(self, input_shape: tuple[int, ...]) -> Any:
            for kind, name in declared:
                self.add_state(name, (2,), 3.0) if kind == "state" else self.add_parameter(name, (2,), "zeros")
            return input_shape

    if good:
        model = nn.Sequential([Own()], 3)
        assert model.copy().layers[0].w2.tolist() == [3, 3]
        return
    with pytest.raises(ValueError, match=r"^(name of an array|arrays) of own_1 must"):
        nn.Sequential([Own()], 3)


class Doubled(nn.ReLU):
    def forward(self, x: Array, training: bool) -> Any:
        return 2 * x


class StraightThrough(nn.Sigmoid):
    def backward(self, dy: Array) -> Any:
        return dy


class Mixed(Doubled, nn.Layer):
    """Derived twice."""


@pytest.mark.parametrize(("cls", "message"), [(Doubled, "Doubled, defines forward"), (StraightThrough, "h, defines backward"),
                                              (Mixed, "Mixed, defines forward.*ReLU")])  # fmt: skip
def test_passes_in_python_in_the_place_of_compiled_ones_are_refused(cls: type[nn.Layer], message: str) -> None:
    """They would not be called."""
    with pytest.raises(TypeError, match=message):
        nn.Sequential([nn.Dense(2), cls()], input_shape=2)


def test_layers_derived_from_compiled_ones() -> None:
    class Named(nn.Dense):
        """Without passes of its own."""

    class Own(nn.ReLU):
        """Emits them itself."""

        def emit(self, tape: Any, x: Any) -> Any:
            return nn.Layer.emit(self, tape, x)

        def forward(self, x: Array, training: bool) -> Any:
            return 5 * x

    assert nn.Sequential([Named(2)], input_shape=2).parameters.size == 6
    assert nn.Sequential([Own()], input_shape=1).predict([[1.0]]) == 5


@pytest.mark.parametrize("name", ["transform", "inverse_transform"])
def test_scalers_of_ones_own_that_a_model_would_not_call_are_refused(name: str) -> None:
    cls = type("Logarithm", (nn.data.StandardScaler,), {name: lambda self, X: np.log(X)})
    model = nn.Sequential([nn.Dense(1)], input_shape=2)
    with pytest.raises(TypeError, match=f"input_scaler must be a scaler of nncore, got Logarithm.*, whose {name} would not"):
        model.input_scaler = cls().fit([[1.0, 2.0], [3.0, 5.0]])
    assert model.input_scaler is None


def derived(cls: type, method: str) -> Any:
    """Of a class of the user's own, with a method in the place of nncore's."""
    return type("Own", (cls,), {method: lambda self, *args: 0})


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "optimizer.step": lambda: {"optimizer": derived(nn.SGD, "step")()},
    "optimizer.step, wrapped": lambda: {"optimizer": nn.EMA(derived(nn.SGD, "step")())},
    "optimizer.step, second order": lambda: {"optimizer": derived(nn.second_order.LBFGS, "step")()},
    "loss.__call__": lambda: {"loss": derived(nn.losses.SquaredError, "__call__")()},
    "constraint.project": lambda: {"constraint": derived(nn.MaxNorm, "project")(1.0)},
    "constraint.project, by name": lambda: {"constraint": {"dense_1": derived(nn.MaxNorm, "project")(1.0)}},
    "regularizer.gradient, by name": lambda: {"regularizer": {"dense_1": derived(nn.L2, "gradient")(0.1)}},
    **{
        f"regularizer.{name}": lambda name=name: {"regularizer": derived(nn.L2, name)(0.1)}
        for name in ("value", "gradient", "curvature")
    },
}


@pytest.mark.parametrize("name", PARTS)
def test_methods_that_compiled_steps_would_not_call_are_refused(name: str) -> None:
    argument, method = name.split(",")[0].split(".")
    model = nn.Sequential([nn.Dense(1)], input_shape=2)
    with pytest.raises(TypeError, match=rf"^{argument}, .*Own.*, is of a class that defines {method}, which would not"):
        nn.Trainer(model, **({"loss": "squared_error", "optimizer": "sgd"} | PARTS[name]()))


def test_methods_of_parts_by_hand() -> None:
    """What no trainer is given may have them; derived classes without them are taken."""
    theta = np.ones(2)
    derived(nn.SGD, "step")().step(theta, theta)
    assert theta.tolist() == [1, 1]
    model = nn.Sequential([nn.Dense(1)], input_shape=2)
    plain = type("Plain", (nn.L2,), {})(0.1)
    assert nn.Trainer(model, "squared_error", type("Plain", (nn.SGD,), {})(), regularizer=plain).regularizer is plain


def test_schedules_define_at() -> None:
    with pytest.raises(TypeError, match=r"^Own must define at, and not values"):
        derived(nn.schedules.Exponential, "values")
