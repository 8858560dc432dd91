"""Linear models on sparse rows, one example after the other: nncore.sklearn.SGDClassifier beside scikit-learn's.

    python -m benchmarks.online [--rows 50000] [--rounds 5] [--threads 1]

Nanoseconds for each nonzero of an epoch: the time of a fit of five epochs less that of a fit of one, each the best of several
rounds, in which both take turns. The data are `nncore.data.make_documents`.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from sklearn import linear_model

from benchmarks import limits, machine, table
from nncore.data import make_documents
from nncore.sklearn import SGDClassifier

EPOCHS = 5
CASES: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("hinge, in order", 2, {"shuffle": False}),
    ("hinge, shuffled", 2, {}),
    ("hinge, averaged, in order", 2, {"shuffle": False, "average": True}),
    ("hinge, averaged, shuffled", 2, {"average": True}),
    ("log loss, in order", 2, {"loss": "log_loss", "shuffle": False}),
    ("log loss, shuffled", 2, {"loss": "log_loss"}),
    ("hinge, elastic net, shuffled", 2, {"penalty": "elasticnet"}),
    ("hinge, 20 classes, in order", 20, {"shuffle": False}),
    ("hinge, 20 classes, shuffled", 20, {}),
    ("log loss, 20 classes, shuffled", 20, {"loss": "log_loss"}),
)


def seconds(make: Any, X: Any, y: Any, epochs: int, options: dict[str, Any]) -> float:
    estimator = make(max_iter=epochs, tol=None, random_state=0, **options)
    start = time.perf_counter()
    estimator.fit(X, y)
    return time.perf_counter() - start


def compare(X: Any, y: Any, options: dict[str, Any], rounds: int, threads: int) -> tuple[float, float]:
    """Nanoseconds for each nonzero of both."""
    best: dict[tuple[int, int], float] = {}
    makers = (lambda **kw: SGDClassifier(n_jobs=threads, **kw)), (lambda **kw: linear_model.SGDClassifier(n_jobs=threads, **kw))
    for _ in range(rounds):
        for which, make in enumerate(makers):
            for epochs in (1, EPOCHS):
                best[which, epochs] = min(best.get((which, epochs), np.inf), seconds(make, X, y, epochs, options))
    own, theirs = (1e9 * (best[which, EPOCHS] - best[which, 1]) / (EPOCHS - 1) / X.nnz for which in (0, 1))
    return own, theirs


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    about = machine.describe()
    print(machine.text(about), end="\n\n")
    sets: dict[int, Any] = {}
    results: dict[str, tuple[float, float]] = {}
    for name, classes, options in CASES:
        if classes not in sets:
            sets[classes] = make_documents(given.rows if classes == 2 else given.rows // 4, classes=classes)
        results[name] = compare(*sets[classes], options, given.rounds, given.threads)
    lines = [(name, *map(table.number, (own, theirs, theirs / own))) for name, (own, theirs) in results.items()]
    print(table.render(("ns a nonzero", "nncore", "scikit-learn", "ratio"), lines))
    limit = 8e9 / limits.bandwidth(threads=1)
    print(f"\nto read a number and its column, 8 bytes, from memory takes one thread {limit:.2f} ns")
    print("\nSaved to", table.save("online", {"machine": about, "threads": given.threads, "results": results}))


if __name__ == "__main__":
    main()
