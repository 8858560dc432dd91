"""Fixtures and hooks for all tests."""

import signal
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from nncore._kernels import Program, single_ops
from nncore._utils.interrupt import Interrupt

# The same examples in every run, and no failure because a shared machine was slow.
settings.register_profile("nncore", deadline=None, derandomize=True)
settings.load_profile("nncore")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture
def keras() -> Any:
    """Keras 2 on TensorFlow, which has batch renormalization."""
    return pytest.importorskip("tf_keras")


@pytest.fixture
def keras3() -> Any:
    """Keras 3 on any backend; TensorFlow brings it."""
    return pytest.importorskip("keras", minversion="3")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that compare with another library: they are skipped without it, and run by ``make agreement``."""
    for item in items:
        if {"torch", "keras", "keras3"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("agreement")
            item.add_marker(pytest.mark.filterwarnings("ignore:.*torch.jit.script"))  # PyTorch's own, at its first jvp
            item.add_marker(pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy"))  # Keras's own


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c() -> None:
    """Ctrl-C as in a shell's foreground: a job in the background inherits that it is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _long_after_the_last_press(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reset the count of presses: a press in one test must not count as the first of two in the next."""
    monkeypatch.setattr(Interrupt, "_last_press", -1e9)


class _Checked(Program):
    """Run a single op, and check that the arrays it is declared only to read are unchanged."""

    def __init__(self, table: Any, dtype: Any, stages: Any, **_: Any) -> None:
        ((*_, ((name, arrays, *_),)),) = stages
        self.name, self.declaration, self.arrays = name, table.declaration(name), arrays

    def run(self, *args: Any, **kw: Any) -> Any:
        read = [
            (argument, array, array.tobytes())
            for argument, array, written in zip(self.declaration.arrays, self.arrays, self.declaration.written, strict=True)
            if array is not None and not written
        ]
        result = super().run(*args, **kw)
        for argument, array, before in read:
            assert array.tobytes() == before, f"op {self.name} wrote to {argument}, which op_table.h declares only to be read"
        return result


@pytest.fixture(autouse=True)
def _ops_write_only_what_they_are_declared_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apply the check in every test that runs a single op."""
    monkeypatch.setattr(single_ops, "Program", _Checked)
