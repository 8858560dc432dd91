"""
Every number of a training step can be looked at
================================================

A network small enough to compute by hand: two inputs, two hidden units with ReLU, one output. It is to learn XOR. One step of gradient descent, number by
number: forward pass, loss, backward pass, update.

**What you see.** In the forward pass each z is a weighted sum and each h what the ReLU lets through. The backward pass starts at the output with
δ = (y − d)/4, the error of an example divided by the number of examples, and goes back through the same weights; where a z is negative, the ReLU stops it.
Each gradient is a sum over the four examples of δ times the input of the layer. The step of −η times the gradient lowers the loss.

**What to conclude.** Backpropagation is nothing but the chain rule, with every intermediate result kept. The squared error really propagates the error:
δ at the output is y − d. Central differences of the loss agree with the gradient in all digits that they have.

**Try next.** Set the second hidden bias to −2: its unit never fires, and its gradient is 0: a dead ReLU. ``LR = 1``: one step can also raise the loss.

:Slide: Deck 001, *Backpropagation*; deck 000, *Backpropagation through a chain*; deck 004, *Gradient of a layer*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

LR = 0.1

# %%
# A network with weights set by hand
# ----------------------------------
# ``weight`` is a view of the model's parameters: what is written there is in the model.

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
d = np.array([0, 1, 1, 0])
model = nn.Sequential([nn.Dense(2), nn.ReLU(), nn.Dense(1)], input_shape=2, dtype="float64")
hidden, output = model["dense_1"], model["dense_2"]
hidden.weight[...], hidden.bias[...] = 1, [0.5, -0.5]
output.weight[...], output.bias[...] = [[1, -2]], 0
print("all parameters, θ:", model.parameters)

# %%
# Forward pass, loss, backward pass
# ---------------------------------

z = model.activations(X)
loss, gradient = model.loss_and_gradient(X, d, "squared_error")
delta = model.deltas(X, d, "squared_error")
for name in z:
    print(f"{name:<8} output {z[name].tolist()}   δ {delta[name].tolist()}")
print(f"loss {loss}, gradient {gradient}")

# %%
# The same gradient by hand, and by central differences
# -----------------------------------------------------

by_hand = delta["dense_1"].T @ X
print("dense_1, δᵀ x:", by_hand.tolist(), " in the model:", hidden.weight_grad.tolist())
print("relative difference from central differences:", max(model.check_gradients(X, d, "squared_error").values()))

# %%
# One step
# --------

before = model.parameters.copy()
nn.SGD(lr=LR).step(model.parameters, gradient)
after = model.loss_and_gradient(X, d, "squared_error")[0]
print(f"after a step of −η g, η = {LR}: the loss falls from {loss:.4f} to {after:.4f}")

# %%
# The picture of the step, for the example (1, 0)
# -----------------------------------------------

example, at = 2, {"input": 0, "dense_1": 1, "relu_1": 2, "dense_2": 3}
names = {"input": "x", "dense_1": "z", "relu_1": "h", "dense_2": "y"}
figure, ax = plt.subplots(figsize=(9, 4.4))
for layer, column in at.items():
    units = z[layer].shape[1]
    for unit in range(units):
        row = 1 - 2 * unit if units == 2 else 0
        ax.text(column, row, f"{names[layer]} = {z[layer][example, unit]:g}\nδ = {delta[layer][example, unit]:g}", ha="center", va="center",
                fontsize=13, bbox={"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": "0.4"}, zorder=3)  # fmt: skip
on_line = {"color": "0.4", "ha": "center", "va": "center", "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1.5}}
for a, b in (0, 0), (0, 1), (1, 0), (1, 1):
    ax.plot([0, 1], [1 - 2 * a, 1 - 2 * b], color="0.6")
    ax.text(0.37, (1 - 2 * a) * 0.63 + (1 - 2 * b) * 0.37, f"{before[2 * b + a]:g}", **on_line)
for unit, w in enumerate(before[6:8]):
    ax.plot([1, 2], [1 - 2 * unit] * 2, color="0.6")
    ax.text(1.5, 1 - 2 * unit, "ReLU", **on_line)
    ax.plot([2, 3], [1 - 2 * unit, 0], color="0.6")
    ax.text(2.5, 0.5 - unit, f"{w:g}", **on_line)
ax.annotate("", (3.2, 1.75), (-0.2, 1.75), arrowprops={"arrowstyle": "->", "color": nn.figures.PALETTE[0], "linewidth": 2})
ax.text(1.5, 1.85, "forward pass: x, z, h, y", color=nn.figures.PALETTE[0], ha="center")
ax.annotate("", (-0.2, -1.75), (3.2, -1.75), arrowprops={"arrowstyle": "->", "color": nn.figures.PALETTE[1], "linewidth": 2})
ax.text(1.5, -1.7, "backward pass: δ, from (y − d) / 4", color=nn.figures.PALETTE[1], ha="center", va="bottom")
ax.set(xlim=(-0.5, 3.6), ylim=(-2, 2.15), title=f"The example (1, 0), whose target is 1: y = {z['dense_2'][example, 0]:g}")
ax.axis("off")
plt.show()
