"""
Weights in bfloat16 stop learning: most updates are smaller than half a unit in the last place
==============================================================================================

A 64-256-128-10 network learns digits by Adam with a falling learning rate, four times from the same weights and with the same batches: in float32; with bfloat16 products, where the weights stay
float32 (``compute_dtype="bfloat16"``); with the weights themselves rounded to bfloat16 after each step; and with weights rounded *stochastically*: up or down at
random, so that the mean is right.

**What you see.** Left, the loss: float32, bfloat16 products and stochastic rounding are one curve, to 0.005. With bfloat16 weights it is stuck at 0.028. Right, why: the share
of updates that leave the rounded weight as it was, 32 % in the first epoch, 92 % in the middle, and nearly all in the end.

**What to conclude.** Products may be narrow, an accumulator may not: θ ← θ − η m̂/√v̂ is a sum over all steps, and a bfloat16 weight of 0.1 has neighbors 0.0005
away. Smaller steps than half of that are lost, all of them, however many there are. This is why mixed precision keeps *master weights* in float32 (Micikevicius
2018). Stochastic rounding drops as many steps, but those that it keeps are larger by as much: nothing is lost in the mean.

**Try next.** A constant rate, ``nn.Adam(lr=RATE)``: stochastic rounding still works. With ``RATE = 1e-2`` too its noise costs more than the lost updates do: a loss of 0.013 instead of
0.0002.

:Slide: beyond the decks. Micikevicius et al., *Mixed precision training* (2018)
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn
from nncore import reference

plt.style.use("nncore.slide")

RATE, EPOCHS, BATCH = 1e-3, 30, 64

X, y = nn.data.load_digits()
X = nn.data.StandardScaler().fit(X).transform(X)

# %%
# Steps by hand
# -------------
# The rounding is done to θ, in place, after each step.

rng = np.random.default_rng(1)


def nearest(theta):
    return reference.to_bfloat16(theta)


def stochastic(theta):
    """Up or down with the probabilities that make the mean right: random bits are added, then the lower half is cut off."""
    bits = theta.view(np.uint32) + rng.integers(0, 1 << 16, theta.size, dtype=np.uint32)
    return (bits & np.uint32(0xFFFF0000)).view(np.float32)


def learn(rounding=None, compute_dtype=None):
    """The loss over all digits after each epoch, and the share of updates that vanish."""
    layers = [nn.Dense(256), nn.ReLU(), nn.Dense(128), nn.ReLU(), nn.Dense(10)]
    model = nn.Sequential(layers, input_shape=64, compute_dtype=compute_dtype, seed=0)
    order, steps = np.random.default_rng(0), -(-len(X) // BATCH) * EPOCHS
    optimizer, theta, losses, lost = nn.Adam(lr=nn.schedules.Cosine(RATE, steps=steps)), model.parameters, [], []
    if rounding:
        theta[:] = rounding(theta)
    for _ in range(EPOCHS):
        lost.append([])
        for rows in np.array_split(order.permutation(len(X)), -(-len(X) // BATCH)):
            before = theta.copy()
            optimizer.step(theta, model.loss_and_gradient(X[rows], y[rows], "softmax_cross_entropy")[1])
            moved = theta != before
            if rounding:
                theta[:] = rounding(theta)
            lost[-1].append(np.mean((theta == before)[moved]))
        losses.append(nn.Trainer(model, "softmax_cross_entropy").evaluate(X, y)["loss"])
    return losses, 100 * np.mean(lost, axis=1)


results = {
    "float32": learn(),
    "bfloat16 products": learn(compute_dtype="bfloat16"),
    "bfloat16 weights": learn(nearest),
    "bfloat16 weights, stochastic rounding": learn(stochastic),
}
for name, (losses, lost) in results.items():
    print(
        f"{name:38} loss {losses[-1]:.2g}, lost updates: {lost[0]:.0f} % in the first epoch, {lost[len(lost) // 2]:.0f} % in the middle, {lost[-1]:.0f} % in the last"
    )

# %%
# The loss, and the updates that vanish
# -------------------------------------

figure, axes = plt.subplots(1, 2, figsize=(11.5, 4.4))
looks = [("-", 7, "#BBBBBB"), ("-", 2, nn.figures.PALETTE[0]), ("-", 3, nn.figures.PALETTE[1]), (":", 3, "black")]
for (name, (losses, lost)), (line, width, color) in zip(results.items(), looks):
    axes[0].semilogy(np.arange(1, EPOCHS + 1), losses, line, linewidth=width, color=color, label=name)
    if "weights" in name:
        axes[1].plot(np.arange(1, EPOCHS + 1), lost, line, linewidth=width, color=color, label=name)
axes[0].set(xlabel="epoch", ylabel="loss", title="The loss")
axes[1].set(xlabel="epoch", ylabel="updates without effect, %", ylim=(0, 103), title="Updates that the rounding undoes")
axes[0].legend()
axes[1].legend(loc="lower right")
figure.suptitle("Narrow products are harmless, narrow weights stop learning")
plt.show()
