"""
Dropout averages over all sub-networks, and one scaled pass is a good guess of it
=================================================================================

A network with 12 hidden units has 2¹² = 4096 sub-networks, one for each set of units that dropout keeps: few enough to compute them all.

**What you see.** Left: the masks of the first hidden layer for 24 inputs, a new one for each. Middle: the outputs of some sub-networks, their mean over all
4096, and the one pass at test time through the network with all units. Right: the mean over k random masks approaches the mean over all as 1/√k. The one pass is
as good as the mean over 109 masks.

**What to conclude.** At test time dropout computes one network instead of 4096. The weights are scaled by the probability α of *keeping* a unit (or, as here and in
most libraries, divided by α in training, so that nothing has to be done at test time). Behind nonlinear functions that is an approximation of the
average, and a good one.

**Try next.** ``RATE = 0.1``. ``UNITS = (12,)``: with one hidden layer the output is linear in the masks, and the one pass is exact.

:Slide: Decks 001, 003, *Dropout: a new mask for every input*; *averages over 2ᴺ sub-networks, Wₜₑₛₜ = αW*
"""

import itertools

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

RATE, UNITS, SAMPLES, EPOCHS = 0.5, (6, 6), 2**14, 2000

# %%
# A network trained with dropout
# ------------------------------

hidden = [layer for units in UNITS for layer in (nn.Dense(units), nn.Tanh(), nn.Dropout(RATE))]
model = nn.Sequential([*hidden, nn.Dense(1)], input_shape=1, dtype="float64", seed=1)
x = np.linspace(-2, 2, 41)[:, None]
nn.Trainer(model, "squared_error", nn.Adam(lr=0.01)).fit(x, np.sin(2 * x), epochs=EPOCHS, batch_size=len(x), verbose=0)

# %%
# All sub-networks
# ----------------


def subnetwork(mask):
    h, used = x, 0
    *layers, last = (layer for layer in model.layers if isinstance(layer, nn.Dense))
    for layer in layers:
        kept = mask[used : used + len(layer.bias)]
        h, used = np.tanh(h @ layer.weight.T + layer.bias) * kept / (1 - RATE), used + len(kept)
    return (h @ last.weight.T + last.bias)[:, 0]


masks = np.array(list(itertools.product((0, 1), repeat=sum(UNITS))))
probabilities = (1 - RATE) ** masks.sum(axis=1) * RATE ** (1 - masks).sum(axis=1)
outputs = np.array([subnetwork(mask) for mask in masks])
mean = probabilities @ outputs
spread = np.sqrt(np.mean(probabilities @ (outputs - mean) ** 2))
one_pass = np.sqrt(np.mean((model.predict(x)[:, 0] - mean) ** 2))
print(
    f"{len(masks)} sub-networks, spread {spread:.3f}; one pass is {one_pass:.4f} from their mean: as good as {(spread / one_pass) ** 2:.0f} masks"
)

# %%
# The mean over k masks
# ---------------------

samples = model.predict_samples(x, SAMPLES)[..., 0]
counts = 2 ** np.arange(11)
errors = [np.sqrt(np.mean((samples[: k * 16].reshape(16, k, -1).mean(axis=1) - mean) ** 2)) for k in counts]

figure, axes = plt.subplots(1, 3, figsize=(13, 4), width_ratios=[0.8, 1.2, 1.2])
axes[0].imshow(np.random.default_rng(0).random((24, UNITS[0])) >= RATE, cmap="Greys", aspect="auto", vmin=-0.3, vmax=1.3)
axes[0].set(xlabel="hidden unit", ylabel="input", title="A new mask for each input")
axes[0].grid(False)
for i in np.random.default_rng(3).integers(len(masks), size=25):
    axes[1].plot(x[:, 0], outputs[i], color="0.8", linewidth=1)
axes[1].plot(x[:, 0], mean, color="black", linewidth=5, alpha=0.5)
axes[1].plot(x[:, 0], model.predict(x)[:, 0], color=nn.figures.PALETTE[1])
axes[1].set(xlabel="x", ylim=(-2.2, 2.2), title="25 sub-networks, and the mean of all 4096")
axes[1].text(-2, -2.1, "gray band: mean of all; orange: one pass", fontsize=11)
axes[2].loglog(counts, spread / np.sqrt(counts), color="0.5", linestyle="--")
axes[2].loglog(counts, errors, "o", color=nn.figures.PALETTE[0])
axes[2].axhline(one_pass, color=nn.figures.PALETTE[1])
axes[2].text(1, one_pass * 0.85, f"one pass = {(spread / one_pass) ** 2:.0f} masks", color=nn.figures.PALETTE[1], va="top")
axes[2].text(counts[2], errors[2] * 1.2, "mean over k masks, ∝ 1/√k", color=nn.figures.PALETTE[0])
axes[2].set(xlabel="masks k", ylabel="distance from the mean of all", title="One pass is a good guess")
plt.show()
