"""
KL is a bowl in the weights of a perceptron; L2 is flat where the answer is wrong
=================================================================================

y = sigmoid(w₁x₁ + w₂x₂) on 100 random points, whose labels are drawn with w = (3, −2). The mean of each divergence over the
points, as a function of the two weights.

**What you see.** L2 has a plateau where the weights point the wrong way: at w = (−9, 6) nearly all points are wrong, and the
gradient is 0.0025. There KL has a gradient of 0.67, 270 times as large. Right: the cut along the dashed line, from the wrong
side to the right one. Both have their minimum near the same weights: L2 at (3.0, −1.3), KL at (2.7, −1.3).

**What to conclude.** A perceptron that starts on the wrong side gets stuck with L2 and comes back with KL. The KL surface is
convex for every data set, see :doc:`/gallery/second_order/convexity`; L2 behind a sigmoid is not. The other side: the loss of
KL has no bound, so that one wrong label far from the boundary counts as much as many right ones; L2 counts at most ½.

**Try next.** Other ``TRUE`` weights, or ``FLIP = 0.1``: the fraction of labels turned over. Which minimum moves further?

:Slide: Deck 001, *L2 or KL: plot for a single perceptron, as function of weights*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

POINTS, TRUE, FLIP, SIDE, REACH = 100, np.array([3.0, -2.0]), 0.0, 61, 10.0
LOSSES = {"L2": "squared_error", "KL": "binary_cross_entropy"}
COLORS = dict(zip(LOSSES, nn.figures.PALETTE))
WRONG = np.array([-9.0, 6.0])

rng = np.random.default_rng(0)
X = rng.normal(size=(POINTS, 2))
d = (rng.random(POINTS) < 1 / (1 + np.exp(-X @ TRUE))) ^ (rng.random(POINTS) < FLIP)
model = nn.Sequential([nn.Dense(1, bias=False), nn.Sigmoid()], input_shape=2, dtype="float64")


def loss_and_slope(loss, w):
    model.parameters[...] = w
    value, gradient = model.loss_and_gradient(X, d, loss)
    return value, np.linalg.norm(gradient)


# %%
# The loss on a grid of weights, and along a line
# -----------------------------------------------

axis = np.linspace(-REACH, REACH, SIDE)
surfaces, cuts = {}, {}
along = np.linspace(-REACH, REACH, 201)  # the place on the line through 0 in the direction of the true weights
direction = TRUE / np.linalg.norm(TRUE)
for name, loss in LOSSES.items():
    surfaces[name] = np.array([[loss_and_slope(loss, (w1, w2))[0] for w1 in axis] for w2 in axis])
    cuts[name] = np.array([loss_and_slope(loss, s * direction)[0] for s in along])
    j, i = np.unravel_index(surfaces[name].argmin(), surfaces[name].shape)
    value, slope = loss_and_slope(loss, WRONG)
    print(
        f"{name}: minimum {surfaces[name].min():.3f} at w = ({axis[i]:.1f}, {axis[j]:.1f}), maximum {surfaces[name].max():.3f}; "
        f"at w = {tuple(WRONG.tolist())} the loss is {value:.3f} and the gradient {slope:.4f}"
    )

# %%
# Contours and the cut
# --------------------

figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), width_ratios=[1, 1, 1.1])
words = {"L2": "flat where the answer is wrong", "KL": "steep where it is wrong"}
for ax, (name, values) in zip(axes, surfaces.items()):
    levels = np.geomspace(values.min() * 1.02, values.max(), 14)
    ax.contourf(axis, axis, values, levels=levels, cmap="viridis", extend="both")
    ax.contour(axis, axis, values, levels=levels, colors="white", linewidths=0.5)
    j, i = np.unravel_index(values.argmin(), values.shape)
    ax.plot(axis[i], axis[j], "*", color="gold", markersize=16, markeredgecolor="black")
    ax.plot(*np.outer(direction, along[[0, -1]]), "--", color="white", linewidth=1)
    slope = loss_and_slope(LOSSES[name], WRONG)[1]
    ax.annotate(f"gradient {slope:.2g}", WRONG * 0.9, (-9.5, 8.6), color="black", arrowprops={"arrowstyle": "->"})
    ax.set(title=f"{name}: {words[name]}", xlabel="w₁", aspect="equal")
    ax.grid(False)
axes[0].set(ylabel="w₂")
for name, cut in cuts.items():
    axes[2].plot(along, cut / cut.max(), color=COLORS[name], label=name)
axes[2].set(title="Along the dashed line", xlabel="wrong side  ←  w  →  right side", ylabel="loss / its largest value")
axes[2].text(-3.5, 0.85, "L2", color=COLORS["L2"])
axes[2].text(-7, 0.45, "KL", color=COLORS["KL"])
plt.show()

# %%
# The same surfaces from the side, as on the slide
# ------------------------------------------------

figure, axes = plt.subplots(1, 2, figsize=(10, 4.6), subplot_kw={"projection": "3d"})
for ax, (name, values) in zip(axes, surfaces.items()):
    ax.plot_surface(*np.meshgrid(axis, axis), values, cmap="viridis", linewidth=0.2)
    ax.view_init(elev=30, azim=-110)
    ax.set(title=f"loss: {name}", xlabel="w₁", ylabel="w₂")
plt.show()
