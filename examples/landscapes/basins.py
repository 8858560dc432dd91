"""
SGD ends in the minimum of its own basin; momentum may carry it into another one
================================================================================

Himmelblau's function has four minima. Gradient descent runs from each point of a grid of starts, once without and once with momentum 0.9, at the learning rate
0.004. Each start is drawn in the color of the minimum in which its run ends: these regions are the basins of attraction.

**What you see.** Left, four basins with smooth borders: 98 % of the starts end in the nearest minimum. Right, the basins are torn into swirls: only 61 % end in
the nearest minimum, and 38 % end in another one than without momentum. Near the minima the colors are the same in both pictures.

**What to conclude.** With several minima the start decides where a run ends, more than the algorithm. Momentum makes the end sensitive to the start: two runs
that begin side by side part. Here all minima are equally deep, so to change the basin is neither good nor bad. Let the function rise by 2 per unit along x, and
the left two minima become better ones: momentum then ends lower than SGD from 21 % of the starts, and higher from 17 %.

**Try next.** Set ``MOMENTUM = 0.5``: how much of the swirls remains? Set ``TILT = -10``. From which starts does `nn.Adam` end elsewhere?

:Slide: Deck 003, *Local minima*; deck 004, *Momentum: why it works*
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

import nncore as nn

plt.style.use("nncore.slide")

POINTS, STEPS, LR, MOMENTUM, TILT = 121, 400, 0.004, 0.9, 2.0

# %%
# All runs at once
# ----------------
# Both optimizers treat each number by itself, so that one run on the sum over all points is a run from each of them.

f = nn.landscapes.Himmelblau()
axis = np.linspace(*f.bounds[0], POINTS)
starts = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


def ends(optimizer, tilt=0.0):
    """Where the runs from all starts on f + tilt·x end: (starts, 2)."""

    def total(flat):
        points = flat.reshape(-1, 2)
        return f.value(points).sum() + tilt * points[:, 0].sum(), (f.gradient(points) + np.array([tilt, 0.0])).ravel()

    return optimizer.minimize(total, starts.ravel(), STEPS).theta[-1].reshape(-1, 2)


def nearest(points):
    """The number of the nearest minimum of each point: (starts,)."""
    return np.linalg.norm(points[:, None] - f.minima, axis=-1).argmin(axis=1)


optimizers = {"SGD": nn.SGD(lr=LR), "Momentum": nn.Momentum(lr=LR, momentum=MOMENTUM)}
basins = {name: nearest(ends(optimizer)) for name, optimizer in optimizers.items()}

# %%
# The basins of attraction
# ------------------------

figure, axes = plt.subplots(1, 2, sharey=True)
colors = ListedColormap(["#F7E3A1", "#3E86BD", "#8E2C55", "#7BBFA0"])
for ax, (name, basin) in zip(axes, basins.items(), strict=True):
    home = (basin == nearest(starts)).mean()
    ax.pcolormesh(axis, axis, basin.reshape(POINTS, POINTS), cmap=colors, vmin=0, vmax=3, rasterized=True)
    values = np.log10(f.value(starts).reshape(POINTS, POINTS) + 1)
    ax.contour(axis, axis, values, levels=12, colors="white", linewidths=0.5)
    ax.plot(*f.minima.T, "k*", markersize=13, markeredgecolor="white")
    ax.set(aspect="equal", xlabel="θ₁ of the start", title=f"{name}: {home:.0%} to the nearest")
    print(f"{name:<9} ends in the nearest minimum from {home:.0%} of the starts")
axes[0].set_ylabel("θ₂ of the start")
changed = (basins["SGD"] != basins["Momentum"]).mean()
print(f"momentum ends in another minimum than SGD from {changed:.0%} of the starts")
plt.show()

# %%
# When the minima differ
# ----------------------
# With a slope along x the four minima lie at four heights. Who ends lower?

heights = {}
for name, optimizer in optimizers.items():
    points = ends(optimizer, TILT)
    heights[name] = f.value(points) + TILT * points[:, 0]
    levels, counts = np.unique(heights[name].round(1), return_counts=True)
    shares = [f"{level:.1f}: {count / len(starts):.0%}" for level, count in zip(levels, counts, strict=True)]
    print(f"{name:<9} ends at a height of  {', '.join(shares)};  mean {heights[name].mean():.2f}")
difference = heights["Momentum"] - heights["SGD"]
print(f"momentum ends lower from {(difference < -0.1).mean():.0%} of the starts, higher from {(difference > 0.1).mean():.0%}")
