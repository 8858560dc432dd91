"""All numbers of a training as bytes, and what differs between two trainings."""

from __future__ import annotations

from typing import Any

import numpy as np

import nncore as nn
from nncore.second_order import SingularError

__all__ = ["assert_same", "bits_of", "trained"]

Bits = dict[str, bytes]


def bits_of(trainer: nn.Trainer, X: Any) -> Bits:
    """Parameters, state, the optimizer's state and arguments, history and predictions; not the times of the epochs."""
    history = trainer.history
    numbers: dict[str, Any] = {
        "parameters": trainer.model.parameters, "state": trainer.model.state, "epochs_done": trainer.epochs_done,
        "predictions": trainer.model.predict(X), "arguments": repr(trainer.optimizer.config()),
        **{f"optimizer.{name}": value for name, value in trainer.optimizer.state_dict().items()},
        **{f"history.{name}": history[name] for name in history if name != "seconds"},
    }  # fmt: skip
    return {name: value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode() for name, value in numbers.items()}


def assert_same(some: Bits, others: Bits, what: str) -> None:
    """Raise AssertionError unless both have the same names and bytes; says which differ."""
    differing = [name for name in sorted({*some, *others}) if some.get(name) != others.get(name)]
    assert not differing, f"{what}: different bits in {', '.join(differing)}"


def trained(trainer: nn.Trainer, X: Any, y: Any, **fit: Any) -> str:
    """Train, and say how it ended: "trained", "refused" before it had begun, or "diverged", which leaves finite numbers."""
    before = trainer.model.parameters.copy(), trainer.model.state.copy(), trainer.epochs_done
    try:
        trainer.fit(X, y, **fit)
    except nn.DivergenceError:
        ended = "diverged"
    except SingularError:
        ended = "singular"
    except (ValueError, TypeError):
        same = [np.array_equal(a, b) for a, b in zip(before[:2], (trainer.model.parameters, trainer.model.state), strict=True)]
        assert all(same), "a training was refused after parameters or state had changed"
        assert trainer.epochs_done == before[2], "a training was refused after an epoch"
        return "refused"
    else:
        ended = "trained"
    for array in (trainer.model.parameters, trainer.model.state, *trainer.optimizer.state.values()):
        assert np.isfinite(array).all(), f"numbers that are not finite in a training that {ended}"
    return ended
