"""Curvature of the loss: exact products with the Hessian, the Gauss-Newton matrix and the Jacobian, and reports.

Also optimizers that use curvature, for full batches and for landscapes.
"""

# ruff: noqa: F403, F405, I001  (the order of the imports is that of OPTIMIZERS)

from nncore._utils import registry as _registry
from nncore.model.curvature.operators import *
from nncore.model.curvature.report import *
from nncore.second_order.base import *
from nncore.second_order.model_objective import *
from nncore.second_order.monitor import *
from nncore.second_order.objective import *
from nncore.second_order.solve import *
from nncore.second_order.newton import *
from nncore.second_order.adaptive import *
from nncore.second_order.conjugate import *
from nncore.second_order.quasi_newton import *
from nncore.second_order.truncated import *
from nncore.second_order.least_squares import *
from nncore.second_order.scipy_minimize import *
from nncore.second_order.registry import *

OPTIMIZERS.update((cls.name, cls) for cls in _registry.classes(FullBatchOptimizer, __name__))
globals()["__all__"] = _registry.public_names(__name__)
