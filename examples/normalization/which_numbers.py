"""
Batch norm mixes the examples; layer, instance and group norm take each by itself
=================================================================================

All of these subtract a mean and divide by a deviation. They differ in the numbers that these are taken over. The picture shows a batch of 3 examples with
4 channels of 5 numbers each (time steps, or pixels); numbers of one color are normalized together.

**What you see.** Batch norm goes down, across the examples: one set for each channel. Layer norm goes across one example: one set for each row. Instance
norm takes one channel of one example, group norm some channels of one example. The sets were found by experiment: one number of the input is changed, and
the outputs that change with it are its set.

**What to conclude.** Only batch norm (and batch renorm) mixes examples. So only these depend on the other examples of the batch, need batches of some
size, and compute something else at inference. The others treat each example by itself, always in the same way. Group norm is between: one group is layer
norm, as many groups as channels is instance norm. Weight norm normalizes no activations: it divides the weights of a unit by their length.

**Try next.** ``GROUPS = 4``, ``GROUPS = 1``. Add ``"RMS": nn.RMSNorm()``: the sets of layer norm, but no mean is subtracted.

:Slide: Deck 004, *Alternatives to BatchNorm*
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

import nncore as nn

plt.style.use("nncore.slide")

EXAMPLES, CHANNELS, LENGTH, GROUPS = 3, 4, 5, 2

LAYERS = {
    "Batch norm": nn.BatchNorm(affine=False),
    "Layer norm": nn.LayerNorm(affine=False),
    "Instance norm": nn.InstanceNorm(affine=False),
    f"Group norm, {GROUPS} groups": nn.GroupNorm(GROUPS, affine=False),
}

# %%
# The sets, by experiment
# -----------------------
# A number of the input is changed; the outputs that change are those that share its mean and its deviation.

x = np.random.default_rng(0).normal(size=(EXAMPLES, CHANNELS, LENGTH))


def sets(layer):
    model = nn.Sequential([layer], input_shape=(CHANNELS, LENGTH), dtype="float64")
    before = model.forward(x, training=True)
    found = np.full(x.shape, -1)
    for place in np.ndindex(x.shape):
        if found[place] < 0:
            changed = x.copy()
            changed[place] += 0.5
            found[model.forward(changed, training=True) != before] = found.max() + 1
    return found


# %%
# Drawn: a row for each example
# -----------------------------

colors = ListedColormap(
    [
        "#0072B2",
        "#F0C77A",
        "#009E73",
        "#E8A0C0",
        "#56B4E9",
        "#D55E00",
        "#B8D8C0",
        "#7B3294",
        "#DDDDDD",
        "#8C2D04",
        "#B0C4E8",
        "#4D4D4D",
    ]
)
figure, axes = plt.subplots(2, 2, figsize=(11, 4.8))
for ax, (name, layer) in zip(axes.flat, LAYERS.items()):
    found = sets(layer)
    count = found.max() + 1
    print(f"{name:<22} {count:2} sets of {found.size // count} numbers")
    for channel in range(CHANNELS):
        left = channel * (LENGTH + 0.6)
        edges = left + np.arange(LENGTH + 1), np.arange(EXAMPLES + 1) * 1.15
        for example in range(EXAMPLES):
            row = found[example, channel][None]
            ax.pcolormesh(
                edges[0],
                edges[1][example] + np.array([0, 1]),
                row,
                cmap=colors,
                vmin=0,
                vmax=12,
                edgecolor="white",
                linewidth=1,
            )
        ax.text(left + LENGTH / 2, -0.15, f"channel {channel + 1}", ha="center", va="bottom", fontsize=11)
    for example in range(EXAMPLES):
        ax.text(-0.4, 1.15 * example + 0.5, f"example {example + 1}", ha="right", va="center", fontsize=11)
    ax.set(
        xlim=(-0.1, CHANNELS * (LENGTH + 0.6)),
        ylim=(1.15 * EXAMPLES, -0.9),
        title=f"{name}: {count} sets of {found.size // count}",
    )
    ax.axis("off")
plt.show()
