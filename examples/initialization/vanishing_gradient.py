"""
A factor per layer is exponential in the depth: gradients vanish or explode
===========================================================================

Left, the simplest deep network: a chain of scalar weights, f = w w w … x. Right, networks of 20 layers with 50 units, and the gradient that reaches each
layer.

**What you see.** Left: after 50 layers a weight of 0.9 has left 0.005 of the signal, a weight of 1.1 has made 117 of it. Right: through sigmoids, with
weights that suit tanh, 0.22 of the gradient is left per layer, and 2·10⁻¹³ in the first layer. Weights four times as large, made for sigmoids, slow this
down (10⁻⁵) and do not end it. With tanh 0.6 of the gradient arrives in the first layer, with ReLU and He's weights 0.3.

**What to conclude.** This is the *vanishing gradient*: the derivative of the sigmoid is at most ¼, and a product of such factors is soon nothing. Layers
near the input do not learn. What helps: units with derivatives near 1, weights that are calibrated for them, or a normalization between the layers.

**Try next.** ``nn.initializers.Normal(0.3)`` for ReLU: the gradient explodes. Put ``nn.BatchNorm()`` before the sigmoids.

:Slide: Decks 000, 003, *How large should the weights be?*; *Vanishing gradients*; *Uniform distribution initialization (sigmoid)*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

DEPTH, UNITS, EXAMPLES, SEEDS, CHAIN = 20, 50, 200, 5, 50
WEIGHTS = (0.5, 0.9, 1.0, 1.1, 1.5)

# %%
# A chain of numbers, and the gradient in deep networks
# -----------------------------------------------------
# The gradient is that of the weights of a layer; its norm is divided by that of the last hidden layer.

NETWORKS = {
    "ReLU, He": (nn.ReLU, "he_normal", nn.figures.PALETTE[2]),
    "tanh, Glorot": (nn.Tanh, "glorot_uniform", nn.figures.PALETTE[0]),
    "sigmoid, 4 × Glorot": (nn.Sigmoid, "sigmoid_uniform", nn.figures.PALETTE[3]),
    "sigmoid, Glorot": (nn.Sigmoid, "glorot_uniform", nn.figures.PALETTE[1]),
}


def gradients(activation, weights, seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(EXAMPLES, UNITS)), rng.normal(size=EXAMPLES)
    hidden = [layer for _ in range(DEPTH) for layer in (nn.Dense(UNITS, weight_init=weights), activation())]
    model = nn.Sequential([*hidden, nn.Dense(1)], input_shape=UNITS, dtype="float64", seed=seed)
    model.loss_and_gradient(X, y, "squared_error")
    return [np.linalg.norm(layer.weight_grad) for layer in model.layers[:-1:2]]


figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.4))
layers = np.arange(CHAIN + 1)
for weight, color in zip(WEIGHTS, ("#D55E00", "#CC79A7", "0.4", "#56B4E9", "#0072B2")):
    left.semilogy(layers, weight**layers, color=color, label=f"w = {weight}")
    print(f"chain of {CHAIN} weights of {weight}: {weight**CHAIN:.2g} times the input")
left.set(xlabel="layers", ylabel="|output / input|", title="A chain of weights w", ylim=(1e-17, 1e10))

for name, (activation, weights, color) in NETWORKS.items():
    norms = np.array([gradients(activation, weights, seed) for seed in range(SEEDS)])
    relative = np.exp(np.log(norms / norms[:, -1:]).mean(axis=0))[::-1]
    right.semilogy(np.arange(DEPTH), relative, color=color, label=name)
    print(
        f"{name:<20} the first of {DEPTH} layers has {relative[-1]:.1g} of the gradient of the last; per layer × {relative[-1] ** (1 / (DEPTH - 1)):.2f}"
    )
right.set(
    xlabel="layers back from the output",
    ylabel="gradient, relative",
    title="Gradient of the weights, by layer",
    xlim=(0, DEPTH - 1),
)
right.set_xticks([0, 5, 10, 15])
for ax in left, right:
    ax.minorticks_off()
    nn.figures.label_ends(ax)
plt.show()
