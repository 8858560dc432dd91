"""
On Beale's function the learning rate decides more than the optimizer
=====================================================================

Beale's function has a flat floor that bends around steep corners; the minimum, 0, lies at (3, 0.5). Seven optimizers start at (1, 1.5), where f is 41. Each
gets the best of 21 learning rates from 0.0001 to 10: the one with which its loss stays below 0.1 soonest, of those whose path stays in the plot. AdaDelta has no
rate to choose.

**What you see.** With the best rate, six optimizers arrive in 32 to 100 steps, plain SGD in 38. The paths differ: momentum swings around the bend, AdaGrad and SGD
jump far in their first steps, RMSprop walks straight. AdaDelta begins with steps of √(ε/(1−ρ)) = 0.003 and has hardly moved when the others are there: 524 steps.
The second picture is the price of the first: the best rates lie a factor of 1000 apart, from 0.0018 for momentum to 1.8 for AdaGrad.

**What to conclude.** Films like this one, usually drawn with one rate for all, show the choice of the rate as much as the method. Compare optimizers only after a
search of the same cost for each. For SGD, momentum and AdaGrad the best rate is the last before one that throws the run out; a third of it is safe and two to three times
slower. RMSprop and Adam forgive more: around their best rate the curve is flat.

**Try next.** Let AdaDelta begin with larger steps, ``nn.AdaDelta(eps=1e-4)``, and set ``GOAL = 0.5``. Give all the rate 0.01 and look at the paths.

:Slide: Deck 001, *Visualizing the optimizers: Beale's Function*; deck 002, *Comparing momentums*; deck 004, *Further comparison*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

RATES = np.geomspace(1e-4, 10, 21)
GOAL, STEPS = 0.1, 600
FRAMES, LAST = 46, 90  # of the animation

# %%
# Each optimizer with its best rate
# ---------------------------------

f = nn.landscapes.Beale()
optimizers = {
    "SGD": lambda lr: nn.SGD(lr=lr),
    "Momentum": lambda lr: nn.Momentum(lr=lr, momentum=0.9),
    "Nesterov": lambda lr: nn.Nesterov(lr=lr, momentum=0.9),
    "AdaGrad": lambda lr: nn.AdaGrad(lr=lr),
    "RMSprop": lambda lr: nn.RMSprop(lr=lr, alpha=0.9),
    "Adam": lambda lr: nn.Adam(lr=lr),
    "AdaDelta": lambda lr: nn.AdaDelta(lr=lr),
}
colors = nn.figures.colors(optimizers)


def steps_needed(optimizer):
    """The number of steps to the goal; infinite if the path leaves the plot or the steps are not enough."""
    try:
        path = optimizer.minimize(f, f.start, STEPS)
    except nn.DivergenceError:
        return np.inf
    inside = (f.bounds[:, 0] <= path.theta).all() and (path.theta <= f.bounds[:, 1]).all()
    return nn.landscapes.steps_to(GOAL, path.loss) if inside else np.inf


rates = {name: np.ones(1) if name == "AdaDelta" else RATES for name in optimizers}
table = {name: np.array([steps_needed(make(lr)) for lr in rates[name]]) for name, make in optimizers.items()}
best = {name: rates[name][steps.argmin()] for name, steps in table.items()}
order = sorted(table, key=lambda name: table[name].min())
for name in order:
    arrived = np.isfinite(table[name]).sum()
    print(
        f"{name:<9} rate {best[name]:<7.2g} {table[name].min():4.0f} steps;  {arrived} of {len(rates[name])} rates arrive in {STEPS}"
    )

runs = {name: nn.landscapes.record(optimizers[name](best[name]), f, f.start, LAST) for name in order}
figure, (left, right) = plt.subplots(1, 2, width_ratios=[1.25, 1])
nn.landscapes.plot_trajectories(f, runs, ax=left, title=f"Paths, {LAST} steps")
left.get_legend().remove()
fewest = {name: min(table[name].min(), STEPS) for name in order}
bars = right.barh(order, fewest.values(), color=[colors[name] for name in order])
chosen = {name: f", rate {best[name]:.2g}" if len(table[name]) > 1 else "" for name in order}
right.bar_label(bars, [f"{fewest[name]:.0f}{chosen[name]}" for name in order], padding=4)
right.invert_yaxis()
right.grid(False)
right.spines["bottom"].set_visible(False)
right.set(xticks=[], xlim=(0, 1.15 * max(fewest.values())), title=f"Steps to a loss of {GOAL}")
right.tick_params(left=False)
plt.show()

# %%
# How much the rate matters
# -------------------------
# Left of a line the rates are too slow; right of it they throw the run out of the plot.

figure, ax = plt.subplots()
for name in "SGD", "Momentum", "AdaGrad", "RMSprop", "Adam":
    first = np.isfinite(table[name]).argmax()
    ax.plot(RATES, np.where(np.isfinite(table[name]), table[name], np.nan), "o-", color=colors[name])
    ax.annotate(name, (RATES[first], table[name][first]), (0, 8), textcoords="offset points", ha="center", color=colors[name])
ax.set(xscale="log", xlim=(8e-5, 4), ylim=(0, 650), xlabel="learning rate", ylabel=f"steps to a loss of {GOAL}")
ax.set_title("The best rates lie a factor of 1000 apart; beside each is one that fails")
plt.show()

# %%
# Step by step
# ------------

plt.rcParams.update({"savefig.dpi": 80, "animation.frame_format": "jpeg"})  # light frames: they are all in the page
animation = nn.landscapes.animate(f, runs, frames=FRAMES, title="Beale")
plt.show()
