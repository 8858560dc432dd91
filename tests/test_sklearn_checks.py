"""scikit-learn's own checks of estimators."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("sklearn", minversion="1.8")  # of xfail_strict

from sklearn.utils.estimator_checks import parametrize_with_checks

from nncore.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

EXACT = {"shuffle": False, "dtype": "float64"}  # and few examples are one batch
ESTIMATORS = [
    MLPClassifier(),
    MLPRegressor(),
    MLPClassifier(**EXACT),
    MLPRegressor(**EXACT),
    MLPClassifier(solver="lbfgs", dtype="float64", max_iter=20),
    MLPRegressor(solver="lbfgs", dtype="float64", max_iter=20),
    MLPClassifier(optimizer="nesterov", normalization="layer_norm", activation=["gelu"], dropout=0.1, learning_rate_init=0.01),
]


def expected_failures(estimator: Any) -> dict[str, str]:
    """Where the examples are in a random order, a weight of 2 is not the same as two examples."""
    if estimator.dtype == "float64":
        return {}
    name = "check_sample_weight_equivalence_on_{}_data"
    return {name.format(kind): "the batches are random" for kind in ("dense", "sparse")}


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures, xfail_strict=True)
def test_check(estimator: Any, check: Any) -> None:
    check(estimator)
