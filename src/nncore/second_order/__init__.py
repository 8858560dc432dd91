"""Curvature of the loss: exact products with the Hessian, the Gauss-Newton matrix and the Jacobian, and what they tell."""

from nncore.second_order.operators import GaussNewtonOperator, HessianOperator, JacobianOperator

__all__ = ["GaussNewtonOperator", "HessianOperator", "JacobianOperator"]
