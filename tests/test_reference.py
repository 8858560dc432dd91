"""The NumPy reference: gradients against central differences, values against PyTorch, and a network that learns.

Everything is differentiated in float64 and under a random upstream gradient; an upstream gradient of ones hides errors
that sum to zero.
"""

import doctest
import importlib
import pkgutil
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from helpers.tiles import tile_table
from helpers.twins import (
    ACTIVATION_CASES,
    ACTIVATIONS,
    LOSS_CASES,
    LOSSES,
    assert_gradient,
    central_differences,
    loss_inputs,
    off_the_kinks,
)
from numpy.typing import NDArray

from nncore import _kernels, reference
from nncore._kernels import single_ops
from nncore._utils.arrays import aligned_zeros

Array = NDArray[Any]


@pytest.mark.parametrize(("name", "kw"), ACTIVATION_CASES)
def test_activation_backward_by_differences(name: str, kw: dict[str, float], rng: np.random.Generator) -> None:
    forward, backward = getattr(reference, f"{name}_forward"), getattr(reference, f"{name}_backward")
    for shape in [(1, 1), (3, 5), (4, 7)]:
        z, dh = off_the_kinks(rng, shape), rng.normal(size=shape)
        want = central_differences(lambda z, dh=dh: float((dh * forward(z, **kw)).sum()), z)
        assert_gradient(backward(dh, z, forward(z, **kw), **kw), want)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "kw"), LOSS_CASES)
def test_loss_gradient_by_differences(name: str, kw: dict[str, float], weighted: bool, rng: np.random.Generator) -> None:
    loss = getattr(reference, name)
    for rows, width in [(1, 1), (3, 5), (4, 2)]:
        y, d = loss_inputs(name, rng, rows, width)
        weight = rng.uniform(0, 3, rows) if weighted else None
        got = loss(y, d, weight, 0.37, **kw)[1]
        want = central_differences(lambda y, d=d, w=weight: 0.37 * float(loss(y, d, w, **kw)[0].sum()), y)
        assert_gradient(got, want)
        np.testing.assert_allclose(loss(y, d, weight, **kw)[1], got / 0.37 / rows, rtol=1e-13)  # scale is 1/rows


def test_dense_backward_by_differences(rng: np.random.Generator) -> None:
    for rows, inputs, units in [(1, 1, 1), (5, 3, 4), (2, 6, 1)]:
        x, W, b = rng.normal(size=(rows, inputs)), rng.normal(size=(units, inputs)), rng.normal(size=units)
        dy = rng.normal(size=(rows, units))

        def f(x: Array, W: Array, b: Array, dy: Array = dy) -> float:
            return float((dy * reference.dense_forward(x, W, b)).sum())

        want = [
            central_differences(partial(f, W=W, b=b), x),
            central_differences(lambda W, f=f, x=x, b=b: f(x, W, b), W),
            central_differences(partial(f, x, W), b),
        ]
        assert_gradient(reference.dense_backward_input(dy, W), want[0])
        assert_gradient(reference.dense_backward_weight(dy, x), want[1])
        assert_gradient(reference.dense_backward_bias(dy), want[2])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes_are_kept(dtype: str, rng: np.random.Generator) -> None:
    for name in ACTIVATIONS:
        z = rng.normal(size=(3, 4)).astype(dtype)
        h = getattr(reference, f"{name}_forward")(z)
        assert h.dtype == dtype, name
        assert getattr(reference, f"{name}_backward")(z, z, h).dtype == dtype, name
    for name in LOSSES:
        y, d = loss_inputs(name, rng, 3, 4)
        d = d if d.dtype.kind == "i" else d.astype(dtype)
        loss, dy = getattr(reference, name)(y.astype(dtype), d, rng.uniform(0, 1, 3))
        assert loss.dtype == np.float64, name
        assert dy.dtype == dtype, name


def test_activations_have_their_limits_and_do_not_warn() -> None:
    z = np.array([[-np.inf, -1e300, -1e4, 1e4, np.inf]])
    zero, one = [0, 0, 0, 1, 1], np.ones_like(z)
    limits: dict[str, tuple[Sequence[float], Sequence[float]]] = {
        "sigmoid": ([0, 0, 0, 1, 1], [0] * 5),
        "tanh": ([-1, -1, -1, 1, 1], [0] * 5),
        "relu": ([0, 0, 0, 1e4, np.inf], zero),
        "leaky_relu": ([-np.inf, -1e298, -1e2, 1e4, np.inf], [0.01, 0.01, 0.01, 1, 1]),
        "elu": ([-1, -1, -1, 1e4, np.inf], zero),
        "softplus": ([0, 0, 0, 1e4, np.inf], zero),
        "gelu": ([0, 0, 0, 1e4, np.inf], zero),
        "gelu_tanh": ([0, 0, 0, 1e4, np.inf], zero),
        "silu": ([0, 0, 0, 1e4, np.inf], zero),
        "selu": ([-1.7580993408473766] * 3 + [10507.009873554805, np.inf], [0, 0, 0, 1.0507009873554805, 1.0507009873554805]),
        "mish": ([0, 0, 0, 1e4, np.inf], zero),
        "identity": (z[0].tolist(), [1] * 5),
    }
    assert limits.keys() <= {*ACTIVATIONS}
    for name in {*ACTIVATIONS} - {"softmax"}:
        h = getattr(reference, f"{name}_forward")(z)
        dz = getattr(reference, f"{name}_backward")(one, z, h)
        assert not np.isnan([*h[0], *dz[0]]).any(), name
        if name in limits:
            values, slopes = limits[name]
            np.testing.assert_allclose(h[0], values, rtol=1e-15, err_msg=name)
            np.testing.assert_allclose(dz[0], slopes, rtol=1e-15, err_msg=name)
        far = z[:, 2:4]  # the derivative there, also of those without an entry, is compared with a secant
        above, below = (getattr(reference, f"{name}_forward")(far + h) for h in (1, -1))
        np.testing.assert_allclose(dz[:, 2:4], (above - below) / 2, rtol=1e-9, atol=1e-12, err_msg=name)
        assert np.isnan(getattr(reference, f"{name}_forward")(np.array([[np.nan]]))).all(), name


def test_losses_are_finite_on_extreme_logits(rng: np.random.Generator) -> None:
    y = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]])
    for d in (np.array([[1.0, 0, 0], [0, 1, 0]]), np.array([[0, 1.0, 0], [1, 0, 0]])):
        labels = d.argmax(axis=1)
        soft, labeled = reference.softmax_cross_entropy(y, d), reference.softmax_cross_entropy_labels(y, labels)
        for a, b in zip(soft, labeled, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-15)
        assert all(np.isfinite(a).all() for a in (*soft, *reference.sigmoid_cross_entropy(y, d)))
    np.testing.assert_allclose(reference.softmax_cross_entropy_labels(y, np.array([1, 0]))[0], [2e4, 2e4 + np.log(2)])


def test_probabilities_of_zero_and_one() -> None:
    y, d = np.array([[0.0, 1.0]]), np.array([[0.0, 1.0]])
    for loss, gradient in [("binary_cross_entropy", [1, -1]), ("kl_divergence", [0, -1])]:
        value, dy = getattr(reference, loss)(y, d)
        assert value.tolist() == [0]
        assert dy.tolist() == [gradient]
        assert getattr(reference, loss)(1 - y, d)[0].tolist() == [np.inf]


# Against PyTorch, an independent implementation.


@pytest.mark.parametrize(("name", "kw"), ACTIVATION_CASES)
def test_activations_against_torch(name: str, kw: dict[str, float], rng: np.random.Generator, torch: Any) -> None:
    F = torch.nn.functional
    theirs = {
        "identity": lambda z: z * 1,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": F.relu,
        "leaky_relu": F.leaky_relu,
        "elu": F.elu,
        "softplus": lambda z: F.softplus(z, threshold=1000),
        "gelu": F.gelu,
        "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
        "silu": F.silu,
        "selu": F.selu,
        "mish": F.mish,
        "softmax": lambda z: F.softmax(z, dim=1),
    }.get(name)
    if theirs is None:
        pytest.skip(f"no counterpart of {name} is known")
    z, dh = rng.normal(0, 3, (40, 9)), rng.normal(size=(40, 9))
    z[0, :3] = 0, 30, -30
    tz = torch.tensor(z, requires_grad=True)
    th = theirs(tz, **kw)
    th.backward(torch.tensor(dh))
    h = getattr(reference, f"{name}_forward")(z, **kw)
    np.testing.assert_allclose(h, th.detach().numpy(), rtol=1e-12, atol=1e-14)
    dz = getattr(reference, f"{name}_backward")(dh, z, h, **kw)
    np.testing.assert_allclose(dz, tz.grad.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("name", "kw"), LOSS_CASES)
def test_losses_against_torch(name: str, kw: dict[str, float], rng: np.random.Generator, torch: Any) -> None:
    F = torch.nn.functional
    theirs: dict[str, Callable[..., Any]] = {
        "squared_error": lambda y, d: 0.5 * F.mse_loss(y, d, reduction="none").sum(1),
        "mean_squared_error": lambda y, d: F.mse_loss(y, d, reduction="none").mean(1),
        "mean_absolute_error": lambda y, d: F.l1_loss(y, d, reduction="none").mean(1),
        "huber": lambda y, d, **kw: F.huber_loss(y, d, reduction="none", **kw).mean(1),
        "poisson": lambda y, d: F.poisson_nll_loss(y, d, reduction="none").sum(1),
        "hinge": lambda y, d: F.relu(1 - y * d).sum(1),
        "binary_cross_entropy": lambda y, d: F.binary_cross_entropy(y, d, reduction="none").sum(1),
        "kl_divergence": lambda y, d: F.kl_div(y.log(), d, reduction="none").sum(1),
        "sigmoid_cross_entropy": lambda y, d, smoothing: F.binary_cross_entropy_with_logits(
            y, (1 - smoothing) * d + smoothing / 2, reduction="none"
        ).sum(1),
        "softmax_cross_entropy": lambda y, d, smoothing: F.cross_entropy(y, d, reduction="none", label_smoothing=smoothing),
    }
    theirs["softmax_cross_entropy_labels"] = theirs["softmax_cross_entropy"]
    if name not in theirs:
        pytest.skip(f"no counterpart of {name} is known")
    y, d = loss_inputs(name, rng, 40, 9)
    weight = rng.uniform(0, 3, 40)
    ty = torch.tensor(y, requires_grad=True)
    their_loss = torch.tensor(weight) * theirs[name](ty, torch.tensor(d), **kw)
    (0.37 * their_loss.sum()).backward()
    loss, dy = getattr(reference, name)(y, d, weight, 0.37, **kw)
    np.testing.assert_allclose(loss, their_loss.detach().numpy(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(dy, ty.grad.numpy(), rtol=1e-12, atol=1e-14)


def gradients(rng: np.random.Generator, steps: int, n: int) -> Array:
    """Gradients that shrink by four orders of magnitude, so that ε, the bias correction and the decay all matter."""
    return rng.normal(0.3, 1, (steps, n)) * np.geomspace(1, 1e-4, steps)[:, None]


def nesterov(theta: Array, grad: Array, step: int, v: Array, origin: Array) -> bool:
    if step == 1:
        assert not reference.nesterov_enter(theta, v, origin, momentum=0.7)
    return reference.nesterov_update(theta, grad, v, origin, lr=0.1, momentum=0.7)


@pytest.mark.parametrize(
    ("ours", "state", "theirs"),
    [
        (lambda t, g, i: reference.sgd_update(t, g, lr=0.1), 0, ("SGD", {"lr": 0.1})),
        (
            lambda t, g, i, v: reference.momentum_outside_update(t, g, v, lr=0.1, momentum=0.7),
            1,
            ("SGD", {"lr": 0.1, "momentum": 0.7}),
        ),
        (
            lambda t, g, i, v: reference.momentum_update(t, g, v, lr=0.1, momentum=0.7),
            1,
            ("SGD", {"lr": 0.1, "momentum": 0.7}),
        ),
        (nesterov, 2, ("SGD", {"lr": 0.1, "momentum": 0.7, "nesterov": True})),
        (
            lambda t, g, i, m, v: reference.adam_update(t, g, m, v, step=i, lr=0.1, betas=(0.8, 0.95), eps=0.01),
            2,
            ("Adam", {"lr": 0.1, "betas": (0.8, 0.95), "eps": 0.01}),
        ),
    ],
    ids=["sgd", "momentum_outside", "momentum", "nesterov", "adam"],
)
def test_optimizers_against_torch(
    ours: Callable[..., bool], state: int, theirs: tuple[str, dict[str, Any]], rng: np.random.Generator, torch: Any
) -> None:
    theta = rng.normal(size=7)
    parameter = torch.nn.Parameter(torch.tensor(theta))
    optimizer = getattr(torch.optim, theirs[0])([parameter], **theirs[1])
    slots = [np.zeros(7) for _ in range(state)]
    for i, g in enumerate(gradients(rng, 120, 7), start=1):
        parameter.grad = torch.tensor(g)
        optimizer.step()
        assert not ours(theta, g, i, *slots)
        np.testing.assert_allclose(theta, parameter.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_momentum_forms_differ_once_the_rate_changes(rng: np.random.Generator) -> None:
    a, b = np.ones(3), np.ones(3)
    va, vb = np.zeros(3), np.zeros(3)
    for i, g in enumerate(rng.normal(size=(4, 3))):
        lr = 0.1 if i < 2 else 0.01
        reference.momentum_update(a, g, va, lr=lr)
        reference.momentum_outside_update(b, g, vb, lr=lr)
        assert np.allclose(a, b, rtol=1e-12) == (i < 2)


def test_nesterov_evaluates_the_gradient_ahead(rng: np.random.Generator) -> None:
    """The look-ahead point against the published recurrence, with changing rate and momentum."""
    A = np.diag([1.0, 5.0])
    point = rng.normal(size=2)
    theta, v, origin, velocity = point.copy(), rng.normal(size=2), np.zeros(2), np.zeros(2)
    velocity[:] = v
    momenta = 0.8 * (1 - 0.9 ** np.arange(1, 102))
    reference.nesterov_enter(theta, v, origin, momentum=momenta[0])
    for step, mu in enumerate(momenta[:-1].tolist()):
        lr = 0.1 / (1 + step / 50)
        velocity = mu * velocity - lr * A @ (point + mu * velocity)
        point = point + velocity
        reference.nesterov_update(theta, A @ theta, v, origin, lr=lr, momentum=mu, next_momentum=momenta[step + 1])
        np.testing.assert_allclose(origin, point, atol=1e-14)
    reference.nesterov_leave(theta, v, origin)
    assert np.array_equal(theta, origin)


@pytest.mark.parametrize("bias_correction", [True, False])
@pytest.mark.parametrize("eps_placement", ["outside", "inside", "hat"])
def test_adam_against_its_sums(eps_placement: str, bias_correction: bool, rng: np.random.Generator) -> None:
    """m and v as the weighted sums over all gradients that the recurrences stand for: m = (1 − β₁) Σ_s β₁^(t−s) g_s."""
    lr, b1, b2, eps = 0.1, 0.8, 0.95, 0.01
    all_g = gradients(rng, 120, 3)
    theta, m, v = np.ones(3), np.zeros(3), np.zeros(3)
    for t in range(1, 121):
        before = theta.copy()
        reference.adam_update(
            theta, all_g[t - 1], m, v, step=t, lr=lr, betas=(b1, b2), eps=eps,
            eps_placement=eps_placement, bias_correction=bias_correction,
        )  # fmt: skip
        age = np.arange(t)[::-1, None]
        mean, square = (1 - b1) * (b1**age * all_g[:t]).sum(0), (1 - b2) * (b2**age * all_g[:t] ** 2).sum(0)
        c1, c2 = ((1 - b1) * (b1**age).sum(), (1 - b2) * (b2**age).sum()) if bias_correction else (1.0, 1.0)
        want = {
            "outside": lr * (mean / c1) / ((square / c2) ** 0.5 + eps),
            "inside": lr * (mean / c1) / (square / c2 + eps) ** 0.5,
            "hat": lr * c2**0.5 / c1 * mean / (square**0.5 + eps),
        }[eps_placement]
        np.testing.assert_allclose(before - theta, want, rtol=1e-10, atol=1e-15)


def test_a_parameter_is_kept_if_its_update_is_not_finite(rng: np.random.Generator) -> None:
    theta = np.array([1.0, 2.0, 3.0])
    assert reference.sgd_update(theta, np.array([np.nan, 1.0, np.inf]), lr=0.5)
    assert theta.tolist() == [1.0, 1.5, 3.0]


def test_state_is_kept_if_its_update_is_not_finite() -> None:
    theta, m, v = np.ones(2), np.ones(2), np.ones(2)
    with np.errstate(over="ignore"):
        assert reference.adam_update(theta, np.array([1e200, 1.0]), m, v, step=1)
    assert (theta[0], m[0], v[0]) == (1, 1, 1)
    assert theta[1] != 1


def test_unknown_placements() -> None:
    for name, slots in (("adagrad_update", 1), ("adadelta_update", 2)):
        with pytest.raises(ValueError, match='eps_placement must be "outside" or "inside", got \'hat\''):
            getattr(reference, name)(np.ones(1), *np.ones((1 + slots, 1)), eps_placement="hat")


# Between backward pass and update, and the packed weights: the kernels against the twins.


def run_on_one_tile(name: str, *arrays: Array, n: int, dtype: str, constants: tuple[float, ...] = ()) -> None:
    """The op on a gradient in one tile; other tables are in test_executor.py."""
    assert single_ops.run_op(name, (*arrays, tile_table([[0, 1, n, n]])), dtype=dtype, axis="tiles", constants=constants) == 0


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-6), ("float64", 1e-14)])
def test_penalty_and_clip_value_kernels(dtype: str, rtol: float, rng: np.random.Generator) -> None:
    theta, grad = rng.normal(size=(2, 50)).astype(dtype)
    theta[3], grad[:3] = 0, [np.inf, -np.inf, np.nan]
    got, want, value = grad.copy(), grad.copy(), np.zeros(1)
    run_on_one_tile("penalty", got, theta, value, np.array([0.3, 0.7]), None, n=50, dtype=dtype)
    assert value[0] == pytest.approx(reference.penalty(want, theta, l1=0.3, l2=0.7), rel=rtol)
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)
    run_on_one_tile("clip_value", got, np.zeros(1), np.zeros(1), n=50, dtype=dtype, constants=(0.5,))
    reference.clip_value(want, 0.5)
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)
    assert np.nanmax(np.abs(got)) == 0.5


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-6), ("float64", 1e-14)])
@pytest.mark.parametrize("limit", [2.0, 1e3])
def test_kernels_that_clip_the_norm(dtype: str, rtol: float, limit: float, rng: np.random.Generator) -> None:
    got = rng.normal(size=50).astype(dtype)
    want, squares, factor = got.copy(), np.zeros(1), np.zeros(1)
    run_on_one_tile("square_sum", squares, got, n=50, dtype=dtype)
    assert squares[0] == pytest.approx(reference.square_sum(want), rel=1e-14)
    arrays = (factor, squares, np.array([0, 1]), None, None, None, None)
    single_ops.run_op("clip_factor", arrays, dtype=dtype, axis="serial", sizes=(1,), constants=(limit,))
    assert factor[0] == reference.clip_factor(squares, limit)
    run_on_one_tile("scale_gradient", got, factor, n=50, dtype=dtype)
    reference.scale_gradient(want, reference.clip_factor(squares, limit))
    np.testing.assert_allclose(got, want, rtol=rtol)
    assert reference.square_sum(want) == pytest.approx(min(squares[0], limit**2), rel=100 * rtol)


def test_penalty_by_differences(rng: np.random.Generator) -> None:
    theta, g = off_the_kinks(rng, (9,)), np.zeros(9)
    reference.penalty(g, theta, l1=0.3, l2=0.7)
    assert_gradient(g, central_differences(lambda w: reference.penalty(np.zeros(9), w, l1=0.3, l2=0.7), theta))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", _kernels.complete_isas())
@pytest.mark.parametrize("kernel", ["pack_weight", "pack_large_weight"])
def test_packed_weights(kernel: str, isa: str, dtype: str, rng: np.random.Generator) -> None:
    lanes = {"baseline": 16, "avx2": 32, "avx512": 64}[isa] // np.dtype(dtype).itemsize
    for units, inputs in ((1, 1), (3, 5), (16, 16), (33, 20), (70, 300)):
        W = rng.normal(size=(units, inputs)).astype(dtype)
        packed, tiles = aligned_zeros(_kernels.packed_size(units, inputs), dtype), _kernels.weight_tiles(units, inputs)
        packed[:] = np.nan
        single_ops.run_op(kernel, (packed, W, tiles), dtype=dtype, sizes=W.shape, axis="tiles", pieces=len(tiles), isa=isa)
        want = reference.pack_weight(W, 2 * lanes, lanes)
        assert np.array_equal(packed[: want.size], want)
        assert np.isnan(packed[want.size :]).all()


# The network.


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "identity"])
@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "squared_error"])
def test_mlp_gradient_by_differences(loss: str, activation: str, rng: np.random.Generator) -> None:
    net = reference.MLP([3, 5, 4, 2], activation, seed=1, dtype="float64", loss=loss)
    net.theta += rng.normal(0, 0.1, net.theta.shape)
    X, d = rng.normal(size=(6, 3)), rng.uniform(0, 1, (6, 2))
    d /= d.sum(axis=1, keepdims=True)

    def f(theta: Array) -> float:
        net.theta[:] = theta
        return net.loss_and_gradient(X, d)

    theta = net.theta.copy()
    want = central_differences(f, theta)
    value = f(theta)
    assert_gradient(net.gradient, want)
    twin = getattr(reference, loss)(net.predict(X), d)[0].mean()
    assert value == pytest.approx(twin, rel=1e-13)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_mlp_steps_are_the_reference_functions(optimizer: str, rng: np.random.Generator) -> None:
    """The in-place network against steps composed of the functions of the package; more than one chunk."""
    sizes = [200, 180, 3]
    net = reference.MLP(sizes, "relu", dtype="float64", optimizer=optimizer)
    theta, m, v = net.theta.copy(), np.zeros_like(net.theta), np.zeros_like(net.theta)
    twin = reference.MLP(sizes, dtype="float64")
    for step in range(1, 6):
        x, labels = rng.normal(size=(11, 200)), rng.integers(0, 3, 11)
        twin.theta[:] = theta
        (W1, W2), (b1, b2) = twin.W, twin.b
        z = reference.dense_forward(x, W1, b1)
        h = reference.relu_forward(z)
        losses, dy = reference.softmax_cross_entropy_labels(reference.dense_forward(h, W2, b2), labels)
        dz = reference.relu_backward(reference.dense_backward_input(dy, W2), z, h)
        parts = [(reference.dense_backward_weight(e, a), reference.dense_backward_bias(e)) for e, a in [(dz, x), (dy, h)]]
        grad = np.concatenate([a.ravel() for pair in parts for a in pair])
        assert net.step(x, labels, lr=0.01) == pytest.approx(losses.mean(), rel=1e-12)
        np.testing.assert_allclose(net.gradient, grad, rtol=1e-10, atol=1e-15)
        if optimizer == "adam":
            reference.adam_update(theta, grad, m, v, step=step, lr=0.01)
        else:
            reference.sgd_update(theta, grad, lr=0.01)
        np.testing.assert_allclose(net.theta, theta, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_mlp_learns_xor(activation: str, dtype: str) -> None:
    X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    net = reference.MLP([2, 16, 2], activation, seed=0, dtype=dtype)
    history = net.train(X, y, epochs=500, batch_size=3, lr=0.03)
    assert net.predict(X).argmax(axis=1).tolist() == y.tolist()
    assert net.loss_and_gradient(X, y) < 0.05
    assert history[0] > 0.3
    linear = reference.MLP([2, 16, 2], "identity", seed=0, dtype=dtype)
    linear.train(X, y, epochs=500, batch_size=3, lr=0.03)
    assert linear.loss_and_gradient(X, y) > 0.6  # no linear map does better than log 2


def test_mlp_fits_a_function_with_sgd_and_is_repeatable() -> None:
    X = np.linspace(-1, 1, 101)[:, None]
    y = np.sin(3 * X)
    runs = []
    for seed in (0, 0, 1):
        net = reference.MLP([1, 32, 1], "tanh", seed, "float64", loss="squared_error", optimizer="sgd")
        runs.append(net.train(X, y, epochs=600, batch_size=16, lr=0.2))
    assert runs[0] == runs[1] != runs[2]
    assert runs[0][-1] < 1e-3


def test_mlp_refuses_invalid_arguments() -> None:
    for argument, value in [("activation", "gelu"), ("loss", "hinge"), ("optimizer", "lion")]:
        with pytest.raises(ValueError, match=f"{argument} must be .* got '{value}'"):
            reference.MLP([2, 2], **{argument: value})
    net = reference.MLP([2, 3])
    with pytest.raises(ValueError, match="labels must be in 0 … 2, got 0 … 3"):
        net.step(np.zeros((2, 2)), np.array([0, 3]))
    with pytest.raises(ValueError, match="y must be integer labels"):
        net.step(np.zeros((2, 2)), np.array([0.0, 1.0]))


MODULES = [m.name for m in pkgutil.walk_packages(reference.__path__, "nncore.reference.") if not m.name.endswith("._common")]


@pytest.mark.parametrize("module", MODULES)
def test_docstrings(module: str) -> None:
    loaded = importlib.import_module(module)
    result = doctest.testmod(loaded)
    assert result.failed == 0
    assert result.attempted > 0 or hasattr(loaded, "__path__"), "an example in each module"
    assert all(getattr(loaded, name).__doc__ for name in loaded.__all__)


def test_every_name_is_exported() -> None:
    for module in MODULES:
        loaded = importlib.import_module(module)
        for name, value in vars(loaded).items():
            if getattr(value, "__module__", "") == loaded.__name__ and not name.startswith("_"):
                assert name in reference.__all__, name
    assert sorted(reference.__all__) == reference.__all__


def test_every_kernel_has_a_twin() -> None:
    """Products by BLAS or without a packed copy share a twin; so do packing with and without non-temporal stores, packing of
    numbers and of pairs of them, and an update of one network and of those in lanes."""
    shared = "_blas$|_direct$|_narrow$|_large|^lanes_(?=average$|decay$|.*_(?:update|enter|leave)$)"
    names = [re.sub(shared, "", name) for name in _kernels.op_names()]
    names = [{"rows_bfloat16": "to_bfloat16", "pack_weight_bfloat16": "pack_weight"}.get(name, name) for name in names]
    without = [name for name in names if not callable(getattr(reference, name, None))]
    assert not without
