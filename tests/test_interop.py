"""Weights of PyTorch and Keras: files as these libraries write them, outputs by formulas, and by the libraries themselves."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

import nncore as nn

h5py = pytest.importorskip("h5py")

Array = NDArray[Any]
Arrays = Mapping[str, Array]
EPS = 1e-3


# ---- formulas, by the names and shapes of each library


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def normalized(x: Array, mean: Array, variance: Array, gamma: Array, beta: Array) -> Array:
    return gamma * (x - mean) / np.sqrt(variance + EPS) + beta


def by_row(x: Array, gamma: Array, beta: Array) -> Array:
    return normalized(x, x.mean(1, keepdims=True), x.var(1, keepdims=True), gamma, beta)


def torch_gru(x: Array, weight_ih: Array, weight_hh: Array, bias_ih: Array, bias_hh: Array) -> Array:
    """All h_t, from the formulas in PyTorch's documentation; gates r, z, n."""
    h, states = np.zeros((len(x), weight_hh.shape[1])), []
    for x_t in x.swapaxes(0, 1):
        i_r, i_z, i_n = np.split(x_t @ weight_ih.T + bias_ih, 3, axis=1)
        h_r, h_z, h_n = np.split(h @ weight_hh.T + bias_hh, 3, axis=1)
        r, z = sigmoid(i_r + h_r), sigmoid(i_z + h_z)
        h = (1 - z) * np.tanh(i_n + r * h_n) + z * h
        states.append(h)
    return np.stack(states, 1)


def keras_gru(x: Array, kernel: Array, recurrent_kernel: Array, bias: Array) -> Array:
    """All h_t, as in Keras's GRUCell with reset_after; gates z, r, h."""
    h, states = np.zeros((len(x), len(recurrent_kernel))), []
    for x_t in x.swapaxes(0, 1):
        x_z, x_r, x_h = np.split(x_t @ kernel + bias[0], 3, axis=1)
        u_z, u_r, u_h = np.split(h @ recurrent_kernel + bias[1], 3, axis=1)
        z, r = sigmoid(x_z + u_z), sigmoid(x_r + u_r)
        h = z * h + (1 - z) * np.tanh(x_h + r * u_h)
        states.append(h)
    return np.stack(states, 1)


def keras_gru_reset_before(x: Array, kernel: Array, recurrent_kernel: Array, bias: Array) -> Array:
    """All h_t, as in Keras's GRUCell with reset_after=False; gates z, r, h."""
    h, states, units = np.zeros((len(x), len(recurrent_kernel))), [], len(recurrent_kernel)
    for x_t in x.swapaxes(0, 1):
        x_z, x_r, x_h = np.split(x_t @ kernel + bias, 3, axis=1)
        U_z, U_r, U_h = np.split(recurrent_kernel, 3, axis=1)
        z, r = sigmoid(x_z + h @ U_z), sigmoid(x_r + h @ U_r)
        h = z * h + (1 - z) * np.tanh(x_h + (r * h) @ U_h)
        states.append(h)
    assert h.shape[1] == units
    return np.stack(states, 1)


def elman_states(x: Array, W: Array, U: Array, b: Array) -> Array:
    """All h_t for matrices by inputs."""
    h, states = np.zeros((len(x), len(U))), []
    for x_t in x.swapaxes(0, 1):
        h = np.tanh(x_t @ W + h @ U + b)
        states.append(h)
    return np.stack(states, 1)


def elman(x: Array, W: Array, U: Array, b: Array) -> Array:
    """h_T."""
    return elman_states(x, W, U, b)[:, -1]


def both_ways(
    states: Callable[..., Array], x: Array, forward: Sequence[Array], backward: Sequence[Array]
) -> tuple[Array, Array]:
    """All h_t of a layer, and of one that goes from the last step to the first."""
    return states(x, *forward), states(x[:, ::-1], *backward)[:, ::-1]


# ---- files as the libraries write them


def safetensors_file(kind: str, shape: tuple[int, ...], data: bytes) -> bytes:
    """A file with the array ``weight``."""
    header = json.dumps({"weight": {"dtype": kind, "shape": shape, "data_offsets": [0, len(data)]}}).encode()
    return len(header).to_bytes(8, "little") + header + data


def drawn(rng: np.random.Generator, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Arrays of these shapes; variances, like all others, are positive."""
    return {name: np.asarray(rng.uniform(0.1, 0.9, shape)) for name, shape in shapes.items()}


def bfloat16(numbers: Any) -> Array:
    """The upper halves of float32 numbers."""
    return (np.array(numbers, np.float32).view(np.uint32) >> 16).astype("<u2")


def keras_file(layers: Mapping[str, list[Array]]) -> bytes:
    """A ``.weights.h5`` file: variables by the place of a layer, and of the optimizer and of random generators too."""
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        file.create_group("vars").attrs["name"] = "sequential"
        file["optimizer/vars/0"] = np.zeros(99)
        for name, variables in layers.items():
            file.create_group(f"layers/{name}/vars", track_order=False).attrs["name"] = f"{name}_of_a_session"
            cell = "cell/" * name.startswith(("gru", "simple_rnn"))
            if name.startswith("bidirectional") and len(variables) == 6:  # of both cells
                for number, variable in enumerate(variables):
                    file[f"layers/{name}/{'forward' if number < 3 else 'backward'}_layer/cell/vars/{number % 3}"] = variable
                continue
            for number, variable in enumerate(variables):
                file[f"layers/{name}/{cell}vars/{number}"] = variable
        file["layers/dropout/seed_generator/vars/0"] = np.zeros(2, np.uint32)
    return data.getvalue()


def archive(config: Any, weights: bytes) -> bytes:
    """A ``.keras`` archive."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("metadata.json", "{}")
        file.writestr("config.json", json.dumps(config))
        file.writestr("model.weights.h5", weights)
    return data.getvalue()


def assert_refused(model: nn.Sequential, source: Any, match: str, error: type[Exception] = ValueError) -> None:
    """Loading raises, and the model is as it was."""
    before = model.parameters.tobytes(), model.state.tobytes()
    with pytest.raises(error, match=match):
        nn.load(source, into=model)
    assert (model.parameters.tobytes(), model.state.tobytes()) == before


# ---- PyTorch

TORCH_MLP = {
    "0.weight": (4, 3), "0.bias": (4,),
    "1.weight": (4,), "1.bias": (4,), "1.running_mean": (4,), "1.running_var": (4,), "1.num_batches_tracked": (),
    "3.weight": (4, 4), "3.bias": (4,),
    "4.weight": (4,), "4.bias": (4,),
    "5.parametrizations.weight.original0": (2, 1), "5.parametrizations.weight.original1": (2, 4), "5.bias": (2,),
}  # fmt: skip


def mlp(dtype: str = "float64") -> nn.Sequential:
    layers = [
        nn.Dense(4), nn.BatchNorm(eps=EPS), nn.Tanh(), nn.Dense(4), nn.LayerNorm(eps=EPS), nn.WeightNorm(nn.Dense(2)),
    ]  # fmt: skip
    return nn.Sequential(layers, input_shape=3, dtype=dtype, seed=3)


def torch_mlp(x: Array, a: Arrays) -> Array:
    h = x @ a["0.weight"].T + a["0.bias"]
    h = np.tanh(normalized(h, a["1.running_mean"], a["1.running_var"], a["1.weight"], a["1.bias"]))
    h = by_row(h @ a["3.weight"].T + a["3.bias"], a["4.weight"], a["4.bias"])
    g, v = a["5.parametrizations.weight.original0"], a["5.parametrizations.weight.original1"]
    return h @ (g * v / np.sqrt((v**2).sum(1, keepdims=True))).T + a["5.bias"]


@pytest.fixture
def state_dict(rng: np.random.Generator) -> dict[str, Array]:
    return drawn(rng, TORCH_MLP) | {"1.num_batches_tracked": np.array(17)}


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.net."])
def test_safetensors(prefix: str, state_dict: Arrays, rng: np.random.Generator, tmp_path: Path) -> None:
    path, model, X = tmp_path / "weights.safetensors", mlp(), rng.standard_normal((7, 3))
    save_file({prefix + name: array for name, array in state_dict.items()}, path, metadata={"format": "pt"})
    assert nn.load(path, into=model) is model
    np.testing.assert_allclose(model.predict(X), torch_mlp(X, state_dict), rtol=1e-12)
    assert model["batch_norm_1"].batches == 17


@pytest.mark.parametrize("source", ["mapping", "file object", "npz", "compressed npz"])
def test_other_sources_of_a_state_dict(source: str, state_dict: Arrays, rng: np.random.Generator, tmp_path: Path) -> None:
    model, X = mlp(), rng.standard_normal((7, 3))
    save_file(dict(state_dict), tmp_path / "file object")
    np.savez(tmp_path / "npz", **state_dict)  # type: ignore[arg-type]
    np.savez_compressed(tmp_path / "compressed npz", **state_dict)  # type: ignore[arg-type]
    if source == "mapping":
        nn.load(state_dict, into=model)
    elif source == "file object":
        with open(tmp_path / source, "rb") as file:
            nn.load(file, into=model)
    else:
        nn.load(tmp_path / f"{source}.npz", into=model)
    np.testing.assert_allclose(model.predict(X), torch_mlp(X, state_dict), rtol=1e-12)


def test_weight_norm_before_parametrizations(state_dict: dict[str, Array], rng: np.random.Generator) -> None:
    model, X = mlp(), rng.standard_normal((7, 3))
    old = {"original0": "weight_g", "original1": "weight_v"}
    renamed = {key.replace("parametrizations.weight.", ""): array for key, array in state_dict.items()}
    for name, before in old.items():
        renamed[f"5.{before}"] = renamed.pop(f"5.{name}")
    nn.load(renamed, into=model)
    np.testing.assert_allclose(model.predict(X), torch_mlp(X, state_dict), rtol=1e-12)


def test_twelve_layers_are_in_the_order_of_their_numbers(rng: np.random.Generator, tmp_path: Path) -> None:
    shapes = {f"net.{2 * place}.{name}": shape for place in range(12) for name, shape in [("weight", (3, 3)), ("bias", (3,))]}
    weights, X = drawn(rng, shapes), rng.standard_normal((4, 3))
    save_file(weights, tmp_path / "w")  # sorted by name: 0, 10, 12, …
    model = nn.Sequential([nn.Dense(3) for _ in range(12)], input_shape=3, dtype="float64")
    expected = X
    for place in range(12):
        expected = expected @ weights[f"net.{2 * place}.weight"].T + weights[f"net.{2 * place}.bias"]
    np.testing.assert_allclose(nn.load(tmp_path / "w", into=model).predict(X), expected, rtol=1e-12)


def test_recurrent_layers_of_pytorch(rng: np.random.Generator, tmp_path: Path) -> None:
    parts, X = ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), rng.standard_normal((5, 6, 2))
    shapes = {f"gru.{part}_l0": shape for part, shape in zip(parts, [(12, 2), (12, 4), (12,), (12,)], strict=True)}
    shapes |= {f"gru.{part}_l1": shape for part, shape in zip(parts, [(12, 4), (12, 4), (12,), (12,)], strict=True)}
    shapes |= {f"rnn.{part}_l0": shape for part, shape in zip(parts, [(3, 4), (3, 3), (3,), (3,)], strict=True)}
    weights = drawn(rng, shapes)
    save_file(weights, tmp_path / "w")
    layers = [nn.GRU(4, return_sequences=True), nn.GRU(4, return_sequences=True), nn.SimpleRNN(3)]
    model = nn.load(tmp_path / "w", into=nn.Sequential(layers, input_shape=(6, 2), dtype="float64"))
    h = torch_gru(X, *(weights[f"gru.{part}_l0"] for part in parts))
    h = torch_gru(h, *(weights[f"gru.{part}_l1"] for part in parts))
    W, U, b, c = (weights[f"rnn.{part}_l0"] for part in parts)
    np.testing.assert_allclose(model.predict(X), elman(h, W.T, U.T, b + c), rtol=1e-12)


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_both_directions_of_pytorch(cell: str, rng: np.random.Generator, tmp_path: Path) -> None:
    gates, own = {"gru": (3, nn.GRU), "rnn": (1, nn.SimpleRNN)}[cell]
    parts, X = ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), rng.standard_normal((5, 6, 2))
    weights: dict[str, Array] = {}
    for place, inputs in enumerate((2, 8)):
        for end in ("", "_reverse"):
            shapes = [(4 * gates, inputs), (4 * gates, 4), (4 * gates,), (4 * gates,)]
            weights |= drawn(rng, {f"{cell}.{part}_l{place}{end}": shape for part, shape in zip(parts, shapes, strict=True)})
    save_file(weights, tmp_path / "w")

    def states(x: Array, *arrays: Array) -> Array:
        if cell == "gru":
            return torch_gru(x, *arrays)
        W, U, b, c = arrays
        return elman_states(x, W.T, U.T, b + c)

    def layer(place: int, x: Array) -> tuple[Array, Array]:
        forward, backward = ([weights[f"{cell}.{part}_l{place}{end}"] for part in parts] for end in ("", "_reverse"))
        return both_ways(states, x, forward, backward)

    first, second = layer(1, np.concatenate(layer(0, X), axis=2))
    for source in (tmp_path / "w", weights):
        layers = [nn.Bidirectional(own(4, return_sequences=True)), nn.Bidirectional(own(4))]
        model = nn.load(source, into=nn.Sequential(layers, input_shape=(6, 2), dtype="float64"))
        np.testing.assert_allclose(model.predict(X), np.concatenate([first[:, -1], second[:, 0]], axis=1), rtol=1e-12)
    one_way = nn.Sequential([own(4, return_sequences=True), own(4)], input_shape=(6, 2))
    assert_refused(one_way, tmp_path / "w", rf"its {cell}.l0 has .*weight_ih_reverse .* takes weight_ih")


def three(**names: str) -> nn.Sequential:
    """3-3-3-2, with names of its layers."""
    layers = [nn.Dense(3, name=names.get("first")), nn.Dense(3, name=names.get("second")), nn.Dense(2, name=names.get("third"))]
    return nn.Sequential(layers, input_shape=3, dtype="float64")


@pytest.fixture
def named(rng: np.random.Generator) -> dict[str, Array]:
    shapes = {"hidden": (3, 3), "entry": (3, 3), "out": (2, 3)}
    return drawn(rng, {f"{k}.{name}": s for k, shape in shapes.items() for name, s in [("weight", shape), ("bias", shape[:1])]})


def test_names_tell_which_layer(named: dict[str, Array], tmp_path: Path) -> None:
    save_file({f"module.{key}": array for key, array in named.items()}, tmp_path / "w")
    model = nn.load(tmp_path / "w", into=three(first="entry", second="hidden", third="out"))
    for name in ("entry", "hidden", "out"):
        assert (model[name].weight == named[f"{name}.weight"]).all()


def test_an_order_that_is_not_told(named: dict[str, Array], tmp_path: Path) -> None:
    save_file(named, tmp_path / "w")
    assert_refused(three(), tmp_path / "w", "does not tell the order of entry, hidden, whose shapes are the same")
    model = nn.load(named, into=three())  # a mapping does tell
    assert (model["dense_1"].weight == named["hidden.weight"]).all()
    assert (model["dense_2"].weight == named["entry.weight"]).all()


def test_shapes_tell_which_layer(rng: np.random.Generator, tmp_path: Path) -> None:
    shapes = {"out.weight": (2, 4), "hidden.weight": (4, 3), "bn1.weight": (4,), "bn1.bias": (4,), "fc2.weight": (4, 4)}
    shapes |= {"fc1.weight": (4, 4), "fc10.weight": (4, 4)}
    weights = drawn(rng, shapes)
    save_file(weights, tmp_path / "w")
    layers = [nn.Dense(units, bias=False) for units in (4, 4, 4, 4, 2)]
    model = nn.Sequential([*layers[:2], nn.LayerNorm(), *layers[2:]], input_shape=3, dtype="float64")
    nn.load(tmp_path / "w", into=model)
    for layer, name in zip(model.layers, ["hidden", "fc1", "bn1", "fc2", "fc10", "out"], strict=True):
        assert (layer.weight == weights[f"{name}.weight"]).all()


@pytest.mark.parametrize("change", ["order", "extra", "missing", "shape", "kind"])
def test_weights_that_do_not_fit(change: str, state_dict: dict[str, Array], tmp_path: Path) -> None:
    weights = dict(state_dict)
    if change == "order":  # as if normalization came first
        weights = {key.translate(str.maketrans("01", "10")): array for key, array in weights.items()}
        match = r"its 0 has .*running_mean \(4,\).* and dense_1 takes weight \(4, 3\), bias \(4,\)"
    elif change == "extra":
        weights |= {"6.weight": np.ones((1, 2)), "6.bias": np.ones(1)}
        match = r"nothing takes its 6 with (bias|weight) \(1.*\), (bias|weight) \(1.*\)"
    elif change == "missing":
        del weights["1.running_var"]
        match = r"its 1 has .* and batch_norm_1 takes .*running_var \(4,\)"
    elif change == "shape":
        weights["3.weight"] = np.ones((4, 5))
        match = r"its 3 has .*weight \(4, 5\).* and dense_2 takes weight \(4, 4\)"
    else:
        weights["4.running_mean"] = np.ones(4)
        match = r"its 4 has .*running_mean \(4,\).* and layer_norm_1 takes weight \(4,\), bias \(4,\)"
    save_file(weights, tmp_path / "w")
    assert_refused(mlp(), tmp_path / "w", f"w does not fit the model: .*({match})")
    if change != "order":  # in which the mapping still is
        assert_refused(mlp(), weights, f"the mapping does not fit the model: .*({match})")


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("0.weight", np.nan, r"dense_1\.weight must hold finite numbers of float32, got nan"),
        ("0.bias", 1e39, r"dense_1\.bias must hold finite numbers of float32, got 1e\+39"),
        ("1.running_mean", -np.inf, r"batch_norm_1\.running_mean must hold finite numbers of float32, got -inf"),
        ("1.running_var", -0.1, "batch_norm_1.running_var must be at least 0"),
    ],
)
def test_numbers_that_no_model_may_have(
    name: str, value: float, match: str, state_dict: dict[str, Array], tmp_path: Path
) -> None:  # fmt: skip
    state_dict[name] = np.full_like(state_dict[name], value)
    save_file(state_dict, tmp_path / "w")
    assert_refused(mlp("float32"), tmp_path / "w", match)


@pytest.mark.parametrize("kind", ["BF16", "F16", "F32", "F64", "I8"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_types_of_numbers(kind: str, dtype: str, tmp_path: Path) -> None:
    numbers = [1, -3, 5, 96]  # exact in all of them
    types = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I8": "i1"}
    data = bfloat16(numbers).tobytes() if kind == "BF16" else np.array(numbers, types[kind]).tobytes()
    (tmp_path / "w").write_bytes(safetensors_file(kind, (2, 2), data))
    model = nn.Sequential([nn.Dense(2, bias=False)], input_shape=2, dtype=dtype)
    nn.load(tmp_path / "w", into=model)
    np.testing.assert_array_equal(model["dense_1"].weight, np.reshape(numbers, (2, 2)))


def one() -> nn.Sequential:
    return nn.Sequential([nn.Dense(3, bias=False)], input_shape=3)


def test_a_signaling_nan_is_refused_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(safetensors_file("F32", (3, 3), np.full(9, 0x7FA00000, np.uint32).tobytes()))
    assert_refused(one(), tmp_path / "w", "must hold finite numbers of float32, got nan")


def test_weights_of_a_sparse_layer() -> None:
    W = np.arange(6.0).reshape(2, 3)
    for name, array in [("weight", W), ("kernel", W.T)]:
        model = nn.Sequential([nn.SparseDense(2, bias=False)], input_shape=3)
        np.testing.assert_array_equal(nn.load({name: array}, into=model)["sparse_dense_1"].weight, W)


def test_a_type_without_numbers_of_ours(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(safetensors_file("F8_E4M3", (2, 2), bytes(4)))
    assert_refused(nn.Sequential([nn.Dense(2, bias=False)], input_shape=2), tmp_path / "w", "weight must be of type .*F8_E4M3")


def test_a_layer_of_ones_own_has_its_own_names(rng: np.random.Generator) -> None:
    class Shift(nn.Layer):
        def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
            self.add_parameter("offset", input_shape, "zeros")
            return input_shape

        def forward(self, x: Array, training: bool) -> Array:
            return x + self.offset

    offset, X = rng.standard_normal(3), rng.standard_normal((2, 3))
    model = nn.load({"0.offset": offset}, into=nn.Sequential([Shift()], input_shape=3, dtype="float64"))
    np.testing.assert_allclose(model.predict(X), X + offset, rtol=1e-15)


# ---- Keras


def keras_mlp_variables(rng: np.random.Generator) -> dict[str, list[Array]]:
    shapes: dict[str, list[tuple[int, ...]]] = {
        "dense": [(3, 4), (4,)], "batch_normalization": [(4,)] * 4, "dense_1": [(4, 4)], "layer_normalization": [(4,)] * 2,
        "dense_2": [(4, 4), (4,)], "rms_normalization": [(4,)], **{f"dense_{n}": [(4, 4), (4,)] for n in range(3, 12)},
    }  # fmt: skip
    return {name: [rng.uniform(0.1, 0.9, shape) for shape in own] for name, own in shapes.items()}


def keras_mlp() -> nn.Sequential:
    layers = [nn.Dense(4), nn.BatchNorm(eps=EPS), nn.Tanh(), nn.Dense(4, bias=False), nn.LayerNorm(eps=EPS), nn.Dropout(0.2)]
    layers += [nn.Dense(4), nn.RMSNorm(eps=EPS), *(nn.Dense(4) for _ in range(9))]
    return nn.Sequential(layers, input_shape=3, dtype="float64", seed=4)


def keras_mlp_output(x: Array, v: Mapping[str, list[Array]]) -> Array:
    gamma, beta, mean, variance = v["batch_normalization"]
    h = np.tanh(normalized(x @ v["dense"][0] + v["dense"][1], mean, variance, gamma, beta))
    h = by_row(h @ v["dense_1"][0], *v["layer_normalization"]) @ v["dense_2"][0] + v["dense_2"][1]
    h = v["rms_normalization"][0] * h / np.sqrt((h**2).mean(1, keepdims=True) + EPS)
    for n in range(3, 12):
        h = h @ v[f"dense_{n}"][0] + v[f"dense_{n}"][1]
    return h


def test_keras_weights(rng: np.random.Generator, tmp_path: Path) -> None:
    variables, model, X = keras_mlp_variables(rng), keras_mlp(), rng.standard_normal((7, 3))
    model["batch_norm_1"].batches[...] = 5
    (tmp_path / "w.weights.h5").write_bytes(keras_file(variables))
    assert nn.load(tmp_path / "w.weights.h5", into=model) is model
    np.testing.assert_allclose(model.predict(X), keras_mlp_output(X, variables), rtol=1e-11)
    assert model["batch_norm_1"].batches == 5  # Keras counts none
    again = nn.load(io.BytesIO(archive({}, keras_file(variables))), into=keras_mlp())  # whose configuration is not looked at
    np.testing.assert_array_equal(again.parameters, model.parameters)


def test_weights_of_layers_that_carry_states_over() -> None:
    """A file has no states: they stay as they are."""
    names = {"r.weight_ih_l0": (2, 2), "r.weight_hh_l0": (2, 2), "r.bias_ih_l0": (2,), "r.bias_hh_l0": (2,)}
    gru_names = {name: (3 * shape[0], *shape[1:]) for name, shape in names.items()}
    in_keras = {"r/kernel": (2, 2), "r/recurrent_kernel": (2, 2), "r/bias": (2,)}
    gru_in_keras = dict.fromkeys(in_keras, (2, 6))
    for cell, shapes in ((nn.SimpleRNN, names), (nn.SimpleRNN, in_keras), (nn.GRU, gru_names), (nn.GRU, gru_in_keras)):
        model = nn.Sequential([cell(2, stateful=4)], input_shape=(3, 2))
        model.state[...] = 7
        nn.load({name: np.ones(shape) for name, shape in shapes.items()}, into=model)
        assert (model.layers[0].weight == 1).all()
        assert (model.state == 7).all()


def test_masked_cells_are_no_numbers() -> None:
    model = nn.Sequential([nn.Dense(2)], input_shape=3)
    weights = {"0.weight": np.ma.masked_array(np.ones((2, 3)), mask=np.eye(2, 3)), "0.bias": np.ones(2)}
    with pytest.raises(ValueError, match=r"0\.weight must have no masked cells, got 2"):
        nn.load(weights, into=model)


def test_recurrent_layers_of_keras(rng: np.random.Generator) -> None:
    X = rng.standard_normal((5, 6, 2))
    gru = [rng.standard_normal(shape) for shape in [(2, 12), (4, 12), (2, 12)]]
    rnn = [rng.standard_normal(shape) for shape in [(4, 3), (3, 3), (3,)]]
    layers = [nn.GRU(4, return_sequences=True), nn.SimpleRNN(3)]
    model = nn.Sequential(layers, input_shape=(6, 2), dtype="float64")
    nn.load(io.BytesIO(keras_file({"simple_rnn": rnn, "gru": gru})), into=model)
    np.testing.assert_allclose(model.predict(X), elman(keras_gru(X, *gru), *rnn), rtol=1e-12)
    names = ("kernel", "recurrent_kernel", "bias")
    mapping = {f"sequential/gru/gru_cell/{name}": array for name, array in zip(names, gru, strict=True)}
    mapping |= {"seed_generator/seed_generator_state": np.zeros(2, np.uint32)}
    mapping |= {f"sequential/simple_rnn/simple_rnn_cell/{name}": array for name, array in zip(names, rnn, strict=True)}
    model.initialize(9)
    np.testing.assert_allclose(nn.load(mapping, into=model).predict(X), elman(keras_gru(X, *gru), *rnn), rtol=1e-12)


def test_reset_before_the_product(rng: np.random.Generator, tmp_path: Path) -> None:
    before, after = ([rng.standard_normal(shape) for shape in [(2, 12), (4, 12), bias]] for bias in [(12,), (2, 12)])
    model = nn.Sequential([nn.GRU(4, reset_after=False)], input_shape=(6, 2), dtype="float64")
    X, names = rng.standard_normal((5, 6, 2)), ("kernel", "recurrent_kernel", "bias")
    mapping = {f"sequential/gru/gru_cell/{name}": array for name, array in zip(names, before, strict=True)}
    for source in (mapping, io.BytesIO(keras_file({"gru": before}))):
        model.initialize(9)
        np.testing.assert_allclose(
            nn.load(source, into=model).predict(X), keras_gru_reset_before(X, *before)[:, -1], rtol=1e-12
        )
    described = entry(
        "GRU", "g", (6, 2), units=4, return_sequences=False, reset_after=False, recurrent_activation="sigmoid", **RECURRENT
    )
    (tmp_path / "m.keras").write_bytes(archive(sequential(described, shape=(6, 2)), keras_file({"gru": before})))
    read = nn.load(tmp_path / "m.keras")
    np.testing.assert_array_equal(read.predict(X), model.predict(X))
    other = nn.Sequential([nn.GRU(4)], input_shape=(6, 2))
    match = r"its gru has .*bias \(12,\), and gru_1 takes .*bias \(2, 12\)"
    assert_refused(other, io.BytesIO(keras_file({"gru": before})), match)
    match = r"its gru has .*bias \(2, 12\), and gru_1 takes .*bias \(12,\)"
    assert_refused(model, io.BytesIO(keras_file({"gru": after})), match)


BOTH_VARIABLES: dict[str, list[tuple[int, ...]]] = {
    "bidirectional": [(2, 12), (4, 12), (2, 12)] * 2, "bidirectional_1": [(8, 3), (3, 3), (3,)] * 2, "dense": [(3, 2), (2,)],
}  # fmt: skip


def both_variables(rng: np.random.Generator) -> dict[str, list[Array]]:
    return {name: [rng.uniform(-0.9, 0.9, shape) for shape in shapes] for name, shapes in BOTH_VARIABLES.items()}


def both_output(X: Array, v: Mapping[str, list[Array]]) -> Array:
    """A GRU, whose directions are joined, and a simple layer, whose last states are added."""
    h = np.concatenate(both_ways(keras_gru, X, v["bidirectional"][:3], v["bidirectional"][3:]), axis=2)
    first, second = both_ways(elman_states, h, v["bidirectional_1"][:3], v["bidirectional_1"][3:])
    return (first[:, -1] + second[:, 0]) @ v["dense"][0] + v["dense"][1]


def test_both_directions_of_keras(rng: np.random.Generator) -> None:
    v, X = both_variables(rng), rng.standard_normal((5, 6, 2))
    layers = [nn.Bidirectional(nn.GRU(4, return_sequences=True)), nn.Bidirectional(nn.SimpleRNN(3), merge="sum"), nn.Dense(2)]
    model = nn.Sequential(layers, input_shape=(6, 2), dtype="float64")
    nn.load(io.BytesIO(keras_file(v)), into=model)
    np.testing.assert_allclose(model.predict(X), both_output(X, v), rtol=1e-12)
    mapping = {}
    for layer, cell in [("both", "gru"), ("bidirectional", "simple_rnn")]:
        arrays = v["bidirectional" if cell == "gru" else "bidirectional_1"]
        for number, name in enumerate(("kernel", "recurrent_kernel", "bias")):
            for direction, array in (("forward", arrays[number]), ("backward", arrays[3 + number])):
                mapping[f"sequential/{layer}/{direction}_{cell}/{cell}_cell/{name}"] = array
    mapping |= {"sequential/dense/kernel": v["dense"][0], "sequential/dense/bias": v["dense"][1]}
    model.initialize(9)
    np.testing.assert_allclose(nn.load(mapping, into=model).predict(X), both_output(X, v), rtol=1e-12)
    before = nn.Sequential([nn.Bidirectional(nn.GRU(4, reset_after=False))], input_shape=(6, 2))
    file = io.BytesIO(keras_file({"bidirectional": v["bidirectional"]}))
    match = r"its bidirectional has .*backward_bias \(2, 12\).* and bidirectional_1 takes .*forward_bias \(12,\)"
    assert_refused(before, file, match)


def test_layers_that_are_called_forward_and_backward(rng: np.random.Generator) -> None:
    """They are not both directions of one: their folder has another layer."""
    shapes = {"forward_rnn/simple_rnn_cell": 2, "backward_rnn/simple_rnn_cell": 4, "last/simple_rnn_cell": 4}
    arrays = {path: [rng.standard_normal(shape) for shape in [(n, 4), (4, 4), (4,)]] for path, n in shapes.items()}
    names, X = ("kernel", "recurrent_kernel", "bias"), rng.standard_normal((5, 6, 2))
    mapping = {f"net/{path}/{name}": a for path, own in arrays.items() for name, a in zip(names, own, strict=True)}
    layers = [nn.SimpleRNN(4, return_sequences=True), nn.SimpleRNN(4, return_sequences=True), nn.SimpleRNN(4)]
    model = nn.load(mapping, into=nn.Sequential(layers, input_shape=(6, 2), dtype="float64"))
    h = X
    for own in arrays.values():
        h = elman_states(h, *own)
    np.testing.assert_allclose(model.predict(X), h[:, -1], rtol=1e-12)


@pytest.mark.parametrize(
    ("layers", "match"),
    [
        ({"dense": [np.ones((3, 2)), np.ones(2)], "p_re_lu": [np.ones(2)]}, r"nothing takes its p_re_lu with 0 \(2,\)"),
        ({"dense": [np.ones((2, 3)), np.ones(2)]}, r"its dense has kernel \(2, 3\).*dense_1 takes kernel \(3, 2\)"),
        ({"dense": [np.ones((3, 2))]}, r"its dense has kernel \(3, 2\), and dense_1 takes kernel \(3, 2\), bias \(2,\)"),
        ({"bidirectional/forward_layer": [np.ones(2)]}, "bidirectional/forward_layer"),
        ({}, "it has no layers"),
    ],
)
def test_keras_weights_that_do_not_fit(layers: dict[str, list[Array]], match: str) -> None:
    assert_refused(nn.Sequential([nn.Dense(2)], input_shape=3), io.BytesIO(keras_file(layers)), match)


def test_batch_norm_of_keras_without_weights(rng: np.random.Generator) -> None:
    mean, variance, X = rng.standard_normal(3), rng.uniform(1, 2, 3), rng.standard_normal((4, 3))
    model = nn.Sequential([nn.BatchNorm(affine=False, eps=EPS)], input_shape=3, dtype="float64")
    nn.load(io.BytesIO(keras_file({"batch_normalization": [mean, variance]})), into=model)
    np.testing.assert_allclose(model.predict(X), (X - mean) / np.sqrt(variance + EPS), rtol=1e-13)


def test_bfloat16_of_keras() -> None:
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        file["layers/dense/vars/0"] = bfloat16([[1.0, -3.0], [0.5, 96.0]]).view("V2")
        file["layers/dense/vars/0"].attrs["dtype"] = "bfloat16"
    data.seek(0)
    model = nn.load(data, into=nn.Sequential([nn.Dense(2, bias=False)], input_shape=2))
    np.testing.assert_array_equal(model["dense_1"].weight, [[1.0, 0.5], [-3.0, 96.0]])


# ---- models of Keras


def entry(kind: str, name: str, given: tuple[int, ...] | None = None, **config: Any) -> dict[str, Any]:
    """A layer in ``config.json``; ``given`` is the shape of the input."""
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float64"}}
    built = {} if given is None else {"build_config": {"input_shape": [None, *given]}}
    return {"class_name": kind, "config": {"name": name, "trainable": True, "dtype": policy, **config}, **built}


def sequential(*layers: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"layers": list(layers), "build_input_shape": [None, *shape]}}


NORM = {"epsilon": EPS, "center": True, "scale": True}
RECURRENT = {
    "activation": "tanh", "use_bias": True, "go_backwards": False, "return_state": False, "stateful": False, "dropout": 0.0,
    "recurrent_dropout": 0.0,
}  # fmt: skip
WHOLE = sequential(
    {"class_name": "InputLayer", "config": {"batch_shape": [None, 6, 2], "dtype": "float64", "name": "input_layer"}},
    entry(
        "GRU", "gates", (6, 2), units=4, return_sequences=True, reset_after=True, recurrent_activation="sigmoid", **RECURRENT
    ),
    entry("SimpleRNN", "plain", (6, 4), units=4, return_sequences=False, **RECURRENT),
    entry("Dense", "first", (4,), units=4, activation="relu", use_bias=True),
    entry("BatchNormalization", "norm", (4,), momentum=0.99, renorm=False, **NORM),
    entry("Dropout", "drop", rate=0.25, noise_shape=None),
    entry("LayerNormalization", "rows", (4,), rms_scaling=False, **NORM),
    entry("LeakyReLU", "leaky", negative_slope=0.3),
    entry("Dense", "last", (4,), units=3, activation="linear", use_bias=False),
    entry("Activation", "probabilities", activation="softmax"),
    shape=(6, 2),
)
WHOLE_VARIABLES: dict[str, list[tuple[int, ...]]] = {
    "gru": [(2, 12), (4, 12), (2, 12)], "simple_rnn": [(4, 4), (4, 4), (4,)], "dense": [(4, 4), (4,)],
    "batch_normalization": [(4,)] * 4, "layer_normalization": [(4,)] * 2, "dense_1": [(4, 3)],
}  # fmt: skip


def softmax(z: Array) -> Array:
    return np.exp(z) / np.exp(z).sum(1, keepdims=True)


def test_a_whole_model(rng: np.random.Generator, tmp_path: Path) -> None:
    v = {name: [rng.uniform(-0.9, 0.9, shape) for shape in shapes] for name, shapes in WHOLE_VARIABLES.items()}
    v["batch_normalization"][3] += 1
    path, X = tmp_path / "model.keras", rng.standard_normal((5, 6, 2))
    path.write_bytes(archive(WHOLE, keras_file(v)))
    model = nn.load(path)
    assert [layer.name for layer in model.layers] == [
        "gates", "plain", "first", "relu_1", "norm", "drop", "rows", "leaky", "last", "softmax_1"
    ]  # fmt: skip
    assert (model["norm"].momentum, model["norm"].unbiased_running_var, model["drop"].rate) == (0.01, False, 0.25)
    assert model.dtype == np.float64
    gamma, beta, mean, variance = v["batch_normalization"]
    h = np.maximum(elman(keras_gru(X, *v["gru"]), *v["simple_rnn"]) @ v["dense"][0] + v["dense"][1], 0)
    h = by_row(normalized(h, mean, variance, gamma, beta), *v["layer_normalization"])
    h = np.where(h > 0, h, 0.3 * h)
    np.testing.assert_allclose(model.predict(X), softmax(h @ v["dense_1"][0]), rtol=1e-11)


def gru(name: str = "forward_gru", **changes: Any) -> dict[str, Any]:
    own: dict[str, Any] = {"units": 4, "return_sequences": True, "reset_after": True, "recurrent_activation": "sigmoid"}
    return entry("GRU", name, (6, 2), **own | RECURRENT | changes)


def bidirectional(
    layer: dict[str, Any], merge_mode: str | None = "concat", name: str = "both", **changes: Any
) -> dict[str, Any]:
    """As Keras writes it: both directions, with zeros at skipped steps if they return sequences."""
    zeros = {"zero_output_for_mask": layer["config"]["return_sequences"]}
    forward, backward = (layer | {"config": layer["config"] | zeros | own} for own in ({}, {"go_backwards": True} | changes))
    return entry("Bidirectional", name, (6, 2), merge_mode=merge_mode, layer=forward, backward_layer=backward)


def test_a_model_that_reads_in_both_directions(rng: np.random.Generator, tmp_path: Path) -> None:
    """Padded sequences, the padding before or after, give what the sequences by themselves give."""
    v, path = both_variables(rng), tmp_path / "m.keras"
    rnn = entry("SimpleRNN", "forward_simple_rnn", (6, 8), units=3, return_sequences=False, **RECURRENT)
    layers = [entry("Masking", "skip", mask_value=-1.0), bidirectional(gru()), bidirectional(rnn, "ave", name="x")]
    dense = entry("Dense", "last", (3,), units=2, activation="linear", use_bias=True)
    path.write_bytes(archive(sequential(*layers, dense, shape=(6, 2)), keras_file(v)))
    model = nn.load(path)
    assert [layer.name for layer in model.layers] == ["skip", "both", "x", "last"]
    assert (model["skip"].value, model["both"].merge, model["x"].merge) == (-1.0, "concat", "mean")
    X = np.full((2, 6, 2), -1.0)
    short = rng.standard_normal((2, 4, 2))
    X[0, :4], X[1, 2:] = short
    v["dense"][0] = v["dense"][0] / 2  # the mean
    np.testing.assert_allclose(model.predict(X), both_output(short, v), rtol=1e-12)


@pytest.mark.parametrize("reset_after", [True, False])
def test_both_forms_of_a_gru(reset_after: bool, rng: np.random.Generator, tmp_path: Path) -> None:
    path, X = tmp_path / "m.keras", rng.standard_normal((5, 6, 2))
    arrays = [rng.standard_normal(shape) for shape in [(2, 12), (4, 12), (2, 12) if reset_after else (12,)]]
    path.write_bytes(archive(sequential(gru(reset_after=reset_after), shape=(6, 2)), keras_file({"gru": arrays})))
    states = keras_gru if reset_after else keras_gru_reset_before
    np.testing.assert_allclose(nn.load(path).predict(X), states(X, *arrays), rtol=1e-12)


SKIP = entry("Masking", "skip", mask_value=0.0)


@pytest.mark.parametrize(
    ("layers", "match"),
    [
        ([bidirectional(gru(), "mul")], "merge_mode of its Bidirectional must be concat, sum, ave, got 'mul'"),
        ([bidirectional(gru(), None)], "merge_mode of its Bidirectional must be concat, sum, ave, got None"),
        ([bidirectional(gru(), units=3)], r"both directions of its Bidirectional must be alike, got GRU\(4.*GRU\(3"),
        ([bidirectional(gru(), go_backwards=False)], "go_backwards of its GRU must be True, got False"),
        ([bidirectional(gru(go_backwards=True))], "go_backwards of its GRU must be False, got True"),
        ([bidirectional(gru(dropout=0.1))], "dropout of its GRU must be 0.0, got 0.1"),
        ([bidirectional(gru() | {"class_name": "LSTM"})], "layers of its Bidirectional must be GRU or SimpleRNN, got 'LSTM'"),
        ([gru(recurrent_activation="tanh")], "recurrent_activation of its GRU must be 'sigmoid'"),
        ([SKIP], "its Masking must have a recurrent layer after it"),
        ([gru(), SKIP], "its Masking must have a recurrent layer after it"),
        ([SKIP, bidirectional(gru())], "its last Bidirectional after Masking must not return sequences"),
        ([SKIP, bidirectional(gru()), SKIP, gru()], "its last Bidirectional after Masking must not return sequences"),
        ([SKIP, gru(zero_output_for_mask=True)], "its last GRU after Masking must not return sequences"),
        ([entry("Masking", "skip", mask_value=[0.0]), gru()], "value must be"),
    ],
)
def test_sequences_that_keras_treats_otherwise(layers: list[dict[str, Any]], match: str, tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    path.write_bytes(archive(sequential(*layers, shape=(6, 2)), keras_file({"dense": [np.eye(3)]})))
    with pytest.raises(ValueError, match=rf"m\.keras cannot be read: .*{match}"):
        nn.load(path)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "elu": lambda z: np.where(z > 0, z, np.expm1(z)),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.2 * z),
    "linear": lambda z: z,
    "mish": lambda z: z * np.tanh(np.log1p(np.exp(z))),
    "relu": lambda z: np.maximum(z, 0),
    "selu": lambda z: 1.05070098735548 * np.where(z > 0, z, 1.67326324235438 * np.expm1(z)),
    "sigmoid": sigmoid,
    "silu": lambda z: z * sigmoid(z),
    "softmax": softmax,
    "softplus": lambda z: np.log1p(np.exp(z)),
    "tanh": np.tanh,
}


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("of_layer", [True, False])
def test_activations(name: str, of_layer: bool, rng: np.random.Generator, tmp_path: Path) -> None:
    dense = entry("Dense", "a", (3,), units=3, activation=name if of_layer else "linear", use_bias=False)
    layers = [dense] if of_layer else [dense, entry("Activation", "b", activation=name)]
    path, X = tmp_path / "m.keras", rng.standard_normal((4, 3))
    path.write_bytes(archive(sequential(*layers, shape=(3,)), keras_file({"dense": [np.eye(3)]})))
    np.testing.assert_allclose(nn.load(path).predict(X), ACTIVATIONS[name](X), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("before", [[], [entry("Dropout", "drop", rate=0.5, noise_shape=None)]])
def test_flatten_before_a_dense_layer(before: list[Any], rng: np.random.Generator, tmp_path: Path) -> None:
    W, path, X = rng.standard_normal((6, 2)), tmp_path / "m.keras", rng.standard_normal((4, 2, 3))
    dense = entry("Dense", "a", (6,), units=2, activation="linear", use_bias=False)
    config = sequential(*before, entry("Flatten", "flat"), dense, shape=(2, 3))
    path.write_bytes(archive(config, keras_file({"dense": [W]})))
    np.testing.assert_allclose(nn.load(path).predict(X), X.reshape(4, 6) @ W, rtol=1e-12)
    other_order = sequential(*before, entry("Flatten", "flat", data_format="channels_first"), dense, shape=(2, 3))
    path.write_bytes(archive(other_order, keras_file({"dense": [W]})))
    with pytest.raises(ValueError, match="data_format of its Flatten must be 'channels_last', got 'channels_first'"):
        nn.load(path)


def functional(*names: str, reads: tuple[str, ...], outputs: Any) -> dict[str, Any]:
    """Dense layers after an input; each reads one other."""
    layers: list[dict[str, Any]] = [{"class_name": "InputLayer", "config": {"batch_shape": [None, 3], "name": "x"}}]
    layers[0] |= {"name": "x", "inbound_nodes": []}
    for name, read in zip(names, reads, strict=True):
        tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, 3], "keras_history": [read, 0, 0]}}
        dense = entry("Dense", name, (3,), units=3, activation="linear", use_bias=False)
        layers.append(dense | {"name": name, "inbound_nodes": [{"args": [tensor], "kwargs": {}}]})
    config = {"layers": layers, "input_layers": ["x", 0, 0], "output_layers": outputs}
    return {"class_name": "Functional", "config": config}


def test_a_functional_model(rng: np.random.Generator, tmp_path: Path) -> None:
    W, path, X = rng.standard_normal((2, 3, 3)), tmp_path / "m.keras", rng.standard_normal((4, 3))
    weights = keras_file({"dense": [W[0]], "dense_1": [W[1]]})
    path.write_bytes(archive(functional("a", "b", reads=("x", "a"), outputs=["b", 0, 0]), weights))
    np.testing.assert_allclose(nn.load(path).predict(X), X @ W[0] @ W[1], rtol=1e-12)
    for reads, outputs in [(("x", "x"), ["b", 0, 0]), (("x", "a"), ["a", 0, 0]), (("x", "a"), [["a", 0, 0], ["b", 0, 0]])]:
        path.write_bytes(archive(functional("a", "b", reads=reads, outputs=outputs), weights))
        with pytest.raises(ValueError, match="its layers must form a chain"):
            nn.load(path)


@pytest.mark.parametrize(
    ("name", "value", "good"), [("training", True, False), ("training", False, True), ("mask", None, True)]
)
def test_calls_with_more_than_an_input(name: str, value: Any, good: bool, tmp_path: Path) -> None:
    config = functional("a", reads=("x",), outputs=["a", 0, 0])
    config["config"]["layers"][1]["inbound_nodes"][0]["kwargs"][name] = value
    (tmp_path / "m.keras").write_bytes(archive(config, keras_file({"dense": [np.eye(3)]})))
    if good:
        assert nn.load(tmp_path / "m.keras").output_shape == (3,)
    else:
        with pytest.raises(ValueError, match=f"its a must be called with an input only, got '{name}' too"):
            nn.load(tmp_path / "m.keras")


def test_two_chains_are_no_model(tmp_path: Path) -> None:
    config = functional("a", "b", reads=("x", "y"), outputs=[["a", 0, 0], ["b", 0, 0]])
    config["config"]["layers"].insert(1, {"class_name": "InputLayer", "name": "y", "config": {}, "inbound_nodes": []})
    config["config"]["input_layers"] = [["x", 0, 0], ["y", 0, 0]]
    (tmp_path / "m.keras").write_bytes(archive(config, keras_file({"dense": [np.eye(3)], "dense_1": [np.eye(3)]})))
    with pytest.raises(ValueError, match=r"its layers must form a chain, .*got \['x', 'y', 'a', 'b'\]"):
        nn.load(tmp_path / "m.keras")


def test_a_batch_norm_that_is_not_trained_is_frozen(tmp_path: Path) -> None:
    norm = entry("BatchNormalization", "n", (3,), momentum=0.9, **NORM)
    norm["config"]["trainable"] = False
    variables = [np.ones(3), np.zeros(3), np.zeros(3), np.ones(3)]
    (tmp_path / "m.keras").write_bytes(archive(sequential(norm, shape=(3,)), keras_file({"batch_normalization": variables})))
    assert nn.load(tmp_path / "m.keras")["n"].frozen


def dense(**changes: Any) -> dict[str, Any]:
    return entry("Dense", "a", (3,), **{"units": 3, "activation": "linear", "use_bias": False, **changes})


@pytest.mark.parametrize(
    ("layer", "match"),
    [
        (entry("PReLU", "p"), r"its layers must be among Activation, .*, got 'PReLU'"),
        (entry("Dense", "a", (5, 3), units=3, activation="linear", use_bias=False), "its Dense must get rows of numbers"),
        (dense(activation="exponential"), "its activations must be among linear, elu, .*got 'exponential'"),
        (dense(activation={"class_name": "Custom"}), "its activations must be among"),
        (dense(units=-1), "units must be"),
        (dense(units=10**9), "its layers need 3,000,000,000 numbers, and it has"),
        (entry("BatchNormalization", "n", (3,), momentum=0.9, **NORM | {"center": False}), "center of its Batch.* be True"),
        (entry("BatchNormalization", "n", (3, 2), momentum=0.9, **NORM), "its BatchNormalization must get rows of numbers"),
        (entry("Softmax", "s", axis=1), "axis of its Softmax must be -1, got 1"),
        (entry("ReLU", "r", max_value=6.0, negative_slope=0.0, threshold=0.0), "max_value of its ReLU must be None, got 6.0"),
        (entry("Flatten", "f"), "its Flatten must have a Dense after it"),
        (entry("SimpleRNN", "r", units=3, return_sequences=True, **RECURRENT | {"dropout": 0.5}), "dropout of its SimpleRNN"),
    ],
)  # fmt: skip
def test_what_nncore_has_not(layer: dict[str, Any], match: str, tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    path.write_bytes(archive(sequential(layer, shape=(3,)), keras_file({"dense": [np.eye(3)]})))
    with pytest.raises(ValueError, match=rf"m\.keras cannot be read: .*{match}"):
        nn.load(path)


def test_other_kinds_of_models(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    for config, match in [
        ({"class_name": "Mine", "config": {"layers": []}}, "must be Sequential or Func.*'Mine'"),
        ([], "list"),
    ]:
        path.write_bytes(archive(config, keras_file({"dense": [np.eye(3)]})))
        with pytest.raises(ValueError, match=rf"m\.keras cannot be read: .*{match}"):
            nn.load(path)


# ---- calls and files that are refused


def test_wrong_calls(tmp_path: Path) -> None:
    mapping = {"weight": np.eye(3)}
    with pytest.raises(TypeError, match=r"path must be a file unless .*nn\.load\(mapping, into=model\)"):
        nn.load(mapping)
    with pytest.raises(TypeError, match="into must be a Sequential, got 3"):
        nn.load(mapping, into=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="custom_layers must be left out"):
        nn.load(mapping, into=one(), custom_layers={})
    assert_refused(one(), {"weight": object()}, "weight must be an array of real numbers")
    assert_refused(one(), {"weight": np.eye(3) * 1j}, "weight must be an array of real numbers")
    assert_refused(one(), 3, "path must be a path or a file object", TypeError)
    assert_refused(one(), tmp_path, "is a folder, a pipe or a device")
    with pytest.raises(FileNotFoundError):
        nn.load(tmp_path / "nothing", into=one())


def test_a_foreign_file_without_a_model(tmp_path: Path) -> None:
    save_file({"weight": np.eye(3)}, tmp_path / "w.safetensors", metadata={"format": "pt"})
    (tmp_path / "w.weights.h5").write_bytes(keras_file({"dense": [np.eye(3)]}))
    for name in ("w.safetensors", "w.weights.h5"):
        with pytest.raises(ValueError, match=r"for weights of PyTorch and Keras: nn\.load\(path, into=model\)"):
            nn.load(tmp_path / name)


def test_a_file_of_nncore(tmp_path: Path) -> None:
    one().save(tmp_path / "own")
    assert_refused(one(), tmp_path / "own", r"own cannot be read: it is nncore's own: nn\.load\(path\) makes its model")


def test_a_pickle(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as file:
        file.writestr("w/data.pkl", b"cos\nsystem\n")
    assert_refused(one(), tmp_path / "w.pt", r"it is a pickle, as by torch\.save: write it with safetensors")
    np.savez(tmp_path / "w.npz", weight=np.array([object()]))
    one_number = nn.Sequential([nn.Dense(1, bias=False)], input_shape=1)
    assert_refused(one_number, tmp_path / "w.npz", "does not fit")
    np.savez(tmp_path / "w.npz", weight=np.array([[object()]]))
    assert_refused(one_number, tmp_path / "w.npz", "Object arrays cannot be loaded")


def linked(kind: str, folder: Path) -> bytes:
    """An HDF5 file whose weights are not simply in it."""
    with h5py.File(folder / "other.h5", "w") as other:
        other["layers/dense/vars/0"] = np.eye(3)
    np.eye(3).tofile(folder / "raw")
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        group = file.create_group("layers/dense/vars") if kind != "link of a group" else file
        if kind == "link of a group":
            file["layers"] = h5py.ExternalLink(str(folder / "other.h5"), "layers")
        elif kind == "external link":
            group["0"] = h5py.ExternalLink(str(folder / "other.h5"), "layers/dense/vars/0")
        elif kind == "soft link":
            group["0"] = h5py.SoftLink("/elsewhere")
        elif kind == "external data":
            group.create_dataset("0", (3, 3), "<f8", external=[(str(folder / "raw"), 0, h5py.h5f.UNLIMITED)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((3, 3), "<f8")
            layout[...] = h5py.VirtualSource(folder / "other.h5", "layers/dense/vars/0", (3, 3))
            group.create_virtual_dataset("0", layout)
        elif kind == "compressed":
            group.create_dataset("0", data=np.eye(3), compression="gzip")
        elif kind == "huge":
            group.create_dataset("0", (2**40, 2**10), "<f8", chunks=(1024, 1024))
        elif kind == "empty":
            group["0"] = h5py.Empty("f")
        elif kind == "text":
            group.create_dataset("0", data=np.full((3, 3), b"text"))
        elif kind == "circle":
            group["vars"], group["0"] = group, np.eye(4)
    return data.getvalue()


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("link of a group", "it has no layers"),
        ("external link", "it has no layers"),
        ("soft link", "it has no layers"),
        ("external data", "layers/dense/vars/0 must be an array without filters inside the file"),
        ("virtual", "layers/dense/vars/0 must be an array without filters inside the file"),
        ("compressed", "layers/dense/vars/0 must be an array without filters inside the file"),
        ("huge", r"its dense has kernel \(1099511627776, 1024\)"),
        ("empty", "got an empty dataset"),
        ("text", "must be an array of real numbers"),
        ("circle", r"its dense has kernel \(4, 4\)"),
    ],
)
def test_hdf5_with_its_weights_elsewhere(kind: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "w.h5").write_bytes(linked(kind, tmp_path))
    assert_refused(one(), tmp_path / "w.h5", match)


def test_a_compressed_archive_of_keras(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", json.dumps(sequential(dense(), shape=(3,))))
        file.writestr("model.weights.h5", keras_file({"dense": [np.eye(3)]}))
    with pytest.raises(ValueError, match=r"config\.json must be stored without compression"):
        nn.load(tmp_path / "m.keras")
    assert_refused(one(), tmp_path / "m.keras", r"model\.weights\.h5 must be stored without compression")


def test_without_h5py(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO(keras_file({"dense": [np.eye(3)]}))
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert_refused(one(), file, r'pip install "nncore-learn\[keras\]"', ImportError)


@pytest.mark.parametrize("kind", ["safetensors", "npz", "keras"])
def test_damaged_files(kind: str, rng: np.random.Generator, tmp_path: Path) -> None:
    """Every truncation and many changed bytes lead to a ValueError, or to weights that the file then has."""
    path, model = tmp_path / f"w.{kind}", one()
    if kind == "safetensors":
        save_file({"weight": np.eye(3)}, path)
    elif kind == "npz":
        np.savez_compressed(path, weight=np.eye(3))
    else:
        path.write_bytes(archive(sequential(dense(), shape=(3,)), b"\x89HDF"))  # HDF5 itself is h5py's part
    good = path.read_bytes()
    for end in range(0, len(good), 7):
        path.write_bytes(good[:end])
        with pytest.raises(ValueError):
            nn.load(path, into=model)
    for _ in range(300):
        changed = bytearray(good)
        changed[rng.integers(len(good))] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            nn.load(path, into=model)
        except ValueError:
            continue
        assert np.isfinite(model.parameters).all()


# ---- the libraries themselves


@pytest.mark.parametrize("cell", ["GRU", "RNN"])
def test_recurrent_networks_of_pytorch(cell: str, rng: np.random.Generator, torch: Any, tmp_path: Path) -> None:
    save = pytest.importorskip("safetensors.torch").save_file
    net = torch.nn.ModuleDict(
        {"cell": getattr(torch.nn, cell)(2, 4, num_layers=2, batch_first=True), "out": torch.nn.Linear(4, 3)}
    )
    save(net.state_dict(), tmp_path / "w")
    layer, X = nn.GRU if cell == "GRU" else nn.SimpleRNN, rng.standard_normal((5, 6, 2))
    model = nn.Sequential([layer(4, return_sequences=True), layer(4), nn.Dense(3)], input_shape=(6, 2))
    nn.load(tmp_path / "w", into=model)
    with torch.no_grad():
        expected = net["out"](net["cell"](torch.tensor(X, dtype=torch.float32))[0][:, -1]).numpy()
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell", ["GRU", "RNN"])
def test_both_directions_by_pytorch(cell: str, rng: np.random.Generator, torch: Any, tmp_path: Path) -> None:
    save = pytest.importorskip("safetensors.torch").save_file
    net = getattr(torch.nn, cell)(2, 4, num_layers=2, batch_first=True, bidirectional=True)
    save(net.state_dict(), tmp_path / "w")
    layer, X = nn.GRU if cell == "GRU" else nn.SimpleRNN, rng.standard_normal((5, 6, 2))
    with torch.no_grad():
        every, last = net(torch.tensor(X, dtype=torch.float32))
    for sequences, expected in [(True, every), (False, torch.cat([last[2], last[3]], dim=1))]:
        layers = [nn.Bidirectional(layer(4, return_sequences=True)), nn.Bidirectional(layer(4, return_sequences=sequences))]
        model = nn.Sequential(layers, input_shape=(6, 2))
        for source in (tmp_path / "w", net.state_dict()):
            model.initialize(7)
            np.testing.assert_allclose(nn.load(source, into=model).predict(X), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_a_trained_network_of_pytorch(rng: np.random.Generator, torch: Any, tmp_path: Path) -> None:
    save, t = pytest.importorskip("safetensors.torch").save_file, torch.nn
    net = t.Sequential(
        t.Linear(3, 4), t.BatchNorm1d(4, eps=EPS), t.Tanh(), t.Linear(4, 4), t.LayerNorm(4, eps=EPS),
        t.utils.parametrizations.weight_norm(t.Linear(4, 2)),
    )  # fmt: skip
    optimizer, X = torch.optim.Adam(net.parameters(), lr=0.1), torch.tensor(rng.standard_normal((32, 3)), dtype=torch.float32)
    for _ in range(5):
        optimizer.zero_grad()
        (net(X) ** 2).sum().backward()
        optimizer.step()
    save(net.state_dict(), tmp_path / "w")
    expected = net.eval()(X).detach().numpy()
    np.testing.assert_allclose(nn.load(tmp_path / "w", into=mlp()).predict(X), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(nn.load(net.state_dict(), into=mlp()).predict(X), expected, rtol=1e-5, atol=1e-6)
    save(net.bfloat16().state_dict(), tmp_path / "half")
    expected = {name: tensor.float().numpy() for name, tensor in net.state_dict().items()}
    np.testing.assert_array_equal(nn.load(tmp_path / "half", into=mlp())["dense_1"].weight, expected["0.weight"])
    assert_refused(mlp(), net.state_dict(), "0.weight must be something that NumPy makes an array of", TypeError)


def assert_read(keras3: Any, net: Any, X: Array, tmp_path: Path) -> None:
    """A model of Keras as an archive, its weights as an archive, a file and a mapping give its outputs."""
    expected = keras3.ops.convert_to_numpy(net(X))
    net.save(tmp_path / "m.keras")
    net.save_weights(tmp_path / "m.weights.h5")
    model = nn.load(tmp_path / "m.keras")
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-4, atol=1e-6)
    for source in (tmp_path / "m.keras", tmp_path / "m.weights.h5", {v.path: v.numpy() for v in net.variables}):
        model.initialize(7)
        np.testing.assert_allclose(nn.load(source, into=model).predict(X), expected, rtol=1e-4, atol=1e-6)


def test_a_model_of_keras(rng: np.random.Generator, keras3: Any, tmp_path: Path) -> None:
    k, X = keras3.layers, rng.standard_normal((7, 6, 2)).astype(np.float32)
    net = keras3.Sequential([
        k.Input((6, 2)), k.GRU(4, return_sequences=True), k.SimpleRNN(3, return_sequences=True), k.GaussianNoise(0.1),
        k.Flatten(), k.Dense(5, activation="gelu"), k.BatchNormalization(), k.Dense(5, activation="leaky_relu"),
        k.LayerNormalization(), k.Dropout(0.3), k.Dense(4, use_bias=False), k.ELU(0.5), k.ReLU(negative_slope=0.1), k.Dense(2),
        k.Softmax(),
    ])  # fmt: skip
    net.set_weights(
        [rng.uniform(0.1, 0.9, w.shape) * rng.choice([1, 1 if w.ndim == 1 else -1], w.shape) for w in net.get_weights()]
    )
    assert_read(keras3, net, X, tmp_path)


MODELS: dict[str, Callable[[Any], list[Any]]] = {
    "reset before": lambda k: [k.GRU(4, reset_after=False, return_sequences=True), k.GRU(3, reset_after=False)],
    "both": lambda k: [
        k.Bidirectional(k.GRU(4, return_sequences=True, reset_after=False), name="both"),
        k.Bidirectional(k.SimpleRNN(3, return_sequences=True), merge_mode="sum"),
        k.Bidirectional(k.GRU(4), merge_mode="ave"),
        k.Dense(2),
    ],
    "masked, last state": lambda k: [k.Masking(-1.0), k.GRU(4, return_sequences=True), k.SimpleRNN(3), k.Dense(2)],
    "masked, every state": lambda k: [k.Masking(-1.0), k.SimpleRNN(4, return_sequences=True), k.LeakyReLU(negative_slope=0.1)],
    "masked, both": lambda k: [
        k.Masking(-1.0),
        k.GaussianDropout(0.1),
        k.Bidirectional(k.GRU(4, return_sequences=True)),
        k.Activation("tanh"),
        k.Bidirectional(k.SimpleRNN(3)),
    ],
    "masked, both and on": lambda k: [
        k.Masking(-1.0),
        k.Bidirectional(k.GRU(4, return_sequences=True), merge_mode="sum"),
        k.GRU(4, reset_after=False, return_sequences=True),
    ],
}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_recurrent_models_of_keras(name: str, rng: np.random.Generator, keras3: Any, tmp_path: Path) -> None:
    X = rng.standard_normal((7, 6, 2)).astype(np.float32)
    for row in range(6):  # padded after and before, up to the whole
        X[row, slice(row, None) if row % 2 else slice(row + 1)] = -1
    net = keras3.Sequential([keras3.layers.Input((6, 2)), *MODELS[name](keras3.layers)])
    net.set_weights([rng.uniform(-0.9, 0.9, w.shape) for w in net.get_weights()])
    assert_read(keras3, net, X, tmp_path)


def test_a_functional_model_of_keras(rng: np.random.Generator, keras3: Any, tmp_path: Path) -> None:
    x, X = keras3.layers.Input((3,)), rng.standard_normal((7, 3)).astype(np.float32)
    net = keras3.Model(x, keras3.layers.Dense(2)(keras3.layers.Dense(4, activation="mish")(x)))
    net.save(tmp_path / "m.keras")
    np.testing.assert_allclose(
        nn.load(tmp_path / "m.keras").predict(X), keras3.ops.convert_to_numpy(net(X)), rtol=1e-5, atol=1e-6
    )


def test_arrays_without_a_module_are_named_as_such(tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", X=np.ones((3, 5)))
    with pytest.raises(ValueError, match="its top level has X"):
        nn.load(tmp_path / "arrays.npz", into=nn.Sequential([nn.Dense(2)], input_shape=4))
