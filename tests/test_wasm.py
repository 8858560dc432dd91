"""The programs of the first page in C (docs/wasm.py), compiled for this machine: they train as Python does."""

from __future__ import annotations

import ctypes
import importlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nncore import _kernels

DOCS = Path(__file__).parents[1] / "docs"
FLAGS = ["-std=gnu99", "-O2", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-w", "-shared", "-fPIC"]
EPOCHS = 20
ARM, MINGW = "aarch64-linux-gnu-gcc", "x86_64-w64-mingw32-gcc"
WINE = shutil.which("wine64", path=os.pathsep.join([os.defpath, "/usr/lib/wine"])) or ""  # Debian's is not in the path


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("live")


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_program_in_c_trains_as_python_does(live: Any, tmp_path: Path) -> None:
    text, program = live.programs()
    (tmp_path / "programs.h").write_text(text)
    command = [
        "cc",
        *FLAGS,
        f"-I{live.wasm.KERNELS}",
        f"-I{tmp_path}",
        str(DOCS / "live/live.c"),
        "-o",
        str(tmp_path / "live.so"),
    ]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(tmp_path / "live.so"))

    trainer, (X, y) = live.trainer(), live.DATA["two spirals"]
    trainer.fit(X, y, epochs=EPOCHS, batch_size=live.BATCH, verbose=0)
    steps = EPOCHS * program["constants"]["EPOCH"]
    assert library.train_steps(0, steps // 2 + 1) == steps // 2 + 1  # a call may end within an epoch
    assert library.train_steps(steps // 2 + 1, steps) == steps - steps // 2 - 1
    library.at_parameters.restype = ctypes.POINTER(ctypes.c_float)
    theta = np.ctypeslib.as_array(library.at_parameters(), (trainer.model.parameters.size,))
    if _kernels.isa_name == "baseline":  # the same instructions, so the same bits
        np.testing.assert_array_equal(theta, trainer.model.parameters)
    np.testing.assert_allclose(theta, trainer.model.parameters, atol=1e-4)


def test_arrays_that_overlap_stay_together(live: Any) -> None:
    whole = np.arange(20.0)
    memory = live.wasm.Memory([whole[:5], whole[3:], np.zeros(3)])
    assert memory.text().count("static") == 2
    block, offset = memory.at(whole[:5]).split(" + ")
    assert memory.at(whole[3:]) == f"{block} + {int(offset) + 24}"


def test_the_page_without_the_compiler(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.wasm.importlib.util, "find_spec", lambda name: None)
    assert live.script() is None


def as_a_program(live: Any, folder: Path, compiler: str, threads: int, runner: list[str]) -> Any:
    """θ after the training, of a program that another machine runs."""
    text, program = live.programs()
    (folder / "programs.h").write_text(text)
    (folder / "main.c").write_text(
        '#include <stdio.h>\n#include "live.c"\n'
        f"int main(void) {{ train_steps(0, {EPOCHS * program['constants']['EPOCH']});"
        " const unsigned *theta = at_parameters();"
        f' for (int i = 0; i < {live.trainer().model.parameters.size}; i++) printf("%x\\n", theta[i]); return 0; }}\n'
    )
    folders = [f"-I{path}" for path in (live.wasm.KERNELS, DOCS / "live", folder)]
    flags = [*(flag for flag in FLAGS if flag not in ("-shared", "-fPIC")), "-static", "-fopenmp", "-D_GNU_SOURCE"]
    subprocess.run(
        [compiler, *flags, f"-DTHREADS={threads}", *folders, str(folder / "main.c"), "-o", str(folder / "main.exe"), "-lm"],
        check=True,
    )
    done = subprocess.run([*runner, str(folder / "main.exe")], capture_output=True, check=True, timeout=100)
    return np.array([int(word, 16) for word in done.stdout.split()], dtype="<u4").view("<f4")


def trained(live: Any) -> Any:
    """The same by Python."""
    trainer, (X, y) = live.trainer(), live.DATA["two spirals"]
    trainer.fit(X, y, epochs=EPOCHS, batch_size=live.BATCH, verbose=0)
    return trainer.model.parameters


@pytest.mark.skipif(not all(map(shutil.which, (ARM, "qemu-aarch64"))), reason="needs a cross compiler and QEMU")
def test_program_in_c_trains_on_aarch64(live: Any, tmp_path: Path) -> None:
    """The kernels without AVX, compiled for AArch64."""
    one, three = (as_a_program(live, tmp_path, ARM, threads, ["qemu-aarch64"]) for threads in (1, 3))
    np.testing.assert_allclose(one, trained(live), atol=1e-4)
    np.testing.assert_array_equal(three, one)


@pytest.mark.skipif(not (shutil.which(MINGW) and WINE), reason="needs a cross compiler and Wine")
def test_program_in_c_trains_on_windows(live: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There, waiting threads yield instead of sleeping. The bits are those of this machine without AVX."""
    monkeypatch.setenv("WINEPREFIX", str(tmp_path / "wine"))
    monkeypatch.setenv("WINEDEBUG", "-all")
    here = as_a_program(live, tmp_path, "cc", 1, [])
    np.testing.assert_allclose(here, trained(live), atol=1e-4)
    for threads in (1, 3):
        np.testing.assert_array_equal(as_a_program(live, tmp_path, MINGW, threads, [WINE]), here)
