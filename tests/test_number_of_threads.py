"""The number of threads: limits by other programs, the operating system and containers are respected."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import pytest
from helpers.processes import run_python

import nncore as nn
from nncore import _kernels
from nncore._kernels import cpus, program, threads

needs_openmp = pytest.mark.skipif(not program.has_openmp(), reason="built without OpenMP")
needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")


@pytest.fixture
def automatic(monkeypatch: pytest.MonkeyPatch) -> None:
    """No number is set; there are eight CPUs."""
    monkeypatch.setattr(threads, "_asked", 0)
    monkeypatch.setattr(threads, "_default", 8)
    monkeypatch.setattr(threads, "_cpus", 8)


PRINT = "import nncore as nn; print(nn.get_num_threads()); print(nn.show_config())"
NOT_SET = {"NNCORE_NUM_THREADS": None, "OMP_NUM_THREADS": None, "OMP_THREAD_LIMIT": None}


def printed(monkeypatch: pytest.MonkeyPatch, code: str = PRINT, **environment: str) -> tuple[int, str]:
    """The number of threads of a new process, and the source that it reports."""
    for name in NOT_SET:
        monkeypatch.delenv(name, raising=False)
    result = run_python(code, **environment)
    assert result.returncode == 0, result.stderr
    (source,) = re.findall(r"threads +\d+ \((.*)\)$", result.stdout, re.MULTILINE)
    return int(result.stdout.split()[0]), source


@needs_openmp
def test_by_default_all_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    number, source = printed(monkeypatch)
    quota = cpus.cgroup_quota()
    expected = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 256)
    assert number == (expected if math.isinf(quota) else min(expected, math.ceil(quota)))
    assert "CPU" in source


@needs_openmp
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OMP_THREAD_LIMIT"])
def test_variables_of_openmp(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if cpus.affinity() < 2:
        pytest.skip("there is one CPU")
    number, source = printed(monkeypatch, **{name: "1"})
    assert number == 1
    assert name in source


@needs_openmp
def test_openmp_starts_no_more_threads_than_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, _ = printed(monkeypatch)
    assert printed(monkeypatch, OMP_NUM_THREADS="100")[0] == plain


@needs_openmp
def test_nncore_s_variable_takes_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(monkeypatch, OMP_NUM_THREADS="1", NNCORE_NUM_THREADS="3") == (3, "NNCORE_NUM_THREADS")
    code = "import nncore as nn; nn.set_num_threads(4); " + PRINT
    assert printed(monkeypatch, code, OMP_NUM_THREADS="1", NNCORE_NUM_THREADS="3") == (4, "set_num_threads")


@needs_openmp
@needs_affinity
def test_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); " + PRINT
    assert printed(monkeypatch, code) == (1, "CPUs that the process may use")


@needs_openmp
@pytest.mark.parametrize("api", [None, "openmp"])
def test_threadpool_limits(automatic: None, api: str | None) -> None:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(3):
        assert nn.get_num_threads() == 3
        assert "threadpool_limits" in nn.show_config()
        with threadpool_limits(1, user_api=api):
            assert nn.get_num_threads() == 1
        assert nn.get_num_threads() == 3
        with threadpool_limits(1, user_api="blas"):
            assert nn.get_num_threads() == 3


@needs_openmp
def test_set_num_threads_takes_precedence_over_threadpool_limits(automatic: None) -> None:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        nn.set_num_threads(2)  # `automatic` undoes it
        assert nn.get_num_threads() == 2


@needs_openmp
def test_a_limit_reaches_the_programs(automatic: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For every way of running a program: training, evaluation, prediction, gradients."""
    from threadpoolctl import threadpool_limits

    seen = set()
    run = program.Program.run

    class Spy(program.Program):  # type: ignore[misc]
        def run(self, *args, threads=1, **rest):  # type: ignore[no-untyped-def]
            seen.add(threads)
            return run(self, *args, threads=threads, **rest)

    monkeypatch.setattr(_kernels, "Program", Spy)
    X, y = nn.data.two_spirals(2000)
    for limit in (2, 1):
        seen.clear()
        with threadpool_limits(limit):
            model = nn.Sequential([nn.Dense(256), nn.ReLU(), nn.Dense(256), nn.ReLU(), nn.Dense(2)], input_shape=2)
            trainer = nn.Trainer(model, "softmax_cross_entropy")
            trainer.fit(X, y, epochs=1, batch_size=256, validation_split=0.2, verbose=0)
            model.predict(X)
            model.loss_and_gradient(X, y, "softmax_cross_entropy")
        assert max(seen) == limit


@needs_openmp
def test_workers_of_joblib_share_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    joblib = pytest.importorskip("joblib")
    for name in NOT_SET:
        monkeypatch.delenv(name, raising=False)
    available = joblib.cpu_count()
    got = joblib.Parallel(n_jobs=available)(joblib.delayed(nn.get_num_threads)() for _ in range(available))
    assert got == [1] * available
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        assert joblib.Parallel(n_jobs=2)(joblib.delayed(nn.get_num_threads)() for _ in range(2)) == [1, 1]


# Quotas of cgroups.

V2 = "0::/system.slice/job.scope\n"
V1 = "12:memory:/docker/abc\n5:cpu,cpuacct:/docker/abc\n3:cpuset:/docker/abc\n0::/docker/abc\n"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        (V2, {}, math.inf),
        (V2, {"system.slice/job.scope/cpu.max": "max 100000\n"}, math.inf),
        (V2, {"system.slice/job.scope/cpu.max": "150000 100000\n"}, 1.5),
        (V2, {"system.slice/job.scope/cpu.max": "400000 100000\n", "system.slice/cpu.max": "200000 100000\n"}, 2.0),
        (V2, {"system.slice/job.scope/cpu.max": "100000 50000\n", "system.slice/cpu.max": "max 100000\n"}, 2.0),
        (V2, {"cpu.max": "50000 100000\n"}, 0.5),  # a container whose own cgroup is mounted as the root
        ("0::/\n", {"cpu.max": "300000 100000\n"}, 3.0),
        ("0::/../..\n", {"cpu.max": "300000 100000\n"}, 3.0),
        (V2, {"system.slice/job.scope/cpu.max": "nonsense\n"}, math.inf),
        (V2, {"system.slice/other.scope/cpu.max": "100000 100000\n"}, math.inf),
        (V1, {}, math.inf),
        (V1, {"cpu/docker/abc/cpu.cfs_quota_us": "-1\n", "cpu/docker/abc/cpu.cfs_period_us": "100000\n"}, math.inf),
        (V1, {"cpu/docker/abc/cpu.cfs_quota_us": "250000\n", "cpu/docker/abc/cpu.cfs_period_us": "100000\n"}, 2.5),
        (V1, {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1.0),
        (V1, {"cpu/docker/abc/cpu.cfs_quota_us": "100000\n", "cpu/docker/abc/cpu.cfs_period_us": "0\n"}, math.inf),
    ],
)
def test_quota(membership: str, files: dict[str, str], expected: float, tmp_path: Path) -> None:
    write(tmp_path, {"cgroup": membership})
    write(tmp_path / "mounts", files)
    assert cpus.cgroup_quota(tmp_path / "cgroup", tmp_path / "mounts") == expected


def test_a_system_without_cgroups(tmp_path: Path) -> None:
    assert cpus.cgroup_quota(tmp_path / "missing", tmp_path) == math.inf


@needs_openmp
@pytest.mark.parametrize(("quota", "expected"), [(0.2, 1), (1.0, 1), (1.5, 2), (1e9, 4), (math.inf, 4)])
def test_a_quota_limits_the_threads(quota: float, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = (  # the kernels' package reads them as it is imported, so they are replaced before
        "import sys, types; from math import inf\n"
        "stub = types.ModuleType('nncore._kernels.cpus')\n"
        f"stub.affinity, stub.cgroup_quota = lambda: 4, lambda: {quota}\n"
        "sys.modules['nncore._kernels.cpus'] = stub\n"
    )
    number, source = printed(monkeypatch, stub + PRINT, OMP_NUM_THREADS="4")
    assert number == expected
    assert source == ("CPU quota of the cgroup" if expected < 4 else "CPUs that the process may use")


# Invalid numbers of threads.


@pytest.mark.parametrize("bad", [0, -1, 257, 100_000, 2**31, 2**70])
def test_out_of_range(bad: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = nn.get_num_threads()
    with pytest.raises(ValueError, match=rf"n must be a positive integer of at most 256, got {bad}$"):
        nn.set_num_threads(bad)
    assert nn.get_num_threads() == before
    result = run_python("import nncore", NNCORE_NUM_THREADS=str(bad))
    assert f"ImportError: NNCORE_NUM_THREADS must be a positive integer of at most 256, got '{bad}'" in result.stderr


@needs_openmp
def test_the_largest_number(automatic: None) -> None:
    nn.set_num_threads(256)
    assert nn.get_num_threads() == 256
    X, y = nn.data.two_spirals(100)
    nn.Trainer(nn.Sequential([nn.Dense(2)], input_shape=2), "softmax_cross_entropy").fit(X, y, verbose=0)
