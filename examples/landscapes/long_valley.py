"""
SGD crawls along the floor of a long valley; its steep walls fix the learning rate
==================================================================================

The walls are steep across the valley (curvature 4), the floor slopes by 0.05 only, and the minimum, 0, is eight units away. The walls allow SGD no rate
above 2/4. Each optimizer gets the best of 13 learning rates from 0.01 to 10, the one with which the loss stays below 0.01 soonest; AdaDelta has none to choose.

**What you see.** SGD is on the floor at once and then advances by 0.05 times its rate per step: 502 steps. Momentum swings from wall to wall, but the small slope
adds up: 56 steps. Adam needs 42. AdaGrad, with a rate for each coordinate, is there in 4. AdaDelta's steps grow only slowly from 0.003: 1021 steps.

**What to conclude.** In a ravine the steep direction limits the rate and the flat one needs a large one; momentum and adaptive methods both help. But the
adaptive methods help here because the floor lies along an axis. In the same valley turned by 29° AdaGrad needs 363 steps instead of 4, RMSprop 265 and Adam 93;
SGD and momentum do not notice. With a rate for each coordinate they cannot treat a direction between the axes by itself.

**Try next.** Turn by 45° with ``ANGLE = np.pi / 4``. Make the walls steeper, ``nn.landscapes.LongValley(wall=40)``: who pays?

:Slide: Deck 001, *Visualizing the optimizers: Long Valley*; deck 004, *SGD inherits gradient descent problems*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

RATES = np.geomspace(1e-2, 10, 13)
GOAL, STEPS, ANGLE = 0.01, 1200, 0.5
FRAMES, LAST = 46, 90  # of the animation

# %%
# The valley along an axis, and turned
# ------------------------------------
# Adaptive methods have a rate for each coordinate. In the turned valley no coordinate is along the floor.

f = nn.landscapes.LongValley()
turn = np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])


def turned(x):
    value, gradient = f.value_and_gradient(turn.T @ x)
    return value, turn @ gradient


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


def best(name, function, start):
    """The smallest number of steps to the goal, and the rate that needs them."""
    found = []
    for lr in [1.0] if name == "AdaDelta" else RATES:
        try:
            loss = optimizers[name](lr).minimize(function, start, STEPS).loss
        except nn.DivergenceError:
            continue
        found.append((float(nn.landscapes.steps_to(GOAL, loss)), lr))
    return min(found)


along = {name: best(name, f, f.start) for name in optimizers}
across = {name: best(name, turned, turn @ f.start) for name in optimizers}
for name in optimizers:
    print(f"{name:<9} along an axis: {along[name][0]:4.0f} steps (rate {along[name][1]:.2g});", end="  ")
    print(f"turned: {across[name][0]:4.0f} steps (rate {across[name][1]:.2g})")

# %%
# Paths and steps
# ---------------

order = sorted(along, key=along.get)
runs = {name: nn.landscapes.record(optimizers[name](along[name][1]), f, f.start, LAST) for name in order}
figure = plt.figure(figsize=(9, 5))
above, below = figure.subfigures(2, 1, height_ratios=[1, 1.15])
nn.landscapes.plot_trajectories(f, runs, ax=above.subplots(), title=f"Paths, {LAST} steps; a dot every ten")
above.axes[0].get_legend().remove()
axes = below.subplots(1, 2, sharey=True)
for ax, steps, title in (axes[0], along, "along an axis"), (axes[1], across, "turned by 29°"):
    bars = ax.barh(order, [min(steps[name][0], STEPS) for name in order], color=[colors[name] for name in order])
    ax.bar_label(bars, [f"{steps[name][0]:.0f}" if steps[name][0] < np.inf else f"> {STEPS}" for name in order], padding=4)
    ax.set(xticks=[], xlim=(0, 1.2 * STEPS), title=f"Steps to a loss of {GOAL}, {title}")
    ax.grid(False)
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(left=False)
axes[0].invert_yaxis()
plt.show()

# %%
# Step by step
# ------------

plt.rcParams.update({"savefig.dpi": 80, "animation.frame_format": "jpeg"})  # light frames: they are all in the page
animation = nn.landscapes.animate(f, runs, frames=FRAMES, title="Long valley")
plt.show()
