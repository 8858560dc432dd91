"""kill -9 at every moment of everything that writes files: each file is whole, and the work goes on to the same bits.

``python -m attack.kills --kills 10000 --seed 0``. Half of the kills come at a random time, half at a call of the system: before
each one in turn. After a kill each file holds what it held before or what was being written, the same write succeeds and leaves
what it would have left without the kill, and no other file stays. Linux on x86-64.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tqdm import tqdm

import nncore as nn
from attack import traced
from attack.writers import NUMBERS, WRITERS, Content, Writer, contents, left_over

SLOW = {"animation": 0.01}  # the share of the kills of a writer that takes long; of the others 1


class Attack:
    """The kills of one writer."""

    def __init__(self, name: str, folder: Path, rng: random.Random) -> None:
        self.name, self.writer, self.folder, self._rng = name, WRITERS[name], folder, rng
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self._number, self._place = 0, 0  # of the content that comes next; of the call that the next kill precedes
        self._under_way = mmap.mmap(-1, 8)
        self._write_all()

    def _write_all(self) -> None:
        """The contents without kills, and the time and the calls of a write."""
        self.wanted, self.calls = [dict.fromkeys(self.writer.files)], sys.maxsize
        self._clear()
        for _ in range(2):  # in this process: at the second time all is imported that is needed
            self._clear()
            began = time.perf_counter()
            self.writer.write(self.folder, 0)
        self._seconds = time.perf_counter() - began
        self._clear()
        for number in range(NUMBERS):
            outcome = traced.run(lambda: self.writer.write(self.folder, number), traced.every_call)  # noqa: B023 - at once
            if outcome.error:
                raise outcome.error
            self.calls = min(self.calls, len(outcome.calls))
            self.wanted.append(contents(self.writer, self.folder))
        self._clear()

    def _clear(self) -> None:
        self._number = 0
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()

    def kill(self) -> None:
        """Once, and look at what is left."""
        timed = self.counts["kills"] % 2 == 0
        killed = self._kill_at_a_time() if timed else self._kill_at_a_call()
        self.counts["kills"] += killed
        try:
            self._check()
        except Exception as error:
            self.faults.append(f"{self.name}, content {self._number}, {'timed' if timed else self._place}: {error!r}")
            self._clear()
            return
        self._number += 1
        if self._number == NUMBERS:
            self._clear()

    def _kill_at_a_time(self) -> bool:
        self._under_way[:8] = struct.pack("q", 2 * self._number)
        pid = os.fork()
        if not pid:
            self._write_on()
        while self._state() == 2 * self._number:  # it has not begun
            time.sleep(0)
        time.sleep(self._rng.uniform(0, self._seconds * (NUMBERS - self._number)))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        state = self._state()
        self._number = min(state // 2, NUMBERS - 1)
        self.counts["timed, within a write"] += state % 2
        return True

    def _state(self) -> int:
        """Twice the number of the content that comes next, and one more while it is written."""
        return int(struct.unpack("q", self._under_way[:8])[0])

    def _write_on(self) -> None:
        """In the child."""
        try:
            for number in range(self._number, NUMBERS):
                self._under_way[:8] = struct.pack("q", 2 * number + 1)
                self.writer.write(self.folder, number)
                self._under_way[:8] = struct.pack("q", 2 * number + 2)
            time.sleep(60)
        finally:
            os._exit(1)

    def _kill_at_a_call(self) -> bool:
        place = self._place
        outcome = traced.run(
            lambda: self.writer.write(self.folder, self._number), lambda number, call: traced.KILL if number == place else 0
        )
        self._place = place + 1 if outcome.killed else 0  # it was behind the last one
        self.counts["at a call"] += outcome.killed
        return outcome.killed

    def _check(self) -> None:
        before, after = self.wanted[self._number], self.wanted[self._number + 1]
        check_whole(self.writer, contents(self.writer, self.folder), before, after)
        self.counts["temporary left"] += bool(left_over(self.writer, self.folder))
        outcome = traced.run(lambda: self.writer.write(self.folder, self._number))
        if outcome.error:
            raise outcome.error
        if other := [name for name, found in contents(self.writer, self.folder).items() if found != after[name]]:
            raise AssertionError(f"after the next write {other} are not what they would be without the kill")
        if left := left_over(self.writer, self.folder):
            raise AssertionError(f"left for ever: {left}")


def check_whole(writer: Writer, found: dict[str, Content], before: dict[str, Content], after: dict[str, Content]) -> None:
    """Each file is the one before or the one after; to one that grows a part of the last line may have been added."""
    for name, held in found.items():
        old, new = before[name], after[name]
        cut = writer.adds and isinstance(held, bytes) and new.startswith(held) and held.startswith(old or b"\0")
        if held not in (old, new) and not cut:
            raise AssertionError(f"{name} is neither the file before nor the one after")


def run(names: list[str], kills: int, seconds: float | None, seed: int, folder: Path) -> list[Attack]:
    """Attack the writers in turn until there are so many kills, or for so long."""
    rng, until = random.Random(seed), time.monotonic() + (seconds or float("inf"))
    attacks = [Attack(name, folder / name, rng) for name in names]
    done = 0
    with tqdm(total=kills, unit="kill", disable=None) as bar:
        while done < kills and time.monotonic() < until:
            for attack in attacks:
                if done < kills and rng.random() < SLOW.get(attack.name, 1):
                    before = attack.counts["kills"]
                    attack.kill()
                    done += attack.counts["kills"] - before
            bar.update(done - bar.n)
    return attacks


def report(attacks: list[Attack]) -> str:
    """A row for each writer."""
    columns = ("kills", "timed, within a write", "at a call", "temporary left")
    rows: list[tuple[Any, ...]] = [("writer", *columns, "faults")]
    rows += [(a.name, *(a.counts[c] for c in columns), len(a.faults)) for a in attacks]
    rows.append(("all", *(sum(row[i] for row in rows[1:]) for i in range(1, len(columns) + 2))))
    lines = ["".join(f"{cell:<18}" if not i else f"{cell:>23}" for i, cell in enumerate(row)) for row in rows]
    return "\n".join([*lines, *[fault for attack in attacks for fault in attack.faults][:20]])


def main() -> int:
    """1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m attack.kills", description="kill -9 of everything that writes files.")
    parser.add_argument("writers", nargs="*", default=list(WRITERS), metavar="writer", help=", ".join(WRITERS))
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, help="how long at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="on the disk to write to (default: that of temporary files)")
    options = parser.parse_args()
    nn.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="nncore-kills-", dir=options.folder) as folder:
        attacks = run(options.writers, options.kills, options.seconds, options.seed, Path(folder))
    print(report(attacks))
    return int(any(attack.faults for attack in attacks))


if __name__ == "__main__":
    sys.exit(main())
