"""
Gradients fit the range of bfloat16 as they are; float16 needs a loss scale
===========================================================================

bfloat16 and float16 both have 16 bits. bfloat16 spends 8 on the exponent, as float32 does, and float16 5: numbers below 2⁻²⁵ = 3 · 10⁻⁸ become 0, numbers below 2⁻¹⁴ lose digits
one by one, and those from 65520 on become infinite. Here the numbers are the δ and the gradients of a 64-256-128-10 network that has learned digits to a loss of
about 0.001, in batches of 64.

**What you see.** Left, how many numbers have which size, and the ranges of the three formats: 38 % of the δ are left of what float16 holds. Right, the share of the δ that float16
loses, against a factor by which the loss is multiplied before the backward pass. From 2¹⁴ to 2²⁶ nearly all δ survive; above some become infinite.

**What to conclude.** As δ = softmax − target falls exponentially as a network becomes sure, and is divided by the size of the batch, most of them are below what float16 holds. The cure is a
*loss scale* (Micikevicius 2018): multiply the loss, divide the gradient; a power of two costs no digit, but it must be found, and watched for overflow. bfloat16 has the range
of float32, so nncore needs none of it.

**Try next.** ``EPOCHS = 0``: at the start nothing is lost. ``nn.Tanh()`` instead of ReLU: 30 % are lost.

:Slide: beyond the decks. Micikevicius et al., *Mixed precision training* (2018), figure 3
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

EPOCHS, BATCH = 40, 64

X, y = nn.data.load_digits()
X = nn.data.StandardScaler().fit(X).transform(X)

# %%
# A network that is sure, and its backward pass
# ---------------------------------------------

layers = [nn.Dense(256), nn.ReLU(), nn.Dense(128), nn.ReLU(), nn.Dense(10)]
model = nn.Sequential(layers, input_shape=64, compute_dtype="bfloat16", seed=0)
trainer = nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=1e-3), seed=0)
if EPOCHS:
    trainer.fit(X, y, epochs=EPOCHS, batch_size=BATCH, verbose=0)
print("loss", trainer.evaluate(X, y)["loss"])

deltas, gradients = [], []
for rows in np.split(np.random.default_rng(0).permutation(len(X))[: len(X) // BATCH * BATCH], len(X) // BATCH):
    by_layer = model.deltas(X[rows], y[rows], "softmax_cross_entropy")
    deltas += [by_layer[name].ravel() for name in ("dense_1", "dense_2", "dense_3")]
    gradients.append(model.loss_and_gradient(X[rows], y[rows], "softmax_cross_entropy")[1].copy())
numbers = {kind: np.abs(np.concatenate(found)) for kind, found in (("δ", deltas), ("gradients", gradients))}
numbers = {kind: found[found > 0] for kind, found in numbers.items()}  # units that are off have a δ of 0 in any format


def lost(found, scale):
    """Shares that are 0, and that are infinite, in float16."""
    with np.errstate(over="ignore"):
        narrow = (found * np.float32(scale)).astype(np.float16)
    return np.mean(narrow == 0), np.mean(np.isinf(narrow))


SCALES = 2.0 ** np.arange(0, 41, 2)
zeros, infinite = np.array([lost(numbers["δ"], scale) for scale in SCALES]).T
for kind, found in numbers.items():
    print(
        f"{kind}: below 2⁻²⁵ {np.mean(found < 2**-25):.1%}, below 2⁻¹⁴ {np.mean(found < 2**-14):.1%}, below 2⁻¹²⁶ {np.mean(found < 2**-126):.1%}"
    )
for scale, none, over in zip(SCALES, zeros, infinite):
    print(f"loss scale 2^{int(np.log2(scale)):2}: {none:6.1%} become 0, {over:.2%} become infinite")

# %%
# Exponents, ranges, and the effect of a loss scale
# -------------------------------------------------

figure, axes = plt.subplots(1, 2, figsize=(11.5, 4.6), width_ratios=(1.5, 1))
ax, bins = axes[0], np.arange(-128, 18, 2)
for (kind, found), color in zip(numbers.items(), nn.figures.PALETTE):
    ax.hist(np.log2(found), bins, weights=np.full(found.size, 100 / found.size), color=color, alpha=0.6, label=kind)
top = ax.get_ylim()[1]
for row, (name, low, full) in enumerate((("float32, bfloat16", -126, -126), ("float16", -25, -14))):
    height = top * (1.25 - 0.14 * row)
    ax.plot([max(full, -128), 16], [height, height], color="black", linewidth=5, solid_capstyle="butt")
    ax.plot([low, full], [height, height], color="black", linewidth=1.5)
    ax.text(
        low - 2 if row else -60,
        height + (0 if row else 0.03 * top),
        name,
        ha="right" if row else "center",
        va="center" if row else "bottom",
    )
ax.axvline(-25, color="black", linestyle=":", linewidth=1)
ax.set(
    xlabel="size", ylabel="% of the numbers", ylim=(0, 1.4 * top), xlim=(-128, 18), title="Sizes, and the ranges of the formats"
)
ax.set(xticks=[-120, -90, -60, -25, -14, 0, 16], xticklabels=["2⁻¹²⁰", "2⁻⁹⁰", "2⁻⁶⁰", "2⁻²⁵", "2⁻¹⁴", "1", "2¹⁶"])
ax.legend(loc="center left")
axes[1].semilogx(SCALES, 100 * zeros, "o-", color=nn.figures.PALETTE[0], label="become 0")
axes[1].semilogx(SCALES, 100 * infinite, "o-", color=nn.figures.PALETTE[1], label="become infinite")
axes[1].set(xlabel="loss scale", ylabel="% of the δ in float16", title="float16 needs a loss scale")
axes[1].set(xticks=[1, 2**10, 2**20, 2**30, 2**40], xticklabels=["1", "2¹⁰", "2²⁰", "2³⁰", "2⁴⁰"])
axes[1].legend()
figure.suptitle("Gradients fit into bfloat16 as they are, not into float16")
plt.show()
