"""A constant rate keeps SGD trembling; a falling one lets it arrive
==================================================================

SGD with single examples fits a line to 500 noisy points. With a constant learning rate every step still follows the noise of its example,
at the minimum as far from it. With the rate η/(1 + t/τ) it does so less and less.

**What you see.** Left: the large rate is near the minimum at once, and stays 0.46 away from it. The small one stays 0.10 away. The falling rate passes below both: 0.045 in the last five
epochs, and still falling. Right: the weights in the last five epochs as clouds around the minimum (star).

**What to conclude.** A constant rate η ends in a cloud, of a radius that grows as √η: it "chases the latest example". For SGD to converge the rate must fall, but not too fast:
Σ η must be infinite and Σ η² finite (Robbins & Monro 1951), as with 1/t. A full batch has no noise and needs no falling rate.

**Try next.** Set ``TAU = 3``: SGD ends nearer still, at 0.018. With ``TAU = 0.1`` the rate falls before the model has arrived: 1.4.

:Slide: Deck 001, *Story so far* (the learning rate must shrink, otherwise SGD chases the latest sample)
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

N, EPOCHS, EVERY, SEEDS, TAU = 500, 20, 25, 8, 250
RATES = {
    "η = 0.2": 0.2,
    "η = 0.02": 0.02,
    f"0.2 / (1 + t/{TAU})": nn.schedules.InverseTime(0.2, rate=1 / TAU),
}

# %%
# Three learning rates
# --------------------

rng = np.random.default_rng(0)
X = rng.normal(0, 1, (N, 2))
y = X @ [1.5, -1.0] + rng.normal(0, 0.8, N)
best = np.linalg.lstsq(X, y, rcond=None)[0]


def path(lr, seed):
    """The distances of both weights from the best ones, after every ``EVERY`` steps."""
    model = nn.Sequential([nn.Dense(1, bias=False, weight_init="zeros")], input_shape=2, dtype="float64")
    trainer, order = nn.Trainer(model, "squared_error", nn.SGD(lr=lr)), np.random.default_rng(seed)
    seen = []
    for _ in range(EPOCHS):
        for rows in order.permutation(N).reshape(-1, EVERY):
            trainer.partial_fit(X[rows], y[rows], batch_size=1)
            seen.append(model.parameters - best)
    return np.array(seen)


figure, (left, right) = plt.subplots(1, 2, width_ratios=[1.5, 1])
for (name, lr), color in zip(RATES.items(), nn.figures.PALETTE, strict=False):
    paths = np.array([path(lr, seed) for seed in range(SEEDS)])
    distances = np.sqrt(np.mean(np.sum(paths**2, axis=2), axis=0))
    epoch = N // EVERY
    late = paths[:, -5 * epoch :]
    print(f"{name:18} distance {distances[epoch - 1]:.3f} after an epoch, {np.sqrt(2 * np.mean(late**2)):.3f} in the last five")
    left.semilogy(np.arange(1, len(distances) + 1) / epoch, distances, color=color, linewidth=1.5, label=name)
    right.plot(*late.reshape(-1, 2).T, ".", markersize=2.5, color=color)
left.set(xlabel="epoch", ylabel="distance from the minimum", xlim=(0, EPOCHS), title="Only the falling rate arrives")
right.plot(0, 0, "*", color="black", markersize=10)
right.set(xlabel="w₁ − best", ylabel="w₂ − best", aspect="equal", title="The last five epochs")
nn.figures.label_ends(left)
plt.show()
