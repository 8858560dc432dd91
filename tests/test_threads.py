"""Same seed, same bits: for any number of threads, for models that train side by side, and in a forked child."""

import ast
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from helpers.processes import run_python
from helpers.training import train

import nncore as nn
from nncore import _kernels
from nncore._kernels import program

DTYPES = ("float32", "float64")
each_dtype = pytest.mark.parametrize("dtype", DTYPES)

needs_openmp = pytest.mark.skipif(not program.has_openmp(), reason="built without OpenMP")


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = nn.get_num_threads()
    yield
    nn.set_num_threads(before)


def all_bits() -> dict[str, str]:
    """The result of `train` for each number of threads."""
    bits = {}
    for threads in (1, 2, 3, 4, 5):
        nn.set_num_threads(threads)
        bits |= {f"{dtype}, {threads} threads": train(dtype)[0] for dtype in DTYPES}
    return bits


def assert_alike(bits: dict[str, str]) -> None:
    assert len(bits) == 10
    for dtype in DTYPES:
        assert len({value for name, value in bits.items() if name.startswith(dtype)}) == 1, bits


@each_dtype
def test_the_training_runs_on_several_threads(dtype: str) -> None:
    """The network of these tests is large enough for several threads, and it learns."""
    digest, trainer = train(dtype)
    compiled = [program.compiled for program in trainer._compiled.values()]
    assert compiled
    assert all(c.parallel for c in compiled)
    assert trainer.history["accuracy"][-1] > trainer.history["accuracy"][0]
    assert digest != train(dtype, seed=1)[0]


@pytest.mark.parametrize("optimizer", ["adam", "nesterov", "sgd"])
@each_dtype
def test_same_bits_for_any_number_of_threads(dtype: str, optimizer: str) -> None:
    bits = set()
    for threads in (1, 2, 3, 4):
        nn.set_num_threads(threads)
        bits.add(train(dtype, optimizer=optimizer)[0])
    assert len(bits) == 1


@pytest.mark.parametrize("isa", _kernels.complete_isas())
def test_same_bits_on_each_instruction_set(isa: str) -> None:
    code = "import test_threads, nncore; assert nncore._kernels.isa_name == %r; print(test_threads.all_bits())"
    result = run_python(code % isa, NNCORE_ISA=isa)
    assert result.returncode == 0, result.stderr
    bits = ast.literal_eval(result.stdout)
    assert_alike(bits)
    if isa == _kernels.isa_name:
        assert bits["float32, 1 threads"] == train("float32")[0]


def test_unknown_instruction_set() -> None:
    result = run_python("import nncore", NNCORE_ISA="sse9")
    assert result.returncode != 0
    assert "NNCORE_ISA" in result.stderr
    assert "sse9" in result.stderr
    assert "baseline" in result.stderr


@needs_openmp
@each_dtype
def test_two_models_train_at_the_same_time(dtype: str) -> None:
    alone = [train(dtype, seed)[0] for seed in (0, 1)]
    assert alone[0] != alone[1]
    for _ in range(3):
        start = threading.Barrier(2)
        together: dict[int, str] = {}

        def work(seed: int, start: threading.Barrier = start, together: dict[int, str] = together) -> None:
            start.wait()
            together[seed] = train(dtype, seed)[0]

        workers = [threading.Thread(target=work, args=(seed,)) for seed in (0, 1)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [together[0], together[1]] == alone


def count_wrong_predictions() -> int:
    """Four threads predict four inputs with one model: how many of 1200 results are wrong."""
    model = nn.Sequential([nn.Dense(64), nn.ReLU(), nn.Dense(2)], input_shape=16)
    inputs = [np.random.default_rng(n).standard_normal((200, 16)).astype(np.float32) for n in range(4)]
    want = [model.predict(X) for X in inputs]
    wrong = []

    def work(n: int) -> None:
        wrong.extend(n for _ in range(300) if not np.array_equal(model.predict(inputs[n]), want[n]))

    sys.setswitchinterval(1e-5)
    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return len(wrong)


def test_one_model_predicts_in_several_threads() -> None:
    """Each call gets the output for its own rows. In a separate process, which an invalid address would end."""
    result = run_python("import test_threads; print(test_threads.count_wrong_predictions())")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["0"]


# Forks. The children run in a process of their own, which is killed if it hangs.

FORK = """
import os, sys
import nncore as nn
from helpers.training import train
nn.set_num_threads(2)
bits = train("float32")[0]
read, write = os.pipe()
child = os.fork()
if child == 0:
    os.write(write, f"{train('float32')[0]} {nn.get_num_threads()}".encode())
    os._exit(0)
os.waitpid(child, 0)
print(os.read(read, 1000).decode() == f"{bits} 1", train("float32")[0] == bits, nn.get_num_threads())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@needs_openmp
def test_a_forked_child_trains() -> None:
    result = run_python(FORK)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["True", "True", "2"]


FORK_WITH_THREADS = """
import os, signal
import nncore as nn
from helpers.training import train
nn.set_num_threads(2)
bits = train("float32")[0]
child = os.fork()
if child == 0:
    signal.alarm(10)
    nn.set_num_threads(2)
    os._exit(0 if train("float32")[0] == bits else 1)
print(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@needs_openmp
def test_a_forked_child_that_asks_for_threads_does_not_hang() -> None:
    """Its status is 0; 14 is the alarm that ends it if it hangs."""
    result = run_python(FORK_WITH_THREADS)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["0"]


def child_bits(dtype: str) -> str:
    return train(dtype)[0]


MULTIPROCESSING = """
import multiprocessing
import nncore as nn, test_threads
from helpers.training import train
nn.set_num_threads(2)
bits = train("float64")[0]
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(test_threads.child_bits, ["float64"] * 3) == [bits] * 3)
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@needs_openmp
def test_a_pool_of_forked_children_trains() -> None:
    result = run_python(MULTIPROCESSING)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["True"]


# How many threads.


@needs_openmp
def test_set_num_threads() -> None:
    for n in (1, 3, 2):
        nn.set_num_threads(n)
        assert nn.get_num_threads() == n
    assert "threads          2" in str(nn.show_config())


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2", None, True])
def test_bad_number_of_threads(bad: Any) -> None:
    before = nn.get_num_threads()
    with pytest.raises((ValueError, TypeError), match=r"positive integer.*got"):
        nn.set_num_threads(bad)
    assert nn.get_num_threads() == before


@needs_openmp
def test_number_of_threads_from_the_environment() -> None:
    result = run_python("import nncore; print(nncore.get_num_threads())", NNCORE_NUM_THREADS="3")
    assert result.stdout.strip() == "3", result.stderr


@pytest.mark.parametrize("bad", ["0", "two", "-1", "1.5", ""])
def test_bad_number_of_threads_from_the_environment(bad: str) -> None:
    result = run_python("import nncore", NNCORE_NUM_THREADS=bad)
    assert result.returncode != 0
    assert "NNCORE_NUM_THREADS must be a positive integer" in result.stderr
    assert repr(bad) in result.stderr
