"""Recurrent layers and zoneout: kernels against their twins, gradients, PyTorch, random numbers, bits."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.kernels import packed
from helpers.recurrent import (
    CELLS,
    GATES,
    NAMES,
    RTOL,
    SIZES,
    blocks,
    each_cell,
    each_dtype,
    each_isa,
    read_backward,
    run,
    twin_backward,
    twin_forward,
)
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels, reference
from nncore.losses import PythonLoss
from nncore.reference import zoneout_keep

Array = NDArray[Any]


def assert_close(got: Array, want: Array, dtype: str) -> None:
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= RTOL[dtype] * max(np.abs(want).max(), 1e-30)


def upstream(y: Array, r: Array) -> tuple[Array, Array]:
    """Σ_j r_j y_j per example, whose gradient is r."""
    return (r * y).sum(axis=1), r


def build(
    cell: str, steps: int, inputs: int, units: int, rng: np.random.Generator, dtype: str = "float64", seed: int = 1, **kw: Any
) -> nn.Sequential:
    model = nn.Sequential([CELLS[cell](units, **kw)], input_shape=(steps, inputs), dtype=dtype, seed=seed)
    model.parameters[...] = rng.normal(0, 0.6 / np.sqrt(units) + 0.1, model.parameters.size)
    return model


# Kernels against their twins.


MODES: dict[str, dict[str, Any]] = {
    "plain": {},
    "zoneout": {"rate": 0.3, "sampled": True},
    "zoneout's mean": {"rate": 0.3},
    "masked": {"masked": True},
    "all, backwards": {"rate": 0.3, "sampled": True, "masked": True, "initial": True, "backwards": True},
}


@each_isa
@each_dtype
@each_cell
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sequences", [False, True])
def test_cells_against_their_twins(
    cell: str, dtype: str, isa: str, mode: str, sequences: bool, rng: np.random.Generator
) -> None:
    for size in SIZES:
        check_cell(cell, size, dtype, isa, sequences, rng, **MODES[mode])


def check_cell(
    cell: str, size: tuple[int, int, int, int], dtype: str, isa: str, sequences: bool, rng: np.random.Generator, *,
    rate: float = 0.0, sampled: bool = False, masked: bool = False, initial: bool = False, backwards: bool = False,
) -> None:  # fmt: skip
    rows, steps, _, units = size
    outputs, order = GATES[cell] * units, -1 if backwards else 1  # a cell that goes backwards sees the steps in reverse
    a = rng.standard_normal((rows, steps, outputs)).astype(dtype)
    U = (rng.standard_normal((outputs, units)) / np.sqrt(units)).astype(dtype)
    c = rng.standard_normal(outputs).astype(dtype)
    mask = (rng.random((rows, steps)) < 0.6).astype(dtype) if masked else None
    first = rng.standard_normal((rows, units)).astype(dtype) if initial else None
    address = {"seed": 2**63 - 5, "layer": 3, "step": 41}
    k: Any = zoneout_keep(rate, (rows, steps, units), **address) if sampled else np.full((rows, steps, units), rate)
    k[np.zeros((rows, steps), bool) if mask is None else mask == 0] = 1
    run_cell = partial(
        run, dtype=dtype, rows=rows, isa=isa, sizes=(units, steps, sequences, sampled, 2**63 - 5, 3 << 16, backwards),
        constants=(rate,), step=41,
    )  # fmt: skip
    empty = np.full((rows, steps, units), np.nan, dtype)
    y, parts = empty if sequences else empty[:, 0].copy(), [packed(part, isa) for part in blocks(cell, U)]
    dy = rng.standard_normal(y.shape).astype(dtype)
    end = 0 if backwards else steps - 1
    dh = np.zeros((rows, steps, units))
    dh[:, slice(None) if sequences else slice(end, end + 1)] = dy if sequences else dy[:, None]
    a64, U64, c64 = (array.astype(np.float64) for array in (a, U, c))

    want = twin_forward(cell, a64[:, ::order], U64, c64, k[:, ::order], first)
    bias, product = [c] if cell == "gru" else [], np.full((rows, len(blocks(cell, U)[0])), np.nan, dtype)
    written, last = [y, a, *[empty] * (len(want) - 2), product], np.full((rows, units), np.nan, dtype)
    *got, _, last = run_cell(f"{cell}_forward", written, [*parts, *bias, mask, first], after=[last])
    assert_close(got[0], want[0][:, ::order] if sequences else want[0][:, -1], dtype)
    assert_close(last, want[0][:, -1], dtype)
    for mine, twin in zip(got[1:], want[1:], strict=True):
        assert_close(mine, twin[:, ::order], dtype)

    wanted = twin_backward(cell, dh[:, ::order], want[1:], U64, k[:, ::order])
    deltas = [np.full((rows, steps, twin.shape[2]), np.nan, dtype) for twin in wanted]
    written = [*deltas, np.full((rows, 2, units), np.nan, dtype)]
    *deltas, _ = run_cell(f"{cell}_backward", written, [dy, *read_backward(cell, got[1:]), *blocks(cell, U), mask, None])
    for mine, twin in zip(deltas, wanted, strict=True):
        assert_close(mine, twin[:, ::order], dtype)


@each_isa
@each_dtype
def test_dense_steps_against_their_twins(dtype: str, isa: str, rng: np.random.Generator) -> None:
    for rows, steps, inputs, units in SIZES:
        x, dy = (rng.standard_normal((rows, steps, width)).astype(dtype) for width in (inputs, units))
        W, b = rng.standard_normal((units, inputs)).astype(dtype), rng.standard_normal(units).astype(dtype)
        x64, dy64, W64, b64 = (array.astype(np.float64) for array in (x, dy, W, b))
        tiles = _kernels.weight_tiles(units, inputs)
        kw: dict[str, Any] = {"dtype": dtype, "rows": rows, "isa": isa, "sizes": (units, inputs, 0, 0, steps)}
        (y,) = run("dense_steps_forward", [np.zeros_like(dy)], [x, packed(W, isa), b], **kw)
        (dx,) = run("dense_steps_backward_input", [np.zeros_like(x)], [dy, W], **kw)
        kw |= {"axis": "tiles"}
        (dW,) = run("dense_steps_backward_weight", [np.zeros_like(W)], [dy, x, tiles], pieces=len(tiles), **kw)
        (db,) = run("dense_steps_backward_bias", [np.zeros_like(b)], [dy], **kw)
        terms = 10 * np.sqrt(rows * steps)  # number of terms of mixed signs in a sum
        assert np.abs(y - reference.dense_steps_forward(x64, W64, b64)).max() <= RTOL[dtype] * 5 * np.sqrt(inputs)
        assert np.abs(dx - reference.dense_steps_backward_input(dy64, W64)).max() <= RTOL[dtype] * 5 * np.sqrt(units)
        assert np.abs(dW - reference.dense_steps_backward_weight(dy64, x64)).max() <= RTOL[dtype] * terms
        assert np.abs(db - reference.dense_steps_backward_bias(dy64)).max() <= RTOL[dtype] * terms


@each_isa
@each_dtype
def test_masks_and_joined_rows(dtype: str, isa: str, rng: np.random.Generator) -> None:
    for rows, steps, width, other in SIZES:
        kw: dict[str, Any] = {"dtype": dtype, "rows": rows, "isa": isa}
        a, b = (rng.standard_normal((rows, steps, n)).astype(dtype) for n in (width, other))
        (y,) = run(
            "join_rows", [np.full((rows, steps, width + other), np.nan, dtype)], [a, b], sizes=(width, other, steps), **kw
        )
        assert np.array_equal(y, reference.join_rows(a, b))
        apart = run("part_rows", [np.full_like(a, np.nan), np.full_like(b, np.nan)], [y], sizes=(width, other, steps), **kw)
        for mine, twin, given in zip(apart, reference.part_rows(y, width), (a, b), strict=True):
            assert np.array_equal(mine, twin)
            assert np.array_equal(mine, given)
        for value in (0.0, 0.1):  # 0.1 as the type has it
            x = np.where(rng.random(a.shape) < 0.3, a, np.dtype(dtype).type(value))
            x[rng.random((rows, steps)) < 0.5] = value
            x[0, 0, -1] = np.nan  # which equals nothing
            empty, how = np.full((rows, steps), np.nan, dtype), {"sizes": (steps, width), "constants": (value,), **kw}
            (mask,) = run("mask_steps", [empty], [x, None], **how)
            assert np.array_equal(mask, reference.mask_steps(x, value))
            earlier = (rng.random((rows, steps)) < 0.5).astype(dtype)
            (both,) = run("mask_steps", [empty], [x, earlier], **how)
            assert np.array_equal(both, reference.mask_steps(x, value, earlier))
            assert np.array_equal(both, mask * earlier)
            assert mask[0, 0] == 1
            assert np.array_equal(
                mask == 0, [[all(v == np.dtype(dtype).type(value) for v in step) for step in row] for row in x]
            )
            skipped = np.where(mask[..., None] == 0, np.dtype(dtype).type(np.inf), y)
            (cleared,) = run("clear_skipped", [skipped.copy()], [mask], sizes=(steps, width + other), **kw)
            assert np.array_equal(cleared, reference.clear_skipped(skipped, mask))
            assert np.array_equal(cleared, np.where(skipped == np.inf, 0, skipped))


@each_cell
def test_twins_by_differences(cell: str, rng: np.random.Generator) -> None:
    rows, steps, units = 2, 4, 3
    a, dh = rng.standard_normal((rows, steps, GATES[cell] * units)), rng.standard_normal((rows, steps, units))
    U, c = rng.standard_normal((GATES[cell] * units, units)), rng.standard_normal(GATES[cell] * units)
    k, first = rng.random((rows, steps, units)) < 0.4, rng.standard_normal((rows, units))

    def slope(position: int) -> Array:
        arguments = [a, U, c]
        result = np.empty_like(arguments[position])
        for i in np.ndindex(result.shape):
            values = []
            for h in (1e-6, -1e-6):
                moved = [array.copy() for array in arguments]
                moved[position][i] += h
                values.append(float((dh * twin_forward(cell, *moved, k, first)[0]).sum()))
            result[i] = (values[0] - values[1]) / 2e-6
        return result

    _, *saved = twin_forward(cell, a, U, c, k, first)
    delta, *through = twin_backward(cell, dh, saved, U, k)
    states = [saved[-1], saved[1]] if cell == "gru_reset_before" else [saved[-1]]
    dU = [reference.dense_steps_backward_weight(d, h) for d, h in zip(through or [delta], states, strict=True)]
    np.testing.assert_allclose(delta, slope(0), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(np.concatenate(dU), slope(1), rtol=1e-6, atol=1e-8)
    if cell == "gru":
        np.testing.assert_allclose(reference.dense_steps_backward_bias(through[0]), slope(2), rtol=1e-6, atol=1e-8)


# Layers.


@each_cell
@pytest.mark.parametrize("zoneout", [0.0, 0.4])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("shape", [(6, 4, 3), (1, 4, 3), (5, 1, 1)])
def test_gradients_with_a_random_upstream(
    cell: str, zoneout: float, sequences: bool, shape: tuple[int, int, int], rng: np.random.Generator
) -> None:
    steps, inputs, units = shape
    model = build(cell, steps, inputs, units, rng, return_sequences=sequences, zoneout=zoneout, seed=5)
    r = rng.standard_normal((9, np.prod(model.output_shape)))
    errors = model.check_gradients(rng.standard_normal((9, steps, inputs)), r, PythonLoss(upstream))
    assert set(errors) == {f"{NAMES[cell]}.{name}" for name in model.layers[0].parameters} | {"input"}
    assert max(errors.values()) <= 1e-6, errors


@each_cell
@pytest.mark.parametrize("middle", [lambda: nn.Tanh(), lambda: nn.GRU(3, return_sequences=True, zoneout=0.2)])
def test_gradients_of_a_stack(cell: str, middle: Callable[[], nn.Layer], rng: np.random.Generator) -> None:
    layers = [CELLS[cell](5, return_sequences=True, zoneout=0.3), middle(), CELLS[cell](4), nn.Dense(3)]
    model = nn.Sequential(layers, input_shape=(6, 2), dtype="float64", seed=3)
    errors = model.check_gradients(rng.standard_normal((7, 6, 2)), rng.integers(0, 3, 7), "softmax_cross_entropy")
    assert max(errors.values()) <= 1e-6, errors


each_torch_cell = pytest.mark.parametrize("cell", ["gru", "simple_rnn"])  # of whose kind PyTorch has one


def torch_layer(torch: Any, cell: str, layer: Any) -> Any:
    theirs = {"simple_rnn": torch.nn.RNN, "gru": torch.nn.GRU}[cell](layer.inputs, layer.units, batch_first=True).double()
    second = getattr(layer, "recurrent_bias", np.zeros_like(layer.bias))
    with torch.no_grad():
        for name, array in zip(
            ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"),
            (layer.weight, layer.recurrent_weight, layer.bias, second), strict=True,
        ):  # fmt: skip
            getattr(theirs, name).copy_(torch.tensor(array))
    return theirs


@each_torch_cell
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_against_torch(cell: str, sequences: bool, size: tuple[int, ...], rng: np.random.Generator, torch: Any) -> None:
    rows, steps, inputs, units = size
    model = build(cell, steps, inputs, units, rng, return_sequences=sequences)
    theirs = torch_layer(torch, cell, model.layers[0])
    X, r = rng.standard_normal((rows, steps, inputs)), rng.standard_normal((rows, *model.output_shape))
    x = torch.tensor(X, requires_grad=True)
    h, _ = theirs(x)
    h = h if sequences else h[:, -1]
    ((h * torch.tensor(r)).sum() / rows).backward()

    def close(got: Array, want: Any) -> None:
        np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-12, atol=1e-12)

    close(model.predict(X), h)
    close(model.deltas(X, r.reshape(rows, -1), PythonLoss(upstream))["input"], x.grad)
    layer: Any = model.layers[0]
    close(layer.weight_grad, theirs.weight_ih_l0.grad)
    close(layer.recurrent_weight_grad, theirs.weight_hh_l0.grad)
    close(layer.bias_grad, theirs.bias_ih_l0.grad)
    if cell == "gru":
        close(layer.recurrent_bias_grad, theirs.bias_hh_l0.grad)


@each_torch_cell
def test_training_like_torch(cell: str, rng: np.random.Generator, torch: Any) -> None:
    """100 steps of backpropagation through time with gradient descent agree."""
    X, y = rng.standard_normal((20, 6, 3)), rng.standard_normal((20, 5))
    model = build(cell, 6, 3, 5, rng)
    theirs = torch_layer(torch, cell, model.layers[0])
    nn.Trainer(model, "mean_squared_error", nn.SGD(lr=0.1)).fit(X, y, epochs=100, batch_size=20, shuffle=False, verbose=0)
    optimizer = torch.optim.SGD([p for n, p in theirs.named_parameters() if cell == "gru" or n != "bias_hh_l0"], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(theirs(torch.tensor(X))[0][:, -1], torch.tensor(y)).backward()
        optimizer.step()
    layer: Any = model.layers[0]
    np.testing.assert_allclose(layer.recurrent_weight, theirs.weight_hh_l0.detach().numpy(), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(layer.weight, theirs.weight_ih_l0.detach().numpy(), rtol=1e-9, atol=1e-10)


@each_cell
@each_dtype
def test_same_bits_on_any_number_of_threads(cell: str, dtype: str, rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((150, 6, 9)), rng.integers(0, 4, 150)

    def trained(threads: int) -> bytes:
        nn.set_num_threads(threads)
        layers = [CELLS[cell](48, return_sequences=True, zoneout=0.2), CELLS[cell](40, zoneout=0.1), nn.Dense(4)]
        model = nn.Sequential(layers, input_shape=(6, 9), dtype=dtype)
        nn.Trainer(model, "softmax_cross_entropy", nn.Adam()).fit(X, y, epochs=2, batch_size=70, verbose=0)
        return model.parameters.tobytes() + model.predict(X).tobytes()

    before = nn.get_num_threads()
    try:
        assert trained(1) == trained(2) == trained(3)
    finally:
        nn.set_num_threads(before)


@each_cell
def test_a_state_depends_only_on_its_past(cell: str, rng: np.random.Generator) -> None:
    model = build(cell, 7, 3, 4, rng, return_sequences=True, zoneout=0.3)
    X = rng.standard_normal((5, 7, 3))
    other = X.copy()
    other[2, 4:] += 1
    h, g = model.predict(X), model.predict(other)
    same = np.ones((5, 7), dtype=bool)
    same[2, 4:] = False
    assert np.array_equal(h[same], g[same])
    assert (h[~same] != g[~same]).all()


@each_cell
def test_last_state_is_the_last_of_all(cell: str, rng: np.random.Generator) -> None:
    every = build(cell, 6, 3, 5, rng, return_sequences=True, zoneout=0.2)
    last = nn.Sequential([CELLS[cell](5, zoneout=0.2)], input_shape=(6, 3), dtype="float64", seed=1)
    last.parameters[...] = every.parameters
    X = rng.standard_normal((70, 6, 3))
    for training in (False, True):
        assert np.array_equal(last.forward(X, training=training), every.forward(X, training=training)[:, -1])


# Zoneout.


def kept(model: nn.Sequential, X: Array, training: bool = True) -> Array:
    """The units that kept their old value at each step."""
    h = model.forward(X, training=training)
    before = np.concatenate([np.zeros_like(h[:, :1]), h[:, :-1]], axis=1)
    return np.asarray(h == before)


@each_cell
def test_zoneout_keeps_the_units_drawn_by_the_generator(cell: str, rng: np.random.Generator) -> None:
    layers = [nn.Tanh(), CELLS[cell](13, return_sequences=True, zoneout=0.35)]
    model = nn.Sequential(layers, input_shape=(6, 2), dtype="float64", seed=2**64 + 7)
    X = rng.standard_normal((200, 6, 2))
    want = zoneout_keep(0.35, (200, 6, 13), seed=7, layer=2)
    assert np.array_equal(kept(model, X), want)
    assert not kept(model, X, training=False).any()
    # Binomial: the fraction of 15 600 draws has a deviation of √(0.35 · 0.65 / 15600) = 0.0038.
    assert abs(want.mean() - 0.35) < 4 * 0.0038
    # The draws at neighboring steps, units and rows, and of other layers, seeds and training steps, are uncorrelated.
    others = [zoneout_keep(0.35, (200, 6, 13), **kw) for kw in (
        {"seed": 7, "layer": 1}, {"seed": 8, "layer": 2}, {"seed": 7, "layer": 2, "step": 1},
    )]  # fmt: skip
    neighbors = [np.roll(want, 1, axis) for axis in range(3)]
    for other in others + neighbors:
        assert abs(np.corrcoef(want.ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(want.size)


def test_zoneout_mean_over_many_draws(rng: np.random.Generator) -> None:
    """For one step, the mean over the draws is the value outside training."""
    model = build("gru", 1, 3, 4, rng, zoneout=0.3)
    x = rng.standard_normal((1, 1, 3))
    draws = model.forward(np.repeat(x, 100_000, axis=0), training=True)
    want = model.predict(x)[0]
    # Each h is 0.7-Bernoulli times the candidate c: its mean has the deviation |c| √(0.3 · 0.7 / 10⁵).
    assert (np.abs(draws.mean(axis=0) - want) < 4 * np.abs(want / 0.7) * np.sqrt(0.21 / 1e5)).all()
    candidate = build("gru", 1, 3, 4, np.random.default_rng(0))
    candidate.parameters[...] = model.parameters
    np.testing.assert_allclose(want, 0.7 * candidate.predict(x)[0], rtol=1e-14)


@each_cell
def test_zoneout_differs_from_step_to_step_of_the_training(cell: str, rng: np.random.Generator) -> None:
    """With lr = 0 only the draws make the loss of one epoch differ from that of the next; a new run repeats them."""
    X, y = rng.standard_normal((64, 5, 3)), rng.standard_normal((64, 8))

    def losses(zoneout: float, seed: int = 0) -> list[float]:
        model = nn.Sequential([CELLS[cell](8, zoneout=zoneout)], input_shape=(5, 3), dtype="float64", seed=seed)
        trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=0.0))
        trainer.fit(X, y, epochs=6, batch_size=64, shuffle=False, verbose=0)
        return list(trainer.history["running_loss"])

    assert len(set(losses(0.0))) == 1
    assert len(set(losses(0.3))) == 6
    assert losses(0.3) == losses(0.3)
    assert losses(0.3) != losses(0.3, seed=1)


# Files and bad input.


@each_cell
def test_saved_and_loaded(cell: str, tmp_path: Path, rng: np.random.Generator) -> None:
    layers = [CELLS[cell](5, return_sequences=True, zoneout=0.25, weight_init="lecun_normal", name="first"), CELLS[cell](3)]
    model = nn.Sequential(layers, input_shape=(4, 2), seed=9)
    model.parameters[...] += rng.standard_normal(model.parameters.size)
    model.save(tmp_path / "model")
    loaded = nn.load(tmp_path / "model")
    X = rng.standard_normal((6, 4, 2))
    assert repr(loaded) == repr(model)
    for training in (False, True):
        assert loaded.forward(X, training=training).tobytes() == model.forward(X, training=training).tobytes()


@each_cell
def test_resuming(cell: str, tmp_path: Path, rng: np.random.Generator) -> None:
    """The draws continue where they stopped."""
    X, y = rng.standard_normal((40, 4, 2)), rng.integers(0, 3, 40)

    def trainer() -> nn.Trainer:
        model = nn.Sequential([CELLS[cell](6, zoneout=0.3), nn.Dense(3)], input_shape=(4, 2))
        return nn.Trainer(model, "softmax_cross_entropy", nn.Adam())

    whole, first, second = trainer(), trainer(), trainer()
    whole.fit(X, y, epochs=4, batch_size=16, verbose=0)
    first.fit(X, y, epochs=2, batch_size=16, verbose=0)
    first.save(tmp_path / "run")
    second.restore(tmp_path / "run")
    second.fit(X, y, epochs=2, batch_size=16, verbose=0)
    assert second.model.parameters.tobytes() == whole.model.parameters.tobytes()


@each_cell
def test_bad_input(cell: str) -> None:
    cls = CELLS[cell]
    for rate in (-0.1, 1, 1.0, 2, np.nan, np.inf, True, "0.1", None):
        with pytest.raises((TypeError, ValueError), match="zoneout must be a number in"):
            cls(3, zoneout=rate)
    for units in (0, -1, 2.0, None):
        with pytest.raises((TypeError, ValueError), match="units must be a positive integer"):
            cls(units)
    for shape in ((4,), (4, 3, 2), 4):
        with pytest.raises(ValueError, match=rf"{NAMES[cell][:-2]} needs sequences.*\(steps, inputs\)"):
            nn.Sequential([cls(3)], input_shape=shape)
    model = nn.Sequential([cls(3)], input_shape=(4, 2))
    for X in (np.zeros((5, 8)), np.zeros((5, 2, 4)), np.zeros((4, 2))):
        with pytest.raises(ValueError, match=r"X must have shape \(n, 4, 2\)"):
            model.predict(X)


def test_the_last_state_of_a_layer_with_sequence_output_is_refused() -> None:
    with pytest.raises(ValueError, match="needs sequences"):
        nn.Sequential([nn.GRU(3), nn.GRU(3)], input_shape=(4, 2))
