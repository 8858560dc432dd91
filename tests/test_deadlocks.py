"""Threads whose Python code works on each other's models, and children that are forked within a program."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore._kernels import Lock, program

WORK: dict[str, Any] = {
    "copy": lambda model: model.copy(),
    "save": lambda model: model.save(os.devnull),
    "gradient": lambda model: model.loss_and_gradient(np.ones((4, 2)), np.ones(4), "squared_error"),
    "trainer": lambda model: model.trainer.save(os.devnull),
}


class Trained(nn.Sequential):
    """A model that knows its trainer."""

    trainer: nn.Trainer


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_losses_that_use_each_other_s_models(work: Any) -> None:
    """Both are in a step, then each uses the other's model: at least one gets an error, and nothing hangs."""
    models = [Trained([nn.Dense(1)], input_shape=2, seed=seed) for seed in range(2)]
    meet, errors = threading.Barrier(2), []

    def loss(other: nn.Sequential) -> Any:
        def within(y: Any, d: Any) -> Any:
            if not meet.broken and meet.n_waiting < 2:
                try:
                    meet.wait(5)
                    work(other)
                finally:
                    meet.abort()
            return (y - d)[:, 0] ** 2, 2 * (y - d)

        return within

    trainers = [nn.Trainer(mine, loss(other)) for mine, other in zip(models, models[::-1], strict=True)]
    for model, trainer in zip(models, trainers, strict=True):
        model.trainer = trainer

    def train(trainer: nn.Trainer) -> None:
        try:
            trainer.fit(np.ones((4, 2)), np.ones(4), epochs=2, verbose=0)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=train, args=(trainer,), daemon=True) for trainer in trainers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    waited = [error for error in errors if "two threads wait for each other" in str(error)]
    assert waited
    assert all(isinstance(error, RuntimeError) for error in errors)
    for trainer in trainers:  # and everything works as before
        assert trainer.model.lock.acquire(timeout=1)
        trainer.model.lock.release()
        meet.abort()
        trainer.fit(np.ones((4, 2)), np.ones(4), epochs=1, verbose=0)


def test_calls_wait_for_a_lock_that_is_held_for_long() -> None:
    """Also several at a time, and also a lock whose previous holder waits for something else."""
    lock, other, order = Lock(), Lock(), []

    def take(number: int) -> None:
        with lock, other, lock:
            order.append(number)

    with other, lock:
        threads = [threading.Thread(target=take, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(1.2)
        assert not order
    for thread in threads:
        thread.join(10)
    assert sorted(order) == [0, 1, 2]


def test_a_lock_that_is_taken_again_at_once_gives_way() -> None:
    """To each thread that waits for it."""
    lock, order, expected = Lock(), [], []

    def take() -> None:
        with lock:
            order.append("another")

    for _ in range(30):
        with lock:
            threads = [threading.Thread(target=take) for _ in range(2)]
            for thread in threads:
                thread.start()
            while sum(waited is lock for waited in program.waiting.copy().values()) < 2:
                time.sleep(0.001)
        lock.give_way()
        with lock:
            order.append("the same")
        expected += ["another", "another", "the same"]
        for thread in threads:
            thread.join(10)
    assert order == expected


FORK = """
import os, sys, time
import numpy as np, nncore as nn
nn.set_num_threads({threads})
forked = []
class Fork(nn.Layer):
    def forward(self, x, training):
        if not forked:
            forked.append(os.fork())
            if forked[0] == 0 and {leaves}:
                os._exit(0)
        return x
    def backward(self, dy):
        return dy
X, y = np.random.default_rng(0).standard_normal((512, 64)).astype("float32"), np.arange(512) % 10
model = nn.Sequential([nn.Dense(256), Fork(), nn.Dense(10)], input_shape=64)
trainer = nn.Trainer(model, "softmax_cross_entropy")
trainer.fit(X, y, batch_size=256, verbose=0)
if forked[0] == 0:
    os._exit(7 if np.isfinite(model.parameters).all() else 8)
for _ in range(200):
    pid, status = os.waitpid(forked[0], os.WNOHANG)
    if pid:
        print(os.waitstatus_to_exitcode(status), len(trainer.history))
        break
    time.sleep(0.1)
else:
    os.kill(forked[0], 9)
    print("hangs")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("threads", "leaves", "code"), [(2, False, 1), (1, False, 7), (2, True, 0), (1, True, 0)])
def test_a_child_forked_within_a_program(threads: int, leaves: bool, code: int) -> None:
    """On one thread the child continues, on several it exits with a message; a child that exits by itself is unaffected."""
    result = subprocess.run(
        [sys.executable, "-c", FORK.format(threads=threads, leaves=leaves)], capture_output=True, text=True, timeout=100,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}, check=True,
    )  # fmt: skip
    assert result.stdout.split() == [str(code), "1"], result.stderr
    assert ("cannot go on with it on one of several threads" in result.stderr) == (code == 1)
