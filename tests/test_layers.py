"""Layers, activations and losses inside a model: gradients by central differences, values against the NumPy twins."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.configuration import arguments
from helpers.layers import CASES, MAKE, NEIGHBORS, TARGETS, classes, each_activation, followed, input_shape, loss_model
from numpy.typing import NDArray

import nncore as nn
from nncore import reference
from nncore.layers import LAYERS
from nncore.losses import LOSSES, PythonLoss
from nncore.program.recording import ModelTape

Array = NDArray[Any]

GRADIENT = 1e-6  # relative, in float64
RTOL = {"float32": 1e-5, "float64": 1e-13}
ROWS = 9

each_dtype = pytest.mark.parametrize("dtype", RTOL)


def upstream(y: Array, r: Array) -> tuple[Array, Array]:
    """Σ_j r_j y_j per example: its gradient r is the δ that arrives at the last layer."""
    return (r * y).sum(axis=1), r


def assert_close(got: Array, want: Array, dtype: str) -> None:
    """Relative to the array's largest number: sums of terms of that size are what is rounded."""
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= RTOL[dtype] * np.abs(want).max()


def assert_gradients(model: nn.Sequential, X: Array, y: Array, loss: Any) -> None:
    errors = model.check_gradients(X, y, loss)
    arrays = {f"{layer.name}.{name}" for layer in model.layers for name in layer.parameters}
    assert set(errors) == arrays | {"input"}
    assert max(errors.values()) <= GRADIENT, errors


# Gradients by central differences.


@each_activation
@pytest.mark.parametrize("place", NEIGHBORS)
def test_gradients_with_a_random_upstream(activation: str, place: str, rng: np.random.Generator) -> None:
    model = nn.Sequential(NEIGHBORS[place](MAKE[activation]), input_shape=4, dtype="float64", seed=3)
    model.parameters[...] = rng.normal(0, 0.7, model.parameters.size)
    r = rng.standard_normal((ROWS, *model.output_shape))
    assert_gradients(model, rng.standard_normal((ROWS, 4)), r, PythonLoss(upstream))


def test_every_loss_has_a_case() -> None:
    assert set(TARGETS) == set(LOSSES)


@pytest.mark.parametrize(("loss", "kind"), CASES)
def test_loss_gradients(loss: str, kind: str, rng: np.random.Generator) -> None:
    y = TARGETS[loss][1][kind](rng, ROWS, 4)
    assert_gradients(loss_model(loss), rng.standard_normal((ROWS, 3)), y, loss)


@pytest.mark.parametrize("kind", ["labels", "±1", "0/1", "soft"])
@pytest.mark.parametrize("loss", ["sigmoid_cross_entropy", "binary_cross_entropy", "hinge"])
def test_loss_gradients_of_one_output(loss: str, kind: str, rng: np.random.Generator) -> None:
    if kind == "soft" and loss == "hinge":
        kind = "±1"
    y = TARGETS[loss][1][kind](rng, ROWS, 1)
    assert_gradients(loss_model(loss, 1), rng.standard_normal((ROWS, 3)), y, loss)


@each_activation
@pytest.mark.parametrize("loss", ["squared_error", "softmax_cross_entropy", "sigmoid_cross_entropy"])
def test_each_activation_under_each_kind_of_loss(activation: str, loss: str, rng: np.random.Generator) -> None:
    model = nn.Sequential([nn.Dense(6), MAKE[activation](), nn.Dense(3)], input_shape=4, dtype="float64", seed=5)
    model.parameters[...] = rng.normal(0, 0.7, model.parameters.size)
    assert_gradients(model, rng.standard_normal((ROWS, 4)), classes(rng, ROWS, 3), loss)


@pytest.mark.parametrize("delta", [0.3, 2.0])
def test_huber_with_delta(delta: float, rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((ROWS, 3)), rng.standard_normal((ROWS, 4))
    model = loss_model("huber")
    assert_gradients(model, X, y, nn.Huber(delta))
    value, _ = model.loss_and_gradient(X, y, nn.Huber(delta))
    assert value == pytest.approx(reference.huber(model.predict(X), y, delta=delta)[0].mean(), rel=1e-14)


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "batch_renorm"])  # its r and d are constants
def test_gradients_of_every_layer(name: str, rng: np.random.Generator) -> None:
    """By central differences, in training mode: noise with the draws of one step."""
    shape = input_shape(LAYERS[name])
    layers = [nn.Dense(4), nn.Tanh()] if len(shape) == 1 and not LAYERS[name].reads_sparse else []
    layers += [*followed(LAYERS[name](**arguments(LAYERS[name]))), nn.Tanh(), nn.Dense(3)]
    model = nn.Sequential(layers, input_shape=shape, dtype="float64", seed=7)
    model.parameters[...] = rng.normal(0.1, 0.7, model.parameters.size)
    assert_gradients(model, rng.standard_normal((ROWS, *shape)), rng.standard_normal((ROWS, 3)), "squared_error")


def test_check_gradients_finds_a_wrong_one(rng: np.random.Generator) -> None:
    def wrong(y: Array, d: Array) -> tuple[Array, Array]:
        return (d * y).sum(axis=1), 1.01 * d

    model = nn.Sequential([nn.Dense(3)], input_shape=2, dtype="float64")
    errors = model.check_gradients(rng.standard_normal((5, 2)), rng.standard_normal((5, 3)), wrong)
    # ‖g − 1.01 g‖ / (‖g‖ + 1.01 ‖g‖)
    assert errors == pytest.approx(dict.fromkeys(errors, 0.01 / 2.01), rel=1e-4)
    assert len(errors) == 3


def test_check_gradients_does_not_change_the_model(rng: np.random.Generator) -> None:
    model = loss_model("squared_error", dtype="float32")
    X, y = rng.standard_normal((ROWS, 3)), rng.standard_normal((ROWS, 4))
    before, copy = model.parameters.copy(), X.copy()
    assert max(model.check_gradients(X, y, "squared_error").values()) <= GRADIENT
    assert np.array_equal(model.parameters, before)
    assert np.array_equal(X, copy)
    assert model.dtype == np.float32


# Targets in different forms are the same targets.


@pytest.mark.parametrize("loss", LOSSES)
def test_labels_are_one_hot_rows(loss: str, rng: np.random.Generator) -> None:
    X, labels = rng.standard_normal((ROWS, 3)), classes(rng, ROWS, 4)
    model = loss_model(loss)
    value, gradient = model.loss_and_gradient(X, labels, loss)
    rows = np.eye(4)[labels]
    for same in (rows, rows.astype(bool), rows.astype(int), rows.astype(np.float32)):
        value_rows, gradient_rows = model.loss_and_gradient(X, same, loss)
        assert value_rows == pytest.approx(value, rel=1e-14)
        assert np.allclose(gradient_rows, gradient, rtol=1e-13, atol=1e-15)
    for same in (labels.astype(np.int8), labels.astype(np.uint16), labels.astype(np.float64), labels.tolist()):
        value_labels, gradient_labels = model.loss_and_gradient(X, same, loss)
        assert value_labels == value
        assert np.array_equal(gradient_labels, gradient)


@pytest.mark.parametrize("loss", ["hinge", "sigmoid_cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("width", [1, 4])
def test_plus_minus_one_is_zero_one(loss: str, width: int, rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((ROWS, 3)), rng.choice([0, 1], (ROWS, width))
    y[0], y[1] = 0, 1
    model = loss_model(loss, width)
    value, gradient = model.loss_and_gradient(X, y, loss)
    value_signs, gradient_signs = model.loss_and_gradient(X, 2 * y - 1, loss)
    assert value_signs == value
    assert np.array_equal(gradient_signs, gradient)
    assert value != model.loss_and_gradient(X, 1 - y, loss)[0]


def test_one_output_accepts_vectors_and_columns(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((ROWS, 3)), rng.standard_normal(ROWS)
    model = nn.Sequential([nn.Dense(1)], input_shape=3, dtype="float64")
    assert model.loss_and_gradient(X, y, "squared_error")[0] == model.loss_and_gradient(X, y[:, None], "squared_error")[0]


def test_logistic_regression(rng: np.random.Generator) -> None:
    """N3: log(1 + e^{−y z}) for y = ±1, and its gradient −Σ y x σ(−y z) / n."""
    X, y = rng.standard_normal((ROWS, 3)), np.where(np.arange(ROWS) % 3, 1.0, -1.0)
    model = nn.Sequential([nn.Dense(1, bias=False)], input_shape=3, dtype="float64", seed=1)
    z = X @ model.parameters
    value, gradient = model.loss_and_gradient(X, y, "sigmoid_cross_entropy")
    assert value == pytest.approx(np.log1p(np.exp(-y * z)).mean(), rel=1e-14)
    want = -(y / (1 + np.exp(y * z))) @ X / ROWS
    assert np.allclose(gradient, want, rtol=1e-13, atol=1e-16)


def test_softmax_regression(rng: np.random.Generator) -> None:
    """N4: the gradient of the weights is −Σ_i x_i ([y_i = j] − P_j) / n."""
    X, labels = rng.standard_normal((ROWS, 3)), classes(rng, ROWS, 4)
    model = nn.Sequential([nn.Dense(4)], input_shape=3, dtype="float64", seed=1)
    e = np.exp(X @ model.layers[0].weight.T + model.layers[0].bias)
    P = e / e.sum(axis=1, keepdims=True)
    model.loss_and_gradient(X, labels, "softmax_cross_entropy")
    want = -(np.eye(4)[labels] - P).T @ X / ROWS
    assert np.allclose(model.layers[0].weight_grad, want, rtol=1e-13, atol=1e-16)


# Values against the NumPy twins, from the numbers of the model.


def twin_pass(model: nn.Sequential, kernel: str, constants: dict[str, float], X: Array, y: Array, loss: str) -> list[Array]:
    """Dense, activation, dense and the loss in NumPy and float64: output, mean loss, and the six gradients."""
    first, _, last = model.layers
    W1, b1, W2, b2 = (np.asarray(a, dtype=np.float64) for a in (first.weight, first.bias, last.weight, last.bias))
    x = X.astype(model.dtype).astype(np.float64)
    z = reference.dense_forward(x, W1, b1)
    h = getattr(reference, f"{kernel}_forward")(z, **constants)
    out = reference.dense_forward(h, W2, b2)
    values, dy = getattr(reference, loss)(out, y)
    dh = reference.dense_backward_input(dy, W2)
    dz = getattr(reference, f"{kernel}_backward")(dh, z, h, **constants)
    gradients = [reference.dense_backward_weight(dz, x), reference.dense_backward_bias(dz)]
    gradients += [reference.dense_backward_weight(dy, h), reference.dense_backward_bias(dy)]
    return [out, np.array([values.mean()]), *gradients, reference.dense_backward_input(dz, W1)]


@each_dtype
@each_activation
def test_against_the_twins(activation: str, dtype: str, rng: np.random.Generator) -> None:
    constants = {"leaky_relu_0.3": {"negative_slope": 0.3}, "elu_0.7": {"alpha": 0.7}}.get(activation, {})
    kernel = activation.rstrip("_.0123456789")
    model = nn.Sequential([nn.Dense(17), MAKE[activation](), nn.Dense(5)], input_shape=11, dtype=dtype, seed=4)
    model.parameters[...] = rng.normal(0, 0.4, model.parameters.size)
    X, labels = rng.standard_normal((33, 11)).astype(dtype), classes(rng, 33, 5)
    want = twin_pass(model, kernel, constants, X, labels, "softmax_cross_entropy_labels")
    value, gradient = model.loss_and_gradient(X, labels, "softmax_cross_entropy")
    deltas = model.deltas(X, labels, "softmax_cross_entropy")
    assert_close(model.predict(X), want[0], dtype)
    assert_close(np.array([value]), want[1], dtype)
    first, _, last = model.layers
    got = [first.weight_grad, first.bias_grad, last.weight_grad, last.bias_grad, deltas["input"]]
    for array, twin in zip(got, want[2:], strict=True):
        assert_close(array, twin, dtype)
    assert np.array_equal(gradient, np.concatenate([array.ravel() for array in got[:4]]))


@each_dtype
@pytest.mark.parametrize(("loss", "kind"), [case for case in CASES if case[1] not in ("labels", "±1")])
def test_losses_against_the_twins(loss: str, kind: str, dtype: str, rng: np.random.Generator) -> None:
    model = loss_model(loss, dtype=dtype)
    X = rng.standard_normal((33, 3)).astype(dtype)
    d = np.asarray(TARGETS[loss][1][kind](rng, 33, 4), dtype=dtype)
    output = model.predict(X).astype(np.float64)
    rows = 2.0 * d - 1 if loss == "hinge" else d.astype(np.float64)
    values, dy = getattr(reference, loss)(output, rows)
    value, _ = model.loss_and_gradient(X, d, loss)
    assert value == pytest.approx(values.mean(), rel=RTOL[dtype])
    assert_close(list(model.deltas(X, d, loss).values())[-1], dy, dtype)


# Layers and losses written in Python.


class Square(nn.Layer):
    def forward(self, x: Array, training: bool) -> Array:
        self.x = x.copy()
        return x**2

    def backward(self, dy: Array) -> Array:
        return 2 * self.x * dy


class Bilinear(nn.Layer):
    """y_k = Σ_j A_kj x_j + (c · x)², with another output shape, two parameters and an option."""

    def __init__(self, units: int, power: float = 1.0, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.units, self.power = units, power

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        self.add_parameter("A", (self.units, *input_shape), "lecun_normal", regularized=True)
        self.add_parameter("c", input_shape, nn.initializers.Normal(0.5))
        return (self.units,)

    def forward(self, x: Array, training: bool) -> Array:
        self.x, self.s = x.copy(), x @ self.c
        return x @ self.A.T + self.power * self.s[:, None] ** 2

    def backward(self, dy: Array) -> Array:
        ds = 2 * self.power * self.s * dy.sum(axis=1)
        self.A_grad[...] = dy.T @ self.x
        self.c_grad[...] = ds @ self.x
        return dy @ self.A + np.outer(ds, self.c)

    def config(self) -> dict[str, Any]:
        return {"units": self.units, "power": self.power, "name": self.name}


@pytest.mark.parametrize("position", range(3))
def test_python_layer_without_parameters(position: int, rng: np.random.Generator) -> None:
    layers: list[nn.Layer] = [nn.Dense(5), nn.Dense(3)]
    layers.insert(position, Square())
    model = nn.Sequential(layers, input_shape=4, dtype="float64", seed=2)
    X, r = rng.standard_normal((ROWS, 4)), rng.standard_normal((ROWS, 3))
    assert_gradients(model, X, r, PythonLoss(upstream))
    before, after = (*model.activations(X).values(),)[position : position + 2]
    assert np.array_equal(after, before**2)


@pytest.mark.parametrize("position", range(3))
def test_python_layer_with_parameters(position: int, rng: np.random.Generator) -> None:
    layers: list[nn.Layer] = [nn.Dense(5), nn.Tanh()]
    layers.insert(position, Bilinear(6, 0.5))
    model = nn.Sequential(layers, input_shape=4, dtype="float64", seed=2)
    X, r = rng.standard_normal((ROWS, 4)), rng.standard_normal((ROWS, *model.output_shape))
    assert_gradients(model, X, r, PythonLoss(upstream))
    layer = model["bilinear_1"]
    assert np.shares_memory(layer.A, model.parameters)
    assert np.shares_memory(layer.A_grad, model.gradients)


def test_python_layer_sees_training_and_shapes(rng: np.random.Generator) -> None:
    seen = []

    class Look(nn.Layer):
        def forward(self, x: Array, training: bool) -> Array:
            seen.append((x.shape, training))
            return x.reshape(len(x), 6)

        def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
            return (6,)

        def backward(self, dy: Array) -> Array:
            seen.append(dy.shape)
            return dy.reshape(len(dy), 2, 3)

    model = nn.Sequential([Look(), nn.Dense(1)], input_shape=(2, 3))
    X = rng.standard_normal((5, 2, 3))
    model.forward(X)
    model.forward(X, training=True)
    model.loss_and_gradient(X, np.ones(5), "squared_error")
    assert seen == [((5, 2, 3), False), ((5, 2, 3), True), ((5, 2, 3), True), (5, 6)]


class PythonDense(nn.Layer):
    """Dense, reimplemented in Python."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        self.add_parameter("weight", (self.units, *input_shape), "he_normal", regularized=True)
        self.add_parameter("bias", (self.units,), "zeros")
        return (self.units,)

    def forward(self, x: Array, training: bool) -> Array:
        self.x = x.copy()
        return x @ self.weight.T + self.bias

    def backward(self, dy: Array) -> Array:
        self.weight_grad[...] = dy.T @ self.x
        self.bias_grad[...] = dy.sum(axis=0)
        return dy @ self.weight


@pytest.mark.parametrize("clip", [None, nn.ClipValue(0.01), nn.ClipNorm(0.05), nn.ClipGlobalNorm(0.05)])
def test_python_dense_trains_like_the_compiled_one(clip: Any, rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((50, 4)), rng.standard_normal((50, 2))
    trained = []
    for dense in (nn.Dense, PythonDense):
        model = nn.Sequential([dense(7), nn.Tanh(), dense(2)], input_shape=4, dtype="float64", seed=6)
        trainer = nn.Trainer(model, "squared_error", nn.Adam(lr=0.01), regularizer=nn.ElasticNet(1e-3, 1e-2), clip=clip)
        trainer.fit(X, y, epochs=5, batch_size=16, verbose=0)
        trained.append((model.parameters.copy(), trainer.history["running_loss"], trainer.history["running_penalty"]))
    for compiled, python in zip(*trained, strict=True):
        assert np.allclose(compiled, python, rtol=1e-10, atol=1e-12)
    assert not np.allclose(trained[0][0], nn.Sequential([nn.Dense(7), nn.Dense(2)], 4, dtype="float64", seed=6).parameters)


def test_python_loss_trains_like_the_compiled_one(rng: np.random.Generator) -> None:
    def half_square(y: Array, d: Array) -> tuple[Array, Array]:
        return 0.5 * ((y - d) ** 2).sum(axis=1), y - d

    X, labels = rng.standard_normal((50, 4)), classes(rng, 50, 3)
    histories = []
    for loss in ("squared_error", half_square):
        model = nn.Sequential([nn.Dense(3)], input_shape=4, dtype="float64", seed=6)
        trainer = nn.Trainer(model, loss, nn.SGD(lr=0.1), metrics=["accuracy"])
        trainer.fit(X, labels, epochs=3, batch_size=16, verbose=0, exact_loss=True)
        histories.append([trainer.history[column] for column in trainer.history] + [model.parameters.copy()])
    for compiled, python in zip(*histories, strict=True):
        assert np.allclose(compiled, python, rtol=1e-12, atol=0)


def test_a_dense_layer_after_a_shape(rng: np.random.Generator) -> None:
    """A dense layer reads the numbers of an example of any shape in C order."""
    X = rng.standard_normal((ROWS, 2, 3))
    shaped = nn.Sequential([nn.Tanh(), nn.Dense(4)], input_shape=(2, 3), dtype="float64", seed=1)
    flat = nn.Sequential([nn.Tanh(), nn.Dense(4)], input_shape=6, dtype="float64", seed=1)
    assert np.array_equal(shaped.predict(X), flat.predict(X.reshape(ROWS, 6)))


# PyTorch.


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "mean_squared_error"])
def test_against_torch(loss: str, rng: np.random.Generator, torch: Any) -> None:
    X, labels = rng.standard_normal((ROWS, 6)), classes(rng, ROWS, 3)
    model = nn.Sequential([nn.Dense(8), nn.GELU(), nn.Dense(5), nn.SiLU(), nn.Dense(3)], 6, dtype="float64", seed=7)
    model.parameters[...] = rng.normal(0, 0.5, model.parameters.size)
    value, gradient = model.loss_and_gradient(X, labels, loss)

    tensors = [torch.tensor(a, requires_grad=True) for layer in model.layers[::2] for a in (layer.weight, layer.bias)]
    h, (W1, b1, W2, b2, W3, b3) = torch.tensor(X), tensors
    functional = torch.nn.functional
    h = functional.gelu(functional.linear(h, W1, b1))
    h = functional.linear(functional.silu(functional.linear(h, W2, b2)), W3, b3)
    if loss == "softmax_cross_entropy":
        torch_loss = functional.cross_entropy(h, torch.tensor(labels))
    else:
        torch_loss = functional.mse_loss(h, torch.tensor(np.eye(3)[labels]))
    torch_loss.backward()
    assert_close(model.predict(X), h.detach().numpy(), "float64")
    assert value == pytest.approx(torch_loss.item(), rel=1e-13)
    assert_close(gradient, np.concatenate([t.grad.numpy().ravel() for t in tensors]), "float64")


WITH_PRODUCTS: dict[str, Callable[[int], nn.Layer]] = {
    "dense": nn.Dense,
    "drop_connect": nn.DropConnect,
    "additive_whiteout": lambda units: nn.AdditiveWhiteout(units, 0.1),
    "weight_norm": lambda units: nn.WeightNorm(nn.Dense(units)),
    "simple_rnn": lambda units: nn.SimpleRNN(units, return_sequences=True),
    "gru": lambda units: nn.GRU(units, return_sequences=True),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", WITH_PRODUCTS)
def test_spreading_rows_with_conflicting_stride_changes_no_bit(
    layer: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Widths with a row stride of 4096 bytes: the same bits whether the products read copies or not."""
    rng, width = np.random.default_rng(0), 4096 // np.dtype(dtype).itemsize
    shape = (3, width) if layer in ("simple_rnn", "gru") else (width,)
    X, y = rng.normal(size=(9, *shape)).astype(dtype), rng.integers(0, 5, 9)
    copies: set[str] = set()

    def outcome() -> tuple[float, bytes]:
        layers = [WITH_PRODUCTS[layer](512), nn.Tanh(), WITH_PRODUCTS[layer](width), nn.Dense(5)]
        model = nn.Sequential(layers, input_shape=shape, dtype=dtype)
        value, gradient = model.loss_and_gradient(X, y, "softmax_cross_entropy")
        tape = ModelTape.gradient(model, 9, fused=False).tape
        copies.update(op.layer for op in (*tape.forward, *tape.backward) if op.kernel == "spread_rows")
        return value, gradient.tobytes()

    spread = outcome()
    assert len(copies) == 2, "both of these layers have crowded rows"
    copies.clear()
    monkeypatch.setattr("nncore.layers.products.SPREAD_FROM", 1 << 60)
    assert outcome() == spread
    assert not copies
