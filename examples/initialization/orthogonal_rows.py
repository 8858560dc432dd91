"""
Long random vectors are nearly orthogonal, so random units differ
=================================================================

Two rows of a random weight matrix are the weights of two units. How similar are they? The picture has the angle between pairs of random vectors of 2, 10,
100 and 1000 numbers, and what this means for the outputs of the units.

**What you see.** Left: in the plane all angles are equally frequent. With 1000 numbers nearly all pairs are within 5 degrees of a right angle. Right: the
deviation of the cosine is 1/√n, for normal and uniform weights alike, and the correlation between the outputs of two units, for inputs that are not
correlated, is as small.

**What to conclude.** Random rows point in different directions as soon as there are many inputs, so that each unit sees another aspect of the data.
Nothing has to be done for it; orthogonal rows (`nncore.initializers.Orthogonal`) are exactly at right angles. There is a limit: if the *inputs* are
correlated, units are too, however their weights are drawn. With the pixels of the digits the correlation is 0.26, standardized 0.21, where 1/√n is 0.13.

**Try next.** Weights that are all positive, ``rng.random((PAIRS, 2, n))``: the angle goes to 41 degrees (the cosine to ¾).

:Slide: Deck 000, *Random vectors*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

SIZES, PAIRS, EXAMPLES = (2, 10, 100, 1000), 3000, 5000


def cosines(pairs):
    a, b = pairs[:, 0], pairs[:, 1]
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def unit_correlation(X, rng, units=200):
    """The deviation of the correlation between the outputs of two random units."""
    found = np.corrcoef(X @ rng.normal(size=(X.shape[1], units)), rowvar=False)
    return np.sqrt(np.mean(found[np.triu_indices(units, 1)] ** 2))


# %%
# Angles, and the deviation of the cosine
# ---------------------------------------

figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.2))
normal, uniform, units = [], [], []
for n, color in zip(SIZES, nn.figures.PALETTE):
    rng = np.random.default_rng(n)
    cosine = cosines(rng.normal(size=(PAIRS, 2, n)))
    angles = np.degrees(np.arccos(cosine))
    left.hist(angles, bins=np.linspace(0, 180, 91), density=True, histtype="step", linewidth=2, color=color)
    normal.append(cosine.std())
    uniform.append(cosines(rng.uniform(-1, 1, (PAIRS, 2, n))).std())
    units.append(unit_correlation(rng.normal(size=(EXAMPLES, n)), rng))
    near = 100 * np.mean(np.abs(angles - 90) < 5)
    print(
        f"n = {n:<5} within 5° of a right angle: {near:5.1f} %; deviation of the cosine: normal {normal[-1]:.3f}, "
        f"uniform {uniform[-1]:.3f}, 1/√n {n**-0.5:.3f}; correlation of two units {units[-1]:.3f}"
    )
for n, color, x, height in zip(SIZES, nn.figures.PALETTE, (5, 46, 99, 95), (0.009, 0.02, 0.06, 0.17)):
    left.text(x, height, f"n = {n}", color=color)
left.set(xlabel="angle between two random vectors, degrees", yticks=[], title="Many numbers: a right angle", xlim=(0, 180))
left.set_xticks([0, 45, 90, 135, 180])

n = np.array(SIZES)
right.loglog(n, n**-0.5, color="0.6", linestyle="--")
right.loglog(n, normal, "o", label="cosine, normal weights")
right.loglog(n, uniform, "x", markersize=10, label="cosine, uniform weights")
right.loglog(n, units, "+", markersize=14, markeredgewidth=2, label="correlation of two units")
right.text(18, 0.3, "1/√n", color="0.4")
right.set(xlabel="numbers in a vector", ylabel="deviation", title="Similar only by 1/√n")
right.legend(loc="lower left")
plt.show()

# %%
# Inputs that are correlated
# --------------------------

X, _ = nn.data.load_digits()
X = X[:, X.std(axis=0) > 0]
scaled = nn.data.StandardScaler().fit(X).transform(X)
for name, rows in ("digits", X), ("digits, standardized", scaled):
    print(
        f"{name:<21} correlation of two units {unit_correlation(rows, np.random.default_rng(0)):.2f}, 1/√n {X.shape[1] ** -0.5:.2f}"
    )
