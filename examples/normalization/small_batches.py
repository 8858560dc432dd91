"""
Small batches: what batch norm computes in training is not what it computes at test
===================================================================================

Networks with two hidden layers learn digits in batches of 2 to 32 examples, with the same number of epochs and a rate in proportion to the batch, from 5
starts each.

**What you see.** Left: with batches of 32 batch norm and layer norm are equally good. With batches of 2 batch norm falls to 57 %, layer norm stays at 94
%. Right: three ways to go on with the network trained in small batches. The mean and the deviation of two numbers are mostly noise, in training; at test
their averages are used: another function.

**What to conclude.** The deck names two cures. *Keep the training behavior*, with statistics of the test batch: with test batches as small as in training
this is worse than the averages, and the answer to one example depends on the others. *Switch to the test behavior and fine-tune* (``frozen``) works: the
network learns to live with the fixed averages: 83 % for batches of 2, and for 4 and more as good as layer norm. Or normalize without the batch: layer
norm, group norm.

A trap of the same kind: 899 examples in batches of 32 leave a last batch of 3. Its statistics enter the averages. ``last_batch="drop"`` or ``"merge"``
avoids it.

**Try next.** ``nn.BatchRenorm()`` in the place of batch norm. ``MOMENTUM = 0.01``: averages over more batches, and older ones.

:Slide: Deck 004, *For small batches, this is a big test–train mismatch*; *Solutions to train–test mismatch*
"""

import matplotlib.pyplot as plt
import numpy as np

import nncore as nn

plt.style.use("nncore.slide")

SIZES, UNITS, EPOCHS, TUNED, SEEDS, MOMENTUM = (2, 4, 8, 16, 32), 48, 4, 2, 5, 0.1

X, y = nn.data.load_digits()
X = nn.data.StandardScaler().fit(X).transform(X)
train, held_out = nn.data.train_validation_split(X, y, fraction=0.5, seed=0)


# %%
# Training, and three ways to test
# --------------------------------


def learn(normalization, batch, seed, epochs=EPOCHS + TUNED):
    hidden = [layer for _ in range(2) for layer in (nn.Dense(UNITS), normalization(), nn.ReLU())]
    model = nn.Sequential([*hidden, nn.Dense(10)], input_shape=64, seed=seed)
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=0.0025 * batch), seed=seed)
    fit(trainer, epochs, batch)
    return model, trainer


def fit(trainer, epochs, batch):
    trainer.fit(X[train], y[train], epochs=epochs, batch_size=batch, last_batch="drop", verbose=0)


def accuracy(outputs, rows):
    return 100 * np.mean(outputs.argmax(axis=-1) == y[rows])


def by_batches(model, batch):
    """Accuracy with the statistics of test batches that are as small as those of training."""
    rows = held_out[: len(held_out) // batch * batch].reshape(-1, batch)
    return accuracy(np.array([model.forward(X[part], training=True) for part in rows]), rows)


def fine_tuned(model, trainer, batch):
    """Exact averages over the training data, then the last epochs with these as constants."""
    trainer.update_batch_statistics(X[train])
    for layer in model.layers:
        if isinstance(layer, nn.BatchNorm):
            layer.frozen = True
    fit(trainer, TUNED, batch)
    return accuracy(model.predict(X[held_out]), held_out)


results = {name: np.zeros((len(SIZES), SEEDS)) for name in ("layer norm", "averages", "batch by batch", "frozen, fine-tuned")}
for i, batch in enumerate(SIZES):
    for seed in range(SEEDS):
        model, trainer = learn(lambda: nn.BatchNorm(momentum=MOMENTUM), batch, seed)
        results["averages"][i, seed] = accuracy(model.predict(X[held_out]), held_out)
        results["batch by batch"][i, seed] = by_batches(model, batch)
        model, trainer = learn(lambda: nn.BatchNorm(momentum=MOMENTUM), batch, seed, EPOCHS)
        results["frozen, fine-tuned"][i, seed] = fine_tuned(model, trainer, batch)
        model, _ = learn(nn.LayerNorm, batch, seed)
        results["layer norm"][i, seed] = accuracy(model.predict(X[held_out]), held_out)
print("accuracy, % (batches of " + ", ".join(map(str, SIZES)) + ")")
for name, found in results.items():
    print(f"{name:<19} " + "  ".join(f"{mean:.1f}" for mean in found.mean(axis=1)))

# %%
# Accuracy against the size of the batches
# ----------------------------------------

figure, axes = plt.subplots(1, 2, figsize=(11.5, 4.3), sharey=True)
for ax, names in zip(axes, (("layer norm", "averages"), ("frozen, fine-tuned", "averages", "batch by batch"))):
    for name in names:
        found, color = results[name], nn.figures.PALETTE[list(results).index(name)]
        ax.plot(SIZES, found.mean(axis=1), "o-", color=color, label=name)
        ax.fill_between(SIZES, found.min(axis=1), found.max(axis=1), color=color, alpha=0.15, linewidth=0)
    ax.set(xscale="log", xlabel="batch size", xticks=SIZES, ylim=(25, 100))
    ax.set_xticklabels(SIZES)
    ax.minorticks_off()
    ax.legend(loc="lower right")
axes[0].get_legend().get_texts()[1].set_text("batch norm")
axes[0].set(ylabel="held-out accuracy, %", title="Small batches hurt batch norm")
axes[1].set_title("Batch norm at test, three ways")
plt.show()
