"""
Rounding to bfloat16 turns the gradient by a few percent, a mini-batch by 90 %
==============================================================================

A 64-256-128-10 network learns digits in float32. At some epochs its gradient over all digits is computed twice, in float32 and with products of bfloat16 numbers, from
the same weights. The distance is the sine of the angle between the two: 1 % is a direction that misses by 1 m after 100 m. Beside it, the angle between
the gradient of 64 digits and that of all.

**What you see.** Time runs from left to right, as the loss falls. *ReLU, left*: the first layer's gradient turns by 1.2 % at the start, 2 to 4 % until the loss is
0.02, and 8 to 27 % below. The last layer stays at 0.2 to 6 %. *GELU, right*: 0.2 to 0.3 % at the start, 1 % at 0.02, 3 to 6 % at the end. The mini-batches (black) are off
by 50 % at first, and by 90 % after one epoch.

**What to conclude.** A step of SGD is a noisy estimate anyway, and the rounding is 20 to 200 times smaller than its noise while there is something to learn: this is
why training with 8 bits arrives at the same place. The error grows as the loss falls, because then δ = softmax − target is exponentially small: outputs of 20 carry an error of 2⁻⁹ · 20 = 0.04,
and so e^−20 one of 4 %. ReLU adds kinks: a z near 0 that changes its sign switches a unit on or off, a jump; GELU has none.

**Try next.** ``UNITS = (512, 512, 512)``: the error grows with the depth, 1.8 % instead of 1.2 % at the start in the first layer. ``UNITS = (1024, 1024)``: hardly with the
width. ``nn.Tanh`` has no kinks either.

:Slide: Deck 000, *Mini-batch gradient descent: choosing q*; deck 003, *SGD: disadvantages* (the noise that is there anyway)
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

UNITS, BATCH, DRAWS, EPOCHS = (256, 128), 64, 8, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256]

X, y = nn.data.load_digits()
X = nn.data.StandardScaler().fit(X).transform(X)

# %%
# The same weights, two gradients
# -------------------------------


def network(activation, compute_dtype=None):
    hidden = [layer for units in UNITS for layer in (nn.Dense(units), activation())]
    return nn.Sequential([*hidden, nn.Dense(10)], input_shape=64, compute_dtype=compute_dtype, seed=0)


def gradients(model, rows):
    """∂l/∂W of the layers, in float64."""
    loss, _ = model.loss_and_gradient(X[rows], y[rows], "softmax_cross_entropy")
    return loss, [layer.weight_grad.ravel().astype("float64") for layer in model.layers if isinstance(layer, nn.Dense)]


def sine(a, b):
    """Of the angle between two vectors."""
    a, b = a / np.sqrt(np.sum(a * a)), b / np.sqrt(np.sum(b * b))
    return np.sqrt(np.sum((a - np.sum(a * b) * b) ** 2))


def measure(activation):
    """The loss, the angles by layer, and those of mini-batches, at each of the epochs."""
    model, rounding, rng = network(activation), network(activation, "bfloat16"), np.random.default_rng(0)
    trainer, everything, found = nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=1e-3), seed=0), np.arange(len(X)), []
    for epoch in EPOCHS:
        if epoch > trainer.epochs_done:
            trainer.fit(X, y, epochs=epoch - trainer.epochs_done, batch_size=BATCH, verbose=0)
        rounding.parameters = model.parameters
        loss, exact = gradients(model, everything)
        by_layer = [sine(a, b) for a, b in zip(exact, gradients(rounding, everything)[1])]
        batches = [gradients(model, rng.permutation(everything)[:BATCH])[1] for _ in range(DRAWS)]
        of_batches = np.mean([sine(np.concatenate(batch), np.concatenate(exact)) for batch in batches])
        found.append((loss, *by_layer, of_batches))
        print(
            f"{activation.__name__} epoch {epoch:3}  loss {loss:8.2g}   "
            + "  ".join(f"{100 * angle:5.2f} %" for angle in found[-1][1:])
        )
    return np.array(found)


results = {activation.__name__: measure(activation) for activation in (nn.ReLU, nn.GELU)}

# %%
# Rounding against sampling
# -------------------------

figure, axes = plt.subplots(1, 2, figsize=(11.5, 4.6), sharey=True)
for ax, (name, found) in zip(axes, results.items()):
    loss, *by_layer, of_batches = found.T
    ax.loglog(loss, 100 * of_batches, "s-", color="black", label=f"a mini-batch of {BATCH}\ninstead of all digits")
    for number, angles in enumerate(by_layer, 1):
        label = f"layer {number}" + (" in bfloat16" if number == 1 else "")
        ax.loglog(loss, 100 * angles, "o-", color=nn.figures.PALETTE[number], label=label)
    ax.invert_xaxis()
    ax.set(xlabel="training loss, falling", yticks=[0.1, 1, 10, 100], title=name)
    ax.set_yticklabels(["0.1 %", "1 %", "10 %", "100 %"])
    ax.set_ylim(0.1, 150)
axes[0].set_ylabel("angle to the exact gradient (sine)")
axes[1].legend(loc="upper left", bbox_to_anchor=(0.02, 0.88))
figure.suptitle("The rounding of bfloat16 is small beside the noise of mini-batches")
plt.show()
