"""
Scaling to [0, 1] keeps the valley narrow; centering helps, whitening makes a bowl
==================================================================================

Two correlated features far from 0, with six outliers among 300 points, and what five kinds of scaling make of them. κ is the ratio of the largest to the
smallest eigenvalue of the Hessian of least squares, with a bias: the number of steps of gradient descent is proportional to it.

**What you see.** *Mean 0, deviation 1* centers the points: κ falls from 304 to 33, which is what the correlation of 0.94 leaves. *[−1, 1]* and *[0, 1]* depend
on the extremes only: the outliers press all others into a corner, where their deviation is 0.1 to 0.2, and κ is even larger than for the raw data, 374 and 1122.
*Median and quartiles* does here what mean and deviation do. *Whitened* data are centered, uncorrelated and of deviation 1: κ = 1.

The axes are different in each panel, the lines are the zeros.

**What to conclude.** Centering and equal deviations are the first choice. An interval is right where the limits are known, such as gray values, and the data
are not far from filling it. Whitening does most for a line, but mixes the features, and costs a matrix. With outliers ten times as far away the other
points have deviation 0.07 after *mean 0, deviation 1*, and 0.68 still after *median and quartiles*: that is the one to take if outliers are errors.

**Try next.** ``OUTLIERS = 0``: κ is 112 and 559 for the two intervals, 19 with mean 0 and deviation 1. ``FAR = 10``: outliers ten times as far.

:Slide: Deck 000, *Normalizations*; deck 003, *Unit normalisation: zero-centred, whitened*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

POINTS, OUTLIERS, FAR = 300, 6, 1

# %%
# Correlated features with a few outliers
# ---------------------------------------

rng = np.random.default_rng(0)
X = rng.multivariate_normal([5, 2], [[4.0, 1.8], [1.8, 1.0]], POINTS)
X[:OUTLIERS] = FAR * np.array([20, 8]) + rng.normal(size=(OUTLIERS, 2))

SCALERS = {
    "raw": None,
    "mean 0, deviation 1": nn.data.StandardScaler(),
    "to [−1, 1]": nn.data.MinMaxScaler((-1, 1)),
    "to [0, 1]": nn.data.MinMaxScaler((0, 1)),
    "median 0, quartiles": nn.data.RobustScaler(),
    "whitened": nn.data.Decorrelate(),
}

# %%
# What each scaling does
# ----------------------
# The condition number is that of XᵀX / n with a column of ones for the bias: the Hessian of a line that is fitted by least squares.

figure, axes = plt.subplots(2, 3, figsize=(11, 7.2))
for ax, (name, scaler) in zip(axes.flat, SCALERS.items(), strict=True):
    Z = X if scaler is None else scaler.fit_transform(X)
    bulk = Z[OUTLIERS:]
    ones = np.column_stack([Z, np.ones(POINTS)])
    eigenvalues = np.linalg.eigvalsh(ones.T @ ones / POINTS)
    condition = eigenvalues[-1] / eigenvalues[0]
    ax.scatter(*bulk.T, s=8, color=nn.figures.PALETTE[0])
    ax.scatter(*Z[:OUTLIERS].T, s=30, color=nn.figures.PALETTE[1], marker="^")
    ax.axhline(0, color="black", linewidth=0.8)
    ax.axvline(0, color="black", linewidth=0.8)
    limit = 1.1 * np.abs(Z).max()
    ax.set(
        title=f"{name[0].upper() + name[1:]}: κ = {condition:.0f}", xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal"
    )
    print(
        f"{name:<20} mean {Z.mean(axis=0).round(2)}, deviation {Z.std(axis=0).round(2)}, from {Z.min():.2f} to {Z.max():.2f}, "
        f"correlation {np.corrcoef(Z.T)[0, 1]:.2f}, deviation without the outliers {bulk.std(axis=0).round(2)}, condition number {condition:.1f}"
    )
plt.show()
