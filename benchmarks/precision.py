"""Held-out accuracy and loss with products of bfloat16 numbers, beside float32: python -m benchmarks.precision

A network of two hidden layers of 256 units learns sets of scikit-learn on three quarters of their rows, by Adam with a rate
that falls to 0. Each seed has its split. On every split three networks are trained: in float32; from the same weights and
batches with bfloat16 products; and in float32 from other weights in other batches, which is what the seed alone changes. Layers
of fewer than 64 units or inputs stay in float32: here the outputs, and the first layer of the narrow sets.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split

import nncore as nn
from benchmarks import machine, table

SETS = ("digits", "breast_cancer", "wine")
OTHER = 1000  # added to a seed
UNITS, RATE, BATCH = 256, 1e-3, 32


def trained(parts: list[Any], seed: int, epochs: int, compute_dtype: str | None) -> tuple[float, float]:
    """Accuracy on the held-out rows in percent, and their mean loss."""
    X, X_held_out, y, y_held_out = parts
    layers = [nn.Dense(UNITS), nn.ReLU(), nn.Dense(UNITS), nn.ReLU(), nn.Dense(int(y.max()) + 1)]
    model = nn.Sequential(layers, input_shape=X.shape[1], compute_dtype=compute_dtype, seed=seed)
    optimizer = nn.Adam(lr=nn.schedules.Cosine(RATE, steps=epochs, per="epoch"))
    trainer = nn.Trainer(model, "softmax_cross_entropy", optimizer, metrics=["accuracy"], seed=seed)
    trainer.fit(X, y, epochs=epochs, batch_size=BATCH, verbose=0)
    result = trainer.evaluate(X_held_out, y_held_out)
    return 100 * result["accuracy"], result["loss"]


def measure(name: str, seeds: int, epochs: int) -> np.ndarray:
    """Accuracy and loss (2) by seed and run (3): float32, bfloat16, and float32 with another seed."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    found = []
    for seed in range(seeds):
        parts = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=y)
        scaler = nn.data.StandardScaler().fit(parts[0])
        parts[:2] = (scaler.transform(part) for part in parts[:2])
        runs = ((seed, None), (seed, "bfloat16"), (seed + OTHER, None))
        found.append([trained(parts, number, epochs, compute_dtype) for number, compute_dtype in runs])
    return np.moveaxis(np.array(found), -1, 0)


def main(arguments: list[str] | None = None) -> None:
    """Compare the accuracy of bfloat16 products with that of float32."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision", description=main.__doc__)
    parser.add_argument("--sets", default=",".join(SETS), help="comma-separated")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=40)
    asked = parser.parse_args(arguments)
    rows, saved = [], {}
    for name in asked.sets.split(","):
        found = measure(name, asked.seeds, asked.epochs)
        for (kind, digits), by_seed in zip((("accuracy, %", 2), ("loss", 4)), found, strict=True):
            exact, rounded, other = by_seed.T
            cells = [f"{runs.mean():.{digits}f} ± {runs.std(ddof=1):.{digits}f}" for runs in (exact, rounded)]
            for d in (rounded - exact, other - exact):
                cells.append(f"{d.mean():+.{digits}f} ± {d.std(ddof=1) / np.sqrt(len(d)):.{digits}f}")
            rows.append([f"{name}, {kind}", *cells])
        saved[name] = found.tolist()
    print(machine.text(machine.describe()), end="\n\n")
    print(table.render(["set", "float32", "bfloat16", "bfloat16 − float32", "other seed − float32"], rows))
    print(f"\nHeld-out rows of {asked.seeds} splits: mean ± standard deviation; differences: mean ± standard error.")
    print("Saved to", table.save("precision", {"machine": machine.describe(), "accuracy and loss": saved}))


if __name__ == "__main__":
    main()
