"""
Path-SGD does not see the scale of units: equivalent networks train alike
=========================================================================

A ReLU network computes the same if the weights into a unit are multiplied by c and those out of it divided by c. SGD is not the same: it depends on c.
Path-SGD divides the gradient of each weight by γ, the sum over all paths through this weight of the squares of the other weights.

**What you see.** Left: z = w₂w₁x for the one example (x, y) = (1, 1), which is learned on the curve w₁w₂ = 1. Four starts compute the same, z = 0.5. One
step of SGD (gray) goes to z = 0.77 from two of them and to 1.33 from the others. One step of Path-SGD (purple) goes to 0.98 from each. Middle, right:
digits, from a network and from ones whose units are rescaled by up to 3 and 30. SGD has another curve for each and diverges for the last. The three curves
of Path-SGD are one, to 10⁻¹⁵.

**What to conclude.** Path-SGD is steepest descent in a geometry of functions, not of weights, as far as rescaling goes. That is no claim that it learns
faster. On the network as it was initialized the best rates of both (0.8 and 3.2) end at nearly the same training loss after 20 epochs: 0.0015 to 0.0020 and 0.0018 to 0.0025.

**Try next.** ``SCALES = (1.0, 1000.0)``: the curves of Path-SGD are still one. Adam (``nn.Adam, 1e-3`` in the place of ``nn.PathSGD, PATH_LR``): none
diverges, but the curves differ.

:Slide: Deck 004, *Gauge freedom*; *Path-SGD: (x, y) = (1, 1)*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

SCALES, UNITS, STEPS, BATCH, LR, PATH_LR = (1.0, 3.0, 30.0), 32, 150, 64, 0.2, 0.5
EXAMPLES, STARTS, ONE_LR, BEST = 600, (0.25, 0.5, 1.0, 2.0), 0.4, (0.8, 3.2)
GRAY, PINK = nn.figures.OPTIMIZER_COLORS["SGD"], nn.figures.OPTIMIZER_COLORS["PathSGD"]

# %%
# One step for (x, y) = (1, 1)
# ----------------------------


def one_step(optimizer, w1):
    """Weights before and after."""
    layers = [nn.Dense(1, bias=False), nn.ReLU(), nn.Dense(1, bias=False)]
    model = nn.Sequential(layers, input_shape=1, dtype="float64")
    model.parameters[:] = w1, 0.5 / w1
    before = model.parameters.copy()
    nn.Trainer(model, "squared_error", optimizer).partial_fit(np.ones((1, 1)), np.ones((1, 1)))
    return before, model.parameters.copy()


figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12.5, 4.2))
w = np.linspace(0.05, 3, 300)
for z, style in (0.5, ":"), (1.0, "-"):
    left.plot(w, z / w, color="0.75", linestyle=style)
    left.text(1.3, z / 1.3 + (0.08 if z > 0.5 else -0.22), f"z = {z}", color="0.45")
for name, optimizer, color in ("SGD", nn.SGD, GRAY), ("Path-SGD", nn.PathSGD, PINK):
    after = []
    for w1 in STARTS:
        start, end = one_step(optimizer(lr=ONE_LR), w1)
        left.annotate(
            "", end, start, arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 2.2, "shrinkA": 0, "shrinkB": 0}
        )
        left.plot(*start, "o", color="black", markersize=5)
        after.append(end.prod())
    print(f"{name:<8} z after one step, from z = 0.5 with w₁ = {STARTS}: {np.round(after, 3)}")
left.set(xlabel="w₁", ylabel="w₂", xlim=(0, 3), ylim=(0, 3), aspect="equal", title="One step, four starts")

left.text(0.7, 2.08, "SGD", color=GRAY, va="center")
left.text(0.42, 2.75, "Path-SGD", color=PINK, va="center")

# Digits, and networks with rescaled units.

X, y = nn.data.load_digits()
X, y = nn.data.StandardScaler().fit(X).transform(X)[:EXAMPLES], y[:EXAMPLES]


def network(seed):
    layers = [
        nn.Dense(UNITS, weight_init="he_normal"),
        nn.ReLU(),
        nn.Dense(UNITS, weight_init="he_normal"),
        nn.ReLU(),
        nn.Dense(10),
    ]
    return nn.Sequential(layers, input_shape=64, dtype="float64", seed=seed)


def losses(optimizer, scale):
    model = network(seed=0)
    rng = np.random.default_rng(0)
    for before, after in (0, 2), (2, 4):
        c = scale ** rng.uniform(-1, 1, UNITS)
        model.layers[before].weight[:] *= c[:, None]
        model.layers[after].weight[:] /= c
    trainer = nn.Trainer(model, "softmax_cross_entropy", optimizer)
    found = [model.loss_and_gradient(X, y, "softmax_cross_entropy")[0]]
    for _ in range(STEPS):
        batch = rng.integers(0, len(X), BATCH)
        trainer.partial_fit(X[batch], y[batch])
        found.append(model.loss_and_gradient(X, y, "softmax_cross_entropy")[0])
        if found[-1] > 1e3:
            break
    return np.array(found)


for ax, name, optimizer, lr, color, title in (
    (middle, "SGD", nn.SGD, LR, GRAY, "SGD: scale matters"),
    (right, "Path-SGD", nn.PathSGD, PATH_LR, PINK, "Path-SGD: three curves in one"),
):
    curves = [losses(optimizer(lr=lr), scale) for scale in SCALES]
    for scale, curve, width in zip(SCALES, curves, (7, 4, 1.5)):
        ax.semilogy(curve, color=color, linewidth=width if name == "Path-SGD" else 2, alpha=0.6)
        distance = np.abs(curve - curves[0][: len(curve)]).max()
        print(
            f"{name:<8} rescaled by up to {scale:<3g} loss {curve[-1]:.3g} after {len(curve) - 1} steps, {distance:.0e} from the first curve"
        )
        if curve[-1] > 10:
            ax.text(5, 6, f"×{scale:g} diverges in step {len(curve) - 1}", color=color)
        elif name == "SGD":
            ax.text(STEPS, curve[-1], f" ×{scale:g}", color=color, va="bottom" if scale == 1 else "top")
    if name == "Path-SGD":
        ax.text(STEPS - 5, 0.1, ", ".join(f"×{scale:g}" for scale in SCALES), color=color, ha="right")
    ax.set(xlabel="step", title=title, xlim=(0, STEPS), ylim=(3e-3, 10))
middle.set_ylabel("training loss")
plt.show()

# %%
# Not faster: both at their best rates
# ------------------------------------
# From the network as it is initialized, three starts.

for name, optimizer, lr in ("SGD", nn.SGD, BEST[0]), ("Path-SGD", nn.PathSGD, BEST[1]):
    found = []
    for seed in range(3):
        trainer = nn.Trainer(network(seed), "softmax_cross_entropy", optimizer(lr=lr), seed=seed)
        trainer.fit(X, y, epochs=20, batch_size=BATCH, verbose=0)
        found.append(trainer.evaluate(X, y)["loss"])
    print(f"{name:<8} lr {lr}: training loss {min(found):.4f} to {max(found):.4f} after 20 epochs")
