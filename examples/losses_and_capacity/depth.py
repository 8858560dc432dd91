"""
"""
import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

UNITS, SEEDS = 48, 5
DEPTHS, SHOWN = [1, 2, 3, 4, 6, 8, 12], [1, 2, 4, 8]
EPOCHS = {300: 500, 10000: 25}  # for each number of points

# %%
# A star
# ------

rng = np.random.default_rng(0)


def star(X):
    radius, angle = np.hypot(*X.T), np.arctan2(*X.T)
    return (radius < 0.9 + 0.45 * np.cos(5 * angle)).astype(int)


def points(n):
    X = rng.uniform(-1.5, 1.5, (n, 2))
    return X, star(X)


X_new, y_new = points(10000)

# %%
# The same units in more and more layers
# --------------------------------------


def train(widths, X, y):
    layers = [layer for width in widths for layer in (nn.Dense(width, weight_init="lecun_normal"), nn.Tanh())]
    ensemble = nn.Ensemble(nn.Sequential([*layers, nn.Dense(2)], input_shape=2, seed=0), SEEDS)
    epochs, batch = EPOCHS[len(X)], 30 if len(X) == 300 else 50
    rate = nn.schedules.Cosine(0.02, epochs * len(X) // batch)
    trainer = nn.EnsembleTrainer(ensemble, "softmax_cross_entropy", nn.Adam(lr=rate))
    trainer.fit(X, y, epochs=epochs, batch_size=batch, verbose=0)
    return ensemble


def errors(ensemble, X, y):
    return 100 * (ensemble.predict_members(X).argmax(axis=-1) != y).mean(axis=1)


nets, new, seen = {}, {}, {}
for n in EPOCHS:
    X, y = points(n)
    for depth in DEPTHS:
        nets[n, depth] = train([UNITS // depth] * depth, X, y)
        new[n, depth] = errors(nets[n, depth], X_new, y_new)
        seen[n,depth] = errors(nets[n, depth], X, y)
        print(f"{n:6} points, {depth:2} × {UNITS // depth:2} units, {nets[n, depth][0].parameters.size:3} parameters: {seen[n,depth].mean():.1f} {new[n, depth].mean():4.1f} % wrong", new[n,depth].round(1))
    wide = train([144], X, y)
    print(f"{n:6} points,  1 × 144 units, {wide[0].parameters.size:3} parameters: {errors(wide, X_new, y_new).mean():4.1f} % wrong")
