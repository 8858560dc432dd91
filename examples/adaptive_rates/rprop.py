"""
RMSprop is Rprop that bears mini-batches
========================================

Rprop uses only the signs of gradients, and so do delta-bar-delta's learning rates: a size for every parameter that grows while
the sign stays, and shrinks when it changes. "Works only with batch gradient descent (can you guess why?)"

**What you see.** Left: the first step against the size of the gradient. SGD's is proportional to it; that of Rprop and of
RMSprop is the same for all sizes: the magnitude is normalized out. Right: how often the sign of a gradient changes from one
step to the next. With the full batch of 1797 digits in 0 % of the cases; with batches of 16 in 46 %, nearly as by throwing
coins. Second figure, left: the sizes that the signs decide. With the full batch delta-bar-delta's rates grow 19-fold, with
small batches they halve; Rprop's sizes fall to the smallest allowed. Right: small batches. Rprop stops at a loss of 0.36,
delta-bar-delta has become SGD (0.13), RMSprop reaches 0.065.

**What to conclude.** A changed sign means "overshot" only if both gradients belong to the same function. With mini-batches
signs change by chance, so the rates say nothing about the loss. With the full batch both learn: after 200 steps Rprop's loss is
below 10⁻⁹ and delta-bar-delta's 0.065. RMSprop divides by a mean over many batches in place of each one's own size: Hinton
presented it as a mini-batch version of Rprop. `Rprop` and `DeltaBarDelta` refuse mini-batches unless
``allow_mini_batches=True``.

**Try next.** ``BATCH = 256``: how large must a batch be?

:Slide: Deck 001, *RMS Prop: note similarity to RPROP*; Deck 003, *Delta-bar-delta: works only with batch gradient descent*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

BATCH, STEPS, EPOCHS, SEEDS = 16, 200, 8, 5
COLORS = nn.figures.OPTIMIZER_COLORS

# %%
# The first step
# --------------

figure, (left, right) = plt.subplots(1, 2, width_ratios=[1.4, 1])
sizes = np.geomspace(1e-3, 1e3, 13)
for name, optimizer in ("SGD", nn.SGD(lr=0.01)), ("Rprop", nn.Rprop(lr=0.01)), ("RMSprop", nn.RMSprop(lr=0.01, alpha=0.0)):
    theta = np.zeros(len(sizes))
    optimizer.step(theta, sizes)
    left.loglog(
        sizes, -theta, "o-" if name == "Rprop" else "-", color=COLORS[name], label=name, linewidth=4 if name == "RMSprop" else 2
    )
    print(f"{name:<8} steps for gradients of 0.001, 1, 1000: {-theta[[0, 6, 12]]}")
left.set(xlabel="size of the gradient", ylabel="length of the first step", title="The magnitude is normalized out")
left.legend()

# Flips of signs.

X, y = nn.data.load_digits()
flips = {}
for name, rows in ("full batch", len(X)), (f"batches of {BATCH}", BATCH):
    model = nn.Sequential([nn.Dense(32), nn.Tanh(), nn.Dense(10)], input_shape=64, seed=0)
    trainer, rng = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=0.05)), np.random.default_rng(0)
    signs = []
    for _ in range(200):
        batch = rng.permutation(len(X))[:rows]
        signs.append(np.sign(model.loss_and_gradient(X[batch], y[batch], "softmax_cross_entropy")[1]))
        trainer.partial_fit(X[batch], y[batch])
    signs = np.array(signs)
    active = np.abs(signs).mean(axis=0) > 0.5  # the margins of the images are always 0
    flips[name] = (signs[1:, active] != signs[:-1, active]).mean()
    print(f"{name}: {flips[name]:.0%} of the signs change from step to step")
right.bar(list(flips), [100 * f for f in flips.values()], color=["white", "0.4"], edgecolor="black", width=0.6)
right.axhline(50, color="black", linestyle=":")
right.text(-0.35, 51, "coins")
right.set(ylabel="signs that change, %", ylim=(0, 60), title="Small batches flip signs")
plt.show()

# %%
# What that does
# --------------

runs = {
    "SGD": lambda: nn.SGD(lr=0.1),
    "RMSprop": lambda: nn.RMSprop(lr=0.003, alpha=0.9),
    "DeltaBarDelta": lambda: nn.DeltaBarDelta(lr=0.1, kappa=0.01, phi=0.2, allow_mini_batches=True),
    "Rprop": lambda: nn.Rprop(lr=0.01, allow_mini_batches=True),
}
figure, (left, right) = plt.subplots(1, 2, width_ratios=[1.1, 1])
for name, slot in ("Rprop", "size"), ("DeltaBarDelta", "eta"):
    for rows, line in (len(X), "-"), (BATCH, "--"):
        model = nn.Sequential([nn.Dense(32), nn.Tanh(), nn.Dense(10)], input_shape=64, seed=0)
        trainer, rng = nn.Trainer(model, "softmax_cross_entropy", runs[name]()), np.random.default_rng(0)
        median = [1.0]
        for _ in range(STEPS):
            batch = rng.permutation(len(X))[:rows]
            trainer.partial_fit(X[batch], y[batch], batch_size=rows)
            median.append(np.median(trainer.optimizer.state[slot][active]) / trainer.optimizer.lr)
        left.semilogy(median, line, color=COLORS[name])
        loss = trainer.evaluate(X, y)["loss"]
        print(
            f"{name}, batches of {rows}: after {STEPS} steps the median size is {median[-1]:.2g} of the first, the loss {loss:.2g}"
        )

# What that does to the loss.
# Five seeds, batches of 16.

model = nn.Sequential([nn.Dense(32), nn.Tanh(), nn.Dense(10)], input_shape=64, seed=0)
for name, make in runs.items():
    trainer = nn.EnsembleTrainer(nn.Ensemble(model, SEEDS), "softmax_cross_entropy", make())
    loss = np.median(trainer.fit(X, y, epochs=EPOCHS, batch_size=BATCH, exact_loss=True, verbose=0)["loss"], axis=1)
    right.semilogy(np.arange(1, EPOCHS + 1), loss, color=COLORS[name], label=name)
    print(f"{name:<14} loss after {EPOCHS} epochs of batches of {BATCH}: {loss[-1]:.2g}")
left.text(0.4 * STEPS, 0.15, "Rprop", color=COLORS["Rprop"])
left.text(0.4 * STEPS, 20, "delta-bar-delta", color=COLORS["DeltaBarDelta"])
left.set(xlabel="step", ylabel="median size / first one", title="Solid: full batch; dashed: small")
right.set(xlabel="epoch", ylabel="training loss", title=f"Batches of {BATCH}")
nn.figures.label_ends(right)
plt.show()
