"""Weight normalization of a dense layer."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nncore._kernels.program import MOST_PANEL
from nncore._utils.fields import Converted
from nncore.layers.base import Array, Layer, inner_layer
from nncore.layers.bfloat16 import products_of
from nncore.layers.dense import Dense
from nncore.layers.products import Products, Tiles
from nncore.program.ops import Op, Signal
from nncore.program.tape import TangentTape, Tape

__all__ = ["WeightNorm"]


def _dense(name: str, layer: Any) -> Dense:
    return inner_layer(name, layer, [Dense], "a Dense layer, whose weights are normalized")


class WeightNorm(Layer):
    """A `Dense` layer whose weights are given by direction and length: w_u = g_u v_u / ‖v_u‖ for unit u, z = h Wᵀ + b.

    The parameters are v, g and b. With ∂l/∂W = δᵀ h of the dense layer, for each unit,

        ∂l/∂g = ∂l/∂w · v / ‖v‖,   ∂l/∂v = g/‖v‖ (∂l/∂w − (∂l/∂g) v / ‖v‖),

    so that the gradient is orthogonal to v, and steps only lengthen v and thereby turn it more slowly. Source: Salimans, Kingma
    (2016), whose data-dependent initialization is ``initialize_from_data``.

    Parameters
    ----------
    layer : Dense
        Its ``weight_init`` fills v; g starts as ‖v‖, so that W = v initially (as in PyTorch's ``weight_norm``).

    Attributes
    ----------
    direction, length, bias : views into ``model.parameters``
        v (units, inputs), g (units,) and b. Regularizers do not apply to them.

    Raises
    ------
    TypeError
        If ``layer`` is not a `Dense`: other layers have no weights.
    ValueError
        In any pass, if a v is 0 and so has no direction, as with ``weight_init="zeros"``. Such a model can be made, to assign
        its v.

    Examples
    --------
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.WeightNorm(nn.Dense(3))], input_shape=2)
    >>> model.layers[0].direction.shape, model.layers[0].length.shape
    ((3, 2), (3,))
    """

    direction: Array
    length: Array
    bias: Array
    direction_grad: Array
    length_grad: Array
    bias_grad: Array
    layer: Converted[Dense | Mapping[str, Any], Dense] = Converted(_dense)

    def __init__(self, layer: Dense | Mapping[str, Any], *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.layer = layer

    def __copy__(self) -> WeightNorm:
        other = object.__new__(type(self))
        other.__dict__.update(self.__getstate__(), layer=copy.copy(self.layer))  # otherwise the copies would share it
        return other

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        layer = self.layer
        shape = layer._declare(input_shape)
        vars(layer)["parameters"] = {}  # the weight is derived: no parameter of the model
        self.add_parameter("direction", (layer.units, layer.inputs), layer.weight_init)
        self.add_parameter("length", (layer.units,), _Length(self))
        if layer.has_bias:
            self.add_parameter("bias", (layer.units,), layer.bias_init)
        return shape

    @property
    def parts(self) -> tuple[Layer, ...]:
        return (self, self.layer)

    @property
    def weight(self) -> Array:  # type: ignore[override]
        """W = g v / ‖v‖, computed at each access."""
        norms = _norms(self.direction)
        if not norms.all():
            raise ValueError(f"{self.label}.direction must not have rows of zeros, got one for unit {int(np.argmin(norms))}")
        return self.direction * (self.length / norms).astype(self.direction.dtype)[:, None]  # rounded as by the kernel

    def initialize_from_data(self, X: Any) -> None:
        """Set g and b so that over the rows of X each output has mean 0 and variance 1: g ← g/σ, b ← (b − μ)/σ.

        μ and σ are mean and standard deviation of the layer's outputs when the model computes X. Of several such layers take
        the first one first. A layer without bias only gets its g. ValueError if it is in no model or an output is constant.

        Examples
        --------
        >>> import numpy as np
        >>> import nncore as nn
        >>> X = np.random.default_rng(0).normal(3, 5, (100, 2))
        >>> model = nn.Sequential([nn.WeightNorm(nn.Dense(4))], input_shape=2, dtype="float64")
        >>> model.layers[0].initialize_from_data(X)
        >>> bool(np.allclose(model.predict(X).std(axis=0), 1))
        True
        """
        model = self.owner() if self.owner else None
        if model is None:
            raise ValueError("initialize_from_data needs a layer that is part of a model")
        with model._measuring():
            z = model.activations(X)[self.name].astype(np.float64)
        mean, deviation = z.mean(axis=0), z.std(axis=0)
        if not (deviation > 0).all():
            raise ValueError(
                f"X must make every output of {self.name} vary, but output {int(np.argmin(deviation))} is constant"
            )
        self.length[...] = self.length / deviation
        if self.layer.has_bias:
            self.bias[...] = (self.bias - mean) / deviation

    def emit(self, tape: Tape, x: Signal) -> Signal:
        units, inputs = sizes = self.layer.units, self.layer.inputs
        y, products = tape.signal(str(self.name), self.output_shape), products_of(tape, units, inputs)
        packed = products.room_to_pack() if products.packs else None
        weight, gradient = (tape.arena.take(sizes, tape.dtype) for _ in range(2))
        bias, tiles = self.bias if self.layer.has_bias else None, _row_tiles(units, inputs)

        within = packed if products.packs_with_weight else None
        arrays: tuple[Any, ...] = (weight, self.direction, self.length, tiles.rectangles, within)
        renew = Op("tiles", "weight_norm_weight", arrays, sizes, cost=tiles.elements)
        if not products.packs_with_weight:
            renew.then = products.pack(packed, weight, tiles)
        (tape.forward if tape.training else tape.prepare).add(renew)
        tape.backward.add(products.emit(x, y, weight, packed, bias, gradient, tiles))
        if not tape.gradients:
            return y
        arrays = (self.direction_grad, self.length_grad, gradient, self.direction, self.length, tiles.rectangles)
        tape.backward.tiles("weight_norm_backward", *arrays, work_items=len(tiles.elements), sizes=sizes)
        for first, last, _, _ in tiles.rectangles.tolist():
            tape.written_gradient(self.parameters["direction"].offset + first * inputs, (last - first) * inputs)
        tape.written_gradient(self.parameters["length"].offset, units)
        if bias is not None:
            tape.gradient(products.bias_gradient(self.bias_grad, y.grad, self.parameters["bias"]))
        if isinstance(tape, TangentTape):
            self._emit_tangent(tape, x, y, products, renew, gradient)
        return y

    def _emit_tangent(self, tape: TangentTape, x: Signal, y: Signal, products: Products, renew: Op, gradient: Array) -> None:
        """R{W} from the direction's parts of v and g, the products of `Dense` with it, R{∂l/∂v} and R{∂l/∂g} from R{∂l/∂W}."""
        sizes, (weight, direction, length, rectangles, packed) = renew.sizes, renew.arrays
        t_direction, t_length = tape.direction(direction), tape.direction(length)
        t_bias = tape.direction(self.bias) if self.layer.has_bias else None
        t_weight, t_gradient = (tape.arena.take(sizes, tape.dtype) for _ in range(2))
        t_packed = products.room_to_pack()
        ty, tdy = tape.tangent_signal(y)
        arrays: tuple[Any, ...] = (t_weight, direction, length, t_direction, t_length, rectangles, t_packed)
        tape.tangent_prepare.add(replace(renew, kernel="weight_norm_tangent_weight", arrays=arrays))
        products.tangent_forward(tape, ty, x, packed, t_packed, t_bias)
        products.tangent_backward_input(tape, x, tdy, y.grad, weight, t_weight)
        tiles = _row_tiles(*sizes)
        tape.tangent_backward.add(products.tangent_weight_gradient(t_gradient, tdy, y.grad, x.value, x.tangent, tiles))
        results = tape.product(self.direction_grad), tape.product(self.length_grad)
        arrays = (*results, t_gradient, gradient, direction, length, t_direction, t_length, rectangles)
        tape.tangent_backward.tiles("weight_norm_tangent_backward", *arrays, work_items=len(rectangles), sizes=sizes)
        if t_bias is not None:
            tape.tangent_gradients.add(products.bias_gradient(tape.product(self.bias_grad), tdy, self.parameters["bias"]))


def _row_tiles(units: int, inputs: int) -> Tiles:
    """Tiles of whole rows of W, as many as a panel of the packed copy has."""
    rows = [(first, min(first + MOST_PANEL, units)) for first in range(0, units, MOST_PANEL)]
    rectangles = np.array([(first, last, 0, inputs) for first, last in rows], dtype=np.int64)
    return Tiles(rectangles, [float((last - first) * inputs) for first, last in rows], [])


def _norms(direction: Array) -> Array:
    """‖v‖ (units,) in float64, as the kernel sums it: in float32 the squares of large or small v are infinite or 0."""
    return np.asarray(np.linalg.norm(direction.astype(np.float64), axis=1))


class _Length:
    """Initial g: the length of v, which was drawn before it."""

    def __init__(self, layer: WeightNorm) -> None:
        self.layer = layer

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator, dtype: Any) -> Array:
        return _norms(self.layer.direction)
