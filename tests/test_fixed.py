"""Attributes that are not arguments are protected from assignment; copies of layers."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from helpers.configuration import CLASSES, arguments, described
from helpers.layers import OF_SEQUENCES

import nncore as nn
from nncore import layers
from nncore._utils import fields
from nncore.layers.base import Parameter


class Scale(nn.Layer):
    """A layer written in Python, with a parameter and a state."""

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        self.add_parameter("factor", input_shape, "he_normal" if len(input_shape) == 2 else nn.initializers.Constant(0.5))
        self.add_state("seen", (1,), 0.0)
        return input_shape

    def forward(self, x: Any, training: bool) -> Any:
        self.x = x.copy()
        return self.factor * x

    def backward(self, dy: Any) -> Any:
        self.factor_grad[...] = (self.x * dy).sum(axis=0)
        return self.factor * dy


LAYERS: list[type[nn.Layer]] = [*layers.LAYERS.values(), Scale]
SHAPES = dict.fromkeys((cls.__name__ for cls in OF_SEQUENCES), (5, 4))


def built(cls: type[nn.Layer]) -> tuple[nn.Sequential, nn.Layer]:
    layer = cls(**copy.deepcopy(arguments(cls)))
    return nn.Sequential([layer], input_shape=SHAPES.get(cls.__name__, (4,)), dtype="float64", seed=3), layer


def objects() -> Iterator[tuple[str, Any]]:
    for cls in CLASSES:
        yield cls.__name__, cls(**arguments(cls))
    X, y = np.eye(4), np.eye(4)[:, :3]
    model = nn.Sequential([nn.Dense(3)], input_shape=4, seed=1)
    trainer = nn.Trainer(model, "squared_error", metrics=["huber"])
    trainer.fit(X, y, verbose=0)
    yield "trained Sequential", model
    yield "trained Trainer", trainer
    yield "History", trainer.history
    for cls in LAYERS:
        model, layer = built(cls)
        layer.__dict__["_kept"] = model  # to which the layer has a weak reference
        yield f"built {cls.__name__}", layer


OBJECTS = list(objects())


def attributes(instance: Any) -> list[str]:
    """The public attributes: those of the instance, and the descriptors of its class."""
    descriptors = [name for name in dir(type(instance)) if hasattr(getattr(type(instance), name, None), "__set__")]
    return [name for name in dict.fromkeys([*vars(instance), *descriptors]) if not name.startswith("_")]


@pytest.mark.parametrize(("name", "instance"), OBJECTS, ids=[name for name, _ in OBJECTS])
@pytest.mark.parametrize("value", [None, 0])
def test_no_attribute_takes_none_or_zero_unchecked(name: str, instance: Any, value: Any) -> None:
    """Assignments are refused with a message that names the attribute, or checked by a field or a property."""
    for attribute in attributes(instance):
        before, kept = described(instance), dict(vars(instance))
        try:
            setattr(instance, attribute, value)
        except (AttributeError, TypeError, ValueError) as error:
            message = str(error)
        else:
            message = ""
        field = getattr(type(instance), attribute, None)
        if message:
            named = any(each in message for each in (attribute, getattr(field, "argument", attribute)))
            assert named or isinstance(field, property), message
            assert described(instance) == before
        else:
            assert isinstance(field, (fields.Field, fields.Pair, property)), attribute
        vars(instance).update(kept)


@pytest.mark.parametrize("cls", LAYERS)
def test_arrays_of_parameters_are_fixed(cls: type[nn.Layer]) -> None:
    model, layer = built(cls)
    for kept in (layer.parameters, layer.states):
        for name, array in kept.items():
            for attribute in ("shape", "offset", "name"):
                with pytest.raises(AttributeError, match="can't set attribute"):
                    setattr(array, attribute, 10**9)
            with pytest.raises(TypeError, match="does not support item assignment"):
                kept[name] = array
            with pytest.raises(TypeError, match="does not support item deletion"):
                del kept[name]
    assert sum(parameter.size for parameter in layer.parameters.values()) == model.parameters.size


COPIES: dict[str, Any] = {
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("cls", LAYERS)
def test_copies_of_a_layer_of_a_model(cls: type[nn.Layer], copied: Any) -> None:
    """They hold the same numbers and belong to no model, so that another one can be made of them."""
    model, layer = built(cls)
    twin = copied(layer)
    assert described(twin) == described(layer)
    assert twin.owner is None
    for name, parameter in layer.parameters.items():
        assert isinstance(twin.parameters[name], Parameter)
        assert twin.parameters[name].shape == parameter.shape
        assert np.array_equal(getattr(twin, name), getattr(layer, name))
        assert np.shares_memory(getattr(twin, name), getattr(layer, name)) == (copied is copy.copy)
    other = nn.Sequential([twin], model.input_shape, dtype="float64", seed=3)
    assert np.array_equal(other.parameters, model.parameters)
    X = np.random.default_rng(0).standard_normal((6, *model.input_shape))
    assert np.array_equal(other.predict(X), model.predict(X))
    model.parameters[...] = 0.25  # the layer itself is still part of its model
    for name in layer.parameters:
        assert (getattr(layer, name) == 0.25).all()
    assert np.array_equal(other.parameters, built(cls)[0].parameters)


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("cls", LAYERS)
def test_copies_of_a_layer_without_a_model(cls: type[nn.Layer], copied: Any) -> None:
    twin = copied(cls(**copy.deepcopy(arguments(cls))))
    assert np.array_equal(
        nn.Sequential([twin], SHAPES.get(cls.__name__, (4,)), dtype="float64", seed=3).parameters, built(cls)[0].parameters
    )
