"""Subnormal numbers: flushed to 0 while a program runs, kept everywhere else."""

from __future__ import annotations

import signal

import numpy as np
import pytest

import nncore as nn
from nncore._kernels import single_ops


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 2])
def test_programs_flush_them_to_0(dtype: str, threads: int) -> None:
    before = nn.get_num_threads()
    tiny = np.finfo(dtype).tiny
    model = nn.Sequential([nn.Dense(2)], input_shape=1, dtype=dtype)
    model.parameters[:] = [1, 1, 0, 0]
    nn.set_num_threads(threads)
    try:
        assert model.predict([[tiny / 4], [tiny]]).tolist() == [[0, 0], [tiny, tiny]]
    finally:
        nn.set_num_threads(before)
    assert tiny / 4 > 0  # the floating-point mode of this thread is restored


def test_averages_of_a_zero_gradient_reach_0() -> None:
    """m ← 0.9 m stays at a denormal number where these are kept: 0.9 k rounds to k."""
    model = nn.Sequential([nn.Dense(1, bias=False)], input_shape=1)
    optimizer = nn.Adam(betas=(0.9, 0.9))
    trainer = nn.Trainer(model, "mean_squared_error", optimizer)
    trainer.fit([[1.0]], [3.0], epochs=1, verbose=0)
    averages = list(optimizer.state.values())
    assert all(average > 0 or average < 0 for average in averages)
    trainer.fit([[0.0]], [0.0], epochs=2000, verbose=0)
    assert not any(averages)


def test_python_code_in_a_network_keeps_them() -> None:
    seen = []

    class Look(nn.Layer):
        def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
            seen.append((np.full(1, np.finfo(np.float64).tiny) / 4)[0])
            return x

        def backward(self, grad: np.ndarray) -> np.ndarray:
            return grad

    model = nn.Sequential([Look(), nn.Dense(1)], input_shape=1)
    nn.Trainer(model, "mean_squared_error").fit([[1.0]], [1.0], epochs=1, verbose=0)
    assert seen
    assert min(seen) > 0


@pytest.mark.parametrize("ensemble", [False, True])
def test_handlers_of_signals_keep_them(ensemble: bool) -> None:
    """They run within a long run, whose thread flushes denormal numbers."""
    seen = []
    tiny = float(np.finfo(np.float64).tiny)

    def look(number: int, frame: object) -> None:
        seen.append(tiny / 4)

    X = np.zeros((20_000, 256), np.float32)
    model = nn.Sequential([nn.Dense(512), nn.Tanh(), nn.Dense(512), nn.Tanh(), nn.Dense(1)], input_shape=256)
    predict = nn.Ensemble(model, 2).predict if ensemble else model.predict
    predict(X)
    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        predict(X)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen
    assert min(seen) > 0


def test_single_kernels_keep_them() -> None:
    x, y = np.full((1, 3), np.finfo(np.float32).tiny / 4), np.zeros((1, 3), np.float32)
    single_ops.run_op("relu_forward", (y, x.astype(np.float32)), dtype=np.float32, sizes=(3,))
    assert (y > 0).all()
