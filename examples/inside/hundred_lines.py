"""
In less than 100 lines of NumPy: the same numbers as nncore
===========================================================

Dense layers, ReLU, softmax cross-entropy, the backward pass, Adam, mini-batches: everything that a network needs to learn handwritten digits, with nothing
hidden. Then nncore trains the same network, from the same weights, with the same batches.

**What you see.** Left, the loss of both: one curve. Right, the largest difference between a parameter of one and of the other after each epoch. It stays below
10⁻¹⁴, a few dozen roundings of float64, as both compute the same formulas in another order.

**What to conclude.** There is no secret in a library. It has more layers and more optimizers, checks what it is given, and is faster; the numbers are those of
the formulas. The same twins in NumPy, one for each kernel, are in :doc:`nncore.reference </api/reference>`.

**Try next.** Leave out the correction of Adam's bias in one of the two; the difference shows at the first step. Change the ReLU to tanh: which two lines change?

:Slide: Deck 000, *Backprop*, *Mini-batch gradient descent*, *Adam*
"""

import itertools
import time

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

SIZES, EPOCHS, BATCH, LR, BETA1, BETA2, EPS = (64, 32, 10), 20, 32, 0.002, 0.9, 0.999, 1e-8

# %%
# The network in NumPy
# --------------------
# Rows are examples. ``h[i]`` is the input of layer i; a layer has weights (units, inputs) and a bias (units,).


class Network:
    def __init__(self, sizes, rng):
        self.parameters = []
        for inputs, units in itertools.pairwise(sizes):
            self.parameters += [rng.normal(0, np.sqrt(2 / inputs), (units, inputs)), np.zeros(units)]

    def forward(self, X):
        h = [X]
        for i in range(0, len(self.parameters), 2):
            z = h[-1] @ self.parameters[i].T + self.parameters[i + 1]
            h.append(np.maximum(z, 0) if i + 2 < len(self.parameters) else z)
        return h

    def loss_and_gradients(self, X, labels):
        *h, z = self.forward(X)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        rows = np.arange(len(X))
        loss = -np.log(p[rows, labels]).mean()
        p[rows, labels] -= 1  # the gradient of the cross-entropy by z is p - d ...
        delta = p / len(X)  # ... and the loss is a mean
        gradients = []
        for i in reversed(range(len(h))):
            W = self.parameters[2 * i]
            gradients = [delta.T @ h[i], delta.sum(axis=0), *gradients]
            delta = (delta @ W) * (h[i] > 0)  # through W, then through the ReLU
        return loss, gradients


class Adam:
    def __init__(self, parameters):
        self.m = [np.zeros_like(w) for w in parameters]
        self.v = [np.zeros_like(w) for w in parameters]
        self.t = 0

    def step(self, parameters, gradients):
        self.t += 1
        for w, g, m, v in zip(parameters, gradients, self.m, self.v, strict=True):
            m[...] = BETA1 * m + (1 - BETA1) * g
            v[...] = BETA2 * v + (1 - BETA2) * g**2
            w -= LR * (m / (1 - BETA1**self.t)) / (np.sqrt(v / (1 - BETA2**self.t)) + EPS)


def train_epoch(network, adam, X, y, order):
    losses = 0.0
    for first in range(0, len(X), BATCH):
        rows = order[first : first + BATCH]
        loss, gradients = network.loss_and_gradients(X[rows], y[rows])
        adam.step(network.parameters, gradients)
        losses += loss * len(rows)
    return losses / len(X)


# %%
# The same in nncore
# ------------------
# The weights are copied, and a sampler hands out the order that NumPy has drawn.

X, y = nn.data.load_digits()
X = X.astype(np.float64)
rng = np.random.default_rng(0)
network = Network(SIZES, rng)
adam = Adam(network.parameters)
orders = [rng.permutation(len(X)) for _ in range(EPOCHS)]


class Given(nn.samplers.Sampler):
    def order(self, examples, epoch):
        return orders[epoch - 1]


model = nn.Sequential([nn.Dense(SIZES[1]), nn.ReLU(), nn.Dense(SIZES[2])], input_shape=SIZES[0], dtype="float64")
model.parameters[...] = np.concatenate([w.ravel() for w in network.parameters])
trainer = nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=LR, betas=(BETA1, BETA2), eps=EPS))

# %%
# Both, epoch by epoch
# --------------------

losses, differences, seconds = [], [], np.zeros(2)
for order in orders:
    start = time.perf_counter()
    by_numpy = train_epoch(network, adam, X, y, order)
    between = time.perf_counter()
    by_nncore = trainer.fit(X, y, epochs=1, batch_size=BATCH, sampler=Given(), verbose=0)["running_loss"][-1]
    seconds += between - start, time.perf_counter() - between
    losses.append((by_numpy, by_nncore))
    differences.append(np.abs(np.concatenate([w.ravel() for w in network.parameters]) - model.parameters).max())

print(f"loss of the last epoch: NumPy {losses[-1][0]:.15f}")
print(f"                       nncore {losses[-1][1]:.15f}")
print(f"largest difference of a parameter: {differences[0]:.0e} after one epoch, {differences[-1]:.0e} after {EPOCHS}")
print(f"largest parameter {np.abs(model.parameters).max():.1f}; NumPy took {seconds[0] / seconds[1]:.0f} times as long")

epochs = np.arange(1, EPOCHS + 1)
figure, (left, right) = plt.subplots(1, 2)
left.plot(epochs, [loss for loss, _ in losses], linewidth=5, color=nn.figures.PALETTE[4], label="NumPy")
left.plot(epochs, [loss for _, loss in losses], linewidth=1.5, color="black", label="nncore")
left.set(xlabel="epoch", ylabel="training loss", yscale="log", title="Two programs, one curve")
left.legend()
right.semilogy(epochs, differences, "o-", color=nn.figures.PALETTE[1])
right.axhline(np.finfo(float).eps, color="black", linestyle=":", label="rounding of numbers near 1")
right.set(xlabel="epoch", ylabel="largest difference of a parameter", title="They differ by rounding alone", ylim=(1e-17, 1e-8))
right.legend()
plt.show()
