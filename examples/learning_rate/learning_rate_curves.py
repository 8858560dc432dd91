"""Very high, high, good, low: the loss curve tells which learning rate it was
===========================================================================

A linear classifier learns digits of which a fifth have a random label, so that no learning rate can bring the loss to 0. SGD with batches of 8, four learning
rates. Then ``lr_find`` looks for a good one in a single short run, in which the rate grows with every step.

**What you see.** Very high: the loss jumps about, above that of the start (2.6). High: it falls at once, then trembles well above the good one. Low: a slow,
smooth fall that is nowhere near its end. Good: fast, and the lowest in the end. Below, the loss of ``lr_find`` first falls, is lowest, then explodes;
a tenth of the rate at the lowest point is its suggestion.

**What to conclude.** Draw the loss before anything else is tuned. Too smooth and slow: raise the rate. Trembling on a plateau: lower it, best during
the training (:doc:`schedules`). The good range here is a factor of ten wide: factors of 3 are a fine enough search.

**Try next.** Set ``BATCH = 64``: which of the four curves change most?

:Slide: Deck 002, *Once more: learning rate* (its figure of four curves); deck 003, *Adaptive learning rates* (the rate is hard to set)
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

RATES = {"very high": 4.0, "high": 1.0, "good": 0.1, "low": 0.003}
BATCH, EPOCHS, SEEDS, WRONG = 8, 30, 5, 0.2

# %%
# Four learning rates
# -------------------
# An ensemble trains one network per seed; the curves are means over them.

X, y = nn.data.load_digits()
rng = np.random.default_rng(0)
y = np.where(rng.random(len(y)) < WRONG, rng.integers(0, 10, len(y)), y)
model = nn.Sequential([nn.Dense(10)], input_shape=64, seed=0)

figure, ax = plt.subplots()
for name, lr in RATES.items():
    trainer = nn.EnsembleTrainer(nn.Ensemble(model, SEEDS), "softmax_cross_entropy", nn.SGD(lr=lr))
    start = np.mean(trainer.evaluate_members(X, y)["loss"])
    losses = trainer.fit(X, y, epochs=EPOCHS, batch_size=BATCH, exact_loss=True, verbose=0)["loss"].mean(axis=1)
    print(
        f"{name:10} lr {lr:<6} loss {start:.2f} at the start, {losses[0]:.2f} after an epoch, {losses[-1]:.2f} after {EPOCHS}"
    )
    ax.plot([start, *losses], label=f"{name}: {lr}")
ax.set(
    xlabel="epoch",
    ylabel="loss of the training data",
    ylim=(0.8, 5),
    xlim=(0, EPOCHS),
    title="Four learning rates, four shapes of the loss",
)
nn.figures.label_ends(ax)
plt.show()

# %%
# One short run that finds a good rate
# ------------------------------------

found = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(), seed=0).lr_find(X, y, start=1e-4, end=20, batch_size=BATCH)
print(f"lr_find suggests {found.suggestion:.2g} after {len(found.lrs)} steps")

figure, ax = plt.subplots()
ax.semilogx(found.lrs, found.losses, color="0.75", linewidth=1)
ax.semilogx(found.lrs, found.smoothed, color="black")
for (name, lr), color in zip(RATES.items(), nn.figures.PALETTE, strict=False):
    ax.axvline(lr, color=color, linewidth=1.5)
    ax.text(lr, 3.95, f" {name}", color=color, va="top")
ax.axvline(found.suggestion, color="black", linestyle=":")
ax.text(found.suggestion, 1.05, f"suggestion {found.suggestion:.2g} ", ha="right")
ax.set(
    xlabel="learning rate, rising with every step",
    ylabel="loss of the batch",
    ylim=(1, 4),
    title="lr_find: the loss falls, then explodes",
)
plt.show()
