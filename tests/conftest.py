"""What every test may use."""

import signal

import numpy as np
import pytest
from hypothesis import settings

from nncore.interrupt import Interrupt

# The same examples in every run, and no failure because a shared machine was slow.
settings.register_profile("nncore", deadline=None, derandomize=True)
settings.load_profile("nncore")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c() -> None:
    """Ctrl-C as in a shell's foreground: a job in the background inherits that it is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _long_after_the_last_press(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tests that press Ctrl-C once are not one loop that is left by pressing twice."""
    monkeypatch.setattr(Interrupt, "_last_press", -1e9)
