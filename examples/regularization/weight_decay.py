"""
Weight decay makes the decision boundary smooth; too much makes it straight
=================================================================================

A network that is far too large for 60 noisy points of two moons, trained with the penalty λ‖w‖²/2 for eight values of λ.

**What you see.** Without a penalty the network draws islands around single points: it errs on almost none of its own, and on 18.7 % of new ones. With
λ = 0.01 the boundary is smooth and 13.0 % of the new points are wrong. With λ = 0.1 the boundary is nearly straight, 18.1 %; with 0.3 the penalty is all that
counts: the weights go to zero, and the network guesses. The curve has the errors for all λ, means of five seeds.

**What to conclude.** Small weights mean small slopes: the output cannot turn quickly. In gradient descent the penalty multiplies each weight by 1 − ηλ
in every step, hence the name. λ is chosen like a learning rate: on held-out data, on a logarithmic grid. Of the slide's 0.1 to 0.01 the lower end is
right here; it depends on the data and on how the loss is scaled.

**Try next.** ``N = 1000``: with enough data every λ below 0.01 is as good as none. `nn.L1` in the place of `nn.L2`.

:Slide: Deck 001, *Regularization: weight decay gives smooth decision surfaces*; deck 003, *L2: (1 − ηλ)w, λ typically 0.1–0.01*
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons

import nncore as nn

plt.style.use("nncore.slide")

N, EPOCHS, SEEDS = 60, 600, 5
SHOWN, STRENGTHS = [0.0, 0.01, 0.1], [0.0, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1]

X, y = make_moons(N, noise=0.35, random_state=1)
X_new, y_new = make_moons(4000, noise=0.35, random_state=2)

# %%
# All of the trainings at once
# ----------------------------
# An ensemble whose members differ in λ and in the seed of their weights.

strengths = np.repeat(STRENGTHS, SEEDS)
model = nn.Sequential([nn.Dense(64), nn.Tanh(), nn.Dense(64), nn.Tanh(), nn.Dense(2)], input_shape=2, seed=0)
ensemble = nn.Ensemble(model, len(strengths))
trainer = nn.EnsembleTrainer(
    ensemble, "softmax_cross_entropy", nn.Adam(lr=0.01), regularizer=nn.L2(nn.Each(strengths.tolist()))
)
trainer.fit(X, y, epochs=EPOCHS, batch_size=20, verbose=0)


def errors(X, y):
    wrong = ensemble.predict_members(X).argmax(axis=-1) != y
    return 100 * wrong.mean(axis=1).reshape(len(STRENGTHS), SEEDS)


train_error, new_error = errors(X, y), errors(X_new, y_new)
for strength, a, b in zip(STRENGTHS, train_error.mean(axis=1), new_error.mean(axis=1)):
    print(f"λ = {strength:<7g} errors: training {a:4.1f} %, new points {b:4.1f} %")

# %%
# Boundaries, and errors against λ
# --------------------------------

figure, axes = plt.subplots(1, 4, figsize=(13, 3.4), width_ratios=[1, 1, 1, 1.3])
grid = np.stack(np.meshgrid(np.linspace(-2, 3, 200), np.linspace(-1.7, 2.2, 160)), axis=-1)
scores = ensemble.predict_members(grid.reshape(-1, 2))
for ax, strength in zip(axes, SHOWN):
    member = STRENGTHS.index(strength) * SEEDS
    difference = (scores[member, :, 1] - scores[member, :, 0]).reshape(160, 200)
    ax.contourf(grid[..., 0], grid[..., 1], difference > 0, levels=[-0.5, 0.5, 1.5], colors=["#cfe2f0", "#f6dcc8"])
    ax.contour(grid[..., 0], grid[..., 1], difference, levels=[0], colors="black")
    for k, color in enumerate(nn.figures.PALETTE[:2]):
        ax.plot(*X[y == k].T, "o", color=color, markersize=4)
    ax.set(title=f"λ = {strength:g}: {new_error[STRENGTHS.index(strength)].mean():.1f} % wrong", xticks=[], yticks=[])
    ax.grid(False)
places = np.arange(len(STRENGTHS))
for values, name, color in (train_error, "training", "0.5"), (new_error, "new points", "#D55E00"):
    axes[3].plot(places, values.mean(axis=1), "o-", color=color, label=name)
axes[3].set_xticks(places, [f"{s:g}" for s in STRENGTHS], rotation=60)
axes[3].set(xlabel="λ", ylabel="errors, %", title="Too little, too much")
nn.figures.label_ends(axes[3])
plt.show()
