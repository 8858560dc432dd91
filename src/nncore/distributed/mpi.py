"""What ``fit(distributed=...)`` takes: the processes, and the shards into which batches are cut."""

from __future__ import annotations

from typing import Any

from nncore._messages import shown
from nncore._utils.fields import count

__all__ = ["MPI"]

METHODS = ("Get_rank", "Get_size", "Dup", "Free", "Allgather", "Allgatherv", "Sendrecv")
MISSING = (
    "nn.distributed.MPI needs mpi4py and an MPI library: pip install 'nncore-learn[mpi]' for both on one machine; on a cluster "
    "pip install mpi4py, which uses the MPI library there"
)


class MPI:
    """Train on several processes, synchronously: ``trainer.fit(X, y, distributed=nn.distributed.MPI(shards=8))``.

    Every process (*rank*) runs the same program, ``mpiexec -n 4 python train.py``, on the same data. Each batch is cut into a
    fixed number of shards of consecutive rows, and each rank computes the gradients of some of them: rank r of R those of the
    shards ⌊S r / R⌋ to ⌊S (r + 1) / R⌋ − 1. All gradients are added along a fixed binary tree over the shards, and each rank
    takes the same step. So **the bits do not depend on the number of ranks**, which may be any from 1 to ``shards``, as long as
    all of them use the same instruction set; and a checkpoint may be continued on another number of ranks.

    Parameters
    ----------
    shards : int
        S, at least the number of ranks. Another number is another training, whose sums are rounded differently; with
        batch normalization, which has the statistics of each shard, that is more than rounding. A power of two that is a
        multiple of the number of ranks is best.
    comm : mpi4py.MPI.Comm, optional
        The ranks; default ``MPI.COMM_WORLD``. ``fit`` works on a duplicate.

    Attributes
    ----------
    rank, size : int
        The number of this process, from 0, and that of all.

    Raises
    ------
    ImportError
        Without mpi4py or an MPI library.
    ValueError
        If there are more ranks than shards.

    See Also
    --------
    Trainer.fit : what is different there.

    Notes
    -----
    A step exchanges some numbers (whether all go on, the losses), then the gradient: each rank receives the same slice of θ
    of all gradients, adds them up, and sends the sum to all. Every rank sends and receives 2 n (R − 1) / R numbers for n
    parameters. No reduction of the MPI library is used: their order of addition depends on the library, the number of
    ranks and the size of the message.

    Source: the tree over virtual workers is that of Li et al., EasyScale (2023), reduce-scatter and all-gather that of
    Rabenseifner: Optimization of collective reduction operations (2004).

    Examples
    --------
    ``train.py``; without ``mpiexec`` it is a training on one rank, with the same bits:

    >>> import nncore as nn
    >>> X, y = nn.data.two_spirals(400)
    >>> model = nn.Sequential([nn.Dense(32), nn.Tanh(), nn.Dense(2)], input_shape=2, seed=0)
    >>> trainer = nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=0.01))
    >>> ranks = nn.distributed.MPI(shards=4)  # doctest: +SKIP
    >>> history = trainer.fit(X, y, epochs=5, batch_size=32, verbose=0, distributed=ranks)  # doctest: +SKIP
    >>> if ranks.rank == 0:  # doctest: +SKIP
    ...     model.save("spirals.safetensors")
    """

    def __init__(self, shards: int, comm: Any = None) -> None:
        self.shards = count("shards", shards)
        if comm is None:
            comm = _world()
        if lacking := [name for name in METHODS if not hasattr(comm, name)]:
            raise TypeError(f"comm must be a communicator of mpi4py, got {shown(comm)} without {lacking[0]}")
        self.comm = comm
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())
        if self.size > self.shards:
            raise ValueError(f"shards must be at least {self.size}, the number of ranks, got {self.shards}")

    def __repr__(self) -> str:
        return f"MPI(shards={self.shards}, rank={self.rank}, size={self.size})"


def _world() -> Any:
    try:
        from mpi4py import MPI as mpi
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is no MPI library
        raise ImportError(f"{MISSING}: {error}") from error
    return mpi.COMM_WORLD
