"""Some hundred attacks of each kind, and the runner: what a case did is pinned to its number, whatever it did."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """`attack` is a folder beside that of the tests, and no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.mark.parametrize("subject", ["calls", "files"])
def test_two_hundred_attacks(subject: str) -> None:
    from attack import pool

    report = pool.run(importlib.import_module(f"attack.{subject}").case, seed=0, cases=200)
    assert not report.failures, str(report)
    assert report.cases == 200
    assert len(report.outcomes) > 4


DEEDS = {3: "abort", 5: "hang", 8: "exit", 13: "raise", 21: "warn", 34: "leave", 40: "memory", 44: "ignored"}
KINDS = {
    3: "signal SIGABRT", 5: "hang of more than 0.5 s", 8: "exit 7", 13: "KeyError at test_attack.py",
    21: "UserWarning at test_attack.py", 34: "SystemExit at test_attack.py", 40: "MemoryError at test_attack.py",
    44: "ZeroDivisionError at test_attack.py",
}  # fmt: skip


class Ill:
    """Raises where Python ignores it."""

    def __del__(self) -> None:
        1 // 0  # noqa: B018


def number_of(rng: np.random.Generator) -> int:
    """Which case this is: its draws are those of no other."""
    from attack import pool

    state = rng.bit_generator.state
    return next(n for n in range(60) if pool.generator(9, n).bit_generator.state == state)


def case(rng: np.random.Generator) -> str:
    """One of the deeds, or nothing."""
    deed = DEEDS.get(number_of(rng), "")
    if deed == "abort":
        os.abort()
    if deed == "hang":
        time.sleep(60)
    if deed == "exit":
        os._exit(7)
    if deed == "raise":
        raise KeyError("x")
    if deed == "warn":
        warnings.warn("a warning", stacklevel=1)
    if deed == "leave":
        sys.exit()
    if deed == "memory":
        bytearray(2**31)
    if deed == "ignored":
        Ill()
    return "nothing"


@pytest.mark.parametrize("processes", [1, 3])
def test_what_a_case_does_is_pinned_to_its_number(processes: int) -> None:
    from attack import pool

    report = pool.run(case, seed=9, cases=60, processes=processes, limit=0.5)
    found = {failure.number: kind for kind, failure in report.first.items()}
    linux = sys.platform == "linux"  # elsewhere nothing says how much memory there is
    expected = {number: kind for number, kind in KINDS.items() if linux or number != 40}
    assert found.keys() == expected.keys()
    assert all(found[number].startswith(kind) for number, kind in expected.items())
    assert report.outcomes == {"nothing": 60 - len(expected)}
    assert report.cases == 60
    assert all(failure.alone for failure in report.first.values())
    text = str(report)
    assert f"{len(expected)} failed" in text
    assert "case 13: KeyError" in text
    assert "in case" in next(failure.detail for failure in report.first.values() if failure.number == 5)  # where it hangs


SEEN: list[int] = []


def second(rng: np.random.Generator) -> str:
    """Fails unless it is the first of its process."""
    SEEN.append(1)
    if len(SEEN) > 1:
        raise ValueError("not the first")
    return "first"


def test_a_failure_that_needs_the_cases_before_it_is_told_from_others() -> None:
    from attack import pool

    report = pool.run(second, seed=0, cases=4, processes=1)
    assert report.outcomes == {"first": 1}
    assert [failure.alone for failure in report.first.values()] == [False]
    assert "passes alone" in str(report)


def test_a_limited_time_and_an_interruption_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from attack import pool

    report = pool.run(lambda rng: "done", seed=0, seconds=3)
    assert report.cases > 0
    assert not report.failures

    def interrupted(rng: np.random.Generator) -> str:
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(60)
        return ""

    report = pool.run(interrupted, seed=0, cases=2, processes=1)
    assert report.cases == 0


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from attack import __main__ as command
    from attack import files, pool

    monkeypatch.setattr(sys, "argv", ["attack", "files", "--seed", "3", "--cases", "2", "--processes", "1"])
    assert command.main() == 0
    assert "files: 2 cases of seed 3" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["attack", "files", "--seed", "3", "--case", "1"])
    assert command.main() == 0
    assert capsys.readouterr().out == f"files 1: {pool.once(files.case, 3, 1)}\n"
    monkeypatch.setattr(files, "case", second)
    monkeypatch.setattr(sys, "argv", ["attack", "files", "--cases", "4", "--processes", "1"])
    assert command.main() == 1
