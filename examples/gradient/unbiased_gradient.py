"""A random example points in the right direction, on average
============================================================

Logistic regression with two weights on two clouds of points, halfway through its training. Each of the 400 examples has a gradient of its own; SGD takes
the one of a random example, mini-batch SGD the mean over q of them. Both stand for the gradient over all examples.

**What you see.** Left: the gradients of single examples (gray points) lie far apart, a fifth of them on the wrong side; their mean (white) is the
full gradient (arrow), to the last bits. Middle and right: means over batches of 10 and 100 lie in smaller and smaller clouds around the same point.

**What to conclude.** The stochastic gradient is *unbiased*: its mean over the examples is the full gradient, exactly and at every point, whatever the model.
The batch size changes the spread alone. So SGD goes downhill on average, and small steps average the noise out over time.

**Try next.** Draw the batches from one class only (``rng.permutation(200)``): now the mean is another, and the steps are biased. See
:doc:`ordered_data`.

:Slide: Deck 004, *Stochastic gradient descent (SGD)*: an unbiased estimate of the gradient
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

N, DRAWS, SIZES = 400, 400, (1, 10, 100)

# %%
# The full gradient and that of each example
# ------------------------------------------

rng = np.random.default_rng(0)
y = np.repeat([0, 1], N // 2)
X = rng.normal(0, 1.2, (N, 2)) + np.where(y[:, None], 1, -1) * [0.9, 0.5]
model = nn.Sequential([nn.Dense(1, bias=False, weight_init="zeros")], input_shape=2, dtype="float64")
model.parameters[...] = 0.2, -0.3


def gradient(rows):
    return model.loss_and_gradient(X[rows], y[rows], "sigmoid_cross_entropy")[1]


full = gradient(np.arange(N))
singles = np.array([gradient([i]) for i in range(N)])
difference = np.abs(singles.mean(axis=0) - full).max()
print(f"full gradient {full}, mean of the {N} single ones {singles.mean(axis=0)}: they differ by {difference:.0e}")

# %%
# Clouds of gradients
# -------------------

figure, axes = plt.subplots(1, 3, sharex=True, sharey=True)
for ax, size in zip(axes, SIZES, strict=True):
    found = singles if size == 1 else np.array([gradient(rng.permutation(N)[:size]) for _ in range(DRAWS)])
    uphill = np.mean(found @ full > 0)
    spread = np.sqrt(np.mean(np.sum((found - full) ** 2, axis=1)))
    print(f"q = {size:3d}: {uphill:.0%} on the side of the full gradient, root mean square distance {spread:.3f}")
    ax.scatter(*found.T, s=7, color="0.55", linewidths=0)
    ax.annotate("", full, (0, 0), arrowprops={"arrowstyle": "-|>", "color": nn.figures.PALETTE[1], "linewidth": 2.5})
    ax.plot(*found.mean(axis=0), "o", color="white", markeredgecolor="black", markersize=8)
    ax.set(aspect="equal", xlabel="∂l/∂w₁")
    ax.set_title(f"q = {size}: {uphill:.0%} point uphill", fontsize=12)
axes[0].set(ylabel="∂l/∂w₂", xlim=(-2.2, 1.6), ylim=(-2.6, 1.2))
axes[0].text(
    0.03,
    0.03,
    "gray: gradients\nwhite: their mean\narrow: full gradient",
    transform=axes[0].transAxes,
    fontsize=10,
    bbox={"color": "white"},
)
figure.suptitle("Single gradients scatter; their mean is the full gradient")
plt.show()
