"""
Near a saddle SGD hardly moves; momentum, RMSprop and Adam soon leave it
========================================================================

f(x, y) = x² − y² rises along x and falls along y. All optimizers start beside the ridge, at (1, 0.001), where the slope that leads away is 1000 times smaller
than the one that leads to the saddle. A saddle has no minimum, so final losses say nothing: what counts is the number of steps to a loss of −1 (it is 1 at the
start and 0 on the saddle).

**What you see.** AdaDelta and RMSprop are away after 34 and 31 steps, on a diagonal: they divide each coordinate's gradient by its own size, so that a small
slope counts as much as a large one. Nesterov, Adam and Momentum need 43 to 46. SGD slides down to the saddle and stays: 177 steps. The learning rate is 0.02
for all, but 1 for AdaDelta, which needs none.

**What to conclude.** How long SGD stays depends on how near to the ridge it comes: y grows by a factor of 1.04 per step, so each factor of ten costs 59 steps
(14 with momentum). For RMSprop, Adam and AdaGrad the distance does not matter. *Adaptive methods leave first* is not a law, though: AdaGrad is the last of all
here with 368 steps, since it never forgets the large gradients of the start, and a larger rate turns the order around: at 0.5 it needs 3, SGD 10.

**Try next.** Raise ``LR`` to 0.1. Start at ``START = [1.0, 1e-8]``. Start exactly on the ridge, ``[1.0, 0.0]``: now nobody leaves, until
`nn.GradientNoise` gives a push.

:Slide: Deck 001, *Visualizing the optimizers: Saddle Point*; deck 002, *Comparing momentums*; deck 004, *Further comparison: escaping from a saddle*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

LR, START, STEPS = 0.02, [1.0, 0.001], 700
DISTANCES = 10.0 ** -np.arange(1, 9)
FRAMES, LAST = 46, 90  # of the animation

# %%
# Seven optimizers from the same start
# ------------------------------------

f = nn.landscapes.Saddle()


def optimizers(lr):
    return {
        "RMSprop": nn.RMSprop(lr=lr, alpha=0.9),
        "AdaDelta": nn.AdaDelta(lr=1.0),
        "Nesterov": nn.Nesterov(lr=lr, momentum=0.9),
        "Adam": nn.Adam(lr=lr),
        "Momentum": nn.Momentum(lr=lr, momentum=0.9),
        "SGD": nn.SGD(lr=lr),
        "AdaGrad": nn.AdaGrad(lr=lr),
    }


def steps_away(optimizer, start):
    """The number of steps to a loss of −1, infinite if there are not enough."""
    try:
        loss = optimizer.minimize(f, start, STEPS).loss
    except nn.DivergenceError as error:  # it fell beyond the largest number
        loss = error.path.loss
    return nn.landscapes.steps_to(-1.0, loss)


steps = {name: steps_away(optimizer, START) for name, optimizer in optimizers(LR).items()}
colors = nn.figures.colors(steps)
for lr in 0.01, LR, 0.1, 0.5:
    print(f"learning rate {lr:4.2f}: steps", {name: float(steps_away(opt, START)) for name, opt in optimizers(lr).items()})

figure, (left, right) = plt.subplots(1, 2, width_ratios=[1, 1.15])
runs = {name: nn.landscapes.record(optimizer, f, START, LAST) for name, optimizer in optimizers(LR).items()}
nn.landscapes.plot_trajectories(f, runs, ax=left, title=f"Paths, {LAST} steps")
left.get_legend().remove()
bars = right.barh(list(steps), list(steps.values()), color=colors.values())
right.bar_label(bars, fmt="%.0f", padding=4)
right.invert_yaxis()
right.grid(False)
right.spines["bottom"].set_visible(False)
right.set(xticks=[], xlim=(0, 1.12 * max(steps.values())), title="Steps to a loss of −1")
right.tick_params(left=False)
plt.show()

# %%
# How near to the ridge?
# ----------------------
# The gradient away from the ridge is proportional to the distance. SGD and momentum multiply the distance in each step, the others add to it.

figure, ax = plt.subplots()
for name in "SGD", "Momentum", "AdaGrad", "RMSprop", "Adam":
    needed = [steps_away(optimizers(LR)[name], [1.0, y]) for y in DISTANCES]
    ax.plot(DISTANCES, needed, "o-", color=colors[name], label=name)
    print(f"{name:<9} steps from a distance of {DISTANCES[0]:.0e}: {needed[0]:.0f}, of {DISTANCES[-1]:.0e}: {needed[-1]:.0f}")
ax.set(xscale="log", xlim=(DISTANCES[0], DISTANCES[-1]), ylim=(0, None))
ax.set(xlabel="distance from the ridge at the start", ylabel="steps to a loss of −1")
ax.set_title("SGD pays for being near to the ridge, adaptive methods do not")
nn.figures.label_ends(ax)
plt.show()

# %%
# Step by step
# ------------

plt.rcParams.update({"savefig.dpi": 80, "animation.frame_format": "jpeg"})  # light frames: they are all in the page
animation = nn.landscapes.animate(f, runs, frames=FRAMES, title="Saddle")
plt.show()
