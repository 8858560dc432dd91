"""Nothing is kept of a use of the library: each kind of `attack.soak`, with what the process holds counted exactly.

``make soak`` has all kinds in random order for long, and measures the memory.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nncore as nn

if not sys.platform.startswith("linux"):
    pytest.skip("counts what /proc shows", allow_module_level=True)

from attack import soak

CALLS, ROUNDS = 6, 3
SMALLEST = {"blocks": 1, "objects": 1, "files": 1, "threads": 1, "mappings": 1, "heap": 1 << 10, "virtual": 1 << 8}


@pytest.fixture
def process(tmp_path: Path) -> Iterator[soak.Soak]:
    before = nn.get_num_threads()
    yield soak.Soak(tmp_path)
    nn.set_num_threads(before)


def kept(process: soak.Soak, name: str) -> list[str]:
    """What grows with each call, after each round but the first, which fills caches; a block or two come and go."""
    held, least = soak.held(), dict.fromkeys(SMALLEST, 1 << 60)
    for number in range(ROUNDS + 1):
        for seed in range(CALLS):
            getattr(process, name)(seed)
        before, held = held, soak.held()
        if number:
            least = {what: min(least[what], held[what] - before[what]) for what in least}
    return [f"{what} {least[what]}" for what in least if 2 * least[what] >= CALLS * SMALLEST[what]]


@pytest.mark.parametrize("name", sorted(soak.WEIGHTS))
def test_nothing_is_kept(process: soak.Soak, name: str) -> None:
    assert not kept(process, name)


def test_every_kind_of_use_has_a_weight() -> None:
    assert set(soak.WEIGHTS) == {name for name in vars(soak.Soak) if not name.startswith("_")}


class Leaky(soak.Soak):
    """Keeps something of each use."""

    def model(self, seed: int) -> int:
        self.everything.append(soak.model(seed))
        return 0

    def number(self, seed: int) -> int:
        self.everything.append(float(seed))
        return 0

    def file(self, seed: int) -> int:
        self.everything.append((self.folder / "file").open("w"))
        return 0

    def array(self, seed: int) -> int:
        self.everything.append(soak.X.copy())
        return 0

    def huge(self, seed: int) -> int:
        self.everything.append(nn.Sequential([nn.Dense(1 << 18)], input_shape=2))
        return 0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.everything: list[object] = []


@pytest.mark.parametrize(
    ("name", "what"),
    [("array", "heap"), ("file", "files"), ("huge", "virtual"), ("model", "objects"), ("number", "blocks")],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_is_kept_is_seen(name: str, what: str, tmp_path: Path) -> None:
    assert what in [text.split()[0] for text in kept(Leaky(tmp_path), name)]
