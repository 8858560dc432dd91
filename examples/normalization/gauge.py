"""
Networks that compute the same can train very differently, unless they are normalized
=====================================================================================

The chain z = w₄ w₃ w₂ w₁ x computes the same with w = (1, 1, 1, 1) and with w = (1, 0.01, 100, 1). So does a ReLU network whose layers are scaled like
that, as ReLU(αx) = α ReLU(x) for α > 0: *gauge freedom*. Both forms of a network are trained on digits; the second picture has the chain.

**What you see.** At a rate that suits (1, 1, 1, 1) the scaled network diverges in step 2 without normalization. With batch norm or weight norm it learns
nearly as well as the other one.

Second picture, left: the derivatives of the chain: all 1 in the first form, from 0.01 to 100 in the second. Right: the slide's cure. The chain
is divided by the mean of its first half over the batch. Then w₂ can grow a hundredfold, and ∂z/∂w₃ stays as it was.

**What to conclude.** A derivative is ∂z/∂wᵢ = z/wᵢ: small weights have large gradients, and gradient descent makes steps that are 10⁴ times too long
relative to w₂. Normalization makes the *function* independent of the length of the weights. The gradient is not: it is still 100 times as large. But it is
now orthogonal to the weights, so that steps that are too long lengthen the weights until they are no longer too long: after one step the weights of layer
2 are 93 times as long with batch norm, 135 times with weight norm. Layer 3, with weights that are too long, hardly learns (printed).

**Try next.** ``GAUGE = (1, 0.1, 10, 1)``. :doc:`/gallery/normalization/path_sgd` has an optimizer that does not see the gauge.

:Slide: Deck 004, *Toy example: z = w₄w₃w₂w₁x*; *Gauge freedom in ReLU networks*; *Normalizing in the toy example*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

GAUGE, WIDTH, LR, BATCH, STEPS, EXAMPLES = (1, 0.01, 100, 1), 40, 0.1, 64, 80, 200

# %%
# A ReLU network in two forms
# ---------------------------
# A batch norm needs an ε that is small relative to the scaled variances.


def dense(units):
    return nn.Dense(units, weight_init="he_normal")


HIDDEN = {
    "no normalization": lambda: [dense(WIDTH), nn.ReLU()],
    "batch norm": lambda: [dense(WIDTH), nn.BatchNorm(eps=1e-10), nn.ReLU()],
    "weight norm": lambda: [nn.WeightNorm(dense(WIDTH)), nn.ReLU()],
}

X, y = nn.data.load_digits()
X = nn.data.StandardScaler().fit(X).transform(X)[:EXAMPLES]
y = y[:EXAMPLES]


def learn(hidden, gauge):
    layers = [layer for _ in range(3) for layer in hidden()]
    model = nn.Sequential([*layers, dense(10)], input_shape=64, dtype="float64", seed=0)
    weights = [
        layer.direction if isinstance(layer, nn.WeightNorm) else layer.weight
        for layer in model.layers
        if layer.parameters and not isinstance(layer, nn.BatchNorm)
    ]
    for weight, factor in zip(weights, gauge):
        weight *= factor
    outputs = model.forward(X, training=True)
    start = [weight.copy() for weight in weights]
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=LR))
    rng = np.random.default_rng(0)
    losses = [model.loss_and_gradient(X, y, "softmax_cross_entropy")[0]]
    while len(losses) <= STEPS and losses[-1] < 1e3:
        batch = rng.integers(0, len(X), BATCH)
        trainer.partial_fit(X[batch], y[batch])
        losses.append(model.loss_and_gradient(X, y, "softmax_cross_entropy")[0])
        if len(losses) == 2:
            first = np.linalg.norm(weights[1]) / np.linalg.norm(start[1])
    moved = [np.linalg.norm(now - before) / np.linalg.norm(before) for now, before in zip(weights, start)]
    return outputs, losses, first, moved


figure, axes = plt.subplots(1, 3, figsize=(12, 4), sharey=True)
for ax, (name, hidden) in zip(axes, HIDDEN.items()):
    outputs = []
    for gauge, color, width in ((1, 1, 1, 1), nn.figures.PALETTE[0], 4), (GAUGE, nn.figures.PALETTE[1], 2):
        output, losses, first, moved = learn(hidden, gauge)
        outputs.append(output)
        ax.plot(losses, color=color, linewidth=width, label=f"w = {gauge}")
        if losses[-1] > 1e3:
            ax.annotate(
                f"diverges\nin step {len(losses) - 1}",
                (len(losses), 11),
                color=color,
                va="top",
                xytext=(10, 0),
                textcoords="offset points",
            )
        print(
            f"{name:<16} {gauge!s:<18} loss {losses[0]:.2f} → {losses[-1]:.3g} in {len(losses) - 1} steps; "
            f"after one step the weights of layer 2 are {first:.3g} times as long; layer 3 moved by {moved[2]:.1e} of its length"
        )
    print(f"{'':<16} largest difference of the outputs before training {np.abs(outputs[1] - outputs[0]).max():.0e}")
    ax.set(title=name, xlabel="step", yscale="log", ylim=(0.01, 15))
axes[0].set_ylabel("training loss")
axes[1].legend(loc="upper right")
plt.show()

# %%
# Four numbers
# ------------


def chain(w, x):
    return w[3] * w[2] * w[1] * w[0] * x


def normalized_chain(w, x):
    half = w[1] * w[0] * x
    return w[3] * w[2] * half / half.mean()


def derivatives(f, w, x, step=1e-6):
    """∂z/∂w of the first example, by central differences of relative size."""
    w = np.array(w, dtype=float)
    moves = np.diag(step * w)
    return np.array([(f(w + move, x) - f(w - move, x))[0] / (2 * step * size) for move, size in zip(moves, w)])


x = np.array([1.0, 2.0, 0.5, 0.5])  # of mean 1
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.2), width_ratios=[1.3, 1])
place = np.arange(4)
for shift, w, color in (-0.2, (1, 1, 1, 1), nn.figures.PALETTE[0]), (0.2, GAUGE, nn.figures.PALETTE[1]):
    values = derivatives(chain, w, x)
    left.bar(place + shift, values, 0.36, color=color)
    for i in place:
        left.text(i + shift, values[i] * 1.15, f"{values[i]:.3g}", ha="center", color=color)
    print(f"w = {w}: z = {chain(np.array(w), x)[0]:g}, ∂z/∂w = {values.round(6)}")
    left.text(3.4, 2500 if shift < 0 else 700, f"w = {w}", color=color, ha="right")
left.set(yscale="log", ylim=(1e-3, 8000), xticks=place, title="The same z, other derivatives", ylabel="∂z/∂w")
left.set_xticklabels(["w₁", "w₂", "w₃", "w₄"])
left.grid(axis="x", visible=False)

growth = np.geomspace(1, 100, 30)
for f, name, color in (chain, "z = w₄w₃w₂w₁x", nn.figures.PALETTE[1]), (normalized_chain, "normalized", nn.figures.PALETTE[2]):
    values = [derivatives(f, (1, factor, 1, 1), x)[2] for factor in growth]
    right.loglog(growth, values, color=color, label=name)
    print(f"{name:<16} ∂z/∂w₃ for w₂ = 1 and 100: {values[0]:.2f}, {values[-1]:.2f}")
right.set(xlabel="w₂", ylabel="∂z/∂w₃", title="w₂ grows: ∂z/∂w₃", ylim=(0.3, 200))
nn.figures.label_ends(right)
plt.show()
