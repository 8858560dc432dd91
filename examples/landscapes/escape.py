"""
Momentum escapes shallow minima, and flies past narrow ones
===========================================================

Two functions of one variable: a bowl with many shallow ripples, and a bowl with one narrow dip that is deeper than everything else. SGD and momentum 0.9 run from
601 starts between −6 and 6, both at the learning rate 0.03.

**What you see.** Left, SGD stops in the first ripple; momentum rolls over the ripples. It finds the lowest point from 62 % of the starts, SGD from 9 %. Right,
the same speed carries momentum across the dip that SGD falls into: now SGD finds the lowest point from 37 % of the starts, momentum from 6 %.

**What to conclude.** *Momentum escapes local minima* is true where they are shallow beside the height from which a run comes. It helps as long as the better
minimum is the wider one. A run that starts slowly inside a basin never leaves it: in ripples three times as deep both methods end in the same minimum from 80 % of
the starts. On networks wide minima are often the better ones on new data, which speaks for momentum.

**Try next.** Lower ``LR`` to 0.01: momentum then stops like SGD on the right. Raise ``MOMENTUM`` to 0.97.

:Slide: Deck 004, *Momentum: why it works*; deck 003, *Local minima*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

LR, MOMENTUM, STEPS = 0.03, 0.9, 2000
STARTS = np.linspace(-6, 6, 601)
SHOWN = 5.3  # the start of the runs that are drawn

# %%
# Two functions, and ripples of another depth
# -------------------------------------------
# Each returns values and derivatives.


def ripples(x, depth=0.1):
    return 0.1 * x**2 + depth * (1 - np.cos(6 * x)), 0.2 * x + 6 * depth * np.sin(6 * x)


def dip(x, at=2.0, width=0.15):
    hole = 0.6 * np.exp(-((x - at) ** 2) / (2 * width**2))
    return 0.1 * x**2 - hole, 0.2 * x + hole * (x - at) / width**2


optimizers = {"SGD": nn.SGD(lr=LR), "Momentum": nn.Momentum(lr=LR, momentum=MOMENTUM)}


def paths(function, optimizer, starts):
    """The paths from all starts, (steps + 1, starts); each number is a run of its own."""

    def total(x):
        values, slopes = function(x)
        return values.sum(), slopes

    return optimizer.minimize(total, starts, STEPS).theta


def ends(function, optimizer):
    """The values at which the runs end."""
    return function(paths(function, optimizer, STARTS)[-1])[0]


# %%
# Where a run from the right stops
# --------------------------------

figure, axes = plt.subplots(1, 2, sharey=True)
x = np.linspace(-6, 6, 2001)
colors = nn.figures.colors(optimizers)
functions = {"Shallow ripples: momentum wins": ripples, "A narrow dip: momentum misses it": dip}
for ax, (title, function) in zip(axes, functions.items(), strict=True):
    values = function(x)[0]
    ax.plot(x, values, color="black", linewidth=1.5)
    for row, (name, optimizer) in enumerate(optimizers.items()):
        found = (ends(function, optimizer) < values.min() + 0.01).mean()
        path = paths(function, optimizer, [SHOWN])[:, 0]
        height = function(path)[0] + 0.35 + 0.35 * row  # above the curve, so that both can be seen
        ax.plot(path, height, color=colors[name], linewidth=1.5)
        ax.plot(path[-1], height[-1], "o", color=colors[name], markeredgecolor="black", markersize=10)
        text = f"{name}: lowest point from {found:.0%} of all starts"
        ax.text(0.5, 0.93 - 0.09 * row, text, color=colors[name], ha="center", transform=ax.transAxes, fontsize=12)
        print(f"{title:<35} {name:<9} lowest point from {found:.0%} of the starts; from {SHOWN} to {path[-1]:.2f}")
    ax.set(title=title, xlabel="θ", ylim=(-0.6, 5.2))
axes[0].set_ylabel("f(θ), paths above it")
plt.show()

# %%
# Deeper ripples
# --------------
# Beyond a certain depth momentum escapes no more.

for depth in 0.1, 0.2, 0.3:
    sgd, momentum = (ends(lambda x, depth=depth: ripples(x, depth), optimizer) for optimizer in optimizers.values())
    same = np.isclose(sgd, momentum, atol=1e-3).mean()
    print(f"ripples {depth} deep: as SGD from {same:.0%} of the starts, lower from {(momentum < sgd - 1e-3).mean():.0%}")
