"""All benchmarks in turn: python -m benchmarks"""

from __future__ import annotations

import importlib

NAMES = "limits instructions training prediction kernels optimizers calls"
NAMES += " overheads normalization recurrent stochastic curvature estimators precision"


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
