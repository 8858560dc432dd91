"""
One unit can do AND, OR and NOT; XOR needs two layers
=====================================================

Sigmoid units with weights set by hand. The color is the output for every point of the plane; the four marks are the four inputs
of a logical function, filled where its answer should be 1.

**What you see.** AND, OR and NOT are one unit each: a straight line with 1 on one side. No straight line has the two filled
marks of XOR on one side and the two empty ones on the other. Two units, OR and AND, cut out a strip, and a third one, "OR and
not AND", says 1 in it. All answers are right, within 0.0001.

**What to conclude.** Every logical function can be built of these three, so a network of sigmoids can compute it. Setting the
weights is one thing, learning them another: with two hidden units 8 of 20 starts learn XOR, with eight units 20 of 20 do
(:ref:`exercise 004.3 <exercise-004-3>`).

**Try next.** ``STEEP = 2``: the same lines, soft. Set the last unit to "AND or not OR": it is XNOR. Build XOR of three inputs.

:Slide: Deck 004, *Capabilities are limited: building blocks*; *XOR function*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

STEEP = 20
# weights and bias of a unit, in units of STEEP
AND, OR, NOT = ([1, 1], -1.5), ([1, 1], -0.5), ([-1, 0], 0.5)

# %%
# Single units
# ------------

X, xor = nn.data.xor()
truths = {"x₁ AND x₂": X.min(axis=1), "x₁ OR x₂": X.max(axis=1), "NOT x₁": 1 - X[:, 0]}
networks = {}
for name, (weight, bias) in zip(truths, (AND, OR, NOT)):
    unit = nn.Sequential([nn.Dense(1), nn.Sigmoid()], input_shape=2, dtype="float64")
    unit[0].weight[...], unit[0].bias[...] = STEEP * np.array(weight), STEEP * bias
    networks[name] = unit

# %%
# Two layers
# ----------
# The hidden units are OR and AND; the output is "OR and not AND".

two = nn.Sequential([nn.Dense(2), nn.Sigmoid(), nn.Dense(1), nn.Sigmoid()], input_shape=2, dtype="float64")
for unit, (weight, bias) in enumerate((OR, AND)):
    two[0].weight[unit], two[0].bias[unit] = STEEP * np.array(weight), STEEP * bias
two[2].weight[...], two[2].bias[...] = [[STEEP, -STEEP]], -STEEP / 2
networks["x₁ XOR x₂: two layers"], truths["x₁ XOR x₂: two layers"] = two, xor
for name, model in networks.items():
    print(f"{name:<22} for (0,0), (0,1), (1,0), (1,1):", model.predict(X)[:, 0].round(4))

# %%
# The plane
# ---------

figure, axes = plt.subplots(1, 4, figsize=(13, 4), sharey=True)
side = np.linspace(-0.5, 1.5, 121)
plane = np.stack(np.meshgrid(side, side), axis=-1)
for ax, (name, model) in zip(axes, networks.items()):
    answer = model.predict(plane.reshape(-1, 2)).reshape(plane.shape[:2])
    ax.contourf(side, side, answer, levels=np.linspace(0, 1, 11), cmap="Blues", vmax=1.6)
    ax.contour(side, side, answer, levels=[0.5], colors="black")
    for (x1, x2), truth in zip(X, truths[name]):
        ax.plot(x1, x2, "o", markersize=14, markeredgecolor="black", color="#D55E00" if truth else "white")
        ax.text(x1, x2 - 0.3, f"{truth:.0f}", ha="center", weight="bold")
    ax.set(title=name, xlabel="x₁", xticks=[0, 1], yticks=[0, 1], aspect="equal")
    ax.grid(False)
axes[0].set(ylabel="x₂")
plt.show()
