"""Draw the figures of the documentation from real training: ``python docs/make_figures.py``, with matplotlib."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

IMAGES = Path(__file__).parent / "images"
COLORS = ["#d95f0e", "#2b6cb0"]
SNAPSHOTS = [100, 400, 1000]  # epochs after which predictions are plotted
SIDE = 1.15  # half the side of the plotted square


def two_spirals(path: Path) -> None:
    """Plot predictions of a small network over the plane while it learns two spirals, and its learning curve."""
    X, y = nn.data.two_spirals(400, noise=0.02)
    X_new, y_new = nn.data.two_spirals(400, noise=0.02, seed=1)
    model = nn.Sequential(
        [nn.Dense(32), nn.SiLU(), nn.Dense(32), nn.SiLU(), nn.Dense(2)],
        input_shape=2, seed=0,
    )  # fmt: skip
    rate = nn.schedules.Cosine(0.005, steps=SNAPSHOTS[-1], per="epoch")
    trainer = nn.Trainer(model, loss="softmax_cross_entropy", optimizer=nn.Adam(lr=rate), metrics=["accuracy"])
    axis = np.linspace(-SIDE, SIDE, 220)
    plane = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)

    figure, panels = plt.subplots(
        1, 4, figsize=(9.4, 2.75), layout="constrained", width_ratios=[1, 1, 1, 1.25]
    )  # fmt: skip
    palette = matplotlib.colors.LinearSegmentedColormap.from_list("spirals", [COLORS[0], "white", COLORS[1]])
    for panel, epochs in zip(panels, SNAPSHOTS, strict=False):
        trainer.fit(
            X, y, epochs=epochs - trainer.epochs_done, batch_size=32, validation_data=(X_new, y_new), exact_loss=True, verbose=0
        )
        z = model.predict(plane)
        p = 0.5 + 0.5 * np.tanh(0.5 * (z[:, 1] - z[:, 0]))  # softmax of two: the probability of spiral 1
        panel.imshow(
            p.reshape(len(axis), -1), origin="lower", extent=(-SIDE, SIDE, -SIDE, SIDE), cmap=palette, vmin=-0.25, vmax=1.25
        )
        for label, color in enumerate(COLORS):
            panel.scatter(*X[y == label].T, s=5, color=color, edgecolors="white", linewidths=0.25)
        panel.set(xticks=[], yticks=[])
        accuracy = trainer.evaluate(X_new, y_new)["accuracy"]
        panel.set_title(f"after {epochs} epochs\n{100 * accuracy:.0f} % accuracy on new points", fontsize=9)

    history = trainer.history
    curve = panels[-1]
    epoch = np.arange(1, len(history) + 1)
    curve.semilogy(epoch, history["loss"], color="0.2", linewidth=1.2, label="training points")
    curve.semilogy(epoch, history["val_loss"], color="0.6", linewidth=1.2, label="new points")
    curve.set_title("loss", fontsize=9)
    curve.set_xlabel("epochs", fontsize=9)
    curve.set_yticks([0.02, 0.05, 0.1, 0.2, 0.5], ["0.02", "0.05", "0.1", "0.2", "0.5"])
    curve.minorticks_off()
    curve.tick_params(labelsize=8)
    curve.legend(frameon=False, fontsize=8, loc="lower left")
    for side in ("top", "right"):
        curve.spines[side].set_visible(False)
    save(figure, path)


def save(figure: plt.Figure, path: Path) -> None:
    """Save a PNG of 128 colors, which is a third of the size."""
    from PIL import Image

    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    Image.open(path).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    two_spirals(IMAGES / "two_spirals.png")
