"""The programs of the first page in C (docs/wasm.py), compiled for this machine: they train as Python does."""

from __future__ import annotations

import ctypes
import importlib
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
ARM = "aarch64-linux-gnu-gcc"


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


@pytest.mark.skipif(not all(map(shutil.which, (ARM, "qemu-aarch64"))), reason="needs a cross compiler and QEMU")
def test_program_in_c_trains_on_aarch64(live: Any, tmp_path: Path) -> None:
    """The kernels without AVX, compiled for AArch64."""
    text, program = live.programs()
    trainer, (X, y) = live.trainer(), live.DATA["two spirals"]
    trainer.fit(X, y, epochs=EPOCHS, batch_size=live.BATCH, verbose=0)
    (tmp_path / "programs.h").write_text(text)
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "live.c"\n'
        f"int main(void) {{ train_steps(0, {EPOCHS * program['constants']['EPOCH']});"
        f" return fwrite(at_parameters(), 4, {trainer.model.parameters.size}, stdout) == 0; }}\n"
    )
    folders = [f"-I{path}" for path in (live.wasm.KERNELS, DOCS / "live", tmp_path)]
    flags = [*(flag for flag in FLAGS if flag not in ("-shared", "-fPIC")), "-static", *folders]
    subprocess.run([ARM, *flags, str(tmp_path / "main.c"), "-o", str(tmp_path / "main"), "-lm"], check=True)
    done = subprocess.run(["qemu-aarch64", str(tmp_path / "main")], capture_output=True, check=True)
    np.testing.assert_allclose(np.frombuffer(done.stdout, "<f4"), trainer.model.parameters, atol=1e-4)
