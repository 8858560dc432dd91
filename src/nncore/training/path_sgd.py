"""Path-SGD: gradient descent for networks of rectifiers that does not depend on the scale of their units."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nncore._messages import shown
from nncore.layers import Dense, Dropout, GaussianDropout, Identity, LeakyReLU, ReLU
from nncore.model.sequential import Sequential
from nncore.optimizers.gradient import GradientOptimizer
from nncore.optimizers.hyper import Hyper, HyperParameter
from nncore.program.ops import Op

__all__ = ["PathSGD"]

Array = NDArray[Any]

HOMOGENEOUS = (ReLU, LeakyReLU, Identity, Dropout, GaussianDropout)  # h(c x) = c h(x) for c > 0
PIECE = 64  # units, or inputs, of a work item


class PathSGD(GradientOptimizer):
    """Path-SGD (Neyshabur, Salakhutdinov & Srebro 2015): steepest descent in a geometry that does not see the scale of units.

    γ_e = Σ Π w²,  over the paths from the inputs to the outputs that lead through e, and their other weights

    θ_e ← θ_e − η g_e/γ_e

    If the weights into a rectifier are multiplied by c > 0 and those out of it divided by c, the network is the same function.
    `SGD` goes another way from there; the steps of Path-SGD are again those of the same function.

    - γ comes from one pass forward and one back through the squares of the weights: W ∘ W and b ∘ b in place of W and b, with
      1 at all inputs and, going back, at all outputs. A bias is the weight of an input that is 1.
    - Where γ = 0 no path leads through a weight, and it stays.

    Parameters
    ----------
    lr : η, default 0.01. Of another scale than that of `SGD`: γ is the larger, the more units follow.

    Attributes
    ----------
    state["gamma"] : γ of the last step.

    Raises
    ------
    ValueError
        From `Trainer`, if the network is not made of `Dense` layers with `ReLU`, `LeakyReLU`, `Identity`, `Dropout` or
        `GaussianDropout` between them. Layers without parameters before the first and after the last `Dense` may be of any
        kind. From ``step`` and ``minimize``: a step reads the layers, so that only a `Trainer` can take it.
    DivergenceError
        From ``fit`` and ``partial_fit``, if a γ is beyond the model's dtype, so that its step would count as 0. There is room
        for larger ones in float64, and other scales of the units make them smaller.

    Notes
    -----
    The regularizer is that of the squares, the paper's p = 2. It is not a penalty: it only defines which direction is the
    steepest. A step reads all weights twice more than one of `SGD`, and divides: it takes about as long as one of `Adam`, 1.1
    to 1.5 times as long as one of `SGD` with batches of 32. Penalties of a trainer are part of g, and its clipping acts on g:
    both see the scale of units.

    Examples
    --------
    Two networks, of which one has a unit of ten times the weights and a tenth of them after it, are trained alike:

    >>> import numpy as np
    >>> import nncore as nn
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(50, 3)), rng.integers(0, 2, 50)
    >>> trainers = []
    >>> for c in (1.0, 10.0):
    ...     model = nn.Sequential([nn.Dense(4), nn.ReLU(), nn.Dense(2)], input_shape=3, dtype="float64")
    ...     model.layers[0].weight[0] *= c
    ...     model.layers[2].weight[:, 0] /= c
    ...     trainers.append(nn.Trainer(model, "softmax_cross_entropy", nn.PathSGD(lr=0.1)))
    ...     history = trainers[-1].fit(X, y, epochs=20, verbose=0)
    >>> bool(np.allclose(*[trainer.model.predict(X) for trainer in trainers]))
    True
    """

    name = "path_sgd"
    slots: ClassVar[tuple[str, ...]] = ("gamma",)
    non_negative: ClassVar[tuple[str, ...]] = ("gamma",)
    needs_network: ClassVar[bool] = True
    lr: HyperParameter = HyperParameter()

    def __init__(self, lr: Hyper = 0.01) -> None:
        self.lr = lr
        super().__init__()

    def check_network(self, model: Sequential) -> None:
        dense = [place for place, layer in enumerate(model.layers) if layer.parameters]
        for place, layer in enumerate(model.layers):
            between = dense[0] < place < dense[-1]
            if type(layer) is not Dense and (layer.parameters or (between and type(layer) not in HOMOGENEOUS)):
                names = ", ".join(kind.__name__ for kind in HOMOGENEOUS)
                raise ValueError(
                    f"model must be made of Dense layers, with {names} between them, for {self.title}, got {shown(layer)}: "
                    "for other layers take an optimizer such as nn.SGD()"
                )

    def network_ops(self, model: Sequential) -> list[Op]:
        self.check_network(model)
        layers = [layer for layer in model.layers if isinstance(layer, Dense)]
        z = [np.ones(layers[0].inputs), *(np.zeros(layer.units) for layer in layers[:-1])]  # of the inputs of each layer
        d = [*(np.zeros(layer.inputs) for layer in layers[1:]), np.ones(layers[-1].units)]  # of the units of each layer
        forward = [
            _op("path_forward", layer, layer.units, after, layer.weight, layer.bias if layer.has_bias else None, before)
            for layer, before, after in zip(layers, z, z[1:], strict=False)
        ]
        backward = [
            _op("path_backward", layer, layer.inputs, *self._gamma(layer), before, layer.weight, after, inputs)
            for layer, inputs, before, after in zip(layers, z, [None, *d], d, strict=False)
        ]
        return forward + backward[::-1]

    def network_failure(self, model: Sequential) -> str:
        gamma = self.state["gamma"]
        for layer in model.layers:
            for name, parameter in layer.parameters.items():
                if parameter.of(gamma).max() == np.finfo(gamma.dtype).max:  # what the kernel stores instead
                    return f"gamma of {layer.name}.{name}, the sum over its paths, is beyond {gamma.dtype}"
        return ""

    def _gamma(self, layer: Dense) -> tuple[Array, Array | None]:
        """The parts of γ for W and b."""
        parts = {name: parameter.of(self.state["gamma"]) for name, parameter in layer.parameters.items()}
        return parts["weight"], parts.get("bias")


def _op(kernel: str, layer: Dense, length: int, *arrays: Array | None) -> Op:
    """An op on a layer, whose work items are pieces of its units or inputs."""
    cost = [1.0] * -(-length // PIECE)
    return Op("tiles", kernel, arrays, (layer.units, layer.inputs, PIECE), cost=cost, layer=str(layer.name))
