"""Sampling by the loss helps with a rare class, not with wrong labels; largest first harms both
=============================================================================================

SGD may choose its examples: by importance sampling, which takes those with a large loss more often and weights them down, so that the gradient stays unbiased;
or largest loss first, where each epoch begins with the worst ones. Two problems in the plane: one example in fifty is of a rare class; or one label in ten is
wrong. Each way has the learning rate, of four, that ends with the lowest training loss.

**What you see.** Left, the rare class: importance sampling makes 0.15 % errors on new points where shuffled examples make 0.70 % (bars: median of 7 seeds, which
are the points). Right, wrong labels: it brings nothing (3.70 % against 3.50 %). Largest loss first is worst both times (1.95 % and 8.70 %). The second picture
says why: importance sampling looks at the border of the rare class, but also at the wrong labels.

**What to conclude.** A large loss means that something can be learned, or that nothing can: the label is wrong. Deck 003's "largest errors … faster learning" holds
only for the first kind, and only where the steps are weighted. A fixed order of the largest also makes the gradients of an epoch correlated, as sorted data do.

**Try next.** Set ``WRONG = 0.02``: with fewer wrong labels importance sampling is no worse than shuffling. Replace the last sampler by ``nn.samplers.Stratified()``, which
gives every batch the rare class in its proportion: that alone changes little.

:Slide: Deck 003, *SGD vs GD* (samples with maximum information; samples with the largest errors)
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

POINTS, EPOCHS, SEEDS, WRONG = 2000, 60, 7, 0.1
RATES = [0.1, 0.3, 1.0, 3.0]
SAMPLERS = {
    "shuffled": nn.samplers.Shuffled(),
    "importance sampling": nn.samplers.ImportanceSampling(mix=0.5),
    "largest loss first": nn.samplers.LargestLossFirst(),
}

# %%
# Two problems
# ------------
# Each function returns points, labels to train on, and true labels.


def rare_class(seed):
    X = np.random.default_rng(seed).uniform(-1, 1, (POINTS, 2))
    y = (np.hypot(X[:, 0] - 0.4, X[:, 1] + 0.3) < 0.16).astype(int)
    return X, y, y


def wrong_labels(seed):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (POINTS, 2))
    y = (np.sin(3 * X[:, 0]) > X[:, 1]).astype(int)
    return X, np.where(rng.random(POINTS) < WRONG, 1 - y, y), y


def train(problem, sampler, lr, seed):
    """The final loss of the training data, the error rate on new points with true labels in percent, and the network."""
    X, y, _ = problem(seed)
    X_new, _, y_new = problem(seed + 100)
    model = nn.Sequential([nn.Dense(32), nn.Tanh(), nn.Dense(2)], input_shape=2, seed=seed)
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=lr), metrics=["accuracy"], seed=seed)
    trainer.fit(X, y, epochs=EPOCHS, sampler=sampler, verbose=0)
    return trainer.evaluate(X, y)["loss"], 100 * (1 - trainer.evaluate(X_new, y_new)["accuracy"]), model


def with_best_rate(problem, sampler):
    """The rate with the lowest median training loss, and its runs."""
    runs = {lr: [train(problem, sampler, lr, seed) for seed in range(SEEDS)] for lr in RATES}
    return min(runs.items(), key=lambda item: np.median([loss for loss, _, _ in item[1]]))


# %%
# Errors on new points
# --------------------

problems = {"A rare class: importance sampling helps": rare_class, f"{WRONG:.0%} wrong labels: neither helps": wrong_labels}
figure, axes = plt.subplots(1, 2)
networks = []
for ax, (title, problem) in zip(axes, problems.items(), strict=True):
    for place, (name, sampler) in enumerate(SAMPLERS.items()):
        lr, runs = with_best_rate(problem, sampler)
        errors, color = np.array([error for _, error, _ in runs]), nn.figures.PALETTE[place]
        print(f"{title:42} {name:20} lr {lr:3}: {np.median(errors):5.2f} % wrong ({errors.min():.2f} to {errors.max():.2f})")
        ax.barh(place, np.median(errors), height=0.6, color=color, alpha=0.4)
        ax.plot(errors, [place] * SEEDS, "o", color=color, markersize=5)
        ax.text(0, place - 0.32, f"{name}: {np.median(errors):.2f} %", va="bottom")
        if name == "importance sampling":
            networks.append(runs[0][2])
    ax.set(yticks=[], ylim=(2.4, -0.6), xlabel="errors on new points, %")
    ax.set_title(title, fontsize=13)
plt.show()

# %%
# Where importance sampling looks
# -------------------------------
# Each point is drawn as large as its probability at the end of the training; circles mark the wrong labels.

figure, axes = plt.subplots(1, 2)
for ax, problem, network in zip(axes, problems.values(), networks, strict=True):
    X, y, truth = problem(0)
    z = network.predict(X).astype(float)
    losses = np.logaddexp(z[:, 0], z[:, 1]) - z[np.arange(len(y)), y]
    often = SAMPLERS["importance sampling"].probabilities(losses) * len(y)
    ax.scatter(*X.T, s=2 + 9 * np.minimum(often - often.min(), 12), c=np.where(y == 1, "#CC79A7", "#56B4E9"), linewidths=0)
    ax.scatter(*X[y != truth].T, s=34, facecolors="none", edgecolors="black", linewidths=0.5)
    ax.set(xticks=[], yticks=[], aspect="equal")
axes[0].set_title("At the border of the rare class")
axes[1].set_title("At the wrong labels")
plt.show()
