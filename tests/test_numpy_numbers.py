"""NumPy scalars of every type as arguments: they are stored as Python numbers and can be written to files."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from helpers.configuration import EACH, arguments, attribute, named

import nncore as nn
from nncore import initializers
from nncore._utils.fields import plain

KINDS = [np.longdouble, np.float64, np.float32, np.float16, np.int8, np.uint16, np.int64, np.uint64]


def outcome(make: Any) -> Any:
    try:
        return make()
    except (TypeError, ValueError):
        return None


@EACH
def test_a_numpy_scalar_is_equal_to_the_python_number(cls: type) -> None:
    for name in named(cls):
        for kind in KINDS:
            for value in (0, 1, 2, 5) if np.issubdtype(kind, np.integer) else (0.5, 0.25, 0.75, 2.0, 2.5):
                given, python = (outcome(lambda n=name, v=v: cls(**{**arguments(cls), n: v})) for v in (kind(value), value))
                if given is None or python is None:
                    assert given is python, (name, kind, value)
                    continue
                assert not isinstance(getattr(given, attribute(cls, name), None), np.generic), (name, kind)
                config = outcome(lambda made=python: made.config()) if hasattr(python, "config") else None
                if config is not None:
                    assert json.loads(json.dumps(given.config())) == json.loads(json.dumps(config)), (name, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "cls", [cls for cls in initializers.INITIALIZERS.values() if vars(cls()) or cls().config().keys() - {"name"}]
)
def test_layers_with_such_initializers_can_be_saved(cls: Any, kind: Any, tmp_path: Any) -> None:
    (name,) = cls().config().keys() - {"name"}
    model = nn.Sequential([nn.Dense(2, weight_init=cls(**{name: kind(1)}))], input_shape=3, seed=1)
    model.save(tmp_path / "model")
    assert nn.load(tmp_path / "model")[0].weight_init == cls(**{name: 1.0})


@pytest.mark.parametrize("kind", KINDS)
def test_plain_numbers_and_arrays(kind: Any) -> None:
    assert json.dumps(plain({"a": kind(1), "b": [np.array([1, 0], kind)]})) in (
        '{"a": 1, "b": [[1, 0]]}',
        '{"a": 1.0, "b": [[1.0, 0.0]]}',
    )
