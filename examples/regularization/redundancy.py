"""
With dropout half of the units can be removed: patterns are redundant
=====================================================================

Two networks of the same size learn the same digits to the same accuracy, one with dropout. Then hidden units are removed, one after the other, in random order.

**What you see.** Left: without half of its units the plain network reads 82 % of the digits, the one trained with dropout 95 %. Right: the damage done by
removing one unit: 0.7 points for the worst one without dropout, half of that with it.

**What to conclude.** Dropout trains a network for the loss of units, so that every pattern is spread over many of them. The units are no copies of each
other, though: the correlation of a unit with the one that resembles it most is 0.74 in the median, with dropout and without. (The deck's warning that a
layer without dropout may clone its input to undo the noise is not seen in this network.)

**Try next.** ``RATE = 0.2``. ``UNITS = 512``: more room for copies.

:Slide: Deck 001, *Dropout gives redundant patterns; a layer without it may clone its input*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

UNITS, RATE, EPOCHS, ORDERS = 64, 0.5, 150, 20

X, y = nn.data.load_digits()
train, held_out = nn.data.train_validation_split(X, y, fraction=0.5, seed=0)


def learn(rate):
    model = nn.Sequential([nn.Dense(UNITS), nn.ReLU(), nn.Dropout(rate), nn.Dense(10)], input_shape=64, seed=0)
    nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=2e-3)).fit(X[train], y[train], epochs=EPOCHS, verbose=0)
    return model


# %%
# Units removed one by one
# ------------------------
# A removed unit outputs 0; the outputs of those that are left are scaled up, as in training.


def accuracies(model, order):
    h = model.activations(X[held_out])["relu_1"]
    weight, bias = model["dense_2"].weight, model["dense_2"].bias
    found = []
    for removed in range(UNITS):
        kept = order[removed:]
        logits = h[:, kept] @ weight[:, kept].T * UNITS / len(kept) + bias
        found.append((logits.argmax(axis=1) == y[held_out]).mean())
    return 100 * np.array(found)


figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), width_ratios=[1.4, 1])
for rate, name, color in (0.0, "without dropout", nn.figures.PALETTE[1]), (RATE, "with dropout", nn.figures.PALETTE[0]):
    model = learn(rate)
    rng = np.random.default_rng(0)
    runs = np.array([accuracies(model, rng.permutation(UNITS)) for _ in range(ORDERS)])
    left.plot(100 * np.arange(UNITS) / UNITS, runs.mean(axis=0), color=color, label=name)
    alone = [accuracies(model, np.roll(np.arange(UNITS), -unit))[1] for unit in range(UNITS)]
    damage = np.sort(runs[0, 0] - np.array(alone))[::-1]
    right.plot(np.arange(1, UNITS + 1), damage, color=color)
    h = model.activations(X[held_out])["relu_1"]
    similar = np.corrcoef(h[:, h.std(axis=0) > 0].T) - np.eye((h.std(axis=0) > 0).sum())
    half, nearest = runs.mean(axis=0)[UNITS // 2], np.median(similar.max(axis=1))
    print(
        f"{name:<16} accuracy {runs[0, 0]:.1f} %, without half of the units {half:.1f} %; worst single unit {damage[0]:.1f} points; nearest correlation {nearest:.2f}"
    )
left.set(xlabel="units removed, %", ylabel="held-out accuracy, %", title="With dropout half of the units can go", xlim=(0, 98))
left.legend(loc="lower left")
right.set(xlabel="unit, the worst first", ylabel="accuracy lost, points", title="Damage by one unit")
plt.show()
