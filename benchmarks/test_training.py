"""A whole training step beside its NumPy twin, `nncore.reference.MLP` with Adam: the same parameters, and both times.

    python -m pytest benchmarks/test_training.py

The rivals' table, which compares with the fastest NumPy that we could write, is ``python -m benchmarks.training``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nncore as nn
from benchmarks import nets
from nncore import reference

NETS = (nets.parse("64-64-10"), nets.parse("784-256-128-10"))
STEPS = 10  # per round: an epoch of as many batches


def trained(net: nets.Net, dtype: str, side: str) -> tuple[Callable[[], object], Callable[[], Any]]:
    """What trains for an epoch in the order of the data, and what gives the parameters."""
    X, y = nets.data(net, dtype)
    X, y = X[: STEPS * net.batch], y[: STEPS * net.batch]
    model = nn.Sequential(
        [layer for units in net.sizes[1:-1] for layer in (nn.Dense(units), nn.ReLU())] + [nn.Dense(net.sizes[-1])],
        input_shape=net.sizes[0], dtype=dtype, seed=0,
    )  # fmt: skip
    if side == "nncore":
        trainer = nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=1e-3))
        return lambda: trainer.fit(X, y, batch_size=net.batch, shuffle=False, verbose=0), lambda: model.parameters
    twin = reference.MLP(net.sizes, "relu", dtype=dtype)
    twin.theta[:] = model.parameters
    m, v = np.zeros((2, twin.theta.size), dtype)
    step = 0

    def epoch() -> None:
        nonlocal step
        for start in range(0, len(X), net.batch):
            step += 1
            twin.loss_and_gradient(X[start : start + net.batch], y[start : start + net.batch])
            reference.adam_update(twin.theta, twin.gradient, m, v, lr=1e-3, step=step)

    return epoch, lambda: twin.theta


@pytest.mark.benchmark(min_time=1e-3, max_time=0.5, min_rounds=5)
@pytest.mark.parametrize("side", ["nncore", "NumPy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_training(net: nets.Net, dtype: str, side: str, benchmark: Any) -> None:
    """See the top."""
    run, theta = trained(net, dtype, side)
    start = theta().astype("float64")
    run()
    if side == "nncore":  # Adam divides by √v: the rounding of a gradient near 0 counts in full, but such gradients are few
        run_twin, theta_of_twin = trained(net, "float64", "NumPy")
        run_twin()
        difference, way = (np.linalg.norm(theta_of_twin() - point) for point in (theta(), start))
        assert difference <= {"float32": 0.05, "float64": 1e-9}[dtype] * way
    benchmark.group, benchmark.name = f"{STEPS} steps of {net.name}, batches of {net.batch}, {dtype}", side
    benchmark(run)
