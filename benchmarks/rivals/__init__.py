"""The rivals and their variants: one module each, imported only in the process that runs it.

If a rival has several variants (threads, source of the permutation), all are measured and the fastest
counts. nncore is the exception: its default counts, and one thread is shown next to it.
"""

from __future__ import annotations

from typing import Any

VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "nncore": {"default": {}, "1 thread": {"threads": 1}},
    "numpy": {"all threads": {}, "1 thread": {"threads": 1}},
    "sklearn": {"all threads": {}, "1 thread": {"threads": 1}},
    "torch": {"all threads": {}, "1 thread": {"threads": 1}},
    "jax": {"NumPy's permutation": {"shuffle": "host"}, "JAX's permutation": {"shuffle": "device"}},
}
