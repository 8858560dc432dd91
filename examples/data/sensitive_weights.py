"""
Far from the origin the same turn of the line costs a hundred times as much
===========================================================================

Two clouds and the line that separates them, by logistic regression with a small L2 penalty: once around the origin, once moved by (10, 10). Then the weights
are turned by some degrees, and the bias is left as it is.

**What you see.** The best line with the same loss, 0.051, in both cases, and the line turned by 2 degrees. A line turns about the point of it that is next to the
origin. If the clouds are there, little changes; if they are far away the line has left the gap. By 2 degrees the loss rises by 0.0002 and by 0.024, by 8 degrees
to 0.054 and 0.62.

**What to conclude.** The slide is right: before normalization the loss is very sensitive to changes in the weights, though the data are the same. What
is sensitive is the weights at a fixed bias: if the bias followed, the line would turn about the clouds. This coupling is a narrow valley, with a condition
number of the Hessian of 63 000 in place of 4. Gradient descent needs a small rate, so that it does not leap across, and then many steps along it.

**Try next.** ``FAR = 30``: the condition number rises to some millions. ``FAR = 1``.

:Slide: Deck 002, *Data normalization: before and after*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

FAR, DEGREES, PENALTY = 10, 2, 1e-3

# %%
# The best line for two clouds, near 0 and far from it
# ----------------------------------------------------
# The weights of the best line are turned by a few degrees. The bias stays as it is.

y = np.arange(200) % 2
near = np.random.default_rng(0).normal(size=(200, 2)) + np.outer(2 * y - 1, [2, 0])
DATA = {"normalized": near - near.mean(axis=0), f"moved by ({FAR}, {FAR})": near - near.mean(axis=0) + FAR}


def best_line(X):
    model = nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=2, dtype="float64")
    trainer = nn.Trainer(model, "sigmoid_cross_entropy", nn.second_order.ModifiedNewton(), regularizer=nn.L2(PENALTY))
    trainer.fit(X, y, epochs=60, verbose=0)
    return model


def turned(model, degrees):
    other, angle = model.copy(), np.deg2rad(degrees)
    other[0].weight[...] = model[0].weight @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return other


def loss(model, X):
    return model.loss_and_gradient(X, y, "sigmoid_cross_entropy")[0]


# %%
# What a turn does to the line
# ----------------------------

figure, axes = plt.subplots(1, 3, figsize=(13, 4.6))
angles = np.linspace(-8, 8, 81)
for ax, (name, X), color in zip(axes, DATA.items(), nn.figures.PALETTE, strict=False):
    model = best_line(X)
    for label, marker in (0, "o"), (1, "^"):
        ax.scatter(*X[y == label].T, s=10, marker=marker, color="0.55" if label else "0.8")
    for degrees, style in (0, "-"), (DEGREES, "--"):
        (w,), b = turned(model, degrees)[0].weight, model[0].bias[0]
        x2 = X[:, 1].mean() + np.array([-4, 4])
        ax.plot(-(w[1] * x2 + b) / w[0], x2, style, color=color, label=f"turned by {degrees}°" if degrees else "best line")
    ax.plot(0, 0, "+", color="black", markersize=12)
    low, high = min(-1, X.min() - 1), X.max() + 1
    ax.set(title=name.capitalize(), xlabel="x₁", ylabel="x₂", xlim=(low, high), ylim=(low, high), aspect="equal")
    ax.legend(loc="upper left")
    losses = [loss(turned(model, angle), X) for angle in angles]
    axes[2].plot(angles, losses, color=color, label=name.split()[0])
    eigenvalues = np.linalg.eigvalsh(model.hessian(X, y, "sigmoid_cross_entropy"))
    print(
        f"{name:<18} loss {loss(model, X):.4f}, turned by {DEGREES}° + {loss(turned(model, DEGREES), X) - loss(model, X):.5f}, "
        f"at most {max(losses):.3f}; condition number {eigenvalues[-1] / eigenvalues[0]:.2g}"
    )
axes[2].set(title="Loss of the turned line", xlabel="degrees", ylabel="loss", ylim=(0, None))
nn.figures.label_ends(axes[2])
plt.show()
