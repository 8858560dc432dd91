"""Write the Python code of README.md and the documentation to files for type checkers: ``python typed_examples.py``."""

from __future__ import annotations

import doctest
import inspect
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.rst") if not {"_build", "gallery"} & {*path.parts})


def python_blocks(text: str) -> list[str]:
    """The code blocks of a page in Markdown or reStructuredText."""
    fenced = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    directive = re.findall(r"^\.\. code-block:: python\n\n((?:(?:   .*)?\n)+)", text, re.MULTILINE)
    return fenced + [inspect.cleandoc(block) for block in directive]


def examples() -> Iterator[tuple[str, str]]:
    """File names and contents: each code block separately, and all ``>>>`` lines of a page together."""
    for path in (ROOT / "README.md", *PAGES):
        text = path.read_text(encoding="utf-8")
        name = re.sub(r"\W", "_", str(path.relative_to(ROOT).with_suffix("")))
        for number, block in enumerate(python_blocks(text), 1):
            yield f"{name}_block_{number}.py", block
        found = doctest.DocTestParser().get_examples(text)
        session = "".join(example.source for example in found if example.exc_msg is None)  # the others raise deliberately
        if session:
            yield f"{name}.py", session


# Functions on the pages have no annotations, for brevity; what is in them is checked. A session uses a name for several things.
OPTIONS = "\n# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-redefinition\n"


def write_examples(folder: Path) -> list[Path]:
    """Write the files and return their paths."""
    files = []
    for name, code in examples():
        files.append(folder / name)
        files[-1].write_text(code + OPTIONS, encoding="utf-8")
    return files


def mypy(*files: Path) -> subprocess.CompletedProcess[str]:
    """``mypy --strict`` on files that use nncore; its own types are checked elsewhere."""
    config = f"--config-file={ROOT / 'pyproject.toml'}"
    strict = ["--strict", "--follow-imports=silent", config, "--no-error-summary"]
    environment = {**os.environ, "MYPYPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, "-m", "mypy", *strict, *map(str, files)], capture_output=True, text=True, check=False,
        cwd=ROOT, env=environment,
    )  # fmt: skip


def main() -> int:
    """Check all examples; errors are printed."""
    with tempfile.TemporaryDirectory() as folder:
        done = mypy(*write_examples(Path(folder)))
    print(done.stdout + done.stderr, end="")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
