"""The same bits on any number of cores for results that involve the BLAS of NumPy and SciPy."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
from helpers.blas_digests import CASES

import nncore as nn
from nncore import regularizers, second_order
from nncore._kernels.blas import one_blas_thread

HERE = Path(__file__).parent
PACKAGE = Path(nn.__file__).parent

BLAS_NAMES = {"dot", "vdot", "inner", "matmul", "tensordot", "polyfit", "lstsq", "eigsh", "eigh_tridiagonal", "safe_sparse_dot"}
AXES = {"norm"}  # along an axis np.linalg.norm sums without the BLAS
# Modules of functions that are called by others that hold the limit: by FullBatchOptimizer.next_point and by curvature().
ENTERED = {"model/curvature/spectrum.py"} | {
    f"second_order/{name}.py"
    for name in (
        "adaptive", "conjugate", "least_squares", "line_search", "newton", "objective", "quasi_newton", "scipy_minimize",
        "solve", "truncated",
    )
}  # fmt: skip


def digests(threads: int) -> dict[str, str]:
    limits = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS"), str(threads))
    environment = os.environ | limits | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(HERE / "helpers" / "blas_digests.py")]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
    return dict(line.split(": ") for line in found.stdout.splitlines())


def test_the_number_of_blas_threads_does_not_matter() -> None:
    one, two = digests(1), digests(2)
    assert set(one) == set(CASES)
    assert {name for name in one if one[name] != two[name]} == set()


def test_every_case_is_covered() -> None:
    assert set(CASES) >= {*second_order.OPTIMIZERS, *nn.data.scaling.SCALERS}
    penalties = {
        name for name, cls in vars(regularizers).items() if isinstance(cls, type) and issubclass(cls, regularizers.Regularizer)
    }
    assert set(CASES) >= penalties - {"Regularizer"}


def uses_of_the_blas(tree: ast.AST, limited: bool) -> list[ast.AST]:
    """Uses of the BLAS outside the limit: neither in a function decorated with it nor in its with block."""
    found: list[ast.AST] = []
    for node in ast.iter_child_nodes(tree):
        inside = limited
        if isinstance(node, (ast.FunctionDef, ast.With)):
            marks = node.decorator_list if isinstance(node, ast.FunctionDef) else [item.context_expr for item in node.items]
            inside |= any("one_blas_thread" in ast.unparse(mark) for mark in marks)
        matmul = isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.MatMult)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name, whole = node.func.attr, ast.unparse(node.func)
            along = name in AXES and any(keyword.arg == "axis" for keyword in node.keywords)
            matmul |= name in BLAS_NAMES or (("linalg." in whole or "scipy.optimize." in whole) and not along)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            matmul |= node.func.id in BLAS_NAMES
        if matmul and not inside:
            found.append(node)
        found += uses_of_the_blas(node, inside)
    return found


def test_no_use_of_the_blas_without_the_limit() -> None:
    """In the sources, except the twins in nncore.reference and NNCORE_GEMM."""
    unlimited = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(("reference/", "_kernels/")) and name not in ENTERED:
            unlimited += [f"{name}:{node.lineno}" for node in uses_of_the_blas(ast.parse(path.read_text("utf-8")), False)]
    assert unlimited == []


@pytest.mark.parametrize(
    ("code", "uses"),
    [
        ("def f(a): return a @ a", 1), ("def f(a): a @= a", 1), ("np.linalg.norm(a)", 1), ("np.linalg.norm(a, axis=1)", 0),
        ("a.dot(b)", 1), ("eigsh(a)", 1), ("safe_sparse_dot(a, b)", 1), ("@one_blas_thread()\ndef f(a): return a @ a", 0),
        ("with one_blas_thread():\n  a @ a\na @ b", 1), ("np.square(a).sum()", 0),
    ],
)  # fmt: skip
def test_uses_are_found(code: str, uses: int) -> None:
    assert len(uses_of_the_blas(ast.parse(code), False)) == uses


def threads() -> list[int]:
    """Of each BLAS."""
    import scipy.linalg  # noqa: F401  which may have its own

    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]


def test_the_limit_covers_numpy_and_scipy_and_ends() -> None:
    before = threads()
    with one_blas_thread():
        assert set(threads()) == {1}
        with one_blas_thread():
            pass
        assert set(threads()) == {1}
    assert threads() == before
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        raise ZeroDivisionError
    assert threads() == before


def test_the_limit_holds_whichever_thread_sets_and_lifts_it() -> None:
    """threadpoolctl 3.8 ignores all threads but the first that has set the number of an OpenBLAS, here this one."""
    seen: list[list[int]] = []

    def limited() -> None:
        with one_blas_thread():
            seen.append(threads())
        seen.append(threads())

    with threadpoolctl.threadpool_limits(2, "blas"), ThreadPoolExecutor(1) as pool:
        before = threads()
        if set(before) != {2}:
            pytest.skip("the BLAS has one thread")
        with one_blas_thread():
            pass
        pool.submit(limited).result()
        assert seen == [[1] * len(before), before]
        outer = one_blas_thread()
        pool.submit(outer.__enter__).result()  # set in one thread, and lifted in another
        assert threads() == [1] * len(before)
        outer.__exit__(None, None, None)
        assert threads() == before


def test_l2_is_a_pairwise_sum() -> None:
    model = nn.Sequential([nn.Dense(300)], input_shape=400, dtype="float64", seed=0)
    weight = model["dense_1"].weight
    exact = sum(np.longdouble(w) ** 2 for w in weight.ravel())
    assert nn.L2(2.0).value(model) == pytest.approx(float(exact), rel=1e-15)
