"""
In a ravine SGD bounces between the walls; momentum runs along the floor
========================================================================

A quadratic with curvature 1 along the floor and 20 across it. Plain gradient descent, with its best learning rate, and momentum
start at the same point.

**What you see.** The first 20 steps. SGD's learning rate is limited by the steep walls, η < 2/20; even with the best one it
zigzags, and its distance from the minimum falls to a hundredth in 47 steps. Momentum takes 23, with half of the rate: from step
to step it becomes longer along the floor, 0.45, 0.72, 0.87, and the zigzag is gone.

**What to conclude.** Across the ravine successive gradients have opposite signs and cancel in the velocity; along the floor
they have one sign and add up. The constants with the best rate (`landscapes.optimal`: η = 0.134, μ = 0.4) need only 15 steps,
on a wilder path. More is not always better: with SGD's η and μ = 0.9 the run swings past the minimum and takes 83 steps, more
than SGD.

Conjugate gradients are momentum whose η and μ are computed anew in each step: η as the best length along the velocity, μ as
gᵀg over that of the step before. On a quadratic in n dimensions they need n steps, here 2
(:doc:`/gallery/second_order/newton_step`). They need exact gradients; fixed η and μ bear the noise of mini-batches.

**Try next.** ``CONDITION = 100``: how do both numbers grow? (:doc:`/gallery/momentum/eigenvalues` has the law.)

:Slide: Deck 001, *Momentum and incremental updates*; Deck 002, *First idea: momentum*; Deck 003, *Momentum: without, with*; Deck 004, *Gradient descent is very poor "in ravines"*; *Conjugate gradients; similar idea: momentum*
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation

import nncore as nn

plt.style.use("nncore.slide")

CONDITION, STEPS = 20.0, 120
START = np.array([-10.0, 1.6])

# %%
# Four runs from one start
# ------------------------

f = nn.landscapes.Quadratic([1.0, CONDITION])
alone = nn.landscapes.optimal(1, CONDITION, momentum=False)
best = nn.landscapes.optimal(1, CONDITION)
optimizers = {
    f"SGD, η = {alone.lr:.3f}": nn.SGD(lr=alone.lr),
    "Momentum, η = 0.045, μ = 0.65": nn.Momentum(lr=0.045, momentum=0.65),
    f"Momentum, η = {best.lr:.3f}, μ = {best.momentum:.2f}": nn.Momentum(lr=best.lr, momentum=best.momentum),
    f"Momentum, η = {alone.lr:.3f}, μ = 0.9": nn.Momentum(lr=alone.lr, momentum=0.9),
}
paths = {name: optimizer.minimize(f, START, STEPS).theta for name, optimizer in optimizers.items()}
for name, path in paths.items():
    distance = np.linalg.norm(path, axis=1) / np.linalg.norm(START)
    steps = nn.landscapes.steps_to(0.01, distance)
    print(f"{name:<34} distance below 1 % after {steps:.0f} steps; first moves along the floor {np.diff(path[:4, 0]).round(2)}")

# %%
# Without and with
# ----------------
# Every dot is a step; the star is the minimum.

x, y = np.meshgrid(np.linspace(-11, 3, 300), np.linspace(-2.4, 2.4, 120))
heights = f.value(np.stack((x, y), axis=-1))


def ravine(ax, name, path):
    color = nn.figures.colors([name])[name]
    ax.contour(x, y, heights, levels=0.5 * np.linspace(0.2, 11, 9) ** 2, colors="0.8", linewidths=1)
    ax.plot(0, 0, "*", color="black", markersize=14)
    ax.set(aspect="equal", xlim=(-11, 3), ylim=(-2.4, 2.4), xticks=[-10, -5, 0], yticks=[-2, 0, 2])
    return ax.plot(*path.T, "o-", color=color, markersize=4, linewidth=1.5)[0]


SHOWN = 20
names = list(paths)
figure, axes = plt.subplots(2, 1, figsize=(9, 6.8))
for ax, name, label in zip(axes, names, ("Without momentum", "With momentum"), strict=False):
    ravine(ax, name, paths[name][: SHOWN + 1])
    ax.set_title(f"{label}: {SHOWN} steps ({name.split(', ', 1)[1]})")
plt.show()

# %%
# As an animation
# ---------------

figure, axes = plt.subplots(2, 1, figsize=(7.5, 5.6))
lines = [ravine(ax, name, paths[name][:1]) for ax, name in zip(axes, names, strict=False)]


def draw(step):
    for line, ax, name in zip(lines, axes, names, strict=False):
        line.set_data(*paths[name][: step + 1].T)
        ax.set_title(f"{name}: step {step}")
    return lines


draw(0)
figure.draw_without_rendering()
figure.set_layout_engine("none")  # the layout of the first frame for all
plt.rcParams.update({"savefig.dpi": 72, "animation.frame_format": "jpeg"})  # light frames: they are all in the page
animation = FuncAnimation(figure, draw, frames=41, interval=150)
plt.show()
