"""Requests to a session of the playground, random choices of a run, and what its script computes."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import random
from typing import Any

import numpy as np

from nncore.playground import catalog
from nncore.playground.parameters import defaults
from nncore.playground.session import Session

FRAME = {"grid": 8, "inspect": None, "example": None, "axes": [0, 1]}


def ask(session: Session, type: str, **request: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of a reply, read as the page reads them."""
    header, data = session.handle({"type": type, "id": 7, **request})
    assert header["id"] == 7
    json.dumps(header, allow_nan=False)
    arrays = {}
    for entry in header.get("arrays", ()):
        size = int(np.prod(entry["shape"]))
        assert entry["offset"] % 8 == 0
        flat = np.frombuffer(data, entry["dtype"], size, entry["offset"])
        arrays[entry["name"]] = flat.reshape(entry["shape"])
    return header, arrays


def changed(session: Session, **run: Any) -> dict[str, Any]:
    state = copy.deepcopy(session.state)
    state["runs"][0] |= run
    return state


def shown(session: Session, **request: Any) -> dict[str, Any]:
    header, _ = ask(session, "frame", **{**FRAME, **request})
    assert header["type"] == "frame", header
    return header


def twin(text: str, **space: Any) -> np.ndarray:
    """θ after a script."""
    with contextlib.redirect_stdout(io.StringIO()):
        exec(text, space)
    return np.asarray(space["model"].parameters)


def random_layers(rng: random.Random) -> list[dict[str, Any]]:
    known = catalog.catalog()
    return [
        {
            "units": rng.randint(2, 9), "activation": rng.choice(known["activations"])["name"],
            "norm": rng.choice([None, None, *catalog.NORMS]), "dropout": rng.choice([0, 0, 0.3]),
            "init": rng.choice(known["initializers"])["name"],
        }
        for _ in range(rng.randint(0, 3))
    ]  # fmt: skip


def random_run(rng: random.Random, task: str) -> dict[str, Any]:
    known, run = catalog.catalog(), {"layers": random_layers(rng), "loss": rng.choice(catalog.TASKS[task])}
    for field in ("schedule", "regularizer", "clip"):
        run[field] = defaults(rng.choice(known[f"{field}s"])) if rng.random() < 0.3 else None
    return run | {"optimizer": defaults(rng.choice(known["optimizers"])), "batch_size": rng.choice([7, 10, 32, 500])}
