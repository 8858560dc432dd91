"""Each drop of the learning rate is a step in the loss
=====================================================

A linear classifier of digits, a fifth of which have random labels, and SGD with batches of 8. The learning rate is constant, divided by ten every 15 epochs, or harmonic:
1/(1 + epoch).

**What you see.** Left: the rates. Right: with the constant rate the loss trembles between 1.15 and 1.7 to the end. Where the rate is divided by ten (dotted) it drops
within one epoch, from 1.15 to 0.97; the second drop gives much less, 0.94 to 0.93. The harmonic rate reaches 0.96 without steps.

**What to conclude.** A large rate goes far, a small one comes near. Below a constant rate's floor only a smaller rate leads, and then at once: the parameters
are already at the right place and only the trembling stops. Which schedule it is matters less than that there is one.

**Try next.** Set ``EVERY = 3``: the rate is tiny before the model has arrived, and the loss ends at 0.98. Replace the harmonic schedule by
``nn.schedules.Cosine(1.0, steps=EPOCHS, per="epoch")``: 0.92.

:Slide: Deck 002, *Sum up: optimization* (use learning-rate decay); deck 004, *Stochastic gradient descent* (constant, ÷10 every N epochs, harmonic)
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

BATCH, EPOCHS, EVERY, SEEDS, WRONG = 8, 45, 15, 5, 0.2
SCHEDULES = {
    "constant": nn.schedules.Constant(1.0),
    f"÷10 every {EVERY}": nn.schedules.StepDecay(1.0, every=EVERY, factor=0.1, per="epoch"),
    "harmonic": nn.schedules.Harmonic(1.0, b=1, every=1, per="epoch"),
}

# %%
# Three schedules
# ---------------

X, y = nn.data.load_digits()
rng = np.random.default_rng(0)
y = np.where(rng.random(len(y)) < WRONG, rng.integers(0, 10, len(y)), y)
model = nn.Sequential([nn.Dense(10)], input_shape=64, seed=0)

figure, (left, right) = plt.subplots(1, 2, width_ratios=[1, 1.3])
epochs = np.arange(1, EPOCHS + 1)
for name, schedule in SCHEDULES.items():
    trainer = nn.EnsembleTrainer(nn.Ensemble(model, SEEDS), "softmax_cross_entropy", nn.SGD(lr=schedule))
    losses = trainer.fit(X, y, epochs=EPOCHS, batch_size=BATCH, exact_loss=True, verbose=0)["loss"].mean(axis=1)
    print(f"{name:14} loss after {EVERY}, {EVERY + 1}, {2 * EVERY}, {2 * EVERY + 1}, {EPOCHS} epochs:",
          " ".join(f"{losses[epoch - 1]:.3f}" for epoch in (EVERY, EVERY + 1, 2 * EVERY, 2 * EVERY + 1, EPOCHS)))  # fmt: skip
    left.step(epochs, schedule.values(0, EPOCHS), where="mid", label=name)
    right.plot(epochs, losses, label=name)
left.set(yscale="log", xlabel="epoch", ylabel="learning rate", title="The rate")
right.set(xlabel="epoch", ylabel="loss of the training data", ylim=(0.85, 1.75), title="The loss follows in steps")
for drop in (EVERY, 2 * EVERY):
    right.axvline(drop + 0.5, color="black", linestyle=":", linewidth=1)
nn.figures.label_ends(right)
plt.show()
