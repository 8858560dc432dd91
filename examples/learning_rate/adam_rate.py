"""Adam's learning rate matters too: 3e-4 is a joke
=================================================

"3e-4 is the best learning rate for Adam, hands down" (A. Karpathy, who added that it is a joke). Four problems are trained with Adam and 16
rates, each for a fixed number of epochs, in the median of 3 seeds.

**What you see.** The final training loss, divided by the lowest one of its problem. Each curve has a valley; the bottoms lie between 0.002 (4 layers) and
0.1 (linear, sine). At 3e-4 the losses are 4 to 62 times the lowest ones.

**What to conclude.** Adam divides by the size of the gradient, so that its rate has no unit of the loss, and 0.001 is a usable first try for many networks. How far the
parameters have to go it does not know. The deeper of the networks for digits want smaller rates.

**Try next.** Set ``LONGER = 5``, for five times the epochs: the valleys become deeper, and hardly move.

:Slide: Deck 002, *3e-4 is the best learning rate for Adam*; *Sum up: optimization* (even for Adam the learning rate matters)
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

RATES, SEEDS, LONGER = np.geomspace(1e-5, 1, 16), 3, 1

# %%
# Four problems
# -------------
# Each: data, loss, epochs, and the layers.

digits = (*nn.data.load_digits(), "softmax_cross_entropy")
x = np.linspace(-3, 3, 300)[:, None]
sine = (x, np.sin(2 * x), "squared_error")


def network(sizes, activation, inputs, seed):
    hidden = [layer for units in sizes[:-1] for layer in (nn.Dense(units), activation())]
    return nn.Sequential([*hidden, nn.Dense(sizes[-1])], input_shape=inputs, seed=seed)


PROBLEMS = {
    "digits, linear": (digits, 20, [10], nn.ReLU),
    "digits, 1 layer": (digits, 20, [64, 10], nn.ReLU),
    "digits, 4 layers": (digits, 5, [128, 128, 128, 128, 10], nn.ReLU),
    "sine": (sine, 200, [32, 1], nn.Tanh),
}

# %%
# All rates and seeds of a problem at once
# ----------------------------------------
# Every member of an ensemble has a learning rate of its own.

figure, ax = plt.subplots()
for name, ((X, y, loss), epochs, sizes, activation) in PROBLEMS.items():
    models = [network(sizes, activation, X.shape[1], seed) for _ in RATES for seed in range(SEEDS)]
    trainer = nn.EnsembleTrainer(nn.Ensemble(models), loss, nn.Adam(lr=nn.Each(np.repeat(RATES, SEEDS))))
    trainer.fit(X, y, epochs=int(epochs * LONGER), exact_loss=True, verbose=0)
    final = np.median(trainer.history.last("loss").reshape(-1, SEEDS), axis=1)
    at = np.exp(np.interp(np.log(3e-4), np.log(RATES), np.log(final)))
    print(f"{name:18} best rate {RATES[final.argmin()]:.2g}: loss {final.min():.4f}; at 3e-4 {at / final.min():.1f} times that")
    line = ax.loglog(RATES, final / final.min(), label=name)[0]
    ax.plot(RATES[final.argmin()], 1, "o", color=line.get_color(), markersize=8, clip_on=False, zorder=5)
ax.axvline(3e-4, color="black", linestyle=":")
ax.text(2.7e-4, 1.3, "3e-4", ha="right")
ax.set(
    xlabel="learning rate of Adam",
    ylabel="final loss / lowest one",
    ylim=(1, 1000),
    title="Every problem has its own best rate (dots)",
)
nn.figures.label_ends(ax)
plt.show()
