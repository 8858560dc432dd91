"""
Ten layers of two units draw what one layer needs a thousand for; training does not find it
===========================================================================================

A sawtooth with 2ᵏ slopes on [0, 1]. The fold x → 1 − \\|2x − 1\\| takes two ReLUs; k of them, one behind the other, make the
sawtooth. One hidden layer of ReLUs can change its slope only once per unit, so it needs 2ᵏ units.

**What you see.** Left: each layer folds the interval once more and doubles the slopes, with weights set by hand. Middle: ten
folds make 1024 slopes with 20 units; one layer needs 1024. Right: what ten random starts of each network learn of the sawtooth
with 8 slopes; the constant ½ has an error of 0.289. Of the three layers of two units, which could be exact, none gets below
0.26. With eight units per layer they do: the median is 0.087, and four starts are exact to 0.005; one layer with as many units,
of which 8 could be exact, has a median of 0.233.

**What to conclude.** Depth is exponentially cheaper *for some functions*: those that repeat themselves, such as a sawtooth, or
a product of many inputs. It is a statement about what can be represented. Gradient descent finds the folds only with more units
than necessary, and not from every start.

**Try next.** ``FOLDS = 2`` and ``FOLDS = 4`` for the learned sawtooth: at 4 even the wide networks hardly learn it. A smooth
target such as sin 6x: does depth help?

:Slide: Deck 004, *Universal approximation, caveat 1: the width can grow quickly; deeper architectures are exponentially narrower for some functions*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

FOLDS, SEEDS, EPOCHS = 3, 10, 400

# %%
# By hand: layers that fold
# -------------------------
# With a = ReLU(x) and b = ReLU(x − ½) the fold is 2a − 4b.


def folded(folds):
    layers = [layer for _ in range(folds) for layer in (nn.Dense(2), nn.ReLU())]
    model = nn.Sequential([*layers, nn.Dense(1)], input_shape=1, dtype="float64")
    for i in range(folds):
        dense = model[2 * i]
        dense.weight[...], dense.bias[...] = 1 if i == 0 else [2, -4], [0, -0.5]
    model[-1].weight[...] = [2, -4]
    return model


x = np.linspace(0, 1, 2**14 + 1)[:, None]
for folds in (1, 2, 3, 10):
    rising = np.diff(folded(folds).predict(x)[:, 0]) > 0
    print(f"{folds:2} layers, {2 * folds:2} units: {1 + np.count_nonzero(rising[1:] != rising[:-1])} slopes")

# %%
# Learned: one layer or three
# ---------------------------

points = np.linspace(0, 1, 513)[:, None]
target = folded(FOLDS).predict(points)
errors = {}
for name, widths in {
    f"1 × {2**FOLDS}": [2**FOLDS],
    f"1 × {8 * FOLDS}": [8 * FOLDS],
    f"{FOLDS} × 2": [2] * FOLDS,
    f"{FOLDS} × 8": [8] * FOLDS,
}.items():
    layers = [layer for width in widths for layer in (nn.Dense(width, weight_init="he_normal"), nn.ReLU())]
    ensemble = nn.Ensemble(nn.Sequential([*layers, nn.Dense(1)], input_shape=1, seed=0), SEEDS)
    rate = nn.schedules.Cosine(0.01, 17 * EPOCHS)
    trainer = nn.EnsembleTrainer(ensemble, "squared_error", nn.Adam(lr=rate))
    trainer.fit(2 * points - 1, target, epochs=EPOCHS, batch_size=32, verbose=0)
    errors[name] = np.sqrt(((ensemble.predict_members(2 * points - 1) - target) ** 2).mean(axis=(1, 2)))
    e = np.sort(errors[name])
    print(
        f"{name:<7} RMS error: best {e[0]:.3f}, median {np.median(e):.3f}, worst {e[-1]:.3f}; the constant ½ has {target.std():.3f}"
    )

# %%
# The sawtooth, the units, the errors
# -----------------------------------

figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), width_ratios=[1.1, 1, 1])
for folds, shift in ((1, 2.6), (2, 1.3), (4, 0)):
    axes[0].plot(x, folded(folds).predict(x) + shift, color=nn.figures.PALETTE[1])
    axes[0].text(1.03, shift + 0.5, f"{folds} layer{'s' * (folds > 1)}:\n{2**folds} slopes", va="center", fontsize=12)
axes[0].set(title="Each layer folds once more", xlabel="x", yticks=[], xlim=(0, 1.45), xticks=[0, 0.5, 1])
k = np.arange(1, 11)
axes[1].semilogy(k, 2**k, "o-", label="one layer", color=nn.figures.PALETTE[0])
axes[1].semilogy(k, 2 * k, "o-", label="k layers", color=nn.figures.PALETTE[1])
axes[1].set(title="Units for 2ᵏ slopes", xlabel="k", xticks=[1, 4, 7, 10])
nn.figures.label_ends(axes[1])
for place, e in enumerate(errors.values()):
    axes[2].plot(place + np.linspace(-0.2, 0.2, len(e)), np.sort(e), "o", color=nn.figures.PALETTE[place // 2])
axes[2].axhline(target.std(), color="0.5", linewidth=1, linestyle=":")
axes[2].set_xticks(range(len(errors)), errors)
axes[2].set(title=f"Learned: error at {2**FOLDS} slopes", xlabel="layers × units", ylabel="RMS error", ylim=(0, 0.32))
plt.show()
