"""Small batches end in flatter minima, but not always in better ones
====================================================================

A network learns 500 digits until its training loss is 0.05, with batches of 4, 16, 64 and all 500. All these minima are equally deep; the largest eigenvalue
of the Hessian says how sharply the loss rises around them. It is done twice: with correct labels, and with a tenth of them wrong, which no small network can
explain and which keeps the gradients of small batches noisy to the end.

**What you see.** Above: with wrong labels the largest eigenvalue grows from 0.39 for batches of 4 to 2.15 for the full batch, without overlap of the seeds.
The two valleys are drawn beside it. Below: on unseen digits the flat minima are better with wrong labels (86.5 % against 85.1 %), and worse with correct
ones (95.2 % against 95.6 %). Both differences are as small as those between seeds.

**What to conclude.** The noise of small batches does not fit into narrow valleys: SGD leaves them. That small batches reduce overfitting holds where there is
something to overfit, here wrong labels. Flat and good are not the same: Keskar et al. (2017) found them together, Dinh et al. (2017) made sharp minima that
generalize as well.

**Try next.** The noise of a step grows as lr/q. Set ``LR = 0.1``: batches of 4 then end at 1.15, where those of 16 ended before, and batches of 16 at 1.70.

:Slide: Deck 000, *SGD and flat optima*; *Mini-batch gradient descent: choosing q* (small q can reduce overfitting)
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.sparse.linalg import eigsh

import nncore as nn
from nncore.second_order import HessianOperator

plt.style.use("nncore.slide")

EXAMPLES, SEEDS, TARGET, LR = 500, 5, 0.05, 0.3
BATCHES = [4, 16, 64, 500]
LOSS, SMALL, LARGE = "softmax_cross_entropy", nn.figures.PALETTE[0], nn.figures.PALETTE[1]

# %%
# Training to the same loss
# -------------------------
# The networks of all seeds are trained together; each stops when its own loss is small enough.

X, y = nn.data.load_digits()
rng = np.random.default_rng(0)
order = rng.permutation(len(X))
X_train, X_test, y_test = X[order[:EXAMPLES]], X[order[EXAMPLES:]], y[order[EXAMPLES:]]
correct, noisy = y[order[:EXAMPLES]], y[order[:EXAMPLES]].copy()
other = rng.choice(EXAMPLES, EXAMPLES // 10, replace=False)
noisy[other] = (noisy[other] + rng.integers(1, 10, len(other))) % 10


class StopAt(nn.Callback):
    def on_epoch_end(self, trainer, epoch, row):
        trainer.stop_training = row["loss"] < TARGET


def trained(batch, labels):
    """The networks, and the accuracy of each on unseen digits."""
    models = nn.Ensemble([nn.Sequential([nn.Dense(32), nn.Tanh(), nn.Dense(10)], input_shape=64, seed=s) for s in range(SEEDS)])
    trainer = nn.EnsembleTrainer(models, LOSS, nn.SGD(lr=LR), metrics=["accuracy"])
    trainer.fit(X_train, labels, epochs=30_000, batch_size=batch, exact_loss=True, callbacks=[StopAt()], verbose=0)
    return [model.astype("float64") for model in models], trainer.evaluate_members(X_test, y_test)["accuracy"]


runs = {(name, q): trained(q, labels) for name, labels in (("wrong", noisy), ("correct", correct)) for q in BATCHES}

# %%
# Flat and sharp valleys
# ----------------------
# The loss along the eigenvector with the largest eigenvalue.

distances = np.linspace(-1.5, 1.5, 41)


def sharpest(model):
    value, vector = eigsh(HessianOperator(model, X_train, noisy, LOSS), k=1, which="LA")
    return value[0], vector[:, 0] * np.sign(vector[np.argmax(np.abs(vector)), 0])


def valley(model, direction):
    end, moved = model.parameters.copy(), model.copy()
    losses = []
    for distance in distances:
        moved.parameters[...] = end + distance * direction
        losses.append(nn.Trainer(moved, LOSS).evaluate(X_train, noisy)["loss"])
    return losses


figure, (left, right) = plt.subplots(1, 2)
for q in BATCHES:
    found = [sharpest(model) for model in runs["wrong", q][0]]
    top = np.array([value for value, _ in found])
    print(f"q = {q:3d}: largest eigenvalue {np.median(top):.2f} ({top.min():.2f} to {top.max():.2f})")
    color = {BATCHES[0]: SMALL, BATCHES[-1]: LARGE}.get(q, "0.4")
    left.plot([q] * SEEDS, top, "o", color=color, alpha=0.8)
    if q in (BATCHES[0], BATCHES[-1]):
        for model, (_, direction) in zip(runs["wrong", q][0], found, strict=True):
            right.plot(distances, valley(model, direction), color=color, linewidth=1.3)
left.set(xscale="log", xticks=BATCHES, xticklabels=BATCHES, ylim=(0, None), xlabel="batch size q", ylabel="largest eigenvalue")
left.set_title("Sharper with every larger batch")
left.minorticks_off()
right.set(xlabel="distance from the minimum", ylabel="training loss", ylim=(0, None), title="Flat and sharp minima")
right.text(0, 2.4, f"q = {BATCHES[-1]}:\nsharp", color=LARGE, ha="center")
right.text(-1.45, 0.75, f"q = {BATCHES[0]}:\nflat", color=SMALL)
plt.show()

# %%
# Which ones are better on unseen digits?
# ---------------------------------------

figure, axes = plt.subplots(1, 2)
titles = {"wrong": "A tenth wrong: small batches help", "correct": "All labels correct: they do not"}
for ax, (name, title) in zip(axes, titles.items(), strict=True):
    accuracies = 100 * np.array([runs[name, q][1] for q in BATCHES])
    for q, values in zip(BATCHES, accuracies, strict=True):
        print(f"{name:8} q = {q:3d}: accuracy {np.median(values):.1f} % ({values.min():.1f} to {values.max():.1f} %)")
    ax.plot(BATCHES, accuracies, "o", color="0.6")
    ax.plot(BATCHES, np.median(accuracies, axis=1), "-", color="black")
    ax.set(xscale="log", xticks=BATCHES, xticklabels=BATCHES, xlabel="batch size q", title=title)
    ax.set_ylim(np.median(accuracies) - 2.5, np.median(accuracies) + 2.5)
    ax.minorticks_off()
axes[0].set_ylabel("accuracy on unseen digits, %")
plt.show()
