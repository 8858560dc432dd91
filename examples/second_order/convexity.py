"""
Logistic regression is convex: no Hessian has a negative eigenvalue
===================================================================

The loss of logistic regression on 569 tumors with 30 features, and that of a network with three hidden units on the same data. At random parameters of
growing size, the smallest eigenvalue of the exact Hessian.

**What you see.** For logistic regression the smallest eigenvalue is positive at each of the 40 points, though it becomes tiny where the parameters are large and
every probability is near 0 or 1. For the network it is negative at each of them.

**What to conclude.** The Hessian of logistic regression is Σ p(1 − p) x xᵀ / n, a sum of squares: the loss is convex, every minimum is a global one, and
Newton's method can be trusted. It needs 8 iterations to agree with scikit-learn to 15 digits (which adds a penalty by default: C = 1; here the same one is
added). A hidden layer ends convexity.

This is a "good problem": convex, with a curvature of at most λ_max, the largest eigenvalue of ¼ Σ x xᵀ / n plus that of the penalty. If there is a minimum,
gradient descent with η < 2/λ_max converges to it from every start.

**Try next.** ``HIDDEN = 1``. ``strength = 0``: without the penalty the tumors are separable, the weights grow without end, and Newton says so.

:Slide: Deck 004, *Exercise: logistic regression is convex*; *scikit-learn regularizes by default*; *Convergence is guaranteed for good problems*
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

import nncore as nn
from nncore.second_order import ModelObjective, Newton

plt.style.use("nncore.slide")

HIDDEN, POINTS = 3, 40

X, y = load_breast_cancer(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)

# %%
# The smallest eigenvalue at random points
# ----------------------------------------

scales, rng = np.geomspace(0.03, 10, POINTS), np.random.default_rng(0)
lowest = {}
for name, layers in {
    "logistic regression": [nn.Dense(1)],
    f"{HIDDEN} hidden units": [nn.Dense(HIDDEN), nn.Tanh(), nn.Dense(1)],
}.items():
    f = ModelObjective(nn.Sequential(layers, input_shape=30, dtype="float64"), X, y, "sigmoid_cross_entropy")
    size = f.model.parameters.size
    lowest[name] = np.array([np.linalg.eigvalsh(f.hessian(scale * rng.normal(size=size)))[0] for scale in scales])
    print(
        f"{name:<20} smallest eigenvalue from {lowest[name].min():.1e} to {lowest[name].max():.1e}, negative at {(lowest[name] < 0).sum()} of {POINTS}"
    )

figure, (upper, lower) = plt.subplots(2, 1, sharex=True, figsize=(9, 4.8))
one, hidden = lowest.values()
upper.loglog(scales, one, "o", color=nn.figures.PALETTE[0])
upper.set(title="logistic regression: all positive", ylabel="smallest λ")
lower.semilogx(scales, hidden, "o", color=nn.figures.PALETTE[1])
lower.axhline(0, color="black", linewidth=1)
lower.set(title=f"{HIDDEN} hidden units: negative", ylabel="smallest λ", xlabel="standard deviation of the random parameters")
plt.show()

# %%
# Newton's method and scikit-learn
# --------------------------------
# scikit-learn minimizes C Σ l + ‖w‖²/2, nncore Σ l / n + strength ‖w‖²/2.

strength = 1e-2
theirs = LogisticRegression(C=1 / (strength * len(X)), tol=1e-12, max_iter=1000, solver="newton-cholesky").fit(X, y)
model = nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=30, dtype="float64")
history = nn.Trainer(model, "sigmoid_cross_entropy", Newton(tol=1e-12), regularizer=nn.L2(strength)).fit(
    X, y, epochs=60, batch_size=len(X), verbose=0
)
print(
    f"{len(history)} iterations, largest difference from scikit-learn's weights {np.abs(model[0].weight - theirs.coef_).max():.1e}"
)
