"""
On a convex problem nearly all optimizers end at the same loss, each at its own rate
====================================================================================

Logistic regression on the breast cancer data: 569 examples, 30 features, a convex loss with a small L2 penalty, so that there
is one minimum. Twelve optimizers, batches of 32, each with the best of 6 learning rates (AdaDelta as Zeiler meant it: lr = 1).

**What you see.** Loss minus its minimum, median of the seeds. After 25 epochs ten of the twelve lie between 0.0009 and 0.0016
above a minimum of 0.0598, from 0.69 at the start: the adaptive ones are neither better nor worse than plain SGD or momentum.
Two are slower: AdaDelta (0.017), whose ε = 10⁻⁶ makes the first steps short, and Lion (0.013), whose steps all have the length
η.

**What to conclude.** "All roughly equivalent in performance" (deck 001) holds here, *each at its own best rate*; these rates
differ by a factor of 300, from 0.003 to 1. On scaled data and one layer there is little to adapt: the differences begin with
badly scaled inputs (:doc:`/gallery/data/data_scaling`), sparse ones (:doc:`/gallery/gradient/sparse_documents`) and depth.
Which one to take: :doc:`/course/which-optimizer`.

**Try next.** ``EPOCHS = 120``, or a falling rate, ``nn.schedules.Cosine``: how much of the difference remains?

:Slide: Deck 001, *More recent methods: all roughly equivalent in performance*
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer

import nncore as nn

plt.style.use("nncore.slide")

EPOCHS, BATCH, SEEDS, RATES = 25, 32, 5, np.geomspace(3e-3, 1, 6)
OPTIMIZERS = {
    "one rate for all": (nn.SGD, nn.Momentum, nn.Nesterov, nn.Lion),
    "a rate for each parameter": (nn.AdaGrad, nn.RMSprop, nn.AdaDelta),
    "Adam and its variants": (nn.Adam, nn.AdamW, nn.AMSGrad, nn.AdaMax, nn.NAdam),
}

# %%
# The minimum
# -----------
# By Newton's method: the loss is convex, and its Hessian can be inverted.

X, y = load_breast_cancer(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
PENALTY = 1e-3


def network():
    return nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=X.shape[1], dtype="float64")


exact = nn.Trainer(network(), "sigmoid_cross_entropy", nn.second_order.Newton(), regularizer=nn.L2(PENALTY))
lowest = exact.fit(X, y, epochs=20, batch_size=len(X), exact_loss=True, verbose=0)["loss"][-1]
print(f"minimum {lowest:.5f}, at the start {np.log(2):.5f}")

# %%
# Every optimizer with every rate
# -------------------------------
# The members of an ensemble differ in the learning rate and the order of the data.


def excess(make):
    """Best rate, and loss − minimum (epochs, seeds) with it."""
    rates = {nn.AdaDelta: [1.0], nn.Lion: [rate / 10 for rate in RATES]}.get(make, RATES)
    each = np.repeat(rates, SEEDS)
    ensemble = nn.Ensemble([network() for _ in each])
    trainer = nn.EnsembleTrainer(ensemble, "sigmoid_cross_entropy", make(lr=nn.Each(each)), regularizer=nn.L2(PENALTY))
    history = trainer.fit(X, y, epochs=EPOCHS, batch_size=BATCH, exact_loss=True, verbose=0)
    found = np.nan_to_num(history["loss"], nan=1e3).reshape(EPOCHS, len(rates), SEEDS) - lowest
    best = np.log(found.max(axis=2)).mean(axis=0).argmin()  # good for all seeds
    return rates[best], found[:, best]


figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), sharey=True)
for ax, (title, makes) in zip(axes, OPTIMIZERS.items(), strict=True):
    for make in makes:
        lr, found = excess(make)
        name = make.__name__
        ax.semilogy(np.arange(1, EPOCHS + 1), np.median(found, axis=1), color=nn.figures.OPTIMIZER_COLORS[name], label=name)
        last = found[-1]
        print(
            f"{name:<9} lr {lr:<7.2g} loss − minimum after {EPOCHS} epochs {np.median(last):.4f} ({last.min():.4f} to {last.max():.4f})"
        )
    ax.set(xlabel="epoch", title=title, ylim=(3e-4, 0.1))
    nn.figures.label_ends(ax, fontsize=11)
axes[0].set_ylabel("loss − minimum")
plt.show()
