"""
Dropout keeps the held-out loss low, but learns more slowly
===========================================================

Three networks of different size, each far larger than 300 noisy digits can determine, trained with and without dropout, four seeds each.

**What you see.** Left, two layers of 256 units: without dropout the held-out loss is smallest in epoch 12 and then rises by a quarter, while the network memorizes
its 300 digits (dotted). With dropout it goes on falling. The circles mark the minima: where early stopping would stop. Right: at the end the errors on held-out
digits are lower with dropout, by about one point for each of the three networks. But for the first thirty epochs dropout is *behind*.

**What to conclude.** Dropout regularizes: no unit can rely on another one. The slide's *trains faster* does not hold for the number of epochs: each step trains
a part of the network only, with noise. Early stopping alone gives a good part of the gain, for nothing.

*More neurons need more data?* The table at the end has the errors without dropout. With correct labels 512 units err less than 64, and 64 less than 8, for 50, 300
and 1000 digits: 35.6, 40.6 and 52.3 % of 50. Only with wrong labels and 1000 digits are 512 units worse than 64 (23.1 against 19.5 %): they learn those labels too.
So more neurons need regularization where the data are noisy, rather than more data.

**Try next.** ``EXAMPLES = 1200``: with more data the gain shrinks. A rate of 0.8 in the hidden layers: too little is left of the network.

:Slide: Deck 001, *Dropout: test error with and without, for several architectures*; deck 003, *Dropout trains faster*; decks 001, 002, 003, *Overfitting: the gap, early stopping*; deck 001, *More neurons need more data*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

EXAMPLES, EPOCHS, SEEDS, NOISE = 300, 80, 4, 0.25
NETWORKS = [(256,), (256, 256), (256, 256, 256)]
UNITS, DIGITS, STEPS = (8, 64, 512), (50, 300, 1000), 1000

# %%
# Few digits to train on, many held out
# -------------------------------------

rng = np.random.default_rng(0)
X, y = nn.data.load_digits()
X = X + NOISE * rng.standard_normal(X.shape)
train, held_out = np.split(rng.permutation(len(X)), [EXAMPLES])


def learn(units, dropout):
    layers = [nn.Dropout(0.2)] if dropout else []
    for width in units:
        layers += [nn.Dense(width), nn.ReLU()] + ([nn.Dropout(0.5)] if dropout else [])
    ensemble = nn.Ensemble(nn.Sequential([*layers, nn.Dense(10)], input_shape=64, seed=0), SEEDS)
    trainer = nn.EnsembleTrainer(ensemble, "softmax_cross_entropy", nn.Adam(lr=1e-3), metrics=["accuracy"])
    return trainer.fit(
        X[train], y[train], epochs=EPOCHS, validation_data=(X[held_out], y[held_out]), exact_loss=True, verbose=0
    )


# %%
# Curves of one architecture, ends of all
# ---------------------------------------

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), width_ratios=[1.5, 1])
looks = {False: ("without dropout", nn.figures.PALETTE[1]), True: ("with dropout", nn.figures.PALETTE[0])}
epochs = np.arange(1, EPOCHS + 1)
for place, units in enumerate(NETWORKS):
    for dropout, (name, color) in looks.items():
        histories = learn(units, dropout)
        held = np.array([histories.member(k)["val_loss"] for k in range(SEEDS)])
        wrong = np.array([100 * (1 - histories.member(k)["val_accuracy"][-1]) for k in range(SEEDS)])
        best = np.median(held, axis=0).argmin()
        print(
            f"{units!s:<16} {name:<16} held-out loss {np.median(held[:, -1]):.2f}, lowest {np.median(held, axis=0)[best]:.2f} in epoch {best + 1}; errors {wrong.mean():.1f} %"
        )
        right.plot(place + 0.15 * (dropout - 0.5) + np.zeros(SEEDS), wrong, "o", color=color, alpha=0.8)
        if units == (256, 256):
            left.fill_between(epochs, held.min(axis=0), held.max(axis=0), color=color, alpha=0.15, linewidth=0)
            left.plot(epochs, np.median(held, axis=0), color=color, label=name)
            left.plot(
                best + 1, np.median(held, axis=0)[best], "o", color=color, markerfacecolor="white", markersize=10, zorder=4
            )
            training = np.median([histories.member(k)["loss"] for k in range(SEEDS)], axis=0)
            left.plot(epochs, training, color=color, linestyle=":", linewidth=1.5)
left.set(xlabel="epoch", ylabel="loss (dotted: training)", ylim=(0, 1.2), title="Held-out loss, 2 × 256 units")
nn.figures.label_ends(left)
right.set_xticks(range(len(NETWORKS)), [" × ".join((str(len(units)), str(units[0]))) for units in NETWORKS])
right.set(xlabel="hidden layers × units", ylabel="held-out errors, %", title="Fewer errors for each of three")
plt.show()

# %%
# Do more neurons need more data?
# -------------------------------
# One hidden layer, without dropout, and the same number of steps for all. Errors on 797 other digits, once with correct labels for training, once with
# 20 % drawn by chance.

order, chance = rng.permutation(len(X)), rng.random(len(X)) < 0.2
noisy = np.where(chance, rng.integers(0, 10, len(X)), y)


def errors(units, rows, labels):
    ensemble = nn.Ensemble(nn.Sequential([nn.Dense(units), nn.ReLU(), nn.Dense(10)], input_shape=64, seed=0), SEEDS)
    trainer = nn.EnsembleTrainer(ensemble, "softmax_cross_entropy", nn.Adam(lr=1e-3))
    trainer.fit(X[rows], labels[rows], epochs=32 * STEPS // len(rows), batch_size=32, verbose=0)
    return 100 * np.mean(ensemble.member_probabilities(X[order[1000:]]).argmax(axis=-1) != y[order[1000:]])


for name, labels in ("correct labels", y), ("20 % by chance", noisy):
    for number in DIGITS:
        shown = "  ".join(f"{units} units {errors(units, order[:number], labels):4.1f} %" for units in UNITS)
        print(f"{name}, {number:4} digits: {shown}")
