"""
KL learns to classify from any start, L2 needs a good one; for regression both will do
======================================================================================

Classification: digits, with a softmax behind the last layer, from the usual initial weights and from an output layer with
weights 15 times as large, where many answers are wrong and sure. Regression: how diabetes progresses in a year, with L2 and a
linear output, and with targets scaled to [0, 1], a sigmoid and KL.

**What you see.** The errors on new data after 20 epochs, against the learning rate; means of five seeds. From the usual start
the best of L2 is nearly as good as that of KL, 4.3 against 3.8 % wrong, but its gradients are smaller: at a rate of 0.03 it has
17.5 % where KL has 5.6 %. From the bad start L2 sits on the plateau, 15.7 % at its best rate, and KL comes back, 5.4 %. In
regression L2 with a linear output has a root mean square error of 56.9, KL with a sigmoid 56.0.

**What to conclude.** For classification take KL: a wrong answer has a large gradient, however sure it is, so that the start and
the rate matter less. For regression L2 is simpler, not better: in these data the targets have known limits, 25 to 346, and a
sigmoid between them does as well. It could never predict 347. L2 with a linear output can, but diverges at the largest rate.

**Try next.** ``BAD = 30``. L2 on the plain outputs, without the softmax: from which rate on does it diverge?

:Slide: Deck 001, *L2 or KL?*; *The choice of divergence affects both the learned network and results*
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

import nncore as nn

plt.style.use("nncore.slide")
warnings.filterwarnings("ignore", message="the training of .* members diverged")

EPOCHS, SEEDS, BAD = 20, 5, 15
RATES = [0.01, 0.03, 0.1, 0.3, 1.0]

# %%
# All rates and seeds at once
# ---------------------------


def train(layers, loss, X, d):
    rates = np.repeat(RATES, SEEDS)
    ensemble = nn.Ensemble(nn.Sequential(layers, input_shape=X.shape[1], seed=0), len(rates))
    nn.EnsembleTrainer(ensemble, loss, nn.SGD(lr=nn.Each(rates.tolist()))).fit(X, d, epochs=EPOCHS, batch_size=20, verbose=0)
    return ensemble


def over_seeds(error):
    return error.reshape(len(RATES), SEEDS).mean(axis=1)


# %%
# Classification
# --------------
# KL of the softmax from a one-hot target is the cross-entropy. The loss has the softmax in it: behind a softmax that says exactly 0 there is no gradient left.

X, y = nn.data.load_digits()
old, new = nn.data.train_validation_split(X, y, 0.5, seed=0)
X = nn.data.StandardScaler().fit(X[old]).transform(X)
one_hot = np.eye(10)[y]
results = {}
for title, size in (("digits, usual start", 1), (f"digits, weights {BAD} × as large", BAD)):
    results[title] = {}
    for name, loss, softmax in (("KL", "softmax_cross_entropy", []), ("L2", "squared_error", [nn.Softmax()])):
        last = nn.Dense(10, weight_init=nn.initializers.Normal(size * np.sqrt(1 / 32)))
        ensemble = train([nn.Dense(32), nn.ReLU(), last, *softmax], loss, X[old], one_hot[old])
        wrong = ensemble.predict_members(X[new]).argmax(axis=-1) != y[new]
        results[title][name] = over_seeds(100 * wrong.mean(axis=1))

# %%
# Regression
# ----------

X, y = load_diabetes(return_X_y=True)
X = X / X.std(axis=0)
old, new = nn.data.train_validation_split(X, None, 0.5, seed=0)
low, high = y[old].min(), y[old].max()
print(f"targets from {low:g} to {high:g} in the training set, from {y[new].min():g} to {y[new].max():g} among the new ones")
results["diabetes"] = {}
for name, loss, last, shift, scale in (
    ("KL", "binary_cross_entropy", [nn.Sigmoid()], low, high - low),
    ("L2", "squared_error", [], y[old].mean(), y[old].std()),
):
    ensemble = train([nn.Dense(16), nn.Tanh(), nn.Dense(1), *last], loss, X[old], (y[old, None] - shift) / scale)
    predicted = shift + scale * ensemble.predict_members(X[new])[..., 0]
    results["diabetes"][name] = over_seeds(np.sqrt(((predicted - y[new]) ** 2).mean(axis=1)))

# %%
# Errors on new data, against the learning rate
# ---------------------------------------------

figure, axes = plt.subplots(1, 3, figsize=(12.5, 4.2))
for ax, (title, lines) in zip(axes, results.items()):
    for (name, errors), color in zip(lines.items(), (nn.figures.PALETTE[1], nn.figures.PALETTE[0])):
        print(
            f"{title:<29} {name}: best {errors.min():5.1f} at rate {RATES[errors.argmin()]:g};", *(f"{e:.3g}" for e in errors)
        )
        ax.plot(RATES, np.where(errors < 100, errors, np.nan), "o-", color=color, label=name)  # what diverged is left out
    regression = title == "diabetes"
    ax.set(xscale="log", xlabel="learning rate", title=title, ylabel="RMS error" if regression else "% wrong")
    ax.set(ylim=(45, 100) if regression else (0, 60))
    nn.figures.label_ends(ax)
plt.show()
