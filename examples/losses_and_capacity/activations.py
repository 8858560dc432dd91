"""
The slope of a sigmoid is at most 1/4, that of tanh, ReLU and softplus is at most 1
===================================================================================

The four activation functions of the slide and their derivatives, for inputs from −6 to 6. The derivatives are what the backward
pass multiplies by.

**What you see.** The sigmoid is a flat S from 0 to 1; its slope is nowhere above 0.25. The tanh is the same S, twice as high
and twice as steep, around 0. Both are flat on both sides: the slope of tanh is below 0.01 from \\|z\\| = 3.0, that of the
sigmoid from \\|z\\| = 4.6. ReLU has a slope of 0 or 1. Softplus is a smooth ReLU, and its slope is a sigmoid.

**What to conclude.** In ten layers the slopes alone multiply a gradient by at most 0.25¹⁰ = 9.5 · 10⁻⁷ with sigmoids, by 1
where ReLUs are active. A unit is saturated where its slope is near 0: it does not learn. Only tanh has the mean 0 for z ~ N(0,
1); the others have 0.50, 0.40 and 0.81.

"We like one-sided saturations": a unit that is off does not pass on the noise of its input, and on its other side the slope
stays 1. Of noise of deviation 0.5 ReLU passes on 0.00 about z = −3 and 0.50 about z = 3. Tanh is flat on both sides and passes
on 0.01, of a signal as of noise; a linear unit would pass on all of both.

The second figure has relatives of the ReLU: GELU and SiLU are smooth, and their slopes reach 1.13 and 1.10; the leaky ReLU is
nowhere flat.

**Try next.** ``nn.SELU()`` or ``nn.Mish()`` in the list. Which mean has SELU for z ~ N(0, 1), and why was it made so?

:Slide: Deck 002, *Once again: nonlinearities*; deck 003, *Activation functions*; *we like one-sided saturations*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

ACTIVATIONS = {"sigmoid": nn.Sigmoid(), "tanh": nn.Tanh(), "ReLU": nn.ReLU(), "softplus": nn.Softplus()}
MODERN = {"GELU": nn.GELU(), "SiLU": nn.SiLU(), "ELU": nn.ELU(), "leaky ReLU": nn.LeakyReLU(0.1)}

# %%
# Values and derivatives
# ----------------------
# With the loss ½(h − d)² and d = h − 1 the backward pass starts with 1 (divided by the number of points), and what arrives at the input is the slope.


def value_and_slope(activation, z):
    unit = nn.Sequential([nn.Identity(), activation], input_shape=1, dtype="float64")
    h = unit.forward(z)
    return h[:, 0], len(z) * unit.deltas(z, h - 1, "squared_error")["input"][:, 0]


def draw(activations):
    axes = plt.subplots(1, 2, figsize=(9.6, 4.2))[1]
    z, normal = np.linspace(-6, 6, 1201)[:, None], np.random.default_rng(0).normal(size=(10**5, 1))
    for (name, activation), color in zip(activations.items(), nn.figures.PALETTE):
        h, slope = value_and_slope(activation, z)
        for ax, values in zip(axes, (h, slope)):
            ax.plot(z[:, 0], values, color=color, label=name)
        print(
            f"{name:<10} slope from {slope.min():.2f} to {slope.max():.2f}; below 0.01 on {np.mean(np.abs(slope) < 0.01):.0%} of [−6, 6]; "
            f"mean for z ~ N(0, 1): {value_and_slope(activation, normal)[0].mean():.2f}"
        )
    axes[0].set(title="Activation h(z)", xlabel="z", xticks=range(-6, 7, 2), ylim=(-1.3, 3.2))
    axes[1].set(title="Its derivative h′(z)", xlabel="z", xticks=range(-6, 7, 2), ylim=(-0.2, 1.2))
    return axes


left, right = draw(ACTIVATIONS)
noise = 0.5 * np.random.default_rng(1).normal(size=(10**5, 1))
for name, activation in ACTIVATIONS.items():
    low, high = (value_and_slope(activation, side + noise)[0].std() for side in (-3, 3))
    print(f"{name:<10} of noise of deviation 0.5 about z = −3 and z = 3 it passes on {low:.2f} and {high:.2f}")
for name, x, y, color in zip(ACTIVATIONS, (3.5, -5.8, 3.1, 0.1), (0.6, -0.85, 2.4, 1.6), nn.figures.PALETTE):
    left.text(x, y, name, color=color, ha="right" if name == "softplus" else "left")
for name, x, y, color in zip(ACTIVATIONS, (-3.9, -2.2, 2.6, 2.2), (0.15, 0.5, 1.05, 0.75), nn.figures.PALETTE):
    right.text(x, y, name, color=color)
right.axhline(0.25, color="0.5", linewidth=1, linestyle=":")
right.text(-5.9, 0.27, "¼", color="0.4")
plt.show()

# %%
# Relatives of the ReLU
# ---------------------

left, right = draw(MODERN)
nn.figures.label_ends(right)
plt.show()
