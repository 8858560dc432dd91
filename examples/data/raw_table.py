"""
A raw table: SGD needs scaled features, Adam scaled targets too
===============================================================

The table of the slide: four rows, features near 1, 100, 0.01 and 3, targets near 1000. The model is a line, xWᵀ + b, and starts at 0. It is trained on the
table as it is, with scaled features, and with scaled features and targets.

**What you see.** The error in the unit of the targets, by steps. *SGD:* with raw features the largest stable rate is 1.5e-4. After one step the large feature
has explained the mean as far as it can; the bias, which should have done it, is at 61 after 20 000 steps, and the error at 185. With scaled features the error
is below 1 from step 251 on, and scaling the targets changes only the first ten steps. *Adam:* a step changes each number by at most about the rate, 0.01. A
bias of 952 is far away: at 198 after 20 000 steps. With scaled targets the error is below 1 from step 1035 on.

The second picture has the share of each feature in the prediction if all weights are equal: 97 % for the second one, 0.02 % for the third.

**What to conclude.** The slide's three points hold: the bias is slow, the errors are large (956 at first; 88 with scaled targets), and the large feature
dominates. Which of them hurts depends on the method: SGD is limited by the feature with the largest numbers, Adam by the distance that it must go. Scale both.

**Try next.** ``ADAM_RATE = 1.0``. Targets near 0: ``y - y.mean()``.

:Slide: Deck 000, *Normalizing data: real-world data can look like anything*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

STEPS, ADAM_RATE = 20000, 0.01

# %%
# The table, and what scaling makes of it
# ---------------------------------------

X = np.array([[1, 100, 0.01, 1], [-0.9, 101, 0.02, 2], [-1.1, 102, 0.03, 3], [0.2, 150, 0.05, 4]])
y = np.array([1000.0, 998, 1010, 800])


def scaled(data):
    return nn.data.StandardScaler().fit_transform(data)


print("features, scaled\n", scaled(X).round(2))
print("targets, scaled ", scaled(y).round(2))

# %%
# Three trainings with two methods
# --------------------------------
# SGD reads all four rows in each step, with half of the largest stable rate, 2 / (largest eigenvalue of the Hessian).


def train(inputs, targets, optimizer):
    model = nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=4, dtype="float64")
    steepest = np.linalg.eigvalsh(model.hessian(inputs, targets, "squared_error"))[-1]
    rate = 1 / steepest if optimizer is nn.SGD else ADAM_RATE
    trainer = nn.Trainer(model, "squared_error", optimizer(lr=rate))
    history = trainer.fit(inputs, targets, epochs=STEPS, batch_size=4, verbose=0)
    error = np.sqrt(2 * history["running_loss"]) * y.std() / targets.std()
    return rate, model[0].bias[0], error


CASES = {
    "raw": (X, y),
    "features scaled": (scaled(X), y),
    "both scaled": (scaled(X), scaled(y)),
}
figure, axes = plt.subplots(1, 2, figsize=(12, 4.6), sharey=True)
titles = "SGD: scaled features are enough", "Adam: targets too"
for ax, optimizer, title in zip(axes, (nn.SGD, nn.Adam), titles, strict=True):
    for color, (name, (inputs, targets)) in zip((1, 2, 0), CASES.items(), strict=True):
        rate, bias, error = train(inputs, targets, optimizer)
        ax.plot(np.arange(1, STEPS + 1), np.where(error >= 1, error, np.nan), color=nn.figures.PALETTE[color], label=name)
        small = np.flatnonzero(error < 1)
        reached = f"below 1 from step {small[0]}" if small.size else f"still {error[-1]:.0f}"
        print(f"{optimizer.__name__:<4} {name:<16} rate {rate:.1e}, error {error[0]:.0f}, {reached}; bias {bias:.0f}")
    ax.set(title=title, xlabel="step", xscale="log", yscale="log", ylim=(0.6, 3e3))
axes[0].set_ylabel("root mean squared error")
for ax in axes:
    nn.figures.label_ends(ax)
plt.show()

# %%
# What each feature adds to the prediction
# ----------------------------------------
# With equal weights the prediction is nearly the second feature.

figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
for ax, (name, inputs) in zip(axes, {"raw": X, "scaled": scaled(X)}.items(), strict=True):
    size = np.abs(inputs).mean(axis=0)
    share = 100 * size / size.sum()
    print(f"share of each feature, {name}: {share.round(2)} %")
    bars = ax.bar(["x₁", "x₂", "x₃", "x₄"], share, color=nn.figures.PALETTE[name == "raw"])
    ax.bar_label(bars, fmt="%.2g %%")
    ax.set(title=f"{name.capitalize()}: share of the prediction", ylabel="%", ylim=(0, 110))
plt.show()
