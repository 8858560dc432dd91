"""
Newton does not see the units, SGD does
=======================================

The same problem, its parameters once measured in meters, once in decimeters, once in decameters: θ′ = cθ. The gradient is then
g/c, the Hessian H/c². An optimizer with consistent units takes the same path.

**What you see.** Rosenbrock's function (b = 10) in three units. Newton's three curves are one: θ − H⁻¹g has the units of θ.
SGD's step ηg has those of 1/θ: in meters it is at 0.01 after 793 steps, in decimeters it has hardly moved after 1500, in
decameters it diverges after 5. AdaDelta multiplies by its own steps and divides by gradients, so its units are right, but for
ε: with ε in the unit of the square of a step the three curves are one until gradients are about as small as √ε; with the number
10⁻⁸ in all units they are not. There, in decameters, ε is so large that the steps grow, and the loss rises again.

**What to conclude.** The unit of a gradient is 1/meter if the function has none. A learning rate without a unit hides one,
meter². Whoever scales the data changes the units of the weights, and with them the best learning rate of SGD. Adam's and
RMSprop's η has the unit of θ itself.

**Try next.** ``SHEAR``: Newton's path is the same in *any* linear coordinates. Change the matrix.

:Slide: Deck 004, *Units of measurements*; *Adadelta method*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn
from nncore.second_order import Newton

plt.style.use("nncore.slide")

UNITS = {"meters": 1.0, "decimeters": 10.0, "decameters": 0.1}
STEPS, SHEAR = 3000, np.array([[3.0, 1.0], [-0.5, 0.2]])
f = nn.landscapes.Rosenbrock(b=10.0)

# %%
# A function in other units
# -------------------------


class InUnits:
    """f of θ, given θ′ = Aθ: the gradient is A⁻ᵀ g, the Hessian A⁻ᵀ H A⁻¹."""

    def __init__(self, a):
        self.inverse, self.start = np.linalg.inv(a), a @ f.start

    def value_and_gradient(self, theta):
        value, gradient = f.value_and_gradient(self.inverse @ theta)
        return value, self.inverse.T @ gradient

    def hessian(self, theta):
        return self.inverse.T @ f.hessian(self.inverse @ theta) @ self.inverse


def losses(optimizer, a, steps):
    problem = InUnits(a)
    try:
        with np.errstate(all="ignore"):  # SGD diverges
            return optimizer.minimize(problem, problem.start, steps).loss
    except nn.DivergenceError as error:
        return error.path.loss


# %%
# The loss over the steps
# -----------------------

runs = {
    "Newton: one curve": (lambda c: Newton(tol=0.0), 8),
    "SGD, η = 0.005": (lambda c: nn.SGD(lr=5e-3), 1500),
    "AdaDelta, ε = 10⁻⁸ c²": (lambda c: nn.AdaDelta(lr=1.0, eps=1e-8 * c**2), STEPS),
    "AdaDelta, ε = 10⁻⁸": (lambda c: nn.AdaDelta(lr=1.0, eps=1e-8), STEPS),
}
figure, axes = plt.subplots(1, 4, figsize=(14, 4.2), sharey=True)
for ax, (name, (make, steps)) in zip(axes, runs.items(), strict=True):
    for i, (unit, c) in enumerate(UNITS.items()):
        loss = losses(make(c), c * np.eye(2), steps)
        ax.semilogy(loss, linewidth=7 - 2.5 * i, color=nn.figures.PALETTE[i], label=unit)
        reached = nn.landscapes.steps_to(1e-2, loss)
        end = f", diverges after {len(loss)} steps" if len(loss) <= steps else f", at the end {loss[-1]:.2g}"
        print(f"{name:<22} in {unit:<11} loss below 0.01 after {reached:.0f} steps{end}")
        if len(loss) <= steps:
            ax.text(0.1 * steps, 2e3, f"{unit}: diverges", color=nn.figures.PALETTE[i])
    ax.set(xlabel="step", ylim=(1e-6, 1e5))
    ax.set_title(name, fontsize=13)
axes[0].semilogy(losses(Newton(tol=0.0), SHEAR, 8), "k:", linewidth=2)
axes[0].text(0.5, 3e-6, "dotted: sheared", fontsize=11)
axes[0].set_ylabel("loss")
axes[0].legend(loc="upper right", fontsize=11)
plt.show()
