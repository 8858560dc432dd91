"""Builds the compiled core: the boundary, and one small module of kernels for each instruction set.

Environment variables: NNCORE_OPENMP=0 builds without OpenMP, so that everything runs on one thread; NNCORE_STRICT=1 turns
compiler warnings into errors, in all C but what Cython writes.
"""

import os
import platform
import re
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext  # which runs Cython, when something is compiled

KERNELS = Path("src/nncore/_kernels")
ISA_FLAGS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"],
}
ISA_FLAGS["avx512bf16"] = [*ISA_FLAGS["avx512"], "-mavx512bf16"]
QUIET = ["-Wno-unknown-warning-option", "-Wno-discarded-qualifiers"]  # of the C that Cython writes, under GCC and Clang
# Without -ffp-contract GCC contracts products and sums everywhere, Clang within an expression. Everywhere, Clang would contract
# the rest of a vectorized loop otherwise than its vectors, and bits would depend on where a tile ends.
FLAGS = ["-std=gnu99", "-O3", "-g0", "-fno-math-errno", "-fno-trapping-math"]


def included(*sources: Path) -> list[str]:
    """The files that sources include, and those that these include: a change of one compiles the sources again."""
    headers: dict[Path, None] = {}
    waiting = list(sources)
    while waiting:
        file = waiting.pop()
        for name in re.findall(r'^(?:#?include|cdef extern from) "(\S+?)"', file.read_text(encoding="utf-8"), re.MULTILINE):
            header = next(folder / name for folder in (file.parent, KERNELS) if (folder / name).exists())
            if header not in headers:
                headers[header] = None
                waiting.append(header)
    return sorted(map(str, headers))


def kernel_extension(isa: str) -> Extension:
    """The kernels of one instruction set; a compiler that lacks it skips it."""
    source = KERNELS / f"isa_{isa}.c"
    return Extension(
        f"nncore._kernels._isa_{isa}", [str(source)], depends=included(source), include_dirs=[str(KERNELS)],
        extra_compile_args=FLAGS + ISA_FLAGS[isa], optional=isa != "baseline",
    )  # fmt: skip


def compiles_with(compiler, flags: list[str]) -> bool:
    """Does the compiler take these flags and find what they need?"""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.c"
        source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
        try:
            objects = compiler.compile([str(source)], output_dir=folder, extra_postargs=flags)
            compiler.link_shared_object(objects, str(Path(folder) / "probe.so"), extra_postargs=flags)
        except Exception:
            return False
    return True


def strict(compiler) -> None:
    """From here on, warnings are errors, except in the C that Cython writes."""
    compile_one = compiler._compile

    def compile_strictly(obj, src, ext, cc_args, extra_postargs, pp_opts):
        flags = [] if Path(src).name == "program.c" else ["-Wall", "-Wextra", "-Werror"]
        compile_one(obj, src, ext, cc_args, [*extra_postargs, *flags], pp_opts)

    compiler._compile = compile_strictly


class BuildExtensions(build_ext):
    """Adds OpenMP to the executor where the compiler has it, and compiles for an editable install only what has changed."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.editable_mode:
            self.build_lib, self.build_temp = "build/editable", "build/editable/temp"

    def build_extensions(self) -> None:
        wanted = os.environ.get("NNCORE_OPENMP", "1")
        if wanted not in ("0", "1"):
            raise SystemExit(f"NNCORE_OPENMP must be 0 or 1, got {wanted!r}")
        openmp = ["-fopenmp"]
        if wanted == "1" and compiles_with(self.compiler, openmp):
            for extension in self.extensions:
                if extension.name.endswith(".program"):
                    extension.extra_compile_args += openmp
                    extension.extra_link_args += openmp
        else:
            print("warning: no OpenMP: nncore will run on one thread", file=sys.stderr)
        if os.environ.get("NNCORE_STRICT") == "1":
            strict(self.compiler)
        super().build_extensions()


x86 = platform.machine().lower() in ("x86_64", "amd64")
sources = [KERNELS / name for name in ("program.pyx", "executor.c", "members.c", "shuffle.c")]
boundary = Extension(
    "nncore._kernels.program", list(map(str, sources)), depends=included(*sources), include_dirs=[str(KERNELS)],
    extra_compile_args=["-std=gnu11", "-O3", "-g0", *QUIET],
)  # fmt: skip
kernels = [kernel_extension(isa) for isa in ISA_FLAGS if x86 or isa == "baseline"]
setup(ext_modules=[boundary, *kernels], cmdclass={"build_ext": BuildExtensions})
