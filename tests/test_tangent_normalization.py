"""The R-operator through normalization: kernels against their twins, twins against differences, products against PyTorch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import kernels, tangent
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels, reference
from nncore._kernels import single_ops
from nncore._kernels.program import CHANNELS, SLOT_ROWS, TABLE, TANGENTS
from nncore.model.curvature import linearization
from nncore.second_order import HessianOperator, JacobianOperator

Array = NDArray[Any]
each_isa, each_dtype = kernels.each_isa, kernels.each_dtype
assert_relative = tangent.assert_relative
EPS = 1e-5

# Kernels against their twins. Errors are relative to the sum of the absolute terms: the formulas subtract
# means. In float64 the twin's own two-pass mean costs it digits where two rows nearly agree.

RTOL = {"float32": 1e-5, "float64": 1e-12}
Mean = Callable[[Array], Array]


def terms(mean: Mean, x_hat: Array, rstd: Array, given: tuple[Array, ...], w: Array, v_w: Array, v_b: Array) -> list[Array]:
    """Of ty, tdx, and each example's contribution to tdw and tdb."""
    tx, dy, tdy, x_hat, w, v_w, v_b = map(np.abs, (*given, x_hat, w, v_w, v_b))
    p, g, tg = mean(tx * x_hat), w * dy, w * tdy + v_w * dy
    tx_hat = rstd * (tx + mean(tx) + p * x_hat)
    q, tq = mean(g * x_hat), mean(tg * x_hat + g * tx_hat)
    tdx = rstd**2 * p * (g + mean(g) + q * x_hat) + rstd * (tg + mean(tg) + tq * x_hat + q * tx_hat)
    return [w * tx_hat + v_w * x_hat + v_b, tdx, tdy * x_hat + dy * tx_hat, tdy]


def compare(got: list[Array], want: list[Array], sizes: list[Array], what: str) -> None:
    for name, g, w, size in zip(("ty", "tdx", "tdw", "tdb"), got, want, sizes, strict=True):
        error, allowed = np.abs(g.astype(np.float64).reshape(w.shape) - w), RTOL[str(g.dtype)] * (np.abs(w) + size)
        assert (error <= allowed).all(), f"{what}, {name}: values differ, by up to {error.max()}"


def inputs(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Array, tuple[Array, ...]]:
    """x, and tx, dy, tdy."""
    return rng.normal(1, 2, shape).astype(dtype), tangent.normal(rng, shape, 3, dtype)


def batch_norm_kernels(
    x: Array, given: tuple[Array, ...], affine: tuple[Array, ...], place: Array | None, running: Array | None, **run: Any
) -> list[Array]:
    """All ops in the order of a product: ty, tdx, tdw, tdb."""
    (rows, channels, length), dtype, (tx, dy, tdy), (w, b, v_w, v_b) = x.shape, x.dtype, given, affine
    sizes, pieces = (channels, length, len(w)), -(-channels // CHANNELS)
    slots = -(-rows // SLOT_ROWS)
    ty, tdx = (kernels.Output(x.shape, dtype) for _ in range(2))
    tdw, tdb = (kernels.Output(len(w), dtype) for _ in range(2))
    table, batch, factors = (np.zeros((n, channels), dtype) for n in (TABLE, 2, 2))
    first, plain, partials = (np.zeros((slots, n, channels)) for n in (3, 2, 2))
    counts, tangents, scratch = np.zeros(slots), kernels.Output((TANGENTS, channels), np.float64), np.zeros((2, len(w)), dtype)

    def do(name: str, *arrays: Any, tiles: bool = False, sizes: tuple[int, ...] = sizes, eps: tuple[float, ...] = ()) -> None:
        axis = {"axis": "tiles", "pieces": pieces} if tiles else {}
        single_ops.run_op(name, arrays, dtype=dtype, sizes=sizes, constants=eps, rows=rows, **axis, **run)

    constant = (*sizes, int(running is not None))
    if running is None:
        do("batch_norm_sums", first, counts, x)
        do("batch_norm_statistics", table, batch, first, counts, w, b, place, tiles=True, eps=(EPS,))
    else:
        single_ops.run_op(
            "batch_norm_constants", (table, running, w, b, place), dtype=dtype, sizes=sizes, constants=(EPS,), axis="tiles",
            pieces=1, **run,
        )  # fmt: skip
    do("batch_norm_backward_sums", plain, counts, dy, x, table)
    do("batch_norm_backward_statistics", *scratch, factors, plain, counts, table, place, tiles=True, sizes=constant)
    if running is None:
        do("batch_norm_backward_sums", partials, counts, tx, x, table)
    arrays = (tangents.array, partials, counts, table, w, v_w, v_b, place)
    do("batch_norm_tangent_statistics", *arrays, tiles=True, sizes=constant)
    do("batch_norm_tangent_forward", ty.array, tx, x, table, tangents.array)
    do("batch_norm_tangent_backward_sums", partials, tdy, dy, tx, x, table, tangents.array)
    arrays = (tdw.array, tdb.array, tangents.array, partials, plain, counts, table, place)
    do("batch_norm_tangent_backward_statistics", *arrays, tiles=True, sizes=constant)
    do("batch_norm_tangent_backward", tdx.array, tdy, dy, tx, x, table, tangents.array)
    for output in (ty, tdx, tdw, tdb, tangents):
        output.check()
    return [ty.array, tdx.array, tdw.array, tdb.array]


def check_batch_norm(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: str, kind: str, isa: str | None, mutation: float = 1.0
) -> None:
    x, given = inputs(rng, shape, dtype)
    channels = shape[1]
    chosen = np.arange(0, channels, 2 if kind == "units" else 1)
    place = None
    if kind == "units":
        place = np.full(channels, -1)
        place[chosen] = np.arange(len(chosen))
    affine = tangent.normal(rng, (len(chosen),), 4, dtype)
    running = None
    if kind == "frozen":
        running = np.stack([rng.normal(1, 1, channels), rng.uniform(1, 3, channels)]).astype(dtype)
    threads = (1, 2, 3) if shape[0] >= 64 else (1,)
    got, *others = [batch_norm_kernels(x, given, affine, place, running, threads=n, isa=isa) for n in threads]
    assert all(np.array_equal(a, b) for other in others for a, b in zip(got, other, strict=True)), "threads change bits"
    x, tx, dy, tdy, w, _, v_w, v_b = kernels.doubles(x, *given, *affine)
    x, tx, dy, tdy = (a[:, chosen] for a in (x, tx, dy, tdy))
    mean, _, rstd = reference.batch_norm_statistics(x, EPS)
    if running is not None:
        mean, rstd = running[0].astype(np.float64), 1 / np.sqrt(running[1].astype(np.float64) + EPS)
    constant = running is not None
    tdb, tdw = reference.batch_norm_tangent_backward_sums(tdy, dy, tx, x, mean, rstd, constant=constant)
    want = [
        reference.batch_norm_tangent_forward(tx, x, mean, rstd * mutation, w, v_w, v_b, constant=constant),
        reference.batch_norm_tangent_backward(tdy, dy, tx * mutation, x, mean, rstd * mutation, w, v_w, constant=constant),
        tdw * mutation, tdb * mutation,
    ]  # fmt: skip
    over = (0, 2)
    column = [a[:, None] for a in (rstd, w, v_w, v_b)]
    x_hat = (x - mean[:, None]) * rstd[:, None]
    sizes = terms(lambda a: a.mean(axis=over, keepdims=True), x_hat, column[0], (tx, dy, tdy), *column[1:])
    sizes[2:] = [a.sum(axis=over) for a in sizes[2:]]
    compare([got[0][:, chosen], got[1][:, chosen], *got[2:]], want, sizes, f"{kind} {shape}")
    passed_on = np.setdiff1d(np.arange(channels), chosen)
    assert np.array_equal(got[0][:, passed_on], given[0][:, passed_on])
    assert np.array_equal(got[1][:, passed_on], given[2][:, passed_on])


SHAPES = [
    (2, 1, 1), (2, 17, 1), (3, 64, 1), (9, 65, 1), (15, 130, 1), (16, 7, 1), (17, 8, 1), (257, 33, 1), (700, 65, 1),
    (1, 3, 5), (2, 65, 2), (31, 6, 9), (300, 6, 33),
]  # fmt: skip


@each_isa
@each_dtype
@pytest.mark.parametrize("kind", ["batch", "units", "frozen"])
def test_batch_norm_kernels(kind: str, dtype: str, isa: str, rng: np.random.Generator) -> None:
    for shape in SHAPES:
        check_batch_norm(rng, shape, dtype, kind, isa)


def row_norm_kernels(
    name: str, x: Array, given: tuple[Array, ...], affine: tuple[Array, ...], share: int, **run: Any
) -> list[Array]:
    (rows, groups, size), dtype, (tx, dy, tdy), (w, b, v_w, v_b) = x.shape, x.dtype, given, affine
    slots, sizes, own = -(-rows // SLOT_ROWS), (groups, size, share), len(w)
    y, statistics, dx = np.zeros_like(x), np.zeros((rows, groups, 3), dtype), np.zeros_like(x)
    partials, counts = np.zeros((slots, 2, own)), np.zeros(slots)
    ty, tdx, tdw, tdb = (kernels.Output(shape, dtype) for shape in (x.shape, x.shape, own, own))

    def do(name: str, *arrays: Any, **kw: Any) -> None:
        single_ops.run_op(name, arrays, dtype=dtype, rows=rows, **{"sizes": sizes, **kw, **run})

    do(f"{name}_forward", y, statistics, x, w, b, constants=(EPS,))
    do(f"{name}_backward", dx, partials, counts, dy, x, statistics, w)
    do(f"{name}_tangent_forward", ty.array, tx, x, statistics, w, v_w, v_b)
    do(f"{name}_tangent_backward", tdx.array, tdy, dy, tx, x, statistics, w, v_w)
    do(f"{name}_tangent_backward_weight", partials, tdy, dy, tx, x, statistics)
    by_tiles: dict[str, Any] = {"sizes": (own,), "axis": "tiles", "pieces": -(-own // CHANNELS)}
    do("group_norm_backward_weight", tdw.array, tdb.array, partials, counts, **by_tiles)
    for output in (ty, tdx, tdw, tdb):
        output.check()
    return [ty.array, tdx.array, tdw.array, tdb.array]


def check_row_norm(
    name: str, rng: np.random.Generator, shape: tuple[int, ...], share: int, dtype: str, isa: str | None, mutation: float = 1.0
) -> None:
    x, given = inputs(rng, shape, dtype)
    groups, size = shape[1:]
    affine = tangent.normal(rng, (groups * size // share,), 4, dtype)
    threads = (1, 2, 3) if shape[0] >= 64 else (1,)
    got, *others = [row_norm_kernels(name, x, given, affine, share, threads=n, isa=isa) for n in threads]
    assert all(np.array_equal(a, b) for other in others for a, b in zip(got, other, strict=True)), "threads change bits"
    x, tx, dy, tdy, *affine64 = kernels.doubles(x, *given, *affine)
    w, _, v_w, v_b = (np.repeat(a, share).reshape(groups, size) for a in affine64)
    twins = [getattr(reference, f"{name}_tangent_{part}") for part in ("forward", "backward", "backward_weight")]
    eps = EPS * mutation if size > 1 else EPS
    want = [
        twins[0](tx * mutation, x, w, v_w, v_b, eps), twins[1](tdy * mutation, dy, tx, x, w, v_w, eps),
        *twins[2](tdy * mutation, dy, tx, x, eps),
    ]  # fmt: skip
    want[2:] = [a.reshape(-1, share).sum(axis=1) for a in want[2:]]

    def mean(a: Array) -> Array:
        return np.asarray(a.mean(axis=-1, keepdims=True))

    away = x - mean(x) if name == "group_norm" else x
    rstd = 1 / np.sqrt(mean(away**2) + EPS)
    sizes = terms(mean, away * rstd, rstd, (tx, dy, tdy), w, v_w, v_b)
    sizes[2:] = [a.sum(axis=0).reshape(-1, share).sum(axis=1) for a in sizes[2:]]
    compare(got, want, sizes, f"{name} {shape}")


ROW_SHAPES = [
    (1, 1, 1, 1),
    (1, 1, 2, 1),
    (2, 1, 17, 1),
    (3, 2, 8, 1),
    (9, 1, 65, 1),
    (17, 3, 10, 5),
    (31, 7, 4, 4),
    (65, 1, 130, 1),
    (257, 4, 33, 3),
    (700, 1, 65, 1),
]  # fmt: skip  rows, groups, size, share


@each_isa
@each_dtype
@pytest.mark.parametrize("name", ["group_norm", "rms_norm"])
def test_row_norm_kernels(name: str, dtype: str, isa: str, rng: np.random.Generator) -> None:
    for *shape, share in ROW_SHAPES:
        check_row_norm(name, rng, tuple(shape), share, dtype, isa)


@each_dtype
def test_mutants(dtype: str, rng: np.random.Generator) -> None:
    """Twins with slightly changed numbers are detected."""
    for kind in ("batch", "units", "frozen"):
        kernels.differs(lambda k=kind: check_batch_norm(rng, (17, 8, 3), dtype, k, None, kernels.MUTATION))
    for name in ("group_norm", "rms_norm"):
        kernels.differs(lambda n=name: check_row_norm(n, rng, (17, 3, 10), 5, dtype, None, kernels.MUTATION))


def test_every_kernel_is_covered() -> None:
    """Each op named here is run above."""
    source = inspect.getsource(batch_norm_kernels) + inspect.getsource(row_norm_kernels)
    for name in _kernels.op_names():
        if "_tangent" in name and name.startswith(("batch_norm", "group_norm", "rms_norm")):
            assert f'"{name}"' in source or f'f"{{name}}{name[name.index("_tangent") :]}"' in source, name


# Twins by differences.


def test_batch_norm_twins_by_differences(rng: np.random.Generator) -> None:
    x, (tx, dy, tdy) = inputs(rng, (5, 3, 2), "float64")
    w, b, v_w, v_b = tangent.normal(rng, (3,), 4, "float64")

    def forward(x: Array, w: Array, b: Array) -> Array:
        mean, _, rstd = reference.batch_norm_statistics(x, EPS)
        return reference.batch_norm_forward(x, mean, rstd, w, b)

    def statistics(x: Array) -> Array:
        mean, _, rstd = reference.batch_norm_statistics(x, EPS)
        return np.stack([mean, rstd])

    def backward(dy: Array, x: Array, w: Array) -> Array:
        return reference.batch_norm_backward(dy, x, *statistics(x), w)

    def means(dy: Array, x: Array, w: Array) -> Array:
        mean, rstd = statistics(x)
        dweight, dbias = reference.batch_norm_backward_statistics(dy, x, mean, rstd)
        return np.stack([w * dbias, w * dweight]) / 10

    def gradients(dy: Array, x: Array) -> Array:
        return np.stack(reference.batch_norm_backward_statistics(dy, x, *statistics(x))[::-1])

    mean, rstd = statistics(x)
    mean_tx, p = reference.batch_norm_tangent_statistics(tx, x, mean, rstd)
    near = {"rtol": 1e-6, "atol": 1e-8}
    derivative = tangent.derivative
    np.testing.assert_allclose(np.stack([mean_tx, -(rstd**2) * p]), derivative(statistics, (x,), (tx,)), **near)
    got = reference.batch_norm_tangent_forward(tx, x, mean, rstd, w, v_w, v_b)
    np.testing.assert_allclose(got, derivative(forward, (x, w, b), (tx, v_w, v_b)), **near)
    got = reference.batch_norm_tangent_backward(tdy, dy, tx, x, mean, rstd, w, v_w)
    np.testing.assert_allclose(got, derivative(backward, (dy, x, w), (tdy, tx, v_w)), **near)
    got = reference.batch_norm_tangent_backward_sums(tdy, dy, tx, x, mean, rstd)
    np.testing.assert_allclose(np.stack(got), derivative(gradients, (dy, x), (tdy, tx)), **near)
    got = reference.batch_norm_tangent_backward_statistics(tdy, dy, tx, x, mean, rstd, w, v_w)
    np.testing.assert_allclose(np.stack(got[:2]), means(dy, x, w), rtol=1e-13)
    np.testing.assert_allclose(np.stack(got[2:]), derivative(means, (dy, x, w), (tdy, tx, v_w)), **near)


@pytest.mark.parametrize("name", ["group_norm", "rms_norm"])
def test_row_norm_twins_by_differences(name: str, rng: np.random.Generator) -> None:
    x, (tx, dy, tdy) = inputs(rng, (4, 2, 5), "float64")
    w, b, v_w, v_b = tangent.normal(rng, (2, 5), 4, "float64")
    one, zero = np.ones_like(w), np.zeros_like(w)
    forward, backward, *twins = (
        getattr(reference, f"{name}_{part}")
        for part in ("forward", "backward", "tangent_forward", "tangent_backward", "tangent_backward_weight")
    )

    def gradients(dy: Array, x: Array) -> Array:
        return np.stack(reference.group_norm_backward_weight(dy, forward(x, one, zero, EPS)))

    near = {"rtol": 1e-6, "atol": 1e-8}
    want = tangent.derivative(lambda x, w, b: forward(x, w, b, EPS), (x, w, b), (tx, v_w, v_b))
    np.testing.assert_allclose(twins[0](tx, x, w, v_w, v_b, EPS), want, **near)
    want = tangent.derivative(lambda dy, x, w: backward(dy, x, w, EPS), (dy, x, w), (tdy, tx, v_w))
    np.testing.assert_allclose(twins[1](tdy, dy, tx, x, w, v_w, EPS), want, **near)
    want = tangent.derivative(gradients, (dy, x), (tdy, tx))
    np.testing.assert_allclose(np.stack(twins[2](tdy, dy, tx, x, EPS)), want, **near)


# Products of whole networks.

ROWS = 12
MAKE: dict[str, Callable[[], nn.Layer]] = {
    "batch_norm": nn.BatchNorm,
    "batch_norm_plain": lambda: nn.BatchNorm(affine=False),
    "batch_norm_units": lambda: nn.BatchNorm(units=[0, 3]),
    "batch_norm_untracked": lambda: nn.BatchNorm(track_running_stats=False),
    "batch_norm_frozen": lambda: nn.BatchNorm(frozen=True),
    "batch_renorm_frozen": lambda: nn.BatchRenorm(frozen=True),
    "layer_norm": nn.LayerNorm,
    "layer_norm_plain": lambda: nn.LayerNorm(affine=False),
    "rms_norm": nn.RMSNorm,
    "group_norm": lambda: nn.GroupNorm(2),
    "instance_norm": lambda: nn.InstanceNorm(affine=True),
    "instance_norm_plain": nn.InstanceNorm,
}
Make = Callable[[], nn.Layer]
PLACES: dict[str, Callable[[Make], tuple[list[nn.Layer], tuple[int, ...]]]] = {
    "on the data": lambda make: ([make(), nn.Dense(5), nn.Tanh(), nn.Dense(3)], (4,)),
    "hidden": lambda make: ([nn.Dense(8), make(), nn.Tanh(), nn.Dense(6), make(), nn.SiLU(), nn.Dense(3)], (4,)),
    "last": lambda make: ([nn.Dense(6), nn.Tanh(), nn.Dense(8), make()], (3,)),
    "with a length": lambda make: ([make(), nn.Tanh(), make(), nn.Dense(3)], (4, 5)),
}
CASES = [(name, place) for name in MAKE for place in PLACES if "instance" not in name or place == "with a length"]
each_case = pytest.mark.parametrize(("name", "place"), CASES)


def network(layers: list[nn.Layer], shape: tuple[int, ...], rng: np.random.Generator, dtype: str = "float64") -> nn.Sequential:
    model = nn.Sequential(layers, input_shape=shape, dtype=dtype)
    model.parameters[...] = rng.normal(0, 0.3, model.parameters.size)
    for layer in model.layers:
        if "weight" in layer.parameters and not isinstance(layer, nn.Dense):
            layer.weight[...] += 1  # a γ near 0 would make the next normalization, and its differences, ill-conditioned
    model.state[...] = rng.uniform(0.5, 2, model.state.size)
    return model


def problem(name: str, place: str, rng: np.random.Generator, rows: int = ROWS) -> tuple[nn.Sequential, Array, Array]:
    model = network(*PLACES[place](MAKE[name]), rng)
    return model, rng.standard_normal((rows, *model.input_shape)), rng.standard_normal((rows, *model.output_shape))


@each_case
def test_products_by_differences(name: str, place: str, rng: np.random.Generator) -> None:
    model, X, y = problem(name, place, rng)
    tangent.check_products(model, X, y, rng)


@each_case
def test_symmetric_and_linear(name: str, place: str, rng: np.random.Generator) -> None:
    model, X, y = problem(name, place, rng)
    tangent.check_symmetric_and_linear(model, X, y, rng)


TORCH = ("batch_norm", "batch_norm_frozen", "layer_norm", "rms_norm", "group_norm", "instance_norm")


def torch_norm(torch: Any, name: str, shape: tuple[int, ...], layer: Any) -> Any:
    size = shape[0]
    if name == "batch_norm_frozen":
        other = torch.nn.BatchNorm1d(size).double().eval()
        other.running_mean[...] = torch.tensor(layer.running_mean.copy())
        other.running_var[...] = torch.tensor(layer.running_var.copy())
        return other
    kinds = {
        "batch_norm": lambda: torch.nn.BatchNorm1d(size, track_running_stats=False),
        "layer_norm": lambda: torch.nn.LayerNorm(shape),
        "rms_norm": lambda: torch.nn.RMSNorm(shape, eps=EPS),
        "group_norm": lambda: torch.nn.GroupNorm(2, size),
        "instance_norm": lambda: torch.nn.InstanceNorm1d(size, affine=True),
    }
    return kinds[name]().double().train()


def torch_model(torch: Any, name: str, model: nn.Sequential) -> Any:
    layers: list[Any] = []
    for layer in model.layers:
        if isinstance(layer, nn.Dense):
            layers += [torch.nn.Flatten(), torch.nn.Linear(layer.inputs, layer.units).double()]
        elif isinstance(layer, nn.Tanh):
            layers.append(torch.nn.Tanh())
        elif isinstance(layer, nn.SiLU):
            layers.append(torch.nn.SiLU())
        else:
            layers.append(torch_norm(torch, name, layer.input_shape, layer))
    return torch.nn.Sequential(*layers)


@pytest.mark.parametrize(("name", "place"), [case for case in CASES if case[0] in TORCH])
def test_products_against_torch(name: str, place: str, rng: np.random.Generator, torch: Any) -> None:
    model, X, y = problem(name, place, rng, rows=30)
    y = rng.integers(0, y.shape[1], 30)
    v = rng.standard_normal(model.parameters.size)
    other = torch_model(torch, name, model)
    names, shapes = [n for n, _ in other.named_parameters()], [p.shape for p in other.parameters()]
    sizes = [p.numel() for p in other.parameters()]
    assert sum(sizes) == model.parameters.size
    tX, ty, theta, tv = torch.tensor(X), torch.tensor(y), torch.tensor(model.parameters.copy()), torch.tensor(v)

    def outputs(theta: Any) -> Any:
        parts = [part.reshape(shape) for part, shape in zip(theta.split(sizes), shapes, strict=True)]
        return torch.func.functional_call(other, dict(zip(names, parts, strict=True)), (tX,))

    def loss(z: Any) -> Any:
        return torch.nn.functional.cross_entropy(z, ty)

    _, want = torch.func.jvp(torch.func.grad(lambda theta: loss(outputs(theta))), (theta,), (tv,))
    assert_relative(model.hessian_vector_product(X, y, "softmax_cross_entropy", v), want.numpy(), 1e-10)
    z, tz = torch.func.jvp(outputs, (theta,), (tv,))
    assert_relative(model.jacobian_product(X, v), tz.detach().numpy().ravel(), 1e-10)
    _, curved = torch.func.jvp(torch.func.grad(loss), (z,), (tz,))
    (want,) = torch.func.vjp(outputs, theta)[1](curved)
    assert_relative(model.gauss_newton_product(X, y, "softmax_cross_entropy", v), want.numpy(), 1e-10)


def test_batch_norm_is_invariant_to_scale_and_bias(rng: np.random.Generator) -> None:
    """l depends neither on the length of a unit's weights before the layer nor on its bias: H w = −∂l/∂w, H b = 0."""
    layers = [nn.Dense(5), nn.BatchNorm(eps=1e-14), nn.Tanh(), nn.Dense(3)]
    model = network(layers, (4,), rng)
    X, y = rng.standard_normal((40, 4)), rng.integers(0, 3, 40)
    _, gradient = model.loss_and_gradient(X, y, "softmax_cross_entropy")
    H = HessianOperator(model, X, y, "softmax_cross_entropy")
    for unit in range(5):
        own = slice(4 * unit, 4 * unit + 4)
        w, g, b = np.zeros((3, model.parameters.size))
        w[own], g[own], b[20 + unit] = model.parameters[own], gradient[own], 1
        assert_relative(H @ w, -g, 1e-10)
        assert np.abs(H @ b).max() <= 1e-13 * np.abs(H @ g).max()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_on_any_number_of_threads(dtype: str, rng: np.random.Generator) -> None:
    layers = [nn.Dense(70), nn.BatchNorm(), nn.Tanh(), nn.Dense(66), nn.LayerNorm(), nn.SiLU(), nn.BatchNorm(), nn.Dense(3)]
    model = network(layers, (90,), rng, dtype)
    X, y = rng.standard_normal((300, 90)), rng.integers(0, 3, 300)
    V, U = rng.standard_normal((2, model.parameters.size)), rng.standard_normal((2, 900))
    tangent.check_threads(model, X, y, V, U)


@each_isa
def test_every_instruction_set(isa: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("batch_norm", "batch_norm_frozen", "group_norm", "rms_norm"):
        model, X, y = problem(name, "hidden", rng)
        v = rng.standard_normal(model.parameters.size)
        want = model.hessian_vector_product(X, y, "squared_error", v)
        with monkeypatch.context() as patch:
            patch.setattr(_kernels, "isa_name", isa)
            model._recordings.clear()
            assert_relative(model.hessian_vector_product(X, y, "squared_error", v), want, 1e-13)


def test_a_batch_is_not_split(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rows depend on each other a batch of any size is one chunk; frozen or within a row it is split."""
    for name in ("batch_norm", "batch_norm_frozen", "layer_norm"):
        model, X, y = problem(name, "hidden", rng, rows=200)
        v = rng.standard_normal(model.parameters.size)
        at_once = model.hessian_vector_product(X, y, "squared_error", v)
        model._recordings.clear()
        with monkeypatch.context() as patch:
            patch.setattr(linearization, "CHUNK_BYTES", 1)
            assert linearization.chunk_rows(model, 200) == (200 if name == "batch_norm" else 50)
            assert_relative(model.hessian_vector_product(X, y, "squared_error", v), at_once, 1e-13)


def test_operators_follow_running_statistics(rng: np.random.Generator) -> None:
    model, X, y = problem("batch_norm_frozen", "hidden", rng)
    H, v = HessianOperator(model, X, y, "squared_error"), rng.standard_normal(model.parameters.size)
    before = H @ v
    model.state[...] *= 2
    assert not np.allclose(H @ v, before)
    assert np.array_equal(H @ v, model.hessian_vector_product(X, y, "squared_error", v))
    model.state[...] /= 2
    assert np.array_equal(H @ v, before)
    for layer in model.layers:
        if isinstance(layer, nn.BatchNorm):
            layer.frozen = False
    with pytest.raises(ValueError, match="frozen or released since the operator was made: make a new one"):
        H @ v
    released = model.hessian_vector_product(X, y, "squared_error", v)
    want = tangent.differences(model, lambda: model.loss_and_gradient(X, y, "squared_error")[1], v)
    assert_relative(released, want, tangent.DIFFERENCES)


def test_refused(rng: np.random.Generator) -> None:
    model, X, y = problem("batch_norm", "hidden", rng)
    v = np.ones(model.parameters.size)
    for call in (
        lambda: model.hessian_vector_product(X[:1], y[:1], "squared_error", v), lambda: model.jacobian(X[:1]),
        lambda: JacobianOperator(model, X[:1]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"layer batch_norm_1 takes the mean and the variance.*the batch has 1"):
            call()
    model = nn.Sequential([nn.Dense(3), nn.BatchRenorm(), nn.Dense(3)], input_shape=4)
    with pytest.raises(TypeError, match=r"\(BatchRenorm\) cannot be differentiated along .* and BatchRenorm unless frozen"):
        model.jacobian(X)
