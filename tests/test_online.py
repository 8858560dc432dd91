"""Linear models by single examples: the ops of online.h against their NumPy twin, a plain loop over all of W."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
from helpers.kernels import ISAS, each_dtype, each_isa
from numpy.typing import NDArray
from scipy import sparse

from nncore import reference
from nncore._kernels import Program, op_table
from nncore.sklearn.online import KINDS, ONES, ROW, RULES, SIGNALS, STATE

Array = NDArray[Any]

CLASS_KINDS = ("hinge", "perceptron", "squared_hinge", "log_loss", "modified_huber", "softmax")
CONSTANTS = {"l2": 0.0, "l1": 0.0, "epsilon": 0.1, "aggressiveness": 1.0, "bias_factor": 1.0, "average_from": 0}


class Data(NamedTuple):
    X: Any
    targets: Array
    labels: Array | None
    rates: Array
    weights: Array


def make(rng: np.random.Generator, n: int, inputs: int, classes: int, kind: str, density: float = 0.4) -> Data:
    X = rng.standard_normal((n, inputs)) * (rng.random((n, inputs)) < density)
    of_classes = kind in CLASS_KINDS or classes > 1
    targets = rng.integers(0, max(classes, 2), n).astype(float) if of_classes else rng.standard_normal(n)
    labels = (np.arange(float(classes)) if classes > 1 else np.ones(1)) if of_classes else None
    rates = 0.05 / (1 + np.arange(n)) ** 0.2 / max(1.0, density * inputs / 10)
    return Data(X, targets, labels, rates, rng.uniform(0, 2, n))


class Run:
    """Arrays of a run of an op, and what it has made of them."""

    def __init__(self, data: Data, classes: int, dtype: str, kind: str, rule: str = "scheduled", **constants: float) -> None:
        inputs, n = data.X.shape[1], len(data.targets)
        self.W = np.zeros((inputs, classes), dtype)
        self.average = np.zeros_like(self.W) if constants.get("average_from") else None
        self.penalty = np.zeros_like(self.W) if constants.get("l1") else None
        self.state = np.zeros((len(STATE), classes))
        self.state[[*ONES, ROW["steps"]]] = 1
        self.losses = np.full((n, classes), np.nan)
        self.sizes = (classes, inputs, KINDS.index(kind), RULES.index(rule))
        self.constants = tuple((CONSTANTS | constants).values())
        self.own = (self.W, self.average, self.penalty, self.state, np.zeros((SIGNALS, classes), dtype), self.losses)

    def go(self, data: Data, order: Array | None = None, isa: str | None = None, batch: int | None = None) -> Run:
        of_X = (data.X.data, data.X.indices, data.X.indptr) if sparse.issparse(data.X) else (data.X,)
        arrays = (*self.own, data.labels, data.targets, data.weights, data.rates, *of_X)
        name, dtype, n = "online_csr" if sparse.issparse(data.X) else "online_rows", self.W.dtype, len(data.rates)
        epoch = (name, arrays, self.sizes, self.constants, 0, 1)
        settle = ("online_settle", (self.W, self.average, self.state), self.sizes[:2], (), 0, 1)
        programs = [Program(op_table(isa), dtype, [("tiles", 1, None, False, [op])]) for op in (epoch, settle)]
        steps = -(-n // (batch or n))
        self.done = programs[0].run(last_step=steps, examples=n, batch=batch or n, order=order)[0] == steps
        programs[1].run(examples=1, batch=1)
        return self

    def __getitem__(self, name: str) -> Array:
        return self.state[ROW[name]]

    def bits(self) -> bytes:
        return b"".join(a.tobytes() for a in (self.W, self.average, self.penalty, self.state, self.losses) if a is not None)


def twin(data: Data, classes: int, kind: str, rule: str = "scheduled", order: Array | None = None, **constants: Any) -> Any:
    order = np.arange(len(data.rates)) if order is None else order
    options = CONSTANTS | {"average_from": 1} | {k: v for k, v in constants.items() if v or k != "average_from"}
    start = np.zeros((data.X.shape[1], classes)), np.zeros(classes)
    rest = data.targets[order], data.rates
    options |= {"kind": kind, "labels": data.labels, "weights": data.weights[order], "rule": rule}
    if sparse.issparse(data.X):
        X = data.X[order]
        return reference.online_csr(*start, X.data.astype(float), X.indices, X.indptr, *rest, **options)
    return reference.online_rows(*start, data.X[order].astype(float), *rest, **options)


def compare(run: Run, want: Any, rtol: float) -> None:
    def close(got: Array, wanted: Array) -> None:
        np.testing.assert_allclose(got, wanted, rtol=0, atol=rtol * max(1e-30, np.abs(wanted).max()))

    assert run.done
    close(run.W, want.W)
    close(run["bias"], want.b)
    close(run.losses, want.losses)
    close(run["objective"], want.objective)
    if run.average is not None:
        close(run.average, want.average)
        close(run["average_bias"], want.average_bias)


def as_kind(X: Array, kind: Any, dtype: str) -> Any:
    """Dense, or sparse with indices of a type."""
    if kind == "dense":
        return np.ascontiguousarray(X, dtype)
    matrix = sparse.csr_matrix(X.astype(dtype))
    matrix.indices, matrix.indptr = matrix.indices.astype(kind), matrix.indptr.astype(kind)
    return matrix


# ---- thousands of steps in double, to rounding: losses, rules, penalties, averages


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["dense", np.int32])
def test_losses_and_rules(kind: str, rule: str, form: Any, rng: np.random.Generator) -> None:
    for classes in (1, 3):
        if (kind == "softmax" and classes == 1) or (rule != "scheduled" and (kind == "softmax" or kind.startswith("squared"))):
            continue  # passive-aggressive steps of a square diverge
        data = make(rng, 2000, 23, classes, kind)
        data = data._replace(X=as_kind(data.X, form, "float64"))
        kw = {"rule": rule, "l2": 1e-3, "aggressiveness": 0.02, "bias_factor": 0.3}
        compare(Run(data, classes, "float64", kind, **kw).go(data), twin(data, classes, kind, **kw), 1e-11)


@pytest.mark.parametrize("average_from", [0, 1, 700])
@pytest.mark.parametrize(("l2", "l1"), [(0.0, 0.0), (1e-3, 0.0), (0.0, 1e-3), (1e-3, 1e-3), (5.0, 0.0), (5.0, 1e-2)])
@pytest.mark.parametrize("form", ["dense", np.int64])
def test_penalties_and_averages(l2: float, l1: float, average_from: int, form: Any, rng: np.random.Generator) -> None:
    """With l2 = 5 the scale of W is folded back every hundred steps or so."""
    for classes, kind in ((1, "squared_error"), (1, "hinge"), (5, "log_loss"), (4, "softmax")):
        data = make(rng, 3000, 31, classes, kind, 0.2)
        data = data._replace(X=as_kind(data.X, form, "float64"))
        kw = {"l2": l2, "l1": l1, "average_from": average_from}
        order = rng.permutation(3000)
        run, want = Run(data, classes, "float64", kind, **kw).go(data, order), twin(data, classes, kind, order=order, **kw)
        compare(run, want, 1e-10)
        if l1 == 1e-2:
            assert (run.W == 0).any()
            assert np.array_equal(run.W == 0, want.W == 0)


def test_a_step_that_shrinks_weights_to_nothing(rng: np.random.Generator) -> None:
    data = make(rng, 50, 7, 1, "squared_error", 0.9)
    kw = {"l2": 1 / data.rates[10] + 1, "average_from": 1}  # 1 - l2 eta < 0 in the first steps
    compare(Run(data, 1, "float64", "squared_error", **kw).go(data), twin(data, 1, "squared_error", **kw), 1e-12)


# ---- sizes, types, instruction sets

SIZES = [*product((1, 2, 5), (1, 2, 3, 15, 16, 17, 31, 33, 70)), (9, 200)]


@each_isa
@each_dtype
@pytest.mark.parametrize("form", ["dense", np.int32, np.int64])
def test_sizes(form: Any, dtype: str, isa: str, rng: np.random.Generator) -> None:
    for (n, inputs), classes in product(SIZES, (1, 2, 3, 8, 16, 17, 33, 65, 70)):
        data = make(rng, n, inputs, classes, "hinge", 0.7)
        data.X[n // 2] = 0  # an empty row
        data = data._replace(X=as_kind(data.X, form, dtype), rates=np.full(n, 0.1))
        run = Run(data, classes, dtype, "log_loss", l2=1e-3, l1=1e-3, average_from=1).go(data, isa=isa)
        compare(run, twin(data, classes, "log_loss", l2=1e-3, l1=1e-3, average_from=1), 1e-12 if dtype == "float64" else 2e-5)


@each_dtype
def test_avx2_and_avx512_have_the_same_bits(dtype: str, rng: np.random.Generator) -> None:
    fused = [isa for isa in ISAS if isa != "baseline"]
    for form, classes, kind in product(("dense", np.int32, np.int64), (1, 5, 20), ("hinge", "log_loss", "squared_error")):
        data = make(rng, 400, 90, classes, "hinge")
        data = data._replace(X=as_kind(data.X, form, dtype))
        runs = [Run(data, classes, dtype, kind, l2=1e-3, average_from=5).go(data, isa=isa) for isa in fused]
        assert len({run.bits() for run in runs}) <= 1, (form, classes, kind)


@each_dtype
def test_batches_and_index_types_do_not_change_a_bit(dtype: str, rng: np.random.Generator) -> None:
    for classes in (1, 6):
        data, order = make(rng, 300, 50, classes, "hinge"), rng.permutation(300)
        runs = []
        for form, batch in product((np.int32, np.int64), (300, 7, 1)):
            one = data._replace(X=as_kind(data.X, form, dtype))
            runs.append(Run(one, classes, dtype, "hinge", l2=1e-2, l1=1e-3, average_from=3).go(one, order, batch=batch))
        assert len({run.bits() for run in runs}) == 1


@pytest.mark.parametrize(
    "penalty",
    [
        pytest.param({"l2": 1e-3, "average_from": 1}, id="small penalty"),
        pytest.param({"l2": 20.0}, id="scales that are folded back"),
        pytest.param({"l2": 20.0, "average_from": 1}, id="averages that are folded back"),
        pytest.param({"l1": 0.05, "average_from": 1}, id="weights that become 0"),
    ],
)
@each_dtype
def test_outputs_are_independent(dtype: str, penalty: dict[str, float], rng: np.random.Generator) -> None:
    """To the bit, the sign of 0 too, with factors of the learning rate that differ."""
    data = make(rng, 300, 40, 21, "hinge")
    data = data._replace(X=as_kind(data.X, np.int32, dtype))

    def trained(part: list[int]) -> Run:
        some = data._replace(labels=data.labels[part])
        run = Run(some, len(part), dtype, "modified_huber", **penalty)
        run.state[ROW["factor"]] = 5.0 ** -(np.array(part) % 3)
        return run.go(some)

    whole = trained(list(range(21)))
    assert not np.signbit(whole.W[whole.W == 0]).any()
    for part in ([4, 5], [2, 8, 20], [0, 7, 20], list(range(2, 19))):
        run = trained(part)
        whole["steps"][:] = run["steps"][:] = 0  # counted for the first output only
        for own, all_outputs in zip(run.own[:4], whole.own[:4], strict=True):
            assert own is None or own.tobytes() == np.ascontiguousarray(all_outputs[:, part]).tobytes()


def test_duplicate_columns_add_up(rng: np.random.Generator) -> None:
    X = sparse.csr_matrix((np.array([1.0, 2.0, 3.0]), np.array([1, 1, 0]), np.array([0, 3])), shape=(1, 2))
    for classes in (1, 2):
        data = Data(X, np.ones(1), np.arange(2.0)[-classes:], np.ones(1), np.ones(1))
        assert np.abs(Run(data, classes, "float64", "hinge").go(data).W).tolist() == [[3.0] * classes, [3.0] * classes]


# ---- what users may do to their data meanwhile


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("kind", [np.int32, np.int64])
@pytest.mark.parametrize(
    ("name", "index", "value", "message"),
    [("indices", 5, 50, "column"), ("indices", 0, -1, "column"), ("indptr", 3, -1, "indptr"), ("indptr", -1, 10**6, "indptr")],
)
def test_bad_indices(
    name: str, index: int, value: int, message: str, kind: Any, classes: int, rng: np.random.Generator
) -> None:
    data = make(rng, 20, 50, classes, "hinge")
    data = data._replace(X=as_kind(data.X, kind, "float64"))
    getattr(data.X, name)[index] = value
    for isa in ISAS:
        with pytest.raises(ValueError, match=f"X must be a valid sparse matrix.*{message}"):
            Run(data, classes, "float64", "hinge").go(data, isa=isa)


@pytest.mark.parametrize("form", ["dense", np.int32])
def test_bad_order(form: Any, rng: np.random.Generator) -> None:
    data = make(rng, 20, 50, 1, "hinge")
    data = data._replace(X=as_kind(data.X, form, "float64"))
    for bad in (-1, 20):
        order = np.arange(20)
        order[11] = bad
        with pytest.raises(ValueError, match="row indices"):
            Run(data, 1, "float64", "hinge").go(data, order)


@pytest.mark.parametrize("form", ["dense", np.int32])
@pytest.mark.parametrize("classes", [1, 3])
def test_an_output_that_is_not_finite_stops(classes: int, form: Any, rng: np.random.Generator) -> None:
    for bad in (np.inf, np.nan, 1e300):
        data = make(rng, 20, 5, classes, "squared_error", 1.0)
        data.X[7, 2] = bad
        data = data._replace(X=as_kind(data.X, form, "float64"), rates=np.full(20, 1.0))
        run = Run(data, classes, "float64", "squared_error")
        run.W[:] = 1e10
        assert not run.go(data).done
