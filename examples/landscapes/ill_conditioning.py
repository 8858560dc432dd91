"""
With a large rate the curvature eats up what the slope gains
============================================================

A step of length ε along the gradient changes the loss l to about l − εgᵀg + ½ε²gᵀHg. The second term is the gain from the slope, the third the cost of the
curvature. `nn.second_order.ConditioningMonitor` computes all three in every epoch, exactly: here for a 64-32-10 network on 500 digits, full batch, SGD.

**What you see.** With the rate 0.3 the curvature costs 1 to 5 % of the gain, and the loss falls in every step. With the rate 1.5 cost and gain are equal for the
first 25 epochs: the gradient is large, but the loss goes up and down (gray: up) and gets nowhere. Then the network finds a flatter region, and the cost falls to 1 %.

**What to conclude.** A large gradient is no promise: along a direction of strong curvature, gᵀHg/gᵀg near 2/ε, a step gains nothing, and ill-conditioning means that
there are such directions while others need long steps. The two terms foretell a bad step only roughly: at 1.5 the cost exceeds the gain in 14 steps, and the loss
rises in 4 of these 14 and in one other, since such steps are too long for a second-order expansion. At 0.3, where steps are short, there are none.

Nor is there a rate at which the loss falls by a constant factor in every step. Even on a quadratic a step of the best length leaves anything from 0 to
((κ − 1)/(κ + 1))² of the loss, depending on the direction of g. In a network g and H also change from step to step, so no fixed rate keeps
l(θ_{k+1})/l(θ_k) constant.

**Try next.** Which rate ends lowest after 60 epochs? Replace SGD by ``nn.Momentum(lr=0.3)`` and give the monitor ``lr=0.3``: the terms are those of a plain
gradient step from the same point. Stop the training after 10 epochs and go on with a smaller rate.

:Slide: Deck 003, *Ill-conditioning*; deck 000, *Cannot easily design a step size to have the loss decrease by a constant factor*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

EXAMPLES, EPOCHS = 500, 60
RATES = [0.3, 1.0, 1.5, 2.0]

# %%
# The three terms in each epoch
# -----------------------------
# An epoch is one step, and the terms of row t belong to the step after it.

X, y = (array[:EXAMPLES] for array in nn.data.load_digits())


def terms(lr):
    """Loss, slope term and curvature term: three arrays (epochs,)."""
    model = nn.Sequential([nn.Dense(32), nn.Tanh(), nn.Dense(10)], input_shape=64, seed=0, dtype="float64")
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=lr))
    monitor = nn.second_order.ConditioningMonitor(X, y)
    history = trainer.fit(X, y, epochs=EPOCHS, batch_size=len(X), callbacks=[monitor], verbose=0)
    return history["taylor_loss"], -history["taylor_slope"], history["taylor_curvature"]


runs = {lr: terms(lr) for lr in RATES}
for lr, (loss, slope, curvature) in runs.items():
    rises, foreseen = np.diff(loss) > 0, (curvature > slope)[:-1]
    print(f"rate {lr:.1f}: loss {loss[-1]:.3f} in the end; it rises in {rises.sum():2d} of {len(rises)} steps,", end=" ")
    print(f"in {foreseen.sum():2d} the curvature term is larger, both in {(rises & foreseen).sum():2d}")

# %%
# A small rate and a large one
# ----------------------------

figure, axes = plt.subplots(1, 2, sharey=True)
epochs = np.arange(1, EPOCHS + 1)
titles = {0.3: "the slope decides", 1.5: "the curvature interferes"}
for ax, (lr, title) in zip(axes, titles.items(), strict=True):
    loss, slope, curvature = runs[lr]
    ax.plot(epochs, loss, color="black", label="loss l")
    ax.plot(epochs, slope, color=nn.figures.PALETTE[0], label="ε gᵀg")
    ax.plot(epochs, np.where(curvature > 0, curvature, np.nan), color=nn.figures.PALETTE[1], label="½ε² gᵀHg")
    for t in np.flatnonzero(np.diff(loss) > 0):
        ax.axvspan(t + 1, t + 2, color="0.85", zorder=0)
    ax.set(yscale="log", xlabel="epoch", xlim=(1, EPOCHS), title=f"Rate {lr}: {title}")
    nn.figures.label_ends(ax)
axes[1].text(0.5, 0.04, "gray: the loss rises", transform=axes[1].transAxes, ha="center", fontsize=12)
plt.show()

# %%
# The cost of the curvature as a fraction of the gain
# ---------------------------------------------------
# At 1 the two terms cancel; gaps are negative curvature, where the second-order term helps.

figure, ax = plt.subplots()
for lr, color in zip(RATES, ("0.7", "#9ecae1", "#3182bd", "#08306b"), strict=True):
    loss, slope, curvature = runs[lr]
    ax.plot(epochs, np.where(curvature > 0, curvature / slope, np.nan), color=color, label=f"rate {lr}")
ax.axhline(1, color=nn.figures.PALETTE[1], linewidth=1.5)
ax.set(
    yscale="log",
    ylim=(1e-3, 20),
    xlim=(1, EPOCHS),
    xlabel="epoch",
    ylabel="½ε² gᵀHg / ε gᵀg",
    title="Near 1, nothing is gained",
)
nn.figures.label_ends(ax)
plt.show()
