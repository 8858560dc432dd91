"""User-defined losses derived from nncore's own: ops read the same numbers in any form, or refuse them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore import losses
from nncore import second_order as so
from nncore.second_order import HessianOperator

Array = NDArray[Any]
N, WIDTH = 7, 3
pytestmark = pytest.mark.filterwarnings("ignore:softmax_cross_entropy applies the softmax itself")
FORMS: dict[str, Any] = {
    "float64": lambda rows: rows.astype(np.float64),
    "float32": lambda rows: rows.astype(np.float32),
    "integers": lambda rows: rows.astype(np.int8),
    "swapped bytes": lambda rows: rows.astype(rows.dtype.newbyteorder()),
    "Fortran order": np.asfortranarray,
    "strided": lambda rows: np.repeat(rows, 2, axis=1)[:, ::2],
    "backward": lambda rows: np.ascontiguousarray(rows[::-1])[::-1],
}
WRONG: dict[str, Any] = {
    "wider": lambda rows: np.hstack([rows, rows]),
    "narrower": lambda rows: np.ascontiguousarray(rows[:, :1]),
    "flat": lambda rows: rows.ravel(),
    "complex": lambda rows: rows.astype(np.complex64),
    "a list": lambda rows: rows.tolist(),
    "nothing": lambda rows: None,
}


def model(dtype: str) -> nn.Sequential:
    return nn.Sequential([nn.Dense(WIDTH), nn.Softmax()], input_shape=2, dtype=dtype, seed=1)


def data(rng: np.random.Generator) -> tuple[Array, Array]:
    return rng.standard_normal((N, 2)), np.eye(WIDTH)[rng.integers(0, WIDTH, N)]


def derived(cls: type[losses.Loss], convert: Any) -> losses.Loss:
    own = {"convert_rows": lambda self, rows: convert(cls.convert_rows(self, rows)), "check_rows": lambda *given: None}
    return type(cls.__name__, (cls,), own)()


def results(dtype: str, X: Array, y: Array, loss: losses.Loss) -> list[Any]:
    """The targets by each kind of program."""
    m = model(dtype)
    trainer = nn.Trainer(m, loss, nn.SGD(lr=0.1), metrics=[loss])
    first = [*m.loss_and_gradient(X, y, loss), trainer.evaluate(X, y)["loss"]]
    if loss.name not in ("hinge", "mean_absolute_error", "huber"):  # whose gradients have kinks
        first.append(HessianOperator(m, X, y, loss).products(np.ones(m.parameters.size)))
    trainer.fit(X, y, epochs=2, batch_size=3, verbose=0)
    return [*first, m.parameters.copy(), trainer.history["running_loss"]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", losses.LOSSES)
def test_rows_of_any_form(name: str, dtype: str, form: str, rng: np.random.Generator) -> None:
    X, y = data(rng)
    cls = losses.LOSSES[name]
    for got, want in zip(results(dtype, X, y, derived(cls, FORMS[form])), results(dtype, X, y, cls()), strict=True):
        assert np.array_equal(got, want)


@pytest.mark.parametrize("form", WRONG)
@pytest.mark.parametrize("name", losses.LOSSES)
def test_rows_that_cannot_be_read(name: str, form: str, rng: np.random.Generator) -> None:
    X, y = data(rng)
    loss = derived(losses.LOSSES[name], WRONG[form])
    ways = [
        lambda m: m.loss_and_gradient(X, y, loss),
        lambda m: nn.Trainer(m, loss).evaluate(X, y),
        lambda m: nn.Trainer(m, loss).fit(X, y, verbose=0),
        lambda m: nn.Trainer(m, "squared_error", metrics=[loss]).fit(X, y, verbose=0),
        lambda m: HessianOperator(m, X, y, loss),
    ]
    for way in ways:
        m = model("float32")
        before = m.parameters.copy()
        with pytest.raises(ValueError, match=r"^\w+ must convert y to integer labels \(n,\), or rows of numbers \(n, 3\)"):
            way(m)
        assert np.array_equal(m.parameters, before)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_labels_of_any_kind(kind: Any, rng: np.random.Generator) -> None:
    class Labels(losses.SoftmaxCrossEntropy):
        def targets(self, y: Any, width: int, dtype: Any, argument: str = "y") -> losses.Targets:
            return losses.Targets(np.asarray(y).astype(kind))

    X, y = data(rng)
    for got, want in zip(
        results("float32", X, y.argmax(axis=1), Labels()),
        results("float32", X, y.argmax(axis=1), losses.SoftmaxCrossEntropy()),
        strict=True,
    ):
        assert np.array_equal(got, want)


@pytest.mark.parametrize("name", [name for name in losses.LOSSES if name != "softmax_cross_entropy"])
def test_labels_for_an_op_that_reads_rows(name: str, rng: np.random.Generator) -> None:
    def targets(self: Any, y: Any, width: int, dtype: Any, argument: str = "y") -> losses.Targets:
        return losses.Targets(np.asarray(y, np.int64))

    X, y = data(rng)
    loss = type("Labels", (losses.LOSSES[name],), {"targets": targets})()
    with pytest.raises(TypeError, match=f"^Labels must convert targets to the form that op {name} reads, got labels$"):
        model("float32").loss_and_gradient(X, y.argmax(axis=1), loss)


@pytest.mark.parametrize(
    "optimizer", [nn.SGD(0.5), *(cls() for name, cls in so.OPTIMIZERS.items() if name != "scipy_minimize")]
)
def test_targets_are_converted_once(optimizer: nn.Optimizer) -> None:
    """log y = 2 + x exactly: the network's parameters become 1 and 2, with the targets log y and not log log y."""

    class LogTargets(losses.SquaredError):
        def convert_rows(self, rows: Array) -> Array:
            return np.log(rows)

    X = np.linspace(-1, 1, 20)[:, None]
    m = nn.Sequential([nn.Dense(1)], input_shape=1, dtype="float64")
    trainer = nn.Trainer(m, LogTargets(), optimizer)
    trainer.fit(X, np.exp(2 + X), epochs=200, batch_size=20, verbose=0)
    assert m.parameters == pytest.approx([1, 2], abs=1e-3)


OPERANDS: dict[str, Any] = {
    "one number": lambda q: q[:1], "as many as outputs": lambda q: q[:WIDTH].copy(),
    "another dtype": lambda q: q.astype(np.float32 if q.dtype == np.float64 else np.float64),
    "strided": lambda q: np.repeat(q, 2)[::2], "a list": list,
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", OPERANDS)
def test_operands_that_an_op_cannot_read(form: str, dtype: str, rng: np.random.Generator) -> None:
    class Own(losses.Quantile):
        def operands(self, width: int, dtype: Any) -> tuple[Any, ...]:
            return tuple(OPERANDS[form](q) for q in super().operands(width, dtype))

    m, (X, y) = model(dtype), data(rng)
    before = m.parameters.copy()
    for work in (
        lambda: nn.Trainer(m, Own(), nn.SGD()).fit(X, y, verbose=0),
        lambda: nn.Trainer(m, "squared_error", nn.SGD(), metrics=[Own()]).evaluate(X, y),
        lambda: m.loss_and_gradient(X, y, Own()),
    ):
        with pytest.raises(ValueError, match=rf"Own\.operands must return contiguous arrays of {dtype} with at least \d+ numb"):
            work()
    assert np.array_equal(m.parameters, before)


def test_operands_of_a_user_s_loss(rng: np.random.Generator) -> None:
    class Own(losses.Quantile):
        def operands(self, width: int, dtype: Any) -> tuple[Any, ...]:
            return tuple(q.copy() for q in super().operands(width, dtype))

    X, y = data(rng)
    (own, of_own), (right, of_right) = (model("float64").loss_and_gradient(X, y, cls(0.3)) for cls in (Own, losses.Quantile))
    assert own == right
    assert np.array_equal(of_own, of_right)


def test_a_function_of_outputs_alone_is_refused():
    model = nn.Sequential([nn.Dense(1)], input_shape=2)
    with pytest.raises(TypeError, match=r"^function must take \(outputs, targets\), got .*, which takes \(y\)"):
        nn.Trainer(model, loss=lambda y: y)
