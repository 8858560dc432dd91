"""The computations of nncore in plain NumPy: counterparts ("twins") of the compiled kernels, with the same names.

- `training`: a complete network and its training, built from the functions of the modules below; start here;
- `dense`, `activations`, `losses`, `recurrent`, `gather`: the forward and backward pass of a network, one function per
  kernel;
- `bfloat16`: products of numbers with 8 bits of precision;
- `csr`, `lazy`: the dense layer on sparse data, and its weights without a gradient;
- `batch_norm`, `group_norm`: normalization over the batch, over each example, and of weights;
- `tangents`, `normalization_tangents`, `weight_norm_tangents`, `recurrent_tangents`: their derivatives along a direction,
  for products with the Hessian;
- `random`, `noise`, `weight_noise`: counter-based random numbers, and the layers that use them;
- `scale`, `select`: one factor per feature; chosen features;
- `activity`, `gradients`: penalties, clipping and noise, between the backward pass and the step;
- `optimizers`: the updates of the parameters; `paths`: what Path-SGD divides by;
- `lanes`: many tiny networks at once;
- `online`: linear models, one example after the other.

Arrays have one row per example. A backward function takes the gradient of the loss with respect to the output (dy, dh),
arguments or results of the forward function, and its constants; dx is the gradient with respect to x, and so on.

The tests compare each kernel with its twin, and each twin's gradient with finite differences of its values; the benchmarks
compare speeds.
"""

# ruff: noqa: F403

from .activations import *
from .activity import *
from .batch_norm import *
from .bfloat16 import *
from .csr import *
from .dense import *
from .gather import *
from .gradients import *
from .group_norm import *
from .lanes import *
from .lazy import *
from .losses import *
from .noise import *
from .normalization_tangents import *
from .online import *
from .optimizers import *
from .paths import *
from .random import *
from .recurrent import *
from .recurrent_tangents import *
from .scale import *
from .select import *
from .tangents import *
from .training import *
from .weight_noise import *
from .weight_norm_tangents import *

# Not an assignment to __all__: type checkers would take an expression for an empty list.
globals()["__all__"] = sorted(name for name in globals() if not name.startswith("_"))
