"""A training that is stopped, saved, and continued by another trainer has the bits of one that was never stopped.

It is stopped after an epoch, by the end of ``fit`` or by Ctrl-C, or within one, by Ctrl-C. The other trainer is made anew,
sometimes in a process of its own. Compared are parameters, state, the optimizer's state, history, predictions, and the files
that callbacks write.

What is documented not to continue so is not left out but compared otherwise:

- `EarlyStopping` with ``restore_best`` puts the best parameters in place where ``fit`` ends. With it the checkpoint is the one
  that `ModelCheckpoint` has written within ``fit``, not one that is saved afterwards.
- Ctrl-C within an epoch leaves its steps in place, and the epoch does not count: the next ``fit`` begins it anew. So the
  restored trainer must have the bits of the interrupted one that goes on, not those of one without Ctrl-C.
- `ScipyMinimize` begins anew in every ``fit``: again, the restored trainer must have the bits of the one that goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

import nncore as nn
from attack.bits import Bits, assert_same, bits_of, trained
from attack.random_models import Setup, draw
from nncore.program import compiled
from nncore.second_order import FullBatchOptimizer, ScipyMinimize

__all__ = ["Plan", "case", "continued", "ctrl_c", "resume", "setup_of", "stop"]

Array = NDArray[Any]

AFTER, WITHIN = "Ctrl-C after an epoch", "Ctrl-C within an epoch"
BY_CALLBACK = ("saved by a callback", AFTER)
WAYS = (*BY_CALLBACK, "saved after fit", WITHIN)
MOST_EPOCHS = 6
ELSEWHERE = 0.03  # how often another process continues
QUESTION = 0.06  # seconds after which a run has asked whether to stop
SAVED = "saved"  # the checkpoint that another trainer continues from


class PressAfter(nn.Callback):
    """Ctrl-C at the end of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        if epoch == self.epoch:
            signal.raise_signal(signal.SIGINT)


class PressWithin(nn.Layer):
    """The identity, which counts its passes. In pass ``_at`` Ctrl-C is pressed twice, which gives up the step under way."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self._passes, self._at = 0, -1

    def forward(self, x: Array, training: bool) -> Array:
        self._passes += 1
        if self._passes == self._at:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            time.sleep(QUESTION)
        return x

    def backward(self, dy: Array) -> Array:
        return dy


class Plan(NamedTuple):
    """A training and where it is stopped: all that another process needs to continue."""

    seed: int
    way: str
    epochs: int
    stop: int  # the epoch after which it is stopped, unless within one


def case(rng: np.random.Generator) -> str:
    """Stop one random training, and continue it."""
    epochs = int(rng.integers(2, MOST_EPOCHS + 1))
    plan = Plan(int(rng.integers(2**62)), str(rng.choice(WAYS)), epochs, int(rng.integers(1, epochs)))
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), ctrl_c():
        return resume(plan, at=float(rng.random()), elsewhere=bool(rng.random() < ELSEWHERE))


def resume(plan: Plan, *, at: float, elsewhere: bool) -> str:
    """Stop a training, continue it in another trainer, and compare; in this folder.

    Parameters
    ----------
    plan : Plan
    at : float
        For Ctrl-C within an epoch: after which share of all forward passes.
    elsewhere : bool
        Continue in a process of its own.
    """
    through, first = setup_of(plan), setup_of(plan)
    with _inside("through"):
        outcome = trained(through.trainer, through.X, through.y, epochs=plan.epochs, **through.fit, callbacks=through.callbacks)
    if outcome != "trained" or through.trainer.epochs_done <= plan.stop:
        return f"{outcome}, but not stopped"
    with _inside("first"):
        stop(plan, first, 1 + int(at * _passes(through)))
    shutil.copytree("first", "second")
    left = plan.epochs - first.trainer.epochs_done
    if not left:
        return f"{plan.way}, the last"
    if plan.way == WITHIN or isinstance(first.trainer.optimizer, ScipyMinimize):
        with _inside("first"):
            _go_on(first, left)
        expected = _all_bits(first, "first")
    else:
        expected = _all_bits(through, "through")
    got = _elsewhere(plan, left) if elsewhere else continued(plan, left)
    assert_same(expected, got, f"{plan}, {first.trainer}")
    return f"{plan.way}{', elsewhere' if elsewhere else ''}"


def continued(plan: Plan, left: int) -> Bits:
    """What a new trainer makes of the checkpoint in the folder "second"."""
    second = setup_of(plan)
    with _inside("second"):
        second.trainer.restore(SAVED)
        second.trainer.fit(second.X, second.y, epochs=left, **second.fit, callbacks=second.callbacks)
    return _all_bits(second, "second")


def _elsewhere(plan: Plan, left: int) -> Bits:
    code = f"import pickle, sys; from attack import resume; p = resume.Plan(*{tuple(plan)!r}); r = resume.continued(p, {left})"
    code += "; sys.stdout.buffer.write(pickle.dumps(r))"
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])}
    result = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr.decode()
    bits: Bits = pickle.loads(result.stdout)
    return bits


def setup_of(plan: Plan) -> Setup:
    """The training, whose callbacks write into the folder in which it runs."""
    setup = draw(plan.seed, before_output=PressWithin() if plan.way == WITHIN else None)
    callbacks = setup.callbacks
    if plan.way not in BY_CALLBACK or isinstance(setup.trainer.optimizer, ScipyMinimize):
        callbacks = [callback for callback in callbacks if not getattr(callback, "restore_best", False)]
    if plan.way in BY_CALLBACK:
        callbacks = [*callbacks, nn.ModelCheckpoint(SAVED)]
    return setup._replace(callbacks=callbacks)


def _passes(setup: Setup) -> int:
    return max([layer._passes for layer in setup.trainer.model.layers if isinstance(layer, PressWithin)], default=0)


def stop(plan: Plan, setup: Setup, at: int) -> None:
    """Train until the stop, after which there is a checkpoint."""
    trainer, callbacks, epochs = setup.trainer, setup.callbacks, plan.epochs if plan.way.startswith("Ctrl-C") else plan.stop
    if plan.way == AFTER:
        callbacks = [PressAfter(plan.stop), *callbacks]
    presses = [layer for layer in trainer.model.layers if isinstance(layer, PressWithin)]
    for layer in presses:
        layer._at = at
    with patch.object(compiled, "STOPPABLE_WORK", 0), contextlib.suppress(KeyboardInterrupt):  # raised if it was pressed twice
        trainer.fit(setup.X, setup.y, epochs=epochs, **setup.fit, callbacks=callbacks)
    for layer in presses:
        layer._at = -1
    if plan.way not in BY_CALLBACK:
        trainer.save(SAVED)


def _go_on(setup: Setup, left: int) -> None:
    """With the same callbacks, which would otherwise begin anew."""
    for callback in setup.callbacks:
        if state := callback.state_dict():
            callback.load_state_dict(state)
    setup.trainer.fit(setup.X, setup.y, epochs=left, **setup.fit, callbacks=setup.callbacks)


def _all_bits(setup: Setup, folder: str) -> Bits:
    """Those of the trainer and of all files that callbacks wrote; without times, which second-order methods keep."""
    timed = isinstance(setup.trainer.optimizer, FullBatchOptimizer)
    files = {path.name: b"" if timed else _content(path) for path in Path(folder).iterdir() if path.name != SAVED}
    return bits_of(setup.trainer, setup.X) | files


def _content(path: Path) -> bytes:
    """The bytes of a file; of a checkpoint with its header in one order, as safetensors writes it in any."""
    data = path.read_bytes()
    if path.suffix == ".csv":
        return data
    end = 8 + int.from_bytes(data[:8], "little")
    return json.dumps(json.loads(data[8:end]), sort_keys=True).encode() + data[end:]


@contextlib.contextmanager
def _inside(folder: str) -> Iterator[None]:
    Path(folder).mkdir(exist_ok=True)
    with contextlib.chdir(folder):
        yield


@contextlib.contextmanager
def ctrl_c() -> Iterator[None]:
    """Python's own handler of Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
