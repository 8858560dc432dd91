"""Build a copy of the package under AddressSanitizer and UBSan and run the kernel tests on it: `make sanitize`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SANITIZE = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -g -fno-omit-frame-pointer"
PARTS = "kernels dense_direct every_size guard boundary op_table executor online stochastic weight_noise recurrent"
PARTS += " sequences bfloat16_kernels"
PARTS += " sparse csr_kernels lazy_kernels sparse_dense"
PARTS += " tile_local_gradients array_groups accumulation distributed hand_steps claims ensemble ensemble_use lanes"
PARTS += " normalization batch_statistics weight_norm wrappers tangent tangent_normalization tangent_layers tangent_recurrent"
TESTS = [ROOT / "tests" / f"test_{part}.py" for part in PARTS.split()]


def main() -> int:
    """Build, run, and pass on the tests' exit code."""
    if missing := [str(path) for path in TESTS if not path.exists()]:
        sys.exit(f"no such tests: {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "nncore"
        ignore = shutil.ignore_patterns(".venv*", ".git", "build", "dist", "*.so", "__pycache__", "results")
        shutil.copytree(ROOT, copy, ignore=ignore)
        build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
        flags = {"CFLAGS": f"{SANITIZE} -Wno-error", "LDFLAGS": SANITIZE}
        subprocess.run(build, cwd=copy, env=os.environ | flags, check=True)
        library = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
        environment = os.environ | {
            "LD_PRELOAD": library.stdout.strip(),
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",  # Python itself does not free everything at exit
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
            "PYTHONPATH": str(copy / "src"),
            "PYTHONMALLOC": "malloc",
        }
        where = "import nncore; print(nncore.__file__)"
        subprocess.run([sys.executable, "-c", where], cwd=folder, env=environment, check=True)
        tests = [str(copy / "tests" / path.name) for path in TESTS]
        chosen = "not torch and not one_element_short and not declared_as_read"  # there the sanitizer, not a signal, ends it
        run = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", chosen, *tests]
        return subprocess.run(run, cwd=copy, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
