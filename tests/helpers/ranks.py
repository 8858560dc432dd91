"""Ranks without MPI: a thread each, and a communicator that hands arrays from one to the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
T = TypeVar("T")

PATIENCE = 60.0  # seconds: a rank that does not come is an error, not a test that hangs


class World:
    """What the ranks share: a table in which each leaves what it gives, and a barrier."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = threading.Barrier(size)
        self.given: list[Any] = [None] * size
        self.calls: list[list[str]] = [[] for _ in range(size)]


class Comm:
    """A rank's end of it: the methods of mpi4py's communicators that nncore uses."""

    def __init__(self, world: World, rank: int) -> None:
        self.world, self.rank = world, rank

    def Get_rank(self) -> int:
        return self.rank

    def Get_size(self) -> int:
        return self.world.size

    def Dup(self) -> Comm:
        return self

    def Free(self) -> None:
        pass

    def Allgather(self, sent: Array, received: Array) -> None:
        blocks = received.reshape(self.world.size, -1)
        for rank, block in enumerate(self._exchange("Allgather", sent.copy().reshape(-1))):
            assert block.nbytes == blocks[rank].nbytes
            blocks[rank] = block

    def Allgatherv(self, sent: Array, received: list[Any]) -> None:
        flat = received[0].reshape(-1)
        counts = received[1]
        places = [0, *np.cumsum(counts)[:-1].tolist()]
        for rank, block in enumerate(self._exchange("Allgatherv", sent.copy().reshape(-1))):
            assert block.size == counts[rank]
            assert block.dtype == flat.dtype
            flat[places[rank] : places[rank] + counts[rank]] = block

    def Sendrecv(self, sent: Array, to: int, tag: int, received: Array, source: int, received_tag: int) -> None:
        """All ranks call it together."""
        assert tag == received_tag
        assert self.rank not in (to, source)
        goal, block = self._exchange("Sendrecv", (to, sent.copy()))[source]
        assert goal == self.rank
        assert (block.shape, block.dtype) == (received.shape, received.dtype)
        received[...] = block

    def _exchange(self, name: str, given: Any) -> list[Any]:
        """What all ranks give, which must make the same call."""
        world = self.world
        world.calls[self.rank].append(name)
        world.given[self.rank] = name, given
        world.barrier.wait(PATIENCE)
        every = list(world.given)
        world.barrier.wait(PATIENCE)
        assert {call for call, _ in every} == {name}
        return [one for _, one in every]


def on_ranks(size: int, work: Callable[[Comm], T]) -> list[T]:
    """The results of ``work`` on each rank, in a thread of its own; raises the first error, of the lowest rank."""
    results = outcomes(size, work)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def outcomes(size: int, work: Callable[[Comm], T]) -> list[Any]:
    """The result of each rank, or the error that it raised."""
    world = World(size)
    results: list[Any] = [None] * size

    def run(rank: int) -> None:
        try:
            results[rank] = work(Comm(world, rank))
        except BaseException as error:
            results[rank] = error

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
        assert not thread.is_alive(), "a rank waits for ever"
    return results
