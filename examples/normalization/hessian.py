"""
Normalization uncouples the layers of a chain; in a network it only weakens the coupling
========================================================================================

The chain of the lectures, z = w₄w₃w₂w₁x, without and with the division by the mean of w₂w₁x; and a small network for digits, without and with batch norm.

**What you see.** Left pair: the second derivatives ∂²z/∂wᵢ∂wⱼ of the chain. Without normalization all pairs of weights are coupled, with it only w₃ and
w₄. Right pair: the size of the blocks of the Hessian of the network's loss, one block for each pair of layers, relative to the blocks on the diagonal,
after 100 steps. With batch norm the blocks between layers are smaller, 0.4 to 0.5 instead of 0.5 to 0.7. At the start (printed) there is hardly a
difference: 1.0 to 1.2 with and without.

**What to conclude.** The deck says that batch norm eliminates the bulk of the cross-layer correlation. In the chain that is exact: the output does not
depend on w₁ and w₂ any more. In a network it removes one number for each unit, the length of its weights, and the directions stay coupled. Of the squares
of all entries, the blocks between layers have 36 % without and 10 % with batch norm after training, 49 % and 40 % at the start (means of 5 starts): "the
bulk" is gone by this measure, after some training. An optimizer that treats layers one by one still misses much with batch norm.

**Try next.** ``WIDTH = 2``. Replace ``nn.BatchNorm`` by ``nn.LayerNorm``.

:Slide: Deck 004, *Batch normalization: eliminates the bulk of cross-layer correlation*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

WIDTH, EXAMPLES, STEPS, SEEDS = 6, 200, 100, 5

# %%
# Four numbers
# ------------
# Second derivatives by central differences.


def chain(w, x):
    return w[3] * w[2] * w[1] * w[0] * x


def normalized_chain(w, x):
    half = w[1] * w[0] * x
    return w[3] * w[2] * half / half.mean()


def second_derivatives(f, x, step=1e-4):
    w, moves = np.ones(4), step * np.eye(4)
    corners = ((1, 1, 1), (-1, 1, -1), (1, -1, -1), (-1, -1, 1))
    return np.array(
        [[sum(sign * f(w + a * p + b * q, x)[0] for a, b, sign in corners) / (4 * step**2) for p in moves] for q in moves]
    )


# %%
# A network
# ---------
# The norm of each block of the Hessian, at the start and after some training.

X, y = nn.data.load_digits()
X = nn.data.StandardScaler().fit(X).transform(X)[:EXAMPLES]
y = y[:EXAMPLES]


def blocks(normalization, seed, steps):
    hidden = [layer for _ in range(2) for layer in (nn.Dense(WIDTH, weight_init="he_normal"), *normalization(), nn.ReLU())]
    model = nn.Sequential([*hidden, nn.Dense(10)], input_shape=64, dtype="float64", seed=seed)
    if steps:
        nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=0.1)).fit(X, y, epochs=steps, batch_size=len(X), verbose=0)
    hessian = model.hessian(X, y, "softmax_cross_entropy")
    sizes = [layer.weight.size + layer.bias.size for layer in model.layers if isinstance(layer, nn.Dense)]
    layer = np.repeat(np.arange(3), sizes)
    return np.array([[np.sum(hessian[np.ix_(layer == i, layer == j)] ** 2) for j in range(3)] for i in range(3)])


x = np.array([1.0, 2.0, 0.5, 0.5])
pictures = {"chain": second_derivatives(chain, x), "normalized chain": second_derivatives(normalized_chain, x)}
for name, normalization in ("network", list), ("with batch norm", lambda: [nn.BatchNorm(affine=False)]):
    for steps in 0, STEPS:
        found = np.array([blocks(normalization, seed, steps) for seed in range(SEEDS)])
        off = 1 - found.trace(axis1=1, axis2=2) / found.sum(axis=(1, 2))
        print(
            f"{name:<16} after {steps:3} steps: between layers {off.min():.0%} to {off.max():.0%} of the squares of the Hessian, mean {off.mean():.0%}"
        )
        norms = np.sqrt(found)
        diagonal = np.sqrt(np.einsum("sii->si", norms))
        pictures[name] = np.mean(norms / diagonal[:, :, None] / diagonal[:, None], axis=0)
        print(
            f"{'':<16} relative size of the blocks: W₁W₂ {pictures[name][0, 1]:.2f}, W₁W₃ {pictures[name][0, 2]:.2f}, W₂W₃ {pictures[name][1, 2]:.2f}"
        )

figure, axes = plt.subplots(1, 4, figsize=(12, 3.7), layout="compressed")
for ax, (name, values) in zip(axes, pictures.items()):
    ax.imshow(np.abs(values), cmap="Blues", vmin=0, vmax=1.8)
    for i, j in np.ndindex(values.shape):
        ax.text(j, i, f"{abs(values[i, j]):.1f}" if values[i, j] > 1e-6 else "0", ha="center", va="center")
    names = ["w₁", "w₂", "w₃", "w₄"] if "chain" in name else ["W₁", "W₂", "W₃"]
    ax.set(xticks=range(len(names)), yticks=range(len(names)), title=name.capitalize())
    ax.set_xticklabels(names)
    ax.set_yticklabels(names)
    ax.grid(False)
plt.show()
