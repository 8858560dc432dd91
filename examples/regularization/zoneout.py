"""
A little zoneout keeps a GRU from overfitting; much of it slows learning
========================================================================

A digit read as a sequence of 8 rows of 8 pixels, 150 digits to train on. Zoneout keeps each number of the state as it was with a probability of 0.1 or 0.3, as dropout
sets numbers to zero. Twelve seeds, each with other training digits.

**What you see.** The median held-out loss. Without zoneout that of the GRU rises again after its minimum; with a rate of 0.1 it stays low. The simple network
overfits less, and gains less. With a rate of 0.3 both learn slowly, and the simple network ends much worse: eight steps are few for a state that skips three
of ten updates.

**What to conclude.** Zoneout is a regularizer for recurrent networks: what it drops is the change, so that the memory survives. Like every regularizer it helps
where there is overfitting, and in excess it costs more than it brings.

**Try next.** ``EXAMPLES = 600``: does the GRU still need it? A rate of 0.05.

:Slide: Deck 001, *Zoneout*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

UNITS, EXAMPLES, HELD_OUT, EPOCHS, SEEDS = 32, 150, 400, 100, 12
CELLS, RATES = (nn.GRU, nn.SimpleRNN), (0.0, 0.1, 0.3)
X, y = nn.data.load_digits(flat=False)


def make(cell, rate, seed):
    model = nn.Sequential([CELLS[cell](UNITS, zoneout=rate), nn.Dense(10)], input_shape=(8, 8), seed=seed)
    return nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=3e-3), seed=seed)


# %%
# Each run has its own digits
# ---------------------------
# The same for all rates.

curves = {}
for cell, rate in np.ndindex(len(CELLS), len(RATES)):
    runs = []
    for seed in range(SEEDS):
        train, rest = np.split(np.random.default_rng(seed).permutation(len(X)), [EXAMPLES])
        trainer = make(cell, RATES[rate], seed)
        held_out = X[rest[:HELD_OUT]], y[rest[:HELD_OUT]]
        runs.append(
            trainer.fit(X[train], y[train], epochs=EPOCHS, batch_size=32, validation_data=held_out, verbose=0)["val_loss"]
        )
    curves[cell, rate] = np.median(runs, axis=0)
    print(
        f"{CELLS[cell].__name__:<10} zoneout {RATES[rate]:<4} lowest {curves[cell, rate].min():.2f}, last {curves[cell, rate][-1]:.2f}"
    )

figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
for cell, (ax, title) in enumerate(zip(axes, ("GRU", "SimpleRNN"))):
    for rate, color in enumerate(("0.2", *nn.figures.PALETTE[:2])):
        ax.plot(
            np.arange(1, EPOCHS + 1),
            curves[cell, rate],
            color=color,
            label=f"rate {RATES[rate]:g}: {curves[cell, rate][-1]:.2f}",
        )
    ax.set(xlabel="epoch", ylabel="held-out loss" if cell == 0 else "", title=title, ylim=(0.3, 1.1))
    nn.figures.label_ends(ax)
plt.show()
