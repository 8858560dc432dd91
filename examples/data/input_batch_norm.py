"""
Batch norm on the input is a scaler, up to the noise of the batches
===================================================================

Three features with means 20, −3 and 0.5 and deviations 10, 1 and 0.1. The same network, from the same weights, learns from the raw features, from scaled ones,
and from the raw ones with a batch norm as its first layer.

**What you see.** On the full batch scaler and batch norm are the same: in 1000 steps the losses differ by at most 4e-12. In batches of 50 they are not: the
mean and the deviation of a batch are those of 50 points, so the same point looks different in each epoch, and the loss ends at 0.099 in place of 0.052. On
raw features the loss remains above 0.6.

The printed means and variances: those of the data, and the running averages of batch norm, which agree within two percent for batches of 50.

**What to conclude.** The lecture's sentence, normalizing the input is batch norm on the input, holds exactly for the full batch (without the learned
scale and shift, ``affine=False``). For mini-batches it holds on average. Batch norm re-estimates what a scaler computes once, which is needed
inside a network, where the distributions change, and only costs at the input.

**Try next.** ``LR = 0.1``: on the raw features the training diverges. ``BATCHES = (200, 10)``. ``affine=True``. Put a second norm behind the hidden layer.

:Slide: Deck 001, *Other tricks: normalize the input, equivalent of batch norm on input*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

POINTS, STEPS, LR, BATCHES = 1000, 1000, 0.04, (1000, 50)

# %%
# Three networks that differ in their input
# -----------------------------------------
# ``affine=False``: no learned scale and shift behind the norm, as a scaler has none.

rng = np.random.default_rng(0)
X = rng.normal([20, -3, 0.5], [10, 1, 0.1], size=(POINTS, 3))
scaler = nn.data.StandardScaler().fit(X)
z = scaler.transform(X)
y = np.sin(2 * z[:, 0]) + z[:, 1] * z[:, 2]


def train(data, norm, batch):
    model = nn.Sequential(
        [*norm, nn.Dense(32, name="hidden"), nn.Tanh(), nn.Dense(1, name="last")], input_shape=3, dtype="float64"
    )
    first = np.random.default_rng(1)
    for name in "hidden", "last":
        weight = model[name].weight
        weight[...] = first.normal(size=weight.shape) / np.sqrt(weight.shape[1])
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=LR))
    trainer.fit(data, y, epochs=STEPS * batch // POINTS, batch_size=batch, verbose=0)
    return model, trainer


def norm():
    return nn.BatchNorm(affine=False, eps=1e-12, momentum=0.1)


# %%
# The loss
# --------

figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True)
for ax, batch in zip(axes, BATCHES, strict=True):
    runs = {"raw": train(X, [], batch), "scaled": train(z, [], batch), "batch norm": train(X, [norm()], batch)}
    for (name, (_, trainer)), style, color in zip(
        runs.items(), ("-", "-", ":"), (*nn.figures.PALETTE[1::-1], "black"), strict=True
    ):
        losses = trainer.history["running_loss"]
        ax.plot(
            np.arange(1, len(losses) + 1) * POINTS / batch,
            losses,
            style,
            color=color,
            linewidth=4 if style == ":" else 2,
            label=name,
        )
    scaled, normed = runs["scaled"][1].history["running_loss"], runs["batch norm"][1].history["running_loss"]
    layer = runs["batch norm"][0][0]
    print(
        f"batches of {batch}: largest difference of the loss {np.abs(scaled - normed).max():.1e}, last losses {scaled[-1]:.4f}, {normed[-1]:.4f}"
    )
    print(f"  mean of the data {scaler.mean_.round(3)}, of batch norm {layer.running_mean.round(3)}")
    print(f"  variance of the data {X.var(axis=0).round(3)}, of batch norm {layer.running_var.round(3)}")
    ax.set(title=f"Batches of {batch}", xlabel="step", yscale="log")
    nn.figures.label_ends(ax)
axes[0].set_ylabel("loss")
plt.show()
