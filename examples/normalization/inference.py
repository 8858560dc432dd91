"""
At inference batch norm uses averages and can be merged into the layer before it
================================================================================

At test time the mean and the variance of a batch are replaced by averages over the training batches. Two things are worked out here: the factor B/(B − 1)
in the average of the variance, and what is left of the layer then.

**What you see.** Left: the variance within batches of B numbers from a population of variance 9, averaged over many batches. It is too small by the factor (B − 1)/B:
4.5 for pairs. Times B/(B − 1) it is right for every B. Right: outputs of a trained network with batch norm at inference, and of the network into which it
was merged: the same numbers, with fewer layers.

**What to conclude.** The variance of a batch is taken about the batch's own mean, which lies nearer to its numbers than the true mean. With fixed averages
batch norm is a linear function of each unit, γ (z − μ)/σ + β, and Dense before it is linear too. So W′ = γW/σ and b′ = γ(b − μ)/σ + β do the work of both.

The deck takes the averages over all batches *of the final network* (``update_batch_statistics``). The running averages that most libraries use are
cheaper: over the last ten or so batches, with weights that have moved since; the means differ by 0.011 deviations here after two epochs, and the accuracy
not at all (92.5 %).

**Try next.** ``EPOCHS = 30``: the running averages differ from the exact ones by as much. What separates them is the noise of an average over few batches.

:Slide: Decks 001, 004, *Batch normalization: inference*; *batch norm can be "merged in"*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

SIZES, NUMBERS, EPOCHS, BATCH = (2, 3, 4, 6, 8, 16, 32, 64), 2**17, 2, 16

# %%
# The variance within small batches
# ---------------------------------

population = np.random.default_rng(0).normal(2, 3, NUMBERS)
within = np.array([population[: NUMBERS // B * B].reshape(-1, B).var(axis=1).mean() for B in SIZES])
corrected = within * [B / (B - 1) for B in SIZES]
for B, biased, unbiased in zip(SIZES, within, corrected):
    print(f"B = {B:<3} variance within batches {biased:.2f}, times B/(B − 1) {unbiased:.2f}")

# %%
# Running and exact averages, and the merged network
# --------------------------------------------------

X, y = nn.data.load_digits()
X = nn.data.StandardScaler().fit(X).transform(X)
train, held_out = nn.data.train_validation_split(X, y, fraction=0.5, seed=0)
hidden = [layer for _ in range(2) for layer in (nn.Dense(48), nn.BatchNorm(), nn.ReLU())]
model = nn.Sequential([*hidden, nn.Dense(10)], input_shape=64, dtype="float64", seed=0)
trainer = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=0.1))
trainer.fit(X[train], y[train], epochs=EPOCHS, batch_size=BATCH, last_batch="drop", verbose=0)
last = model.layers[4]


def accuracy(network):
    return 100 * np.mean(network.predict(X[held_out]).argmax(axis=1) == y[held_out])


running, before = last.running_mean.copy(), accuracy(model)
trainer.update_batch_statistics(X[train])
away = np.mean(np.abs(running - last.running_mean) / np.sqrt(last.running_var))
print(
    f"running averages: accuracy {before:.1f} %; exact ones {accuracy(model):.1f} %; the means differ by {away:.3f} deviations"
)

merged, difference = model.fold_batch_norm(X[held_out])
print(
    f"layers {len(model.layers)} → {len(merged.layers)}, parameters {model.parameters.size} → {merged.parameters.size}; outputs differ by {difference:.0e}"
)

figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.4))
left.axhline(9, color="0.5", linestyle="--")
left.plot(SIZES, within, "o-", color=nn.figures.PALETTE[1], label="σ² within batches")
left.plot(SIZES, corrected, "o-", color=nn.figures.PALETTE[0], label="times B/(B − 1)")
left.set(
    xscale="log", xlabel="batch size B", xticks=[2, 4, 8, 16, 32, 64], ylim=(0, 10), title="Variance, averaged over batches"
)
left.set_xticklabels([2, 4, 8, 16, 32, 64])
left.minorticks_off()
left.legend(loc="lower right")
outputs = model.predict(X[held_out][:200]), merged.predict(X[held_out][:200])
right.plot(*[values.ravel() for values in outputs], ".", color=nn.figures.PALETTE[0], markersize=3)
right.set(
    xlabel="outputs with batch norm",
    ylabel="outputs, merged",
    aspect="equal",
    title=f"Merged: {len(model.layers)} layers → {len(merged.layers)}",
)
right.text(0.04, 0.9, f"largest difference {difference:.0e}", transform=right.transAxes)
plt.show()
