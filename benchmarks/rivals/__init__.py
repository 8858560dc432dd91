"""The rivals and their variants: one module each, imported only in the process that runs it.

If a rival has several variants (threads, source of the permutation), all are measured and the fastest
counts. nncore is the exception: its default counts, and one thread is shown next to it. The first word of
a rival is its module. Those with products of bfloat16 numbers keep everything else in float32, and are left
out of comparisons in float64.
"""

from __future__ import annotations

from typing import Any

BFLOAT16 = " bfloat16"

VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "nncore": {"default": {}, "1 thread": {"threads": 1}},
    "numpy": {"all threads": {}, "1 thread": {"threads": 1}},
    "sklearn": {"all threads": {}, "1 thread": {"threads": 1}},
    "torch": {"all threads": {}, "1 thread": {"threads": 1}},
    "jax": {"NumPy's permutation": {"shuffle": "host"}, "JAX's permutation": {"shuffle": "device"}},
    "nncore" + BFLOAT16: {"default": {"compute_dtype": "bfloat16"}, "1 thread": {"compute_dtype": "bfloat16", "threads": 1}},
    "torch" + BFLOAT16: {"all threads": {"autocast": True}, "1 thread": {"autocast": True, "threads": 1}},
}


def pick(names: str, dtype: str) -> list[str]:
    """The rivals of an option, comma-separated; all of the dtype by default."""
    return names.split(",") if names else [rival for rival in VARIANTS if dtype == "float32" or not rival.endswith(BFLOAT16)]
