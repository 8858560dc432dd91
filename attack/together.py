"""Random ensembles: every member has the bits of the network that is trained alone, also in a lane of a register.

What an ensemble does not take is left out: augmented rows and callbacks that write files. What one of its networks refuses
alone it must refuse.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
from helpers.ensembles import same
from numpy.typing import NDArray

import nncore as nn
from attack.random_models import Setup, draw
from nncore.ensemble import cohorts
from nncore.layers import ACTIVATIONS
from nncore.program.lanes import in_lanes
from nncore.second_order.base import FullBatchOptimizer

__all__ = ["case"]

Array = NDArray[Any]

EPOCHS = 2
PARTS = ("optimizer", "metrics", "lr_factors", "decay_factors", "constraint", "regularizer", "clip")
OF_FILES = (nn.ModelCheckpoint, nn.CSVLogger)
IN_LANES = (nn.Dense, *ACTIVATIONS.values())
TRIES = 40  # draws until one may be trained in lanes
LIMIT = 60.0  # seconds


def case(rng: np.random.Generator) -> str:
    """One ensemble, and its members alone."""
    members, seed = int(rng.choice([1, 3, 4, 5, 9, 17])), int(rng.integers(2**62))
    if rng.random() < 0.6:
        seed = _for_lanes(seed)
    setup = _setup(seed)
    parts = PARTS[: int(rng.integers(1, len(PARTS) + 1))]
    rows: list[Any] | None = None
    if rng.random() < 0.5 and "validation_split" not in setup.fit and not _by_blas(setup.trainer.model):
        rows, parts = _rows(rng, members, setup), [name for name in parts if name != "metrics"]
    if isinstance(setup.trainer.optimizer, FullBatchOptimizer):
        return _refused(setup, members)
    together = _trainer(setup, nn.Ensemble(setup.trainer.model, members), setup.trainer.seed, parts)
    lanes: list[Any] = []
    with patch.object(cohorts, "in_lanes", lambda *given: lanes.append(in_lanes(*given)) or lanes[-1]):
        outcome = _ended(together, setup, setup.X, setup.y, **({} if rows is None else {"subsets": rows}))
    ends = []
    for k in range(members):
        setup = _setup(seed)
        alone = _trainer(setup, nn.Ensemble(setup.trainer.model, members)[k].copy(), setup.trainer.seed + k, parts)
        ends.append(_alone(alone, setup, slice(None) if rows is None else rows[k]))
        if "refused" not in (outcome, ends[-1]):
            same(alone, together, k)
        if "validation_split" in setup.fit:  # it is drawn by the seed of the trainer for all members
            break
    assert (outcome == "refused") == ("refused" in ends), f"together {outcome}, alone {ends}"
    assert (outcome == "diverged") <= (set(ends) == {"diverged"}), f"together {outcome}, alone {ends}"
    return f"{outcome}, in lanes" if any(lanes) else outcome


def _refused(setup: Setup, members: int) -> str:
    try:
        _trainer(setup, nn.Ensemble(setup.trainer.model, members), 0, PARTS)
    except ValueError:
        return "refused: second order"
    raise AssertionError("an optimizer of second order is taken")


def _by_blas(model: nn.Sequential) -> bool:
    """Whether the outputs for a row may depend on how many there are (docs/design/determinism.rst)."""
    return any(isinstance(scaler, nn.data.Decorrelate) for scaler in (model.input_scaler, model.target_scaler))


def _alone(trainer: nn.Trainer, setup: Setup, rows: Any) -> str:
    fit = dict(setup.fit)
    if isinstance(rows, np.ndarray):
        if fit["sample_weight"] is not None:
            fit["sample_weight"] = fit["sample_weight"][rows]
        if "sampler" in fit:
            fit["sampler"] = fit["sampler"].take(rows, setup.X.shape[0])
    return _ended(trainer, setup._replace(fit=fit), setup.X[rows], setup.y[rows])


def _ended(trainer: Any, setup: Setup, X: Any, y: Array, **more: Any) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of members that diverge
            trainer.fit(X, y, epochs=EPOCHS, callbacks=setup.callbacks, **setup.fit, **more)
    except nn.DivergenceError:
        return "diverged"
    except (ValueError, TypeError):
        return "refused"
    return "trained"


def _setup(seed: int) -> Setup:
    setup = draw(seed)
    fit = {name: value for name, value in setup.fit.items() if name != "augment"}
    return setup._replace(fit=fit, callbacks=[one for one in setup.callbacks if not isinstance(one, OF_FILES)])


def _for_lanes(seed: int) -> int:
    """A seed whose network may be trained in lanes, if one is found soon."""
    for tried in range(seed, seed + TRIES):
        trainer = draw(tried).trainer
        if not trainer.optimizer.full_batch_only and all(isinstance(layer, IN_LANES) for layer in trainer.model.layers):
            return tried
    return seed


def _rows(rng: np.random.Generator, members: int, setup: Setup) -> list[Array]:
    """Rows for each member, of one length or of several; some of them twice, which samplers by the losses do not take.

    Metrics are left out: which targets are 0 and 1, or -1 and 1, is told by all that are given.
    """
    n = setup.X.shape[0]
    lengths = [int(rng.integers(1, n + 1))] * members if rng.random() < 0.5 else rng.integers(1, n + 1, members).tolist()
    twice = rng.random() < 0.5 and not getattr(setup.fit.get("sampler"), "reweights", False)
    return [rng.choice(n, length, replace=twice) for length in lengths]


def _trainer(setup: Setup, model: Any, seed: int, parts: Sequence[str]) -> Any:
    return nn.Trainer(model, setup.trainer.loss, seed=seed, **{name: getattr(setup.trainer, name) for name in parts})
