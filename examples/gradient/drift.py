"""SGD follows data that change; a full batch of all data lives in the past
========================================================================

The slope of a line rises and falls, and jumps once. In every step 16 new noisy points of the line arrive. Three models of one weight learn from them with
the same learning rate: from the new points only, from those of the last 20 steps, and from all points so far.

**What you see.** SGD on the new points stays close to the slope (a root mean square distance of 0.13). The full batch of all points hardly moves any more: the
past outweighs the present (0.82). The window lies between (0.30).

**What to conclude.** The gradient over all data is the right one only where the data do not change. Where they do, forgetting is a virtue, and the learning rate
says how fast: a small rate lags, a large one trembles. SGD is best at 0.4 (second picture).

**Try next.** Set ``NOISE = 2``: the best rate of SGD falls from 0.4 to 0.2.

:Slide: Deck 003, *SGD: advantages* (data that change over time); *SGD vs GD* (GD is biased toward the past)
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

STEPS, POINTS, NOISE, LR, SEEDS = 400, 16, 0.5, 0.2, 3
MODELS = {"SGD, new points": 1, "last 20 steps": 20, "all points so far": STEPS}  # steps whose points are kept
RATES = [0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.4]

# %%
# A slope that changes
# --------------------

t = np.arange(STEPS)
target = np.where(t < 3 * STEPS // 4, np.sin(2 * np.pi * t / 200), 1.5)


def follow(kept, lr, seed=0):
    """The model's slope after each step, if it trains on the points of the last ``kept`` steps."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((STEPS, POINTS))
    y = target[:, None] * x + NOISE * rng.standard_normal(x.shape)
    model = nn.Sequential([nn.Dense(1, bias=False, weight_init="zeros")], input_shape=1, dtype="float64")
    trainer, slopes = nn.Trainer(model, "squared_error", nn.SGD(lr=lr)), []
    for step in range(STEPS):
        new = slice(max(0, step + 1 - kept), step + 1)
        trainer.partial_fit(x[new].reshape(-1, 1), y[new].ravel())
        slopes.append(model.parameters[0])
    return np.array(slopes)


def distance(slopes):
    return np.sqrt(np.mean((slopes - target) ** 2))


figure, ax = plt.subplots()
ax.plot(target, color="black", linewidth=5, alpha=0.25, label="true slope")
for name, kept in MODELS.items():
    slopes = follow(kept, LR)
    print(f"{name:18} root mean square distance from the true slope {distance(slopes):.2f}")
    ax.plot(slopes, linewidth=1.6, label=name)
ax.set(xlabel="step", ylabel="slope", title="SGD follows the change, all points so far hold it back", xlim=(0, STEPS))
nn.figures.label_ends(ax)
plt.show()

# %%
# The learning rate trades lag against noise
# ------------------------------------------

figure, ax = plt.subplots()
for name, kept in MODELS.items():
    distances = [np.median([distance(follow(kept, lr, seed)) for seed in range(SEEDS)]) for lr in RATES]
    print(f"{name:18} best learning rate {RATES[np.argmin(distances)]}: {min(distances):.2f}")
    ax.semilogx(RATES, distances, "o-", label=name)
ax.set(
    xlabel="learning rate",
    ylabel="distance from the true slope",
    ylim=(0, None),
    title="Too small a rate lags, too large a one trembles",
)
ax.set(xticks=RATES, xticklabels=RATES)
ax.minorticks_off()
nn.figures.label_ends(ax)
plt.show()
