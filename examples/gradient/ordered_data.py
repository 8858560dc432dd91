"""
Sorted examples make SGD swing forever; shuffled ones do not
============================================================

The first half of the data follows f(x) = 2x, the second half f(x) = −x. No line fits both; the best slope is 0.53. A model of one weight reads the examples
one by one: in their order, or shuffled anew in every epoch.

**What you see.** Read in order, every epoch drags the slope toward 2 and then toward −1. The swing does not become smaller with more epochs. Shuffled, the
slope stays near 0.5 and trembles: each single example still pulls toward its own line.

The second picture has the data, and the lines at the ends of both halves of the last epoch.

**What to conclude.** SGD follows the examples that it has read last. Shuffling makes every step's gradient an unbiased estimate of the gradient over all
data, so that the pulls cancel. Files are often sorted, by label or by date: `Trainer.fit` shuffles by default.

**Try next.** Halve ``LR``: the trembling becomes smaller, the swing remains. Set ``BATCH = 20``: the gradients of shuffled batches are nearly exact.

:Slide: Deck 000, *Shuffle the data*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

HALF, EPOCHS, LR, BATCH = 100, 12, 0.05, 1

# %%
# Two halves that contradict each other
# -------------------------------------
# ``slopes`` trains one weight and returns its value after every step.

x = np.random.default_rng(0).uniform(-1, 1, 2 * HALF)
X, y = x[:, None], np.concatenate([2 * x[:HALF], -x[HALF:]])
best = (x @ y) / (x @ x)


def slopes(shuffle):
    model = nn.Sequential([nn.Dense(1, bias=False, weight_init="zeros")], input_shape=1, dtype="float64")
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=LR))
    rng, seen = np.random.default_rng(1), [0.0]
    for _ in range(EPOCHS):
        order = rng.permutation(len(X)) if shuffle else np.arange(len(X))
        for batch in order.reshape(-1, BATCH):
            trainer.partial_fit(X[batch], y[batch])
            seen.append(model.parameters[0])
    return np.array(seen)


# %%
# The slope after every step
# --------------------------

figure, ax = plt.subplots()
last = {}
for name, shuffle, color in ("in their order", False, nn.figures.PALETTE[1]), ("shuffled", True, nn.figures.PALETTE[0]):
    path = slopes(shuffle)
    ax.plot(np.arange(len(path)) * BATCH / len(X), path, color=color, label=name, linewidth=1.5)
    last[name] = path[-1 - HALF // BATCH], path[-1]
    late = path[len(path) // 2 :]
    print(f"{name:<15} slope from {late.min():5.2f} to {late.max():5.2f} in the second half of the training")
ax.axhline(best, color="black", linestyle=":", label=f"best: {best:.2f}")
ax.set(xlabel="epoch", ylabel="slope", title="Sorted data: the model swings between 2x and −x", xlim=(0, EPOCHS))
nn.figures.label_ends(ax)
plt.show()

# %%
# What the model has learned, half an epoch apart
# -----------------------------------------------

figure, axes = plt.subplots(1, 2, sharey=True)
for ax, (name, (middle, end)) in zip(axes, last.items(), strict=True):
    ax.plot(x, y, ".", color="0.75", markersize=4)
    ax.plot([-1, 1], [-middle, middle], color=nn.figures.PALETTE[1], label=f"mid-epoch: {middle:.2f} x")
    ax.plot([-1, 1], [-end, end], color=nn.figures.PALETTE[0], label=f"end of the epoch: {end:.2f} x")
    ax.set(xlabel="x", title=name.capitalize(), ylim=(-2.1, 2.1))
    ax.legend(loc="upper left")
plt.show()
