"""`nncore.sklearn` beside scikit-learn's own perceptrons: python -m benchmarks.estimators

Both estimators get the same parameters, scikit-learn's defaults except those named, and the same data, standardized. Each
round has another seed and measures both, in changing order, with a pause in which threads of a BLAS fall asleep: the seconds
of ``fit``, the score of rows held back, and the time of ``predict`` for a single row. The table has medians; × is
scikit-learn's time over nncore's. They draw different initial weights, so scores and numbers of epochs differ a little.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from sklearn import neural_network
from sklearn.datasets import load_diabetes, load_digits, load_iris, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import nncore.sklearn
from benchmarks import machine, table
from benchmarks.timing import PAUSE, seconds_per_call

LIBRARIES: dict[str, Any] = {"nncore": nncore.sklearn, "scikit-learn": neural_network}


class Case(NamedTuple):
    """An estimator, its data, and the parameters that are not defaults."""

    estimator: str
    data: Callable[[], tuple[Any, Any]]
    parameters: dict[str, Any]


def clouds(rows: int, features: int, classes: int) -> Callable[[], tuple[Any, Any]]:
    def make() -> tuple[Any, Any]:
        return make_classification(
            rows, features, n_informative=min(features, 50) * 3 // 5, n_classes=classes, class_sep=2.0, random_state=0
        )  # type: ignore[return-value]

    return make


def bundled(load: Callable[..., Any], scale: float = 1.0) -> Callable[[], tuple[Any, Any]]:
    """A data set that comes with scikit-learn, its targets divided by ``scale``."""

    def make() -> tuple[Any, Any]:
        X, y = load(return_X_y=True)
        return X, y if scale == 1 else y / scale

    return make


def cases(few: bool) -> dict[str, Case]:
    classifier, digits, iris = "MLPClassifier", bundled(load_digits), bundled(load_iris)
    found = {
        "1,000 rows": Case(classifier, clouds(1000, 20, 3), {}),
        "1,000 rows, early stopping": Case(classifier, clouds(1000, 20, 3), {"early_stopping": True}),
        "iris": Case(classifier, iris, {}),
        "iris, lbfgs": Case(classifier, iris, {"solver": "lbfgs"}),
        "digits": Case(classifier, digits, {"max_iter": 30}),
        "digits, sgd": Case(classifier, digits, {"solver": "sgd", "max_iter": 30}),
        "diabetes, lbfgs": Case("MLPRegressor", bundled(load_diabetes, 77.0), {"solver": "lbfgs", "alpha": 30.0}),
    }
    if not few:
        wide = {"hidden_layer_sizes": (1024, 1024), "max_iter": 2}
        found["784-1024-1024-10, 2 epochs"] = Case(classifier, clouds(6000, 784, 10), wide)
    return found


def measure(case: Case, rounds: int) -> dict[str, dict[str, list[float]]]:
    """By library: seconds of fits, scores, epochs and seconds of the prediction of a row, one number per round."""
    X, y = case.data()
    parts = train_test_split(X, y, test_size=0.25, random_state=0)
    scaler = StandardScaler().fit(parts[0])
    train, held_back = scaler.transform(parts[0]), scaler.transform(parts[1])
    found: dict[str, dict[str, list[float]]] = {library: {} for library in LIBRARIES}
    for turn in range(-1, rounds):  # the first one warms up
        for library in list(LIBRARIES)[:: 1 if turn % 2 else -1]:
            estimator = getattr(LIBRARIES[library], case.estimator)(**case.parameters, random_state=max(0, turn))
            time.sleep(PAUSE)
            start = time.perf_counter()
            estimator.fit(train, parts[2])
            numbers = {"fit": time.perf_counter() - start, "score": estimator.score(held_back, parts[3])}
            numbers |= {
                "epochs": estimator.n_iter_,
                "row": seconds_per_call(lambda e=estimator: e.predict(held_back[:1]), 0.05),
            }
            for name, value in numbers.items() if turn >= 0 else ():
                found[library].setdefault(name, []).append(float(value))
    return found


def line(name: str, found: dict[str, dict[str, list[float]]]) -> list[str]:
    """A line of the table."""
    own, other = ({what: statistics.median(values) for what, values in found[library].items()} for library in LIBRARIES)
    cells = [name]
    cells += [f"{library['score']:.3f}" for library in (own, other)]
    cells += [f"{library['epochs']:.0f}" for library in (own, other)]
    for what, unit in (("fit", 1e3), ("row", 1e6)):
        cells += [table.number(library[what] * unit) for library in (own, other)]
        cells.append(table.number(other[what] / own[what]))
    return cells


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimators", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--few", action="store_true", help="leave out the wide network, and measure three rounds")
    parser.add_argument("--only", default="", help="comma-separated parts of names")
    asked = parser.parse_args(arguments)
    about, rounds = machine.describe(), min(asked.rounds, 3) if asked.few else asked.rounds
    chosen = {name: case for name, case in cases(asked.few).items() if any(part in name for part in asked.only.split(","))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        results = {name: measure(case, rounds) for name, case in chosen.items()}
    print(machine.text(about), end="\n\n")
    print(f"medians of {rounds} rounds; own: nncore, other: scikit-learn, ×: other over own\n")
    header = ["", "score own", "other", "epochs own", "other", "fit ms own", "other", "×", "row µs own", "other", "×"]
    print(table.render(header, [line(name, found) for name, found in results.items()]))
    print("\nSaved to", table.save("estimators", {"machine": about, "results": results}))


if __name__ == "__main__":
    main()
