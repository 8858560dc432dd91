"""Models as files that other programs run: ONNX, a C header, a Python module, a JavaScript module."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import Any

from nncore._messages import shown
from nncore._utils import files
from nncore.export import c_header, javascript, onnx, python
from nncore.export.plan import plan_of

__all__ = ["WRITERS", "export"]

WRITERS = {".onnx": onnx.write, ".h": c_header.write, ".py": python.write, ".js": javascript.write}


def export(model: Any, path: str | bytes | PathLike[str]) -> None:
    """Write a file that computes what ``model.predict`` does: see `Sequential.export`."""
    if not isinstance(path, (str, bytes, PathLike)):
        raise TypeError(f"path must be a path, whose suffix tells the format, got {shown(path)}")
    target = Path(os.fsdecode(path))
    if target.suffix.lower() not in WRITERS:
        raise ValueError(f"path must end with {', '.join([*WRITERS][:-1])} or {[*WRITERS][-1]}, got {shown(str(target))}")
    files.check_target(target)
    files.write(target, WRITERS[target.suffix.lower()](plan_of(model), target.stem))
