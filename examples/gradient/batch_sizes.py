"""SGD needs the fewest epochs, mini-batches the least time
==========================================================

A network learns 1500 digits with a step for every example (q = 1), for every 32, and for all of them. Each batch size has the largest of a few learning rates
with which it learned without jumping back up. The loss over all training digits is drawn twice: over the epochs, the examples read; and over the seconds of training.

**What you see.** Left: to a loss of 0.01 (dotted) SGD needs 9 epochs, batches of 32 need 11, and the full batch 185. Right: in seconds batches of 32 are ahead by
a factor of about five, since their steps use the processor better. The full batch comes last both times.

**What to conclude.** Counted in examples, one step per example learns most from them. Counted in time, steps of a few dozen examples cost little more than
single ones (:doc:`epoch_time`): that is how batch processing compensates for the worse convergence. Batch gradient descent spends a whole epoch on one step; with much data that is hopeless.

**Try next.** Give all the rate 0.03 in ``RATES``, and set ``GOAL = 0.3``: SGD is there after 1 epoch, batches of 32 after 4, the full batch after 185.

:Slide: Deck 000, *Mini-batch gradient descent: choosing q*; deck 003, *SGD: advantages*, *Mini-batch gradient descent*; deck 004, *Why do batching?*
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

RATES = {1: 0.03, 32: 0.3, 1500: 1.0}  # learning rate by batch size
CHUNKS = {1: [1] * 11, 32: [1] * 15, 1500: [1] * 5 + [15] * 16}  # epochs between two evaluations
GOAL = 0.01
LABELS = {1: "SGD", 32: "mini-batches", 1500: "full batch"}
PLACES = (2.7, 0.025), (5, 0.12), (12, 1.4)  # of the labels in the left panel

# %%
# Training, with a stopped clock during evaluation
# ------------------------------------------------

X, y = nn.data.load_digits()
order = np.random.default_rng(0).permutation(len(X))[:1500]
X, y = X[order], y[order]


def curve(q, seed=0):
    """(evaluations, 3): epochs, seconds, loss."""
    model = nn.Sequential([nn.Dense(256), nn.ReLU(), nn.Dense(256), nn.ReLU(), nn.Dense(10)], input_shape=64, seed=seed)
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=RATES[q]), seed=seed)
    seconds, rows = 0.0, []
    for epochs in CHUNKS[q]:
        start = time.perf_counter()
        trainer.fit(X, y, epochs=epochs, batch_size=q, verbose=0)
        seconds += time.perf_counter() - start
        rows.append((trainer.epochs_done, seconds, trainer.evaluate(X, y)["loss"]))
    return np.array(rows)


curves = {q: curve(q) for q in RATES}
for q, rows in curves.items():
    reached = np.flatnonzero(rows[:, 2] < GOAL)
    if len(reached):
        print(f"{LABELS[q]:22} loss {GOAL} after {rows[reached[0], 0]:4.0f} epochs, {rows[reached[0], 1]:.2f} s")

figure, axes = plt.subplots(1, 2, sharey=True)
for ax, column, unit in zip(axes, (0, 1), ("epochs", "seconds"), strict=True):
    for q, rows in curves.items():
        ax.loglog(rows[:, column], rows[:, 2], label=LABELS[q])
    ax.axhline(GOAL, color="black", linewidth=1, linestyle=":")
    ax.set(xlabel=unit, ylim=(0.005, 3))
axes[0].set(
    ylabel="loss of the training data", title="Per epoch SGD leads", yticks=[0.01, 0.1, 1], yticklabels=["0.01", "0.1", "1"]
)
axes[1].set(title="Per second mini-batches lead")
for (x, y), ha, label, color in zip(PLACES, ("right", "left", "left"), LABELS.values(), nn.figures.PALETTE, strict=False):
    axes[0].text(x, y, label, ha=ha, color=color)
plt.show()
