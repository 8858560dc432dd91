"""
Nesterov asks for the gradient where the velocity will carry it
===============================================================

Momentum: the gradient here, then the step. Nesterov: first extend by the velocity, take the gradient *there*, then add. One
formula differs: v ← μv − ηg(θ + μv).

**What you see.** Both have arrived at the dot with the same velocity (blue: μv). Momentum adds the gradient of the dot;
Nesterov the one at the point ahead, farther up the wall, where it is larger, and turns back earlier: after the step the loss is
15 in place of 22. Then the whole runs as an animation: Nesterov leaves out most of the zigzag. Last figure: with the same
constants Nesterov takes 100 steps to a thousandth of the distance, momentum 132. Each with its own best constants: Nesterov 31,
momentum 21.

**What to conclude.** At the same η and μ Nesterov damps what oscillates, and "converges better" (deck 003). It pays with a
smaller stable range, ηλ < 2(1+μ)/(1+2μ) in place of 2(1+μ), and on a quadratic the best constants of plain momentum are faster.
Nesterov's merit is a guarantee for all convex functions, which plain momentum does not have.

**Try next.** ``LR = 0.08``: which of the two diverges? The formula above knows.

:Slide: Deck 001, *Nesterov's accelerated gradient*; Deck 002, *Nesterov momentum*; Deck 003, *Nesterov momentum*; Deck 004, *Nesterov accelerated gradient*
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation

import nncore as nn

plt.style.use("nncore.slide")

LR, MU, CONDITION, STEPS = 0.03, 0.9, 20.0, 200
START = np.array([-10.0, 1.6])
BLUE, SKY, RED = nn.figures.OPTIMIZER_COLORS["Momentum"], nn.figures.OPTIMIZER_COLORS["Nesterov"], nn.figures.PALETTE[1]
f = nn.landscapes.Quadratic([1.0, CONDITION])


def arrow(ax, begin, end, color, width=2.5):
    ax.annotate(
        "", end, begin, arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": width, "shrinkA": 0, "shrinkB": 0}
    )


def contours(ax, bounds):
    (left, right), (low, high) = bounds
    x, y = np.meshgrid(np.linspace(left, right, 200), np.linspace(low, high, 100))
    ax.contour(x, y, f.value(np.stack((x, y), axis=-1)), levels=0.5 * np.linspace(0.5, 12, 8) ** 2, colors="0.85", linewidths=1)
    ax.set(aspect="equal", xlim=bounds[0], ylim=bounds[1])


# %%
# One step of each, as vectors
# ----------------------------
# Blue: μv. Red: −ηg. Black: the step, their sum.

theta, velocity = np.array([-7.0, -0.6]), np.array([1.3, -0.9])
lr = 0.05
figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
for ax, name in zip(axes, ("Momentum", "Nesterov"), strict=True):
    contours(ax, ((-7.6, -4.4), (-2.1, 0.6)))
    ahead = theta + MU * velocity
    at = theta if name == "Momentum" else ahead
    pull = -lr * f.gradient(at)
    step = MU * velocity + pull
    arrow(ax, theta, ahead, BLUE)
    arrow(ax, at, at + pull, RED)
    if name == "Momentum":
        ax.plot(*np.array([ahead, theta + step]).T, ":", color=RED)
        ax.plot(*np.array([at + pull, theta + step]).T, ":", color=BLUE)
    arrow(ax, theta, theta + step, "black", 3)
    ax.plot(*theta, "o", color="black", markersize=9)
    print(
        f"{name:<9} gradient at {at.round(2)}: {f.gradient(at).round(2)}, step {step.round(2)}, then the loss is {f.value(theta + step):.1f}"
    )
    ax.set_title(f"{name}: gradient {'here' if name == 'Momentum' else 'at the point ahead'}")
    ax.text(*(theta + 0.55 * MU * velocity + (-0.15, -0.25)), "μv", color=BLUE, size=16)
    ax.text(*(at + 0.6 * pull + (-0.45, 0)), "−ηg", color=RED, size=16)
    ax.text(*(theta + step + (0.08, 0)), "step", size=16)
plt.show()

# %%
# Extend, gradient there, add
# ---------------------------
# Three frames a step, for Nesterov; momentum runs below.

paths = {
    "Momentum": nn.Momentum(lr=LR, momentum=MU).minimize(f, START, STEPS),
    "Nesterov": nn.Nesterov(lr=LR, momentum=MU).minimize(f, START, STEPS),
}
figure, axes = plt.subplots(2, 1, figsize=(7.6, 5.6))
lines = {}
for ax, name in zip(axes, ("Nesterov", "Momentum"), strict=True):
    contours(ax, ((-11, 3), (-2.4, 2.4)))
    ax.plot(0, 0, "*", color="black", markersize=13)
    lines[name] = ax.plot([], [], "o-", color=nn.figures.OPTIMIZER_COLORS[name], markersize=4, linewidth=1.5)[0]
extend = axes[0].plot([], [], "o--", color=BLUE, markevery=[1], linewidth=2)[0]
turn = axes[0].plot([], [], color=RED, linewidth=3)[0]


def draw(frame):
    step, phase = divmod(frame, 3)
    for name, line in lines.items():
        line.set_data(*paths[name].theta[: step + 1].T)
    theta = paths["Nesterov"].theta
    ahead = theta[step] + MU * (theta[step] - theta[max(step - 1, 0)])
    extend.set_data(*np.array([theta[step], ahead]).T)
    turn.set_data(*np.array([ahead, theta[step + 1]]).T if phase else ([], []))
    if phase == 2:
        lines["Nesterov"].set_data(*theta[: step + 2].T)
        lines["Momentum"].set_data(*paths["Momentum"].theta[: step + 2].T)
    axes[0].set_title(
        f"Nesterov, step {step + 1}: {('extend by μv', 'add −η times the gradient there', 'the new point')[phase]}"
    )
    axes[1].set_title("Momentum, the same η and μ")
    return [*lines.values(), extend, turn]


draw(0)
figure.draw_without_rendering()
figure.set_layout_engine("none")  # the layout of the first frame for all
plt.rcParams.update({"savefig.dpi": 72, "animation.frame_format": "jpeg"})  # light frames: they are all in the page
animation = FuncAnimation(figure, draw, frames=48, interval=250)
plt.show()

# %%
# Which is faster?
# ----------------
# With the same constants, and each with the best for this range of eigenvalues (for Nesterov by Lessard, Recht & Packard, 2016).


def distance(optimizer):
    return np.linalg.norm(optimizer.minimize(f, START, STEPS).theta, axis=1) / np.linalg.norm(START)


root = np.sqrt(3 * CONDITION + 1)
best = {"Momentum": nn.landscapes.optimal(1, CONDITION)[:2], "Nesterov": (4 / (3 * CONDITION + 1), (root - 2) / (root + 2))}
figure, (left, right) = plt.subplots(1, 2, sharey=True)
for name, make in ("Momentum", nn.Momentum), ("Nesterov", nn.Nesterov):
    for ax, constants in (left, (LR, MU)), (right, best[name]):
        curve = distance(make(lr=constants[0], momentum=constants[1]))
        ax.semilogy(curve, color=nn.figures.OPTIMIZER_COLORS[name], label=name)
        print(
            f"{name:<9} η = {constants[0]:.3f}, μ = {constants[1]:.2f}: {nn.landscapes.steps_to(1e-3, curve):.0f} steps to a thousandth"
        )
left.set(xlabel="step", ylabel="distance / first distance", xlim=(0, 150), ylim=(1e-4, 2), title="The same η and μ: Nesterov")
right.set(xlabel="step", xlim=(0, 60), title="Each one's best: momentum")
left.legend(loc="lower left")
plt.show()
