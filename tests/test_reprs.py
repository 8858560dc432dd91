"""Representations: HTML tables in notebooks with the numbers of the text, and texts that any stream can print."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.initializers import INITIALIZERS
from nncore.landscapes import LANDSCAPES, Comparison, Search
from nncore.layers import LAYERS
from nncore.optimizers import OPTIMIZERS
from nncore.training.lr_find import LearningRates
from nncore.training.profiling import OpTime, Profile


class Tables(HTMLParser):
    """The cells of the tables, row by row, and the texts after them; raises for tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.notes: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "div":
            self.notes.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        else:
            assert self.open[-1] == "div"
            self.notes[-1] += data


def history(rows: int) -> nn.History:
    history = nn.History()
    for row in range(1, rows + 1):
        history.append({"loss": 1 / row, "<metric> & more": row})
    return history


def profile() -> Profile:
    ops = (
        OpTime("dense_forward", "<dense> & 1", 2e-6, 1000, 500, 1e-6, "arithmetic"),
        OpTime("relu_forward", "", 1e-6, 0, 500, 5e-7, "memory"),
    )
    return Profile(ops, {1: 4e-6, 2: 3e-6}, 32, 1e11, 1e10)


def comparison() -> Comparison:
    searches = {"<sgd>": Search(0.1, np.array([0.1, 1.0]), np.array([1.0, 2.0]))}
    return Comparison({"<sgd>": 0.1}, {"<sgd>": np.array([[2.0, 1.0], [2.0, 3.0]])}, searches, (0.1, 0.9), "Title")


def model() -> nn.Sequential:
    layers = [nn.Dense(3, name="<b>first</b>"), nn.Tanh(), nn.Dense(2)]
    return nn.Sequential(layers, input_shape=2)


SAME: dict[str, Callable[[], Any]] = {
    "history": lambda: history(3), "long history": lambda: history(40), "profile": profile, "comparison": comparison,
    "summary": lambda: model().summary(),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_html_has_the_numbers_of_the_text(name: str) -> None:
    shown = SAME[name]()
    found = Tables(shown._repr_html_())
    assert len({len(row) for row in found.rows}) == 1
    cells = [cell for row in found.rows for cell in row]
    words = " ".join([*cells, *found.notes]).split()
    lines = [line for line in repr(shown).splitlines() if set(line) != {"-"}]
    expected = " ".join(lines).replace("[40 epochs]", "40 epochs").split()
    assert sorted(set(words)) == sorted(set(expected))


def test_a_history_of_many_epochs_is_cut() -> None:
    rows = Tables(history(1000)._repr_html_()).rows
    assert [row[0] for row in rows] == ["epoch", "1", "2", "3", "4", "5", "...", "996", "997", "998", "999", "1000"]
    assert Tables(nn.History()._repr_html_()).notes == ["0 epochs"]


def test_summary() -> None:
    rows = Tables(model().summary()._repr_html_()).rows
    assert rows == [
        ["layer", "output", "parameters"], ["<b>first</b> (Dense)", "(3,)", "9"], ["tanh_1 (Tanh)", "(3,)", "0"],
        ["dense_2 (Dense)", "(2,)", "8"], ["total", "", "17"],
    ]  # fmt: skip


def test_learning_rates() -> None:
    lrs = np.geomspace(1e-4, 1.0, 9)
    falling = LearningRates(lrs, lrs, np.array([3.0, 3.0, 2.5, 1.0, 0.9, 0.8, 0.7, 2.0, 9.0]))
    found = Tables(falling._repr_html_())
    assert found.rows[1] == ["suggestion", f"{lrs[6] / 10:.3g}"]
    assert found.rows[2] == ["steepest", f"{falling.steepest:.3g}"]
    assert found.notes == ["9 steps, from 0.0001 to 1"]
    rising = LearningRates(lrs, lrs, np.arange(9.0))
    assert Tables(rising._repr_html_()).rows[1:] == [["suggestion", "none"], ["steepest", "none"]]


def test_keys_to_complete() -> None:
    assert model()._ipython_key_completions_() == ["<b>first</b>", "tanh_1", "dense_2"]
    assert all(model()[name].name == name for name in model()._ipython_key_completions_())


# Texts.


def default(cls: type) -> Any:
    """An instance with its required arguments."""
    needed = [p for p in inspect.signature(cls).parameters.values() if p.default is p.empty and p.kind < p.VAR_POSITIONAL]
    return cls(*[{"layer": nn.Dense(3), "optimizer": "sgd"}.get(p.name, 0.5 if p.name in RATES else 3) for p in needed])


RATES = ("rate", "std", "c", "value", "eta", "decay", "lr", "p")


def printed() -> dict[str, str]:
    """Everything that prints itself as more than its constructor, and all that the registries can make."""
    shown: dict[str, Any] = {name: make() for name, make in SAME.items()}
    net = model()
    X, y = nn.data.two_spirals(40)
    for exact in (500, 1):
        shown[f"curvature {exact}"] = nn.second_order.curvature(net, X, y, "softmax_cross_entropy", exact_up_to=exact)
    trainer = nn.Trainer(net, "softmax_cross_entropy")
    shown |= {
        "model": net,
        "config": nn.show_config(),
        "profile 2": trainer.profile(X, y, steps=5),
        "rates": trainer.lr_find(X, y),
    }
    for registry in (OPTIMIZERS, LAYERS, INITIALIZERS, LANDSCAPES, nn.losses.LOSSES):
        for name, cls in registry.items():
            try:
                shown[name] = default(cls)
            except (TypeError, ValueError):
                continue
    return {name: f"{value}\n{value!r}" for name, value in shown.items()}


def test_every_stream_can_print_them() -> None:
    found = printed()
    assert len(found) > 60
    assert {name: text for name, text in found.items() if not text.isascii()} == {}


def test_a_profile_on_a_stream_of_ascii() -> None:
    code = (
        "import nncore as nn; X, y = nn.data.two_spirals(40)\n"
        "print(nn.Trainer(nn.Sequential([nn.Dense(2)], input_shape=2), 'softmax_cross_entropy').profile(X, y, steps=5))"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"step of 32 rows \d+\.\d us on 1 thread", done.stdout)
