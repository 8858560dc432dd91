"""
Batch norm needs batches that are mixed: batches of one class break it
======================================================================

Digits, in batches of 30 that are put together in four ways: new at random in every epoch; at random, but always the same examples together; of two
classes; of one class. The order of the batches is random in all cases.

**What you see.** Without batch norm the four are equally good: 95 %. With batch norm a batch of two classes costs 8 points, and a batch of one class is a
disaster: the network guesses (10 %).

**What to conclude.** Batch norm subtracts what the examples of a batch have in common. In a batch of one class that is the class. In training the network
can only use differences within the class; at test, with the averages over all classes, it sees inputs that it has never seen. The same batches in every
epoch are slightly worse than new ones, 95.2 instead of 95.9 %: this is the "better randomization" that Ioffe and Szegedy recommend. The real danger are
data that are sorted by label, by patient or by day.

**Try next.** ``nn.LayerNorm`` does not mind. ``LR = 0.02``: batch norm with two classes per batch becomes worse.

:Slide: Deck 001, *Batch normalization also needs better randomization of training data order*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

BATCH, UNITS, LR, EPOCHS, SEEDS = 30, 48, 0.1, 10, 5

X, y = nn.data.load_digits()
X = nn.data.StandardScaler().fit(X).transform(X)
train, held_out = nn.data.train_validation_split(X, y, fraction=0.5, seed=0)

# %%
# Four ways to put batches together
# ---------------------------------


def cut(rows):
    return list(rows[: len(rows) // BATCH * BATCH].reshape(-1, BATCH))


def batches(order, rng):
    if order == "new in every epoch":
        return cut(rng.permutation(train))
    if order == "always the same":
        return cut(np.random.default_rng(0).permutation(train))
    together = 2 if order == "two classes" else 1
    classes = rng.permutation(10).reshape(-1, together)
    return [batch for group in classes for batch in cut(rng.permutation(train[np.isin(y[train], group)]))]


def learn(normalization, order, seed):
    """Accuracy on held-out data."""
    rng = np.random.default_rng(seed)
    hidden = [layer for _ in range(2) for layer in (nn.Dense(UNITS), *normalization(), nn.ReLU())]
    model = nn.Sequential([*hidden, nn.Dense(10)], input_shape=64, seed=seed)
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=LR))
    for _ in range(EPOCHS):
        parts = batches(order, rng)
        for i in rng.permutation(len(parts)):
            trainer.partial_fit(X[parts[i]], y[parts[i]])
    return 100 * np.mean(model.predict(X[held_out]).argmax(axis=1) == y[held_out])


# %%
# Accuracy
# --------

ORDERS = ("new in every epoch", "always the same", "two classes", "one class")
figure, ax = plt.subplots()
for shift, name, normalization, color in (
    (-0.2, "without", list, nn.figures.PALETTE[1]),
    (0.2, "with batch norm", lambda: [nn.BatchNorm()], nn.figures.PALETTE[0]),
):
    found = np.array([[learn(normalization, order, seed) for seed in range(SEEDS)] for order in ORDERS])
    place = np.arange(len(ORDERS)) + shift
    bars = ax.bar(place, found.mean(axis=1), 0.36, color=color, label=name)
    ax.bar_label(bars, fmt="%.1f", padding=8)
    ax.plot(place, found, ".", color="black", markersize=4)
    for order, values in zip(ORDERS, found):
        print(f"{name:<16} {order:<19} {values.mean():.1f} % ({values.min():.1f} to {values.max():.1f})")
ax.set(
    xticks=range(len(ORDERS)),
    ylabel="held-out accuracy, %",
    ylim=(0, 120),
    yticks=range(0, 101, 20),
    title="How the batches are put together",
)
ax.set_xticklabels(ORDERS)
ax.grid(axis="x", visible=False)
ax.legend(loc="upper left", ncols=2)
plt.show()
