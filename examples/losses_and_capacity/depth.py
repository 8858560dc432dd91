"""
With as many units, two to four layers beat one; from eight layers on they are too narrow
=========================================================================================

48 hidden units learn a star with seven arms, as 1 layer of 48, 2 of 24, and so on up to 12 of 4. They see 300 points or 10,000
of them; the mean of five draws of the points and of the initial weights.

**What you see.** Dark: where the network of the first draw is wrong. With 10,000 points one layer is wrong on 6.3 % of the new
points and rounds off the arms; two layers on 1.0 %, four on 1.4 %, eight on 12.4 %. With 300 points depth helps little: 8.3,
6.6, 8.2 and 16.7 %. Twelve layers of 4 units mostly see no star at all.

**What to conclude.** The slide's claim, deeper networks learn better for the same number of neurons, holds here from one layer
to two, three or four, and ends where layers of 8 units or fewer become bottlenecks. It is not only the larger number of
parameters: one layer of 144 units has 722 of them, as 2 × 24, and is wrong on 4.4 %. Nor is it smoothness: the boundary of the
single layer is too smooth, 0.77 times as long as the star's; with two to four layers it has the right length.

**Try next.** 1000 points, as on the slide: ``EPOCHS = {1000: 200}``. `nn.BatchNorm` behind each `nn.Dense`: do eight layers
learn then? ``UNITS = 192``: where does the claim end?

:Slide: Deck 001, *But depth and training data help: 3, 4, 6, 11 layers*; *Smoothness through network structure*; deck 004, *Caveat 1: width*
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

import nncore as nn

plt.style.use("nncore.slide")

UNITS, SEEDS, N_NEW = 48, 5, 4000
DEPTHS, SHOWN = [1, 2, 3, 4, 6, 8, 12], [1, 2, 4, 8]
EPOCHS = {300: 500, 10000: 25}  # for each number of points

# %%
# A star with seven arms
# ----------------------


def star(X):
    radius, angle = np.hypot(X[..., 0], X[..., 1]), np.arctan2(X[..., 0], X[..., 1])
    return (radius < 0.9 + 0.45 * np.cos(7 * angle)).astype(int)


side = np.linspace(-1.5, 1.5, 150)
plane = np.stack(np.meshgrid(side, side), axis=-1)


def boundary(classes):
    """Its length on the grid: pairs of neighbors of different class."""
    return sum(np.count_nonzero(np.diff(classes, axis=axis)) for axis in (0, 1))


# %%
# The same units in more and more layers
# --------------------------------------
# Each seed has its own points and its own initial weights. 1 × 144 has as many parameters as 2 × 24.


def train(widths, n, seed):
    rng = np.random.default_rng(seed)
    X_new, X = rng.uniform(-1.5, 1.5, (N_NEW, 2)), rng.uniform(-1.5, 1.5, (n, 2))
    layers = [layer for width in widths for layer in (nn.Dense(width, weight_init="lecun_normal"), nn.Tanh())]
    model = nn.Sequential([*layers, nn.Dense(2)], input_shape=2, seed=seed)
    batch = 30 if n < 1000 else 50
    rate = nn.schedules.Cosine(0.02, EPOCHS[n] * n // batch)
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=rate), seed=seed)
    trainer.fit(X, star(X), epochs=EPOCHS[n], batch_size=batch, verbose=0)
    return model, 100 * np.mean(model.predict(X_new).argmax(axis=1) != star(X_new)), X


shapes = {depth: [UNITS // depth] * depth for depth in DEPTHS}
shapes["wide"] = [3 * UNITS]
errors, shown, examples = {}, {}, {}
for n in EPOCHS:
    for depth, widths in shapes.items():
        runs = [train(widths, n, seed) for seed in range(SEEDS)]
        errors[n, depth] = np.array([error for _, error, _ in runs])
        classes = [model.predict(plane.reshape(-1, 2)).argmax(axis=1).reshape(plane.shape[:2]) for model, _, _ in runs]
        shown[n, depth], examples[n] = classes[0], runs[0][2]
        length = np.mean([boundary(c) for c in classes]) / boundary(star(plane))
        print(
            f"{n:5} points, {len(widths):2} × {widths[0]:3} units, {runs[0][0].parameters.size} parameters: "
            f"{errors[n, depth].mean():4.1f} ± {errors[n, depth].std():4.1f} % wrong, boundary {length:.2f} × as long as the star's"
        )

# %%
# Boundaries, and errors against depth
# ------------------------------------

COLORS = ListedColormap(["#cfe2f0", "#f6dcc8", "#a02000"])  # outside, star, wrong
figure = plt.figure(figsize=(13, 4.8))
boxes = figure.add_gridspec(2, 5, width_ratios=[1, 1, 1, 1, 1.8])
for row, n in enumerate(EPOCHS):
    for column, depth in enumerate(SHOWN):
        ax = figure.add_subplot(boxes[row, column])
        right = shown[n, depth] == star(plane)
        ax.pcolormesh(side, side, np.where(right, star(plane), 2), cmap=COLORS)
        ax.contour(side, side, star(plane), levels=[0.5], colors="black", linewidths=0.8)
        if n < 1000:
            ax.plot(*examples[n].T, ".", color="0.25", markersize=2)
        ax.set(title=f"{depth} × {UNITS // depth}: {errors[n, depth].mean():.1f} %", xticks=[], yticks=[], aspect="equal")
        ax.set(ylabel=f"{n:,} points" if column == 0 else "")
        ax.grid(False)
ax = figure.add_subplot(boxes[:, 4])
for n, color in zip(EPOCHS, ("0.5", "#D55E00")):
    ax.plot([errors[n, depth].mean() for depth in DEPTHS], "o-", color=color, label=f"{n:,} points")
ax.set_xticks(range(len(DEPTHS)), DEPTHS)
ax.set(title="New points wrong", xlabel=f"layers, {UNITS} units in all", ylabel="%", ylim=(0, 40))
nn.figures.label_ends(ax)
plt.show()
