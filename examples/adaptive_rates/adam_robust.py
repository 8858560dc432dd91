"""
Adam bears wrong hyper-parameters, except for the learning rate
===============================================================

A network on digits is trained with Adam for five epochs; one hyper-parameter at a time is changed, the others stay at η = 0.02,
β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸ (dotted). Five seeds; gray is where the loss is within a factor of two of the lowest; its width
is in decades, factors of ten.

**What you see.** ε may be anything below 0.01, ten decades; 1 − β₂ anything from 10⁻⁵ to 0.17, four; 1 − β₁ from 0.006 to 1,
two, though without momentum the seeds differ. The learning rate has half a decade. With β₂ = 0.5 training fails: the
denominator knows only the last batches, and is nearly 0 where their gradients are.

**What to conclude.** "Fairly robust to choice of hyperparameters" (deck 003) is true of three of the four. The fourth, η, is no
more tolerant than that of other methods: SGD has a decade (but ends at 0.18, Adam at 0.06), RMSprop a decade, momentum half a
decade.

**Try next.** ``EPOCHS = 15``: which of the valleys becomes wider?

:Slide: Deck 003, *Adam: fairly robust to choice of hyperparameters*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

EPOCHS, SEEDS, LR = 5, 5, 0.02
X, y = nn.data.load_digits()

# %%
# One at a time
# -------------


def final_losses(make, values):
    """The training loss (values, seeds) with each value of a hyper-parameter."""
    models = [
        nn.Sequential([nn.Dense(32), nn.ReLU(), nn.Dense(10)], input_shape=64, seed=s) for _ in values for s in range(SEEDS)
    ]
    trainer = nn.EnsembleTrainer(nn.Ensemble(models), "softmax_cross_entropy", make(nn.Each(np.repeat(values, SEEDS))))
    trainer.fit(X, y, epochs=EPOCHS, exact_loss=True, verbose=0)
    return trainer.history.last("loss").reshape(-1, SEEDS)


rates = np.geomspace(1e-5, 1, 11)
SCANS = {
    "η": (lambda v: nn.Adam(lr=v), rates, LR),
    "1 − β₁": (lambda v: nn.Adam(lr=LR, betas=(v, 0.999)), 1 - np.geomspace(0.003, 1, 9), 0.9),
    "1 − β₂": (lambda v: nn.Adam(lr=LR, betas=(0.9, v)), 1 - np.geomspace(1e-5, 0.5, 11), 0.999),
    "ε": (lambda v: nn.Adam(lr=LR, eps=v), np.geomspace(1e-12, 1, 13), 1e-8),
}
color = nn.figures.OPTIMIZER_COLORS["Adam"]
figure, axes = plt.subplots(1, 4, figsize=(13, 4), sharey=True)
for ax, (name, (make, values, default)) in zip(axes, SCANS.items(), strict=True):
    final = final_losses(make, values)
    median = np.median(final, axis=1)
    shown, mark = (1 - values, 1 - default) if "1" in name else (values, default)
    order = np.argsort(shown)
    shown, median, final = shown[order], median[order], final[order]
    ax.loglog(shown, median, "o-", color=color)
    ax.fill_between(shown, final.min(axis=1), final.max(axis=1), color=color, alpha=0.2, linewidth=0)
    ax.axvline(mark, color="black", linestyle=":")
    good = shown[median < 2 * median.min()]
    print(
        f"{name:<7} within a factor of 2 of the best from {good.min():.1e} to {good.max():.1e}: {np.log10(good.max() / good.min()):.1f} decades; best {median.min():.3f}"
    )
    print("       ", *(f"{v:.1e}: {m:.3f}" for v, m in zip(shown, median, strict=True)))
    ax.set(xlabel=name, title=f"{name}: {np.log10(good.max() / good.min()):.1f} decades")
    ax.axvspan(good.min(), good.max(), color="0.92", zorder=0)
axes[0].set(ylim=(0.03, 4), ylabel=f"training loss after {EPOCHS} epochs")
if SEEDS > 1:
    for name, make in ("SGD", nn.SGD), ("Momentum", nn.Momentum), ("RMSprop", nn.RMSprop):
        median = np.median(final_losses(lambda v, make=make: make(lr=v), rates), axis=1)
        good = rates[median < 2 * median.min()]
        print(
            f"{name}: η within a factor of 2 from {good.min():.1e} to {good.max():.1e}: {np.log10(good.max() / good.min()):.1f} decades; best {median.min():.3f}"
        )
plt.show()
