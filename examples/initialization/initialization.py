"""
A layer multiplies the variance by n·Var(w): 1/n keeps the signal alive
=======================================================================

Ten tanh layers of 100 units, with weights of deviation 0.01, 1/√n = 0.1, and 1. The second picture has networks that narrow from layer to layer, so that
the numbers of inputs and of units differ, and the rules that are named after Xavier (1/n_in), Glorot and He.

**What you see.** Histograms of the activations. Weights that are too small: the signal shrinks tenfold per layer. Weights of 1/√n: it stays spread out to
the last layer. Large weights: nearly all units are at −1 or 1, where the derivative of tanh is 0.

Second picture: without nonlinearity 1/n_in keeps the activations, 1/n_out the gradients, and Glorot's 2/(n_in + n_out) is between, in both. Behind a ReLU
all three lose half per layer: He's factor of 2 makes up for it.

**What to conclude.** z is a sum of n products w x. Each has the variance Var(w) Var(x) if both have mean 0, so Var(z) = n Var(w) Var(x) (checked in
numbers at the end). Ten layers multiply by (n Var(w))¹⁰. Calibrate the weights so that this factor is near 1, with a 2 for ReLU. Calibrated tanh layers
still lose some of the signal, as \\|tanh z\\| < \\|z\\|.

**Try next.** Replace ``nn.Tanh`` by ``nn.ReLU``, and 1/√n by √(2/n). ``UNITS = 1000``: the same row in the middle, with 1/√1000.

:Slide: Decks 000, 002, 003, 004, *How large should the weights be?*; *Xavier initialization, reason it works*; *Many initializations*; *Small, calibrated random numbers*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

UNITS, LAYERS, EXAMPLES, SEEDS = 100, 10, 300, 3
SHOWN = (1, 2, 4, 7, 10)
WIDTHS = [round(512 * 2 ** (-layer / 5)) for layer in range(1, 16)]  # 446 … 64

# %%
# Activations by layer
# --------------------

X = np.random.default_rng(0).normal(size=(EXAMPLES, UNITS))
figure, axes = plt.subplots(3, len(SHOWN), figsize=(10, 5.4), sharex=True)
for row, (s, name, comment, color) in zip(
    axes,
    [
        (0.01, "0.01", "dies", nn.figures.PALETTE[5]),
        (UNITS**-0.5, "1/√n", "lives", nn.figures.PALETTE[2]),
        (1.0, "1", "saturates", nn.figures.PALETTE[1]),
    ],
):
    layers = [layer for _ in range(LAYERS) for layer in (nn.Dense(UNITS, weight_init=nn.initializers.Normal(s)), nn.Tanh())]
    model = nn.Sequential(layers, input_shape=UNITS, dtype="float64", seed=0)
    h = [h for key, h in model.activations(X).items() if key.startswith("tanh")]
    spread = "  ".join(f"{values.std():.1e}" for values in h)
    print(
        f"weights of deviation {name:<5} deviation of h by layer: {spread}; saturated in the last: {np.mean(np.abs(h[-1]) > 0.99):.0%}"
    )
    for ax, layer in zip(row, SHOWN):
        counts, _, _ = ax.hist(h[layer - 1].ravel(), bins=np.linspace(-1, 1, 42), color=color)
        ax.text(0.97, 0.97, f"±{h[layer - 1].std():.1g}", transform=ax.transAxes, ha="right", va="top", fontsize=11)
        ax.set(yticks=[], xticks=[-1, 0, 1], ylim=(0, 1.3 * counts.max()))  # room for the deviation
        ax.grid(False)
    row[0].set_ylabel(f"{name}\n{comment}", rotation=0, ha="right", va="center", color=color, fontweight="bold")
for ax, layer in zip(axes[0], SHOWN):
    ax.set_title(f"layer {layer}", fontsize=13)
figure.suptitle("Activations of tanh layers, for weights of three sizes")
plt.show()

# %%
# Activations and gradients of networks that narrow
# -------------------------------------------------
# The initializers of nncore by name. δ = ∂l/∂z, for a random gradient of variance 1 at the output.

RULES = {"1/n_in": "lecun_normal", "1/n_out": "fan_out_normal", "2/(n_in+n_out)": "glorot_normal", "2/n_in": "he_normal"}


def mean_squares(rule, activation):
    found = []
    for seed in range(SEEDS):
        layers = [layer for width in WIDTHS for layer in (nn.Dense(width, weight_init=rule), activation())][:-1]
        model = nn.Sequential(layers, input_shape=512, dtype="float64", seed=seed)
        rng = np.random.default_rng(seed)
        inputs, upstream = rng.normal(size=(100, 512)), rng.normal(size=(100, WIDTHS[-1]))
        z, delta = model.activations(inputs), model.deltas(inputs, upstream, lambda y, r: ((r * y).sum(axis=1), r))
        names = [key for key in z if key.startswith("dense")]
        found.append([[np.mean(z[key] ** 2), np.mean((len(inputs) * delta[key]) ** 2)] for key in names])
    return np.mean(found, axis=0).T


figure, axes = plt.subplots(2, 2, figsize=(10.5, 6.4), sharex=True, sharey="row")
layer = np.arange(1, len(WIDTHS) + 1)
for row, activation, kind in zip(axes, (nn.Identity, nn.ReLU), ("linear", "ReLU")):
    for (name, rule), color in zip(RULES.items(), (0, 4, 2, 1)):
        z, delta = mean_squares(rule, activation)
        print(
            f"{kind:<6} Var(w) = {name:<15} from layer 1 to {len(WIDTHS)}: z² × {z[-1] / z[0]:.2g}; back to layer 1: δ² × {delta[0] / delta[-1]:.2g}"
        )
        for ax, values in zip(row, (z, delta[::-1])):
            ax.semilogy(layer, values, color=nn.figures.PALETTE[color], label=name)
    row[0].set_ylabel(f"{kind} layers\nmean square")
axes[0, 0].set_title("Forward: z²")
axes[0, 1].set_title("Backward: δ²")
axes[1, 0].set(xlabel="layer")
axes[1, 1].set(xlabel="layers back from the output")
for ax in axes.flat:
    ax.minorticks_off()
    ax.set_xticks([1, 5, 10, 15])
for ax in axes.flat:
    nn.figures.label_ends(ax, fontsize=11)
plt.show()

# %%
# Var(z) = n Var(w) Var(x), step by step
# --------------------------------------
# One term, the sum of n terms, and what a mean of the inputs adds.

rng = np.random.default_rng(1)
n, deviation = 50, 0.2
for mean in 0.0, 1.0:
    w, x = rng.normal(0, deviation, (40000, n)), rng.normal(mean, 1.5, (40000, n))
    term, z = np.var(w[:, 0] * x[:, 0]), np.var((w * x).sum(axis=1))
    print(
        f"E[x] = {mean:.0f}: Var(w x) = {term:.3f}, Var(w) (Var(x) + E[x]²) = {deviation**2 * (1.5**2 + mean**2):.3f}; "
        f"Var(z) = {z:.2f}, n Var(w x) = {n * deviation**2 * (1.5**2 + mean**2):.2f}"
    )
