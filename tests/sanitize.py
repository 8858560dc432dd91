"""Build a copy of the package under sanitizers and run tests on it: `make sanitize` (`address`), `make tsan` (`thread`).

``python tests/sanitize.py thread lanes profile`` runs these test files only.

A report in any process, a child of a test too, fails the run, and is printed at its end. ThreadSanitizer under a kernel that
randomizes more than 28 bits of addresses stops with "unexpected memory mapping": ``setarch -R make tsan``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

MEMORY = "kernels dense_direct every_size guard boundary op_table executor online stochastic weight_noise recurrent"
MEMORY += " sequences bfloat16_kernels sparse csr_kernels lazy_kernels sparse_dense"
MEMORY += " tile_local_gradients array_groups accumulation distributed hand_steps claims ensemble ensemble_use lanes"
MEMORY += " normalization batch_statistics weight_norm wrappers tangent tangent_normalization tangent_layers tangent_recurrent"

READERS = "predict", "evaluate", "activations", "hessian", "jacobian"

CPP_LIBRARY = "libstdc++.so.6"  # in the process from the start, else the first exception in C++, as matplotlib's, ends it

RACES = "executor threads tile_local_gradients dense_direct ensemble ensemble_use lanes online csr_kernels lazy_kernels"
RACES += " concurrency accumulation profile"


@dataclass(frozen=True)
class Sanitizer:
    """How to build with it, and what to run."""

    flags: str
    library: str  # of the runtime, which must be the first in the process
    environment: dict[str, str]  # a report goes where {reports} says
    parts: str  # test_*.py
    chosen: str  # of their tests
    objects: Callable[[Path], str] = lambda folder: ""  # to be linked: made in this folder


def pthread_openmp(folder: Path) -> str:
    """What takes the place of libgomp, whose threads ThreadSanitizer does not understand."""
    made = folder / "pthread_openmp.o"
    # Hidden: else the symbols of a libgomp that is in the process already would be taken.
    flags = ["-O1", "-g", "-fPIC", "-fvisibility=hidden", "-fsanitize=thread"]
    subprocess.run(["gcc", *flags, "-c", ROOT / "tests" / "pthread_openmp.c", "-o", made], check=True)
    return str(made)


SANITIZERS = {
    "address": Sanitizer(
        flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined",
        library="libasan.so",
        environment={
            # Python itself does not free everything at exit.
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:log_path={reports}",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:log_path={reports}",
        },
        parts=MEMORY,
        chosen="not torch and not one_element_short and not declared_as_read",  # there the sanitizer, not a signal, ends it
    ),
    "thread": Sanitizer(
        flags="-fsanitize=thread",
        library="libtsan.so",
        environment={
            "TSAN_OPTIONS": "log_path={reports}",
            "NNCORE_ISA": "baseline",  # the sanitizer does not see what the intrinsics of the others write
            "OPENBLAS_NUM_THREADS": "1",  # NumPy's, which is not compiled with it
        },
        parts=RACES,
        # While another thread trains, these read the parameters in the middle of a step, as the docstring of `fit` says.
        chosen=" and not ".join(["not torch", *(f"its_model[{name}]" for name in READERS)]),
        objects=pthread_openmp,
    ),
}


def path_of(library: str) -> str:
    """Where the compiler has it."""
    return subprocess.run(["gcc", f"-print-file-name={library}"], capture_output=True, text=True, check=True).stdout.strip()


def main(name: str, *chosen: str) -> int:
    """Build, run; 1 if a test failed or something was reported."""
    sanitizer = SANITIZERS[name]
    parts = [f"test_{part}.py" for part in chosen or sanitizer.parts.split()]
    if missing := [part for part in parts if not (ROOT / "tests" / part).exists()]:
        sys.exit(f"no such tests: {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as folder:
        copy, reports = Path(folder) / "nncore", Path(folder) / "report"
        ignore = shutil.ignore_patterns(".venv*", ".git", "build", "dist", "*.so", "__pycache__", "results")
        shutil.copytree(ROOT, copy, ignore=ignore)
        flags = {
            "CFLAGS": f"{sanitizer.flags} -g -fno-omit-frame-pointer -Wno-error",
            "LDFLAGS": f"{sanitizer.flags} {sanitizer.objects(Path(folder))}",
        }
        build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--parallel", "2"]
        subprocess.run(build, cwd=copy, env=os.environ | flags, check=True)
        environment = os.environ | {
            "LD_PRELOAD": " ".join(map(path_of, (sanitizer.library, CPP_LIBRARY))),
            "PYTHONPATH": str(copy / "src"),
            "PYTHONMALLOC": "malloc",
            **{key: value.format(reports=reports) for key, value in sanitizer.environment.items()},
        }
        where = "import nncore; print(nncore.__file__)"
        subprocess.run([sys.executable, "-c", where], cwd=folder, env=environment, check=True)
        tests = [str(copy / "tests" / part) for part in parts]
        run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", sanitizer.chosen, *tests]
        code = subprocess.run(run, cwd=copy, env=environment).returncode
        written = sorted(Path(folder).glob(f"{reports.name}.*"))
        for report in written:
            print(report.read_text(errors="replace"))
        print(f"{len(written)} processes reported something" if written else "no report")
        return int(code != 0 or bool(written))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
