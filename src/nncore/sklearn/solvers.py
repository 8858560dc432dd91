"""The optimizer of an estimator."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from nncore import second_order
from nncore._utils.fields import Value, assign, choice, plain
from nncore.optimizers import SGD, Adam, Momentum, Nesterov, Optimizer
from nncore.optimizers.wrapper import Wrapper
from nncore.second_order import ScipyMinimize
from nncore.sklearn.inputs import as_parameters

__all__ = ["adopt", "check_learning_rate", "kinds", "make_optimizer", "settings"]

SOLVERS = ("lbfgs", "sgd", "adam")


def make_optimizer(estimator: Any) -> Optimizer:
    """A new optimizer: a copy of the one given, or by its name, or of scikit-learn's solver."""
    optimizer = _given(estimator) if estimator.optimizer is not None else _solver(estimator)
    if estimator.schedule is not None and has_lr(optimizer):
        with as_parameters(lr="schedule"):
            optimizer.lr = copy.deepcopy(estimator.schedule)
    return optimizer


def has_lr(optimizer: Optimizer) -> bool:
    """Whether there is a learning rate that may change between steps."""
    return "lr" in optimizer.hyperparameters


def check_learning_rate(estimator: Any, optimizer: Optimizer) -> None:
    """Raise if the optimizer does not follow ``schedule`` or ``learning_rate``, which scikit-learn's solvers may ignore."""
    if estimator.schedule is not None and not has_lr(optimizer):
        raise ValueError(f"schedule needs an optimizer with a learning rate, got {optimizer.title}")
    adapted = estimator.schedule is None and estimator.optimizer is not None and estimator.learning_rate != "constant"
    if adapted and not (has_lr(optimizer) and isinstance(optimizer.lr, float)):
        got = f"the schedule {optimizer.lr}" if has_lr(optimizer) else f"{optimizer.title}, which has none that may change"
        raise ValueError(f"learning_rate={estimator.learning_rate!r} needs an optimizer whose lr is a number, got {got}")


def _chain(optimizer: Optimizer) -> list[Optimizer]:
    """An optimizer, the one that it wraps, and so on."""
    return [optimizer, *(_chain(optimizer.optimizer) if isinstance(optimizer, Wrapper) else ())]


def kinds(optimizer: Optimizer) -> list[type[Optimizer]]:
    """Its class, and those of the optimizers that it wraps."""
    return [type(each) for each in _chain(optimizer)]


def adopt(optimizer: Optimizer, given: Optimizer) -> None:
    """Assign the arguments of another optimizer of the same kinds that differ: all or none."""
    changes = [(own, _changes(own, vars(other))) for own, other in zip(_chain(optimizer), _chain(given), strict=True)]
    for own, values in changes:
        assign(copy.copy(own), values)  # raises before anything has changed
    for own, values in changes:
        assign(own, values)


def settings(trainer: Any) -> Callable[[], None]:
    """A function that puts back what a later fit assigns to a trainer."""
    before = [(trainer, {name: getattr(trainer, name) for name in ("loss", "clip", "regularizer")})]
    before += [(own, dict(vars(own))) for own in _chain(trainer.optimizer)]

    def put_back() -> None:
        for own, values in before:
            assign(own, _changes(own, values))

    return put_back


def _changes(own: Any, other: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of another optimizer that differ, besides what it wraps."""
    given = {name: value for name, value in other.items() if not name.startswith("_") and name != "optimizer"}
    return {name: value for name, value in given.items() if plain(getattr(own, name), Value) != plain(value, Value)}


def _given(estimator: Any) -> Optimizer:
    if isinstance(estimator.optimizer, Optimizer):
        return copy.deepcopy(estimator.optimizer)
    optimizer = second_order.get(estimator.optimizer)
    if "lr" in optimizer.hyperparameters:
        optimizer.lr = estimator.learning_rate_init
    return optimizer


def _solver(estimator: Any) -> Optimizer:
    solver, lr, momentum = choice("solver", estimator.solver, SOLVERS), estimator.learning_rate_init, estimator.momentum
    if solver == "lbfgs":
        return ScipyMinimize("L-BFGS-B", 0.0, maxiter=estimator.max_iter, maxfun=estimator.max_fun, gtol=estimator.tol)
    if solver == "adam":  # scikit-learn's ε is that of the uncorrected √v
        with as_parameters(beta1="beta_1", beta2="beta_2", eps="epsilon"):
            return Adam(lr, (estimator.beta_1, estimator.beta_2), estimator.epsilon, eps_placement="hat")
    if not momentum:
        return SGD(lr)
    return Nesterov(lr, momentum) if estimator.nesterovs_momentum else Momentum(lr, momentum)
