"""Layers that are random in training: the random numbers, their effect on activations and weights, and reproducibility.

The NumPy twins draw every number by themselves (`nncore.reference.random`), so a mask is compared element by element.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from helpers.configuration import arguments
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels, reference
from nncore._kernels import single_ops
from nncore.layers import NOISE
from nncore.losses import PythonLoss

Array = NDArray[Any]
Make = Callable[[], nn.Layer]

RTOL = {"float32": 1e-6, "float64": 1e-13}
ISAS = _kernels.complete_isas()
each_isa = pytest.mark.parametrize("isa", ISAS)
each_dtype = pytest.mark.parametrize("dtype", RTOL)

# Every part of an address is large somewhere: seed and step with bits in both halves, layer and stream.
ADDRESSES = [
    {"seed": 0, "layer": 1, "stream": 0, "step": 0},
    {"seed": 2**64 - 3, "layer": 2, "stream": 15, "step": 2**44 - 1},
    {"seed": 7 << 40 | 5, "layer": 65_535, "stream": 1, "step": 3 << 32 | 9},
]


def stream_sizes(address: dict[str, int]) -> tuple[int, int]:
    """Key and position as an op takes them: signed 64-bit integers."""
    seed = address["seed"]
    return seed - (seed >> 63 << 64), address["layer"] << 16 | address["stream"] << 12


# The numbers.

# Known answers of the authors' library Random123 for philox4x32 with 10 rounds: counter, key, numbers.
KNOWN = [
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("counter", "key", "numbers"), KNOWN)
def test_philox_known_answers(counter: list[int], key: list[int], numbers: list[int]) -> None:
    assert reference.philox(np.array([counter]), key[0] | key[1] << 32).tolist() == [numbers]


def test_elements_and_counters() -> None:
    """Element 64 b + 16 w + l is word w of counter (16 b + l; step; layer, stream, rest of step)."""
    address = ADDRESSES[2]
    bits = reference.random_bits(200, **address)
    for element, block, word, lane in [(0, 0, 0, 0), (17, 0, 1, 1), (63, 0, 3, 15), (64, 1, 0, 0), (199, 3, 0, 7)]:
        counter = [16 * block + lane, 0, 9, 65_535 << 16 | 1 << 12 | 3]
        assert bits[element] == reference.philox(np.array([counter]), address["seed"])[0, word]


@each_isa
@each_dtype
@pytest.mark.parametrize("first", [0, 4, 1020, 2**34 - 8])
def test_random_words(first: int, dtype: str, isa: str) -> None:
    """Of all numbers of elements around a vector; counters whose high half is not 0."""
    for n in (1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130):
        for address in ADDRESSES:
            key, epoch = stream_sizes(address)[0], address["step"]
            got = np.zeros(n, dtype=np.uint32)
            single_ops.run_op("random_words", (got,), dtype=dtype, sizes=(key, first), rows=n, step=epoch, isa=isa)
            number = np.array([(first + i) // 4 for i in range(n)], dtype=np.uint64)
            high = [np.full(n, epoch % 2**32), np.full(n, epoch >> 32)]
            words = reference.philox(np.stack([number % 2**32, number >> np.uint64(32), *high], axis=1), address["seed"])
            assert np.array_equal(got, words[np.arange(n), np.arange(n) % 4])


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 255, 256, 257, 700])
def test_orders_are_shuffles(n: int) -> None:
    for address in ADDRESSES:
        seed, epoch = address["seed"], address["step"]
        assert np.array_equal(
            _kernels.shuffled_orders(n, 1, seed, epoch)[0], reference.shuffled_order(n, seed=seed, epoch=epoch)
        )
    assert np.array_equal(reference.random_words(9, seed=3, epoch=2)[4:6], reference.philox(np.array([[1, 0, 2, 0]]), 3)[0, :2])


def test_each_part_of_the_address_matters() -> None:
    base = {"seed": 3, "layer": 1, "stream": 0, "step": 5}
    others = [{"seed": 4}, {"seed": 3 | 1 << 32}, {"layer": 2}, {"stream": 1}, {"step": 6}, {"step": 5 | 1 << 32}]
    draws = [reference.random_bits(1000, **base | change) for change in [{}, *others]]
    for i, a in enumerate(draws):
        for b in draws[:i]:
            assert (a == b).mean() < 0.01
            assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(1000)


def test_normal_numbers() -> None:
    """The first four moments of 10⁶ numbers, within four standard errors; neighbors and pairs are not correlated."""
    n = 1_000_000
    z = reference.random_normal(n, seed=11)
    for power, (mean, variance) in {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96)}.items():
        assert abs((z**power).mean() - mean) < 4 * np.sqrt(variance / n)
    for lag in (1, 16, 32, 64):
        assert abs((z[:-lag] * z[lag:]).mean()) < 4 / np.sqrt(n)
        assert abs((z[:-lag] ** 2 * z[lag:] ** 2).mean() - 1) < 4 * np.sqrt(8 / n)
    inside = np.array([0.5, 1, 2, 3])
    share = (np.abs(z)[:, None] < inside).mean(axis=0)
    expected = np.array([0.3829249225, 0.6826894921, 0.9544997361, 0.9973002039])
    assert (np.abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / n)).all()


# Kernels against their twins.

SHAPES = [(1, 1), (1, 63), (3, 64), (2, 65), (37, 53), (130, 7), (64, 128)]
RATES = [0.0, 0.1, 0.5, 0.999]
# op: (constants of the kernel, positional arguments of the twin) for a parameter p
OPS: dict[str, Callable[[float], tuple[tuple[float, ...], tuple[float, ...]]]] = {
    "dropout_forward": lambda p: ((1 / (1 - p), round(p * 2**32)), (p, 1 / (1 - p))),
    "dropout_backward": lambda p: ((0.7, round(p * 2**32)), (p, 0.7)),
    "scaled_forward": lambda p: ((p,), (p,)),
    "scaled_backward": lambda p: ((p,), (p,)),
    "gaussian_noise_forward": lambda p: ((p,), (p,)),
    "gaussian_dropout_forward": lambda p: ((p,), (p,)),
    "gaussian_dropout_backward": lambda p: ((p,), (p,)),
}


def run_noise(
    name: str, x: Array, p: float, address: dict[str, int], *, isa: str | None = None, threads: int = 1, block_rows: int = 16
) -> Array:
    y = np.full_like(x, np.nan)
    sizes = (x.shape[1], *([] if name.startswith("scaled") else stream_sizes(address)))
    failed = single_ops.run_op(
        name, (y, x), dtype=x.dtype, sizes=sizes, constants=OPS[name](p)[0], rows=len(x), step=address["step"], isa=isa,
        threads=threads, block_rows=block_rows,
    )  # fmt: skip
    assert not failed
    return y


def noise_twin(name: str, x: Array, p: float, address: dict[str, int]) -> Array:
    draw = {} if name.startswith("scaled") else address
    return getattr(reference, name)(x.astype(np.float64), *OPS[name](p)[1], **draw)


def assert_noise(name: str, x: Array, p: float, address: dict[str, int], isa: str, mutant: float = 1.0) -> None:
    """Relative to the terms: x + p ε, |ε| ≤ 5.8, may cancel. Dropped elements are exactly 0 in both."""
    got, want = run_noise(name, x, p, address, isa=isa), noise_twin(name, x, p * mutant, address)
    allowed = RTOL[str(x.dtype)] * (np.abs(want) + (np.abs(x) + 1) * 6 * p)
    if name.startswith("dropout"):
        assert np.array_equal(got == 0, want == 0)
    assert (np.abs(got - want) <= allowed).all(), np.abs(got - want).max()


@each_isa
@each_dtype
@pytest.mark.parametrize("name", OPS)
def test_noise_against_the_twin(name: str, dtype: str, isa: str, rng: np.random.Generator) -> None:
    for (shape, p), address in product(product(SHAPES, RATES), ADDRESSES):
        assert_noise(name, rng.normal(size=shape).astype(dtype), p, address, isa)


@pytest.mark.parametrize("name", OPS)
def test_mutant_noise(name: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(200, 64))
    assert_noise(name, x, 0.3, ADDRESSES[2], ISAS[-1])
    with pytest.raises(AssertionError):
        assert_noise(name, x, 0.3, ADDRESSES[2], ISAS[-1], mutant=1 + 1e-3)
    if not name.startswith("scaled"):
        got = run_noise(name, x, 0.3, ADDRESSES[2] | {"step": 10})
        assert not np.allclose(got, noise_twin(name, x, 0.3, ADDRESSES[2]))


@each_isa
@each_dtype
@pytest.mark.parametrize("name", OPS)
def test_noise_does_not_depend_on_the_division_of_work(name: str, dtype: str, isa: str, rng: np.random.Generator) -> None:
    for shape in [(130, 7), (200, 53), (67, 64)]:
        x = rng.normal(size=shape).astype(dtype)
        want = run_noise(name, x, 0.4, ADDRESSES[2], isa=isa)
        for threads, block_rows in [(1, 1), (1, 7), (2, 16), (3, 1), (3, 33), (1, 256)]:
            got = run_noise(name, x, 0.4, ADDRESSES[2], isa=isa, threads=threads, block_rows=block_rows)
            assert got.tobytes() == want.tobytes()


def test_dropped_numbers_are_zero() -> None:
    """Dropped NaN and infinities become 0: they are not multiplied by a mask."""
    x = np.full((1, 64), np.nan)
    y = run_noise("dropout_forward", x, 0.5, ADDRESSES[0])
    mask = reference.random_bits(64, **ADDRESSES[0]) < 2**31
    assert (y[0, mask] == 0).all()
    assert np.isnan(y[0, ~mask]).all()


# Layers in a model.

MAKE: dict[str, Make] = {name: lambda cls=cls: cls(**arguments(cls)) for name, cls in NOISE.items()} | {
    "dropout": lambda: nn.Dropout(0.4),
    "dropout scaled at test time": lambda: nn.Dropout(0.4, scale="test"),
    "gaussian_noise": lambda: nn.GaussianNoise(0.3),
    "gaussian_dropout": lambda: nn.GaussianDropout(0.4),
}
each_noise = pytest.mark.parametrize("noise", MAKE)
PLACES: dict[str, Callable[[Make], list[nn.Layer]]] = {
    "between": lambda noise: [nn.Dense(7), noise(), nn.Tanh(), nn.Dense(3)],
    "on the inputs": lambda noise: [noise(), nn.Dense(7), nn.Tanh(), nn.Dense(3)],
    "last": lambda noise: [nn.Dense(7), nn.Tanh(), noise()],
    "alone": lambda noise: [noise()],
    "twice": lambda noise: [nn.Dense(7), noise(), noise(), nn.Dense(3)],
}


def upstream(y: Array, r: Array) -> tuple[Array, Array]:
    """Σ_j r_j y_j per example: its gradient r is the δ that arrives at the last layer."""
    return (r * y).sum(axis=1), r


@each_noise
@pytest.mark.parametrize("place", PLACES)
def test_gradients_with_the_mask_held(noise: str, place: str, rng: np.random.Generator) -> None:
    model = nn.Sequential(PLACES[place](MAKE[noise]), input_shape=5, dtype="float64", seed=3)
    X, r = rng.standard_normal((9, 5)), rng.standard_normal((9, *model.output_shape))
    for step in (0, 3):
        errors = model.check_gradients(X, r, PythonLoss(upstream), step=step)
        assert "input" in errors
        assert max(errors.values()) <= 1e-6, errors


@each_noise
def test_steps_seeds_and_layers_differ(noise: str, rng: np.random.Generator) -> None:
    X = rng.uniform(1, 2, (20, 30))

    def noisy(seed: int, step: int) -> list[Array]:
        model = nn.Sequential([MAKE[noise](), MAKE[noise]()], input_shape=30, seed=seed)
        first, second = list(model.activations(X, training=True, step=step).values())[1:]
        assert np.array_equal(model.forward(X, training=True, step=step), second)
        return [first / X, second / np.where(first, first, 1)]

    draws = [draw for seed, step in [(0, 0), (0, 1), (0, 2**32), (1, 0)] for draw in noisy(seed, step)]
    for i, a in enumerate(draws):
        for b in draws[:i]:
            assert not np.allclose(a, b)
    assert all(np.array_equal(a, b) for a, b in zip(noisy(0, 1), draws[2:4], strict=True))


@each_noise
def test_the_noise_of_a_row_depends_only_on_its_position(noise: str, rng: np.random.Generator) -> None:
    """It does not depend on the number of rows, and so on the blocks of the batch."""
    X = rng.uniform(1, 2, (700, 13))
    model = nn.Sequential([MAKE[noise](), nn.Dense(37), MAKE[noise]()], input_shape=13)
    whole = model.forward(X, training=True, step=2)
    for rows in (1, 2, 17, 64, 65, 300):
        assert model.forward(X[:rows], training=True, step=2).tobytes() == whole[:rows].tobytes()


@each_noise
@each_dtype
def test_without_training_there_is_no_noise(noise: str, dtype: str, rng: np.random.Generator) -> None:
    X = rng.standard_normal((9, 5)).astype(dtype)
    model = nn.Sequential([MAKE[noise]()], input_shape=5, dtype=dtype)
    factor = np.dtype(dtype).type(0.6) if "test" in noise else 1
    assert np.array_equal(model.predict(X), factor * X)
    assert not np.allclose(model.forward(X, training=True), factor * X)


def test_scaling_at_test_time_is_scaling_the_weights(rng: np.random.Generator) -> None:
    """W_test = α W."""
    X = rng.standard_normal((9, 5))
    model = nn.Sequential([nn.Tanh(), nn.Dropout(0.25, scale="test"), nn.Dense(3)], input_shape=5, dtype="float64", seed=2)
    plain = nn.Sequential([nn.Tanh(), nn.Dense(3)], input_shape=5, dtype="float64")
    plain.parameters[...] = model.parameters
    plain.layers[1].weight *= 0.75
    assert np.allclose(model.predict(X), plain.predict(X), rtol=1e-14, atol=1e-15)


def test_inverted_dropout_is_its_own_scaling(rng: np.random.Generator) -> None:
    """Both kinds have the same mask; one divides by α at once, the other multiplies by it later."""
    X = rng.standard_normal((9, 5))
    one, other = (nn.Sequential([nn.Dropout(0.3, scale=scale)], 5, dtype="float64") for scale in ("training", "test"))
    assert np.allclose(one.forward(X, training=True), other.forward(X, training=True) / 0.7, rtol=1e-15)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_and_gaussian_dropout_have_their_moments(rate: float) -> None:
    """Mean x, variance x² rate/(1 − rate), of 10⁵ draws within four standard errors."""
    n, x = 100_000, 1.7
    for layer in (nn.Dropout(rate), nn.GaussianDropout(rate)):
        y = nn.Sequential([layer], n, dtype="float64", seed=4).forward(np.full((1, n), x), training=True)
        assert_moments(y[0], x, x * x * rate / (1 - rate))


def assert_moments(y: Array, mean: float, variance: float) -> None:
    """Mean and variance within four standard errors: √(variance/n), and √((μ₄ − variance²)/n) with the sample's μ₄."""
    n = len(y)
    assert abs(y.mean() - mean) <= 4 * np.sqrt(variance / n)
    fourth = ((y - mean) ** 4).mean()
    spread = max(fourth - variance**2, 0.0)  # 0 for two values that lie equally far from the mean
    assert abs(((y - mean) ** 2).mean() - variance) <= 4 * np.sqrt(spread / n) + 1e-9 * variance


def test_gaussian_noise_has_its_moments() -> None:
    y = nn.Sequential([nn.GaussianNoise(0.3)], 100_000, dtype="float64").forward(np.full((1, 100_000), 1.7), training=True)
    assert_moments(y[0], 1.7, 0.09)


def test_nothing_is_dropped_at_rate_0(rng: np.random.Generator) -> None:
    X = rng.standard_normal((9, 5))
    for scale in ("training", "test"):
        model = nn.Sequential([nn.Dropout(0, scale=scale)], input_shape=5, dtype="float64")
        assert np.array_equal(model.forward(X, training=True), X)
        assert np.array_equal(model.predict(X), X)


def test_a_rate_just_below_1() -> None:
    model = nn.Sequential([nn.Dropout(1 - 1e-16)], input_shape=1000)
    assert np.isfinite(model.forward(np.ones((1, 1000)), training=True)).all()


# PyTorch's gradients of the same formula with the same numbers.


def test_against_torch(rng: np.random.Generator, torch: Any) -> None:
    layers = [nn.Dropout(0.2), nn.Dense(7), nn.GaussianNoise(0.3), nn.Tanh(), nn.GaussianDropout(0.4), nn.Dense(3)]
    model = nn.Sequential(layers, input_shape=5, dtype="float64", seed=6)
    X, y = rng.standard_normal((9, 5)), rng.standard_normal((9, 3))
    value, gradient = model.loss_and_gradient(X, y, "squared_error", step=4)
    keep = (reference.random_bits(45, seed=6, layer=1, step=4) >= round(0.2 * 2**32)).reshape(9, 5)
    added, factor = (reference.random_normal(63, seed=6, layer=layer, step=4).reshape(9, 7) for layer in (3, 5))

    tensors = [torch.tensor(a, requires_grad=True) for layer in (layers[1], layers[5]) for a in (layer.weight, layer.bias)]
    h = torch.tensor(X * keep / 0.8) @ tensors[0].T + tensors[1]
    h = torch.tanh(h + torch.tensor(0.3 * added)) * torch.tensor(1 + np.sqrt(0.4 / 0.6) * factor)
    loss = 0.5 * ((h @ tensors[2].T + tensors[3] - torch.tensor(y)) ** 2).sum() / 9
    loss.backward()
    assert value == pytest.approx(loss.item(), rel=1e-13)
    want = np.concatenate([tensor.grad.numpy().ravel() for tensor in tensors])
    assert np.abs(gradient - want).max() <= 1e-12 * np.abs(want).max()


# Training.


def data(rng: np.random.Generator) -> tuple[Array, Array]:
    return rng.standard_normal((500, 60)), rng.integers(0, 10, 500)


def noisy_net(noise: str, dtype: str = "float32", seed: int = 0) -> nn.Sequential:
    return nn.Sequential([MAKE[noise](), nn.Dense(130), nn.ReLU(), MAKE[noise](), nn.Dense(10)], 60, dtype=dtype, seed=seed)


@each_noise
@each_dtype
def test_same_bits_on_any_number_of_threads(noise: str, dtype: str, rng: np.random.Generator) -> None:
    X, y = data(rng)
    before = nn.get_num_threads()
    trained = []
    try:
        for threads in (1, 2, 3):
            nn.set_num_threads(threads)
            model = noisy_net(noise, dtype)
            nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=1e-3)).fit(X, y, epochs=3, batch_size=128, verbose=0)
            trained.append(model.parameters.tobytes())
    finally:
        nn.set_num_threads(before)
    assert trained[0] == trained[1] == trained[2]


@each_noise
def test_resumed_training_has_the_same_bits(noise: str, rng: np.random.Generator, tmp_path: Any) -> None:
    X, y = data(rng)

    def trainer() -> nn.Trainer:
        return nn.Trainer(noisy_net(noise), "softmax_cross_entropy", nn.Adam(lr=1e-3))

    through, first, second = trainer(), trainer(), trainer()
    through.fit(X, y, epochs=4, batch_size=64, verbose=0)
    first.fit(X, y, epochs=2, batch_size=64, verbose=0)
    first.save(tmp_path / "checkpoint")
    second.restore(tmp_path / "checkpoint")
    second.fit(X, y, epochs=2, batch_size=64, verbose=0)
    assert second.model.parameters.tobytes() == through.model.parameters.tobytes()


@each_noise
def test_training_draws_what_loss_and_gradient_draws(noise: str, rng: np.random.Generator) -> None:
    """Step t of a training by hand, with ``step=t``, is the trainer's step t."""
    X, y = data(rng)
    model, by_hand = noisy_net(noise, "float64"), noisy_net(noise, "float64")
    nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=0.1)).fit(X, y, epochs=1, batch_size=100, shuffle=False, verbose=0)
    for t in range(5):
        rows = slice(100 * t, 100 * t + 100)
        _, gradient = by_hand.loss_and_gradient(X[rows], y[rows], "softmax_cross_entropy", step=t)
        by_hand.parameters -= 0.1 * gradient
    assert np.allclose(by_hand.parameters, model.parameters, rtol=1e-10, atol=1e-13)


@each_noise
def test_save_and_load(noise: str, rng: np.random.Generator, tmp_path: Any) -> None:
    model = noisy_net(noise, seed=5)
    model.save(tmp_path / "model")
    other = nn.load(tmp_path / "model")
    X, _ = data(rng)
    assert repr(other) == repr(model)
    assert np.array_equal(other.forward(X, training=True, step=7), model.forward(X, training=True, step=7))


# Monte-Carlo prediction.


@each_noise
def test_predict_samples(noise: str, rng: np.random.Generator) -> None:
    X, _ = data(rng)
    model = noisy_net(noise, "float64")
    samples = model.predict_samples(X[:7], 20, step=3)
    assert samples.shape == (20, 7, 10)
    # Seven rows are one batch of a pass, so sample s has the noise of training step 3 + s.
    for s in (0, 1, 19):
        assert np.allclose(samples[s], model.forward(X[:7], training=True, step=3 + s), rtol=1e-12, atol=1e-13)
    assert np.array_equal(samples, model.predict_samples(X[:7], 20, step=3))
    assert (samples.std(axis=0) > 0).all()


def test_samples_average_to_the_prediction_of_a_linear_model(rng: np.random.Generator) -> None:
    model = nn.Sequential([nn.Dropout(0.5), nn.Dense(1)], input_shape=3, dtype="float64", seed=1)
    X, n = rng.standard_normal((1500, 3)), 2000  # more rows than one pass
    samples = model.predict_samples(X, n)
    variance = ((X * model.layers[1].weight) ** 2).sum(axis=1)
    error = np.abs(samples.mean(axis=0)[:, 0] - model.predict(X)[:, 0])
    assert (error <= 5 * np.sqrt(variance / n)).all()  # five: there are 1500 of them
    assert np.allclose(samples.var(axis=0)[:, 0], variance, rtol=0.2)


def test_predictions_without_noise_do_not_spread(rng: np.random.Generator) -> None:
    model = nn.Sequential([nn.Dense(4), nn.Tanh()], input_shape=3)
    X = rng.standard_normal((5, 3))
    samples = model.predict_samples(X, 3)
    assert all(np.array_equal(sample, model.predict(X)) for sample in samples)


# Dropout is an average over sub-networks.


def enumerate_subnetworks(model: nn.Sequential, x: Array, rate: float) -> tuple[Array, Array]:
    """Mean and variance of the output over the 2^(inputs + units) masks of [Dropout, Dense, Tanh, Dropout, Dense]."""
    _, first, _, _, last = model.layers
    inputs = first.inputs
    mean, square = np.zeros((len(x), last.units)), np.zeros((len(x), last.units))
    for bits in product((0, 1), repeat=inputs + first.units):
        keep = np.array(bits)
        probability = (1 - rate) ** keep.sum() * rate ** (keep.size - keep.sum())
        h = np.tanh((x * keep[:inputs] / (1 - rate)) @ first.weight.T + first.bias)
        y = (h * keep[inputs:] / (1 - rate)) @ last.weight.T + last.bias
        mean += probability * y
        square += probability * y**2
    return mean, square - mean**2


@pytest.mark.parametrize("rate", [0.3, 0.5])
def test_the_mean_over_masks_is_the_mean_over_all_subnetworks(rate: float, rng: np.random.Generator) -> None:
    layers = [nn.Dropout(rate), nn.Dense(6), nn.Tanh(), nn.Dropout(rate), nn.Dense(2)]
    model = nn.Sequential(layers, input_shape=3, dtype="float64", seed=9)
    model.parameters[...] = rng.normal(0, 1, model.parameters.size)
    x, n = rng.standard_normal((5, 3)), 40_000
    exact, variance = enumerate_subnetworks(model, x, rate)
    samples = model.predict_samples(x, n)
    assert (np.abs(samples.mean(axis=0) - exact) <= 4 * np.sqrt(variance / n)).all()
    assert np.allclose(samples.var(axis=0), variance, rtol=0.05)
    # A nonlinear net scaled for all units at once is only near that mean; here by more than the sampling error.
    assert (np.abs(model.predict(x) - exact) > 4 * np.sqrt(variance / n)).any()


# Invalid arguments.


@pytest.mark.parametrize("rate", [1, 1.0, -0.1, 1.5, float("nan"), float("inf"), "0.5", None, True])
@pytest.mark.parametrize("make", [nn.Dropout, nn.GaussianDropout])
def test_bad_rate(make: Callable[..., nn.Layer], rate: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"rate must be a number in \[0, 1\), got"):
        make(rate)


@pytest.mark.parametrize("stddev", [-0.1, float("nan"), float("inf"), "1", None])
def test_bad_stddev(stddev: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"stddev must be a finite number of at least 0, got"):
        nn.GaussianNoise(stddev)


def test_bad_scale() -> None:
    with pytest.raises(ValueError, match=r"scale must be 'training' or 'test', got 'train'"):
        nn.Dropout(0.5, scale="train")


@pytest.mark.parametrize("step", [-1, 0.5, 2**44, None, True])
def test_bad_step(step: Any) -> None:
    model = nn.Sequential([nn.Dropout(0.5), nn.Dense(1)], input_shape=3)
    X, y = np.ones((2, 3)), np.ones(2)
    calls: list[Callable[[], Any]] = [
        lambda: model.forward(X, training=True, step=step),
        lambda: model.activations(X, training=True, step=step),
        lambda: model.predict_samples(X, 2, step=step),
        lambda: model.loss_and_gradient(X, y, "squared_error", step=step),
        lambda: model.deltas(X, y, "squared_error", step=step),
        lambda: model.check_gradients(X, y, "squared_error", step=step),
    ]
    for call in calls:
        with pytest.raises((TypeError, ValueError), match=r"step must be an integer from 0 to 2\*\*44 - 1, got"):
            call()


@pytest.mark.parametrize("samples", [0, -1, 1.5, None])
def test_bad_number_of_samples(samples: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="samples must be a positive integer, got"):
        nn.Sequential([nn.Dense(1)], input_shape=3).predict_samples(np.ones((2, 3)), samples)
