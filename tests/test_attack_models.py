"""Random models under attack: a few of each kind, and that the attacks can tell. ``python -m attack`` runs any number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers.configuration import named

import nncore as nn
from attack import models, pool, random_arguments, random_models, threads, together, twin
from attack.bits import bits_of
from nncore import callbacks, layers, losses, optimizers, samplers, schedules, second_order
from nncore._kernels import program
from nncore.data.scaling import SCALERS
from nncore.export import steps

CLASSES: list[type] = [
    *layers.LAYERS.values(), *losses.LOSSES.values(), *optimizers.OPTIMIZERS.values(), *optimizers.WRAPPERS.values(),
    nn.PathSGD, *second_order.OPTIMIZERS.values(), *SCALERS.values(), *nn.data.TRANSFORMS.values(), *samplers.SAMPLERS.values(),
    *random_models.REGULARIZERS, *random_models.CONSTRAINTS, *random_models.CLIPS,
]  # fmt: skip
LONG_RUN = 0  # a seed whose steps run on several threads, and take some time
needs_openmp = pytest.mark.skipif(not program.has_openmp(), reason="built without OpenMP")


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = nn.get_num_threads()
    yield
    nn.set_num_threads(before)


# ---- what is drawn


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_argument_is_drawn(cls: type) -> None:
    """A class with an argument that cannot be drawn from its field alone needs an entry in ``DRAWS``."""
    for name in named(cls):
        if name not in ("weights", "optimizer"):  # which are given
            random_arguments.drawing(cls, name)


def test_every_schedule_is_drawn() -> None:
    rng = np.random.default_rng(0)
    drawn = {type(random_arguments.schedule(rng, 0.5)) for _ in range(200)}
    assert drawn == set(schedules.SCHEDULES.values())


def parts_of(setup: random_models.Setup) -> Iterator[type]:
    """The classes of all parts of a training."""
    trainer, optimizer = setup.trainer, setup.trainer.optimizer
    parts: list[Any] = [
        *trainer.model.layers,
        trainer.loss,
        optimizer,
        *setup.callbacks,
        trainer.clip,
        setup.fit.get("sampler"),
    ]
    while "optimizer" in vars(optimizer):
        optimizer = optimizer.optimizer
        parts.append(optimizer)
    parts += [trainer.model.input_scaler, trainer.model.target_scaler, *getattr(setup.fit.get("augment"), "transforms", ())]
    for part in (trainer.regularizer, trainer.constraint):
        parts += part.values() if isinstance(part, dict) else [part, *getattr(part, "penalties", {}).values()]
    return map(type, parts)


def test_every_class_occurs() -> None:
    drawn = {cls for seed in range(500) for cls in parts_of(random_models.draw(seed))}
    assert {*CLASSES, *callbacks.CALLBACKS.values()} - drawn == {nn.LambdaCallback}


def test_the_same_seed_draws_the_same() -> None:
    for seed in range(20):
        some, other = random_models.draw(seed), random_models.draw(seed)
        assert repr(some.trainer) == repr(other.trainer)
        assert repr(some.fit) == repr(other.fit)
        assert np.array_equal(some.y, other.y)
        assert bits_of(some.trainer, some.X) == bits_of(other.trainer, other.X)


# ---- models


@pytest.mark.parametrize("number", range(40))
def test_a_random_model(number: int) -> None:
    pool.once(models.case, 0, number)


def check_all(cases: Iterable[Any], check: Callable[[Any], Any]) -> None:
    for each in cases:
        check(each)


def setups() -> list[random_models.Setup]:
    return [random_models.draw(seed, dtype="float64") for seed in range(12)]


@pytest.mark.parametrize("kind", [steps.Dense, steps.Activation])
def test_another_forward_pass_is_told(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    own = twin.TWINS[kind]
    check_all(setups(), models.check_twin)
    monkeypatch.setitem(twin.TWINS, kind, lambda h, step: own(h, step) * (1 + 1e-6))
    with pytest.raises(AssertionError, match="from its twin"):
        check_all(setups(), models.check_twin)


def test_another_gradient_and_another_hessian_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(nn.Layer):
        def forward(self, x: Any, training: bool) -> Any:
            return x * 1.0

        def backward(self, dy: Any) -> Any:
            return dy * 1.01

    rng = np.random.default_rng(0)
    setup = random_models.draw(0, dtype="float64", before_output=Wrong())
    with pytest.raises(AssertionError, match=r"gradient of .* is 0.00\d+ off"):
        models.check_gradient(setup, rng)
    product = nn.Sequential.hessian_vector_product
    monkeypatch.setattr(nn.Sequential, "hessian_vector_product", lambda *args: 1.01 * product(*args))
    with pytest.raises(AssertionError, match=r"Hv is .* off"):
        check_all(setups(), lambda setup: models.check_curvature(setup, rng))


# ---- threads


@needs_openmp
@pytest.mark.parametrize("seed", range(6))
def test_a_random_training_on_1_to_8_threads(seed: int) -> None:
    threads.run(seed)


@needs_openmp
def test_eight_threads_are_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    if not threads.times_of_threads():
        pytest.skip("the system does not tell the times of threads")
    assert threads.run(LONG_RUN, epochs=20) == "trained, parallel"
    set_num_threads = nn.set_num_threads
    monkeypatch.setattr(nn, "set_num_threads", lambda n: set_num_threads(min(n, 3)))
    with pytest.raises(AssertionError, match="3 threads were at work, not 4"):
        threads.run(LONG_RUN, epochs=20)


@needs_openmp
def test_bits_that_depend_on_threads_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sum(nn.LambdaCallback):
        """Adds up in parts, one for each thread."""

        def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
            row["sum"] = sum(float(part.sum()) for part in np.array_split(np.arange(97) * 0.1, nn.get_num_threads()))

    draw = random_models.draw
    monkeypatch.setattr(threads, "draw", lambda *args, **given: with_callback(draw(*args, **given), Sum()))
    with pytest.raises(AssertionError, match=r"one thread and \d: different bits in history.sum"):
        check_all(range(6), threads.run)


def with_callback(setup: random_models.Setup, callback: nn.Callback) -> random_models.Setup:
    setup.fit["callbacks"] = [callback]
    return setup


def test_the_cases_of_threads_run_in_a_process_started_afresh() -> None:
    outcomes = [threads.case(np.random.default_rng(seed)) for seed in range(2)]
    assert all(outcome.split(",")[0] in ("trained", "refused", "diverged", "singular") for outcome in outcomes)
    threads.stop()


# ---- ensembles


@pytest.mark.parametrize("number", range(30))
def test_a_random_ensemble(number: int) -> None:
    pool.once(together.case, 0, number)


def test_members_with_other_bits_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    make = together._trainer

    def other_seed(setup: random_models.Setup, model: Any, seed: int, parts: Any) -> Any:
        return make(setup, model, seed + isinstance(model, nn.Ensemble), parts)

    monkeypatch.setattr(together, "_trainer", other_seed)
    with pytest.raises(AssertionError):
        check_all(range(12), lambda number: together.case(np.random.default_rng(number)))
