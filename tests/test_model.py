"""Sequential: shapes, θ and its views, seeds, inspection, copies, and forward passes of any number of rows."""

import copy
import pickle
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import nncore as nn
from nncore import reference

Array = NDArray[Any]

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def make(dtype: str = "float32", seed: int = 0, units: int = 7, inputs: int = 5, **kw: Any) -> nn.Sequential:
    return nn.Sequential([nn.Dense(units), nn.Tanh(), nn.Dense(3)], input_shape=inputs, dtype=dtype, seed=seed, **kw)


# Shapes and θ.


def test_shapes() -> None:
    model = nn.Sequential([nn.Dense(7, bias=False), nn.ReLU(), nn.Dense(3)], input_shape=(2, 4))
    dense, relu, last = model.layers
    assert (model.input_shape, model.output_shape) == ((2, 4), (3,))
    assert (dense.input_shape, dense.output_shape, relu.output_shape) == ((2, 4), (7,), (7,))
    assert dense.weight.shape == (7, 8)
    assert last.weight.shape == (3, 7)
    assert last.bias.shape == (3,)
    assert not hasattr(dense, "bias")
    assert model.parameters.shape == model.gradients.shape == (7 * 8 + 3 * 7 + 3,)
    assert model.state.shape == (0,)


@each_dtype
def test_theta_is_one_vector(dtype: str) -> None:
    model = make(dtype)
    for vector in (model.parameters, model.gradients):
        assert vector.dtype == dtype
        assert vector.ndim == 1
        assert vector.flags.c_contiguous
        assert vector.flags.writeable
        assert vector.ctypes.data % 64 == 0
    for suffix, vector in (("", model.parameters), ("_grad", model.gradients)):
        views = [getattr(layer, name + suffix) for layer in model.layers[::2] for name in ("weight", "bias")]
        vector[...] = np.arange(vector.size)
        assert np.array_equal(np.concatenate([view.ravel() for view in views]), vector)
        views[2][1, 4] = -5
        assert vector[7 * 5 + 7 + 7 + 4] == -5


def test_writing_theta_changes_the_output(rng: np.random.Generator) -> None:
    model, X = make("float64"), rng.standard_normal((4, 5))
    before = model.predict(X)
    model.layers[2].bias[...] += [1.0, 2.0, 3.0]
    assert np.allclose(model.predict(X) - before, [1, 2, 3], rtol=0, atol=1e-15)
    model.parameters[...] = 0
    assert np.array_equal(model.predict(X), np.zeros((4, 3)))
    model.layers[0].weight[...] = 1
    model.layers[2].weight[...] = 2
    assert np.allclose(model.predict(X), 14 * np.tanh(X.sum(axis=1, keepdims=True)) * np.ones(3), rtol=1e-14)


def test_the_gradient_is_a_copy_and_the_views_hold_it(rng: np.random.Generator) -> None:
    model, X, y = make(), rng.standard_normal((4, 5)), rng.standard_normal((4, 3))
    _, first = model.loss_and_gradient(X, y, "squared_error")
    kept = first.copy()
    assert np.array_equal(first, model.gradients)
    assert not np.shares_memory(first, model.gradients)
    assert np.array_equal(model.layers[2].bias_grad, first[-3:])
    model.loss_and_gradient(X, -y, "squared_error")
    assert np.array_equal(first, kept)
    assert not np.array_equal(first, model.gradients)


def test_the_gradient_is_a_descent_direction_of_the_mean_loss(rng: np.random.Generator) -> None:
    """A batch with one row twice has the loss and gradient of a single one: the mean, not the sum."""
    model, X, y = make("float64"), rng.standard_normal((1, 5)), rng.standard_normal((1, 3))
    value, gradient = model.loss_and_gradient(X, y, "squared_error")
    twice, gradient_twice = model.loss_and_gradient(np.repeat(X, 2, axis=0), np.repeat(y, 2, axis=0), "squared_error")
    assert twice == pytest.approx(value, rel=1e-15)
    assert np.allclose(gradient_twice, gradient, rtol=1e-14, atol=1e-16)


@each_dtype
def test_dtype(dtype: str, rng: np.random.Generator) -> None:
    model = make(dtype)
    assert model.dtype == dtype
    for X in (rng.standard_normal((2, 5)), rng.integers(0, 5, (2, 5)), rng.random((2, 5)) < 0.5):
        assert model.predict(X).dtype == dtype
        assert np.array_equal(model.predict(X), model.predict(X.astype(dtype)))
    assert model.loss_and_gradient(np.ones((2, 5)), [0, 1], "softmax_cross_entropy")[1].dtype == dtype
    assert {h.dtype for h in model.activations(np.ones((2, 5))).values()} == {np.dtype(dtype)}


# Seeds and initial values.


@each_dtype
def test_seeds(dtype: str) -> None:
    one, same, other = make(dtype, 1), make(dtype, 1), make(dtype, 2)
    assert np.array_equal(one.parameters, same.parameters)
    assert not np.isin(one.layers[0].weight, other.layers[0].weight).any()
    alike = nn.Sequential([nn.Dense(5), nn.Dense(5)], input_shape=5, dtype=dtype, seed=1)
    assert not np.isin(alike.layers[0].weight, alike.layers[1].weight).any()
    one.parameters[...] = 5
    one.initialize()
    assert np.array_equal(one.parameters, same.parameters)
    one.initialize(2)
    assert np.array_equal(one.parameters, other.parameters)


def test_float32_starts_from_the_rounded_float64() -> None:
    assert np.array_equal(make("float32", 4).parameters, make("float64", 4).parameters.astype(np.float32))


def test_a_layer_keeps_its_weights_when_another_is_appended() -> None:
    longer = nn.Sequential([nn.Dense(7), nn.Tanh(), nn.Dense(3), nn.Dense(2)], input_shape=5, seed=3)
    assert np.array_equal(longer.parameters[: make(seed=3).parameters.size], make(seed=3).parameters)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_constant_init_keeps_units_identical(optimizer: str, rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((40, 3)), rng.standard_normal((40, 2))
    hidden = nn.Dense(5, weight_init=nn.initializers.Constant(0.3), bias_init=nn.initializers.Constant(0.1))
    model = nn.Sequential([hidden, nn.Tanh(), nn.Dense(2, weight_init=nn.initializers.Constant(-0.2))], 3, dtype="float64")
    before = hidden.weight.copy()
    nn.Trainer(model, "squared_error", optimizer).fit(X, y, epochs=5, batch_size=8, verbose=0)
    assert np.array_equal(hidden.weight, np.tile(hidden.weight[0], (5, 1)))
    assert np.array_equal(hidden.bias, np.full(5, hidden.bias[0]))
    assert (hidden.weight != before).all()


def test_zero_init_stops_the_gradient(rng: np.random.Generator) -> None:
    """z = 0 and δW = 0: only the last bias has a gradient, and training moves nothing else."""
    X, y = rng.standard_normal((40, 3)), rng.standard_normal((40, 2))
    layers = [nn.Dense(5, weight_init="zeros"), nn.Tanh(), nn.Dense(4, weight_init="zeros"), nn.ReLU()]
    model = nn.Sequential([*layers, nn.Dense(2, weight_init="zeros")], input_shape=3, dtype="float64")
    _, gradient = model.loss_and_gradient(X, y, "squared_error")
    assert np.array_equal(gradient[:-2], np.zeros(gradient.size - 2))
    assert np.allclose(gradient[-2:], -y.mean(axis=0), rtol=1e-13)
    nn.Trainer(model, "squared_error").fit(X, y, epochs=3, verbose=0)
    assert np.array_equal(model.parameters[:-2], np.zeros(gradient.size - 2))
    assert (model.parameters[-2:] != 0).all()


# Inspection.


def test_every_number_can_be_read(rng: np.random.Generator) -> None:
    """N9: z, h, δ, W and dW of a network with two inputs, three hidden units and one output, by hand."""
    model = nn.Sequential([nn.Dense(3), nn.Sigmoid(), nn.Dense(1)], input_shape=2, dtype="float64", seed=5)
    X, y = rng.standard_normal((4, 2)), rng.standard_normal((4, 1))
    (W1, b1), (W2, b2) = ((layer.weight, layer.bias) for layer in model.layers[::2])
    z1 = X @ W1.T + b1
    h1 = 1 / (1 + np.exp(-z1))
    z2 = h1 @ W2.T + b2
    d2 = (z2 - y) / 4
    dh1 = d2 @ W2
    d1 = dh1 * h1 * (1 - h1)
    names = ["input", "dense_1", "sigmoid_1", "dense_2"]
    activations, deltas = model.activations(X), model.deltas(X, y, "squared_error")
    assert list(activations) == list(deltas) == names
    for got, want in ((activations, [X, z1, h1, z2]), (deltas, [d1 @ W1, d1, dh1, d2])):
        for name, array in zip(names, want, strict=True):
            assert np.allclose(got[name], array, rtol=1e-13, atol=1e-15), name
    assert np.allclose(model.layers[0].weight_grad, d1.T @ X, rtol=1e-13, atol=1e-15)
    assert np.allclose(model.layers[0].bias_grad, d1.sum(axis=0), rtol=1e-13, atol=1e-15)
    assert np.allclose(model.layers[2].weight_grad, d2.T @ h1, rtol=1e-13, atol=1e-15)


def test_activations_and_deltas_are_not_overwritten(rng: np.random.Generator) -> None:
    model, X, y = make(), rng.standard_normal((4, 5)), rng.standard_normal((4, 3))
    first, deltas = model.activations(X), model.deltas(X, y, "squared_error")
    kept = [array.copy() for array in (*first.values(), *deltas.values())]
    model.activations(2 * X)
    model.deltas(2 * X, y, "squared_error")
    for array, before in zip((*first.values(), *deltas.values()), kept, strict=True):
        assert np.array_equal(array, before)
    assert np.array_equal(first["dense_2"], model.predict(X))


def test_names() -> None:
    model = nn.Sequential([nn.Dense(2), nn.LeakyReLU(), nn.Dense(2, name="middle"), nn.LeakyReLU(), nn.Dense(1)], 2)
    assert [layer.name for layer in model.layers] == ["dense_1", "leaky_relu_1", "middle", "leaky_relu_2", "dense_3"]
    assert model["middle"] is model[2] is model.layers[2]
    with pytest.raises(KeyError, match=r"'nowhere'.*middle"):
        model["nowhere"]


def test_summary() -> None:
    text = str(nn.Sequential([nn.Dense(1000), nn.ReLU(), nn.Dense(10)], input_shape=64).summary())
    lines = text.splitlines()
    assert "64" in lines[0]
    assert "float32" in lines[0]
    rows = [line.split() for line in lines]
    assert ["dense_1", "(Dense)", "(1000,)", "65,000"] in rows
    assert ["relu_1", "(ReLU)", "(1000,)", "0"] in rows
    assert ["dense_2", "(Dense)", "(10,)", "10,010"] in rows
    assert ["total", "75,010"] in rows
    assert repr(make().summary()) == str(make().summary())


# Copies.


@each_dtype
def test_copy_is_independent(dtype: str, rng: np.random.Generator) -> None:
    model, X = make(dtype), rng.standard_normal((4, 5))
    model.parameters[...] += 1
    output = model.predict(X)
    other = model.copy()
    assert other.dtype == dtype
    assert np.array_equal(other.predict(X), output)
    other.layers[0].weight[...] = 0
    assert np.array_equal(model.predict(X), output)
    assert not np.array_equal(other.predict(X), output)
    assert not np.shares_memory(other.parameters, model.parameters)
    assert [layer.name for layer in other.layers] == [layer.name for layer in model.layers]
    other.loss_and_gradient(X, np.ones((4, 3)), "squared_error")
    assert not model.gradients.any()


def test_astype(rng: np.random.Generator) -> None:
    model, X = make("float32", seed=9), rng.standard_normal((4, 5)).astype(np.float32)
    double = model.astype("float64")
    assert double.parameters.dtype == np.float64
    assert np.array_equal(double.parameters, model.parameters)
    assert np.allclose(double.predict(X), model.predict(X), rtol=1e-5, atol=1e-6)
    assert np.array_equal(double.astype("float32").parameters, model.parameters)


@pytest.mark.parametrize("name", ["parameters", "state"])
def test_astype_of_numbers_that_are_too_large(name: str) -> None:
    model = nn.Sequential([nn.Dense(2), nn.BatchNorm()], input_shape=2, dtype="float64")
    getattr(model, name)[1] = 1e300
    with pytest.raises(ValueError, match=rf"^dtype must hold all {name} of the model, got float32 for numbers up to 1e\+300"):
        model.astype("float32")
    getattr(model, name)[1] = np.inf  # which float32 has
    assert np.isinf(getattr(model.astype("float32"), name)[1])


# Forward passes.


@each_dtype
@pytest.mark.parametrize("rows", [1, 2, 1023, 1024, 1025, 3000])
def test_rows_do_not_depend_on_each_other(rows: int, dtype: str, rng: np.random.Generator) -> None:
    model, X = make(dtype, units=33, inputs=19), rng.standard_normal((rows, 19)).astype(dtype)
    one_by_one = np.concatenate([model.predict(row[None]) for row in X])
    together = model.predict(X)
    assert together.shape == (rows, 3)
    assert together.tobytes() == one_by_one.tobytes()
    assert model.forward(X, training=True).tobytes() == one_by_one.tobytes()
    assert model.activations(X)["dense_2"].tobytes() == one_by_one.tobytes()


@settings(max_examples=30)
@given(
    rows=st.integers(1, 70), inputs=st.integers(1, 40), units=st.integers(1, 40), dtype=st.sampled_from(["float32", "float64"])
)
def test_any_shape(rows: int, inputs: int, units: int, dtype: str) -> None:
    rng = np.random.default_rng([rows, inputs, units])
    model = nn.Sequential([nn.Dense(units)], input_shape=inputs, dtype=dtype)
    X = rng.standard_normal((rows, inputs)).astype(dtype)
    want = reference.dense_forward(X.astype(float), model.layers[0].weight.astype(float))
    size = np.abs(X).astype(float) @ np.abs(model.layers[0].weight.T.astype(float))
    assert (np.abs(model.predict(X) - want) <= {"float32": 1e-5, "float64": 1e-13}[dtype] * size).all()


def test_training_on_the_output_of_a_forward_pass(rng: np.random.Generator) -> None:
    """The output is the caller's: later passes do not write into it."""
    model, X = make(), rng.standard_normal((4, 5))
    first = model.predict(X)
    kept = first.copy()
    model.predict(-X)
    assert np.array_equal(first, kept)


def layouts(X: Array) -> dict[str, Array]:
    """The same numbers in other memory layouts."""
    n, width = X.shape
    wide, tall = np.full((n, 2 * width + 3), np.nan, X.dtype), np.full((2 * n, width), np.nan, X.dtype)
    wide[:, 3 : 3 + width], tall[::2] = X, X
    every_other = np.full((n, 2 * width), np.nan, X.dtype)
    every_other[:, ::2] = X
    record = np.zeros(n, dtype=[("flag", "i1"), ("x", X.dtype, (width,))])
    record["x"] = X
    shifted = np.frombuffer(b"\0" + X.tobytes(), dtype=X.dtype, offset=1).reshape(X.shape)
    return {
        "part of wider rows": wide[:, 3 : 3 + width], "every other row": tall[::2], "backwards": X[::-1].copy()[::-1],
        "column order": np.asfortranarray(X), "every other column": every_other[:, ::2], "field of a record": record["x"],
        "not aligned": shifted, "other byte order": X.astype(X.dtype.newbyteorder()), "list": X.tolist(),
    }  # fmt: skip


@each_dtype
@pytest.mark.parametrize("layout", layouts(np.zeros((2, 2))))
def test_layouts(layout: str, dtype: str, rng: np.random.Generator) -> None:
    model, X, y = make(dtype), rng.standard_normal((70, 5)).astype(dtype), rng.standard_normal((70, 3))
    other = layouts(X)[layout]
    assert model.predict(other).tobytes() == model.predict(X).tobytes()
    assert model.loss_and_gradient(other, y, "huber")[0] == model.loss_and_gradient(X, y, "huber")[0]
    trained = []
    for data in (X, other):
        copy = model.copy()
        nn.Trainer(copy, "huber").fit(data, y, epochs=2, batch_size=16, verbose=0)
        trained.append(copy.parameters.tobytes())
    assert trained[0] == trained[1]
    assert trained[0] != model.parameters.tobytes()


def test_broadcast_rows(rng: np.random.Generator) -> None:
    model, row = make(), rng.standard_normal(5).astype(np.float32)
    assert np.array_equal(model.predict(np.broadcast_to(row, (9, 5))), np.repeat(model.predict(row[None]), 9, axis=0))


@pytest.mark.parametrize("strided", [False, True])
def test_memory_mapped_data_is_not_copied(strided: bool, tmp_path: Any, rng: np.random.Generator) -> None:
    """6 MB on disk, or every other row of them: nothing near that size is allocated."""
    n, width = 24_000, 64
    stored = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (n, width))
    stored[...] = rng.standard_normal((n, width), dtype=np.float32)
    stored.flush()
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    X = X[::2] if strided else X
    y = np.zeros(len(X), dtype=np.int64)
    model = nn.Sequential([nn.Dense(4), nn.ReLU(), nn.Dense(2)], input_shape=width)
    trainer = nn.Trainer(model, "softmax_cross_entropy")
    trainer.evaluate(X[:600], y[:600])  # compiles
    tracemalloc.start()
    output = model.predict(X)
    trainer.fit(X, y, batch_size=64, verbose=0)
    trainer.evaluate(X, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < X.nbytes / 2
    model.initialize()
    assert np.array_equal(output, model.predict(np.array(X)))


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 2), (12, 1)])
def test_shaped_input(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((20, *shape)), rng.standard_normal((20, 3))
    shaped = nn.Sequential([nn.Dense(3)], input_shape=shape, dtype="float64")
    flat = nn.Sequential([nn.Dense(3)], input_shape=12, dtype="float64")
    assert np.array_equal(shaped.predict(X), flat.predict(X.reshape(20, 12)))
    assert shaped.activations(X)["input"].shape == X.shape
    assert shaped.deltas(X, y, "squared_error")["input"].shape == X.shape
    trainer = nn.Trainer(shaped, "squared_error")
    trainer.fit(X, y, epochs=2, batch_size=8, verbose=0)
    nn.Trainer(flat, "squared_error").fit(X.reshape(20, 12), y, epochs=2, batch_size=8, verbose=0)
    assert np.array_equal(shaped.parameters, flat.parameters)


def test_shaped_output_of_activations(rng: np.random.Generator) -> None:
    X = rng.standard_normal((6, 2, 3))
    model = nn.Sequential([nn.ReLU()], input_shape=(2, 3), dtype="float64")
    assert np.array_equal(model.predict(X), np.maximum(X, 0))


def test_one_input_accepts_a_vector(rng: np.random.Generator) -> None:
    model, x = nn.Sequential([nn.Dense(2)], input_shape=1), rng.standard_normal(6)
    assert np.array_equal(model.predict(x), model.predict(x[:, None]))


def test_many_batch_sizes_in_one_model(rng: np.random.Generator) -> None:
    """More sizes and losses than compiled passes are cached."""
    model, X, y = make("float64"), rng.standard_normal((20, 5)), rng.standard_normal((20, 3))
    for _ in range(2):
        for n in range(1, 20):
            value, _ = model.loss_and_gradient(X[:n], y[:n], "squared_error")
            assert value == pytest.approx(0.5 * ((model.predict(X[:n]) - y[:n]) ** 2).sum(axis=1).mean(), rel=1e-13)


def test_losses_with_other_options_are_not_mixed_up(rng: np.random.Generator) -> None:
    model, X, y = make("float64"), rng.standard_normal((20, 5)), 3 * rng.standard_normal((20, 3))
    e = np.abs(model.predict(X) - y)
    for delta in (0.5, 1.0, 0.5):
        want = np.where(e <= delta, 0.5 * e**2, delta * (e - 0.5 * delta)).mean()
        assert model.loss_and_gradient(X, y, nn.Huber(delta))[0] == pytest.approx(want, rel=1e-13)
    for factor in (1.0, 2.0):
        value, _ = model.loss_and_gradient(X, y, lambda y, d, f=factor: (f * np.abs(y - d).sum(axis=1), f * np.sign(y - d)))
        assert value == pytest.approx(factor * e.sum(axis=1).mean(), rel=1e-13)


def test_initial_weights_are_not_those_of_a_generator_with_the_same_seed() -> None:
    """Data drawn from default_rng(seed) would otherwise equal the weights of the first layer."""
    model = nn.Sequential([nn.Dense(5, weight_init=nn.initializers.Normal(1.0))], input_shape=3, dtype="float64", seed=7)
    assert not np.isin(model.layers[0].weight, np.random.default_rng(7).standard_normal(100)).any()


@pytest.mark.parametrize("name", ["parameters", "gradients", "state"])
def test_assigned_vectors_are_copied_in_place(name: str) -> None:
    """Layers hold views into them and programs their addresses: replacing the array would have no effect on either."""
    model = nn.Sequential([nn.Dense(2), nn.BatchNorm()], input_shape=3, dtype="float64")
    vector = getattr(model, name)
    setattr(model, name, np.arange(vector.size))
    assert getattr(model, name) is vector
    assert np.array_equal(vector, np.arange(vector.size))
    with pytest.raises(ValueError, match=rf"{name} must have shape .*got \(1,\)"):
        setattr(model, name, [1.0])


def test_assigned_arrays_of_layers_are_copied_in_place() -> None:
    model = nn.Sequential([nn.Dense(2), nn.BatchNorm()], input_shape=3, dtype="float64")
    dense, norm = model.layers
    dense.weight = np.ones((2, 3))
    dense.bias += 5
    norm.running_mean = [1.0, 2.0]
    assert np.array_equal(model.parameters[:8], [1, 1, 1, 1, 1, 1, 5, 5])
    assert np.array_equal(model.state[:2], [1.0, 2.0])
    assert np.array_equal(
        model.forward([[1.0, 1.0, 1.0]], training=False)[0], (np.array([8.0, 8.0]) - [1, 2]) / np.sqrt(1 + 1e-5)
    )
    with pytest.raises(ValueError, match=r"dense_1.weight must have shape \(2, 3\), got \(3, 2\)"):
        dense.weight = np.ones((3, 2))


def test_the_dtype_of_a_model_is_fixed() -> None:
    model = nn.Sequential([nn.Dense(2)], input_shape=3)
    with pytest.raises(AttributeError, match="astype"):
        model.dtype = "float64"


def test_deep_copies_are_copies() -> None:
    model = nn.Sequential([nn.Dense(2)], input_shape=3)
    other = copy.deepcopy(model)
    other.parameters[...] = 0
    assert other.parameters.size == model.parameters.size
    assert model.parameters.any()


def test_models_and_trainers_go_through_pickle(rng: np.random.Generator) -> None:
    """As between processes: the copy continues with the same bits."""
    X, y = rng.standard_normal((50, 4)), np.arange(50) % 3
    layers = [nn.BatchNorm(), nn.WeightNorm(nn.Dense(5)), nn.Tanh(), nn.Dropout(0.1), nn.Dense(3)]
    model = nn.Sequential(layers, input_shape=4, seed=1)
    model.input_scaler = nn.data.StandardScaler().fit(X)
    optimizer = nn.EMA(nn.Adam(lr=nn.schedules.Cosine(1e-3, 100)))
    trainer = nn.Trainer(model, "softmax_cross_entropy", optimizer, regularizer=nn.L2(1e-3), clip=nn.ClipNorm(1.0))
    trainer.fit(X, y, epochs=3, verbose=0)
    again = pickle.loads(pickle.dumps(trainer))
    assert np.array_equal(again.model.predict(X), model.predict(X))
    assert np.array_equal(pickle.loads(pickle.dumps(model)).state, model.state)
    for each in (trainer, again):
        each.fit(X, y, epochs=3, verbose=0)
    assert again.model.parameters.tobytes() == model.parameters.tobytes()
    assert again.history == trainer.history


# ---- copies of models whose parts refer to each other


class Gate(nn.Layer):
    """Multiplies by the sum of another layer's weights, which it does not train."""

    def __init__(self, other: nn.Layer, name: str | None = None) -> None:
        super().__init__(name=name)
        self.other = other

    def forward(self, x: Array, training: bool) -> Array:
        return x * self.other.weight.sum()

    def backward(self, dy: Array) -> Array:
        return dy * self.other.weight.sum()


class Knowing(nn.Sequential):
    """Refers to itself, its layers, its arrays and its trainer."""

    def __init__(self) -> None:
        first = nn.Dense(4)
        super().__init__([first, nn.Tanh(), Gate(first), nn.Dense(1)], input_shape=3, dtype="float64", seed=1)
        self.head, self.by_name = self.layers[-1], {layer.name: layer for layer in self.layers}
        self.me, self.theta, self.bias = [self], self.parameters, self.layers[0].bias
        self.layers[2].net = self
        self.trainer = nn.Trainer(self, "squared_error", nn.SGD(lr=0.01))


COPIES: dict[str, Any] = {
    "copy": lambda model: model.copy(), "deepcopy": copy.deepcopy, "astype": lambda model: model.astype("float64"),
    "pickle": lambda model: pickle.loads(pickle.dumps(model)), "of a trainer": lambda model: model.trainer._copy().model,
    "of a trainer, deepcopy": lambda model: copy.deepcopy(model.trainer).model,
    "of a trainer, pickle": lambda model: pickle.loads(pickle.dumps(model.trainer)).model,
    "of a copy": lambda model: model.copy().copy(), "in a list": lambda model: copy.deepcopy([model.head, model])[1],
    "to float32 and back": lambda model: model.astype("float32").astype("float64"),
}  # fmt: skip


@pytest.mark.parametrize("name", COPIES)
def test_what_refers_to_parts_of_a_model_refers_to_those_of_its_copy(name: str, rng: np.random.Generator) -> None:
    model, X = Knowing(), rng.standard_normal((5, 3))
    if name == "to float32 and back":
        model.parameters = model.parameters.astype("float32")
    trained = model.trainer
    other = COPIES[name](model)
    assert np.array_equal(other.predict(X), model.predict(X))
    model.parameters *= 2
    assert not np.array_equal(other.predict(X), model.predict(X))
    other.parameters *= 2
    assert np.array_equal(other.predict(X), model.predict(X))
    assert other.layers[2].other is other.layers[0]
    assert other.head is other.layers[-1]
    assert list(other.by_name.values()) == list(other.layers)
    assert other.me[0] is other.layers[2].net is other
    assert not set(map(id, other.layers)) & set(map(id, model.layers))
    if "pickle" not in name:  # there arrays are passed by value
        assert other.theta is other.parameters
        assert np.shares_memory(other.bias, other.parameters)
    assert other.trainer is not trained
    assert other.trainer.model is other
    for each in (model, other):
        each.trainer.fit(X, X.sum(axis=1), epochs=2, verbose=0)
    assert np.array_equal(other.parameters, model.parameters)


def test_a_deep_copy_keeps_what_is_shared_with_its_model() -> None:
    model = nn.Sequential([nn.WeightNorm(nn.Dense(2)), nn.Dense(2)], input_shape=3)
    trainer = nn.Trainer(model, "squared_error")
    layer, other, twin, again = copy.deepcopy((model[1], model, trainer, model[0]))
    assert twin.model is other
    assert layer is other[1]
    assert again is other[0]
    assert again.layer is not model[0].layer
    assert np.shares_memory(layer.weight, other.parameters)


def test_bfgs_minimizes_the_function_of_the_model(rng: np.random.Generator) -> None:
    """Which is that of a copy, whose layers refer to each other too."""
    X = rng.standard_normal((40, 3))
    first = nn.Dense(4)
    model = nn.Sequential([first, nn.Tanh(), Gate(first), nn.Dense(1)], input_shape=3, dtype="float64", seed=1)
    trainer = nn.Trainer(model, "squared_error", "bfgs")
    trainer.fit(X, X.sum(axis=1), epochs=5, verbose=0)
    assert trainer.history["loss"][-1] == pytest.approx(trainer.evaluate(X, X.sum(axis=1))["loss"], rel=1e-12)


def test_a_folded_model_refers_to_its_own_layers(rng: np.random.Generator) -> None:
    class Headed(nn.Sequential):
        def __init__(self) -> None:
            first = nn.Dense(4)
            super().__init__([first, nn.BatchNorm(), Gate(first), nn.Dense(1)], input_shape=3, dtype="float64", seed=1)
            self.head, self.me = self.layers[-1], [self]

    folded, _ = Headed().fold_batch_norm()
    assert len(folded.layers) == 3
    assert folded.layers[1].other is folded.layers[0]
    assert folded.head is folded.layers[-1]
    assert folded.me[0] is folded


class Logging(nn.Sequential):
    """Has something that cannot be copied, and leaves it out."""

    def __init__(self) -> None:
        super().__init__([nn.Dense(4), nn.BatchNorm(), nn.Dense(1)], input_shape=3, seed=1)
        self.head, self.log = self.layers[-1], (line for line in ())

    def __getstate__(self) -> dict[str, Any]:
        kept = vars(self).pop("log")
        try:
            return super().__getstate__() | {"log": None}
        finally:
            vars(self)["log"] = kept


@pytest.mark.parametrize("name", ["copy", "deepcopy", "astype", "pickle", "fold"])
def test_a_subclass_may_define_its_state(name: str) -> None:
    model = Logging()
    other = model.fold_batch_norm()[0] if name == "fold" else COPIES[name](model)
    assert other.log is None
    assert other.head is other.layers[-1]
    assert np.shares_memory(other.head.weight, other.parameters)
