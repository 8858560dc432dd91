"""
Without bias correction Adam's first steps are three to seven times too long
============================================================================

m and v start at 0. After t steps of a constant gradient g, m is (1 − β₁ᵗ) g and v is (1 − β₂ᵗ) g²: both too small. Adam divides
by the two factors.

**What you see.** Left: m, √v and their ratio, the step, for a constant gradient. √v lags behind m, because β₂ = 0.999 is slower
than β₁ = 0.9: without correction the first step is 3.2 η, the 12th 6.6 η, and after 1000 steps it is still 1.26 η; with
correction every step is η. Right: a network on digits, trained with and without, for every learning rate, five seeds: the
valley without correction lies at rates four times smaller, and is as deep: 0.045 at η = 0.004, with correction 0.074 at 0.017.

**What to conclude.** The correction makes η mean what it says: the length of the steps, from the first on. Without it a usual
rate such as 0.017 is too high at first (0.23 in place of 0.074), and a smaller one gets the benefit of a rate that falls during
training. It is no condition of good training, as in a short one both reach low losses. RMSprop has no correction: its first
step is 1/√(1 − α) times η.

**Try next.** ``BETA2 = 0.9``: then m and v grow at one pace, and the ratio is 0.3 at first. Which way does the correction work
now?

:Slide: Deck 000, *ADAM* (bias correction); Deck 001, *ADAM: RMSprop with momentum*; Deck 002, *Adam full form involves bias correction term*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

BETA1, BETA2, STEPS = 0.9, 0.999, 3000
RATES, SEEDS, EPOCHS = np.geomspace(1e-3, 0.3, 9), 5, 3
ORANGE, BLUE = nn.figures.OPTIMIZER_COLORS["Adam"], nn.figures.PALETTE[0]

# %%
# A constant gradient
# -------------------

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4))
t = np.arange(1, STEPS + 1)
left.loglog(t, 1 - BETA1**t, color="0.5", linewidth=1.5)
left.loglog(t, np.sqrt(1 - BETA2**t), color="0.5", linewidth=1.5, linestyle="--")
for name, correct, color in ("with correction", True, ORANGE), ("without", False, BLUE):
    adam = nn.Adam(lr=1.0, betas=(BETA1, BETA2), bias_correction=correct)
    steps = -np.diff(adam.minimize(lambda x: (0.0, np.ones(1)), [0.0], STEPS).theta[:, 0])
    left.loglog(t, steps, color=color, linewidth=3)
    print(
        f"{name:<16} step 1: {steps[0]:.2f} η, longest: {steps.max():.2f} η (step {steps.argmax() + 1}), step 1000: {steps[min(999, STEPS - 1)]:.2f} η"
    )
left.text(1.2, 0.06, "m/g", color="0.4")
left.text(3, 0.035, "√v/g", color="0.4")
left.text(1.2, 7, "step without correction", color=BLUE)
left.text(1.2, 1.12, "step with correction", color=ORANGE)
left.set(xlabel="step", ylabel="step / η", ylim=(0.025, 11), title="A constant gradient: 1, or up to 6.6")

# A network.

X, y = nn.data.load_digits()
for name, correct, color in ("with correction", True, ORANGE), ("without", False, BLUE):
    models = [
        nn.Sequential([nn.Dense(64), nn.ReLU(), nn.Dense(64), nn.ReLU(), nn.Dense(10)], input_shape=64, seed=seed)
        for _ in RATES
        for seed in range(SEEDS)
    ]
    adam = nn.Adam(lr=nn.Each(np.repeat(RATES, SEEDS)), betas=(BETA1, BETA2), bias_correction=correct)
    trainer = nn.EnsembleTrainer(nn.Ensemble(models), "softmax_cross_entropy", adam)
    trainer.fit(X, y, epochs=EPOCHS, exact_loss=True, verbose=0)
    final = trainer.history.last("loss").reshape(-1, SEEDS)
    median = np.median(final, axis=1)
    right.loglog(RATES, median, "o-", color=color, label=name)
    right.fill_between(RATES, final.min(axis=1), final.max(axis=1), color=color, alpha=0.2, linewidth=0)
    print(
        f"{name:<16} best rate {RATES[median.argmin()]:.4f}: loss {median.min():.3f};",
        *(f"{r:.3f}: {m:.2g}" for r, m in zip(RATES, median, strict=True)),
    )
right.set(
    xlabel="learning rate", ylabel=f"training loss after {EPOCHS} epochs", title="Digits: the valley moves to lower rates"
)
right.legend(loc="upper left")
plt.show()
