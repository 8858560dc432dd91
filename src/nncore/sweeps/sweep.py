"""sweep: many trainings with different parameters, in one call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nncore import _kernels
from nncore._messages import shown
from nncore._utils.arrays import several
from nncore._utils.checks import row_count
from nncore._utils.fields import choice, count, function
from nncore._utils.hints import warn
from nncore.ensemble.subsets import Folds
from nncore.history import larger_is_better
from nncore.sweeps.best_model import BestModel
from nncore.sweeps.halving import SuccessiveHalving
from nncore.sweeps.loops import Feed, Sink, run_by_joblib, run_in_threads
from nncore.sweeps.run import Fold, Job, Run, Work, takes_seed
from nncore.sweeps.sources import Asked, Halved, Plain, Source, tasks
from nncore.sweeps.space import parameters_of
from nncore.sweeps.store import Store, fingerprint
from nncore.sweeps.table import SweepTable

__all__ = ["sweep"]

MONITORS = ("val_loss", "score", "train_score", "loss", "running_loss")


def sweep(
    make: Callable[..., Any], space: Any, X: Any = None, y: Any = None, *, runs: int | None = None,
    seeds: int | Sequence[int] = 1, folds: Any = None, validation_data: tuple[Any, ...] | None = None, monitor: str = "auto",
    mode: str = "auto", halving: SuccessiveHalving | None = None, file: Any = None, name: str | None = None,
    threads: int | None = None, backend: str = "threads", keep: str = "none", callbacks: Callable[[], Any] | None = None,
    seed: int = 0, verbose: int = 1, **fit: Any,
) -> SweepTable:  # fmt: skip
    """Train with many parameters: grids, draws, seeds and folds, on all cores; the result is a table.

    Parameters
    ----------
    make : function
        ``make(**parameters)`` returns a `Trainer`, or an estimator with ``fit`` and ``score``; it gets ``seed=…`` too if it
        takes that. Without data it returns the results of a run, a mapping of names to numbers. The parameters are copies, made
        for this run, so that a training may change an optimizer or a layer among them.
    space : mapping, list of mappings, or suggestions
        A grid (lists), distributions of ``scipy.stats`` to draw ``runs`` candidates from, or the candidates themselves. Or
        another program's suggestions: an object with ``ask()`` and ``tell(trial, value)``, whose trials are mappings or have
        ``params``; of Optuna ``(study, distributions)``. It is told the median over the runs of a candidate of their best
        ``monitor``, as the table has it: runs without a result count as the worst, and of two in the middle the worse is taken.
        Where no finite value comes of that nothing is told, and Optuna's trial is one that failed. Where ``monitor`` is better
        when larger, as a score, take ``optuna.create_study(direction="maximize")``.
    X, y : the data of ``fit``
    runs : int, optional
        Candidates to draw or to ask for.
    seeds : int or sequence of int
        Each candidate is run with each of these seeds; a number n stands for 0 … n − 1.
    folds : int, `Folds` or scikit-learn splitter, optional
        Each candidate is trained on each fold's training rows and validated on the others, with their ``sample_weight`` if
        there is one.
    validation_data : (X, y) or (X, y, sample_weight), optional
        What runs are validated on instead.
    monitor, mode : str
        The column that decides, and whether it is better when smaller ("min") or larger ("max"). "auto": the first of
        ``val_loss``, the score of an estimator, ``loss`` and the running loss that all runs have, or the first column that a
        function returns; a score and the columns that `History.best` knows are better when larger, others when smaller. If
        the runs have no column in common, as gradient steps and `nncore.second_order` without validation, a warning says so.
        ``val_loss`` contains penalties: candidates whose penalties differ are compared by a metric, such as
        ``"val_accuracy"``, or ``"val_mean_squared_error"`` with ``metrics=["mean_squared_error"]``.
    halving : SuccessiveHalving or ASHA, optional
        Goes on only with the runs that are worth it. For trainers on threads, in whose memory a run waits to go on; for several
        processes start the same sweep with the same file in each. Without callbacks: each rung is a call of ``fit``, at whose
        end a callback would see an end of training. Early stopping is what halving itself does.
    file : path, optional
        A SQLite file that gets each result as it comes. Called again with the same file and arguments, a sweep runs only what
        is missing; several processes may share the file, and each run is made once. A process that is killed loses the runs
        under way. The file of another sweep is refused: one with other data, other arguments of ``fit``, or another ``make``,
        told by its code and all values and functions that it uses; those of installed packages count by their names.
        A halved run that goes on after a restart, or in another process, is trained anew up to where it was, to the same bits.
    name : str, optional
        Stands for ``make`` and ``callbacks`` in the file, where they cannot be compared or change without an effect: give
        another name when they change in earnest.
    threads : int, optional
        Runs at the same time, each on one thread; default `get_num_threads`.
    backend : str, default "threads"
        "threads" share memory, and the compiled steps hold no lock of Python. Another name is a backend of joblib: "loky" for
        processes, "dask" or "ray" for the cluster that is connected. The results are the same bits, wherever a run was made
        with the same instruction set.
    keep : {"none", "best", "all"}
        Which trained models or estimators are kept, as ``model`` of their runs: "best" is that of `SweepTable.best`. Not in
        files.
    callbacks : function, optional
        Returns new callbacks for each run: ``lambda: [nn.EarlyStopping(patience=5)]``.
    seed : int
        Of draws and folds.
    verbose : {0, 1}
        1 shows the progress with the time left and the best result so far, on a terminal or in a notebook.
    **fit
        Arguments of ``fit``, such as ``epochs``, ``batch_size`` or ``validation_split``.

    Returns
    -------
    SweepTable
        A row for each run. One that diverges or raises is a row that says so; it is not tried again. What ends a program,
        as SystemExit, ends the sweep.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit together, before anything is run; for a ``monitor`` of halving that is no column of the
        history, and for an optimizer that cannot go on, after the first rung of a run; for a study of the other direction after
        its first result.

    Notes
    -----
    Ctrl-C ends the runs under way after their epochs, and the table so far is returned; pressed twice, it raises
    KeyboardInterrupt, with the results so far in ``file``. Results depend neither on the number of threads nor on the order in
    which runs end; with `ASHA` and with suggestions, which runs there are does.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> def make(lr, units, seed):
    ...     model = nn.Sequential([nn.Dense(units), nn.Tanh(), nn.Dense(2)], input_shape=2, seed=seed)
    ...     return nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=lr), seed=seed)
    >>> table = nn.sweep(make, {"lr": [1e-4, 0.03], "units": [8]}, X, y, seeds=3, folds=4, epochs=20, verbose=0)
    >>> len(table), table.best().parameters
    (24, {'lr': 0.03, 'units': 8})
    """
    function("make", make)
    if callbacks is not None:
        function("callbacks", callbacks)
    halving = None if halving is None else _checked_halving(halving, callbacks)
    keep, backend = choice("keep", keep, ("none", "best", "all")), _checked_backend(backend, halving, space)
    seed, seed_list = count("seed", seed, 0), _seeds(seeds)
    if X is None:
        _check_no_data(y=y, folds=folds, validation_data=validation_data, halving=halving, callbacks=callbacks, **fit)
    data = None if X is None else _folds(X, y, folds, validation_data, fit, seed)
    if folds is not None:
        fit.pop("sample_weight", None)  # it is that of the folds
    work = Work(make, data, dict(fit), callbacks, keep != "none")
    seeded = takes_seed(make)
    if len(seed_list) > 1 and not seeded:
        raise ValueError(f"make must take seed for several seeds, got {shown(make)}")
    number = None if data is None or folds is None else len(data)
    threads = _kernels.get_num_threads() if threads is None else count("threads", threads)
    validates = validation_data is not None or folds is not None or bool(fit.get("validation_split"))
    judge = _Judge(monitor, mode, ("val_loss" if validates else "running_loss") if halving else "")

    def jobs_of(candidates: Sequence[Mapping[str, Any]], first: int = 0) -> list[Job]:
        return [Job(work, task, seeded) for task in tasks(candidates, seed_list, number, first)]

    source: Source
    jobs: list[Job] = []
    if hasattr(space[0] if isinstance(space, tuple) and space else space, "ask"):
        if runs is None:
            raise ValueError("runs must be the number of candidates to ask for, got None")
        source = Asked(space, count("runs", runs), lambda first, one: jobs_of([one], first), judge)
    else:
        jobs = jobs_of(parameters_of(space, runs, seed))
        epochs = count("epochs", fit.get("epochs", 1)) if halving else 0
        source = Halved(jobs, halving, epochs, judge.monitor, judge.mode) if halving else Plain(jobs)
    models = BestModel(len(seed_list) * (number or 1), judge.score) if keep == "best" else None
    sink = Sink(source.total, judge.value, judge.score, models, verbose)
    store = None
    if file is not None:
        for job in jobs:
            _ = job.task.key  # refused before the file is made if it has none, and made before a run changes its parameters
        chosen = {"halving": halving, "monitor": judge.monitor, "mode": judge.mode} if halving else {}
        store = Store(file, fingerprint(work, name, chosen))
    try:
        (run_in_threads if backend == "threads" else run_by_joblib)(Feed(source, sink, store), threads, backend)
    finally:
        sink.close()
        if store is not None:
            store.close()
    runs_done = sorted(sink.runs, key=lambda run: run.number)
    for run in runs_done:
        judge.see(run)
    judge.warn_of_others(runs_done)
    return SweepTable(runs_done, judge.monitor, judge.mode)


def _check_no_data(**given: Any) -> None:
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise ValueError(f"{names[0]} needs X, got none: without data make gets the parameters alone and returns the results")


class _Judge:
    """Which column decides, as far as it is known from the runs seen so far, and in which direction.

    One that all runs have, so that they can be compared; if there is none, one that some have.
    """

    def __init__(self, monitor: str, mode: str, expected: str) -> None:
        if not isinstance(monitor, str):
            raise TypeError(f"monitor must be the name of a column, got {shown(monitor)}")
        self._given, self._mode = expected if monitor == "auto" else monitor, choice("mode", mode, ("auto", "min", "max"))
        self._of_some: dict[str, None] = {}  # the columns that there are, in their order
        self._of_all: list[str] | None = None  # those that all runs have

    def see(self, run: Run) -> None:
        """Take account of the columns of a run that has a result."""
        if run.values:
            self._of_some |= dict.fromkeys(run.values)
            before = run.values if self._of_all is None else self._of_all
            self._of_all = [name for name in before if name in run.values]

    @property
    def monitor(self) -> str:
        if self._given:
            return self._given
        names = self._of_all or self._of_some
        return next((name for name in MONITORS if name in names), next(iter(names), "loss"))

    @property
    def mode(self) -> str:
        return self._mode if self._mode != "auto" else _direction(self.monitor)

    def value(self, run: Run) -> float:
        """The best value of a run, NaN without one."""
        self.see(run)
        return run.best(self.monitor, self.mode)

    def score(self, run: Run) -> float:
        """The smaller the better."""
        value = self.value(run)
        if not math.isfinite(value):
            return math.inf
        return -value if self.mode == "max" else value

    def warn_of_others(self, runs: Iterable[Run]) -> None:
        """Say so if runs cannot be compared, as those of optimizers that report different losses."""
        others = [run for run in runs if run.values and self.monitor not in run.values]
        if others and not self._given:
            warn(
                f"the runs have no column in common to be judged by: {len(others)} have no {self.monitor}, the first "
                f"{', '.join(others[0].values)}. Give monitor=, data for validation, or exact_loss=True"
            )


def _direction(column: str) -> str:
    if column in ("score", "train_score"):
        return "max"
    try:
        return "max" if larger_is_better(column, "auto") else "min"
    except ValueError:
        return "min"


def _seeds(seeds: Any) -> list[int]:
    if not several(seeds):
        return list(range(count("seeds", seeds)))
    found = [count(f"seeds[{place}]", one, 0) for place, one in enumerate(seeds)]
    if not found:
        raise ValueError("seeds must have at least one, got none")
    return found


def _checked_halving(halving: Any, callbacks: Any) -> SuccessiveHalving:
    if not isinstance(halving, SuccessiveHalving):
        raise TypeError(f"halving must be SuccessiveHalving or ASHA, got {shown(halving)}")
    if callbacks is not None:
        raise ValueError("halving and callbacks exclude each other: a callback would see an end of training at each rung")
    return halving


def _checked_backend(backend: Any, halving: Any, space: Any) -> str:
    if not isinstance(backend, str) or not backend:
        raise TypeError(f"backend must be 'threads' or the name of a backend of joblib, got {shown(backend)}")
    if backend != "threads" and (halving is not None or hasattr(space, "ask") or isinstance(space, tuple)):
        raise ValueError(
            "backend must be 'threads' with halving or suggestions, which go on with runs: for several processes start the "
            f"same sweep in each, with the same file; got {shown(backend)}"
        )
    return backend


def _folds(X: Any, y: Any, folds: Any, validation: Any, fit: Mapping[str, Any], seed: int) -> list[Fold]:
    """The data of each fold, copied once for all runs; without folds the data themselves."""
    if validation is not None and (not isinstance(validation, (tuple, list)) or len(validation) not in (2, 3)):
        raise ValueError(f"validation_data must be a pair (X, y) or (X, y, sample_weight), got {shown(validation)}")
    given = {"folds": folds is not None, "validation_data": validation is not None}
    given["validation_split"] = bool(fit.get("validation_split"))
    if sum(given.values()) > 1:
        names = [name for name, there in given.items() if there]
        raise ValueError(f"{' and '.join(names)} exclude each other, got both")
    if folds is None:
        return [Fold(X, y, None if validation is None else tuple(validation))]
    n, weights = row_count("X", X), fit.get("sample_weight")
    for name, rows in (("y", y), ("sample_weight", weights)):
        if rows is not None and (own_rows := row_count(name, rows)) != n:
            raise ValueError(f"{name} must have as many rows as X, {n}, got {own_rows}")
    if hasattr(folds, "split"):
        pairs = (tuple(pair) for pair in folds.split(X, y))  # used one by one, as the arrays of all may be the same
    else:
        own = folds if isinstance(folds, Folds) else Folds(count("folds", folds, 2), seed)
        if own.folds > n:
            raise ValueError(f"folds must be at most the number of rows, {n}, got {own.folds}")
        trained = (own.rows(fold, n) for fold in range(own.folds))
        pairs = ((train, np.setdiff1d(np.arange(n), train)) for train in trained)
    own_weights = () if weights is None else (weights,)
    return [
        Fold(
            _rows(X, train), _rows(y, train), tuple(_rows(data, held) for data in (X, y, *own_weights)),
            None if weights is None else _rows(weights, train),
        )
        for train, held in pairs
    ]  # fmt: skip


def _rows(data: Any, rows: Any) -> Any:
    """These rows of an array, a sparse matrix, a data frame or a list."""
    if data is None:
        return None
    if hasattr(data, "iloc"):
        return data.iloc[rows]
    if hasattr(data, "column_names"):  # a table of pyarrow
        return data.take(rows)
    return data[rows] if hasattr(data, "shape") else np.asarray(data)[rows]
