"""
AdaGrad's steps fade: good where noise must die out, bad after a steep start
============================================================================

AdaGrad divides by the root of the *sum* of all squared gradients, RMSprop by the root of their *mean* over the last ones. One
rate η for the whole run.

**What you see.** Left: for a constant gradient the sum grows, and AdaGrad's step is η/√t; RMSprop's stays η. Middle, a convex
problem with noise: AdaGrad's distance from the minimum goes on falling, to 0.03; RMSprop trembles at 0.17. Right, the other way
round: a steep wall first and then a long, nearly flat valley. AdaGrad remembers the wall, RMSprop forgets it and arrives after
262 steps.

**What to conclude.** AdaGrad has a falling rate built in, as theory asks for on convex problems; where the gradients shrink
along the way it stops too early. "AdaGrad for convex, RMSprop for non-convex problems" (deck 003) is a rule of thumb about
that. The right panel's problem is convex too, and a falling rate for RMSprop repairs the middle. Trained for real, five seeds,
each at its own best rate: logistic regression 0.051 (AdaGrad) and 0.052, a network on digits 0.021 (AdaGrad) and 0.012, where
one of RMSprop's five seeds ended at 0.62.

**Try next.** ``WALL = 1``: without the steep start AdaGrad crosses the valley.

:Slide: Deck 002, *AdaGrad: gradient fades with time*; Deck 003, *AdaGrad*; *RMSprop*; Deck 004, *RMSPROP method*
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer

import nncore as nn

plt.style.use("nncore.slide")

STEPS, RUNS, WALL = 2000, 50, 100.0
RATES, SEEDS, EPOCHS = np.geomspace(1e-3, 3, 8), 5, 15
METHODS = {"AdaGrad": nn.AdaGrad, "RMSprop": nn.RMSprop}
COLORS = nn.figures.OPTIMIZER_COLORS

# %%
# Three small problems
# --------------------


def noisy(rng):
    return lambda x: (0.0, x + rng.normal(size=RUNS))  # 50 runs at once on x²/2, each coordinate is one


def wall_then_plain(x):
    """Slope ``WALL`` down to x = 9, then slope 1 to the minimum at 0."""
    return 0.0, np.where(x > 9, WALL, np.tanh(10 * x))


figure, axes = plt.subplots(1, 3, figsize=(13, 4.2))
for name, make in METHODS.items():
    extra = {"alpha": 0.9} if name == "RMSprop" else {}
    constant = make(lr=0.1, **extra).minimize(lambda x: (0.0, np.ones(1)), [0.0], 200).theta[:, 0]
    distances = np.abs(make(lr=0.1).minimize(noisy(np.random.default_rng(0)), np.full(RUNS, 2.0), STEPS).theta).mean(axis=1)
    way = make(lr=0.05, **extra).minimize(wall_then_plain, [10.0], STEPS).theta[:, 0]
    arrived = nn.landscapes.steps_to(0.1, np.abs(way))
    print(
        f"{name}: step 100 is {-np.diff(constant)[99]:.4f}, mean distance at the end {distances[-200:].mean():.3f}, valley crossed after {arrived:.0f} steps"
    )
    axes[0].semilogy(-np.diff(constant), color=COLORS[name], label=name)
    axes[1].semilogy(distances, color=COLORS[name], label=name, linewidth=1.5)
    axes[2].plot(way, color=COLORS[name], label=name)
axes[0].set(xlabel="step", ylabel="length of the step", title="AdaGrad's steps fade: η/√t", ylim=(4e-3, 0.7))
axes[1].set(xlabel="step", ylabel="distance from the minimum", title="Noise: AdaGrad goes on falling")
axes[2].axhspan(9, 10, color="0.85")
axes[2].text(300, 9.2, f"wall: gradient {WALL:.0f}")
axes[2].text(900, 3.2, "plain: gradient 1")
axes[2].set(xlabel="step", ylabel="x (minimum at 0)", title="After a wall AdaGrad creeps", ylim=(-0.5, 10.2))
for ax in axes:
    nn.figures.label_ends(ax)
plt.show()

# %%
# Trained for real
# ----------------
# Logistic regression (convex) and a network (not convex), with mini-batches, five seeds, all rates at once.

X, y = load_breast_cancer(return_X_y=True)
convex = ((X - X.mean(axis=0)) / X.std(axis=0), y, "sigmoid_cross_entropy", lambda: [nn.Dense(1)])
network = (
    *nn.data.load_digits(),
    "softmax_cross_entropy",
    lambda: [nn.Dense(32), nn.Tanh(), nn.Dense(32), nn.Tanh(), nn.Dense(10)],
)
figure, axes = plt.subplots(1, 2)
for ax, (X, y, loss, layers), title in zip(
    axes, (convex, network), ("Convex: logistic regression", "Not convex: a network on digits"), strict=True
):
    for name, make in METHODS.items():
        models = [nn.Sequential(layers(), input_shape=X.shape[1], seed=seed) for _ in RATES for seed in range(SEEDS)]
        trainer = nn.EnsembleTrainer(nn.Ensemble(models), loss, make(lr=nn.Each(np.repeat(RATES, SEEDS))))
        trainer.fit(X, y, epochs=EPOCHS, exact_loss=True, verbose=0)
        final = trainer.history.last("loss").reshape(-1, SEEDS)
        ax.loglog(RATES, np.median(final, axis=1), "o-", color=COLORS[name], label=name)
        ax.fill_between(RATES, final.min(axis=1), final.max(axis=1), color=COLORS[name], alpha=0.2, linewidth=0)
        best = np.median(final, axis=1).argmin()
        print(
            f"{title}, {name}: best rate {RATES[best]:.3f}, loss {np.median(final[best]):.4f} ({final[best].min():.4f} to {final[best].max():.4f})"
        )
    ax.set(xlabel="learning rate", ylabel="training loss", title=title)
    ax.legend()
plt.show()
