"""
Momentum rolls through local minima, into deeper ones and out of them
=====================================================================

f(x) = x⁴/4 − x²/2 + 0.15x has a shallow minimum on the right, a barrier, and the global minimum on the left. SGD and momentum
start at 100 points with η = 0.02.

**What you see.** From x = 1.9 SGD stops in the first minimum that it meets, the shallow one; momentum with μ = 0.9 rolls over
the barrier into the global minimum. From x = −2 it is the other way round: SGD stays in the global minimum, momentum leaves it
for the shallow one. Right: where the runs end, for every start (across) and momentum (up): SGD's row has one border, the
barrier; with more momentum stripes appear.

**What to conclude.** "Momentum escapes local minima" is true, also of the good ones: of 100 starts 53 end in the global minimum
without momentum, 59 with μ = 0.9 and 64 with 0.95. Momentum leaves basins that it enters at speed, shallow ones sooner; the
higher μ, the more the end is a matter of luck.

**Try next.** Tilt more: ``TILT = 0.3`` makes the right minimum shallower, and momentum more often right.
:doc:`/gallery/landscapes/basins` shows the same in two dimensions.

:Slide: Deck 004, *Momentum: why it works: escapes local minima*
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

import nncore as nn

plt.style.use("nncore.slide")

TILT, LR, STEPS = 0.15, 0.02, 1500
STARTS, MOMENTA = np.linspace(-2.5, 2.5, 100), 1 - np.geomspace(1, 0.01, 61)

# %%
# A double well
# -------------


def height(x):
    return x**4 / 4 - x**2 / 2 + TILT * x


def f(x):
    return height(x).sum(), x**3 - x + TILT  # every coordinate is a run of its own


low, barrier, shallow = np.sort(np.roots([1, 0, -1, TILT]).real)
print(
    f"global minimum f({low:.2f}) = {height(low):.3f}, barrier f({barrier:.2f}) = {height(barrier):.3f}, shallow minimum f({shallow:.2f}) = {height(shallow):.3f}"
)
ends = np.array([nn.Momentum(lr=LR, momentum=momentum).minimize(f, STARTS, STEPS).theta[-1] for momentum in MOMENTA])
found = ends < barrier
for momentum in 0, 0.5, 0.9, 0.95:
    i = np.abs(MOMENTA - momentum).argmin()
    print(f"momentum {MOMENTA[i]:.3f}: {found[i].sum()} of {len(STARTS)} starts end in the global minimum")

# %%
# Two starts, and all of them
# ---------------------------

figure, axes = plt.subplots(1, 3, figsize=(12, 4.4))
x = np.linspace(-2.1, 2.1, 400)
for ax, start, title in zip(axes, (1.9, -2.0), ("Out of the shallow minimum …", "… and out of the global one"), strict=False):
    ax.plot(x, height(x), color="0.75", linewidth=4)
    for name, optimizer, lift in ("SGD", nn.SGD(lr=LR), 0), ("Momentum", nn.Momentum(lr=LR, momentum=0.9), 0.25):
        path = optimizer.minimize(f, [start], STEPS).theta[:, 0]
        color = nn.figures.OPTIMIZER_COLORS[name]
        ax.plot(path, height(path) + lift, "o-", color=color, markersize=3, linewidth=1)
        ax.plot(path[-1], height(path[-1]) + lift, "o", color=color, markersize=11, markeredgecolor="black", label=name)
        print(f"{name} from {start}: ends at {path[-1]:.2f}")
    ax.set(xlabel="x", ylim=(-0.6, 2), title=title)
    ax.legend(loc="upper center")
axes[0].set_ylabel("f(x); momentum drawn a little higher")
axes[2].pcolormesh(STARTS, 1 / (1 - MOMENTA), found, cmap=ListedColormap(["#E8C9A8", "#0072B2"]))
axes[2].axvline(barrier, color="black", linestyle=":")
axes[2].text(-2.3, 1.5, "ends in the\nglobal minimum", color="white")
axes[2].text(0.4, 1.5, "ends in the\nshallow one")
axes[2].set(xlabel="start (dotted: the barrier)", ylabel="momentum μ", title="Stripes: it overshoots both", yscale="log")
axes[2].set_yticks([1, 2, 10, 100], ["0", "0.5", "0.9", "0.99"])
axes[2].minorticks_off()
axes[2].grid(False)
plt.show()
