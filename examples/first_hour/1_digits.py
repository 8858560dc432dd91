"""
A small network reads handwritten digits after one second of training
=====================================================================

1797 digits of 8 × 8 pixels, and a network of 64 inputs, 64 hidden units and 10 outputs. A quarter of the digits is held out: the network never trains on
them, so that they show how well it reads digits that it has not seen.

**What you see.** Both losses fall quickly in the first epochs. Then the training loss goes on falling while the held-out loss levels off, and 98 of
100 held-out digits are read correctly. Some of the mistakes are digits that people hesitate over too.

**What to conclude.** Four objects make a training: layers, a model, a loss with an optimizer in a trainer, and a history. The gap between the two curves is
what the network knows about its training set only.

**Try next.** ``UNITS = 4``: too few to tell ten digits apart. ``EPOCHS = 200``: does the held-out loss rise again? ``LR = 1.0``: what does a rate that is
much too high look like?

:Slide: Deck 001, *The problem of learning*; deck 004, *Learning networks of threshold and smooth units*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

UNITS, EPOCHS, BATCH, LR = 64, 30, 32, 0.002

# %%
# The data
# --------
# Each row of X has the 64 gray values of one image, from 0 to 1; y has the digits. ``train`` and ``test`` are the numbers of the rows, with the same
# proportion of each digit in both.

X, y = nn.data.load_digits()
train, test = nn.data.train_validation_split(X, y, fraction=0.25, seed=0)
print(f"{len(train)} digits to train on, {len(test)} held out; first row: {X[0, :8]} ...")

# %%
# The model
# ---------
# The last layer returns 10 numbers, one for each digit, called logits: the largest is the network's answer. The softmax that turns them into probabilities
# is a part of the loss.

model = nn.Sequential([nn.Dense(UNITS), nn.ReLU(), nn.Dense(10)], input_shape=64, seed=0)
print(model.summary())

# %%
# Training
# --------

trainer = nn.Trainer(model, loss="softmax_cross_entropy", optimizer=nn.Adam(lr=LR), metrics=["accuracy"])
history = trainer.fit(
    X[train], y[train], epochs=EPOCHS, batch_size=BATCH, validation_data=(X[test], y[test]), exact_loss=True, verbose=0
)
print(history)

# %%
# The held-out digits
# -------------------

answers = model.predict(X[test]).argmax(axis=1)
wrong = np.flatnonzero(answers != y[test])
print(f"{len(test) - len(wrong)} of {len(test)} held-out digits are read correctly: {1 - len(wrong) / len(test):.1%}")

figure = plt.figure(figsize=(9, 3.8))
left, right = figure.subfigures(1, 2, width_ratios=[1.4, 1])
ax = left.subplots()
epochs = np.arange(1, len(history) + 1)
ax.semilogy(epochs, history["loss"], label="training")
ax.semilogy(epochs, history["val_loss"], label="held out")
ax.set(xlabel="epoch", ylabel="loss", title=f"{1 - len(wrong) / len(test):.1%} of the held-out digits are right")
nn.figures.label_ends(ax)
for panel, i in zip(right.subplots(3, 4).flat, [*wrong[:12], *[None] * 12]):
    panel.axis("off")
    if i is not None:
        panel.imshow(X[test][i].reshape(8, 8), cmap="gray_r")
        panel.set_title(f"{y[test][i]} read as {answers[i]}", fontsize=10, loc="center")
plt.show()
