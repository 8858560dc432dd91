"""The profile of a training step: its ops, their costs counted by hand, no side effects. No time is asserted."""

import copy
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.training import profiling as module

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def data(n: int = 70) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 20)), rng.integers(0, 4, n)


def make(dtype: str = "float32", **kw: Any) -> nn.Trainer:
    layers = [nn.Dense(24, name="wide"), nn.BatchNorm(), nn.ReLU(), nn.Dropout(0.2), nn.Dense(4, name="out")]
    model = nn.Sequential(layers, input_shape=20, dtype=dtype, seed=0)
    given = {"optimizer": "adam", "regularizer": nn.L2(1e-3), "clip": nn.ClipGlobalNorm(1.0), "metrics": ["accuracy"]} | kw
    return nn.Trainer(model, "softmax_cross_entropy", **given)


def bits(trainer: nn.Trainer) -> list[bytes]:
    state = trainer.optimizer.state_dict()
    arrays = [trainer.model.parameters, trainer.model.gradients, trainer.model.state, *map(np.asarray, state.values())]
    arrays += [trainer.history[column] for column in trainer.history]
    return [np.asarray(a).tobytes() for a in arrays]


@each_dtype
def test_every_op_of_the_step_is_there_with_its_layer(dtype: str) -> None:
    found = make(dtype).profile(*data(), batch_size=32, steps=3)
    assert found.batch_size == 32
    names = [op.name for op in found.ops]
    assert names[0] == "gather_rows"
    assert names.count("dense_forward") == names.count("pack_weight") == 1  # of the wide layer; the other has few units
    assert names.count("dense_forward_narrow") == names.count("dense_backward_input") == 1
    assert names.count("dense_backward_weight") == 2
    for name in ("softmax_cross_entropy_labels", "accuracy_labels", "penalty", "square_sum", "clip_factor", "adam_update"):
        assert names.count(name) == 1, name
    assert names.index("dense_forward") < names.index("softmax_cross_entropy_labels") < names.index("adam_update")
    layers = {op.layer for op in found.ops if op.name.startswith(("dense", "pack"))}
    assert layers == {"wide", "out"}
    assert [op.layer for op in found.ops if op.name.startswith("dropout")] == ["dropout_1"] * 2
    assert all("batch_norm_1" in op.layer for op in found.ops if op.name.startswith("batch_norm"))
    assert {op.layer for op in found.ops if op.name.startswith(("gather", "adam", "softmax_cross", "penalty"))} == {""}


@each_dtype
def test_costs_are_those_counted_by_hand(dtype: str) -> None:
    """20-24-4 at 32 rows; P = 20·24 + 24 + 24 + 24 + 24·4 + 4 parameters."""
    size = np.dtype(dtype).itemsize
    found = {(op.name, op.layer): op for op in make(dtype).profile(*data(), batch_size=32, steps=1).ops}
    wide = 2 * 32 * 20 * 24
    assert found["dense_forward", "wide"].flops == found["dense_backward_weight", "wide"].flops == wide
    assert found["dense_forward_narrow", "out"].flops == found["dense_backward_input", "out"].flops == 2 * 32 * 24 * 4
    assert found["gather_rows", ""].traffic == 2 * 32 * 20 * size
    assert found["gather_labels", ""].traffic == 2 * 32 * 8
    assert found["dropout_forward", "dropout_1"].traffic == 2 * 32 * 24 * size
    assert found["dense_backward_weight", "out"].traffic == (24 * 4 + 32 * 24 + 32 * 4) * size
    parameters = 20 * 24 + 24 + 24 + 24 + 24 * 4 + 4
    assert found["adam_update", ""].traffic == (2 + 1 + 2 + 2) * parameters * size
    assert {op.limit for op in found.values()} <= {"arithmetic", "memory"}


def test_recurrent_products_are_counted() -> None:
    X = np.random.default_rng(0).standard_normal((12, 5, 3))
    for cell, layer in (("gru", nn.GRU(8)), ("gru_reset_before", nn.GRU(8, reset_after=False))):
        model = nn.Sequential([layer], input_shape=(5, 3))
        found = {op.name: op for op in nn.Trainer(model, "squared_error").profile(X, np.zeros((12, 8)), steps=1).ops}
        assert found[f"{cell}_forward"].flops == found[f"{cell}_backward"].flops == 2 * 12 * 5 * 8 * 24
        assert found["dense_steps_forward"].flops == 2 * 12 * 5 * 3 * 24


def test_sums_and_fractions_agree() -> None:
    found = make().profile(*data(), batch_size=32, steps=4)
    assert found.seconds == pytest.approx(sum(op.seconds for op in found.ops))
    assert all(op.seconds >= 0 for op in found.ops)
    assert all(seconds > 0 for seconds in found.step_seconds.values())
    assert list(found.step_seconds) == [1]  # too little work for more threads
    for op in found.ops:
        assert op.bound >= op.flops / found.peak * (1 - 1e-12)
        assert (op.bound > 0) == (op.flops + op.traffic > 0)


def test_a_large_step_is_timed_on_all_threads_too() -> None:
    rng = np.random.default_rng(0)
    model = nn.Sequential([nn.Dense(128), nn.Tanh(), nn.Dense(3)], input_shape=64)
    found = nn.Trainer(model, "softmax_cross_entropy").profile(
        rng.standard_normal((128, 64)), rng.integers(0, 3, 128), batch_size=64, steps=2
    )
    assert list(found.step_seconds) == sorted({1, nn.get_num_threads()})


def test_the_table() -> None:
    found = make().profile(*data(), batch_size=32, steps=2)
    lines = str(found).splitlines()
    assert repr(found) == str(found)
    assert lines[0].split()[:3] == ["op", "layer", "us"]
    assert [line.split()[:2] for line in lines[1:-2]] == [[str(n), op.name] for n, op in enumerate(found.ops)]
    assert sum("GFLOP/s" in line for line in lines[1:-2]) == sum(op.flops > 0 for op in found.ops)
    assert lines[-1].startswith("sum of the ops")
    assert "step of 32 rows" in lines[-1]
    assert "1 thread" in lines[-1]


@pytest.mark.parametrize(
    "optimizer", [nn.Nesterov(lr=0.01), nn.Adam(lr=nn.schedules.Cosine(0.01, steps=100)), nn.EMA(nn.SGD())]
)
def test_has_no_side_effects(optimizer: nn.Optimizer) -> None:
    """A training that was profiled in the middle continues with the same bits."""
    X, y = data()
    trainer, other = make(optimizer=optimizer), make(optimizer=copy.deepcopy(optimizer))
    for one in (trainer, other):
        one.fit(X, y, epochs=2, batch_size=16, verbose=0)
    before, epochs = bits(trainer), trainer.epochs_done
    trainer.profile(X, y, batch_size=16, steps=7)
    assert bits(trainer) == before
    assert trainer.epochs_done == epochs
    for one in (trainer, other):
        one.fit(X, y, epochs=2, batch_size=16, verbose=0)
    assert bits(trainer) == bits(other)


def test_default_batches() -> None:
    assert make().profile(*data(), steps=1).batch_size == 32
    assert make().profile(*data(9), steps=1).batch_size == 9
    assert make(optimizer="rprop").profile(*data(), steps=1).batch_size == 70


@pytest.mark.parametrize("bad", [{"steps": 0}, {"steps": 1.5}, {"batch_size": 0}, {"batch_size": "all"}])
def test_bad_numbers(bad: dict[str, Any]) -> None:
    (name,) = bad
    with pytest.raises((ValueError, TypeError), match=name):
        make().profile(*data(), **bad)


def test_bad_data_and_optimizer() -> None:
    X, y = data()
    with pytest.raises(ValueError, match="X"):
        make().profile(X[:, :3], y)
    trainer = nn.Trainer(
        nn.Sequential([nn.Dense(4)], input_shape=20), "softmax_cross_entropy", nn.second_order.TruncatedNewton()
    )
    with pytest.raises(ValueError, match="a step along each gradient"):
        trainer.profile(X, y)


def test_divergence_is_reported_and_affects_only_the_copy() -> None:
    X, y = data()
    trainer = nn.Trainer(nn.Sequential([nn.Dense(1)], input_shape=20), "squared_error", nn.SGD(lr=1e30))
    before = bits(trainer)
    with pytest.raises(nn.DivergenceError, match="diverged"):
        trainer.profile(X, y.astype(float), steps=50)
    assert bits(trainer) == before


def test_mutant_costs_are_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.FLOPS, "dense_forward", lambda rows, size: rows * size[0] * size[1])
    with pytest.raises(AssertionError):
        test_costs_are_those_counted_by_hand("float32")


def test_layers_in_python() -> None:
    class Twice(nn.Layer):
        """y = 2 x"""

        def forward(self, x: Any, training: bool) -> Any:
            return 2 * x

        def backward(self, dy: Any) -> Any:
            return 2 * dy

    model = nn.Sequential([Twice(name="twice"), nn.Dense(4)], input_shape=20)
    X, y = data()
    found = nn.Trainer(model, "softmax_cross_entropy").profile(X, y, steps=2)
    assert next(op.layer for op in found.ops if op.name == "python") == "twice"


def test_bfloat16_products_are_counted_and_have_a_limit_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 32 rows 80-70-3: the first layer has three products of pairs, the small one none."""
    monkeypatch.setattr(module, "product_rate", lambda dtype: 1e3)
    monkeypatch.setattr(module, "bfloat16_rate", lambda: 2e3)
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((32, 80)), rng.integers(0, 3, 32)
    model = nn.Sequential([nn.Dense(64), nn.ReLU(), nn.Dense(70), nn.Dense(3)], 80, compute_dtype="bfloat16", seed=0)
    profile = nn.Trainer(model, "softmax_cross_entropy").profile(X, y, batch_size=32, steps=1)
    found = {(op.name, op.layer): op for op in profile.ops}
    work = 2 * 32 * 64 * 70
    for product in ("forward", "backward_input", "backward_weight"):
        op = found[f"dense_{product}_bfloat16", "dense_2"]
        assert (op.flops, op.bound, op.limit) == (work, work / 2e3, "arithmetic")
    op = found["dense_forward_narrow", "dense_3"]
    assert (op.flops, op.bound) == (2 * 32 * 70 * 3, 2 * 32 * 70 * 3 / 1e3)
    copied = [op.traffic for op in profile.ops if op.name == "rows_bfloat16" and op.layer == "dense_1"]
    assert copied == [
        (4 + 2 + 2) * 32 * 80,
        (4 + 2) * 32 * 64,
    ]  # x and two copies; dy, read for dW only, and one
    assert (profile.peak, profile.bfloat16_peak) == (1e3, 2e3)
    assert "in bfloat16 0 GFLOP/s" in str(profile)
    assert make().profile(*data(), steps=1).bfloat16_peak is None


def test_recurrent_bfloat16_products_are_counted() -> None:
    model = nn.Sequential([nn.GRU(64)], input_shape=(5, 70), compute_dtype="bfloat16")
    X = np.random.default_rng(0).standard_normal((12, 5, 70))
    ops = nn.Trainer(model, "squared_error").profile(X, np.zeros((12, 64)), steps=1).ops
    found = {name: sorted(op.flops for op in ops if op.name == name) for name in {op.name for op in ops}}
    of_x, of_h = 2 * 12 * 5 * 70 * 3 * 64, 2 * 12 * 5 * 64 * 3 * 64
    assert found["dense_steps_forward_bfloat16"] == [of_x]
    assert found["dense_steps_backward_weight_bfloat16"] == [of_h, of_x]
    assert found["gru_forward_bfloat16"] == found["gru_backward_bfloat16"] == [of_h]
