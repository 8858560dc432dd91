"""
The Adam paper's two comparisons on digits: Adam is second in both
==================================================================

Kingma & Ba (2015) compare optimizers on logistic regression (figure 1) and on a network with dropout (figure 2), on MNIST. Here
the same five on 1797 digits of 8 × 8 pixels, batches of 128, each with the best of 5 learning rates, five seeds.

**What you see.** Logistic regression: Nesterov's momentum ends at 0.061 and Adam at 0.077; AdaGrad, AdaDelta and RMSprop are
between 0.14 and 0.18. Network with dropout: AdaDelta ends at 0.088, Adam at 0.137, the other three between 0.21 and 0.25.

**What to conclude.** In the paper Adam and Nesterov are nearly equal on logistic regression, AdaGrad is slower, and Adam is
first on the network. The first two are so here too. On the network Adam is second: AdaDelta with a rate of 7.5, which the paper
did not try, is faster. Orders of finish depend on the problem and on how far each rate was searched. Adam is near the front in
both: that is its merit. :doc:`/course/which-optimizer` has a comparison on held-out data.

**Try next.** ``DROPOUT = 0``: without its noise, which order do you find?

:Slide: Deck 004, *ADAM method: comparison on MNIST logistic regression and a network*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

EPOCHS, BATCH, SEEDS, DROPOUT = 15, 128, 5, 0.5
RATES = np.geomspace(4e-3, 1, 5)
METHODS = {
    "AdaGrad": lambda lr: nn.AdaGrad(lr=lr),
    "RMSprop": lambda lr: nn.RMSprop(lr=lr),
    "Nesterov": lambda lr: nn.Nesterov(lr=lr),
    "AdaDelta": lambda lr: nn.AdaDelta(lr=lr),
    "Adam": lambda lr: nn.Adam(lr=lr),
}
X, y = nn.data.load_digits()

# %%
# Two models
# ----------


def logistic(seed):
    return nn.Sequential([nn.Dense(10)], input_shape=64, seed=seed)


def network(seed):
    hidden = [layer for _ in range(2) for layer in (nn.Dense(48), nn.ReLU(), nn.Dropout(DROPOUT))]
    return nn.Sequential([*hidden, nn.Dense(10)], input_shape=64, seed=seed)


# %%
# All rates and seeds at once
# ---------------------------

figure, axes = plt.subplots(1, 2, figsize=(11, 4.6))
for ax, (title, make) in zip(axes, {"Logistic regression": logistic, "Network with dropout": network}.items(), strict=True):
    for name, optimizer in METHODS.items():
        rates = 30 * RATES if name == "AdaDelta" else RATES  # its usual rate is 1
        models = [make(seed) for _ in rates for seed in range(SEEDS)]
        trainer = nn.EnsembleTrainer(nn.Ensemble(models), "softmax_cross_entropy", optimizer(nn.Each(np.repeat(rates, SEEDS))))
        history = trainer.fit(X, y, epochs=EPOCHS, batch_size=BATCH, exact_loss=True, verbose=0)
        curves = np.nan_to_num(history["loss"], nan=1e3).reshape(EPOCHS, len(rates), SEEDS)
        best = np.log(curves.max(axis=2)).mean(axis=0).argmin()  # good for all seeds
        median, last = np.median(curves[:, best], axis=1), curves[-1, best]
        ax.semilogy(np.arange(1, EPOCHS + 1), median, color=nn.figures.OPTIMIZER_COLORS[name], label=name)
        print(
            f"{title:<21} {name:<9} lr {rates[best]:<7.2g} loss {median[EPOCHS // 3 - 1]:.3f} after a third, {median[-1]:.3f} at the end ({last.min():.3f} to {last.max():.3f})"
        )
    ax.set(xlabel="epoch", title=title, xticks=range(0, EPOCHS + 1, 5))
    nn.figures.label_ends(ax)
axes[0].set_ylabel("training loss")
plt.show()
