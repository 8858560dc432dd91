"""One training by several processes, on one machine or on many: see `MPI`."""

from nncore.distributed.mpi import MPI

__all__ = ["MPI"]
