"""The optimizer of an estimator."""

from __future__ import annotations

import copy
from typing import Any

from nncore import optimizers, second_order
from nncore._utils.fields import choice
from nncore.optimizers import SGD, Adam, Momentum, Nesterov, Optimizer
from nncore.second_order import ScipyMinimize

__all__ = ["make_optimizer"]

SOLVERS = ("lbfgs", "sgd", "adam")


def make_optimizer(estimator: Any) -> Optimizer:
    """A new optimizer: a copy of the one given, or by its name, or of scikit-learn's solver."""
    optimizer = _given(estimator) if estimator.optimizer is not None else _solver(estimator)
    if estimator.schedule is not None:
        optimizer.lr = copy.deepcopy(estimator.schedule)
    return optimizer


def _given(estimator: Any) -> Optimizer:
    if isinstance(estimator.optimizer, Optimizer):
        return copy.deepcopy(estimator.optimizer)
    by_name = optimizers.get if estimator.optimizer in optimizers.OPTIMIZERS else second_order.get
    optimizer = by_name(estimator.optimizer)
    if "lr" in optimizer.hyperparameters:
        optimizer.lr = estimator.learning_rate_init
    return optimizer


def _solver(estimator: Any) -> Optimizer:
    solver, lr, momentum = choice("solver", estimator.solver, SOLVERS), estimator.learning_rate_init, estimator.momentum
    if solver == "lbfgs":
        return ScipyMinimize("L-BFGS-B", 0.0, maxiter=estimator.max_iter, maxfun=estimator.max_fun, gtol=estimator.tol)
    if solver == "adam":  # scikit-learn's ε is that of the uncorrected √v
        return Adam(lr, (estimator.beta_1, estimator.beta_2), estimator.epsilon, eps_placement="hat")
    if not momentum:
        return SGD(lr)
    return Nesterov(lr, momentum) if estimator.nesterovs_momentum else Momentum(lr, momentum)
