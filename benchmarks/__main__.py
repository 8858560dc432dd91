"""All benchmarks in turn: python -m benchmarks"""

from __future__ import annotations

import importlib


def main() -> None:
    """The limits, the training table, the kernels, curvature; each module measures the limits it needs itself."""
    for name in ("limits", "training", "kernels", "curvature"):
        print(f"\n# {name}\n", flush=True)
        try:
            importlib.import_module(f"benchmarks.{name}").main([])
        except ImportError as error:
            print(f"left out: {error}")


if __name__ == "__main__":
    main()
