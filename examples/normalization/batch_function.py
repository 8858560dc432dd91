"""
Batch norm is a function of the batch: every z moves every normalized value
===========================================================================

Eight examples of a batch, one unit. One of the eight numbers is increased by 6. Without batch norm only its own output changes.

**What you see.** Left: with batch norm all eight outputs change (gray: before), since the mean and the deviation do. Right: the matrix of all derivatives, ∂ûⱼ/∂zᵢ,
from eight backward passes of the layer. Without batch norm it would be the diagonal. With it no entry is 0.

**What to conclude.** The examples of a batch are no longer independent: the loss of one depends on the other seven, and the backward pass has to sum over
all outputs. It goes in three steps, from û to σ², from both to μ, from all three to z. In the second step the term through σ² is 0, since it has the factor Σ(z − μ) = 0: the deviations
from the mean add up to 0. The result is, for δ = ∂l/∂û,

    ∂l/∂z = (δ − mean(δ) − û mean(δ û)) / σ.

Rows of the matrix sum to 0, and its product with z is 0: if all z are shifted or stretched, the outputs stay. So the gradient has no part in these two
directions.

**Try next.** ``CHANGED = 0``, ``CHANGE = 100``: one example alone against the rest. ``SIZE = 64``: each single entry off the diagonal is smaller, about
1/64.

:Slide: Deck 001, *Batchnorm is a vector function over the minibatch*; *Batch normalization: Backpropagation*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

SIZE, CHANGED, CHANGE = 8, 5, 6.0

# %%
# All derivatives of the layer
# ----------------------------
# Row j: the gradient with respect to z, for a loss that is output j.

z = np.sort(np.random.default_rng(2).normal(1, 2, SIZE))
model = nn.Sequential([nn.BatchNorm(eps=1e-12)], input_shape=1, dtype="float64")


def normalized(values):
    return model.forward(values[:, None], training=True)[:, 0]


u = normalized(z)


def backward(delta):
    """∂l/∂z for ∂l/∂û = δ. The loss of nncore is a mean over the examples, hence the factor."""
    return SIZE * model.deltas(z[:, None], delta[:, None], lambda y, d: ((y * d).sum(axis=1), d))["input"][:, 0]


jacobian = np.array([backward(row) for row in np.eye(SIZE)])

moved = z.copy()
moved[CHANGED] += CHANGE
after = normalized(moved)

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), width_ratios=[1.25, 1])
for j in range(SIZE):
    color = nn.figures.PALETTE[1] if j == CHANGED else nn.figures.PALETTE[0]
    left.annotate("", (j, after[j]), (j, u[j]), arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 2})
    left.plot(j, u[j], "o", color="0.6", markersize=6)
    left.plot(j, after[j], "o", color=color, markersize=4)
left.set(
    xlabel="example of the batch", ylabel="output û", title=f"z of example {CHANGED} grows by {CHANGE:.0f}: all outputs move"
)
left.grid(axis="x", visible=False)
limit = np.abs(jacobian).max()
image = right.imshow(jacobian, cmap="RdBu_r", vmin=-limit, vmax=limit)
right.set(xlabel="input z of example i", ylabel="output û of example j", title="∂ûⱼ/∂zᵢ")
right.grid(False)
figure.colorbar(image, ax=right, shrink=0.8)
plt.show()
print(f"outputs that change: {np.sum(np.abs(after - u) > 1e-9)} of {SIZE}; smallest |∂ûⱼ/∂zᵢ| {np.abs(jacobian).min():.4f}")
print(
    f"largest row sum {np.abs(jacobian.sum(axis=1)).max():.0e}, largest entry of the product with z {np.abs(jacobian @ z).max():.0e}"
)

# %%
# The backward pass in three steps
# --------------------------------
# δ is the gradient with respect to û.

delta = np.random.default_rng(0).normal(size=SIZE)
mean, sigma = z.mean(), z.std()
to_variance = np.sum(delta * (z - mean)) * -0.5 / sigma**3
to_mean = -np.sum(delta) / sigma + to_variance * np.mean(-2 * (z - mean))  # the second sum is 0
to_z = delta / sigma + to_variance * 2 * (z - mean) / SIZE + to_mean / SIZE
short = (delta - delta.mean() - u * (delta * u).mean()) / sigma
print(f"∂l/∂σ² = {to_variance:.4f}, ∂l/∂μ = {to_mean:.4f}")
print("∂l/∂z in three steps ", to_z.round(4))
print("the formula above    ", short.round(4))
print("from the layer       ", backward(delta).round(4))
