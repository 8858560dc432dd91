"""
Newton's method climbs to a saddle; damping and \\|H\\| lead down from it
=========================================================================

Near a saddle the Hessian has a negative eigenvalue. Newton's step θ − H⁻¹g solves ∇f = 0 and does not ask whether that is a minimum.

**What you see.** On the left, red is high and blue is low. Newton's single step ends on the saddle itself: along the negative eigenvalue it has gone *up*.
With the damping H + αI, α larger than the negative eigenvalue, and with \\|H\\|, which has the same eigenvectors and the absolute values of the eigenvalues, the
step goes down and away. On the right, in a valley with a minimum (star), one damped step for every α: with α = 0 it is Newton's step, with a large α it is a short step along
the negative gradient.

**What to conclude.** Newton's method needs positive curvature. Damping makes it safe, and blends it into gradient descent: θ − (H + αI)⁻¹g ≈ θ − g/α. Without
``allow_indefinite=True`` `Newton` refuses an indefinite Hessian and says so.

**Try next.** ``DAMPING = 1``: less than the negative eigenvalue, −2, in size: the step goes the wrong way again.

:Slide: Deck 003, *Newton's method: problems: saddle points, negative eigenvalues, damping H + αI*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn
from nncore.second_order import DampedNewton, ModifiedNewton, Newton

plt.style.use("nncore.slide")

DAMPING = 6.0

# %%
# Three ways to step near a saddle
# --------------------------------

saddle, start = nn.landscapes.Saddle(), np.array([0.5, 0.7])
print("eigenvalues of H:", np.linalg.eigvalsh(saddle.hessian(start)))
paths = {
    "Newton": Newton(allow_indefinite=True).minimize(saddle, start, 1),
    f"DampedNewton, α = {DAMPING:g}": DampedNewton(damping=DAMPING).minimize(saddle, start, 3),
    "ModifiedNewton, |H|": ModifiedNewton().minimize(saddle, start, 1),
}
for name, path in paths.items():
    print(f"{name:<22} loss after each step: {np.round(path.loss, 3)}")

# %%
# From Newton's step to a gradient step
# -------------------------------------

valley = nn.landscapes.Quadratic(condition=30.0, rotation=0.5)
alphas = [0.0, *np.geomspace(1e-2, 1e4, 200)]
ends = np.array([DampedNewton(damping=alpha).minimize(valley, valley.start, 1).theta[1] for alpha in alphas])

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8))
nn.landscapes.plot_trajectories(saddle, paths, ax=left, bounds=[(-0.6, 1.1), (-0.2, 1.5)], title="Newton ends on the saddle")
left.get_legend().remove()
for text, at, name in (
    ("Newton", (0.1, 0.03), "Newton"),
    ("damped", (0.42, 1.05), "DampedNewton"),
    ("on |H|", (-0.15, 1.1), "ModifiedNewton"),
):
    left.text(*at, text, color=nn.figures.OPTIMIZER_COLORS[name], weight="bold")
nn.landscapes.plot_trajectories(
    valley, {"all α": ends[::-1]}, ax=right, bounds=[(-0.4, 1.1), (-0.2, 1.5)], title="One step, for every damping α"
)
right.get_legend().remove()
for alpha in 0, 1, 5, 30, 200:
    point = DampedNewton(damping=alpha).minimize(valley, valley.start, 1).theta[1]
    right.plot(*point, "o", color="black", markersize=5, zorder=6)
    right.annotate(f"α = {alpha}", point, xytext=(8, -4), textcoords="offset points", zorder=7)
downhill = -valley.gradient(valley.start)
right.annotate(
    "",
    valley.start + 0.5 * downhill / np.linalg.norm(downhill),
    valley.start,
    arrowprops={"arrowstyle": "->", "linewidth": 2, "color": "#D55E00"},
)
right.text(
    *(np.array([-0.13, 0]) + valley.start + 0.52 * downhill / np.linalg.norm(downhill)), " −g", color="#D55E00", va="top"
)
plt.show()
