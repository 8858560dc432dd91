"""Batch statistics of a trained network: recompute them over a data set, or fold them into the preceding layers."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from nncore._utils import fields
from nncore._utils.checks import convert
from nncore.data.sparse import SparseRows
from nncore.layers import BatchNorm, Dense
from nncore.layers.base import Layer
from nncore.layers.batch_norm import inference_constants
from nncore.model.network import Network
from nncore.program.compiled import Compiled
from nncore.program.recording import ModelTape
from nncore.program.stages import stages

__all__ = ["fold_batch_norm", "update_batch_statistics"]

N = TypeVar("N", bound=Network)


def update_batch_statistics(model: Network, X: Any, batch_size: int) -> None:
    """Set the running averages to E[μ_B] and E[σ²_B m/(m − 1)] over the batches of X: see `Trainer.update_batch_statistics`."""
    rows = model.input_rows(X)
    layers = [
        layer for layer in model.layers if isinstance(layer, BatchNorm) and layer.track_running_stats and not layer.frozen
    ]
    if not layers:
        raise ValueError("model must have a batch normalization whose running averages are not frozen, got none")
    batch = min(fields.count("batch_size", batch_size), len(rows))
    merge = batch > 1 and len(rows) % batch == 1
    if not merge or model.batch_rows:
        model.check_batches(len(rows), batch, training=True)
    steps = -(-len(rows) // batch) - merge
    sparse = isinstance(rows, SparseRows)
    recording = ModelTape.forward(model, batch + merge, training=True, sparse=sparse)
    step = stages([recording.gather, *recording.tape.forward])
    compiled = Compiled(recording.tape, step, before=recording.prepare())
    totals = {str(layer.name): np.zeros((2, layer.channels)) for layer in layers}
    with model._measuring():
        for s in range(steps):
            compiled.run(compiled.bind(rows), first_step=s, last_step=s + 1, examples=len(rows), batch=batch, merge=merge)
            count = batch if s < steps - 1 else len(rows) - s * batch
            for layer in layers:
                m = count * layer.length
                totals[str(layer.name)] += recording.tape.statistics[str(layer.name)] * [[count], [count * m / (m - 1)]]
    means = [totals[str(layer.name)][:, layer.units or slice(None)] / len(rows) for layer in layers]
    found = [convert(statistics, model.dtype) for statistics in means]
    for layer, statistics in zip(layers, found, strict=True):
        if not np.isfinite(statistics).all():
            raise ValueError(f"the statistics of layer {layer.name} are not finite: nothing was changed")
    with model.lock:
        for layer, statistics in zip(layers, found, strict=True):
            layer.running_mean[...], layer.running_var[...] = statistics


def fold_batch_norm(model: N, X: Any) -> tuple[N, float]:
    """Fold each batch normalization into the preceding `Dense`: see `Sequential.fold_batch_norm`."""
    pairs = {}
    for before, layer in zip([None, *model.layers], model.layers, strict=False):
        if isinstance(layer, BatchNorm):
            _check_foldable(before, layer)
            pairs[str(before.name)] = layer  # type: ignore[union-attr]
    if not pairs:
        raise ValueError("model must have a batch normalization to fold, got none")
    other = object.__new__(type(model))
    state = model._state({id(model): other})
    state["layers"] = [layer for layer in state["layers"] if not isinstance(layer, BatchNorm)]
    for layer in state["layers"]:
        if layer.name in pairs and isinstance(layer, Dense):
            layer.has_bias = True
    other.__setstate__({name: value for name, value in state.items() if name not in ("parameters", "state")})
    for layer in other.layers:
        source = model[str(layer.name)]
        for name in (*source.parameters, *source.states):
            getattr(layer, name)[...] = getattr(source, name)
        if layer.name in pairs and isinstance(layer, Dense):
            center, factor, offset = inference_constants(pairs[layer.name])
            bias = (layer.bias - center) * factor + offset
            layer.weight[...], layer.bias[...] = layer.weight * factor[:, None], bias
    if X is None:
        X = np.random.default_rng(0).standard_normal((model.batch_rows or 256, *model.input_shape))
        X = X if model.input_scaler is None else model.input_scaler.inverse_transform(X)
    with model._measuring(), other._measuring():
        return other, float(np.abs(model.forward(X) - other.forward(X)).max())


def _check_foldable(before: Layer | None, layer: BatchNorm) -> None:
    if type(before) is not Dense:
        what = f"{before.name} ({type(before).__name__})" if before else "the input"
        raise ValueError(f"{layer.name} cannot be folded: it needs a Dense layer directly before it, got {what}")
    if not layer.track_running_stats:
        raise ValueError(f"{layer.name} cannot be folded: it has no running averages")
