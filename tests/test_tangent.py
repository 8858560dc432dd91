"""Pearlmutter's R-operator: tangent kernels against their twins, twins against differences, products against PyTorch."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from helpers import kernels, layers, twins
from helpers.kernels import packed
from helpers.tangent import DIFFERENCES, assert_relative, check_threads, derivative, differences, normal
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels, reference
from nncore._kernels import single_ops
from nncore.losses import LOSSES
from nncore.model.curvature import linearization
from nncore.second_order import GaussNewtonOperator, HessianOperator, JacobianOperator

Array = NDArray[Any]
each_isa, each_dtype = kernels.each_isa, kernels.each_dtype

# Tangent kernels against their twins.


def activation_terms(name: str, tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array | float:
    """The terms of σ' and σ'' that cancel: sizes up to 1 and |z|."""
    if name in ("identity", "relu", "leaky_relu"):
        return 0.0
    if name == "softmax":
        tdh, dh, tz = (np.abs(a) + (np.abs(a) * h).sum(axis=1, keepdims=True) for a in (tdh, dh, tz))
        return h * (tz * dh + tdh + (h * tz * dh).sum(axis=1, keepdims=True))
    return (np.abs(tdh) + np.abs(tz * dh)) * (1 + np.abs(z))


def check_activation(name: str, z: Array, given: tuple[Array, ...], isa: str | None, kw: Any, twin_kw: Any = None) -> None:
    dtype = str(z.dtype)
    arrays = (*given, z, getattr(reference, f"{name}_forward")(z, **kw))
    sizes, constants = (z.shape[1],), tuple(kw.values())
    (tdz,) = kernels.run(
        f"{name}_tangent_backward", [(z.shape, dtype)], arrays, dtype, sizes=sizes, constants=constants, rows=len(z), isa=isa
    )  # fmt: skip
    arrays = kernels.doubles(*arrays)
    true = getattr(reference, f"{name}_tangent_backward")(*arrays, **(twin_kw or kw))
    kernels.assert_near(tdz, true, activation_terms(name, *arrays), f"{name} {z.shape}")


@each_isa
@each_dtype
@pytest.mark.parametrize(("name", "kw"), kernels.ACTIVATION_CASES)
def test_activation_kernel(name: str, kw: dict[str, float], dtype: str, isa: str, rng: np.random.Generator) -> None:
    for rows, width in kernels.FEW_SIZES + kernels.SIZES[::7]:
        _, z, _ = kernels.activation_inputs(name, rng, rows, width, dtype)
        check_activation(name, z, normal(rng, z.shape, 3, dtype), isa, kw)


@each_isa
@each_dtype
@pytest.mark.parametrize("name", kernels.ELEMENTWISE)
def test_activation_kernel_of_extremes(name: str, dtype: str, isa: str, rng: np.random.Generator) -> None:
    """Where a derivative is exactly 0 or 1, no product of 0 and ∞ gives NaN."""
    z = kernels.extremes(dtype).reshape(1, -1)
    z = z[:, np.abs(z[0]) <= 1e10]
    given = tuple(rng.choice([-1.0, 1.0], (3, *z.shape)).astype(dtype))
    with np.errstate(over="ignore"):
        check_activation(name, z, given, isa, twins.constants(f"{name}_forward")[0])


EXACT = {"squared_error", "mean_squared_error", "mean_absolute_error", "huber", "hinge", "kl_divergence", "poisson"}


def check_loss(
    name: str, y: Array, d: Array, weight: Array | None, ty: Array, isa: str | None, kw: Any, **twin_kw: Any
) -> None:
    (rows, width), dtype = y.shape, str(y.dtype)
    sizes, constants = (width,), tuple(kw.values())
    (tdy,) = kernels.run(
        f"{name}_tangent", [(y.shape, dtype)], (ty, y, d, weight), dtype, sizes=sizes, constants=constants, rows=rows, isa=isa
    )  # fmt: skip
    ty64, y64, d64 = kernels.doubles(ty, y, d)
    true = getattr(reference, f"{name}_tangent")(ty64, y64, d64, weight, **{**kw, **twin_kw})
    terms: Array | float = 0.0 if name in EXACT else np.abs(ty64)  # ∂² of size 1 may come from a difference
    if name.startswith("softmax"):  # p (ty − Σ p ty), p with the error of its exponent y − m
        s = kw["smoothing"]
        p = reference.softmax_forward(y64) * ((1 - s) * d64.sum(axis=1, keepdims=True) + s if d64.ndim == 2 else 1)
        terms = p * (np.abs(ty64) + (p * np.abs(ty64)).sum(axis=1, keepdims=True)) * 3
    if name in ("sigmoid_cross_entropy", "binary_cross_entropy"):  # 1 − s and 1 − y round
        with np.errstate(divide="ignore", invalid="ignore"):
            rounded = np.where(d64 < 1, (1 - d64) / (1 - y64) ** 3, 0) if name[0] == "b" else 1
        terms = np.abs(ty64) * rounded
    factor = np.ones(rows) if weight is None else weight
    kernels.assert_near(tdy, true, terms * factor[:, None] / rows, f"{name} {y.shape}")


@each_isa
@each_dtype
@pytest.mark.parametrize(("name", "kw"), kernels.LOSS_CASES)
def test_loss_kernel(name: str, kw: dict[str, float], dtype: str, isa: str, rng: np.random.Generator) -> None:
    for i, (rows, width) in enumerate(kernels.FEW_SIZES + kernels.SIZES[::7]):
        y, d = kernels.loss_inputs(name, rng, rows, width, dtype)
        weight = kernels.weights(rng, rows) if i % 2 else None
        check_loss(name, y, d, weight, rng.standard_normal(y.shape).astype(dtype), isa, kw)


def check_dense(rows: int, inputs: int, units: int, dtype: str, isa: str | None) -> None:
    rng = np.random.default_rng((rows, inputs, units))
    (x, tx), (dy, tdy) = normal(rng, (rows, inputs), 2, dtype), normal(rng, (rows, units), 2, dtype)
    (W, V), (v_b,) = normal(rng, (units, inputs), 2, dtype), normal(rng, (units,), 1, dtype)
    tiles = _kernels.weight_tiles(units, inputs)
    by_rows: dict[str, Any] = {"sizes": W.shape, "rows": rows, "isa": isa}
    by_tiles = by_rows | {"axis": "tiles", "pieces": len(tiles)}
    for name, shape, arrays, given, kw in [
        ("forward", dy.shape, (tx, x, packed(W, isa), packed(V, isa), v_b), (tx, x, W, V, v_b), by_rows),
        ("forward", dy.shape, (tx, x, packed(W, isa), packed(V, isa), None), (tx, x, W, V), by_rows),
        ("backward_input", x.shape, (tdy, dy, W, V), (tdy, dy, W, V), by_rows),
        ("backward_weight", W.shape, (tdy, dy, x, tx, tiles), (tdy, dy, x, tx), by_tiles),
    ]:
        (got,) = kernels.run(f"dense_tangent_{name}", [(shape, dtype)], arrays, dtype, **kw)
        twin, given = getattr(reference, f"dense_tangent_{name}"), kernels.doubles(*given)
        kernels.assert_near(got, twin(*given), twin(*map(np.abs, given)), f"{name} {rows} {inputs} {units}")


@each_isa
@each_dtype
def test_dense_kernels(dtype: str, isa: str) -> None:
    """Every small shape, shapes around block edges, and work enough for several threads."""
    for shape in product((1, 2, 3, 5), repeat=3):
        check_dense(*shape, dtype, isa)
    for i, edge in enumerate(kernels.EDGES):
        a, b = (3, 13) if i % 2 else (kernels.EDGES[i - 1], kernels.EDGES[i - 7])
        for shape in [(edge, a, b), (a, edge, b), (a, b, edge)]:
            check_dense(*shape, dtype, isa)
    for shape in [(300, 257, 130), (513, 2, 300), (70, 784, 10)]:
        check_dense(*shape, dtype, isa)


@each_isa
@each_dtype
def test_direction_and_product_kernels(dtype: str, isa: str, rng: np.random.Generator) -> None:
    for n, stretch, step in [(1, 8, 0), (8, 8, 2), (9, 8, 1), (1000, 64, 2)]:
        V, (p,) = rng.standard_normal((3, n)).astype(dtype), normal(rng, (n,), 1, dtype)
        kw: dict[str, Any] = {"dtype": dtype, "sizes": (n, stretch), "axis": "tiles", "pieces": -(-n // stretch), "isa": isa}
        for threads in (1, 2, 3):
            v, P, want = kernels.Output(n, dtype), V.copy(), V.copy()
            single_ops.run_op("load_direction", (v.array, V), step=step, threads=threads, **kw)
            v.check()
            assert np.array_equal(v.array, reference.load_direction(V, step))
            single_ops.run_op("add_product", (P, p), step=step, threads=threads, **kw)
            reference.add_product(want, p, step)
            assert np.array_equal(P, want)


def test_every_tangent_kernel_is_covered() -> None:
    """Each activation and each loss has one: the cases above come from the tables of their kernels."""
    ours = {f"{name}_tangent_backward" for name in kernels.ACTIVATIONS} | {f"{name}_tangent" for name in kernels.LOSSES}
    ours |= {f"dense_tangent_{name}" for name in ("forward", "backward_input", "backward_weight")}
    elsewhere = (  # in test_tangent_normalization.py, test_tangent_layers.py, test_tangent_recurrent.py
        "batch_norm", "group_norm", "rms_norm", "weight_norm", "simple_rnn", "gru", "dense_steps", "scale",
    )  # fmt: skip
    on_rows = {name for name in _kernels.op_names() if _kernels.op_table().declaration(name).sizes == ("width",)}
    assert {name for name in _kernels.op_names() if "_tangent" in name and not name.startswith(elsewhere)} <= ours | on_rows


# Mutants: with a constant of the twin changed a little, the comparison must fail.


@each_dtype
def test_mutant_kernels(dtype: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, kw in kernels.ACTIVATION_CASES:
        z = rng.normal(0, 2, (9, 33)).astype(dtype)
        given = normal(rng, z.shape, 3, dtype)
        if kw:
            mutant = {key: value * kernels.MUTATION for key, value in kw.items()}
            kernels.differs(lambda n=name, z=z, g=given, kw=kw, m=mutant: check_activation(n, z, g, None, kw, m))
        without = (given[0], given[1], 0 * given[2])  # σ'' left out
        twin = getattr(reference, f"{name}_tangent_backward")
        monkeypatch.setattr(reference, f"{name}_tangent_backward", lambda *a, w=without, t=twin, **k: t(*w, *a[3:], **k))
        if not np.array_equal(twin(*given, z, z, **kw), twin(*without, z, z, **kw)):  # σ'' is not 0
            kernels.differs(lambda n=name, z=z, g=given, kw=kw: check_activation(n, z, g, None, kw))
    monkeypatch.undo()
    for name, kw in kernels.LOSS_CASES:
        y, d = kernels.loss_inputs(name, rng, 13, 9, dtype)
        ty = rng.standard_normal(y.shape).astype(dtype)
        if getattr(reference, f"{name}_tangent")(ty, y, d, **kw).any():  # there is a second derivative
            kernels.differs(
                lambda n=name, y=y, d=d, ty=ty, kw=kw: check_loss(n, y, d, None, ty, None, kw, scale=kernels.MUTATION / 13)
            )
    monkeypatch.setattr(reference.activations, "INV_SQRT_2PI", reference.activations.INV_SQRT_2PI * kernels.MUTATION)
    z = rng.normal(0, 1, (9, 33)).astype(dtype)
    kernels.differs(lambda: check_activation("gelu", z, normal(rng, z.shape, 3, dtype), None, {}))


# Twins by differences: R{f} is the derivative of f along the tangents of all it is given.


@pytest.mark.parametrize(("name", "kw"), twins.ACTIVATION_CASES)
def test_activation_twin_by_differences(name: str, kw: dict[str, float], rng: np.random.Generator) -> None:
    forward, backward = getattr(reference, f"{name}_forward"), getattr(reference, f"{name}_backward")
    for shape in [(1, 1), (3, 5), (4, 7)]:
        z, (tz, dh, tdh) = twins.off_the_kinks(rng, shape), normal(rng, shape, 3, "float64")
        want = derivative(lambda z: forward(z, **kw), (z,), (tz,))
        twins.assert_gradient(backward(tz, z, forward(z, **kw), **kw), want)
        want = derivative(lambda dh, z: backward(dh, z, forward(z, **kw), **kw), (dh, z), (tdh, tz))
        got = getattr(reference, f"{name}_tangent_backward")(tdh, dh, tz, z, forward(z, **kw), **kw)
        twins.assert_gradient(got, want)


@pytest.mark.parametrize(("name", "kw"), twins.LOSS_CASES)
def test_loss_twin_by_differences(name: str, kw: dict[str, float], rng: np.random.Generator) -> None:
    loss = getattr(reference, name)
    for rows, width in [(1, 1), (3, 5), (4, 2)]:
        y, d = twins.loss_inputs(name, rng, rows, width)
        y = y if name != "huber" else np.where(np.abs(np.abs(y - d) - kw.get("delta", 1)) < 1e-3, y + 0.01, y)
        ty, weight = rng.standard_normal(y.shape), rng.uniform(0, 3, rows)
        want = derivative(lambda y, d=d, w=weight: loss(y, d, w, 0.37, **kw)[1], (y,), (ty,))
        twins.assert_gradient(getattr(reference, f"{name}_tangent")(ty, y, d, weight, 0.37, **kw), want)


def test_dense_twins_by_differences(rng: np.random.Generator) -> None:
    (x, tx), (dy, tdy) = normal(rng, (5, 3), 2, "float64"), normal(rng, (5, 4), 2, "float64")
    (W, V), (b, v_b) = normal(rng, (4, 3), 2, "float64"), normal(rng, (4,), 2, "float64")
    want = derivative(reference.dense_forward, (x, W, b), (tx, V, v_b))
    twins.assert_gradient(reference.dense_tangent_forward(tx, x, W, V, v_b), want)
    want = derivative(reference.dense_backward_input, (dy, W), (tdy, V))
    twins.assert_gradient(reference.dense_tangent_backward_input(tdy, dy, W, V), want)
    want = derivative(reference.dense_backward_weight, (dy, x), (tdy, tx))
    twins.assert_gradient(reference.dense_tangent_backward_weight(tdy, dy, x, tx), want)


# Products of whole networks.

ROWS = 9


def net(hidden: list[nn.Layer], seed: int = 3, width: int = 3, dtype: str = "float64") -> nn.Sequential:
    model = nn.Sequential([*hidden, nn.Dense(width)], input_shape=4, dtype=dtype, seed=seed)
    model.parameters[...] = np.random.default_rng(seed).normal(0, 0.7, model.parameters.size)
    return model


@pytest.mark.parametrize("place", layers.NEIGHBORS)
@layers.each_activation
def test_products_by_differences(activation: str, place: str, rng: np.random.Generator) -> None:
    """H v, G v, J v and Jᵀ u of every activation, at every position of a network."""
    model = nn.Sequential(layers.NEIGHBORS[place](layers.MAKE[activation]), input_shape=4, dtype="float64", seed=3)
    X = rng.standard_normal((ROWS, 4))
    if not model.parameters.size:
        with pytest.raises(ValueError, match="model must have parameters"):
            model.jacobian(X)
        return
    model.parameters[...] = rng.normal(0, 0.7, model.parameters.size)
    y = rng.standard_normal((ROWS, *model.output_shape))
    v, u = rng.standard_normal(model.parameters.size), rng.standard_normal(y.size)
    want = differences(model, lambda: model.loss_and_gradient(X, y, "squared_error")[1], v)
    assert_relative(model.hessian_vector_product(X, y, "squared_error", v), want, DIFFERENCES)
    want = differences(model, lambda: model.forward(X, training=True).ravel(), v)
    assert_relative(model.jacobian_product(X, v), want, DIFFERENCES)
    J = model.jacobian(X)
    np.testing.assert_allclose(J @ v, model.jacobian_product(X, v), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(J.T @ u, model.jacobian_product(X, u, transposed=True), rtol=1e-12, atol=1e-13)
    got = model.gauss_newton_product(X, y, "squared_error", v)
    np.testing.assert_allclose(got, J.T @ (J @ v) / ROWS, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("loss", "kind"), layers.CASES)
def test_products_of_every_loss(loss: str, kind: str, rng: np.random.Generator) -> None:
    model = layers.loss_model(loss)
    X, y = rng.standard_normal((ROWS, 3)), layers.TARGETS[loss][1][kind](rng, ROWS, 4)
    v = rng.standard_normal(model.parameters.size)
    want = differences(model, lambda: model.loss_and_gradient(X, y, loss)[1], v)
    assert_relative(model.hessian_vector_product(X, y, loss, v), want, DIFFERENCES)
    J = model.jacobian(X).reshape(ROWS, 4, -1)
    ty, out = J @ v, model.forward(X)
    targets = LOSSES[loss]().targets(y, 4, np.float64)
    d, name = targets.array, loss + "_labels" * (targets.labels and not targets.one_hot)
    if targets.one_hot:
        off, on = LOSSES[loss].one_hot_values
        d = off + (on - off) * np.eye(4)[d]
    want = np.einsum("rjn,rj->n", J, getattr(reference, f"{name}_tangent")(ty, out, d))
    np.testing.assert_allclose(model.gauss_newton_product(X, y, loss, v), want, rtol=1e-10, atol=1e-12)


def curvature_problem(rng: np.random.Generator, rows: int = 40) -> tuple[nn.Sequential, Array, Array]:
    return net([nn.Dense(8), nn.Tanh(), nn.Dense(6), nn.GELU()]), rng.standard_normal((rows, 4)), rng.integers(0, 3, rows)


SMOOTH = ["identity", "sigmoid", "tanh", "softplus", "softmax", "elu", "gelu", "gelu_tanh", "silu", "selu", "mish", "relu"]


@pytest.mark.parametrize("loss", ["squared_error", "softmax_cross_entropy", "sigmoid_cross_entropy"])
@pytest.mark.parametrize("activation", SMOOTH)
def test_hessian_products_against_torch(activation: str, loss: str, rng: np.random.Generator, torch: Any) -> None:
    F = torch.nn.functional
    sigma = {
        "identity": lambda z: z, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "softplus": F.softplus, "elu": F.elu,
        "softmax": lambda z: torch.softmax(z, 1), "gelu": F.gelu, "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
        "silu": F.silu, "selu": F.selu, "mish": F.mish, "relu": F.relu,
    }[activation]  # fmt: skip
    make = layers.MAKE[activation]
    model = net([nn.Dense(7), make(), nn.Dense(6), make()])
    X = rng.standard_normal((30, 4))
    y = rng.integers(0, 3, 30) if loss == "softmax_cross_entropy" else rng.uniform(0, 1, (30, 3))
    v = rng.standard_normal(model.parameters.size)
    tX, ty, shapes = torch.tensor(X), torch.tensor(y), [(7, 4), (7,), (6, 7), (6,), (3, 6), (3,)]

    def torch_loss(theta: Any) -> Any:
        parts, at, h = [], 0, tX
        for shape in shapes:
            size = int(np.prod(shape))
            parts.append(theta[at : at + size].reshape(shape))
            at += size
        for i in (0, 2, 4):
            h = h @ parts[i].T + parts[i + 1]
            h = sigma(h) if i < 4 else h
        if loss == "squared_error":
            return 0.5 * ((h - ty) ** 2).sum(1).mean()
        if loss == "softmax_cross_entropy":
            return F.cross_entropy(h, ty)
        return F.binary_cross_entropy_with_logits(h, ty, reduction="none").sum(1).mean()

    theta = torch.tensor(model.parameters.copy())
    _, want = torch.func.jvp(torch.func.grad(torch_loss), (theta,), (torch.tensor(v),))
    assert_relative(model.hessian_vector_product(X, y, loss, v), want.numpy(), 1e-10)


def test_symmetric_and_linear(rng: np.random.Generator) -> None:
    model, X, y = curvature_problem(rng)
    n = model.parameters.size
    for operator in (HessianOperator, GaussNewtonOperator):
        H = operator(model, X, y, "softmax_cross_entropy", nn.L2(0.1))
        for u, v in rng.standard_normal((5, 2, n)):
            Hu, Hv = H @ u, H @ v
            assert abs(u @ Hv - v @ Hu) <= 1e-12 * np.linalg.norm(u) * np.linalg.norm(Hv)
            assert_relative(H @ (2 * u - 0.3 * v), 2 * Hu - 0.3 * Hv, 1e-12)
        assert np.array_equal(H @ np.zeros(n), np.zeros(n))


def test_hessian_of_500_parameters_column_by_column(rng: np.random.Generator) -> None:
    model = nn.Sequential([nn.Dense(20), nn.Tanh(), nn.Dense(16), nn.Softplus(), nn.Dense(4)], 4, dtype="float64", seed=2)
    assert 500 <= model.parameters.size <= 520
    X, y = rng.standard_normal((50, 4)), rng.integers(0, 4, 50)
    H = model.hessian(X, y, "softmax_cross_entropy")
    assert np.array_equal(H, H.T)
    scale = np.abs(H).max()
    for i in range(model.parameters.size):
        unit = np.zeros(model.parameters.size)
        unit[i] = 1
        np.testing.assert_allclose(H[i], model.hessian_vector_product(X, y, "softmax_cross_entropy", unit), atol=1e-14 * scale)
        if i % 25 == 0:
            want = differences(model, lambda: model.loss_and_gradient(X, y, "softmax_cross_entropy")[1], unit)
            np.testing.assert_allclose(H[i], want, atol=1e-6 * np.linalg.norm(want))


def test_logistic_regression(rng: np.random.Generator) -> None:
    """H = Xᵀ D X / rows with D = p (1 − p): positive semidefinite, and the Gauss-Newton matrix too, as z is linear in θ."""
    X, y = rng.standard_normal((60, 5)), rng.choice([-1, 1], 60)
    model = nn.Sequential([nn.Dense(1, bias_init="normal")], input_shape=5, dtype="float64", seed=1)
    p = reference.sigmoid_forward(model.forward(X))
    with_ones = np.hstack([X, np.ones((60, 1))])
    want = with_ones.T @ (p * (1 - p) * with_ones) / 60
    H = model.hessian(X, y, "sigmoid_cross_entropy")
    np.testing.assert_allclose(H, want, rtol=1e-12, atol=1e-15)
    assert np.linalg.eigvalsh(H)[0] > 0
    G = GaussNewtonOperator(model, X, y, "sigmoid_cross_entropy").matrix()
    np.testing.assert_allclose(G, want, rtol=1e-12, atol=1e-15)
    few = model.hessian(X[:3], y[:3], "sigmoid_cross_entropy")  # three rows, six parameters: three flat directions
    eigenvalues = np.linalg.eigvalsh(few)
    assert np.abs(eigenvalues[:3]).max() < 1e-15
    assert eigenvalues[3] > 1e-4


def test_gauss_newton_is_not_the_hessian_of_a_curved_net(rng: np.random.Generator) -> None:
    """The mutant of the comparisons above: omitting the network's own curvature must be detected."""
    model, X, y = curvature_problem(rng)
    v = rng.standard_normal(model.parameters.size)
    H, G = model.hessian_vector_product, model.gauss_newton_product
    assert np.linalg.norm(H(X, y, "softmax_cross_entropy", v) - G(X, y, "softmax_cross_entropy", v)) > 0.1
    eigenvalues = np.linalg.eigvalsh(GaussNewtonOperator(model, X, y, "softmax_cross_entropy").matrix())
    assert eigenvalues[0] > -1e-12 * eigenvalues[-1]
    assert np.linalg.eigvalsh(model.hessian(X, y, "softmax_cross_entropy"))[0] < -1e-3


def test_regularizers_take_part(rng: np.random.Generator) -> None:
    model, X, y = curvature_problem(rng)
    v = rng.standard_normal(model.parameters.size)
    weights = np.concatenate([np.full(p.size, p.regularized) for layer in model.layers for p in layer.parameters.values()])
    for product_ in (model.hessian_vector_product, model.gauss_newton_product):
        plain = product_(X, y, "softmax_cross_entropy", v)
        assert np.array_equal(product_(X, y, "softmax_cross_entropy", v, regularizer=nn.L1(0.3)), plain)
        for regularizer in (nn.L2(0.3), nn.ElasticNet(0.7, 0.3)):
            got = product_(X, y, "softmax_cross_entropy", v, regularizer=regularizer)
            np.testing.assert_allclose(got, plain + 0.3 * weights * v, rtol=1e-15)


# Operators.


def test_operators_are_scipy_linear_operators(rng: np.random.Generator) -> None:
    from scipy.sparse.linalg import LinearOperator, aslinearoperator, cg, eigsh

    model, X, y = curvature_problem(rng)
    n = model.parameters.size
    V = rng.standard_normal((n, 4))
    for operator in (HessianOperator, GaussNewtonOperator):
        H = operator(model, X, y, "softmax_cross_entropy", regularizer=nn.L2(0.01))
        M = H.matrix()
        assert isinstance(H, LinearOperator)
        assert (H.shape, H.dtype) == ((n, n), np.float64)
        for got, want in [
            (H @ V, M @ V), (H @ V[:, 0], M @ V[:, 0]), (H @ V[:, :1], M @ V[:, :1]), (H.T @ V, M @ V), (H.H @ V, M @ V),
            (H.products(V.T), (M @ V).T), (H.products(V[:, 0]), M @ V[:, 0]), ((2 * H) @ V, 2 * M @ V),
            (H.rmatvec(V[:, 0]), M @ V[:, 0]),
        ]:  # fmt: skip
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)
    top = eigsh(H, k=1, which="LA", return_eigenvectors=False, v0=np.ones(n))
    assert top[0] == pytest.approx(np.linalg.eigvalsh(M)[-1], rel=1e-9)
    step, failed = cg(H + aslinearoperator(0.1 * np.eye(n)), V[:, 0], rtol=1e-10, maxiter=10 * n)
    assert not failed
    np.testing.assert_allclose(M @ step + 0.1 * step, V[:, 0], atol=1e-8)
    J = JacobianOperator(model, X)
    M, U = J.matrix(), rng.standard_normal((len(X) * 3, 4))
    assert J.shape == M.shape == (120, n)
    for got, want in [(J @ V, M @ V), (J @ V[:, 0], M @ V[:, 0]), (J.T @ U, M.T @ U), (J.rmatvec(U[:, 0]), M.T @ U[:, 0])]:
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)


def test_many_vectors_have_the_bits_of_one(rng: np.random.Generator) -> None:
    model, X, y = curvature_problem(rng)
    V = rng.standard_normal((6, model.parameters.size))
    for product_ in (model.hessian_vector_product, model.gauss_newton_product):
        together = product_(X, y, "softmax_cross_entropy", V)
        for v, Hv in zip(V, together, strict=True):
            assert np.array_equal(product_(X, y, "softmax_cross_entropy", v), Hv)
    assert model.hessian_vector_product(X, y, "softmax_cross_entropy", V[:0]).shape == (0, model.parameters.size)


def test_operator_follows_the_parameters_and_does_not_change_the_model(rng: np.random.Generator) -> None:
    model, X, y = curvature_problem(rng)
    v = rng.standard_normal(model.parameters.size)
    H, other = (HessianOperator(model, data, y, "softmax_cross_entropy") for data in (X, X[::-1].copy()))
    model.gradients[...] = 7
    before = H @ v
    assert not np.array_equal(other @ v, before)  # they share the program
    assert np.array_equal(H @ v, before)
    model.parameters[3] += 0.5
    after = H @ v
    assert not np.array_equal(after, before)
    assert np.array_equal(after, model.hessian_vector_product(X, y, "softmax_cross_entropy", v))
    model.parameters[3] -= 0.5
    assert np.array_equal(H @ v, before)
    model.gauss_newton_product(X, y, "softmax_cross_entropy", v)
    model.jacobian_product(X, np.ones(120), transposed=True)
    assert (model.gradients == 7).all()


@each_dtype
def test_same_bits_on_any_number_of_threads(dtype: str, rng: np.random.Generator) -> None:
    model = nn.Sequential([nn.Dense(70), nn.Tanh(), nn.Dense(40), nn.SiLU(), nn.Dense(3)], 90, dtype=dtype, seed=0)
    X, y = rng.standard_normal((300, 90)), rng.integers(0, 3, 300)
    check_threads(model, X, y, rng.standard_normal((2, model.parameters.size)), rng.standard_normal((2, 900)))


@each_isa
def test_every_instruction_set(isa: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    _, X, y = curvature_problem(rng)
    v = rng.standard_normal(curvature_problem(rng)[0].parameters.size)
    want = curvature_problem(rng)[0].hessian_vector_product(X, y, "softmax_cross_entropy", v)
    monkeypatch.setattr(_kernels, "isa_name", isa)
    got = curvature_problem(rng)[0].hessian_vector_product(X, y, "softmax_cross_entropy", v)
    assert_relative(got, want, 1e-13)


def test_a_large_batch_is_processed_in_chunks(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    model, X, y = curvature_problem(rng, rows=200)
    v, u = rng.standard_normal(model.parameters.size), rng.standard_normal(600)

    def everything() -> list[Array]:
        model._recordings.clear()
        return [
            model.hessian_vector_product(X, y, "softmax_cross_entropy", v),
            model.gauss_newton_product(X, y, "softmax_cross_entropy", v),
            model.jacobian(X), model.jacobian_product(X, u, transposed=True),
        ]  # fmt: skip

    at_once = everything()
    monkeypatch.setattr(linearization, "CHUNK_BYTES", 1)
    assert linearization.chunk_rows(model, 200) == 50
    assert linearization.chunk_rows(model, 130) == 44
    for got, want in zip(everything(), at_once, strict=True):
        assert_relative(got, want, 1e-14)
    monkeypatch.setattr(type(model.layers[1]), "batch_dependent", True)
    assert linearization.chunk_rows(model, 200) == 200


# Errors.


class Square(nn.Layer):
    """A layer written in Python."""

    def forward(self, x: Array, training: bool) -> Array:
        self.x = x.copy()
        return x**2

    def backward(self, dy: Array) -> Array:
        return 2 * self.x * dy


def log_cosh(y: Array, d: Array) -> tuple[Array, Array]:
    return np.log(np.cosh(y - d)).sum(axis=1), np.tanh(y - d)


def test_layers_that_cannot_be_differentiated_twice(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((5, 4)), rng.standard_normal((5, 3))
    model = net([nn.Dense(3), Square(name="squared")])
    v = np.ones(model.parameters.size)
    for call in (lambda: model.hessian_vector_product(X, y, "squared_error", v), lambda: model.jacobian(X)):
        with pytest.raises(TypeError, match=r"layer 'squared' \(Square\) cannot be differentiated along .*without it"):
            call()
    with pytest.raises(TypeError, match=r"loss log_cosh is written in Python .*curvature needs one of squared_error"):
        net([]).hessian(X, y, log_cosh)
    assert net([Square()]).jacobian(X).shape == (15, 15)  # before all parameters: nothing there to differentiate


def test_bad_input(rng: np.random.Generator) -> None:
    model, X, y = curvature_problem(rng)
    n, loss = model.parameters.size, "softmax_cross_entropy"
    for v, message in [
        (np.ones(n + 1), rf"v must have shape \({n},\) or \(k, {n}\), got \({n + 1},\)"),
        (np.ones((2, 2, n)), "v must have shape"),
        (np.full(n, np.nan), "v must be finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.hessian_vector_product(X, y, loss, v)
        with pytest.raises(ValueError, match=message):
            model.jacobian_product(X, v)
    with pytest.raises(TypeError, match="v must hold real numbers"):
        model.gauss_newton_product(X, y, loss, ["a"] * n)
    with pytest.raises(ValueError, match="X and y must have the same length, got 40 and 39"):
        model.hessian(X, y[:-1], loss)
    with pytest.raises(ValueError, match="X must be finite"):
        model.jacobian(np.full((2, 4), np.nan))
    with pytest.raises(TypeError, match="regularizer must be a Regularizer"):
        HessianOperator(model, X, y, loss, 0.1)
    with pytest.raises(TypeError, match="model must be a Sequential"):
        JacobianOperator(None, X)
    model.parameters[...] = 1e200
    with pytest.raises(ValueError, match="loss is not finite at the model's parameters"):
        model.hessian_vector_product(X, rng.standard_normal((40, 3)), "squared_error", np.ones(n))
