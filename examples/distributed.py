"""One training on several processes or machines: handwritten digits, with the same bits on any number of ranks.

Run with ``mpiexec -n 4 python examples/distributed.py [checkpoint]`` where nncore-learn[mpi] and scikit-learn are installed; without
``mpiexec`` it runs on one rank. It saves a checkpoint after each epoch and continues from the file if there is one, also
on another number of ranks: end it with Ctrl-C, and start it again on two.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import nncore as nn

EPOCHS = 30


def main(path: Path | None) -> None:
    ranks = nn.distributed.MPI(shards=8)
    data = load_digits()
    X, y = (data.data / 16).astype(np.float32), data.target
    layers: list[nn.Layer] = [nn.Dense(256), nn.ReLU(), nn.Dropout(0.2), nn.Dense(128), nn.ReLU(), nn.Dense(10)]
    model = nn.Sequential(layers, input_shape=64, seed=0)
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=1e-3), metrics=["accuracy"], clip=nn.ClipGlobalNorm(5.0))
    if path and path.exists():  # every rank reads it
        trainer.restore(path)
    callbacks = [nn.ModelCheckpoint(path)] if path else []  # rank 0 writes it
    left = max(EPOCHS - trainer.epochs_done, 0)
    if left:
        trainer.fit(
            X, y, epochs=left, batch_size=128, validation_split=0.2, callbacks=callbacks, verbose=2, distributed=ranks
        )  # fmt: skip
    if ranks.rank == 0:
        print(
            f"{ranks.size} ranks, {trainer.epochs_done} epochs, validation accuracy {trainer.history['val_accuracy'][-1]:.4f}"
        )
        print(f"parameters {hashlib.sha256(model.parameters.tobytes()).hexdigest()[:16]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
