"""
Zero weights learn only the mean, equal weights only one unit
=============================================================

A network with eight tanh units learns a curve from three starts: all weights 0, all weights 0.5, or random ones. The biases start at 0.

**What you see.** Top: what the network has learned. With zeros it is the mean of the targets, a horizontal line. With equal weights it is one S-shaped
curve. Only the random start fits the data. Bottom: the weights into the eight units during training. The zeros never move. The equal ones move, but all
together: the eight lines are one. Random ones part.

**What to conclude.** With all weights 0 no gradient reaches the first layer (the weights that it has to pass are 0), and the last layer gets none either
(its inputs are 0): only the last bias learns, and that learns the mean, E[Y]. Equal units get equal gradients, so that they stay equal forever: eight of
them are as good as one. Weights must differ from the start.

Both need what the network has here. Without the last bias the output of zeros stays 0. With sigmoids, σ(0) = ½ is not 0: from zeros the network learns,
and is again one unit eight times (printed).

**Try next.** Biases that differ, ``bias_init="uniform"`` in the first layer: the units part, also from zeros with sigmoids. ``CONSTANT = 2.0``: the one
unit is lost too, and only the mean is learned.

:Slide: Decks 000, 002, 003, *Quiz: all weights zero*; *Constant initialization*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

UNITS, CONSTANT, STEPS, LR = 8, 0.5, 3000, 0.2

x = np.linspace(-1, 1, 101)[:, None]
y = np.sin(4 * x[:, 0]) + 0.5 * x[:, 0] ** 2

STARTS = {
    "all zero": "zeros",
    f"all {CONSTANT}": nn.initializers.Constant(CONSTANT),
    "random": nn.initializers.Normal(1.0),
}

# %%
# Training from each start
# ------------------------


def learn(start, activation):
    layers = [nn.Dense(UNITS, weight_init=start), activation(), nn.Dense(1, weight_init=start)]
    model = nn.Sequential(layers, input_shape=1, dtype="float64", seed=3)
    trainer = nn.Trainer(model, "squared_error", nn.Momentum(lr=LR))
    weights = [model.layers[0].weight[:, 0].copy()]
    for _ in range(STEPS):
        trainer.partial_fit(x, y)
        weights.append(model.layers[0].weight[:, 0].copy())
    return model, np.array(weights)


figure, axes = plt.subplots(2, 3, figsize=(10, 5.6), sharey="row", height_ratios=[1.3, 1])
for (top, bottom), (name, start) in zip(axes.T, STARTS.items()):
    model, weights = learn(start, nn.Tanh)
    prediction = model.predict(x)[:, 0]
    top.plot(x, y, ".", color="0.7", markersize=4)
    top.plot(x, prediction, color=nn.figures.PALETTE[1], linewidth=3)
    bottom.plot(np.arange(1, STEPS + 2), weights, color=nn.figures.PALETTE[0], linewidth=1.5)
    bottom.set(xlabel="step", xscale="log")
    different = len(np.unique(weights[-1].round(9)))
    error = np.sqrt(np.mean((prediction - y) ** 2))
    print(
        f"{name:<9} {different} different units, error {error:.3f}; output from {prediction.min():.2f} to {prediction.max():.2f}"
    )
    top.set(title=f"{name}: error {error:.2f}", xlabel="x")
axes[0, 0].text(-0.95, y.mean() + 0.12, f"E[Y] = {y.mean():.2f}", color=nn.figures.PALETTE[1])
axes[1, 0].text(1.5, 0.35, "stay 0", color=nn.figures.PALETTE[0])
axes[1, 1].text(1.5, 1.0, f"{UNITS} units, one line", color=nn.figures.PALETTE[0])
axes[0, 0].set_ylabel("y, prediction")
axes[1, 0].set_ylabel("weights of units")
plt.show()

# %%
# The gradients at the start, and sigmoids
# ----------------------------------------

for activation in nn.Tanh, nn.Sigmoid:
    for name, start in STARTS.items():
        layers = [nn.Dense(UNITS, weight_init=start), activation(), nn.Dense(1, weight_init=start)]
        model = nn.Sequential(layers, input_shape=1, dtype="float64", seed=3)
        model.loss_and_gradient(x, y, "squared_error")
        first, last = (np.abs(model.layers[i].weight_grad).max() for i in (0, 2))
        print(f"{activation.__name__:<8} {name:<9} largest gradient: first layer {first:.3f}, last layer {last:.3f}")

model, weights = learn("zeros", nn.Sigmoid)
error = np.sqrt(np.mean((model.predict(x)[:, 0] - y) ** 2))
print(f"Sigmoid, from zeros: {len(np.unique(weights[-1].round(9)))} different units, error {error:.3f}")
