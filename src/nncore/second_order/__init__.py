"""Curvature of the loss: exact products with the Hessian, the Gauss-Newton matrix and the Jacobian, and what they tell.

And the optimizers that use it, for full batches and for landscapes.
"""

from __future__ import annotations

from nncore.second_order.adaptive import AdaptiveDampedNewton
from nncore.second_order.base import FullBatchOptimizer, Walk
from nncore.second_order.conjugate import NonlinearCG
from nncore.second_order.least_squares import GaussNewton, LevenbergMarquardt
from nncore.second_order.model_objective import ModelObjective
from nncore.second_order.monitor import ConditioningMonitor
from nncore.second_order.newton import DampedNewton, ModifiedNewton, Newton
from nncore.second_order.objective import Objective
from nncore.second_order.operators import GaussNewtonOperator, HessianOperator, JacobianOperator
from nncore.second_order.quasi_newton import BFGS, LBFGS
from nncore.second_order.report import Curvature, curvature
from nncore.second_order.scipy_minimize import ScipyMinimize
from nncore.second_order.solve import SingularError
from nncore.second_order.truncated import TruncatedNewton

__all__ = [
    "BFGS", "LBFGS", "OPTIMIZERS", "AdaptiveDampedNewton", "ConditioningMonitor", "Curvature", "DampedNewton",
    "FullBatchOptimizer", "GaussNewton", "GaussNewtonOperator", "HessianOperator", "JacobianOperator", "LevenbergMarquardt",
    "ModelObjective", "ModifiedNewton", "Newton", "NonlinearCG", "Objective", "ScipyMinimize", "SingularError",
    "TruncatedNewton", "Walk", "curvature",
]  # fmt: skip

_ALL: tuple[type[FullBatchOptimizer], ...] = (
    Newton, DampedNewton, AdaptiveDampedNewton, ModifiedNewton, NonlinearCG, BFGS, LBFGS, TruncatedNewton, GaussNewton,
    LevenbergMarquardt, ScipyMinimize,
)  # fmt: skip
OPTIMIZERS: dict[str, type[FullBatchOptimizer]] = {optimizer.name: optimizer for optimizer in _ALL}
