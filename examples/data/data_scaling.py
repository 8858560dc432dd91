"""
Raw data make a narrow valley; scaled data make a bowl
======================================================

One problem in three systems of units. 200 points of two classes, whose classes depend on the standardized features, are given as N(0, 1) × N(0, 1), as
N(0, 10²) × N(0, 1), and as N(3, 1) × N(−2, 0.3²). A model with two weights learns each of them by logistic regression on the full batch.

**What you see.** The points, and below them the contours of the loss over the two weights. The same minimum loss lies in a bowl, in a valley, and in a tilted
valley. With the best of 20 learning rates SGD needs 2 steps to come within 0.001 of the minimum on the left, 58 and 85 in the valleys; Adam 31, 38 and 26.
Scaled to mean 0 and deviation 1, all three are the problem on the left.

The second picture has the steps of eight optimizers.

**What to conclude.** The Hessian of the loss is a weighted XᵀX: features of different size, or far from 0, make its eigenvalues differ.
Methods with one rate for each weight (AdaGrad, RMSprop, Rprop) hardly notice different units, because these stretch the valley along the axes. A mean far
from 0 tilts it, and then they suffer: RMSprop needs 105 steps in place of 3. With momentum of 0.9 and with Adam a valley costs less than twice the steps, or
none; they are the slow ones in the bowl. Who has scaled may take the simplest method.

The counts depend on the list of rates and on the points drawn: with lists of 16 rates SGD needed 61 and 100 steps in the tilted valley, for 200 and 300 points, and
Adam 31 to 42 in the bowl. In the tilted valley SGD, AdaGrad, RMSprop and DeltaBarDelta were always much slower than in the bowl.

**Try next.** ``"N(0, 10²) × N(0, 1)": ([0, 0], [100, 1])``. Means (30, −20) and deviations (1, 0.3).

:Slide: Deck 000, *Normalizing data: making gradient descent work well*
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit

import nncore as nn
from nncore.landscapes import search_lr, steps_to

plt.style.use("nncore.slide")

POINTS, STEPS, BUDGET, GOAL = 200, 200, 20, 1e-3

# %%
# One problem, three systems of units
# -----------------------------------
# The boundary goes through the middle of the points, and in all three systems through 0 too, so that no bias is needed.

DATA = {
    "N(0, 1) × N(0, 1)": ([0, 0], [1, 1]),
    "N(0, 10²) × N(0, 1)": ([0, 0], [10, 1]),
    "N(3, 1) × N(−2, 0.3²)": ([3, -2], [1, 0.3]),
}
rng = np.random.default_rng(0)
z = nn.data.StandardScaler().fit_transform(rng.normal(size=(POINTS, 2)))
sign = np.where(rng.random(POINTS) < expit(z @ [2, 0.9]), 1.0, -1.0)


def logistic(X):
    def loss_and_gradient(w):
        margin = sign * (X @ w)
        return np.logaddexp(0, -margin).mean(), -(sign * expit(-margin)) @ X / POINTS

    return loss_and_gradient


def minimum(f):
    return nn.second_order.BFGS().minimize(f, [0.0, 0.0], 50)


best = minimum(logistic(z))
features = {name: mean + z * deviation for name, (mean, deviation) in DATA.items()}

# %%
# Every optimizer with the best of its learning rates
# ---------------------------------------------------

OPTIMIZERS = {
    "SGD": lambda lr: nn.SGD(lr=lr),
    "Momentum": lambda lr: nn.Momentum(lr=lr, momentum=0.9),
    "Nesterov": lambda lr: nn.Nesterov(lr=lr, momentum=0.9),
    "AdaGrad": lambda lr: nn.AdaGrad(lr=lr),
    "RMSprop": lambda lr: nn.RMSprop(lr=lr),
    "Adam": lambda lr: nn.Adam(lr=lr),
    "Rprop": lambda lr: nn.Rprop(lr=lr),
    "DeltaBarDelta": lambda lr: nn.DeltaBarDelta(lr=lr, kappa=lr / 10),
}


def run(factory, X):
    f = logistic(X)
    goal = minimum(f).loss[-1] + GOAL
    found = search_lr(factory, f, [0.0, 0.0], STEPS, BUDGET, 1e-3, 1e2, score=lambda losses: steps_to(goal, losses))
    path = factory(found.lr).minimize(f, [0.0, 0.0], STEPS)
    return path, steps_to(goal, path.loss)


runs = {name: {data: run(factory, X) for data, X in features.items()} for name, factory in OPTIMIZERS.items()}
print(f"steps to the goal: {', '.join(features)}")
for name, found in runs.items():
    print(f"{name:<14}" + "".join(f"{steps:6.0f}" for _, steps in found.values()))

# %%
# The points, the loss, and two paths
# -----------------------------------

figure, axes = plt.subplots(2, 3, figsize=(11, 7.2))
shapes = "Scaled: a bowl", "Raw: a narrow valley", "Raw: a tilted valley"
for (points, plane), (name, X), shape in zip(axes.T, features.items(), shapes, strict=True):
    for label, color, marker in (-1, nn.figures.PALETTE[0], "o"), (1, nn.figures.PALETTE[1], "^"):
        points.scatter(*X[sign == label].T, s=9, color=color, marker=marker)
    limits = np.array([-1, 1]) * 1.1 * np.abs(X).max()
    points.set(title=name, xlabel="x₁", ylabel="x₂", xlim=limits, ylim=limits, aspect="equal")

    w = minimum(logistic(X)).theta[-1]
    span = 1.3 * np.abs(w).max()
    grid = np.linspace(-span, span, 90)
    losses = [[logistic(X)(w + np.array([a, b]))[0] for a in grid] for b in grid]
    above = np.log10(np.maximum(np.array(losses) - best.loss[-1], 1e-4))
    plane.contourf(w[0] + grid, w[1] + grid, above, levels=np.linspace(-3, 1, 17), cmap="Greys_r", alpha=0.5, extend="both")
    curvature = np.linalg.eigvalsh(X.T @ X)
    print(f"{name}: eigenvalues of XᵀX / n have the ratio {curvature[1] / curvature[0]:.0f}")
    for optimizer, marker in ("SGD", "."), ("Adam", "s"):
        path, steps = runs[optimizer][name]
        plane.plot(
            *path.theta[: int(min(steps, STEPS)) + 1].T,
            marker + "-",
            color=nn.figures.OPTIMIZER_COLORS[optimizer],
            markersize=4,
            linewidth=1.2,
            label=f"{optimizer}: {steps:.0f}",
        )
    plane.plot(*w, "*", color="black", markersize=13)
    plane.set(title=shape, xlabel="w₁", ylabel="w₂", xlim=w[0] + grid[[0, -1]], ylim=w[1] + grid[[0, -1]], aspect="equal")
    plane.legend(loc="upper left", handlelength=1.2, title="steps")
plt.show()

# %%
# Who suffers from raw data
# -------------------------

scaled, *raw = DATA
figure, axes = plt.subplots(1, 2, figsize=(10, 4.8), sharey=True)
rows = np.arange(len(runs))
for ax, name in zip(axes, raw, strict=True):
    before, after = ([min(found[data][1], 115) for found in runs.values()] for data in (name, scaled))
    ax.hlines(rows, after, before, color="0.7", linewidth=2)
    ax.plot(before, rows, "s", color=nn.figures.PALETTE[1], markersize=9, label="raw")
    ax.plot(after, rows, "o", color=nn.figures.PALETTE[0], markersize=7, label="scaled")
    ax.set(title=name, xlabel="steps to the goal", xlim=(0, 120), yticks=rows, yticklabels=runs)
axes[0].invert_yaxis()
axes[1].legend(loc="lower right")
plt.show()
