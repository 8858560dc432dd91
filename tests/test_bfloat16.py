"""Networks with products of bfloat16 numbers: ``compute_dtype="bfloat16"``."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels, reference

Array = NDArray[Any]

LAYERS = {
    "dense": lambda: nn.Dense(70),
    "without bias": lambda: nn.Dense(70, bias=False),
    "weight norm": lambda: nn.WeightNorm(nn.Dense(70)),
    "dropconnect": lambda: nn.DropConnect(70, 0.3),
    "weight noise": lambda: nn.GaussianWeightNoise(70, 0.1),
    "whiteout": lambda: nn.AdditiveWhiteout(70, 0.1),
}


def numbers(rng: np.random.Generator, *shape: int) -> Array:
    return rng.normal(size=shape).astype(np.float32)


def network(compute_dtype: str | None = "bfloat16", seed: int = 0) -> nn.Sequential:
    layers = [nn.Dense(96), nn.ReLU(), nn.Dense(65), nn.Tanh(), nn.Dense(3)]
    return nn.Sequential(layers, input_shape=81, compute_dtype=compute_dtype, seed=seed)


def angle(a: Array, b: Array) -> float:
    """sin of the angle between two vectors."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    a, b = a / np.sqrt((a * a).sum()), b / np.sqrt((b * b).sum())
    return float(np.sqrt(((a - (a * b).sum() * b) ** 2).sum()))


def test_forward_and_gradient_have_the_bits_of_the_twin(rng: np.random.Generator) -> None:
    """One layer and the squared error: dy = (y - d) / rows, then the three products."""
    model = nn.Sequential([nn.Dense(70)], input_shape=81, compute_dtype="bfloat16", seed=1)
    layer: Any = model.layers[0]
    layer.bias[...] = numbers(rng, 70)
    X, d = numbers(rng, 33, 81), numbers(rng, 33, 70)
    y = reference.dense_forward_bfloat16(X, layer.weight, layer.bias)
    assert model.forward(X).tobytes() == y.tobytes()
    deltas = model.deltas(X, d, "squared_error")
    _, gradient = model.loss_and_gradient(X, d, "squared_error")
    dW = reference.dense_backward_weight_bfloat16(deltas["dense_1"], X)
    assert gradient[: dW.size].tobytes() == dW.tobytes()
    assert deltas["input"].tobytes() == reference.dense_backward_input_bfloat16(deltas["dense_1"], layer.weight).tobytes()


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_every_layer_with_weights_rounds(name: str, rng: np.random.Generator) -> None:
    """Outputs and gradients differ from those in float32, by what 8 bits explain."""
    X, d = numbers(rng, 40, 81), numbers(rng, 40, 70)
    pair = [nn.Sequential([LAYERS[name]()], 81, compute_dtype=compute, seed=1) for compute in (None, "bfloat16")]
    outputs = [model.forward(X, training=True) for model in pair]
    gradients = [model.loss_and_gradient(X, d, "squared_error")[1] for model in pair]
    for exact, rounded in (outputs, gradients):
        assert 1e-4 < angle(rounded.ravel(), exact.ravel()) < 1e-2


RECURRENT = {
    "simple": lambda units: nn.SimpleRNN(units),
    "gru": lambda units: nn.GRU(units),
    "reset before": lambda units: nn.GRU(units, reset_after=False),
    "both directions": lambda units: nn.Bidirectional(nn.GRU(units)),
}


@pytest.mark.parametrize("name", sorted(RECURRENT))
@pytest.mark.parametrize(("inputs", "units"), [(80, 65), (80, 20), (3, 65)])
def test_recurrent_layers_round(name: str, inputs: int, units: int, rng: np.random.Generator) -> None:
    """The products with W and with U, each where it is large enough; dU is rounded where those with U are."""
    pair = [nn.Sequential([RECURRENT[name](units)], (5, inputs), compute_dtype=c, seed=1) for c in (None, "bfloat16")]
    X, d = numbers(rng, 7, 5, inputs), numbers(rng, 7, *pair[0].output_shape)
    exact, rounded = (model.loss_and_gradient(X, d, "squared_error")[1] for model in pair)
    large = name != "simple" and inputs >= 64 and 3 * units >= 64
    if units < 64 and not large:
        assert exact.tobytes() == rounded.tobytes()
    else:
        assert 1e-4 < angle(rounded, exact) < 1e-2


@pytest.mark.parametrize("name", sorted(RECURRENT))
def test_the_state_is_rounded_in_each_step(name: str, rng: np.random.Generator) -> None:
    """With W = 0 only products with U can round: the states after the first differ, by what 8 bits explain."""
    pair = [nn.Sequential([RECURRENT[name](64)], (4, 64), compute_dtype=c, seed=1) for c in (None, "bfloat16")]
    for model in pair:
        for array, parameter in model.layers[0].parameters.items():
            if array.endswith("weight") and "recurrent" not in array:
                parameter.of(model.parameters)[...] = 0
            elif array.endswith("bias"):
                parameter.of(model.parameters)[...] = np.linspace(-1, 1, parameter.size)
    exact, rounded = (model.predict(numbers(rng, 5, 4, 64)) for model in pair)
    assert 1e-5 < angle(rounded.ravel(), exact.ravel()) < 1e-2


@pytest.mark.parametrize("name", sorted(RECURRENT))
def test_recurrent_bits_do_not_depend_on_the_number_of_threads(name: str, rng: np.random.Generator) -> None:
    X, d = numbers(rng, 130, 6, 70), rng.integers(0, 3, 130)

    def trained_bits(threads: int) -> bytes:
        nn.set_num_threads(threads)
        model = nn.Sequential([nn.Masking(), RECURRENT[name](70), nn.Dense(3)], (6, 70), compute_dtype="bfloat16", seed=0)
        trainer = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(0.1))
        trainer.fit(X, d, epochs=2, batch_size=65, verbose=0)
        return model.parameters.tobytes() + model.predict(X).tobytes()

    X[rng.random((130, 6)) < 0.2] = 0
    before = nn.get_num_threads()
    try:
        assert len({trained_bits(threads) for threads in (1, 2, 3)}) == 1
    finally:
        nn.set_num_threads(before)


def test_weight_norm_predicts_with_the_weights_as_they_are(rng: np.random.Generator) -> None:
    """At inference W = g v/‖v‖ is rounded after it has been computed, also where several threads share it."""
    X, before = numbers(rng, 40, 257), nn.get_num_threads()
    model = nn.Sequential([nn.WeightNorm(nn.Dense(300)), nn.Dense(3)], 257, compute_dtype="bfloat16", seed=0)
    plain = nn.Sequential([nn.Dense(300), nn.Dense(3)], 257, compute_dtype="bfloat16")
    normed, last = model.layers
    assert isinstance(normed, nn.WeightNorm)
    plain["dense_2"].weight[...] = last.weight
    try:
        for threads in (2, 1, 3, 2):
            nn.set_num_threads(threads)
            normed.length[...] = rng.uniform(0.5, 2, 300)
            plain["dense_1"].weight[...] = normed.weight
            assert model.forward(X).tobytes() == plain.forward(X).tobytes(), threads
    finally:
        nn.set_num_threads(before)


@pytest.mark.parametrize(("units", "inputs", "rounds"), [(64, 64, True), (63, 200, False), (200, 63, False)])
def test_small_layers_stay_in_float32(units: int, inputs: int, rounds: bool, rng: np.random.Generator) -> None:
    X = numbers(rng, 20, inputs)
    exact, rounded = (nn.Sequential([nn.Dense(units)], inputs, compute_dtype=c).forward(X) for c in (None, "bfloat16"))
    assert (exact.tobytes() != rounded.tobytes()) == rounds


@pytest.mark.parametrize("rows", [1, 7, 40, 300])
def test_predictions_do_not_depend_on_the_batch(rows: int, rng: np.random.Generator) -> None:
    model, X = network(), numbers(rng, 300, 81)
    assert model.predict(X[:rows]).tobytes() == model.predict(X)[:rows].tobytes()


def trained(threads: int, epochs: int = 3) -> Array:
    """θ after some steps of a network that several threads share, with a last batch of an odd number of rows."""
    rng = np.random.default_rng(0)
    X, y = numbers(rng, 555, 200), rng.integers(0, 10, 555)
    layers = [nn.Dense(150), nn.ReLU(), nn.Dense(130), nn.ReLU(), nn.Dense(10)]
    model = nn.Sequential(layers, 200, compute_dtype="bfloat16", seed=0)
    trainer = nn.Trainer(model, loss="softmax_cross_entropy", optimizer=nn.SGD(0.1), seed=0)
    before = nn.get_num_threads()
    nn.set_num_threads(threads)
    try:
        trainer.fit(X, y, epochs=epochs, batch_size=128, verbose=0)
    finally:
        nn.set_num_threads(before)
    return model.parameters.copy()


def test_the_bits_do_not_depend_on_the_number_of_threads() -> None:
    assert len({trained(threads).tobytes() for threads in (1, 2, 3, 5)}) == 1


ONE_STEP = """
import hashlib, numpy as np, nncore as nn
rng = np.random.default_rng(0)
X, d = (rng.normal(size=(50, n)).astype(np.float32) for n in (200, 90))
model = nn.Sequential([nn.Dense(70, bias=False), nn.ReLU(), nn.Dense(90)], 200, compute_dtype="bfloat16", seed=0)
gradient = model.loss_and_gradient(X, d, "mean_absolute_error")[1]
print(hashlib.sha256(model.forward(X).tobytes() + gradient.tobytes()).hexdigest())
"""


def test_products_have_the_same_bits_with_every_instruction_set() -> None:
    """A network of which nothing but products rounds: ReLU and the absolute error are exact, but for the mean's factor."""
    digests = set()
    for isa in _kernels.available_isas():
        environment = {"NNCORE_ISA": isa, "PYTHONPATH": str(Path(nn.__file__).parent.parent), "PYTHONWARNINGS": "ignore"}
        run = subprocess.run([sys.executable, "-c", ONE_STEP], env=environment, capture_output=True, text=True, check=True)
        digests.add(run.stdout)
    assert len(digests) == 1


def digits() -> tuple[Array, Array]:
    X, y = nn.data.load_digits()
    return (2.5 * X.reshape(len(X), -1) - 1.2).astype(np.float32), y


def test_gradients_point_where_those_in_float32_do() -> None:
    """8 bits are a relative error of 2⁻⁹ per operand: 0.04 of outputs up to 20, and so 4 % of an exponentially small δ."""
    X, y = digits()
    pair = [
        nn.Sequential([nn.Dense(128), nn.GELU(), nn.Dense(96), nn.GELU(), nn.Dense(10)], 64, compute_dtype=compute, seed=0)
        for compute in (None, "bfloat16")
    ]
    for epochs, most in ((0, 5e-3), (3, 1e-2)):
        if epochs:
            trainer = nn.Trainer(pair[0], loss="softmax_cross_entropy", optimizer=nn.Adam(), seed=0)
            trainer.fit(X, y, epochs=epochs, batch_size=64, verbose=0)
            pair[1].parameters = pair[0].parameters
        of_exact, of_rounded = (model.loss_and_gradient(X, y, "softmax_cross_entropy")[1] for model in pair)
        assert 1e-3 < angle(of_rounded, of_exact) < most


def test_training_learns_and_resumes(tmp_path: Path) -> None:
    X, y = digits()

    def trainer() -> nn.Trainer:
        layers = [nn.Dense(96), nn.ReLU(), nn.Dense(64), nn.ReLU(), nn.Dense(10)]
        model = nn.Sequential(layers, X.shape[1], compute_dtype="bfloat16", seed=0)
        return nn.Trainer(model, loss="softmax_cross_entropy", optimizer=nn.Adam(1e-3), seed=0)

    through, first, second = trainer(), trainer(), trainer()
    through.fit(X, y, epochs=6, batch_size=64, verbose=0)
    first.fit(X, y, epochs=3, batch_size=64, verbose=0)
    first.save(tmp_path / "half.safetensors")
    second.restore(tmp_path / "half.safetensors")
    second.fit(X, y, epochs=3, batch_size=64, verbose=0)
    assert second.model.parameters.tobytes() == through.model.parameters.tobytes()
    assert through.evaluate(X, y)["loss"] < 0.2  # from 2.7


def test_a_checkpoint_of_other_products_is_refused(tmp_path: Path) -> None:
    for compute, other in ((None, "bfloat16"), ("bfloat16", None)):
        nn.Trainer(network(compute), loss="squared_error", optimizer="sgd").save(tmp_path / "a.safetensors")
        trainer = nn.Trainer(network(other), loss="squared_error", optimizer="sgd")
        with pytest.raises(ValueError, match="compute_dtype"):
            trainer.restore(tmp_path / "a.safetensors")


def test_copies_and_files_keep_it(tmp_path: Path, rng: np.random.Generator) -> None:
    model, X = network(), numbers(rng, 20, 81)
    model.save(tmp_path / "model.safetensors")
    copies = [model.copy(), copy.deepcopy(model), pickle.loads(pickle.dumps(model)), nn.load(tmp_path / "model.safetensors")]
    copies.append(eval(repr(model), vars(nn)))
    for other in copies:
        assert other.compute_dtype == "bfloat16"
        assert other.predict(X).tobytes() == model.predict(X).tobytes()
    assert (network(None).compute_dtype, model.astype("float64").compute_dtype) == ("float32", "float64")
    exact = model.astype("float32")
    assert exact.compute_dtype == "float32"
    assert exact.predict(X).tobytes() == network(None).predict(X).tobytes()
    assert exact.astype("float32", "bfloat16").predict(X).tobytes() == model.predict(X).tobytes()
    with pytest.raises(ValueError, match="compute_dtype bfloat16 needs the dtype float32, got float64"):
        model.astype("float64", "bfloat16")
    assert "products in bfloat16" in str(model.summary())
    with pytest.raises(AttributeError, match="compute_dtype"):
        model.compute_dtype = "float32"


def test_curvature_is_in_float32(rng: np.random.Generator) -> None:
    X, y, v = numbers(rng, 20, 81), numbers(rng, 20, 3), numbers(rng, network().parameters.size)
    products = [m.hessian_vector_product(X, y, "squared_error", v) for m in (network(None), network())]
    assert products[0].tobytes() == products[1].tobytes()
    errors = network().check_gradients(X, y, "squared_error")
    assert max(errors.values()) < 1e-6


def test_members_of_an_ensemble_are_what_they_are_alone(rng: np.random.Generator) -> None:
    X, y = numbers(rng, 200, 81), rng.integers(0, 3, 200)
    ensemble = nn.Ensemble(network(), 3)
    nn.Trainer(ensemble, loss="softmax_cross_entropy", optimizer=nn.Adam(), seed=4).fit(
        X, y, epochs=2, batch_size=50, verbose=0
    )
    for number in range(3):
        alone = network(seed=number)
        trainer = nn.Trainer(alone, loss="softmax_cross_entropy", optimizer=nn.Adam(), seed=4 + number)
        trainer.fit(X, y, epochs=2, batch_size=50, verbose=0)
        assert ensemble[number].parameters.tobytes() == alone.parameters.tobytes()


def test_accumulated_steps(rng: np.random.Generator) -> None:
    X, y = numbers(rng, 128, 81), rng.integers(0, 3, 128)
    model = network()
    trainer = nn.Trainer(model, loss="softmax_cross_entropy", optimizer=nn.SGD(0.1), seed=0)
    trainer.fit(X, y, epochs=2, batch_size=16, accumulate=4, verbose=0)
    whole = network()
    nn.Trainer(whole, loss="softmax_cross_entropy", optimizer=nn.SGD(0.1), seed=0).fit(X, y, epochs=2, batch_size=64, verbose=0)
    assert np.allclose(model.parameters, whole.parameters, atol=2e-3)


def test_not_finite_numbers_stop_a_training(rng: np.random.Generator) -> None:
    """NaN and infinity are kept by the rounding, so that training notices them."""
    model = network()
    X, y = numbers(rng, 40, 81), rng.integers(0, 3, 40)
    model.parameters[-198:-3] = 3e38
    before = model.parameters.copy()
    with pytest.raises(nn.DivergenceError):
        nn.Trainer(model, loss="softmax_cross_entropy", optimizer="sgd").fit(X * 1e5, y, batch_size=40, verbose=0)
    assert model.parameters.tobytes() == before.tobytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compute_dtype": "float16"}, "compute_dtype must be bfloat16, or None for the dtype float32, got 'float16'"),
        ({"compute_dtype": "float64"}, "compute_dtype must be bfloat16, or None for the dtype float32, got 'float64'"),
        ({"compute_dtype": np.float32}, "compute_dtype must be bfloat16"),
        ({"compute_dtype": "bfloat16", "dtype": "float64"}, "compute_dtype bfloat16 needs the dtype float32, got float64"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.Sequential([nn.Dense(1)], input_shape=1, **options)


@pytest.mark.filterwarnings("default")
def test_a_warning_where_it_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kernels, "has_bfloat16", lambda: False)
    with pytest.warns(RuntimeWarning, match="they are computed in float32, with the same bits") as record:
        nn.Sequential([nn.Dense(1)], input_shape=1, compute_dtype="bfloat16")
    assert record[0].filename == __file__
    assert "emulated" in nn.show_config()
