"""Description of the machine and the software of a measurement."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("nncore-learn", "numpy", "scipy", "scikit-learn", "torch", "jax", "jaxlib")
VARIABLES = ("OMP_", "OPENBLAS_", "MKL_", "BLIS_", "VECLIB_", "GOMP_", "KMP_", "XLA_", "JAX_", "NNCORE_")


def cpu_model() -> str:
    """The processor's name; on Linux with family and model number, because a virtual machine often hides the name."""
    with contextlib.suppress(OSError):
        fields = dict(
            (part.strip() for part in line.split(":", 1))
            for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
            if ":" in line
        )
        if "model name" in fields:
            return f"{fields['model name']} (family {fields.get('cpu family')}, model {fields.get('model')})"
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def load() -> float | None:
    """Average number of processes that ran or waited to run in the last minute."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def versions() -> dict[str, str]:
    """Versions of the installed packages."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def blas() -> list[dict[str, Any]]:
    """The BLAS libraries and thread pools that NumPy and SciPy loaded into this process."""
    try:
        import scipy.linalg.blas  # noqa: F401
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    keys = ("internal_api", "version", "num_threads", "architecture")
    return [{key: pool[key] for key in keys if key in pool} for pool in threadpool_info()]


def describe() -> dict[str, Any]:
    """Everything above, and the environment variables that set threads."""
    environment = {k: v for k, v in sorted(os.environ.items()) if k.startswith(VARIABLES)}  # before imports add to it
    return {
        "cpu": cpu_model(),
        "cores": cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(),
        "blas": blas(),
        "environment": environment,
        "load": load(),
    }


def text(machine: dict[str, Any]) -> str:
    """The header lines of a table."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [f"{machine['cpu']}, {machine['cores']} cores; {machine['system']}"]
    lines.append(f"Python {machine['python']}, {packages}")
    if machine["environment"]:
        lines.append(" ".join(f"{name}={value}" for name, value in machine["environment"].items()))
    if machine["load"] is not None and machine["load"] > 0.3:
        lines.append(f"Load average {machine['load']:.1f} at the start: other work was running, the numbers are noisy.")
    return "\n".join(lines)
