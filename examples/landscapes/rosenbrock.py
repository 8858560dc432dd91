"""
In Rosenbrock's bent valley momentum and Adam arrive, SGD and RMSprop do not
============================================================================

Rosenbrock's valley is reached in a few steps; to follow its flat, bent floor to the minimum at (1, 1) is the task. Six optimizers are compared by rules: each gets
the best of 12 learning rates, found on 7 starts, and then runs from 7 others. What counts is the number of steps until the loss stays below a thousandth
of that at the start: losses below it do not matter.

**What you see.** One optimizer in color in each panel, the others in gray; the band is 10 to 90 % of the starts, the dot the arrival. Momentum needs 127 steps, Adam
171, Nesterov 205. AdaGrad jumps close at once and then hardly moves: 4 of 7 runs arrive. SGD and RMSprop are not there after 400 steps from any start. Below, three
of the paths: after 200 steps SGD is halfway.

**What to conclude.** There is no generally best optimizer, but on a given problem there are rules for a fair comparison: the same cost of the search for each,
starts that the search has not seen, a goal instead of the last loss, and the spread shown. Medians alone would hide that AdaGrad needs 9 steps from one start and more
than 400 from another. ``nncore compare rosenbrock`` prints the same kind of table in a terminal.

**Try next.** Set ``GOAL = 1e-1``: who is first now? Turn the ranking around with another landscape, `nn.landscapes.Beale` or
`nn.landscapes.Quadratic` with ``condition=100``.

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
