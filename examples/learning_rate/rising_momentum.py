"""Raising the momentum raises the step: good with full batches, ruin with small ones
==================================================================================

"Typical values are 0.5, 0.9, or 0.99. Usually it starts at a low value that is then raised with time." Here it is raised from 0.5 to 0.9 and to 0.99 during
the training of a network with two hidden layers on digits, first with full batches, then with batches of 32.

**What you see.** Left, full batches: with 0.99 from the start the loss swings; with 0.9 it is smooth and slow in the end. Raised, it is smooth all the way and ends
at 0.0014, near the 0.0008 of 0.99 and far below the 0.022 of 0.9. Right, batches of 32: when the momentum becomes 0.99 the loss
rises to that of guessing, 2.3. With the rate lowered by the same factor as 1 − μ it ends at 0.0015, a little below the 0.0021 of 0.9.

**What to conclude.** Momentum μ makes steady steps 1/(1 − μ) times as long: from 0.9 to 0.99 the effective learning rate η/(1 − μ) grows tenfold. The smooth gradient of a
full batch bears that late in the training. Noisy ones do not; there raise the momentum only with a lower rate, or not at all.

**Try next.** Use ``nn.Nesterov`` in place of ``nn.Momentum``: with full batches the raised momentum is then ahead of 0.99.

:Slide: Deck 003, *SGD with momentum* (0.5, 0.9, or 0.99, raised with time)
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

SEEDS, FULL, SMALL = 5, 150, 30  # epochs with full and with small batches
COLORS = dict(zip(["0.9", "raised", "0.99", "0.5", "raised, η lower"], nn.figures.PALETTE, strict=False))

# %%
# Constant and rising momentum
# ----------------------------

X, y = nn.data.load_digits()
model = nn.Sequential([nn.Dense(64), nn.ReLU(), nn.Dense(64), nn.ReLU(), nn.Dense(10)], input_shape=64, seed=0)


def losses(lr, momentum, batch, epochs):
    """The loss of the training data after every epoch, median over the seeds."""
    trainer = nn.EnsembleTrainer(nn.Ensemble(model, SEEDS), "softmax_cross_entropy", nn.Momentum(lr=lr, momentum=momentum))
    return np.median(trainer.fit(X, y, epochs=epochs, batch_size=batch, exact_loss=True, verbose=0)["loss"], axis=1)


def rising(epochs, values):
    return nn.schedules.PiecewiseConstant([epochs // 10, epochs // 3], values, per="epoch")


figure, (left, right) = plt.subplots(1, 2)
runs = {"0.5": 0.5, "0.9": 0.9, "0.99": 0.99, "raised": rising(FULL, [0.5, 0.9, 0.99])}
for name, momentum in runs.items():
    found = losses(0.1, momentum, len(X), FULL)
    print(f"full batch, momentum {name:6} loss {found[FULL // 3 - 1]:.4f} after a third, {found[-1]:.4f} at the end")
    left.semilogy(found, color=COLORS[name], label=name)

runs = {
    "0.9": (0.03, 0.9),
    "raised": (0.03, rising(SMALL, [0.5, 0.9, 0.99])),
    "raised, η lower": (rising(SMALL, [0.15, 0.03, 0.003]), rising(SMALL, [0.5, 0.9, 0.99])),
}
for name, (lr, momentum) in runs.items():
    found = losses(lr, momentum, 32, SMALL)
    print(f"batches of 32, {name:16} loss {found[SMALL // 3 - 1]:.4f} after a third, {found[-1]:.4f} at the end")
    right.semilogy(found, color=COLORS[name], label=name)
left.set(xlabel="epoch", ylabel="loss of the training data", title="Full batches: raised is smooth and fast")
right.set(xlabel="epoch", title="Batches of 32: ruin")
for ax in (left, right):
    nn.figures.label_ends(ax)
plt.show()
