"""
An activation whose mean is far from zero slows learning; a small shift costs little
====================================================================================

A network with two hidden layers learns 400 digits. Its activation is tanh(z) + c: the shift c changes nothing that the network
can represent, as the next bias can take it away. Only the mean of what the next layer sees is c instead of 0.

**What you see.** The loss after 30 epochs against the learning rate. Left: with a shift of 2 the best loss is 0.025, with a
shift of 4 it is 0.60, instead of 0.0011; with larger rates it ends worse than a guess, and no point is drawn. Right: the sigmoid needs a larger rate and
is still worse than tanh at every rate.

**What to conclude.** A mean of c adds a direction to the Hessian of the next layer whose eigenvalue grows like c² times its
width, and this one direction limits the learning rate for all. The other side: a shift of 1 costs a factor of two at the
largest rate, 0.0023, and nothing at the others; and tanh(z) + 1 is 2·sigmoid(2z). So the sigmoid's mean of ½ is not its main
problem: its slope of at most ¼ is. ReLU has a mean of 0.40 for z ~ N(0, 1), and learns as well as tanh up to a rate of 0.3.

**Try next.** `nn.Adam` with a tenth of the rates: it suffers, too. A `nn.BatchNorm` after each activation takes the mean away:
the lines fall together.

:Slide: Deck 003, *Activation functions are usually centred around zero; not the sigmoid*; *the data fed to the layers should be zero-centred*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

N, EPOCHS, SEEDS = 400, 30, 5
RATES = [0.01, 0.03, 0.1, 0.3, 1.0]
SHIFTS = [0, 1, 2, 4]

X, y = nn.data.load_digits()
X, y = nn.data.StandardScaler().fit_transform(X[:N]), y[:N]


class Shift(nn.Layer):
    """h = x + c; the derivative is 1."""

    def __init__(self, c):
        super().__init__()
        self.c = c

    def forward(self, x, training):
        return x + self.c

    def backward(self, dy):
        return dy


# %%
# The loss after training, for each rate and seed
# -----------------------------------------------


def final_losses(activation, weights="lecun_normal"):
    found = np.empty((len(RATES), SEEDS))
    for i, rate in enumerate(RATES):
        for seed in range(SEEDS):
            hidden = [layer for _ in range(2) for layer in (nn.Dense(32, weight_init=weights), *activation())]
            model = nn.Sequential([*hidden, nn.Dense(10)], input_shape=64, seed=seed)
            trainer = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=rate), seed=seed)
            found[i, seed] = trainer.fit(X, y, epochs=EPOCHS, batch_size=20, verbose=0)["running_loss"][-1]
    return np.median(found, axis=1)


shifted = {f"c = {c}": final_losses(lambda c=c: [nn.Tanh(), *([Shift(c)] if c else [])]) for c in SHIFTS}
others = {
    "tanh": shifted[f"c = {SHIFTS[0]}"],
    "sigmoid": final_losses(lambda: [nn.Sigmoid()], "sigmoid_uniform"),
    "ReLU": final_losses(lambda: [nn.ReLU()], "he_normal"),
}
for name, losses in {**shifted, **others}.items():
    print(f"{name:<8} best loss {losses.min():.4f} at rate {RATES[losses.argmin()]:g}; all:", losses.round(4))

# %%
# Loss against learning rate
# --------------------------

figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.4), sharey=True)
for ax, lines, title in zip(axes, (shifted, others), ("tanh(z) + c: a shift costs speed", "The sigmoid is worse, ReLU is not")):
    for (name, losses), color in zip(lines.items(), nn.figures.PALETTE):
        drawn = np.where(losses < 3, losses, np.nan)  # without what is worse than a guess, log 10 = 2.3
        ax.loglog(RATES, drawn, "o-", color=color, label=name)
    ax.set(title=title, xlabel="learning rate", ylim=(3e-4, 5))
axes[0].set(ylabel=f"training loss after {EPOCHS} epochs")
for ax in axes:
    nn.figures.label_ends(ax)
plt.show()
