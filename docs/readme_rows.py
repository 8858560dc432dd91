"""Write the rows of the README that list classes: ``python docs/readme_rows.py``."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

from registry import classes

README = Path(__file__).parents[1] / "README.md"
ROWS = {  # title: the registry, and what else there is
    "layers": ("nncore.layers.LAYERS", "your own in Python"),
    "losses": ("nncore.losses.LOSSES", "any function of outputs and targets"),
    "optimizers": ("nncore.optimizers.OPTIMIZERS", "every hyper-parameter a number or a schedule"),
    "initializers": ("nncore.initializers.INITIALIZERS", "any function of shape, generator and dtype"),
    "schedules": ("nncore.schedules.SCHEDULES", ""),
    "samplers": ("nncore.samplers.SAMPLERS", "sample and class weights"),
    "second-order optimizers": ("nncore.second_order.OPTIMIZERS", "all of `scipy.optimize.minimize`"),
}


def row(title: str) -> str:
    """The classes of a registry, those of one file together."""
    path, more = ROWS[title]
    files = [[f"`{cls.__name__}`" for cls in group] for _, group in groupby(classes(path), lambda cls: cls.__module__)]
    return f"| {title} | {'; '.join([*map(', '.join, files), *[more] * bool(more)])} |"


def with_rows(text: str) -> str:
    """The text of the README with the rows as they should be."""
    for title in ROWS:
        text, found = re.subn(rf"^\| {title} \|.*$", lambda _, title=title: row(title), text, flags=re.MULTILINE)
        assert found == 1, title
    return text


if __name__ == "__main__":
    README.write_text(with_rows(README.read_text(encoding="utf-8")), encoding="utf-8")
