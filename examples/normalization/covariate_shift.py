"""
With batch norm the inputs of activations stay in place during training
=======================================================================

A network of 5 sigmoid layers learns digits by SGD, from the same weights and with the same batches, without and with batch norm before each sigmoid. This
is figure 1 of Ioffe and Szegedy (2015), with numbers.

**What you see.** The inputs of three sigmoids of the last hidden layer, over all training examples: median (line) and the range from 15 % to 85 % (thin).
Without batch norm the three ranges are lines: all examples look alike, and all drift together, by up to 10 of their deviations in 20 steps. Only when they
part, after 700 steps, does the loss fall. With batch norm the inputs are spread out from the first step, they hardly move, and the loss falls at once.
Second picture: the shift of the means grows from layer to layer without batch norm and is the same in all layers with it.

**What to conclude.** Batch norm keeps the inputs of activations in a standard place, which the parameters γ and β move slowly. It is not proven that the
smaller shift is *why* the network learns faster. Santurkar et al. (2018) added shifts on purpose behind batch norm, and it still learned fast.

**Try next.** ``DEPTH = 2``: without batch norm the loss falls after 80 steps. Replace ``nn.Sigmoid`` by ``nn.Tanh``: both learn at once.

:Slide: Decks 001, 003, *Covariate shift*; *Batch normalization: distributions over training*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

DEPTH, WIDTH, LR, BATCH, EPOCHS, EXAMPLES = 5, 50, 0.3, 32, 90, 640

X, y = nn.data.load_digits()
X = nn.data.StandardScaler().fit(X).transform(X)[:EXAMPLES]
y = y[:EXAMPLES]

# %%
# The inputs of the sigmoids during training
# ------------------------------------------


def learn(normalization):
    """Inputs of the sigmoids (times, layers, examples, units), losses (times,) and the accuracy at the end."""
    layers = [layer for _ in range(DEPTH) for layer in (nn.Dense(WIDTH), *normalization(), nn.Sigmoid())]
    model = nn.Sequential([*layers, nn.Dense(10)], input_shape=64, dtype="float64", seed=0)
    before = [str(below.name) for below, layer in zip(model.layers, model.layers[1:]) if isinstance(layer, nn.Sigmoid)]
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=LR), metrics=["accuracy"])
    inputs, losses = [], []
    for epoch in range(EPOCHS + 1):
        if epoch:
            trainer.fit(X, y, epochs=1, batch_size=BATCH, verbose=0)
        found = model.activations(X, training=True)
        inputs.append([found[name] for name in before])
        losses.append(model.loss_and_gradient(X, y, "softmax_cross_entropy")[0])
    return np.array(inputs), np.array(losses), 100 * trainer.evaluate(X, y)["accuracy"]


LAG = EXAMPLES // BATCH  # steps of an epoch
steps = LAG * np.arange(EPOCHS + 1)
figure, axes = plt.subplots(2, 2, figsize=(10.5, 6), sharex=True, sharey="row", height_ratios=[1.5, 1])
shifts = {}
for (top, bottom), (name, normalization) in zip(
    axes.T, {"without batch norm": list, "with batch norm": lambda: [nn.BatchNorm()]}.items()
):
    inputs, losses, accuracy = learn(normalization)
    for unit, color in enumerate(nn.figures.PALETTE[:3]):
        low, middle, high = np.quantile(inputs[:, -1, :, unit], [0.15, 0.5, 0.85], axis=1)
        top.plot(steps, middle, color=color)
        for edge in low, high:
            top.plot(steps, edge, color=color, linewidth=0.9)
    bottom.plot(steps, losses, color="black")
    top.set_title(f"{name.capitalize()}: {accuracy:.0f} % accuracy")
    bottom.set(xlabel="step", ylim=(0, 2.5))
    means, deviations = inputs.mean(axis=2), inputs.std(axis=2)
    shifts[name] = np.mean(np.abs(np.diff(means, axis=0)) / deviations[:-1], axis=2)
    early = np.argmax(losses < 1.5) * LAG
    print(
        f"{name:<19} deviation in the last layer at the start {deviations[0, -1].mean():.3f}; loss below 1.5 after {early} steps; accuracy {accuracy:.0f} %"
    )
    numbers = "  ".join(f"{value:.3f}" for value in shifts[name].mean(axis=0))
    print(f"{'':<19} mean shift in {LAG} steps, in deviations, by layer: {numbers}; largest {shifts[name].max():.2f}")
    if normalization is list:
        top.annotate(
            "all examples look alike here",
            (steps[EPOCHS // 5], inputs[EPOCHS // 5, -1, 0, :3].mean()),
            (0, 3),
            arrowprops={"arrowstyle": "->"},
        )
axes[0, 0].set_ylabel("inputs of 3 sigmoids\nin the last layer")
axes[1, 0].set_ylabel("training loss")
plt.show()

# %%
# The shift of every layer
# ------------------------

figure, ax = plt.subplots()
for name, color in ("without batch norm", nn.figures.PALETTE[1]), ("with batch norm", nn.figures.PALETTE[0]):
    for layer, width in (0, 1.2), (DEPTH - 1, 2.5):
        ax.semilogy(steps[1:], shifts[name][:, layer], color=color, linewidth=width, label=f"{name}, layer {layer + 1}")
ax.set(xlabel="step", ylabel=f"shift in {LAG} steps, deviations", title="The means move by this much")
nn.figures.label_ends(ax)
plt.show()
