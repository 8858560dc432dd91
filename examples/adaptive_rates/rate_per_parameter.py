"""
Large motion in a direction makes its steps small: a rate for every parameter
=============================================================================

The table of the slide: five steps of a path, (1, 2.5), (1, −3), (3, 2.5), (1, −2), (2, 1.5). Taken as gradients, they are given
to SGD, RMSprop and AdaGrad.

**What you see.** Left: SGD's path moves 8.0 in x, all of it forward, and 11.5 in y, for a net gain of 1.5. RMSprop divides each
direction by the root of its mean square; at the same total length it moves 10.0 in x and 9.5 in y. Middle: the effective rate
of both coordinates in a ravine with curvatures 1 and 30; that of the steep one is about a thirtieth. Right: noise in a gradient
makes the steps smaller too, because it enters the mean of the squares: with noise three times the gradient the mean step is
0.32 η.

**What to conclude.** The divisor √E[g²] = √(mean² + variance) is large in directions that are steep, that oscillate, or that
are noisy, and the step is small there. Flat, steady directions are stretched. One learning rate then serves for parameters with
very different gradients.

**Try next.** Rotate the ravine, ``Quadratic(condition=30.0, rotation=0.785)``: both coordinates see the same gradients, and a
rate per parameter no longer helps.

:Slide: Deck 000, *RMSProp*; Deck 001, *Smoothing the trajectory*; *Variance-normalized step*; Deck 002, *Second idea: different dimensions are different*; Deck 004, *Adagrad method*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

STEPS, NOISE = 40, np.array([0, 0.3, 1, 3, 10.0])
TABLE = np.array([(1, 2.5), (1, -3), (3, 2.5), (1, -2), (2, 1.5)])

# %%
# The slide's table
# -----------------
# Each optimizer is given the steps as negative gradients; the paths are scaled to the same total length.

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.4))
print(f"{'':<8} total motion in x, in y   net motion in x, in y")
for name, optimizer in ("SGD", nn.SGD(lr=1.0)), ("RMSprop", nn.RMSprop(lr=1.0, alpha=0.5)), ("AdaGrad", nn.AdaGrad(lr=1.0)):
    rows = iter([*-TABLE, np.zeros(2)])
    moves = np.diff(optimizer.minimize(lambda x, rows=rows: (0.0, next(rows)), [0.0, 0.0], len(TABLE)).theta, axis=0)
    moves *= np.abs(TABLE).sum() / np.abs(moves).sum()
    total, net = np.abs(moves).sum(axis=0), moves.sum(axis=0)
    print(f"{name:<8} {total[0]:17.1f} {total[1]:6.1f} {net[0]:18.1f} {net[1]:6.1f}")
    if name != "AdaGrad":
        left.plot(*np.vstack(([0, 0], moves.cumsum(axis=0))).T, "o-", color=nn.figures.OPTIMIZER_COLORS[name], label=name)
left.set(xlabel="x", ylabel="y", title="Less motion in y, more in x", ylim=(-2, 5.2), aspect="equal")
left.legend(loc="upper right", ncols=2, fontsize=11)

# The effective rate.
# `Recording.effective_step`: the learning rate with which SGD would have moved a parameter as far.

f = nn.landscapes.Quadratic([1.0, 30.0])
for name, optimizer in ("RMSprop", nn.RMSprop(lr=0.02, alpha=0.9)), ("AdaGrad", nn.AdaGrad(lr=0.1)):
    run = nn.landscapes.record(optimizer, f, [2.0, 2.0], STEPS)
    color = nn.figures.OPTIMIZER_COLORS[name]
    for i, (direction, line) in enumerate((("flat", "-"), ("steep", "--"))):
        middle.semilogy(run.effective_step[:, i], line, color=color, label=f"{name}, {direction}")
    print(f"{name:<8} effective rates after 10 steps: {run.effective_step[10].round(4)}")
middle.set(xlabel="step", ylabel="effective rate", title="The steep direction gets less", ylim=(2e-4, 0.3))
middle.legend(ncols=2, fontsize=10, loc="upper center")

# Noise.
# The gradient is 1 plus noise; the mean step against that without noise.

color, steps = nn.figures.OPTIMIZER_COLORS["RMSprop"], []
for noise in NOISE:
    rng = np.random.default_rng(0)
    path = nn.RMSprop(lr=0.01, alpha=0.99).minimize(
        lambda x, s=noise, r=rng: (0.0, 1 + s * r.normal(size=50)), np.zeros(50), 1000
    )
    steps.append((path.theta[200] - path.theta[-1]).mean() / 800 / 0.01)
print("mean step / η:", *(f"noise {n:g}: {s:.2f} (theory {1 / np.hypot(1, n):.2f})" for n, s in zip(NOISE, steps, strict=True)))
fine = np.linspace(0, NOISE[-1], 100)
right.plot(fine, 1 / np.hypot(1, fine), color="black", linewidth=1)
right.plot(NOISE, steps, "o", color=color, markersize=9)
right.text(2, 0.5, "1/√(1 + noise²)")
right.set(xlabel="noise / gradient", ylabel="mean step / η", title="Noise makes the steps smaller", ylim=(0, 1.1))
plt.show()
