"""The ranks of one call of ``fit``: what they tell each other, so that all go on, or all end."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore.distributed.mpi import MPI

__all__ = ["Ranks", "Shares", "checksum"]

Array = NDArray[Any]

GOES_ON, ENDED, FAILED = range(3)
TEXT = 400  # bytes of an error's message


class Shares(NamedTuple):
    """Which shards of a batch each rank computes."""

    shards: int
    size: int
    rank: int

    @property
    def bounds(self) -> list[int]:
        """The first shard of each rank, and last the number of shards."""
        return [self.shards * rank // self.size for rank in range(self.size + 1)]


class Ranks:
    """The ranks of one call of ``fit``.

    They do the same things in the same order. Whatever they exchange, they first *meet*: each says whether it goes on, has
    ended its call, or has failed and why. A rank that fails says so at the next meeting of the others, whatever that is for,
    and they raise; so no rank waits for one that does not come. A context: its end is the last meeting.

    Attributes
    ----------
    asks_to_stop : callable
        Whether this rank wants all to end, as Ctrl-C was pressed.
    stopped : bool
        Whether one of them wanted it at a meeting: then all end.
    """

    def __init__(self, distributed: MPI) -> None:
        self.shares = Shares(distributed.shards, distributed.size, distributed.rank)
        self.rank, self.size = distributed.rank, distributed.size
        self.comm = distributed.comm
        self.asks_to_stop: Callable[[], bool] = lambda: False
        self.stopped = False
        self._over = False
        self.share_sums(0, 0)

    def share_sums(self, shards: int, records: int) -> None:
        """From now on each rank also brings sums (shards, records) to a meeting."""
        fields = [("flags", "i8", 3), ("text", f"S{TEXT}"), ("sums", "f8", (shards, records))]
        own, every = np.zeros(1, fields), np.zeros(self.size, fields)
        self._sent, self._received = own.view(np.uint8), every.view(np.uint8)
        self._flags, self._text, self._sums = own["flags"][0], own["text"], own["sums"][0]
        self._all_flags, self._all_texts, self._all_sums = every["flags"], every["text"], every["sums"]

    def __enter__(self) -> Ranks:
        self.comm = self.comm.Dup()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None:
        try:
            if not self._over and error is None:
                self.meet(state=ENDED)
            elif not self._over:
                self.meet(state=FAILED, text=f"{type(error).__name__}: {error}")
        finally:
            self.comm.Free()

    def meet(
        self, sums: Array | None = None, *, value: int = 0, stops: bool = False, state: int = GOES_ON, text: str = ""
    ) -> tuple[Array, Array]:
        """Wait for all: the value (ranks,) and the sums (ranks, shards, records) that each brings.

        Raises RuntimeError if one of them has failed or ended its call.
        """
        self._flags[:] = state, stops or self.asks_to_stop(), value
        if text:
            self._text[0] = text.encode()[:TEXT]
        if sums is not None:
            self._sums[: len(sums)] = sums
        self.comm.Allgather(self._sent, self._received)
        if self._all_flags[:, :2].any():
            self.stopped |= bool(self._all_flags[:, 1].any())
            self._check(state)
        return self._all_flags[:, 2], self._all_sums

    def _check(self, state: int) -> None:
        states = self._all_flags[:, 0]
        self._over = bool((states != GOES_ON).any())
        if state == FAILED:
            return  # with its own error
        for rank in np.flatnonzero(states == FAILED):
            raise RuntimeError(f"rank {rank} ended the training: {self._all_texts[rank].decode(errors='replace')}")
        for rank in np.flatnonzero(states != state):
            goes_on, ended = (self.rank, rank) if state == GOES_ON else (rank, self.rank)
            raise RuntimeError(f"rank {ended} has ended its call of fit while rank {goes_on} goes on: all must make the same")

    def agree(self, what: str, value: int) -> None:
        """Raise ValueError on all ranks unless they have the same value."""
        values, _ = self.meet(value=value)
        if different := np.flatnonzero(values != values[0]).tolist():
            self._over = True
            raise ValueError(f"{what} must be the same on all ranks, but rank {different[0]} has another one than rank 0")

    def own_share(self, count: int) -> tuple[int, int]:
        """The first of ``count`` things that are this rank's, and the first that is not."""
        return count * self.rank // self.size, count * (self.rank + 1) // self.size

    def collect_steps(self, own: Array, steps: int, stopped: bool) -> tuple[bool, Array]:
        """The rows of all steps, of which each rank has its share; whether a rank was stopped before it had all of them."""
        self.meet(stops=stopped)
        bounds = [steps * rank // self.size for rank in range(self.size + 1)]
        return self.stopped, own if self.stopped else self.collect(own, np.diff(bounds).tolist())

    def collect(self, own: Array, lengths: list[int]) -> Array:
        """The rows (own, ...) of all ranks, one rank's after the other's; ``lengths``: how many each has."""
        every = np.empty((sum(lengths), *own.shape[1:]), own.dtype)
        width = int(np.prod(own.shape[1:], dtype=int))
        self.comm.Allgatherv(np.ascontiguousarray(own), [every, [length * width for length in lengths]])
        return every


def checksum(*arrays: Array) -> int:
    """Of the bytes of arrays."""
    value = 0
    for array in arrays:
        value = zlib.crc32(np.ascontiguousarray(array).data.cast("B") if array.size else b"", value)
    return value
