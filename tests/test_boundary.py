"""The boundary to C is safe for every array: read-only, unaligned, of any dtype or layout, or modified while in use."""

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from helpers import op_table as declarations
from helpers import optimizers as optimizer_cases
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels
from nncore._kernels import program, single_ops
from nncore.data.scaler import Scaler
from nncore.optimizers import OPTIMIZERS

Array = NDArray[Any]

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def unaligned(array: Array) -> Array:
    """The same numbers at an address off by one byte."""
    array = np.ascontiguousarray(array)
    room = np.zeros(array.nbytes + array.itemsize, np.uint8)
    start = -room.ctypes.data % array.itemsize + 1
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    assert not copy.flags.aligned
    return copy


def frozen(array: Array) -> Array:
    """A read-only copy."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy


# ---- arrays that an op may be bound to


def bind(name: str, slot: int, array: Array) -> None:
    op = declarations.operands(name)
    declarations.program(name, op._replace(arrays=(*op.arrays[:slot], array, *op.arrays[slot + 1 :])))


def rebind(name: str, slot: int, array: Array) -> None:
    declarations.program(name).run([(0, slot, array)], examples=4, batch=4, last_step=0)


each_way = pytest.mark.parametrize("bound", [bind, rebind])


@each_way
def test_every_op_refuses_read_only_outputs(bound: Callable[..., None]) -> None:
    for name in _kernels.op_names():
        op = _kernels.op_table().declaration(name)
        for slot, (argument, written) in enumerate(zip(op.arrays, op.written, strict=True)):
            array = frozen(declarations.operand(argument))
            if not written:
                bound(name, slot, array)
            else:
                with pytest.raises(ValueError, match=rf"^op {name}: array {argument}: .*must be writeable.*read-only"):
                    bound(name, slot, array)


@each_way
def test_every_op_refuses_unaligned_arrays(bound: Callable[..., None]) -> None:
    for name in _kernels.op_names():
        for slot, argument in enumerate(_kernels.op_table().declaration(name).arrays):
            for array in (unaligned(np.zeros((4, 4))), unaligned(np.zeros((4, 4), "float32"))):
                with pytest.raises(ValueError, match=rf"^op {name}: array {argument}: .*aligned"):
                    bound(name, slot, array)


@optimizer_cases.EACH
@each_dtype
def test_a_read_only_gradient_is_accepted_and_unchanged(case: str, dtype: str) -> None:
    build, _, constants = optimizer_cases.CASES[case]
    rng = np.random.default_rng(0)
    thetas = [rng.normal(size=20).astype(dtype)] * 2
    thetas = [theta.copy() for theta in thetas]
    opts = [build(constants), build(constants)]
    for _ in range(3):
        gradient = rng.normal(size=20).astype(dtype)
        kept = frozen(gradient)
        opts[0].step(thetas[0], gradient.copy())
        opts[1].step(thetas[1], kept)
        assert np.array_equal(kept, gradient)
    assert np.array_equal(thetas[0], thetas[1])


# ---- all_finite


def layouts(array: Array) -> Iterator[tuple[str, Array]]:
    """The same (n, width) numbers, laid out in every way."""
    yield "C", np.ascontiguousarray(array)
    yield "Fortran", np.asfortranarray(array)
    yield "reversed", np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1]
    yield "strided", np.repeat(np.repeat(array, 2, 0), 3, 1)[::2, ::3]
    yield "columns of more", np.concatenate([array, np.full_like(array, 1)], axis=1)[:, : array.shape[1]]
    if array.itemsize > 1:
        yield "unaligned", unaligned(array)
    yield "other byte order", array.astype(array.dtype.newbyteorder())
    yield "read-only", frozen(array)


SHAPES = [(1, 1), (1, 7), (7, 1), (5, 3), (40, 6)]
FLOATS = ["float16", "float32", "float64", "longdouble"]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_all_finite(dtype: str, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    good = rng.normal(size=shape).astype(dtype)
    for name, array in layouts(good):
        assert _kernels.all_finite(array) is True, name
    for bad in (np.nan, np.inf, -np.inf):
        for place in (0, good.size // 2, good.size - 1):
            array = good.copy()
            array.flat[place] = bad
            for name, laid_out in layouts(array):
                assert _kernels.all_finite(laid_out) is False, (name, bad, place)
                assert _kernels.all_finite(laid_out.reshape(-1)) is False
                assert _kernels.all_finite(laid_out[None, :, :, None]) is False


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "int32", "uint64"])
def test_all_finite_of_integers(dtype: str) -> None:
    assert _kernels.all_finite(np.full((60000, 78), 1, dtype))


def test_all_finite_of_odd_arrays() -> None:
    assert _kernels.all_finite(np.float64(1))
    assert not _kernels.all_finite(np.nan)
    assert _kernels.all_finite(np.zeros((0, 5)))
    assert _kernels.all_finite(np.zeros((5, 0)))
    assert not _kernels.all_finite([[1.0, np.inf]])
    with pytest.raises(TypeError):
        _kernels.all_finite(np.array([[object()]]))


SCALERS = {cls.__name__: cls for cls in vars(nn.data).values() if isinstance(cls, type) and issubclass(cls, Scaler)}
SCALERS.pop("Scaler", None)


@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", *FLOATS])
def test_scalers_accept_every_dtype_and_layout(scaler: str, dtype: str) -> None:
    X = (np.random.default_rng(0).random((40, 6)) * 3).astype(dtype)
    expected = SCALERS[scaler]().fit(X.astype("float64"))
    wanted = {name: value for name, value in vars(expected).items() if isinstance(value, np.ndarray)}
    for name, array in layouts(X):
        fitted = SCALERS[scaler]().fit(array)
        assert wanted
        for key, value in wanted.items():
            assert np.allclose(getattr(fitted, key), value, rtol=1e-12), (name, key)


@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_scalers_find_a_nan_in_every_layout(scaler: str, dtype: str) -> None:
    X = np.random.default_rng(0).normal(size=(40, 6)).astype(dtype)
    X[39, 5] = np.nan
    for _, array in layouts(X):
        with pytest.raises(ValueError, match="X must be finite, got nan in row 39, column 5"):
            SCALERS[scaler]().fit(array)


# ---- data that are unaligned or read-only


def trained(X: Any, y: Any, loss: str, dtype: str, weights: Any = None) -> tuple[Array, Array, float]:
    model = nn.Sequential([nn.Dense(5), nn.Tanh(), nn.Dense(3)], input_shape=4, dtype=dtype)
    trainer = nn.Trainer(model, loss, nn.SGD(lr=0.1), metrics=["accuracy"])
    trainer.fit(X, y, epochs=2, batch_size=7, sample_weight=weights, verbose=0)
    loss_value, gradient = model.loss_and_gradient(X, y, loss)
    return model.predict(X), gradient, loss_value + trainer.evaluate(X, y, sample_weight=weights)["loss"]


@each_dtype
@pytest.mark.parametrize("changed", [unaligned, frozen])
@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "squared_error"])
def test_data_that_are_unaligned_or_read_only(dtype: str, changed: Callable[[Array], Array], loss: str) -> None:
    rng = np.random.default_rng(0)
    X, labels, w = rng.normal(size=(30, 4)).astype(dtype), rng.integers(0, 3, 30), rng.random(30)
    rows = np.eye(3, dtype=dtype)[labels]
    for y in (labels, rows):
        expected = trained(X, y, loss, dtype, w)
        found = trained(changed(X), changed(y), loss, dtype, changed(w))
        assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))
    sparse = scipy.sparse.csr_matrix(X)
    other = scipy.sparse.csr_matrix(X)
    other.data, other.indices, other.indptr = (changed(part) for part in (other.data, other.indices, other.indptr))
    expected, found = (trained(matrix, labels, loss, dtype) for matrix in (sparse, other))
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))


@each_dtype
def test_curvature_of_data_that_are_unaligned(dtype: str) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(9, 2)).astype(dtype), rng.normal(size=(9, 1)).astype(dtype)
    model = nn.Sequential([nn.Dense(3), nn.Tanh(), nn.Dense(1)], input_shape=2, dtype=dtype)
    v = rng.normal(size=model.parameters.size).astype(dtype)
    expected = model.hessian_vector_product(X, y, "squared_error", v)
    assert np.array_equal(model.hessian_vector_product(unaligned(X), unaligned(y), "squared_error", unaligned(v)), expected)
    assert np.array_equal(model.jacobian_product(unaligned(X), unaligned(v)), model.jacobian_product(X, v))


# ---- data that change while a program runs


class Change(nn.Callback):
    def __init__(self, change: Callable[[], None]) -> None:
        self.change = change

    def on_epoch_end(self, trainer: nn.Trainer, epoch: int, row: dict[str, float]) -> None:
        if epoch == 1:
            self.change()


def assert_refused(X: Any, y: Any, loss: str, dtype: str, change: Callable[[], None], match: str) -> None:
    model = nn.Sequential([nn.Dense(3)], input_shape=X.shape[1], dtype=dtype)
    trainer = nn.Trainer(model, loss, nn.SGD(lr=0.1), metrics=["accuracy"])
    with pytest.raises(ValueError, match=match):
        trainer.fit(X, y, epochs=3, batch_size=len(y), verbose=0, callbacks=[Change(change)])
    assert trainer.epochs_done == 1
    assert np.isfinite(model.parameters).all()
    before = model.parameters.copy()
    trainer.fit(np.zeros(X.shape), np.zeros(len(y), int), epochs=1, verbose=0)  # it can go on with other data
    assert not np.array_equal(model.parameters, before)


@each_dtype
@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "squared_error", "sigmoid_cross_entropy"])
@pytest.mark.parametrize("label", [-1, 3, 10**6, -(2**62), 2**62])
def test_labels_that_are_changed_during_fit(dtype: str, loss: str, label: int) -> None:
    X, y = np.random.default_rng(0).normal(size=(40, 2)).astype(dtype), np.arange(40, dtype=np.int64) % 3

    def change() -> None:
        y[17] = label

    assert_refused(X, y, loss, dtype, change, "y must be labels .* changed while it was in use")


@each_dtype
@pytest.mark.parametrize("kind", [np.int32, np.int64])
@pytest.mark.parametrize(
    ("part", "place", "value"),
    [("indices", 11, 6), ("indices", 11, -1), ("indices", 0, 2**31 - 1), ("indptr", 3, 10**8), ("indptr", 3, -5)],
)
def test_sparse_matrices_that_are_changed_during_fit(dtype: str, kind: Any, part: str, place: int, value: int) -> None:
    X = scipy.sparse.csr_matrix(np.random.default_rng(0).normal(size=(40, 6)).astype(dtype))
    X.indices, X.indptr = X.indices.astype(kind), X.indptr.astype(kind)

    def change() -> None:
        getattr(X, part)[place] = value

    name = "indices were" if part == "indices" else "indptr was"
    assert_refused(X, np.arange(40) % 3, "softmax_cross_entropy", dtype, change, f"X must be .* {name} changed")


@each_dtype
@pytest.mark.parametrize("row", [-1, 5, 2**40])
def test_gathers_refuse_rows_out_of_range(dtype: str, row: int) -> None:
    index = np.array([0, row, 4])
    sparse = scipy.sparse.csr_matrix(np.ones((5, 3), dtype))
    cases: list[tuple[str, Any, tuple[Any, ...], dict[str, Any]]] = [
        ("gather_rows", np.zeros((3, 3), dtype), (np.ones((5, 3), dtype),), {"sizes": (3,)}),
        ("gather_csr", np.zeros((3, 3), dtype), (sparse.data, sparse.indices, sparse.indptr), {"sizes": (3,)}),
        ("gather_labels", np.zeros(3, np.int64), (np.ones(5, np.int64),), {"sizes": (3,)}),
        ("gather_one_hot", np.zeros((3, 3), dtype), (np.ones(5, np.int64),), {"sizes": (3,), "constants": (0.0, 1.0)}),
        ("gather_weights", np.zeros(3), (np.ones(5),), {}),
    ]
    for name, out, arrays, kw in cases:
        with pytest.raises(ValueError, match="order of the examples"):
            single_ops.run_op(name, (out, *arrays), dtype=dtype, rows=3, index=index, **kw)


def test_layers_cannot_be_replaced() -> None:
    model, other = (nn.Sequential([nn.Dense(units), nn.Dense(2)], input_shape=3) for units in (4, 400))
    with pytest.raises(TypeError, match="tuple"):
        model.layers[0] = other.layers[0]  # type: ignore[index]
    assert isinstance(pickle.loads(pickle.dumps(model)).layers, tuple)
    assert eval(repr(model), {"Sequential": nn.Sequential, "Dense": nn.Dense}).layers[0].units == 4


# ---- unpickled objects


def from_frozen_buffers(thing: Any) -> Any:
    """Pickled with out-of-band buffers and loaded twice from immutable bytes: read-only, and shared by two copies."""
    buffers: list[Any] = []
    data = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
    kept = [bytes(b"\0" + bytes(b.raw())) for b in buffers]  # and unaligned
    return [pickle.loads(data, buffers=[memoryview(k)[1:] for k in kept]) for _ in range(2)]


WRAPPERS = {"EMA": lambda: nn.EMA(nn.Adam()), "PolyakAveraging": lambda: nn.PolyakAveraging(nn.Momentum())}


@each_dtype
@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, *WRAPPERS])
def test_unpickled_trainers_have_memory_of_their_own(dtype: str, optimizer: str) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)), np.arange(20) % 2
    model = nn.Sequential([nn.Dense(4), nn.BatchNorm(), nn.Dense(2)], input_shape=3, dtype=dtype)
    chosen = WRAPPERS[optimizer]() if optimizer in WRAPPERS else OPTIMIZERS[optimizer]()
    sampler = None if chosen.full_batch_only else "largest_loss_first"
    how: dict[str, Any] = {"batch_size": 20 if chosen.full_batch_only else 10, "sampler": sampler, "verbose": 0}
    trainer = nn.Trainer(model, "softmax_cross_entropy", chosen)
    trainer.fit(X, y, epochs=2, callbacks=[nn.EarlyStopping("running_loss", restore_best=True)], **how)
    copies = from_frozen_buffers(trainer)
    for one in (trainer, *copies):
        one.fit(X, y, epochs=3, **how)
    for one in copies:
        assert np.array_equal(one.model.parameters, trainer.model.parameters)
        for slot, array in trainer.optimizer.state.items():
            assert np.array_equal(one.optimizer.state[slot], array)


@each_dtype
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_unpickled_optimizers_have_memory_of_their_own(dtype: str, optimizer: str) -> None:
    opt, theta, gradient = OPTIMIZERS[optimizer](), np.ones(100, dtype), np.linspace(1, 2, 100).astype(dtype)
    opt.step(theta, gradient)
    copies = from_frozen_buffers(opt)
    thetas = [theta.copy() for _ in range(3)]
    for _ in range(2):
        for one, point in zip((opt, *copies), thetas, strict=True):
            one.step(point, gradient)
    assert np.array_equal(thetas[0], thetas[1])
    assert np.array_equal(thetas[0], thetas[2])


@pytest.mark.parametrize("scaler", SCALERS)
def test_unpickled_scalers_can_be_fitted_further(scaler: str) -> None:
    rng = np.random.default_rng(0)
    X, more = rng.normal(size=(30, 4)), rng.normal(size=(30, 4))
    fitted = SCALERS[scaler]().fit(X)
    for one in from_frozen_buffers(fitted):
        one.partial_fit(more)
        assert np.array_equal(one.transform(X), SCALERS[scaler]().fit(X).partial_fit(more).transform(X))


def test_a_memory_mapped_trainer(tmp_path: Any) -> None:
    joblib = pytest.importorskip("joblib")
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    trainer = nn.Trainer(nn.Sequential([nn.Dense(8), nn.Dense(2)], input_shape=3), "softmax_cross_entropy", nn.Adam())
    trainer.fit(X, y, epochs=2, verbose=0)
    joblib.dump(trainer, tmp_path / "t.joblib")
    for mode in ("r", "r+", "c"):
        other = joblib.load(tmp_path / "t.joblib", mmap_mode=mode)
        other.fit(X, y, epochs=1, verbose=0)
    trainer.fit(X, y, epochs=1, verbose=0)
    assert np.array_equal(other.model.parameters, trainer.model.parameters)


# ---- threads


def test_memory_is_allocated_for_the_threads_that_can_run() -> None:
    before = nn.get_num_threads()
    for many in (100000, 2**31 - 1, 2**31, 2**70):
        with pytest.raises(ValueError, match=f"at most 256, got {many}"):
            nn.set_num_threads(many)
        assert nn.get_num_threads() == before
    n = 64
    write = ("write_rows", (np.zeros((n, 1), "float32"), np.zeros((n, 1), "float32")), (1,), ())
    stage = ("tiles", 1, None, False, [(*write, 0, 1)])
    passing = {0: np.full(1, 1 << 20, dtype=np.int64)}
    prog = _kernels.Program(_kernels.op_table(), "float32", [stage], passing=passing)
    assert prog.run(examples=n, batch=n, threads=1)[0] == 1
    assert program.MAX_THREADS == 256


def test_the_environment_cannot_ask_for_more_threads() -> None:
    from helpers.processes import run_python

    for many in ("100000", str(2**31), "9" * 4000):
        result = run_python("import nncore", NNCORE_NUM_THREADS=many)
        assert "NNCORE_NUM_THREADS must be a positive integer of at most 256" in result.stderr


def test_are_labels() -> None:
    labels = np.array([0, 3, 1, 2])
    assert _kernels.are_labels(labels, 4)
    assert _kernels.are_labels(labels[::-2], 4)
    assert _kernels.are_labels(labels[:0], 1)
    for wrong in ([0, 4], [-1, 0], [0, -(2**63)]):
        assert not _kernels.are_labels(np.array(wrong), 4)
