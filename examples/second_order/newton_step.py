"""
One Newton step ends at the minimum of a quadratic
==================================================

A quadratic function of two parameters, thirty times steeper in one direction than in the other, and four methods that use its curvature to different
degrees, from the same start.

**What you see.** Gradient descent needs 139 steps: each goes straight downhill, which is not where the minimum lies. Newton's method takes one step,
θ − H⁻¹g, and is there. Conjugate gradients (5 steps) and BFGS (7 steps) have only gradients: they find out about the curvature on the way.

**What to conclude.** The gradient says which way is down, the Hessian how far to go in each direction. On a quadratic Newton's step is exact, whatever the
ratio of the curvatures. Quasi-Newton and Krylov methods come close without forming a Hessian. Conjugate gradients combine the
gradient with the last direction, as momentum does (:doc:`/gallery/momentum/ravine`).

**Try next.** ``CONDITION = 1000``: gradient descent gives up, Newton still takes one step. ``nn.landscapes.Rosenbrock()``: not a quadratic, so that Newton
needs several steps.

:Slide: Deck 003, *Newton's method*; deck 004, *Second-order methods: quasi-Newton, conjugate gradients, Krylov*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn
from nncore.second_order import BFGS, Newton, NonlinearCG

plt.style.use("nncore.slide")

CONDITION, TOLERANCE = 30.0, 1e-8

# %%
# Steps to the minimum
# --------------------
# Gradient descent has the best constant rate, 2/(λ₁ + λ₂).

f = nn.landscapes.Quadratic(condition=CONDITION, rotation=0.5)
curvatures = np.linalg.eigvalsh(f.hessian(f.start))
paths = {
    "SGD": nn.SGD(lr=2 / curvatures.sum()).minimize(f, f.start, 2000),
    "BFGS": BFGS().minimize(f, f.start, 50),
    "NonlinearCG": NonlinearCG().minimize(f, f.start, 50),
    "Newton": Newton().minimize(f, f.start, 1),
}
steps = {name: int(np.argmax(path.loss < TOLERANCE * path.loss[0])) for name, path in paths.items()}
for name, count in steps.items():
    print(f"{name:<12} {count:4} steps to a loss of {TOLERANCE:g} times the first one")

# %%
# The paths
# ---------

figure, axes = plt.subplots(1, 4, figsize=(12, 4), sharey=True, layout="compressed")
for ax, (name, path) in zip(axes, paths.items()):
    nn.landscapes.plot_trajectories(f, {name: path}, ax=ax, bounds=[(-1.1, 1.3), (-1.1, 1.6)])
    ax.get_legend().remove()
    plural = "" if steps[name] == 1 else "s"
    ax.set_title(f"{name}: {steps[name]} step{plural}", color=nn.figures.OPTIMIZER_COLORS[name])
    ax.set(ylabel="θ₂" if ax is axes[0] else "")
plt.show()
