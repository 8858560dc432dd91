from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

LOOK: Final[float]
waiting: Final[dict[int, WatchedLock]]
MAX_THREADS: Final[int]
CACHE_LINE: Final[int]
FEW_IN_LANES: Final[int]
CHANNELS: Final[int]
CHUNK_BYTES: Final[int]
GROUP_STATISTICS: Final[int]
LAYER_SHIFT: Final[int]
MOMENTS: Final[int]
MOST_LANES: Final[int]
MOST_PANEL: Final[int]
SLOT_ROWS: Final[int]
STREAM_SHIFT: Final[int]
TABLE: Final[int]
TANGENTS: Final[int]

def has_openmp() -> bool: ...
def openmp_threads() -> int: ...
def cpu_supports() -> tuple[str, ...]: ...

class Declaration:
    @property
    def name(self) -> str: ...
    @property
    def arrays(self) -> tuple[str, ...]: ...
    @property
    def written(self) -> tuple[bool, ...]: ...
    @property
    def optional(self) -> tuple[bool, ...]: ...
    @property
    def sizes(self) -> tuple[str, ...]: ...
    @property
    def constants(self) -> tuple[str, ...]: ...
    @property
    def least_sizes(self) -> int: ...
    @property
    def coefficients(self) -> int: ...
    def columns(self, arrays: Sequence[Any], sizes: Sequence[int]) -> int: ...

class OpTable:
    def __init__(self, capsule: object, rest: OpTable | None = None) -> None: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    def __contains__(self, name: str, /) -> bool: ...
    def declaration(self, name: str) -> Declaration: ...

def use_table(table: OpTable) -> None: ...

class PythonOp:
    function: Callable[[int], object]
    error: BaseException | None
    def __init__(self, function: Callable[[int], object]) -> None: ...

class WatchedLock:
    @property
    def holder(self) -> int: ...
    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...
    def release(self) -> None: ...
    def renew(self) -> None: ...
    def __enter__(self) -> bool: ...
    def __exit__(self, kind: Any, error: Any, traceback: Any, /) -> None: ...

class Exclusive:
    def __new__(cls, message: str) -> Self: ...
    @property
    def held(self) -> bool: ...

class Claim:
    @property
    def taken(self) -> bool: ...
    @property
    def depth(self) -> int: ...
    def __new__(cls, message: str) -> Self: ...
    def check(self) -> int: ...
    def __enter__(self) -> None: ...
    def __exit__(self, kind: Any, error: Any, traceback: Any, /) -> None: ...

class KnownSteps:
    @property
    def rows(self) -> NDArray[np.float64]: ...
    @property
    def next(self) -> int: ...
    @property
    def known(self) -> int: ...
    @property
    def known_at(self) -> int: ...
    def __new__(cls, counts: dict[str, Any]) -> Self: ...
    def know(
        self,
        rows: NDArray[np.float64],
        products: dict[str, NDArray[Any]],
        stretch: tuple[int, int, int] | None,
        known_at: int,
        steps_per_epoch: int = 1,
    ) -> None: ...
    def continues(self, known_at: int, steps_per_epoch: int) -> bool: ...

class Switch(KnownSteps):
    def __new__(cls, counts: dict[str, Any], entered: bool) -> Self: ...

class HandSteps(KnownSteps):
    @property
    def size(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def state(self) -> dict[str, NDArray[Any]]: ...
    @property
    def variant(self) -> Any: ...
    def __new__(
        cls,
        counts: dict[str, Any],
        program: Program,
        arrays: list[Sequence[Any]],
        theta: NDArray[Any],
        gradient: NDArray[Any],
        *,
        variant: Any,
        copies: bool = False,
    ) -> Self: ...
    def step(self, theta: object, grad: object, threads: int) -> int: ...

class Program:
    @property
    def op_names(self) -> list[str]: ...
    @property
    def python_ops(self) -> list[PythonOp]: ...
    def __new__(
        cls,
        table: OpTable,
        dtype: DTypeLike,
        stages: list[Any],
        *,
        enter: int = 0,
        leave: int | None = None,
        commits: int | None = None,
        block_rows: int = 64,
        records: Sequence[NDArray[Any]] = (),
        partials: NDArray[Any] | None = None,
        notes: Sequence[NDArray[Any]] = (),
        passing: Mapping[int, NDArray[np.int64]] | None = None,
        touched: NDArray[np.int64] | None = None,
        stops: bool = False,
        exclusive: Exclusive | None = None,
        part_rows: int = 0,
        of_parts: Collection[int] = (),
        state: NDArray[Any] | None = None,
        lanes: int = 1,
        first_part: int = 0,
        part_sums: NDArray[np.float64] | None = None,
    ) -> Self: ...
    def run(
        self,
        bind: list[Any] = [],  # the default that the compiled function has
        *,
        first_step: int = 0,
        last_step: int = 1,
        examples: int,
        batch: int,
        merge: int = 0,
        origin: int = 0,
        order: NDArray[np.int64] | None = None,
        coefficients: NDArray[np.float64] | None = None,
        scale: float = 0.0,
        keep_denormals: bool = False,
        prepared: bool = False,
        step_offset: int = 0,
        examples_out: NDArray[np.float64] | None = None,
        notes_out: NDArray[np.float64] | None = None,
        op_seconds: NDArray[np.float64] | None = None,
        threads: int = 1,
        stoppable: bool = False,
        stop: Callable[[], bool] | None = None,
        known: KnownSteps | None = None,
    ) -> tuple[int, NDArray[np.float64]]: ...

def advance_counts(
    counts: dict[str, Any],
    steps: int,
    steps_per_epoch: int,
    stretch: tuple[int, int, int] | None,
    products: dict[str, float] = {},  # the default that the compiled function has
) -> None: ...
def after_fork() -> None: ...
def all_finite(array: NDArray[Any]) -> bool: ...
def are_labels(array: NDArray[np.int64], classes: int) -> bool: ...
def shuffled_orders(n: int, epochs: int, seed: int, first_epoch: int) -> NDArray[np.int64]: ...

class MemberGroup:
    programs: Final[list[Program]]
    def __new__(
        cls,
        programs: list[Program],
        arrays: list[list[NDArray[Any]]],
        *,
        rests: list[tuple[Program, NDArray[np.int64]]] = ...,
        places: list[tuple[int, int]] = ...,
        lanes: list[tuple[Program, list[NDArray[Any]]]] = ...,
    ) -> Self: ...
    @property
    def python_ops(self) -> list[PythonOp]: ...

class Members:
    def __new__(cls, groups: list[MemberGroup], most: int) -> Self: ...
    def add(
        self,
        group: int,
        *,
        kept: list[tuple[NDArray[Any], NDArray[np.int64]]],
        bound: list[tuple[NDArray[Any], NDArray[np.int64]]] = ...,
        binds: list[Any],
        examples: NDArray[np.int64],
        stores: bool = True,
        seeds: NDArray[np.uint64] | None = None,
        order_seeds: NDArray[np.uint64] | None = None,
        first_epochs: NDArray[np.int64] | None = None,
        chosen: list[NDArray[np.int64] | None] | None = None,
        orders: list[Any] | None = None,
        batch: int,
        merge: int = 0,
        epochs: int = 1,
        turn: int = 1,
        coefficients: list[NDArray[np.float64]] | None = None,
        step_offsets: NDArray[np.int64] | None = None,
        keep_examples: bool = False,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]: ...
    def run(self, threads: int, stop: Callable[[], bool] | None = None) -> tuple[NDArray[np.int64], NDArray[np.bool_]]: ...
    @property
    def steps(self) -> NDArray[np.int64]: ...
    @property
    def taken(self) -> int: ...
    @property
    def unit_sizes(self) -> list[int]: ...
