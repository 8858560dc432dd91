"""
Large weights make a sigmoid steep, and small weights make a network smooth
===========================================================================

A sigmoid unit σ(wx) for three weights; then a network of 30 sigmoid units and random weights, of size 1, 5 or 25.

**What you see.** Left: the response of one unit rises from 10 % to 90 % within 4.39/\\|w\\|: for w = 25 it is a step. Right:
the output of a whole network of such units, with the same random numbers for all three sizes: with weights of size 1 it is
almost flat, with 25 it goes up and down: its steepest slope is 27 times as large.

**What to conclude.** A network turns as quickly as its units do. That is why a penalty on the weights makes the decision
surface smooth, see :doc:`/gallery/regularization/weight_decay`. The other side: the slope is w/4 in units of x, so what counts
is the product of weight and input: an input in other units needs another weight for the same curve. And a sum of many gentle
units can still be steep: thirty units with w = 1 whose output weights are 25 make a slope of up to 187.5.

**Try next.** The same figure with `nn.ReLU`: the slopes grow in proportion to the weights, but no unit becomes a step.

:Slide: Deck 001, *The individual perceptron: as \\|w\\| increases, the response becomes steeper*; *Smoothness through weight manipulation*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

SIZES, UNITS = [1, 5, 25], 30
COLORS = dict(zip(SIZES, nn.figures.PALETTE))
x = np.linspace(-2, 2, 2001)[:, None]

# %%
# One unit, and a network of them
# -------------------------------

figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.4))
unit = nn.Sequential([nn.Dense(1), nn.Sigmoid()], input_shape=1, dtype="float64")
network = nn.Sequential([nn.Dense(UNITS), nn.Sigmoid(), nn.Dense(1)], input_shape=1, dtype="float64")
rng = np.random.default_rng(1)
weights, places, outputs = rng.normal(size=UNITS), rng.uniform(-2, 2, UNITS), rng.normal(size=UNITS) / np.sqrt(UNITS)
network[2].weight[0], network[2].bias[...] = outputs, -outputs.sum() / 2
for size in SIZES:
    unit[0].weight[...] = size
    network[0].weight[:, 0], network[0].bias[...] = size * weights, -size * weights * places
    y, whole = unit.predict(x)[:, 0], network.predict(x)[:, 0]
    within = np.ptp(x[(y > 0.1) & (y < 0.9)])
    steepest = np.abs(np.gradient(whole, x[:, 0])).max()
    print(
        f"|w| = {size:2}: largest slope {np.gradient(y, x[:, 0]).max():.2f}, from 10 % to 90 % within {2 * np.log(9) / size:.2f}; "
        f"the network's largest slope {steepest:.2f}"
    )
    left.plot(x, y, color=COLORS[size], label=f"|w| = {size}")
    right.plot(x, whole, color=COLORS[size], label=f"size {size}")
left.set(title="One sigmoid unit, σ(wx)", xlabel="x")
right.set(title=f"{UNITS} units with random weights", xlabel="x")
for (px, py), size in zip([(1.1, 0.65), (0.45, 0.8), (-0.75, 0.9)], SIZES):
    left.text(px, py, f"w = {size}", color=COLORS[size])
for (px, py), size in zip([(-1.9, 0.09), (-1.25, -0.2), (1.1, 0.36)], SIZES):
    right.text(px, py, f"size {size}", color=COLORS[size])
plt.show()
