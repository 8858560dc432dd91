"""Members of an ensemble beside networks alone."""

from __future__ import annotations

import numpy as np

import nncore as nn


def same(alone: nn.Trainer, together: nn.EnsembleTrainer, k: int) -> bool:
    """Assert that a member is what the network alone is: parameters, state and history."""
    member = together.model[k]
    assert np.array_equal(alone.model.parameters, member.parameters)
    assert np.array_equal(alone.model.state, member.state)
    assert alone.history == together.history.member(k)
    assert alone.history.columns == together.history.member(k).columns
    return True
