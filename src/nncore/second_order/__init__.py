"""Curvature of the loss: exact products with the Hessian, the Gauss-Newton matrix and the Jacobian, and reports.

Also optimizers that use curvature, for full batches and for landscapes.
"""

from __future__ import annotations

from nncore._messages import shown
from nncore._utils.hints import hint
from nncore.model.curvature.operators import GaussNewtonOperator, HessianOperator, JacobianOperator
from nncore.model.curvature.report import Curvature, curvature
from nncore.optimizers import Optimizer, registry
from nncore.second_order.adaptive import AdaptiveDampedNewton
from nncore.second_order.base import FullBatchOptimizer, Walk
from nncore.second_order.conjugate import NonlinearCG
from nncore.second_order.least_squares import GaussNewton, LevenbergMarquardt
from nncore.second_order.model_objective import ModelObjective
from nncore.second_order.monitor import ConditioningMonitor
from nncore.second_order.newton import DampedNewton, ModifiedNewton, Newton
from nncore.second_order.objective import Objective
from nncore.second_order.quasi_newton import BFGS, LBFGS
from nncore.second_order.scipy_minimize import ScipyMinimize
from nncore.second_order.solve import SingularError
from nncore.second_order.truncated import TruncatedNewton

__all__ = [
    "BFGS", "LBFGS", "OPTIMIZERS", "AdaptiveDampedNewton", "ConditioningMonitor", "Curvature", "DampedNewton",
    "FullBatchOptimizer", "GaussNewton", "GaussNewtonOperator", "HessianOperator", "JacobianOperator", "LevenbergMarquardt",
    "ModelObjective", "ModifiedNewton", "Newton", "NonlinearCG", "Objective", "ScipyMinimize", "SingularError",
    "TruncatedNewton", "Walk", "curvature", "get",
]  # fmt: skip

_ALL: tuple[type[FullBatchOptimizer], ...] = (
    Newton, DampedNewton, AdaptiveDampedNewton, ModifiedNewton, NonlinearCG, BFGS, LBFGS, TruncatedNewton, GaussNewton,
    LevenbergMarquardt, ScipyMinimize,
)  # fmt: skip
OPTIMIZERS: dict[str, type[FullBatchOptimizer]] = {optimizer.name: optimizer for optimizer in _ALL}


def get(name: str) -> Optimizer:
    """Make an optimizer with default values from its name: one of this package, or of `nncore.optimizers`.

    >>> get("lbfgs").title
    'LBFGS'
    """
    names = [*registry.OPTIMIZERS, *OPTIMIZERS]
    if name not in names:
        raise ValueError(f"optimizer must be one of {', '.join(names)}, got {shown(name)}{hint(name, names)}")
    return OPTIMIZERS[name]() if name in OPTIMIZERS else registry.get(name)
