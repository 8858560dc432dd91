"""
One step on a cliff throws a run far away; clipping the gradient prevents it
============================================================================

A recurrent unit, h ← tanh(x + wh + b), reads a +1 or a −1 and then 13 zeros, and shall still say 0.8 or −0.8 in the end. Its loss, as a function of w and b, has
two flat levels with a cliff between: below it the unit remembers, above it has forgotten. SGD starts on the upper level, with the learning rate 0.1.

**What you see.** Both runs creep over the upper level until they step onto the cliff, where the gradient is 116 instead of less than 1. Not clipped, that one step
leads out of the picture, to b = −10.7, and the run never returns. Clipped at 5, the step is half a unit long and ends in the valley. From 18 starts, 22 % of the
runs reach the valley without clipping, 67 % with the norm clipped at 5 and all with the norm clipped at 1.

**What to conclude.** A gradient gives a direction, and a length that holds only nearby; on a cliff nearby is very near. Clipping keeps the direction and limits
the length. The right θ depends on the problem: 5 is typical, 1 is better here, and `Trainer` reports how often it acted (``clipped``, ``grad_norm``). The
slide's rule, *if ∂D > θ then ∂D = θ*, clips only from above and lets large negative derivatives pass: 44 %. It has to be ±θ, as in `nn.ClipValue`: 78 %.

**Try next.** Set ``LENGTH = 8``, then 30: how steep does the cliff become? Set ``LR = 0.01``: are small steps enough?

:Slide: Deck 003, *Cliffs and exploding gradients*; deck 001, *Additional heuristics: Gradient clipping*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

LENGTH, LR, STEPS = 14, 0.1, 600
START, LIMIT = [2.5, 0.85], 5.0
STARTS = [(w, sign * b) for w in (1.5, 2.0, 2.5) for b in (0.7, 0.85, 1.0) for sign in (1, -1)]
GRID = 81

# %%
# The loss of a unit that has to remember
# ---------------------------------------
# Two sequences, +1, 0, 0, … and −1, 0, 0, …; the input's weight stays 1.

X = np.zeros((2, LENGTH, 1))
X[:, 0, 0] = [1, -1]
y = np.array([[0.8], [-0.8]])
model = nn.Sequential([nn.SimpleRNN(1)], input_shape=(LENGTH, 1), dtype="float64")


def loss(x):
    """The loss at (w, b), and its gradient."""
    model.parameters[...] = [1.0, *x]
    value, gradient = model.loss_and_gradient(X, y, "squared_error")
    return value, gradient[1:].copy()


def run(start, clip=None, function=loss):
    try:
        return nn.landscapes.record(nn.SGD(lr=LR), function, start, STEPS, clip=clip)
    except nn.DivergenceError as error:
        return error.path


# %%
# The cliff, and two runs
# -----------------------

w, b = np.linspace(0, 3.5, GRID), np.linspace(-1.5, 1.5, GRID)
surface = np.array([[loss([p, q])[0] for p in w] for q in b])
runs = {"not clipped": run(START), f"clipped at {LIMIT:g}": run(START, nn.ClipGlobalNorm(LIMIT))}
figure = plt.figure()
ax = figure.add_subplot(1, 2, 1, projection="3d")
ax.plot_surface(*np.meshgrid(w, b), surface, cmap="viridis", rcount=GRID, ccount=GRID)
ax.view_init(35, -120)
ax.set(xlabel="w", ylabel="b", zticks=[0, 0.4, 0.8], title="The loss: a valley behind cliffs")
ax = figure.add_subplot(1, 2, 2)
ax.contourf(w, b, surface, 20, cmap="Greys_r", alpha=0.6)
for (name, path), color in zip(runs.items(), nn.figures.PALETTE[1::-1], strict=True):
    norms = np.linalg.norm(path.gradient, axis=1)
    print(
        f"{name}: largest gradient {norms.max():.0f} in step {norms.argmax()}, farthest |b| {abs(path.theta[:, 1]).max():.1f}"
    )
    print(f"    loss in the end {path.loss[-1]:.4f}")
    ax.plot(*path.theta.T, "o-", color=color, markersize=3, linewidth=1.5, label=f"{name}: loss {path.loss[-1]:.2f}")
ax.plot(*START, "o", markersize=9, color="white", markeredgecolor="black")
ax.set(xlim=(0, 3.5), ylim=(-1.5, 1.5), xlabel="w", ylabel="b", title="The same from above")
ax.grid(False)
ax.legend(loc="lower left", frameon=True)
plt.show()

# %%
# From 18 starts, with five ways to clip
# --------------------------------------
# The slide's rule reads *if ∂D > θ then ∂D = θ*. It lets large negative derivatives pass.


def only_from_above(x):
    value, gradient = loss(x)
    return value, np.minimum(gradient, LIMIT)


ways = {
    "not clipped": {},
    f"min(g, {LIMIT:g}), as on the slide": {"function": only_from_above},
    f"each number to ±{LIMIT:g}": {"clip": nn.ClipValue(LIMIT)},
    f"norm to {LIMIT:g}": {"clip": nn.ClipGlobalNorm(LIMIT)},
    "norm to 1": {"clip": nn.ClipGlobalNorm(1.0)},
}
shares = {name: np.mean([run(start, **way).loss[-1] < 0.1 for start in STARTS]) for name, way in ways.items()}
for name, share in shares.items():
    print(f"{name:<27} {share:.0%} of {len(STARTS)} starts reach the valley")

figure, ax = plt.subplots(figsize=(9, 3.4))
bars = ax.barh(list(shares), list(shares.values()), color=["0.6", "0.6", *[nn.figures.PALETTE[0]] * 3])
ax.bar_label(bars, [f"{share:.0%}" for share in shares.values()], padding=4)
ax.invert_yaxis()
ax.grid(False)
ax.spines["bottom"].set_visible(False)
ax.set(xticks=[], xlim=(0, 1.1), title="Runs that end in the valley")
ax.tick_params(left=False)
plt.show()
