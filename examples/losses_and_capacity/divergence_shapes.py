"""
The best divergence is steep far from the optimum and shallow near it
=====================================================================

Four divergences of one number y from its target 0, and 30 steps of gradient descent from y = 2.9, all with the same learning
rate of 0.2.

**What you see.** The first curve is flat far away: after 30 steps y is still at 2.50. \\|y\\| is steep everywhere: y arrives in
14 steps and then jumps across the optimum for ever, by 0.2. ½y² falls on a straight line: each step takes 20 % of the distance,
and after 30 steps 0.0036 is left. ¼y⁴ is so steep far away that the first step lands on the other side, and so shallow near the
optimum that 0.24 is left.

**What to conclude.** The length of a step of gradient descent is the slope. A slope that shrinks in proportion to the distance,
as with ½y², is right both far and near: "ideally quadratic in nature". The other side: it is also proportional to the error of
an outlier. `nn.Huber` is quadratic near and linear far away; and a falling learning rate cures \\|y\\|.

**Try next.** ``RATE = 0.05`` and ``RATE = 0.6``: for which divergence does the rate matter most? At ``RATE = 2.1`` which ones
diverge?

:Slide: Deck 001, *Desiderata for a good divergence*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

RATE, STEPS, START = 0.2, 30, 2.9
# its formula, what is said about it, the function, and its slope
DIVERGENCES = [
    ("1 − exp(−½y²)", "shallow far", lambda y: 1 - np.exp(-(y**2) / 2), lambda y: y * np.exp(-(y**2) / 2)),
    ("|y|", "steep near", np.abs, np.sign),
    ("½y²", "steep far, shallow near", lambda y: y**2 / 2, lambda y: y),
    ("¼y⁴", "too shallow near", lambda y: y**4 / 4, lambda y: y**3),
]

# %%
# Gradient descent on each of them
# --------------------------------

figure, axes = plt.subplots(2, 4, figsize=(12, 5.6), sharey="row", sharex="row")
grid = np.linspace(-3.4, 3.4, 401)
for (upper, lower), (formula, words, f, slope), color in zip(axes.T, DIVERGENCES, nn.figures.PALETTE):
    path = [START]
    for _ in range(STEPS):
        path.append(path[-1] - RATE * slope(path[-1]))
    path = np.array(path)
    print(f"{formula:<14} after {STEPS} steps |y| = {abs(path[-1]):.4f}, the last step moved by {abs(path[-1] - path[-2]):.4f}")
    upper.plot(grid, f(grid), color=color)
    upper.plot(path, f(path), "o", color="black", markersize=4)
    upper.set(title=words, ylim=(-0.3, 5), xlabel="y")
    upper.text(0, 4.3, formula, color=color, ha="center")
    lower.semilogy(np.abs(path), "o-", color=color, markersize=3)
    lower.set(xlabel="step", ylim=(2e-3, 6))
axes[0, 0].set(ylabel="divergence")
axes[1, 0].set(ylabel="distance |y|")
plt.show()
