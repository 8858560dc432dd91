"""Programs as WebAssembly: the ops that Python has compiled, written out in C and linked with the executor and their kernels.

The arrays of the programs become arrays in C, so one module holds everything and needs nothing. Of training programs those
without penalties, clipping, running statistics and ops in Python, on one thread.
"""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
import sys
import tempfile
from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import array_utils
from numpy.typing import NDArray

from nncore import _kernels
from nncore._kernels.program import CACHE_LINE
from nncore.program.compiled import Compiled
from nncore.program.ops import Op

KERNELS = Path(__file__).parents[1] / "src" / "nncore" / "_kernels"
AXES = {"rows": "NN_ROWS", "tiles": "NN_TILES", "units": "NN_TILES", "serial": "NN_WHOLE"}
FLAGS = [
    "-target", "wasm32-wasi", "-mexec-model=reactor", "-msimd128", "-std=gnu99", "-O3", "-g0", "-fno-math-errno",
    "-fno-trapping-math", "-ffp-contract=fast", "-s",
]  # fmt: skip

Array = NDArray[Any]
Bound = tuple[Op, int, Array]


class Part(NamedTuple):
    """A compiled program, and what it does not know itself."""

    name: str
    compiled: Compiled
    block_rows: int
    binds: Sequence[Bound]
    stops: bool = False

    def ops(self) -> list[tuple[Op, int, int, list[Array | None]]]:
        """Its ops with the range of their work items and their arrays, those of the data among them."""
        bound = {(op, slot): array for op, slot, array in self.binds}
        parts = self.compiled.parts
        placed = [place for stage in [*parts.before, *parts.step, *parts.after] for place in stage.placed]
        return [
            (op, first, last, [bound.get((op, slot), array) for slot, array in enumerate(op.arrays)])
            for op, first, last in placed
        ]

    def arrays(self) -> list[Array]:
        """All arrays that it reads or writes."""
        return [array for *_, arrays in self.ops() for array in arrays if array is not None] + self.compiled.parts.records


class Memory:
    """Arrays in C for those of NumPy: what overlaps lies in one of them."""

    def __init__(self, arrays: Iterable[Array]) -> None:
        self._extents: list[list[int]] = []
        for first, last in sorted(array_utils.byte_bounds(array) for array in arrays):
            if self._extents and first < self._extents[-1][1]:
                self._extents[-1][1] = max(last, self._extents[-1][1])
            else:
                self._extents.append([first, last])

    def at(self, array: Array) -> str:
        """The address of an array as an expression in C."""
        address = array.ctypes.data
        block = bisect([first for first, _ in self._extents], address) - 1
        return f"m{block} + {address - self._extents[block][0] // CACHE_LINE * CACHE_LINE}"

    def text(self) -> str:
        """The definitions, with the bytes that the arrays have now."""
        lines = []
        for n, (first, last) in enumerate(self._extents):
            content = b"\0" * (first % CACHE_LINE) + ctypes.string_at(first, last - first)
            values = ", ".join(map(str, content.rstrip(b"\0"))) or "0"
            lines.append(f"static _Alignas({CACHE_LINE}) unsigned char m{n}[{len(content)}] = {{{values}}};")
        return "\n".join(lines)


def _op(op: Op, first: int, last: int, arrays: Sequence[Array | None], memory: Memory, suffix: str) -> str:
    """An op as it is bound in ``program.pyx``."""
    names = _kernels.op_table().declaration(op.kernel).arrays
    given = [
        ("NN_TILE_TABLE" if name == "tile_table" else str(slot), array)
        for slot, (name, array) in enumerate(zip(names, arrays, strict=True))
        if array is not None
    ]

    def listed(values: Iterable[object]) -> str:
        return f"{{{', '.join(map(str, values))}}}"

    return (
        f"{{.run = op_{op.kernel}_{suffix}, .first_piece = {first}, .last_piece = {last}, "
        f".array = {listed(f'[{place}] = {memory.at(array)}' for place, array in given)}, .size = {listed(op.sizes)}, "
        f".constant = {listed(float(value).hex() for value in op.constants)}, "
        f".stride = {listed(f'[{place}] = {array.strides[0]}' for place, array in given)}, "
        f".length = {listed(f'[{place}] = {len(array)}' for place, array in given)}}},"
    )


def _program(part: Part, memory: Memory, suffix: str) -> str:
    """A program as a constant in C."""
    before, step, after, commits, records = part.compiled.parts
    stages = [*before, *step, *after]
    firsts = np.cumsum([0] + [len(stage.placed) for stage in stages]).tolist()
    name = part.name
    lines = [f"static const nn_op {name}_ops[] = {{", *(_op(*op, memory, suffix) for op in part.ops())]
    lines += ["};", f"static const nn_stage {name}_stages[] = {{"]
    lines += [
        f"{{.axis = {AXES[stage.axis]}, .first_op = {first}, .last_op = {last}, .pieces = {stage.work_items}, "
        f".checks_loss = {int(stage.completes_loss)}}},"
        for stage, first, last in zip(stages, firsts, firsts[1:], strict=False)
    ]
    enter, leave = len(before), len(before) + len(step)
    columns = ", ".join(f"(const double *)({memory.at(record)})" for record in records)
    return "\n".join([
        *lines, "};", f"static const double *const {name}_records[] = {{{columns or 'NULL'}}};",
        f"static const nn_program {name} = {{.ops = {name}_ops, .stages = {name}_stages, .enter = {enter}, .leave = {leave}, "
        f".n_stages = {len(stages)}, .commits = {enter + commits if part.stops else leave}, .block_rows = {part.block_rows}, "
        f".lanes = 1, .records = {name}_records, .n_records = {len(records)}, .last_part = NN_ALL_PARTS, "
        f".stops = {int(part.stops)}}};",
    ])  # fmt: skip


def source(parts: Sequence[Part], named: Mapping[str, Array], constants: Mapping[str, int], suffix: str = "f32") -> str:
    """Programs in C; of the named arrays, a function that tells the address."""
    memory = Memory([*named.values(), *(array for part in parts for array in part.arrays())])
    lines = [f"enum {{ {', '.join(f'{name} = {value}' for name, value in constants.items())} }};", memory.text()]
    lines += [_program(part, memory, suffix) for part in parts]
    for name, array in named.items():
        lines.append(f'__attribute__((export_name("{name}"))) void *at_{name}(void) {{ return {memory.at(array)}; }}')
    return "\n".join(lines) + "\n"


def compiled(main: Path, programs: str) -> bytes | None:
    """The module of a C file that includes ``programs.h``, these programs; None without the compiler, the package ziglang."""
    if importlib.util.find_spec("ziglang") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "programs.h").write_text(programs, encoding="utf-8")
        target = Path(folder) / "programs.wasm"
        command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, f"-I{KERNELS}", f"-I{folder}", str(main), "-o", str(target)]
        subprocess.run(command, check=True)
        return target.read_bytes()
