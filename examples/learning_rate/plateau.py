"""When the loss no longer falls, a tenth of the rate lets it fall again
=====================================================================

Nobody knows beforehand at which epoch to lower the rate. ``ReduceLROnPlateau`` watches the validation loss and divides the rate by ten when it has not improved
for 5 epochs.

**What you see.** Above: the validation loss with a constant rate (gray) and with the callback (blue), which lowers the rate at the dotted lines, after epochs 13, 24
and 34. The first reduction lowers the loss at once, from a trembling plateau to 1.21; the later ones win almost nothing. Below: the rate.

**What to conclude.** This is deck 001's simple technique: fix the rate until the error plateaus, then divide it. It needs validation data and a patience, and the
reductions come some epochs late. Once they win nothing, the training can stop: `EarlyStopping` does that.

**Try next.** Set ``PATIENCE = 1``: every chance increase is taken for a plateau, and the training stands still after 12 epochs. Here its validation loss is even lower,
1.18: with wrong labels, stopping early is a regularizer.

:Slide: Deck 001, *Training and minibatches* (reduce the rate by a fixed factor when the error plateaus)
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

BATCH, EPOCHS, PATIENCE, LR, WRONG = 8, 38, 5, 0.5, 0.2

# %%
# The same training, without and with the callback
# ------------------------------------------------

X, y = nn.data.load_digits()
rng = np.random.default_rng(0)
order = rng.permutation(len(X))
X, y = X[order], y[order]
y = np.where(rng.random(len(y)) < WRONG, rng.integers(0, 10, len(y)), y)


def train(callbacks):
    model = nn.Sequential([nn.Dense(10)], input_shape=64, seed=0)
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=LR), metrics=["accuracy"], seed=0)
    return trainer.fit(X, y, epochs=EPOCHS, batch_size=BATCH, validation_split=0.3, callbacks=callbacks, verbose=0)


plateau = nn.ReduceLROnPlateau("val_loss", factor=0.1, patience=PATIENCE)
constant, reduced = train([]), train([plateau])
print(f"constant rate: validation loss {constant['val_loss'].min():.3f} at best, {constant['val_loss'][-1]:.3f} at the end")
print(f"reduced rate:  validation loss {reduced['val_loss'].min():.3f} at best, {reduced['val_loss'][-1]:.3f} at the end")
print(f"reduced after epochs {plateau.reductions}")

figure, (above, below) = plt.subplots(2, 1, sharex=True, height_ratios=[2.2, 1])
epochs = np.arange(1, EPOCHS + 1)
above.plot(epochs, constant["val_loss"], color="0.65", label=f"constant {LR:g}")
above.plot(epochs, reduced["val_loss"], color=nn.figures.PALETTE[0], label="reduced")
below.semilogy(epochs, reduced["lr"], drawstyle="steps-mid", color=nn.figures.PALETTE[0])
for epoch in plateau.reductions:
    for ax in (above, below):
        ax.axvline(epoch + 0.5, color="black", linestyle=":", linewidth=1)
above.set(ylabel="validation loss", ylim=(1.15, 1.8), title="The first reduction ends the trembling, later ones win little")
below.set(xlabel="epoch", ylabel="rate", xlim=(1, EPOCHS), ylim=(1e-4, 2))
nn.figures.label_ends(above)
plt.show()
