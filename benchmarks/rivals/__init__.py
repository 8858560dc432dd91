"""The rivals, and the ways to run each: a module each, imported only in the process that runs it.

Where a rival has several ways to run (threads, where the permutation is drawn), all are measured and the fastest
counts. nncore is the exception: what counts is its default, and one thread is shown beside it.
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
