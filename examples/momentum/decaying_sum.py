"""
Noise cancels in the velocity, as in a batch 19 times as large
==============================================================

v ← μv − ηg, written out, is v = −η(gₜ + μ gₜ₋₁ + μ² gₜ₋₂ + …). The example prints both sides, then compares the
gradients of mini-batches with the velocity, at fixed parameters and at work.

**What you see.** Left: the weights of the past gradients; with μ = 0.9 they add up to 10, with 0.5 to 2. Middle: one component
of the gradients of mini-batches of 16 digits, and of the velocity divided by the sum of its weights. Its spread is 0.23 of
theirs, as for batches 19 times as large. Right: near the minimum of a quadratic with noisy gradients, the parameter itself
trembles as much with momentum as without, at the same effective rate η/(1 − μ).

**What to conclude.** Both are true: the *direction* is much less noisy, by √((1−μ)/(1+μ)); and the steps are 1/(1−μ) times as
long, which brings the noise back: the trembling about the minimum is that of SGD with the rate η/(1−μ). Momentum is no
substitute for a falling learning rate.

**Try next.** ``MU = 0.99``: a batch 199 times as large, and a velocity that lags by about 100 steps.

:Slide: Deck 001, *Momentum smooths out the variations*; Deck 004, *Exponentially decaying running average*; *Momentum: why it works*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

MU, BATCH, STEPS = 0.9, 16, 1500

# %%
# Two ways to compute the velocity
# --------------------------------

gradients = np.array([1.0, 1.0, -2.0, 1.0, 3.0])
optimizer, theta = nn.Momentum(lr=1.0, momentum=0.5), np.zeros(1)
for t, g in enumerate(gradients):
    optimizer.step(theta, np.array([g]))
    terms = " ".join(f"{-w * past:+.4g}" for w, past in zip(0.5 ** np.arange(t + 1), gradients[t::-1], strict=True))
    print(f"step {t + 1}: g = {g:+.0f}, v = 0.5 v − g = {optimizer.state['v'][0]:+.4f} = {terms}")

# %%
# Gradients of mini-batches at fixed parameters
# ---------------------------------------------

X, y = nn.data.load_digits()
model = nn.Sequential([nn.Dense(10)], input_shape=64, seed=0, dtype="float64")
nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=0.1)).fit(X, y, epochs=2, verbose=0)
rng = np.random.default_rng(0)


def noisy(rows, steps):
    """One component of the gradient of mini-batches, at the parameters of the model."""
    batches = rng.integers(0, len(X), (steps, rows))
    return np.array([model.loss_and_gradient(X[batch], y[batch], "softmax_cross_entropy")[1][300] for batch in batches])


singles = noisy(BATCH, STEPS)
larger = noisy(round(BATCH * (1 + MU) / (1 - MU)), STEPS)
velocity = np.zeros(STEPS)
for t in range(STEPS):
    velocity[t] = MU * velocity[t - 1] + (1 - MU) * singles[t]
late = velocity[100:]
print(f"spread of the gradients of {BATCH}: {singles.std():.4f}, of {BATCH * (1 + MU) / (1 - MU):.0f}: {larger.std():.4f}")
print(f"of the velocity: {late.std():.4f}, {late.std() / singles.std():.2f} times; theory {np.sqrt((1 - MU) / (1 + MU)):.2f}")

# %%
# At work: the trembling about a minimum
# --------------------------------------
# f(x) = x²/2, and gradients with noise of standard deviation 1.


def trembling(optimizer):
    """The spread of x, from 200 runs at once: each coordinate is one."""
    noise = np.random.default_rng(1)
    path = optimizer.minimize(lambda x: (0.0, x + noise.normal(size=200)), np.zeros(200), STEPS).theta
    return path[STEPS // 2 :].std()


rates = np.geomspace(0.01, 0.3, 6)
spreads = {
    "SGD, rate η": [trembling(nn.SGD(lr=r)) for r in rates],
    "momentum, η/(1−μ)": [trembling(nn.Momentum(lr=r * (1 - MU), momentum=MU)) for r in rates],
}
for name, spread in spreads.items():
    print(f"{name:<18}", *(f"{r:.3f}: {x:.3f}" for r, x in zip(rates, spread, strict=True)))

# %%
# Weights, gradients, trembling
# -----------------------------

gray, blue = nn.figures.OPTIMIZER_COLORS["SGD"], nn.figures.OPTIMIZER_COLORS["Momentum"]
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 4.2), width_ratios=[1, 1.3, 1])
ages = np.arange(25)
left.bar(ages, 0.9**ages, color=blue)
left.bar(ages, 0.5**ages, color=nn.figures.PALETTE[1], width=0.4)
left.text(9, 0.45, "μ = 0.9: sum 10", color=blue)
left.text(2.5, 0.8, "μ = 0.5: sum 2", color=nn.figures.PALETTE[1])
left.set(xlabel="age of the gradient in steps", ylabel="weight μⁱ", title="Weights in the sum")
middle.plot(singles[100:300], color="0.65", linewidth=1, label=f"gradients of {BATCH}")
middle.plot(velocity[100:300], color=blue, linewidth=2.5, label="velocity · (1−μ)")
middle.axhline(singles.mean(), color="black", linestyle=":", linewidth=1)
middle.set(xlabel="step", title="One component: the noise cancels", ylabel="∂l/∂w", ylim=(-0.2, 0.12))
middle.legend(loc="upper right")
right.loglog(rates, spreads["SGD, rate η"], "o", color=gray, markersize=10, label="SGD")
right.loglog(rates, spreads["momentum, η/(1−μ)"], "-", color=blue, label="momentum")
right.set(xlabel="effective rate η/(1−μ)", ylabel="spread of x", title="… but x trembles alike")
right.legend(loc="upper left")
plt.show()
