"""A penalty on activations."""

from __future__ import annotations

from typing import Any

from nncore._utils.fields import Number
from nncore.layers.base import Layer
from nncore.program.ops import Op, Signal
from nncore.program.tape import Tape

__all__ = ["ActivityL1"]


class ActivityL1(Layer):
    """L1 penalty on activations: h = z, and λ Σ_j |z_j| is added to the loss of each example.

    The backward pass adds its gradient, ∂l/∂z = ∂l/∂h + λ sign(z)/rows, with 0 for the sign of 0. As a part of an example's
    loss it is multiplied by the example's weight and by the factor of a sampler; an example of weight 0 has none. Most outputs
    of the layer before it go to 0: a sparse code. The penalty is part of every loss that the trainer reports and of
    ``model.loss_and_gradient``; the column ``activity_penalty`` shows it alone, the sum over all such layers.

    Parameters
    ----------
    strength : float
        λ ≥ 0. As in Keras's ``ActivityRegularization(l1=λ)``, which ignores weights, the mean is over the examples and the sum
        over the outputs.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(2, weight_init="zeros"), nn.ActivityL1(0.25)], input_shape=3)
    >>> model.layers[0].bias[...] = 1
    >>> trainer = nn.Trainer(model, "squared_error")
    >>> trainer.evaluate(np.ones((4, 3)), np.ones((4, 2)))
    {'loss': 0.5, 'activity_penalty': 0.5}
    """

    penalizes_activity = True
    strength: Number = Number(0)

    def __init__(self, strength: float, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.strength = strength

    def emit(self, tape: Tape, x: Signal) -> Signal:
        y = tape.signal(str(self.name), self.output_shape)
        penalty, again = tape.penalize_activity()
        arrays: tuple[Any, ...] = (y.value, penalty, x.value, tape.example_weights)
        tape.forward.rows("activity_l1_forward", *arrays, sizes=(x.width, int(again)), constants=(self.strength,))
        if x.grad is not None:
            arrays = (x.grad, y.grad, x.value, tape.example_weights)
            tape.backward.add(Op("rows", "activity_l1_backward", arrays, (x.width,), (self.strength,), adds_penalty=True))
        y.tangent, y.grad_tangent = x.tangent, x.grad_tangent  # R{h} = R{z}, R{∂l/∂z} = R{∂l/∂h}: sign'(z) is 0 except at 0
        return y
