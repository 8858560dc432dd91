"""
Momentum takes √κ steps where gradient descent takes κ; with μ = 0.9 only η is left to tune
===========================================================================================

The condition number κ = λₙ/λ₁ says how many times steeper the steepest direction is than the flattest. Both methods with the
constants that are best for the range of the eigenvalues, in theory (lines) and measured (dots). Then the advice for the case
that nobody knows the eigenvalues: μ = 0.9, and a search over η.

**What you see.** Left: steps for a factor of ten. At κ = 1000 gradient descent needs 1151 of them, momentum 37. Middle: a
quadratic with 100 eigenvalues from 1 to 100, where μ = 0.67 is optimal. With the optimum (star) it takes 46 steps; with 0.9 it
takes 125 for any η from 0.003 to 0.03; without momentum 255, at one η only; 0.99 takes more than 700. Right: the same search for a network on digits.

**What to conclude.** A momentum of 0.9 is optimal for κ ≈ 1440. For smaller κ it costs something, but its rate is √μ over a
wide range of η: "set the momentum high, then tune η" is good advice. Each μ has its own best η: tune η *after* μ. On the
network 0.9 is best too, 0.075 against 0.117 without momentum; 0.99 is too much for five epochs.

**Try next.** ``KAPPA = 10``: is 0.9 still good? (``nn.landscapes.optimal(1, 10)``)

:Slide: Deck 004, *Momentum: multiple eigenvalues* (Goh, Distill 2017)
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn
from nncore.landscapes import measured_rate, optimal

plt.style.use("nncore.slide")

KAPPA, KAPPAS = 100.0, (2, 5, 10, 30, 100, 300, 1000)
RATES, STEPS = np.geomspace(3e-4, 0.1, 26), 700
NETWORK_RATES, EPOCHS, SEEDS = np.geomspace(1e-3, 2, 9), 5, 3
MOMENTA = {0.0: "0.45", 0.5: nn.figures.PALETTE[2], 0.9: nn.figures.PALETTE[0], 0.99: nn.figures.PALETTE[1]}

# %%
# Steps for a factor of ten
# -------------------------

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.4))
range_of_kappa = np.geomspace(1.5, 1000, 100)
for momentum, name, x, y in (False, "SGD", 3.5, 80), (True, "Momentum", 50, 3):
    color = nn.figures.OPTIMIZER_COLORS[name]
    theory = [np.log(0.1) / np.log(optimal(1, kappa, momentum).rate) for kappa in range_of_kappa]
    found = []
    for kappa in KAPPAS:
        best = optimal(1, kappa, momentum)
        found.append(np.log(0.1) / np.log(measured_rate(np.geomspace(1, kappa, 5), best.lr, best.momentum, steps=2000)))
    print(f"{name:<8} measured steps for a factor of ten:", *(f"κ = {k}: {s:.0f}" for k, s in zip(KAPPAS, found, strict=True)))
    left.loglog(range_of_kappa, theory, color=color)
    left.loglog(KAPPAS, found, "o", color=color, markersize=7)
    left.text(x, y, "SGD: ∝ κ" if name == "SGD" else "momentum: ∝ √κ", color=color)
left.set(xlabel="condition number κ", ylabel="steps for a factor of ten", title="κ against √κ")

# A momentum, then η.
# Steps to a thousandth of the distance, for every η.

f = nn.landscapes.Quadratic(np.geomspace(1, KAPPA, 100))
best = optimal(1, KAPPA)


def steps(lr, momentum):
    try:
        path = nn.Momentum(lr=lr, momentum=momentum).minimize(f, f.start, STEPS).theta
    except nn.DivergenceError:
        return np.inf
    return float(nn.landscapes.steps_to(1e-3, np.linalg.norm(path, axis=1) / np.linalg.norm(f.start)))


print(f"optimal: η = {best.lr:.4f}, μ = {best.momentum:.2f}: {steps(best.lr, best.momentum):.0f} steps")
for momentum, color in MOMENTA.items():
    needed = np.array([steps(lr, momentum) for lr in RATES])
    middle.loglog(RATES, needed, color=color, label=f"μ = {momentum:g}")
    print(f"μ = {momentum:<4} best η {RATES[needed.argmin()]:.4f}: {needed.min():.0f} steps")
middle.plot(best.lr, steps(best.lr, best.momentum), "*", color="black", markersize=15)
middle.set(ylim=(30, 800), xlabel="η", ylabel="steps to a thousandth", title="100 eigenvalues (star: optimum)")
middle.legend(loc="lower left")
middle.set_yticks([50, 100, 200, 500], ["50", "100", "200", "500"])
middle.minorticks_off()

# The same for a network.

X, y = nn.data.load_digits()
lrs = np.repeat(NETWORK_RATES, SEEDS)
for momentum, color in MOMENTA.items():
    models = [nn.Sequential([nn.Dense(32), nn.ReLU(), nn.Dense(10)], input_shape=64, seed=s % SEEDS) for s in range(len(lrs))]
    trainer = nn.EnsembleTrainer(nn.Ensemble(models), "softmax_cross_entropy", nn.Momentum(lr=nn.Each(lrs), momentum=momentum))
    trainer.fit(X, y, epochs=EPOCHS, exact_loss=True, verbose=0)
    final = np.median(trainer.history.last("loss").reshape(-1, SEEDS), axis=1)
    right.loglog(NETWORK_RATES, np.where(final < 3, final, np.nan), color=color)
    print(f"digits, μ = {momentum:<4} best η {NETWORK_RATES[np.nanargmin(final)]:.4f}: loss {np.nanmin(final):.4f}")
right.set(xlabel="η", ylabel=f"training loss after {EPOCHS} epochs", title="A network: each μ has its η")
plt.show()
