"""
The root matters: without it steps grow as gradients shrink
===========================================================

A deck prints AdaGrad, RMSProp and Adam as x ← x − αg/(cache + ε), cache the mean (or sum) of g²; it must be √cache. Here
RMSprop and AdaGrad with the root and without it.

**What you see.** Left: the step of RMSprop for a constant gradient g. With the root it is η = 0.01 for any g; without, η/g: a
gradient of 0.001 gives a step of 9.9. Middle: x²/2 from x = 1. With the root x arrives and stays within 0.02 of the minimum.
Without, it arrives too; but there gradients are tiny, steps become huge, and x is thrown out, again and again, by up to 0.45.
Right: a loss multiplied by 1, 100 and 0.01. With the root the three paths are one; without, x is at 1.3, 0.01 and 9.2 after 100
steps. AdaGrad without the root (printed) does not overshoot here, it stops: x = 0.93 after 400 steps, with the root 0.64.

**What to conclude.** g/√(mean of g²) has no unit: the size of the loss cancels. g/(mean of g²) has the unit 1/gradient, and is
largest where the gradient is smallest, at the minimum. The exponent is no detail: one half is the only one that normalizes the
magnitude.

**Try next.** ``np.cbrt`` in place of the root: in between. What happens to the right panel?

:Slide: Deck 002, *Adagrad: SGD with cache*; *RMSProp: SGD with cache with exp. smoothing*; *Adam* (the root is left out on all three)
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

LR, ALPHA, EPS, STEPS = 0.01, 0.9, 1e-8, 400
GREEN, RED = nn.figures.OPTIMIZER_COLORS["RMSprop"], nn.figures.PALETTE[1]

# %%
# As printed
# ----------


def without_root(gradient, x, lr=LR, decay=ALPHA, share=1 - ALPHA):
    """RMSprop as the deck prints it; decay = share = 1 is AdaGrad."""
    path, cache = [x], 0.0
    for _ in range(STEPS):
        g = gradient(x)
        cache = decay * cache + share * g**2
        x = x - lr * g / (cache + EPS)
        path.append(x)
    return np.array(path)


def with_root(gradient, x):
    return nn.RMSprop(lr=LR, alpha=ALPHA, eps=EPS).minimize(lambda x: (0.0, gradient(x)), [x], STEPS).theta[:, 0]


figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.4))
sizes = np.geomspace(1e-3, 1e3, 13)
for name, rule, color in ("with the root", with_root, GREEN), ("without", without_root, RED):
    steps = [-np.diff(rule(lambda x, g=g: 0 * x + g, 0.0))[-1] for g in sizes]
    print(f"{name:<14} steps for gradients of 0.001, 1, 1000: {steps[0]:.4g}, {steps[6]:.4g}, {steps[12]:.4g}")
    left.loglog(sizes, steps, color=color)
left.text(2e-3, 3e-3, "with the root: η", color=GREEN)
left.text(5e-3, 3, "without: η/g", color=RED)
left.set(xlabel="size of the gradient", ylabel="length of the step", title="A step for a constant gradient")

# A quadratic.
# f(x) = x²/2 from x = 1: the gradient becomes small.

for name, rule, color in ("without", without_root, RED), ("with the root", with_root, GREEN):
    path = rule(lambda x: x, 1.0)
    print(f"{name:<14} largest |x| in the second half: {np.abs(path[STEPS // 2 :]).max():.3f}")
    middle.plot(path, color=color, linewidth=1.5, label=name)
ada = without_root(lambda x: x, 1.0, decay=1.0, share=1.0)
print(
    f"AdaGrad without the root: |x| = {abs(ada[-1]):.3f} after {STEPS} steps; with: {abs(nn.AdaGrad(lr=LR).minimize(lambda x: (0.0, x), [1.0], STEPS).theta[-1, 0]):.3f}"
)
middle.set(xlabel="step", ylabel="x (minimum at 0)", title="x²/2: thrown out of the minimum")
middle.legend(loc="upper right")

# The loss times a constant.

for scale, line in (1.0, "-"), (100.0, "--"), (0.01, ":"):
    for rule, color in (with_root, GREEN), (without_root, RED):
        path = rule(lambda x, c=scale: c * np.tanh(x - 10), 0.0)
        right.plot(path, line, color=color, linewidth=2 if scale == 1 else 3)
        print(f"loss times {scale:g}, {'with' if color == GREEN else 'without'}: x = {path[100]:.3g} after 100 steps")
right.text(250, 1.2, "with: all three", color=GREEN)
right.text(120, 8, "without: × 0.01", color=RED)
right.text(190, 4.3, "× 1", color=RED)
right.text(330, 0.35, "× 100", color=RED)
right.set(xlabel="step", ylabel="x", title="The loss times 1, 100, 0.01", ylim=(-0.6, 13))
plt.show()
