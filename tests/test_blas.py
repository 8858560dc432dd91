"""``NNCORE_GEMM=blas``: the products by SciPy's BLAS agree with the NumPy twins and with our own kernels."""

import ast
from typing import Any

import numpy as np
import pytest
from helpers.kernels import RTOL, assert_near, dense_inputs, distant, doubles, each_dtype, each_isa, run, same_bits
from helpers.processes import run_python
from helpers.training import train
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels, reference
from nncore._kernels import single_ops
from nncore._kernels.blas import gemm
from nncore.program.recording import ModelTape

Array = NDArray[Any]

SIZES = [(1, 1, 1), (1, 7, 3), (5, 1, 9), (13, 33, 17), (65, 70, 40), (64, 300, 33), (9, 128, 257)]


@each_isa
@each_dtype
@pytest.mark.parametrize("gap", [0, 5])
@pytest.mark.parametrize(("rows", "inputs", "units"), SIZES)
def test_products(rows: int, inputs: int, units: int, gap: int, dtype: str, isa: str, rng: np.random.Generator) -> None:
    """Against the twin on float64; bits alike for 1, 2 and 3 threads, nothing written outside (`run` sees to both)."""
    x, W, b, dy = given = dense_inputs(rng, rows, inputs, units, dtype)
    x64, W64, b64, dy64 = doubles(*given)
    ax, aW, ab, ady = (np.abs(a) for a in (x64, W64, b64, dy64))
    pointer, tiles = gemm(np.dtype(dtype).char), _kernels.weight_tiles(units, inputs)
    kw: dict[str, Any] = {"rows": rows, "isa": isa}
    far_x, far_dy, sizes = distant(x, gap), distant(dy, gap), (units, inputs, gap)

    (y,) = run("dense_forward_blas", [(dy.shape, dtype)], (far_x, W, b, pointer), dtype, sizes=sizes, **kw)
    (y0,) = run("dense_forward_blas", [(dy.shape, dtype)], (far_x, W, None, pointer), dtype, sizes=sizes, **kw)
    (dx,) = run("dense_backward_input_blas", [(x.shape, dtype)], (far_dy, W, pointer), dtype, sizes=sizes, **kw)
    (dW,) = run(
        "dense_backward_weight_blas", [(W.shape, dtype)], (far_dy, far_x, tiles, pointer), dtype,
        sizes=(units, inputs, gap, gap), axis="tiles", pieces=len(tiles), **kw,
    )  # fmt: skip
    assert_near(y, reference.dense_forward(x64, W64, b64), reference.dense_forward(ax, aW, ab), "y")
    assert_near(y0, reference.dense_forward(x64, W64, None), reference.dense_forward(ax, aW, None), "y without b")
    assert_near(dx, reference.dense_backward_input(dy64, W64), reference.dense_backward_input(ady, aW), "dx")
    assert_near(dW, reference.dense_backward_weight(dy64, x64), reference.dense_backward_weight(ady, ax), "dW")

    own = np.empty_like(y)
    single_ops.dense_forward(own, x, W, b, isa=isa)
    assert_near(y, own.astype(np.float64), reference.dense_forward(ax, aW, ab), "y beside our own")


@each_isa
@each_dtype
def test_products_at_every_step(dtype: str, isa: str, rng: np.random.Generator) -> None:
    """For sequences, as in nncore's own kernels: (rows, steps, width) is (rows · steps, width)."""
    rows, steps, inputs, units = 5, 3, 33, 17
    x, W, b, dy = dense_inputs(rng, rows * steps, inputs, units, dtype)
    pointer, tiles, sizes = gemm(np.dtype(dtype).char), _kernels.weight_tiles(units, inputs), (units, inputs, 0, 0)
    tiled: dict[str, Any] = {"axis": "tiles", "pieces": len(tiles)}
    for name, out, operands, more in (
        ("forward", dy, (x, W, b), {}),
        ("backward_input", x, (dy, W), {}),
        ("backward_weight", W, (dy, x, tiles), tiled),
    ):
        kw: dict[str, Any] = {"isa": isa, **more}
        given, shapes = (*operands, pointer), [(out.shape, dtype)]
        (got,) = run(f"dense_steps_{name}_blas", shapes, given, dtype, sizes=(*sizes, steps), rows=rows, **kw)
        (want,) = run(f"dense_{name}_blas", shapes, given, dtype, sizes=(units, inputs), rows=rows * steps, **kw)
        # other block boundaries, and so other calls of the BLAS
        assert_near(got, want.astype(np.float64), np.full(out.shape, 2.0 * max(inputs, units)), name)


def test_mutant_transposed_weights(rng: np.random.Generator) -> None:
    x, W, b, _ = dense_inputs(rng, 13, 8, 8, "float64")
    (y,) = run("dense_forward_blas", [((13, 8), "float64")], (x, W, b, gemm("d")), "float64", sizes=(8, 8, 0), rows=13)
    with pytest.raises(AssertionError, match="values differ"):
        assert_near(y, reference.dense_forward(x, W.T, b), reference.dense_forward(abs(x), abs(W), abs(b)), "y")


def trained() -> dict[str, Any]:
    """θ after some epochs, in both precisions, on several numbers of threads, as text; and the ops that were run."""
    found: dict[str, Any] = {}
    for dtype in ("float32", "float64"):
        for threads in (1, 2, 3, 4):
            nn.set_num_threads(threads)
            digest, trainer = train(dtype)
            found[f"{dtype} {threads}"] = digest
        found[dtype] = [float(value) for value in trainer.model.parameters[::50]]
        programs = [program.compiled for program in trainer._compiled.values()]
        found["ops"] = sorted({op.kernel for compiled in programs for _, op in compiled.step_ops})
    found["config"] = str(nn.show_config())
    return found


def test_training() -> None:
    """The same bits for any number of threads, close to the result of nncore's own kernels; and the BLAS is called."""
    result = run_python("import test_blas; print(test_blas.trained())", NNCORE_GEMM="blas")
    assert result.returncode == 0, result.stderr
    found = ast.literal_eval(result.stdout)
    before = nn.get_num_threads()
    try:
        own = trained()
    finally:
        nn.set_num_threads(before)
    assert "BLAS" in found["config"]
    assert "own kernels" in own["config"]
    dense = {name for name in found["ops"] if name.startswith("dense") and "bias" not in name}
    assert dense == {"dense_forward_blas", "dense_backward_input_blas", "dense_backward_weight_blas"}
    assert "pack_weight" not in found["ops"]
    assert not any("blas" in name for name in own["ops"])
    # Rounding differs; 18 steps of Adam amplify it where a gradient is near 0, as Adam divides it by its own size.
    for dtype, atol in (("float32", 1e-4), ("float64", 1e-10)):
        assert len({found[f"{dtype} {threads}"] for threads in (1, 2, 3, 4)}) == 1
        np.testing.assert_allclose(found[dtype], own[dtype], rtol=100 * RTOL[dtype], atol=atol)


def gradients() -> dict[str, tuple[list[str], list[float]]]:
    """Of each layer with products: the ops of the products, and the gradient, with a Hessian product where there is one."""
    found = {}
    make: dict[str, Any] = {
        "drop_connect": nn.DropConnect, "additive_whiteout": lambda units: nn.AdditiveWhiteout(units, 0.1),
        "weight_norm": lambda units: nn.WeightNorm(nn.Dense(units)), "gru": nn.GRU,
        "simple_rnn": lambda units: nn.SimpleRNN(units, return_sequences=True),
    }  # fmt: skip
    for name, layer in make.items():
        shape = (4, 6) if name in ("gru", "simple_rnn") else (6,)
        model = nn.Sequential([layer(7), nn.Dense(3)], input_shape=shape, dtype="float64", seed=1)
        X, y = np.random.default_rng(0).standard_normal((9, *shape)), np.arange(9) % 3
        _, gradient = model.loss_and_gradient(X, y, "softmax_cross_entropy")
        tape = ModelTape.gradient(model, 9, input_gradient=True, fused=False).tape
        ops = (*tape.forward, *tape.backward, *tape.parameter_gradients)
        if name in ("weight_norm", "gru", "simple_rnn"):  # whose tangents read packed copies
            H = nn.second_order.HessianOperator(model, X, y, "softmax_cross_entropy")
            gradient = np.append(gradient, H @ np.linspace(-1, 1, gradient.size))
        found[name] = sorted({op.kernel for op in ops if op.layer == f"{name}_1"}), gradient.tolist()
    return found


def test_every_layer_with_products() -> None:
    result = run_python("import test_blas; print(test_blas.gradients())", NNCORE_GEMM="blas")
    assert result.returncode == 0, result.stderr
    own = gradients()
    for name, (kernels, gradient) in ast.literal_eval(result.stdout).items():
        dense = "dense_steps" if name in ("gru", "simple_rnn") else "dense"
        products = {f"{dense}_{product}_blas" for product in ("forward", "backward_input", "backward_weight")}
        assert {kernel for kernel in kernels if kernel.startswith("dense") and "bias" not in kernel} == products, name
        assert not any("blas" in kernel for kernel in own[name][0])
        np.testing.assert_allclose(gradient, own[name][1], rtol=1e-10, atol=1e-13)


LIMITED = """
import numpy as np, threadpoolctl, nncore as nn
from nncore import _kernels
threads = lambda: [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
_kernels.blas.gemm("f")
with threadpoolctl.threadpool_limits(2, user_api="blas"):
    before = threads()
    outer = _kernels.on_one_blas_thread(lambda: (_kernels.on_one_blas_thread(threads)(), threads()))
    within = sum(outer(), [])
    print(set(within) == {1}, threads() == before)
X, y = np.random.default_rng(0).standard_normal((40, 512)), np.arange(40) % 3
model = nn.Sequential([nn.Dense(520), nn.Tanh(), nn.Dense(3)], input_shape=512, dtype="float64")
H, v = nn.second_order.HessianOperator(model, X, y, "softmax_cross_entropy"), np.ones(model.parameters.size)
print(bool(np.isfinite(H @ v).all()))
"""


def test_one_blas_thread_during_a_call_and_tangents() -> None:
    result = run_python(LIMITED, NNCORE_GEMM="blas")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["True"] * 3


@pytest.mark.parametrize("bad", ["mkl", "BLAS", "1"])
def test_unknown_choice(bad: str) -> None:
    result = run_python("import nncore", NNCORE_GEMM=bad)
    assert result.returncode != 0
    assert f"NNCORE_GEMM must be one of own, blas, got {bad!r}" in result.stderr


def test_own_kernels_by_default() -> None:
    result = run_python("from nncore import _kernels; print(_kernels.gemm_name)", NNCORE_GEMM="")
    assert result.stdout.strip() == "own"
    assert same_bits(gemm("f"), gemm("f"))
    assert gemm("f")[0] != gemm("d")[0]
