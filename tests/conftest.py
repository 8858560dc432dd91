"""What every test may use."""

import numpy as np
import pytest
from hypothesis import settings

# The same examples in every run, and no failure because a shared machine was slow.
settings.register_profile("nncore", deadline=None, derandomize=True)
settings.load_profile("nncore")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)
