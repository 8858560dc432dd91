"""The table of ``python -m pytest benchmarks``: two columns, nncore's time and NumPy's in each group."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.option.benchmark_columns = ["median", "min", "rounds"]
