"""Dense layers with noisy weights: kernels against their twins, moments, gradients with the noise held, training."""

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from helpers.configuration import arguments
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels, reference
from nncore._kernels import single_ops
from nncore.layers.weight_noise import WEIGHT_NOISE
from nncore.losses import PythonLoss

Array = NDArray[Any]

RTOL = {"float32": 2e-6, "float64": 1e-13}
ISAS = _kernels.complete_isas()
each_isa = pytest.mark.parametrize("isa", ISAS)
each_dtype = pytest.mark.parametrize("dtype", RTOL)

MAKE: dict[str, Callable[..., nn.Layer]] = {
    name: lambda units, cls=cls, **kw: cls(**{**arguments(cls), "units": units, **kw}) for name, cls in WEIGHT_NOISE.items()
} | {
    "drop_connect": lambda units, **kw: nn.DropConnect(units, 0.4, **kw),
    "shakeout": lambda units, **kw: nn.Shakeout(units, 0.3, 0.2, **kw),
    "multiplicative_whiteout": lambda units, **kw: nn.MultiplicativeWhiteout(units, 0.3, 0.8, 0.2, **kw),
    "additive_whiteout": lambda units, **kw: nn.AdditiveWhiteout(units, 0.3, 0.8, 0.2, **kw),
    "additive_whiteout_2": lambda units, **kw: nn.AdditiveWhiteout(units, 0.3, 2.0, 0.0, **kw),
    "gaussian_weight_noise": lambda units, **kw: nn.GaussianWeightNoise(units, 0.3, **kw),
}
each_noise = pytest.mark.parametrize("noise", MAKE)


def weights(rng: np.random.Generator, *shape: int) -> Array:
    """Of both signs, off the kink at 0 where sign and |w|^p have no derivative."""
    w = rng.normal(0, 0.7, shape)
    return w + np.copysign(0.05, w)


# Kernels against their twins.

# op: (constants of the kernel, positional arguments of the twin), several of each
SHAKEOUT = [(rate, c) for rate in (0.0, 0.3, 0.9) for c in (0.0, 0.25)]
WHITEOUT = [(0.5, 1.0, 0.0), (0.2, 0.0, 0.0), (0.3, 1.7, 0.1), (0.4, 2.0, 0.0), (0.0, 1.0, 0.3), (0.0, 1.0, 0.0)]
OPTIONS: dict[str, list[tuple[float, ...]]] = {
    "shakeout": SHAKEOUT,
    "whiteout_multiplicative": WHITEOUT,
    "whiteout_additive": WHITEOUT,
}
SIZES = [(1, 1, 1), (3, 5, 7), (9, 33, 17), (16, 300, 65), (70, 64, 128), (33, 1, 40)]  # rows, inputs, units
ADDRESS = {"seed": 7 << 40 | 5, "layer": 3, "stream": 0, "step": 3 << 32 | 9}


def constants(name: str, options: tuple[float, ...]) -> tuple[float, ...]:
    if name == "shakeout":
        rate, c = options
        return 1 / (1 - rate), round(rate * 2**32), c, rate
    sigma, gamma, lam = options
    return sigma**2, 2 - gamma, lam


def run_tiles(name: str, arrays: tuple[Any, ...], extra: tuple[int, ...], options: tuple[float, ...], shape: tuple[int, int],
              pieces: int, **kw: Any) -> None:  # fmt: skip
    sizes = (*shape, ADDRESS["seed"], ADDRESS["layer"] << 16, *extra)
    op, _, _ = name.rpartition("_")
    run = {"axis": "tiles", "pieces": pieces, "step": ADDRESS["step"], "dtype": arrays[0].dtype, **kw}
    assert not single_ops.run_op(name, arrays, sizes=sizes, constants=constants(op, options), **run)


def forward(name: str, options: tuple[float, ...], W: Array, b: Array | None, **kw: Any) -> tuple[Array, Array | None]:
    """W̃ and its packed copy, or b̃."""
    if name == "whiteout_additive":
        noisy = np.full(len(W), np.nan, W.dtype)
        run_tiles("whiteout_additive_forward", (noisy, b, W), (3,), options, W.shape, -(-len(W) // 3), **kw)
        return noisy, None
    tiles = _kernels.weight_tiles(*W.shape)
    noisy, packed = np.full_like(W, np.nan), np.full(_kernels.packed_size(*W.shape), np.nan, W.dtype)
    run_tiles(f"{name}_forward", (packed, noisy, W, tiles), (), options, W.shape, len(tiles), **kw)
    return noisy, packed


def backward(name: str, options: tuple[float, ...], dy: Array, x: Array, W: Array, **kw: Any) -> Array:
    """dW: the product dyᵀ x, then the noise."""
    dW, tiles = np.full_like(W, np.nan), _kernels.weight_tiles(*W.shape)
    single_ops.dense_backward_weight(dW, None, dy, x, **kw)
    run_tiles(f"{name}_backward", (dW, tiles, W, dy), (), options, W.shape, len(tiles), rows=len(x), **kw)
    return dW


def twins(name: str, options: tuple[float, ...], dy: Array, x: Array, W: Array, b: Array | None) -> tuple[Array, Array]:
    """W̃ or b̃, and dW, in float64."""
    dy, x, W = (a.astype(np.float64) for a in (dy, x, W))
    dW = reference.dense_backward_weight(dy, x)
    if name == "shakeout":
        return reference.shakeout_forward(W, *options, **ADDRESS), reference.shakeout_backward(dW, options[0], **ADDRESS)
    if name == "whiteout_additive":
        b, db = None if b is None else b.astype(np.float64), reference.dense_backward_bias(dy)
        back = reference.whiteout_additive_backward(dW, db, W, *options, **ADDRESS)
        return reference.whiteout_additive_forward(b, W, *options, **ADDRESS), back
    back = reference.whiteout_multiplicative_backward(dW, W, *options, **ADDRESS)
    return reference.whiteout_multiplicative_forward(W, *options, **ADDRESS), back


def inputs(rng: np.random.Generator, size: tuple[int, int, int], dtype: str) -> tuple[Array, Array, Array, Array]:
    rows, n, units = size
    arrays = rng.normal(size=(rows, units)), rng.normal(size=(rows, n)), weights(rng, units, n), rng.normal(size=units)
    dy, x, W, b = (a.astype(dtype) for a in arrays)
    return dy, x, W, b


def assert_close(got: Array, want: Array, terms: Array | float, dtype: str) -> None:
    """``terms``: the size of the terms whose sum or difference it is."""
    error = np.abs(got - want)
    assert (error <= RTOL[dtype] * (np.abs(want) + terms)).all(), (error / (np.abs(want) + terms)).max()


@cache
def expected(
    name: str, options: tuple[float, ...], size: tuple[int, int, int], dtype: str, biased: bool
) -> tuple[Array, Array]:
    """The results of the twins for the inputs of `check`, the same on every instruction set."""
    dy, x, W, b = inputs(np.random.default_rng(1), size, dtype)
    return twins(name, options, dy, x, W, b if biased else None)


def check(name: str, options: tuple[float, ...], mutant: tuple[float, ...], size: tuple[int, int, int], dtype: str,
          isa: str | None) -> None:  # fmt: skip
    dy, x, W, bias = inputs(np.random.default_rng(1), size, dtype)
    for b in (bias, None) if name == "whiteout_additive" else (None,):
        noisy, packed = forward(name, options, W, b, isa=isa)
        dW = backward(name, options, dy, x, W, isa=isa)
        want, want_dW = expected(name, mutant, size, dtype, b is not None)
        # w + n and Σ n: |n| ≤ 5.8 spread; dW: sums of |dy x| times a factor of 1 + slope ε, slope ≤ 5 where |w| ≥ 0.05
        noise = 6 * (np.abs(W) + 1) if name != "whiteout_additive" else 6 * W.shape[1] + np.abs(0 if b is None else b)
        assert_close(noisy, want, noise, dtype)
        assert_close(dW, want_dW, 10 * (np.abs(dy).T @ np.abs(x) + np.abs(dy).sum(axis=0)[:, None]), dtype)
        if packed is not None:  # what the forward product computes with is W̃
            y = np.empty((len(x), len(W)), dtype)
            single_ops.run_op("dense_forward", (y, x, packed, None), dtype=W.dtype, sizes=W.shape, rows=len(x), isa=isa)
            assert_close(y, x.astype(np.float64) @ noisy.astype(np.float64).T, np.abs(x) @ np.abs(noisy).T, dtype)


CASES = [(name, options) for name, each in OPTIONS.items() for options in each]


@each_isa
@each_dtype
@pytest.mark.parametrize(("name", "options"), CASES)
def test_against_the_twins(name: str, options: tuple[float, ...], dtype: str, isa: str) -> None:
    for size in SIZES:
        check(name, options, options, size, dtype, isa)


@each_dtype
@pytest.mark.parametrize(("name", "at"), [(name, at) for name, each in OPTIONS.items() for at in range(len(each[0]))])
def test_mutants(name: str, at: int, dtype: str) -> None:
    options = (0.3, 0.25) if name == "shakeout" else (0.5, 0.9, 0.3)
    mutant = tuple(value * (1 + 2e-3 * (i == at)) for i, value in enumerate(options))
    check(name, options, options, (16, 300, 65), dtype, None)
    with pytest.raises(AssertionError):
        check(name, options, mutant, (16, 300, 65), dtype, None)


@each_isa
@each_dtype
@pytest.mark.parametrize("name", OPTIONS)
def test_zero_and_tiny_weights(name: str, dtype: str, isa: str) -> None:
    """No NaN and no infinity, and no noise on a weight of 0 unless its variance is constant (γ = 2)."""
    limits = np.finfo(dtype)
    W = np.array([[0.0, -0.0, limits.smallest_subnormal, limits.tiny, -limits.tiny, 1e-20]], dtype)
    dy, x = np.ones((2, 1), dtype), np.ones((2, W.size), dtype)
    for options in OPTIONS[name]:
        noisy, _ = forward(name, options, W, None, isa=isa)
        assert np.isfinite(noisy).all()
        dW = backward(name, options, dy, x, W, isa=isa)
        assert np.isfinite(dW).all()
        if name == "whiteout_multiplicative":
            assert (noisy[0, :2] == 0).all() == (options[0] == 0 or options[1] < 2)
            assert (dW[0, :2] == 2).all()


@each_isa
@each_dtype
@pytest.mark.parametrize("name", OPTIONS)
def test_same_bits_on_any_number_of_threads(name: str, dtype: str, isa: str) -> None:
    dy, x, W, b = inputs(np.random.default_rng(2), (33, 300, 129), dtype)
    options = OPTIONS[name][1]
    made = []
    for threads in (1, 2, 3):
        noisy, packed = forward(name, options, W, b, isa=isa, threads=threads)
        dW = backward(name, options, dy, x, W, isa=isa, threads=threads)
        made.append((noisy.tobytes(), None if packed is None else packed.tobytes(), dW.tobytes()))
    assert made[0] == made[1] == made[2]


def test_derivative_of_the_spread(rng: np.random.Generator) -> None:
    w = weights(rng, 50)
    for sigma, gamma, lam in WHITEOUT:
        h = 1e-6
        above, below = (reference.whiteout_spread(w + d, sigma, gamma, lam) for d in (h, -h))
        assert np.allclose(reference.whiteout_slope(w, sigma, gamma, lam), (above - below) / (2 * h), rtol=1e-6, atol=1e-9)


# Moments: 10⁵ units with the same weights are 10⁵ draws of one unit.

DRAWS = 100_000


def moments(layer: nn.Layer, x: Array, w: Array, bias: float, seed: int) -> Array:
    model = nn.Sequential([layer], input_shape=len(x), dtype="float64", seed=seed)
    model.layers[0].weight[...] = w
    model.layers[0].bias[...] = bias
    return model.forward(x[None], training=True)[0]


def assert_moments(z: Array, mean: float, variance: float) -> None:
    """Mean and variance within four standard errors: √(variance/n), and √((μ₄ − variance²)/n) with the sample's μ₄."""
    n = len(z)
    assert abs(z.mean() - mean) <= 4 * np.sqrt(variance / n)
    fourth = ((z - mean) ** 4).mean()
    assert abs(((z - mean) ** 2).mean() - variance) <= 4 * np.sqrt((fourth - variance**2) / n)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("c", [0.0, 0.3])
def test_moments_of_drop_connect_and_shakeout(rate: float, c: float, rng: np.random.Generator) -> None:
    """E z = x·w + b, Var z = τ/(1 − τ) Σ x² (|w| + c)²."""
    x, w = rng.normal(size=6), weights(rng, 6)
    layers: list[nn.Layer] = [nn.Shakeout(DRAWS, rate, c)] + [nn.DropConnect(DRAWS, rate)] * (c == 0)
    for layer in layers:
        z = moments(layer, x, w, 0.4, seed=3)
        assert_moments(z, x @ w + 0.4, rate / (1 - rate) * (x**2 * (np.abs(w) + c) ** 2).sum())


@pytest.mark.parametrize(("sigma", "gamma", "lam"), [(0.5, 1.0, 0.0), (0.3, 0.0, 0.2), (0.4, 1.6, 0.1), (0.2, 2.0, 0.0)])
def test_moments_of_whiteout(sigma: float, gamma: float, lam: float, rng: np.random.Generator) -> None:
    """E z = x·w + b; Var z = Σ x² v or Σ v, v = w² (σ² |w|^(−γ) + λ)."""
    x, w = rng.normal(size=6), weights(rng, 6)
    v = w**2 * (sigma**2 * np.abs(w) ** -gamma + lam)
    z = moments(nn.MultiplicativeWhiteout(DRAWS, sigma, gamma, lam), x, w, 0.4, seed=5)
    assert_moments(z, x @ w + 0.4, (x**2 * v).sum())
    z = moments(nn.AdditiveWhiteout(DRAWS, sigma, gamma, lam), x, w, 0.4, seed=5)
    assert_moments(z, x @ w + 0.4, v.sum())


def test_moments_of_gaussian_weight_noise(rng: np.random.Generator) -> None:
    x, w = rng.normal(size=6), weights(rng, 6)
    assert_moments(moments(nn.GaussianWeightNoise(DRAWS, 0.3), x, w, 0.4, seed=2), x @ w + 0.4, 0.09 * (x**2).sum())


def test_noise_is_redrawn_in_each_step(rng: np.random.Generator) -> None:
    """Over 4000 steps a single unit has the moments that many units have in one step."""
    x, w = rng.normal(size=6), weights(rng, 6)
    model = nn.Sequential([nn.Shakeout(1, 0.3, 0.2)], input_shape=6, dtype="float64")
    model.layers[0].weight[...] = w
    z = model.predict_samples(x[None], 4000).ravel()
    assert_moments(z, x @ w, 0.3 / 0.7 * (x**2 * (np.abs(w) + 0.2) ** 2).sum())
    assert abs(np.corrcoef(z[1:], z[:-1])[0, 1]) < 4 / np.sqrt(4000)


# In a model.


def upstream(y: Array, r: Array) -> tuple[Array, Array]:
    return (r * y).sum(axis=1), r


def net(noise: str, dtype: str = "float64", seed: int = 0, **kw: Any) -> nn.Sequential:
    layers = [MAKE[noise](130, **kw), nn.ReLU(), MAKE[noise](10, **kw)]
    return nn.Sequential(layers, input_shape=60, dtype=dtype, seed=seed)


def data(rng: np.random.Generator) -> tuple[Array, Array]:
    return rng.standard_normal((500, 60)), rng.integers(0, 10, 500)


@each_noise
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_with_the_noise_held(noise: str, bias: bool, rng: np.random.Generator) -> None:
    layers = [nn.Dense(6), nn.Tanh(), MAKE[noise](7, bias=bias), nn.Tanh(), MAKE[noise](3, bias=bias)]
    model = nn.Sequential(layers, input_shape=4, dtype="float64", seed=3)
    model.parameters[...] = weights(rng, model.parameters.size)
    X, r = rng.standard_normal((9, 4)), rng.standard_normal((9, 3))
    for step in (0, 3):
        errors = model.check_gradients(X, r, PythonLoss(upstream), step=step)
        assert "input" in errors
        assert max(errors.values()) <= 1e-6, errors


def torch_noisy(noise: str, torch: Any, W: Any, b: Any, layer: int) -> tuple[Any, Any]:
    """W̃ and b̃ as PyTorch computes them, with the numbers of seed 6, step 4."""
    draw = {"seed": 6, "layer": layer, "step": 4}
    n, shape = W.numel(), tuple(W.shape)
    e = torch.tensor(reference.random_normal(n, **draw).reshape(shape))
    if noise in ("drop_connect", "shakeout"):
        rate, c = {"drop_connect": (0.4, 0.0), "shakeout": (0.3, 0.2)}[noise]
        dropped = torch.tensor(reference.random_bits(n, **draw).reshape(shape) < round(rate * 2**32))
        s = torch.sign(W)
        return torch.where(dropped, -c * s, (W + c * rate * s) / (1 - rate)), b
    if noise == "gaussian_weight_noise":
        return W + 0.3 * e, b
    sigma, gamma, lam = (0.3, 2.0, 0.0) if noise.endswith("2") else (0.3, 0.8, 0.2)
    connection = torch.sqrt(sigma**2 * torch.abs(W) ** -gamma + lam) * e  # the noise on the activation, as in the paper
    if noise == "multiplicative_whiteout":
        return W * (1 + torch.sign(W) * connection), b
    return W, b + (torch.abs(W) * connection).sum(1)


@each_noise
def test_against_torch(noise: str, rng: np.random.Generator, torch: Any) -> None:
    model = nn.Sequential([MAKE[noise](7), nn.Tanh(), MAKE[noise](3)], input_shape=5, dtype="float64", seed=6)
    model.parameters[...] = weights(rng, model.parameters.size)
    X, y = rng.standard_normal((9, 5)), rng.standard_normal((9, 3))
    value, gradient = model.loss_and_gradient(X, y, "squared_error", step=4)
    dense = model.layers[::2]
    tensors = [torch.tensor(a, requires_grad=True) for layer in dense for a in (layer.weight, layer.bias)]
    W, b = torch_noisy(noise, torch, *tensors[:2], 1)
    h = torch.tanh(torch.tensor(X) @ W.T + b)
    W, b = torch_noisy(noise, torch, *tensors[2:], 3)
    loss = 0.5 * ((h @ W.T + b - torch.tensor(y)) ** 2).sum() / 9
    loss.backward()
    assert value == pytest.approx(loss.item(), rel=1e-13)
    want = np.concatenate([tensor.grad.numpy().ravel() for tensor in tensors])
    assert np.abs(gradient - want).max() <= 1e-12 * np.abs(want).max()


@each_noise
def test_steps_seeds_and_layers_differ(noise: str, rng: np.random.Generator) -> None:
    X = rng.standard_normal((4, 60))
    outputs = [net(noise).forward(X, training=True, step=step) for step in (0, 1, 2**32)]
    other = net(noise, seed=1)
    other.parameters[...] = net(noise).parameters
    outputs.append(other.forward(X, training=True))
    for a, b in product(range(4), range(4)):
        assert (a == b) == np.allclose(outputs[a], outputs[b])
    twice = nn.Sequential([MAKE[noise](60), MAKE[noise](60)], input_shape=60, dtype="float64")
    for layer in twice.layers:
        layer.weight[...] = np.eye(60)
    x, once, again = twice.activations(np.eye(60), training=True).values()
    assert not np.allclose(once - x, again - once)


@each_noise
@each_dtype
def test_inference_is_a_dense_layer(noise: str, dtype: str, rng: np.random.Generator) -> None:
    X, _ = data(rng)
    plain = nn.Sequential([nn.Dense(130), nn.ReLU(), nn.Dense(10)], input_shape=60, dtype=dtype)
    noisy = net(noise, dtype)
    plain.parameters[...] = noisy.parameters
    assert np.array_equal(noisy.predict(X), plain.predict(X))
    assert not np.allclose(noisy.forward(X, training=True), plain.predict(X))


@each_noise
@each_dtype
def test_training_has_the_same_bits_on_any_number_of_threads(noise: str, dtype: str, rng: np.random.Generator) -> None:
    X, y = data(rng)
    before = nn.get_num_threads()
    trained = []
    try:
        for threads in (1, 2, 3):
            nn.set_num_threads(threads)
            model = net(noise, dtype)
            trainer = nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=1e-3), regularizer=nn.L2(1e-3))
            trainer.fit(X, y, epochs=3, batch_size=128, verbose=0)
            trained.append(model.parameters.tobytes())
    finally:
        nn.set_num_threads(before)
    assert trained[0] == trained[1] == trained[2]


@each_noise
def test_resumed_training_has_the_same_bits(noise: str, rng: np.random.Generator, tmp_path: Any) -> None:
    X, y = data(rng)

    def trainer() -> nn.Trainer:
        return nn.Trainer(net(noise), "softmax_cross_entropy", nn.Adam(lr=1e-3), clip=nn.ClipGlobalNorm(5.0))

    through, first, second = trainer(), trainer(), trainer()
    through.fit(X, y, epochs=4, batch_size=64, verbose=0)
    first.fit(X, y, epochs=2, batch_size=64, verbose=0)
    first.save(tmp_path / "checkpoint")
    second.restore(tmp_path / "checkpoint")
    second.fit(X, y, epochs=2, batch_size=64, verbose=0)
    assert second.model.parameters.tobytes() == through.model.parameters.tobytes()


@each_noise
def test_training_draws_what_loss_and_gradient_draws(noise: str, rng: np.random.Generator) -> None:
    X, y = data(rng)
    model, by_hand = net(noise), net(noise)
    nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=0.01)).fit(X, y, batch_size=100, shuffle=False, verbose=0)
    for t in range(5):
        rows = slice(100 * t, 100 * t + 100)
        _, gradient = by_hand.loss_and_gradient(X[rows], y[rows], "softmax_cross_entropy", step=t)
        by_hand.parameters -= 0.01 * gradient
    assert np.allclose(by_hand.parameters, model.parameters, rtol=1e-9, atol=1e-11)


@each_noise
def test_save_and_load(noise: str, rng: np.random.Generator, tmp_path: Any) -> None:
    model = net(noise, "float32", 5, weight_init="glorot_uniform", bias=False)
    model.save(tmp_path / "model")
    other = nn.load(tmp_path / "model")
    X, _ = data(rng)
    assert repr(other) == repr(model)
    assert np.array_equal(other.forward(X, training=True, step=7), model.forward(X, training=True, step=7))


def test_repr() -> None:
    assert repr(nn.DropConnect(3)) == "DropConnect(3, rate=0.5)"
    assert repr(nn.Shakeout(3, 0.2, 0.3, bias=False)) == "Shakeout(3, rate=0.2, c=0.3, bias=False)"


# Invalid arguments.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.DropConnect(3, 1.0), r"rate must be a number in \[0, 1\), got 1.0"),
        (lambda: nn.DropConnect(3, -0.1), "rate must be"),
        (lambda: nn.DropConnect(0), "units must be a positive integer"),
        (lambda: nn.Shakeout(3, 1.5), "rate must be"),
        (lambda: nn.Shakeout(3, 0.5, -1), "c must be a finite number of at least 0, got -1"),
        (lambda: nn.Shakeout(3, 0.5, float("nan")), "c must be"),
        (lambda: nn.MultiplicativeWhiteout(3, -1), "sigma must be"),
        (lambda: nn.MultiplicativeWhiteout(3, 1, 2.5), r"gamma must be a number in \[0, 2\], got 2.5"),
        (lambda: nn.MultiplicativeWhiteout(3, 1, -0.5), "gamma must be"),
        (lambda: nn.AdditiveWhiteout(3, 1, 1, -0.5), "lam must be"),
        (lambda: nn.GaussianWeightNoise(3, float("inf")), "stddev must be"),
    ],
)
def test_bad_arguments(make: Callable[[], nn.Layer], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
