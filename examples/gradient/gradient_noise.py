"""Four times the examples halve the error of the gradient
==========================================================

A mini-batch of q examples only estimates the gradient, and the gradient over a whole training set is itself an estimate: of the gradient over all data
that the source could ever produce. Here a network of 2410 parameters classifies digits. The 1797 digits stand for the source; 450 of them are the training
set. Batches of every size are drawn from it, and the error is the distance of two gradients, divided by the length of the one that is estimated.

**What you see.** The error falls as 1/√q, a straight line, from 6.1 for a single example to 1.06 for 32. The distance from the training set's own gradient
(blue) then drops to 0, as the batch becomes the whole set. That from the gradient of the source (orange) ends at 0.21.

**What to conclude.** A step of SGD (q = 1) is mostly noise: the error is 6 times as long as the gradient. 100 times the work buys a tenth of the error, so that
the returns diminish. The "full" gradient is itself an estimate, 21 % off: computing it exactly is precision that the data do not have.

**Try next.** Set ``EPOCHS = 300``: at the end of the training the gradient of the training set is nearly 0, the error of one example is 45 times as long, and the whole
training set misses the gradient of the source by 99 %. It has nothing more to say about it: the network overfits.

:Slide: Deck 000, *Mini-batch gradient descent: choosing q*; deck 001, *Story so far* (variance of SGD); deck 003, *Gradient descent* (a sample gradient)
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

TRAIN, DRAWS, EPOCHS = 450, 100, 0
SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256, TRAIN]

# %%
# The gradient of each example
# ----------------------------
# The gradient of a batch is the mean of the gradients of its examples, so that one table of them, (1797, 2410), is enough.

X, y = nn.data.load_digits()
model = nn.Sequential([nn.Dense(32), nn.Tanh(), nn.Dense(10)], input_shape=64, seed=0)
rng = np.random.default_rng(0)
order = rng.permutation(len(X))
train = order[:TRAIN]
if EPOCHS:
    nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=0.1)).fit(X[train], y[train], epochs=EPOCHS, verbose=0)
gradients = np.array(
    [model.loss_and_gradient(X[[i]], y[[i]], "softmax_cross_entropy")[1] for i in range(len(X))], dtype="float64"
)
of_source, of_train = gradients.mean(axis=0), gradients[train].mean(axis=0)

# %%
# The error of a batch, against its size
# --------------------------------------
# Root mean square over ``DRAWS`` batches without replacement.


def errors(size):
    batches = (rng.permutation(train)[:size] for _ in range(DRAWS))
    means = np.array([gradients[batch].mean(axis=0) for batch in batches])
    return [np.sqrt(np.mean(np.sum((means - g) ** 2, axis=1))) / np.linalg.norm(g) for g in (of_train, of_source)]


to_train, to_source = np.array([errors(size) for size in SIZES]).T
for size, near, far in zip(SIZES, to_train, to_source, strict=True):
    print(f"q = {size:4d}   distance from the training set's gradient {near:6.3f}, from the source's {far:6.3f}")

figure, ax = plt.subplots()
ax.loglog(SIZES, to_train[0] / np.sqrt(SIZES), ":", color="black", label="1/√q")
ax.loglog(SIZES, to_source, "o-", color=nn.figures.PALETTE[1], label="… of the source")
ax.loglog(SIZES, np.maximum(to_train, 0.08), "o-", color=nn.figures.PALETTE[0], label="… of the training set")
ax.annotate("", (4, to_train[4]), (16, to_train[4]), arrowprops={"arrowstyle": "<-"})
ax.annotate("", (4, to_train[4]), (4, to_train[2]), arrowprops={"arrowstyle": "->"})
ax.text(8, to_train[4] * 0.9, "4 times the work", ha="center", va="top")
ax.text(3.7, np.sqrt(to_train[2] * to_train[4]), "half the error", ha="right", va="center")
ax.annotate(f"the whole training set:\nstill {to_source[-1]:.0%} off", (SIZES[-1], to_source[-1]), (60, 0.2), ha="right", va="center",
            color=nn.figures.PALETTE[1], arrowprops={"arrowstyle": "->", "color": nn.figures.PALETTE[1]})  # fmt: skip
ax.set(xlabel="batch size q", ylabel="distance from the gradient …", title="The error of a batch's gradient falls as 1/√q")
ax.set(xticks=SIZES, xticklabels=SIZES, xlim=(0.9, SIZES[-1]), ylim=(0.09, 1.3 * to_train[0]))
ax.set(yticks=[0.1, 0.2, 0.5, 1, 2, 5], yticklabels=["10 %", "20 %", "50 %", "100 %", "200 %", "500 %"])
ax.minorticks_off()
nn.figures.label_ends(ax)
plt.show()
