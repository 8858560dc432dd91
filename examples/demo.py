"""Train a classifier of handwritten digits, compare its speed with other libraries, and plot the results.

Run with ``make demo``, or ``python examples/demo.py [figure.png]`` where nncore-learn[demo] is installed.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import time
from collections.abc import Callable

import numpy as np

import nncore as nn

SIZES = [64, 128, 64, 10]
EPOCHS, BATCH, LR = 40, 32, 2e-3
TIMING_EPOCHS = 20


def build() -> nn.Sequential:
    """A network of 64 pixels, two hidden layers, 10 logits."""
    return nn.Sequential([nn.Dense(128), nn.ReLU(), nn.Dense(64), nn.ReLU(), nn.Dense(10)], input_shape=64, seed=0)


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """scikit-learn's 1797 digits, pixels in [0, 1]; a quarter, stratified, for the test."""
    X, y = nn.data.load_digits()
    train, test = nn.data.train_validation_split(X, y, 0.25, seed=0)
    return X[train], y[train], X[test], y[test]


# --- the same training elsewhere: each function takes the data and a number of epochs


def train_nncore(X: np.ndarray, y: np.ndarray, epochs: int) -> None:
    trainer = nn.Trainer(build(), loss="softmax_cross_entropy", optimizer=nn.Adam(lr=LR))
    trainer.fit(X, y, epochs=epochs, batch_size=BATCH, verbose=0)


def train_numpy(X: np.ndarray, y: np.ndarray, epochs: int) -> None:
    from nncore.reference.training import MLP  # written for readability; benchmarks/rivals/numpy.py is written for speed

    MLP(SIZES, activation="relu", seed=0).train(X, y, epochs=epochs, batch_size=BATCH, lr=LR)


def train_sklearn(X: np.ndarray, y: np.ndarray, epochs: int) -> None:
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((128, 64), solver="adam", alpha=0.0, batch_size=BATCH, learning_rate_init=LR, random_state=0)
    for _ in range(epochs):
        model.partial_fit(X, y, classes=np.arange(10))


def train_torch(X: np.ndarray, y: np.ndarray, epochs: int) -> None:
    import torch
    from torch.nn import Linear, ReLU, Sequential, functional

    model = Sequential(Linear(64, 128), ReLU(), Linear(128, 64), ReLU(), Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    data, labels = torch.from_numpy(X), torch.from_numpy(y)
    for _ in range(epochs):
        for batch in torch.randperm(len(data)).split(BATCH):
            optimizer.zero_grad()
            functional.cross_entropy(model(data[batch]), labels[batch]).backward()
            optimizer.step()


RIVALS: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray, int], None]]] = {
    "nncore": ("nncore", train_nncore),
    "NumPy": ("numpy", train_numpy),
    "scikit-learn": ("sklearn", train_sklearn),
    "PyTorch": ("torch", train_torch),
}


def microseconds_per_step(X: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Median of three short training runs per installed library, in rotating order."""
    installed = {name: train for name, (module, train) in RIVALS.items() if importlib.util.find_spec(module)}
    times: dict[str, list[float]] = {name: [] for name in installed}
    for train in installed.values():
        train(X, y, 1)
    for _ in range(3):
        for name, train in installed.items():
            start = time.perf_counter()
            train(X, y, TIMING_EPOCHS)
            times[name].append((time.perf_counter() - start) / (TIMING_EPOCHS * -(-len(X) // BATCH)))
    return {name: 1e6 * float(np.median(seconds)) for name, seconds in times.items()}


def draw(history: nn.History, X: np.ndarray, y: np.ndarray, predicted: np.ndarray, path: str) -> None:
    """Plot learning curves on the left, the misclassified digits on the right."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1.1])
    loss, accuracy = left.subplots(2, 1, sharex=True)
    epochs = np.arange(1, len(history) + 1)
    loss.semilogy(epochs, history["loss"], label="training")
    loss.semilogy(epochs, history["val_loss"], label="test")
    loss.set_ylabel("loss")
    loss.legend(frameon=False)
    accuracy.plot(epochs, 100 * history["accuracy"])
    accuracy.plot(epochs, 100 * history["val_accuracy"])
    accuracy.set(xlabel="epoch", ylabel="accuracy (%)", ylim=(90, 100.4))
    wrong = np.flatnonzero(predicted != y)
    right.suptitle(f"The {len(wrong)} misclassified digits of {len(y)} in the test set")
    columns = max(3, math.ceil(math.sqrt(len(wrong))))
    panels = right.subplots(max(1, -(-len(wrong) // columns)), columns, squeeze=False).ravel()
    for panel in panels:
        panel.axis("off")
    for panel, i in zip(panels, wrong, strict=False):
        panel.imshow(X[i].reshape(8, 8), cmap="gray_r")
        panel.set_title(f"{y[i]} read as {predicted[i]}", fontsize=9)
    figure.savefig(path, dpi=110)


def main(filename: str = "demo.png") -> None:
    X, y, X_test, y_test = load()
    model = build()
    print(model.summary(), "\n")
    schedule = nn.schedules.Cosine(LR, steps=EPOCHS, per="epoch")
    trainer = nn.Trainer(model, loss="softmax_cross_entropy", optimizer=nn.Adam(lr=schedule), metrics=["accuracy"])
    start = time.perf_counter()
    history = trainer.fit(X, y, epochs=EPOCHS, batch_size=BATCH, validation_data=(X_test, y_test), exact_loss=True)
    seconds = time.perf_counter() - start
    result = trainer.evaluate(X_test, y_test)
    print(f"\ntest accuracy   {100 * result['accuracy']:.1f} %")
    print(f"training time   {seconds:.2f} s for {EPOCHS} epochs, evaluations included\n")

    print(f"time per step, {'-'.join(map(str, SIZES))}, batch {BATCH}, Adam:")
    times = microseconds_per_step(X, y)
    for name, value in times.items():
        print(f"  {name:<13} {value:8.1f} µs   {value / times['nncore']:6.1f} ×")
    draw(history, X_test, y_test, model.predict(X_test).argmax(axis=1), filename)
    print(f"\nlearning curves and misclassified digits: {filename}")


if __name__ == "__main__":
    main(*sys.argv[1:])
