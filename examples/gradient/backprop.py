"""Backpropagation multiplies local derivatives, from the loss back to the input
==============================================================================

A chain of two layers with one unit each: z₁ = w₁x, h = tanh z₁, y = w₂h, and the squared error l = ½(y − d)². Every number of its forward and backward
pass stands in the picture. :doc:`/guide/derivation` has the same for matrices.

**What you see.** First: values flow to the right (blue). The derivative of the loss starts at the end with y − d, the error itself, and flows to the left (orange),
multiplied in every box by the derivative of that box. A weight's gradient is the δ behind it times the value before it. Second: the derivative at the output for
the two usual losses; it is prediction minus target in both.

**What to conclude.** One backward pass gives all derivatives, at about twice the cost of the forward pass, because every δ is computed once and used for everything
before it. With the squared error the network "literally propagates the error"; with softmax and cross-entropy too, where the error is p − [class]; [class] is 1
for the right class and 0 for the others.

**Try next.** Set ``W1 = 5``: the derivative of tanh, 1 − h², is nearly 0, and with it everything left of it. The gradient has vanished.

:Slide: Deck 000, *Backward pass*, *Layerwise gradient*; deck 001, L2 loss propagates the error; deck 002, *Backpropagation and chain rule*; deck 004, softmax gradient
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

X, TARGET, W1, W2 = 1.5, 1.0, 0.4, -0.8
FORWARD, BACKWARD = nn.figures.PALETTE[0], nn.figures.PALETTE[1]

# %%
# The numbers, from the library
# -----------------------------

model = nn.Sequential([nn.Dense(1, bias=False), nn.Tanh(), nn.Dense(1, bias=False)], input_shape=1, dtype="float64")
model.parameters[...] = W1, W2
x, d = np.array([[X]]), np.array([[TARGET]])
values = [X, *(float(a[0, 0]) for a in model.activations(x).values())][-4:]  # x, z₁, h, y
loss, (of_w1, of_w2) = model.loss_and_gradient(x, d, "squared_error")
error = values[3] - TARGET
deltas = [error * W2 * (1 - values[2] ** 2) * W1, error * W2 * (1 - values[2] ** 2), error * W2, error]  # ∂l/∂x, z₁, h, y
print(f"by hand     ∂l/∂w₁ = δz₁ · x = {deltas[1] * values[0]:.6f}   ∂l/∂w₂ = δy · h = {deltas[3] * values[2]:.6f}")
print(f"by nncore   ∂l/∂w₁ = {of_w1:.6f}              ∂l/∂w₂ = {of_w2:.6f}")
h = 1e-6
ends = [0.5 * (W2 * np.tanh(w * X) - TARGET) ** 2 for w in (W1 - h, W1 + h)]
print(f"by a finite difference   ∂l/∂w₁ = {(ends[1] - ends[0]) / (2 * h):.6f}")

# %%
# The chain, forward and backward
# -------------------------------


def number(value):
    return f"{value:.2f}".replace("-", "−")


figure, ax = plt.subplots()
names = ["x", "z₁", "h", "y", "l"]
boxes = ["· w₁", "tanh", "· w₂", "½(y − d)²"]
factors = [
    f"× w₁\n{number(W1)}",
    f"× (1 − h²)\n{number(1 - values[2] ** 2)}",
    f"× w₂\n{number(W2)}",
    f"× (y − d)\n{number(error)}",
]
for i, (name, value, delta) in enumerate(zip(names, [*values, loss], [*deltas, 1.0], strict=True)):
    ax.text(2 * i, 1, f"{name}\n{number(value)}", color=FORWARD, ha="center", va="center", fontsize=15)
    ax.text(2 * i, -0.3, f"∂l/∂{name}\n{number(delta)}", color=BACKWARD, ha="center", va="center", fontsize=15)
for i, (box, factor) in enumerate(zip(boxes, factors, strict=True)):
    ax.text(2 * i + 1, 1, box, ha="center", va="center", fontsize=14, bbox={"boxstyle": "round,pad=0.4", "facecolor": "0.93"})
    ax.text(2 * i + 1, -0.18, factor, ha="center", va="center", fontsize=11, color=BACKWARD)
    ax.annotate("", (2 * i + 1.7, 1.45), (2 * i + 0.3, 1.45), arrowprops={"arrowstyle": "->", "color": FORWARD, "linewidth": 2})
    ax.annotate(
        "", (2 * i + 0.3, -0.75), (2 * i + 1.7, -0.75), arrowprops={"arrowstyle": "->", "color": BACKWARD, "linewidth": 2}
    )
for place, text in (1, f"∂l/∂w₁ = ∂l/∂z₁ · x = {number(of_w1)}"), (5, f"∂l/∂w₂ = ∂l/∂y · h = {number(of_w2)}"):
    ax.text(place, -1.5, text, ha="center", fontsize=14)
    ax.annotate("", (place, -1.22), (place, -0.8), arrowprops={"arrowstyle": "->", "color": "black"})
ax.set(xlim=(-0.6, 8.6), ylim=(-1.7, 1.7), title="Values flow to the right, derivatives to the left")
ax.axis("off")
plt.show()

# %%
# Where the backward pass starts
# ------------------------------
# The derivative of the loss for the output: the error, in both cases.

figure, (left, right) = plt.subplots(1, 2)
y = np.linspace(-1, 3, 101)
left.plot(y, 0.5 * (y - TARGET) ** 2, color="0.6", label="loss")
left.plot(y, y - TARGET, color=BACKWARD, label="derivative")
left.set(xlabel=f"output y, target {TARGET:g}", ylim=(-2.2, 2.2), title="Squared error: y − d")
nn.figures.label_ends(left)

logits = nn.Sequential([nn.Dense(4, bias=False)], input_shape=3, dtype="float64", seed=3)
features, label = np.array([[0.5, -0.7, 0.3]]), np.array([2])
z = logits.predict(features)[0]
p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
delta = logits.deltas(features, label, "softmax_cross_entropy")["dense_1"][0]
print("softmax: p", p.round(3), "δ = p − [class 2]", delta.round(3))
print("gradient of W is the product of δ and x:", np.allclose(np.outer(delta, features[0]).ravel(),
      logits.loss_and_gradient(features, label, "softmax_cross_entropy")[1]))  # fmt: skip
right.bar(np.arange(4) - 0.2, p, 0.4, color="0.6")
right.bar(np.arange(4) + 0.2, delta, 0.4, color=BACKWARD)
right.text(0.8, 0.72, "probability p", color="0.45")
right.text(0.8, 0.58, "derivative p − [class]", color=BACKWARD)
right.set(xticks=range(4), xlabel="class; the right one is 2", ylim=(-1, 0.85), title="Softmax: p − [class]")
plt.show()
