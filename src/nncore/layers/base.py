"""Base of the layers: a description that declares parameters and records ops. The numbers live in the model."""

from __future__ import annotations

import copy
import functools
import math
import re
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore import initializers
from nncore._messages import shown
from nncore._utils.arrays import overwrite, passed, read_only
from nncore._utils.fields import Configured, Fixed, Maybe, Name, keywords, number, plain
from nncore._utils.own import is_own
from nncore.program.ops import Signal
from nncore.program.tape import Tape

__all__ = ["Layer"]

Array = NDArray[Any]


class Parameter(NamedTuple):
    """One array of a layer inside θ: filled by ``initializer``; ``regularized`` if it is a weight, to which penalties,
    decoupled decay and constraints apply unless arrays are named. ``by_column``: a matrix whose columns lie in θ one after the
    other, not its rows."""

    name: str
    shape: tuple[int, ...]
    initializer: Callable[..., Array]
    regularized: bool
    by_column: bool = False
    offset: int = -1  # into θ, once the model is built

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def of(self, vector: Array) -> Array:
        """The array's view of a vector in the order of θ."""
        part = vector[self.offset : self.offset + self.size]
        return part.reshape(self.shape[::-1]).T if self.by_column else part.reshape(self.shape)

    def in_order(self, array: Array) -> Array:
        """The numbers of such an array in the order of θ, (size,)."""
        return array.ravel(order="F" if self.by_column else "C")


class State(NamedTuple):
    """One array of a layer inside ``model.state``: kept, not trained; all ``initial`` at first."""

    name: str
    shape: tuple[int, ...]
    initial: float
    minimum: float
    offset: int = -1  # into the model's state, once the model is built

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Layer(Configured):
    """Base of all layers, and of layers written in Python by a user.

    A user's layer defines ``forward(x, training)`` and ``backward(dy)``, and ``build(input_shape)`` if it has parameters or
    changes the shape. It then works in a compiled program like any other, at the cost of one call into Python per pass. Its
    base is `Layer`: those of nncore have compiled passes, and a layer derived from one with passes in Python is refused.

    - ``__init__`` calls ``super().__init__(name=name)``.
    - ``build(input_shape)`` calls ``add_parameter`` and returns the output shape (default: the input's).
    - ``forward(x, training)`` gets ``(rows, *input_shape)`` and returns ``(rows, *output_shape)``.
    - ``backward(dy)`` gets the gradient with respect to what ``forward`` returned last. It writes (does not add) the gradients
      of the parameters into ``self.<name>_grad`` and returns the gradient with respect to ``x``.
    - ``x`` and ``dy`` are read-only, and their memory is reused for the next batch: copy values to keep them.
    - ``backward`` finds the attributes that ``forward`` has assigned, also if other threads use the model, or if a loss in
      Python predicts with it in between: what ``forward`` assigns then is not kept.
    - Type checkers take any name that is read for an array; to assign to ``layer.scale`` from outside, annotate it.
    - ``takes_mask = True`` in the class lets it stand between `Masking` and a recurrent layer: right for a layer that computes
      each number from that number alone.
    - ``config()`` returns the arguments of the constructor, for a file of the model: by default those that are kept as
      attributes of the same name.

    Parameters
    ----------
    name : str, optional
        By default the class's name in snake case and a number.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> class Square(nn.Layer):
    ...     def forward(self, x, training):
    ...         self.x = x.copy()
    ...         return x**2
    ...     def backward(self, dy):
    ...         return 2 * self.x * dy
    >>> model = nn.Sequential([nn.Dense(3), Square(), nn.Dense(1)], input_shape=2, dtype="float64")
    >>> model.forward(np.ones((4, 2))).shape
    (4, 1)
    """

    name: Maybe[str, str] = Maybe(Name())
    owner: Fixed[weakref.ref[Any] | None] = Fixed()  # the model that the layer is part of
    parameters: Fixed[dict[str, Parameter]] = Fixed()  # once the model is built they are read-only
    states: Fixed[dict[str, State]] = Fixed()
    input_shape: Fixed[tuple[int, ...]] = Fixed()
    output_shape: Fixed[tuple[int, ...]] = Fixed()
    reads_sparse = False  # whether it takes the rows of a sparse matrix as they are: then it is the first layer
    penalizes_activity = False  # whether it adds to the loss of each example
    takes_mask = False  # whether it may follow `Masking`: it skips steps, or each number of y depends on that number of x only
    _own: str = ""  # an argument that may differ between members of an ensemble which share a program: see `_own_array`
    assignable: tuple[str, ...] = ()  # arguments that may be reassigned though the layer is in a model

    def __init__(self, *, name: str | None = None) -> None:
        self.name = name
        self.owner = None
        self.parameters, self.states = {}, {}
        self.input_shape = self.output_shape = ()

    if TYPE_CHECKING:  # a class annotates arrays of other names that are assigned to
        weight: Array
        bias: Array

        def __getattr__(self, name: str) -> Array:
            """The arrays that ``build`` declares, and their gradients: ``weight``, ``weight_grad`` and so on."""

    def _takes_no_more(self) -> bool:
        """A layer written in Python may have any attribute."""
        return super()._takes_no_more() and type(self).forward is Layer.forward

    def _declare(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Call `build`, which may set attributes as ``__init__`` may; returns the output shape."""
        self.__dict__.pop("_made", None)
        output_shape = self.build(input_shape)
        self._complete()
        return output_shape

    def __getstate__(self) -> dict[str, Any]:
        """A copy belongs to no model; it keeps the numbers."""
        return vars(self) | {"owner": None, "parameters": dict(self.parameters), "states": dict(self.states)}

    if not TYPE_CHECKING:  # for type checkers a misspelled name is an error

        def __setattr__(self, name: str, value: Any) -> None:
            """Assignments to an array of a model, a view, copy the numbers. Attributes that ops depend on are fixed."""
            own = self.__dict__
            if "_made" not in own:
                object.__setattr__(self, name, value)
            elif isinstance(own.get(name), np.ndarray) and self.owner and name in self._views:
                overwrite(f"{self.name}.{name}", own[name], value)
            elif name in self._fixed:
                raise AttributeError(
                    f"{name} of layer {self.label} is fixed once the layer is in a model, got {shown(value)}: make a new model"
                )
            else:
                super().__setattr__(name, value)

    @property
    def _fixed(self) -> set[str]:
        """Attributes that compiled programs depend on. Those of a layer written in Python are read in each pass."""
        if type(self).forward is not Layer.forward or not (owner := self.__dict__.get("owner")) or owner() is None:
            return set()
        assignable = () if "_in_ensemble" in vars(owner()) else self.assignable  # whose members share programs
        return {name for name in self.__dict__ if not name.startswith("_")} - {*assignable}

    @property
    def _views(self) -> set[str]:
        """Names of the attributes that are views into the model's vectors."""
        return {*self.parameters, *(f"{name}_grad" for name in self.parameters), *self.states}

    @classmethod
    def default_name(cls) -> str:
        """The class's name in snake case."""
        return _snake_case(cls.__name__)

    def add_parameter(
        self, name: str, shape: tuple[int, ...], initializer: Callable[..., Array] | str, *, regularized: bool = False,
        by_column: bool = False,
    ) -> None:  # fmt: skip
        """Declare a trainable array; ``self.<name>`` and ``self.<name>_grad`` become views into the model's θ and gradient.

        ``by_column``: the columns of a matrix lie in θ one after the other.
        """
        shape = self._check_array(shape, name, f"{name}_grad")
        self.parameters[name] = Parameter(name, shape, initializers.get(initializer), regularized, by_column)

    def add_state(self, name: str, shape: tuple[int, ...], initial: float, *, minimum: float = -math.inf) -> None:
        """Declare an array that is kept but not trained; ``self.<name>`` becomes a view into ``model.state``.

        Files with smaller numbers than ``minimum`` are refused.
        """
        shape = self._check_array(shape, name)
        initial = number(f"initial value of {self.label}.{name}", initial, minimum)
        self.states[name] = State(name, shape, initial, minimum)

    def _check_array(self, shape: Any, name: str, *others: str) -> tuple[int, ...]:
        """The shape of an array to declare; raises unless it is valid and the attributes for the array are free."""
        if not isinstance(name, str) or not name.isidentifier() or hasattr(type(self), name):
            raise ValueError(
                f"name of an array of {self.label} must be an identifier that its class does not use, got {shown(name)}"
            )
        if taken := self._views & {name, *others}:
            raise ValueError(f"arrays of {self.label} must have different names, got {shown(name)}: there is {min(taken)}")
        if not isinstance(shape, tuple) or not all(isinstance(n, (int, np.integer)) and n > 0 for n in shape):
            raise ValueError(f"shape of {self.label}.{name} must be a tuple of positive integers, got {shown(shape)}")
        return tuple(int(n) for n in shape)

    @property
    def parts(self) -> tuple[Layer, ...]:
        """The layer, and those inside it. Each belongs to one place in one model."""
        return (self,)

    @property
    def label(self) -> str:
        """The layer's name, or the name it will get, for messages."""
        return self.name or self.default_name()

    @property
    def variant(self) -> Any:
        """A key, besides the arguments, of the ops that the layer records. Programs are recompiled when it changes."""
        return None

    @property
    def _own_array(self) -> Array:
        """What the ops read of the argument ``_own``, in place."""
        raise NotImplementedError

    def _take_own(self, value: Any) -> None:
        """Give the argument ``_own`` another value, for which `_own_array` has the same shape."""
        raise NotImplementedError

    @property
    def batch_dependent(self) -> bool:
        """Whether, in training, a row's output depends on the other rows, so that a batch cannot be cut in chunks."""
        return False

    @property
    def batch_dependent_at_inference(self) -> bool:
        """Whether a row's output depends on the other rows in inference mode too."""
        return False

    @property
    def batch_rows(self) -> int | None:
        """The number of rows that every batch must have, if any."""
        return None

    @property
    def held(self) -> int:
        """Values stored per example by its passes, gradients and tangents not counted."""
        return math.prod(self.output_shape)

    def smallest_batch(self, training: bool) -> int:
        """The minimum number of rows of a batch."""
        return 1

    def fuses(self, following: Layer) -> bool:
        """Whether the following layer can be computed in the same pass over memory."""
        return False

    def emit_fused(self, tape: Tape, x: Signal, following: Layer) -> Signal:
        """Record the ops of both layers; only the second has a signal."""
        return following.emit(tape, self.emit(tape, x))

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Declare the parameters for this input shape and return the output shape."""
        return input_shape

    def forward(self, x: Array, training: bool) -> Array:
        """Compute the output of a layer written in Python."""
        raise TypeError(f"{type(self).__name__} has no forward: a layer needs forward(x, training) and backward(dy)")

    def backward(self, dy: Array) -> Array:
        """Compute the gradient with respect to the input of a layer written in Python."""
        raise TypeError(f"{type(self).__name__} has no backward: a layer needs forward(x, training) and backward(dy)")

    def emit(self, tape: Tape, x: Signal) -> Signal:
        """Record the layer's ops; the default calls ``forward`` and ``backward`` in Python."""
        y, model = tape.signal(str(self.name), self.output_shape), self.owner and self.owner()
        if model:
            tape.lock = model.lock  # of two threads one would replace what the layer keeps for the other's backward pass

        def forward(rows: int) -> None:
            # whether it is between this layer's forward and backward pass, as where a loss in Python predicts
            between = not tape.gradients and model and model.gradients_in_use.held
            before = dict(vars(self)) if between else {}
            try:
                result = self.forward(read_only(x.value[:rows].reshape(rows, *x.shape)), tape.training)
            finally:
                if between:
                    vars(self).clear()
                    vars(self).update(before)
            y.value[:rows] = passed(f"{self.name}.forward", result, (rows, *y.shape)).reshape(rows, -1)

        def backward(rows: int) -> None:
            assert y.grad is not None
            result = self.backward(read_only(y.grad[:rows].reshape(rows, *y.shape)))
            result = passed(f"{self.name}.backward", result, (rows, *x.shape))
            if x.grad is not None:
                x.grad[:rows] = result.reshape(rows, -1)

        tape.forward.python(forward)
        tape.backward.python(backward)
        for parameter in self.parameters.values():
            tape.written_gradient(parameter.offset, parameter.size)
        return y

    def __repr__(self) -> str:
        named = {name: value for name, value in self._arguments().items() if name != "name" or value}
        own = {name: plain(value) for name, value in named.items() if is_own(type(value)) or not hasattr(value, "entry")}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in {**named, **own}.items())})"


def copy_unbound(layers: Iterable[Layer], memo: dict[int, Any]) -> list[Layer]:
    """Copies of layers, and of those inside them, without their views into the model's arrays.

    ``memo`` is that of `copy.deepcopy`: a layer that others refer to is copied once.
    """
    layers = list(layers)
    new = [part for layer in layers for part in layer.parts if id(part) not in memo]
    memo.update({id(part): object.__new__(type(part)) for part in new})
    for part in new:  # whose attributes may refer to each other
        own = {name: value for name, value in part.__getstate__().items() if name not in part._views}
        state = copy.deepcopy(own | {"owner": None, "parameters": {}, "states": {}}, memo)  # declared again in another model
        getattr(memo[id(part)], "__setstate__", vars(memo[id(part)]).update)(state)
    return [memo[id(layer)] for layer in layers]


@functools.cache
def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z][a-z0-9])", "_", name).lower()


def inner_layer(name: str, layer: Any, classes: Sequence[type[Layer]], wanted: str) -> Any:
    """The layer within another one, or one made from its configuration, as a file has it.

    Of one of these classes itself: the methods of a subclass would not be used.
    """
    if isinstance(layer, Mapping):
        arguments, known = keywords(name, layer), {cls.__name__: cls for cls in classes}
        kind = arguments.pop("class", classes[0].__name__ if len(classes) == 1 else None)
        if not isinstance(kind, str) or kind not in known:
            raise TypeError(f"{name} must be {wanted}, got one of class {shown(kind)}")
        layer = known[kind](**arguments)
    if type(layer) not in classes:
        raise TypeError(f"{name} must be {wanted}, got {shown(layer)}")
    return layer
