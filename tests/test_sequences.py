"""What recurrent layers do with sequences: skipped steps, states carried over, both directions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.recurrent import CELLS, NAMES, each_cell, each_dtype
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels
from nncore.program.recording import ModelTape

Array = NDArray[Any]

LENGTHS = [6, 1, 4, 0, 3, 6, 2]


def network(layers: list[nn.Layer], shape: tuple[int, int] = (6, 2), seed: int = 3, dtype: str = "float64") -> nn.Sequential:
    model = nn.Sequential(layers, input_shape=shape, dtype=dtype, seed=seed)
    rng = np.random.default_rng(seed)
    model.parameters[...] = rng.normal(0, 0.5, model.parameters.size)
    return model


def padded(rng: np.random.Generator, value: float = 0.0, before: bool = False) -> Array:
    """Sequences of the lengths, padded before or after."""
    X = rng.standard_normal((len(LENGTHS), 6, 2))
    for x, length in zip(X, LENGTHS, strict=True):
        x[: 6 - length] if before else x[length:]
        x[slice(0, 6 - length) if before else slice(length, 6)] = value
    return X


def check_gradients(model: nn.Sequential, X: Array, rng: np.random.Generator) -> None:
    d = rng.standard_normal((len(X), int(np.prod(model.output_shape))))
    errors = model.check_gradients(X, d, "squared_error")
    assert "input" in errors
    assert max(errors.values()) <= 1e-6, errors


# Skipped steps.


@each_cell
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("value", [0.0, -7.5])
@pytest.mark.parametrize("stacked", [False, True])
def test_a_padded_sequence_is_what_it_is_alone(
    cell: str, before: bool, value: float, stacked: bool, rng: np.random.Generator
) -> None:
    def layers() -> list[nn.Layer]:
        first = [CELLS[cell](4, return_sequences=True), nn.Tanh(), nn.Dropout(0.3)] if stacked else []
        return [*first, CELLS[cell](3), nn.Dense(2)]

    model = network([nn.Masking(value), *layers()])
    X = padded(rng, value, before)
    got = model.predict(X)
    for i, length in enumerate(LENGTHS):
        if length:
            alone = network(layers(), (length, 2))
            alone.parameters[...] = model.parameters
            x = X[i : i + 1, 6 - length :] if before else X[i : i + 1, :length]
            np.testing.assert_allclose(got[i : i + 1], alone.predict(x), rtol=1e-12, atol=1e-14)
        else:  # the state stays at 0
            np.testing.assert_array_equal(got[i], model.layers[-1].bias)


@each_cell
def test_a_skipped_step_repeats_the_state(cell: str, rng: np.random.Generator) -> None:
    model, X = network([nn.Masking(), CELLS[cell](4, return_sequences=True)]), padded(rng)
    X[5, 2] = 0  # in the middle
    h = model.predict(X)
    before = np.concatenate([np.zeros_like(h[:, :1]), h[:, :-1]], axis=1)
    assert np.array_equal((h == before).all(axis=2), (X == 0).all(axis=2))


@each_cell
@pytest.mark.parametrize("zoneout", [0.0, 0.3])
def test_gradients_with_skipped_steps(cell: str, zoneout: float, rng: np.random.Generator) -> None:
    X = padded(rng)
    X[5, 2] = 0
    rest = [CELLS[cell](4, return_sequences=True, zoneout=zoneout), nn.SiLU(), CELLS[cell](3, zoneout=zoneout), nn.Dense(2)]
    model = network([nn.Masking(7.0), *rest])  # no step is: differences would turn 0 into a number
    X[X.any(axis=2) == 0] = 7.0
    d = rng.standard_normal((len(X), 2))
    model.loss_and_gradient(X, d, "squared_error")
    got, slopes = model.gradients.copy(), np.empty(model.parameters.size)
    for i, theta in enumerate(model.parameters.copy()):
        values = []
        for h in (1e-6, -1e-6):
            model.parameters[i] = theta + h
            values.append(model.loss_and_gradient(X, d, "squared_error")[0])
        model.parameters[i], slopes[i] = theta, (values[0] - values[1]) / 2e-6
    np.testing.assert_allclose(got, slopes, rtol=1e-6, atol=1e-8)
    assert not model.deltas(X, d, "squared_error")["input"][(X == 7.0).all(axis=2)].any()


def test_what_is_between() -> None:
    """Only layers that compute each number by itself."""
    for layer in (nn.Tanh(), nn.Dropout(0.1), nn.GaussianNoise(0.1), nn.Scale()):
        nn.Sequential([nn.Masking(), layer, nn.GRU(3)], input_shape=(4, 2))
    for layer in (nn.Dense(8), nn.LayerNorm(), nn.BatchNorm(), nn.ActivityL1(0.1), Doubled()):
        with pytest.raises(ValueError, match="must not read the steps that masking_1 marks to be skipped"):
            nn.Sequential([nn.Masking(), layer], input_shape=(4, 2))
        with pytest.raises(ValueError, match="must not read the steps that masking_1 marks"):
            nn.Sequential([nn.Masking(), nn.GRU(2, return_sequences=True), layer], input_shape=(4, 2))
        nn.Sequential([nn.Masking(), nn.GRU(3), layer], input_shape=(4, 2))
    Doubled.takes_mask = True
    nn.Sequential([nn.Masking(), Doubled(), nn.GRU(3)], input_shape=(4, 2))


class Doubled(nn.Layer):
    """A layer in Python."""

    def forward(self, x: Array, training: bool) -> Array:
        return 2 * x

    def backward(self, dy: Array) -> Array:
        return 2 * dy


def test_masking_of_bad_values() -> None:
    for value in (np.nan, np.inf, "0", None, True):
        with pytest.raises((TypeError, ValueError), match="value must be"):
            nn.Masking(value)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"masking needs sequences: its input shape must be \(steps, inputs\), got \(4,\)"):
        nn.Sequential([nn.Masking(), nn.Dense(2)], input_shape=4)
    for dtype, compute, value in (("float32", None, -1e39), ("float32", "bfloat16", float(np.finfo("float32").min))):
        with pytest.raises(ValueError, match=f"value of masking_1 must be finite in {compute or dtype}, got -"):
            nn.Sequential([nn.Masking(value), nn.GRU(2)], input_shape=(3, 2), dtype=dtype, compute_dtype=compute)
    assert nn.Sequential([nn.Masking(-1e39), nn.GRU(2)], input_shape=(3, 2), dtype="float64").output_shape == (2,)


@each_cell
def test_steps_that_either_of_two_layers_marks_are_skipped(cell: str, rng: np.random.Generator) -> None:
    model = network([nn.Masking(0.0), nn.Masking(-1.0), CELLS[cell](3)])
    alone = network([CELLS[cell](3)], (4, 2))
    alone.parameters[...] = model.parameters
    x = rng.standard_normal((2, 4, 2))
    X = np.concatenate([np.zeros((2, 1, 2)), x, np.full((2, 1, 2), -1.0)], axis=1)
    np.testing.assert_allclose(model.predict(X), alone.predict(x), rtol=1e-12)


@each_cell
@pytest.mark.parametrize("both", [False, True])
def test_padding_whose_products_overflow(
    cell: str, both: bool, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The padding is the lowest number there is: W x of it is inf - inf, of which nothing may be seen anywhere."""
    monkeypatch.setattr(_kernels, "isa_name", "baseline")  # fused multiply-adds have no infinite products in their sums
    layer = CELLS[cell](3)
    small, large = (
        network([nn.Masking(value), nn.Bidirectional(layer) if both else layer], dtype="float32")
        for value, layer in ((-9.0, layer), (float(np.finfo("float32").min), CELLS[cell](3)))
    )
    X, d = np.float32(rng.standard_normal((5, 6, 2))), rng.standard_normal((5, *small.output_shape))
    results = []
    for model in (small, large):
        model.parameters *= 4  # some weights are above 1
        X[1:, 3:] = model.layers[0].value
        results.append([
            model.predict(X), model.loss_and_gradient(X, d, "squared_error")[1], model.deltas(X, d, "squared_error")["input"],
            model.hessian(X, d, "squared_error"),
        ])  # fmt: skip
    for mine, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, expected)


# States carried over.


def pieces(model: nn.Sequential, X: Array, steps: int) -> list[Array]:
    """The outputs of one batch after the other, each with the next steps of all sequences."""
    return [model.predict(X[:, t : t + steps]) for t in range(0, X.shape[1], steps)]


@each_cell
@pytest.mark.parametrize("masked", [False, True])
def test_pieces_of_sequences_are_the_whole(cell: str, masked: bool, rng: np.random.Generator) -> None:
    def layers(rows: int | None) -> list[nn.Layer]:
        first: list[nn.Layer] = [nn.Masking()] * masked
        return [*first, CELLS[cell](4, return_sequences=True, stateful=rows), CELLS[cell](3, stateful=rows)]

    X = rng.standard_normal((5, 12, 2))
    X[2, 5:8] = X[3, 9:] = 0
    whole, stateful = network(layers(None), (12, 2)), network(layers(5), (4, 2))
    want = whole.predict(X)
    for _ in range(2):
        got = pieces(stateful, X, 4)
        np.testing.assert_allclose(got[-1], want, rtol=1e-12, atol=1e-14)
        assert np.array_equal(stateful.layers[-1].state, got[-1])
        for layer in stateful.layers[masked:]:
            layer.reset_state()  # type: ignore[attr-defined]
            assert not layer.state.any()


@each_cell
def test_the_initial_state_may_be_assigned(cell: str, rng: np.random.Generator) -> None:
    model = network([CELLS[cell](3, stateful=5)])
    X, h = rng.standard_normal((5, 6, 2)), rng.standard_normal((5, 3))
    at_zero = model.forward(X)
    model.layers[0].state = h
    assert np.array_equal(model.layers[0].state, h)
    started = model.forward(X)
    assert (started != at_zero).all()
    model.layers[0].state[...] = 0
    model.layers[0].state[1] = h[1]
    mixed = model.forward(X)
    assert np.array_equal(mixed[1], started[1])
    assert np.array_equal(np.delete(mixed, 1, 0), np.delete(at_zero, 1, 0))
    with pytest.raises(ValueError, match=r"\.state"):
        model.layers[0].state = np.zeros((4, 3))


@each_cell
def test_gradients_start_from_the_state_and_leave_it(cell: str, rng: np.random.Generator) -> None:
    model = network([CELLS[cell](3, return_sequences=True, stateful=5), nn.Tanh(), CELLS[cell](2, stateful=5)])
    states = [rng.standard_normal((5, units)) for units in (3, 2)]
    model.layers[0].state, model.layers[2].state = states
    X = rng.standard_normal((5, 6, 2))
    check_gradients(model, X, rng)
    d, v = rng.standard_normal((5, 2)), rng.standard_normal(model.parameters.size)
    Hv, theta, slopes = model.hessian_vector_product(X, d, "squared_error", v), model.parameters.copy(), []
    for h in (1e-6, -1e-6):
        model.parameters[...] = theta + h * v
        slopes.append(model.loss_and_gradient(X, d, "squared_error")[1])
    np.testing.assert_allclose(Hv, (slopes[0] - slopes[1]) / 2e-6, rtol=1e-5, atol=1e-8)
    assert np.array_equal(model.layers[0].state, states[0])
    assert np.array_equal(model.layers[2].state, states[1])


@each_cell
def test_fit_carries_states_from_batch_to_batch(cell: str, rng: np.random.Generator) -> None:
    """The batches one by one, each from the state before: the same training, and the same bits on any number of threads."""
    X, d = rng.standard_normal((15, 6, 2)), rng.standard_normal((15, 3))

    def trained(threads: int) -> bytes:
        nn.set_num_threads(threads)
        model = network([CELLS[cell](3, stateful=5)])
        nn.Trainer(model, "squared_error", nn.SGD(lr=0.1)).fit(X, d, epochs=2, batch_size=5, shuffle=False, verbose=0)
        return model.parameters.tobytes() + model.state.tobytes()

    by_hand = network([CELLS[cell](3, stateful=5)])
    for _ in range(2):
        for first in (0, 5, 10):
            batch = X[first : first + 5]
            gradient = by_hand.loss_and_gradient(batch, d[first : first + 5], "squared_error")[1]
            by_hand.forward(batch, training=True)  # renews the state
            by_hand.parameters -= 0.1 * gradient
    before = nn.get_num_threads()
    try:
        results = {trained(threads) for threads in (1, 2, 3)}
    finally:
        nn.set_num_threads(before)
    assert len(results) == 1
    got = np.frombuffer(results.pop())
    np.testing.assert_allclose(got, np.concatenate([by_hand.parameters, by_hand.state]), rtol=1e-9, atol=1e-12)


def test_what_measures_leaves_the_states(rng: np.random.Generator) -> None:
    """Neither what is seen of a training nor what is computed beside it changes it."""
    X, d = rng.standard_normal((15, 6, 2)), rng.standard_normal((15, 3))

    def trained(**options: Any) -> tuple[nn.Sequential, nn.Trainer]:
        model = network([nn.GRU(3, stateful=5)])
        trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=0.1))
        trainer.fit(X, d, epochs=3, batch_size=5, shuffle=False, verbose=0, **options)
        return model, trainer

    expected, _ = trained()
    for options in ({"validation_data": (X[:10], d[:10])}, {"exact_loss": True}):
        model, trainer = trained(**options)
        np.testing.assert_array_equal(model.parameters, expected.parameters)
        np.testing.assert_array_equal(model.state, expected.state)
    trainer.lr_find(X, d, steps=6, batch_size=5)
    trainer.profile(X, d, batch_size=5, steps=2)
    np.testing.assert_array_equal(model.state, expected.state)
    flat = np.zeros((2, model.parameters.size))
    surface = nn.landscapes.loss_surface(model, X, d, "squared_error", flat, points=2)
    assert len({*surface.loss.ravel()}) == 1
    assert surface.loss[0, 0] == trainer.evaluate(X, d)["loss"]  # which leaves the last states
    assert not np.array_equal(model.state, expected.state)


def test_batch_statistics_leave_the_states(rng: np.random.Generator) -> None:
    model = network([nn.GRU(3, stateful=5), nn.Dense(4), nn.BatchNorm()])
    X = rng.standard_normal((10, 6, 2))
    model.predict(X)
    states = model["gru_1"].state.copy()
    trainer = nn.Trainer(model, "squared_error")
    trainer.update_batch_statistics(X, batch_size=5)
    for rows in (3, 9):  # the last one would be joined to the batch before
        with pytest.raises(ValueError, match=f"got 10 rows in batches of {rows}"):
            trainer.update_batch_statistics(X, batch_size=rows)
    np.testing.assert_array_equal(model["gru_1"].state, states)
    for given in (X, None):
        folded, difference = model.fold_batch_norm(given)
        assert difference < 1e-12
        np.testing.assert_array_equal(model["gru_1"].state, states)
        np.testing.assert_array_equal(folded["gru_1"].state, states)


def test_no_program_takes_more_rows_than_there_are_states(rng: np.random.Generator) -> None:
    """Whatever the checks of a call have overlooked: ops would read and write beyond the states."""
    model = network([nn.GRU(3, stateful=5)])
    for rows in (6, 10):
        with pytest.raises(ValueError, match=f"layer gru_1 must get batches of 5 rows, got {rows}"):
            ModelTape.forward(model, rows)


def test_initialization_from_data_leaves_the_states(rng: np.random.Generator) -> None:
    model = network([nn.GRU(3, stateful=5), nn.WeightNorm(nn.Dense(4))])
    model.state[...] = 0.5
    model.layers[1].initialize_from_data(rng.standard_normal((5, 6, 2)))
    assert (model.state == 0.5).all()


def test_lr_find_takes_the_pieces_in_their_order(rng: np.random.Generator) -> None:
    X, d = rng.standard_normal((15, 6, 2)), rng.standard_normal((15, 3))
    model = network([nn.GRU(3, stateful=5)])
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=0.1))
    losses = trainer.lr_find(X, d, start=1e-30, end=2e-30, steps=3, batch_size=5).losses
    expected = [trainer.evaluate(X[first : first + 5], d[first : first + 5])["loss"] for first in (0, 5, 10)]
    np.testing.assert_allclose(losses, expected, rtol=1e-12)


class Raises(nn.Layer):
    """Fails in the last of so many passes."""

    takes_mask = True
    left = 3

    def forward(self, x: Array, training: bool) -> Array:
        self.left -= 1
        if not self.left:
            raise RuntimeError("the last one")
        return x

    def backward(self, dy: Array) -> Array:
        return dy


def test_a_pass_that_fails_leaves_the_states(rng: np.random.Generator) -> None:
    X, d = rng.standard_normal((20, 6, 2)), rng.standard_normal((20, 3))
    model = network([nn.GRU(3, stateful=5), Raises()])
    model.state[...] = 0.5
    for left, call in (
        (3, lambda: model.predict(X)), (3, lambda: nn.Trainer(model, "squared_error").evaluate(X, d)),
        (1, lambda: model.activations(X[:5])), (1, lambda: model.forward(X[:5], training=True)),
    ):  # fmt: skip
        model.layers[1].left = left
        with pytest.raises(RuntimeError, match="the last one"):
            call()
        assert (model.state == 0.5).all()


def test_rows_must_correspond(rng: np.random.Generator) -> None:
    model, X, d = network([nn.GRU(3, stateful=5)]), rng.standard_normal((12, 6, 2)), rng.standard_normal((12, 3))
    message = r"layer gru_1, with stateful=5, needs batches of 5 rows, whose states it carries over: got 12 rows in batches of"
    trainer = nn.Trainer(model, "squared_error")
    for call in (
        lambda: model.predict(X), lambda: model.activations(X), lambda: model.loss_and_gradient(X, d, "squared_error"),
        lambda: trainer.fit(X, d, batch_size=4, shuffle=False, verbose=0), lambda: trainer.evaluate(X, d),
        lambda: trainer.fit(X, d, batch_size=5, shuffle=False, verbose=0),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call()
    some = {"batch_size": 5, "verbose": 0}
    with pytest.raises(ValueError, match=r"fit needs shuffle=False for a model that carries states over .* \(stateful=5\)"):
        trainer.fit(X[:10], d[:10], **some)
    with pytest.raises(ValueError, match="accumulate must be 1 for a model that carries states over"):
        trainer.fit(X[:10], d[:10], shuffle=False, accumulate=2, **some)
    more = np.concatenate([X, X[:3]]), np.concatenate([d, d[:3]])
    with pytest.raises(ValueError, match="got 15 rows in batches of 10"):  # though the last one has 5
        trainer.fit(*more, batch_size=10, shuffle=False, verbose=0)
    with pytest.raises(ValueError, match="got 15 rows in batches of 15"):
        trainer.partial_fit(*more)
    with pytest.raises(ValueError, match="predict_samples needs a model that carries no states over"):
        model.predict_samples(X[:5])
    with pytest.raises(ValueError, match="got 11 rows in batches of 5"):
        trainer.fit(X[:11], d[:11], shuffle=False, last_batch="merge", **some)
    for rows in (5, 10):
        with pytest.raises(ValueError, match="optimizer must take gradient steps for a model that carries states over"):
            nn.Trainer(model, "squared_error", nn.second_order.LBFGS()).fit(X[:rows], d[:rows], shuffle=False, verbose=0)
    before = model.parameters.copy()
    with pytest.raises(ValueError, match="validation_split must be 0 for a model that carries states over"):
        trainer.fit(X[:10], d[:10], shuffle=False, validation_split=0.5, **some)
    with pytest.raises(ValueError, match="got 7 rows in batches of 5, in the validation data"):
        trainer.fit(X[:10], d[:10], shuffle=False, validation_data=(X[:7], d[:7]), **some)
    with pytest.raises(ValueError, match="got 12 rows in batches of 5, in the data, for exact_loss"):
        trainer.fit(X, d, shuffle=False, last_batch="drop", exact_loss=True, **some)
    assert np.array_equal(model.parameters, before)
    for product in (model.jacobian, lambda X: model.jacobian_product(X, model.parameters)):
        with pytest.raises(ValueError, match="needs batches of 5 rows"):
            product(X[:10])
    with pytest.raises(ValueError, match="members must not carry states over"):
        nn.Ensemble(model, 2)
    assert not model.state.any()
    assert model.predict(X[:10]).shape == (10, 3)
    assert trainer.evaluate(X[:10], d[:10])["loss"] > 0
    with pytest.raises(ValueError, match="stateful"):
        nn.Sequential([nn.GRU(3, stateful=5), nn.Dense(3), Steps(), nn.GRU(3, stateful=4)], input_shape=(6, 2))
    with pytest.raises(ValueError, match="reset_state of gru needs a layer with stateful"):
        nn.GRU(3).reset_state()
    for rows in (0, -1, 2.5, True, "3"):
        with pytest.raises((TypeError, ValueError), match="stateful must be"):
            nn.GRU(3, stateful=rows)  # type: ignore[arg-type]


class Steps(nn.Layer):
    """One step of the last axis."""

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (1, *input_shape)

    def forward(self, x: Array, training: bool) -> Array:
        return x[:, None]

    def backward(self, dy: Array) -> Array:
        return dy[:, 0]


@each_cell
def test_saved_with_its_state(cell: str, tmp_path: Path, rng: np.random.Generator) -> None:
    model, X = network([nn.Masking(-1.0), CELLS[cell](3, stateful=5)]), rng.standard_normal((5, 6, 2))
    model.predict(X)
    model.save(tmp_path / "model")
    for other in (nn.load(tmp_path / "model"), model.copy()):
        assert repr(other) == repr(model)
        assert np.array_equal(other.layers[1].state, model.layers[1].state)
        assert other.layers[1].state is not model.layers[1].state
    copy, want = model.copy(), model.predict(X)
    assert np.array_equal(copy.predict(X), want)


# Both directions.


@each_cell
@pytest.mark.parametrize("merge", ["concat", "mean", "sum"])
@pytest.mark.parametrize("sequences", [False, True])
def test_both_directions_are_two_layers(cell: str, merge: str, sequences: bool, rng: np.random.Generator) -> None:
    """The second on sequences whose own steps are reversed."""
    both = nn.Bidirectional(CELLS[cell](3, return_sequences=sequences), merge=merge)
    model, X = network([nn.Masking(), both]), padded(rng)
    reverse = X.copy()
    for x, length in zip(reverse, LENGTHS, strict=True):
        x[:length] = x[:length][::-1].copy()
    alone = [network([nn.Masking(), CELLS[cell](3, return_sequences=sequences)]) for _ in range(2)]
    half = model.parameters.size // 2
    for one, theta in zip(alone, (model.parameters[:half], model.parameters[half:]), strict=True):
        one.parameters[...] = theta
    h, g = alone[0].predict(X), alone[1].predict(reverse)
    got = model.predict(X)
    for i, length in enumerate(LENGTHS):
        first, second = (h[i, :length], g[i, :length][::-1]) if sequences else (h[i], g[i])
        joined = np.concatenate([first, second], axis=-1)
        want = {"concat": joined, "sum": first + second, "mean": (first + second) / 2}[merge]
        np.testing.assert_allclose(got[i, :length] if sequences else got[i], want, rtol=1e-12, atol=1e-14)


@each_cell
@pytest.mark.parametrize("merge", ["concat", "mean", "sum"])
@pytest.mark.parametrize("zoneout", [0.0, 0.3])
def test_gradients_of_both_directions(cell: str, merge: str, zoneout: float, rng: np.random.Generator) -> None:
    layers: list[nn.Layer] = [
        nn.Bidirectional(CELLS[cell](3, return_sequences=True, zoneout=zoneout), merge=merge), nn.Tanh(),
        nn.Bidirectional(CELLS[cell](2, zoneout=zoneout), merge=merge), nn.Dense(2),
    ]  # fmt: skip
    check_gradients(network(layers), rng.standard_normal((7, 6, 2)), rng)


def test_the_directions_draw_numbers_of_their_own(rng: np.random.Generator) -> None:
    model = network([nn.Bidirectional(nn.SimpleRNN(20, return_sequences=True, zoneout=0.5))])
    h = model.forward(rng.standard_normal((50, 6, 2)), training=True)
    first, second = h[:, 1:-1, :20] == h[:, :-2, :20], h[:, 1:-1, 20:] == h[:, 2:, 20:]
    assert 0.45 < first.mean() < 0.55
    assert 0.45 < second.mean() < 0.55
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 4 / np.sqrt(first.size)


@each_dtype
def test_same_bits_of_all_on_any_number_of_threads(dtype: str, rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((150, 6, 9)), rng.integers(0, 4, 150)
    X[rng.random((150, 6)) < 0.3] = 0

    def trained(threads: int) -> bytes:
        nn.set_num_threads(threads)
        cells = [nn.GRU(40, return_sequences=True, zoneout=0.2), nn.GRU(36, reset_after=False)]
        layers = [nn.Masking(), nn.Bidirectional(cells[0]), nn.Bidirectional(cells[1], merge="sum"), nn.Dense(4)]
        model = nn.Sequential(layers, input_shape=(6, 9), dtype=dtype)
        nn.Trainer(model, "softmax_cross_entropy", nn.Adam()).fit(X, y, epochs=2, batch_size=70, verbose=0)
        return model.parameters.tobytes() + model.predict(X).tobytes()

    before = nn.get_num_threads()
    try:
        assert trained(1) == trained(2) == trained(3)
    finally:
        nn.set_num_threads(before)


@each_cell
def test_both_directions_saved_and_copied(cell: str, tmp_path: Path, rng: np.random.Generator) -> None:
    wrapped = CELLS[cell](3, zoneout=0.25, weight_init="lecun_normal")
    model, X = network([nn.Bidirectional(wrapped, merge="mean", name="both")]), rng.standard_normal((4, 6, 2))
    model.save(tmp_path / "model")
    for other in (nn.load(tmp_path / "model"), model.copy(), eval(repr(model), {**vars(nn), **vars(nn.initializers)})):
        other.parameters[...] = model.parameters
        assert repr(other) == repr(model)
        for training in (False, True):
            assert other.forward(X, training=training).tobytes() == model.forward(X, training=training).tobytes()
    layer: Any = model.layers[0]
    assert layer.backward_weight.base is not None
    layer.backward_weight[...] = 0
    assert not layer.backward_weight_grad.any()


@each_cell
def test_rows_of_U_are_penalized_and_constrained(cell: str, rng: np.random.Generator) -> None:
    """Every entry of θ is updated once, whatever products it is part of."""
    model = network([CELLS[cell](5), nn.Dense(2)])
    X, d = rng.standard_normal((9, 6, 2)), rng.standard_normal((9, 2))
    gradient, theta = model.loss_and_gradient(X, d, "squared_error")[1], model.parameters.copy()
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=0.1), constraint=nn.MaxNorm(0.4))
    trainer.fit(X, d, epochs=1, batch_size=9, shuffle=False, verbose=0)
    want = theta - 0.1 * gradient
    for layer in model.layers:
        for parameter in layer.parameters.values():
            if parameter.regularized:
                part = parameter.of(want)
                part *= np.minimum(1, 0.4 / np.sqrt((part**2).sum(axis=1, keepdims=True)))
    np.testing.assert_allclose(model.parameters, want, rtol=1e-12, atol=1e-14)
    assert NAMES[cell] == model.layers[0].name


def test_bad_directions() -> None:
    for layer in (nn.Dense(3), nn.Bidirectional(nn.GRU(3)), "GRU", None):
        with pytest.raises(TypeError, match="layer must be a SimpleRNN or GRU"):
            nn.Bidirectional(layer)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="merge must be"):
        nn.Bidirectional(nn.GRU(3), merge="ave")
    with pytest.raises(ValueError, match="layer of bidirectional_1 must not be stateful"):
        nn.Sequential([nn.Bidirectional(nn.GRU(3, stateful=2))], input_shape=(4, 2))
    with pytest.raises(ValueError, match="gru needs sequences"):
        nn.Sequential([nn.Bidirectional(nn.GRU(3))], input_shape=4)


# PyTorch and Keras.


def keras_arrays(layer: Any, prefix: str = "") -> list[Array]:
    """The arrays of a layer, or of one direction, as Keras holds them: transposed, with the gates in the order z, r, n."""

    def turned(name: str) -> Array:
        array = getattr(layer, prefix + name)
        if len(array) > (units := getattr(layer, prefix + "recurrent_weight").shape[1]):
            r, z, n = np.split(array, 3)
            array = np.concatenate([z, r, n])
            assert len(array) == 3 * units
        return array.T

    biases = [turned("bias")]
    if f"{prefix}recurrent_bias" in layer.parameters:
        biases = [np.stack([*biases, turned("recurrent_bias")])]
    return [turned("weight"), turned("recurrent_weight"), *biases]


def keras_cell(keras: Any, cell: str, units: int, **options: Any) -> Any:
    """A layer of Keras, which computes in float32."""
    if cell == "simple_rnn":
        return keras.layers.SimpleRNN(units, **options)
    return keras.layers.GRU(units, reset_after=cell == "gru", **options)


@each_cell
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("before", [False, True])
def test_skipped_steps_as_in_keras(cell: str, sequences: bool, before: bool, rng: np.random.Generator, keras: Any) -> None:
    model = network([nn.Masking(), CELLS[cell](4, return_sequences=sequences)])
    X = padded(rng, before=before)
    X[5, 2] = 0
    layer = keras_cell(keras, cell, 4, return_sequences=sequences)
    theirs = keras.Sequential([keras.Input(shape=(6, 2)), keras.layers.Masking(), layer])
    layer.set_weights(keras_arrays(model.layers[1]))
    np.testing.assert_allclose(model.predict(X), theirs.predict(X, batch_size=7, verbose=0), rtol=0, atol=1e-6)


@each_cell
@pytest.mark.parametrize(("merge", "mode"), [("concat", "concat"), ("sum", "sum"), ("mean", "ave")])
@pytest.mark.parametrize("sequences", [False, True])
def test_both_directions_as_in_keras(
    cell: str, merge: str, mode: str, sequences: bool, rng: np.random.Generator, keras: Any
) -> None:
    both = nn.Bidirectional(CELLS[cell](4, return_sequences=sequences), merge=merge)
    model, X = network([nn.Masking(), both]), padded(rng)
    wrapped = keras_cell(keras, cell, 4, return_sequences=sequences)
    layer = keras.layers.Bidirectional(wrapped, merge_mode=mode)
    theirs = keras.Sequential([keras.Input(shape=(6, 2)), keras.layers.Masking(), layer])
    layer.set_weights([*keras_arrays(both, "forward_"), *keras_arrays(both, "backward_")])
    got = model.predict(X)
    if sequences:  # Keras's outputs are 0 at skipped steps here, where otherwise it repeats the state too
        got *= X.any(axis=2, keepdims=True)
    np.testing.assert_allclose(got, theirs.predict(X, batch_size=7, verbose=0), rtol=0, atol=1e-6)


@each_cell
def test_states_carried_over_as_in_keras(cell: str, rng: np.random.Generator, keras: Any) -> None:
    model = network([nn.Masking(), CELLS[cell](4, stateful=7)])
    layer = keras_cell(keras, cell, 4, stateful=True)
    theirs = keras.Sequential([keras.Input(shape=(6, 2), batch_size=7), keras.layers.Masking(), layer])
    layer.set_weights(keras_arrays(model.layers[1]))
    for _ in range(3):
        X = padded(rng)
        np.testing.assert_allclose(model.predict(X), theirs.predict(X, batch_size=7, verbose=0), rtol=0, atol=1e-6)


@pytest.mark.parametrize("cell", ["gru", "simple_rnn"])  # of whose kind PyTorch has one
@pytest.mark.parametrize("sequences", [False, True])
def test_packed_sequences_in_both_directions_as_in_torch(
    cell: str, sequences: bool, rng: np.random.Generator, torch: Any
) -> None:
    """Outputs, and gradients of all arrays and of the data."""
    both: Any = nn.Bidirectional(CELLS[cell](4, return_sequences=sequences))
    model = network([nn.Masking(), both])
    kept = [i for i, length in enumerate(LENGTHS) if length]  # PyTorch packs no empty sequences
    X, lengths = padded(rng)[kept], [LENGTHS[i] for i in kept]
    theirs = {"simple_rnn": torch.nn.RNN, "gru": torch.nn.GRU}[cell](2, 4, batch_first=True, bidirectional=True).double()
    for prefix, end in (("forward_", ""), ("backward_", "_reverse")):
        arrays = [both.parameters[prefix + name].of(model.parameters) for name in ("weight", "recurrent_weight", "bias")]
        arrays.append(getattr(both, prefix + "recurrent_bias") if cell == "gru" else 0 * arrays[-1])
        with torch.no_grad():
            for name, array in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), arrays, strict=True):
                getattr(theirs, f"{name}_l0{end}").copy_(torch.tensor(array))
    x = torch.tensor(X, requires_grad=True)
    rnn = torch.nn.utils.rnn
    out, last = theirs(rnn.pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False))
    h = rnn.pad_packed_sequence(out, batch_first=True, total_length=6)[0] if sequences else torch.cat([last[0], last[1]], 1)
    own = np.arange(6) < np.array(lengths)[:, None]  # PyTorch's outputs are 0 elsewhere
    r = rng.standard_normal(h.shape) * (own[..., None] if sequences else 1)
    ((h * torch.tensor(r)).sum() / len(X)).backward()

    def close(got: Array, want: Any) -> None:
        np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-10, atol=1e-12)

    got = model.predict(X)
    close(got * own[..., None] if sequences else got, h)
    upstream = nn.losses.PythonLoss(lambda y, r: ((r * y).sum(axis=1), r))
    close(model.deltas(X, r.reshape(len(X), -1), upstream)["input"], x.grad)
    for prefix, end in (("forward_", ""), ("backward_", "_reverse")):
        for mine, name in (("weight", "weight_ih"), ("recurrent_weight", "weight_hh"), ("bias", "bias_ih")):
            close(getattr(both, f"{prefix}{mine}_grad"), getattr(theirs, f"{name}_l0{end}").grad)
