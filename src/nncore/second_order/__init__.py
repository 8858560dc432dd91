"""Curvature of the loss: exact products with the Hessian, the Gauss-Newton matrix and the Jacobian, and what they tell."""

from nncore.second_order.monitor import ConditioningMonitor
from nncore.second_order.operators import GaussNewtonOperator, HessianOperator, JacobianOperator
from nncore.second_order.report import Curvature, curvature

__all__ = ["ConditioningMonitor", "Curvature", "GaussNewtonOperator", "HessianOperator", "JacobianOperator", "curvature"]
