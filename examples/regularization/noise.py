"""
Many kinds of noise regularize like dropout, each at its own strength
=====================================================================

The network of :doc:`/gallery/regularization/dropout` in a small form: 200 noisy digits, one hidden layer of 128 units. Beside dropout: Gaussian noise on the inputs, dropout of single
weights (DropConnect), shakeout, whiteout, Gaussian noise on the weights, and a penalty on the activations (L1), each with four strengths and six seeds.

**What you see.** Errors on held-out digits for the best of the four strengths, the other strengths in gray, and the errors without any noise as a line.
Noise on the inputs gains three points (the digits are noisy there), the other kinds one or two, L1 on
the activations less than half a point. Too much of it costs up to twenty points.

**What to conclude.** What matters is that the network cannot rely on any single number. Which kind of noise does it matters less than its strength,
which has to be searched for. (The best of four is flattered by its choice: the digits that chose it are the ones that are counted. With six seeds
differences below a point are not to be trusted.)

**Try next.** ``EXAMPLES = 1000``. Two kinds at once.

:Slide: Deck 001, *Noise as a regularizer, L1 on activations*; *DropConnect, shakeout, whiteout*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

EXAMPLES, EPOCHS, SEEDS, UNITS, FAR = 200, 60, 6, 128, 24

rng = np.random.default_rng(0)
X, y = nn.data.load_digits()
X = X + 0.25 * rng.standard_normal(X.shape)
train, held_out = np.split(rng.permutation(len(X)), [EXAMPLES])

# %%
# Eight ways to disturb a network
# -------------------------------
# Each is a function of its strength that returns the layers.


relu, last = nn.ReLU, lambda: nn.Dense(10)
KINDS = {
    "dropout": (lambda s: [nn.Dense(UNITS), relu(), nn.Dropout(s), last()], [0.1, 0.3, 0.5, 0.7]),
    "Gaussian dropout": (lambda s: [nn.Dense(UNITS), relu(), nn.GaussianDropout(s), last()], [0.1, 0.3, 0.5, 0.7]),
    "noise on the inputs": (lambda s: [nn.GaussianNoise(s), nn.Dense(UNITS), relu(), last()], [0.1, 0.2, 0.4, 0.8]),
    "DropConnect": (lambda s: [nn.DropConnect(UNITS, s), relu(), last()], [0.1, 0.3, 0.5, 0.7]),
    "shakeout": (lambda s: [nn.Shakeout(UNITS, s, c=0.05), relu(), last()], [0.1, 0.3, 0.5, 0.7]),
    "whiteout": (lambda s: [nn.AdditiveWhiteout(UNITS, s), relu(), last()], [0.03, 0.1, 0.3, 1.0]),
    "noise on the weights": (lambda s: [nn.GaussianWeightNoise(UNITS, s), relu(), last()], [0.03, 0.1, 0.3, 1.0]),
    "L1 on the activations": (lambda s: [nn.Dense(UNITS), relu(), nn.ActivityL1(s), last()], [1e-3, 3e-3, 1e-2, 3e-2]),
}


def errors(layers):
    ensemble = nn.Ensemble(nn.Sequential(layers, input_shape=64, seed=0), SEEDS)
    trainer = nn.EnsembleTrainer(ensemble, "softmax_cross_entropy", nn.Adam(lr=2e-3))
    trainer.fit(X[train], y[train], epochs=EPOCHS, batch_size=20, verbose=0)
    wrong = ensemble.predict_members(X[held_out]).argmax(axis=-1) != y[held_out]
    return 100 * wrong.mean(axis=1)


# %%
# All strengths
# -------------

plain = errors([nn.Dense(UNITS), relu(), last()])
print(f"{'without noise':<22} {plain.mean():.1f} ± {plain.std():.1f} %")
found = {name: np.array([errors(layers(s)) for s in strengths]) for name, (layers, strengths) in KINDS.items()}

figure, ax = plt.subplots(figsize=(9, 4.8))
ax.axvline(plain.mean(), color="black", linestyle=":")
ax.text(plain.mean() + 0.1, 0, "without noise", clip_on=True)
names = sorted(found, key=lambda name: found[name].mean(axis=1).min())
for row, name in enumerate(names):
    values, strengths = found[name].mean(axis=1), KINDS[name][1]
    best = values.argmin()
    spread = found[name][best].std()
    ax.plot(np.minimum(values, FAR), np.full(len(values), row), "o", color="0.75", markersize=7)
    for value in values[values > FAR]:
        ax.text(FAR + 0.1, row, f"{value:.0f} →", va="center", color="0.5")
    ax.errorbar(values[best], row, xerr=spread, fmt="o", color=nn.figures.PALETTE[0], markersize=9, capsize=4)
    print(
        f"{name:<22} {values[best]:.1f} ± {spread:.1f} % at strength {strengths[best]:g}; all: "
        + ", ".join(f"{v:.1f}" for v in values)
    )
ax.set_yticks(range(len(names)), [f"{name}, {KINDS[name][1][found[name].mean(axis=1).argmin()]:g}" for name in names])
ax.invert_yaxis()
ax.set(
    xlabel="errors on held-out digits, %: best strength, and the three others",
    title="Seven of eight kinds of noise gain a point or more",
    xlim=(17, FAR + 1),
)
plt.show()
