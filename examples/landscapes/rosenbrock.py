"""
XXX
===

XXX

**What you see.** XXX

**What to conclude.** XXX

**Try next.** XXX

:Slide: Deck 003, *What's the optimal optimiser?*; deck 004, *Comparison*
"""

import matplotlib.pyplot as plt

import nncore as nn

plt.style.use("nncore.slide")

STEPS, BUDGET, STARTS, GOAL = 400, 12, 7, 1e-3
LAST = 200  # steps of the paths that are drawn

# %%
# A comparison with rules
# -----------------------
# `nn.landscapes.compare` searches the rate of each optimizer from 7 starts, and lets it run from 7 others.

f = nn.landscapes.Rosenbrock()
optimizers = {
    "SGD": lambda lr: nn.SGD(lr=lr),
    "Momentum": lambda lr: nn.Momentum(lr=lr, momentum=0.9),
    "Nesterov": lambda lr: nn.Nesterov(lr=lr, momentum=0.9),
    "AdaGrad": lambda lr: nn.AdaGrad(lr=lr),
    "RMSprop": lambda lr: nn.RMSprop(lr=lr, alpha=0.9),
    "Adam": lambda lr: nn.Adam(lr=lr),
}
result = nn.landscapes.compare(optimizers, f, STEPS, BUDGET, STARTS, spread=0.03, goal=GOAL)
print(result)
result.plot()
plt.show()

# %%
# Three paths along the valley
# ----------------------------
# From the usual start, with the rates of the comparison; the title has the loss after 200 steps.

figure, axes = plt.subplots(1, 3, sharey=True)
for ax, name in zip(axes, ("SGD", "Momentum", "Adam"), strict=True):
    path = nn.landscapes.record(optimizers[name](result.lr[name]), f, f.start, LAST)
    nn.landscapes.plot_trajectories(f, {name: path}, ax=ax, title=f"{name}: {path.loss[-1]:.1g}")
    ax.get_legend().remove()
    print(f"{name:<9} rate {result.lr[name]:.2g}: {path.loss[-1]:.1e} after {LAST} steps, at {path.theta[-1].round(2)}")
plt.show()
