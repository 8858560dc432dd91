"""Forward products without packed W: against their twin, and bit for bit against the packed product."""

from typing import Any

import numpy as np
import pytest
from helpers.kernels import assert_near, dense_inputs, distant, doubles, each_dtype, each_isa, run

import nncore as nn
from nncore import reference
from nncore._kernels import single_ops
from nncore._kernels.program import MOST_PANEL
from nncore.layers.products import DIRECT_ROWS, NARROW_UNITS

FEW_ROWS, FEW_INPUTS = 8, 256  # of dense_direct.h: up to this many rows and inputs are summed in lanes
SIZES = [
    (rows, inputs, units)
    for rows in (1, 2, 3, 4, 5, 7, 8, 9, 13, 128)
    for inputs, units in ((1, 1), (2, 16), (15, 3), (16, 31), (17, 33), (255, 5), (256, 64), (257, 6), (300, 65), (513, 34))
]


NARROW = [
    (rows, inputs, units)
    for rows in (1, 2, 3, 5, 8, 9, 15, 16, 17, 31, 32, 33, 70)
    for inputs, units in ((1, 1), (2, 16), (7, 3), (16, 2), (63, 4), (64, 6), (65, 5), (130, 16), (300, 1))
]
KERNELS = {"direct": SIZES, "narrow": NARROW}


@each_isa
@each_dtype
@pytest.mark.parametrize("gap", [0, 5])
@pytest.mark.parametrize("kernel", KERNELS)
def test_products(kernel: str, gap: int, dtype: str, isa: str, rng: np.random.Generator) -> None:
    for rows, inputs, units in KERNELS[kernel]:
        check_product(kernel, rows, inputs, units, gap, dtype, isa, rng)


def check_product(
    kernel: str, rows: int, inputs: int, units: int, gap: int, dtype: str, isa: str, rng: np.random.Generator
) -> None:
    """Bits alike for 1, 2 and 3 threads, nothing written outside (`run` sees to both)."""
    x, W, b, _ = given = dense_inputs(rng, rows, inputs, units, dtype)
    x64, W64, b64, _ = doubles(*given)
    how: dict[str, Any] = {"sizes": (units, inputs, gap)}
    if kernel == "direct":
        how = {"sizes": (units, inputs, gap, MOST_PANEL), "axis": "tiles", "pieces": -(-units // MOST_PANEL)}
    in_lanes = kernel == "direct" and rows <= FEW_ROWS and inputs >= FEW_INPUTS
    for bias, bias64 in ((b, b64), (None, None)):
        (y,) = run(
            f"dense_forward_{kernel}", [((rows, units), dtype)], (distant(x, gap), W, bias), dtype,
            rows=rows, isa=isa, **how,
        )  # fmt: skip
        size = reference.dense_forward(abs(x64), abs(W64), None if bias64 is None else abs(bias64))
        assert_near(y, reference.dense_forward(x64, W64, bias64), size, f"y {rows} {inputs} {units}")
        packed = np.empty_like(y)
        single_ops.dense_forward(packed, x, W, bias, isa=isa)
        assert in_lanes or y.tobytes() == packed.tobytes(), (rows, inputs, units)


@pytest.mark.parametrize("units", [NARROW_UNITS - 1, NARROW_UNITS, NARROW_UNITS + 1])
def test_training_with_few_outputs(units: int, rng: np.random.Generator) -> None:
    """On either side of the threshold: a step of gradient descent against its formula; W is packed only if that is read."""
    model = nn.Sequential([nn.Dense(units)], input_shape=7, seed=1, dtype="float64")
    layer, X, y = model.layers[0], rng.standard_normal((20, 7)), rng.standard_normal((20, units))
    W, b = layer.weight.copy(), layer.bias.copy()
    trainer = nn.Trainer(model, loss="squared_error", optimizer=nn.SGD(lr=0.1))
    ops = [op.name for op in trainer.profile(X, y, batch_size=20).ops]
    layer.weight[...], layer.bias[...] = W, b
    trainer.fit(X, y, epochs=1, batch_size=20, shuffle=False, verbose=0)
    residual = X @ W.T + b - y
    assert np.allclose(layer.weight, W - 0.1 * residual.T @ X / 20)
    assert np.allclose(layer.bias, b - 0.1 * residual.mean(axis=0))
    assert ("pack_weight" in ops) == (units > NARROW_UNITS)
    assert ("dense_forward_narrow" in ops) == (units <= NARROW_UNITS)


@pytest.mark.parametrize("rows", [1, FEW_ROWS, FEW_ROWS + 1, DIRECT_ROWS, DIRECT_ROWS + 1, 3000])
def test_predictions(rows: int, rng: np.random.Generator) -> None:
    """Of wide layers, on either side of each threshold."""
    model = nn.Sequential([nn.Dense(300), nn.Tanh(), nn.WeightNorm(nn.Dense(40)), nn.Dense(3)], input_shape=257, seed=1)
    X = rng.standard_normal((rows, 257)).astype(np.float32)
    want = model.astype("float64").predict(X)
    assert np.allclose(model.predict(X), want, rtol=1e-4, atol=1e-5)
    model.parameters[:] *= 1.5  # the previous weights must not have any effect
    assert np.allclose(model.predict(X), model.astype("float64").predict(X), rtol=1e-4, atol=1e-5)


def test_non_finite_values_stay_in_their_row(rng: np.random.Generator) -> None:
    model = nn.Sequential([nn.Dense(33)], input_shape=257, seed=1)
    model.layers[0].weight[4, 200] = np.inf
    y = model.predict(np.ones((3, 257), dtype=np.float32))
    assert np.isinf(y[:, 4]).all()
    assert np.isfinite(np.delete(y, 4, axis=1)).all()
