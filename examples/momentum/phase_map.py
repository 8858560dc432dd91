"""
Momentum on a quadratic has five regimes, and runs follow the map exactly
=========================================================================

Along one eigenvector of a quadratic, with eigenvalue λ, a step of momentum is a linear map of (v, x). Its two eigenvalues
depend on ηλ and μ alone, and tell everything: how fast x goes to zero, and how.

**What you see.** The color of the map is the predicted rate, the factor by which the error shrinks per step: blue below 1, red
above. Forty small runs of `nn.Momentum` are drawn in the color of their *measured* rate: they vanish in the map, theory holds.
Five larger ones have their path beside it. In the animation a point moves through all regimes.

**What to conclude.** Between the two curves (1 ∓ √μ)² = ηλ x ripples, and the rate is √μ whatever η is. Momentum widens the
range of good η, and slows down what would have converged in one step. For a given ηλ < 1 the fastest μ lies on the left curve,
(1 − √(ηλ))², where ripples are about to begin.

**Try next.** Move the slider to the first frame in which the run crosses zero. Which border has the point passed?

:Slide: Deck 004, *Phase space along a single eigenvector* (Goh, Distill 2017)
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation

import nncore as nn
from nncore.landscapes import REGIMES, convergence_rate, measured_rate, regime

plt.style.use("nncore.slide")

FRAMES, SHOWN = 55, 30  # frames, and steps of the run

# %%
# The map, and a run in each regime
# ---------------------------------

nn.landscapes.plot_regimes()
plt.show()

for eta_lambda, mu in (0.12, 0.2), (0.5, 0.85), (1.0, 0.0), (2.15, 0.15), (3.05, 0.5):
    predicted, measured = convergence_rate(eta_lambda, mu), measured_rate(1.0, eta_lambda, mu)
    print(
        f"ηλ = {eta_lambda:<4} μ = {mu:<4} {regime(eta_lambda, mu):<11} predicted rate {predicted:.3f}, measured {measured:.3f}"
    )

# %%
# A point that moves through the map
# ----------------------------------
# Left: the point. Right: x in a run from x = 1 with the constants of the point.

corners = np.array([(0.05, 0.2), (1.0, 0.0), (2.3, 0.2), (2.0, 0.55), (0.5, 0.9), (3.7, 0.8)])
along = np.linspace(0, len(corners) - 1, FRAMES)
points = np.column_stack([np.interp(along, np.arange(len(corners)), column) for column in corners.T])
points[np.abs(points - (1, 0)).sum(axis=1).argmin()] = 1, 0

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4))
a, mu = np.meshgrid(np.linspace(1e-6, 4, 200), np.linspace(0, 1, 100))
left.imshow(convergence_rate(a, mu), extent=(0, 4, 0, 1), origin="lower", aspect="auto", cmap="RdBu_r", vmin=0, vmax=2)
left.grid(False)
m = np.linspace(0, 1, 100)
for border in ((1 - np.sqrt(m)) ** 2, (1 + np.sqrt(m)) ** 2, 2 * (1 + m)):
    left.plot(border, m, color="black", linewidth=1)
for name, at in zip(REGIMES, ((0.03, 0.06), (1.2, 0.75), (0.7, 0.2), (1.55, 0.04), (3.0, 0.3)), strict=True):
    left.text(*at, name, fontsize=10, bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1})
left.plot(*points.T, color="black", linewidth=0.8, linestyle=":")
left.set(xlim=(0, 4), ylim=(0, 1), xlabel="ηλ", ylabel="momentum μ")
dot = left.plot(*points[:1].T, "o", color="#F0E442", markersize=13, markeredgecolor="black")[0]
run = right.plot([], [], "o-", color=nn.figures.OPTIMIZER_COLORS["Momentum"], markersize=4)[0]
right.axhline(0, color="0.5", linewidth=1)
right.set(xlim=(0, SHOWN), ylim=(-2.2, 2.2), xlabel="step", ylabel="x")
f = nn.landscapes.Quadratic([1.0])


def draw(frame):
    eta_lambda, mu = points[frame]
    dot.set_data([eta_lambda], [mu])
    run.set_data(np.arange(SHOWN + 1), nn.Momentum(lr=eta_lambda, momentum=mu).minimize(f, [1.0], SHOWN).theta[:, 0])
    left.set_title(f"ηλ = {eta_lambda:.2f}, μ = {mu:.2f}")
    right.set_title(f"{regime(eta_lambda, mu)}: rate {convergence_rate(eta_lambda, mu):.2f}")
    return dot, run


draw(0)
figure.draw_without_rendering()
figure.set_layout_engine("none")  # the layout of the first frame for all
plt.rcParams.update({"savefig.dpi": 72, "animation.frame_format": "jpeg"})  # light frames: they are all in the page
animation = FuncAnimation(figure, draw, frames=FRAMES, interval=200)
plt.show()
