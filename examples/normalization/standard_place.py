"""
Batch norm moves all batches to one place, then to one that is learned
======================================================================

Five mini-batches of two classes. Each lies at another place and has another width, as if each came from another instrument: a *covariate shift*. The task
is the same in all: which side of its batch's center an example lies on.

**What you see.** Left: the batches as they are. No line separates the classes: logistic regression gets 58 % of the examples right. Middle: batch norm
moves each batch to mean 0 and deviation 1, and now one line is right for all, 96 %. Right: all together are stretched by γ and moved to β, which are
learned. The animation moves the batches one after another.

**What to conclude.** After the first move the next layer always sees the same distribution; the second leaves it free *where* that is, for example on the
steep or on the flat part of a sigmoid. Batch norm does this in every layer, for each unit by itself.

The first move also takes away what the place of the batch says. Here it says nothing about the class. If it does, as in batches of a single class, batch
norm removes what should be learned: :doc:`/gallery/normalization/batch_order`.

**Try next.** ``SHIFT = 0.2``: small shifts hurt less, 74 %. Write ``classes = np.arange(BATCHES * SIZE) // SIZE % 2``: each batch has one class, and
normalization is what hurts, 60 % instead of 72 %.

:Slide: Deck 001, *The problem of covariate shifts*; *Solution: move all subgroups to a "standard" location*
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation

import nncore as nn

plt.style.use("nncore.slide")

BATCHES, SIZE, SHIFT, EPOCHS, FRAMES = 5, 60, 1.0, 200, 6
GAMMA, BETA = (1.6, 0.8), (4.0, -3.0)
PLACES, WIDTHS = [(-5, 2), (0, 5), (5, 2), (4, -3), (-4, -4)], [(1, 1.3), (1.5, 0.6), (0.7, 1), (1.8, 0.8), (0.6, 1.5)]

# %%
# Batches that shift
# ------------------

rng = np.random.default_rng(4)
classes = np.tile(np.arange(SIZE) % 2, BATCHES)
centered = rng.normal(size=(BATCHES * SIZE, 2)) * (0.5, 1) + np.where(classes, 1, -1)[:, None] * (0.9, 0)
X = centered * np.repeat(WIDTHS, SIZE, axis=0) + SHIFT * np.repeat(PLACES, SIZE, axis=0)
batches = np.arange(BATCHES * SIZE).reshape(BATCHES, SIZE)

# %%
# The two moves, by a layer of batch norm
# ---------------------------------------

layer = nn.BatchNorm()
model = nn.Sequential([layer], input_shape=2, dtype="float64")
standard = np.concatenate([model.forward(X[rows], training=True) for rows in batches])
layer.weight[:], layer.bias[:] = GAMMA, BETA
placed = np.concatenate([model.forward(X[rows], training=True) for rows in batches])


def accuracy(Z):
    """Logistic regression, one step for each batch, then tested on all."""
    line = nn.Sequential([nn.Dense(1)], input_shape=2, dtype="float64", seed=0)
    trainer = nn.Trainer(line, "sigmoid_cross_entropy", nn.Adam(lr=0.02))
    for _ in range(EPOCHS):
        for rows in batches:
            trainer.partial_fit(Z[rows], classes[rows])
    return 100 * np.mean((line.forward(Z)[:, 0] > 0) == classes)


def draw(ax, Z):
    marks = []
    for rows, color in zip(batches, nn.figures.PALETTE):
        for kind, marker in enumerate("ox"):
            own = rows[classes[rows] == kind]
            marks.append((own, ax.plot(*Z[own].T, marker, color=color, markersize=4, alpha=0.7)[0]))
    ax.set(xlim=(-9, 9), ylim=(-8, 9), aspect="equal", xlabel="z₁")
    return marks


figure, axes = plt.subplots(1, 3, figsize=(12, 4.4), sharey=True)
for ax, Z, title in zip(axes, (X, standard, placed), ("As they are", "All to mean 0, deviation 1", "All to β, widths γ")):
    draw(ax, Z)
    right = accuracy(Z)
    means = np.array([Z[rows].mean(axis=0) for rows in batches])
    ax.set_title(title)
    ax.text(-8.5, 7.5, f"one line: {right:.0f} % right")
    print(
        f"{title:<28} distance between the means of batches {np.linalg.norm(means - means.mean(axis=0), axis=1).mean():.2f}, accuracy {right:.0f} %"
    )
axes[0].set_ylabel("z₂")
plt.show()

# %%
# One after another, then all together
# ------------------------------------

figure, ax = plt.subplots(figsize=(7, 5))
marks = draw(ax, X)
steps = [(moved, (i + 1) / FRAMES) for moved in range(BATCHES) for i in range(FRAMES)]
steps += [(BATCHES, 0.0)] * 3 + [(BATCHES, (i + 1) / FRAMES) for i in range(FRAMES)]


def show(frame):
    moved, part = steps[frame]
    Z = np.where((np.arange(len(X)) < moved * SIZE)[:, None], standard, X)
    if moved < BATCHES:
        rows = batches[moved]
        Z[rows] += part * (standard[rows] - X[rows])
        ax.set_title(f"batch {moved + 1} moves to mean 0, deviation 1")
    else:
        Z += part * (placed - standard)
        ax.set_title("all move to β, with widths γ")
    for own, line in marks:
        line.set_data(*Z[own].T)


animation = FuncAnimation(figure, show, frames=len(steps), interval=120)
plt.show()
