"""In the same epochs batch gradient descent moves smoothly, SGD noisily and further
=================================================================================

A line is fitted to 100 noisy points: two weights, so that the loss is a bowl that can be drawn. Batch gradient descent uses all points for each step; SGD
uses one, and mini-batch SGD 10. All three read each point ten times.

**What you see.** The path of the full gradient crosses the contours at right angles and is still 2.51 from the minimum after ten epochs. SGD takes 100
steps per epoch, many of them in a wrong direction: after one epoch its distance is 0.27, and then it wanders around the minimum. Batches of 10 lie between.

**What to conclude.** Noisy steps are cheap: SGD makes 100 of them while the full gradient is computed once. Far from the minimum that wins by far. Near it
the noise stays, as long as the learning rate does (:doc:`falling_rate`).

**Try next.** A smooth gradient allows a larger rate. Set ``LR = 1``: batch gradient descent ends at a distance of 0.03, SGD at 1.33. With ``LR = 0.2`` they are
at 1.20 and 0.65.

:Slide: Deck 002, *Optimization: SGD* (noisy gradient); deck 003, *Stochastic gradient descent* (its figure)
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation

import nncore as nn

plt.style.use("nncore.slide")

N, EPOCHS, LR, FRAMES = 100, 10, 0.06, 40
SIZES = {"batch GD, q = 100": N, "mini-batches, q = 10": 10, "SGD, q = 1": 1}

# %%
# Three trainings from one start
# ------------------------------
# ``path`` returns the two weights after every step.

rng = np.random.default_rng(2)
X = rng.normal(0, [1.0, 0.6], (N, 2))
y = X @ [1.5, -1.0] + rng.normal(0, 0.8, N)
best = np.linalg.lstsq(X, y, rcond=None)[0]


def path(size):
    model = nn.Sequential([nn.Dense(1, bias=False, weight_init="zeros")], input_shape=2, dtype="float64")
    model.parameters[...] = -1.0, 1.5
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=LR))
    order, seen = np.random.default_rng(3), [model.parameters.copy()]
    for _ in range(EPOCHS):
        for batch in order.permutation(N).reshape(-1, size):
            trainer.partial_fit(X[batch], y[batch])
            seen.append(model.parameters.copy())
    return np.array(seen)


paths = {name: path(size) for name, size in SIZES.items()}
for name, points in paths.items():
    early = np.linalg.norm(points[len(points) // EPOCHS] - best)
    print(f"{name:22} {len(points) - 1:5d} steps; distance from the minimum {early:.2f} after 1 epoch, "
          f"{np.linalg.norm(points[-1] - best):.2f} after {EPOCHS}")  # fmt: skip

# %%
# The paths on the contours of the loss
# -------------------------------------

w1, w2 = np.meshgrid(np.linspace(-1.4, 2.4, 120), np.linspace(-1.8, 2.0, 120))
loss = np.mean((w1[..., None] * X[:, 0] + w2[..., None] * X[:, 1] - y) ** 2, axis=-1) / 2
levels = loss.min() + np.geomspace(0.01, loss.max() - loss.min(), 14)


def background(axes):
    for ax, name in zip(axes, paths, strict=True):
        ax.contour(w1, w2, loss, levels, colors="0.75", linewidths=0.9)
        ax.plot(*best, "*", color="black", markersize=11, zorder=4)
        ax.set(aspect="equal", xlabel="w₁", xticks=[-1, 0, 1, 2], yticks=[-1, 0, 1, 2])
        ax.set_title(name, fontsize=12)
        ax.grid(False)
    axes[0].set_ylabel("w₂")


figure, axes = plt.subplots(1, 3, sharex=True, sharey=True)
background(axes)
for ax, points, color in zip(axes, paths.values(), nn.figures.PALETTE, strict=False):
    ax.plot(*points.T, ".-" if len(points) < 50 else "-", color=color, linewidth=1.3)
figure.suptitle(f"The same {EPOCHS} epochs: smooth and slow, noisy and fast")
plt.show()

# %%
# The same as an animation
# ------------------------
# One frame is a quarter of an epoch: each panel has read the same number of points.

plt.rcParams["savefig.dpi"] = "figure"  # that of the frames
film, axes = plt.subplots(1, 3, sharex=True, sharey=True, figsize=(9, 3.9), dpi=60)
background(axes)
lines = [ax.plot([], [], "-", color=color, linewidth=1.4)[0] for ax, color in zip(axes, nn.figures.PALETTE, strict=False)]
dots = [ax.plot([], [], "o", color=color, markersize=6)[0] for ax, color in zip(axes, nn.figures.PALETTE, strict=False)]


def draw(frame):
    for line, dot, points in zip(lines, dots, paths.values(), strict=True):
        done = points[: 1 + (len(points) - 1) * frame // FRAMES]
        line.set_data(*done.T)
        dot.set_data(*done[-1:].T)
    film.suptitle(f"epoch {frame * EPOCHS / FRAMES:5.2f}")
    return [*lines, *dots]


animation = FuncAnimation(film, draw, frames=FRAMES + 1, interval=120)
plt.show()
