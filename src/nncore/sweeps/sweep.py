"""sweep: many trainings with different parameters, in one call."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from nncore import _kernels
from nncore._messages import shown
from nncore._utils.fields import choice, count
from nncore._utils.interrupt import Interrupt
from nncore.ensemble.subsets import Folds
from nncore.history import larger_is_better
from nncore.sweeps.halving import SuccessiveHalving
from nncore.sweeps.run import Job, Run, Task, Work
from nncore.sweeps.sources import Asked, Halved, Plain, Source, Step, tasks
from nncore.sweeps.space import parameters_of
from nncore.sweeps.store import Store, fingerprint
from nncore.sweeps.table import SweepTable

__all__ = ["sweep"]

PATIENCE = 0.05  # seconds between two looks at Ctrl-C
MONITORS = ("val_loss", "score", "train_score", "running_loss", "loss")


def sweep(
    make: Callable[..., Any], space: Any, X: Any = None, y: Any = None, *, runs: int | None = None,
    seeds: int | Sequence[int] = 1, folds: Any = None, validation_data: tuple[Any, Any] | None = None, monitor: str = "auto",
    mode: str = "auto", halving: SuccessiveHalving | None = None, file: Any = None, threads: int | None = None,
    backend: str = "threads", keep: str = "none", callbacks: Callable[[], Any] | None = None, seed: int = 0, verbose: int = 1,
    **fit: Any,
) -> SweepTable:  # fmt: skip
    """Train with many parameters: grids, draws, seeds and folds, on all cores; the result is a table.

    Parameters
    ----------
    make : function
        ``make(**parameters)`` returns a `Trainer`, or an estimator with ``fit`` and ``score``; it gets ``seed=…`` too if it
        takes that. Without data it returns the results of a run, a mapping of names to numbers.
    space : mapping, list of mappings, or suggestions
        A grid (lists), distributions of ``scipy.stats`` to draw ``runs`` candidates from, or the candidates themselves. Or
        another program's suggestions: an object with ``ask()`` and ``tell(trial, value)``, whose trials are mappings or have
        ``params``; of Optuna ``(study, distributions)``.
    X, y : the data of ``fit``
    runs : int, optional
        Candidates to draw or to ask for.
    seeds : int or sequence of int
        Each candidate is run with each of these seeds; a number n stands for 0 … n − 1.
    folds : int, `Folds` or scikit-learn splitter, optional
        Each candidate is trained on each fold's training rows and validated on the others.
    validation_data : (X, y), optional
        What runs are validated on instead.
    monitor, mode : str
        The column that decides, and whether it is better when smaller ("min") or larger ("max"). "auto": ``val_loss``, the
        score of an estimator, the running loss, or the first column that a function returns; a score and the columns that
        `History.best` knows are better when larger, others when smaller.
    halving : SuccessiveHalving or ASHA, optional
        Goes on only with the runs that are worth it. For trainers, without callbacks.
    file : path, optional
        A SQLite file that gets each result as it comes. Called again with the same file and arguments, a sweep runs only what
        is missing; several processes may share the file, and each run is made once. A process that is killed loses the runs
        under way. The file of another sweep is refused.
    threads : int, optional
        Runs at the same time, each on one thread; default `get_num_threads`.
    backend : str, default "threads"
        "threads" share memory, and the compiled steps hold no lock of Python. Another name is a backend of joblib: "loky" for
        processes, "dask" or "ray" for the cluster that is connected. The results are the same bits, wherever a run was made
        with the same instruction set.
    keep : {"none", "best", "all"}
        Which trained models or estimators are kept, as ``model`` of their runs. Not in files.
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
        A row for each run. One that diverges or raises is a row that says so; it is not tried again.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit together, before anything is run.

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
    halving = None if halving is None else _checked_halving(halving, fit, callbacks)
    keep, backend = choice("keep", keep, ("none", "best", "all")), _checked_backend(backend, halving, space)
    seed_list = list(range(count("seeds", seeds))) if isinstance(seeds, (int, np.integer)) else [int(one) for one in seeds]
    if not seed_list:
        raise ValueError("seeds must have at least one, got none")
    data = None if X is None else _folds(X, y, folds, validation_data, seed)
    work = Work(make, data, dict(fit), callbacks, keep != "none")
    seeded = work.takes_seed()
    if len(seed_list) > 1 and not seeded:
        raise ValueError(f"make must take seed for several seeds, got {shown(make)}")
    number = None if data is None or folds is None else len(data)
    threads = _kernels.get_num_threads() if threads is None else count("threads", threads)
    validates = validation_data is not None or folds is not None or bool(fit.get("validation_split"))
    judge = _Judge(monitor, mode, ("val_loss" if validates else "running_loss") if halving else "")

    def jobs_of(candidates: Sequence[Mapping[str, Any]], first: int = 0) -> list[Job]:
        return [Job(work, task, seeded) for task in tasks(candidates, seed_list, number, first)]

    source: Source
    if hasattr(space[0] if isinstance(space, tuple) and space else space, "ask"):
        if runs is None:
            raise ValueError("runs must be the number of candidates to ask for, got None")
        source = Asked(space, count("runs", runs), lambda first, one: jobs_of([one], first), judge.value)
    elif halving is not None:
        epochs = count("epochs", fit.get("epochs", 1))
        source = Halved(jobs_of(parameters_of(space, runs, seed)), halving, epochs, judge.monitor, mode)
    else:
        source = Plain(jobs_of(parameters_of(space, runs, seed)))
    store = None
    if file is not None:
        store = Store(file, fingerprint(work, seed_list, number, {"halving": halving, "seed": seed}))
    sink = _Sink(source, judge, store, keep, verbose)
    try:
        (_run_in_threads if backend == "threads" else _run_by_joblib)(source, sink, threads, backend)
    finally:
        sink.close()
    runs_done = sorted(sink.runs, key=lambda run: run.number)
    return SweepTable(runs_done, judge.monitor_of(runs_done), judge.mode_of(runs_done))


class _Judge:
    """Which column decides, once it is known, and in which direction."""

    def __init__(self, monitor: str, mode: str, expected: str) -> None:
        self._asked, self._mode, self._expected = monitor, choice("mode", mode, ("auto", "min", "max")), expected

    @property
    def monitor(self) -> str:
        return self._expected if self._asked == "auto" else self._asked

    def monitor_of(self, runs: Iterable[Run]) -> str:
        if self.monitor:
            return self.monitor
        values = next((run.values for run in runs if run.values), {})
        return next((name for name in MONITORS if name in values), next(iter(values), "loss"))

    def mode_of(self, runs: Iterable[Run]) -> str:
        return self._mode if self._mode != "auto" else _direction(self.monitor_of(runs))

    def value(self, run: Run) -> float:
        """The best value of a run, NaN without one."""
        return run.best(self.monitor_of([run]), self.mode_of([run]))

    def score(self, run: Run) -> float:
        """The smaller the better."""
        value = self.value(run)
        if not math.isfinite(value):
            return math.inf
        return -value if self.mode_of([run]) == "max" else value


def _direction(column: str) -> str:
    if column in ("score", "train_score"):
        return "max"
    try:
        return "max" if larger_is_better(column, "auto") else "min"
    except ValueError:
        return "min"


class _Sink:
    """Collects the runs that have ended: for the table, the file, the progress line."""

    def __init__(self, source: Source, judge: _Judge, store: Store | None, keep: str, verbose: int) -> None:
        self.runs: list[Run] = []
        self.store, self._judge, self._keep = store, judge, keep
        self._best: Run | None = None
        from tqdm.auto import tqdm  # only now: it is not needed to import nncore

        count("verbose", verbose, 0, below=2)
        self._bar = tqdm(total=source.total, unit="run", leave=False, disable=None if verbose and sys.stderr else True)

    def take(self, run: Run, *, stored: bool = False) -> None:
        self.runs.append(run)
        if self.store and not stored:
            self.store.put(_task(run), run)
        self._bar.update()
        if run.failed:
            run.model = None if self._keep == "best" else run.model
            return
        if self._best is None or self._judge.score(run) < self._judge.score(self._best):
            if self._best is not None and self._keep == "best":
                self._best.model = None
            self._best = run
            self._bar.set_postfix_str(f"best {self._judge.value(run):.4g}", refresh=False)
        elif self._keep == "best":
            run.model = None

    def look(self) -> None:
        """Between two results."""
        if not self._bar.disable:
            self._bar.refresh()
        if self.store:
            self.store.beat()

    def close(self) -> None:
        self._bar.close()
        if self.store:
            self.store.close()


def _run_in_threads(source: Source, sink: _Sink, threads: int, backend: str) -> None:
    """Steps on threads of Python, of which each leaves the lock of Python while it runs compiled steps."""
    running: dict[Future[Run], Step] = {}
    places = 2 * threads if source.ahead else threads  # so that no thread waits for this one
    elsewhere: list[Step] = []  # of which another process makes the run
    with Interrupt() as interrupt:
        executor = ThreadPoolExecutor(threads, thread_name_prefix="nncore-sweep")
        try:
            while not interrupt.pressed():
                while len(running) < places and (step := source.next()) is not None:
                    known = _claimed(sink.store, step)
                    if known is None:
                        elsewhere.append(step)
                    elif isinstance(known, Run):
                        step.job.run, step.job.known = known, True
                        _report(source, sink, step)
                    else:
                        running[executor.submit(step.job, step.epochs)] = step
                if not running:
                    if not elsewhere or not _wait_for_others(source, sink, elsewhere):
                        break
                    continue
                done, _ = wait(running, timeout=PATIENCE, return_when=FIRST_COMPLETED)
                for future in done:
                    _report(source, sink, running.pop(future))
                sink.look()
            for future, step in list(running.items()):
                if future.cancel():  # not begun
                    del running[future]
                step.job.stop()
            while running and not interrupt.pressed_twice():
                done, _ = wait(running, timeout=PATIENCE, return_when=FIRST_COMPLETED)
                for future in done:
                    step = running.pop(future)
                    step.job.run.ended = "interrupted" if step.job.run.ended == "finished" else step.job.run.ended
                    sink.take(step.job.run)
        finally:
            executor.shutdown(wait=not running, cancel_futures=True)


def _report(source: Source, sink: _Sink, step: Step) -> None:
    for job in source.done(step):
        sink.take(job.run, stored=job.known)


def _claimed(store: Store | None, step: Step) -> Run | bool | None:
    """As `Store.claim`; a step that goes on with a run is this process's already."""
    if step.job.known:
        return step.job.run
    if store is None or step.job.subject is not None or step.job.run.ended:
        return True
    return store.claim(step.job.task)


def _wait_for_others(source: Source, sink: _Sink, elsewhere: list[Step]) -> bool:
    """Look at the runs of other processes; False if one of them is this process's to make now."""
    time.sleep(4 * PATIENCE)
    for step in list(elsewhere):
        known = _claimed(sink.store, step)
        if known is None:
            continue
        elsewhere.remove(step)
        if isinstance(known, Run):
            step.job.run, step.job.known = known, True
            _report(source, sink, step)
        else:  # the process that had it has died
            step.job(step.epochs)
            _report(source, sink, step)
    return True


def _run_by_joblib(source: Source, sink: _Sink, threads: int, backend: str) -> None:
    """Runs in processes or on other machines."""
    import joblib

    waiting: dict[int, Step] = {}
    while (step := source.next()) is not None:
        known = _claimed(sink.store, step)
        if isinstance(known, Run):
            step.job.run, step.job.known = known, True
            _report(source, sink, step)
        elif known:
            waiting[step.job.task.number] = step
    failures = 0
    while waiting and failures < 2:
        calls = [joblib.delayed(_remote)(step.job) for step in waiting.values()]
        try:
            with joblib.parallel_config(backend=backend, n_jobs=threads):
                for run in joblib.Parallel(return_as="generator_unordered")(calls):
                    step = waiting.pop(run.number)
                    step.job.run = run
                    _report(source, sink, step)
                    sink.look()
        except KeyboardInterrupt:
            return
        except Exception as error:  # a process that was killed takes the others of its pool with it
            failures, lost = failures + 1, error
    for step in waiting.values():
        step.job.run.ended, step.job.run.error = f"raised {type(lost).__name__}: {lost}", lost
        _report(source, sink, step)


def _remote(job: Job) -> Run:
    """In another process."""
    run = job()
    if run.error is not None:
        run.error = None  # which may not be picklable; `ended` says what it was
    return run


def _task(run: Run) -> Task:
    return Task(run.number, run.candidate, run.parameters, run.seed, run.fold)


def _checked_halving(halving: Any, fit: Mapping[str, Any], callbacks: Any) -> SuccessiveHalving:
    if not isinstance(halving, SuccessiveHalving):
        raise TypeError(f"halving must be SuccessiveHalving or ASHA, got {shown(halving)}")
    if callbacks is not None:
        raise ValueError("halving and callbacks exclude each other: a callback would see an end of training at each rung")
    return halving


def _checked_backend(backend: Any, halving: Any, space: Any) -> str:
    if not isinstance(backend, str) or not backend:
        raise TypeError(f"backend must be 'threads' or the name of a backend of joblib, got {shown(backend)}")
    if backend != "threads" and (halving is not None or hasattr(space, "ask") or isinstance(space, tuple)):
        raise ValueError(f"backend must be 'threads' with halving or suggestions, which go on with runs, got {shown(backend)}")
    return backend


def _folds(X: Any, y: Any, folds: Any, validation: Any, seed: int) -> list[tuple[Any, Any, Any]]:
    """Training data and validation data of each fold, copied once for all runs; without folds the data themselves."""
    if validation is not None and (not isinstance(validation, (tuple, list)) or len(validation) != 2):
        raise ValueError(f"validation_data must be a pair (X, y), got {shown(validation)}")
    if folds is None:
        return [(X, y, None if validation is None else tuple(validation))]
    if validation is not None:
        raise ValueError("folds and validation_data exclude each other, got both")
    n = int(X.shape[0]) if hasattr(X, "shape") else len(X)
    if hasattr(folds, "split"):
        pairs = [tuple(pair) for pair in folds.split(X, y)]
    else:
        own = folds if isinstance(folds, Folds) else Folds(count("folds", folds, 2), seed)
        if own.folds > n:
            raise ValueError(f"folds must be at most the number of rows, {n}, got {own.folds}")
        rows = [own.rows(fold, n) for fold in range(own.folds)]
        pairs = [(train, np.setdiff1d(np.arange(n), train)) for train in rows]
    return [(_rows(X, train), _rows(y, train), (_rows(X, held), _rows(y, held))) for train, held in pairs]


def _rows(data: Any, rows: Any) -> Any:
    """These rows of an array, a sparse matrix, a data frame or a list."""
    if hasattr(data, "iloc"):
        return data.iloc[rows]
    return data[rows] if hasattr(data, "shape") else np.asarray(data)[rows]
