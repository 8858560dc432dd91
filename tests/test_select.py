"""Select: chosen columns of the input, alone and for each member of an ensemble."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from helpers.ensembles import same

import nncore as nn
from nncore._utils import archive

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5))
Y = RNG.integers(0, 3, 60)
SOFTMAX = "softmax_cross_entropy"
SUBSPACES = [[0, 1, 2], [4, 0, -2], [False, True, True, False, True], [3, 3, 1]]
NUMBERS = [[0, 1, 2], [4, 0, 3], [1, 2, 4], [3, 3, 1]]


def net(columns: Any, seed: int = 0, dtype: str = "float64") -> nn.Sequential:
    return nn.Sequential([nn.Select(columns), nn.Dense(4), nn.Tanh(), nn.Dense(3)], input_shape=5, seed=seed, dtype=dtype)


@pytest.mark.parametrize("given", [*SUBSPACES, range(4), np.array([1, 4]), np.arange(5) > 2, (np.int64(2),)], ids=str)
def test_columns(given: Any) -> None:
    chosen = given if np.asarray(given).dtype != bool else np.asarray(given)
    model = nn.Sequential([nn.Select(given)], input_shape=5, dtype="float64")
    assert np.array_equal(model.predict(X), X[:, chosen])
    assert np.array_equal(model.predict(scipy.sparse.csr_matrix(X)), X[:, chosen])


def test_it_is_a_dense_layer_on_fewer_inputs() -> None:
    """The same bits in training, in any of the instruction sets' kernels."""
    model = net(SUBSPACES[3])
    other = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(3)], input_shape=3, dtype="float64")
    other.parameters[...] = model.parameters
    trainers = [nn.Trainer(one, SOFTMAX, nn.Adam(0.1)) for one in (model, other)]
    trainers[0].fit(X, Y, epochs=3, verbose=0)
    trainers[1].fit(X[:, NUMBERS[3]], Y, epochs=3, verbose=0)
    assert np.array_equal(model.parameters, other.parameters)


def hidden() -> nn.Sequential:
    """Within a network, with a column that occurs twice, one that is left out, and a second of them."""
    inner = [nn.Dense(4), nn.Select([1, 3, 1, 0]), nn.Tanh(), nn.Select([2, 0, 2]), nn.Dense(3)]
    return nn.Sequential(inner, input_shape=5, dtype="float64")


def test_gradients_and_curvature() -> None:
    model = hidden()
    model.check_gradients(X, Y, SOFTMAX)
    v = RNG.normal(size=model.parameters.size)
    found, step = model.hessian_vector_product(X, Y, SOFTMAX, v), 1e-5
    first = model.parameters.copy()
    slopes = []
    for sign in (1, -1):
        model.parameters[...] = first + sign * step * v
        slopes.append(model.loss_and_gradient(X, Y, SOFTMAX)[1])
    assert np.allclose(found, (slopes[0] - slopes[1]) / (2 * step), rtol=1e-6, atol=1e-8)
    assert np.abs(found).max() > 0.1


def test_files_and_copies() -> None:
    for columns in SUBSPACES:
        model, file = net(columns), io.BytesIO()
        model.save(file)
        for other in (nn.load(io.BytesIO(file.getvalue())), model.copy(), pickle.loads(pickle.dumps(model))):
            assert np.array_equal(other.predict(X), model.predict(X))
            assert other.layers[0].columns == tuple(columns)
    assert repr(nn.Select([1, -1])) == "Select(columns=[1, -1])"
    assert repr(nn.Select(nn.Each([[0], [1]]))) == "Select(columns=Each([(0,), (1,)]))"


REFUSED: list[tuple[Any, type[Exception], str]] = [
    ([], ValueError, r"columns must be a list of column numbers, or with True or False for each column, got \[\]"),
    ([False] * 5, ValueError, "columns must be a list of column numbers"), ("age", TypeError, "columns must be a list"),
    (["age"], TypeError, r"got \['age'\]"), ([0.0, 1.0], TypeError, r"got \[0.0, 1.0\]"), (3, TypeError, "got 3"),
    ([0, True], TypeError, "columns must be a list"), ([[0, 1]], TypeError, "columns must be a list"),
    ([0, 5], ValueError, "columns of select_1 must be from -5 to 4, got 5"),
    ([-6], ValueError, "columns of select_1 must be from -5 to 4, got -6"),
    ([10**30], ValueError, "columns of select_1 must be from -5 to 4"),
    ([True] * 4, ValueError, "columns of select_1 must have True or False for each of 5, got 4"),
    (nn.Each([[0, 1], [2]]), ValueError, "columns of select_1 must be equally many for each member, got from 1 to 2"),
    (nn.Each([[0, 1], [2, 7]]), ValueError, "columns of select_1 must be from -5 to 4, got 7"),
    (nn.Each([[0, 1], ["a", "b"]]), TypeError, "columns must be a list"),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "error", "message"), REFUSED, ids=lambda value: str(value)[:20])
def test_refused(columns: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        net(columns)


def test_refused_later() -> None:
    with pytest.raises(ValueError, match=r"select_1 needs examples with one axis, the columns, got the shape \(3, 2\)"):
        nn.Sequential([nn.Select([0])], input_shape=(3, 2))
    model = net([0, 1])
    with pytest.raises(AttributeError, match="columns of layer select_1 is fixed once the layer is in a model"):
        model.layers[0].columns = [1, 2]
    with pytest.raises(ValueError, match=r"has one value for each member of an ensemble: give the trainer an nn\.Ensemble"):
        net(nn.Each([[0], [1]])).predict(X)
    with pytest.raises(ValueError, match="must have a value for each of 3 members, got 2"):
        nn.Ensemble(net(nn.Each([[0], [1]])), 3)


# Subspaces of members.


def ensemble(dtype: str = "float64") -> nn.Ensemble:
    return nn.Ensemble(net(nn.Each(SUBSPACES), 4, dtype), 4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "call", [{}, {"sampler": "importance_sampling"}, {"validation_data": (X, Y)}, {"last_batch": "drop"}], ids=str
)
def test_members_as_alone(call: Any, dtype: str) -> None:
    """They share a program, and a penalty is evaluated with each member's numbers."""

    def trainer(model: Any, seed: int) -> Any:
        return nn.Trainer(model, SOFTMAX, nn.Adam(0.1), metrics=["accuracy"], regularizer=nn.L2(1e-3), seed=seed)

    together = trainer(ensemble(dtype), 9)
    assert len(together.model.groups) == len({id(kind) for kind in together._kind_of}) == 1
    together.fit(X, Y, epochs=3, batch_size=16, verbose=0, **call)
    found, columns = together.model.predict_members(X), together.evaluate_members(X, Y)
    for k, own in enumerate(SUBSPACES):
        alone = trainer(net(own, 4 + k, dtype), 9 + k)
        alone.fit(X, Y, epochs=3, batch_size=16, verbose=0, **call)
        assert same(alone, together, k)
        assert np.array_equal(found[k], alone.model.predict(X))
        assert np.array_equal(together.model[k].predict(X), found[k])
        assert {name: values[k] for name, values in columns.items()} == alone.evaluate(X, Y)
        assert together.model[k].layers[0].columns == tuple(own)


def test_members_with_other_numbers_of_columns() -> None:
    models = [net(columns) for columns in ([0, 1], [2, 3], [1, 2, 3])]
    made = nn.Ensemble(models)
    assert [group.numbers for group in made.groups] == [[0, 1], [2]]
    for k, model in enumerate(models):
        assert np.array_equal(made.predict_members(X)[k], model.predict(X))
    part = made.take([1, 2])
    assert np.array_equal(part.predict_members(X), made.predict_members(X)[1:])


def test_files_of_ensembles() -> None:
    trainer, file = nn.Trainer(ensemble(), SOFTMAX), io.BytesIO()
    trainer.fit(X, Y, verbose=0)
    trainer.save(file)
    for other in (nn.Ensemble.load(io.BytesIO(file.getvalue())), pickle.loads(pickle.dumps(trainer.model))):
        assert np.array_equal(other.predict_members(X), trainer.model.predict_members(X))
        assert [member.layers[0].columns for member in other] == list(map(tuple, SUBSPACES))
    fresh = nn.Trainer(ensemble(), SOFTMAX)
    fresh.restore(io.BytesIO(file.getvalue()))
    assert np.array_equal(fresh.model.predict_members(X), trainer.model.predict_members(X))
    swapped = nn.Trainer(nn.Ensemble(net(nn.Each(SUBSPACES[::-1]), 4), 4), SOFTMAX)
    with pytest.raises(ValueError, match=r"its members must have \[\[\(3, 3, 1\)\]"):
        swapped.restore(io.BytesIO(file.getvalue()))


OWN: list[Any] = [
    None, [], [[[0, 1, 2]]], [[[0, 1, 9]]] * 4, [[[0, 1]]] * 4, [[[0, 1, -6]]] * 4, [[["a", "b", "c"]]] * 4, [[None]] * 4,
    [[]] * 4, [[[0, 1, 2], [0]]] * 4, [[[0.5, 1, 2]]] * 4,
]  # fmt: skip


@pytest.mark.parametrize("own", OWN, ids=lambda own: str(own)[:20])
def test_hostile_columns(own: Any) -> None:
    """No kernel reads outside of a row."""
    file = io.BytesIO()
    ensemble().save(file)
    arrays, about = archive.read(io.BytesIO(file.getvalue()))
    about["groups"][0]["own"] = own
    with pytest.raises(ValueError, match="holds no ensemble that can be built"):
        nn.Ensemble.load(io.BytesIO(archive.pack("file", arrays, about)))


def test_labels_of_the_table() -> None:
    trainer = nn.Trainer(ensemble(), SOFTMAX)
    trainer.fit(X, Y, verbose=0)
    assert [row["select_1.columns"] for row in trainer.history.table()] == list(map(tuple, SUBSPACES))
    wide = nn.Trainer(
        nn.Ensemble(nn.Sequential([nn.Select(nn.Each([range(500)] * 2)), nn.Dense(1)], input_shape=500), 2), SOFTMAX
    )
    assert max(map(len, repr(wide.history).splitlines())) < 200
