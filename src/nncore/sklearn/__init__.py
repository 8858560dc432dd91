"""Estimators for scikit-learn, imported on demand: ``from nncore.sklearn import MLPClassifier, MLPRegressor``."""

try:
    from sklearn.utils.validation import validate_data as _  # noqa: F401  # since 1.6
except ImportError as error:
    raise ModuleNotFoundError(
        "nncore.sklearn needs scikit-learn >= 1.6: pip install 'nncore-learn[sklearn]'", name="sklearn"
    ) from error

from nncore.sklearn.classifier import MLPClassifier
from nncore.sklearn.encoder import TabularEncoder
from nncore.sklearn.realmlp import RealMLPClassifier, RealMLPRegressor
from nncore.sklearn.regressor import MLPRegressor
from nncore.sklearn.sgd import SGDClassifier, SGDRegressor

__all__ = [
    "MLPClassifier", "MLPRegressor", "RealMLPClassifier", "RealMLPRegressor", "SGDClassifier", "SGDRegressor", "TabularEncoder",
]  # fmt: skip
