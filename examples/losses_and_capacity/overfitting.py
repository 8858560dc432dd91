"""
A network without constraints goes through every point; a smooth one follows the trend
======================================================================================

A network with far more parameters than examples, with and without a penalty on its weights: for a curve of which 15 noisy
values are known, and for a classifier of 80 points of two overlapping classes.

**What you see.** Left: without a penalty the curve passes within 0.007 of the tops of the bars and swings between them; the
penalty misses the tops by 0.074, and is nearer to the dotted truth: 0.081 instead of 0.110. Middle and right: without a penalty
all 80 points are right, with islands around single ones, and 28.0 % of new points are wrong; with it 15.0 % of its own points
are wrong, and 20.3 % of the new ones. No classifier can do better than 18.8 %.

**What to conclude.** The bars do not say what lies between them: infinitely many curves pass through all. Training chooses one,
and only a constraint makes it a smooth one: here a penalty, elsewhere fewer units, dropout, early stopping or
more data. The errors on the training set say nothing about what is between.

**Try next.** ``BARS = 60``, ``POINTS = 2000``: more data help the network without a penalty less than one might think: 25.6 %
of the new points are wrong. Initial weights of size 1 in the place of ``wild``: the curve swings less, the classifier is no better.

:Slide: Deck 001, *Overfitting: the red curve instead of the dotted blue one*; *The unconstrained model*; *Need smoothing constraints*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

BARS, POINTS, EPOCHS = 15, 80, 3000
NEW = 20000
COLORS = {"no penalty": "#D55E00", "penalty": "#0072B2"}

rng = np.random.default_rng(0)


def train(loss, X, d, strength):
    wild = nn.initializers.Normal(6.0)  # large weights and biases: steep units everywhere
    hidden = [nn.Dense(100, weight_init=wild, bias_init=wild), nn.Tanh(), nn.Dense(50), nn.Tanh()]
    model = nn.Sequential([*hidden, nn.Dense(1)], input_shape=X.shape[1], seed=0)
    trainer = nn.Trainer(model, loss, nn.Adam(lr=nn.schedules.Cosine(0.01, EPOCHS)), regularizer=nn.L2(strength))
    trainer.fit(X, d, epochs=EPOCHS, batch_size=len(X), verbose=0)
    return model


def rms(error):
    return np.sqrt(np.mean(error**2))


# %%
# A curve through bars
# --------------------

truth = lambda x: 0.6 + 0.3 * np.sin(3 * x)  # noqa: E731
x, grid = np.linspace(-1, 1, BARS)[:, None], np.linspace(-1, 1, 501)[:, None]
d = truth(x) + 0.12 * rng.normal(size=x.shape)

figure, axes = plt.subplots(1, 3, figsize=(13, 4.1), width_ratios=[1.4, 1, 1])
axes[0].vlines(x, 0, d, color="0.75", linewidth=5)
axes[0].plot(grid, truth(grid), ":", color="black")
for (name, color), strength in zip(COLORS.items(), (0.0, 1e-3)):
    curve = train("squared_error", x, d, strength)
    print(
        f"{name:<11} misses the tops by {rms(curve.predict(x) - d):.3f}, the truth by {rms(curve.predict(grid) - truth(grid)):.3f} (RMS)"
    )
    axes[0].plot(grid, curve.predict(grid), color=color, label=name)
axes[0].set(title="The same bars, two curves", xlabel="x", ylim=(0, 1.35), xticks=[-1, 0, 1])

# A classifier of overlapping classes.


def overlapping(n):
    y = rng.integers(2, size=n)
    return rng.normal(size=(n, 2)) + np.where(y == 1, 1, -1)[:, None] * [0.8, 0.4], y


X, y = overlapping(POINTS)
X_new, y_new = overlapping(NEW)
best = 100 * np.mean((X_new @ [0.8, 0.4] > 0) != y_new)
side = np.linspace(-3.4, 3.4, 200)
plane = np.stack(np.meshgrid(side, side), axis=-1)
for ax, name, strength in zip(axes[1:], COLORS, (0.0, 3e-2)):
    model = train("sigmoid_cross_entropy", X, y, strength)
    own, new = (100 * np.mean((model.predict(A)[:, 0] > 0) != b) for A, b in ((X, y), (X_new, y_new)))
    print(f"{name:<11} {own:.1f} % of its own points wrong, {new:.1f} % of new ones; the best possible is {best:.1f} %")
    answer = model.predict(plane.reshape(-1, 2)).reshape(plane.shape[:2])
    ax.contourf(side, side, answer > 0, levels=[-0.5, 0.5, 1.5], colors=["#b5d2e8", "#fbe9dc"])
    ax.contour(side, side, answer, levels=[0], colors="black", linewidths=1.5)
    for k, mark in enumerate("o^"):
        ax.plot(*X[y == k].T, mark, color=nn.figures.PALETTE[k], markersize=5)
    ax.set(title=f"{name}: {new:.1f} % wrong", xticks=[], yticks=[], aspect="equal")
    ax.grid(False)
nn.figures.label_ends(axes[0])
plt.show()
