"""The R-operator through recurrent layers: kernels against their twins, twins against differences, products against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from helpers import kernels, recurrent, tangent
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels, reference
from nncore.model.curvature import linearization

Array = NDArray[Any]
CELLS, GATES = recurrent.CELLS, recurrent.GATES
each_isa, each_dtype, each_cell = recurrent.each_isa, recurrent.each_dtype, recurrent.each_cell
assert_relative, run, packed = tangent.assert_relative, recurrent.run, kernels.packed

# Kernels against their twins. As in test_recurrent.py, errors are measured by the array's largest number.

RTOL = {"float32": 1e-5, "float64": 3e-14}


def assert_close(got: Array, want: Array, what: str) -> None:
    assert got.shape == want.shape
    error, allowed = np.abs(got - want).max(), RTOL[str(got.dtype)] * max(np.abs(want).max(), 1e-30)
    assert error <= allowed, f"{what}: values differ, by up to {error / allowed:.3g} times what is allowed"


def check_cell(
    cell: str, size: tuple[int, int, int], sequences: bool, dtype: str, isa: str | None, masked: bool = False,
    mutation: float = 1.0,
) -> None:  # fmt: skip
    rows, steps, units = size
    rng, outputs = np.random.default_rng(size), GATES[cell] * units
    a, ta = rng.standard_normal((2, rows, steps, outputs))
    dh, tdh = rng.standard_normal((2, rows, steps, units)).astype(dtype)
    U, V = (rng.standard_normal((2, outputs, units)) / np.sqrt(units)).astype(dtype)
    c, v_c = rng.standard_normal((2, outputs)).astype(dtype)
    mask = (rng.random((rows, steps)) < 0.6).astype(dtype) if masked else None
    k = np.zeros((rows, steps, 1)) if mask is None else 1.0 - mask[..., None]
    saved = [array.astype(dtype) for array in recurrent.twin_forward(cell, a, U, c, k)[1:]]
    ta, bias = ta.astype(dtype), [v_c] if cell == "gru" else []
    if not sequences:  # steps before the last get no upstream gradient
        dh[:, :-1] = tdh[:, :-1] = 0
    dy, tdy = (array if sequences else array[:, -1].copy() for array in (dh, tdh))
    doubles = partial(map, np.float64)
    tU = V.astype(np.float64) * mutation

    run_cell = partial(run, dtype=dtype, rows=rows, isa=isa, sizes=(units, steps, sequences, True, 1, 2), constants=(0.0,))
    empty = np.full((rows, steps, units), np.nan, dtype)
    ty = empty if sequences else empty[:, 0].copy()
    parts = [recurrent.blocks(cell, array) for array in (U, V)]
    copies = [packed(part, isa) for array in parts for part in array]
    product = np.full((rows, len(parts[0][0])), np.nan, dtype)

    written = [ty, ta, *[empty] * (len(saved) - 1), product]
    *got, _ = run_cell(f"{cell}_tangent_forward", written, [*saved, *copies, *bias, mask])
    twin = getattr(reference, f"{cell}_tangent_forward")
    th, *tangents = twin(np.float64(ta), *doubles(saved), np.float64(U), tU, *doubles(bias), k)
    wanted = [th if sequences else th[:, -1], *tangents]

    reading, tsaved = partial(recurrent.read_backward, cell), [array.astype(dtype) for array in tangents]
    like = recurrent.twin_backward(cell, dh, saved, U, k)
    deltas = [np.full_like(delta, np.nan, dtype) for delta in like]
    carry, longer = (np.full((rows, n * units), np.nan, dtype) for n in (2, 1 + len(parts[0])))
    written = [*deltas, carry]
    *deltas, _, g = run_cell(f"{cell}_backward", written, [dy, *reading(saved), *parts[0], mask], after=[empty])
    gates = saved[0].astype(np.float64)
    slope = 1 - gates[..., -units:] ** 2
    if cell != "simple_rnn":
        slope *= 1 - gates[..., units : 2 * units]
    assert_close((g * slope).astype(dtype), deltas[0][..., -units:], f"{cell} {size}, g")

    of_products = deltas[1:] or deltas
    inputs = [tdy, g, *of_products, *reading(saved), *reading(tsaved), U, V, mask]
    *tdeltas, _ = run_cell(f"{cell}_tangent_backward", [*(np.full_like(delta, np.nan) for delta in deltas), longer], inputs)
    twin = getattr(reference, f"{cell}_tangent_backward")
    want = twin(*doubles([tdh, dh, *reading(saved), *reading(tsaved), U]), tU, k)
    wanted += [want] if cell == "simple_rnn" else want
    for i, (mine, theirs) in enumerate(zip([*got, *tdeltas], wanted, strict=True)):
        assert_close(mine, theirs, f"{cell} {size}, array {i}")


@each_isa
@each_dtype
@each_cell
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
def test_cells(cell: str, sequences: bool, masked: bool, dtype: str, isa: str) -> None:
    for rows, steps, _, units in recurrent.SIZES:
        check_cell(cell, (rows, steps, units), sequences, dtype, isa, masked)


@each_dtype
@each_cell
def test_mutant_cells(cell: str, dtype: str) -> None:
    for sequences in (False, True):
        kernels.differs(lambda s=sequences: check_cell(cell, (5, 9, 33), s, dtype, None, mutation=kernels.MUTATION))


@each_isa
@each_dtype
def test_dense_steps(dtype: str, isa: str, rng: np.random.Generator) -> None:
    for rows, steps, inputs, units in recurrent.SIZES:
        x, tx = tangent.normal(rng, (rows, steps, inputs), 2, dtype)
        dy, tdy = tangent.normal(rng, (rows, steps, units), 2, dtype)
        (W, V), (v_b,) = tangent.normal(rng, (units, inputs), 2, dtype), tangent.normal(rng, (units,), 1, dtype)
        tiles = _kernels.weight_tiles(units, inputs)
        kw: dict[str, Any] = {"dtype": dtype, "rows": rows, "isa": isa, "sizes": (units, inputs, 0, 0, steps)}
        by_tiles = kw | {"axis": "tiles", "pieces": len(tiles)}
        for name, output, arrays, given, options in [
            ("forward", dy, [tx, x, packed(W, isa), packed(V, isa), v_b], [tx, x, W, V, v_b], kw),
            ("backward_input", x, [tdy, dy, W, V], [tdy, dy, W, V], kw),
            ("backward_weight", W, [tdy, dy, x, tx, tiles], [tdy, dy, x, tx], by_tiles),
        ]:
            (got,) = run(f"dense_steps_tangent_{name}", [np.full_like(output, np.nan)], arrays, **options)
            twin, doubles = getattr(reference, f"dense_steps_tangent_{name}"), kernels.doubles(*given)
            sizes = twin(*map(np.abs, doubles))
            kernels.assert_near(got, twin(*doubles), sizes, f"{name} {rows} {steps} {inputs} {units}")


# Twins by differences.


@each_cell
def test_cell_twins_by_differences(cell: str, rng: np.random.Generator) -> None:
    rows, steps, units = 2, 4, 3
    shape = (rows, steps, GATES[cell] * units)
    (a, ta), (c, v_c) = tangent.normal(rng, shape, 2, "float64"), tangent.normal(rng, shape[-1:], 2, "float64")
    U, V = tangent.normal(rng, (shape[-1], units), 2, "float64")
    dh, tdh = tangent.normal(rng, (rows, steps, units), 2, "float64")
    k = (rng.random((rows, steps, 1)) < 0.3) * 1.0  # steps that are skipped
    first, bias = rng.standard_normal((rows, units)), [v_c] if cell == "gru" else []

    def forward(a: Array, U: Array, c: Array) -> list[Array]:
        return recurrent.twin_forward(cell, a, U, c, k, first)

    def backward(dh: Array, a: Array, U: Array, c: Array) -> Array:
        return np.concatenate(recurrent.twin_backward(cell, dh, forward(a, U, c)[1:], U, k), axis=2)

    _, *saved = forward(a, U, c)
    tangents = getattr(reference, f"{cell}_tangent_forward")(ta, *saved, U, V, *bias, k)
    read = [*recurrent.read_backward(cell, saved), *recurrent.read_backward(cell, tangents[1:])]
    got = getattr(reference, f"{cell}_tangent_backward")(tdh, dh, *read, U, V, k)
    got = got if cell == "simple_rnn" else np.concatenate(got, axis=2)
    near: dict[str, float] = {"rtol": 1e-6, "atol": 1e-8}
    for i, mine in enumerate(tangents):
        want = tangent.derivative(lambda *values, i=i: forward(*values)[i], (a, U, c), (ta, V, v_c))
        np.testing.assert_allclose(mine, want, **near)
    np.testing.assert_allclose(got, tangent.derivative(backward, (dh, a, U, c), (tdh, ta, V, v_c)), **near)


# Products of whole networks.

ROWS = 12
PLACES: dict[str, Callable[[Any], list[nn.Layer]]] = {
    "alone": lambda cell: [cell(3, return_sequences=True)],
    "on the data": lambda cell: [cell(5), nn.Dense(3)],
    "stacked": lambda cell: [cell(5, return_sequences=True), nn.Tanh(), cell(4, return_sequences=True), cell(3)],
    "masked": lambda cell: [nn.Masking(), cell(5, return_sequences=True), nn.Tanh(), cell(3)],
    "both directions": lambda cell: [
        nn.Masking(),
        nn.Bidirectional(cell(3, return_sequences=True)),
        nn.Bidirectional(cell(2), merge="mean"),
    ],
    "behind others": lambda cell: [nn.InstanceNorm(affine=True), nn.SiLU(), cell(5), nn.WeightNorm(nn.Dense(3))],
}
each_place = pytest.mark.parametrize("place", PLACES)


def problem(cell: str, place: str, rng: np.random.Generator, rows: int = ROWS) -> tuple[nn.Sequential, Array, Array]:
    model = nn.Sequential(PLACES[place](CELLS[cell]), input_shape=(6, 2), dtype="float64")
    model.parameters[...] = rng.normal(0, 0.6, model.parameters.size)
    X = rng.standard_normal((rows, 6, 2))
    X[rng.random((rows, 6)) < 0.3] = 0  # steps that `Masking` skips
    return model, X, rng.standard_normal((rows, *model.output_shape))


@each_place
@each_cell
def test_products_by_differences(cell: str, place: str, rng: np.random.Generator) -> None:
    model, X, y = problem(cell, place, rng)
    tangent.check_products(model, X, y, rng)


@each_place
@each_cell
def test_symmetric_and_linear(cell: str, place: str, rng: np.random.Generator) -> None:
    model, X, y = problem(cell, place, rng)
    tangent.check_symmetric_and_linear(model, X, y, rng)


@each_place
@each_cell
def test_products_against_torch(cell: str, place: str, rng: np.random.Generator, torch: Any) -> None:
    """PyTorch's own cells cannot be differentiated twice forward: this is what they compute, step by step."""
    model, X, y = problem(cell, place, rng, rows=30)
    v = rng.standard_normal(model.parameters.size)
    tX, ty, theta = torch.tensor(X), torch.tensor(y), torch.tensor(model.parameters.copy())

    def unrolled(layer: Any, x: Any, mask: Any, order: int, W: Any, U: Any, b: Any, c: Any = None) -> Any:
        h, states = torch.zeros(len(x), layer.units, dtype=torch.float64), []
        for t in range(x.shape[1])[::order]:
            a, before = x[:, t] @ W.T + b, h
            if isinstance(layer, nn.SimpleRNN):
                h = torch.tanh(a + h @ U.T)
            elif c is None:
                (a_r, a_z, a_n), (U_r, U_z, U_n) = a.chunk(3, 1), U.chunk(3)
                r, z = torch.sigmoid(a_r + h @ U_r.T), torch.sigmoid(a_z + h @ U_z.T)
                h = (1 - z) * torch.tanh(a_n + (r * h) @ U_n.T) + z * h
            else:
                (a_r, a_z, a_n), (p_r, p_z, q) = a.chunk(3, 1), (h @ U.T + c).chunk(3, 1)
                z = torch.sigmoid(a_z + p_z)
                h = (1 - z) * torch.tanh(a_n + torch.sigmoid(a_r + p_r) * q) + z * h
            h = torch.where(mask[:, t, None], h, before)
            states.append(h)
        return torch.stack(states[::order], 1) if layer.return_sequences else h

    def outputs(theta: Any) -> Any:
        h, mask = tX, torch.ones(tX.shape[:2], dtype=torch.bool)
        for layer in model.layers:
            own = [theta[p.offset : p.offset + p.size].reshape(p.shape) for p in layer.parameters.values()]
            if isinstance(layer, (nn.SimpleRNN, nn.GRU)):
                h = unrolled(layer, h, mask, 1, *own)
            elif isinstance(layer, nn.Masking):
                mask = (h != 0).any(2)
            elif isinstance(layer, nn.Bidirectional):
                half = len(own) // 2
                both = [unrolled(layer.layer, h, mask, order, *own[i : i + half]) for order, i in ((1, 0), (-1, half))]
                h = torch.cat(both, -1) if layer.merge == "concat" else sum(both) / 2
            elif isinstance(layer, nn.InstanceNorm):
                h = torch.nn.functional.instance_norm(h, weight=own[0], bias=own[1])
            elif isinstance(layer, nn.WeightNorm):
                h = h @ (own[1][:, None] * own[0] / own[0].norm(dim=1, keepdim=True)).T + own[2]
            elif isinstance(layer, nn.Dense):
                h = h @ own[0].T + own[1]
            else:
                h = torch.tanh(h) if isinstance(layer, nn.Tanh) else torch.nn.functional.silu(h)
        return h

    def loss(z: Any) -> Any:
        return 0.5 * ((z - ty) ** 2).sum() / len(ty)

    _, want = torch.func.jvp(torch.func.grad(lambda theta: loss(outputs(theta))), (theta,), (torch.tensor(v),))
    assert_relative(model.hessian_vector_product(X, y, "squared_error", v), want.numpy(), 1e-10)
    _, tz = torch.func.jvp(outputs, (theta,), (torch.tensor(v),))
    assert_relative(model.jacobian_product(X, v), tz.detach().numpy().ravel(), 1e-10)
    (want,) = torch.func.vjp(outputs, theta)[1](tz / len(ty))
    assert_relative(model.gauss_newton_product(X, y, "squared_error", v), want.numpy(), 1e-10)


@each_dtype
@each_cell
def test_same_bits_on_any_number_of_threads(cell: str, dtype: str, rng: np.random.Generator) -> None:
    layers = [CELLS[cell](40, return_sequences=True), CELLS[cell](35), nn.Dense(3)]
    model = nn.Sequential(layers, input_shape=(5, 9), dtype=dtype, seed=0)
    X, y = rng.standard_normal((150, 5, 9)), rng.integers(0, 3, 150)
    tangent.check_threads(model, X, y, rng.standard_normal((2, model.parameters.size)), rng.standard_normal((2, 450)))


@each_isa
@each_cell
def test_every_instruction_set(cell: str, isa: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    model, X, y = problem(cell, "stacked", rng)
    v = rng.standard_normal(model.parameters.size)
    want = model.hessian_vector_product(X, y, "squared_error", v)
    monkeypatch.setattr(_kernels, "isa_name", isa)
    model._recordings.clear()
    assert_relative(model.hessian_vector_product(X, y, "squared_error", v), want, 1e-13)


@each_cell
def test_a_large_batch_is_processed_in_chunks(cell: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long sequences need more memory: the states of every step are stored, even if only the last is the output."""
    model, X, y = problem(cell, "on the data", rng, rows=200)
    v = rng.standard_normal(model.parameters.size)
    at_once = model.hessian_vector_product(X, y, "squared_error", v)
    longer = nn.Sequential([CELLS[cell](5), nn.Dense(3)], input_shape=(600, 2), dtype="float64")
    assert linearization.chunk_rows(longer, 10**6) < 0.05 * linearization.chunk_rows(model, 10**6)
    model._recordings.clear()
    monkeypatch.setattr(linearization, "CHUNK_BYTES", 1)
    assert linearization.chunk_rows(model, 200) == 50
    assert_relative(model.hessian_vector_product(X, y, "squared_error", v), at_once, 1e-13)


@each_cell
def test_second_order_training(cell: str, rng: np.random.Generator) -> None:
    """A student initialized near its teacher converges in a few steps; H is singular, as a GRU's b and c add up."""
    model = nn.Sequential([CELLS[cell](3), nn.Dense(2)], input_shape=(4, 2), dtype="float64", seed=1)
    X = rng.standard_normal((80, 4, 2))
    y, theta = model.predict(X), model.parameters + 0.1 * rng.standard_normal(model.parameters.size)
    for optimizer in (
        nn.second_order.AdaptiveDampedNewton(), nn.second_order.LevenbergMarquardt(), nn.second_order.TruncatedNewton(),
    ):  # fmt: skip
        model.parameters[...] = theta
        history = nn.Trainer(model, "squared_error", optimizer).fit(X, y, epochs=25, batch_size=80, verbose=0)
        assert history["loss"][-1] < 1e-5 * history["loss"][0]


@each_cell
def test_zoneout_is_refused(cell: str, rng: np.random.Generator) -> None:
    model = nn.Sequential([CELLS[cell](3, zoneout=0.1), nn.Dense(2)], input_shape=(4, 2))
    X, y = rng.standard_normal((5, 4, 2)), rng.standard_normal((5, 2))
    with pytest.raises(TypeError, match=rf"layer '{recurrent.NAMES[cell]}' .* cannot be differentiated along .*drawn anew"):
        model.hessian(X, y, "squared_error")
    with pytest.raises(TypeError, match="cannot be differentiated along a direction"):
        model.jacobian(X)
