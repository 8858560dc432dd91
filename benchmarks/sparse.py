"""nncore and other libraries on sparse data: nanoseconds per nonzero number and epoch, best of several rounds, in one process.

    python -m benchmarks.sparse [--rows 50000] [--rounds 5] [--only sgd,embedding] [--threads 1]

The data are `nncore.data.make_documents`. An epoch of RCV1 takes 59 million times as long. What orders, batches and copies
rows counts, as far as a library does it in its own call; checks of the data, which a call does once, are in its first epoch.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import nncore as nn
from benchmarks import limits, machine, table
from nncore.data import make_documents
from nncore.sklearn import SGDClassifier

UNITS, CLASSES = 64, 2
Run = Callable[[], float]  # trains, and returns for how many epochs

# ---- a linear model


def sgd_classifier(X: Any, y: Any, *, shuffle: bool, epochs: int = 5) -> Run:
    """scikit-learn's SGDClassifier with the logistic loss: a step for every row."""
    from sklearn.linear_model import SGDClassifier

    model = SGDClassifier("log_loss", alpha=1e-6, max_iter=epochs, tol=None, shuffle=shuffle, random_state=0)

    def run() -> float:
        model.fit(X, y)
        return epochs

    return run


def logistic_regression(X: Any, y: Any, *, solver: str, iterations: int = 10) -> Run:
    """scikit-learn's LogisticRegression; an iteration counts as an epoch, although some read the data more than once."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(solver=solver, max_iter=iterations, tol=1e-12, random_state=0)

    def run() -> float:
        with warnings.catch_warnings(action="ignore"):  # it has not converged
            model.fit(X, y)
        return float(np.ravel(model.n_iter_)[0])

    return run


def linear_svc(X: Any, y: Any, *, iterations: int = 10) -> Run:
    """liblinear's dual coordinate descent, within scikit-learn."""
    from sklearn.svm import LinearSVC

    model = LinearSVC(loss="hinge", dual=True, max_iter=iterations, tol=1e-12, random_state=0)

    def run() -> float:
        with warnings.catch_warnings(action="ignore"):
            model.fit(X, y)
        return float(model.n_iter_)

    return run


def liblinear(X: Any, y: Any) -> Run:
    """The package liblinear-official, dual logistic regression until it stops; the time of all of it counts as one epoch."""
    from liblinear.liblinearutil import parameter, problem, train

    data, options = problem(y, X.astype(np.float64)), parameter("-s 7 -q")

    def run() -> float:
        train(data, options)
        return 1

    return run


# ---- 64 units after the words


def embedding_bag(X: Any, y: Any, *, optimizer: str, batch: int) -> Run:
    """PyTorch: EmbeddingBag with sparse gradients, relu, Linear; rows in a new order each epoch, put together by SciPy.

    SparseAdam takes sparse gradients alone: the other parameters have Adam.
    """
    import torch

    torch.manual_seed(0)
    bag = torch.nn.EmbeddingBag(X.shape[1], UNITS, mode="sum", sparse=True)
    torch.nn.init.normal_(bag.weight, std=0.1)
    rest = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(UNITS, CLASSES))
    bias = torch.nn.Parameter(torch.zeros(UNITS))
    others = [bias, *rest.parameters()]
    if optimizer == "sgd":
        steps: list[Any] = [torch.optim.SGD([bag.weight, *others], lr=0.5)]
    else:
        steps = [torch.optim.SparseAdam([bag.weight], lr=1e-3), torch.optim.Adam(others, lr=1e-3, fused=True)]
    loss, rng, labels = torch.nn.CrossEntropyLoss(), np.random.default_rng(0), torch.from_numpy(y)

    def batches() -> Iterator[tuple[Any, ...]]:
        order = rng.permutation(X.shape[0])
        for first in range(0, len(order), batch):
            chosen = order[first : first + batch]
            rows = X[chosen]
            yield *map(torch.from_numpy, (rows.indices, rows.indptr[:-1], rows.data)), labels[chosen]

    def run() -> float:
        for columns, starts, values, classes in batches():
            for each in steps:
                each.zero_grad()
            loss(rest(bag(columns, starts, values) + bias), classes).backward()
            for each in steps:
                each.step()
        return 1

    return run


# ---- nncore


def network(X: Any, y: Any, *, units: int, optimizer: str, batch: int, threads: int, layer: type[nn.Dense]) -> Run:
    """With 64 units that of PyTorch's EmbeddingBag; every epoch in a new order. Slow ones train on a tenth of the rows."""
    optimizers: dict[str, Callable[[], nn.Optimizer]] = {
        "sgd": lambda: nn.SGD(lr=0.5), "adagrad": lambda: nn.AdaGrad(lr=0.1), "lazy_adam": lambda: nn.LazyAdam(lr=1e-3),
        "adam": lambda: nn.Adam(lr=1e-3),
    }  # fmt: skip
    share = 10 if layer is nn.Dense or optimizer == "adam" else 1
    X, y = X[: X.shape[0] // share], y[: X.shape[0] // share]
    rest = [] if units < UNITS else [nn.ReLU(), nn.Dense(CLASSES)]
    model = nn.Sequential([layer(units), *rest], input_shape=X.shape[1])
    loss = "sigmoid_cross_entropy" if units == 1 else "softmax_cross_entropy"
    trainer = nn.Trainer(model, loss, optimizers[optimizer]())
    labels = np.arange(len(y)) % units if units not in (1, UNITS) else y

    def run() -> float:
        before = nn.get_num_threads()
        nn.set_num_threads(threads)
        try:
            with warnings.catch_warnings(action="ignore"):  # that SparseDense would be faster
                trainer.fit(X, labels, epochs=1, batch_size=batch, verbose=0)
        finally:
            nn.set_num_threads(before)
        return 1 / share

    return run


def own(X: Any, y: Any, *, shuffle: bool, average: bool = False, epochs: int = 5) -> Run:
    """nncore's SGDClassifier: a step for every row."""
    model = SGDClassifier("log_loss", alpha=1e-6, max_iter=epochs, tol=None, shuffle=shuffle, average=average, random_state=0)

    def run() -> float:
        model.fit(X, y)
        return epochs

    return run


NETWORKS = [
    (1, "sgd", 32), (1, "sgd", 256), (1, "adagrad", 256), (20, "sgd", 256), (UNITS, "sgd", 128), (UNITS, "sgd", 256),
    (UNITS, "lazy_adam", 128), (UNITS, "lazy_adam", 256), (UNITS, "adam", 256),
]  # fmt: skip
DENSE = [(1, 256), (UNITS, 256)]  # whose rows are written out

RIVALS: dict[str, Callable[[Any, Any], Run]] = {
    **{
        f"nncore, {layer.__name__}({units}), {optimizer} @ {batch}, {threads} thread{'s' * (threads > 1)}": partial(
            network, units=units, optimizer=optimizer, batch=batch, threads=threads, layer=layer
        )
        for layer, units, optimizer, batch in [
            *((nn.SparseDense, *network) for network in NETWORKS),
            *((nn.Dense, units, "sgd", batch) for units, batch in DENSE),
        ]
        for threads in (1, 2)
    },
    "nncore SGDClassifier, in order": lambda X, y: own(X, y, shuffle=False),
    "nncore SGDClassifier, shuffled": lambda X, y: own(X, y, shuffle=True),
    "nncore SGDClassifier, averaged": lambda X, y: own(X, y, shuffle=True, average=True),
    "SGDClassifier, in order": lambda X, y: sgd_classifier(X, y, shuffle=False),
    "SGDClassifier, shuffled": lambda X, y: sgd_classifier(X, y, shuffle=True),
    "LogisticRegression, lbfgs, an iteration": lambda X, y: logistic_regression(X, y, solver="lbfgs"),
    "LogisticRegression, liblinear, an iteration": lambda X, y: logistic_regression(X, y, solver="liblinear"),
    "LogisticRegression, saga, an epoch": lambda X, y: logistic_regression(X, y, solver="saga"),
    "LinearSVC, an iteration": linear_svc,
    "liblinear-official, in all": liblinear,
    "torch EmbeddingBag, SGD @ 128": lambda X, y: embedding_bag(X, y, optimizer="sgd", batch=128),
    "torch EmbeddingBag, SGD @ 256": lambda X, y: embedding_bag(X, y, optimizer="sgd", batch=256),
    "torch EmbeddingBag, SparseAdam @ 128": lambda X, y: embedding_bag(X, y, optimizer="adam", batch=128),
    "torch EmbeddingBag, SparseAdam @ 256": lambda X, y: embedding_bag(X, y, optimizer="adam", batch=256),
}


def measure(names: list[str], X: Any, y: Any, rounds: int) -> dict[str, float | None]:
    """Nanoseconds per nonzero number and epoch, the best of all rounds; None for libraries that are not installed."""
    runs: dict[str, Run] = {}
    for name in names:
        try:
            runs[name] = RIVALS[name](X, y)
        except ImportError:
            continue
    best: dict[str, float | None] = dict.fromkeys(names)
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            epochs = run()
            took = (time.perf_counter() - start) / epochs / X.nnz * 1e9
            best[name] = min(took, best[name] or took)
    return best


def main(arguments: list[str] | None = None) -> None:
    """Time linear models and small networks on sparse data."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sparse", description=main.__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--words", type=int, default=47_152)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of BLAS, OpenMP and PyTorch; by default what these choose")
    parser.add_argument("--only", default="", help="comma-separated parts of names")
    asked = parser.parse_args(arguments)
    about, parts = machine.describe(), asked.only.lower().split(",")
    names = [name for name in RIVALS if any(part in name.lower() for part in parts)]
    X, y = make_documents(asked.rows, asked.words)
    if asked.threads and find_spec("torch"):
        import torch

        torch.set_num_threads(asked.threads)
    with threadpool_limits(asked.threads):
        found = measure(names, X, y, asked.rounds)
    print(machine.text(about))
    print(
        f"\n{asked.rows} rows × {asked.words}, {X.nnz / asked.rows:.1f} nonzero numbers a row, float32; load {machine.load()}\n"
    )
    print(table.render(["", "ns per nonzero and epoch"], [[name, table.number(value)] for name, value in found.items()]))
    limit = 8e9 / limits.bandwidth(threads=1)
    print(f"\nto read a number and its column, 8 bytes, from memory takes one thread {limit:.2f} ns")
    print("\nwritten to", table.save("sparse", {"machine": about, "rows": asked.rows, "nonzero": X.nnz, "ns": found}))


if __name__ == "__main__":
    main()
