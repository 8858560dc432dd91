"""
Batch norm helps as much as dropout here, and both together help most
=====================================================================

200 digits to learn from, so that regularization matters. Networks of two hidden layers, without and with batch norm, at four rates of dropout, 10 starts
each.

**What you see.** The error on held-out digits. Without either it is 10.7 %, with dropout 9.9 %, with batch norm 9.9 %, with both 9.1 %. Too much dropout
hurts in both cases.

**What to conclude.** "Batch norm eliminates the need for dropout" is anecdotal, says the deck. Here it does half of the work: batch norm alone is as good
as the best dropout alone, but dropout behind it takes off another 0.8 points, as much as without it.

**Try next.** ``EXAMPLES = 600``: the error is 3 to 4 % in all cases, and hardly depends on dropout. ``SEEDS = 3``: the error bars become as long as the
differences.

:Slide: Deck 001, *Anecdotal evidence that batch norm eliminates the need for dropout*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

EXAMPLES, UNITS, EPOCHS, SEEDS = 200, 128, 40, 10
RATES = (0.0, 0.2, 0.4, 0.6)

X, y = nn.data.load_digits()
X = nn.data.StandardScaler().fit(X).transform(X)
train, held_out = nn.data.train_validation_split(X, y, fraction=0.5, seed=0)
train = train[:EXAMPLES]


# %%
# Held-out errors
# ---------------


def error(normalization, rate, seed):
    hidden = [layer for _ in range(2) for layer in (nn.Dense(UNITS), *normalization(), nn.ReLU(), nn.Dropout(rate))]
    model = nn.Sequential([*hidden, nn.Dense(10)], input_shape=64, seed=seed)
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=2e-3), seed=seed)
    trainer.fit(X[train], y[train], epochs=EPOCHS, batch_size=25, last_batch="drop", verbose=0)
    return 100 * np.mean(model.predict(X[held_out]).argmax(axis=1) != y[held_out])


figure, ax = plt.subplots()
for name, normalization, color in (
    ("without batch norm", list, nn.figures.PALETTE[1]),
    ("with batch norm", lambda: [nn.BatchNorm()], nn.figures.PALETTE[0]),
):
    found = np.array([[error(normalization, rate, seed) for seed in range(SEEDS)] for rate in RATES])
    mean, deviation = found.mean(axis=1), found.std(axis=1, ddof=1) / np.sqrt(SEEDS)
    ax.errorbar(RATES, mean, 2 * deviation, color=color, capsize=4)
    ax.plot(RATES, mean, "o-", color=color, label=name)
    for rate, m, d in zip(RATES, mean, deviation):
        print(f"{name:<19} dropout {rate}: error {m:.2f} % ± {d:.2f}")
ax.set(
    xlabel="rate of dropout",
    ylabel="held-out error, %",
    xticks=RATES,
    title=f"{EXAMPLES} training examples (mean of {SEEDS} starts, ± 2 standard errors)",
)
ax.set_ylim(bottom=0)
nn.figures.label_ends(ax)
plt.show()
