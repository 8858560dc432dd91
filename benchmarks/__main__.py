"""All benchmarks in turn: python -m benchmarks"""

from __future__ import annotations

import importlib

NAMES = "limits training prediction kernels optimizers calls overheads normalization recurrent stochastic curvature estimators"


def main() -> None:
    """Print every table; each module measures the limits that it needs."""
    for name in NAMES.split():
        print(f"\n# {name}\n", flush=True)
        try:
            importlib.import_module(f"benchmarks.{name}").main([])
        except ImportError as error:
            print(f"left out: {error}")


if __name__ == "__main__":
    main()
