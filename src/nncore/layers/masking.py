"""Sequences of different lengths."""

from __future__ import annotations

import math

from nncore._utils.fields import Number
from nncore.layers.base import Layer
from nncore.program.ops import Signal
from nncore.program.tape import Tape

__all__ = ["Masking"]


class Masking(Layer):
    """Steps whose inputs all equal ``value`` are skipped by the recurrent layers after it: h_t = h_{t−1}.

    Sequences of different lengths are padded to the same number of steps with this value, before or after. The last state of
    a recurrent layer is then that after a sequence's own steps; with ``return_sequences=True`` a skipped step repeats the state
    before it, and the next recurrent layer skips it too. No gradient flows through skipped steps. The numbers pass unchanged.
    Of several such layers each marks its own steps, and all of these are skipped.

    Between it and a recurrent layer there may be layers that compute each number by itself (activations other than `Softmax`,
    noise, `Scale`). Others would mix the padding into the rest and are refused. A loss of every step counts the skipped ones.

    Keras has the same layer; to PyTorch the lengths are given (``pack_padded_sequence``).

    Parameters
    ----------
    value : float, default 0.0
        A number that is finite in the model's ``dtype`` and ``compute_dtype``, and which no step of the data consists of. It is
        compared with the inputs as the layer gets them, after an ``input_scaler`` or `Scale`.

    Raises
    ------
    ValueError
        If ``value`` is not finite there, the input is not a sequence (steps, inputs), or when the model is made, if a layer
        after it reads all steps.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Masking(), nn.GRU(4)], input_shape=(6, 2))
    >>> short = np.ones((1, 3, 2))
    >>> padded = np.concatenate([short, np.zeros((1, 3, 2))], axis=1)
    >>> same = nn.Sequential([nn.GRU(4)], input_shape=(3, 2))
    >>> same.parameters[...] = model.parameters
    >>> bool((model.predict(padded) == same.predict(short)).all())
    True
    """

    value: Number = Number(-math.inf)

    def __init__(self, value: float = 0.0, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.value = value

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) != 2:
            raise ValueError(f"masking needs sequences: its input shape must be (steps, inputs), got {input_shape}")
        return input_shape

    def emit(self, tape: Tape, x: Signal) -> Signal:
        steps, inputs = x.shape
        mask = tape.array(steps)
        tape.forward.rows("mask_steps", mask, x.value, x.mask, sizes=(steps, inputs), constants=(self.value,))
        return tape.add(Signal(str(self.name), x.shape, x.value, x.grad, x.tangent, x.grad_tangent, mask))
